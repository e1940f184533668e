/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connection of callouts: hosts and manners of the transport that a verified address was routed to, spoken to by
 * lib/deliver.  What is asked, and what is remembered, is lib/exim's.
 */
#include "base/num.h"
#include "deliver/ask.h"
#include "exim/callout.h"
#include "exim/option.h"
#include "io/tls.h"
#include "session/callout.h"
#include "session/cutthrough.h"
#include "session/session_int.h"

#define HOSTS_MAX	20
#define SMTP_PORT	25
#define SMTPS_PORT	465
#define LMTP_PORT	2003
#define REPLY_MAX	4096

struct line {
	struct session	*s;
	struct exim_env	*env;
	const struct exim_value *o;	/* options of the smtp transport; NULL: none is known */
	struct arena	*a;
	const struct exim_verify *v;
	struct deliver_host host[HOSTS_MAX];
	size_t		 n;
	uint16_t	 port;
	struct deliver_opts opts;
	struct deliver_conn *conn;
	bool		 hold;		/* it may be kept */
};

/* One context for all: callouts ask for no certificate. */
static struct tls_client *any_certificate;

/* ---- options of the transport ---- */

static struct sv
text_of(struct line *l, const struct exim_value *v)
{
	struct err err = ERR_INIT;
	struct sv out = SV_NULL;

	if (v->str == NULL)
		return (v->text);
	return (exim_expand(v->str, l->env, &out, &err) == EXIM_OK ? out : SV_NULL);
}

static bool
host_in(struct line *l, enum exim_smtp_opt opt, const struct deliver_host *h)
{
	struct exim_host eh = { .addr = h->addr, .name = sv_cstr(h->name) };
	char text[NET_ADDR_TEXT_MAX];
	struct err err = ERR_INIT;
	bool yes = false;

	if (l->o == NULL || l->o[opt].list == NULL)
		return (false);
	eh.address = sv_cstr(arena_str(l->a, net_addr_text(&h->addr, text)));
	return (exim_match_host(l->o[opt].list, l->env, &eh, &yes, NULL, &err) == EXIM_OK && yes);
}

static uint16_t
port_of(struct line *l)
{
	struct sv v = l->o == NULL ? SV_NULL : text_of(l, &l->o[EXIM_SMTP_port]);
	int64_t n;

	if (v.len > 0 && num_parse(sv_trim(v), 1, 65535, &n))
		return ((uint16_t)n);
	if (sv_eqs(v, "smtps") || sv_eqs(v, "submissions"))
		return (SMTPS_PORT);
	if (sv_eqs(v, "submission"))
		return (587);
	if (l->o != NULL && sv_eqs(l->o[EXIM_SMTP_protocol].text, "smtps"))
		return (SMTPS_PORT);
	return (l->o != NULL && sv_eqs(l->o[EXIM_SMTP_protocol].text, "lmtp") ? LMTP_PORT : SMTP_PORT);
}

static void
add_host(struct line *l, const char *name, struct net_addr addr)
{
	if (l->n >= HOSTS_MAX)
		return;
	if (addr.port == 0)
		addr.port = l->port;
	l->host[l->n++] = (struct deliver_host){ .name = name, .addr = addr, .mx = -1 };
}

/* "name", "name:port" or an address, of the transport's hosts. */
static void
add_named(struct line *l, struct sv item)
{
	const struct exim_world *w = l->env->world;
	struct net_addr one, *addrs;
	ptrdiff_t colon = sv_rchr(item, ':');
	uint16_t port = l->port;
	int64_t p;
	size_t n = 0;

	if (net_addr_parse_port(item, 0, &one)) {
		add_host(l, arena_cstr(l->a, item), one);
		return;
	}
	if (colon > 0 && num_parse(sv_sub(item, (size_t)colon + 1, item.len), 1, 65535, &p)) {
		port = (uint16_t)p;
		item = sv_sub(item, 0, (size_t)colon);
	}
	if (w->addrs == NULL || w->addrs(w->arg, arena_cstr(l->a, item), l->a, &addrs, &n) != EXIM_FOUND)
		return;
	for (size_t i = 0; i < n; i++) {
		addrs[i].port = port;
		add_host(l, arena_cstr(l->a, item), addrs[i]);
	}
}

static void
find_hosts(struct line *l, const struct route_delivery *rd)
{
	struct sv list, item;
	int sep = 0;

	if (rd->nhosts == 0 || (l->o != NULL && l->o[EXIM_SMTP_hosts_override].num != 0)) {
		list = l->o == NULL ? SV_NULL : text_of(l, &l->o[EXIM_SMTP_hosts]);
		while (exim_list_next(&list, &sep, l->a, &item))
			add_named(l, item);
		return;
	}
	for (size_t i = 0; i < rd->nhosts; i++)
		if (!rd->hosts[i].unknown)
			add_host(l, rd->hosts[i].name, rd->hosts[i].addr);
}

