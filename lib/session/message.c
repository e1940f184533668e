/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A message whose content is complete: limits, loops, ACLs, the spool, the answer.
 * Only a message that is durable is answered by 250.
 */
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include "fiber/fiber.h"
#include "mail/msgid.h"
#include "mail/received.h"
#include "session/cutthrough.h"
#include "session/session_int.h"

/* Refuse for a reason of our own: answered, and logged in the main and reject logs. */
static void
refuse(struct session *s, unsigned code, const char *status, const char *text, const char *why)
{
	struct sb line = SB_INIT(8192);

	session_log_host(s, &line);
	session_log_tls(s, &line);
	sb_addf(&line, " F=<" SV_FMT ">", SV_ARG(s->txn->msg.sender));
	session_log_auth(s, &line);
	sb_addf(&line, " %srejected after DATA: %s", code / 100 == 4 ? "temporarily " : "", why);
	session_log_reject(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, sb_cstr(&line));
	sb_free(&line);
	session_reply(s, code, status, sv_cstr(text));
}

/* What can be said without looking at the content. */
static bool
content_ok(struct session *s)
{
	struct txn *t = s->txn;

	if (t->content.too_big) {
		struct sb line = SB_INIT(4096);

		/* Line ends count as one byte. */
		sb_addf(&line, "rejected from <" SV_FMT "> ", SV_ARG(t->msg.sender));
		session_log_host(s, &line);
		sb_addf(&line, ": message too big: read=%llu max=%lld", (unsigned long long)(t->data.size - t->data.lines),
		    (long long)t->content.max);
		session_log_reject(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, sb_cstr(&line));
		sb_free(&line);
		session_reply(s, 552, "5.3.4", SV_LIT("Message size exceeds maximum permitted"));
		return (false);
	}
	if (t->fed && t->data.header_bare_lf > 0) {
		refuse(s, 552, "5.6.11", "Message header not CRLF terminated", "Non-CRLF-terminated header, under CHUNKING");
		return (false);
	}
	if (t->content.failed) {
		refuse(s, 452, "4.3.1", "no room for this message now, please try later", t->content.err->text);
		return (false);
	}
	/*
	 * RFC 5321 section 2.3.8.  Lines that end in LF alone are repaired, as careless programs send them; a dot between such
	 * ends and a lone CR are refused, since another server could take them for the end of the message.
	 */
	if (!s->sv->keep_bare && !s->conn->lf_lines && (t->data.fake_ends > 0 || t->data.bare_cr > 0)) {
		refuse(s, 550, "5.6.11", "this message has lines that end in a bare LF or CR and could be taken for its end; the "
		    "sending program must end every line with CR LF (RFC 5321 section 2.3.8)",
		    t->data.fake_ends > 0 ? "end of data forged by bare LF in message" : "bare CR in message");
		return (false);
	}
	return (true);
}

static void
header_too_long(struct session *s, const char *what, int64_t max)
{
	struct sb host = SB_INIT(2000);

	session_fullhost(s, &host);
	/* There is no message yet, as Exim sees it. */
	s->txn->id[0] = s->last_id[0] = '\0';
	session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT,
	    "%s received from %s (more than %lld characters): message abandoned", what, sb_cstr(&host), (long long)max);
	sb_free(&host);
}

/* A header that nobody needs would cost far more than its size to look at; and fields that we do not see we cannot keep. */
static bool
header_fits(struct session *s)
{
	const struct mail_headers *h = &s->txn->headers;
	int64_t max = exim_main_int(s->conf, EXIM_MAIN_header_maxsize), line = exim_main_int(s->conf, EXIM_MAIN_header_line_maxsize);

	for (size_t i = 0; i < h->n && line > 0; i++)
		if ((int64_t)h->v[i].length > line) {
			header_too_long(s, "overlong message header line", line);
			session_reply(s, 552, "5.3.4", SV_LIT("A message header line is too long"));
			return (false);
		}
	if (max > 0 && (int64_t)h->body_start > max) {
		header_too_long(s, "ridiculously long message header", max);
		session_reply(s, 552, "5.3.4", SV_LIT("Message header is ridiculously long"));
		return (false);
	}
	if (h->truncated) {
		refuse(s, 552, "5.3.4", "Message header has too many fields", "too many header fields");
		return (false);
	}
	return (true);
}

