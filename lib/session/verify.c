/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify = sender, recipient, header_sender (sections 44.45 to 44.51 of Exim's manual): by routing the address, and
 * with callout by asking its hosts.
 */
#include "exim/field.h"
#include "route/route.h"
#include "session/callout.h"
#include "session/cutthrough.h"
#include "session/quota.h"
#include "session/session_int.h"

/* The first failure tells; a user's text is for the peer, the other one for the log. */
static enum exim_result
failed(struct session *s, const struct route_result *r, struct exim_verify_result *out)
{
	const struct route_failure *f = r->nfailures > 0 ? &r->failure[0] : NULL;
	const char *text = f == NULL || f->err.text[0] == '\0' ? "Unrouteable address" : arena_str(s->cmd, f->err.text);

	out->log_msg = sv_cstr(text);
	/* ":fail:" without a text tells nothing, in the log either. */
	out->told = f != NULL && f->user_msg.p != NULL && !f->own_words;
	out->user_msg = f != NULL && f->user_msg.p != NULL ? f->user_msg : out->log_msg;
	if (out->told && out->user_msg.len == 0)
		out->log_msg = SV_LIT("");
	out->failure = SV_LIT("route");
	return (r->verdict == EXIM_DEFER ? EXIM_DEFER : EXIM_FAIL);
}

/* The values of an address that its own host accepted are no longer foreign. */
static void
trust(struct exim_env *env, const struct route_delivery *rd)
{
	if (env->addr == NULL)
		return;
	env->addr->domain_data = sv_from(rd->domain.p, rd->domain.len);
	env->addr->local_part_data = sv_from(rd->local_part.p, rd->local_part.len);
}

/* Routing sets the address in env and puts it back: what this one was stays for later conditions. */
static enum exim_result
route_it(struct session *s, struct exim_env *env, const struct exim_verify *v, struct sv address, enum route_mode mode,
    struct exim_verify_result *out)
{
	/* What is kept for a delivery lives as long as the message. */
	bool kept = mode == ROUTE_VERIFY_RECIPIENT && session_cut_routes(s);
	struct sv sender = env->msg == NULL ? SV_NULL : env->msg->sender;
	struct route_request rq = {
		.conf = s->conf, .env = env, .arena = kept ? s->txn->arena : s->cmd, .ops = s->sv->route, .mode = mode,
		.address = kept ? arena_sv(s->txn->arena, address) : address,
		.sender = mode == ROUTE_VERIFY_SENDER ? SV_LIT("") : sender, .id = sv_cstr(session_id(s)),
		    .success_on_redirect = v->success_on_redirect, .headers = kept,
	};
	struct route_result r;
	enum exim_result res;

	/* Reports go to senders: how they are routed is looked at as for one. */
	if (env->msg != NULL)
		env->msg->sender = rq.sender;
	route_address(&rq, &r);
	out->address_data = r.address_data;
	if (v->success_on_redirect && r.redirected)
		res = EXIM_OK;
	else if (r.verdict != EXIM_OK)
		res = failed(s, &r, out);
	else if (v->quota && r.ndeliveries == 1 && session_quota(s, env, v, &r.delivery[0], out) == EXIM_FAIL)
		res = EXIM_FAIL;
	else if (!v->callout || r.ndeliveries != 1)
		res = EXIM_OK;
	else {
		res = session_callout(s, env, v, &r.delivery[0], r.delivery[0].addr->address, out);
		if (res == EXIM_OK && out->asked && v->what == EXIM_VERIFY_RECIPIENT)
			trust(env, &r.delivery[0]);
	}
	if (env->msg != NULL)
		env->msg->sender = sender;
	route_result_free(&r);
	return (res);
}

/*
 * Addresses of a header that are tried: each may cost questions to name servers and connections to hosts that the message
 * names.
 */
#define HEADER_SENDERS_MAX	50

/* One of the addresses of field <f> stands as a sender.  FAIL with a text in out->log_msg: nothing more is looked at. */
static enum exim_result
field_sender(struct session *s, struct exim_env *env, const struct exim_verify *v, const struct mail_header *f, unsigned *tries,
    struct exim_verify_result *out)
{
	struct exim_field field = { .rest = sv_trim(f->body) };
	enum exim_result worst = EXIM_FAIL;
	struct exim_extracted x;
	struct err err = ERR_INIT;
	enum exim_field_got got;
	struct sv one;

	while ((got = exim_field_next(&field, EXIM_EXTRACT_LITERALS, s->cmd, &one, &x, &err)) != EXIM_FIELD_END) {
		struct exim_verify_result r = { .details = false };
		enum exim_result res;

		if (got == EXIM_FIELD_WRONG) {
			out->log_msg = sv_cstr(arena_fmt(s->cmd,
			    "syntax error in '" SV_FMT ":' header when scanning for sender: %s in \""
			    SV_FMT "\"", SV_ARG(f->name), err.text, SV_ARG(sv_trim(one))));
			return (EXIM_FAIL);
		}
		if (got != EXIM_FIELD_ADDRESS || x.domain == 0)
			continue;
		if ((*tries)++ == HEADER_SENDERS_MAX)
			break;
		res = route_it(s, env, v, session_rewritten(s, sv_taint(x.address), true), ROUTE_VERIFY_SENDER, &r);
		if (res == EXIM_OK)
			return (EXIM_OK);
		if (res == EXIM_DEFER)
			worst = EXIM_DEFER;
	}
	return (worst);
}

/* A header address that can be replied to: Sender, Reply-To and From in this order, one is enough. */
static enum exim_result
header_sender(struct session *s, struct exim_env *env, const struct exim_verify *v, struct exim_verify_result *out)
{
	static const char *const names[] = { "Sender", "Reply-To", "From" };
	enum exim_result worst = EXIM_FAIL, r;
	struct txn *t = s->txn;
	unsigned tries = 0;

	for (size_t k = 0; t != NULL && tries <= HEADER_SENDERS_MAX && k < sizeof(names) / sizeof(names[0]); k++)
		for (size_t i = 0; i < t->headers.n && tries <= HEADER_SENDERS_MAX; i++) {
			const struct mail_header *f = &t->headers.v[i];

			if (!sv_caseeqs(sv_casestarts(f->name, "Resent-") ? sv_sub(f->name, 7, f->name.len) : f->name, names[k]))
				continue;
			r = field_sender(s, env, v, f, &tries, out);
			if (r == EXIM_OK || out->log_msg.len > 0)
				return (r);
			if (r == EXIM_DEFER)
				worst = EXIM_DEFER;
		}
	out->log_msg = worst == EXIM_DEFER ? SV_LIT("all attempts to verify a sender in a header line deferred") :
	    SV_LIT("there is no valid sender in any header line");
	return (worst);
}

/* A sender that was routed already for this message. */
struct checked_sender {
	struct checked_sender *next;
	struct sv	 address;
	enum exim_result res;
	struct exim_verify_result out;
	bool		 told;		/* at a refusal: once per message */
};

static struct checked_sender *
checked_before(const struct session *s, const struct exim_verify *v)
{
	struct checked_sender *c = s->txn == NULL || v->what != EXIM_VERIFY_SENDER || v->callout || v->callout_skipped ?
	    NULL : s->txn->checked;

	while (c != NULL && !sv_eq(c->address, v->address))
		c = c->next;
	return (c);
}

/* Callouts have a cache of their own: what is kept of them is whether the address could be routed. */
static void
keep_checked(struct session *s, const struct exim_verify *v, enum exim_result res, const struct exim_verify_result *out)
{
	struct checked_sender *c;
	struct arena *a;

	if (s->txn == NULL || v->what != EXIM_VERIFY_SENDER)
		return;
	for (c = s->txn->checked; c != NULL; c = c->next)
		if (sv_eq(c->address, v->address))
			return;
	a = s->txn->arena;
	c = arena_zalloc(a, sizeof(*c));
	c->address = arena_sv(a, v->address);
	if (out->asked)
		res = EXIM_OK;
	else if (res != EXIM_OK)
		c->out = *out;
	c->res = res;
	c->out.address_data = out->address_data;
	for (struct sv *p[] = { &c->out.user_msg, &c->out.log_msg, &c->out.failure, &c->out.address_data, NULL }, **t = p; *t != NULL; t++)
		if ((*t)->p != NULL)
			**t = arena_sv(a, **t);
	c->next = s->txn->checked;
	s->txn->checked = c;
	s->sender_checked = c;
}

void
session_sender_told(struct session *s)
{
	if (s->sender_checked != NULL)
		s->sender_checked->told = true;
}

/* Told once per message, when the ACL refuses: in the log, and to the peer in front of the refusal. */
static void
sender_failed(struct session *s, const struct exim_verify *v, enum exim_result r, const struct exim_verify_result *out)
{
	struct sb line = SB_INIT(4096);

	/* Each callout tells of itself. */
	if (v->no_details || (!v->callout && !v->callout_skipped && s->sender_checked != NULL && s->sender_checked->told))
		return;
	if (r == EXIM_DEFER || session_logs(s, EXIM_LOGSEL_sender_verify_fail)) {
		session_log_host(s, &line);
		s->sender_log = sv_cstr(arena_fmt(s->cmd, "%s sender verify %s for <" SV_FMT ">%s" SV_FMT, sb_cstr(&line),
		    r == EXIM_DEFER ? "defer" : "fail", SV_ARG(v->address), out->log_msg.len > 0 ? ": " : out->told ? ":" : "",
		    SV_ARG(out->log_msg)));
		sb_free(&line);
	}
	/* The peer hears what was meant for it. */
	if (r != EXIM_FAIL || (!out->told && !out->asked && !sv_eqs(out->user_msg, "Unrouteable address") &&
	    !sv_eqs(out->failure, "qualify")))
		return;
	if (sv_eqs(out->failure, "postmaster"))
		s->sender_failed = sv_cstr(arena_fmt(s->cmd, "Postmaster verification failed while checking <" SV_FMT ">\n" SV_FMT
		    "\nSeveral RFCs state that you are required to have a postmaster\nmailbox for each mail domain. This host does not "
		    "accept mail\nfrom domains whose servers reject the postmaster address.", SV_ARG(v->address),
		    SV_ARG(out->user_msg)));
	else if (sv_eqs(out->failure, "mail") && v->callout_mailfrom.len == 0 && !v->callout_use_sender && !v->callout_use_postmaster)
		s->sender_failed = sv_cstr(arena_fmt(s->cmd, "Callback setup failed while verifying <" SV_FMT ">\n" SV_FMT
		    "\nThe initial connection, or a HELO or MAIL FROM:<> command was\nrejected. Refusing MAIL FROM:<> does not help fight "
		    "spam, disregards\nRFC requirements, and stops you from receiving standard bounce\nmessages. This host does not "
		    "accept mail from domains whose servers\nrefuse bounces.", SV_ARG(v->address), SV_ARG(out->user_msg)));
	else
		s->sender_failed = sv_cstr(arena_fmt(s->cmd, "Verification failed for <" SV_FMT ">%s" SV_FMT, SV_ARG(v->address),
		    out->user_msg.len > 0 ? "\n" : "", SV_ARG(out->user_msg)));
}

enum exim_result
session_verify(void *arg, struct exim_env *env, const struct exim_verify *v, struct exim_verify_result *out)
{
	struct session *s = arg;
	struct checked_sender *before = checked_before(s, v);
	struct exim_verify own = *v;
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
		r = header_sender(s, env, v, out);
		return (r == EXIM_DEFER && v->defer_ok ? EXIM_OK : r);
	}
	if (address.len == 0)
		return (EXIM_OK);
	if (sv_rchr(address, '@') < 0) {
		out->failure = SV_LIT("qualify");
		out->log_msg = out->user_msg = SV_LIT("Unqualified address not permitted");
		return (EXIM_FAIL);
	}
	if (before == NULL && v->what == EXIM_VERIFY_SENDER && s->txn != NULL && sv_eq(address, s->txn->msg.sender))
		address = session_verified_sender(s);
	else if (before == NULL)
		address = session_rewritten(s, address, v->what == EXIM_VERIFY_SENDER);
	own.address = address;
	v = &own;
	s->sender_checked = before;
	if (before != NULL) {
		*out = before->out;
		r = before->res;
	} else {
		r = route_it(s, env, v, address, v->what == EXIM_VERIFY_RECIPIENT ? ROUTE_VERIFY_RECIPIENT : ROUTE_VERIFY_SENDER, out);
		keep_checked(s, v, r, out);
	}
	if (r == EXIM_DEFER && v->defer_ok)
		return (EXIM_OK);
	out->details = !v->no_details;
	if (r != EXIM_OK && v->what == EXIM_VERIFY_SENDER) {
		sender_failed(s, v, r, out);
		out->told = false;
		if (r == EXIM_FAIL && before == NULL)
			out->why = out->log_msg;
		if (r == EXIM_FAIL)
			out->user_msg = out->log_msg = SV_LIT("Sender verify failed");
		else
			out->log_msg = out->asked ? out->user_msg : SV_LIT("Could not complete sender verify");
	}
	return (r);
}
