/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The world of vqueued's expansions: DNS by fibers, and on threads whatever blocks: programs, sockets,
 * databases, perl.  There are eight threads for all, which also write and sync the queue's files; so of what may take
 * long only SLOW_MAX run at once, the others wait in line, and each has the deadline of its own option or driver.
 */
#include <string.h>
#include <unistd.h>

#include "os/watch.h"
#include "route/world.h"
#include "exim/acl.h"
#include "vqueued_int.h"

#define SLOW_MAX	5

void
slow_run(struct vq *vq, void (*fn)(void *job), void *job)
{
	while (vq->slow >= SLOW_MAX)
		if (fiber_waiters_wait(&vq->slow_wait, FIBER_FOREVER) == FIBER_CANCELLED)
			break;
	vq->slow++;
	fiber_offload(fn, job);
	vq->slow--;
	fiber_waiters_wake_one(&vq->slow_wait);
}

static enum exim_found
world_names(void *arg, const struct net_addr *addr, struct arena *a, const char *const **names, size_t *n)
{
	const char **v = NULL;
	enum dns_result r = dns_ptr_verified(addr, FIBER_FOREVER, a, &v, n);

	(void)arg;
	*names = v;
	return (route_world_found(r));
}

static int64_t
world_queue_size(void *arg)
{
	struct vq *vq = arg;

	return ((int64_t)hash_count(vq->qents));
}

static void
world_offload(void *arg, void (*fn)(void *job), void *job)
{
	slow_run(arg, fn, job);
}

static void
world_yield(void *arg)
{
	(void)arg;
	if (fiber_self() != NULL)
		fiber_yield();
}

/* Lines of expansions outside of ACLs. */
static void
world_log(void *arg, unsigned logs, struct sv line)
{
	(void)arg;
	eximlog_write(logs & (EXIMLOG_MAIN | EXIMLOG_PANIC), SV_FMT, SV_ARG(line));
}

void
world_init(struct vq *vq)
{
	exim_world_posix(&vq->world);
	vq->world.arg = vq;
	route_world(&vq->world, vq->hints);
	vq->world.names = world_names;
	route_world_offload(&vq->world, world_offload);
	vq->world.acl = exim_acl_expand;
	vq->world.log = world_log;
	vq->world.yield = world_yield;
	vq->world.queue_size = world_queue_size;
	vq->world.stat = look_stat;
	vq->readfile = vq->world.readfile;
	vq->world.readfile = look_readfile;
	vq->watch = os_watch_open(box_path(vq->box, "etc"));
	os_watch_below(vq->watch, box_path(vq->box, "home"));
}
