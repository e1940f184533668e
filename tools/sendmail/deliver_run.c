/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One attempt to deliver a message: routing, local deliveries in children that become users, remote ones
 * over lib/deliver, and what is left for later.
 *
 * The order is Exim's, for its logs are compared: recipients are routed from the last to the first, their
 * children after them; local deliveries are done in the reverse order of routing, then remote ones.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deliver_int.h"
#include "os/time.h"

#define BATCH_LIMIT	1000
#define LINE_MAX_LOG	(64 * 1024)

/* What Exim puts in brackets. */
#define NUMBER_LOCAL_WAITS (-53)

/* ---- how deliveries end ---- */

static void
settled(struct attempt *at, const struct event *e)
{
	dmsg_set_done(at->m, e->addr->unique.len > 0 ? e->addr->unique : e->addr->address);
}

void
dattempt_freeze(struct attempt *at, const char *by)
{
	at->m->frozen = true;
	at->m->frozen_at = dnow();
	if (at->frozen_by == NULL)
		at->frozen_by = by;
}

static const struct drcpt *
rcpt_of(const struct attempt *at, struct sv top)
{
	for (size_t i = 0; i < at->m->rcpts.len; i++)
		if (sv_eq(at->m->rcpts.p[i].addr, top))
			return (&at->m->rcpts.p[i]);
	return (NULL);
}

/* Fill what is the same for failures and successes. */
static struct dfail
about(struct attempt *at, const struct event *e)
{
	const struct drcpt *rc = rcpt_of(at, e->top);
	struct dfail f = { .rd = e->rd, .addr = e->addr, .top = e->top, .to = at->m->sender };

	if (e->rd != NULL && e->rd->errors_to_set)
		f.to = e->rd->errors_to;
	if (e->f != NULL && e->f->errors_to_set)
		f.to = e->f->errors_to;
	f.ignore = (e->rd != NULL && e->rd->ignore_error) || (e->f != NULL && e->f->ignore_error);
	f.hidden = (e->rd != NULL && e->rd->hide_child) || (e->f != NULL && e->f->hide_child);
	if (rc != NULL) {
		f.orcpt = rc->orcpt;
		f.notify = rc->notify;
	}
	return (f);
}

void
dattempt_fail(struct attempt *at, const struct event *e, const struct dfail *more)
{
	struct dfail f = about(at, e);

	f.text = more->text;
	f.host = more->host;
	f.diagnostic = more->diagnostic;
	f.output = more->output;
	f.ignore = f.ignore || more->ignore;
	/* Nobody is left to be told: it stays until somebody looks, unless it is old enough to be forgotten. */
	if (f.to.len == 0 && !f.ignore) {
		if (dnow() - at->m->received_us / 1000000 < exim_main_int(at->d->conf, EXIM_MAIN_ignore_bounce_errors_after)) {
			dattempt_freeze(at, " (delivery error message)");
			dattempt_open(at, e);
			vec_push(&at->deferred, ((struct deferral){ .e = *e, .text = f.text }));
			return;
		}
		f.ignore = true;
	}
	vec_push(&at->failed, f);
	dattempt_event(at, e->rd, e->rd == NULL || e->rd->transport == NULL ? "msg:fail:internal" : "msg:fail:delivery",
	    e->rd == NULL || e->rd->transport == NULL || !e->rd->transport->local ? f.text : SV_NULL);
	settled(at, e);
}

static void
succeeded(struct attempt *at, const struct event *e, bool passed)
{
	struct dfail f = about(at, e);
	bool told = false;

	f.passed = passed;
	for (size_t i = 0; i < at->done.len; i++)
		told = told || sv_eq(at->done.p[i].top, f.top);
	if ((f.notify & SPOOL_NOTIFY_SUCCESS) != 0 && at->m->sender.len > 0 && !passed && !told)
		vec_push(&at->done, f);
	settled(at, e);
}

/* <retry>: it stays; else it fails when everything was tried. */
static void
deferred(struct attempt *at, const struct event *e, const struct dfail *f, bool retry)
{
	if (retry) {
		dattempt_open(at, e);
		vec_push(&at->deferred, ((struct deferral){ .e = *e, .text = f->text }));
		return;
	}
	vec_push(&at->late, ((struct late){ .e = *e, .report = f->text, .host = f->host, .diagnostic = f->diagnostic }));
}

/* Its parent is named even where that is called the same. */
static void
tell_over(struct attempt *at, const struct event *e, struct sv text)
{
	if (e->rd == NULL && e->addr->parent != NULL && sv_eq(e->addr->address, dline_top(e->addr)))
		dlog(at->d, DLOG_MAIN, "%s ** " SV_FMT " <" SV_FMT ">: " SV_FMT, at->m->id, SV_ARG(e->addr->address),
		    SV_ARG(dline_top(e->addr)), SV_ARG(text));
	else
		dline_bad(at, e, "**", false, NULL, 0, text, false);
}

