/* SPDX-License-Identifier: BSD-2-Clause */
/* Deliveries to other hosts by lib/deliver: the smtp transport's options for one group of addresses, host after host. */
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "deliver.h"
#include "deliver/client.h"
#include "fiber/fiber.h"
#include "io/tls.h"

#define HOSTS_MAX	100
#define QUIT_MS		30
#define OWN(name)	(&t->d.own[EXIM_SMTP_##name])

struct remote {
	struct dremote	*r;
	const struct exim_transport *t;
	struct deliver_host hosts[HOSTS_MAX];
	size_t		 nhosts;
	struct deliver_opts o;
	struct deliver_conn *conn;
	struct sv	 sender, header;
	bool		*settled;
	size_t		 ok;		/* of the transaction under way */
};

static struct sv
expand(struct remote *x, const struct exim_value *v)
{
	struct err err = ERR_INIT;
	struct sv out = v->text;

	if (v->str != NULL && exim_expand(v->str, &x->r->d->t->env, &out, &err) != EXIM_OK)
		return (SV_NULL);
	return (out);
}

static int64_t
number(struct remote *x, const struct exim_value *v, int64_t dflt)
{
	struct err err = ERR_INIT;
	int64_t n;

	if (v->str == NULL)
		return (v->text.p == NULL && !v->set ? dflt : v->num);
	return (exim_expand_int(v->str, &x->r->d->t->env, &n, &err) == EXIM_OK ? n : dflt);
}

/* ---- hosts ---- */

static uint16_t
port_of(struct remote *x)
{
	const struct exim_transport *t = x->t;
	struct sv text = sv_trim(expand(x, OWN(port)));
	struct servent *se;
	int64_t n;

	if (!OWN(port)->set)
		return (sv_eqs(OWN(protocol)->text, "lmtp") ? 24 : sv_eqs(OWN(protocol)->text, "smtps") ? 465 : 25);
	if (num_parse(text, 1, 65535, &n))
		return ((uint16_t)n);
	se = getservbyname(arena_cstr(x->r->m->arena, text), "tcp");
	return (se == NULL ? 25 : ntohs((uint16_t)se->s_port));
}

static void
add_host(struct remote *x, struct sv item, uint16_t port)
{
	struct testing *ts = x->r->d->t;
	struct arena *a = x->r->m->arena;
	struct net_addr one, *v = NULL;
	ptrdiff_t colon = sv_rchr(item, ':');
	size_t k = 0;
	int64_t p;

	if (net_addr_parse_port(item, port, &one)) {
		char text[NET_ADDR_TEXT_MAX];

		if (x->nhosts < HOSTS_MAX)
			x->hosts[x->nhosts++] = (struct deliver_host){ arena_str(a, net_addr_text(&one, text)), one };
		return;
	}
	if (colon > 0 && num_parse(sv_sub(item, (size_t)colon + 1, item.len), 1, 65535, &p)) {
		port = (uint16_t)p;
		item.len = (size_t)colon;
	}
	if (ts->world.addrs(ts->world.arg, arena_cstr(a, item), a, &v, &k) != EXIM_FOUND)
		return;
	for (size_t i = 0; i < k && x->nhosts < HOSTS_MAX; i++) {
		v[i].port = port;
		x->hosts[x->nhosts++] = (struct deliver_host){ arena_cstr(a, item), v[i] };
	}
}

static void
find_hosts(struct remote *x)
{
	const struct exim_transport *t = x->t;
	const struct route_delivery *rd = x->r->rd[0];
	uint16_t port = port_of(x);
	struct sv list, item;
	int sep = 0;

	for (size_t i = 0; OWN(hosts_override)->num == 0 && i < rd->nhosts + rd->nfallback && x->nhosts < HOSTS_MAX; i++) {
		const struct route_host *h = i < rd->nhosts ? &rd->hosts[i] : &rd->fallback[i - rd->nhosts];
		struct deliver_host *to = &x->hosts[x->nhosts];

		if (h->unknown)
			continue;
		*to = (struct deliver_host){ h->name, h->addr };
		if (to->addr.port == 0)
			to->addr.port = port;
		x->nhosts++;
	}
	if (x->nhosts > 0)
		return;
	list = expand(x, OWN(hosts));
	while (list.len > 0 && exim_list_next(&list, &sep, x->r->m->arena, &item))
		add_host(x, item, port);
}

/* ---- one connection ---- */

static bool
in_list(struct remote *x, const struct exim_value *v, const struct deliver_host *h)
{
	struct err err = ERR_INIT;
	struct exim_host eh = { .addr = h->addr, .name = sv_cstr(h->name) };
	char text[NET_ADDR_TEXT_MAX];
	bool yes = false;

	if (v->list == NULL)
		return (false);
	eh.address = sv_cstr(arena_str(x->r->m->arena, net_addr_text(&h->addr, text)));
	return (exim_match_host(v->list, &x->r->d->t->env, &eh, &yes, NULL, &err) == EXIM_OK && yes);
}

