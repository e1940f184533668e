/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Append one message to a file: an mbox with whatever locks its other users take, or a
 * plain file.  After success it is on disk (fsync of the file, and of the folder when it was new).
 * After a failure the file has its old length.
 */
#ifndef VPOST_MBOX_MBOX_H
#define VPOST_MBOX_MBOX_H

#include "mbox/content.h"

#define MBOX_CREATE		0x0001	/* a file that is not there is made (with <mode>) */
#define MBOX_CREATE_DIR		0x0002	/* and the folders above it (with <dir_mode>) */
#define MBOX_ALLOW_SYMLINK	0x0004	/* else a symbolic link as last part is refused; one to another's file always is */
#define MBOX_ALLOW_FIFO		0x0008	/* a named pipe somebody reads; never locked, nothing taken back */
#define MBOX_ALLOW_DEVICE	0x0010	/* /dev/null and the like; never locked */
#define MBOX_ALLOW_LINKS	0x0020	/* several hard links */
#define MBOX_CHECK_OWNER	0x0040	/* an existing file must be the calling (effective) uid's */
#define MBOX_CHECK_GROUP	0x0080	/* ... and gid's */
#define MBOX_CHECK_MODE		0x0100	/* an existing file's mode is made narrower when it is wider than <mode>; see NARROWER */
#define MBOX_FAIL_NARROWER	0x0200	/* one that is narrower than <mode> is refused */
#define MBOX_LOCK_DOT		0x0400	/* PATH.lock, taken before the file is opened */
#define MBOX_LOCK_FCNTL		0x0800
#define MBOX_LOCK_FLOCK		0x1000
#define MBOX_LOCK_MBX		0x2000
#define MBOX_DOT_OPTIONAL	0x4000	/* no right to make PATH.lock there: go on without it */
#define MBOX_NO_SYNC		0x8000	/* leave it to the system when it reaches the disk */
#define MBOX_MBX_FORMAT		0x10000	/* the file is an MBX folder */
#define MBOX_KEEP_TIMES		0x20000	/* access time stays before the modification time, so that "new mail" shows */

struct mbox_file {
	const char	*path;
	unsigned	 flags;
	mode_t		 mode;		/* of a new file, exact (the umask does not count); default 0600 when 0 */
	mode_t		 dir_mode;	/* default 0700 */
	uid_t		 owner;		/* with CHECK_OWNER: whose it must be; */
	gid_t		 group;		/* CHECK_GROUP */
	int		 lock_retries;	/* further tries when some lock was held */
	int		 lock_interval_s;	/* pause between them */
	int		 fcntl_timeout_s, flock_timeout_s;	/* 0: do not wait inside the call */
	int		 dotlock_stale_s;	/* 0: never taken for stale */
	mode_t		 dotlock_mode;	/* default 0600 */
	const char	*dotlock;	/* its path; NULL: PATH.lock */
	int64_t		 quota;		/* bytes of the file; 0: none */
	bool		 quota_exclusive;	/* only refused when it is already past the quota (quota_is_inclusive = false) */
	int64_t		 size_known;	/* mailbox_size given by others; -1 */
	int64_t		 counts_as;	/* what the message takes of the quota; 0: what is written */
	int64_t		 quota_others;	/* bytes that others take from the quota (quota_directory); 0 */
};
#define MBOX_FILE_INIT	{ .mode = 0600, .dir_mode = 0700, .dotlock_mode = 0600, .size_known = -1 }

int	 mbox_append(const struct mbox_file *m, const struct mbox_content *c, const struct mbox_format *f,
	     struct mbox_result *r, struct err *err);

/* The bytes 0x01 x4 MMDF or "From " of an existing file's start, for format checks; number of bytes read (up to <n>), -1 errno. */
ssize_t	 mbox_peek(const char *path, void *buf, size_t n);

#endif
