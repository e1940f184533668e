/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What contexts of both sides take from a configuration: ciphers, parameters of the key exchange, switches of
 * the library.  Texts are those of Exim's options; ciphers may be given as a priority string of GnuTLS (tls_priorities.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include "base/arena.h"
#include "base/sb.h"
#include "base/sv.h"
#include "io/stream_int.h"

#define LIST_MAX	16384

/* ---- ciphers ---- */

/* Names of TLS 1.3's suites are a list of their own in OpenSSL; a list of nothing else allows nothing older. */
int
tls_params_ciphers(SSL_CTX *ctx, const char *text, struct err *err)
{
	struct sb old = SB_INIT(LIST_MAX), suites = SB_INIT(LIST_MAX);
	struct sv rest = sv_cstr(text), word;
	char why[200];
	bool ok;

	ERR_clear_error();
	if (tls_priorities_are(rest))
		ok = tls_priorities_use(ctx, rest);
	else {
		while (sv_next(&rest, ':', &word)) {
			struct sb *to = sv_starts(word, "TLS_") ? &suites : &old;

			if (to->len > 0)
				sb_addc(to, ':');
			sb_add(to, word);
		}
		ok = (suites.len == 0 || SSL_CTX_set_ciphersuites(ctx, sb_cstr(&suites)) == 1) &&
		    (old.len == 0 || SSL_CTX_set_cipher_list(ctx, sb_cstr(&old)) == 1) &&
		    (old.len > 0 || suites.len == 0 || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
	}
	sb_free(&old);
	sb_free(&suites);
	if (ok)
		return (0);
	tls_error_text(why, sizeof(why), "no cipher");
	return (err_set(err, ERR_CONFIG, "4.3.5", "TLS ciphers \"%s\": %s", text, why));
}

/* ---- Diffie and Hellman ---- */

/* Exim's names for the groups of RFC 3526, 5114 and 7919. */
static const struct { const char *name, *group; } groups[] = {
	{ "", "ffdhe2048" }, { "default", "ffdhe2048" }, { "historic", "dh_2048_224" }, { "exim.dev.20160529.1", "ffdhe2048" },
	{ "exim.dev.20160529.2", "ffdhe2048" }, { "exim.dev.20160529.3", "ffdhe2048" }, { "ffdhe2048", "ffdhe2048" },
	{ "ffdhe3072", "ffdhe3072" }, { "ffdhe4096", "ffdhe4096" }, { "ffdhe6144", "ffdhe6144" }, { "ffdhe8192", "ffdhe8192" },
	{ "ike5", "modp_1536" }, { "ike14", "modp_2048" }, { "ike15", "modp_3072" }, { "ike16", "modp_4096" }, { "ike17", "modp_6144" },
	{ "ike18", "modp_8192" }, { "ike22", "dh_1024_160" }, { "ike23", "dh_2048_224" }, { "ike24", "dh_2048_256" },
};

static EVP_PKEY *
named_group(const char *name)
{
	const char *group = NULL;
	EVP_PKEY_CTX *c;
	EVP_PKEY *key = NULL;

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (strcmp(groups[i].name, name) == 0)
			group = groups[i].group;
	if (group == NULL || (c = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL)) == NULL)
		return (NULL);
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)group,
	    0), OSSL_PARAM_construct_end() };
	if (EVP_PKEY_fromdata_init(c) != 1 || EVP_PKEY_fromdata(c, &key, EVP_PKEY_KEY_PARAMETERS, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(c);
	return (key);
}

int
tls_params_dh(SSL_CTX *ctx, const char *name, int max_bits, struct err *err)
{
	EVP_PKEY *key;
	char why[200];
	BIO *b;

	if (strcmp(name, "none") == 0)
		return (0);
	ERR_clear_error();
	if (name[0] != '/') {
		key = named_group(name);
	} else {
		b = BIO_new_file(name, "r");
		key = b == NULL ? NULL : PEM_read_bio_Parameters(b, NULL);
		BIO_free(b);
	}
	if (key == NULL) {
		tls_error_text(why, sizeof(why), "no such group");
		return (err_set(err, ERR_CONFIG, "4.3.5", "tls_dhparam \"%s\": %s", name, why));
	}
	/* Too many bits for some clients: as if there were none. */
	if (EVP_PKEY_get_bits(key) > max_bits) {
		EVP_PKEY_free(key);
		return (0);
	}
	if (SSL_CTX_set0_tmp_dh_pkey(ctx, key) == 1)
		return (0);
	EVP_PKEY_free(key);
	tls_error_text(why, sizeof(why), "not usable");
	return (err_set(err, ERR_CONFIG, "4.3.5", "tls_dhparam \"%s\": %s", name, why));
}

/* "" allows no curve at all. */
int
tls_params_curves(SSL_CTX *ctx, const char *list, struct err *err)
{
	char why[200];

	if (strcmp(list, "auto") == 0)
		return (0);
	ERR_clear_error();
	if (SSL_CTX_set1_groups_list(ctx, list[0] == '\0' ? "ffdhe2048:ffdhe3072" : list) == 1)
		return (0);
	tls_error_text(why, sizeof(why), "no such curve");
	return (err_set(err, ERR_CONFIG, "4.3.5", "tls_eccurve \"%s\": %s", list, why));
}

/* ---- switches ---- */

static const struct { const char *name; uint64_t bits; } switches[] = {
	{ "all", SSL_OP_ALL },
	{ "allow_no_dhe_kex", SSL_OP_ALLOW_NO_DHE_KEX },
	{ "allow_unsafe_legacy_renegotiation", SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION },
	{ "cipher_server_preference", SSL_OP_CIPHER_SERVER_PREFERENCE },
	{ "cryptopro_tlsext_bug", SSL_OP_CRYPTOPRO_TLSEXT_BUG },
	{ "dont_insert_empty_fragments", SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS },
	{ "enable_middlebox_compat", SSL_OP_ENABLE_MIDDLEBOX_COMPAT },
	{ "ephemeral_rsa", 0 },
	{ "legacy_server_connect", SSL_OP_LEGACY_SERVER_CONNECT },
	{ "microsoft_big_sslv3_buffer", 0 },
	{ "microsoft_sess_id_bug", 0 },
	{ "msie_sslv2_rsa_padding", 0 },
	{ "netscape_challenge_bug", 0 },
	{ "netscape_reuse_cipher_change_bug", 0 },
	{ "no_anti_replay", SSL_OP_NO_ANTI_REPLAY },
	{ "no_compression", SSL_OP_NO_COMPRESSION },
	{ "no_encrypt_then_mac", SSL_OP_NO_ENCRYPT_THEN_MAC },
	{ "no_renegotiation", SSL_OP_NO_RENEGOTIATION },
	{ "no_session_resumption_on_renegotiation", SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION },
	{ "no_sslv2", 0 },
	{ "no_sslv3", SSL_OP_NO_SSLv3 },
	{ "no_ticket", SSL_OP_NO_TICKET },
	{ "no_tlsv1", SSL_OP_NO_TLSv1 },
	{ "no_tlsv1_1", SSL_OP_NO_TLSv1_1 },
	{ "no_tlsv1_2", SSL_OP_NO_TLSv1_2 },
	{ "no_tlsv1_3", SSL_OP_NO_TLSv1_3 },
	{ "prioritize_chacha", SSL_OP_PRIORITIZE_CHACHA },
	{ "safari_ecdhe_ecdsa_bug", SSL_OP_SAFARI_ECDHE_ECDSA_BUG },
	{ "single_dh_use", 0 },
	{ "single_ecdh_use", 0 },
	{ "ssleay_080_client_dh_bug", 0 },
	{ "sslref2_reuse_cert_type_bug", 0 },
	{ "tls_block_padding_bug", 0 },
	{ "tls_d5_bug", 0 },
	{ "tls_rollback_bug", SSL_OP_TLS_ROLLBACK_BUG },
	{ "tlsext_padding", SSL_OP_TLSEXT_PADDING },
};

/* What old clients of either library stumble over is left out. */
#define COMPAT	(SSL_OP_NO_ENCRYPT_THEN_MAC | SSL_OP_NO_EXTENDED_MASTER_SECRET | SSL_OP_TLSEXT_PADDING | SSL_OP_LEGACY_SERVER_CONNECT)

static bool
find_switch(struct sv name, uint64_t *bits)
{
	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++)
		if (sv_caseeqs(name, switches[i].name)) {
			*bits = switches[i].bits;
			return (true);
		}
	return (false);
}

