/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Following the intake journals: which segments there are, how far each is durable, which
 * of its messages are settled, and when it can go.
 *
 * A segment is read by a cursor, as fast as messages get done: the backlog stays on disk,
 * so memory is bounded however far intake is ahead.  A segment of a living worker is read
 * up to the offset that the worker declared; one whose lock is free has no writer any more
 * and is read to its last whole record.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/file.h"
#include "vqueued_int.h"

#define SCAN_MS		3000
#define SYNC_GAP_MS	20	/* between two syncs of a done-log */
#define READ_TRIES	3	/* of a stretch that the disk does not give */
#define READ_AGAIN_MS	5000
#define FLUSH_RETRY_MS	1000	/* after a failed write or sync of a done-log */
#define REMOVE_RETRY_MS	5000	/* between two tries to remove a segment */

/* ---- done-logs of earlier lives ---- */

static void
note_entry(void *arg, const struct spool_done_entry *e)
{
	struct seg *s = arg;

	vec_push(&s->replay, ((struct replay){ *e, s->replay.len }));
}

static int
by_record(const void *a, const void *b)
{
	const struct replay *x = a, *y = b;

	if (x->e.record != y->e.record)
		return (x->e.record < y->e.record ? -1 : 1);
	return (x->seq < y->seq ? -1 : x->seq > y->seq);
}

static char *
join(const char *dir, const char *name, const char *suffix)
{
	size_t n = strlen(dir) + strlen(name) + strlen(suffix) + 2;
	char *p = xmalloc(n);

	(void)snprintf(p, n, "%s/%s%s", dir, name, suffix);
	return (p);
}

/* ---- opening ---- */

static struct seg *
find(struct vq *vq, const char *name)
{
	for (struct seg *s = vq->segs; s != NULL; s = s->next)
		if (strcmp(s->name, name) == 0)
			return (s);
	return (NULL);
}

static void
seg_free(struct seg **sp)
{
	struct seg *s = *sp;

	spool_reader_close(&s->reader);
	spool_done_close(&s->done);
	for (size_t i = 0; i < s->copied.len; i++)
		free(s->copied.p[i]);
	vec_free(&s->copied);
	vec_free(&s->replay);
	free(s->path);
	free(s);
	*sp = NULL;
}

static struct seg *
seg_open(struct vq *vq, const char *name, struct err *err)
{
	struct seg *s;
	char *done;

	if (!spool_segment_name_valid(name, NULL, NULL, NULL)) {
		err_set(err, ERR_PERM, "5.3.0", "not the name of a segment: %.40s", name);
		return (NULL);
	}
	s = xcalloc(1, sizeof(*s));
	s->vq = vq;
	(void)snprintf(s->name, sizeof(s->name), "%s", name);
	s->path = join(vq->intake, name, "");
	done = join(vq->intake, name, ".done");
	if (spool_reader_open(&s->reader, s->path, err) == -1 ||
	    spool_done_open(&s->done, done, note_entry, s, err) == -1) {
		free(done);
		seg_free(&s);
		return (NULL);
	}
	free(done);
	if (s->replay.len > 1)
		qsort(s->replay.p, s->replay.len, sizeof(*s->replay.p), by_record);
	s->damaged = !spool_reader_whole(s->reader);
	if (s->damaged)
		log_error(NULL, "segment=%s its header is damaged; its records are read all the same", s->name);
	s->id = spool_reader_id(s->reader);
	s->parsed = s->durable = spool_reader_start(s->reader);
	s->next = vq->segs;
	vq->segs = s;
	return (s);
}

/* ---- what workers tell ---- */

void
segs_wake(struct vq *vq)
{
	fiber_waiters_wake_all(&vq->pump_wait);
}

void
segs_range(struct vq *vq, const char *name, uint64_t to)
{
	struct seg *s = find(vq, name);
	struct err err = ERR_INIT;

	if (s == NULL)
		s = seg_open(vq, name, &err);
	if (s == NULL) {
		log_err(NULL, "segment", &err);
		return;
	}
	if (to > s->durable) {
		s->durable = to;
		segs_wake(vq);
	}
}