static void
set_options(struct remote *x, const struct deliver_host *h)
{
	const struct exim_transport *t = x->t;
	struct exim_address *a = x->r->d->t->env.addr;
	struct err err = ERR_INIT;
	char text[NET_ADDR_TEXT_MAX];
	struct sv helo;

	a->host = sv_cstr(h->name);
	a->host_address = sv_cstr(arena_str(x->r->m->arena, net_addr_text(&h->addr, text)));
	a->host_port = h->addr.port;
	helo = expand(x, OWN(helo_data));
	memset(&x->o, 0, sizeof(x->o));
	x->o.helo = arena_cstr(x->r->m->arena, helo.len > 0 ? helo : x->r->d->t->g.primary_hostname);
	x->o.lmtp = sv_eqs(OWN(protocol)->text, "lmtp");
	x->o.esmtp = !in_list(x, OWN(hosts_avoid_esmtp), h);
	x->o.pipelining = !in_list(x, OWN(hosts_avoid_pipelining), h);
	x->o.chunking = in_list(x, OWN(hosts_try_chunking), h);
	x->o.tls_require = in_list(x, OWN(hosts_require_tls), h);
	x->o.tls_try = x->o.tls_require || !in_list(x, OWN(hosts_avoid_tls), h);
	x->o.tls_on_connect = sv_eqs(OWN(protocol)->text, "smtps");
	x->o.tls_clear_after_fail = OWN(tls_tempfail_tryclear)->num != 0;
	if (x->o.tls_try || x->o.tls_on_connect)
		x->o.tls = tls_client_new(NULL, in_list(x, OWN(tls_verify_hosts), h), &err);
	x->o.connect_ms = OWN(connect_timeout)->num * 1000;
	x->o.command_ms = OWN(command_timeout)->num * 1000;
	x->o.data_ms = OWN(data_timeout)->num * 1000;
	x->o.final_ms = OWN(final_timeout)->num * 1000;
}

static int64_t
exim_number(const struct deliver_error *e)
{
	switch (e->what) {
	case EXIM_RE_RCPT_4XX:
		return (-44);
	case EXIM_RE_MAIL_4XX:
		return (-45);
	case EXIM_RE_DATA_4XX:
		return (-46);
	case EXIM_RE_REFUSED:
		return (ECONNREFUSED);
	case EXIM_RE_TIMEOUT:
	case EXIM_RE_TIMEOUT_CONNECT:
		return (ETIMEDOUT);
	case EXIM_RE_LOST_CONNECTION:
		return (-18);
	case EXIM_RE_TLS_REQUIRED:
		return (-38);
	default:
		return (0);
	}
}

static const char *
log_host(struct remote *x, const struct deliver_host *h)
{
	char text[NET_ADDR_TEXT_MAX];
	struct net_addr bare = h->addr;

	bare.port = 0;
	return (arena_fmt(x->r->m->arena, " H=%s [%s]", h->name, net_addr_text(&bare, text)));
}

static void
end(struct remote *x, size_t i, int st, int64_t sys, const char *tail, struct sv text, const struct deliver_host *h)
{
	struct arena *a = x->r->m->arena;
	char buf[NET_ADDR_TEXT_MAX];
	struct net_addr bare = h == NULL ? (struct net_addr){ 0 } : h->addr;

	bare.port = 0;
	x->settled[i] = true;
	x->r->end(x->r->arg, i, st, sys, tail, arena_sv(a, text),
	    h == NULL ? SV_NULL : sv_cstr(arena_fmt(a, "host %s [%s]", h->name, net_addr_text(&bare, buf))), st == TRANSPORT_OK && x->ok > 0);
	x->ok += st == TRANSPORT_OK;
}

/* ---- transactions ---- */

static void
take_results(struct remote *x, const struct deliver_host *h, struct deliver_message *dm, const size_t *at)
{
	const char *host = log_host(x, h), *cipher = deliver_cipher(x->conn), *tail;
	struct arena *a = x->r->m->arena;
	bool told = false;

	x->ok = 0;
	tail = arena_fmt(a, "%s%s%s%s", host, cipher[0] != '\0' ? " X=" : "", cipher,
	    dm->confirmation[0] != '\0' && dlog_on(x->r->d, EXIM_LOGSEL_smtp_confirmation) ?
	    arena_fmt(a, " C=\"%s\"", dm->confirmation) : "");
	for (size_t i = 0; i < dm->nrcpts; i++) {
		struct deliver_rcpt *rc = &dm->rcpts[i];
		struct sv text = sv_cstr(rc->error.err.text);

		switch (rc->status) {
		case DELIVER_OK:
			end(x, at[i], TRANSPORT_OK, 0, tail, SV_NULL, h);
			break;
		case DELIVER_PERM:
			end(x, at[i], TRANSPORT_FAIL, 0, host, text, h);
			break;
		case DELIVER_TEMP:
			if (!told && rc->error.what != EXIM_RE_RCPT_4XX)
				dlog(x->r->d, DLOG_MAIN, "%s%s: " SV_FMT, x->r->m->id, host, SV_ARG(text));
			told = true;
			end(x, at[i], TRANSPORT_DEFER, exim_number(&rc->error), host, text, h);
			break;
		default:
			break;
		}
	}
}

