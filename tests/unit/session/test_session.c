/* SPDX-License-Identifier: BSD-2-Clause */
/* What a session says and does, by scenarios of bench.h. */
#include "bench.h"

/* ---- scenarios ---- */

#define LARGE_LINES	12000	/* of 62 bytes: more than a message may have in memory */

static void
test_one_message(void **state)
{
	struct bench b;

	bench_open(&b, OPEN);
	play(&b, BEGIN
	    "> DATA\n< 354 Enter message\n"
	    "! Subject: one\\r\\nMessage-ID: <m1@c.test>\\r\\n\\r\\n..dot\\r\\nbody\\r\\n.\\r\\n\n"
	    "< 250 2.0.0 OK id=\n"
	    "@  <= a@remote.test H=(c.test) [192.0.2.10] P=esmtp S=\n@  id=m1@c.test\n"
	    "= Received: from \n= by mail.example.test with esmtp\n= \\r\\n\\tfor x@example.test;\\r\\n\\t\n"
	    "= \\r\\nSubject: one\\r\\nMessage-ID: <m1@c.test>\\r\\n\\r\\n.dot\\r\\nbody\\r\\n\n"
	    "> QUIT\n< 221 2.0.0 mail.example.test closing connection\n< \n");
	assert_int_equal(b.taken, 1);
	assert_string_equal(b.sender, "a@remote.test");
	assert_string_equal(sb_cstr(&b.rcpts), "x@example.test ");
	assert_int_equal(b.flags, 0);
	assert_true(sv_find(sb_sv(&b.content), SV_LIT("Date:")) < 0);
	bench_close(&b);
}

static void
test_pipelined(void **state)
{
	struct bench b;

	bench_open(&b, OPEN);
	play(&b, HELLO
	    "! MAIL FROM:<a@remote.test>\\r\\nRCPT TO:<x@example.test>\\r\\nRCPT TO:<y@example.test>\\r\\nDATA\\r\\n\n"
	    "< 250 2.1.0\n< 250 2.1.5\n< 250 2.1.5\n< 354\n"
	    "! \\r\\nno header\\r\\n.\\r\\nMAIL FROM:<>\\r\\nRCPT TO:<z@example.test>\\r\\nDATA\\r\\n\n"
	    "< 250 2.0.0 OK id=\n= (envelope-from <a@remote.test>)\n= \\r\\n\\r\\nno header\\r\\n\n< 250 2.1.0\n< 250 2.1.5\n< 354\n"
	    "! body without header\\r\\n.\\r\\nQUIT\\r\\n\n"
	    "< 250 2.0.0 OK id=\n= \\r\\n\\r\\nbody without header\\r\\n\n< 221\n@ <= <> H=\n");
	assert_int_equal(b.taken, 2);
	bench_close(&b);
}

static void
test_order(void **state)
{
	one(OPEN "smtp_max_synprot_errors = 100\nsmtp_accept_max_nonmail = 100\n",
	    "< 220\n> MAIL FROM:<a@remote.test>\n< 503 5.5.1 HELO or EHLO required\n> RCPT TO:<x@example.test>\n"
	    "< 503 5.5.1 sender not yet given\n> RSET\n< 250 2.0.0 Reset OK\n> DATA\n< 503 5.5.1 valid RCPT\n> HELO c.test\n"
	    "< 250 mail.example.test Hello c.test [192.0.2.10]\n> MAIL FROM:<a@remote.test> SIZE=1\n< 501 5.5.4\n"
	    "> MAIL FROM:<a@remote.test>\n< 250\n> MAIL FROM:<b@remote.test>\n< 503 5.5.1 sender already given\n> DATA\n< 503\n"
	    "> BOGUS\n< 500 5.5.1 unrecognized command\n> QUIT now\n< 501\n> NOOP\n< 250 2.0.0 OK\n> HELP\n< 214\n"
	    "> EHLO bad_name\n< 501 5.5.4 Syntactically invalid EHLO argument(s)\n> VRFY a@b.test\n< 252\n> EXPN a@b.test\n< 550\n"
	    "> LHLO x\n< 500\n> STARTTLS\n< 503 5.5.1\n> AUTH PLAIN AA==\n< 503 5.5.1\n! NO\\0OP\\r\\n\n< 501 5.5.2 NUL\n"
	    "> RCPT TO:<x@[192.0.2.1]>\n< 501 5.1.3\n> RCPT TO:<nodomain>\n< 501 5.1.3\n> RCPT TO:<postmaster>\n< 250\n"
	    "> RCPT TO:<>\n< 501\n> QUIT\n< 221\n< \n");
}

static void
test_too_many_errors(void **state)
{
	one(OPEN, "< 220\n> FOO\n< 500 5.5.1\n> FOO\n< 500\n> FOO\n< 500\n> FOO\n< 421 4.7.0\n~ Too many unrecognized\n< \n"
	    "@ too many unrecognized commands\n");
	one(OPEN, "< 220\n> EHLO\n< 501\n> EHLO\n< 501\n> EHLO\n< 501\n> EHLO\n< 421 4.7.0\n~ Too many syntax\n< \n");
	one(OPEN, "< 220\n> NOOP\n< 250\n> NOOP\n< 250\n> NOOP\n< 250\n> NOOP\n< 250\n> NOOP\n< 250\n> NOOP\n< 250\n> NOOP\n< 250\n"
	    "> NOOP\n< 250\n> NOOP\n< 250\n> NOOP\n< 250\n> NOOP\n< 421 4.7.0\n~ nonmail\n< \n");
	/* One AUTH is free, as one STARTTLS is. */
	one(OPEN "smtp_accept_max_nonmail = 1\nsmtp_max_synprot_errors = 9\n", "< 220\n> EHLO c.test\n< 250 HELP\n> AUTH X\n< 503\n"
	    "> STARTTLS\n< 503\n> AUTH X\n< 503\n> AUTH X\n< 421 4.7.0\n~ nonmail\n< \n");
}