void
segs_sealed(struct vq *vq, const char *name, uint64_t to)
{
	struct seg *s = find(vq, name);

	/* One that was never written to, or that we finished already, is looked at by the scan. */
	if (s == NULL || s->orphan)
		return;
	if (to > s->durable)
		s->durable = to;
	s->sealed = true;
	segs_wake(vq);
	seg_check_end(s);
}

/* ---- dead writers ---- */

static void
scan_one(struct vq *vq, const char *name)
{
	struct seg *s = find(vq, name);
	struct err err = ERR_INIT;
	bool known = s != NULL;

	if (known && (s->sealed || s->orphan))
		return;
	if (!known) {
		/* A segment that lives is opened when its worker tells of it. */
		struct spool_reader *r;
		char *path = join(vq->intake, name, "");
		bool orphan = spool_reader_open(&r, path, &err) == 0 && spool_reader_orphan(r);

		spool_reader_close(&r);
		free(path);
		if (err.cls != ERR_NONE && errno != ENOENT)
			log_err(NULL, "segment", &err);
		if (!orphan || (s = seg_open(vq, name, &err)) == NULL)
			return;
	} else if (!spool_reader_orphan(s->reader)) {
		return;
	}
	s->orphan = s->sealed = true;
	segs_wake(vq);
	seg_check_end(s);
}

/* A done-log without its segment: the machine died between the two unlinks. */
static void
drop_stray_done(struct vq *vq, const char *name)
{
	char *path;
	char seg[SPOOL_SEGMENT_NAME_MAX];
	size_t n = strlen(name);

	if (n < 6 || n - 5 >= sizeof(seg) || strcmp(name + n - 5, ".done") != 0)
		return;
	memcpy(seg, name, n - 5);
	seg[n - 5] = '\0';
	if (!spool_segment_name_valid(seg, NULL, NULL, NULL))
		return;
	path = join(vq->intake, seg, "");
	if (access(path, F_OK) == -1 && errno == ENOENT && find(vq, seg) == NULL) {
		free(path);
		path = join(vq->intake, name, "");
		(void)unlink(path);
	}
	free(path);
}

void
segs_scan(struct vq *vq)
{
	DIR *d = opendir(vq->intake);
	struct dirent *de;

	if (d == NULL)
		return;
	while ((de = readdir(d)) != NULL)
		if (spool_segment_name_valid(de->d_name, NULL, NULL, NULL))
			scan_one(vq, de->d_name);
	rewinddir(d);
	while ((de = readdir(d)) != NULL)
		drop_stray_done(vq, de->d_name);
	(void)closedir(d);
}

/* ---- reading ---- */

static void
apply_entry(struct msg *m, const struct spool_done_entry *e)
{
	switch (e->state) {
	case SPOOL_ST_INTENT:
		m->intent = true;
		return;
	case SPOOL_ST_LOCAL:
	case SPOOL_ST_SENT:
	case SPOOL_ST_BOUNCED:
	case SPOOL_ST_REMOVED:
		break;
	default:
		return;
	}
	/* An end was recorded behind the intent. */
	m->intent = false;
	if (e->child != 0)
		(void)childset_add(&m->settled, e->child, NULL);
	else if (e->rcpt < m->env.nrcpts && m->rcpts[e->rcpt].state == SPOOL_ST_OPEN) {
		m->rcpts[e->rcpt].state = e->state;
		m->open--;
	}
}

/* What earlier lives say of the message; true when it is over. */
static bool
apply_replay(struct seg *s, struct msg *m)
{
	bool over = false;

	while (s->replay_pos < s->replay.len && s->replay.p[s->replay_pos].e.record < m->record)
		s->replay_pos++;
	for (size_t i = s->replay_pos; i < s->replay.len && s->replay.p[i].e.record == m->record; i++) {
		const struct spool_done_entry *e = &s->replay.p[i].e;

		if (e->rcpt == SPOOL_ALL && e->child == 0 && e->state != SPOOL_ST_INTENT)
			over = true;
		else
			apply_entry(m, e);
	}
	reported_apply(m);
	return (over || m->open == 0);
}

