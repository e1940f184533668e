/* SPDX-License-Identifier: BSD-2-Clause */
/* A routing result as Exim's -bt and -bv write it. */
#include "route/route_int.h"

static void
parents(const struct route_addr *a, struct sb *out)
{
	for (a = a->parent; a != NULL; a = a->parent)
		sb_addf(out, "\n    <-- " SV_FMT, SV_ARG(a->address));
}

static bool
has_mx(const struct route_delivery *d)
{
	for (size_t i = 0; i < d->nhosts; i++)
		if (d->hosts[i].mx >= 0)
			return (true);
	return (false);
}

static void
delivery(const struct route_delivery *d, struct sb *out)
{
	size_t width = 0;
	char buf[NET_ADDR_TEXT_MAX];

	sb_add(out, d->addr->address);
	switch (d->kind) {
	case ROUTE_PIPE:
		sb_addf(out, " -> |" SV_FMT, SV_ARG(d->text));
		break;
	case ROUTE_FILE:
	case ROUTE_DIRECTORY:
		sb_addf(out, " -> " SV_FMT, SV_ARG(d->text));
		break;
	case ROUTE_DISCARD:
		sb_adds(out, " is discarded");
		break;
	default:
		break;
	}
	if (d->kind == ROUTE_TO_TRANSPORT || d->kind == ROUTE_FILTER) {
		parents(d->addr, out);
		sb_addf(out, "\n  router = %s, transport = %s\n", d->router->d.name,
		    d->transport == NULL ? "unset" : d->transport->d.name);
	} else if (d->kind != ROUTE_DISCARD)
		sb_addf(out, "\n  transport = %s\n", d->transport->d.name);
	else
		sb_addc(out, '\n');
	for (size_t i = 0; i < d->nhosts; i++)
		width = strlen(d->hosts[i].name) > width ? strlen(d->hosts[i].name) : width;
	for (size_t i = 0; i < d->nhosts; i++) {
		const struct route_host *h = &d->hosts[i];

		sb_addf(out, "  host %-*s [%s]", (int)width, h->name, net_addr_text(&h->addr, buf));
		if (has_mx(d) && h->mx >= 0)
			sb_addf(out, " MX=%d", h->mx);
		if (h->addr.port != 0)
			sb_addf(out, " port=%u", h->addr.port);
		sb_addc(out, '\n');
	}
}

static int
verified(const struct route_request *rq, const struct route_result *res, struct sb *out)
{
	const struct route_failure *f = res->nfailures > 0 ? &res->failure[0] : NULL;

	sb_add(out, rq->address);
	if (f == NULL) {
		sb_adds(out, " verified\n");
		return (0);
	}
	sb_addf(out, f->fate == ROUTE_FAIL ? " failed to verify: %s" : " cannot be resolved at this time: %s", f->err.text);
	parents(f->addr, out);
	sb_addc(out, '\n');
	return (f->fate == ROUTE_FAIL ? 2 : 1);
}

int
route_print(const struct route_request *rq, const struct route_result *res, struct sb *out)
{
	int rc = 0;

	if (rq->mode == ROUTE_VERIFY_RECIPIENT || rq->mode == ROUTE_VERIFY_SENDER)
		return (verified(rq, res, out));
	for (size_t i = 0; i < res->nfailures; i++) {
		const struct route_failure *f = &res->failure[i];

		sb_addf(out, SV_FMT "%s: %s", SV_ARG(f->addr->address), f->fate == ROUTE_FAIL ? " is undeliverable" :
		    " cannot be resolved at this time", f->err.text);
		parents(f->addr, out);
		sb_addc(out, '\n');
		rc = f->fate == ROUTE_FAIL ? 2 : rc == 0 ? 1 : rc;
	}
	/* Exim shows its two stacks: local deliveries, then remote ones, each the last first. */
	for (int remote = 0; remote < 2; remote++)
		for (size_t i = res->ndeliveries; i > 0; i--) {
			const struct route_delivery *d = &res->delivery[i - 1];

			if ((d->transport != NULL && !d->transport->local) == (remote == 1))
				delivery(d, out);
		}
	return (rc);
}
