/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done after a barrier: redo rows are dropped, files of expunged messages and
 * deleted mailboxes removed, mailbox files written anew.  Each piece may be done twice.
 */
#include <sys/stat.h>

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "store/writer_int.h"

/* Unlink one body; its cache row goes with the last link. */
static int
unlink_body(struct store_writer *w, int dir, const char *name, uint64_t oid)
{
	struct stat st;

	if (oid != 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 1)
		w_row_drop(w, oid);
	return (unlinkat(dir, name, 0) == 0 || errno == ENOENT ? 0 : -1);
}

/* Remove what is in <dir>, at most *<max> files.  1: all of it, 0: more is there, -1 with errno. */
static int
empty_dir(struct store_writer *w, int fd, unsigned *max, bool ranges)
{
	struct dirent *e;
	DIR *d;
	int rc = 1;

	if (fd == -1 || (d = fdopendir(fd)) == NULL) {
		if (fd != -1)
			(void)close(fd);
		return (-1);
	}
	while (rc == 1 && (e = readdir(d)) != NULL) {
		struct sv name = sv_cstr(e->d_name);
		uint64_t oid = 0;
		uint32_t uid;

		if (sv_eqs(name, ".") || sv_eqs(name, ".."))
			continue;
		if (ranges && (rec_body_range(name) || e->d_type == DT_DIR)) {
			rc = empty_dir(w, openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), max,
			    false);
			if (rc == 1 && unlinkat(fd, e->d_name, AT_REMOVEDIR) == -1 && errno != ENOENT)
				rc = -1;
		} else if (*max == 0)
			rc = 0;
		else {
			(*max)--;
			(void)rec_body_name(name, &uid, &oid);
			rc = unlink_body(w, fd, e->d_name, oid) == 0 ? 1 : -1;
		}
	}
	(void)closedir(d);
	return (rc);
}

/* 1: the directory is gone, 0: <max> files were removed and more are there, -1 with errno. */
static int
remove_dir(struct store_writer *w, uint64_t mbox, unsigned max)
{
	char path[STORE_BODY_PATH_MAX];
	int fd, rc;

	w_dir_forget(w, mbox);
	(void)store_path_mailbox(mbox, path);
	fd = openat(w->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return (errno == ENOENT ? 1 : -1);
	rc = empty_dir(w, fd, &max, true);
	if (rc == 1 && unlinkat(w->dirfd, path, AT_REMOVEDIR) == -1 && errno != ENOENT)
		rc = -1;
	return (rc);
}

/* The directory of a range that may have become empty; the one that fills now stays. */
static void
remove_range(struct store_writer *w, const struct rec_work *k)
{
	struct wbox *x = w_box(w, k->mbox, NULL);
	char name[48];
	int dir;

	if (x == NULL || x->b.uidnext >> STORE_RANGE_SHIFT == k->uid >> STORE_RANGE_SHIFT ||
	    (dir = w_dir(w, k->mbox, NULL)) == -1)
		return;
	w_body_name(name, k->uid, k->oid);
	*strchr(name, '/') = '\0';
	(void)unlinkat(dir, name, AT_REMOVEDIR);
}

/* 1: done, 0: more of it is left, -1: failed; it stays on the list. */
static int
do_work(struct store_writer *w, const struct rec_work *k, unsigned max)
{
	struct err e = ERR_INIT;
	struct wbox *x;
	char name[48];
	int dir, rc = 1;

	switch (k->what) {
	case REC_DO_UNLINK:
		w_body_name(name, k->uid, k->oid);
		dir = w_dir(w, k->mbox, &e);
		if (dir == -1)
			rc = errno == ENOENT ? 1 : -1;
		else if (unlink_body(w, dir, name, k->oid) == -1)
			rc = err_sys(&e, "unlink message %s", name);
		break;
	case REC_DO_RMDIR:
		if ((rc = remove_dir(w, k->mbox, max)) == -1)
			(void)err_sys(&e, "remove a mailbox directory");
		break;
	case REC_DO_WRITE:
		x = w_box(w, k->mbox, &e);
		if (x != NULL && w_write_boxfile(w, x, x->b.uidreserved, &e) == -1)
			rc = -1;
		break;
	}
	if (rc == -1)
		w_report(w, true, "deferred work: %s", e.text);
	return (rc);
}

/* True when rows are left for a later barrier. */
static bool
drop_redo(struct store_writer *w, uint64_t done)
{
	MDB_val k, d;
	MDB_cursor *c;
	bool left = false;
	int rc;

	if (w_cursor(w, w->ix.redo, &c, NULL) == -1)
		return (true);
	while ((rc = mdb_cursor_get(c, &k, &d, MDB_NEXT)) == 0) {
		uint64_t n = k.mv_size == 8 ? rec_get64(k.mv_data) : 0;

		if (n > done) {
			left = n != UINT64_MAX;
			break;
		}
		if ((rc = mdb_cursor_del(c, 0)) != 0)
			break;
	}
	mdb_cursor_close(c);
	if (rc != 0 && rc != MDB_NOTFOUND)
		(void)w_broken(w, NULL, "tidy", rc);
	return (left);
}

/* True when work is left; *<now>: some of it may be done at once. */
static bool
do_all(struct store_writer *w, uint64_t done, unsigned max, bool *now)
{
	struct rec_work before = { .what = REC_DO_RMDIR };
	MDB_val k, d;
	MDB_cursor *c;
	bool left = false;
	int rc;

	*now = false;
	if (w_cursor(w, w->ix.work, &c, NULL) == -1)
		return (true);
	while ((rc = mdb_cursor_get(c, &k, &d, MDB_NEXT)) == 0) {
		struct rec_work job = { .what = REC_DO_RMDIR };
		int did;

		left = true;
		if (k.mv_size != 12 || rec_get64(k.mv_data) > done)
			break;
		if (max-- == 0) {
			*now = true;
			break;
		}
		did = rec_work_get(&job, index_sv(&d)) ? do_work(w, &job, 1000) : 1;
		if (before.what == REC_DO_UNLINK && (job.what != REC_DO_UNLINK || job.mbox != before.mbox ||
		    job.uid >> STORE_RANGE_SHIFT != before.uid >> STORE_RANGE_SHIFT))
			remove_range(w, &before);
		before = job;
		if (did != 1) {
			*now = did == 0;
			break;
		}
		left = false;
		if ((rc = mdb_cursor_del(c, 0)) != 0)
			break;
	}
	mdb_cursor_close(c);
	if (before.what == REC_DO_UNLINK)
		remove_range(w, &before);
	if (rc != 0 && rc != MDB_NOTFOUND)
		(void)w_broken(w, NULL, "tidy", rc);
	return (left);
}

bool
store_writer_tidy(struct store_writer *w, unsigned max)
{
	uint64_t done = atomic_load(&w->done);
	bool now, left;

	assert(w->txn != NULL);
	if (!w->untidy)
		return (false);
	left = drop_redo(w, done);
	left = do_all(w, done, max, &now) || left;
	if (w->st.barrier != done && done <= w->st.commit) {
		w->st.barrier = done;
		w->state_dirty = true;
	}
	w->untidy = left;
	return (now);
}
