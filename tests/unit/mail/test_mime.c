/* SPDX-License-Identifier: BSD-2-Clause */
/* The MIME tree: shapes, offsets, fields, limits, and the record of offsets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mail/mime.h"

static const char nested[] =
    "Subject: x\r\n"
    "Content-Type: multipart/mixed; boundary=\"a\"\r\n"
    "\r\n"
    "preamble\r\n"
    "--a\r\n"
    "Content-Type: multipart/alternative; boundary=ab\r\n"
    "\r\n"
    "--ab\r\n"
    "\r\n"
    "one\r\n"
    "--ab \r\n"
    "Content-Type: text/html; charset=utf-8\r\n"
    "\r\n"
    "two\r\n"
    "--a\r\n"				/* the inner one is never closed */
    "Content-Type: message/rfc822\r\n"
    "\r\n"
    "Subject: inner\r\n"
    "\r\n"
    "three\r\n"
    "--a\r\n"
    "--a--\r\n"
    "epilogue\r\n";

static const struct mime_part *
at(const struct mime_part *root, size_t n, uint32_t a, uint32_t b)
{
	uint32_t path[2] = { a, b };

	return (mime_find(root, path, n));
}

static void
check_body(const struct mime_part *p, const char *want)
{
	assert_non_null(p);
	assert_int_equal(p->body_end - p->body_start, strlen(want));
	assert_memory_equal(nested + p->body_start, want, strlen(want));
}

static void
test_nested(void **state)
{
	struct arena *a = arena_new(0);
	const struct mime_part *root = mime_parse(a, sv_from(nested, sizeof(nested) - 1)), *p;

	(void)state;
	assert_int_equal(mime_count(root), 7);
	assert_int_equal(root->nparts, 3);
	assert_true(root->closed);
	assert_int_equal(root->body_end, sizeof(nested) - 1);
	p = at(root, 1, 1, 0);
	assert_int_equal(p->kind, MIME_MULTIPART);
	assert_false(p->closed);
	check_body(at(root, 2, 1, 1), "one");
	check_body(at(root, 2, 1, 2), "two");
	assert_true(sv_eqs(mime_param(&at(root, 2, 1, 2)->params, "charset"), "utf-8"));
	p = at(root, 1, 2, 0);
	assert_int_equal(p->kind, MIME_MESSAGE);
	check_body(p, "Subject: inner\r\n\r\nthree");
	check_body(at(root, 2, 2, 1), "three");
	assert_true(sv_eqs(mail_headers_get(&p->child->headers, "subject"), " inner"));
	/* A part without anything: its line end is the boundary's. */
	p = at(root, 1, 3, 0);
	assert_int_equal(p->body_end - p->header_start, 0);
	assert_null(at(root, 1, 4, 0));
	assert_null(at(root, 2, 3, 1));
	arena_free(&a);
}

static void
test_plain(void **state)
{
	struct arena *a = arena_new(0);
	const struct mime_part *root = mime_parse(a, SV_LIT("A: b\n\nx\ny"));

	(void)state;
	assert_int_equal(root->kind, MIME_LEAF);
	assert_false(root->type_given);
	assert_true(sv_eqs(root->type, "text") && sv_eqs(root->subtype, "plain"));
	assert_int_equal(root->body_lines, 1);
	assert_int_equal(root->header_lines, 2);
	assert_ptr_equal(at(root, 1, 1, 0), root);
	assert_null(at(root, 2, 1, 1));
	assert_null(at(root, 1, 2, 0));
	root = mime_parse(a, SV_LIT(""));
	assert_int_equal(root->body_end, 0);
	arena_free(&a);
}

