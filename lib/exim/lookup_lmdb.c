/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lmdb lookup (manual 9.3): one file, the unnamed table, keys without a trailing NUL.  An environment
 * may be open once in a process, so look-ups take turns.
 */
#include "exim/lookup_sql.h"

#include <lmdb.h>
#include <pthread.h>

static int
get(MDB_env *env, struct sv key, struct arena *a, struct sv *out)
{
	MDB_val k = { .mv_size = key.len, .mv_data = (void *)(uintptr_t)key.p }, v;
	MDB_txn *txn;
	MDB_dbi dbi;
	int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return (rc);
	rc = mdb_dbi_open(txn, NULL, 0, &dbi);
	if (rc == 0)
		rc = key.len == 0 ? MDB_NOTFOUND : mdb_get(txn, dbi, &k, &v);
	if (rc == 0)
		*out = arena_sv(a, sv_from(v.mv_data, v.mv_size));
	mdb_txn_abort(txn);
	return (rc);
}

enum exim_found
x_lmdb(const char *path, struct sv key, struct arena *a, struct sv *out, struct err *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	MDB_env *env = NULL;
	int rc;

	(void)pthread_mutex_lock(&lock);
	rc = mdb_env_create(&env);
	if (rc == 0)
		rc = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0600);
	if (rc == 0)
		rc = get(env, key, a, out);
	if (env != NULL)
		mdb_env_close(env);
	(void)pthread_mutex_unlock(&lock);
	if (rc == 0 || rc == MDB_NOTFOUND)
		return (rc == 0 ? EXIM_FOUND : EXIM_NOTFOUND);
	(void)err_set(err, ERR_TEMP, "4.3.0", "LMDB: Unable to open environment \"%s\": %s", path, mdb_strerror(rc));
	return (EXIM_TEMPFAIL);
}
