/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deliveries to other hosts by lib/deliver: the smtp transport's options for one group of addresses, host after host.
 * A host that failed before waits for its time by the hints of deliver_retry.c.
 */
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "deliver.h"
#include "deliver/event.h"
#include "deliver/options.h"
#include "fiber/fiber.h"
#include "io/tls.h"
#include "route/world.h"

#define QUIT_MS		30
#define OWN(name)	(&t->d.own[EXIM_SMTP_##name])

struct remote {
	struct dremote	*r;
	const struct exim_transport *t;
	struct deliver_hosts hosts;
	struct deliver_opts o;
	struct deliver_conn *conn;
	struct sv	 sender, header, auth_sender;
	FILE		*filtered;	/* what transport_filter made of the whole; NULL: nothing */
	bool		*settled;
	struct dend	*saved;		/* what the last host that deferred it said of each; text.p NULL: none did */
	struct deliver_host *saved_by;
	bool		 more;		/* there is another host behind the one at hand */
	bool		 refused;	/* which refused for now what that may take */
	bool		 told;		/* the sender may read why nothing was tried */
	bool		 over;		/* no rule gives the hosts more time */
	bool		 panic;		/* the panic log is to have it, too */
	size_t		 ok;		/* of the transaction under way */
	size_t		 waiting, expired, failed_late;	/* hosts */
};

static int64_t
number(struct remote *x, const struct exim_value *v, int64_t dflt)
{
	struct err err = ERR_INIT;
	int64_t n;

	if (v->str == NULL)
		return (v->text.p == NULL && !v->set ? dflt : v->num);
	return (exim_expand_int(v->str, &x->r->d->t->env, &n, &err) == EXIM_OK ? n : dflt);
}

/* ---- what is remembered of a host ---- */

static struct sv
key_of(struct remote *x, const struct deliver_host *h, bool message)
{
	struct arena *a = x->r->m->arena;

	return (sv_cstr(arena_fmt(a, "T:%s%s%s", deliver_host_key(&x->r->d->t->env, x->t, h, a), message ? ":" : "",
	    message ? x->r->m->id : "")));
}

static bool
host_waits(struct remote *x, const struct deliver_host *h, bool late, bool *expired)
{
	struct dhint hint = { 0 };
	bool waits = dretry_waits(x->r->d, key_of(x, h, false), &hint) || dretry_waits(x->r->d, key_of(x, h, true), &hint);

	*expired = hint.expired;
	/* The second time round: who is past its cutoff and was not tried since the message came (delay_after_cutoff). */
	if (late)
		return (!hint.expired || hint.last > x->r->m->received_us / 1000000);
	x->waiting += waits;
	x->expired += waits && hint.expired;
	return (waits);
}

static void
host_failed(struct remote *x, const struct deliver_host *h, const struct deliver_error *e, bool message)
{
	struct arena *a = x->r->m->arena;
	struct exim_retry_what w = { .sender = x->r->m->sender, .error = e->what, .code = e->code };

	w.key = sv_cstr(arena_str(a, h->name));
	w.alternate = x->r->rd[0]->domain;
	x->failed_late += !dretry_failed(x->r->d, x->r->m, key_of(x, h, message), &w);
}

/* address_retry_include_sender: without it the address waits whoever writes to it. */
static struct sv
key_rcpt(struct remote *x, struct sv addr)
{
	if (x->t->d.own[EXIM_SMTP_address_retry_include_sender].num == 0)
		return (dretry_key_routing(x->r->d, x->r->m->arena, addr, true));
	return (dretry_key_rcpt(x->r->m->arena, addr, x->r->m->sender));
}

static bool
rcpt_failed(struct remote *x, size_t i, const struct deliver_error *e)
{
	struct sv addr = x->r->rd[i]->addr->address;
	struct exim_retry_what w = { .key = addr, .sender = x->r->m->sender, .error = EXIM_RE_RCPT_4XX, .code = e->code };

	return (dretry_failed(x->r->d, x->r->m, key_rcpt(x, addr), &w));
}

/* ---- how it ends ---- */

