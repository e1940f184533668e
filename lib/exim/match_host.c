/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Items of host lists (manual 10.10 to 10.19): addresses, networks, names both ways,
 * lookups by address; our own addresses; MX items of domain lists, which need them too.
 */
#include "exim/acl.h"
#include "exim/conf.h"
#include "exim/logsel.h"
#include "exim/match_int.h"

#include <stdio.h>
#include <stdlib.h>

enum { TYPE_A = 1, TYPE_PTR = 12, TYPE_MX = 15, TYPE_AAAA = 28 };	/* of DNS, which this module does not see */

/* Does <list>, local_interfaces or extra_local_interfaces, name <a>?  *<wild>: it means all interfaces of its family. */
static bool
interface_named(struct xev *e, struct sv list, const struct net_addr *a, bool *wild)
{
	static const uint8_t zero[16];
	struct net_addr one;
	struct sv item;
	int sep = 0;

	while (exim_list_next(&list, &sep, e->env->arena, &item)) {
		ptrdiff_t end;

		if (item.len > 0 && item.p[0] == '[' && (end = sv_chr(item, ']')) > 0)
			item = sv_sub(item, 1, (size_t)end);
		/* "192.0.2.1.25" has a port. */
		if (!net_addr_parse(item, &one) && !((end = sv_rchr(item, '.')) > 0 &&
		    net_addr_parse(sv_sub(item, 0, (size_t)end), &one)))
			continue;
		if (memcmp(one.ip, zero, sizeof(zero)) == 0)
			*wild |= one.family == a->family;
		else if (net_addr_eq(&one, a))
			return (true);
	}
	return (false);
}

bool
m_is_local_address(struct xev *e, const struct net_addr *a)
{
	const struct exim_conf *c = e->env->conf;
	const struct exim_world *w = e->env->world;
	struct net_addr *addrs;
	bool wild = c == NULL || exim_main_text(c, EXIM_MAIN_local_interfaces).len == 0;
	size_t n = 0;

	/* Manual 13.8: what local_interfaces says counts, where it is set. */
	if (c != NULL && (interface_named(e, exim_main_text(c, EXIM_MAIN_extra_local_interfaces), a, &wild) ||
	    (!wild && interface_named(e, exim_main_text(c, EXIM_MAIN_local_interfaces), a, &wild))))
		return (true);
	if (!wild)
		return (false);
	if (w->interfaces == NULL || w->interfaces(w->arg, e->env->arena, &addrs, &n) == -1)
		return (net_addr_is_loopback(a));
	for (size_t i = 0; i < n; i++)
		if (net_addr_eq(&addrs[i], a))
			return (true);
	return (false);
}

/* --- the client's name --- */

/* Does <name> lead back to <addr>? */
static enum exim_found
forward(struct exim_env *env, const char *name, const struct net_addr *addr)
{
	const struct exim_world *w = env->world;
	struct net_addr *addrs = NULL;
	enum exim_found f;
	size_t n = 0;

	if (w->addrs == NULL)
		return (EXIM_NOTFOUND);
	f = w->addrs(w->arg, name, env->arena, &addrs, &n);
	if (f != EXIM_FOUND)
		return (f);
	for (size_t i = 0; i < n; i++)
		if (net_addr_eq(&addrs[i], addr))
			return (EXIM_FOUND);
	return (EXIM_NOTFOUND);
}

static void
keep_names(struct exim_session *s, struct arena *a, const char **names, size_t n)
{
	const char **alias = arena_alloc(a, n * sizeof(*alias));

	for (size_t i = 1; i < n; i++)
		alias[i - 1] = arena_str(a, names[i]);
	s->host_lookup = EXIM_HOST_FOUND;
	s->host_name = sv_taint(sv_cstr(arena_str(a, names[0])));
	s->host_aliases = alias;
	s->nhost_aliases = n - 1;
}

/* The client's names, by host_lookup_order: the next way where one knows none, the end where one cannot tell now. */
static enum exim_found
names_of(struct exim_env *env, const char *const **names, size_t *n)
{
	struct sv order = env->conf == NULL ? SV_LIT("bydns") : exim_main_text(env->conf, EXIM_MAIN_host_lookup_order), way;
	const struct exim_world *w = env->world;
	enum exim_found f = EXIM_NOTFOUND;
	int sep = 0;

	while (f == EXIM_NOTFOUND && exim_list_next(&order, &sep, env->arena, &way)) {
		if (sv_caseeqs(way, "byaddr") && w->names_host != NULL)
			f = w->names_host(w->arg, &env->session->addr, env->arena, names, n);
		else if ((sv_caseeqs(way, "byaddr") || sv_caseeqs(way, "bydns")) && w->names != NULL)
			f = w->names(w->arg, &env->session->addr, env->arena, names, n);
	}
	return (f);
}

