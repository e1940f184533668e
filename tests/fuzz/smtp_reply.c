/* SPDX-License-Identifier: BSD-2-Clause */
/* Any lines from a server end in a reply, a wish for more, or an error; what we write, we can read. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
written(struct sv text)
{
	struct sb out = SB_INIT(1 << 20);
	struct smtp_reply r;
	struct err err = ERR_INIT;
	struct sv rest, line;
	enum smtp_reply_state st = SMTP_REPLY_MORE;
	char status[SMTP_STATUS_MAX] = "5.7.1";
	unsigned code = 550;

	if (text.len > 20000)
		return;
	smtp_reply_override(&text, &code, status);
	assert(code / 100 == 5);
	smtp_reply_put(&out, code, status, text);
	assert(!out.overflow && sv_ends(sb_sv(&out), "\r\n"));
	smtp_reply_init(&r);
	rest = sb_sv(&out);
	while (st == SMTP_REPLY_MORE && sv_next(&rest, '\n', &line)) {
		assert(line.len <= 511);
		st = smtp_reply_line(&r, line, &err);
	}
	/* More lines than we would read ourselves are possible. */
	assert((st == SMTP_REPLY_DONE && rest.len == 0 && r.code == code) || r.lines == SMTP_REPLY_LINES_MAX);
	smtp_reply_free(&r);
	sb_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv in = sv_from((const char *)data, size), line;
	enum smtp_reply_state st = SMTP_REPLY_MORE;
	struct err err = ERR_INIT;
	struct smtp_reply r;
	struct smtp_ehlo e;

	smtp_reply_init(&r);
	while (st == SMTP_REPLY_MORE && sv_next(&in, '\n', &line))
		st = smtp_reply_line(&r, line, &err);
	if (st == SMTP_REPLY_DONE) {
		assert(r.code >= 200 && r.code < 600 && r.lines > 0);
		assert(smtp_reply_err(&r, &err) == -1 && err.text[0] != '\0');
		smtp_ehlo_parse(&e, &r);
		assert(memchr(e.auth, '\0', sizeof(e.auth)) != NULL);
	} else if (st == SMTP_REPLY_BAD) {
		assert(err.cls == ERR_TEMP && strchr(err.text, '\n') == NULL);
	}
	smtp_reply_free(&r);
	written(sv_from((const char *)data, size));
	return (0);
}
