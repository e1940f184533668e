/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a box's configuration reads, looks up and runs while root looks at the box with a tool: see box.h.  The files and
 * programs are chosen by the box's user, who must not have root's rights by that.
 */
#include <sys/stat.h>

#include <errno.h>

#include "box/box.h"
#include "exim/env.h"
#include "os/file.h"
#include "os/priv.h"

static const struct box *box;
static struct exim_world own;		/* that of the process */

static enum exim_result
run(void *arg, const struct exim_run *r, struct arena *a, struct sv *out, int *rc, struct err *err)
{
	struct exim_run as_user = *r;
	enum exim_result res;

	if (box_act(box, err) == -1)
		return (EXIM_DEFER);
	as_user.set_ids = false;
	res = own.run(arg, &as_user, a, out, rc, err);
	os_act_back();
	return (res);
}

static enum exim_result
readsocket(void *arg, const struct exim_socket *s, struct arena *a, struct sv *out, struct err *err)
{
	enum exim_result res;

	if (box_act(box, err) == -1)
		return (EXIM_DEFER);
	res = own.readsocket(arg, s, a, out, err);
	os_act_back();
	return (res);
}

static enum exim_found
lookup(void *arg, const char *type, struct sv file, struct sv query, struct sv opts, struct arena *a, struct sv *out, struct err *err)
{
	enum exim_found f;

	if (box_act(box, err) == -1)
		return (EXIM_TEMPFAIL);
	f = own.lookup(arg, type, file, query, opts, a, out, err);
	os_act_back();
	return (f);
}

/* Foreign code: false, and why in *<out>, where the rights cannot be had. */
static bool
act_for_code(struct exim_env *env, struct sv *out)
{
	struct err err = ERR_INIT;

	if (box_act(box, &err) == 0)
		return (true);
	*out = sv_cstr(arena_str(env->arena, err.text));
	return (false);
}

static enum exim_result
perl(struct exim_env *env, struct sv sub, const struct sv *args, size_t n, struct sv *out)
{
	enum exim_result res;

	if (!act_for_code(env, out))
		return (EXIM_DEFER);
	res = own.perl(env, sub, args, n, out);
	os_act_back();
	return (res);
}

static enum exim_result
dlfunc(struct exim_env *env, const char *path, const char *function, const struct sv *args, size_t n, struct sv *out)
{
	enum exim_result res;

	if (!act_for_code(env, out))
		return (EXIM_DEFER);
	res = own.dlfunc(env, path, function, args, n, out);
	os_act_back();
	return (res);
}

/* ---- files ---- */

struct look {
	const char	*path;
	struct stat	*st;
	bool		 follow;
	size_t		 max;		/* with <out>: its content, too */
	struct arena	*a;
	struct sv	*out;
};

static int
look_now(void *arg, const struct look *l)
{
	return (l->out != NULL ? own.readfile(arg, l->path, l->max, l->a, l->out, l->st) : own.stat(arg, l->path, l->follow, l->st));
}

/* With the rights of the box's user, and what is closed to him, as users' homes may be, with those of its owner. */
static int
look(void *arg, const struct look *l)
{
	struct stat owner;
	bool closed;
	int rc, e;

	if (box_act(box, NULL) == -1) {
		errno = EACCES;
		return (-1);
	}
	rc = look_now(arg, l);
	e = errno;
	closed = rc == -1 && e == EACCES && os_closed_owner(l->path, &owner);
	os_act_back();
	if (closed && os_act_as(owner.st_uid, owner.st_gid, NULL) == 0) {
		rc = look_now(arg, l);
		e = errno;
		os_act_back();
	}
	errno = e;
	return (rc);
}

static int
readfile(void *arg, const char *path, size_t max, struct arena *a, struct sv *out, struct stat *st)
{
	const struct look l = { .path = path, .st = st, .max = max, .a = a, .out = out };

	return (look(arg, &l));
}

static int
look_at(void *arg, const char *path, bool follow, struct stat *st)
{
	const struct look l = { .path = path, .st = st, .follow = follow };

	return (look(arg, &l));
}

void
box_world(const struct box *b, struct exim_world *w)
{
	if (!os_is_root())
		return;
	box = b;
	own = *w;
	w->run = run;
	w->readsocket = readsocket;
	w->lookup = lookup;
	w->perl = perl;
	w->dlfunc = dlfunc;
	w->readfile = readfile;
	w->stat = look_at;
}
