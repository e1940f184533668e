/* SPDX-License-Identifier: BSD-2-Clause */
/* See world.h.  Questions park the asking fiber; without one the resolver is waited for. */
#include "route/world.h"

#include <string.h>
#include <time.h>

#include "fiber/fiber.h"
#include "hints/hints.h"
#include "route/route.h"

static struct hints *kept;

int
route_world_dns(void *arg, const char *name, int type, struct arena *a, struct exim_dns *out)
{
	struct dns_answer ans;

	(void)arg;
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

enum exim_found
route_world_found(enum dns_result r)
{
	return (r == DNS_FOUND ? EXIM_FOUND : r == DNS_NODATA || r == DNS_NXDOMAIN ? EXIM_NOTFOUND : EXIM_TEMPFAIL);
}

static enum exim_found
world_addrs(void *arg, const char *name, struct arena *a, struct net_addr **addrs, size_t *n)
{
	struct net_addr one;

	(void)arg;
	if (net_addr_parse(sv_cstr(name), &one)) {
		*addrs = arena_dup(a, &one, sizeof(one));
		*n = 1;
		return (EXIM_FOUND);
	}
	return (route_world_found(dns_addrs(name, DNS_V4 | DNS_V6, FIBER_FOREVER, a, addrs, n, NULL, NULL)));
}

/* ---- hints ---- */

static enum exim_found
hint_get(void *arg, const char *db, struct sv key, struct arena *a, struct sv *out)
{
	struct sb v = SB_INIT(HINTS_VALUE_MAX);
	bool ok = hints_get(kept, db, key, (int64_t)time(NULL), &v);

	(void)arg;
	if (ok)
		*out = arena_sv(a, sb_sv(&v));
	sb_free(&v);
	return (ok ? EXIM_FOUND : EXIM_NOTFOUND);
}

static int
hint_put(void *arg, const char *db, struct sv key, struct sv value, int64_t ttl)
{
	(void)arg;
	return (hints_put(kept, db, key, value, (int64_t)time(NULL), ttl, NULL));
}

static int
hint_del(void *arg, const char *db, struct sv key)
{
	(void)arg;
	hints_del(kept, db, key);
	return (0);
}

void
route_world(struct exim_world *w, struct hints *hints)
{
	w->dns = route_world_dns;
	w->addrs = world_addrs;
	if (hints == NULL)
		return;
	kept = hints;
	w->hint_get = hint_get;
	w->hint_put = hint_put;
	w->hint_del = hint_del;
}

/* ---- programs and sockets: put off; who asked waits, so that nobody else uses its arena meanwhile ---- */

static struct exim_world direct;
static void (*offload)(void *arg, void (*fn)(void *job), void *job);

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

	j->result = direct.run(direct.arg, j->r, j->a, j->out, j->rc, j->err);
}

static enum exim_result
world_run(void *arg, const struct exim_run *r, struct arena *a, struct sv *out, int *rc, struct err *err)
{
	struct run_job j = { r, a, out, rc, err, EXIM_FAIL };

	offload(arg, run_job, &j);
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

	j->result = direct.readsocket(direct.arg, j->s, j->a, j->out, j->err);
}

static enum exim_result
world_readsocket(void *arg, const struct exim_socket *s, struct arena *a, struct sv *out, struct err *err)
{
	struct socket_job j = { s, a, out, err, EXIM_FAIL };

	offload(arg, socket_job, &j);
	return (j.result);
}

void
route_world_offload(struct exim_world *w, void (*how)(void *arg, void (*fn)(void *job), void *job))
{
	exim_world_posix(&direct);
	w->offload = offload = how;
	w->run = world_run;
	w->readsocket = world_readsocket;
}

/* ---- a delivery ---- */

void
route_world_delivery(struct exim_address *a, const struct route_delivery *rd, struct arena *arena)
{
	const struct route_addr *top = rd->addr, *from;
	ptrdiff_t at;

	while (top->parent != NULL)
		top = top->parent;
	memset(a, 0, sizeof(*a));
	a->local_part = rd->local_part;
	a->domain = rd->domain;
	a->local_part_prefix = rd->prefix;
	a->local_part_suffix = rd->suffix;
	a->local_part_prefix_v = rd->prefix_v;
	a->local_part_suffix_v = rd->suffix_v;
	a->local_part_data = rd->local_part_data;
	a->domain_data = rd->domain_data;
	a->address_data = rd->address_data;
	a->home = sv_cstr(rd->home);
	a->self_hostname = rd->self_hostname;
	a->router_vars = rd->vars;
	a->local_user_uid = a->local_user_gid = -1;
	a->router_name = rd->router == NULL ? SV_NULL : sv_cstr(rd->router->d.name);
	a->transport_name = rd->transport == NULL ? SV_NULL : sv_cstr(rd->transport->d.name);
	a->original_local_part = rd->original_local;
	a->original_domain = rd->original_domain;
	at = sv_rchr(top->address, '@');
	if (at >= 0 && rd->original_domain.p == NULL) {
		a->original_local_part = sv_sub(top->address, 0, (size_t)at);
		a->original_domain = arena_lower(arena, sv_sub(top->address, (size_t)at + 1, top->address.len));
	}
	/* Pipes and files are children of the address that made them. */
	from = rd->addr;
	if (rd->kind == ROUTE_TO_TRANSPORT || (from->address.len > 0 && strchr("|/>", from->address.p[0]) != NULL))
		from = from->parent;
	if (from != NULL && (at = sv_rchr(from->address, '@')) >= 0) {
		a->parent_local_part = sv_sub(from->address, 0, (size_t)at);
		a->parent_domain = arena_lower(arena, sv_sub(from->address, (size_t)at + 1, from->address.len));
	}
	if (rd->kind == ROUTE_PIPE)
		a->address_pipe = sv_cstr(arena_fmt(arena, "|" SV_FMT, SV_ARG(rd->text)));
	else if (rd->kind == ROUTE_FILE || rd->kind == ROUTE_DIRECTORY)
		a->address_file = rd->text;
}

void
route_world_several(struct exim_address *a, const struct route_delivery *const *rd, size_t n)
{
	a->local_part = a->local_part_prefix = a->local_part_prefix_v = a->local_part_suffix = a->local_part_suffix_v = SV_NULL;
	a->local_part_data = a->original_local_part = a->original_domain = a->parent_local_part = a->parent_domain = SV_NULL;
	for (size_t i = 1; i < n; i++)
		if (!sv_caseeq(rd[i]->domain, rd[0]->domain))
			a->domain = a->domain_data = SV_NULL;
}
