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
#include "mail/address.h"
#include "os/file.h"
#include "exim/extract.h"
#include "session/session.h"
#include "session/tls_conf.h"

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
	m->login = sv_cstr(arena_str(m->arena, d->caller));
	m->ident = arena_sv(m->arena, env->ident);
	m->host_addr = arena_sv(m->arena, env->host_addr);
	m->host_port = env->host_port;
	m->host_name = arena_sv(m->arena, env->host_name);
	m->host_auth = arena_sv(m->arena, env->auth_name);
	m->auth_id = arena_sv(m->arena, env->auth_id);
	m->auth_sender = arena_sv(m->arena, env->auth_sender);
	m->interface = arena_sv(m->arena, env->iface_addr);
	m->interface_port = env->iface_port;
	m->uid = d->caller_uid;
	m->gid = d->caller_gid;
	m->protocol = arena_sv(m->arena, env->protocol);
	m->helo = arena_sv(m->arena, env->helo);
	m->sender = arena_sv(m->arena, env->sender);
	m->envid = arena_sv(m->arena, env->envid);
	m->ret_set = env->ret != SPOOL_RET_NONE;
	m->ret_hdrs = env->ret == SPOOL_RET_HDRS;
	for (size_t i = 0; i < env->nvars; i++)
		vec_push(&m->vars, ((struct dvar){ arena_sv(m->arena, env->vars[i].name), arena_sv(m->arena, env->vars[i].value) }));
	if (env->flags & SPOOL_FREEZE) {
		m->frozen = true;
		m->frozen_at = dnow();
	}
	m->queue_only = (env->flags & (SPOOL_QUEUE_ONLY | SPOOL_FIRST_PASS)) != 0;
	m->queue = arena_sv(m->arena, env->queue);
	for (size_t i = 0; i < env->nrcpts; i++) {
		struct drcpt r = { .addr = arena_sv(m->arena, env->rcpts[i].addr), .parent = -1,
		    .orcpt = arena_sv(m->arena, env->rcpts[i].orcpt), .notify = env->rcpts[i].notify };

		vec_push(&m->rcpts, r);
	}
	dsender_smtp(d, m);
	if (rc == 0 && text.overflow)
		rc = err_set(err, ERR_PERM, "5.3.4", "the message has more than %zu bytes", text.max);
	if (rc == 0) {
		dmsg_split(m, without_cr(m->arena, sb_sv(&text)));
		rc = dspool_write(d, m, true, err);
	}
	if (rc == 0 && d->odmode != 'q' && !m->frozen && !m->queue_only)
		ddeliver_later(d, m);
	sb_free(&text);
	dmsg_free(&m);
	return (rc);
}

static void
log_line(void *arg, unsigned which, const char *line, const char *more)
{
	struct deliver *d = arg;
	const unsigned rest = (which & SESSION_LOG_MAIN ? DLOG_MAIN : 0) | (which & SESSION_LOG_PANIC ? DLOG_PANIC : 0);
	struct sv head = more == NULL ? SV_LIT("") : sv_cstr(more);

	if (which & SESSION_LOG_REJECT) {
		dlog_syslog(d, rest | DLOG_REJECT, line, more);
		/* Each line of the log has its end already. */
		if (head.len > 0 && head.p[head.len - 1] == '\n')
			head.len--;
		dlog(d, DLOG_REJECT | DLOG_FILES, "%s%s" SV_FMT, line, head.len == 0 ? "" : "\n", SV_ARG(head));
	}
	dlog(d, rest | (which & SESSION_LOG_REJECT ? DLOG_FILES : 0), "%s", line);
	if (d->now && strstr(line, " <= ") != NULL)
		ddeliver_pending(d);
}

static void
converse(struct deliver *d, struct session_conn *c)
{
	const struct session_ops ops = { .arg = d, .submit = take };
	const struct session_log log = { .arg = d, .exim = log_line };
	struct session_service sv;
	struct err err = ERR_INIT;

	memset(&sv, 0, sizeof(sv));
	sv.conf = d->conf;
	sv.tls = session_tls_new(d->conf, NULL, &err);
	if (err.cls != ERR_NONE)
		dlog(d, DLOG_MAIN | DLOG_PANIC, "TLS: %s", err.text);
	sv.world = &d->t->world;
	sv.caches = d->t->env.caches;
	sv.route = &d->t->ops;
	sv.ops = &ops;
	sv.log = &log;
	sv.tmpdir = "/tmp";
	sv.scandir = arena_fmt(d->t->facts, SV_FMT "/scan", SV_ARG(d->conf->g.spool_directory));
	sv.plaintext_auth = true;
	session_run(&sv, c);
	session_tls_free(&sv.tls);
}

/* ---- batches ---- */

