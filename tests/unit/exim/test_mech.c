/* SPDX-License-Identifier: BSD-2-Clause */
/* The mechanisms of AUTH against the examples of their RFCs, of [MS-NLMP] 4.2 for NTLM, and against what is malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/codec.h"
#include "exim/cram.h"
#include "exim/digest.h"
#include "exim/ntlm.h"
#include "exim/scram.h"

/* An exact block on the heap, so that reading past it is seen. */
static struct sv
exact(struct sv v, char **block)
{
	*block = malloc(v.len == 0 ? 1 : v.len);
	if (v.len > 0)
		memcpy(*block, v.p, v.len);
	return (sv_from(*block, v.len));
}

/* RFC 2195 section 2. */
static void
test_cram(void **state)
{
	char hex[CRAM_HEX + 1];
	struct sv user, digest;

	assert_true(cram_digest(SV_LIT("tanstaaftanstaaf"), SV_LIT("<1896.697170952@postoffice.reston.mci.net>"), hex));
	assert_string_equal(hex, "b913a602c7eda7a495b4e6e7334d3890");
	assert_true(cram_split(SV_LIT("tim b913a602c7eda7a495b4e6e7334d3890"), &user, &digest));
	assert_true(sv_eqs(user, "tim") && cram_equal(hex, digest));
	assert_false(cram_split(SV_LIT("tim"), &user, &digest));
	assert_false(cram_equal(hex, SV_LIT("b913a602c7eda7a495b4e6e7334d389")));
}

