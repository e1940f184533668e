/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Appending to a file, in the order of chapter 26.3 of Exim's manual: dot lock, look at what is
 * there, open, look whether it is still the same, lock, look at the quota, write, sync.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/sb.h"
#include "mbox/lock.h"
#include "mbox/mbox.h"
#include "mbox/mbox_int.h"
#include "os/file.h"
#include "os/time.h"

#define RACES_MAX	10
#define MBX_HEADER	2048

struct box {
	const struct mbox_file *m;
	struct mbox_result *r;
	struct err	*err;
	struct mbox_dotlock *dot;
	int		 fd, mbx_fd;
	struct stat	 st;
	bool		 created;
	bool		 special;	/* FIFO or device */
};

int
mbox_fail(struct mbox_result *r, struct err *err, enum mbox_why why, int sys, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->why = why;
	r->sys = sys;
	errno = sys;
	if (why == MBOX_WHY_ERRNO)
		err_sys(err, "%s", text);
	else
		err_set(err, ERR_TEMP, why == MBOX_WHY_QUOTA ? "4.2.2" : "4.2.0", "%s", text);
	if (err != NULL && (sys == ENOSPC || sys == EFBIG))
		memcpy(err->status, "4.3.1", sizeof("4.3.1"));
	if (err != NULL && (sys == EDQUOT))
		memcpy(err->status, "4.2.2", sizeof("4.2.2"));
	if (sys == EDQUOT)
		r->quota = true;
	if (sys == ENAMETOOLONG && err != NULL) {
		err->cls = ERR_PERM;
		memcpy(err->status, "5.3.0", sizeof("5.3.0"));
	}
	return (-1);
}

/* ---- opening ---- */

static int
check_link(struct box *b)
{
	const struct mbox_file *m = b->m;
	struct stat st;

	if (lstat(m->path, &st) == -1 || !S_ISLNK(st.st_mode))
		return (0);
	/* One that another made may lead anywhere. */
	if ((m->flags & MBOX_CHECK_OWNER) && st.st_uid != m->owner)
		return (mbox_fail(b->r, b->err, MBOX_WHY_OWNER, EPERM, "mailbox %s (symlink) has wrong uid (%lu != %lu)",
		    m->path, (unsigned long)st.st_uid, (unsigned long)m->owner));
	if (!(m->flags & MBOX_ALLOW_SYMLINK))
		return (mbox_fail(b->r, b->err, MBOX_WHY_KIND, ELOOP, "mailbox %s is not a regular file", m->path));
	return (0);
}

static int
check_kind(struct box *b)
{
	const struct mbox_file *m = b->m;

	b->special = !S_ISREG(b->st.st_mode);
	if ((S_ISFIFO(b->st.st_mode) && (m->flags & MBOX_ALLOW_FIFO)) || (S_ISCHR(b->st.st_mode) && (m->flags & MBOX_ALLOW_DEVICE)))
		return (0);
	if (b->special)
		return (mbox_fail(b->r, b->err, MBOX_WHY_KIND, EINVAL, "mailbox %s is not a regular file%s", m->path,
		    m->flags & MBOX_ALLOW_FIFO ? " or named pipe" : ""));
	if (b->st.st_nlink > 1 && !(m->flags & MBOX_ALLOW_LINKS))
		return (mbox_fail(b->r, b->err, MBOX_WHY_KIND, EMLINK, "mailbox %s has too many links (%lu)", m->path,
		    (unsigned long)b->st.st_nlink));
	return (0);
}

static int
check_owner(struct box *b)
{
	const struct mbox_file *m = b->m;

	if ((m->flags & MBOX_CHECK_OWNER) && b->st.st_uid != m->owner)
		return (mbox_fail(b->r, b->err, MBOX_WHY_OWNER, EPERM, "mailbox %s has wrong uid (%lu != %lu)", m->path,
		    (unsigned long)b->st.st_uid, (unsigned long)m->owner));
	if ((m->flags & MBOX_CHECK_GROUP) && b->st.st_gid != m->group)
		return (mbox_fail(b->r, b->err, MBOX_WHY_OWNER, EPERM, "mailbox %s has wrong gid (%lu != %lu)", m->path,
		    (unsigned long)b->st.st_gid, (unsigned long)m->group));
	return (0);
}

