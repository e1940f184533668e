/* SPDX-License-Identifier: BSD-2-Clause */
/* What of a message is not tried now, and in which order the rest is. */
#include <string.h>

#include "deliver_int.h"

/* What Exim puts in brackets. */
#define NUMBER_HELD	(-23)
#define NUMBER_ROUTING_WAITS (-52)
#define NUMBER_QUEUED	(-56)

static bool
domain_in(struct attempt *at, struct sv addr, enum exim_main_opt o)
{
	const struct exim_list *l = exim_main_list(at->d->conf, o);
	ptrdiff_t sign = sv_rchr(addr, '@');
	struct err err = ERR_INIT;
	bool yes = false;

	return (l != NULL && sign >= 0 &&
	    exim_match_domain(l, &at->d->t->env, sv_sub(addr, (size_t)sign + 1, addr.len), &yes, NULL, &err) == EXIM_OK && yes);
}

bool
dwait_put_off(struct attempt *at, const struct drcpt *rc)
{
	const char *why = NULL, *how = "";
	int number = 0;

	if (at->d->forced)
		return (false);
	if (domain_in(at, rc->addr, EXIM_MAIN_hold_domains)) {
		why = "domain is held";
		number = NUMBER_HELD;
	} else if (!at->d->queue_run && domain_in(at, rc->addr, EXIM_MAIN_queue_domains)) {
		why = "domain is in queue_domains";
		how = " routing";
		number = NUMBER_QUEUED;
	} else if (dretry_routing_waits(at->d, at->m, rc->addr)) {
		why = "retry time not reached";
		how = " routing";
		number = NUMBER_ROUTING_WAITS;
	}
	if (why == NULL)
		return (false);
	if (number != NUMBER_ROUTING_WAITS || dlog_on(at->d, EXIM_LOGSEL_retry_defer))
		dlog(at->d, DLOG_MAIN, "%s == " SV_FMT "%s" SV_FMT "%s defer (%d): %s", at->m->id, SV_ARG(rc->addr),
		    at->m->queue.len > 0 ? " Q=" : "", SV_ARG(at->m->queue), how, number, why);
	vec_push(&at->open, rc->addr);
	return (true);
}

void
dwait_remote(struct attempt *at)
{
	for (size_t i = at->ev.len; i-- > 0;) {
		struct event *e = &at->ev.p[i];
		bool queued = !at->d->queue_run && !at->d->forced;

		if (e->rd == NULL || e->taken || e->rd->transport == NULL || e->rd->transport->local)
			continue;
		if (at->d->local_only)
			dline_bad(at, e, "==", true, NULL, -55, SV_LIT("remote deliveries suppressed"), false);
		else if (queued && at->d->routing_only)
			dline_bad(at, e, "==", true, NULL, 0, SV_LIT("SMTP delivery explicitly queued"), false);
		else if (queued && domain_in(at, e->addr->address, EXIM_MAIN_queue_smtp_domains))
			dline_bad(at, e, "==", true, NULL, -1,
			    SV_LIT("first-pass only routing due to -odqs, queue_smtp_domains or control=queue"), false);
		else if (!at->d->first_stage)
			continue;
		e->taken = true;
		dattempt_open(at, e);
	}
}

/* ---- the order ---- */

static bool
waits_for(const struct event *e, bool local)
{
	return (e->rd != NULL && !e->taken && e->rd->transport != NULL && e->rd->transport->local == local);
}

/*
 * Bring those of order[<start>] and behind whose domain is in place <rank> of remote_sort_domains to the front; what stood
 * behind the last of them comes next, then what stood between them.  Returns how many are in front now.
 */
static size_t
bring_forward(struct event **order, size_t start, size_t n, size_t rank, struct event **room)
{
	size_t k = start, put = 0, last = start;

	for (size_t i = start; i < n; i++)
		if (order[i]->rank == rank)
			last = i;
	for (size_t i = start; i < n; i++)
		if (order[i]->rank == rank)
			room[put++] = order[i];
	k += put;
	for (size_t i = last + 1; i < n; i++)
		room[put++] = order[i];
	for (size_t i = start; i < last; i++)
		if (order[i]->rank != rank)
			room[put++] = order[i];
	memcpy(order + start, room, put * sizeof(struct event *));
	return (k);
}

size_t
dwait_order(struct attempt *at, bool local, struct event **order, struct event **room)
{
	const struct exim_list *sort = local ? NULL : exim_main_list(at->d->conf, EXIM_MAIN_remote_sort_domains);
	struct err err = ERR_INIT;
	size_t n = 0, start = 0;

	for (size_t i = at->ev.len; i-- > 0;)
		if (waits_for(&at->ev.p[i], local))
			order[n++] = &at->ev.p[i];
	for (size_t i = 0; sort != NULL && i < n; i++)
		(void)exim_match_domain_rank(sort, &at->d->t->env, order[i]->rd->domain, &order[i]->rank, &err);
	while (sort != NULL && start < n) {
		size_t rank = SIZE_MAX;

		for (size_t i = start; i < n; i++)
			rank = order[i]->rank < rank ? order[i]->rank : rank;
		if (rank == SIZE_MAX)
			break;
		start = bring_forward(order, start, n, rank, room);
	}
	return (n);
}