/* $message_linecount and $body_linecount: Exim counts no line of a body that ends in a bare LF, and an empty line that is missing. */
static void
count_lines(struct session *s, struct exim_message *m)
{
	const struct txn *t = s->txn;

	m->linecount = (int64_t)t->data.lines;
	m->body_linecount = (int64_t)(t->data.lines - t->header_lines);
	if (!s->conn->exim_style)
		return;
	if (!t->headers.empty_line && m->body.len > 0)
		m->linecount++;
	m->linecount -= (int64_t)t->data.body_bare_lf;
	m->body_linecount -= (int64_t)t->data.body_bare_lf;
}

/* Offset behind the header, and what ACLs and logs see of the message. */
static bool
index_message(struct session *s, struct sv *content)
{
	struct err err = ERR_INIT;
	struct txn *t = s->txn;
	struct exim_message *m = &t->msg;
	int64_t visible = exim_main_int(s->conf, EXIM_MAIN_message_body_visible);

	if (content_view(&t->content, content, &err) == -1) {
		refuse(s, 452, "4.3.1", "no room for this message now, please try later", err.text);
		return (false);
	}
	session_own_sender(s);
	session_rewrite_envelope(s);
	t->content.skip = session_from_lines(s, *content);
	*content = sv_sub(*content, t->content.skip, content->len);
	mail_headers_parse(&t->headers, t->arena, *content, MAIL_HEADERS_STOP);
	if (!header_fits(s))
		return (false);
	t->gone = arena_zalloc(t->arena, t->headers.n + 1);
	m->headers = &t->headers;
	m->headers_gone = t->gone;
	m->raw = sv_taint(*content);
	m->body = sv_sub(*content, t->headers.body_start, content->len);
	m->body_whole = true;
	m->body_size = (int64_t)m->body.len;
	/* A line end counts once there and has two bytes here. */
	if (visible > 0 && m->body.len > 2 * (size_t)visible) {
		m->body_end = sv_sub(m->body, m->body.len - 2 * (size_t)visible, m->body.len);
		m->body = sv_sub(m->body, 0, 2 * (size_t)visible);
		m->body_whole = false;
	}
	/* Lines of the header are those of its fields and the empty one. */
	t->header_lines = 0;
	for (const char *p = content->p, *end = p + t->headers.body_start; p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL;
	    p++)
		t->header_lines++;
	count_lines(s, m);
	m->body_zerocount = (int64_t)t->data.nuls;
	m->max_linelength = (int64_t)t->data.longest;
	/* Line ends are one byte. */
	m->size = (int64_t)content->len - (int64_t)t->data.lines;
	m->body_size -= (int64_t)(t->data.lines - t->header_lines);
	m->received_count = (int64_t)mail_received_count(&t->headers);
	m->received_time = (int64_t)time(NULL);
	if (t->rcpts.len == 1)
		m->received_for = t->rcpts.p[0].addr;
	s->env.message_loaded = true;
	return (true);
}

static bool
no_loop(struct session *s)
{
	if (s->txn->msg.received_count <= exim_main_int(s->conf, EXIM_MAIN_received_headers_max))
		return (true);
	refuse(s, 550, "5.4.6", "Too many \"Received\" headers - suspected mail loop",
	    "Too many \"Received\" headers");
	return (false);
}

/* ---- the spool ---- */

static unsigned
envelope_flags(struct session *s)
{
	const struct txn *t = s->txn;
	unsigned f = 0;

	if (t->body == SMTP_BODY_8BITMIME)
		f |= SPOOL_8BITMIME;
	if (t->body == SMTP_BODY_BINARYMIME)
		f |= SPOOL_BINARYMIME;
	if (t->smtputf8)
		f |= SPOOL_SMTPUTF8;
	if (t->fx.ctl[EXIM_CTL_SUBMISSION])
		f |= SPOOL_SUBMISSION;
	if (s->kind == SESSION_LOCAL)
		f |= SPOOL_LOCAL;
	if (t->fx.ctl[EXIM_CTL_FREEZE])
		f |= SPOOL_FREEZE;
	if (s->queue_only || session_queues_only(s) ||
	    ((t->fx.ctl[EXIM_CTL_QUEUE_ONLY] || t->fx.ctl[EXIM_CTL_QUEUE]) && !t->fx.queue_first_pass))
		f |= SPOOL_QUEUE_ONLY;
	if (t->fx.queue_first_pass)
		f |= SPOOL_FIRST_PASS;
	if (t->fx.ctl[EXIM_CTL_UTF8_DOWNCONVERT] && !sv_eqs(t->fx.ctl_arg[EXIM_CTL_UTF8_DOWNCONVERT], "0"))
		f |= sv_eqs(t->fx.ctl_arg[EXIM_CTL_UTF8_DOWNCONVERT], "-1") ? SPOOL_ASCII_MAYBE : SPOOL_ASCII;
	return (f);
}