/* An event about recipient <i>. */
static void
event_about(struct remote *x, size_t i, const char *name, const char *text, int64_t number)
{
	struct exim_env *env = &x->r->d->t->env;
	struct exim_address *old = env->addr, a;
	struct sv path = x->r->d->t->msg.return_path;

	if (x->t->d.generic[EXIM_TRANSPORT_event_action].str == NULL)
		return;
	denv_delivery(x->r->d, x->r->m, x->r->rd[i], &a);
	a.host = old->host;
	a.host_address = old->host_address;
	a.host_port = old->host_port;
	a.sending_ip_address = old->sending_ip_address;
	a.tls_out = old->tls_out;
	env->addr = &a;
	(void)deliver_event_of(x->t, env, name, sv_taint(sv_cstr(text)), number);
	env->addr = old;
	x->r->d->t->msg.return_path = path;
}

static const char *
log_host(struct remote *x, const struct deliver_host *h)
{
	char text[NET_ADDR_TEXT_MAX];
	struct net_addr bare = h->addr;
	struct arena *a = x->r->m->arena;
	const struct deliver *d = x->r->d;
	bool ports = dlog_on(d, EXIM_LOGSEL_outgoing_port);
	const char *out;

	bare.port = 0;
	out = arena_fmt(a, " H=%s%s [%s]%s", h->name, h->dnssec && dlog_on(d, EXIM_LOGSEL_dnssec) ? " DS" : "",
	    net_addr_text(&bare, text), ports ? arena_fmt(a, ":%u", h->addr.port) : "");
	if (x->conn == NULL || !dlog_on(d, EXIM_LOGSEL_incoming_interface) || !dlog_on(d, EXIM_LOGSEL_outgoing_interface))
		return (out);
	bare = *deliver_local(x->conn);
	bare.port = 0;
	return (arena_fmt(a, "%s I=[%s]%s", out, net_addr_text(&bare, text),
	    ports ? arena_fmt(a, ":%u", deliver_local(x->conn)->port) : ""));
}

/* What the host said in a line of ours: "... after RCPT TO:<x>: 550 no" */
static struct sv
said(struct sv text)
{
	ptrdiff_t at = sv_starts(text, "SMTP error from remote mail server after ") ? 0 : -1;

	while (at >= 0 && text.len > 5) {
		if ((at = sv_find(text, SV_LIT(": "))) < 0)
			break;
		text = sv_sub(text, (size_t)at + 2, text.len);
		if (text.len > 3 && sv_isdigit(text.p[0]) && sv_isdigit(text.p[1]) && sv_isdigit(text.p[2]))
			return (text);
	}
	return (SV_NULL);
}

static void
end(struct remote *x, size_t i, struct dend *e, const struct deliver_host *h)
{
	struct arena *a = x->r->m->arena;
	char buf[NET_ADDR_TEXT_MAX];

	if (h != NULL) {
		struct net_addr bare = h->addr;

		bare.port = 0;
		e->host = sv_cstr(arena_fmt(a, "host %s [%s]", h->name, net_addr_text(&bare, buf)));
		e->at = h;
	}
	e->text = arena_sv(a, e->text);
	e->path = x->sender;
	e->diagnostic = said(e->text);
	e->pass = e->pass || e->diagnostic.len > 0;
	e->also = e->st == TRANSPORT_OK && x->ok > 0;
	x->settled[i] = true;
	x->r->end(x->r->arg, i, e);
	x->ok += e->st == TRANSPORT_OK;
}

/* The same for all that are left. */
static void
end_all(struct remote *x, struct dend e, const struct deliver_host *h)
{
	for (size_t i = 0; i < x->r->n; i++) {
		struct dend one = e;

		if (!x->settled[i])
			end(x, i, &one, h);
	}
}

/* ---- transactions ---- */

/* PRX= by the log selector. */
static const char *
proxy_words(struct remote *x)
{
	const struct net_addr *p = deliver_proxy(x->conn);
	char text[NET_ADDR_TEXT_MAX];

	if (p == NULL || !dlog_on(x->r->d, EXIM_LOGSEL_proxy))
		return ("");
	if (!dlog_on(x->r->d, EXIM_LOGSEL_outgoing_port))
		return (arena_fmt(x->r->m->arena, " PRX=[%s]", net_addr_text(p, text)));
	return (arena_fmt(x->r->m->arena, " PRX=[%s]:%u", net_addr_text(p, text), p->port));
}

