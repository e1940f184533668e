/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of the four kinds: items, negation, named lists, files, lookups, data, mistakes. */
#include "expand_env.h"

#include "exim/conf.h"

struct row {
	enum exim_list_kind kind;
	const char	*subject, *list;
	int		 want;		/* 1 yes, 0 no, -1 mistake, -2 defer */
	const char	*data;		/* NULL: not checked */
};

#define D	EXIM_LIST_DOMAIN
#define H	EXIM_LIST_HOST
#define A	EXIM_LIST_ADDRESS
#define L	EXIM_LIST_LOCAL

static void
setup(struct test_env *t, bool caches)
{
	test_env_init(t, caches);
	test_name(t, D, "local", "a.test : !not.b.test : *.b.test");
	test_name(t, D, "neg", "!c.test");
	test_name(t, D, "outer", "+local : d.test");
	test_name(t, D, "loop", "+loop");
	test_name(t, D, "looked", "lsearch;/t/domains");
	test_name(t, D, "dyn", "${if eq{$acl_m_x}{value of x}{dyn.test}}");
	test_name(t, H, "relay", "<; 10.0.0.0/8 ; 2001:db8::/32");
	test_name(t, A, "senders", "*@good.test : bob@a.test");
	test_name(t, L, "special", "!root : postmaster : ^abc");
}

static enum exim_result
run(struct test_env *t, const struct row *row, bool *yes, struct sv *data, struct err *err)
{
	size_t len = strlen(row->subject);
	char *exact = malloc(len == 0 ? 1 : len);
	struct exim_list *l;
	struct exim_host h;
	enum exim_result r;
	struct sv subject;

	assert_non_null(exact);
	memcpy(exact, row->subject, len);
	subject = sv_taint(sv_from(exact, len));
	(void)exim_list_compile(t->arena, row->kind, sv_cstr(row->list), NULL, 0, &l, err);
	err_clear(err);
	memset(&h, 0, sizeof(h));
	h.address = subject;
	switch (row->kind) {
	case D: r = exim_match_domain(l, &t->env, subject, yes, data, err); break;
	case L: r = exim_match_local(l, &t->env, subject, false, yes, data, err); break;
	case A: r = exim_match_address(l, &t->env, subject, false, yes, data, err); break;
	default:
		(void)net_addr_parse(subject, &h.addr);
		t->session.host_lookup = EXIM_HOST_UNTRIED;
		t->session.host_name = SV_NULL;
		t->session.nhost_aliases = 0;
		t->session.addr = h.addr;
		h.session = true;
		r = exim_match_host(l, &t->env, &h, yes, data, err);
		break;
	}
	*data = data->p == NULL ? SV_NULL : arena_sv(t->arena, *data);
	free(exact);
	return (r);
}

static void
check(const struct row *rows, size_t n)
{
	for (int pass = 0; pass < 2; pass++) {
		struct test_env t;

		setup(&t, pass == 0);
		for (size_t i = 0; i < n; i++) {
			struct err err = ERR_INIT;
			enum exim_result r;
			struct sv data = SV_NULL;
			bool yes;
			int got;

			arena_reset(t.arena);
			exim_env_forget(&t.env);
			r = run(&t, &rows[i], &yes, &data, &err);
			got = r == EXIM_OK ? yes : r == EXIM_DEFER ? -2 : -1;
			if (got != rows[i].want || (rows[i].data != NULL && !sv_eqs(data, rows[i].data)))
				fail_msg("\"%s\" in \"%s\": got %d \"" SV_FMT "\" (%s), want %d \"%s\"", rows[i].subject,
				    rows[i].list, got, SV_ARG(data), err.text, rows[i].want,
				    rows[i].data == NULL ? "" : rows[i].data);
			if (rows[i].data != NULL && *rows[i].data != '\0')
				assert_false(data.tainted);
		}
		test_env_fini(&t);
	}
}