static int
check_mode(struct box *b)
{
	const struct mbox_file *m = b->m;
	mode_t want = m->mode == 0 ? 0600 : m->mode, have = b->st.st_mode & 07777;

	if (!(m->flags & MBOX_CHECK_MODE) || b->special || have == want)
		return (0);
	if ((have & ~want) != 0) {
		if (fchmod(b->fd, have & want) == -1)
			return (mbox_fail(b->r, b->err, MBOX_WHY_ERRNO, errno, "attempting to chmod mailbox %s", m->path));
		have &= want;
	}
	if (have != want && (m->flags & MBOX_FAIL_NARROWER))
		return (mbox_fail(b->r, b->err, MBOX_WHY_MODE, EPERM, "mailbox %s has the wrong mode %o (%o expected)", m->path,
		    (unsigned)have, (unsigned)want));
	return (0);
}

static int
open_flags(const struct mbox_file *m)
{
	return ((m->flags & MBOX_MBX_FORMAT ? O_RDWR : O_WRONLY | O_APPEND) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC |
	    (m->flags & MBOX_ALLOW_SYMLINK ? 0 : O_NOFOLLOW));
}

static int
make_folders(struct box *b)
{
	const struct mbox_file *m = b->m;
	const char *slash = strrchr(m->path, '/');
	struct err why = ERR_INIT;
	struct stat st;
	char dir[4096];

	if (!(m->flags & MBOX_CREATE_DIR) || slash == NULL || slash == m->path || stat(m->path, &st) == 0)
		return (0);
	memcpy(dir, m->path, (size_t)(slash - m->path));
	dir[slash - m->path] = '\0';
	if (stat(dir, &st) == -1 && os_mkdir_p(dir, m->dir_mode == 0 ? 0700 : m->dir_mode, &why) == -1)
		return (mbox_fail(b->r, b->err, MBOX_WHY_ERRNO, errno, "failed to create directories for %s: %s", m->path,
		    strerror(errno)));
	return (0);
}

/* 0: opened; 1: it came into being meanwhile, look again; -1. */
static int
create(struct box *b)
{
	const struct mbox_file *m = b->m;
	mode_t mode = m->mode == 0 ? 0600 : m->mode;
	bool link = false;
	struct stat st;

	if (!(m->flags & MBOX_CREATE))
		return (mbox_fail(b->r, b->err, MBOX_WHY_ERRNO, ENOENT,
		    "mailbox %s does not exist, but file_must_exist is set", m->path));
	/* A link to a file that does not exist: O_EXCL would refuse it. */
	link = (m->flags & MBOX_ALLOW_SYMLINK) && lstat(m->path, &st) == 0 && S_ISLNK(st.st_mode);
	b->fd = open(m->path, open_flags(m) | O_CREAT | (link ? 0 : O_EXCL), mode);
	if (b->fd == -1) {
		if (errno == EEXIST)
			return (1);
		return (mbox_fail(b->r, b->err, MBOX_WHY_ERRNO, errno, "while creating mailbox %s", m->path));
	}
	if (fchmod(b->fd, mode) == -1 || fstat(b->fd, &b->st) == -1)
		return (mbox_fail(b->r, b->err, MBOX_WHY_ERRNO, errno, "while creating mailbox %s", m->path));
	b->created = true;
	return (0);
}

