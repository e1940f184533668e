/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Views: the sequence numbers of a session.  A map of UIDs is never changed once it
 * stands, so sessions that are at the same state of a mailbox share it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/reader_int.h"

/* ---- maps ---- */

static struct sv
map_key(const uint64_t *mbox)
{
	return (sv_from((const char *)mbox, sizeof(*mbox)));
}

static struct store_map *
map_new(uint64_t mbox, uint64_t modseq, uint32_t uidnext, size_t room)
{
	struct store_map *m = xmalloc(sizeof(*m) + room * sizeof(uint32_t));

	*m = (struct store_map){ .mbox = mbox, .modseq = modseq, .uidnext = uidnext, .refs = 1 };
	return (m);
}

static void
map_unref(struct store_reader *r, struct store_map *m)
{
	if (m == NULL || --m->refs > 0)
		return;
	if (m->shared)
		(void)hash_del(r->maps, map_key(&m->mbox));
	free(m);
}

/* Let others find it: it is exactly what the index says at its modseq. */
static void
map_share(struct store_reader *r, struct store_map *m)
{
	struct store_map *old = hash_set(r->maps, map_key(&m->mbox), m);

	m->shared = true;
	if (old != NULL)
		old->shared = false;
}

static struct store_map *
map_find(struct store_reader *r, uint64_t mbox, uint64_t modseq)
{
	struct store_map *m = hash_get(r->maps, map_key(&mbox));

	if (m == NULL || m->modseq != modseq)
		return (NULL);
	m->refs++;
	return (m);
}

/* Number of UIDs in the map below <uid>. */
static size_t
map_below(const struct store_map *m, uint32_t uid)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->uids[mid] < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return (lo);
}

static void
view_set(struct store_view *v, struct store_map *m)
{
	v->map = m;
	v->uids = m->uids;
	v->messages = (uint32_t)m->n;
	v->modseq = m->modseq;
	v->uidnext = m->uidnext;
}

/* Append the UIDs >= <from> of the index to <m>, which has room for all. */
static int
map_fill(struct store_reader *r, struct store_map *m, uint32_t from, size_t room, struct err *err)
{
	MDB_cursor *c;
	struct store_msg msg;
	bool more = false;
	int rc;

	if ((rc = mdb_cursor_open(r->txn, r->ix.msgs, &c)) != 0)
		return (index_err(err, "cursor", rc));
	while ((rc = index_msg_walk(c, &more, m->mbox, from, UINT32_MAX, &msg, err)) == 1)
		if (m->n < room)
			m->uids[m->n++] = msg.uid;
	mdb_cursor_close(c);
	return (rc);
}

/* The map of the mailbox as the index is now. */
static struct store_map *
map_build(struct store_reader *r, uint64_t mbox, const struct rec_box *b, struct err *err)
{
	struct store_map *m = map_find(r, mbox, b->highestmodseq);

	if (m != NULL)
		return (m);
	m = map_new(mbox, b->highestmodseq, b->uidnext, b->messages);
	if (map_fill(r, m, 1, b->messages, err) == -1) {
		free(m);
		return (NULL);
	}
	map_share(r, m);
	return (m);
}

enum store_get
store_view_open(struct store_reader *r, uint64_t mbox, struct store_view *v, struct err *err)
{
	struct store_map *m;
	struct rec_box b;
	enum store_get g;

	memset(v, 0, sizeof(*v));
	if (reader_begin(r, err) == -1)
		return (STORE_GET_FAIL);
	g = reader_box(r, mbox, &b, err);
	if (g == STORE_GET_OK) {
		if ((m = map_build(r, mbox, &b, err)) == NULL)
			g = STORE_GET_FAIL;
		else {
			v->mbox = mbox;
			v->uidvalidity = b.uidvalidity;
			v->nkeywords = b.nkeywords;
			view_set(v, m);
		}
	}
	reader_end(r);
	return (g);
}

void
store_view_close(struct store_reader *r, struct store_view *v)
{
	map_unref(r, v->map);
	free(v->gone);
	memset(v, 0, sizeof(*v));
}

