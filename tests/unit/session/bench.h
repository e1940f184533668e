/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whole sessions over a socket pair with a spool, a clock and logs of our own.  A
 * scenario is text: "> line" is sent with CR LF, "! bytes" as they are (C escapes),
 * "< text" reads a reply whose last line must begin so, "~ text" must stand in the
 * reply read last, "^ text" must not, "@ text" in the log, "= text" in the content taken last, "-" closes.
 */
#ifndef VPOST_TEST_SESSION_BENCH_H
#define VPOST_TEST_SESSION_BENCH_H

#include <sys/socket.h>
#include <sys/uio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "fiber/fiber.h"
#include "io/stream.h"
#include "route/route.h"
#include "session/session.h"

struct bench {
	struct session_service sv;
	struct session_ops ops;
	struct session_log log;
	struct exim_world world;
	struct route_ops route;
	struct session_conn conn;
	struct exim_conf *conf;
	struct sb	 logged;
	struct sb	 content;	/* of the message taken last */
	struct sb	 rcpts;
	struct sb	 reply;
	unsigned	 taken;
	uint32_t	 flags;
	char		 sender[256];
	int		 fail;		/* 1: temporary, 2: permanent */
	bool		 draining;
	int		 fds[2];
	const char	*script;
	bool		 ok;
};

static inline int64_t
fake_now(void *arg, int64_t *usec)
{
	if (usec != NULL)
		*usec = 0;
	return (1767225600);
}

static inline uint32_t
fake_random(void *arg)
{
	return (4);
}

static inline int
fake_submit(void *arg, const struct spool_envelope *env, const struct spool_content *c, struct err *err)
{
	struct bench *b = arg;
	char buf[4096];
	int64_t left = c->len, off = c->off;
	ssize_t n;

	if (b->fail == 1)
		return (err_set(err, ERR_TEMP, "4.3.1", "the disk is full"));
	if (b->fail == 2)
		return (err_set(err, ERR_PERM, "5.5.3", "envelope too large"));
	sb_clear(&b->content);
	sb_clear(&b->rcpts);
	for (unsigned i = 0; i < c->niov; i++)
		sb_addn(&b->content, c->iov[i].iov_base, c->iov[i].iov_len);
	while (left > 0 && (n = pread(c->fd, buf, left < 4096 ? (size_t)left : 4096, off)) > 0) {
		sb_addn(&b->content, buf, (size_t)n);
		left -= n;
		off += n;
	}
	assert_int_equal(b->content.len, env->size);
	assert_true(spool_id_valid(sv_cstr(env->id)));
	assert_true(env->header_size <= env->size);
	if (env->header_size > 0 && env->size > env->header_size)
		assert_memory_equal(b->content.p + env->header_size - 4, "\r\n\r\n", 4);
	for (size_t i = 0; i < env->nrcpts; i++)
		sb_addf(&b->rcpts, SV_FMT " ", SV_ARG(env->rcpts[i].addr));
	(void)snprintf(b->sender, sizeof(b->sender), SV_FMT, SV_ARG(env->sender));
	b->flags = env->flags;
	b->taken++;
	return (0);
}

static inline int
fake_room(void *arg, int64_t size, struct err *err)
{
	struct bench *b = arg;

	return (b->fail == 3 ? err_set(err, ERR_TEMP, "4.3.1", "no room") : 0);
}

static inline int
fake_etrn(void *arg, const char *domain, unsigned *count, struct err *err)
{
	if (strcmp(domain, "down.test") == 0)
		return (err_set(err, ERR_TEMP, "4.3.0", "vqueued does not answer"));
	*count = strcmp(domain, "some.test") == 0 ? 3 : 0;
	return (0);
}

static inline size_t
fake_connections(void *arg, const struct net_addr *a)
{
	return (a == NULL ? 5 : 3);
}

