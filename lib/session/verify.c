/* SPDX-License-Identifier: BSD-2-Clause */
/* verify = sender, recipient, header_sender (chapter 44.31 of Exim's manual): by routing the address. */
#include "route/route.h"
#include "session/session_int.h"

/* The first failure tells; a user's text is for the peer, the other one for the log. */
static enum exim_result
failed(struct session *s, const struct route_result *r, struct exim_verify_result *out)
{
	const struct route_failure *f = r->nfailures > 0 ? &r->failure[0] : NULL;
	const char *text = f == NULL || f->err.text[0] == '\0' ? "Unrouteable address" : arena_str(s->cmd, f->err.text);

	out->log_msg = sv_cstr(text);
	out->user_msg = f != NULL && f->user_msg.len > 0 ? f->user_msg : out->log_msg;
	out->failure = SV_LIT("route");
	return (r->verdict == EXIM_DEFER ? EXIM_DEFER : EXIM_FAIL);
}

/* Routing sets the address in env and puts it back: what this one was stays for later conditions. */
static enum exim_result
route_it(struct session *s, struct exim_env *env, struct sv address, enum route_mode mode, bool redirect_ok,
    struct exim_verify_result *out)
{
	struct route_request rq = {
		.conf = s->conf, .env = env, .arena = s->cmd, .ops = s->sv->route, .mode = mode, .address = address,
		.sender = env->msg == NULL ? SV_NULL : env->msg->sender,
	};
	struct route_result r;

	route_address(&rq, &r);
	out->address_data = r.address_data;
	if (redirect_ok && r.redirected && r.verdict != EXIM_OK)
		return (EXIM_OK);
	return (r.verdict == EXIM_OK ? EXIM_OK : failed(s, &r, out));
}

/* A header address that can be replied to: Sender, Reply-To and From in this order, one is enough. */
static enum exim_result
header_sender(struct session *s, struct exim_env *env, struct exim_verify_result *out)
{
	static const char *const names[] = { "Sender", "Reply-To", "From" };
	enum exim_result worst = EXIM_FAIL;
	struct mail_addrlist list;
	struct sb addr = SB_INIT(MAIL_ADDRESS_MAX);
	struct txn *t = s->txn;

	for (size_t k = 0; t != NULL && k < sizeof(names) / sizeof(names[0]); k++)
		for (ptrdiff_t i = -1; (i = mail_headers_find(&t->headers, names[k], (size_t)(i + 1))) >= 0;) {
			mail_addrlist_read(t->headers.v[i].body, s->cmd, &list);
			for (size_t j = 0; j < list.n; j++) {
				struct exim_verify_result one = { .details = false };
				enum exim_result r;

				sb_clear(&addr);
				mail_address_put(&addr, &list.v[j]);
				if (list.v[j].item != MAIL_ITEM_ADDRESS || list.v[j].domain.len == 0)
					continue;
				r = route_it(s, env, arena_sv(s->cmd, sv_taint(sb_sv(&addr))), ROUTE_VERIFY_SENDER, false, &one);
				if (r == EXIM_OK) {
					sb_free(&addr);
					return (EXIM_OK);
				}
				if (r == EXIM_DEFER)
					worst = EXIM_DEFER;
			}
		}
	sb_free(&addr);
	out->log_msg = SV_LIT("there is no valid sender in any header line");
	return (worst);
}

/* Told once per message: in the log, and to the peer in front of the refusal. */
static void
sender_failed(struct session *s, const struct exim_verify *v, enum exim_result r, const struct exim_verify_result *out)
{
	struct sb line = SB_INIT(4096);

	if (v->no_details || (s->txn != NULL && s->txn->sender_told))
		return;
	if (s->txn != NULL)
		s->txn->sender_told = true;
	if (r == EXIM_DEFER || session_logs(s, EXIM_LOGSEL_sender_verify_fail)) {
		session_log_host(s, &line);
		session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, "%s sender verify %s for <" SV_FMT ">: " SV_FMT, sb_cstr(&line),
		    r == EXIM_DEFER ? "defer" : "fail", SV_ARG(v->address), SV_ARG(out->log_msg));
		sb_free(&line);
	}
	if (r == EXIM_FAIL)
		s->sender_failed = out->user_msg;
}

enum exim_result
session_verify(void *arg, struct exim_env *env, const struct exim_verify *v, struct exim_verify_result *out)
{
	struct session *s = arg;
	struct sv address = v->address;
	enum exim_result r;

	switch (v->what) {
	case EXIM_VERIFY_SENDER:
	case EXIM_VERIFY_HEADER_SENDER:
	case EXIM_VERIFY_RECIPIENT:
		break;
	default:
		out->log_msg = SV_LIT("this kind of verification is not available");
		return (EXIM_DEFER);
	}
	if (v->what == EXIM_VERIFY_HEADER_SENDER) {
		r = header_sender(s, env, out);
		return (r == EXIM_DEFER && v->defer_ok ? EXIM_OK : r);
	}
	if (address.len == 0)
		return (EXIM_OK);
	if (sv_rchr(address, '@') < 0) {
		out->failure = SV_LIT("qualify");
		out->log_msg = out->user_msg = SV_LIT("Unqualified address not permitted");
		return (EXIM_FAIL);
	}
	r = route_it(s, env, address, v->what == EXIM_VERIFY_RECIPIENT ? ROUTE_VERIFY_RECIPIENT : ROUTE_VERIFY_SENDER,
	    v->success_on_redirect, out);
	if (r == EXIM_DEFER && v->defer_ok)
		return (EXIM_OK);
	out->details = !v->no_details;
	if (r != EXIM_OK && v->what == EXIM_VERIFY_SENDER) {
		sender_failed(s, v, r, out);
		if (r == EXIM_FAIL)
			out->user_msg = out->log_msg = SV_LIT("Sender verify failed");
	}
	return (r);
}
