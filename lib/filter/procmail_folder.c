/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Folders: a file that is appended to, a maildir ("x/"), an MH folder ("x/."), a directory that takes a
 * file per message.  Several directories share one file by links.  What did not succeed is taken back.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "filter/procmail_int.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/time.h"

#define NEW_FILE	0667		/* modes before the umask; o+x says "new mail" */
#define UPDATED		S_IXOTH
#define MAILDIR_TRIES	5

enum type { F_NONE, F_TOO_LONG, F_FILE, F_MAILDIR, F_MH, F_DIR };

/* What LINEBUF must have room for behind a folder's name. */
static const size_t name_room[] = { [F_MAILDIR] = 35, [F_MH] = 31, [F_DIR] = 32 };

struct folder {
	char		*path;		/* without what says its type */
	enum type	 type;
	mode_t		 mode;		/* it has, or will have */
};

/* --- what is it? ---------------------------------------------------------------- */

/* Cut "/" and "/." off. */
static enum type
by_name(char *path)
{
	size_t n = strlen(path);
	enum type type;

	if (n < 2)
		return (F_FILE);
	if (n == 2 && path[1] == '/') {
		path[1] = '\0';
		return (F_MAILDIR);
	}
	if (n == 2)
		return (F_FILE);
	if (path[n - 1] == '.' && path[n - 2] == '/') {
		n -= 2;
		type = F_MH;
	} else if (path[n - 1] == '/') {
		n--;
		type = F_MAILDIR;
	} else
		return (F_FILE);
	while (n > 1 && path[n - 1] == '/')
		n--;
	path[n] = '\0';
	return (type);
}

/* The mode of <path>, which is made if it is not there; 0: neither. */
static mode_t
make_dir(const struct pm *pm, const char *path)
{
	struct stat sb;

	for (int tries = 0; tries < 3; tries++) {
		if (stat(path, &sb) == 0)
			return (sb.st_mode);
		if (errno != ENOENT)
			return (0);
		if (mkdir(path, 0777) == 0)
			return (S_IFDIR | (0777 & ~pm->umask));
	}
	return (0);
}

static bool
make_maildir(struct pm *pm, const char *path)
{
	static const char *const subs[] = { "new", "cur", "tmp" };
	char sub[PATH_MAX];

	for (size_t i = 0; i < 3; i++) {
		int n = snprintf(sub, sizeof(sub), "%s/%s", path, subs[i]);

		if (n < 0 || (size_t)n >= sizeof(sub) || !S_ISDIR(make_dir(pm, sub))) {
			pm_nlogq(pm, "Unable to treat as directory", sub);
			return (false);
		}
	}
	return (true);
}

/* Find out, and make what has to be a directory.  <must>: nothing else will do. */
static void
classify(struct pm *pm, struct folder *f, bool must)
{
	struct stat sb;
	bool parts = false;

	f->type = by_name(f->path);
	if (f->type == F_FILE && !must) {
		if (stat(f->path, &sb) == -1)
			f->mode = S_IFREG | (NEW_FILE & ~pm->umask);
		else
			f->mode = sb.st_mode;
		if (!S_ISDIR(f->mode))
			return;
		f->type = F_DIR;
	} else if (f->type == F_FILE)
		f->type = F_DIR;
	if (strlen(f->path) + name_room[f->type] > pm->linebuf) {
		f->type = F_TOO_LONG;
		return;
	}
	if (f->type == F_DIR && !must)
		return;
	f->mode = make_dir(pm, f->path);
	if (S_ISDIR(f->mode)) {
		parts = f->type == F_MAILDIR;
		if (!parts || make_maildir(pm, f->path))
			return;
	}
	if (!parts)
		pm_nlogq(pm, "Unable to treat as directory", f->path);
	if (must || parts) {
		pm_skipped(pm, f->path);
		f->type = F_NONE;
		return;
	}
	if (f->mode == 0)
		f->mode = S_IFREG | (NEW_FILE & ~pm->umask);
	f->type = F_FILE;
}

/* --- writing -------------------------------------------------------------------- */

