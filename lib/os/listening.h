/* SPDX-License-Identifier: BSD-2-Clause */
/* Which TCP ports a process listens on, and what is known of the process. */
#ifndef VPOST_OS_LISTENING_H
#define VPOST_OS_LISTENING_H

#include <sys/types.h>

#include <stdint.h>

#include "base/err.h"

/*
 * Call <fn> for each TCP socket that process <pid> has open for listening: <addr> is "127.0.0.1:25" or "[::]:25".
 * -1, TEMP, where the system does not tell (other users' processes; systems without /proc).
 */
int	 os_listening(pid_t pid, void (*fn)(void *arg, const char *addr), void *arg, struct err *err);

struct os_process {
	uid_t	 uid;
	int64_t	 age;		/* seconds since its start; -1 unknown */
	int64_t	 rss;		/* bytes */
};
int	 os_process_info(pid_t pid, struct os_process *p, struct err *err);
/* Call <fn> for each child process of <pid>. */
int	 os_children(pid_t pid, void (*fn)(void *arg, pid_t child), void *arg, struct err *err);

#endif
