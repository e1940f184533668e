/* SPDX-License-Identifier: BSD-2-Clause */
/* procmail's regular expressions: what is found, what goes to MATCH, and that time stays linear. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "filter/procmail_regex.h"

struct one {
	const char	*expr, *text;
	bool		 found;
	const char	*match;		/* NULL: none is set */
};

static bool
find(const char *expr, const char *text, size_t at, bool fold, struct procmail_regex_match *m)
{
	size_t n = strlen(text);
	char *copy = malloc(n > 0 ? n : 1);
	struct procmail_regex *re;
	bool found, again;
	struct procmail_regex_match m2;

	memcpy(copy, text, n);
	re = procmail_regex_new(sv_cstr(expr), fold, NULL);
	found = procmail_regex_find(re, sv_from(copy, n), at, m);
	/* What was learned by the first search must not change the second. */
	again = procmail_regex_find(re, sv_from(copy, n), at, &m2);
	assert_int_equal(found, again);
	if (found)
		assert_memory_equal(m, &m2, sizeof(m2));
	procmail_regex_free(&re);
	assert_null(re);
	free(copy);
	return (found);
}

static void
test_find(void **state)
{
	static const struct one cases[] = {
		{ "b", "abc", true, NULL }, { "B", "abc", true, NULL }, { "x", "abc", false, NULL }, { "", "abc", true, NULL },
		{ "^two$", "one\ntwo\nthree", true, NULL }, { "^^two", "one\ntwo", false, NULL }, { "^^one", "one\ntwo", true, NULL },
		{ "two^^", "one\ntwo", true, NULL }, { "one^^", "one\ntwo", false, NULL }, { "one$two", "one\ntwo", true, NULL },
		{ "one$^two", "one\ntwo", false, NULL }, { "one$^two", "one\n\ntwo", true, NULL }, { "one.two", "one\ntwo", false, NULL },
		{ "one[^a]two", "one\ntwo", false, NULL }, { "a[-]b", "a-b", true, NULL }, { "[]]x", "]x", true, NULL },
		{ "[x^]y", "^y", true, NULL }, { "[\\]z", "\\z", true, NULL }, { "[^]a-z]x", "bx", false, NULL },
		{ "a{2}", "aa", false, NULL }, { "a{2}", "a{2}", true, NULL }, { "\\<cat\\>", "a cat", true, NULL },
		{ "\\<cat\\>", "concat", false, NULL }, { "cat\\>\\<dog", "cat dog", false, NULL }, { "(a|bc)+d", "xbcad", true, NULL },
		{ "a?b*c+", "ccc", true, NULL }, { "(|x)y", "y", true, NULL }, { "a\\.b", "axb", false, NULL }, { "\\n", "n", true, NULL },
		{ "(un", "un", true, NULL }, { "un)x", "un", true, NULL }, { "*a", "*a", true, NULL }, { "a**", "aa*", true, NULL },
		{ "[a", "a", true, NULL }, { "\\", "\\", true, NULL }, { "^^", "abc", true, NULL }, { "^^$^^", "", false, NULL },
		{ "^Subject: \\/.*", "From: x\nSubject: dup me\nTo: y\n", true, "dup me" }, { "dup\\/licate", "duplicate", true, "licate" },
		{ "a+\\/.*", "aaa bbb aaab", true, "aa bbb aaab" }, { "abc\\/.*", "abc", true, "" }, { "x\\/y", "ab", false, NULL },
		{ "(aaa|bbb)\\/( .*)?", "aaa bbb aaab", true, " bbb aaab" }, { "foo|ba\\/z", "foo", true, NULL },
		{ "()\\/^a?^^?", "aab", true, "a" }, { "^^\\/.*$.*", "one\ntwo\nx", true, "one\ntwo" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct procmail_regex_match m;

		if (find(cases[i].expr, cases[i].text, 0, true, &m) != cases[i].found)
			fail_msg("%s on %s", cases[i].expr, cases[i].text);
		if (!cases[i].found)
			continue;
		assert_int_equal(m.captured, cases[i].match != NULL);
		if (m.captured && (m.to - m.from != strlen(cases[i].match) ||
		    memcmp(cases[i].text + m.from, cases[i].match, m.to - m.from) != 0))
			fail_msg("%s on %s: %zu to %zu", cases[i].expr, cases[i].text, m.from, m.to);
	}
}

static void
test_case_counts(void **state)
{
	struct procmail_regex_match m;

	assert_false(find("[A-Z]", "abc", 0, false, &m));
	assert_true(find("[A-Z]", "abc", 0, true, &m));
	assert_false(find("Abc", "abc", 0, false, &m));
}

/* One match after the other, as scoring goes on. */
static void
test_again(void **state)
{
	struct procmail_regex *re = procmail_regex_new(SV_LIT("^.*$"), true, NULL);
	struct sv text = SV_LIT("one\ntwo\n\nfour\n");
	struct procmail_regex_match m;
	ptrdiff_t at = 0;
	int n = 0;

	while (at <= (ptrdiff_t)text.len && procmail_regex_find(re, text, (size_t)at, &m) && m.end > at) {
		at = m.end;
		n++;
	}
	assert_int_equal(n, 5);
	procmail_regex_free(&re);
}

static void
test_words(void **state)
{
	static const struct {
		const char	*expr;
		const char	*text;
		bool		 found, fold;
	} cases[] = {
		{ "^TO_jo@x", "Cc: jo@x\n", true, false }, { "^TO_jo@x", "Cc: bobjo@x\n", false, false }, { "^TOjo", "To: a.jo\n", true, false },
		{ "^FROM_DAEMON", "From: MAILER-DAEMON@x\n", true, true }, { "^FROM_DAEMON", "From: jo@x\n", false, true },
		{ "^FROM_MAILER", "From: postmaster@x\n", true, false }, { "\\^TO_x", "^TO_x", true, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sb sb = SB_INIT(1 << 16);
		struct procmail_regex_match m;

		assert_int_equal(procmail_regex_words(sv_cstr(cases[i].expr), &sb), cases[i].fold);
		if (find(sb_cstr(&sb), cases[i].text, 0, true, &m) != cases[i].found)
			fail_msg("%s on %s", cases[i].expr, cases[i].text);
		sb_free(&sb);
	}
}

static void
test_invalid(void **state)
{
	static const char *const bad[] = { "(a", "a)", "((a)", "(a))" }, *const good[] = { "(a)", "[(]", "\\(", "a|b", "" };
	bool invalid;

	for (size_t i = 0; i < 4; i++) {
		struct procmail_regex *re = procmail_regex_new(sv_cstr(bad[i]), false, &invalid);

		assert_true(invalid);
		procmail_regex_free(&re);
	}
	for (size_t i = 0; i < 5; i++) {
		struct procmail_regex *re = procmail_regex_new(sv_cstr(good[i]), false, &invalid);

		assert_false(invalid);
		procmail_regex_free(&re);
	}
}

/* Expressions that make others take for ever, and ones that are too deep or too long. */
static void
test_bounds(void **state)
{
	static const char *const evil[] = { "^(a+)+$x", "^(a|aa)+$x", "^(.*)*(.*)*(.*)*c", "(((((a*)*)*)*)*)*b", "(a*)*\\/(a*)*b" };
	size_t n = 200000;
	char *text = malloc(n), *deep = malloc(20001);
	struct procmail_regex_match m;
	clock_t begin = clock();
	bool invalid;

	memset(text, 'a', n);
	for (size_t i = 0; i < sizeof(evil) / sizeof(evil[0]); i++) {
		struct procmail_regex *re = procmail_regex_new(sv_cstr(evil[i]), true, &invalid);

		assert_false(procmail_regex_find(re, sv_from(text, n), 0, &m));
		procmail_regex_free(&re);
	}
	assert_true((clock() - begin) / CLOCKS_PER_SEC < 60);
	memset(deep, '(', 20000);
	deep[20000] = '\0';
	struct procmail_regex *re = procmail_regex_new(sv_cstr(deep), true, &invalid);
	assert_true(invalid);
	assert_false(procmail_regex_find(re, sv_from(text, n), 0, &m));
	procmail_regex_free(&re);
	free(text);
	free(deep);
}

/* One that has seen other texts, with an index, answers like one that has seen nothing, without. */
static void
test_learned(void **state)
{
	static const char *const exprs[] = {
		"^Subject: .*urgent", "^(List-Id|X-Mailing-List):.*<l\\.example>", "^$", "^^From", "$^$", "^To:.*$Cc", "x|^y", "^.*z", "",
		"^", "^X-.*\\/[0-9]+", "urgent^^", "^a(b|$)c?", "^(From|To):.*$([^>]|$)", "^?Subject", "(^|-)To:", "^\\<", ".$", "$^^"
	};
	static const char *const texts[] = {
		"From: a\nTo: b\nSubject: nothing\n\n", "From: a\nSubject: urgent\n\n", "", "\n", "\n\n", "X-Mailing-List: <l.example>\n\n",
		"List-Id: <l.example>", "To: x\nCc: y\n\n", "x\ny\nz", "a\nbc\n\n", "a\n\nb", "X-Y: 12\n\nX-Z: 7\n", "urgent", "To: q\n>\n\n",
		"Reply-To: z\n", "\nabc\n", "ab\na\nc\n\n", "Subject: URGENT\nX-Q: z\n", "\xff\n\x80z\n\n"
	};
	struct procmail_regex_match m, m2;

	for (size_t e = 0; e < sizeof(exprs) / sizeof(exprs[0]); e++) {
		struct procmail_regex *re = procmail_regex_new(sv_cstr(exprs[e]), true, NULL);

		for (size_t i = 0; i < 3 * sizeof(texts) / sizeof(texts[0]); i++) {
			const char *text = texts[i * 7 % (sizeof(texts) / sizeof(texts[0]))];
			struct procmail_regex *fresh = procmail_regex_new(sv_cstr(exprs[e]), true, NULL);
			uint32_t nl[16];
			uint8_t first[16];
			struct procmail_lines l = { .nl = nl, .first = first };
			bool found;

			for (size_t k = 0; text[k] != '\0'; k++)
				if (text[k] == '\n') {
					nl[l.n] = (uint32_t)k;
					first[l.n++] = (uint8_t)text[k + 1];
				}
			procmail_lines_done(&l);
			found = procmail_regex_find_lines(re, sv_cstr(text), &l, 0, &m);
			assert_int_equal(found, procmail_regex_find(fresh, sv_cstr(text), 0, &m2));
			if (found)
				assert_memory_equal(&m, &m2, sizeof(m));
			procmail_regex_free(&fresh);
		}
		procmail_regex_free(&re);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find), cmocka_unit_test(test_case_counts), cmocka_unit_test(test_again),
		cmocka_unit_test(test_words), cmocka_unit_test(test_invalid), cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_learned),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
