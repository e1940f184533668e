/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -bs and -bS: SMTP on standard input and output, by lib/session as in vsmtpd; what it takes goes to the
 * spool of this process and is delivered as soon as its line is in the log.
 */
#include <sys/socket.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deliver.h"
#include "io/stream.h"
#include "os/file.h"
#include "session/session.h"

#define CHUNK		65536
#define CONTENT_MAX	((size_t)512 * 1024 * 1024)

struct carrier {
	int	 from, to;
	bool	 half;		/* <to> is the socket: tell it the end */
};

static void *
carry(void *arg)
{
	const struct carrier *c = arg;
	char buf[CHUNK];
	ssize_t n;

	for (;;) {
		n = read(c->from, buf, sizeof(buf));
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0 || os_write_full(c->to, buf, (size_t)n) != n)
			break;
	}
	if (c->half)
		(void)shutdown(c->to, SHUT_WR);
	return (NULL);
}

/* ---- effects ---- */

static int
read_content(const struct spool_content *c, struct sb *out, struct err *err)
{
	char buf[CHUNK];
	int64_t at = 0;

	for (unsigned i = 0; i < c->niov; i++)
		sb_addn(out, c->iov[i].iov_base, c->iov[i].iov_len);
	while (c->fd != -1 && at < c->len) {
		size_t want = c->len - at < CHUNK ? (size_t)(c->len - at) : CHUNK;

		if (os_pread_full(c->fd, buf, want, (off_t)(c->off + at)) != (ssize_t)want)
			return (err_sys(err, "read the message"));
		sb_addn(out, buf, want);
		at += (int64_t)want;
	}
	return (0);
}

static struct sv
without_cr(struct arena *a, struct sv v)
{
	char *p = arena_alloc(a, v.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] != '\r' || i + 1 == v.len || v.p[i + 1] != '\n')
			p[n++] = v.p[i];
	return (sv_from(p, n));
}

static int
take(void *arg, const struct spool_envelope *env, const struct spool_content *c, struct err *err)
{
	struct deliver *d = arg;
	struct dmsg *m = dmsg_new();
	struct sb text = SB_INIT(CONTENT_MAX);
	int rc = read_content(c, &text, err);

	memcpy(m->id, env->id, sizeof(m->id));
	m->received_us = env->received_ms * 1000;
	m->login = m->ident = sv_cstr(arena_str(m->arena, d->caller));
	m->uid = d->caller_uid;
	m->gid = d->caller_gid;
	m->protocol = arena_sv(m->arena, env->protocol);
	m->helo = arena_sv(m->arena, env->helo);
	m->sender = arena_sv(m->arena, env->sender);
	for (size_t i = 0; i < env->nrcpts; i++) {
		struct drcpt r = { .addr = arena_sv(m->arena, env->rcpts[i].addr), .parent = -1 };

		vec_push(&m->rcpts, r);
	}
	if (rc == 0) {
		dmsg_split(m, without_cr(m->arena, sb_sv(&text)));
		rc = dspool_write(d, m, true, err);
	}
	if (rc == 0 && d->odmode != 'q')
		vec_push(&d->pending, xstrdup(m->id));
	sb_free(&text);
	dmsg_free(&m);
	return (rc);
}

static void
log_line(void *arg, unsigned which, const char *line, const char *more)
{
	struct deliver *d = arg;

	if (which & SESSION_LOG_REJECT)
		dlog(d, DLOG_REJECT, "%s%s%s", line, more == NULL ? "" : "\n", more == NULL ? "" : more);
	dlog(d, (which & SESSION_LOG_MAIN ? DLOG_MAIN : 0) | (which & SESSION_LOG_PANIC ? DLOG_PANIC : 0), "%s", line);
	if (d->now && strstr(line, " <= ") != NULL)
		ddeliver_pending(d);
}

static void
converse(struct deliver *d, struct session_conn *c)
{
	const struct session_ops ops = { .arg = d, .submit = take };
	const struct session_log log = { .arg = d, .exim = log_line };
	struct session_service sv;

	memset(&sv, 0, sizeof(sv));
	sv.conf = d->conf;
	sv.world = &d->t->world;
	sv.caches = d->t->env.caches;
	sv.route = &d->t->ops;
	sv.ops = &ops;
	sv.log = &log;
	sv.tmpdir = "/tmp";
	sv.plaintext_auth = true;
	session_run(&sv, c);
}

