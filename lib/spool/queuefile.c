/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queue files: a record as in the journal, then a log of entries
 *
 *	0 CRC-32C of 4..end   4 length of the rest   8 type   9 zero   12 payload
 *
 * A later entry overrules an earlier one.  A torn tail (the machine died while it was
 * written) is ignored and overwritten by the next append.
 */
#include "spool/queuefile.h"

#include <sys/stat.h>

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/num.h"
#include "fiber/fiber.h"
#include "os/file.h"
#include "spool/spool_int.h"

#define PATH_SIZE	4096
#define ENTRY_HEAD	12
#define LOG_TEXT_MAX	2048
#define LOG_MAX		(64 * 1024 * 1024)
#define SYNC_TRIES	2
#define CHILD_LINEAR	16		/* more children than that are found by a hash */

enum { QLOG_RCPT = 1, QLOG_CHILD = 2, QLOG_FROZEN = 3, QLOG_WARNED = 4, QLOG_QUEUE = 5 };

/* ---- the log, pure ---- */

static void
put_entry(struct sb *log, uint8_t type, const void *a, size_t alen, struct sv b)
{
	uint8_t h[ENTRY_HEAD] = { 0 };
	uint32_t crc;

	put_le32(h + 4, (uint32_t)(ENTRY_HEAD - 8 + alen + b.len));
	h[8] = type;
	crc = crc32c(0, h + 4, sizeof(h) - 4);
	crc = crc32c(crc, a, alen);
	crc = crc32c(crc, b.p, b.len);
	put_le32(h, crc);
	sb_addn(log, h, sizeof(h));
	sb_addn(log, a, alen);
	sb_addn(log, b.p, b.len);
}

void
spool_qlog_rcpt(struct sb *log, uint32_t rcpt, const struct spool_qrcpt *st)
{
	uint8_t b[32] = { 0 };

	put_le32(b, rcpt);
	b[4] = (uint8_t)st->state;
	put_le64(b + 8, (uint64_t)st->first_failed);
	put_le64(b + 16, (uint64_t)st->last_try);
	put_le64(b + 24, (uint64_t)st->next_try);
	put_entry(log, QLOG_RCPT, b, sizeof(b), sv_sub(st->text, 0, LOG_TEXT_MAX));
}

void
spool_qlog_child(struct sb *log, const struct spool_qchild *c)
{
	uint8_t b[16] = { 0 };

	put_le64(b, c->child);
	put_le32(b + 8, c->rcpt);
	b[12] = (uint8_t)c->state;
	put_entry(log, QLOG_CHILD, b, sizeof(b), SV_LIT(""));
}

void
spool_qlog_frozen(struct sb *log, bool frozen, int64_t now)
{
	uint8_t b[16] = { 0 };

	b[0] = frozen ? 1 : 0;
	put_le64(b + 8, (uint64_t)now);
	put_entry(log, QLOG_FROZEN, b, sizeof(b), SV_LIT(""));
}

void
spool_qlog_warned(struct sb *log, unsigned warnings, int64_t now)
{
	uint8_t b[16] = { 0 };

	put_le32(b, warnings);
	put_le64(b + 8, (uint64_t)now);
	put_entry(log, QLOG_WARNED, b, sizeof(b), SV_LIT(""));
}

void
spool_qlog_queue(struct sb *log, struct sv name)
{
	put_entry(log, QLOG_QUEUE, "", 0, sv_sub(name, 0, LOG_TEXT_MAX));
}

static void
apply_rcpt(struct spool_qfile *q, const uint8_t *p, size_t len)
{
	struct spool_qrcpt *r;

	if (len < 32 || get_le32(p) >= q->env.nrcpts || p[4] > SPOOL_ST_RETRY || len - 32 > LOG_TEXT_MAX)
		return;
	r = &q->rcpts[get_le32(p)];
	r->state = (enum spool_state)p[4];
	r->first_failed = (int64_t)get_le64(p + 8);
	r->last_try = (int64_t)get_le64(p + 16);
	r->next_try = (int64_t)get_le64(p + 24);
	/* The same text again and again is the usual case. */
	if (!sv_eq(r->text, sv_from((const char *)p + 32, len - 32)))
		r->text = arena_sv(q->arena, sv_from((const char *)p + 32, len - 32));
}

