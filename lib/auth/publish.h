/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * etc/vusers.db: the accounts of etc/vusers without their passwords, for the
 * processes that must know who is there and may not see secrets (recipient checks and
 * routing, by exim.conf's lookups).  Key: the name in lower case; value:
 * "uid:gid:gecos:home:shell" as written.
 */
#ifndef VPOST_AUTH_PUBLISH_H
#define VPOST_AUTH_PUBLISH_H

#include <stdbool.h>

#include "base/err.h"

/*
 * Make <vusers>.db anew from <vusers> (a missing file: an empty map).  Bad lines are told to <report> (may be
 * NULL) and skipped.  -1 and the old map stays.  Whoever changes vusers calls it; vauthd does when it sees a change.
 */
int	 vusers_publish(const char *vusers, void (*report)(void *arg, const struct err *e), void *arg, struct err *err);
/* Is the map older than the file, or missing. */
bool	 vusers_published(const char *vusers);

#endif