/* RFC 5802 section 5 and RFC 7677 section 3, by both sides. */
static void
test_scram(void **state)
{
	static const struct {
		enum scram_hash hash;
		const char *cnonce, *snonce, *salt, *challenge, *last, *proof;
	} v[] = {
		{ SCRAM_SHA1, "fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j", "QSXCR+Q6sek8bf92",
		    "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
		    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
		{ SCRAM_SHA256, "rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "W22ZaJ0SNY7soEsUEjb6gQ==",
		    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
		    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		    "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct arena *a = arena_new(0);
		struct scram c = { .hash = v[i].hash, .arena = a }, s = { .hash = v[i].hash, .arena = a };
		struct sb salt = SB_INIT(64);
		struct sv msg, got_salt;
		int64_t iter;

		assert_true(base64_decode(&salt, sv_cstr(v[i].salt)));
		msg = scram_first(&c, SV_LIT("user"), SV_LIT(""), sv_cstr(v[i].cnonce));
		assert_true(scram_read_first(&s, msg, false));
		assert_true(sv_eqs(s.user, "user"));
		assert_true(scram_keys(&s, SV_LIT("pencil"), sb_sv(&salt), 4096));
		msg = scram_challenge(&s, sv_cstr(v[i].snonce), sb_sv(&salt), 4096);
		assert_true(sv_eqs(msg, v[i].challenge));
		assert_true(scram_read_challenge(&c, msg, &got_salt, &iter));
		assert_true(iter == 4096 && sv_eq(got_salt, sb_sv(&salt)));
		assert_true(scram_keys(&c, SV_LIT("pencil"), got_salt, iter));
		assert_true(scram_last(&c, &msg));
		assert_true(sv_eqs(msg, v[i].last));
		assert_true(scram_read_last(&s, msg, &msg));
		assert_true(sv_eqs(msg, v[i].proof));
		assert_true(scram_server_proved(&c, msg));
		assert_false(scram_server_proved(&c, SV_LIT("v=AAAA")));
		assert_false(scram_server_proved(&c, SV_LIT("e=other-error")));
		/* With another password nothing is proved. */
		assert_true(scram_keys(&s, SV_LIT("pencil2"), sb_sv(&salt), 4096));
		assert_false(scram_read_last(&s, sv_cstr(v[i].last), &msg));
		sb_free(&salt);
		arena_free(&a);
	}
}

static void
test_scram_binding(void **state)
{
	static const struct { const char *msg; bool plus, bound, ok; } v[] = {
		{ "n,,n=user,r=abc", false, false, true }, { "n,a=other,n=us=2Cer=3D,r=abc", false, false, true },
		{ "y,,n=user,r=abc", false, false, true }, { "y,,n=user,r=abc", false, true, false },
		{ "p=tls-exporter,,n=user,r=abc", true, true, true }, { "p=tls-unique,,n=user,r=abc", true, true, false },
		{ "p=tls-exporter,,n=user,r=abc", false, true, false }, { "n,,n=user,r=abc", true, true, false },
		{ "", false, false, false }, { "n", false, false, false }, { "n,,", false, false, false }, { "n,,n=,r=abc", false, false, false },
		{ "n,,n=user,r=", false, false, false }, { "n,,m=x,n=user,r=abc", false, false, false },
		{ "n,b=x,n=user,r=abc", false, false, false }, { "n,,n=us=er,r=abc", false, false, false }, { "n,,r=abc,n=user", false, false, false },
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct arena *a = arena_new(0);
		struct scram s = { .hash = SCRAM_SHA1, .arena = a };
		char *block;

		if (v[i].bound) {
			s.binding = SV_LIT("bytes");
			s.binding_name = "tls-exporter";
		}
		assert_int_equal(scram_read_first(&s, exact(sv_cstr(v[i].msg), &block), v[i].plus), v[i].ok);
		if (i == 1)
			assert_true(sv_eqs(s.user, "us,er=") && sv_eqs(s.authz, "other"));
		free(block);
		arena_free(&a);
	}
}

/* RFC 2831 section 4, with the mail service of its first example. */
static void
test_digest(void **state)
{
	static const char good[] = "charset=utf-8,username=\"chris\",realm=\"elwood.innosoft.com\",nonce=\"OA6MG9tEQGm2hh\",nc=00000001,"
	    "cnonce=\"OA6MHXh6VqTrRk\",digest-uri=\"imap/elwood.innosoft.com\",response=d388dad90d4bbd760a152321f2143af7,qop=auth";
	static const char *const bad[] = { "", "username", "username=\"x", "username=x;y", "=x",
	    "username=a,username=b,realm=r,nonce=n,cnonce=c,nc=00000001,digest-uri=u,response=d388dad90d4bbd760a152321f2143af7",
	    "username=a,realm=r,nonce=n,cnonce=c,nc=00000002,digest-uri=u,response=d388dad90d4bbd760a152321f2143af7",
	    "username=a,realm=r,nonce=n,cnonce=c,nc=00000001,qop=auth-conf,digest-uri=u,response=d388dad90d4bbd760a152321f2143af7" };
	struct arena *a = arena_new(0);
	struct digest_answer x;
	struct sv last;
	char *block;

	assert_true(digest_read(a, exact(sv_cstr(good), &block), &x));
	free(block);
	assert_true(sv_eqs(x.user, "chris") && sv_eqs(x.realm, "elwood.innosoft.com"));
	assert_true(digest_uri_is(x.uri, SV_LIT("imap"), SV_LIT("ELWOOD.innosoft.com")));
	assert_false(digest_uri_is(x.uri, SV_LIT("smtp"), SV_LIT("elwood.innosoft.com")));
	assert_true(digest_proves(a, &x, SV_LIT("secret"), &last));
	assert_true(sv_eqs(last, "rspauth=ea40f60335c427b5527b84dbabcdfffd"));
	assert_false(digest_proves(a, &x, SV_LIT("Secret"), &last));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(digest_read(a, exact(sv_cstr(bad[i]), &block), &x));
		free(block);
	}
	arena_free(&a);
}

/* [MS-NLMP] 4.2.2.2.1: the answer of version 1 to 0123456789abcdef for "Password"; 4.2.4.2.2 that of version 2. */
static void
test_ntlm(void **state)
{
	static const unsigned char challenge[NTLM_CHALLENGE] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };
	static const char v1[] = "67c43011f30298a2ad35ece64f16331c44bdbed927841f94", v2[] = "68cd0ab851e51c96aabc927bebef6a1c"
	    "01010000000000000000000000000000aaaaaaaaaaaaaaaa0000000002000c0044006f006d00610069006e0001000c0053006500720076006500720000000000"
	    "00000000";
	struct sb raw = SB_INIT(1024), msg = SB_INIT(4096);
	unsigned char got[NTLM_CHALLENGE];
	struct arena *a = arena_new(0);
	struct ntlm_answer x = { .user = SV_LIT("User"), .domain = SV_LIT("Domain") };
	char *block;

	assert_true(hex_decode(&raw, sv_cstr(v1)));
	x.nt = sb_sv(&raw);
	assert_true(ntlm_proves(&x, challenge, SV_LIT("Password")));
	assert_false(ntlm_proves(&x, challenge, SV_LIT("password")));
	sb_clear(&raw);
	assert_true(hex_decode(&raw, sv_cstr(v2)));
	x.nt = sb_sv(&raw);
	assert_true(ntlm_proves(&x, challenge, SV_LIT("Password")));
	x.domain = SV_LIT("other");
	assert_false(ntlm_proves(&x, challenge, SV_LIT("Password")));
	/* The messages of both sides, each byte missing once. */
	ntlm_first(&msg, SV_LIT("DOM"), SV_LIT("host"));
	assert_true(ntlm_is_first(sb_sv(&msg)));
	sb_clear(&msg);
	ntlm_challenge(&msg, challenge, SV_LIT("mail.test"));
	assert_true(ntlm_read_challenge(sb_sv(&msg), got));
	assert_memory_equal(got, challenge, sizeof(got));
	assert_false(ntlm_is_first(sb_sv(&msg)));
	sb_clear(&msg);
	assert_true(ntlm_last(&msg, challenge, SV_LIT("D\xc3\xb6m"), SV_LIT("us\xf0\x9f\x98\x80" "er"), SV_LIT("Password")));
	assert_true(ntlm_read_last(sb_sv(&msg), a, &x));
	assert_true(sv_eqs(x.user, "us\xf0\x9f\x98\x80" "er") && sv_eqs(x.domain, "D\xc3\xb6m"));
	assert_true(ntlm_proves(&x, challenge, SV_LIT("Password")));
	for (size_t n = 0; n < msg.len; n++) {
		struct sv cut = exact(sv_sub(sb_sv(&msg), 0, n), &block);

		assert_false(ntlm_read_last(cut, a, &x));
		assert_false(ntlm_read_challenge(cut, got));
		free(block);
	}
	sb_free(&raw);
	sb_free(&msg);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cram), cmocka_unit_test(test_scram), cmocka_unit_test(test_scram_binding),
		cmocka_unit_test(test_digest), cmocka_unit_test(test_ntlm),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