static void
test_domains(void **state)
{
	static const struct row rows[] = {
		{ D, "x", "", 0, NULL }, { D, "x", "x", 1, "x" }, { D, "X.Test", "x.tesT", 1, "x.tesT" }, { D, "x", "a : x : b", 1, "x" },
		{ D, "x", "!x", 0, NULL }, { D, "y", "!x", 1, "" }, { D, "y", "!x : z", 0, NULL }, { D, "y", "z : !x", 1, "" },
		{ D, "a.b.c", "*.b.c", 1, "*.b.c" }, { D, "donkey.ex", "*key.ex", 1, NULL }, { D, "b.c", "*.b.c", 0, NULL },
		{ D, "any", "*", 1, "*" }, { D, "", "", 0, NULL }, { D, "", ":", 1, NULL }, { D, "re1", "^re\\\\d\\$", 1, "^re\\d$" },
		{ D, "RE1", "\\N^re\\d$\\N", 1, NULL }, { D, "x", "^(", -1, NULL },
		{ D, "mail.example.test", "@", 1, "mail.example.test" }, { D, "[198.51.100.1]", "@[]", 1, "@[]" },
		{ D, "[IPv6:::1]", "@[]", 0, NULL }, { D, "[203.0.113.1]", "@[]", 0, NULL }, { D, "ours.test", "@mx_any", 1, "@mx_any" },
		{ D, "ours.test", "@mx_primary", 1, NULL }, { D, "ours.test", "@mx_secondary", 0, NULL },
		{ D, "second.test", "@mx_secondary", 1, NULL }, { D, "second.test", "@mx_primary", 0, NULL },
		{ D, "ours.test", "@mx_any/ignore=198.51.100.1", 0, NULL }, { D, "mx.test", "@mx_any", 0, NULL },
		{ D, "null.test", "@mx_any", 0, NULL }, { D, "later.test", "@mx_any", -2, NULL },
		{ D, "a.test", "+local", 1, "a.test" }, { D, "x.b.test", "+outer", 1, "*.b.test" }, { D, "not.b.test", "+outer", 0, NULL },
		{ D, "not.b.test", "+outer : *", 1, NULL }, { D, "d.test", "! +local : *", 1, "*" }, { D, "c.test", "+neg", 0, NULL },
		{ D, "x", "+loop", -1, NULL }, { D, "x", "+nosuch", -2, NULL }, { D, "dyn.test", "+dyn", 1, "dyn.test" },
		{ D, "hosted1.test", "+looked", 1, "key1" }, { D, "hosted1.test", "lsearch;/t/domains", 1, "key1" },
		{ D, "hosted1.test", "lsearch,ret=key;/t/domains", 1, "hosted1.test" }, { D, "no.test", "lsearch;/t/domains", 0, NULL },
		{ D, "a.wild.test", "partial-lsearch;/t/domains", 1, "wild" }, { D, "a.dot.test", "partial(.)lsearch;/t/domains", 1, "dot" },
		{ D, "x", "lsearch;/t/none", -1, NULL }, { D, "x", "nosuch;/t/x", -1, NULL }, { D, "x", "ibase;later", -2, NULL },
		{ D, "x", "ibase;select", 1, "ibase//select" }, { D, "listed.test", "/t/list", 1, "listed.test" },
		{ D, "not.suffix.test", "/t/list", 0, NULL }, { D, "x.suffix.test", "/t/list", 1, NULL }, { D, "re1.test", "/t/list", 1, NULL },
		/* Long ones have an index: what it finds counts as in its line. */
		{ D, "one.many.test", "/t/many", 1, "one.many.test" }, { D, "TWO.many.test", "/t/many", 1, "Two.Many.test" },
		{ D, "no.many.test", "/t/many : *", 0, NULL }, { D, "twice.many.test", "/t/many : *", 0, NULL },
		{ D, "x.before.test", "/t/many", 1, "*.before.test" }, { D, "y.after.test", "/t/many : *", 0, NULL },
		{ D, "x.after.test", "/t/many", 1, "*.after.test" }, { D, "re1.many.test", "/t/many", 1, NULL },
		{ D, "last.many.test", "/t/many", 1, "last.many.test" }, { D, "fill9.many.test", "!/t/many : *", 0, NULL },
		{ D, "none.test", "/t/many", 0, NULL }, { D, "n19.test", "/t/many-no", 1, "n19.test" },
		{ D, "end.test", "/t/many-no", 0, NULL }, { D, "other.test", "/t/many-no", 1, NULL },
		{ D, "other.test", "/t/many", 0, NULL }, { A, "u@fill3.many.test", "*@/t/many", 1, NULL },
		{ D, "listed.test", "! /t/list : *", 0, NULL }, { D, "x", "/t/none", -1, NULL }, { D, "entry", "dsearch;/t/dir", 1, "entry" },
		{ D, "dom.test", "$domain", 1, NULL }, { D, "x", "${if eq{a}{b}{x}fail}", 0, NULL }, { D, "x", "$nosuch", -2, NULL },
		{ D, "a", "<; a:b ; a", 1, NULL }, { D, "a:b", "a::b", 1, NULL },
	};

	check(rows, sizeof(rows) / sizeof(rows[0]));
}