static int
open_file(struct box *b)
{
	const struct mbox_file *m = b->m;

	for (int i = 0; i < RACES_MAX; i++) {
		struct stat now;
		int rc;

		if (check_link(b) == -1)
			return (-1);
		b->fd = open(m->path, open_flags(m));
		if (b->fd == -1 && errno == ENOENT) {
			if ((rc = create(b)) == 1)
				continue;
			return (rc);
		}
		if (b->fd == -1 && (errno == ELOOP || errno == EISDIR || errno == ENXIO))
			return (mbox_fail(b->r, b->err, MBOX_WHY_KIND, errno, "mailbox %s is not a regular file", m->path));
		/* Whose it is says more than that it cannot be opened. */
		if (b->fd == -1 && errno == EACCES && stat(m->path, &b->st) == 0 && check_owner(b) == -1)
			return (-1);
		if (b->fd == -1)
			return (mbox_fail(b->r, b->err, MBOX_WHY_ERRNO, errno, "while opening mailbox %s", m->path));
		if (fstat(b->fd, &b->st) == -1)
			return (mbox_fail(b->r, b->err, MBOX_WHY_ERRNO, errno, "while opening mailbox %s", m->path));
		if (check_kind(b) == -1 || check_owner(b) == -1 || check_mode(b) == -1)
			return (-1);
		/* What the name means now must be what we hold. */
		if (stat(m->path, &now) == -1 || now.st_ino != b->st.st_ino || now.st_dev != b->st.st_dev) {
			(void)close(b->fd);
			b->fd = -1;
			continue;
		}
		return (0);
	}
	return (mbox_fail(b->r, b->err, MBOX_WHY_RACE, ESTALE, "mailbox %s: existence unclear", m->path));
}

/* ---- locking ---- */

static int
lock_file(struct box *b, bool *again)
{
	const struct mbox_file *m = b->m;
	const char *what = "fcntl";
	int rc = 0;

	*again = false;
	if (b->special)
		return (0);
	if (m->flags & MBOX_LOCK_FCNTL)
		rc = mbox_lock_fcntl(b->fd, m->fcntl_timeout_s);
	if (rc == 0 && (m->flags & MBOX_LOCK_FLOCK)) {
		what = "flock";
		rc = mbox_lock_flock(b->fd, m->flock_timeout_s);
	}
	if (rc == 0 && (m->flags & MBOX_LOCK_MBX)) {
		what = "mbx";
		if ((b->mbx_fd = mbox_lock_mbx(b->fd, m->dotlock_mode == 0 ? 0600 : m->dotlock_mode)) == -1)
			rc = -1;
	}
	if (rc == 0)
		return (0);
	*again = errno == EAGAIN;
	return (mbox_fail(b->r, b->err, *again ? MBOX_WHY_LOCKED : MBOX_WHY_ERRNO, errno, "failed to lock mailbox %s (%s)",
	    m->path, what));
}

/* With a timeout inside the calls fewer tries are left, as chapter 26.3 counts them. */
static int
tries(const struct mbox_file *m)
{
	int t = m->fcntl_timeout_s > m->flock_timeout_s ? m->fcntl_timeout_s : m->flock_timeout_s;

	if (t <= 0)
		return (1 + (m->lock_retries < 0 ? 0 : m->lock_retries));
	return ((m->lock_retries * m->lock_interval_s + t - 1) / t > 1 ? (m->lock_retries * m->lock_interval_s + t - 1) / t : 1);
}

static void
close_file(struct box *b)
{
	if (b->fd != -1)
		(void)close(b->fd);
	if (b->mbx_fd != -1)
		(void)close(b->mbx_fd);
	b->fd = b->mbx_fd = -1;
}

static int
open_locked(struct box *b)
{
	int n = tries(b->m);
	bool again;

	for (int i = 0; i < n; i++) {
		if (i > 0 && b->m->fcntl_timeout_s <= 0 && b->m->flock_timeout_s <= 0)
			os_sleep_ms(b->m->lock_interval_s * 1000);
		if (open_file(b) == -1)
			return (-1);
		if (lock_file(b, &again) == 0) {
			struct stat now;

			/* Who held it may have put another file in its place. */
			if (b->special || (stat(b->m->path, &now) == 0 && now.st_ino == b->st.st_ino && now.st_dev == b->st.st_dev))
				return (fstat(b->fd, &b->st) == -1 ?
				    mbox_fail(b->r, b->err, MBOX_WHY_ERRNO, errno, "stat mailbox %s", b->m->path) : 0);
			(void)mbox_fail(b->r, b->err, MBOX_WHY_CHANGED, ESTALE, "mailbox %s changed while it was opened", b->m->path);
			again = true;
		}
		close_file(b);
		if (!again)
			return (-1);
	}
	return (-1);
}

