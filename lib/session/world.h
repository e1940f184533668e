/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The outside for expansions and ACLs in a process of fibers: DNS over lib/dns, hints
 * in the shared file, programs and sockets off the loop, the rest as exim_world_posix does it.
 */
#ifndef VPOST_SESSION_WORLD_H
#define VPOST_SESSION_WORLD_H

#include "exim/env.h"

struct hints;

/* <hints> (may be NULL) must live as long as <w>; behind dns_init. */
void	 session_world_init(struct exim_world *w, struct hints *hints);
/* Files of <dir> are asked for often: see os/watch.h.  Before a sandbox is applied. */
void	 session_world_watch(const char *dir);

#endif