static void
test_locals_and_addresses(void **state)
{
	static const struct row rows[] = {
		{ L, "Bob", "bob", 1, "bob" }, { L, "Bob", "+caseful : bob", 0, NULL }, { L, "Bob", "+caseful : Bob", 1, "Bob" },
		{ L, "root", "+special", 0, NULL }, { L, "POSTMASTER", "+special", 1, NULL }, { L, "abcd", "+special", 1, NULL },
		{ L, "@", "@", 1, NULL }, { L, "root", "lsearch;/t/aliases", 1, "alice" }, { L, "bad#one", "bad#one", 1, NULL },
		{ A, "", "", 0, NULL }, { A, "", ":", 1, NULL }, { A, "", "a@b", 0, NULL }, { A, "", "!a@b", 1, NULL }, { A, "", "^\\$", 1, NULL },
		{ A, "", "*", 0, NULL }, { A, "a@b.c", "a@b.c", 1, "a@b.c" }, { A, "A@B.C", "a@b.c", 1, NULL },
		{ A, "A@b.c", "+caseful : a@b.c", 0, NULL }, { A, "a@b.c", "b.c", 1, "@b.c" }, { A, "a@x.b.c", "*.b.c", 1, "@*.b.c" },
		{ A, "ab@b.c", "*b@b.c", 1, NULL }, { A, "a@b.c", "*@*", 1, NULL }, { A, "a@b.c", "a@*.c", 1, NULL }, { A, "a@b.c", "x@b.c", 0, NULL },
		{ A, "a@a.test", "*@+local", 1, "*@a.test" }, { A, "x@good.test", "+senders", 1, NULL }, { A, "a@b.c", "^a@(.)\\\\.c", 1, "" },
		{ A, "root", "lsearch;/t/aliases", 0, NULL }, { A, "x@example.test", "lsearch*@;/t/aliases", 1, "domain default" },
		{ A, "x@other", "lsearch*@;/t/aliases", 1, "star" }, { A, "a@hosted1.test", "a@lsearch;/t/domains", 1, "a@key1" },
		{ A, "alice@a.test", "@@lsearch;/t/split", 1, NULL }, { A, "postmaster@a.test", "@@lsearch;/t/split", 0, NULL },
		{ A, "bob@a.test", "@@lsearch;/t/split", 1, NULL }, { A, "joe@a.test", "@@lsearch;/t/split", 0, NULL },
		{ A, "joe@c.test", "@@lsearch;/t/split", 0, NULL }, { A, "bad#one@x.test", "/t/addrs", 1, NULL },
		{ A, "bad@y.test", "/t/addrs", 1, NULL }, { A, "any@z.test", "/t/addrs", 1, "*@z.test" }, { A, "a@b.c", "@b.c", 0, NULL },
		{ A, "a@b.c", "+nosuch", -2, NULL }, { A, "nodomain", "a@b", 0, NULL },
	};

	check(rows, sizeof(rows) / sizeof(rows[0]));
}

