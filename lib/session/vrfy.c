/* SPDX-License-Identifier: BSD-2-Clause */
/* VRFY, EXPN (RFC 5321 section 4.1.1.6), NOOP, HELP, QUIT. */
#include <stdio.h>

#include "route/route.h"
#include "session/session_int.h"

/* The address of VRFY and EXPN, qualified.  False when answered. */
static bool
the_address(struct session *s, struct sv *out)
{
	struct mail_address m;
	struct err err = ERR_INIT;
	struct sv arg = s->c.arg;

	if (arg.len == 0 && s->conn->exim_style && s->c.verb == SMTP_EXPN) {
		*out = sv_cstr(arena_fmt(s->cmd, "@" SV_FMT, SV_ARG(s->conf->g.qualify_recipient)));
		if (s->txn == NULL)
			s->env.addr = arena_zalloc(s->cmd, sizeof(*s->env.addr));
		return (true);
	}
	if (arg.len == 0 && s->conn->exim_style) {
		session_reply(s, 501, NULL, SV_LIT("empty address"));
		return (false);
	}
	if (arg.len == 0) {
		session_mistake(s, 501, "5.5.4", "empty address");
		return (false);
	}
	if (mail_address_parse(arg, MAIL_ADDR_BARE | MAIL_ADDR_LITERAL, s->cmd, &m, &err) == -1) {
		session_mistake(s, 501, "5.1.3", "%s", err.text);
		return (false);
	}
	if (s->conn->exim_style && s->kind != SESSION_LOCAL && m.domain.len == 0 && s->c.verb == SMTP_VRFY &&
	    !sv_caseeqs(m.local, "postmaster") && !session_client_in(s, EXIM_MAIN_recipient_unqualified_hosts)) {
		struct sb host = SB_INIT(2000);

		session_log_host(s, &host);
		if (session_logs(s, EXIM_LOGSEL_smtp_syntax_error))
			session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, "unqualified verify rejected: <" SV_FMT "> %s",
			    SV_ARG(m.local), sb_cstr(&host));
		sb_free(&host);
		session_replyf(s, 501, NULL, SV_FMT ": recipient address must contain a domain", SV_ARG(arg));
		return (false);
	}
	*out = sv_taint(sv_cstr(arena_fmt(s->cmd, SV_FMT "@" SV_FMT, SV_ARG(m.local), SV_ARG(m.domain.len > 0 ? m.domain :
	    s->conf->g.qualify_recipient))));
	if (s->txn == NULL)
		s->env.addr = arena_zalloc(s->cmd, sizeof(*s->env.addr));
	/* Exim shows what was sent. */
	if (s->conn->exim_style && sv_chr(arg, '"') >= 0 && sv_chr(arg, '<') < 0 && m.domain.len > 0)
		*out = arena_sv(s->cmd, sv_taint(arg));
	s->env.addr->local_part = arena_sv(s->cmd, m.local);
	s->env.addr->domain = m.domain.len > 0 ? arena_sv(s->cmd, m.domain) : s->conf->g.qualify_recipient;
	return (true);
}

static void
route_it(struct session *s, struct sv address, enum route_mode mode, struct route_result *r)
{
	struct route_request rq = {
		.conf = s->conf, .env = &s->env, .arena = s->cmd, .ops = s->sv->route, .mode = mode, .address = address,
	};

	route_address(&rq, r);
}

static const char *
why(const struct route_result *r)
{
	if (r->nfailures == 0)
		return ("Unrouteable address");
	return (r->failure[0].user_msg.len > 0 ? r->failure[0].user_msg.p : r->failure[0].err.text);
}

