/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lmtp at work (RFC 2033): over a UNIX socket, or the standard input and output of a command.  One
 * question, one answer; after the final dot an answer for each recipient that was accepted.
 */
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mbox/run.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/spawn.h"
#include "os/time.h"
#include "smtp/reply.h"
#include "transport/transport_int.h"

#define COMMAND_MAX	8192

struct lmtp {
	struct exec	*x;
	int		 in, out;
	pid_t		 pid;
	char		 buf[SMTP_REPLY_LINE_MAX];
	size_t		 have;
	struct smtp_reply reply;
	const char	*after;		/* the last command, for texts */
	bool		 dead;
};

/* ---- lines ---- */

static void
lost(struct lmtp *l, int e)
{
	l->dead = true;
	if (e == ETIMEDOUT)
		exec_fail(l->x, TRANSPORT_DEFER, TRANSPORT_E_UNKNOWN, "LMTP timeout after %s", l->after);
	else if (e != 0)
		exec_fail(l->x, TRANSPORT_DEFER, e, "LMTP error after %s", l->after);
	else
		exec_fail(l->x, TRANSPORT_DEFER, TRANSPORT_E_UNKNOWN, "LMTP connection closed after %s", l->after);
	l->x->r->host = true;
}

static int
wait_for(const struct lmtp *l, int fd, short what, int64_t end)
{
	struct pollfd p = { .fd = fd, .events = what };
	int64_t left = end - os_mono_ms();
	int rc;

	if (l->x->j->timeout > 0 && left <= 0) {
		errno = ETIMEDOUT;
		return (-1);
	}
	rc = poll(&p, 1, l->x->j->timeout > 0 ? (int)left : -1);
	if (rc == 0)
		errno = ETIMEDOUT;
	return (rc > 0 ? 0 : -1);
}

static int64_t
deadline(const struct lmtp *l)
{
	return (os_mono_ms() + l->x->j->timeout * 1000);
}

/* The next line, without its end, in l->buf; its length, -1 when told. */
static ssize_t
read_line(struct lmtp *l, int64_t end, size_t *used)
{
	for (;;) {
		char *nl = memchr(l->buf, '\n', l->have);
		ssize_t n;

		if (nl != NULL) {
			*used = (size_t)(nl - l->buf) + 1;
			return (nl > l->buf && nl[-1] == '\r' ? nl - l->buf - 1 : nl - l->buf);
		}
		if (l->have == sizeof(l->buf)) {
			lost(l, EPROTO);
			return (-1);
		}
		if (wait_for(l, l->in, POLLIN, end) == -1 || (n = read(l->in, l->buf + l->have, sizeof(l->buf) - l->have)) == -1) {
			if (errno == EAGAIN || errno == EINTR)
				continue;
			lost(l, errno);
			return (-1);
		}
		if (n == 0) {
			lost(l, 0);
			return (-1);
		}
		l->have += (size_t)n;
	}
}

static int
read_reply(struct lmtp *l)
{
	int64_t end = deadline(l);
	struct err err = ERR_INIT;

	smtp_reply_reset(&l->reply);
	for (;;) {
		size_t used;
		ssize_t n = read_line(l, end, &used);
		enum smtp_reply_state st;

		if (n == -1)
			return (-1);
		st = smtp_reply_line(&l->reply, sv_from(l->buf, (size_t)n), &err);
		memmove(l->buf, l->buf + used, l->have - used);
		l->have -= used;
		if (st == SMTP_REPLY_BAD) {
			l->dead = true;
			exec_fail(l->x, TRANSPORT_DEFER, TRANSPORT_E_UNKNOWN, "Malformed LMTP reply after %s: %s", l->after, err.text);
			l->x->r->host = true;
			return (-1);
		}
		if (st == SMTP_REPLY_DONE)
			return (0);
	}
}

static int
write_all(struct lmtp *l, const char *p, size_t n)
{
	int64_t end = deadline(l);

	while (n > 0) {
		ssize_t k = write(l->out, p, n);

		if (k == -1 && errno == EAGAIN && wait_for(l, l->out, POLLOUT, end) == 0)
			continue;
		if (k == -1 && errno == EINTR)
			continue;
		if (k == -1) {
			lost(l, errno);
			return (-1);
		}
		p += k;
		n -= (size_t)k;
	}
	return (0);
}

static int
command(struct lmtp *l, struct sb *text)
{
	char *copy = arena_str(l->x->a, sb_cstr(text));
	int rc;

	/* An address with an end of line in it would be a command of its own. */
	if (strpbrk(copy, "\r\n") != NULL || strlen(copy) != text->len) {
		exec_fail(l->x, TRANSPORT_FAIL, TRANSPORT_E_FORMAT, "an address with control characters for " SV_FMT " transport",
		    SV_ARG(l->x->j->transport));
		sb_free(text);
		return (-1);
	}
	sb_adds(text, "\r\n");
	rc = text->overflow ? -1 : write_all(l, text->p, text->len);
	l->after = copy;
	sb_free(text);
	return (rc);
}

