/* SPDX-License-Identifier: BSD-2-Clause */
/* Filters of forward files: run, and turned into items of the redirect router. */
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/sb.h"
#include "filter/exim_filter.h"
#include "filter/forward.h"
#include "os/priv.h"
#include "os/proc.h"

#define CHILD_SECONDS	20
#define ANSWER_MAX	(16 * 1024 * 1024)
/* What reaches outside the message. */
#define OUTSIDE		(EXIM_NO_LOOKUP | EXIM_NO_READFILE | EXIM_NO_READSOCKET | EXIM_NO_RUN | EXIM_NO_PERL | EXIM_NO_DLFUNC | \
			    EXIM_NO_EXISTS)

bool
filter_item(const struct filter_action *a, unsigned forbid, struct route_filter_item *it)
{
	memset(it, 0, sizeof(*it));
	switch (a->kind) {
	case FILTER_FORWARD:
		it->kind = ROUTE_TO_TRANSPORT;
		break;
	case FILTER_PIPE:
		it->kind = ROUTE_PIPE;
		break;
	case FILTER_FILE:
		it->kind = ROUTE_FILE;
		break;
	case FILTER_MAILDIR:
		it->kind = ROUTE_DIRECTORY;
		break;
	case FILTER_MAIL:
		it->kind = ROUTE_REPLY;
		break;
	default:
		return (false);
	}
	it->text = a->kind == FILTER_MAIL ? a->mail->to : a->to;
	it->ignore_error = (a->flags & FILTER_A_NOERROR) != 0;
	it->errors_to_set = (a->flags & FILTER_A_RETURN_PATH) != 0;
	it->errors_to = a->return_path;
	it->mode_set = (a->flags & FILTER_A_MODE) != 0;
	it->mode = (unsigned)a->mode;
	it->nums = a->nums;
	it->thisaddress = a->thisaddress;
	it->forbid = forbid;
	it->mail = a->mail;
	return (true);
}

/* --- run -------------------------------------------------------------------------------- */

struct forward {
	struct route_filter *f;
	struct filter_plan plan;
	const struct filter_ops *tell;	/* NULL: nobody listens */
};

/* logwrite writes at once; all else is collected. */
static enum filter_answer
act(void *arg, const struct filter_action *a, struct err *err)
{
	struct forward *w = arg;
	struct filter_ops plan;
	const char *path;
	ssize_t n = -1;
	int fd;

	if (a->kind != FILTER_LOG) {
		filter_plan_ops(&w->plan, &plan);
		return (plan.act(plan.arg, a, err));
	}
	if (w->tell != NULL && w->tell->dry)
		return (FILTER_OK);
	path = arena_cstr(w->f->arena, a->to);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, a->mode);
	if (fd == -1) {
		err_sys(err, "failed to open filter log file \"%s\"", path);
		return (FILTER_TEMP);
	}
	n = write(fd, a->text.p, a->text.len);
	if (n != (ssize_t)a->text.len)
		err_sys(err, "write error on file \"%s\"", path);
	(void)close(fd);
	return (n == (ssize_t)a->text.len ? FILTER_OK : FILTER_TEMP);
}

static void
trace(void *arg, const struct filter_pos *pos, const char *text)
{
	const struct forward *w = arg;

	if (w->tell != NULL && w->tell->trace != NULL)
		w->tell->trace(w->tell->arg, pos, text);
}

static void
take_plan(struct forward *w)
{
	struct route_filter *f = w->f;
	struct route_filter_item *v = arena_alloc(f->arena, (w->plan.v.len + 1) * sizeof(*v));

	f->n = 0;
	for (size_t i = 0; i < w->plan.v.len; i++)
		if (filter_item(&w->plan.v.p[i], f->forbid, &v[f->n]))
			f->n++;
	f->v = v;
}

static unsigned
flags_of(const struct route_filter *f)
{
	static const struct { unsigned route, filter; } t[] = {
		{ ROUTE_FILTER_DEFER, EXIM_FILTER_DEFER }, { ROUTE_FILTER_FAIL, EXIM_FILTER_FAIL },
		{ ROUTE_FILTER_FREEZE, EXIM_FILTER_FREEZE }, { ROUTE_FILTER_REWRITE, EXIM_FILTER_REWRITE },
		{ ROUTE_FILTER_NO_LOGWRITE, EXIM_FILTER_NO_LOGWRITE },
	};
	unsigned flags = (f->flags & ROUTE_FILTER_HOME) == 0 ? EXIM_FILTER_NO_HOME : 0;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if ((f->flags & t[i].route) != 0)
			flags |= t[i].filter;
	return (flags | (f->verify ? EXIM_FILTER_VERIFY : 0));
}

static void
run(struct forward *w, const struct exim_filter *x)
{
	static const enum route_filter_end ends[] = {
		[EXIM_FILTER_DELIVERED] = ROUTE_FILTER_DONE, [EXIM_FILTER_NOT_DELIVERED] = ROUTE_FILTER_MORE,
		[EXIM_FILTER_END_DEFER] = ROUTE_FILTER_DEFERRED, [EXIM_FILTER_END_FAIL] = ROUTE_FILTER_REFUSED,
		[EXIM_FILTER_END_FREEZE] = ROUTE_FILTER_FROZEN, [EXIM_FILTER_ERROR] = ROUTE_FILTER_BROKEN,
	};
	struct route_filter *f = w->f;
	struct exim_env *env = f->env;
	struct filter_ops ops = { .arg = w, .act = act, .trace = w->tell != NULL ? trace : NULL };
	struct exim_filter_run r = { .env = env, .ops = &ops, .flags = flags_of(f), .home = f->home };
	struct exim_message *m = env->msg, before = *m;
	unsigned forbid = env->forbid;

	/* Who else gets the message is not the user's business. */
	m->recipients = NULL;
	env->forbid |= f->forbid;
	f->end = ends[exim_filter_run(x, &r)];
	f->why = r.text == NULL ? SV_NULL : sv_cstr(arena_str(f->arena, r.text));
	env->forbid = forbid;
	*m = before;
}