void
session_vrfy(struct session *s)
{
	struct route_result r;
	struct sv address;

	if (!the_address(s, &address) || session_acl(s, EXIM_WHERE_VRFY, s->c.arg, NULL, NULL) != ACL_GO)
		return;
	/* RFC 5321 section 7.3: an answer that tells nothing, unless Exim's own is asked for. */
	if (!s->conn->exim_style) {
		session_replyf(s, 252, "2.5.2", "Cannot VRFY user, but will take a message for it and attempt delivery");
		return;
	}
	route_it(s, session_rewritten(s, address, false), ROUTE_VERIFY_RECIPIENT, &r);
	if (r.verdict == EXIM_OK) {
		session_replyf(s, 250, NULL, "<" SV_FMT "> is deliverable", SV_ARG(address));
	} else if (r.verdict == EXIM_DEFER) {
		/* What went wrong here is for the log. */
		if (r.nfailures > 0 && r.failure[0].user_msg.len > 0)
			session_replyf(s, 451, NULL, "<" SV_FMT "> %s", SV_ARG(address), why(&r));
		else
			session_replyf(s, 451, NULL, "Cannot resolve <" SV_FMT "> at this time", SV_ARG(address));
	} else {
		struct sb host = SB_INIT(2000);

		session_log_host(s, &host);
		session_logf(s, SESSION_LOG_MAIN, "VRFY failed for " SV_FMT " %s", SV_ARG(s->c.arg), sb_cstr(&host));
		sb_free(&host);
		session_replyf(s, 550, NULL, "<" SV_FMT "> %s", SV_ARG(address), why(&r));
	}
}

void
session_expn(struct session *s)
{
	struct sb out = SB_INIT(60000);
	struct exim_address *addr, none = { .local_part = SV_NULL };
	struct route_result r;
	struct sv address;
	enum acl_answer a;

	if (!the_address(s, &address))
		return;
	/* As with Exim, this ACL sees no address but $smtp_command_argument. */
	addr = s->env.addr;
	s->env.addr = &none;
	a = session_acl(s, EXIM_WHERE_EXPN, s->c.arg, NULL, NULL);
	s->env.addr = addr;
	if (a != ACL_GO)
		return;
	/* Exim takes the angle brackets for a part of the address, and then there is none. */
	if (s->conn->exim_style && s->c.arg.len > 0 && s->c.arg.p[0] == '<') {
		session_replyf(s, 553, NULL, SV_FMT " is undeliverable", SV_ARG(s->c.arg));
		return;
	}
	address = session_rewritten(s, address, false);
	route_it(s, address, ROUTE_EXPN, &r);
	for (size_t i = 0; i < r.ngenerated && r.verdict == EXIM_OK; i++) {
		const struct route_addr *g = &r.generated[i];

		/* One step: what the address stands for, not what that stands for in turn. */
		if (g->parent != NULL && g->parent->parent == NULL)
			sb_addf(&out, "%s<" SV_FMT ">", out.len > 0 ? "\n" : "", SV_ARG(g->address));
	}
	if (out.len == 0 && r.verdict == EXIM_OK)
		sb_addf(&out, "<" SV_FMT ">", SV_ARG(address));
	if (out.len > 0)
		session_reply(s, 250, "2.1.5", sb_sv(&out));
	else if (s->conn->exim_style)
		session_replyf(s, 553, NULL, SV_FMT " %s", SV_ARG(address), r.verdict == EXIM_DEFER ?
		    "cannot be resolved at this time" : "is undeliverable");
	else
		session_replyf(s, 553, "5.1.1", "<" SV_FMT "> is undeliverable", SV_ARG(address));
	sb_free(&out);
}

void
session_noop(struct session *s)
{
	session_reply(s, 250, "2.0.0", SV_LIT("OK"));
}

void
session_help(struct session *s)
{
	struct sb out = SB_INIT(1000);

	sb_adds(&out, "Commands supported:\n");
	sb_adds(&out, "AUTH ");
	if (!stream_is_tls(s->io) && session_tls_available(s))
		sb_adds(&out, "STARTTLS ");
	sb_adds(&out, "HELO EHLO MAIL RCPT DATA BDAT NOOP QUIT RSET HELP");
	if (session_acl_set(s, EXIM_WHERE_ETRN))
		sb_adds(&out, " ETRN");
	if (session_acl_set(s, EXIM_WHERE_EXPN))
		sb_adds(&out, " EXPN");
	if (session_acl_set(s, EXIM_WHERE_VRFY))
		sb_adds(&out, " VRFY");
	session_reply(s, 214, "2.0.0", sb_sv(&out));
	sb_free(&out);
}

void
session_quit(struct session *s)
{
	unsigned code = 221;
	struct sv text = SV_NULL;

	if (session_acl_set(s, EXIM_WHERE_QUIT))
		(void)session_acl(s, EXIM_WHERE_QUIT, SV_NULL, &text, &code);
	session_log_incomplete(s, "QUIT");
	if (text.len > 0)
		session_reply(s, 221, "2.0.0", text);
	else
		session_replyf(s, 221, "2.0.0", SV_FMT " closing connection", SV_ARG(s->x.active_hostname));
	s->end = END_QUIT;
}
