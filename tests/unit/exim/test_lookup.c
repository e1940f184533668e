/* SPDX-License-Identifier: BSD-2-Clause */
/* Lookups: types, partial and default keys, options, captures, DNS, maps, failures. */
#include "expand_env.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include "exim/acl.h"
#include "map/rebuild.h"

struct row {
	const char	*text, *want;
};

static void
check_rows(const struct row *rows, size_t n, const struct exim_world *w)
{
	for (int pass = 0; pass < 2; pass++) {
		struct test_env t;

		test_env_init(&t, pass == 0);
		if (w != NULL)
			t.env.world = w;
		for (int again = 0; again < 2; again++)
			for (size_t i = 0; i < n; i++) {
				const char *got = test_expand(&t, rows[i].text);

				if (strcmp(got, rows[i].want) != 0)
					fail_msg("%s\n  got:  %s\n  want: %s", rows[i].text, got, rows[i].want);
			}
		exim_caches_message(t.env.caches);
		test_env_fini(&t);
	}
}
#define ROWS(r)	check_rows(r, sizeof(r) / sizeof((r)[0]), NULL)

static void
test_text_files(void **state)
{
	static const struct row rows[] = {
		{ "${lookup{ROOT}lsearch{/t/aliases}}|${lookup{no}lsearch{/t/aliases}}", "alice|" },
		{ "${lookup{multi}lsearch{/t/aliases}}|${lookup{quoted key}lsearch{/t/aliases}}", "a@x, b@x|quoted value" },
		{ "${lookup{dup}lsearch{/t/aliases}}|${lookup{plain}lsearch{/t/aliases}}|${lookup{empty}lsearch{/t/aliases}{[$value]}{n}}",
		    "first|value|[]" },
		{ "${lookup{no}lsearch{/t/aliases}{y}{n}}|${lookup{no}lsearch{/t/aliases}{y}fail}",
		    "!!\"lookup\" failed and \"fail\" requested" },
		{ "${lookup{x.y.test}psl{/t/psl}}|${lookup{test}psl{/t/psl}{y}{n}}|${lookup{x.y.TEST}regdom{/t/psl}}|"
		    "${lookup{test}regdom{/t/psl}{y}{n}}|${lookup{a.b.corp.test}regdom{/t/psl}}|${lookup{corp.test}psl{/t/psl}}",
		    "test|n|y.test|n|b.corp.test|test" },
		{ "${lookup{a.wild.test}psl{/t/psl}}|${lookup{a.wild.test}regdom{/t/psl}{y}{n}}|${lookup{c.b.a.wild.test}regdom{/t/psl}}|"
		    "${lookup{x.not.wild.test}psl{/t/psl}}|${lookup{x.not.wild.test}regdom{/t/psl}}|${lookup{x.org}psl{/t/psl}{y}{n}}",
		    "a.wild.test|n|b.a.wild.test|wild.test|not.wild.test|n" },
		{ "${lookup{b.a.\xc3\xa9t\xc3\xa9.test}regdom{/t/psl}}|${lookup{b.xn--t-9fab.test}psl{/t/psl}}|${lookup{x}psl{/t/none}}",
		    "!failed to open /t/none for psl lookup: No such file or directory" },
		{ "${lookup{b.a.\xc3\xa9t\xc3\xa9.test}regdom{/t/psl}}|${lookup{b.xn--t-9fab.test}psl{/t/psl}}",
		    "a.\xc3\xa9t\xc3\xa9.test|xn--t-9fab.test" },
		{ "${lookup{o}json{/t/values.json}}|${lookup{o:a}json{/t/values.json}}|${lookup{o:b}json{/t/values.json}}|${lookup{s}json{/t/values.json}}",
		    "{\"a\": [1, 2, \"x , \\\"y: z\"], \"b\": {}}|[1, 2, \"x , \\\"y: z\"]|{}|t , u" },
		{ "${lookup{no}lsearch*{/t/aliases}}|${lookup{x@example.test}lsearch*@{/t/aliases}{$1 $value}}", "star|x domain default" },
		{ "${lookup{a.b.wild.test}partial-lsearch{/t/domains}{$1,$2,$value}}", "a.b,wild.test,wild" },
		{ "${lookup{hosted1.test}partial-lsearch{/t/domains}{[$1] $2}}|$1", "[] hosted1.test|" },
		{ "${lookup{a.dot.test}partial(.)lsearch{/t/domains}}|${lookup{wild.test}partial-lsearch{/t/domains}}", "dot|wild" },
		{ "${lookup{x.y.wild.test}partial4-lsearch{/t/domains}}", "" }, { "${lookup{x}partial0-lsearch{/t/aliases}}", "star" },
		{ "${lookup{root}lsearch,ret=key{/t/aliases}}|${lookup{root}lsearch,ret=full{/t/aliases}}", "root|root: alice" },
		{ "${lookup{a:b}lsearch,ret=full{/t/gaps}}|${lookup{plain}lsearch,ret=full{/t/gaps}}|"
		    "${lookup{colon}lsearch,ret=full{/t/gaps}}", "a:b \t x y|plain   v w|colon :  v w" },
		{ "${lookup{}lsearch{/t/aliases}{y}{n}}", "n" },
		{ "${lookup{root}lsearch{/t/none}}", "!failed to open /t/none for linear search: No such file or directory" },
		{ "${lookup{root}lsearch{/t/dir}}", "!/t/dir is not a regular file (lsearch lookup)" },
		{ "${lookup{exact.test}wildlsearch{/t/wild}}|${lookup{x.tail.test}wildlsearch{/t/wild}}", "exact|tail" },
		{ "${lookup{42}wildlsearch{/t/wild}}|${lookup{xa}wildlsearch{/t/wild}{$value$1}}|${lookup{zz}wildlsearch{/t/wild}}",
		    "digits|one letter|any" },
		{ "${lookup{v7}nwildlsearch{/t/nwild}}|${lookup{q.x}nwildlsearch{/t/nwild}}|${lookup{q}nwildlsearch{/t/nwild}}",
		    "digits|x|" },
		{ "${lookup{192.0.2.1}iplsearch{/t/ip}}|${lookup{192.0.2.9}iplsearch{/t/ip}}|${lookup{2001:db8::9}iplsearch{/t/ip}}",
		    "host|net|six" },
		{ "${lookup{203.0.113.1}iplsearch{/t/ip}{y}{n}}|${lookup{203.0.113.1}iplsearch*{/t/ip}}", "n|other" },
		{ "${lookup{entry}dsearch{/t/dir}}|${lookup{no}dsearch{/t/dir}}|${lookup{entry}dsearch,ret=full{/t/dir}}",
		    "entry||/t/dir/entry" },
		{ "${lookup{sub}dsearch,filter=dir{/t/dir}}|${lookup{sub}dsearch,filter=file{/t/dir}{y}{n}}", "sub|n" },
		{ "${lookup{sub/../entry}dsearch,key=path{/t/dir}}",
		    "?lookup of \"sub/../entry\" gave DEFER: key for dsearch lookup contains a slash: sub/../entry" },
		{ "${lookup{sub/no}dsearch,key=path{/t/dir}{y}{n}}|${lookup{entry}dsearch,key=path{/t/dir}}", "n|entry" },
		{ "${lookup{entry}dsearch{t/dir}}", "!dirname 't/dir' for dsearch is not absolute" },
		{ "${lookup{a/b}dsearch{/t/dir}}", "?lookup of \"a/b\" gave DEFER: key for dsearch lookup contains a slash: a/b" },
		{ "${lookup{a:1:b}json{/t/json}}|${lookup{s}json{/t/json}}|${lookup{a:0}json{/t/json}}|${lookup{x}json{/t/json}{y}{n}}",
		    "two|str|1|n" },
		{ "${lookup passwd{alice}}|${lookup passwd{no}{y}{n}}", "*:1001:1002:Alice,,,:/home/alice:/bin/sh|n" },
		{ "${lookup passwd{later}}", "?lookup of \"later\" gave DEFER: the password file cannot be read now" },
	};

	ROWS(rows);
}

