/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SASL server against the examples of the RFCs: PLAIN of RFC 4616, CRAM-MD5 of RFC
 * 2195 and SCRAM-SHA-256 with RFC 7677's keys, with a client written here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "auth/sasl.h"
#include "auth/vusers.h"
#include "base/codec.h"

#define PENCIL "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:" \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static void
secret(void *arg, struct sv user, struct sb *scram, struct sb *plain)
{
	if (scram != NULL)		/* for an unknown user too: keys of nobody's password */
		sb_adds(scram, PENCIL);
	if (plain != NULL && sv_eqs(user, "tim"))
		sb_adds(plain, "tanstaaftanstaaf");
}

static enum sasl_check
check(void *arg, struct sv user, struct sv password)
{
	if (sv_eqs(user, "busy"))
		return (SASL_CHECK_TEMP);
	return ((sv_eqs(user, "tim") && sv_eqs(password, "tanstaaftanstaaf")) ||
	    (sv_eqs(user, "Kurt") && sv_eqs(password, "xipj3plmq")) ? SASL_CHECK_OK : SASL_CHECK_WRONG);
}

static const struct sasl_backend backend = { secret, check };

static int
setup(void **state)
{
	struct err err = ERR_INIT;

	return (sasl_env_open(&backend, &err));
}

static enum sasl_step
start(struct sasl_exchange **xp, const char *allowed, const char *mech, const struct sv *initial, struct sb *out)
{
	struct err err = ERR_INIT;

	return (sasl_exchange_start(xp, "smtp", "mail.example.org", allowed, sv_cstr(mech), initial, NULL, out, &err));
}

