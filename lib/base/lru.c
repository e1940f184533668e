/* SPDX-License-Identifier: BSD-2-Clause */
/* What was asked for lately: see lru.h. */
#include "base/lru.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/vec.h"

struct entry {
	struct sv	 key;		/* heap */
	void		*value;
	uint64_t	 used;
};

struct lru {
	VEC(struct entry) v;
	size_t		 max;
	void		(*fn)(void *value);
	uint64_t	 now;
};

struct lru *
lru_new(size_t max, void (*fn)(void *value))
{
	struct lru *l = xcalloc(1, sizeof(*l));

	assert(max > 0 && fn != NULL);
	l->max = max;
	l->fn = fn;
	return (l);
}

static void
drop(struct lru *l, size_t i)
{
	l->fn(l->v.p[i].value);
	free((void *)(uintptr_t)l->v.p[i].key.p);
	vec_remove(&l->v, i);
}

void
lru_free(struct lru **lp)
{
	struct lru *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	while (l->v.len > 0)
		drop(l, l->v.len - 1);
	vec_free(&l->v);
	free(l);
}

void *
lru_get(struct lru *l, struct sv key)
{
	for (size_t i = 0; i < l->v.len; i++)
		if (sv_eq(l->v.p[i].key, key)) {
			l->v.p[i].used = ++l->now;
			return (l->v.p[i].value);
		}
	return (NULL);
}

void
lru_put(struct lru *l, struct sv key, void *value)
{
	size_t oldest = 0;

	for (size_t i = 1; i < l->v.len; i++)
		if (l->v.p[i].used < l->v.p[oldest].used)
			oldest = i;
	if (l->v.len == l->max)
		drop(l, oldest);
	vec_push(&l->v, ((struct entry){ .key = sv_from(xstrndup(key.p, key.len), key.len), .value = value, .used = ++l->now }));
}