static struct msg *
msg_of_record(struct seg *s, const struct spool_record *rec, struct err *err)
{
	struct msg *m = msg_new(s->vq);

	if (spool_envelope_decode_copy(&m->env, rec->envelope, m->arena, err) == -1) {
		msg_free(&m);
		return (NULL);
	}
	msg_known(m);
	m->seg = s;
	m->record = rec->offset;
	m->origin = s->id;
	m->off = rec->content_off;
	m->len = rec->content_len;
	m->path = sv_cstr(arena_fmt(m->arena, "%s/%s", BOX_INTAKE, s->name));
	m->rcpts = arena_zalloc(m->arena, (m->env.nrcpts + 1) * sizeof(*m->rcpts));
	m->open = (unsigned)m->env.nrcpts;
	return (m);
}

/*
 * At the cursor there is no record, though there ought to be one: go on behind the damage.  False: it is but the end of
 * what the writer finished.
 */
static bool
seg_pass_damage(struct seg *s, bool beyond)
{
	struct spool_record_head h;
	uint64_t known = s->durable, at;

	if (beyond && !s->surveyed) {
		s->surveyed = true;
		s->declared = spool_reader_declared(s->reader, s->parsed + SPOOL_RECORD_HEADER);
		/* The done-log knows of records that were read. */
		if (s->replay.len > 0 && s->replay.p[s->replay.len - 1].e.record >= s->declared)
			s->declared = s->replay.p[s->replay.len - 1].e.record + 1;
	}
	if (beyond)
		known = s->declared;
	if (s->parsed >= known)
		return (false);
	if (!spool_reader_seek(s->reader, s->parsed + SPOOL_RECORD_HEADER, known, &h, &at))
		at = known + (SPOOL_RECORD_HEADER - known % SPOOL_RECORD_HEADER) % SPOOL_RECORD_HEADER;
	log_error(NULL, "segment=%s bytes %llu to %llu of the intake journal are damaged: messages that were in them are lost; "
	    "the rest is read on, and the segment will be kept as %s.damaged", s->name, (unsigned long long)s->parsed,
	    (unsigned long long)at, s->name);
	s->damaged = true;
	s->parsed = at;
	if (!beyond && s->durable < at)
		s->durable = at;
	return (true);
}

/* The disk does not give it now: some tries, then it counts as damaged.  True: go on behind it. */
static bool
seg_read_error(struct seg *s, bool beyond, const struct err *err)
{
	log_err(NULL, "segment", err);
	s->read_again = fiber_now() + READ_AGAIN_MS;
	if (++s->errors < READ_TRIES)
		return (false);
	s->errors = 0;
	if (seg_pass_damage(s, beyond)) {
		s->read_again = 0;
		return (true);
	}
	return (false);
}

