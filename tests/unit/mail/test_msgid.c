/* SPDX-License-Identifier: BSD-2-Clause */
/* Message identifiers, and the References of an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mail/header.h"
#include "mail/msgid.h"

static void
next(void **state)
{
	struct sv v = SV_LIT("see <a@b> (not <c@d>) \"<e@f>\" <\"g>h\"@i> <broken <j@k>"), id;
	const char *want[] = { "<a@b>", "<\"g>h\"@i>", "<j@k>" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_true(mail_msgid_next(&v, &id));
		assert_true(sv_eqs(id, want[i]));
	}
	assert_false(mail_msgid_next(&v, &id));
	assert_null(mail_msgid_first(SV_LIT("none")).p);
}

/* What mail_references makes of a header, in a block of exactly its size. */
static void
check(const char *header, const char *eol, const char *want)
{
	struct arena *a = arena_new(0);
	struct sb out = SB_INIT(1 << 20);
	struct mail_headers h;
	size_t n = strlen(header);
	char *mem = malloc(n);

	memcpy(mem, header, n);
	mail_headers_parse(&h, a, sv_from(mem, n), 0);
	mail_references(&out, &h, eol);
	assert_string_equal(sb_cstr(&out), want);
	sb_free(&out);
	free(mem);
	arena_free(&a);
}

static void
references(void **state)
{
	static const struct {
		const char *header, *want;
	} t[] = {
		{ "Subject: x\n", "" },
		{ "Message-ID: <m@x>\n", "References: <m@x>\n" },
		{ "Message-ID:  \n", "" },
		{ "References: <a@b>\n", "References: <a@b>\n" },
		{ "References:\nIn-Reply-To: <q@q>\nMessage-ID: <m@x>\n", "References: <m@x>\n" },
		{ "References: <a@b>\n <c@d>\n\t<e@f>\nIn-Reply-To: <q@q>\nMessage-ID: <m@x>\n", "References: <a@b> <c@d> <e@f> <m@x>\n" },
		{ "In-Reply-To: <a@b>\n <b@c>\nMessage-ID: <m@x>\n", "References: <a@b> <b@c> <m@x>\n" },
		/* Words are no ids, and what stands behind them is not looked at. */
		{ "In-Reply-To: Your message of today <q@q>\nMessage-ID: <m@x>\n", "References: <m@x>\n" },
		{ "References: <b@b> junk <c@c>\nMessage-ID: <m@x>\n", "References: <b@b> <m@x>\n" },
		{ "References: <b@b> <c> <d@d>\nMessage-ID: <m@x>\n", "References: <b@b> <m@x>\n" },
		{ "References: <b@b> <@c> <d@d>\nMessage-ID: <m@x>\n", "References: <b@b> <m@x>\n" },
		{ "References: <b@b> <a@b@c> <d@d>\nMessage-ID: <m@x>\n", "References: <b@b> <m@x>\n" },
		{ "References: <b@b> <d@d\nMessage-ID: <m@x>\n", "References: <b@b> <m@x>\n" },
		{ "References: (c <x@y>)<b@b>(c2)<d@d>,<e@e>\nMessage-ID: <m@x>\n", "References: <b@b> <d@d> <e@e> <m@x>\n" },
		{ "References: < b @\n b > <\"q @z\"@d>\nMessage-ID: <m@x>\n", "References: <b@b> <\"q @z\"@d> <m@x>\n" },
		/* As it is written. */
		{ "Message-ID: (x) <m@x>\n (a comment)\n", "References: (x) <m@x>\n (a comment)\n" },
		{ "Message-ID: no angle\n", "References: no angle\n" },
		{ "Message-ID: <m@x>\nMessage-ID: <m2@x>\n", "References: <m@x>\n" },
		{ "Message-ID: <m@x>\nResent-Message-ID: <r@x>\n", "References: <r@x>\n" },
		/* The first and the last eleven. */
		{ "References: <1@x> <2@x> <3@x> <4@x> <5@x> <6@x> <7@x> <8@x> <9@x> <10@x> <11@x> <12@x>\nMessage-ID: <m@x>\n",
		    "References: <1@x> <2@x> <3@x> <4@x> <5@x> <6@x> <7@x> <8@x> <9@x> <10@x> <11@x> <12@x> <m@x>\n" },
		{ "References: <1@x> <2@x> <3@x> <4@x> <5@x> <6@x> <7@x> <8@x> <9@x> <10@x> <11@x> <12@x> <13@x> <14@x>\n",
		    "References: <1@x> <4@x> <5@x> <6@x> <7@x> <8@x> <9@x> <10@x> <11@x> <12@x> <13@x> <14@x>\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		check(t[i].header, "\n", t[i].want);
	check("References: <a@b>\r\n <c@d>\r\nMessage-ID: <m@x>\r\n (c)\r\n", "\r\n", "References: <a@b> <c@d> <m@x>\r\n (c)\r\n");
	check("Message-ID: <m@x>\r\n (c)\r\n", "\n", "References: <m@x>\n (c)\n");
}

/* Long ids: no line gets longer than RFC 5322 allows, as long as an id fits into one. */
static void
long_ids(void **state)
{
	char header[4096], want[4096];
	size_t n = (size_t)snprintf(header, sizeof(header), "References:");

	(void)state;
	for (int i = 0; i < 3; i++)
		n += (size_t)snprintf(header + n, sizeof(header) - n, " <%0492d@x>\n", i);
	(void)snprintf(header + n, sizeof(header) - n, "Message-ID: <m@x>\n");
	/* "References: <...>" has 508 bytes, a folded line two ids of 497 with their blanks. */
	(void)snprintf(want, sizeof(want), "References: <%0492d@x>\n <%0492d@x> <%0492d@x>\n <m@x>\n", 0, 1, 2);
	check(header, "\n", want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(next), cmocka_unit_test(references), cmocka_unit_test(long_ids) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
