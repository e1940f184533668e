/* SPDX-License-Identifier: BSD-2-Clause */
/* Plain streams over socket pairs: lines, limits, deadlines, buffers, files. */
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "fiber/fiber.h"
#include "io/stream.h"

struct pair {
	struct stream	*s;
	int		 peer;
};

static void
pair_open(struct pair *p)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	p->s = stream_new(fds[0]);
	p->peer = fds[1];
	stream_set_timeout(p->s, 2000, 2000);
}

static void
pair_close(struct pair *p)
{
	stream_close(&p->s);
	assert_null(p->s);
	(void)close(p->peer);
}

static void
feed(struct pair *p, const char *text, size_t len)
{
	assert_int_equal(write(p->peer, text, len), (ssize_t)len);
}

static void
run(void (*fn)(void *), void *arg)
{
	struct err err = ERR_INIT;

	assert_int_equal(fiber_init(&err), 0);
	assert_non_null(fiber_spawn("test", fn, arg));
	fiber_run();
	fiber_fini();
}

/* ---- lines ---- */

static void
lines_fiber(void *arg)
{
	static const struct {
		const char	*in;
		size_t		 max;
		enum stream_result r;
		const char	*line;
	} cases[] = {
		{ "EHLO a\r\n", 100, STREAM_OK, "EHLO a\r\n" },
		{ "x\n", 100, STREAM_OK, "x\n" },
		{ "\n", 1, STREAM_OK, "\n" },
		{ "12345\n", 6, STREAM_OK, "12345\n" },
		{ "123456\n", 6, STREAM_TOO_LONG, "123456" },
		{ "1234567890\nnext\n", 4, STREAM_TOO_LONG, "1234" },
		{ "", 100, STREAM_OK, "next\n" },
	};
	struct sv line;
	struct pair p;

	pair_open(&p);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		feed(&p, cases[i].in, strlen(cases[i].in));
		assert_int_equal(stream_read_line(p.s, cases[i].max, &line), cases[i].r);
		assert_true(sv_eqs(line, cases[i].line));
	}
	assert_false(stream_has_input(p.s));
	(void)shutdown(p.peer, SHUT_WR);
	assert_int_equal(stream_read_line(p.s, 10, &line), STREAM_EOF);
	assert_int_equal(stream_read_line(p.s, 10, &line), STREAM_EOF);
	pair_close(&p);
}

static void
test_lines(void **state)
{
	run(lines_fiber, NULL);
}

/* A line that comes in pieces, far longer than the limit, and the line behind it. */
static void
slow_writer(void *arg)
{
	struct pair *p = arg;
	char block[10000];

	memset(block, 'a', sizeof(block));
	for (int i = 0; i < 30; i++) {
		feed(p, block, sizeof(block));
		fiber_yield();
	}
	feed(p, "\nafter\n", 7);
}

static void
long_fiber(void *arg)
{
	struct sv line;
	struct pair p;

	pair_open(&p);
	assert_non_null(fiber_spawn("writer", slow_writer, &p));
	assert_int_equal(stream_read_line(p.s, 1000, &line), STREAM_TOO_LONG);
	assert_int_equal(line.len, 1000);
	for (size_t i = 0; i < line.len; i++)
		assert_int_equal(line.p[i], 'a');
	assert_int_equal(stream_read_line(p.s, 1000, &line), STREAM_OK);
	assert_true(sv_eqs(line, "after\n"));
	assert_int_equal(stream_bytes_in(p.s), 300007);
	assert_non_null(fiber_spawn("writer", slow_writer, &p));
	assert_int_equal(stream_read_line(p.s, 1000000, &line), STREAM_OK);
	assert_int_equal(line.len, 300001);
	pair_close(&p);
}

static void
test_long(void **state)
{
	run(long_fiber, NULL);
}

/* ---- deadlines and cancels ---- */