static void
test_types(void **state)
{
	static const struct row rows[] = {
		{ "${lookup{x}nosuch{/t}}", "!unknown lookup type \"nosuch\"" }, { "${lookup}", "!missing lookup type" },
		{ "${lookup lsearch{/t}}", "!missing {key} for single-key \"lsearch\" lookup" },
		{ "${lookup{x}passwd{y}}",
		    "!a single key was given for lookup type \"passwd\", which is not a single-key lookup type" },
		{ "${lookup passwd*{x}}", "!defaults using \"*\" or \"*@\" are not permitted for lookup type \"passwd*\"" },
		{ "${lookup partial-passwd{x}}", "!\"partial\" is not permitted for lookup type \"passwd\"" },
		{ "${lookup{x}partialx-lsearch{/t}}", "!format error in lookup type \"partialx-lsearch\"" },
		{ "${lookup ibase{select 1}}|${lookup ibase{none}{y}{n}}", "ibase//select 1|n" },
		{ "${lookup ibase{later}}", "?lookup of \"later\" gave DEFER: server is away" },
		{ "${lookup mysql{select 1}}",
		    "?lookup of \"select 1\" gave DEFER: no MySQL servers defined (mysql_servers option)" },
		{ "${lookup mysql,servers=h::3307/d/u/p{select 1}}", "mysql/h::3307/d/u/p/select 1" },
		{ "${lookup pgsql{servers=a/b/c/d:e/f/g/h; select 1}}", "pgsql/a/b/c/d:e/f/g/h/select 1" },
		{ "${lookup pgsql,servers=far{select 1}}",
		    "?lookup of \"select 1\" gave DEFER: PostgreSQL server \"far\" not found in pgsql_servers" },
		{ "${lookup redis,servers=h/0/p{get x}}", "redis/h/0/p/get x" },
		{ "${lookup sqlite,file=/d{q}}|${lookup sqlite{/d q}}", "sqlite//d/q|sqlite//d/q" },
		{ "${lookup sqlite{q}}", "!absolute file name expected for \"sqlite\" lookup" },
	};

	ROWS(rows);
}

