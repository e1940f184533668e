/* SPDX-License-Identifier: BSD-2-Clause */
/* Starting programs with a clean environment, and waiting for them. */
#ifndef VPOST_OS_SPAWN_H
#define VPOST_OS_SPAWN_H

#include <sys/types.h>

#include <stdbool.h>

#include "base/err.h"

struct os_spawn {
	const char *const *argv;	/* NULL ends */
	const char	*path;		/* what to execute; NULL: argv[0] */
	const char *const *env;		/* NULL: PATH=/usr/local/bin:/usr/bin:/bin only */
	const char	*cwd;		/* NULL: / */
	int		 in, out, errfd;	/* descriptors for 0, 1, 2; -1: /dev/null */
	bool		 set_ids;	/* become <user>, <uid>, <gid>; without it whom root acts as (os_act_as), if anybody */
	const char	*user;		/* for supplementary groups; NULL: none */
	uid_t		 uid;
	gid_t		 gid;
	bool		 new_session;	/* setsid(): so that the whole group can be killed */
	mode_t		 umask;		/* 0: 022 */
	long		 cpu_seconds;	/* limits; 0: as they are */
	long		 file_bytes;
	long		 memory_bytes;
	long		 processes;	/* RLIMIT_NPROC, see os_process_limit() */
	/* Called in the child just before exec (only async-signal-safe calls); -1 ends it with 127.  May be NULL. */
	int		(*before_exec)(void *arg);
	void		*arg;
};

/* Everything above 2 is closed in the child, signals are as after login.  The pid, or -1 (TEMP; exec failures included). */
pid_t	 os_spawn(const struct os_spawn *s, struct err *err);
/* Wait at most <timeout_ms> (-1: forever) for <pid>; 1 and *<status> when it ended, 0 when not, -1 with errno.  Blocks the thread. */
int	 os_wait(pid_t pid, int *status, int timeout_ms);

#endif
