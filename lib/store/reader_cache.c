/* SPDX-License-Identifier: BSD-2-Clause */
/* Cached rows for readers: looked up by object id, made from the body where there is none. */
#include <sys/mman.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/client.h"
#include "store/reader_int.h"

static void
drop_cache(struct store_reader *r)
{
	if (r->ctxn != NULL)
		mdb_txn_abort(r->ctxn);
	r->ctxn = NULL;
	cache_close(&r->cache);
	r->cache.gen = 0;
}

/* The cache that vstored writes at present; a new one stands there after a crash. */
static bool
present_cache(struct store_reader *r)
{
	struct rec_state st;
	int rc;

	if (reader_begin(r, NULL) == -1)
		return (false);
	rc = index_get_state(&r->ix, r->txn, &st, NULL);
	reader_end(r);
	if (rc != 1)
		return (false);
	if (r->cache.env != NULL && r->cache.gen == st.cachegen)
		return (true);
	drop_cache(r);
	return (cache_open(&r->cache, r->dir, st.cachegen, false, NULL) == 0);
}

static bool
begin_cache(struct store_reader *r)
{
	if (!present_cache(r))
		return (false);
	if (r->ctxn != NULL)
		return (mdb_txn_renew(r->ctxn) == 0);
	if (mdb_txn_begin(r->cache.env, NULL, MDB_RDONLY, &r->ctxn) == 0)
		return (true);
	r->ctxn = NULL;
	return (false);
}

/* Let *<c> point into its own memory, which holds a row. */
static bool
fill(struct store_cached *c, const struct store_msg *m)
{
	struct rec_cache row;

	if (!rec_cache_get(&row, sb_sv(&c->mem)) || row.size != m->size)
		return (false);
	c->header_len = row.header_len;
	c->envelope = row.envelope;
	c->bodystructure = row.bodystructure;
	c->offsets = row.offsets;
	return (true);
}

enum store_get
store_reader_cached_row(struct store_reader *r, const struct store_msg *m, struct store_cached *c)
{
	uint8_t key[8];
	MDB_val k = index_val(key, 8), d;
	bool found;

	memset(c, 0, sizeof(*c));
	sb_init(&c->mem, SIZE_MAX / 2);
	if (!begin_cache(r))
		return (STORE_GET_NONE);
	rec_be64(key, m->oid);
	found = mdb_get(r->ctxn, r->cache.rows, &k, &d) == 0;
	if (found)
		sb_addn(&c->mem, d.mv_data, d.mv_size);
	mdb_txn_reset(r->ctxn);
	if (found && fill(c, m))
		return (STORE_GET_OK);
	store_cached_free(c);
	return (STORE_GET_NONE);
}

enum store_get
store_reader_cached(struct store_reader *r, uint64_t mbox, const struct store_msg *m, struct store_cached *c,
    struct err *err)
{
	enum store_get g = store_reader_cached_row(r, m, c);
	void *p = NULL;
	bool ok;
	int fd;

	if (g == STORE_GET_OK || (g = store_body_open(r, mbox, m, &fd, err)) != STORE_GET_OK)
		return (g);
	if (m->size > 0 && (p = mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED) {
		(void)close(fd);
		(void)err_sys(err, "map a message");
		return (STORE_GET_FAIL);
	}
	(void)close(fd);
	if (r->maker.a == NULL)
		cache_maker_init(&r->maker);
	ok = cache_make(&r->maker, sv_from(p == NULL ? "" : p, m->size), &c->mem) && fill(c, m);
	if (p != NULL)
		(void)munmap(p, m->size);
	if (ok)
		return (STORE_GET_OK);
	store_cached_free(c);
	(void)err_set(err, ERR_TEMP, STORE_E_BODY, "the structure of the message is too large");
	return (STORE_GET_FAIL);
}

void
store_cached_free(struct store_cached *c)
{
	sb_free(&c->mem);
	c->envelope = c->bodystructure = c->offsets = SV_NULL;
}
