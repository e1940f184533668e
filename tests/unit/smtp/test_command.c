/* SPDX-License-Identifier: BSD-2-Clause */
/* Command lines: verbs, addresses, parameters, and what is answered to mistakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "smtp/command.h"

#define ALL	(SMTP_PARSE_ESMTP | SMTP_PARSE_DSN | SMTP_PARSE_UTF8 | SMTP_PARSE_8BIT | SMTP_PARSE_SIZE | SMTP_PARSE_AUTH)

static unsigned
parse(const char *text, unsigned flags, struct arena *a, struct smtp_command *c, struct err *err)
{
	size_t n = strlen(text);
	char *block = arena_alloc(a, n + 1);
	char *exact = malloc(n == 0 ? 1 : n);
	unsigned code;

	/* Parsed once in an exact block for the sanitizers, once where its slices stay. */
	memcpy(exact, text, n);
	(void)smtp_command_parse(sv_from(exact, n), flags, a, c, err);
	free(exact);
	err_clear(err);
	memcpy(block, text, n);
	code = smtp_command_parse(sv_from(block, n), flags, a, c, err);
	return (code);
}

static void
test_verbs(void **state)
{
	static const struct { const char *in; enum smtp_verb verb; unsigned code; const char *arg; } cases[] = {
		{ "EHLO a.b\r\n", SMTP_EHLO, 0, "a.b" },
		{ "helo  x \r\n", SMTP_HELO, 0, "x" },
		{ "LHLO [1.2.3.4]\r\n", SMTP_LHLO, 0, "[1.2.3.4]" },
		{ "DATA\r\n", SMTP_DATA, 0, "" },
		{ "DATA x\r\n", SMTP_DATA, 501, "x" },
		{ "quit now\r\n", SMTP_QUIT, 501, "now" },
		{ "NOOP what ever\r\n", SMTP_NOOP, 0, "what ever" },
		{ "RSET\n", SMTP_RSET, 0, "" },
		{ "VRFY <a@b>\r\n", SMTP_VRFY, 0, "<a@b>" },
		{ "EXPN list\r\n", SMTP_EXPN, 0, "list" },
		{ "ETRN #x\r\n", SMTP_ETRN, 0, "#x" },
		{ "HELP MAIL\r\n", SMTP_HELP, 0, "MAIL" },
		{ "STARTTLS\r\n", SMTP_STARTTLS, 0, "" },
		{ "STARTTLS now\r\n", SMTP_STARTTLS, 501, "now" },
		{ "BOGUS x\r\n", SMTP_UNKNOWN, 0, "x" },
		{ "MAILX FROM:<a@b>\r\n", SMTP_UNKNOWN, 0, "FROM:<a@b>" },
		{ "GET / HTTP/1.1\r\n", SMTP_UNKNOWN, 0, "/ HTTP/1.1" },
		{ "DATA-x\r\n", SMTP_UNKNOWN, 0, "-x" },
		{ "\r\n", SMTP_UNKNOWN, 0, "" },
		{ "", SMTP_UNKNOWN, 0, "" },
		{ "BDAT 100\r\n", SMTP_BDAT, 0, "100" },
		{ "BDAT 100 LAST\r\n", SMTP_BDAT, 0, "100 LAST" },
		{ "BDAT\r\n", SMTP_BDAT, 501, "" },
		{ "BDAT -1\r\n", SMTP_BDAT, 501, "-1" },
		{ "BDAT 99999999999999999999999\r\n", SMTP_BDAT, 501, "99999999999999999999999" },
		{ "BDAT 1 LAST X\r\n", SMTP_BDAT, 501, "1 LAST X" },
		{ "BDAT 1 FIRST\r\n", SMTP_BDAT, 501, "1 FIRST" },
		{ "AUTH\r\n", SMTP_AUTH, 501, "" },
		{ "AUTH PLAIN\r\n", SMTP_AUTH, 0, "PLAIN" },
		{ "AUTH PLAIN =\r\n", SMTP_AUTH, 0, "PLAIN =" },
		{ "AUTH PL*IN\r\n", SMTP_AUTH, 501, "PL*IN" },
		{ "AUTH PLAIN a b\r\n", SMTP_AUTH, 501, "PLAIN a b" },
	};
	struct arena *a = arena_new(0);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = ERR_INIT;
		struct smtp_command c;
		unsigned code = parse(cases[i].in, ALL, a, &c, &err);

		if (code != cases[i].code || c.verb != cases[i].verb || !sv_eqs(c.arg, cases[i].arg))
			print_error("case %zu: %s: %u %s\n", i, cases[i].in, code, err.text);
		assert_int_equal(code, cases[i].code);
		assert_int_equal(c.verb, cases[i].verb);
		assert_true(sv_eqs(c.arg, cases[i].arg));
		if (code != 0)
			assert_true(err.text[0] != '\0' && err.status[0] == '5');
	}
	arena_free(&a);
}

