/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations on messages: deliver, append, change flags, expunge, copy, move.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "os/time.h"
#include "store/writer_int.h"

static int64_t
now_seconds(void)
{
	return (os_wall_us() / 1000000);
}

int
w_add(struct store_writer *w, struct wbox *x, struct store_msg *m, struct err *err)
{
	uint8_t key[REC_MSG_KEY], row[REC_MSG_SIZE];

	m->modseq = ++x->b.highestmodseq;
	x->b.messages++;
	x->b.unseen += (m->flags & STORE_SEEN) == 0;
	x->b.deleted += (m->flags & STORE_DELETED) != 0;
	x->b.size += m->size;
	x->dirty = true;
	rec_msg_key(key, x->id, m->uid);
	rec_msg_put(row, m);
	return (w_put(w, w->ix.msgs, key, sizeof(key), row, sizeof(row), 0, err));
}

/* ---- deliveries ---- */

static void
answer_err(struct store_answer *a, const struct err *e)
{
	a->result = e->cls == ERR_PERM ? STORE_PERM : STORE_TEMP;
	a->commit = 0;
	(void)snprintf(a->status, sizeof(a->status), "%s", e->status);
	(void)snprintf(a->text, sizeof(a->text), "%.*s", (int)sizeof(a->text) - 1, e->text);
}

/*
 * Where the delivery goes.  The queue has verified that the user exists, so its INBOX is made where it is missing; a
 * folder only where the delivery says so.
 */
static struct wbox *
target(struct store_writer *w, const struct store_delivery *d, struct err *err)
{
	char inbox[STORE_NAME_MAX + 1];
	struct sv name = d->mailbox;
	struct err e = ERR_INIT;
	struct wbox *x;
	uint64_t id;

	if (d->user.len > 0 && store_name_inbox(d->user, inbox, err) == -1)
		return (NULL);
	if (d->user.len > 0 && (d->to == STORE_TO_USER || sv_eqs(name, inbox)))
		return (w_inbox(w, sv_cstr(inbox), err));
	x = w_box_name(w, name, &e);
	if (x == NULL && e.cls == ERR_PERM && d->user.len > 0 && (d->dflags & STORE_D_CREATE) != 0 &&
	    store_writer_create(w, d->user, name, &id, &e) == 0)
		x = w_box(w, id, &e);
	if (x == NULL && err != NULL)
		*err = e;
	if (x != NULL && w_need(x, d->user, STORE_R_POST, err) == -1)
		return (NULL);
	return (x);
}

/* The same bytes as the delivery before: another recipient of one message. */
static bool
same_body(const struct wbody *l, const struct store_delivery *d)
{
	return (l->mbox != 0 && l->off == d->off && l->len == d->len && sv_eq(l->path, d->path) &&
	    sv_eq(l->prefix, d->prefix));
}

static void
remember_body(struct store_writer *w, const struct store_delivery *d, uint64_t mbox, const struct store_msg *m)
{
	struct wbody *l = &w->last;

	if (l->path.p == NULL || !sv_eq(l->path, d->path))
		l->path = arena_sv(w->a, d->path);
	l->prefix = arena_sv(w->a, d->prefix);
	*l = (struct wbody){ mbox, m->oid, m->hash, m->uid, m->size, l->path, l->prefix, d->off, d->len };
}

static int
deliver_body(struct store_writer *w, const struct store_delivery *d, uint64_t mbox, struct store_msg *m,
    struct err *err)
{
	struct wbody *l = &w->last;
	int fd;

	if (same_body(l, d)) {
		m->oid = l->oid;
		m->hash = l->hash;
		m->size = l->size;
		if (w_body_link(w, l->mbox, l->uid, mbox, m->uid, m->oid, err) == 0)
			return (0);
		err_clear(err);
	}
	if (w_space(w, d->len, err) == -1 || (fd = w_source(w, d->path, err)) == -1)
		return (-1);
	m->oid = w->st.next_oid++;
	w->state_dirty = true;
	if (w_body_write(w, mbox, m, d->prefix, fd, d->off, d->len, false, err) == -1)
		return (-1);
	remember_body(w, d, mbox, m);
	return (0);
}

