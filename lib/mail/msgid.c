/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Message identifiers out of Message-ID, In-Reply-To and References, as they are written in the wild, and the
 * References of what answers a message: replies, reports of failure and delay.
 */
#include "mail/msgid.h"

#include <string.h>

#include "mail/header.h"

#define LINE_MAX_BYTES	998	/* RFC 5322 section 2.1.1 */

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

struct sv
mail_msgid_of(const struct mail_headers *h)
{
	struct sv id = mail_headers_get(h, "Resent-Message-ID");

	id = sv_trim(id.p != NULL ? id : mail_headers_get(h, "Message-ID"));
	return (id.len > 0 ? id : SV_NULL);
}

/* ---- References ---- */

/* One "@" with something at its sides; in a quoted string it does not count. */
static bool
has_two_sides(struct sv id)
{
	size_t at = 0, n = 0;
	bool quoted = false;

	for (size_t i = 1; i + 1 < id.len; i++) {
		if (id.p[i] == '"')
			quoted = !quoted;
		else if (id.p[i] == '\\' && quoted)
			i++;
		else if (id.p[i] == '@' && !quoted) {
			at = i;
			n++;
		}
	}
	return (n == 1 && at > 1 && at + 2 < id.len);
}

/* Cut the id off with which *<v> begins; blanks, commas and comments may stand before it, nothing else. */
static bool
next_reference(struct sv *v, struct sv *id)
{
	size_t i = 0;

	while (i < v->len && (sv_isspace(v->p[i]) || v->p[i] == ',' || v->p[i] == '('))
		i = v->p[i] == '(' ? skip_quoted(*v, i) : i + 1;
	*v = sv_sub(*v, i, v->len);
	if (v->len == 0 || v->p[0] != '<' || id_end(*v, 0) == v->len)
		return (false);
	return (mail_msgid_next(v, id) && has_two_sides(*id));
}

/* The ids in <body> that are kept, into <ids>; how many. */
static size_t
read_references(struct sv body, struct sv ids[MAIL_REFERENCES_MAX])
{
	struct sv id;
	size_t n = 0;

	while (next_reference(&body, &id)) {
		if (n == MAIL_REFERENCES_MAX) {
			memmove(&ids[1], &ids[2], (MAIL_REFERENCES_MAX - 2) * sizeof(ids[0]));
			n--;
		}
		ids[n++] = id;
	}
	return (n);
}

/* Blanks in an id mean nothing (obsolete syntax, section 4.5.4). */
static void
add_reference(struct sb *out, struct sv id)
{
	bool quoted = false;

	for (size_t i = 0; i < id.len; i++) {
		quoted = quoted != (id.p[i] == '"');
		if (quoted || !sv_isspace(id.p[i]))
			sb_addc(out, id.p[i]);
	}
}

/* As it is written, with the line ends <eol>. */
static void
add_own_id(struct sb *out, struct sv id, const char *eol)
{
	struct sv line;

	for (bool first = true; sv_next(&id, '\n', &line); first = false) {
		if (!first)
			sb_adds(out, eol);
		sb_add(out, sv_ends(line, "\r") ? sv_sub(line, 0, line.len - 1) : line);
	}
}

void
mail_references(struct sb *out, const struct mail_headers *h, const char *eol)
{
	struct sv body = mail_headers_get(h, "References"), own = mail_msgid_of(h), ids[MAIL_REFERENCES_MAX + 1];
	size_t n, line = out->len;

	n = read_references(body.p != NULL ? body : mail_headers_get(h, "In-Reply-To"), ids);
	if (n == 0 && own.len == 0)
		return;
	sb_adds(out, "References:");
	ids[n] = own;
	for (size_t i = 0; i <= n && ids[i].len > 0; i++) {
		if (i > 0 && out->len - line + 1 + ids[i].len > LINE_MAX_BYTES) {
			sb_adds(out, eol);
			line = out->len;
		}
		sb_addc(out, ' ');
		if (i < n)
			add_reference(out, ids[i]);
		else
			add_own_id(out, own, eol);
	}
	sb_adds(out, eol);
}
