/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SPF (RFC 7208): may this client send for that domain?  Asks the DNS through env->world, which may park the fiber; looks
 * at nothing else of the environment but its clock and primary host name.
 */
#ifndef VPOST_EXIM_SPF_H
#define VPOST_EXIM_SPF_H

#include "base/sv.h"
#include "exim/env.h"
#include "net/addr.h"

/* X(name, text as RFC 8601 and $spf_result have it) */
#define EXIM_SPF_RESULTS(X)						\
	X(NONE, "none") X(NEUTRAL, "neutral") X(PASS, "pass") X(FAIL, "fail") X(SOFTFAIL, "softfail")	\
	X(TEMPERROR, "temperror") X(PERMERROR, "permerror")
enum exim_spf {
#define X(name, text)	EXIM_SPF_##name,
	EXIM_SPF_RESULTS(X)
#undef X
	EXIM_SPF_COUNT
};
const char *exim_spf_name(enum exim_spf r);

struct exim_spf_query {
	struct net_addr	 client;
	struct sv	 sender;	/* "" for the empty sender: postmaster of <helo> is asked for */
	struct sv	 helo;
	struct sv	 record;	/* used instead of the domain's own; p NULL: that is looked up */
};

/*
 * The verdict.  *<domain> is the domain that was asked about, *<sender> the address, *<why> the explanation that
 * the domain gives for a fail (empty: none); all in env->arena, tainted.
 */
enum exim_spf exim_spf_check(struct exim_env *env, const struct exim_spf_query *q, struct sv *domain, struct sv *sender,
	     struct sv *why);

#endif
