/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SMTP client against a server that plays a script: each scenario says what the
 * server answers to what, and what must have been sent and decided.
 */
#include <sys/socket.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "deliver/client.h"
#include "fiber/fiber.h"
#include "io/stream.h"
#include "net/sock.h"
#include "spool/envelope.h"

#define MAX_RULES	16

struct rule {
	const char	*prefix;	/* of the client's line; NULL ends */
	const char	*answer;	/* lines with CRLF; "" none; "!" closes */
};

struct scenario {
	const char	*name;
	const char	*banner;
	struct rule	 rules[MAX_RULES];
	const char	*content;
	bool		 lmtp, chunking, auth, auth_require, smtputf8;
	const char	*sender;
	const char	*rcpts[4];
	unsigned	 notify;
	int		 messages;	/* sent over one connection; 0: one */
	/* what must come out */
	int		 open_rc, send_rc;
	enum deliver_status want[4];
	const char	*want_status;	/* enhanced status of the first refused recipient */
	bool		 want_host;
	enum exim_retry_error what;
	const char	*sent;		/* must be in what the client sent */
	const char	*not_sent;
	const char	*confirmation;
	int		 intents;
	const char	*text;		/* what is told of the host's failure */
};

#define GREET	"250-mx.example hello\r\n"
#define OK	"250 OK\r\n"
#define ALL	"PIPELINING\r\n250-SIZE 100000\r\n250-8BITMIME\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n"

