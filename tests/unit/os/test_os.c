/* SPDX-License-Identifier: BSD-2-Clause */
/* Files, locks, programs, users, descriptors, signals, the sandbox. */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/fd.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/proc.h"
#include "os/sandbox.h"
#include "os/shared.h"
#include "os/signal.h"
#include "os/spawn.h"
#include "os/stack.h"
#include "os/time.h"
#include "os/user.h"

static char dir[64];

static const char *
at(const char *name)
{
	static char buf[4][256];
	static unsigned i;
	char *p = buf[i++ % 4];

	(void)snprintf(p, sizeof(buf[0]), "%s/%s", dir, name);
	return (p);
}

static void
test_files(void **state)
{
	struct err err = ERR_INIT;
	struct sb out = SB_INIT(100);
	struct stat st;

	assert_int_equal(os_mkdir_p(at("a/b/c"), 0711, &err), 0);
	assert_int_equal(os_mkdir_p(at("a/b/c"), 0700, &err), 0);
	assert_int_equal(stat(at("a/b"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0711);
	assert_int_equal(os_write_atomic(at("a/f"), SV_LIT("hello"), 0640, &err), 0);
	assert_int_equal(os_write_atomic(at("a/f"), SV_LIT("world!"), 0640, &err), 0);
	assert_int_equal(stat(at("a/f"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(os_mkdir_p(at("a/f/x"), 0700, &err), -1);
	assert_int_equal(os_read_file(at("a/f"), 6, &out, &err), 0);
	assert_string_equal(sb_cstr(&out), "world!");
	sb_clear(&out);
	assert_int_equal(os_read_file(at("a/f"), 5, &out, &err), -1);
	assert_int_equal(err.cls, ERR_PERM);
	sb_clear(&out);
	errno = 0;
	assert_int_equal(os_read_file(at("a/none"), 5, &out, &err), -1);
	assert_int_equal(errno, ENOENT);
	sb_free(&out);
	sb_init(&out, 6);
	assert_int_equal(os_read_file(at("a/f"), 1000, &out, &err), 0);
	assert_int_equal(out.len, 6);
	sb_free(&out);
	assert_int_equal(os_write_atomic(at("none/f"), SV_LIT("x"), 0600, &err), -1);
	assert_int_equal(os_fsync_dir(at("a"), &err), 0);
	assert_int_equal(os_fsync_parent(at("a/f"), &err), 0);
	assert_true(os_free_space(dir, NULL) > 0);
}

static void
test_copy_and_reserve(void **state)
{
	static char big[200000], back[200000];
	int in = open(at("in"), O_RDWR | O_CREAT, 0600), out = open(at("out"), O_RDWR | O_CREAT, 0600);
	struct stat st;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 31 + i / 251);
	assert_int_equal(os_pwrite_full(in, big, sizeof(big), 0), sizeof(big));
	assert_int_equal(os_copy_range(in, 100, out, 7, sizeof(big) - 100), 0);
	assert_int_equal(os_pread_full(out, back, sizeof(back), 7), sizeof(big) - 100);
	assert_memory_equal(back, big + 100, sizeof(big) - 100);
	assert_int_equal(os_copy_range(in, 100, out, 0, 50), 0);
	assert_int_equal(os_copy_range(in, 100, out, 0, sizeof(big)), -1);
	assert_int_equal(errno, EIO);
	assert_int_equal(os_preallocate(out, 1000000), 0);
	assert_int_equal(fstat(out, &st), 0);
	assert_int_equal(st.st_size, 1000000);
	(void)close(in);
	(void)close(out);
}

static void
test_lock_and_barrier(void **state)
{
	struct err err = ERR_INIT;
	struct os_barrier *b = os_barrier_open(dir, &err);
	int one = open(at("lock"), O_RDWR | O_CREAT, 0600), two = open(at("lock"), O_RDWR);
	int64_t t0;

	assert_non_null(b);
	assert_int_equal(os_flock(one, OS_LOCK_EXCLUSIVE, 0, &err), 0);
	t0 = os_mono_ms();
	assert_int_equal(os_flock(two, OS_LOCK_SHARED, 30, &err), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	assert_true(os_mono_ms() - t0 >= 29);
	assert_int_equal(os_flock(one, OS_LOCK_NONE, 0, &err), 0);
	assert_int_equal(os_flock(two, OS_LOCK_SHARED, 0, &err), 0);
	assert_int_equal(os_flock(one, OS_LOCK_SHARED, 0, &err), 0);
	assert_int_equal(os_barrier(b, &err), 0);
	os_barrier_close(&b);
	assert_null(b);
	(void)close(one);
	(void)close(two);
}

static int
run_sh(const char *script, char *out, size_t size)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	struct os_spawn s = { .argv = argv, .in = -1, .errfd = -1, .cwd = dir };
	struct err err = ERR_INIT;
	int p[2], st = -1;
	pid_t pid;
	ssize_t n;

	assert_int_equal(os_pipe(p, false), 0);
	s.out = p[1];
	pid = os_spawn(&s, &err);
	assert_true(pid > 0);
	(void)close(p[1]);
	n = os_read_full(p[0], out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	(void)close(p[0]);
	assert_int_equal(os_wait(pid, &st, 5000), 1);
	return (st);
}

static void
test_spawn(void **state)
{
	static const char *const none[] = { "/nonexistent/program", NULL };
	static const char *const slp[] = { "/bin/sleep", "5", NULL };
	struct os_spawn s = { .argv = none, .in = -1, .out = -1, .errfd = -1 };
	struct err err = ERR_INIT;
	char out[4096];
	int st, leak = dup2(STDIN_FILENO, 77);	/* not close-on-exec */
	pid_t pid;

	(void)setenv("VPOST_SECRET", "x", 1);
	assert_int_equal(WEXITSTATUS(run_sh("echo $PATH:$VPOST_SECRET; pwd; exit 3", out, sizeof(out))), 3);
	assert_non_null(strstr(out, "/usr/bin:/bin:\n"));
	assert_non_null(strstr(out, dir));
	assert_int_equal(leak, 77);
	assert_int_equal(WEXITSTATUS(run_sh("test ! -e /proc/$$/fd/77", out, sizeof(out))), 0);
	(void)close(leak);
	assert_int_equal(os_spawn(&s, &err), -1);
	assert_int_equal(err.cls, ERR_TEMP);
	assert_non_null(strstr(err.text, "nonexistent"));
	s.argv = slp;
	s.new_session = true;
	pid = os_spawn(&s, &err);
	assert_true(pid > 0);
	assert_int_equal(os_wait(pid, &st, 20), 0);
	assert_int_equal(kill(-pid, SIGKILL), 0);
	assert_int_equal(os_wait(pid, &st, -1), 1);
	assert_true(WIFSIGNALED(st));
}

static void
test_users(void **state)
{
	struct os_user u;
	struct err err = ERR_INIT;
	gid_t gid;

	assert_int_equal(os_user_by_name("root", &u, &err), 1);
	assert_int_equal(u.uid, 0);
	assert_string_equal(u.name, "root");
	assert_int_equal(os_user_by_name("no-such-user-here", &u, &err), 0);
	assert_int_equal(os_user_by_name("", &u, &err), 0);
	assert_int_equal(os_user_by_uid(0, &u, &err), 1);
	assert_int_equal(os_group_by_name("daemon", &gid, &err), 1);
	assert_int_equal(os_group_by_name("no-such-group", &gid, &err), 0);
	assert_int_equal(os_user_in_group("root", 0), 1);
	assert_int_equal(os_user_in_group("root", 59999), 0);
}

static void
test_descriptors(void **state)
{
	struct iovec iov = { .iov_base = dir, .iov_len = 4 };
	struct os_wakeup w;
	char buf[64];
	int sv[2], fd, p[2], l, c;
	uid_t uid;
	gid_t gid;
	pid_t pid;
	char longname[150];

	assert_int_equal(os_socketpair(sv), 0);
	assert_int_equal(os_recvmsg(sv[1], buf, sizeof(buf), &fd), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(os_pipe(p, true), 0);
	assert_int_equal(os_sendmsg(sv[0], &iov, 1, p[0]), 4);
	assert_int_equal(os_recvmsg(sv[1], buf, sizeof(buf), &fd), 4);
	assert_true(fd != -1);
	assert_int_equal(write(p[1], "abc", 3), 3);
	assert_int_equal(read(fd, buf, 3), 3);
	assert_int_equal(os_sendmsg(sv[0], &iov, 1, -1), 4);
	assert_int_equal(os_recvmsg(sv[1], buf, sizeof(buf), &l), 4);
	assert_int_equal(l, -1);
	assert_int_equal(os_peer_id(sv[0], &uid, &gid, &pid), 0);
	assert_int_equal(uid, geteuid());
	(void)close(fd);
	(void)close(p[0]);
	(void)close(p[1]);
	(void)close(sv[0]);
	(void)close(sv[1]);

	/* A socket with a path that is too long for its address. */
	memset(longname, 'x', sizeof(longname));
	longname[120] = '\0';
	assert_int_equal(mkdir(at(longname), 0700), 0);
	memcpy(longname + 120, "/a.sock", 8);
	l = os_unix_listen(at(longname), 0600);
	assert_true(l != -1);
	c = os_unix_connect(at(longname));
	assert_true(c != -1);
	(void)close(c);
	(void)close(l);
	assert_int_equal(os_unix_connect(at("nothing.sock")), -1);

	assert_int_equal(os_wakeup_open(&w), 0);
	os_wakeup_set(&w);
	os_wakeup_set(&w);
	os_wakeup_clear(&w);
	assert_int_equal(read(w.rfd, buf, 8), -1);
	os_wakeup_close(&w);
}

static void
test_signals(void **state)
{
	assert_int_equal(os_signal_fd(), -1);
	assert_int_equal(os_signal_add(SIGUSR1), 0);
	assert_int_equal(os_signal_add(SIGUSR2), 0);
	assert_int_equal(os_signal_next(), 0);
	(void)raise(SIGUSR2);
	assert_int_equal(os_signal_next(), SIGUSR2);
	assert_int_equal(os_signal_next(), 0);
	os_signal_reset();
}

static void
test_names(void **state)
{
	char buf[256];

	os_hostname(buf, sizeof(buf));
	assert_true(buf[0] != '\0');
	assert_true(os_self_path(buf, sizeof(buf)));
	assert_non_null(strstr(buf, "test_os"));
	assert_true(os_raise_nofile() > 0);
}

/* Each check in a process of its own: 0 allowed, 1 refused, else broken. */
static int
confined(const struct os_sandbox *s, int (*fn)(void))
{
	struct err err = ERR_INIT;
	int st;
	pid_t pid = fork();

	if (pid == 0) {
		if (os_sandbox_apply(s, &err) == -1) {
			(void)fprintf(stderr, "%s\n", err.text);
			_exit(99);
		}
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	return (WIFSIGNALED(st) ? 1 : WEXITSTATUS(st));
}

static int
open_inside(void)
{
	int fd = open(at("box/f"), O_RDWR | O_CREAT, 0600);

	return (fd == -1 || rename(at("box/f"), at("box/g")) == -1);
}

static int
open_outside(void)
{
	return (open(at("f"), O_RDWR | O_CREAT, 0600) == -1 && open("/etc/passwd", O_RDONLY) == -1);
}

static int
read_only(void)
{
	return (open("/etc/passwd", O_RDONLY) == -1 ? 2 : open("/etc/passwd-new", O_RDWR | O_CREAT, 0600) == -1);
}

static int
inet_socket(void)
{
	return (socket(AF_INET, SOCK_STREAM, 0) == -1);
}

static int
unix_socket(void)
{
	return (socket(AF_UNIX, SOCK_STREAM, 0) == -1);
}

static int
do_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return (pid == -1);
}

static int
do_exec(void)
{
	(void)execl("/bin/true", "true", (char *)NULL);
	return (1);
}

static void
test_sandbox(void **state)
{
	const struct os_sandbox_path paths[] = { { at("box"), OS_ACCESS_READ | OS_ACCESS_WRITE }, { "/etc", OS_ACCESS_READ },
		{ "/no/such/path", OS_ACCESS_READ }, { NULL, 0 } };
	const struct os_sandbox_path just_box[] = { { at("box"), OS_ACCESS_READ | OS_ACCESS_WRITE }, { NULL, 0 } };
	struct os_sandbox none = { .paths = paths, .log_only = true };
	struct os_sandbox box = { .paths = just_box };
	struct os_sandbox all = { .network = true, .unix_sockets = true, .exec = true, .fork = true };

	(void)mkdir(at("box"), 0700);
	assert_int_equal(confined(&none, open_inside), 0);
	assert_int_equal(confined(&none, read_only), os_sandbox_files_available());
	assert_int_equal(confined(&box, open_outside), os_sandbox_files_available());
	assert_int_equal(confined(&none, inet_socket), 1);
	assert_int_equal(confined(&none, unix_socket), 1);
	assert_int_equal(confined(&none, do_fork), !os_sanitized());
	assert_int_equal(confined(&box, do_exec), 1);
	assert_int_equal(confined(&all, inet_socket), 0);
	assert_int_equal(confined(&all, unix_socket), 0);
	assert_int_equal(confined(&all, do_fork), 0);
	assert_int_equal(confined(&all, do_exec), 0);
}

/* Two processes that share it see each other's words; nobody can take it away from under the other. */
static void
test_shared(void **state)
{
	_Atomic uint32_t *here, *there;
	void *map = NULL;
	int fd = os_shared_new(64, &map), status;

	assert_int_not_equal(fd, -1);
	here = map;
	assert_int_equal(here[0], 0);
	if (fork() == 0) {
		there = os_shared_map(fd, 64);
		if (there == NULL)
			_exit(1);
		there[3] = 7;
		_exit(ftruncate(fd, 0) == 0);
	}
	assert_int_not_equal(wait(&status), -1);
	assert_int_equal(status, 0);
	assert_int_equal(here[3], 7);
	os_shared_unmap(map, 64);
	(void)close(fd);
}

/* What has no size of that kind: files that change, pipes, memory that is not sealed. */
static void
test_sealed(void **state)
{
	int fd = os_sealed_new("content", 7), p[2], file;
	void *map = NULL;
	char buf[16];

	assert_true(fd != -1);
	assert_int_equal(os_sealed_size(fd), 7);
	assert_int_equal(os_pread_full(fd, buf, 7, 0), 7);
	assert_memory_equal(buf, "content", 7);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 3), -1);
	(void)close(fd);
	file = open(at("plain"), O_RDWR | O_CREAT, 0600);
	assert_int_equal(os_sealed_size(file), -1);
	(void)close(file);
	assert_int_equal(os_pipe(p, false), 0);
	assert_int_equal(os_sealed_size(p[0]), -1);
	(void)close(p[0]);
	(void)close(p[1]);
	fd = os_shared_new(64, &map);
	assert_int_equal(os_sealed_size(fd), -1);
	os_shared_unmap(map, 64);
	(void)close(fd);
	assert_int_equal(os_sealed_size(-1), -1);
}

static int
set_up(void **state)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/vpost-os-%ld", (long)getpid());
	return (mkdir(dir, 0700));
}

static int
tear_down(void **state)
{
	char cmd[128];

	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return (system(cmd));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_copy_and_reserve),
		cmocka_unit_test(test_lock_and_barrier),
		cmocka_unit_test(test_spawn),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_sandbox),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_sealed),
	};

	return (cmocka_run_group_tests(tests, set_up, tear_down));
}
