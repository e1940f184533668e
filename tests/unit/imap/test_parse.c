/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands, literals, names, patterns; ENVELOPE and BODYSTRUCTURE. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "imap/bodystructure.h"
#include "imap/envelope.h"
#include "imap/parse.h"
#include "imap/write.h"

/* Parse <text> from a block of exactly its size, which *<mem> keeps. */
static bool
parse(struct arena *a, const char *text, char **mem, struct imap_command *c, const char **why)
{
	size_t n = strlen(text);

	*mem = malloc(n + 1);
	memcpy(*mem, text, n);
	*mem = realloc(*mem, n == 0 ? 1 : n);
	return (imap_command_parse(a, sv_from(*mem, n), c, why));
}

static const struct {
	const char	*in;
	enum imap_verb	 verb;		/* IMAP_NO_VERB: BAD, and <why> is part of the text */
	const char	*why;
} commands[] = {
	{ "a NOOP\r\n", IMAP_NOOP, NULL },
	{ "a noop  \r\n", IMAP_NOOP, NULL },
	{ "a NOOP x\r\n", IMAP_NO_VERB, "Unexpected argument" },
	{ "a XYZ\r\n", IMAP_NO_VERB, "Unknown command" },
	{ "a UID NOOP\r\n", IMAP_NO_VERB, "Unknown command" },
	{ "+ NOOP\r\n", IMAP_NO_VERB, "tag" },
	{ "\r\n", IMAP_NO_VERB, "tag" },
	{ "a LOGIN joe \"p\\\"w\"\r\n", IMAP_LOGIN, NULL },
	{ "a LOGIN {3}\r\njoe {2+}\r\npw\r\n", IMAP_LOGIN, NULL },
	{ "a LOGIN joe \"x\r\n", IMAP_NO_VERB, "Line end" },
	{ "a LOGIN joe \"\\x\"\r\n", IMAP_NO_VERB, "escape" },
	{ "a LOGIN joe\r\n", IMAP_NO_VERB, "Missing" },
	{ "a LOGIN joe {9}\r\nx\r\n", IMAP_NO_VERB, "cut short" },
	{ "a SELECT inbox\r\n", IMAP_SELECT, NULL },
	{ "a STATUS x (MESSAGES UNSEEN)\r\n", IMAP_STATUS, NULL },
	{ "a STATUS x ()\r\n", IMAP_NO_VERB, "" },
	{ "a FETCH 1 ALL\r\n", IMAP_FETCH, NULL },
	{ "a FETCH 0 ALL\r\n", IMAP_NO_VERB, "number" },
	{ "a FETCH 1 BODY[MIME]\r\n", IMAP_NO_VERB, "MIME" },
	{ "a FETCH 1 BODY[1.]\r\n", IMAP_NO_VERB, "section" },
	{ "a FETCH 1 BODY[]<0.0>\r\n", IMAP_NO_VERB, "number" },
	{ "a FETCH 1 (FLAGS\r\n", IMAP_NO_VERB, "Missing ')'" },
	{ "a UID STORE 1:* -FLAGS.SILENT (\\Seen $Junk)\r\n", IMAP_STORE, NULL },
	{ "a STORE 1 FLAGS \\Seen \\Deleted\r\n", IMAP_STORE, NULL },
	{ "a EXPUNGE\r\n", IMAP_EXPUNGE, NULL },
	{ "a UID EXPUNGE\r\n", IMAP_NO_VERB, "" },
	{ "a SEARCH CHARSET utf-8 OR (SEEN 1:3) NOT FROM x UNDELETED\r\n", IMAP_SEARCH, NULL },
	{ "a SEARCH BEFORE 31-Feb-2000\r\n", IMAP_NO_VERB, "date" },
	{ "a SEARCH FOO\r\n", IMAP_NO_VERB, "search key" },
	{ "a ID (\"name\" NIL \"x\" \"y\")\r\n", IMAP_ID, NULL },
	{ "a AUTHENTICATE plain AGE=\r\n", IMAP_AUTHENTICATE, NULL },
	{ "a IDLE\r\n", IMAP_IDLE, NULL },
};