static const struct scenario scenarios[] = {
	{ .name = "plain", .banner = "220 hi\r\n", .rules = { { "EHLO", "250 hi\r\n" }, { "MAIL", OK }, { "RCPT", OK },
	    { "DATA", "354 go\r\n" }, { ".\r\n", "250 OK id=1\r\n" } }, .sender = "s@x", .rcpts = { "a@y" },
	    .want = { DELIVER_OK }, .sent = "MAIL FROM:<s@x>\r\nRCPT TO:<a@y>\r\nDATA\r\n", .confirmation = "250 OK id=1", .intents = 1 },
	{ .name = "pipelining, size, dsn", .banner = "220 hi\r\n", .rules = { { "EHLO", GREET "250-" ALL }, { "MAIL", OK },
	    { "RCPT", OK }, { "DATA", "354 go\r\n" }, { ".\r\n", OK } }, .sender = "", .rcpts = { "a@y", "b@y" }, .notify = 6,
	    .want = { DELIVER_OK, DELIVER_OK },
	    .sent = "MAIL FROM:<> SIZE=37\r\nRCPT TO:<a@y> NOTIFY=SUCCESS,FAILURE\r\nRCPT TO:<b@y> NOTIFY=SUCCESS,FAILURE\r\nDATA\r\n",
	    .intents = 1 },
	{ .name = "old server", .banner = "220-two\r\n220 lines\r\n", .rules = { { "EHLO", "500 what\r\n" }, { "HELO", "250 hi\r\n" },
	    { "MAIL", OK }, { "RCPT", OK }, { "DATA", "354 go\r\n" }, { ".\r\n", OK } }, .sender = "s@x", .rcpts = { "a@y" },
	    .want = { DELIVER_OK }, .sent = "HELO me.example\r\n", .intents = 1 },
	{ .name = "one of three refused", .banner = "220 hi\r\n", .rules = { { "EHLO", GREET "250 PIPELINING\r\n" }, { "MAIL", OK },
	    { "RCPT TO:<b", "550 5.1.1 nobody\r\n" }, { "RCPT TO:<c", "450 4.2.1 later\r\n" }, { "RCPT", OK },
	    { "DATA", "354 go\r\n" }, { ".\r\n", OK } }, .sender = "s@x", .rcpts = { "a@y", "b@y", "c@y" },
	    .want = { DELIVER_OK, DELIVER_PERM, DELIVER_TEMP }, .want_status = "5.1.1", .intents = 1 },
	{ .name = "all refused, 354 all the same", .banner = "220 hi\r\n", .rules = { { "EHLO", GREET "250 PIPELINING\r\n" },
	    { "MAIL", OK }, { "RCPT", "550 no\r\n" }, { "DATA", "354 go\r\n" }, { ".\r\n", "554 no recipients\r\n" } },
	    .sender = "s@x", .rcpts = { "a@y" }, .want = { DELIVER_PERM }, .want_status = "5.0.0", .not_sent = "Subject" },
	{ .name = "all refused, DATA too", .banner = "220 hi\r\n", .rules = { { "EHLO", GREET "250 PIPELINING\r\n" },
	    { "MAIL", OK }, { "RCPT", "450 no\r\n" }, { "DATA", "503 no\r\n" } }, .sender = "s@x", .rcpts = { "a@y" },
	    .want = { DELIVER_TEMP }, .want_status = "4.0.0", .not_sent = "Subject" },
	{ .name = "sender refused", .banner = "220 hi\r\n", .rules = { { "EHLO", "250 hi\r\n" }, { "MAIL", "550 5.7.1 no\r\n" } },
	    .sender = "s@x", .rcpts = { "a@y", "b@y" }, .want = { DELIVER_PERM, DELIVER_PERM }, .want_status = "5.7.1",
	    .not_sent = "RCPT" },
	{ .name = "sender refused, pipelined", .banner = "220 hi\r\n", .rules = { { "EHLO", GREET "250 PIPELINING\r\n" },
	    { "MAIL", "451 4.7.1 greylisted\r\n" }, { "RCPT", "503 mail first\r\n" }, { "DATA", "503 mail first\r\n" } },
	    .sender = "s@x", .rcpts = { "a@y" }, .want = { DELIVER_TEMP }, .want_status = "4.7.1" },
	{ .name = "DATA refused", .banner = "220 hi\r\n", .rules = { { "EHLO", "250 hi\r\n" }, { "MAIL", OK }, { "RCPT", OK },
	    { "DATA", "451 4.3.0 no\r\n" } }, .sender = "s@x", .rcpts = { "a@y" }, .want = { DELIVER_TEMP }, .want_status = "4.3.0",
	    .intents = 0 },
	{ .name = "content refused", .banner = "220 hi\r\n", .rules = { { "EHLO", "250 hi\r\n" }, { "MAIL", OK }, { "RCPT", OK },
	    { "DATA", "354 go\r\n" }, { ".\r\n", "554 5.6.0 spam\r\n" } }, .sender = "s@x", .rcpts = { "a@y" },
	    .want = { DELIVER_PERM }, .want_status = "5.6.0", .intents = 1 },
	{ .name = "lost after the dot", .banner = "220 hi\r\n", .rules = { { "EHLO", "250 hi\r\n" }, { "MAIL", OK }, { "RCPT", OK },
	    { "DATA", "354 go\r\n" }, { ".\r\n", "!" } }, .sender = "s@x", .rcpts = { "a@y" }, .send_rc = -1,
	    .want = { DELIVER_OPEN }, .want_host = true, .what = EXIM_RE_LOST_CONNECTION, .intents = 1,
	    .text = "Remote host closed connection in response to end of data" },
	{ .name = "334 for DATA", .banner = "220 hi\r\n", .rules = { { "EHLO", "250 hi\r\n" }, { "MAIL", OK }, { "RCPT", OK },
	    { "DATA", "334 send more\r\n" }, { ".\r\n", OK } }, .sender = "s@x", .rcpts = { "a@y" }, .want = { DELIVER_OK },
	    .intents = 1 },
	{ .name = "an empty line", .banner = "220 hi\r\n", .rules = { { "EHLO", "250 hi\r\n" }, { "MAIL", OK }, { "RCPT", "\r\n" } },
	    .sender = "s@x", .rcpts = { "a@y" }, .send_rc = -1, .want = { DELIVER_OPEN }, .want_host = true,
	    .text = "Malformed SMTP reply (an empty line) in response to RCPT TO:<a@y>" },
	{ .name = "an empty line, pipelined", .banner = "220 hi\r\n", .rules = { { "EHLO", GREET "250 PIPELINING\r\n" }, { "MAIL", OK },
	    { "RCPT", "\r\n" }, { "DATA", "503 no\r\n" } }, .sender = "s@x", .rcpts = { "a@y" }, .send_rc = -1,
	    .want = { DELIVER_OPEN }, .want_host = true,
	    .text = "Malformed SMTP reply (an empty line) in response to pipelined RCPT TO:<a@y>" },
	{ .name = "421 in the middle", .banner = "220 hi\r\n", .rules = { { "EHLO", "250 hi\r\n" }, { "MAIL", OK },
	    { "RCPT", "421 4.3.2 closing\r\n" } }, .sender = "s@x", .rcpts = { "a@y" }, .send_rc = -1, .want = { DELIVER_OPEN },
	    .want_host = true },
	{ .name = "not SMTP", .banner = "SSH-2.0-OpenSSH\r\n", .open_rc = -1, .sender = "s@x", .rcpts = { "a@y" }, .want_host = true,
	    .text = "Malformed SMTP reply in response to initial connection: SSH-2.0-OpenSSH" },
	{ .name = "554 banner", .banner = "554 5.3.2 go away\r\n", .open_rc = -1, .sender = "s@x", .rcpts = { "a@y" },
	    .want_host = true },
	{ .name = "closes at once", .banner = "!", .open_rc = -1, .sender = "s@x", .rcpts = { "a@y" }, .want_host = true,
	    .text = "Remote host closed connection in response to initial connection", .what = EXIM_RE_LOST_CONNECTION },
	{ .name = "too big", .banner = "220 hi\r\n", .rules = { { "EHLO", GREET "250 SIZE 10\r\n" } }, .sender = "s@x",
	    .rcpts = { "a@y" }, .want = { DELIVER_PERM }, .want_status = "5.3.4", .not_sent = "MAIL" },
	{ .name = "SMTPUTF8 missing", .banner = "220 hi\r\n", .rules = { { "EHLO", "250 hi\r\n" }, { "MAIL", OK }, { "RCPT", OK },
	    { "DATA", "354 go\r\n" }, { ".\r\n", OK } }, .smtputf8 = true, .sender = "s@x", .rcpts = { "\xc3\xa4@y", "b@y" },
	    .want = { DELIVER_PERM, DELIVER_OK }, .want_status = "5.6.7", .intents = 1 },
	{ .name = "SMTPUTF8", .banner = "220 hi\r\n", .rules = { { "EHLO", GREET "250 SMTPUTF8\r\n" }, { "MAIL", OK }, { "RCPT", OK },
	    { "DATA", "354 go\r\n" }, { ".\r\n", OK } }, .smtputf8 = true, .sender = "s@x", .rcpts = { "\xc3\xa4@y" },
	    .want = { DELIVER_OK }, .sent = "MAIL FROM:<s@x> SMTPUTF8\r\n", .intents = 1 },
	{ .name = "dots", .banner = "220 hi\r\n", .rules = { { "EHLO", "250 hi\r\n" }, { "MAIL", OK }, { "RCPT", OK },
	    { "DATA", "354 go\r\n" }, { ".\r\n", OK } }, .content = "Subject: x\r\n\r\n.\r\n..a\r\nno end", .sender = "s@x",
	    .rcpts = { "a@y" }, .want = { DELIVER_OK }, .sent = "\r\n\r\n..\r\n...a\r\nno end\r\n.\r\n", .intents = 1 },
	{ .name = "BDAT", .banner = "220 hi\r\n", .rules = { { "EHLO", GREET "250-PIPELINING\r\n250 CHUNKING\r\n" }, { "MAIL", OK },
	    { "RCPT", OK }, { "BDAT", "" }, { "last", "250 2.0.0 chunk\r\n" } }, .chunking = true,
	    .content = "Subject: x\r\n\r\n.\r\nlast\r\n", .sender = "s@x", .rcpts = { "a@y" }, .want = { DELIVER_OK },
	    .sent = "BDAT 23 LAST\r\nSubject: x\r\n\r\n.\r\nlast\r\n", .not_sent = "DATA\r\n", .confirmation = "250 2.0.0 chunk", .intents = 1 },
	{ .name = "LMTP", .banner = "220 hi\r\n", .rules = { { "LHLO", GREET "250 PIPELINING\r\n" }, { "MAIL", OK }, { "RCPT", OK },
	    { "DATA", "354 go\r\n" }, { ".\r\n", "250 one\r\n452 4.2.2 full\r\n" } }, .lmtp = true, .sender = "s@x",
	    .rcpts = { "a@y", "b@y" }, .want = { DELIVER_OK, DELIVER_TEMP }, .want_status = "4.2.2", .intents = 1 },
	{ .name = "AUTH PLAIN", .banner = "220 hi\r\n", .rules = { { "EHLO", GREET "250 AUTH LOGIN PLAIN\r\n" },
	    { "AUTH PLAIN", "235 in\r\n" }, { "MAIL", OK }, { "RCPT", OK }, { "DATA", "354 go\r\n" }, { ".\r\n", OK } }, .auth = true,
	    .sender = "s@x", .rcpts = { "a@y" }, .want = { DELIVER_OK }, .sent = "AUTH PLAIN AHUAcA==\r\n", .intents = 1 },
	{ .name = "AUTH refused", .banner = "220 hi\r\n", .rules = { { "EHLO", GREET "250 AUTH PLAIN\r\n" },
	    { "AUTH", "535 5.7.8 no\r\n" } }, .auth = true, .auth_require = true, .open_rc = -1, .sender = "s@x", .rcpts = { "a@y" },
	    .want_host = true, .what = EXIM_RE_AUTH_FAILED },
	{ .name = "three messages", .banner = "220 hi\r\n", .rules = { { "EHLO", GREET "250 PIPELINING\r\n" }, { "MAIL", OK },
	    { "RCPT", OK }, { "DATA", "354 go\r\n" }, { ".\r\n", OK } }, .messages = 3, .sender = "s@x", .rcpts = { "a@y" },
	    .want = { DELIVER_OK }, .intents = 3, .not_sent = "RSET" },
	{ .name = "RSET after a refusal", .banner = "220 hi\r\n", .rules = { { "EHLO", GREET "250 PIPELINING\r\n" }, { "MAIL", OK },
	    { "RSET", OK }, { "RCPT", "550 no\r\n" }, { "DATA", "503 no\r\n" } }, .messages = 2, .sender = "s@x", .rcpts = { "a@y" },
	    .want = { DELIVER_PERM }, .sent = "RSET\r\nMAIL" },
};

