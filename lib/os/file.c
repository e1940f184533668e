/* SPDX-License-Identifier: BSD-2-Clause */
/* Files: see file.h. */
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#ifdef __linux__
#include <sys/ioctl.h>

#include <linux/fs.h>
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "os/file.h"
#include "os/time.h"

static int
open_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL ? xstrdup(".") : slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), e = errno;

	free(dir);
	errno = e;
	return (fd);
}

void
os_dir_spread(int dirfd)
{
#ifdef __linux__
	int flags;

	if (ioctl(dirfd, FS_IOC_GETFLAGS, &flags) == 0) {
		flags |= FS_TOPDIR_FL;
		(void)ioctl(dirfd, FS_IOC_SETFLAGS, &flags);
	}
#else
	(void)dirfd;
#endif
}

#define SPREAD_TRIES	6
#define SPREAD_QUICK_US	60	/* 15 to 30 are usual */

/* mkdirat(2), and the processor time it took. */
static int
mkdir_timed(int dirfd, const char *name, int64_t *us)
{
	int64_t t = os_thread_us();
	int rc = mkdirat(dirfd, name, 0700);

	*us = os_thread_us() - t;
	return (rc);
}

int
os_mkdir_spread(int dirfd, const char *name)
{
	char other[256];
	int64_t us, least;
	int n, best = 0;

	if (mkdir_timed(dirfd, name, &least) == -1)
		return (-1);
	/* The slow ones stay until the end: where they are no other is put. */
	for (n = 1; n < SPREAD_TRIES && least > SPREAD_QUICK_US; n++) {
		(void)snprintf(other, sizeof(other), "%.200s~%d", name, n);
		if (mkdir_timed(dirfd, other, &us) == -1 && errno != EEXIST)
			break;
		if (us < least) {
			least = us;
			best = n;
		}
	}
	for (int i = 1; i < n; i++) {
		(void)snprintf(other, sizeof(other), "%.200s~%d", name, i);
		/* An empty directory is replaced in one step. */
		if (i != best || renameat(dirfd, other, dirfd, name) == -1)
			(void)unlinkat(dirfd, other, AT_REMOVEDIR);
	}
	return (0);
}

int
os_fsync_dir(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd == -1)
		return (err_sys(err, "open %s", path));
	rc = fsync(fd) == -1 ? err_sys(err, "fsync %s", path) : 0;
	(void)close(fd);
	return (rc);
}

int
os_fsync_parent(const char *path, struct err *err)
{
	int fd = open_parent(path), rc;

	if (fd == -1)
		return (err_sys(err, "open the directory of %s", path));
	rc = fsync(fd) == -1 ? err_sys(err, "fsync the directory of %s", path) : 0;
	(void)close(fd);
	return (rc);
}

static int
write_new(const char *path, struct sv bytes, mode_t mode, bool durable, struct err *err)
{
	static unsigned count;
	char tmp[4096];
	int fd, n;

	do {
		unsigned k = __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);

		n = snprintf(tmp, sizeof(tmp), "%s.%ld.%u.tmp", path, (long)getpid(), k);
		if (n < 0 || (size_t)n >= sizeof(tmp))
			return (err_set(err, ERR_PERM, NULL, "%s: file name too long", path));
		fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	} while (fd == -1 && errno == EEXIST);
	if (fd == -1)
		return (err_sys(err, "create %s", tmp));
	if (os_write_full(fd, bytes.p, bytes.len) == -1) {
		(void)err_sys(err, "write %s", tmp);
		goto fail;
	}
	if (fchmod(fd, mode) == -1 || (durable && fsync(fd) == -1)) {
		(void)err_sys(err, "fsync %s", tmp);
		goto fail;
	}
	if (rename(tmp, path) == -1) {
		(void)err_sys(err, "rename %s to %s", tmp, path);
		goto fail;
	}
	(void)close(fd);
	return (durable ? os_fsync_parent(path, err) : 0);
fail:
	(void)unlink(tmp);
	(void)close(fd);
	return (-1);
}

int
os_write_atomic(const char *path, struct sv bytes, mode_t mode, struct err *err)
{
	return (write_new(path, bytes, mode, true, err));
}

int
os_write_replace(const char *path, struct sv bytes, mode_t mode, struct err *err)
{
	return (write_new(path, bytes, mode, false, err));
}

