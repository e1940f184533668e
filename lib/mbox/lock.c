/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks on mailbox files.  A dot lock is made under a name of its own (the hitching post) and
 * linked to the lock's name: link(2) is atomic where O_EXCL once was not.  A stale lock is moved
 * away before it is removed, so that a fresh one that came between is seen and put back.
 */
#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/sb.h"
#include "mbox/lock.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/time.h"

#define POLL_MS	100

struct mbox_dotlock {
	char		*path;
	dev_t		 dev;
	ino_t		 ino;
};

/* A name beside <path> that nobody else uses. */
static char *
post_name(const char *path, const char *kind)
{
	static unsigned counter;
	struct sb name = SB_INIT(8192);
	const char *slash = strrchr(path, '/');
	char host[256];

	os_hostname(host, sizeof(host));
	host[sizeof(host) - 1] = '\0';
	host[strcspn(host, "./")] = '\0';
	if (slash != NULL)
		sb_addn(&name, path, (size_t)(slash - path) + 1);
	sb_addf(&name, "%s%llx.%.32s.%lx.%x", kind, (unsigned long long)os_wall_us(), host, (unsigned long)getpid(),
	    counter++ & 0xffff);
	return (sb_steal(&name, NULL));
}

static int
make_post(const char *post, mode_t mode, bool pid, struct stat *st)
{
	int fd = open(post, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	char text[32];
	int n, e;

	if (fd == -1)
		return (-1);
	n = pid ? snprintf(text, sizeof(text), "%ld\n", (long)getpid()) : 0;
	if ((n > 0 && os_write_full(fd, text, (size_t)n) != n) || fchmod(fd, mode) == -1 || fstat(fd, st) == -1) {
		e = errno == 0 ? EIO : errno;
		(void)close(fd);
		(void)unlink(post);
		errno = e;
		return (-1);
	}
	(void)close(fd);
	return (0);
}

/* Remove a lock that is older than <stale_s>; <now> is the file system's time.  True if it is gone. */
static bool
break_stale(const char *path, int stale_s, time_t now)
{
	struct stat old, moved;
	char *aside;
	bool ours = false;

	if (stale_s <= 0 || lstat(path, &old) == -1 || now - old.st_mtime <= stale_s)
		return (false);
	aside = post_name(path, ".stale.");
	if (rename(path, aside) == 0) {
		ours = lstat(aside, &moved) == 0 && moved.st_ino == old.st_ino && moved.st_dev == old.st_dev &&
		    now - moved.st_mtime > stale_s;
		if (!ours)
			(void)!link(aside, path);
		(void)unlink(aside);
	}
	free(aside);
	return (ours);
}

static enum mbox_dotlock_answer
link_post(struct mbox_dotlock **lp, const char *post, const char *path, const struct stat *st, int *e)
{
	struct stat now;
	int rc = link(post, path);
	struct mbox_dotlock *l;

	*e = rc == -1 ? errno : 0;
	/* NFS may lose the answer of a link that worked: two names tell. */
	if (rc == -1 && !(stat(post, &now) == 0 && now.st_nlink == 2))
		return (*e == EEXIST ? MBOX_DOTLOCK_BUSY : MBOX_DOTLOCK_ERROR);
	l = xcalloc(1, sizeof(*l));
	l->path = xstrdup(path);
	l->dev = st->st_dev;
	l->ino = st->st_ino;
	*lp = l;
	return (MBOX_DOTLOCK_HELD);
}

enum mbox_dotlock_answer
mbox_dotlock_try(struct mbox_dotlock **lp, const char *path, mode_t mode, int stale_s, bool pid, bool *broken,
    struct err *err)
{
	enum mbox_dotlock_answer r = MBOX_DOTLOCK_ERROR;
	char *post = post_name(path, ".lk");
	struct stat st;
	int e;

	*lp = NULL;
	if (broken != NULL)
		*broken = false;
	if (make_post(post, mode == 0 ? 0600 : mode, pid, &st) == -1) {
		e = errno;
		err_sys(err, "make lock file %s", path);
	} else {
		r = link_post(lp, post, path, &st, &e);
		if (r == MBOX_DOTLOCK_BUSY && break_stale(path, stale_s, st.st_mtime)) {
			if (broken != NULL)
				*broken = true;
			r = link_post(lp, post, path, &st, &e);
		}
		(void)unlink(post);
		errno = e;
		if (r != MBOX_DOTLOCK_HELD)
			err_sys(err, "lock file %s", path);
	}
	free(post);
	errno = e;
	return (r);
}

enum mbox_dotlock_answer
mbox_dotlock_wait(struct mbox_dotlock **lp, const char *path, mode_t mode, int stale_s, bool pid, int retries, int sleep_ms,
    struct err *err)
{
	for (int i = 0;; i++) {
		enum mbox_dotlock_answer r = mbox_dotlock_try(lp, path, mode, stale_s, pid, NULL, err);

		if (r != MBOX_DOTLOCK_BUSY || (retries >= 0 && i >= retries)) {
			if (r == MBOX_DOTLOCK_HELD)
				err_clear(err);
			return (r);
		}
		os_sleep_ms(sleep_ms > 0 ? sleep_ms : 1);
	}
}

void
mbox_dotlock_free(struct mbox_dotlock **lp)
{
	struct mbox_dotlock *l = *lp;
	struct stat st;

	if (l == NULL)
		return;
	if (lstat(l->path, &st) == 0 && st.st_ino == l->ino && st.st_dev == l->dev)
		(void)unlink(l->path);
	free(l->path);
	free(l);
	*lp = NULL;
}

const char *
mbox_dotlock_path(const struct mbox_dotlock *l)
{
	return (l->path);
}

static int
lock_fcntl(int fd, short type)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET };

	return (fcntl(fd, F_SETLK, &fl));
}

