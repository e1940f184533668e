/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * queue/ID: a message that waits.  One record in the journal's form (envelope and
 * content, at a fixed place for the file's life), then a log that grows: what happened
 * to each recipient, when it is tried again, frozen or not.  A file is made under a
 * temporary name, synced, renamed, and its directory synced; from then on it beats
 * the journal's copy of that id.  Functions that write to disk park (fiber_offload).
 */
#ifndef VPOST_SPOOL_QUEUEFILE_H
#define VPOST_SPOOL_QUEUEFILE_H

#include "base/hash.h"
#include "base/vec.h"
#include "spool/done.h"
#include "spool/envelope.h"
#include "spool/writer.h"

struct spool_qrcpt {
	enum spool_state state;
	int64_t		 first_failed;	/* seconds since 1970; 0: not yet */
	int64_t		 last_try;
	int64_t		 next_try;
	struct sv	 text;		/* the last failure, for mailq and reports */
};

/* A final delivery of recipient <rcpt> that is settled while others of that recipient are not. */
struct spool_qchild {
	uint64_t	 child;		/* spool_child() */
	uint32_t	 rcpt;
	enum spool_state state;
};

struct spool_qfile {
	struct arena	*arena;
	struct spool_envelope env;
	struct spool_qrcpt *rcpts;	/* env.nrcpts of them */
	VEC(struct spool_qchild) children;
	struct hash	*child_index;	/* of <children>: index + 1 by child, when there are many */
	uint64_t	 origin;	/* id of the segment that it came in by: part of its delivery ids */
	uint64_t	 content_off;
	uint64_t	 content_len;
	uint64_t	 log_end;	/* where the next entry of the log goes */
	struct sb	 unwritten;	/* entries that the disk refused: see spool_qfile_keep() */
	struct sb	 unsynced;	/* what lies before <log_end> and is not known to be on disk */
	bool		 suspect;	/* a sync of it failed */
	bool		 frozen;
	int64_t		 frozen_at;	/* seconds since 1970 */
	int64_t		 warned_at;	/* last delay warning */
	unsigned	 warnings;	/* delay warnings sent */
};

/*
 * Make queue/<q->env.id> of the envelope and states in *<q>; <c> is the content.  0: durable.
 * -1 TEMP otherwise, and no file is left.  A file that is there already is replaced.
 * Sets content_off, content_len and log_end of *<q>.
 */
int	 spool_qfile_create(const char *dir, struct spool_qfile *q, const struct spool_content *c, struct err *err);
/* An empty one with its arena. */
struct spool_qfile *spool_qfile_new(void);
/* Read all but the content. */
int	 spool_qfile_load(struct spool_qfile **qp, const char *dir, const char *id, struct err *err);
void	 spool_qfile_free(struct spool_qfile **qp);

/*
 * The log: changes are built in an sb by spool_qlog_*, then appended with one write(2).
 * spool_qfile_append with <sync> also waits for fdatasync, parked: <q> must stay meanwhile.  Where that fails,
 * what may be lost is written again before another try.  An empty <log> writes and syncs what is left.
 */
void	 spool_qlog_rcpt(struct sb *log, uint32_t rcpt, const struct spool_qrcpt *st);
void	 spool_qlog_child(struct sb *log, const struct spool_qchild *c);
void	 spool_qlog_frozen(struct sb *log, bool frozen, int64_t now);
void	 spool_qlog_warned(struct sb *log, unsigned warnings, int64_t now);
/* It is in the queue <name> from now on. */
void	 spool_qlog_queue(struct sb *log, struct sv name);
int	 spool_qfile_append(const char *dir, struct spool_qfile *q, struct sv log, bool sync, struct err *err);
/* <log> could not be appended and must not be forgotten: the next append writes it first. */
void	 spool_qfile_keep(struct spool_qfile *q, struct sv log);
/* Apply the log <v> to *<q> up to its first torn entry; returns the bytes that were good.  Pure (fuzzed). */
size_t	 spool_qlog_apply(struct spool_qfile *q, struct sv v);
/* Unlink; <sync>: then fsync the directory, parked. */
int	 spool_qfile_remove(const char *dir, const char *id, bool sync, struct err *err);
/* Sync the directory, parked. */
int	 spool_dir_sync(const char *dir, struct err *err);
/* Call <fn> for each message of the directory; temporary files of dead processes are removed when <clean>. */
int	 spool_qfile_scan(const char *dir, bool clean, void (*fn)(void *arg, const char *id), void *arg, struct err *err);

#endif
