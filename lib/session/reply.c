/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers of the session: one place that writes them. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/session_int.h"

static bool
plain_text(struct sv text)
{
	if (text.len == 0 || text.len > 400)
		return (false);
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.p[i] < ' ' || text.p[i] == 127)
			return (false);
	return (true);
}

void
session_rcpt_forget(struct session *s)
{
	free(s->rcpt_reply);
	s->rcpt_reply = NULL;
	s->rcpt_same = true;
}

/*
 * What is answered to refused recipients is told again at DATA, when it was the same for all: the last line of it, and of
 * mistakes of the client the code too, as Exim has it.
 */
static void
note_rcpt(struct session *s, unsigned code, const char *status, struct sv text)
{
	ptrdiff_t nl = sv_rchr(text, '\n');
	char buf[1024];

	if (code < 400) {
		s->rcpt_same = false;
		return;
	}
	if (code < 500)
		s->deferrals++;
	text = s->rcpt_text.p != NULL ? s->rcpt_text : sv_sub(text, (size_t)(nl + 1), text.len);
	if (s->in_mistake)
		(void)snprintf(buf, sizeof(buf), "%u " SV_FMT, code, SV_ARG(text));
	else
		(void)snprintf(buf, sizeof(buf), "%s%s" SV_FMT, status == NULL || s->own_status ? "" : status,
		    status == NULL || s->own_status ? "" : " ", SV_ARG(text));
	if (s->rcpt_reply == NULL)
		s->rcpt_reply = xstrdup(buf);
	else if (strcmp(s->rcpt_reply, buf) != 0)
		s->rcpt_same = false;
}

static void
send_reply(struct session *s, struct sv reply)
{
	if (s->debug != NULL)
		session_debug_reply(s, reply);
	for (size_t i = 0; i == 0 || i < s->answers; i++)
		(void)stream_write(s->io, reply);
}

void
session_reply(struct session *s, unsigned code, const char *status, struct sv text)
{
	struct sb out = SB_INIT(65536);
	char soft[SMTP_STATUS_MAX];

	s->replies++;
	if (s->sv->soft_bounce && code / 100 == 5) {
		code -= 100;
		if (status != NULL && status[0] == '5') {
			(void)snprintf(soft, sizeof(soft), "4%s", status + 1);
			status = soft;
		}
	}
	if ((s->conn->exim_style && !s->own_status) || code / 100 == 3)
		status = NULL;
	if (s->c.verb == SMTP_RCPT && code != 250)
		note_rcpt(s, code, status, text);
	if (plain_text(text)) {
		char buf[440] = { (char)('0' + code / 100), (char)('0' + code / 10 % 10), (char)('0' + code % 10), ' ' };
		size_t len = 4, n;

		if (status != NULL && status[0] != '\0') {
			n = strlen(status);
			memcpy(buf + len, status, n);
			len += n;
			buf[len++] = ' ';
		}
		memcpy(buf + len, text.p, text.len);
		len += text.len;
		buf[len++] = '\r';
		buf[len++] = '\n';
		send_reply(s, sv_from(buf, len));
		return;
	}
	smtp_reply_put(&out, code, status, text);
	send_reply(s, sb_sv(&out));
	sb_free(&out);
}

static void
replyv(struct session *s, unsigned code, const char *status, const char *fmt, va_list ap)
{
	char buf[2048];
	int n = vsnprintf(buf, sizeof(buf), fmt, ap);

	if (n < 0)
		n = 0;
	session_reply(s, code, status, sv_from(buf, (size_t)n < sizeof(buf) ? (size_t)n : sizeof(buf) - 1));
}

void
session_replyf(struct session *s, unsigned code, const char *status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	replyv(s, code, status, fmt, ap);
	va_end(ap);
}

static void
too_many_mistakes(struct session *s, unsigned code, const char *text)
{
	struct sb host = SB_INIT(2000), had = SB_INIT(2000);

	/* acl_smtp_notquit is not for these. */
	s->end = END_ERRORS;
	s->notquit_done = true;
	session_caller(s, &host);
	session_log_history(s, &had);
	session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, "SMTP call from %s dropped: too many syntax or protocol errors "
	    "(last command was \"" SV_FMT "\", %s)", sb_cstr(&host), SV_ARG(s->line), had.len > 0 ? sb_cstr(&had) : "NULL");
	sb_free(&host);
	sb_free(&had);
	if (s->conn->exim_style)
		session_replyf(s, code, NULL, "%s\nToo many syntax or protocol errors", text);
	else
		session_421(s, "4.7.0", END_ERRORS, "Too many syntax or protocol errors; closing connection");
}

void
session_log_mistake(struct session *s, bool syntax, const char *text)
{
	struct sb host = SB_INIT(2000);

	if (!session_logs(s, syntax ? EXIM_LOGSEL_smtp_syntax_error : EXIM_LOGSEL_smtp_protocol_error))
		return;
	session_log_host(s, &host);
	/* The argument stands in the line already. */
	if (s->c.arg.len > 0 && sv_starts(sv_cstr(text), arena_cstr(s->cmd, s->c.arg)) &&
	    strncmp(text + s->c.arg.len, ": ", 2) == 0)
		text += s->c.arg.len + 2;
	if (s->mistake_shown != NULL)
		text = s->mistake_shown;
	session_logf(s, SESSION_LOG_MAIN, "SMTP %s error in \"" SV_FMT "\" %s %s", syntax ? "syntax" : "protocol",
	    SV_ARG(s->line), sb_cstr(&host), text);
	sb_free(&host);
}

void
session_mistake(struct session *s, unsigned code, const char *status, const char *fmt, ...)
{
	bool syntax = code == 500 || code == 501 || code == 555;
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* MAIL without a sender, after FROM: too, is one of the protocol for Exim. */
	if (strcmp(text, "MAIL must have an address operand") == 0)
		syntax = false;
	if (s->mistake_shown == NULL || s->mistake_shown[0] != '\0')
		session_log_mistake(s, syntax, text);
	s->mistake_shown = NULL;
	if ((int64_t)++s->synprot > exim_main_int(s->conf, EXIM_MAIN_smtp_max_synprot_errors)) {
		too_many_mistakes(s, code, text);
		return;
	}
	s->in_mistake = true;
	session_reply(s, code, status, sv_cstr(text));
	s->in_mistake = false;
}

void
session_421(struct session *s, const char *status, enum session_end end, const char *fmt, ...)
{
	char buf[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	if (s->end == END_NONE)
		s->end = end;
	session_not_quit(s);
	if (s->farewell.p != NULL)
		session_reply(s, 421, status, s->farewell);
	else
		session_replyf(s, 421, status, SV_FMT " %s", SV_ARG(s->x.active_hostname), buf);
}
