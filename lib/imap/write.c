/* SPDX-License-Identifier: BSD-2-Clause */
/* Output of IMAP's data types, and modified UTF-7. */
#include <stdint.h>
#include <string.h>

#include "base/codec.h"
#include "imap/write.h"

#define QUOTED_MAX	1000

/* May <v> stand in a quoted string (RFC 3501 section 9: TEXT-CHAR)? */
static bool
quotable(struct sv v)
{
	if (v.len > QUOTED_MAX)
		return (false);
	for (size_t i = 0; i < v.len; i++)
		if ((unsigned char)v.p[i] >= 0x80 || v.p[i] == '\r' || v.p[i] == '\n' || v.p[i] == '\0')
			return (false);
	return (true);
}

static void
put_literal(struct sb *out, struct sv v)
{
	size_t nuls = 0;

	for (size_t i = 0; i < v.len; i++)
		nuls += v.p[i] == '\0';
	sb_addf(out, "{%zu}\r\n", v.len - nuls);
	if (nuls == 0) {
		sb_add(out, v);
		return;
	}
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] != '\0')
			sb_addc(out, v.p[i]);
}

void
imap_put_string(struct sb *out, struct sv v)
{
	size_t from = 0;

	if (!quotable(v)) {
		put_literal(out, v);
		return;
	}
	sb_addc(out, '"');
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] != '"' && v.p[i] != '\\')
			continue;
		sb_add(out, sv_sub(v, from, i));
		sb_addc(out, '\\');
		from = i;
	}
	sb_add(out, sv_sub(v, from, v.len));
	sb_addc(out, '"');
}

void
imap_put_nstring(struct sb *out, struct sv v)
{
	if (v.p == NULL)
		sb_adds(out, "NIL");
	else
		imap_put_string(out, v);
}

void
imap_put_astring(struct sb *out, struct sv v)
{
	bool atom = v.len > 0 && !sv_caseeqs(v, "NIL");

	for (size_t i = 0; i < v.len && atom; i++)
		atom = v.p[i] > ' ' && v.p[i] < 127 && strchr("(){%*\"\\]", v.p[i]) == NULL;
	if (atom)
		sb_add(out, v);
	else
		imap_put_string(out, v);
}

void
imap_put_mailbox(struct sb *out, struct sv utf8)
{
	struct sb name = SB_INIT(utf8.len * 4 + 16);

	/* A name that is no UTF-8 cannot come out of the store; it is told as it is. */
	if (!imap_utf7_encode(&name, utf8))
		sb_add(&name, utf8);
	imap_put_astring(out, sb_sv(&name));
	sb_free(&name);
}

void
imap_put_text(struct sb *out, struct sv v)
{
	for (size_t i = 0; i < v.len; i++)
		sb_addc(out, v.p[i] >= ' ' && v.p[i] < 127 ? v.p[i] : '?');
}

/* ---- modified UTF-7 ---- */