void
exim_host_name(struct exim_env *env)
{
	const struct exim_world *w = env->world;
	struct exim_session *s = env->session;
	const char *const *names = NULL;
	const char **good;
	bool later = false;
	enum exim_found f;
	size_t n = 0, k = 0;

	if (s == NULL || s->host_lookup != EXIM_HOST_UNTRIED || s->addr.family == 0)
		return;
	f = names_of(env, &names, &n);
	s->host_lookup = f == EXIM_TEMPFAIL ? EXIM_HOST_DEFERRED : EXIM_HOST_FAILED;
	if (f == EXIM_NOTFOUND && w->log != NULL && env->conf != NULL && EXIM_LOGSEL_ON(env->conf->log_selector, host_lookup_failed))
		w->log(w->arg, EXIM_LOG_MAIN, sv_cstr(arena_fmt(env->arena, "no host name found for IP address " SV_FMT,
		    SV_ARG(s->host_address))));
	if (f != EXIM_FOUND)
		return;
	good = arena_alloc(env->arena, (n + 1) * sizeof(*good));
	for (size_t i = 0; i < n; i++) {
		f = forward(env, names[i], &s->addr);
		later |= f == EXIM_TEMPFAIL;
		if (f == EXIM_FOUND)
			good[k++] = names[i];
	}
	if (k == 0) {
		s->host_lookup = later ? EXIM_HOST_DEFERRED : EXIM_HOST_FAILED;
		if (n > 0)
			s->host_lookup_msg = sv_cstr(arena_fmt(s->arena != NULL ? s->arena : env->arena,
			    SV_FMT " does not match any IP address for %s", SV_ARG(s->host_address), names[n - 1]));
		return;
	}
	/* The session outlives the arena of one command. */
	keep_names(s, s->arena != NULL ? s->arena : env->arena, good, k);
}

/* Is the answer about <name> validated, and is there one? */
static bool
is_secure(struct exim_env *env, const char *name, int type)
{
	const struct exim_world *w = env->world;
	struct exim_dns d;

	memset(&d, 0, sizeof(d));
	return (w->dns != NULL && w->dns(w->arg, name, type, env->arena, &d) == 0 && d.result == EXIM_DNS_FOUND && d.secure);
}

bool
exim_host_secure(struct exim_env *env)
{
	struct exim_session *s = env->session;
	char name[100];

	if (s == NULL || s->host_lookup != EXIM_HOST_FOUND || s->addr.family == 0)
		return (false);
	if (!s->dnssec_known) {
		s->dnssec_known = true;
		net_addr_reverse(&s->addr, NULL, name, sizeof(name));
		s->host_dnssec = is_secure(env, name, TYPE_PTR) &&
		    is_secure(env, arena_cstr(env->arena, s->host_name), s->addr.family == 4 ? TYPE_A : TYPE_AAAA);
	}
	return (s->host_dnssec);
}

/* --- lookups by address --- */

/* The host's address as a key: masked and with its mask, IPv6 in full with dots (colons for iplsearch). */
static struct sv
address_key(struct xev *e, const struct net_addr *a, int bits, char sep)
{
	unsigned len = a->family == 4 ? 4 : 16;
	uint8_t ip[16];
	struct xb b;

	memcpy(ip, a->ip, len);
	if (bits >= 0)
		for (unsigned i = (unsigned)bits; i < len * 8; i++)
			ip[i / 8] &= (uint8_t)~(0x80u >> (i % 8));
	xb_init(&b, e->env->arena, 64);
	for (unsigned i = 0; i < len; i += len == 4 ? 1 : 2) {
		if (i > 0)
			xb_addc(&b, len == 4 ? '.' : sep);
		if (len == 4)
			xb_fmt(&b, "%u", ip[i]);
		else
			xb_fmt(&b, "%02x%02x", ip[i], ip[i + 1]);
	}
	if (bits >= 0)
		xb_fmt(&b, "/%d", bits);
	return (xb_sv(&b));
}