static void
put_vars(struct session *s, struct spool_envelope *e)
{
	const struct { const struct exim_vars *v; char c; } sets[] = { { s->env.acl_c, 'c' }, { s->env.acl_m, 'm' } };
	VEC(struct spool_var) vars = VEC_INIT;

	for (size_t i = 0; i < 2; i++) {
		size_t pos = 0;
		struct sv name, value;

		while (exim_vars_next(sets[i].v, &pos, &name, &value) && vars.len < SPOOL_VARS_MAX) {
			struct spool_var v = { name, value };

			vec_push(&vars, v);
		}
	}
	if (vars.len > 0) {
		e->vars = arena_dup(s->txn->arena, vars.p, vars.len * sizeof(vars.p[0]));
		e->nvars = vars.len;
	}
	vec_free(&vars);
}

static void
fill_envelope(struct session *s, struct spool_envelope *e)
{
	struct txn *t = s->txn;
	const struct exim_session *x = &s->x;
	struct sv id = mail_msgid_first(mail_headers_get(&t->headers, "Message-ID"));

	spool_envelope_init(e);
	memcpy(e->id, t->id, SPOOL_ID_SIZE);
	e->flags = envelope_flags(s);
	e->sender = t->msg.sender;
	e->rcpts = t->rcpts.p;
	e->nrcpts = t->rcpts.len;
	e->ret = (enum spool_ret)t->ret;
	e->envid = t->envid;
	e->auth_id = x->authenticated_id;
	e->auth_sender = t->auth_sender;
	e->auth_name = x->auth_mechanism;
	e->helo = x->helo;
	e->host_name = x->host_name;
	e->host_addr = x->host_address;
	e->iface_addr = x->interface_address;
	e->host_port = (uint16_t)x->host_port;
	e->iface_port = (uint16_t)x->interface_port;
	e->protocol = t->msg.received_protocol;
	e->tls_cipher = x->tls_in.cipher;
	e->tls_sni = x->tls_in.sni;
	e->tls_ver = x->tls_in.ver;
	e->tls_peerdn = x->tls_in.peerdn;
	e->tls_bits = (uint16_t)x->tls_in.bits;
	e->tls_verified = x->tls_in.verified;
	e->spam_bar = s->st.spam_bar;
	e->spam_score = s->st.spam_score;
	e->spam_score_int = s->st.spam_score_int;
	e->longest_line = (uint32_t)t->msg.max_linelength;
	e->lines = (uint64_t)t->msg.linecount;
	e->uid = (uint32_t)t->msg.originator_uid;
	e->gid = (uint32_t)t->msg.originator_gid;
	e->ident = x->ident;
	if (id.len > 2)
		e->message_id = sv_sub(id, 1, id.len - 1);
	e->queue = t->fx.queue_name;
	e->subject = sv_sub(mail_headers_get(&t->headers, "Subject"), 0, 1024);
	e->body_lines = t->data.lines - t->header_lines;
	e->body_zeros = (uint64_t)t->msg.body_zerocount;
	e->received_count = (uint32_t)t->msg.received_count;
	put_vars(s, e);
}

