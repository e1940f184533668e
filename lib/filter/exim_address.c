/* SPDX-License-Identifier: BSD-2-Clause */
/* The addresses of a header line, as foranyaddress and personal see them: what cannot be read is passed over. */
#include <string.h>

#include "exim/extract.h"
#include "mail/outside.h"
#include "exim_int.h"

/* What ends the piece at the start of <v>: its length, up to a comma or, where <ends> has them, ":" or ";" outside of all brackets. */
static size_t
piece(struct sv v, const char *ends)
{
	struct mail_outside at = { false, 0 };
	bool angle = false, literal = false;

	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];

		if (c == '\\' && i + 1 < v.len)
			i++;
		else if (!mail_outside(&at, c))
			continue;
		else if (c == '<' || c == '>')
			angle = c == '<';
		else if (c == '[' || c == ']')
			literal = c == '[';
		else if (!angle && !literal && strchr(ends, c) != NULL && c != '\0')
			return (i);
	}
	return (v.len);
}

/* The next item's text, without a group's name; what stands behind a group's ";" up to the comma does not count. */
static struct sv
item(struct xf_list_of *l)
{
	size_t n = piece(l->rest, ",");
	struct sv one = sv_sub(l->rest, 0, n);

	l->rest = sv_sub(l->rest, n < l->rest.len ? n + 1 : n, l->rest.len);
	if (l->how == XF_PLAIN)
		return (one);
	n = sv_starts(sv_trim(one), "@") ? one.len : piece(one, ":");
	if (n < one.len) {
		l->group = true;
		one = sv_sub(one, n + 1, one.len);
	}
	n = l->group ? piece(one, ";") : one.len;
	if (n < one.len) {
		l->group = false;
		one.len = n;
	}
	return (one);
}

bool
xf_next_address(struct xf_run *w, struct xf_list_of *l, struct sv *address)
{
	while (l->rest.len > 0) {
		struct exim_extracted x;
		struct err err = ERR_INIT;

		if (exim_extract(item(l), EXIM_EXTRACT_LITERALS, w->env->arena, &x, &err) == 0) {
			*address = x.address;
			return (true);
		}
		if (l->how == XF_PLAIN)
			return (false);
	}
	return (false);
}
