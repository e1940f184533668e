/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How full a folder of files is: by adding up its files, by the sizes in their names, or by the
 * file maildirsize of Maildir++: a first line with the limits ("1000S,10C"), then a line per change
 * ("2048 1"), summed up by whoever wants to know; made anew when it is long, old while the box
 * is full, or for other limits.
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
#include "base/num.h"
#include "base/sb.h"
#include "mbox/maildir_int.h"
#include "os/file.h"

#define DEPTH_MAX	64
#define SIZE_FILE_MAX	5120
#define FULL_AGE_S	(15 * 60)

/* S=NNN in a Maildir++ name. */
static int64_t
size_of_name(const struct mbox_dir *d, const char *name)
{
	const char *p = strstr(name, ",S=");
	int64_t n;
	size_t k;

	if (d->name_size != NULL)
		return (d->name_size(d->arg, name));
	if (!(d->flags & MBOX_DIR_SIZE_FILE) || p == NULL)
		return (-1);
	k = strspn(p + 3, "0123456789");
	return (num_parse(sv_from(p + 3, k), 0, INT64_MAX / 2, &n) ? n : -1);
}

static bool
folder_counts(const struct mbox_dir *d, const char *name)
{
	if (d->counts != NULL)
		return (d->counts(d->arg, name));
	return (strcmp(name, "cur") == 0 || strcmp(name, "new") == 0 || name[0] == '.');
}

