/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One message over an open connection: MAIL, RCPT, DATA or BDAT, the answers.
 *
 * With PIPELINING (RFC 2920) MAIL, all RCPT and DATA leave in one write, in groups of at
 * most 100 recipients so that neither side's buffers can fill up while both write.
 * A server that answered 354 although it took no recipient gets an empty message.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "deliver/client_int.h"
#include "os/file.h"
#include "smtp/command.h"
#include "smtp/data.h"

#define RCPT_GROUP	100
#define CHUNK		(64 * 1024)
#define LINE_MAX_OUT	(16 * 1024)
#define PIPED		"pipelined "	/* in front of a command, where it was */

static int
put(struct deliver_conn *c, const struct sb *line, const char *what, struct deliver_error *e)
{
	enum stream_result r = line->overflow ? STREAM_TOO_LONG : stream_write(c->s, sb_sv(line));

	return (r == STREAM_OK ? 0 : deliver_lost(c, r, what, e));
}

static int
flush(struct deliver_conn *c, const char *what, struct deliver_error *e)
{
	enum stream_result r = stream_flush(c->s);

	return (r == STREAM_OK ? 0 : deliver_lost(c, r, what, e));
}

/* ---- what can be refused before anything is sent ---- */

static void
refuse(struct deliver_rcpt *r, const char *status, const char *text)
{
	r->status = DELIVER_PERM;
	(void)err_set(&r->error.err, ERR_PERM, status, "%s", text);
}

/* RFC 6531 section 3.6 and RFC 1870 section 6.  True: nothing is left to send. */
static bool
check_extensions(struct deliver_conn *c, struct deliver_message *m)
{
	bool utf8 = (c->ehlo.ext & SMTP_EXT_SMTPUTF8) != 0, left = false;
	bool sender_ok = utf8 || m->downconvert != 0 || (sv_is_ascii(m->sender) && !(m->smtputf8 && m->header_8bit));

	for (size_t i = 0; i < m->nrcpts; i++) {
		struct deliver_rcpt *r = &m->rcpts[i];

		if (r->status != DELIVER_OPEN)
			continue;
		if (c->ehlo.size > 0 && m->size > (uint64_t)c->ehlo.size)
			refuse(r, "5.3.4", "message is too large for the remote host (its SIZE limit)");
		else if (!sender_ok || (!utf8 && m->downconvert == 0 && !sv_is_ascii(r->addr)))
			refuse(r, "5.6.7", "utf8 support required but not offered for forwarding");
		else
			left = true;
	}
	return (!left);
}

/* ---- MAIL and RCPT ---- */

void
deliver_address_sent(const struct deliver_conn *c, const struct deliver_message *m, struct sv addr, struct sb *out)
{
	bool needed = m->downconvert == 1 || (m->downconvert == -1 && (c->ehlo.ext & SMTP_EXT_SMTPUTF8) == 0);

	if (!needed || sv_is_ascii(addr) || !deliver_address_ascii(addr, out))
		sb_add(out, addr);
}

static void
build_mail(const struct deliver_conn *c, const struct deliver_message *m, struct sb *out)
{
	unsigned ext = c->ehlo.ext;
	bool tells = false;

	sb_adds(out, "MAIL FROM:<");
	deliver_address_sent(c, m, m->sender, out);
	sb_addc(out, '>');
	/* Exim 4.96 takes a negative addition as it is, though its manual says that there is no SIZE then. */
	if ((ext & SMTP_EXT_SIZE) != 0)
		sb_addf(out, " SIZE=%lld", (long long)m->size + (m->size > INT32_MAX ? 0 : (long long)c->o->size_addition));
	if (c->prdr)
		sb_adds(out, " PRDR");
	/* As Exim: 8-bit content goes as it is to hosts that do not know 8BITMIME; all take it. */
	if ((ext & SMTP_EXT_8BITMIME) != 0 && m->eightbit)
		sb_adds(out, " BODY=8BITMIME");
	if ((ext & SMTP_EXT_SMTPUTF8) != 0 && m->smtputf8 && m->downconvert != 1)
		sb_adds(out, " SMTPUTF8");
	for (size_t i = 0; i < m->nrcpts; i++)
		tells = tells || !m->rcpts[i].lasthop;
	if ((ext & SMTP_EXT_DSN) != 0 && tells) {
		if (m->ret_set)
			sb_adds(out, m->ret_hdrs ? " RET=HDRS" : " RET=FULL");
		if (m->envid.len > 0) {
			sb_adds(out, " ENVID=");
			smtp_xtext_encode(out, m->envid);
		}
	}
	if (((ext & SMTP_EXT_AUTH) != 0 || m->auth_force) && m->auth_sender.p != NULL) {
		sb_adds(out, " AUTH=");
		if (m->auth_sender.len == 0)
			sb_adds(out, "<>");
		else
			smtp_xtext_encode(out, m->auth_sender);
	}
	sb_adds(out, "\r\n");
}

