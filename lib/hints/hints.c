/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys are "DB\0KEY", long ones "DB\1" and a hash; values begin with the eight bytes
 * of their expiry.  See hints.h for what callers may rely on.
 */
#include "hints/hints.h"

#include <sys/stat.h>

#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/codec.h"

#define MAP_SIZE	((size_t)512 * 1024 * 1024)
#define KEY_MAX		500

struct hints {
	MDB_env		*env;
	MDB_dbi		 dbi;
	char		 swept[KEY_MAX + 1];	/* where the last sweep ended */
	size_t		 nswept;
};

static int
lmdb_err(struct err *err, int rc, const char *what)
{
	return (err_set(err, ERR_TEMP, "4.3.0", "hints: %s: %s", what, mdb_strerror(rc)));
}

static int
open_env(struct hints *h, const char *dir)
{
	MDB_txn *txn;
	int rc, dead;

	if ((rc = mdb_env_create(&h->env)) != 0)
		return (rc);
	(void)mdb_env_set_mapsize(h->env, MAP_SIZE);
	(void)mdb_env_set_maxreaders(h->env, 1000);
	if ((rc = mdb_env_open(h->env, dir, MDB_NOSYNC | MDB_NOTLS | MDB_NORDAHEAD, 0600)) != 0)
		return (rc);
	(void)mdb_reader_check(h->env, &dead);
	if ((rc = mdb_txn_begin(h->env, NULL, 0, &txn)) != 0)
		return (rc);
	if ((rc = mdb_dbi_open(txn, NULL, 0, &h->dbi)) != 0) {
		mdb_txn_abort(txn);
		return (rc);
	}
	return (mdb_txn_commit(txn));
}

static void
remove_files(const char *dir)
{
	static const char *const names[] = { "data.mdb", "lock.mdb" };
	char path[4096];

	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
}

int
hints_open(struct hints **hp, const char *dir, struct err *err)
{
	struct hints *h = xcalloc(1, sizeof(*h));
	int rc;

	*hp = NULL;
	if (mkdir(dir, 0700) == -1 && errno != EEXIST) {
		free(h);
		return (err_sys(err, "hints: mkdir %s", dir));
	}
	rc = open_env(h, dir);
	if (rc == MDB_INVALID || rc == MDB_CORRUPTED || rc == MDB_VERSION_MISMATCH || rc == MDB_PAGE_NOTFOUND) {
		/* Nothing in it is truth: begin anew. */
		mdb_env_close(h->env);
		remove_files(dir);
		rc = open_env(h, dir);
	}
	if (rc != 0) {
		if (h->env != NULL)
			mdb_env_close(h->env);
		free(h);
		return (lmdb_err(err, rc, dir));
	}
	*hp = h;
	return (0);
}

void
hints_close(struct hints **hp)
{
	if (*hp == NULL)
		return;
	mdb_env_close((*hp)->env);
	free(*hp);
	*hp = NULL;
}

static MDB_val
make_key(char buf[KEY_MAX], const char *db, struct sv key)
{
	size_t n = strlen(db);
	uint32_t crc;
	MDB_val k;

	if (n > 64)
		n = 64;
	memcpy(buf, db, n);
	if (n + 1 + key.len <= KEY_MAX) {
		buf[n++] = '\0';
		if (key.len > 0)
			memcpy(buf + n, key.p, key.len);
		n += key.len;
	} else {
		/* A prefix keeps long keys apart as well as their sum does. */
		size_t keep = KEY_MAX - n - 1 - 8;

		buf[n++] = '\1';
		crc = crc32c(0, key.p, key.len);
		put_le32((uint8_t *)buf + n, crc);
		put_le32((uint8_t *)buf + n + 4, (uint32_t)key.len);
		memcpy(buf + n + 8, key.p, keep);
		n += 8 + keep;
	}
	k.mv_data = buf;
	k.mv_size = n;
	return (k);
}

static bool
alive(const MDB_val *v, int64_t now)
{
	return (v->mv_size >= 8 && (int64_t)get_le64(v->mv_data) > now);
}

bool
hints_get(struct hints *h, const char *db, struct sv key, int64_t now, struct sb *out)
{
	char buf[KEY_MAX];
	MDB_val k = make_key(buf, db, key), v;
	MDB_txn *txn;
	bool found = false;

	if (mdb_txn_begin(h->env, NULL, MDB_RDONLY, &txn) != 0)
		return (false);
	if (mdb_get(txn, h->dbi, &k, &v) == 0 && alive(&v, now)) {
		sb_addn(out, (char *)v.mv_data + 8, v.mv_size - 8);
		found = true;
	}
	mdb_txn_abort(txn);
	return (found);
}

