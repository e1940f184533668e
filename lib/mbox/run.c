/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running a user's program.  One poll loop feeds its input and reads its output; whatever it
 * started goes with its process group.  The group is killed while its leader is still there to be
 * waited for, so that the number cannot belong to anybody else by then.
 */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/sb.h"
#include "mbox/run.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/spawn.h"
#include "os/time.h"

#define MEMORY_MAX	(1024 * 1024)		/* inputs below it wait in memory, others in a file */
#define POLL_MAX_MS	50

struct run {
	const struct mbox_run *r;
	struct mbox_ran	*out;
	pid_t		 pid;
	int		 in, from;		/* our ends; -1 */
	struct sb	 text;			/* input in memory */
	FILE		*file;			/* or in a file */
	uint64_t	 pos, size;
	struct sb	 got;
	int64_t		 deadline;		/* 0: none */
};

static const struct mbox_format raw = { .eol = MBOX_EOL_RAW };

/* ---- input ---- */

static int
prepare_input(struct run *x, struct err *err)
{
	const struct mbox_format *f = x->r->format == NULL ? &raw : x->r->format;
	const struct mbox_content *c = x->r->input;

	if (c == NULL)
		return (0);
	if (c->head.len + c->tail.len + (c->fd == -1 ? 0 : c->len) < MEMORY_MAX / 4) {
		if (mbox_write_text(&x->text, c, f) == -1)
			return (err_sys(err, "read the message"));
		x->size = x->text.len;
		if (!x->text.overflow)
			return (0);
		sb_clear(&x->text);
	}
	if ((x->file = tmpfile()) == NULL)
		return (err_sys(err, "make a temporary file"));
	if (mbox_write(fileno(x->file), c, f, &x->size) == -1)
		return (err_sys(err, "copy the message"));
	return (0);
}

static void
close_input(struct run *x)
{
	if (x->in != -1)
		(void)close(x->in);
	x->in = -1;
}

