/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The authenticator gsasl (chapter 38 of Exim's manual): PLAIN, LOGIN, EXTERNAL, ANONYMOUS, CRAM-MD5, DIGEST-MD5 and
 * SCRAM with SHA-1 and SHA-256, bound to the TLS channel where it is asked for.
 */
#include <string.h>

#include "base/codec.h"
#include "base/num.h"
#include "exim/digest.h"
#include "exim/scram.h"
#include "session/auth_int.h"

#define ANSWER_MAX	16384
#define ITER_LEAST	4096
#define NONCE		18
#define SALT		12

static const struct exim_value *
own(const struct auth_try *t, enum exim_gsasl_opt opt)
{
	return (&t->a->d.own[opt]);
}

/* ---- without a secret: server_condition says ---- */

/* AUTHZID NUL AUTHID NUL PASSWORD (RFC 4616). */
static enum session_auth_result
run_plain(struct auth_try *t)
{
	struct sb answer = SB_INIT(ANSWER_MAX);
	enum session_auth_result r = auth_first(t, SV_LIT(""), &answer);
	struct sv rest = sb_sv(&answer), authz, user, password;

	if (r == SAUTH_OK && (!sv_next(&rest, '\0', &authz) || !sv_next(&rest, '\0', &user) || !sv_next(&rest, '\0', &password) ||
	    user.len == 0))
		r = SAUTH_FAIL;
	if (r == SAUTH_OK) {
		auth_part(t, user);
		auth_part(t, authz);
		auth_part(t, password);
		r = auth_judge(t, SAUTH_FAIL);
	}
	sb_wipe(&answer);
	return (r);
}

static enum session_auth_result
run_login(struct auth_try *t)
{
	struct sb answer = SB_INIT(ANSWER_MAX);
	enum session_auth_result r = auth_first(t, SV_LIT("User Name"), &answer);
	struct sv password;

	if (r == SAUTH_OK) {
		auth_part(t, sb_sv(&answer));
		auth_part(t, SV_LIT(""));
		r = session_auth_ask(t->s, SV_LIT("Password"), &answer);
	}
	password = sb_sv(&answer);
	if (r == SAUTH_OK) {
		auth_part(t, password);
		r = auth_judge(t, SAUTH_FAIL);
	}
	sb_wipe(&answer);
	return (r);
}

/* EXTERNAL (RFC 4422, appendix A) and ANONYMOUS (RFC 4505): one text. */
static enum session_auth_result
run_one_text(struct auth_try *t)
{
	struct sb answer = SB_INIT(ANSWER_MAX);
	enum session_auth_result r = auth_first(t, SV_LIT(""), &answer);

	if (r == SAUTH_OK) {
		auth_part(t, sb_sv(&answer));
		r = auth_judge(t, SAUTH_FAIL);
	}
	sb_wipe(&answer);
	return (r);
}

/* ---- with one ---- */

/* A password that is forced to fail is a temporary error with this driver. */
static enum session_auth_result
password_of(struct auth_try *t, struct sv *out)
{
	enum session_auth_result r = auth_expand(t, own(t, EXIM_GSASL_server_password), out);

	if (r == SAUTH_FAIL)
		(void)err_set(t->err, ERR_TEMP, "4.7.0", "server_password of authenticator %s failed", t->a->d.name);
	if (r == SAUTH_FAIL || (r == SAUTH_OK && out->p == NULL))
		return (SAUTH_TEMP);
	/* An empty one is none: nobody logs in with it. */
	return (r == SAUTH_OK && out->len == 0 ? SAUTH_FAIL : r);
}

static struct sv
realm_of(struct auth_try *t)
{
	struct sv v;

	return (auth_expand(t, own(t, EXIM_GSASL_server_realm), &v) == SAUTH_OK && v.p != NULL ? v : SV_LIT(""));
}

static struct sv
host_of(struct auth_try *t)
{
	struct sv v;

	return (auth_expand(t, own(t, EXIM_GSASL_server_hostname), &v) == SAUTH_OK && v.len > 0 ? v : t->s->conf->g.primary_hostname);
}

static enum session_auth_result
run_digest(struct auth_try *t)
{
	struct sb answer = SB_INIT(ANSWER_MAX);
	struct sv realm = realm_of(t), password, nonce = auth_challenge(t, SV_LIT("")), last;
	struct digest_answer x;
	enum session_auth_result r;

	nonce = sv_sub(nonce, 1, nonce.len - 2);
	if (t->initial.p != NULL)
		return (SAUTH_UNEXPECTED);
	if (realm.len == 0)
		realm = host_of(t);
	if ((r = session_auth_ask(t->s, digest_challenge(t->s->cmd, realm, nonce), &answer)) != SAUTH_OK)
		goto out;
	r = SAUTH_FAIL;
	if (!digest_read(t->s->cmd, sb_sv(&answer), &x))
		goto out;
	auth_part(t, x.user);
	auth_part(t, x.authz);
	auth_part(t, x.realm);
	if (!sv_eq(x.nonce, nonce) || !sv_eq(x.realm, realm) ||
	    !digest_uri_is(x.uri, own(t, EXIM_GSASL_server_service)->text, host_of(t)))
		goto out;
	if ((r = password_of(t, &password)) != SAUTH_OK)
		goto out;
	r = SAUTH_FAIL;
	if (!digest_proves(t->s->cmd, &x, password, &last) || (r = session_auth_ask(t->s, last, &answer)) != SAUTH_OK)
		goto out;
	r = auth_judge(t, SAUTH_OK);
out:
	sb_wipe(&answer);
	return (r);
}

/* ---- SCRAM ---- */

/* server_skey and server_key, in base64 and of the right length. */
static bool
stored_keys(struct auth_try *t, struct scram *x)
{
	struct sb stored = SB_INIT(64), server = SB_INIT(64);
	size_t n = scram_size(x->hash);
	struct sv a, b;
	bool ok = auth_expand(t, own(t, EXIM_GSASL_server_skey), &a) == SAUTH_OK && a.len > 0 && base64_decode(&stored, a) &&
	    auth_expand(t, own(t, EXIM_GSASL_server_key), &b) == SAUTH_OK && b.len > 0 && base64_decode(&server, b) &&
	    stored.len == n && server.len == n;

	if (ok) {
		memcpy(x->stored, stored.p, n);
		memcpy(x->server_key, server.p, n);
	}
	sb_wipe(&stored);
	sb_wipe(&server);
	return (ok);
}

static enum session_auth_result
salt_of(struct auth_try *t, struct sv *salt, int64_t *iter)
{
	struct sb raw = SB_INIT(1024);
	unsigned char fresh[SALT];
	enum session_auth_result r;
	struct sv v;

	if ((r = auth_expand(t, own(t, EXIM_GSASL_server_scram_iter), &v)) != SAUTH_OK)
		return (r == SAUTH_FAIL ? SAUTH_TEMP : r);
	if (!num_parse(sv_trim(v), ITER_LEAST, SCRAM_ITER_MAX, iter))
		*iter = ITER_LEAST;
	if ((r = auth_expand(t, own(t, EXIM_GSASL_server_scram_salt), &v)) != SAUTH_OK)
		return (r == SAUTH_FAIL ? SAUTH_TEMP : r);
	if (v.len > 0 && base64_decode(&raw, v) && raw.len > 0) {
		*salt = arena_sv(t->s->cmd, sb_sv(&raw));
	} else {
		auth_random(fresh, sizeof(fresh));
		*salt = arena_sv(t->s->cmd, sv_from((const char *)fresh, sizeof(fresh)));
	}
	sb_free(&raw);
	return (SAUTH_OK);
}

/* Keys from the configuration's keys, else from the password. */
static enum session_auth_result
take_keys(struct auth_try *t, struct scram *x, struct sv salt, int64_t iter)
{
	enum session_auth_result r;
	struct sv password;

	if (stored_keys(t, x))
		return (SAUTH_OK);
	if ((r = password_of(t, &password)) != SAUTH_OK)
		return (r);
	return (scram_keys_by(t->s->env.world, x, password, salt, iter) ? SAUTH_OK : SAUTH_TEMP);
}

static void
bind_channel(struct auth_try *t, struct scram *x)
{
	unsigned char raw[32];

	if (own(t, EXIM_GSASL_server_channelbinding)->num == 0 || !stream_is_tls(t->s->io) ||
	    !stream_tls_export(t->s->io, "EXPORTER-Channel-Binding", raw, sizeof(raw)))
		return;
	x->binding = arena_sv(t->s->cmd, sv_from((const char *)raw, sizeof(raw)));
	x->binding_name = "tls-exporter";
}

static enum session_auth_result
run_scram(struct auth_try *t, enum scram_hash hash, bool plus)
{
	struct scram *x = arena_zalloc(t->s->cmd, sizeof(*x));
	struct sb answer = SB_INIT(ANSWER_MAX), nonce = SB_INIT(64);
	unsigned char raw[NONCE];
	enum session_auth_result r;
	struct sv salt, last;
	int64_t iter;

	x->hash = hash;
	x->arena = t->s->cmd;
	bind_channel(t, x);
	if ((r = auth_first(t, SV_LIT(""), &answer)) != SAUTH_OK)
		goto out;
	r = SAUTH_FAIL;
	if (!scram_read_first(x, sb_sv(&answer), plus))
		goto out;
	auth_part(t, x->user);
	auth_part(t, x->authz);
	auth_part(t, realm_of(t));
	if ((r = salt_of(t, &salt, &iter)) != SAUTH_OK || (r = take_keys(t, x, salt, iter)) != SAUTH_OK)
		goto out;
	auth_random(raw, sizeof(raw));
	base64_encode(&nonce, sv_from((const char *)raw, sizeof(raw)));
	if ((r = session_auth_ask(t->s, scram_challenge(x, sb_sv(&nonce), salt, iter), &answer)) != SAUTH_OK)
		goto out;
	r = SAUTH_FAIL;
	if (!scram_read_last(x, sb_sv(&answer), &last) || (r = session_auth_ask(t->s, last, &answer)) != SAUTH_OK)
		goto out;
	r = auth_judge(t, SAUTH_OK);
out:
	scram_forget(x);
	sb_wipe(&answer);
	sb_free(&nonce);
	return (r);
}

enum session_auth_result
auth_run_gsasl(struct auth_try *t)
{
	struct sv mech = auth_mechanism(t->a, own(t, EXIM_GSASL_server_mech));

	if (sv_caseeqs(mech, "PLAIN"))
		return (run_plain(t));
	if (sv_caseeqs(mech, "LOGIN"))
		return (run_login(t));
	if (sv_caseeqs(mech, "EXTERNAL") || sv_caseeqs(mech, "ANONYMOUS"))
		return (run_one_text(t));
	if (sv_caseeqs(mech, "CRAM-MD5"))
		return (auth_cram(t, auth_challenge(t, host_of(t)), own(t, EXIM_GSASL_server_password), realm_of(t)));
	if (sv_caseeqs(mech, "DIGEST-MD5"))
		return (run_digest(t));
	if (sv_caseeqs(mech, "SCRAM-SHA-1") || sv_caseeqs(mech, "SCRAM-SHA-1-PLUS"))
		return (run_scram(t, SCRAM_SHA1, sv_caseends(mech, SV_LIT("-PLUS"))));
	if (sv_caseeqs(mech, "SCRAM-SHA-256") || sv_caseeqs(mech, "SCRAM-SHA-256-PLUS"))
		return (run_scram(t, SCRAM_SHA256, sv_caseends(mech, SV_LIT("-PLUS"))));
	(void)err_set(t->err, ERR_CONFIG, "4.7.0", "authenticator %s: mechanism " SV_FMT " is not known", t->a->d.name, SV_ARG(mech));
	return (SAUTH_TEMP);
}