/* "<= sender H=... P=... S=... id=..." */
static void
log_arrival(struct session *s, uint64_t size)
{
	struct txn *t = s->txn;
	struct sb line = SB_INIT(16384);
	struct sv id = mail_msgid_first(mail_headers_get(&t->headers, "Message-ID"));

	sb_adds(&line, t->fx.fake_code == 550 ? "(= " : "<= ");
	sb_add(&line, t->msg.sender.len > 0 ? t->msg.sender : SV_LIT("<>"));
	sb_addc(&line, ' ');
	if (session_logs(s, EXIM_LOGSEL_dnssec) && s->kind != SESSION_LOCAL && exim_host_secure(&s->env))
		sb_adds(&line, "DS ");
	session_log_host(s, &line);
	session_log_id(s, &line);
	sb_adds(&line, " P=");
	sb_add(&line, t->msg.received_protocol);
	session_log_tls(s, &line);
	session_log_auth(s, &line);
	if (session_logs(s, EXIM_LOGSEL_proxy) && s->x.proxy_local_address.len > 0)
		sb_addf(&line, " PRX=" SV_FMT, SV_ARG(s->x.proxy_local_address));
	if (session_logs(s, EXIM_LOGSEL_pipelining) && s->pipelining)
		sb_adds(&line, s->pipelined ? " L" : " L-");
	if (t->prdr_run)
		sb_adds(&line, " PRDR");
	if (t->fed)
		sb_adds(&line, " K");
	sb_addf(&line, " S=%llu", (unsigned long long)size);
	if (t->fx.queue_name.len > 0)
		sb_addf(&line, " Q=" SV_FMT, SV_ARG(t->fx.queue_name));
	if (session_logs(s, EXIM_LOGSEL_8bitmime))
		sb_addf(&line, " M8S=%d", t->body == SMTP_BODY_8BITMIME ? 8 : t->body == SMTP_BODY_7BIT ? 7 : 0);
	if (session_logs(s, EXIM_LOGSEL_receive_time))
		sb_addf(&line, " RT=%.3fs", (double)(fiber_now() - t->began) / 1000);
	if (session_logs(s, EXIM_LOGSEL_msg_id) && id.len > 2) {
		sb_adds(&line, " id=");
		sb_add(&line, sv_sub(id, 1, id.len - 1));
	}
	if (id.len == 0 && session_logs(s, EXIM_LOGSEL_msg_id) && session_logs(s, EXIM_LOGSEL_msg_id_created))
		for (size_t i = 0; i < t->fixes.len; i++)
			if (sv_starts(t->fixes.p[i].text, "Message-Id: <"))
				sb_addf(&line, " id*=" SV_FMT, SV_ARG(sv_sub(t->fixes.p[i].text, 13, t->fixes.p[i].text.len - 2)));
	if (session_logs(s, EXIM_LOGSEL_subject) && mail_headers_get(&t->headers, "Subject").p != NULL)
		sb_addf(&line, " T=\"" SV_FMT "\"", SV_ARG(mail_header_text(s->cmd, mail_headers_get(&t->headers, "Subject"))));
	if (session_logs(s, EXIM_LOGSEL_received_sender))
		sb_addf(&line, " from <" SV_FMT ">", SV_ARG(session_given_sender(s)));
	if (session_logs(s, EXIM_LOGSEL_received_recipients)) {
		sb_adds(&line, " for");
		for (size_t i = 0; i < t->rcpts.len; i++)
			sb_addf(&line, " " SV_FMT, SV_ARG(i < t->rcpts_given.len ? t->rcpts_given.p[i] : t->rcpts.p[i].addr));
	}
	session_log_line(s, SESSION_LOG_MAIN, &line);
	sb_free(&line);
}

/* Where the empty line behind no field at all begins. */
static size_t
empty_line_start(const struct mail_headers *h, struct sv content)
{
	size_t n = h->body_start;

	if (!h->empty_line)
		return (n);
	n--;
	return (n > 0 && content.p[n - 1] == '\r' ? n - 1 : n);
}

