/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Redo rows: what a start after a crash verifies and repairs, and what is written anew
 * after a barrier that failed.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/writer_int.h"

#define REPAIR_NAME	"repair.new"
#define LOST_KEY	UINT64_MAX		/* row of what could not be repaired: tried again at each start */

typedef VEC(struct rec_redo) redos;

struct redo_log {
	struct sb	 mem;		/* copies of the rows */
	redos		 items;
};

static void
log_free(struct redo_log *l)
{
	sb_free(&l->mem);
	vec_free(&l->items);
}

/* Decode the rows, which lie in l->mem one behind the other with their lengths in <len>. */
static int
decode_rows(struct redo_log *l, const size_t *len, size_t n, struct err *err)
{
	size_t at = 0;

	for (size_t i = 0; i < n; at += len[i++]) {
		struct sv v = sv_from(l->mem.p + at, len[i]), last = SV_NULL;
		struct rec_redo r;
		int rc;

		while ((rc = rec_redo_next(&v, &r, &last)) == 1)
			vec_push(&l->items, r);
		if (rc == -1)
			return (err_set(err, ERR_TEMP, "4.3.0",
			    "store index: a damaged row in table redo; run vstored -R"));
	}
	return (0);
}

/* All redo rows of commits after <from>, and with <lost> those of earlier failures. */
static int
log_load(struct store_writer *w, struct redo_log *l, uint64_t from, bool lost, struct err *err)
{
	VEC(size_t) len = VEC_INIT;
	MDB_txn *txn;
	MDB_cursor *c;
	MDB_val k, d;
	int rc;

	memset(l, 0, sizeof(*l));
	sb_init(&l->mem, SIZE_MAX / 4);
	if ((rc = mdb_txn_begin(w->ix.env, NULL, MDB_RDONLY, &txn)) != 0)
		return (index_err(err, "begin", rc));
	if ((rc = mdb_cursor_open(txn, w->ix.redo, &c)) == 0) {
		while ((rc = mdb_cursor_get(c, &k, &d, MDB_NEXT)) == 0) {
			uint64_t n = k.mv_size == 8 ? rec_get64(k.mv_data) : 0;

			if (n == LOST_KEY ? !lost : n <= from)
				continue;
			vec_push(&len, d.mv_size);
			sb_addn(&l->mem, d.mv_data, d.mv_size);
		}
		mdb_cursor_close(c);
	}
	mdb_txn_abort(txn);
	rc = rc == MDB_NOTFOUND ? decode_rows(l, len.p, len.len, err) : index_err(err, "read redo", rc);
	vec_free(&len);
	return (rc);
}

/* Does the index still have the message? */
static bool
is_live(struct store_writer *w, MDB_txn *txn, const struct rec_redo *r)
{
	uint8_t key[REC_MSG_KEY];
	struct store_msg m;
	struct sv v;

	rec_msg_key(key, r->mbox, r->uid);
	return (index_get(txn, w->ix.msgs, key, sizeof(key), &v, NULL) == 1 && rec_msg_get(&m, r->uid, v) &&
	    m.oid == r->oid);
}

/* Write the body of <r> from the range that <from> names: whole and right, or not at all. */
static int
write_range(struct store_writer *w, const struct rec_redo *r, const struct rec_redo *from, struct err *err)
{
	struct store_msg m = { .uid = r->uid, .oid = r->oid };
	int fd = w_source(w, from->path, err), dir = w_dir(w, r->mbox, err);
	char name[48];

	if (fd == -1 || dir == -1 ||
	    w_body_write_as(w, dir, REPAIR_NAME, &m, from->prefix, fd, from->off, from->len, false, err) == -1)
		return (-1);
	w_body_name(name, r->uid, r->oid);
	if (m.size != r->size || m.hash != r->hash)
		(void)err_set(err, ERR_TEMP, STORE_E_BODY, "its source holds something else");
	else if (w_body_range(dir, name, err) == 0) {
		if (renameat(dir, REPAIR_NAME, dir, name) == 0)
			return (0);
		(void)err_sys(err, "rename a repaired message");
	}
	(void)unlinkat(dir, REPAIR_NAME, 0);
	return (-1);
}

/* The item that wrote the body which <r> is a link to; NULL if that lies before the last barrier. */
static const struct rec_redo *
origin_of(const struct redo_log *l, const struct rec_redo *r)
{
	for (size_t i = l->items.len; i-- > 0;) {
		const struct rec_redo *o = &l->items.p[i];

		if (o->mbox == r->src_mbox && o->uid == r->src_uid && o->oid == r->oid)
			return (o);
	}
	return (NULL);
}

static int
repair(struct store_writer *w, const struct redo_log *l, const struct rec_redo *r, struct err *err)
{
	const struct rec_redo *o = r;

	for (size_t depth = 0; o != NULL && o->from == REC_FROM_BODY && depth <= l->items.len; depth++) {
		if (w_body_check(w, o->src_mbox, o->src_uid, o->oid, o->size, o->hash))
			return (w_body_link(w, o->src_mbox, o->src_uid, r->mbox, r->uid, r->oid, err));
		o = origin_of(l, o);
	}
	if (o == NULL || o->from != REC_FROM_RANGE)
		return (err_set(err, ERR_TEMP, STORE_E_BODY, "the message it was copied from is gone"));
	return (write_range(w, r, o, err));
}