static char told[256];

static void
keep_line(void *arg, unsigned logs, struct sv line)
{
	assert_int_equal(logs, EXIM_LOG_MAIN | EXIM_LOG_PANIC);
	assert_true(sv_cpy(told, sizeof(told), line));
}

/* Queries with what a peer sent are done; the log tells of those that were not quoted as a whole for their kind of database. */
static void
test_queries_of_peers(void **state)
{
#define WARNS	"tainted search query is not properly quoted"
	static const struct { const char *text, *want; } rows[] = {
		{ "${lookup ibase{select 'a'}}", NULL }, { "${lookup ibase{$local_part}}", NULL },
		{ "${lookup pgsql,servers=a/b/c/d{a '$local_part'}}", WARNS " (router r, /c 7): a 'Local'" },
		{ "${lookup pgsql,servers=a/b/c/d{b '${quote_pgsql:$local_part}'}}", NULL },
		{ "${lookup pgsql,servers=a/b/c/d{c '${quote_mysql:$local_part}'}}", WARNS " (router r, /c 7): c 'Local'" },
		{ "${lookup mysql,servers=a/b/c/d{d '${quote_mysql:$local_part}' '${quote_mysql:$domain}'}}", NULL },
		{ "${lookup mysql,servers=a/b/c/d{e '${quote_mysql:$local_part}' '$domain'}}", WARNS " (router r, /c 7): e 'Local' 'dom.test'" },
		{ "${lookup mysql,servers=a/b/c/d{f '$domain' '${quote_mysql:$local_part}'}}", WARNS " (router r, /c 7): f 'dom.test' 'Local'" },
		{ "${lookup mysql,servers=a/b/c/d{g '${quote_mysql:$local_part}${quote_pgsql:$domain}'}}",
		    WARNS " (router r, /c 7): g 'Localdom.test'" },
		{ "${lookup mysql,servers=a/b/c/d{h '${quote_pgsql:${quote_mysql:$local_part}}'}}", WARNS " (router r, /c 7): h 'Local'" },
		{ "${lookup mysql,servers=a/b/c/d{i '${quote_mysql:${quote_pgsql:$local_part}}'}}", NULL },
		{ "${lookup mysql,servers=a/b/c/d{j '${lc:${quote_mysql:$local_part}}'}}", NULL },
		{ "${lookup mysql,servers=a/b/c/d{k '${sg{${quote_mysql:$local_part}}{a}{b}}'}}", NULL },
		{ "${lookup mysql,servers=a/b/c/d{l '${strlen:$local_part}'}}", NULL },
		{ "${lookup mysql,servers=a/b/c/d{m '${if match{${quote_mysql:$local_part}}{(.*)}{$1}}'}}", NULL },
		{ "${lookup mysql,servers=a/b/c/d{n '${map{${quote_mysql:$local_part}}{$item}}'}}", NULL },
		{ "${lookup mysql,servers=a/b/c/d{o '${quote:$local_part}'}}", WARNS " (router r, /c 7): o 'Local'" },
		{ "${lookup mysql,servers=a/b/c/d{p '${quote_mysql:$sender_address}$tod_epoch${map{$domain}{}}'}}", NULL },
		{ "${lookup sqlite,file=/d{'$local_part'}}", NULL },
		{ "${lookup sqlite,file=/d{'$local_part'}}", NULL },
		{ "${lookup mysql{servers=a/b/c/d; ${quote_mysql:$domain}}}", "!MySQL server \"a/b/c/d\" is tainted" },
	};
	struct exim_world w = test_world;
	struct test_env t;

	test_env_init(&t, false);
	w.log = keep_line;
	t.env.world = &w;
	t.env.at = (struct exim_place){ "router", "r", "/c", 7 };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *got;

		told[0] = '\0';
		got = test_expand(&t, rows[i].text);
		if (rows[i].want != NULL && rows[i].want[0] == '!') {
			if (strstr(got, rows[i].want + 1) == NULL)
				fail_msg("%s: %s", rows[i].text, got);
		} else if (strcmp(told, rows[i].want == NULL ? "" : rows[i].want) != 0 || got[0] == '!')
			fail_msg("%s: %s, told: %s", rows[i].text, got, told);
	}
	test_env_fini(&t);
}

