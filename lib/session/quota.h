/* SPDX-License-Identifier: BSD-2-Clause */
/* verify = recipient/quota. */
#ifndef VPOST_SESSION_QUOTA_H
#define VPOST_SESSION_QUOTA_H

#include "exim/acl.h"
#include "route/route.h"

struct session;

/* EXIM_OK, also for what has no quota; EXIM_FAIL and *<out>. */
enum exim_result session_quota(struct session *s, struct exim_env *env, const struct exim_verify *v, const struct route_delivery *rd,
		    struct exim_verify_result *out);

#endif
