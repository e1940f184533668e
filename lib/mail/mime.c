/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MIME tree in one pass over the lines.  The boundaries of all open
 * multiparts stand on a stack; a line that is one of them ends everything opened inside
 * it (RFC 2046 5.1.2: an outer boundary is honoured even where an inner multipart was never
 * closed).  Only lines that start with "--" are compared with the stack.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mail/mime_int.h"

struct parser {
	struct arena	*a;
	struct sv	 msg;
	size_t		 pos;
	uint32_t	 lines;		/* LFs before <pos> */
	size_t		 parts;
	size_t		 nopen;
	struct sv	 open[MIME_DEPTH_MAX + 1];
	bool		 nul, high;	/* seen since they were cleared */
};

/* What ended a scan: a boundary line, or the end of the message (level == SIZE_MAX). */
struct hit {
	size_t		 level;		/* index in parser.open */
	bool		 close;		/* "--" behind it */
	size_t		 line;		/* offset of the boundary line */
	uint32_t	 lines;		/* LFs before it */
};

/* ---- lines and boundaries ---- */

/*
 * Compare a line that starts with "--" with the open boundaries.  It is enough that
 * the line begins with one (RFC 2046 5.1.1, note to implementors); of several the
 * longest counts, and of equal ones the innermost.
 */
static bool
find_delimiter(const struct parser *ps, struct sv line, struct hit *hit)
{
	size_t longest = 0;

	for (size_t i = ps->nopen; i > 0; i--) {
		struct sv b = ps->open[i - 1];

		if (b.len <= longest || line.len < b.len + 2 || memcmp(line.p + 2, b.p, b.len) != 0)
			continue;
		longest = b.len;
		hit->level = i - 1;
		hit->close = line.len >= b.len + 4 && line.p[b.len + 2] == '-' && line.p[b.len + 3] == '-';
	}
	return (longest > 0);
}

static void
note_bytes(struct parser *ps, const char *p, size_t len)
{
	uint64_t w, high = 0;
	size_t i = 0;

	if (!ps->nul)
		ps->nul = memchr(p, '\0', len) != NULL;
	for (; i + sizeof(w) <= len; i += sizeof(w)) {
		memcpy(&w, p + i, sizeof(w));
		high |= w;
	}
	for (; i < len; i++)
		high |= (uint64_t)(unsigned char)p[i];
	ps->high = ps->high || (high & 0x8080808080808080ULL) != 0;
}

/* Move over one line; returns its length with the LF. */
static size_t
next_line(struct parser *ps)
{
	const char *p = ps->msg.p + ps->pos;
	size_t left = ps->msg.len - ps->pos;
	const char *lf = memchr(p, '\n', left);
	size_t len = lf == NULL ? left : (size_t)(lf - p) + 1;

	ps->pos += len;
	ps->lines += lf != NULL;
	return (len);
}

/* Move to the next boundary line and over it, or to the end of the message. */
static struct hit
scan(struct parser *ps)
{
	struct hit hit = { .level = SIZE_MAX };
	size_t from = ps->pos;

	while (ps->pos < ps->msg.len) {
		const char *p = ps->msg.p + ps->pos;
		size_t start = ps->pos, len;

		hit.lines = ps->lines;
		len = next_line(ps);
		if (len < 3 || p[0] != '-' || p[1] != '-' || ps->nopen == 0)
			continue;
		if (find_delimiter(ps, sv_from(p, len), &hit)) {
			hit.line = start;
			note_bytes(ps, ps->msg.p + from, start - from);
			return (hit);
		}
	}
	note_bytes(ps, ps->msg.p + from, ps->pos - from);
	hit.level = SIZE_MAX;
	hit.line = ps->msg.len;
	hit.lines = ps->lines;
	return (hit);
}

/* The offset where the line end in front of a boundary line starts: it belongs to the boundary. */
static size_t
before_line_end(const struct parser *ps, size_t off, size_t min)
{
	if (off > min && ps->msg.p[off - 1] == '\n')
		off--;
	if (off > min && ps->msg.p[off - 1] == '\r')
		off--;
	return (off);
}

/*
 * Index the header at <pos> and move behind its empty line.  True if a boundary line came
 * before that: then *<hit> tells it.
 */
static bool
read_header(struct parser *ps, struct mime_part *p, struct hit *hit)
{
	size_t end = ps->msg.len;
	bool stopped = false;

	while (ps->pos < ps->msg.len) {
		const char *line = ps->msg.p + ps->pos;
		size_t start = ps->pos, len;

		hit->lines = ps->lines;
		len = next_line(ps);
		end = ps->pos;
		if ((len == 1 && line[0] == '\n') || (len == 2 && line[0] == '\r' && line[1] == '\n'))
			break;
		if (len < 3 || line[0] != '-' || line[1] != '-' || !find_delimiter(ps, sv_from(line, len), hit))
			continue;
		/* The line end before the boundary is the boundary's (RFC 2046 5.1.1). */
		hit->line = start;
		end = before_line_end(ps, start, p->header_start);
		stopped = true;
		break;
	}
	mail_headers_parse(&p->headers, ps->a, sv_sub(ps->msg, p->header_start, end), 0);
	p->body_start = end;
	p->header_lines = stopped ? hit->lines - (end < hit->line) : ps->lines;
	return (stopped);
}

