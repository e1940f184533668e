/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the main log and of the message's own log about deliveries, as Exim writes them (chapter 53 of its manual). */
#include <stdlib.h>
#include <string.h>

#include "deliver_int.h"
#include "os/time.h"

#define LINE_MAX_LOG	(64 * 1024)

struct sv
dline_top(const struct route_addr *a)
{
	while (a->parent != NULL)
		a = a->parent;
	return (a->address);
}

bool
dline_pfr(const struct route_delivery *rd)
{
	return (rd != NULL && (rd->kind == ROUTE_PIPE || rd->kind == ROUTE_FILE || rd->kind == ROUTE_DIRECTORY ||
	    rd->kind == ROUTE_REPLY));
}

/* A command may have more than one line, a line of the log may not. */
static void
put_one_line(struct sb *out, struct sv text)
{
	struct sv line;

	while (sv_next(&text, '\n', &line)) {
		sb_add(out, line);
		if (text.len > 0)
			sb_adds(out, "\\n");
	}
}

void
dline_put_pfr(struct sb *out, const struct route_delivery *rd)
{
	struct sv text = rd->text;
	ptrdiff_t angle = sv_rchr(text, '<');

	if (rd->kind == ROUTE_PIPE && !sv_starts(text, "|"))
		sb_addc(out, '|');
	if (rd->kind == ROUTE_REPLY) {
		sb_addc(out, '>');
		/* Only the address of "Name <address>". */
		if (angle >= 0 && sv_ends(text, ">"))
			text = sv_sub(text, (size_t)angle + 1, text.len - 1);
	}
	put_one_line(out, text);
}

/* <v> without quotes and backslashes around what needs them. */
static size_t
unquoted(char *to, struct sv v)
{
	size_t n = 0;

	if (v.len < 2 || v.p[0] != '"' || v.p[v.len - 1] != '"') {
		memcpy(to, v.p, v.len);
		return (v.len);
	}
	for (size_t i = 1; i + 1 < v.len; i++) {
		if (v.p[i] == '\\' && i + 2 < v.len)
			i++;
		to[n++] = v.p[i];
	}
	return (n);
}

/* Routers that took no care of the case lowered it and took the quotes off, domains are lowered by all; affixes are not shown. */
static struct sv
full_address(struct attempt *at, const struct route_addr *addr, const struct route_delivery *rd)
{
	struct sv shown = addr->address;
	size_t n, sign;
	char *p;

	if (rd != NULL && rd->kind == ROUTE_TO_TRANSPORT && rd->transport != NULL && rd->domain.len > 0) {
		bool affixes = rd->transport->d.generic[EXIM_TRANSPORT_rcpt_include_affixes].num != 0;

		return (sv_cstr(arena_fmt(at->m->arena, SV_FMT SV_FMT SV_FMT "@" SV_FMT, SV_ARG(affixes ? rd->prefix : SV_LIT("")),
		    SV_ARG(rd->local_part), SV_ARG(affixes ? rd->suffix : SV_LIT("")), SV_ARG(rd->domain))));
	}
	if (rd != NULL || sv_rchr(shown, '@') <= 0)
		return (shown);
	sign = (size_t)sv_rchr(shown, '@');
	p = arena_alloc(at->m->arena, shown.len);
	n = unquoted(p, sv_sub(shown, 0, sign));
	memcpy(p + n, shown.p + sign, shown.len - sign);
	n += shown.len - sign;
	for (size_t i = 0; i < n; i++)
		p[i] = sv_lower(p[i]);
	return (sv_from(p, n));
}

/* one_time put the recipient <a> in the place of another: that one is the original. */
static struct sv
original(const struct attempt *at, struct sv a)
{
	for (size_t i = 0; i < at->m->rcpts.len; i++) {
		const struct drcpt *r = &at->m->rcpts.p[i];

		if (r->parent >= 0 && (size_t)r->parent < at->m->rcpts.len && sv_eq(r->addr, a))
			return (at->m->rcpts.p[r->parent].addr);
	}
	return (a);
}

