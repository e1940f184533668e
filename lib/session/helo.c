/* SPDX-License-Identifier: BSD-2-Clause */
/* HELO, EHLO, LHLO (RFC 5321 section 4.1.1.1, RFC 2033): who the client says it is, and what we offer. */
#include <stdlib.h>
#include <string.h>

#include "session/session_int.h"

/* A host that calls itself by its address, or by a name that leads to it. */
static bool
helo_verified(struct session *s, struct sv name)
{
	const struct exim_world *w = s->env.world;
	struct net_addr a, *addrs;
	size_t n;

	bool untried = s->x.host_lookup == EXIM_HOST_UNTRIED;

	if (name.len > 2 && name.p[0] == '[') {
		struct sv inner = sv_sub(name, 1, name.len - 1);

		if (sv_casestarts(inner, "IPv6:"))
			inner = sv_sub(inner, 5, inner.len);
		return (net_addr_parse(inner, &a) && net_addr_eq(&a, &s->x.addr));
	}
	/* As Exim, a name that is found here shows in logs from the next HELO on. */
	exim_host_name(&s->env);
	s->x.host_unshown = s->x.host_unshown || (untried && s->x.host_name.len > 0);
	if (s->x.host_name.len > 0 && sv_caseeq(s->x.host_name, name))
		return (true);
	if (net_addr_parse(name, &a) || w->addrs == NULL ||
	    w->addrs(w->arg, arena_cstr(s->cmd, name), s->cmd, &addrs, &n) != EXIM_FOUND)
		return (false);
	for (size_t i = 0; i < n; i++)
		if (net_addr_eq(&addrs[i], &s->x.addr))
			return (true);
	return (false);
}

/* helo_lookup_domains: who calls itself by our name or an address gets its own name looked up. */
static void
lookup_suspicious(struct session *s, struct sv name)
{
	const struct exim_list *l = exim_main_list(s->conf, EXIM_MAIN_helo_lookup_domains);
	struct err err = ERR_INIT;
	bool yes = false;

	if (l == NULL || s->kind == SESSION_LOCAL || s->x.host_name.len > 0)
		return;
	/* The default list is our name and our addresses: most names differ at a glance. */
	if (!s->conf->main[EXIM_MAIN_helo_lookup_domains].set && name.len > 0 && name.p[0] != '[' &&
	    !sv_isdigit(name.p[name.len - 1]) && !sv_caseeq(name, s->conf->g.primary_hostname))
		return;
	if (exim_match_domain(l, &s->env, name, &yes, NULL, &err) != EXIM_OK || !yes)
		return;
	/* Once more where host_lookup found none. */
	if (s->x.host_lookup == EXIM_HOST_FAILED)
		s->x.host_lookup = EXIM_HOST_UNTRIED;
	exim_host_name(&s->env);
}

static bool
name_accepted(struct session *s)
{
	struct sv arg = s->c.arg;
	const char *verb = smtp_verb_name(s->c.verb);
	struct sb host = SB_INIT(2000);

	if (!smtp_helo_ok(arg, s->conf->main[EXIM_MAIN_helo_allow_chars].text.p) &&
	    !session_client_in(s, EXIM_MAIN_helo_accept_junk_hosts)) {
		session_caller(s, &host);
		session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT,
		    "rejected %s from %s: syntactically invalid argument(s): " SV_FMT,
		    verb, sb_cstr(&host), SV_ARG(arg.len == 0 ? SV_LIT("(no argument given)") : arg));
		sb_free(&host);
		s->mistake_shown = "";
		session_mistake(s, 501, "5.5.4", "Syntactically invalid %s argument(s)", verb);
		return (false);
	}
	s->x.helo = s->helo_shown = arena_sv(s->arena, sv_taint(arg));
	s->x.helo_verified = s->x.host_unshown = false;
	lookup_suspicious(s, arg);
	if (session_client_in(s, EXIM_MAIN_helo_verify_hosts)) {
		s->x.helo_verified = helo_verified(s, arg);
		if (!s->x.helo_verified) {
			session_caller(s, &host);
			session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, "rejected \"%s " SV_FMT "\" from %s", verb, SV_ARG(arg),
			    sb_cstr(&host));
			sb_free(&host);
			if (s->conn->exim_style)
				session_replyf(s, 550, NULL, "%s argument does not match calling host", verb);
			else
				session_replyf(s, 550, "5.7.1", SV_FMT ": the name that %s gave does not belong to [%s]",
				    SV_ARG(arg), verb, s->peer_text);
			s->x.helo = SV_NULL;
			return (false);
		}
	} else if (session_client_in(s, EXIM_MAIN_helo_try_verify_hosts)) {
		s->x.helo_verified = helo_verified(s, arg);
	}
	return (true);
}

/* RFC 9422: how many messages and recipients we take, for those who are told. */
static void
put_limits(struct session *s, struct sb *out)
{
	int64_t mails, rcpts;

	if (!s->conf->main[EXIM_MAIN_limits_advertise_hosts].set || !session_client_in(s, EXIM_MAIN_limits_advertise_hosts))
		return;
	mails = session_int(s, EXIM_MAIN_smtp_accept_max_per_connection, 0);
	rcpts = session_int(s, EXIM_MAIN_recipients_max, 0);
	if (mails <= 0 && rcpts <= 0)
		return;
	sb_adds(out, "\nLIMITS");
	if (mails > 0)
		sb_addf(out, " MAILMAX=%lld", (long long)mails);
	if (rcpts > 0)
		sb_addf(out, " RCPTMAX=%lld", (long long)rcpts);
}