static int
dot_lock(struct box *b)
{
	const struct mbox_file *m = b->m;
	struct sb name = SB_INIT(8192);
	enum mbox_dotlock_answer a;
	int rc = 0;

	if (!(m->flags & MBOX_LOCK_DOT))
		return (0);
	if (m->dotlock != NULL)
		sb_adds(&name, m->dotlock);
	else
		sb_addf(&name, "%s.lock", m->path);
	a = mbox_dotlock_wait(&b->dot, sb_cstr(&name), m->dotlock_mode, m->dotlock_stale_s, false,
	    m->lock_retries < 0 ? 0 : m->lock_retries, m->lock_interval_s * 1000, b->err);
	if (a == MBOX_DOTLOCK_BUSY)
		rc = mbox_fail(b->r, b->err, MBOX_WHY_LOCKED, EAGAIN, "failed to lock mailbox %s (lock file)", m->path);
	else if (a == MBOX_DOTLOCK_ERROR && (m->flags & MBOX_DOT_OPTIONAL) &&
	    (errno == EACCES || errno == EPERM || errno == EROFS || errno == ENAMETOOLONG))
		err_clear(b->err);
	else if (a == MBOX_DOTLOCK_ERROR)
		rc = mbox_fail(b->r, b->err, MBOX_WHY_ERRNO, errno, "creating lock file hitching post for %s", sb_cstr(&name));
	sb_free(&name);
	return (rc);
}

/* ---- writing ---- */

static int
check_quota(struct box *b, const struct mbox_content *c, const struct mbox_format *f)
{
	const struct mbox_file *m = b->m;
	int64_t have = m->size_known >= 0 ? m->size_known : b->st.st_size + m->quota_others;
	int64_t more;

	b->r->box_before = have;
	if (m->quota <= 0 || b->special)
		return (0);
	more = m->counts_as > 0 ? m->counts_as : (int64_t)mbox_written_size(c, f);
	if (have + (m->quota_exclusive ? 0 : more) <= m->quota)
		return (0);
	b->r->quota = true;
	b->r->last_read = b->created ? 0 : b->st.st_atime;
	mbox_fail(b->r, b->err, MBOX_WHY_QUOTA, 0, "mailbox is full (MTA-imposed quota exceeded while writing to %s)", m->path);
	if (!m->quota_exclusive && more > m->quota && b->err != NULL) {
		b->err->cls = ERR_PERM;
		memcpy(b->err->status, "5.2.3", sizeof("5.2.3"));
	}
	return (-1);
}

/* The 2 KiB at the start of an MBX folder. */
static int
mbx_header(int fd)
{
	char text[MBX_HEADER];
	int n;

	memset(text, 0, sizeof(text));
	n = snprintf(text, sizeof(text), "*mbx*\r\n%08lx00000000\r\n", (unsigned long)time(NULL));
	for (int i = 0; i < 30 && n < MBX_HEADER - 2; i++, n += 2)
		memcpy(text + n, "\r\n", 2);
	memcpy(text + MBX_HEADER - 2, "\r\n", 2);
	return (os_write_full(fd, text, sizeof(text)) == (ssize_t)sizeof(text) ? 0 : -1);
}

static int
write_mbx(struct box *b, const struct mbox_content *c, const struct mbox_format *f, uint64_t *size)
{
	time_t now = time(NULL);
	char date[64], line[128];
	struct tm tm;
	int n;

	if (b->st.st_size == 0 && mbx_header(b->fd) == -1)
		return (-1);
	(void)localtime_r(&now, &tm);
	(void)strftime(date, sizeof(date), "%e-%b-%Y %H:%M:%S %z", &tm);
	n = snprintf(line, sizeof(line), "%s,%llu;000000000000-00000000\r\n", date, (unsigned long long)mbox_written_size(c, f));
	if (os_write_full(b->fd, line, (size_t)n) != n)
		return (-1);
	return (mbox_write(b->fd, c, f, size));
}

