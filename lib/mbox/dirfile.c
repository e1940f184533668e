/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One file per message in folders that are no Maildir: numbered (MH), named by inode (Exim's
 * directory, procmail's directory), or two of them (Exim's mailstore).  A file is written and synced under a
 * temporary name, then linked to its own.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/sb.h"
#include "mbox/maildir_int.h"
#include "os/file.h"
#include "os/time.h"

#define MH_TRIES	1000

typedef int namer(void *arg, uint64_t inode, char *buf, size_t size, struct err *err);

static void
tmp_name(char *name, size_t size)
{
	static unsigned counter;

	(void)snprintf(name, size, ".tmp.%llx.%lx.%x", (unsigned long long)os_wall_us(), (unsigned long)getpid(),
	    counter++ & 0xffff);
}

static int
write_tmp(const struct mbox_dir *d, int at, char *tmp, size_t size, const struct mbox_content *c, const struct mbox_format *f,
    struct stat *st, struct mbox_result *r, struct err *err)
{
	int fd;

	tmp_name(tmp, size);
	fd = mbox_dir_write(d, at, tmp, c, f, r, err);
	if (fd == -2)
		return (-1);
	if (fd == -1)
		return (mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "while creating file in %s", d->path));
	if (fstat(fd, st) == -1) {
		(void)close(fd);
		return (mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "while creating file in %s", d->path));
	}
	(void)close(fd);
	return (0);
}

static int
name_it(int at, const char *tmp, const char *name)
{
	int rc = linkat(at, tmp, at, name, 0);

	if (rc == -1 && (errno == EPERM || errno == EOPNOTSUPP))
		rc = faccessat(at, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? (errno = EEXIST, -1) : renameat(at, tmp, at, name);
	return (rc);
}

static void
set_path(const struct mbox_dir *d, const char *name, struct mbox_result *r)
{
	size_t n = strlen(d->path);

	(void)snprintf(r->path, sizeof(r->path), "%s%s%s", d->path, n > 0 && d->path[n - 1] == '/' ? "" : "/", name);
}

static int
finish(const struct mbox_dir *d, int at, const char *name, struct mbox_result *r, struct err *err)
{
	r->left = MBOX_WHOLE;
	set_path(d, name, r);
	if (!(d->flags & MBOX_DIR_NO_SYNC) && fsync(at) == -1)
		return (mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "fsync %s", d->path));
	err_clear(err);
	return (0);
}

/* ---- MH ---- */

static int64_t
highest(int at)
{
	int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *de;
	int64_t n, max = 0;

	if (dir == NULL) {
		if (fd != -1)
			(void)close(fd);
		return (-1);
	}
	while ((de = readdir(dir)) != NULL)
		if (num_parse(sv_cstr(de->d_name), 1, INT32_MAX - MH_TRIES, &n) && n > max)
			max = n;
	(void)closedir(dir);
	return (max);
}

static int
number_it(int at, const char *tmp, char *name, size_t size)
{
	int64_t n = highest(at);

	if (n == -1)
		return (-1);
	for (int i = 0; i < MH_TRIES; i++) {
		(void)snprintf(name, size, "%lld", (long long)++n);
		if (name_it(at, tmp, name) == 0)
			return (0);
		if (errno != EEXIST)
			return (-1);
	}
	return (-1);
}

int
mbox_mh(const struct mbox_dir *d, const struct mbox_content *c, const struct mbox_format *f, struct mbox_result *r,
    struct err *err)
{
	struct err mine = ERR_INIT;
	struct stat st;
	char tmp[64], name[32];
	int at, rc;

	if (err == NULL)
		err = &mine;
	*r = (struct mbox_result)MBOX_RESULT_INIT;
	if ((at = mbox_dir_open(d, r, err)) == -1)
		return (-1);
	rc = write_tmp(d, at, tmp, sizeof(tmp), c, f, &st, r, err);
	if (rc == 0) {
		rc = number_it(at, tmp, name, sizeof(name));
		if (rc == -1)
			(void)mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "no free number in %s", d->path);
		else
			rc = finish(d, at, name, r, err);
		(void)unlinkat(at, tmp, 0);
	}
	(void)close(at);
	return (rc);
}

/* ---- files with names of their own ---- */

/* Base names only. */
static int
choose(namer *name, void *arg, const struct stat *st, char *buf, size_t size, struct mbox_result *r, struct err *err)
{
	if (name(arg, (uint64_t)st->st_ino, buf, size, err) == -1)
		return (-1);
	if (buf[0] == '\0' || strchr(buf, '/') != NULL || strcmp(buf, ".") == 0 || strcmp(buf, "..") == 0)
		return (mbox_fail(r, err, MBOX_WHY_KIND, EINVAL, "\"%s\" is no file name", buf));
	return (0);
}

static int
fits(struct mbox_quota *q, const struct mbox_content *c, const struct mbox_format *f, struct mbox_result *r, struct err *err)
{
	(void)snprintf(q->file, sizeof(q->file), "temp.%ld.%.255s", (long)getpid(), q->d->host == NULL ? "localhost" : q->d->host);
	q->below = true;
	return (mbox_quota_check(q, c, f, r, err));
}