/* Those whose time is over fail when everything was tried. */
static void
time_over(struct attempt *at)
{
	for (size_t i = 0; i < at->late.len; i++) {
		const struct late *l = &at->late.p[i];
		struct sv text = SV_LIT("retry timeout exceeded");
		struct event bare = { .addr = l->e.addr, .rd = dline_pfr(l->e.rd) ? l->e.rd : NULL, .top = l->e.top };
		struct dfail f = { .host = l->host, .text = text, .diagnostic = l->diagnostic };
		struct route_delivery pfr;

		if (bare.rd != NULL) {
			pfr = *bare.rd;
			pfr.transport = NULL;
			pfr.router = NULL;
			bare.rd = &pfr;
		}
		tell_over(at, &bare, text);
		if (l->report.len > 0)
			f.text = sv_cstr(arena_fmt(at->m->arena, SV_FMT ": " SV_FMT, SV_ARG(l->report), SV_ARG(text)));
		if (l->diagnostic.len > 0)
			f.diagnostic = sv_cstr(arena_fmt(at->m->arena, SV_FMT ": " SV_FMT, SV_ARG(l->diagnostic), SV_ARG(text)));
		/* Whoever made it cannot be told. */
		f.ignore = at->m->sender.len == 0 && !(l->e.rd != NULL && l->e.rd->errors_to_set);
		dattempt_fail(at, &l->e, &f);
	}
}

/* ---- local transports ---- */

static void
run_by(struct attempt *at, const struct exim_transport *t, const struct route_delivery **rds, size_t n, struct transport_result *r)
{
	struct deliver *d = at->d;
	struct dmsg *m = at->m;
	int fd = m->content == NULL ? -1 : fileno(m->content);
	struct transport_delivery td = { .env = &d->t->env, .t = t, .rd = rds, .n = n, .id = sv_from(m->id, SPOOL_ID_LEN),
	    .return_path = rds[0]->errors_to_set ? rds[0]->errors_to : d->t->msg.sender, .bounce = m->sender.len == 0,
	    .size = (uint64_t)d->t->msg.size, .now = dnow(), .uid = d->conf->g.exim_uid, .gid = d->conf->g.exim_gid,
	    .hostname = arena_cstr(m->arena, d->t->g.primary_hostname), .arena = m->arena };
	struct exim_address *a = arena_alloc(m->arena, sizeof(*a));
	struct transport_job j;
	struct transport_reply warn;
	struct err err = ERR_INIT;
	off_t size = fd == -1 ? 0 : lseek(fd, 0, SEEK_END);

	denv_delivery(d, m, rds[0], a);
	a->transport_name = sv_cstr(t->d.name);
	td.body_off = m->block.len;
	td.body_len = size > (off_t)m->block.len ? (uint64_t)size - m->block.len : 0;
	if (transport_prepare(&td, &j, r) == -1)
		return;
	/* A transport with a name of its own says where the file is. */
	if (j.kind == TRANSPORT_APPENDFILE && j.path.len > 0 && (rds[0]->kind == ROUTE_FILE || rds[0]->kind == ROUTE_DIRECTORY) &&
	    (t->d.own[EXIM_APPENDFILE_file].set || t->d.own[EXIM_APPENDFILE_directory].set))
		((struct route_delivery *)(uintptr_t)rds[0])->text = j.path;
	transport_run(&j, fd, 0, m->arena, r);
	if (j.kind == TRANSPORT_AUTOREPLY && r->status == TRANSPORT_OK && r->send)
		dattempt_reply(at, &td, &j, r, fd);
	if (r->status == TRANSPORT_OK && r->warn && transport_quota_warning(&td, &warn, &err) == 0 && warn.nrcpts > 0) {
		(void)dreceive_own(d, m, d->caller, d->caller_uid, warn.text, warn.rcpts, warn.nrcpts, true, false);
		if (d->now)
			ddeliver_pending(d);
	}
	denv_message(d, m);
}

/* ---- local deliveries ---- */

static struct sv
key_local(struct attempt *at, const struct event *e)
{
	struct sv addr = e->addr->unique.len > 0 ? e->addr->unique : e->addr->address;
	ptrdiff_t sign = sv_rchr(addr, '@');

	if (e->rd->transport != NULL && !e->rd->transport->retry_local_part && sign >= 0)
		addr = sv_sub(addr, (size_t)sign + 1, addr.len);
	return (sv_cstr(arena_fmt(at->m->arena, "T:" SV_FMT, SV_ARG(addr))));
}

