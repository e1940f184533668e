/* SPDX-License-Identifier: BSD-2-Clause */
/* Priority strings of GnuTLS: what is left of OpenSSL's ciphers and versions, and which words are told of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/sb.h"
#include "io/stream_int.h"
#include "io/tls.h"

static bool
offers(SSL_CTX *ctx, const char *name)
{
	STACK_OF(SSL_CIPHER) *v = SSL_CTX_get_ciphers(ctx);

	for (int i = 0; i < sk_SSL_CIPHER_num(v); i++)
		if (strcmp(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(v, i)), name) == 0)
			return (true);
	return (false);
}

#define GCM128	"ECDHE-RSA-AES128-GCM-SHA256"
#define GCM256	"ECDHE-RSA-AES256-GCM-SHA384"
#define RSA128	"AES128-GCM-SHA256"
#define CBC	"ECDHE-RSA-AES256-SHA"
#define DHE	"DHE-RSA-AES256-GCM-SHA384"
#define T128	"TLS_AES_128_GCM_SHA256"
#define T256	"TLS_AES_256_GCM_SHA384"

static void
test_strings(void **state)
{
	/* <yes> and <no>: names with blanks between; versions 0: any. */
	static const struct { const char *text, *yes, *no; int min, max; } e[] = {
		{ "NORMAL", GCM128 " " GCM256 " " RSA128 " " CBC " " DHE " " T128 " " T256, "CAMELLIA256-SHA AECDH-AES256-SHA NULL-SHA256 "
		    "AES128-SHA256 ECDHE-RSA-AES256-SHA384 AES128-CCM8", 0, 0 },
		{ "LEGACY", GCM128 " " CBC, "CAMELLIA256-SHA", 0, 0 },
		{ "@SYSTEM", GCM128, "", 0, 0 },
		{ "PFS", GCM128 " " DHE " " T128, RSA128 " AES256-SHA", 0, 0 },
		{ "SECURE128:-VERS-TLS1.0:-VERS-TLS1.1:%SERVER_PRECEDENCE", GCM128 " " T128, "", 0, 0 },
		{ "SECURE192", GCM256 " " T256 " ECDHE-RSA-CHACHA20-POLY1305", GCM128 " " T128 " " CBC, 0, 0 },
		{ "SECURE256:-KX-ALL:+ECDHE-RSA", GCM256 " " T256, DHE " AES256-GCM-SHA384", 0, 0 },
		{ "SUITEB128", "ECDHE-ECDSA-AES128-GCM-SHA256 " T128, GCM128, 0, 0 },
		{ "NORMAL:-VERS-ALL:+VERS-TLS1.2", GCM128, "", TLS1_2_VERSION, TLS1_2_VERSION },
		{ "NORMAL:-VERS-TLS-ALL:+VERS-TLS1.3", T128, "", TLS1_3_VERSION, TLS1_3_VERSION },
		{ "NORMAL:!VERS-TLS1.2", T128, "", TLS1_3_VERSION, TLS1_3_VERSION },
		{ "NORMAL:-AES-128-CBC:-AES-256-CBC", GCM128, CBC " AES128-SHA ECDHE-RSA-AES128-SHA256", 0, 0 },
		{ "NORMAL:-SHA1", GCM128, CBC, 0, 0 },
		{ "NORMAL:+SHA384", CBC " ECDHE-RSA-AES256-SHA384", "AES128-SHA256", 0, 0 },
		{ "NORMAL:-MAC-ALL:+SHA256", "AES128-SHA256", GCM128 " " CBC, TLS1_2_VERSION, TLS1_2_VERSION },
		{ "SECURE256:+MAC-ALL", GCM256 " " CBC, "ECDHE-RSA-AES256-SHA384", 0, 0 },
		{ "NORMAL:+CIPHER-ALL", GCM128, "CAMELLIA256-SHA", 0, 0 },
		{ "NORMAL:-RSA:-DHE-RSA", GCM128, RSA128 " " DHE, 0, 0 },
		{ "NORMAL:+CAMELLIA-256-CBC:+RSA", "CAMELLIA256-SHA", "CAMELLIA128-SHA", 0, 0 },
		{ "NORMAL:-CIPHER-ALL:+AES-128-GCM", GCM128 " " T128, GCM256 " " T256 " " CBC, 0, 0 },
		{ "NONE:+VERS-TLS1.2:+AES-128-GCM:+ECDHE-RSA:+AEAD:+SIGN-ALL:+COMP-NULL:+GROUP-ALL:+CTYPE-OPENPGP", GCM128, GCM256 " " DHE " " RSA128,
		    TLS1_2_VERSION, TLS1_2_VERSION },
		{ "NORMAL:-GROUP-ALL:+GROUP-SECP256R1:+CURVE-X25519", GCM128, "", 0, 0 },
		{ "NORMAL:%COMPAT:%NO_TICKETS:%PROFILE_MEDIUM:-SIGN-RSA-SHA1:%LATEST_RECORD_VERSION", GCM128, "", 0, 0 },
		{ "NORMAL:+VERS-TLS1.0:+ARCFOUR-128:+3DES-CBC:-MD5", GCM128, "", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(e) / sizeof(e[0]); i++) {
		SSL_CTX *ctx = SSL_CTX_new(TLS_method());
		struct sv rest = sv_cstr(e[i].yes), name;
		struct err err = ERR_INIT;
		char buf[80];

		if (tls_params_ciphers(ctx, e[i].text, &err) == -1)
			fail_msg("%s: %s", e[i].text, err.text);
		for (bool want = true; ; want = false, rest = sv_cstr(e[i].no)) {
			while (sv_word(&rest, &name)) {
				assert_true(sv_cpy(buf, sizeof(buf), name));
				if (offers(ctx, buf) != want)
					fail_msg("%s: %s %s", e[i].text, buf, want ? "is missing" : "is offered");
			}
			if (!want)
				break;
		}
		if (e[i].min != 0) {
			assert_int_equal(SSL_CTX_get_min_proto_version(ctx), e[i].min);
			assert_int_equal(SSL_CTX_get_max_proto_version(ctx), e[i].max);
		}
		SSL_CTX_free(ctx);
	}
}

