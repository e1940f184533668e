/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The writer's frame: opening, the batch as one LMDB transaction, barrier, and the
 * rows that every operation writes.
 */
#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "os/time.h"
#include "store/writer_int.h"

#define CLEAN_MARK	"cache.clean"
#define ROWS_MAX	(16 * 1024 * 1024)
#define REDO_MAX	(64 * 1024 * 1024)

/* ---- rows ---- */

int
w_broken(struct store_writer *w, struct err *err, const char *what, int rc)
{
	struct err e = ERR_INIT;

	(void)index_err(&e, what, rc);
	w->dead = w->dead || rc == MDB_PANIC;
	if (!w->broken)
		w->why = e;
	w->broken = true;
	if (err != NULL)
		*err = e;
	return (-1);
}

/* A batch that is broken takes nothing more. */
static int
sound(const struct store_writer *w, struct err *err)
{
	assert(w->txn != NULL);
	if (!w->broken)
		return (0);
	if (err != NULL)
		*err = w->why;
	return (-1);
}

int
w_put(struct store_writer *w, MDB_dbi dbi, const void *key, size_t klen, const void *p, size_t n, unsigned flags,
    struct err *err)
{
	MDB_val k = index_val(key, klen), d = index_val(p, n);
	int rc;

	if (sound(w, err) == -1)
		return (-1);
	rc = mdb_put(w->txn, dbi, &k, &d, flags);
	return (rc == 0 ? 0 : w_broken(w, err, "write", rc));
}

int
w_del(struct store_writer *w, MDB_dbi dbi, const void *key, size_t klen, struct err *err)
{
	MDB_val k = index_val(key, klen);
	int rc;

	if (sound(w, err) == -1)
		return (-1);
	rc = mdb_del(w->txn, dbi, &k, NULL);
	return (rc == 0 || rc == MDB_NOTFOUND ? 0 : w_broken(w, err, "delete", rc));
}

int
w_cursor(struct store_writer *w, MDB_dbi dbi, MDB_cursor **c, struct err *err)
{
	int rc;

	if (sound(w, err) == -1)
		return (-1);
	rc = mdb_cursor_open(w->txn, dbi, c);
	return (rc == 0 ? 0 : w_broken(w, err, "cursor", rc));
}

int
w_del_prefix(struct store_writer *w, MDB_dbi dbi, const void *prefix, size_t n,
    bool (*keep)(void *arg, struct sv key), void *arg, struct err *err)
{
	MDB_val k = index_val(prefix, n), d;
	MDB_cursor *c;
	int rc;

	if (w_cursor(w, dbi, &c, err) == -1)
		return (-1);
	rc = mdb_cursor_get(c, &k, &d, n > 0 ? MDB_SET_RANGE : MDB_FIRST);
	for (; rc == 0; rc = mdb_cursor_get(c, &k, &d, MDB_NEXT)) {
		if (k.mv_size < n || memcmp(k.mv_data, prefix, n) != 0)
			break;
		if (keep != NULL && keep(arg, index_sv(&k)))
			continue;
		if ((rc = mdb_cursor_del(c, 0)) != 0)
			break;
	}
	mdb_cursor_close(c);
	return (rc == 0 || rc == MDB_NOTFOUND ? 0 : w_broken(w, err, "delete", rc));
}

int
w_todo(struct store_writer *w, const struct rec_work *k, struct err *err)
{
	uint8_t key[12], val[REC_WORK_SIZE];

	rec_be64(key, w->st.commit + 1);
	rec_be32(key + 8, w->nwork++);
	rec_work_put(val, k);
	w->numbered = true;
	return (w_put(w, w->ix.work, key, sizeof(key), val, sizeof(val), MDB_APPEND, err));
}

