/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MIME: parts nest and do not overlap, line counts are right, and the cache record of
 * the offsets gives the same tree back.  A damaged record is refused or gives a sound tree.
 */
#include <assert.h>
#include <stdint.h>

#include "mail/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
count_lf(struct sv v)
{
	size_t n = 0;

	for (size_t i = 0; i < v.len; i++)
		n += v.p[i] == '\n';
	return (n);
}

static void
check_part(struct sv msg, const struct mime_part *p)
{
	size_t prev = p->body_start, n = 0;

	assert(p->header_start <= p->body_start && p->body_start <= p->body_end && p->body_end <= msg.len);
	assert(count_lf(sv_sub(msg, p->body_start, p->body_end)) == p->body_lines);
	assert(count_lf(sv_sub(msg, p->header_start, p->body_start)) == p->header_lines);
	assert(p->type.len > 0 && p->subtype.len > 0 && p->depth <= MIME_DEPTH_MAX);
	for (const struct mime_part *c = p->child; c != NULL; c = c->next) {
		assert(c->parent == p && c->header_start >= prev && c->body_end <= p->body_end);
		prev = c->body_end;
		n++;
	}
	assert(n == p->nparts);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv msg = sv_from((const char *)data, size);
	struct arena *a = arena_new(0);
	const struct mime_part *root = mime_parse(a, msg), *p, *q;
	struct sb rec = SB_INIT(1 << 20);
	struct mime_part *back;
	uint32_t path[3] = { 1, 1, 2 };

	mime_offsets_put(&rec, root);
	back = mime_offsets_read(a, sb_sv(&rec));
	assert(back != NULL && mime_count(back) == mime_count(root));
	for (p = root, q = back; p != NULL; p = mime_next(root, p), q = mime_next(back, q)) {
		check_part(msg, p);
		assert(p->kind == q->kind && p->header_start == q->header_start && p->body_start == q->body_start &&
		    p->body_end == q->body_end && p->nparts == q->nparts && p->encoding == q->encoding);
		(void)mime_filename(a, p);
	}
	for (size_t n = 0; n <= 3; n++)
		(void)mime_find(root, path, n);
	back = mime_offsets_read(a, msg);
	if (back != NULL)
		(void)mime_count(back);
	sb_free(&rec);
	arena_free(&a);
	return (0);
}
