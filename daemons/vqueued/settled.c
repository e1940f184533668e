/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is settled: sets of deliveries in memory, and what is written down of them, in the
 * done-log of a message's segment or at the end of its queue file.
 */
#include <stdlib.h>

#include "vqueued_int.h"

#define CHILD_LINEAR	32	/* more children than that are found by a hash */

/* ---- sets ---- */

static void
index_child(struct childset *c, const struct child *e)
{
	(void)hash_set(c->index, sv_from((const char *)&e->child, sizeof(e->child)), e->d);
}

struct dlv *
childset_get(const struct childset *c, uint64_t child)
{
	if (c->index != NULL)
		return (hash_get(c->index, sv_from((const char *)&child, sizeof(child))));
	for (size_t i = 0; i < c->v.len; i++)
		if (c->v.p[i].child == child)
			return (c->v.p[i].d);
	return (NULL);
}

bool
childset_has(const struct childset *c, uint64_t child)
{
	return (childset_get(c, child) != NULL);
}

bool
childset_add(struct childset *c, uint64_t child, struct dlv *d)
{
	static struct dlv earlier;	/* of an attempt before this one */

	if (childset_has(c, child))
		return (false);
	vec_push(&c->v, ((struct child){ child, d == NULL ? &earlier : d }));
	if (c->index != NULL)
		index_child(c, &c->v.p[c->v.len - 1]);
	if (c->index == NULL && c->v.len > CHILD_LINEAR) {
		c->index = hash_new();
		for (size_t i = 0; i < c->v.len; i++)
			index_child(c, &c->v.p[i]);
	}
	return (true);
}

void
childset_free(struct childset *c)
{
	vec_free(&c->v);
	hash_free(&c->index, NULL);
}

/* ---- what is written down ---- */

void
record_add(struct msg *m, uint32_t rcpt, uint64_t child, enum spool_state st)
{
	if (m->seg != NULL) {
		spool_done_add(m->seg->done, m->record, rcpt, child, st);
	} else if (child == 0) {
		const struct rcpt *r = &m->rcpts[rcpt];
		struct spool_qrcpt q = { .state = st, .first_failed = r->first_failed, .last_try = now_s(), .text = r->text };

		spool_qlog_rcpt(&m->log, rcpt, &q);
	} else {
		struct spool_qchild c = { .child = child, .rcpt = rcpt, .state = st };

		spool_qlog_child(&m->log, &c);
	}
}

void
record_write(struct msg *m, enum spool_state st)
{
	struct err err = ERR_INIT;

	if (m->seg != NULL) {
		if (st == SPOOL_ST_LOCAL) {
			seg_dirty(m->seg);	/* its loss is harmless: written at the end of the turn */
			return;
		}
		if (spool_done_write(m->seg->done, &err) == -1)
			log_err(NULL, "done-log", &err);
		seg_want_sync(m->seg);
		return;
	}
	if (spool_qfile_append(m->vq->queue_dir, m->q, sb_sv(&m->log), false, &err) == -1) {
		log_err(NULL, "queue file", &err);
		/* The message does not go back to the queue before this is written. */
		spool_qfile_keep(m->q, sb_sv(&m->log));
	}
	sb_clear(&m->log);
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

void
record_made(struct msg *m, uint32_t rcpt, uint64_t id, const char *queue_id)
{
	struct qent *e = queue_find(m->vq, sv_cstr(queue_id));
	struct err err = ERR_INIT;

	(void)childset_add(&m->settled, id, NULL);
	record_add(m, rcpt, id, SPOOL_ST_SENT);
	record_write(m, SPOOL_ST_SENT);
	if (record_sync(m, &err) == -1)
		log_err(NULL, "copy", &err);
	if (e != NULL)
		queue_let_go(m->vq, e);
}
