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
#include "vqueued_int.h"

#define SLOW_MAX	5

static struct exim_world posix;

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

/* ---- programs and sockets: on a thread; the fiber, whose arena it is, waits ---- */

struct run_job {
	const struct exim_run *r;
	struct arena	*a;
	struct sv	*out;
	int		*rc;
	struct err	*err;
	enum exim_result result;
};

static void
run_job(void *arg)
{
	struct run_job *j = arg;

	j->result = posix.run(posix.arg, j->r, j->a, j->out, j->rc, j->err);
}

static enum exim_result
world_run(void *arg, const struct exim_run *r, struct arena *a, struct sv *out, int *rc, struct err *err)
{
	struct run_job j = { r, a, out, rc, err, EXIM_FAIL };

	slow_run(arg, run_job, &j);
	return (j.result);
}

struct socket_job {
	const struct exim_socket *s;
	struct arena	*a;
	struct sv	*out;
	struct err	*err;
	enum exim_result result;
};

static void
socket_job(void *arg)
{
	struct socket_job *j = arg;

	j->result = posix.readsocket(posix.arg, j->s, j->a, j->out, j->err);
}

static enum exim_result
world_readsocket(void *arg, const struct exim_socket *s, struct arena *a, struct sv *out, struct err *err)
{
	struct socket_job j = { s, a, out, err, EXIM_FAIL };

	slow_run(arg, socket_job, &j);
	return (j.result);
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

void
world_init(struct vq *vq)
{
	exim_world_posix(&posix);
	vq->world = posix;
	vq->world.arg = vq;
	route_world(&vq->world, vq->hints);
	vq->world.names = world_names;
	vq->world.run = world_run;
	vq->world.readsocket = world_readsocket;
	vq->world.offload = world_offload;
	vq->world.yield = world_yield;
	vq->world.queue_size = world_queue_size;
	vq->world.stat = look_stat;
	vq->readfile = vq->world.readfile;
	vq->world.readfile = look_readfile;
	vq->watch = os_watch_open(box_path(vq->box, "etc"));
	os_watch_below(vq->watch, box_path(vq->box, "home"));
}
