/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The skeleton, as real processes: start, sessions, a worker's death, hand-over at HUP
 * with a session kept, refusal of a second start, end at TERM, end with the parent.
 */
#include <sys/wait.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/num.h"
#include "daemon/daemon.h"
#include "fiber/fiber.h"
#include "net/sock.h"
#include "os/file.h"
#include "os/time.h"

#define USER	(getuid() == 0 ? "user = nobody\n" : "")

static char root[128], conf_path[160];
static uint16_t port;

/* ---- the daemon under test: greets with "PID GENERATION INDEX\n", echoes bytes ---- */

static unsigned sessions;

struct session {
	struct daemon	*d;
	int		 fd;
};

static void
session_main(void *arg)
{
	struct session *s = arg;
	char buf[128];
	int n = snprintf(buf, sizeof(buf), "%ld %d %d\n", (long)getpid(), daemon_generation(s->d), daemon_worker(s->d));

	sessions++;
	(void)!write(s->fd, buf, (size_t)n);
	while (fiber_wait_fd(s->fd, FIBER_READ, FIBER_FOREVER) == FIBER_READY) {
		n = (int)read(s->fd, buf, sizeof(buf));
		if (n <= 0)
			break;
		(void)!write(s->fd, buf, (size_t)n);
	}
	(void)close(s->fd);
	if (--sessions == 0 && daemon_draining(s->d))
		daemon_worker_done(s->d);
	free(s);
}

static void
accept_main(void *arg)
{
	struct daemon *d = arg;
	int lfd = daemon_listeners(d)[0].fd;
	struct net_addr peer;

	while (!daemon_draining(d) && fiber_wait_fd(lfd, FIBER_READ, FIBER_NOW_PLUS(100)) != FIBER_CANCELLED) {
		int fd = daemon_draining(d) ? -1 : net_accept(lfd, &peer, NULL);
		struct session *s;

		if (fd == -1)
			continue;
		s = malloc(sizeof(*s));
		*s = (struct session){ d, fd };
		(void)fiber_spawn("session", session_main, s);
	}
}

static int
start(struct daemon *d, struct err *err)
{
	if (daemon_listeners(d)[0].fd == -1)
		return (err_set(err, ERR_CONFIG, NULL, "no listener"));
	assert(daemon_listeners(d)[1].fd == -1);
	return (fiber_spawn("accept", accept_main, d) == NULL ? -1 : 0);
}

static void
drain(struct daemon *d)
{
	if (sessions == 0)
		daemon_worker_done(d);
}

static int
two(const struct box *b)
{
	return (2);
}

static int
load(const struct box *b, void **conf, void (*report)(void *arg, const struct err *e), void *arg, struct err *err)
{
	/* A folder separator of "x" stands for a mistake. */
	if (strcmp(b->folder_separator, "x") == 0)
		return (err_set(err, ERR_CONFIG, NULL, "bad separator"));
	*conf = xstrdup(b->folder_separator);
	return (0);
}

static const struct daemon_role worker_role = { .name = "worker", .count = two, .start = start, .drain = drain };
static const struct daemon_role *const roles[] = { &worker_role, NULL };
static const char *const listens[] = { "smtp", NULL };
static const struct daemon_def def = { .name = "vtestd", .listens = listens, .roles = roles, .load = load,
	.unload = free };

/* ---- the test ---- */

static pid_t
spawn_daemon(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		char name[] = "vtestd", b[] = "-b", *argv[] = { name, b, root, NULL };
		int null = open("/dev/null", O_RDWR);

		(void)dup2(null, 2);
		_exit(daemon_main(&def, 3, argv));
	}
	return (pid);
}

/* Connect and read the greeting; tries for three seconds. */
static int
session(long *pid, int *generation)
{
	struct net_addr a;
	struct sockaddr_storage ss;
	socklen_t len;
	char buf[64];
	ssize_t n;

	assert_true(net_addr_parse(SV_LIT("127.0.0.1"), &a));
	a.port = port;
	len = net_addr_to_sockaddr(&a, &ss);
	for (int i = 0; i < 300; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (connect(fd, (struct sockaddr *)&ss, len) == 0 && (n = read(fd, buf, sizeof(buf) - 1)) > 0) {
			buf[n] = '\0';
			assert_int_equal(sscanf(buf, "%ld %d", pid, generation), 2);
			return (fd);
		}
		(void)close(fd);
		os_sleep_ms(10);
	}
	fail_msg("no session");
	return (-1);
}

