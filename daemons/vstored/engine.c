/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine: requests gather while a batch is written, and go into the next one.  A
 * batch is one durable transaction on a thread of the pool; only one runs at a time.
 * Barriers run beside it, see barrier.c.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "daemon/daemon.h"
#include "log/log.h"
#include "vstored.h"

struct job *
job_new(struct ipc_peer *p, const struct ipc_msg *m, int fd)
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->peer = p == NULL ? NULL : ipc_peer_ref(p);
	j->type = m->type;
	j->serial = m->serial;
	j->fd = fd;
	sb_init(&j->mem, IPC_FRAME_MAX);
	sb_init(&j->reply, IPC_FRAME_MAX);
	sb_add(&j->mem, m->body);
	j->msg = (struct ipc_msg){ .type = m->type, .serial = m->serial, .body = sb_sv(&j->mem) };
	return (j);
}

void
job_free(struct job *j)
{
	ipc_peer_unref(&j->peer);
	if (j->fd != -1)
		(void)close(j->fd);
	sb_free(&j->mem);
	sb_free(&j->reply);
	free(j);
}

void
engine_add(struct vstored *v, struct job *j)
{
	while ((v->queued >= QUEUE_MAX || v->queued_bytes >= QUEUE_BYTES) && !v->draining)
		if (fiber_waiters_wait(&v->room, FIBER_FOREVER) == FIBER_CANCELLED) {
			job_free(j);
			return;
		}
	if (v->engine_done) {
		job_free(j);
		return;
	}
	*v->last = j;
	v->last = &j->next;
	v->queued++;
	v->queued_bytes += j->mem.cap;
	fiber_wake(v->engine);
}

/* Take from the queue what goes into one batch. */
static void
take(struct vstored *v)
{
	struct job **end = &v->head;
	unsigned jobs = 0, deliveries = 0;

	while (*end != NULL && jobs < BATCH_JOBS &&
	    (jobs == 0 || deliveries + (*end)->deliveries <= BATCH_DELIVERIES)) {
		deliveries += (*end)->deliveries;
		jobs++;
		v->queued_bytes -= (*end)->mem.cap;
		end = &(*end)->next;
	}
	v->batch = v->head;
	v->head = *end;
	*end = NULL;
	if (v->head == NULL)
		v->last = &v->head;
	if (jobs == 0)
		v->batch = NULL;
	v->queued -= jobs;
	fiber_waiters_wake_all(&v->room);
}

/* ---- on the thread ---- */

static void
note_change(void *arg, uint64_t mbox)
{
	struct vstored *v = arg;

	vec_push(&v->changed, mbox);
}

static void
run_batch(void *arg)
{
	struct vstored *v = arg;

	err_clear(&v->batch_err);
	vec_clear(&v->changed);
	v->batch_ok = false;
	if (store_writer_begin(v->w, &v->batch_err) == -1)
		return;
	v->tidy_more = store_writer_tidy(v->w, TIDY_PIECES);
	for (struct job *j = v->batch; j != NULL; j = j->next)
		if (j->type != STORE_IPC_CACHE)
			exec_job(v->w, j);
	v->batch_ok = store_writer_commit(v->w, note_change, v, &v->batch_err) == 0;
}

/* What nobody waits for. */
static void
run_cache(void *arg)
{
	struct vstored *v = arg;

	store_writer_fill_cache(v->w);
	for (struct job *j = v->batch; j != NULL; j = j->next) {
		store_ranges set = VEC_INIT;

		if (j->type == STORE_IPC_CACHE && store_set_get(ipc_get_bytes(&j->msg, STORE_T_SET), &set))
			store_writer_cache(v->w, ipc_get_u64(&j->msg, STORE_T_MBOX, 0), set.p, set.len);
		vec_free(&set);
	}
}

static void
run_rewrite(void *arg)
{
	struct vstored *v = arg;

	err_clear(&v->batch_err);
	v->rewrite_ok = store_writer_rewrite(v->w, &v->batch_err) == 0;
}

/* ---- on the loop ---- */

static void
answer(struct vstored *v, struct job *j)
{
	if (j->peer == NULL || j->serial == 0)
		return;
	/* A refusal that was given for its own reason stands. */
	if (!v->batch_ok && !j->failed) {
		ipc_begin(&j->reply, j->type);
		ipc_put_err(&j->reply, &v->batch_err);
	}
	(void)ipc_reply(j->peer, j->serial, &j->reply, -1);
}

static void
one_batch(struct vstored *v)
{
	struct job *j;

	take(v);
	v->want_tidy = v->tidy_more = false;
	fiber_offload(run_batch, v);
	v->want_tidy = v->want_tidy || v->tidy_more;
	if (!v->batch_ok)
		log_err(NULL, "batch", &v->batch_err);
	if (store_writer_dead(v->w)) {
		log_error(NULL, "the index failed for good in this process; starting anew");
		log_flush();
		_exit(1);
	}
	for (j = v->batch; j != NULL; j = j->next)
		answer(v, j);
	server_announce(v);
	if (v->batch_ok)
		fiber_offload(run_cache, v);
	while ((j = v->batch) != NULL) {
		v->batch = j->next;
		job_free(j);
	}
	if (v->barrier != NULL && store_writer_unsynced(v->w) > 0)
		fiber_wake(v->barrier);
}

static void
rewrite(struct vstored *v)
{
	fiber_offload(run_rewrite, v);
	if (v->rewrite_ok)
		v->want_rewrite = false;
	else {
		log_err(NULL, "write bodies again after a failed barrier", &v->batch_err);
		(void)fiber_sleep(BARRIER_MS);
	}
	if (v->barrier != NULL)
		fiber_wake(v->barrier);
}

void
engine_main(void *arg)
{
	struct vstored *v = arg;

	for (;;) {
		if (v->want_rewrite)
			rewrite(v);
		if (v->head != NULL || v->want_tidy)
			one_batch(v);
		else if (v->draining)
			break;
		else
			(void)fiber_park(FIBER_FOREVER);
	}
	v->engine_done = true;
	if (v->barrier != NULL)
		fiber_wake(v->barrier);
}
