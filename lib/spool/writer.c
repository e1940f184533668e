/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The intake journal's writing side.
 *
 * Submitters are fibers.  Each takes a place at the segment's tail, writes its record
 * there (large ones on a thread, so records may finish out of order) and joins the
 * segment's list of pending records, which is in the order of the file.  Whoever finds
 * no sync running leads: it syncs, and everything that was written without a gap when
 * the sync began is durable.  The others wait; the first one left leads next.
 *
 * While one segment fills, the next is made by a fiber of its own on a thread.
 * Segments start small and double, so that a quiet box does not write zeros for nothing.
 */
#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "fiber/fiber.h"
#include "os/file.h"
#include "spool/spool_int.h"

#define SEGMENT_DEFAULT	(64LL * 1024 * 1024)
#define SEGMENT_FIRST	(4LL * 1024 * 1024)
#define JOURNAL_DEFAULT	(2LL * 1024 * 1024 * 1024)
#define LOOP_WRITE_MAX	(128 * 1024)	/* larger records are written on a thread */
#define ROOM_PERIOD_MS	1000
#define SEGMENT_AGE_MS	(3600 * 1000)	/* a segment that was written to gets a successor: bodies do not lie about for weeks */

/* A record between its place in the file and its answer; lies on the submitter's stack. */
struct pending {
	uint64_t	 end;
	bool		 written;
	bool		 finished;	/* durable or failed */
	bool		 failed;
	struct fiber	*fiber;
	struct pending	*next;
};

struct journal {
	struct segment	 seg;
	uint64_t	 tail;		/* where the next record goes */
	uint64_t	 durable;
	struct pending	*head, **last;
	unsigned	 users;		/* submitters that still look at it */
	int64_t		 since;		/* fiber_now() of its first record; 0: none */
	unsigned	 writing;	/* records being written */
	bool		 syncing;
	struct fiber	*leader;	/* is about to sync */
	unsigned	 waiting;	/* records in the list */
	bool		 sealed;	/* takes no more records */
	bool		 failed;
	bool		 told;		/* its end was announced */
	struct err	 err;
	struct journal	*next;
};

struct spool_writer {
	struct spool_writer_opts o;
	char		*dir;
	uint64_t	 next_size;
	struct journal	*list;		/* all, oldest first */
	struct journal	*cur;
	bool		 have_ready;
	struct segment	 ready;		/* prepared */
	bool		 preparing;
	bool		 closing;
	struct err	 prep_err;	/* of the last attempt */
	int64_t		 prep_failed_at;
	struct fiber_waiters wait_ready;
	int64_t		 room_at;	/* when the disk was looked at */
	int64_t		 room;
	struct sb	 env;		/* scratch for one record that is written on the loop */
};

/* ---- segments ---- */

static void
writer_free(struct spool_writer *w)
{
	sb_free(&w->env);
	free(w->dir);
	free(w);
}

static void
remove_segment(struct spool_writer *w, struct segment *s)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/%s", w->dir, s->name) < (int)sizeof(path))
		(void)unlink(path);
	(void)close(s->fd);
	s->fd = -1;
}

struct make_job {
	struct segment_plan plan;
	struct segment	 seg;
	struct err	 err;
	int		 rc;
};

static void
make_segment(void *arg)
{
	struct make_job *j = arg;

	j->rc = segment_make(&j->seg, &j->plan, &j->err);
}

static void
plan_init(const struct spool_writer *w, struct segment_plan *p, uint64_t size, bool zero)
{
	*p = (struct segment_plan){ .dir = w->dir, .worker = w->o.worker, .generation = w->o.generation, .size = size,
	    .zero = zero, .journal_max = w->o.journal_max, .reserve_percent = w->o.reserve_percent,
	    .reserve_min = w->o.reserve_min };
}

static void
prepare_fiber(void *arg)
{
	struct spool_writer *w = arg;
	struct make_job j = { .err = ERR_INIT };

	plan_init(w, &j.plan, w->next_size, true);
	fiber_offload(make_segment, &j);
	w->preparing = false;
	if (j.rc == 0 && w->closing)
		remove_segment(w, &j.seg);
	if (w->closing) {
		writer_free(w);
		return;
	}
	if (j.rc == 0) {
		w->ready = j.seg;
		w->have_ready = true;
		w->next_size = w->next_size * 2 > (uint64_t)w->o.segment_size ? (uint64_t)w->o.segment_size :
		    w->next_size * 2;
	} else {
		w->prep_err = j.err;
		w->prep_failed_at = fiber_now();
	}
	fiber_waiters_wake_all(&w->wait_ready);
}

