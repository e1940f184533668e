/* SPDX-License-Identifier: BSD-2-Clause */
/* Items of lists: compiling one, and matching those that compare a string (manual 10.9, 10.22). */
#include "exim/match_int.h"

#include <stdlib.h>

#include "base/num.h"

static void
set_error(struct mitem *it, const char *text)
{
	it->type = M_ERROR;
	it->arg = sv_cstr(text);
}

/* "type;file" or "type;query". */
static void
compile_lookup(struct arena *a, struct mitem *it, struct sv text, ptrdiff_t semi)
{
	const char *why;

	it->type = M_LOOKUP;
	it->arg = sv_sub(text, (size_t)semi + 1, text.len);
	while (it->arg.len > 0 && sv_isspace(it->arg.p[0]))
		it->arg = sv_sub(it->arg, 1, it->arg.len);
	if (!x_lookup_parse(a, sv_sub(text, 0, (size_t)semi), &it->lookup, &why))
		set_error(it, why);
}

/* "@mx_any/ignore=list" behind "@mx_"; false: some other word. */
static bool
compile_mx(struct arena *a, struct mitem *it, struct sv text)
{
	static const struct { const char *name; enum mmx kind; } t[] = {
		{ "any", MX_ANY }, { "primary", MX_PRIMARY }, { "secondary", MX_SECONDARY }
	};

	for (size_t i = 0; i < 3; i++) {
		struct sv rest;

		if (!sv_casestarts(text, t[i].name))
			continue;
		rest = sv_sub(text, strlen(t[i].name), text.len);
		if (rest.len > 0 && !sv_casestarts(rest, "/ignore="))
			continue;
		it->type = M_MX;
		it->num = (int)t[i].kind;
		if (rest.len > 0)
			it->ignore = xm_compile_raw(a, EXIM_LIST_HOST, sv_sub(rest, 8, rest.len));
		return (true);
	}
	return (false);
}

/* What domain, local part and string lists share; <special>: "@" means something. */
static void
compile_string(struct arena *a, struct sv text, bool special, struct mitem *it)
{
	ptrdiff_t semi;

	it->type = M_LITERAL;
	it->arg = text;
	if (text.len == 0)
		it->type = M_EMPTY;
	else if (text.p[0] == '^')
		it->type = M_REGEX;
	else if (text.p[0] == '*') {
		it->type = text.len == 1 ? M_ANY : M_SUFFIX;
		it->arg = sv_sub(text, 1, text.len);
	} else if (special && sv_eqs(text, "@"))
		it->type = M_PRIMARY;
	else if (special && sv_eqs(text, "@[]"))
		it->type = M_IFACE;
	else if (special && sv_casestarts(text, "@mx_") && compile_mx(a, it, sv_sub(text, 4, text.len)))
		return;
	else if ((semi = sv_chr(text, ';')) >= 0)
		compile_lookup(a, it, text, semi);
}

static bool
digits_and_dots(struct sv v)
{
	size_t i = 0;

	while (i < v.len && (sv_isdigit(v.p[i]) || v.p[i] == '.'))
		i++;
	return (i == v.len || (v.p[i] == '/' && i > 0));
}

static bool
plain_name(struct sv v)
{
	for (size_t i = 0; i < v.len; i++)
		if (!sv_isalnum(v.p[i]) && v.p[i] != '.' && v.p[i] != '-' && v.p[i] != '_' && (unsigned char)v.p[i] < 128)
			return (false);
	return (true);
}

