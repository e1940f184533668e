/* SPDX-License-Identifier: BSD-2-Clause */
/* A skip list.  How many levels an entry has follows from the hash of its key, whose seed nobody outside knows. */
#include "base/order.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/hash.h"

#define LEVELS_MAX	16	/* a quarter of each level is in the next: enough for 4 ^ 16 entries */

struct node {
	struct order_entry e;
	struct node	*up[];		/* the next of levels 1 and above; that of level 0 is e.next */
};

struct order {
	struct node	*head[LEVELS_MAX];
	size_t		 count;
};

static unsigned
levels_of(struct sv key)
{
	uint64_t h = hash_bytes(key.p, key.len);
	unsigned n = 1;

	while (n < LEVELS_MAX && (h & 3) == 0) {
		h >>= 2;
		n++;
	}
	return (n);
}

static struct node *
next_of(const struct order *o, const struct node *n, unsigned level)
{
	if (n == NULL)
		return (o->head[level]);
	return (level == 0 ? (struct node *)(void *)n->e.next : n->up[level - 1]);
}

static void
set_next(struct order *o, struct node *n, unsigned level, struct node *to)
{
	if (n == NULL)
		o->head[level] = to;
	else if (level == 0)
		n->e.next = to == NULL ? NULL : &to->e;
	else
		n->up[level - 1] = to;
}

/* On each level the last node whose key is less than <key> (<upto>: or equal); NULL: the head. */
static void
find(const struct order *o, struct sv key, bool upto, struct node *before[LEVELS_MAX])
{
	struct node *at = NULL, *n;

	for (unsigned level = LEVELS_MAX; level-- > 0;) {
		while ((n = next_of(o, at, level)) != NULL) {
			int c = sv_cmp(n->e.key, key);

			if (c > 0 || (c == 0 && !upto))
				break;
			at = n;
		}
		before[level] = at;
	}
}

struct order *
order_new(void)
{
	return (xcalloc(1, sizeof(struct order)));
}

void
order_free(struct order **op)
{
	struct order *o = *op;
	struct node *n, *next;

	if (o == NULL)
		return;
	*op = NULL;
	for (n = o->head[0]; n != NULL; n = next) {
		next = next_of(o, n, 0);
		free(n);
	}
	free(o);
}

bool
order_add(struct order *o, struct sv key, void *value)
{
	struct node *before[LEVELS_MAX], *n;
	unsigned levels = levels_of(key);

	find(o, key, false, before);
	n = next_of(o, before[0], 0);
	if (n != NULL && sv_eq(n->e.key, key))
		return (false);
	n = xcalloc(1, sizeof(*n) + (levels - 1) * sizeof(struct node *));
	n->e.key = key;
	n->e.value = value;
	for (unsigned i = 0; i < levels; i++) {
		set_next(o, n, i, next_of(o, before[i], i));
		set_next(o, before[i], i, n);
	}
	o->count++;
	return (true);
}

bool
order_del(struct order *o, struct sv key)
{
	struct node *before[LEVELS_MAX], *n;

	find(o, key, false, before);
	n = next_of(o, before[0], 0);
	if (n == NULL || !sv_eq(n->e.key, key))
		return (false);
	for (unsigned i = 0; i < LEVELS_MAX && next_of(o, before[i], i) == n; i++)
		set_next(o, before[i], i, next_of(o, n, i));
	free(n);
	o->count--;
	return (true);
}

size_t
order_count(const struct order *o)
{
	return (o->count);
}

const struct order_entry *
order_after(const struct order *o, struct sv key)
{
	struct node *before[LEVELS_MAX], *n;

	if (key.len == 0)
		n = o->head[0];
	else {
		find(o, key, true, before);
		n = next_of(o, before[0], 0);
	}
	return (n == NULL ? NULL : &n->e);
}
