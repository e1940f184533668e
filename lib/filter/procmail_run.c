/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that recipes start: the message on their standard input while their output is read, in one loop,
 * ended after TIMEOUT.  A program whose exit status nobody wants is left to itself once it has the message.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filter/procmail_int.h"
#include "mbox/run.h"
#include "os/fd.h"
#include "os/proc.h"
#include "os/spawn.h"
#include "os/time.h"

#define KILL_AFTER_MS	10000		/* a program that takes no notice of SIGTERM */

struct running {
	struct pm	*pm;
	struct pm_prog	*g;
	const char	*name;		/* for messages */
	pid_t		 pid;
	int		 in, out;	/* our ends; -1 */
	size_t		 sent;
	int64_t		 deadline;	/* 0: none */
	bool		 terminated;
};

void
pm_sleep(struct pm *pm, long seconds)
{
	if (pm->o->waits != NULL)
		pm->o->waits();
	for (; seconds > 0 && !pm_interrupted(pm); seconds--)
		(void)poll(NULL, 0, 1000);
}

/* --- starting ------------------------------------------------------------------- */

static const char **
split_argv(struct pm *pm, const struct pm_words *w, struct arena *a)
{
	VEC(const char *) v = VEC_INIT;
	const char **argv;

	if (pm->sh) {
		const char *shell = pm_gets(pm, "SHELL");

		vec_push(&v, *shell == '\0' ? "/bin/sh" : shell);
		vec_push(&v, pm->text[PM_T_SHELLFLAGS]);
		vec_push(&v, sb_cstr(&w->b));
	}
	for (size_t i = 0; !pm->sh && i < w->b.len; i += strlen(w->b.p + i) + 1) {
		const char *word = w->b.p + i;
		ptrdiff_t end = (ptrdiff_t)(i + strlen(word));

		/* "$@" at the end of a word takes the place of the word. */
		if (w->all_args == end && pm->nargs > 0)
			for (size_t k = 0; k < pm->nargs; k++)
				vec_push(&v, pm->args[k]);
		else
			vec_push(&v, word);
	}
	if (v.len == 0)
		vec_push(&v, "");
	argv = arena_alloc(a, (v.len + 2) * sizeof(*argv));
	memcpy(argv, v.p, v.len * sizeof(*argv));
	argv[v.len] = NULL;
	vec_free(&v);
	return (argv);
}

static void
yell_executing(struct pm *pm, const char *const *argv)
{
	struct sb sb = SB_INIT(SIZE_MAX / 4);

	if (pm->verbose == 0)
		return;
	for (size_t i = pm->sh ? 2 : 0; argv[i] != NULL; i++)
		sb_addf(&sb, "%s%s", sb.len > 0 ? "," : "", argv[i]);
	pm_nlogq(pm, "Executing", sb_cstr(&sb));
	sb_free(&sb);
}

static int
set_umask(void *arg)
{
	(void)umask(((struct pm *)arg)->umask);
	return (0);
}

/* The shell that reads what is no program itself: <path>, or the name where nothing was found. */
static pid_t
start_script(struct os_spawn *s, const char *path, struct arena *a)
{
	const char **argv;
	size_t n = 0;

	while (s->argv[n] != NULL)
		n++;
	argv = arena_alloc(a, (n + 2) * sizeof(*argv));
	argv[0] = "/bin/sh";
	memcpy(argv + 1, s->argv, (n + 1) * sizeof(*argv));
	argv[1] = path;
	s->argv = argv;
	s->path = NULL;
	return (os_spawn(s, NULL));
}