/* The pieces in their order: what stands above the fields, the fields, what stands below, the body. */
static int
submit(struct session *s, struct sv content, struct header_parts *h, uint64_t *size, struct err *err)
{
	struct txn *t = s->txn;
	struct spool_envelope e;
	struct spool_content c = { .fd = -1 };
	size_t start = t->headers.n > 0 ? t->headers.v[0].offset : 0;
	size_t end = t->headers.n > 0 ? t->headers.fields_end : start;
	size_t body = t->headers.empty_line ? end : t->headers.body_start;
	struct iovec iov[4];
	unsigned n = 0;

	if (t->headers.n == 0)
		start = end = body = empty_line_start(&t->headers, content);
	iov[n++] = (struct iovec){ h->top.p, h->top.len };
	iov[n++] = h->edited ? (struct iovec){ h->fields.p, h->fields.len } :
	    (struct iovec){ (void *)(uintptr_t)(content.p + start), end - start };
	iov[n++] = (struct iovec){ h->bottom.p, h->bottom.len };
	if (t->content.fd == -1) {
		iov[n++] = (struct iovec){ (void *)(uintptr_t)(content.p + body), content.len - body };
	} else {
		c.fd = t->content.fd;
		c.off = (int64_t)(t->content.skip + body);
		c.len = (int64_t)(content.len - body);
	}
	c.iov = iov;
	c.niov = n;
	fill_envelope(s, &e);
	for (unsigned i = 0; i < n; i++)
		e.size += iov[i].iov_len;
	e.header_size = h->top.len + iov[1].iov_len + h->bottom.len + (t->headers.body_start - body);
	e.size += (uint64_t)c.len;
	*size = e.size;
	if (t->waits)
		e.flags |= SPOOL_QUEUE_ONLY;
	if (t->taken_there || s->conn->host_checking || s->sv->ops->submit == NULL)
		return (0);
	return (s->sv->ops->submit(s->sv->ops->arg, &e, &c, err));
}

/* ---- the answer ---- */

static void
accepted(struct session *s, const char *prefix, struct sv text, unsigned code)
{
	struct txn *t = s->txn;

	t->taken = true;
	if (t->fx.fake_code != 0) {
		struct sv fake = t->fx.fake_msg;

		session_reply(s, (unsigned)t->fx.fake_code, t->fx.fake_code / 100 == 4 ? "4.7.1" : "5.7.1", fake.len > 0 ? fake :
		    SV_LIT("Your message has been rejected but is being kept for evaluation.\nIf it was a legitimate message, it "
		    "may still be delivered to the target recipient(s)."));
	} else if (text.len > 0)
		session_replyf(s, code, "2.0.0", "%s" SV_FMT, prefix, SV_ARG(text));
	else
		session_replyf(s, 250, "2.0.0", "%sOK id=%s", prefix, t->id);
	if (s->conn->host_checking && !t->prdr_run)
		(void)stream_write(s->io, SV_LIT("\r\n**** SMTP testing: that is not a real message id!\r\n\r\n"));
}

/* The ACLs' word that it waits. */
static void
log_put_off(struct session *s)
{
	const struct exim_acl_effects *fx = &s->txn->fx;

	if (fx->ctl[EXIM_CTL_FREEZE])
		session_logf(s, SESSION_LOG_MAIN, "frozen by ACL");
	if ((fx->ctl[EXIM_CTL_QUEUE_ONLY] || fx->ctl[EXIM_CTL_QUEUE]) && (!fx->queue_first_pass || s->kind == SESSION_LOCAL) &&
	    session_logs(s, EXIM_LOGSEL_delay_delivery))
		session_logf(s, SESSION_LOG_MAIN, "no immediate delivery: queued%s" SV_FMT " by ACL",
		    fx->queue_name.len > 0 ? " in " : "", SV_ARG(fx->queue_name));
	else if (s->txn->put_off != NULL && session_logs(s, EXIM_LOGSEL_delay_delivery))
		session_logf(s, SESSION_LOG_MAIN, "no immediate delivery: %s", s->txn->put_off);
}

static void
store(struct session *s, struct sv content, const char *prefix, struct sv text, unsigned code)
{
	struct err err = ERR_INIT;
	struct header_parts h;
	uint64_t size = 0;
	enum cut_end cut = CUT_NONE;
	int rc = session_headers(s, &h, &err);

	/* Once the next host has it, nothing here may refuse it any more. */
	if (rc == 0)
		cut = session_cut_end(s);
	s->txn->taken_there = cut == CUT_TAKEN;
	s->txn->waits = cut == CUT_WAITS;
	if (cut == CUT_ANSWERED)
		;
	else if (rc == -1) {
		if (err.cls == ERR_PERM)
			refuse(s, 552, err.status, err.text, err.text);
		else
			refuse(s, 451, "4.3.5", "Temporary local problem - please try later", err.text);
	} else if (submit(s, content, &h, &size, &err) == -1) {
		if (err.cls == ERR_PERM)
			refuse(s, 554, err.status, err.text, err.text);
		else
			refuse(s, 452, "4.3.1", "no room for this message now, please try later", err.text);
	} else {
		log_arrival(s, size);
		if (s->txn->taken_there)
			session_logf(s, SESSION_LOG_MAIN, "Completed");
		log_put_off(s);
		accepted(s, prefix, text, code);
	}
	session_headers_free(&h);
}

