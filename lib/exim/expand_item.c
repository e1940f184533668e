/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of expansion items ${name...} (manual 11.5), the parser and evaluator
 * of those that only take arguments, and ${if.  The others stand in expand_item_*.c.
 */
#include "exim/expand_int.h"

#include <stdlib.h>

#define SIMPLE_ARGS	10

static X_PARSE(parse_if);
static X_EVAL(eval_if);

/* Sorted by name. */
const struct xitem_row x_items[] = {
	{ "acl",	xp_simple,	 x_simple,	xi_acl,		1, 10, 0 },
	{ "authresults", xp_simple,	 x_simple,	xi_authresults, 1, 1, 0 },
	{ "certextract", xip_certextract, xi_certextract, NULL,		2, 2, 0 },
	{ "dlfunc",	xp_simple,	 x_simple,	xi_dlfunc,	2, 10, EXIM_NO_DLFUNC },
	{ "env",	xip_env,	 xi_env,	NULL,		1, 1, 0 },
	{ "extract",	xip_extract,	 xi_extract,	NULL,		2, 5, 0 },
	{ "filter",	xip_iterate,	 xi_filter,	NULL,		2, 2, 0 },
	{ "hash",	xip_numbers,	 x_simple,	xi_hash,	2, 3, 0 },
	{ "hmac",	xp_simple,	 x_simple,	xi_hmac,	3, 3, 0 },
	{ "if",		parse_if,	 eval_if,	NULL,		0, 0, 0 },
	{ "imapfolder",	xip_imapfolder,	 x_simple,	xi_imapfolder,	1, 3, 0 },
	{ "length",	xip_numbers,	 x_simple,	xi_length,	2, 2, 0 },
	{ "listextract", xip_listextract, xi_listextract, NULL,		2, 2, 0 },
	{ "listquote",	xp_simple,	 x_simple,	xi_listquote,	2, 2, 0 },
	{ "lookup",	xip_lookup,	 xi_lookup,	NULL,		1, 2, EXIM_NO_LOOKUP },
	{ "map",	xip_iterate,	 xi_map,	NULL,		2, 2, 0 },
	{ "nhash",	xip_numbers,	 x_simple,	xi_nhash,	2, 3, 0 },
	{ "perl",	xp_simple,	 x_simple,	xi_perl,	1, 9, EXIM_NO_PERL },
	{ "prvs",	xp_simple,	 x_simple,	xi_prvs,	2, 3, 0 },
	{ "prvscheck",	xip_prvscheck,	 xi_prvscheck,	NULL,		2, 3, 0 },
	{ "readfile",	xp_simple,	 x_simple,	xi_readfile,	1, 2, EXIM_NO_READFILE },
	{ "readsocket",	xip_readsocket,	 xi_readsocket, NULL,		2, 5, EXIM_NO_READSOCKET },
	{ "reduce",	xip_iterate,	 xi_reduce,	NULL,		3, 3, 0 },
	{ "run",	xip_run,	 xi_run,	NULL,		1, 1, EXIM_NO_RUN },
	{ "sg",		xp_simple,	 x_simple,	xi_sg,		3, 3, 0 },
	{ "sort",	xip_sort,	 xi_sort,	NULL,		3, 3, 0 },
	{ "srs_encode",	xp_simple,	 x_simple,	xi_srs_encode,	3, 3, 0 },
	{ "substr",	xip_numbers,	 x_simple,	xi_substr,	2, 3, 0 },
	{ "tr",		xp_simple,	 x_simple,	xi_tr,		3, 3, 0 },
	{ NULL,		NULL,		 NULL,		NULL,		0, 0, 0 }
};
#define NITEMS	(sizeof(x_items) / sizeof(x_items[0]) - 1)

static int
compare_item(const void *key, const void *row)
{
	return (sv_cmp(*(const struct sv *)key, sv_cstr(((const struct xitem_row *)row)->name)));
}

const struct xitem_row *
x_item_find(struct sv name)
{
	return (bsearch(&name, x_items, NITEMS, sizeof(x_items[0]), compare_item));
}

/* An item of plain arguments. */
bool
xp_simple(struct xparse *ps, const struct xitem_row *row, struct xnode *n)
{
	struct xitem *it = arena_zalloc(ps->a, sizeof(*it));
	struct xseq arg[SIMPLE_ARGS];
	int rc;

	memset(arg, 0, sizeof(arg));
	rc = xp_args(ps, row->min, row->max, true, row->name, arg, &it->narg);
	it->row = row;
	it->arg = arena_dup(ps->a, arg, row->max * sizeof(arg[0]));
	n->eval = row->eval;
	n->u.item = it;
	return (rc == 0);
}

/* What an item is called where it is not permitted. */
static enum exim_result
forbidden(struct xev *e, const struct xitem_row *row)
{
	static const struct { unsigned what; const char *text; } t[] = {
		{ EXIM_NO_PERL, "Perl calls are" }, { EXIM_NO_READFILE, "file insertions are" }, { EXIM_NO_READSOCKET, "socket insertions are" },
		{ EXIM_NO_RUN, "running a command is" }, { EXIM_NO_DLFUNC, "dynamically-loaded functions are" },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if ((row->forbid & t[i].what) != 0)
			return (x_fail(e, "%s not permitted", t[i].text));
	return (x_fail(e, "%s expansions are not permitted", row->name));
}

enum exim_result
x_simple(struct xev *e, const struct xnode *n, struct sv *out)
{
	const struct xitem *it = n->u.item;
	struct sv arg[SIMPLE_ARGS];
	enum exim_result r;

	if ((it->row->forbid & e->env->forbid) != 0)
		return (forbidden(e, it->row));
	for (unsigned i = 0; i < it->row->max; i++)
		arg[i] = SV_NULL;
	for (unsigned i = 0; i < it->narg; i++) {
		r = x_seq(e, &it->arg[i], &arg[i]);
		if (r != EXIM_OK)
			return (r);
		if (arg[i].p == NULL)
			arg[i] = SV_LIT("");
	}
	return (it->row->fn(e, it, arg, it->narg, out));
}

/* ${if condition {yes}{no}} */
static bool
parse_if(struct xparse *ps, const struct xitem_row *row, struct xnode *n)
{
	struct xitem *it = arena_zalloc(ps->a, sizeof(*it));

	it->row = row;
	n->eval = row->eval;
	n->u.item = it;
	(void)xp_skip(ps);
	if (!xp_cond(ps, &it->cond))
		return (false);
	if (xp_yesno(ps, "if", &it->yn))
		return (true);
	it->yn.bad = false;
	xp_before_cond(ps, it->cond, it->yn.form == XYN_NONE);
	return (false);
}

static enum exim_result
eval_if(struct xev *e, const struct xnode *n, struct sv *out)
{
	const struct xitem *it = n->u.item;
	const struct exim_nums *nums = e->env->nums;
	struct sv value = e->env->value;
	enum exim_result r;
	bool yes = false;

	r = x_cond(e, it->cond, &yes);
	if (r == EXIM_OK)
		/* $value that the condition set is seen by both strings. */
		r = x_yesno(e, &it->yn, yes, e->env->value, "if", out);
	e->env->nums = nums;
	e->env->value = value;
	return (r);
}

const char *
exim_family_name(enum exim_family f, size_t i)
{
	const char *name = NULL;

	switch (f) {
	case EXIM_ITEMS:
		return (i < NITEMS ? x_items[i].name : NULL);
	case EXIM_OPERATORS:
		for (size_t k = 0; k <= i && (name = x_ops[k].name) != NULL; k++)
			continue;
		return (name);
	case EXIM_CONDITIONS:
		for (size_t k = 0; k <= i && (name = x_conds[k].name) != NULL; k++)
			continue;
		return (name);
	case EXIM_VARIABLES:
		return (x_var_name(i));
	case EXIM_LOOKUPS:
		return (x_lookup_type_name(i));
	}
	return (NULL);
}
