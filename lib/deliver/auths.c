/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client side of the configuration's authenticators (section 33.5 of Exim's manual).  Their options are expanded when
 * the server asks, since they may look at $tls_out_cipher, at the host and at what it said.
 */
#include <sys/random.h>

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/num.h"
#include "deliver/options.h"
#include "exim/cram.h"
#include "exim/expand.h"
#include "exim/ntlm.h"
#include "exim/scram.h"
#include "io/stream.h"

#define AUTHS_MAX	16
#define PROMPTS_MAX	3

struct login {
	const struct exim_auth *au;
	struct exim_env	*env;
	struct arena	*a;
	struct exim_session x;		/* the environment's, with $auth1 and on */
	struct scram	 scram;
	struct sv	 user, password;
	bool		 proved;
};

/* ---- expansions ---- */

/* With the variables of this login; they are gone again behind it. */
static enum exim_result
expand(struct login *l, const struct exim_value *v, struct sv *out, struct err *err)
{
	struct exim_env *env = l->env;
	struct exim_session *outer = env->session;
	enum exim_result r;

	*out = v->text;
	if (v->str == NULL)
		return (EXIM_OK);
	if (outer != NULL) {
		struct sv auth[sizeof(l->x.auth) / sizeof(l->x.auth[0])];

		memcpy(auth, l->x.auth, sizeof(auth));
		l->x = *outer;
		memcpy(l->x.auth, auth, sizeof(auth));
	}
	env->session = &l->x;
	r = exim_expand(v->str, env, out, err);
	env->session = outer;
	if (r == EXIM_OK)
		*out = arena_sv(l->a, *out);
	else
		*out = SV_NULL;
	return (r);
}

static const struct exim_value *
own(const struct login *l, int opt)
{
	return (&l->au->d.own[opt]);
}

/* Both of a name and a secret.  A forced failure of either: this way is not for that host. */
static enum deliver_auth_step
take_secret(struct login *l, int name, int secret, struct err *err)
{
	enum exim_result r = expand(l, own(l, name), &l->user, err);

	if (r == EXIM_OK)
		r = expand(l, own(l, secret), &l->password, err);
	return (r == EXIM_OK ? DELIVER_AUTH_SEND : r == EXIM_FORCED ? DELIVER_AUTH_SKIP : DELIVER_AUTH_DEFER);
}

static struct sv
text_or(struct sv v, struct sv dflt)
{
	return (v.p == NULL ? dflt : v);
}

/* ---- plaintext, external ---- */

/* A circumflex is a NUL, two are one. */
static void
add_carets(struct sb *out, struct sv v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] == '^' && i + 1 < v.len && v.p[i + 1] == '^')
			sb_addc(out, v.p[i++]);
		else
			sb_addc(out, v.p[i] == '^' ? '\0' : v.p[i]);
}

/* The string of client_send that is for <step>; the list is cut before anything is expanded. */
static enum deliver_auth_step
send_string(struct login *l, unsigned step, struct sb *out, struct err *err)
{
	const struct exim_value *v = own(l, EXIM_PLAINTEXT_client_send);
	struct exim_value one = { .text = SV_NULL };
	struct sv list = v->text, item, text;
	struct exim_str *str = NULL;
	enum exim_result r;
	int sep = 0;

	for (unsigned i = 0; i <= step; i++)
		if (!exim_list_next(&list, &sep, l->a, &item))
			return (step == 0 ? DELIVER_AUTH_WAIT : DELIVER_AUTH_CANCEL);
	if (exim_str_compile(l->a, item, l->au->d.file, l->au->d.line, &str, err) == -1)
		return (DELIVER_AUTH_DEFER);
	one.str = str;
	r = expand(l, &one, &text, err);
	if (r != EXIM_OK)
		return (r != EXIM_FORCED ? DELIVER_AUTH_DEFER : step == 0 ? DELIVER_AUTH_SKIP : DELIVER_AUTH_CANCEL);
	add_carets(out, text);
	return (step == 0 && text.len == 0 ? DELIVER_AUTH_WAIT : DELIVER_AUTH_SEND);
}

static enum deliver_auth_step
plaintext_answer(struct login *l, const struct deliver_auth_talk *t, struct sb *out, struct err *err)
{
	if (t->step > 0 && t->challenge.p == NULL && own(l, EXIM_PLAINTEXT_client_ignore_invalid_base64)->num == 0)
		return (DELIVER_AUTH_CANCEL);
	if (t->step > 0 && t->step <= PROMPTS_MAX)
		l->x.auth[t->step - 1] = sv_taint(arena_sv(l->a, text_or(t->challenge, SV_LIT(""))));
	return (send_string(l, t->step, out, err));
}