/* Send to those not settled, <max> at a time.  False: the connection or host failed, *<e>. */
static bool
send_some(struct remote *x, const struct deliver_host *h, size_t max, struct deliver_error *e)
{
	struct dremote *r = x->r;
	struct deliver_rcpt *rcpts = arena_zalloc(r->m->arena, r->n * sizeof(*rcpts));
	size_t *at = arena_alloc(r->m->arena, r->n * sizeof(*at)), n = 0;
	struct deliver_message dm = { .sender = x->sender, .header = x->header, .fd = fileno(r->m->content),
	    .rcpts = rcpts };
	off_t size = lseek(dm.fd, 0, SEEK_END);
	int rc;

	for (size_t i = 0; i < r->n && n < max; i++)
		if (!x->settled[i]) {
			rcpts[n].addr = r->rd[i]->addr->address;
			at[n++] = i;
		}
	dm.nrcpts = n;
	dm.off = r->m->block.len;
	dm.len = (uint64_t)size - dm.off;
	dm.size = dm.header.len + dm.len;
	rc = deliver_send(x->conn, &dm, e);
	take_results(x, h, &dm, at);
	return (rc == 0);
}

static void
try_host(struct remote *x, const struct deliver_host *h, struct deliver_error *e)
{
	const struct exim_transport *t = x->t;
	int64_t max = number(x, OWN(max_rcpt), 100), messages = OWN(connection_max_messages)->num;

	set_options(x, h);
	for (;;) {
		bool left = false;

		for (size_t i = 0; i < x->r->n; i++)
			left = left || !x->settled[i];
		if (!left)
			break;
		if (x->conn == NULL && deliver_open(&x->conn, h, &x->o, e) == -1)
			break;
		if (!send_some(x, h, max > 0 ? (size_t)max : x->r->n, e))
			break;
		if (!deliver_usable(x->conn) || (messages > 0 && (int64_t)deliver_messages(x->conn) >= messages)) {
			deliver_close(&x->conn);
			(void)fiber_sleep(QUIT_MS);
		}
	}
	if (x->conn != NULL)
		deliver_close(&x->conn);
	/* QUIT is on its way: whoever looks for what arrived finds the end of it too. */
	(void)fiber_sleep(QUIT_MS);
}

static int
prepare(struct remote *x, struct exim_address *a, struct err *err)
{
	struct dremote *r = x->r;
	const struct exim_value *g = x->t->d.generic;
	struct sb out = SB_INIT((size_t)64 * 1024 * 1024);
	struct transport_delivery td = { .env = &r->d->t->env, .t = x->t, .rd = r->rd, .n = r->n, .now = dnow(), .arena = r->m->arena };
	int64_t limit = number(x, &g[EXIM_TRANSPORT_message_size_limit], 0);
	struct sv path;
	int rc;

	denv_delivery(r->d, r->m, r->rd[0], a);
	x->sender = r->d->t->msg.return_path;
	path = expand(x, &g[EXIM_TRANSPORT_return_path]);
	if (path.p != NULL)
		x->sender = r->d->t->msg.return_path = path;
	if (limit > 0 && r->d->t->msg.size > limit)
		return (err_set(err, ERR_PERM, "5.3.4", "message is too big (transport limit = %lld)", (long long)limit));
	rc = transport_header(&td, &out, err);
	x->header = arena_sv(r->m->arena, sb_sv(&out));
	sb_free(&out);
	return (rc);
}

void
ddeliver_remote(struct dremote *r)
{
	struct remote *x = arena_zalloc(r->m->arena, sizeof(*x));
	struct deliver_error e = DELIVER_ERROR_INIT;
	struct exim_address a;
	struct err err = ERR_INIT;

	x->r = r;
	x->t = r->rd[0]->transport;
	x->settled = arena_zalloc(r->m->arena, r->n * sizeof(bool));
	if (prepare(x, &a, &err) == -1) {
		for (size_t i = 0; i < r->n; i++)
			end(x, i, err.cls == ERR_PERM ? TRANSPORT_FAIL : TRANSPORT_DEFER, -1, NULL, sv_cstr(err.text), NULL);
		return;
	}
	find_hosts(x);
	(void)err_set(&e.err, ERR_TEMP, "4.4.4", "all hosts for this address could not be found");
	for (size_t h = 0; h < x->nhosts; h++) {
		bool left = false;

		e = (struct deliver_error)DELIVER_ERROR_INIT;
		try_host(x, &x->hosts[h], &e);
		for (size_t i = 0; i < r->n; i++)
			left = left || !x->settled[i];
		if (!left)
			return;
		if (e.host)
			dlog(r->d, DLOG_MAIN, "%s%s: %s", r->m->id, log_host(x, &x->hosts[h]), e.err.text);
		else
			break;
	}
	for (size_t i = 0; i < r->n; i++)
		if (!x->settled[i])
			end(x, i, e.err.cls == ERR_PERM ? TRANSPORT_FAIL : TRANSPORT_DEFER, exim_number(&e), NULL, sv_cstr(e.err.text), NULL);
}