static bool
local_may_retry(struct attempt *at, const struct event *e, const struct transport_result *r)
{
	struct exim_retry_what w = { .key = e->addr->address, .sender = at->m->sender, .error = r->quota ? EXIM_RE_QUOTA : EXIM_RE_ANY };

	if (r->quota && r->last_read > 0)
		w.quota_age = dnow() - r->last_read;
	return (dretry_failed(at->d, at->m, key_local(at, e), &w));
}

static void
end_local(struct attempt *at, const struct event *e, const struct transport_result *r, int st, struct sv text, bool also,
    const char *tail)
{
	bool lmtp = e->rd->transport->drv == EXIM_TRANSPORT_DRV_LMTP;
	struct dfail f = { .text = lmtp && text.len > 0 ? text : r->user_text, .output = r->output };
	int64_t sys = r->sys;

	/* LMTP's answers name where they were given. */
	if (lmtp && st == TRANSPORT_DEFER && sys == 0)
		sys = sv_starts(text, "LMTP error after RCPT") ? -44 : sv_starts(text, "LMTP error after end of data") ? -46 : -1;
	switch (st) {
	case TRANSPORT_OK:
		dretry_forget(at->d, key_local(at, e));
		dline_ok(at, e, also, tail);
		dattempt_event(at, e->rd, "msg:delivery", SV_NULL);
		succeeded(at, e, false);
		break;
	case TRANSPORT_FAIL:
		dline_bad(at, e, "**", false, NULL, sys, text, r->panic);
		dattempt_fail(at, e, &f);
		break;
	default:
		if (r->panic == TRANSPORT_PANIC_LINE || r->panic == TRANSPORT_PANIC_FAILS)
			dlog(at->d, DLOG_MAIN | DLOG_PANIC, "%s " SV_FMT, at->m->id, SV_ARG(text));
		dline_bad(at, e, "==", true, NULL, sys, text, r->panic == true);
		if (r->freeze)
			dattempt_freeze(at, "");
		deferred(at, e, &f, local_may_retry(at, e, r) || r->freeze || (r->panic && r->panic != TRANSPORT_PANIC_FAILS));
	}
}

static const char *
shadow(struct attempt *at, const struct exim_transport *t, const struct route_delivery **rds, size_t n)
{
	const struct exim_value *g = t->d.generic;
	const struct exim_transport *s = g[EXIM_TRANSPORT_shadow_transport].text.p == NULL ? NULL :
	    exim_conf_transport(at->d->conf, g[EXIM_TRANSPORT_shadow_transport].text);
	struct transport_result r;
	struct err err = ERR_INIT;
	bool yes = true;

	if (s == NULL || !s->local || (g[EXIM_TRANSPORT_shadow_condition].str != NULL &&
	    (exim_expand_bool(g[EXIM_TRANSPORT_shadow_condition].str, &at->d->t->env, false, &yes, &err) != EXIM_OK || !yes)))
		return (NULL);
	run_by(at, s, rds, n, &r);
	if (r.status == TRANSPORT_OK)
		return (arena_fmt(at->m->arena, " ST=%s", s->d.name));
	return (arena_fmt(at->m->arena, " ST=%s (%s%s" SV_FMT ")", s->d.name, r.sys > 0 ? strerror((int)r.sys) : "",
	    r.sys > 0 ? ": " : "", SV_ARG(r.text)));
}

/* Those of the batch whose time has not come are told so and taken out. */
static size_t
drop_waiting(struct attempt *at, struct event **v, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct dhint hint;

		if (at->d->queue_run && dretry_waits(at->d, key_local(at, v[i]), &hint)) {
			if (dlog_on(at->d, EXIM_LOGSEL_retry_defer))
				dline_bad(at, v[i], "==", true, NULL, NUMBER_LOCAL_WAITS, SV_LIT("Retry time not yet reached"), false);
			dattempt_open(at, v[i]);
		} else
			v[kept++] = v[i];
	}
	return (kept);
}

