/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exim_rcpt CONF ZONES [N [DOMAIN]]: what a RCPT command costs through the ACLs and routers of the configuration CONF.  One
 * session from 192.0.2.10 over a socket pair, with N (1,000) commands, pipelined by fifty, and one with none; the difference
 * is told, in microseconds of CPU, the client's part included.  DNS is what the file ZONES says.
 */
#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/num.h"
#include "dns/dns.h"
#include "fiber/fiber.h"
#include "io/stream.h"
#include "route/route.h"
#include "session/session.h"
#include "session/world.h"

static const char *const users[] = { "daemon", "bin", "mail", "news" };
static const char *domain = "example.test";
static struct session_service sv;
static struct session_conn conn;
static int fds[2];
static int64_t count, accepted;

static int
take(void *arg, const struct spool_envelope *env, const struct spool_content *c, struct err *err)
{
	return (0);
}

static void
say(void *arg, unsigned which, const char *line, const char *more)
{
	if (getenv("VERBOSE") != NULL)
		(void)puts(line);
}

#define BATCH	50

/* Read an answer to its end; its first digit. */
static char
answer(struct stream *s)
{
	struct sv v = SV_NULL;

	do
		if (stream_read_line(s, 4000, &v) != STREAM_OK || v.len < 4)
			return ('?');
	while (v.p[3] == '-');
	return (v.p[0]);
}

static char
ask(struct stream *s, const char *line)
{
	(void)stream_write(s, sv_cstr(line));
	return (answer(s));
}

static void
client(void *arg)
{
	struct stream *s = stream_new(fds[1]);
	struct sb sb = SB_INIT(BATCH * 128);
	struct sv v;

	(void)stream_read_line(s, 1000, &v);
	(void)ask(s, "EHLO client.example.org\r\n");
	(void)ask(s, "MAIL FROM:<a@remote.test>\r\n");
	for (int64_t i = 0; i < count; i += BATCH) {
		sb_clear(&sb);
		for (int64_t k = i; k < i + BATCH && k < count; k++)
			sb_addf(&sb, "RCPT TO:<%s@%s>\r\n", users[k & 3], domain);
		(void)stream_write(s, sb_sv(&sb));
		for (int64_t k = i; k < i + BATCH && k < count; k++)
			accepted += answer(s) == '2';
	}
	sb_free(&sb);
	(void)ask(s, "QUIT\r\n");
	stream_close(&s);
}

static void
server(void *arg)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == -1)
		abort();
	(void)fiber_spawn("client", client, NULL);
	conn.stream = stream_new(fds[0]);
	session_run(&sv, &conn);
}

static double
cpu_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ((double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3);
}

static void
all(void *arg)
{
	int64_t n = *(int64_t *)arg;
	double start, none, some;

	/* What is read once, is. */
	count = 4;
	server(NULL);
	accepted = 0;
	start = cpu_us();
	count = 0;
	server(NULL);
	none = cpu_us() - start;
	start = cpu_us();
	count = n;
	server(NULL);
	some = cpu_us() - start;
	printf("%.2f us each, %lld of %lld accepted\n", (some - none) / (double)n, (long long)accepted, (long long)n);
	fiber_stop();
}

int
main(int argc, char **argv)
{
	static struct session_ops ops = { .submit = take };
	static struct session_log log = { .exim = say };
	static struct exim_world world;
	static struct route_ops route;
	struct exim_conf_source src = { .hostname = "mail.example.test" };
	struct exim_conf *conf = NULL;
	struct dns_conf dns = { .servers = "" };
	struct err err = ERR_INIT;
	int64_t n = 1000;

	if (argc < 3 || (argc > 3 && !num_parse(sv_cstr(argv[3]), 1, 10000000, &n))) {
		(void)fprintf(stderr, "usage: exim_rcpt CONF ZONES [N [DOMAIN]]\n");
		return (2);
	}
	src.path = argv[1];
	dns.zone_file = argv[2];
	if (argc > 4)
		domain = argv[4];
	if (fiber_init(&err) == -1 || dns_init(&dns, &err) == -1 || exim_conf_load(&conf, &src, NULL, &err) == -1) {
		(void)fprintf(stderr, "%s\n", err.text);
		return (1);
	}
	session_world_init(&world, NULL);
	route_ops_dns(&route);
	sv = (struct session_service){ .conf = conf, .world = &world, .caches = exim_caches_new(), .route = &route, .ops = &ops,
	    .log = &log, .tmpdir = "/tmp" };
	conn.kind = SESSION_SMTP;
	(void)net_addr_parse(SV_LIT("192.0.2.10"), &conn.peer);
	(void)net_addr_parse(SV_LIT("192.0.2.1"), &conn.local);
	(void)fiber_spawn("all", all, &n);
	fiber_run();
	return (accepted == n ? 0 : 1);
}
