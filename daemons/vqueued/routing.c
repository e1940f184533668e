/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Routing: a few fibers take messages from one list and run each recipient through the
 * routers.  A fiber parks where a router asks DNS; the others go on meanwhile.
 */
#include <string.h>
#include <unistd.h>

#include "filter/forward.h"
#include "mail/address.h"
#include "os/time.h"
#include "os/watch.h"
#include "vqueued_int.h"

#define YIELD_EVERY	50		/* recipients routed in a turn of the loop */
#define HELD_S		1800
#define QUEUED_S	900		/* Exim has its queue runs; we a time */
#define DEFER_S		300		/* when no retry rule says anything */
#define PATIENCE_US	200000		/* a message that waits longer for a router gets one more */
#define MORE		16

/* ---- does the configuration look at messages? ---- */

static bool
mentions(const struct exim_opt_table *t, const struct exim_value *v)
{
	static const char *const words[] = { "h_", "header", "message_body", "message_headers", "{acl{" };

	for (size_t i = 0; t != NULL && v != NULL && i < t->n; i++)
		for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++)
			if (sv_find(v[i].text, sv_cstr(words[k])) >= 0)
				return (true);
	return (false);
}

static bool
action_mentions(const struct exim_value *v)
{
	const struct exim_opt_table one = { .n = 1 };

	return (v->str != NULL && mentions(&one, v));
}

static bool
driver_mentions(const struct exim_driver *d)
{
	return (mentions(d->generic_table, d->generic) || mentions(d->table, d->own));
}

static bool
uses_headers(const struct exim_conf *c)
{
	for (size_t i = 0; i < c->nrouters; i++)
		if (driver_mentions(&c->routers[i]->d))
			return (true);
	for (size_t i = 0; i < c->ntransports; i++)
		if (driver_mentions(&c->transports[i]->d))
			return (true);
	return (action_mentions(&c->main[EXIM_MAIN_event_action]));
}

/* A user's filter looks at the message, which is read only then. */
static void
ops_filter(void *arg, struct route_filter *f)
{
	struct vq_env *e = (struct vq_env *)(void *)f->env;

	if (env_headers(e, e->of)) {
		filter_route(arg, f);
		return;
	}
	f->end = ROUTE_FILTER_BROKEN;
	f->why = SV_LIT("the message cannot be read");
}

/* The first time that a message is looked at, which is no queue run. */
static bool
first_time(const struct msg *m)
{
	return (!m->retrying && !m->force);
}

/* What routers have to say of a message, in the logs as Exim has it. */
static void
ops_note(void *arg, const char *text)
{
	const struct msg *m = arg;

	vlog(m->vq, "%s %s", m->env.id, text);
}

static void
ops_panic(void *arg, const char *text)
{
	const struct msg *m = arg;

	eximlog_write(EXIMLOG_MAIN | EXIMLOG_PANIC, "%s %s", m->env.id, text);
}

/* syntax_errors_to: once, not at each attempt. */
static void
ops_mail(void *arg, struct sv to, struct sv subject, struct sv body)
{
	struct msg *m = arg;

	if (first_time(m))
		report_mail(m, to, subject, body);
}

int
routing_init(struct vq *vq, struct err *err)
{
	world_init(vq);
	route_dns_rules(vq->conf, &vq->world);
	route_ops_dns(&vq->route_ops);
	vq->route_ops.filter = ops_filter;
	vq->route_ops.note = ops_note;
	vq->route_ops.panic = ops_panic;
	vq->route_ops.mail = ops_mail;
	vq->caches = exim_caches_new();
	vq->g = vq->conf->g;
	vq->g.pid = getpid();
	vq->uses_headers = uses_headers(vq->conf);
	for (vq->routers = 0; vq->routers < ROUTERS; vq->routers++)
		if (fiber_spawn("router", routing_fiber, vq) == NULL)
			return (err_set(err, ERR_TEMP, "4.3.2", "no fibers for routing"));
	return (0);
}

void
routing_more(struct vq *vq)
{
	if (vq->route_head == NULL || os_mono_us() - vq->route_head->started_us < PATIENCE_US)
		return;
	for (int i = 0; i < MORE && vq->routers < ROUTERS_MAX && fiber_spawn("router", routing_fiber, vq) != NULL; i++)
		vq->routers++;
}

/* ---- one recipient ---- */

