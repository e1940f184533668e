/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smtpbh -C FILE [-D NAME=VALUE] -bh ADDRESS: an SMTP session of FILE's configuration on standard input and
 * output, as `exim -bh` runs one: nothing is kept, log lines go to standard error behind "LOG: ", replies are
 * written as Exim writes them.  For comparing with recorded sessions of a real Exim.
 */
#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "dns/dns.h"
#include "fiber/fiber.h"
#include "io/stream.h"
#include "route/route.h"
#include "session/session.h"
#include "session/world.h"

static struct session_service sv;
static struct session_conn conn;
static int fds[2];

static void
say(void *arg, unsigned which, const char *line, const char *more)
{
	(void)fprintf(stderr, "LOG: %s\n", line);
}

static void
server(void *arg)
{
	conn.stream = stream_new(fds[0]);
	session_run(&sv, &conn);
	fiber_stop();
}

/* Standard input is a file or a pipe whose end means the end of the client. */
static void
feed(void *arg)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(0, buf, sizeof(buf))) > 0) {
		ssize_t at = 0;

		while (at < n) {
			ssize_t k = send(fds[1], buf + at, (size_t)(n - at), MSG_NOSIGNAL);

			if (k > 0) {
				at += k;
				continue;
			}
			if (errno != EAGAIN)
				return;
			(void)fiber_wait_fd(fds[1], FIBER_WRITE, FIBER_FOREVER);
		}
	}
	(void)shutdown(fds[1], SHUT_WR);
}

static void
show(void *arg)
{
	char buf[4096];
	ssize_t n;

	for (;;) {
		n = read(fds[1], buf, sizeof(buf));
		if (n == -1 && errno == EAGAIN) {
			if (fiber_wait_fd(fds[1], FIBER_READ, FIBER_FOREVER) != FIBER_READY)
				return;
			continue;
		}
		if (n <= 0)
			return;
		(void)fwrite(buf, 1, (size_t)n, stdout);
		(void)fflush(stdout);
	}
}

/* The last answers, after the session closed its end. */
static void
drain(void)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(fds[1], buf, sizeof(buf))) > 0)
		(void)fwrite(buf, 1, (size_t)n, stdout);
}

static void
run(const char *address)
{
	(void)net_addr_parse_port(sv_cstr(address), 0, &conn.peer);
	(void)net_addr_parse(SV_LIT("127.0.0.1"), &conn.local);
	conn.host_checking = conn.exim_style = conn.lf_lines = true;
	(void)fiber_spawn("server", server, NULL);
	(void)fiber_spawn("feed", feed, NULL);
	(void)fiber_spawn("show", show, NULL);
	fiber_run();
	drain();
}

int
main(int argc, char **argv)
{
	static struct session_ops ops;
	static struct session_log log = { .exim = say };
	static struct exim_world world;
	static struct route_ops route;
	const char *file = NULL, *address = NULL, *defines[64];
	struct exim_conf_source src = { .defines = defines };
	struct exim_conf *conf = NULL;
	struct dns_conf dns = { .servers = "" };
	struct err err = ERR_INIT;

	for (int i = 1; i + 1 < argc; i++) {
		if (strcmp(argv[i], "-C") == 0)
			file = argv[++i];
		else if (strcmp(argv[i], "-bh") == 0)
			address = argv[++i];
		else if (strcmp(argv[i], "-D") == 0 && src.ndefines < 64)
			defines[src.ndefines++] = argv[++i];
	}
	if (file == NULL || address == NULL) {
		(void)fprintf(stderr, "usage: smtpbh -C FILE -bh ADDRESS\n");
		return (2);
	}
	src.path = file;
	if (fiber_init(&err) == -1 || dns_init(&dns, &err) == -1 || exim_conf_load(&conf, &src, NULL, &err) == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == -1) {
		(void)fprintf(stderr, "%s\n", err.text);
		return (1);
	}
	session_world_init(&world, NULL);
	route_ops_dns(&route);
	sv = (struct session_service){ .conf = conf, .world = &world, .caches = exim_caches_new(), .route = &route, .ops = &ops,
	    .log = &log, .tmpdir = "/tmp" };
	run(address);
	return (0);
}
