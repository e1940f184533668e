/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One file per message in a Maildir: tmp/NAME is written and synced, linked to new/, tmp/ cleaned,
 * new/ synced.  All through descriptors of the folders, so that nobody exchanges one meanwhile.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/sb.h"
#include "mbox/maildir_int.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/time.h"

static const char *const subdirs[] = { "tmp", "new", "cur" };

mode_t
mbox_dir_mode(const struct mbox_dir *d)
{
	return (d->dir_mode == 0 ? 0700 : d->dir_mode);
}

/* Make a folder with its exact mode (or as the umask lets). */
static int
make_dir(const struct mbox_dir *d, int at, const char *name)
{
	if (mkdirat(at, name, mbox_dir_mode(d)) == -1)
		return (errno == EEXIST ? 0 : -1);
	if (!(d->flags & MBOX_DIR_UMASK) && fchmodat(at, name, mbox_dir_mode(d), 0) == -1)
		return (-1);
	return (0);
}

int
mbox_dir_open(const struct mbox_dir *d, struct mbox_result *r, struct err *err)
{
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (d->flags & MBOX_DIR_SYMLINK ? 0 : O_NOFOLLOW);
	char path[4096];
	size_t n = strlen(d->path);
	struct err why = ERR_INIT;
	int fd;

	while (n > 1 && d->path[n - 1] == '/')
		n--;
	if (n >= sizeof(path))
		return (mbox_fail(r, err, MBOX_WHY_ERRNO, ENAMETOOLONG, "folder %.100s...", d->path));
	memcpy(path, d->path, n);
	path[n] = '\0';
	fd = open(path, flags);
	if (fd == -1 && errno == ENOENT && (d->flags & MBOX_DIR_CREATE)) {
		if (os_mkdir_p(path, mbox_dir_mode(d), &why) == -1)
			return (mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "failed to create directory %s", path));
		fd = open(path, flags);
	}
	if (fd != -1)
		return (fd);
	if (errno == ENOTDIR || errno == ELOOP)
		return (mbox_fail(r, err, MBOX_WHY_KIND, errno, "%s is not a folder%s", path,
		    errno == ELOOP ? " but a symbolic link" : ""));
	return (mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "stat() error for %s: %s", path, strerror(errno)));
}

static int
open_sub(const struct mbox_dir *d, int at, const char *name, struct mbox_result *r, struct err *err)
{
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (d->flags & MBOX_DIR_SYMLINK ? 0 : O_NOFOLLOW);
	int fd = openat(at, name, flags);

	if (fd == -1 && errno == ENOENT && (d->flags & MBOX_DIR_CREATE)) {
		if (make_dir(d, at, name) == -1)
			return (mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "failed to create directory %s/%s", d->path, name));
		fd = openat(at, name, flags);
	}
	if (fd == -1)
		return (mbox_fail(r, err, errno == ENOTDIR || errno == ELOOP ? MBOX_WHY_KIND : MBOX_WHY_ERRNO, errno,
		    "open folder %s/%s", d->path, name));
	return (fd);
}

/* Slashes and colons mean something in names. */
static void
host_name(const struct mbox_dir *d, char *out, size_t size)
{
	char host[256];
	size_t n = 0;

	if (d->host == NULL)
		os_hostname(host, sizeof(host));
	else
		(void)snprintf(host, sizeof(host), "%s", d->host);
	for (const char *p = host; *p != '\0' && n + 5 < size; p++) {
		if (*p == '/' || *p == ':')
			n += (size_t)snprintf(out + n, 5, "\\%03o", (unsigned)*p);
		else
			out[n++] = *p;
	}
	out[n] = '\0';
}

/* The tag of a written file: %s is its size, printing characters only, without slashes. */
static void
add_tag(struct sb *name, const char *tag, uint64_t size)
{
	for (const char *p = tag; p != NULL && *p != '\0'; p++) {
		if (p[0] == '%' && p[1] == 's') {
			sb_addf(name, "%llu", (unsigned long long)size);
			p++;
		} else if (p[0] == '%' && p[1] == '%') {
			sb_addc(name, '%');
			p++;
		} else if (*p > ' ' && *p < 127 && *p != '/')
			sb_addc(name, *p);
	}
}

int
mbox_dir_write(const struct mbox_dir *d, int at, const char *name, const struct mbox_content *c, const struct mbox_format *f,
    struct mbox_result *r, struct err *err)
{
	mode_t mode = d->mode == 0 ? 0600 : d->mode;
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	int e;

	if (fd == -1)
		return (-1);
	if ((!(d->flags & MBOX_DIR_UMASK) && fchmod(fd, mode) == -1) || mbox_write(fd, c, f, &r->size) == -1 ||
	    (!(d->flags & MBOX_DIR_NO_SYNC) && fsync(fd) == -1)) {
		e = errno;
		(void)close(fd);
		(void)unlinkat(at, name, 0);
		(void)mbox_fail(r, err, e == EDQUOT ? MBOX_WHY_QUOTA : MBOX_WHY_ERRNO, e, e == EDQUOT ?
		    "mailbox is full (quota exceeded while writing to %s)" : "while writing to file %s", name);
		return (-2);
	}
	return (fd);
}