static enum deliver_auth_step
external_answer(struct login *l, const struct deliver_auth_talk *t, struct sb *out, struct err *err)
{
	enum exim_result r;
	struct sv v;

	if (t->step > 0)
		return (DELIVER_AUTH_CANCEL);
	r = expand(l, own(l, EXIM_EXTERNAL_client_send), &v, err);
	sb_add(out, v);
	return (r == EXIM_OK ? DELIVER_AUTH_SEND : r == EXIM_FORCED ? DELIVER_AUTH_SKIP : DELIVER_AUTH_DEFER);
}

/* ---- cram_md5 ---- */

static enum deliver_auth_step
add_cram(struct login *l, struct sv challenge, struct sb *out)
{
	char hex[CRAM_HEX + 1];

	if (challenge.p == NULL || !cram_digest(l->password, challenge, hex))
		return (DELIVER_AUTH_CANCEL);
	sb_add(out, text_or(l->user, l->env->g->primary_hostname));
	sb_addf(out, " %s", hex);
	return (DELIVER_AUTH_SEND);
}

static enum deliver_auth_step
cram_answer(struct login *l, const struct deliver_auth_talk *t, struct sb *out, struct err *err)
{
	enum deliver_auth_step s;

	if (t->step == 0) {
		s = take_secret(l, EXIM_CRAM_MD5_client_name, EXIM_CRAM_MD5_client_secret, err);
		return (s != DELIVER_AUTH_SEND ? s : l->password.p == NULL ? DELIVER_AUTH_SKIP : DELIVER_AUTH_WAIT);
	}
	return (t->step > 1 ? DELIVER_AUTH_CANCEL : add_cram(l, t->challenge, out));
}

/* ---- spa ---- */

static enum deliver_auth_step
spa_answer(struct login *l, const struct deliver_auth_talk *t, struct sb *out, struct err *err)
{
	unsigned char challenge[NTLM_CHALLENGE];
	enum deliver_auth_step s;
	struct sv domain;
	ptrdiff_t at;

	if (t->step == 0) {
		s = take_secret(l, EXIM_SPA_client_username, EXIM_SPA_client_password, err);
		if (s != DELIVER_AUTH_SEND)
			return (s);
		return (l->user.p == NULL || l->password.p == NULL ? DELIVER_AUTH_SKIP : DELIVER_AUTH_WAIT);
	}
	switch (expand(l, own(l, EXIM_SPA_client_domain), &domain, err)) {
	case EXIM_OK:
	case EXIM_FORCED:
		break;
	default:
		return (DELIVER_AUTH_DEFER);
	}
	/* "user@domain" names the domain too. */
	at = sv_chr(l->user, '@');
	if (domain.len == 0 && at > 0) {
		domain = sv_sub(l->user, (size_t)at + 1, l->user.len);
		l->user = sv_sub(l->user, 0, (size_t)at);
	}
	if (t->step == 1) {
		ntlm_first(out, domain, SV_LIT(""));
		return (DELIVER_AUTH_SEND);
	}
	if (t->step > 2 || t->challenge.p == NULL || !ntlm_read_challenge(t->challenge, challenge) ||
	    !ntlm_last(out, challenge, domain, l->user, l->password))
		return (DELIVER_AUTH_CANCEL);
	return (DELIVER_AUTH_SEND);
}

/* ---- gsasl ---- */

static void
set_auth(struct login *l, unsigned i, struct sv v)
{
	l->x.auth[i] = sv_taint(arena_sv(l->a, v));
}

/* client_spassword, of the right length, saves the long way from the password. */
static bool
cached_key(struct login *l, struct sv salt, int64_t iter, struct err *err)
{
	struct sb raw = SB_INIT(64), b64 = SB_INIT(2048);
	size_t n = scram_size(l->scram.hash);
	struct sv v;
	bool ok;

	base64_encode(&b64, salt);
	set_auth(l, 0, l->user);
	set_auth(l, 1, sv_cstr(arena_fmt(l->a, "%lld", (long long)iter)));
	set_auth(l, 2, sb_sv(&b64));
	ok = expand(l, own(l, EXIM_GSASL_client_spassword), &v, err) == EXIM_OK && v.len == 2 * n && hex_decode(&raw, v) &&
	    raw.len == n;
	if (ok) {
		memcpy(l->scram.salted, raw.p, n);
		ok = scram_keys_salted(&l->scram);
	}
	sb_free(&raw);
	sb_free(&b64);
	return (ok);
}