static void
timeout_fiber(void *arg)
{
	struct sv line;
	struct pair p;
	char block[65536];
	enum stream_result r;

	pair_open(&p);
	stream_set_timeout(p.s, 50, 50);
	feed(&p, "half", 4);
	assert_int_equal(stream_read_line(p.s, 100, &line), STREAM_TIMEOUT);
	feed(&p, " line\n", 6);
	assert_int_equal(stream_read_line(p.s, 100, &line), STREAM_OK);
	assert_true(sv_eqs(line, "half line\n"));
	assert_int_equal(stream_wait_input(p.s, FIBER_NOW_PLUS(20)), STREAM_TIMEOUT);
	feed(&p, "x", 1);
	assert_int_equal(stream_wait_input(p.s, FIBER_NOW_PLUS(30000)), STREAM_OK);
	assert_false(stream_has_input(p.s));
	assert_true(stream_input_ready(p.s));
	assert_true(stream_has_input(p.s));
	/* Nobody reads: the socket fills up, and the write gives up. */
	memset(block, 'b', sizeof(block));
	do
		r = stream_write(p.s, sv_from(block, sizeof(block)));
	while (r == STREAM_OK);
	assert_int_equal(r, STREAM_TIMEOUT);
	assert_int_equal(stream_write(p.s, sv_from(block, 1)), STREAM_ERROR);
	pair_close(&p);
}

static void
test_timeout(void **state)
{
	run(timeout_fiber, NULL);
}

static void
cancelled_fiber(void *arg)
{
	struct pair *p = arg;
	struct sv line;

	assert_int_equal(stream_read_line(p->s, 100, &line), STREAM_CANCELLED);
	pair_close(p);
}

static void
cancel_fiber(void *arg)
{
	struct fiber *f = fiber_spawn("victim", cancelled_fiber, arg);

	(void)fiber_sleep(5);
	fiber_cancel(f);
}

static void
test_cancel(void **state)
{
	struct err err = ERR_INIT;
	struct pair p;

	assert_int_equal(fiber_init(&err), 0);
	pair_open(&p);
	assert_non_null(fiber_spawn("test", cancel_fiber, &p));
	fiber_run();
	fiber_fini();
	assert_null(p.s);
}

/* ---- output ---- */

static void
peer_gone_fiber(void *arg)
{
	struct sv line;
	struct pair p;

	pair_open(&p);
	(void)close(p.peer);
	assert_int_equal(stream_printf(p.s, "%d lost\r\n", 421), STREAM_OK);
	assert_int_equal(stream_flush(p.s), STREAM_ERROR);
	assert_non_null(strstr(stream_error(p.s), "write: "));
	assert_int_equal(stream_read_line(p.s, 10, &line), STREAM_EOF);
	p.peer = dup(0);
	pair_close(&p);
}

static void
output_fiber(void *arg)
{
	char buf[200];
	struct sv line;
	struct pair p;
	ssize_t n;

	pair_open(&p);
	feed(&p, "a\nb\n", 4);
	/* Answers wait as long as commands are there, and go together. */
	assert_int_equal(stream_read_line(p.s, 10, &line), STREAM_OK);
	assert_int_equal(stream_printf(p.s, "one\n"), STREAM_OK);
	assert_int_equal(stream_read_line(p.s, 10, &line), STREAM_OK);
	assert_int_equal(stream_write(p.s, SV_LIT("two\n")), STREAM_OK);
	assert_int_equal(stream_pending(p.s), 8);
	assert_int_equal(recv(p.peer, buf, sizeof(buf), MSG_DONTWAIT), -1);
	stream_set_timeout(p.s, 1, 1000);
	assert_int_equal(stream_read_line(p.s, 10, &line), STREAM_TIMEOUT);
	n = recv(p.peer, buf, sizeof(buf), MSG_DONTWAIT);
	assert_int_equal(n, 8);
	assert_memory_equal(buf, "one\ntwo\n", 8);
	assert_int_equal(stream_bytes_out(p.s), 8);
	assert_int_equal(stream_write(p.s, SV_LIT("bye\n")), STREAM_OK);
	stream_close(&p.s);
	n = recv(p.peer, buf, sizeof(buf), 0);
	assert_int_equal(n, 4);
	(void)close(p.peer);
	peer_gone_fiber(NULL);
}

