/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arguments of ACL conditions and modifiers that have a grammar of their own, as a peer's data may reach them
 * through an expansion: the first byte chooses the condition, the rest is $sender_helo_name, which is its argument.
 * Each ends in a verdict; nothing is read beyond its end.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "../lib/fuzz/world.h"
#include "exim/acl.h"
#include "exim/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const conditions[] = { "dnslists", "ratelimit", "seen", "verify", "control", "logwrite", "udpsend", "add_header",
	"remove_header", "queue", "condition", "delay", "log_reject_target", "regex" };

static enum exim_result
verify(void *arg, struct exim_env *env, const struct exim_verify *v, struct exim_verify_result *out)
{
	out->failure = SV_LIT("route");
	return (v->address.len % 3 == 0 ? EXIM_OK : v->address.len % 3 == 1 ? EXIM_FAIL : EXIM_DEFER);
}

static const struct exim_acl_ops ops = { .verify = verify };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct exim_report rep = EXIM_REPORT_INIT;
	struct exim_env env = { .world = &w_all };
	struct exim_acl_state st;
	struct exim_session s;
	struct exim_message m;
	struct exim_address ad;
	struct exim_acl_effects fx;
	struct exim_acl_run run = { .ops = &ops };
	struct exim_acl_result res;
	const struct exim_acl *acl;
	struct arena *a;
	char *exact;

	if (size < 2 || size > 8192)
		return (0);
	a = arena_new(0);
	exact = malloc(size - 1);
	memcpy(exact, data + 1, size - 1);
	memset(&st, 0, sizeof(st));
	memset(&s, 0, sizeof(s));
	memset(&m, 0, sizeof(m));
	memset(&ad, 0, sizeof(ad));
	s.helo = sv_taint(sv_from(exact, size - 1));
	(void)net_addr_parse(SV_LIT("192.0.2.1"), &s.addr);
	s.host_address = SV_LIT("192.0.2.1");
	m.raw = s.helo;
	ad.local_part = SV_LIT("joe");
	ad.domain = SV_LIT("a.test");
	env.arena = a;
	env.session = &s;
	env.msg = &m;
	env.addr = &ad;
	env.acl = &st;
	env.acl_c = exim_vars_new();
	env.acl_m = exim_vars_new();
	exim_acl_effects_init(&fx, a);
	run.fx = &fx;
	run.where = (data[0] & 0x80) != 0 ? EXIM_WHERE_DATA : EXIM_WHERE_RCPT;
	acl = exim_acl_compile_text(a, SV_LIT("fuzz"), sv_cstr(arena_fmt(a, "deny %s = $sender_helo_name\naccept",
	    conditions[(data[0] & 0x7f) % (sizeof(conditions) / sizeof(conditions[0]))])), &rep);
	assert(acl != NULL && rep.errors == 0);
	assert(exim_acl_run(acl, &env, &run, &res) <= EXIM_ACL_ERROR);
	exim_acl_run_fini(&run);
	exim_acl_effects_free(&fx);
	exim_vars_free(&env.acl_c);
	exim_vars_free(&env.acl_m);
	free(exact);
	arena_free(&a);
	return (0);
}
