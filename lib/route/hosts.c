/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lists of hosts: names become addresses, ignore_target_hosts takes some away, and
 * our own address among them is noticed (the self option).
 */
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "dns/dns.h"
#include "exim/logsel.h"
#include "route/route_int.h"

/* ---- items ---- */

struct sv
route_host_port(struct sv item, uint16_t *port)
{
	ptrdiff_t colon;
	int64_t n;

	*port = 0;
	item = sv_trim(item);
	if (item.len > 0 && item.p[0] == '[') {
		ptrdiff_t end = sv_chr(item, ']');

		/* Brackets are for an address with a port, in a list that is not separated by colons. */
		if (end < 0 || (size_t)end + 1 >= item.len || item.p[end + 1] != ':' ||
		    !num_parse(sv_sub(item, (size_t)end + 2, item.len), 1, 65535, &n))
			return (item);
		*port = (uint16_t)n;
		return (sv_sub(item, 1, (size_t)end));
	}
	colon = sv_rchr(item, ':');
	/* More than one colon: an IPv6 address without a port. */
	if (colon < 0 || sv_chr(item, ':') != colon || !num_parse(sv_sub(item, (size_t)colon + 1, item.len), 1, 65535, &n))
		return (item);
	*port = (uint16_t)n;
	return (sv_sub(item, 0, (size_t)colon));
}

static uint32_t
random_of(struct visit *v)
{
	const struct route_ops *ops = v->rt->rq->ops;
	const struct exim_world *w = v->rt->env->world;

	if (ops != NULL && ops->random != NULL)
		return (ops->random(ops->arg));
	return (w->random != NULL ? w->random(w->arg) : 0);
}

void
route_shuffle(struct visit *v, struct sv *items, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = random_of(v) % i;
		struct sv t = items[i - 1];

		items[i - 1] = items[j];
		items[j] = t;
	}
}

/* ---- addresses ---- */

static bool
matches_domain(struct visit *v, const struct exim_list *l, struct sv name)
{
	struct err err = ERR_INIT;
	bool yes = false;

	return (l != NULL && exim_match_domain(l, v->rt->env, name, &yes, NULL, &err) == EXIM_OK && yes);
}

/* An expanded string that says yes unless it is empty, "0", "no" or "false". */
static bool
wanted(struct visit *v, const struct exim_value *val)
{
	struct sv text = val->text;
	struct err err = ERR_INIT;

	if (val->str != NULL && exim_expand(val->str, v->rt->env, &text, &err) != EXIM_OK)
		return (false);
	return (text.len > 0 && !sv_eqs(text, "0") && !sv_caseeqs(text, "no") && !sv_caseeqs(text, "false"));
}

bool
route_ipv4_only(struct visit *v, const char *host)
{
	const struct exim_conf *c = v->rt->rq->conf;

	if (exim_main_bool(c, EXIM_MAIN_disable_ipv6) ||
	    matches_domain(v, exim_main_list(c, EXIM_MAIN_dns_ipv4_lookup), sv_taint(sv_cstr(host))))
		return (true);
	return (v->r->drv == EXIM_ROUTER_DRV_DNSLOOKUP && wanted(v, &v->r->d.own[EXIM_DNSLOOKUP_ipv4_only]));
}

static bool
ignored(struct visit *v, const char *name, const struct net_addr *addr)
{
	const struct exim_list *l = v->r->d.generic[EXIM_ROUTER_ignore_target_hosts].list;
	struct exim_host h;
	struct sv saved = v->ea.host_address;
	struct err err = ERR_INIT;
	char buf[NET_ADDR_TEXT_MAX];
	bool yes = false;

	if (l == NULL)
		return (false);
	memset(&h, 0, sizeof(h));
	h.addr = *addr;
	h.address = sv_cstr(net_addr_text(addr, buf));
	h.name = sv_cstr(name);
	v->ea.host_address = h.address;
	yes = exim_match_host(l, v->rt->env, &h, &yes, NULL, &err) == EXIM_OK && yes;
	v->ea.host_address = saved;
	return (yes);
}

