/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one writer of the store, for vstored.  Nothing here parks or knows of fibers:
 * a batch (store_writer_begin, operations, store_writer_commit) runs on one thread from
 * begin to commit, one batch at a time; store_writer_barrier may run on another
 * thread meanwhile, and only it.
 *
 * An operation that is refused (-1) leaves no trace and harms no other operation of
 * its batch.  After a failure of the index itself all operations that follow, and the
 * commit, fail: then nothing of the batch has happened, except when the commit's last
 * write failed, where it may have: a repeated delivery finds its id then.
 *
 * What each step leaves behind in a crash:
 *  - bodies are written before the index is committed, under UIDs that no record has: a file without a
 *    record means nothing, and is replaced when its UID is given out;
 *  - the commit holds message records, delivery ids and a redo row that says where each unsynced body came
 *    from; the row is dropped after the barrier that covers it.  Until then the source is kept by the queue, so
 *    store_writer_open() can verify each body by size and hash, and write it again;
 *  - bodies of APPEND have no source that outlives the request: they and their directory are synced before the commit;
 *  - files are unlinked after the barrier of the commit that removed their records: links made from them
 *    before are on disk then, and a record never names a file that was taken away;
 *  - delivery ids outlive the messages, so that nothing that was deleted is delivered again.
 */
#ifndef VPOST_STORE_WRITER_H
#define VPOST_STORE_WRITER_H

#include "store/client.h"
#include "store/deliver.h"
#include "store/store.h"

struct store_writer;

struct store_writer_opts {
	const char	*box;		/* root of the box: sources of deliveries are below it */
	const char	*dir;		/* BOX/var/mail */
	uint64_t	 map_size;
	int		 reserve_percent; /* free part of the disk that deliveries leave */
	int64_t		 reserve_min;	/* and at least this much */
	/* Told of what recovery finds and repairs, and of bodies that are lost.  May be NULL. */
	void		(*report)(void *arg, bool bad, const char *text);
	void		*arg;
};

/*
 * Open (make) the store and recover: verify all bodies since the last barrier, repair
 * them from their sources, then a barrier.  What cannot be repaired is reported and stays.
 */
int	 store_writer_open(struct store_writer **wp, const struct store_writer_opts *o, struct err *err);
/* Syncs the cache, so that the next open may keep it. */
void	 store_writer_close(struct store_writer **wp);

/* ---- a batch ---- */

int	 store_writer_begin(struct store_writer *w, struct err *err);
/*
 * Commit durably.  Calls <changed> (may be NULL) for each mailbox that readers should look at again.
 * -1: all of the batch is undone.
 */
int	 store_writer_commit(struct store_writer *w, void (*changed)(void *arg, uint64_t mbox), void *arg,
	     struct err *err);
void	 store_writer_abort(struct store_writer *w);
/* The index cannot be written any more in this process (LMDB's MDB_PANIC): only opening it anew helps. */
bool	 store_writer_dead(const struct store_writer *w);
/* After a commit: write the cache rows that the batch's deliveries made. */
void	 store_writer_fill_cache(struct store_writer *w);

/* ---- operations, inside a batch ---- */

/* Fills *<a>; INDEXED and DUPLICATE hold once the commit succeeded. */
void	 store_writer_deliver(struct store_writer *w, const struct store_delivery *d, struct store_answer *a);
int	 store_writer_forget(struct store_writer *w, uint64_t origin, const struct sv *keep, size_t nkeep,
	     struct err *err);
int	 store_writer_forget_message(struct store_writer *w, uint64_t origin, struct sv message, struct err *err);
int	 store_writer_forget_others(struct store_writer *w, const uint64_t *origins, size_t n, struct err *err);

int	 store_writer_create(struct store_writer *w, struct sv user, struct sv name, uint64_t *mbox, struct err *err);
int	 store_writer_ensure_inbox(struct store_writer *w, struct sv user, uint64_t *mbox, struct err *err);
int	 store_writer_delete(struct store_writer *w, struct sv user, struct sv name, struct err *err);
int	 store_writer_rename(struct store_writer *w, struct sv user, struct sv from, struct sv to, struct err *err);
int	 store_writer_subscribe(struct store_writer *w, struct sv user, struct sv name, bool on, struct err *err);
int	 store_writer_set_acl(struct store_writer *w, struct sv user, struct sv name, struct sv id, struct sv rights,
	     struct err *err);
int	 store_writer_claim_recent(struct store_writer *w, uint64_t mbox, uint32_t *first_recent, struct err *err);

/* Sets are ascending and apart, as rec_ranges_count() accepts them. */
int	 store_writer_flags(struct store_writer *w, struct sv user, uint64_t mbox, const struct store_range *set,
	     size_t nset, enum store_flag_op op, const struct store_flags *flags, uint64_t unchangedsince,
	     store_ranges *failed, uint64_t *modseq, struct err *err);
int	 store_writer_expunge(struct store_writer *w, struct sv user, uint64_t mbox, const struct store_range *set,
	     size_t nset, bool only_deleted, uint32_t *n, struct err *err);
/* <fd> is read from <off>; the body is synced before the commit. */
int	 store_writer_append(struct store_writer *w, struct sv user, struct sv name, int fd, uint64_t off, uint64_t len,
	     const struct store_flags *flags, int64_t date, struct store_appended *out, struct err *err);
int	 store_writer_copy(struct store_writer *w, struct sv user, uint64_t mbox, const struct store_range *set,
	     size_t nset, struct sv to, bool move, struct store_copied *out, struct err *err);

/* ---- barrier and what follows it ---- */

/* Number of the last commit; bytes of bodies since the last barrier began.  From any thread. */
uint64_t store_writer_commits(const struct store_writer *w);
uint64_t store_writer_unsynced(const struct store_writer *w);
/* Commits up to here are on disk with their bodies. */
uint64_t store_writer_barrier_done(const struct store_writer *w);
/*
 * Make everything that was committed before the call durable, and say so by store_writer_barrier_done().  On failure
 * deliveries are refused (TEMP) until store_writer_rewrite() and a barrier have succeeded.
 */
int	 store_writer_barrier(struct store_writer *w, struct err *err);
bool	 store_writer_suspect(const struct store_writer *w);
/* After a failed barrier: write all bodies since the last good one anew.  Outside a batch, on the batches' thread. */
int	 store_writer_rewrite(struct store_writer *w, struct err *err);
/*
 * Inside a batch: drop redo rows that a barrier covered, do at most <max> pieces of deferred work; true: more
 * is left.
 */
bool	 store_writer_tidy(struct store_writer *w, unsigned max);
bool	 store_writer_untidy(const struct store_writer *w);

/* Make cache rows of these messages (outside a batch). */
void	 store_writer_cache(struct store_writer *w, uint64_t mbox, const struct store_range *set, size_t nset);
/* Clear reader slots of dead processes. */
void	 store_writer_check_readers(struct store_writer *w);

/* ---- without the daemon ---- */

/*
 * Build a new index from the mailbox files and bodies in <dir>, with flags, subscriptions and delivery ids of
 * the old one where it can be read, and put it in the old one's place.  No daemon of the box may run.
 */
int	 store_reconstruct(const struct store_writer_opts *o, struct err *err);

#endif
