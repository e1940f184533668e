/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Others who speak for the client: a load balancer with the PROXY protocol in front of all else (hosts_proxy), and
 * XCLIENT, which a mail server of ours says (hosts_xclient).
 */
#include <string.h>

#include "fiber/fiber.h"
#include "net/proxy.h"
#include "session/session_int.h"
#include "smtp/command.h"

/* ---- who the client is ---- */

static void
set_client(struct session *s, const struct net_addr *a)
{
	struct exim_session *x = &s->x;

	x->addr = *a;
	x->host_address = sv_cstr(net_addr_text(a, s->peer_text));
	x->host_port = a->port;
	x->host_name = SV_NULL;
	x->host_lookup = EXIM_HOST_UNTRIED;
	x->host_lookup_msg = SV_NULL;
	x->ident = SV_NULL;
}

/* What is told of the connection to us. */
static void
note_proxy(struct session *s)
{
	s->x.proxy = true;
	if (s->x.proxy_local_address.len > 0)
		return;
	s->x.proxy_local_address = arena_sv(s->arena, s->x.host_address);
	s->x.proxy_local_port = s->x.host_port;
}

/* ---- the PROXY protocol ---- */

/* Exactly the bytes of the header: what stands behind it is the client's. */
static bool
read_header(struct session *s, struct net_proxy *p)
{
	int64_t until = FIBER_NOW_PLUS(session_time(s, EXIM_MAIN_proxy_protocol_timeout, 3) * 1000);
	struct sb in = SB_INIT(PROXY_V2_MAX);
	enum net_proxy_result r;
	struct sv piece;
	size_t need;

	while ((r = net_proxy_parse(sb_sv(&in), p, &need)) == NET_PROXY_MORE && fiber_now() < until) {
		stream_set_timeout(s->io, until - fiber_now(), s->timeout_ms);
		if (stream_read(s->io, need, &piece) != STREAM_OK)
			break;
		sb_add(&in, piece);
	}
	sb_free(&in);
	/* What was no header is no command either. */
	if (r != NET_PROXY_OK && stream_has_input(s->io) && stream_peek(s->io, &piece) == STREAM_OK)
		stream_skip(s->io, piece.len);
	stream_set_timeout(s->io, s->timeout_ms, s->timeout_ms);
	return (r == NET_PROXY_OK);
}

void
session_proxy(struct session *s)
{
	char text[NET_ADDR_TEXT_MAX];
	struct net_proxy p;

	if (s->x.addr.family == 0 || s->conf->main[EXIM_MAIN_hosts_proxy].list == NULL || !session_client_in(s, EXIM_MAIN_hosts_proxy))
		return;
	s->x.proxy = true;
	if (!read_header(s, &p)) {
		s->proxy_failed = true;
		return;
	}
	if (!p.known)
		return;
	note_proxy(s);
	s->x.proxy_external_address = sv_cstr(arena_str(s->arena, net_addr_text(&p.dest, text)));
	s->x.proxy_external_port = p.dest.port;
	set_client(s, &p.source);
	s->behind = p.source;
}

/* ---- XCLIENT ---- */

bool
session_xclient_offer(struct session *s)
{
	const struct exim_list *l = s->conf->main[EXIM_MAIN_hosts_xclient].list;
	struct net_addr now = s->x.addr;
	struct sv text = s->x.host_address;
	char peer[NET_ADDR_TEXT_MAX];
	bool yes;

	if (l == NULL || s->conn->peer.family == 0)
		return (false);
	/* It is the server that speaks to us who may: not whom it speaks for, nor a balancer that passes anybody's words on. */
	s->x.addr = s->behind.family != 0 ? s->behind : s->conn->peer;
	s->x.host_address = sv_cstr(net_addr_text(&s->x.addr, peer));
	yes = session_client_in(s, EXIM_MAIN_hosts_xclient);
	s->x.addr = now;
	s->x.host_address = text;
	return (yes);
}

struct given {
	struct session	*s;
	struct net_addr	 client, here;
	struct sv	 name, login, helo;
	bool		 has_name, has_login, has_helo, has_proto, esmtp;
};

static bool
xaddress(struct sv v, struct net_addr *a)
{
	uint16_t port = a->port;

	if (sv_casestarts(v, "IPV6:"))
		v = sv_sub(v, 5, v.len);
	if (!net_addr_parse(v, a))
		return (false);
	a->port = port;
	return (true);
}