static void
feed(struct run *x)
{
	char buf[32768];
	const char *p = buf;
	size_t n = x->size - x->pos < sizeof(buf) ? (size_t)(x->size - x->pos) : sizeof(buf);
	ssize_t k;

	if (x->file == NULL)
		p = x->text.p + x->pos;
	else if (os_pread_full(fileno(x->file), buf, n, (off_t)x->pos) != (ssize_t)n) {
		x->out->write_failed = true;
		x->out->sys = EIO;
		close_input(x);
		return;
	}
	k = n == 0 ? 0 : write(x->in, p, n);
	if (k == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (k == -1) {
		x->out->write_failed = true;
		x->out->sys = errno;
		close_input(x);
		return;
	}
	x->pos += (uint64_t)k;
	if (x->pos >= x->size)
		close_input(x);
}

/* ---- output ---- */

/* False at the end of the output. */
static bool
drain(struct run *x)
{
	char buf[16384];
	ssize_t n = read(x->from, buf, sizeof(buf));
	size_t room = x->r->max_output - x->got.len;

	if (n == -1)
		return (errno == EAGAIN || errno == EINTR);
	if (n == 0)
		return (false);
	if ((size_t)n > room)
		x->out->too_much = true;
	sb_addn(&x->got, buf, (size_t)n < room ? (size_t)n : room);
	return (true);
}

/* ---- process ---- */

struct limits {
	bool	 core;
};

static int
before_exec(void *arg)
{
	const struct limits *l = arg;
	struct rlimit rl = { 0, 0 };

	/* As much as may be, or none. */
	if (l->core && getrlimit(RLIMIT_CORE, &rl) == 0)
		rl.rlim_cur = rl.rlim_max;
	(void)setrlimit(RLIMIT_CORE, &rl);
	return (0);
}

static int
start(struct run *x, struct err *err)
{
	const struct mbox_run *r = x->r;
	int in[2] = { -1, -1 }, out[2] = { -1, -1 };
	struct limits l = { .core = r->core };
	struct os_spawn s = { .argv = r->argv, .env = r->env, .cwd = r->cwd == NULL ? "." : r->cwd, .in = -1, .out = r->out_fd,
	    .errfd = r->err_fd, .new_session = true, .umask = r->umask, .cpu_seconds = r->cpu_seconds, .file_bytes = r->file_bytes,
	    .memory_bytes = r->memory_bytes, .processes = r->processes, .before_exec = before_exec, .arg = &l };
	int e;

	if ((r->input != NULL && os_pipe(in, false) == -1) || (r->max_output > 0 && os_pipe(out, false) == -1)) {
		err_sys(err, "pipe");
		goto fail;
	}
	s.in = in[0];
	if (r->max_output > 0) {
		s.out = out[1];
		if (r->merge_stderr)
			s.errfd = out[1];
	}
	if ((x->pid = os_spawn(&s, err)) == -1)
		goto fail;
	if (in[0] != -1)
		(void)close(in[0]);
	if (out[1] != -1)
		(void)close(out[1]);
	x->in = in[1];
	x->from = out[0];
	if (x->in != -1)
		(void)os_nonblock(x->in, true);
	if (x->from != -1)
		(void)os_nonblock(x->from, true);
	return (0);
fail:
	e = errno;
	for (int i = 0; i < 2; i++) {
		if (in[i] != -1)
			(void)close(in[i]);
		if (out[i] != -1)
			(void)close(out[i]);
	}
	errno = e;
	return (-1);
}

/* It has ended, but is not yet waited for. */
static bool
ended(const struct run *x)
{
	siginfo_t si;

	memset(&si, 0, sizeof(si));
	return (waitid(P_PID, (id_t)x->pid, &si, WEXITED | WNOHANG | WNOWAIT) == -1 || si.si_pid != 0);
}

static void
kill_group(struct run *x)
{
	int64_t end = os_mono_ms() + x->r->kill_grace_ms;

	if (x->r->kill_grace_ms > 0 && !x->out->too_much) {
		(void)kill(-x->pid, SIGTERM);
		while (!ended(x) && os_mono_ms() < end)
			os_sleep_ms(5);
	}
	(void)kill(-x->pid, SIGKILL);
}

/* Until the program has ended, or its time is over. */
static void
loop(struct run *x)
{
	int step = 1;

	for (;;) {
		struct pollfd p[2] = { { .fd = x->in, .events = POLLOUT }, { .fd = x->from, .events = POLLIN } };
		int64_t now = os_mono_ms();
		int wait = step;
		bool gone = ended(x);

		if (gone)
			wait = 0;
		else if (x->deadline != 0 && now >= x->deadline) {
			x->out->timed_out = true;
			return;
		} else if (x->out->too_much && x->r->stop_at_max)
			return;
		if (x->in == -1 && x->from == -1) {
			if (gone)
				return;
			os_sleep_ms(wait);
			step = step < POLL_MAX_MS ? step * 2 : POLL_MAX_MS;
			continue;
		}
		if (poll(p, 2, wait) > 0) {
			step = 1;
			if (x->in != -1 && p[0].revents != 0 && !gone)
				feed(x);
			if (x->from != -1 && p[1].revents != 0) {
				if (!drain(x)) {
					(void)close(x->from);
					x->from = -1;
				}
				continue;
			}
			if (!gone)
				continue;
		}
		/* What it wrote has been read; what lives on of its group does not count. */
		if (gone) {
			if (x->in != -1 && x->pos < x->size && !x->out->write_failed) {
				x->out->write_failed = true;
				x->out->sys = EPIPE;
			}
			return;
		}
		step = step < POLL_MAX_MS ? step * 2 : POLL_MAX_MS;
	}
}

static void
reap(struct run *x)
{
	int status = 0;

	while (waitpid(x->pid, &status, 0) == -1)
		if (errno != EINTR)
			return;
	if (WIFSIGNALED(status)) {
		x->out->exit = -1;
		x->out->sig = WTERMSIG(status);
		x->out->core = WCOREDUMP(status);
	} else
		x->out->exit = WEXITSTATUS(status);
}

int
mbox_run(const struct mbox_run *r, struct mbox_ran *out, struct err *err)
{
	struct run x = { .r = r, .out = out, .in = -1, .from = -1 };
	struct err mine = ERR_INIT;
	int rc = -1, e = 0;

	memset(out, 0, sizeof(*out));
	sb_init(&x.text, MEMORY_MAX);
	sb_init(&x.got, r->max_output + 1);
	if (prepare_input(&x, err == NULL ? &mine : err) == -1 || start(&x, err == NULL ? &mine : err) == -1) {
		e = errno;
		goto out;
	}
	if (r->timeout_s > 0)
		x.deadline = os_mono_ms() + (int64_t)r->timeout_s * 1000;
	loop(&x);
	if (out->timed_out || (out->too_much && r->stop_at_max))
		kill_group(&x);
	else if (!r->keep_group)
		(void)kill(-x.pid, SIGKILL);
	reap(&x);
	if (x.got.len > 0)
		out->output = sb_steal(&x.got, &out->output_len);
	rc = 0;
out:
	close_input(&x);
	if (x.from != -1)
		(void)close(x.from);
	if (x.file != NULL)
		(void)fclose(x.file);
	sb_free(&x.text);
	sb_free(&x.got);
	errno = e;
	return (rc);
}

char *
mbox_run_find(const char *name, const char *path)
{
	struct sv list = sv_cstr(path), dir;
	struct stat st;
	int e = ENOENT;

	if (strchr(name, '/') != NULL)
		return (xstrdup(name));
	while (sv_next(&list, ':', &dir)) {
		struct sb full = SB_INIT(8192);

		if (dir.len == 0)
			dir = SV_LIT(".");
		sb_addf(&full, SV_FMT "/%s", SV_ARG(dir), name);
		if (!full.overflow && stat(sb_cstr(&full), &st) == 0 && S_ISREG(st.st_mode)) {
			if (access(sb_cstr(&full), X_OK) == 0)
				return (sb_steal(&full, NULL));
			e = EACCES;
		}
		sb_free(&full);
	}
	errno = e;
	return (NULL);
}
