/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One attempt to deliver a message: routing, what that decides at once, the deliveries (deliver_transport.c), and what is left
 * for later.
 *
 * The order is Exim's, for its logs are compared: recipients are routed from the last to the first, their
 * children after them; local deliveries are done in the reverse order of routing, then remote ones.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deliver_int.h"
#include "mail/msgid.h"
#include "os/time.h"

#define LINE_MAX_LOG	(64 * 1024)

/* ---- routing ---- */

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

/* Was it made before?  By its address, or as a child that was called as its parent: by transport. */
static bool
is_done(const struct attempt *at, const struct route_delivery *rd)
{
	struct sv key = dattempt_key(at, rd, rd->addr);

	if (rd->addr->parent != NULL || dline_pfr(rd))
		return (dmsg_is_done(at->m, key));
	return (rd->transport != NULL && dmsg_is_done(at->m, sv_cstr(arena_fmt(at->m->arena, SV_FMT "/%s", SV_ARG(key),
	    rd->transport->d.name))));
}

void
dattempt_route(struct attempt *at, const struct drcpt *rc, unsigned turn)
{
	struct deliver *d = at->d;
	struct exim_address a;
	struct route_request rq = { .conf = d->conf, .env = &d->t->env, .arena = at->m->arena, .ops = &d->t->ops,
	    .mode = ROUTE_DELIVER, .address = sv_taint(rc->addr), .sender = sv_taint(at->m->sender),
	    .copies = &at->m->copies, .errors_to = rc->errors_to };
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
		if (is_done(at, rd))
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
	struct sv text = e->f->raw != NULL && e->f->raw[0] == '\0' ? SV_LIT("") : sv_cstr(arena_str(at->m->arena, e->f->err.text));
	struct dfail f = { .text = e->f->code > 0 ? text : e->f->user_msg };

	if (e->f->fate == ROUTE_FAIL) {
		dattempt_event_fail(at, e, text, NULL);
		dline_bad(at, e, "**", false, NULL, 0, text, false);
		dattempt_fail(at, e, &f);
		return;
	}
	dline_bad(at, e, "==", true, NULL, e->f->number != 0 ? e->f->number : -1, text, false);
	if (e->f->fate == ROUTE_FREEZE) {
		dattempt_freeze(at, "");
		if (f.text.len == 0)
			f.text = text;
	}
	dattempt_defer(at, e, &f, routing_may_retry(at, e) || e->f->fate == ROUTE_FREEZE);
}

/* No transport sees what goes to this file. */
static bool
is_null(const struct event *e)
{
	return (e->rd != NULL && e->rd->kind == ROUTE_DISCARD && sv_eqs(e->rd->text, "/dev/null"));
}

static void
tell_discarded(struct attempt *at, struct event *e)
{
	struct sb out = SB_INIT(LINE_MAX_LOG);

	sb_addf(&out, "%s => " SV_FMT, at->m->id, SV_ARG(e->rd->text.len > 0 ? e->rd->text : SV_LIT(":blackhole:")));
	if (is_null(e) && e->addr->parent != NULL)
		sb_addf(&out, " (" SV_FMT ")", SV_ARG(e->addr->address));
	sb_addf(&out, " <" SV_FMT ">", SV_ARG(dline_top(e->addr)));
	dline_where(at, &out, e->rd, e->rd->router);
	if (is_null(e))
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
	struct sb out = SB_INIT(DTEXT_MAX);

	e->taken = true;
	if (e->rd->forbidden) {
		dattempt_event_fail(at, e, why, NULL);
		dline_bad(at, e, "**", false, NULL, 0, why, false);
		dattempt_fail(at, e, &f);
		return;
	}
	if (e->rd->router == NULL && why.p != NULL) {
		dline_address(at, &out, e->addr, e->rd, false);
		dlog(at->d, DLOG_MAIN | DLOG_PANIC, "%s == " SV_FMT " routing defer (-1): " SV_FMT, at->m->id, SV_ARG(sb_sv(&out)), SV_ARG(why));
		sb_free(&out);
	} else
		dline_bad(at, e, "==", true, NULL, -30, why.p == NULL ? SV_LIT("no transport is set for this kind of delivery") : why, false);
	dattempt_open(at, e);
}

/* <e> is made for <other>, too. */
static void
add_also(struct attempt *at, struct event *e, const struct event *other)
{
	struct sv *all = arena_alloc(at->m->arena, (e->nalso + 1) * sizeof(*all));

	for (size_t n = 0; n < e->nalso; n++)
		all[n] = e->also[n];
	all[e->nalso++] = dline_top(other->addr);
	e->also = all;
}

/* Of deliveries that are the same the one that was routed last is made; it is told for whom it was asked for besides. */
static bool
comes_again(struct attempt *at, size_t i)
{
	const struct event *e = &at->ev.p[i];

	for (size_t k = at->ev.len; e->rd != NULL && k-- > i + 1;) {
		struct event *o = &at->ev.p[k];

		if (o->rd == NULL || o->rd->kind != e->rd->kind || o->rd->transport != e->rd->transport || e->addr->unique.len == 0 ||
		    !sv_eq(o->addr->unique, e->addr->unique) || !sv_eq(o->rd->text, e->rd->text))
			continue;
		add_also(at, o, e);
		return (true);
	}
	return (false);
}

