/* SPDX-License-Identifier: BSD-2-Clause */
/* What a SOCKS proxy answers: whole, in pieces, refusals, nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "deliver/socks.h"

#define L(s)	s, sizeof(s) - 1

static const struct {
	const char	*text;
	size_t		 len;
	int		 want;
	const char	*bound;		/* "": not told as an address */
	const char	*why;
} cases[] = {
	{ L("\x05\0\0\x01\xc0\0\x02\x07\x12\x67"), 1, "192.0.2.7", "" },
	{ L("\x05\0\0\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x12\x67"), 1, "2001:db8::7", "" },
	{ L("\x05\0\0\x03\x04host\x12\x67"), 1, "", "" },
	{ L("\x05\0\0\x03\0\x12\x67"), 1, "", "" },
	{ L("\x05\0\0\x01\xc0\0\x02"), 0, "", "" },
	{ L(""), 0, "", "" },
	{ L("\x05\x05\0\x01\0\0\0\0\0\0"), -1, "", "connection refused" },
	{ L("\x05\xff\0\x01\0\0\0\0\0\0"), -1, "", "unknown error" },
	{ L("\x05\0\0\x02\0\0\0\0\0\0"), -1, "", "unknown kind" },
	{ L("\x04\0\0\x01\0\0\0\0\0\0"), -1, "", "does not speak SOCKS 5" },
	{ L("HTTP/1.1 400 Bad Request"), -1, "", "does not speak SOCKS 5" },
};

static void
test_answer(void **state)
{
	char text[NET_ADDR_TEXT_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = ERR_INIT;
		struct net_addr bound;
		size_t have = 0, need = 0;
		int rc;

		for (;;) {
			char *copy = malloc(have + 1);

			assert_non_null(copy);
			memcpy(copy, cases[i].text, have);
			rc = deliver_socks_answer(sv_from(copy, have), &bound, &need, &err);
			free(copy);
			if (rc != 0 || have + need > cases[i].len)
				break;
			assert_true(need > 0 && have + need <= SOCKS_MESSAGE_MAX);
			have += need;
		}
		assert_int_equal(rc, cases[i].want);
		assert_non_null(strstr(err.text, cases[i].why));
		if (rc == 1)
			assert_string_equal(bound.family == 0 ? "" : net_addr_text(&bound, text), cases[i].bound);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_answer) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