/* "MAIL FROM:<a@b> SIZE=1": to the closing angle bracket, or the word. */
static struct sv
path_text(struct sv line, size_t skip)
{
	struct sv v = sv_trim(sv_sub(line, skip, line.len)), word;
	ptrdiff_t end;

	if (v.len > 0 && v.p[0] == '<' && (end = sv_chr(v, '>')) > 0)
		return (sv_sub(v, 0, (size_t)end + 1));
	return (sv_word(&v, &word) ? word : SV_LIT(""));
}

/* Its address, as Exim reads it; -1: why not. */
static int
path_of(struct dmsg *m, struct sv line, size_t skip, struct sv *out, struct err *err)
{
	struct exim_extracted x;

	if (exim_extract(path_text(line, skip), EXIM_EXTRACT_NULL | EXIM_EXTRACT_LITERALS, m->arena, &x, err) == -1)
		return (-1);
	*out = x.address;
	return (0);
}

/* How many lines it were; <whole>: the final dot came. */
static int64_t
read_data(struct sb *out, bool *whole)
{
	char *line = NULL;
	size_t cap = 0;
	int64_t lines = 0;
	ssize_t n;

	*whole = false;
	while (!*whole && (n = getline(&line, &cap, stdin)) > 0) {
		struct sv v = sv_from(line, (size_t)n);

		lines++;
		while (v.len > 0 && (v.p[v.len - 1] == '\n' || v.p[v.len - 1] == '\r'))
			v.len--;
		*whole = v.len == 1 && v.p[0] == '.';
		if (*whole)
			break;
		if (v.len > 1 && v.p[0] == '.')
			v = sv_sub(v, 1, v.len);
		sb_add(out, v);
		sb_addc(out, '\n');
	}
	free(line);
	return (lines);
}

static struct dmsg *
batch_message(struct deliver *d)
{
	struct dmsg *m = dmsg_new();

	dmsg_start(m, d->caller, d->caller_uid);
	m->protocol = d->t->o->protocol != NULL ? sv_cstr(d->t->o->protocol) : SV_LIT("local-bsmtp");
	return (m);
}

struct batch {
	struct deliver	*d;
	struct dmsg	*m;
	struct sv	 helo;		/* heap */
	bool		 mail;
	int64_t		 line, began, done;
};

/* The batch ends: what was wrong is told where the caller looks, and to people. */
static int
batch_error(struct batch *b, struct sv command, const char *reply)
{
	printf("%s\nTransaction started in line %lld\nError detected in line %lld\n" SV_FMT "\n", reply, (long long)b->began,
	    (long long)b->line, SV_ARG(command));
	(void)fprintf(stderr, "An error was detected while processing a file of BSMTP input.\nThe error message was:\n\n  %s\n\n"
	    "The SMTP transaction started in line %lld.\nThe error was detected in line %lld.\nThe SMTP command at fault was:\n\n   " SV_FMT
	    "\n\n%lld previous message%s successfully processed.\nThe rest of the batch was abandoned.\n", reply, (long long)b->began,
	    (long long)b->line, SV_ARG(command), (long long)b->done, b->done == 1 ? " was" : "s were");
	(void)fflush(stdout);
	return (b->done > 0 ? 1 : 2);
}

static void
batch_reset(struct batch *b)
{
	dmsg_free(&b->m);
	b->m = batch_message(b->d);
	if (b->helo.len > 0) {
		b->m->helo = arena_sv(b->m->arena, b->helo);
	}
	b->mail = false;
}

static int
batch_data(struct batch *b)
{
	struct sb text = SB_INIT(CONTENT_MAX);
	struct err err = ERR_INIT;
	struct sv whole;
	bool ended;
	int rc;

	b->line += read_data(&text, &ended);
	/* Half a message is none. */
	if (!ended) {
		sb_free(&text);
		spool_id_new(b->m->id);
		dlog(b->d, DLOG_MAIN, "%s SMTP connection from %s lost while reading message data", b->m->id, b->d->caller);
		return (batch_error(b, SV_LIT(""), "421 Lost incoming connection"));
	}
	if (text.overflow) {
		sb_free(&text);
		return (batch_error(b, SV_LIT(""), "552 Message size exceeds maximum permitted"));
	}
	whole = arena_sv(b->m->arena, sb_sv(&text));
	sb_free(&text);
	dsender_smtp(b->d, b->m);
	if (exim_main_bool(b->d->conf, EXIM_MAIN_ignore_fromline_local))
		whole = sv_sub(whole, dsender_from_line(b->d, b->m, whole), whole.len);
	dmsg_split(b->m, whole);
	rc = dreceive(b->d, b->m, true, &err);
	if (rc == -1)
		rc = batch_error(b, SV_LIT(""), arena_fmt(b->m->arena, "451 %s", err.text));
	b->done += rc == 0;
	batch_reset(b);
	if (b->d->now)
		ddeliver_pending(b->d);
	return (rc);
}