/* Drop the older half of a log that has grown long: readers that lag further behind look at all records. */
static int
prune_log(struct store_writer *w, struct wbox *x, struct err *err)
{
	uint8_t key[REC_LOG_KEY];
	MDB_val k, d;
	MDB_cursor *c;
	int rc;

	if (w_cursor(w, w->ix.log, &c, err) == -1)
		return (-1);
	rec_log_key(key, x->id, 0);
	k = index_val(key, sizeof(key));
	rc = mdb_cursor_get(c, &k, &d, MDB_SET_RANGE);
	while (rc == 0 && x->b.logrows > LOG_ROWS_MAX / 2) {
		if (k.mv_size != REC_LOG_KEY || rec_get64(k.mv_data) != x->id)
			break;
		x->b.logfloor = rec_get64((const uint8_t *)k.mv_data + 8);
		if ((rc = mdb_cursor_del(c, 0)) == 0) {
			x->b.logrows--;
			rc = mdb_cursor_get(c, &k, &d, MDB_NEXT);
		}
	}
	mdb_cursor_close(c);
	return (rc == 0 || rc == MDB_NOTFOUND ? 0 : w_broken(w, err, "log", rc));
}

int
w_log(struct store_writer *w, struct wbox *x, enum rec_log what, const struct store_range *r, size_t n, struct err *err)
{
	struct sb row = SB_INIT(1 + 8 * (size_t)UINT32_MAX);
	uint8_t key[REC_LOG_KEY];
	int rc;

	sb_addc(&row, (char)what);
	rec_ranges_put(&row, r, n);
	rec_log_key(key, x->id, x->b.highestmodseq);
	rc = w_put(w, w->ix.log, key, sizeof(key), row.p, row.len, 0, err);
	sb_free(&row);
	x->b.logrows++;
	x->dirty = true;
	if (rc == 0 && x->b.logrows > LOG_ROWS_MAX)
		rc = prune_log(w, x, err);
	return (rc);
}

void
w_report(const struct store_writer *w, bool bad, const char *fmt, ...)
{
	struct sb sb = SB_INIT(1024);
	va_list ap;

	if (w->o.report == NULL)
		return;
	va_start(ap, fmt);
	sb_addv(&sb, fmt, ap);
	va_end(ap);
	w->o.report(w->o.arg, bad, sb_cstr(&sb));
	sb_free(&sb);
}

int
w_space(struct store_writer *w, uint64_t len, struct err *err)
{
	int64_t now = os_mono_ms(), total = 0, left, reserve;

	if (w->space_at == 0 || now - w->space_at >= 1000) {
		if ((left = os_free_space(w->dir, &total)) == -1)
			return (err_sys(err, "free space of %s", w->dir));
		reserve = total / 100 * w->o.reserve_percent;
		if (reserve < w->o.reserve_min)
			reserve = w->o.reserve_min;
		w->space = left - reserve;
		w->space_at = now;
	}
	if (w->space < (int64_t)len)
		return (err_set(err, ERR_TEMP, STORE_E_FULL, "the disk of the mail store is full up to its reserve"));
	w->space -= (int64_t)len;
	return (0);
}

/* ---- opening ---- */

/* A store that was never written to. */
static int
first_state(struct store_writer *w, struct err *err)
{
	struct rec_state st;
	int rc = index_get_state(&w->ix, w->txn, &st, err);

	if (rc != 0)
		return (rc == 1 ? 0 : -1);
	w->st = (struct rec_state){ .version = REC_VERSION, .next_mbox = 1, .next_oid = 1,
	    .uidvalidity = (uint64_t)(os_wall_us() / 1000000), .cachegen = 1 };
	w->state_dirty = true;
	return (0);
}

/* Remove the files of a cache that nobody trusts. */
static void
remove_cache(struct store_writer *w, uint64_t gen)
{
	static const char *const files[] = { "data.mdb", "lock.mdb", "" };
	char path[128];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)snprintf(path, sizeof(path), "cache.%llu%s%s", (unsigned long long)gen,
		    files[i][0] != '\0' ? "/" : "", files[i]);
		(void)unlinkat(w->dirfd, path, files[i][0] != '\0' ? 0 : AT_REMOVEDIR);
	}
}