/* A client that knows <group> alone comes to terms with a server of <text>. */
static bool
agree(const char *text, const char *group)
{
	SSL_CTX *ctx[2] = { SSL_CTX_new(TLS_client_method()), SSL_CTX_new(TLS_server_method()) };
	struct err err = ERR_INIT;
	BIO *bio[2];
	SSL *ssl[2];
	bool done;

	assert_int_equal(SSL_CTX_set1_groups_list(ctx[0], group), 1);
	assert_int_equal(tls_params_self_signed(ctx[1], "host.test", &err), 0);
	assert_int_equal(tls_params_ciphers(ctx[1], text, &err), 0);
	assert_int_equal(BIO_new_bio_pair(&bio[0], 16384, &bio[1], 16384), 1);
	for (int i = 0; i < 2; i++) {
		ssl[i] = SSL_new(ctx[i]);
		SSL_set_bio(ssl[i], bio[i], bio[i]);
	}
	SSL_set_connect_state(ssl[0]);
	SSL_set_accept_state(ssl[1]);
	for (int i = 0; i < 20; i++)
		(void)SSL_do_handshake(ssl[i % 2]);
	done = SSL_is_init_finished(ssl[0]) && SSL_is_init_finished(ssl[1]);
	for (int i = 0; i < 2; i++) {
		SSL_free(ssl[i]);
		SSL_CTX_free(ctx[i]);
	}
	return (done);
}

static void
test_groups(void **state)
{
	(void)state;
	assert_true(agree("NORMAL", "X25519"));
	assert_true(agree("SECURE256", "P-384"));
	assert_false(agree("SECURE256:-VERS-ALL:+VERS-TLS1.3", "X25519"));
	assert_true(agree("SECURE256:-VERS-ALL:+VERS-TLS1.3:+GROUP-X25519", "X25519"));
	assert_false(agree("NORMAL:-VERS-ALL:+VERS-TLS1.3:-CURVE-ALL:+CURVE-SECP384R1", "ffdhe2048"));
}

static void
test_wrong(void **state)
{
	static const char *const texts[] = {
		"NORMAL:-VERS-ALL", "NORMAL:-VERS-ALL:+VERS-TLS1.1", "NONE", "NORMAL:+NO-SUCH-WORD", "SECURE128:%WHATEVER", "NORMAL:-CIPHER-ALL",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		SSL_CTX *ctx = SSL_CTX_new(TLS_method());
		struct err err = ERR_INIT;

		if (tls_params_ciphers(ctx, texts[i], &err) == 0)
			fail_msg("%s is taken", texts[i]);
		assert_int_equal(err.cls, ERR_CONFIG);
		SSL_CTX_free(ctx);
	}
}

static void
tell(void *arg, struct sv word, bool known)
{
	sb_addf(arg, "%s" SV_FMT " ", known ? "" : "?", SV_ARG(word));
}

static void
test_told(void **state)
{
	static const struct { const char *text, *want; } e[] = {
		{ "NORMAL:-VERS-TLS1.0:%COMPAT", "" }, { "NORMAL:+VERS-TLS1.0:+ARCFOUR-128", "+VERS-TLS1.0 +ARCFOUR-128 " },
		{ "PFS:+FOO:-BAR:%UNSAFE_RENEGOTIATION", "?+FOO ?-BAR %UNSAFE_RENEGOTIATION " }, { "HIGH:!aNULL:+FOO", "" }, { "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(e) / sizeof(e[0]); i++) {
		struct sb out = SB_INIT(1000);

		tls_priorities_check(sv_cstr(e[i].text), tell, &out);
		assert_string_equal(sb_cstr(&out), e[i].want);
		sb_free(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_strings), cmocka_unit_test(test_groups), cmocka_unit_test(test_wrong), cmocka_unit_test(test_told) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
