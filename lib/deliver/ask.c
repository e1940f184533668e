/* SPDX-License-Identifier: BSD-2-Clause */
/* Single commands for callouts, and a content piece by piece. */
#include "deliver/ask.h"
#include "deliver/client_int.h"

#define PIECE	(16 * 1024)

static int
answer(struct deliver_conn *c, const char *what, int64_t ms, struct sb *text, struct deliver_error *e)
{
	struct sv rest, one;
	bool first = true;

	if (deliver_read_reply(c, ms, what, e) == -1)
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

int
deliver_ask(struct deliver_conn *c, const char *line, int64_t ms, struct sb *text, struct deliver_error *e)
{
	if (c->dead || deliver_command(c, line, e, "%s", line) == -1)
		return (0);
	return (answer(c, line, ms, text, e));
}

/* ---- content ---- */

static int
send_buffer(struct deliver_conn *c, int64_t ms, struct deliver_error *e)
{
	enum stream_result r;

	stream_set_timeout(c->s, ms, ms);
	r = stream_write(c->s, sb_sv(&c->buf));
	if (r == STREAM_OK)
		r = stream_flush(c->s);
	sb_clear(&c->buf);
	return (r == STREAM_OK ? 0 : deliver_lost(c, r, "sending data block", e));
}

int
deliver_data_put(struct deliver_conn *c, struct sv piece, enum smtp_data_state *st, int64_t ms, struct deliver_error *e)
{
	while (piece.len > 0) {
		struct sv some = sv_sub(piece, 0, piece.len < PIECE ? piece.len : PIECE);

		smtp_data_stuff(&c->buf, some, st);
		piece = sv_sub(piece, some.len, piece.len);
		if (c->buf.len >= PIECE && (c->dead || send_buffer(c, ms, e) == -1))
			return (-1);
	}
	return (c->dead ? -1 : 0);
}

int
deliver_data_end(struct deliver_conn *c, enum smtp_data_state *st, int64_t ms, struct sb *text, struct deliver_error *e)
{
	smtp_data_stuff_end(&c->buf, st);
	if (c->dead || send_buffer(c, ms, e) == -1)
		return (0);
	c->messages++;
	return (answer(c, "end of data", ms, text, e));
}

void
deliver_data_drop(struct deliver_conn *c)
{
	c->dead = true;
}
