/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bodies: one plain file per message and mailbox.  They are written before the index
 * speaks of them and never changed; what has the same content is a hard link.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "os/file.h"
#include "store/writer_int.h"

void
w_body_name(char buf[48], uint32_t uid, uint64_t oid)
{
	(void)snprintf(buf, 48, "%" PRIx32 "/%" PRIu32 ".%016" PRIx64, uid >> STORE_RANGE_SHIFT, uid, oid);
}

int
w_body_range(int dir, const char *name, struct err *err)
{
	const char *slash = strchr(name, '/');
	char range[16];

	if (slash == NULL || (size_t)(slash - name) >= sizeof(range))
		return (0);
	(void)snprintf(range, sizeof(range), "%.*s", (int)(slash - name), name);
	/* One in a thousand messages comes here: it may be as durable as can be. */
	if (os_mkdir_spread(dir, range) == 0)
		return (fsync(dir) == 0 ? 0 : err_sys(err, "fsync a mailbox directory"));
	return (errno == EEXIST ? 0 : err_sys(err, "make a directory for messages"));
}

/* ---- descriptors that stay open ---- */

int
w_dir(struct store_writer *w, uint64_t mbox, struct err *err)
{
	struct wdir *d = &w->dirs[mbox % DIRS_MAX];
	char path[STORE_BODY_PATH_MAX];
	int fd;

	if (d->mbox == mbox)
		return (d->fd);
	fd = openat(w->dirfd, store_path_mailbox(mbox, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return (err_sys(err, "open %s/%s", w->dir, path));
	if (d->mbox != 0)
		(void)close(d->fd);
	*d = (struct wdir){ mbox, fd };
	return (fd);
}

void
w_dir_forget(struct store_writer *w, uint64_t mbox)
{
	struct wdir *d = &w->dirs[mbox % DIRS_MAX];

	if (d->mbox != mbox)
		return;
	(void)close(d->fd);
	d->mbox = 0;
}

/* Sources lie in the spool; a path that leads elsewhere is nobody's of ours. */
static bool
source_ok(struct sv path)
{
	return (sv_starts(path, "var/spool/") && path.len < 512 && sv_find(path, SV_LIT("..")) < 0 &&
	    sv_chr(path, '\0') < 0);
}

int
w_source(struct store_writer *w, struct sv path, struct err *err)
{
	struct wsource *s, *old = &w->sources[0];
	struct stat st;

	for (s = w->sources; s < w->sources + SOURCES_MAX; s++) {
		if (s->path != NULL && sv_eqs(path, s->path)) {
			/* A file that is gone is not read from; its descriptor would hold its blocks. */
			if (fstat(s->fd, &st) == 0 && st.st_nlink > 0) {
				s->used = ++w->tick;
				return (s->fd);
			}
			(void)close(s->fd);
			free(s->path);
			s->path = NULL;
		}
		if (s->path == NULL || (old->path != NULL && s->used < old->used))
			old = s;
	}
	if (!source_ok(path))
		return (err_set(err, ERR_TEMP, "4.3.0", "store: the source of a delivery is not in the spool"));
	if (old->path != NULL) {
		(void)close(old->fd);
		free(old->path);
	}
	old->path = xstrndup(path.p, path.len);
	old->fd = openat(w->boxfd, old->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (old->fd == -1) {
		(void)err_sys(err, "open %s", old->path);
		free(old->path);
		old->path = NULL;
		return (-1);
	}
	old->used = ++w->tick;
	return (old->fd);
}

/* ---- writing ---- */

/* A new file under <name>.  One that is there belongs to a batch that was never committed. */
static int
create(int dir, const char *name, struct err *err)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd == -1 && errno == ENOENT) {
		if (w_body_range(dir, name, err) == -1)
			return (-1);
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	}
	if (fd == -1 && errno == EEXIST && unlinkat(dir, name, 0) == 0)
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1)
		(void)err_sys(err, "create a message file");
	return (fd);
}

static int
short_source(struct err *err, ssize_t n)
{
	if (n == -1)
		return (err_sys(err, "read a message"));
	return (err_set(err, ERR_TEMP, "4.3.0", "store: the source of a message is shorter than was said"));
}

/* Derive the cache row while the message is in memory. */
static void
note_row(struct store_writer *w, uint64_t oid, const char *p, size_t len)
{
	size_t at = w->rows.len;
	uint8_t head[12] = { 0 };

	if (w->cache.env == NULL || w->rows.max - w->rows.len < sizeof(head))
		return;
	sb_addn(&w->rows, head, sizeof(head));
	if (!cache_make(&w->maker, sv_from(p, len), &w->rows)) {
		sb_cut(&w->rows, at);
		return;
	}
	put_le64((uint8_t *)w->rows.p + at, oid);
	put_le32((uint8_t *)w->rows.p + at + 8, (uint32_t)(w->rows.len - at - 12));
}