static void
set_interface(struct line *l, const struct deliver_host *h)
{
	struct sv list = text_of(l, &l->o[EXIM_SMTP_interface]), item;
	struct net_addr one;
	int sep = 0;

	while (exim_list_next(&list, &sep, l->a, &item))
		if (net_addr_parse(item, &one) && one.family == h->addr.family) {
			l->opts.from = arena_dup(l->a, &one, sizeof(one));
			return;
		}
}

static void
set_tls(struct line *l, const struct deliver_host *h)
{
	struct deliver_opts *o = &l->opts;
	struct err err = ERR_INIT;

	o->tls_require = host_in(l, EXIM_SMTP_hosts_require_tls, h);
	o->tls_try = o->tls_require ||
	    (!host_in(l, EXIM_SMTP_hosts_avoid_tls, h) && !host_in(l, EXIM_SMTP_hosts_verify_avoid_tls, h));
	o->tls_on_connect = l->o != NULL && sv_eqs(l->o[EXIM_SMTP_protocol].text, "smtps");
	o->tls_clear_after_fail = !o->tls_require;
	if (!o->tls_try && !o->tls_on_connect)
		return;
	if (any_certificate == NULL && (any_certificate = tls_client_new(NULL, false, &err)) == NULL)
		session_logf(l->s, SESSION_LOG_MAIN | SESSION_LOG_PANIC, "TLS of callouts: %s", err.text);
	o->tls = any_certificate;
}

/* How to speak to <h>; $host and $host_address are set for it. */
static void
set_opts(struct line *l, const struct deliver_host *h)
{
	struct exim_address addr, *old = l->env->addr;
	const struct exim_session *x = l->env->session;
	char text[NET_ADDR_TEXT_MAX];
	struct sv helo = SV_NULL;

	memset(&l->opts, 0, sizeof(l->opts));
	l->opts.dscp = -1;
	if (old != NULL)
		addr = *old;
	else
		memset(&addr, 0, sizeof(addr));
	addr.host = sv_cstr(h->name);
	addr.host_address = sv_cstr(arena_str(l->a, net_addr_text(&h->addr, text)));
	addr.host_port = h->addr.port;
	l->env->addr = &addr;
	if (l->o != NULL) {
		helo = text_of(l, &l->o[EXIM_SMTP_helo_data]);
		l->opts.lmtp = sv_eqs(l->o[EXIM_SMTP_protocol].text, "lmtp");
		set_interface(l, h);
	}
	if (helo.len == 0)
		helo = x != NULL && x->active_hostname.len > 0 ? x->active_hostname : l->env->g->primary_hostname;
	l->opts.helo = arena_cstr(l->a, helo);
	l->opts.esmtp = !host_in(l, EXIM_SMTP_hosts_avoid_esmtp, h);
	set_tls(l, h);
	l->env->addr = old;
	l->opts.connect_ms = exim_callout_connect(l->v) * 1000;
	l->opts.command_ms = l->opts.data_ms = l->opts.final_ms = exim_callout_timeout(l->v) * 1000;
}

/* ---- struct exim_callout_peer ---- */

static const char *
line_name(void *arg, size_t host)
{
	const struct line *l = arg;
	char text[NET_ADDR_TEXT_MAX];

	return (arena_fmt(l->a, "%s [%s]", l->host[host].name, net_addr_text(&l->host[host].addr, text)));
}

static const char *
line_address(void *arg, size_t host)
{
	const struct line *l = arg;
	char text[NET_ADDR_TEXT_MAX];

	return (arena_str(l->a, net_addr_text(&l->host[host].addr, text)));
}

/* deliver_open says "SMTP error from remote mail server after WHAT: REPLY". */
static void
take_refusal(struct line *l, const struct deliver_error *e, struct exim_callout_reply *r)
{
	static const char front[] = "SMTP error from remote mail server after ";
	struct sv v = sv_cstr(arena_str(l->a, e->err.text));
	ptrdiff_t colon;

	r->code = e->code;
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

	deliver_close(&l->conn);
	set_opts(l, &l->host[host]);
	if (deliver_open(&l->conn, &l->host[host], &l->opts, &e) == 0)
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
	l->o = rd->transport == NULL ? NULL : rd->transport->d.own;
	l->a = hold ? s->txn->arena : s->cmd;
	l->v = v;
	l->port = port_of(l);
	find_hosts(l, rd);
	if (l->n == 0)
		return (EXIM_OK);
	if (!s->acl.fx->ctl[EXIM_CTL_NO_CALLOUT_FLUSH])
		(void)stream_flush(s->io);
	peer.arg = l;
	peer.nhosts = l->n;
	res = exim_callout(env, v, address, &peer, out);
	if (hold && res == EXIM_OK && l->conn != NULL)
		session_cut_keep(s, &l->conn, rd, arena_cstr(s->cmd, address));
	deliver_close(&l->conn);
	return (res);
}
