/* SPDX-License-Identifier: BSD-2-Clause */
/* A routing result as Exim's -bt and -bv write it. */
#include "route/route_int.h"

static void
parents(const struct route_addr *a, struct sb *out)
{
	for (a = a->parent; a != NULL; a = a->parent)
		sb_addf(out, "\n    <-- " SV_FMT, SV_ARG(a->address));
}

/* Name and address stand in columns. */
static void
hosts(const struct route_delivery *d, struct sb *out)
{
	size_t names = 0, addrs = 0, len;
	char buf[NET_ADDR_TEXT_MAX];

	for (size_t i = 0; i < d->nhosts; i++) {
		len = d->hosts[i].unknown ? strlen("unknown") : strlen(net_addr_text(&d->hosts[i].addr, buf));
		names = strlen(d->hosts[i].name) > names ? strlen(d->hosts[i].name) : names;
		addrs = len > addrs ? len : addrs;
	}
	for (size_t i = 0; i < d->nhosts; i++) {
		const struct route_host *h = &d->hosts[i];
		const char *text = h->unknown ? "unknown" : net_addr_text(&h->addr, buf);

		sb_addf(out, "  host %-*s ", (int)names, h->name);
		if (h->unknown && d->transport != NULL && d->transport->local)
			sb_addf(out, " %-*s ", (int)addrs, "");
		else
			sb_addf(out, "[%s%-*c", text, (int)(addrs + 1 - strlen(text)), ']');
		if (h->mx >= 0)
			sb_addf(out, " MX=%d", h->mx);
		if (h->addr.port != 0)
			sb_addf(out, " port=%u", h->addr.port);
		sb_addc(out, '\n');
	}
}

/* The transport has hosts of its own and takes no others. */
static bool
overrides_hosts(const struct exim_transport *t)
{
	return (t != NULL && t->drv == EXIM_TRANSPORT_DRV_SMTP && t->d.own[EXIM_SMTP_hosts_override].num != 0 &&
	    t->d.own[EXIM_SMTP_hosts].set);
}

/* A pipe or file of redirect data. */
static bool
is_pfr(const struct route_delivery *d)
{
	return (d->kind == ROUTE_PIPE || d->kind == ROUTE_FILE || d->kind == ROUTE_DIRECTORY || d->kind == ROUTE_REPLY);
}

static void
pfr(const struct route_delivery *d, struct sb *out)
{
	const char *mark = d->kind == ROUTE_PIPE ? "|" : d->kind == ROUTE_REPLY ? "mail " : "";

	sb_addf(out, SV_FMT " -> %s" SV_FMT, SV_ARG(d->addr->address), mark, SV_ARG(d->text));
	if (d->trouble != NULL)
		sb_addf(out, "\n*** Error in setting up pipe, file, or autoreply:\n%s\n", d->trouble);
	else if (d->forbidden)
		sb_adds(out, " *** forbidden ***\n");
	else
		sb_addf(out, "\n  transport = %s\n", d->transport == NULL ? "unset" : d->transport->d.name);
}

static void
delivery(struct arena *a, const struct route_delivery *d, struct hash *seen, struct sb *out)
{
	struct sv suffix = d->addr->unique.len > d->addr->address.len ?
	    sv_sub(d->addr->unique, d->addr->address.len, d->addr->unique.len) : SV_LIT("");

	sb_add(out, d->addr->address);
	if (hash_set(seen, sv_cstr(arena_fmt(a, SV_FMT SV_FMT, SV_ARG(d->addr->address), SV_ARG(suffix))), seen) != NULL)
		sb_adds(out, "   [duplicate, would not be delivered]");
	parents(d->addr, out);
	sb_addf(out, "\n  router = %s, transport = %s\n", d->router->d.name, d->transport == NULL ? "unset" : d->transport->d.name);
	if (d->transport != NULL && !overrides_hosts(d->transport))
		hosts(d, out);
}

/* What an expansion says of a database may hold a password: as Exim, only that it failed. */
static const char *
public(const char *text)
{
	static const char *const types[] = { "mysql", "pgsql", "redis", "sqlite", "ldap:", "ldaps:", "ldapi:", "ldapdn:", "ldapm:" };

	if (strstr(text, "failed to expand") == NULL && strstr(text, "expansion of ") == NULL)
		return (text);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strstr(text, types[i]) != NULL)
			return ("Temporary internal error");
	return (text);
}

static int
failure(const struct route_request *rq, const struct route_failure *f, bool full, bool why, struct sb *out)
{
	bool fail = f->fate == ROUTE_FAIL;

	sb_add(out, full ? f->addr->address : rq->address);
	sb_adds(out, !fail ? " cannot be resolved at this time" : rq->mode == ROUTE_TEST ? " is undeliverable" : " failed to verify");
	if (why)
		sb_addf(out, ": %s", public(f->raw != NULL ? f->raw : f->err.text[0] != '\0' ? f->err.text : "unknown error"));
	if (full)
		parents(f->addr, out);
	sb_addc(out, '\n');
	return (fail ? 2 : 1);
}

/* One line: -bv without -v. */
static int
brief(const struct route_request *rq, const struct route_result *res, bool why, struct sb *out)
{
	if (res->nfailures > 0)
		return (failure(rq, &res->failure[0], false, why, out));
	sb_addf(out, SV_FMT " verified\n", SV_ARG(rq->address));
	return (0);
}

/* Failures, pipes and files are shown as they came up; how many deliveries were. */
static size_t
early(const struct route_request *rq, const struct route_result *res, bool why, struct sb *out, int *rc)
{
	size_t f = 0, shown = 0;

	for (size_t d = 0; d < res->ndeliveries || f < res->nfailures;) {
		if (d < res->ndeliveries && !is_pfr(&res->delivery[d])) {
			d++;
		} else if (d < res->ndeliveries && (f == res->nfailures || res->delivery[d].seq < res->failure[f].seq)) {
			pfr(&res->delivery[d++], out);
			shown++;
		} else {
			int one = failure(rq, &res->failure[f++], true, why, out);

			*rc = one == 2 || *rc == 0 ? one : *rc;
		}
	}
	return (shown);
}

int
route_print(const struct route_request *rq, const struct route_result *res, bool why, struct hash *seen, struct sb *out)
{
	size_t shown = 0;
	int rc = 0;

	if (rq->mode != ROUTE_TEST && !rq->everything)
		return (brief(rq, res, why, out));
	shown = early(rq, res, why, out, &rc);
	/* Exim shows its two stacks: local deliveries, then remote ones, each the last first. */
	for (int remote = 0; remote < 2; remote++)
		for (size_t i = res->ndeliveries; i > 0; i--) {
			const struct route_delivery *d = &res->delivery[i - 1];

			if (d->kind == ROUTE_DISCARD || is_pfr(d) || (d->transport != NULL && !d->transport->local) != (remote == 1))
				continue;
			delivery(rq->arena, d, seen, out);
			shown++;
		}
	if (res->nfailures == 0 && shown == 0)
		sb_addf(out, "mail to " SV_FMT " is discarded\n", SV_ARG(rq->address));
	return (rc);
}
