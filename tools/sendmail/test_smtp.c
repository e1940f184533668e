/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -bh, -bhc: an SMTP session as if from a host, on standard input and output.  It runs in lib/session as in
 * vsmtpd, keeps no message, waits for no delay, and writes what would be logged to standard error.
 *
 * A session wants a socket that can be waited for; files and terminals are not such.  So a thread carries standard
 * input into one end of a pair, and a fiber what comes out of it to standard output, before each line of the log.
 */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "exim/acl.h"
#include "fiber/fiber.h"
#include "io/stream.h"
#include "session/session.h"
#include "testing.h"

#define CHUNK	16384

/* ---- carrying ---- */

static int outer = -1;		/* our end of the pair */
static struct stream *inner;	/* the session's side */

static void
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done == -1 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (done <= 0)
			return;
		p += done;
		n -= (size_t)done;
	}
}

/*
 * <arg> is the session's lf_lines: a dialogue whose first line ends in a lone LF was typed or written to a file, and all
 * its lines end so.  It is set before the session gets to see that line.
 */
static void *
carry_in(void *arg)
{
	bool *lf_lines = arg, first = true;
	char buf[CHUNK];
	ssize_t n;

	while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0 || (n == -1 && errno == EINTR)) {
		const char *lf = n > 0 && first ? memchr(buf, '\n', (size_t)n) : NULL;

		if (lf != NULL) {
			*lf_lines = lf == buf || lf[-1] != '\r';
			first = false;
		}
		for (ssize_t at = 0; at < n;) {
			ssize_t done = send(outer, buf + at, (size_t)(n - at), MSG_NOSIGNAL);

			if (done == -1 && errno != EINTR)
				return (NULL);
			at += done > 0 ? done : 0;
		}
	}
	(void)shutdown(outer, SHUT_WR);
	return (NULL);
}

/* What the session has sent so far; false when it has ended. */
static bool
carry_out(void)
{
	char buf[CHUNK];
	ssize_t n;

	while ((n = recv(outer, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		write_all(STDOUT_FILENO, buf, (size_t)n);
	return (n == -1 && (errno == EAGAIN || errno == EINTR));
}

static void
out_fiber(void *arg)
{
	(void)arg;
	while (carry_out() && fiber_wait_fd(outer, FIBER_READ, FIBER_FOREVER) == FIBER_READY)
		;
}

/* ---- effects ---- */

static void
log_line(void *arg, unsigned which, const char *line, const char *more)
{
	(void)arg;
	(void)which;
	(void)more;
	(void)carry_out();
	(void)fputs("LOG: ", stderr);
	testing_mark(stderr);
	(void)fprintf(stderr, "%s\n", line);
}

/* As Exim marks what it tells of host checking. */
static void
trace_line(void *arg, const char *peer, const char *line)
{
	(void)arg;
	(void)peer;
	(void)fprintf(stderr, ">>> %s\n", line);
}

static void
log_world(void *arg, unsigned logs, struct sv line)
{
	(void)arg;
	(void)logs;
	(void)carry_out();
	(void)fputs("LOG: ", stderr);
	testing_mark(stderr);
	(void)fprintf(stderr, SV_FMT "\n", SV_ARG(line));
}

/* Exim's process ends here, behind what it has answered so far. */
static void
die_world(void *arg, const char *text)
{
	(void)stream_flush(inner);
	log_world(arg, EXIM_LOG_MAIN, sv_cstr(text));
	(void)fflush(NULL);
	_exit(1);
}

/* ---- the session ---- */

/* "10.9.8.7.1234": an address, and a port behind a full stop. */
static bool
peer(const char *text, struct net_addr *addr)
{
	struct sv v = sv_cstr(text);
	int64_t port = 0;
	ptrdiff_t dot;

	if (net_addr_parse(v, addr))
		return (true);
	dot = sv_rchr(v, '.');
	if (dot < 0 || !num_parse(sv_sub(v, (size_t)dot + 1, v.len), 0, 65535, &port) ||
	    !net_addr_parse(sv_sub(v, 0, (size_t)dot), addr))
		return (false);
	addr->port = (uint16_t)port;
	return (true);
}

static void
converse(struct testing *t, struct session_conn *c)
{
	static const struct session_ops ops = { .full = testing_full };
	static const struct session_log log = { .exim = log_line, .trace = trace_line };
	struct session_service sv;

	memset(&sv, 0, sizeof(sv));
	sv.conf = t->conf;
	sv.world = &t->world;
	sv.caches = t->env.caches;
	sv.route = &t->ops;
	sv.ops = &ops;
	sv.log = &log;
	sv.tmpdir = "/tmp";
	sv.scandir = arena_fmt(t->facts, SV_FMT "/scan", SV_ARG(t->conf->g.spool_directory));
	sv.plaintext_auth = true;
	/* Without a box there is no setting against them, and Exim repairs them. */
	sv.keep_bare = t->box == NULL || t->o->conf != NULL || t->box->accept_bare_newlines;
	t->world.arg = t;
	t->world.log = log_world;
	t->world.die = die_world;
	c->host_checking = true;
	c->callouts = t->o->callouts;
	c->exim_style = true;
	c->facts = &t->session;
	session_run(&sv, c);
}

int
test_smtp(struct testing *t)
{
	static struct session_conn c;	/* the reader may outlive the session */
	pthread_t reader;
	int pair[2];

	memset(&c, 0, sizeof(c));
	c.kind = SESSION_SMTP;
	if (!peer(t->o->peer, &c.peer))
		return (usage_ip(t->o, "not an IP address behind -bh: ", t->o->peer));
	c.local = t->session.interface;
	printf("\n**** SMTP testing session as if from host %s\n**** but without any ident (RFC 1413) callback.\n"
	    "**** This is not for real!\n\n", t->o->peer);
	(void)fflush(stdout);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1) {
		(void)fprintf(stderr, "sendmail: socketpair: %s\n", strerror(errno));
		return (EX_SOFTWARE);
	}
	outer = pair[1];
	if (pthread_create(&reader, NULL, carry_in, &c.lf_lines) != 0 || fiber_spawn("output", out_fiber, NULL) == NULL)
		return (EX_SOFTWARE);
	/* It may wait for a terminal for ever. */
	(void)pthread_detach(reader);
	c.stream = inner = stream_new(pair[0]);
	converse(t, &c);
	(void)carry_out();
	return (0);
}