static bool
is_clean(struct sv v)
{
	for (size_t i = 0; i < v.len; i++)
		if ((unsigned char)v.p[i] < ' ' || v.p[i] == 127)
			return (false);
	return (true);
}

/* NAME=VALUE; "[UNAVAILABLE]" and "[TEMPUNAVAIL]" are none. */
static bool
take(struct given *g, struct sv item)
{
	ptrdiff_t eq = sv_chr(item, '=');
	struct sb raw = SB_INIT(1024);
	struct sv key, v;

	if (eq <= 0 || !smtp_xtext_decode(&raw, sv_sub(item, (size_t)eq + 1, item.len)))
		goto bad;
	key = sv_sub(item, 0, (size_t)eq);
	v = sv_taint(arena_sv(g->s->arena, sb_sv(&raw)));
	sb_free(&raw);
	if (!is_clean(v) || v.len > 255)
		return (false);
	if (sv_caseeqs(v, "[UNAVAILABLE]") || sv_caseeqs(v, "[TEMPUNAVAIL]"))
		v = SV_NULL;
	if (sv_caseeqs(key, "ADDR"))
		return (v.len == 0 || xaddress(v, &g->client));
	if (sv_caseeqs(key, "PORT"))
		return (v.len == 0 || net_port_parse(v, &g->client.port));
	if (sv_caseeqs(key, "DESTADDR"))
		return (v.len == 0 || xaddress(v, &g->here));
	if (sv_caseeqs(key, "DESTPORT"))
		return (v.len == 0 || net_port_parse(v, &g->here.port));
	if (sv_caseeqs(key, "NAME")) {
		g->has_name = true;
		g->name = v;
	} else if (sv_caseeqs(key, "LOGIN")) {
		g->has_login = true;
		g->login = v;
	} else if (sv_caseeqs(key, "HELO")) {
		g->has_helo = v.len > 0;
		g->helo = v;
	} else if (sv_caseeqs(key, "PROTO")) {
		g->has_proto = true;
		g->esmtp = sv_caseeqs(v, "ESMTP");
		return (g->esmtp || v.len == 0 || sv_caseeqs(v, "SMTP"));
	} else
		return (false);
	return (true);
bad:
	sb_free(&raw);
	return (false);
}

static void
apply(struct given *g)
{
	struct session *s = g->s;
	struct exim_session *x = &s->x;

	note_proxy(s);
	set_client(s, &g->client);
	x->interface = g->here;
	x->interface_address = sv_cstr(net_addr_text(&g->here, s->local_text));
	x->interface_port = g->here.port;
	if (g->has_name) {
		x->host_name = g->name;
		x->host_lookup = g->name.len > 0 ? EXIM_HOST_FOUND : EXIM_HOST_FAILED;
	}
	if (g->has_login) {
		s->authenticated = g->login.len > 0;
		x->auth_mechanism = s->authenticated ? SV_LIT("xclient") : SV_NULL;
		x->authenticated_id = g->login;
	}
	if (g->has_helo) {
		x->helo = s->helo_shown = g->helo;
		s->helo_seen = true;
	}
	if (g->has_proto)
		s->esmtp = x->esmtp = g->esmtp;
}

void
session_xclient(struct session *s)
{
	struct given g = { .s = s, .client = s->x.addr, .here = s->x.interface };
	struct sv rest = s->c.arg, item;

	if (rest.len == 0) {
		session_mistake(s, 501, "5.5.4", "XCLIENT must have an argument");
		return;
	}
	while (sv_word(&rest, &item))
		if (!take(&g, item)) {
			session_mistake(s, 501, "5.5.4", "XCLIENT argument is not understood");
			return;
		}
	/* As on a new connection: nothing that was said before counts. */
	session_txn_end(s);
	session_rcpt_forget(s);
	s->helo_seen = s->esmtp = s->x.esmtp = s->authenticated = false;
	s->pipelining = s->chunking = s->tls_offered = s->auth_offered = s->xclient = false;
	s->x.helo = s->helo_shown = s->x.auth_mechanism = s->x.authenticated_id = SV_NULL;
	s->x.helo_verified = false;
	s->auth_by = NULL;
	apply(&g);
	s->parse_flags = session_parse_flags(s);
	s->free_helo = true;
	session_protocol(s);
	(void)session_welcome(s);
}
