/* SPDX-License-Identifier: BSD-2-Clause */
/* When senders are warned of a delay, and which time is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "deliver/dsn.h"

#define H	3600

static void
warnings(void **state)
{
	static const struct {
		int64_t		 times[4];
		size_t		 n;
		int64_t		 age;
		unsigned	 due;
		int64_t		 passed;
		const char	*text;
	} t[] = {
		{ { 0 }, 0, 100 * H, 0, 0, "0 hours" },
		{ { 0 }, 1, 100 * H, 0, 0, "0 hours" },
		/* One time repeats. */
		{ { 6 * H }, 1, 6 * H - 1, 0, 0, "0 hours" },
		{ { 6 * H }, 1, 6 * H, 1, 6 * H, "6 hours" },
		{ { 6 * H }, 1, 17 * H, 2, 12 * H, "12 hours" },
		{ { 6 * H }, 1, 18 * H, 3, 18 * H, "18 hours" },
		/* So does the last interval of a list. */
		{ { 4 * H, 8 * H, 24 * H }, 3, 5 * H, 1, 4 * H, "4 hours" },
		{ { 4 * H, 8 * H, 24 * H }, 3, 23 * H, 2, 8 * H, "8 hours" },
		{ { 4 * H, 8 * H, 24 * H }, 3, 39 * H, 3, 24 * H, "24 hours" },
		{ { 4 * H, 8 * H, 24 * H }, 3, 40 * H, 4, 40 * H, "40 hours" },
		{ { 4 * H, 8 * H, 24 * H }, 3, 57 * H, 5, 56 * H, "56 hours" },
		/* Minutes below two hours of age. */
		{ { 60, 90 * 60 }, 2, 119 * 60, 2, 90 * 60, "90 minutes" },
		{ { 1, 100 }, 2, 70, 1, 1, "0 minutes" },
		{ { 90 * 60, 9 * H }, 2, 2 * H, 1, 90 * 60, "1 hours" },
	};
	char text[DSN_DELAY_MAX];
	int64_t passed;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(dsn_warnings_due(t[i].times, t[i].n, t[i].age, &passed), t[i].due);
		assert_int_equal(passed, t[i].passed);
		dsn_delay_text(text, t[i].age, passed);
		assert_string_equal(text, t[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(warnings) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
