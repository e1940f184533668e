/* SPDX-License-Identifier: BSD-2-Clause */
/* RCPT (RFC 5321 section 4.1.1.3): one recipient, asked of the ACL. */
#include <string.h>

#include "route/route.h"
#include "session/cutthrough.h"
#include "session/session_int.h"

static bool
qualify_recipient(struct session *s, struct sv *out)
{
	struct mail_address *p = &s->c.path;
	struct sb sb = SB_INIT(MAIL_ADDRESS_MAX + 16);

	if (p->local.len == 0 && p->domain.len == 0) {
		session_mistake(s, 501, "5.1.3", SV_FMT ": missing or malformed local part", SV_ARG(s->c.path_text));
		return (false);
	}
	/* RFC 5321 section 4.5.1: <postmaster> needs no domain. */
	if (p->domain.len == 0 && !sv_caseeqs(p->local, "postmaster") && s->kind != SESSION_LOCAL &&
	    !session_client_in(s, EXIM_MAIN_recipient_unqualified_hosts)) {
		struct sb host = SB_INIT(2000);

		session_log_host(s, &host);
		if (session_logs(s, EXIM_LOGSEL_smtp_syntax_error))
			session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, "unqualified recipient rejected: <" SV_FMT "> %s",
			    SV_ARG(p->local), sb_cstr(&host));
		sb_free(&host);
		session_replyf(s, 501, "5.1.3", SV_FMT ": recipient address must contain a domain", SV_ARG(s->c.path_text));
		return (false);
	}
	if (p->domain.len > 0 && p->domain.p[0] == '[' && !exim_main_bool(s->conf, EXIM_MAIN_allow_domain_literals)) {
		session_mistake(s, 501, "5.1.3", SV_FMT ": domain literals not allowed", SV_ARG(s->c.path_text));
		return (false);
	}
	sb_add(&sb, p->local);
	sb_addc(&sb, '@');
	sb_add(&sb, p->domain.len > 0 ? p->domain : s->conf->g.qualify_recipient);
	*out = arena_sv(s->cmd, sv_taint(sb_sv(&sb)));
	sb_free(&sb);
	return (true);
}

static bool
utf8_allowed(struct session *s, struct txn *t)
{
	if (t->smtputf8 || (s->parse_flags & SMTP_PARSE_8BIT_DOMAIN) != 0 || sv_is_ascii(s->c.path_text) ||
	    (s->conn->exim_style && sv_is_ascii(sv_sub(s->c.path_text, (size_t)(sv_rchr(s->c.path_text, '@') + 1),
	    s->c.path_text.len))))
		return (true);
	session_reply(s, 550, "5.6.7", SV_LIT("an address that is not ASCII needs the SMTPUTF8 parameter at MAIL"));
	return (false);
}

static bool
within_max(struct session *s, struct txn *t)
{
	int64_t max = session_int(s, EXIM_MAIN_recipients_max, 0);
	bool reject = exim_main_bool(s->conf, EXIM_MAIN_recipients_max_reject);

	/* However many are allowed: an envelope holds so many, and what refused ones leave behind in the ACLs' variables is bounded. */
	if ((max <= 0 || s->x.rcpt_count <= max) && s->x.rcpt_count <= SPOOL_RCPT_MAX)
		return (true);
	if (reject)
		s->x.rcpt_fail_count++;
	else
		s->x.rcpt_defer_count++;
	if (!t->too_many) {
		struct sb host = SB_INIT(2000);

		session_log_host(s, &host);
		session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, "too many recipients: %s rejected: sender=<" SV_FMT "> %s",
		    reject ? "message" : "excess temporarily", SV_ARG(t->msg.sender), sb_cstr(&host));
		sb_free(&host);
	}
	t->too_many = true;
	if (!reject && s->conn->exim_style)
		session_reply(s, 452, NULL, SV_LIT("too many recipients"));
	else if (!reject)
		session_reply(s, 452, "4.5.3", SV_LIT("too many recipients; send this message to the others separately"));
	else
		session_reply(s, 552, "5.5.3", SV_LIT("too many recipients"));
	return (false);
}

