/* SPDX-License-Identifier: BSD-2-Clause */
/* Conditions that match: match, match_domain, match_address, match_local_part, match_ip, inbound_srs (manual 11.7, 58.5). */
#include "exim/acl.h"
#include "exim/expand_int.h"

#include <stdlib.h>

X_COND(xc_match)
{
	struct xcond *w = (struct xcond *)(uintptr_t)c;
	struct sv subject, pattern;
	struct exim_nums nums;
	struct xregex *re;
	enum exim_result r;
	char why[256];
	int m;

	if ((r = x_seq(e, &c->arg[0], &subject)) != EXIM_OK || (r = x_seq(e, &c->arg[1], &pattern)) != EXIM_OK)
		return (r);
	re = x_regex_get(e, pattern, 0, x_seq_literal(&c->arg[1], NULL) ? &w->regex : NULL, why);
	if (re == NULL)
		return (x_fail(e, "regular expression error in \"" SV_FMT "\": %s", SV_ARG(pattern), why));
	m = x_regex_match(e, re, subject, 0, 0, &nums, NULL);
	x_regex_put(e, re);
	if (m < 0)
		return (EXIM_FAIL);
	*yes = m == 1;
	if (m == 1)
		x_nums_set(e, &nums);
	return (EXIM_OK);
}

static enum exim_result
match_result(struct xev *e, enum exim_result r, struct sv list, bool *yes, struct sv data)
{
	switch (r) {
	case EXIM_OK:
		if (*yes || data.p != NULL)
			e->env->value = data;
		return (EXIM_OK);
	case EXIM_DEFER: {
		const char *why = x_message(e);

		/* A list that did not expand is told in the log; the condition knows what the lookup said. */
		if (strncmp(why, "failed to expand ", 17) == 0 && e->env->acl_run == NULL) {
			struct sv said = e->env->lookup_error;

			x_log(e, EXIM_LOG_MAIN | EXIM_LOG_PANIC, why);
			if (said.p == NULL)
				said = e->env->searched ? SV_LIT("") : SV_LIT("NULL");
			return (x_defer(e, "unable to complete match against \"" SV_FMT "\": " SV_FMT, SV_ARG(list), SV_ARG(said)));
		}
		/* Exim logs which list is unknown, and knows no reason here. */
		if (*why == '\0' || strncmp(why, "unknown named", 13) == 0)
			why = "NULL";
		return (x_defer(e, "unable to complete match against \"" SV_FMT "\": %s", SV_ARG(list), why));
	}
	default:
		return (r);
	}
}

X_COND(xc_match_list)
{
	struct sv subject, text, data = SV_NULL;
	struct xcached *cached = NULL;
	struct exim_list *list = c->list;
	enum exim_result r;

	if ((r = x_seq(e, &c->arg[0], &subject)) != EXIM_OK || (r = x_seq(e, &c->arg[1], &text)) != EXIM_OK)
		return (r);
	if (list == NULL) {
		cached = x_cache_list(e, (enum exim_list_kind)c->row->kind, text);
		list = cached->list;
	}
	switch (c->row->kind) {
	case EXIM_LIST_DOMAIN:
		r = exim_match_domain(list, e->env, subject, yes, &data, e->err);
		break;
	case EXIM_LIST_ADDRESS:
		r = exim_match_address(list, e->env, subject, false, yes, &data, e->err);
		break;
	default:
		r = exim_match_local(list, e->env, subject, false, yes, &data, e->err);
		break;
	}
	if (data.p != NULL && cached != NULL)
		data = arena_sv(e->env->arena, data);
	x_cache_put(cached);
	return (match_result(e, r, text, yes, data));
}

/* "fe80::1%eth0": an address, but one that no list can name. */
static bool
zoned(struct sv v)
{
	ptrdiff_t at = sv_chr(v, '%');
	struct net_addr a;

	return (at > 0 && sv_chr(v, ':') >= 0 && net_addr_parse(sv_sub(v, 0, (size_t)at), &a));
}

