/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Authenticators of the configuration (chapters 33 and 34 of Exim's manual): plaintext and external,
 * whose passwords the configuration's own expansions check.
 */
#include <string.h>

#include "session/session_int.h"

#define PARTS_MAX	20

const struct exim_auth *
session_exim_auth(struct session *s, struct sv mech)
{
	for (size_t i = 0; i < s->conf->nauths; i++)
		if (s->conf->auths[i]->server && s->conf->auths[i]->public_name != NULL &&
		    sv_caseeqs(mech, s->conf->auths[i]->public_name))
			return (s->conf->auths[i]);
	return (NULL);
}

/* $auth1 ... and $1 ...: the parts of what the client sent. */
struct parts {
	struct exim_nums nums;
	unsigned	 n;
};

static void
add_part(struct session *s, struct parts *p, struct sv v)
{
	if (p->n + 1 >= PARTS_MAX)
		return;
	v = sv_taint(arena_sv(s->cmd, v));
	p->n++;
	p->nums.v[p->n] = v;
	p->nums.n = p->n + 1;
	if (p->n <= sizeof(s->x.auth) / sizeof(s->x.auth[0]))
		s->x.auth[p->n - 1] = v;
}

/* One answer may bring several parts, separated by NUL bytes. */
static void
add_parts(struct session *s, struct parts *p, struct sv data)
{
	struct sv piece;

	if (data.len == 0) {
		add_part(s, p, SV_LIT(""));
		return;
	}
	while (sv_next(&data, '\0', &piece))
		add_part(s, p, piece);
}

/* server_prompts: a challenge for each part that is still missing. */
static enum session_auth_result
prompt(struct session *s, const struct exim_auth *a, struct parts *p)
{
	const struct exim_value *v = &a->d.own[EXIM_PLAINTEXT_server_prompts];
	struct sb answer = SB_INIT(16384);
	enum session_auth_result r = SAUTH_OK;
	struct err err = ERR_INIT;
	struct sv list = SV_NULL, item;
	unsigned want = 0;
	int sep = 0;

	if (v->str == NULL || exim_expand(v->str, &s->env, &list, &err) != EXIM_OK)
		return (v->str == NULL ? SAUTH_OK : SAUTH_TEMP);
	while (r == SAUTH_OK && exim_list_next(&list, &sep, s->cmd, &item)) {
		if (++want <= p->n)
			continue;
		r = session_auth_ask(s, item, &answer);
		if (r == SAUTH_OK)
			add_parts(s, p, sb_sv(&answer));
	}
	sb_free(&answer);
	return (r);
}

static enum session_auth_result
judge(struct session *s, const struct exim_auth *a, struct err *err)
{
	const struct exim_value *v = &a->d.generic[EXIM_AUTH_server_condition];
	struct sv text;
	enum exim_result r;

	if (v->str == NULL)
		return (SAUTH_FAIL);
	r = exim_expand(v->str, &s->env, &text, err);
	if (r == EXIM_FORCED)
		return (SAUTH_FAIL);
	if (r != EXIM_OK)
		return (SAUTH_TEMP);
	/* Exim: empty, 0, no, false fail; 1, yes, true succeed; any other text is a temporary error that it tells. */
	if (text.len == 0)
		return (SAUTH_FAIL);
	switch (exim_bool_text(text)) {
	case 1:
		return (SAUTH_OK);
	case 0:
		return (SAUTH_FAIL);
	default:
		(void)err_set(err, ERR_TEMP, "4.7.0", SV_FMT, SV_ARG(text));
		return (SAUTH_TEMP);
	}
}

enum session_auth_result
session_exim_auth_run(struct session *s, const struct exim_auth *a, struct sv initial, struct sv *id, struct err *err)
{
	const struct exim_nums *outer = s->env.nums;
	const struct exim_value *set_id = &a->d.generic[EXIM_AUTH_server_set_id];
	enum session_auth_result r = SAUTH_OK;
	struct parts *p = arena_zalloc(s->cmd, sizeof(*p));
	struct err ignored = ERR_INIT;

	if (a->drv != EXIM_AUTH_DRV_PLAINTEXT) {
		(void)err_set(err, ERR_CONFIG, "4.7.0", "authenticator %s: driver %s is not available here", a->d.name, a->d.driver);
		return (SAUTH_TEMP);
	}
	p->nums.n = 1;
	s->env.nums = &p->nums;
	if (initial.p != NULL)
		add_parts(s, p, initial);
	r = prompt(s, a, p);
	if (r == SAUTH_OK)
		r = judge(s, a, err);
	if ((r == SAUTH_OK || r == SAUTH_FAIL || r == SAUTH_TEMP) && set_id->str != NULL &&
	    exim_expand(set_id->str, &s->env, id, &ignored) == EXIM_OK)
		*id = arena_sv(s->arena, *id);
	s->env.nums = outer;
	memset(s->x.auth, 0, sizeof(s->x.auth));
	return (r);
}
