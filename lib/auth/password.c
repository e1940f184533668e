/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stored passwords: SCRAM-SHA-256 keys (RFC 5802, 5803, 7677; also in Dovecot's form
 * with commas), crypt(3), clear text.  Comparisons take the same time whatever differs.
 */
#include "auth/vusers.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "auth/auth_int.h"
#include "base/arena.h"
#include "base/codec.h"
#include "base/num.h"

#define KEY_LEN		32
#define ITER_NEW	4096
#define SALT_LEN	16
#define PASSWORD_MAX	1024

struct scram_keys {
	unsigned char	 stored[KEY_LEN];
	unsigned char	 server[KEY_LEN];
};

enum vusers_scheme
vusers_scheme(struct sv stored, struct sv *text)
{
	static const struct { const char *name; enum vusers_scheme scheme; } names[] = {
		{ "{PLAIN}", VUSERS_PLAIN }, { "{CLEAR}", VUSERS_PLAIN }, { "{CLEARTEXT}", VUSERS_PLAIN },
		{ "{CRYPT}", VUSERS_CRYPT }, { "{BLF-CRYPT}", VUSERS_CRYPT }, { "{SHA512-CRYPT}", VUSERS_CRYPT },
		{ "{SHA256-CRYPT}", VUSERS_CRYPT }, { "{MD5-CRYPT}", VUSERS_CRYPT }, { "{DES-CRYPT}", VUSERS_CRYPT },
		{ "{SCRAM-SHA-256}", VUSERS_SCRAM },
	};

	if (text != NULL)
		*text = stored;
	if (stored.len == 0 || stored.p[0] == '*' || stored.p[0] == '!' || sv_eqs(stored, "x"))
		return (VUSERS_NONE);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (sv_casestarts(stored, names[i].name)) {
			if (text != NULL)
				*text = sv_sub(stored, strlen(names[i].name), stored.len);
			return (names[i].scheme);
		}
	if (sv_starts(stored, "SCRAM-SHA-256$"))
		return (VUSERS_SCRAM);
	/* crypt(3): "$id$...", or the 13 characters of DES. */
	if (stored.p[0] == '$' || (stored.len == 13 && sv_chr(stored, '{') == -1))
		return (VUSERS_CRYPT);
	return (VUSERS_UNKNOWN);
}

static bool
decode_key(struct sv v, unsigned char out[KEY_LEN])
{
	struct sb b = SB_INIT(256);
	bool ok = base64_decode(&b, sv_trim(v)) && b.len == KEY_LEN;

	if (ok)
		memcpy(out, b.p, KEY_LEN);
	sb_free(&b);
	return (ok);
}

/* "SCRAM-SHA-256$iter:salt$stored:server" or "iter,salt,stored,server". */
static bool
scram_parse(struct sv v, int64_t *iter, struct sb *salt, struct scram_keys *k)
{
	struct sv piece[4];
	bool rfc = sv_starts(v, "SCRAM-SHA-256$");

	if (rfc)
		v = sv_sub(v, strlen("SCRAM-SHA-256$"), v.len);
	if (!sv_next(&v, rfc ? ':' : ',', &piece[0]) || !sv_next(&v, rfc ? '$' : ',', &piece[1]) ||
	    !sv_next(&v, rfc ? ':' : ',', &piece[2]) || v.len == 0)
		return (false);
	piece[3] = v;
	return (num_parse(sv_trim(piece[0]), 1, 10000000, iter) && base64_decode(salt, sv_trim(piece[1])) &&
	    salt->len > 0 && decode_key(piece[2], k->stored) && decode_key(piece[3], k->server));
}

static bool
scram_derive(struct sv password, struct sv salt, int iter, struct scram_keys *k)
{
	unsigned char salted[KEY_LEN], client[KEY_LEN];
	unsigned len = KEY_LEN;
	bool ok;

	ok = PKCS5_PBKDF2_HMAC(password.len > 0 ? password.p : "", (int)password.len, (const unsigned char *)salt.p,
	    (int)salt.len, iter, EVP_sha256(), KEY_LEN, salted) == 1 &&
	    HMAC(EVP_sha256(), salted, KEY_LEN, (const unsigned char *)"Client Key", 10, client, &len) != NULL &&
	    HMAC(EVP_sha256(), salted, KEY_LEN, (const unsigned char *)"Server Key", 10, k->server, &len) != NULL &&
	    EVP_Digest(client, KEY_LEN, k->stored, &len, EVP_sha256(), NULL) == 1;
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(client, sizeof(client));
	return (ok);
}

