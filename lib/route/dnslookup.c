/* SPDX-License-Identifier: BSD-2-Clause */
/* The dnslookup router (chapter 17 of Exim's manual): hosts from SRV, MX and address records. */
#include <stdio.h>
#include <string.h>

#include "dns/dns.h"
#include "route/route_int.h"

#define NAME_SIZE	300

/* A name that can be asked for: mail domains with odd characters are not in the DNS. */
static bool
domain_ok(struct sv d)
{
	if (d.len == 0 || d.len > 253 || d.p[0] == '.' || d.p[0] == '[')
		return (false);
	for (size_t i = 0; i < d.len; i++) {
		unsigned char c = (unsigned char)d.p[i];

		if (c < 0x80 && !sv_isalnum((char)c) && c != '-' && c != '.' && c != '_' && c != '/')
			return (false);
		if (c == '.' && i + 1 < d.len && d.p[i + 1] == '.')
			return (false);
	}
	return (true);
}

static bool
in_list(struct visit *v, const struct exim_list *l)
{
	struct err err = ERR_INIT;
	bool yes = false;

	return (l != NULL && exim_match_domain(l, v->rt->env, v->domain, &yes, NULL, &err) == EXIM_OK && yes);
}

static enum find
find_srv(struct visit *v, const char *service, const char *domain, struct hostlist *hl, bool *null_srv)
{
	const struct route_ops *ops = v->rt->rq->ops;
	struct route_srv *srv = NULL;
	char name[NAME_SIZE];
	size_t n = 0;
	bool secure = false, defer = false;

	*null_srv = false;
	if (ops == NULL || ops->srv == NULL)
		return (FIND_NONE);
	(void)snprintf(name, sizeof(name), "_%s._tcp.%s", service, domain);
	switch (ops->srv(ops->arg, name, v->rt->a, &srv, &n, &secure)) {
	case ROUTE_DNS_FOUND:
		break;
	case ROUTE_DNS_TEMPFAIL:
	case ROUTE_DNS_BOGUS:
		return (in_list(v, v->r->d.own[EXIM_DNSLOOKUP_srv_fail_domains].list) ? FIND_NONE : FIND_DEFER);
	default:
		return (FIND_NONE);
	}
	if (n == 1 && (srv[0].host[0] == '\0' || strcmp(srv[0].host, ".") == 0)) {
		*null_srv = true;
		return (FIND_NONE);
	}
	for (size_t i = 0; i < n && i < ROUTE_HOSTS_MAX; i++)
		if (route_find_addrs(v, srv[i].host, (uint16_t)srv[i].port, (int)srv[i].pref, true, true, hl) == FIND_DEFER)
			defer = true;
	return (hl->v.len > 0 ? FIND_OK : defer ? FIND_DEFER : FIND_NONE);
}

static enum find
find_all(struct visit *v, const char *domain, struct hostlist *hl, bool *null)
{
	const struct exim_value *o = v->r->d.own;
	bool need_mx = in_list(v, o[EXIM_DNSLOOKUP_mx_domains].list);
	enum find f = FIND_NONE;

	*null = false;
	if (o[EXIM_DNSLOOKUP_check_srv].str != NULL) {
		struct err err = ERR_INIT;
		char *service = NULL;

		if (exim_expand_cstr(o[EXIM_DNSLOOKUP_check_srv].str, v->rt->env, &service, &err) == EXIM_OK && service[0] != '\0')
			f = find_srv(v, service, domain, hl, null);
		if (f != FIND_NONE || *null)
			return (f);
	}
	return (route_find_mx(v, domain, need_mx || o[EXIM_DNSLOOKUP_check_secondary_mx].num != 0, 0, hl, null));
}

/* There are MX records, and no host behind them. */
static void
dead_hosts(struct visit *v, const struct hostlist *hl)
{
	v->message = SV_LIT("all relevant MX records point to non-existent hosts");
	if (!hl->literal || exim_main_bool(v->rt->rq->conf, EXIM_MAIN_allow_mx_to_ip))
		return;
	v->message = SV_LIT("all relevant MX records point to non-existent hosts or (invalidly) to IP addresses");
	v->user_message = sv_cstr(arena_fmt(v->rt->a, "It appears that the DNS operator for " SV_FMT "\nhas installed an invalid MX "
	    "record with an IP address\ninstead of a domain name on the right hand side.", SV_ARG(v->domain)));
}

/* What a search without hosts comes to. */
static enum route_yield
not_found(struct visit *v, enum find f, const struct hostlist *hl, bool null)
{
	if (f == FIND_DEFER) {
		v->retry_error = EXIM_RE_TIMEOUT_DNS;
		if (v->r->d.generic[EXIM_ROUTER_pass_on_timeout].num != 0)
			return (Y_PASS);
		return (route_defer(v, "host lookup did not complete"));
	}
	if (null)
		v->message = SV_LIT("an MX or SRV record indicated no SMTP service");
	else if (f == FIND_DEAD)
		dead_hosts(v, hl);
	if (!null && in_list(v, v->r->d.own[EXIM_DNSLOOKUP_fail_defer_domains].list)) {
		v->retry_error = EXIM_RE_LOOKUP;
		return (route_defer(v, "lookup failed (NXDOMAIN or no data) and the domain is in fail_defer_domains"));
	}
	return (Y_DECLINE);
}

