/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The LMDB environment of the index and of the cache, as reader and writer open
 * them, and the reads that both do inside a transaction.
 */
#ifndef VPOST_STORE_INDEX_INT_H
#define VPOST_STORE_INDEX_INT_H

#include <lmdb.h>

#include "base/arena.h"
#include "store/record.h"
#include "store/store.h"

#define INDEX_TABLES(X)		\
	X(state) X(names) X(boxes) X(infos) X(msgs) X(log) X(subs) X(dids) X(redo) X(work)

struct index {
	MDB_env		*env;
#define X(name)	MDB_dbi name;
	INDEX_TABLES(X)
#undef X
};

/* LMDB's error as TEMP 4.3.0; returns -1. */
int	 index_err(struct err *err, const char *what, int rc);

static inline MDB_val
index_val(const void *p, size_t n)
{
	return ((MDB_val){ n, (void *)(uintptr_t)p });
}

static inline struct sv
index_sv(const MDB_val *v)
{
	return (sv_from(v->mv_data, v->mv_size));
}

/*
 * Open <dir>/<name>.  <write>: makes it where it is missing.  A reader meets TEMP as
 * long as vstored has not made it.
 */
int	 index_open(struct index *ix, const char *dir, const char *name, uint64_t map_size, bool write,
	     struct err *err);
void	 index_close(struct index *ix);

/* Rows by key inside <txn>: 1 found, 0 not there, -1 *<err>.  What they point to lives as long as the transaction. */
int	 index_get(MDB_txn *txn, MDB_dbi dbi, const void *key, size_t klen, struct sv *v, struct err *err);
int	 index_get_state(const struct index *ix, MDB_txn *txn, struct rec_state *s, struct err *err);
int	 index_get_name(const struct index *ix, MDB_txn *txn, struct sv name, uint64_t *mbox, struct err *err);
int	 index_get_box(const struct index *ix, MDB_txn *txn, uint64_t mbox, struct rec_box *b, struct err *err);
int	 index_get_info(const struct index *ix, MDB_txn *txn, uint64_t mbox, struct rec_info *i, struct err *err);

/*
 * Walk the records of <mbox> with <first> <= uid <= <last>: start with *<more> false; 1: *<m> filled, 0: end,
 * -1: error.
 */
int	 index_msg_walk(MDB_cursor *cur, bool *more, uint64_t mbox, uint32_t first, uint32_t last, struct store_msg *m,
	     struct err *err);

/* ---- cache ---- */

struct cache {
	MDB_env		*env;
	MDB_dbi		 rows;
	uint64_t	 gen;
};
int	 cache_open(struct cache *c, const char *dir, uint64_t gen, bool write, struct err *err);
void	 cache_close(struct cache *c);

/* Memory that making rows uses again and again. */
struct cache_maker {
	struct arena	*a;
	struct sb	 env, bs, off;
};
void	 cache_maker_init(struct cache_maker *k);
void	 cache_maker_fini(struct cache_maker *k);
/*
 * Derive the row of a whole message <msg> and append it to <out>; false (<out> unchanged) where it would be
 * too large.
 */
bool	 cache_make(struct cache_maker *k, struct sv msg, struct sb *out);

#endif
