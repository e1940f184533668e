/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connection of callouts: hosts and manners of the transport that a verified address was routed to, spoken to by
 * lib/deliver.  What is asked, and what is remembered, is lib/exim's.
 */
#include "deliver/ask.h"
#include "deliver/options.h"
#include "exim/callout.h"
#include "exim/option.h"
#include "exim/report.h"
#include "io/tls.h"
#include "route/world.h"
#include "session/callout.h"
#include "session/cutthrough.h"
#include "session/session_int.h"

#define SMTP_PORT	25
#define REPLY_MAX	4096

struct line {
	struct session	*s;
	struct exim_env	*env;
	const struct exim_transport *t;
	const struct route_delivery *rd;
	struct arena	*a;
	const struct exim_verify *v;
	struct deliver_hosts hosts;
	struct deliver_opts opts;
	struct deliver_conn *conn;
	bool		 hold;		/* it may be kept */
};

/* Of all callouts of this process. */
static struct deliver_tls *contexts;

/* ---- the transport ---- */

/* Where the router names none: an smtp transport without any option. */
static const struct exim_transport *
plain_transport(struct arena *a)
{
	struct exim_report rep = EXIM_REPORT_INIT;
	struct exim_opt_ctx ctx = { .arena = a, .rep = &rep };
	struct exim_transport *t = arena_zalloc(a, sizeof(*t));
	struct exim_value *generic, *own;

	t->d.name = t->d.driver = "smtp";
	t->drv = EXIM_TRANSPORT_DRV_SMTP;
	t->d.generic_table = exim_opt_table(EXIM_KIND_TRANSPORT, SV_NULL);
	t->d.table = exim_opt_table(EXIM_KIND_TRANSPORT, SV_LIT("smtp"));
	generic = arena_zalloc(a, t->d.generic_table->n * sizeof(*generic));
	own = arena_zalloc(a, t->d.table->n * sizeof(*own));
	exim_opt_defaults(&ctx, t->d.generic_table, generic);
	exim_opt_defaults(&ctx, t->d.table, own);
	t->d.generic = generic;
	t->d.own = own;
	return (t);
}

/* A callout asks whatever host the address was routed to, be it this one. */
static int
find_hosts(struct line *l, struct err *err)
{
	struct route_ops ops = *l->s->sv->route;
	struct route_delivery rd = *l->rd;

	ops.is_local = NULL;
	rd.transport = l->t;
	return (deliver_find_hosts(&l->hosts, l->env, &ops, &rd, SMTP_PORT, l->a, err));
}

/* As a delivery would speak to <h>, but for the times and hosts_verify_avoid_tls. */
static int
set_opts(struct line *l, const struct deliver_host *h, struct deliver_error *e)
{
	struct deliver_opts *o = &l->opts;

	if (contexts == NULL)
		contexts = deliver_tls_new();
	if (deliver_options(o, l->env, l->t, h, contexts, l->a, e) == -1)
		return (-1);
	/* One that may be kept is to carry the message, too. */
	if (!l->hold && !o->tls_require && deliver_host_listed(l->env, &l->t->d.own[EXIM_SMTP_hosts_verify_avoid_tls], h))
		o->tls_try = false;
	o->connect_ms = exim_callout_connect(l->v) * 1000;
	o->command_ms = o->data_ms = o->final_ms = exim_callout_timeout(l->v) * 1000;
	return (0);
}

/* ---- struct exim_callout_peer ---- */

static const char *
line_name(void *arg, size_t host)
{
	const struct line *l = arg;
	char text[NET_ADDR_TEXT_MAX];

	return (arena_fmt(l->a, "%s [%s]", l->hosts.v[host].name, net_addr_text(&l->hosts.v[host].addr, text)));
}

static const char *
line_address(void *arg, size_t host)
{
	const struct line *l = arg;
	char text[NET_ADDR_TEXT_MAX];

	return (arena_str(l->a, net_addr_text(&l->hosts.v[host].addr, text)));
}