static void
test_plain(void **state)
{
	static const struct { const char *b64; enum sasl_step want; const char *user; } cases[] = {
		{ "AHRpbQB0YW5zdGFhZnRhbnN0YWFm", SASL_STEP_OK, "tim" },
		{ "VXJzZWwAS3VydAB4aXBqM3BsbXE=", SASL_STEP_WRONG, NULL },	/* Kurt as Ursel: nobody acts for others */
		{ "AEt1cnQAeGlwajNwbG1x", SASL_STEP_OK, "Kurt" },
		{ "S3VydABLdXJ0AHhpcGozcGxtcQ==", SASL_STEP_OK, "Kurt" },	/* authzid given, the same */
		{ "AHRpbQB3cm9uZw==", SASL_STEP_WRONG, NULL },
		{ "AGJ1c3kAeA==", SASL_STEP_TEMP, NULL },
		{ "dGlt", SASL_STEP_BAD, NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int with = 0; with < 2; with++) {
			struct sb in = SB_INIT(1024), out = SB_INIT(1024);
			struct sasl_exchange *x;
			struct err err = ERR_INIT;
			enum sasl_step r;
			struct sv v;

			assert_true(base64_decode(&in, sv_cstr(cases[i].b64)));
			v = sb_sv(&in);
			r = start(&x, AUTH_SASL_PLAIN, "plain", with ? &v : NULL, &out);
			if (!with) {
				assert_int_equal(r, SASL_STEP_CONTINUE);
				assert_int_equal(out.len, 0);
				r = sasl_exchange_step(x, v, &out, &err);
			}
			if (r != cases[i].want)
				fail_msg("case %zu: %d", i, r);
			if (r == SASL_STEP_OK)
				assert_true(sv_eqs(sasl_exchange_user(x), cases[i].user));
			sasl_exchange_free(&x);
			sb_free(&in);
			sb_free(&out);
		}
}

static void
test_login(void **state)
{
	struct sb out = SB_INIT(1024);
	struct sasl_exchange *x;
	struct err err = ERR_INIT;

	assert_int_equal(start(&x, AUTH_SASL_PLAIN, "LOGIN", NULL, &out), SASL_STEP_CONTINUE);
	assert_true(sv_casestarts(sb_sv(&out), "username"));
	sb_clear(&out);
	assert_int_equal(sasl_exchange_step(x, SV_LIT("tim"), &out, &err), SASL_STEP_CONTINUE);
	assert_true(sv_casestarts(sb_sv(&out), "password"));
	assert_int_equal(sasl_exchange_step(x, SV_LIT("tanstaaftanstaaf"), &out, &err), SASL_STEP_OK);
	assert_true(sv_eqs(sasl_exchange_user(x), "tim"));
	sasl_exchange_free(&x);
	sb_free(&out);
}

static void
test_not_offered(void **state)
{
	static const char *const mechs[] = { "ANONYMOUS", "CRAM-MD5", "DIGEST-MD5", "EXTERNAL", "GSSAPI", "NTLM", "", "SCRAM-SHA-1" };
	struct sb out = SB_INIT(1024);
	struct sasl_exchange *x;
	struct sv v = SV_LIT("x");

	for (size_t i = 0; i < sizeof(mechs) / sizeof(mechs[0]); i++) {
		assert_int_equal(start(&x, AUTH_SASL_PLAIN, mechs[i], &v, &out), SASL_STEP_BAD);
		assert_null(x);
	}
	sb_free(&out);
}

static void
test_cram(void **state)
{
	struct sb out = SB_INIT(1024), answer = SB_INIT(1024);
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned maclen;
	struct sasl_exchange *x;
	struct err err = ERR_INIT;

	/* RFC 2195 section 2: what the client computes, to know that the test computes rightly. */
	HMAC(EVP_md5(), "tanstaaftanstaaf", 16, (const unsigned char *)"<1896.697170952@postoffice.reston.mci.net>", 42, mac, &maclen);
	hex_encode(&answer, sv_from((char *)mac, maclen));
	assert_string_equal(sb_cstr(&answer), "b913a602c7eda7a495b4e6e7334d3890");
	for (int good = 0; good < 2; good++) {
		sb_clear(&out);
		assert_int_equal(start(&x, AUTH_SASL_ALL, "CRAM-MD5", NULL, &out), SASL_STEP_CONTINUE);
		HMAC(EVP_md5(), good ? "tanstaaftanstaaf" : "wrong", good ? 16 : 5, (unsigned char *)out.p, out.len, mac, &maclen);
		sb_clear(&answer);
		sb_adds(&answer, "tim ");
		hex_encode(&answer, sv_from((char *)mac, maclen));
		assert_int_equal(sasl_exchange_step(x, sb_sv(&answer), &out, &err), good ? SASL_STEP_OK : SASL_STEP_WRONG);
		sasl_exchange_free(&x);
	}
	sb_free(&out);
	sb_free(&answer);
}

static void
hmac(const unsigned char *key, struct sv text, unsigned char out[32])
{
	unsigned len = 32;

	HMAC(EVP_sha256(), key, 32, (const unsigned char *)text.p, text.len, out, &len);
}

/* The client's last message for <first> (bare), <server> and a password. */
static void
scram_final(struct sb *final, const char *first, struct sv server, const char *password, unsigned char server_sig[32])
{
	struct sb auth = SB_INIT(4096), salt = SB_INIT(256), bare = SB_INIT(1024);
	unsigned char salted[32], client[32], stored[32], sig[32], skey[32];
	struct sv nonce, s, it, rest = server;
	unsigned len = 32;

	assert_true(sv_next(&rest, ',', &nonce) && sv_next(&rest, ',', &s) && sv_next(&rest, ',', &it));
	assert_true(sv_eqs(it, "i=4096"));
	assert_true(base64_decode(&salt, sv_sub(s, 2, s.len)));
	sb_addf(&bare, "c=biws," SV_FMT, SV_ARG(nonce));
	sb_addf(&auth, "%s," SV_FMT ",%s", first, SV_ARG(server), sb_cstr(&bare));
	PKCS5_PBKDF2_HMAC(password, -1, (unsigned char *)salt.p, (int)salt.len, 4096, EVP_sha256(), 32, salted);
	hmac(salted, SV_LIT("Client Key"), client);
	hmac(salted, SV_LIT("Server Key"), skey);
	EVP_Digest(client, 32, stored, &len, EVP_sha256(), NULL);
	hmac(stored, sb_sv(&auth), sig);
	hmac(skey, sb_sv(&auth), server_sig);
	for (int i = 0; i < 32; i++)
		client[i] ^= sig[i];
	sb_addf(final, "%s,p=", sb_cstr(&bare));
	base64_encode(final, sv_from((char *)client, 32));
	sb_free(&auth);
	sb_free(&salt);
	sb_free(&bare);
}

static void
test_scram(void **state)
{
	static const char first[] = "n=user,r=rOprNGfwEbeRWgbNEkqO";

	for (int good = 0; good < 2; good++) {
		struct sb out = SB_INIT(1024), final = SB_INIT(1024), want = SB_INIT(1024);
		struct sv initial = SV_LIT("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
		unsigned char sig[32];
		struct sasl_exchange *x;
		struct err err = ERR_INIT;
		enum sasl_step r;

		assert_int_equal(start(&x, AUTH_SASL_PLAIN, "SCRAM-SHA-256", &initial, &out), SASL_STEP_CONTINUE);
		assert_true(sv_starts(sb_sv(&out), "r=rOprNGfwEbeRWgbNEkqO"));
		assert_true(sv_find(sb_sv(&out), SV_LIT("s=W22ZaJ0SNY7soEsUEjb6gQ==")) > 0);
		scram_final(&final, first, sb_sv(&out), good ? "pencil" : "pen", sig);
		sb_clear(&out);
		r = sasl_exchange_step(x, sb_sv(&final), &out, &err);
		if (!good)
			assert_int_equal(r, SASL_STEP_WRONG);
		else {
			/* The server's proof comes as a challenge, answered by an empty line. */
			assert_int_equal(r, SASL_STEP_CONTINUE);
			sb_adds(&want, "v=");
			base64_encode(&want, sv_from((char *)sig, 32));
			assert_string_equal(sb_cstr(&out), sb_cstr(&want));
			assert_int_equal(sasl_exchange_step(x, SV_NULL, &out, &err), SASL_STEP_OK);
			assert_true(sv_eqs(sasl_exchange_user(x), "user"));
		}
		sasl_exchange_free(&x);
		sb_free(&out);
		sb_free(&final);
		sb_free(&want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_not_offered),
		cmocka_unit_test(test_cram),
		cmocka_unit_test(test_scram),
	};

	return (cmocka_run_group_tests(tests, setup, NULL));
}
