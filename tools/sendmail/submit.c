/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Submission: SMTP to the box's vsmtpd, on its UNIX socket or, where that is missing, on
 * loopback.  Where nobody answers, or the service goes away (421, or without a word) before it can have taken the
 * message, that goes to the queue itself.
 */
#include <sys/socket.h>
#include <sys/time.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/addr.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"
#include "sendmail_int.h"

#define WAIT_SECONDS	300

struct smtp {
	int		 fd;
	struct sb	 in;
	struct sb	 reply;		/* all lines of the last reply */
	int		 code;		/* 0: the connection is gone */
	bool		 verbose;
	bool		 eightbit, utf8, dsn, size;
	bool		 dot;		/* the message's end is on its way: from here on silence may mean that it was taken */
	VEC(const char *) left;		/* recipients that were not refused */
	VEC(const char *) later;	/* those that were, for now, and */
	VEC(const char *) why;		/* what was said to each */
	bool		 taken;		/* somebody has the message already */
};

/* ---- connecting ---- */

static int
connect_addr(const struct net_addr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = net_addr_to_sockaddr(a, &ss);
	int fd = socket(a->family == 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd != -1 && connect(fd, (struct sockaddr *)&ss, len) == -1) {
		(void)close(fd);
		return (-1);
	}
	return (fd);
}

static bool
is_any(const struct net_addr *a)
{
	static const uint8_t zero[16];

	return (memcmp(a->ip, zero, sizeof(zero)) == 0);
}

/* A blocking socket of the box's SMTP service: <socket>, else on loopback.  -1: there is none. */
static int
smtp_connect(const struct box *b, const char *socket)
{
	struct timeval tv = { .tv_sec = WAIT_SECONDS };
	int fd = os_unix_connect(box_path(b, socket));

	for (size_t i = 0; fd == -1 && i < b->smtp_listen.len; i++) {
		struct net_addr a = b->smtp_listen.p[i].addr;

		if (is_any(&a))
			(void)net_addr_parse(SV_LIT("127.0.0.1"), &a);
		a.port = b->smtp_listen.p[i].addr.port;
		if (net_addr_is_loopback(&a))
			fd = connect_addr(&a);
	}
	if (fd == -1)
		return (-1);
	(void)os_nonblock(fd, false);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	return (fd);
}

/* ---- the dialogue ---- */

/* One line of a reply into s->reply; 1 more follow, 0 the last, -1 the connection is gone. */
static int
read_line(struct smtp *s)
{
	ptrdiff_t nl;
	struct sv line;
	int more;

	while ((nl = sv_chr(sb_sv(&s->in), '\n')) == -1) {
		char *room = sb_room(&s->in, 1024);
		ssize_t n;

		if (room == NULL)
			return (-1);
		n = read(s->fd, room, 1024);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return (-1);
		sb_took(&s->in, (size_t)n);
	}
	line = sv_trim(sv_sub(sb_sv(&s->in), 0, (size_t)nl));
	if (line.len < 3 || !sv_isdigit(line.p[0]) || !sv_isdigit(line.p[1]) || !sv_isdigit(line.p[2]))
		return (-1);
	if (s->verbose)
		printf("<- " SV_FMT "\n", SV_ARG(line));
	s->code = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0');
	more = line.len > 3 && line.p[3] == '-';
	if (s->reply.len > 0)
		sb_addc(&s->reply, '\n');
	sb_add(&s->reply, line);
	sb_drop(&s->in, (size_t)nl + 1);
	return (more);
}

static int
read_reply(struct smtp *s)
{
	int more;

	sb_clear(&s->reply);
	while ((more = read_line(s)) == 1)
		continue;
	if (more == -1)
		s->code = 0;
	return (s->code);
}

