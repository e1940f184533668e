/* SPDX-License-Identifier: BSD-2-Clause */
/* makemap's input: any bytes; the first two choose separator and options. */
#include <stdint.h>
#include <stdlib.h>

#include "map/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct map_input in;
	struct sv key, value;
	enum map_input_result r;
	unsigned last = 0;

	if (size < 2)
		return (0);
	map_input_init(&in, sv_from((const char *)data + 2, size - 2));
	in.sep = data[0] == ' ' ? '\0' : (char)data[0];
	in.fold = (data[1] & 1) == 0;
	in.allow_empty = (data[1] & 2) != 0;
	while ((r = map_input_next(&in, &key, &value)) != MAP_INPUT_END) {
		/* Lines only go up, and an entry holds no separator in its key and no newline in its value. */
		if (in.line <= last || (r == MAP_INPUT_ENTRY && value.len > 0 && memchr(value.p, '\n', value.len) != NULL) ||
		    (r == MAP_INPUT_ENTRY && in.sep != '\0' && !in.fold && sv_chr(key, in.sep) != -1))
			abort();
		last = in.line;
	}
	map_input_free(&in);
	return (0);
}
