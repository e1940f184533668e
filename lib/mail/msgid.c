/* SPDX-License-Identifier: BSD-2-Clause */
/* Message identifiers out of Message-ID, In-Reply-To and References, as they are written in the wild. */
#include "mail/msgid.h"

/* Skip a quoted string or a comment that starts at <i>; returns the index behind it. */
static size_t
skip_quoted(struct sv v, size_t i)
{
	char open = v.p[i];
	unsigned depth = 1;

	for (i++; i < v.len && depth > 0; i++) {
		if (v.p[i] == '\\')
			i++;
		else if (open == '"')
			depth = v.p[i] == '"' ? 0 : 1;
		else if (v.p[i] == '(')
			depth++;
		else if (v.p[i] == ')')
			depth--;
	}
	return (i < v.len ? i : v.len);
}

/* Index of the '>' that closes the id at <i> ('<'), or v.len. */
static size_t
id_end(struct sv v, size_t i)
{
	bool quoted = false;

	for (i++; i < v.len; i++) {
		if (v.p[i] == '"')
			quoted = !quoted;
		else if (v.p[i] == '\\' && quoted)
			i++;
		else if (v.p[i] == '>' && !quoted)
			return (i);
		else if (v.p[i] == '<' && !quoted)
			return (v.len);
	}
	return (v.len);
}

bool
mail_msgid_next(struct sv *v, struct sv *id)
{
	size_t i = 0, end;

	while (i < v->len) {
		if (v->p[i] == '"' || v->p[i] == '(') {
			i = skip_quoted(*v, i);
			continue;
		}
		if (v->p[i] == '<' && (end = id_end(*v, i)) < v->len) {
			*id = sv_sub(*v, i, end + 1);
			*v = sv_sub(*v, end + 1, v->len);
			return (true);
		}
		i++;
	}
	*v = sv_sub(*v, v->len, v->len);
	return (false);
}

struct sv
mail_msgid_first(struct sv body)
{
	struct sv id;

	return (mail_msgid_next(&body, &id) ? id : SV_NULL);
}
