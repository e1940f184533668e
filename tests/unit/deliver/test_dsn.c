/* SPDX-License-Identifier: BSD-2-Clause */
/* Reports: the fields of RFC 3464, and that nothing of a peer breaks a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "deliver/dsn.h"

static const char original[] = "Subject: hello\r\nMessage-ID: <m@x>\r\nReferences: <r@x>\r\n\r\nbody line\r\n";

static void
build(struct dsn *d, struct sb *out)
{
	FILE *f = tmpfile();
	struct err err = ERR_INIT;
	uint64_t hl = 0;

	assert_int_equal(fwrite(original, 1, sizeof(original) - 1, f), sizeof(original) - 1);
	(void)fflush(f);
	d->id = "1rAbCd-000123-Zz";
	d->hostname = SV_LIT("mail.example");
	d->domain = SV_LIT("example");
	d->to = SV_LIT("s@x.example");
	if (d->sender.p == NULL)
		d->sender = d->to;
	d->original_id = SV_LIT("1rAbCd-000122-Aa");
	d->delay = "24 hours";
	d->fd = fileno(f);
	d->len = sizeof(original) - 1;
	d->header_len = (uint64_t)(strstr(original, "\r\n\r\n") + 4 - original);
	d->now = 1700000000;
	assert_int_equal(dsn_build(out, d, &hl, &err), 0);
	assert_true(hl > 0 && hl < out->len && memcmp(out->p + hl - 4, "\r\n\r\n", 4) == 0);
	(void)fclose(f);
	for (size_t i = 0; i < out->len; i++)
		assert_true(out->p[i] != '\n' || (i > 0 && out->p[i - 1] == '\r'));
}

static void
failed(void **state)
{
	struct dsn_rcpt r[2] = {
		{ .action = DSN_FAILED, .addr = SV_LIT("list@y.example"), .final = SV_LIT("b@z.example"), .orcpt = SV_LIT("rfc822;L@y"),
		  .status = "5.1.1", .remote_mta = SV_LIT("mx.z.example"), .diagnostic = SV_LIT("550 5.1.1 no\r\nInjected: x"),
		  .text = SV_LIT("host said no\nand more") },
		{ .action = DSN_FAILED, .addr = SV_LIT("c@y.example") },
	};
	struct dsn d = { .rcpts = r, .nrcpts = 2, .full = true, .envid = SV_LIT("QQ1"), .arrival = 1699999999 };
	struct sb out = SB_INIT(1 << 20);

	(void)state;
	build(&d, &out);
	assert_non_null(strstr(out.p, "Content-Type: multipart/report; report-type=delivery-status;\r\n"));
	assert_non_null(strstr(out.p, "Original-Envelope-Id: QQ1\r\n"));
	assert_non_null(strstr(out.p, "\r\n\r\nOriginal-Recipient: rfc822;L@y\r\nFinal-Recipient: rfc822; b@z.example\r\n"
	    "Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.z.example\r\n"));
	assert_null(strstr(out.p, "\nInjected:"));
	assert_non_null(strstr(out.p, "Final-Recipient: rfc822; c@y.example\r\nAction: failed\r\nStatus: 5.0.0\r\n"));
	assert_non_null(strstr(out.p, "body line"));
	assert_non_null(strstr(out.p, "    host said no\r\n    and more\r\n"));
	assert_non_null(strstr(out.p, "\r\n--=_1rAbCd-000123-Zz--\r\n"));
	assert_non_null(strstr(out.p, "\r\nX-Failed-Recipients: b@z.example,\r\n  c@y.example\r\nReferences: <r@x> <m@x>\r\n"
	    "Subject: Mail delivery failed: returning message to sender\r\n"));
	assert_non_null(strstr(out.p, "\r\n  b@z.example\r\n    (generated from list@y.example)\r\n    host said no\r\n"));
	sb_free(&out);
	/* hide_child_in_errmsg, and a report to another than the sender. */
	r[0].hidden = true;
	d.sender = SV_LIT("o@x.example");
	d.full = false;
	build(&d, &out);
	assert_null(strstr(out.p, "b@z.example"));
	assert_null(strstr(out.p, "no Injected"));
	assert_null(strstr(out.p, "host said"));
	assert_non_null(strstr(out.p, "\r\n  an undisclosed address\r\n    (generated from list@y.example)\r\n"));
	assert_non_null(strstr(out.p, "\r\nX-Failed-Recipients: c@y.example\r\n"));
	assert_non_null(strstr(out.p, "\r\nSubject: Mail delivery failed\r\n"));
	assert_non_null(strstr(out.p, "A message sent by\r\n\r\n  <o@x.example>\r\n\r\ncould not be delivered"));
	sb_free(&out);
}

static void
headers_only(void **state)
{
	struct dsn_rcpt r = { .action = DSN_DELAYED, .addr = SV_LIT("b@z.example"), .text = SV_LIT("busy\nnow") };
	struct dsn d = { .rcpts = &r, .nrcpts = 1 };
	struct sb out = SB_INIT(1 << 20);

	(void)state;
	build(&d, &out);
	assert_non_null(strstr(out.p, "Subject: hello"));
	assert_null(strstr(out.p, "body line"));
	assert_non_null(strstr(out.p, "text/rfc822-headers"));
	assert_non_null(strstr(out.p, "Action: delayed\r\nStatus: 4.0.0\r\n"));
	assert_null(strstr(out.p, "X-Failed-Recipients"));
	assert_non_null(strstr(out.p, "\r\nSubject: Warning: message 1rAbCd-000122-Aa delayed 24 hours\r\n"));
	assert_non_null(strstr(out.p, "after more than 24 hours on the queue on mail.example.\r\n\r\n"
	    "The message identifier is:     1rAbCd-000122-Aa\r\nThe subject of the message is: hello\r\n\r\n"
	    "The address to which the message has not yet been delivered is:\r\n\r\n"
	    "  b@z.example\r\n    Delay reason: busy\r\n    now\r\n\r\nNo action is required"));
	sb_free(&out);
	/* bounce_return_message = false */
	d.bare = true;
	build(&d, &out);
	assert_null(strstr(out.p, "Subject: hello"));
	assert_null(strstr(out.p, "rfc822-headers"));
	assert_non_null(strstr(out.p, "Action: delayed"));
	sb_free(&out);
	d.bare = false;
	/* Too large to be returned whole: the header alone. */
	d.full = true;
	d.limit = 60;
	build(&d, &out);
	assert_null(strstr(out.p, "body line"));
	sb_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(failed), cmocka_unit_test(headers_only) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
