/* SPDX-License-Identifier: BSD-2-Clause */
/* What single options of the main section change in a session; the programs and hosts that they ask are made here. */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>

#define EHLO	"< 220 mail.example.test ready\n> EHLO c.test\n< 250 HELP\n"
#define MESSAGE	"> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<x@example.test>\n< 250\n> DATA\n< 354\n"
#define DONE	"> QUIT\n< 221\n"

/* ---- what is said and taken ---- */

static void
test_rows(void **state)
{
	static const struct { const char *name, *config, *script; } rows[] = {
		{ "limits_advertise_hosts", "limits_advertise_hosts = 192.0.2.10\nsmtp_accept_max_per_connection = 7\nrecipients_max = 9\n",
		    EHLO "~ 250-LIMITS MAILMAX=7 RCPTMAX=9\n" DONE },
		{ "limits_advertise_hosts, no limit", "limits_advertise_hosts = *\nsmtp_accept_max_per_connection = 0\nrecipients_max = 5\n",
		    EHLO "~ 250-LIMITS RCPTMAX=5\n" DONE },
		{ "limits_advertise_hosts, others", "limits_advertise_hosts = 192.0.2.11\n", EHLO "^ LIMITS\n" DONE },
		{ "pipelining_connect_advertise_hosts", "pipelining_connect_advertise_hosts = 192.0.2.10\n",
		    "! EHLO c.test\\r\\nMAIL FROM:<a@b.test>\\r\\nRCPT TO:<x@example.test>\\r\\nDATA\\r\\n\n< 220\n< 250 HELP\n~ 250-PIPECONNECT\n"
		    "< 250\n< 250\n< 354\n> \n> x\n> .\n< 250\n" DONE },
		{ "pipelining_connect_advertise_hosts, others", "pipelining_connect_advertise_hosts = 192.0.2.11\n",
		    "! EHLO c.test\\r\\n\n< 554 5.5.0\n< \n" },
		{ "pipelining_connect_advertise_hosts, greeted", "pipelining_connect_advertise_hosts =\n", EHLO "^ PIPECONNECT\n" DONE },
		{ "smtputf8_advertise_hosts", "smtputf8_advertise_hosts = 192.0.2.10\n", EHLO "~ 250-SMTPUTF8\n> MAIL FROM:<a@b.test> SMTPUTF8\n"
		    "< 250\n" DONE },
		{ "smtputf8_advertise_hosts, others", "smtputf8_advertise_hosts = 192.0.2.11\n", EHLO "^ SMTPUTF8\n"
		    "> MAIL FROM:<a@b.test> SMTPUTF8\n< 501 5.5.4\n" DONE },
		{ "sender_unqualified_hosts", "sender_unqualified_hosts = 192.0.2.10\n", EHLO "> MAIL FROM:<alice>\n< 250\n"
		    "> RCPT TO:<x@example.test>\n< 250\n> DATA\n< 354\n> \n> .\n< 250\n@ <= alice@example.test H=\n" DONE },
		{ "sender_unqualified_hosts, others", "sender_unqualified_hosts = 192.0.2.11\nlog_selector = +smtp_syntax_error\n", EHLO "> MAIL FROM:<alice>\n"
		    "< 501 5.1.7\n@ unqualified sender rejected: <alice> H=(c.test) [192.0.2.10]\n" DONE },
		{ "recipient_unqualified_hosts", "recipient_unqualified_hosts = 192.0.2.10\nlog_selector = +received_recipients\n",
		    EHLO "> MAIL FROM:<>\n< 250\n> RCPT TO:<bob>\n< 250\n> DATA\n< 354\n> \n> .\n< 250\n@  for bob@example.test\n" DONE },
		{ "recipient_unqualified_hosts, others", "recipient_unqualified_hosts = 192.0.2.11\nlog_selector = +smtp_syntax_error\n",
		    EHLO "> MAIL FROM:<>\n< 250\n"
		    "> RCPT TO:<bob>\n< 501 5.1.3\n@ unqualified recipient rejected: <bob> H=(c.test) [192.0.2.10]\n" DONE },
		{ "ignore_fromline_hosts", "ignore_fromline_hosts = 192.0.2.10\n", EHLO MESSAGE "> From w@remote.test Mon Jan  2 03:04:05 2023\n"
		    "> From w2@remote.test Mon Jan  2 03:04:06 2023\n> Subject: one\n> \n> body\n> .\n< 250\n"
		    "= \\r\\nSubject: one\\r\\n\\r\\nbody\n@ <= w2@remote.test H=\n" DONE },
		{ "ignore_fromline_hosts, no such line", "ignore_fromline_hosts = *\n", EHLO MESSAGE "> From nonsense\n> Subject: one\n> \n> .\n< 250\n"
		    "= \\r\\n\\r\\nFrom nonsense\\r\\nSubject: one\n@ <= a@b.test H=\n" DONE },
		{ "ignore_fromline_hosts, others", "ignore_fromline_hosts = 192.0.2.11\nignore_fromline_local\n", EHLO MESSAGE
		    "> From w@remote.test Mon Jan  2 03:04:05 2023\n> Subject: one\n> \n> body\n> .\n< 250\n"
		    "= \\r\\n\\r\\nFrom w@remote.test Mon Jan  2 03:04:05 2023\\r\\nSubject: one\n@ <= a@b.test H=\n" DONE },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sb config = SB_INIT(10000);
		struct bench b;

		sb_addf(&config, OPEN "%s", rows[i].config);
		bench_open(&b, sb_cstr(&config));
		play_named(&b, rows[i].name, rows[i].script);
		bench_close(&b);
		sb_free(&config);
	}
}

