/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lock files: made beside their name and linked into place, so that it is safe over NFS; waited for
 * LOCKSLEEP seconds at a time; taken by force when they are older than LOCKTIMEOUT by the file system's clock.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "filter/procmail_int.h"

#define LOCK_SIZE_MAX	16		/* a longer file is no lock */
#define LOCK_TRIES	8		/* where it cannot be made for reasons that may pass */

int
pm_unique(struct pm *pm, const char *dir, bool maildir, mode_t mode, char *path, size_t size)
{
	int fd = -1;

	for (int tries = 0; tries < 8 && fd == -1; tries++) {
		int n = maildir ?
		    snprintf(path, size, "%s%lld.%ld_%u.%s", dir, (long long)time(NULL), (long)getpid(), pm->serial, pm->host) :
		    snprintf(path, size, "%s_%lx%%%llx%u.%s", dir, (long)getpid(), (long long)time(NULL), pm->serial, pm->host);

		pm->serial++;
		if (n < 0 || (size_t)n >= size) {
			errno = ENAMETOOLONG;
			return (-1);
		}
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
		if (fd == -1 && errno != EEXIST)
			break;
	}
	return (fd);
}

/* One try: 0, or -1 with errno; *<now> is the file system's time. */
static int
make_lock(struct pm *pm, const char *path, time_t *now)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL ? xstrdup("") : xstrndup(path, (size_t)(slash + 1 - path));
	char tmp[PATH_MAX];
	struct stat sb;
	int fd = pm_unique(pm, dir, false, 0444, tmp, sizeof(tmp)), rc = -1, e;

	free(dir);
	if (fd == -1) {
		e = errno;
		pm_yell(pm, "Error while writing to", tmp);
		errno = e;
		return (-1);
	}
	*now = fstat(fd, &sb) == 0 ? sb.st_mtime : time(NULL);
	if (write(fd, "0", 1) == 1)
		rc = link(tmp, path);
	/* Over NFS the answer may be lost though the link is there. */
	if (rc == -1 && fstat(fd, &sb) == 0 && sb.st_nlink == 2)
		rc = 0;
	e = errno;
	(void)unlink(tmp);
	(void)close(fd);
	errno = e;
	return (rc);
}

/* Too old?  Then remove it and pause, for others may be at it too.  True: try again at once. */
static bool
force_lock(struct pm *pm, const char *path, time_t now, bool *tried, bool *give_up)
{
	struct stat sb;

	if (pm->locktimeout <= 0 || lstat(path, &sb) == -1 || sb.st_size > LOCK_SIZE_MAX ||
	    now - sb.st_mtime <= pm->locktimeout) {
		*tried = false;
		return (false);
	}
	if (*tried) {
		*give_up = true;
		return (false);
	}
	if (S_ISDIR(sb.st_mode) || unlink(path) == -1) {
		*tried = true;
		pm_nlogq(pm, "Forced unlock denied on", path);
		return (false);
	}
	pm_nlogq(pm, "Forcing lock on", path);
	pm_sleep(pm, pm->suspend);
	return (true);
}

static bool
may_pass(int e)
{
	return (e == ENOSPC || e == EDQUOT || e == ENOENT || e == ENOTDIR || e == EIO);
}

static bool
lock_here(struct pm *pm, const char *path)
{
	int tries = LOCK_TRIES;
	bool tried = false, give_up = false, gone;
	time_t now = 0;

	pm_settle(pm);
	for (;;) {
		pm_yell(pm, "Locking", path);
		if (make_lock(pm, path, &now) == 0)
			return (true);
		if (errno == EEXIST) {
			if (force_lock(pm, path, now, &tried, &give_up))
				continue;
			tries = LOCK_TRIES;
		} else if (!may_pass(errno) || --tries == 0)
			give_up = true;
		if (give_up) {
			pm_nlogq(pm, "Lock failure on", path);
			return (false);
		}
		pm->waiting = "lockfile";
		pm->waiting_name = path;
		pm_sleep(pm, pm->locksleep);
		gone = pm_interrupted(pm);
		pm->waiting = pm->waiting_name = NULL;
		if (gone)
			return (false);
	}
}

bool
pm_lock(struct pm *pm, const char *path, char **where)
{
	bool ok;

	pm_reap(pm->files);
	if (*where != NULL && strcmp(*where, path) == 0)
		return (true);
	pm_unlock(pm, where);
	if (*path == '\0')
		return (true);
	ok = pm->local ? lock_here(pm, path) : filter_lock(pm->ops, path, true, &pm->pos, NULL) == FILTER_OK;
	if (ok)
		*where = xstrdup(path);
	return (ok);
}

void
pm_unlock(struct pm *pm, char **where)
{
	if (*where == NULL)
		return;
	pm_yell(pm, "Unlocking", *where);
	if (!pm->local)
		(void)filter_lock(pm->ops, *where, false, &pm->pos, NULL);
	else if (unlink(*where) == -1)
		pm_nlogq(pm, "Couldn't unlock", *where);
	free(*where);
	*where = NULL;
}

char *
pm_lock_name(const struct pm *pm, const char *folder)
{
	struct sb sb = SB_INIT(SIZE_MAX / 4);

	sb_addf(&sb, "%s%s", folder, pm->text[PM_T_LOCKEXT]);
	return (sb_steal(&sb, NULL));
}

void
pm_lock_local(struct pm *pm, const char *name, const char *folder)
{
	char *path;

	if (name == NULL && (strcmp(folder, "/dev/null") == 0 || strcmp(folder, "|") == 0))
		return;
	path = name != NULL ? xstrdup(name) : pm_lock_name(pm, folder);
	if (pm->glob_lock != NULL && strcmp(path, pm->glob_lock) == 0)
		pm_nlogq(pm, "Deadlock attempted on", path);
	else
		(void)pm_lock(pm, path, &pm->loc_lock);
	free(path);
}