static int command(struct smtp *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int
command(struct smtp *s, const char *fmt, ...)
{
	struct sb line = SB_INIT(8192);
	va_list ap;

	va_start(ap, fmt);
	sb_addv(&line, fmt, ap);
	va_end(ap);
	if (s->verbose)
		printf("-> %s\n", sb_cstr(&line));
	sb_adds(&line, "\r\n");
	if (line.overflow || os_write_full(s->fd, line.p, line.len) == -1)
		s->code = 0;
	else
		(void)read_reply(s);
	sb_free(&line);
	return (s->code);
}

static void
extensions(struct smtp *s)
{
	struct sv rest = sb_sv(&s->reply), line;

	while (sv_next(&rest, '\n', &line)) {
		struct sv word, left = sv_sub(line, 4, line.len);

		if (!sv_word(&left, &word))
			continue;
		s->eightbit |= sv_caseeqs(word, "8BITMIME");
		s->utf8 |= sv_caseeqs(word, "SMTPUTF8");
		s->dsn |= sv_caseeqs(word, "DSN");
		s->size |= sv_caseeqs(word, "SIZE");
	}
}

static void
xtext(struct sb *out, const char *v)
{
	for (; *v != '\0'; v++) {
		if (*v > ' ' && *v < 0x7f && *v != '+' && *v != '=')
			sb_addc(out, *v);
		else
			sb_addf(out, "+%02X", (unsigned char)*v);
	}
}

static int
mail_command(struct smtp *s, const struct message *m, const struct options *o)
{
	struct sb c = SB_INIT(4096);
	int code;

	sb_addf(&c, "MAIL FROM:<%s>", m->sender);
	if (s->size)
		sb_addf(&c, " SIZE=%zu", m->text.len);
	if (s->eightbit && m->eightbit)
		sb_adds(&c, " BODY=8BITMIME");
	if (s->utf8 && m->utf8)
		sb_adds(&c, " SMTPUTF8");
	if (s->dsn && o->ret != NULL)
		sb_addf(&c, " RET=%s", o->ret);
	if (s->dsn && o->envid != NULL) {
		sb_adds(&c, " ENVID=");
		xtext(&c, o->envid);
	}
	code = command(s, "%s", sb_cstr(&c));
	sb_free(&c);
	return (code);
}

/* RFC 5321 4.5.2: a dot that begins a line is doubled. */
static int
send_data(struct smtp *s, struct sv text)
{
	struct sb out = SB_INIT(MESSAGE_MAX * 2);
	struct sv line;
	int rc;

	while (text.len > 0) {
		ptrdiff_t nl = sv_chr(text, '\n');
		size_t n = nl == -1 ? text.len : (size_t)nl + 1;

		line = sv_from(text.p, n);
		if (line.p[0] == '.')
			sb_addc(&out, '.');
		sb_add(&out, line);
		text = sv_from(text.p + n, text.len - n);
	}
	sb_adds(&out, ".\r\n");
	/* Where the write ends early the last byte was not sent. */
	if (os_write_full(s->fd, out.p, out.len) == -1) {
		rc = s->code = 0;
	} else {
		s->dot = true;
		rc = read_reply(s);
	}
	sb_free(&out);
	return (rc);
}

/* What a reply means for the caller. */
static int
verdict(const struct smtp *s, int perm, struct err *err)
{
	if (s->code == 0) {
		(void)err_set(err, ERR_TEMP, NULL, "the mail service broke the connection");
		return (EX_TEMPFAIL);
	}
	(void)err_set(err, s->code >= 500 ? ERR_PERM : ERR_TEMP, NULL, "%s", sb_cstr(&s->reply));
	return (s->code >= 500 ? perm : EX_TEMPFAIL);
}

/* The service went away, and certainly without the message. */
static bool
not_taken(const struct smtp *s)
{
	return (s->code == 421 || (s->code == 0 && !s->dot));
}

static int
rcpt_command(struct smtp *s, const char *addr, const struct options *o)
{
	if (s->dsn && o->notify != NULL)
		return (command(s, "RCPT TO:<%s> NOTIFY=%s", addr, o->notify));
	return (command(s, "RCPT TO:<%s>", addr));
}

static void
fact(struct sb *out, const char *key, const char *value)
{
	if (value == NULL)
		return;
	sb_addf(out, " %s=", key);
	xtext(out, value);
}

/* "192.0.2.1.25" of -oMa and -oMi, as Exim writes a port: "192.0.2.1:25". */
static const char *
address(struct message *m, const char *text)
{
	struct net_addr a;
	const char *dot;

	if (text == NULL || net_addr_parse(sv_cstr(text), &a) || (dot = strrchr(text, '.')) == NULL)
		return (text);
	return (arena_fmt(m->arena, strchr(text, ':') == NULL ? "%.*s:%s" : "[%.*s]:%s", (int)(dot - text), text, dot + 1));
}

/* What the options say of where the message came from; only trusted callers are believed. */
static bool
tell_facts(struct smtp *s, struct message *m, const struct options *o)
{
	struct sb c = SB_INIT(4096);
	bool ok = true;

	fact(&c, "ADDR", address(m, o->host_address));
	fact(&c, "INTERFACE", address(m, o->interface));
	fact(&c, "NAME", o->host_name);
	fact(&c, "IDENT", o->ident);
	fact(&c, "MECHANISM", o->auth_mechanism);
	fact(&c, "LOGIN", o->auth_id);
	fact(&c, "SENDER", o->auth_sender);
	fact(&c, "PROTO", o->protocol);
	if (o->mode == MODE_BATCH)
		fact(&c, "BATCH", m->helo == NULL ? "" : m->helo);
	if (o->odmode == 'q')
		fact(&c, "QUEUE", "1");
	if (c.len > 0)
		ok = command(s, "XLOCAL%s", sb_cstr(&c)) / 100 == 2 || s->code / 100 == 5;
	sb_free(&c);
	return (ok);
}

/* The recipients from <i> on were not asked for yet. */
static void
left_from(struct smtp *s, const struct message *m, size_t i)
{
	for (; i < m->rcpts.len; i++)
		vec_push(&s->left, m->rcpts.p[i]);
}

/* The message to the first <*n> recipients, as many as go at once.  <*rc>: what was said of those that were refused. */
static int
send_to_some(struct smtp *s, struct message *m, const struct options *o, size_t *n, int *rc, struct err *err)
{
	size_t good = 0, i;

	s->dot = false;
	vec_clear(&s->left);
	if (mail_command(s, m, o) != 250)
		return (verdict(s, EX_UNAVAILABLE, err));
	for (i = 0; i < m->rcpts.len; i++) {
		struct err e = ERR_INIT;
		int one;

		if (rcpt_command(s, m->rcpts.p[i], o) / 100 == 2) {
			good++;
			vec_push(&s->left, m->rcpts.p[i]);
			continue;
		}
		if (not_taken(s)) {
			left_from(s, m, i);
			return (verdict(s, EX_UNAVAILABLE, err));
		}
		/* Enough for one turn. */
		if (s->code == 452 && good > 0)
			break;
		one = verdict(s, EX_NOUSER, &e);
		if (one == EX_TEMPFAIL) {
			vec_push(&s->later, m->rcpts.p[i]);
			vec_push(&s->why, arena_str(m->arena, e.text));
			continue;
		}
		/* A batch ends at the first mistake, and this message is sent again as a whole. */
		if (o->mode == MODE_BATCH) {
			*err = e;
			return (one);
		}
		(void)fprintf(stderr, "sendmail: %s: %s\n", m->rcpts.p[i], e.text);
		*rc = one;
	}
	*n = i;
	left_from(s, m, i);
	if (good == 0)
		return (EX_OK);
	if (command(s, "DATA") != 354)
		return (verdict(s, EX_UNAVAILABLE, err));
	if (send_data(s, sb_sv(&m->text)) != 250)
		return (verdict(s, EX_DATAERR, err));
	s->taken = true;
	return (EX_OK);
}

/*
 * Recipients that were refused for now: whoever is told to try again would do so for all of them, so that where others have the message
 * it is the queue that tries.
 */
static int
send_later(struct smtp *s, struct message *m, const struct options *o, int rc, struct err *err)
{
	int queued;

	for (size_t i = 0; i < s->later.len && !s->taken; i++) {
		(void)fprintf(stderr, "sendmail: %s: %s\n", s->later.p[i], s->why.p[i]);
		rc = EX_TEMPFAIL;
	}
	if (s->later.len == 0 || !s->taken)
		return (rc);
	vec_clear(&m->rcpts);
	for (size_t i = 0; i < s->later.len; i++)
		vec_push(&m->rcpts, s->later.p[i]);
	queued = submit_to_queue(m, o, err);
	return (queued == EX_OK ? rc : queued);
}

/* Who has it is no longer among m->rcpts. */
static int
transaction(struct smtp *s, struct message *m, const struct options *o, int *rc, struct err *err)
{
	char host[256];
	size_t n = 0;
	int one;

	*rc = EX_OK;
	os_hostname(host, sizeof(host));
	if (read_reply(s) != 220 || !tell_facts(s, m, o) ||
	    command(s, "EHLO %s", m->box->hostname[0] != '\0' ? m->box->hostname : host) != 250)
		return (verdict(s, EX_UNAVAILABLE, err));
	extensions(s);
	do {
		if ((one = send_to_some(s, m, o, &n, rc, err)) != EX_OK)
			return (one);
		memmove(m->rcpts.p, m->rcpts.p + n, (m->rcpts.len - n) * sizeof(*m->rcpts.p));
		m->rcpts.len -= n;
	} while (m->rcpts.len > 0);
	(void)command(s, "QUIT");
	s->code = 250;
	return (send_later(s, m, o, *rc, err));
}

/* To the queue for all recipients that were not refused; <rc> tells of those that were. */
static int
queue_rest(struct smtp *s, struct message *m, const struct options *o, int rc, struct err *err)
{
	int queued;

	if (s->left.len > 0) {
		vec_clear(&m->rcpts);
		for (size_t i = 0; i < s->left.len; i++)
			vec_push(&m->rcpts, s->left.p[i]);
	}
	for (size_t i = 0; i < s->later.len; i++)
		vec_push(&m->rcpts, s->later.p[i]);
	err_clear(err);
	queued = submit_to_queue(m, o, err);
	return (queued == EX_OK ? rc : queued);
}

int
submit(struct message *m, const struct options *o, struct err *err)
{
	struct smtp s = { .fd = smtp_connect(m->box, SOCK_HANDED), .verbose = o->verbose, .in = SB_INIT(65536),
		.reply = SB_INIT(65536) };
	int rc, refused;

	if (s.fd == -1)
		return (submit_to_queue(m, o, err));
	(void)signal(SIGPIPE, SIG_IGN);
	rc = transaction(&s, m, o, &refused, err);
	/* Where others have it, trying all again would be wrong for certain: whoever may have been missed gets it from the queue. */
	if (rc != EX_OK && (not_taken(&s) || (s.taken && s.code / 100 != 5)))
		rc = queue_rest(&s, m, o, refused, err);
	(void)close(s.fd);
	vec_free(&s.left);
	vec_free(&s.later);
	vec_free(&s.why);
	sb_free(&s.in);
	sb_free(&s.reply);
	return (rc);
}

/* ---- -bs ---- */

/* One direction: what was read and is not written yet.  Never more than that, and no write may block: the other side may do so too. */
struct flow {
	char		 buf[16384];
	size_t		 at, len;
	bool		 end;		/* nothing more comes */
};

static void
fill(struct flow *f, int from)
{
	ssize_t n = read(from, f->buf, sizeof(f->buf));

	if (n == -1 && (errno == EINTR || errno == EAGAIN))
		return;
	f->at = 0;
	f->len = n > 0 ? (size_t)n : 0;
	f->end = n <= 0;
}

/* <n> as send(2) or write(2) says: who does not read any more needs nothing more. */
static void
wrote(struct flow *f, ssize_t n)
{
	if (n >= 0)
		f->at += (size_t)n;
	else if (errno != EINTR && errno != EAGAIN) {
		f->end = true;
		f->at = f->len;
	}
}

static bool
is_empty(const struct flow *f)
{
	return (f->at == f->len);
}

int
smtp_pipe(const struct box *b, struct err *err)
{
	struct flow in = { .end = false }, out = { .end = false };
	bool told = false;
	int fd = smtp_connect(b, SOCK_SMTP), n;

	if (fd == -1) {
		printf("421 4.3.2 The mail service is not running\r\n");
		(void)err_set(err, ERR_TEMP, NULL, "vsmtpd does not run");
		return (EX_TEMPFAIL);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	while (!out.end || !is_empty(&out)) {
		struct pollfd pf[3] = {
			{ .fd = in.end || !is_empty(&in) ? -1 : STDIN_FILENO, .events = POLLIN },
			{ .fd = fd, .events = (short)((is_empty(&in) ? 0 : POLLOUT) | (is_empty(&out) ? POLLIN : 0)) },
			{ .fd = is_empty(&out) ? -1 : STDOUT_FILENO, .events = POLLOUT }
		};

		if ((n = poll(pf, 3, WAIT_SECONDS * 1000)) == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			(void)err_set(err, ERR_TEMP, NULL, "nothing was said for %d seconds", WAIT_SECONDS);
			break;
		}
		if (pf[0].revents != 0)
			fill(&in, STDIN_FILENO);
		if ((pf[1].revents & (POLLOUT | POLLERR)) != 0 && !is_empty(&in))
			wrote(&in, send(fd, in.buf + in.at, in.len - in.at, MSG_DONTWAIT));
		if ((pf[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && is_empty(&out))
			fill(&out, fd);
		/* So much a pipe takes at once when it takes anything. */
		if (pf[2].revents != 0)
			wrote(&out, write(STDOUT_FILENO, out.buf + out.at, out.len - out.at < PIPE_BUF ? out.len - out.at : PIPE_BUF));
		if (in.end && is_empty(&in) && !told) {
			(void)shutdown(fd, SHUT_WR);
			told = true;
		}
	}
	(void)close(fd);
	return (err->text[0] == '\0' ? EX_OK : EX_TEMPFAIL);
}
