/* SPDX-License-Identifier: BSD-2-Clause */
/* Callouts of a session, for verify.c. */
#ifndef VPOST_SESSION_CALLOUT_H
#define VPOST_SESSION_CALLOUT_H

#include "exim/acl.h"
#include "route/route.h"

struct session;

/*
 * Ask the hosts of <rd>, to which <address> was routed, as <v> says.  EXIM_OK without a question where it goes to no other host.
 * May park.
 */
enum exim_result session_callout(struct session *s, struct exim_env *env, const struct exim_verify *v,
		    const struct route_delivery *rd, struct sv address, struct exim_verify_result *out);

#endif
