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

#include "spool/done.h"
#include "spool/envelope.h"
#include "spool/writer.h"

struct spool_qrcpt {
	enum spool_state state;
	int64_t		 first_failed;	/* seconds since 1970; 0: not yet */
	int64_t		 last_try;
	int64_t		 next_try;
	struct sv	 text;		/* the last failure, for mailq and reports */
	struct sv	 redirect;	/* where it was sent on to (the address that failed), or empty */
};

struct spool_qfile {
	struct arena	*arena;
	struct spool_envelope env;
	struct spool_qrcpt *rcpts;	/* env.nrcpts of them */
	uint64_t	 content_off;
	uint64_t	 content_len;
	bool		 frozen;
	int64_t		 frozen_at;	/* seconds since 1970 */
	int64_t		 warned_at;	/* last delay warning */
	unsigned	 warnings;	/* delay warnings sent */
	uint64_t	 log_end;	/* where the log's next entry goes */
};

/*
 * Make queue/<env->id>.  <c> is the content.  States of earlier attempts in <rcpts> (env->nrcpts of
 * them, or NULL).  0: durable.  -1 TEMP otherwise, and no file is left.  EEXIST counts as success:
 * it is the same message.
 */
int	 spool_qfile_create(const char *dir, const struct spool_envelope *env, const struct spool_content *c,
	     const struct spool_qrcpt *rcpts, bool frozen, struct err *err);
/* Read all but the content. */
int	 spool_qfile_load(struct spool_qfile **qp, const char *dir, const char *id, struct err *err);
void	 spool_qfile_free(struct spool_qfile **qp);

/* Append to the log (one write(2)); <sync>: fdatasync it, parked. */
int	 spool_qfile_set_rcpt(struct spool_qfile *q, const char *dir, uint32_t rcpt, const struct spool_qrcpt *st,
	     bool sync, struct err *err);
int	 spool_qfile_set_frozen(struct spool_qfile *q, const char *dir, bool frozen, int64_t now, bool sync, struct err *err);
int	 spool_qfile_set_warned(struct spool_qfile *q, const char *dir, int64_t now, struct err *err);
/* Unlink; <sync>: then fsync the directory, parked. */
int	 spool_qfile_remove(const char *dir, const char *id, bool sync, struct err *err);
/* Sync the directory, parked. */
int	 spool_dir_sync(const char *dir, struct err *err);
/* Call <fn> for each message of the directory; temporary files of dead processes are removed when <clean>. */
int	 spool_qfile_scan(const char *dir, bool clean, void (*fn)(void *arg, const char *id), void *arg, struct err *err);

#endif
