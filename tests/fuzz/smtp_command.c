/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any line is a command or a refusal with a text.  What was parsed, written out and
 * parsed again, is the same command.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/arena.h"
#include "smtp/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
again(struct arena *a, unsigned flags, const struct smtp_command *c)
{
	struct sb line = SB_INIT(65536), addr = SB_INIT(65536);
	struct err err = ERR_INIT;
	struct smtp_command d;
	unsigned code;

	mail_address_put(&addr, &c->path);
	sb_addf(&line, "%s %s:<%s>\r\n", smtp_verb_name(c->verb), c->verb == SMTP_MAIL ? "FROM" : "TO", sb_cstr(&addr));
	if (c->smtputf8) {
		sb_cut(&line, line.len - 2);
		sb_adds(&line, " SMTPUTF8\r\n");
	}
	code = smtp_command_parse(sb_sv(&line), flags, a, &d, &err);
	assert(code == 0 && d.verb == c->verb);
	assert(sv_eq(d.path.local_plain, c->path.local_plain) && sv_eq(d.path.domain, c->path.domain));
	sb_free(&line);
	sb_free(&addr);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct err err = ERR_INIT;
	struct smtp_command c;
	struct sb sb = SB_INIT(65536);
	unsigned flags, code;

	if (size < 1)
		goto out;
	flags = data[0] == '+' ? 0x7f : data[0] == '-' ? 0 : data[0] & 0x7f;
	code = smtp_command_parse(sv_from((const char *)data + 1, size - 1), flags, a, &c, &err);
	if (code != 0)
		assert(code >= 500 && code < 600 && err.status[0] == '5' && err.text[0] != '\0');
	else if (c.verb == SMTP_MAIL || c.verb == SMTP_RCPT)
		again(a, flags, &c);
	(void)smtp_helo_ok(c.arg, "_");
	if (smtp_xtext_decode(&sb, c.arg)) {
		struct sb back = SB_INIT(200000);

		smtp_xtext_encode(&back, sb_sv(&sb));
		sb_free(&back);
	}
	sb_free(&sb);
out:
	arena_free(&a);
	return (0);
}
