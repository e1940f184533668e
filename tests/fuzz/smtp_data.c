/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Content in any pieces gives the same bytes, ends only at CR LF . CR LF, and comes back
 * unchanged from dot-stuffing where it has no bare CR or LF.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/sb.h"
#include "smtp/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
sink(void *arg, struct sv piece)
{
	sb_add(arg, piece);
}

static size_t
feed(struct smtp_data *d, struct sv in, size_t step, unsigned flags, struct sb *out)
{
	size_t at = 0;

	smtp_data_init(d, flags);
	while (at < in.len && !smtp_data_done(d)) {
		struct sv piece = sv_sub(in, at, at + step);

		at += smtp_data_feed(d, piece, sink, out);
	}
	return (at);
}

/* Where the message truly ends: behind the first CR LF . CR LF, the start counting as a line's. */
static size_t
true_end(struct sv in)
{
	ptrdiff_t i;

	if (in.len >= 3 && memcmp(in.p, ".\r\n", 3) == 0)
		return (3);
	i = sv_find(in, SV_LIT("\r\n.\r\n"));
	return (i < 0 ? 0 : (size_t)i + 5);
}

static void
round_trip(struct sv content)
{
	enum smtp_data_state st = SMTP_DATA_LINE_START;
	struct sb wire = SB_INIT(1 << 22), back = SB_INIT(1 << 22);
	struct smtp_data d;
	size_t half = content.len / 2;

	smtp_data_stuff(&wire, sv_sub(content, 0, half), &st);
	smtp_data_stuff(&wire, sv_sub(content, half, content.len), &st);
	smtp_data_stuff_end(&wire, &st);
	assert(feed(&d, sb_sv(&wire), 4096, 0, &back) == wire.len && smtp_data_done(&d));
	assert(d.bare_lf == 0 && d.bare_cr == 0);
	if (content.len == 0 || content.p[content.len - 1] == '\n')
		assert(sv_eq(sb_sv(&back), content));
	sb_free(&wire);
	sb_free(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sb one = SB_INIT(1 << 22), many = SB_INIT(1 << 22);
	struct smtp_data d, e;
	struct sv in;
	unsigned flags;
	size_t n;

	if (size < 2 || size > 1 << 20)
		return (0);
	flags = data[0] & (SMTP_DATA_FIX_LF | SMTP_DATA_FIX_CR | SMTP_DATA_LF_LINES | SMTP_DATA_NO_DOTS);
	in = sv_from((const char *)data + 2, size - 2);
	n = feed(&d, in, in.len + 1, flags, &one);
	assert(feed(&e, in, 1 + data[1] % 16, flags, &many) == n);
	assert(sv_eq(sb_sv(&one), sb_sv(&many)) && smtp_data_done(&d) == smtp_data_done(&e));
	assert(d.bare_lf == e.bare_lf && d.bare_cr == e.bare_cr && d.nuls == e.nuls && d.lines == e.lines);
	if ((flags & (SMTP_DATA_LF_LINES | SMTP_DATA_NO_DOTS)) == 0)
		assert(smtp_data_done(&d) ? n == true_end(in) : true_end(in) == 0);
	if (!smtp_data_done(&d))
		smtp_data_finish(&d, sink, &one);
	if (d.bare_lf == 0 && d.bare_cr == 0)
		round_trip(sb_sv(&one));
	sb_free(&one);
	sb_free(&many);
	return (0);
}
