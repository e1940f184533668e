/* SPDX-License-Identifier: BSD-2-Clause */
/* Replies: reading, EHLO, status codes, writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/reply.h"

static enum smtp_reply_state
take(struct smtp_reply *r, const char *text, struct err *err)
{
	struct sv all = sv_cstr(text), line;
	enum smtp_reply_state st = SMTP_REPLY_MORE;

	while (st == SMTP_REPLY_MORE && sv_next(&all, '\n', &line)) {
		char *block;

		if (line.len == 0)
			break;
		block = malloc(line.len + 1);
		memcpy(block, line.p, line.len);
		block[line.len] = '\n';
		st = smtp_reply_line(r, sv_from(block, line.len + 1), err);
		free(block);
	}
	return (st);
}

static void
test_read(void **state)
{
	static const struct {
		const char	*in;
		enum smtp_reply_state st;
		unsigned	 code;
		const char	*status, *text;
	} cases[] = {
		{ "250 OK\r\n", SMTP_REPLY_DONE, 250, "", "OK" },
		{ "250\r\n", SMTP_REPLY_DONE, 250, "", "" },
		{ "250-2.1.0 one\r\n250 2.1.0 two\r\n", SMTP_REPLY_DONE, 250, "2.1.0", "2.1.0 one\n2.1.0 two" },
		{ "550 5.1.1 no\tsuch\001user\r\n", SMTP_REPLY_DONE, 550, "5.1.1", "5.1.1 no such?user" },
		{ "550 4.1.1 odd\r\n", SMTP_REPLY_DONE, 550, "", "4.1.1 odd" },
		{ "250-a\r\n251 b\r\n", SMTP_REPLY_BAD, 0, "", "" },
		{ "650 x\r\n", SMTP_REPLY_BAD, 0, "", "" },
		{ "25\r\n", SMTP_REPLY_BAD, 0, "", "" },
		{ "250x\r\n", SMTP_REPLY_BAD, 0, "", "" },
		{ "HTTP/1.1 400 Bad Request\r\n", SMTP_REPLY_BAD, 0, "", "" },
		{ "250-more\r\n", SMTP_REPLY_MORE, 250, "", "more" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = ERR_INIT;
		struct smtp_reply r;

		smtp_reply_init(&r);
		assert_int_equal(take(&r, cases[i].in, &err), cases[i].st);
		if (cases[i].st != SMTP_REPLY_BAD) {
			assert_int_equal(r.code, cases[i].code);
			assert_string_equal(r.status, cases[i].status);
			assert_string_equal(sb_cstr(&r.text), cases[i].text);
		} else {
			assert_int_equal(err.cls, ERR_TEMP);
		}
		smtp_reply_free(&r);
	}
}

static void
test_limits(void **state)
{
	struct err err = ERR_INIT;
	struct smtp_reply r;
	unsigned n = 0;

	smtp_reply_init(&r);
	while (smtp_reply_line(&r, SV_LIT("250-again\r\n"), &err) == SMTP_REPLY_MORE)
		n++;
	assert_int_equal(n, SMTP_REPLY_LINES_MAX);
	smtp_reply_reset(&r);
	assert_int_equal(smtp_reply_line(&r, SV_LIT("451 4.7.1 later\r\n"), &err), SMTP_REPLY_DONE);
	assert_int_equal(smtp_reply_err(&r, &err), -1);
	assert_int_equal(err.cls, ERR_TEMP);
	assert_string_equal(err.status, "4.7.1");
	assert_string_equal(err.text, "451 4.7.1 later");
	smtp_reply_reset(&r);
	assert_int_equal(smtp_reply_line(&r, SV_LIT("550 gone\r\n"), &err), SMTP_REPLY_DONE);
	(void)smtp_reply_err(&r, &err);
	assert_int_equal(err.cls, ERR_PERM);
	assert_string_equal(err.status, "5.0.0");
	smtp_reply_free(&r);
}

static void
test_ehlo(void **state)
{
	struct err err = ERR_INIT;
	struct smtp_reply r;
	struct smtp_ehlo e;

	smtp_reply_init(&r);
	assert_int_equal(take(&r, "250-mx.example.test Hello\r\n250-SIZE 1000\r\n250-size\r\n250-AUTH PLAIN login\r\n"
	    "250-AUTH=CRAM-MD5\r\n250-8bitmime\r\n250-XYZ\r\n250 STARTTLS\r\n", &err), SMTP_REPLY_DONE);
	smtp_ehlo_parse(&e, &r);
	assert_string_equal(e.name, "mx.example.test");
	assert_int_equal(e.size, 1000);
	assert_string_equal(e.auth, "PLAIN LOGIN CRAM-MD5");
	assert_int_equal(e.ext, SMTP_EXT_SIZE | SMTP_EXT_AUTH | SMTP_EXT_8BITMIME | SMTP_EXT_STARTTLS);
	smtp_reply_reset(&r);
	assert_int_equal(take(&r, "250-mx\r\n250 XXXXXXXA\r\n", &err), SMTP_REPLY_DONE);
	smtp_ehlo_parse(&e, &r);
	assert_int_equal(e.ext, SMTP_EXT_GARBLED);
	smtp_reply_free(&r);
}

static void
test_status(void **state)
{
	static const struct { const char *in; char class; const char *status, *rest; } cases[] = {
		{ "5.1.1 no", 0, "5.1.1", "no" },
		{ "5.1.1", '5', "5.1.1", "" },
		{ "5.1.1 no", '4', NULL, NULL },
		{ "5.999.999 x", 0, "5.999.999", "x" },
		{ "5.1234.1 x", 0, NULL, NULL },
		{ "3.1.1 x", 0, NULL, NULL },
		{ "5.1 x", 0, NULL, NULL },
		{ "5.1.", 0, NULL, NULL },
		{ "5.1.1x", 0, NULL, NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char status[SMTP_STATUS_MAX];
		struct sv rest;
		bool ok = smtp_status_split(sv_cstr(cases[i].in), cases[i].class, status, &rest);

		assert_int_equal(ok, cases[i].status != NULL);
		if (ok) {
			assert_string_equal(status, cases[i].status);
			assert_true(sv_eqs(rest, cases[i].rest));
		}
	}
}

static void
test_put(void **state)
{
	static const struct { unsigned code; const char *status, *text, *out; } cases[] = {
		{ 250, "2.0.0", "OK", "250 2.0.0 OK\r\n" },
		{ 250, NULL, "", "250 \r\n" },
		{ 354, "", "go", "354 go\r\n" },
		{ 220, NULL, "a\nb\n", "220-a\r\n220 b\r\n" },
		{ 550, "5.7.1", "a\n\nb", "550-5.7.1 a\r\n550-5.7.1\r\n550 5.7.1 b\r\n" },
		{ 550, "5.7.1", "bell\a and\rcr", "550 5.7.1 bell? andcr\r\n" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sb out = SB_INIT(10000);

		smtp_reply_put(&out, cases[i].code, cases[i].status, sv_cstr(cases[i].text));
		assert_string_equal(sb_cstr(&out), cases[i].out);
		sb_free(&out);
	}
}

static void
test_put_long(void **state)
{
	struct sb text = SB_INIT(10000), out = SB_INIT(20000);
	struct sv all, line;
	size_t letters = 0;

	for (int i = 0; i < 400; i++)
		sb_adds(&text, i % 40 == 39 ? "word " : "\xc3\xa4");
	for (int i = 0; i < 2000; i++)
		sb_adds(&text, "x");
	smtp_reply_put(&out, 451, "4.3.0", sb_sv(&text));
	all = sb_sv(&out);
	while (sv_next(&all, '\n', &line)) {
		if (line.len == 0)
			continue;
		assert_true(line.len <= 511);
		assert_true(sv_starts(line, all.len == 0 ? "451 4.3.0 " : "451-4.3.0 "));
		/* No character is cut in two. */
		assert_true(((unsigned char)line.p[10] & 0xc0) != 0x80);
		for (size_t i = 0; i < line.len; i++)
			letters += line.p[i] == 'x';
	}
	assert_int_equal(letters, 2000);
	sb_free(&text);
	sb_free(&out);
}

static void
test_override(void **state)
{
	static const struct { const char *text; unsigned code; const char *status, *rest; unsigned newcode; } cases[] = {
		{ "no", 550, "5.7.1", "no", 550 },
		{ "552 5.2.2 full", 550, "5.2.2", "full", 552 },
		{ "450 later", 550, "5.7.1", "450 later", 550 },
		{ "5.1.1 unknown", 550, "5.1.1", "unknown", 550 },
		{ "4.1.1 unknown", 550, "5.7.1", "4.1.1 unknown", 550 },
		{ "5521 x", 550, "5.7.1", "5521 x", 550 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char status[SMTP_STATUS_MAX] = "5.7.1";
		struct sv text = sv_cstr(cases[i].text);
		unsigned code = cases[i].code;

		smtp_reply_override(&text, &code, status);
		assert_int_equal(code, cases[i].newcode);
		assert_string_equal(status, cases[i].status);
		assert_true(sv_eqs(text, cases[i].rest));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_ehlo),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_put_long),
		cmocka_unit_test(test_override),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