static void
build_rcpt(const struct deliver_conn *c, const struct deliver_message *m, const struct deliver_rcpt *r, struct sb *out)
{
	static const char *const words[] = { "NEVER", "SUCCESS", "FAILURE", "DELAY" };
	const char *sep = " NOTIFY=";

	sb_adds(out, "RCPT TO:<");
	deliver_address_sent(c, m, r->addr, out);
	sb_addc(out, '>');
	if (c->o->ignore_quota && (c->ehlo.ext & SMTP_EXT_IGNOREQUOTA) != 0)
		sb_adds(out, " IGNOREQUOTA");
	if ((c->ehlo.ext & SMTP_EXT_DSN) != 0 && !r->lasthop) {
		for (unsigned i = 0; i < 4; i++)
			if ((r->notify & 1U << i) != 0) {
				sb_adds(out, sep);
				sb_adds(out, words[i]);
				sep = ",";
			}
		if (r->orcpt.len > 0) {
			struct sv type = r->orcpt, rest;
			ptrdiff_t semi = sv_chr(r->orcpt, ';');

			type = sv_sub(r->orcpt, 0, semi < 0 ? 0 : (size_t)semi + 1);
			rest = sv_sub(r->orcpt, type.len, r->orcpt.len);
			sb_adds(out, " ORCPT=");
			sb_add(out, type);
			smtp_xtext_encode(out, rest);
		}
	}
	sb_adds(out, "\r\n");
}

/* What is given to each recipient that nothing was decided about. */
static void
decide_rest(struct deliver_message *m, const struct deliver_error *e)
{
	for (size_t i = 0; i < m->nrcpts; i++) {
		struct deliver_rcpt *r = &m->rcpts[i];

		if (r->status != DELIVER_OPEN)
			continue;
		r->status = e->err.cls == ERR_TEMP ? DELIVER_TEMP : DELIVER_PERM;
		r->error = *e;
	}
}

static int
read_mail_reply(struct deliver_conn *c, struct deliver_message *m, bool pipe, bool *ok, struct deliver_error *e)
{
	struct deliver_error refused = DELIVER_ERROR_INIT;
	struct sb what = SB_INIT(SMTP_COMMAND_MAX);

	if (pipe)
		sb_adds(&what, PIPED);
	build_mail(c, m, &what);
	/* The command without its line end. */
	if (what.len > 2)
		what.p[what.len -= 2] = '\0';
	if (deliver_read_reply(c, c->o->command_ms, sb_cstr(&what), e) == -1) {
		sb_free(&what);
		return (-1);
	}
	*ok = c->reply.code / 100 == 2;
	if (!*ok) {
		deliver_reply_error(c, sb_cstr(&what), &refused);
		refused.what = EXIM_RE_MAIL_4XX;
		decide_rest(m, &refused);
	}
	sb_free(&what);
	return (0);
}

static int
read_rcpt_reply(struct deliver_conn *c, struct deliver_rcpt *r, bool pipe, struct deliver_error *e)
{
	struct sb what = SB_INIT(SMTP_COMMAND_MAX);
	int rc;

	sb_adds(&what, PIPED "RCPT TO:<");
	sb_add(&what, r->addr);
	sb_addc(&what, '>');
	rc = deliver_read_reply(c, c->o->command_ms, sb_cstr(&what) + (pipe ? 0 : strlen(PIPED)), e);
	/* A recipient is decided here only when it was refused (or MAIL was, before). */
	if (rc == 0 && c->reply.code / 100 != 2 && r->status == DELIVER_OPEN) {
		deliver_reply_error(c, sb_cstr(&what) + strlen(PIPED), &r->error);
		r->error.what = EXIM_RE_RCPT_4XX;
		/* RFC 5321 section 4.5.3.1.10: too many recipients is temporary, whatever class it was given. */
		if (c->reply.code == 552 && sv_starts(sb_sv(&c->reply.text), "5.5.3"))
			r->error.err.cls = ERR_TEMP;
		r->status = r->error.err.cls == ERR_TEMP ? DELIVER_TEMP : DELIVER_PERM;
	}
	sb_free(&what);
	return (rc);
}

