/* SPDX-License-Identifier: BSD-2-Clause */
/* Fibers: order, wakes, deadlines, cancels, descriptors, threads, signals, fork. */
#include <sys/wait.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fiber/fiber.h"
#include "os/fd.h"
#include "os/time.h"

#define S(text) (void *)(uintptr_t)(text)

static char trace[512];

static void
note(const char *s)
{
	size_t n = strlen(trace);

	(void)snprintf(trace + n, sizeof(trace) - n, "%s ", s);
}

static int
setup(void **state)
{
	struct err err = ERR_INIT;

	trace[0] = '\0';
	return (fiber_init(&err));
}

static int
teardown(void **state)
{
	fiber_fini();
	return (0);
}

static void
count_three(void *arg)
{
	for (int i = 0; i < 3; i++) {
		note(arg);
		fiber_yield();
	}
}

static void
test_order(void **state)
{
	(void)fiber_spawn("a", count_three, S("a"));
	(void)fiber_spawn("b", count_three, S("b"));
	fiber_run();
	assert_string_equal(trace, "a b a b a b ");
	assert_int_equal(fiber_count(), 0);
}

static void
child_note(void *arg)
{
	note(arg);
}

static void
spawner(void *arg)
{
	for (int i = 0; i < 5; i++)
		assert_non_null(fiber_spawn("c", child_note, S("c")));
	note("s");
	fiber_yield();
	note("t");
}

static void
test_spawn_inside(void **state)
{
	(void)fiber_spawn("s", spawner, NULL);
	fiber_run();
	assert_string_equal(trace, "s c c c c c t ");
}

struct parker {
	struct fiber	*f;
	enum fiber_wait	 got;
	int64_t		 ms;
};

static void
parker(void *arg)
{
	struct parker *p = arg;

	p->got = fiber_park(p->ms == 0 ? FIBER_FOREVER : FIBER_NOW_PLUS(p->ms));
}

static void
waker(void *arg)
{
	struct parker *p = arg;

	fiber_wake(p[0].f);
	fiber_cancel(p[1].f);
	assert_int_equal(fiber_sleep(60), FIBER_READY);
	assert_int_equal(p[2].got, FIBER_TIMEOUT);
}

static void
test_park(void **state)
{
	struct parker p[3] = { { .got = 99 }, { .got = 99 }, { .got = 99, .ms = 20 } };
	int64_t t0 = os_mono_ms();

	for (int i = 0; i < 3; i++)
		p[i].f = fiber_spawn("p", parker, &p[i]);
	(void)fiber_spawn("w", waker, p);
	fiber_run();
	assert_int_equal(p[0].got, FIBER_READY);
	assert_int_equal(p[1].got, FIBER_CANCELLED);
	assert_true(os_mono_ms() - t0 >= 59);
}

static void
early_wake(void *arg)
{
	fiber_wake(fiber_self());
	assert_int_equal(fiber_park(FIBER_FOREVER), FIBER_READY);
	assert_int_equal(fiber_park(FIBER_NOW_PLUS(5)), FIBER_TIMEOUT);
	fiber_cancel(fiber_self());
	assert_true(fiber_cancelled());
	assert_int_equal(fiber_park(FIBER_FOREVER), FIBER_CANCELLED);
	assert_int_equal(fiber_sleep(1000), FIBER_CANCELLED);
	assert_int_equal(fiber_wait_fd(0, FIBER_READ, FIBER_FOREVER), FIBER_CANCELLED);
	fiber_set_local(trace);
	assert_ptr_equal(fiber_local(), trace);
	note("done");
}

static void
test_early_wake(void **state)
{
	(void)fiber_spawn("e", early_wake, NULL);
	fiber_run();
	assert_string_equal(trace, "done ");
}

static struct fiber_waiters waiters;

static void
wait_list(void *arg)
{
	char buf[16];
	enum fiber_wait r = fiber_waiters_wait(&waiters, FIBER_NOW_PLUS(arg == NULL ? 30 : 5000));

	(void)snprintf(buf, sizeof(buf), "%d", r);
	note(buf);
}

