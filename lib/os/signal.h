/* SPDX-License-Identifier: BSD-2-Clause */
/* Signals as input: blocked for the process, read from a descriptor. */
#ifndef VPOST_OS_SIGNAL_H
#define VPOST_OS_SIGNAL_H

/* Take <sig> in (blocks it); the one descriptor becomes readable when it comes.  -1 with errno. */
int	 os_signal_add(int sig);
/* The descriptor; -1 before the first os_signal_add. */
int	 os_signal_fd(void);
/* The next signal, or 0 when there is none. */
int	 os_signal_next(void);
/* After fork: a descriptor of our own, without signals taken in. */
void	 os_signal_reset(void);
/* The same, but the signals stay blocked, so that none is lost or kills before os_signal_add takes it in again. */
void	 os_signal_forget(void);
/* SIGPIPE is ignored. */
void	 os_signal_ignore_pipe(void);

#endif