static void
test_sync(void **state)
{
	one(OPEN "pipelining_connect_advertise_hosts =\n", "! EHLO early\\r\\n\n< 554 5.5.0 SMTP synchronization error\n< \n@ next input sent too soon\n");
	/* Where EHLO may come early nothing else may. */
	one(OPEN, "! EHLO early\\r\\n\n< 220\n< 250 HELP\n> QUIT\n< 221\n");
	one(OPEN, "! HELO early\\r\\n\n< 220\n< 554 5.5.0 SMTP synchronization error\n< \n@ next input sent too soon\n");
	one(OPEN, "! POST / HTTP/1.1\\r\\n\n< 220\n< 554 5.5.0 SMTP synchronization error\n< \n@ next input sent too soon\n");
	one(OPEN, BEGIN "! DATA\\r\\nSubject: x\\r\\n\\r\\n.\\r\\n\n< 554 5.5.0\n< \n");
	one(OPEN "pipelining_advertise_hosts =\n", "< 220\n> EHLO c.test\n< 250 HELP\n"
	    "! MAIL FROM:<a@remote.test>\\r\\nRCPT TO:<x@example.test>\\r\\n\n< 554\n< \n");
	one(OPEN "smtp_enforce_sync = false\n", "! EHLO early\\r\\n\n< 220\n< 250 HELP\n> QUIT\n< 221\n");
	/* The controls have the last word. */
	one(OPEN "smtp_enforce_sync = false\nacl_smtp_connect = accept control = enforce_sync\n", "! HELO early\\r\\n\n< 220\n< 554 5.5.0\n< \n");
	one(OPEN "acl_smtp_connect = accept control = no_enforce_sync\n", "! EHLO early\\r\\n\n< 220\n< 250 HELP\n> QUIT\n< 221\n");
}

static void
test_size(void **state)
{
	struct bench b;

	bench_open(&b, OPEN "message_size_limit = 2000\n");
	play(&b, "< 220\n> EHLO c.test\n< 250 HELP\n~ 250-SIZE 2000\\r\\n\n> MAIL FROM:<a@remote.test> SIZE=2001\n< 552 5.3.4\n"
	    "> MAIL FROM:<a@remote.test> SIZE=2000\n< 250\n> RCPT TO:<x@example.test>\n< 250\n> DATA\n< 354\n"
	    "! Subject: x\\r\\n\\r\\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\\r\\n\n"
	    "! .\\r\\n\n< 250\n> MAIL FROM:<a@remote.test>\n< 250\n> QUIT\n< 221\n");
	assert_int_equal(b.taken, 1);
	bench_close(&b);
}

/* Larger than memory: through the file, and byte for byte the same. */
static void
test_large(void **state)
{
	struct sb script = SB_INIT(1 << 23), body = SB_INIT(1 << 22);
	struct bench b;

	sb_adds(&body, "\r\n");
	for (int i = 0; i < LARGE_LINES; i++)
		sb_addf(&body, "%060d\r\n", i);
	sb_adds(&script, BEGIN "> DATA\n< 354\n> Subject: large\n! \\r\\n\n");
	for (int i = 0; i < LARGE_LINES; i++)
		sb_addf(&script, "> %060d\n", i);
	sb_adds(&script, "> .\n< 250 2.0.0 OK\n> MAIL FROM:<b@remote.test>\n< 250\n> RCPT TO:<y@example.test>\n< 250\n> DATA\n< 354\n"
	    "> small\n> .\n< 250\n> QUIT\n< 221\n");
	bench_open(&b, OPEN);
	play(&b, sb_cstr(&script));
	assert_int_equal(b.taken, 2);
	bench_close(&b);
	/* The same once more, alone, to look at what was taken. */
	bench_open(&b, OPEN "acl_smtp_data = accept add_header = X-Size: $message_size\n");
	sb_cut(&script, (size_t)sv_find(sb_sv(&script), SV_LIT("> MAIL FROM:<b@")));
	play(&b, sb_cstr(&script));
	assert_true(sv_ends(sb_sv(&b.content), sb_cstr(&body)));
	assert_true(sv_find(sb_sv(&b.content), SV_LIT("\r\nSubject: large\r\nX-Size: 732016\r\n\r\n0000")) > 0);
	bench_close(&b);
	/* And too large. */
	bench_open(&b, OPEN "message_size_limit = 200K\n");
	{
		ptrdiff_t ok = sv_rchr(sb_sv(&script), '<');

		sb_cut(&script, (size_t)ok);
		sb_adds(&script, "< 552 5.3.4 Message size exceeds maximum permitted\n@ message too big\n> QUIT\n< 221\n");
	}
	play(&b, sb_cstr(&script));
	assert_int_equal(b.taken, 0);
	bench_close(&b);
	sb_free(&script);
	sb_free(&body);
}

static void
test_bare(void **state)
{
	static const char *const bad[] = { "a\\n.\\n", "a\\n.\\r", "a\\r.\\n", "a\\r.\\r", "a\\n.\\r\\n", "a\\r.\\r\\n", "a\\r\\n.\\n",
		"a\\r\\n.\\r" };
	struct bench b;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char script[2000];

		(void)snprintf(script, sizeof(script), BEGIN "> DATA\n< 354\n! Subject: x\\r\\n\\r\\n%sMAIL FROM:<evil@x.test>\\r\\n"
		    "RCPT TO:<y@example.test>\\r\\nDATA\\r\\nsecond\\r\\n.\\r\\n\n< 550 5.6.11\n@ in message\n> NOOP\n< 250\n> QUIT\n< 221\n",
		    bad[i]);
		bench_open(&b, OPEN);
		play(&b, script);
		assert_int_equal(b.taken, 0);
		bench_close(&b);
	}
	bench_open(&b, OPEN);
	b.sv.keep_bare = true;
	play(&b, BEGIN "> DATA\n< 354\n! Subject: x\\r\\n\\r\\na\\nb\\rc\\r\\n.\\r\\n\n< 250\n= \\r\\n\\r\\na\\r\\nb c\\r\\n\n> QUIT\n< 221\n");
	bench_close(&b);
}

