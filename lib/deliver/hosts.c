/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hosts that an smtp transport tries: the router's, or those of its own options hosts and
 * fallback_hosts, in what order, and by what key each is remembered.
 */
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/vec.h"
#include "deliver/options.h"
#include "dns/dns.h"
#include "exim/match.h"



struct finding {
	struct deliver_hosts *out;
	struct exim_env	*env;
	const struct route_ops *ops;
	const struct exim_transport *t;
	struct arena	*a;
	uint16_t	 port;
};

uint16_t
deliver_port(struct exim_env *env, const struct exim_transport *t, uint16_t smtp_port)
{
	const struct exim_value *v = &t->d.own[EXIM_SMTP_port], *proto = &t->d.own[EXIM_SMTP_protocol];
	struct err err = ERR_INIT;
	struct servent *se;
	struct sv text;
	int64_t n;

	if (!v->set)
		return (sv_eqs(proto->text, "lmtp") ? 24 : sv_eqs(proto->text, "smtps") ? 465 : smtp_port);
	if (deliver_text(env, v, &text, &err) == -1)
		return (0);
	if (num_parse(sv_trim(text), 1, 65535, &n))
		return ((uint16_t)n);
	se = getservbyname(arena_cstr(env->arena, sv_trim(text)), "tcp");
	return (se == NULL ? 0 : ntohs((uint16_t)se->s_port));
}

/* ---- addresses of a name ---- */

struct asking {
	const char	*name;
	struct arena	*a;
	struct net_addr	*v;
	size_t		 n;
	enum exim_found	 found;
};

/* By the host's own tables too; blocks. */
static void
ask_system(void *arg)
{
	struct asking *q = arg;
	struct exim_world w;

	exim_world_posix(&w);
	q->found = w.addrs == NULL ? EXIM_NOTFOUND : w.addrs(w.arg, q->name, q->a, &q->v, &q->n);
}

static enum exim_found
by_system(struct finding *f, const char *name, struct net_addr **v, size_t *n)
{
	const struct exim_world *w = f->env->world;
	struct asking q = { .name = name, .a = f->a, .found = EXIM_TEMPFAIL };

	if (w->offload != NULL)
		w->offload(w->arg, ask_system, &q);
	else
		ask_system(&q);
	*v = q.v;
	*n = q.n;
	return (q.found);
}

static enum route_dns
by_dns(struct finding *f, const char *name, struct net_addr **v, size_t *n, bool *secure, const char **canon)
{
	return (f->ops->addrs == NULL ? ROUTE_DNS_TEMPFAIL :
	    f->ops->addrs(f->ops->arg, name, exim_main_bool(f->env->conf, EXIM_MAIN_disable_ipv6) ? DNS_V4 :
	    DNS_V4 | DNS_V6, f->a, v, n, secure, canon));
}

/* dns_qualify_single, dns_search_parents: a name without a dot belongs to our domain, another perhaps to one above it. */
static enum route_dns
qualified(struct finding *f, const char *name, struct net_addr **v, size_t *n, bool *secure, const char **canon)
{
	struct sv domain = f->env->g->primary_hostname;
	bool single = strchr(name, '.') == NULL, parents = f->t->d.own[EXIM_SMTP_dns_search_parents].num != 0;
	enum route_dns rc = ROUTE_DNS_NXDOMAIN;

	if (single ? f->t->d.own[EXIM_SMTP_dns_qualify_single].num == 0 : !parents)
		return (rc);
	for (int i = 0; i < 10 && (rc == ROUTE_DNS_NXDOMAIN || rc == ROUTE_DNS_NODATA); i++) {
		ptrdiff_t dot = sv_chr(domain, '.');

		if (dot < 0 || (i > 0 && !parents))
			break;
		domain = sv_sub(domain, (size_t)dot + 1, domain.len);
		rc = by_dns(f, arena_fmt(f->a, "%s." SV_FMT, name, SV_ARG(domain)), v, n, secure, canon);
	}
	return (rc);
}

static bool
domain_listed(struct finding *f, enum exim_smtp_opt o, const char *name)
{
	const struct exim_list *l = f->t->d.own[o].list;
	struct err err = ERR_INIT;
	bool yes = false;

	return (l != NULL && exim_match_domain(l, f->env, sv_cstr(name), &yes, NULL, &err) == EXIM_OK && yes);
}

static bool
is_ours(struct finding *f, const char *name, const struct net_addr *addr)
{
	const struct exim_list *l = exim_main_list(f->env->conf, EXIM_MAIN_hosts_treat_as_local);
	struct err err = ERR_INIT;
	bool yes = false;

	if (f->ops->is_local != NULL && f->ops->is_local(f->ops->arg, addr))
		return (true);
	return (l != NULL && exim_match_domain(l, f->env, sv_cstr(name), &yes, NULL, &err) == EXIM_OK && yes);
}

