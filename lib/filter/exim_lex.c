/* SPDX-License-Identifier: BSD-2-Clause */
/* Words and quoted strings of an Exim filter, with line numbers as Exim counts them. */
#include <stdarg.h>
#include <string.h>

#include "base/sb.h"
#include "exim_int.h"

static bool
space(char c)
{
	return (c == ' ' || (c >= '\t' && c <= '\r'));
}

void
xf_error(struct xf_lex *x, const char *fmt, ...)
{
	struct sb sb = SB_INIT(4 * EXIM_FILTER_WORD);
	va_list ap;

	va_start(ap, fmt);
	sb_addv(&sb, fmt, ap);
	va_end(ap);
	if (x->error == NULL)
		x->error = arena_cstr(x->a, sb_sv(&sb));
	sb_free(&sb);
}

void
xf_skip(struct xf_lex *x)
{
	for (;;) {
		while (space(*x->p)) {
			if (*x->p == '\n')
				x->line++;
			x->p++;
		}
		if (*x->p != '#')
			return;
		while (*x->p != '\n' && *x->p != '\0')
			x->p++;
	}
}

/* Is there room for one more byte behind <n>? */
static bool
room(struct xf_lex *x, size_t n, const char *what)
{
	if (n < EXIM_FILTER_WORD - 1)
		return (true);
	xf_error(x, "%s is too long in line %u of filter file (max = %d chars)", what, x->line, EXIM_FILTER_WORD);
	return (false);
}

void
xf_word(struct xf_lex *x, bool brackets)
{
	size_t n = 0;

	while (*x->p != '\0' && !space(*x->p) && !(brackets && (*x->p == '(' || *x->p == ')')) && room(x, n, "word"))
		x->word[n++] = *x->p++;
	x->word[n] = '\0';
	xf_skip(x);
}

static unsigned
digit(char c, unsigned base)
{
	unsigned d = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 :
	    c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10 : 99;

	return (d < base ? d : 99);
}

/* The byte that an escape means; x->p stands behind the backslash and is left behind the escape. */
static char
escape(struct xf_lex *x)
{
	static const char from[] = "bfnrtv", to[] = "\b\f\n\r\t\v";
	const char *at;
	unsigned v = 0, base = 8, most = 3, n = 0;
	char c = *x->p;

	if (c == '\0')
		return ('\\');
	if ((at = strchr(from, c)) != NULL) {
		x->p++;
		return (to[at - from]);
	}
	if (c == 'x') {
		base = 16;
		most = 2;
		x->p++;
	} else if (digit(c, 8) == 99) {
		x->p++;
		return (c);
	}
	for (; n < most && digit(*x->p, base) != 99; n++)
		v = v * base + digit(*x->p++, base);
	return ((char)v);
}

/* Backslash, blanks, newline: the string goes on behind the blanks of the next line. */
static bool
continued(struct xf_lex *x)
{
	const char *p = x->p + 1;

	while (*p != '\n' && space(*p))
		p++;
	if (*p != '\n')
		return (false);
	x->line++;
	for (p++; *p != '\n' && space(*p); p++)
		;
	x->p = p;
	return (true);
}

void
xf_item(struct xf_lex *x, bool brackets)
{
	size_t n = 0;

	if (*x->p != '"') {
		xf_word(x, brackets);
		return;
	}
	x->p++;
	while (*x->p != '\0' && *x->p != '"' && *x->p != '\n' && room(x, n, "string")) {
		if (*x->p != '\\') {
			x->word[n++] = *x->p++;
		} else if (!continued(x)) {
			x->p++;
			x->word[n++] = escape(x);
		}
	}
	if (*x->p == '"')
		x->p++;
	else
		xf_error(x, "quote missing at end of string in line %u", x->line);
	x->word[n] = '\0';
	xf_skip(x);
}

bool
xf_integer(const char **p, unsigned base, int64_t *out)
{
	const char *s = *p;
	bool minus, over = false, none = false;
	int64_t n = 0;

	while (space(*s))
		s++;
	minus = *s == '-';
	if (*s == '-' || *s == '+')
		s++;
	if (base == 0) {
		base = *s != '0' ? 10 : sv_lower(s[1]) == 'x' ? 16 : 8;
		/* "0x" alone is 0. */
		s += base != 16 ? 0 : digit(s[2], 16) != 99 ? 2 : 1;
		none = base == 16 && sv_lower(*s) == 'x';
	}
	*out = 0;
	if (none || digit(*s, base) == 99) {
		*p = none ? s + 1 : *p;
		return (none);
	}
	for (; digit(*s, base) != 99; s++)
		over |= __builtin_mul_overflow(n, base, &n) || __builtin_sub_overflow(n, (int64_t)digit(*s, base), &n);
	*p = s;
	if (!minus)
		over |= __builtin_sub_overflow((int64_t)0, n, &n);
	*out = !over ? n : minus ? INT64_MIN : INT64_MAX;
	return (!over);
}
