/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any text as a configuration: it is refused with mistakes that each say where, or it
 * loads; then every ACL of it runs, every rule rewrites, every retry rule is looked for and computes, in a world
 * of constants.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "../lib/fuzz/world.h"
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

static enum exim_result
o_verify(void *arg, struct exim_env *env, const struct exim_verify *v, struct exim_verify_result *out)
{
	memset(out, 0, sizeof(*out));
	if (v->address.len % 3 == 0)
		return (EXIM_OK);
	out->user_msg = SV_LIT("Unrouteable address");
	out->failure = SV_LIT("route");
	out->details = !v->no_details;
	return (v->address.len % 3 == 1 ? EXIM_FAIL : EXIM_DEFER);
}

static enum exim_result
o_scan(void *arg, struct exim_env *env, enum exim_scan what, struct sv param, bool *yes, struct sv *msg)
{
	static const enum exim_result r[] = { EXIM_OK, EXIM_OK, EXIM_DEFER, EXIM_FORCED, EXIM_FAIL };

	*yes = param.len % 2 == 0;
	*msg = SV_LIT("scanned");
	return (r[param.len % 5]);
}

static void
o_delay(void *arg, struct exim_env *env, int64_t seconds)
{
	assert(seconds >= 0);
}

static void
o_log(void *arg, unsigned logs, struct sv line)
{
	assert(logs != 0 && (line.len == 0 || line.p != NULL));
}

static void
o_control(void *arg, struct exim_env *env, enum exim_acl_control ctl, struct sv param)
{
	assert(ctl < EXIM_CTL_COUNT);
}

static int
o_udpsend(void *arg, struct sv host, int port, struct sv text)
{
	assert(port > 0 && port < 65536);
	return (host.len % 2 == 0 ? 0 : -1);
}

static const struct exim_acl_ops ops = {
	.verify = o_verify, .scan = o_scan, .delay = o_delay, .log = o_log, .control = o_control, .udpsend = o_udpsend
};

static void
run_acls(struct exim_env *env, struct arena *texts)
{
	struct exim_acl_effects fx;
	struct exim_acl_run run;
	struct arena *keep = arena_new(0);

	memset(&run, 0, sizeof(run));
	exim_acl_effects_init(&fx, keep);
	run.fx = &fx;
	run.ops = &ops;
	run.rcpt_local = sv_taint(SV_LIT("User"));
	/* Twice: what ratelimit and seen kept changes the second round. */
	for (int w = 0; w < 2 * EXIM_WHERE_UNKNOWN; w++) {
		struct exim_acl_result res;

		run.where = (enum exim_acl_where)(w % EXIM_WHERE_UNKNOWN);
		run.host_checking = w % 3 == 2;
		(void)exim_acl_check(env, &run, &res);
		assert(res.code == 0 || (res.code >= 200 && res.code < 600));
		assert(env->acl_depth == 0 && env->acl_run == NULL);
		arena_reset(env->arena);
		exim_env_forget(env);
		/* What a verification left there is gone. */
		w_fill(env, texts);
		memset(env->acl, 0, sizeof(*env->acl));
		if (run.where == EXIM_WHERE_DATA)
			exim_acl_run_reset(&run);
	}
	exim_acl_run_fini(&run);
	exim_acl_effects_free(&fx);
	arena_free(&keep);
}

#define T(s)	{ "" s, sizeof(s) - 1, true }

static void
rewrite(const struct exim_conf *c, struct exim_env *env)
{
	static const unsigned where[] = { EXIM_RW_F, EXIM_RW_T, EXIM_RW_f, EXIM_RW_t, EXIM_RW_c, EXIM_RW_b, EXIM_RW_r, EXIM_RW_s };
	static const struct sv addrs[] = { T("user@host.test"), T("a.b@x.test"), T("\"q q\"@sub.x.test") };
	static const struct sv body = T(" A B <user@host.test>,\n list: a.b@x.test; , local, <@r:x@y.test> (note)");
	struct sv out, whole;
	bool changed;

	for (size_t w = 0; w < sizeof(where) / sizeof(where[0]); w++) {
		struct err err = ERR_INIT;

		for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++)
			if (exim_rewrite_address(&c->rewrites, env, where[w], addrs[i], &out, &whole, &err) == EXIM_OK)
				assert(out.len > 0 || out.p != NULL);
		if (exim_rewrite_header(&c->rewrites, env, where[w], body, &out, &changed, &err) == EXIM_OK)
			assert(changed || out.p == body.p);
		if (exim_rewrite_smtp(&c->rewrites, env, addrs[w % 3], &out, &err) == EXIM_OK)
			assert(out.p != NULL);
		exim_env_forget(env);
		arena_reset(env->arena);
	}
}

static void
retry(const struct exim_conf *c, struct exim_env *env)
{
	static const struct exim_retry_what what[] = {
		{ T("user@host.test"), T(""), T("joe@host.test"), EXIM_RE_RCPT_4XX, 0, 452, 0 },
		{ T("mx.host.test"), T("host.test"), T(""), EXIM_RE_TIMEOUT_CONNECT, 'M', 0, 0 },
		{ T("x.test"), T(""), T("a@b.test"), EXIM_RE_REFUSED, 'A', 0, 0 },
		{ T("user@host.test"), T(""), T(""), EXIM_RE_QUOTA, 0, 0, 864000 },
		{ T(""), T("y.test"), T(""), EXIM_RE_LOOKUP, 0, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		const struct exim_retry_rule *r = exim_retry_find(c, env, &what[i]);

		assert(r == NULL || (r >= c->retry && r < c->retry + c->nretry));
	}
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
	struct arena *texts;
	struct hash *hints;
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
	world = w_all;
	world.acl = exim_acl_expand;
	world.arg = hints = hash_new();
	memset(&env, 0, sizeof(env));
	exim_conf_env(c, &env);
	env.arena = arena_new(0);
	env.world = &world;
	texts = arena_new(0);
	w_fill(&env, texts);
	env.acl = arena_zalloc(texts, sizeof(*env.acl));
	env.acl_c = exim_vars_new();
	env.acl_m = exim_vars_new();
	run_acls(&env, texts);
	rewrite(c, &env);
	retry(c, &env);
	while (exim_lexer_macro_next(c->lexer, &pos, &name, &value))
		assert(sv_eq(exim_lexer_macro(c->lexer, name), value));
	exim_vars_free(&env.acl_c);
	exim_vars_free(&env.acl_m);
	arena_free(&env.arena);
	arena_free(&texts);
	hash_free(&hints, free);
	exim_conf_unref(&c);
	return (0);
}
