/* SPDX-License-Identifier: BSD-2-Clause */
/* CRAM-MD5: see cram.h. */
#include "exim/cram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

bool
cram_digest(struct sv secret, struct sv challenge, char hex[CRAM_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (HMAC(EVP_md5(), secret.len == 0 ? "" : secret.p, (int)secret.len, (const unsigned char *)(challenge.len == 0 ? "" :
	    challenge.p), challenge.len, raw, &len) == NULL || len * 2 != CRAM_HEX)
		return (false);
	for (unsigned i = 0; i < len; i++) {
		hex[2 * i] = digits[raw[i] >> 4];
		hex[2 * i + 1] = digits[raw[i] & 15];
	}
	hex[CRAM_HEX] = '\0';
	return (true);
}

bool
cram_split(struct sv answer, struct sv *user, struct sv *digest)
{
	ptrdiff_t blank = sv_chr(answer, ' ');

	*user = blank < 0 ? answer : sv_sub(answer, 0, (size_t)blank);
	if (blank < 0)
		return (false);
	*digest = sv_trim(sv_sub(answer, (size_t)blank + 1, answer.len));
	return (true);
}

bool
cram_equal(const char hex[CRAM_HEX + 1], struct sv digest)
{
	return (digest.len == CRAM_HEX && CRYPTO_memcmp(hex, digest.p, CRAM_HEX) == 0);
}
