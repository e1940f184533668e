/* SPDX-License-Identifier: BSD-2-Clause */
/* Conditions of an Exim filter (its manual 3.21 to 3.30): "and" binds more than "or". */
#include <string.h>
#include <strings.h>

#include "base/vec.h"
#include "exim_int.h"

static const struct {
	const char	*word;
	enum xf_test	 test;
	bool		 caseful;
} comparisons[] = {
	{ "BEGIN", XF_BEGINS, true }, { "BEGINS", XF_BEGINS, true }, { "CONTAIN", XF_CONTAINS, true },
	{ "CONTAINS", XF_CONTAINS, true }, { "END", XF_ENDS, true }, { "ENDS", XF_ENDS, true }, { "IS", XF_IS, true },
	{ "MATCH", XF_MATCHES, true }, { "MATCHES", XF_MATCHES, true }, { "above", XF_ABOVE, false },
	{ "begin", XF_BEGINS, false }, { "begins", XF_BEGINS, false }, { "below", XF_BELOW, false },
	{ "contain", XF_CONTAINS, false }, { "contains", XF_CONTAINS, false }, { "end", XF_ENDS, false },
	{ "ends", XF_ENDS, false }, { "is", XF_IS, false }, { "match", XF_MATCHES, false }, { "matches", XF_MATCHES, false },
};

static const struct {
	const char	*word;
	enum xf_test	 test;
} keywords[] = {
	{ "delivered", XF_DELIVERED }, { "error_message", XF_ERROR_MESSAGE }, { "first_delivery", XF_FIRST_DELIVERY },
	{ "foranyaddress", XF_FORANYADDRESS }, { "manually_thawed", XF_MANUALLY_THAWED }, { "personal", XF_PERSONAL },
};

static struct xf_cond *or_list(struct xf_parse *p, bool top);

static struct xf_cond *
fresh(struct xf_parse *p, enum xf_test test)
{
	struct xf_cond *c = arena_zalloc(p->a, sizeof(*c));

	c->test = test;
	c->positive = true;
	return (c);
}

/* "( condition )"; x.p stands at the opening one. */
static struct xf_cond *
bracketed(struct xf_parse *p)
{
	struct xf_cond *c = NULL;

	p->x.p++;
	xf_skip(&p->x);
	if (++p->depth > EXIM_FILTER_DEPTH)
		xf_error(&p->x, "conditions nested too deeply near line %u of filter file", p->x.line);
	else
		c = or_list(p, false);
	p->depth--;
	if (p->x.error != NULL)
		return (NULL);
	if (*p->x.p != ')') {
		xf_error(&p->x, "expected \")\" in line %u of filter file", p->x.line);
		return (NULL);
	}
	p->x.p++;
	xf_skip(&p->x);
	return (c);
}

static void
aliases(struct xf_parse *p, struct xf_cond *c)
{
	VEC(struct sv) v = VEC_INIT;

	while (p->x.error == NULL && strncmp(p->x.p, "alias", 5) == 0) {
		struct xf_mark before = XF_MARK(&p->x);

		xf_word(&p->x, true);
		if (strcmp(p->x.word, "alias") != 0) {
			XF_BACK(&p->x, before);
			break;
		}
		xf_item(&p->x, true);
		vec_push(&v, sv_cstr(arena_str(p->a, p->x.word)));
	}
	c->nalias = v.len;
	c->alias = v.len == 0 ? NULL : arena_dup(p->a, v.p, v.len * sizeof(*v.p));
	vec_free(&v);
}

static void
foranyaddress(struct xf_parse *p, struct xf_cond *c)
{
	xf_item(&p->x, true);
	if (p->x.error != NULL)
		return;
	c->left = xf_compile(p, p->x.word);
	if (*p->x.p != '(') {
		xf_error(&p->x, "\"(\" expected after \"foranyaddress\" near line %u of filter file", p->x.line);
		return;
	}
	c->b = bracketed(p);
}