static struct sv
child_key(const uint64_t *child)
{
	return (sv_from((const char *)child, sizeof(*child)));
}

static struct spool_qchild *
find_child(struct spool_qfile *q, uint64_t child)
{
	if (q->child_index != NULL) {
		uintptr_t i = (uintptr_t)hash_get(q->child_index, child_key(&child));

		return (i == 0 ? NULL : &q->children.p[i - 1]);
	}
	for (size_t i = 0; i < q->children.len; i++)
		if (q->children.p[i].child == child)
			return (&q->children.p[i]);
	return (NULL);
}

static void
index_child(struct spool_qfile *q, size_t i)
{
	(void)hash_set(q->child_index, child_key(&q->children.p[i].child), (void *)(uintptr_t)(i + 1));
}

static void
add_child(struct spool_qfile *q, const struct spool_qchild *c)
{
	vec_push(&q->children, *c);
	if (q->child_index != NULL) {
		index_child(q, q->children.len - 1);
	} else if (q->children.len > CHILD_LINEAR) {
		q->child_index = hash_new();
		for (size_t i = 0; i < q->children.len; i++)
			index_child(q, i);
	}
}

static void
apply_child(struct spool_qfile *q, const uint8_t *p, size_t len)
{
	struct spool_qchild c, *have;

	if (len < 16 || p[12] > SPOOL_ST_RETRY)
		return;
	c = (struct spool_qchild){ .child = get_le64(p), .rcpt = get_le32(p + 8), .state = (enum spool_state)p[12] };
	have = find_child(q, c.child);
	if (have != NULL)
		*have = c;
	else
		add_child(q, &c);
}

static void
apply_entry(struct spool_qfile *q, uint8_t type, const uint8_t *p, size_t len)
{
	switch (type) {
	case QLOG_RCPT:
		apply_rcpt(q, p, len);
		break;
	case QLOG_CHILD:
		apply_child(q, p, len);
		break;
	case QLOG_FROZEN:
		if (len >= 16) {
			q->frozen = p[0] != 0;
			q->frozen_at = (int64_t)get_le64(p + 8);
		}
		break;
	case QLOG_WARNED:
		if (len >= 16) {
			q->warnings = get_le32(p);
			q->warned_at = (int64_t)get_le64(p + 8);
		}
		break;
	case QLOG_QUEUE:
		if (len <= LOG_TEXT_MAX)
			q->env.queue = arena_sv(q->arena, sv_from((const char *)p, len));
		break;
	default:
		break;		/* of a newer program */
	}
}

size_t
spool_qlog_apply(struct spool_qfile *q, struct sv v)
{
	size_t at = 0;

	while (v.len - at >= ENTRY_HEAD) {
		const uint8_t *p = (const uint8_t *)v.p + at;
		size_t len = get_le32(p + 4);

		if (len < ENTRY_HEAD - 8 || len > v.len - at - 8 || get_le32(p) != crc32c(0, p + 4, len + 4))
			break;
		apply_entry(q, p[8], p + ENTRY_HEAD, len - (ENTRY_HEAD - 8));
		at += 8 + len;
	}
	return (at);
}

/* ---- making ---- */

struct create_job {
	const char	*dir;
	const char	*id;
	uint64_t	 origin;
	struct sv	 env;
	struct sv	 log;
	uint64_t	 log_off;
	const struct spool_content *c;
	int		 rc;
	struct err	 err;
};

