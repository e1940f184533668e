/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BODY and BODYSTRUCTURE.  The store keeps the extended form; BODY is made of it
 * by leaving the extension data out, without a look at the message.
 */
#include "base/num.h"
#include "imap/bodystructure.h"
#include "imap/envelope.h"
#include "imap/write.h"

#define NO_CHARSET	"\"charset\" \"us-ascii\""
#define EMPTY_TEXT	"(\"text\" \"plain\" (" NO_CHARSET ") NIL NIL \"7bit\" 0 0"
#define EMPTY_ENVELOPE	"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"

/* ("name" "value" ...) or NIL.  RFC 2046 4.1.2: text without a charset is US-ASCII. */
static void
put_params(struct sb *out, const struct mime_params *p, bool text)
{
	bool charset = !text;

	if (p->n == 0) {
		sb_adds(out, text ? "(" NO_CHARSET ")" : "NIL");
		return;
	}
	sb_addc(out, '(');
	for (size_t i = 0; i < p->n; i++) {
		if (i > 0)
			sb_addc(out, ' ');
		imap_put_string(out, p->v[i].raw_name);
		sb_addc(out, ' ');
		imap_put_string(out, p->v[i].raw_value);
		charset = charset || sv_eqs(p->v[i].name, "charset");
	}
	if (!charset)
		sb_adds(out, " " NO_CHARSET);
	sb_addc(out, ')');
}

static void
put_languages(struct sb *out, struct sv v)
{
	struct sv tag;
	bool any = false;

	while (sv_next(&v, ',', &tag)) {
		tag = sv_trim(tag);
		if (tag.len == 0)
			continue;
		sb_addc(out, any ? ' ' : '(');
		imap_put_string(out, tag);
		any = true;
	}
	sb_adds(out, any ? ")" : "NIL");
}

/* The extension data that leaves and multiparts share: disposition, language, location. */
static void
put_extension(struct sb *out, const struct mime_part *p)
{
	if (p->disposition.p == NULL) {
		sb_adds(out, " NIL ");
	} else {
		sb_adds(out, " (");
		imap_put_string(out, p->disposition);
		sb_addc(out, ' ');
		put_params(out, &p->disposition_params, false);
		sb_adds(out, ") ");
	}
	put_languages(out, p->language);
	sb_addc(out, ' ');
	imap_put_nstring(out, p->location);
}

static void
put_message(struct sb *out, const struct mime_part *p, bool extended)
{
	sb_addc(out, ' ');
	if (p->child != NULL) {
		imap_envelope(out, &p->child->headers);
		sb_addc(out, ' ');
		imap_bodystructure(out, p->child, extended);
	} else {
		sb_adds(out, EMPTY_ENVELOPE " " EMPTY_TEXT);
		sb_adds(out, extended ? " NIL NIL NIL NIL)" : ")");
	}
	sb_addf(out, " %u", p->body_lines);
}

static void
put_leaf(struct sb *out, const struct mime_part *p, bool extended)
{
	bool text = sv_caseeqs(p->type, "text");

	sb_addc(out, '(');
	imap_put_string(out, p->type);
	sb_addc(out, ' ');
	imap_put_string(out, p->subtype);
	sb_addc(out, ' ');
	put_params(out, &p->params, text);
	sb_addc(out, ' ');
	imap_put_nstring(out, p->id);
	sb_addc(out, ' ');
	imap_put_nstring(out, p->description);
	sb_addc(out, ' ');
	imap_put_string(out, p->encoding_text.p == NULL ? SV_LIT("7bit") : p->encoding_text);
	sb_addf(out, " %zu", p->body_end - p->body_start);
	if (p->kind == MIME_MESSAGE)
		put_message(out, p, extended);
	else if (text)
		sb_addf(out, " %u", p->body_lines);
	if (extended) {
		sb_addc(out, ' ');
		imap_put_nstring(out, p->md5);
		put_extension(out, p);
	}
	sb_addc(out, ')');
}

void
imap_bodystructure(struct sb *out, const struct mime_part *root, bool extended)
{
	if (root->kind != MIME_MULTIPART) {
		put_leaf(out, root, extended);
		return;
	}
	sb_addc(out, '(');
	for (const struct mime_part *p = root->child; p != NULL; p = p->next)
		imap_bodystructure(out, p, extended);
	/* The grammar asks for at least one part. */
	if (root->child == NULL)
		sb_adds(out, extended ? EMPTY_TEXT " NIL NIL NIL NIL)" : EMPTY_TEXT ")");
	sb_addc(out, ' ');
	imap_put_string(out, root->subtype);
	if (extended) {
		sb_addc(out, ' ');
		put_params(out, &root->params, false);
		put_extension(out, root);
	}
	sb_addc(out, ')');
}