static enum mresult
net_lookup(struct mscan *s, const struct mitem *it, int bits)
{
	char sep = strcmp(x_lookup_name(it->lookup.type), "iplsearch") == 0 ? ':' : '.';

	return (m_lookup(s, &it->lookup, it->arg, address_key(s->e, &s->host->addr, bits, sep), false));
}

/* --- names --- */

/* A name of the configuration that leads nowhere is a mistake in it, as a rule. */
static void
tell_missing(struct mscan *s, struct sv name)
{
	const struct exim_conf *c = s->e->env->conf;
	struct sv who = SV_NULL;

	if (c != NULL && !EXIM_LOGSEL_ON(c->log_selector, host_lookup_failed))
		return;
	if (s->e->env->session != NULL && s->e->env->session->addr.family != 0)
		(void)exim_var_get(s->e->env, SV_LIT("sender_fullhost"), &who);
	/* Tests of addresses (-bt, -bv, -be) have neither a peer nor a message, and keep quiet. */
	if (who.len == 0 && (s->e->env->msg == NULL || s->e->env->msg->id.len == 0))
		return;
	if (who.len == 0)
		m_log(s, "no IP address found for host " SV_FMT, SV_ARG(name));
	else
		m_log(s, "no IP address found for host " SV_FMT " (during SMTP connection from " SV_FMT ")", SV_ARG(name),
		    SV_ARG(who));
}

static enum mresult
by_name(struct mscan *s, const struct mitem *it)
{
	struct sv name = it->arg;

	if (sv_eqs(name, "@") && s->e->env->g != NULL)
		name = s->e->env->g->primary_hostname;
	switch (forward(s->e->env, x_cstr(s->e, name), &s->host->addr)) {
	case EXIM_FOUND:
		return (MR_YES);
	case EXIM_TEMPFAIL:
		(void)x_defer(s->e, "DNS lookup of \"" SV_FMT "\" deferred", SV_ARG(name));
		return (MR_DEFER);
	default:
		break;
	}
	/* A name without any address is "unknown"; one with others simply does not match. */
	if (s->e->env->world->addrs != NULL) {
		const struct exim_world *w = s->e->env->world;
		struct net_addr *addrs;
		size_t n = 0;

		if (w->addrs(w->arg, x_cstr(s->e, name), s->e->env->arena, &addrs, &n) == EXIM_FOUND)
			return (MR_NO);
	}
	tell_missing(s, name);
	s->unknown = sv_cstr(arena_fmt(s->e->env->arena, "failed to find IP address for " SV_FMT, SV_ARG(name)));
	return (MR_UNKNOWN);
}

/* Patterns on the host's name. */
static enum mresult
on_name(struct mscan *s, const struct mitem *it)
{
	struct exim_session *ses = s->e->env->session;
	enum mresult r;

	if (s->host->name.len > 0)
		return (m_string(s, it, s->host->name));
	if (it->type == M_LOOKUP && x_lookup_is_query(it->lookup.type))
		return (m_string(s, it, SV_LIT("")));
	if (!s->host->session || ses == NULL)
		return (MR_UNKNOWN);
	exim_host_name(s->e->env);
	ses->host_unshown = false;
	if (ses->host_name.len == 0) {
		s->unknown = sv_cstr(arena_fmt(s->e->env->arena, "failed to find host name for " SV_FMT, SV_ARG(s->host->address)));
		return (MR_UNKNOWN);
	}
	r = m_string(s, it, ses->host_name);
	for (size_t i = 0; i < ses->nhost_aliases && r == MR_NO; i++)
		r = m_string(s, it, sv_taint(sv_cstr(ses->host_aliases[i])));
	return (r);
}

