/* SPDX-License-Identifier: BSD-2-Clause */
/* What workers and tools say on var/run/queue.sock (spool/client.h). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vqueued_int.h"

#define PAGE_MAX	500		/* messages of one answer to LIST */
#define PAGE_BYTES	(IPC_FRAME_MAX - 128 * 1024)
#define LOADED_STEP_MS	20		/* between two looks whether the queue was read */

/* ---- LIST ---- */

#define LIST_SLICE	32		/* queue files read until other fibers run */
#define RUN_SLICE	4096		/* entries marked until then */

struct idlist {
	VEC(struct sv)	 v;
};

static int
by_id(const void *a, const void *b)
{
	return (sv_cmp(*(const struct sv *)a, *(const struct sv *)b));
}

/* Copies of the ids of messages behind <after> that have no queue file yet and wait for something else than the next barrier. */
static void
collect_active(struct vq *vq, struct sv after, struct arena *a, struct idlist *l)
{
	for (struct msg *m = vq->msgs; m != NULL; m = m->all_next)
		if (m->qe == NULL && m->indexed < m->busy && sv_cmp(sv_cstr(m->env.id), after) > 0 &&
		    queue_find(vq, sv_cstr(m->env.id)) == NULL)
			vec_push(&l->v, arena_sv(a, sv_cstr(m->env.id)));
	if (l->v.len > 1)
		qsort(l->v.p, l->v.len, sizeof(*l->v.p), by_id);
}

static bool
in_domain(struct sv addr, struct sv domain)
{
	ptrdiff_t at = sv_rchr(addr, '@');

	return (domain.len == 0 || (at >= 0 && sv_caseeq(sv_sub(addr, (size_t)at + 1, addr.len), domain)));
}

static bool
any_in_domain(const struct spool_envelope *e, struct sv domain)
{
	for (size_t i = 0; i < e->nrcpts; i++)
		if (in_domain(e->rcpts[i].addr, domain))
			return (true);
	return (false);
}

static void
put_entry(struct sb *reply, const struct spool_listed *l)
{
	struct sb e = SB_INIT(IPC_FRAME_MAX);

	spool_listed_encode(&e, l);
	ipc_put_bytes(reply, SPOOL_T_ENTRY, sb_sv(&e));
	sb_free(&e);
}

static void
list_active(const struct msg *m, struct spool_listed *l, struct arena *a)
{
	l->id = sv_cstr(m->env.id);
	l->size = m->len;
	l->received = m->env.received_ms / 1000;
	l->sender = m->env.sender;
	l->active = true;
	l->nrcpts = m->env.nrcpts;
	l->rcpts = arena_zalloc(a, (l->nrcpts + 1) * sizeof(*l->rcpts));
	for (size_t i = 0; i < l->nrcpts; i++) {
		l->rcpts[i].addr = m->env.rcpts[i].addr;
		l->rcpts[i].done = m->rcpts[i].state != SPOOL_ST_OPEN;
	}
}

static void
list_file(const struct qent *e, const struct spool_qfile *q, struct spool_listed *l, struct arena *a)
{
	l->id = sv_cstr(e->id);
	l->size = q->content_len;
	l->received = q->env.received_ms / 1000;
	l->sender = q->env.sender;
	l->frozen = e->frozen;
	l->active = e->active;
	l->next_try = e->next_try;
	l->nrcpts = q->env.nrcpts;
	l->rcpts = arena_zalloc(a, (l->nrcpts + 1) * sizeof(*l->rcpts));
	for (size_t i = 0; i < l->nrcpts; i++) {
		enum spool_state st = q->rcpts[i].state;

		l->rcpts[i].addr = q->env.rcpts[i].addr;
		l->rcpts[i].done = st != SPOOL_ST_OPEN && st != SPOOL_ST_RETRY && st != SPOOL_ST_INTENT;
		if (!l->rcpts[i].done && q->rcpts[i].text.len > 0)
			l->reason = q->rcpts[i].text;
	}
}

/* What is asked for. */
struct wanted {
	struct sv	 queue, domain;
};