/* What the ACL would have said: that the list of percent_hack_domains cannot be asked now. */
static void
hack_deferred(struct session *s)
{
	struct exim_acl_result res = { .verdict = EXIM_ACL_DEFER, .log_targets = EXIM_LOG_MAIN | EXIM_LOG_REJECT };

	res.log_msg = SV_LIT("defer in percent_hack_domains check");
	session_acl_refuse(s, EXIM_WHERE_RCPT, s->c.path_text, &res);
}

/*
 * $local_part and $domain of the ACL, for as long as it runs: the domain in lower case; the local part is the ACL's to lower.
 * False: not for now, which was answered.
 */
static bool
set_address(struct session *s, struct txn *t, struct sv addr)
{
	ptrdiff_t at = sv_rchr(addr, '@');
	struct exim_address *a = &t->addr;
	char *domain = arena_cstr(s->cmd, sv_sub(addr, (size_t)at + 1, addr.len)), *low;
	struct err err = ERR_INIT;

	memset(a, 0, sizeof(*a));
	for (char *p = domain; *p != '\0'; p++)
		*p = sv_lower(*p);
	a->domain = sv_taint(sv_cstr(domain));
	if (s->c.path.local_plain.p != NULL && sv_eq(sv_sub(addr, 0, (size_t)at), s->c.path.local))
		a->local_part = arena_sv(s->cmd, sv_taint(s->c.path.local_plain));
	else
		a->local_part = sv_sub(addr, 0, (size_t)at);
	s->env.addr = a;
	if (!t->discard && session_acl_asked(s, EXIM_WHERE_RCPT) &&
	    route_percent_hack(s->conf, &s->env, &a->local_part, &a->domain, &err) == EXIM_DEFER) {
		hack_deferred(s);
		return (false);
	}
	a->domain = arena_lower(s->cmd, a->domain);
	s->acl.rcpt_local = a->local_part;
	low = arena_cstr(s->cmd, a->local_part);
	for (char *p = low; *p != '\0'; p++)
		*p = sv_lower(*p);
	a->local_part.p = low;
	return (true);
}

static void
add_recipient(struct session *s, struct txn *t, struct sv addr)
{
	struct spool_rcpt r = { .addr = arena_sv(t->arena, addr), .orcpt = SV_NULL, .notify = s->c.notify };

	if (s->c.orcpt.p != NULL)
		r.orcpt = arena_sv(t->arena, s->c.orcpt);
	vec_push(&t->rcpts, r);
	vec_push(&t->rcpt_addrs, r.addr);
	t->msg.recipients = t->rcpt_addrs.p;
	t->msg.recipients_shown = false;
	t->msg.nrecipients = t->rcpt_addrs.len;
}

static void
count_refusal(struct session *s, uint64_t deferrals)
{
	if (s->deferrals != deferrals)
		s->x.rcpt_defer_count++;
	else
		s->x.rcpt_fail_count++;
}

void
session_rcpt(struct session *s)
{
	struct txn *t = s->txn;
	unsigned code = 250;
	struct sv addr, text;
	enum acl_answer a;
	uint64_t replies;

	session_pace_rcpt(s);
	if (!utf8_allowed(s, t) || !qualify_recipient(s, &addr)) {
		s->x.rcpt_fail_count++;
		return;
	}
	if (!within_max(s, t))
		return;
	text = SV_NULL;
	replies = s->deferrals;
	if (!set_address(s, t, addr)) {
		session_cut_rcpt_refused(s);
		count_refusal(s, replies);
		return;
	}
	a = t->discard ? ACL_GO : session_acl(s, EXIM_WHERE_RCPT, s->c.path_text, &text, &code);
	s->acl.rcpt_local = SV_NULL;
	if (t->discard)
		session_log_discard(s, EXIM_WHERE_MAIL, t->discard_why);
	switch (a) {
	case ACL_GO:
		if (!t->discard && !session_cut_rcpt(s, addr)) {
			count_refusal(s, replies);
			return;
		}
		add_recipient(s, t, addr);
		break;
	case ACL_DISCARD:
		session_cut_rcpt_refused(s);
		t->discarded_some = true;
		break;
	default:
		session_cut_rcpt_refused(s);
		count_refusal(s, replies);
		return;
	}
	if (text.len > 0)
		session_reply(s, code, "2.1.5", text);
	else
		session_reply(s, 250, "2.1.5", SV_LIT("Accepted"));
}
