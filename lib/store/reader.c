/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the index: mailboxes, names, subscriptions, records.  Each call is one
 * read transaction that ends with it.
 */
#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "os/file.h"
#include "store/client.h"
#include "store/reader_int.h"

int
store_reader_open(struct store_reader **rp, const char *dir, uint64_t map_size, struct err *err)
{
	struct store_reader *r = xcalloc(1, sizeof(*r));
	int rc;

	*rp = NULL;
	r->dir = xstrdup(dir);
	r->maps = hash_new();
	r->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dirfd == -1) {
		(void)err_sys(err, "open %s", dir);
		goto fail;
	}
	if (index_open(&r->ix, dir, STORE_INDEX_DIR, map_size, false, err) == -1)
		goto fail;
	if ((rc = mdb_txn_begin(r->ix.env, NULL, MDB_RDONLY, &r->txn)) != 0) {
		r->txn = NULL;
		(void)index_err(err, "begin", rc);
		goto fail;
	}
	mdb_txn_reset(r->txn);
	*rp = r;
	return (0);
fail:
	store_reader_close(&r);
	return (-1);
}

void
store_reader_close(struct store_reader **rp)
{
	struct store_reader *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	if (r->txn != NULL)
		mdb_txn_abort(r->txn);
	if (r->ctxn != NULL)
		mdb_txn_abort(r->ctxn);
	cache_close(&r->cache);
	index_close(&r->ix);
	if (r->maker.a != NULL)
		cache_maker_fini(&r->maker);
	if (r->dirfd != -1)
		(void)close(r->dirfd);
	hash_free(&r->maps, NULL);
	if (r->counts != NULL)
		hash_free(&r->counts, free);
	free(r->dir);
	free(r);
}

int
reader_begin(struct store_reader *r, struct err *err)
{
	int rc = mdb_txn_renew(r->txn);

	return (rc == 0 ? 0 : index_err(err, "renew", rc));
}

void
reader_end(struct store_reader *r)
{
	mdb_txn_reset(r->txn);
}

enum store_get
reader_answer(int rc, const char *what, struct err *err)
{
	if (rc == 1)
		return (STORE_GET_OK);
	if (rc == -1)
		return (STORE_GET_FAIL);
	(void)err_set(err, ERR_PERM, STORE_E_NONE, "there is no such %s", what);
	return (STORE_GET_NONE);
}

enum store_get
reader_box(struct store_reader *r, uint64_t mbox, struct rec_box *b, struct err *err)
{
	return (reader_answer(index_get_box(&r->ix, r->txn, mbox, b, err), "mailbox", err));
}

/* ---- status ---- */

/* Inside a transaction. */
static enum store_get
status(struct store_reader *r, uint64_t mbox, bool first_unseen, struct store_status *st, struct err *err)
{
	struct rec_box b;
	enum store_get g = reader_box(r, mbox, &b, err);

	if (g != STORE_GET_OK)
		return (g);
	*st = (struct store_status){ .id = mbox, .highestmodseq = b.highestmodseq, .size = b.size,
	    .uidvalidity = b.uidvalidity, .uidnext = b.uidnext, .messages = b.messages, .unseen = b.unseen,
	    .deleted = b.deleted, .first_recent = b.first_recent };
	return (reader_counts(r, mbox, &b, first_unseen, st, err) == -1 ? STORE_GET_FAIL : STORE_GET_OK);
}

enum store_get
store_reader_status(struct store_reader *r, struct sv name, struct sv user, bool first_unseen, struct store_status *st,
    unsigned *rights, struct err *err)
{
	struct rec_info info;
	enum store_get g;
	uint64_t id = 0;

	if (reader_begin(r, err) == -1)
		return (STORE_GET_FAIL);
	g = reader_answer(index_get_name(&r->ix, r->txn, name, &id, err), "mailbox", err);
	if (g == STORE_GET_OK && rights != NULL) {
		g = reader_answer(index_get_info(&r->ix, r->txn, id, &info, err), "mailbox", err);
		if (g == STORE_GET_OK)
			*rights = store_rights_of(info.acl, info.owner, user);
	}
	if (g == STORE_GET_OK)
		g = status(r, id, first_unseen, st, err);
	reader_end(r);
	return (g);
}