static void
write_error(struct pm *pm, const char *path, int e)
{
	if (e == ENOSPC)
		pm_nlogq(pm, "No space left to finish writing", path);
	else if (e == EDQUOT || e == EFBIG)
		pm_nlogq(pm, "Quota exceeded while writing", path);
	else
		pm_nlogq(pm, "Error while writing to", path);
}

static void
kernel_lock(struct pm *pm, int fd)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int64_t end;

	if (pm->verbose != 0)
		pm_nlog(pm, "Acquiring kernel-lock\n");
	if (fcntl(fd, F_SETLK, &fl) == 0)
		return;
	end = os_mono_ms() + (int64_t)(pm->timeout > 0 ? pm->timeout : PM_TIMEOUT) * 1000;
	if (pm->o->waits != NULL)
		pm->o->waits();
	pm->waiting = "a kernel-lock";
	while (fcntl(fd, F_SETLK, &fl) == -1 && !pm_interrupted(pm)) {
		if ((errno != EAGAIN && errno != EACCES && errno != EINTR) || os_mono_ms() > end) {
			pm_nlog(pm, "Kernel-lock failed\n");
			break;
		}
		os_sleep_ms(20);
	}
	pm->waiting = NULL;
}

/* The part as a folder of that type takes it. */
static size_t
render(struct pm *pm, enum type type, struct sb *out)
{
	struct sv part = pm->part;

	if (type == F_MAILDIR && part.p == pm->mail.p)
		part = sv_sub(part, pm_mail_skip_from(part), part.len);
	return (pm_mail_dump(pm, part, (struct pm_dump){
	    .escape = type == F_FILE && !pm->raw, .blank = type != F_MAILDIR && !pm->raw }, out));
}

/* Write and sync; 0 or errno.  <fd> is closed. */
static int
write_out(struct pm *pm, int fd, bool lock, struct sv text)
{
	int e = 0;

	if (lock)
		kernel_lock(pm, fd);
	if (pm->signal_end) {
		(void)close(fd);
		return (EINTR);
	}
	pm->last_tell = (int64_t)lseek(fd, 0, SEEK_END);
	if (os_write_full(fd, text.p, text.len) != (ssize_t)text.len)
		e = errno == 0 ? EIO : errno;
	/* What cannot be synced is no file (EINVAL). */
	if (e == 0 && fsync(fd) == -1 && errno != EINVAL && errno != EROFS)
		e = errno;
	/* A device cannot be cut. */
	if (e != 0 && pm->last_tell >= 0 && ftruncate(fd, (off_t)pm->last_tell) == -1) {
		pm->last_tell = -1;
		e = errno;
	}
	(void)close(fd);
	return (e);
}

/* What a signal stopped was not written, whatever the flags say. */
static bool
may_ignore(const struct pm *pm)
{
	return (pm->ignore_write && !pm->signal_end);
}

static void
mark_updated(const struct pm *pm, const char *path, mode_t mode)
{
	if (((mode | pm->umask) & UPDATED) == 0)
		(void)chmod(path, (mode & 07777) | UPDATED);
}

static void
skip_links(struct pm *pm, const char *links, size_t n)
{
	struct pm_words left = PM_WORDS_INIT;

	sb_addn(&left.b, links, n);
	pm_words_join(&left);
	pm_skipped(pm, sb_cstr(&left.b));
	pm_words_free(&left);
}

static void
lock_folder(struct pm *pm, const char *path)
{
	char *lock = pm_lock_name(pm, path);

	if (pm->glob_lock == NULL || strcmp(lock, pm->glob_lock) != 0)
		(void)pm_lock(pm, lock, &pm->loc_lock);
	free(lock);
}