/* The program, or, as execvp(3) does with scripts, a shell that reads it. */
static pid_t
start(struct running *r, const char **argv, int in, int out, struct arena *a)
{
	struct pm *pm = r->pm;
	char *path = mbox_run_find(argv[0], pm_gets(pm, "PATH"));
	struct os_spawn s = {
		.argv = argv, .path = path, .env = pm_environ(pm, a), .cwd = ".", .in = in, .out = out, .errfd = pm->log_fd,
		.new_session = true, .umask = 077, .before_exec = set_umask, .arg = pm, .cpu_seconds = pm->o->cpu_seconds,
		.file_bytes = pm->o->file_bytes, .memory_bytes = pm->o->memory_bytes,
		    .processes = pm->o->shared_uid ? os_process_limit(pm->o->processes) : pm->o->processes
	};
	const char *name = argv[0];
	pid_t pid = -1;
	long tries = pm->noresretry;

	if (path != NULL && pm->o->waits != NULL)
		pm->o->waits();
	while (path != NULL && (pid = os_spawn(&s, NULL)) == -1 && errno == EAGAIN && tries-- != 0)
		pm_sleep(pm, pm->suspend);
	if (pid == -1 && errno == EAGAIN)
		pm_nlogq(pm, "Failed forking", name);
	/* In a box nothing is lost for a program that is not there: no shell stands in, whose status nobody would see. */
	else if (pid == -1 && ((errno != ENOEXEC && pm->o->ops != NULL) ||
	    (pid = start_script(&s, errno == ENOEXEC ? path : name, a)) == -1))
		pm_nlogq(pm, "Failed to execute", name);
	free(path);
	return (pid);
}

static void
close_end(int *fd)
{
	if (*fd != -1)
		(void)close(*fd);
	*fd = -1;
}

static bool
open_ends(struct running *r, int theirs[2])
{
	int p[2];

	theirs[0] = theirs[1] = -1;
	r->in = r->out = -1;
	if (os_pipe(p, false) == -1)
		return (false);
	theirs[0] = p[0];
	r->in = p[1];
	(void)os_nonblock(r->in, true);
	if (!r->g->capture) {
		theirs[1] = r->g->dev_err ? r->pm->log_fd : -1;
		return (true);
	}
	if (os_pipe(p, false) == -1) {
		close_end(&theirs[0]);
		close_end(&r->in);
		return (false);
	}
	theirs[1] = p[1];
	r->out = p[0];
	(void)os_nonblock(r->out, true);
	return (true);
}

/* --- talking -------------------------------------------------------------------- */

static void
terminate(struct running *r)
{
	if (!r->terminated) {
		pm_nlog(r->pm, "Timeout, ");
		pm_log(r->pm, "%s \"%s\"\n", kill(r->pid, SIGTERM) == 0 ? "terminating" : "was waiting for", r->name);
		(void)kill(-r->pid, SIGTERM);
		r->terminated = r->g->timed_out = true;
		r->deadline = os_mono_ms() + KILL_AFTER_MS;
		return;
	}
	(void)kill(-r->pid, SIGKILL);
	(void)kill(r->pid, SIGKILL);
	close_end(&r->in);
	close_end(&r->out);
	r->deadline = 0;
}

/* For one wait: signals that come just before it are seen after the second at most. */
static int
left_ms(const struct running *r)
{
	int64_t left, max = r->pm->o->signalled == NULL ? 1000000 : 1000;

	if (r->deadline == 0)
		return (r->pm->o->signalled == NULL ? -1 : (int)max);
	left = r->deadline - os_mono_ms();
	return (left < 0 ? 0 : left > max ? (int)max : (int)left);
}

/* A time-out, or a signal; true: it is no longer ours to wait. */
static bool
look_up(struct running *r)
{
	if (pm_interrupted(r->pm)) {
		(void)kill(-r->pid, SIGTERM);
		(void)kill(r->pid, SIGTERM);
		close_end(&r->in);
		close_end(&r->out);
		r->g->interrupted = true;
		return (true);
	}
	if (r->pm->alarmed || (r->deadline != 0 && os_mono_ms() >= r->deadline))
		terminate(r);
	r->pm->alarmed = false;
	return (false);
}

static void
feed(struct running *r)
{
	struct sv in = r->g->input;
	ssize_t n = 0;

	if (r->sent < in.len)
		n = write(r->in, in.p + r->sent, in.len - r->sent > 65536 ? 65536 : in.len - r->sent);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == -1) {
		r->g->write_failed = true;
		close_end(&r->in);
		return;
	}
	r->sent += (size_t)n;
	if (r->sent == in.len)
		close_end(&r->in);
}

/*
 * What the pipe holds goes in before the program starts: one that ends at once without reading is then no
 * write error, and short messages need no turn of the loop.
 */
static void
prefill(struct running *r)
{
	size_t before;

	do {
		before = r->sent;
		feed(r);
	} while (r->in != -1 && r->sent > before);
}

