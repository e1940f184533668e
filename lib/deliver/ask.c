/* SPDX-License-Identifier: BSD-2-Clause */
/* Single commands for callouts. */
#include "deliver/ask.h"
#include "deliver/client_int.h"

int
deliver_ask(struct deliver_conn *c, const char *line, int64_t ms, struct sb *text, struct deliver_error *e)
{
	struct sv rest, one;
	bool first = true;

	if (c->dead || deliver_command(c, line, e, "%s", line) == -1 || deliver_read_reply(c, ms, line, e) == -1)
		return (0);
	rest = sb_sv(&c->reply.text);
	while (sv_next(&rest, '\n', &one)) {
		sb_addf(text, "%s%u%s" SV_FMT, first ? "" : "\n", c->reply.code, rest.len > 0 ? "-" : " ", SV_ARG(one));
		first = false;
	}
	if (first)
		sb_addf(text, "%u", c->reply.code);
	return ((int)c->reply.code);
}