static void
test_commands(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct arena *a = arena_new(0);
		struct imap_command c;
		const char *why = NULL;
		char *mem;
		bool ok = parse(a, commands[i].in, &mem, &c, &why);

		if (ok != (commands[i].verb != IMAP_NO_VERB) || (ok && c.verb != commands[i].verb) ||
		    (!ok && strstr(why, commands[i].why) == NULL))
			fail_msg("%s: %d %s", commands[i].in, c.verb, why == NULL ? "" : why);
		free(mem);
		arena_free(&a);
	}
}

static void
test_fetch(void **state)
{
	static const char text[] = "t1 UID FETCH 1,3:*,9:7 (UID BODY.PEEK[1.2.HEADER.FIELDS (from \"To\")]<5.10> RFC822.TEXT "
	    "BODY[] BODY)\r\n";
	struct arena *a = arena_new(0);
	struct imap_command c;
	const char *why;
	char *mem;

	(void)state;
	assert_true(parse(a, text, &mem, &c, &why));
	assert_true(c.uid && sv_eqs(c.tag, "t1"));
	assert_int_equal(c.nfetch, 5);
	assert_int_equal(c.set.n, 3);
	assert_true(imap_set_has(&c.set, 5, 4) && imap_set_has(&c.set, 5, 8) && !imap_set_has(&c.set, 5, 2));
	assert_int_equal(c.fetch[1].npath, 2);
	assert_true(c.fetch[1].peek && c.fetch[1].partial && c.fetch[1].offset == 5 && c.fetch[1].length == 10);
	assert_true(sv_eqs(c.fetch[1].label, "BODY[1.2.HEADER.FIELDS (from To)]<5>"));
	assert_true(sv_eqs(c.fetch[2].label, "RFC822.TEXT") && !c.fetch[2].peek);
	assert_true(sv_eqs(c.fetch[3].label, "BODY[]"));
	assert_int_equal(c.fetch[4].what, IMAP_F_BODY);
	free(mem);
	arena_free(&a);
}

static void
test_search(void **state)
{
	struct arena *a = arena_new(0);
	const struct imap_search *s;
	struct imap_command c;
	const char *why;
	char deep[1024] = "a SEARCH ", *mem;

	(void)state;
	assert_true(parse(a, "a SEARCH OR UNSEEN (FROM joe 1:2) SENTON 1-Feb-2000 HEADER X-Y \"\"\r\n", &mem, &c, &why));
	s = c.search;
	assert_int_equal(s->key, IMAP_K_AND);
	assert_int_equal(s->a->key, IMAP_K_OR);
	assert_int_equal(s->a->a->key, IMAP_K_NOT);
	assert_true(sv_eqs(s->a->a->a->text, "\\Seen"));
	assert_int_equal(s->a->a->next->key, IMAP_K_AND);
	assert_true(sv_eqs(s->a->a->next->a->field, "From"));
	assert_int_equal(s->a->next->key, IMAP_K_SENTON);
	assert_int_equal(s->a->next->number, 10988);
	assert_int_equal(s->a->next->next->text.len, 0);
	free(mem);
	for (int i = 0; i < 100; i++)
		memcpy(deep + 9 + (size_t)i * 4, "NOT ", 5);
	memcpy(deep + 409, "ALL\r\n", 6);
	assert_false(parse(a, deep, &mem, &c, &why));
	assert_string_equal(why, "Search too deep");
	free(mem);
	arena_free(&a);
}