static int
deliver(struct store_writer *w, const struct store_delivery *d, const uint8_t *did, size_t didlen, struct err *err)
{
	struct store_msg m = { .flags = (uint8_t)(d->flags & STORE_SYSFLAGS), .internaldate = d->date,
	    .savedate = now_seconds() };
	struct wbox *x;
	struct rec_redo redo;
	uint8_t commit[8];

	if (atomic_load(&w->suspect))
		return (err_set(err, ERR_TEMP, "4.3.0", "the disk of the mail store failed; deliveries wait"));
	if (d->prefix.len > STORE_PREFIX_MAX)
		return (err_set(err, ERR_TEMP, "4.3.0", "store: the prefix of a delivery is too long"));
	if ((x = target(w, d, err)) == NULL || (m.uid = w_next_uid(w, x, err)) == 0 ||
	    deliver_body(w, d, x->id, &m, err) == -1)
		return (-1);
	redo = (struct rec_redo){ .from = REC_FROM_RANGE, .mbox = x->id, .oid = m.oid, .hash = m.hash, .uid = m.uid,
	    .size = m.size, .path = w->last.path, .off = d->off, .len = d->len, .prefix = d->prefix };
	w_body_redo(w, &redo);
	put_le64(commit, w->st.commit + 1);
	if (w_put(w, w->ix.dids, did, didlen, commit, 8, 0, err) == -1)
		return (-1);
	return (w_add(w, x, &m, err));
}

void
store_writer_deliver(struct store_writer *w, const struct store_delivery *d, struct store_answer *a)
{
	uint8_t did[REC_DID_MAX];
	size_t n = rec_did_key(did, d->origin, d->message, d->rcpt, d->action);
	struct err e = ERR_INIT;
	struct sv v = SV_NULL;
	int rc;

	*a = (struct store_answer){ .result = STORE_INDEXED, .commit = w->st.commit + 1 };
	if (n == 0)
		rc = err_set(&e, ERR_TEMP, "4.3.0", "store: a delivery without a message id");
	else if (w->broken)
		rc = w_broken(w, &e, "batch", MDB_BAD_TXN);
	else
		rc = index_get(w->txn, w->ix.dids, did, n, &v, &e);
	if (rc == 1) {
		a->result = STORE_DUPLICATE;
		a->commit = v.len == 8 ? get_le64((const uint8_t *)v.p) : 0;
		if (a->commit <= atomic_load(&w->done))
			a->commit = 0;
		return;
	}
	if (rc == 0)
		rc = deliver(w, d, did, n, &e);
	if (rc == -1)
		answer_err(a, &e);
}

/* ---- delivery ids ---- */

struct keep {
	struct sv	*v;		/* sorted: there may be tens of thousands */
	size_t		 n;
};

static int
by_name(const void *a, const void *b)
{
	return (sv_cmp(*(const struct sv *)a, *(const struct sv *)b));
}

static bool
is_kept(void *arg, struct sv key)
{
	const struct keep *k = arg;
	struct sv id = sv_sub(key, 8, key.len);
	ptrdiff_t nul = sv_chr(id, '\0');

	id = sv_sub(id, 0, nul < 0 ? 0 : (size_t)nul);
	return (bsearch(&id, k->v, k->n, sizeof(*k->v), by_name) != NULL);
}

int
store_writer_forget(struct store_writer *w, uint64_t origin, const struct sv *keep, size_t nkeep, struct err *err)
{
	struct keep k = { NULL, nkeep };
	uint8_t key[8];

	rec_be64(key, origin);
	if (nkeep > 0) {
		k.v = arena_dup(w->a, keep, nkeep * sizeof(*keep));
		qsort(k.v, k.n, sizeof(*k.v), by_name);
	}
	return (w_del_prefix(w, w->ix.dids, key, 8, nkeep == 0 ? NULL : is_kept, &k, err));
}

