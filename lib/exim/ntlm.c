/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NTLM: see ntlm.h.  All numbers are little-endian; texts lie behind the fixed part and are named by their length and
 * place.  MD4 and DES are what the protocol has; they come from libcrypto's old interface, which needs no provider.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "exim/ntlm.h"

#include <openssl/crypto.h>
#include <openssl/des.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/md4.h>
#include <string.h>

#include "base/codec.h"

#define MAGIC		"NTLMSSP"	/* with its NUL */
#define HASH		16
#define PROOF		24
#define TEXT_MAX	1024		/* bytes of a name, in UTF-16 */

/* Flags of [MS-NLMP] 2.2.2.5. */
#define F_UNICODE	0x00000001u
#define F_OEM		0x00000002u
#define F_TARGET	0x00000004u
#define F_NTLM		0x00000200u
#define F_DOMAIN	0x00001000u
#define F_HOST		0x00002000u
#define F_SIGN		0x00008000u
#define F_TARGET_SERVER	0x00020000u

/* ---- texts ---- */

/* UTF-8 to UTF-16LE; what is no UTF-8 goes byte by byte.  <upper>: ASCII letters are raised, as old servers do. */
static void
add_utf16(struct sb *out, struct sv v, bool upper)
{
	for (size_t i = 0; i < v.len;) {
		unsigned char c = (unsigned char)v.p[i];
		size_t n = c < 0x80 ? 1 : (c & 0xe0) == 0xc0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : (c & 0xf8) == 0xf0 ? 4 : 1;
		uint32_t u = n == 1 ? c : n == 2 ? c & 0x1f : n == 3 ? c & 0x0f : c & 0x07;

		if (n > v.len - i || !utf8_valid(sv_sub(v, i, i + n))) {
			n = 1;
			u = c;
		}
		for (size_t k = 1; k < n; k++)
			u = u << 6 | ((unsigned char)v.p[i + k] & 0x3f);
		if (upper && u < 0x80)
			u = (unsigned char)sv_upper((char)u);
		if (u >= 0x10000) {
			u -= 0x10000;
			sb_addc(out, (char)(0xd800 + (u >> 10)));
			sb_addc(out, (char)((0xd800 + (u >> 10)) >> 8));
			u = 0xdc00 + (u & 0x3ff);
		}
		sb_addc(out, (char)u);
		sb_addc(out, (char)(u >> 8));
		i += n;
	}
}

static void
add_utf8(struct sb *out, uint32_t u)
{
	if (u < 0x80) {
		sb_addc(out, (char)u);
	} else if (u < 0x800) {
		sb_addc(out, (char)(0xc0 | u >> 6));
		sb_addc(out, (char)(0x80 | (u & 0x3f)));
	} else if (u < 0x10000) {
		sb_addc(out, (char)(0xe0 | u >> 12));
		sb_addc(out, (char)(0x80 | (u >> 6 & 0x3f)));
		sb_addc(out, (char)(0x80 | (u & 0x3f)));
	} else {
		sb_addc(out, (char)(0xf0 | u >> 18));
		sb_addc(out, (char)(0x80 | (u >> 12 & 0x3f)));
		sb_addc(out, (char)(0x80 | (u >> 6 & 0x3f)));
		sb_addc(out, (char)(0x80 | (u & 0x3f)));
	}
}

/* A text of the message as UTF-8. */
static struct sv
text_of(struct arena *a, struct sv raw, bool unicode)
{
	struct sb out = SB_INIT(4 * TEXT_MAX);
	struct sv v;

	for (size_t i = 0; unicode && i + 1 < raw.len; i += 2) {
		uint32_t u = get_le16((const uint8_t *)raw.p + i);

		if (u >= 0xd800 && u < 0xdc00 && i + 3 < raw.len) {
			uint32_t low = get_le16((const uint8_t *)raw.p + i + 2);

			if (low >= 0xdc00 && low < 0xe000) {
				u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
				i += 2;
			}
		}
		add_utf8(&out, u >= 0xd800 && u < 0xe000 ? '?' : u);
	}
	if (!unicode)
		sb_add(&out, raw);
	v = sv_taint(arena_sv(a, sb_sv(&out)));
	sb_free(&out);
	return (v);
}

/* The bytes that the field at <at> names; false when they lie outside. */
static bool
field(struct sv msg, size_t at, struct sv *out)
{
	const uint8_t *p = (const uint8_t *)msg.p + at;
	size_t len, off;

	if (msg.len < at + 8)
		return (false);
	len = get_le16(p);
	off = get_le32(p + 4);
	if (len > TEXT_MAX || off > msg.len || len > msg.len - off)
		return (false);
	*out = sv_sub(msg, off, off + len);
	return (true);
}

