/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Per-recipient data responses: behind the content each recipient gets a verdict of acl_smtp_data_prdr, then the message
 * gets its own.  Recipients that are refused leave the envelope.  With it the ACL of DKIM, which is asked for each domain
 * that dkim_verify_signers names.
 */
#include <string.h>

#include "session/session_int.h"

#define SIGNERS_MAX	20

/* $local_part and $domain are those of <addr> while its ACL runs. */
static void
set_address(struct session *s, struct sv addr)
{
	struct exim_address *a = &s->txn->addr;
	ptrdiff_t at = sv_rchr(addr, '@');

	memset(a, 0, sizeof(*a));
	a->local_part = sv_sub(addr, 0, at < 0 ? addr.len : (size_t)at);
	a->domain = at < 0 ? SV_LIT("") : sv_sub(addr, (size_t)at + 1, addr.len);
	s->acl.rcpt_local = a->local_part;
}

/* Told to the client and to the log. */
static void
tell(struct session *s, struct sv addr, enum acl_answer a, struct sv text)
{
	unsigned code = a == ACL_GO || a == ACL_DISCARD ? 250 : a == ACL_LATER ? 450 : 550;
	const char *status = code == 250 ? "2.1.5" : code == 450 ? "4.7.1" : "5.7.1";
	const char *word = code == 250 ? "acceptance" : code == 450 ? "temporary refusal" : "refusal";

	if (s->acl_error.len > 0) {
		session_logf(s, SESSION_LOG_MAIN, "PRDR " SV_FMT " " SV_FMT, SV_ARG(addr), SV_ARG(s->acl_error));
		session_replyf(s, code, status, "PRDR R=<" SV_FMT "> %s", SV_ARG(addr), word);
	} else if (text.len > 0) {
		session_logf(s, SESSION_LOG_MAIN, "PRDR " SV_FMT " " SV_FMT, SV_ARG(addr), SV_ARG(text));
		session_reply(s, code, status, text);
	} else {
		session_logf(s, SESSION_LOG_MAIN, "PRDR R=<" SV_FMT "> %s", SV_ARG(addr), word);
		session_replyf(s, code, status, "PRDR R=<" SV_FMT "> %s", SV_ARG(addr), word);
	}
}

enum acl_answer
session_prdr(struct session *s, struct sv *text)
{
	struct txn *t = s->txn;
	size_t kept = 0, all = t->rcpts.len;
	const char *word;

	if (!t->prdr || all < 2 || !session_acl_set(s, EXIM_WHERE_PRDR))
		return (ACL_GO);
	t->prdr_run = true;
	session_reply(s, 353, NULL, SV_LIT("PRDR content analysis beginning"));
	for (size_t i = 0; i < all; i++) {
		struct sv addr = t->rcpt_addrs.p[i], said = SV_NULL;
		enum acl_answer a;

		set_address(s, addr);
		a = session_acl(s, EXIM_WHERE_PRDR, addr, &said, NULL);
		if (a == ACL_GONE)
			return (a);
		tell(s, addr, a, said);
		if (a != ACL_GO)
			continue;
		t->rcpts.p[kept] = t->rcpts.p[i];
		if (i < t->rcpts_given.len)
			t->rcpts_given.p[kept] = t->rcpts_given.p[i];
		t->rcpt_addrs.p[kept++] = addr;
	}
	s->acl.rcpt_local = SV_NULL;
	memset(&t->addr, 0, sizeof(t->addr));
	t->rcpts.len = t->rcpt_addrs.len = t->msg.nrecipients = kept;
	word = kept == 0 ? "rejected for all recipients" : kept == all ? "accepted" : "accepted for some recipients";
	*text = sv_cstr(arena_fmt(s->cmd, "id=%s message %s", t->id, word));
	if (kept > 0)
		return (ACL_GO);
	session_reply(s, 550, "5.7.1", *text);
	return (ACL_NO);
}

enum acl_answer
session_acl_dkim(struct session *s)
{
	struct exim_acl_state *st = &s->st;
	enum acl_answer a = ACL_GO;
	struct err err = ERR_INIT;
	struct sv list, item;
	struct sb all = SB_INIT(4096);
	int sep = 0;

	if (!session_acl_set(s, EXIM_WHERE_DKIM) || s->txn->fx.ctl[EXIM_CTL_DKIM_DISABLE_VERIFY])
		return (ACL_GO);
	s->env.msg = session_msg(s);
	if (exim_expand_text(s->conf->main[EXIM_MAIN_dkim_verify_signers].text, &s->env, &list, &err) != EXIM_OK) {
		session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_PANIC, "expansion of dkim_verify_signers option failed: %s", err.text);
		return (ACL_GO);
	}
	for (size_t n = 0; n < SIGNERS_MAX && a == ACL_GO && exim_list_next(&list, &sep, s->cmd, &item); n++) {
		if (item.len == 0)
			continue;
		st->dkim_cur_signer = arena_sv(s->txn->arena, item);
		st->dkim_verify_status = SV_LIT("none");
		sb_adds(&all, n > 0 && all.len > 0 ? ":none" : "none");
		a = session_acl(s, EXIM_WHERE_DKIM, item, NULL, NULL);
	}
	/* The ACL of DATA sees the last signer, and what was found of all of them. */
	if (all.len > 0)
		st->dkim_verify_status = arena_sv(s->txn->arena, sb_sv(&all));
	sb_free(&all);
	return (a);
}