static void
here(struct forward *w)
{
	struct route_filter *f = w->f;
	struct exim_message none = { .size = -1 };
	const struct exim_filter *x;
	const char *why = "";
	bool lent = f->env->msg == NULL;

	f->end = ROUTE_FILTER_BROKEN;
	x = exim_filter_parse(f->arena, f->text, f->file, flags_of(f), &why);
	if (x == NULL) {
		f->syntax = true;
		f->why = sv_cstr(why);
		return;
	}
	/* An address may be tested without a message. */
	if (lent)
		f->env->msg = &none;
	filter_plan_init(&w->plan, f->arena);
	run(w, x);
	take_plan(w);
	filter_plan_free(&w->plan);
	if (lent)
		f->env->msg = NULL;
}

/* --- in a child that is the user ---------------------------------------------------------- */

static void
child(struct forward *w, int fd)
{
	struct sb out = SB_INIT(ANSWER_MAX);
	struct exim_world alone = *w->f->env->world;
	struct err err = ERR_INIT;
	size_t at = 0;
	ssize_t n;

	alone.yield = NULL;
	w->f->env->world = &alone;
	(void)signal(SIGPIPE, SIG_DFL);
	os_die_with_parent(SIGKILL);
	(void)alarm(CHILD_SECONDS);
	if (os_drop_to_ids(w->f->user, (uid_t)w->f->uid, (gid_t)w->f->gid, &err) == -1) {
		w->f->end = ROUTE_FILTER_BROKEN;
		w->f->why = sv_cstr(err.text);
	} else
		here(w);
	filter_answer_put(&out, w->f);
	while (at < out.len && (n = write(fd, out.p + at, out.len - at)) > 0)
		at += (size_t)n;
	_exit(out.overflow ? 1 : 0);
}

static void
no_answer(struct route_filter *f, const char *why)
{
	f->end = ROUTE_FILTER_BROKEN;
	f->n = 0;
	f->why = sv_cstr(arena_str(f->arena, why));
}

/* What the child says, up to its end; others have their turn meanwhile. */
struct answer {
	int		 fd, status;
	pid_t		 pid;
	struct sb	 text;
};

static void
collect(void *arg)
{
	struct answer *in = arg;
	ssize_t n;
	char *room;

	while ((room = sb_room(&in->text, 65536)) != NULL &&
	    ((n = read(in->fd, room, 65536)) > 0 || (n == -1 && errno == EINTR)))
		sb_took(&in->text, n > 0 ? (size_t)n : 0);
	(void)close(in->fd);
	while (waitpid(in->pid, &in->status, 0) == -1 && errno == EINTR)
		;
}

static void
as_user(struct forward *w)
{
	struct route_filter *f = w->f;
	const struct exim_world *world = f->env->world;
	struct answer in = { .text = SB_INIT(ANSWER_MAX + 65536) };
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1) {
		no_answer(f, "no pipe for the filter");
		return;
	}
	(void)fflush(NULL);
	pid = fork();
	if (pid == -1) {
		(void)close(fds[0]);
		(void)close(fds[1]);
		no_answer(f, "no process for the filter");
		return;
	}
	if (pid == 0) {
		(void)close(fds[0]);
		child(w, fds[1]);
	}
	(void)close(fds[1]);
	in.fd = fds[0];
	in.pid = pid;
	if (world->offload != NULL)
		world->offload(world->arg, collect, &in);
	else
		collect(&in);
	if (in.status != 0 || !filter_answer_get(arena_sv(f->arena, sb_sv(&in.text)), f))
		no_answer(f, "the filter's process ended before its work was done");
	sb_free(&in.text);
}

static void
sieve(struct route_filter *f)
{
	const struct exim_address *a = f->env->addr;
	struct route_filter_item *it = arena_zalloc(f->arena, sizeof(*it));

	f->note = "a Sieve filter, and none is run yet: the message is kept in the inbox";
	it->kind = ROUTE_TO_TRANSPORT;
	it->text = sv_cstr(arena_fmt(f->arena, SV_FMT SV_FMT SV_FMT "@" SV_FMT, SV_ARG(a->local_part_prefix), SV_ARG(a->local_part),
	    SV_ARG(a->local_part_suffix), SV_ARG(a->domain)));
	f->v = it;
	f->n = 1;
	f->end = ROUTE_FILTER_DONE;
}

void
filter_route(void *arg, struct route_filter *f)
{
	struct forward w = { .f = f };
	uid_t me = geteuid();

	(void)arg;
	f->n = 0;
	f->note = NULL;
	f->syntax = false;
	if (f->sieve) {
		sieve(f);
	} else if (me == 0 && f->user_set && f->uid != 0) {
		as_user(&w);
	} else {
		if (!f->user_set || f->uid != (int64_t)me)
			f->flags |= ROUTE_FILTER_NO_LOGWRITE;
		if (f->user_set && f->uid != (int64_t)me)
			f->forbid |= OUTSIDE;
		here(&w);
	}
}

void
filter_route_traced(struct route_filter *f, const struct filter_ops *ops)
{
	struct forward w = { .f = f, .tell = ops };

	f->n = 0;
	f->note = NULL;
	f->syntax = false;
	/* For whoever asks: nothing that a user wrote reaches outside the message. */
	f->flags |= ROUTE_FILTER_NO_LOGWRITE;
	f->forbid |= OUTSIDE;
	if (f->sieve)
		sieve(f);
	else
		here(&w);
}