enum mresult
m_host(struct mscan *s, const struct mitem *it)
{
	const struct exim_host *h = s->host;

	s->value = SV_NULL;
	if (it->type == M_ANY)
		return (MR_YES);
	if (h->address.len == 0)
		return (it->type == M_EMPTY ? MR_YES : MR_NO);
	switch (it->type) {
	case M_EMPTY:
		return (MR_NO);
	case M_PREFIX:
		return (net_prefix_match(&it->prefix, &h->addr) ? MR_YES : MR_NO);
	case M_IFACE:
		return (m_is_local_address(s->e, &h->addr) ? MR_YES : MR_NO);
	case M_NET:
		return (net_lookup(s, it, it->num));
	case M_ERROR:
		s->unknown = it->arg;
		if (sv_starts(it->arg, "malformed"))
			return (MR_UNKNOWN);
		if (h->ip_only || it->num != MATCH_PUT_OFF || !sv_starts(it->arg, "unknown lookup type"))
			return (m_die(s, SV_FMT, SV_ARG(it->arg)));
		m_log(s, SV_FMT " in host list item \"" SV_FMT "\"", SV_ARG(it->arg), SV_ARG(it->text));
		(void)x_defer(s->e, SV_FMT, SV_ARG(it->arg));
		return (MR_DEFER);
	case M_LOOKUP:
		return (h->ip_only ? net_lookup(s, it, -1) : on_name(s, it));
	default:
		break;
	}
	if (h->ip_only) {
		s->unknown = SV_LIT("cannot match host name in match_ip list");
		return (MR_UNKNOWN);
	}
	return (it->type == M_NAME ? by_name(s, it) : on_name(s, it));
}

/* --- @mx_ items of domain lists --- */

struct mx {
	unsigned	 pref;
	const char	*host;
};

/* Host of an MX record; NULL: malformed or the null MX. */
static const char *
mx_host(struct xev *e, struct sv r)
{
	struct xb b;
	size_t off = 2;

	xb_init(&b, e->env->arena, 64);
	while (off < r.len) {
		size_t len = (uint8_t)r.p[off++];

		if (len == 0)
			return (b.len == 0 ? NULL : xb_sv(&b).p);
		if (len > 63 || off + len > r.len || b.len > 255)
			return (NULL);
		if (b.len > 0)
			xb_addc(&b, '.');
		xb_add(&b, sv_from(r.p + off, len));
		off += len;
	}
	return (NULL);
}

/* Is one of the host's addresses, but those to be ignored, ours? */
static bool
mx_is_ours(struct mscan *s, const struct mitem *it, const char *host)
{
	const struct exim_world *w = s->e->env->world;
	struct net_addr *addrs = NULL;
	size_t n = 0;

	if (w->addrs == NULL || w->addrs(w->arg, host, s->e->env->arena, &addrs, &n) != EXIM_FOUND)
		return (false);
	for (size_t i = 0; i < n; i++) {
		char text[NET_ADDR_TEXT_MAX];
		struct exim_host h = { .addr = addrs[i], .ip_only = true };
		bool ignored = false;

		h.address = sv_cstr(net_addr_text(&addrs[i], text));
		if (it->ignore != NULL)
			(void)exim_match_host(it->ignore, s->e->env, &h, &ignored, NULL, NULL);
		if (!ignored && m_is_local_address(s->e, &addrs[i]))
			return (true);
	}
	return (false);
}

enum mresult
m_mx(struct mscan *s, const struct mitem *it, struct sv domain)
{
	const struct exim_world *w = s->e->env->world;
	unsigned lowest = UINT16_MAX + 1u, ours = UINT16_MAX + 1u;
	struct exim_dns a;

	memset(&a, 0, sizeof(a));
	if (domain.len == 0 || domain.p[0] == '[')
		return (MR_NO);
	if (w->dns == NULL || w->dns(w->arg, x_cstr(s->e, domain), TYPE_MX, s->e->env->arena, &a) == -1)
		a.result = EXIM_DNS_TEMPFAIL;
	if (a.result == EXIM_DNS_TEMPFAIL) {
		(void)x_defer(s->e, "DNS lookup of \"" SV_FMT "\" deferred", SV_ARG(domain));
		return (MR_DEFER);
	}
	if (a.result != EXIM_DNS_FOUND)
		return (MR_NO);
	for (size_t i = 0; i < a.n && i < 100; i++) {
		struct sv r = a.rdata[i];
		const char *host = r.len > 3 ? mx_host(s->e, r) : NULL;
		unsigned pref = r.len > 1 ? (unsigned)(uint8_t)r.p[0] << 8 | (uint8_t)r.p[1] : 0;

		if (host == NULL)
			continue;
		if (pref < lowest)
			lowest = pref;
		if (pref < ours && mx_is_ours(s, it, host))
			ours = pref;
	}
	if (ours > UINT16_MAX)
		return (MR_NO);
	if (it->num == MX_PRIMARY)
		return (ours == lowest ? MR_YES : MR_NO);
	if (it->num == MX_SECONDARY)
		return (ours > lowest ? MR_YES : MR_NO);
	return (MR_YES);
}