int
os_read_file(const char *path, size_t limit, struct sb *out, struct err *err)
{
	struct stat st;
	size_t got = 0, want, max;
	ssize_t n;
	char one;
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = -1;

	if (fd == -1)
		return (err_sys(err, "open %s", path));
	want = fstat(fd, &st) == 0 && st.st_size > 0 && (size_t)st.st_size < limit ? (size_t)st.st_size + 1 : 4096;
	for (;;) {
		max = limit - got < out->max - out->len ? limit - got : out->max - out->len;
		if (want > max)
			want = max;
		n = want == 0 ? os_read_full(fd, &one, 1) : os_read_full(fd, sb_room(out, want), want);
		if (n == -1) {
			(void)err_sys(err, "read %s", path);
			goto out;
		}
		if (want == 0 && n > 0) {
			(void)err_set(err, ERR_PERM, NULL, "%s: more than %zu bytes", path, limit);
			goto out;
		}
		if (want != 0)
			sb_took(out, (size_t)n);
		got += (size_t)n;
		if (want == 0 || (size_t)n < want)
			break;
		want = 65536;
	}
	rc = 0;
out:
	(void)close(fd);
	return (rc);
}

static int
mkdir_mode(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return (chmod(path, mode));
	if (errno == EEXIST && stat(path, &st) == 0) {
		errno = ENOTDIR;
		return (S_ISDIR(st.st_mode) ? 0 : -1);
	}
	return (-1);
}

int
os_mkdir_p(const char *path, mode_t mode, struct err *err)
{
	char *copy = xstrdup(path);
	int rc = 0;

	for (char *p = copy + 1; rc == 0 && *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir_mode(copy, mode) == -1)
			rc = err_sys(err, "mkdir %s", copy);
		*p = '/';
	}
	if (rc == 0 && mkdir_mode(copy, mode) == -1)
		rc = err_sys(err, "mkdir %s", copy);
	free(copy);
	return (rc);
}

ssize_t
os_read_full(int fd, void *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t k = read(fd, (char *)p + done, n - done);

		if (k == -1 && errno == EINTR)
			continue;
		if (k == -1)
			return (-1);
		if (k == 0)
			break;
		done += (size_t)k;
	}
	return ((ssize_t)done);
}

ssize_t
os_pread_full(int fd, void *p, size_t n, off_t off)
{
	size_t done = 0;

	while (done < n) {
		ssize_t k = pread(fd, (char *)p + done, n - done, off + (off_t)done);

		if (k == -1 && errno == EINTR)
			continue;
		if (k == -1)
			return (-1);
		if (k == 0)
			break;
		done += (size_t)k;
	}
	return ((ssize_t)done);
}

ssize_t
os_write_full(int fd, const void *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t k = write(fd, (const char *)p + done, n - done);

		if (k == -1 && errno == EINTR)
			continue;
		if (k == -1)
			return (-1);
		done += (size_t)k;
	}
	return ((ssize_t)done);
}

ssize_t
os_pwrite_full(int fd, const void *p, size_t n, off_t off)
{
	size_t done = 0;

	while (done < n) {
		ssize_t k = pwrite(fd, (const char *)p + done, n - done, off + (off_t)done);

		if (k == -1 && errno == EINTR)
			continue;
		if (k == -1)
			return (-1);
		done += (size_t)k;
	}
	return ((ssize_t)done);
}

/* Through a buffer, for file systems between which the kernel does not copy. */
static int
copy_slow(int in, off_t inoff, int out, off_t outoff, size_t n)
{
	char *buf = xmalloc(65536);
	int rc = 0;

	while (n > 0 && rc == 0) {
		size_t want = n < 65536 ? n : 65536;
		ssize_t k = os_pread_full(in, buf, want, inoff);

		if (k >= 0 && (size_t)k < want) {
			errno = EIO;
			rc = -1;
		} else if (k == -1 || os_pwrite_full(out, buf, want, outoff) == -1) {
			rc = -1;
		}
		inoff += (off_t)want;
		outoff += (off_t)want;
		n -= want;
	}
	free(buf);
	return (rc);
}