struct world {
	const struct scenario *sc;
	int		 lfd;
	struct net_addr	 addr;
	char		 sent[65536];
	size_t		 nsent;
	int		 intents;
	bool		 done;
};

static const char *
answer_to(const struct scenario *sc, struct sv line)
{
	for (int i = 0; i < MAX_RULES && sc->rules[i].prefix != NULL; i++)
		if (sv_starts(line, sc->rules[i].prefix))
			return (sc->rules[i].answer);
	return (sv_starts(line, "QUIT") ? "221 bye\r\n" : "");
}

static void
server(void *arg)
{
	struct world *w = arg;
	struct stream *s;
	struct net_addr peer, local;
	struct sv line;
	int fd;

	while ((fd = net_accept(w->lfd, &peer, &local)) == -1)
		assert_int_equal(fiber_wait_fd(w->lfd, FIBER_READ, FIBER_NOW_PLUS(30000)), FIBER_READY);
	s = stream_new(fd);
	if (w->sc->banner[0] != '!') {
		(void)stream_write(s, sv_cstr(w->sc->banner));
		while (stream_read_line(s, 4096, &line) == STREAM_OK) {
			const char *a;

			assert_true(w->nsent + line.len < sizeof(w->sent));
			memcpy(w->sent + w->nsent, line.p, line.len);
			w->nsent += line.len;
			a = answer_to(w->sc, line);
			if (a[0] == '!')
				break;
			(void)stream_write(s, sv_cstr(a));
		}
	}
	stream_close(&s);
}