int
store_writer_forget_message(struct store_writer *w, uint64_t origin, struct sv message, struct err *err)
{
	uint8_t key[REC_DID_MAX];
	size_t n = rec_did_prefix(key, origin, message);

	if (n == 0)
		return (err_set(err, ERR_PERM, "5.5.0", "not a message id"));
	return (w_del_prefix(w, w->ix.dids, key, n, NULL, NULL, err));
}

struct origins {
	const uint64_t	*v;
	size_t		 n;
};

static bool
is_live(void *arg, struct sv key)
{
	const struct origins *o = arg;
	uint64_t origin = key.len >= 8 ? rec_get64((const uint8_t *)key.p) : 0;

	for (size_t i = 0; i < o->n; i++)
		if (o->v[i] == origin)
			return (true);
	return (false);
}

int
store_writer_forget_others(struct store_writer *w, const uint64_t *origins, size_t n, struct err *err)
{
	struct origins o = { origins, n };

	return (w_del_prefix(w, w->ix.dids, "", 0, is_live, &o, err));
}

/* ---- append ---- */

static unsigned
allowed_flags(unsigned rights)
{
	unsigned sys = 0;

	if ((rights & STORE_R_SEEN) != 0)
		sys |= STORE_SEEN;
	if ((rights & STORE_R_DELMSG) != 0)
		sys |= STORE_DELETED;
	if ((rights & STORE_R_WRITE) != 0)
		sys |= STORE_ANSWERED | STORE_FLAGGED | STORE_DRAFT;
	return (sys);
}

int
store_writer_append(struct store_writer *w, struct sv user, struct sv name, int fd, uint64_t off, uint64_t len,
    const struct store_flags *flags, int64_t date, struct store_appended *out, struct err *err)
{
	struct wbox *x = w_box_name(w, name, err);
	struct store_msg m = { .internaldate = date == 0 ? now_seconds() : date, .savedate = now_seconds() };
	unsigned rights;
	uint32_t range;

	if (x == NULL || w_need(x, user, STORE_R_INSERT, err) == -1)
		return (-1);
	rights = w_rights(x, user);
	m.flags = (uint8_t)(flags->sys & allowed_flags(rights));
	if ((rights & STORE_R_WRITE) != 0 &&
	    w_keywords(w, x, flags->keywords, flags->nkeywords, true, &m.keywords, err) == -1)
		return (-1);
	if (w_space(w, len, err) == -1 || (m.uid = w_next_uid(w, x, err)) == 0)
		return (-1);
	m.oid = w->st.next_oid++;
	w->state_dirty = true;
	if (w_body_write(w, x->id, &m, SV_NULL, fd, off, len, true, err) == -1)
		return (-1);
	/* Its source ends with the request: the directory is synced before the commit, see sync_dirs(). */
	range = m.uid >> STORE_RANGE_SHIFT;
	if (w->sync_dirs.len == 0 || w->sync_dirs.p[w->sync_dirs.len - 1].mbox != x->id ||
	    w->sync_dirs.p[w->sync_dirs.len - 1].range != range)
		vec_push(&w->sync_dirs, ((struct wsync){ x->id, range }));
	*out = (struct store_appended){ x->id, x->b.uidvalidity, m.uid };
	return (w_add(w, x, &m, err));
}

/* ---- flags ---- */

struct change {
	enum store_flag_op op;
	unsigned	 sys, may;	/* flags given, flags that may be changed */
	uint64_t	 kw, kwmay;
	uint64_t	 since;
	uint64_t	 modseq;	/* of the change; 0: nothing has changed yet */
	store_ranges	 done;
	store_ranges	*failed;
};

static void
add_range(store_ranges *r, uint32_t uid)
{
	vec_reserve(r, r->len + 1);
	r->len = rec_ranges_add(r->p, r->len, uid);
}

