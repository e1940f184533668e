/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cutthrough delivery: see cutthrough.h.
 *
 * Whatever a delivery from the spool would do in another way (logging in, filters, rewriting, reports of success) is left
 * to it: then the connection is given up, and the message is queued as any other.
 */
#include "session/cutthrough.h"

#include <string.h>
#include <time.h>

#include "deliver/ask.h"
#include "deliver/options.h"
#include "exim/callout.h"
#include "route/world.h"
#include "session/session_int.h"
#include "transport/transport.h"

#define HEADER_MAX	(8 * 1024 * 1024)
#define REPLY_MAX	4096
#define COMMAND_MS	INT64_C(300000)
#define ROUTED_MAX	500		/* recipients that were looked at for one message */

struct session_cut {
	struct deliver_conn *conn;
	struct deliver_opts *opts;	/* of it */
	VEC(const struct route_delivery *) rd;
	VEC(struct sv)	 rcpt;		/* the recipients that they came of */
	bool		 data;		/* the host waits for the content */
	bool		 body;		/* it has the header */
	enum smtp_data_state st;
	size_t		 headers, removals;	/* of ACLs, in that header */
};

void
session_cut_cancel(struct session *s)
{
	struct session_cut *c = s->txn == NULL ? NULL : s->txn->cut;

	if (c == NULL)
		return;
	/* Never the end of a message that is not whole. */
	if (c->data && c->conn != NULL)
		deliver_data_drop(c->conn);
	deliver_close(&c->conn);
	deliver_options_free(c->opts);
	vec_free(&c->rd);
	vec_free(&c->rcpt);
	s->txn->cut = NULL;
}

static void
give_up(struct session *s)
{
	session_cut_cancel(s);
	s->txn->cut_on = false;
}

/* ---- may it be? ---- */

void
session_cut_order(struct session *s, struct sv opts)
{
	struct txn *t = s->txn;
	struct sv o;

	if (t == NULL || t->cut_on || s->x.rcpt_count != 1 || s->acl.where != EXIM_WHERE_RCPT)
		return;
	t->cut_on = true;
	while (sv_next(&opts, '/', &o))
		if (sv_starts(o, "defer="))
			t->cut_pass = sv_eqs(o, "defer=pass");
}

/* Nothing is wanted of this message that only the spool's way gives. */
static bool
message_fits(const struct session *s)
{
	const struct txn *t = s->txn;
	const bool *ctl = t->fx.ctl;

	return ((s->kind == SESSION_SMTP || s->kind == SESSION_SUBMISSION || s->kind == SESSION_SMTPS) && !s->conn->host_checking &&
	    !t->prdr && !t->smtputf8 && t->body != SMTP_BODY_BINARYMIME && t->envid.len == 0 && t->ret == 0 &&
	    sv_is_ascii(t->msg.sender) &&
	    !ctl[EXIM_CTL_FREEZE] && !ctl[EXIM_CTL_QUEUE] && !ctl[EXIM_CTL_QUEUE_ONLY] && t->fx.fake_code == 0 &&
	    t->fx.queue_name.len == 0 &&
	    (s->conf->rewrites.flags & (EXIM_RW_F | EXIM_RW_T | EXIM_RW_f | EXIM_RW_t | EXIM_RW_c | EXIM_RW_b | EXIM_RW_r |
	    EXIM_RW_s)) == 0);
}

static bool
is_set(const struct exim_value *v)
{
	return (v->str != NULL || v->text.len > 0);
}