/* "net-type;file", "net24-type;file"; false: none. */
static bool
compile_net(struct arena *a, struct sv text, struct mitem *it)
{
	ptrdiff_t semi = sv_chr(text, ';');
	int bits = -1;
	const char *why;
	struct sv type;
	size_t i = 3;

	if (semi < 0 || !sv_starts(text, "net"))
		return (false);
	for (; i < text.len && sv_isdigit(text.p[i]); i++)
		bits = bits > 1000 ? bits : (bits < 0 ? 0 : bits * 10) + text.p[i] - '0';
	if (i >= text.len || text.p[i] != '-' || (size_t)semi < i) {
		/* A name with a semicolon, which no host has. */
		it->type = M_NAME;
		it->arg = text;
		return ((size_t)semi > i && memchr(text.p + i, '-', (size_t)semi - i) != NULL);
	}
	type = sv_sub(text, i + 1, (size_t)semi);
	compile_lookup(a, it, sv_sub(text, i + 1, text.len), semi - (ptrdiff_t)i - 1);
	it->num = bits;
	if (it->type == M_ERROR)
		return (true);
	it->type = M_NET;
	/* No partial matching and no defaults with addresses. */
	if (it->lookup.partial >= 0 || it->lookup.star || it->lookup.starat) {
		why = arena_fmt(a, "unknown lookup type \"" SV_FMT "\"", SV_ARG(type));
		set_error(it, why);
	}
	return (true);
}

/* A mask longer than the address means all of it. */
static bool
parse_prefix(struct sv text, struct net_prefix *p)
{
	ptrdiff_t slash = sv_rchr(text, '/');
	int64_t bits;

	if (net_prefix_parse(text, p))
		return (true);
	return (slash > 0 && num_parse(sv_sub(text, (size_t)slash + 1, text.len), 33, INT64_MAX, &bits) &&
	    net_prefix_parse(sv_sub(text, 0, (size_t)slash), p) && (p->addr.family == 4 || bits > 128));
}

static void
compile_host(struct arena *a, struct sv text, struct mitem *it)
{
	static const struct { const char *name; int flag; } t[] = {
		{ "+include_unknown", MF_INCLUDE_UNKNOWN }, { "+ignore_unknown", MF_IGNORE_UNKNOWN },
		{ "+include_defer", MF_INCLUDE_DEFER }, { "+ignore_defer", MF_IGNORE_DEFER }
	};

	for (size_t i = 0; i < 4; i++)
		if (!it->negate && sv_eqs(text, t[i].name)) {
			it->type = M_FLAG;
			it->num = t[i].flag;
			return;
		}
	it->num = -1;
	if (text.len > 0 && text.p[0] != '[' && parse_prefix(text, &it->prefix)) {
		it->type = M_PREFIX;
		return;
	}
	/* What begins like an IPv4 address is none of the other items: "10.0.0.0/8 ; 10.1.2.3" is no lookup. */
	if (text.len > 0 && digits_and_dots(text)) {
		set_error(it, "malformed IPv4 address or address mask");
		return;
	}
	if (compile_net(a, text, it))
		return;
	compile_string(a, text, true, it);
	if (it->type == M_PRIMARY)
		it->type = M_NAME;
	else if (it->type == M_ERROR)
		it->num = MATCH_PUT_OFF;
	else if (it->type == M_LITERAL && plain_name(text))
		it->type = M_NAME;
}

/* A whole-address lookup begins with a type's name; "@" before the semicolon is only that of "*@". */
static bool
is_lookup(struct sv text, ptrdiff_t semi)
{
	for (ptrdiff_t i = 0; i < semi; i++) {
		char c = text.p[i];

		if (c == '@' && (i == 0 || text.p[i - 1] != '*' || i == 1))
			return (false);
		if (c == '*' && i == 0)
			return (false);
	}
	return (semi > 0);
}

