/* SPDX-License-Identifier: BSD-2-Clause */
/* Files: whole reads and atomic writes, directories, locks, free space, the barrier. */
#ifndef VPOST_OS_FILE_H
#define VPOST_OS_FILE_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"

struct stat;

/*
 * Replace <path> by <bytes>: temporary file beside it, fsync, rename, fsync of the directory.
 * Afterwards the file is on disk; on failure the old one stands and nothing is left behind.
 */
int	 os_write_atomic(const char *path, struct sv bytes, mode_t mode, struct err *err);
/* The same without the two fsyncs, for files that a crash may lose (pid files, caches). */
int	 os_write_replace(const char *path, struct sv bytes, mode_t mode, struct err *err);
/* Append all of <path> to <out>; more than <limit> bytes is an error (PERM).  errno is that of open(2) on failure. */
int	 os_read_file(const char *path, size_t limit, struct sb *out, struct err *err);
/* Make <path> and what leads to it; new directories get <mode> (the umask does not count). */
int	 os_mkdir_p(const char *path, mode_t mode, struct err *err);
/*
 * Ask that directories made in <dirfd> be placed far from each other.  ext4 passes over inodes that were freed in the last
 * minutes, one by one, at each create in their neighbourhood: 20 us become 900 us where 5,000 files were just removed.
 */
void	 os_dir_spread(int dirfd);
/*
 * mkdirat(2) in such a directory, <name> up to 200 bytes, mode 0700.  Where the making itself takes long, the place is one
 * of those: a few others (NAME~1 ...) are tried and the quickest stays.  A crash may leave empty directories of such names.
 * -1 with errno (EEXIST as of mkdir).
 */
int	 os_mkdir_spread(int dirfd, const char *name);
int	 os_fsync_dir(const char *path, struct err *err);
/* fsync the directory that holds <path>. */
int	 os_fsync_parent(const char *path, struct err *err);

/* All <n> bytes, over EINTR and short counts; -1 with errno.  A read that meets the end gives what was there. */
ssize_t	 os_read_full(int fd, void *p, size_t n);
ssize_t	 os_pread_full(int fd, void *p, size_t n, off_t off);
ssize_t	 os_write_full(int fd, const void *p, size_t n);
ssize_t	 os_pwrite_full(int fd, const void *p, size_t n, off_t off);
/* Copy <n> bytes inside the kernel where it can; -1 with errno (EIO when <in> ended early). */
int	 os_copy_range(int in, off_t inoff, int out, off_t outoff, size_t n);
/* Reserve disk blocks for [0, size) and make the file that long, reading as zeroes; -1 with errno. */
int	 os_preallocate(int fd, off_t size);

/*
 * The barrier: everything written to the file system of <dir> before os_barrier() began is on
 * disk when it returned 0.  Open it before the first write, so that no write error is missed;
 * an error is reported once (by the next os_barrier) and means that anything since the last
 * good barrier may be lost.  Blocks: call it from fiber_offload.
 */
struct os_barrier;
struct os_barrier *os_barrier_open(const char *dir, struct err *err);
int	 os_barrier(struct os_barrier *b, struct err *err);
void	 os_barrier_close(struct os_barrier **bp);

/*
 * Who may look at <path>, which is closed to us: *<st> is that of the last on the way there that we see.  False: nothing is closed, or
 * that is root's or ours.
 */
bool	 os_closed_owner(const char *path, struct stat *st);

/* Bytes that this process may still write to the file system of <path>; *<total> (may be NULL) its size; -1 with errno. */
int64_t	 os_free_space(const char *path, int64_t *total);

enum os_lock { OS_LOCK_SHARED, OS_LOCK_EXCLUSIVE, OS_LOCK_NONE };
/*
 * flock(2) on <fd>, trying for <timeout_ms> (0: once).  Return 0, or -1 with TEMP and errno
 * EWOULDBLOCK when somebody else holds it.  Sleeps the thread: not on the loop unless 0.
 */
int	 os_flock(int fd, enum os_lock kind, int timeout_ms, struct err *err);
/*
 * An exclusive lock by fcntl(2) on the first <len> bytes of <fd>, open for writing, which holds until that is closed; -1 with errno,
 * EAGAIN where another process has one.  Without locks of open files (Linux has them) any close of that file ends it.
 */
int	 os_lock_head(int fd, off_t len);

/*
 * Mark the file behind <fd> as this process's, until it closes any descriptor of that file or ends; children have no part in
 * it.  os_owner() is the process that did so: the kernel's word, whatever the file says; 0 if there is none.
 */
int	 os_own(int fd, struct err *err);
pid_t	 os_owner(int fd);

#endif
