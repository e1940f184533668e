/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What writers of mailbox files and pipes are given: a message as text in memory,
 * then a range of a descriptor, then more text; and how its lines are written.  And what all of
 * them say about their end.
 *
 * All of lib/mbox works for the calling uid, with blocking calls, in a user's child or
 * a program; never on the loop of a daemon.  It waits by sleeping the thread.
 */
#ifndef VPOST_MBOX_CONTENT_H
#define VPOST_MBOX_CONTENT_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sv.h"

struct mbox_content {
	struct sv	 head;		/* first: header lines (with or without the empty line), or the whole message */
	int		 fd;		/* then <len> bytes of it from <off> on; -1: none.  Its position is not used */
	uint64_t	 off, len;
	struct sv	 tail;		/* last */
};
#define MBOX_CONTENT_TEXT(text)	((struct mbox_content){ .head = (text), .fd = -1 })

enum mbox_eol {
	MBOX_EOL_LF,			/* CRLF and LF become LF */
	MBOX_EOL_CRLF,			/* LF and CRLF become CRLF */
	MBOX_EOL_RAW			/* byte for byte */
};

/* How it is written. */
struct mbox_format {
	enum mbox_eol	 eol;
	struct sv	 prefix;	/* before and after the message, byte for byte */
	struct sv	 suffix;
	/* Lines of the body that begin with <check> have these bytes replaced by <escape>; empty: none are. */
	struct sv	 check, escape;
	bool		 check_header;	/* those of the header too */
	bool		 end_line;	/* a message that does not end in a line end gets one */
};

/* What is left where the message should be. */
enum mbox_left {
	MBOX_NOTHING,			/* as before: what was written was truncated back or unlinked */
	MBOX_WHOLE,			/* the whole message is there, though something after it failed */
	MBOX_TORN			/* part of it is there and could not be taken back */
};

/* What was found, where errno says too little. */
enum mbox_why {
	MBOX_WHY_ERRNO,
	MBOX_WHY_KIND,			/* not a regular file, not a folder, a symbolic link, several hard links */
	MBOX_WHY_OWNER,
	MBOX_WHY_MODE,
	MBOX_WHY_CHANGED,		/* exchanged while we opened it: somebody should look */
	MBOX_WHY_RACE,			/* made and removed again and again */
	MBOX_WHY_LOCKED,
	MBOX_WHY_QUOTA
};

/*
 * How it ended, besides 0 or -1 and *<err>.  On 0: left is MBOX_WHOLE.  On -1: err->cls is TEMP for what time may heal (no
 * room, locked, quota, I/O, no permission, a target of the wrong kind or owner) and PERM for a message or target that
 * can never do (message larger than the whole quota, a name that is too long).  <sys> is the errno behind it:
 * ENOSPC EDQUOT EFBIG: no room (the file was cut back); EAGAIN: a lock was not to be had; ENOENT: file or folder is not
 * there and may not be made; EACCES EPERM EROFS; ELOOP: symbolic link refused; EMLINK: hard links refused; ESTALE: it was exchanged
 * while we opened it; EIO; 0: no call failed (quota by count or size: MBOX_QUOTA).
 */
struct mbox_result {
	int		 sys;
	enum mbox_left	 left;
	enum mbox_why	 why;
	bool		 quota;		/* the limits given were passed, or would be (also with EDQUOT of the system) */
	int64_t		 last_read;	/* seconds since 1970 of the mailbox' last reading where <quota>; 0: not known */
	uint64_t	 size;		/* bytes written */
	int64_t		 box_size;	/* of the mailbox afterwards where it was counted; -1 */
	int64_t		 box_count;	/* files, the same; -1 */
	int64_t		 box_before;	/* size before, -1: for quota warnings */
	char		 path[4096];	/* of the file that was made or appended to */
};
#define MBOX_RESULT_INIT	{ .box_size = -1, .box_count = -1, .box_before = -1 }

/*
 * Write <c> in <f>'s manner to <fd> from its position on.  0 and *<size> (may be NULL) bytes; -1 with errno (EPIPE too; SIGPIPE must
 * be ignored) and *<size> the bytes that left.
 */
int	 mbox_write(int fd, const struct mbox_content *c, const struct mbox_format *f, uint64_t *size);
struct sb;
/* The same into <out> (its overflow tells of the limit). */
int	 mbox_write_text(struct sb *out, const struct mbox_content *c, const struct mbox_format *f);
/* Bytes that mbox_write would write, by reading all of it. */
uint64_t mbox_written_size(const struct mbox_content *c, const struct mbox_format *f);

/* "From ADDR Www Mmm dd hh:mm:ss yyyy\n" with local time; <sender> empty: MAILER-DAEMON.  Returns <buf>. */
const char *mbox_from_line(struct sv sender, int64_t when, char *buf, size_t size);

#endif
