/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conditions of ${if, ${filter, forany and the like (manual 11.7): their table,
 * parsers, and the ones that compare strings and numbers.  Matching against lists and
 * regexes stands in cond_match.c, passwords in cond_auth.c.
 */
#include "exim/expand_int.h"

#include <stdlib.h>

enum { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE, CMP_CASELESS = 16, CMP_NUM = 32 };
enum { IP_ANY, IP_4, IP_6 };
enum { IT_ANY, IT_ALL, IT_JSON = 2, IT_JSONS = 4 };

static bool parse_one(struct xparse *ps, struct xcond *c);
static bool parse_two(struct xparse *ps, struct xcond *c);
static bool parse_args(struct xparse *ps, struct xcond *c);
static bool parse_wrapped(struct xparse *ps, struct xcond *c);
static bool parse_bool(struct xparse *ps, struct xcond *c);
static bool parse_def(struct xparse *ps, struct xcond *c);
static bool parse_combined(struct xparse *ps, struct xcond *c);
static bool parse_iterate(struct xparse *ps, struct xcond *c);
static bool parse_none(struct xparse *ps, struct xcond *c);
static X_COND(test_compare);
static X_COND(test_and);
static X_COND(test_or);
static X_COND(test_bool);
static X_COND(test_def);
static X_COND(test_exists);
static X_COND(test_isip);
static X_COND(test_inlist);
static X_COND(test_forany);
static X_COND(test_acl);
static X_COND(test_first_delivery);
static X_COND(test_queue_running);

/* Sorted by name. */
const struct xcond_row x_conds[] = {
	{ "<",		parse_two,	test_compare,	CMP_LT | CMP_NUM },
	{ "<=",		parse_two,	test_compare,	CMP_LE | CMP_NUM },
	{ "=",		parse_two,	test_compare,	CMP_EQ | CMP_NUM },
	{ "==",		parse_two,	test_compare,	CMP_EQ | CMP_NUM },
	{ ">",		parse_two,	test_compare,	CMP_GT | CMP_NUM },
	{ ">=",		parse_two,	test_compare,	CMP_GE | CMP_NUM },
	{ "acl",	parse_wrapped,	test_acl,	1 },
	{ "and",	parse_combined, test_and,	0 },
	{ "bool",	parse_bool,	test_bool,	0 },
	{ "bool_lax",	parse_bool,	test_bool,	1 },
	{ "crypteq",	parse_two,	xc_crypteq,	0 },
	{ "def",	parse_def,	test_def,	0 },
	{ "eq",		parse_two,	test_compare,	CMP_EQ },
	{ "eqi",	parse_two,	test_compare,	CMP_EQ | CMP_CASELESS },
	{ "exists",	parse_one,	test_exists,	0 },
	{ "first_delivery", parse_none, test_first_delivery, 0 },
	{ "forall",	parse_iterate,	test_forany,	IT_ALL },
	{ "forall_json", parse_iterate, test_forany,	IT_ALL | IT_JSON },
	{ "forall_jsons", parse_iterate, test_forany,	IT_ALL | IT_JSON | IT_JSONS },
	{ "forany",	parse_iterate,	test_forany,	IT_ANY },
	{ "forany_json", parse_iterate, test_forany,	IT_ANY | IT_JSON },
	{ "forany_jsons", parse_iterate, test_forany,	IT_ANY | IT_JSON | IT_JSONS },
	{ "ge",		parse_two,	test_compare,	CMP_GE },
	{ "gei",	parse_two,	test_compare,	CMP_GE | CMP_CASELESS },
	{ "gt",		parse_two,	test_compare,	CMP_GT },
	{ "gti",	parse_two,	test_compare,	CMP_GT | CMP_CASELESS },
	{ "inbound_srs", parse_args,	xc_inbound_srs, 2 },
	{ "inlist",	parse_two,	test_inlist,	0 },
	{ "inlisti",	parse_two,	test_inlist,	1 },
	{ "isip",	parse_one,	test_isip,	IP_ANY },
	{ "isip4",	parse_one,	test_isip,	IP_4 },
	{ "isip6",	parse_one,	test_isip,	IP_6 },
	{ "ldapauth",	parse_one,	xc_auth,	0 },
	{ "le",		parse_two,	test_compare,	CMP_LE },
	{ "lei",	parse_two,	test_compare,	CMP_LE | CMP_CASELESS },
	{ "lt",		parse_two,	test_compare,	CMP_LT },
	{ "lti",	parse_two,	test_compare,	CMP_LT | CMP_CASELESS },
	{ "match",	parse_two,	xc_match,	0 },
	{ "match_address", parse_two,	xc_match_list,	EXIM_LIST_ADDRESS },
	{ "match_domain", parse_two,	xc_match_list,	EXIM_LIST_DOMAIN },
	{ "match_ip",	parse_two,	xc_match_ip,	EXIM_LIST_HOST },
	{ "match_local_part", parse_two, xc_match_list, EXIM_LIST_LOCAL },
	{ "or",		parse_combined, test_or,	0 },
	{ "pam",	parse_one,	xc_auth,	0 },
	{ "pwcheck",	parse_one,	xc_auth,	0 },
	{ "queue_running", parse_none,	test_queue_running, 0 },
	{ "radius",	parse_one,	xc_auth,	0 },
	{ "saslauthd",	parse_wrapped,	xc_auth,	2 },
	{ NULL,		NULL,		NULL,		0 }
};
#define NCONDS	(sizeof(x_conds) / sizeof(x_conds[0]) - 1)

static int
compare_cond(const void *key, const void *row)
{
	return (sv_cmp(*(const struct sv *)key, sv_cstr(((const struct xcond_row *)row)->name)));
}

const struct xcond_row *
x_cond_find(struct sv name)
{
	return (bsearch(&name, x_conds, NCONDS, sizeof(x_conds[0]), compare_cond));
}

/* --- parsers --- */

struct sv
xp_cond_name(struct xparse *ps)
{
	const char *start = ps->p;

	if (*start != '=' && *start != '<' && *start != '>')
		return (xp_name(ps, "_"));
	ps->p += start[1] == '=' ? 2 : 1;
	return (sv_from(start, (size_t)(ps->p - start)));
}

bool
xp_cond(struct xparse *ps, struct xcond **out)
{
	struct xcond *c = arena_zalloc(ps->a, sizeof(*c));
	const char *at;
	bool ok;

	*out = c;
	while (xp_skip(ps) == '!') {
		c->negate = !c->negate;
		ps->p++;
	}
	at = ps->p;
	c->name = xp_cond_name(ps);
	if (c->name.len == 0)
		return (xp_error(ps, "condition name expected, but found \"%.16s\"", at));
	c->row = x_cond_find(c->name);
	if (c->row == NULL)
		return (xp_error(ps, "unknown condition \"" SV_FMT "\"", SV_ARG(c->name)));
	if (++ps->depth > X_DEPTH) {
		ps->depth--;
		return (xp_error(ps, "conditions are nested more than %d deep", X_DEPTH));
	}
	ok = c->row->parse(ps, c);
	if (!ok)
		xp_before(ps, c->arg, c->narg);
	ps->depth--;
	return (ok);
}

static bool
parse_none(struct xparse *ps, struct xcond *c)
{
	return (true);
}

static bool
open_brace(struct xparse *ps, const struct xcond *c)
{
	if (xp_skip(ps) != '{')
		return (xp_error(ps, "missing { after \"%s\"", c->row->name));
	ps->p++;
	return (true);
}

static bool
parse_one(struct xparse *ps, struct xcond *c)
{
	c->arg = arena_zalloc(ps->a, sizeof(*c->arg));
	if (!open_brace(ps, c) || !xp_seq(ps, true, true, &c->arg[0]))
		return (false);
	c->narg = 1;
	ps->p++;
	return (true);
}

static bool
second_string(struct xparse *ps, struct xcond *c, bool dollar)
{
	if (xp_skip(ps) != '{')
		return (xp_error(ps, "missing 2nd string in {} after \"%s\"", c->row->name));
	ps->p++;
	if (!xp_seq(ps, true, dollar, &c->arg[1]))
		return (false);
	ps->p++;
	return (true);
}

/* The second string of the list matches is not expanded: for Exim, $ means nothing in it. */
static bool
parse_two(struct xparse *ps, struct xcond *c)
{
	bool is_list = c->row->test == xc_match_list || c->row->test == xc_match_ip;
	struct sv text;

	c->arg = arena_zalloc(ps->a, 2 * sizeof(*c->arg));
	if (!open_brace(ps, c) || !xp_seq(ps, true, true, &c->arg[0]))
		return (false);
	ps->p++;
	if (!second_string(ps, c, !is_list)) {
		/* Exim reads the first number before it looks at the second string. */
		if ((c->row->kind & CMP_NUM) != 0 && c->row->test == test_compare)
			xp_before_number(ps, &c->arg[0]);
		else
			c->narg = 1;
		return (false);
	}
	c->narg = 2;
	/* Without $ in it the list is always literal: compile it now. */
	if (is_list && x_seq_literal(&c->arg[1], &text))
		c->list = xm_compile_raw(ps->a, (enum exim_list_kind)c->row->kind, text);
	return (true);
}

static bool
too_few(struct xparse *ps, const struct xcond *c)
{
	return (xp_error(ps, "too few arguments or bracketing error for %s", c->row->name));
}

/* A fixed number of plain arguments. */
static bool
parse_args(struct xparse *ps, struct xcond *c)
{
	unsigned want = (unsigned)c->row->kind;
	int rc;

	c->arg = arena_zalloc(ps->a, want * sizeof(*c->arg));
	rc = xp_args(ps, want, want, false, c->row->name, c->arg, &c->narg);
	return (rc == 1 ? too_few(ps, c) : rc == 0);
}

/* A whole number, digits only. */
static bool
all_digits(struct sv v, bool *nonzero)
{
	size_t i = v.len > 0 && v.p[0] == '-' ? 1 : 0;

	*nonzero = false;
	if (v.len == 0)
		return (false);
	for (; i < v.len; i++) {
		if (!sv_isdigit(v.p[i]))
			return (false);
		*nonzero |= v.p[i] != '0';
	}
	return (true);
}

/* 1, 0, or -1 for what is no boolean to "bool". */
static int
truth(struct sv v)
{
	int b = exim_bool_text(v);
	bool nonzero;

	if (b >= 0)
		return (b);
	return (all_digits(sv_trim(v), &nonzero) ? nonzero : -1);
}

static bool
parse_bool(struct xparse *ps, struct xcond *c)
{
	struct sv v;
	int rc;

	c->arg = arena_zalloc(ps->a, sizeof(*c->arg));
	if (xp_skip(ps) != '{')
		return (xp_error(ps, "missing { after \"%s\"", c->row->name));
	rc = xp_args(ps, 1, 1, false, c->row->name, c->arg, &c->narg);
	/* Exim looks at a literal even where it skips the condition. */
	if (rc == 0 && c->row->kind == 0 && x_seq_literal(&c->arg[0], &v) && truth(v) < 0)
		return (xp_error(ps, "unrecognised boolean value \"" SV_FMT "\"", SV_ARG(sv_trim(v))));
	return (rc == 1 ? too_few(ps, c) : rc == 0);
}

/* acl{{name}{arg}...} and saslauthd{{user}{password}...} */
static bool
parse_wrapped(struct xparse *ps, struct xcond *c)
{
	unsigned max = c->row->kind == 1 ? 10 : 4;
	int rc;

	c->arg = arena_zalloc(ps->a, max * sizeof(*c->arg));
	if (!open_brace(ps, c))
		return (false);
	rc = xp_args(ps, (unsigned)c->row->kind, max, true, c->row->name, c->arg, &c->narg);
	return (rc == 1 ? too_few(ps, c) : rc == 0);
}

static bool
parse_def_header(struct xparse *ps, struct xcond *c, const char *start, size_t prefix, enum xheader_kind kind)
{
	struct sv name;

	ps->p = start + prefix;
	while (*ps->p > ' ' && *ps->p < 127 && *ps->p != ':')
		ps->p++;
	name = sv_from(start + prefix, (size_t)(ps->p - start - (ptrdiff_t)prefix));
	if (*ps->p == ':')
		ps->p++;
	/* A brace inside may be a forgotten colon: later mistakes then say so. */
	if (sv_chr(name, '}') >= 0)
		ps->malformed_header = true;
	c->var.eval = x_header;
	c->var.u.hdr.name = arena_sv(ps->a, name);
	c->var.u.hdr.kind = kind;
	return (true);
}

static bool
parse_def(struct xparse *ps, struct xcond *c)
{
	enum xheader_kind kind;
	const char *start;
	size_t prefix;
	struct sv name;

	if (*ps->p != ':')
		return (xp_error(ps, "\":\" expected after \"def\""));
	start = ++ps->p;
	name = xp_name(ps, "_");
	if (x_header_prefix(name, &kind, &prefix))
		return (parse_def_header(ps, c, start, prefix, kind));
	if (name.len == 0)
		return (xp_error(ps, "variable name omitted after \"def:\""));
	c->name = arena_sv(ps->a, name);
	if (!xp_var(ps, name, &c->var))
		return (xp_error(ps, "unknown variable \"" SV_FMT "\" after \"def:\"%s", SV_ARG(name), x_acl_hint(name)));
	return (true);
}

static bool
parse_sub(struct xparse *ps, struct xcond *c, struct xcond **sub)
{
	const char *name = c->row->name;

	if (*ps->p != '{')
		return (xp_error(ps, "each subcondition inside an \"%s{...}\" condition must be in its own {}", name));
	ps->p++;
	if (!xp_cond(ps, sub))
		return (xp_behind(ps, arena_fmt(ps->a, " inside \"%s{...}\" condition", name)));
	if (xp_skip(ps) != '}')
		return (xp_error(ps, "missing } at end of condition inside \"%s\" group", name));
	ps->p++;
	return (true);
}

static bool
parse_combined(struct xparse *ps, struct xcond *c)
{
	VEC(struct xcond *) sub = VEC_INIT;
	bool ok;

	ok = open_brace(ps, c);
	while (ok && xp_skip(ps) != '}') {
		struct xcond *one = NULL;

		ok = parse_sub(ps, c, &one);
		vec_push(&sub, one);
	}
	if (ok) {
		ps->p++;
		c->sub = arena_dup(ps->a, sub.p, sub.len * sizeof(*sub.p));
		c->nsub = (unsigned)sub.len;
	}
	/* The last is the bad one, if one was read at all. */
	for (size_t i = sub.len; !ok && i-- > 1;) {
		xp_before_cond(ps, sub.p[i - 1], c->row->test == test_and);
		((struct xbefore *)(uintptr_t)ps->before)->behind =
		    arena_fmt(ps->a, " inside \"%s{...}\" condition", c->row->name);
	}
	vec_free(&sub);
	return (ok);
}

static bool
parse_iterate(struct xparse *ps, struct xcond *c)
{
	c->arg = arena_zalloc(ps->a, sizeof(*c->arg));
	c->sub = arena_zalloc(ps->a, sizeof(*c->sub));
	if (!open_brace(ps, c) || !xp_seq(ps, true, true, &c->arg[0]))
		return (false);
	ps->p++;
	c->narg = 1;
	if (!open_brace(ps, c))
		return (false);
	if (!xp_cond(ps, &c->sub[0]))
		return (xp_behind(ps, arena_fmt(ps->a, " inside \"%s\" condition", c->row->name)));
	if (xp_skip(ps) != '}')
		return (xp_error(ps, "missing } at end of condition inside \"%s\"", c->row->name));
	ps->p++;
	return (true);
}

/* --- tests --- */

enum exim_result
x_cond(struct xev *e, const struct xcond *c, bool *yes)
{
	enum exim_result r;

	*yes = false;
	if (e->env->depth >= X_DEPTH)
		return (x_fail(e, "conditions are nested more than %d deep", X_DEPTH));
	e->env->depth++;
	r = c->row->test(e, c, yes);
	if (r == EXIM_OK && !x_work(e, X_WORK_STEP))
		r = x_fail(e, "the condition is too much work");
	e->env->depth--;
	if (c->negate)
		*yes = !*yes;
	return (r);
}

static bool
decide(int cmp, int kind)
{
	switch (kind & 15) {
	case CMP_EQ: return (cmp == 0);
	case CMP_LT: return (cmp < 0);
	case CMP_LE: return (cmp <= 0);
	case CMP_GT: return (cmp > 0);
	case CMP_GE: return (cmp >= 0);
	default: return (cmp != 0);
	}
}

/* As Exim's: a string that the other begins with counts as the greater one. */
static int
case_cmp(struct sv a, struct sv b, size_t *looked)
{
	int d = 0;
	size_t i;

	for (i = 0; i < a.len && d == 0; i++)
		d = (uint8_t)sv_lower(a.p[i]) - (i < b.len ? (uint8_t)sv_lower(b.p[i]) : 0);
	*looked = i;
	return (d != 0 ? d : b.len > a.len);
}

bool
x_cond_compares(const struct xcond_row *row)
{
	return (row->test == test_compare && (row->kind & 15) != CMP_EQ);
}

enum exim_result
x_cond_compare(struct xev *e, const struct xcond_row *row, struct sv a, struct sv b, bool *yes, size_t *looked)
{
	int64_t x, y;
	/* Those that compare all of a string look at many bytes at once. */
	size_t n = (a.len < b.len ? a.len : b.len) / 16;

	if (looked == NULL)
		looked = &n;
	*looked = n;
	if ((row->kind & CMP_NUM) != 0) {
		if (!x_integer(e, a, &x) || !x_integer(e, b, &y))
			return (EXIM_FAIL);
		*yes = decide((x > y) - (x < y), row->kind);
	} else if ((row->kind & 15) == CMP_EQ)
		*yes = (row->kind & CMP_CASELESS) != 0 ? sv_caseeq(a, b) : sv_eq(a, b);
	else
		*yes = decide((row->kind & CMP_CASELESS) != 0 ? case_cmp(a, b, looked) : sv_cmp(a, b), row->kind);
	return (EXIM_OK);
}

static X_COND(test_compare)
{
	struct sv a, b;
	enum exim_result r;
	int64_t x;

	if ((r = x_seq(e, &c->arg[0], &a)) != EXIM_OK)
		return (r);
	/* Exim reads the first number before it expands the second string. */
	if ((c->row->kind & CMP_NUM) != 0 && !x_integer(e, a, &x))
		return (EXIM_FAIL);
	if ((r = x_seq(e, &c->arg[1], &b)) != EXIM_OK)
		return (r);
	return (x_cond_compare(e, c->row, a, b, yes, NULL));
}

static enum exim_result
test_combined(struct xev *e, const struct xcond *c, bool stop, bool *yes)
{
	enum exim_result r;

	*yes = !stop;
	for (unsigned i = 0; i < c->nsub; i++) {
		bool one;

		if ((r = x_cond(e, c->sub[i], &one)) != EXIM_OK)
			return (x_behind(e, r, " inside \"%s{...}\" condition", c->row->name));
		if (one == stop) {
			*yes = stop;
			return (EXIM_OK);
		}
	}
	return (EXIM_OK);
}

static X_COND(test_and)
{
	return (test_combined(e, c, false, yes));
}

static X_COND(test_or)
{
	return (test_combined(e, c, true, yes));
}

static X_COND(test_bool)
{
	enum exim_result r;
	struct sv v;
	int b;

	if ((r = x_seq(e, &c->arg[0], &v)) != EXIM_OK)
		return (r);
	b = c->row->kind == 1 ? exim_bool_text(v) != 0 : truth(v);
	if (b < 0)
		return (x_fail(e, "unrecognised boolean value \"" SV_FMT "\"", SV_ARG(sv_trim(v))));
	*yes = b == 1;
	return (EXIM_OK);
}

static X_COND(test_def)
{
	enum exim_result r;
	struct sv v;

	if (c->var.eval == x_header) {
		*yes = x_header_exists(e->env, c->var.u.hdr.name);
		return (EXIM_OK);
	}
	r = c->var.eval(e, &c->var, &v);
	*yes = r == EXIM_OK && v.len > 0;
	if (r != EXIM_FAIL)
		return (r);
	return (x_fail(e, "unknown variable \"" SV_FMT "\" after \"def:\"%s", SV_ARG(c->name),
	    sv_starts(c->name, "acl_") ? " (strict_acl_vars is set)" : ""));
}

static X_COND(test_exists)
{
	enum exim_result r;
	struct stat st;
	struct sv v;

	if ((e->env->forbid & EXIM_NO_EXISTS) != 0)
		return (x_fail(e, "File existence tests are not permitted"));
	if ((r = x_seq(e, &c->arg[0], &v)) != EXIM_OK)
		return (r);
	*yes = exim_stat(e->env, x_cstr(e, v), &st) == 0;
	return (EXIM_OK);
}

static X_COND(test_isip)
{
	struct net_addr a;
	enum exim_result r;
	ptrdiff_t zone;
	struct sv v;
	bool ip;

	if ((r = x_seq(e, &c->arg[0], &v)) != EXIM_OK)
		return (r);
	/* The zone of an IPv6 address is not looked at. */
	zone = sv_chr(v, ':') < 0 ? -1 : sv_chr(v, '%');
	for (size_t i = zone < 0 ? v.len : (size_t)zone + 1; i < v.len; i++)
		if (!sv_isalnum(v.p[i]) && strchr("._-", v.p[i]) == NULL)
			zone = -1;
	if (zone > 0)
		v.len = (size_t)zone;
	ip = v.len > 0 && v.p[0] != '[' && net_addr_parse(v, &a);
	/* A mapped address is written as IPv6, whatever the parser makes of it. */
	if (ip && c->row->kind != IP_ANY)
		ip = (sv_chr(v, ':') >= 0) == (c->row->kind == IP_6);
	*yes = ip;
	return (EXIM_OK);
}

static X_COND(test_inlist)
{
	struct sv a, list, item;
	enum exim_result r;
	int sep = 0;

	if ((r = x_seq(e, &c->arg[0], &a)) != EXIM_OK || (r = x_seq(e, &c->arg[1], &list)) != EXIM_OK)
		return (r);
	while (exim_list_next(&list, &sep, e->env->arena, &item)) {
		if (!(c->row->kind == 1 ? sv_caseeq(a, item) : sv_eq(a, item)))
			continue;
		*yes = true;
		e->env->value = item;
		return (EXIM_OK);
	}
	return (EXIM_OK);
}

static bool
next_item(struct xev *e, int kind, struct sv *list, int *sep, struct sv *item)
{
	if ((kind & IT_JSON) == 0)
		return (exim_list_next(list, sep, e->env->arena, item));
	return (x_json_next(list, item));
}

static X_COND(test_forany)
{
	struct sv list, item, saved = e->env->item;
	bool all = (c->row->kind & IT_ALL) != 0;
	enum exim_result r;
	int sep = 0;

	if ((r = x_seq(e, &c->arg[0], &list)) != EXIM_OK)
		return (r);
	if ((c->row->kind & IT_JSON) != 0 && !x_json_dewrap(list, '[', ']', &list, NULL))
		return (x_fail(e, "missing ']' for %s", c->row->name));
	*yes = false;
	while (next_item(e, c->row->kind, &list, &sep, &item)) {
		if ((c->row->kind & IT_JSONS) != 0 && !x_json_dewrap(item, '"', '"', &item, NULL)) {
			e->env->item = saved;
			return (x_fail(e, "missing '\"' wrapping string result for extract jsons"));	/* Exim's words */
		}
		e->env->item = item;
		if ((r = x_cond(e, c->sub[0], yes)) != EXIM_OK) {
			r = x_behind(e, r, " inside \"%s\" condition", c->row->name);
			break;
		}
		if (*yes != all)
			break;
	}
	e->env->item = saved;
	return (r);
}

static X_COND(test_acl)
{
	struct sv arg[10], out = SV_NULL;
	enum exim_result r;

	for (unsigned i = 0; i < c->narg; i++)
		if ((r = x_seq(e, &c->arg[i], &arg[i])) != EXIM_OK)
			return (r);
	if (e->env->world->acl == NULL)
		return (x_fail(e, "ACLs cannot be run here"));
	e->env->value = SV_NULL;
	r = e->env->world->acl(e->env, arg[0], arg + 1, c->narg - 1, &out, e->err);
	if (r == EXIM_OK || r == EXIM_FORCED) {
		*yes = r == EXIM_OK;
		e->env->value = out;
		return (EXIM_OK);
	}
	if (r == EXIM_DEFER)
		return (x_forced(e, "DEFER from acl \"" SV_FMT "\"", SV_ARG(arg[0])));
	return (r);
}

static X_COND(test_first_delivery)
{
	*yes = e->env->msg != NULL && e->env->msg->first_delivery;
	return (EXIM_OK);
}

static X_COND(test_queue_running)
{
	*yes = e->env->queue_running;
	return (EXIM_OK);
}

/* --- conditions on their own --- */

struct exim_cond {
	struct xcond	*cond;
	const char	*mistake;
};

int
exim_cond_compile(struct arena *a, struct sv text, const char *file, unsigned line, struct exim_cond **out, struct err *err)
{
	struct exim_cond *c = arena_zalloc(a, sizeof(*c));
	struct xparse ps;

	*out = c;
	ps = xp_begin(a, arena_sv(a, text));
	if (xp_cond(&ps, &c->cond) && xp_skip(&ps) != '\0')
		(void)xp_error(&ps, "text behind the condition: \"%s\"", ps.p);
	c->mistake = ps.error;
	if (ps.error == NULL)
		return (0);
	if (file == NULL)
		return (err_set(err, ERR_CONFIG, "4.3.5", "%s", ps.error));
	return (err_conf(err, file, line, "%s", ps.error));
}

enum exim_result
exim_cond_test(const struct exim_cond *c, struct exim_env *env, bool *out, struct err *err)
{
	struct xev e = { .env = env, .err = err };

	*out = false;
	x_begin(env);
	if (c->mistake != NULL)
		return (x_fail(&e, "%s", c->mistake));
	return (x_cond(&e, c->cond, out));
}