/*
 * The cache is kept only if it was closed cleanly: it is not synced, and LMDB cannot tell torn pages from
 * good ones.  A new one has a new name, so that readers which still map the old one see a whole file.
 */
static int
open_cache(struct store_writer *w, struct err *err)
{
	bool clean = unlinkat(w->dirfd, CLEAN_MARK, 0) == 0;

	if (clean && fsync(w->dirfd) == -1)
		return (err_sys(err, "fsync %s", w->dir));
	if (clean && cache_open(&w->cache, w->dir, w->st.cachegen, true, NULL) == 0)
		return (0);
	if (store_writer_begin(w, err) == -1)
		return (-1);
	remove_cache(w, w->st.cachegen);
	w->st.cachegen++;
	remove_cache(w, w->st.cachegen);
	w->state_dirty = true;
	if (cache_open(&w->cache, w->dir, w->st.cachegen, true, err) == -1) {
		store_writer_abort(w);
		return (-1);
	}
	return (store_writer_commit(w, NULL, NULL, err));
}

static int
open_dirs(struct store_writer *w, struct err *err)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/u", w->dir);
	if (os_mkdir_p(path, 0700, err) == -1 || os_fsync_parent(w->dir, err) == -1)
		return (-1);
	w->dirfd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->boxfd = open(w->box, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->dirfd == -1 || w->boxfd == -1)
		return (err_sys(err, "open %s", w->dirfd == -1 ? w->dir : w->box));
	/* Before the first write, so that no write error is missed. */
	w->barrier = os_barrier_open(w->dir, err);
	return (w->barrier == NULL ? -1 : 0);
}

int
store_writer_open(struct store_writer **wp, const struct store_writer_opts *o, struct err *err)
{
	struct store_writer *w = xcalloc(1, sizeof(*w));

	*wp = NULL;
	w->box = xstrdup(o->box);
	w->dir = xstrdup(o->dir);
	w->o = *o;
	w->o.box = w->box;
	w->o.dir = w->dir;
	w->dirfd = w->boxfd = -1;
	w->a = arena_new(65536);
	w->buf = xmalloc(BODY_BUF);
	cache_maker_init(&w->maker);
	sb_init(&w->rows, ROWS_MAX);
	sb_init(&w->redo, REDO_MAX);
	if (open_dirs(w, err) == -1 || index_open(&w->ix, w->dir, STORE_INDEX_DIR, o->map_size, true, err) == -1)
		goto fail;
	store_writer_check_readers(w);
	if (store_writer_begin(w, err) == -1 || store_writer_commit(w, NULL, NULL, err) == -1)
		goto fail;
	atomic_store(&w->commits, w->st.commit);
	atomic_store(&w->done, w->st.barrier);
	if (w_recover(w, err) == -1 || open_cache(w, err) == -1)
		goto fail;
	*wp = w;
	return (0);
fail:
	err_prefix(err, "open the mail store");
	store_writer_close(&w);
	return (-1);
}

/* The cache is whole on disk: say so. */
static void
close_cache(struct store_writer *w)
{
	int fd;

	if (mdb_env_sync(w->cache.env, 1) == 0) {
		fd = openat(w->dirfd, CLEAN_MARK, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd != -1) {
			(void)fsync(fd);
			(void)close(fd);
			(void)fsync(w->dirfd);
		}
	}
	cache_close(&w->cache);
}