/* ---- batches ---- */

/* "MAIL FROM:<a@b> SIZE=1": what is between the angle brackets, or the word. */
static struct sv
path_of(struct sv line, size_t skip)
{
	struct sv v = sv_trim(sv_sub(line, skip, line.len));
	ptrdiff_t end;

	if (v.len > 0 && v.p[0] == '<' && (end = sv_chr(v, '>')) > 0)
		return (sv_sub(v, 1, (size_t)end));
	return (sv_word(&v, &v) ? v : SV_LIT(""));
}

static void
read_data(struct sb *out)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		struct sv v = sv_from(line, (size_t)n);

		while (v.len > 0 && (v.p[v.len - 1] == '\n' || v.p[v.len - 1] == '\r'))
			v.len--;
		if (v.len == 1 && v.p[0] == '.')
			break;
		if (v.len > 1 && v.p[0] == '.')
			v = sv_sub(v, 1, v.len);
		sb_add(out, v);
		sb_addc(out, '\n');
	}
	free(line);
}

static struct dmsg *
batch_message(struct deliver *d)
{
	struct dmsg *m = dmsg_new();

	dmsg_start(m, d->caller, d->caller_uid);
	m->protocol = SV_LIT("local-bsmtp");
	return (m);
}

/* A batch has no dialogue: commands come, and the first that cannot be obeyed ends it. */
static int
run_batch(struct deliver *d)
{
	struct dmsg *m = batch_message(d);
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int rc = 0;

	while (rc == 0 && (n = getline(&line, &cap, stdin)) > 0) {
		struct sv v = sv_trim(sv_from(line, (size_t)n));
		struct err err = ERR_INIT;

		if (sv_casestarts(v, "MAIL FROM:"))
			m->sender = arena_sv(m->arena, path_of(v, 10));
		else if (sv_casestarts(v, "RCPT TO:")) {
			struct drcpt r = { .addr = arena_sv(m->arena, path_of(v, 8)), .parent = -1 };

			vec_push(&m->rcpts, r);
		} else if (sv_caseeqs(v, "DATA") && m->rcpts.len > 0) {
			struct sb text = SB_INIT(CONTENT_MAX);

			read_data(&text);
			dmsg_split(m, arena_sv(m->arena, sb_sv(&text)));
			sb_free(&text);
			rc = dreceive(d, m, true, &err);
			dmsg_free(&m);
			m = batch_message(d);
			if (d->now)
				ddeliver_pending(d);
		} else if (sv_caseeqs(v, "RSET")) {
			dmsg_free(&m);
			m = batch_message(d);
		} else if (sv_caseeqs(v, "QUIT"))
			break;
		else if (v.len > 0 && !sv_casestarts(v, "HELO") && !sv_casestarts(v, "EHLO") && !sv_casestarts(v, "NOOP"))
			rc = 1;
	}
	free(line);
	dmsg_free(&m);
	ddeliver_pending(d);
	return (rc);
}

int
dreceive_smtp(struct deliver *d, bool batch)
{
	struct carrier in = { STDIN_FILENO, -1, true }, out = { -1, STDOUT_FILENO, false };
	struct session_conn c = { .kind = SESSION_LOCAL, .user = d->caller, .uid = d->caller_uid, .trusted = d->caller_uid == 0,
	    .exim_style = true, .lf_lines = true };
	pthread_t reader, writer;
	int pair[2];

	if (batch)
		return (run_batch(d));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1) {
		(void)fprintf(stderr, "sendmail: socketpair: %s\n", strerror(errno));
		return (EX_SOFTWARE);
	}
	in.to = out.from = pair[1];
	(void)fflush(stdout);
	if (pthread_create(&writer, NULL, carry, &out) != 0 || pthread_create(&reader, NULL, carry, &in) != 0)
		return (EX_SOFTWARE);
	c.stream = stream_new(pair[0]);
	converse(d, &c);
	/* The session has closed its end.  The reader may wait for a terminal for ever. */
	(void)pthread_join(writer, NULL);
	(void)pthread_detach(reader);
	ddeliver_pending(d);
	return (0);
}