/* What <m> becomes. */
static bool
apply(const struct change *c, struct store_msg *m)
{
	unsigned sys = m->flags;
	uint64_t kw = m->keywords;

	switch (c->op) {
	case STORE_FLAGS_SET:
		sys = (sys & ~c->may) | (c->sys & c->may);
		kw = (kw & ~c->kwmay) | (c->kw & c->kwmay);
		break;
	case STORE_FLAGS_ADD:
		sys |= c->sys & c->may;
		kw |= c->kw & c->kwmay;
		break;
	case STORE_FLAGS_REMOVE:
		sys &= ~(c->sys & c->may);
		kw &= ~(c->kw & c->kwmay);
		break;
	}
	if (sys == m->flags && kw == m->keywords)
		return (false);
	m->flags = (uint8_t)sys;
	m->keywords = kw;
	return (true);
}

static void
recount(struct rec_box *b, unsigned before, unsigned after)
{
	b->unseen += (before & STORE_SEEN) != 0;
	b->unseen -= (after & STORE_SEEN) != 0;
	b->deleted -= (before & STORE_DELETED) != 0;
	b->deleted += (after & STORE_DELETED) != 0;
}

static int
change_one(struct store_writer *w, struct wbox *x, MDB_cursor *cur, struct change *c, struct store_msg *m,
    struct err *err)
{
	uint8_t key[REC_MSG_KEY], row[REC_MSG_SIZE];
	MDB_val k = index_val(key, sizeof(key)), d = index_val(row, sizeof(row));
	unsigned before = m->flags;
	int rc;

	if (m->modseq > c->since) {
		if (c->failed != NULL)
			add_range(c->failed, m->uid);
		return (0);
	}
	if (!apply(c, m))
		return (0);
	if (c->modseq == 0)
		c->modseq = ++x->b.highestmodseq;
	m->modseq = c->modseq;
	recount(&x->b, before, m->flags);
	add_range(&c->done, m->uid);
	rec_msg_key(key, x->id, m->uid);
	rec_msg_put(row, m);
	rc = mdb_cursor_put(cur, &k, &d, MDB_CURRENT);
	return (rc == 0 ? 0 : w_broken(w, err, "flags", rc));
}

static int
change_set(struct store_writer *w, struct wbox *x, const struct store_range *set, size_t nset, struct change *c,
    struct err *err)
{
	MDB_cursor *cur;
	struct store_msg m;
	int rc = 0;

	if (w_cursor(w, w->ix.msgs, &cur, err) == -1)
		return (-1);
	for (size_t i = 0; rc == 0 && i < nset; i++) {
		bool more = false;

		while (rc == 0 && (rc = index_msg_walk(cur, &more, x->id, set[i].first, set[i].last, &m, err)) == 1)
			rc = change_one(w, x, cur, c, &m, err);
	}
	mdb_cursor_close(cur);
	if (rc == -1 && !w->broken)
		(void)w_broken(w, err, "flags", MDB_CORRUPTED);	/* half of it was done */
	return (rc);
}

int
store_writer_flags(struct store_writer *w, struct sv user, uint64_t mbox, const struct store_range *set, size_t nset,
    enum store_flag_op op, const struct store_flags *flags, uint64_t unchangedsince, store_ranges *failed,
    uint64_t *modseq, struct err *err)
{
	struct wbox *x = w_box(w, mbox, err);
	struct change c = { .op = op, .sys = flags->sys, .since = unchangedsince, .done = VEC_INIT, .failed = failed };
	unsigned rights;
	int rc = -1;

	*modseq = 0;
	if (x == NULL || w_need(x, user, STORE_R_READ, err) == -1)
		return (-1);
	rights = w_rights(x, user);
	c.may = allowed_flags(rights);
	c.kwmay = (rights & STORE_R_WRITE) != 0 ? UINT64_MAX : 0;
	if (c.may == 0)
		return (w_need(x, user, STORE_R_WRITE, err));
	if (c.kwmay != 0 &&
	    w_keywords(w, x, flags->keywords, flags->nkeywords, op != STORE_FLAGS_REMOVE, &c.kw, err) == -1)
		return (-1);
	if (change_set(w, x, set, nset, &c, err) == 0) {
		rc = 0;
		if (c.done.len > 0)
			rc = w_log(w, x, REC_LOG_FLAGS, c.done.p, c.done.len, err);
		*modseq = c.modseq;
	}
	vec_free(&c.done);
	return (rc);
}