/* Append the part; 0 or errno, EBADF where the file cannot be opened. */
static int
append(struct pm *pm, const char *path)
{
	struct sb text = SB_INIT(SIZE_MAX / 4);
	bool fresh = access(path, F_OK) == -1;
	/* A FIFO that nobody reads would keep us for ever. */
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, NEW_FILE), e;

	pm->last_tell = -1;
	if (fd == -1)
		return (EBADF);
	(void)os_nonblock(fd, false);
	pm->last_dump = render(pm, F_FILE, &text);
	e = write_out(pm, fd, true, sb_sv(&text));
	if (e == 0 && fresh)
		(void)os_fsync_parent(path, NULL);
	sb_free(&text);
	return (e);
}

static bool
to_file(struct pm *pm, struct folder *f, const char *links, size_t nlinks, bool dot_lock)
{
	int e;

	skip_links(pm, links, nlinks);
	if (strcmp(f->path, "/dev/null") == 0) {
		pm->last_dump = pm->part.len;
		pm_set_folder(pm, f->path);
		pm_yell(pm, "Opening", f->path);
		return (true);
	}
	mark_updated(pm, f->path, f->mode);
	if (dot_lock)
		lock_folder(pm, f->path);
	pm_set_folder(pm, f->path);
	pm_yell(pm, "Opening", f->path);
	e = append(pm, f->path);
	if (e == 0 || may_ignore(pm))
		return (true);
	write_error(pm, f->path, e);
	if (pm->last_tell >= 0 && (pm->log_opened || pm->verbose != 0))
		pm_nlog(pm, "Truncated file to former size\n");
	return (false);
}

/* procmail's digits for numbers in names. */
void
pm_number_name(uint64_t n, char *out)
{
	static const char digits[] = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

	do
		*out++ = digits[n % 64];
	while ((n /= 64) != 0);
	*out = '\0';
}

static unsigned long
highest_number(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	unsigned long max = 0;
	long n;
	char *end;

	while (d != NULL && (e = readdir(d)) != NULL) {
		n = procmail_long(e->d_name, &end);
		if (*end == '\0' && n > 0 && (unsigned long)n > max)
			max = (unsigned long)n;
	}
	if (d != NULL)
		(void)closedir(d);
	return (max);
}

/* Give <file> its name in the folder: *<path>; 0, or -1 with errno.  <fresh>: it is the temporary one of this folder. */
static int
give_name(struct pm *pm, const struct folder *f, const char *file, bool fresh, char *path, size_t size)
{
	struct stat sb, other;
	char digits[16];
	unsigned long n;

	switch (f->type) {
	case F_MH:
		n = highest_number(f->path);
		do
			(void)snprintf(path, size, "%s/%lu", f->path, ++n);
		while (link(file, path) == -1 && errno == EEXIST);
		return (access(path, F_OK));
	case F_MAILDIR:
		/* The name in tmp/, or for a link to another folder's file a new one. */
		if (fresh)
			(void)snprintf(path, size, "%s/new/%s", f->path, strrchr(file, '/') + 1);
		else
			(void)snprintf(path, size, "%s/new/%lld.%ld_%u.%s", f->path, (long long)time(NULL), (long)getpid(),
			    pm->serial++, pm->host);
		return (link(file, path));
	default:
		if (stat(file, &sb) == -1)
			return (-1);
		pm_number_name((uint64_t)sb.st_ino, digits);
		for (n = 0; n < 16; n++) {
			(void)snprintf(path, size, "%s/%s%s%.*s", f->path, pm->text[PM_T_MSGPREFIX], digits, (int)n,
			    "----------------");
			if (link(file, path) == 0)
				return (0);
			if (errno != EEXIST)
				break;
			/* It is this very file. */
			if (stat(path, &other) == 0 && other.st_ino == sb.st_ino && other.st_dev == sb.st_dev)
				return (0);
		}
		return (-1);
	}
}

/* A new file with the message, under a temporary name: 0, or errno. */
static int
write_temporary(struct pm *pm, const struct folder *f, char *tmp, size_t size)
{
	struct sb text = SB_INIT(SIZE_MAX / 4);
	char dir[PATH_MAX];
	int fd, e, n;

	tmp[0] = '\0';
	n = snprintf(dir, sizeof(dir), "%s/%s", f->path, f->type == F_MAILDIR ? "tmp/" : "");
	if (n < 0 || (size_t)n >= sizeof(dir))
		return (ENAMETOOLONG);
	fd = pm_unique(pm, dir, f->type == F_MAILDIR, NEW_FILE, tmp, size);
	if (fd == -1) {
		tmp[0] = '\0';
		return (errno);
	}
	pm->last_dump = render(pm, f->type, &text);
	e = write_out(pm, fd, false, sb_sv(&text));
	pm->last_tell = -1;
	sb_free(&text);
	return (may_ignore(pm) ? 0 : e);
}