static void
test_acl_replies(void **state)
{
	one("acl_smtp_connect = deny message = no service for you\n" OPEN, "< 550 5.7.1 no service for you\n< \n"
	    "@ H=[192.0.2.10] rejected connection in \"connect\" ACL: no service for you\n");
	one("acl_smtp_helo = deny message = you are not me\n" OPEN, "< 220\n> EHLO x.test\n< 550 5.7.1 you are not me\n"
	    "> MAIL FROM:<a@b.test>\n< 503\n> QUIT\n< 221\n@ rejected EHLO or HELO x.test: you are not me\n");
	one(OPEN "acl_smtp_mail = mail\nbegin acl\nmail:\n  deny message = 550 5.1.8 <$sender_address> is bad\n", HELLO
	    "> MAIL FROM:<a@b.test>\n< 550 5.1.8 <a@b.test> is bad\n> QUIT\n< 221\n@ rejected MAIL <a@b.test>: 550 5.1.8 <a@b.test> is bad\n");
	one("", HELLO "> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<x@y.test>\n< 550 5.7.1\n> DATA\n< 503\n~ All RCPT commands were rejected with this error:\\r\\n503-5.5.1 5.7.1 \n"
	    "> QUIT\n< 221\n@ H=(c.test) [192.0.2.10] F=<a@b.test> rejected RCPT <x@y.test>\n");
	one("acl_smtp_rcpt = rcpt\nbegin acl\nrcpt:\n  drop local_parts = drop\n       message = go away\n  discard local_parts = disc\n"
	    "  defer local_parts = later\n       message = 450 4.2.0 come back\n  deny message = $local_part at $domain\n       "
	    "log_message = secret\n", HELLO
	    "> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<Some.One@Y.Test>\n< 550 5.7.1 some.one at y.test\n> RCPT TO:<disc@y.test>\n"
	    "< 250 2.1.5 Accepted\n> RCPT TO:<later@y.test>\n< 450 4.2.0 come back\n@ temporarily rejected RCPT <later@y.test>\n"
	    "@ rejected RCPT <Some.One@Y.Test>: secret\n@ RCPT <disc@y.test>: discarded by RCPT ACL\n> RCPT TO:<drop@y.test>\n"
	    "< 550 5.7.1 go away\n< \n");
}

static void
test_acl_data(void **state)
{
	struct bench b;

	bench_open(&b, OPEN "acl_smtp_predata = pre\nacl_smtp_data = data\nbegin acl\npre:\n  deny condition = ${if >{$rcpt_count}{2}}\n"
	    "       message = too many: $rcpt_count\n  accept\ndata:\n  deny condition = ${if !def:h_subject:}\n"
	    "       message = a Subject line is needed\n  warn add_header = X-Added: yes\n       remove_header = X-Gone\n"
	    "  discard condition = ${if match{$h_subject:}{discard}}\n  accept message = thank you for $message_size bytes\n");
	play(&b, BEGIN "> DATA\n< 354\n> From: x@y.test\n> \n> no subject\n> .\n< 550 5.7.1 a Subject line is needed\n"
	    "@ F=<a@remote.test> rejected after DATA: a Subject line is needed\n@ Envelope-from: <a@remote.test>\n"
	    "@ \\nF From: x@y.test\n"
	    "> MAIL FROM:<a@remote.test>\n< 250\n> RCPT TO:<1@e.test>\n< 250\n> RCPT TO:<2@e.test>\n< 250\n> RCPT TO:<3@e.test>\n< 250\n"
	    "> DATA\n< 550 5.7.1 too many: 3\n> RSET\n< 250\n"
	    "> MAIL FROM:<a@remote.test>\n< 250\n> RCPT TO:<1@e.test>\n< 250\n> DATA\n< 354\n> Subject: s\n> X-Gone: secret\n> \n> ..dot\n"
	    "> .\n< 250 2.0.0 thank you for 32 bytes\n= \\r\\nSubject: s\\r\\nX-Added: yes\\r\\n\\r\\n.dot\\r\\n\n"
	    "> MAIL FROM:<a@remote.test>\n< 250\n> RCPT TO:<1@e.test>\n< 250\n> DATA\n< 354\n> Subject: discard\n> \n> x\n"
	    "> .\n< 250 2.0.0 OK\n@ blackhole (DATA ACL discarded recipients)\n> QUIT\n< 221\n");
	assert_int_equal(b.taken, 1);
	bench_close(&b);
}

static void
test_vars(void **state)
{
	one("acl_smtp_connect = con\nacl_smtp_mail = mail\nacl_smtp_rcpt = rcpt\nbegin acl\ncon:\n  warn set acl_c0 = conn\n"
	    "       set acl_m0 = early\n  accept\nmail:\n  warn set acl_m1 = ${eval:${if def:acl_m1{$acl_m1}{0}}+1}\n"
	    "       set acl_c1 = ${eval:${if def:acl_c1{$acl_c1}{0}}+1}\n  accept\nrcpt:\n"
	    "  deny message = [$acl_c0][$acl_m0][$sender_address][$acl_m1][$acl_c1]\n", HELLO
	    "> MAIL FROM:<one@r.test>\n< 250\n> RCPT TO:<x@e.test>\n< 550 5.7.1 [conn][][one@r.test][1][1]\n> RSET\n< 250\n"
	    "> MAIL FROM:<two@r.test>\n< 250\n> RCPT TO:<x@e.test>\n< 550 5.7.1 [conn][][two@r.test][1][2]\n> QUIT\n< 221\n");
}