int
tls_switches_parse(const char *text, struct tls_switches *out, struct err *err)
{
	struct sv rest = sv_cstr(text), word;
	uint64_t bits;

	while (sv_word(&rest, &word)) {
		bool on = word.p[0] == '+';

		if (word.len < 2 || (!on && word.p[0] != '-') || !find_switch(sv_sub(word, 1, word.len), &bits))
			return (err_set(err, ERR_CONFIG, "4.3.5",
			    "openssl_options: \"" SV_FMT "\" is no word with \"+\" or \"-\" in front that "
			    "is known", SV_ARG(word)));
		out->set = on ? out->set | bits : out->set & ~bits;
		out->clear = on ? out->clear & ~bits : out->clear | bits;
	}
	return (0);
}

void
tls_params_switches(SSL_CTX *ctx, const struct tls_switches *sw)
{
	(void)SSL_CTX_clear_options(ctx, sw->clear);
	(void)SSL_CTX_set_options(ctx, sw->set | (sw->compat ? COMPAT : 0));
}

/* ---- a certificate of our own ---- */

int
tls_params_self_signed(SSL_CTX *ctx, const char *name, struct err *err)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	X509 *x = X509_new();
	X509_NAME *n = x == NULL ? NULL : X509_get_subject_name(x);
	unsigned char serial[8];
	BIGNUM *bn = NULL;
	char why[200];
	bool ok = key != NULL && n != NULL && RAND_bytes(serial, sizeof(serial)) == 1 &&
	    (bn = BN_bin2bn(serial, sizeof(serial), NULL)) != NULL &&
	    BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)) != NULL && X509_set_version(x, 2) == 1 &&
	    X509_gmtime_adj(X509_getm_notBefore(x), 0) != NULL && X509_gmtime_adj(X509_getm_notAfter(x), 7 * 86400) != NULL &&
	    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1 &&
	    X509_set_issuer_name(x, n) == 1 &&
	    X509_set_pubkey(x, key) == 1 && X509_sign(x, key, EVP_sha256()) > 0 && SSL_CTX_use_certificate(ctx, x) == 1 &&
	    SSL_CTX_use_PrivateKey(ctx, key) == 1;

	BN_free(bn);
	X509_free(x);
	EVP_PKEY_free(key);
	if (ok)
		return (0);
	tls_error_text(why, sizeof(why), "out of memory");
	return (err_set(err, ERR_TEMP, "4.3.0", "TLS: no certificate could be made (%s)", why));
}