/* The usual case: read once, write once. */
static int
copy_small(struct store_writer *w, int out, struct sv prefix, int fd, uint64_t off, size_t len, struct store_msg *m,
    struct err *err)
{
	struct store_hash h;
	ssize_t n;

	if (prefix.len > 0)
		memcpy(w->buf, prefix.p, prefix.len);
	n = os_pread_full(fd, w->buf + prefix.len, len, (off_t)off);
	if (n != (ssize_t)len)
		return (short_source(err, n));
	if (os_write_full(out, w->buf, prefix.len + len) == -1)
		return (err_sys(err, "write a message"));
	store_hash_init(&h);
	store_hash_add(&h, w->buf, prefix.len + len);
	m->hash = store_hash_end(&h);
	if (w->txn != NULL)
		note_row(w, m->oid, w->buf, prefix.len + len);
	return (0);
}

static int
copy_large(struct store_writer *w, int out, struct sv prefix, int fd, uint64_t off, uint64_t len, struct store_msg *m,
    struct err *err)
{
	struct store_hash h;

	store_hash_init(&h);
	store_hash_add(&h, prefix.p, prefix.len);
	if (prefix.len > 0 && os_write_full(out, prefix.p, prefix.len) == -1)
		return (err_sys(err, "write a message"));
	while (len > 0) {
		size_t want = len < BODY_BUF ? (size_t)len : BODY_BUF;
		ssize_t n = os_pread_full(fd, w->buf, want, (off_t)off);

		if (n != (ssize_t)want)
			return (short_source(err, n));
		if (os_write_full(out, w->buf, want) == -1)
			return (err_sys(err, "write a message"));
		store_hash_add(&h, w->buf, want);
		off += want;
		len -= want;
	}
	m->hash = store_hash_end(&h);
	return (0);
}

int
w_body_write_as(struct store_writer *w, int dir, const char *name, struct store_msg *m, struct sv prefix, int fd,
    uint64_t off, uint64_t len, bool sync, struct err *err)
{
	int out, rc;

	if (len > STORE_MSG_MAX - prefix.len)
		return (err_set(err, ERR_PERM, "5.3.4", "the message is larger than 4 GB"));
	m->size = (uint32_t)(prefix.len + len);
	if ((out = create(dir, name, err)) == -1)
		return (-1);
	if (m->size <= BODY_BUF)
		rc = copy_small(w, out, prefix, fd, off, (size_t)len, m, err);
	else
		rc = copy_large(w, out, prefix, fd, off, len, m, err);
	if (rc == 0 && sync && fdatasync(out) == -1)
		rc = err_sys(err, "sync a message");
	if (close(out) == -1 && rc == 0)
		rc = err_sys(err, "write a message");
	if (rc == -1)
		(void)unlinkat(dir, name, 0);
	else
		w->bytes += m->size;
	return (rc);
}

int
w_body_write(struct store_writer *w, uint64_t mbox, struct store_msg *m, struct sv prefix, int fd, uint64_t off,
    uint64_t len, bool sync, struct err *err)
{
	int dir = w_dir(w, mbox, err);
	char name[48];

	w_body_name(name, m->uid, m->oid);
	return (dir == -1 ? -1 : w_body_write_as(w, dir, name, m, prefix, fd, off, len, sync, err));
}

/* Where hard links cannot be made. */
int
w_body_copy(int from, const char *fname, int to, const char *tname, struct err *err)
{
	int in = openat(from, fname, O_RDONLY | O_CLOEXEC), out = -1, rc = -1;
	struct stat st;

	if (in == -1 || fstat(in, &st) == -1) {
		(void)err_sys(err, "open a message");
		goto done;
	}
	if ((out = create(to, tname, err)) == -1)
		goto done;
	rc = os_copy_range(in, 0, out, 0, (size_t)st.st_size);
	if (close(out) == -1 || rc == -1) {
		rc = err_sys(err, "copy a message");
		(void)unlinkat(to, tname, 0);
	}
done:
	if (in != -1)
		(void)close(in);
	return (rc);
}

int
w_body_link(struct store_writer *w, uint64_t from_mbox, uint32_t from_uid, uint64_t mbox, uint32_t uid, uint64_t oid,
    struct err *err)
{
	int from = w_dir(w, from_mbox, err), to, dupfd = -1, rc;
	char fname[48], tname[48];

