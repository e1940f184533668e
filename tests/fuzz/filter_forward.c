/* SPDX-License-Identifier: BSD-2-Clause */
/* What a user's process answers about his filter: any bytes are taken or refused, and what is taken goes back the same. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/sb.h"
#include "filter/forward.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct route_filter f = { .arena = a }, again;
	struct sb out = SB_INIT(2 * 1024 * 1024), twice = SB_INIT(2 * 1024 * 1024);

	if (filter_answer_get(sv_from((const char *)data, size), &f)) {
		filter_answer_put(&out, &f);
		again = f;
		assert(filter_answer_get(sb_sv(&out), &again));
		filter_answer_put(&twice, &again);
		assert(sv_eq(sb_sv(&out), sb_sv(&twice)));
		for (size_t i = 0; i < f.n; i++)
			assert((f.v[i].kind == ROUTE_REPLY) == (f.v[i].mail != NULL) && f.v[i].text.p != NULL);
	}
	sb_free(&out);
	sb_free(&twice);
	arena_free(&a);
	return (0);
}