static int
create_tmp(struct create_job *j, const char *tmp)
{
	int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct spool_record_tag tag = { .segment_id = j->origin };
	int rc = 0;

	if (fd == -1)
		return (err_sys(&j->err, "create %s", tmp));
	if (spool_record_write(fd, 0, &tag, j->env, j->c) == -1 || ftruncate(fd, (off_t)j->log_off) == -1 ||
	    os_pwrite_full(fd, j->log.p, j->log.len, (off_t)j->log_off) != (ssize_t)j->log.len)
		rc = err_sys(&j->err, "write %s", tmp);
	else if (fsync(fd) == -1)
		rc = err_sys(&j->err, "fsync %s", tmp);
	(void)close(fd);
	return (rc);
}

static void
create_file(void *arg)
{
	struct create_job *j = arg;
	char tmp[PATH_SIZE], path[PATH_SIZE];

	j->rc = -1;
	if (snprintf(tmp, sizeof(tmp), "%s/tmp.%ld.%s", j->dir, (long)getpid(), j->id) >= (int)sizeof(tmp)) {
		(void)err_set(&j->err, ERR_TEMP, "4.3.0", "the path of the queue is too long");
		return;
	}
	(void)snprintf(path, sizeof(path), "%s/%s", j->dir, j->id);
	if (create_tmp(j, tmp) == 0) {
		if (rename(tmp, path) == -1)
			err_sys(&j->err, "rename %s", tmp);
		else if ((j->rc = os_fsync_parent(path, &j->err)) == -1)
			(void)unlink(path);	/* the caller makes it again, perhaps by another id */
	}
	if (j->rc == -1)
		(void)unlink(tmp);
}

/* On a thread where there is a fiber to park, else at once (tools, tests). */
static void
run_blocking(void (*fn)(void *), void *arg)
{
	if (fiber_self() != NULL)
		fiber_offload(fn, arg);
	else
		fn(arg);
}

int
spool_qfile_create(const char *dir, struct spool_qfile *q, const struct spool_content *c, struct err *err)
{
	struct create_job j = { .dir = dir, .id = q->env.id, .origin = q->origin, .c = c, .err = ERR_INIT };
	struct sb env = SB_INIT(SPOOL_ENVELOPE_MAX + 1), log = SB_INIT(LOG_MAX);
	struct spool_record_head h;

	q->env.size = spool_content_length(c);
	if (spool_envelope_encode(&q->env, &env, err) == -1) {
		sb_free(&env);
		return (-1);
	}
	for (uint32_t i = 0; i < q->env.nrcpts; i++)
		if (q->rcpts != NULL && q->rcpts[i].state != SPOOL_ST_OPEN)
			spool_qlog_rcpt(&log, i, &q->rcpts[i]);
	for (size_t i = 0; i < q->children.len; i++)
		spool_qlog_child(&log, &q->children.p[i]);
	if (q->frozen)
		spool_qlog_frozen(&log, true, q->frozen_at);
	h = (struct spool_record_head){ .envelope_len = (uint32_t)env.len, .content_len = q->env.size };
	q->content_off = SPOOL_RECORD_HEADER + env.len;
	q->content_len = q->env.size;
	j.env = sb_sv(&env);
	j.log = sb_sv(&log);
	j.log_off = spool_record_end(&h, 0);
	run_blocking(create_file, &j);
	q->log_end = j.log_off + log.len;
	sb_free(&env);
	sb_free(&log);
	if (j.rc == -1 && err != NULL)
		*err = j.err;
	return (j.rc);
}

/* ---- reading ---- */

/* Read <n> bytes at <off> into the arena. */
static bool
slurp(struct arena *a, int fd, uint64_t off, size_t n, struct sv *out)
{
	char *p = arena_alloc(a, n == 0 ? 1 : n);

	*out = sv_from(p, n);
	return (os_pread_full(fd, p, n, (off_t)off) == (ssize_t)n);
}