static void
wake_list(void *arg)
{
	note("one");
	fiber_waiters_wake_one(&waiters);
	(void)fiber_sleep(60);
	note("all");
	fiber_waiters_wake_all(&waiters);
	fiber_waiters_wake_all(&waiters);
	fiber_waiters_wake_one(&waiters);
}

static void
test_waiters(void **state)
{
	for (int i = 0; i < 3; i++)
		(void)fiber_spawn("x", wait_list, S(""));
	(void)fiber_spawn("x", wait_list, NULL);
	(void)fiber_spawn("y", wake_list, NULL);
	fiber_run();
	assert_string_equal(trace, "one 0 1 all 0 0 ");
	assert_null(waiters.head);
	assert_null(waiters.tail);
}

static int pair[2];

static void
ping(void *arg)
{
	struct fiber_io *io = fiber_io_new(pair[0]);
	char c = 0;

	for (int i = 0; i < 1000; i++) {
		assert_int_equal(write(pair[0], &c, 1), 1);
		assert_int_equal(fiber_io_wait(io, FIBER_READ, FIBER_NOW_PLUS(30000)), FIBER_READY);
		assert_int_equal(read(pair[0], &c, 1), 1);
		if (i % 100 == 0)
			assert_int_equal(fiber_io_wait(io, FIBER_WRITE, FIBER_NOW_PLUS(30000)), FIBER_READY);
	}
	assert_int_equal(fiber_io_wait(io, FIBER_READ, FIBER_NOW_PLUS(10)), FIBER_TIMEOUT);
	fiber_io_close(&io);
	(void)close(pair[0]);
}

static void
pong(void *arg)
{
	char c;

	for (;;) {
		assert_int_equal(fiber_wait_fd(pair[1], FIBER_READ, FIBER_NOW_PLUS(30000)), FIBER_READY);
		if (read(pair[1], &c, 1) != 1)
			break;
		assert_int_equal(write(pair[1], &c, 1), 1);
	}
	note("eof");
	(void)close(pair[1]);
}

static void
test_descriptors(void **state)
{
	assert_int_equal(os_socketpair(pair), 0);
	(void)fiber_spawn("ping", ping, NULL);
	(void)fiber_spawn("pong", pong, NULL);
	fiber_run();
	assert_string_equal(trace, "eof ");
}

/* A descriptor that stays readable while nobody waits must not spin, and be seen again later. */
static void
idle_reader(void *arg)
{
	struct fiber_io *io = fiber_io_new(pair[0]);

	assert_int_equal(write(pair[1], "abc", 3), 3);
	assert_int_equal(fiber_io_wait(io, FIBER_READ, FIBER_FOREVER), FIBER_READY);
	assert_int_equal(fiber_sleep(20), FIBER_READY);
	assert_int_equal(fiber_io_wait(io, FIBER_READ, FIBER_FOREVER), FIBER_READY);
	fiber_io_close(&io);
	fiber_io_close(&io);
}

static void
test_level(void **state)
{
	assert_int_equal(os_socketpair(pair), 0);
	(void)fiber_spawn("r", idle_reader, NULL);
	fiber_run();
	(void)close(pair[0]);
	(void)close(pair[1]);
}

static void
job(void *arg)
{
	int *n = arg;

	os_sleep_ms(5);
	(*n)++;
}

static void
offloader(void *arg)
{
	int n = 0;

	for (int i = 0; i < 4; i++)
		fiber_offload(job, &n);
	assert_int_equal(n, 4);
	*(int *)arg += n;
}

static void
test_offload(void **state)
{
	int total = 0;
	struct fiber *f = NULL;

	for (int i = 0; i < 20; i++)
		f = fiber_spawn("o", offloader, &total);
	fiber_cancel(f);
	fiber_run();
	assert_int_equal(total, 80);
}

static void
on_signal(void *arg, int sig)
{
	note(sig == SIGUSR1 ? "usr1" : "other");
	fiber_wake(*(struct fiber **)arg);
}

static void
signalled(void *arg)
{
	(void)raise(SIGUSR1);
	assert_int_equal(fiber_park(FIBER_NOW_PLUS(30000)), FIBER_READY);
	note("woken");
}

