/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The smallest pieces of a command: atoms, strings, numbers, sets, flags.  A piece
 * either is taken whole or leaves a text for the BAD answer.
 */
#include <string.h>

#include "base/num.h"
#include "imap/lex_int.h"

bool
lex_bad(struct imap_lex *l, const char *why)
{
	if (l->why == NULL)
		l->why = why;
	return (false);
}

bool
lex_take(struct imap_lex *l, char c)
{
	if (l->i >= l->v.len || l->v.p[l->i] != c)
		return (false);
	l->i++;
	return (true);
}

bool
lex_space(struct imap_lex *l)
{
	return (lex_take(l, ' ') || lex_bad(l, "Missing space or argument"));
}

bool
lex_at_end(const struct imap_lex *l)
{
	size_t i = l->i;

	/* Blanks in front of the line end are forgiven. */
	while (i < l->v.len && l->v.p[i] == ' ')
		i++;
	return (i == l->v.len || (l->v.p[i] == '\n' && i + 1 == l->v.len) ||
	    (l->v.p[i] == '\r' && i + 2 == l->v.len && l->v.p[i + 1] == '\n'));
}

static bool
is_atom_char(char c)
{
	return (c > ' ' && c < 127 && strchr("(){%*\"\\]", c) == NULL);
}

static bool
run(struct imap_lex *l, bool (*fn)(char), struct sv *out)
{
	size_t start = l->i;

	while (l->i < l->v.len && fn(l->v.p[l->i]))
		l->i++;
	*out = sv_sub(l->v, start, l->i);
	return (l->i > start);
}

bool
lex_word(struct imap_lex *l, const char *word)
{
	size_t n = strlen(word);
	struct sv rest = sv_sub(l->v, l->i, l->v.len);

	if (!sv_casestarts(rest, word) || (rest.len > n && is_atom_char(rest.p[n]) && word[n - 1] != '['))
		return (false);
	l->i += n;
	return (true);
}

bool
lex_atom(struct imap_lex *l, struct sv *out)
{
	return (run(l, is_atom_char, out) || lex_bad(l, "Missing or malformed argument"));
}

static bool
is_tag_char(char c)
{
	return (c != '+' && (is_atom_char(c) || c == ']'));
}

bool
lex_tag(struct imap_lex *l, struct sv *out)
{
	if (!run(l, is_tag_char, out) || lex_peek(l) != ' ') {
		*out = SV_NULL;
		return (lex_bad(l, "Missing or malformed tag"));
	}
	if (out->len > IMAP_TAG_MAX) {
		*out = SV_NULL;
		return (lex_bad(l, "Tag too long"));
	}
	return (true);
}

static bool
quoted(struct imap_lex *l, struct sv *out)
{
	size_t start = ++l->i, n = 0;
	bool escaped = false;
	char *p;

	for (; l->i < l->v.len && l->v.p[l->i] != '"'; l->i++, n++) {
		char c = l->v.p[l->i];

		if (c == '\r' || c == '\n' || c == '\0')
			return (lex_bad(l, "Line end or NUL in quoted string"));
		if (c != '\\')
			continue;
		escaped = true;
		l->i++;
		if (lex_peek(l) != '"' && lex_peek(l) != '\\')
			return (lex_bad(l, "Bad escape in quoted string"));
	}
	if (!lex_take(l, '"'))
		return (lex_bad(l, "Missing '\"'"));
	*out = sv_sub(l->v, start, l->i - 1);
	if (!escaped)
		return (true);
	p = arena_alloc(l->a, n + 1);
	n = 0;
	for (size_t i = 0; i < out->len; i++) {
		if (out->p[i] == '\\')
			i++;
		p[n++] = out->p[i];
	}
	*out = (struct sv){ p, n, l->v.tainted };
	return (true);
}

bool
lex_literal_head(struct imap_lex *l, uint64_t *n, bool *sync)
{
	size_t start;

	(void)lex_take(l, '~');
	if (!lex_take(l, '{'))
		return (lex_bad(l, "Missing literal"));
	start = l->i;
	while (sv_isdigit(lex_peek(l)))
		l->i++;
	if (!num_parse_u64(sv_sub(l->v, start, l->i), UINT64_MAX / 2, n))
		return (lex_bad(l, "Malformed literal"));
	*sync = !lex_take(l, '+');
	if (!lex_take(l, '}'))
		return (lex_bad(l, "Malformed literal"));
	(void)lex_take(l, '\r');
	return (lex_take(l, '\n') || lex_bad(l, "Malformed literal"));
}

