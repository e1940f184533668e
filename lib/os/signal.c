/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals as input.  On Linux a signalfd; elsewhere a handler that writes the
 * number into a pipe, with the signal left unblocked.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/signalfd.h>
#endif

#include "os/fd.h"
#include "os/signal.h"

static int sigfd = -1;

#ifdef __linux__

static sigset_t taken;

int
os_signal_add(int sig)
{
	int fd;

	if (sigfd == -1)
		(void)sigemptyset(&taken);
	(void)sigaddset(&taken, sig);
	if (sigprocmask(SIG_BLOCK, &taken, NULL) == -1)
		return (-1);
	fd = signalfd(sigfd, &taken, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd == -1)
		return (-1);
	sigfd = fd;
	return (0);
}

int
os_signal_next(void)
{
	struct signalfd_siginfo si;

	if (sigfd == -1 || read(sigfd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return (0);
	return ((int)si.ssi_signo);
}

void
os_signal_reset(void)
{
	if (sigfd == -1)
		return;
	(void)close(sigfd);
	sigfd = -1;
	(void)sigprocmask(SIG_UNBLOCK, &taken, NULL);
}

void
os_signal_forget(void)
{
	if (sigfd != -1)
		(void)close(sigfd);
	sigfd = -1;
}

#else

static int sigpipe_w = -1;

static void
handler(int sig)
{
	uint8_t b = (uint8_t)sig;
	int e = errno;

	(void)write(sigpipe_w, &b, 1);
	errno = e;
}

int
os_signal_add(int sig)
{
	struct sigaction sa;
	int p[2];

	if (sigfd == -1) {
		if (os_pipe(p, true) == -1)
			return (-1);
		sigfd = p[0];
		sigpipe_w = p[1];
	}
	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = handler;
	sa.sa_flags = SA_RESTART;
	return (sigaction(sig, &sa, NULL));
}

int
os_signal_next(void)
{
	uint8_t b;

	return (sigfd != -1 && read(sigfd, &b, 1) == 1 ? b : 0);
}

void
os_signal_reset(void)
{
	if (sigfd == -1)
		return;
	(void)close(sigfd);
	(void)close(sigpipe_w);
	sigfd = sigpipe_w = -1;
}

void
os_signal_forget(void)
{
	os_signal_reset();
}

#endif

int
os_signal_fd(void)
{
	return (sigfd);
}

void
os_signal_ignore_pipe(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
}