static bool
list_active_one(struct vq *vq, struct sv id, const struct wanted *w, struct sb *reply)
{
	struct msg *m = msg_find(vq, id);
	struct spool_listed l = { .reason = SV_LIT("") };
	struct arena *a;

	if (m == NULL || (!sv_eqs(w->queue, SPOOL_QUEUES_ALL) && !sv_eq(w->queue, m->env.queue)) || !any_in_domain(&m->env, w->domain))
		return (false);
	a = arena_new(0);
	list_active(m, &l, a);
	put_entry(reply, &l);
	arena_free(&a);
	return (true);
}

/* Add <e>; false if it has nothing for the domain, or there is nothing of it any more. */
static bool
list_queued(struct vq *vq, const struct qent *e, const struct wanted *w, struct sb *reply)
{
	struct spool_listed l = { .reason = SV_LIT("") };
	struct spool_qfile *q = NULL;
	struct arena *a;
	bool yes = false;

	if (e->gone || !queue_in(e, w->queue) || !queue_may_be_for(e, w->domain))
		return (false);
	a = arena_new(0);
	if (spool_qfile_load(&q, vq->queue_dir, e->id, NULL) == 0 && any_in_domain(&q->env, w->domain)) {
		list_file(e, q, &l, a);
		yes = true;
	} else if (q == NULL && e->unread && w->domain.len == 0) {
		l.id = sv_cstr(e->id);
		l.received = e->received;
		l.next_try = e->next_try;
		l.sender = SV_LIT("");
		l.reason = SV_LIT("the file of this message cannot be read now");
		yes = true;
	}
	if (yes)
		put_entry(reply, &l);
	spool_qfile_free(&q);
	arena_free(&a);
	return (yes);
}

static void
read_wanted(const struct ipc_msg *m, struct wanted *w)
{
	w->queue = ipc_get_bytes(m, SPOOL_T_QUEUE);
	w->domain = ipc_get_bytes(m, SPOOL_T_DOMAIN);
}

/*
 * A page: the queue's index and the messages without a file, both in the order of their ids, are merged.  Other fibers run after
 * some files; what came or went meanwhile is listed or not.
 */
static void
do_list(struct vq *vq, const struct ipc_msg *m, struct sb *reply)
{
	struct sv after = ipc_get_bytes(m, SPOOL_T_AFTER);
	struct arena *a = arena_new(0);
	struct idlist active = { VEC_INIT };
	char id[SPOOL_ID_SIZE] = "";
	struct wanted w;
	size_t n = 0, looked = 0, k = 0;
	struct qent *e = NULL;

	read_wanted(m, &w);
	if (after.len > 0 && after.len < sizeof(id))
		memcpy(id, after.p, after.len);
	collect_active(vq, sv_cstr(id), a, &active);
	while (((e = queue_after(vq, id)) != NULL || k < active.v.len) && n < PAGE_MAX && reply->len < PAGE_BYTES) {
		if (k < active.v.len && (e == NULL || sv_cmp(active.v.p[k], sv_cstr(e->id)) <= 0)) {
			struct sv one = active.v.p[k++];

			/* It may have got its file meanwhile: then its turn is now. */
			e = queue_find(vq, one);
			memcpy(id, one.p, SPOOL_ID_LEN);
			n += e != NULL ? list_queued(vq, e, &w, reply) : list_active_one(vq, one, &w, reply);
		} else {
			memcpy(id, e->id, sizeof(id));
			n += list_queued(vq, e, &w, reply);
		}
		if (++looked % LIST_SLICE == 0)
			fiber_yield();
	}
	if (e != NULL || k < active.v.len)
		ipc_put_u64(reply, SPOOL_T_MORE, 1);
	vec_free(&active.v);
	arena_free(&a);
}

/* ---- changes ---- */

/*
 * Append to the log of queue/ID, durably.  Where an attempt is under way its own view of the file is used: two would
 * write over each other.  Parks: <id> may be gone afterwards.
 */
