/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vpost run: start the daemons of a box, each when the one before is ready; start
 * anew what dies; stop all in reverse order.  It holds a lock on var/run/vpost.pid.
 * Each daemon's standard input is a socket of ours: it writes a byte when it is ready,
 * and ends when our end of it is gone.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/proc.h"
#include "os/signal.h"
#include "os/time.h"
#include "vpost_int.h"

#define NSERVICES	8
#define STOP_MS		15000		/* a daemon that does not end in this time is killed */
#define READY_MS	20000		/* -d: how long it waits until all are ready */
#define NEXT_MS		3000		/* the next daemon starts then even if the one before is not ready */
#define SESSIONS	3		/* the last services are those with clients: they end together */

struct child {
	const struct service *s;
	char		 path[PATH_MAX];
	pid_t		 pid;
	int		 sock;		/* our end; -1: none */
	bool		 ready;
	int64_t		 started;	/* os_mono_ms(); 0: never */
	int64_t		 next;		/* not started again before */
	unsigned	 quick;		/* deaths soon after the start, in a row */
};

struct run {
	struct box	*box;
	struct child	 c[NSERVICES];
	size_t		 n;
	int		 lock;
	int		 tell;		/* -d: a byte goes there when all are ready; -1 afterwards */
	bool		 detached;	/* our own messages go to var/log/vpost.log */
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

/* What we and the daemons write to the standard output goes to var/log/vpost.log from here on. */
static void
open_log(const struct run *r)
{
	int fd = -1;

	if (box_act(r->box, NULL) == 0)
		fd = open(box_path(r->box, BOX_LOG "/vpost.log"), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0640);
	os_act_back();
	if (fd == -1)
		return;
	(void)dup2(fd, STDOUT_FILENO);
	(void)dup2(fd, STDERR_FILENO);
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

static int
take_lock(struct run *r, struct err *err)
{
	const char *path = box_path(r->box, BOX_RUN "/vpost.pid");
	char text[32];
	int n;

	if (box_act(r->box, err) == -1)
		return (-1);
	r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	os_act_back();
	if (r->lock == -1)
		return (err_sys(err, "%s", path));
	if (os_own(r->lock, NULL) == -1)
		return (err_set(err, ERR_PERM, NULL, "%s runs already (vpost status shows it)", r->box->root));
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(r->lock, 0) == -1 || pwrite(r->lock, text, (size_t)n, 0) != n)
		return (err_sys(err, "%s", path));
	return (0);
}

static void
exec_child(const struct run *r, const struct child *c, int sock)
{
	os_signal_reset();
	if (dup2(sock, STDIN_FILENO) == -1)
		_exit(127);
	(void)setenv("VPOST_SUPERVISED", "1", 1);
	(void)execl(c->path, c->s->daemon, "-b", r->box->root, (char *)NULL);
	_exit(127);
}

static void
start_child(struct run *r, struct child *c)
{
	int p[2];

	c->started = os_mono_ms();
	c->ready = false;
	if (os_socketpair(p) == -1 || (c->pid = fork()) == -1) {
		say("cannot start %s: %s", c->s->daemon, strerror(errno));
		c->pid = 0;
		c->next = c->started + 1000;
		return;
	}
	if (c->pid == 0)
		exec_child(r, c, p[1]);
	(void)close(p[1]);
	c->sock = p[0];
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
	(void)close(c->sock);
	c->sock = -1;
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

/* Start what is due; each waits at the very first start until the one before is ready. */
static void
start_due(struct run *r)
{
	int64_t now = os_mono_ms();

	for (size_t i = 0; i < r->n; i++) {
		struct child *c = &r->c[i];

		if (c->pid == 0 && c->next <= now)
			start_child(r, c);
		if (i + 1 < r->n && r->c[i + 1].started == 0 && !c->ready && now - c->started < NEXT_MS)
			break;
	}
}

/* TERM to those in [from, to), then wait for them. */
static void
stop_some(struct run *r, size_t from, size_t to)
{
	int64_t end = os_mono_ms() + STOP_MS;

	for (size_t i = from; i < to; i++)
		if (r->c[i].pid != 0)
			(void)kill(r->c[i].pid, SIGTERM);
	for (size_t i = from; i < to; i++) {
		struct child *c = &r->c[i];

		while (c->pid != 0 && waitpid(c->pid, NULL, WNOHANG) == 0) {
			if (os_mono_ms() > end) {
				say("%s[%d] does not end; killing it", c->s->daemon, (int)c->pid);
				(void)kill(c->pid, SIGKILL);
				(void)waitpid(c->pid, NULL, 0);
				break;
			}
			os_sleep_ms(5);
		}
		c->pid = 0;
	}
}

/* Those with clients first and together, then the others in reverse order. */
static void
stop_all(struct run *r)
{
	size_t i = r->n > SESSIONS ? r->n - SESSIONS : 0;

	stop_some(r, i, r->n);
	while (i-- > 0)
		stop_some(r, i, i + 1);
}

static void
pass_on(const struct run *r, int sig)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->c[i].pid > 0)
			(void)kill(r->c[i].pid, sig);
}

