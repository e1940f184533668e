/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session_mail BOX [N [SIZE]]: N messages, each with a connection of its own, through the SMTP session with
 * the configuration of BOX, over socket pairs in one process, without a spool.  For callgrind and perf: what
 * the session, the ACLs and routing cost.
 */
#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/num.h"
#include "dns/dns.h"
#include "fiber/fiber.h"
#include "io/stream.h"
#include "route/route.h"
#include "session/session.h"
#include "session/world.h"

static struct session_service sv;
static struct session_conn conn;
static int fds[2];
static unsigned taken;
static int64_t count = 1000;
static struct sb body = SB_INIT(1 << 24);

static int
take(void *arg, const struct spool_envelope *env, const struct spool_content *c, struct err *err)
{
	taken++;
	return (0);
}

static void
say(void *arg, unsigned which, const char *line, const char *more)
{
	if (getenv("VERBOSE") != NULL)
		printf("%s\n", line);
}

static void
server(void *arg)
{
	conn.stream = stream_new(fds[0]);
	session_run(&sv, &conn);
}

static void
client(void *arg)
{
	static const char *const lines[] = { "HELO mail.remote.test\r\n", "MAIL FROM:<a@remote.test>\r\n",
		"RCPT TO:<joe@local.test>\r\n", "DATA\r\n", NULL, "QUIT\r\n" };
	struct stream *s = stream_new(fds[1]);
	struct sv line;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (stream_read_line(s, 1000, &line) != STREAM_OK)
			break;
		if (line.p[0] > '3')
			printf(SV_FMT, SV_ARG(line));
		(void)stream_write(s, lines[i] == NULL ? sb_sv(&body) : sv_cstr(lines[i]));
	}
	(void)stream_read_line(s, 1000, &line);
	stream_close(&s);
}

static void
all(void *arg)
{
	for (int64_t i = 0; i < count; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == -1)
			return;
		(void)fiber_spawn("client", client, NULL);
		server(NULL);
	}
	fiber_stop();
}

static void
fill_body(int64_t size)
{
	sb_adds(&body, "From: a@remote.test\r\nTo: joe@local.test\r\nSubject: bench\r\nMessage-Id: <1@remote.test>\r\n"
	    "Date: Sat, 21 Nov 2026 00:00:00 +0000\r\n\r\n");
	while ((int64_t)body.len < size)
		sb_adds(&body, "The quick brown fox jumps over the lazy dog, and then once more for a line.\r\n");
	sb_adds(&body, ".\r\n");
}

int
main(int argc, char **argv)
{
	static struct session_ops ops = { .submit = take };
	static struct session_log log = { .exim = say };
	static struct exim_world world;
	static struct route_ops route;
	const char *defines[1];
	struct exim_conf_source src = { .defines = defines, .ndefines = 1, .hostname = "mail.local.test" };
	struct exim_conf *conf = NULL;
	struct dns_conf dns = { .servers = "" };
	struct err err = ERR_INIT;
	struct timespec a, b;
	char path[4096], define[4096];
	int64_t size = 4096;

	if (argc < 2 || (argc > 2 && !num_parse(sv_cstr(argv[2]), 1, 10000000, &count)) ||
	    (argc > 3 && !num_parse(sv_cstr(argv[3]), 1, 10000000, &size))) {
		(void)fprintf(stderr, "usage: session_mail BOX [N [SIZE]]\n");
		return (2);
	}
	(void)snprintf(path, sizeof(path), "%s/etc/exim.conf", argv[1]);
	(void)snprintf(define, sizeof(define), "_VPOST_BOX=%s", argv[1]);
	defines[0] = define;
	src.path = path;
	if (fiber_init(&err) == -1 || dns_init(&dns, &err) == -1 || exim_conf_load(&conf, &src, NULL, &err) == -1) {
		(void)fprintf(stderr, "%s\n", err.text);
		return (1);
	}
	session_world_init(&world, NULL);
	route_ops_dns(&route);
	fill_body(size);
	sv = (struct session_service){ .conf = conf, .world = &world, .caches = exim_caches_new(), .route = &route, .ops = &ops,
	    .log = &log, .tmpdir = "/tmp" };
	conn.kind = SESSION_SMTP;
	(void)net_addr_parse(SV_LIT("192.0.2.10"), &conn.peer);
	(void)net_addr_parse(SV_LIT("192.0.2.1"), &conn.local);
	(void)fiber_spawn("all", all, NULL);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	fiber_run();
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	printf("%u messages, %.4f ms CPU each, client included\n", taken,
	    ((double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6) / (double)count);
	return (taken == count ? 0 : 1);
}