static void
compile_address(struct arena *a, struct sv text, struct mitem *it)
{
	ptrdiff_t semi = sv_chr(text, ';'), at;
	struct sv domain = text;

	if (text.len == 0 || text.p[0] == '^') {
		compile_string(a, text, false, it);
		return;
	}
	if (sv_starts(text, "@@") && semi > 0) {
		compile_lookup(a, it, sv_sub(text, 2, text.len), semi - 2);
		if (it->type != M_ERROR)
			it->type = M_SPLIT;
		return;
	}
	if (semi > 0 && is_lookup(text, semi)) {
		compile_lookup(a, it, text, semi);
		/* Domains only are looked up in parts. */
		it->lookup.partial = -1;
		return;
	}
	it->type = M_ADDRESS;
	at = sv_rchr(semi > 0 ? sv_sub(text, 0, (size_t)semi) : text, '@');
	/* "local@@": the domain is the primary host name. */
	if (at > 0 && (size_t)at + 1 == text.len && text.p[at - 1] == '@')
		at--;
	if (at >= 0) {
		it->local = sv_sub(text, 0, (size_t)at);
		if (it->local.p == NULL)
			it->local = SV_LIT("");
		domain = sv_sub(text, (size_t)at + 1, text.len);
	}
	it->domain = arena_zalloc(a, sizeof(*it->domain));
	m_item_compile(a, EXIM_LIST_DOMAIN, domain, it->domain);
}

void
m_item_compile(struct arena *a, enum exim_list_kind kind, struct sv text, struct mitem *it)
{
	memset(it, 0, sizeof(*it));
	if (text.len > 0 && text.p[0] == '!') {
		it->negate = true;
		text = sv_sub(text, 1, text.len);
		while (text.len > 0 && sv_isspace(text.p[0]))
			text = sv_sub(text, 1, text.len);
	}
	if (text.p == NULL)
		text = SV_LIT("");
	it->text = text;
	it->arg = text;
	if (text.len > 0 && text.p[0] == '/') {
		it->type = M_FILE;
		return;
	}
	if (!it->negate && sv_eqs(text, "+caseful") && (kind == EXIM_LIST_ADDRESS || kind == EXIM_LIST_LOCAL)) {
		it->type = M_FLAG;
		it->num = MF_CASEFUL;
		return;
	}
	if (kind == EXIM_LIST_HOST)
		compile_host(a, text, it);
	else if (kind == EXIM_LIST_ADDRESS)
		compile_address(a, text, it);
	else
		compile_string(a, text, kind == EXIM_LIST_DOMAIN, it);
	if (text.len > 1 && text.p[0] == '+' && kind != EXIM_LIST_STRING && it->type != M_FLAG) {
		it->type = M_NAMED;
		it->arg = sv_sub(text, 1, text.len);
	}
}

/* --- matching --- */

static void
set_tail(struct mscan *s, struct sv subject, size_t head)
{
	struct exim_nums n = { .n = 2 };

	if (!s->nums)
		return;
	n.v[0] = subject;
	n.v[1] = sv_sub(subject, 0, head);
	x_nums_set(s->e, &n);
}

/* $0 alone. */
static void
set_whole(struct mscan *s, struct sv subject)
{
	struct exim_nums n = { .n = 1, .v = { subject } };

	if (s->nums)
		x_nums_set(s->e, &n);
}

static enum mresult
regex(struct mscan *s, const struct mitem *it, struct sv subject)
{
	struct mitem *w = (struct mitem *)(uintptr_t)it;
	struct exim_nums nums;
	struct xregex *re;
	char why[256];
	int m;

	re = x_regex_get(s->e, it->text, s->caseless ? XRE_CASELESS : 0, &w->re[s->caseless], why);
	if (re == NULL)
		return (m_die(s, "regular expression error: %s while compiling " SV_FMT, why, SV_ARG(it->text)));
	m = x_regex_match(s->e, re, subject, 0, 0, &nums, NULL);
	x_regex_put(s->e, re);
	if (m == 1 && s->nums) {
		nums.v[0] = subject;		/* in lists all of it */
		x_nums_set(s->e, &nums);
	}
	return (m < 0 ? MR_FAIL : m == 1 ? MR_YES : MR_NO);
}

