/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is read back from disk and from workers: record headers, envelopes, logs of queue
 * files, listings, segments' names.  The first byte chooses.  Property: what decodes encodes
 * again to something that decodes to the same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "spool/client.h"
#include "spool/queuefile.h"
#include "spool/reader.h"
#include "spool/spool_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
envelope(struct sv v)
{
	struct arena *a = arena_new(0);
	struct sb one = SB_INIT(SPOOL_ENVELOPE_MAX), two = SB_INIT(SPOOL_ENVELOPE_MAX);
	struct spool_envelope e, f;
	struct err err = ERR_INIT;

	if (spool_envelope_decode(&e, v, a, &err) == 0) {
		assert(spool_envelope_encode(&e, &one, &err) == 0);
		assert(spool_envelope_decode_copy(&f, sb_sv(&one), a, &err) == 0);
		assert(spool_envelope_encode(&f, &two, &err) == 0);
		assert(sv_eq(sb_sv(&one), sb_sv(&two)));
		(void)spool_envelope_var(&f, "m0");
	} else {
		assert(err.cls == ERR_PERM);
	}
	sb_free(&one);
	sb_free(&two);
	arena_free(&a);
}

/* A header whose checksums are put right, so that what is behind them is reached. */
static void
record(const uint8_t *data, size_t size)
{
	uint8_t head[SPOOL_RECORD_HEADER], again[SPOOL_RECORD_HEADER];
	struct spool_record_head h;

	if (size < sizeof(head))
		return;
	memcpy(head, data, sizeof(head));
	(void)spool_record_head_get(&h, sv_from((const char *)head, sizeof(head)));
	memcpy(head, "vpR1", 4);
	put_le32(head + 4, crc32c(0, head + 8, sizeof(head) - 8));
	if (!spool_record_head_get(&h, sv_from((const char *)head, sizeof(head))))
		return;
	assert(spool_record_end(&h, 64) >= 128 + h.envelope_len + h.content_len);
	spool_record_head_put(again, &h);
	assert(memcmp(again + 8, head + 8, 28) == 0 && memcmp(again + 40, head + 40, 16) == 0);
	envelope(sv_from((const char *)data + sizeof(head), size - sizeof(head)));
}

/* A segment's header, its checksum put right, and the name that goes with it. */
static void
segment(const uint8_t *data, size_t size)
{
	uint8_t head[SPOOL_SEGMENT_HEADER], again[SPOOL_SEGMENT_HEADER];
	struct segment_head h = { .worker = 0 };
	char name[SPOOL_SEGMENT_NAME_MAX];
	unsigned worker, generation;
	uint64_t id;

	if (size < 40)
		return;
	(void)spool_segment_head_get(&h, sv_from((const char *)data, size));
	h.worker = get_le32(data) % 64;
	h.generation = get_le32(data + 4) % 10000;
	h.id = get_le64(data + 8) & 0xfffffffffffffff;
	h.made = (int64_t)get_le64(data + 16);
	spool_segment_head_put(head, &h);
	memset(&h, 0, sizeof(h));
	assert(spool_segment_head_get(&h, sv_from((const char *)head, sizeof(head))));
	spool_segment_head_put(again, &h);
	assert(memcmp(head, again, sizeof(head)) == 0);
	spool_segment_name(name, h.worker, h.generation, h.id);
	assert(spool_segment_name_valid(name, &worker, &generation, &id));
	assert(worker == h.worker && generation == h.generation && id == h.id);
}

static void
queue_log(const uint8_t *data, size_t size)
{
	struct spool_qfile *q = spool_qfile_new();
	uint8_t *p = malloc(size + 1);

	memcpy(p, data, size);
	for (size_t at = 0; size - at >= 12;) {
		size_t len = get_le32(p + at + 4);

		if (len > size - at - 8)
			break;
		put_le32(p + at, crc32c(0, p + at + 4, len + 4));
		at += 8 + len;
	}
	q->env.nrcpts = 3;
	q->rcpts = arena_zalloc(q->arena, 3 * sizeof(*q->rcpts));
	assert(spool_qlog_apply(q, sv_from((char *)p, size)) <= size);
	spool_qfile_free(&q);
	free(p);
}

static void
listing(struct sv v)
{
	struct arena *a = arena_new(0);
	struct sb out = SB_INIT(1 << 20);
	struct spool_listed l, again;
	char name[64];

	if (spool_listed_decode(&l, v, a)) {
		spool_listed_encode(&out, &l);
		assert(out.overflow || spool_listed_decode(&again, sb_sv(&out), a));
	}
	if (v.len < sizeof(name)) {
		memcpy(name, v.p, v.len);
		name[v.len] = '\0';
		(void)spool_segment_name_valid(name, NULL, NULL, NULL);
		(void)spool_id_time(sv_cstr(name));
	}
	sb_free(&out);
	arena_free(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return (0);
	switch (data[0] % 4) {
	case 0:
		record(data + 1, size - 1);
		segment(data + 1, size - 1);
		break;
	case 1:
		envelope(sv_from((const char *)data + 1, size - 1));
		break;
	case 2:
		queue_log(data + 1, size - 1);
		break;
	default:
		listing(sv_from((const char *)data + 1, size - 1));
		break;
	}
	return (0);
}