/* tmp/NAME, written and synced; -1. */
static int
write_tmp(const struct mbox_dir *d, int tmp, char *name, size_t size, const struct mbox_content *c,
    const struct mbox_format *f, struct mbox_result *r, struct err *err)
{
	char host[512];
	int fd = -1;

	host_name(d, host, sizeof(host));
	for (int i = 0; i < (d->retries <= 0 ? 10 : d->retries); i++) {
		static int64_t last;
		int64_t now = os_wall_us();

		/* Two messages of one process never have the same moment. */
		while (now <= last)
			now = os_wall_us();
		last = now;
		(void)snprintf(name, size, "%lld.H%lldP%ld.%s", (long long)(now / 1000000), (long long)(now % 1000000), (long)getpid(),
		    host);
		fd = mbox_dir_write(d, tmp, name, c, f, r, err);
		if (fd == -2)
			return (-1);
		if (fd != -1)
			return (fd);
		if (errno != EEXIST)
			return (mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "while creating file tmp/%s", name));
		os_sleep_ms(2000);
	}
	return (mbox_fail(r, err, MBOX_WHY_ERRNO, EEXIST, "no free name in %s/tmp", d->path));
}

/* Link tmp/<name> to new/<name><tag>, or without the tag where that is too long. */
static int
publish(const struct mbox_dir *d, int tmp, int newfd, const char *name, struct mbox_result *r, struct err *err)
{
	struct sb full = SB_INIT(1024);
	int rc;

	sb_adds(&full, name);
	add_tag(&full, d->tag, r->size);
	rc = linkat(tmp, name, newfd, sb_cstr(&full), 0);
	if (rc == -1 && errno == ENAMETOOLONG) {
		sb_cut(&full, strlen(name));
		rc = linkat(tmp, name, newfd, sb_cstr(&full), 0);
	}
	/* File systems without hard links. */
	if (rc == -1 && (errno == EPERM || errno == EOPNOTSUPP || errno == EMLINK))
		rc = faccessat(newfd, sb_cstr(&full), F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? (errno = EEXIST, -1) :
		    renameat(tmp, name, newfd, sb_cstr(&full));
	if (rc == -1)
		(void)mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "while naming file %s/new/%s", d->path, sb_cstr(&full));
	else {
		size_t n = strlen(d->path);

		(void)snprintf(r->path, sizeof(r->path), "%s%snew/%s", d->path, n > 0 && d->path[n - 1] == '/' ? "" : "/",
		    sb_cstr(&full));
	}
	sb_free(&full);
	return (rc);
}

static int
make_folder_mark(const struct mbox_dir *d, int root, struct mbox_result *r, struct err *err)
{
	int fd;

	if (!(d->flags & MBOX_DIR_FOLDER))
		return (0);
	fd = openat(root, "maildirfolder", O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return (mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "make %s/maildirfolder", d->path));
	(void)close(fd);
	return (0);
}

static int
deliver(const struct mbox_dir *d, int root, const struct mbox_content *c, const struct mbox_format *f, struct mbox_result *r,
    struct err *err)
{
	int sub[3] = { -1, -1, -1 }, fd = -1, rc = -1;
	struct mbox_quota q;
	char name[1024];

	for (int i = 0; i < 3; i++)
		if ((sub[i] = open_sub(d, root, subdirs[i], r, err)) == -1)
			goto out;
	if (make_folder_mark(d, root, r, err) == -1 || mbox_quota_open(&q, d, root, r, err) == -1)
		goto out;
	(void)snprintf(q.file, sizeof(q.file), "tmp/%lld.H0P%ld.%s", (long long)time(NULL), (long)getpid(),
	    d->host == NULL ? "localhost" : d->host);
	if (mbox_quota_check(&q, c, f, r, err) == -1)
		goto done;
	if ((fd = write_tmp(d, sub[0], name, sizeof(name), c, f, r, err)) == -1)
		goto done;
	rc = publish(d, sub[0], sub[1], name, r, err);
	(void)unlinkat(sub[0], name, 0);
	if (rc == -1)
		goto done;
	r->left = MBOX_WHOLE;
	mbox_quota_add(&q, r);
	if (!(d->flags & MBOX_DIR_NO_SYNC) && fsync(sub[1]) == -1)
		rc = mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "fsync %s/new", d->path);
done:
	mbox_quota_close(&q);
out:
	if (fd != -1)
		(void)close(fd);
	for (int i = 0; i < 3; i++)
		if (sub[i] != -1)
			(void)close(sub[i]);
	return (rc);
}

int
mbox_maildir(const struct mbox_dir *d, const struct mbox_content *c, const struct mbox_format *f, struct mbox_result *r,
    struct err *err)
{
	struct err mine = ERR_INIT;
	int root, rc;

	if (err == NULL)
		err = &mine;
	*r = (struct mbox_result)MBOX_RESULT_INIT;
	if ((root = mbox_dir_open(d, r, err)) == -1)
		return (-1);
	rc = deliver(d, root, c, f, r, err);
	(void)close(root);
	if (rc == 0)
		err_clear(err);
	return (rc);
}