static int
append_log(struct vq *vq, const char *id, struct sv log, struct err *err)
{
	struct msg *m = msg_find(vq, sv_cstr(id));
	struct spool_qfile *q;
	int rc;

	if (m != NULL && m->q != NULL) {
		m->refs++;
		rc = spool_qfile_append(vq->queue_dir, m->q, log, true, err);
		msg_unref(m);
		return (rc);
	}
	if (spool_qfile_load(&q, vq->queue_dir, id, err) == -1)
		return (-1);
	rc = spool_qfile_append(vq->queue_dir, q, log, true, err);
	spool_qfile_free(&q);
	return (rc);
}

/* An attempt is under way: its recipients are written off at once, the entry goes when the attempt is over. */
static void
remove_active(struct vq *vq, struct qent *e)
{
	struct msg *m = msg_find(vq, sv_cstr(e->id));
	struct spool_qrcpt st = { .state = SPOOL_ST_REMOVED, .last_try = now_s() };
	struct sb log = SB_INIT(SPOOL_ENVELOPE_MAX);
	struct err err = ERR_INIT;

	e->gone = true;
	for (uint32_t i = 0; m != NULL && i < m->env.nrcpts; i++)
		if (m->rcpts[i].state == SPOOL_ST_OPEN)
			spool_qlog_rcpt(&log, i, &st);
	if (log.len > 0 && append_log(vq, e->id, sb_sv(&log), &err) == -1)
		log_err(NULL, "queue", &err);
	sb_free(&log);
}

static void
remove_entry(struct vq *vq, struct qent *e)
{
	vlog(vq, "%s removed by an administrator", e->id);
	if (e->active) {
		remove_active(vq, e);
		return;
	}
	vlog(vq, "%s Completed", e->id);
	queue_remove(vq, e);
}

static void
freeze_entry(struct vq *vq, struct qent *e, bool on)
{
	struct sb log = SB_INIT(256);
	struct err err = ERR_INIT;
	char id[SPOOL_ID_SIZE];
	int rc;

	memcpy(id, e->id, sizeof(id));
	spool_qlog_frozen(&log, on, now_s());
	rc = append_log(vq, id, sb_sv(&log), &err);
	/* That parked: the message may be gone. */
	e = queue_find(vq, sv_cstr(id));
	if (rc == 0 && e != NULL) {
		e->frozen = on;
		e->frozen_at = now_s();
		if (!on)
			e->next_try = now_s();
		vlog(vq, "%s %s", e->id, on ? "frozen by an administrator" : "unfrozen by an administrator");
	} else if (rc == -1) {
		log_err(NULL, "queue", &err);
	}
	sb_free(&log);
}

/* Into another queue.  Not while an attempt is under way. */
static bool
move_entry(struct vq *vq, struct qent *e, struct sv to)
{
	struct sb log = SB_INIT(SPOOL_ADDR_MAX * 2);
	struct err err = ERR_INIT;
	char id[SPOOL_ID_SIZE];
	int rc;

	if (e->active || to.len >= SPOOL_QUEUE_NAME_MAX || sv_chr(to, '/') >= 0)
		return (false);
	memcpy(id, e->id, sizeof(id));
	spool_qlog_queue(&log, to);
	rc = append_log(vq, id, sb_sv(&log), &err);
	sb_free(&log);
	/* That parked: the message may be gone. */
	e = queue_find(vq, sv_cstr(id));
	if (rc == -1)
		log_err(NULL, "queue", &err);
	if (rc == -1 || e == NULL)
		return (false);
	vlog(vq, "%s moved from %s%s%sinput, msglog to %s" SV_FMT "%sinput, msglog", id, e->of->name[0] == '\0' ? "" : "(", e->of->name,
	    e->of->name[0] == '\0' ? "" : ") ", to.len == 0 ? "" : "(", SV_ARG(to), to.len == 0 ? "" : ") ");
	queue_into(vq, e, to);
	e->run = false;
	return (true);
}