/* Read the record at the cursor and start its message.  False: nothing there now. */
static bool
seg_step(struct seg *s)
{
	struct vq *vq = s->vq;
	struct spool_record rec;
	struct err err = ERR_INIT;
	struct msg *m;
	bool beyond = s->orphan && s->parsed >= s->durable;

	if ((s->parsed >= s->durable && !s->orphan) || (s->read_again != 0 && fiber_now() < s->read_again))
		return (false);
	switch (spool_reader_next(s->reader, s->parsed, beyond ? UINT64_MAX : s->durable, beyond || s->damaged, &rec, &err)) {
	case SPOOL_READ_OK:
		s->errors = 0;
		break;
	case SPOOL_READ_ERROR:
		return (seg_read_error(s, beyond, &err));
	default:
		if (seg_pass_damage(s, beyond))
			return (true);
		s->orphan = false;
		s->sealed = true;
		s->durable = s->parsed;
		return (false);
	}
	s->parsed = rec.next;
	if (beyond && s->durable < rec.next)
		s->durable = rec.next;
	m = msg_of_record(s, &rec, &err);
	if (m == NULL) {
		/* Its checksum was right: only a newer program writes what we cannot read.  Keep the segment. */
		log_err(NULL, "envelope", &err);
		s->live++;
		return (true);
	}
	vq->n_read++;
	if (apply_replay(s, m) || queue_find(vq, sv_cstr(m->env.id)) != NULL) {
		if (queue_find(vq, sv_cstr(m->env.id)) != NULL)
			vec_push(&s->copied, xstrdup(m->env.id));
		msg_free(&m);
		return (true);
	}
	if (m->intent)
		log_warn(NULL, "qid=%s an earlier process was sending this message when it ended: a host may get it twice",
		    m->env.id);
	m->intent = false;
	s->live++;
	vq->active++;
	msg_start(m);
	return (true);
}

void
segs_pump(void *arg)
{
	struct vq *vq = arg;
	int64_t scanned = 0;

	for (;;) {
		bool more = false;
		unsigned n = 0;

		routing_more(vq);
		if (fiber_now() >= scanned + SCAN_MS) {
			segs_scan(vq);
			scanned = fiber_now();
		}
		for (struct seg *s = vq->segs, *next; s != NULL; s = next) {
			next = s->next;
			/* Of a segment whose done-log the disk does not take nothing new is begun. */
			while (vq->active < ACTIVE_MAX && n < 256 && !spool_done_behind(s->done) && seg_step(s)) {
				more = true;
				n++;
			}
			seg_check_end(s);
		}
		if (more && vq->active < ACTIVE_MAX)
			fiber_yield();
		else if (fiber_waiters_wait(&vq->pump_wait, scanned + SCAN_MS) == FIBER_CANCELLED)
			return;
	}
}

/* ---- done-logs ---- */

void
seg_dirty(struct seg *s)
{
	s->dirty = true;
	if (!s->vq->flush_needed) {
		s->vq->flush_needed = true;
		fiber_waiters_wake_all(&s->vq->flush_wait);
	}
}

void
segs_flush(void *arg)
{
	struct vq *vq = arg;

	for (;;) {
		if (!vq->flush_needed && fiber_waiters_wait(&vq->flush_wait, FIBER_FOREVER) == FIBER_CANCELLED)
			return;
		/* What else this turn of the loop settles goes into the same write. */
		fiber_yield();
		vq->flush_needed = false;
		for (struct seg *s = vq->segs; s != NULL; s = s->next) {
			struct err err = ERR_INIT;

			if (!s->dirty)
				continue;
			s->dirty = false;
			if (spool_done_write(s->done, &err) == -1) {
				log_err(NULL, "done-log", &err);
				s->dirty = vq->flush_needed = true;
			}
		}
		/* The disk refuses: not at once again. */
		if (vq->flush_needed && fiber_sleep(FLUSH_RETRY_MS) == FIBER_CANCELLED)
			return;
	}
}

/* No message of it is under way, and none will come. */
static bool
seg_over(const struct seg *s)
{
	return (s->sealed && !s->orphan && s->live == 0 && s->parsed >= s->durable);
}

static void
sync_fiber(void *arg)
{
	struct seg *s = arg;
	struct err err = ERR_INIT;

	while (s->sync_wanted) {
		bool ok;

		s->sync_wanted = false;
		ok = spool_done_sync(s->done, &err) == 0;
		if (!ok) {
			log_err(NULL, "done-log", &err);
			err_clear(&err);
			/* Until it succeeds, or nothing is left that it is needed for. */
			s->sync_wanted = !seg_over(s);
		}
		if (fiber_sleep(ok ? SYNC_GAP_MS : FLUSH_RETRY_MS) == FIBER_CANCELLED)
			break;
	}
	s->syncing = false;
	seg_check_end(s);
}