/* The same with X=, CV=, DN=. */
static const char *
tls_words(struct remote *x, const char *cipher)
{
	const struct deliver *d = x->r->d;
	const char *proxy = proxy_words(x);
	const char *cv = deliver_verified(x->conn), *dn = deliver_peerdn(x->conn);
	bool subject = dlog_on(d, EXIM_LOGSEL_tls_peerdn) && *dn != '\0';
	bool shown = dlog_on(d, EXIM_LOGSEL_tls_cipher), verified = dlog_on(d, EXIM_LOGSEL_tls_certificate_verified);

	if (cv == NULL)
		return (proxy);
	return (arena_fmt(x->r->m->arena, "%s%s%s%s%s%s%s%s%s", proxy, shown ? " X=" : "", shown ? cipher : "",
	    shown && deliver_tls_resumed(x->conn) && dlog_on(d, EXIM_LOGSEL_tls_resumption) ? "*" : "",
	    verified ? " CV=" : "", verified ? cv : "",
	    subject ? " DN=\"" : "", subject ? dn : "", subject ? "\"" : ""));
}

/* A=NAME:ID:SENDER, and how the message went. */
static const char *
how_words(struct remote *x)
{
	const char *auth = deliver_auth_name(x->conn);
	struct sv id = deliver_auth_id(x->conn);
	bool mailauth = dlog_on(x->r->d, EXIM_LOGSEL_smtp_mailauth) && x->auth_sender.len > 0;

	return (arena_fmt(x->r->m->arena, "%s%s%s" SV_FMT "%s" SV_FMT "%s%s%s", auth != NULL ? " A=" : "", auth != NULL ? auth : "",
	    auth != NULL && id.len > 0 ? ":" : "", SV_ARG(auth != NULL ? id : SV_LIT("")), auth != NULL && mailauth ? ":" : "",
	    SV_ARG(auth != NULL && mailauth ? x->auth_sender : SV_LIT("")),
	    deliver_piped(x->conn) && dlog_on(x->r->d, EXIM_LOGSEL_pipelining) ? " L" : "", deliver_each(x->conn) ? " PRDR" : "",
	    deliver_chunked(x->conn) ? " K" : ""));
}

/* Refused for now: the next host may take it; else that is how it ends. */
static void
deferred(struct remote *x, size_t i, const struct deliver_host *h, struct dend *e)
{
	if (!x->more) {
		end(x, i, e, h);
		return;
	}
	x->refused = true;
	x->saved[i] = *e;
	x->saved[i].text = arena_sv(x->r->m->arena, e->text);
	x->saved_by[i] = *h;
	x->saved_by[i].name = arena_str(x->r->m->arena, h->name);
}

static void
deferred_rcpt(struct remote *x, size_t i, const struct deliver_host *h, const struct deliver_error *err, struct dend *e)
{
	int64_t number = deliver_event_rcpt(err->code, h->mx >= 0);

	e->late = !rcpt_failed(x, i, err);
	event_about(x, i, "msg:rcpt:host:defer", err->err.text, number);
	if (x->more)
		dlog(x->r->d, DLOG_MAIN, "%s%s: " SV_FMT, x->r->m->id, e->tail, SV_ARG(e->text));
	else
		event_about(x, i, "msg:rcpt:defer", err->err.text, number);
	deferred(x, i, h, e);
}

/* The address for the log, where another one was given to the host. */
static struct sv
sent_as(const struct remote *x, const struct deliver_message *dm, struct sv addr)
{
	struct sb out = SB_INIT(4096);
	struct sv r = SV_NULL;

	if (sv_is_ascii(addr))
		return (r);
	deliver_address_sent(x->conn, dm, addr, &out);
	if (!sv_eq(sb_sv(&out), addr))
		r = arena_sv(x->r->m->arena, sb_sv(&out));
	sb_free(&out);
	return (r);
}

