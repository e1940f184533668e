/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Build the index anew from mailbox files and bodies.  What only the old index knows
 * (flags, keywords, dates, subscriptions, delivery ids, pending removals) is taken from it
 * where it can be read.  The new one is made beside the old and renamed at the end.
 */
#include <sys/stat.h>

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "os/time.h"
#include "store/writer_int.h"

#define NEW_DIR	"index.new"
#define OLD_DIR	"index.old"

struct rebuild {
	const struct store_writer_opts *o;
	int		 dirfd;
	struct index	 ix;		/* the new one */
	MDB_txn		*txn;
	struct index	 old;		/* env NULL: it cannot be read */
	MDB_txn		*otxn;
	struct rec_state st;
	unsigned	 boxes, msgs, dropped;
};

static void
tell(const struct rebuild *b, bool bad, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void
tell(const struct rebuild *b, bool bad, const char *fmt, ...)
{
	struct sb sb = SB_INIT(1024);
	va_list ap;

	va_start(ap, fmt);
	sb_addv(&sb, fmt, ap);
	va_end(ap);
	if (b->o->report != NULL)
		b->o->report(b->o->arg, bad, sb_cstr(&sb));
	sb_free(&sb);
}

/* ---- one mailbox ---- */

struct found {
	uint32_t	 uid;
	uint64_t	 oid;
};

struct mailbox {
	uint64_t	 id;
	int		 fd;		/* its directory */
	struct rec_box	 box;
	struct rec_info	 info;
	struct rec_box	 obox;		/* of the old index */
	bool		 known;		/* the old index has it */
	struct sb	 text;		/* what info points into */
	VEC(struct found) files;
};

static int
cmp_found(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return (x->uid < y->uid ? -1 : x->uid > y->uid);
}

/* The directory <name> below the mailbox's, or the mailbox's own ("."), for reading. */
static DIR *
open_dir(const struct mailbox *m, const char *name, struct err *err)
{
	int fd = openat(m->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);

	if (d == NULL) {
		(void)err_sys(err, "read a mailbox directory");
		if (fd != -1)
			(void)close(fd);
	}
	return (d);
}

static int
scan_range(struct mailbox *m, const char *range, struct err *err)
{
	DIR *d = open_dir(m, range, err);
	struct dirent *e;

	if (d == NULL)
		return (-1);
	while ((e = readdir(d)) != NULL) {
		struct found f;
		char name[48];

		if (!rec_body_name(sv_cstr(e->d_name), &f.uid, &f.oid))
			continue;
		/* Elsewhere than where its name belongs nobody would find it. */
		w_body_name(name, f.uid, f.oid);
		if (sv_starts(sv_cstr(name), range) && name[strlen(range)] == '/')
			vec_push(&m->files, f);
	}
	(void)closedir(d);
	return (0);
}

static int
scan(struct mailbox *m, struct err *err)
{
	DIR *d = open_dir(m, ".", err);
	struct dirent *e;
	int rc = 0;

	if (d == NULL)
		return (-1);
	while (rc == 0 && (e = readdir(d)) != NULL)
		if (rec_body_range(sv_cstr(e->d_name)))
			rc = scan_range(m, e->d_name, err);
	(void)closedir(d);
	if (rc == -1)
		return (-1);
	if (m->files.len > 1)
		qsort(m->files.p, m->files.len, sizeof(*m->files.p), cmp_found);
	return (0);
}

/* Name, owner, ACL: of the old index where it has them, else of the file. */
static bool
describe(struct rebuild *b, struct mailbox *m)
{
	struct rec_boxfile f;
	struct rec_info oi;
	char buf[REC_BOXFILE_MAX];
	int fd = openat(m->fd, "mailbox", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd == -1 ? -1 : os_read_full(fd, buf, sizeof(buf));
	bool has = n > 0 && rec_boxfile_get(&f, sv_from(buf, (size_t)n)) && f.mbox == m->id;

	if (fd != -1)
		(void)close(fd);
	m->known = b->otxn != NULL && index_get_box(&b->old, b->otxn, m->id, &m->obox, NULL) == 1 &&
	    index_get_info(&b->old, b->otxn, m->id, &oi, NULL) == 1;
	if (m->known)
		m->info = oi;
	else if (has) {
		sb_addn(&m->text, buf, (size_t)n);
		(void)rec_boxfile_get(&f, sb_sv(&m->text));
		m->info = (struct rec_info){ f.name, f.owner, f.acl, SV_NULL };
	}
	if (m->known)
		m->box = m->obox;
	else if (has)
		m->box = (struct rec_box){ .uidvalidity = f.uidvalidity, .uidnext = f.uidnext, .uidreserved = f.uidnext,
		    .first_recent = 1, .highestmodseq = 1 };
	return (m->known || has);
}

/* Was the message expunged, with its file still waiting to be removed? */
static bool
is_pending(struct rebuild *b, const struct mailbox *m, const struct found *f)
{
	MDB_val k, d;
	MDB_cursor *c;
	bool yes = false;

	if (b->otxn == NULL || mdb_cursor_open(b->otxn, b->old.work, &c) != 0)
		return (false);
	while (!yes && mdb_cursor_get(c, &k, &d, MDB_NEXT) == 0) {
		struct rec_work w;

		yes = rec_work_get(&w, index_sv(&d)) && w.mbox == m->id &&
		    (w.what == REC_DO_RMDIR || (w.what == REC_DO_UNLINK && w.uid == f->uid && w.oid == f->oid));
	}
	mdb_cursor_close(c);
	return (yes);
}

/* The record of a file: the old one where there is one, else made from the file.  1, or 0: it does not count. */
static int
record_of(struct rebuild *b, const struct mailbox *m, const struct found *f, struct store_msg *msg)
{
	uint8_t key[REC_MSG_KEY];
	char name[48], buf[65536];
	struct store_hash h;
	struct stat st;
	struct sv v;
	off_t off = 0;
	ssize_t n;
	int fd;

	rec_msg_key(key, m->id, f->uid);
	if (m->known && index_get(b->otxn, b->old.msgs, key, sizeof(key), &v, NULL) == 1 &&
	    rec_msg_get(msg, f->uid, v) && msg->oid == f->oid)
		return (1);
	/* Of a batch that was never committed: its delivery was never answered, and comes again. */
	if (m->known && (f->uid >= m->obox.uidnext || is_pending(b, m, f)))
		return (0);
	w_body_name(name, f->uid, f->oid);
	fd = openat(m->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1 || fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size > (off_t)STORE_MSG_MAX) {
		if (fd != -1)
			(void)close(fd);
		return (0);
	}
	store_hash_init(&h);
	while ((n = os_pread_full(fd, buf, sizeof(buf), off)) > 0) {
		store_hash_add(&h, buf, (size_t)n);
		off += n;
	}
	(void)close(fd);
	*msg = (struct store_msg){ .uid = f->uid, .oid = f->oid, .size = (uint32_t)st.st_size,
	    .hash = store_hash_end(&h), .internaldate = st.st_mtime, .savedate = st.st_mtime };
	return (1);
}

static int
put(struct rebuild *b, MDB_dbi dbi, const void *key, size_t klen, const void *p, size_t n, struct err *err)
{
	MDB_val k = index_val(key, klen), d = index_val(p, n);
	int rc = mdb_put(b->txn, dbi, &k, &d, 0);

	return (rc == 0 ? 0 : index_err(err, "write", rc));
}

static int
put_msgs(struct rebuild *b, struct mailbox *m, struct err *err)
{
	struct rec_box *x = &m->box;
	uint8_t key[REC_MSG_KEY], row[REC_MSG_SIZE];

	x->messages = x->unseen = x->deleted = x->logrows = 0;
	x->size = 0;
	x->highestmodseq++;
	for (size_t i = 0; i < m->files.len; i++) {
		struct store_msg msg;

		if (record_of(b, m, &m->files.p[i], &msg) == 0) {
			b->dropped++;
			continue;
		}
		if (msg.modseq == 0)
			msg.modseq = x->highestmodseq;
		x->messages++;
		x->unseen += (msg.flags & STORE_SEEN) == 0;
		x->deleted += (msg.flags & STORE_DELETED) != 0;
		x->size += msg.size;
		if (msg.uid >= x->uidnext)
			x->uidnext = msg.uid + 1;
		if (msg.oid >= b->st.next_oid)
			b->st.next_oid = msg.oid + 1;
		b->msgs++;
		rec_msg_key(key, m->id, msg.uid);
		rec_msg_put(row, &msg);
		if (put(b, b->ix.msgs, key, sizeof(key), row, sizeof(row), err) == -1)
			return (-1);
	}
	/* Expunges before now are not in the log. */
	x->logfloor = x->highestmodseq;
	if (x->uidreserved < x->uidnext)
		x->uidreserved = x->uidnext;
	return (0);
}

/* A name that two directories claim goes to the one that the old index names, else to the younger. */
static int
put_name(struct rebuild *b, struct mailbox *m, struct sb *name, struct err *err)
{
	uint64_t other, id;
	uint8_t val[8];

	sb_add(name, m->info.name);
	if (index_get_name(&b->ix, b->txn, m->info.name, &other, NULL) == 1) {
		sb_addf(name, "-%" PRIx64, m->id);
		tell(b, true, "two mailboxes are called " SV_FMT ": one is now " SV_FMT, SV_ARG(m->info.name),
		    SV_ARG(sb_sv(name)));
	} else if (b->otxn != NULL && index_get_name(&b->old, b->otxn, m->info.name, &id, NULL) == 1 && id != m->id)
		sb_addf(name, "-%" PRIx64, m->id);
	m->info.name = sb_sv(name);
	put_le64(val, m->id);
	return (put(b, b->ix.names, name->p, name->len, val, 8, err));
}

static int
put_box(struct rebuild *b, struct mailbox *m, struct err *err)
{
	struct sb name = SB_INIT(STORE_NAME_MAX), info = SB_INIT(65536);
	uint8_t key[8], row[REC_BOX_SIZE];
	int rc = -1;

	rec_be64(key, m->id);
	if (put_msgs(b, m, err) == -1 || put_name(b, m, &name, err) == -1)
		goto out;
	rec_box_put(row, &m->box);
	rec_info_put(&info, &m->info);
	if (put(b, b->ix.boxes, key, 8, row, sizeof(row), err) == 0 &&
	    put(b, b->ix.infos, key, 8, info.p, info.len, err) == 0)
		rc = 0;
	if (m->id >= b->st.next_mbox)
		b->st.next_mbox = m->id + 1;
	if (m->box.uidvalidity > b->st.uidvalidity)
		b->st.uidvalidity = m->box.uidvalidity;
	b->boxes++;
out:
	sb_free(&name);
	sb_free(&info);
	return (rc);
}

/* Was the mailbox deleted, with its directory still there? */
static bool
is_deleted(struct rebuild *b, const struct mailbox *m)
{
	struct found none = { 0, 0 };

	return (b->otxn != NULL && !m->known && is_pending(b, m, &none));
}

static int
one_mailbox(struct rebuild *b, uint64_t id, struct err *err)
{
	struct mailbox m = { .id = id, .text = SB_INIT(REC_BOXFILE_MAX), .files = VEC_INIT };
	char path[STORE_BODY_PATH_MAX];
	int rc = 0, e;

	m.fd = openat(b->dirfd, store_path_mailbox(id, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m.fd == -1)
		return (err_sys(err, "open %s", path));
	if (!describe(b, &m)) {
		tell(b, true, "%s: there is no good mailbox file; its messages are left out", path);
	} else if (!is_deleted(b, &m)) {
		if ((rc = scan(&m, err)) == 0 && (e = mdb_txn_begin(b->ix.env, NULL, 0, &b->txn)) != 0)
			rc = index_err(err, "begin", e);
		else if (rc == 0) {
			if ((rc = put_box(b, &m, err)) == -1)
				mdb_txn_abort(b->txn);
			else if ((e = mdb_txn_commit(b->txn)) != 0)
				rc = index_err(err, "commit", e);
		}
	}
	(void)close(m.fd);
	sb_free(&m.text);
	vec_free(&m.files);
	return (rc);
}

/* ---- all of them ---- */

typedef VEC(uint64_t) ids;

static int
cmp_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y ? -1 : x < y);
}

static void
list_dir(const struct rebuild *b, const char *top, ids *out)
{
	int fd = openat(b->dirfd, top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (d == NULL) {
		if (fd != -1)
			(void)close(fd);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		uint64_t id;

		if (rec_hex64(sv_cstr(e->d_name), &id) && id != 0)
			vec_push(out, id);
	}
	(void)closedir(d);
}

static int
all_mailboxes(struct rebuild *b, struct err *err)
{
	ids v = VEC_INIT;
	int rc = 0;

	for (unsigned i = 0; i < 256; i++) {
		char top[8];

		(void)snprintf(top, sizeof(top), "u/%02x", i);
		list_dir(b, top, &v);
	}
	/* The youngest first: see put_name(). */
	if (v.len > 1)
		qsort(v.p, v.len, sizeof(*v.p), cmp_id);
	for (size_t i = 0; rc == 0 && i < v.len; i++)
		rc = one_mailbox(b, v.p[i], err);
	vec_free(&v);
	return (rc);
}

/* Tables that are taken over as they are. */
static int
copy_table(struct rebuild *b, MDB_dbi from, MDB_dbi to, struct err *err)
{
	MDB_val k, d;
	MDB_cursor *c;
	int rc;

	if ((rc = mdb_cursor_open(b->otxn, from, &c)) != 0)
		return (0);
	while ((rc = mdb_cursor_get(c, &k, &d, MDB_NEXT)) == 0)
		if ((rc = mdb_put(b->txn, to, &k, &d, 0)) != 0)
			break;
	mdb_cursor_close(c);
	if (rc == MDB_NOTFOUND || rc == 0)
		return (0);
	return (index_err(err, "copy a table", rc));
}

/* Counters of the store, and the tables of the old index. */
static int
finish(struct rebuild *b, struct err *err)
{
	uint8_t row[REC_STATE_SIZE];
	struct rec_state os;
	int rc;

	if (b->otxn != NULL && index_get_state(&b->old, b->otxn, &os, NULL) == 1) {
		b->st.commit = os.commit;
		b->st.barrier = os.barrier;
		b->st.cachegen = os.cachegen + 1;
		if (os.next_oid > b->st.next_oid)
			b->st.next_oid = os.next_oid;
		if (os.next_mbox > b->st.next_mbox)
			b->st.next_mbox = os.next_mbox;
		if (os.uidvalidity > b->st.uidvalidity)
			b->st.uidvalidity = os.uidvalidity;
	}
	if ((rc = mdb_txn_begin(b->ix.env, NULL, 0, &b->txn)) != 0)
		return (index_err(err, "begin", rc));
	rec_state_put(row, &b->st);
	if (put(b, b->ix.state, "state", 5, row, sizeof(row), err) == -1 ||
	    (b->otxn != NULL && (copy_table(b, b->old.subs, b->ix.subs, err) == -1 ||
	    copy_table(b, b->old.dids, b->ix.dids, err) == -1 || copy_table(b, b->old.redo, b->ix.redo, err) == -1 ||
	    copy_table(b, b->old.work, b->ix.work, err) == -1))) {
		mdb_txn_abort(b->txn);
		return (-1);
	}
	rc = mdb_txn_commit(b->txn);
	return (rc == 0 ? 0 : index_err(err, "commit", rc));
}

static void
remove_env(int dirfd, const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/data.mdb", name);
	(void)unlinkat(dirfd, path, 0);
	(void)snprintf(path, sizeof(path), "%s/lock.mdb", name);
	(void)unlinkat(dirfd, path, 0);
	(void)unlinkat(dirfd, name, AT_REMOVEDIR);
}

/* The new index takes the old one's place; that one stays as index.old. */
static int
swap(struct rebuild *b, struct err *err)
{
	remove_env(b->dirfd, OLD_DIR);
	if (renameat(b->dirfd, STORE_INDEX_DIR, b->dirfd, OLD_DIR) == -1 && errno != ENOENT)
		return (err_sys(err, "rename the old index"));
	if (renameat(b->dirfd, NEW_DIR, b->dirfd, STORE_INDEX_DIR) == -1)
		return (err_sys(err, "rename the new index"));
	(void)unlinkat(b->dirfd, "cache.clean", 0);
	return (fsync(b->dirfd) == -1 ? err_sys(err, "fsync %s", b->o->dir) : 0);
}

int
store_reconstruct(const struct store_writer_opts *o, struct err *err)
{
	struct rebuild b = { .o = o, .st = { .version = REC_VERSION, .next_mbox = 1, .next_oid = 1, .cachegen = 1,
	    .commit = 1, .barrier = 1, .uidvalidity = (uint64_t)(os_wall_us() / 1000000) } };
	struct err e = ERR_INIT;
	int rc = -1;

	b.dirfd = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b.dirfd == -1)
		return (err_sys(err, "open %s", o->dir));
	if (index_open(&b.old, o->dir, STORE_INDEX_DIR, o->map_size, false, &e) == -1)
		tell(&b, true, "the old index cannot be read, flags are lost: %s", e.text);
	else if (mdb_txn_begin(b.old.env, NULL, MDB_RDONLY, &b.otxn) != 0)
		b.otxn = NULL;
	remove_env(b.dirfd, NEW_DIR);
	if (index_open(&b.ix, o->dir, NEW_DIR, o->map_size, true, err) == 0 && all_mailboxes(&b, err) == 0 &&
	    finish(&b, err) == 0)
		rc = 0;
	if (b.otxn != NULL)
		mdb_txn_abort(b.otxn);
	index_close(&b.old);
	index_close(&b.ix);
	if (rc == 0)
		rc = swap(&b, err);
	if (rc == 0)
		tell(&b, false, "%u mailboxes, %u messages, %u files that do not count", b.boxes, b.msgs, b.dropped);
	(void)close(b.dirfd);
	return (rc);
}