void
routing_failed(struct work *w, uint32_t i, const struct route_failure *f)
{
	struct msg *m = w->m;
	const char *router = f->router == NULL ? NULL : f->router->d.name;
	struct sv to = f->errors_to_set ? f->errors_to : m->env.sender;
	struct retry_failure rf = { .what = f->retry_error, .sender = m->env.sender };
	ptrdiff_t at = sv_rchr(f->addr->address, '@');
	const struct failure *before = m->failures;
	int64_t next;

	/* It failed in an earlier attempt, and that was told. */
	if (childset_has(&m->settled, spool_child("route", f->addr->address)))
		return;
	if (f->fate == ROUTE_FAIL) {
		address_failed(m, i, f->addr->address, to, &f->err, f->user_msg, router);
	} else {
		m->freeze = m->freeze || f->fate == ROUTE_FREEZE;
		rf.local_part = sv_sub(f->addr->address, 0, at < 0 ? f->addr->address.len : (size_t)at);
		rf.domain = at < 0 ? SV_LIT("") : sv_sub(f->addr->address, (size_t)at + 1, f->addr->address.len);
		next = retry_next(m->vq, &w->e->env, &rf, m->rcpts[i].first_failed, now_s());
		address_deferred(m, i, f->addr->address, &f->err, next, router);
	}
	/* A deferral that lasted too long is a failure, too. */
	if (m->failures != before)
		m->failures->hidden = f->hide_child;
}

static const char *
kind_name(const struct route_delivery *rd)
{
	return (rd->transport == NULL ? "none" : rd->transport->d.name);
}

void
routing_take(struct work *w, uint32_t i, const struct route_delivery *rd, bool keep)
{
	struct msg *m = w->m;
	uint64_t child = spool_child(kind_name(rd), rd->addr->unique.len > 0 ? rd->addr->unique : rd->addr->address);
	struct dlv *d = childset_get(&m->taken, child);
	struct err err = ERR_INIT;

	/* Settled by an earlier attempt, or the same as another of this message. */
	if (childset_has(&m->settled, child))
		return;
	if (d != NULL) {
		delivery_share(d, i);
		return;
	}
	d = arena_zalloc(m->arena, sizeof(*d));
	d->m = m;
	d->rd = rd = sysfilter_headers(w, rd);
	d->keep = keep;
	d->rcpt = i;
	d->child = child;
	d->path = m->path;
	d->off = m->off;
	d->len = m->len;
	(void)childset_add(&m->taken, child, d);
	m->rcpts[i].pending++;
	msg_hold(m);
	if (rd->kind == ROUTE_DISCARD) {
		delivery_ok(d, SPOOL_ST_LOCAL, NULL, true);
	} else if (rd->kind == ROUTE_FILTER || rd->transport == NULL) {
		err_set(&err, ERR_CONFIG, "4.3.5", rd->kind == ROUTE_FILTER ? "filters are not run by this router" :
		    "the router names no transport for this kind of delivery");
		delivery_deferred(d, &err, now_s() + DEFER_S, NULL);
	} else if (rd->transport->drv == EXIM_TRANSPORT_DRV_STORE) {
		env_delivery(w->e, d);
		if (local_prepare(m->vq, w->e, d, &err) == -1) {
			delivery_deferred(d, &err, now_s() + DEFER_S, NULL);
			return;
		}
		d->next = w->local;
		w->local = d;
	} else if (rd->transport->local) {
		d->next = NULL;
		*w->jobs_last = d;
		w->jobs_last = &d->next;
	} else {
		*w->remote_last = d;
		w->remote_last = &d->next;
	}
}

static bool
listed(struct work *w, enum exim_main_opt o, struct sv addr)
{
	const struct exim_list *l = exim_main_list(w->m->vq->conf, o);
	ptrdiff_t at = sv_rchr(addr, '@');
	struct err err = ERR_INIT;
	bool yes = false;

	return (l != NULL && at >= 0 &&
	    exim_match_domain(l, &w->e->env, sv_sub(addr, (size_t)at + 1, addr.len), &yes, NULL, &err) == EXIM_OK && yes);
}

/* hold_domains, queue_domains (chapter 14 of Exim's manual): nothing is tried but by force, or not the first time. */
static bool
held(struct work *w, uint32_t i)
{
	struct msg *m = w->m;
	struct sv addr = m->env.rcpts[i].addr;
	struct err err = ERR_INIT;

	if (!m->force && listed(w, EXIM_MAIN_hold_domains, addr)) {
		err_set(&err, ERR_TEMP, "4.3.2", "domain is held");
		address_deferred(m, i, addr, &err, now_s() + HELD_S, NULL);
		return (true);
	}
	if (first_time(m) && listed(w, EXIM_MAIN_queue_domains, addr)) {
		err_set(&err, ERR_TEMP, "4.3.2", "domain is in queue_domains");
		address_deferred(m, i, addr, &err, now_s() + QUEUED_S, NULL);
		m->rcpts[i].last_try = 0;	/* the next run takes it */
		return (true);
	}
	return (false);
}

/* queue_smtp_domains, control = queue/first_pass_route: routed and delivered here at once, sent to others the next time. */
static struct dlv *
put_off_remote(struct work *w)
{
	struct dlv *left = NULL, **last = &left, *next;
	struct err err = ERR_INIT;

	err_set(&err, ERR_TEMP, "4.3.2", "first-pass only routing due to -odqs, queue_smtp_domains or control=queue");
	for (struct dlv *d = w->remote; d != NULL; d = next) {
		next = d->next;
		d->next = NULL;
		if ((w->m->env.flags & SPOOL_FIRST_PASS) != 0 || listed(w, EXIM_MAIN_queue_smtp_domains, d->rd->addr->address)) {
			delivery_deferred(d, &err, now_s() + QUEUED_S, NULL);
			w->m->rcpts[d->rcpt].last_try = 0;	/* the next run takes it */
			continue;
		}
		*last = d;
		last = &d->next;
	}
	return (left);
}