	if (from == -1)
		return (-1);
	/* Two mailboxes may share a slot of the table. */
	if (from_mbox != mbox && from_mbox % DIRS_MAX == mbox % DIRS_MAX) {
		if ((dupfd = fcntl(from, F_DUPFD_CLOEXEC, 0)) == -1)
			return (err_sys(err, "keep a directory"));
		from = dupfd;
	}
	if ((to = w_dir(w, mbox, err)) == -1) {
		rc = -1;
		goto out;
	}
	w_body_name(fname, from_uid, oid);
	w_body_name(tname, uid, oid);
	rc = linkat(from, fname, to, tname, 0);
	if (rc == -1 && errno == ENOENT) {
		if ((rc = w_body_range(to, tname, err)) == -1)
			goto out;
		rc = linkat(from, fname, to, tname, 0);
	}
	if (rc == -1 && errno == EEXIST && unlinkat(to, tname, 0) == 0)
		rc = linkat(from, fname, to, tname, 0);
	if (rc == -1 && (errno == EMLINK || errno == EXDEV || errno == EPERM))
		rc = w_body_copy(from, fname, to, tname, err);
	else if (rc == -1 && errno == ENOENT)
		(void)err_set(err, ERR_TEMP, STORE_E_BODY, "UNAVAILABLE: the file of message %" PRIu32 " is missing",
		    from_uid);
	else if (rc == -1)
		(void)err_sys(err, "link a message");
out:
	if (dupfd != -1)
		(void)close(dupfd);
	return (rc);
}

bool
w_body_check(struct store_writer *w, uint64_t mbox, uint32_t uid, uint64_t oid, uint32_t size, uint64_t hash)
{
	int dir = w_dir(w, mbox, NULL), fd;
	struct store_hash h;
	struct stat st;
	char name[48];
	bool ok = false;
	off_t off = 0;
	ssize_t n;

	if (dir == -1)
		return (false);
	w_body_name(name, uid, oid);
	if ((fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) == -1)
		return (false);
	if (fstat(fd, &st) == 0 && st.st_size == (off_t)size) {
		store_hash_init(&h);
		while ((n = os_pread_full(fd, w->buf, BODY_BUF, off)) > 0) {
			store_hash_add(&h, w->buf, (size_t)n);
			off += n;
		}
		ok = n == 0 && store_hash_end(&h) == hash;
	}
	(void)close(fd);
	return (ok);
}

void
w_row_drop(struct store_writer *w, uint64_t oid)
{
	uint8_t head[12];

	put_le64(head, oid);
	put_le32(head + 8, 0);
	if (w->rows.max - w->rows.len >= sizeof(head))
		sb_addn(&w->rows, head, sizeof(head));
}

void
w_body_redo(struct store_writer *w, const struct rec_redo *r)
{
	rec_redo_put(&w->redo, r, &w->redo_last);
}

/* ---- cache rows on demand ---- */

/* Read the message and note its row. */
static void
row_of(struct store_writer *w, uint64_t mbox, const struct store_msg *m)
{
	int dir = w_dir(w, mbox, NULL), fd;
	char name[48];
	void *p;

	w_body_name(name, m->uid, m->oid);
	if (m->size == 0 || dir == -1 || (fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) == -1)
		return;
	if (lseek(fd, 0, SEEK_END) == (off_t)m->size &&
	    (p = mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, fd, 0)) != MAP_FAILED) {
		note_row(w, m->oid, p, m->size);
		(void)munmap(p, m->size);
	}
	(void)close(fd);
}

static bool
has_row(MDB_txn *txn, MDB_dbi rows, uint64_t oid)
{
	uint8_t key[8];
	MDB_val k = index_val(key, 8), d;

	rec_be64(key, oid);
	return (mdb_get(txn, rows, &k, &d) == 0);
}

void
store_writer_cache(struct store_writer *w, uint64_t mbox, const struct store_range *set, size_t nset)
{
	MDB_txn *txn = NULL, *ctxn = NULL;
	MDB_cursor *c = NULL;
	struct store_msg m;

	assert(w->txn == NULL);
	if (w->cache.env == NULL || mdb_txn_begin(w->ix.env, NULL, MDB_RDONLY, &txn) != 0)
		return;
	sb_clear(&w->rows);
	if (mdb_txn_begin(w->cache.env, NULL, MDB_RDONLY, &ctxn) == 0 && mdb_cursor_open(txn, w->ix.msgs, &c) == 0)
		for (size_t i = 0; i < nset; i++) {
			bool more = false;

			while (index_msg_walk(c, &more, mbox, set[i].first, set[i].last, &m, NULL) == 1 &&
			    w->rows.len < w->rows.max / 2)
				if (!has_row(ctxn, w->cache.rows, m.oid))
					row_of(w, mbox, &m);
		}
	if (c != NULL)
		mdb_cursor_close(c);
	if (ctxn != NULL)
		mdb_txn_abort(ctxn);
	mdb_txn_abort(txn);
	store_writer_fill_cache(w);
}