static void
test_signal(void **state)
{
	struct err err = ERR_INIT;
	struct fiber *f = fiber_spawn("s", signalled, NULL);

	assert_int_equal(fiber_signal(SIGUSR1, on_signal, &f, &err), 0);
	fiber_run();
	assert_string_equal(trace, "usr1 woken ");
}

static void
turn_end(void *arg)
{
	(*(int *)arg)++;
}

static void
test_turn_end(void **state)
{
	int n = 0;

	fiber_on_turn_end(turn_end, &n);
	fiber_on_turn_end(turn_end, &n);
	(void)fiber_spawn("a", count_three, S("a"));
	fiber_run();
	assert_in_range(n, 4, 5);
}

static void
test_limit(void **state)
{
	fiber_set_limit(2);
	assert_non_null(fiber_spawn("a", child_note, S("a")));
	assert_non_null(fiber_spawn("a", child_note, S("a")));
	assert_null(fiber_spawn("a", child_note, S("a")));
	fiber_set_limit(30000);
	fiber_run();
}

static void
stopper(void *arg)
{
	fiber_stop();
	(void)fiber_park(FIBER_FOREVER);
}

static void
forked(void *arg)
{
	struct err err = ERR_INIT;
	int st;
	pid_t pid = fork();

	if (pid == 0) {
		/* The child has only this fiber, and a loop of its own. */
		if (fiber_reinit(&err) == -1 || fiber_count() != 1 || fiber_sleep(5) != FIBER_READY)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_int_equal(st, 0);
	assert_int_equal(fiber_sleep(5), FIBER_READY);
	note("parent");
	fiber_stop();
}

static void
test_fork_and_stop(void **state)
{
	struct parker p = { .got = 99 };

	(void)fiber_spawn("x", stopper, NULL);
	fiber_run();
	assert_int_equal(fiber_count(), 1);
	(void)fiber_spawn("p", parker, &p);
	(void)fiber_spawn("f", forked, NULL);
	fiber_run();
	assert_string_equal(trace, "parent ");
	assert_int_equal(p.got, 99);
}

/* Many with random deadlines: each wakes neither early nor never. */
static void
random_sleeper(void *arg)
{
	unsigned *seed = arg;

	for (int i = 0; i < 20; i++) {
		int ms;
		int64_t t0 = fiber_now();

		*seed = *seed * 1103515245 + 12345;
		ms = (int)(*seed >> 16) % 30;
		if (*seed & 0x100000)
			assert_int_equal(fiber_park(FIBER_NOW_PLUS(ms + 1)), FIBER_TIMEOUT);
		else
			assert_int_equal(fiber_sleep(ms), FIBER_READY);
		assert_true(fiber_now() - t0 >= ms);
	}
}

static void
test_deadlines(void **state)
{
	static unsigned seeds[500];

	for (unsigned i = 0; i < 500; i++) {
		seeds[i] = i * 7919 + 1;
		assert_non_null(fiber_spawn("r", random_sleeper, &seeds[i]));
	}
	fiber_run();
	assert_int_equal(fiber_count(), 0);
}

static void
deep(void *arg)
{
	volatile char big[100000];

	memset((void *)big, 1, sizeof(big));
	*(int *)arg += big[99999];
}

static void
trimmed(void *arg)
{
	volatile char keep[3000];
	int n = 0;

	memset((void *)keep, 7, sizeof(keep));
	deep(&n);
	(void)fiber_sleep(3200);
	for (size_t i = 0; i < sizeof(keep); i++)
		assert_int_equal(keep[i], 7);
	deep(&n);
	assert_int_equal(n, 2);
	note("kept");
}

static void
test_trim(void **state)
{
	(void)fiber_spawn("t", trimmed, NULL);
	fiber_run();
	assert_string_equal(trace, "kept ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spawn_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_park, setup, teardown),
		cmocka_unit_test_setup_teardown(test_early_wake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_level, setup, teardown),
		cmocka_unit_test_setup_teardown(test_offload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_turn_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fork_and_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadlines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trim, setup, teardown),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
