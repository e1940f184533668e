/* SPDX-License-Identifier: BSD-2-Clause */
/* Text maps: any bytes; entries come in order and lie within the text's size. */
#include <stdint.h>
#include <stdlib.h>

#include "map/lsearch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lsearch l;
	struct lsearch_entry e;
	unsigned last = 0;

	lsearch_init(&l, sv_from((const char *)data, size));
	while (lsearch_next(&l, &e)) {
		if (e.line <= last || e.key.len > size || e.value.len > size)
			abort();
		last = e.line;
	}
	lsearch_free(&l);
	return (0);
}