static void
test_hosts(void **state)
{
	static const struct row rows[] = {
		{ H, "192.0.2.1", "192.0.2.1", 1, NULL }, { H, "192.0.2.1", "192.0.2.0/24", 1, NULL }, { H, "192.0.2.1", "192.0.3.0/24", 0, NULL },
		{ H, "10.1.2.3", "+relay", 1, NULL }, { H, "2001:db8::7", "+relay", 1, NULL }, { H, "2001:db8::7", "2001::db8::::/32", 1, NULL },
		{ H, "", "", 0, NULL }, { H, "", ":", 1, NULL }, { H, "", "*", 1, NULL }, { H, "", "192.0.2.1", 0, NULL },
		{ H, "127.0.0.1", "@[]", 1, NULL }, { H, "198.51.100.1", "@", 1, NULL }, { H, "192.0.2.1", "client.test", 1, NULL },
		{ H, "192.0.2.9", "client.test", 0, NULL }, { H, "192.0.2.9", "unknown.test : 192.0.2.9", 0, NULL },
		{ H, "192.0.2.9", "+ignore_unknown : unknown.test : 192.0.2.9", 1, NULL },
		{ H, "192.0.2.9", "+include_unknown : unknown.test", 1, NULL }, { H, "192.0.2.9", "later.test", -2, NULL },
		{ H, "192.0.2.9", "+ignore_defer : later.test : 192.0.2.9", 1, NULL }, { H, "192.0.2.9", "+include_defer : later.test", 1, NULL },
		{ H, "192.0.2.1", "*.test", 1, NULL }, { H, "192.0.2.1", "client2.*", 0, NULL }, { H, "192.0.2.1", "^client2\\\\.", 1, NULL },
		{ H, "192.0.2.2", "*.test", 0, NULL }, { H, "192.0.2.3", "*.test", 0, NULL }, { H, "192.0.2.9", "*.test : 192.0.2.9", 0, NULL },
		{ H, "192.0.2.9", "192.0.2.9 : *.test", 1, NULL }, { H, "192.0.2.7", "net-iplsearch;/t/ip", 1, "net" },
		{ H, "192.0.2.7", "net24-lsearch;/t/net", 1, "n24" }, { H, "192.0.2.9", "net-lsearch;/t/net", 1, "host9" },
		{ H, "2001:db8::1", "net-lsearch;/t/net", 1, "six" }, { H, "2001:db8::1", "net-iplsearch;/t/ip", 1, "six" },
		{ H, "192.0.2.9", "1.2.3", 0, NULL }, { H, "192.0.2.9", "net24-nosuch;/x", -1, NULL }, { H, "10.1.9.9", "/t/hosts", 1, NULL },
		{ H, "10.2.0.1", "/t/hosts", 0, NULL }, { H, "10.2.0.2", "/t/hosts", 1, NULL }, { H, "10.3.0.1", "/t/hosts", 0, NULL },
		{ H, "192.0.2.9", "mysql,servers=h/d/u/p;select", 1, NULL }, { H, "192.0.2.1", "!192.0.2.2", 1, NULL },
	};

	check(rows, sizeof(rows) / sizeof(rows[0]));
}

static void
test_next(void **state)
{
	static const struct { const char *list; const char *items; } rows[] = {
		{ "a:b", "[a][b]" }, { " a : b ", "[a][b]" }, { "a::b:c", "[a:b][c]" }, { "<, a,,b,c", "[a,b][c]" }, { ":a", "[][a]" },
		{ "a:", "[a]" }, { "a: ", "[a]" }, { "", "" }, { "  ", "" }, { "<;", "" }, { "<\n a\nb", "[a][b]" }, { "a: :b", "[a][][b]" },
		{ ":::a", "[:][a]" },
	};
	struct arena *a = arena_new(0);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sv list = sv_cstr(rows[i].list), item;
		char got[128] = "";
		int sep = 0;

		while (exim_list_next(&list, &sep, a, &item))
			(void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "[" SV_FMT "]", SV_ARG(item));
		assert_string_equal(got, rows[i].items);
	}
	arena_free(&a);
}

static void
test_compile(void **state)
{
	struct err err = ERR_INIT;
	struct exim_list *l;
	struct test_env t;
	struct sv name;
	size_t pos = 0;
	bool yes;

	setup(&t, true);
	assert_int_equal(exim_list_compile(t.conf, D, SV_LIT("a : nosuch;/x"), "c", 3, &l, &err), -1);
	assert_string_equal(err.text, "c:3: unknown lookup type \"nosuch\"");
	assert_int_equal(exim_list_compile(t.conf, D, SV_LIT("^("), "c", 4, &l, &err), -1);
	assert_int_equal(exim_list_compile(t.conf, D, SV_LIT("a : +local : !+neg"), "c", 5, &l, &err), 0);
	assert_true(exim_list_refers(l, &pos, &name) && sv_eqs(name, "local"));
	assert_true(exim_list_refers(l, &pos, &name) && sv_eqs(name, "neg"));
	assert_false(exim_list_refers(l, &pos, &name));
	assert_true(sv_eqs(exim_list_text(l), "a : +local : !+neg"));
	assert_int_equal(exim_match_domain(NULL, &t.env, SV_LIT("x"), &yes, NULL, &err), EXIM_OK);
	assert_false(yes);
	(void)exim_list_compile(t.conf, EXIM_LIST_STRING, SV_LIT("a : *b : !c"), NULL, 0, &l, &err);
	assert_int_equal(exim_match_string(l, &t.env, SV_LIT("xb"), false, &yes, &err), EXIM_OK);
	assert_true(yes);
	/* A list may be defined once. */
	{
		struct exim_named n = { .kind = D, .name = SV_LIT("local"), .text = SV_LIT("x"), .file = "c", .line = 9 };

		assert_int_equal(exim_names_add(t.names, &n, &err), -1);
	}
	test_env_fini(&t);
}

