/* SPDX-License-Identifier: BSD-2-Clause */
/* MAIL (RFC 5321 section 4.1.1.2): begins a transaction. */
#include "io/stream.h"
#include "session/session_int.h"

/* A sender's local part keeps its quotes as they were sent: whoever compares it later sees the same as Exim. */
static struct sv
local_as_written(const struct session *s)
{
	struct sv v = sv_trim(s->c.path_text);
	ptrdiff_t at;

	if (v.len > 2 && v.p[0] == '<' && v.p[v.len - 1] == '>')
		v = sv_sub(v, 1, v.len - 1);
	at = sv_rchr(v, '@');
	if (at <= 0 || v.p[0] == '@' || sv_chr(v, '"') < 0 || sv_chr(v, '<') >= 0)
		return (s->c.path.local);
	return (sv_sub(v, 0, (size_t)at));
}

/* local@domain, qualified; rewritten by the configuration's rules.  False when answered. */
static bool
qualify_sender(struct session *s, struct txn *t)
{
	struct mail_address *p = &s->c.path;
	struct sb sb = SB_INIT(MAIL_ADDRESS_MAX + 16);
	struct sv out;

	if (p->local.len == 0 && p->domain.len == 0) {
		t->msg.sender = SV_LIT("");
		return (true);
	}
	if (p->domain.len == 0 && s->kind != SESSION_LOCAL && !session_client_in(s, EXIM_MAIN_sender_unqualified_hosts)) {
		struct sb host = SB_INIT(2000);

		session_log_host(s, &host);
		if (session_logs(s, EXIM_LOGSEL_smtp_syntax_error))
			session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, "unqualified sender rejected: <" SV_FMT "> %s",
			    SV_ARG(p->local), sb_cstr(&host));
		sb_free(&host);
		session_replyf(s, 501, "5.1.7", SV_FMT ": sender address must contain a domain", SV_ARG(s->c.path_text));
		return (false);
	}
	if (p->domain.len > 0 && p->domain.p[0] == '[' && !exim_main_bool(s->conf, EXIM_MAIN_allow_domain_literals)) {
		session_mistake(s, 501, "5.1.7", SV_FMT ": domain literals not allowed", SV_ARG(s->c.path_text));
		return (false);
	}
	sb_add(&sb, local_as_written(s));
	sb_addc(&sb, '@');
	sb_add(&sb, p->domain.len > 0 ? p->domain : s->conf->g.qualify_domain);
	out = arena_sv(t->arena, sv_taint(sb_sv(&sb)));
	sb_free(&sb);
	/* It is rewritten with the message; ACLs see what was sent until then. */
	t->msg.sender = out;
	return (true);
}

/* RFC 1870 section 6: what cannot be taken is said before it is sent. */
static bool
size_fits(struct session *s, struct txn *t)
{
	struct err err = ERR_INIT;
	struct sb host = SB_INIT(2000);

	if (s->size_limit > 0 && s->c.size > s->size_limit) {
		session_log_host(s, &host);
		/* The selector is about the main log; who keeps a log of refusals finds it there. */
		session_logf(s, (session_logs(s, EXIM_LOGSEL_size_reject) ? SESSION_LOG_MAIN : 0) | SESSION_LOG_REJECT,
		    "rejected MAIL FROM:" SV_FMT " %s: message too big: size%s%lld max=%lld", SV_ARG(s->c.path_text), sb_cstr(&host),
		    s->c.size >= INT32_MAX ? ">=" : "=", s->c.size >= INT32_MAX ? (long long)INT32_MAX : (long long)s->c.size,
		    (long long)s->size_limit);
		sb_free(&host);
		if (s->conn->exim_style)
			session_reply(s, 552, NULL, SV_LIT("Message size exceeds maximum permitted"));
		else
			session_replyf(s, 552, "5.3.4", "Message size exceeds maximum permitted (%lld bytes)",
			    (long long)s->size_limit);
		return (false);
	}
	if (!session_spool_room(s, s->c.size)) {
		session_reply(s, 452, "4.3.1", SV_LIT("space shortage, please try later"));
		return (false);
	}
	if (s->sv->ops->room != NULL && s->sv->ops->room(s->sv->ops->arg, s->c.size > 0 ? s->c.size : 0, &err) == -1) {
		session_logf(s, SESSION_LOG_MAIN, "MAIL deferred: %s", err.text);
		session_reply(s, 452, "4.3.1", SV_LIT("space shortage, please try later"));
		return (false);
	}
	t->declared = s->c.size;
	t->msg.size = s->c.size;
	return (true);
}

/* The value of AUTH= before it was decoded. */
static struct sv
auth_as_sent(const struct session *s)
{
	struct sv rest = s->c.arg, word;

	while (sv_word(&rest, &word))
		if (sv_casestarts(word, "AUTH="))
			return (sv_sub(word, strlen("AUTH="), word.len));
	return (s->c.auth);
}

/*
 * AUTH= of MAIL (RFC 4954 section 5): believed only where acl_smtp_mailauth and the authenticator say so, else as if it were
 * not there.  False when it was answered: the ACL cannot tell now.
 */
