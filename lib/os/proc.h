/* SPDX-License-Identifier: BSD-2-Clause */
/* The process itself: title, limits, its parent's death, the host's name. */
#ifndef VPOST_OS_PROC_H
#define VPOST_OS_PROC_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

/* First thing in main, before setproctitle: moves the environment away so that the title has room. */
void	 os_title_init(int argc, char **argv);
void	 os_title(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* This process gets <sig> when its parent dies; no-op where the system cannot (keep a pipe as well). */
void	 os_die_with_parent(int sig);
/* RLIMIT_NOFILE to its hard limit; returns it. */
long	 os_raise_nofile(void);
/* Core dumps: none when <on> is false, else up to the hard limit. */
void	 os_core_dumps(bool on);
/* Keep malloc's arenas few, for processes with threads. */
void	 os_malloc_tune(void);
/* The fully qualified host name as far as the host itself knows it (never asks the network). */
void	 os_hostname(char *buf, size_t size);
/* Does process <pid> use or want a processor just now?  False if it waits for something, or if the system does not tell. */
bool	 os_proc_runs(pid_t pid);
bool	 os_proc_stopped(pid_t pid);	/* by a signal, until another wakes it */
/* Processes and threads of all users; 0 where the system does not tell. */
long	 os_tasks(void);
/*
 * RLIMIT_NPROC for a program that may start <more> processes.  The system counts all of a uid's, also those of others who share
 * it: so they are allowed for, up to three times <more>, and nobody's program fails for another's.  0 and less: as it is.
 */
long	 os_process_limit(long more);
/* Absolute path of the running program; false if unknown. */
bool	 os_self_path(char *buf, size_t size);

#endif
