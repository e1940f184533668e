/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any text as a configuration: it is refused with mistakes that each say where, or it
 * loads; then every ACL of it runs and every retry rule computes, in a world that has
 * neither files nor network nor time.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "exim/acl.h"
#include "exim/conf.h"
#include "exim/lexer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned told;

static void
tell(void *arg, const struct err *e, bool warning)
{
	assert(e->cls == ERR_CONFIG && e->text[0] != '\0');
	told += !warning;
}

static void
run_acls(struct exim_conf *c, struct exim_env *env)
{
	struct exim_acl_effects fx;
	struct exim_acl_run run;
	struct arena *keep = arena_new(0);

	memset(&run, 0, sizeof(run));
	exim_acl_effects_init(&fx, keep);
	run.fx = &fx;
	for (int w = 0; w < EXIM_WHERE_UNKNOWN; w++) {
		struct exim_acl_result res;

		run.where = (enum exim_acl_where)w;
		(void)exim_acl_check(env, &run, &res);
		assert(res.code == 0 || (res.code >= 200 && res.code < 600));
		assert(env->acl_depth == 0 && env->acl_run == NULL);
		arena_reset(env->arena);
	}
	exim_acl_run_fini(&run);
	exim_acl_effects_free(&fx);
	arena_free(&keep);
}

static void
retry(const struct exim_conf *c)
{
	for (size_t i = 0; i < c->nretry; i++)
		for (int64_t now = 0; now < 1000000; now += 99999) {
			int64_t next = exim_retry_next(&c->retry[i], 0, now / 2, now, 0xffffffff, 86400);

			assert(next == 0 ? exim_retry_expired(&c->retry[i], 0, now) : next > now && next <= now + 86400);
		}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct exim_report rep = EXIM_REPORT_INIT;
	struct exim_conf_source src = { .path = "/nonexistent/fuzz", .text = sv_from((const char *)data, size), .hostname = "h.test" };
	struct exim_conf *c = NULL;
	struct exim_world world;
	struct exim_session session;
	struct exim_message msg;
	struct exim_address addr;
	struct exim_acl_state acl;
	struct exim_env env;
	struct err err = ERR_INIT;
	static const char *const defines[] = { "CMD=given", "FLAG" };
	struct sv name, value;
	size_t pos = 0;

	src.defines = defines;
	src.ndefines = sizeof(defines) / sizeof(defines[0]);
	if (data == NULL || size == 0)
		src.text = SV_LIT("");
	told = 0;
	rep.fn = tell;
	rep.strict = size > 0 && data[0] == '#';
	if (exim_conf_load(&c, &src, &rep, &err) == -1) {
		assert(told > 0 && c == NULL && err.text[0] != '\0');
		return (0);
	}
	assert(told == 0);
	memset(&world, 0, sizeof(world));
	memset(&session, 0, sizeof(session));
	memset(&msg, 0, sizeof(msg));
	memset(&addr, 0, sizeof(addr));
	memset(&acl, 0, sizeof(acl));
	memset(&env, 0, sizeof(env));
	world.acl = exim_acl_expand;
	addr.local_part = sv_taint(SV_LIT("user"));
	addr.domain = sv_taint(SV_LIT("host.test"));
	msg.sender = sv_taint(SV_LIT("joe@host.test"));
	exim_conf_env(c, &env);
	env.arena = arena_new(0);
	env.world = &world;
	env.session = &session;
	env.msg = &msg;
	env.addr = &addr;
	env.acl = &acl;
	env.acl_c = exim_vars_new();
	env.acl_m = exim_vars_new();
	run_acls(c, &env);
	retry(c);
	while (exim_lexer_macro_next(c->lexer, &pos, &name, &value))
		assert(sv_eq(exim_lexer_macro(c->lexer, name), value));
	exim_vars_free(&env.acl_c);
	exim_vars_free(&env.acl_m);
	arena_free(&env.arena);
	exim_conf_unref(&c);
	return (0);
}
