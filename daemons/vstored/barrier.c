/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Barriers: a second after the first body that is not on disk yet, or after 64 MiB
 * of them.  Those who asked are told; deferred work may then be done.
 */
#include "daemon/daemon.h"
#include "log/log.h"
#include "vstored.h"

struct barrier_job {
	struct store_writer *w;
	struct err	 err;
	int		 rc;
};

static void
run_barrier(void *arg)
{
	struct barrier_job *b = arg;

	b->rc = store_writer_barrier(b->w, &b->err);
}

static bool
one_barrier(struct vstored *v)
{
	struct barrier_job b = { .w = v->w, .err = ERR_INIT };

	fiber_offload(run_barrier, &b);
	if (b.rc == -1) {
		log_error(NULL, "barrier: %s; deliveries wait until the bodies since the last one are written again",
		    b.err.text);
		v->want_rewrite = true;
		if (!v->engine_done)
			fiber_wake(v->engine);
		return (false);
	}
	server_push_barrier(v);
	if (store_writer_untidy(v->w)) {
		v->want_tidy = true;
		if (!v->engine_done)
			fiber_wake(v->engine);
	}
	return (true);
}

void
barrier_main(void *arg)
{
	struct vstored *v = arg;

	while (!v->engine_done) {
		int64_t due;

		/* After a failure the engine writes the bodies again first, and wakes us. */
		if (store_writer_unsynced(v->w) == 0 || (v->want_rewrite && !v->draining)) {
			(void)fiber_park(FIBER_FOREVER);
			continue;
		}
		due = FIBER_NOW_PLUS(BARRIER_MS);
		while (fiber_now() < due && store_writer_unsynced(v->w) < BARRIER_BYTES && !v->draining)
			if (fiber_park(due) == FIBER_CANCELLED)
				break;
		if (!one_barrier(v) && !v->draining)
			(void)fiber_sleep(BARRIER_MS);
		if (v->draining && !v->engine_done)
			(void)fiber_sleep(10);
	}
	/* The end: what is written last is told of too. */
	if (store_writer_unsynced(v->w) > 0)
		(void)one_barrier(v);
	store_writer_close(&v->w);
	log_info(NULL, "the mail store is closed");
	daemon_worker_done(v->daemon);
}
