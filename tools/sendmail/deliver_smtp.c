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
	m->smtputf8 = (env->flags & SPOOL_SMTPUTF8) != 0;
	m->downconvert = (env->flags & SPOOL_ASCII) != 0 ? 1 : (env->flags & SPOOL_ASCII_MAYBE) != 0 ? -1 : 0;
	m->max_line = env->longest_line;
	m->measured = true;
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

static int
log_file(void *arg, const char *name, bool remove, struct err *err)
{
	return (dlog_file(arg, name, remove, err));
}

static void
converse(struct deliver *d, struct session_conn *c)
{
	const struct session_ops ops = { .arg = d, .submit = take, .full = testing_full };
	const struct session_log log = { .arg = d, .exim = log_line, .file = log_file };
	struct session_service sv;
	struct err err = ERR_INIT;

	memset(&sv, 0, sizeof(sv));
	sv.conf = d->conf;
	sv.tls = session_tls_new(d->conf, NULL, false, &err);
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

static struct dmsg *
batch_message(struct deliver *d)
{
	struct dmsg *m = dmsg_new();

	dmsg_start(m, d->caller, d->caller_uid);
	m->protocol = d->t->o->protocol != NULL ? sv_cstr(d->t->o->protocol) : SV_LIT("local-bsmtp");
	return (m);
}

static int
batch_take(void *arg, const struct batch_message *in, struct err *err)
{
	struct deliver *d = arg;
	struct dmsg *m = batch_message(d);
	struct sv text, why = SV_NULL;
	int rc;

	m->helo = arena_sv(m->arena, in->helo);
	m->sender = arena_sv(m->arena, in->sender);
	for (size_t i = 0; i < in->rcpts.len; i++) {
		struct drcpt r = { .addr = arena_sv(m->arena, in->rcpts.p[i]), .parent = -1 };

		vec_push(&m->rcpts, r);
	}
	text = arena_sv(m->arena, in->text);
	dsender_smtp(d, m);
	if (exim_main_bool(d->conf, EXIM_MAIN_ignore_fromline_local))
		text = sv_sub(text, dsender_from_line(d, m, text), text.len);
	dmsg_split(m, text);
	d->refused = &why;
	rc = dreceive(d, m, true, err);
	d->refused = NULL;
	/* Whatever it is, the rest of the batch can be sent again. */
	if (rc == -1)
		err->cls = ERR_TEMP;
	else if (why.p != NULL)
		rc = err_set(err, ERR_PERM, d->too_big ? "5.3.4" : "5.7.1", SV_FMT, SV_ARG(why));
	dmsg_free(&m);
	if (d->now)
		ddeliver_pending(d);
	return (rc);
}

static void
batch_lost(void *arg, const char *where)
{
	struct deliver *d = arg;

	dlog(d, DLOG_MAIN, "SMTP connection from %s lost while reading message data%s", d->caller, where);
}

static int
run_batch(struct deliver *d)
{
	const struct batch_ops ops = { .arg = d, .take = batch_take, .lost = batch_lost };
	int rc = batch_run(&ops);

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
