/* SPDX-License-Identifier: BSD-2-Clause */
/* The store of what was asked for lately: what goes, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/lru.h"

static char gone[16];

static void
note_gone(void *value)
{
	(void)strncat(gone, value, 1);
}

/* "+x": put, "x": get; capital: it must not be there. */
static void
test_order(void **state)
{
	static const struct { size_t max; const char *steps, *gone; } t[] = {
		{ 1, "+a A", "" }, { 1, "+a a +b A b", "a" }, { 2, "+a +b a b", "" }, { 2, "+a +b +c A b c", "a" },
		{ 2, "+a +b a +c a B c", "b" }, { 3, "+a +b +c b a +d C a b d +e A", "ca" }
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct lru *l = lru_new(t[i].max, note_gone);
		static char names[26][2];

		gone[0] = '\0';
		for (const char *p = t[i].steps; *p != '\0'; p++) {
			if (*p == '+') {
				char *n = names[*++p - 'a'];

				n[0] = *p;
				lru_put(l, sv_from(p, 1), n);
			} else if (*p >= 'a' && *p <= 'z')
				assert_ptr_equal(lru_get(l, sv_from(p, 1)), names[*p - 'a']);
		}
		if (strstr(t[i].steps, "A") != NULL && strchr(t[i].gone, 'a') != NULL)
			assert_null(lru_get(l, SV_LIT("a")));
		assert_null(lru_get(l, SV_LIT("ab")));
		assert_null(lru_get(l, SV_LIT("")));
		assert_string_equal(gone, t[i].gone);
		lru_free(&l);
		assert_null(l);
	}
	lru_free(&(struct lru *){ NULL });
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_order) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