struct progress {
	bool		 mail_ok;
	bool		 data_sent;	/* DATA left with the group */
};

static size_t
count_open(const struct deliver_message *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->nrcpts; i++)
		n += m->rcpts[i].status == DELIVER_OPEN;
	return (n);
}

/*
 * Send the recipients from <from> on, as many as one group holds, with MAIL in front of the first and DATA
 * behind the last; then read the answers.  *<next> is where the next group begins.
 */
static int
send_group(struct deliver_conn *c, struct deliver_message *m, size_t from, size_t *next, struct progress *p,
    struct deliver_error *e)
{
	struct sb line = SB_INIT(LINE_MAX_OUT);
	bool pipe = deliver_piped(c);
	bool chunk = deliver_chunked(c);
	size_t max = pipe ? RCPT_GROUP : from == 0 && !p->mail_ok ? 0 : 1, sent[RCPT_GROUP], n = 0, i;
	bool first = !p->mail_ok, rset = first && pipe && c->need_rset;
	int rc = 0;

	if (rset)
		sb_adds(&line, "RSET\r\n");
	if (first)
		build_mail(c, m, &line);
	rc = put(c, &line, "MAIL", e);
	for (i = from; rc == 0 && i < m->nrcpts && n < max; i++) {
		if (m->rcpts[i].status != DELIVER_OPEN)
			continue;
		sb_clear(&line);
		build_rcpt(c, m, &m->rcpts[i], &line);
		sent[n++] = i;
		rc = put(c, &line, "RCPT", e);
	}
	*next = i;
	if (rc == 0 && pipe && !chunk && i == m->nrcpts) {
		rc = stream_write(c->s, SV_LIT("DATA\r\n")) == STREAM_OK ? 0 : deliver_lost(c, STREAM_ERROR, "DATA", e);
		p->data_sent = true;
	}
	sb_free(&line);
	if (rc == -1 || flush(c, "MAIL", e) == -1)
		return (-1);
	if (rset && deliver_read_reply(c, c->o->command_ms, "RSET", e) == -1)
		return (-1);
	c->need_rset = true;
	if (first && read_mail_reply(c, m, pipe, &p->mail_ok, e) == -1)
		return (-1);
	for (size_t k = 0; k < n; k++)
		if (read_rcpt_reply(c, &m->rcpts[sent[k]], pipe, e) == -1)
			return (-1);
	return (0);
}

/* MAIL and RCPT for all.  0, or -1. */
static int
send_envelope(struct deliver_conn *c, struct deliver_message *m, struct progress *p, struct deliver_error *e)
{
	size_t next = 0;

	if (c->need_rset && !deliver_piped(c)) {
		if (deliver_command(c, "RSET", e, "RSET") == -1 ||
		    deliver_read_reply(c, c->o->command_ms, "RSET", e) == -1)
			return (-1);
		c->need_rset = false;
	}
	do {
		if (send_group(c, m, next, &next, p, e) == -1)
			return (-1);
	} while (p->mail_ok && next < m->nrcpts);
	return (0);
}

/* ---- content ---- */

static int
before_end(struct deliver_conn *c, struct deliver_message *m, struct deliver_error *e)
{
	if (m->intent == NULL || m->intent(m->arg, &e->err) == 0)
		return (0);
	/* Nothing that is not recorded may be sent: the connection ends in the middle of the message. */
	c->dead = true;
	e->host = true;
	return (-1);
}

static int
source_failed(struct deliver_conn *c, struct deliver_error *e)
{
	c->dead = true;
	e->host = false;
	return (err_sys(&e->err, "read the message from the spool"));
}

