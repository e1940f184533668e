/* SPDX-License-Identifier: BSD-2-Clause */
/* See watch.h.  Whatever was not noted in time for whatever reason is found after LOOK_MS at the latest. */
#include "os/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/inotify.h>
#include <sys/vfs.h>
#endif

#include "base/arena.h"
#include "base/hash.h"
#include "os/time.h"

#define LOOK_MS		1000
#define FILES_MAX	256		/* names remembered */

struct look {
	int		 error;		/* errno; 0: <st> */
	struct stat	 st;
	int64_t		 at;		/* os_mono_ms() */
};

struct os_watch {
	char		*dir;
	size_t		 len;
	int		 fd;		/* -1: not watched */
	bool		 asked;		/* the kernel was asked since the last os_watch_expire() */
	struct hash	*looks;		/* by name in the directory */
};

#ifdef __linux__
/* Changes of other machines, or of what lies beneath, are not told. */
static bool
tells_all(const char *dir)
{
	static const unsigned long good[] = { 0xef53 /* ext */, 0x58465342 /* xfs */, 0x9123683e /* btrfs */,
		0x01021994 /* tmpfs */, 0x794c7630 /* overlay */, 0x2fc12fc1 /* zfs */, 0xf2f52010 /* f2fs */ };
	struct statfs fs;

	if (statfs(dir, &fs) == -1)
		return (false);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (good[i] == (unsigned long)fs.f_type)
			return (true);
	return (false);
}

static int
start(const char *dir)
{
	int fd = tells_all(dir) ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1;

	if (fd != -1 && inotify_add_watch(fd, dir, IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
	    IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR) == -1) {
		(void)close(fd);
		return (-1);
	}
	return (fd);
}
#else
static int
start(const char *dir)
{
	(void)dir;
	return (-1);
}
#endif

struct os_watch *
os_watch_open(const char *dir)
{
	struct os_watch *w = xcalloc(1, sizeof(*w));

	w->dir = xstrdup(dir);
	w->len = strlen(dir);
	w->fd = start(dir);
	w->looks = hash_new();
	return (w);
}

void
os_watch_close(struct os_watch **wp)
{
	struct os_watch *w = *wp;

	if (w == NULL)
		return;
	*wp = NULL;
	if (w->fd != -1)
		(void)close(w->fd);
	hash_free(&w->looks, free);
	free(w->dir);
	free(w);
}

void
os_watch_expire(struct os_watch *w)
{
	w->asked = false;
}

static void
forget_all(struct os_watch *w)
{
	hash_free(&w->looks, free);
	w->looks = hash_new();
}

#ifdef __linux__
/* False: the directory itself is another now, or gone. */
static bool
take_event(struct os_watch *w, const struct inotify_event *e)
{
	if ((e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) != 0)
		return (false);
	if ((e->mask & IN_Q_OVERFLOW) != 0)
		forget_all(w);
	else if (e->len > 0)
		free(hash_del(w->looks, sv_cstr(e->name)));
	return (true);
}

static void
ask(struct os_watch *w)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool good = true;
	ssize_t n;

	w->asked = true;
	while ((n = read(w->fd, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const struct inotify_event *)(const void *)(buf + at);

			good = take_event(w, e) && good;
			at += (ssize_t)(sizeof(*e) + e->len);
		}
	if (good && (n == 0 || errno == EAGAIN || errno == EINTR))
		return;
	/* From here on each look is a look. */
	(void)close(w->fd);
	w->fd = -1;
	forget_all(w);
}
#else
static void
ask(struct os_watch *w)
{
	w->asked = true;
}
#endif

/* The name in the directory, or NULL: it is another's. */
static const char *
name_in(const struct os_watch *w, const char *path)
{
	const char *name = path + w->len + 1;

	if (w->fd == -1 || strncmp(path, w->dir, w->len) != 0 || path[w->len] != '/' || *name == '\0' || strchr(name, '/') != NULL ||
	    strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return (NULL);
	return (name);
}

/* Another name, or another machine, may change it. */
static bool
changes_unseen(const char *path, const struct look *l)
{
	struct stat st;

	return (l->error == 0 ? !S_ISREG(l->st.st_mode) || l->st.st_nlink > 1 || lstat(path, &st) == -1 || S_ISLNK(st.st_mode) :
	    l->error != ENOENT || lstat(path, &st) == 0);
}

int
os_watch_stat(struct os_watch *w, const char *path, struct stat *st)
{
	const char *name = name_in(w, path);
	struct look *l, now;

	if (name != NULL && !w->asked)
		ask(w);
	if (name == NULL || w->fd == -1)
		return (stat(path, st));
	l = hash_get(w->looks, sv_cstr(name));
	now.at = os_mono_ms();
	if (l == NULL || now.at - l->at >= LOOK_MS) {
		now.error = stat(path, &now.st) == -1 ? errno : 0;
		if (l != NULL)
			free(hash_del(w->looks, sv_cstr(name)));
		if (hash_count(w->looks) >= FILES_MAX)
			forget_all(w);
		l = &now;
		if (!changes_unseen(path, &now)) {
			l = xmalloc(sizeof(*l));
			*l = now;
			(void)hash_set(w->looks, sv_cstr(name), l);
		}
	}
	errno = l->error;
	if (l->error != 0)
		return (-1);
	*st = l->st;
	return (0);
}