/* translate_ip_address: another address in place of the one that was found; what is none leaves that. */
static void
translate(struct visit *v, struct net_addr *addr)
{
	const struct exim_str *s = v->r->d.generic[EXIM_ROUTER_translate_ip_address].str;
	struct sv saved = v->ea.host_address, text;
	struct err err = ERR_INIT;
	char buf[NET_ADDR_TEXT_MAX];
	struct net_addr other;

	if (s == NULL)
		return;
	v->ea.host_address = sv_cstr(net_addr_text(addr, buf));
	if (exim_expand(s, v->rt->env, &text, &err) == EXIM_OK && (text = sv_trim(text)).len > 0) {
		if (net_addr_parse(text, &other))
			*addr = other;
		else
			route_note(v, "%s router: translate_ip_address gave \"" SV_FMT "\", which is no address",
			    v->r->d.name, SV_ARG(text));
	}
	v->ea.host_address = saved;
}

/* <name> is the one behind the alias <asked>. */
static enum find
add_addrs(struct visit *v, const char *asked, const char *name, const struct net_addr *addrs, size_t n, uint16_t port,
    int mx, bool secure, struct hostlist *hl)
{
	bool some = false, no_v6 = exim_main_bool(v->rt->rq->conf, EXIM_MAIN_disable_ipv6);

	for (size_t i = 0; i < n && hl->v.len < ROUTE_HOSTS_MAX; i++) {
		struct route_host h;

		if (ignored(v, name, &addrs[i]) || (no_v6 && addrs[i].family == 6))
			continue;
		memset(&h, 0, sizeof(h));
		h.name = arena_str(v->rt->a, name);
		h.asked = strcasecmp(asked, name) == 0 ? NULL : arena_str(v->rt->a, asked);
		h.addr = addrs[i];
		translate(v, &h.addr);
		h.addr.port = port;
		h.mx = mx;
		h.dnssec = secure;
		vec_push(&hl->v, h);
		some = true;
	}
	return (some ? FIND_OK : n > 0 ? FIND_IGNORED : FIND_NONE);
}

static void
ipv4_first(struct net_addr *addrs, size_t n)
{
	for (size_t i = 1; i < n; i++)
		for (size_t k = i; k > 0 && addrs[k].family == 4 && addrs[k - 1].family != 4; k--) {
			struct net_addr t = addrs[k];

			addrs[k] = addrs[k - 1];
			addrs[k - 1] = t;
		}
}

static size_t
only_v4(struct net_addr *addrs, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (addrs[i].family == 4)
			addrs[kept++] = addrs[i];
	return (kept);
}

/* The client of a session that this verification is for; empty: there is none. */
static struct sv
client(struct visit *v)
{
	bool verifying = v->rt->rq->mode == ROUTE_VERIFY_RECIPIENT || v->rt->rq->mode == ROUTE_VERIFY_SENDER;
	const struct exim_session *s = v->rt->rq->env->session;
	struct err err = ERR_INIT;
	struct sv host = SV_LIT("");

	if (verifying && s != NULL && s->addr.family != 0)
		(void)exim_expand_text(SV_LIT("$sender_fullhost"), v->rt->rq->env, &host, &err);
	return (host);
}

/* A host that somebody named and that has no address; tests that are no session say it in their answer. */
static enum find
missing(struct visit *v, const char *name)
{
	struct sv host = client(v), id = v->rt->rq->id;

	if (!EXIM_LOGSEL_ON(v->rt->rq->conf->log_selector, host_lookup_failed))
		return (FIND_NONE);
	if (id.len > 0)
		route_note(v, SV_FMT " no IP address found for host %s", SV_ARG(id), name);
	else if (host.len > 0)
		route_note(v, "no IP address found for host %s (during SMTP connection from " SV_FMT ")", name, SV_ARG(host));
	else if (v->rt->rq->mode == ROUTE_DELIVER)
		route_note(v, "no IP address found for host %s", name);
	return (FIND_NONE);
}

static bool
prefers_v4(struct visit *v, const struct hostlist *hl)
{
	return (hl->wish == IP_V4_FIRST ||
	    (v->r->drv == EXIM_ROUTER_DRV_DNSLOOKUP && wanted(v, &v->r->d.own[EXIM_DNSLOOKUP_ipv4_prefer])));
}