/* ---- parts ---- */

static struct mime_part *
new_part(struct parser *ps, struct mime_part *parent)
{
	struct mime_part *p = arena_zalloc(ps->a, sizeof(*p));

	p->parent = parent;
	p->depth = parent == NULL ? 0 : parent->depth + 1;
	p->header_start = ps->pos;
	ps->parts++;
	return (p);
}

static void
end_part(const struct parser *ps, struct mime_part *p, const struct hit *hit, uint32_t lines_before)
{
	size_t min = p->body_start;

	p->body_end = hit->line;
	p->body_lines = hit->lines - lines_before;
	if (hit->level == SIZE_MAX)
		return;
	/* An empty line that ends the header of the last part within is that part's. */
	for (const struct mime_part *c = p->child; c != NULL; c = c->next)
		min = c->body_end;
	p->body_end = before_line_end(ps, hit->line, min);
	if (p->body_end < hit->line && p->body_lines > 0)
		p->body_lines--;
}

static struct hit parse_part(struct parser *, struct mime_part *, bool);

static struct mime_part *
add_child(struct parser *ps, struct mime_part *p, struct mime_part *last)
{
	struct mime_part *c = new_part(ps, p);

	if (last == NULL)
		p->child = c;
	else
		last->next = c;
	p->nparts++;
	return (c);
}

static struct hit
parse_multipart(struct parser *ps, struct mime_part *p, struct sv boundary)
{
	bool digest = sv_caseeqs(p->subtype, "digest");
	struct mime_part *last = NULL;
	size_t level = ps->nopen;
	struct hit hit;

	assert(level <= MIME_DEPTH_MAX);
	ps->open[ps->nopen++] = boundary;
	hit = scan(ps);					/* the preamble */
	while (hit.level == level && !hit.close) {
		if (ps->parts >= MIME_PARTS_MAX) {
			p->cut = true;
			hit = scan(ps);
			continue;
		}
		last = add_child(ps, p, last);
		hit = parse_part(ps, last, digest);
	}
	ps->nopen = level;
	if (hit.level == level) {
		p->closed = true;
		hit = scan(ps);				/* the epilogue */
	}
	return (hit);
}

static struct hit
parse_body(struct parser *ps, struct mime_part *p)
{
	bool room = p->depth < MIME_DEPTH_MAX && ps->parts < MIME_PARTS_MAX;
	struct sv boundary;

	if (p->kind == MIME_LEAF)
		return (scan(ps));
	if (!room) {
		p->cut = true;
		return (scan(ps));
	}
	if (p->kind == MIME_MESSAGE)
		return (parse_part(ps, add_child(ps, p, NULL), false));
	boundary = mime_param(&p->params, "boundary");
	return (boundary.len == 0 ? scan(ps) : parse_multipart(ps, p, boundary));
}

/* Parse the part that starts at <pos>; the boundary line that ends it is eaten and told. */
static struct hit
parse_part(struct parser *ps, struct mime_part *p, bool digest)
{
	bool nul = ps->nul, high = ps->high;
	uint32_t lines = ps->lines;
	struct hit hit = { .level = SIZE_MAX };

	if (read_header(ps, p, &hit)) {
		p->header_lines -= lines;
		p->body_end = p->body_start;
		mime_read_fields(ps->a, p, digest);
		return (hit);
	}
	p->header_lines -= lines;
	mime_read_fields(ps->a, p, digest);
	ps->nul = ps->high = false;
	lines = ps->lines;
	hit = parse_body(ps, p);
	p->has_nul = ps->nul;
	p->has_8bit = ps->high;
	ps->nul = ps->nul || nul;
	ps->high = ps->high || high;
	end_part(ps, p, &hit, lines);
	return (hit);
}

struct mime_part *
mime_parse(struct arena *a, struct sv msg)
{
	struct parser ps = { .a = a, .msg = msg };
	struct mime_part *root = new_part(&ps, NULL);

	(void)parse_part(&ps, root, false);
	return (root);
}

/* ---- walking ---- */

const struct mime_part *
mime_next(const struct mime_part *root, const struct mime_part *p)
{
	if (p == NULL)
		return (root);
	if (p->child != NULL)
		return (p->child);
	while (p != root && p->next == NULL)
		p = p->parent;
	return (p == root ? NULL : p->next);
}

size_t
mime_count(const struct mime_part *root)
{
	size_t n = 0;

	for (const struct mime_part *p = root; p != NULL; p = mime_next(root, p))
		n++;
	return (n);
}

const struct mime_part *
mime_find(const struct mime_part *root, const uint32_t *path, size_t n)
{
	const struct mime_part *p = root;
	bool at_message = true;		/* <p> is a message whose part is still to be chosen */

	for (size_t i = 0; i < n; i++) {
		if (!at_message && p->kind == MIME_MESSAGE) {
			if (p->child == NULL)
				return (NULL);
			p = p->child;
			at_message = true;
		}
		if (p->kind == MIME_MULTIPART && p->child != NULL) {
			if (path[i] == 0 || path[i] > p->nparts)
				return (NULL);
			p = p->child;
			for (uint32_t k = 1; k < path[i]; k++)
				p = p->next;
		} else if (!at_message || path[i] != 1) {
			return (NULL);
		}
		at_message = false;
	}
	return (p);
}
