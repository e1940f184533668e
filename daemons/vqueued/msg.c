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
#include "vqueued_int.h"

#define CHILD_LINEAR	32	/* more settled children than that are found by a hash */

int64_t
now_s(void)
{
	return (os_wall_us() / 1000000);
}

static void
index_child(struct childset *c, uint64_t child)
{
	(void)hash_set(c->index, sv_from((const char *)&child, sizeof(child)), c);
}

bool
childset_has(const struct childset *c, uint64_t child)
{
	if (c->index != NULL)
		return (hash_get(c->index, sv_from((const char *)&child, sizeof(child))) != NULL);
	for (size_t i = 0; i < c->v.len; i++)
		if (c->v.p[i] == child)
			return (true);
	return (false);
}

bool
childset_add(struct childset *c, uint64_t child)
{
	if (childset_has(c, child))
		return (false);
	vec_push(&c->v, child);
	if (c->index != NULL)
		index_child(c, child);
	if (c->index == NULL && c->v.len > CHILD_LINEAR) {
		c->index = hash_new();
		for (size_t i = 0; i < c->v.len; i++)
			index_child(c, c->v.p[i]);
	}
	return (true);
}

static void
childset_free(struct childset *c)
{
	vec_free(&c->v);
	hash_free(&c->index, NULL);
}

struct msg *
msg_new(struct vq *vq)
{
	struct msg *m = xcalloc(1, sizeof(*m));

	m->vq = vq;
	m->arena = arena_new(2048);
	m->fd = -1;
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
	if ((*m->all_prev = m->all_next) != NULL)
		m->all_next->all_prev = m->all_prev;
	if (m->fd != -1)
		(void)close(m->fd);
	for (size_t i = 0; i < m->vars.len; i++)
		hash_free(&m->vars.p[i], NULL);
	vec_free(&m->vars);
	childset_free(&m->settled);
	childset_free(&m->taken);
	spool_qfile_free(&m->q);
	arena_free(&m->arena);
	free(m);
	*mp = NULL;
}

