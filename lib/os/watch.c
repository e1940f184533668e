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
#define FILES_MAX	64		/* names remembered of a directory */
#define DIRS_MAX	2048

struct look {
	int		 error;		/* errno; 0: <st> */
	struct stat	 st;
	int64_t		 at;		/* os_mono_ms() */
};

struct dir {
	char		*path;
	bool		 link;		/* a symbolic link leads to it */
	int		 wd;		/* -1: not watched */
	int64_t		 at;		/* when that was found */
	struct hash	*looks;		/* by name in the directory; "": itself */
};

struct os_watch {
	int		 fd;		/* -1: nothing is watched */
	bool		 asked;		/* the kernel was asked since the last os_watch_expire() */
	struct dir	*dir;
	char		*top;		/* directories below it are watched as they are asked about; NULL: none */
	struct hash	*below;		/* these by path */
	struct hash	*wds;		/* all that are watched, by watch descriptor */
};

/* ---- directories ---- */

static struct sv
wd_key(const int *wd)
{
	return (sv_from((const char *)wd, sizeof(*wd)));
}

static void
dir_forget(struct dir *d)
{
	hash_free(&d->looks, free);
	d->looks = hash_new();
}

static void
dir_free(struct dir *d)
{
	hash_free(&d->looks, free);
	free(d->path);
	free(d);
}

