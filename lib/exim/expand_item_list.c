/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Expansion items that take lists or fields apart: extract, listextract, listquote,
 * map, filter, reduce, sort (manual 11.5).
 */
#include "exim/expand_int.h"

#include <stdlib.h>

enum extract_form { EXTRACT_BASIC, EXTRACT_JSON, EXTRACT_JSONS };
#define EXTRACT_ARGS	5

/* The number of a field; false if <v> is a name. */
static bool
field_number(struct sv v, int64_t *out)
{
	bool neg = v.len > 0 && v.p[0] == '-';
	int64_t n = 0;

	for (size_t i = neg ? 1 : 0; i < v.len; i++) {
		if (!sv_isdigit(v.p[i]))
			return (false);
		if (n < INT32_MAX)
			n = n * 10 + v.p[i] - '0';
	}
	*out = neg ? -n : n;
	return (true);
}

/* --- ${extract --- */

static bool
extract_arg(struct xparse *ps, struct xitem *it)
{
	struct xseq *seq = &it->arg[it->narg];

	if (xp_skip(ps) != '{')
		return (xp_curly(ps, "missing '{' for arg %u of extract", it->narg + 1));
	ps->p++;
	if (!xp_seq(ps, true, true, seq))
		return (false);
	ps->p++;
	it->rest[it->narg++] = sv_from(ps->p, (size_t)(ps->end - ps->p));
	return (true);
}

/* The key is known only at run time, and with it how many arguments come before the "yes" string: take all. */
static bool
extract_open(struct xparse *ps, struct xitem *it)
{
	while (xp_skip(ps) == '{' && it->narg < EXTRACT_ARGS)
		if (!extract_arg(ps, it))
			return (false);
	it->yn.form = XYN_NONE;
	if (it->narg < 2)
		return (extract_arg(ps, it));
	if (xp_skip(ps) != '}') {
		struct sv word = xp_name(ps, "_");

		if (!sv_eqs(word, "fail"))
			return (xp_error(ps, "syntax error in \"extract\" item - \"fail\" expected"));
		it->yn.form = XYN_FAIL;
	}
	if (xp_skip(ps) != '}')
		return (xp_curly(ps, "missing '}' closing extract"));
	ps->p++;
	it->priv = it;
	return (true);
}

static X_PARSE(parse_extract)
{
	struct xitem *it = arena_zalloc(ps->a, sizeof(*it));
	struct sv key;
	int64_t num;
	unsigned want = 2;

	it->row = row;
	it->arg = arena_zalloc(ps->a, EXTRACT_ARGS * sizeof(*it->arg));
	it->rest = arena_zalloc(ps->a, EXTRACT_ARGS * sizeof(*it->rest));
	n->eval = row->eval;
	n->u.item = it;
	if (xp_skip(ps) != '{' && strncmp(ps->p, "json", 4) == 0) {
		ps->p += 4;
		it->variant = *ps->p == 's' ? EXTRACT_JSONS : EXTRACT_JSON;
		ps->p += *ps->p == 's' ? 1 : 0;
	}
	if (!extract_arg(ps, it))
		return (false);
	if (!x_seq_literal(&it->arg[0], &key))
		return (extract_open(ps, it));
	key = sv_trim(key);
	if (key.len == 0)
		return (xp_error(ps, "first argument of \"extract\" must not be empty"));
	if (it->variant == EXTRACT_BASIC && field_number(key, &num))
		want = 3;
	while (it->narg < want)
		if (!extract_arg(ps, it))
			return (false);
	return (xp_yesno(ps, "extract", &it->yn));
}

/* What Exim reads where it skips an extract: up to five arguments, and perhaps "fail". */
static bool
extract_skip(struct xparse *ps)
{
	struct xseq seq;

	if (strncmp(ps->p, "json", 4) == 0)
		ps->p += ps->p[4] == 's' ? 5 : 4;
	for (int i = 0; i < EXTRACT_ARGS && xp_skip(ps) == '{'; i++) {
		ps->p++;
		if (!xp_seq(ps, true, true, &seq))
			return (false);
		ps->p++;
	}
	if (strncmp(ps->p, "fail", 4) == 0) {
		ps->p += 4;
		(void)xp_skip(ps);
	}
	return (*ps->p++ == '}');
}

