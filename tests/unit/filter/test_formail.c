/* SPDX-License-Identifier: BSD-2-Clause */
/* formail: headers, replies, addresses; input that once wrote past the end of a buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sb.h"
#include "filter/formail.h"

static void
add(struct formail_list *l, const char *field)
{
	struct sb sb = SB_INIT(65536);

	sb_addf(&sb, "%s\n", field);
	formail_add(l, sb_cstr(&sb), sb.len, false);
	sb_free(&sb);
}

static void
clear(struct formail *f)
{
	struct formail_list *l[] = { &f->x, &f->X, &f->a, &f->A, &f->i, &f->I, &f->u, &f->U, &f->R };

	for (size_t i = 0; i < 9; i++)
		formail_list_free(l[i]);
}

/* Run over <len> bytes; the output, on the heap. */
static char *
run(struct formail *f, const char *text, size_t len, int *status)
{
	char *copy = malloc(len + 1), *out = NULL;
	size_t n = 0;
	int rc;

	memcpy(copy, text, len);
	f->in = len == 0 ? fopen("/dev/null", "r") : fmemopen(copy, len, "r");
	f->out = open_memstream(&out, &n);
	f->host = "h";
	f->total = -1;
	f->prefix = ">";
	f->quiet = f->bogus = true;
	rc = formail_run(f);
	(void)fclose(f->in);
	(void)fclose(f->out);
	if (status != NULL)
		*status = rc;
	clear(f);
	free(copy);
	return (out);
}

static void
test_names(void **state)
{
	static const struct {
		const char	*line;
		ptrdiff_t	 n;
	} cases[] = {
		{ "To: x", 3 }, { "To : x", 4 }, { "To\t :x", 5 }, { "From x", 5 }, { "To", -2 }, { "", 0 }, { ":x", 0 }, { " x:", 0 }, { "a b", -2 },
		{ "a\001:", -1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (formail_name(cases[i].line, strlen(cases[i].line)) != cases[i].n)
			fail_msg("%s", cases[i].line);
}

static void
test_reply(void **state)
{
	static const struct {
		const char	*from, *to;
	} cases[] = {
		{ "a@b.c", "a@b.c" }, { "A B <a@b.c>", "a@b.c" }, { "a@b.c (A (B) C)", "a@b.c" }, { "\"A, B\" <a@b.c>", "a@b.c" },
		{ "<a@b.c>, <d@e.f>", "a@b.c" }, { "a@b.c, d@e.f", "a@b.c" }, { " a @ b . c", "a@b.c" }, { "\"a b\"@c.d", "\"a b\"@c.d" },
		{ "a@[1.2.3.4]", "a@[1.2.3.4]" }, { "A\n\t<a@b.c>", "a@b.c" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct formail f = { .reply = true, .trust = true };
		struct sb in = SB_INIT(4096), want = SB_INIT(4096);
		char *out;

		sb_addf(&in, "From: %s\n\nb\n", cases[i].from);
		sb_addf(&want, "To: %s\n\n", cases[i].to);
		out = run(&f, sb_cstr(&in), in.len, NULL);
		assert_string_equal(out, sb_cstr(&want));
		free(out);
		sb_free(&in);
		sb_free(&want);
	}
}

/* A NUL in a field that a reply has from the message ends nothing. */
static void
test_nul(void **state)
{
	static const char mail[] = "From: a@b\nSubject: x\0y\n\nb\n", want[] = "To: a@b\nSubject: Re: x\0y\n\n";
	struct formail f = { .reply = true };
	char *out = run(&f, mail, sizeof(mail) - 1, NULL);

	(void)state;
	assert_memory_equal(out, want, sizeof(want));
	free(out);
}

static void
test_fields(void **state)
{
	static const char mail[] = "From a@b X\nTo: x\nX-A: 1\nX-A: 2\nSubject: s\n f\n\nFrom me\n";
	struct formail f = { 0 };
	char *out;

	add(&f.I, "X-A: 3");
	add(&f.i, "To: y");
	add(&f.a, "Subject: no");
	add(&f.A, "New: n");
	out = run(&f, mail, strlen(mail), NULL);
	assert_string_equal(out, "From a@b X\nOld-To: x\nSubject: s\n f\nNew: n\nTo: y\nX-A: 3\n\n>From me\n\n");
	free(out);
	f = (struct formail){ .concatenate = true, .zap = true };
	add(&f.x, "Subject:");
	out = run(&f, mail, strlen(mail), NULL);
	assert_string_equal(out, "s  f\n");
	free(out);
	f = (struct formail){ 0 };
	add(&f.U, "X-");
	add(&f.X, "X-");
	out = run(&f, mail, strlen(mail), NULL);
	assert_string_equal(out, "X-A: 2\n");
	free(out);
}

/* Unbalanced addresses (CVE-2014-3618) and long fields (CVE-2017-16844); with sanitizers they would show. */
static void
test_old_holes(void **state)
{
	static const char *const froms[] = {
		"<a@b,", "<a,b;c>", "\"", "\"\\", "a\\", "(", "((\\", "<<<<", "<\"a", "[", "a:b,c;d", "<,>", "\\", "<\\", ",", ";", ">", "a@b\\\n ",
	};
	struct sb big = SB_INIT(1 << 22);
	char *out;

	for (size_t i = 0; i < sizeof(froms) / sizeof(froms[0]); i++)
		for (int post = 0; post < 2; post++) {
			struct formail f = { .reply = true, .trust = post == 0 };
			struct sb in = SB_INIT(4096);

			sb_addf(&in, post ? "From %s\n>From x remote from y\n\n" : "From: %s\n\n", froms[i]);
			free(run(&f, sb_cstr(&in), in.len, NULL));
			sb_free(&in);
		}
	sb_adds(&big, "From: a@b\nReferences: <x@y>");
	for (int i = 0; i < 50000; i++)
		sb_addf(&big, "\n <%d.aaaaaaaaaaaaaaaaaaaa@b.c>", i);
	sb_adds(&big, "\nMessage-ID: <z@y>\nSubject: s\n\nb\n");
	struct formail f = { .reply = true };
	out = run(&f, sb_cstr(&big), big.len, NULL);
	assert_non_null(strstr(out, "49999.aaaaaaaaaaaaaaaaaaaa@b.c> <z@y>\nIn-Reply-To: <z@y>\n"));
	free(out);
	sb_free(&big);
}

static void
test_split(void **state)
{
	static const char box[] = "From a@b X y\nTo: 1\n\none\n\nFrom c@d X y\nTo: 2\n\ntwo\n";
	struct formail f = { .split = true, .skip = 1 };
	char *out = run(&f, box, strlen(box), NULL);

	assert_string_equal(out, "From c@d X y\nTo: 2\n\ntwo\n\n");
	free(out);
	f = (struct formail){ .split = true };
	out = run(&f, "", 0, NULL);
	assert_string_equal(out == NULL ? "" : out, "");
	free(out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names), cmocka_unit_test(test_reply), cmocka_unit_test(test_nul), cmocka_unit_test(test_fields),
		cmocka_unit_test(test_old_holes), cmocka_unit_test(test_split),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