/* A message of a segment, that has no queue file yet. */
static bool
change_active(struct vq *vq, struct msg *m, unsigned type)
{
	struct err err = ERR_INIT;

	switch (type) {
	case SPOOL_IPC_REMOVE:
		vlog(vq, "%s removed by an administrator", m->env.id);
		m->removed = true;
		record_add(m, SPOOL_ALL, 0, SPOOL_ST_REMOVED);
		if (record_sync(m, &err) == -1)
			log_err(NULL, "done-log", &err);
		return (true);
	case SPOOL_IPC_FREEZE:
	case SPOOL_IPC_THAW:
		m->freeze = type == SPOOL_IPC_FREEZE;
		return (true);
	case SPOOL_IPC_GIVEUP:
		m->giveup = true;
		return (true);
	default:
		return (false);
	}
}

/* Mark recipients as delivered: <addrs> of <m>, or all. */
static bool
mark(struct vq *vq, struct qent *e, const struct ipc_msg *m)
{
	struct spool_qrcpt st = { .state = SPOOL_ST_REMOVED };
	struct spool_qfile *q;
	struct sb log = SB_INIT(SPOOL_ENVELOPE_MAX);
	struct ipc_field f;
	bool all = ipc_get_bytes(m, SPOOL_T_ADDR).p == NULL, any = false;
	char id[SPOOL_ID_SIZE];

	memcpy(id, e->id, sizeof(id));
	if (e->active || spool_qfile_load(&q, vq->queue_dir, e->id, NULL) == -1)
		return (false);
	st.last_try = now_s();
	for (uint32_t i = 0; i < q->env.nrcpts; i++) {
		bool yes = all;
		size_t pos = 0;

		while (!yes && ipc_next(m, &pos, &f))
			yes = f.tag == SPOOL_T_ADDR && f.kind == IPC_BYTES && sv_caseeq(f.bytes, q->env.rcpts[i].addr);
		if (!yes)
			continue;
		spool_qlog_rcpt(&log, i, &st);
		any = true;
		vlog(vq, "%s " SV_FMT " marked delivered by an administrator", e->id, SV_ARG(q->env.rcpts[i].addr));
	}
	if (any && spool_qfile_append(vq->queue_dir, q, sb_sv(&log), true, NULL) == -1)
		any = false;
	sb_free(&log);
	spool_qfile_free(&q);
	/* The append parked: the message may be gone. */
	if (any && (e = queue_find(vq, sv_cstr(id))) != NULL) {
		e->force = true;	/* ends it if nothing is left */
		queue_wake(vq);
	}
	return (any);
}

static bool
change(struct vq *vq, const struct ipc_msg *m, struct sv id)
{
	struct qent *e = queue_find(vq, id);

	if (e == NULL) {
		struct msg *active = msg_find(vq, id);

		return (active != NULL && active->seg != NULL && change_active(vq, active, m->type));
	}
	if (e->gone)
		return (false);
	switch (m->type) {
	case SPOOL_IPC_REMOVE:
		remove_entry(vq, e);
		return (true);
	case SPOOL_IPC_FREEZE:
	case SPOOL_IPC_THAW:
		freeze_entry(vq, e, m->type == SPOOL_IPC_FREEZE);
		return (true);
	case SPOOL_IPC_GIVEUP:
		e->giveup = e->force = true;
		return (true);
	case SPOOL_IPC_FLUSH:
		if (e->frozen && ipc_get_u64(m, SPOOL_T_FORCE, 0) < 2)
			return (false);
		e->force = true;
		return (true);
	case SPOOL_IPC_MARK:
		return (mark(vq, e, m));
	case SPOOL_IPC_MOVE:
		return (move_entry(vq, e, ipc_get_bytes(m, SPOOL_T_QUEUE)));
	default:
		return (false);
	}
}

static void
do_change(struct vq *vq, const struct ipc_msg *m, struct sb *reply)
{
	struct ipc_field f;
	size_t pos = 0;
	unsigned n = 0;

	while (ipc_next(m, &pos, &f))
		if (f.tag == SPOOL_T_ID && f.kind == IPC_BYTES)
			n += change(vq, m, f.bytes);
	queue_wake(vq);
	ipc_put_u64(reply, SPOOL_T_COUNT, n);
}