static void
test_literals(void **state)
{
	struct arena *a = arena_new(0);
	struct imap_command c;
	const char *why;
	uint64_t n;
	bool sync;

	(void)state;
	assert_true(imap_literal_follows(SV_LIT("a LOGIN {12}\r\n"), &n, &sync) && n == 12 && sync);
	assert_true(imap_literal_follows(SV_LIT("a LOGIN {0+}\n"), &n, &sync) && n == 0 && !sync);
	assert_false(imap_literal_follows(SV_LIT("a LOGIN {12} \r\n"), &n, &sync));
	assert_false(imap_literal_follows(SV_LIT("a LOGIN {x}\r\n"), &n, &sync));
	assert_false(imap_literal_follows(SV_LIT("a LOGIN }\r\n"), &n, &sync));
	assert_false(imap_literal_follows(SV_LIT("a {99999999999999999999}\r\n"), &n, &sync));
	assert_true(imap_is_append(SV_LIT("a APPEND INBOX {5}\r\n")));
	assert_true(imap_is_append(SV_LIT("a append {5}\r\nINBOX (\\Seen) \" 1-Jan-2000 00:00:00 +0000\" {5+}\r\n")));
	assert_false(imap_is_append(SV_LIT("a APPEND {5}\r\n")));
	assert_false(imap_is_append(SV_LIT("a LOGIN {5}\r\n")));
	assert_true(imap_command_parse(a, SV_LIT("a APPEND x (\\Seen a) \" 1-Jan-2000 00:00:00 +0000\" {5+}\r\n"), &c, &why));
	assert_true(c.literal == 5 && !c.literal_sync && c.has_date && c.flags.n == 2);
	arena_free(&a);
}

static const struct {
	const char	*utf8, *utf7;
} names[] = {
	{ "INBOX", "INBOX" },
	{ "a&b", "a&-b" },
	{ "Entw\303\274rfe", "Entw&APw-rfe" },
	{ "\346\227\245\346\234\254\350\252\236", "&ZeVnLIqe-" },
	{ "\360\237\230\200", "&2D3eAA-" },
	{ "~peter/mail/\345\217\260\345\214\227", "~peter/mail/&U,BTFw-" },
};

static void
test_names(void **state)
{
	static const char *const bad[] = { "&", "&x", "a&b", "&AGE-", "&2D0-", "&3gA-", "&AOQ-&AOQ-", "caf\303\251", "&A-" };
	struct sb out = SB_INIT(4096);

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_true(imap_utf7_encode(&out, sv_cstr(names[i].utf8)));
		assert_string_equal(sb_cstr(&out), names[i].utf7);
		sb_clear(&out);
		assert_true(imap_utf7_decode(&out, sv_cstr(names[i].utf7)));
		assert_string_equal(sb_cstr(&out), names[i].utf8);
		sb_clear(&out);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(imap_utf7_decode(&out, sv_cstr(bad[i])));
	assert_int_equal(out.len, 0);
	imap_put_mailbox(&out, SV_LIT("a b\303\244"));
	imap_put_astring(&out, SV_LIT("nil"));
	imap_put_nstring(&out, SV_NULL);
	imap_put_string(&out, SV_LIT("a\"\\"));
	imap_put_string(&out, sv_from("x\r\n\0y", 5));
	imap_put_text(&out, SV_LIT("\r\n\344"));
	assert_string_equal(sb_cstr(&out), "\"a b&AOQ-\"\"nil\"NIL\"a\\\"\\\\\"{4}\r\nx\r\ny???");
	sb_free(&out);
}

static const struct {
	const char	*pattern, *name;
	bool		 match;
} patterns[] = {
	{ "*", "INBOX.a.b", true }, { "%", "INBOX", true }, { "%", "INBOX.a", false }, { "INBOX.%", "INBOX.a", true },
	{ "INBOX.%", "INBOX.a.b", false }, { "INBOX%", "INBOX", true }, { "INBOX*b", "INBOX.a.b", true },
	{ "*%b", "x.y.b", true }, { "%.%", "a.b", true }, { "%.%", "a.b.c", false }, { "a%c", "abbc", true },
	{ "a%c", "ab.c", false }, { "*a*b", "xaaabab", true }, { "", "", true }, { "", "a", false }, { "a", "A", false },
	{ "%a%a", "aXa", true }, { "*.x%", "a.b.xyz", true }, { "*.x%", "a.xb.c", false },
};

static void
test_patterns(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		if (imap_pattern_match(sv_cstr(patterns[i].pattern), sv_cstr(patterns[i].name), '.') != patterns[i].match)
			fail_msg("%s %s", patterns[i].pattern, patterns[i].name);
}