static bool
echoes(int fd)
{
	char c = 0;

	return (write(fd, "x", 1) == 1 && read(fd, &c, 1) == 1 && c == 'x');
}

static void
configure(const char *extra)
{
	char text[256];
	struct err err = ERR_INIT;

	(void)snprintf(text, sizeof(text), "smtp_listen = 127.0.0.1:%u\n%s", port, extra);
	if (os_write_replace(conf_path, sv_cstr(text), 0644, &err) == -1)
		fail_msg("%s", err.text);
}

static int
setup(void **state)
{
	struct err err = ERR_INIT;
	struct net_addr a;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char path[160];
	int fd;

	(void)snprintf(root, sizeof(root), "/tmp/vpost-daemon-%ld", (long)getpid());
	(void)snprintf(path, sizeof(path), "%s/etc", root);
	(void)snprintf(conf_path, sizeof(conf_path), "%s/etc/vpost.conf", root);
	if (os_mkdir_p(path, 0755, &err) == -1 || !net_addr_parse(SV_LIT("127.0.0.1"), &a))
		return (-1);
	fd = net_listen(&a, &err);
	(void)getsockname(fd, (struct sockaddr *)&ss, &len);
	net_addr_from_sockaddr(&a, (struct sockaddr *)&ss);
	port = a.port;
	(void)close(fd);
	configure(USER);
	/* Root's daemons become the owner of the box. */
	return (getuid() == 0 ? chown(root, 65534, 65534) : 0);
}

static int
teardown(void **state)
{
	char cmd[256];

	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
	return (system(cmd));
}

static int
ended(pid_t pid, int ms)
{
	int st = -1;

	for (int i = 0; i < ms / 10; i++) {
		if (waitpid(pid, &st, WNOHANG) == pid)
			return (st);
		os_sleep_ms(10);
	}
	return (-1);
}

static void
test_life(void **state)
{
	pid_t pid = spawn_daemon();
	long w1, w2;
	int g, fd, fd2;
	char bad[64];

	fd = session(&w1, &g);
	assert_int_equal(g, 1);
	assert_true(w1 != pid);
	assert_true(echoes(fd));

	/* A second start is refused, with the pid. */
	assert_int_equal(WEXITSTATUS(ended(spawn_daemon(), 5000)), 1);

	/* A broken configuration changes nothing. */
	(void)snprintf(bad, sizeof(bad), "%sfolder_separator = x\n", USER);
	configure(bad);
	(void)kill(pid, SIGHUP);
	os_sleep_ms(200);
	assert_true(echoes(fd));
	(void)close(session(&w2, &g));
	assert_int_equal(g, 1);

	/* A good one: new sessions meet the new generation, the old session lives. */
	configure(USER);
	(void)kill(pid, SIGHUP);
	for (int i = 0; i < 100 && g != 2; i++) {
		(void)close(session(&w2, &g));
		os_sleep_ms(20);
	}
	assert_int_equal(g, 2);
	assert_true(echoes(fd));
	assert_int_equal(kill((pid_t)w1, 0), 0);
	(void)close(fd);
	for (int i = 0; i < 200 && kill((pid_t)w1, 0) == 0; i++)
		os_sleep_ms(10);
	assert_int_equal(kill((pid_t)w1, 0), -1);

	/* A killed worker is replaced. */
	fd = session(&w1, &g);
	(void)kill((pid_t)w1, SIGKILL);
	assert_false(echoes(fd));
	(void)close(fd);
	os_sleep_ms(100);
	for (int i = 0; i < 8; i++)
		(void)close(session(&w2, &g));
	assert_int_equal(g, 2);

	/* TERM with a session open: the worker waits for it. */
	fd = session(&w1, &g);
	(void)kill(pid, SIGTERM);
	os_sleep_ms(100);
	assert_true(echoes(fd));
	(void)close(fd);
	assert_int_equal(ended(pid, 5000), 0);

	/* The parent killed: workers end, and the next start has the lock at once. */
	pid = spawn_daemon();
	fd = session(&w1, &g);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	pid = spawn_daemon();
	fd2 = session(&w2, &g);
	assert_int_equal(g, 1);
	assert_true(w1 != w2);
	assert_false(echoes(fd));
	(void)close(fd2);
	(void)close(fd);
	(void)kill(pid, SIGTERM);
	assert_int_equal(ended(pid, 5000), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, setup, teardown),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