void
store_writer_close(struct store_writer **wp)
{
	struct store_writer *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	if (w->txn != NULL)
		store_writer_abort(w);
	if (w->cache.env != NULL)
		close_cache(w);
	index_close(&w->ix);
	os_barrier_close(&w->barrier);
	for (size_t i = 0; i < DIRS_MAX; i++)
		if (w->dirs[i].mbox != 0)
			(void)close(w->dirs[i].fd);
	for (size_t i = 0; i < SOURCES_MAX; i++)
		if (w->sources[i].path != NULL) {
			(void)close(w->sources[i].fd);
			free(w->sources[i].path);
		}
	if (w->dirfd != -1)
		(void)close(w->dirfd);
	if (w->boxfd != -1)
		(void)close(w->boxfd);
	hash_free(&w->boxes, NULL);
	arena_free(&w->a);
	cache_maker_fini(&w->maker);
	sb_free(&w->rows);
	sb_free(&w->redo);
	vec_free(&w->sync_dirs);
	free(w->buf);
	free(w->box);
	free(w->dir);
	free(w);
}

/* ---- a batch ---- */

int
store_writer_begin(struct store_writer *w, struct err *err)
{
	int rc;

	assert(w->txn == NULL);
	if ((rc = mdb_txn_begin(w->ix.env, NULL, 0, &w->txn)) != 0) {
		w->txn = NULL;
		w->dead = rc == MDB_PANIC;
		return (index_err(err, "begin", rc));
	}
	w->boxes = hash_new();
	w->broken = w->numbered = w->state_dirty = false;
	w->nwork = 0;
	w->bytes = 0;
	w->redo_last = SV_NULL;
	memset(&w->last, 0, sizeof(w->last));
	sb_clear(&w->redo);
	sb_clear(&w->rows);
	vec_clear(&w->sync_dirs);
	if ((rc = index_get_state(&w->ix, w->txn, &w->st, err)) == 0)
		rc = first_state(w, err) == 0 ? 1 : -1;
	if (rc == -1)
		store_writer_abort(w);
	return (rc == -1 ? -1 : 0);
}

static void
end_batch(struct store_writer *w)
{
	w->txn = NULL;
	hash_free(&w->boxes, NULL);
	arena_reset(w->a);
	/* One odd batch does not keep its memory. */
	if (w->redo.cap > 1024 * 1024)
		sb_free(&w->redo);
}

void
store_writer_abort(struct store_writer *w)
{
	mdb_txn_abort(w->txn);
	sb_clear(&w->rows);
	end_batch(w);
}

