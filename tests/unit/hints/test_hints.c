/* SPDX-License-Identifier: BSD-2-Clause */
/* Hints: set, get, expire, walk, sweep, and a damaged file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "hints/hints.h"

static char dir[64];

static void
count(void *arg, struct sv key, struct sv value)
{
	(*(int *)arg)++;
}

static bool
is(struct hints *h, const char *db, struct sv key, int64_t now, const char *want)
{
	struct sb out = SB_INIT(100000);
	bool found = hints_get(h, db, key, now, &out), same = found && sv_eqs(sb_sv(&out), want);

	sb_free(&out);
	return (want == NULL ? !found : same);
}

static void
test_values(void **state)
{
	struct err e = ERR_INIT;
	struct hints *h;
	char longkey[3000];
	int n = 0;

	assert_int_equal(hints_open(&h, dir, &e), 0);
	assert_int_equal(hints_put(h, "rate", SV_LIT("a"), SV_LIT("1"), 100, 10, &e), 0);
	assert_int_equal(hints_put(h, "rate", SV_LIT("b"), SV_LIT("2"), 100, 100, &e), 0);
	assert_int_equal(hints_put(h, "seen", SV_LIT("a"), SV_LIT("3"), 100, 100, &e), 0);
	assert_true(is(h, "rate", SV_LIT("a"), 105, "1"));
	assert_true(is(h, "rate", SV_LIT("a"), 110, NULL));
	assert_true(is(h, "seen", SV_LIT("a"), 110, "3"));
	assert_true(is(h, "rat", SV_LIT("ea"), 110, NULL));
	hints_walk(h, "rate", 101, count, &n);
	assert_int_equal(n, 2);
	memset(longkey, 'x', sizeof(longkey));
	assert_int_equal(hints_put(h, "rate", sv_from(longkey, 3000), SV_LIT("long"), 100, 100, &e), 0);
	longkey[2999] = 'y';
	assert_true(is(h, "rate", sv_from(longkey, 3000), 101, NULL));
	longkey[2999] = 'x';
	assert_true(is(h, "rate", sv_from(longkey, 3000), 101, "long"));
	assert_int_equal(hints_sweep(h, 150, 1000), 1);
	hints_del(h, "rate", SV_LIT("b"));
	assert_true(is(h, "rate", SV_LIT("b"), 101, NULL));
	hints_close(&h);
	/* It stays over a close. */
	assert_int_equal(hints_open(&h, dir, &e), 0);
	assert_true(is(h, "seen", SV_LIT("a"), 110, "3"));
	hints_close(&h);
}

static void
test_damage(void **state)
{
	struct err e = ERR_INIT;
	struct hints *h;
	char path[100];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/data.mdb", dir);
	f = fopen(path, "wb");
	assert_non_null(f);
	for (int i = 0; i < 20000; i++)
		(void)fputc('z', f);
	(void)fclose(f);
	assert_int_equal(hints_open(&h, dir, &e), 0);
	assert_true(is(h, "seen", SV_LIT("a"), 110, NULL));
	assert_int_equal(hints_put(h, "seen", SV_LIT("a"), SV_LIT("4"), 100, 100, &e), 0);
	assert_true(is(h, "seen", SV_LIT("a"), 110, "4"));
	hints_close(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_values), cmocka_unit_test(test_damage) };
	char cmd[100];
	int rc;

	(void)snprintf(dir, sizeof(dir), "/tmp/hints.%d", (int)getpid());
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	(void)snprintf(cmd, sizeof(cmd), "%s/data.mdb", dir);
	(void)unlink(cmd);
	(void)snprintf(cmd, sizeof(cmd), "%s/lock.mdb", dir);
	(void)unlink(cmd);
	(void)rmdir(dir);
	return (rc);
}