static const struct {
	const char	*body, *name, *value, *raw_name, *raw_value;
} params[] = {
	{ "a/b; name=x", "name", "x", "name", "x" },
	{ "a/b; NAME=\"x \\\"y\\\"\"", "name", "x \"y\"", "name", "x \"y\"" },
	{ "a/b; name=foo bar.txt; z=1", "name", "foo bar.txt", "name", "foo bar.txt" },
	{ "a/b; charset=us-ascii (comment)", "charset", "us-ascii", "charset", "us-ascii" },
	{ "a/b; charset=utf-8 format=flowed", "format", "flowed", "format", "flowed" },
	{ "a/b; name*=utf-8'de'%C3%A4", "name", "\303\244", "name*", "utf-8'de'%C3%A4" },
	{ "a/b; name*0=ab; name*1=cd", "name", "abcd", "name", "abcd" },
	{ "a/b; name*1*=b; name*0*=utf-8''a%20", "name", "a b", "name*", "utf-8''a%20b" },
	{ "a/b; name*0*=iso-8859-1''%E4; name*1=\" x\"", "name", "\303\244 x", "name*", "iso-8859-1''%E4%20x" },
	{ "a/b; name=plain; name*=utf-8''%C3%A4", "name", "\303\244", "name*", "utf-8''%C3%A4" },
	{ "a/b; name=\"unclosed", "name", "unclosed", "name", "unclosed" },
	{ "a/b; ; = ; name=x;", "name", "x", "name", "x" },
};

static void
test_params(void **state)
{
	struct arena *a = arena_new(0);
	struct mime_params p;
	struct sv type, sub;

	(void)state;
	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
		bool found = false;

		assert_true(mime_type_parse(a, sv_cstr(params[i].body), &type, &sub, &p));
		if (!sv_eqs(mime_param(&p, params[i].name), params[i].value))
			fail_msg("%s: " SV_FMT, params[i].body, SV_ARG(mime_param(&p, params[i].name)));
		for (size_t k = 0; k < p.n; k++)
			found = found || (sv_eqs(p.v[k].raw_name, params[i].raw_name) &&
			    sv_eqs(p.v[k].raw_value, params[i].raw_value));
		assert_true(found);
	}
	assert_false(mime_type_parse(a, SV_LIT("text"), &type, &sub, &p));
	assert_false(mime_type_parse(a, SV_LIT("text/"), &type, &sub, &p));
	arena_free(&a);
}

/* A thousand multiparts in each other: the descent ends, the parse does not. */
static void
test_limits(void **state)
{
	struct arena *a = arena_new(0);
	struct sb msg = SB_INIT(1 << 20);
	const struct mime_part *root, *p;
	unsigned deepest = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		sb_addf(&msg, "Content-Type: multipart/mixed; boundary=b%d.\n\n--b%d.\n", i, i);
	sb_adds(&msg, "\nx\n");
	root = mime_parse(a, sb_sv(&msg));
	for (p = root; p != NULL; p = mime_next(root, p)) {
		deepest = p->depth > deepest ? p->depth : deepest;
		assert_int_equal(p->body_end, msg.len);
	}
	assert_int_equal(deepest, MIME_DEPTH_MAX);
	sb_clear(&msg);
	sb_adds(&msg, "Content-Type: multipart/mixed; boundary=b\n\n");
	for (int i = 0; i < MIME_PARTS_MAX + 50; i++)
		sb_adds(&msg, "--b\n\nx\n");
	root = mime_parse(a, sb_sv(&msg));
	assert_true(root->cut);
	assert_int_equal(mime_count(root), MIME_PARTS_MAX);
	sb_free(&msg);
	arena_free(&a);
}

static void
test_record(void **state)
{
	struct arena *a = arena_new(0);
	const struct mime_part *root = mime_parse(a, sv_from(nested, sizeof(nested) - 1));
	struct sb rec = SB_INIT(4096);
	struct mime_part *back;

	(void)state;
	mime_offsets_put(&rec, root);
	back = mime_offsets_read(a, sb_sv(&rec));
	assert_non_null(back);
	assert_int_equal(mime_count(back), 7);
	check_body(at(back, 2, 1, 2), "two");
	check_body(at(back, 2, 2, 1), "three");
	for (size_t n = 0; n < rec.len; n++) {
		char *cut = malloc(n == 0 ? 1 : n);

		memcpy(cut, rec.p, n);
		assert_null(mime_offsets_read(a, sv_from(cut, n)));
		free(cut);
	}
	sb_addc(&rec, 'x');
	assert_null(mime_offsets_read(a, sb_sv(&rec)));
	sb_free(&rec);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_nested), cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_params), cmocka_unit_test(test_limits), cmocka_unit_test(test_record) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