uint32_t
store_view_seq(const struct store_view *v, uint32_t uid)
{
	size_t i = v->map == NULL ? 0 : map_below(v->map, uid);

	return (v->map != NULL && i < v->map->n && v->map->uids[i] == uid ? (uint32_t)i + 1 : 0);
}

uint32_t
store_view_below(const struct store_view *v, uint32_t uid)
{
	return (v->map == NULL ? 0 : (uint32_t)map_below(v->map, uid));
}

/* ---- what changed ---- */

static int
cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x < y ? -1 : x > y);
}

typedef VEC(uint32_t) uids;

static void
sort_uids(uids *u)
{
	size_t n = 0;

	if (u->len > 1)
		qsort(u->p, u->len, sizeof(*u->p), cmp_u32);
	for (size_t i = 0; i < u->len; i++)
		if (n == 0 || u->p[n - 1] != u->p[i])
			u->p[n++] = u->p[i];
	u->len = n;
}

/* Those messages of the map that lie in <range>. */
static void
add_known(const struct store_map *m, const struct store_range *range, uids *out)
{
	for (size_t i = map_below(m, range->first); i < m->n && m->uids[i] <= range->last; i++)
		vec_push(out, m->uids[i]);
}

/* One row of the log. */
static void
take_row(const struct store_map *m, struct sv row, uids *changed, uids *gone)
{
	struct sv ranges = sv_sub(row, 1, row.len);
	ptrdiff_t n = row.len > 0 ? rec_ranges_count(ranges) : -1;

	for (ptrdiff_t i = 0; i < n; i++) {
		struct store_range range;

		rec_ranges_at(ranges, (size_t)i, &range);
		add_known(m, &range, row.p[0] == REC_LOG_EXPUNGE ? gone : changed);
	}
}

/* By the log, which is whole from the view's modseq on. */
static int
diff_log(struct store_reader *r, const struct store_view *v, uids *changed, uids *gone, struct err *err)
{
	uint8_t key[REC_LOG_KEY];
	MDB_val k, d;
	MDB_cursor *c;
	int rc;

	if ((rc = mdb_cursor_open(r->txn, r->ix.log, &c)) != 0)
		return (index_err(err, "cursor", rc));
	rec_log_key(key, v->mbox, v->modseq + 1);
	k = index_val(key, sizeof(key));
	for (rc = mdb_cursor_get(c, &k, &d, MDB_SET_RANGE); rc == 0; rc = mdb_cursor_get(c, &k, &d, MDB_NEXT)) {
		if (k.mv_size != REC_LOG_KEY || rec_get64(k.mv_data) != v->mbox)
			break;
		take_row(v->map, index_sv(&d), changed, gone);
	}
	mdb_cursor_close(c);
	return (rc == 0 || rc == MDB_NOTFOUND ? 0 : index_err(err, "log", rc));
}

/* By all records, where the log does not reach back so far. */
static int
diff_all(struct store_reader *r, const struct store_view *v, uids *changed, uids *gone, struct err *err)
{
	const struct store_map *m = v->map;
	MDB_cursor *c;
	struct store_msg msg;
	bool more = false;
	size_t i = 0;
	int rc;

	if ((rc = mdb_cursor_open(r->txn, r->ix.msgs, &c)) != 0)
		return (index_err(err, "cursor", rc));
	while ((rc = index_msg_walk(c, &more, v->mbox, 1, v->uidnext - 1, &msg, err)) == 1) {
		for (; i < m->n && m->uids[i] < msg.uid; i++)
			vec_push(gone, m->uids[i]);
		if (i < m->n && m->uids[i] == msg.uid)
			i++;
		if (msg.modseq > v->modseq)
			vec_push(changed, msg.uid);
	}
	for (; rc == 0 && i < m->n; i++)
		vec_push(gone, m->uids[i]);
	mdb_cursor_close(c);
	return (rc);
}

/* The pending expunges of a view, as a map of their UIDs. */
static void
keep_gone(struct store_view *v, const uids *gone)
{
	struct store_map *g;

	free(v->gone);
	v->gone = NULL;
	if (gone->len == 0)
		return;
	g = map_new(v->mbox, 0, 0, gone->len);
	memcpy(g->uids, gone->p, gone->len * sizeof(uint32_t));
	g->n = gone->len;
	v->gone = g;
}

