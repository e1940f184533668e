/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The done-log of a segment (SEGMENT.done beside it): which recipients of which of
 * its messages are settled.  An entry is written at once by write(2), so that the
 * death of the process loses none; spool_done_sync() makes all before it durable.
 *
 * What the loss of an entry in a power cut means is in the table in spool.h: a local
 * delivery is found again by its delivery id, a copied message by its queue file, a
 * sent one is sent again where its fdatasync was still under way (RFC 5321 6.1).
 */
#ifndef VPOST_SPOOL_DONE_H
#define VPOST_SPOOL_DONE_H

#include "base/err.h"
#include "base/sb.h"
#include "spool/envelope.h"

enum spool_state {
	SPOOL_ST_OPEN,			/* nothing settled */
	SPOOL_ST_INTENT,		/* about to send the final dot: an attempt whose end is unknown after a crash */
	SPOOL_ST_LOCAL,			/* delivered and on disk */
	SPOOL_ST_SENT,			/* taken over by another host */
	SPOOL_ST_BOUNCED,		/* failed; reported, or need not be */
	SPOOL_ST_COPIED,		/* the whole message lives in queue/ID now; recipient SPOOL_ALL */
	SPOOL_ST_REMOVED,		/* by an administrator */
	SPOOL_ST_RETRY			/* only in queue files: tried, will be tried again */
};

#define SPOOL_ALL	UINT32_MAX	/* every recipient */

/*
 * A recipient that routers turned into several (an alias, a list) settles piece by piece: each
 * final delivery is named by a hash of its address and transport; 0 is the recipient as a whole.
 */
struct spool_done_entry {
	uint64_t	 record;	/* offset of the message's record */
	uint64_t	 child;
	uint32_t	 rcpt;		/* index, or SPOOL_ALL */
	enum spool_state state;
};

/* The hash of a final address (domain in any case) behind <what> (the transport); never 0, the same for all time. */
uint64_t spool_child(const char *what, struct sv addr);

struct spool_done;

/* Opens (makes) <path>; *<out> walks the entries of earlier lives through <fn> (may be NULL).  A torn tail is cut. */
int	 spool_done_open(struct spool_done **dp, const char *path,
	     void (*fn)(void *arg, const struct spool_done_entry *e), void *arg, struct err *err);
void	 spool_done_close(struct spool_done **dp);
/* Collect an entry; spool_done_write() writes all that were collected with one write(2). */
void	 spool_done_add(struct spool_done *d, uint64_t record, uint32_t rcpt, uint64_t child, enum spool_state st);
int	 spool_done_write(struct spool_done *d, struct err *err);
bool	 spool_done_pending(const struct spool_done *d);
/*
 * The disk takes no entries, or does not sync them, and they gather in memory: nothing is dropped, so begin nothing new
 * until this is false again.
 */
bool	 spool_done_behind(const struct spool_done *d);
/*
 * On a fiber: returns when all that was written before the call is on disk; callers share one fdatasync.  After a failed
 * one the file is abandoned: the next call makes a new one, of the old one's entries and those in memory.
 */
int	 spool_done_sync(struct spool_done *d, struct err *err);

#endif