/* Add up what is below <at> (closed here).  <maildir>: only folders that count, and only what is in cur and new. */
static int
usage(const struct mbox_dir *d, int at, bool maildir, unsigned depth, int64_t *size, int64_t *count)
{
	DIR *dir = fdopendir(at);
	struct dirent *de;

	if (dir == NULL) {
		(void)close(at);
		return (-1);
	}
	while ((de = readdir(dir)) != NULL) {
		bool leaf = strcmp(de->d_name, "cur") == 0 || strcmp(de->d_name, "new") == 0;
		int64_t n = maildir ? -1 : size_of_name(d, de->d_name);
		struct stat st;
		int sub;

		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (n >= 0) {
			*size += n;
			(*count)++;
			continue;
		}
		if (fstatat(dirfd(dir), de->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1)
			continue;
		/* Folders count as files do: what is limited is the number of names. */
		*count += !maildir;
		if (S_ISREG(st.st_mode) && !maildir)
			*size += st.st_size / (off_t)(st.st_nlink > 0 ? st.st_nlink : 1);
		else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX && (!maildir || folder_counts(d, de->d_name)) &&
		    (sub = openat(dirfd(dir), de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) != -1)
			(void)usage(d, sub, maildir && !leaf, depth + 1, size, count);
	}
	(void)closedir(dir);
	return (0);
}

int
mbox_dir_usage(const struct mbox_dir *d, int64_t *size, int64_t *count)
{
	const char *path = d->quota_path != NULL ? d->quota_path : d->path;
	int at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*size = *count = 0;
	if (at == -1)
		return (errno == ENOENT ? 0 : -1);
	return (usage(d, at, (d->flags & MBOX_DIR_SIZE_FILE) != 0, 0, size, count));
}

/* ---- maildirsize ---- */

/* Sum the lines of <text>; false if it has another limit in its first line, or something else. */
static bool
sum(struct sv text, struct sv limits, int64_t *size, int64_t *count)
{
	struct sv line, a, b;
	int64_t n, k;

	*size = *count = 0;
	if (!sv_next(&text, '\n', &line) || !sv_eq(sv_trim(line), limits))
		return (false);
	while (sv_next(&text, '\n', &line)) {
		if (sv_trim(line).len == 0)
			continue;
		if (!sv_word(&line, &a) || !sv_word(&line, &b) || !num_parse(a, -INT64_MAX / 4, INT64_MAX / 4, &n) ||
		    !num_parse(sv_trim(b), -1000000000, 1000000000, &k) || *size > INT64_MAX / 4 || *size < -INT64_MAX / 4)
			return (false);
		*size += n;
		*count += k;
	}
	return (*size >= 0 && *count >= 0);
}

static bool
read_size_file(struct mbox_quota *q, int root, struct sv limits)
{
	struct sb text = SB_INIT(SIZE_FILE_MAX + 1);
	struct stat st;
	size_t lines = 0;
	bool good = false;
	int fd = openat(root, "maildirsize", O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char *p;
	ssize_t n;

	if (fd == -1)
		return (false);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= SIZE_FILE_MAX &&
	    (p = sb_room(&text, SIZE_FILE_MAX)) != NULL && (n = os_read_full(fd, p, SIZE_FILE_MAX)) >= 0) {
		sb_took(&text, (size_t)n);
		good = sum(sb_sv(&text), limits, &q->size, &q->count);
		for (size_t i = 0; i < text.len; i++)
			lines += text.p[i] == '\n';
	}
	q->doubt = good && (lines > 2 || time(NULL) - st.st_mtime > FULL_AGE_S);
	sb_free(&text);
	if (!good) {
		(void)close(fd);
		return (false);
	}
	q->size_fd = fd;
	return (true);
}

static void
make_size_file(struct mbox_quota *q, int root, struct sv limits)
{
	struct sb text = SB_INIT(256);
	char tmp[64];
	int fd;

	sb_add(&text, limits);
	sb_addf(&text, "\n%lld %lld\n", (long long)q->size, (long long)q->count);
	(void)snprintf(tmp, sizeof(tmp), "tmp/maildirsize.%ld", (long)getpid());
	(void)unlinkat(root, tmp, 0);
	fd = openat(root, tmp, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, q->d->mode == 0 ? 0600 : q->d->mode);
	if (fd != -1 && (os_write_full(fd, text.p, text.len) != (ssize_t)text.len ||
	    renameat(root, tmp, root, "maildirsize") == -1)) {
		(void)unlinkat(root, tmp, 0);
		(void)close(fd);
		fd = -1;
	}
	q->size_fd = fd;
	sb_free(&text);
}

static void
limits_text(const struct mbox_dir *d, struct sb *out)
{
	sb_addf(out, "%lldS", (long long)d->quota);
	sb_addf(out, ",%lldC", (long long)d->quota_count);
}

/* What maildirsize says; where it is no good or <again>, what the files say, and that is written to it. */
static int
by_size_file(struct mbox_quota *q, bool again, struct mbox_result *r, struct err *err)
{
	int root = open(q->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	struct mbox_dir d = *q->d;
	struct sb limits = SB_INIT(128);

	if (root == -1)
		return (mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "open folder %s", q->root));
	limits_text(&d, &limits);
	if (again || !read_size_file(q, root, sb_sv(&limits))) {
		q->doubt = false;
		if (q->size_fd != -1)
			(void)close(q->size_fd);
		q->size_fd = -1;
		d.quota_path = q->root;
		if (mbox_dir_usage(&d, &q->size, &q->count) == -1)
			rc = mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "count the files of %s", q->root);
		else
			make_size_file(q, root, sb_sv(&limits));
	}
	q->counted = rc == 0;
	sb_free(&limits);
	(void)close(root);
	return (rc);
}

/* A folder with the file maildirfolder lies one level below what is counted. */
static char *
root_of(const struct mbox_dir *d, int dirfd)
{
	char *root = xstrdup(d->quota_path != NULL ? d->quota_path : d->path);
	size_t n = strlen(root);
	char *slash;

	while (n > 1 && root[n - 1] == '/')
		root[--n] = '\0';
	if (d->quota_path == NULL && faccessat(dirfd, "maildirfolder", F_OK, 0) == 0 && (slash = strrchr(root, '/')) != NULL &&
	    slash != root)
		*slash = '\0';
	return (root);
}