/* log_as_local: the local part alone, with the affixes where the file has them; false where that is not set. */
static bool
put_as_local(struct sb *out, const struct route_delivery *rd)
{
	const struct exim_transport *t = rd == NULL ? NULL : rd->transport;
	bool affixes;

	if (t == NULL || !t->local || rd->router == NULL || rd->router->d.generic[EXIM_ROUTER_log_as_local].num == 0)
		return (false);
	affixes = t->d.generic[EXIM_TRANSPORT_rcpt_include_affixes].num != 0 &&
	    ((t->drv == EXIM_TRANSPORT_DRV_APPENDFILE && t->d.own[EXIM_APPENDFILE_use_bsmtp].num != 0) ||
	    (t->drv == EXIM_TRANSPORT_DRV_PIPE && t->d.own[EXIM_PIPE_use_bsmtp].num != 0));
	sb_addf(out, SV_FMT SV_FMT SV_FMT, SV_ARG(affixes ? rd->prefix : SV_LIT("")), SV_ARG(rd->local_part),
	    SV_ARG(affixes ? rd->suffix : SV_LIT("")));
	return (true);
}

void
dline_address(struct attempt *at, struct sb *out, const struct route_addr *addr, const struct route_delivery *rd, bool success)
{
	bool all = dlog_on(at->d, EXIM_LOGSEL_all_parents), add_top = true, pfr = dline_pfr(rd);
	const struct route_addr *top = addr, *from;
	struct sv first;

	while (top->parent != NULL)
		top = top->parent;
	first = top == addr && !pfr ? original(at, top->address) : top->address;
	/* What a redirection makes of an address has the address as its parent. */
	from = pfr ? addr : addr->parent;
	if (pfr)
		dline_put_pfr(out, rd);
	else if (!success || !put_as_local(out, rd)) {
		struct sv shown = success && at->as.len > 0 ? at->as : full_address(at, addr, rd);

		sb_add(out, shown);
		if (dmsg_same(shown, first) && (!all || addr->parent == NULL || addr->parent == top))
			add_top = false;
	}
	if ((all || pfr) && from != NULL && from != top) {
		const char *sep = " (";

		for (const struct route_addr *p = from; p != top && p != NULL; p = p->parent) {
			sb_addf(out, "%s" SV_FMT, sep, SV_ARG(p->address));
			sep = ", ";
			if (!all)
				break;
		}
		sb_addc(out, ')');
	}
	if (add_top)
		sb_addf(out, " <" SV_FMT ">", SV_ARG(first));
}

static void
put_queue(const struct attempt *at, struct sb *out)
{
	if (at->m->queue.len > 0)
		sb_addf(out, " Q=" SV_FMT, SV_ARG(at->m->queue));
}

static void
put_drivers(struct sb *out, const struct route_delivery *rd, const struct exim_router *router)
{
	if (router != NULL)
		sb_addf(out, " R=%s", router->d.name);
	if (rd != NULL && rd->transport != NULL)
		sb_addf(out, " T=%s", rd->transport->d.name);
}

void
dline_where(struct attempt *at, struct sb *out, const struct route_delivery *rd, const struct exim_router *router)
{
	if (dlog_on(at->d, EXIM_LOGSEL_sender_on_delivery))
		sb_addf(out, " F=<" SV_FMT ">", SV_ARG(at->m->sender));
	put_queue(at, out);
	if (rd != NULL && dlog_on(at->d, EXIM_LOGSEL_return_path_on_delivery))
		sb_addf(out, " P=<" SV_FMT ">", SV_ARG(at->path.p != NULL ? at->path :
		    rd->errors_to_set ? rd->errors_to : at->m->sender));
	put_drivers(out, rd, router);
}

void
dlog_time(struct deliver *d, struct sb *out, int64_t us)
{
	if (us < 0)
		us = 0;
	if (dlog_on(d, EXIM_LOGSEL_millisec))
		sb_addf(out, "%lld.%03llds", (long long)(us / 1000000), (long long)(us / 1000 % 1000));
	else
		sb_addf(out, "%llds", (long long)(us / 1000000));
}

static void
put_times(struct attempt *at, struct sb *out, bool queue)
{
	int64_t now = os_wall_us();

	if (queue && dlog_on(at->d, EXIM_LOGSEL_queue_time)) {
		sb_adds(out, " QT=");
		/* In the last line of a message the time of reception always counts. */
		dlog_time(at->d, out, now - (dlog_on(at->d, EXIM_LOGSEL_queue_time_exclusive) && at->m->complete_us != 0 ?
		    at->m->complete_us : at->m->received_us));
	}
	if (dlog_on(at->d, EXIM_LOGSEL_deliver_time)) {
		sb_adds(out, " DT=");
		dlog_time(at->d, out, at->began_us == 0 ? 0 : now - at->began_us);
	}
}

