/* SPDX-License-Identifier: BSD-2-Clause */
/* DATA: dots, ends that are none, lone CR and LF, pieces of every size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sb.h"
#include "smtp/data.h"

static void
sink(void *arg, struct sv piece)
{
	sb_add(arg, piece);
}

struct data_case {
	const char	*in;
	unsigned	 flags;
	const char	*out;
	size_t		 used;		/* 0: all, and not done */
	unsigned	 lf, cr, nul;
};

static const struct data_case cases[] = {
	{ "\r\n", 0, "\r\n", 0, 0, 0, 0 },
	{ ".\r\n", 0, "", 3, 0, 0, 0 },
	{ "a\r\n.\r\nQUIT\r\n", 0, "a\r\n", 6, 0, 0, 0 },
	{ "..\r\n...\r\n.a\r\n.\r\n", 0, ".\r\n..\r\na\r\n", 16, 0, 0, 0 },
	/* What must not end a message. */
	{ "a\n.\nMAIL\r\n", 0, "a\n.\nMAIL\r\n", 0, 2, 0, 0 },
	{ "a\n.\rMAIL\r\n", 0, "a\n.\rMAIL\r\n", 0, 1, 1, 0 },
	{ "a\r.\nMAIL\r\n", 0, "a\r.\nMAIL\r\n", 0, 1, 1, 0 },
	{ "a\r.\rMAIL\r\n", 0, "a\r.\rMAIL\r\n", 0, 0, 2, 0 },
	{ "a\n.\r\nMAIL\r\n", 0, "a\n.\r\nMAIL\r\n", 0, 1, 0, 0 },
	{ "a\r.\r\nMAIL\r\n", 0, "a\r.\r\nMAIL\r\n", 0, 0, 1, 0 },
	{ "a\r\n.\nMAIL\r\n", 0, "a\r\n\nMAIL\r\n", 0, 1, 0, 0 },
	{ "a\r\n.\rMAIL\r\n", 0, "a\r\n\rMAIL\r\n", 0, 0, 1, 0 },
	{ "a\r\n.\r\rMAIL\r\n", 0, "a\r\n\r\rMAIL\r\n", 0, 0, 2, 0 },
	{ "a\r\n.\r\r\nMAIL\r\n", 0, "a\r\n\r\r\nMAIL\r\n", 0, 0, 1, 0 },
	{ "a\r\r\n.\r\r\nMAIL\r\n", 0, "a\r\r\n\r\r\nMAIL\r\n", 0, 0, 2, 0 },
	/* Repairs. */
	{ "a\nb\r\n.\r\n", SMTP_DATA_FIX_LF, "a\r\nb\r\n", 8, 1, 0, 0 },
	{ "a\n.\r\nb\r\n.\r\n", SMTP_DATA_FIX_LF, "a\r\n.\r\nb\r\n", 11, 1, 0, 0 },
	{ "a\rb\r\n.\r\n", SMTP_DATA_FIX_CR, "a b\r\n", 8, 0, 1, 0 },
	{ "a\n..b\n.\nc", SMTP_DATA_LF_LINES, "a\r\n.b\r\n", 8, 0, 0, 0 },
	{ "a\r\n.\r\nc", SMTP_DATA_LF_LINES, "a\r\n", 6, 0, 0, 0 },
	{ ".\r\na", SMTP_DATA_NO_DOTS, ".\r\na", 0, 0, 0, 0 },
	/* As Exim: the first line decides; then a bare LF goes on with a field, and a bare CR ends a line of the body. */
	{ "A: b\nC: d\n\ne\n.\nQUIT", SMTP_DATA_AS_EXIM, "A: b\r\nC: d\r\n\r\ne\r\n", 15, 0, 0, 0 },
	{ "A: b\n\ne\n.\r\nQUIT", SMTP_DATA_AS_EXIM, "A: b\r\n\r\ne\r\n", 11, 0, 0, 0 },
	{ "A: b\r\nC: d\ne\r\n\r\nx\n.\ny\r\n.\r\n", SMTP_DATA_AS_EXIM, "A: b\r\nC: d\r\n e\r\n\r\nx\r\n.\r\ny\r\n", 26, 3, 0, 0 },
	{ "A: b\r\n\r\nx\r\n.\ny\r\n.\r\n", SMTP_DATA_AS_EXIM, "A: b\r\n\r\nx\r\n\r\ny\r\n", 19, 1, 0, 0 },
	{ "A: b\rc\r\n\r\nx\ry\r\n.\rz\r\n.\r\n", SMTP_DATA_AS_EXIM, "A: b c\r\n\r\nx\r\ny\r\n\r\nz\r\n", 23, 0, 3, 0 },
	{ "\r\n..a\r\n.b\r\n.\r\n", SMTP_DATA_AS_EXIM, "\r\n.a\r\nb\r\n", 14, 0, 0, 0 },
	/* By chunks there are no dots, and nothing of this. */
	{ "A: b\n.\r\n", SMTP_DATA_AS_EXIM | SMTP_DATA_NO_DOTS, "A: b\n.\r\n", 0, 1, 0, 0 },
};