static void
test_bdat_message(void **state)
{
	struct bench b;

	bench_open(&b, OPEN);
	play(&b, BEGIN "! BDAT 17\\r\\nSubject: bdat\\r\\n\\r\\n\n< 250 2.0.0 17 byte chunk received\n"
	    "! BDAT 9 LAST\\r\\n.\\r\\nbody\\r\\n\n< 250 2.0.0 OK id=\n~ 250-2.0.0 9 byte chunk, total 26\n"
	    "= Subject: bdat\\r\\n\\r\\n.\\r\\nbody\\r\\n\n@  K S=\n"
	    "> RSET\n< 250\n! BDAT 5 LAST\\r\\nabcde\n< 503 5.5.1\n> NOOP\n< 250\n"
	    "> MAIL FROM:<a@remote.test>\n< 250\n> RCPT TO:<x@example.test>\n< 250\n! BDAT 3\\r\\na\\rb\n< 250\n"
	    "> DATA\n< 503 5.5.1 DATA cannot\n! BDAT 0 LAST\\r\\n\n< 550 5.6.11\n> QUIT\n< 221\n");
	assert_int_equal(b.taken, 1);
	bench_close(&b);
}

/* Without the offer a chunk is refused, and is no command. */
static void
test_bdat_not_offered(void **state)
{
	one(OPEN, "< 220\n> HELO c.test\n< 250\n> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<x@example.test>\n< 250\n"
	    "! BDAT 6 LAST\\r\\nQUIT\\r\\n\n< 503 5.5.1 BDAT command used\n> DATA\n< 354\n> \n> .\n< 250\n> QUIT\n< 221\n");
	one(OPEN "chunking_advertise_hosts =\n", BEGIN "! BDAT 6\\r\\nQUIT\\r\\n\n< 503 5.5.1\n> QUIT\n< 221\n");
}

static void
test_submission(void **state)
{
	struct bench b;

	bench_open(&b, "acl_smtp_rcpt = accept control = submission/domain=example.test/name=Some One\n");
	play(&b, HELLO "> MAIL FROM:<alice@example.test>\n< 250\n> RCPT TO:<x@remote.test>\n< 250\n> DATA\n< 354\n"
	    "> Subject: no from\n> Bcc: hidden@x.test\n> Resent-Bcc: hidden@y.test\n> \n> x\n> .\n< 250\n= From: Some One <alice@example.test>\\r\\n\n= Message-Id: <E\n"
	    "= Date: \n> QUIT\n< 221\n");
	assert_true((b.flags & SPOOL_SUBMISSION) != 0);
	assert_true(sv_casefind(sb_sv(&b.content), SV_LIT("bcc")) < 0);
	bench_close(&b);
	bench_open(&b, OPEN);
	b.conn.kind = SESSION_SUBMISSION;
	play(&b, HELLO "> MAIL FROM:<alice@example.test>\n< 530 5.7.0 Authentication required\n> QUIT\n< 221\n");
	bench_close(&b);
}

static void
test_local(void **state)
{
	struct bench b;

	bench_open(&b, OPEN);
	b.conn.kind = SESSION_LOCAL;
	memset(&b.conn.peer, 0, sizeof(b.conn.peer));
	b.conn.user = "alice";
	b.conn.uid = 1000;
	play(&b, "< 220\n> EHLO localhost\n< 250 HELP\n> MAIL FROM:<alice>\n< 250\n> RCPT TO:<bob>\n< 250\n> DATA\n< 354\n"
	    "> From: other@x.test\n> Subject: local\n> \n> x\n> .\n< 250\n= Message-Id: <E\n= Sender: alice@example.test\\r\\n\n"
	    "@ <= alice@example.test U=alice P=local-esmtp S=\n> QUIT\n< 221\n");
	assert_true((b.flags & SPOOL_LOCAL) != 0);
	assert_string_equal(sb_cstr(&b.rcpts), "bob@example.test ");
	bench_close(&b);
}

#define HANDED	"< 220\n> XLOCAL "
#define MESSAGE	"> EHLO localhost\n< 250 HELP\n> MAIL FROM:<other@x.test>\n< 250\n> RCPT TO:<bob>\n< 250\n> DATA\n< 354\n> X: y\n> \n> x\n> .\n"

static void
open_handed(struct bench *b, bool trusted)
{
	bench_open(b, "acl_smtp_rcpt = deny\nacl_smtp_connect = deny\nacl_not_smtp = ${if eq{$h_x:}{bad}{deny}{accept}}\n");
	b->conn.kind = SESSION_LOCAL;
	memset(&b->conn.peer, 0, sizeof(b->conn.peer));
	b->conn.user = "alice";
	b->conn.uid = 1000;
	b->conn.handed = true;
	b->conn.trusted = trusted;
}

/* What sendmail hands over, and what XLOCAL may say of it. */
static void
test_handed(void **state)
{
	struct bench b;

	(void)state;
	open_handed(&b, true);
	play(&b, HANDED "ADDR=192.0.2.9:77 NAME=far.test IDENT=her+20self PROTO=scanned MECHANISM=PLAIN LOGIN=id SENDER=a@b.test\n"
	    "< 250 2.0.0 OK\n" MESSAGE "< 250\n@ <= other@x.test H=far.test [192.0.2.9] U=her self P=scanned A=PLAIN:id S=\n> QUIT\n< 221\n");
	bench_close(&b);
	/* From others only what every user may do. */
	open_handed(&b, false);
	play(&b, HANDED "ADDR=192.0.2.9 PROTO=scanned BATCH=me.test QUEUE=1\n< 250\n"
	    MESSAGE "< 250\n@ <= alice@example.test U=alice P=local-bsmtp S=\n> QUIT\n< 221\n");
	assert_true((b.flags & SPOOL_QUEUE_ONLY) != 0);
	bench_close(&b);
	open_handed(&b, true);
	play(&b, HANDED "ADDR=300.1\n< 501 5.5.4\n> XLOCAL NAME\n< 501 5.5.4\n> XLOCAL NOSUCH=x\n< 501 5.5.4\n> XLOCAL\n< 250\n> QUIT\n< 221\n");
	bench_close(&b);
	open_handed(&b, true);
	play(&b, HANDED "NAME=a+0Ab\n< 501 5.5.4\n> XLOCAL NAME=a+2\n< 501 5.5.4\n> QUIT\n< 221\n");
	bench_close(&b);
	/* It is for that socket alone. */
	bench_open(&b, OPEN);
	play(&b, "< 220\n> XLOCAL PROTO=x\n< 500\n> QUIT\n< 221\n");
	bench_close(&b);
}

