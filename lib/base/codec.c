/* SPDX-License-Identifier: BSD-2-Clause */
/* base64, hex, CRC-32C and UTF-8; see codec.h. */
#include "base/codec.h"

#include <string.h>

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(struct sb *out, struct sv in)
{
	const uint8_t *p = (const uint8_t *)in.p;
	size_t i;

	for (i = 0; i + 2 < in.len; i += 3) {
		char q[4] = { b64[p[i] >> 2], b64[(p[i] & 3) << 4 | p[i + 1] >> 4],
		    b64[(p[i + 1] & 15) << 2 | p[i + 2] >> 6], b64[p[i + 2] & 63] };

		sb_addn(out, q, 4);
	}
	if (i < in.len) {
		bool two = i + 1 < in.len;
		uint8_t b = two ? p[i + 1] : 0;
		char q[4] = { b64[p[i] >> 2], b64[(p[i] & 3) << 4 | b >> 4], two ? b64[(b & 15) << 2] : '=', '=' };

		sb_addn(out, q, 4);
	}
}

static int
b64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (c - 'A');
	if (c >= 'a' && c <= 'z')
		return (c - 'a' + 26);
	if (c >= '0' && c <= '9')
		return (c - '0' + 52);
	return (c == '+' ? 62 : c == '/' ? 63 : -1);
}

bool
base64_decode(struct sb *out, struct sv in)
{
	size_t start = out->len, pad = 0;

	if (in.len % 4 != 0)
		return (false);
	while (pad < 2 && pad < in.len && in.p[in.len - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < in.len; i += 4) {
		size_t n = i + 4 == in.len ? 4 - pad : 4;
		uint32_t w = 0;

		for (size_t j = 0; j < 4; j++) {
			int d = j < n ? b64_value(in.p[i + j]) : 0;

			if (d == -1) {
				if (out->p != NULL)
					sb_cut(out, start);
				return (false);
			}
			w = w << 6 | (uint32_t)d;
		}
		for (size_t j = 0; j + 1 < n; j++)
			sb_addc(out, (char)(w >> (16 - 8 * j)));
	}
	if (in.tainted)
		out->tainted = true;
	return (true);
}

void
hex_encode(struct sb *out, struct sv in)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < in.len; i++) {
		sb_addc(out, hex[(uint8_t)in.p[i] >> 4]);
		sb_addc(out, hex[(uint8_t)in.p[i] & 15]);
	}
}

static int
hex_value(char c)
{
	if (sv_isdigit(c))
		return (c - '0');
	c = sv_lower(c);
	return (c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1);
}

bool
hex_decode(struct sb *out, struct sv in)
{
	if (in.len % 2 != 0)
		return (false);
	for (size_t i = 0; i < in.len; i++)
		if (hex_value(in.p[i]) == -1)
			return (false);
	for (size_t i = 0; i < in.len; i += 2)
		sb_addc(out, (char)(hex_value(in.p[i]) << 4 | hex_value(in.p[i + 1])));
	if (in.tainted)
		out->tainted = true;
	return (true);
}

/* ---- CRC-32C by eight tables: 4 KiB take two microseconds ---- */

static uint32_t crc_table[8][256];

__attribute__((constructor)) static void
crc_init(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = (c & 1) != 0 ? c >> 1 ^ 0x82f63b78U : c >> 1;
		crc_table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int t = 1; t < 8; t++)
			crc_table[t][i] = crc_table[t - 1][i] >> 8 ^ crc_table[0][crc_table[t - 1][i] & 255];
}

static uint32_t
crc_soft(uint32_t c, const uint8_t *p, size_t len)
{
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t w = get_le64(p) ^ c;

		c = crc_table[7][w & 255] ^ crc_table[6][w >> 8 & 255] ^ crc_table[5][w >> 16 & 255] ^
		    crc_table[4][w >> 24 & 255] ^ crc_table[3][w >> 32 & 255] ^ crc_table[2][w >> 40 & 255] ^
		    crc_table[1][w >> 48 & 255] ^ crc_table[0][w >> 56];
	}
	for (; len > 0; p++, len--)
		c = c >> 8 ^ crc_table[0][(c ^ *p) & 255];
	return (c);
}

uint32_t
crc32c(uint32_t crc, const void *p, size_t len)
{
	return (~crc_soft(~crc, p, len));
}

/* ---- UTF-8, RFC 3629 ---- */

/* Length of the character at <p>, 0 if it is malformed. */
static size_t
utf8_char(const uint8_t *p, size_t len)
{
	size_t n;

	if (p[0] < 0x80)
		return (1);
	n = p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : 0;
	if (n == 0 || n > len)
		return (0);
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return (0);
	/* Overlong forms, surrogates, and what lies above U+10FFFF. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return (0);
	return (n);
}

bool
utf8_valid(struct sv v)
{
	for (size_t i = 0, n; i < v.len; i += n)
		if ((n = utf8_char((const uint8_t *)v.p + i, v.len - i)) == 0)
			return (false);
	return (true);
}

size_t
utf8_cut(struct sv v, size_t max)
{
	size_t i = v.len < max ? v.len : max;

	if (i == v.len)
		return (i);
	while (i > 0 && ((uint8_t)v.p[i] & 0xc0) == 0x80)
		i--;
	return (i);
}
