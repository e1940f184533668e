/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What STATUS (RECENT) and SELECT's UNSEEN ask for and no counter of the index holds.  A reader
 * remembers both for each mailbox with the modseq they hold for, and goes on from there: deliveries
 * only add, and flags that changed stand in the log.  So the records of a mailbox are scanned once in a
 * process, not at each question.
 */
#include <stdlib.h>

#include "base/arena.h"
#include "store/reader_int.h"

#define COUNTS_MAX	4096	/* mailboxes remembered */

struct counts {
	uint64_t	 modseq;
	uint32_t	 uidvalidity, uidnext, messages;	/* of the mailbox at that modseq */
	uint32_t	 first_recent;
	uint32_t	 recent;
	bool		 recent_known;
	uint32_t	 seen_below;	/* all messages below this UID are seen */
};

static struct counts *
remembered(struct store_reader *r, uint64_t mbox, const struct rec_box *b)
{
	struct sv key = sv_from((const char *)&mbox, sizeof(mbox));
	struct counts *c;

	if (r->counts == NULL)
		r->counts = hash_new();
	c = hash_get(r->counts, key);
	if (c == NULL) {
		if (hash_count(r->counts) >= COUNTS_MAX) {
			hash_free(&r->counts, free);
			r->counts = hash_new();
		}
		c = xcalloc(1, sizeof(*c));
		(void)hash_set(r->counts, key, c);
	}
	/* Another mailbox's, or from a state that was taken back: nothing of it holds. */
	if (c->uidvalidity != b->uidvalidity || c->modseq > b->highestmodseq || c->uidnext > b->uidnext)
		*c = (struct counts){ .uidvalidity = b->uidvalidity, .seen_below = 1 };
	return (c);
}

/* ---- recent ---- */

static int
scan_recent(struct store_reader *r, uint64_t mbox, uint32_t first, uint32_t *n, struct err *err)
{
	struct store_msg m;
	MDB_cursor *c;
	bool more = false;
	int rc;

	*n = 0;
	if ((rc = mdb_cursor_open(r->txn, r->ix.msgs, &c)) != 0)
		return (index_err(err, "cursor", rc));
	while ((rc = index_msg_walk(c, &more, mbox, first, UINT32_MAX, &m, err)) == 1)
		(*n)++;
	mdb_cursor_close(c);
	return (rc);
}

static int
count_recent(struct store_reader *r, uint64_t mbox, const struct rec_box *b, struct counts *c, struct err *err)
{
	bool holds = c->recent_known && c->first_recent == b->first_recent;

	if (b->first_recent >= b->uidnext || b->messages == 0)
		c->recent = 0;
	else if (b->first_recent == 1)
		c->recent = b->messages;	/* none was ever looked at */
	else if (holds && c->modseq == b->highestmodseq)
		return (0);
	/* As many new messages as new UIDs: none went. */
	else if (holds && b->messages >= c->messages && b->messages - c->messages == b->uidnext - c->uidnext)
		c->recent += b->messages - c->messages;
	else if (scan_recent(r, mbox, b->first_recent, &c->recent, err) == -1)
		return (-1);
	return (0);
}

/* ---- the first unseen ---- */

/* Least UID of one row of the log whose flags changed; UINT32_MAX: none. */
static uint32_t
least_changed(struct sv row)
{
	struct sv ranges = sv_sub(row, 1, row.len);
	struct store_range range;

	if (row.len == 0 || row.p[0] != REC_LOG_FLAGS || rec_ranges_count(ranges) < 1)
		return (UINT32_MAX);
	rec_ranges_at(ranges, 0, &range);
	return (range.first);
}

/* Flags changed since: what was seen may be unseen again. */
static int
take_changes(struct store_reader *r, uint64_t mbox, const struct rec_box *b, struct counts *c, struct err *err)
{
	uint8_t key[REC_LOG_KEY];
	MDB_cursor *cur;
	MDB_val k, d;
	int rc;

	if (c->modseq == b->highestmodseq || c->seen_below <= 1)
		return (0);
	if (c->modseq < b->logfloor) {
		c->seen_below = 1;
		return (0);
	}
	if ((rc = mdb_cursor_open(r->txn, r->ix.log, &cur)) != 0)
		return (index_err(err, "cursor", rc));
	rec_log_key(key, mbox, c->modseq + 1);
	k = index_val(key, sizeof(key));
	for (rc = mdb_cursor_get(cur, &k, &d, MDB_SET_RANGE); rc == 0; rc = mdb_cursor_get(cur, &k, &d, MDB_NEXT)) {
		uint32_t uid;

		if (k.mv_size != REC_LOG_KEY || rec_get64(k.mv_data) != mbox)
			break;
		if ((uid = least_changed(index_sv(&d))) < c->seen_below)
			c->seen_below = uid;
	}
	mdb_cursor_close(cur);
	return (rc == 0 || rc == MDB_NOTFOUND ? 0 : index_err(err, "log", rc));
}

static int
find_unseen(struct store_reader *r, uint64_t mbox, const struct rec_box *b, struct counts *c, uint32_t *uid, struct err *err)
{
	struct store_msg m;
	MDB_cursor *cur;
	bool more = false;
	int rc;

	*uid = 0;
	if (b->unseen == 0) {
		c->seen_below = b->uidnext;
		return (0);
	}
	if ((rc = mdb_cursor_open(r->txn, r->ix.msgs, &cur)) != 0)
		return (index_err(err, "cursor", rc));
	while (*uid == 0 && (rc = index_msg_walk(cur, &more, mbox, c->seen_below, UINT32_MAX, &m, err)) == 1)
		if ((m.flags & STORE_SEEN) == 0)
			*uid = m.uid;
	mdb_cursor_close(cur);
	if (rc != -1)
		c->seen_below = *uid != 0 ? *uid : b->uidnext;
	return (rc == -1 ? -1 : 0);
}

int
reader_counts(struct store_reader *r, uint64_t mbox, const struct rec_box *b, bool first_unseen, struct store_status *st,
    struct err *err)
{
	struct counts *c = remembered(r, mbox, b);

	if (count_recent(r, mbox, b, c, err) == -1 || take_changes(r, mbox, b, c, err) == -1 ||
	    (first_unseen && find_unseen(r, mbox, b, c, &st->first_unseen, err) == -1)) {
		/* Half taken in: forget. */
		c->uidvalidity = 0;
		return (-1);
	}
	st->recent = c->recent;
	c->recent_known = true;
	c->modseq = b->highestmodseq;
	c->uidnext = b->uidnext;
	c->messages = b->messages;
	c->first_recent = b->first_recent;
	return (0);
}