int
os_copy_range(int in, off_t inoff, int out, off_t outoff, size_t n)
{
#if defined(__linux__) || defined(__FreeBSD__)
	/* A small copy through memory is one read and one write, which no sharing of blocks beats. */
	while (n > 65536) {
		ssize_t k = copy_file_range(in, &inoff, out, &outoff, n, 0);

		if (k == -1 && errno == EINTR)
			continue;
		if (k <= 0)
			break;
		n -= (size_t)k;
	}
#endif
	return (n == 0 ? 0 : copy_slow(in, inoff, out, outoff, n));
}

int
os_preallocate(int fd, off_t size)
{
	int rc;

	do
		rc = posix_fallocate(fd, 0, size);
	while (rc == EINTR);
	if (rc == 0)
		return (0);
	if (rc == EINVAL || rc == EOPNOTSUPP)	/* ZFS and some network file systems */
		return (ftruncate(fd, size));
	errno = rc;
	return (-1);
}

struct os_barrier {
	int	 fd;
	char	*dir;
};

struct os_barrier *
os_barrier_open(const char *dir, struct err *err)
{
	struct os_barrier *b;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1) {
		(void)err_sys(err, "open %s", dir);
		return (NULL);
	}
	b = xcalloc(1, sizeof(*b));
	b->fd = fd;
	b->dir = xstrdup(dir);
	return (b);
}

int
os_barrier(struct os_barrier *b, struct err *err)
{
#ifdef __linux__
	if (syncfs(b->fd) == -1)
		return (err_sys(err, "syncfs %s", b->dir));
#else
	/* sync(2) is all that remains; it tells no errors. */
	sync();
#endif
	return (0);
}

void
os_barrier_close(struct os_barrier **bp)
{
	if (*bp == NULL)
		return;
	(void)close((*bp)->fd);
	free((*bp)->dir);
	free(*bp);
	*bp = NULL;
}

int64_t
os_free_space(const char *path, int64_t *total)
{
	struct statvfs sf;

	if (statvfs(path, &sf) == -1)
		return (-1);
	if (total != NULL)
		*total = (int64_t)sf.f_blocks * (int64_t)sf.f_frsize;
	return ((int64_t)(geteuid() == 0 ? sf.f_bfree : sf.f_bavail) * (int64_t)sf.f_frsize);
}

int
os_own(int fd, struct err *err)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return (fcntl(fd, F_SETLK, &l) == -1 ? err_sys(err, "lock") : 0);
}

pid_t
os_owner(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return (fcntl(fd, F_GETLK, &l) == -1 || l.l_type == F_UNLCK || l.l_pid < 0 ? 0 : l.l_pid);
}

int
os_lock_head(int fd, off_t len)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = len };
#ifdef F_OFD_SETLK
	int rc = fcntl(fd, F_OFD_SETLK, &lock);
#else
	int rc = fcntl(fd, F_SETLK, &lock);
#endif

	if (rc == -1 && errno == EACCES)
		errno = EAGAIN;
	return (rc == -1 ? -1 : 0);
}

int
os_flock(int fd, enum os_lock kind, int timeout_ms, struct err *err)
{
	int op = kind == OS_LOCK_NONE ? LOCK_UN : kind == OS_LOCK_SHARED ? LOCK_SH : LOCK_EX;
	int64_t end = os_mono_ms() + timeout_ms;
	int pause = 1;

	for (;;) {
		if (flock(fd, op | LOCK_NB) == 0)
			return (0);
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return (err_sys(err, "flock"));
		if (os_mono_ms() >= end) {
			errno = EWOULDBLOCK;
			return (err_set(err, ERR_TEMP, NULL, "another process holds the lock"));
		}
		os_sleep_ms(pause);
		if (pause < 20)
			pause *= 2;
	}
}

bool
os_closed_owner(const char *path, struct stat *st)
{
	char dir[4096];
	struct stat here;
	bool any = false;

	if (strlen(path) >= sizeof(dir) || path[0] != '/')
		return (false);
	for (const char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
		(void)snprintf(dir, sizeof(dir), "%.*s", slash == NULL ? (int)strlen(path) : (int)(slash - path), path);
		if (stat(dir, &here) == -1) {
			if (errno != EACCES)
				return (false);
			break;
		}
		*st = here;
		any = true;
		if (slash == NULL)
			break;
	}
	return (any && st->st_uid != 0 && st->st_uid != geteuid());
}
