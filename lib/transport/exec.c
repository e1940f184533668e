/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Doing a job.  The table of kinds is the one place where a kind of local delivery is
 * known; a user's filter (lib/filter) has its row there.  Everything below runs as the user,
 * blocking, in a process that may be killed at any time.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mbox/run.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/proc.h"
#include "os/time.h"
#include "transport/transport_int.h"

static const struct {
	enum transport_kind kind;
	void	(*run)(struct exec *x);
	bool	 content;		/* writes the message: transport_filter, prefix and so on apply */
} kinds[] = {
	{ TRANSPORT_APPENDFILE, exec_appendfile, true },
	{ TRANSPORT_PIPE, exec_pipe, true },
	{ TRANSPORT_AUTOREPLY, exec_reply, false },
	{ TRANSPORT_LMTP, exec_lmtp, true },
	{ TRANSPORT_PROCMAIL, exec_procmail, false },
	{ TRANSPORT_LOOK, exec_look, false },
};

void
exec_fail(struct exec *x, enum transport_status st, int64_t sys, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)transport_fail(x->r, x->a, st, sys, "%s", text);
}

const char *const *
exec_strings(struct arena *a, const struct transport_list *l)
{
	const char **v = arena_alloc(a, (l->n + 1) * sizeof(*v));

	for (size_t i = 0; i < l->n; i++)
		v[i] = arena_cstr(a, l->v[i]);
	v[l->n] = NULL;
	return (v);
}

long
exec_process_limit(const struct transport_job *j)
{
	return (j->shared_uid ? os_process_limit((long)j->processes) : (long)j->processes);
}

/* ---- transport_filter ---- */

static const char *
while_writing(const struct exec *x)
{
	if (x->j->kind != TRANSPORT_APPENDFILE)
		return ("");
	return (arena_fmt(x->a, " while writing to " SV_FMT, SV_ARG(x->j->path)));
}

/* The message goes through the program; <file> gets what comes out. */
int
exec_filter(struct exec *x, FILE *file)
{
	const struct transport_job *j = x->j;
	const char *const *argv = exec_strings(x->a, &j->filter);
	struct mbox_format lf = { .eol = MBOX_EOL_LF };
	struct mbox_run run = MBOX_RUN_INIT;
	struct mbox_ran ran;
	struct err err = ERR_INIT;
	struct stat st;

	run.argv = argv;
	run.env = j->env.n > 0 ? exec_strings(x->a, &j->env) : NULL;
	run.input = &x->c;
	run.format = &lf;
	run.out_fd = fileno(file);
	run.timeout_s = (int)j->filter_timeout;
	run.cpu_seconds = (long)j->cpu;
	run.memory_bytes = (long)j->memory;
	run.processes = exec_process_limit(j);
	run.file_bytes = (long)j->file_bytes;
	if (mbox_run(&run, &ran, &err) == -1) {
		exec_fail(x, TRANSPORT_DEFER, TRANSPORT_E_FILTER, "transport filter process failed (127)%s: unable to execute command",
		    while_writing(x));
		x->r->panic = true;
		return (-1);
	}
	if (ran.timed_out) {
		if (j->kind == TRANSPORT_PIPE)
			exec_fail(x, j->timeout_defer ? TRANSPORT_DEFER : TRANSPORT_FAIL, 0,
			    "transport filter timeout while writing to pipe");
		else
			exec_fail(x, TRANSPORT_DEFER, ETIMEDOUT, "%s%s", j->kind == TRANSPORT_APPENDFILE ? "error while writing to " :
			    "transport filter timed out", arena_cstr(x->a, j->path));
		return (-1);
	}
	if (ran.exit != 0) {
		exec_fail(x, TRANSPORT_DEFER, TRANSPORT_E_FILTER, "transport filter process failed (%d)%s%s",
		    ran.exit == -1 ? -ran.sig : ran.exit, while_writing(x), ran.exit == 127 ? ": unable to execute command" : "");
		x->r->panic = x->j->kind == TRANSPORT_APPENDFILE;
		return (-1);
	}
	if (fstat(fileno(file), &st) == -1) {
		exec_fail(x, TRANSPORT_DEFER, errno, "transport filter's output");
		return (-1);
	}
	x->c = (struct mbox_content){ .fd = fileno(file), .off = 0, .len = (uint64_t)st.st_size };
	return (0);
}

