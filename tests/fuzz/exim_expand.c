/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Expansions: any text compiles and evaluates in a world of constants; with caches and
 * without it gives the same, and so it does the second time; nothing is left nested.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "../lib/fuzz/world.h"
#include "exim/expand.h"
#include "exim/match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum exim_result
f_acl(struct exim_env *env, struct sv name, const struct sv *args, size_t n, struct sv *out, struct err *err)
{
	/* Back into the evaluator, as an ACL's condition would. */
	if (n > 0)
		return (exim_expand_text(args[0], env, out, err));
	*out = name;
	return (EXIM_FORCED);
}

static struct exim_env
make_env(struct arena *a)
{
	static struct exim_world world;
	static struct exim_globals g = { .taint_off = true, .timezone_utc = true, .localhost_number = -1 };
	struct exim_env env = { .arena = a, .world = &world, .g = &g };

	world = w_all;
	world.acl = f_acl;
	g.primary_hostname = SV_LIT("host.test");
	g.log_file_path = SV_LIT("/var/log/exim_%slog : syslog");
	g.spool_directory = SV_LIT("/var/spool");
	g.pid = 1;
	w_fill(&env, a);
	env.session->nhost_aliases = 0;
	env.acl = arena_zalloc(a, sizeof(*env.acl));
	return (env);
}

/* Forget what the last expansion left. */
static void
again(struct exim_env *env)
{
	exim_env_forget(env);
	env->runrc = 0;
	env->lookup_dnssec_set = false;
	env->prvscheck_result = SV_NULL;
	env->session->host_lookup = EXIM_HOST_UNTRIED;
	env->session->host_name = SV_NULL;
	env->session->nhost_aliases = 0;
}

/* As boolean and as integer: what is true strictly is true. */
static void
typed(const struct exim_str *s, struct exim_env *env, enum exim_result r)
{
	struct err err = ERR_INIT;
	bool yes, strict;
	int64_t n;
	char *text;

	again(env);
	if (exim_expand_bool(s, env, true, &strict, &err) == EXIM_OK) {
		again(env);
		/* "00" is a false number, and a string that is neither "0" nor "no". */
		assert(exim_expand_bool(s, env, false, &yes, &err) == EXIM_OK && (yes || !strict));
	}
	again(env);
	(void)exim_expand_int(s, env, &n, &err);
	again(env);
	assert(exim_expand_cstr(s, env, &text, &err) == r && (r != EXIM_OK || text != NULL));
}

static enum exim_result
once(struct exim_env *env, struct sv text, struct sv *out, struct err *err)
{
	struct exim_str *s;
	struct sv lit;
	enum exim_result r;

	(void)exim_str_compile(env->arena, text, "f", 1, &s, err);
	err_clear(err);
	r = exim_expand(s, env, out, err);
	assert(env->depth == 0);
	if (exim_str_literal(s, &lit))
		assert(r == EXIM_OK && sv_eq(lit, *out));
	typed(s, env, r);
	return (r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct exim_caches *caches;
	static unsigned runs;
	uint64_t epoch = 0;
	struct sv text = sv_from((const char *)data, size), one, two, three;
	struct err err = ERR_INIT;
	enum exim_result r;

	/* Whatever a configuration holds, it is no 64 KiB string. */
	if (size > 65536)
		return (0);
	if (caches == NULL)
		caches = exim_caches_new();
	{
		struct arena *a = arena_new(0);
		struct exim_env env = make_env(a);

		r = once(&env, text, &one, &err);
		again(&env);
		env.caches = caches;
		epoch = exim_epoch_begin(&env);
		if (once(&env, text, &two, &err) == EXIM_OK && r == EXIM_OK)
			assert(sv_eq(one, two));
		again(&env);
		if (once(&env, text, &three, &err) == EXIM_OK && r == EXIM_OK)
			assert(sv_eq(one, three));
		exim_caches_message(caches);
		exim_epoch_end(&env, epoch);
		arena_free(&a);
	}
	if (++runs % 64 == 0)
		exim_caches_free(&caches);
	return (0);
}