static void
take_results(struct remote *x, const struct deliver_host *h, struct deliver_message *dm, const size_t *at)
{
	const char *host = log_host(x, h), *cipher = deliver_cipher(x->conn), *tail;
	struct arena *a = x->r->m->arena;
	bool told = false;

	x->ok = 0;
	tail = arena_fmt(a, "%s%s%s%s", host, tls_words(x, cipher), how_words(x),
	    dm->confirmation[0] != '\0' && dlog_on(x->r->d, EXIM_LOGSEL_smtp_confirmation) ?
	    arena_fmt(a, " C=\"%s\"", dm->confirmation) : "");
	for (size_t i = 0; i < dm->nrcpts; i++) {
		struct deliver_rcpt *rc = &dm->rcpts[i];
		struct dend e = { .text = sv_cstr(rc->error.err.text), .tail = host };

		switch (rc->status) {
		case DELIVER_OK:
			e = (struct dend){ .st = TRANSPORT_OK, .tail = tail, .dsn_passed = rc->dsn_passed,
			    .text = sv_cstr(dm->confirmation) };
			e.as = sent_as(x, dm, rc->addr);
			dretry_forget(x->r->d, key_rcpt(x, x->r->rd[at[i]]->addr->address));
			break;
		case DELIVER_PERM:
			e.st = TRANSPORT_FAIL;
			break;
		case DELIVER_TEMP:
			e.st = TRANSPORT_DEFER;
			e.sys = deliver_event_number(&rc->error);
			if (rc->error.what == EXIM_RE_RCPT_4XX) {
				deferred_rcpt(x, at[i], h, &rc->error, &e);
				continue;
			}
			if (!told) {
				dlog(x->r->d, DLOG_MAIN, "%s%s: " SV_FMT, x->r->m->id, host, SV_ARG(e.text));
				host_failed(x, h, &rc->error, true);
				if (!x->more)
					event_about(x, at[i], "msg:defer", rc->error.err.text, e.sys);
			}
			told = true;
			e.late = x->failed_late > 0;
			deferred(x, at[i], h, &e);
			continue;
		default:
			continue;
		}
		end(x, at[i], &e, h);
	}
}

static bool
utf8_envelope(const struct deliver_message *dm)
{
	bool yes = !sv_is_ascii(dm->sender);

	for (size_t i = 0; i < dm->nrcpts && !yes; i++)
		yes = !sv_is_ascii(dm->rcpts[i].addr);
	return (yes);
}

/* False: the connection or host failed, *<e>. */
static bool
send_all(struct remote *x, const struct deliver_host *h, struct deliver_error *e)
{
	struct dremote *r = x->r;
	struct deliver_rcpt *rcpts = arena_zalloc(r->m->arena, r->n * sizeof(*rcpts));
	size_t *at = arena_alloc(r->m->arena, r->n * sizeof(*at)), n = 0;
	struct deliver_message dm = { .sender = x->sender, .header = x->header, .fd = fileno(x->filtered != NULL ? x->filtered :
	    r->m->content), .rcpts = rcpts, .ret_set = r->m->ret_set, .ret_hdrs = r->m->ret_hdrs, .envid = r->m->envid };
	off_t size = lseek(dm.fd, 0, SEEK_END);
	int rc;

	for (size_t i = 0; i < r->n; i++)
		if (!x->settled[i]) {
			rcpts[n].addr = deliver_rcpt_address(r->rd[i], r->m->arena);
			rcpts[n].lasthop = r->rd[i]->router != NULL && r->rd[i]->router->d.generic[EXIM_ROUTER_dsn_lasthop].num != 0;
			for (size_t k = 0; k < r->m->rcpts.len; k++)
				if (sv_eq(r->m->rcpts.p[k].addr, r->rd[i]->addr->address)) {
					rcpts[n].notify = r->m->rcpts.p[k].notify;
					rcpts[n].orcpt = r->m->rcpts.p[k].orcpt;
				}
			at[n++] = i;
		}
	dm.nrcpts = n;
	dm.downconvert = r->m->downconvert;
	dm.off = x->filtered != NULL ? 0 : r->m->block.len;
	dm.len = x->filtered == NULL && x->t->d.generic[EXIM_TRANSPORT_headers_only].num != 0 ? 0 : (uint64_t)size - dm.off;
	dm.size = dm.header.len + dm.len;
	if (deliver_message_options(&dm, &r->d->t->env, x->t, x->conn, r->m->auth_sender, &e->err) == -1)
		return (false);
	x->auth_sender = dm.auth_sender;
	dm.smtputf8 = r->m->smtputf8 || utf8_envelope(&dm);
	rc = deliver_send(x->conn, &dm, e);
	take_results(x, h, &dm, at);
	return (rc == 0);
}

/* One for all messages, as long as the process lives. */
static struct deliver_tls *
contexts(void)
{
	static struct deliver_tls *made;

	if (made == NULL)
		made = deliver_tls_new();
	return (made);
}