/* ---- prefix, suffix, escapes, batched SMTP ---- */

static void
set_format(struct exec *x)
{
	const struct transport_job *j = x->j;
	const char *nl = j->crlf ? "\r\n" : "\n";

	sb_add(&x->prefix, j->prefix);
	sb_add(&x->suffix, j->suffix);
	x->f = (struct mbox_format){ .eol = j->crlf ? MBOX_EOL_CRLF : MBOX_EOL_LF, .check = j->check, .escape = j->escape,
	    .end_line = true };
	if (j->bsmtp) {
		sb_addf(&x->prefix, "MAIL FROM:<" SV_FMT ">%s", SV_ARG(j->sender), nl);
		for (size_t i = 0; i < j->rcpts.n; i++)
			sb_addf(&x->prefix, "RCPT TO:<" SV_FMT ">%s", SV_ARG(j->rcpts.v[i]), nl);
		sb_addf(&x->prefix, "DATA%s", nl);
		sb_addf(&x->suffix, ".%s", nl);
		x->f.check = SV_LIT(".");
		x->f.escape = SV_LIT("..");
		x->f.check_header = true;
	}
	x->f.prefix = sb_sv(&x->prefix);
	x->f.suffix = sb_sv(&x->suffix);
}

static int
enter(struct exec *x)
{
	const struct transport_job *j = x->j;
	const char *cwd = j->cwd.len > 0 ? arena_cstr(x->a, j->cwd) : "/";

	static bool begun;

	if (!begun) {
		(void)signal(SIGPIPE, SIG_IGN);
		(void)signal(SIGXFSZ, SIG_IGN);
		begun = true;
	}
	/* Rules set both themselves. */
	if (j->kind == TRANSPORT_PROCMAIL)
		return (0);
	(void)umask(0);
	if (chdir(cwd) == -1 && (errno != ENOENT || j->cwd.len > 0)) {
		exec_fail(x, TRANSPORT_DEFER, errno, "failed to chdir to %s", cwd);
		return (-1);
	}
	return (0);
}

void (*exec_on_wait)(void);

void
transport_on_wait(void (*fn)(void))
{
	exec_on_wait = fn;
}

void
transport_execute(const struct transport_job *j, int fd, struct arena *a, struct transport_result *r)
{
	struct exec x = { .j = j, .a = a, .r = r };
	FILE *filtered = NULL;

	memset(r, 0, sizeof(*r));
	sb_init(&x.prefix, 1024 * 1024);
	sb_init(&x.suffix, 1024 * 1024);
	x.c = (struct mbox_content){ .head = j->header, .fd = fd, .off = (uint64_t)j->off, .len = (uint64_t)j->len };
	if (enter(&x) == -1)
		return;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].kind != (enum transport_kind)j->kind)
			continue;
		if (kinds[i].content)
			set_format(&x);
		if (kinds[i].content && j->filter.n > 0) {
			if ((filtered = tmpfile()) == NULL) {
				exec_fail(&x, TRANSPORT_DEFER, errno, "make a temporary file");
				break;
			}
			if (exec_filter(&x, filtered) == -1)
				break;
		}
		kinds[i].run(&x);
		goto done;
	}
	if (r->text.p == NULL)
		exec_fail(&x, TRANSPORT_DEFER, TRANSPORT_E_TRANSPORT, "no such kind of delivery");
done:
	if (filtered != NULL)
		(void)fclose(filtered);
	sb_free(&x.prefix);
	sb_free(&x.suffix);
}