/* Whether anybody hears it matters to nothing. */
static void
quit(const struct lmtp *l)
{
	(void)!write(l->out, "QUIT\r\n", 6);
}

static bool
is_ok(const struct lmtp *l, unsigned class)
{
	return (l->reply.code / 100 == class);
}

/* "550 5.1.1 no" on one line. */
static struct sv
reply_text(struct lmtp *l)
{
	char *p = arena_fmt(l->x->a, "%u " SV_FMT, l->reply.code, SV_ARG(sb_sv(&l->reply.text)));

	for (char *q = p; *q != '\0'; q++)
		if ((unsigned char)*q < ' ')
			*q = ' ';
	return (sv_cstr(p));
}

static void
refused(struct lmtp *l)
{
	exec_fail(l->x, l->reply.code / 100 == 5 ? TRANSPORT_FAIL : TRANSPORT_DEFER,
	    l->reply.code / 100 == 5 ? 0 : TRANSPORT_E_UNKNOWN, "LMTP error after %s: " SV_FMT, l->after,
	    SV_ARG(reply_text(l)));
}

/* ---- results by recipient ---- */

static void
set_rcpt(struct lmtp *l, size_t i, char status, struct sv text)
{
	l->x->r->rcpt_results.v[i] = sv_cstr(arena_fmt(l->x->a, "%c" SV_FMT, status, SV_ARG(text)));
}

static char
status_char(const struct lmtp *l)
{
	return (is_ok(l, 2) ? '0' : is_ok(l, 5) ? '2' : '1');
}

static void
set_rcpt_reply(struct lmtp *l, size_t i, const char *after)
{
	struct sv text = reply_text(l);

	if (!is_ok(l, 2))
		text = sv_cstr(arena_fmt(l->x->a, "LMTP error after %s: " SV_FMT, after, SV_ARG(text)));
	set_rcpt(l, i, status_char(l), text);
}

/* ---- the dialogue ---- */

static int
greet(struct lmtp *l, bool *igquota)
{
	const struct transport_job *j = l->x->j;
	struct sb c = SB_INIT(COMMAND_MAX);

	l->after = "initial connection";
	if (read_reply(l) == -1)
		return (-1);
	if (!is_ok(l, 2)) {
		refused(l);
		return (-1);
	}
	sb_addf(&c, "LHLO " SV_FMT, SV_ARG(j->hostname));
	if (command(l, &c) == -1 || read_reply(l) == -1)
		return (-1);
	if (!is_ok(l, 2)) {
		refused(l);
		return (-1);
	}
	*igquota = j->ignore_quota && sv_casefind(sb_sv(&l->reply.text), SV_LIT("IGNOREQUOTA")) >= 0;
	return (0);
}

static int
envelope(struct lmtp *l, bool igquota, bool *accepted, size_t *n)
{
	const struct transport_job *j = l->x->j;
	struct sb c = SB_INIT(COMMAND_MAX);

	sb_addf(&c, "MAIL FROM:<" SV_FMT ">", SV_ARG(j->sender));
	if (command(l, &c) == -1 || read_reply(l) == -1)
		return (-1);
	if (!is_ok(l, 2)) {
		refused(l);
		quit(l);
		return (-1);
	}
	for (size_t i = 0; i < j->rcpts.n; i++) {
		sb_init(&c, COMMAND_MAX);
		sb_addf(&c, "RCPT TO:<" SV_FMT ">%s", SV_ARG(j->rcpts.v[i]), igquota ? " IGNOREQUOTA" : "");
		if (command(l, &c) == -1 || read_reply(l) == -1)
			return (-1);
		accepted[i] = is_ok(l, 2);
		*n += accepted[i];
		if (!accepted[i])
			set_rcpt_reply(l, i, l->after);
	}
	return (0);
}