void
msg_start(struct msg *m)
{
	struct vq *vq = m->vq;

	m->next = NULL;
	*vq->route_last = m;
	vq->route_last = &m->next;
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

/* ---- what is written down ---- */

void
record_settled(struct msg *m, uint32_t rcpt, uint64_t child, enum spool_state st)
{
	struct sb log = SB_INIT(4096);
	struct err err = ERR_INIT;

	if (m->seg != NULL) {
		spool_done_add(m->seg->done, m->record, rcpt, child, st);
		if (st == SPOOL_ST_LOCAL) {
			seg_dirty(m->seg);	/* its loss is harmless: written at the end of the turn */
			return;
		}
		if (spool_done_write(m->seg->done, &err) == -1)
			log_err(NULL, "done-log", &err);
		seg_want_sync(m->seg);
		return;
	}
	if (child == 0) {
		struct rcpt *r = &m->rcpts[rcpt];
		struct spool_qrcpt q = { .state = st, .first_failed = r->first_failed, .last_try = now_s(), .text = r->text };

		spool_qlog_rcpt(&log, rcpt, &q);
	} else {
		struct spool_qchild c = { .child = child, .rcpt = rcpt, .state = st };

		spool_qlog_child(&log, &c);
	}
	if (spool_qfile_append(m->vq->queue_dir, m->q, sb_sv(&log), false, &err) == -1)
		log_err(NULL, "queue file", &err);
	sb_free(&log);
}

int
record_intent(struct msg *m, struct err *err)
{
	struct sb log = SB_INIT(256);
	struct spool_qchild c = { .child = 1, .rcpt = SPOOL_ALL, .state = SPOOL_ST_INTENT };
	int rc;

	if (m->seg != NULL) {
		spool_done_add(m->seg->done, m->record, SPOOL_ALL, 0, SPOOL_ST_INTENT);
		return (spool_done_write(m->seg->done, err));
	}
	spool_qlog_child(&log, &c);
	rc = spool_qfile_append(m->vq->queue_dir, m->q, sb_sv(&log), false, err);
	sb_free(&log);
	return (rc);
}

int
record_sync(struct msg *m, struct err *err)
{
	if (m->seg != NULL)
		return (spool_done_sync(m->seg->done, err));
	return (spool_qfile_append(m->vq->queue_dir, m->q, SV_LIT(""), true, err));
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

static void
note_success(struct dlv *d, enum spool_state how, bool dsn_passed)
{
	struct msg *m = d->m;
	struct success *s;

	if ((m->env.rcpts[d->rcpt].notify & SPOOL_NOTIFY_SUCCESS) == 0 || m->env.sender.len == 0 ||
	    (how == SPOOL_ST_SENT && dsn_passed))
		return;
	s = arena_zalloc(m->arena, sizeof(*s));
	s->rcpt = d->rcpt;
	s->address = d->rd->addr->address;
	s->relayed = how == SPOOL_ST_SENT;
	s->next = m->successes;
	m->successes = s;
}

void
delivery_ok(struct dlv *d, enum spool_state how, const char *log_tail, bool dsn_passed)
{
	struct msg *m = d->m;
	struct rcpt *r = &m->rcpts[d->rcpt];

	if (d->ended)
		return;
	d->ended = true;
	if (how == SPOOL_ST_SENT)
		m->vq->n_sent++;
	else
		m->vq->n_local++;
	log_delivered(d, log_tail);
	note_success(d, how, dsn_passed);
	r->pending--;
	r->sent |= how == SPOOL_ST_SENT;
	record_settled(m, d->rcpt, last_of(r) ? 0 : d->child, how);
	(void)childset_add(&m->settled, d->child);
	if (m->qe != NULL && how == SPOOL_ST_LOCAL)
		m->qe->local = true;
	if (last_of(r))
		msg_settle(m, d->rcpt, r->sent ? SPOOL_ST_SENT : SPOOL_ST_LOCAL);
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
	m->vq->n_failed++;
	return (f);
}

void
delivery_failed(struct dlv *d, const struct err *err, struct sv remote_mta, struct sv diagnostic, const char *log_tail)
{
	struct msg *m = d->m;
	struct failure *f;

	if (d->ended)
		return;
	d->ended = true;
	log_not_delivered(d, "**", err, log_tail);
	f = note_failure(m, d->rcpt, d->rd->addr->address, err);
	f->child = d->child;
	f->remote_mta = arena_sv(m->arena, remote_mta);
	f->diagnostic = arena_sv(m->arena, diagnostic);
	if (d->rd->errors_to_set)
		f->to = d->rd->errors_to;
	m->rcpts[d->rcpt].pending--;
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

	if (d->ended)
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
	d->ended = true;
	log_not_delivered(d, "==", err, log_tail);
	note_deferral(m, d->rcpt, err, next_try);
	m->rcpts[d->rcpt].pending--;
	msg_release(m);
}

void
address_failed(struct msg *m, uint32_t rcpt, struct sv address, struct sv to, const struct err *err, struct sv text,
    const char *router)
{
	struct failure *f;

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
		vq->active_queue--;
		if (m->qe->gone)
			queue_remove(vq, m->qe);
		if (vq->queue_starved && vq->active_queue < ACTIVE_QUEUE_MAX / 2)
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

static void
msg_completed(struct msg **mp)
{
	struct msg *m = *mp;

	log_completed(m);
	if (m->qe != NULL)
		m->qe->gone = true;
	msg_over(mp);
}

/* Recipients all of whose deliveries ended are settled; the others wait. */
static void
settle_rest(struct msg *m)
{
	for (uint32_t i = 0; i < m->env.nrcpts; i++) {
		struct rcpt *r = &m->rcpts[i];

		if (r->state != SPOOL_ST_OPEN || r->deferred || !r->tried)
			continue;
		msg_settle(m, i, r->failed ? SPOOL_ST_BOUNCED : r->sent ? SPOOL_ST_SENT : SPOOL_ST_LOCAL);
		record_settled(m, i, 0, r->state);
	}
}

static void
finish(struct msg *m)
{
	struct err err = ERR_INIT;

	/* Where the report could not be written, everything that failed stays open and is tried again. */
	if (m->failures != NULL && report_failures(m, &err) == -1) {
		log_err(NULL, "report", &err);
		for (struct failure *f = m->failures; f != NULL; f = f->next)
			if (!f->reported)
				note_deferral(m, f->rcpt, &err, now_s() + 60);
		err_clear(&err);
	}
	if (m->successes != NULL)
		report_successes(m);
	settle_rest(m);
	if (m->open == 0) {
		msg_completed(&m);
		return;
	}
	if (m->qe != NULL)
		report_delays(m);
	while (queue_defer(m, &err) == -1) {
		/* The journal's copy is still there; this message keeps its place until the disk takes it. */
		log_err(NULL, "queue", &err);
		err_clear(&err);
		if (fiber_sleep(5000) == FIBER_CANCELLED)
			return;
	}
	msg_over(&m);
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
	struct vq *vq = m->vq;

	if (--m->busy > 0)
		return;
	if (m->open == 0 && m->failures == NULL && m->successes == NULL) {
		msg_completed(&m);
		return;
	}
	m->next = NULL;
	*vq->finish_last = m;
	vq->finish_last = &m->next;
	fiber_waiters_wake_one(&vq->finish_wait);
}
