/* SPDX-License-Identifier: BSD-2-Clause */
/* etc/vusers of any bytes: each user is found again by its name; passwords of cheap schemes are tried. */
#include <stdint.h>
#include <stdlib.h>

#include "auth/auth_int.h"
#include "auth/vusers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
report(void *arg, const struct err *e)
{
	if (e->cls != ERR_CONFIG)
		abort();
	(*(size_t *)arg)++;
}

/* What is stored comes back in one form, and keys of a known password open it. */
static void
scram(struct sv stored)
{
	struct sb one = SB_INIT(4096), two = SB_INIT(4096);
	struct err err = ERR_INIT;

	if (auth_scram_text(stored, &one) && (!auth_scram_text(sb_sv(&one), &two) || !sv_eq(sb_sv(&one), sb_sv(&two))))
		abort();
	sb_clear(&one);
	if (sv_starts(stored, "{PLAIN}") && stored.len > 7 &&
	    vusers_scram_key(sv_sub(stored, 7, stored.len), SV_LIT("0123456789abcdef"), 1, &one, &err) == 0 &&
	    !vusers_verify(sb_sv(&one), sv_sub(stored, 7, stored.len)))
		abort();
	sb_free(&one);
	sb_free(&two);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t reports = 0;
	struct vusers *v = vusers_parse(sv_from((const char *)data, size), "vusers", report, &reports);

	for (size_t i = 0; i < vusers_count(v); i++) {
		const struct vuser *u = vusers_at(v, i);
		struct err err = ERR_INIT;
		struct sv text;
		enum vusers_scheme s = vusers_scheme(u->password, &text);

		if (vusers_get(v, u->name) != u || sv_chr(u->name, ':') != -1)
			abort();
		(void)vusers_name_check(u->name, &err);
		/* Slow schemes and high counts cost too much here. */
		if ((s == VUSERS_SCRAM && text.len > 5 && sv_find(text, SV_LIT("$1:")) == 13) || s == VUSERS_PLAIN ||
		    (s == VUSERS_CRYPT && i < 2 && sv_starts(text, "$1$")))
			(void)vusers_verify(u->password, SV_LIT("x"));
		scram(u->password);
	}
	vusers_free(&v);
	return (0);
}