static void
deliver_local(struct attempt *at, struct event **v, size_t n)
{
	const struct exim_transport *t = v[0]->rd->transport, *other;
	const struct route_delivery **rds = arena_alloc(at->m->arena, n * sizeof(*rds));
	struct transport_result r;
	const char *tail = NULL;

	if ((n = drop_waiting(at, v, n)) == 0)
		return;
	for (size_t i = 0; i < n; i++)
		rds[i] = v[i]->rd;
	at->began_us = os_wall_us();
	run_by(at, t, rds, n, &r);
	if (r.switch_to.len > 0 && (other = exim_conf_transport(at->d->conf, r.switch_to)) != NULL) {
		run_by(at, other, rds, n, &r);
		for (size_t i = 0; i < n; i++) {
			struct route_delivery *rd = arena_dup(at->m->arena, v[i]->rd, sizeof(*rd));

			rd->transport = other;
			v[i]->rd = rd;
		}
	}
	if (r.log_line.len > 0)
		dlog(at->d, DLOG_MAIN, "%s <" SV_FMT ">: %s transport output: " SV_FMT, at->m->id, SV_ARG(v[0]->addr->address), t->d.name,
		    SV_ARG(r.log_line));
	if (r.status == TRANSPORT_OK) {
		tail = shadow(at, t, rds, n);
		if (r.confirmation.len > 0 && dlog_on(at->d, EXIM_LOGSEL_smtp_confirmation))
			tail = arena_fmt(at->m->arena, "%s C=\"" SV_FMT "\"", tail == NULL ? "" : tail, SV_ARG(r.confirmation));
	}
	for (size_t i = 0, ok = 0; i < n; i++) {
		int st = (int)r.status;
		struct sv text = r.text;

		if (r.rcpt_results.n == n && r.rcpt_results.v[i].len > 0) {
			st = r.rcpt_results.v[i].p[0] - '0';
			text = sv_sub(r.rcpt_results.v[i], 1, r.rcpt_results.v[i].len);
		}
		end_local(at, v[i], &r, st, text, ok > 0, tail);
		ok += st == TRANSPORT_OK;
	}
	at->began_us = 0;
}

/* ---- remote ---- */

static void
end_remote(void *arg, size_t i, const struct dend *r)
{
	struct attempt *at = arg;
	struct event *e = at->batch[i];
	struct dfail f = { .text = r->pass ? r->text : SV_NULL, .host = r->host, .diagnostic = r->diagnostic };

	if (r->st == TRANSPORT_OK) {
		dline_ok(at, e, r->also, r->tail);
		dattempt_event(at, e->rd, "msg:delivery", r->text);
		succeeded(at, e, r->dsn_passed);
		return;
	}
	if (r->st == TRANSPORT_FAIL) {
		dline_bad(at, e, "**", false, r->tail, 0, r->text, r->panic);
		dattempt_fail(at, e, &f);
		return;
	}
	if (!r->silent || dlog_on(at->d, EXIM_LOGSEL_retry_defer))
		dline_bad(at, e, "==", true, r->tail, r->sys, r->text, r->panic);
	deferred(at, e, &f, !r->late);
}

static bool
same_list(const struct sv *a, size_t n, const struct sv *b, size_t m)
{
	if (n != m)
		return (false);
	for (size_t i = 0; i < n; i++)
		if (!sv_eq(a[i], b[i]))
			return (false);
	return (true);
}

/* Do two addresses go in one transaction? */
static bool
same_group(struct attempt *at, const struct route_delivery *a, const struct route_delivery *b)
{
	const struct exim_value *multi = &a->transport->d.own[EXIM_SMTP_multi_domain];
	struct err err = ERR_INIT;
	bool many = multi->num != 0;

	if (a->transport != b->transport || a->nhosts != b->nhosts || a->errors_to_set != b->errors_to_set ||
	    !sv_eq(a->errors_to, b->errors_to) || !same_list(a->headers_add, a->nheaders_add, b->headers_add, b->nheaders_add) ||
	    !same_list(a->headers_remove, a->nheaders_remove, b->headers_remove, b->nheaders_remove))
		return (false);
	if (multi->str != NULL)
		(void)exim_expand_bool(multi->str, &at->d->t->env, false, &many, &err);
	if (!many && !sv_caseeq(a->domain, b->domain))
		return (false);
	for (size_t i = 0; i < a->nhosts; i++)
		if (strcmp(a->hosts[i].name, b->hosts[i].name) != 0 || !net_addr_eq(&a->hosts[i].addr, &b->hosts[i].addr) ||
		    a->hosts[i].addr.port != b->hosts[i].addr.port)
			return (false);
	return (true);
}

static size_t
max_rcpt(struct attempt *at, const struct event *e)
{
	const struct exim_value *v = &e->rd->transport->d.own[EXIM_SMTP_max_rcpt];
	struct err err = ERR_INIT;
	int64_t n = v->num;

	if (e->rd->transport->drv != EXIM_TRANSPORT_DRV_SMTP)
		return (BATCH_LIMIT);
	if (v->str != NULL && exim_expand_int(v->str, &at->d->t->env, &n, &err) != EXIM_OK)
		n = 100;
	return (n <= 0 || n > BATCH_LIMIT ? BATCH_LIMIT : (size_t)n);
}

static void
deliver_remote(struct attempt *at, struct event **v, size_t n)
{
	struct dremote r = { .d = at->d, .m = at->m, .n = n, .end = end_remote, .arg = at };

	r.rd = arena_alloc(at->m->arena, n * sizeof(*r.rd));
	for (size_t i = 0; i < n; i++)
		r.rd[i] = v[i]->rd;
	at->batch = v;
	at->nbatch = n;
	at->began_us = os_wall_us();
	ddeliver_remote(&r);
	at->began_us = 0;
}

