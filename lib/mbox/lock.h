/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks on mailbox files: FILE.lock made by a hitching post and link(2) so that it is safe
 * over NFS, fcntl, flock, and the MBX manner (a file in /tmp named by device and inode).
 */
#ifndef VPOST_MBOX_LOCK_H
#define VPOST_MBOX_LOCK_H

#include <sys/types.h>

#include <stdbool.h>

#include "base/err.h"

struct mbox_dotlock;

enum mbox_dotlock_answer {
	MBOX_DOTLOCK_HELD,		/* it is ours */
	MBOX_DOTLOCK_BUSY,		/* somebody else's (errno EEXIST) */
	MBOX_DOTLOCK_ERROR		/* it cannot be made: *<err>, errno (ENOENT ENAMETOOLONG EACCES ENOSPC EROFS ...) */
};

/*
 * One try to make <path> (the lock file's own name).  One that was made more than <stale_s> seconds ago (0: never) by the file
 * system's clock is removed first, *<broken> (may be NULL) tells.  The file is empty or holds the pid (<pid>).
 * Symbolic links at <path> are never followed.
 */
enum mbox_dotlock_answer mbox_dotlock_try(struct mbox_dotlock **lp, const char *path, mode_t mode, int stale_s, bool pid,
	     bool *broken, struct err *err);
/* The same, up to 1 + <retries> (-1: for ever) tries with <sleep_ms> between; BUSY when all were in vain. */
enum mbox_dotlock_answer mbox_dotlock_wait(struct mbox_dotlock **lp, const char *path, mode_t mode, int stale_s, bool pid,
	     int retries, int sleep_ms, struct err *err);
/* Remove it, unless somebody broke it and it is another's now. */
void	 mbox_dotlock_free(struct mbox_dotlock **lp);
const char *mbox_dotlock_path(const struct mbox_dotlock *l);

/*
 * Whole-file write lock on <fd> by fcntl or flock.  <timeout_s> 0: one try without waiting; else wait so long.  0; -1 and
 * errno (EAGAIN: held by another).
 */
int	 mbox_lock_fcntl(int fd, int timeout_s);
int	 mbox_lock_flock(int fd, int timeout_s);
/* The MBX lock of <fd>: opens and locks /tmp/.DEV.INODE; the descriptor to be closed with the file, -1 with errno. */
int	 mbox_lock_mbx(int fd, mode_t mode);

#endif
