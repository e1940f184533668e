/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A message under way: how its deliveries end, and what is done when the last of an
 * attempt has ended.  The usual end, everything delivered, is done at once; reports and
 * queue files park, so they are written by a few fibers of their own (msg_finisher).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/time.h"
#include "os/watch.h"
#include "vqueued_int.h"

#define SOFT_BOUNCE_WAIT	900		/* seconds until what would have failed is tried again */

#define FINISH_RETRY_MS	5000

int64_t
now_s(void)
{
	return (os_wall_us() / 1000000);
}

struct msg *
msg_new(struct vq *vq)
{
	struct msg *m = xcalloc(1, sizeof(*m));

	m->vq = vq;
	m->arena = arena_new(2048);
	sb_init(&m->log, SPOOL_ENVELOPE_MAX);
	m->fd = -1;
	m->max_line = -1;
	m->started_us = os_mono_us();
	if ((m->all_next = vq->msgs) != NULL)
		m->all_next->all_prev = &m->all_next;
	m->all_prev = &vq->msgs;
	vq->msgs = m;
	return (m);
}

void
msg_free(struct msg **mp)
{
	struct msg *m = *mp;

	if (m == NULL)
		return;
	*mp = NULL;
	if (!m->dead && msg_find(m->vq, sv_cstr(m->env.id)) == m)
		(void)hash_del(m->vq->by_id, sv_cstr(m->env.id));
	if (!m->dead && (*m->all_prev = m->all_next) != NULL)
		m->all_next->all_prev = m->all_prev;
	m->dead = true;
	if (m->refs > 0)
		return;
	if (m->fd != -1)
		(void)close(m->fd);
	for (size_t i = 0; i < m->vars.len; i++)
		hash_free(&m->vars.p[i], NULL);
	vec_free(&m->vars);
	childset_free(&m->settled);
	childset_free(&m->taken);
	sb_free(&m->log);
	spool_qfile_free(&m->q);
	arena_free(&m->arena);
	free(m);
}

void
msg_unref(struct msg *m)
{
	if (--m->refs == 0 && m->dead)
		msg_free(&m);
}

void
msg_known(struct msg *m)
{
	const struct msg *other = msg_find(m->vq, sv_cstr(m->env.id));

	/* A segment that is read again after a start may name a message whose queue file is under way: that one counts. */
	if (other == NULL || other->qe == NULL)
		(void)hash_set(m->vq->by_id, sv_cstr(m->env.id), m);
}

struct msg *
msg_find(struct vq *vq, struct sv id)
{
	return (hash_get(vq->by_id, id));
}

void
msg_start(struct msg *m)
{
	struct vq *vq = m->vq;

	m->next = NULL;
	*vq->route_last = m;
	vq->route_last = &m->next;
	/* Whatever was done before it was sent counts for it: a new alias, say. */
	os_watch_expire(vq->watch);
	fiber_waiters_wake_one(&vq->route_wait);
}

int
msg_fd(struct msg *m, struct err *err)
{
	char path[4096];

	if (m->seg != NULL)
		return (spool_reader_fd(m->seg->reader));
	if (m->fd == -1) {
		(void)snprintf(path, sizeof(path), "%s/%s", m->vq->queue_dir, m->env.id);
		m->fd = open(path, O_RDONLY | O_CLOEXEC);
		if (m->fd == -1)
			err_sys(err, "open %s", path);
	}
	return (m->fd);
}

/* ---- ends of deliveries ---- */

static bool
last_of(struct rcpt *r)
{
	return (r->pending == 0 && !r->deferred && !r->failed);
}

void
msg_settle(struct msg *m, uint32_t rcpt, enum spool_state st)
{
	if (m->rcpts[rcpt].state == SPOOL_ST_OPEN) {
		m->rcpts[rcpt].state = st;
		m->open--;
	}
}

/* To another host, which may tell of its success itself; programs and files of this one cannot. */
static bool
is_relayed(const struct dlv *d, enum spool_state how)
{
	return (how == SPOOL_ST_SENT && d->rd->transport != NULL && d->rd->transport->drv == EXIM_TRANSPORT_DRV_SMTP);
}

/* The other host was told what the recipient whose delivery it is wants to be told, not what others do who share it. */
static void
note_success(struct dlv *d, uint32_t rcpt, enum spool_state how, bool dsn_passed)
{
	struct msg *m = d->m;
	bool relayed = is_relayed(d, how);
	struct success *s;

	if ((m->env.rcpts[rcpt].notify & SPOOL_NOTIFY_SUCCESS) == 0 || m->env.sender.len == 0 ||
	    (relayed && dsn_passed && (m->env.rcpts[d->rcpt].notify & SPOOL_NOTIFY_SUCCESS) != 0))
		return;
	s = arena_zalloc(m->arena, sizeof(*s));
	s->rcpt = rcpt;
	s->address = d->rd->addr->address;
	s->relayed = relayed;
	s->next = m->successes;
	m->successes = s;
}