/* ---- expunge ---- */

static int
remove_one(struct store_writer *w, struct wbox *x, MDB_cursor *cur, const struct store_msg *m, struct err *err)
{
	struct rec_work todo = { REC_DO_UNLINK, x->id, m->oid, m->uid };
	int rc = mdb_cursor_del(cur, 0);

	if (rc != 0)
		return (w_broken(w, err, "expunge", rc));
	x->b.messages--;
	x->b.unseen -= (m->flags & STORE_SEEN) == 0;
	x->b.deleted -= (m->flags & STORE_DELETED) != 0;
	x->b.size -= m->size;
	return (w_todo(w, &todo, err));
}

static int
remove_set(struct store_writer *w, struct wbox *x, const struct store_range *set, size_t nset, bool only_deleted,
    uint32_t *n, struct err *err)
{
	store_ranges done = VEC_INIT;
	MDB_cursor *cur;
	struct store_msg m;
	int rc = 0;

	*n = 0;
	if (w_cursor(w, w->ix.msgs, &cur, err) == -1)
		return (-1);
	for (size_t i = 0; rc == 0 && i < nset; i++) {
		bool more = false;

		while (rc == 0 && (rc = index_msg_walk(cur, &more, x->id, set[i].first, set[i].last, &m, err)) == 1) {
			rc = 0;
			if (only_deleted && (m.flags & STORE_DELETED) == 0)
				continue;
			rc = remove_one(w, x, cur, &m, err);
			add_range(&done, m.uid);
			(*n)++;
		}
	}
	mdb_cursor_close(cur);
	if (rc == -1 && !w->broken)
		(void)w_broken(w, err, "expunge", MDB_CORRUPTED);
	if (rc == 0 && done.len > 0) {
		x->b.highestmodseq++;
		rc = w_log(w, x, REC_LOG_EXPUNGE, done.p, done.len, err);
	}
	vec_free(&done);
	return (rc);
}

int
store_writer_expunge(struct store_writer *w, struct sv user, uint64_t mbox, const struct store_range *set, size_t nset,
    bool only_deleted, uint32_t *n, struct err *err)
{
	struct wbox *x = w_box(w, mbox, err);
	uint32_t count;

	if (x == NULL || w_need(x, user, STORE_R_EXPUNGE | (only_deleted ? 0 : STORE_R_DELMSG), err) == -1)
		return (-1);
	if (only_deleted && x->b.deleted == 0)
		nset = 0;
	return (remove_set(w, x, set, nset, only_deleted, n == NULL ? &count : n, err));
}

/* ---- copy and move ---- */

/* Both sets of a COPYUID go into one frame. */
#define COPY_RANGES_MAX	32768

typedef VEC(struct store_msg) msgs;

static int
collect(struct store_writer *w, const struct wbox *x, const struct store_range *set, size_t nset, msgs *out,
    struct err *err)
{
	MDB_cursor *cur;
	struct store_msg m;
	int rc = 0;

	if (w_cursor(w, w->ix.msgs, &cur, err) == -1)
		return (-1);
	for (size_t i = 0; rc == 0 && i < nset; i++) {
		bool more = false;

		while ((rc = index_msg_walk(cur, &more, x->id, set[i].first, set[i].last, &m, err)) == 1)
			vec_push(out, m);
	}
	mdb_cursor_close(cur);
	return (rc);
}

/* Link all bodies before a record is written, so that a failure leaves no trace. */
static int
link_all(struct store_writer *w, const struct wbox *x, struct wbox *to, const msgs *from, uint32_t *uids,
    struct err *err)
{
	size_t i;
	char name[48];

	for (i = 0; i < from->len; i++) {
		const struct store_msg *m = &from->p[i];

		if ((uids[i] = w_next_uid(w, to, err)) == 0 ||
		    w_body_link(w, x->id, m->uid, to->id, uids[i], m->oid, err) == -1)
			break;
	}
	if (i == from->len)
		return (0);
	while (i-- > 0) {
		int dir = w_dir(w, to->id, NULL);

		w_body_name(name, uids[i], from->p[i].oid);
		if (dir != -1)
			(void)unlinkat(dir, name, 0);
	}
	return (-1);
}