/* The redo table after recovery: only what could not be repaired. */
static int
settle(struct store_writer *w, const redos *lost, struct err *err)
{
	struct sb row = SB_INIT(SIZE_MAX / 4);
	struct sv last = SV_NULL;
	uint8_t key[8];
	int rc;

	if (store_writer_begin(w, err) == -1)
		return (-1);
	rc = w_del_prefix(w, w->ix.redo, "", 0, NULL, NULL, err);
	for (size_t i = 0; i < lost->len; i++)
		rec_redo_put(&row, &lost->p[i], &last);
	rec_be64(key, LOST_KEY);
	if (rc == 0 && row.len > 0)
		rc = w_put(w, w->ix.redo, key, 8, row.p, row.len, 0, err);
	sb_free(&row);
	w->st.barrier = w->st.commit;
	w->state_dirty = true;
	if (rc == -1) {
		store_writer_abort(w);
		return (-1);
	}
	return (store_writer_commit(w, NULL, NULL, err));
}

/* What may be better at the next start: settled now, the journal's copy would go, and the message with it. */
static bool
passing(int error)
{
	static const int t[] = { ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM, EROFS, EACCES, EPERM };

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (t[i] == error)
			return (true);
	return (false);
}

/* Look at each body; those that cannot be had back go to <lost>.  -1: they could be, but not now. */
static int
verify(struct store_writer *w, MDB_txn *txn, const struct redo_log *l, redos *lost, struct err *err)
{
	unsigned repaired = 0;

	for (size_t i = 0; i < l->items.len; i++) {
		const struct rec_redo *r = &l->items.p[i];
		char path[STORE_BODY_PATH_MAX];
		struct err e = ERR_INIT;

		if (!is_live(w, txn, r) || w_body_check(w, r->mbox, r->uid, r->oid, r->size, r->hash))
			continue;
		errno = 0;
		if (repair(w, l, r, &e) == 0) {
			repaired++;
			continue;
		}
		if (passing(errno)) {
			*err = e;
			err_prefix(err, "repair message %s", store_path_body(r->mbox, r->uid, r->oid, path));
			return (-1);
		}
		vec_push(lost, *r);
		w_report(w, true, "message %s is lost: %s", store_path_body(r->mbox, r->uid, r->oid, path), e.text);
	}
	if (repaired > 0)
		w_report(w, false, "repaired %u messages of %zu since the last barrier", repaired, l->items.len);
	return (0);
}

int
w_recover(struct store_writer *w, struct err *err)
{
	struct redo_log l;
	redos lost = VEC_INIT;
	MDB_txn *txn = NULL;
	int rc = -1;

	if (log_load(w, &l, 0, true, err) == -1)
		goto out;
	w->untidy = true;
	if (l.items.len == 0 && w->st.barrier == w->st.commit) {
		rc = 0;
		goto out;
	}
	if (mdb_txn_begin(w->ix.env, NULL, MDB_RDONLY, &txn) != 0) {
		(void)err_set(err, ERR_TEMP, NULL, "store index: no transaction for recovery");
		goto out;
	}
	rc = verify(w, txn, &l, &lost, err);
	mdb_txn_abort(txn);
	if (rc == -1)
		goto out;
	rc = -1;
	if (os_barrier(w->barrier, err) == -1 || settle(w, &lost, err) == -1)
		goto out;
	atomic_store(&w->done, w->st.commit);
	rc = 0;
out:
	vec_free(&lost);
	log_free(&l);
	return (rc);
}

/* ---- after a barrier that failed ---- */

/*
 * The file that is there may be whole in memory and torn on the disk, and the system calls its pages clean: only
 * a new file is written out again.
 */
static int
renew(struct store_writer *w, const struct redo_log *l, const struct rec_redo *r, struct err *err)
{
	char name[48];
	int dir;

	if (repair(w, l, r, err) == 0)
		return (0);
	if (!w_body_check(w, r->mbox, r->uid, r->oid, r->size, r->hash) || (dir = w_dir(w, r->mbox, err)) == -1)
		return (-1);
	w_body_name(name, r->uid, r->oid);
	if (w_body_copy(dir, name, dir, REPAIR_NAME, err) == -1)
		return (-1);
	if (renameat(dir, REPAIR_NAME, dir, name) == -1)
		return (err_sys(err, "rename a message that was written again"));
	err_clear(err);
	return (0);
}

int
store_writer_rewrite(struct store_writer *w, struct err *err)
{
	struct redo_log l;
	MDB_txn *txn = NULL;
	int rc = -1;

	assert(w->txn == NULL);
	if (!atomic_load(&w->rewrite))
		return (0);
	if (log_load(w, &l, atomic_load(&w->done), false, err) == -1)
		goto out;
	if (mdb_txn_begin(w->ix.env, NULL, MDB_RDONLY, &txn) != 0) {
		(void)err_set(err, ERR_TEMP, NULL, "store index: no transaction to write bodies again");
		goto out;
	}
	rc = 0;
	for (size_t i = 0; rc == 0 && i < l.items.len; i++)
		if (is_live(w, txn, &l.items.p[i]))
			rc = renew(w, &l, &l.items.p[i], err);
	mdb_txn_abort(txn);
	if (rc == 0)
		atomic_store(&w->rewrite, false);
out:
	log_free(&l);
	return (rc);
}
