/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * POP3: any bytes as lines of commands, then as a message that is stuffed, cut in pieces, and must come
 * out as it went in when the client takes the dots off.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/sb.h"
#include "pop3/body.h"
#include "pop3/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
commands(struct sv text)
{
	struct pop3_command c;
	const char *why;
	struct sv line;

	while (sv_next(&text, '\n', &line)) {
		why = NULL;
		if (!pop3_command_parse(line, &c, &why) && why == NULL)
			abort();
		if (c.arg.len > line.len || c.arg2.len > line.len)
			abort();
	}
}

static void
stuff(struct sb *out, struct sv text, size_t step, int64_t top)
{
	struct pop3_body b;

	if (top >= 0)
		pop3_body_init_top(&b, (uint32_t)top);
	else
		pop3_body_init(&b);
	for (size_t at = 0; at < text.len && !pop3_body_done(&b); at += step) {
		struct sv in = sv_sub(text, at, at + step), piece;

		while (pop3_body_next(&b, &in, &piece))
			sb_add(out, piece);
	}
	sb_add(out, pop3_body_end(&b));
}

/* What a client sees: lines up to the single dot, dots taken off; it must be the end of the answer. */
static void
check(struct sv answer, struct sv text)
{
	struct sv line, in;

	while (sv_next(&answer, '\n', &line)) {
		if (line.len == 0 || line.p[line.len - 1] != '\r')
			abort();
		line.len--;
		if (sv_eqs(line, ".")) {
			if (answer.len != 0)
				abort();
			return;
		}
		if (line.len > 0 && line.p[0] == '.')
			line = sv_sub(line, 1, line.len);
		if (!sv_next(&text, '\n', &in))
			abort();
		if (in.len > 0 && in.p[in.len - 1] == '\r')
			in.len--;
		if (!sv_eq(line, in))
			abort();
	}
	abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text = sv_from((const char *)data, size);
	struct sb one = SB_INIT(1 << 20), two = SB_INIT(1 << 20);

	if (size > 100000)
		return (0);
	commands(text);
	stuff(&one, text, size > 0 ? size : 1, -1);
	stuff(&two, text, size > 0 ? data[0] % 7 + 1 : 1, -1);
	if (!sv_eq(sb_sv(&one), sb_sv(&two)))
		abort();
	check(sb_sv(&one), text);
	sb_clear(&one);
	sb_clear(&two);
	stuff(&one, text, size > 0 ? size : 1, size % 5);
	stuff(&two, text, 3, size % 5);
	if (!sv_eq(sb_sv(&one), sb_sv(&two)))
		abort();
	check(sb_sv(&one), text);
	sb_free(&one);
	sb_free(&two);
	return (0);
}
