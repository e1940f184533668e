/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filters in forward files, for the redirect router.  lib/route stands below this module and
 * calls it through route_ops.filter; daemons and tools that route set that to filter_route.
 */
#ifndef VPOST_FILTER_FORWARD_H
#define VPOST_FILTER_FORWARD_H

#include "filter/action.h"
#include "route/route.h"

/*
 * Run the filter of <f> and collect what it wants (route/route.h).  Where the process is root and the filter is a
 * user's, a child that became the user does it; a process that is neither root nor that user runs it without whatever
 * reaches outside (files, lookups, programs, sockets, its log).  <arg> is ignored.
 */
void	 filter_route(void *arg, struct route_filter *f);
/* The same with what it decides told to <ops->trace> (its act is not used); in this process. */
void	 filter_route_traced(struct route_filter *f, const struct filter_ops *ops);

/* forward_wire.c: the answer of a child as bytes and back; false if malformed. */
void	 filter_answer_put(struct sb *out, const struct route_filter *f);
bool	 filter_answer_get(struct sv bytes, struct route_filter *f);

/* A collected action as an item of a redirect router; false if it is none. */
bool	 filter_item(const struct filter_action *a, unsigned forbid, struct route_filter_item *it);

#endif