int
transport_become(const struct transport_job *j, struct err *err)
{
	char user[256];

	if (geteuid() != 0) {
		if (geteuid() != (uid_t)j->uid)
			return (err_set(err, ERR_TEMP, NULL, "unable to set gid=%lld or uid=%lld (euid=%lu)", (long long)j->gid,
			    (long long)j->uid, (unsigned long)geteuid()));
		return (0);
	}
	if (j->uid == 0 && j->gid == 0)
		return (0);
	if (j->user.len >= sizeof(user))
		return (err_set(err, ERR_PERM, NULL, "the user's name is too long"));
	(void)snprintf(user, sizeof(user), SV_FMT, SV_ARG(j->user));
	return (os_drop_to_ids(j->user.len > 0 ? user : NULL, (uid_t)j->uid, (gid_t)j->gid, err));
}

/* ---- in a child ---- */

static _Noreturn void
child(const struct transport_job *j, int fd, int out)
{
	struct sb frame = SB_INIT(IPC_FRAME_MAX);
	struct arena *a = arena_new(0);
	struct transport_result r = { 0 };
	struct err err = ERR_INIT;

	if (transport_become(j, &err) == -1)
		(void)transport_fail(&r, a, TRANSPORT_DEFER, TRANSPORT_E_UID, "%s", err.text);
	else
		transport_execute(j, fd, a, &r);
	ipc_begin(&frame, TRANSPORT_IPC_JOB);
	(void)transport_result_put(&frame, &r);
	ipc_frame_seal(&frame, 0);
	(void)os_write_full(out, frame.p, frame.len);
	_exit(0);
}

/* All that comes until the child closes its end; false when its time was over. */
static bool
collect(int fd, int timeout_s, struct sb *out)
{
	int64_t end = os_mono_ms() + (int64_t)timeout_s * 1000;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = end - os_mono_ms();
		char *room;
		ssize_t n;

		if (timeout_s > 0 && left <= 0)
			return (false);
		if (poll(&p, 1, timeout_s > 0 ? (int)(left < 60000 ? left : 60000) : 60000) <= 0)
			continue;
		if ((room = sb_room(out, 16384)) == NULL || (n = read(fd, room, 16384)) <= 0)
			return (true);
		sb_took(out, (size_t)n);
	}
}

static bool
read_result(struct sv frame, struct arena *a, struct transport_result *r)
{
	struct ipc_msg m;
	char *copy;

	if (frame.len < 4)
		return (false);
	copy = arena_dup(a, frame.p + 4, frame.len - 4);
	return (ipc_parse(&m, sv_from(copy, frame.len - 4)) && transport_result_get(&m, a, r));
}

void
transport_run(const struct transport_job *j, int fd, int timeout_s, struct arena *a, struct transport_result *r)
{
	struct sb frame = SB_INIT(IPC_FRAME_MAX + 65536);
	bool in_time;
	int p[2], status;
	pid_t pid;

	memset(r, 0, sizeof(*r));
	if (os_pipe(p, false) == -1) {
		(void)transport_fail(r, a, TRANSPORT_DEFER, errno, "pipe");
		return;
	}
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		(void)close(p[0]);
		(void)setpgid(0, 0);
		child(j, fd, p[1]);
	}
	(void)close(p[1]);
	if (pid == -1) {
		(void)close(p[0]);
		(void)transport_fail(r, a, TRANSPORT_DEFER, errno, "fork");
		return;
	}
	in_time = collect(p[0], timeout_s, &frame);
	if (!in_time) {
		(void)kill(-pid, SIGKILL);
		(void)kill(pid, SIGKILL);
	}
	(void)close(p[0]);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		continue;
	if (!in_time)
		(void)transport_fail(r, a, TRANSPORT_DEFER, ETIMEDOUT, "the delivery process took too long");
	else if (!read_result(sb_sv(&frame), a, r))
		(void)transport_fail(r, a, TRANSPORT_DEFER, TRANSPORT_E_UNKNOWN, "the delivery process ended without an answer");
	sb_free(&frame);
}
