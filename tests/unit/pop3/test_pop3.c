/* SPDX-License-Identifier: BSD-2-Clause */
/* POP3: command lines, dot-stuffing, TOP; each message in pieces of every size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/sb.h"
#include "pop3/body.h"
#include "pop3/command.h"

static void
test_commands(void **state)
{
	static const struct {
		const char *line;
		bool ok;
		enum pop3_verb verb;
		const char *arg, *arg2;
		uint32_t n, lines;
	} cases[] = {
		{ "USER joe\r\n", true, POP3_USER, "joe", NULL, 0, 0 },
		{ "user  joe smith\n", true, POP3_USER, " joe smith", NULL, 0, 0 },
		{ "PASS  two  blanks ", true, POP3_PASS, " two  blanks ", NULL, 0, 0 },
		{ "PASS\r\n", false, 0, NULL, NULL, 0, 0 },
		{ "APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\n", true, POP3_APOP, "mrose", "c4c9334bac560ecc979e58001b3e22fb", 0, 0 },
		{ "APOP mrose\r\n", false, 0, NULL, NULL, 0, 0 },
		{ "AUTH", true, POP3_AUTH, NULL, NULL, 0, 0 },
		{ "auth PLAIN", true, POP3_AUTH, "PLAIN", NULL, 0, 0 },
		{ "AUTH PLAIN =", true, POP3_AUTH, "PLAIN", "=", 0, 0 },
		{ "AUTH PLAIN dGVzdA== x", false, 0, NULL, NULL, 0, 0 },
		{ "STAT", true, POP3_STAT, NULL, NULL, 0, 0 },
		{ "STAT ", true, POP3_STAT, NULL, NULL, 0, 0 },
		{ "STAT 1", false, 0, NULL, NULL, 0, 0 },
		{ "LIST", true, POP3_LIST, NULL, NULL, 0, 0 },
		{ "LIST 7", true, POP3_LIST, NULL, NULL, 7, 0 },
		{ "LIST 0", false, 0, NULL, NULL, 0, 0 },
		{ "LIST -1", false, 0, NULL, NULL, 0, 0 },
		{ "UIDL 4294967295", true, POP3_UIDL, NULL, NULL, 4294967295U, 0 },
		{ "UIDL 4294967296", false, 0, NULL, NULL, 0, 0 },
		{ "RETR", false, 0, NULL, NULL, 0, 0 },
		{ "RETR 1 2", false, 0, NULL, NULL, 0, 0 },
		{ "RETR 1x", false, 0, NULL, NULL, 0, 0 },
		{ "TOP 1 0", true, POP3_TOP, NULL, NULL, 1, 0 },
		{ "TOP 12 34\r\n", true, POP3_TOP, NULL, NULL, 12, 34 },
		{ "TOP 1", false, 0, NULL, NULL, 0, 0 },
		{ "XTND", false, 0, NULL, NULL, 0, 0 },
		{ "", false, 0, NULL, NULL, 0, 0 },
		{ "\r\n", false, 0, NULL, NULL, 0, 0 },
		{ " QUIT", false, 0, NULL, NULL, 0, 0 },
		{ "QUIT", true, POP3_QUIT, NULL, NULL, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].line);
		char *copy = malloc(len > 0 ? len : 1);
		struct pop3_command c;
		const char *why = NULL;
		bool ok;

		memcpy(copy, cases[i].line, len);
		ok = pop3_command_parse(sv_from(copy, len), &c, &why);
		if (ok != cases[i].ok)
			fail_msg("%s", cases[i].line);
		if (!ok)
			assert_non_null(why);
		else if (c.verb != cases[i].verb || c.number != cases[i].n || c.lines != cases[i].lines ||
		    (cases[i].arg == NULL ? c.arg.p != NULL : !sv_eqs(c.arg, cases[i].arg)) ||
		    (cases[i].arg2 == NULL ? c.arg2.p != NULL : !sv_eqs(c.arg2, cases[i].arg2)))
			fail_msg("%s", cases[i].line);
		free(copy);
	}
}

static void
send_in_pieces(struct sb *out, struct pop3_body *b, const char *text, size_t step)
{
	size_t len = strlen(text);

	for (size_t at = 0; at < len && !pop3_body_done(b); at += step) {
		size_t n = step < len - at ? step : len - at;
		char *copy = malloc(n);
		struct sv in, piece;

		memcpy(copy, text + at, n);
		in = sv_from(copy, n);
		while (pop3_body_next(b, &in, &piece))
			sb_add(out, piece);
		free(copy);
	}
	sb_add(out, pop3_body_end(b));
}

static void
test_stuffing(void **state)
{
	static const struct { const char *in, *want; } cases[] = {
		{ "", ".\r\n" },
		{ "a\r\n", "a\r\n.\r\n" },
		{ "a", "a\r\n.\r\n" },
		{ "a\r", "a\r\n.\r\n" },
		{ ".\r\n", "..\r\n.\r\n" },
		{ "..\r\n.x", "...\r\n..x\r\n.\r\n" },
		{ "a.\r\n.b\r\n\r\n.", "a.\r\n..b\r\n\r\n..\r\n.\r\n" },
		{ "a\nb\n.\n", "a\r\nb\r\n..\r\n.\r\n" },
		{ "\n\n", "\r\n\r\n.\r\n" },
		{ "a\r\rb\r\n", "a\r\rb\r\n.\r\n" },
		{ "\r\n.", "\r\n..\r\n.\r\n" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t step = 1; step < 12; step++) {
			struct sb out = SB_INIT(1000);
			struct pop3_body b;

			pop3_body_init(&b);
			send_in_pieces(&out, &b, cases[i].in, step);
			if (strcmp(sb_cstr(&out), cases[i].want) != 0)
				fail_msg("case %zu step %zu: '%s'", i, step, sb_cstr(&out));
			sb_free(&out);
		}
}

static void
test_top(void **state)
{
	static const char msg[] = "A: b\r\n c\r\n\r\none\r\n.two\r\n\r\nfour";
	static const struct { const char *in; uint32_t lines; const char *want; } cases[] = {
		{ msg, 0, "A: b\r\n c\r\n\r\n.\r\n" },
		{ msg, 1, "A: b\r\n c\r\n\r\none\r\n.\r\n" },
		{ msg, 2, "A: b\r\n c\r\n\r\none\r\n..two\r\n.\r\n" },
		{ msg, 3, "A: b\r\n c\r\n\r\none\r\n..two\r\n\r\n.\r\n" },
		{ msg, 4, "A: b\r\n c\r\n\r\none\r\n..two\r\n\r\nfour\r\n.\r\n" },
		{ msg, 4000000000U, "A: b\r\n c\r\n\r\none\r\n..two\r\n\r\nfour\r\n.\r\n" },
		{ "A: b\r\n", 3, "A: b\r\n.\r\n" },
		{ "\r\nbody\r\n", 0, "\r\n.\r\n" },
		{ "", 1, ".\r\n" },
		{ "a\n\nb\nc\n", 1, "a\r\n\r\nb\r\n.\r\n" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t step = 1; step < 40; step++) {
			struct sb out = SB_INIT(1000);
			struct pop3_body b;

			pop3_body_init_top(&b, cases[i].lines);
			send_in_pieces(&out, &b, cases[i].in, step);
			if (strcmp(sb_cstr(&out), cases[i].want) != 0)
				fail_msg("case %zu step %zu: '%s'", i, step, sb_cstr(&out));
			sb_free(&out);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_stuffing),
		cmocka_unit_test(test_top),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
