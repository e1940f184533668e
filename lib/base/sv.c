/* SPDX-License-Identifier: BSD-2-Clause */
/* Slices: comparing, searching, cutting.  Pure; see sv.h. */
#include "base/sv.h"

#include <strings.h>

struct sv
sv_sub(struct sv v, size_t from, size_t to)
{
	if (to > v.len)
		to = v.len;
	if (from > to)
		from = to;
	if (v.p != NULL)
		v.p += from;
	v.len = to - from;
	return (v);
}

bool
sv_eq(struct sv a, struct sv b)
{
	return (a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0));
}

bool
sv_eqs(struct sv a, const char *s)
{
	return (sv_eq(a, sv_cstr(s)));
}

static bool
casesame(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i] != b[i] && sv_lower(a[i]) != sv_lower(b[i]))
			return (false);
	return (true);
}

bool
sv_caseeq(struct sv a, struct sv b)
{
	return (a.len == b.len && casesame(a.p, b.p, a.len));
}

bool
sv_caseeqs(struct sv a, const char *s)
{
	return (sv_caseeq(a, sv_cstr(s)));
}

int
sv_cmp(struct sv a, struct sv b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int d = n == 0 ? 0 : memcmp(a.p, b.p, n);

	if (d != 0)
		return (d < 0 ? -1 : 1);
	return (a.len < b.len ? -1 : a.len > b.len);
}

bool
sv_starts(struct sv v, const char *prefix)
{
	size_t n = strlen(prefix);

	return (v.len >= n && (n == 0 || memcmp(v.p, prefix, n) == 0));
}

bool
sv_casestarts(struct sv v, const char *prefix)
{
	size_t n = strlen(prefix);

	return (v.len >= n && casesame(v.p, prefix, n));
}

bool
sv_ends(struct sv v, const char *suffix)
{
	size_t n = strlen(suffix);

	return (v.len >= n && (n == 0 || memcmp(v.p + v.len - n, suffix, n) == 0));
}

bool
sv_caseends(struct sv v, struct sv suffix)
{
	return (v.len >= suffix.len && casesame(v.p + v.len - suffix.len, suffix.p, suffix.len));
}

ptrdiff_t
sv_chr(struct sv v, char c)
{
	const char *q = v.len == 0 ? NULL : memchr(v.p, c, v.len);

	return (q == NULL ? -1 : q - v.p);
}

ptrdiff_t
sv_rchr(struct sv v, char c)
{
	const char *q = v.len == 0 ? NULL : memrchr(v.p, c, v.len);

	return (q == NULL ? -1 : q - v.p);
}

ptrdiff_t
sv_find(struct sv v, struct sv needle)
{
	const char *q;

	if (needle.len == 0)
		return (0);
	if (v.len < needle.len)
		return (-1);
	q = memmem(v.p, v.len, needle.p, needle.len);
	return (q == NULL ? -1 : q - v.p);
}

ptrdiff_t
sv_casefind(struct sv v, struct sv needle)
{
	if (needle.len == 0)
		return (0);
	for (size_t i = 0; i + needle.len <= v.len; i++)
		if (casesame(v.p + i, needle.p, needle.len))
			return ((ptrdiff_t)i);
	return (-1);
}

struct sv
sv_trim_right(struct sv v)
{
	while (v.len > 0 && sv_isspace(v.p[v.len - 1]))
		v.len--;
	return (v);
}

struct sv
sv_trim_left(struct sv v)
{
	while (v.len > 0 && sv_isspace(v.p[0])) {
		v.p++;
		v.len--;
	}
	return (v);
}

struct sv
sv_trim(struct sv v)
{
	return (sv_trim_left(sv_trim_right(v)));
}

bool
sv_cpy(char *buf, size_t size, struct sv v)
{
	if (v.len >= size)
		return (false);
	if (v.len > 0)
		memcpy(buf, v.p, v.len);
	buf[v.len] = '\0';
	return (true);
}

bool
sv_is_ascii(struct sv v)
{
	for (size_t i = 0; i < v.len; i++)
		if ((unsigned char)v.p[i] > 127)
			return (false);
	return (true);
}

bool
sv_next(struct sv *v, char sep, struct sv *piece)
{
	ptrdiff_t i;

	if (v->p == NULL)
		return (false);
	i = sv_chr(*v, sep);
	if (i == -1) {
		*piece = *v;
		v->p = NULL;
		v->len = 0;
	} else {
		*piece = sv_sub(*v, 0, (size_t)i);
		*v = sv_sub(*v, (size_t)i + 1, v->len);
	}
	return (true);
}

bool
sv_word(struct sv *v, struct sv *word)
{
	size_t i = 0, j;

	while (i < v->len && (v->p[i] == ' ' || v->p[i] == '\t'))
		i++;
	for (j = i; j < v->len && v->p[j] != ' ' && v->p[j] != '\t'; j++)
		;
	*word = sv_sub(*v, i, j);
	*v = sv_sub(*v, j, v->len);
	return (word->len > 0);
}