/* ---- all of a message ---- */

static bool
together(struct attempt *at, struct event *a, struct event *b)
{
	struct exim_address x, y;
	struct exim_env ea, eb;
	bool yes;

	if (!a->rd->transport->local)
		return (same_group(at, a->rd, b->rd));
	if (a->rd->transport != b->rd->transport || transport_batch_max(a->rd->transport) <= 1)
		return (false);
	denv_delivery(at->d, at->m, b->rd, &y);
	eb = at->d->t->env;
	eb.addr = &y;
	denv_delivery(at->d, at->m, a->rd, &x);
	ea = at->d->t->env;
	ea.addr = &x;
	yes = transport_same_batch(a->rd->transport, &ea, a->rd, &eb, b->rd);
	at->d->t->env.addr = NULL;
	return (yes);
}

/* <local>: those first. */
static void
deliver_all(struct attempt *at, bool local)
{
	struct event **order = arena_alloc(at->m->arena, (at->ev.len + 1) * 2 * sizeof(struct event *));
	size_t count = dwait_order(at, local, order, order + at->ev.len + 1);

	for (size_t i = 0; i < count; i++) {
		struct event *e = order[i], **v;
		size_t n = 0, max;

		if (e->taken)
			continue;
		max = local ? (size_t)transport_batch_max(e->rd->transport) : max_rcpt(at, e);
		max = max < 1 ? 1 : max > BATCH_LIMIT ? BATCH_LIMIT : max;
		v = arena_alloc(at->m->arena, max * sizeof(struct event *));
		v[n++] = e;
		e->taken = true;
		for (size_t k = i + 1; k < count && n < max; k++) {
			struct event *o = order[k];

			if (o->taken || !together(at, e, o))
				continue;
			o->taken = true;
			v[n++] = o;
		}
		if (local)
			deliver_local(at, v, n);
		else
			deliver_remote(at, v, n);
	}
}

static unsigned
depth_of(const struct event *e)
{
	unsigned n = 0;

	for (const struct route_addr *a = e->addr; a->parent != NULL; a = a->parent)
		n += !a->unseen;
	/* What a redirection made counts as its child. */
	return (n + dline_pfr(e->rd));
}

static int
by_order(const void *x, const void *y)
{
	const struct event *a = x, *b = y;
	bool pa = dline_pfr(a->rd), pb = dline_pfr(b->rd);

	if (a->depth != b->depth)
		return (a->depth < b->depth ? -1 : 1);
	/* Files and pipes need no routing: they are put aside before the others, in their order. */
	if (pa != pb)
		return (pa ? -1 : 1);
	if (a->turn != b->turn)
		return ((a->turn < b->turn) != pa ? -1 : 1);
	if (a->seq == b->seq)
		return (0);
	/* Children come in front of those that came before them. */
	return ((a->seq < b->seq) == (pa || a->depth == 0) ? -1 : 1);
}

void
dattempt_route(struct attempt *at, const struct drcpt *rc, unsigned turn)
{
	struct deliver *d = at->d;
	struct exim_address a;
	struct route_request rq = { .conf = d->conf, .env = &d->t->env, .arena = at->m->arena, .ops = &d->t->ops,
	    .mode = ROUTE_DELIVER, .address = sv_taint(rc->addr), .sender = sv_taint(at->m->sender),
	    .copies = &at->m->copies };
	struct route_result res;

	memset(&res, 0, sizeof(res));
	memset(&a, 0, sizeof(a));
	d->t->env.addr = &a;
	route_address(&rq, &res);
	d->t->env.addr = NULL;
	for (size_t i = 0; i < res.ndeliveries; i++) {
		const struct route_delivery *rd = &res.delivery[i];
		struct event e = { .rd = rd, .addr = rd->addr, .top = rc->addr, .turn = turn, .seq = rd->seq };

		e.depth = depth_of(&e);
		if (dmsg_is_done(at->m, rd->addr->unique.len > 0 ? rd->addr->unique : rd->addr->address) &&
		    (rd->addr->parent != NULL || dline_pfr(rd)))
			continue;
		vec_push(&at->ev, e);
	}
	for (size_t i = 0; i < res.nfailures; i++) {
		const struct route_failure *f = &res.failure[i];
		struct event e = { .f = f, .addr = f->addr, .top = rc->addr, .turn = turn, .seq = f->seq };

		e.depth = depth_of(&e);
		vec_push(&at->ev, e);
	}
	/* It can be routed: what was remembered of it is over. */
	if (res.ndeliveries > 0 && res.nfailures == 0) {
		dretry_forget(d, dretry_key_routing(d, at->m->arena, rc->addr, false));
		dretry_forget(d, dretry_key_routing(d, at->m->arena, rc->addr, true));
	}
	for (size_t i = 0; i < res.nvars; i++)
		vec_push(&at->vars, res.vars[i]);
	res.nvars = 0;
	route_result_free(&res);
}