enum store_get
store_reader_status_id(struct store_reader *r, uint64_t mbox, bool first_unseen, struct store_status *st,
    struct err *err)
{
	enum store_get g;

	if (reader_begin(r, err) == -1)
		return (STORE_GET_FAIL);
	g = status(r, mbox, first_unseen, st, err);
	reader_end(r);
	return (g);
}

enum store_get
store_reader_info(struct store_reader *r, uint64_t mbox, struct sb *name, struct sb *owner, struct sb *acl,
    struct err *err)
{
	struct rec_info info;
	enum store_get g;

	if (reader_begin(r, err) == -1)
		return (STORE_GET_FAIL);
	g = reader_answer(index_get_info(&r->ix, r->txn, mbox, &info, err), "mailbox", err);
	if (g == STORE_GET_OK) {
		if (name != NULL)
			sb_add(name, info.name);
		if (owner != NULL)
			sb_add(owner, info.owner);
		if (acl != NULL)
			sb_add(acl, info.acl);
	}
	reader_end(r);
	return (g);
}

/* ---- lists ---- */

/* Call <fn> for one name if <user> may see it; false ends the walk. */
static int
list_one(struct store_reader *r, struct sv name, struct sv id, struct sv user,
    bool (*fn)(void *arg, struct sv name, uint64_t mbox, unsigned rights), void *arg, struct err *err)
{
	struct rec_info info;
	uint64_t mbox = 0;
	unsigned rights;
	int rc;

	if (id.len != 8)
		return (1);
	for (unsigned i = 0; i < 8; i++)
		mbox |= (uint64_t)(uint8_t)id.p[i] << (8 * i);
	if ((rc = index_get_info(&r->ix, r->txn, mbox, &info, err)) != 1)
		return (rc == 0 ? 1 : -1);
	rights = store_rights_of(info.acl, info.owner, user);
	if ((rights & STORE_R_LOOKUP) == 0)
		return (1);
	return (fn(arg, name, mbox, rights) ? 1 : 0);
}

int
store_reader_list(struct store_reader *r, struct sv prefix, struct sv user,
    bool (*fn)(void *arg, struct sv name, uint64_t mbox, unsigned rights), void *arg, struct err *err)
{
	struct sb at = SB_INIT(STORE_NAME_MAX + 2);
	int rc;

	while ((rc = store_reader_list_part(r, prefix, &at, UINT32_MAX, user, fn, arg, err)) == 1)
		;
	sb_free(&at);
	return (rc);
}

int
store_reader_list_part(struct store_reader *r, struct sv prefix, struct sb *at, unsigned max, struct sv user,
    bool (*fn)(void *arg, struct sv name, uint64_t mbox, unsigned rights), void *arg, struct err *err)
{
	struct sv from = at->len > 0 ? sb_sv(at) : prefix;
	MDB_val k = index_val(from.len > 0 ? from.p : "", from.len), d;
	MDB_cursor *c;
	int rc, go = 1;

	if (reader_begin(r, err) == -1)
		return (-1);
	if ((rc = mdb_cursor_open(r->txn, r->ix.names, &c)) != 0) {
		reader_end(r);
		return (index_err(err, "cursor", rc));
	}
	rc = mdb_cursor_get(c, &k, &d, from.len > 0 ? MDB_SET_RANGE : MDB_FIRST);
	sb_clear(at);
	for (; rc == 0 && go == 1; rc = mdb_cursor_get(c, &k, &d, MDB_NEXT)) {
		struct sv name = index_sv(&k);

		if (max-- == 0) {
			/* The next part begins with this name. */
			sb_add(at, name);
			go = 2;
			break;
		}

		if (prefix.len > 0 && (name.len < prefix.len || memcmp(name.p, prefix.p, prefix.len) != 0))
			break;
		if (prefix.len > 0 && name.len > prefix.len && name.p[prefix.len] != '.')
			continue;
		go = list_one(r, name, index_sv(&d), user, fn, arg, err);
	}
	mdb_cursor_close(c);
	reader_end(r);
	if (rc != 0 && rc != MDB_NOTFOUND)
		return (index_err(err, "list", rc));
	return (go == -1 ? -1 : go == 2 ? 1 : 0);
}