/* A message too large for memory: what is cut off on top is cut off in the file, too. */
static void
test_from_line_in_a_file(void **state)
{
	struct sb script = SB_INIT(4 << 20);
	struct bench b;

	sb_adds(&script, EHLO MESSAGE "> From w@remote.test Mon Jan  2 03:04:05 2023\n> Subject: large\n> \n");
	for (int i = 0; i < 12000; i++)
		sb_adds(&script, "> 123456789 123456789 123456789 123456789 123456789 123456789 \n");
	sb_adds(&script, "> end\n> .\n< 250\n= \\r\\nSubject: large\\r\\n\\r\\n123456789 1\n" DONE);
	bench_open(&b, OPEN "ignore_fromline_hosts = *\n");
	play(&b, sb_cstr(&script));
	assert_true(sv_find(sb_sv(&b.content), SV_LIT("w@remote.test Mon")) < 0);
	assert_memory_equal(b.content.p + b.content.len - 5, "end\r\n", 5);
	bench_close(&b);
	sb_free(&script);
}

static void
test_from_line_local(void **state)
{
	for (int on = 0; on < 2; on++) {
		struct bench b;

		bench_open(&b, on ? OPEN "ignore_fromline_local\n" : OPEN "ignore_fromline_hosts = *\n");
		b.conn.kind = SESSION_LOCAL;
		memset(&b.conn.peer, 0, sizeof(b.conn.peer));
		b.conn.user = "alice";
		play(&b, on ? EHLO MESSAGE "> From w@remote.test Mon Jan  2 03:04:05 2023\n> Subject: one\n> \n> .\n< 250\n= \\r\\nSubject: one\n" DONE :
		    EHLO MESSAGE "> From w@remote.test Mon Jan  2 03:04:05 2023\n> Subject: one\n> \n> .\n< 250\n= \\r\\n\\r\\nFrom w@\n" DONE);
		bench_close(&b);
	}
}

/* ---- waiting ---- */

