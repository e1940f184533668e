/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The deferred queue: what lies in queue/, when each message is due, and how messages
 * come in and go.  In memory a waiting message is a small record (struct qent).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vqueued_int.h"

#define TICK_MS		1000
#define WALK_LONG	2000		/* entries of the queue */
#define WALK_PER_MS	100
#define WALK_SLICE	4096		/* entries until other fibers run */
#define REMOVE_RETRY_S	60
#define UNREAD_RETRY_S	20
#define DAMAGED_RETRY_S	3600
#define LOAD_TRIES	3
#define LOAD_PAUSE_MS	500
#define LOOK_MS		60000
#define SOON_MS		2000
#define QUEUE_ONLY_WAIT	900	/* seconds until a message of control = queue_only is tried */

/* ---- entries ---- */

static int64_t
file_next_try(const struct spool_qfile *q)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; q->rcpts != NULL && i < q->env.nrcpts; i++)
		if ((q->rcpts[i].state == SPOOL_ST_OPEN || q->rcpts[i].state == SPOOL_ST_RETRY) && q->rcpts[i].next_try < next)
			next = q->rcpts[i].next_try;
	return (next == INT64_MAX ? 0 : next);
}

/* Some recipient waits without an attempt: an ACL or an option had it queued. */
static bool
file_untried(const struct spool_qfile *q)
{
	for (size_t i = 0; q->rcpts != NULL && i < q->env.nrcpts; i++)
		if ((q->rcpts[i].state == SPOOL_ST_OPEN || q->rcpts[i].state == SPOOL_ST_RETRY) && q->rcpts[i].last_try == 0)
			return (true);
	return (false);
}

struct qent *
queue_add(struct vq *vq, const struct spool_qfile *q)
{
	struct qent *e = queue_find(vq, sv_cstr(q->env.id));

	if (e == NULL)
		e = queue_enter(vq, q->env.id);
	if (e->unread)
		vq->unread--;
	e->unread = false;
	e->frozen = q->frozen;
	e->frozen_at = q->frozen_at;
	e->bounce = q->env.sender.len == 0;
	e->received = q->env.received_ms / 1000;
	e->next_try = file_next_try(q);
	e->origin = q->origin;
	e->size = q->content_len;
	queue_into(vq, e, q->env.queue);
	e->untried = file_untried(q);
	queue_note_domains(e, &q->env);
	return (e);
}

void
queue_wake(struct vq *vq)
{
	fiber_waiters_wake_all(&vq->queue_wait);
}

/* What cannot be read now is known by its id, so that neither it nor its deliveries are forgotten. */
static void
add_unread(struct vq *vq, const char *id)
{
	struct qent *e = queue_find(vq, sv_cstr(id));

	if (e != NULL)
		return;
	e = queue_enter(vq, id);
	e->unread = e->local = true;
	e->received = spool_id_time(sv_cstr(id));
	e->next_try = now_s() + UNREAD_RETRY_S;
	vq->unread++;
}

static int
read_entry(struct vq *vq, const char *id, struct err *err)
{
	struct spool_qfile *q;
	struct qent *e;

	if (spool_qfile_load(&q, vq->queue_dir, id, err) == -1)
		return (-1);
	e = queue_add(vq, q);
	e->local = true;
	e->report = reported_found(vq, &q->env);
	spool_qfile_free(&q);
	return (0);
}

struct loading {
	struct vq	*vq;
	VEC(char *)	 failed;
};

static void
load_one(void *arg, const char *id)
{
	struct loading *l = arg;
	struct err err = ERR_INIT;

	if (queue_find(l->vq, sv_cstr(id)) != NULL || read_entry(l->vq, id, &err) == 0)
		return;
	log_err(NULL, "queue", &err);
	/* What is damaged stays so. */
	if (err.cls == ERR_TEMP)
		vec_push(&l->failed, xstrdup(id));
}

static void
add_all_unread(struct loading *l)
{
	for (size_t k = 0; k < l->failed.len; k++) {
		add_unread(l->vq, l->failed.p[k]);
		free(l->failed.p[k]);
	}
	vec_free(&l->failed);
}

