/* SPDX-License-Identifier: BSD-2-Clause */
/* Limits on how many deliveries do something at once: max_parallel of a transport, serialize_hosts. */
#include <stdlib.h>

#include "vqueued_int.h"

struct gate {
	char		*name;
	int64_t		 inside, waiting;
	struct fiber_waiters wait;
};

bool
gate_is_full(struct vq *vq, const char *name, int64_t limit)
{
	const struct gate *g = hash_get(vq->gates, sv_cstr(name));

	return (g != NULL && g->inside >= limit);
}

bool
gate_is_wanted(const struct gate *g)
{
	return (g != NULL && g->waiting > 0);
}

static void
drop_unused(struct vq *vq, struct gate *g)
{
	if (g->inside > 0 || g->waiting > 0)
		return;
	(void)hash_del(vq->gates, sv_cstr(g->name));
	free(g->name);
	free(g);
}

struct gate *
gate_enter(struct vq *vq, const char *name, int64_t limit)
{
	struct gate *g = hash_get(vq->gates, sv_cstr(name));

	if (g == NULL) {
		g = xcalloc(1, sizeof(*g));
		g->name = xstrdup(name);
		(void)hash_set(vq->gates, sv_cstr(g->name), g);
	}
	g->waiting++;
	while (g->inside >= limit)
		if (fiber_waiters_wait(&g->wait, FIBER_FOREVER) == FIBER_CANCELLED || vq->draining) {
			g->waiting--;
			drop_unused(vq, g);
			return (NULL);
		}
	g->waiting--;
	g->inside++;
	return (g);
}

void
gate_leave(struct vq *vq, struct gate **gp)
{
	struct gate *g = *gp;

	*gp = NULL;
	if (g == NULL)
		return;
	g->inside--;
	fiber_waiters_wake_one(&g->wait);
	drop_unused(vq, g);
}
