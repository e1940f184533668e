/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache: what is derived from bodies (ENVELOPE, BODYSTRUCTURE, MIME offsets), by
 * object id.  It is not synced and may be thrown away at any time: vstored starts a new
 * one (cache.N, N kept in the index) when it was not closed cleanly.
 */
#include <sys/stat.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "imap/bodystructure.h"
#include "imap/envelope.h"
#include "mail/mime.h"
#include "store/index_int.h"

#define CACHE_MAP	((size_t)64 << 30)
#define CACHE_ROW_MAX	(1024 * 1024)
#define CACHE_READERS	512

int
cache_open(struct cache *c, const char *dir, uint64_t gen, bool write, struct err *err)
{
	char path[4096];
	MDB_txn *txn;
	int rc;

	memset(c, 0, sizeof(*c));
	c->gen = gen;
	(void)snprintf(path, sizeof(path), "%s/cache.%" PRIu64, dir, gen);
	if (write && mkdir(path, 0700) == -1 && errno != EEXIST)
		return (err_sys(err, "make %s", path));
	if ((rc = mdb_env_create(&c->env)) != 0)
		return (index_err(err, path, rc));
	(void)mdb_env_set_mapsize(c->env, CACHE_MAP);
	(void)mdb_env_set_maxreaders(c->env, CACHE_READERS);
	rc = mdb_env_open(c->env, path,
	    MDB_NOTLS | MDB_NORDAHEAD | MDB_NOMEMINIT | (write ? MDB_NOSYNC : MDB_RDONLY), 0600);
	if (rc == 0 && (rc = mdb_txn_begin(c->env, NULL, write ? 0 : MDB_RDONLY, &txn)) == 0) {
		if ((rc = mdb_dbi_open(txn, NULL, 0, &c->rows)) != 0)
			mdb_txn_abort(txn);
		else
			rc = mdb_txn_commit(txn);
	}
	if (rc == 0)
		return (0);
	cache_close(c);
	return (index_err(err, path, rc));
}

void
cache_close(struct cache *c)
{
	if (c->env != NULL)
		mdb_env_close(c->env);
	c->env = NULL;
}

void
cache_maker_init(struct cache_maker *k)
{
	k->a = arena_new(32768);
	sb_init(&k->env, CACHE_ROW_MAX);
	sb_init(&k->bs, CACHE_ROW_MAX);
	sb_init(&k->off, CACHE_ROW_MAX);
}

void
cache_maker_fini(struct cache_maker *k)
{
	arena_free(&k->a);
	sb_free(&k->env);
	sb_free(&k->bs);
	sb_free(&k->off);
}

static void
maker_clear(struct sb *sb)
{
	/* What one odd message needed is not kept. */
	if (sb->cap > 65536)
		sb_free(sb);
	sb_clear(sb);
	sb->overflow = false;
}

bool
cache_make(struct cache_maker *k, struct sv msg, struct sb *out)
{
	const struct mime_part *root = mime_parse(k->a, msg);
	struct rec_cache row;
	size_t at = out->len;
	bool ok;

	maker_clear(&k->env);
	maker_clear(&k->bs);
	maker_clear(&k->off);
	imap_envelope(&k->env, &root->headers);
	imap_bodystructure(&k->bs, root, true);
	mime_offsets_put(&k->off, root);
	row = (struct rec_cache){ .size = (uint32_t)msg.len, .header_len = (uint32_t)root->body_start,
	    .envelope = sb_sv(&k->env), .bodystructure = sb_sv(&k->bs), .offsets = sb_sv(&k->off) };
	ok = !k->env.overflow && !k->bs.overflow && !k->off.overflow;
	if (ok) {
		rec_cache_put(out, &row);
		ok = !out->overflow;
	}
	if (!ok) {
		sb_cut(out, at);
		out->overflow = false;
	}
	arena_reset(k->a);
	return (ok);
}