/* Some rounds over what failed, for a report that is read late names what must not be reported again; then by and by. */
static void
load_failed(struct loading *l)
{
	for (int i = 0; i < LOAD_TRIES && l->failed.len > 0; i++) {
		(void)fiber_sleep(LOAD_PAUSE_MS);
		for (size_t k = l->failed.len; k > 0; k--)
			if (read_entry(l->vq, l->failed.p[k - 1], NULL) == 0) {
				free(l->failed.p[k - 1]);
				vec_remove(&l->failed, k - 1);
			}
	}
	add_all_unread(l);
}

int
queue_load(struct vq *vq, struct err *err)
{
	struct loading l = { .vq = vq };
	int rc;

	/* Temporary files of intake are those of dead workers only: their pids are looked at. */
	(void)spool_qfile_scan(vq->intake, true, load_one, &l, NULL);
	rc = spool_qfile_scan(vq->queue_dir, true, load_one, &l, err);
	load_failed(&l);
	reported_loaded(vq);
	vq->looked = fiber_now() - LOOK_MS + SOON_MS;
	return (rc);
}

/*
 * Files that others have put there: sendmail(1) does while we are away, which may have ended just then.  And what a killed
 * predecessor left half made, which may not have been quite dead when we looked first.
 */
static void
look_for_files(struct vq *vq)
{
	struct loading l = { .vq = vq };
	struct err err = ERR_INIT;

	/* Those that are being made by us are not known by their ids yet. */
	if (!vq->loaded || vq->making > 0 || fiber_now() < vq->looked + LOOK_MS)
		return;
	vq->looked = fiber_now();
	if (spool_qfile_scan(vq->queue_dir, true, load_one, &l, &err) == -1)
		log_err(NULL, "queue", &err);
	add_all_unread(&l);
}

/* ---- what is gone ---- */

static void
forget_add(struct vq *vq, const struct forget *f)
{
	vec_push(&vq->forgets, *f);
	fiber_waiters_wake_all(&vq->forget_wait);
}

void
queue_remove(struct vq *vq, struct qent *e)
{
	struct forget f = { .origin = e->origin, .local = e->local };
	struct err err = ERR_INIT;
	bool waits = reported_waits(vq, e->report);

	if (waits || spool_qfile_remove(vq->queue_dir, e->id, false, &err) == -1) {
		/* The entry stays for as long as the file does: else the message would come back. */
		if (!waits)
			log_err(NULL, "queue", &err);
		e->gone = true;
		e->next_try = now_s() + (waits ? 1 : REMOVE_RETRY_S);
		return;
	}
	memcpy(f.id, e->id, sizeof(f.id));
	vq->unread -= e->unread;
	/* Until its directory is synced the file may come back: what was sent would be sent again. */
	forget_add(vq, &f);
	queue_leave(vq, e);
}

void
forget_segment(struct vq *vq, struct seg *s)
{
	struct forget f = { .origin = s->id, .local = true, .nkeep = s->copied.len };

	f.keep = xcalloc(s->copied.len + 1, sizeof(*f.keep));
	for (size_t i = 0; i < s->copied.len; i++)
		f.keep[i] = sv_cstr(s->copied.p[i]);	/* the strings are taken over */
	vec_clear(&s->copied);
	forget_add(vq, &f);
}

static void
forget_free(struct forget *f)
{
	for (size_t i = 0; i < f->nkeep; i++)
		free((void *)(uintptr_t)f->keep[i].p);
	free(f->keep);
}

static int
forget_one(struct vq *vq, const struct forget *f, struct err *err)
{
	if (!f->local)
		return (0);
	if (f->id[0] != '\0')
		return (store_forget_message(vq->local, f->origin, sv_cstr(f->id), err));
	return (store_forget(vq->local, f->origin, f->keep, f->nkeep, err));
}

/* Those that are there now; false when something has to be waited for. */
static bool
forget_batch(struct vq *vq)
{
	struct forget *v = vq->forgets.p;
	size_t n = vq->forgets.len, done = 0;
	struct err err = ERR_INIT;

	memset(&vq->forgets, 0, sizeof(vq->forgets));
	/* The removal of their files is on disk after this. */
	if (spool_dir_sync(vq->queue_dir, &err) == -1)
		log_err(NULL, "queue", &err);
	else
		/* vlocald away: nothing is lost if we end first, the next process names the origins that still count. */
		while (done < n && (!v[done].local || vq->local_greeted) && forget_one(vq, &v[done], &err) == 0)
			forget_free(&v[done++]);
	for (size_t i = done; i < n; i++)
		vec_push(&vq->forgets, v[i]);
	free(v);
	return (done == n);
}