/* Start to prepare a segment unless that is done, under way, or failed just now. */
static void
prepare(struct spool_writer *w)
{
	if (w->have_ready || w->preparing || w->closing ||
	    (w->prep_err.cls != ERR_NONE && fiber_now() < w->prep_failed_at + ROOM_PERIOD_MS))
		return;
	err_clear(&w->prep_err);
	w->preparing = fiber_spawn("spool-prepare", prepare_fiber, w) != NULL;
	if (!w->preparing) {
		err_set(&w->prep_err, ERR_TEMP, "4.3.2", "too many fibers to prepare a journal segment");
		w->prep_failed_at = fiber_now();
	}
}

static struct journal *
journal_add(struct spool_writer *w, const struct segment *s)
{
	struct journal *j = xcalloc(1, sizeof(*j)), **p;

	j->seg = *s;
	j->tail = j->durable = SPOOL_SEGMENT_HEADER;
	j->last = &j->head;
	for (p = &w->list; *p != NULL; p = &(*p)->next)
		;
	*p = j;
	return (j);
}

/* A sealed segment without submitters is announced and let go. */
static void
journal_settle(struct spool_writer *w, struct journal *j)
{
	struct journal **p;

	if (!j->sealed || j->told || j->syncing || j->writing > 0 || j->head != NULL)
		return;
	/* Gives the rest of the disk space back; where that fails, the zeros stay and are read as the end. */
	if (!j->failed && j->durable < j->seg.size && ftruncate(j->seg.fd, (off_t)j->durable) == -1)
		j->seg.size = j->durable;
	if (w->o.sealed != NULL)
		w->o.sealed(w->o.arg, j->seg.name, j->durable);
	j->told = true;
	(void)close(j->seg.fd);
	j->seg.fd = -1;
	for (p = &w->list; *p != j; p = &(*p)->next)
		;
	*p = j->next;
	if (j->users == 0)
		free(j);
	else
		j->next = NULL;		/* the last user frees it */
}

static void
journal_seal(struct spool_writer *w, struct journal *j)
{
	j->sealed = true;
	if (w->cur == j)
		w->cur = NULL;
	journal_settle(w, j);
}

static void
journal_release(struct journal *j)
{
	if (--j->users == 0 && j->told)
		free(j);
}

/* ---- the group commit ---- */

/* Answer the records at the head of the list that end at or before <end>; UINT64_MAX: all. */
static void
finish_pending(struct journal *j, uint64_t end, bool failed)
{
	while (j->head != NULL && j->head->end <= end) {
		struct pending *p = j->head;

		j->head = p->next;
		if (j->head == NULL)
			j->last = &j->head;
		j->waiting--;
		p->finished = true;
		p->failed = failed;
		if (p->fiber != fiber_self())
			fiber_wake(p->fiber);
	}
}

/*
 * After a failed write or sync: nothing behind the durable offset may be delivered, so it is
 * cut off; the segment gets no more records.  Called when no write is under way any more.
 */
static void
journal_cut(struct spool_writer *w, struct journal *j)
{
	if (ftruncate(j->seg.fd, (off_t)j->durable) == -1 || fdatasync(j->seg.fd) == -1)
		err_sys(&j->err, "cannot cut the segment either");
	finish_pending(j, UINT64_MAX, true);
	journal_seal(w, j);
}

static void
journal_fail(struct spool_writer *w, struct journal *j, const char *what)
{
	if (!j->failed)
		err_sys(&j->err, "%s %s/%s", what, w->dir, j->seg.name);
	if (j->err.cls == ERR_TEMP)
		memcpy(j->err.status, "4.3.1", sizeof("4.3.1"));
	j->failed = true;
	if (w->cur == j)
		w->cur = NULL;
}

struct sync_job {
	int	 fd;
	int	 rc;
	int	 error;
};

static void
sync_segment(void *arg)
{
	struct sync_job *s = arg;

	s->rc = fdatasync(s->fd);
	s->error = errno;
}

/* Lead one sync of what was written without a gap. */
static void
lead_sync(struct spool_writer *w, struct journal *j)
{
	struct sync_job s = { .fd = j->seg.fd };
	uint64_t from = j->durable, to = from;

	for (struct pending *p = j->head; p != NULL && p->written; p = p->next)
		to = p->end;
	if (to == from || j->failed)
		return;
	j->syncing = true;
	fiber_offload(sync_segment, &s);
	j->syncing = false;
	if (s.rc == 0 && !j->failed) {
		j->durable = to;
		if (w->o.durable != NULL)
			w->o.durable(w->o.arg, j->seg.name, from, to);
		finish_pending(j, to, false);
	} else if (s.rc == -1) {
		errno = s.error;
		journal_fail(w, j, "fdatasync");
	}
	if (j->failed && j->writing == 0 && !j->told)
		journal_cut(w, j);
	/* The next record that waits leads. */
	if (j->head != NULL && j->head->written && j->head->fiber != fiber_self())
		fiber_wake(j->head->fiber);
	journal_settle(w, j);
}

