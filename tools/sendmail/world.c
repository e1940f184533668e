/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The world of the modes that only look: POSIX calls that block, DNS by lib/dns.  The resolver
 * is started by the first question that needs it, since most need none.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dns/dns.h"
#include "exim/acl.h"
#include "fiber/fiber.h"
#include "filter/forward.h"
#include "route/world.h"
#include "testing.h"
#include "transport/transport.h"

#define QUOTA_S	60		/* to look at a mailbox */

static struct exim_world posix;
static const struct testing *the;
static const struct box *dns_box;
static struct route_ops real_ops;
static enum { DNS_DOWN, DNS_UP, DNS_BROKEN } dns_state;

/* slow_lookup_log, where notes of this mode go. */
static void
slow_lookup(void *arg, const char *type, const char *name, int64_t ms)
{
	char text[400];

	(void)arg;
	(void)snprintf(text, sizeof(text), "Long %s lookup for '%s': %lld msec", type, name, (long long)ms);
	the->ops.note(the->ops.arg, text);
}

static bool
dns_ready(void)
{
	struct dns_conf conf = { .servers = NULL };
	struct err err = ERR_INIT;

	if (dns_state == DNS_DOWN) {
		if (dns_box != NULL) {
			conf.servers = dns_box->dns_servers;
			if (dns_box->dns_zone_file[0] != '\0')
				conf.zone_file = box_path(dns_box, dns_box->dns_zone_file);
		}
		if (the->conf != NULL) {
			route_dns_conf(the->conf, &conf);
			route_dns_rules(the->conf, &posix);
		}
		if (the->conf != NULL)
			dns_watch_slow(exim_main_int(the->conf, EXIM_MAIN_slow_lookup_log), slow_lookup, NULL);
		dns_state = dns_init(&conf, &err) == 0 ? DNS_UP : DNS_BROKEN;
	}
	return (dns_state == DNS_UP);
}

static int
world_dns(void *arg, const char *name, int type, struct arena *a, struct exim_dns *out)
{
	memset(out, 0, sizeof(*out));
	out->result = EXIM_DNS_TEMPFAIL;
	return (dns_ready() ? route_world_dns(arg, name, type, a, out) : 0);
}

static enum exim_found
world_names(void *arg, const struct net_addr *addr, struct arena *a, const char *const **names, size_t *n)
{
	const char **v = NULL;
	enum dns_result r;

	(void)arg;
	if (!dns_ready())
		return (EXIM_TEMPFAIL);
	r = dns_ptr(addr, FIBER_FOREVER, a, &v, n);
	*names = v;
	return (r == DNS_FOUND ? EXIM_FOUND : r == DNS_NODATA || r == DNS_NXDOMAIN ? EXIM_NOTFOUND : EXIM_TEMPFAIL);
}

/* By the box's DNS as its daemons have it; what that does not know, by the host's own tables. */
static enum exim_found
world_addrs(void *arg, const char *name, struct arena *a, struct net_addr **addrs, size_t *n)
{
	enum dns_result r = DNS_TEMPFAIL;
	enum exim_found f;
	struct net_addr one;

	(void)arg;
	if (!net_addr_parse(sv_cstr(name), &one) && strcasecmp(name, "localhost") != 0 && dns_ready() &&
	    (r = dns_addrs(name, DNS_V4 | DNS_V6, FIBER_FOREVER, a, addrs, n, NULL, NULL)) == DNS_FOUND)
		return (EXIM_FOUND);
	f = posix.addrs(posix.arg, name, a, addrs, n);
	/* What dns_again_means_nonexist says of the DNS is not asked again there. */
	return (f == EXIM_TEMPFAIL && (r == DNS_NXDOMAIN || r == DNS_NODATA) ? EXIM_NOTFOUND : f);
}

static enum route_dns
ops_mx(void *arg, const char *domain, struct arena *a, struct route_mx **mx, size_t *n, bool *secure)
{
	return (dns_ready() ? real_ops.mx(arg, domain, a, mx, n, secure) : ROUTE_DNS_TEMPFAIL);
}

static enum route_dns
ops_addrs(void *arg, const char *host, unsigned families, struct arena *a, struct net_addr **addrs, size_t *n, bool *secure,
    const char **canon)
{
	return (dns_ready() ? real_ops.addrs(arg, host, families, a, addrs, n, secure, canon) : ROUTE_DNS_TEMPFAIL);
}