static void
test_pace(void **state)
{
	static const struct { const char *config; int64_t least; } paces[] = {
		{ "smtp_ratelimit_hosts = 192.0.2.10\nsmtp_ratelimit_mail = 1,0.2s,2,1m\n", 600 },
		{ "smtp_ratelimit_hosts = 192.0.2.10\nsmtp_ratelimit_rcpt = 2,0.25s,1,1m\n", 750 },
		{ "smtp_ratelimit_hosts = 192.0.2.11\nsmtp_ratelimit_mail = 0,5s,2,1m\nsmtp_ratelimit_rcpt = 0,5s,1,1m\n", 0 },
	};

	for (size_t i = 0; i < sizeof(paces) / sizeof(paces[0]); i++) {
		struct sb config = SB_INIT(10000);
		struct timespec t0, t1;
		struct bench b;
		int64_t ms;

		sb_addf(&config, OPEN "%s", paces[i].config);
		bench_open(&b, sb_cstr(&config));
		(void)clock_gettime(CLOCK_MONOTONIC, &t0);
		/* The third MAIL waits twice as long as the second; recipients 3, 4 and 5 the same. */
		play(&b, EHLO "> MAIL FROM:<>\n< 250\n> RSET\n< 250\n> MAIL FROM:<>\n< 250\n> RSET\n< 250\n> MAIL FROM:<>\n< 250\n"
		    "> RCPT TO:<1@b.test>\n< 250\n> RCPT TO:<2@b.test>\n< 250\n> RCPT TO:<3@b.test>\n< 250\n> RCPT TO:<4@b.test>\n< 250\n"
		    "> RCPT TO:<5@b.test>\n< 250\n" DONE);
		(void)clock_gettime(CLOCK_MONOTONIC, &t1);
		ms = (t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000;
		assert_true(ms >= paces[i].least - 5);
		/* 5 seconds would have gone by nine times. */
		assert_true(paces[i].least > 0 || ms < 20000);
		bench_close(&b);
		sb_free(&config);
	}
}

/* ---- ident ---- */

struct identd {
	int		 fd;
	const char	*answer;	/* %s: the ports; NULL: none */
	char		 asked[200];
	pthread_t	 thread;
};

static void *
identd_main(void *arg)
{
	struct identd *d = arg;
	struct pollfd p = { .fd = d->fd, .events = POLLIN };
	char ports[100], out[300];
	ssize_t n;
	int c;

	if (poll(&p, 1, 3000) <= 0 || (c = accept(d->fd, NULL, NULL)) == -1)
		return (NULL);
	n = read(c, d->asked, sizeof(d->asked) - 1);
	d->asked[n > 0 ? n : 0] = '\0';
	(void)snprintf(ports, sizeof(ports), "%.*s", (int)strcspn(d->asked, "\r"), d->asked);
	if (d->answer != NULL) {
		(void)snprintf(out, sizeof(out), "%s%s", strcmp(d->answer, " wrong") == 0 ? "1 , 2 : USERID : UNIX : eve\r\n" : ports,
		    strcmp(d->answer, " wrong") == 0 ? "" : d->answer);
		(void)!write(c, out, strlen(out));
	} else {
		(void)poll(NULL, 0, 1500);
	}
	(void)close(c);
	return (NULL);
}

static uint16_t
identd_open(struct identd *d)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);

	d->asked[0] = '\0';
	d->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(d->fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(d->fd, 5), 0);
	assert_int_equal(getsockname(d->fd, (struct sockaddr *)&sin, &len), 0);
	assert_int_equal(pthread_create(&d->thread, NULL, identd_main, d), 0);
	return (ntohs(sin.sin_port));
}

static void
test_ident(void **state)
{
	static const struct { const char *config, *answer, *log; bool asked; } idents[] = {
		{ "rfc1413_hosts = *\nrfc1413_query_timeout = 5s\n", " : USERID : UNIX : bob\r\n", "[127.0.0.1] U=bob P=esmtp", true },
		{ "rfc1413_hosts = *\nrfc1413_query_timeout = 5s\n", " : USERID : UNIX ,US-ASCII : a:b\001\r\n", "[127.0.0.1] U=a:b\\\\001 P=", true },
		{ "rfc1413_hosts = *\nrfc1413_query_timeout = 5s\n", " : ERROR : NO-USER\r\n", "[127.0.0.1] P=esmtp", true },
		{ "rfc1413_hosts = *\nrfc1413_query_timeout = 5s\n", " wrong", "[127.0.0.1] P=esmtp", true },
		/* Who does not answer holds nobody up for longer than that. */
		{ "rfc1413_hosts = *\nrfc1413_query_timeout = 1s\nlog_selector = +ident_timeout\n", NULL,
		    "ident connection to 127.0.0.1 timed out", true },
		{ "rfc1413_hosts = 192.0.2.1\nrfc1413_query_timeout = 5s\n", " : USERID : UNIX : bob\r\n", "[127.0.0.1] P=esmtp", false },
		{ "rfc1413_hosts = *\nrfc1413_query_timeout = 0s\n", " : USERID : UNIX : bob\r\n", "[127.0.0.1] P=esmtp", false },
		/* Neither the balancer nor who stands behind it. */
		{ "hosts_proxy = 127.0.0.1\nrfc1413_hosts = *\nrfc1413_query_timeout = 5s\n", " : USERID : UNIX : bob\r\n", "[192.0.2.77] P=esmtp",
		    false },
	};

	for (size_t i = 0; i < sizeof(idents) / sizeof(idents[0]); i++) {
		struct sb config = SB_INIT(10000);
		struct identd d = { .answer = idents[i].answer };
		struct bench b;

		/* Later settings would be mistakes: the head sets the time already. */
		sb_addf(&config, OPEN "%s", idents[i].config);
		bench_open_plain(&b, sb_cstr(&config));
		assert_true(net_addr_parse(SV_LIT("127.0.0.1"), &b.conn.peer));
		assert_true(net_addr_parse(SV_LIT("127.0.0.1"), &b.conn.local));
		b.conn.peer.port = 4000;
		b.conn.local.port = 25;
		b.sv.ident_port = identd_open(&d);
		play(&b, strncmp(idents[i].config, "hosts_proxy", 11) == 0 ?
		    "> PROXY TCP4 192.0.2.77 127.0.0.1 4000 25\n" EHLO MESSAGE "> \n> .\n< 250\n" DONE : EHLO MESSAGE "> \n> .\n< 250\n" DONE);
		assert_true(contains(&b.logged, sv_cstr(idents[i].log), "log"));
		(void)shutdown(d.fd, SHUT_RDWR);
		(void)pthread_join(d.thread, NULL);
		(void)close(d.fd);
		assert_string_equal(d.asked, idents[i].asked ? "4000 , 25\r\n" : "");
		bench_close(&b);
		sb_free(&config);
	}
}

