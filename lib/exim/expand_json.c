/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The little that Exim's language needs of JSON: cutting arrays and objects into
 * pieces of text.  Escapes inside strings stay as they are written, as Exim leaves them.
 */
#include "exim/expand_int.h"

bool
x_json_dewrap(struct sv v, char open, char close, struct sv *inside, struct sv *rest)
{
	unsigned depth = 0;
	bool quoted = false;
	size_t i = 0, start;

	while (i < v.len && sv_isspace(v.p[i]))
		i++;
	if (i >= v.len || v.p[i] != open)
		return (false);
	for (start = ++i; i < v.len; i++) {
		char c = v.p[i];

		if (c == '\\') {
			i++;
			continue;
		}
		if (c == '"' && open != '"')
			quoted = !quoted;
		else if (quoted)
			continue;
		else if (c == open && open != close)
			depth++;
		else if (c == close && depth-- == 0) {
			*inside = sv_sub(v, start, i);
			if (rest != NULL)
				*rest = sv_sub(v, i + 1, v.len);
			return (true);
		}
	}
	return (false);
}

bool
x_json_next(struct sv *list, struct sv *item)
{
	unsigned depth = 0;
	bool quoted = false;
	size_t i = 0, start;

	while (i < list->len && sv_isspace(list->p[i]))
		i++;
	for (start = i; i < list->len; i++) {
		char c = list->p[i];

		if (c == '\\') {
			i++;
			continue;
		}
		if (c == '"')
			quoted = !quoted;
		else if (quoted)
			continue;
		else if (c == '[' || c == '{')
			depth++;
		else if ((c == ']' || c == '}') && depth > 0)
			depth--;
		else if (c == ',' && depth == 0)
			break;
	}
	if (i > list->len)
		i = list->len;
	*item = sv_sub(*list, start, i);
	*list = sv_sub(*list, i + 1, list->len);
	while (item->len > 0 && sv_isspace(item->p[item->len - 1]))
		item->len--;
	return (i > start);
}
