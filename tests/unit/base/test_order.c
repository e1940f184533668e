/* SPDX-License-Identifier: BSD-2-Clause */
/* Entries in order: what is added, removed and found, next to a sorted array. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/order.h"

#define MANY	100000

struct thing {
	char	 name[8];
	bool	 in;
};

static struct sv
name_of(const struct thing *t)
{
	return (sv_cstr(t->name));
}

static void
test_few(void **state)
{
	struct order *o = order_new();
	const struct order_entry *e;
	int one = 1, two = 2;

	(void)state;
	assert_null(order_after(o, SV_LIT("")));
	assert_false(order_del(o, SV_LIT("a")));
	assert_true(order_add(o, SV_LIT("b"), &two));
	assert_true(order_add(o, SV_LIT("a"), &one));
	assert_false(order_add(o, SV_LIT("a"), &two));
	assert_int_equal(order_count(o), 2);
	e = order_after(o, SV_LIT(""));
	assert_ptr_equal(e->value, &one);
	assert_ptr_equal(e->next->value, &two);
	assert_null(e->next->next);
	assert_ptr_equal(order_after(o, SV_LIT("a"))->value, &two);
	assert_ptr_equal(order_after(o, SV_LIT("aa"))->value, &two);
	assert_null(order_after(o, SV_LIT("b")));
	assert_true(order_del(o, SV_LIT("a")));
	assert_ptr_equal(order_after(o, SV_LIT(""))->value, &two);
	order_free(&o);
	assert_null(o);
}

static void
check(const struct order *o, const struct thing *t, size_t n)
{
	const struct order_entry *e = order_after(o, SV_LIT(""));
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		if (!t[i].in)
			continue;
		assert_non_null(e);
		assert_ptr_equal(e->value, &t[i]);
		e = e->next;
		count++;
	}
	assert_null(e);
	assert_int_equal(order_count(o), count);
}

/* Added in any order, half of them removed, listed page by page from the last name of the page before. */
static void
test_many(void **state)
{
	struct thing *t = calloc(MANY, sizeof(*t));
	struct order *o = order_new();
	const struct order_entry *e;
	size_t at = 0, seen = 0;
	struct sv after = SV_LIT("");

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		(void)snprintf(t[i].name, sizeof(t[i].name), "%06zu", i);
	for (size_t i = 0; i < MANY; i++) {
		at = (at + 61803) % MANY;
		assert_true(order_add(o, name_of(&t[at]), &t[at]));
		t[at].in = true;
	}
	check(o, t, MANY);
	for (size_t i = 0; i < MANY / 2; i++) {
		at = (at + 38197) % MANY;
		assert_int_equal(order_del(o, name_of(&t[at])), t[at].in);
		t[at].in = false;
	}
	check(o, t, MANY);
	while ((e = order_after(o, after)) != NULL)
		for (size_t i = 0; i < 500 && e != NULL; i++, e = e->next) {
			after = e->key;
			seen++;
		}
	assert_int_equal(seen, order_count(o));
	order_free(&o);
	free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few),
		cmocka_unit_test(test_many),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