static void
check(const struct data_case *c, size_t piece)
{
	size_t len = strlen(c->in), at = 0, used = 0;
	struct sb out = SB_INIT(1000);
	struct smtp_data d;

	smtp_data_init(&d, c->flags);
	while (at < len && !smtp_data_done(&d)) {
		size_t n = len - at < piece ? len - at : piece;
		/* An exact block, so that reading past a piece is seen. */
		char *block = malloc(n);

		assert_non_null(block);
		memcpy(block, c->in + at, n);
		used = smtp_data_feed(&d, sv_from(block, n), sink, &out);
		free(block);
		at += used;
		assert_true(smtp_data_done(&d) || used == n);
	}
	if (c->used != 0) {
		assert_true(smtp_data_done(&d));
		assert_int_equal(at, c->used);
	} else {
		assert_false(smtp_data_done(&d));
		smtp_data_finish(&d, sink, &out);
	}
	assert_string_equal(sb_cstr(&out), c->out);
	assert_int_equal(d.size, strlen(c->out));
	assert_int_equal(d.bare_lf, c->lf);
	assert_int_equal(d.bare_cr, c->cr);
	assert_int_equal(d.nuls, c->nul);
	sb_free(&out);
}

static void
test_pieces(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t piece = 1; piece <= strlen(cases[i].in); piece++)
			check(&cases[i], piece);
}

static void
test_nul_and_counts(void **state)
{
	static const char in[] = "a\0b\r\n.\0\r\n\0.\r\nlonger \xc3\xa4 line\r\n.\r\n";
	struct sb out = SB_INIT(1000);
	struct smtp_data d;

	smtp_data_init(&d, 0);
	assert_int_equal(smtp_data_feed(&d, sv_from(in, sizeof(in) - 1), sink, &out), sizeof(in) - 1);
	assert_true(smtp_data_done(&d));
	assert_int_equal(d.nuls, 3);
	assert_int_equal(d.lines, 4);
	assert_int_equal(d.longest, 14);
	assert_true(d.high > 0);
	assert_int_equal(out.len, 5 + 3 + 4 + 16);
	sb_free(&out);
}

static void
test_stuff(void **state)
{
	static const struct { const char *in, *out; } stuffs[] = {
		{ "", ".\r\n" },
		{ "a", "a\r\n.\r\n" },
		{ "a\r\n", "a\r\n.\r\n" },
		{ ".", "..\r\n.\r\n" },
		{ "a\r\n.\r\n.b\r\n", "a\r\n..\r\n..b\r\n.\r\n" },
		{ "a\n.\nb", "a\r\n..\r\nb\r\n.\r\n" },
		{ "a\r.\rb", "a\r\n..\r\nb\r\n.\r\n" },
		{ "a\r\r\n.\r\r\nb\r\n", "a\r\n\r\n..\r\n\r\nb\r\n.\r\n" },
		{ "a\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n" },
	};

	for (size_t i = 0; i < sizeof(stuffs) / sizeof(stuffs[0]); i++)
		for (size_t piece = 1; piece <= strlen(stuffs[i].in) + 1; piece++) {
			enum smtp_data_state st = SMTP_DATA_LINE_START;
			struct sb out = SB_INIT(1000);
			size_t len = strlen(stuffs[i].in);

			for (size_t at = 0; at < len; at += piece)
				smtp_data_stuff(&out, sv_from(stuffs[i].in + at, len - at < piece ? len - at : piece), &st);
			smtp_data_stuff_end(&out, &st);
			assert_string_equal(sb_cstr(&out), stuffs[i].out);
			sb_free(&out);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_nul_and_counts),
		cmocka_unit_test(test_stuff),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
