/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Header blocks: the fields tile the block; an edit that changes nothing gives it
 * back; text that we encode decodes to itself; decoders take any pieces.
 */
#include <assert.h>
#include <stdint.h>

#include "base/codec.h"
#include "mail/charset.h"
#include "mail/encode.h"
#include "mail/header.h"
#include "mail/received.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_block(struct arena *a, struct sv msg, unsigned flags)
{
	struct mail_headers h;
	struct sb out = SB_INIT(1 << 24), foreign = SB_INIT(1 << 24), text = SB_INIT(1 << 24);
	struct mail_edit *e;
	size_t off = 0;

	mail_headers_parse(&h, a, msg, flags);
	if (h.n > 0)
		off = h.v[0].offset;
	for (size_t i = 0; i < h.n; i++) {
		assert(h.v[i].offset == off && h.v[i].length > 0);
		off += h.v[i].length;
		(void)mail_header_text(a, h.v[i].body);
	}
	assert(off <= h.fields_end && h.fields_end <= h.body_start && h.body_start <= msg.len);
	e = mail_edit_new(a, &h);
	mail_edit_write(e, &out);
	if (h.n > 0)
		assert(sv_eq(sb_sv(&out), sv_sub(msg, h.v[0].offset, h.fields_end)));
	mail_edit_prepend(e, SV_LIT("A: b\r\n"));
	mail_edit_append(e, SV_LIT("Z: y\r\n"));
	(void)mail_edit_remove_name(e, "subject");
	sb_clear(&out);
	mail_edit_write(e, &out);
	mail_headers_parse(&h, a, sb_sv(&out), flags & ~(unsigned)MAIL_HEADERS_MBOX);
	assert(mail_headers_get(&h, "a").p != NULL);
	(void)mail_received_count(&h);
	for (size_t i = 0; i < h.n && i < 8; i++) {
		struct sv body = sv_trim(h.v[i].body), cs, rest = body;

		assert(!sv_caseeqs(h.v[i].name, "Delivered-To") || mail_received_loops(&h, "Delivered-To", body));
		/* "charset text": what can be written in it is read back. */
		if (!sv_word(&rest, &cs))
			continue;
		sb_clear(&foreign);
		if (!mail_charset_from_utf8(&foreign, cs, rest))
			continue;
		assert(mail_charset_known(cs));
		sb_clear(&text);
		assert(mail_charset_to_utf8(&text, cs, sb_sv(&foreign)));
	}
	sb_free(&out);
	sb_free(&foreign);
	sb_free(&text);
}

/* Text without CR, LF, NUL and blanks at its ends comes back from its encoded form. */
static void
check_text(struct sv v)
{
	struct sb clean = SB_INIT(1 << 20), enc = SB_INIT(1 << 22), dec = SB_INIT(1 << 22);
	struct sv t = sv_trim(sv_sub(v, 0, 2000));

	for (size_t i = 0; i < t.len; i++)
		if ((unsigned char)t.p[i] < ' ')
			goto out;
	mail_utf8_clean(&clean, t);
	assert(utf8_valid(sb_sv(&clean)));
	mail_header_encode(&enc, sb_sv(&clean), 9);
	mail_header_decode(&dec, sb_sv(&enc));
	assert(sv_eq(sb_sv(&dec), sb_sv(&clean)));
	sb_clear(&enc);
	mail_phrase_encode(&enc, sb_sv(&clean), 0);
	sb_clear(&enc);
	mail_header_put(&enc, "X-Test", sb_sv(&clean));
	sb_clear(&enc);
	mail_utf8_fold(&enc, t);
out:
	sb_free(&clean);
	sb_free(&enc);
	sb_free(&dec);
}

static void
check_decoders(struct sv v)
{
	for (enum mime_encoding e = MIME_QP; e <= MIME_BASE64; e++) {
		struct sb whole = SB_INIT(1 << 22), pieces = SB_INIT(1 << 22);
		struct mail_decoder d;

		mail_decode_init(&d, e);
		mail_decode(&d, v, &whole);
		mail_decode_finish(&d, &whole);
		mail_decode_init(&d, e);
		for (size_t i = 0; i < v.len; i += 3)
			mail_decode(&d, sv_sub(v, i, i + 3), &pieces);
		mail_decode_finish(&d, &pieces);
		assert(sv_eq(sb_sv(&whole), sb_sv(&pieces)));
		sb_clear(&whole);
		sb_clear(&pieces);
		if (e == MIME_BASE64)
			mail_base64_lines(&whole, v);
		mail_decode_init(&d, e);
		mail_decode(&d, sb_sv(&whole), &pieces);
		mail_decode_finish(&d, &pieces);
		assert(e != MIME_BASE64 || sv_eq(sb_sv(&pieces), v));
		sb_clear(&whole);
		mail_qp_encode(&whole, v);
		sb_clear(&whole);
		mail_xtext_encode(&whole, v);
		sb_clear(&pieces);
		assert(mail_xtext_decode(&pieces, sb_sv(&whole)) && sv_eq(sb_sv(&pieces), v));
		(void)mail_xtext_decode(&pieces, v);
		sb_free(&whole);
		sb_free(&pieces);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv v = sv_from((const char *)data, size);
	struct arena *a = arena_new(0);

	check_block(a, v, 0);
	check_block(a, v, MAIL_HEADERS_STOP | MAIL_HEADERS_MBOX);
	check_text(v);
	check_decoders(v);
	arena_free(&a);
	return (0);
}
