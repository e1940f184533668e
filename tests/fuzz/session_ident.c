/* SPDX-License-Identifier: BSD-2-Clause */
/* Any line as the answer of a client's identification server: a name that it gives is short and printable, and of our ports. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "session/ident.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv line = sv_from((const char *)data, size);
	struct sb who = SB_INIT(SESSION_IDENT_MAX);

	if (session_ident_answer(line, 6193, 25, &who)) {
		assert(who.len > 0 && who.len <= SESSION_IDENT_MAX && !who.overflow);
		for (size_t i = 0; i < who.len; i++)
			assert(who.p[i] >= ' ' && who.p[i] < 127);
		assert(sv_find(line, SV_LIT("6193")) >= 0 && sv_find(line, SV_LIT("25")) >= 0);
		sb_clear(&who);
		assert(!session_ident_answer(line, 6194, 25, &who) && !session_ident_answer(line, 6193, 26, &who));
	}
	sb_free(&who);
	return (0);
}