void
seg_want_sync(struct seg *s)
{
	s->sync_wanted = true;
	if (!s->syncing)
		s->syncing = fiber_spawn("done-sync", sync_fiber, s) != NULL;
}

/* ---- the end of a segment ---- */

/* Remove the segment; one with a stretch that could not be read is kept aside for who can do more with it. */
static int
put_away(struct seg *s, struct err *err)
{
	char *aside = join(s->vq->intake, s->name, ".damaged");
	int rc = s->damaged ? rename(s->path, aside) : unlink(s->path);

	if (rc == -1 && errno == ENOENT)
		rc = 0;
	else if (rc == -1)
		err_sys(err, "%s %s", s->damaged ? "rename" : "unlink", s->path);
	free(aside);
	return (rc);
}

/* What was settled is told beside it. */
static void
keep_done(struct seg *s, const char *done)
{
	char *aside = join(s->vq->intake, s->name, ".damaged.done");

	(void)rename(done, aside);
	free(aside);
}

uint64_t
segs_damaged(struct vq *vq)
{
	DIR *d = opendir(vq->intake);
	struct dirent *de;
	uint64_t n = 0;

	while (d != NULL && (de = readdir(d)) != NULL)
		n += sv_ends(sv_cstr(de->d_name), ".seg.damaged");
	if (d != NULL)
		(void)closedir(d);
	return (n);
}

static void
remove_fiber(void *arg)
{
	struct seg *s = arg;
	struct vq *vq = s->vq;
	struct err err = ERR_INIT;
	char *done = join(vq->intake, s->name, ".done");
	struct seg **p;

	/*
	 * The segment first, and durably: a done-log without its segment is nothing, a segment that stays without its
	 * done-log and its delivery ids is delivered again.
	 */
	while (put_away(s, &err) == -1 || spool_dir_sync(vq->intake, &err) == -1) {
		log_err(NULL, "segment", &err);
		err_clear(&err);
		if (fiber_sleep(REMOVE_RETRY_MS) == FIBER_CANCELLED) {
			free(done);
			return;
		}
	}
	if (s->damaged)
		keep_done(s, done);
	(void)unlink(done);
	free(done);
	for (p = &vq->segs; *p != s; p = &(*p)->next)
		;
	*p = s->next;
	forget_segment(vq, s);
	seg_free(&s);
}

void
seg_check_end(struct seg *s)
{
	if (!seg_over(s) || s->removing || s->syncing)
		return;
	s->removing = fiber_spawn("segment-remove", remove_fiber, s) != NULL;
}

int
segs_origins(struct vq *vq, uint64_t **v, size_t *n, struct err *err)
{
	VEC(uint64_t) o = VEC_INIT;
	DIR *d = opendir(vq->intake);
	struct dirent *de;
	uint64_t id;
	int rc;

	/* Half a list would drop ids that count. */
	if (d == NULL)
		return (err_sys(err, "read %s", vq->intake));
	/* By name: also those that live and were not told of yet. */
	while (errno = 0, (de = readdir(d)) != NULL)
		if (spool_segment_name_valid(de->d_name, NULL, NULL, &id))
			vec_push(&o, id);
	rc = errno == 0 ? 0 : err_sys(err, "read %s", vq->intake);
	(void)closedir(d);
	if (rc == -1)
		vec_free(&o);
	*v = o.p;
	*n = o.len;
	return (rc);
}

bool
segs_has(struct vq *vq, uint64_t id)
{
	uint64_t *v = NULL;
	size_t n = 0;
	bool yes = false;

	for (const struct seg *s = vq->segs; s != NULL; s = s->next)
		if (s->id == id)
			return (true);
	/* Where it cannot be told it may be there. */
	if (segs_origins(vq, &v, &n, NULL) == -1)
		return (true);
	for (size_t i = 0; i < n && !yes; i++)
		yes = v[i] == id;
	free(v);
	return (yes);
}