static void
put_field(uint8_t *p, size_t len, size_t off)
{
	put_le16(p, (uint16_t)len);
	put_le16(p + 2, (uint16_t)len);
	put_le32(p + 4, (uint32_t)off);
}

static bool
is_message(struct sv msg, unsigned type, size_t least)
{
	return (msg.len >= least && memcmp(msg.p, MAGIC, 8) == 0 && get_le32((const uint8_t *)msg.p + 8) == type);
}

/* ---- proofs ---- */

static void
nt_hash(struct sv password, unsigned char out[HASH])
{
	struct sb w = SB_INIT(8 * TEXT_MAX);

	add_utf16(&w, password, false);
	MD4((const unsigned char *)(w.len == 0 ? "" : w.p), w.len, out);
	sb_wipe(&w);
}

/* Seven bytes as a key of DES. */
static void
encrypt(const unsigned char k[7], const unsigned char in[8], unsigned char out[8])
{
	DES_cblock key = { k[0], (unsigned char)(k[0] << 7 | k[1] >> 1), (unsigned char)(k[1] << 6 | k[2] >> 2),
	    (unsigned char)(k[2] << 5 | k[3] >> 3), (unsigned char)(k[3] << 4 | k[4] >> 4),
	    (unsigned char)(k[4] << 3 | k[5] >> 5), (unsigned char)(k[5] << 2 | k[6] >> 6), (unsigned char)(k[6] << 1) };
	DES_cblock from, to;
	DES_key_schedule ks;

	memcpy(from, in, 8);
	DES_set_odd_parity(&key);
	DES_set_key_unchecked(&key, &ks);
	DES_ecb_encrypt(&from, &to, &ks, DES_ENCRYPT);
	memcpy(out, to, 8);
	OPENSSL_cleanse(&ks, sizeof(ks));
	OPENSSL_cleanse(&key, sizeof(key));
}

/* The 24 bytes of version 1 for a hash of 16. */
static void
prove(const unsigned char hash[HASH], const unsigned char challenge[NTLM_CHALLENGE], unsigned char out[PROOF])
{
	unsigned char key[21] = { 0 };

	memcpy(key, hash, HASH);
	for (size_t i = 0; i < 3; i++)
		encrypt(key + 7 * i, challenge, out + 8 * i);
	OPENSSL_cleanse(key, sizeof(key));
}

static void
lm_hash(struct sv password, unsigned char out[HASH])
{
	static const unsigned char known[8] = { 'K', 'G', 'S', '!', '@', '#', '$', '%' };
	unsigned char key[14] = { 0 };

	for (size_t i = 0; i < 14 && i < password.len; i++)
		key[i] = (unsigned char)sv_upper(password.p[i]);
	encrypt(key, known, out);
	encrypt(key + 7, known, out + 8);
	OPENSSL_cleanse(key, sizeof(key));
}

