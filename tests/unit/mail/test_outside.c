/* SPDX-License-Identifier: BSD-2-Clause */
/* Quotes and comments in lists of addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mail/outside.h"

/* The second text has an x where the first is outside. */
static void
outside(void **state)
{
	static const struct { const char *text, *want; } t[] = {
		{ "a,b", "xxx" },
		{ "\"a,b\",c", "-----xx" },
		{ "a(b,(c)d)e", "x-------" "-x" },
		{ "(\"),\"", "---x-" },
		{ "\"(\",(", "---x-" },
		{ "a),b", "xxxx" },
		{ "(a", "--" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct mail_outside o = { false, 0 };

		for (size_t k = 0; t[i].text[k] != '\0'; k++)
			if (mail_outside(&o, t[i].text[k]) != (t[i].want[k] == 'x'))
				fail_msg("%s at %zu", t[i].text, k);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(outside) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