static void
take_ready(struct run *r)
{
	bool all = true;
	char c;

	for (size_t i = 0; i < r->n; i++) {
		if (r->c[i].sock != -1 && !r->c[i].ready && read(r->c[i].sock, &c, 1) == 1)
			r->c[i].ready = true;
		all = all && r->c[i].ready;
	}
	if (!all || r->tell == -1)
		return;
	say("all daemons are ready");
	(void)!write(r->tell, "R", 1);
	(void)close(r->tell);
	r->tell = -1;
}

/* True when it is time to stop. */
static bool
take_signals(struct run *r)
{
	int sig;

	while ((sig = os_signal_next()) != 0) {
		if (sig == SIGTERM || sig == SIGINT)
			return (true);
		if (sig == SIGUSR1 && r->detached)
			open_log(r);
		if (sig == SIGHUP || sig == SIGUSR1)
			pass_on(r, sig);
		else
			reap(r);
	}
	return (false);
}

static void
supervise(struct run *r)
{
	static const int sigs[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD };
	struct pollfd pf[NSERVICES + 1];

	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		(void)os_signal_add(sigs[i]);
	say("running %s", r->box->root);
	for (;;) {
		int timeout = -1;

		start_due(r);
		pf[0] = (struct pollfd){ .fd = os_signal_fd(), .events = POLLIN };
		for (size_t i = 0; i < r->n; i++) {
			pf[i + 1] = (struct pollfd){ .fd = r->c[i].ready ? -1 : r->c[i].sock, .events = POLLIN };
			/* Something is not started yet, or waits for its pause. */
			if (r->c[i].pid == 0)
				timeout = 100;
		}
		(void)poll(pf, (nfds_t)r->n + 1, timeout);
		take_ready(r);
		if (take_signals(r))
			break;
	}
	say("stopping");
	stop_all(r);
	say("stopped");
}

static int
plan_children(struct run *r, struct err *err)
{
	for (size_t i = 0; services[i].name != NULL; i++) {
		struct child *c = &r->c[r->n];

		if (!service_on(r->box, services[i].name))
			continue;
		c->s = &services[i];
		c->sock = -1;
		if (find_daemon(c->s->daemon, c->path, sizeof(c->path), err) == -1)
			return (-1);
		r->n++;
	}
	return (0);
}

/*
 * Go on in a child of its own session, its output in var/log/vpost.log (returns 1 there); the caller waits until
 * all daemons are ready: 0, or -1.
 */
static int
detach(struct run *r, struct err *err)
{
	const char *log = box_path(r->box, BOX_LOG "/vpost.log");
	struct pollfd pf = { .events = POLLIN };
	int p[2], fd;
	pid_t pid;
	char c;

	if (os_pipe(p, false) == -1 || (pid = fork()) == -1)
		return (err_sys(err, "fork"));
	if (pid == 0) {
		(void)setsid();
		(void)close(p[0]);
		r->tell = p[1];
		r->detached = true;
		open_log(r);
		fd = open("/dev/null", O_RDONLY);
		if (fd > 0) {
			(void)dup2(fd, 0);
			(void)close(fd);
		}
		return (1);
	}
	(void)close(p[1]);
	pf.fd = p[0];
	if (poll(&pf, 1, READY_MS) > 0 && read(p[0], &c, 1) == 1)
		return (0);
	return (err_set(err, ERR_TEMP, NULL, "not all daemons came up; %s says why", log));
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

static int
run_box(struct run *r, bool detached, struct err *err)
{
	int rc;

	if (owner_check(r->box, err) == -1 || plan_children(r, err) == -1)
		return (-1);
	if (detached && running_pid(r->box, "vpost") == 0 && (rc = detach(r, err)) != 1)
		return (rc);
	if (take_lock(r, err) == -1)
		return (-1);
	supervise(r);
	if (box_act(r->box, NULL) == 0)
		(void)unlink(box_path(r->box, BOX_RUN "/vpost.pid"));
	os_act_back();
	return (0);
}

int
cmd_run(int argc, char **argv)
{
	struct err err = ERR_INIT;
	bool detached = false, stop = false;
	const char *dir = NULL;
	struct run r;
	int c, rc;

	memset(&r, 0, sizeof(r));
	r.tell = -1;
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
		rc = stop_running(r.box);
	else
		rc = run_box(&r, detached, &err) == -1 ? complain(&err) : 0;
	box_free(&r.box);
	return (rc);
usage:
	(void)fprintf(stderr, "usage: vpost run [-d | -k] [BOX]\n");
	return (2);
}
