/* SPDX-License-Identifier: BSD-2-Clause */
/* Conditions that check passwords: crypteq; pam, radius, saslauthd, pwcheck, ldapauth through the world (manual 11.7). */
#include "exim/conf.h"
#include "exim/lookup_int.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <stdlib.h>

#include "base/codec.h"

/* As long as the text of a digest: compare base64 or hex of it. */
static bool
digest_equal(struct xev *e, const char *how, struct sv secret, struct sv want)
{
	struct sb raw = SB_INIT(256), b64 = SB_INIT(256);
	char hex[129];
	size_t len;
	bool same = false;

	if (!x_digest(how, secret, hex, sizeof(hex), false, &len))
		return (false);
	if (want.len == 2 * len)
		same = sv_caseeq(want, sv_from(hex, 2 * len));
	else if (want.len == 4 * ((len + 2) / 3) && hex_decode(&raw, sv_from(hex, 2 * len))) {
		base64_encode(&b64, sb_sv(&raw));
		same = sv_eq(want, sb_sv(&b64));
	}
	sb_free(&raw);
	sb_free(&b64);
	return (same);
}

struct crypt_job {
	const char	*secret, *salt;
	bool		 same;
};

/* crypt() of libcrypt; with the reentrant call nothing is kept. */
static void
crypt_job(void *arg)
{
	struct crypt_data *data = xcalloc(1, sizeof(*data));
	struct crypt_job *j = arg;
	const char *got = crypt_r(j->secret, j->salt, data);
	size_t len = strlen(j->salt);

	/* A string shorter than its salt can be no hash. */
	j->same = got != NULL && got[0] != '*' && strlen(got) == len && CRYPTO_memcmp(got, j->salt, len) == 0;
	OPENSSL_cleanse(data, sizeof(*data));
	free(data);
}

/* Hashes that name their method ("$y$...") may take a tenth of a second by design: others go on meanwhile. */
static bool
crypt_equal(struct xev *e, struct sv secret, struct sv want)
{
	struct crypt_job j = { .secret = x_cstr(e, secret), .salt = x_cstr(e, want) };
	const struct exim_world *w = e->env->world;

	if (want.len == 0 || sv_chr(want, '\0') >= 0)
		return (false);
	if (want.p[0] == '$' && w->offload != NULL)
		w->offload(w->arg, crypt_job, &j);
	else
		crypt_job(&j);
	return (j.same);
}

/* Exim's own crypt16: crypt of the first eight bytes, and of the rest with a salt from that result. */
static bool
crypt16_equal(struct xev *e, struct sv secret, struct sv want)
{
	struct crypt_data *data;
	char out[32] = "", salt[3] = "";
	const char *got;
	size_t n = 0;

	if (want.len < 2)
		return (false);
	data = xcalloc(1, sizeof(*data));
	got = crypt_r(x_cstr(e, secret), x_cstr(e, want), data);
	if (got != NULL && strlen(got) >= 13) {
		memcpy(out, got, 13);
		n = 13;
		memcpy(salt, out + 2, 2);
	}
	if (n > 0 && secret.len > 8) {
		got = crypt_r(x_cstr(e, sv_sub(secret, 8, secret.len)), salt, data);
		if (got != NULL && strlen(got) >= 13) {
			memcpy(out + 13, got + 2, 11);
			n = 24;
		}
	}
	OPENSSL_cleanse(data, sizeof(*data));
	free(data);
	return (n > 0 && sv_eq(want, sv_from(out, n)));
}

X_COND(xc_crypteq)
{
	struct sv secret, want, type;
	enum exim_result r;
	ptrdiff_t end;

	if ((r = x_seq(e, &c->arg[0], &secret)) != EXIM_OK || (r = x_seq(e, &c->arg[1], &want)) != EXIM_OK)
		return (r);
	if (want.len == 0 || want.p[0] != '{') {
		*yes = crypt_equal(e, secret, want);
		return (EXIM_OK);
	}
	end = sv_chr(want, '}');
	type = sv_sub(want, 0, end < 0 ? want.len : (size_t)end + 1);
	if (sv_caseeqs(type, "{md5}"))
		*yes = digest_equal(e, "MD5", secret, sv_sub(want, 5, want.len));
	else if (sv_caseeqs(type, "{sha1}"))
		*yes = digest_equal(e, "SHA1", secret, sv_sub(want, 6, want.len));
	else if (sv_caseeqs(type, "{crypt}"))
		*yes = crypt_equal(e, secret, sv_sub(want, 7, want.len));
	else if (sv_caseeqs(type, "{crypt16}"))
		*yes = crypt16_equal(e, secret, sv_sub(want, 9, want.len));
	else
		return (x_fail(e, "unknown encryption mechanism in \"" SV_FMT "\"", SV_ARG(want)));
	return (EXIM_OK);
}

struct auth_job {
	struct exim_env	*env;
	const char	*how;
	const struct sv	*args;
	size_t		 n;
	struct err	*err;
	enum exim_found	 found;
};

static void
auth_job(void *arg)
{
	struct auth_job *j = arg;
	const struct exim_world *w = j->env->world;

	j->found = w->auth(w->arg, j->how, j->args, j->n, j->env->arena, j->err);
}

X_COND(xc_auth)
{
	struct auth_job j;
	struct sv arg[16], list;
	enum exim_result r;
	unsigned n = 0;
	int sep = 0;

	if (c->narg > 1)
		for (n = 0; n < c->narg; n++) {
			if ((r = x_seq(e, &c->arg[n], &arg[n])) != EXIM_OK)
				return (r);
		}
	else {
		if ((r = x_seq(e, &c->arg[0], &list)) != EXIM_OK)
			return (r);
		if (sv_eqs(c->name, "ldapauth")) {
			arg[n++] = list;
			arg[n++] = x_ldap_settings(e->env);
			arg[n++] = e->env->conf == NULL ? SV_NULL : exim_main_text(e->env->conf, EXIM_MAIN_ldap_default_servers);
		}
		else
			while (n < 16 && exim_list_next(&list, &sep, e->env->arena, &arg[n]))
				n++;
	}
	if (e->env->world->auth == NULL || sv_eqs(c->name, "radius") || sv_eqs(c->name, "pwcheck"))
		return (x_fail(e, "support for \"%s\" not compiled", c->row->name));
	j = (struct auth_job){ e->env, c->row->name, arg, n, e->err, EXIM_TEMPFAIL };
	if (e->env->world->offload != NULL)
		e->env->world->offload(e->env->world->arg, auth_job, &j);
	else
		auth_job(&j);
	if (j.found == EXIM_TEMPFAIL)
		return (EXIM_DEFER);
	*yes = j.found == EXIM_FOUND;
	return (EXIM_OK);
}