void
queue_forgetter(void *arg)
{
	struct vq *vq = arg;

	for (;;) {
		if (vq->forgets.len == 0 && fiber_waiters_wait(&vq->forget_wait, FIBER_FOREVER) == FIBER_CANCELLED)
			return;
		if (vq->forgets.len > 0 && !forget_batch(vq) && fiber_sleep(500) == FIBER_CANCELLED)
			return;
	}
}

/* Its attempt is over, or it may have its first; what an administrator said meanwhile is done now. */
void
queue_let_go(struct vq *vq, struct qent *e)
{
	e->active = false;
	if (e->gone) {
		vlog(vq, "%s Completed", e->id);
		queue_remove(vq, e);
	} else {
		queue_wake(vq);
	}
}

/* ---- attempts ---- */

static struct msg *
msg_of_file(struct vq *vq, struct qent *e, struct spool_qfile *q)
{
	struct msg *m = msg_new(vq);

	m->q = q;
	m->qe = e;
	m->env = q->env;
	msg_known(m);
	m->origin = q->origin;
	m->off = q->content_off;
	m->len = q->content_len;
	m->path = sv_cstr(arena_fmt(m->arena, "%s/%s", BOX_QUEUE, q->env.id));
	m->rcpts = arena_zalloc(m->arena, (q->env.nrcpts + 1) * sizeof(*m->rcpts));
	m->force = e->force;
	m->run = e->run;
	m->giveup = e->giveup;
	m->freeze = q->frozen && !e->force;
	for (size_t i = 0; i < q->env.nrcpts; i++) {
		struct rcpt *r = &m->rcpts[i];

		r->state = q->rcpts[i].state == SPOOL_ST_RETRY || q->rcpts[i].state == SPOOL_ST_INTENT ? SPOOL_ST_OPEN :
		    q->rcpts[i].state;
		m->open += r->state == SPOOL_ST_OPEN;
		m->retrying |= q->rcpts[i].first_failed != 0;
		r->first_failed = q->rcpts[i].first_failed;
		r->last_try = q->rcpts[i].last_try;
		r->next_try = q->rcpts[i].next_try;
		r->text = q->rcpts[i].text;
	}
	for (size_t i = 0; i < q->children.len; i++) {
		const struct spool_qchild *c = &q->children.p[i];

		if (c->state == SPOOL_ST_INTENT)
			m->intent = true;
		else if (c->state != SPOOL_ST_OPEN)
			(void)childset_add(&m->settled, c->child, NULL);
	}
	reported_apply(m);
	return (m);
}

/* Somebody has removed the file of <e> by hand: that is its end. */
static bool
file_is_gone(struct vq *vq, struct qent *e)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s", vq->queue_dir, e->id);
	if (access(path, F_OK) == 0 || errno != ENOENT)
		return (false);
	log_error(NULL, "qid=%s its file is gone from the queue", e->id);
	e->gone = true;
	e->next_try = 0;
	return (true);
}

/* Load <e> and give it to the routers. */
static void
start(struct vq *vq, struct qent *e)
{
	struct spool_qfile *q;
	struct err err = ERR_INIT;
	struct msg *m;

	if (spool_qfile_load(&q, vq->queue_dir, e->id, &err) == -1) {
		if (file_is_gone(vq, e))
			return;
		log_err(NULL, "queue", &err);
		e->next_try = now_s() + (err.cls == ERR_TEMP ? UNREAD_RETRY_S : DAMAGED_RETRY_S);
		e->force = false;
		return;
	}
	if (e->unread) {
		(void)queue_add(vq, q);
		e->report = reported_found(vq, &q->env);
		if (e->frozen || e->next_try > now_s() || (e->of->name[0] != '\0' && !e->run)) {
			spool_qfile_free(&q);
			return;
		}
	}
	m = msg_of_file(vq, e, q);
	if (m->intent)
		log_warn(NULL, "qid=%s an earlier process was sending this message when it ended: a host may get it twice", e->id);
	m->intent = false;
	e->active = true;
	e->force = e->giveup = e->run = false;
	e->of->active++;
	vq->active_queue++;
	if (m->force && e->frozen) {
		struct sb log = SB_INIT(256);

		/* Thawed: by hand, or to see whether it goes now. */
		e->frozen = false;
		spool_qlog_frozen(&log, false, 0);
		(void)spool_qfile_append(vq->queue_dir, q, sb_sv(&log), false, NULL);
		sb_free(&log);
	}
	if (m->open == 0) {
		msg_hold(m);
		msg_release(m);
		return;
	}
	msg_start(m);
}

