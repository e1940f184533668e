/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promises: what a process will need from now on; everything else is refused by the
 * system (Landlock and seccomp on Linux).  Where the system lacks them, the calls
 * succeed and os_sandbox_available says so.
 */
#ifndef VPOST_OS_SANDBOX_H
#define VPOST_OS_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum os_access {
	OS_ACCESS_READ = 1,	/* open for reading, list */
	OS_ACCESS_WRITE = 2,	/* write, make, rename, remove below it */
	OS_ACCESS_EXEC = 4
};

struct os_sandbox_path {
	const char	*path;		/* a missing one is left out */
	unsigned	 access;
};

struct os_sandbox {
	const struct os_sandbox_path *paths;	/* path NULL ends; NULL: files are not restricted */
	bool		 network;		/* may make and connect INET sockets (existing ones always work) */
	bool		 unix_sockets;		/* may make and connect UNIX sockets */
	bool		 exec;			/* may execute programs */
	bool		 fork;			/* may make processes (threads always may) */
	bool		 log_only;		/* tests: refusals give EPERM instead of ending the process */
};

/* Apply to this process and what it forks; for good.  Threads made before stay unrestricted, so apply early. */
int	 os_sandbox_apply(const struct os_sandbox *s, struct err *err);
bool	 os_sandbox_files_available(void);	/* Landlock */
bool	 os_sandbox_calls_available(void);	/* seccomp */

#endif