static void
test_dnsdb(void **state)
{
	static const struct row rows[] = {
		{ "${lookup dnsdb{mx=mx.test}}", "10 mx1.test\n20 mx2.test" }, { "${lookup dnsdb{>: mxh=mx.test}}", "mx1.test:mx2.test" },
		{ "${lookup dnsdb{>:,- mx=mx.test}}", "10-mx1.test:20-mx2.test" }, { "${lookup dnsdb{a=mx1.test}}", "198.51.100.11" },
		{ "${lookup dnsdb{>; a+=mx1.test}}", "2001:db8::1;198.51.100.11" },
		{ "${lookup dnsdb{>, a=mx1.test : none.test : mx2.test}}", "198.51.100.11,198.51.100.12" },
		{ "${lookup dnsdb{txt.test}}|${lookup dnsdb{>\\n; txt=txt.test}}|${lookup dnsdb{>\\n,: txt=txt.test}}",
		    "hello|hello world|hello: world" },
		{ "${lookup{u@spf.test}spf{192.0.2.7}}|${lookup{u@spf.test}spf{203.0.113.7}}|${lookup{u@none.test}spf{192.0.2.7}}",
		    "pass|fail|none" },
		{ "${lookup dnsdb{txt=a..b}}", "?lookup of \"txt=a..b\" gave DEFER: " },
		{ "${lookup dnsdb{ptr=192.0.2.1}}", "client.test" }, { "${lookup dnsdb{srv=_s._tcp.test}}", "1 2 25 mx1.test" },
		{ "${lookup dnsdb{soa=a.b.soa.test}}|${lookup dnsdb{>:,; soa=soa.test}}", "ns.test|ns.test;root.test;1;2;3;4;5" },
		{ "${lookup dnsdb{zns=x.y.test}}", "ns.test" }, { "${lookup dnsdb{tlsa=tlsa.test}}", "3 1 1 abcd" },
		{ "${lookup dnsdb{cname=alias.test}}", "mx1.test" }, { "${lookup dnsdb{a=none.test}{y}{n}}", "n" },
		{ "${lookup dnsdb{a=later.test}}", "?lookup of \"a=later.test\" gave DEFER: " },
		{ "${lookup dnsdb{a=later.test:mx1.test}}|${lookup dnsdb{defer_never,a=later.test}{y}{n}}", "198.51.100.11|n" },
		{ "${lookup dnsdb{defer_strict,a=later.test:mx1.test}}",
		    "?lookup of \"defer_strict,a=later.test:mx1.test\" gave DEFER: " },
		{ "${lookup dnsdb{dnssec_strict,a=mx1.test}}$lookup_dnssec_authenticated", "198.51.100.11yes" },
		{ "${lookup dnsdb{dnssec_strict,a=mx2.test}}", "?lookup of \"dnssec_strict,a=mx2.test\" gave DEFER: " },
		{ "${lookup dnsdb{foo=x}}", "?lookup of \"foo=x\" gave DEFER: unsupported DNS record type" },
		{ "${lookup dnsdb{defer_x,a=x}}", "?lookup of \"defer_x,a=x\" gave DEFER: unsupported dnsdb defer behaviour" },
	};

	ROWS(rows);
}

