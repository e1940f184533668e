/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames, and clients and servers in one process. */
#include <sys/stat.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fiber/fiber.h"
#include "ipc/ipc.h"
#include "os/fd.h"

enum { M_ECHO = 1, M_FAIL, M_FD, M_SLOW, M_NOTE, M_PUSH, M_CLOSE, M_BIG };

static char path[64];
static struct ipc_server *server;
static unsigned notes, pushed, connected, closed, reconnects;

static void
make_path(void)
{
	(void)snprintf(path, sizeof(path), "/tmp/vpost-ipc-%ld.sock", (long)getpid());
}

static void
slow_reply(void *arg)
{
	struct ipc_peer *p = arg;
	struct sb m = SB_INIT(1000);

	(void)fiber_sleep(50);
	ipc_begin(&m, M_SLOW);
	(void)ipc_reply(p, (uint32_t)(uintptr_t)ipc_peer_data(p), &m, -1);
	sb_free(&m);
	ipc_peer_unref(&p);
}

static void
on_message(void *arg, struct ipc_peer *p, const struct ipc_msg *m, int fd)
{
	struct sb out = SB_INIT(IPC_FRAME_MAX + 4);
	struct err e = ERR_INIT;
	char buf[32] = "";
	int pfd = -1;

	ipc_begin(&out, m->type);
	switch (m->type) {
	case M_ECHO:
		ipc_put_u64(&out, 1, ipc_get_u64(m, 1, 0));
		ipc_put_bytes(&out, 2, ipc_get_bytes(m, 2));
		break;
	case M_FAIL:
		(void)err_set(&e, ERR_PERM, "5.1.1", "no such user");
		ipc_put_err(&out, &e);
		break;
	case M_FD:
		assert_true(fd != -1);
		assert_true(pread(fd, buf, sizeof(buf) - 1, 0) > 0);
		ipc_put_str(&out, 2, buf);
		pfd = fd;
		break;
	case M_SLOW:
		ipc_peer_set_data(p, (void *)(uintptr_t)m->serial);
		(void)fiber_spawn("slow", slow_reply, ipc_peer_ref(p));
		sb_free(&out);
		return;
	case M_NOTE:
		assert_int_equal(m->serial, 0);
		notes += (unsigned)ipc_get_u64(m, 1, 0);
		sb_free(&out);
		return;
	case M_PUSH:
		for (int i = 0; i < 100; i++) {
			struct sb n = SB_INIT(100);

			ipc_begin(&n, M_PUSH);
			assert_true(ipc_push(p, &n));
			sb_free(&n);
		}
		break;
	case M_CLOSE:
		ipc_peer_close(p);
		break;
	default:
		break;
	}
	(void)ipc_reply(p, m->serial, &out, pfd);
	if (fd != -1)
		(void)close(fd);
	sb_free(&out);
}

static void
on_connected(void *arg, struct ipc_peer *p)
{
	connected++;
	assert_int_equal(ipc_peer_uid(p), geteuid());
}

static void
on_closed(void *arg, struct ipc_peer *p)
{
	closed++;
}

static void
serve(void)
{
	struct ipc_handler h = { .message = on_message, .connected = on_connected, .closed = on_closed };
	struct err err = ERR_INIT;
	int fd = ipc_listen(path, 0600, &err);
	struct stat st;

	assert_true(fd != -1);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	server = ipc_server_new(fd, &h, false, &err);
	assert_non_null(server);
}

static int
setup(void **state)
{
	struct err err = ERR_INIT;

	make_path();
	notes = pushed = connected = closed = reconnects = 0;
	if (fiber_init(&err) == -1)
		return (-1);
	serve();
	return (0);
}

static int
teardown(void **state)
{
	fiber_fini();
	(void)unlink(path);
	return (0);
}

/* ---- */

static void
echo(struct ipc_client *c, unsigned n)
{
	struct sb m = SB_INIT(IPC_FRAME_MAX + 4);
	struct ipc_msg r;
	struct err err = ERR_INIT;
	char *big = calloc(1, n + 1);

	memset(big, 'x', n);
	ipc_begin(&m, M_ECHO);
	ipc_put_u64(&m, 1, n);
	ipc_put_str(&m, 2, big);
	assert_int_equal(ipc_call(c, &m, -1, &r, NULL, FIBER_NOW_PLUS(30000), &err), 0);
	assert_int_equal(ipc_get_u64(&r, 1, 0), n);
	assert_int_equal(ipc_get_bytes(&r, 2).len, n);
	assert_memory_equal(n == 0 ? "" : ipc_get_bytes(&r, 2).p, big, n);
	ipc_msg_free(&r);
	sb_free(&m);
	free(big);
}

static void
caller(void *arg)
{
	for (unsigned i = 0; i < 50; i++)
		echo(arg, i * i * 7);
	echo(arg, 900000);
}

static unsigned running;

static void
counted_caller(void *arg)
{
	caller(arg);
	running--;
}

