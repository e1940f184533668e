/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines, macros, conditions and inclusions of configuration files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sb.h"
#include "exim/lexer.h"
#include "exim/option.h"

static char told[4096];

static void
tell(void *arg, const struct err *e, bool warning)
{
	(void)arg;
	(void)warning;
	(void)snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s\n", e->text);
}

/* All logical lines of <text>, one per line, with "FILE:LINE " in front when <where>. */
static char *
lex(const char *text, const char *const *defs, size_t ndefs, bool where)
{
	struct exim_report rep = EXIM_REPORT_INIT;
	struct arena *a = arena_new(0);
	size_t n = strlen(text);
	char *block = malloc(n > 0 ? n : 1);	/* exact, so that a read behind it is seen */
	struct exim_lexer *lx;
	struct exim_line line;
	struct sb out = SB_INIT(1 << 20);

	memcpy(block, text, n);
	told[0] = '\0';
	rep.fn = tell;
	lx = exim_lexer_open_mem("/dir/conf", sv_from(block, n), defs, ndefs, a, &rep);
	while (exim_lexer_next(lx, &line)) {
		if (where)
			sb_addf(&out, "%u-%u ", line.line, line.last_line);
		sb_add(&out, line.text);
		sb_addc(&out, '\n');
	}
	exim_lexer_close(&lx);
	free(block);
	arena_free(&a);
	return (sb_steal(&out, NULL));
}