/* Real files: maps as makemap and exim_dbmbuild write them, and a text file that changes. */
static void
test_maps(void **state)
{
	char dir[] = "/tmp/vpost-lookup-XXXXXX", path[4][64], text[1024];
	struct exim_world w;
	struct err err = ERR_INIT;
	struct map_rebuild *r;
	struct test_env t;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path[0], sizeof(path[0]), "%s/nul.db", dir);
	(void)snprintf(path[1], sizeof(path[1]), "%s/plain.db", dir);
	(void)snprintf(path[2], sizeof(path[2]), "%s/c.cdb", dir);
	(void)snprintf(path[3], sizeof(path[3]), "%s/text", dir);
	for (int i = 0; i < 3; i++) {
		r = map_rebuild_open(path[i], i == 2 ? MAP_CDB : MAP_HASH, i == 0 ? MAP_RB_NUL : 0, 0600, &err);
		assert_non_null(r);
		(void)map_rebuild_put(r, SV_LIT("alice"), SV_LIT("one"));
		(void)map_rebuild_put(r, SV_LIT("*.wild.test"), SV_LIT("two"));
		assert_int_equal(map_rebuild_commit(&r, &err), 0);
	}
	exim_world_posix(&w);
	test_env_init(&t, true);
	t.env.world = &w;
	for (int i = 0; i < 3; i++) {
		const char *type = i == 0 ? "dbm" : i == 1 ? "dbmnz" : "cdb";

		(void)snprintf(text, sizeof(text), "${lookup{alice}%s{%s}}|${lookup{a.wild.test}partial-%s{%s}}|${lookup{x}%s{%s}{y}{n}}",
		    type, path[i], type, path[i], type, path[i]);
		assert_string_equal(test_expand(&t, text), "one|two|n");
	}
	(void)snprintf(text, sizeof(text), "${lookup{alice}dbmnz{%s}{y}{n}}", path[0]);
	assert_string_equal(test_expand(&t, text), "n");
	(void)snprintf(text, sizeof(text), "${lookup{k}lsearch{%s}}", path[3]);
	for (int i = 0; i < 2; i++) {
		f = fopen(path[3], "w");
		assert_non_null(f);
		(void)fprintf(f, i == 0 ? "k: old\n" : "k: newer\n");
		(void)fclose(f);
		assert_string_equal(test_expand(&t, text), i == 0 ? "old" : "newer");
	}
	test_env_fini(&t);
	for (int i = 0; i < 4; i++)
		(void)unlink(path[i]);
	(void)snprintf(text, sizeof(text), "rm -rf %s", dir);
	assert_int_equal(system(text), 0);
}

/* What others put where a DBM file should be keeps nobody waiting: a FIFO, or tables of SQLite that never end or are too large. */
static void
test_strange_maps(void **state)
{
	static const struct { const char *sql, *value; } t[] = {
		{ NULL, NULL },
		{ "CREATE TABLE tblblob (ky, dat); INSERT INTO tblblob VALUES (x'6b', 'v')", "v" },
		{ "CREATE VIEW tblblob AS WITH RECURSIVE c(ky, dat) AS (SELECT 1, 1 UNION ALL SELECT ky + 1, 1 FROM c) "
		    "SELECT ky, dat FROM c", NULL },
		{ "CREATE VIEW tblblob AS SELECT x'6b' AS ky, zeroblob(20000000) AS dat", NULL },
	};
	char dir[] = "/tmp/vpost-lookup-XXXXXX", path[64], text[1024], want[1024];
	struct exim_world w;
	struct test_env env;

	assert_non_null(mkdtemp(dir));
	exim_world_posix(&w);
	(void)alarm(20);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		sqlite3 *db;

		(void)snprintf(path, sizeof(path), "%s/%zu", dir, i);
		if (t[i].sql == NULL)
			assert_int_equal(mkfifo(path, 0600), 0);
		else {
			assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
			assert_int_equal(sqlite3_exec(db, t[i].sql, NULL, NULL, NULL), SQLITE_OK);
			(void)sqlite3_close(db);
		}
		test_env_init(&env, true);
		env.env.world = &w;
		(void)snprintf(text, sizeof(text), "${lookup{k}dbmnz{%s}}", path);
		(void)snprintf(want, sizeof(want), "!failed to open %s as a db (v4.1+) file: ", path);
		if (t[i].value != NULL)
			assert_string_equal(test_expand(&env, text), t[i].value);
		else
			assert_true(sv_starts(sv_cstr(test_expand(&env, text)), want));
		test_env_fini(&env);
		(void)unlink(path);
	}
	(void)alarm(0);
	assert_int_equal(rmdir(dir), 0);
}