static void
calls(void *arg)
{
	struct ipc_client *c = ipc_client_new(path);
	struct sb m = SB_INIT(1000);
	struct ipc_msg r;
	struct err err = ERR_INIT;
	char buf[32] = "";
	int p[2], fd;

	caller(c);
	running = 10;
	for (int i = 0; i < 10; i++)
		(void)fiber_spawn("c", counted_caller, c);
	while (running > 0)
		(void)fiber_sleep(5);
	assert_int_equal(connected, 1);

	ipc_begin(&m, M_FAIL);
	assert_int_equal(ipc_call(c, &m, -1, &r, NULL, FIBER_NOW_PLUS(5000), &err), -1);
	assert_int_equal(err.cls, ERR_PERM);
	assert_string_equal(err.status, "5.1.1");
	assert_string_equal(err.text, "no such user");

	/* A descriptor there and back, between frames without one. */
	fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	assert_int_equal(write(fd, "hello", 5), 5);
	for (int i = 0; i < 30; i++) {
		struct sb n = SB_INIT(100);

		ipc_begin(&n, M_NOTE);
		ipc_put_u64(&n, 1, 1);
		assert_int_equal(ipc_notify(c, &n), 0);
		ipc_begin(&m, M_FD);
		assert_int_equal(ipc_call(c, &m, fd, &r, &p[0], FIBER_NOW_PLUS(30000), &err), 0);
		assert_true(sv_eqs(ipc_get_bytes(&r, 2), "hello"));
		assert_true(p[0] != -1);
		assert_int_equal(pread(p[0], buf, 5, 0), 5);
		(void)close(p[0]);
		ipc_msg_free(&r);
		sb_free(&n);
	}
	(void)close(fd);
	assert_int_equal(notes, 30);

	ipc_begin(&m, M_SLOW);
	assert_int_equal(ipc_call(c, &m, -1, &r, NULL, FIBER_NOW_PLUS(10), &err), -1);
	assert_non_null(strstr(err.text, "no answer"));
	assert_int_equal(ipc_call(c, &m, -1, &r, NULL, FIBER_NOW_PLUS(30000), &err), 0);
	ipc_msg_free(&r);

	ipc_begin(&m, M_CLOSE);
	assert_int_equal(ipc_call(c, &m, -1, &r, NULL, FIBER_NOW_PLUS(1000), &err), -1);
	assert_int_equal(err.cls, ERR_TEMP);
	echo(c, 5);
	assert_int_equal(connected, 2);
	(void)fiber_sleep(10);
	assert_int_equal(closed, 1);
	ipc_client_free(&c);
	sb_free(&m);
	ipc_server_free(&server);
}

static void
test_calls(void **state)
{
	(void)fiber_spawn("t", calls, NULL);
	fiber_run();
	assert_int_equal(fiber_count(), 0);
	assert_int_equal(closed, 2);
}

static void
on_notice(void *arg, const struct ipc_msg *m)
{
	pushed++;
}

static void
on_connect(void *arg, struct ipc_client *c)
{
	struct sb m = SB_INIT(100);

	reconnects++;
	ipc_begin(&m, M_NOTE);
	ipc_put_u64(&m, 1, 1);
	assert_int_equal(ipc_notify(c, &m), 0);
	sb_free(&m);
}

static void
notices(void *arg)
{
	struct ipc_client *c = ipc_client_new(path);
	struct sb m = SB_INIT(1000);
	struct ipc_msg r;
	struct err err = ERR_INIT;

	ipc_client_on_notice(c, on_notice, NULL);
	ipc_client_on_connect(c, on_connect, NULL);
	assert_int_equal(ipc_client_connect(c, &err), 0);
	ipc_begin(&m, M_PUSH);
	assert_int_equal(ipc_call(c, &m, -1, &r, NULL, FIBER_NOW_PLUS(30000), &err), 0);
	ipc_msg_free(&r);
	assert_int_equal(pushed, 100);
	assert_int_equal(notes, 1);
	/* The server goes and comes: the listener finds it again by itself. */
	ipc_server_free(&server);
	(void)fiber_sleep(20);
	assert_false(ipc_client_connected(c));
	serve();
	(void)fiber_sleep(300);
	assert_true(ipc_client_connected(c));
	assert_int_equal(reconnects, 2);
	assert_int_equal(notes, 2);
	ipc_client_free(&c);
	ipc_server_free(&server);
	sb_free(&m);
}

static void
test_notices(void **state)
{
	(void)fiber_spawn("t", notices, NULL);
	fiber_run();
	assert_int_equal(fiber_count(), 0);
}

static void
flood(void *arg)
{
	struct ipc_client *c = ipc_client_new(path);
	struct sb m = SB_INIT(100);

	/* More than a socket buffer: the writer fiber takes over. */
	for (int i = 0; i < 200000; i++) {
		ipc_begin(&m, M_NOTE);
		ipc_put_u64(&m, 1, 1);
		assert_int_equal(ipc_notify(c, &m), 0);
	}
	echo(c, 10);
	assert_int_equal(notes, 200000);
	ipc_client_free(&c);
	ipc_server_free(&server);
	sb_free(&m);
}

static void
test_flood(void **state)
{
	(void)fiber_spawn("t", flood, NULL);
	fiber_run();
	assert_int_equal(fiber_count(), 0);
}