/* A queue run: all that waits in a queue, or what of it is for one domain; other fibers run in between. */
static void
do_flush(struct vq *vq, const struct ipc_msg *m, struct sb *reply)
{
	uint64_t force = ipc_get_u64(m, SPOOL_T_FORCE, 0);
	char id[SPOOL_ID_SIZE] = "";
	const struct order_entry *at;
	unsigned n = 0, looked = 0;
	struct wanted w;

	read_wanted(m, &w);
	if (ipc_get_bytes(m, SPOOL_T_ID).p != NULL) {
		do_change(vq, m, reply);
		return;
	}
	for (at = queue_overloaded(vq) ? NULL : order_after(vq->order, SV_LIT("")); at != NULL;) {
		struct qent *e = at->value;

		if ((!e->frozen || force >= 2 || e->of->name[0] != '\0') && queue_in(e, w.queue) && queue_may_be_for(e, w.domain)) {
			n += !e->frozen || force >= 2;
			e->run = true;
			if (force > 0 && (!e->frozen || force >= 2))
				e->force = true;
		}
		memcpy(id, e->id, sizeof(id));
		at = at->next;
		if (++looked % RUN_SLICE == 0) {
			fiber_yield();
			at = order_after(vq->order, sv_cstr(id));
		}
	}
	queue_wake(vq);
	ipc_put_u64(reply, SPOOL_T_COUNT, n);
}

/* ---- INJECT, SHOW ---- */

static int
do_inject(struct vq *vq, const struct ipc_msg *m, int fd, struct sb *reply, struct err *err)
{
	struct spool_qfile *q = spool_qfile_new();
	struct spool_content c = { .fd = fd, .off = (int64_t)ipc_get_u64(m, SPOOL_T_OFFSET, 0),
	    .len = (int64_t)ipc_get_u64(m, SPOOL_T_LENGTH, 0) };
	int rc = -1;

	if (fd == -1)
		err_set(err, ERR_PERM, "5.5.4", "no content");
	else if (spool_reserve_left(vq->queue_dir, (int)vq->box->spool_reserve_percent, vq->box->spool_reserve_min) < c.len)
		err_set(err, ERR_TEMP, "4.3.1", "not enough free disk space");
	else if (spool_envelope_decode_copy(&q->env, ipc_get_bytes(m, SPOOL_T_ENVELOPE), q->arena, err) == 0) {
		q->rcpts = arena_zalloc(q->arena, (q->env.nrcpts + 1) * sizeof(*q->rcpts));
		rc = queue_find(vq, sv_cstr(q->env.id)) != NULL ? 0 : queue_inject(vq, q, &c, true, err);
		if (rc == 0) {
			log_injected(vq, &q->env);
			ipc_put_str(reply, SPOOL_T_ID, q->env.id);
		}
	}
	spool_qfile_free(&q);
	return (rc);
}