/* Others of this turn of the loop share the sync, and, for a moment, those that are known to come. */
static void
gather(const struct spool_writer *w, struct journal *j)
{
	int64_t until = fiber_now() + SPOOL_GATHER_MS;

	j->leader = fiber_self();
	do
		fiber_yield();
	while (w->o.coming != NULL && j->waiting < *w->o.coming && !j->failed && fiber_park(until) == FIBER_READY);
	j->leader = NULL;
}

static void
wait_durable(struct spool_writer *w, struct journal *j, struct pending *me)
{
	while (!me->finished) {
		if (!j->syncing && j->leader == NULL && !j->failed && j->head->written) {
			gather(w, j);
			lead_sync(w, j);
		} else if (fiber_park(FIBER_FOREVER) == FIBER_CANCELLED && !me->finished) {
			/* A cancelled fiber cannot park; a sync of its own passes the time, and the answer stays true. */
			struct sync_job s = { .fd = j->seg.fd };

			j->users++;
			fiber_offload(sync_segment, &s);
			j->users--;
		}
	}
}

/* ---- a message ---- */

struct write_job {
	int		 fd;
	uint64_t	 off;
	struct spool_record_tag tag;
	struct sv	 env;
	const struct spool_content *c;
	int		 rc;
	int		 error;
};

static void
write_record(void *arg)
{
	struct write_job *j = arg;

	j->rc = spool_record_write(j->fd, j->off, &j->tag, j->env, j->c);
	j->error = errno;
}

/* Put the record into <j>, which has room, and wait until it is durable. */
static int
append(struct spool_writer *w, struct journal *j, struct sb *env, const struct spool_content *c, uint64_t len,
    struct err *err)
{
	struct write_job wj = { .fd = j->seg.fd, .off = j->tail, .tag = { j->seg.id, j->durable, j->seg.nonce },
	    .env = sb_sv(env), .c = c };
	struct pending me = { .end = j->tail + len, .fiber = fiber_self() };
	struct sb own = SB_INIT(0);

	j->tail = me.end;
	*j->last = &me;
	j->last = &me.next;
	j->waiting++;
	j->users++;
	j->writing++;
	if (c->fd == -1 && len <= LOOP_WRITE_MAX) {
		write_record(&wj);
	} else {
		own = *env;			/* the scratch may be used by others meanwhile */
		sb_init(env, SPOOL_ENVELOPE_MAX + 1);
		fiber_offload(write_record, &wj);
		sb_free(&own);
	}
	j->writing--;
	if (wj.rc == 0) {
		me.written = true;
		if (j->leader != NULL && w->o.coming != NULL && j->waiting >= *w->o.coming)
			fiber_wake(j->leader);
	} else {
		errno = wj.error;
		journal_fail(w, j, "write");
	}
	if (j->failed && j->writing == 0 && !j->syncing && !j->told)
		journal_cut(w, j);
	wait_durable(w, j, &me);
	if (me.failed && err != NULL)
		*err = j->err;
	journal_release(j);
	return (me.failed ? -1 : 0);
}

/* A segment for one message that is larger than segments are. */
static int
append_own(struct spool_writer *w, struct sb *env, const struct spool_content *c, uint64_t len, struct err *err)
{
	struct make_job m = { .err = ERR_INIT };
	struct sb own = *env;
	struct journal *j;
	int rc = -1;

	sb_init(env, SPOOL_ENVELOPE_MAX + 1);
	plan_init(w, &m.plan, SPOOL_SEGMENT_HEADER + len, false);
	fiber_offload(make_segment, &m);
	if (m.rc == -1) {
		if (err != NULL)
			*err = m.err;
	} else {
		j = journal_add(w, &m.seg);
		j->users++;
		rc = append(w, j, &own, c, len, err);
		if (!j->told)
			journal_seal(w, j);
		journal_release(j);
	}
	sb_free(&own);
	return (rc);
}