/* Further folders get links to <file>. */
static void
link_others(struct pm *pm, const char *file, const char *names, size_t len)
{
	for (size_t i = 0; i < len; i += strlen(names + i) + 1) {
		struct folder f = { .path = xstrdup(names + i) };
		char path[PATH_MAX];
		struct sb sb = SB_INIT(SIZE_MAX / 4);

		classify(pm, &f, true);
		if (f.type == F_TOO_LONG)
			pm_overflow(pm);
		if (f.type >= F_MAILDIR) {
			int rc = give_name(pm, &f, file, false, path, sizeof(path));

			pm_yell(pm, "Linking to", path);
			if (rc == -1)
				pm_nlogq(pm, "Couldn't make link to", path);
			else {
				sb_addf(&sb, "%s %s", pm_gets(pm, "LASTFOLDER"), path);
				pm_put_quietly(pm, "LASTFOLDER", sb_cstr(&sb));
				mark_updated(pm, f.path, f.mode);
			}
		}
		sb_free(&sb);
		free(f.path);
	}
}

static bool
to_directory(struct pm *pm, const struct folder *f, const char *links, size_t nlinks)
{
	char tmp[PATH_MAX], path[PATH_MAX];
	int e = ENAMETOOLONG, rc = -1;

	path[0] = '\0';
	/* What was written may not be what others see before it is whole, so its name comes last. */
	for (int tries = 0; tries <= MAILDIR_TRIES && rc == -1; tries++) {
		e = write_temporary(pm, f, tmp, sizeof(tmp));
		if (e != 0) {
			if (tmp[0] != '\0') {
				(void)unlink(tmp);
				write_error(pm, f->path, e);
				return (false);
			}
			break;
		}
		rc = give_name(pm, f, tmp, true, path, sizeof(path));
		e = errno;
		(void)unlink(tmp);
		if (rc == -1 && e != EEXIST)
			break;
	}
	if (rc == -1) {
		struct sb sb = SB_INIT(SIZE_MAX / 4);

		sb_adds(&sb, f->type == F_DIR && path[0] != '\0' ? path : f->path);
		if (f->type != F_DIR || path[0] == '\0')
			sb_addc(&sb, '/');
		pm_nlogq(pm, "Couldn't create or rename temp file", sb_cstr(&sb));
		sb_free(&sb);
		return (false);
	}
	(void)os_fsync_parent(path, NULL);
	pm_set_folder(pm, path);
	if (f->type != F_MAILDIR) {
		pm_yell(pm, "Opening", path);
		if (pm->verbose != 0)
			pm_nlog(pm, "Acquiring kernel-lock\n");
	}
	mark_updated(pm, f->path, f->mode);
	link_others(pm, path, links, nlinks);
	return (true);
}

bool
pm_folder_write(struct pm *pm, struct pm_words *names, bool dot_lock)
{
	const char *first = sb_cstr(&names->b), *links;
	size_t nlinks = names->b.len > strlen(first) + 1 ? names->b.len - strlen(first) - 1 : 0;
	struct folder f = { .path = xstrdup(first) };
	bool ok = false;

	links = first + strlen(first) + 1;
	pm_settle(pm);
	classify(pm, &f, false);
	switch (f.type) {
	case F_FILE:
		ok = to_file(pm, &f, links, nlinks, dot_lock);
		break;
	case F_TOO_LONG:
		pm_overflow(pm);
		break;
	case F_NONE:
		break;
	default:
		ok = to_directory(pm, &f, links, nlinks);
	}
	free(f.path);
	return (ok);
}