/* A mistake that Exim does not see in an extract that is skipped is told when evaluation gets there. */
X_PARSE(xip_extract)
{
	const struct xbefore *before;
	const char *start, *end, *error;

	(void)xp_skip(ps);
	start = ps->p;
	if (parse_extract(ps, row, n))
		return (true);
	xp_before_item(ps, n);
	error = ps->error;
	before = ps->before;
	end = ps->p;
	ps->p = start;
	ps->error = NULL;
	ps->before = NULL;
	if (extract_skip(ps)) {
		ps->error = error;
		ps->before = before;
		xp_soft(ps, "%s", error);
		xp_mistake(ps, n);
		return (true);
	}
	ps->p = end;
	ps->error = error;
	ps->before = before;
	n->u.item = NULL;
	return (false);
}

/* A value that may be in double quotes; *<v> is moved behind it. */
static struct sv
dequote(struct xev *e, struct sv *v)
{
	struct xb b;
	size_t i;

	if (v->len == 0 || v->p[0] != '"') {
		struct sv w;

		for (i = 0; i < v->len && !sv_isspace(v->p[i]); i++)
			continue;
		w = sv_sub(*v, 0, i);
		*v = sv_sub(*v, i, v->len);
		return (w);
	}
	xb_init(&b, e->env->arena, 32);
	b.tainted = v->tainted;
	for (i = 1; i < v->len && v->p[i] != '"';) {
		if (v->p[i] == '\\' && i + 1 < v->len) {
			const char *p = v->p + i + 1;

			xb_addc(&b, x_escape(&p, v->p + v->len));
			i = (size_t)(p - v->p);
		} else
			xb_addc(&b, v->p[i++]);
	}
	*v = sv_sub(*v, i + 1, v->len);
	return (xb_sv(&b));
}

static struct sv
skip_space(struct sv v)
{
	size_t i = 0;

	while (i < v.len && sv_isspace(v.p[i]))
		i++;
	return (sv_sub(v, i, v.len));
}

/* name=value name="quoted value"; p NULL: not there. */
static struct sv
extract_named(struct xev *e, struct sv key, struct sv v)
{
	v = skip_space(v);
	while (v.len > 0) {
		struct sv name, data;
		size_t i;

		for (i = 0; i < v.len && v.p[i] != '=' && !sv_isspace(v.p[i]); i++)
			continue;
		name = sv_sub(v, 0, i);
		v = skip_space(sv_sub(v, i, v.len));
		if (v.len > 0 && v.p[0] == '=')
			v = skip_space(sv_sub(v, 1, v.len));
		data = dequote(e, &v);
		if (sv_caseeq(name, key))
			return (data.p == NULL ? SV_LIT("") : data);
		v = skip_space(v);
	}
	return (SV_NULL);
}

static size_t
next_sep(struct sv v, struct sv seps)
{
	size_t i;

	if (seps.len == 1) {
		ptrdiff_t at = sv_chr(v, seps.p[0]);

		return (at < 0 ? v.len : (size_t)at);
	}
	for (i = 0; i < v.len && sv_chr(seps, v.p[i]) < 0; i++)
		continue;
	return (i);
}

static struct sv
extract_numbered(int64_t field, struct sv seps, struct sv v)
{
	struct sv all = v;
	int64_t count = 1;
	size_t i;

	if (field == 0)
		return (v);
	if (field < 0) {
		while ((i = next_sep(v, seps)) < v.len) {
			count++;
			v = sv_sub(v, i + 1, v.len);
		}
		field += count + 1;
		if (field <= 0)
			return (SV_NULL);
	}
	for (v = all; --field > 0;) {
		i = next_sep(v, seps);
		if (i >= v.len)
			return (SV_NULL);
		v.p += i + 1;
		v.len -= i + 1;
	}
	v.len = next_sep(v, seps);
	return (v);
}

/* Which bracket is not there: that of the start, or that of the end. */
static char
json_missing(struct sv v, char open)
{
	v = sv_trim(v);
	return (v.len > 0 && v.p[0] == open ? (open == '[' ? ']' : '}') : open);
}

