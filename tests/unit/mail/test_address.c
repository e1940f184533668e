/* SPDX-License-Identifier: BSD-2-Clause */
/* Paths, addresses, lists: what is accepted, what comes out, what is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mail/address.h"

/* The text in a block of exactly its size. */
static struct sv
exact(const char *s, char **mem)
{
	size_t n = strlen(s);

	*mem = malloc(n == 0 ? 1 : n);
	memcpy(*mem, s, n);
	return (sv_taint(sv_from(*mem, n)));
}

#define STRICT	(MAIL_ADDR_STRICT | MAIL_ADDR_LITERAL)

static const struct {
	const char	*in;
	unsigned	 flags;
	const char	*out;		/* canonical address; NULL: refused */
	const char	*rest;		/* or part of the error */
} paths[] = {
	{ "<joe@example.com>", 0, "joe@example.com", "" },
	{ "<joe@example.com> SIZE=3", 0, "joe@example.com", " SIZE=3" },
	{ "joe@example.com SIZE=3", MAIL_ADDR_BARE_PATH, "joe@example.com", " SIZE=3" },
	{ "joe@example.com", 0, NULL, "\"<\" expected" },
	{ "<>", MAIL_ADDR_EMPTY, "", "" },
	{ "<>", 0, NULL, "empty address" },
	{ "", MAIL_ADDR_BARE_PATH, NULL, "empty address" },
	{ "<@a.example,@b.example:joe@c.example>", 0, "joe@c.example", "" },
	{ "<@a.example>", 0, NULL, "malformed source route" },
	{ "<\"joe\"@example.com>", 0, "joe@example.com", "" },
	{ "<\"j o\\e\"@example.com>", 0, "\"j oe\"@example.com", "" },
	{ "<\"a\\\"b\"@example.com>", STRICT, "\"a\\\"b\"@example.com", "" },
	{ "<\"joe@example.com>", 0, NULL, "unmatched doublequote" },
	{ "<joe@[192.0.2.1]>", STRICT, "joe@[192.0.2.1]", "" },
	{ "<joe@[192.0.2.1]>", 0, NULL, "domain literals not allowed" },
	{ "<joe@[IPv6:2001:db8::1]>", STRICT, "joe@[IPv6:2001:db8::1]", "" },
	{ "<joe@[IPv6:::ffff:192.0.2.1]>", STRICT, "joe@[IPv6:::ffff:192.0.2.1]", "" },
	{ "<joe@[300.0.2.1]>", STRICT, NULL, "domain missing or malformed" },
	{ "<joe>", 0, NULL, "unqualified address not allowed" },
	{ "<postmaster>", MAIL_ADDR_BARE, "postmaster", "" },
	{ "<joe@example.com", 0, NULL, "'>' missing at end of address" },
	{ "<joe doe@example.com>", 0, NULL, "unqualified" },
	{ "<joe..doe@example.com>", 0, NULL, "missing or malformed local part" },
	{ "<joe%other.example@relay.example>", 0, "joe%other.example@relay.example", "" },
	{ "<host!joe@relay.example>", 0, "host!joe@relay.example", "" },
	{ "<j\303\266rg@example.com>", 0, NULL, "above 127" },
	{ "<j\303\266rg@b\303\274cher.example>", MAIL_ADDR_UTF8, "j\303\266rg@b\303\274cher.example", "" },
	{ "<j\366rg@example.com>", MAIL_ADDR_UTF8, NULL, "malformed UTF-8" },
	{ "<j\366rg@example.com>", MAIL_ADDR_8BIT, "j\366rg@example.com", "" },
	{ "<joe@-x.example>", STRICT, NULL, "domain missing or malformed" },
	{ "<joe@a_b.example>", STRICT, NULL, "_b.example> may not follow" },
	{ "<joe@a_b.example>", 0, "joe@a_b.example", "" },
	{ "<joe(comment)@example.com>", 0, NULL, "@ or . expected after" },
	{ "<joe@example.com>x", 0, "joe@example.com", "x" },
};

static void
test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct arena *a = arena_new(0);
		struct err err = ERR_INIT;
		struct mail_address m;
		struct sb out = SB_INIT(4096);
		struct sv rest = SV_NULL;
		char *mem;
		int rc = mail_path_parse(exact(paths[i].in, &mem), paths[i].flags, a, &m, &rest, &err);

		if (paths[i].out == NULL) {
			if (rc != -1 || strstr(err.text, paths[i].rest) == NULL)
				fail_msg("%s: %d %s", paths[i].in, rc, err.text);
			assert_string_equal(err.status, "5.1.3");
		} else {
			if (rc == -1)
				fail_msg("%s: %s", paths[i].in, err.text);
			mail_address_put(&out, &m);
			assert_string_equal(sb_cstr(&out), paths[i].out);
			assert_true(sv_eqs(rest, paths[i].rest));
			assert_true(m.local.len == 0 || m.local.tainted);
		}
		sb_free(&out);
		free(mem);
		arena_free(&a);
	}
}

