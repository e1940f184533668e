/* SPDX-License-Identifier: BSD-2-Clause */
/* Rules of hosts.allow: any bytes are rules for a client, as text and as a file that a rule names. */
#include <stdint.h>
#include <stdlib.h>

#include "net/hosts_access.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sv input;

static const char *
name(void *arg, bool *mismatch)
{
	(void)arg;
	*mismatch = input.len % 2 == 1;
	return (input.len % 3 == 0 ? "" : "a.b");
}

static bool
file(void *arg, struct sv path, struct sv *text)
{
	(void)arg;
	(void)path;
	*text = input;
	return (true);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hosts_client c = { .daemon = "exim", .name = name, .file = file };

	if (size > 4096)
		return (0);
	input = sv_from((const char *)data, size);
	(void)net_addr_parse(size % 2 == 0 ? SV_LIT("192.0.2.1") : SV_LIT("2001:db8::1"), &c.addr);
	(void)net_addr_parse(SV_LIT("192.0.2.9"), &c.server);
	if (hosts_access_text(input, size % 5 != 0, &c) > HOSTS_DENY)
		abort();
	return (0);
}