static bool
scram_verify(struct sv text, struct sv password)
{
	struct sb salt = SB_INIT(1024);
	struct scram_keys have, want;
	int64_t iter;
	bool ok;

	ok = scram_parse(text, &iter, &salt, &want) && scram_derive(password, sb_sv(&salt), (int)iter, &have) &&
	    CRYPTO_memcmp(have.stored, want.stored, KEY_LEN) == 0;
	sb_free(&salt);
	return (ok);
}

static bool
crypt_verify(struct sv text, struct sv password)
{
	struct crypt_data *cd;
	char *stored, *pw, *got;
	bool ok = false;

	if (memchr(password.p, '\0', password.len) != NULL)
		return (false);
	cd = xcalloc(1, sizeof(*cd));
	stored = xstrndup(text.p, text.len);
	pw = xstrndup(password.p, password.len);
	got = crypt_r(pw, stored, cd);
	if (got != NULL && strlen(got) == text.len)
		ok = CRYPTO_memcmp(got, stored, text.len) == 0;
	OPENSSL_cleanse(pw, password.len);
	OPENSSL_cleanse(cd, sizeof(*cd));
	free(pw);
	free(stored);
	free(cd);
	return (ok);
}

bool
vusers_verify(struct sv stored, struct sv password)
{
	struct sv text;

	if (password.len == 0 || password.len > PASSWORD_MAX)
		return (false);
	switch (vusers_scheme(stored, &text)) {
	case VUSERS_SCRAM:
		return (scram_verify(text, password));
	case VUSERS_CRYPT:
		return (crypt_verify(text, password));
	case VUSERS_PLAIN:
		return (text.len == password.len && CRYPTO_memcmp(text.p, password.p, text.len) == 0);
	case VUSERS_NONE:
	case VUSERS_UNKNOWN:
		break;
	}
	return (false);
}

static void
scram_put(struct sb *out, int64_t iter, struct sv salt, const struct scram_keys *k)
{
	sb_addf(out, "SCRAM-SHA-256$%lld:", (long long)iter);
	base64_encode(out, salt);
	sb_addc(out, '$');
	base64_encode(out, sv_from((const char *)k->stored, KEY_LEN));
	sb_addc(out, ':');
	base64_encode(out, sv_from((const char *)k->server, KEY_LEN));
}

bool
auth_scram_text(struct sv stored, struct sb *out)
{
	struct sb salt = SB_INIT(1024);
	struct scram_keys k;
	struct sv text;
	int64_t iter;
	bool ok;

	ok = vusers_scheme(stored, &text) == VUSERS_SCRAM && scram_parse(text, &iter, &salt, &k);
	if (ok)
		scram_put(out, iter, sb_sv(&salt), &k);
	sb_free(&salt);
	return (ok);
}

int
vusers_scram_key(struct sv password, struct sv salt, unsigned iter, struct sb *out, struct err *err)
{
	struct scram_keys k;

	if (password.len == 0 || password.len > PASSWORD_MAX)
		return (err_set(err, ERR_PERM, "5.7.0", "a password has 1 to %d bytes", PASSWORD_MAX));
	if (!scram_derive(password, salt, (int)iter, &k))
		return (err_set(err, ERR_TEMP, "4.7.0", "the cryptographic library fails: check the OpenSSL installation"));
	scram_put(out, iter, salt, &k);
	return (0);
}

int
vusers_hash(struct sv password, struct sb *out, struct err *err)
{
	unsigned char salt[SALT_LEN];

	if (RAND_bytes(salt, SALT_LEN) != 1)
		return (err_set(err, ERR_TEMP, "4.7.0", "no random bytes from the system"));
	return (vusers_scram_key(password, sv_from((const char *)salt, SALT_LEN), ITER_NEW, out, err));
}