X_COND(xc_match_ip)
{
	struct exim_host h = { .name_failed = true };
	struct xcached *cached = NULL;
	struct exim_list *list = c->list;
	struct sv text, data = SV_NULL;
	enum exim_result r;

	if ((r = x_seq(e, &c->arg[0], &h.address)) != EXIM_OK || (r = x_seq(e, &c->arg[1], &text)) != EXIM_OK)
		return (r);
	if (h.address.len > 0 && (h.address.p[0] == '[' || (!net_addr_parse(h.address, &h.addr) && !zoned(h.address))))
		return (x_fail(e, "\"" SV_FMT "\" is not an IP address", SV_ARG(h.address)));
	h.ip_only = true;
	if (list == NULL) {
		cached = x_cache_list(e, EXIM_LIST_HOST, text);
		list = cached->list;
	}
	r = exim_match_host(list, e->env, &h, yes, &data, e->err);
	if (data.p != NULL && cached != NULL)
		data = arena_sv(e->env->arena, data);
	x_cache_put(cached);
	return (match_result(e, r, text, yes, data));
}

/* SRS0=hash=stamp=domain=local */
static bool
srs_split(struct sv v, struct sv part[4])
{
	if (!sv_casestarts(v, "SRS0="))
		return (false);
	v = sv_sub(v, 5, v.len);
	for (int i = 0; i < 3; i++) {
		ptrdiff_t at = sv_chr(v, '=');

		if (at < 0 || (i < 2 && at == 0))
			return (false);
		part[i] = sv_sub(v, 0, (size_t)at);
		v = sv_sub(v, (size_t)at + 1, v.len);
	}
	part[3] = v;
	for (size_t i = 0; i < part[1].len; i++)
		if (!sv_isalpha(part[1].p[i]) && !(part[1].p[i] >= '2' && part[1].p[i] <= '7'))
			return (false);
	return (true);
}

static struct sv
srs_recipient(struct xev *e, struct sv local, struct sv domain, bool quote)
{
	struct xb b;

	xb_init(&b, e->env->arena, local.len + domain.len + 8);
	b.tainted = local.tainted;
	if (quote)
		xb_addc(&b, '"');
	for (size_t i = 0; i < local.len; i++)
		xb_addc(&b, sv_lower(local.p[i]));
	if (quote)
		xb_addc(&b, '"');
	xb_addc(&b, '@');
	for (size_t i = 0; i < domain.len; i++)
		xb_addc(&b, sv_lower(domain.p[i]));
	return (xb_sv(&b));
}

/* Ten days are allowed. */
static bool
srs_fresh(struct xev *e, struct sv stamp)
{
	int64_t day = 0;

	for (size_t i = 0; i < stamp.len; i++) {
		const char *at = strchr(x_base32, sv_lower(stamp.p[i]));

		day = (day * 32 + (at - x_base32)) & 0xfffff;
	}
	return (((x_now(e, NULL) / 86400 - day) & 0x3ff) <= 10);
}

X_COND(xc_inbound_srs)
{
	struct sv local, secret, part[4];
	enum exim_result r;
	bool quote = false;
	char hex[65];

	if ((r = x_seq(e, &c->arg[0], &local)) != EXIM_OK || (r = x_seq(e, &c->arg[1], &secret)) != EXIM_OK)
		return (r);
	if (!srs_split(local, part))
		return (EXIM_OK);
	for (size_t i = 0; i < local.len; i++)
		if (!sv_isalnum(local.p[i]) && strchr(".!#$%&'*+-/=?^_`{|}~", local.p[i]) == NULL)
			quote = true;
	if (quote && part[3].len > 0 && part[3].p[part[3].len - 1] == '"')
		part[3].len--;
	e->env->srs_recipient = srs_recipient(e, part[3], part[2], quote);
	if (secret.len == 0) {
		*yes = true;
		return (EXIM_OK);
	}
	if (!srs_fresh(e, part[1]) || part[0].len != 4)
		return (EXIM_OK);
	(void)x_hmac(SV_LIT("md5"), secret, e->env->srs_recipient, hex);
	*yes = memcmp(part[0].p, hex, 4) == 0;
	return (EXIM_OK);
}
