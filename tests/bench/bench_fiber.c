/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What fibers cost: a switch, a turn over a descriptor, a job on a thread, the
 * memory of a parked one.  Prints figures; asserts none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fiber/fiber.h"
#include "os/fd.h"
#include "os/time.h"

#define SWITCHES	1000000
#define TURNS		100000
#define PARKED		1000

static void
yielder(void *arg)
{
	for (int i = 0; i < SWITCHES / 2; i++)
		fiber_yield();
}

static void
token_ring(void *arg)
{
	int *p = arg;
	struct fiber_io *io = fiber_io_new(p[0]);
	char c;

	for (int i = 0; i < TURNS / 2; i++) {
		(void)fiber_io_wait(io, FIBER_READ, FIBER_NOW_PLUS(300000));
		if (read(p[0], &c, 1) != 1 || write(p[1], &c, 1) != 1)
			abort();
	}
	fiber_io_close(&io);
}

static void
nothing(void *arg)
{
}

static void
jobs(void *arg)
{
	for (int i = 0; i < 10000; i++)
		fiber_offload(nothing, NULL);
}

static void
parked(void *arg)
{
	volatile char frame[2000];

	memset((void *)frame, 1, sizeof(frame));
	(void)fiber_park(FIBER_FOREVER);
}

static long
pss_kb(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	long kb = -1;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "Pss: %ld", &kb) == 1)
			break;
	if (f != NULL)
		(void)fclose(f);
	return (kb);
}

static void
measure(void *arg)
{
	long before = pss_kb();

	for (int i = 0; i < PARKED; i++)
		(void)fiber_spawn("parked", parked, NULL);
	fiber_yield();
	printf("memory of a parked fiber, fresh:  %.2f KiB\n", (double)(pss_kb() - before) / PARKED);
	(void)fiber_sleep(3500);
	printf("memory of a parked fiber, swept:  %.2f KiB\n", (double)(pss_kb() - before) / PARKED);
	fiber_stop();
}

static double
timed(void)
{
	int64_t t0 = os_mono_us();

	fiber_run();
	return ((double)(os_mono_us() - t0) * 1000);
}

int
main(void)
{
	struct err err = ERR_INIT;
	int a[2], b[2], r1[2], r2[2];

	if (fiber_init(&err) == -1 || os_socketpair(a) == -1 || os_socketpair(b) == -1)
		return (1);
	(void)fiber_spawn("y", yielder, NULL);
	(void)fiber_spawn("y", yielder, NULL);
	printf("switch out and in again:          %.0f ns\n", timed() / SWITCHES);
	r1[0] = a[0], r1[1] = b[0];
	r2[0] = b[1], r2[1] = a[1];
	(void)fiber_spawn("r", token_ring, r1);
	(void)fiber_spawn("r", token_ring, r2);
	if (write(a[1], "x", 1) != 1)
		return (1);
	printf("wait, read, write over a socket:  %.0f ns\n", timed() / TURNS);
	(void)fiber_spawn("j", jobs, NULL);
	printf("job on a thread:                  %.0f ns\n", timed() / 10000);
	(void)fiber_spawn("m", measure, NULL);
	fiber_run();
	return (0);
}