/* ---- what routing itself decided is told at once ---- */

static bool
routing_may_retry(struct attempt *at, const struct event *e)
{
	bool whole = e->f->router == NULL || e->f->router->retry_local_part;
	struct exim_retry_what w = { .key = e->addr->address, .sender = at->m->sender, .error = e->f->retry_error };

	return (dretry_failed(at->d, at->m, dretry_key_routing(at->d, at->m->arena, e->addr->address, whole), &w));
}

static void
tell_failure(struct attempt *at, const struct event *e)
{
	struct sv text = sv_cstr(arena_str(at->m->arena, e->f->err.text));
	struct dfail f = { .text = e->f->user_msg };

	if (e->f->fate == ROUTE_FAIL) {
		dline_bad(at, e, "**", false, NULL, 0, text, false);
		dattempt_fail(at, e, &f);
		return;
	}
	dline_bad(at, e, "==", true, NULL, e->f->number != 0 ? e->f->number : -1, text, false);
	if (e->f->fate == ROUTE_FREEZE)
		dattempt_freeze(at, "");
	deferred(at, e, &f, routing_may_retry(at, e) || e->f->fate == ROUTE_FREEZE);
}

static void
tell_discarded(struct attempt *at, struct event *e)
{
	struct sb out = SB_INIT(LINE_MAX_LOG);

	sb_addf(&out, "%s => " SV_FMT " <" SV_FMT ">", at->m->id, SV_ARG(e->rd->text.len > 0 ? e->rd->text : SV_LIT(":blackhole:")),
	    SV_ARG(dline_top(e->addr)));
	dline_where(at, &out, e->rd, e->rd->router);
	/* No transport sees what goes to this file. */
	if (sv_eqs(e->rd->text, "/dev/null"))
		sb_adds(&out, " T=**bypassed**");
	dlog(at->d, DLOG_MAIN, SV_FMT, SV_ARG(sb_sv(&out)));
	sb_free(&out);
	e->taken = true;
}

/* A pipe or file that the router forbids fails by itself; one without a transport waits for one. */
static void
tell_unfit(struct attempt *at, struct event *e)
{
	struct dfail f = { .text = SV_NULL };
	struct sv why = sv_cstr(e->rd->trouble);

	e->taken = true;
	if (e->rd->forbidden) {
		dline_bad(at, e, "**", false, NULL, 0, why, false);
		dattempt_fail(at, e, &f);
		return;
	}
	dline_bad(at, e, "==", true, NULL, -30, why.p == NULL ? SV_LIT("no transport is set for this kind of delivery") : why, false);
	dattempt_open(at, e);
}

static bool
seen_before(const struct attempt *at, size_t i)
{
	const struct event *e = &at->ev.p[i];

	for (size_t k = 0; e->rd != NULL && k < i; k++) {
		const struct event *o = &at->ev.p[k];

		if (o->rd != NULL && o->rd->kind == e->rd->kind && o->rd->transport == e->rd->transport && e->addr->unique.len > 0 &&
		    sv_eq(o->addr->unique, e->addr->unique) && sv_eq(o->rd->text, e->rd->text))
			return (true);
	}
	return (false);
}

static void
tell_routing(struct attempt *at)
{
	for (size_t i = 0; i < at->ev.len; i++) {
		struct event *e = &at->ev.p[i];

		if (seen_before(at, i))
			e->taken = true;
		if (e->rd != NULL && e->rd->kind == ROUTE_DISCARD && !e->taken)
			tell_discarded(at, e);
		if (e->rd != NULL && e->rd->kind != ROUTE_DISCARD && (e->rd->transport == NULL || e->rd->forbidden) && !e->taken)
			tell_unfit(at, e);
		if (e->f != NULL)
			tell_failure(at, e);
	}
}

/* ---- the end ---- */

static bool
is_open(const struct attempt *at, struct sv top)
{
	for (size_t i = 0; i < at->open.len; i++)
		if (sv_eq(at->open.p[i], top))
			return (true);
	return (false);
}

static void
complete(struct deliver *d, struct dmsg *m)
{
	char tail[64] = "";

	if (dlog_on(d, EXIM_LOGSEL_queue_time_overall))
		(void)snprintf(tail, sizeof(tail), " QT=%llds", (long long)(dnow() - m->received_us / 1000000));
	dspool_remove(d, m);
	dlog(d, DLOG_MAIN, "%s Completed%s", m->id, tail);
}