/* Version 2 ([MS-NLMP] 3.3.2): 16 bytes of proof in front of what the client adds. */
static bool
proves_v2(const struct ntlm_answer *x, const unsigned char challenge[NTLM_CHALLENGE], const unsigned char hash[HASH])
{
	struct sb w = SB_INIT(16 * TEXT_MAX);
	unsigned char key[EVP_MAX_MD_SIZE], want[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	bool ok;

	add_utf16(&w, x->user, true);
	add_utf16(&w, x->domain, false);
	ok = HMAC(EVP_md5(), hash, HASH, (const unsigned char *)(w.len == 0 ? "" : w.p), w.len, key, &n) != NULL && n == HASH;
	sb_clear(&w);
	sb_addn(&w, challenge, NTLM_CHALLENGE);
	sb_add(&w, sv_sub(x->nt, HASH, x->nt.len));
	ok = ok && HMAC(EVP_md5(), key, HASH, (const unsigned char *)w.p, w.len, want, &n) != NULL && n == HASH &&
	    CRYPTO_memcmp(want, x->nt.p, HASH) == 0;
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(want, sizeof(want));
	sb_free(&w);
	return (ok);
}

bool
ntlm_proves(const struct ntlm_answer *x, const unsigned char challenge[NTLM_CHALLENGE], struct sv password)
{
	unsigned char hash[HASH], want[PROOF];
	bool ok;

	nt_hash(password, hash);
	if (x->nt.len > PROOF) {
		ok = proves_v2(x, challenge, hash);
	} else {
		prove(hash, challenge, want);
		ok = x->nt.len == PROOF && CRYPTO_memcmp(want, x->nt.p, PROOF) == 0;
	}
	OPENSSL_cleanse(hash, sizeof(hash));
	return (ok);
}

/* ---- messages ---- */

bool
ntlm_is_first(struct sv msg)
{
	return (is_message(msg, 1, 16));
}

void
ntlm_first(struct sb *out, struct sv domain, struct sv host)
{
	uint8_t head[32] = { 0 };

	memcpy(head, MAGIC, 8);
	put_le32(head + 8, 1);
	put_le32(head + 12, F_UNICODE | F_OEM | F_TARGET | F_NTLM | F_SIGN | (domain.len > 0 ? F_DOMAIN : 0) |
	    (host.len > 0 ? F_HOST : 0));
	put_field(head + 16, domain.len, sizeof(head));
	put_field(head + 24, host.len, sizeof(head) + domain.len);
	sb_addn(out, head, sizeof(head));
	sb_add(out, domain);
	sb_add(out, host);
}

void
ntlm_challenge(struct sb *out, const unsigned char challenge[NTLM_CHALLENGE], struct sv target)
{
	struct sb name = SB_INIT(TEXT_MAX);
	uint8_t head[48] = { 0 };

	add_utf16(&name, target, false);
	memcpy(head, MAGIC, 8);
	put_le32(head + 8, 2);
	put_field(head + 12, name.len, sizeof(head));
	put_le32(head + 20, F_UNICODE | F_TARGET | F_NTLM | F_SIGN | F_TARGET_SERVER);
	memcpy(head + 24, challenge, NTLM_CHALLENGE);
	put_field(head + 40, 0, sizeof(head) + name.len);
	sb_addn(out, head, sizeof(head));
	sb_add(out, sb_sv(&name));
	sb_free(&name);
}

bool
ntlm_read_challenge(struct sv msg, unsigned char challenge[NTLM_CHALLENGE])
{
	if (!is_message(msg, 2, 32))
		return (false);
	memcpy(challenge, msg.p + 24, NTLM_CHALLENGE);
	return (true);
}

bool
ntlm_last(struct sb *out, const unsigned char challenge[NTLM_CHALLENGE], struct sv domain, struct sv user, struct sv password)
{
	struct sb text = SB_INIT(3 * TEXT_MAX);
	unsigned char hash[HASH], lm[PROOF], nt[PROOF];
	uint8_t head[64] = { 0 };
	size_t at = sizeof(head), end_domain, end_user;

	lm_hash(password, hash);
	prove(hash, challenge, lm);
	nt_hash(password, hash);
	prove(hash, challenge, nt);
	OPENSSL_cleanse(hash, sizeof(hash));
	add_utf16(&text, domain, false);
	end_domain = text.len;
	add_utf16(&text, user, false);
	end_user = text.len;
	memcpy(head, MAGIC, 8);
	put_le32(head + 8, 3);
	put_field(head + 28, end_domain, at);
	put_field(head + 36, end_user - end_domain, at + end_domain);
	put_field(head + 44, 0, at + end_user);
	put_field(head + 12, PROOF, at + end_user);
	put_field(head + 20, PROOF, at + end_user + PROOF);
	put_field(head + 52, 0, at + end_user + 2 * PROOF);
	put_le32(head + 60, F_UNICODE | F_NTLM | F_SIGN);
	sb_addn(out, head, sizeof(head));
	sb_add(out, sb_sv(&text));
	sb_addn(out, lm, PROOF);
	sb_addn(out, nt, PROOF);
	sb_free(&text);
	return (!out->overflow);
}

bool
ntlm_read_last(struct sv msg, struct arena *a, struct ntlm_answer *out)
{
	struct sv domain, user, host;
	bool unicode = true;

	if (!is_message(msg, 3, 52) || !field(msg, 20, &out->nt) || !field(msg, 28, &domain) || !field(msg, 36, &user) ||
	    !field(msg, 44, &host))
		return (false);
	/* Old clients leave the flags out and write UTF-16 all the same. */
	if (msg.len >= 64)
		unicode = (get_le32((const uint8_t *)msg.p + 60) & (F_UNICODE | F_OEM)) != F_OEM;
	out->user = text_of(a, user, unicode);
	out->domain = text_of(a, domain, unicode);
	out->host = text_of(a, host, unicode);
	return (true);
}