static int
intent(void *arg, struct err *err)
{
	struct world *w = arg;

	(void)err;
	w->intents++;
	return (0);
}

static void
check_rcpts(const struct scenario *sc, const struct deliver_rcpt *r, size_t n)
{
	const char *status = NULL;

	for (size_t i = 0; i < n; i++) {
		if (r[i].status != sc->want[i])
			fail_msg("%s: recipient %zu has status %d (%s)", sc->name, i, (int)r[i].status, r[i].error.err.text);
		if (status == NULL && (r[i].status == DELIVER_PERM || r[i].status == DELIVER_TEMP))
			status = r[i].error.err.status;
	}
	if (sc->want_status != NULL)
		assert_string_equal(status, sc->want_status);
}

static void
send_all(struct world *w, struct deliver_conn *c)
{
	const struct scenario *sc = w->sc;
	const char *content = sc->content != NULL ? sc->content : "Subject: hello there\r\n\r\nsome text\r\n  ";
	FILE *f = tmpfile();
	struct deliver_error e = DELIVER_ERROR_INIT;

	assert_int_equal(fwrite(content, 1, strlen(content), f), strlen(content));
	(void)fflush(f);
	for (int k = 0; k < (sc->messages == 0 ? 1 : sc->messages); k++) {
		struct deliver_rcpt r[4] = { 0 };
		struct deliver_message m = { .sender = sv_cstr(sc->sender), .size = strlen(content), .smtputf8 = sc->smtputf8,
		    .header = SV_LIT(""), .fd = fileno(f), .len = strlen(content), .rcpts = r, .intent = intent, .arg = w };

		for (; m.nrcpts < 4 && sc->rcpts[m.nrcpts] != NULL; m.nrcpts++) {
			r[m.nrcpts].addr = sv_cstr(sc->rcpts[m.nrcpts]);
			r[m.nrcpts].notify = sc->notify;
		}
		assert_int_equal(deliver_send(c, &m, &e), sc->send_rc);
		check_rcpts(sc, r, m.nrcpts);
		if (sc->confirmation != NULL)
			assert_string_equal(m.confirmation, sc->confirmation);
		if (sc->send_rc == -1) {
			assert_int_equal(e.host, sc->want_host);
			if (sc->what != EXIM_RE_ANY)
				assert_int_equal(e.what, sc->what);
			if (sc->text != NULL)
				assert_string_equal(e.err.text, sc->text);
		}
		assert_int_equal(deliver_usable(c), sc->send_rc == 0);
	}
	(void)fclose(f);
}

