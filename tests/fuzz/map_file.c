/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Map files of any bytes: the first says which kind.  Whatever can be read must be found
 * again by its key.
 */
#include <stdint.h>
#include <stdlib.h>

#include "map/map_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct table t;
	struct err err = ERR_INIT;
	int rc;

	if (size < 1)
		return (0);
	table_init(&t);
	sb_addn(&t.image, data + 1, size - 1);
	rc = data[0] == 'c' ? read_cdb(&t, &err) : data[0] == 't' ? read_text(&t, &err) : read_bdb(&t, &err);
	if (rc == -1 && err.cls == ERR_NONE)
		abort();
	for (size_t i = 0; rc == 0 && i < t.e.len; i++)
		if (table_find(&t, t.e.p[i].key, t.e.p[i].nul ? MAP_NUL : MAP_NONUL) == ENTRY_NONE)
			abort();
	table_free(&t);
	return (0);
}
