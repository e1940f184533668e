/* SPDX-License-Identifier: BSD-2-Clause */
/* Encodings that more than one module needs: base64, hex, CRC-32C, UTF-8. */
#ifndef VPOST_BASE_CODEC_H
#define VPOST_BASE_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sb.h"

/* RFC 4648 section 4, with padding, no line breaks. */
void	 base64_encode(struct sb *out, struct sv in);
/* Strict: padding and length must be right, no white space; false otherwise (then <out> is as before). */
bool	 base64_decode(struct sb *out, struct sv in);
void	 hex_encode(struct sb *out, struct sv in);		/* lower case */
bool	 hex_decode(struct sb *out, struct sv in);
/* CRC-32C (Castagnoli); start with 0, chain by passing the last result. */
uint32_t crc32c(uint32_t crc, const void *p, size_t len);
bool	 utf8_valid(struct sv v);
/* Number of bytes of the longest prefix of <v> that has at most <max> bytes and cuts no character. */
size_t	 utf8_cut(struct sv v, size_t max);

/* Little-endian numbers in records. */
static inline void put_le16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)v; p[1] = (uint8_t)(v >> 8); }
static inline void put_le32(uint8_t *p, uint32_t v) { put_le16(p, (uint16_t)v); put_le16(p + 2, (uint16_t)(v >> 16)); }
static inline void put_le64(uint8_t *p, uint64_t v) { put_le32(p, (uint32_t)v); put_le32(p + 4, (uint32_t)(v >> 32)); }
static inline uint16_t get_le16(const uint8_t *p) { return ((uint16_t)(p[0] | p[1] << 8)); }
static inline uint32_t get_le32(const uint8_t *p) { return ((uint32_t)get_le16(p) | (uint32_t)get_le16(p + 2) << 16); }
static inline uint64_t get_le64(const uint8_t *p) { return ((uint64_t)get_le32(p) | (uint64_t)get_le32(p + 4) << 32); }

#endif
