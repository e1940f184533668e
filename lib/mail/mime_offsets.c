/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MIME tree as a cache record: a version byte, the number of parts, then the
 * parts in document order, each as variable-length numbers (7 bits a byte, low ones first).
 * Offsets are told relative to the one before, so that a usual part takes about 12 bytes.
 */
#include <string.h>

#include "mail/mime.h"

#define RECORD_VERSION	1

static void
put_num(struct sb *out, uint64_t v)
{
	while (v >= 0x80) {
		sb_addc(out, (char)(0x80 | (v & 0x7F)));
		v >>= 7;
	}
	sb_addc(out, (char)v);
}

static bool
get_num(struct sv *v, uint64_t *out)
{
	unsigned shift = 0;

	*out = 0;
	for (size_t i = 0; i < v->len && shift < 63; i++, shift += 7) {
		*out |= (uint64_t)(v->p[i] & 0x7F) << shift;
		if ((v->p[i] & 0x80) == 0) {
			*v = sv_sub(*v, i + 1, v->len);
			return (true);
		}
	}
	return (false);
}

void
mime_offsets_put(struct sb *out, const struct mime_part *root)
{
	sb_addc(out, RECORD_VERSION);
	put_num(out, mime_count(root));
	for (const struct mime_part *p = root; p != NULL; p = mime_next(root, p)) {
		put_num(out, (uint64_t)p->kind | (uint64_t)p->encoding << 2 | (uint64_t)p->closed << 5 |
		    (uint64_t)p->cut << 6 | (uint64_t)p->has_nul << 7 | (uint64_t)p->has_8bit << 8);
		put_num(out, p->nparts);
		put_num(out, p->header_start);
		put_num(out, p->body_start - p->header_start);
		put_num(out, p->body_end - p->body_start);
		put_num(out, p->header_lines);
		put_num(out, p->body_lines);
	}
}

static bool
read_part(struct sv *v, struct mime_part *p)
{
	uint64_t n[7];

	for (size_t i = 0; i < 7; i++)
		if (!get_num(v, &n[i]))
			return (false);
	if ((n[0] & 3) > MIME_MESSAGE || (n[0] >> 2 & 7) > MIME_ENC_OTHER || n[1] > MIME_PARTS_MAX ||
	    n[2] > INT64_MAX / 4 || n[3] > INT64_MAX / 4 || n[4] > INT64_MAX / 4 || n[5] > UINT32_MAX ||
	    n[6] > UINT32_MAX)
		return (false);
	p->kind = (enum mime_kind)(n[0] & 3);
	p->encoding = (enum mime_encoding)(n[0] >> 2 & 7);
	p->closed = (n[0] >> 5 & 1) != 0;
	p->cut = (n[0] >> 6 & 1) != 0;
	p->has_nul = (n[0] >> 7 & 1) != 0;
	p->has_8bit = (n[0] >> 8 & 1) != 0;
	p->nparts = (size_t)n[1];
	p->header_start = (size_t)n[2];
	p->body_start = p->header_start + (size_t)n[3];
	p->body_end = p->body_start + (size_t)n[4];
	p->header_lines = (uint32_t)n[5];
	p->body_lines = (uint32_t)n[6];
	return (true);
}

/* Hang <p> below or behind the parts that stand before it; <last>: the one just before. */
static bool
attach(struct mime_part *p, struct mime_part *last, size_t *missing)
{
	struct mime_part *parent = last;

	if (missing[last->depth] > 0) {
		last->child = p;
	} else {
		struct mime_part *sibling = last;

		for (parent = last->parent; parent != NULL && missing[parent->depth] == 0; parent = parent->parent)
			sibling = parent;
		if (parent == NULL)
			return (false);
		sibling->next = p;
	}
	p->parent = parent;
	p->depth = parent->depth + 1;
	missing[parent->depth]--;
	return (p->depth <= MIME_DEPTH_MAX + 1);
}

struct mime_part *
mime_offsets_read(struct arena *a, struct sv record)
{
	size_t missing[MIME_DEPTH_MAX + 2];	/* children still to come, by depth */
	struct mime_part *root = NULL, *last = NULL, *p;
	uint64_t count;

	if (record.len == 0 || record.p[0] != RECORD_VERSION)
		return (NULL);
	record = sv_sub(record, 1, record.len);
	if (!get_num(&record, &count) || count == 0 || count > MIME_PARTS_MAX + 1)
		return (NULL);
	for (uint64_t i = 0; i < count; i++) {
		p = arena_zalloc(a, sizeof(*p));
		if (!read_part(&record, p))
			return (NULL);
		if (last == NULL)
			root = p;
		else if (!attach(p, last, missing))
			return (NULL);
		missing[p->depth] = p->nparts;
		last = p;
	}
	for (p = last; p != NULL; p = p->parent)
		if (missing[p->depth] > 0)
			return (NULL);
	return (record.len == 0 ? root : NULL);
}