/* A new map: the old one without <gone> (ascending), and what came since. */
static struct store_map *
map_next(struct store_reader *r, const struct store_view *v, const struct rec_box *b, const uids *gone, bool exact,
    struct err *err)
{
	const struct store_map *old = v->map;
	struct store_map *m;
	size_t room, g = 0;

	if (exact && (m = map_find(r, v->mbox, b->highestmodseq)) != NULL)
		return (m);
	room = old->n + b->messages;
	if (room > old->n + (size_t)(b->uidnext - v->uidnext))
		room = old->n + (size_t)(b->uidnext - v->uidnext);
	m = map_new(v->mbox, b->highestmodseq, b->uidnext, room);
	for (size_t i = 0; i < old->n; i++) {
		while (g < gone->len && gone->p[g] < old->uids[i])
			g++;
		if (g < gone->len && gone->p[g] == old->uids[i])
			continue;
		m->uids[m->n++] = old->uids[i];
	}
	if (b->uidnext > v->uidnext && map_fill(r, m, v->uidnext, room, err) == -1) {
		free(m);
		return (NULL);
	}
	if (exact)
		map_share(r, m);
	return (m);
}

/* Sequence numbers before anything of <gone> is removed, from the last to the first. */
static void
tell_gone(const struct store_map *m, const uids *gone, struct store_changes *ch)
{
	for (size_t i = 0; i < gone->len; i++)
		vec_push(&ch->expunged_uid, gone->p[i]);
	for (size_t i = gone->len; i-- > 0;)
		vec_push(&ch->expunged_seq, (uint32_t)map_below(m, gone->p[i]) + 1);
}

static void
tell(const struct store_view *v, const struct store_map *next, const uids *changed, const uids *gone, bool expunges,
    struct store_changes *ch)
{
	size_t left = v->map->n;

	if (expunges) {
		tell_gone(v->map, gone, ch);
		left -= gone->len;
	}
	/* The flags of what is gone cannot be told. */
	for (size_t i = 0, g = 0; i < changed->len; i++) {
		while (g < gone->len && gone->p[g] < changed->p[i])
			g++;
		if (g == gone->len || gone->p[g] != changed->p[i])
			vec_push(&ch->changed, changed->p[i]);
	}
	ch->added = (uint32_t)(next->n - left);
}

static enum store_get
sync_view(struct store_reader *r, struct store_view *v, const struct rec_box *b, bool expunges,
    struct store_changes *ch, struct err *err)
{
	uids changed = VEC_INIT, gone = VEC_INIT, none = VEC_INIT;
	struct store_map *next = NULL;
	int rc = 0;

	if (b->highestmodseq != v->modseq) {
		if (v->modseq < b->logfloor)
			rc = diff_all(r, v, &changed, &gone, err);
		else
			rc = diff_log(r, v, &changed, &gone, err);
	}
	for (size_t i = 0; v->gone != NULL && i < v->gone->n; i++)
		vec_push(&gone, v->gone->uids[i]);
	sort_uids(&changed);
	sort_uids(&gone);
	if (rc == 0)
		next = map_next(r, v, b, expunges ? &gone : &none, expunges || gone.len == 0, err);
	if (next != NULL) {
		if (ch != NULL)
			tell(v, next, &changed, &gone, expunges, ch);
		keep_gone(v, expunges ? &none : &gone);
		map_unref(r, v->map);
		view_set(v, next);
	}
	vec_free(&changed);
	vec_free(&gone);
	return (next == NULL ? STORE_GET_FAIL : STORE_GET_OK);
}

enum store_get
store_view_sync(struct store_reader *r, struct store_view *v, bool expunges, struct store_changes *ch, struct err *err)
{
	struct rec_box b;
	enum store_get g;

	if (ch != NULL)
		memset(ch, 0, sizeof(*ch));
	assert(v->map != NULL);
	if (reader_begin(r, err) == -1)
		return (STORE_GET_FAIL);
	g = reader_box(r, v->mbox, &b, err);
	if (g == STORE_GET_OK && ch != NULL) {
		ch->keywords = b.nkeywords != v->nkeywords;
		v->nkeywords = b.nkeywords;
	}
	if (g == STORE_GET_OK && (b.highestmodseq != v->modseq || (expunges && v->gone != NULL)))
		g = sync_view(r, v, &b, expunges, ch, err);
	reader_end(r);
	return (g);
}