enum find
route_find_addrs(struct visit *v, const char *name, uint16_t port, int mx, bool dns_first, bool dns_only, struct hostlist *hl)
{
	const struct route_ops *ops = v->rt->rq->ops;
	const struct exim_world *w = v->rt->env->world;
	struct net_addr lit, *addrs = NULL;
	size_t n = 0;
	bool secure = false, v4 = hl->wish == IP_V4_ONLY || route_ipv4_only(v, name);
	const char *canon = name;
	enum route_dns rc = ROUTE_DNS_NXDOMAIN;

	if (net_addr_parse(sv_cstr(name), &lit))
		return (add_addrs(v, name, name, &lit, 1, port, mx, false, hl));
	(void)dns_first;
	/* RFC 6761 section 6.3: of this name the host's own files know, not the DNS. */
	if (!dns_only && w->addrs != NULL && strcasecmp(name, "localhost") == 0)
		rc = ROUTE_DNS_NXDOMAIN;
	else if (ops != NULL && ops->addrs != NULL)
		rc = ops->addrs(ops->arg, name, v4 ? DNS_V4 : DNS_V4 | DNS_V6, v->rt->a, &addrs, &n, &secure, &canon);
	else if (dns_only)
		rc = ROUTE_DNS_TEMPFAIL;
	if (rc == ROUTE_DNS_FOUND) {
		if (prefers_v4(v, hl))
			ipv4_first(addrs, n);
		return (add_addrs(v, name, canon, addrs, n, port, mx, secure, hl));
	}
	/* The host's own files may know it. */
	if (!dns_only && w->addrs != NULL) {
		enum exim_found f = w->addrs(w->arg, name, v->rt->a, &addrs, &n);

		if (f == EXIM_FOUND && v4)
			n = only_v4(addrs, n);
		if (f == EXIM_FOUND && n > 0)
			return (add_addrs(v, name, name, addrs, n, port, mx, false, hl));
		if (f == EXIM_TEMPFAIL)
			return (FIND_DEFER);
		if (rc == ROUTE_DNS_NXDOMAIN || rc == ROUTE_DNS_NODATA)
			return (missing(v, name));
	}
	return (rc == ROUTE_DNS_TEMPFAIL || rc == ROUTE_DNS_BOGUS ? FIND_DEFER : FIND_NONE);
}

/* Addresses from <first> on that stand in the list already go: trying them again is no use. */
static void
drop_repeated(struct hostlist *hl, size_t start, size_t first)
{
	size_t n = first;

	for (size_t i = first; i < hl->v.len; i++) {
		bool again = false;

		for (size_t k = start; k < n && !again; k++)
			again = net_addr_eq(&hl->v.p[k].addr, &hl->v.p[i].addr) && hl->v.p[k].addr.port == hl->v.p[i].addr.port;
		if (!again)
			hl->v.p[n++] = hl->v.p[i];
	}
	hl->v.len = n;
}

/* An address where the name of a host belongs: a mistake that is common enough to have an option. */
static bool
mx_literal(struct visit *v, const char *host, struct hostlist *hl)
{
	struct net_addr lit;

	if (!net_addr_parse(sv_cstr(host), &lit))
		return (false);
	hl->literal = true;
	return (!exim_main_bool(v->rt->rq->conf, EXIM_MAIN_allow_mx_to_ip));
}

/* Of the hosts of one preference those come first whose addresses are of the family that is preferred. */
static void
by_family(struct visit *v, struct hostlist *hl, size_t start)
{
	int first = prefers_v4(v, hl) ? 4 : 6;

	for (size_t i = start + 1; i < hl->v.len; i++)
		for (size_t k = i; k > start && hl->v.p[k].addr.family == first && hl->v.p[k - 1].mx == hl->v.p[k].mx &&
		    hl->v.p[k - 1].addr.family != first; k--) {
			struct route_host h = hl->v.p[k];

			hl->v.p[k] = hl->v.p[k - 1];
			hl->v.p[k - 1] = h;
		}
}

/* The hosts of the MX records in order of preference. */
static enum find
mx_addrs(struct visit *v, const struct route_mx *mx, size_t n, uint16_t port, struct hostlist *hl)
{
	size_t start = hl->v.len;
	bool defer = false;

	for (size_t i = 0; i < n && i < ROUTE_HOSTS_MAX; i++) {
		size_t first = hl->v.len;
		enum find f = mx_literal(v, mx[i].host, hl) ? FIND_NONE :
		    route_find_addrs(v, mx[i].host, port, (int)mx[i].pref, true, true, hl);

		defer = defer || f == FIND_DEFER;
		if ((f == FIND_NONE || f == FIND_IGNORED) && hl->dead == 0)
			hl->dead = (int)mx[i].pref + 1;
		drop_repeated(hl, start, first);
	}
	if (hl->v.len > start) {
		by_family(v, hl, start);
		return (FIND_OK);
	}
	hl->dead_name = n > 0 ? mx[0].host : NULL;
	return (defer ? FIND_DEFER : FIND_DEAD);
}