static void
tell_routing(struct attempt *at)
{
	for (size_t i = 0; i < at->ev.len; i++) {
		struct event *e = &at->ev.p[i];

		if (comes_again(at, i))
			e->taken = true;
		if (e->rd != NULL && e->rd->kind == ROUTE_DISCARD && !is_null(e) && !e->taken)
			tell_discarded(at, e);
		if (e->rd != NULL && e->rd->kind != ROUTE_DISCARD && (e->rd->transport == NULL || e->rd->forbidden) && !e->taken)
			tell_unfit(at, e);
		if (e->f != NULL)
			tell_failure(at, e);
	}
	/* Files are deliveries, which come after all routing. */
	for (size_t i = at->ev.len; i-- > 0;)
		if (is_null(&at->ev.p[i]) && !at->ev.p[i].taken)
			tell_discarded(at, &at->ev.p[i]);
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
	struct sb tail = SB_INIT(64);

	if (dlog_on(d, EXIM_LOGSEL_queue_time_overall)) {
		sb_adds(&tail, " QT=");
		dlog_time(d, &tail, os_wall_us() - m->received_us);
	}
	dspool_remove(d, m);
	dlog(d, DLOG_MAIN, "%s Completed%s", m->id, sb_cstr(&tail));
	sb_free(&tail);
}

/* Did the system filter ask for deliveries that are all done now? */
static bool
filter_is_done(const struct attempt *at)
{
	for (size_t i = 0; i < at->ev.len; i++)
		if (sv_eqs(at->ev.p[i].top, "system-filter"))
			return (!is_open(at, at->ev.p[i].top));
	return (false);
}

static void
finish(struct attempt *at)
{
	struct dmsg *m = at->m;
	struct err err = ERR_INIT;
	bool waits = is_open(at, SV_LIT("system-filter")), left = waits && m->rcpts.len > 0;

	dattempt_once(at);
	if (filter_is_done(at))
		dmsg_set_done(m, SV_LIT("system-filter"));
	for (size_t i = 0; i < m->rcpts.len; i++) {
		if (is_open(at, m->rcpts.p[i].addr) || (waits && at->filtered)) {
			left = true;
			/* Only what its children did is kept. */
			for (size_t k = 0; k < m->done.len; k++)
				if (dmsg_same(m->done.p[k], m->rcpts.p[i].addr)) {
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
		complete(at->d, m);
		dattempt_event(at, NULL, "msg:complete", SV_NULL, NULL);
	} else if (dspool_write(at->d, m, false, &err) == -1)
		dlog(at->d, DLOG_MAIN | DLOG_PANIC, "%s %s", m->id, err.text);
	else if (at->frozen_by != NULL && exim_main_bool(at->d->conf, EXIM_MAIN_move_frozen_messages))
		dspool_set_aside(at->d, m);
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
	/* Exim writes them below the header, and so do we. */
	mail_references(&out, &now_message->headers, "\n");
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
		(void)dgive_up(d, m);
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
	bool go_on, *waits;
	int lock = dspool_lock(d, id);

	if (lock == -1 && errno != ENOENT) {
		dspool_tell_held(d, id);
		return;
	}
	if (dspool_read(d, id, &at.m, &err) == -1) {
		if (err.cls == ERR_CONFIG)
			dspool_malformed(d, id);
		else if (errno == ENOENT)
			dlog(d, DLOG_MAIN, "%s Spool file %s-D not found", id, id);
		else
			dlog(d, DLOG_MAIN, "%s %s", id, err.text);
		goto out;
	}
	if (at.m->frozen && !frozen_goes_on(d, at.m)) {
		dmsg_free(&at.m);
		goto out;
	}
	denv_index(at.m);
	denv_message(d, at.m);
	if (dloud(d))
		(void)fprintf(stderr, "delivering %s\n", at.m->id);
	now_about = at.m->id;
	now_message = at.m;
	now_for = d;
	d->t->ops.note = note;
	d->t->ops.panic = panic_note;
	d->t->ops.mail = mail_note;
	go_on = !loops(&at) && dsystem_filter(&at);
	waits = arena_zalloc(at.m->arena, at.m->rcpts.len + 1);
	for (size_t i = 0; go_on && i < at.m->rcpts.len; i++)
		waits[i] = dmsg_is_done(at.m, at.m->rcpts.p[i].addr) || dwait_put_off(&at, &at.m->rcpts.p[i]);
	for (size_t i = at.m->rcpts.len; go_on && i-- > 0;)
		if (!waits[i])
			dattempt_route(&at, &at.m->rcpts.p[i], (unsigned)(at.m->rcpts.len - i));
	if (at.ev.len > 1)
		qsort(at.ev.p, at.ev.len, sizeof(*at.ev.p), by_order);
	tell_routing(&at);
	dattempt_deliver(&at, true);
	dwait_remote(&at);
	dattempt_deliver(&at, false);
	dattempt_time_over(&at);
	d->t->env.addr = NULL;
	dtell_success(&at);
	dtell_failures(&at);
	finish(&at);
	now_about = about_before;
	now_message = before;
	attempt_free(&at);
out:
	if (lock != -1)
		(void)close(lock);
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
