/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ${eval: and ${eval10: (manual 11.6): integer arithmetic in 64 bits.  Priorities
 * are C's; a sum that overflows upwards is an error as in Exim, other operations wrap.
 */
#include "exim/expand_int.h"

#include <stdlib.h>

#define EVAL_DEPTH	200

struct calc {
	const char	*p;		/* NUL-terminated */
	const char	*error;
	bool		 decimal;
	unsigned	 depth;
};

static int64_t calc_or(struct calc *c);

static void
skip(struct calc *c)
{
	while (sv_isspace(*c->p))
		c->p++;
}

static int64_t
wrap(uint64_t u)
{
	int64_t n;

	memcpy(&n, &u, sizeof(n));
	return (n);
}

/* Decimal, or by its prefix; too large numbers stay at the largest. */
static int64_t
number(struct calc *c)
{
	unsigned base = 10;
	uint64_t n = 0;
	bool over = false;

	if (!c->decimal && c->p[0] == '0') {
		base = 8;
		if (c->p[1] == 'x' || c->p[1] == 'X') {
			base = 16;
			c->p += 2;
		}
	}
	for (;; c->p++) {
		char ch = sv_lower(*c->p);
		unsigned d = sv_isdigit(ch) ? (unsigned)(ch - '0') : ch >= 'a' && ch <= 'f' ? (unsigned)(ch - 'a') + 10 : 99;

		if (d >= base)
			break;
		over |= __builtin_mul_overflow(n, base, &n) || __builtin_add_overflow(n, d, &n);
	}
	if (over || n > INT64_MAX)
		n = INT64_MAX;
	switch (sv_lower(*c->p)) {
	case 'k': n *= 1024; c->p++; break;
	case 'm': n *= 1024 * 1024; c->p++; break;
	case 'g': n *= 1024 * 1024 * 1024; c->p++; break;
	default: break;
	}
	skip(c);
	return (wrap(n));
}

static int64_t
unary(struct calc *c)
{
	int64_t x = 0;

	skip(c);
	if (++c->depth > EVAL_DEPTH)
		c->error = "expression is nested too deeply";
	else if (*c->p == '+' || *c->p == '-' || *c->p == '~') {
		char op = *c->p++;

		x = unary(c);
		x = op == '-' ? wrap(0 - (uint64_t)x) : op == '~' ? ~x : x;
	} else if (sv_isdigit(*c->p))
		x = number(c);
	else if (*c->p == '(') {
		c->p++;
		x = calc_or(c);
		if (c->error == NULL && *c->p != ')')
			c->error = "expecting closing parenthesis";
		else if (c->error == NULL) {
			c->p++;
			skip(c);
		}
	} else
		c->error = "expecting number or opening parenthesis";
	c->depth--;
	return (x);
}

static int64_t
divide(struct calc *c, char op, int64_t x, int64_t y)
{
	if (y == 0) {
		c->error = op == '/' ? "divide by zero" : "modulo by zero";
		return (0);
	}
	/* As Exim's: the one quotient that does not fit, and its remainder, become the largest number. */
	if (y == -1)
		return (x == INT64_MIN ? INT64_MAX : op == '/' ? -x : 0);
	return (op == '/' ? x / y : x % y);
}

static int64_t
product(struct calc *c)
{
	int64_t x = unary(c);

	while (c->error == NULL && (*c->p == '*' || *c->p == '/' || *c->p == '%')) {
		char op = *c->p++;
		int64_t y = unary(c);

		if (c->error != NULL)
			break;
		x = op == '*' ? wrap((uint64_t)x * (uint64_t)y) : divide(c, op, x, y);
	}
	return (x);
}

static int64_t
sum(struct calc *c)
{
	int64_t x = product(c);

	while (c->error == NULL && (*c->p == '+' || *c->p == '-')) {
		char op = *c->p++;
		int64_t y = product(c);

		if (c->error != NULL)
			break;
		/* As Exim, which is careful already at half of the largest number, and looks at the first only. */
		if (x >= INT64_MAX / 2 || (x <= -(INT64_MAX / 2) && y <= -(INT64_MAX / 2)))
			c->error = op == '+' ? "overflow in sum" : "overflow in difference";
		else
			x = wrap(op == '+' ? (uint64_t)x + (uint64_t)y : (uint64_t)x - (uint64_t)y);
	}
	return (x);
}

static int64_t
shift(struct calc *c)
{
	int64_t x = sum(c);

	while (c->error == NULL && ((c->p[0] == '<' && c->p[1] == '<') || (c->p[0] == '>' && c->p[1] == '>'))) {
		char op = c->p[0];
		int64_t y;

		c->p += 2;
		y = sum(c) & 63;
		x = op == '<' ? wrap((uint64_t)x << y) : x >> y;
	}
	return (x);
}

static int64_t
calc_and(struct calc *c)
{
	int64_t x = shift(c);

	while (c->error == NULL && *c->p == '&') {
		c->p++;
		x &= shift(c);
	}
	return (x);
}

static int64_t
calc_xor(struct calc *c)
{
	int64_t x = calc_and(c);

	while (c->error == NULL && *c->p == '^') {
		c->p++;
		x ^= calc_and(c);
	}
	return (x);
}

static int64_t
calc_or(struct calc *c)
{
	int64_t x = calc_xor(c);

	while (c->error == NULL && *c->p == '|') {
		c->p++;
		x |= calc_xor(c);
	}
	return (x);
}

static enum exim_result
evaluate(struct xev *e, struct sv v, bool decimal, struct sv *out)
{
	const char *text = x_cstr(e, v);
	struct calc c = { .p = text, .decimal = decimal };
	int64_t x = calc_or(&c);

	if (c.error == NULL && *c.p != '\0')
		c.error = "expecting operator";
	if (c.error != NULL)
		return (x_fail(e, "error in expression evaluation: %s (after processing \"%.*s\")", c.error, (int)(c.p - text),
		    text));
	/* A number is good for a file's name, whoever gave the figures. */
	*out = x_int(e, x);
	return (EXIM_OK);
}

X_OP(xo_eval)
{
	return (evaluate(e, v, false, out));
}

X_OP(xo_eval10)
{
	return (evaluate(e, v, true, out));
}