int
store_reader_subscriptions(struct store_reader *r, struct sv user, bool (*fn)(void *arg, struct sv name), void *arg,
    struct err *err)
{
	struct sb pre = SB_INIT(512);
	MDB_val k, d;
	MDB_cursor *c;
	int rc;

	for (size_t i = 0; i < user.len; i++)
		sb_addc(&pre, sv_lower(user.p[i]));
	sb_addc(&pre, '\0');
	if (pre.overflow || reader_begin(r, err) == -1) {
		rc = pre.overflow ? 0 : -1;
		sb_free(&pre);
		return (rc);
	}
	if ((rc = mdb_cursor_open(r->txn, r->ix.subs, &c)) == 0) {
		k = index_val(pre.p, pre.len);
		for (rc = mdb_cursor_get(c, &k, &d, MDB_SET_RANGE); rc == 0; rc = mdb_cursor_get(c, &k, &d, MDB_NEXT)) {
			struct sv key = index_sv(&k);

			if (key.len < pre.len || memcmp(key.p, pre.p, pre.len) != 0 ||
			    !fn(arg, sv_sub(key, pre.len, key.len)))
				break;
		}
		mdb_cursor_close(c);
	}
	reader_end(r);
	sb_free(&pre);
	return (rc == 0 || rc == MDB_NOTFOUND ? 0 : index_err(err, "list", rc));
}

bool
store_reader_has_children(struct store_reader *r, struct sv name)
{
	char pre[STORE_NAME_MAX + 1];
	MDB_val k, d;
	MDB_cursor *c;
	bool yes = false;

	if (name.len == 0 || name.len > STORE_NAME_MAX || reader_begin(r, NULL) == -1)
		return (false);
	memcpy(pre, name.p, name.len);
	pre[name.len] = '.';
	if (mdb_cursor_open(r->txn, r->ix.names, &c) == 0) {
		k = index_val(pre, name.len + 1);
		yes = mdb_cursor_get(c, &k, &d, MDB_SET_RANGE) == 0 && k.mv_size > name.len + 1 &&
		    memcmp(k.mv_data, pre, name.len + 1) == 0;
		mdb_cursor_close(c);
	}
	reader_end(r);
	return (yes);
}

/* ---- keywords ---- */

enum store_get
store_reader_keywords(struct store_reader *r, uint64_t mbox, struct store_keywords *kw, struct err *err)
{
	struct rec_info info;
	struct sv rest, name;
	enum store_get g;
	char *mem;

	memset(kw, 0, sizeof(*kw));
	if (reader_begin(r, err) == -1)
		return (STORE_GET_FAIL);
	g = reader_answer(index_get_info(&r->ix, r->txn, mbox, &info, err), "mailbox", err);
	if (g == STORE_GET_OK && info.keywords.len > 0) {
		/* The list has a NUL behind each name already. */
		mem = xmalloc(info.keywords.len);
		memcpy(mem, info.keywords.p, info.keywords.len);
		rest = sv_from(mem, info.keywords.len);
		while (kw->n < STORE_KEYWORDS_MAX && rec_info_keyword(&rest, &name))
			kw->name[kw->n++] = mem + (name.p - mem);
		if (kw->n == 0)
			free(mem);
	}
	reader_end(r);
	return (g);
}

void
store_keywords_free(struct store_keywords *kw)
{
	if (kw->n > 0)
		free(kw->name[0]);
	memset(kw, 0, sizeof(*kw));
}

/* ---- records ---- */

enum store_get
store_reader_msgs(struct store_reader *r, uint64_t mbox, uint32_t first, uint32_t last, struct store_msg *out,
    size_t max, size_t *n, struct err *err)
{
	struct rec_box b;
	MDB_cursor *c;
	bool more = false;
	enum store_get g;
	int rc = 0;

	*n = 0;
	if (reader_begin(r, err) == -1)
		return (STORE_GET_FAIL);
	g = reader_box(r, mbox, &b, err);
	if (g == STORE_GET_OK && first <= last && (rc = mdb_cursor_open(r->txn, r->ix.msgs, &c)) == 0) {
		while (*n < max && (rc = index_msg_walk(c, &more, mbox, first, last, &out[*n], err)) == 1)
			(*n)++;
		mdb_cursor_close(c);
		if (rc == -1)
			g = STORE_GET_FAIL;
	} else if (rc != 0)
		g = index_err(err, "cursor", rc) == -1 ? STORE_GET_FAIL : g;
	reader_end(r);
	return (g);
}