static void
test_envelope(void **state)
{
	struct arena *a = arena_new(0);
	struct sb out = SB_INIT(65536);
	struct mail_headers h;

	(void)state;
	mail_headers_parse(&h, a, SV_LIT("Date: Mon, 1 Jan 2001 00:00:00 +0000\r\nSubject: a\r\n \"b\"\r\n"
	    "From: \"Joe \\\"J\\\" Doe\" <@r.example:joe@a.example>\r\nSender:\r\n"
	    "To: g: x@y.z;, joe (Comment)\r\nCc: caf\351 <c@d.e>\r\nMessage-ID: <1@a>\r\n\r\n"), 0);
	imap_envelope(&out, &h);
	assert_string_equal(sb_cstr(&out), "(\"Mon, 1 Jan 2001 00:00:00 +0000\" \"a \\\"b\\\"\" "
	    "((\"Joe \\\"J\\\" Doe\" \"@r.example\" \"joe\" \"a.example\")) "
	    "((\"Joe \\\"J\\\" Doe\" \"@r.example\" \"joe\" \"a.example\")) "
	    "((\"Joe \\\"J\\\" Doe\" \"@r.example\" \"joe\" \"a.example\")) "
	    "((NIL NIL \"g\" NIL)(NIL NIL \"x\" \"y.z\")(NIL NIL NIL NIL)(\"Comment\" NIL \"joe\" \"MISSING_DOMAIN\")) "
	    "(({4}\r\ncaf\351 NIL \"c\" \"d.e\")) NIL NIL \"<1@a>\")");
	sb_clear(&out);
	mail_headers_parse(&h, a, SV_LIT(""), 0);
	imap_envelope(&out, &h);
	assert_string_equal(sb_cstr(&out), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
	sb_free(&out);
	arena_free(&a);
}

static void
test_structure(void **state)
{
	static const char text[] = "Content-Type: multipart/mixed; boundary=a\r\nContent-Language: de, en\r\n\r\n--a\r\n\r\nhi\r\n--a\r\n"
	    "Content-Type: image/png; name=x.png\r\nContent-Disposition: attachment; filename*=utf-8''%C3%A4\r\n"
	    "Content-ID: <i@d>\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--a\r\n"
	    "Content-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\nb\r\n--a\r\nContent-Type: multipart/x\r\n\r\n--a--\r\n";
	struct arena *a = arena_new(0);
	const struct mime_part *root = mime_parse(a, sv_from(text, sizeof(text) - 1));
	struct sb ext = SB_INIT(65536), body = SB_INIT(65536), made = SB_INIT(65536);

	(void)state;
	imap_bodystructure(&ext, root, true);
	assert_string_equal(sb_cstr(&ext),
	    "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 2 0 NIL NIL NIL NIL)"
	    "(\"image\" \"png\" (\"name\" \"x.png\") \"<i@d>\" NIL \"base64\" 4 NIL (\"attachment\" (\"filename*\" \"utf-8''%C3%A4\")) NIL NIL)"
	    "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 15 (NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) "
	    "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0 NIL NIL NIL NIL) 2 NIL NIL NIL NIL)"
	    "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL) \"x\" NIL NIL NIL NIL)"
	    " \"mixed\" (\"boundary\" \"a\") NIL (\"de\" \"en\") NIL)");
	imap_bodystructure(&body, root, false);
	assert_true(imap_body_from_structure(&made, sb_sv(&ext)));
	assert_string_equal(sb_cstr(&made), sb_cstr(&body));
	sb_clear(&made);
	for (size_t n = 0; n < ext.len; n++)
		assert_false(imap_body_from_structure(&made, sv_sub(sb_sv(&ext), 0, n)));
	sb_free(&ext);
	sb_free(&body);
	sb_free(&made);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_commands), cmocka_unit_test(test_fetch),
	    cmocka_unit_test(test_search), cmocka_unit_test(test_literals), cmocka_unit_test(test_names),
	    cmocka_unit_test(test_patterns), cmocka_unit_test(test_envelope), cmocka_unit_test(test_structure) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
