/* SPDX-License-Identifier: BSD-2-Clause */
/* Who else sees reports: errors_copy.  For vqueued and for one process that delivers by itself. */
#include "deliver/dsn.h"

#include <assert.h>

#include "exim/conf.h"
#include "exim/match.h"

struct sv
dsn_copies(const struct exim_conf *conf, struct exim_env *env, struct arena *a, struct sv to)
{
	struct sv list = exim_main_text(conf, EXIM_MAIN_errors_copy), item;
	ptrdiff_t at = sv_rchr(to, '@');
	int sep = 0;

	assert(env->addr != NULL);
	if (list.len > 0 && at >= 0) {
		env->addr->local_part = sv_taint(sv_sub(to, 0, (size_t)at));
		env->addr->domain = sv_taint(sv_sub(to, (size_t)at + 1, to.len));
	}
	while (list.len > 0 && exim_list_next(&list, &sep, a, &item)) {
		struct exim_list *l = NULL;
		struct err err = ERR_INIT;
		struct sv pattern, out;
		bool yes = false;

		if (!exim_rule_word(&item, a, &pattern, &err) || exim_list_compile(a, EXIM_LIST_ADDRESS, pattern, NULL, 0, &l, &err) == -1)
			continue;
		if (exim_match_address(l, env, to, false, &yes, NULL, &err) != EXIM_OK || !yes)
			continue;
		if (exim_expand_text(sv_trim(item), env, &out, &err) == EXIM_OK && out.len > 0)
			return (arena_sv(a, out));
	}
	return (SV_NULL);
}
