/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers of scanners, servers of the configuration and SPF records, which all come from elsewhere: any bytes give an answer. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/sb.h"
#include "exim/scan.h"
#include "exim/spf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every question is answered by the input: as text, as an address, as a name. */
static int
fuzz_dns(void *arg, const char *name, int type, struct arena *a, struct exim_dns *out)
{
	const struct sv *in = arg;
	struct sv *v = arena_alloc(a, sizeof(*v));
	struct sb sb = SB_INIT(1 << 16);

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; type == 16 && i < in->len && i < 2000; i += 255) {
		struct sv piece = sv_sub(*in, i, i + 255);

		sb_addc(&sb, (char)piece.len);
		sb_add(&sb, piece);
	}
	*v = type == 16 ? arena_sv(a, sb_sv(&sb)) : sv_sub(*in, 0, type == 1 ? 4 : 200);
	sb_free(&sb);
	out->result = strlen(name) % 5 == 0 ? EXIM_DNS_NXDOMAIN : strlen(name) % 17 == 0 ? EXIM_DNS_TEMPFAIL : EXIM_DNS_FOUND;
	out->n = out->result == EXIM_DNS_FOUND;
	out->rdata = v;
	return (0);
}

static void
records(struct sv in)
{
	struct exim_world world = { .arg = &in, .dns = fuzz_dns };
	struct exim_spf_query q = { .sender = SV_LIT("a.b-c@sub.example.test"), .helo = SV_LIT("helo.test"), .record = in };
	struct sv domain, sender, why;
	struct exim_env env;

	memset(&env, 0, sizeof(env));
	env.world = &world;
	env.arena = arena_new(0);
	assert(net_addr_parse(in.len % 2 == 0 ? SV_LIT("192.0.2.1") : SV_LIT("2001:db8::1"), &q.client));
	assert(exim_spf_check(&env, &q, &domain, &sender, &why) < EXIM_SPF_COUNT);
	arena_free(&env.arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv in, text;
	struct arena *a = arena_new(0);
	struct exim_scan_server server;
	struct exim_acl_state st;
	struct exim_spam spam;
	char *block = NULL;

	if (size > 4000)
		size = 4000;
	block = xmalloc(size == 0 ? 1 : size);
	memcpy(block, data, size);
	in = sv_taint(sv_from(block, size));
	(void)exim_scan_server(in, a, &server);
	(void)exim_clamd_reply(in, &text);
	assert(text.len <= in.len);
	for (int rspamd = 0; rspamd < 2; rspamd++) {
		memset(&st, 0, sizeof(st));
		if (exim_spam_reply(in, rspamd == 1, &spam)) {
			exim_spam_vars(&st, &spam, a);
			assert(st.spam_bar.len >= 1 && st.spam_bar.len <= 50);
		}
	}
	records(in);
	free(block);
	arena_free(&a);
	return (0);
}
