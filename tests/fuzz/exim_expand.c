/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Expansions: any text compiles and evaluates in a world of constants; with caches and
 * without it gives the same, and so it does the second time; nothing is left nested.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "exim/expand.h"
#include "exim/match.h"
#include "mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t
f_now(void *arg, int64_t *usec)
{
	if (usec != NULL)
		*usec = 0;
	return (1795226400);
}

static uint32_t
f_random(void *arg)
{
	return (17);
}

static int
f_stat(void *arg, const char *path, bool follow, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_mode = strcmp(path, "/d") == 0 ? S_IFDIR : S_IFREG;
	if (path[0] != '/') {
		errno = ENOENT;
		return (-1);
	}
	return (0);
}

static int
f_readfile(void *arg, const char *path, size_t max, struct arena *a, struct sv *out, struct stat *st)
{
	static const char text[] = "key: value\n\"q k\": two\n  lines\n192.0.2.0/24: net\n*.x: wild\n^r(.): re\n*: star\n"
	    "{ \"a\": [1, \"b\"] }\n";

	if (st != NULL)
		(void)f_stat(arg, path, true, st);
	*out = arena_sv(a, sv_cstr(text));
	return (0);
}

static int
f_dns(void *arg, const char *name, int type, struct arena *a, struct exim_dns *out)
{
	static const struct sv rdata[] = { { "\0\012\3mx1\4test\0", 12, true }, { "\5hello\3two", 10, true }, { "\177\0\0\1", 4, true } };

	memset(out, 0, sizeof(*out));
	out->result = strlen(name) % 3 == 0 ? EXIM_DNS_TEMPFAIL : EXIM_DNS_FOUND;
	out->rdata = rdata;
	out->n = 3;
	return (0);
}

static enum exim_found
f_addrs(void *arg, const char *name, struct arena *a, struct net_addr **addrs, size_t *n)
{
	*addrs = arena_zalloc(a, sizeof(**addrs));
	(void)net_addr_parse(SV_LIT("192.0.2.1"), *addrs);
	*n = 1;
	return (EXIM_FOUND);
}

static enum exim_found
f_names(void *arg, const struct net_addr *addr, struct arena *a, const char *const **names, size_t *n)
{
	static const char *const one[] = { "host.test" };

	*names = one;
	*n = 1;
	return (EXIM_FOUND);
}

static enum exim_result
f_run(void *arg, const struct exim_run *r, struct arena *a, struct sv *out, int *rc, struct err *err)
{
	*out = sv_cstr(arena_str(a, r->argv[0]));
	*rc = out->len % 2 == 0 ? 0 : 1;
	return (EXIM_OK);
}

static enum exim_result
f_readsocket(void *arg, const struct exim_socket *s, struct arena *a, struct sv *out, struct err *err)
{
	*out = arena_sv(a, s->request);
	return (EXIM_OK);
}

static enum exim_found
f_lookup(void *arg, const char *type, struct sv file, struct sv query, struct sv opts, struct arena *a, struct sv *out,
    struct err *err)
{
	*out = arena_sv(a, query);
	return (query.len % 2 == 0 ? EXIM_FOUND : EXIM_NOTFOUND);
}

static enum exim_result
f_acl(struct exim_env *env, struct sv name, const struct sv *args, size_t n, struct sv *out, struct err *err)
{
	/* Back into the evaluator, as an ACL's condition would. */
	if (n > 0)
		return (exim_expand_text(args[0], env, out, err));
	*out = name;
	return (EXIM_FORCED);
}

static const struct exim_world world = {
	.now = f_now, .random = f_random, .stat = f_stat, .readfile = f_readfile, .dns = f_dns, .addrs = f_addrs, .names = f_names,
	.run = f_run, .readsocket = f_readsocket, .lookup = f_lookup, .acl = f_acl
};

static struct exim_env
make_env(struct arena *a)
{
	static const char head[] = "From: a@x\nTo: b@y\nSubject: =?utf-8?q?x=C3=A9?= y\n\n";
	static struct exim_globals g = { .taint_off = true, .timezone_utc = true };
	static struct exim_message m;
	static struct exim_address ad;
	static struct exim_session s;
	struct mail_headers *h = arena_zalloc(a, sizeof(*h));

	mail_headers_parse(h, a, sv_cstr(head), 0);
	g.primary_hostname = SV_LIT("host.test");
	memset(&s, 0, sizeof(s));
	s.host_address = SV_LIT("192.0.2.1");
	(void)net_addr_parse(s.host_address, &s.addr);
	s.arena = a;
	m.headers = h;
	m.body = SV_LIT("body\n");
	m.body_whole = true;
	ad.local_part = SV_LIT("local");
	ad.domain = SV_LIT("x.test");
	return ((struct exim_env){ .arena = a, .world = &world, .g = &g, .msg = &m, .addr = &ad, .session = &s });
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
	return (r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct exim_caches *caches;
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
		exim_env_forget(&env);
		env.runrc = 0;
		env.caches = caches;
		env.lookup_dnssec_set = false;
		env.prvscheck_result = SV_NULL;
		if (once(&env, text, &two, &err) == EXIM_OK && r == EXIM_OK)
			assert(sv_eq(one, two));
		exim_env_forget(&env);
		env.runrc = 0;
		env.lookup_dnssec_set = false;
		env.prvscheck_result = SV_NULL;
		if (once(&env, text, &three, &err) == EXIM_OK && r == EXIM_OK)
			assert(sv_eq(one, three));
		arena_free(&a);
	}
	return (0);
}