int
mbox_quota_open(struct mbox_quota *q, const struct mbox_dir *d, int dirfd, struct mbox_result *r, struct err *err)
{
	*q = (struct mbox_quota){ .d = d, .size_fd = -1 };
	q->root = root_of(d, dirfd);
	if (d->flags & MBOX_DIR_SIZE_FILE) {
		if (by_size_file(q, false, r, err) == -1) {
			mbox_quota_close(q);
			return (-1);
		}
	} else if ((d->quota > 0 && d->size_known < 0) || (d->quota_count > 0 && d->count_known < 0)) {
		struct mbox_dir root = *d;

		root.quota_path = q->root;
		if (mbox_dir_usage(&root, &q->size, &q->count) == -1) {
			(void)mbox_fail(r, err, MBOX_WHY_ERRNO, errno, "count the files of %s", q->root);
			mbox_quota_close(q);
			return (-1);
		}
		q->counted = true;
	}
	if (d->size_known >= 0)
		q->size = d->size_known;
	if (d->count_known >= 0)
		q->count = d->count_known;
	q->counted = q->counted || d->size_known >= 0;
	if (q->counted)
		r->box_before = q->size;
	return (0);
}

/* When the box was last read: the newest change of cur/, where readers move what they saw. */
static int64_t
last_read(const struct mbox_quota *q)
{
	struct sb path = SB_INIT(8192);
	struct stat st;
	int64_t t = 0;

	sb_addf(&path, "%s/cur", q->root);
	if (stat(sb_cstr(&path), &st) == 0)
		t = st.st_mtime;
	sb_free(&path);
	return (t);
}

static bool
too_large(const struct mbox_quota *q, int64_t more)
{
	return (q->d->quota > 0 && q->size + (q->d->quota_exclusive ? 0 : more) > q->d->quota);
}

static bool
too_many(const struct mbox_quota *q)
{
	return (q->d->quota_count > 0 && q->count + (q->d->quota_exclusive ? 0 : 1) > q->d->quota_count);
}

int
mbox_quota_check(struct mbox_quota *q, const struct mbox_content *c, const struct mbox_format *f, struct mbox_result *r,
    struct err *err)
{
	const struct mbox_dir *d = q->d;
	int64_t more = d->quota <= 0 ? 0 : d->counts_as > 0 ? d->counts_as : (int64_t)mbox_written_size(c, f);
	bool full = too_large(q, more);

	if (!full && !too_many(q))
		return (0);
	/* Others may have removed mail without telling. */
	if (q->doubt) {
		if (by_size_file(q, true, r, err) == -1)
			return (-1);
		full = too_large(q, more);
		if (!full && !too_many(q))
			return (0);
	}
	r->quota = true;
	r->last_read = last_read(q);
	(void)mbox_fail(r, err, MBOX_WHY_QUOTA, 0, "mailbox is full (MTA-imposed %squota exceeded while writing to %s%s%s)",
	    full ? "" : "filecount ", q->below ? d->path : "", q->below ? "/" : "", q->file[0] != '\0' ? q->file : d->path);
	if (full && !d->quota_exclusive && more > d->quota) {
		err->cls = ERR_PERM;
		memcpy(err->status, "5.2.3", sizeof("5.2.3"));
	}
	return (-1);
}

bool
mbox_dir_full(const struct mbox_dir *d)
{
	int fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct mbox_result r = MBOX_RESULT_INIT;
	struct mbox_content c = { .fd = -1 };
	struct mbox_format f = { .eol = MBOX_EOL_LF };
	struct err err = ERR_INIT;
	struct mbox_quota q;
	bool full = false;

	if (fd == -1)
		return (d->quota > 0 && !d->quota_exclusive && d->counts_as > d->quota);
	if (mbox_quota_open(&q, d, fd, &r, &err) == 0) {
		full = mbox_quota_check(&q, &c, &f, &r, &err) == -1 && r.quota;
		mbox_quota_close(&q);
	}
	(void)close(fd);
	return (full);
}

void
mbox_quota_add(struct mbox_quota *q, struct mbox_result *r)
{
	char line[64];
	int n;

	if (q->counted) {
		r->box_size = q->size + (int64_t)r->size;
		r->box_count = q->count + 1;
	}
	if (q->size_fd == -1)
		return;
	/* Only a cache: a lost line is made good when the file is made anew. */
	n = snprintf(line, sizeof(line), "%llu 1\n", (unsigned long long)r->size);
	(void)os_write_full(q->size_fd, line, (size_t)n);
}

void
mbox_quota_close(struct mbox_quota *q)
{
	free(q->root);
	q->root = NULL;
	if (q->size_fd != -1)
		(void)close(q->size_fd);
	q->size_fd = -1;
}