static enum exim_result
extract_json(struct xev *e, unsigned form, struct sv key, bool numbered, int64_t field, struct sv v)
{
	struct sv list, item, name, rest, found = SV_NULL;

	if (!x_json_dewrap(v, numbered ? '[' : '{', numbered ? ']' : '}', &list, NULL))
		return (x_fail(e, "missing '%c' wrapping %s for extract json", json_missing(v, numbered ? '[' : '{'),
		    numbered ? "array" : "object"));
	if (numbered && field <= 0)
		return (x_fail(e, "first argument of \"extract\" must be greater than zero"));
	while (x_json_next(&list, &item)) {
		if (numbered) {
			if (--field > 0)
				continue;
			found = item;
			break;
		}
		if (!x_json_dewrap(item, '"', '"', &name, &rest))
			return (x_fail(e, "missing '\"' wrapping string key for extract json"));
		if (!sv_eq(name, key))
			continue;
		rest = skip_space(rest);
		if (rest.len == 0 || rest.p[0] != ':')
			return (x_fail(e, "missing object value-separator for extract json"));
		found = skip_space(sv_sub(rest, 1, rest.len));
		break;
	}
	if (form == EXTRACT_JSONS && found.p != NULL && !x_json_dewrap(found, '"', '"', &found, NULL))
		return (x_fail(e, "missing '\"' wrapping string result for extract jsons"));
	e->env->value = found;
	return (EXIM_OK);
}

/* Sort the arguments of an item whose key was not known when it was parsed. */
static enum exim_result
extract_late(struct xev *e, const struct xitem *it, unsigned want, struct xyn *yn)
{
	*yn = (struct xyn){ .form = XYN_NONE };
	if (it->narg < want)
		return (x_fail(e, "missing '{' for arg %u of extract", want));
	if (it->narg > want + 2 || (it->narg == want + 2 && it->yn.form == XYN_FAIL))
		return (x_fail(e, "curly-bracket problem in conditional yes/no parsing: did not close with '}'\n"
		    " remaining string is '" SV_FMT "'", SV_ARG(skip_space(it->rest[want + 1]))));
	if (it->narg > want) {
		yn->form = XYN_YES;
		yn->yes = it->arg[want];
	}
	if (it->narg == want + 2) {
		yn->form = XYN_BOTH;
		yn->no = it->arg[want + 1];
	}
	if (it->yn.form == XYN_FAIL) {
		if (it->narg != want + 1)
			return (x_fail(e, "curly-bracket problem in conditional yes/no parsing: 'yes' part did not start "
			    "with '{'\n remaining string is '" SV_FMT "'", SV_ARG(skip_space(it->rest[it->narg - 1]))));
		yn->form = XYN_FAIL;
	}
	return (EXIM_OK);
}

static enum exim_result
extract_value(struct xev *e, const struct xitem *it, struct sv key, bool numbered, int64_t field, unsigned want)
{
	enum exim_result r;
	struct sv seps, v;

	if (want == 3 && (r = x_seq(e, &it->arg[1], &seps)) != EXIM_OK)
		return (r);
	if ((r = x_seq(e, &it->arg[want - 1], &v)) != EXIM_OK)
		return (r);
	if (v.p == NULL)
		v = SV_LIT("");
	if (it->variant != EXTRACT_BASIC)
		return (extract_json(e, it->variant, key, numbered, field, v));
	e->env->value = numbered ? extract_numbered(field, seps, v) : extract_named(e, key, v);
	return (EXIM_OK);
}

X_EVAL(xi_extract)
{
	const struct xitem *it = n->u.item;
	struct sv key, saved = e->env->value;
	struct xyn late;
	const struct xyn *yn = &it->yn;
	enum exim_result r;
	int64_t field = 0;
	bool numbered;
	unsigned want;

	if ((r = x_seq(e, &it->arg[0], &key)) != EXIM_OK)
		return (r);
	key = sv_trim(key);
	if (key.len == 0)
		return (x_fail(e, "first argument of \"extract\" must not be empty"));
	numbered = field_number(key, &field);
	want = numbered && it->variant == EXTRACT_BASIC ? 3 : 2;
	if (it->priv != NULL) {
		if ((r = extract_late(e, it, want, &late)) != EXIM_OK)
			return (r);
		yn = &late;
	}
	r = extract_value(e, it, key, numbered, field, want);
	if (r == EXIM_OK)
		r = x_yesno(e, yn, e->env->value.p != NULL, saved, "extract", out);
	e->env->value = saved;
	return (r);
}

