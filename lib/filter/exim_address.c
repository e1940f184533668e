/* SPDX-License-Identifier: BSD-2-Clause */
/* The addresses of a header line, as foranyaddress and personal see them: what cannot be read is passed over. */
#include <string.h>

#include "exim/extract.h"
#include "exim_int.h"

/* Length of the piece at the start of <v>: up to a comma, a group's ";" or, within <*name>, behind a group's ":". */
static size_t
piece(struct sv v, bool *name)
{
	bool quoted = false, angle = false, literal = false;
	unsigned depth = 0;

	*name = false;
	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];

		if (c == '\\' && i + 1 < v.len)
			i++;
		else if (c == '"' && depth == 0)
			quoted = !quoted;
		else if (quoted)
			continue;
		else if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (depth > 0)
			continue;
		else if (c == '<' || c == '>')
			angle = c == '<';
		else if (c == '[' || c == ']')
			literal = c == '[';
		else if (angle || literal)
			continue;
		else if (c == ',' || c == ';')
			return (i);
		else if (c == ':') {
			*name = true;
			return (i);
		}
	}
	return (v.len);
}

bool
xf_next_address(struct xf_run *w, struct sv *rest, struct sv *address)
{
	while (rest->len > 0) {
		struct exim_extracted x;
		struct err err = ERR_INIT;
		bool name;
		size_t n = piece(*rest, &name);
		struct sv one = sv_sub(*rest, 0, n);

		*rest = sv_sub(*rest, n < rest->len ? n + 1 : n, rest->len);
		if (name || exim_extract(one, EXIM_EXTRACT_LITERALS, w->env->arena, &x, &err) == -1)
			continue;
		*address = x.address;
		return (true);
	}
	return (false);
}