static void
test_nul(void **state)
{
	struct arena *a = arena_new(0);
	struct err err = ERR_INIT;
	struct smtp_command c;

	assert_int_equal(smtp_command_parse(sv_from("NO\0OP\r\n", 7), ALL, a, &c, &err), 501);
	assert_string_equal(err.text, "NUL characters are not allowed in SMTP commands");
	arena_free(&a);
}

static void
test_paths(void **state)
{
	static const struct { const char *in; unsigned code; const char *local, *domain; } cases[] = {
		{ "MAIL FROM:<a@b.test>", 0, "a", "b.test" },
		{ "mail from:<a@b.test>", 0, "a", "b.test" },
		{ "MAIL FROM: <a@b.test>", 0, "a", "b.test" },
		{ "MAIL FROM :<a@b.test>", 0, "a", "b.test" },
		{ "MAIL FROM:a@b.test", 0, "a", "b.test" },
		{ "MAIL FROM:<>", 0, "", "" },
		{ "MAIL FROM:", 501, NULL, NULL },
		{ "MAIL FROM", 500, NULL, NULL },
		{ "MAIL", 500, NULL, NULL },
		{ "MAIL TO:<a@b>", 500, NULL, NULL },
		{ "MAIL FROM:<a@b.test", 501, NULL, NULL },
		{ "MAIL FROM:<a b@b.test>", 501, NULL, NULL },
		{ "MAIL FROM:<a@b..test>", 501, NULL, NULL },
		{ "RCPT TO:<>", 0, "", "" },
		{ "RCPT TO:<\"a b\"@c.test>", 0, "\"a b\"", "c.test" },
		{ "RCPT TO:<\"a>b\"@c.test> NOTIFY=NEVER", 0, "\"a>b\"", "c.test" },
		{ "RCPT TO:<@x.test,@y.test:a@c.test>", 0, "a", "c.test" },
		{ "RCPT TO:<a%b@c.test>", 0, "a%b", "c.test" },
		{ "RCPT TO:<a@[192.0.2.1]>", 0, "a", "[192.0.2.1]" },
		{ "RCPT TO:<postmaster>", 0, "postmaster", "" },
		{ "RCPT TO:<a@c.test>trailing", 501, NULL, NULL },
		{ "RCPT TO:<a@c.test> JUNK=1", 555, NULL, NULL },
		{ "RCPT TO:<a@c.test> JUNK", 501, NULL, NULL },
	};
	struct arena *a = arena_new(0);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = ERR_INIT;
		struct smtp_command c;
		unsigned code = parse(cases[i].in, ALL, a, &c, &err);

		if (code != cases[i].code)
			print_error("case %zu: %s: %u %s\n", i, cases[i].in, code, err.text);
		assert_int_equal(code, cases[i].code);
		if (code == 0) {
			assert_true(sv_eqs(c.path.local, cases[i].local));
			assert_true(sv_eqs(c.path.domain, cases[i].domain));
		}
	}
	arena_free(&a);
}

static void
test_mail_parameters(void **state)
{
	struct arena *a = arena_new(0);
	struct err err = ERR_INIT;
	struct smtp_command c;

	assert_int_equal(parse("MAIL FROM:<a@b.test> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=x+40y\r\n", ALL,
	    a, &c, &err), 0);
	assert_int_equal(c.size, 1000);
	assert_int_equal(c.body, SMTP_BODY_8BITMIME);
	assert_true(c.smtputf8);
	assert_int_equal(c.ret, SMTP_RET_HDRS);
	assert_true(sv_eqs(c.envid, "a+b"));
	assert_true(sv_eqs(c.auth, "x@y"));
	assert_int_equal(parse("MAIL FROM:<a@b.test>\r\n", ALL, a, &c, &err), 0);
	assert_int_equal(c.size, -1);
	assert_null(c.envid.p);
	assert_int_equal(parse("MAIL FROM:<a@b.test> SIZE=99999999999999999999\r\n", ALL, a, &c, &err), 0);
	assert_int_equal(c.size, INT64_MAX);
	assert_int_equal(parse("MAIL FROM:<a@b.test> AUTH=<>\r\n", ALL, a, &c, &err), 0);
	assert_true(c.has_auth && c.auth.len == 0);
	assert_int_equal(parse("MAIL FROM:<\xc3\xa4@b.test> SMTPUTF8\r\n", ALL, a, &c, &err), 0);
	assert_int_equal(parse("MAIL FROM:<\xc3\xa4@b.test>\r\n", ALL, a, &c, &err), 550);
	assert_string_equal(err.status, "5.6.7");
	arena_free(&a);
}

