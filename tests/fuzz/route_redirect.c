/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as redirection data: the items end, and none reaches outside the data. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "route/redirect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct sv text = sv_from((const char *)data, size);
	struct redirect_item it;
	size_t n = 0, left = size;

	(void)redirect_data_kind(text);
	while (redirect_next(&text, a, &it)) {
		assert(text.len < left);
		left = text.len;
		assert(it.kind != REDIRECT_BAD || it.err_text != NULL);
		assert(it.kind != REDIRECT_ADDRESS || it.text.len > 0);
		n++;
	}
	assert(n <= size);
	arena_free(&a);
	return (0);
}
