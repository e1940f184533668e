/* SPDX-License-Identifier: BSD-2-Clause */
/* DATA (RFC 5321 section 4.1.1.4) and BDAT (RFC 3030): the content comes in. */
#include <stdio.h>
#include <string.h>

#include "session/cutthrough.h"
#include "session/session_int.h"

static unsigned
data_flags(const struct session *s)
{
	if (s->conn->lf_lines)
		return (SMTP_DATA_LF_LINES);
	if (s->sv->keep_bare && s->conn->exim_style)
		return (SMTP_DATA_AS_EXIM);
	return (s->sv->keep_bare ? SMTP_DATA_FIX_LF | SMTP_DATA_FIX_CR : SMTP_DATA_FIX_LF);
}

/* Behind PIPELINING it is no mistake to send DATA after refusals: the client could not know. */
static void
no_recipient(struct session *s, const char *verb)
{
	bool same = s->rcpt_reply != NULL && s->rcpt_same;
	const char *told = !same ? "" : s->rcpt_reply, *head = !same ? "" : "All RCPT commands were rejected with this error:\n";

	if (s->rcpt_reply != NULL && s->pipelining)
		session_replyf(s, 503, "5.5.1", "%s%s%s%salid RCPT command must precede %s", head, told, same ? "\n" : "",
		    s->conn->exim_style ? "V" : "v", verb);
	else {
		s->mistake_shown = same ? arena_fmt(s->cmd, "valid RCPT command must precede %s", verb) : NULL;
		session_mistake(s, 503, "5.5.1", "%s%s%svalid RCPT command must precede %s", head, told, same ? "\n" : "", verb);
	}
}

/* A transaction with a recipient, and the ACL before the content. False when answered. */
static bool
ready(struct session *s, const char *verb, struct sv *text, unsigned *code)
{
	struct txn *t = s->txn;
	enum acl_answer a;

	if (t == NULL || (t->rcpts.len == 0 && !t->discard && !t->discarded_some)) {
		no_recipient(s, verb);
		return (false);
	}
	if (t->too_many && exim_main_bool(s->conf, EXIM_MAIN_recipients_max_reject)) {
		session_reply(s, 554, "5.5.3", SV_LIT("Too many recipients"));
		return (false);
	}
	*text = SV_NULL;
	if (t->discard || t->rcpts.len == 0)
		return (true);
	t->msg.recipients_shown = true;
	a = session_acl(s, EXIM_WHERE_PREDATA, SV_NULL, text, code);
	if (a == ACL_DISCARD)
		t->discard = true;
	return (a == ACL_GO || a == ACL_DISCARD);
}

static void
begin(struct session *s)
{
	struct txn *t = s->txn;

	t->content.max = s->size_limit;
	spool_id_new(t->id);
	t->msg.id = sv_cstr(t->id);
	session_protocol(s);
	/* As in Exim, where it is offered until the first message comes. */
	s->early_pipe = false;
}

/* The connection broke within the content: nothing of it is kept. */
static void
data_lost(struct session *s, enum stream_result r)
{
	struct sb host = SB_INIT(2000);

	session_fullhost(s, &host);
	s->txn->id[0] = '\0';
	if (r == STREAM_TIMEOUT) {
		session_logf(s, SESSION_LOG_MAIN, "SMTP data timeout (message abandoned) on connection from %s F=<" SV_FMT ">",
		    sb_cstr(&host), SV_ARG(s->txn->msg.sender));
		session_421(s, "4.4.2", END_TIMEOUT, "SMTP incoming data timeout - closing connection.");
	} else if (r == STREAM_CANCELLED) {
		session_421(s, "4.3.2", END_SHUTDOWN, "is restarting; send this message again");
	} else {
		sb_clear(&host);
		session_caller(s, &host);
		if (session_logs(s, EXIM_LOGSEL_lost_incoming_connection) || session_logs(s, EXIM_LOGSEL_smtp_connection))
			session_logf(s, SESSION_LOG_MAIN, "SMTP connection from %s lost while reading message data%s", sb_cstr(&host),
			    s->txn->data.in_header && r == STREAM_EOF ? s->txn->fed ? " (header)" : " (after header)" : "");
		s->end = END_LOST;
		if (r == STREAM_EOF)
			session_reply(s, 421, "4.4.2", SV_LIT("Lost incoming connection"));
	}
	sb_free(&host);
}