static int
load_file(struct spool_qfile *q, int fd, const char *path, struct err *err)
{
	struct spool_record_head h;
	struct sb log = SB_INIT(LOG_MAX);
	struct sv v;
	struct stat st;
	uint64_t end;
	char *room;

	if (fstat(fd, &st) == -1 || !slurp(q->arena, fd, 0, SPOOL_RECORD_HEADER, &v) || !spool_record_head_get(&h, v) ||
	    (end = spool_record_end(&h, 0)) > (uint64_t)st.st_size || (uint64_t)st.st_size - end >= LOG_MAX ||
	    !slurp(q->arena, fd, SPOOL_RECORD_HEADER, h.envelope_len, &v) ||
	    crc32c(0, v.p, v.len) != h.envelope_crc)
		return (err_set(err, ERR_PERM, "5.3.0", "%s is damaged", path));
	if (spool_envelope_decode(&q->env, v, q->arena, err) == -1) {
		err_prefix(err, "%s", path);
		return (-1);
	}
	q->origin = h.segment_id;
	q->content_off = SPOOL_RECORD_HEADER + h.envelope_len;
	q->content_len = h.content_len;
	q->rcpts = arena_zalloc(q->arena, (q->env.nrcpts + 1) * sizeof(*q->rcpts));
	room = sb_room(&log, (size_t)((uint64_t)st.st_size - end) + 1);
	if (room != NULL && os_pread_full(fd, room, (size_t)((uint64_t)st.st_size - end), (off_t)end) ==
	    (ssize_t)((uint64_t)st.st_size - end)) {
		sb_took(&log, (size_t)((uint64_t)st.st_size - end));
		q->log_end = end + spool_qlog_apply(q, sb_sv(&log));
		sb_free(&log);
		return (0);
	}
	sb_free(&log);
	return (err_sys(err, "read %s", path));
}

int
spool_qfile_load(struct spool_qfile **qp, const char *dir, const char *id, struct err *err)
{
	struct spool_qfile *q;
	char path[PATH_SIZE];
	int fd, rc;

	*qp = NULL;
	if (snprintf(path, sizeof(path), "%s/%s", dir, id) >= (int)sizeof(path))
		return (err_set(err, ERR_TEMP, "4.3.0", "the path of the queue is too long"));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return (err_sys(err, "open %s", path));
	q = spool_qfile_new();
	rc = load_file(q, fd, path, err);
	(void)close(fd);
	if (rc == -1)
		spool_qfile_free(&q);
	*qp = q;
	return (rc);
}

struct spool_qfile *
spool_qfile_new(void)
{
	struct spool_qfile *q = xcalloc(1, sizeof(*q));

	q->arena = arena_new(0);
	sb_init(&q->unwritten, LOG_MAX * 4);
	sb_init(&q->unsynced, LOG_MAX * 4);
	return (q);
}

void
spool_qfile_free(struct spool_qfile **qp)
{
	struct spool_qfile *q = *qp;

	if (q == NULL)
		return;
	vec_free(&q->children);
	hash_free(&q->child_index, NULL);
	sb_free(&q->unwritten);
	sb_free(&q->unsynced);
	arena_free(&q->arena);
	free(q);
	*qp = NULL;
}

/* ---- changing ---- */

struct append_job {
	int		 fd;
	int		 rc;
	int		 error;
};

static void
sync_file(void *arg)
{
	struct append_job *j = arg;

	j->rc = fdatasync(j->fd);
	j->error = errno;
}

void
spool_qfile_keep(struct spool_qfile *q, struct sv log)
{
	sb_add(&q->unwritten, log);
	assert(!q->unwritten.overflow);
}

/*
 * At the end of the good entries: a torn tail of an earlier life is overwritten, so it never hides what follows.
 */
