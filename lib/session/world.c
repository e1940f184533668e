/* SPDX-License-Identifier: BSD-2-Clause */
/* The world of fibers: see world.h.  What would block the loop parks the asking fiber instead. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "dns/dns.h"
#include "exim/acl.h"
#include "fiber/fiber.h"
#include "hints/hints.h"
#include "os/watch.h"
#include "session/world.h"

static struct exim_world posix;		/* the calls that are put off the loop */

static int
world_dns(void *arg, const char *name, int type, struct arena *a, struct exim_dns *out)
{
	struct dns_answer ans;

	switch (dns_lookup(name, type, FIBER_FOREVER, a, &ans)) {
	case DNS_FOUND:
		out->result = EXIM_DNS_FOUND;
		break;
	case DNS_NODATA:
		out->result = EXIM_DNS_NODATA;
		break;
	case DNS_NXDOMAIN:
		out->result = EXIM_DNS_NXDOMAIN;
		break;
	default:
		out->result = EXIM_DNS_TEMPFAIL;
		break;
	}
	out->secure = ans.secure;
	out->ttl = ans.ttl;
	out->n = ans.n;
	out->rdata = ans.rdata;
	out->why = ans.why;
	return (0);
}

static enum exim_found
found(enum dns_result r)
{
	return (r == DNS_FOUND ? EXIM_FOUND : r == DNS_NODATA || r == DNS_NXDOMAIN ? EXIM_NOTFOUND : EXIM_TEMPFAIL);
}

static enum exim_found
world_addrs(void *arg, const char *name, struct arena *a, struct net_addr **addrs, size_t *n)
{
	struct net_addr one;

	if (net_addr_parse(sv_cstr(name), &one)) {
		*addrs = arena_dup(a, &one, sizeof(one));
		*n = 1;
		return (EXIM_FOUND);
	}
	return (found(dns_addrs(name, DNS_V4 | DNS_V6, FIBER_FOREVER, a, addrs, n, NULL, NULL)));
}

static enum exim_found
world_names(void *arg, const struct net_addr *addr, struct arena *a, const char *const **names, size_t *n)
{
	const char **v = NULL;
	enum dns_result r = dns_ptr(addr, FIBER_FOREVER, a, &v, n);

	*names = v;
	return (found(r));
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

/* ---- programs and sockets: on a thread; the fiber waits ---- */

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
	/* The arena is the session's, whose fiber waits: nobody else uses it meanwhile. */
	struct run_job j = { r, a, out, rc, err, EXIM_FAIL };

	fiber_offload(run_job, &j);
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

	fiber_offload(socket_job, &j);
	return (j.result);
}

static void
world_offload(void *arg, void (*fn)(void *job), void *job)
{
	fiber_offload(fn, job);
}

/* ---- hints ---- */

static enum exim_found
hint_get(void *arg, const char *db, struct sv key, struct arena *a, struct sv *out)
{
	struct sb v = SB_INIT(HINTS_VALUE_MAX);
	bool ok = hints_get(arg, db, key, (int64_t)time(NULL), &v);

	if (ok)
		*out = arena_sv(a, sb_sv(&v));
	sb_free(&v);
	return (ok ? EXIM_FOUND : EXIM_NOTFOUND);
}

static int
hint_put(void *arg, const char *db, struct sv key, struct sv value, int64_t ttl)
{
	return (hints_put(arg, db, key, value, (int64_t)time(NULL), ttl, NULL));
}

static int
hint_del(void *arg, const char *db, struct sv key)
{
	hints_del(arg, db, key);
	return (0);
}

void
session_world_init(struct exim_world *w, struct hints *hints)
{
	exim_world_posix(&posix);
	*w = posix;
	w->arg = hints;
	w->dns = world_dns;
	w->addrs = world_addrs;
	w->names = world_names;
	w->names_host = world_names_host;
	w->stat = world_stat;
	w->begins = world_begins;
	if (posix.run != NULL)
		w->run = world_run;
	if (posix.readsocket != NULL)
		w->readsocket = world_readsocket;
	w->offload = world_offload;
	w->acl = exim_acl_expand;
	if (hints == NULL)
		return;
	w->hint_get = hint_get;
	w->hint_put = hint_put;
	w->hint_del = hint_del;
}