static void
test_loop_and_spool(void **state)
{
	struct bench b;
	struct sb script = SB_INIT(20000);

	sb_adds(&script, BEGIN "> DATA\n< 354\n");
	for (int i = 0; i < 31; i++)
		sb_adds(&script, "> Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\n");
	sb_adds(&script, "> \n> x\n> .\n< 550 5.4.6\n> QUIT\n< 221\n");
	bench_open(&b, OPEN);
	play(&b, sb_cstr(&script));
	bench_close(&b);
	sb_free(&script);
	bench_open(&b, OPEN);
	b.fail = 1;
	play(&b, BEGIN "> DATA\n< 354\n> x: y\n> \n> .\n< 452 4.3.1\n@ temporarily rejected after DATA: the disk is full\n> QUIT\n< 221\n");
	b.fail = 2;
	play(&b, BEGIN "> DATA\n< 354\n> x: y\n> \n> .\n< 554 5.5.3\n> QUIT\n< 221\n");
	b.fail = 3;
	play(&b, HELLO "> MAIL FROM:<a@b.test>\n< 452 4.3.1\n> QUIT\n< 221\n");
	assert_int_equal(b.taken, 0);
	bench_close(&b);
}

static void
test_limits(void **state)
{
	one(OPEN "recipients_max = 2\n", HELLO "> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<1@b.test>\n< 250\n> RCPT TO:<2@b.test>\n< 250\n"
	    "> RCPT TO:<3@b.test>\n< 452 4.5.3\n> DATA\n< 354\n> \n> .\n< 250\n> QUIT\n< 221\n");
	one(OPEN "recipients_max = 1\nrecipients_max_reject\n", HELLO "> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<1@b.test>\n< 250\n"
	    "> RCPT TO:<2@b.test>\n< 552 5.5.3\n> DATA\n< 554 5.5.3 Too many recipients\n> QUIT\n< 221\n");
	one(OPEN "smtp_accept_max_per_host = 2\n", "< 421 4.7.0 Too many concurrent\n< \n@ refused connection from [192.0.2.10]\n");
	one(OPEN "smtp_accept_max = 4\n", "< 421 4.3.2 Too many concurrent\n< \n");
	one(OPEN "host_reject_connection = 192.0.2.10\n", "< 554 5.7.1 SMTP service not available\n< \n"
	    "@ refused connection from [192.0.2.10] (host_reject_connection)\n");
	one(OPEN "smtp_receive_timeout = 1s\n", "< 220\n< 421 4.4.2\n~ timeout\n< \n@ SMTP command timeout on connection from [192.0.2.10]\n");
}

static void
test_etrn_vrfy(void **state)
{
	one(OPEN "acl_smtp_etrn = accept\nacl_smtp_vrfy = accept\nsmtp_accept_max_nonmail = 100\n",
	    "< 220\n> EHLO c.test\n< 250 HELP\n~ 250-ETRN\n~ 250-VRFY\n> ETRN some.test\n< 253 2.0.0 OK, 3 pending messages\n"
	    "> ETRN @none.test\n< 251 2.0.0\n> ETRN down.test\n< 458 4.3.0\n> ETRN\n< 501\n> ETRN a b\n< 501\n> VRFY x@y.test\n< 252 2.5.2\n"
	    "> VRFY\n< 501\n> QUIT\n< 221\n");
	one(OPEN, "< 220\n> EHLO c.test\n< 250 HELP\n> ETRN x.test\n< 458\n> VRFY root\n< 252\n> EXPN root\n< 550\n> QUIT\n< 221\n");
	/* In a transaction ETRN is out of place (RFC 1985 section 5.1), whoever asks; VRFY is not. */
	one(OPEN "acl_smtp_vrfy = accept\nacl_smtp_expn = accept\n", BEGIN "> ETRN x.test\n< 503\n> VRFY <x@y.test>\n< 252 2.5.2\n"
	    "> VRFY root\n< 252\n> NOOP anything goes\n< 250\n> HELP MAIL\n< 214\n> RSET now\n< 501\n> DATA now\n< 501\n"
	    "> DATA\n< 354\n> \n> .\n< 250\n> QUIT\n< 221\n");
}