void
store_changes_free(struct store_changes *ch)
{
	vec_free(&ch->expunged_seq);
	vec_free(&ch->expunged_uid);
	vec_free(&ch->changed);
}

/* ---- CONDSTORE, QRESYNC ---- */

/* All UIDs below <uidnext> that have no record. */
static void
missing(store_ranges *gone, uint32_t *next, uint32_t uid)
{
	struct store_range range = { *next, uid - 1 };

	if (uid > *next)
		vec_push(gone, range);
	*next = uid + 1;
}

static int
cmp_range(const void *a, const void *b)
{
	const struct store_range *x = a, *y = b;

	return (x->first < y->first ? -1 : x->first > y->first);
}

static int
gone_by_log(struct store_reader *r, uint64_t mbox, uint64_t since, store_ranges *gone, struct err *err)
{
	uint8_t key[REC_LOG_KEY];
	MDB_val k, d;
	MDB_cursor *c;
	int rc;

	if ((rc = mdb_cursor_open(r->txn, r->ix.log, &c)) != 0)
		return (index_err(err, "cursor", rc));
	rec_log_key(key, mbox, since + 1);
	k = index_val(key, sizeof(key));
	for (rc = mdb_cursor_get(c, &k, &d, MDB_SET_RANGE); rc == 0; rc = mdb_cursor_get(c, &k, &d, MDB_NEXT)) {
		struct sv row = index_sv(&d), ranges = sv_sub(row, 1, row.len);
		ptrdiff_t n;

		if (k.mv_size != REC_LOG_KEY || rec_get64(k.mv_data) != mbox)
			break;
		if (row.len == 0 || row.p[0] != REC_LOG_EXPUNGE || (n = rec_ranges_count(ranges)) < 1)
			continue;
		for (ptrdiff_t i = 0; i < n; i++) {
			struct store_range range;

			rec_ranges_at(ranges, (size_t)i, &range);
			vec_push(gone, range);
		}
	}
	mdb_cursor_close(c);
	if (gone->len > 1)
		qsort(gone->p, gone->len, sizeof(*gone->p), cmp_range);
	return (rc == 0 || rc == MDB_NOTFOUND ? 0 : index_err(err, "log", rc));
}

enum store_get
store_reader_changes(struct store_reader *r, uint64_t mbox, uint64_t since,
    bool (*fn)(void *arg, const struct store_msg *m), void *arg, store_ranges *gone, struct err *err)
{
	struct rec_box b;
	MDB_cursor *c;
	struct store_msg m;
	bool more = false, all;
	uint32_t next = 1;
	enum store_get g;
	int rc;

	if (reader_begin(r, err) == -1)
		return (STORE_GET_FAIL);
	if ((g = reader_box(r, mbox, &b, err)) != STORE_GET_OK)
		goto out;
	all = gone != NULL && since < b.logfloor;
	if (gone != NULL && !all && gone_by_log(r, mbox, since, gone, err) == -1)
		goto fail;
	if (fn == NULL && !all)
		goto out;
	if ((rc = mdb_cursor_open(r->txn, r->ix.msgs, &c)) != 0) {
		(void)index_err(err, "cursor", rc);
		goto fail;
	}
	while ((rc = index_msg_walk(c, &more, mbox, 1, UINT32_MAX, &m, err)) == 1) {
		if (all)
			missing(gone, &next, m.uid);
		if (fn != NULL && m.modseq > since && !fn(arg, &m))
			fn = NULL;
		if (fn == NULL && !all)
			break;
	}
	mdb_cursor_close(c);
	if (rc == -1)
		goto fail;
	if (all)
		missing(gone, &next, b.uidnext);
	goto out;
fail:
	g = STORE_GET_FAIL;
out:
	reader_end(r);
	return (g);
}