/* ---- the header and what a filter makes of it ---- */

static int
make_header(struct remote *x, struct err *err)
{
	struct dremote *r = x->r;
	struct sb out = SB_INIT((size_t)64 * 1024 * 1024);
	struct transport_delivery td = { .env = &r->d->t->env, .t = x->t, .rd = r->rd, .n = r->n, .now = dnow(), .arena = r->m->arena };
	int rc = transport_header(&td, &out, err);

	x->header = x->t->d.generic[EXIM_TRANSPORT_body_only].num != 0 ? SV_LIT("") : arena_sv(r->m->arena, sb_sv(&out));
	sb_free(&out);
	return (rc);
}

/* transport_filter: header and body go through the program, and what comes out is sent. */
static int
filter(struct remote *x, struct err *err)
{
	const struct exim_value *v = &x->t->d.generic[EXIM_TRANSPORT_transport_filter];
	struct dremote *r = x->r;
	struct transport_delivery td = { .env = &r->d->t->env, .t = x->t, .rd = r->rd, .n = r->n, .now = dnow(), .arena = r->m->arena };
	struct transport_list argv;
	struct transport_result res;
	off_t size = lseek(fileno(r->m->content), 0, SEEK_END);
	struct transport_job j = { .header = x->header, .off = (int64_t)r->m->block.len,
	    .len = (int64_t)size - (int64_t)r->m->block.len,
	    .uid = r->d->conf->g.exim_uid, .gid = r->d->conf->g.exim_gid };

	if (v->str == NULL)
		return (0);
	memset(&res, 0, sizeof(res));
	if (transport_argv(&td, exim_str_text(v->str), true, SV_NULL, false, "transport filter", &argv, &res) == -1)
		return (err_set(err, ERR_TEMP, "4.3.0", SV_FMT, SV_ARG(res.text)));
	if (x->t->d.generic[EXIM_TRANSPORT_headers_only].num != 0)
		j.len = 0;
	j.filter = argv;
	j.filter_timeout = x->t->d.generic[EXIM_TRANSPORT_transport_filter_timeout].num;
	if (x->filtered != NULL)
		(void)fclose(x->filtered);
	if ((x->filtered = tmpfile()) == NULL)
		return (err_sys(err, "make a temporary file"));
	if (transport_filter(&j, fileno(r->m->content), x->filtered, r->m->arena, &res) == -1)
		return (err_set(err, ERR_TEMP, "4.3.0", SV_FMT, SV_ARG(res.text)));
	x->header = SV_LIT("");
	return (0);
}

/* ---- one host ---- */

static void
try_host(struct remote *x, const struct deliver_host *h, struct deliver_error *e)
{
	if (deliver_options(&x->o, &x->r->d->t->env, x->t, h, contexts(), x->r->m->arena, e) == -1) {
		if (!e->host)
			e->code = DELIVER_EXPANSION;
		e->host = true;
		return;
	}
	if (deliver_open(&x->conn, h, &x->o, e) == 0) {
		if (deliver_in_clear(x->conn) != NULL)
			dlog(x->r->d, DLOG_MAIN, "%s TLS session: %s: delivering unencrypted to%s (not in hosts_require_tls)", x->r->m->id,
			    deliver_in_clear(x->conn), log_host(x, h));
		/* Options of the header may name the host and our end of the connection. */
		if (make_header(x, &e->err) == 0 && filter(x, &e->err) == 0 && send_all(x, h, e))
			dretry_forget(x->r->d, key_of(x, h, false));
		deliver_close(&x->conn);
		/* QUIT is on its way: whoever looks for what arrived finds the end of it too. */
		(void)fiber_sleep(QUIT_MS);
	}
	x->r->d->t->env.addr->tls_out.ourcert = x->r->d->t->env.addr->tls_out.peercert = NULL;
	deliver_options_free(&x->o);
}

static bool
all_settled(const struct remote *x)
{
	for (size_t i = 0; i < x->r->n; i++)
		if (!x->settled[i])
			return (false);
	return (true);
}

static size_t
first_open(const struct remote *x)
{
	size_t i = 0;

	while (i + 1 < x->r->n && x->settled[i])
		i++;
	return (i);
}

