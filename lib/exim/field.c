/* SPDX-License-Identifier: BSD-2-Clause */
/* Header fields cut at their commas; see field.h. */
#include <string.h>

#include "exim/field.h"

/* The offset behind a quoted string or comment that begins at <i>; one that does not close goes to the end. */
static size_t
behind(struct sv v, size_t i)
{
	bool quoted = v.p[i] == '"';
	unsigned depth = quoted ? 0 : 1;

	for (i++; i < v.len; i++) {
		char c = v.p[i];

		if (c == '\\')
			i++;
		else if (quoted && c == '"')
			return (i + 1);
		else if (!quoted && c == '(')
			depth++;
		else if (!quoted && c == ')' && --depth == 0)
			return (i + 1);
	}
	return (v.len);
}

/* Where the comma stands that ends the first address: not in quotes, comments, angles or a route. */
static size_t
find_end(struct sv v)
{
	bool routed = v.len > 0 && v.p[0] == '@';
	int within = routed ? 1 : 0;
	size_t i = 0;

	while (i < v.len && (v.p[i] != ',' || within > 0)) {
		char c = v.p[i];

		if (c == '\\' && i + 1 < v.len)
			i++;
		else if (c == '"' || c == '(') {
			i = behind(v, i);
			continue;
		} else if (c == '<') {
			routed = i + 1 < v.len && v.p[i + 1] == '@';
			within = routed ? 2 : 1;
		} else if (c == '>' || (c == ':' && routed))
			within--;
		i++;
	}
	return (i < v.len ? i : v.len);
}

/* The first <c> outside of quotes and comments, -1 if one of <stop> comes before it. */
static ptrdiff_t
find(struct sv v, char c, const char *stop)
{
	for (size_t i = 0; i < v.len;) {
		if (v.p[i] == c)
			return ((ptrdiff_t)i);
		if (v.p[i] != '\0' && strchr(stop, v.p[i]) != NULL)
			return (-1);
		if (v.p[i] == '"' || v.p[i] == '(')
			i = behind(v, i);
		else
			i += v.p[i] == '\\' ? 2 : 1;
	}
	return (-1);
}

enum exim_field_got
exim_field_next(struct exim_field *f, unsigned flags, struct arena *a, struct sv *piece, struct exim_extracted *x,
    struct err *err)
{
	struct sv v;
	ptrdiff_t at;
	size_t end;

	while (f->rest.len > 0 && sv_isspace(f->rest.p[0]))
		f->rest = sv_sub(f->rest, 1, f->rest.len);
	if (f->rest.len == 0)
		return (EXIM_FIELD_END);
	end = find_end(f->rest);
	v = *piece = sv_sub(f->rest, 0, end);
	f->rest = sv_sub(f->rest, end + 1, f->rest.len);
	if (!f->group && (at = find(v, ':', "@<[;")) > 0) {
		f->group = true;
		v = sv_sub(v, (size_t)at + 1, v.len);
	}
	/* What stands behind a group's end is not looked at. */
	if (f->group && (at = find(v, ';', "")) >= 0) {
		f->group = false;
		v = sv_sub(v, 0, (size_t)at);
	}
	if (sv_trim(v).len == 0 || sv_trim(v).p[0] == ';')
		return (EXIM_FIELD_EMPTY);
	err_clear(err);
	if (exim_extract(v, flags, a, x, err) == 0)
		return (EXIM_FIELD_ADDRESS);
	x->address = v;
	return (strcmp(err->text, "empty address") == 0 ? EXIM_FIELD_EMPTY : EXIM_FIELD_WRONG);
}