/* ---- the program of ETRN ---- */

static char ran[200];
static unsigned nran;
static struct sv hint;

static enum exim_result
fake_run(void *arg, const struct exim_run *r, struct arena *a, struct sv *out, int *rc, struct err *err)
{
	(void)snprintf(ran, sizeof(ran), "%s|%s|%s|%s", r->argv[0], r->argv[1], r->argv[2], r->argv[3] == NULL ? "" : r->argv[3]);
	nran++;
	(void)fiber_sleep(300);
	*rc = 0;
	*out = SV_LIT("");
	return (EXIM_OK);
}

static enum exim_found
fake_hint_get(void *arg, const char *db, struct sv key, struct arena *a, struct sv *out)
{
	*out = hint;
	return (hint.len > 0 && strcmp(db, "misc") == 0 ? EXIM_FOUND : EXIM_NOTFOUND);
}

static int64_t marked;
static unsigned unmarked;

static int
fake_hint_put(void *arg, const char *db, struct sv key, struct sv value, int64_t ttl)
{
	marked = ttl;
	return (0);
}

static int
fake_hint_del(void *arg, const char *db, struct sv key)
{
	unmarked++;
	return (0);
}

static void
test_etrn_command(void **state)
{
	static const struct { const char *config, *script, *ran; unsigned times; } e[] = {
		{ "smtp_etrn_command = /etc/run \"two \\\"words\" \"${if eq{$domain}{#x.test}{ours}}\"\n",
		    "> ETRN #x.test\n< 250 2.0.0 OK\n> ETRN #x.test\n< 458 4.3.0 Already processing #x.test\n> ETRN #y.test\n< 250\n",
		    "/etc/run|two \"words||", 2 },
		{ "smtp_etrn_command = /etc/run a b c\nsmtp_etrn_serialize = false\n",
		    "> ETRN #x.test\n< 250 2.0.0 OK\n> ETRN #x.test\n< 250 2.0.0 OK\n", "/etc/run|a|b|c", 2 },
		/* What the client says is no argument. */
		{ "smtp_etrn_command = /etc/run $domain\n", "> ETRN #x.test\n< 458 4.3.0 Internal failure\n"
		    "@ failed to set up ETRN command: Tainted arg 1 for ETRN processing command: '#x.test'\n", "", 0 },
		{ "smtp_etrn_command = run\n", "> ETRN #x.test\n< 458 4.3.0 Internal failure\n", "", 0 },
	};

	for (size_t i = 0; i < sizeof(e) / sizeof(e[0]); i++) {
		struct sb config = SB_INIT(10000), script = SB_INIT(10000);
		struct bench b;

		ran[0] = '\0';
		nran = 0;
		sb_addf(&config, OPEN "acl_smtp_etrn = accept\n%s", e[i].config);
		sb_addf(&script, EHLO "%s" DONE, e[i].script);
		bench_open(&b, sb_cstr(&config));
		b.world.run = fake_run;
		b.world.hint_put = fake_hint_put;
		b.world.hint_del = fake_hint_del;
		marked = unmarked = 0;
		play(&b, sb_cstr(&script));
		assert_int_equal(nran, e[i].times);
		/* A mark that a crash leaves behind does not live long; the end of the program takes it away. */
		assert_int_equal(marked, i == 0 ? 60 : 0);
		assert_string_equal(ran, e[i].ran);
		bench_close(&b);
		sb_free(&config);
		sb_free(&script);
	}
}

/* Another process of ours runs it. */
static void
test_etrn_elsewhere(void **state)
{
	struct bench b;

	hint = SV_LIT("1");
	nran = 0;
	bench_open(&b, OPEN "acl_smtp_etrn = accept\nsmtp_etrn_command = /etc/run x y z\n");
	b.world.run = fake_run;
	b.world.hint_get = fake_hint_get;
	play(&b, EHLO "> ETRN #x.test\n< 458 4.3.0 Already processing #x.test\n" DONE);
	assert_int_equal(nran, 0);
	bench_close(&b);
	hint = SV_NULL;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_from_line_in_a_file),
		cmocka_unit_test(test_from_line_local),
		cmocka_unit_test(test_pace),
		cmocka_unit_test(test_ident),
		cmocka_unit_test(test_etrn_command),
		cmocka_unit_test(test_etrn_elsewhere),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