enum find
route_find_mx(struct visit *v, const char *name, bool need_mx, uint16_t port, struct hostlist *hl, bool *null_mx)
{
	const struct route_ops *ops = v->rt->rq->ops;
	struct route_mx *mx = NULL;
	enum route_dns rc;
	size_t n = 0, first = hl->v.len;
	bool secure = false;
	enum find f;

	*null_mx = false;
	if (ops == NULL || ops->mx == NULL)
		return (FIND_DEFER);
	rc = ops->mx(ops->arg, name, v->rt->a, &mx, &n, &secure);
	if ((rc == ROUTE_DNS_TEMPFAIL || rc == ROUTE_DNS_BOGUS) && v->r->drv == EXIM_ROUTER_DRV_DNSLOOKUP &&
	    matches_domain(v, v->r->d.own[EXIM_DNSLOOKUP_mx_fail_domains].list, v->domain))
		rc = ROUTE_DNS_NODATA;
	switch (rc) {
	case ROUTE_DNS_FOUND:
		if (n > 0)
			break;
		/* FALLTHROUGH */
	case ROUTE_DNS_NODATA:
		return (need_mx ? FIND_NONE : route_find_addrs(v, name, port, -1, true, true, hl));
	case ROUTE_DNS_NXDOMAIN:
		return (FIND_NONE);
	default:
		return (FIND_DEFER);
	}
	if (n == 1 && mx[0].host[0] == '\0') {
		*null_mx = true;
		return (FIND_NONE);
	}
	f = mx_addrs(v, mx, n, port, hl);
	for (size_t i = first; i < hl->v.len; i++)
		hl->v.p[i].mx_dnssec = secure;
	return (f);
}

/* ---- ourselves ---- */

static bool
unspecified(const struct net_addr *addr)
{
	static const uint8_t zero[16];

	return (memcmp(addr->ip, zero, sizeof(addr->ip)) == 0);
}

/* "addr", "addr.port", "[addr]:port" */
static bool
interface(struct sv item, struct net_addr *addr)
{
	ptrdiff_t end = item.len > 0 && item.p[0] == '[' ? sv_chr(item, ']') : sv_rchr(item, '.');

	if (net_addr_parse(item, addr))
		return (true);
	return (end > 0 && net_addr_parse(sv_sub(item, item.p[0] == '[', (size_t)end), addr));
}

/* Is <addr> in that list?  *<all> (may be NULL) is set when it stands for all addresses of this host. */
static bool
listed(struct visit *v, enum exim_main_opt opt, const struct net_addr *addr, bool *all)
{
	const struct exim_world *w = v->rt->rq->env->world;
	struct sv list = exim_main_text(v->rt->rq->conf, opt), item;
	struct net_addr one;
	int sep = 0;

	if (all != NULL)
		*all = list.len == 0;
	while (list.len > 0 && exim_list_next(&list, &sep, v->rt->a, &item)) {
		if (!interface(item, &one)) {
			if (item.len > 0 && w->die != NULL)
				w->die(w->arg, arena_fmt(v->rt->a, "Malformed IP address \"" SV_FMT "\" in %s", SV_ARG(item),
				    exim_opt_tables[0].opts[opt].name));
			continue;
		}
		if (all != NULL && unspecified(&one))
			*all = true;
		if (net_addr_eq(&one, addr))
			return (true);
	}
	return (false);
}

/* One of local_interfaces, which by default are all that this host has, or extra_local_interfaces; or none at all (0.0.0.0). */
bool
route_is_ours(struct visit *v, const struct net_addr *addr)
{
	const struct route_ops *ops = v->rt->rq->ops;
	bool all;

	if (addr->family == 4 && unspecified(addr))
		return (true);
	if (listed(v, EXIM_MAIN_local_interfaces, addr, &all) || listed(v, EXIM_MAIN_extra_local_interfaces, addr, NULL))
		return (true);
	return (all && ops != NULL && ops->is_local != NULL && ops->is_local(ops->arg, addr));
}

/* That name is nobody else's, whatever local_interfaces says of its address. */
static bool
is_localhost(const struct route_host *h)
{
	return (h->name != NULL && strcasecmp(h->name, "localhost") == 0 && net_addr_is_loopback(&h->addr));
}

