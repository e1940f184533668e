/* SPDX-License-Identifier: BSD-2-Clause */
/* etc/vusers of any bytes: each user is found again by its name; passwords of cheap schemes are tried. */
#include <stdint.h>
#include <stdlib.h>

#include "auth/vusers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
report(void *arg, const struct err *e)
{
	if (e->cls != ERR_CONFIG)
		abort();
	(*(size_t *)arg)++;
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
		/* crypt(3) and high counts cost too much here. */
		if ((s == VUSERS_SCRAM && text.len > 5 && sv_find(text, SV_LIT("$1:")) == 13) || s == VUSERS_PLAIN)
			(void)vusers_verify(u->password, SV_LIT("x"));
	}
	vusers_free(&v);
	return (0);
}