/* Records of ascending UIDs: near ones by stepping on, far ones by a search. */
static int
msgs_at(struct store_reader *r, uint64_t mbox, const uint32_t *uids, size_t n, struct store_msg *out, struct err *err)
{
	struct store_msg m = { .uid = 0 };
	MDB_cursor *c;
	bool more = false, end = false;
	int rc;

	if ((rc = mdb_cursor_open(r->txn, r->ix.msgs, &c)) != 0)
		return (index_err(err, "cursor", rc));
	for (size_t i = 0; rc != -1 && i < n; i++) {
		out[i].uid = 0;
		if (end)
			continue;
		if (m.uid < uids[i]) {
			if (more && uids[i] - m.uid > 16)
				more = false;
			while (m.uid < uids[i] &&
			    (rc = index_msg_walk(c, &more, mbox, uids[i], UINT32_MAX, &m, err)) == 1)
				;
			if (rc != 1) {
				end = true;
				continue;
			}
		}
		if (m.uid == uids[i])
			out[i] = m;
	}
	mdb_cursor_close(c);
	return (rc == -1 ? -1 : 0);
}

enum store_get
store_reader_msgs_at(struct store_reader *r, uint64_t mbox, const uint32_t *uids, size_t n, struct store_msg *out,
    struct err *err)
{
	struct rec_box b;
	enum store_get g;

	if (reader_begin(r, err) == -1)
		return (STORE_GET_FAIL);
	g = reader_box(r, mbox, &b, err);
	if (g == STORE_GET_OK && msgs_at(r, mbox, uids, n, out, err) == -1)
		g = STORE_GET_FAIL;
	reader_end(r);
	return (g);
}

/* ---- bodies ---- */

enum store_get
store_body_open(struct store_reader *r, uint64_t mbox, const struct store_msg *m, int *fd, struct err *err)
{
	char path[STORE_BODY_PATH_MAX];
	struct stat st;

	(void)store_path_body(mbox, m->uid, m->oid, path);
	*fd = openat(r->dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*fd == -1 && errno != ENOENT) {
		(void)err_sys(err, "open %s", path);
		return (STORE_GET_FAIL);
	}
	if (*fd != -1 && fstat(*fd, &st) == 0 && st.st_size == (off_t)m->size)
		return (STORE_GET_OK);
	(void)err_set(err, ERR_TEMP, STORE_E_BODY, "UNAVAILABLE: the body %s is %s", path,
	    *fd == -1 ? "missing" : "damaged");
	if (*fd != -1)
		(void)close(*fd);
	*fd = -1;
	return (STORE_GET_FAIL);
}

enum store_get
store_body_read(struct store_reader *r, uint64_t mbox, const struct store_msg *m, uint32_t off, uint32_t len,
    struct sb *out, struct err *err)
{
	enum store_get g;
	ssize_t n;
	char *p;
	int fd;

	if ((g = store_body_open(r, mbox, m, &fd, err)) != STORE_GET_OK)
		return (g);
	if (off > m->size)
		off = m->size;
	if (len > m->size - off)
		len = m->size - off;
	if (len > 0 && (p = sb_room(out, len)) == NULL) {
		(void)err_set(err, ERR_TEMP, NULL, "the piece of the message is too long");
		g = STORE_GET_FAIL;
	} else if (len > 0) {
		if ((n = os_pread_full(fd, p, len, off)) == (ssize_t)len)
			sb_took(out, len);
		else {
			(void)err_set(err, ERR_TEMP, STORE_E_BODY, "UNAVAILABLE: the body cannot be read");
			g = STORE_GET_FAIL;
		}
	}
	(void)close(fd);
	return (g);
}
