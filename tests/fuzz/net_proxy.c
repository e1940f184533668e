/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes in front of a connection: the header never takes more than it asked for, and ends. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t have = 0, need = 0;
	struct net_proxy p;
	enum net_proxy_result r;

	for (;;) {
		char *copy = malloc(have + 1);

		assert(copy != NULL);
		memcpy(copy, data, have);
		r = net_proxy_parse(sv_from(copy, have), &p, &need);
		free(copy);
		if (r != NET_PROXY_MORE)
			break;
		assert(need > 0 && have + need <= PROXY_V2_MAX);
		if (have + need > size)
			return (0);
		have += need;
	}
	assert(r == NET_PROXY_BAD || !p.known || (p.source.family != 0 && p.dest.family != 0));
	return (0);
}
