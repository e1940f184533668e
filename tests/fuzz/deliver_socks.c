/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes from a SOCKS proxy: an end comes within the longest answer there is. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "deliver/socks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct net_addr bound;
	size_t have = 0, need = 0;

	for (;;) {
		char *copy = malloc(have + 1);
		int rc;

		assert(copy != NULL);
		memcpy(copy, data, have);
		rc = deliver_socks_answer(sv_from(copy, have), &bound, &need, &err);
		free(copy);
		if (rc != 0)
			return (0);
		assert(need > 0 && have + need <= SOCKS_MESSAGE_MAX);
		if (have + need > size)
			return (0);
		have += need;
	}
}
