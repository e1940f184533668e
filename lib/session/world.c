/* SPDX-License-Identifier: BSD-2-Clause */
/* The world of fibers: see world.h.  What would block the loop parks the asking fiber instead. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "exim/acl.h"
#include "fiber/fiber.h"
#include "os/watch.h"
#include "route/world.h"
#include "session/world.h"

static struct exim_world posix;		/* the calls that are put off the loop */

static enum exim_found
world_names(void *arg, const struct net_addr *addr, struct arena *a, const char *const **names, size_t *n)
{
	const char **v = NULL;
	enum dns_result r = dns_ptr(addr, FIBER_FOREVER, a, &v, n);

	*names = v;
	return (route_world_found(r));
}

/* What the C library knows of an address: files, and whatever else the host asks.  On a thread, since it may ask others. */
struct names_job {
	const struct net_addr *addr;
	struct arena	*a;
	const char *const **names;
	size_t		*n;
	enum exim_found	 found;
};

static void
names_job(void *arg)
{
	struct names_job *j = arg;

	j->found = posix.names(posix.arg, j->addr, j->a, j->names, j->n);
}

static enum exim_found
world_names_host(void *arg, const struct net_addr *addr, struct arena *a, const char *const **names, size_t *n)
{
	struct names_job j = { addr, a, names, n, EXIM_TEMPFAIL };

	(void)arg;
	fiber_offload(names_job, &j);
	return (j.found);
}

/* ---- files ---- */

static struct os_watch *watch;		/* the box's etc/, where most of what is looked at lies */

static int
world_stat(void *arg, const char *path, bool follow, struct stat *st)
{
	if (watch == NULL || !follow)
		return (posix.stat(posix.arg, path, follow, st));
	return (os_watch_stat(watch, path, st));
}

static void
world_begins(void *arg)
{
	if (watch != NULL)
		os_watch_expire(watch);
}

void
session_world_watch(const char *dir)
{
	os_watch_close(&watch);
	watch = os_watch_open(dir);
}

static void
world_offload(void *arg, void (*fn)(void *job), void *job)
{
	fiber_offload(fn, job);
}

static void
world_yield(void *arg)
{
	(void)arg;
	if (fiber_self() != NULL)
		fiber_yield();
}

void
session_world_init(struct exim_world *w, struct hints *hints)
{
	exim_world_posix(&posix);
	*w = posix;
	route_world(w, hints);
	w->names = world_names;
	w->names_host = world_names_host;
	w->stat = world_stat;
	w->yield = world_yield;
	w->begins = world_begins;
	route_world_offload(w, world_offload);
	w->acl = exim_acl_expand;
}
