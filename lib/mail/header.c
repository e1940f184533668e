/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index of a header block: one pass over the lines, an array in the
 * caller's arena.  Called for each message at intake and delivery, so it looks at
 * a byte at most twice (memchr for the line end, then the name).
 */
#include <stdlib.h>
#include <string.h>

#include "mail/header.h"

/* Fields collected on the stack before the array goes to the heap; usual messages have 10 to 40. */
#define FIRST_FIELDS	48

struct collector {
	struct mail_header *v;
	size_t		 n, cap;
	struct mail_header  first[FIRST_FIELDS];
};

static void
collect(struct collector *c, const struct mail_header *f)
{
	if (c->n == c->cap) {
		struct mail_header *v = xreallocarray(c->v == c->first ? NULL : c->v, c->cap * 2, sizeof(*v));

		if (c->v == c->first)
			memcpy(v, c->first, c->n * sizeof(*v));
		c->v = v;
		c->cap *= 2;
	}
	c->v[c->n++] = *f;
}

bool
mail_header_name_ok(struct sv name)
{
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.p[i] < 33 || name.p[i] == 127 || name.p[i] == ':')
			return (false);
	return (name.len > 0);
}

/* The name of the field that begins in the line [p, p + len); false if it begins none. */
static bool
field_name(const char *p, size_t len, struct sv *name, size_t *body)
{
	const char *colon = memchr(p, ':', len);
	size_t n;

	if (colon == NULL)
		return (false);
	*body = (size_t)(colon - p) + 1;
	n = *body - 1;
	while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	name->p = p;
	name->len = n;
	/* As Exim, bytes above 127 count: a field is not lost, and nor are those behind it, for one bad byte. */
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 33 || p[i] == 127)
			return (false);
	return (n > 0);
}

/* Length of the line at <p> with its LF, of <left> bytes. */
static size_t
line_length(const char *p, size_t left)
{
	const char *lf = memchr(p, '\n', left);

	return (lf == NULL ? left : (size_t)(lf - p) + 1);
}

static bool
is_empty_line(const char *p, size_t len)
{
	return ((len == 1 && p[0] == '\n') || (len == 2 && p[0] == '\r' && p[1] == '\n'));
}

static bool
is_mbox_from(const char *p, size_t len)
{
	return ((len >= 5 && memcmp(p, "From ", 5) == 0) || (len >= 6 && memcmp(p, ">From ", 6) == 0));
}

/* Length of the field at <p>: its first line of <first> bytes and the continuation lines. */
static size_t
field_length(const char *p, size_t left, size_t first)
{
	size_t len = first;

	while (len < left && p[len - 1] == '\n' && (p[len] == ' ' || p[len] == '\t'))
		len += line_length(p + len, left - len);
	return (len);
}

static struct sv
without_line_end(const char *p, size_t len)
{
	if (len > 0 && p[len - 1] == '\n')
		len--;
	if (len > 0 && p[len - 1] == '\r')
		len--;
	return (sv_from(p, len));
}

void
mail_headers_parse(struct mail_headers *h, struct arena *a, struct sv msg, unsigned flags)
{
	struct collector c = { .n = 0, .cap = FIRST_FIELDS };
	size_t off = 0, len, body;

	c.v = c.first;
	memset(h, 0, sizeof(*h));
	if ((flags & MAIL_HEADERS_MBOX) != 0 && msg.len > 0 && is_mbox_from(msg.p, msg.len))
		off = line_length(msg.p, msg.len);
	h->fields_end = off;
	while (off < msg.len) {
		const char *p = msg.p + off;
		struct mail_header f;
		size_t line = line_length(p, msg.len - off);

		if (is_empty_line(p, line)) {
			h->empty_line = true;
			off += line;
			break;
		}
		if (!field_name(p, line, &f.name, &body)) {
			if ((flags & MAIL_HEADERS_STOP) != 0)
				break;
			h->malformed++;
			f.name = sv_from(p, 0);
			body = 0;
		}
		len = field_length(p, msg.len - off, line);
		f.body = without_line_end(p + body, len - body);
		f.name.tainted = f.body.tainted = msg.tainted;
		f.offset = off;
		f.length = len;
		if (c.n < MAIL_HEADERS_MAX)
			collect(&c, &f);
		else
			h->truncated = true;
		off += len;
		h->fields_end = off;
	}
	h->block = sv_sub(msg, 0, off);
	h->body_start = off;
	h->n = c.n;
	h->v = c.n == 0 ? NULL : arena_dup(a, c.v, c.n * sizeof(*c.v));
	if (c.v != c.first)
		free(c.v);
}

ptrdiff_t
mail_headers_find(const struct mail_headers *h, const char *name, size_t from)
{
	size_t len = strlen(name);

	for (size_t i = from; i < h->n; i++)
		if (h->v[i].name.len == len && sv_caseeq(h->v[i].name, sv_from(name, len)))
			return ((ptrdiff_t)i);
	return (-1);
}

struct sv
mail_headers_get(const struct mail_headers *h, const char *name)
{
	ptrdiff_t i = mail_headers_find(h, name, 0);

	return (i == -1 ? SV_NULL : h->v[i].body);
}

size_t
mail_headers_count(const struct mail_headers *h, const char *name)
{
	size_t n = 0;

	for (ptrdiff_t i = mail_headers_find(h, name, 0); i != -1; i = mail_headers_find(h, name, (size_t)i + 1))
		n++;
	return (n);
}