static int
write_log(struct spool_qfile *q, int fd, struct sv log)
{
	size_t before = q->unwritten.len;

	sb_add(&q->unwritten, log);
	if (q->unwritten.len == 0)
		return (0);
	if (ftruncate(fd, (off_t)q->log_end) == -1 ||
	    os_pwrite_full(fd, q->unwritten.p, q->unwritten.len, (off_t)q->log_end) != (ssize_t)q->unwritten.len) {
		/* The caller knows of <log>: he tries again, or keeps it. */
		sb_cut(&q->unwritten, before);
		return (-1);
	}
	q->log_end += q->unwritten.len;
	sb_add(&q->unsynced, sb_sv(&q->unwritten));
	sb_clear(&q->unwritten);
	return (0);
}

/* After a failed sync the system may have dropped what it could not write: it gets it once more. */
static int
sync_log(struct spool_qfile *q, int fd)
{
	struct append_job j = { .fd = fd };

	for (int i = 0; i < SYNC_TRIES; i++) {
		uint64_t upto = q->log_end, from;

		if (q->suspect && os_pwrite_full(fd, q->unsynced.p, q->unsynced.len, (off_t)(upto - q->unsynced.len)) !=
		    (ssize_t)q->unsynced.len)
			return (-1);
		run_blocking(sync_file, &j);
		/* Parked: others may have appended, or synced, meanwhile. */
		from = q->log_end - q->unsynced.len;
		q->suspect = j.rc == -1;
		if (j.rc == 0) {
			if (upto > from)
				sb_drop(&q->unsynced, (size_t)(upto - from));
			return (0);
		}
	}
	errno = j.error;
	return (-1);
}

int
spool_qfile_append(const char *dir, struct spool_qfile *q, struct sv log, bool sync, struct err *err)
{
	char path[PATH_SIZE];
	int fd, rc = 0;

	if (log.len == 0 && !sync)
		return (0);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, q->env.id);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd == -1)
		return (err_sys(err, "open %s", path));
	if (write_log(q, fd, log) == -1)
		rc = err_sys(err, "write %s", path);
	else if (sync && sync_log(q, fd) == -1)
		rc = err_sys(err, "fdatasync %s", path);
	(void)close(fd);
	return (rc);
}

struct dir_job {
	const char	*dir;
	int		 rc;
	struct err	 err;
};

static void
sync_dir(void *arg)
{
	struct dir_job *j = arg;

	j->rc = os_fsync_dir(j->dir, &j->err);
}

int
spool_dir_sync(const char *dir, struct err *err)
{
	struct dir_job j = { .dir = dir, .err = ERR_INIT };

	run_blocking(sync_dir, &j);
	if (j.rc == -1 && err != NULL)
		*err = j.err;
	return (j.rc);
}

int
spool_qfile_remove(const char *dir, const char *id, bool sync, struct err *err)
{
	char path[PATH_SIZE];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, id);
	if (unlink(path) == -1 && errno != ENOENT)
		return (err_sys(err, "unlink %s", path));
	return (sync ? spool_dir_sync(dir, err) : 0);
}

/* "tmp.PID.NAME" of a process that is gone. */
static bool
stale_tmp(const char *name)
{
	struct sv v = sv_cstr(name), piece;
	int64_t pid;

	if (!sv_next(&v, '.', &piece) || !sv_eqs(piece, "tmp") || !sv_next(&v, '.', &piece) ||
	    !num_parse(piece, 1, INT32_MAX, &pid))
		return (false);
	return (pid == getpid() || (kill((pid_t)pid, 0) == -1 && errno == ESRCH));
}

int
spool_qfile_scan(const char *dir, bool clean, void (*fn)(void *arg, const char *id), void *arg, struct err *err)
{
	DIR *d = opendir(dir);
	struct dirent *de;
	int rc;

	if (d == NULL)
		return (err_sys(err, "read %s", dir));
	while (errno = 0, (de = readdir(d)) != NULL) {
		if (spool_id_valid(sv_cstr(de->d_name)))
			fn(arg, de->d_name);
		else if (clean && stale_tmp(de->d_name))
			(void)unlinkat(dirfd(d), de->d_name, 0);
	}
	rc = errno == 0 ? 0 : err_sys(err, "read %s", dir);
	(void)closedir(d);
	return (rc);
}