#ifdef __linux__
#define EVENTS	(IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

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
init(void)
{
	return (inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
}

/* <link>: it may be a symbolic link. */
static int
add(int fd, const char *dir, bool link)
{
	return (tells_all(dir) ? inotify_add_watch(fd, dir, EVENTS | (link ? 0 : IN_DONT_FOLLOW)) : -1);
}

static void
drop(int fd, int wd)
{
	(void)inotify_rm_watch(fd, wd);
}
#else
static int
init(void)
{
	return (-1);
}

static int
add(int fd, const char *dir, bool link)
{
	(void)fd, (void)dir, (void)link;
	return (-1);
}

static void
drop(int fd, int wd)
{
	(void)fd, (void)wd;
}
#endif

/* <link>: its path may end in a symbolic link. */
static struct dir *
dir_new(struct os_watch *w, struct sv path, bool link)
{
	struct dir *d = xcalloc(1, sizeof(*d));

	d->path = xstrndup(path.p, path.len);
	d->looks = hash_new();
	d->at = os_mono_ms();
	d->wd = w->fd == -1 ? -1 : add(w->fd, d->path, false);
	if (d->wd == -1 && w->fd != -1 && link) {
		d->wd = add(w->fd, d->path, true);
		d->link = true;
	}
	/* Two names of one directory: only one of them is told of its changes. */
	if (d->wd != -1 && hash_get(w->wds, wd_key(&d->wd)) != NULL)
		d->wd = -1;
	if (d->wd != -1)
		(void)hash_set(w->wds, wd_key(&d->wd), d);
	return (d);
}

/* It is another now, or gone. */
static void
dir_lost(struct os_watch *w, struct dir *d)
{
	(void)hash_del(w->wds, wd_key(&d->wd));
	drop(w->fd, d->wd);
	d->wd = -1;
	d->at = os_mono_ms();
	dir_forget(d);
}

static void
forget_below(struct os_watch *w)
{
	size_t pos = 0;
	struct sv path;
	void *v;

	while (hash_next(w->below, &pos, &path, &v)) {
		struct dir *d = v;

		if (d->wd != -1)
			dir_lost(w, d);
		dir_free(d);
	}
	hash_free(&w->below, NULL);
	w->below = hash_new();
}

struct os_watch *
os_watch_open(const char *dir)
{
	struct os_watch *w = xcalloc(1, sizeof(*w));

	w->fd = init();
	w->below = hash_new();
	w->wds = hash_new();
	w->dir = dir_new(w, sv_cstr(dir), true);
	return (w);
}

void
os_watch_below(struct os_watch *w, const char *top)
{
	forget_below(w);
	free(w->top);
	w->top = xstrdup(top);
}

void
os_watch_close(struct os_watch **wp)
{
	struct os_watch *w = *wp;

	if (w == NULL)
		return;
	*wp = NULL;
	forget_below(w);
	dir_free(w->dir);
	hash_free(&w->below, NULL);
	hash_free(&w->wds, NULL);
	if (w->fd != -1)
		(void)close(w->fd);
	free(w->top);
	free(w);
}

void
os_watch_expire(struct os_watch *w)
{
	w->asked = false;
}

/* ---- what the kernel noted ---- */

#ifdef __linux__
static void
forget_all(struct os_watch *w)
{
	size_t pos = 0;
	struct sv wd;
	void *d;

	while (hash_next(w->wds, &pos, &wd, &d))
		dir_forget(d);
}

static void
take_event(struct os_watch *w, const struct inotify_event *e)
{
	struct dir *d = hash_get(w->wds, wd_key(&e->wd));

	if ((e->mask & IN_Q_OVERFLOW) != 0)
		forget_all(w);
	if (d == NULL)
		return;
	if ((e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) != 0) {
		dir_lost(w, d);
		return;
	}
	if (e->len > 0)
		free(hash_del(d->looks, sv_cstr(e->name)));
	if (e->len == 0 || (e->mask & (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)) != 0)
		free(hash_del(d->looks, SV_LIT("")));
}

static void
ask(struct os_watch *w)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;

	w->asked = true;
	while ((n = read(w->fd, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const struct inotify_event *)(const void *)(buf + at);

			take_event(w, e);
			at += (ssize_t)(sizeof(*e) + e->len);
		}
	if (n == 0 || errno == EAGAIN || errno == EINTR)
		return;
	/* From here on each look is a look. */
	forget_below(w);
	if (w->dir->wd != -1)
		dir_lost(w, w->dir);
	(void)close(w->fd);
	w->fd = -1;
}
#else
static void
ask(struct os_watch *w)
{
	w->asked = true;
}
#endif

/* ---- looks ---- */

/* "NAME/FILE" or "NAME" below the top: the directory NAME, and FILE or "". */
static struct dir *
dir_below(struct os_watch *w, struct sv rest, size_t top, struct sv *name)
{
	ptrdiff_t slash = sv_chr(rest, '/');
	size_t n = slash < 0 ? rest.len : (size_t)slash;
	struct sv path = sv_from(rest.p - top, top + n);
	struct dir *d = hash_get(w->below, path);

	*name = slash < 0 ? SV_LIT("") : sv_sub(rest, n + 1, rest.len);
	if (d != NULL && d->wd == -1 && os_mono_ms() - d->at >= LOOK_MS) {
		dir_free(hash_del(w->below, path));
		d = NULL;
	}
	if (d != NULL)
		return (d);
	if (hash_count(w->below) >= DIRS_MAX)
		forget_below(w);
	d = dir_new(w, path, false);
	(void)hash_set(w->below, path, d);
	return (d);
}

static bool
plain(struct sv name)
{
	return (sv_chr(name, '/') < 0 && !sv_eqs(name, ".") && !sv_eqs(name, ".."));
}

/* The watched directory that <path> is in and its name there, or NULL. */
static struct dir *
find_dir(struct os_watch *w, struct sv path, struct sv *name)
{
	size_t n = strlen(w->dir->path), top = w->top == NULL ? 0 : strlen(w->top) + 1;
	struct dir *d = NULL;

	if (path.len >= n && memcmp(path.p, w->dir->path, n) == 0 &&
	    (path.len == n ? !w->dir->link : path.len > n + 1 && path.p[n] == '/')) {
		d = w->dir;
		*name = path.len == n ? SV_LIT("") : sv_sub(path, n + 1, path.len);
	} else if (w->top != NULL && path.len > top && path.p[top - 1] == '/' && path.p[top] != '.' &&
	    memcmp(path.p, w->top, top - 1) == 0)
		d = dir_below(w, sv_sub(path, top, path.len), top, name);
	return (d == NULL || d->wd == -1 || !plain(*name) || (name->len == 0 && path.p[path.len - 1] == '/') ? NULL : d);
}

/* Another name, or another machine, may change it. */
static bool
changes_unseen(const char *path, struct sv name, const struct look *l)
{
	struct stat st;

	/* Itself: it was no link when it was first watched. */
	if (name.len == 0)
		return (l->error != 0);
	return (l->error == 0 ? !S_ISREG(l->st.st_mode) || l->st.st_nlink > 1 || lstat(path, &st) == -1 || S_ISLNK(st.st_mode) :
	    l->error != ENOENT || lstat(path, &st) == 0);
}

int
os_watch_stat(struct os_watch *w, const char *path, struct stat *st)
{
	struct look *l, now;
	struct sv name;
	struct dir *d;

	if (w->fd != -1 && !w->asked)
		ask(w);
	d = w->fd == -1 ? NULL : find_dir(w, sv_cstr(path), &name);
	if (d == NULL)
		return (stat(path, st));
	l = hash_get(d->looks, name);
	now.at = os_mono_ms();
	if (l == NULL || now.at - l->at >= LOOK_MS) {
		now.error = stat(path, &now.st) == -1 ? errno : 0;
		if (l != NULL)
			free(hash_del(d->looks, name));
		if (hash_count(d->looks) >= FILES_MAX)
			dir_forget(d);
		l = &now;
		if (!changes_unseen(path, name, &now)) {
			l = xmalloc(sizeof(*l));
			*l = now;
			(void)hash_set(d->looks, name, l);
		}
	}
	errno = l->error;
	if (l->error != 0)
		return (-1);
	*st = l->st;
	return (0);
}