static inline void
fake_log(void *arg, unsigned which, const char *line, const char *more)
{
	struct bench *b = arg;

	sb_addf(&b->logged, "%s%s%s%s\n%s", (which & SESSION_LOG_MAIN) != 0 ? "M" : "", (which & SESSION_LOG_REJECT) != 0 ? "R" : "",
	    (which & SESSION_LOG_PANIC) != 0 ? "P " : " ", line, more == NULL ? "" : more);
}

static inline void
bench_open_with(struct bench *b, const char *head, const char *config)
{
	struct exim_conf_source src = { .path = "test.conf", .defines = NULL, .ndefines = 0, .hostname = "mail.example.test" };
	struct exim_report rep = EXIM_REPORT_INIT;
	struct err err = ERR_INIT;
	struct sb text = SB_INIT(100000);

	memset(b, 0, sizeof(*b));
	sb_init(&b->logged, 1 << 20);
	sb_init(&b->content, 1 << 24);
	sb_init(&b->rcpts, 1 << 22);
	sb_init(&b->reply, 1 << 20);
	sb_adds(&text, head);
	sb_adds(&text, config);
	src.text = sb_sv(&text);
	if (exim_conf_load(&b->conf, &src, &rep, &err) == -1)
		print_error("%s\n", err.text);
	assert_non_null(b->conf);
	sb_free(&text);
	b->world.now = fake_now;
	b->world.random = fake_random;
	b->ops = (struct session_ops){ .arg = b, .submit = fake_submit, .room = fake_room, .etrn = fake_etrn,
	    .connections = fake_connections };
	b->log = (struct session_log){ .arg = b, .exim = fake_log };
	b->sv.conf = b->conf;
	b->sv.world = &b->world;
	b->sv.caches = exim_caches_new();
	b->sv.route = &b->route;
	b->sv.ops = &b->ops;
	b->sv.log = &b->log;
	b->sv.tmpdir = "/tmp";
	b->sv.draining = &b->draining;
	b->conn.kind = SESSION_SMTP;
	assert_true(net_addr_parse(SV_LIT("192.0.2.10"), &b->conn.peer));
	assert_true(net_addr_parse(SV_LIT("192.0.2.1"), &b->conn.local));
	b->conn.peer.port = 4000;
	b->conn.local.port = 25;
}

#define BENCH_HEAD	"primary_hostname = mail.example.test\nqualify_domain = example.test\n"	\
	    "smtp_banner = $smtp_active_hostname ready\nhost_lookup =\n"

static inline void
bench_open(struct bench *b, const char *config)
{
	bench_open_with(b, BENCH_HEAD "rfc1413_query_timeout = 0s\n", config);
}

/* Idents are asked for as <config> says. */
static inline void
bench_open_plain(struct bench *b, const char *config)
{
	bench_open_with(b, BENCH_HEAD, config);
}

static inline void
bench_close(struct bench *b)
{
	struct exim_caches *c = b->sv.caches;

	exim_caches_free(&c);
	exim_conf_unref(&b->conf);
	sb_free(&b->logged);
	sb_free(&b->content);
	sb_free(&b->rcpts);
	sb_free(&b->reply);
}

/* ---- the client ---- */

static inline void
unescape(struct sv v, struct sb *out)
{
	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];

		if (c == '\\' && i + 1 < v.len) {
			c = v.p[++i];
			c = c == 'r' ? '\r' : c == 'n' ? '\n' : c == '0' ? '\0' : c == 't' ? '\t' : c;
		}
		sb_addc(out, c);
	}
}

static inline bool
read_reply(struct bench *b, struct stream *s, struct sv want)
{
	struct sv line;

	sb_clear(&b->reply);
	for (;;) {
		enum stream_result r = stream_read_line(s, 2000, &line);

		if (r != STREAM_OK) {
			if (want.len == 0)
				return (true);
			print_error("no reply (%d), wanted \"" SV_FMT "\"; log:\n%s", r, SV_ARG(want), sb_cstr(&b->logged));
			return (false);
		}
		if (want.len == 0) {
			print_error("end of connection wanted, got " SV_FMT, SV_ARG(line));
			return (false);
		}
		sb_add(&b->reply, line);
		assert_true(line.len >= 5);
		if (line.p[3] == ' ')
			break;
	}
	if (line.len >= want.len && memcmp(line.p, want.p, want.len) == 0)
		return (true);
	print_error("wanted \"" SV_FMT "\", got:\n%slog:\n%s", SV_ARG(want), sb_cstr(&b->reply), sb_cstr(&b->logged));
	return (false);
}

