/* SPDX-License-Identifier: BSD-2-Clause */
/* Header blocks, encoded words, edits, encodings, dates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mail/charset.h"
#include "mail/date.h"
#include "mail/encode.h"
#include "mail/header.h"
#include "mail/received.h"

static void
test_index(void **state)
{
	static const char text[] = "Received: a\r\n by b\r\nreceived : c\nno field here\r\nEmpty:\r\nX: y\r\n\r\nbody\r\n";
	struct arena *a = arena_new(0);
	struct mail_headers h;

	(void)state;
	mail_headers_parse(&h, a, sv_from(text, sizeof(text) - 1), 0);
	assert_int_equal(h.n, 5);
	assert_int_equal(h.malformed, 1);
	assert_true(h.empty_line && !h.truncated);
	assert_string_equal(text + h.body_start, "body\r\n");
	assert_int_equal(mail_received_count(&h), 2);
	assert_true(sv_eqs(h.v[0].body, " a\r\n by b"));
	assert_true(sv_eqs(mail_headers_get(&h, "empty"), "") && mail_headers_get(&h, "empty").p != NULL);
	assert_null(mail_headers_get(&h, "none").p);
	assert_int_equal(h.v[2].name.len, 0);
	assert_int_equal(h.fields_end, h.body_start - 2);
	/* As Exim receives mail: the first line that is no field starts the body. */
	mail_headers_parse(&h, a, sv_from(text, sizeof(text) - 1), MAIL_HEADERS_STOP);
	assert_int_equal(h.n, 2);
	assert_false(h.empty_line);
	assert_memory_equal(text + h.body_start, "no field", 8);
	mail_headers_parse(&h, a, SV_LIT("From joe Mon\nA: b\n\n"), MAIL_HEADERS_MBOX);
	assert_int_equal(h.n, 1);
	assert_int_equal(h.malformed, 0);
	arena_free(&a);
}

static void
test_edit(void **state)
{
	struct arena *a = arena_new(0);
	struct sb out = SB_INIT(4096);
	struct mail_headers h;
	struct mail_edit *e;

	(void)state;
	mail_headers_parse(&h, a, SV_LIT("A: 1\r\nB: 2\r\n 3\r\nbcc: x\r\nC: 4"), 0);
	e = mail_edit_new(a, &h);
	assert_int_equal(mail_edit_remove_name(e, "Bcc"), 1);
	mail_edit_replace(e, 0, SV_LIT("A: 9\r\n"));
	mail_edit_prepend(e, SV_LIT("P1: x\r\n"));
	mail_edit_prepend(e, SV_LIT("P2: x\r\n"));
	mail_edit_append(e, SV_LIT("Z: x\r\n"));
	mail_edit_write(e, &out);
	assert_string_equal(sb_cstr(&out), "P2: x\r\nP1: x\r\nA: 9\r\nB: 2\r\n 3\r\nC: 4\r\nZ: x\r\n");
	sb_free(&out);
	arena_free(&a);
}