/* One of the deliveries of <rcpt> succeeded. */
static void
rcpt_ok(struct dlv *d, uint32_t rcpt, enum spool_state how, bool dsn_passed)
{
	struct msg *m = d->m;
	struct rcpt *r = &m->rcpts[rcpt];

	note_success(d, rcpt, how, dsn_passed);
	r->pending--;
	r->sent |= how == SPOOL_ST_SENT;
	if (last_of(r)) {
		record_add(m, rcpt, 0, how);
		msg_settle(m, rcpt, r->sent ? SPOOL_ST_SENT : SPOOL_ST_LOCAL);
	} else if (rcpt == d->rcpt && !d->recorded) {
		record_add(m, rcpt, d->child, how);
	}
}

void
delivery_ok(struct dlv *d, enum spool_state how, const char *log_tail, bool dsn_passed)
{
	struct msg *m = d->m;

	if (d->end != DLV_OPEN)
		return;
	d->end = DLV_OK;
	if (is_relayed(d, how))
		m->vq->n_sent++;
	else
		m->vq->n_local++;
	log_delivered(d, log_tail);
	events_delivered(d);
	/*
	 * Another recipient may lead to the same address, now or when it is routed again after a crash: the address itself
	 * is written down, in the same write.  The store knows its deliveries by their ids.
	 */
	if ((how == SPOOL_ST_SENT && m->env.nrcpts > 1) || d->keep) {
		record_add(m, d->rcpt, d->child, how);
		d->recorded = true;
	}
	rcpt_ok(d, d->rcpt, how, dsn_passed);
	for (struct follower *f = d->followers; f != NULL; f = f->next)
		rcpt_ok(d, f->rcpt, how, dsn_passed);
	record_write(m, how);
	(void)childset_add(&m->settled, d->child, d);
	if (m->qe != NULL && how == SPOOL_ST_LOCAL)
		m->qe->local = true;
	msg_release(m);
}

static struct failure *
note_failure(struct msg *m, uint32_t rcpt, struct sv address, const struct err *err)
{
	struct failure *f = arena_zalloc(m->arena, sizeof(*f));

	f->rcpt = rcpt;
	f->address = address;
	f->to = m->env.sender;
	f->text = arena_sv(m->arena, sv_cstr(err->text));
	memcpy(f->status, err->status, sizeof(f->status));
	f->next = m->failures;
	m->failures = f;
	m->rcpts[rcpt].failed = true;
	m->rcpts[rcpt].failures++;
	m->vq->n_failed++;
	return (f);
}

/* The delivery failed for <rcpt>, to whom it belongs or who shares it. */
static void
rcpt_failed(struct dlv *d, uint32_t rcpt, const struct failure *like)
{
	struct msg *m = d->m;
	struct failure *f = arena_dup(m->arena, like, sizeof(*like));

	f->rcpt = rcpt;
	/* Who gave the same address twice is told once. */
	f->quiet = rcpt != d->rcpt && sv_eq(m->env.rcpts[rcpt].addr, m->env.rcpts[d->rcpt].addr);
	f->next = m->failures;
	m->failures = f;
	m->rcpts[rcpt].failed = true;
	m->rcpts[rcpt].failures++;
}

/* With soft_bounce nothing fails for good unless an administrator says so: *<soft> is the failure as a deferral. */
static bool
softened(const struct msg *m, const struct err *err, struct err *soft)
{
	if (!m->vq->box->soft_bounce || m->giveup)
		return (false);
	*soft = *err;
	soft->cls = ERR_TEMP;
	if (soft->status[0] == '5')
		soft->status[0] = '4';
	return (true);
}