static enum deliver_auth_step
scram_answer_challenge(struct login *l, struct sv challenge, struct sb *out, struct err *err)
{
	struct sb hex = SB_INIT(2 * SCRAM_HASH_MAX);
	struct sv salt, last;
	int64_t iter;

	if (challenge.p == NULL || !scram_read_challenge(&l->scram, challenge, &salt, &iter) ||
	    (!cached_key(l, salt, iter, err) && !scram_keys_by(l->env->world, &l->scram, l->password, salt, iter)))
		return (DELIVER_AUTH_CANCEL);
	hex_encode(&hex, sv_from((const char *)l->scram.salted, scram_size(l->scram.hash)));
	set_auth(l, 3, sb_sv(&hex));
	sb_free(&hex);
	if (!scram_last(&l->scram, &last))
		return (DELIVER_AUTH_CANCEL);
	sb_add(out, last);
	return (DELIVER_AUTH_SEND);
}

static enum deliver_auth_step
scram_answer(struct login *l, const struct deliver_auth_talk *t, struct sv authz, struct sv mech, struct sb *out, struct err *err)
{
	unsigned char raw[32];
	struct sb nonce = SB_INIT(64);

	switch (t->step) {
	case 0:
		memset(&l->scram, 0, sizeof(l->scram));
		l->scram.arena = l->a;
		l->scram.hash = sv_casestarts(mech, "SCRAM-SHA-256") ? SCRAM_SHA256 : SCRAM_SHA1;
		if (sv_caseends(mech, SV_LIT("-PLUS"))) {
			if (own(l, EXIM_GSASL_client_channelbinding)->num == 0 ||
			    !stream_tls_export(t->stream, "EXPORTER-Channel-Binding", raw, sizeof(raw)))
				return (DELIVER_AUTH_SKIP);
			l->scram.binding = arena_sv(l->a, sv_from((const char *)raw, sizeof(raw)));
			l->scram.binding_name = "tls-exporter";
		}
		if (getrandom(raw, 18, 0) != 18)
			return (DELIVER_AUTH_DEFER);
		base64_encode(&nonce, sv_from((const char *)raw, 18));
		sb_add(out, scram_first(&l->scram, l->user, authz, sb_sv(&nonce)));
		sb_free(&nonce);
		return (DELIVER_AUTH_SEND);
	case 1:
		return (scram_answer_challenge(l, t->challenge, out, err));
	case 2:
		/* The server's proof; without it nobody has shown that he knows the password. */
		l->proved = t->challenge.p != NULL && scram_server_proved(&l->scram, t->challenge);
		return (l->proved ? DELIVER_AUTH_SEND : DELIVER_AUTH_CANCEL);
	default:
		return (DELIVER_AUTH_CANCEL);
	}
}

static enum deliver_auth_step
gsasl_answer(struct login *l, const struct deliver_auth_talk *t, struct sb *out, struct err *err)
{
	struct sv mech = own(l, EXIM_GSASL_server_mech)->text, authz = SV_NULL;
	enum deliver_auth_step s;

	if (mech.len == 0)
		mech = sv_cstr(l->au->public_name);
	if (t->step == 0 && (s = take_secret(l, EXIM_GSASL_client_username, EXIM_GSASL_client_password, err)) != DELIVER_AUTH_SEND)
		return (s);
	switch (expand(l, own(l, EXIM_GSASL_client_authz), &authz, err)) {
	case EXIM_OK:
	case EXIM_FORCED:
		break;
	default:
		return (DELIVER_AUTH_DEFER);
	}
	if (sv_casestarts(mech, "SCRAM-SHA-1") || sv_casestarts(mech, "SCRAM-SHA-256"))
		return (scram_answer(l, t, authz, mech, out, err));
	if (sv_caseeqs(mech, "CRAM-MD5"))
		return (t->step == 0 ? DELIVER_AUTH_WAIT : t->step > 1 ? DELIVER_AUTH_CANCEL : add_cram(l, t->challenge, out));
	if (sv_caseeqs(mech, "PLAIN") && t->step == 0) {
		sb_add(out, authz);
		sb_addc(out, '\0');
		sb_add(out, l->user);
		sb_addc(out, '\0');
		sb_add(out, l->password);
		return (DELIVER_AUTH_SEND);
	}
	if (sv_caseeqs(mech, "LOGIN") && t->step < 3) {
		sb_add(out, t->step == 1 ? l->user : t->step == 2 ? l->password : SV_LIT(""));
		return (t->step == 0 ? DELIVER_AUTH_WAIT : DELIVER_AUTH_SEND);
	}
	if (sv_caseeqs(mech, "EXTERNAL") || sv_caseeqs(mech, "ANONYMOUS")) {
		sb_add(out, authz.len > 0 ? authz : l->user);
		return (t->step == 0 ? DELIVER_AUTH_SEND : DELIVER_AUTH_CANCEL);
	}
	return (t->step == 0 ? DELIVER_AUTH_SKIP : DELIVER_AUTH_CANCEL);
}