static const struct {
	const char	*in, *out;
} words[] = {
	{ "plain", "plain" },
	{ " =?utf-8?q?a=C3=A4_b?=", "a\303\244 b" },
	{ "=?iso-8859-1?Q?=E4?= =?ISO-8859-1?q?=F6?= x", "\303\244\303\266 x" },
	{ "=?utf-8?B?w6Q=?=\r\n =?utf-8?B?w7Y=?=", "\303\244\303\266" },
	{ "=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "\303\244" },
	{ "=?utf-8*de?q?x?= y", "x y" },
	{ "=?x-unknown?q?x?=", "=?x-unknown?q?x?=" },
	{ "=?utf-8?x?x?= =?", "=?utf-8?x?x?= =?" },
	{ "caf\351", "caf\357\277\275" },
	{ "=?koi8-r?b?8NI=?=", "\320\237\321\200" },
	{ "=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "\346\227\245\346\234\254" },
	{ "a=?utf-8?q?b?=c", "abc" },
};

static void
test_words(void **state)
{
	struct arena *a = arena_new(0);

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct sv v = mail_header_text(a, sv_cstr(words[i].in));

		if (!sv_eqs(v, words[i].out))
			fail_msg("%s: " SV_FMT, words[i].in, SV_ARG(v));
	}
	arena_free(&a);
}

static void
test_encode_words(void **state)
{
	static const char long_text[] = "\303\244\303\266\303\274 und noch mehr Text, der nicht in eine Zeile passt, weil er so lang ist, "
	    "dass er mehrere W\303\266rter braucht";
	struct sb out = SB_INIT(65536), back = SB_INIT(65536);
	struct sv rest, line;

	(void)state;
	mail_header_encode(&out, SV_LIT("plain text"), 9);
	assert_string_equal(sb_cstr(&out), "plain text");
	sb_clear(&out);
	mail_header_encode(&out, sv_cstr(long_text), 9);
	mail_header_decode(&back, sb_sv(&out));
	assert_string_equal(sb_cstr(&back), long_text);
	rest = sb_sv(&out);
	while (sv_next(&rest, '\n', &line))
		assert_true(sv_trim(line).len <= 75);
	sb_clear(&out);
	mail_phrase_encode(&out, SV_LIT("Doe, \"J\""), 0);
	assert_string_equal(sb_cstr(&out), "\"Doe, \\\"J\\\"\"");
	sb_clear(&out);
	mail_header_put(&out, "Subject", SV_LIT("a\r\nInjected: b"));
	assert_string_equal(sb_cstr(&out), "Subject: a  Injected: b\r\n");
	sb_clear(&out);
	mail_header_put(&out, "X", SV_LIT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbb cc"));
	assert_string_equal(sb_cstr(&out),
	    "X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n bbbbbbbbbb cc\r\n");
	sb_free(&out);
	sb_free(&back);
}

static void
decode(enum mime_encoding e, const char *in, const char *want)
{
	struct sb out = SB_INIT(4096);
	struct mail_decoder d;

	/* Byte by byte: no piece may matter. */
	mail_decode_init(&d, e);
	for (size_t i = 0; in[i] != '\0'; i++)
		mail_decode(&d, sv_from(in + i, 1), &out);
	mail_decode_finish(&d, &out);
	assert_string_equal(sb_cstr(&out), want);
	sb_free(&out);
}

static void
test_encodings(void **state)
{
	struct sb out = SB_INIT(4096);

	(void)state;
	decode(MIME_BASE64, "aGVs\r\nbG8=", "hello");
	decode(MIME_BASE64, "aGVsbG8=!d29ybGQ=", "helloworld");
	decode(MIME_QP, "a=3Db =\r\nc=e4", "a=b c\344");
	decode(MIME_QP, "trailing  \r\nx=zz= \ny=", "trailing\r\nx=zzy");
	decode(MIME_QP, "=4", "=4");
	decode(MIME_8BIT, "as it is=3D", "as it is=3D");
	assert_int_equal(mail_encoding_from_text(SV_LIT(" Base64 ")), MIME_BASE64);
	assert_int_equal(mail_encoding_from_text(SV_LIT("x-uuencode")), MIME_ENC_OTHER);
	mail_qp_encode(&out, SV_LIT("From a=b \n.\n"));
	assert_string_equal(sb_cstr(&out), "=46rom a=3Db=20\r\n=2E\r\n");
	sb_clear(&out);
	mail_xtext_encode(&out, SV_LIT("a+b =c"));
	assert_string_equal(sb_cstr(&out), "a+2Bb+20+3Dc");
	sb_clear(&out);
	assert_true(mail_xtext_decode(&out, SV_LIT("a+2Bb")));
	assert_string_equal(sb_cstr(&out), "a+b");
	assert_false(mail_xtext_decode(&out, SV_LIT("a+2")));
	assert_false(mail_xtext_decode(&out, SV_LIT("a=b")));
	sb_clear(&out);
	mail_utf8_fold(&out, SV_LIT("STRASSE \303\204"));
	assert_string_equal(sb_cstr(&out), "strasse a\314\210");
	sb_clear(&out);
	assert_false(mail_charset_to_utf8(&out, SV_LIT("x-none"), SV_LIT("a")));
	assert_false(mail_charset_to_utf8(&out, SV_LIT("utf-16//IGNORE"), SV_LIT("a")));
	assert_false(mail_charset_from_utf8(&out, SV_LIT("us-ascii"), SV_LIT("\303\244")));
	assert_true(mail_charset_from_utf8(&out, SV_LIT("iso-8859-15"), SV_LIT("\303\244")));
	assert_string_equal(sb_cstr(&out), "\344");
	sb_free(&out);
}

static const struct {
	const char	*in;
	int64_t		 utc;		/* -1: refused */
	int		 zone;
} dates[] = {
	{ "Tue, 1 Jul 2003 10:52:37 +0200", 1057049557, 120 },
	{ "1 Jul 2003 10:52:37 +0200 (CEST)", 1057049557, 120 },
	{ "Tue,  1-Jul-03 08:52:37 GMT", 1057049557, 0 },
	{ "Tue Jul  1 08:52:37 2003", 1057049557, 0 },
	{ "2003-07-01 08:52:37Z", 1057049557, 0 },
	{ "Tue, 1 Jul 2003 (a (nested) one) 10:52:37 +02:00", 1057049557, 120 },
	{ "Tue, 01 Jul 2003 08:52 EST", 1057067520, -300 },
	{ "29 Feb 2000 00:00:00 +0000", 951782400, 0 },
	{ "29 Feb 2001 00:00:00 +0000", -1, 0 },
	{ "1 Jul 2003 25:00:00", -1, 0 },
	{ "1 Foo 2003 10:00:00", -1, 0 },
	{ "", -1, 0 },
	{ "Thu, 1 Jan 1970 00:00:60 -0000", 60, 0 },
};

static void
test_dates(void **state)
{
	char buf[MAIL_DATE_MAX];
	struct mail_date d;
	int64_t day;

	(void)state;
	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
		bool ok = mail_date_parse(sv_cstr(dates[i].in), &d);

		if (ok != (dates[i].utc != -1) || (ok && (d.utc != dates[i].utc || d.zone != dates[i].zone)))
			fail_msg("%s: %lld %d", dates[i].in, (long long)d.utc, d.zone);
	}
	assert_string_equal(mail_date_format(buf, 1057049557, 120), "Tue, 01 Jul 2003 10:52:37 +0200");
	assert_string_equal(mail_date_format(buf, 1057049557, -90), "Tue, 01 Jul 2003 07:22:37 -0130");
	assert_string_equal(mail_internaldate_format(buf, 0, 0), "01-Jan-1970 00:00:00 +0000");
	assert_string_equal(mail_ctime(buf, 906502527), "Tue Sep 22 22:15:27 1998");
	assert_true(mail_internaldate_parse(SV_LIT(" 1-Jul-2003 10:52:37 +0200"), &d) && d.utc == 1057049557);
	assert_false(mail_internaldate_parse(SV_LIT("1-Jul-2003 10:52:37 +0200"), &d));
	assert_true(mail_day_parse(SV_LIT("2-Jan-1970"), &day) && day == 1);
	assert_false(mail_day_parse(SV_LIT("31-Feb-1970"), &day));
	assert_int_equal(mail_days_from_civil(1, 1, 1), -719162);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_index), cmocka_unit_test(test_edit),
	    cmocka_unit_test(test_words), cmocka_unit_test(test_encode_words), cmocka_unit_test(test_encodings),
	    cmocka_unit_test(test_dates) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