static int
content(struct lmtp *l)
{
	struct exec *x = l->x;
	struct sb c = SB_INIT(COMMAND_MAX);
	struct mbox_format f = x->f;

	sb_adds(&c, "DATA");
	if (command(l, &c) == -1 || read_reply(l) == -1)
		return (-1);
	if (!is_ok(l, 3)) {
		refused(l);
		return (-1);
	}
	f.eol = MBOX_EOL_CRLF;
	f.prefix = SV_NULL;
	f.check = SV_LIT(".");
	f.escape = SV_LIT("..");
	f.check_header = true;
	f.suffix = SV_LIT(".\r\n");
	/* The whole dialogue's time is limited by the caller; a peer that stops reading is noticed here. */
	(void)os_nonblock(l->out, false);
	if (l->x->j->timeout > 0) {
		struct timeval tv = { .tv_sec = l->x->j->timeout };

		(void)setsockopt(l->out, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	}
	if (mbox_write(l->out, &x->c, &f, NULL) == -1) {
		l->after = "message data";
		lost(l, errno == EAGAIN ? ETIMEDOUT : errno);
		return (-1);
	}
	(void)os_nonblock(l->out, true);
	l->after = "end of data";
	return (0);
}

static void
dialogue(struct lmtp *l)
{
	const struct transport_job *j = l->x->j;
	struct transport_result *r = l->x->r;
	bool *accepted = arena_zalloc(l->x->a, (j->rcpts.n + 1) * sizeof(*accepted)), igquota = false;
	size_t n = 0;

	r->rcpt_results.v = arena_zalloc(l->x->a, (j->rcpts.n + 1) * sizeof(struct sv));
	if (greet(l, &igquota) == -1 || envelope(l, igquota, accepted, &n) == -1)
		return;
	if (n > 0) {
		if (content(l) == -1)
			return;
		for (size_t i = 0; i < j->rcpts.n; i++) {
			if (!accepted[i])
				continue;
			if (read_reply(l) == -1)
				return;
			set_rcpt_reply(l, i, "end of data");
			if (is_ok(l, 2))
				r->confirmation = reply_text(l);
		}
	}
	quit(l);
}

/* Recipients without an answer share the fate of the whole; none answered: there is only that. */
static void
complete(struct lmtp *l)
{
	struct transport_list *res = &l->x->r->rcpt_results;
	size_t n = l->x->j->rcpts.n, answered = 0;

	for (size_t i = 0; res->v != NULL && i < n; i++)
		answered += res->v[i].p != NULL;
	if (answered == 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (res->v[i].p == NULL)
			set_rcpt(l, i, l->x->r->status == TRANSPORT_FAIL ? '2' : '1', l->x->r->text);
	res->n = n;
	l->x->r->status = TRANSPORT_OK;
}

/* ---- connections ---- */

static int
open_socket(struct lmtp *l)
{
	const struct transport_job *j = l->x->j;
	const char *path = arena_cstr(l->x->a, j->socket);

	l->in = l->out = os_unix_connect(path);
	if (l->in != -1)
		return (0);
	exec_fail(l->x, TRANSPORT_DEFER, TRANSPORT_E_UNKNOWN, "Failed to connect to socket %s for " SV_FMT " transport: %s", path,
		    SV_ARG(l->x->j->transport), strerror(errno));
	l->x->r->host = true;
	return (-1);
}

static int
open_command(struct lmtp *l)
{
	const struct transport_job *j = l->x->j;
	const char *const *argv = exec_strings(l->x->a, &j->argv);
	struct os_spawn s = { .argv = argv, .cwd = ".", .errfd = -1, .new_session = true, .umask = 022, .cpu_seconds = (long)j->cpu,
	    .memory_bytes = (long)j->memory, .processes = exec_process_limit(j), .file_bytes = (long)j->file_bytes };
	struct err err = ERR_INIT;
	int a[2], b[2];

	if (os_pipe(a, false) == -1)
		goto fail;
	if (os_pipe(b, false) == -1) {
		(void)close(a[0]);
		(void)close(a[1]);
		goto fail;
	}
	s.in = a[0];
	s.out = b[1];
	l->pid = os_spawn(&s, &err);
	(void)close(a[0]);
	(void)close(b[1]);
	l->out = a[1];
	l->in = b[0];
	(void)os_nonblock(l->out, true);
	(void)os_nonblock(l->in, true);
	if (l->pid != -1)
		return (0);
fail:
	/* What cannot be run has closed the connection. */
	if (errno == ENOENT || errno == EACCES || errno == ENOEXEC || errno == ENOTDIR) {
		l->after = "initial connection";
		lost(l, 0);
	} else
		exec_fail(l->x, TRANSPORT_DEFER, errno, "Failed to create child process for " SV_FMT " transport: %s",
		    SV_ARG(j->transport), strerror(errno));
	return (-1);
}

void
exec_lmtp(struct exec *x)
{
	struct lmtp *l = arena_zalloc(x->a, sizeof(*l));
	int status;

	l->x = x;
	l->in = l->out = -1;
	l->pid = -1;
	smtp_reply_init(&l->reply);
	if ((x->j->socket.len > 0 ? open_socket(l) : open_command(l)) == 0) {
		dialogue(l);
		complete(l);
	}
	if (l->out != -1 && l->out != l->in)
		(void)close(l->out);
	if (l->in != -1)
		(void)close(l->in);
	if (l->pid != -1) {
		if (os_wait(l->pid, &status, 1000) == 0) {
			(void)kill(-l->pid, SIGKILL);
			(void)waitpid(l->pid, &status, 0);
		}
	}
	smtp_reply_free(&l->reply);
}