/* The keywords of EHLO: each only when it works. */
static void
put_keywords(struct session *s, struct sb *out)
{
	const char *auth;
	bool ours = !s->conn->exim_style;

	if (s->size_limit > 0)
		sb_addf(out, "\nSIZE %lld", (long long)s->size_limit);
	else
		sb_adds(out, "\nSIZE");
	put_limits(s, out);
	/* BODY= is understood also where it is not offered. */
	s->parse_flags |= SMTP_PARSE_SIZE | SMTP_PARSE_AUTH | SMTP_PARSE_8BIT;
	if (exim_main_bool(s->conf, EXIM_MAIN_accept_8bitmime))
		sb_adds(out, "\n8BITMIME");
	if ((s->dsn = s->conn->handed || session_client_in(s, EXIM_MAIN_dsn_advertise_hosts))) {
		sb_adds(out, "\nDSN");
		s->parse_flags |= SMTP_PARSE_DSN;
	}
	if (session_acl_set(s, EXIM_WHERE_ETRN))
		sb_adds(out, "\nETRN");
	if (session_acl_set(s, EXIM_WHERE_VRFY))
		sb_adds(out, "\nVRFY");
	if (session_acl_set(s, EXIM_WHERE_EXPN))
		sb_adds(out, "\nEXPN");
	if ((s->pipelining = !s->no_pipelining && session_client_in(s, EXIM_MAIN_pipelining_advertise_hosts)))
		sb_adds(out, s->early_pipe ? "\nPIPELINING\nPIPECONNECT" : "\nPIPELINING");
	auth = session_auth_offer(s);
	s->auth_offered = auth[0] != '\0';
	if (s->auth_offered)
		sb_addf(out, "\nAUTH %s", auth);
	if ((s->chunking = session_client_in(s, EXIM_MAIN_chunking_advertise_hosts)))
		sb_adds(out, "\nCHUNKING");
	if ((s->tls_offered = !stream_is_tls(s->io) && session_tls_available(s)))
		sb_adds(out, "\nSTARTTLS");
	if ((s->prdr = !s->lmtp && exim_main_bool(s->conf, EXIM_MAIN_prdr_enable))) {
		sb_adds(out, "\nPRDR");
		s->parse_flags |= SMTP_PARSE_PRDR;
	}
	if ((s->xclient = session_xclient_offer(s)))
		sb_adds(out, "\nXCLIENT ADDR PORT NAME HELO PROTO LOGIN DESTADDR DESTPORT");
	if (ours)
		sb_adds(out, "\nENHANCEDSTATUSCODES");
	if ((s->utf8 = s->conn->handed || session_client_in(s, EXIM_MAIN_smtputf8_advertise_hosts))) {
		sb_adds(out, "\nSMTPUTF8");
		s->parse_flags |= SMTP_PARSE_UTF8;
	}
	if ((s->wellknown = session_acl_set(s, EXIM_WHERE_WELLKNOWN) && session_client_in(s, EXIM_MAIN_wellknown_advertise_hosts)))
		sb_adds(out, "\nWELLKNOWN");
	sb_adds(out, "\nHELP");
}

void
session_helo(struct session *s)
{
	struct sb out = SB_INIT(16384);
	unsigned code = 250;
	struct sv text;

	if (!s->conn->handed && !name_accepted(s))
		return;
	s->esmtp = s->c.verb != SMTP_HELO;
	s->nomsg.size = -1;
	session_protocol(s);
	s->x.esmtp = s->esmtp;
	s->parse_flags = session_parse_flags(s) | (s->esmtp ? SMTP_PARSE_ESMTP : 0);
	s->pipelining = s->chunking = s->dsn = s->utf8 = s->prdr = s->wellknown = s->tls_offered = s->auth_offered = false;
	if (session_acl(s, EXIM_WHERE_HELO, s->c.arg, &text, &code) != ACL_GO) {
		s->helo_seen = false;
		s->x.helo = SV_NULL;
		if (s->end == END_NONE)
			s->helo_shown = SV_NULL;
		s->x.host_unshown = false;
		session_txn_end(s);
		return;
	}
	/* RFC 5321 section 4.1.4: it clears what was under way. */
	session_txn_end(s);
	exim_acl_run_reset(&s->acl);
	session_rcpt_forget(s);
	s->helo_seen = true;
	if (text.len > 0)
		sb_add(&out, text);
	else if (s->kind == SESSION_LOCAL)
		sb_addf(&out, SV_FMT " Hello %s at " SV_FMT, SV_ARG(s->x.active_hostname), s->conn->user == NULL ? "" :
		    s->conn->user, SV_ARG(s->x.helo));
	else {
		sb_add(&out, s->x.active_hostname);
		sb_adds(&out, " Hello ");
		if (s->x.ident.len > 0)
			sb_addf(&out, SV_FMT " at ", SV_ARG(s->x.ident));
		sb_add(&out, s->x.host_name.len > 0 ? s->x.host_name : s->x.helo);
		sb_addf(&out, " [%s]", s->peer_text);
	}
	if (s->esmtp)
		put_keywords(s, &out);
	session_reply(s, code, NULL, sb_sv(&out));
	sb_free(&out);
}
