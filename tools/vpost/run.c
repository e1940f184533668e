/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vpost run: start the daemons of a box, start anew what dies, stop all in reverse
 * order.  It holds a lock on var/run/vpost.pid; the daemons end when it is gone.
 */
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os/file.h"
#include "os/proc.h"
#include "os/time.h"
#include "vpost_int.h"

#define NSERVICES	8
#define STOP_MS		15000		/* a daemon that does not end in this time is killed */
#define READY_MS	20000		/* -d: how long it waits for all pid files */

struct child {
	const struct service *s;
	char		 path[PATH_MAX];
	pid_t		 pid;
	int64_t		 started;	/* os_mono_ms() */
	int64_t		 next;		/* not started again before */
	unsigned	 quick;		/* deaths soon after the start, in a row */
};

struct run {
	struct box	*box;
	struct child	 c[NSERVICES];
	size_t		 n;
	int		 lock;
};

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void
say(const char *fmt, ...)
{
	char stamp[32];
	time_t now = time(NULL);
	struct tm tm;
	va_list ap;

	(void)strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", localtime_r(&now, &tm));
	(void)fprintf(stderr, "%s vpost: ", stamp);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

static int
take_lock(struct run *r, struct err *err)
{
	const char *path = box_path(r->box, BOX_RUN "/vpost.pid");
	char text[32];
	int n;

	r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (r->lock == -1)
		return (err_sys(err, "%s", path));
	if (flock(r->lock, LOCK_EX | LOCK_NB) == -1)
		return (err_set(err, ERR_PERM, NULL, "%s runs already (vpost status shows it)", r->box->root));
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(r->lock, 0) == -1 || pwrite(r->lock, text, (size_t)n, 0) != n)
		return (err_sys(err, "%s", path));
	return (0);
}

static void
start_child(struct run *r, struct child *c)
{
	pid_t pid = fork();

	c->started = os_mono_ms();
	if (pid == -1) {
		say("cannot start %s: %s", c->s->daemon, strerror(errno));
		c->next = c->started + 1000;
		return;
	}
	if (pid == 0) {
		sigset_t none;

		(void)sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		os_die_with_parent(SIGTERM);
		(void)execl(c->path, c->s->daemon, "-b", r->box->root, (char *)NULL);
		_exit(127);
	}
	c->pid = pid;
}

static void
child_died(struct child *c, int status)
{
	int64_t now = os_mono_ms();

	if (WIFSIGNALED(status))
		say("%s[%d] was ended by signal %d; starting it again", c->s->daemon, (int)c->pid, WTERMSIG(status));
	else
		say("%s[%d] ended with status %d; starting it again", c->s->daemon, (int)c->pid, WEXITSTATUS(status));
	c->pid = 0;
	/* At once, but not in a tight loop: 0, 0, 100, 200 ... 2000 ms. */
	c->quick = now - c->started < 5000 ? c->quick + 1 : 0;
	c->next = now + (c->quick <= 2 ? 0 : c->quick >= 22 ? 2000 : (int64_t)(c->quick - 2) * 100);
}

static void
reap(struct run *r)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < r->n; i++)
			if (r->c[i].pid == pid)
				child_died(&r->c[i], status);
}

static void
start_due(struct run *r)
{
	int64_t now = os_mono_ms();

	for (size_t i = 0; i < r->n; i++)
		if (r->c[i].pid == 0 && r->c[i].next <= now)
			start_child(r, &r->c[i]);
}

static void
stop_all(struct run *r)
{
	for (size_t i = r->n; i-- > 0;) {
		int64_t end = os_mono_ms() + STOP_MS;
		struct child *c = &r->c[i];

		if (c->pid == 0)
			continue;
		(void)kill(c->pid, SIGTERM);
		while (waitpid(c->pid, NULL, WNOHANG) == 0) {
			if (os_mono_ms() > end) {
				say("%s[%d] does not end; killing it", c->s->daemon, (int)c->pid);
				(void)kill(c->pid, SIGKILL);
				(void)waitpid(c->pid, NULL, 0);
				break;
			}
			os_sleep_ms(10);
		}
	}
}

static void
pass_on(const struct run *r, int sig)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->c[i].pid > 0)
			(void)kill(r->c[i].pid, sig);
}