/* --- ${listextract --- */

X_PARSE(xip_listextract)
{
	struct xitem *it = arena_zalloc(ps->a, sizeof(*it));
	struct sv v;
	int64_t num;

	it->row = row;
	it->arg = arena_zalloc(ps->a, 2 * sizeof(*it->arg));
	n->eval = row->eval;
	n->u.item = it;
	for (it->narg = 0; it->narg < 2; it->narg++) {
		if (xp_skip(ps) != '{')
			return (xp_curly(ps, "missing '{' for arg %u of listextract", it->narg + 1));
		ps->p++;
		if (!xp_seq(ps, true, true, &it->arg[it->narg]))
			return (false);
		ps->p++;
		if (it->narg == 0 && x_seq_literal(&it->arg[0], &v) && !field_number(sv_trim(v), &num))
			return (xp_error(ps, "first argument of \"listextract\" must be numeric"));
	}
	return (xp_yesno(ps, "listextract", &it->yn));
}

/* Element <field> of a list, from the end if negative; p NULL: there is none. */
static struct sv
list_element(struct xev *e, struct sv list, int64_t field)
{
	struct sv rest = list, item;
	int sep = 0;

	if (field == 0)
		return (SV_NULL);
	if (field < 0) {
		while (exim_list_next(&rest, &sep, e->env->arena, &item))
			field++;
		field++;
		rest = list;
		sep = 0;
	}
	if (field <= 0)
		return (SV_NULL);
	while (exim_list_next(&rest, &sep, e->env->arena, &item))
		if (--field == 0)
			return (item);
	return (SV_NULL);
}

X_EVAL(xi_listextract)
{
	const struct xitem *it = n->u.item;
	struct sv num, list, saved = e->env->value;
	enum exim_result r;
	int64_t field;

	if ((r = x_seq(e, &it->arg[0], &num)) != EXIM_OK)
		return (r);
	num = sv_trim(num);
	if (num.len == 0)
		return (x_fail(e, "first argument of \"listextract\" must not be empty"));
	if (!field_number(num, &field))
		return (x_fail(e, "first argument of \"listextract\" must be numeric"));
	if ((r = x_seq(e, &it->arg[1], &list)) != EXIM_OK)
		return (r);
	e->env->value = list_element(e, list, field);
	r = x_yesno(e, &it->yn, e->env->value.p != NULL, saved, "listextract", out);
	e->env->value = saved;
	return (r);
}

X_FN(xi_listquote)
{
	struct xb b;
	char sep;

	if (arg[1].len == 0) {
		*out = SV_LIT(" ");
		return (EXIM_OK);
	}
	if (arg[0].len == 0 || sv_chr(arg[1], arg[0].p[0]) < 0) {
		*out = arg[1];
		return (EXIM_OK);
	}
	sep = arg[0].p[0];
	xb_init(&b, e->env->arena, arg[1].len + 16);
	b.tainted = arg[1].tainted;
	for (size_t i = 0; i < arg[1].len; i++) {
		xb_addc(&b, arg[1].p[i]);
		if (arg[1].p[i] == sep)
			xb_addc(&b, sep);
	}
	*out = xb_sv(&b);
	return (EXIM_OK);
}

/* --- ${map, ${filter, ${reduce --- */

static bool
brace_arg(struct xparse *ps, const char *which, const char *name, struct xseq *seq)
{
	if (xp_skip(ps) != '{')
		return (xp_curly(ps, "missing '{' for %s arg of %s", which, name));
	ps->p++;
	if (!xp_seq(ps, true, true, seq))
		return (false);
	ps->p++;
	return (true);
}

