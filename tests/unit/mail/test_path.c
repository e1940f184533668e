/* SPDX-License-Identifier: BSD-2-Clause */
/* Paths of MAIL and RCPT as a lenient server reads them, and what it says to mistakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "mail/address.h"

#define E	MAIL_ADDR_EMPTY
#define L	MAIL_ADDR_LITERAL

static const struct { const char *in; unsigned flags; const char *local, *plain, *domain, *why; } cases[] = {
	{ "<a@b.test>", 0, "a", "a", "b.test", NULL },
	{ "a@b.test", 0, "a", "a", "b.test", NULL },
	{ "< a@b.test >", 0, "a", "a", "b.test", NULL },
	{ "<A.B@X.Test>", 0, "A.B", "A.B", "X.Test", NULL },
	{ "<.a@b.test>", 0, ".a", ".a", "b.test", NULL },
	{ "<a.@b.test>", 0, "a.", "a.", "b.test", NULL },
	{ "<a..b@c.test>", 0, "a..b", "a..b", "c.test", NULL },
	{ "<../x@c.test>", 0, "../x", "../x", "c.test", NULL },
	{ "<\"a b\"@c.test>", 0, "\"a b\"", "a b", "c.test", NULL },
	{ "<\"a\\\"b\"@c.test>", 0, "\"a\\\"b\"", "a\"b", "c.test", NULL },
	{ "<\"abc\"@c.test>", 0, "abc", "abc", "c.test", NULL },
	{ "<\"\"@c.test>", 0, "\"\"", "", "c.test", NULL },
	{ "<a\\b@c.test>", 0, "ab", "ab", "c.test", NULL },
	{ "<a.\"b c\".d@e.test>", 0, "\"a.b c.d\"", "a.b c.d", "e.test", NULL },
	{ "<a(note)@b.test>", 0, "a", "a", "b.test", NULL },
	{ "<alice>", 0, "alice", "alice", "", NULL },
	{ "alice", 0, "alice", "alice", "", NULL },
	{ "<>", E, "", "", "", NULL },
	{ "<@x,@y:a@b.test>", 0, "a", "a", "b.test", NULL },
	{ "<a@[192.0.2.1]>", L, "a", "a", "[192.0.2.1]", NULL },
	{ "<a@x->", 0, "a", "a", "x-", NULL },
	{ "<<a@b.test>>", MAIL_ADDR_STRIP_ANGLES, "a", "a", "b.test", NULL },
	{ "<a@b.test.>", MAIL_ADDR_STRIP_DOT, "a", "a", "b.test", NULL },
	{ "<a@\xc3\xa9.test>", MAIL_ADDR_8BIT, "a", "a", "\xc3\xa9.test", NULL },
	{ "", 0, NULL, NULL, NULL, "empty address" },
	{ "<>", 0, NULL, NULL, NULL, "missing or malformed local part" },
	{ "<a@b.test", 0, NULL, NULL, NULL, "'>' missing at end of address" },
	{ "a@b.test>", 0, NULL, NULL, NULL, "malformed address: > may not follow a@b.test" },
	{ "<a@b.test>x", 0, NULL, NULL, NULL, "malformed address: x may not follow <a@b.test>" },
	{ "<a", 0, NULL, NULL, NULL, "\"@\" or \".\" expected after \"a\"" },
	{ "<a b@c.test>", 0, NULL, NULL, NULL, "\"@\" or \".\" expected after \"a\"" },
	{ "<a,b@c.test>", 0, NULL, NULL, NULL, "\"@\" or \".\" expected after \"a\"" },
	{ "<<a@b.test>>", 0, NULL, NULL, NULL, "missing or malformed local part" },
	{ "<<a@b.test>", MAIL_ADDR_STRIP_ANGLES, NULL, NULL, NULL, "'>' missing at end of address" },
	{ "<@b.test>", 0, NULL, NULL, NULL, "no local part" },
	{ "<@x:@y:a@b.test>", 0, NULL, NULL, NULL, "missing or malformed local part" },
	{ "<@x,@y>", 0, NULL, NULL, NULL, "colon expected after route list" },
	{ "<a@>", 0, NULL, NULL, NULL, "domain missing or malformed" },
	{ "<a@b..test>", 0, NULL, NULL, NULL, "domain missing or malformed" },
	{ "<a@.b>", 0, NULL, NULL, NULL, "domain missing or malformed" },
	{ "<a@b.test.>", 0, NULL, NULL, NULL, "domain missing or malformed" },
	{ "<a@-b.test>", 0, NULL, NULL, NULL, "domain missing or malformed" },
	{ "<a@b_c.test>", 0, NULL, NULL, NULL, "malformed address: _c.test> may not follow <a@b" },
	{ "<a@b@c.test>", 0, NULL, NULL, NULL, "malformed address: @c.test> may not follow <a@b" },
	{ "<\"a@b.test>", 0, NULL, NULL, NULL, "unmatched doublequote in local part" },
	{ "<\"a\nb\"@c.test>", 0, NULL, NULL, NULL, "control character in local part" },
	{ "<a\\\nb@c.test>", 0, NULL, NULL, NULL, "control character in local part" },
	{ "<a@[192.0.2.1]>", 0, NULL, NULL, NULL, "domain literals not allowed" },
	{ "<a@[192.0.2.1>", L, NULL, NULL, NULL, "malformed domain literal" },
	{ "<\xc3\xa9@b.test>", 0, NULL, NULL, NULL, "character above 127 in address" },
};

static void
test_paths(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].in);
		char *exact = malloc(n == 0 ? 1 : n);
		struct arena *a = arena_new(0);
		struct mail_address m;
		struct err err = ERR_INIT;
		int rc;

		memcpy(exact, cases[i].in, n);
		rc = mail_path_lenient(sv_from(exact, n), cases[i].flags, a, &m, &err);
		if ((rc == 0) != (cases[i].why == NULL))
			print_error("%s: %d %s\n", cases[i].in, rc, err.text);
		if (cases[i].why != NULL) {
			assert_int_equal(rc, -1);
			assert_string_equal(err.text, cases[i].why);
		} else {
			assert_int_equal(rc, 0);
			if (!sv_eqs(m.local, cases[i].local))
				print_error("%s: local part " SV_FMT "\n", cases[i].in, SV_ARG(m.local));
			assert_true(sv_eqs(m.local, cases[i].local));
			assert_true(sv_eqs(m.local_plain, cases[i].plain));
			assert_true(sv_eqs(m.domain, cases[i].domain));
		}
		arena_free(&a);
		free(exact);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_paths) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