static int
do_show(struct vq *vq, const struct ipc_msg *m, struct sb *reply, struct err *err)
{
	struct qent *e = queue_find(vq, ipc_get_bytes(m, SPOOL_T_ID));
	struct sb env = SB_INIT(IPC_FRAME_MAX - 4096);
	struct spool_qfile *q;
	char path[4096];
	int fd = -1;

	if (e == NULL) {
		err_set(err, ERR_PERM, "5.5.4", "no such message on the queue");
		return (-1);
	}
	if (spool_qfile_load(&q, vq->queue_dir, e->id, err) == -1)
		return (-1);
	(void)snprintf(path, sizeof(path), "%s/%s", vq->queue_dir, e->id);
	if (spool_envelope_encode(&q->env, &env, err) == 0 && (fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		err_sys(err, "open %s", path);
	ipc_put_bytes(reply, SPOOL_T_ENVELOPE, sb_sv(&env));
	ipc_put_u64(reply, SPOOL_T_OFFSET, q->content_off);
	ipc_put_u64(reply, SPOOL_T_LENGTH, q->content_len);
	sb_free(&env);
	spool_qfile_free(&q);
	return (fd);
}

static void
do_stats(struct vq *vq, struct sb *reply)
{
	const struct { const char *name; uint64_t v; } t[] = {
		{ "queued", hash_count(vq->qents) }, { "active", vq->active + vq->active_queue }, { "read", vq->n_read },
		{ "local", vq->n_local }, { "sent", vq->n_sent }, { "failed", vq->n_failed }, { "deferred", vq->n_deferred },
		{ "reports", vq->n_bounced }, { "files-read", vq->n_kept_read }, { "connections", vq->connections },
		{ "fibers", fiber_count() },
		{ "damaged-segments", segs_damaged(vq) },
	};
	char line[64];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		(void)snprintf(line, sizeof(line), "%s %llu", t[i].name, (unsigned long long)t[i].v);
		ipc_put_str(reply, SPOOL_T_ENTRY, line);
	}
}

/* ---- dispatch ---- */

/* What is asked of the queue at the start waits for it: it would be said, or done, without what is still to be read. */
static void
wait_loaded(const struct vq *vq)
{
	while (!vq->loaded && fiber_sleep(LOADED_STEP_MS) != FIBER_CANCELLED)
		;
}

static void
segment_notice(struct vq *vq, const struct ipc_msg *m)
{
	struct sv name = ipc_get_bytes(m, SPOOL_T_SEGMENT);
	uint64_t to = ipc_get_u64(m, SPOOL_T_TO, 0);
	char text[SPOOL_SEGMENT_NAME_MAX];

	if (name.len == 0 || name.len >= sizeof(text))
		return;
	memcpy(text, name.p, name.len);
	text[name.len] = '\0';
	if (m->type == SPOOL_IPC_SEALED)
		segs_sealed(vq, text, to);
	else
		segs_range(vq, text, to);
}

void
control_message(struct vq *vq, struct ipc_peer *p, const struct ipc_msg *m, int fd)
{
	struct sb reply = SB_INIT(IPC_FRAME_MAX);
	struct err err = ERR_INIT;
	bool later = false;
	int rc = 0, out = -1;

	ipc_begin(&reply, (uint16_t)(m->type + 1));
	switch (m->type) {
	case SPOOL_IPC_HELLO:
		break;
	case SPOOL_IPC_RANGE:
	case SPOOL_IPC_SEALED:
		segment_notice(vq, m);
		break;
	case SPOOL_IPC_INJECT:
		rc = do_inject(vq, m, fd, &reply, &err);
		break;
	case SPOOL_IPC_LIST:
		wait_loaded(vq);
		do_list(vq, m, &reply);
		break;
	case SPOOL_IPC_FLUSH:
		wait_loaded(vq);
		do_flush(vq, m, &reply);
		break;
	case SPOOL_IPC_REMOVE:
	case SPOOL_IPC_FREEZE:
	case SPOOL_IPC_THAW:
	case SPOOL_IPC_GIVEUP:
	case SPOOL_IPC_MARK:
	case SPOOL_IPC_MOVE:
		wait_loaded(vq);
		do_change(vq, m, &reply);
		break;
	case SPOOL_IPC_SHOW:
		wait_loaded(vq);
		rc = out = do_show(vq, m, &reply, &err);
		break;
	case SPOOL_IPC_COUNT:
		wait_loaded(vq);
		ipc_put_u64(&reply, SPOOL_T_COUNT, hash_count(vq->qents));
		break;
	case SPOOL_IPC_STATS:
		do_stats(vq, &reply);
		break;
	case SPOOL_IPC_FULL:
		later = (rc = full_ask(vq, p, m, &err)) == 0;
		break;
	default:
		rc = err_set(&err, ERR_PERM, "5.5.1", "vqueued does not know that request");
		break;
	}
	if (rc == -1) {
		ipc_begin(&reply, (uint16_t)(m->type + 1));
		ipc_put_err(&reply, &err);
	}
	if (m->serial != 0 && !later)
		(void)ipc_reply(p, m->serial, &reply, out);
	sb_free(&reply);
	if (out != -1)
		(void)close(out);
	if (fd != -1)
		(void)close(fd);
}