/* RFC 3461 sections 4 and 5: parameters of DSN; each may be given once. */
static void
test_parameters(void **state)
{
	static const char *const bad[] = { "RET=FULL RET=HDRS", "RET=SOME", "RET", "ENVID=a+ZZ", "ENVID=", "ENVID=a ENVID=a", "SIZE=1 SIZE=1",
		"SIZE=x", "BODY=7BIT BODY=7BIT", "BODY=9BIT", "SMTPUTF8 SMTPUTF8", "SMTPUTF8=yes" };
	static const char *const bad_rcpt[] = { "NOTIFY=NEVER,SUCCESS", "NOTIFY=SUCCESS,NEVER", "NOTIFY=", "NOTIFY=NEVER NOTIFY=NEVER",
		"ORCPT=foo", "ORCPT=;x", "ORCPT=rfc822;", "ORCPT=rfc822;a ORCPT=rfc822;a", "ORCPT=rfc822;a+0Ab" };
	static const char head[] = OPEN "smtp_max_synprot_errors = 100\ndsn_advertise_hosts = *\nsmtputf8_advertise_hosts = *\n";
	char script[4000];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(script, sizeof(script), HELLO "> MAIL FROM:<> %s\n< 501 5.5.4\n> QUIT\n< 221\n", bad[i]);
		one(head, script);
	}
	for (size_t i = 0; i < sizeof(bad_rcpt) / sizeof(bad_rcpt[0]); i++) {
		(void)snprintf(script, sizeof(script), HELLO "> MAIL FROM:<> RET=HDRS ENVID=a+20b SIZE=5 SMTPUTF8\n< 250\n"
		    "> RCPT TO:<x@b.test> %s\n< 501 5.5.4\n> RCPT TO:<x@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c.test\n"
		    "< 250\n> RCPT TO:<x@b.test> FOO=bar\n< 555 5.5.4\n> QUIT\n< 221\n", bad_rcpt[i]);
		one(head, script);
	}
}

static void
test_auth(void **state)
{
	static const char config[] = "acl_smtp_rcpt = rcpt\nsmtp_max_synprot_errors = 4\nbegin acl\nrcpt:\n  accept authenticated = *\n"
	    "  deny message = please authenticate\n"
	    "begin authenticators\nplain:\n  driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n"
	    "  server_condition = ${if and{{eq{$auth2}{alice}}{eq{$auth3}{secret}}}{yes}{no}}\n  server_set_id = $auth2\n"
	    "login:\n  driver = plaintext\n  public_name = LOGIN\n  server_prompts = <| Username: | Password:\n"
	    "  server_condition = ${if and{{eq{$auth1}{alice}}{eq{$auth2}{secret}}}}\n  server_set_id = $auth1\n";

	one(config, HELLO "~ 250-AUTH PLAIN LOGIN\n> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<x@o.test>\n< 550 5.7.1 please authenticate\n"
	    "> RSET\n< 250\n> AUTH PLAIN AGFsaWNlAHdyb25n\n< 535 5.7.8\n"
	    "@ plain authenticator failed for (c.test) [192.0.2.10]: 535 Incorrect authentication data (set_id=alice)\n"
	    "> AUTH NOSUCH\n< 504 5.5.4\n> AUTH PLAIN !!\n< 501 5.5.2\n> AUTH LOGIN\n< 334 VXNlcm5hbWU6\n> *\n< 501 5.7.0\n"
	    "> AUTH LOGIN\n< 334 VXNlcm5hbWU6\n> YWxpY2U=\n< 334 UGFzc3dvcmQ6\n> c2VjcmV0\n< 235 2.7.0\n"
	    "> AUTH PLAIN AGFsaWNlAHNlY3JldA==\n< 503 5.5.1 already\n> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<x@o.test>\n< 250\n"
	    "> DATA\n< 354\n> \n> .\n< 250\n@ P=esmtpa A=login:alice S=\n> QUIT\n< 221\n");
	one(config, HELLO "> AUTH PLAIN AGFsaWNlAHNlY3JldA==\n< 235 2.7.0 Authentication succeeded\n> QUIT\n< 221\n");
	/* Nobody cancels for ever. */
	one(config, HELLO "> AUTH LOGIN\n< 334\n> *\n< 501 5.7.0\n> AUTH LOGIN\n< 334\n> *\n< 501 5.7.0\n> AUTH LOGIN\n< 334\n> *\n"
	    "< 501 5.7.0\n> AUTH LOGIN\n< 334\n> *\n< 501 5.7.0\n> AUTH LOGIN\n< 334\n> *\n< 421 4.7.0\n< \n");
}

static void
test_large_headers(void **state)
{
	struct sb script = SB_INIT(400000);

	one(OPEN "header_maxsize = 100\n", BEGIN "> DATA\n< 354\n> Subject: x\n> X: "
	    "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\n> \n> .\n"
	    "< 552 5.3.4 Message header is ridiculously long\n> NOOP\n< 250\n> QUIT\n< 221\n");
	/* More fields than are looked at: those behind would escape the count of Received and be lost where one is removed. */
	sb_adds(&script, BEGIN "> DATA\n< 354\n> Return-Path: <a@b.test>\n");
	for (int i = 0; i < 10000; i++)
		sb_adds(&script, "> X: 1\n");
	sb_adds(&script, "> Subject: last\n> \n> .\n< 552 5.3.4 Message header has too many fields\n> QUIT\n< 221\n");
	one(OPEN, sb_cstr(&script));
	sb_free(&script);
}

/* The address of a command is gone with it, within a transaction too: later ACLs must see neither it nor stale memory. */
static void
test_vrfy_in_transaction(void **state)
{
	one("acl_smtp_rcpt = accept\nacl_smtp_vrfy = accept\nacl_smtp_data = data\nbegin acl\ndata:\n"
	    "  warn logwrite = seen <$local_part@$domain>\n  accept\n",
	    BEGIN "> VRFY <a-rather-long-name@somewhere.test>\n< 252\n> DATA\n< 354\n> Subject: xxxxxxxxxxxxxxxxxxxxxxxxxxx\n> \n> .\n"
	    "< 250\n@ seen <@>\n> QUIT\n< 221\n");
}