static void
client(void *arg)
{
	struct world *w = arg;
	const struct scenario *sc = w->sc;
	static const struct sv plain = { "\0u\0p", 4, false };
	struct deliver_auth au = { .mechanism = "PLAIN", .strings = &plain, .nstrings = 1, .name = "up" };
	struct deliver_opts o = { .lmtp = sc->lmtp, .helo = "me.example", .esmtp = true, .pipelining = true,
	    .chunking = sc->chunking, .auths = &au, .nauths = sc->auth, .auth_require = sc->auth_require, .connect_ms = 5000,
	    .command_ms = 5000, .data_ms = 5000, .final_ms = 5000 };
	struct deliver_host h = { .name = "mx.example", .addr = w->addr, .mx = -1 };
	struct deliver_conn *c;
	struct deliver_error e = DELIVER_ERROR_INIT;
	int rc = deliver_open(&c, &h, &o, &e);

	if (rc != sc->open_rc)
		fail_msg("%s: deliver_open: %s", sc->name, e.err.text);
	if (rc == -1) {
		assert_int_equal(e.host, sc->want_host);
		assert_int_equal(e.err.cls, sc->banner[0] == '5' ? ERR_PERM : ERR_TEMP);
		if (sc->what != EXIM_RE_ANY)
			assert_int_equal(e.what, sc->what);
		if (sc->text != NULL)
			assert_string_equal(e.err.text, sc->text);
	} else {
		send_all(w, c);
		deliver_close(&c);
	}
	w->done = true;
}

static void
play(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		struct world w = { .sc = &scenarios[i] };
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		struct err err = ERR_INIT;

		assert_int_equal(fiber_init(&err), 0);
		assert_true(net_addr_parse_port(SV_LIT("127.0.0.1"), 0, &w.addr));
		w.lfd = net_listen(&w.addr, &err);
		assert_true(w.lfd != -1);
		assert_int_equal(getsockname(w.lfd, (struct sockaddr *)&ss, &len), 0);
		net_addr_from_sockaddr(&w.addr, (struct sockaddr *)&ss);
		(void)fiber_spawn("server", server, &w);
		(void)fiber_spawn("client", client, &w);
		fiber_run();
		fiber_fini();
		(void)close(w.lfd);
		assert_true(w.done);
		w.sent[w.nsent] = '\0';
		if (w.sc->sent != NULL && strstr(w.sent, w.sc->sent) == NULL)
			fail_msg("%s: not sent: %s\n--- but:\n%s", w.sc->name, w.sc->sent, w.sent);
		if (w.sc->not_sent != NULL && strstr(w.sent, w.sc->not_sent) != NULL)
			fail_msg("%s: sent: %s", w.sc->name, w.sc->not_sent);
		if (w.intents != w.sc->intents)
			fail_msg("%s: %d intents", w.sc->name, w.intents);
	}
}

static void
refused(void *arg)
{
	struct deliver_opts o = { .helo = "me", .esmtp = true, .connect_ms = 2000, .command_ms = 2000 };
	struct deliver_host h = { .name = "nobody.example" };
	struct deliver_conn *c;
	struct deliver_error e = DELIVER_ERROR_INIT;

	(void)arg;
	assert_true(net_addr_parse_port(SV_LIT("127.0.0.1:1"), 1, &h.addr));
	assert_int_equal(deliver_open(&c, &h, &o, &e), -1);
	assert_true(e.host);
	assert_int_equal(e.what, EXIM_RE_REFUSED);
	assert_int_equal(e.err.cls, ERR_TEMP);
}

static void
connection_refused(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(fiber_init(&err), 0);
	(void)fiber_spawn("refused", refused, NULL);
	fiber_run();
	fiber_fini();
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(play), cmocka_unit_test(connection_refused) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