/* Would the spool send it to the same host, with the same words? */
static bool
delivery_fits(const struct session *s, const struct route_delivery *rd)
{
	const struct exim_value *g, *own;

	if (rd->kind != ROUTE_TO_TRANSPORT || rd->transport == NULL || rd->transport->drv != EXIM_TRANSPORT_DRV_SMTP ||
	    !sv_is_ascii(rd->addr->address))
		return (false);
	g = rd->transport->d.generic;
	own = rd->transport->d.own;
	return (!is_set(&g[EXIM_TRANSPORT_transport_filter]) && !is_set(&g[EXIM_TRANSPORT_return_path]) &&
	    g[EXIM_TRANSPORT_body_only].num == 0 && g[EXIM_TRANSPORT_headers_only].num == 0 &&
	    !is_set(&g[EXIM_TRANSPORT_message_size_limit]) && !is_set(&own[EXIM_SMTP_dkim_domain]) &&
	    !is_set(&own[EXIM_SMTP_authenticated_sender]) && !sv_eqs(own[EXIM_SMTP_protocol].text, "lmtp") &&
	    (rd->router == NULL || rd->router->d.generic[EXIM_ROUTER_verify_only].num == 0) &&
	    (!rd->errors_to_set || sv_eq(rd->errors_to, s->txn->msg.sender)));
}

bool
session_cut_routes(struct session *s)
{
	if (s->txn == NULL || !s->txn->cut_on)
		return (false);
	/* Each stays in memory until the message's end, also one that is refused. */
	if (++s->txn->cut_routed > ROUTED_MAX)
		give_up(s);
	return (s->txn->cut_on);
}

bool
session_cut_wants(const struct session *s, const struct exim_verify *v, const struct route_delivery *rd)
{
	const struct txn *t = s->txn;

	return (t != NULL && t->cut_on && t->cut == NULL && t->rcpts.len == 0 && s->acl.where == EXIM_WHERE_RCPT &&
	    v->what == EXIM_VERIFY_RECIPIENT && v->callout_use_sender && !v->callout_random && !v->callout_postmaster &&
	    !v->callout_fullpostmaster && message_fits(s) && delivery_fits(s, rd));
}

bool
session_cut_only(const struct session *s)
{
	return (s->txn != NULL && s->txn->cut_asks && s->txn->rcpts.len > 0);
}

/* ---- recipients ---- */

static void
add(struct session *s, struct session_cut *c, const struct route_delivery *rd, struct sv rcpt)
{
	struct route_delivery *copy = arena_dup(s->txn->arena, rd, sizeof(*rd));

	/* They are freed with the routing's result. */
	copy->vars = NULL;
	vec_push(&c->rd, copy);
	rcpt = arena_sv(s->txn->arena, rcpt);
	vec_push(&c->rcpt, rcpt);
}

bool
session_cut_keep(struct session *s, struct deliver_conn **conn, struct deliver_opts *opts, const struct route_delivery *rd,
    const char *address)
{
	if (deliver_auth_name(*conn) != NULL)
		return (false);
	s->txn->cut = arena_zalloc(s->txn->arena, sizeof(*s->txn->cut));
	s->txn->cut->conn = *conn;
	s->txn->cut->opts = opts;
	*conn = NULL;
	add(s, s->txn->cut, rd, sv_cstr(address));
	return (true);
}

/* To the same host by the same transport and in the same header? */
static bool
same_way(const struct route_delivery *a, const struct route_delivery *b)
{
	bool same = a->transport == b->transport && a->nhosts == b->nhosts && a->nheaders_add == b->nheaders_add &&
	    a->nheaders_remove == b->nheaders_remove;

	for (size_t i = 0; same && i < a->nhosts; i++)
		same = strcmp(a->hosts[i].name, b->hosts[i].name) == 0 && net_addr_eq(&a->hosts[i].addr, &b->hosts[i].addr);
	for (size_t i = 0; same && i < a->nheaders_add; i++)
		same = sv_eq(a->headers_add[i], b->headers_add[i]);
	for (size_t i = 0; same && i < a->nheaders_remove; i++)
		same = sv_eq(a->headers_remove[i], b->headers_remove[i]);
	return (same);
}

bool
session_cut_ask(struct session *s, const struct exim_verify *v, const struct route_delivery *rd, struct exim_verify_result *out,
    enum exim_result *res)
{
	struct txn *t = s->txn;
	struct session_cut *c = t == NULL ? NULL : t->cut;
	struct deliver_error e = DELIVER_ERROR_INIT;
	struct sb text = SB_INIT(REPLY_MAX);
	struct sv reply;
	const char *line;
	int64_t max;
	int code;