/* deliver_open says "SMTP error from remote mail server after WHAT: REPLY". */
static void
take_refusal(struct line *l, const struct deliver_error *e, struct exim_callout_reply *r)
{
	static const char front[] = "SMTP error from remote mail server after ";
	struct sv v = sv_cstr(arena_str(l->a, e->err.text));
	ptrdiff_t colon;

	/* Below zero are the numbers of what failed without an answer. */
	r->code = e->code > 0 ? e->code : 0;
	/* "connect to 192.0.2.1 port 25: why": the host is named already. */
	if (sv_starts(v, "connect to ") && (colon = sv_find(v, SV_LIT(" port "))) > 0 && (colon = sv_find(v, SV_LIT(": "))) > 0)
		v = sv_sub(v, (size_t)colon + 2, v.len);
	r->text = sv_taint(v);
	if (!sv_starts(v, front))
		return;
	v = sv_sub(v, sizeof(front) - 1, v.len);
	colon = sv_find(v, SV_LIT(": "));
	if (colon < 0)
		return;
	r->what = arena_cstr(l->a, sv_sub(v, 0, (size_t)colon));
	r->text = sv_taint(sv_sub(v, (size_t)colon + 2, v.len));
}

static bool
line_open(void *arg, size_t host, struct exim_callout_reply *r)
{
	struct line *l = arg;
	struct deliver_error e = DELIVER_ERROR_INIT;
	const struct deliver_host *h = &l->hosts.v[host];
	struct exim_address addr, *old = l->env->addr;
	bool up;

	deliver_close(&l->conn);
	deliver_options_free(&l->opts);
	route_world_delivery(&addr, l->rd, l->a);
	l->env->addr = &addr;
	up = set_opts(l, h, &e) == 0 && deliver_open(&l->conn, h, &l->opts, &e) == 0;
	l->env->addr = old;
	if (up)
		return (true);
	l->conn = NULL;
	take_refusal(l, &e, r);
	return (false);
}

static void
line_command(void *arg, const char *line, struct exim_callout_reply *r)
{
	struct line *l = arg;
	struct deliver_error e = DELIVER_ERROR_INIT;
	struct sb text = SB_INIT(REPLY_MAX);

	r->code = deliver_ask(l->conn, line, exim_callout_timeout(l->v) * 1000, &text, &e);
	r->text = sv_taint(r->code != 0 ? arena_sv(l->a, sb_sv(&text)) : sv_cstr(arena_str(l->a, e.err.text)));
	sb_free(&text);
}

static void
line_close(void *arg)
{
	struct line *l = arg;

	if (!l->hold)
		deliver_close(&l->conn);
}

enum exim_result
session_callout(struct session *s, struct exim_env *env, const struct exim_verify *v, const struct route_delivery *rd,
    struct sv address, struct exim_verify_result *out)
{
	struct exim_callout_peer peer = { .name = line_name, .address = line_address, .open = line_open,
	    .command = line_command, .close = line_close };
	enum exim_result res = EXIM_OK;
	struct line *l;
	struct err err = ERR_INIT;
	bool hold;

	if (rd->kind != ROUTE_TO_TRANSPORT || (rd->transport != NULL && rd->transport->drv != EXIM_TRANSPORT_DRV_SMTP))
		return (EXIM_OK);
	if (session_cut_ask(s, v, rd, out, &res))
		return (res);
	if (session_cut_only(s))
		return (EXIM_OK);
	hold = session_cut_wants(s, v, rd);
	l = arena_zalloc(hold ? s->txn->arena : s->cmd, sizeof(*l));
	l->hold = hold;
	l->s = s;
	l->env = env;
	l->rd = rd;
	l->a = hold ? s->txn->arena : s->cmd;
	l->t = rd->transport == NULL ? plain_transport(l->a) : rd->transport;
	l->v = v;
	if (find_hosts(l, &err) == -1) {
		out->log_msg = sv_cstr(arena_str(s->cmd, err.text));
		return (EXIM_DEFER);
	}
	/* Nobody is named who could be asked. */
	if (l->hosts.fallback == 0 && l->hosts.unknown == NULL)
		return (EXIM_OK);
	if (!s->acl.fx->ctl[EXIM_CTL_NO_CALLOUT_FLUSH])
		(void)stream_flush(s->io);
	peer.arg = l;
	peer.rcpt = deliver_rcpt_address(rd, l->a);
	peer.nhosts = l->hosts.fallback;
	res = exim_callout(env, v, address, &peer, out);
	if (hold && res == EXIM_OK && l->conn != NULL && session_cut_keep(s, &l->conn, &l->opts, rd, arena_cstr(s->cmd, address)))
		return (res);
	deliver_close(&l->conn);
	deliver_options_free(&l->opts);
	return (res);
}