/* A host failed as such: its line in the log, and what is remembered. */
static void
tell_host(struct remote *x, const struct deliver_host *h, const struct deliver_error *e)
{
	const char *colon = deliver_is_bare(e) ? "" : ":";
	const char *sys = deliver_is_bare(e) ? "" : deliver_sys_words(deliver_event_number(e));

	host_failed(x, h, e, false);
	if (e->what == EXIM_RE_AUTH_FAILED)
		return;
	if (x->t->d.generic[EXIM_TRANSPORT_disable_logging].num == 0)
		dlog(x->r->d, DLOG_MAIN, "%s%s%s %s%s%s", x->r->m->id, log_host(x, h), colon, deliver_words(e), *sys == '\0' ? "" : ": ", sys);
	dmsglog(x->r->d, x->r->m, "%s%s %s%s%s", log_host(x, h) + 1, colon, deliver_words(e), *sys == '\0' ? "" : ": ", sys);
	event_about(x, 0, "msg:host:defer", deliver_words(e), deliver_event_number(e));
}

/* No host was tried at all. */
static void
nothing_tried(struct remote *x)
{
	struct arena *a = x->r->m->arena;
	struct dend e = { .st = TRANSPORT_DEFER };

	for (size_t i = 0; x->waiting > 0 && i < x->r->n; i++) {
		bool over = x->expired == x->waiting;
		struct dend one = { .st = over ? TRANSPORT_FAIL : TRANSPORT_DEFER, .sys = over ? 0 : -54, .silent = !over };

		one.text = sv_cstr(arena_fmt(a, over ? "all hosts for '" SV_FMT "' have been failing for a long time (and retry time not "
		    "reached)" : "retry time not reached for any host for '" SV_FMT "'", SV_ARG(x->r->rd[i]->domain)));
		if (!x->settled[i])
			end(x, i, &one, NULL);
	}
	if (x->waiting > 0)
		return;
	if (x->hosts.local) {
		e.sys = -50;
		e.text = sv_cstr(arena_fmt(a, "%s transport found host %s to be local", x->t->d.name, x->hosts.unknown));
	} else if (x->hosts.unknown != NULL) {
		e.sys = -32;
		e.text = sv_cstr(arena_fmt(a, "failed to lookup IP address for %s", x->hosts.unknown));
	} else {
		e.sys = -1;
		e.panic = true;
		e.text = sv_cstr(arena_fmt(a, x->t->d.own[EXIM_SMTP_hosts].set ? "%s transport has empty hosts setting" :
		    "%s transport called with no hosts set", x->t->d.name));
	}
	e.late = x->over;
	end_all(x, e, NULL);
}

static int
prepare(struct remote *x, struct exim_address *a, struct err *err)
{
	struct dremote *r = x->r;
	const struct exim_value *g = x->t->d.generic;
	int64_t limit, lines;
	struct sv path;

	denv_delivery(r->d, r->m, r->rd[0], a);
	if (r->n > 1)
		route_world_several(a, r->rd, r->n);
	limit = number(x, &g[EXIM_TRANSPORT_message_size_limit], 0);
	x->sender = r->d->t->msg.return_path;
	if (deliver_text(&r->d->t->env, &g[EXIM_TRANSPORT_return_path], &path, err) == -1) {
		const char *why = arena_str(r->m->arena, err->text);

		x->panic = true;
		err_clear(err);
		return (err_set(err, ERR_TEMP, "4.3.0", "Failed to expand return path \"" SV_FMT "\": %s",
		    SV_ARG(exim_str_text(g[EXIM_TRANSPORT_return_path].str)), why));
	}
	if (path.p != NULL)
		x->sender = r->d->t->msg.return_path = path;
	lines = number(x, &x->t->d.own[EXIM_SMTP_message_linelength_limit], 998);
	x->told = lines > 0 && r->m->max_line > lines;
	if (x->told)
		return (err_set(err, ERR_PERM, "5.6.0", "message has lines too long for transport"));
	if (limit > 0 && r->d->t->msg.size > limit)
		return (err_set(err, ERR_PERM, "5.3.4", "message is too big (transport limit = %lld)", (long long)limit));
	return (0);
}