	if (c == NULL || s->acl.where != EXIM_WHERE_RCPT || v->what != EXIM_VERIFY_RECIPIENT || !v->callout_use_sender ||
	    !delivery_fits(s, rd) || !same_way(c->rd.p[0], rd) || c->rd.len > t->rcpts.len + 1)
		return (false);
	max = rd->transport->d.own[EXIM_SMTP_max_rcpt].num;
	*res = EXIM_OK;
	out->asked = true;
	/* The ACL asks again. */
	if (c->rd.len == t->rcpts.len + 1)
		return (sv_eq(c->rd.p[c->rd.len - 1]->addr->address, rd->addr->address));
	if (max > 0 && (int64_t)c->rd.len >= max)
		return (false);
	line = arena_fmt(s->cmd, "RCPT TO:<" SV_FMT ">", SV_ARG(deliver_rcpt_address(rd, s->cmd)));
	if (strpbrk(line, "\r\n") != NULL)
		return (false);
	code = deliver_ask(c->conn, line, exim_callout_timeout(v) * 1000, &text, &e);
	reply = sv_taint(arena_sv(s->cmd, sb_sv(&text)));
	sb_free(&text);
	if (code / 100 == 2) {
		add(s, c, rd, rd->addr->address);
		return (true);
	}
	session_cut_cancel(s);
	if (code / 100 != 5)
		return (false);
	*res = EXIM_FAIL;
	out->failure = SV_LIT("recipient");
	out->log_msg = sv_cstr(arena_fmt(s->cmd, "response to \"%s\" was: " SV_FMT, line, SV_ARG(reply)));
	out->user_msg = sv_cstr(arena_fmt(s->cmd, "Callout verification failed:\n" SV_FMT, SV_ARG(reply)));
	return (true);
}

void
session_cut_rcpt_refused(struct session *s)
{
	struct txn *t = s->txn;

	if (t != NULL && t->cut != NULL && t->cut->rd.len > t->rcpts.len)
		give_up(s);
}

/* The host does not take it. */
static bool
refused(struct session *s, enum exim_result r, const struct exim_verify_result *out)
{
	struct exim_acl_result res = { .verdict = r == EXIM_DEFER ? EXIM_ACL_DEFER : EXIM_ACL_DENY,
	    .log_targets = SESSION_LOG_MAIN | SESSION_LOG_REJECT, .log_msg = out->log_msg };

	if (r == EXIM_DEFER) {
		/* What it said comes last in the log's text: "... after RCPT TO:<x>: 450 later". */
		struct sv said = out->log_msg;
		ptrdiff_t at;

		while ((at = sv_find(said, SV_LIT(">: "))) >= 0)
			said = sv_sub(said, (size_t)at + 3, said.len);
		res.details = said.len > 4 && said.len < out->log_msg.len && said.p[0] == '4' &&
		    sv_isdigit(said.p[1]) && sv_isdigit(said.p[2]);
		if (res.details) {
			res.code = (said.p[0] - '0') * 100 + (said.p[1] - '0') * 10 + said.p[2] - '0';
			res.user_msg = sv_sub(said, 4, said.len);
			res.log_msg = said;
		}
	}
	session_acl_refuse(s, EXIM_WHERE_RCPT, s->c.path_text, &res);
	return (false);
}

bool
session_cut_rcpt(struct session *s, struct sv addr)
{
	struct txn *t = s->txn;
	struct exim_verify v = { .what = EXIM_VERIFY_RECIPIENT, .address = addr, .callout = true, .callout_use_sender = true,
	    .callout_no_cache = true };
	struct exim_verify_result out = { .details = false };
	enum exim_result r;

	if (!t->cut_on)
		return (true);
	if (!message_fits(s) || s->c.notify != 0 || s->c.orcpt.p != NULL || (t->cut == NULL && t->rcpts.len > 0)) {
		give_up(s);
		return (true);
	}
	if (t->cut != NULL && t->cut->rd.len == t->rcpts.len + 1)
		return (true);
	s->acl.where = EXIM_WHERE_RCPT;
	t->cut_asks = true;
	r = session_verify(s, &s->env, &v, &out);
	t->cut_asks = false;
	if (r == EXIM_OK && t->cut != NULL && t->cut->rd.len == t->rcpts.len + 1)
		return (true);
	give_up(s);
	if (r == EXIM_OK || (r == EXIM_DEFER && !t->cut_pass))
		return (true);
	return (refused(s, r, &out));
}

