/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Message ids in the form of Exim 4.96, XXXXXX-YYYYYY-ZZ in base 62: seconds, a number
 * of the process, a part of the second.  Exim has the process id as YYYYYY and sleeps
 * until the clock's next tick so that one process never uses an id twice.  Here YYYYYY
 * is process id * 8,192 + a counter (both fit: 2^22 * 2^13 < 62^6), and where 8,192 ids
 * were not enough for a tick of 1/2,000 s, ticks to come are used early.  With a number of the host ZZ is
 * number * 200 + a tick of 1/200 s, as Exim has it: ids of two hosts then always differ.
 */
#include <unistd.h>

#include "os/time.h"
#include "spool/envelope.h"
#include "spool/hostid.h"

#define TICKS		2000		/* a second; ZZ holds up to 3,844 */
#define HOST_TICKS	200
#define PER_TICK	8192

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static void
put62(char *p, int n, uint64_t v)
{
	while (n-- > 0) {
		p[n] = digits[v % 62];
		v /= 62;
	}
}

static int
value62(char c)
{
	if (c >= '0' && c <= '9')
		return (c - '0');
	if (c >= 'A' && c <= 'Z')
		return (c - 'A' + 10);
	if (c >= 'a' && c <= 'z')
		return (c - 'a' + 36);
	return (-1);
}

static int64_t host = -1;

void
spool_id_host(int64_t number)
{
	host = number > SPOOL_HOST_MAX ? -1 : number;
}

void
spool_id_new(char id[SPOOL_ID_SIZE])
{
	static int64_t last_tick;	/* never goes back, whatever the clock does */
	static unsigned counter;
	const int64_t ticks = host < 0 ? TICKS : HOST_TICKS;
	int64_t tick = os_wall_us() / (1000000 / ticks);

	if (tick > last_tick) {
		last_tick = tick;
		counter = 0;
	} else if (++counter == PER_TICK) {
		last_tick++;
		counter = 0;
	}
	put62(id, 6, (uint64_t)(last_tick / ticks));
	id[6] = '-';
	put62(id + 7, 6, ((uint64_t)getpid() & 0x3fffff) * PER_TICK + counter);
	id[13] = '-';
	put62(id + 14, 2, (uint64_t)(last_tick % ticks + (host < 0 ? 0 : host * HOST_TICKS)));
	id[SPOOL_ID_LEN] = '\0';
}

bool
spool_id_valid(struct sv v)
{
	if (v.len != SPOOL_ID_LEN || v.p[6] != '-' || v.p[13] != '-')
		return (false);
	for (size_t i = 0; i < SPOOL_ID_LEN; i++)
		if (i != 6 && i != 13 && value62(v.p[i]) == -1)
			return (false);
	return (true);
}

int64_t
spool_id_time(struct sv v)
{
	int64_t t = 0;

	if (!spool_id_valid(v))
		return (0);
	for (size_t i = 0; i < 6; i++)
		t = t * 62 + value62(v.p[i]);
	return (t);
}