static void
lines(void **state)
{
	static const struct { const char *in, *out, *err; } t[] = {
		{ "", "", "" },
		{ "a = b", "a = b\n", "" },
		{ "  # comment\n\n a = b  \n\t#x\nc = d # no comment\n", "a = b\nc = d # no comment\n", "" },
		{ "a = b \\\n   c\\\n\t d  \n", "a = b cd\n", "" },
		{ "a = b:\\\n  # inside\n  c\n", "a = b:c\n", "" },
		{ "a = b \\\n\nc\n", "a = b\nc\n", "" },
		{ "a = \\", "a =\n", "" },
		{ "A = x\nb = A-AA\n", "b = x-xx\n", "" },
		{ "ABC = x\nA = y\nb = ABCA\n", "b = xy\n", "" },
		{ "A = x\nAB = y\nb = AB\n", "b = xB\n", "substring" },
		{ "A = x\nA = y\n", "", "already defined" },
		{ "A = x\nb = A\nA == A y\nc = A\n", "b = x\nc = x y\n", "" },
		{ "LATER = ONE\nONE = 1\nb = LATER\n", "b = 1\n", "" },
		{ "A =\nA\nb = xAx\n", "b = xx\n", "" },
		{ "Word x\nb = c\n", "b = c\n", "malformed macro" },
		{ "A = 1\n.ifdef A\nx = 1\n.else\nx = 2\n.endif\n", "x = 1\n", "" },
		{ ".ifdef A\nx = 1\n.elifdef _VPOST\nx = 2\n.else\nx = 3\n.endif\n", "x = 2\n", "" },
		{ ".ifndef A\n.ifdef B\nx\n.else\ny\n.endif\n.endif\nz\n", "y\nz\n", "" },
		{ "A=1\n.ifdef B\n.ifdef A\nx\n.else\ny\n.endif\n.else\nw\n.endif\n", "w\n", "" },
		{ "l = a \\\n.ifdef NO\n : b \\\n.endif\n : c\n", "l = a : c\n", "" },
		{ ".ifdef A\nx\n", "", ".endif missing" },
		{ ".else\n", "", "without matching" },
		{ ".endif\nx\n", "x\n", "without matching" },
		{ ".include /no/such/file\nx\n", "x\n", "failed to open included" },
		{ ".include_if_exists /no/such/file\nx\n", "x\n", "" },
		{ ".include_if_exists such\nx\n", "x\n", "non-absolute" },
		{ ".includex\n", ".includex\n", "" },
		{ "begin acl\nA@b = c\nName = x\nb = Name\n", "begin acl\nA@b = c\nb = x\n", "" },
		{ "x = _HAVE_IPV6 _OPT_MAIN_QUALIFY_DOMAIN _NOPE_X\n", "x = y y _NOPE_X\n", "" },
		{ "x = _OPT_ROUTERS_VERIFY _OPT_ROUTER_REDIRECT_ONE_TIME _DRIVER_TRANSPORT_STORE\n", "x = y y y\n", "" },
		{ "x = _OPT_TRANSPORT_SMTP_HOSTS _LOG_ALL _ACL_COND_VERIFY _VPOST\n", "x = y y y 1\n", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char *out = lex(t[i].in, NULL, 0, false);

		if (strcmp(out, t[i].out) != 0 || (told[0] == '\0') != (t[i].err[0] == '\0'))
			print_message("%s -> %s, %s", t[i].in, out, told);
		assert_string_equal(out, t[i].out);
		if (t[i].err[0] == '\0')
			assert_string_equal(told, "");
		else
			assert_non_null(strstr(told, t[i].err));
		free(out);
	}
}

static void
places(void **state)
{
	char *out = lex("a\n#\nb \\\n# x\n  c\n\nd\n", NULL, 0, true);

	(void)state;
	assert_string_equal(out, "1-1 a\n3-5 b c\n7-7 d\n");
	free(out);
}

static void
defines(void **state)
{
	static const char *const defs[] = { "NAME=from the command line", "FLAG" };
	char *out = lex("NAME = file\nNAME == again\n.ifdef FLAG\nx = NAME\n.endif\n", defs, 2, false);
	static const char *const bad[] = { "1x=y", "" };

	(void)state;
	assert_string_equal(out, "x = from the command line\n");
	assert_string_equal(told, "");
	free(out);
	out = lex("x\n", bad, 2, false);
	assert_non_null(strstr(told, "macro name"));
	free(out);
}

/* What a box defines says nothing to a file that knows nothing of boxes. */
static void
of_box(void **state)
{
	static const char *const defs[] = { "_VPOST_BOX=/b" };
	char *out = lex("MAILBOX_DIR = m\nx = INBOX MAILBOX_DIR\n", defs, 1, false);

	(void)state;
	assert_string_equal(out, "x = INBOX m\n");
	assert_string_equal(told, "");
	free(out);
	out = lex(".ifdef _VPOST_BOX\nBOX = _VPOST_BOX\n.endif\n.ifdef _VPOST_NO\nno\n.endif\nx = BOX/etc\n", defs, 1, false);
	assert_string_equal(out, "x = /b/etc\n");
	assert_string_equal(told, "");
	free(out);
}

static void
nul_and_long(void **state)
{
	struct exim_report rep = EXIM_REPORT_INIT;
	struct arena *a = arena_new(0);
	struct exim_lexer *lx = exim_lexer_open_mem("x", sv_from("a\0b\nc = d\n", 10), NULL, 0, a, &rep);
	struct exim_line line;
	char *big = malloc(EXIM_LINE_MAX + 100);

	(void)state;
	assert_true(exim_lexer_next(lx, &line));
	assert_true(sv_eqs(line.text, "c = d"));
	assert_int_equal(rep.errors, 1);
	exim_lexer_close(&lx);
	memset(big, 'x', EXIM_LINE_MAX + 100);
	lx = exim_lexer_open_mem("x", sv_from(big, EXIM_LINE_MAX + 100), NULL, 0, a, &rep);
	while (exim_lexer_next(lx, &line))
		;
	assert_int_equal(rep.errors, 2);
	exim_lexer_close(&lx);
	free(big);
	arena_free(&a);
}

static void
files(void **state)
{
	char dir[] = "/tmp/lexer.XXXXXX", path[64], sub[64];
	struct exim_report rep = EXIM_REPORT_INIT;
	struct arena *a = arena_new(0);
	struct exim_lexer *lx;
	struct exim_line line;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/main", dir);
	(void)snprintf(sub, sizeof(sub), "%s/sub", dir);
	f = fopen(path, "w");
	fprintf(f, "one\nx = \\\n.include sub\n  c\n.include \"%s\"\nlast", sub);
	(void)fclose(f);
	f = fopen(sub, "w");
	fprintf(f, "in \\\n");
	(void)fclose(f);
	lx = exim_lexer_open(path, NULL, 0, a, &rep);
	assert_true(exim_lexer_next(lx, &line) && sv_eqs(line.text, "one"));
	assert_true(exim_lexer_next(lx, &line) && sv_eqs(line.text, "x = in c"));
	assert_int_equal(line.npieces, 3);
	assert_string_equal(line.piece[1].file, sub);
	assert_true(exim_lexer_next(lx, &line) && sv_eqs(line.text, "in last"));
	assert_false(exim_lexer_next(lx, &line));
	exim_lexer_close(&lx);
	/* A file that includes itself ends in an error, not in the stack's end. */
	f = fopen(sub, "w");
	fprintf(f, "y\n.include sub\n");
	(void)fclose(f);
	lx = exim_lexer_open(sub, NULL, 0, a, &rep);
	while (exim_lexer_next(lx, &line))
		;
	assert_int_equal(rep.errors, 1);
	exim_lexer_close(&lx);
	(void)unlink(path);
	(void)unlink(sub);
	(void)rmdir(dir);
	arena_free(&a);
}

static void
assigns(void **state)
{
	static const struct { const char *in, *name, *value; bool neg, hide, ok; } t[] = {
		{ "a = b", "a", "b", false, false, true },
		{ "a=b = c", "a", "b = c", false, false, true },
		{ "no_abc", "abc", NULL, true, false, true },
		{ "not_abc", "abc", NULL, true, false, true },
		{ "hide  pw = x", "pw", "x", false, true, true },
		{ "a =", "a", "", false, false, true },
		{ "a b", "a", NULL, false, false, true },
		{ "= x", "", NULL, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct exim_report rep = EXIM_REPORT_INIT;
		struct exim_piece pc = { 0, "f", 1 };
		struct exim_line l = { .text = sv_cstr(t[i].in), .file = "f", .line = 1, .last_line = 1, .piece = &pc, .npieces = 1 };
		struct exim_assign as;

		assert_int_equal(exim_assign_parse(&l, &as, &rep), t[i].ok ? 0 : -1);
		if (!t[i].ok)
			continue;
		assert_true(sv_eqs(as.name, t[i].name));
		assert_int_equal(as.negated, t[i].neg);
		assert_int_equal(as.hide, t[i].hide);
		if (t[i].value == NULL)
			assert_null(as.value.p);
		else
			assert_true(sv_eqs(as.value, t[i].value));
	}
}

static void
values(void **state)
{
	static const struct { const char *in; int64_t n; bool ok; } ints[] = {
		{ "10", 10, true }, { "0x1F", 31, true }, { "010", 8, true }, { "2K", 2048, true }, { "3M", 3 << 20, true },
		{ "-5", -5, true }, { "", 0, false }, { "ten", 0, false }, { "1.5", 0, false }, { "09", 0, false },
		{ "99999999999999999999", 0, false }, { "9223372036854775807K", 0, false }, { "0", 0, true },
	};
	static const struct { const char *in; int64_t n; bool ok; } times[] = {
		{ "1w2d3h4m5s", 788645, true }, { "0s", 0, true }, { "90m", 5400, true }, { "5", 0, false }, { "", 0, false },
		{ "5x", 0, false }, { "m", 0, false },
	};
	static const struct { const char *in, *out; bool ok; } strs[] = {
		{ "plain", "plain", true }, { "\"a\\n\\x41\\101\\\"b\"", "a\nAA\"b", true }, { "\"open", "", false },
		{ "\"a\" b", "", false }, { "\"\"", "", true },
	};
	struct arena *a = arena_new(0);
	int64_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++) {
		assert_int_equal(exim_parse_int(sv_cstr(ints[i].in), &n), ints[i].ok);
		if (ints[i].ok)
			assert_int_equal(n, ints[i].n);
	}
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		assert_int_equal(exim_parse_time(sv_cstr(times[i].in), &n), times[i].ok);
		if (times[i].ok)
			assert_int_equal(n, times[i].n);
	}
	assert_true(exim_parse_fixed(sv_cstr("1.5"), &n) && n == 1500);
	assert_true(exim_parse_fixed(sv_cstr("7"), &n) && n == 7000);
	assert_true(exim_parse_fixed(sv_cstr("1.2345"), &n) && n == 1234);
	assert_true(exim_parse_octal(sv_cstr("0640"), &n) && n == 0640);
	assert_false(exim_parse_octal(sv_cstr("8"), &n));
	for (size_t i = 0; i < sizeof(strs) / sizeof(strs[0]); i++) {
		struct err err = ERR_INIT;
		struct sv out;

		assert_int_equal(exim_string_parse(sv_cstr(strs[i].in), a, &out, &err), strs[i].ok ? 0 : -1);
		if (strs[i].ok)
			assert_true(sv_eqs(out, strs[i].out));
	}
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines), cmocka_unit_test(places), cmocka_unit_test(defines), cmocka_unit_test(of_box), cmocka_unit_test(nul_and_long),
		cmocka_unit_test(files), cmocka_unit_test(assigns), cmocka_unit_test(values),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
