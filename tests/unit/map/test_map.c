/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps: what our reader sees in files that libdb wrote (also after deletions, with long
 * items, repeated keys and NULs), what libdb sees in ours, freshness, broken files.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <db.h>

#include "base/arena.h"
#include "map/lsearch.h"
#include "map/map.h"
#include "map/rebuild.h"
#include "map/update.h"
#include "os/file.h"
#include "os/time.h"

static char dir[64];

static const char *
at(const char *name)
{
	static char buf[4][128];
	static unsigned n;

	n = (n + 1) % 4;
	(void)snprintf(buf[n], sizeof(buf[n]), "%s/%s", dir, name);
	return (buf[n]);
}

static int
setup(void **state)
{
	/* Logic, not durability, is tested here: in memory where that is possible. */
	(void)snprintf(dir, sizeof(dir), "%s/vpost-map.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	return (mkdtemp(dir) == NULL ? -1 : 0);
}

static int
teardown(void **state)
{
	char cmd[128];

	(void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return (system(cmd));
}

static DB *
db_make(const char *path, DBTYPE type, u_int32_t flags, u_int32_t pagesize)
{
	DB *db;

	assert_int_equal(db_create(&db, NULL, 0), 0);
	db->set_errfile(db, NULL);
	if (flags != 0)
		assert_int_equal(db->set_flags(db, flags), 0);
	if (pagesize != 0)
		assert_int_equal(db->set_pagesize(db, pagesize), 0);
	assert_int_equal(db->open(db, NULL, path, NULL, type, DB_CREATE | DB_TRUNCATE, 0600), 0);
	return (db);
}

static void
db_put(DB *db, const void *k, size_t klen, const void *v, size_t vlen)
{
	DBT key, val;
	int rc;

	memset(&key, 0, sizeof(key));
	memset(&val, 0, sizeof(val));
	key.data = (void *)(uintptr_t)k;
	key.size = (u_int32_t)klen;
	val.data = (void *)(uintptr_t)v;
	val.size = (u_int32_t)vlen;
	rc = db->put(db, NULL, &key, &val, 0);
	if (rc != DB_KEYEXIST)		/* of sorted duplicates */
		assert_int_equal(rc, 0);
}

static void
db_del(DB *db, const void *k, size_t klen)
{
	DBT key;

	memset(&key, 0, sizeof(key));
	key.data = (void *)(uintptr_t)k;
	key.size = (u_int32_t)klen;
	(void)db->del(db, NULL, &key, 0);
}

static uint64_t seed = 42;

static unsigned
rnd(unsigned n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return ((unsigned)(seed >> 33) % n);
}

/* Compare all that libdb's cursor gives with our walk, in both directions. */
static void
compare(const char *path, DBTYPE type)
{
	struct map *m = map_open(path, MAP_HASH, 0);
	struct err err = ERR_INIT;
	size_t n = 0;
	DBT k, v;
	DBC *c;
	DB *db;

	if (map_refresh(m, 0, &err) != MAP_FOUND)
		fail_msg("%s", err.text);
	assert_int_equal(db_create(&db, NULL, 0), 0);
	assert_int_equal(db->open(db, NULL, path, NULL, type, DB_RDONLY, 0), 0);
	assert_int_equal(db->cursor(db, NULL, &c, 0), 0);
	memset(&k, 0, sizeof(k));
	memset(&v, 0, sizeof(v));
	while (c->get(c, &k, &v, DB_NEXT) == 0) {
		struct sv key = sv_from(k.data, k.size), want = sv_from(v.data, v.size), got;
		size_t pos = 0;
		bool found = false;

		while (!found && map_get_next(m, key, MAP_NONUL, &pos, &got))
			found = sv_eq(got, want);
		assert_true(found);
		n++;
	}
	assert_int_equal(n, map_count(m));
	(void)c->close(c);
	(void)db->close(db, 0);
	map_close(&m);
}

static void
test_reads_libdb(void **state)
{
	static const struct { DBTYPE type; u_int32_t flags, pagesize; } kinds[] = {
		{ DB_HASH, 0, 0 }, { DB_HASH, DB_DUP, 0 }, { DB_HASH, 0, 512 }, { DB_HASH, DB_DUP, 512 },
		{ DB_BTREE, 0, 0 }, { DB_BTREE, DB_DUP, 0 }, { DB_BTREE, 0, 512 }, { DB_BTREE, DB_DUP, 512 },
		{ DB_HASH, DB_CHKSUM, 0 }, { DB_BTREE, DB_CHKSUM, 0 }, { DB_HASH, DB_DUP | DB_DUPSORT, 512 },
	};
	static char big[70000];

	memset(big, 'x', sizeof(big));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (int ops = 0; ops <= 3000; ops = ops * 3 + 1) {
			DB *db = db_make(at("r.db"), kinds[i].type, kinds[i].flags, kinds[i].pagesize);

			for (int j = 0; j < ops; j++) {
				char key[64];
				int klen = snprintf(key, sizeof(key), "key%u@example.org", rnd(400));

				if (rnd(5) == 0)
					db_del(db, key, (size_t)klen);
				else {
					char val[32];
					int vlen = snprintf(val, sizeof(val), "%u", rnd(1000000));

					if (rnd(20) == 0 && (kinds[i].flags & DB_DUPSORT) == 0)
						db_put(db, key, (size_t)klen, big, rnd(30000));
					else if ((kinds[i].flags & DB_DUPSORT) == 0)
						db_put(db, key, (size_t)klen, val, (size_t)vlen);
					else
						db_put(db, key, (size_t)klen, val, 3);
				}
			}
			if (ops > 0 && rnd(2) == 0)
				db_put(db, big, 5000, big, 60000);
			assert_int_equal(db->close(db, 0), 0);
			compare(at("r.db"), kinds[i].type);
		}
}

static void
test_nul(void **state)
{
	DB *db = db_make(at("n.db"), DB_HASH, 0, 0);
	struct map *m = map_open(at("n.db"), MAP_HASH, 0);
	struct err err = ERR_INIT;
	struct sv v;

	db_put(db, "with", 5, "value", 6);
	db_put(db, "plain", 5, "p", 1);
	db_put(db, "both", 4, "1", 1);
	db_put(db, "both", 5, "2", 2);
	assert_int_equal(db->close(db, 0), 0);
	assert_int_equal(map_get(m, SV_LIT("with"), 0, &v, &err), MAP_FOUND);
	assert_true(sv_eqs(v, "value"));
	assert_int_equal(map_get(m, SV_LIT("with"), MAP_NONUL, &v, &err), MAP_NOTFOUND);
	assert_int_equal(map_get(m, SV_LIT("plain"), 0, &v, &err), MAP_FOUND);
	assert_int_equal(map_get(m, SV_LIT("plain"), MAP_NUL, &v, &err), MAP_NOTFOUND);
	assert_int_equal(map_get(m, SV_LIT("both"), 0, &v, &err), MAP_FOUND);
	assert_true(sv_eqs(v, "1"));
	assert_int_equal(map_get(m, SV_LIT("both"), MAP_NUL, &v, &err), MAP_FOUND);
	assert_true(sv_eqs(v, "2"));
	map_close(&m);
}

/* What we write, libdb and we ourselves read; 0, 1, many; both forms of keys. */
static void
test_rebuild(void **state)
{
	static const enum map_type types[] = { MAP_HASH, MAP_BTREE, MAP_CDB };

	for (size_t i = 0; i < 3; i++)
		for (unsigned nul = 0; nul < 2; nul++)
			for (int n = 0; n <= 2000; n = n * 7 + 1) {
				struct err err = ERR_INIT;
				struct map_rebuild *r = map_rebuild_open(at("w"), types[i], nul ? MAP_RB_NUL : 0, 0640, &err);
				struct map *m = map_open(at("w"), types[i], 0);
				struct sv v;

				assert_non_null(r);
				for (int j = 0; j < n; j++) {
					char key[32], val[32];

					(void)snprintf(key, sizeof(key), "k%d", j);
					(void)snprintf(val, sizeof(val), "v%d", j);
					assert_int_equal(map_rebuild_put(r, sv_cstr(key), sv_cstr(val)), MAP_PUT_OK);
					assert_int_equal(map_rebuild_put(r, sv_cstr(key), sv_cstr(val)), MAP_PUT_DUP);
				}
				if (map_rebuild_commit(&r, &err) == -1)
					fail_msg("%s", err.text);
				if (types[i] != MAP_CDB && !nul)
					compare(at("w"), types[i] == MAP_HASH ? DB_HASH : DB_BTREE);
				assert_int_equal(map_refresh(m, 0, &err), MAP_FOUND);
				assert_int_equal(map_count(m), n);
				if (n > 0) {
					assert_int_equal(map_get(m, SV_LIT("k0"), nul ? MAP_NUL : MAP_NONUL, &v, &err), MAP_FOUND);
					assert_true(sv_eqs(v, "v0"));
				}
				assert_int_equal(map_get(m, SV_LIT("nope"), 0, &v, &err), MAP_NOTFOUND);
				map_close(&m);
			}
}

static void
test_modes_and_append(void **state)
{
	struct err err = ERR_INIT;
	struct map_rebuild *r = map_rebuild_open(at("m.db"), MAP_HASH, 0, 0640, &err);
	struct map *m = map_open(at("m.db"), MAP_HASH, 0);
	struct stat st;
	struct sv v;

	(void)map_rebuild_put(r, SV_LIT("a"), SV_LIT("1"));
	assert_int_equal(map_rebuild_commit(&r, &err), 0);
	assert_int_equal(stat(at("m.db"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(chmod(at("m.db"), 0604), 0);
	r = map_rebuild_open(at("m.db"), MAP_HASH, MAP_RB_APPEND | MAP_RB_REPLACE, 0640, &err);
	(void)map_rebuild_put(r, SV_LIT("a"), SV_LIT("2"));
	(void)map_rebuild_put(r, SV_LIT("b"), SV_LIT("3"));
	assert_int_equal(map_rebuild_commit(&r, &err), 0);
	assert_int_equal(stat(at("m.db"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0604);
	assert_int_equal(map_get(m, SV_LIT("a"), 0, &v, &err), MAP_FOUND);
	assert_true(sv_eqs(v, "2"));
	assert_int_equal(map_count(m), 2);
	r = map_rebuild_open(at("m.db"), MAP_BTREE, MAP_RB_DUP, 0640, &err);
	(void)map_rebuild_put(r, SV_LIT("a"), SV_LIT("2"));
	(void)map_rebuild_put(r, SV_LIT("a"), SV_LIT("1"));
	assert_int_equal(map_rebuild_commit(&r, &err), 0);
	assert_int_equal(map_get(m, SV_LIT("a"), MAP_FRESH, &v, &err), MAP_FOUND);
	assert_int_equal(map_count(m), 2);
	map_close(&m);
}

static int
bump(void *arg, struct map_edit *e, struct err *err)
{
	struct sv v = map_edit_get(e, SV_LIT("n"));
	char buf[32];

	(void)snprintf(buf, sizeof(buf), "%d", (v.p == NULL ? 0 : (int)strtol(v.p, NULL, 10)) + 1);
	map_edit_set(e, SV_LIT("n"), sv_cstr(buf));
	(void)map_edit_del(e, SV_LIT("gone"));
	return (0);
}

static int
nothing(void *arg, struct map_edit *e, struct err *err)
{
	map_edit_set(e, SV_LIT("n"), SV_LIT("201"));
	assert_false(map_edit_del(e, SV_LIT("gone")));
	return (0);
}

/* Two processes count up a hundred times each: no step is lost. */
static void
test_update(void **state)
{
	struct map *m = map_open(at("u.db"), MAP_HASH, MAP_OPTIONAL);
	struct err err = ERR_INIT;
	int status;
	struct sv v;
	pid_t pid;

	assert_int_equal(map_get(m, SV_LIT("n"), MAP_FRESH, &v, &err), MAP_NOTFOUND);
	assert_int_equal(map_update(at("u.db"), MAP_HASH, 0600, bump, NULL, &err), 1);
	pid = fork();
	for (int i = 0; i < 100; i++)
		if (map_update(at("u.db"), MAP_HASH, 0600, bump, NULL, &err) != 1)
			_exit(1);
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(map_get(m, SV_LIT("n"), MAP_FRESH, &v, &err), MAP_FOUND);
	assert_true(sv_eqs(v, "201"));
	assert_int_equal(map_update(at("u.db"), MAP_HASH, 0600, nothing, NULL, &err), 0);
	map_close(&m);
}

struct intrude {
	int	 calls;
};

/* While we change the map, another program writes to it in place: both changes must be there. */
static int
intrude(void *arg, struct map_edit *e, struct err *err)
{
	struct intrude *in = arg;

	if (in->calls++ == 0) {
		DB *db;

		assert_int_equal(db_create(&db, NULL, 0), 0);
		assert_int_equal(db->open(db, NULL, at("i.db"), NULL, DB_HASH, 0, 0600), 0);
		db_put(db, "theirs", 6, "1", 1);
		assert_int_equal(db->close(db, 0), 0);
	}
	map_edit_set(e, SV_LIT("ours"), SV_LIT("2"));
	return (0);
}

static void
test_foreign_writer(void **state)
{
	DB *db = db_make(at("i.db"), DB_HASH, 0, 0);
	struct map *m = map_open(at("i.db"), MAP_HASH, 0);
	struct intrude in = { 0 };
	struct err err = ERR_INIT;
	struct sv v;

	assert_int_equal(db->close(db, 0), 0);
	assert_int_equal(map_update(at("i.db"), MAP_HASH, 0600, intrude, &in, &err), 1);
	assert_int_equal(in.calls, 2);
	assert_int_equal(map_get(m, SV_LIT("ours"), 0, &v, &err), MAP_FOUND);
	assert_int_equal(map_get(m, SV_LIT("theirs"), 0, &v, &err), MAP_FOUND);
	/* makemap begins with an empty map: until it is done the old content answers. */
	db = db_make(at("i.db"), DB_HASH, 0, 0);
	assert_int_equal(db->sync(db, 0), 0);
	assert_int_equal(map_get(m, SV_LIT("ours"), MAP_FRESH, &v, &err), MAP_FOUND);
	db_put(db, "third", 5, "3", 1);
	assert_int_equal(db->close(db, 0), 0);
	os_sleep_ms(MAP_SETTLE_MS + 20);
	assert_int_equal(map_get(m, SV_LIT("third"), MAP_FRESH, &v, &err), MAP_FOUND);
	assert_int_equal(map_get(m, SV_LIT("ours"), MAP_FRESH, &v, &err), MAP_NOTFOUND);
	map_close(&m);
}

static void
test_broken(void **state)
{
	static const char v185[] = "\x00\x06\x15\x61\x00\x00\x00\x02" "0123456789";
	static const struct { const char *bytes; size_t len; const char *want; } cases[] = {
		{ "", 0, "empty" }, { "foo bar\n", 8, "damaged" }, { v185, sizeof(v185), "1.85 file: rebuild with makemap" },
	};
	struct map *m = map_open(at("b.db"), MAP_HASH, 0);
	struct err err = ERR_INIT;
	struct sv v;
	char cmd[256];

	assert_int_equal(map_get(m, SV_LIT("x"), MAP_FRESH, &v, &err), MAP_ERROR);
	assert_non_null(strstr(err.text, "No such file"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(os_write_replace(at("b.db"), sv_from(cases[i].bytes, cases[i].len), 0600, &err), 0);
		assert_int_equal(map_get(m, SV_LIT("x"), MAP_FRESH, &v, &err), MAP_ERROR);
		assert_int_equal(err.cls, ERR_TEMP);
		if (strstr(err.text, cases[i].want) == NULL)
			fail_msg("%s", err.text);
		/* And a writer does not touch it. */
		assert_int_equal(map_update(at("b.db"), MAP_HASH, 0600, bump, NULL, &err), -1);
	}
	/* A good file cut short. */
	(void)snprintf(cmd, sizeof(cmd), "rm -f %s", at("b.db"));
	assert_int_equal(system(cmd), 0);
	assert_int_equal(map_update(at("b.db"), MAP_HASH, 0600, bump, NULL, &err), 1);
	assert_int_equal(map_get(m, SV_LIT("n"), MAP_FRESH, &v, &err), MAP_FOUND);
	assert_int_equal(truncate(at("b.db"), 5000), 0);
	os_sleep_ms(MAP_SETTLE_MS + 20);
	assert_int_equal(map_get(m, SV_LIT("n"), MAP_FRESH, &v, &err), MAP_ERROR);
	assert_int_equal(mkdir(at("d.db"), 0700), 0);
	map_close(&m);
	m = map_open(at("d.db"), MAP_HASH, MAP_OPTIONAL);
	assert_int_equal(map_get(m, SV_LIT("n"), MAP_FRESH, &v, &err), MAP_ERROR);
	map_close(&m);
}

static void
test_text(void **state)
{
	static const char text[] =
	    "# comment\n\n"
	    "Alpha: one,\n   two\n# in between\n\n\tthree  \n"
	    "\"quo ted\\\"x\\n\": v1\n"
	    "beta value here\n"
	    "gamma:v2\r\n"
	    "empty\n"
	    "alpha: second\n"
	    "last:   x";
	static const struct { const char *key, *want; } cases[] = {
		{ "alpha", "one, two three" }, { "ALPHA", "one, two three" }, { "quo ted\"x\n", "v1" }, { "beta", "value here" },
		{ "gamma", "v2" }, { "empty", "" }, { "last", "x" }, { "nope", NULL }, { "# comment", NULL },
	};
	struct map *m = map_open(at("t"), MAP_TEXT, 0);
	struct err err = ERR_INIT;
	struct sv v;

	assert_int_equal(os_write_replace(at("t"), sv_cstr(text), 0600, &err), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum map_result r = map_get(m, sv_cstr(cases[i].key), 0, &v, &err);

		assert_int_equal(r, cases[i].want != NULL ? MAP_FOUND : MAP_NOTFOUND);
		if (cases[i].want != NULL && !sv_eqs(v, cases[i].want))
			fail_msg("%s: got '" SV_FMT "'", cases[i].key, SV_ARG(v));
	}
	map_close(&m);
}

static void
test_lsearch_lines(void **state)
{
	struct lsearch l;
	struct lsearch_entry e;

	lsearch_init(&l, sv_cstr(" stray\na: b\n \"x\n\n\"open: x\n"));
	assert_true(lsearch_next(&l, &e));
	assert_non_null(e.wrong);
	assert_int_equal(e.line, 1);
	assert_true(lsearch_next(&l, &e));
	assert_int_equal(e.line, 2);
	assert_true(e.colon);
	assert_true(sv_eqs(e.value, "b \"x"));
	assert_true(lsearch_next(&l, &e));
	assert_int_equal(e.line, 5);
	assert_non_null(e.wrong);
	assert_false(lsearch_next(&l, &e));
	lsearch_free(&l);
}

/* The figure of DESIGN section 4; told, not asserted. */
static void
test_time(void **state)
{
	struct err err = ERR_INIT;
	struct map_rebuild *r = map_rebuild_open(at("s.db"), MAP_HASH, 0, 0640, &err);
	struct map *m = map_open(at("s.db"), MAP_HASH, 0);
	int64_t t0 = os_mono_us(), t1, t2, t3;
	struct sv v;

	for (int i = 0; i < 10000; i++) {
		char key[32];

		(void)snprintf(key, sizeof(key), "10.%d.%d.1", i % 256, i / 256);
		(void)map_rebuild_put(r, sv_cstr(key), SV_LIT("1789012345"));
	}
	assert_int_equal(map_rebuild_commit(&r, &err), 0);
	t1 = os_mono_us();
	assert_int_equal(map_refresh(m, 0, &err), MAP_FOUND);
	t2 = os_mono_us();
	for (int i = 0; i < 10000; i++)
		assert_int_equal(map_get(m, SV_LIT("10.7.7.1"), MAP_FRESH, &v, &err), MAP_FOUND);
	t3 = os_mono_us();
	assert_int_equal(map_update(at("s.db"), MAP_HASH, 0600, bump, NULL, &err), 1);
	print_message("10,000 entries: rebuild %.1f ms, load %.2f ms, fresh look-up %.2f us, change of one %.1f ms\n",
	    (double)(t1 - t0) / 1e3, (double)(t2 - t1) / 1e3, (double)(t3 - t2) / 1e4, (double)(os_mono_us() - t3) / 1e3);
	map_close(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_libdb),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_rebuild),
		cmocka_unit_test(test_modes_and_append),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_foreign_writer),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_lsearch_lines),
		cmocka_unit_test(test_time),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
