/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The forms on disk that segments and queue files share: a record's header, a segment's
 * header and name.  Pure.
 *
 *	record	 0 magic "vpR1"   4 CRC-32C of 8..63   8 segment id   16 envelope length   20 envelope CRC
 *		24 content length 32 content CRC       40 durable offset   48 nonce   56 zero
 *		64 envelope, then content, zeros up to 64
 *	segment	 0 magic "vpostSG1"  8 CRC-32C of 12..63  12 worker  16 generation  24 id  32 made (s)  40 size  48 nonce  56 zero
 */
#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "base/num.h"
#include "spool/spool_int.h"

static const char record_magic[4] = { 'v', 'p', 'R', '1' };
static const char segment_magic[8] = { 'v', 'p', 'o', 's', 't', 'S', 'G', '1' };
static const char digits32[] = "0123456789abcdefghijklmnopqrstuv";

void
spool_record_head_put(uint8_t out[SPOOL_RECORD_HEADER], const struct spool_record_head *h)
{
	memset(out, 0, SPOOL_RECORD_HEADER);
	memcpy(out, record_magic, sizeof(record_magic));
	put_le64(out + 8, h->segment_id);
	put_le32(out + 16, h->envelope_len);
	put_le32(out + 20, h->envelope_crc);
	put_le64(out + 24, h->content_len);
	put_le32(out + 32, h->content_crc);
	put_le64(out + 40, h->durable);
	put_le64(out + 48, h->nonce);
	put_le32(out + 4, crc32c(0, out + 8, SPOOL_RECORD_HEADER - 8));
}

bool
spool_record_head_get(struct spool_record_head *h, struct sv v)
{
	const uint8_t *p = (const uint8_t *)v.p;

	if (v.len < SPOOL_RECORD_HEADER || memcmp(p, record_magic, sizeof(record_magic)) != 0 ||
	    get_le32(p + 4) != crc32c(0, p + 8, SPOOL_RECORD_HEADER - 8))
		return (false);
	h->segment_id = get_le64(p + 8);
	h->envelope_len = get_le32(p + 16);
	h->envelope_crc = get_le32(p + 20);
	h->content_len = get_le64(p + 24);
	h->content_crc = get_le32(p + 32);
	h->durable = get_le64(p + 40);
	h->nonce = get_le64(p + 48);
	return (h->envelope_len <= SPOOL_ENVELOPE_MAX && h->content_len <= SPOOL_CONTENT_MAX);
}

uint64_t
spool_record_end(const struct spool_record_head *h, uint64_t offset)
{
	uint64_t end = offset + SPOOL_RECORD_HEADER + h->envelope_len + h->content_len;

	return ((end + SPOOL_ALIGN - 1) / SPOOL_ALIGN * SPOOL_ALIGN);
}

void
spool_segment_head_put(uint8_t out[SPOOL_SEGMENT_HEADER], const struct segment_head *h)
{
	memset(out, 0, SPOOL_SEGMENT_HEADER);
	memcpy(out, segment_magic, sizeof(segment_magic));
	put_le32(out + 12, h->worker);
	put_le32(out + 16, h->generation);
	put_le64(out + 24, h->id);
	put_le64(out + 32, (uint64_t)h->made);
	put_le64(out + 40, h->size);
	put_le64(out + 48, h->nonce);
	put_le32(out + 8, crc32c(0, out + 12, SPOOL_SEGMENT_HEADER - 12));
}

bool
spool_segment_head_get(struct segment_head *h, struct sv v)
{
	const uint8_t *p = (const uint8_t *)v.p;

	if (v.len < SPOOL_SEGMENT_HEADER || memcmp(p, segment_magic, sizeof(segment_magic)) != 0 ||
	    get_le32(p + 8) != crc32c(0, p + 12, SPOOL_SEGMENT_HEADER - 12))
		return (false);
	h->worker = get_le32(p + 12);
	h->generation = get_le32(p + 16);
	h->id = get_le64(p + 24);
	h->made = (int64_t)get_le64(p + 32);
	h->size = get_le64(p + 40);
	h->nonce = get_le64(p + 48);
	return (true);
}

/* ---- names: WW-GGGG-XXXXXXXXXXXX.seg ---- */

void
spool_segment_name(char out[SPOOL_SEGMENT_NAME_MAX], unsigned worker, unsigned generation, uint64_t id)
{
	char text[13];

	for (int i = 11; i >= 0; i--) {
		text[i] = digits32[id & 31];
		id >>= 5;
	}
	text[12] = '\0';
	(void)snprintf(out, SPOOL_SEGMENT_NAME_MAX, "%02u-%04u-%s.seg", worker, generation, text);
}

bool
spool_segment_name_valid(const char *name, unsigned *worker, unsigned *generation, uint64_t *id)
{
	struct sv v = sv_cstr(name), w, g;
	uint64_t wn, gn, n = 0;

	if (!sv_ends(v, ".seg") || v.len >= SPOOL_SEGMENT_NAME_MAX)
		return (false);
	v.len -= 4;
	if (!sv_next(&v, '-', &w) || !sv_next(&v, '-', &g) || v.len != 12 ||
	    !num_parse_u64(w, UINT32_MAX, &wn) || !num_parse_u64(g, UINT32_MAX, &gn))
		return (false);
	for (size_t i = 0; i < 12; i++) {
		const char *d = v.p[i] == '\0' ? NULL : strchr(digits32, v.p[i]);

		if (d == NULL)
			return (false);
		n = n << 5 | (uint64_t)(d - digits32);
	}
	if (worker != NULL)
		*worker = (unsigned)wn;
	if (generation != NULL)
		*generation = (unsigned)gn;
	if (id != NULL)
		*id = n;
	return (true);
}