static int
lock_until(int (*try_it)(int fd), int fd, int timeout_s)
{
	int64_t end = os_mono_ms() + (int64_t)timeout_s * 1000;

	for (;;) {
		if (try_it(fd) == 0)
			return (0);
		if (errno == EACCES || errno == EWOULDBLOCK)
			errno = EAGAIN;
		if ((errno != EAGAIN && errno != EINTR) || os_mono_ms() >= end)
			return (-1);
		os_sleep_ms(POLL_MS);
	}
}

static int
try_fcntl(int fd)
{
	return (lock_fcntl(fd, F_WRLCK));
}

static int
try_flock(int fd)
{
	return (flock(fd, LOCK_EX | LOCK_NB));
}

int
mbox_lock_fcntl(int fd, int timeout_s)
{
	return (lock_until(try_fcntl, fd, timeout_s));
}

int
mbox_lock_flock(int fd, int timeout_s)
{
	return (lock_until(try_flock, fd, timeout_s));
}

int
mbox_lock_mbx(int fd, mode_t mode)
{
	struct stat st, lst, fst;
	char name[80];
	int lfd, e;

	if (fstat(fd, &st) == -1)
		return (-1);
	(void)snprintf(name, sizeof(name), "/tmp/.%lx.%lx", (unsigned long)st.st_dev, (unsigned long)st.st_ino);
	lfd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, mode);
	if (lfd == -1)
		return (-1);
	/* In a folder where everybody may make files: a link to something else, or a second name, is no lock of ours. */
	if (fstat(lfd, &fst) == -1 || lstat(name, &lst) == -1 || fst.st_ino != lst.st_ino || fst.st_dev != lst.st_dev ||
	    !S_ISREG(fst.st_mode) || fst.st_nlink != 1) {
		(void)close(lfd);
		errno = EPERM;
		return (-1);
	}
	if (lock_fcntl(lfd, F_WRLCK) == -1) {
		e = errno == EACCES ? EAGAIN : errno;
		(void)close(lfd);
		errno = e;
		return (-1);
	}
	return (lfd);
}