bool
route_drop_self(struct visit *v, struct hostlist *hl, size_t from, bool *secondary)
{
	const struct exim_list *as_local = exim_main_list(v->rt->rq->conf, EXIM_MAIN_hosts_treat_as_local);

	*secondary = false;
	for (size_t i = from; i < hl->v.len; i++) {
		struct err err = ERR_INIT;
		bool ours = route_is_ours(v, &hl->v.p[i].addr) || is_localhost(&hl->v.p[i]), yes = false;
		size_t cut = i;

		if (!ours && as_local != NULL && hl->v.p[i].name != NULL)
			ours = exim_match_domain(as_local, v->rt->env, sv_cstr(hl->v.p[i].name), &yes, NULL, &err) == EXIM_OK && yes;
		if (!ours)
			continue;
		/* Hosts of the same preference are no better than we are. */
		while (cut > from && hl->v.p[i].mx >= 0 && hl->v.p[cut - 1].mx == hl->v.p[i].mx)
			cut--;
		if (cut == from && hl->dead > 0 && hl->dead - 1 < hl->v.p[from].mx)
			hl->v.len = from;
		if (cut == from)
			return (hl->v.len > from);
		hl->v.len = cut;
		*secondary = true;
		return (false);
	}
	return (false);
}

/* For the log: the address, and in a session whose recipient or sender is verified its client. */
static void
note_frozen(struct visit *v, const char *what)
{
	struct sv host = client(v);

	if (v->rt->rq->id.len > 0) {
		route_note(v, SV_FMT " %s: " SV_FMT, SV_ARG(v->rt->rq->id), what, SV_ARG(v->domain));
		return;
	}
	if (v->rt->rq->mode == ROUTE_DELIVER || v->rt->rq->within)
		route_note(v, "%s: " SV_FMT, what, SV_ARG(v->domain));
	else if (host.len == 0)
		route_note(v, "%s: " SV_FMT " (while routing <" SV_FMT ">)", what, SV_ARG(v->domain), SV_ARG(v->p->addr->address));
	else
		route_note(v, "%s: " SV_FMT " (while verifying <" SV_FMT "> from host " SV_FMT ")", what, SV_ARG(v->domain),
		    SV_ARG(v->p->addr->address), SV_ARG(host));
}

enum route_yield
route_self(struct visit *v, const struct route_host *h)
{
	struct sv self = v->r->d.generic[EXIM_ROUTER_self].text;
	const char *what = h->mx >= 0 ? "lowest numbered MX record points to local host" : "remote host address is the local host";

	if (sv_eqs(self, "send"))
		return (Y_ACCEPT);
	if (sv_eqs(self, "pass")) {
		v->message = sv_cstr(what);
		v->p->self_hostname = sv_cstr(h->name);
		return (Y_PASS);
	}
	if (sv_eqs(self, "fail"))
		return (route_fail(v, "%s", what));
	if (sv_eqs(self, "defer"))
		return (route_defer(v, "%s", what));
	if (sv_starts(self, "reroute:")) {
		struct sv dom = sv_trim(sv_sub(self, 8, self.len));

		v->reroute_header = sv_starts(dom, "rewrite:");
		if (v->reroute_header)
			dom = sv_trim(sv_sub(dom, 8, dom.len));
		v->reroute_domain = dom;
		return (Y_REROUTED);
	}
	note_frozen(v, what);
	(void)route_defer(v, "%s", what);
	return (Y_FREEZE);
}

/* fallback_hosts: names that cannot be found are left out. */
static void
add_fallback(struct visit *v, struct route_delivery *d)
{
	const struct exim_str *s = v->r->d.generic[EXIM_ROUTER_fallback_hosts].str;
	struct hostlist hl = { .v = VEC_INIT };
	struct err err = ERR_INIT;
	struct sv list, item;
	uint16_t port;
	int sep = 0;

	if (s == NULL || (d->transport != NULL && d->transport->local) || v->rt->rq->mode != ROUTE_DELIVER ||
	    exim_expand(s, v->rt->env, &list, &err) != EXIM_OK)
		return;
	while (exim_list_next(&list, &sep, v->rt->a, &item)) {
		const char *name = arena_cstr(v->rt->a, route_host_port(item, &port));

		if (name[0] != '\0')
			(void)route_find_addrs(v, name, port, -1, true, false, &hl);
	}
	d->fallback = hl.v.len == 0 ? NULL : arena_dup(v->rt->a, hl.v.p, hl.v.len * sizeof(*hl.v.p));
	d->nfallback = hl.v.len;
	vec_free(&hl.v);
}

void
route_hosts_seal(struct visit *v, struct hostlist *hl, struct route_delivery *d)
{
	d->hosts = hl->v.len == 0 ? NULL : arena_dup(v->rt->a, hl->v.p, hl->v.len * sizeof(*hl->v.p));
	d->nhosts = hl->v.len;
	vec_free(&hl->v);
	add_fallback(v, d);
}
