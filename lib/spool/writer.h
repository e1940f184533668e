/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The intake journal of one process that takes messages in (a vsmtpd worker).
 * All functions belong to the loop's thread; spool_submit() parks.
 *
 * A submitted message is durable when spool_submit() has returned 0, and only
 * then: one fdatasync serves every message that was appended while the one before
 * ran, or within a millisecond where more are known to come.  After a failed write or sync the segment is cut to its last durable offset
 * and abandoned, and every message that was not durable gets the error.
 */
#ifndef VPOST_SPOOL_WRITER_H
#define VPOST_SPOOL_WRITER_H

#include <sys/uio.h>

#include "spool/envelope.h"

struct spool_writer;

#define SPOOL_GATHER_MS	1

struct spool_writer_opts {
	const char	*dir;			/* the box's var/spool/intake; copied */
	unsigned	 worker;		/* number of the worker, in segments' names */
	unsigned	 generation;
	int64_t		 segment_size;		/* 0: 64 MiB */
	int64_t		 journal_max;		/* 0: 2 GiB; all segments of the directory together */
	int		 reserve_percent;	/* free part of the disk that intake leaves */
	int64_t		 reserve_min;		/* and at least this much */
	/*
	 * How many messages are on their way here, those that spool_submit() has already included: while there are more than wait,
	 * a sync lets up to SPOOL_GATHER_MS pass for them to join.  NULL: nobody knows, it starts at once.
	 */
	const unsigned	*coming;
	/* Bytes [from, to) of the segment hold whole records and are durable.  Called on the loop, in order. May be NULL. */
	void		(*durable)(void *arg, const char *segment, uint64_t from, uint64_t to);
	/* The segment gets no more records (full, or abandoned after an error).  May be NULL. */
	void		(*sealed)(void *arg, const char *segment, uint64_t end);
	void		*arg;
};

/* Makes no segment yet, but starts to prepare one.  Call on the loop or a fiber, after fiber_init(). */
int	 spool_writer_open(struct spool_writer **wp, const struct spool_writer_opts *o, struct err *err);
/* No spool_submit() may be under way.  Seals the segment in use; removes those that were only prepared. */
void	 spool_writer_close(struct spool_writer **wp);

/* Where the content is: <iov> first, then <len> bytes of <fd> from <off> (fd -1: none). */
struct spool_content {
	const struct iovec *iov;
	unsigned	 niov;
	int		 fd;
	int64_t		 off;
	int64_t		 len;
};

/*
 * Append the message and park until it is durable.  <env>->size must be the content's
 * length.  The content's memory and descriptor stay the caller's and must not change
 * before this returns.  -1: TEMP 4.3.1 (to be answered 452) when there is no room,
 * when the journal is full, or after an error of the disk; PERM 5.5.3 when the
 * envelope passes a limit.  A cancelled fiber waits all the same: the answer is true.
 */
int	 spool_submit(struct spool_writer *w, const struct spool_envelope *env, const struct spool_content *c,
	     struct err *err);

/*
 * Would a message of <size> bytes find room now?  For MAIL FROM's SIZE and before DATA:
 * looks at the disk at most once a second.  -1: TEMP 4.3.1.
 */
int	 spool_writer_room(struct spool_writer *w, int64_t size, struct err *err);

/* Walk over the segments in use and how far each is durable: what a (re)started vqueued is told. */
void	 spool_writer_segments(struct spool_writer *w,
	     void (*fn)(void *arg, const char *segment, uint64_t durable, bool sealed), void *arg);

/* ---- free room, for intake and delivery alike ---- */

/* Free bytes of the file system of <dir> above the reserve; negative: the reserve is touched.  INT64_MIN on error. */
int64_t	 spool_reserve_left(const char *dir, int percent, int64_t min);

#endif