/* Bits of the target's table for keywords of the source; those that find no room are left out. */
static void
map_keywords(struct store_writer *w, const struct wbox *x, struct wbox *to, uint64_t map[STORE_KEYWORDS_MAX])
{
	struct sv rest = x->info.keywords, kw;

	memset(map, 0, sizeof(uint64_t) * STORE_KEYWORDS_MAX);
	for (unsigned bit = 0; bit < STORE_KEYWORDS_MAX && rec_info_keyword(&rest, &kw); bit++)
		if (x->id == to->id)
			map[bit] = (uint64_t)1 << bit;
		else
			(void)w_keywords(w, to, &kw, 1, true, &map[bit], NULL);
}

static int
copy_records(struct store_writer *w, const struct wbox *x, struct wbox *to, const msgs *from, const uint32_t *uids,
    unsigned rights, struct err *err)
{
	uint64_t map[STORE_KEYWORDS_MAX], used = 0;

	for (size_t i = 0; i < from->len; i++)
		used |= from->p[i].keywords;
	memset(map, 0, sizeof(map));
	if (used != 0 && (rights & STORE_R_WRITE) != 0)
		map_keywords(w, x, to, map);
	for (size_t i = 0; i < from->len; i++) {
		struct store_msg m = from->p[i];
		struct rec_redo redo = { .from = REC_FROM_BODY, .mbox = to->id, .oid = m.oid, .hash = m.hash,
		    .uid = uids[i], .size = m.size, .src_mbox = x->id, .src_uid = m.uid };

		w_body_redo(w, &redo);
		m.uid = uids[i];
		m.flags &= (uint8_t)allowed_flags(rights);
		m.savedate = now_seconds();
		m.keywords = 0;
		for (unsigned b = 0; from->p[i].keywords >> b != 0; b++) {
			if ((from->p[i].keywords >> b & 1) != 0)
				m.keywords |= map[b];
			if (b == 63)
				break;
		}
		if (w_add(w, to, &m, err) == -1)
			return (-1);
	}
	return (0);
}

int
store_writer_copy(struct store_writer *w, struct sv user, uint64_t mbox, const struct store_range *set, size_t nset,
    struct sv name, bool move, struct store_copied *out, struct err *err)
{
	struct wbox *x = w_box(w, mbox, err), *to;
	msgs from = VEC_INIT;
	uint32_t *uids = NULL, n;
	int rc = -1;

	if (x == NULL || w_need(x, user, STORE_R_READ | (move ? STORE_R_DELMSG | STORE_R_EXPUNGE : 0), err) == -1 ||
	    (to = w_box_name(w, name, err)) == NULL || w_need(to, user, STORE_R_INSERT, err) == -1 ||
	    collect(w, x, set, nset, &from, err) == -1)
		goto done;
	if (!move && w_space(w, 0, err) == -1)
		goto done;
	out->uidvalidity = to->b.uidvalidity;
	for (size_t i = 0; i < from.len; i++)
		add_range(&out->from, from.p[i].uid);
	if (out->from.len > COPY_RANGES_MAX) {
		(void)err_set(err, ERR_PERM, STORE_E_LIMIT,
		    "too many messages lie too far apart; copy fewer at a time");
		goto done;
	}
	if (from.len > 0) {
		uids = arena_alloc(w->a, from.len * sizeof(*uids));
		if (link_all(w, x, to, &from, uids, err) == -1 ||
		    copy_records(w, x, to, &from, uids, w_rights(to, user), err) == -1)
			goto done;
	}
	for (size_t i = 0; i < from.len; i++)
		add_range(&out->to, uids[i]);
	rc = 0;
	if (move && from.len > 0) {
		rc = remove_set(w, x, out->from.p, out->from.len, false, &n, err);
		w->last.mbox = 0;
	}
done:
	vec_free(&from);
	return (rc);
}