/* The world of this machine: programs, files, clock. */
static void
test_posix(void **state)
{
	static const struct row rows[] = {
		{ "${run{/bin/echo a 'b  c'}}", "a b  c\n" }, { "${run{/bin/sh -c \"exit 3\"}{y}{n $runrc}}", "n 3" },
		{ "${run{/nonexistent}{y}{n $runrc}}", "n 127" }, { "${if exists{/}}", "true" }, { "${if >{$tod_epoch}{1}}", "true" },
		{ "${readsocket{/nonexistent}{x}{1s}{}{none}}", "none" },
	};
	struct exim_world w;

	exim_world_posix(&w);
	check_rows(rows, sizeof(rows) / sizeof(rows[0]), &w);
}

static unsigned stats;
static struct exim_world real;

static int
counting_stat(void *arg, const char *path, bool follow, struct stat *st)
{
	stats++;
	return (real.stat(arg, path, follow, st));
}

/* A clock that goes before: directories made just now count as left alone. */
static int64_t
later(void *arg, int64_t *usec)
{
	return (real.now(arg, usec) + 60);
}

static bool
is_there(struct test_env *t, const char *dir, unsigned *asked)
{
	uint64_t saved = exim_epoch_begin(&t->env);
	char text[256];
	bool yes;

	(void)snprintf(text, sizeof(text), "${if exists{%s/a}{a}}${if exists{%s/b}{b}}${if exists{%s/link}{l}}", dir, dir, dir);
	stats = 0;
	yes = *test_expand(t, text) != '\0';
	*asked = stats;
	exim_epoch_end(&t->env, saved);
	return (yes);
}

/* Of files that are missing in one directory only that is looked at, until it changes. */
static void
test_missing(void **state)
{
	struct exim_world world;
	struct test_env t;
	char dir[] = "/tmp/vpost-missing-XXXXXX", a[64], link[64], target[64];
	unsigned asked;

	test_env_init(&t, true);
	exim_world_posix(&real);
	world = real;
	world.stat = counting_stat;
	world.now = later;
	t.env.world = &world;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(a, sizeof(a), "%s/a", dir);
	(void)snprintf(link, sizeof(link), "%s/link", dir);
	(void)snprintf(target, sizeof(target), "%s.target", dir);
	assert_int_equal(symlink(target, link), 0);
	assert_false(is_there(&t, dir, &asked));
	assert_false(is_there(&t, dir, &asked));
	/* The directory, and what the link points to with the link itself. */
	assert_int_equal(asked, 3);
	assert_int_equal(close(open(a, O_CREAT | O_WRONLY, 0600)), 0);
	assert_true(is_there(&t, dir, &asked));
	assert_int_equal(unlink(a), 0);
	assert_false(is_there(&t, dir, &asked));
	assert_int_equal(close(open(target, O_CREAT | O_WRONLY, 0600)), 0);
	assert_true(is_there(&t, dir, &asked));
	(void)unlink(target);
	(void)unlink(link);
	(void)rmdir(dir);
	test_env_fini(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_files), cmocka_unit_test(test_types), cmocka_unit_test(test_queries_of_peers),
		cmocka_unit_test(test_dnsdb), cmocka_unit_test(test_maps), cmocka_unit_test(test_strange_maps),
		cmocka_unit_test(test_posix), cmocka_unit_test(test_missing),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