static const char b64chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/* The character at the start of valid UTF-8; *<n> bytes. */
static uint32_t
utf8_take(const char *s, size_t *n)
{
	const unsigned char *p = (const unsigned char *)s;

	if (p[0] < 0x80) {
		*n = 1;
		return (p[0]);
	}
	if (p[0] < 0xE0) {
		*n = 2;
		return ((uint32_t)(p[0] & 0x1F) << 6 | (p[1] & 0x3F));
	}
	if (p[0] < 0xF0) {
		*n = 3;
		return ((uint32_t)(p[0] & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3F));
	}
	*n = 4;
	return ((uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12 | (uint32_t)(p[2] & 0x3F) << 6 |
	    (p[3] & 0x3F));
}

static void
utf8_put(struct sb *out, uint32_t c)
{
	if (c < 0x80) {
		sb_addc(out, (char)c);
	} else if (c < 0x800) {
		sb_addc(out, (char)(0xC0 | c >> 6));
		sb_addc(out, (char)(0x80 | (c & 0x3F)));
	} else if (c < 0x10000) {
		sb_addc(out, (char)(0xE0 | c >> 12));
		sb_addc(out, (char)(0x80 | (c >> 6 & 0x3F)));
		sb_addc(out, (char)(0x80 | (c & 0x3F)));
	} else {
		sb_addc(out, (char)(0xF0 | c >> 18));
		sb_addc(out, (char)(0x80 | (c >> 12 & 0x3F)));
		sb_addc(out, (char)(0x80 | (c >> 6 & 0x3F)));
		sb_addc(out, (char)(0x80 | (c & 0x3F)));
	}
}

/* A run of base64: 16-bit units go in, six bits at a time come out. */
struct shift {
	uint32_t	 bits;
	unsigned	 nbits;
	bool		 on;
};

static void
shift_put(struct sb *out, struct shift *s, uint32_t unit)
{
	if (!s->on) {
		sb_addc(out, '&');
		s->on = true;
	}
	s->bits = s->bits << 16 | unit;
	s->nbits += 16;
	while (s->nbits >= 6) {
		s->nbits -= 6;
		sb_addc(out, b64chars[s->bits >> s->nbits & 0x3F]);
	}
}

static void
shift_end(struct sb *out, struct shift *s)
{
	if (!s->on)
		return;
	if (s->nbits > 0)
		sb_addc(out, b64chars[s->bits << (6 - s->nbits) & 0x3F]);
	sb_addc(out, '-');
	memset(s, 0, sizeof(*s));
}

bool
imap_utf7_encode(struct sb *out, struct sv utf8)
{
	struct shift s = { 0, 0, false };
	size_t n;

	if (!utf8_valid(utf8))
		return (false);
	for (size_t i = 0; i < utf8.len; i += n) {
		uint32_t c = utf8_take(utf8.p + i, &n);

		if (c >= ' ' && c < 127) {
			shift_end(out, &s);
			sb_addc(out, (char)c);
			if (c == '&')
				sb_addc(out, '-');
		} else if (c < 0x10000) {
			shift_put(out, &s, c);
		} else {
			shift_put(out, &s, 0xD800 + ((c - 0x10000) >> 10));
			shift_put(out, &s, 0xDC00 + ((c - 0x10000) & 0x3FF));
		}
	}
	shift_end(out, &s);
	return (true);
}

/* The run of base64 [i, end) of <v>.  RFC 3501 5.1.3: no surplus bits, nothing printable inside, whole pairs. */
static bool
decode_run(struct sb *out, struct sv v, size_t i, size_t end)
{
	uint32_t bits = 0, high = 0;
	unsigned nbits = 0;

	for (; i < end; i++) {
		const char *q = v.p[i] == '\0' ? NULL : strchr(b64chars, v.p[i]);

		if (q == NULL)
			return (false);
		bits = bits << 6 | (uint32_t)(q - b64chars);
		nbits += 6;
		if (nbits < 16)
			continue;
		nbits -= 16;
		uint32_t unit = bits >> nbits & 0xFFFF;

		if (high != 0) {
			if (unit < 0xDC00 || unit > 0xDFFF)
				return (false);
			utf8_put(out, 0x10000 + ((high - 0xD800) << 10) + (unit - 0xDC00));
			high = 0;
		} else if (unit >= 0xD800 && unit <= 0xDBFF) {
			high = unit;
		} else if ((unit >= 0xDC00 && unit <= 0xDFFF) || (unit >= ' ' && unit < 127) || unit == 0) {
			return (false);
		} else {
			utf8_put(out, unit);
		}
	}
	return (high == 0 && nbits < 6 && (bits & ((1U << nbits) - 1)) == 0);
}

static bool
decode_all(struct sb *out, struct sv v)
{
	for (size_t i = 0; i < v.len; i++) {
		ptrdiff_t end;

		if (v.p[i] < ' ' || v.p[i] > 126)
			return (false);
		if (v.p[i] != '&') {
			sb_addc(out, v.p[i]);
			continue;
		}
		end = sv_chr(sv_sub(v, i, v.len), '-');
		if (end == -1)
			return (false);
		if (end == 1)
			sb_addc(out, '&');
		else if (!decode_run(out, v, i + 1, i + (size_t)end))
			return (false);
		i += (size_t)end;
		/* "&AOQ-&AOQ-" should have been one run. */
		if (end > 1 && i + 2 < v.len && v.p[i + 1] == '&' && v.p[i + 2] != '-')
			return (false);
	}
	return (true);
}

bool
imap_utf7_decode(struct sb *out, struct sv utf7)
{
	size_t start = out->len;

	if (!decode_all(out, utf7)) {
		sb_cut(out, start);
		return (false);
	}
	out->tainted = out->tainted || utf7.tainted;
	return (true);
}
