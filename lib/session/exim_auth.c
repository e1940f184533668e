/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Authenticators of the configuration (chapters 33 to 42 of Exim's manual): finding one, running it, judging by
 * server_condition.  plaintext, external, tls and cram_md5 are here.
 */
#include <sys/random.h>

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "exim/cram.h"
#include "fiber/fiber.h"
#include "session/auth_int.h"

#define ANSWER_MAX	16384

const struct exim_auth *
session_exim_auth(struct session *s, struct sv mech)
{
	for (size_t i = 0; i < s->conf->nauths; i++)
		if (s->conf->auths[i]->server && s->conf->auths[i]->public_name != NULL &&
		    s->conf->auths[i]->drv != EXIM_AUTH_DRV_TLS && sv_caseeqs(mech, s->conf->auths[i]->public_name))
			return (s->conf->auths[i]);
	return (NULL);
}

/* ---- parts and expansions ---- */

void
auth_set(struct auth_try *t, unsigned n, struct sv v)
{
	struct session *s = t->s;

	if (n == 0 || n >= AUTH_PARTS_MAX)
		return;
	v = sv_taint(arena_sv(s->cmd, v));
	t->nums.v[n] = v;
	if (t->n < n)
		t->n = n;
	t->nums.n = t->n + 1;
	if (n <= sizeof(s->x.auth) / sizeof(s->x.auth[0]))
		s->x.auth[n - 1] = v;
}

void
auth_part(struct auth_try *t, struct sv v)
{
	auth_set(t, t->n + 1, v);
}

void
auth_parts(struct auth_try *t, struct sv data)
{
	struct sv piece;

	if (data.len == 0) {
		auth_part(t, SV_LIT(""));
		return;
	}
	while (sv_next(&data, '\0', &piece))
		auth_part(t, piece);
}

enum session_auth_result
auth_expand(struct auth_try *t, const struct exim_value *v, struct sv *out)
{
	const struct exim_place outside = t->s->env.at;
	enum exim_result r;

	*out = SV_NULL;
	if (v->str == NULL) {
		*out = v->text;
		return (SAUTH_OK);
	}
	t->s->env.at = (struct exim_place){ "authenticator", t->a->d.name, t->a->d.file, t->a->d.line };
	r = exim_expand(v->str, &t->s->env, out, t->err);
	t->s->env.at = outside;
	return (r == EXIM_OK ? SAUTH_OK : r == EXIM_FORCED ? SAUTH_FAIL : SAUTH_TEMP);
}

enum session_auth_result
auth_judge(struct auth_try *t, enum session_auth_result dflt)
{
	const struct exim_value *v = &t->a->d.generic[EXIM_AUTH_server_condition];
	enum session_auth_result r;
	struct sv text;

	if (v->str == NULL)
		return (dflt);
	if ((r = auth_expand(t, v, &text)) != SAUTH_OK)
		return (r);
	/* Exim: empty, 0, no, false fail; 1, yes, true succeed; any other text is a temporary error that it tells. */
	if (text.len == 0)
		return (SAUTH_FAIL);
	switch (exim_bool_text(text)) {
	case 1:
		return (SAUTH_OK);
	case 0:
		return (SAUTH_FAIL);
	default:
		(void)err_set(t->err, ERR_TEMP, "4.7.0", SV_FMT, SV_ARG(text));
		t->tell = true;
		return (SAUTH_TEMP);
	}
}

enum session_auth_result
auth_first(struct auth_try *t, struct sv challenge, struct sb *out)
{
	if (t->initial.p == NULL)
		return (session_auth_ask(t->s, challenge, out));
	sb_clear(out);
	sb_add(out, t->initial);
	return (SAUTH_OK);
}

void
auth_random(unsigned char *p, size_t n)
{
	/* It cannot fail for so few bytes once the system has started. */
	if (getrandom(p, n, 0) != (ssize_t)n)
		abort();
}

struct sv
auth_challenge(struct auth_try *t, struct sv host)
{
	unsigned char raw[16];
	struct sb hex = SB_INIT(64);
	struct sv v;

	auth_random(raw, sizeof(raw));
	hex_encode(&hex, sv_from((const char *)raw, sizeof(raw)));
	v = sv_cstr(arena_fmt(t->s->cmd, "<%s@" SV_FMT ">", sb_cstr(&hex), SV_ARG(host)));
	sb_free(&hex);
	return (v);
}

struct sv
auth_mechanism(const struct exim_auth *a, const struct exim_value *server_mech)
{
	return (server_mech->text.len > 0 ? server_mech->text : sv_cstr(a->public_name));
}

/* ---- plaintext ---- */

/* server_prompts: a challenge for each part that is still missing. */
static enum session_auth_result
run_plaintext(struct auth_try *t)
{
	struct sb answer = SB_INIT(ANSWER_MAX);
	enum session_auth_result r;
	struct sv list, item;
	unsigned want = 0;
	int sep = 0;

	if (t->initial.p != NULL)
		auth_parts(t, t->initial);
	r = auth_expand(t, &t->a->d.own[EXIM_PLAINTEXT_server_prompts], &list);
	while (r == SAUTH_OK && exim_list_next(&list, &sep, t->s->cmd, &item)) {
		if (++want <= t->n)
			continue;
		r = session_auth_ask(t->s, item, &answer);
		if (r == SAUTH_OK)
			auth_parts(t, sb_sv(&answer));
	}
	sb_wipe(&answer);
	return (r == SAUTH_OK ? auth_judge(t, SAUTH_FAIL) : r);
}

/* ---- external, tls ---- */

static enum session_auth_result
expand_parts(struct auth_try *t, unsigned from, const unsigned char *opts, size_t n)
{
	enum session_auth_result r = SAUTH_OK;
	struct sv v;

	for (size_t i = 0; i < n && r == SAUTH_OK; i++)
		if (t->a->d.own[opts[i]].set && (r = auth_expand(t, &t->a->d.own[opts[i]], &v)) == SAUTH_OK)
			auth_set(t, from + (unsigned)i, v);
	return (r);
}

static enum session_auth_result
run_external(struct auth_try *t)
{
	static const unsigned char opts[] = { EXIM_EXTERNAL_server_param2, EXIM_EXTERNAL_server_param3 };
	struct sb answer = SB_INIT(ANSWER_MAX);
	enum session_auth_result r = auth_first(t, SV_LIT(""), &answer);

	if (r == SAUTH_OK) {
		auth_parts(t, sb_sv(&answer));
		r = expand_parts(t, 2, opts, sizeof(opts));
	}
	sb_wipe(&answer);
	return (r == SAUTH_OK ? auth_judge(t, SAUTH_FAIL) : r);
}

static enum session_auth_result
run_tls(struct auth_try *t)
{
	static const unsigned char old[] = { EXIM_AUTHTLS_server_param };
	static const unsigned char opts[] = { EXIM_AUTHTLS_server_param1, EXIM_AUTHTLS_server_param2, EXIM_AUTHTLS_server_param3 };
	enum session_auth_result r = expand_parts(t, 1, old, sizeof(old));

	if (r == SAUTH_OK)
		r = expand_parts(t, 1, opts, sizeof(opts));
	/* Without a condition the certificate speaks for itself. */
	return (r == SAUTH_OK ? auth_judge(t, t->s->x.tls_in.verified ? SAUTH_OK : SAUTH_FAIL) : r);
}

/* ---- cram_md5 ---- */

enum session_auth_result
auth_cram(struct auth_try *t, struct sv challenge, const struct exim_value *secret, struct sv realm)
{
	struct sb answer = SB_INIT(ANSWER_MAX);
	struct sv user, digest, password;
	enum session_auth_result r;
	char hex[CRAM_HEX + 1];
	bool whole;

	if (t->initial.p != NULL)
		return (SAUTH_UNEXPECTED);
	if ((r = session_auth_ask(t->s, challenge, &answer)) != SAUTH_OK)
		goto out;
	whole = cram_split(sb_sv(&answer), &user, &digest);
	auth_part(t, user);
	if (realm.p != NULL) {
		auth_set(t, 2, SV_LIT(""));
		auth_set(t, 3, realm);
	}
	r = SAUTH_FAIL;
	if (!whole || digest.len != CRAM_HEX || (r = auth_expand(t, secret, &password)) != SAUTH_OK)
		goto out;
	/* Whoever has no secret has not logged in: a lookup that found nothing must not let anybody in. */
	r = password.len > 0 && cram_digest(password, challenge, hex) && cram_equal(hex, digest) ? auth_judge(t, SAUTH_OK) : SAUTH_FAIL;
out:
	sb_wipe(&answer);
	return (r);
}

static enum session_auth_result
run_cram_md5(struct auth_try *t)
{
	struct sv host = t->s->x.active_hostname.len > 0 ? t->s->x.active_hostname : t->s->conf->g.primary_hostname;

	return (auth_cram(t, auth_challenge(t, host), &t->a->d.own[EXIM_CRAM_MD5_server_secret], SV_NULL));
}

/* ---- all ---- */

static enum session_auth_result
run(struct auth_try *t)
{
	switch (t->a->drv) {
	case EXIM_AUTH_DRV_PLAINTEXT:
		return (run_plaintext(t));
	case EXIM_AUTH_DRV_EXTERNAL:
		return (run_external(t));
	case EXIM_AUTH_DRV_TLS:
		return (run_tls(t));
	case EXIM_AUTH_DRV_CRAM_MD5:
		return (run_cram_md5(t));
	case EXIM_AUTH_DRV_SPA:
		return (auth_run_spa(t));
	case EXIM_AUTH_DRV_GSASL:
		return (auth_run_gsasl(t));
	case EXIM_AUTH_DRV_DOVECOT:
		return (auth_run_dovecot(t));
	case EXIM_AUTH_DRV_CYRUS_SASL:
	case EXIM_AUTH_DRV_VAUTH:
		return (auth_run_cyrus(t));
	default:
		(void)err_set(t->err, ERR_CONFIG, "4.7.0", "authenticator %s: driver %s is not available here", t->a->d.name,
		    t->a->d.driver);
		return (SAUTH_TEMP);
	}
}

static void
debug_print(struct auth_try *t)
{
	const struct exim_value *v = &t->a->d.generic[EXIM_AUTH_server_debug_print];
	struct session *s = t->s;
	struct err err = ERR_INIT;
	struct sv text;

	if (v->str == NULL || s->sv->log == NULL || s->sv->log->trace == NULL)
		return;
	if (exim_expand(v->str, &s->env, &text, &err) != EXIM_OK)
		text = sv_cstr(err.text);
	s->sv->log->trace(s->sv->log->arg, s->peer_text, arena_cstr(s->cmd, text));
}

enum session_auth_result
session_exim_auth_run(struct session *s, const struct exim_auth *a, struct sv initial, struct sv *id, struct err *err, bool *tell)
{
	const struct exim_nums *outer = s->env.nums;
	const struct exim_value *set_id = &a->d.generic[EXIM_AUTH_server_set_id];
	struct auth_try *t = arena_zalloc(s->cmd, sizeof(*t));
	enum session_auth_result r;
	struct err ignored = ERR_INIT;

	*t = (struct auth_try){ .s = s, .a = a, .initial = initial, .err = err };
	t->nums.n = 1;
	s->env.nums = &t->nums;
	r = run(t);
	*tell = t->tell;
	debug_print(t);
	if ((r == SAUTH_OK || r == SAUTH_FAIL || r == SAUTH_TEMP) && set_id->str != NULL) {
		if (exim_expand(set_id->str, &s->env, id, &ignored) == EXIM_OK)
			*id = arena_sv(s->arena, *id);
		else
			*id = SV_NULL;
	}
	s->env.nums = outer;
	memset(s->x.auth, 0, sizeof(s->x.auth));
	return (r);
}

/* server_mail_auth_condition of the one that the client logged in by: may AUTH= of MAIL count? */
bool
session_mail_auth(struct session *s)
{
	const struct exim_value *v = s->auth_by == NULL ? NULL : &s->auth_by->d.generic[EXIM_AUTH_server_mail_auth_condition];
	struct err err = ERR_INIT;
	bool yes = true;

	if (v == NULL || v->str == NULL)
		return (true);
	return (exim_expand_bool(v->str, &s->env, false, &yes, &err) == EXIM_OK && yes);
}