/* ---- content ---- */

void
session_cut_data(struct session *s)
{
	struct txn *t = s->txn;
	struct deliver_error e = DELIVER_ERROR_INIT;
	struct sb text = SB_INIT(REPLY_MAX);

	if (t->cut == NULL)
		return;
	if (t->cut->rd.len != t->rcpts.len || !message_fits(s))
		give_up(s);
	else if (deliver_ask(t->cut->conn, "DATA", COMMAND_MS, &text, &e) / 100 != 3)
		give_up(s);
	else {
		t->cut->data = true;
		t->cut->st = SMTP_DATA_LINE_START;
	}
	sb_free(&text);
}

static int
put(struct session *s, struct sv piece)
{
	struct session_cut *c = s->txn->cut;
	struct deliver_error e = DELIVER_ERROR_INIT;
	int64_t ms = c->rd.p[0]->transport->d.own[EXIM_SMTP_data_timeout].num * 1000;

	return (deliver_data_put(c->conn, piece, &c->st, ms > 0 ? ms : COMMAND_MS, &e));
}

/* $local_part and its kin, $host: for options of the header. */
static void
set_address(struct session *s, struct exim_address *a)
{
	const struct deliver_host *h = deliver_conn_host(s->txn->cut->conn);
	char text[NET_ADDR_TEXT_MAX];

	route_world_delivery(a, s->txn->cut->rd.p[0], s->txn->arena);
	a->host = sv_cstr(h->name);
	a->host_address = sv_cstr(arena_str(s->txn->arena, net_addr_text(&h->addr, text)));
	a->host_port = h->addr.port;
}

/* The received fields with what session and ACLs make of them, as the spool would have them. */
static int
own_header(struct session *s, struct sv content, struct sb *all, struct err *err)
{
	struct txn *t = s->txn;
	struct header_parts h;
	int rc;

	t->gone = arena_zalloc(t->arena, t->headers.n + 1);
	t->msg.headers = &t->headers;
	t->msg.headers_gone = t->gone;
	t->msg.received_time = (int64_t)time(NULL);
	if (t->rcpts.len == 1)
		t->msg.received_for = t->rcpts.p[0].addr;
	rc = session_received(s, err);
	if (rc == 0) {
		session_fixups(s);
		rc = session_headers(s, &h, err);
		sb_add(all, sb_sv(&h.top));
		if (h.edited)
			sb_add(all, sb_sv(&h.fields));
		else if (t->headers.n > 0)
			sb_add(all, sv_sub(content, t->headers.v[0].offset, t->headers.fields_end));
		sb_add(all, sb_sv(&h.bottom));
		sb_adds(all, "\r\n");
		session_headers_free(&h);
	}
	/* All of that is done again when the message is whole. */
	t->fixes.len = t->seen.len = 0;
	t->hide_bcc = false;
	t->gone = NULL;
	t->msg.added = NULL;
	t->msg.nadded = 0;
	t->msg.headers_gone = NULL;
	t->msg.received_for = SV_NULL;
	return (rc == 0 && !all->overflow ? 0 : -1);
}