static bool
read_content(struct session *s)
{
	struct txn *t = s->txn;
	enum stream_result r;
	struct sv piece;

	while (!smtp_data_done(&t->data)) {
		if ((r = stream_peek(s->io, &piece)) != STREAM_OK) {
			data_lost(s, r);
			return (false);
		}
		stream_skip(s->io, smtp_data_feed(&t->data, piece, content_sink, s));
		if (t->cut != NULL)
			session_cut_header(s);
	}
	return (true);
}

void
session_data(struct session *s)
{
	unsigned code = 354;
	struct sv text;

	if (s->txn != NULL && s->txn->fed) {
		session_mistake(s, 503, "5.5.1", "DATA cannot follow BDAT in one message");
		return;
	}
	if (!ready(s, "DATA", &text, &code))
		return;
	begin(s);
	smtp_data_init(&s->txn->data, data_flags(s));
	session_cut_data(s);
	session_reply(s, 354, NULL, text.len > 0 ? text : SV_LIT("Enter message, ending with \".\" on a line by itself"));
	if (read_content(s))
		session_message(s, "");
	session_txn_end(s);
}

/* ---- BDAT ---- */

/* Take <n> bytes, into the message or away. */
static bool
read_chunk(struct session *s, uint64_t n, bool keep)
{
	enum stream_result r;
	struct sv piece;

	while (n > 0) {
		if ((r = stream_read(s->io, n > INT32_MAX ? INT32_MAX : (size_t)n, &piece)) != STREAM_OK) {
			if (s->txn != NULL)
				data_lost(s, r);
			else
				s->end = r == STREAM_TIMEOUT ? END_TIMEOUT : END_LOST;
			return (false);
		}
		if (keep)
			(void)smtp_data_feed(&s->txn->data, piece, content_sink, s);
		n -= piece.len;
	}
	return (true);
}

/* The first chunk of a message: recipients and predata ACL.  A refusal holds for the chunks behind it (RFC 3030 2). */
static bool
first_chunk(struct session *s)
{
	unsigned code = 250;
	struct sv text;

	if (!ready(s, "BDAT", &text, &code))
		return (false);
	begin(s);
	session_cut_cancel(s);
	s->txn->fed = true;
	smtp_data_init(&s->txn->data, data_flags(s) | SMTP_DATA_NO_DOTS);
	return (true);
}

void
session_bdat(struct session *s)
{
	uint64_t n = s->c.chunk;
	bool last = s->c.last;
	struct txn *t = s->txn;
	char prefix[100];

	/* The chunk that was not asked for is not read as commands. */
	if (!s->chunking) {
		session_mistake(s, 503, "5.5.1", "BDAT command used when CHUNKING not advertised");
		if (s->end == END_NONE)
			(void)read_chunk(s, n, false);
		return;
	}
	if (t != NULL && t->bdat_failed) {
		if (read_chunk(s, n, false))
			session_reply(s, 503, "5.5.1", SV_LIT("this message was refused at its first chunk; use RSET"));
		return;
	}
	if (t == NULL || !t->fed) {
		if (!first_chunk(s)) {
			/* The chunk follows whatever was answered. */
			if (s->end == END_NONE)
				(void)read_chunk(s, n, false);
			if (t != NULL && t->rcpts.len > 0)
				t->bdat_failed = true;
			return;
		}
		t = s->txn;
	}
	if (!read_chunk(s, n, true)) {
		session_txn_end(s);
		return;
	}
	if (!last) {
		session_replyf(s, 250, "2.0.0", "%llu byte chunk received", (unsigned long long)n);
		return;
	}
	smtp_data_finish(&t->data, content_sink, s);
	/* Exim counts the line end that the last line lacks. */
	(void)snprintf(prefix, sizeof(prefix), "%s%llu byte chunk, total %llu\n", s->conn->exim_style ? " " : "", (unsigned long long)n,
	    (unsigned long long)t->data.size + (s->conn->exim_style && t->data.line > 0 ? 2 : 0));
	session_message(s, prefix);
	session_txn_end(s);
}