static bool
mail_auth(struct session *s, struct txn *t, struct sv *text)
{
	enum exim_acl_where where = EXIM_WHERE_MAILAUTH;
	struct sb host = SB_INIT(2000), shown = SB_INIT(4 * MAIL_ADDRESS_MAX);
	const char *why = "client not authenticated";
	enum acl_answer a;
	ptrdiff_t colon;

	/* "<>": nobody. */
	if (!s->c.has_auth || s->c.auth.len == 0) {
		if (s->kind != SESSION_LOCAL && s->authenticated)
			s->x.authenticated_sender = SV_NULL;
		return (true);
	}
	s->x.authenticated_sender = arena_sv(t->arena, s->c.auth);
	/* Without an ACL whoever has proved himself is believed. */
	if (session_acl_set(s, where)) {
		uint64_t replies = s->replies;

		colon = sv_chr(s->c.arg, ':');
		a = session_acl(s, where, sv_trim(sv_sub(s->c.arg, (size_t)(colon + 1), s->c.arg.len)), text, NULL);
		if (s->replies != replies)
			return (false);
		why = "rejected by ACL";
	} else {
		a = s->authenticated ? ACL_GO : ACL_NO;
	}
	if (a == ACL_GO && (!s->authenticated || session_mail_auth(s))) {
		t->auth_sender = s->x.authenticated_sender;
		return (true);
	}
	if (a == ACL_GO)
		why = arena_fmt(s->cmd, "server_mail_auth_condition failed: authenticated ID=\"" SV_FMT "\"",
		    SV_ARG(s->x.authenticated_id));
	s->x.authenticated_sender = SV_NULL;
	session_log_host(s, &host);
	sb_add(&shown, auth_as_sent(s));
	session_logf(s, SESSION_LOG_MAIN, "ignoring AUTH=%s from %s (%s)", sb_cstr(&shown), sb_cstr(&host), why);
	sb_free(&host);
	sb_free(&shown);
	return (true);
}

static bool
may_begin(struct session *s)
{
	int64_t max;

	if ((s->kind == SESSION_SUBMISSION || s->kind == SESSION_SMTPS) && !s->authenticated) {
		session_reply(s, 530, "5.7.0", stream_is_tls(s->io) || s->sv->tls == NULL || s->auth_offered ?
		    SV_LIT("Authentication required: turn on SMTP authentication in your mail program") :
		    SV_LIT("Authentication required: turn on STARTTLS and SMTP authentication in your mail program"));
		return (false);
	}
	max = session_int(s, EXIM_MAIN_smtp_accept_max_per_connection, 0);
	if (max > 0 && s->mails >= max) {
		struct sb host = SB_INIT(2000);

		session_log_host(s, &host);
		session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, "rejected MAIL command %s: too many messages in one connection",
		    sb_cstr(&host));
		sb_free(&host);
		if (s->conn->exim_style) {
			session_reply(s, 421, NULL, SV_LIT("too many messages in this connection"));
			return (false);
		}
		session_421(s, "4.7.0", END_ERRORS, "too many messages in this connection");
		return (false);
	}
	return (true);
}

static void
take_parameters(struct session *s, struct txn *t)
{
	t->body = s->c.body;
	t->ret = s->c.ret;
	t->smtputf8 = s->c.smtputf8;
	t->msg.smtputf8 = s->c.smtputf8;
	t->prdr = s->x.prdr_requested = s->c.prdr;
	t->msg.dsn_ret_set = s->c.ret != SMTP_RET_NONE;
	if (s->c.envid.p != NULL)
		t->envid = arena_sv(t->arena, s->c.envid);
	/* RFC 6409: what comes in by a submission port is a submission without an ACL saying so. */
	if (s->kind == SESSION_SUBMISSION || s->kind == SESSION_SMTPS)
		t->fx.ctl[EXIM_CTL_SUBMISSION] = t->fx.sender_retain = true;
	t->msg.originator_uid = t->msg.caller_uid = s->conn->uid;
	session_protocol(s);
}

void
session_mail(struct session *s)
{
	enum acl_answer a;
	unsigned code = 250;
	struct sv text, said = SV_NULL;
	struct txn *t;

	if (!may_begin(s))
		return;
	/* What is logged from here on is of another message. */
	if (!s->conn->host_checking)
		s->last_id[0] = '\0';
	session_pace_mail(s);
	t = session_txn_new(s);
	if (!qualify_sender(s, t) || !size_fits(s, t)) {
		session_txn_end(s);
		return;
	}
	take_parameters(s, t);
	/* $sender_address is known to the ACL, the transaction is not open yet. */
	t->msg.has_sender = true;
	if (!mail_auth(s, t, &said)) {
		session_txn_end(s);
		return;
	}
	a = session_acl(s, EXIM_WHERE_MAIL, s->c.path_text, &text, &code);
	if (s->conn->exim_style && !session_acl_set(s, EXIM_WHERE_MAIL))
		text = said;
	if (a != ACL_GO && a != ACL_DISCARD) {
		session_txn_end(s);
		return;
	}
	s->mails++;
	s->free_rset = s->free_helo = true;
	t->mail_given = true;
	t->discard = a == ACL_DISCARD;
	if (text.len > 0)
		session_reply(s, code, "2.1.0", text);
	else if (t->prdr)
		session_reply(s, 250, "2.1.0", SV_LIT("OK, PRDR Requested"));
	else
		session_reply(s, 250, "2.1.0", SV_LIT("OK"));
}

void
session_rset(struct session *s)
{
	session_log_incomplete(s, "RSET");
	session_txn_end(s);
	session_rcpt_forget(s);
	session_reply(s, 250, "2.0.0", SV_LIT("Reset OK"));
}
