/* SPDX-License-Identifier: BSD-2-Clause */
/* Giving privileges up. */
#ifndef VPOST_OS_PRIV_H
#define VPOST_OS_PRIV_H

#include <sys/types.h>

#include <stdbool.h>

#include "base/err.h"

bool	 os_is_root(void);			/* effective uid 0 */
/* Become <user> for good: supplementary groups, gid, uid; checks that there is no way back. */
int	 os_drop_to(const char *user, struct err *err);
int	 os_drop_to_ids(const char *user, uid_t uid, gid_t gid, struct err *err);
/*
 * Root among files that others may change: from here on opens, renames and removals have only the rights of <uid> and
 * <gid>, so that no link can lead root astray; os_act_back() ends it.  For other users nothing happens.  Within itself it changes
 * nothing: the first user stays, until the last os_act_back().
 */
int	 os_act_as(uid_t uid, gid_t gid, struct err *err);
void	 os_act_back(void);
bool	 os_is_acting(void);
/*
 * For a child that executes a program meanwhile: become that user for good, since the program could call root's rights back (a shell
 * does).  Nothing where nobody is acted as.
 */
int	 os_drop_acting(struct err *err);
/* No setuid program regains anything from now on; cannot fail where the system lacks it. */
void	 os_no_new_privs(void);

#endif