static void
test_lengths(void **state)
{
	struct arena *a = arena_new(0);
	struct mail_address m;
	char text[2048];

	(void)state;
	for (int local = 63; local <= 66; local++) {
		(void)snprintf(text, sizeof(text), "<%.*s@example.com>", local,
		    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
		assert_int_equal(mail_path_parse(sv_cstr(text), STRICT, a, &m, NULL, NULL), local <= 64 ? 0 : -1);
		assert_int_equal(mail_path_parse(sv_cstr(text), 0, a, &m, NULL, NULL), 0);
	}
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(mail_path_parse(sv_cstr(text), MAIL_ADDR_BARE_PATH | MAIL_ADDR_BARE, a, &m, NULL, NULL), -1);
	assert_false(mail_domain_ok(SV_LIT(""), false));
	assert_false(mail_domain_ok(SV_LIT("a."), false));
	assert_true(mail_domain_ok(SV_LIT("a-b.c1"), false));
	arena_free(&a);
}

/* A list as text: name|comment|local@domain; "{name" and "}" for groups. */
static void
show(struct sb *out, const struct mail_addrlist *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct mail_address *m = &l->v[i];

		if (m->item == MAIL_ITEM_GROUP) {
			sb_addf(out, "{" SV_FMT ";", SV_ARG(m->name));
		} else if (m->item == MAIL_ITEM_GROUP_END) {
			sb_adds(out, "};");
		} else {
			sb_addf(out, SV_FMT "|" SV_FMT "|", SV_ARG(m->name), SV_ARG(m->comment));
			mail_address_put(out, m);
			sb_addc(out, ';');
		}
	}
}

static const struct {
	const char	*in;
	const char	*strict;	/* NULL: mail_addrlist_parse refuses it */
	const char	*lenient;
} lists[] = {
	{ "joe@a.example", "||joe@a.example;", "||joe@a.example;" },
	{ "Joe Doe <joe@a.example>, \"Doe, J.\" <d@b.example>", "Joe Doe||joe@a.example;Doe, J.||d@b.example;",
	    "Joe Doe||joe@a.example;Doe, J.||d@b.example;" },
	{ "joe@a.example (Joe (the) Doe)", "|Joe (the) Doe|joe@a.example;", "|Joe (the) Doe|joe@a.example;" },
	{ "friends: a@b.c, d@e.f;, x@y.z", "{friends;||a@b.c;||d@e.f;};||x@y.z;", "{friends;||a@b.c;||d@e.f;};||x@y.z;" },
	{ "none:;", "{none;};", "{none;};" },
	{ ", a@b.c,, d@e.f,", "||a@b.c;||d@e.f;", "||a@b.c;||d@e.f;" },
	{ "J. R. Doe <joe@a.example>", "J. R. Doe||joe@a.example;", "J. R. Doe||joe@a.example;" },
	{ "a b@c.example", NULL, "||a;" },
	{ "joe@a.example <joe@a.example>", NULL, "joe@a.example||joe@a.example;" },
	{ "x@y.z, <broken, joe@a.example", NULL, "||x@y.z;||joe@a.example;" },
	{ "a@b.c; d@e.f", NULL, "||a@b.c;||d@e.f;" },
	{ "Joe\r\n Doe <joe@\r\n a.example>", "Joe Doe||joe@a.example;", "Joe Doe||joe@a.example;" },
	{ "\"a\".b@c.example", "||a.b@c.example;", "||a.b@c.example;" },
	{ "g: x@y.z", NULL, "{g;||x@y.z;};" },
	{ "(unclosed joe@a.example", NULL, "" },
	{ "", "", "" },
};

static void
test_lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct arena *a = arena_new(0);
		struct mail_addrlist l;
		struct sb out = SB_INIT(4096);
		struct err err = ERR_INIT;
		char *mem;
		struct sv text = exact(lists[i].in, &mem);
		int rc = mail_addrlist_parse(text, 0, a, &l, &err);

		if ((rc == 0) != (lists[i].strict != NULL) && !(rc == 0 && lists[i].in[0] == '\0'))
			fail_msg("%s: %d %s", lists[i].in, rc, err.text);
		if (rc == 0) {
			show(&out, &l);
			assert_string_equal(sb_cstr(&out), lists[i].strict);
		}
		sb_clear(&out);
		mail_addrlist_read(text, a, &l);
		show(&out, &l);
		assert_string_equal(sb_cstr(&out), lists[i].lenient);
		sb_free(&out);
		free(mem);
		arena_free(&a);
	}
}

static void
test_one(void **state)
{
	struct arena *a = arena_new(0);
	struct err err = ERR_INIT;
	struct mail_address m;

	(void)state;
	assert_int_equal(mail_address_parse(SV_LIT("Joe <joe@a.example>"), 0, a, &m, &err), 0);
	assert_true(sv_eqs(m.name, "Joe") && sv_eqs(m.raw, "Joe <joe@a.example>"));
	assert_int_equal(mail_address_parse(SV_LIT("a@b.c, d@e.f"), 0, a, &m, &err), -1);
	assert_int_equal(mail_address_parse(SV_LIT("g:;"), 0, a, &m, &err), -1);
	assert_int_equal(mail_address_parse(SV_LIT(" "), 0, a, &m, &err), -1);
	assert_string_equal(err.text, "empty address");
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_paths), cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_lists), cmocka_unit_test(test_one) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