/* ---- all ---- */

static enum deliver_auth_step
answer(void *arg, const struct deliver_auth_talk *t, struct sb *out, struct err *err)
{
	struct login *l = arg;
	const struct exim_value *cond = &l->au->d.generic[EXIM_AUTH_client_condition];
	struct sv v;

	if (t->step == 0) {
		memset(l->x.auth, 0, sizeof(l->x.auth));
		l->proved = false;
		/* Only what says no: an expansion that fails is no condition. */
		if (cond->str != NULL && (expand(l, cond, &v, err) != EXIM_OK || v.len == 0 || exim_bool_text(v) == 0))
			return (DELIVER_AUTH_SKIP);
	}
	switch (l->au->drv) {
	case EXIM_AUTH_DRV_PLAINTEXT:
		return (plaintext_answer(l, t, out, err));
	case EXIM_AUTH_DRV_EXTERNAL:
		return (external_answer(l, t, out, err));
	case EXIM_AUTH_DRV_CRAM_MD5:
		return (cram_answer(l, t, out, err));
	case EXIM_AUTH_DRV_SPA:
		return (spa_answer(l, t, out, err));
	default:
		return (gsasl_answer(l, t, out, err));
	}
}

static const char *
who(void *arg)
{
	struct login *l = arg;
	struct err err = ERR_INIT;
	struct sv v;

	return (expand(l, &l->au->d.generic[EXIM_AUTH_client_set_id], &v, &err) == EXIM_OK && v.len > 0 ? arena_cstr(l->a, v) : NULL);
}

static bool
proved(void *arg)
{
	const struct login *l = arg;

	return (l->proved || l->scram.arena == NULL);
}

/* The option that makes an instance a client. */
static bool
can(const struct exim_auth *au)
{
	switch (au->drv) {
	case EXIM_AUTH_DRV_PLAINTEXT:
		return (au->d.own[EXIM_PLAINTEXT_client_send].set);
	case EXIM_AUTH_DRV_EXTERNAL:
		return (au->d.own[EXIM_EXTERNAL_client_send].set);
	case EXIM_AUTH_DRV_CRAM_MD5:
		return (au->d.own[EXIM_CRAM_MD5_client_secret].set);
	case EXIM_AUTH_DRV_SPA:
		return (au->d.own[EXIM_SPA_client_username].set);
	case EXIM_AUTH_DRV_GSASL:
		return (au->d.own[EXIM_GSASL_client_username].set || au->d.own[EXIM_GSASL_client_authz].set);
	default:
		return (false);
	}
}

/* What this login is made of, so that a connection is used again only where it would be the same. */
static struct sv
fingerprint(struct login *l)
{
	struct sb sb = SB_INIT(64 * 1024);
	struct err err = ERR_INIT;
	struct sv v;

	for (size_t k = 0; k < 2; k++) {
		const struct exim_opt_table *tab = k == 0 ? l->au->d.generic_table : l->au->d.table;
		const struct exim_value *vals = k == 0 ? l->au->d.generic : l->au->d.own;

		for (size_t i = 0; i < tab->n; i++)
			if (vals[i].set && strncmp(tab->opts[i].name, "client_", 7) == 0) {
				sb_addf(&sb, "%d:", (int)expand(l, &vals[i], &v, &err));
				sb_add(&sb, v);
				sb_addc(&sb, '\0');
			}
	}
	v = arena_sv(l->a, sb_sv(&sb));
	sb_free(&sb);
	return (v);
}

void
deliver_auths(struct deliver_opts *o, struct exim_env *env, struct arena *a)
{
	const struct exim_conf *c = env->conf;
	struct deliver_auth *v = arena_zalloc(a, AUTHS_MAX * sizeof(*v));

	o->auths = v;
	for (size_t i = 0; i < c->nauths && o->nauths < AUTHS_MAX; i++) {
		struct deliver_auth *da = &v[o->nauths];
		struct sv *made_of;
		struct login *l;

		if (!c->auths[i]->client || !can(c->auths[i]))
			continue;
		l = arena_zalloc(a, sizeof(*l));
		l->au = c->auths[i];
		l->env = env;
		l->a = a;
		made_of = arena_zalloc(a, sizeof(*made_of));
		*made_of = fingerprint(l);
		da->mechanism = c->auths[i]->public_name;
		da->name = c->auths[i]->d.name;
		da->arg = l;
		da->who = who;
		da->proved = proved;
		da->answer = answer;
		da->strings = made_of;
		da->nstrings = 1;
		o->nauths++;
	}
}