static bool
quiet(const struct event *e)
{
	const struct route_delivery *rd = e->rd;

	/* A delivery is its transport's, what routing decided the router's. */
	if (rd != NULL && rd->transport != NULL)
		return (rd->transport->d.generic[EXIM_TRANSPORT_disable_logging].num != 0);
	return (e->f != NULL && e->f->router != NULL && e->f->router->d.generic[EXIM_ROUTER_disable_logging].num != 0);
}

void
dline_ok(struct attempt *at, const struct event *e, bool also, const char *tail)
{
	struct sb out = SB_INIT(LINE_MAX_LOG);
	struct sv top = dline_top(e->addr), shown = full_address(at, e->addr, e->rd);
	struct sb pfr = SB_INIT(LINE_MAX_LOG);

	sb_addf(&out, "%s %s ", at->m->id, dbypassed(at->d, at->m) ? "*>" : also ? "->" : "=>");
	dline_address(at, &out, e->addr, e->rd, true);
	dline_where(at, &out, e->rd, e->rd->router);
	if (dlog_on(at->d, EXIM_LOGSEL_delivery_size))
		sb_addf(&out, " S=%lld", (long long)at->d->t->msg.size);
	/* A local transport behind a list of hosts: which were named. */
	if (e->rd->transport->local && e->rd->kind == ROUTE_TO_TRANSPORT && e->rd->nhosts > 0)
		sb_addf(&out, " H=%s", e->rd->hosts[0].name);
	if (tail != NULL)
		sb_adds(&out, tail);
	put_times(at, &out, true);
	if (!quiet(e))
		dlog(at->d, DLOG_MAIN, SV_FMT, SV_ARG(sb_sv(&out)));
	if (dline_pfr(e->rd)) {
		dline_put_pfr(&pfr, e->rd);
		shown = sb_sv(&pfr);
	}
	if (e->addr->parent == NULL && !dline_pfr(e->rd))
		dmsglog(at->d, at->m, SV_FMT ": %s transport succeeded", SV_ARG(shown), e->rd->transport->d.name);
	else
		dmsglog(at->d, at->m, SV_FMT " <" SV_FMT ">: %s transport succeeded", SV_ARG(shown), SV_ARG(top),
		    e->rd->transport->d.name);
	sb_free(&pfr);
	sb_free(&out);
}

void
dline_bad(struct attempt *at, const struct event *e, const char *mark, bool defer, const char *tail, int64_t sys, struct sv text,
    bool panic)
{
	struct sb out = SB_INIT(LINE_MAX_LOG);
	const struct exim_router *router = e->rd != NULL ? e->rd->router : e->f != NULL ? e->f->router : NULL;

	dline_address(at, &out, e->addr, e->rd, false);
	/* A deferral tells nothing of envelopes. */
	if (defer) {
		put_queue(at, &out);
		put_drivers(&out, e->rd, router);
	} else
		dline_where(at, &out, e->rd, router);
	if (defer)
		sb_addf(&out, " defer (%lld)", (long long)sys);
	/* The system's words, the host, our own. */
	if (sys > 0)
		sb_addf(&out, ": %s", strerror((int)sys));
	if (tail != NULL)
		sb_adds(&out, tail);
	if (defer)
		put_times(at, &out, false);
	if (text.len > 0)
		sb_addf(&out, ": " SV_FMT, SV_ARG(text));
	if (defer || e->rd != NULL)
		dmsglog(at->d, at->m, SV_FMT, SV_ARG(sb_sv(&out)));
	else
		dmsglog(at->d, at->m, "routing failed for " SV_FMT ": " SV_FMT, SV_ARG(e->addr->address), SV_ARG(text));
	if (!defer)
		put_times(at, &out, false);
	if (!quiet(e))
		dlog(at->d, DLOG_MAIN | (panic ? DLOG_PANIC : 0), "%s %s " SV_FMT, at->m->id, mark, SV_ARG(sb_sv(&out)));
	sb_free(&out);
}
