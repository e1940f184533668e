/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exim filters: any text is a filter or has a mistake; running it ends, and twice gives the same.  The first
 * byte says what is allowed.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../lib/fuzz/world.h"
#include "exim/expand.h"
#include "filter/exim_filter.h"
#include "filter/forward.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct exim_env
make_env(struct arena *a)
{
	static struct exim_world world;
	static struct exim_globals g = { .taint_off = true, .timezone_utc = true, .localhost_number = -1 };
	struct exim_env env = { .arena = a, .world = &world, .g = &g };

	world = w_all;
	g.primary_hostname = g.qualify_recipient = SV_LIT("host.test");
	g.message_body_visible = 500;
	g.pid = 1;
	w_fill(&env, a);
	env.session->nhost_aliases = 0;
	env.acl = arena_zalloc(a, sizeof(*env.acl));
	return (env);
}

/* As sendmail -bf shows it. */
static char *
tried(struct sv text, unsigned flags, size_t *n)
{
	struct arena *a = arena_new(0);
	struct exim_env env = make_env(a);
	struct filter_ops ops = { .arg = NULL };
	struct exim_filter_run r = { .env = &env, .ops = &ops, .flags = flags };
	const char *why = NULL;
	struct exim_filter *f = exim_filter_parse(a, text, "f", flags, &why);
	char *out = NULL;

	*n = 0;
	r.test = open_memstream(&out, n);
	assert((f == NULL) == (why != NULL));
	if (f != NULL)
		(void)exim_filter_run(f, &r);
	else
		fputs(why, r.test);
	(void)fclose(r.test);
	arena_free(&a);
	return (out);
}

/* As a router runs it; what it asks for goes over the wire and back. */
static void
routed(struct sv text, unsigned flags)
{
	struct arena *a = arena_new(0);
	struct exim_env env = make_env(a);
	struct filter_ops ops = { .dry = true };
	struct route_filter f = { .text = text, .file = "f", .env = &env, .arena = a, .home = "/h", .flags = flags & 0x3f }, back;
	struct sb sb = SB_INIT(16 * 1024 * 1024);

	filter_route_traced(&f, &ops);
	filter_answer_put(&sb, &f);
	if (!sb.overflow) {
		back = f;
		assert(filter_answer_get(sb_sv(&sb), &back));
		assert(back.n == f.n && back.end == f.end);
	}
	sb_free(&sb);
	arena_free(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text;
	size_t n, m;
	char *one, *two;

	if (size < 1 || size > 20000)
		return (0);
	text = sv_from((const char *)data + 1, size - 1);
	one = tried(text, data[0], &n);
	two = tried(text, data[0], &m);
	assert(n == m && memcmp(one, two, n) == 0);
	free(one);
	free(two);
	routed(text, data[0]);
	return (0);
}