/* drop within a list that another list runs: the connection ends where the outer statement passes the refusal on. */
static void
test_nested_drop(void **state)
{
	static const struct { const char *user, *reply, *log; bool ends; } rows[] = {
		{ "endpass", "550 5.7.1 nested says go", "nested log", true },
		{ "require", "550 5.7.1 nested says go", "nested log", true },
		{ "deep", "550 5.7.1 outer", "outlog: nested log", true },
		{ "not", "550 5.7.1 nested says go", "nested log", false },
		{ "own", "550 5.7.1 outer", "nested log", false },
		{ "later", "451 4.7.1 nested says go", "nested log", false },
		{ "drop", "550 5.7.1 nested says go", "nested log", true },
		{ "pass", "250 2.1.5", "", false },
	};
	static const char config[] = "acl_smtp_rcpt = r\nbegin acl\nsub:\n  drop message = nested says go\n       log_message = nested log\n"
	    "sub2:\n  require acl = sub\nr:\n  accept local_parts = endpass\n         endpass\n         acl = sub\n"
	    "  require acl = ${if eq{$local_part}{require}{sub}{accept}}\n"
	    "  require message = outer\n          log_message = outlog\n          acl = ${if eq{$local_part}{deep}{sub2}{accept}}\n"
	    "  deny local_parts = not\n       ! acl = sub\n  deny message = outer\n       local_parts = own\n       ! acl = sub\n"
	    "  defer local_parts = later\n        ! acl = sub\n  drop local_parts = drop\n       ! acl = sub\n"
	    "  deny acl = sub\n  warn acl = sub\n  accept\n";

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char script[1000];

		(void)snprintf(script, sizeof(script), HELLO "> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<%s@b.test>\n< %s\n@ %s\n%s",
		    rows[i].user, rows[i].reply, rows[i].log, rows[i].ends ? "< \n" : "> NOOP\n< 250\n> QUIT\n< 221\n");
		one(config, script);
	}
}

/* However many are refused, the session ends up with a word against it, not with their memory. */
static void
test_refused_recipients(void **state)
{
	struct sb script = SB_INIT(8 << 20);

	sb_adds(&script, HELLO "> MAIL FROM:<a@b.test>\n< 250\n");
	for (unsigned i = 0; i < 65536; i++)
		sb_addf(&script, "> RCPT TO:<%u@b.test>\n< 550 5.7.1\n", i);
	sb_adds(&script, "> RCPT TO:<more@b.test>\n< 452 4.5.3 too many recipients\n> RSET\n< 250\n> MAIL FROM:<a@b.test>\n< 250\n"
	    "> RCPT TO:<1@b.test>\n< 550\n> QUIT\n< 221\n");
	one("recipients_max = 0\nacl_smtp_rcpt = deny\n", sb_cstr(&script));
	sb_free(&script);
}

static void
test_lmtp(void **state)
{
	struct bench b;

	bench_open(&b, OPEN);
	b.conn.kind = SESSION_LMTP;
	play(&b, "< 220\n> EHLO x\n< 500\n> LHLO c.test\n< 250 HELP\n> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<1@b.test>\n< 250\n"
	    "> RCPT TO:<2@b.test>\n< 250\n> DATA\n< 354\n> \n> .\n< 250 2.0.0 OK id=\n< 250 2.0.0 OK id=\n> QUIT\n< 221\n");
	assert_int_equal(b.taken, 1);
	b.fail = 1;
	play(&b, "< 220\n> LHLO c.test\n< 250 HELP\n> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<1@b.test>\n< 250\n"
	    "> RCPT TO:<2@b.test>\n< 250\n> DATA\n< 354\n> \n> .\n< 452 4.3.1\n< 452 4.3.1\n> QUIT\n< 221\n");
	bench_close(&b);
}

static void
test_ends(void **state)
{
	struct bench b;

	one(OPEN "acl_smtp_notquit = warn logwrite = notquit $smtp_notquit_reason\n", HELLO "-\n");
	bench_open(&b, OPEN);
	play(&b, BEGIN "> DATA\n< 354\n> Subject: half\n");
	assert_int_equal(b.taken, 0);
	assert_true(sv_find(sb_sv(&b.logged), SV_LIT("] lost while reading message data")) >= 0);
	bench_close(&b);
	bench_open(&b, OPEN);
	b.draining = true;
	play(&b, HELLO "> MAIL FROM:<a@b.test>\n< 421 4.3.2\n< \n");
	bench_close(&b);
	bench_open(&b, OPEN);
	b.conn.exim_style = true;
	play(&b, "< 220\n> EHLO c.test\n< 250 HELP\n> MAIL FROM:<a@b.test>\n< 250 OK\n> RCPT TO:<x@b.test>\n< 250 Accepted\n> QUIT\n"
	    "< 221 mail.example.test closing connection\n");
	bench_close(&b);
}

static int
fake_space(void *arg, const char *path, int64_t *kbytes, int64_t *inodes)
{
	*kbytes = 5000;
	*inodes = 1000;
	return (0);
}

/* It falls while it is looked at. */
static int64_t load_now;

static int64_t
fake_load(void *arg)
{
	load_now -= 1000;
	return (load_now + 1000);
}

#define TWICE	BEGIN "> DATA\n< 354\n> \n> .\n< 250 2.0.0 OK\n> MAIL FROM:<a@remote.test>\n< 250\n> RCPT TO:<x@example.test>\n< 250\n" \
		"> DATA\n< 354\n> \n> .\n< 250 2.0.0 OK\n> QUIT\n< 221\n"

