/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking at the files of a few directories again and again, as cheaply as the system allows and as exactly as stat(2).
 *
 * The kernel notes a change of the directory, or of a file by its name there, before the call that made it returns
 * (inotify).  So whoever learnt of something that a writer did before telling, and calls os_watch_expire() then, sees
 * it: the next os_watch_stat() asks the kernel once whether anything changed, and what did not is not looked at again.
 * Symbolic links, files with several names, file systems whose changes may come from elsewhere, and other directories
 * are always looked at.
 */
#ifndef VPOST_OS_WATCH_H
#define VPOST_OS_WATCH_H

#include <sys/stat.h>

#include "base/err.h"

struct os_watch;

/*
 * Watch <dir>, as its files will be named (its path without a slash at the end).  Never NULL: where the system cannot
 * watch it, each look is a stat(2).  Call it before a sandbox is applied.
 */
struct os_watch *os_watch_open(const char *dir);
/* Directories directly below <top>, and their files, as well: each from when it is first asked about. */
void	 os_watch_below(struct os_watch *w, const char *top);
void	 os_watch_close(struct os_watch **wp);
/* What was learnt so far may be out of date: call it when a request has been read. */
void	 os_watch_expire(struct os_watch *w);
/* As stat(2), with errno; not older than the last os_watch_expire().  Of a process that forked only one may use it. */
int	 os_watch_stat(struct os_watch *w, const char *path, struct stat *st);

#endif