/* True: all are settled, or nobody else need be asked. */
static bool
try_list(struct remote *x, bool late, struct deliver_error *e, const struct deliver_host **last)
{
	struct deliver_walk w, ahead;
	size_t i, k;

	deliver_walk_init(&w, &x->hosts, x->t);
	while (deliver_walk_next(&w, &i)) {
		const struct deliver_host *h = &x->hosts.v[i];
		bool expired;

		if (host_waits(x, h, late, &expired))
			continue;
		deliver_walk_tries(&w, i, expired);
		*e = (struct deliver_error)DELIVER_ERROR_INIT;
		*last = h;
		/* -N: as if it were done. */
		if (dbypassed(x->r->d, x->r->m)) {
			end_all(x, (struct dend){ .st = TRANSPORT_OK, .tail = arena_fmt(x->r->m->arena, "%s%s", log_host(x, h),
			    dlog_on(x->r->d, EXIM_LOGSEL_smtp_confirmation) ? " C=\"delivery bypassed by -N option\"" : "") }, h);
			return (true);
		}
		ahead = w;
		x->more = deliver_walk_next(&ahead, &k);
		x->refused = false;
		try_host(x, h, e);
		if (all_settled(x) || (!e->host && !x->refused))
			return (true);
		if (e->host)
			tell_host(x, h, e);
	}
	return (false);
}

static void
try_all(struct remote *x)
{
	struct deliver_error e = DELIVER_ERROR_INIT;
	const struct deliver_host *last = NULL;
	struct dend rest = { .st = TRANSPORT_DEFER };
	bool over = try_list(x, false, &e, &last);

	if (!over && last == NULL && x->waiting > 0 && x->expired == x->waiting && x->t->d.own[EXIM_SMTP_delay_after_cutoff].num == 0)
		(void)try_list(x, true, &e, &last);
	if (all_settled(x))
		return;
	if (last == NULL) {
		nothing_tried(x);
		return;
	}
	/* What came last says why: a host behind the last one that there was. */
	if (e.host && x->hosts.unknown != NULL && x->hosts.unknown_at == x->hosts.n && last == &x->hosts.v[x->hosts.n - 1]) {
		x->waiting = 0;
		x->over = x->failed_late + x->expired >= x->hosts.n;
		nothing_tried(x);
		return;
	}
	rest.st = e.err.cls == ERR_PERM ? TRANSPORT_FAIL : TRANSPORT_DEFER;
	rest.sys = e.code < 0 ? e.code : deliver_event_number(&e);
	/* The system's words stand in front by the number. */
	if (!deliver_is_bare(&e))
		rest.text = sv_cstr(e.err.text);
	if (deliver_at_host(&e))
		rest.tail = log_host(x, last);
	/* Every host's time must be over. */
	rest.late = x->failed_late + x->expired >= x->hosts.n;
	if (rest.st == TRANSPORT_DEFER && e.host)
		event_about(x, first_open(x), "msg:defer", deliver_words(&e), deliver_event_number(&e));
	/* The last host was not asked for it after all: what the one before said holds. */
	for (size_t i = 0; i < x->r->n && e.err.cls == ERR_NONE; i++)
		if (!x->settled[i] && x->saved[i].text.p != NULL)
			end(x, i, &x->saved[i], &x->saved_by[i]);
	end_all(x, rest, NULL);
}

void
ddeliver_remote(struct dremote *r)
{
	struct remote *x = arena_zalloc(r->m->arena, sizeof(*x));
	struct exim_address *a = arena_alloc(r->m->arena, sizeof(*a));
	struct err err = ERR_INIT;

	x->r = r;
	x->t = r->rd[0]->transport;
	x->settled = arena_zalloc(r->m->arena, r->n * sizeof(bool));
	x->saved = arena_zalloc(r->m->arena, r->n * sizeof(*x->saved));
	x->saved_by = arena_zalloc(r->m->arena, r->n * sizeof(*x->saved_by));
	if (prepare(x, a, &err) == -1)
		end_all(x, (struct dend){ .st = err.cls == ERR_PERM ? TRANSPORT_FAIL : TRANSPORT_DEFER, .sys = -1,
		    .text = sv_cstr(err.text), .pass = x->told, .panic = x->panic }, NULL);
	else if (deliver_find_hosts(&x->hosts, &r->d->t->env, &r->d->t->ops, r->rd[0], 25, r->m->arena, &err) == -1)
		end_all(x, (struct dend){ .st = TRANSPORT_DEFER, .sys = -1, .text = sv_cstr(err.text), .panic = true }, NULL);
	else
		try_all(x);
	if (x->filtered != NULL)
		(void)fclose(x->filtered);
}