static int
whole_header(struct session *s, struct sv own, struct sb *out, struct err *err)
{
	struct txn *t = s->txn;
	struct session_cut *c = t->cut;
	struct exim_address addr, *old = s->env.addr;
	struct mail_headers *h = arena_zalloc(t->arena, sizeof(*h));
	struct transport_delivery td = { .env = &s->env, .t = c->rd.p[0]->transport, .rd = c->rd.p, .n = c->rd.len,
	    .now = (int64_t)time(NULL), .arena = t->arena };
	struct sv return_path = t->msg.return_path;
	int rc;

	mail_headers_parse(h, t->arena, own, MAIL_HEADERS_STOP | MAIL_HEADERS_MBOX);
	if (h->truncated || !h->empty_line)
		return (-1);
	set_address(s, &addr);
	s->env.msg = &t->msg;
	s->env.addr = &addr;
	t->msg.headers = h;
	t->msg.return_path = t->msg.sender;
	rc = transport_header(&td, out, err);
	t->msg.return_path = return_path;
	s->env.addr = old;
	return (rc == 0 && !out->overflow ? 0 : -1);
}

void
session_cut_header(struct session *s)
{
	struct txn *t = s->txn;
	struct session_cut *c = t->cut;
	struct err err = ERR_INIT;
	struct sb own = SB_INIT(HEADER_MAX), out = SB_INIT(HEADER_MAX);
	struct sv content, body;
	bool ok;

	if (c == NULL || c->body || t->data.in_header)
		return;
	if (t->content.fd != -1 || t->content.too_big || t->content.failed || content_view(&t->content, &content, &err) == -1) {
		give_up(s);
		return;
	}
	mail_headers_parse(&t->headers, t->arena, content, MAIL_HEADERS_STOP | MAIL_HEADERS_MBOX);
	ok = !t->headers.truncated && t->headers.empty_line && own_header(s, content, &own, &err) == 0 &&
	    whole_header(s, arena_sv(t->arena, sb_sv(&own)), &out, &err) == 0;
	body = sv_sub(content, t->headers.body_start, content.len);
	memset(&t->headers, 0, sizeof(t->headers));
	t->msg.headers = NULL;
	c->body = true;
	c->headers = t->fx.headers.len;
	c->removals = t->fx.remove.len;
	if (!ok || put(s, sb_sv(&out)) == -1 || put(s, body) == -1)
		give_up(s);
	sb_free(&own);
	sb_free(&out);
}

void
session_cut_body(struct session *s, struct sv piece)
{
	if (s->txn->cut != NULL && s->txn->cut->body && put(s, piece) == -1)
		give_up(s);
}

/* ---- the end ---- */

static void
log_host(struct session *s, const struct session_cut *c, struct sb *out)
{
	const struct deliver_host *h = deliver_conn_host(c->conn);
	const char *cv = deliver_verified(c->conn), *dn = deliver_peerdn(c->conn);
	char text[NET_ADDR_TEXT_MAX];
	struct net_addr bare = h->addr;

	bare.port = 0;
	sb_addf(out, " H=%s [%s]", h->name, net_addr_text(&bare, text));
	if (session_logs(s, EXIM_LOGSEL_outgoing_port))
		sb_addf(out, ":%u", h->addr.port);
	if (session_logs(s, EXIM_LOGSEL_incoming_interface) && session_logs(s, EXIM_LOGSEL_outgoing_interface)) {
		bare = *deliver_local(c->conn);
		bare.port = 0;
		sb_addf(out, " I=[%s]", net_addr_text(&bare, text));
		if (session_logs(s, EXIM_LOGSEL_outgoing_port))
			sb_addf(out, ":%u", deliver_local(c->conn)->port);
	}
	if (cv == NULL)
		return;
	if (session_logs(s, EXIM_LOGSEL_tls_cipher))
		sb_addf(out, " X=%s", deliver_cipher(c->conn));
	if (session_logs(s, EXIM_LOGSEL_tls_certificate_verified))
		sb_addf(out, " CV=%s", cv);
	if (session_logs(s, EXIM_LOGSEL_tls_peerdn) && *dn != '\0')
		sb_addf(out, " DN=\"%s\"", dn);
}