static void
drain(struct running *r)
{
	struct sb *out = r->g->out;
	char buf[16384];
	ssize_t n = read(r->out, buf, sizeof(buf));

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_end(&r->out);
		return;
	}
	if (out->len + (size_t)n > r->g->max) {
		sb_addn(out, buf, r->g->max - out->len);
		r->g->too_much = true;
		close_end(&r->out);
		close_end(&r->in);
		return;
	}
	sb_addn(out, buf, (size_t)n);
}

/* A program that closed its output early is still given the rest of its input, unless nobody looks at it. */
static void
talk(struct running *r)
{
	while (r->in != -1 || r->out != -1) {
		struct pollfd p[2] = { { .fd = r->in, .events = POLLOUT }, { .fd = r->out, .events = POLLIN } };
		int n = poll(p, 2, left_ms(r));

		if (n <= 0) {
			if (look_up(r))
				return;
			continue;
		}
		if (p[0].revents != 0)
			feed(r);
		if (p[1].revents != 0 && r->out != -1)
			drain(r);
	}
}

static int
wait_for(struct running *r)
{
	int status = 0, rc = 0;

	while (!look_up(r) && (rc = os_wait(r->pid, &status, left_ms(r) < 0 ? -1 : left_ms(r) > 100 ? 100 : left_ms(r))) == 0)
		;
	if (r->g->interrupted) {
		pm_leave_running(r->pm->files, r->pid);
		return (EX_UNAVAILABLE);
	}
	/* A signal that came while it ended counts. */
	r->g->interrupted = pm_interrupted(r->pm);
	if (rc == -1)
		return (EX_UNAVAILABLE);
	return (WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

/* --- the whole ------------------------------------------------------------------ */

/* Through the interface: it decides what is run. */
static void
run_by_ops(struct pm *pm, const struct pm_words *w, struct pm_prog *g, const char *const *argv, struct arena *a)
{
	struct filter_run fr = {
		.pos = pm->pos, .argv = pm->sh ? NULL : argv, .command = sv_cstr(sb_cstr(&w->b)), .shell = pm_gets(pm, "SHELL"),
		.shell_flags = pm->text[PM_T_SHELLFLAGS], .env = pm_environ(pm, a), .input = g->input, .timeout = pm->timeout,
		.max = g->max, .want_output = g->capture, .umask = pm->umask
	};
	struct filter_ran ran;

	if (filter_run(pm->ops, &fr, a, &ran, NULL) != FILTER_OK) {
		g->failed_start = true;
		g->status = EX_UNAVAILABLE;
		return;
	}
	g->write_failed = ran.write_failed;
	g->too_much = ran.truncated;
	g->status = ran.status;
	if (g->capture)
		sb_add(g->out, ran.output);
}

static void
run_here(struct running *r, const char **argv, struct arena *a)
{
	struct pm *pm = r->pm;
	struct pm_prog *g = r->g;
	int theirs[2];

	g->failed_start = true;
	g->status = EX_UNAVAILABLE;
	if (!open_ends(r, theirs))
		return;
	prefill(r);
	r->pid = start(r, argv, theirs[0], theirs[1], a);
	close_end(&theirs[0]);
	if (g->capture)
		close_end(&theirs[1]);
	if (r->pid == -1) {
		close_end(&r->in);
		close_end(&r->out);
		return;
	}
	g->failed_start = false;
	if (pm->timeout > 0)
		r->deadline = os_mono_ms() + (int64_t)pm->timeout * 1000;
	talk(r);
	if (g->wait)
		g->status = wait_for(r);
	else {
		g->status = 0;
		pm_leave_running(pm->files, r->pid);
	}
}

void
pm_run_program(struct pm *pm, const struct pm_words *w, struct pm_prog *g)
{
	struct running r = { .pm = pm, .g = g, .name = sb_cstr(&w->b) };
	struct arena *a = arena_new(0);
	const char **argv = split_argv(pm, w, a);

	pm_log_flush(pm);
	pm_settle(pm);
	pm_reap(pm->files);
	yell_executing(pm, argv);
	if (pm->local)
		run_here(&r, argv, a);
	else
		run_by_ops(pm, w, g, argv, a);
	if (g->wait)
		pm->exit_code = g->status;
	arena_free(&a);
}
