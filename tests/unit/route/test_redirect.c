/* SPDX-License-Identifier: BSD-2-Clause */
/* Redirection data cut into items. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sb.h"
#include "route/redirect.h"

static void
items(void **state)
{
	/* One letter for the kind, then the text, by " ; ". */
	static const struct { const char *in, *out; } t[] = {
		{ "", "" }, { " , \n ,, # x\n# only a comment", "" }, { "a@b.test", "A a@b.test" },
		{ "a@b.test, c\nd@e.test", "A a@b.test ; A c ; A d@e.test" },
		{ "Name Here <a@b.test>, (c) x", "A a@b.test ; A x" },
		{ "\"quoted, local\"@b.test, z", "A \"quoted, local\"@b.test ; A z" },
		{ "|/bin/prog arg", "P /bin/prog arg" }, { "\"|/bin/prog a, b\", c", "P /bin/prog a, b ; A c" },
		{ "/var/mail/x", "F /var/mail/x" }, { "/var/mail/x/", "D /var/mail/x/" }, { "/a=b/@c.test", "A /a=b/@c.test" },
		{ "\\root, b", "V root ; A b" }, { "\\a@b.test", "A \\a@b.test" },
		{ ":include:/etc/list, x", "I /etc/list ; A x" }, { ":fail: no, more, here\nx", "X no, more, here\nx" },
		{ ":defer: text", "Y text" }, { ":blackhole:", "B " }, { ":unknown:", "U " }, { "a, :unknown:", "A a ; U " }, { "\":fail: in quotes\"", "X in quotes" },
		{ "a b c, d", "! a b c ; A d" }, { "x, # comment, y\nz", "A x ; A z" }, { "\"\"", "" },
	};
	static const char letter[] = { 'A', 'P', 'F', 'D', 'I', 'B', 'X', 'Y', 'U', '!' };

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct arena *a = arena_new(0);
		size_t n = strlen(t[i].in);
		char *block = malloc(n > 0 ? n : 1);
		struct sv data = sv_from(block, n);
		struct redirect_item it;
		struct sb out = SB_INIT(4096);

		memcpy(block, t[i].in, n);
		while (redirect_next(&data, a, &it))
			sb_addf(&out, "%s%c " SV_FMT, out.len > 0 ? " ; " : "", it.verbatim ? 'V' : letter[it.kind], SV_ARG(it.text));
		assert_string_equal(sb_cstr(&out), t[i].out);
		sb_free(&out);
		free(block);
		arena_free(&a);
	}
	assert_int_equal(redirect_data_kind(SV_LIT("# Exim filter  <<== \nmail")), REDIRECT_EXIM_FILTER);
	assert_int_equal(redirect_data_kind(SV_LIT("\n#exim Filter\n")), REDIRECT_EXIM_FILTER);
	assert_int_equal(redirect_data_kind(SV_LIT("#Sieve filter\n")), REDIRECT_SIEVE_FILTER);
	assert_int_equal(redirect_data_kind(SV_LIT("# Exim filters\n")), REDIRECT_EXIM_FILTER);
	assert_int_equal(redirect_data_kind(SV_LIT("x # Exim filter")), REDIRECT_LIST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(items) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