static void
test_bad_parameters(void **state)
{
	static const char *const bad[] = {
		"MAIL FROM:<a@b.test> SIZE=abc", "MAIL FROM:<a@b.test> SIZE", "MAIL FROM:<a@b.test> SIZE=",
		"MAIL FROM:<a@b.test> BODY=9BIT", "MAIL FROM:<a@b.test> BODY=BINARYMIME", "MAIL FROM:<a@b.test> RET=ALL",
		"MAIL FROM:<a@b.test> RET=FULL RET=HDRS", "MAIL FROM:<a@b.test> ENVID=a+b", "MAIL FROM:<a@b.test> ENVID=a+0Ab",
		"MAIL FROM:<a@b.test> ENVID=a=b", "MAIL FROM:<a@b.test> SMTPUTF8=1", "RCPT TO:<a@b.test> NOTIFY=NEVER,DELAY",
		"RCPT TO:<a@b.test> NOTIFY=", "RCPT TO:<a@b.test> NOTIFY=X", "RCPT TO:<a@b.test> ORCPT=a@b",
		"RCPT TO:<a@b.test> ORCPT=rfc822;", "RCPT TO:<a@b.test> SIZE=1",
	};
	struct arena *a = arena_new(0);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;
		struct smtp_command c;
		unsigned code = parse(bad[i], ALL, a, &c, &err);

		if (code != 501 && code != 555)
			print_error("%s: %u\n", bad[i], code);
		assert_true(code == 501 || code == 555);
		assert_string_equal(err.status, "5.5.4");
		/* After HELO no parameter is known. */
		assert_int_equal(parse(bad[i], 0, a, &c, &err), 501);
	}
	arena_free(&a);
}

static void
test_rcpt_parameters(void **state)
{
	struct arena *a = arena_new(0);
	struct err err = ERR_INIT;
	struct smtp_command c;

	assert_int_equal(parse("RCPT TO:<a@b.test> NOTIFY=success,DELAY ORCPT=rfc822;A+40b.test\r\n", ALL, a, &c, &err), 0);
	assert_int_equal(c.notify, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY);
	assert_true(sv_eqs(c.orcpt, "rfc822;A@b.test"));
	assert_int_equal(parse("RCPT TO:<a@b.test> NOTIFY=NEVER\r\n", ALL, a, &c, &err), 0);
	assert_int_equal(c.notify, SMTP_NOTIFY_NEVER);
	assert_null(c.orcpt.p);
	assert_int_equal(parse("RCPT TO:<a@b.test> NOTIFY=NEVER\r\n", ALL & ~(unsigned)SMTP_PARSE_DSN, a, &c, &err), 555);
	arena_free(&a);
}

static void
test_auth(void **state)
{
	struct arena *a = arena_new(0);
	struct err err = ERR_INIT;
	struct smtp_command c;

	assert_int_equal(parse("AUTH login\r\n", ALL, a, &c, &err), 0);
	assert_true(sv_eqs(c.mechanism, "login"));
	assert_null(c.initial.p);
	assert_int_equal(parse("AUTH PLAIN =\r\n", ALL, a, &c, &err), 0);
	assert_true(c.initial.p != NULL && c.initial.len == 0);
	assert_int_equal(parse("AUTH PLAIN AGEAYg==\r\n", ALL, a, &c, &err), 0);
	assert_true(sv_eqs(c.initial, "AGEAYg=="));
	arena_free(&a);
}

static void
test_helo(void **state)
{
	static const struct { const char *arg, *allow; bool ok; } cases[] = {
		{ "a.example.test", NULL, true }, { "-dash.example", NULL, true }, { "under_score", NULL, false },
		{ "under_score", "_", true }, { "a b", NULL, false }, { "", NULL, false }, { "[192.0.2.1]", NULL, true },
		{ "[IPv6:2001:db8::1]", NULL, true }, { "[2001:db8::1]", NULL, true }, { "[junk", NULL, false },
		{ "2001:db8::1", NULL, false }, { "192.0.2.1", NULL, true }, { "\xc3\xa4.test", NULL, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (smtp_helo_ok(sv_cstr(cases[i].arg), cases[i].allow) != cases[i].ok)
			print_error("case %zu\n", i);
		assert_int_equal(smtp_helo_ok(sv_cstr(cases[i].arg), cases[i].allow), cases[i].ok);
	}
}

static void
test_xtext(void **state)
{
	struct sb sb = SB_INIT(100);

	smtp_xtext_encode(&sb, SV_LIT("a+b=c d\xc3"));
	assert_string_equal(sb_cstr(&sb), "a+2Bb+3Dc+20d+C3");
	sb_clear(&sb);
	assert_true(smtp_xtext_decode(&sb, SV_LIT("a+2Bb+3Dc")));
	assert_string_equal(sb_cstr(&sb), "a+b=c");
	assert_false(smtp_xtext_decode(&sb, SV_LIT("a+2")));
	assert_false(smtp_xtext_decode(&sb, SV_LIT("a+zz")));
	assert_false(smtp_xtext_decode(&sb, SV_LIT("a b")));
	assert_string_equal(sb_cstr(&sb), "a+b=c");
	sb_free(&sb);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_mail_parameters),
		cmocka_unit_test(test_bad_parameters),
		cmocka_unit_test(test_rcpt_parameters),
		cmocka_unit_test(test_auth),
		cmocka_unit_test(test_helo),
		cmocka_unit_test(test_xtext),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