static void
test_output(void **state)
{
	run(output_fiber, NULL);
}

/* ---- files, detaching, trace ---- */

static size_t drained;
static char	drained_head[64];

static void
drain_fiber(void *arg)
{
	struct stream *s = stream_new(*(int *)arg);
	struct sv piece;

	drained = 0;
	while (stream_read(s, 100000, &piece) == STREAM_OK) {
		for (size_t i = 0; i < piece.len; i++, drained++)
			if (drained < sizeof(drained_head))
				drained_head[drained] = piece.p[i];
	}
	stream_close(&s);
}

static void
file_fiber(void *arg)
{
	char name[] = "/tmp/vpost-test-XXXXXX", *big = xmalloc(500000);
	int fd = mkstemp(name);
	struct pair p;

	assert_true(fd >= 0);
	(void)unlink(name);
	memset(big, 'z', 500000);
	memcpy(big, "start", 5);
	assert_int_equal(write(fd, big, 500000), 500000);
	free(big);
	pair_open(&p);
	assert_non_null(fiber_spawn("drain", drain_fiber, &p.peer));
	assert_int_equal(stream_write(p.s, SV_LIT("HEAD ")), STREAM_OK);
	assert_int_equal(stream_send_file(p.s, fd, 0, 500000), STREAM_OK);
	assert_int_equal(stream_send_file(p.s, fd, 1, 4), STREAM_OK);
	assert_int_equal(stream_write(p.s, SV_LIT("TAIL")), STREAM_OK);
	stream_close(&p.s);
	(void)fiber_sleep(50);
	assert_int_equal(drained, 5 + 500000 + 4 + 4);
	assert_memory_equal(drained_head, "HEAD startzzz", 13);
	pair_open(&p);
	assert_int_equal(stream_send_file(p.s, fd, 499990, 11), STREAM_ERROR);
	pair_close(&p);
	(void)close(fd);
}

static void
test_file(void **state)
{
	run(file_fiber, NULL);
}

static char	traced[200];

static void
trace(void *arg, bool out, struct sv bytes)
{
	size_t n = strlen(traced);

	(void)snprintf(traced + n, sizeof(traced) - n, "%c" SV_FMT, out ? '>' : '<', SV_ARG(bytes));
}

static void
misc_fiber(void *arg)
{
	struct sb sb = SB_INIT(100);
	struct sv piece;
	struct pair p;
	int fd;

	pair_open(&p);
	traced[0] = '\0';
	stream_set_trace(p.s, trace, NULL);
	feed(&p, "abcdef", 6);
	assert_int_equal(stream_peek(p.s, &piece), STREAM_OK);
	assert_true(sv_eqs(piece, "abcdef"));
	stream_skip(p.s, 1);
	assert_int_equal(stream_read_full(p.s, 3, &sb), STREAM_OK);
	assert_true(sv_eqs(sb_sv(&sb), "bcd"));
	assert_int_equal(stream_read(p.s, 1, &piece), STREAM_OK);
	assert_true(sv_eqs(piece, "e"));
	assert_int_equal(stream_read(p.s, 10, &piece), STREAM_OK);
	assert_true(sv_eqs(piece, "f"));
	assert_int_equal(stream_write(p.s, SV_LIT("ok")), STREAM_OK);
	assert_int_equal(stream_flush(p.s), STREAM_OK);
	assert_string_equal(traced, "<abcdef>ok");
	sb_free(&sb);
	fd = stream_detach(&p.s);
	assert_null(p.s);
	assert_int_equal(close(fd), 0);
	(void)close(p.peer);
}

static void
test_misc(void **state)
{
	run(misc_fiber, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_misc),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