static int
send_stuffed(struct deliver_conn *c, struct deliver_message *m, struct deliver_error *e)
{
	enum smtp_data_state st = SMTP_DATA_LINE_START;
	char piece[CHUNK / 4];
	uint64_t at = 0;

	sb_clear(&c->buf);
	c->written = 0;
	smtp_data_stuff(&c->buf, m->header, &st);
	while (at < m->len) {
		size_t n = m->len - at < sizeof(piece) ? (size_t)(m->len - at) : sizeof(piece);
		ssize_t got = os_pread_full(m->fd, piece, n, (off_t)(m->off + at));

		if (got != (ssize_t)n) {
			if (got != -1)
				errno = EIO;
			return (source_failed(c, e));
		}
		smtp_data_stuff(&c->buf, sv_from(piece, n), &st);
		at += n;
		if (at < m->len && c->buf.len > CHUNK) {
			c->written += c->buf.len;
			if (put(c, &c->buf, "sending data block", e) == -1)
				return (-1);
			sb_clear(&c->buf);
		}
	}
	smtp_data_stuff_end(&c->buf, &st);
	c->written += c->buf.len;
	if (before_end(c, m, e) == -1 || put(c, &c->buf, "sending data block", e) == -1)
		return (-1);
	sb_clear(&c->buf);
	return (flush(c, "end of data", e));
}

/* RFC 3030: no stuffing, so the kernel can copy. */
static int
send_chunk(struct deliver_conn *c, struct deliver_message *m, struct deliver_error *e)
{
	enum stream_result r;

	if (before_end(c, m, e) == -1)
		return (-1);
	r = stream_printf(c->s, "BDAT %llu LAST\r\n", (unsigned long long)(m->header.len + m->len));
	if (r == STREAM_OK)
		r = stream_write(c->s, m->header);
	if (r == STREAM_OK)
		r = stream_send_file(c->s, m->fd, (int64_t)m->off, (int64_t)m->len);
	if (r == STREAM_OK)
		r = stream_flush(c->s);
	return (r == STREAM_OK ? 0 : deliver_lost(c, r, "sending a chunk", e));
}

/* The reply in one line, its lines between "\n" as Exim logs them. */
static void
keep_confirmation(struct deliver_conn *c, struct deliver_message *m)
{
	struct sv text = sb_sv(&c->reply.text), line;
	size_t max = sizeof(m->confirmation), n = 0;

	while (n < max - 1 && sv_next(&text, '\n', &line))
		n += (size_t)snprintf(m->confirmation + n, max - n, "%s%u%c" SV_FMT, n > 0 ? "\\n" : "", c->reply.code,
		    text.len > 0 ? '-' : ' ', SV_ARG(line));
	if (n == 0)
		(void)snprintf(m->confirmation, max, "%u", c->reply.code);
}

static void
set_final(struct deliver_conn *c, struct deliver_rcpt *r)
{
	if (c->reply.code / 100 == 2) {
		r->status = DELIVER_OK;
		r->dsn_passed = (c->ehlo.ext & SMTP_EXT_DSN) != 0 && !r->lasthop;
		return;
	}
	deliver_reply_error(c, "end of data", &r->error);
	r->error.what = EXIM_RE_DATA_4XX;
	r->status = r->error.err.cls == ERR_TEMP ? DELIVER_TEMP : DELIVER_PERM;
}

/* PRDR: an answer for each recipient that was taken, then one for all, which says little. */
static int
read_each(struct deliver_conn *c, struct deliver_message *m, struct deliver_error *e)
{
	if (deliver_read_reply(c, c->o->final_ms, "end of data", e) == -1)
		return (-1);
	/* The server had nothing to say of each. */
	if (c->reply.code != 353) {
		for (size_t i = 0; i < m->nrcpts; i++)
			if (m->rcpts[i].status == DELIVER_OPEN)
				set_final(c, &m->rcpts[i]);
		return (0);
	}
	for (size_t i = 0; i < m->nrcpts; i++) {
		if (m->rcpts[i].status != DELIVER_OPEN)
			continue;
		if (deliver_read_reply(c, c->o->final_ms, "end of data", e) == -1)
			return (-1);
		/* What it took is taken when the last answer says so. */
		if (c->reply.code / 100 != 2)
			set_final(c, &m->rcpts[i]);
	}
	if (deliver_read_reply(c, c->o->final_ms, "end of data", e) == -1)
		return (-1);
	for (size_t i = 0; i < m->nrcpts; i++)
		if (m->rcpts[i].status == DELIVER_OPEN)
			set_final(c, &m->rcpts[i]);
	return (0);
}