/* $0 and $1 of a domain pattern, and that a tainted list gives tainted data. */
static void
test_data(void **state)
{
	struct err err = ERR_INIT;
	struct exim_list *l;
	struct test_env t;
	struct sv data;
	bool yes;

	setup(&t, true);
	(void)exim_list_compile(t.conf, D, SV_LIT("*.b.c"), NULL, 0, &l, &err);
	assert_int_equal(exim_match_domain(l, &t.env, SV_LIT("x.b.c"), &yes, &data, &err), EXIM_OK);
	assert_string_equal(arena_cstr(t.arena, t.env.nums->v[1]), "x");
	(void)exim_list_compile(t.conf, D, SV_LIT("$domain"), NULL, 0, &l, &err);
	assert_int_equal(exim_match_domain(l, &t.env, SV_LIT("dom.test"), &yes, &data, &err), EXIM_OK);
	assert_true(yes && data.tainted);
	test_env_fini(&t);
}

/* Which item of a list it was. */
static void
test_rank(void **state)
{
	static const struct { const char *domain; size_t rank; } cases[] = {
		{ "b.test", 0 }, { "x.A.test", 1 }, { "a.test", SIZE_MAX }, { "m.test", 2 }, { "z.test", 3 }, { "other", SIZE_MAX },
	};
	struct err err = ERR_INIT;
	struct exim_list *l;
	struct test_env t;
	size_t rank;

	setup(&t, true);
	(void)exim_list_compile(t.conf, D, SV_LIT("b.test : *.a.test : ^m : z.test"), NULL, 0, &l, &err);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(exim_match_domain_rank(l, &t.env, sv_cstr(cases[i].domain), &rank, &err), EXIM_OK);
		assert_int_equal(rank, cases[i].rank);
	}
	test_env_fini(&t);
}

/* The host's own table, for host_lookup_order: another of the names of .1, and one that DNS has none for. */
static enum exim_found
table_names(void *arg, const struct net_addr *addr, struct arena *a, const char *const **names, size_t *n)
{
	static const char *const two[] = { "client2.test" };
	char buf[NET_ADDR_TEXT_MAX];

	*n = 0;
	if (strcmp(net_addr_text(addr, buf), "192.0.2.1") == 0) {
		*names = two;
		*n = 1;
	}
	return (*n > 0 ? EXIM_FOUND : EXIM_NOTFOUND);
}

static void
test_host_lookup_order(void **state)
{
	static const struct { const char *order, *addr, *name; int lookup; } rows[] = {
		{ "bydns:byaddr", "192.0.2.1", "client.test", EXIM_HOST_FOUND },
		{ "byaddr:bydns", "192.0.2.1", "client2.test", EXIM_HOST_FOUND },
		{ "byaddr", "192.0.2.1", "client2.test", EXIM_HOST_FOUND },
		{ "bydns", "192.0.2.2", "", EXIM_HOST_FAILED },
		{ "<; bydns ; byaddr", "192.0.2.9", "", EXIM_HOST_FAILED },
		/* An answer that may come later ends the search. */
		{ "bydns : byaddr", "192.0.2.3", "", EXIM_HOST_DEFERRED }, { "byaddr", "192.0.2.3", "", EXIM_HOST_FAILED },
		{ "neither", "192.0.2.1", "", EXIM_HOST_FAILED },
	};
	struct exim_world w = test_world;

	w.names_host = table_names;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[200];
		struct exim_conf_source src = { .path = "exim.conf", .text = SV_NULL };
		struct exim_conf *conf = NULL;
		struct err err = ERR_INIT;
		struct test_env t;

		(void)snprintf(text, sizeof(text), "primary_hostname = mail.example.test\n" "host_lookup_order = %s\n", rows[i].order);
		src.text = sv_cstr(text);
		assert_int_equal(exim_conf_load(&conf, &src, NULL, &err), 0);
		setup(&t, false);
		t.env.world = &w;
		t.env.conf = conf;
		assert_true(net_addr_parse(sv_cstr(rows[i].addr), &t.session.addr));
		t.session.host_lookup = EXIM_HOST_UNTRIED;
		exim_host_name(&t.env);
		assert_string_equal(arena_cstr(t.arena, t.session.host_name), rows[i].name);
		assert_int_equal(t.session.host_lookup, rows[i].lookup);
		test_env_fini(&t);
		exim_conf_unref(&conf);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_domains), cmocka_unit_test(test_locals_and_addresses), cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_next), cmocka_unit_test(test_compile), cmocka_unit_test(test_data),
		cmocka_unit_test(test_rank),
		cmocka_unit_test(test_host_lookup_order),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
