/* SPDX-License-Identifier: BSD-2-Clause */
/* Routing's questions answered by lib/dns and the host's interfaces. */
#include <sys/types.h>
#include <sys/socket.h>

#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>

#include "dns/dns.h"
#include "fiber/fiber.h"
#include "route/route.h"

static enum route_dns
result(enum dns_result r)
{
	switch (r) {
	case DNS_FOUND:		return (ROUTE_DNS_FOUND);
	case DNS_NODATA:	return (ROUTE_DNS_NODATA);
	case DNS_NXDOMAIN:	return (ROUTE_DNS_NXDOMAIN);
	case DNS_BOGUS:		return (ROUTE_DNS_BOGUS);
	default:		return (ROUTE_DNS_TEMPFAIL);
	}
}

static enum route_dns
ask_mx(void *arg, const char *domain, struct arena *a, struct route_mx **mx, size_t *n, bool *secure)
{
	struct dns_mx *m = NULL;
	enum dns_result r = dns_mx(domain, FIBER_FOREVER, a, &m, n, secure);

	(void)arg;
	*mx = arena_alloc(a, (*n + 1) * sizeof(**mx));
	for (size_t i = 0; r == DNS_FOUND && i < *n; i++)
		(*mx)[i] = (struct route_mx){ .host = m[i].host, .pref = m[i].pref };
	return (result(r));
}

static enum route_dns
ask_addrs(void *arg, const char *host, unsigned families, struct arena *a, struct net_addr **addrs, size_t *n, bool *secure,
    const char **canon)
{
	(void)arg;
	return (result(dns_addrs(host, families, FIBER_FOREVER, a, addrs, n, secure, canon)));
}

static int
by_pref(const void *a, const void *b)
{
	const struct route_srv *x = a, *y = b;

	return (x->pref < y->pref ? -1 : x->pref > y->pref ? 1 : x->weight > y->weight ? -1 : x->weight < y->weight);
}

/* RFC 2782: priority, weight, port, target. */
static enum route_dns
ask_srv(void *arg, const char *name, struct arena *a, struct route_srv **srv, size_t *n, bool *secure)
{
	struct dns_answer ans;
	enum dns_result r = dns_lookup(name, DNS_SRV, FIBER_FOREVER, a, &ans);

	(void)arg;
	*n = 0;
	*secure = ans.secure;
	if (r != DNS_FOUND)
		return (result(r));
	*srv = arena_alloc(a, (ans.n + 1) * sizeof(**srv));
	for (size_t i = 0; i < ans.n; i++) {
		const uint8_t *p = (const uint8_t *)ans.rdata[i].p;
		struct route_srv *s = &(*srv)[*n];

		if (ans.rdata[i].len < 7)
			continue;
		s->pref = (unsigned)(p[0] << 8 | p[1]);
		s->weight = (unsigned)(p[2] << 8 | p[3]);
		s->port = (unsigned)(p[4] << 8 | p[5]);
		s->host = dns_rdata_name(ans.rdata[i], 6, NULL, a);
		if (s->host != NULL)
			(*n)++;
	}
	qsort(*srv, *n, sizeof(**srv), by_pref);
	return (*n > 0 ? ROUTE_DNS_FOUND : ROUTE_DNS_NODATA);
}

static const char *const *
ask_search(void *arg, size_t *n)
{
	(void)arg;
	return (dns_search(n));
}

/* The list is read anew each time: interfaces come and go, and remote routing is rare enough. */
static bool
is_local(void *arg, const struct net_addr *addr)
{
	struct ifaddrs *list, *i;
	bool found = net_addr_is_loopback(addr);

	(void)arg;
	if (found || getifaddrs(&list) == -1)
		return (found);
	for (i = list; i != NULL && !found; i = i->ifa_next) {
		struct net_addr own;

		if (i->ifa_addr == NULL || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		net_addr_from_sockaddr(&own, i->ifa_addr);
		found = net_addr_eq(&own, addr);
	}
	freeifaddrs(list);
	return (found);
}

void
route_ops_dns(struct route_ops *ops)
{
	memset(ops, 0, sizeof(*ops));
	ops->mx = ask_mx;
	ops->addrs = ask_addrs;
	ops->srv = ask_srv;
	ops->search = ask_search;
	ops->is_local = is_local;
}