static void
garbage(void *arg)
{
	static const char *const bad[] = { "\1\0\0\0abcdefgh", "\377\377\377\377abcdefgh",
		"\11\0\0\0\1\0\0\0\1\0\0\0\1\2\3\4" };
	static const size_t len[] = { 12, 12, 16 };
	char buf[8];

	for (size_t i = 0; i < 3; i++) {
		int s = os_unix_connect(path);

		assert_true(s != -1);
		assert_int_equal(write(s, bad[i], len[i]), len[i]);
		assert_int_equal(fiber_wait_fd(s, FIBER_READ, FIBER_NOW_PLUS(30000)), FIBER_READY);
		assert_int_equal(read(s, buf, 8), 0);
		(void)close(s);
	}
	ipc_server_free(&server);
}

static void
test_garbage(void **state)
{
	(void)fiber_spawn("t", garbage, NULL);
	fiber_run();
}

static void
nobody(void *arg)
{
	struct ipc_client *c = ipc_client_new("/tmp/vpost-ipc-nobody.sock");
	struct sb m = SB_INIT(1000);
	struct ipc_msg r;
	struct err err = ERR_INIT;

	ipc_begin(&m, M_ECHO);
	assert_int_equal(ipc_call(c, &m, -1, &r, NULL, FIBER_NOW_PLUS(5000), &err), -1);
	assert_int_equal(err.cls, ERR_TEMP);
	assert_int_equal(ipc_notify(c, &m), -1);
	ipc_client_free(&c);
	ipc_server_free(&server);
	sb_free(&m);
}

static void
test_nobody(void **state)
{
	(void)fiber_spawn("t", nobody, NULL);
	fiber_run();
}

/* ---- a client for a ready-made socket ---- */

struct waiting {
	struct ipc_client *c;
	struct fiber	*f;
	int		 rc;
	bool		 over;
};

static void
waits(void *arg)
{
	struct waiting *w = arg;
	struct sb m = SB_INIT(1000);
	struct ipc_msg r;
	struct err err = ERR_INIT;

	w->f = fiber_self();
	ipc_begin(&m, M_ECHO);
	w->rc = ipc_call(w->c, &m, -1, &r, NULL, FIBER_NOW_PLUS(10000), &err);
	if (w->rc == 0)
		ipc_msg_free(&r);
	w->over = true;
	sb_free(&m);
}

static void
say(int fd, uint32_t serial)
{
	struct sb m = SB_INIT(1000);

	ipc_begin(&m, M_ECHO);
	ipc_frame_seal(&m, serial);
	assert_int_equal(write(fd, m.p, m.len), (ssize_t)m.len);
	sb_free(&m);
}

/* Whoever waits can be called off, whose answer is then passed over; one that nobody asked for is the end. */
static void
given(void *arg)
{
	struct waiting a = { .rc = 1 }, b = { .rc = 1 };
	int sv[2];

	assert_int_equal(os_socketpair(sv), 0);
	a.c = b.c = ipc_client_new_fd(sv[0], "the other side");
	assert_non_null(fiber_spawn("a", waits, &a));
	assert_non_null(fiber_spawn("b", waits, &b));
	(void)fiber_sleep(5);
	ipc_call_abandon(a.c, a.f);
	(void)fiber_sleep(5);
	assert_true(a.over && a.rc == -1);
	assert_false(b.over);
	say(sv[1], 1);
	say(sv[1], 2);
	(void)fiber_sleep(5);
	assert_true(b.over && b.rc == 0);
	assert_true(ipc_client_connected(a.c));
	say(sv[1], 1);
	(void)fiber_sleep(5);
	assert_false(ipc_client_connected(a.c));
	ipc_client_free(&a.c);
	(void)close(sv[1]);
	ipc_server_free(&server);
}

static void
test_given(void **state)
{
	assert_non_null(fiber_spawn("t", given, NULL));
	fiber_run();
}

static void
test_parse_limits(void **state)
{
	struct sb m = { .p = NULL };
	struct ipc_msg msg;
	char *exact;

	ipc_begin(&m, 5);
	for (int i = 0; i < 3; i++)
		ipc_put_u64(&m, 3, (uint64_t)i);
	ipc_put_str(&m, 4, NULL);
	for (size_t n = 0; n <= m.len - 4; n++) {
		exact = malloc(n == 0 ? 1 : n);
		memcpy(exact, m.p + 4, n);
		assert_int_equal(ipc_parse(&msg, sv_from(exact, n)), n >= 8 && (n - 8) % 14 == 0);
		free(exact);
	}
	ipc_begin(&m, 5);
	for (int i = 0; i <= IPC_FIELDS_MAX; i++)
		ipc_put_bytes(&m, 3, SV_NULL);
	assert_false(ipc_parse(&msg, sv_sub(sb_sv(&m), 4, m.len)));
	assert_true(ipc_parse(&msg, sv_sub(sb_sv(&m), 4, m.len - 6)));
	sb_free(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_limits),
		cmocka_unit_test_setup_teardown(test_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_notices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_given, setup, teardown),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