/* Recipient <i>: ">> x@y.test R=r T=t H=h C="250 ok"", or what came instead. */
static void
log_one(struct session *s, size_t i, const char *instead, struct sv said)
{
	const struct session_cut *c = s->txn->cut;
	const struct route_delivery *rd = c->rd.p[i];
	struct sb line = SB_INIT(16384);
	struct sv one;
	const struct route_addr *top = rd->addr;

	while (top->parent != NULL)
		top = top->parent;
	if (instead == NULL)
		sb_adds(&line, ">> ");
	else {
		session_log_host(s, &line);
		sb_addc(&line, ' ');
	}
	sb_add(&line, rd->addr->address);
	if (top != rd->addr && !sv_eq(top->address, rd->addr->address))
		sb_addf(&line, " <" SV_FMT ">", SV_ARG(top->address));
	if (instead != NULL)
		sb_addf(&line, " F=<" SV_FMT "> %s", SV_ARG(s->txn->msg.sender), instead);
	if (rd->router != NULL)
		sb_addf(&line, " R=%s", rd->router->d.name);
	sb_addf(&line, " T=%s", rd->transport->d.name);
	log_host(s, c, &line);
	if (instead != NULL || session_logs(s, EXIM_LOGSEL_smtp_confirmation)) {
		sb_adds(&line, " C=\"");
		while (sv_next(&said, '\n', &one))
			sb_addf(&line, SV_FMT "%s", SV_ARG(one), said.len > 0 ? "\\n" : "");
		sb_addc(&line, '"');
	}
	if (instead != NULL && strncmp(instead, "tmp", 3) != 0)
		session_log_reject(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, sb_cstr(&line));
	else
		session_log_line(s, SESSION_LOG_MAIN, &line);
	sb_free(&line);
}

/* The host's answer is ours, its code with it. */
static void
pass_on(struct session *s, int code, struct sv said)
{
	struct sb text = SB_INIT(REPLY_MAX);
	struct sv line;

	while (sv_next(&said, '\n', &line)) {
		if (text.len > 0)
			sb_addc(&text, '\n');
		sb_add(&text, sv_sub(line, 4, line.len));
	}
	session_reply(s, (unsigned)code, NULL, sb_sv(&text));
	sb_free(&text);
}

enum cut_end
session_cut_end(struct session *s)
{
	struct txn *t = s->txn;
	struct session_cut *c = t->cut;
	struct deliver_error e = DELIVER_ERROR_INIT;
	struct sb text = SB_INIT(REPLY_MAX);
	enum cut_end how = CUT_NONE;
	struct sv said;
	int64_t ms;
	int code;

	if (c == NULL || !c->body || !message_fits(s) || c->rd.len != t->rcpts.len) {
		session_cut_cancel(s);
		return (CUT_NONE);
	}
	if (t->fx.headers.len != c->headers || t->fx.remove.len != c->removals)
		session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_PANIC,
		    "Header modification in data ACLs will not take effect on cutthrough deliveries");
	ms = c->rd.p[0]->transport->d.own[EXIM_SMTP_final_timeout].num * 1000;
	code = deliver_data_end(c->conn, &c->st, ms > 0 ? ms : COMMAND_MS, &text, &e);
	c->data = false;
	said = code != 0 ? arena_sv(s->cmd, sb_sv(&text)) : sv_cstr(arena_str(s->cmd, e.err.text));
	sb_free(&text);
	for (size_t i = c->rd.len; i > 0; i--)
		log_one(s, i - 1, code / 100 == 2 ? NULL : code / 100 == 5 ? "rejected after DATA:" :
		    "tmp-reject from cutthrough after DATA:", said);
	if (code / 100 == 2)
		how = CUT_TAKEN;
	else if (code / 100 == 5 || (code / 100 == 4 && t->cut_pass)) {
		pass_on(s, code, said);
		how = CUT_ANSWERED;
	} else if (t->cut_pass) {
		session_reply(s, 450, "4.4.2", SV_LIT("Onward transmission not accepted; retry later"));
		how = CUT_ANSWERED;
	} else
		how = CUT_WAITS;
	session_cut_cancel(s);
	return (how);
}