static void
put(struct finding *f, const char *name, const char *asked, const struct net_addr *addr, uint16_t port, int mx, bool dnssec,
    bool check)
{
	struct deliver_hosts *out = f->out;
	struct deliver_host *h = &out->v[out->n];

	if (check && f->t->d.own[EXIM_SMTP_allow_localhost].num == 0 && is_ours(f, name, addr)) {
		out->local = true;
		out->unknown = name;
		out->unknown_at = out->n;
		return;
	}
	if (out->n == ROUTE_HOSTS_MAX)
		return;
	*h = (struct deliver_host){ .name = name, .asked = asked, .addr = *addr, .mx = mx, .dnssec = dnssec };
	if (h->addr.port == 0)
		h->addr.port = port;
	out->n++;
}

static void
add_addrs(struct finding *f, const char *name, uint16_t port, int mx, bool mx_secure)
{
	struct net_addr *v = NULL;
	const char *canon = name;
	size_t n = 0;
	bool secure = false;
	enum route_dns rc = ROUTE_DNS_NXDOMAIN;
	enum exim_found sys = EXIM_NOTFOUND;

	if (f->t->d.own[EXIM_SMTP_gethostbyname].num == 0) {
		rc = by_dns(f, name, &v, &n, &secure, &canon);
		if (rc == ROUTE_DNS_NXDOMAIN || rc == ROUTE_DNS_NODATA)
			rc = qualified(f, name, &v, &n, &secure, &canon);
	}
	/* The host's own tables may know it. */
	if (rc != ROUTE_DNS_FOUND)
		sys = by_system(f, name, &v, &n);
	if (rc != ROUTE_DNS_FOUND && sys != EXIM_FOUND) {
		f->out->unknown = name;
		f->out->unknown_at = f->out->n;
		f->out->why = rc == ROUTE_DNS_TEMPFAIL || rc == ROUTE_DNS_BOGUS || sys == EXIM_TEMPFAIL ?
		    "no answer from DNS" : "not found";
		return;
	}
	if (!secure && domain_listed(f, EXIM_SMTP_dnssec_require_domains, name)) {
		f->out->unknown = name;
		f->out->unknown_at = f->out->n;
		f->out->why = "its lookup was insecure";
		return;
	}
	secure = secure && mx_secure && domain_listed(f, EXIM_SMTP_dnssec_request_domains, name);
	for (size_t i = 0; i < n; i++)
		put(f, canon, strcasecmp(canon, name) == 0 ? NULL : name, &v[i], port, mx, secure, true);
}

/* "name/MX" */
static void
add_mx(struct finding *f, const char *domain, uint16_t port)
{
	struct route_mx *mx = NULL;
	bool secure = false;
	size_t n = 0;

	if (f->ops->mx == NULL || f->ops->mx(f->ops->arg, domain, f->a, &mx, &n, &secure) != ROUTE_DNS_FOUND || n == 0) {
		f->out->unknown = domain;
		f->out->unknown_at = f->out->n;
		f->out->why = "no MX records";
		return;
	}
	f->out->mx = true;
	for (size_t i = 0; i < n; i++)
		add_addrs(f, mx[i].host, port, (int)mx[i].pref, secure);
}

/* "name", "address", either with ":port" (for IPv6 "[address]:port"), "name/MX". */
static void
add_item(struct finding *f, struct sv item)
{
	struct net_addr one;
	uint16_t port = f->port;
	ptrdiff_t colon;
	int64_t p;

	if (net_addr_parse_port(item, port, &one)) {
		struct net_addr bare = one;
		char text[NET_ADDR_TEXT_MAX];

		bare.port = 0;
		put(f, arena_str(f->a, net_addr_text(&bare, text)), NULL, &one, port, -1, false, true);
		return;
	}
	colon = sv_rchr(item, ':');
	if (colon > 0 && num_parse(sv_sub(item, (size_t)colon + 1, item.len), 1, 65535, &p)) {
		port = (uint16_t)p;
		item.len = (size_t)colon;
	}
	if (sv_caseends(item, SV_LIT("/mx")))
		add_mx(f, arena_cstr(f->a, sv_sub(item, 0, item.len - 3)), port);
	else
		add_addrs(f, arena_cstr(f->a, item), port, -1, true);
}

/* ---- order ---- */

static void
shuffle(struct finding *f, size_t from, size_t to)
{
	const struct exim_world *w = f->env->world;
	struct deliver_host *v = f->out->v;

	for (size_t i = to; w->random != NULL && i > from + 1; i--) {
		size_t j = from + w->random(w->arg) % (i - from);
		struct deliver_host t = v[i - 1];

		v[i - 1] = v[j];
		v[j] = t;
	}
}