static int
write_message(struct box *b, const struct mbox_content *c, const struct mbox_format *f)
{
	const struct mbox_file *m = b->m;
	off_t end = b->st.st_size;
	const struct timespec times[2] = { b->st.st_atim, { .tv_nsec = UTIME_NOW } };
	int rc, e;

	if (b->special)
		(void)fcntl(b->fd, F_SETFL, fcntl(b->fd, F_GETFL) & ~O_NONBLOCK);
	else if (lseek(b->fd, end, SEEK_SET) == -1)
		return (mbox_fail(b->r, b->err, MBOX_WHY_ERRNO, errno, "seek in mailbox %s", m->path));
	rc = m->flags & MBOX_MBX_FORMAT && !b->special ? write_mbx(b, c, f, &b->r->size) : mbox_write(b->fd, c, f, &b->r->size);
	if (rc == 0 && !b->special && !(m->flags & MBOX_NO_SYNC))
		rc = fsync(b->fd);
	if (rc == -1) {
		e = errno;
		b->r->left = MBOX_TORN;
		if (!b->special && ftruncate(b->fd, end) == 0)
			b->r->left = MBOX_NOTHING;
		if (b->created && b->r->left == MBOX_NOTHING)
			(void)unlink(m->path);
		if (e == EDQUOT)
			return (mbox_fail(b->r, b->err, MBOX_WHY_QUOTA, e, "mailbox is full (quota exceeded while writing to %s)",
			    m->path));
		return (mbox_fail(b->r, b->err, MBOX_WHY_ERRNO, e, "%swhile writing to file %s",
		    b->r->left == MBOX_TORN && !b->special ? "part of the message may be left: " : "", m->path));
	}
	b->r->left = MBOX_WHOLE;
	b->r->box_size = b->r->box_before + (int64_t)b->r->size;
	if (!b->special && !b->created && (m->flags & MBOX_KEEP_TIMES))
		(void)futimens(b->fd, times);
	if (b->created && !(m->flags & MBOX_NO_SYNC) && os_fsync_parent(m->path, b->err) == -1)
		return (mbox_fail(b->r, b->err, MBOX_WHY_ERRNO, errno, "fsync the folder of %s", m->path));
	return (0);
}

int
mbox_append(const struct mbox_file *m, const struct mbox_content *c, const struct mbox_format *f, struct mbox_result *r,
    struct err *err)
{
	struct err mine = ERR_INIT;
	struct box b = { .m = m, .r = r, .err = err == NULL ? &mine : err, .fd = -1, .mbx_fd = -1 };
	int rc = -1;

	*r = (struct mbox_result)MBOX_RESULT_INIT;
	if (strlen(m->path) >= sizeof(r->path))
		return (mbox_fail(r, b.err, MBOX_WHY_ERRNO, ENAMETOOLONG, "mailbox %.100s...", m->path));
	memcpy(r->path, m->path, strlen(m->path) + 1);
	if (strcmp(m->path, "/dev/null") == 0) {
		r->left = MBOX_WHOLE;
		return (0);
	}
	if (make_folders(&b) == 0 && dot_lock(&b) == 0 && open_locked(&b) == 0 && check_quota(&b, c, f) == 0)
		rc = write_message(&b, c, f);
	else if (b.created && b.st.st_size == 0 && r->why != MBOX_WHY_QUOTA)
		(void)unlink(m->path);
	close_file(&b);
	mbox_dotlock_free(&b.dot);
	if (rc == 0)
		err_clear(err);
	return (rc);
}

ssize_t
mbox_peek(const char *path, void *buf, size_t n)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	ssize_t k;
	int e;

	if (fd == -1)
		return (-1);
	k = os_read_full(fd, buf, n);
	e = errno;
	(void)close(fd);
	errno = e;
	return (k);
}