/* The word between the operands: "[does|is] [not] contain"; "is x" where x is no such word compares with x. */
static void
comparison(struct xf_parse *p, struct xf_cond *c)
{
	struct xf_lex *x = &p->x;
	struct xf_mark operand = { NULL, 0 };
	size_t i, n = sizeof(comparisons) / sizeof(comparisons[0]);

	xf_word(x, true);
	if (x->error == NULL && (strcasecmp(x->word, "does") == 0 || strcasecmp(x->word, "is") == 0)) {
		bool is = sv_lower(x->word[0]) == 'i';

		c->test = XF_IS;
		c->caseful = x->word[0] == 'I';
		if (is)
			operand = XF_MARK(x);
		xf_word(x, true);
		if (x->error == NULL && strcasecmp(x->word, "not") == 0) {
			c->positive = !c->positive;
			if (is)
				operand = XF_MARK(x);
			xf_word(x, true);
		}
	}
	for (i = 0; i < n && strcmp(x->word, comparisons[i].word) != 0; i++)
		;
	if (x->error == NULL && i < n) {
		c->test = comparisons[i].test;
		c->caseful = comparisons[i].caseful;
	} else if (operand.p != NULL) {
		XF_BACK(x, operand);
	} else if (x->error == NULL) {
		xf_error(x, "unrecognized condition word \"%s\" near line %u of filter file", x->word, x->line);
	}
	if (x->error != NULL)
		return;
	xf_item(x, true);
	if (x->error == NULL)
		c->right = xf_compile(p, x->word);
}

/* A condition whose first word is x.word. */
static struct xf_cond *
simple(struct xf_parse *p, bool positive)
{
	size_t i, n = sizeof(keywords) / sizeof(keywords[0]);
	struct xf_cond *c;

	for (i = 0; i < n && strcmp(p->x.word, keywords[i].word) != 0; i++)
		;
	c = fresh(p, i < n ? keywords[i].test : XF_IS);
	c->positive = positive;
	if (i == n) {
		c->left = xf_compile(p, p->x.word);
		comparison(p, c);
	} else if (c->test == XF_PERSONAL)
		aliases(p, c);
	else if (c->test == XF_FORANYADDRESS)
		foranyaddress(p, c);
	return (c);
}

static struct xf_cond *
primary(struct xf_parse *p)
{
	struct xf_lex *x = &p->x;
	bool positive = true;
	struct xf_cond *c;

	for (;;) {
		if (*x->p == '\0') {
			xf_error(x, "\"then\" missing at end of filter file");
			return (NULL);
		}
		if (*x->p == '(') {
			c = bracketed(p);
			if (c != NULL && !positive)
				c->positive = !c->positive;
			return (c);
		}
		if (*x->p == ')') {
			xf_error(x, "unexpected \")\" in line %u of filter file", x->line);
			return (NULL);
		}
		xf_item(x, true);
		if (x->error != NULL)
			return (NULL);
		if (strcmp(x->word, "then") == 0) {
			xf_error(x, "unexpected \"then\" near line %u of filter file", x->line);
			return (NULL);
		}
		if (strcmp(x->word, "not") != 0)
			break;
		positive = !positive;
	}
	c = simple(p, positive);
	return (x->error != NULL ? NULL : c);
}

/* What may follow a condition; the end is "then", or ")" which is left there. */
enum follow { F_AND, F_OR, F_END };

static enum follow
follow(struct xf_parse *p, bool top)
{
	struct xf_lex *x = &p->x;

	if (x->error != NULL)
		return (F_END);
	if (*x->p == ')') {
		if (top)
			xf_error(x, "unexpected \")\" in line %u of filter file", x->line);
		return (F_END);
	}
	if (*x->p == '(') {
		xf_error(x, "unexpected \"(\" in line %u of filter file", x->line);
		return (F_END);
	}
	xf_word(x, false);
	if (x->error != NULL)
		return (F_END);
	if (strcmp(x->word, "and") == 0)
		return (F_AND);
	if (strcmp(x->word, "or") == 0)
		return (F_OR);
	if (strcmp(x->word, "then") != 0)
		xf_error(x, "\"and\" or \"or\" or \"%s\" expected near line %u of filter file, but found \"%s\"",
		    top ? "then" : ")", x->line, x->word);
	else if (!top)
		xf_error(x, "missing \")\" at end of condition near line %u of filter file", x->line);
	return (F_END);
}

/* Chains hang to the right, "a and b and c" as a and (b and c); no recursion, so that long ones need no stack. */
static struct xf_cond *
or_list(struct xf_parse *p, bool top)
{
	struct xf_cond *root = NULL, **or_at = &root, **at = &root, *c, *join;
	enum follow f = F_END;

	do {
		c = primary(p);
		if (c == NULL)
			return (NULL);
		*at = c;
		f = follow(p, top);
		if (f == F_AND) {
			join = fresh(p, XF_AND);
			join->a = c;
			*at = join;
			at = &join->b;
		} else if (f == F_OR) {
			join = fresh(p, XF_OR);
			join->a = *or_at;
			*or_at = join;
			at = or_at = &join->b;
		}
	} while (f != F_END && p->x.error == NULL);
	return (p->x.error == NULL ? root : NULL);
}

struct xf_cond *
xf_condition(struct xf_parse *p)
{
	return (or_list(p, true));
}