static bool
frozen_due(struct vq *vq, struct qent *e, int64_t now)
{
	int64_t thaw = exim_main_int(vq->conf, EXIM_MAIN_auto_thaw);
	int64_t drop = exim_main_int(vq->conf, EXIM_MAIN_timeout_frozen_after);
	int64_t ignore = exim_main_int(vq->conf, EXIM_MAIN_ignore_bounce_errors_after);

	if (thaw > 0 && now >= e->frozen_at + thaw && !e->bounce) {
		vlog(vq, "%s Unfrozen by auto-thaw", e->id);
		return (e->force = true);
	}
	if (e->bounce && now >= e->received + ignore) {
		vlog(vq, "%s Unfrozen by errmsg timer", e->id);
		return (e->force = true);
	}
	if (drop > 0 && now >= e->frozen_at + drop) {
		vlog(vq, "%s cancelled by timeout_frozen_after", e->id);
		e->giveup = true;
		return (e->force = true);
	}
	return (false);
}

static bool
due(struct vq *vq, struct qent *e, int64_t now)
{
	if (e->active)
		return (false);
	if (e->force)
		return (true);
	/* What is in a named queue waits for a run of it. */
	if (e->of->name[0] != '\0' && !e->run)
		return (false);
	if (e->frozen ? frozen_due(vq, e, now) : now >= e->next_try || (e->run && e->untried))
		return (true);
	e->run = false;
	return (false);
}

/* False: there is no room for any now. */
static bool
attempt(struct vq *vq, struct qent *e)
{
	if (vq->active_queue >= ACTIVE_QUEUE_MAX) {
		vq->queue_starved = true;
		return (false);
	}
	if (e->of->max > 0 && e->of->active >= e->of->max && !e->force) {
		vq->queue_starved = vq->queue_limited = true;
		return (true);
	}
	start(vq, e);
	return (true);
}

static int64_t
limit_of(struct vq *vq, struct vq_env *e, struct sv queue)
{
	const struct exim_value *v = &vq->conf->main[EXIM_MAIN_queue_run_max];
	struct err err = ERR_INIT;
	int64_t max = v->num;

	if (v->str == NULL)
		return (max);
	env_bare(e, vq);
	e->msg.queue_name = queue;
	if (exim_expand_int(v->str, &e->env, &max, &err) != EXIM_OK) {
		log_error(NULL, "queue_run_max: %s", err.text);
		max = 1;
	}
	env_close(e);
	return (max);
}

/* queue_run_max, where it is set: so many messages of a queue at a time, as many as Exim has runners of it. */
static void
expand_limits(struct vq *vq)
{
	size_t n = 0, pos = 0, room = hash_count(vq->queues);
	struct vq_env e = { .arena = NULL };
	struct arena *a;
	struct sv *names, name;
	void *at;

	if (!vq->conf->main[EXIM_MAIN_queue_run_max].set)
		return;
	/* Expanding may park, and queues come and go. */
	a = arena_new(0);
	names = arena_alloc(a, room * sizeof(*names));
	while (n < room && hash_next(vq->queues, &pos, &name, &at))
		names[n++] = arena_sv(a, name);
	for (size_t i = 0; i < n; i++) {
		int64_t max = limit_of(vq, &e, names[i]);
		struct named_queue *q = hash_get(vq->queues, names[i]);

		if (q != NULL)
			q->max = max;
	}
	arena_free(&e.arena);
	arena_free(&a);
}

bool
queue_overloaded(struct vq *vq)
{
	const struct exim_value *max = &vq->conf->main[EXIM_MAIN_deliver_queue_load_max];
	int64_t load = max->set && max->num >= 0 ? vq->world.loadavg(vq->world.arg) : 0;
	bool before = vq->overloaded;

	vq->overloaded = max->set && max->num >= 0 && load > max->num;
	if (vq->overloaded && !before)
		vlog(vq, "Abandon queue run: pid=%ld (load %.2f, max %.2f)", (long)getpid(), (double)load / 1000.0,
		    (double)max->num / 1000.0);
	return (vq->overloaded);
}