/* The segment that takes a record of <len> bytes now; waits for one to be made. */
static struct journal *
current(struct spool_writer *w, uint64_t len, struct err *err)
{
	for (;;) {
		struct journal *j = w->cur;
		bool old = j != NULL && j->since != 0 && fiber_now() >= j->since + SEGMENT_AGE_MS;

		if (j != NULL && j->seg.size - j->tail >= len && !(old && w->have_ready)) {
			if (j->since == 0)
				j->since = fiber_now();
			if (old)
				prepare(w);
			/* Half full: time for the next. */
			if (j->tail + len > j->seg.size / 2)
				prepare(w);
			return (j);
		}
		if (w->have_ready) {
			if (j != NULL)
				journal_seal(w, j);
			w->have_ready = false;
			w->cur = journal_add(w, &w->ready);
			continue;
		}
		prepare(w);
		if (!w->preparing) {
			if (err != NULL)
				*err = w->prep_err;
			return (NULL);
		}
		if (fiber_waiters_wait(&w->wait_ready, FIBER_FOREVER) == FIBER_CANCELLED) {
			err_set(err, ERR_TEMP, "4.3.2", "cancelled");
			return (NULL);
		}
	}
}

int
spool_submit(struct spool_writer *w, const struct spool_envelope *env, const struct spool_content *c, struct err *err)
{
	struct spool_record_head h;
	struct journal *j;
	uint64_t len, smallest;

	assert(fiber_self() != NULL && env->size == spool_content_length(c));
	if (spool_writer_room(w, (int64_t)env->size, err) == -1)
		return (-1);
	sb_clear(&w->env);
	if (spool_envelope_encode(env, &w->env, err) == -1)
		return (-1);
	h = (struct spool_record_head){ .envelope_len = (uint32_t)w->env.len, .content_len = env->size };
	len = spool_record_end(&h, 0);
	smallest = SEGMENT_FIRST < w->o.segment_size ? SEGMENT_FIRST : (uint64_t)w->o.segment_size;
	if (len > smallest / 2)
		return (append_own(w, &w->env, c, len, err));
	j = current(w, len, err);
	if (j == NULL)
		return (-1);
	/* current() may have parked, and the scratch been used. */
	sb_clear(&w->env);
	if (spool_envelope_encode(env, &w->env, err) == -1)
		return (-1);
	return (append(w, j, &w->env, c, len, err));
}

int
spool_writer_room(struct spool_writer *w, int64_t size, struct err *err)
{
	if (w->room_at == 0 || fiber_now() >= w->room_at + ROOM_PERIOD_MS) {
		w->room = spool_reserve_left(w->dir, w->o.reserve_percent, w->o.reserve_min);
		w->room_at = fiber_now();
	}
	if (w->room == INT64_MIN)
		return (err_set(err, ERR_TEMP, "4.3.1", "cannot tell the free disk space of %s", w->dir));
	if (w->room < size)
		return (err_set(err, ERR_TEMP, "4.3.1", "not enough free disk space for %s", w->dir));
	return (0);
}

void
spool_writer_segments(struct spool_writer *w, void (*fn)(void *arg, const char *segment, uint64_t durable, bool sealed),
    void *arg)
{
	for (struct journal *j = w->list; j != NULL; j = j->next)
		fn(arg, j->seg.name, j->durable, j->sealed && j->head == NULL);
	if (w->have_ready)
		fn(arg, w->ready.name, SPOOL_SEGMENT_HEADER, false);
}

/* ---- open, close ---- */

int
spool_writer_open(struct spool_writer **wp, const struct spool_writer_opts *o, struct err *err)
{
	struct spool_writer *w = xcalloc(1, sizeof(*w));

	*wp = NULL;
	w->o = *o;
	w->dir = xstrdup(o->dir);
	if (w->o.segment_size <= 0)
		w->o.segment_size = SEGMENT_DEFAULT;
	if (w->o.segment_size < 64 * 1024)
		w->o.segment_size = 64 * 1024;
	if (w->o.journal_max <= 0)
		w->o.journal_max = JOURNAL_DEFAULT;
	w->next_size = (uint64_t)(w->o.segment_size < SEGMENT_FIRST ? w->o.segment_size : SEGMENT_FIRST);
	sb_init(&w->env, SPOOL_ENVELOPE_MAX + 1);
	if (access(w->dir, W_OK | X_OK) == -1) {
		err_sys(err, "cannot write to the journal's directory %s", w->dir);
		writer_free(w);
		return (-1);
	}
	prepare(w);
	*wp = w;
	return (0);
}

void
spool_writer_close(struct spool_writer **wp)
{
	struct spool_writer *w = *wp;

	if (w == NULL)
		return;
	*wp = NULL;
	if (w->cur != NULL)
		journal_seal(w, w->cur);
	assert(w->list == NULL);
	if (w->have_ready)
		remove_segment(w, &w->ready);
	w->have_ready = false;
	w->closing = true;
	if (!w->preparing)
		writer_free(w);
}