/* Taken and thrown away, by the ACL that <by> names. */
static void
blackhole(struct session *s, const char *by, const char *prefix, struct sv text, unsigned code)
{
	struct txn *t = s->txn;
	struct sb line = SB_INIT(8192);

	log_arrival(s, t->data.size);
	sb_addf(&line, "=> blackhole (%s ACL discarded recipients)", by);
	if (strcmp(by, "DATA") == 0 && t->discard_why.len > 0)
		sb_addf(&line, ": " SV_FMT, SV_ARG(t->discard_why));
	session_log_line(s, SESSION_LOG_MAIN, &line);
	sb_free(&line);
	session_logf(s, SESSION_LOG_MAIN, "Completed");
	accepted(s, prefix, text, code);
	t->id[0] = s->last_id[0] = '\0';
}

static enum acl_answer
not_smtp(struct session *s, struct sv content)
{
	enum acl_answer a = ACL_GO;

	a = session_acl_mime(s, EXIM_WHERE_NOTSMTP_MIME, content);
	if (a == ACL_GO && session_acl_set(s, EXIM_WHERE_NOTSMTP))
		a = session_acl(s, EXIM_WHERE_NOTSMTP, SV_NULL, NULL, NULL);
	return (a);
}

static void
judge(struct session *s, const char *prefix)
{
	struct txn *t = s->txn;
	struct err err = ERR_INIT;
	enum acl_answer a;
	unsigned code = 250;
	struct sv content, text = SV_NULL;

	if (!content_ok(s) || !index_message(s, &content) || !no_loop(s))
		return;
	if (t->discard || t->rcpts.len == 0) {
		blackhole(s, t->discard ? "MAIL" : "RCPT", prefix, text, code);
		return;
	}
	if (session_received(s, &err) == -1) {
		refuse(s, 451, "4.3.5", "Temporary local problem - please try later", err.text);
		return;
	}
	t->msg.received_count++;
	t->msg.received_for = SV_NULL;
	/* For its effects alone. */
	if (session_acl_set(s, EXIM_WHERE_NOTSMTP_START))
		(void)session_acl(s, EXIM_WHERE_NOTSMTP_START, SV_NULL, NULL, NULL);
	session_fixups(s);
	a = session_acl_dkim(s);
	if (a == ACL_GO)
		a = session_acl_mime(s, EXIM_WHERE_MIME, content);
	if (a == ACL_GO)
		a = session_prdr(s, &text);
	if (a == ACL_GO) {
		struct sv said = SV_NULL;

		a = session_acl(s, EXIM_WHERE_DATA, SV_NULL, &said, &code);
		if (!t->prdr_run)
			text = said;
	}
	if (a == ACL_GO)
		a = not_smtp(s, content);
	if (a == ACL_DISCARD)
		blackhole(s, "DATA", prefix, text, code);
	else if (a == ACL_GO)
		store(s, content, prefix, text, code / 100 == 2 ? code : 250);
}

/* RFC 2033 section 4.2: by LMTP each accepted recipient gets an answer, whatever it is. */
void
session_message(struct session *s, const char *prefix)
{
	s->answers = s->kind == SESSION_LMTP ? s->txn->rcpts.len : 0;
	judge(s, prefix);
	s->answers = 0;
	session_scan_forget(s);
	/* Exim goes on to log the id of a message that it took. */
	if (!s->txn->taken && s->end == END_NONE)
		s->last_id[0] = '\0';
	else if (s->txn->id[0] != '\0')
		memcpy(s->last_id, s->txn->id, sizeof(s->last_id));
}