int
mbox_dirfile(const struct mbox_dir *d, namer *name, void *arg, const struct mbox_content *c, const struct mbox_format *f,
    struct mbox_result *r, struct err *err)
{
	struct err mine = ERR_INIT;
	struct mbox_quota q = { .size_fd = -1 };
	struct stat st;
	char tmp[64], base[512];
	int at, rc = -1;

	if (err == NULL)
		err = &mine;
	*r = (struct mbox_result)MBOX_RESULT_INIT;
	if ((at = mbox_dir_open(d, r, err)) == -1)
		return (-1);
	if (mbox_quota_open(&q, d, at, r, err) == 0 && fits(&q, c, f, r, err) == 0 &&
	    write_tmp(d, at, tmp, sizeof(tmp), c, f, &st, r, err) == 0) {
		if (choose(name, arg, &st, base, sizeof(base), r, err) == 0) {
			if (name_it(at, tmp, base) == -1)
				(void)mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "while naming file %s/%s", d->path, base);
			else {
				mbox_quota_add(&q, r);
				rc = finish(d, at, base, r, err);
			}
		}
		(void)unlinkat(at, tmp, 0);
	}
	mbox_quota_close(&q);
	(void)close(at);
	return (rc);
}

static int
prefix_name(void *arg, uint64_t inode, char *buf, size_t size, struct err *err)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
	const char *prefix = arg;
	size_t n = strlen(prefix);

	if (n + 16 > size)
		return (err_set(err, ERR_PERM, "5.3.0", "the prefix of file names is too long"));
	memcpy(buf, prefix, n);
	do {
		buf[n++] = digits[inode & 63];
		inode >>= 6;
	} while (inode != 0);
	buf[n] = '\0';
	return (0);
}

int
mbox_dirfile_prefix(const struct mbox_dir *d, const char *prefix, const struct mbox_content *c, const struct mbox_format *f,
    struct mbox_result *r, struct err *err)
{
	return (mbox_dirfile(d, prefix_name, (void *)(uintptr_t)prefix, c, f, r, err));
}

/* ---- mailstore ---- */

static int
write_pair(const struct mbox_dir *d, int at, const char *tmp, const char *base, struct sv envelope,
    const struct mbox_content *c, const struct mbox_format *f, struct mbox_result *r, struct err *err)
{
	const struct mbox_content env = MBOX_CONTENT_TEXT(envelope);
	const struct mbox_format raw = { .eol = MBOX_EOL_RAW };
	struct sb envname = SB_INIT(1024), msgname = SB_INIT(1024);
	uint64_t size;
	int fd = -1, rc = -1;

	sb_addf(&envname, "%s.env", base);
	sb_addf(&msgname, "%s.msg", base);
	fd = mbox_dir_write(d, at, sb_cstr(&msgname), c, f, r, err);
	size = r->size;
	if (fd == -1)
		(void)mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "while creating file %s/%s", d->path, sb_cstr(&msgname));
	if (fd >= 0) {
		int efd = mbox_dir_write(d, at, tmp, &env, &raw, r, err);

		r->size = size;
		if (efd == -1)
			(void)mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "while creating file in %s", d->path);
		if (efd >= 0) {
			(void)close(efd);
			if (name_it(at, tmp, sb_cstr(&envname)) == -1)
				(void)mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "while naming file %s/%s", d->path, sb_cstr(&envname));
			else
				rc = finish(d, at, sb_cstr(&msgname), r, err);
			(void)unlinkat(at, tmp, 0);
		}
		(void)close(fd);
		if (r->left != MBOX_WHOLE)
			(void)unlinkat(at, sb_cstr(&msgname), 0);
	}
	sb_free(&envname);
	sb_free(&msgname);
	return (rc);
}

int
mbox_mailstore(const struct mbox_dir *d, namer *name, void *arg, struct sv envelope, const struct mbox_content *c,
    const struct mbox_format *f, struct mbox_result *r, struct err *err)
{
	struct err mine = ERR_INIT;
	struct mbox_quota q = { .size_fd = -1 };
	struct stat st;
	char base[512], tmp[600];
	int at, rc = -1;

	if (err == NULL)
		err = &mine;
	*r = (struct mbox_result)MBOX_RESULT_INIT;
	if ((at = mbox_dir_open(d, r, err)) == -1)
		return (-1);
	if (mbox_quota_open(&q, d, at, r, err) == 0 && mbox_quota_check(&q, c, f, r, err) == 0 && fstat(at, &st) == 0 &&
	    choose(name, arg, &st, base, sizeof(base), r, err) == 0) {
		(void)snprintf(tmp, sizeof(tmp), "%s.tmp", base);
		rc = write_pair(d, at, tmp, base, envelope, c, f, r, err);
		if (rc == 0)
			mbox_quota_add(&q, r);
	}
	mbox_quota_close(&q);
	(void)close(at);
	return (rc);
}