static void
finish(struct attempt *at)
{
	struct dmsg *m = at->m;
	struct err err = ERR_INIT;
	bool left = false;

	dattempt_once(at);
	for (size_t i = 0; i < m->rcpts.len; i++) {
		if (is_open(at, m->rcpts.p[i].addr) || is_open(at, SV_LIT("system-filter"))) {
			left = true;
			/* Only what its children did is kept. */
			for (size_t k = 0; k < m->done.len; k++)
				if (sv_caseeq(m->done.p[k], m->rcpts.p[i].addr)) {
					vec_remove(&m->done, k);
					break;
				}
		} else {
			if (!dmsg_is_done(m, m->rcpts.p[i].addr))
				dmsglog(at->d, m, SV_FMT ": children all complete", SV_ARG(m->rcpts.p[i].addr));
			dmsg_set_done(m, m->rcpts.p[i].addr);
		}
	}
	m->tried = true;
	if (left)
		dtell_delay(at);
	if (left && at->frozen_by != NULL)
		dtell_frozen(at);
	if (!left) {
		dattempt_event(at, NULL, "msg:complete", SV_NULL);
		complete(at->d, m);
	} else if (dspool_write(at->d, m, false, &err) == -1)
		dlog(at->d, DLOG_MAIN | DLOG_PANIC, "%s %s", m->id, err.text);
}

/* What routers want to be known: lib/route's table has no place for more than the words. */
static const char *now_about;
static struct deliver *now_for;
static struct dmsg *now_message;

static void
note(void *arg, const char *text)
{
	(void)arg;
	if (now_for != NULL)
		dlog(now_for, DLOG_MAIN, "%s %s", now_about, text);
}

static void
panic_note(void *arg, const char *text)
{
	(void)arg;
	if (now_for != NULL)
		dlog(now_for, DLOG_MAIN | DLOG_PANIC, "%s %s", now_about, text);
}

/* A router has something to tell to somebody: mistakes in a list. */
static void
mail_note(void *arg, struct sv to, struct sv subject, struct sv body)
{
	struct deliver *d = now_for;
	struct sb out = SB_INIT((size_t)16 * 1024 * 1024);
	struct exim_address *addr;

	(void)arg;
	if (d == NULL)
		return;
	addr = d->t->env.addr;
	sb_addf(&out, "Auto-Submitted: auto-replied\nFrom: Mail Delivery System <Mailer-Daemon@" SV_FMT ">\nTo: " SV_FMT "\nSubject: " SV_FMT
	    "\n\n", SV_ARG(d->t->g.qualify_domain), SV_ARG(to), SV_ARG(subject));
	if (now_message->headers.n > 0 && mail_headers_get(&now_message->headers, "Message-ID").p != NULL)
		sb_addf(&out, "References: " SV_FMT "\n", SV_ARG(sv_trim(mail_headers_get(&now_message->headers, "Message-ID"))));
	sb_add(&out, body);
	d->t->env.addr = NULL;
	(void)dreceive_own(d, now_message, d->caller, d->caller_uid, sb_sv(&out), &to, 1, true, true);
	sb_free(&out);
	if (d->now) {
		const char *about = now_about;
		struct dmsg *m = now_message;

		ddeliver_pending(d);
		now_about = about;
		now_message = m;
	}
	denv_message(d, now_message);
	d->t->env.addr = addr;
}

/* May a frozen message be looked at?  Some thaw by themselves, some are given up. */
static bool
frozen_goes_on(struct deliver *d, struct dmsg *m)
{
	int64_t age = dnow() - m->frozen_at, limit = exim_main_int(d->conf, EXIM_MAIN_timeout_frozen_after);
	int64_t thaw = exim_main_int(d->conf, EXIM_MAIN_auto_thaw);

	if (d->forced) {
		m->frozen = false;
		m->manual_thaw = true;
		dlog(d, DLOG_MAIN, "%s Unfrozen by forced delivery", m->id);
		return (true);
	}
	if (limit > 0 && age >= limit) {
		dlog(d, DLOG_MAIN, "%s cancelled by timeout_frozen_after", m->id);
		dgive_up(d, m);
		return (false);
	}
	/* A report nobody wants, old enough. */
	if (m->sender.len == 0 && age >= exim_main_int(d->conf, EXIM_MAIN_ignore_bounce_errors_after)) {
		dlog(d, DLOG_MAIN, "%s Unfrozen by errmsg timer", m->id);
		m->frozen = false;
		return (true);
	}
	if (thaw > 0 && age >= thaw && m->sender.len > 0) {
		dlog(d, DLOG_MAIN, "%s Unfrozen by auto-thaw", m->id);
		m->frozen = false;
		return (true);
	}
	if (dlog_on(d, EXIM_LOGSEL_skip_delivery))
		dlog(d, DLOG_MAIN, "%s Message is frozen", m->id);
	return (false);
}

