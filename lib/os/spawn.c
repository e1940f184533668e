/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starting programs.  A close-on-exec pipe carries the errno of a failed step or exec
 * back, so that a program that cannot start is an error here and not an exit status.
 */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/spawn.h"
#include "os/time.h"

static const char *const clean_env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", NULL };

static int
set_limit(int what, long value)
{
	struct rlimit rl = { .rlim_cur = (rlim_t)value, .rlim_max = (rlim_t)value };

	return (value == 0 ? 0 : setrlimit((__typeof__(RLIMIT_CPU))what, &rl));
}

/* Make 0, 1 and 2, whatever numbers the wanted ones have. */
static int
set_fds(const struct os_spawn *s)
{
	int want[3] = { s->in, s->out, s->errfd };

	for (int i = 0; i < 3; i++) {
		int fd = want[i] == -1 ? open("/dev/null", i == 0 ? O_RDONLY : O_WRONLY) : want[i];
		int up;

		/* Out of the way of 0 to 2, which are filled afterwards. */
		if (fd == -1 || (up = fcntl(fd, F_DUPFD, 10)) == -1)
			return (-1);
		want[i] = up;
	}
	for (int i = 0; i < 3; i++)
		if (dup2(want[i], i) == -1)
			return (-1);
	return (0);
}

static void
reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static const char *
path_of(const struct os_spawn *s)
{
	return (s->path != NULL ? s->path : s->argv[0]);
}

/* Returns only on failure; *<report> follows the pipe's descriptor. */
static void
child(const struct os_spawn *s, int *report)
{
	int fd;

	reset_signals();
	if (s->new_session)
		(void)setsid();
	/* The report pipe steps aside of 0 to 2, then takes 3; everything above closes. */
	if ((fd = fcntl(*report, F_DUPFD_CLOEXEC, 10)) == -1)
		return;
	*report = fd;
	if (set_fds(s) == -1 || dup3(*report, 3, O_CLOEXEC) == -1)
		return;
	*report = 3;
	os_close_from(4);
	(void)umask(s->umask == 0 ? 022 : s->umask);
	if (set_limit(RLIMIT_CPU, s->cpu_seconds) == -1 || set_limit(RLIMIT_FSIZE, s->file_bytes) == -1 ||
	    set_limit(RLIMIT_AS, s->memory_bytes) == -1 || set_limit(RLIMIT_NPROC, s->processes) == -1)
		return;
	if (s->set_ids ? os_drop_to_ids(s->user, s->uid, s->gid, NULL) == -1 : os_drop_acting(NULL) == -1)
		return;
	if (chdir(s->cwd == NULL ? "/" : s->cwd) == -1)
		return;
	if (s->before_exec != NULL && s->before_exec(s->arg) == -1)
		_exit(127);
	(void)execve(path_of(s), (char *const *)(uintptr_t)s->argv,
	    (char *const *)(uintptr_t)(s->env == NULL ? clean_env : s->env));
}

pid_t
os_spawn(const struct os_spawn *s, struct err *err)
{
	int p[2], e = 0;
	pid_t pid;
	sigset_t all, old;

	if (os_pipe(p, false) == -1)
		return (err_sys(err, "pipe"));
	/* No handler of ours may run in the child. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0) {
		child(s, &p[1]);
		e = errno;
		(void)os_write_full(p[1], &e, sizeof(e));
		_exit(127);
	}
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	(void)close(p[1]);
	if (pid == -1) {
		(void)close(p[0]);
		return (err_sys(err, "fork"));
	}
	if (os_read_full(p[0], &e, sizeof(e)) == (ssize_t)sizeof(e)) {
		(void)waitpid(pid, NULL, 0);
		errno = e;
		pid = err_sys(err, "start %s", path_of(s));
	}
	(void)close(p[0]);
	return (pid);
}

int
os_wait(pid_t pid, int *status, int timeout_ms)
{
	int64_t end = os_mono_ms() + timeout_ms;
	int pause = 1;
	pid_t r;

	for (;;) {
		r = waitpid(pid, status, timeout_ms == -1 ? 0 : WNOHANG);
		if (r == pid)
			return (1);
		if (r == -1 && errno != EINTR)
			return (-1);
		if (r == 0 && os_mono_ms() >= end)
			return (0);
		if (r == 0)
			os_sleep_ms(pause);
		if (pause < 20)
			pause *= 2;
	}
}
