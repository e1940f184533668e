/* SPDX-License-Identifier: BSD-2-Clause */
/* Client authenticators (chapters 34, 35 and 39 of Exim's manual): what the configuration has to log in with at one host. */
#include <string.h>

#include "deliver/options.h"
#include "exim/expand.h"
#include "exim/match.h"

#define AUTHS_MAX	16
#define STRINGS_MAX	16

/* "^user^pass", or "name : pass"; a circumflex is a NUL, two are one. */
static void
cut_strings(struct deliver_auth *da, struct sv list, struct arena *a)
{
	struct sv item, *v = arena_alloc(a, STRINGS_MAX * sizeof(*v));
	int sep = 0;

	da->strings = v;
	while (da->nstrings < STRINGS_MAX && exim_list_next(&list, &sep, a, &item)) {
		char *p = arena_alloc(a, item.len + 1);
		size_t n = 0;

		for (size_t i = 0; i < item.len; i++) {
			if (item.p[i] == '^' && i + 1 < item.len && item.p[i + 1] == '^')
				p[n++] = item.p[i++];
			else
				p[n++] = item.p[i] == '^' ? '\0' : item.p[i];
		}
		v[da->nstrings++] = sv_from(p, n);
	}
}

/* False: it cannot be used now. */
static bool
fill(struct deliver_auth *da, struct exim_env *env, const struct exim_auth *au, struct arena *a)
{
	const struct exim_value *own = au->d.own;
	struct err err = ERR_INIT;
	struct sv send, *v;

	switch (au->drv) {
	case EXIM_AUTH_DRV_PLAINTEXT:
		if (deliver_text(env, &own[EXIM_PLAINTEXT_client_send], &send, &err) == -1 || send.p == NULL)
			return (false);
		cut_strings(da, send, a);
		da->lax_base64 = own[EXIM_PLAINTEXT_client_ignore_invalid_base64].num != 0;
		return (true);
	case EXIM_AUTH_DRV_CRAM_MD5:
		v = arena_zalloc(a, 2 * sizeof(*v));
		if (deliver_text(env, &own[EXIM_CRAM_MD5_client_name], &v[0], &err) == -1 ||
		    deliver_text(env, &own[EXIM_CRAM_MD5_client_secret], &v[1], &err) == -1 || v[1].p == NULL)
			return (false);
		if (v[0].len == 0)
			v[0] = env->g->primary_hostname;
		v[0] = arena_sv(a, v[0]);
		v[1] = arena_sv(a, v[1]);
		da->strings = v;
		da->nstrings = 2;
		return (da->cram = true);
	case EXIM_AUTH_DRV_EXTERNAL:
		if (deliver_text(env, &own[EXIM_EXTERNAL_client_send], &send, &err) == -1)
			return (false);
		v = arena_zalloc(a, sizeof(*v));
		*v = arena_sv(a, send);
		da->strings = v;
		da->nstrings = 1;
		return (true);
	default:
		return (false);
	}
}

void
deliver_auths(struct deliver_opts *o, struct exim_env *env, struct arena *a)
{
	const struct exim_conf *c = env->conf;
	struct deliver_auth *v = arena_zalloc(a, AUTHS_MAX * sizeof(*v));

	o->auths = v;
	for (size_t i = 0; i < c->nauths && o->nauths < AUTHS_MAX; i++) {
		const struct exim_auth *au = c->auths[i];
		const struct exim_value *cond = &au->d.generic[EXIM_AUTH_client_condition];
		struct deliver_auth *da = &v[o->nauths];
		struct err err = ERR_INIT;
		bool yes = true;

		memset(da, 0, sizeof(*da));
		if (!au->client ||
		    (cond->str != NULL && (exim_expand_bool(cond->str, env, false, &yes, &err) != EXIM_OK || !yes)) ||
		    !fill(da, env, au, a))
			continue;
		da->mechanism = au->public_name;
		da->name = au->d.name;
		if (deliver_text(env, &au->d.generic[EXIM_AUTH_client_set_id], &da->id, &err) == 0)
			da->id = arena_sv(a, da->id);
		o->nauths++;
	}
}