/* Bodies of APPEND were synced when they were written; now the directories that name them. */
static int
sync_dirs(struct store_writer *w, struct err *err)
{
	for (size_t i = 0; i < w->sync_dirs.len; i++) {
		int dir = w_dir(w, w->sync_dirs.p[i].mbox, err), fd, rc;
		char range[16];

		if (dir == -1)
			return (-1);
		(void)snprintf(range, sizeof(range), "%" PRIx32, w->sync_dirs.p[i].range);
		if ((fd = openat(dir, range, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
			return (err_sys(err, "open a mailbox directory"));
		rc = fsync(fd);
		(void)close(fd);
		if (rc == -1)
			return (err_sys(err, "fsync a mailbox directory"));
	}
	return (0);
}

/* All rows of the batch that were kept back for its end. */
static int
flush_batch(struct store_writer *w, struct err *err)
{
	uint8_t key[8], st[REC_STATE_SIZE];

	if (w->broken) {
		if (err != NULL)
			*err = w->why;
		return (-1);
	}
	if (w_flush_boxes(w, err) == -1)
		return (-1);
	if (w->redo.overflow)
		return (err_set(err, ERR_TEMP, "4.3.0", "store: too many bodies in one batch"));
	if (w->redo.len > 0) {
		rec_be64(key, w->st.commit + 1);
		if (w_put(w, w->ix.redo, key, 8, w->redo.p, w->redo.len, 0, err) == -1)
			return (-1);
		w->numbered = true;
	}
	if (w->numbered)
		w->st.commit++;
	if (w->numbered || w->state_dirty) {
		rec_state_put(st, &w->st);
		if (w_put(w, w->ix.state, "state", 5, st, sizeof(st), 0, err) == -1)
			return (-1);
	}
	return (sync_dirs(w, err));
}

int
store_writer_commit(struct store_writer *w, void (*changed)(void *arg, uint64_t mbox), void *arg, struct err *err)
{
	size_t pos = 0;
	struct sv k;
	void *v;
	int rc;

	if (flush_batch(w, err) == -1) {
		store_writer_abort(w);
		return (-1);
	}
	if ((rc = mdb_txn_commit(w->txn)) != 0) {
		sb_clear(&w->rows);
		end_batch(w);
		w->dead = rc == MDB_PANIC;
		return (index_err(err, "commit", rc));
	}
	if (w->numbered) {
		/*
		 * In this order: a barrier that begins in between covers the commit, and another follows.  The other way round
		 * it would take the bytes and not the number, and nothing would ask for the next.
		 */
		atomic_store(&w->commits, w->st.commit);
		atomic_fetch_add(&w->unsynced, w->bytes + 1);
		w->untidy = true;
	}
	while (changed != NULL && hash_next(w->boxes, &pos, &k, &v)) {
		const struct wbox *x = v;

		if (x->dirty || x->info_dirty || x->gone)
			changed(arg, x->id);
	}
	end_batch(w);
	return (0);
}

bool
store_writer_dead(const struct store_writer *w)
{
	return (w->dead);
}

void
store_writer_fill_cache(struct store_writer *w)
{
	const uint8_t *p = (const uint8_t *)w->rows.p;
	size_t left = w->rows.len;
	MDB_txn *txn;
	int rc = 0;

	if (left == 0 || w->cache.env == NULL || mdb_txn_begin(w->cache.env, NULL, 0, &txn) != 0)
		return;
	while (rc == 0 && left >= 12) {
		uint8_t key[8];
		uint32_t n = get_le32(p + 8);
		MDB_val k = index_val(key, 8), d = index_val(p + 12, n);

		rec_be64(key, get_le64(p));
		/* No bytes: the last link to that content is gone. */
		if (n == 0) {
			if ((rc = mdb_del(txn, w->cache.rows, &k, NULL)) == MDB_NOTFOUND)
				rc = 0;
		} else
			rc = mdb_put(txn, w->cache.rows, &k, &d, 0);
		p += 12 + n;
		left -= 12 + n;
	}
	/* A row that is missing is made again when it is asked for. */
	if (rc == 0)
		(void)mdb_txn_commit(txn);
	else
		mdb_txn_abort(txn);
	sb_clear(&w->rows);
	if (w->rows.cap > 2 * 1024 * 1024)
		sb_free(&w->rows);
}

/* ---- barrier ---- */

uint64_t
store_writer_commits(const struct store_writer *w)
{
	return (atomic_load(&w->commits));
}

uint64_t
store_writer_unsynced(const struct store_writer *w)
{
	return (atomic_load(&w->unsynced));
}

uint64_t
store_writer_barrier_done(const struct store_writer *w)
{
	return (atomic_load(&w->done));
}

bool
store_writer_suspect(const struct store_writer *w)
{
	return (atomic_load(&w->suspect));
}

bool
store_writer_untidy(const struct store_writer *w)
{
	return (w->untidy);
}

int
store_writer_barrier(struct store_writer *w, struct err *err)
{
	uint64_t n, bytes;

	if (atomic_load(&w->rewrite))
		return (err_set(err, ERR_TEMP, "4.3.0",
		    "store: the bodies since the last barrier must be written again first"));
	bytes = atomic_exchange(&w->unsynced, 0);
	n = atomic_load(&w->commits);
	if (os_barrier(w->barrier, err) == -1) {
		atomic_fetch_add(&w->unsynced, bytes + 1);
		atomic_store(&w->rewrite, true);
		atomic_store(&w->suspect, true);
		return (-1);
	}
	atomic_store(&w->done, n);
	atomic_store(&w->suspect, false);
	return (0);
}

void
store_writer_check_readers(struct store_writer *w)
{
	int dead;

	(void)mdb_reader_check(w->ix.env, &dead);
	if (w->cache.env != NULL)
		(void)mdb_reader_check(w->cache.env, &dead);
}