/* The answer to the content: one, or with LMTP one for each recipient that was taken (RFC 2033 section 4.2). */
static int
read_final(struct deliver_conn *c, struct deliver_message *m, struct deliver_error *e)
{
	if (c->prdr) {
		if (read_each(c, m, e) == -1)
			return (-1);
		keep_confirmation(c, m);
		return (0);
	}
	if (!c->o->lmtp && deliver_read_reply(c, c->o->final_ms, "end of data", e) == -1)
		return (-1);
	for (size_t i = 0; i < m->nrcpts; i++) {
		if (m->rcpts[i].status != DELIVER_OPEN)
			continue;
		if (c->o->lmtp && deliver_read_reply(c, c->o->final_ms, "end of data", e) == -1)
			return (-1);
		set_final(c, &m->rcpts[i]);
	}
	keep_confirmation(c, m);
	return (0);
}

/* DATA was pipelined although nobody is left to receive: end what the server may have begun. */
static int
abandon_data(struct deliver_conn *c, const struct progress *p, struct deliver_error *e)
{
	if (deliver_read_reply(c, c->o->command_ms, "DATA", e) == -1)
		return (-1);
	if (c->reply.code / 100 != 3)
		return (0);
	/* It refused the sender and wants the content all the same: it gets none, not even an empty one. */
	if (!p->mail_ok) {
		(void)deliver_command(c, "end of data", e, "QUIT");
		c->dead = true;
		return (0);
	}
	if (deliver_command(c, "end of data", e, ".") == -1)
		return (-1);
	return (deliver_read_reply(c, c->o->final_ms, "end of data", e));
}

static int
send_content(struct deliver_conn *c, struct deliver_message *m, const struct progress *p, struct deliver_error *e)
{
	struct deliver_error refused = DELIVER_ERROR_INIT;
	const char *what = p->data_sent ? PIPED "DATA" : "DATA";
	int rc;

	if (deliver_chunked(c)) {
		stream_set_timeout(c->s, c->o->data_ms, c->o->data_ms);
		rc = send_chunk(c, m, e);
		return (rc == -1 ? -1 : read_final(c, m, e));
	}
	if (!p->data_sent && deliver_command(c, "DATA", e, "DATA") == -1)
		return (-1);
	if (deliver_read_reply(c, c->o->command_ms, what, e) == -1)
		return (-1);
	/* Whatever it says with 3 is a wish for the content. */
	if (c->reply.code / 100 != 3) {
		deliver_reply_error(c, what, &refused);
		refused.what = EXIM_RE_DATA_4XX;
		if (c->reply.code / 100 == 2)
			refused.err.cls = ERR_TEMP;
		decide_rest(m, &refused);
		return (0);
	}
	stream_set_timeout(c->s, c->o->data_ms, c->o->data_ms);
	rc = send_stuffed(c, m, e);
	if (rc == 0)
		rc = read_final(c, m, e);
	return (rc);
}

int
deliver_send(struct deliver_conn *c, struct deliver_message *m, struct deliver_error *e)
{
	struct progress p = { .mail_ok = false };
	int rc;

	m->confirmation[0] = '\0';
	if (check_extensions(c, m))
		return (0);
	c->prdr = c->o->prdr && !c->o->lmtp && (c->ehlo.ext & SMTP_EXT_PRDR) != 0 && count_open(m) > 1;
	stream_set_timeout(c->s, c->o->command_ms, c->o->command_ms);
	if (send_envelope(c, m, &p, e) == -1)
		return (-1);
	if (count_open(m) == 0)
		return (p.data_sent ? abandon_data(c, &p, e) : 0);
	rc = send_content(c, m, &p, e);
	c->written = 0;
	if (rc == 0) {
		c->messages++;
		c->need_rset = c->reply.code / 100 != 2;
	}
	return (rc);
}
