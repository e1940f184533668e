/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify = recipient/quota (section 44.49 of Exim's manual): whether the mailbox of a recipient would take a message of the
 * size that MAIL announced.  Answers are kept in the hints "callout", by the address as the
 * client gave it: "q ADDRESS", with "y" or "n" and the time.
 */
#include "base/num.h"
#include "route/world.h"
#include "session/quota.h"
#include "session/session_int.h"
#include "transport/transport.h"

#define KEY_MAX		1024

static struct sv
key_of(struct exim_env *env, struct sv address)
{
	return (address.len > KEY_MAX ? SV_NULL : sv_cstr(arena_fmt(env->arena, "q " SV_FMT, SV_ARG(address))));
}

/* 'y' or 'n', or 0 where nothing is known. */
static char
recall(struct exim_env *env, const struct exim_verify *v, struct sv key, int64_t now)
{
	const struct exim_world *w = env->world;
	struct sv value, word;
	int64_t at;

	if (key.p == NULL || w->hint_get == NULL || w->hint_get(w->arg, "callout", key, env->arena, &value) != EXIM_FOUND ||
	    !sv_word(&value, &word) || word.len != 1 || !num_parse(sv_trim(value), 0, INT64_MAX, &at) ||
	    now - at >= (word.p[0] == 'y' ? v->quota_positive : v->quota_negative))
		return (0);
	return (word.p[0]);
}

static bool
full(struct session *s, struct exim_env *env, struct sv address, const struct route_delivery *rd)
{
	const struct route_delivery *one[] = { rd };
	struct transport_delivery td = { .env = env, .t = rd->transport, .rd = one, .n = 1, .id = SV_LIT(""), .quota_only = true,
	    .now = env->world->now == NULL ? 0 : env->world->now(env->world->arg, NULL), .uid = s->conf->g.exim_uid,
	    .gid = s->conf->g.exim_gid, .hostname = arena_cstr(s->cmd, s->conf->g.primary_hostname), .arena = s->cmd };
	struct exim_address *outside = env->addr, a;
	bool yes;

	if (env->msg != NULL) {
		td.return_path = env->msg->sender;
		td.size = env->msg->size > 0 ? (uint64_t)env->msg->size : 0;
	}
	route_world_delivery(&a, rd, s->cmd);
	env->addr = &a;
	yes = s->sv->ops->full(s->sv->ops->arg, address, &td);
	env->addr = outside;
	return (yes);
}

enum exim_result
session_quota(struct session *s, struct exim_env *env, const struct exim_verify *v, const struct route_delivery *rd,
    struct exim_verify_result *out)
{
	const struct exim_world *w = env->world;
	struct sv key = key_of(env, v->address);
	int64_t now = w->now == NULL ? 0 : w->now(w->arg, NULL);
	int64_t keep = v->quota_positive > v->quota_negative ? v->quota_positive : v->quota_negative;
	char known = recall(env, v, key, now);
	bool no = known == 'n';

	if (s->sv->ops->full == NULL || rd->transport == NULL || rd->transport->drv != EXIM_TRANSPORT_DRV_APPENDFILE)
		return (EXIM_OK);
	if (known == 0) {
		no = full(s, env, v->address, rd);
		if (key.p != NULL && keep > 0 && w->hint_put != NULL)
			(void)w->hint_put(w->arg, "callout", key,
			    sv_cstr(arena_fmt(s->cmd, "%c %lld", no ? 'n' : 'y', (long long)now)), keep);
	}
	if (!no)
		return (EXIM_OK);
	out->failure = SV_LIT("quota");
	/* As in Exim the client is not told whose fault it is, unless the ACL does. */
	out->log_msg = known == 0 ? SV_LIT("Over quota") : SV_LIT("Previous (cached) quota verification failure");
	return (EXIM_FAIL);
}