/* What the options do that are about how much there is; the world has a load of 4.5, 5 connections, 5 MB of room. */
static void
test_limits_of_the_machine(void **state)
{
	static const struct { const char *config, *script; uint32_t flags; } cases[] = {
		{ "smtp_accept_max = 6\nsmtp_accept_reserve = 2\n", "< 421 4.3.2 mail.example.test: Too many concurrent SMTP connections\n"
		    "@ temporarily refused connection from [192.0.2.10]: not in reserve list: connected=4 max=6 reserve=2\n< \n", 0 },
		{ "smtp_accept_max = 6\nsmtp_accept_reserve = 2\nsmtp_reserve_hosts = 192.0.2.0/24\n", HELLO "> QUIT\n< 221\n", 0 },
		{ "smtp_accept_max = 6\nsmtp_accept_reserve = 1\n", HELLO "> QUIT\n< 221\n", 0 },
		{ "smtp_load_reserve = 4\n", "< 421 4.3.2 mail.example.test: Too much load\n"
		    "@ not in reserve list and load average = 4.50\n< \n", 0 },
		{ "smtp_load_reserve = 5\n", HELLO "> QUIT\n< 221\n", 0 },
		{ "smtp_load_reserve = 4\nsmtp_reserve_hosts = *\n", HELLO "> QUIT\n< 221\n", 0 },
		{ "check_spool_space = 10M\n", HELLO "> MAIL FROM:<a@b.test>\n< 452 4.3.1 space shortage\n"
		    "@ spool directory space check failed: space=5000 inodes=1000\n> QUIT\n< 221\n", 0 },
		{ "check_spool_space = 4M\n", HELLO "> MAIL FROM:<a@b.test>\n< 250\n> RSET\n< 250\n> MAIL FROM:<a@b.test> SIZE=2000000\n"
		    "< 452 4.3.1 space shortage\n> QUIT\n< 221\n", 0 },
		{ "check_spool_space = 4M\nsmtp_check_spool_space = no\n", HELLO "> MAIL FROM:<a@b.test> SIZE=2000000\n< 250\n> QUIT\n< 221\n",
		    0 },
		{ "check_spool_inodes = 2000\n", HELLO "> MAIL FROM:<a@b.test>\n< 452 4.3.1\n> QUIT\n< 221\n", 0 },
		{ "check_log_space = 10M\nlog_file_path = /var/log/x/%slog\n", HELLO "> MAIL FROM:<a@b.test>\n< 452 4.3.1 space shortage\n"
		    "@ log directory space check failed: space=5000 inodes=1000\n> QUIT\n< 221\n", 0 },
		{ "check_log_inodes = 2000\nlog_file_path = : /var/log/x/%slog\n", HELLO "> MAIL FROM:<a@b.test>\n< 452 4.3.1\n> QUIT\n< 221\n", 0 },
		{ "check_log_space = 4M\ncheck_log_inodes = 100\n", HELLO "> MAIL FROM:<a@b.test> SIZE=2000000\n< 250\n> QUIT\n< 221\n", 0 },
		{ "check_log_space = 10M\nlog_file_path = syslog\n", HELLO "> MAIL FROM:<a@b.test>\n< 250\n> QUIT\n< 221\n", 0 },
		{ "queue_only\n", BEGIN "> DATA\n< 354\n> \n> .\n< 250 2.0.0 OK\n> QUIT\n< 221\n", SPOOL_QUEUE_ONLY },
		{ "queue_only_load = 4\n", BEGIN "> DATA\n< 354\n> \n> .\n< 250 2.0.0 OK\n> QUIT\n< 221\n", SPOOL_QUEUE_ONLY },
		{ "queue_only_load = 5\n", BEGIN "> DATA\n< 354\n> \n> .\n< 250 2.0.0 OK\n> QUIT\n< 221\n", 0 },
		{ "queue_only_load_latch = no\nqueue_only_load = 4\n", TWICE, 0 },
		{ "queue_only_load = 4\n", TWICE, SPOOL_QUEUE_ONLY },
		{ "smtp_accept_queue = 4\n", BEGIN "> DATA\n< 354\n> \n> .\n< 250 2.0.0 OK\n> QUIT\n< 221\n", SPOOL_QUEUE_ONLY },
		{ "smtp_accept_queue = 5\n", BEGIN "> DATA\n< 354\n> \n> .\n< 250 2.0.0 OK\n> QUIT\n< 221\n", 0 },
		{ "smtp_accept_queue_per_connection = 1\n", BEGIN "> DATA\n< 354\n> \n> .\n< 250 2.0.0 OK\n> MAIL FROM:<a@remote.test>\n< 250\n"
		    "> RCPT TO:<x@example.test>\n< 250\n> DATA\n< 354\n> \n> .\n< 250 2.0.0 OK\n> QUIT\n< 221\n", SPOOL_QUEUE_ONLY },
		{ "smtp_ratelimit_hosts = *\nsmtp_ratelimit_mail = 1,0.01s,2,1s\nsmtp_ratelimit_rcpt = 0,0.01s,1.5,1s\n",
		    BEGIN "> RSET\n< 250\n> MAIL FROM:<a@b.test>\n< 250\n> QUIT\n< 221\n", 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sb config = SB_INIT(10000);
		struct bench b;

		sb_addf(&config, OPEN "%s", cases[i].config);
		bench_open(&b, sb_cstr(&config));
		b.world.fsspace = fake_space;
		b.world.loadavg = fake_load;
		load_now = 4500;
		play(&b, cases[i].script);
		if ((b.flags & SPOOL_QUEUE_ONLY) != cases[i].flags)
			print_error("%s: flags %x\n", cases[i].config, b.flags);
		assert_int_equal(b.flags & SPOOL_QUEUE_ONLY, cases[i].flags);
		bench_close(&b);
		sb_free(&config);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits_of_the_machine),
		cmocka_unit_test(test_one_message),
		cmocka_unit_test(test_pipelined),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_too_many_errors),
		cmocka_unit_test(test_sync),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_bare),
		cmocka_unit_test(test_acl_replies),
		cmocka_unit_test(test_acl_data),
		cmocka_unit_test(test_vars),
		cmocka_unit_test(test_bdat_message),
		cmocka_unit_test(test_bdat_not_offered),
		cmocka_unit_test(test_submission),
		cmocka_unit_test(test_local), cmocka_unit_test(test_handed),
		cmocka_unit_test(test_loop_and_spool),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_etrn_vrfy),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_auth),
		cmocka_unit_test(test_large_headers),
		cmocka_unit_test(test_vrfy_in_transaction),
		cmocka_unit_test(test_nested_drop),
		cmocka_unit_test(test_refused_recipients),
		cmocka_unit_test(test_lmtp),
		cmocka_unit_test(test_ends),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