/* ---- BODY of BODYSTRUCTURE ---- */

/* Length of the quoted string, literal, atom at the start of <v>; 0 if there is none. */
static size_t
simple_length(struct sv v)
{
	ptrdiff_t close;
	int64_t n;
	size_t i;

	if (v.len == 0)
		return (0);
	if (v.p[0] == '"') {
		for (i = 1; i < v.len && v.p[i] != '"'; i++)
			i += v.p[i] == '\\';
		return (i < v.len ? i + 1 : 0);
	}
	if (v.p[0] == '{') {
		close = sv_chr(v, '}');
		if (close == -1 || !num_parse(sv_sub(v, 1, (size_t)close), 0, (int64_t)v.len, &n))
			return (0);
		i = (size_t)close + 3 + (size_t)n;
		return (i <= v.len ? i : 0);
	}
	for (i = 0; i < v.len && v.p[i] != ' ' && v.p[i] != '(' && v.p[i] != ')'; i++)
		;
	return (i);
}

/* Length of the value at the start of <v>: simple or a whole list; 0 if malformed. */
static size_t
value_length(struct sv v)
{
	size_t depth = 0, i = 0, n;

	while (i < v.len) {
		if (v.p[i] == '(') {
			depth++;
			i++;
		} else if (v.p[i] == ')') {
			if (depth == 0)
				return (0);
			depth--;
			i++;
		} else if (v.p[i] == ' ' && depth > 0) {
			i++;
			continue;
		} else {
			n = simple_length(sv_sub(v, i, v.len));
			if (n == 0)
				return (0);
			i += n;
		}
		if (depth == 0)
			return (i);
	}
	return (0);
}

/* Copy the value at the start of *<v> and the blank behind it. */
static bool
copy_value(struct sb *out, struct sv *v, const char *before)
{
	size_t n = value_length(*v);

	if (n == 0)
		return (false);
	sb_adds(out, before);
	sb_add(out, sv_sub(*v, 0, n));
	*v = sv_sub(*v, n, v->len);
	if (v->len > 0 && v->p[0] == ' ')
		*v = sv_sub(*v, 1, v->len);
	return (true);
}

/* Skip what is left of a list, and its parenthesis. */
static bool
skip_rest(struct sv *v)
{
	size_t n;

	while (v->len > 0 && v->p[0] != ')') {
		n = v->p[0] == ' ' ? 1 : value_length(*v);
		if (n == 0)
			return (false);
		*v = sv_sub(*v, n, v->len);
	}
	if (v->len == 0)
		return (false);
	*v = sv_sub(*v, 1, v->len);
	return (true);
}

static bool
is_string(struct sv v, const char *text)
{
	size_t n = simple_length(v);

	return (n > 2 && v.p[0] == '"' && sv_caseeqs(sv_sub(v, 1, n - 1), text));
}

static bool copy_body(struct sb *, struct sv *, unsigned);

static bool
copy_leaf(struct sb *out, struct sv *v, unsigned depth)
{
	bool text = is_string(*v, "text"), message = is_string(*v, "message");
	size_t n = simple_length(*v);
	struct sv sub = sv_sub(*v, n + 1, v->len);

	message = message && (is_string(sub, "rfc822") || is_string(sub, "global"));
	for (unsigned i = 0; i < 7; i++)
		if (!copy_value(out, v, i == 0 ? "" : " "))
			return (false);
	if (message) {
		if (!copy_value(out, v, " "))
			return (false);
		sb_addc(out, ' ');
		if (!copy_body(out, v, depth + 1))
			return (false);
		if (v->len > 0 && v->p[0] == ' ')
			*v = sv_sub(*v, 1, v->len);
	}
	if ((message || text) && !copy_value(out, v, " "))
		return (false);
	return (true);
}

static bool
copy_body(struct sb *out, struct sv *v, unsigned depth)
{
	if (v->len < 2 || v->p[0] != '(' || depth > MIME_DEPTH_MAX + 1)
		return (false);
	*v = sv_sub(*v, 1, v->len);
	sb_addc(out, '(');
	if (v->p[0] == '(') {
		while (v->len > 0 && v->p[0] == '(')
			if (!copy_body(out, v, depth + 1))
				return (false);
		if (v->len == 0 || v->p[0] != ' ')
			return (false);
		*v = sv_sub(*v, 1, v->len);
		if (!copy_value(out, v, " "))
			return (false);
	} else if (!copy_leaf(out, v, depth)) {
		return (false);
	}
	sb_addc(out, ')');
	return (skip_rest(v));
}

bool
imap_body_from_structure(struct sb *out, struct sv in)
{
	size_t start = out->len;

	if (!copy_body(out, &in, 0) || in.len > 0) {
		sb_cut(out, start);
		return (false);
	}
	return (true);
}