/* A list of the transport's own: groups between "+" are put in random order each by itself, where that is wanted. */
static int
add_list(struct finding *f, const struct exim_value *v, bool randomize, struct err *err)
{
	struct sv list, item;
	size_t group = f->out->n;
	int sep = 0;

	if (deliver_text(f->env, v, &list, err) == -1) {
		err_prefix(err, "failed to expand list of hosts \"" SV_FMT "\" in %s transport", SV_ARG(v->text), f->t->d.name);
		return (-1);
	}
	while (list.len > 0 && exim_list_next(&list, &sep, f->a, &item)) {
		if (sv_eqs(item, "+")) {
			if (randomize)
				shuffle(f, group, f->out->n);
			group = f->out->n;
		} else if (item.len > 0)
			add_item(f, item);
	}
	if (randomize)
		shuffle(f, group, f->out->n);
	return (0);
}

static void
add_routed(struct finding *f, const struct route_host *v, size_t n, bool check)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].unknown) {
			f->out->unknown = v[i].name;
			f->out->why = v[i].why;
			continue;
		}
		put(f, arena_str(f->a, v[i].name), v[i].asked, &v[i].addr, f->port, v[i].mx,
		    v[i].dnssec && (v[i].mx < 0 || v[i].mx_dnssec), check);
	}
}

int
deliver_find_hosts(struct deliver_hosts *out, struct exim_env *env, const struct route_ops *ops, const struct route_delivery *rd,
    uint16_t smtp_port, struct arena *a, struct err *err)
{
	const struct exim_value *own = rd->transport->d.own;
	struct finding f = { out, env, ops, rd->transport, a, deliver_port(env, rd->transport, smtp_port) };
	bool randomize = deliver_bool(env, &own[EXIM_SMTP_hosts_randomize]), from_router;

	memset(out, 0, sizeof(*out));
	exim_env_at(env, "transport", &rd->transport->d);
	out->v = arena_zalloc(a, (ROUTE_HOSTS_MAX + 1) * sizeof(*out->v));
	if (f.port == 0)
		return (err_set(err, ERR_TEMP, "4.3.5", "port of the transport %s is not known", rd->transport->d.name));
	from_router = rd->nhosts > 0 && !(own[EXIM_SMTP_hosts_override].num != 0 && own[EXIM_SMTP_hosts].text.p != NULL);
	if (from_router) {
		add_routed(&f, rd->hosts, rd->nhosts, false);
		out->mx = rd->hosts[0].mx >= 0;
		if (randomize && !out->mx && !rd->randomize)
			shuffle(&f, 0, out->n);
	} else if (add_list(&f, &own[EXIM_SMTP_hosts], randomize, err) == -1) {
		return (-1);
	}
	out->fallback = out->n;
	if (rd->nfallback > 0) {
		add_routed(&f, rd->fallback, rd->nfallback, true);
		if (randomize && !rd->randomize)
			shuffle(&f, out->fallback, out->n);
	} else if (add_list(&f, &own[EXIM_SMTP_fallback_hosts], randomize, err) == -1) {
		return (-1);
	}
	return (0);
}

/* ---- how many are tried ---- */

void
deliver_walk_init(struct deliver_walk *w, const struct deliver_hosts *h, const struct exim_transport *t)
{
	*w = (struct deliver_walk){ .h = h, .max = t->d.own[EXIM_SMTP_hosts_max_try].num,
	    .hard = t->d.own[EXIM_SMTP_hosts_max_try_hardlimit].num };
}

bool
deliver_walk_next(struct deliver_walk *w, size_t *i)
{
	bool full = (w->max > 0 && w->counted >= w->max) || (w->hard > 0 && w->total >= w->hard);

	/* The fallback hosts are a list of their own. */
	if (!w->in_fallback && (full || w->next >= w->h->fallback)) {
		w->in_fallback = true;
		w->next = w->h->fallback;
		w->counted = w->total = 0;
		full = false;
	}
	if (full || w->next >= w->h->n)
		return (false);
	*i = w->next++;
	return (true);
}

void
deliver_walk_tries(struct deliver_walk *w, size_t i, bool expired)
{
	size_t end = w->in_fallback ? w->h->n : w->h->fallback, k = i;

	w->total++;
	if (expired || ++w->counted < w->max || w->max <= 0)
		return;
	/* One of each higher MX is considered all the same. */
	while (k < end && w->h->v[k].mx == w->h->v[i].mx)
		k++;
	if (k < end) {
		w->next = k;
		w->counted--;
	}
}

const char *
deliver_host_key(struct exim_env *env, const struct exim_transport *t, const struct deliver_host *h, struct arena *a)
{
	char ip[NET_ADDR_TEXT_MAX];
	struct net_addr bare = h->addr;

	bare.port = 0;
	if (!deliver_bool(env, &t->d.own[EXIM_SMTP_retry_include_ip_address]))
		return (arena_fmt(a, "%s:%u", h->name, h->addr.port));
	return (arena_fmt(a, "%s:%s:%u", h->name, net_addr_text(&bare, ip), h->addr.port));
}