X_PARSE(xip_iterate)
{
	struct xitem *it = arena_zalloc(ps->a, sizeof(*it));
	bool is_filter = row->eval == xi_filter, is_reduce = row->eval == xi_reduce, ok;

	it->row = row;
	it->arg = arena_zalloc(ps->a, 3 * sizeof(*it->arg));
	n->eval = row->eval;
	n->u.item = it;
	if (!brace_arg(ps, "first", row->name, &it->arg[0]))
		return (false);
	it->narg = 1;
	if (is_reduce && !brace_arg(ps, "second", row->name, &it->arg[1]))
		return (false);
	it->narg += is_reduce ? 1 : 0;
	if (xp_skip(ps) != '{')
		return (xp_curly(ps, "missing '{' for last arg of %s", row->name));
	ps->p++;
	ok = is_filter ? xp_cond(ps, &it->cond) : xp_seq(ps, true, true, &it->arg[it->narg]);
	if (!ok)
		return (xp_behind(ps, arena_fmt(ps->a, " inside \"%s\" item", row->name)));
	if (xp_skip(ps) != '}')
		return (xp_error(ps, "missing } at end of condition or expression inside \"%s\"; could be an unquoted } in the "
		    "content", row->name));
	ps->p++;
	if (xp_skip(ps) != '}')
		return (xp_error(ps, "missing } at end of \"%s\"", row->name));
	ps->p++;
	return (true);
}

static char
list_sep(int sep)
{
	return (sep == 0 ? ':' : (char)sep);
}

X_EVAL(xi_map)
{
	const struct xitem *it = n->u.item;
	const struct exim_nums *nums = e->env->nums;
	struct sv list, item, v, saved = e->env->item;
	enum exim_result r;
	bool first = true;
	int sep = 0;
	struct xb b;

	if ((r = x_seq(e, &it->arg[0], &list)) != EXIM_OK)
		return (r);
	xb_init(&b, e->env->arena, list.len + 32);
	while (r == EXIM_OK && !b.over && exim_list_next(&list, &sep, e->env->arena, &item)) {
		e->env->item = item;
		r = x_seq(e, &it->arg[1], &v);
		if (r == EXIM_OK)
			xb_item(&b, v, list_sep(sep), &first);
		else
			r = x_behind(e, r, " inside \"map\" item");
	}
	e->env->item = saved;
	e->env->nums = nums;
	*out = xb_sv(&b);
	return (b.over ? x_fail(e, "the result of ${map is too long") : r);
}

X_EVAL(xi_filter)
{
	const struct xitem *it = n->u.item;
	const struct exim_nums *nums = e->env->nums;
	struct sv list, item, saved = e->env->item;
	enum exim_result r;
	bool first = true, yes;
	int sep = 0;
	struct xb b;

	if ((r = x_seq(e, &it->arg[0], &list)) != EXIM_OK)
		return (r);
	xb_init(&b, e->env->arena, list.len + 32);
	while (r == EXIM_OK && exim_list_next(&list, &sep, e->env->arena, &item)) {
		e->env->item = item;
		r = x_cond(e, it->cond, &yes);
		if (r != EXIM_OK)
			r = x_behind(e, r, " inside \"filter\" condition");
		else if (yes)
			xb_item(&b, item, list_sep(sep), &first);
	}
	e->env->item = saved;
	e->env->nums = nums;
	*out = xb_sv(&b);
	return (r);
}

X_EVAL(xi_reduce)
{
	const struct xitem *it = n->u.item;
	const struct exim_nums *nums = e->env->nums;
	struct sv list, item, v, saved = e->env->item, saved_value = e->env->value;
	enum exim_result r;
	int sep = 0;

	if ((r = x_seq(e, &it->arg[0], &list)) != EXIM_OK || (r = x_seq(e, &it->arg[1], &v)) != EXIM_OK)
		return (r);
	e->env->value = v;
	while (r == EXIM_OK && exim_list_next(&list, &sep, e->env->arena, &item)) {
		e->env->item = item;
		r = x_seq(e, &it->arg[2], &v);
		if (r == EXIM_OK)
			e->env->value = v;
		else
			r = x_behind(e, r, " inside \"reduce\" item");
	}
	*out = e->env->value;
	e->env->item = saved;
	e->env->value = saved_value;
	e->env->nums = nums;
	return (r);
}

