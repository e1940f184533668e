/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dnslists condition (sections 44.27 to 44.37 of Exim's manual).  Answers outside
 * 127/8 and the error answers 127.255.255.x (RFC 6471 section 5, and what large lists give to those
 * who may not ask) never count as listed; they are logged.
 */
#include "base/sb.h"
#include "exim/acl_int.h"
#include "exim/logsel.h"

#define TYPE_A		1
#define TYPE_TXT	16
#define NAME_SIZE	512
#define NAME_LONGEST	253		/* RFC 1035: no longer name can be listed */
#define ADDRS_MAX	32

enum unknown { UNKNOWN_EXCLUDE, UNKNOWN_INCLUDE, UNKNOWN_DEFER };

/* One item of the list: "text.domain,domain=addrs/keys". */
struct dnslist {
	struct sv	 domain;	/* looked up first */
	struct sv	 shown;		/* the first of two: gives the text */
	struct sv	 addrs;		/* by commas; p NULL: any */
	struct sv	 keys;		/* p NULL: the client's address */
	bool		 negate, mask, all;
};

static void
parse_item(struct sv item, struct dnslist *d)
{
	ptrdiff_t slash = sv_chr(item, '/'), comma;
	size_t i = 0;

	*d = (struct dnslist){ .addrs = SV_NULL, .keys = SV_NULL };
	if (slash >= 0) {
		d->keys = sv_sub(item, (size_t)slash + 1, item.len);
		item = sv_sub(item, 0, (size_t)slash);
	}
	while (i < item.len && item.p[i] != '=' && item.p[i] != '&' && item.p[i] != '!')
		i++;
	d->domain = sv_trim(sv_sub(item, 0, i));
	if (i < item.len && item.p[i] == '!') {
		d->negate = true;
		i++;
	}
	if (i < item.len) {
		d->mask = item.p[i] == '&';
		if (i + 1 < item.len && item.p[i] == '=' && (item.p[i + 1] == '=' || item.p[i + 1] == '&')) {
			d->all = true;
			d->mask = item.p[++i] == '&';
		}
		d->addrs = sv_sub(item, i + 1, item.len);
	}
	comma = sv_chr(d->domain, ',');
	d->shown = d->domain;
	if (comma >= 0) {
		d->shown = sv_trim(sv_sub(d->domain, 0, (size_t)comma));
		d->domain = sv_trim(sv_sub(d->domain, (size_t)comma + 1, d->domain.len));
	}
}

static bool
domain_ok(struct sv d)
{
	for (size_t i = 0; i < d.len; i++)
		if (!sv_isalnum(d.p[i]) && d.p[i] != '-' && d.p[i] != '.' && d.p[i] != '_')
			return (false);
	return (d.len > 0);
}

/* Does the answer <a> fit one of the wanted addresses? */
static bool
one_fits(const struct dnslist *d, const uint8_t a[4])
{
	struct sv rest = d->addrs, w;

	while (sv_next(&rest, ',', &w)) {
		struct net_addr na;
		bool fits = true;

		if (!net_addr_parse(sv_trim(w), &na) || na.family != 4)
			continue;
		for (int i = 0; i < 4; i++)
			if (d->mask ? (a[i] & na.ip[i]) != na.ip[i] : a[i] != na.ip[i])
				fits = false;
		if (fits)
			return (true);
	}
	return (false);
}

static bool
answers_fit(const struct dnslist *d, const struct exim_dns *dns, const bool *valid)
{
	bool any = false, all = true;

	if (d->addrs.p == NULL)
		return (true);
	for (size_t i = 0; i < dns->n && i < ADDRS_MAX; i++) {
		if (!valid[i])
			continue;
		if (one_fits(d, (const uint8_t *)dns->rdata[i].p))
			any = true;
		else
			all = false;
	}
	return ((d->all ? all && any : any) != d->negate);
}

/* Marks the answers that mean something; their texts go to <sb>.  False if there is none. */
static bool
usable(struct acl_state *st, const struct dnslist *d, const struct exim_dns *dns, bool *valid, struct sb *sb)
{
	bool some = false;

	for (size_t i = 0; i < dns->n && i < ADDRS_MAX; i++) {
		const uint8_t *a = (const uint8_t *)dns->rdata[i].p;

		valid[i] = dns->rdata[i].len == 4 && a[0] == 127 && !(a[1] == 255 && a[2] == 255);
		if (dns->rdata[i].len == 4 && !valid[i])
			acl_log(st, EXIM_LOG_MAIN | EXIM_LOG_HOST, "DNS list lookup for " SV_FMT ": %u.%u.%u.%u %s: ignored",
			    SV_ARG(d->domain), a[0], a[1], a[2], a[3], a[0] == 127 ? "is an error answer of the list" :
			    "is not in 127.0/8 and discarded");
		if (!valid[i])
			continue;
		sb_addf(sb, "%s%u.%u.%u.%u", some ? ", " : "", a[0], a[1], a[2], a[3]);
		some = true;
	}
	return (some);
}

static struct sv
txt_of(struct acl_state *st, const char *name)
{
	const struct exim_world *w = st->env->world;
	struct exim_dns dns;
	struct sb sb = SB_INIT(4096);
	struct sv out;

	memset(&dns, 0, sizeof(dns));
	if (w->dns == NULL || w->dns(w->arg, name, TYPE_TXT, st->env->arena, &dns) == -1 || dns.result != EXIM_DNS_FOUND ||
	    dns.n == 0)
		return (SV_NULL);
	for (size_t i = 0; i < dns.rdata[0].len;) {
		size_t n = (uint8_t)dns.rdata[0].p[i];

		sb_add(&sb, sv_sub(dns.rdata[0], i + 1, i + 1 + n));
		i += 1 + n;
	}
	for (size_t i = 0; i < sb.len; i++)
		if ((unsigned char)sb.p[i] < ' ' || sb.p[i] == 127)
			sb.p[i] = ' ';
	out = sv_taint(acl_keep(st, sb_sv(&sb)));
	sb_free(&sb);
	return (out);
}

enum look { LOOK_LISTED, LOOK_NOT, LOOK_UNKNOWN };

/* Ask <domain> for <key>; with LOOK_LISTED *<value> has the answers. */
static enum look
look(struct acl_state *st, const struct dnslist *d, struct sv domain, bool check, struct sv key, char name[NAME_SIZE],
    struct sv *value)
{
	const struct exim_world *w = st->env->world;
	struct exim_dns dns;
	struct net_addr addr;
	struct sb sb = SB_INIT(1024);
	bool valid[ADDRS_MAX] = { false };
	enum look rc = LOOK_NOT;

	memset(&dns, 0, sizeof(dns));
	if (net_addr_parse(key, &addr))
		net_addr_reverse(&addr, arena_cstr(st->env->arena, domain), name, NAME_SIZE);
	else
		(void)snprintf(name, NAME_SIZE, SV_FMT "." SV_FMT, SV_ARG(key), SV_ARG(domain));
	if (strlen(name) > NAME_LONGEST)
		return (LOOK_NOT);
	if (w->dns == NULL || w->dns(w->arg, name, TYPE_A, st->env->arena, &dns) == -1 || dns.result == EXIM_DNS_TEMPFAIL)
		return (LOOK_UNKNOWN);
	if (dns.result == EXIM_DNS_FOUND && usable(st, d, &dns, valid, &sb) && (!check || answers_fit(d, &dns, valid))) {
		*value = acl_keep(st, sb_sv(&sb));
		rc = LOOK_LISTED;
	}
	sb_free(&sb);
	return (rc);
}

static enum look
check_key(struct acl_state *st, const struct dnslist *d, struct sv key, char *name)
{
	struct exim_acl_state *a = st->env->acl;
	struct sv value = SV_NULL, ignored;
	enum look l = look(st, d, d->domain, true, key, name, &value);

	if (l != LOOK_LISTED)
		return (l);
	if (d->shown.p != d->domain.p) {
		struct dnslist first = { .domain = d->shown, .addrs = SV_NULL };

		l = look(st, &first, d->shown, false, key, name, &ignored);
		if (l != LOOK_LISTED)
			return (l);
	}
	a->dnslist_domain = acl_keep(st, d->shown);
	a->dnslist_matched = acl_keep(st, key);
	a->dnslist_value = value;
	a->dnslist_text = txt_of(st, name);
	return (LOOK_LISTED);
}

static enum look
check_item(struct acl_state *st, const struct dnslist *d, char *asked)
{
	struct sv keys = d->keys, key;
	enum look worst = LOOK_NOT;
	char name[NAME_SIZE];
	int sep = 0;

	if (keys.p == NULL) {
		if (st->env->session == NULL || st->env->session->addr.family == 0)
			return (LOOK_NOT);
		return (check_key(st, d, st->env->session->host_address, asked));
	}
	while (exim_list_next(&keys, &sep, st->env->arena, &key)) {
		enum look l;

		if (key.len == 0)
			continue;
		l = check_key(st, d, key, name);
		if (l == LOOK_LISTED)
			return (l);
		if (l == LOOK_UNKNOWN) {
			worst = l;
			(void)memcpy(asked, name, NAME_SIZE);
		}
	}
	return (worst);
}

enum acl_rc
acl_dnslists(struct acl_state *st, struct sv arg)
{
	static const char *const assumed[] = { "assumed not in list", "assumed in list", "returned DEFER" };
	enum unknown unknown = UNKNOWN_EXCLUDE;
	char asked[NAME_SIZE] = "";
	struct dnslist d;
	struct sv item;
	int sep = 0;

	st->env->acl->dnslist_value = st->env->acl->dnslist_text = SV_NULL;
	st->env->acl->dnslist_domain = st->env->acl->dnslist_matched = SV_NULL;
	while (exim_list_next(&arg, &sep, st->env->arena, &item)) {
		if (item.len == 0)
			continue;
		if (sv_caseeqs(item, "+include_unknown")) {
			unknown = UNKNOWN_INCLUDE;
			continue;
		}
		if (sv_caseeqs(item, "+exclude_unknown")) {
			unknown = UNKNOWN_EXCLUDE;
			continue;
		}
		if (sv_caseeqs(item, "+defer_unknown")) {
			unknown = UNKNOWN_DEFER;
			continue;
		}
		if (item.p[0] == '+') {
			acl_log(st, EXIM_LOG_MAIN | EXIM_LOG_PANIC, "unknown item in dnslist (ignored): " SV_FMT, SV_ARG(item));
			continue;
		}
		parse_item(item, &d);
		if (!domain_ok(d.domain) || !domain_ok(d.shown)) {
			acl_log(st, EXIM_LOG_MAIN | EXIM_LOG_PANIC, "dnslists domain \"" SV_FMT
			    "\" contains strange characters - is this right?", SV_ARG(item));
			continue;
		}
		switch (check_item(st, &d, asked)) {
		case LOOK_LISTED:
			return (RC_OK);
		case LOOK_UNKNOWN:
			if (st->env->conf == NULL || EXIM_LOGSEL_ON(st->env->conf->log_selector, dnslist_defer))
				acl_log(st, EXIM_LOG_MAIN | EXIM_LOG_HOST, "DNS list lookup defer (probably timeout) for %s: %s",
				    asked, assumed[unknown]);
			if (unknown == UNKNOWN_INCLUDE)
				return (RC_OK);
			if (unknown == UNKNOWN_DEFER)
				return (RC_DEFER);
			break;
		default:
			break;
		}
	}
	return (RC_FAIL);
}