static int
put_once(struct hints *h, MDB_val *k, struct sv value, int64_t expiry)
{
	MDB_txn *txn;
	MDB_val v;
	int rc;

	if ((rc = mdb_txn_begin(h->env, NULL, 0, &txn)) != 0)
		return (rc);
	v.mv_size = value.len + 8;
	v.mv_data = NULL;
	rc = mdb_put(txn, h->dbi, k, &v, MDB_RESERVE);
	if (rc != 0) {
		mdb_txn_abort(txn);
		return (rc);
	}
	put_le64(v.mv_data, (uint64_t)expiry);
	if (value.len > 0)
		memcpy((char *)v.mv_data + 8, value.p, value.len);
	return (mdb_txn_commit(txn));
}

static void
drop_all(struct hints *h)
{
	MDB_txn *txn;

	if (mdb_txn_begin(h->env, NULL, 0, &txn) != 0)
		return;
	if (mdb_drop(txn, h->dbi, 0) != 0) {
		mdb_txn_abort(txn);
		return;
	}
	(void)mdb_txn_commit(txn);
}

int
hints_put(struct hints *h, const char *db, struct sv key, struct sv value, int64_t now, int64_t ttl, struct err *err)
{
	char buf[KEY_MAX];
	MDB_val k = make_key(buf, db, key);
	int rc;

	if (value.len > HINTS_VALUE_MAX)
		return (err_set(err, ERR_TEMP, "4.3.0", "hints: value of %zu bytes is too long", value.len));
	rc = put_once(h, &k, value, now + ttl);
	if (rc == MDB_MAP_FULL || rc == MDB_TXN_FULL) {
		if (hints_sweep(h, now, 100000) == 0)
			drop_all(h);
		rc = put_once(h, &k, value, now + ttl);
	}
	return (rc == 0 ? 0 : lmdb_err(err, rc, "put"));
}

void
hints_del(struct hints *h, const char *db, struct sv key)
{
	char buf[KEY_MAX];
	MDB_val k = make_key(buf, db, key);
	MDB_txn *txn;

	if (mdb_txn_begin(h->env, NULL, 0, &txn) != 0)
		return;
	(void)mdb_del(txn, h->dbi, &k, NULL);
	(void)mdb_txn_commit(txn);
}

void
hints_walk(struct hints *h, const char *db, int64_t now, void (*fn)(void *arg, struct sv key, struct sv value), void *arg)
{
	char buf[KEY_MAX];
	MDB_val start = make_key(buf, db, SV_NULL), k = start, v;
	MDB_txn *txn;
	MDB_cursor *c;

	if (mdb_txn_begin(h->env, NULL, MDB_RDONLY, &txn) != 0)
		return;
	if (mdb_cursor_open(txn, h->dbi, &c) == 0) {
		for (int rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE); rc == 0; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
			if (k.mv_size < start.mv_size || memcmp(k.mv_data, buf, start.mv_size) != 0)
				break;
			if (alive(&v, now))
				fn(arg, sv_from((char *)k.mv_data + start.mv_size, k.mv_size - start.mv_size),
				    sv_from((char *)v.mv_data + 8, v.mv_size - 8));
		}
		mdb_cursor_close(c);
	}
	mdb_txn_abort(txn);
}

unsigned
hints_sweep(struct hints *h, int64_t now, unsigned n)
{
	unsigned gone = 0;
	MDB_cursor *c;
	MDB_txn *txn;
	MDB_val k, v;
	int rc;

	if (mdb_txn_begin(h->env, NULL, 0, &txn) != 0)
		return (0);
	if (mdb_cursor_open(txn, h->dbi, &c) != 0) {
		mdb_txn_abort(txn);
		return (0);
	}
	k.mv_data = h->swept;
	k.mv_size = h->nswept;
	rc = mdb_cursor_get(c, &k, &v, h->nswept == 0 ? MDB_FIRST : MDB_SET_RANGE);
	h->nswept = 0;
	for (; rc == 0; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
		if (n-- == 0) {
			h->nswept = k.mv_size <= KEY_MAX ? k.mv_size : 0;
			memcpy(h->swept, k.mv_data, h->nswept);
			break;
		}
		if (!alive(&v, now) && mdb_cursor_del(c, 0) == 0)
			gone++;
	}
	mdb_cursor_close(c);
	return (mdb_txn_commit(txn) == 0 ? gone : 0);
}