void
delivery_failed(struct dlv *d, const struct err *err, struct sv remote_mta, struct sv diagnostic, const char *log_tail)
{
	struct msg *m = d->m;
	struct err soft;
	struct failure *f;

	if (d->end != DLV_OPEN)
		return;
	if (softened(m, err, &soft)) {
		delivery_deferred(d, &soft, now_s() + SOFT_BOUNCE_WAIT, log_tail);
		return;
	}
	d->end = DLV_FAILED;
	events_failed(d, err);
	log_not_delivered(d, "**", err, log_tail);
	f = note_failure(m, d->rcpt, d->rd->addr->address, err);
	f->child = d->child;
	f->hidden = d->rd->hide_child;
	f->remote_mta = arena_sv(m->arena, remote_mta);
	f->diagnostic = arena_sv(m->arena, diagnostic);
	if (d->rd->errors_to_set)
		f->to = d->rd->errors_to;
	d->failure = f;
	m->rcpts[d->rcpt].pending--;
	for (struct follower *o = d->followers; o != NULL; o = o->next) {
		rcpt_failed(d, o->rcpt, f);
		m->rcpts[o->rcpt].pending--;
	}
	msg_release(m);
}

void
note_deferral(struct msg *m, uint32_t rcpt, const struct err *err, int64_t next_try)
{
	struct rcpt *r = &m->rcpts[rcpt];

	if (!r->deferred || next_try < r->next_try)
		r->next_try = next_try;
	r->deferred = true;
	r->last_try = now_s();
	if (r->first_failed == 0)
		r->first_failed = r->last_try;
	r->text = arena_sv(m->arena, sv_cstr(err->text));
	memcpy(r->status, err->status, sizeof(r->status));
	m->vq->n_deferred++;
}

void
delivery_deferred(struct dlv *d, const struct err *err, int64_t next_try, const char *log_tail)
{
	struct msg *m = d->m;

	if (d->end != DLV_OPEN)
		return;
	if (m->giveup || next_try == 0) {
		struct err e = *err;

		e.cls = ERR_PERM;
		if (e.status[0] == '4')
			e.status[0] = '5';
		err_prefix(&e, m->giveup ? "delivery cancelled by administrator" : "retry timeout exceeded");
		delivery_failed(d, &e, SV_NULL, SV_NULL, log_tail);
		return;
	}
	d->end = DLV_DEFERRED;
	log_not_delivered(d, "==", err, log_tail);
	note_deferral(m, d->rcpt, err, next_try);
	m->rcpts[d->rcpt].pending--;
	for (struct follower *f = d->followers; f != NULL; f = f->next) {
		note_deferral(m, f->rcpt, err, next_try);
		m->rcpts[f->rcpt].pending--;
	}
	msg_release(m);
}

/* <d> was deferred before <rcpt> came to share it. */
static void
defer_like(struct dlv *d, uint32_t rcpt)
{
	const struct rcpt *r = &d->m->rcpts[d->rcpt];
	struct err err = ERR_INIT;

	err_set(&err, ERR_TEMP, r->status, SV_FMT, SV_ARG(r->text));
	note_deferral(d->m, rcpt, &err, r->next_try);
}

void
delivery_share(struct dlv *d, uint32_t rcpt)
{
	struct msg *m = d->m;
	struct follower *f;

	/* Recipients come one after the other: whoever has it already is the first of the list. */
	if (rcpt == d->rcpt || (d->followers != NULL && d->followers->rcpt == rcpt))
		return;
	if (d->end == DLV_DEFERRED) {
		defer_like(d, rcpt);
	} else if (d->end == DLV_FAILED) {
		rcpt_failed(d, rcpt, d->failure);
	} else if (d->end == DLV_OPEN) {
		f = arena_zalloc(m->arena, sizeof(*f));
		f->rcpt = rcpt;
		f->next = d->followers;
		d->followers = f;
		m->rcpts[rcpt].pending++;
	}
}

void
address_failed(struct msg *m, uint32_t rcpt, struct sv address, struct sv to, const struct err *err, struct sv text,
    const char *router)
{
	struct err soft;
	struct failure *f;

	if (softened(m, err, &soft)) {
		address_deferred(m, rcpt, address, &soft, now_s() + SOFT_BOUNCE_WAIT, router);
		return;
	}
	events_address_failed(m, address, router, err);
	log_address(m, "**", address, rcpt, router, err, NULL);
	f = note_failure(m, rcpt, arena_sv(m->arena, address), err);
	f->to = to;
	f->child = spool_child("route", address);
	if (text.len > 0)
		f->text = arena_sv(m->arena, text);
}

void
address_deferred(struct msg *m, uint32_t rcpt, struct sv address, const struct err *err, int64_t next_try,
    const char *router)
{
	if (m->giveup || next_try == 0) {
		struct err e = *err;

		e.cls = ERR_PERM;
		if (e.status[0] == '4')
			e.status[0] = '5';
		err_prefix(&e, m->giveup ? "delivery cancelled by administrator" : "retry timeout exceeded");
		address_failed(m, rcpt, address, m->env.sender, &e, SV_NULL, router);
		return;
	}
	log_address(m, "==", address, rcpt, router, err, "defer");
	note_deferral(m, rcpt, err, next_try);
}