enum mresult
m_lookup(struct mscan *s, const struct xlookup_spec *spec, struct sv file, struct sv key, bool partial)
{
	struct xlookup_spec plain;
	const struct exim_nums *nums = NULL;
	bool found = false, query = x_lookup_is_query(spec->type);
	struct sv value = SV_NULL;
	enum exim_result r;

	if (!partial && spec->partial >= 0) {
		plain = *spec;
		plain.partial = -1;
		spec = &plain;
	}
	r = x_lookup(s->e, spec, query ? SV_NULL : file, query ? file : key, &found, &value, &nums);
	if (r == EXIM_DEFER)
		return (MR_DEFER);
	if (r != EXIM_OK) {
		const char *why = x_message(s->e);

		return (m_die(s, "%s", why));
	}
	if (!found)
		return (MR_NO);
	if (nums != NULL && s->nums) {
		struct exim_nums n = *nums;

		n.v[0] = key;
		x_nums_set(s->e, &n);
	} else {
		set_whole(s, key);
	}
	s->value = value;
	return (MR_YES);
}

static bool
equal(const struct mscan *s, struct sv a, struct sv b)
{
	return (s->caseless ? sv_caseeq(a, b) : sv_eq(a, b));
}

/* "[192.0.2.1]" for one of our own addresses. */
static enum mresult
literal_of_ours(struct mscan *s, struct sv subject)
{
	struct net_addr a;
	struct sv v;

	if (subject.len < 3 || subject.p[0] != '[' || subject.p[subject.len - 1] != ']')
		return (MR_NO);
	v = sv_sub(subject, 1, subject.len - 1);
	if (sv_casestarts(v, "IPv6:"))
		v = sv_sub(v, 5, v.len);
	return (net_addr_parse(v, &a) && m_is_local_address(s->e, &a) ? MR_YES : MR_NO);
}

enum mresult
m_string(struct mscan *s, const struct mitem *it, struct sv subject)
{
	enum mresult r = MR_NO;
	struct sv tail;

	s->value = it->text;
	switch (it->type) {
	case M_EMPTY:
		return (subject.len == 0 ? MR_YES : MR_NO);
	case M_ANY:
		set_tail(s, subject, subject.len);
		return (MR_YES);
	case M_LITERAL:
	case M_NAME:
		if (!equal(s, it->arg, subject))
			return (MR_NO);
		set_whole(s, subject);
		return (MR_YES);
	case M_SUFFIX:
		if (subject.len < it->arg.len)
			return (MR_NO);
		tail = sv_sub(subject, subject.len - it->arg.len, subject.len);
		if (!equal(s, it->arg, tail))
			return (MR_NO);
		set_tail(s, subject, subject.len - it->arg.len);
		return (MR_YES);
	case M_REGEX:
		/* In its own case, which $0 and the like then show. */
		r = regex(s, it, subject.p == s->subject.p && s->kind != EXIM_LIST_ADDRESS ? s->original : subject);
		s->value = it->text;
		return (r);
	case M_PRIMARY:
		if (s->e->env->g == NULL || !sv_caseeq(s->e->env->g->primary_hostname, subject))
			return (MR_NO);
		s->value = s->e->env->g->primary_hostname;
		set_whole(s, subject);
		return (MR_YES);
	case M_IFACE:
		return (literal_of_ours(s, subject));
	case M_MX:
		r = m_mx(s, it, subject);
		s->value = it->text;
		if (r == MR_YES)
			set_whole(s, subject);
		return (r);
	case M_LOOKUP:
		return (m_lookup(s, &it->lookup, it->arg, subject, true));
	case M_ERROR:
		return (m_die(s, SV_FMT, SV_ARG(it->arg)));
	default:
		return (MR_NO);
	}
}

enum mresult
m_item(struct mscan *s, const struct mitem *it)
{
	switch (s->kind) {
	case EXIM_LIST_HOST:
		return (m_host(s, it));
	case EXIM_LIST_ADDRESS:
		return (m_address(s, it));
	default:
		return (m_string(s, it, s->subject));
	}
}