static void
supervise(struct run *r)
{
	sigset_t set;
	struct timespec tick = { .tv_sec = 0, .tv_nsec = 100 * 1000 * 1000 };

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGUSR1);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	say("running %s", r->box->root);
	for (;;) {
		start_due(r);
		switch (sigtimedwait(&set, NULL, &tick)) {
		case SIGTERM:
		case SIGINT:
			say("stopping");
			stop_all(r);
			say("stopped");
			return;
		case SIGHUP:
			pass_on(r, SIGHUP);
			break;
		case SIGUSR1:
			pass_on(r, SIGUSR1);
			break;
		default:
			reap(r);
		}
	}
}

static int
plan_children(struct run *r, struct err *err)
{
	for (size_t i = 0; services[i].name != NULL; i++) {
		struct child *c = &r->c[r->n];

		if (!service_on(r->box, services[i].name))
			continue;
		c->s = &services[i];
		if (find_daemon(c->s->daemon, c->path, sizeof(c->path), err) == -1)
			return (-1);
		r->n++;
	}
	return (0);
}

static bool
all_ready(const struct run *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (running_pid(r->box, r->c[i].s->daemon) == 0)
			return (false);
	return (true);
}

/* Go on in a child of its own session, its output in var/log/vpost.log; the caller waits until all daemons run. */
static int
detach(struct run *r)
{
	const char *log = box_path(r->box, BOX_LOG "/vpost.log");
	int64_t end = os_mono_ms() + READY_MS;
	pid_t pid = fork();
	int fd;

	if (pid == -1)
		return (-1);
	if (pid == 0) {
		(void)setsid();
		fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
		if (fd != -1) {
			(void)dup2(fd, 1);
			(void)dup2(fd, 2);
			if (fd > 2)
				(void)close(fd);
		}
		fd = open("/dev/null", O_RDONLY);
		if (fd > 0) {
			(void)dup2(fd, 0);
			(void)close(fd);
		}
		return (0);
	}
	while (os_mono_ms() < end) {
		if (all_ready(r))
			exit(0);
		if (waitpid(pid, NULL, WNOHANG) == pid)
			break;
		os_sleep_ms(50);
	}
	(void)fprintf(stderr, "vpost run: not all daemons came up; %s says why\n", log);
	exit(1);
}

/* TERM to the supervisor, and wait until it is gone. */
static int
stop_running(struct box *b)
{
	pid_t pid = running_pid(b, "vpost");
	int64_t end = os_mono_ms() + NSERVICES * STOP_MS;

	if (pid == 0) {
		printf("%s does not run\n", b->root);
		return (0);
	}
	if (kill(pid, SIGTERM) == -1) {
		struct err err = ERR_INIT;

		err_sys(&err, "signal to process %d", (int)pid);
		return (complain(&err));
	}
	while (kill(pid, 0) == 0 && os_mono_ms() < end)
		os_sleep_ms(20);
	return (kill(pid, 0) == 0 ? 1 : 0);
}

int
cmd_run(int argc, char **argv)
{
	struct err err = ERR_INIT;
	bool detached = false, stop = false;
	const char *dir = NULL;
	struct run r;
	int c;

	memset(&r, 0, sizeof(r));
	while ((c = getopt(argc, argv, "b:dk")) != -1) {
		switch (c) {
		case 'b':
			dir = optarg;
			break;
		case 'd':
			detached = true;
			break;
		case 'k':
			stop = true;
			break;
		default:
			goto usage;
		}
	}
	if (argc - optind == 1 && dir == NULL)
		dir = argv[optind];
	else if (argc != optind)
		goto usage;
	if ((r.box = open_box(dir)) == NULL)
		return (1);
	if (stop)
		return (stop_running(r.box));
	if (plan_children(&r, &err) == -1)
		return (complain(&err));
	if (detached && running_pid(r.box, "vpost") == 0 && detach(&r) == -1) {
		err_sys(&err, "fork");
		return (complain(&err));
	}
	if (take_lock(&r, &err) == -1)
		return (complain(&err));
	supervise(&r);
	(void)unlink(box_path(r.box, BOX_RUN "/vpost.pid"));
	box_free(&r.box);
	return (0);
usage:
	(void)fprintf(stderr, "usage: vpost run [-d | -k] [BOX]\n");
	return (2);
}