static inline bool
contains(const struct sb *sb, struct sv what, const char *where)
{
	struct sb plain = SB_INIT(70000);
	bool ok;

	unescape(what, &plain);
	ok = sv_find(sb_sv(sb), sb_sv(&plain)) >= 0;
	if (!ok)
		print_error("\"" SV_FMT "\" is not in the %s:\n%s", SV_ARG(what), where, sb_cstr(sb));
	sb_free(&plain);
	return (ok);
}

static inline bool
step(struct bench *b, struct stream *s, struct sv line)
{
	struct sv arg = sv_sub(line, 2, line.len);
	struct sb raw = SB_INIT(1 << 20);
	bool ok = true;

	switch (line.p[0]) {
	case '>':
		(void)stream_printf(s, SV_FMT "\r\n", SV_ARG(arg));
		ok = stream_flush(s) == STREAM_OK;
		break;
	case '!':
		unescape(arg, &raw);
		(void)stream_write(s, sb_sv(&raw));
		ok = stream_flush(s) == STREAM_OK;
		break;
	case '<':
		ok = read_reply(b, s, arg);
		break;
	case '~':
		ok = contains(&b->reply, arg, "reply");
		break;
	case '^':
		ok = sv_find(sb_sv(&b->reply), arg) < 0;
		break;
	case '@':
		ok = contains(&b->logged, arg, "log");
		break;
	case '=':
		ok = contains(&b->content, arg, "content");
		break;
	case '-':
		break;
	default:
		ok = false;
	}
	sb_free(&raw);
	return (ok);
}

static inline void
client_fiber(void *arg)
{
	struct bench *b = arg;
	struct stream *s = stream_new(b->fds[1]);
	struct sv script = sv_cstr(b->script), line;
	unsigned n = 0;

	stream_set_timeout(s, 5000, 5000);
	b->ok = true;
	while (b->ok && sv_next(&script, '\n', &line)) {
		n++;
		if (line.len == 0)
			continue;
		b->ok = step(b, s, line);
		if (!b->ok)
			print_error("at line %u: " SV_FMT "\n", n, SV_ARG(line));
	}
	stream_close(&s);
}

static inline void
server_fiber(void *arg)
{
	struct bench *b = arg;

	b->conn.stream = stream_new(b->fds[0]);
	session_run(&b->sv, &b->conn);
}

static inline void
play_named(struct bench *b, const char *name, const char *script)
{
	struct err err = ERR_INIT;

	b->script = script;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b->fds), 0);
	assert_int_equal(fiber_init(&err), 0);
	/* The client first: what it sends before its turn is there when the server looks. */
	assert_non_null(fiber_spawn("client", client_fiber, b));
	assert_non_null(fiber_spawn("server", server_fiber, b));
	fiber_run();
	fiber_fini();
	if (!b->ok && name != NULL)
		print_error("in %s\n", name);
	assert_true(b->ok);
}

static inline void
play(struct bench *b, const char *script)
{
	play_named(b, NULL, script);
}

#define HELLO	"< 220 mail.example.test ready\n> EHLO c.test\n< 250 HELP\n"
#define BEGIN	HELLO "> MAIL FROM:<a@remote.test>\n< 250 2.1.0 OK\n> RCPT TO:<x@example.test>\n< 250 2.1.5 Accepted\n"

static inline void
one(const char *config, const char *script)
{
	struct bench b;

	bench_open(&b, config);
	play(&b, script);
	bench_close(&b);
}

#define OPEN	"acl_smtp_rcpt = accept\n"

#endif
