/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DNS replies.  The first byte chooses the type that is asked for; the name is always
 * example.org.  Property: every record that is given out can be shown as text.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "dns/dns_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int types[] = { DNS_A, DNS_AAAA, DNS_MX, DNS_TXT, DNS_PTR, DNS_SOA, DNS_SRV, DNS_TLSA, DNS_ANY, DNS_CNAME };
	struct arena *a;
	struct dns_answer ans;
	const char *next;
	int type, rc;

	if (size == 0)
		return (0);
	type = types[data[0] % (sizeof(types) / sizeof(types[0]))];
	a = arena_new(0);
	memset(&ans, 0, sizeof(ans));
	rc = dns_packet_parse(sv_from((const char *)data + 1, size - 1), "example.org", type, a, &ans, &next);
	assert((rc == 1) == (rc != -1 && ans.n > 0));
	for (size_t i = 0; rc == 1 && i < ans.n; i++)
		assert(dns_rdata_text(type == DNS_ANY ? DNS_TXT : type, ans.rdata[i], a) != NULL);
	arena_free(&a);
	return (0);
}