static int
batch_line(struct batch *b, struct sv v, bool *quit)
{
	struct err err = ERR_INIT;

	if (sv_casestarts(v, "HELO") || sv_casestarts(v, "EHLO")) {
		free((void *)(uintptr_t)b->helo.p);
		b->helo = sv_trim(sv_sub(v, 4, v.len));
		b->helo.p = xstrndup(b->helo.p, b->helo.len);
		b->m->helo = arena_sv(b->m->arena, b->helo);
	} else if (sv_casestarts(v, "MAIL FROM:")) {
		if (b->mail)
			return (batch_error(b, v, "503 sender already given"));
		b->began = b->line > 1 ? b->line - 1 : 0;
		if (path_of(b->m, v, 10, &b->m->sender, &err) == -1)
			return (batch_error(b, v, arena_fmt(b->m->arena, "501 %s", err.text)));
		b->mail = true;
	} else if (sv_casestarts(v, "RCPT TO:")) {
		struct drcpt r = { .parent = -1 };

		if (!b->mail)
			return (batch_error(b, v, "503 sender not yet given"));
		if (path_of(b->m, v, 8, &r.addr, &err) == 0 && r.addr.len == 0)
			(void)err_set(&err, ERR_PERM, "5.1.3", "missing or malformed local part");
		if (r.addr.len == 0)
			return (batch_error(b, v, arena_fmt(b->m->arena, "501 %s", err.text)));
		vec_push(&b->m->rcpts, r);
	} else if (sv_caseeqs(v, "DATA")) {
		if (b->m->rcpts.len == 0)
			return (batch_error(b, v, b->mail ? "503 RCPT TO:<recipient> must precede DATA" :
			    "503 MAIL FROM:<sender> command must precede DATA"));
		return (batch_data(b));
	} else if (sv_caseeqs(v, "RSET"))
		batch_reset(b);
	else if (sv_caseeqs(v, "QUIT"))
		*quit = true;
	else if (v.len > 0 && !sv_casestarts(v, "NOOP") && !sv_casestarts(v, "HELP"))
		return (batch_error(b, v, "500 Command unrecognized"));
	return (0);
}

/* A batch has no dialogue: commands come, and the first that cannot be obeyed ends it. */
static int
run_batch(struct deliver *d)
{
	struct batch b = { .d = d, .m = batch_message(d) };
	char *line = NULL;
	size_t cap = 0;
	bool quit = false;
	ssize_t n;
	int rc = 0;

	while (rc == 0 && !quit && (n = getline(&line, &cap, stdin)) > 0) {
		b.line++;
		rc = batch_line(&b, sv_trim(sv_from(line, (size_t)n)), &quit);
	}
	free(line);
	free((void *)(uintptr_t)b.helo.p);
	dmsg_free(&b.m);
	ddeliver_pending(d);
	return (rc);
}

int
dreceive_smtp(struct deliver *d, bool batch)
{
	/* Its thread may outlive the session. */
	static struct carrier in = { STDIN_FILENO, -1, true };
	struct carrier out = { -1, STDOUT_FILENO, false };
	struct session_conn c = { .kind = SESSION_LOCAL, .user = d->caller, .uid = d->caller_uid, .trusted = dsender_trusted(d),
	    .exim_style = true, .lf_lines = true };
	struct sv name = dsender_name(d, d->t->facts);
	struct exim_session *facts = &d->t->session;
	pthread_t reader, writer;
	int pair[2];

	if (batch)
		return (run_batch(d));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1) {
		(void)fprintf(stderr, "sendmail: socketpair: %s\n", strerror(errno));
		return (EX_SOFTWARE);
	}
	in.to = out.from = pair[1];
	if (name.len > 0 && (!c.trusted || d->t->o->fullname != NULL))
		c.fullname = arena_cstr(d->t->facts, name);
	/* -oMa of a trusted caller: as if that host had connected (manual 5.2). */
	if (c.trusted && facts->addr.family != 0) {
		c.kind = SESSION_SMTP;
		if (facts->ident.len == 0)
			facts->ident = sv_cstr(d->caller);
		c.peer = facts->addr;
		c.peer.port = (uint16_t)facts->host_port;
		c.local = facts->interface;
		c.local.port = (uint16_t)facts->interface_port;
		c.facts = facts;
		c.tls_on_connect = d->t->o->tls_on_connect;
	}
	(void)fflush(stdout);
	if (pthread_create(&writer, NULL, carry, &out) != 0 || pthread_create(&reader, NULL, carry, &in) != 0)
		return (EX_SOFTWARE);
	c.stream = stream_new(pair[0]);
	converse(d, &c);
	/* The session has closed its end.  The reader may wait for a terminal for ever. */
	(void)pthread_join(writer, NULL);
	(void)pthread_detach(reader);
	ddeliver_pending(d);
	return (c.lost ? 1 : 0);
}
