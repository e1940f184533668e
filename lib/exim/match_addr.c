/* SPDX-License-Identifier: BSD-2-Clause */
/* Items of address lists (manual 10.20): whole addresses, local part and domain, @@lookup. */
#include "exim/match_int.h"

#include <stdlib.h>

#define CHAIN_MAX	50

static bool
local_matches(const struct mscan *s, struct sv pattern, struct sv local)
{
	struct sv tail;

	if (pattern.len > 0 && pattern.p[0] == '*') {
		pattern = sv_sub(pattern, 1, pattern.len);
		if (local.len < pattern.len)
			return (false);
		tail = sv_sub(local, local.len - pattern.len, local.len);
		return (s->caseless ? sv_caseeq(pattern, tail) : sv_eq(pattern, tail));
	}
	return (s->caseless ? sv_caseeq(pattern, local) : sv_eq(pattern, local));
}

/* $0 the address, then what the stars of local part and domain stood for, or what a partial lookup of the domain set. */
static void
address_nums(struct mscan *s, const struct mitem *it, struct sv local, const struct exim_nums *dom)
{
	struct exim_nums n = { .n = 1 };

	n.v[0] = s->original;
	if (it->local.p == NULL)
		n.v[n.n++] = local;
	else if (it->local.len > 0 && it->local.p[0] == '*')
		n.v[n.n++] = sv_sub(local, 0, local.len - (it->local.len - 1));
	for (unsigned i = 1; dom != NULL && i < dom->n && n.n < EXIM_NUMS; i++)
		n.v[n.n++] = dom->v[i];
	x_nums_set(s->e, &n);
}

static enum mresult
domain_matches(struct mscan *s, const struct mitem *it, struct sv local, struct sv domain)
{
	struct mscan d = { .e = s->e, .kind = EXIM_LIST_DOMAIN, .subject = domain, .original = domain,
	    .caseless = s->caseless, .depth = s->depth + 1 };
	/* Behind +caseful, Exim compares domains as they are written too. */
	struct exim_list one = { .kind = EXIM_LIST_DOMAIN, .v = it->domain, .n = it->domain->type == M_EMPTY ? 0 : 1 };
	enum mresult r;
	struct xb b;

	if (d.depth > MATCH_DEPTH)
		return (m_die(s, "lists are nested more than %d deep", MATCH_DEPTH));
	d.nums = s->nums;
	if (s->nums)
		s->e->env->nums = NULL;
	r = m_list(&d, &one);
	if (r != MR_YES)
		return (r);
	if (s->nums)
		address_nums(s, it, local, s->e->env->nums);
	xb_init(&b, s->e->env->arena, it->local.len + d.value.len + 2);
	xb_add(&b, it->local);
	xb_addc(&b, '@');
	xb_add(&b, d.value);
	s->value = xb_sv(&b);
	return (MR_YES);
}

/* The list of local parts of a domain: its patterns one by one. */
static enum mresult
split_list(struct mscan *s, struct sv list, struct sv local, bool *answer)
{
	struct sv item;
	int sep = 0;

	while (exim_list_next(&list, &sep, s->e->env->arena, &item)) {
		struct mitem it;
		enum mresult r;

		m_item_compile(s->e->env->arena, EXIM_LIST_LOCAL, item, &it);
		r = m_string(s, &it, local);
		*answer = !it.negate;
		if (r != MR_NO)
			return (r);
	}
	return (MR_NO);
}

/* ">key" as the last item goes on with another list; p NULL: there is none. */
static struct sv
chain(struct sv *list)
{
	ptrdiff_t colon = sv_rchr(*list, ':');
	struct sv last = sv_trim(sv_sub(*list, colon < 0 ? 0 : (size_t)colon + 1, list->len));

	if (last.len == 0 || last.p[0] != '>')
		return (SV_NULL);
	*list = sv_sub(*list, 0, colon < 0 ? 0 : (size_t)colon);
	return (sv_trim(sv_sub(last, 1, last.len)));
}

static enum mresult
split(struct mscan *s, const struct mitem *it, struct sv local, struct sv key)
{
	bool answer = true;
	enum mresult r;

	for (int i = 0; i < CHAIN_MAX && key.len > 0; i++) {
		struct sv list;

		r = m_lookup(s, &it->lookup, it->arg, key, true);
		if (r != MR_YES)
			return (r);
		list = s->value;
		key = x_lookup_is_query(it->lookup.type) ? SV_NULL : chain(&list);
		r = split_list(s, list, local, &answer);
		if (r == MR_YES)
			return (answer ? MR_YES : MR_NO);
		if (r != MR_NO)
			return (r);
	}
	return (MR_NO);
}

enum mresult
m_address(struct mscan *s, const struct mitem *it)
{
	struct sv local, domain;
	enum mresult r;
	ptrdiff_t at;

	/* A null sender is in patterns for it, in regular expressions and in tables. */
	if (s->subject.len == 0 && it->type != M_EMPTY && it->type != M_REGEX && it->type != M_LOOKUP)
		return (MR_NO);
	if (it->type == M_SPLIT && sv_starts(s->subject, "*@"))
		return (MR_NO);
	if (it->type == M_ERROR)
		return (m_die(s, SV_FMT, SV_ARG(it->arg)));
	if (s->subject.len > 0 && it->type != M_EMPTY && sv_chr(s->subject, '@') < 0) {
		m_log(s, "no @ found in the subject of an address list match: subject=\"" SV_FMT "\" pattern=\"" SV_FMT "\"",
		    SV_ARG(s->subject), SV_ARG(it->text));
		return (MR_NO);
	}
	if (it->type == M_REGEX || it->type == M_EMPTY) {
		r = m_string(s, it, s->subject);
		s->value = SV_NULL;
		return (r);
	}
	if (it->type == M_LOOKUP)
		return (m_lookup(s, &it->lookup, it->arg, s->subject, false));
	at = sv_rchr(s->subject, '@');
	if (it->type == M_SPLIT)
		return (at < 0 ? MR_NO : split(s, it, sv_sub(s->subject, 0, (size_t)at),
		    sv_sub(s->subject, (size_t)at + 1, s->subject.len)));
	/* An address without a domain matches no pattern that has one. */
	if (it->type != M_ADDRESS || at < 0)
		return (MR_NO);
	local = sv_sub(s->subject, 0, (size_t)at);
	domain = sv_sub(s->subject, (size_t)at + 1, s->subject.len);
	if (it->local.p != NULL && !local_matches(s, it->local, local))
		return (MR_NO);
	return (domain_matches(s, it, local, domain));
}