static bool
literal(struct imap_lex *l, struct sv *out)
{
	uint64_t n;
	bool sync;

	if (!lex_literal_head(l, &n, &sync))
		return (false);
	if (n > l->v.len - l->i)
		return (lex_bad(l, "Literal cut short"));
	*out = sv_sub(l->v, l->i, l->i + (size_t)n);
	l->i += (size_t)n;
	if (n > 0 && memchr(out->p, '\0', out->len) != NULL)
		return (lex_bad(l, "NUL in literal"));
	return (true);
}

bool
lex_string(struct imap_lex *l, struct sv *out)
{
	if (lex_peek(l) == '"')
		return (quoted(l, out));
	if (lex_peek(l) == '{')
		return (literal(l, out));
	return (lex_bad(l, "Missing string"));
}

static bool
is_astring_char(char c)
{
	return (is_atom_char(c) || c == ']');
}

bool
lex_astring(struct imap_lex *l, struct sv *out)
{
	if (lex_peek(l) == '"' || lex_peek(l) == '{')
		return (lex_string(l, out));
	return (run(l, is_astring_char, out) || lex_bad(l, "Missing or malformed argument"));
}

bool
lex_nstring(struct imap_lex *l, struct sv *out)
{
	if (lex_word(l, "NIL")) {
		*out = SV_NULL;
		return (true);
	}
	return (lex_string(l, out));
}

static bool
is_list_char(char c)
{
	return (is_astring_char(c) || c == '%' || c == '*');
}

bool
lex_list_mailbox(struct imap_lex *l, struct sv *out)
{
	if (lex_peek(l) == '"' || lex_peek(l) == '{')
		return (lex_string(l, out));
	return (run(l, is_list_char, out) || lex_bad(l, "Missing mailbox pattern"));
}

bool
lex_number(struct imap_lex *l, uint32_t min, uint32_t *out)
{
	size_t start = l->i;
	int64_t n;

	while (sv_isdigit(lex_peek(l)))
		l->i++;
	if (!num_parse(sv_sub(l->v, start, l->i), min, UINT32_MAX, &n))
		return (lex_bad(l, "Malformed number"));
	*out = (uint32_t)n;
	return (true);
}

static bool
set_number(struct imap_lex *l, uint32_t *out)
{
	if (lex_take(l, '*')) {
		*out = 0;
		return (true);
	}
	return (lex_number(l, 1, out));
}

bool
lex_set(struct imap_lex *l, struct imap_set *out)
{
	VEC(struct imap_range) v = VEC_INIT;
	struct imap_range r;
	bool ok;

	do {
		ok = set_number(l, &r.first);
		r.last = r.first;
		if (ok && lex_take(l, ':'))
			ok = set_number(l, &r.last);
		if (ok)
			vec_push(&v, r);
	} while (ok && lex_take(l, ','));
	out->n = v.len;
	out->v = v.len == 0 ? NULL : arena_dup(l->a, v.p, v.len * sizeof(*v.p));
	vec_free(&v);
	return (ok);
}

static bool
flag(struct imap_lex *l, struct sv *out)
{
	size_t start = l->i;

	(void)lex_take(l, '\\');
	if (!lex_atom(l, out))
		return (false);
	*out = sv_sub(l->v, start, l->i);
	return (true);
}

bool
lex_flags(struct imap_lex *l, struct imap_flags *out)
{
	VEC(struct sv) v = VEC_INIT;
	bool list = lex_take(l, '('), ok = true;
	struct sv f;

	if (!list || lex_peek(l) != ')') {
		do {
			ok = flag(l, &f);
			if (ok)
				vec_push(&v, f);
		} while (ok && lex_peek(l) == ' ' && !lex_at_end(l) && lex_take(l, ' '));
	}
	if (ok && list && !lex_take(l, ')'))
		ok = lex_bad(l, "Missing ')'");
	out->n = v.len;
	out->v = v.len == 0 ? NULL : arena_dup(l->a, v.p, v.len * sizeof(*v.p));
	vec_free(&v);
	return (ok);
}

/* ---- sets ---- */

bool
imap_range_resolve(const struct imap_range *r, uint32_t max, uint32_t *first, uint32_t *last)
{
	uint32_t a = r->first == 0 ? max : r->first, b = r->last == 0 ? max : r->last;

	*first = a < b ? a : b;
	*last = a < b ? b : a;
	return (*first > 0);
}

bool
imap_set_has(const struct imap_set *s, uint32_t max, uint32_t n)
{
	uint32_t first, last;

	for (size_t i = 0; i < s->n; i++)
		if (imap_range_resolve(&s->v[i], max, &first, &last) && n >= first && n <= last)
			return (true);
	return (false);
}