/* What is to be done with <e>; true: something that parks was. */
static bool
look_at(struct vq *vq, struct qent *e, int64_t now, bool wait, bool *room)
{
	if (e->gone && !e->active && now >= e->next_try)
		queue_remove(vq, e);
	else if (!e->gone && (!wait || e->force) && due(vq, e, now))
		*room = attempt(vq, e);
	else
		return (false);
	return (true);
}

/*
 * Start what is due, in the order of arrival (queue_run_in_order), from where the last walk found no more room; other fibers run
 * in between.  Whatever parks may have taken entries away: then the walk goes on by the id.
 */
static void
walk(struct vq *vq)
{
	const struct order_entry *at = order_after(vq->order, sv_cstr(vq->run_from)), *next;
	char id[SPOOL_ID_SIZE], before[SPOOL_ID_SIZE];
	bool wait = queue_overloaded(vq), room = true;
	int64_t now = now_s();
	unsigned n = 0;

	memcpy(id, vq->run_from, sizeof(id));
	for (vq->run_from[0] = '\0'; at != NULL && room; at = next) {
		struct qent *e = at->value;

		memcpy(before, id, sizeof(before));
		memcpy(id, e->id, sizeof(id));
		next = at->next;
		if (look_at(vq, e, now, wait, &room))
			next = order_after(vq->order, sv_cstr(id));
		else if (++n % WALK_SLICE == 0) {
			fiber_yield();
			next = order_after(vq->order, sv_cstr(id));
		}
	}
	if (!room)
		memcpy(vq->run_from, before, sizeof(before));
}

void
queue_run(void *arg)
{
	struct vq *vq = arg;
	size_t n;

	for (;;) {
		vq->queue_starved = vq->queue_limited = false;
		routing_more(vq);
		look_for_files(vq);
		expand_limits(vq);
		if (vq->loaded)
			walk(vq);
		if (fiber_waiters_wait(&vq->queue_wait, FIBER_NOW_PLUS(TICK_MS)) == FIBER_CANCELLED)
			return;
		/* Each message that is put off wakes us: the longer the walk, the rarer it is. */
		n = hash_count(vq->qents);
		if (n >= WALK_LONG && fiber_sleep(n / WALK_PER_MS < TICK_MS ? (int64_t)(n / WALK_PER_MS) : TICK_MS) == FIBER_CANCELLED)
			return;
	}
}

/* ---- deferring ---- */

int64_t
queue_next_try(const struct msg *m)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < m->env.nrcpts; i++)
		if (m->rcpts[i].state == SPOOL_ST_OPEN && m->rcpts[i].next_try < next)
			next = m->rcpts[i].next_try;
	return (next);
}

static void
rcpt_to_file(const struct msg *m, size_t i, struct spool_qrcpt *out)
{
	const struct rcpt *r = &m->rcpts[i];

	*out = (struct spool_qrcpt){ .state = r->state == SPOOL_ST_OPEN ? SPOOL_ST_RETRY : r->state,
	    .first_failed = r->first_failed, .last_try = r->last_try, .next_try = r->next_try, .text = r->text };
	if ((m->env.flags & SPOOL_QUEUE_ONLY) != 0 && r->state == SPOOL_ST_OPEN && r->next_try == 0)
		out->next_try = now_s() + QUEUE_ONLY_WAIT;
}

/* The caller makes it known by queue_add() before it parks. */
static int
make_file(struct vq *vq, struct spool_qfile *q, const struct spool_content *c, struct err *err)
{
	int rc;

	vq->making++;
	rc = spool_qfile_create(vq->queue_dir, q, c, err);
	vq->making--;
	return (rc);
}

/* What an administrator said of <m> while its queue file was written. */
static void
take_words(struct msg *m, struct spool_qfile *q, struct qent *e)
{
	struct sb log = SB_INIT(256);
	struct err err = ERR_INIT;

	e->gone = m->removed;
	e->giveup = e->force = m->giveup;
	if (m->freeze == q->frozen)
		return;
	e->frozen = m->freeze;
	e->frozen_at = now_s();
	spool_qlog_frozen(&log, m->freeze, e->frozen_at);
	if (spool_qfile_append(m->vq->queue_dir, q, sb_sv(&log), false, &err) == -1)
		log_err(NULL, "queue", &err);
	sb_free(&log);
}