/* Too many Received fields: it goes round. */
static bool
loops(struct attempt *at)
{
	int64_t limit = exim_main_int(at->d->conf, EXIM_MAIN_received_headers_max), n = 0;

	for (size_t i = 0; i < at->m->fields.len; i++)
		n += at->m->fields.p[i].type == 'P';
	if (limit <= 0 || n <= limit)
		return (false);
	for (size_t i = 0; i < at->m->rcpts.len; i++) {
		struct route_addr *a = arena_zalloc(at->m->arena, sizeof(*a));
		struct event e = { .addr = a, .top = at->m->rcpts.p[i].addr };
		struct sv text = SV_LIT("Too many \"Received\" headers - suspected mail loop");
		struct dfail f = { .text = SV_NULL };

		a->address = a->unique = at->m->rcpts.p[i].addr;
		if (dmsg_is_done(at->m, a->address))
			continue;
		dline_bad(at, &e, "**", false, NULL, 0, text, false);
		dattempt_fail(at, &e, &f);
	}
	return (true);
}

static void
attempt_free(struct attempt *at)
{
	at->d->t->env.addr = NULL;
	vec_free(&at->ev);
	vec_free(&at->failed);
	vec_free(&at->done);
	vec_free(&at->open);
	vec_free(&at->once);
	vec_free(&at->late);
	vec_free(&at->deferred);
	for (size_t i = 0; i < at->vars.len; i++)
		hash_free(&at->vars.p[i], NULL);
	vec_free(&at->vars);
	dmsg_free(&at->m);
}

void
ddeliver(struct deliver *d, const char *id)
{
	struct attempt at = { .d = d };
	struct err err = ERR_INIT;
	const char *about_before = now_about;
	struct dmsg *before = now_message;
	bool go_on;

	if (dspool_read(d, id, &at.m, &err) == -1) {
		if (errno == ENOENT)
			dlog(d, DLOG_MAIN, "%s Spool file %s-D not found", id, id);
		else if (err.cls == ERR_CONFIG)
			dspool_malformed(d, id);
		else
			dlog(d, DLOG_MAIN, "%s %s", id, err.text);
		return;
	}
	if (at.m->frozen && !frozen_goes_on(d, at.m)) {
		dmsg_free(&at.m);
		return;
	}
	denv_index(at.m);
	denv_message(d, at.m);
	now_about = at.m->id;
	now_message = at.m;
	now_for = d;
	d->t->ops.note = note;
	d->t->ops.panic = panic_note;
	d->t->ops.mail = mail_note;
	go_on = !loops(&at) && dsystem_filter(&at);
	for (size_t i = at.m->rcpts.len; go_on && i-- > 0;)
		if (!dmsg_is_done(at.m, at.m->rcpts.p[i].addr) && !dwait_put_off(&at, &at.m->rcpts.p[i]))
			dattempt_route(&at, &at.m->rcpts.p[i], (unsigned)(at.m->rcpts.len - i));
	if (at.ev.len > 1)
		qsort(at.ev.p, at.ev.len, sizeof(*at.ev.p), by_order);
	tell_routing(&at);
	dwait_remote(&at);
	deliver_all(&at, true);
	deliver_all(&at, false);
	time_over(&at);
	d->t->env.addr = NULL;
	dtell_success(&at);
	dtell_failures(&at);
	finish(&at);
	now_about = about_before;
	now_message = before;
	attempt_free(&at);
}

/* Messages that make messages: what comes deeper stays in the queue for the next run. */
#define DEPTH_MAX	20

void
ddeliver_later(struct deliver *d, const struct dmsg *m)
{
	struct dpending p = { .queue = xstrndup(m->queue.p, m->queue.len) };

	memcpy(p.id, m->id, sizeof(p.id));
	vec_push(&d->pending, p);
}

void
ddeliver_pending(struct deliver *d)
{
	bool forced = d->forced, queue_run = d->queue_run, local_only = d->local_only;
	struct sv queue = d->queue;

	/* What came up on the way is a message like any other. */
	d->forced = d->queue_run = d->local_only = false;
	while (d->pending.len > 0) {
		struct dpending p = d->pending.p[0];

		vec_remove(&d->pending, 0);
		d->queue = sv_cstr(p.queue);
		d->depth++;
		if (d->depth < DEPTH_MAX)
			ddeliver(d, p.id);
		d->depth--;
		free(p.queue);
	}
	d->forced = forced;
	d->queue_run = queue_run;
	d->local_only = local_only;
	d->queue = queue;
}