/*
 * <name>, and where it is not whole with the domains behind it that a resolver tries: for a single word its own (qualify_single) or
 * all (search_parents too), which come first; for others all of them, afterwards.
 */
static enum find
find_whole(struct visit *v, const char *name, struct hostlist *hl, bool *null)
{
	const struct route_ops *ops = v->rt->rq->ops;
	bool all = v->r->d.own[EXIM_DNSLOOKUP_search_parents].num != 0, dots = strchr(name, '.') != NULL, defer = false;
	size_t n = 0;
	const char *const *list = ops == NULL || ops->search == NULL ? NULL : ops->search(ops->arg, &n);
	enum find f;

	if (dots ? !all : v->r->d.own[EXIM_DNSLOOKUP_qualify_single].num == 0)
		n = 0;
	else if (!all && n > 1)
		n = 1;
	if (dots || n == 0) {
		f = find_all(v, name, hl, null);
		if (f != FIND_NONE || *null)
			return (f);
	}
	for (size_t i = 0; i < n; i++) {
		const char *whole = arena_fmt(v->rt->a, "%s.%s", name, list[i]);

		if (strlen(whole) >= NAME_SIZE)
			continue;
		f = find_all(v, whole, hl, null);
		defer = defer || f == FIND_DEFER;
		if (f != FIND_OK && !*null)
			continue;
		v->reroute_domain = f == FIND_OK ? sv_cstr(whole) : SV_NULL;
		return (f);
	}
	f = dots || n == 0 ? FIND_NONE : find_all(v, name, hl, null);
	return (f == FIND_NONE && !*null && defer ? FIND_DEFER : f);
}

/* The domain as it is, then with each item of widen_domains behind it. */
static enum find
search(struct visit *v, struct hostlist *hl, bool *null)
{
	struct sv rest = v->r->d.own[EXIM_DNSLOOKUP_widen_domains].text, item;
	char name[NAME_SIZE];
	enum find f;
	int sep = 0;

	(void)snprintf(name, sizeof(name), SV_FMT, SV_ARG(v->domain));
	f = find_whole(v, name, hl, null);
	while (f == FIND_NONE && !*null && rest.p != NULL && exim_list_next(&rest, &sep, v->rt->a, &item)) {
		if (item.len == 0 || v->domain.len + item.len + 2 > sizeof(name))
			continue;
		(void)snprintf(name, sizeof(name), SV_FMT "." SV_FMT, SV_ARG(v->domain), SV_ARG(item));
		f = find_whole(v, name, hl, null);
		if (f == FIND_OK && v->reroute_domain.p == NULL)
			v->reroute_domain = sv_cstr(arena_str(v->rt->a, name));
	}
	v->reroute_header = v->r->d.own[EXIM_DNSLOOKUP_rewrite_headers].num != 0;
	return (f);
}

enum route_yield
route_dnslookup(struct visit *v)
{
	struct hostlist hl = { .v = VEC_INIT };
	struct route_delivery d;
	bool null = false, secondary = false;
	enum route_yield y;
	enum find f;

	if (!domain_ok(v->domain)) {
		v->message = sv_cstr(arena_fmt(v->rt->a, "mail domain \"" SV_FMT "\" is syntactically invalid", SV_ARG(v->domain)));
		return (Y_DECLINE);
	}
	f = search(v, &hl, &null);
	if (f != FIND_OK) {
		vec_free(&hl.v);
		return (not_found(v, f, &hl, null));
	}
	/* A widened domain is another address, which begins anew. */
	if (v->reroute_domain.p != NULL) {
		y = Y_REROUTED;
		goto out;
	}
	if (route_drop_self(v, &hl, 0, &secondary)) {
		y = route_self(v, &hl.v.p[0]);
		if (y != Y_ACCEPT)
			goto out;
	} else if (hl.v.len == 0) {
		y = not_found(v, FIND_DEAD, &hl, false);
		goto out;
	} else if (v->r->d.own[EXIM_DNSLOOKUP_check_secondary_mx].num != 0 && !secondary) {
		y = Y_DECLINE;
		goto out;
	}
	y = route_fill(v, &d, &v->r->d.generic[EXIM_ROUTER_transport]);
	if (y != Y_ACCEPT)
		goto out;
	d.dnssec_request = in_list(v, v->r->d.generic[EXIM_ROUTER_dnssec_request_domains].list);
	d.dnssec_require = in_list(v, v->r->d.generic[EXIM_ROUTER_dnssec_require_domains].list);
	route_hosts_seal(v, &hl, &d);
	route_deliver(v, &d);
	return (Y_ACCEPT);
out:
	vec_free(&hl.v);
	return (y);
}