static enum route_dns
ops_srv(void *arg, const char *name, struct arena *a, struct route_srv **srv, size_t *n, bool *secure)
{
	return (dns_ready() ? real_ops.srv(arg, name, a, srv, n, secure) : ROUTE_DNS_TEMPFAIL);
}

static const char *const *
ops_search(void *arg, size_t *n)
{
	*n = 0;
	return (dns_ready() ? real_ops.search(arg, n) : NULL);
}

static const struct options *opts;

/* As Exim shows a log line where there is no log: by its kind where details are shown, else with the time. */
static void
show(const char *which, const char *text)
{
	(void)fflush(stdout);
	if (opts->mode == MODE_HOST_CHECK) {
		(void)fputs("LOG: ", stderr);
		testing_mark(stderr);
		(void)fprintf(stderr, "%s\n", text);
	} else if (opts->mode == MODE_ROUTE || opts->verbose)
		(void)fprintf(stderr, "LOG: %s\n  %s\n", which, text);
	else
		testing_log("%s", text);
}

static void
ops_note(void *arg, const char *text)
{
	(void)arg;
	show("MAIN", text);
}

/* debug_print: for -bt, and where -d asks for it. */
static void
ops_debug(void *arg, struct sv text)
{
	(void)arg;
	(void)fprintf(stderr, SV_FMT "%s", SV_ARG(text), text.len > 0 && text.p[text.len - 1] == '\n' ? "" : "\n");
}

static void
ops_panic(void *arg, const char *text)
{
	static const char *const main_too[] = { "Tainted", "tainted search query", "Expansion of", "rewrite rule", "Rewrite", "Failed",
	    "failed", "unknown named", "attempt to use tainted" };
	const char *which = "PANIC";

	for (size_t i = 0; i < sizeof(main_too) / sizeof(main_too[0]); i++)
		if (strncmp(text, main_too[i], strlen(main_too[i])) == 0)
			which = "MAIN PANIC";
	(void)arg;
	show(which, text);
}

/* Exim's own process would end here, and so does this one, which keeps nothing. */
static void
world_die(void *arg, const char *text)
{
	(void)arg;
	show("MAIN PANIC DIE", text);
	(void)fflush(NULL);
	_exit(1);
}

/* The same where rules are tried, as -brt and -brw tell it. */
static void
rules_die(void *arg, const char *text)
{
	(void)arg;
	testing_log("%s", text);
	(void)fflush(NULL);
	_exit(1);
}

static void
world_log(void *arg, unsigned logs, struct sv line)
{
	(void)arg;
	show((logs & EXIM_LOG_PANIC) != 0 ? "MAIN PANIC" : "MAIN", line.p);
}

bool
testing_full(void *arg, struct sv address, const struct transport_delivery *td)
{
	struct transport_result r = { 0 };
	struct transport_job j;

	(void)arg;
	(void)address;
	if (transport_prepare(td, &j, &r) == 0)
		transport_run(&j, -1, QUOTA_S, td->arena, &r);
	return (r.quota != 0);
}

void
testing_world(struct testing *t)
{
	the = t;
	dns_box = t->box;
	opts = t->o;
	exim_world_posix(&posix);
	t->world = posix;
	t->world.dns = world_dns;
	t->world.addrs = world_addrs;
	t->world.names = world_names;
	t->world.names_host = posix.names;
	t->world.acl = exim_acl_expand;
	t->world.log = world_log;
	if (testing_of_box(t))
		box_world(t->box, &t->world);
	testing_hints_of(t);
	if (t->o->mode == MODE_ROUTE || t->o->mode == MODE_VERIFY)
		t->world.die = world_die;
	else if (t->o->mode == MODE_REWRITE || t->o->mode == MODE_RETRY)
		t->world.die = rules_die;
	route_ops_dns(&real_ops);
	t->ops = real_ops;
	t->ops.mx = ops_mx;
	t->ops.addrs = ops_addrs;
	t->ops.srv = ops_srv;
	t->ops.search = ops_search;
	t->ops.filter = filter_route;
	t->ops.note = ops_note;
	t->ops.panic = ops_panic;
	if (t->o->mode == MODE_ROUTE || t->o->debug)
		t->ops.debug = ops_debug;
}
