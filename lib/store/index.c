/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening the index and the cache, and the look-ups that reader and writer share.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "os/file.h"
#include "store/index_int.h"

#define READERS_MAX	512

int
index_err(struct err *err, const char *what, int rc)
{
	return (err_set(err, ERR_TEMP, rc == MDB_MAP_FULL || rc == ENOSPC ? "4.3.1" : "4.3.0", "store index: %s: %s",
	    what, mdb_strerror(rc)));
}

static int
open_tables(struct index *ix, bool write, struct err *err)
{
	unsigned flags = write ? MDB_CREATE : 0;
	MDB_txn *txn = NULL;
	int rc;

	rc = mdb_txn_begin(ix->env, NULL, write ? 0 : MDB_RDONLY, &txn);
	if (rc != 0)
		return (index_err(err, "begin", rc));
#define X(name)										\
	if (rc == 0 && (rc = mdb_dbi_open(txn, #name, flags, &ix->name)) != 0)		\
		(void)index_err(err, "table " #name, rc);
	INDEX_TABLES(X)
#undef X
	if (rc != 0) {
		mdb_txn_abort(txn);
		return (-1);
	}
	/* Committing keeps the handles open, in a read transaction too. */
	rc = mdb_txn_commit(txn);
	return (rc == 0 ? 0 : index_err(err, "commit", rc));
}

/* LMDB makes its files and leaves their names to chance. */
static int
sync_names(const char *dir, const char *path, struct err *err)
{
	return (os_fsync_dir(path, err) == -1 || os_fsync_dir(dir, err) == -1 ? -1 : 0);
}

int
index_open(struct index *ix, const char *dir, const char *name, uint64_t map_size, bool write, struct err *err)
{
	char path[4096];
	int rc;

	memset(ix, 0, sizeof(*ix));
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (write && mkdir(path, 0700) == -1 && errno != EEXIST)
		return (err_sys(err, "make %s", path));
	if ((rc = mdb_env_create(&ix->env)) != 0)
		return (index_err(err, "environment", rc));
	(void)mdb_env_set_maxdbs(ix->env, 16);
	(void)mdb_env_set_maxreaders(ix->env, READERS_MAX);
	(void)mdb_env_set_mapsize(ix->env, map_size);
	rc = mdb_env_open(ix->env, path, MDB_NOTLS | MDB_NORDAHEAD | MDB_NOMEMINIT | (write ? 0 : MDB_RDONLY), 0600);
	if (rc != 0)
		(void)index_err(err, path, rc);
	else if (open_tables(ix, write, err) == 0 && (!write || sync_names(dir, path, err) == 0))
		return (0);
	index_close(ix);
	return (-1);
}

void
index_close(struct index *ix)
{
	if (ix->env != NULL)
		mdb_env_close(ix->env);
	ix->env = NULL;
}

int
index_get(MDB_txn *txn, MDB_dbi dbi, const void *key, size_t klen, struct sv *v, struct err *err)
{
	MDB_val k = index_val(key, klen), d;
	int rc = mdb_get(txn, dbi, &k, &d);

	if (rc == MDB_NOTFOUND)
		return (0);
	if (rc != 0)
		return (index_err(err, "read", rc));
	*v = index_sv(&d);
	return (1);
}

static int
damaged(struct err *err, const char *table)
{
	return (err_set(err, ERR_TEMP, "4.3.0", "store index: a damaged row in table %s; run vstored -R", table));
}

int
index_get_state(const struct index *ix, MDB_txn *txn, struct rec_state *s, struct err *err)
{
	struct sv v = SV_NULL;
	int rc = index_get(txn, ix->state, "state", 5, &v, err);

	if (rc == 1 && !rec_state_get(s, v))
		return (damaged(err, "state"));
	return (rc);
}

int
index_get_name(const struct index *ix, MDB_txn *txn, struct sv name, uint64_t *mbox, struct err *err)
{
	struct sv v = SV_NULL;
	int rc;

	if (name.len == 0 || name.len > STORE_NAME_MAX)
		return (0);
	rc = index_get(txn, ix->names, name.p, name.len, &v, err);
	if (rc != 1)
		return (rc);
	if (v.len != 8)
		return (damaged(err, "names"));
	*mbox = get_le64((const uint8_t *)v.p);
	return (1);
}

int
index_get_box(const struct index *ix, MDB_txn *txn, uint64_t mbox, struct rec_box *b, struct err *err)
{
	uint8_t key[8];
	struct sv v = SV_NULL;
	int rc;

	rec_be64(key, mbox);
	rc = index_get(txn, ix->boxes, key, 8, &v, err);
	if (rc == 1 && !rec_box_get(b, v))
		return (damaged(err, "boxes"));
	return (rc);
}

int
index_get_info(const struct index *ix, MDB_txn *txn, uint64_t mbox, struct rec_info *i, struct err *err)
{
	uint8_t key[8];
	struct sv v = SV_NULL;
	int rc;

	rec_be64(key, mbox);
	rc = index_get(txn, ix->infos, key, 8, &v, err);
	if (rc == 1 && !rec_info_get(i, v))
		return (damaged(err, "infos"));
	return (rc);
}

int
index_msg_walk(MDB_cursor *cur, bool *more, uint64_t mbox, uint32_t first, uint32_t last, struct store_msg *m,
    struct err *err)
{
	uint8_t key[REC_MSG_KEY];
	MDB_val k, d;
	uint32_t uid;
	int rc;

	if (*more)
		rc = mdb_cursor_get(cur, &k, &d, MDB_NEXT);
	else {
		rec_msg_key(key, mbox, first);
		k = index_val(key, sizeof(key));
		rc = mdb_cursor_get(cur, &k, &d, MDB_SET_RANGE);
	}
	*more = true;
	if (rc == MDB_NOTFOUND)
		return (0);
	if (rc != 0)
		return (index_err(err, "read", rc));
	if (k.mv_size != REC_MSG_KEY)
		return (damaged(err, "msgs"));
	uid = rec_get32((const uint8_t *)k.mv_data + 8);
	if (rec_get64(k.mv_data) != mbox || uid > last)
		return (0);
	if (!rec_msg_get(m, uid, index_sv(&d)))
		return (damaged(err, "msgs"));
	return (1);
}
