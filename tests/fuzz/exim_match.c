/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lists: kind (first byte), subject (to the line end), list.  Any list compiles, any subject is decided, the
 * same with caches and without; cut into its items and joined again a list has the same items.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "../lib/fuzz/world.h"
#include "base/sb.h"
#include "exim/match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum exim_result
match(struct exim_env *env, enum exim_list_kind kind, struct sv subject, const struct exim_list *l, bool *yes)
{
	struct err err = ERR_INIT;
	struct exim_host h;
	struct sv data;

	switch (kind) {
	case EXIM_LIST_DOMAIN:
		return (exim_match_domain(l, env, subject, yes, &data, &err));
	case EXIM_LIST_LOCAL:
		return (exim_match_local(l, env, subject, false, yes, &data, &err));
	case EXIM_LIST_ADDRESS:
		return (exim_match_address(l, env, subject, subject.len % 2 == 0, yes, &data, &err));
	case EXIM_LIST_HOST:
		memset(&h, 0, sizeof(h));
		if (subject.len == 0 || net_addr_parse(subject, &h.addr))
			h.address = subject;
		h.session = true;
		return (exim_match_host(l, env, &h, yes, &data, &err));
	default:
		return (exim_match_string(l, env, subject, false, yes, &err));
	}
}

static void
check_items(struct arena *a, struct sv list)
{
	size_t n = 0, again = 0;
	struct sb joined = SB_INIT(1 << 24);
	struct sv rest = list, item;
	int sep = 0;

	/* "<;" first, so that what the items begin with changes nothing. */
	sb_adds(&joined, "<;");
	while (exim_list_next(&rest, &sep, a, &item)) {
		sb_adds(&joined, n++ == 0 ? " " : " ; ");
		for (size_t i = 0; i < item.len; i++) {
			sb_addc(&joined, item.p[i]);
			if (item.p[i] == ';')
				sb_addc(&joined, ';');
		}
	}
	sb_adds(&joined, " ;");
	rest = sb_sv(&joined);
	sep = 0;
	while (exim_list_next(&rest, &sep, a, &item))
		again++;
	/* An item that ends in the separator swallows nothing: blanks stand between. */
	assert(again == n || n == 0);
	sb_free(&joined);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct exim_caches *caches;
	struct arena *a;
	struct exim_named named = { .kind = EXIM_LIST_DOMAIN, .name = SV_LIT("named"), .text = SV_LIT("!n.test : *.n.test : +named") };
	struct exim_env env = { .world = &w_all };
	struct exim_list *l;
	struct err err = ERR_INIT;
	enum exim_list_kind kind;
	enum exim_result r1, r2;
	struct sv in, subject;
	bool yes1, yes2;

	if (size < 2 || size > 65536)
		return (0);
	kind = (enum exim_list_kind)(data[0] % 5);
	in = sv_from((const char *)data + 1, size - 1);
	if (!sv_next(&in, '\n', &subject))
		return (0);
	if (caches == NULL)
		caches = exim_caches_new();
	a = arena_new(0);
	env.arena = a;
	w_fill(&env, a);
	env.names = exim_names_new(a);
	(void)exim_names_add((struct exim_names *)(uintptr_t)env.names, &named, &err);
	check_items(a, in);
	(void)exim_list_compile(a, kind, in, "f", 1, &l, &err);
	r1 = match(&env, kind, subject, l, &yes1);
	assert(env.depth == 0);
	env.caches = caches;
	exim_env_forget(&env);
	r2 = match(&env, kind, subject, l, &yes2);
	if (r1 == EXIM_OK && r2 == EXIM_OK)
		assert(yes1 == yes2);
	arena_free(&a);
	return (0);
}
