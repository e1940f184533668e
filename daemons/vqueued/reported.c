/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages that others gave rise to (bounces, replies, copies that rules asked for), found in queue/ at the start: an earlier
 * process may have ended after it made one and before that was noted at its parent.
 *
 * The parent learns of it when it is read, and notes it then.  Until that is done, or the parent is gone, the file of such a
 * message stays, though it be delivered: else the next process would find neither the file nor the note, and make it again.
 */
#include <stdlib.h>

#include "base/num.h"
#include "vqueued_int.h"

struct reported {
	char		 parent[SPOOL_ID_SIZE];
	uint64_t	 origin;	/* the parent's segment; 0 not known */
	bool		 noted;		/* the parent knows */
	VEC(struct spool_qchild) v;	/* rcpt, child (0: the recipient as a whole) */
};

struct sv
reported_about(const struct msg *m, struct arena *a, uint32_t rcpt, uint64_t id)
{
	return (sv_cstr(arena_fmt(a, "%u/%llu origin/%llu", rcpt, (unsigned long long)id, (unsigned long long)m->origin)));
}

struct reported *
reported_found(struct vq *vq, const struct spool_envelope *env)
{
	struct sv list = env->parent_rcpts, word, number;
	struct reported *r;
	uint64_t rcpt, child;

	if (env->parent.len != SPOOL_ID_LEN || env->parent_rcpts.len == 0)
		return (NULL);
	r = hash_get(vq->reports, env->parent);
	if (r == NULL) {
		r = xcalloc(1, sizeof(*r));
		memcpy(r->parent, env->parent.p, SPOOL_ID_LEN);
		(void)hash_set(vq->reports, sv_cstr(r->parent), r);
	}
	while (sv_word(&list, &word)) {
		child = 0;
		if (!sv_next(&word, '/', &number) || (word.len > 0 && !num_parse_u64(word, UINT64_MAX, &child)))
			continue;
		if (sv_eqs(number, "origin"))
			r->origin = child;
		else if (num_parse_u64(number, SPOOL_RCPT_MAX, &rcpt))
			vec_push(&r->v, ((struct spool_qchild){ .child = child, .rcpt = (uint32_t)rcpt }));
	}
	r->noted = false;
	return (r);
}

void
reported_apply(struct msg *m)
{
	struct reported *r = hash_get(m->vq->reports, sv_cstr(m->env.id));
	bool news = false;

	for (size_t i = 0; r != NULL && !r->noted && i < r->v.len; i++) {
		const struct spool_qchild *c = &r->v.p[i];
		enum spool_state st = c->child != 0 ? SPOOL_ST_SENT : SPOOL_ST_BOUNCED;

		if (c->child != 0 ? !childset_add(&m->settled, c->child, NULL) :
		    c->rcpt >= m->env.nrcpts || m->rcpts[c->rcpt].state != SPOOL_ST_OPEN)
			continue;
		if (c->child == 0) {
			m->rcpts[c->rcpt].state = st;
			m->open--;
		}
		record_add(m, c->rcpt, c->child, st);
		news = true;
	}
	if (news)
		record_write(m, SPOOL_ST_SENT);
	if (r != NULL)
		r->noted = true;
}

/* What is known of a parent that lies in queue/ itself, and may not be due for days. */
static void
note_in_file(struct vq *vq, struct reported *r)
{
	struct sb log = SB_INIT(65536);
	struct err err = ERR_INIT;
	struct spool_qfile *q;

	if (spool_qfile_load(&q, vq->queue_dir, r->parent, &err) == -1)
		return;
	for (size_t i = 0; i < r->v.len; i++) {
		struct spool_qchild c = r->v.p[i];

		c.state = SPOOL_ST_SENT;
		if (c.child != 0) {
			spool_qlog_child(&log, &c);
		} else if (c.rcpt < q->env.nrcpts) {
			struct spool_qrcpt s = q->rcpts[c.rcpt];

			s.state = SPOOL_ST_BOUNCED;
			spool_qlog_rcpt(&log, c.rcpt, &s);
		}
	}
	r->noted = spool_qfile_append(vq->queue_dir, q, sb_sv(&log), false, &err) == 0;
	sb_free(&log);
	spool_qfile_free(&q);
}

void
reported_loaded(struct vq *vq)
{
	struct sv key;
	size_t pos = 0;
	void *v;

	while (hash_next(vq->reports, &pos, &key, &v)) {
		struct reported *r = v;
		const struct qent *e = queue_find(vq, key);

		if (!r->noted && e != NULL && !e->active && !e->unread)
			note_in_file(vq, r);
	}
}

bool
reported_waits(struct vq *vq, const struct reported *r)
{
	return (r != NULL && !r->noted && (queue_find(vq, sv_cstr(r->parent)) != NULL || segs_has(vq, r->origin)));
}
