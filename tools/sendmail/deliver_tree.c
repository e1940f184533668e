/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who has a message already stands in the spool as a balanced tree of addresses in the order of their bytes: each line tells by Y or N
 * whether a left and a right side follow.  Whatever else reads the spool looks addresses up in it, so its order has to be right.
 */
#include "deliver.h"

struct node {
	struct sv	 addr;
	struct node	*side[2];
	int		 height;
};

static int
height(const struct node *n)
{
	return (n == NULL ? 0 : n->height);
}

static void
measure(struct node *n)
{
	int l = height(n->side[0]), r = height(n->side[1]);

	n->height = 1 + (l > r ? l : r);
}

/* The node on side <s> of <n> takes its place. */
static struct node *
turn(struct node *n, int s)
{
	struct node *up = n->side[s];

	n->side[s] = up->side[1 - s];
	up->side[1 - s] = n;
	measure(n);
	measure(up);
	return (up);
}

/* The depth is that of a balanced tree. */
static struct node *
insert(struct node *n, struct node *new)
{
	int s;

	if (n == NULL)
		return (new);
	s = sv_cmp(new->addr, n->addr) > 0;
	n->side[s] = insert(n->side[s], new);
	measure(n);
	if (height(n->side[s]) <= height(n->side[1 - s]) + 1)
		return (n);
	if (height(n->side[s]->side[1 - s]) > height(n->side[s]->side[s]))
		n->side[s] = turn(n->side[s], 1 - s);
	return (turn(n, s));
}

static void
put(const struct node *n, struct sb *out)
{
	if (n == NULL)
		return;
	sb_addf(out, "%c%c " SV_FMT "\n", n->side[0] != NULL ? 'Y' : 'N', n->side[1] != NULL ? 'Y' : 'N', SV_ARG(n->addr));
	put(n->side[0], out);
	put(n->side[1], out);
}

void
dspool_put_done(const struct dmsg *m, struct sb *out)
{
	struct arena *a = arena_new(0);
	struct node *top = NULL;

	for (size_t i = 0; i < m->done.len; i++) {
		struct node *n = arena_zalloc(a, sizeof(*n));

		n->addr = m->done.p[i];
		n->height = 1;
		top = insert(top, n);
	}
	if (top == NULL)
		sb_adds(out, "XX\n");
	put(top, out);
	arena_free(&a);
}
