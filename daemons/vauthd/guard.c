/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Against guessing: each wrong password of an address doubles the time until the
 * answer, up to 15 seconds, and after auth_ban_failures of them within auth_ban_time the
 * address is turned away for as long.  An IPv6 address counts by its /64.  A right
 * password takes the delay back, not the count: else who owns one account could guess
 * at all others without end.
 */
#include <stdlib.h>

#include "base/arena.h"
#include "base/hash.h"
#include "fiber/fiber.h"
#include "log/log.h"
#include "vauthd.h"

#define DELAY_MAX	15000
#define ADDRESSES_MAX	100000

struct record {
	int64_t		 first;		/* of the failures counted */
	int64_t		 last;
	int64_t		 until;		/* banned; 0 if not */
	int64_t		 delay;		/* of the next failure */
	int64_t		 failures;
};

struct guard {
	int64_t		 delay;		/* milliseconds */
	int64_t		 ban_failures;
	int64_t		 ban_time;
	struct hash	*h;
};

struct guard *
guard_new(const struct box *b)
{
	struct guard *g = xcalloc(1, sizeof(*g));

	g->delay = b->auth_delay * 1000;
	g->ban_failures = b->auth_ban_failures;
	g->ban_time = b->auth_ban_time * 1000;
	g->h = hash_new();
	return (g);
}

static struct sv
key_of(const struct net_addr *a)
{
	return (sv_from((const char *)a->ip, a->family == 4 ? 4 : 8));
}

static bool
over(const struct guard *g, const struct record *r, int64_t now)
{
	return (r->until < now && r->last + g->ban_time < now);
}

static struct record *
find(struct guard *g, const struct net_addr *addr)
{
	struct record *r = hash_get(g->h, key_of(addr));

	if (r != NULL && over(g, r, fiber_now())) {
		free(hash_del(g->h, key_of(addr)));
		r = NULL;
	}
	return (r);
}

bool
guard_banned(struct guard *g, const struct net_addr *addr)
{
	struct record *r = find(g, addr);

	return (r != NULL && r->until > fiber_now());
}

static void
sweep(struct guard *g)
{
	int64_t now = fiber_now();
	size_t pos = 0;
	struct sv key;
	void *value;

	while (hash_next(g->h, &pos, &key, &value))
		if (over(g, value, now))
			free(hash_del(g->h, key));
	/* Still full of fresh ones: an attack from everywhere, where counting by address is no help. */
	if (hash_count(g->h) >= ADDRESSES_MAX) {
		hash_free(&g->h, free);
		g->h = hash_new();
	}
}

int64_t
guard_wrong(struct guard *g, const struct net_addr *addr)
{
	struct record *r = find(g, addr);
	int64_t now = fiber_now(), delay;
	char text[NET_ADDR_TEXT_MAX];

	if (addr->family == 0)
		return (g->delay);
	if (r == NULL) {
		if (hash_count(g->h) >= ADDRESSES_MAX)
			sweep(g);
		r = xcalloc(1, sizeof(*r));
		r->first = now;
		(void)hash_set(g->h, key_of(addr), r);
	}
	if (now - r->first > g->ban_time) {
		r->first = now;
		r->failures = 0;
	}
	r->last = now;
	r->failures++;
	if (r->delay == 0)
		r->delay = g->delay;
	delay = r->delay;
	r->delay = r->delay * 2 > DELAY_MAX ? DELAY_MAX : r->delay * 2;
	if (g->ban_failures > 0 && r->failures >= g->ban_failures && r->until < now) {
		r->until = now + g->ban_time;
		log_warn(NULL, "peer=%s banned=%llds failures=%lld too many wrong passwords", net_addr_text(addr, text),
		    (long long)(g->ban_time / 1000), (long long)r->failures);
	}
	return (delay > DELAY_MAX ? DELAY_MAX : delay);
}

void
guard_right(struct guard *g, const struct net_addr *addr)
{
	struct record *r = find(g, addr);

	if (r != NULL)
		r->delay = 0;
}
