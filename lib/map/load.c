/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a file to a table: read it whole under a shared flock, see whether somebody
 * wrote meanwhile, and parse it by its type.
 */
#include "map_int.h"

#include <sys/file.h>

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "map/lsearch.h"
#include "os/file.h"
#include "os/time.h"

void
stamp_of(struct stamp *s, const struct stat *st)
{
	memset(s, 0, sizeof(*s));
	s->there = true;
	s->dev = st->st_dev;
	s->ino = st->st_ino;
	s->size = st->st_size;
	s->mtime = st->st_mtim;
	s->ctime = st->st_ctim;
}

static bool
ts_eq(const struct timespec *a, const struct timespec *b)
{
	return (a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec);
}

bool
stamp_eq(const struct stamp *a, const struct stamp *b)
{
	return (a->there == b->there && a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	    ts_eq(&a->mtime, &b->mtime) && ts_eq(&a->ctime, &b->ctime));
}

bool
stamp_unsettled(const struct stamp *s)
{
	struct timespec now;
	int64_t ms;

	/* Ours have an earlier mtime (write.c); for others rename(2) and chmod(2) set ctime alone. */
	if (!s->there || !ts_eq(&s->mtime, &s->ctime))
		return (false);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	ms = (int64_t)(now.tv_sec - s->mtime.tv_sec) * 1000 + (now.tv_nsec - s->mtime.tv_nsec) / 1000000;
	return (ms >= 0 && ms < MAP_SETTLE_MS);
}

int
read_text(struct table *t, struct err *err)
{
	struct lsearch l;
	struct lsearch_entry e;

	t->arena = arena_new(16 * 1024);
	lsearch_init(&l, sb_sv(&t->image));
	while (lsearch_next(&l, &e)) {
		char *key;

		if (e.wrong != NULL && e.key.len == 0)
			continue;
		key = arena_dup(t->arena, e.key.p, e.key.len);
		for (size_t i = 0; i < e.key.len; i++)
			key[i] = sv_lower(key[i]);
		/* The first entry of a key counts, as in a search from the top. */
		(void)table_add(t, sv_from(key, e.key.len), arena_sv(t->arena, e.value), false, TABLE_CHAIN);
	}
	lsearch_free(&l);
	return (0);
}

static enum load
read_open_file(struct table *t, struct stamp *s, int fd, struct err *err)
{
	struct stat before, after;
	char *room;
	ssize_t n;

	if (fstat(fd, &before) == -1) {
		err_sys(err, "look at the file");
		return (LOAD_ERROR);
	}
	if (!S_ISREG(before.st_mode) || before.st_size > MAP_FILE_MAX) {
		err_set(err, ERR_TEMP, "4.3.0", S_ISREG(before.st_mode) ? "the file is larger than 512 MB" :
		    "not a regular file");
		return (LOAD_ERROR);
	}
	room = sb_room(&t->image, (size_t)before.st_size + 1);
	if (room == NULL || (n = os_pread_full(fd, room, (size_t)before.st_size, 0)) == -1) {
		err_sys(err, "read the file");
		return (LOAD_ERROR);
	}
	sb_took(&t->image, (size_t)n);
	if (fstat(fd, &after) == -1) {
		err_sys(err, "look at the file");
		return (LOAD_ERROR);
	}
	stamp_of(s, &after);
	if (n != before.st_size || after.st_size != before.st_size || !ts_eq(&before.st_mtim, &after.st_mtim)) {
		err_set(err, ERR_TEMP, "4.3.0", "another program is writing to it: try again");
		return (LOAD_BUSY);
	}
	return (LOAD_OK);
}

static enum load
load_once(struct table *t, struct stamp *s, const char *path, enum map_type type, struct err *err)
{
	enum load rc;
	int fd, (*fn)(struct table *, struct err *);

	memset(s, 0, sizeof(*s));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1) {
		err_sys(err, "open");
		return (errno == ENOENT ? LOAD_MISSING : LOAD_ERROR);
	}
	if (os_flock(fd, OS_LOCK_SHARED, 0, err) == -1) {
		rc = errno == EWOULDBLOCK ? LOAD_BUSY : LOAD_ERROR;
		(void)close(fd);
		return (rc);
	}
	rc = read_open_file(t, s, fd, err);
	(void)close(fd);
	if (rc != LOAD_OK)
		return (rc);
	fn = type == MAP_CDB ? read_cdb : type == MAP_TEXT ? read_text : read_bdb;
	if (fn(t, err) == -1)
		return (stamp_unsettled(s) ? LOAD_BUSY : LOAD_ERROR);
	return (LOAD_OK);
}

enum load
load_file(struct table *t, struct stamp *s, const char *path, enum map_type type, int wait_ms, struct err *err)
{
	int64_t end = os_mono_ms() + wait_ms;

	for (;;) {
		enum load rc = load_once(t, s, path, type, err);
		/* Text files are edited, not rewritten by makemap: they count at once. */
		bool unsettled = rc == LOAD_OK && wait_ms > 0 && type != MAP_TEXT && stamp_unsettled(s);

		if ((rc != LOAD_BUSY && !unsettled) || os_mono_ms() >= end) {
			if (rc == LOAD_OK)
				err_clear(err);
			else
				err_prefix(err, "map %s", path);
			return (rc);
		}
		table_free(t);
		err_clear(err);
		os_sleep_ms(20);
	}
}