/* --- ${sort --- */

X_PARSE(xip_sort)
{
	struct xitem *it = arena_zalloc(ps->a, sizeof(*it));
	struct sv v;

	it->row = row;
	it->arg = arena_zalloc(ps->a, 3 * sizeof(*it->arg));
	n->eval = row->eval;
	n->u.item = it;
	for (; it->narg < 3; it->narg++) {
		static const char *const which[] = { "list", "comparator", "extractor" };

		if (!brace_arg(ps, which[it->narg], "sort", &it->arg[it->narg]))
			return (false);
		if (it->narg == 1 && x_seq_literal(&it->arg[1], &v) && v.len > 0 && (v.p[0] == '{' || v.p[0] == '}'))
			return (xp_error(ps, "condition name expected, but found \"" SV_FMT "\"", SV_ARG(sv_sub(v, 0, 16))));
	}
	if (xp_skip(ps) != '}')
		return (xp_curly(ps, "missing } at end of \"sort\""));
	ps->p++;
	return (true);
}

struct sort_item {
	struct sv	 item, key;
};

#define SORT_MAX	5000
#define SORT_STEP	8		/* what a comparison counts beside its bytes */

/* Insert before the first that the comparator says it belongs before; false: too much work. */
static bool
sort_insert(struct xev *e, const struct xcond_row *cmp, struct sort_item *v, size_t n, struct sort_item new)
{
	struct xev quiet = { .env = e->env, .err = NULL };
	size_t i, looked, all = 0;
	bool before;

	for (i = 0; i < n; i++) {
		/* What is no number counts as false. */
		before = false;
		(void)x_cond_compare(&quiet, cmp, new.key, v[i].key, &before, &looked);
		all += SORT_STEP + looked;
		if (before)
			break;
	}
	memmove(&v[i + 1], &v[i], (n - i) * sizeof(*v));
	v[i] = new;
	return (x_work(e, all));
}

static enum exim_result
sort_all(struct xev *e, const struct xitem *it, const struct xcond_row *cmp, struct sv list, struct sv *out)
{
	VEC(struct sort_item) v = VEC_INIT;
	struct sort_item new;
	enum exim_result r = EXIM_OK;
	bool first = true;
	int sep = 0;
	struct xb b;

	while (r == EXIM_OK && exim_list_next(&list, &sep, e->env->arena, &new.item)) {
		e->env->item = new.item;
		if (v.len >= SORT_MAX)
			r = x_fail(e, "more than %d items to sort", SORT_MAX);
		else
			r = x_seq(e, &it->arg[2], &new.key);
		if (r != EXIM_OK)
			break;
		vec_reserve(&v, v.len + 1);
		if (!sort_insert(e, cmp, v.p, v.len, new))
			r = x_fail(e, "the list is too much work to sort");
		v.len++;
	}
	xb_init(&b, e->env->arena, list.len + 64);
	for (size_t i = 0; r == EXIM_OK && i < v.len; i++)
		xb_item(&b, v.p[i].item, list_sep(sep), &first);
	*out = xb_sv(&b);
	vec_free(&v);
	return (r);
}

X_EVAL(xi_sort)
{
	const struct xitem *it = n->u.item;
	struct sv list, cmp, name, saved = e->env->item;
	const struct xcond_row *row;
	enum exim_result r;
	struct xparse ps;

	if ((r = x_seq(e, &it->arg[0], &list)) != EXIM_OK || (r = x_seq(e, &it->arg[1], &cmp)) != EXIM_OK)
		return (r);
	ps = xp_begin(e->env->arena, arena_sv(e->env->arena, cmp));
	(void)xp_skip(&ps);
	name = xp_cond_name(&ps);
	row = x_cond_find(name);
	if (row == NULL)
		return (x_fail(e, "%s", ""));
	if (!x_cond_compares(row))
		return (x_fail(e, "comparator not handled for sort"));
	r = sort_all(e, it, row, list, out);
	e->env->item = saved;
	return (r);
}
