/* SPDX-License-Identifier: BSD-2-Clause */
/* Clocks: one conversion each, so that nobody else does arithmetic with timespecs. */
#include <errno.h>
#include <time.h>

#include "os/time.h"

static int64_t
clock_us(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return ((int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

int64_t
os_mono_ms(void)
{
	return (clock_us(CLOCK_MONOTONIC) / 1000);
}

int64_t
os_mono_us(void)
{
	return (clock_us(CLOCK_MONOTONIC));
}

int64_t
os_thread_us(void)
{
	return (clock_us(CLOCK_THREAD_CPUTIME_ID));
}

int64_t
os_wall_us(void)
{
	return (clock_us(CLOCK_REALTIME));
}

void
os_sleep_ms(int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	while (nanosleep(&ts, &ts) == -1 && errno == EINTR)
		continue;
}
