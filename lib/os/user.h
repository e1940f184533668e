/* SPDX-License-Identifier: BSD-2-Clause */
/* Accounts of the system (getpwnam_r and friends).  May block (NSS): call them from fiber_offload in daemons. */
#ifndef VPOST_OS_USER_H
#define VPOST_OS_USER_H

#include <sys/types.h>

#include "base/err.h"

struct os_user {
	char	 name[256];
	uid_t	 uid;
	gid_t	 gid;
	char	 gecos[256];
	char	 dir[1024];
	char	 shell[256];
};

/* 1 and *<u>, 0 if there is none, -1 (TEMP) if the question could not be answered. */
int	 os_user_by_name(const char *name, struct os_user *u, struct err *err);
int	 os_user_by_uid(uid_t uid, struct os_user *u, struct err *err);
int	 os_group_by_name(const char *name, gid_t *gid, struct err *err);
/* 1 if <user> is in group <gid> (by primary group or membership). */
int	 os_user_in_group(const char *user, gid_t gid);

#endif