/* ---- the end of an attempt ---- */

static void
msg_over(struct msg **mp)
{
	struct msg *m = *mp;
	struct vq *vq = m->vq;
	struct seg *s = m->seg;

	if (m->qe != NULL) {
		m->qe->active = false;
		m->qe->of->active--;
		vq->active_queue--;
		if (m->qe->gone)
			queue_remove(vq, m->qe);
		if (vq->queue_starved && (vq->active_queue < ACTIVE_QUEUE_MAX / 2 || vq->queue_limited))
			queue_wake(vq);
	}
	msg_free(mp);
	if (s != NULL) {
		s->live--;
		vq->active--;
		seg_check_end(s);
		segs_wake(vq);
	}
}

void
msg_told(struct msg *m)
{
	if (m->qe != NULL)
		m->qe->gone = true;
	msg_over(&m);
}

static void
msg_completed(struct msg **mp)
{
	struct msg *m = *mp;

	log_completed(m);
	*mp = NULL;
	if (!events_completed(m))
		msg_told(m);
}

/* Recipients all of whose deliveries ended are settled; the others wait. */
static void
settle_rest(struct msg *m)
{
	enum spool_state st = SPOOL_ST_OPEN;

	for (uint32_t i = 0; i < m->env.nrcpts; i++) {
		struct rcpt *r = &m->rcpts[i];

		if (r->state != SPOOL_ST_OPEN || r->deferred || !r->tried)
			continue;
		msg_settle(m, i, r->failed ? SPOOL_ST_BOUNCED : r->sent ? SPOOL_ST_SENT : SPOOL_ST_LOCAL);
		record_add(m, i, 0, r->state);
		st = r->state == SPOOL_ST_LOCAL && st == SPOOL_ST_OPEN ? SPOOL_ST_LOCAL : SPOOL_ST_SENT;
	}
	if (st != SPOOL_ST_OPEN)
		record_write(m, st);
}

static void
finish(struct msg *m)
{
	struct vq *vq = m->vq;
	struct err err = ERR_INIT;

	/* Where the report could not be written, everything that failed stays open and is tried again. */
	if (m->failures != NULL && !m->removed && report_failures(m, &err) == -1) {
		log_err(NULL, "report", &err);
		for (struct failure *f = m->failures; f != NULL; f = f->next)
			if (!f->reported)
				note_deferral(m, f->rcpt, &err, now_s() + 60);
		err_clear(&err);
	}
	if (m->successes != NULL)
		report_successes(m);
	settle_rest(m);
	/* The record of an administrator's removal counts for all recipients. */
	if (m->open == 0 || (m->removed && m->seg != NULL)) {
		msg_completed(&m);
		return;
	}
	if (m->qe != NULL)
		report_delays(m);
	if (queue_defer(m, &err) == -1) {
		/* The journal's copy, or the file as it was, is still there: again when the disk takes it; others go on meanwhile. */
		log_err(NULL, "queue", &err);
		m->next = vq->later;
		vq->later = m;
		return;
	}
	msg_over(&m);
}

static void
add_finish(struct msg *m)
{
	struct vq *vq = m->vq;

	m->next = NULL;
	*vq->finish_last = m;
	vq->finish_last = &m->next;
	fiber_waiters_wake_one(&vq->finish_wait);
}

void
msg_finish_later(void *arg)
{
	struct vq *vq = arg;
	struct msg *m;

	while (fiber_sleep(FINISH_RETRY_MS) != FIBER_CANCELLED) {
		struct msg *list = vq->later;

		vq->later = NULL;
		while ((m = list) != NULL) {
			list = m->next;
			add_finish(m);
		}
	}
}

void
msg_finisher(void *arg)
{
	struct vq *vq = arg;
	struct msg *m;

	for (;;) {
		while ((m = vq->finish_head) != NULL) {
			if ((vq->finish_head = m->next) == NULL)
				vq->finish_last = &vq->finish_head;
			finish(m);
		}
		if (fiber_waiters_wait(&vq->finish_wait, FIBER_FOREVER) == FIBER_CANCELLED)
			return;
	}
}

void
msg_hold(struct msg *m)
{
	m->busy++;
}

void
msg_release(struct msg *m)
{
	if (--m->busy > 0)
		return;
	if (m->open == 0 && m->failures == NULL && m->successes == NULL) {
		msg_completed(&m);
		return;
	}
	add_finish(m);
}