void
routing_address(struct work *w, struct sv address, struct route_result *res)
{
	struct msg *m = w->m;
	struct route_request rq = { .conf = m->vq->conf, .env = &w->e->env, .arena = m->arena, .ops = w->ops,
	    .mode = ROUTE_DELIVER, .address = address, .sender = m->env.sender, .copies = &m->copies };

	memset(res, 0, sizeof(*res));
	route_address(&rq, res);
	for (size_t k = 0; k < res->nvars; k++)
		vec_push(&m->vars, res->vars[k]);	/* live as long as the deliveries */
	res->nvars = 0;
	route_result_free(res);
}

static void
route_recipient(struct work *w, uint32_t i)
{
	struct msg *m = w->m;
	struct route_result res;

	m->rcpts[i].tried = true;
	/* The system filter's deliveries may have begun already. */
	if (w->filter == NULL)
		m->rcpts[i].deferred = m->rcpts[i].failed = false;
	if (held(w, i))
		return;
	routing_address(w, m->env.rcpts[i].addr, &res);
	/* Held together so that the first to end does not end the recipient. */
	m->rcpts[i].pending++;
	for (size_t k = 0; k < res.nfailures; k++)
		routing_failed(w, i, &res.failure[k]);
	for (size_t k = 0; k < res.ndeliveries; k++)
		routing_take(w, i, &res.delivery[k], false);
	m->rcpts[i].pending--;
}

/* Messages that are not tried at all: frozen or queued by an ACL, or cancelled. */
static bool
not_now(struct work *w)
{
	struct msg *m = w->m;
	struct err err = ERR_INIT;

	if (m->giveup) {
		err_set(&err, ERR_PERM, "5.0.0", "delivery cancelled");
		for (uint32_t i = 0; i < m->env.nrcpts; i++)
			if (m->rcpts[i].state == SPOOL_ST_OPEN) {
				m->rcpts[i].tried = true;
				address_failed(m, i, m->env.rcpts[i].addr, m->env.sender, &err, SV_NULL, NULL);
			}
		return (true);
	}
	if (m->qe != NULL || (m->env.flags & (SPOOL_FREEZE | SPOOL_QUEUE_ONLY)) == 0)
		return (false);
	m->freeze = (m->env.flags & SPOOL_FREEZE) != 0;
	return (true);
}

bool
rcpt_due(const struct msg *m, uint32_t i, int64_t now)
{
	const struct rcpt *r = &m->rcpts[i];

	return (r->state == SPOOL_ST_OPEN && (m->force || r->next_try <= now || (m->run && r->last_try == 0)));
}

static void
route_message(struct vq *vq, struct msg *m, struct vq_env *e)
{
	struct work w = { .m = m, .e = e };
	struct route_ops ops = vq->route_ops;
	int64_t now = now_s();
	unsigned n = 0;

	w.remote_last = &w.remote;
	w.jobs_last = &w.jobs;
	msg_hold(m);
	env_open(e, vq, m);
	exim_caches_message(vq->caches);
	ops.arg = m;
	w.ops = &ops;
	if (!not_now(&w) && sysfilter_run(&w))
		for (uint32_t i = 0; i < m->env.nrcpts; i++) {
			if (!rcpt_due(m, i, now))
				continue;
			route_recipient(&w, i);
			if (++n % YIELD_EVERY == 0)
				fiber_yield();
		}
	if (w.remote != NULL && first_time(m) && ((m->env.flags & SPOOL_FIRST_PASS) != 0 ||
	    exim_main_list(vq->conf, EXIM_MAIN_queue_smtp_domains) != NULL))
		w.remote = put_off_remote(&w);
	env_close(e);
	kept_close(&w.filter_file);
	for (struct dlv *d = w.local, *next; d != NULL; d = next) {
		next = d->next;
		local_add(vq, d);
	}
	if (w.jobs != NULL)
		jobs_add(vq, w.jobs);
	if (w.remote != NULL)
		remote_add(vq, m, w.remote);
	msg_release(m);
}

void
routing_fiber(void *arg)
{
	struct vq *vq = arg;
	struct vq_env e = { .arena = NULL };
	struct msg *m;

	for (;;) {
		while ((m = vq->route_head) != NULL) {
			if ((vq->route_head = m->next) == NULL)
				vq->route_last = &vq->route_head;
			route_message(vq, m, &e);
		}
		if (vq->routers > ROUTERS)
			break;
		if (fiber_waiters_wait(&vq->route_wait, FIBER_FOREVER) == FIBER_CANCELLED)
			break;
	}
	vq->routers--;
	arena_free(&e.arena);
}