/* Copy a message of a segment out. */
static int
copy_out(struct msg *m, struct err *err)
{
	struct spool_qfile *q = spool_qfile_new();
	struct spool_content c = { .fd = msg_fd(m, err), .off = (int64_t)m->off, .len = (int64_t)m->len };
	struct seg *s = m->seg;
	struct qent *e;

	q->env = m->env;
	q->env.flags &= ~(uint32_t)(SPOOL_FREEZE | SPOOL_QUEUE_ONLY | SPOOL_FIRST_PASS);
	q->origin = m->origin;
	q->rcpts = arena_zalloc(q->arena, (m->env.nrcpts + 1) * sizeof(*q->rcpts));
	for (size_t i = 0; i < m->env.nrcpts; i++)
		rcpt_to_file(m, i, &q->rcpts[i]);
	for (size_t i = 0; i < m->settled.v.len; i++)
		vec_push(&q->children, ((struct spool_qchild){ m->settled.v.p[i].child, SPOOL_ALL, SPOOL_ST_LOCAL }));
	q->frozen = m->freeze;
	q->frozen_at = now_s();
	if (make_file(m->vq, q, &c, err) == -1) {
		spool_qfile_free(&q);
		return (-1);
	}
	vec_push(&s->copied, xstrdup(m->env.id));
	/*
	 * On disk before the queue file can be finished and removed: else the journal's copy would be found
	 * again, without a queue file to beat it.
	 */
	e = queue_add(m->vq, q);
	e->local = e->active = true;
	take_words(m, q, e);
	spool_done_add(s->done, m->record, SPOOL_ALL, 0, SPOOL_ST_COPIED);
	while (spool_done_sync(s->done, err) == -1) {
		log_err(NULL, "done-log", err);
		err_clear(err);
		if (fiber_sleep(1000) == FIBER_CANCELLED)
			break;
	}
	spool_qfile_free(&q);
	if (e->frozen) {
		vlog(m->vq, "%s Frozen", m->env.id);
		report_frozen(m);
	}
	queue_let_go(m->vq, e);
	return (0);
}

static int
log_changes(struct msg *m, struct err *err)
{
	struct sb log = SB_INIT(SPOOL_ENVELOPE_MAX);
	struct spool_qchild intent = { .child = 1, .rcpt = SPOOL_ALL, .state = SPOOL_ST_OPEN };
	int rc;

	for (uint32_t i = 0; i < m->env.nrcpts; i++) {
		struct spool_qrcpt q;

		if (m->rcpts[i].state != SPOOL_ST_OPEN || !m->rcpts[i].tried)
			continue;
		rcpt_to_file(m, i, &q);
		spool_qlog_rcpt(&log, i, &q);
	}
	spool_qlog_child(&log, &intent);
	if (m->freeze)
		spool_qlog_frozen(&log, true, now_s());
	rc = spool_qfile_append(m->vq->queue_dir, m->q, sb_sv(&log), false, err);
	sb_free(&log);
	return (rc);
}

static bool
any_untried(const struct msg *m)
{
	for (size_t i = 0; i < m->env.nrcpts; i++)
		if (m->rcpts[i].state == SPOOL_ST_OPEN && m->rcpts[i].last_try == 0)
			return (true);
	return (false);
}

int
queue_defer(struct msg *m, struct err *err)
{
	if (m->qe == NULL)
		return (copy_out(m, err));
	/* Removed meanwhile: what that wrote must not be overruled. */
	if (m->qe->gone)
		return (0);
	if (log_changes(m, err) == -1)
		return (file_is_gone(m->vq, m->qe) ? 0 : -1);
	m->qe->next_try = queue_next_try(m);
	m->qe->untried = any_untried(m);
	if (m->freeze) {
		m->qe->frozen = true;
		m->qe->frozen_at = now_s();
		vlog(m->vq, "%s Frozen", m->env.id);
		report_frozen(m);
	}
	return (0);
}

int
queue_inject(struct vq *vq, struct spool_qfile *q, const struct spool_content *c, bool go, struct err *err)
{
	struct qent *e;

	q->origin = vq->own_origin;
	if (make_file(vq, q, c, err) == -1)
		return (-1);
	e = queue_add(vq, q);
	e->run = true;		/* whatever queue it is in, it is tried once */
	if (go)
		queue_wake(vq);
	else
		e->active = true;	/* until the caller lets it go */
	return (0);
}
