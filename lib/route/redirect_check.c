/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose a forward file must be, and its mode (Exim's manual 22.6, check_owner, check_group, modemask).  A wrong one
 * defers the address, as in Exim; with our own option skip_bad_file it is passed over, with a note that says what is to be done.
 * And what such a file may include: Exim reads both as the user; here the daemon reads them, which may read more.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exim/expand.h"
#include "redirect_int.h"

static bool
listed(const struct exim_value *val, int64_t id)
{
	for (size_t i = 0; i < val->n; i++)
		if (val->nums[i] == id)
			return (true);
	return (false);
}

/* Owner, group and mode of a forward file. */
static enum route_yield
check(struct redirect *rd, const char *path, const struct stat *st)
{
	const struct exim_value *own = &rd->o[EXIM_REDIRECT_check_owner], *grp = &rd->o[EXIM_REDIRECT_check_group];
	const struct visit *v = rd->v;
	bool owner = own->set ? own->num != 0 : v->has_pw || rd->o[EXIM_REDIRECT_owners].n > 0;
	bool group = grp->set ? grp->num != 0 : (v->has_pw && (rd->o[EXIM_REDIRECT_modemask].num & 020) == 0) ||
	    rd->o[EXIM_REDIRECT_owngroups].n > 0;

	if (!S_ISREG(st->st_mode))
		return (route_defer(rd->v, "%s is not a regular file", path));
	if ((st->st_mode & (mode_t)rd->o[EXIM_REDIRECT_modemask].num) != 0)
		return (route_defer(rd->v, "bad mode (0%o) for %s: 0%o bit(s) unexpected", (unsigned)st->st_mode, path,
		    (unsigned)(st->st_mode & (mode_t)rd->o[EXIM_REDIRECT_modemask].num)));
	if (owner && !(v->has_pw && st->st_uid == v->pw.uid) && !listed(&rd->o[EXIM_REDIRECT_owners], (int64_t)st->st_uid))
		return (route_defer(rd->v, "bad owner for %s", path));
	if (group && !(v->has_pw && st->st_gid == v->pw.gid) && !listed(&rd->o[EXIM_REDIRECT_owngroups], (int64_t)st->st_gid))
		return (route_defer(rd->v, "bad group for %s", path));
	return (Y_ACCEPT);
}

/* --- skip_bad_file --------------------------------------------------------------------- */

/* Whose files count: the local user's, else those of who has the home directory; -1: anybody's. */
static int64_t
right_owner(struct redirect *rd, struct stat *home)
{
	struct visit *v = rd->v;
	struct sv dir = v->ea.home;
	bool there = dir.len > 0 && exim_stat(v->rt->env, arena_cstr(v->rt->a, dir), home) == 0;

	if (!there)
		memset(home, 0, sizeof(*home));
	return (v->has_pw ? (int64_t)v->pw.uid : there ? (int64_t)home->st_uid : -1);
}

/* As if it were not there: later routers are not to see that this one was tried. */
static enum route_yield
passed_over(struct redirect *rd, const char *path, const char *why)
{
	rd->v->ea.address_data = rd->v->p->address_data = rd->v->data_before;
	route_note(rd->v, "%s router: %s is not used: %s", rd->v->r->d.name, path, why);
	return (Y_DECLINE);
}

static enum route_yield
lenient(struct redirect *rd, const char *path, const struct stat *st)
{
	struct arena *a = rd->v->rt->a;
	mode_t bad = st->st_mode & (mode_t)rd->o[EXIM_REDIRECT_modemask].num;
	struct stat home;
	int64_t owner = right_owner(rd, &home);

	if (!S_ISREG(st->st_mode))
		return (passed_over(rd, path, "it is not a regular file"));
	if (owner >= 0 && owner != (int64_t)st->st_uid && !listed(&rd->o[EXIM_REDIRECT_owners], (int64_t)st->st_uid))
		return (passed_over(rd, path, arena_fmt(a, "its owner is uid %lld and must be uid %lld (chown)",
		    (long long)st->st_uid, (long long)owner)));
	if (bad != 0)
		return (passed_over(rd, path, arena_fmt(a, "its mode is 0%o and must be 0%o (chmod)",
		    (unsigned)(st->st_mode & 07777), (unsigned)((st->st_mode & 07777) & ~bad))));
	if ((home.st_mode & 02) != 0)
		return (passed_over(rd, path, arena_fmt(a, "everybody may write its directory, whose mode is 0%o and must be 0%o "
		    "(chmod)", (unsigned)(home.st_mode & 07777), (unsigned)(home.st_mode & 07775))));
	return (Y_ACCEPT);
}

enum route_yield
redirect_check(struct redirect *rd, const char *path, const struct stat *st)
{
	return (redirect_flag(rd, EXIM_REDIRECT_skip_bad_file) ? lenient(rd, path, st) : check(rd, path, st));
}

/* Where its directory is not there either, that may be a disk that is not mounted yet. */
enum route_yield
redirect_missing(struct redirect *rd, const char *path)
{
	const char *dir = arena_fmt(rd->v->rt->a, "%.*s.", (int)(strrchr(path, '/') + 1 - path), path);
	struct stat st;

	/* Whoever takes no notice of a path that leads nowhere does not want to know of folders that are not mounted. */
	if (redirect_flag(rd, EXIM_REDIRECT_skip_bad_file) || redirect_flag(rd, EXIM_REDIRECT_ignore_enotdir) ||
	    exim_stat(rd->v->rt->env, dir, &st) == 0 || errno == EACCES)
		return (Y_DECLINE);
	return (route_defer(rd->v, "failed to stat %s (%s)", dir, strerror(errno)));
}

enum route_yield
redirect_too_long(struct redirect *rd, const char *path)
{
	const char *why = arena_fmt(rd->v->rt->a, "it is longer than %d bytes", ROUTE_DATA_MAX);

	return (redirect_flag(rd, EXIM_REDIRECT_skip_bad_file) ? passed_over(rd, path, why) :
	    route_defer(rd->v, "%s is not used: %s", path, why));
}

/* --- where it lies --------------------------------------------------------------------- */

/* Links are followed, and what they lead to is what was read: they may have been changed meanwhile. */
static bool
below(struct redirect *rd, struct sv dir, const char *path, const struct stat *st)
{
	char top[PATH_MAX], real[PATH_MAX];
	struct stat now;
	size_t n;

	if (realpath(arena_cstr(rd->v->rt->a, dir), top) == NULL || realpath(path, real) == NULL)
		return (false);
	n = strcmp(top, "/") == 0 ? 0 : strlen(top);
	return (strncmp(real, top, n) == 0 && real[n] == '/' && stat(real, &now) == 0 && now.st_dev == st->st_dev &&
	    now.st_ino == st->st_ino);
}

/* All files of the user are our own, so that neither owner nor mode tells them from others. */
static bool
is_ours(const struct redirect *rd)
{
	return (rd->path != NULL && rd->base.user_set && rd->base.uid == (int64_t)geteuid() && rd->v->ea.home.len > 0);
}

/* What the user's id may read, as far as the file itself says. */
static bool
readable(const struct redirect *rd, const struct stat *st)
{
	if ((int64_t)st->st_uid == rd->base.uid)
		return ((st->st_mode & 0400) != 0);
	if (rd->base.group_set && (int64_t)st->st_gid == rd->base.gid)
		return ((st->st_mode & 040) != 0);
	return ((st->st_mode & 04) != 0);
}

enum route_yield
redirect_check_place(struct redirect *rd)
{
	/* It was read by us: what the user could not read himself may be a link to somebody else's secret. */
	if (rd->path != NULL && rd->base.user_set && rd->base.uid > 0 && rd->base.uid != (int64_t)geteuid() && !readable(rd, &rd->st))
		return (redirect_flag(rd, EXIM_REDIRECT_skip_bad_file) ? passed_over(rd, rd->path, "its user may not read it") :
		    redirect_flag(rd, EXIM_REDIRECT_ignore_eacces) ? Y_DECLINE :
		    route_defer(rd->v, "failed to open %s: %s (euid=%lld egid=%lld)", rd->path, strerror(EACCES),
		    (long long)rd->base.uid, (long long)rd->base.gid));
	if (!redirect_flag(rd, EXIM_REDIRECT_skip_bad_file) || !is_ours(rd) || below(rd, rd->v->ea.home, rd->path, &rd->st))
		return (Y_ACCEPT);
	return (passed_over(rd, rd->path, "it lies outside of the home directory"));
}

const char *
redirect_include_ban(struct redirect *rd, const char *path, const struct stat *st)
{
	struct sv dir = rd->o[EXIM_REDIRECT_include_directory].text;

	if (!S_ISREG(st->st_mode))
		return ("it is not a regular file");
	if (dir.len > 0 && !below(rd, dir, path, st))
		return ("it lies outside of include_directory");
	if (is_ours(rd))
		return (below(rd, rd->v->ea.home, path, st) ? NULL : "it lies outside of the home directory");
	if (!rd->base.user_set || rd->base.uid == (int64_t)geteuid())
		return (NULL);
	if (!readable(rd, st))
		return ("the user may not read it");
	if (rd->path == NULL)
		return (NULL);
	if ((int64_t)st->st_uid != rd->base.uid && st->st_uid != 0 && !listed(&rd->o[EXIM_REDIRECT_owners], (int64_t)st->st_uid))
		return ("it belongs neither to the user nor to root");
	if ((st->st_mode & (mode_t)rd->o[EXIM_REDIRECT_modemask].num) != 0)
		return ("others may write it");
	return (NULL);
}
