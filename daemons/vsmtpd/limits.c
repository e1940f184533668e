/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections by client address, in memory that the workers share.  Each worker writes
 * its own table only, so that one that dies leaves nothing behind once it is started anew.
 * Addresses fall into two sets of counters by two hashes; the smaller count is taken, so
 * that a stranger is counted along only where both collide.
 */
#include <sys/mman.h>
#include <sys/random.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "limits.h"

#define SLOTS	8192

struct table {
	uint32_t	 total;
	uint16_t	 slot[2][SLOTS];
};

struct limits {
	struct table	*tables;	/* one per worker */
	unsigned	 workers;
	uint64_t	 key;
};

struct limits *
limits_new(unsigned workers, struct err *err)
{
	struct limits *l = xcalloc(1, sizeof(*l));

	l->workers = workers;
	if (getrandom(&l->key, sizeof(l->key), 0) != sizeof(l->key))
		l->key = (uintptr_t)l;
	l->tables = mmap(NULL, workers * sizeof(*l->tables), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (l->tables == MAP_FAILED) {
		(void)err_sys(err, "memory shared by the workers");
		free(l);
		return (NULL);
	}
	return (l);
}

void
limits_free(struct limits **lp)
{
	if (*lp == NULL)
		return;
	(void)munmap((*lp)->tables, (*lp)->workers * sizeof(struct table));
	free(*lp);
	*lp = NULL;
}

/* IPv6 clients are counted by /64: a host has as many addresses as it likes. */
static void
place(const struct limits *l, const struct net_addr *a, unsigned *i, unsigned *k)
{
	uint64_t h = l->key ^ UINT64_C(0xcbf29ce484222325);
	unsigned n = a->family == 4 ? 4 : 8;

	for (unsigned j = 0; j < n; j++)
		h = (h ^ a->ip[j]) * UINT64_C(0x100000001b3);
	h = (h ^ (h >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
	h ^= h >> 32;
	*i = (unsigned)(h % SLOTS);
	*k = (unsigned)((h >> 32) * UINT64_C(0x9e3779b97f4a7c15) >> 32) % SLOTS;
}

void
limits_reset(struct limits *l, unsigned w)
{
	memset(&l->tables[w % l->workers], 0, sizeof(struct table));
}

static void
change(uint16_t *p, int by)
{
	uint16_t n = *p;

	if ((by > 0 && n == UINT16_MAX) || (by < 0 && n == 0))
		return;
	__atomic_store_n(p, (uint16_t)(n + by), __ATOMIC_RELAXED);
}

static void
add(struct limits *l, unsigned w, const struct net_addr *a, int by)
{
	struct table *t = &l->tables[w % l->workers];
	unsigned i, k;

	place(l, a, &i, &k);
	change(&t->slot[0][i], by);
	change(&t->slot[1][k], by);
	__atomic_store_n(&t->total, t->total + (uint32_t)by, __ATOMIC_RELAXED);
}

void
limits_add(struct limits *l, unsigned w, const struct net_addr *a)
{
	add(l, w, a, 1);
}

void
limits_sub(struct limits *l, unsigned w, const struct net_addr *a)
{
	add(l, w, a, -1);
}

size_t
limits_count(const struct limits *l, const struct net_addr *a)
{
	size_t all = 0, one = 0, two = 0;
	unsigned i = 0, k = 0;

	if (a != NULL)
		place(l, a, &i, &k);
	for (unsigned w = 0; w < l->workers; w++) {
		all += __atomic_load_n(&l->tables[w].total, __ATOMIC_RELAXED);
		one += __atomic_load_n(&l->tables[w].slot[0][i], __ATOMIC_RELAXED);
		two += __atomic_load_n(&l->tables[w].slot[1][k], __ATOMIC_RELAXED);
	}
	return (a == NULL ? all : one < two ? one : two);
}
