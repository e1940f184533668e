/* SPDX-License-Identifier: BSD-2-Clause */
/* An smtp transport's options for one host: names, TLS, ways to log in, local address, times. */
#include <string.h>

#include "base/num.h"
#include "deliver/event.h"
#include "deliver/options.h"
#include "deliver/socks.h"
#include "dns/dns.h"
#include "exim/expand.h"
#include "exim/match.h"
#include "io/stream.h"
#include "net/sock.h"

#define NO_LIMIT_MS	INT64_C(3600000)

int
deliver_text(struct exim_env *env, const struct exim_value *v, struct sv *out, struct err *err)
{
	enum exim_result r;

	*out = v->text;
	if (v->str == NULL)
		return (0);
	r = exim_expand(v->str, env, out, err);
	if (r == EXIM_OK)
		return (0);
	*out = SV_NULL;
	if (r == EXIM_FORCED)
		return (0);
	err->cls = ERR_TEMP;
	return (-1);
}

bool
deliver_bool(struct exim_env *env, const struct exim_value *v)
{
	struct err err = ERR_INIT;
	bool yes = v->num != 0;

	if (v->str != NULL && exim_expand_bool(v->str, env, false, &yes, &err) != EXIM_OK)
		return (false);
	return (yes);
}

bool
deliver_host_listed(struct exim_env *env, const struct exim_value *v, const struct deliver_host *h)
{
	struct err err = ERR_INIT;
	struct exim_host eh = { .addr = h->addr, .name = sv_cstr(h->name) };
	char text[NET_ADDR_TEXT_MAX];
	bool yes = false;

	if (v->list == NULL)
		return (false);
	eh.address = sv_cstr(arena_str(env->arena, net_addr_text(&h->addr, text)));
	return (exim_match_host(v->list, env, &eh, &yes, NULL, &err) == EXIM_OK && yes);
}

/* ---- TLS, addresses, times ---- */

/* An option as a C string in <a>; NULL: unset or empty. */
static int
cstr_of(struct exim_env *env, const struct exim_value *v, const char *name, struct arena *a, const char **out, struct err *err)
{
	struct sv text;

	*out = NULL;
	if (deliver_text(env, v, &text, err) == -1) {
		err_prefix(err, "failed to expand %s", name);
		return (-1);
	}
	if (text.len > 0)
		*out = arena_cstr(a, text);
	return (0);
}

/* Verification is tried with everyone by default; with neither list set it must succeed (30.4). */
static enum tls_verify
how_verified(struct exim_env *env, const struct exim_value *own, const struct deliver_host *h)
{
	const struct exim_value *must = &own[EXIM_SMTP_tls_verify_hosts], *may = &own[EXIM_SMTP_tls_try_verify_hosts];

	if (deliver_host_listed(env, must, h) || (must->text.len == 0 && may->text.len == 0))
		return (TLS_VERIFY_REQUIRE);
	return (deliver_host_listed(env, may, h) ? TLS_VERIFY_TRY : TLS_VERIFY_NO);
}

static int
tls_conf(struct tls_client_conf *c, struct exim_env *env, const struct exim_value *own, const struct deliver_host *h, struct arena *a,
    struct err *err)
{
	const struct { enum exim_smtp_opt o; const char *name, **to; } t[] = {
		{ EXIM_SMTP_tls_verify_certificates, "tls_verify_certificates", &c->ca }, { EXIM_SMTP_tls_crl, "tls_crl", &c->crl },
		{ EXIM_SMTP_tls_certificate, "tls_certificate", &c->cert }, { EXIM_SMTP_tls_privatekey, "tls_privatekey", &c->key },
		{ EXIM_SMTP_tls_require_ciphers, "tls_require_ciphers", &c->ciphers }, { EXIM_SMTP_tls_alpn, "tls_alpn", &c->alpn },
	};

	struct sv text;

	memset(c, 0, sizeof(*c));
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (cstr_of(env, &own[t[i].o], t[i].name, a, t[i].to, err) == -1)
			return (-1);
	text = exim_main_text(env->conf, EXIM_MAIN_openssl_options);
	if (text.len > 0 && tls_switches_parse(arena_cstr(env->arena, text), &c->switches, err) == -1)
		return (-1);
	c->switches.compat = exim_main_bool(env->conf, EXIM_MAIN_gnutls_compat_mode);
	c->verify = c->ca == NULL ? TLS_VERIFY_NO : how_verified(env, own, h);
	c->names = deliver_host_listed(env, &own[EXIM_SMTP_tls_verify_cert_hostnames], h);
	if (own[EXIM_SMTP_tls_dh_min_bits].set)
		c->dh_min_bits = (int)own[EXIM_SMTP_tls_dh_min_bits].num;
	c->ocsp_require = deliver_host_listed(env, &own[EXIM_SMTP_hosts_require_ocsp], h);
	c->ocsp_request = c->ocsp_require || deliver_host_listed(env, &own[EXIM_SMTP_hosts_request_ocsp], h);
	c->resume = deliver_host_listed(env, &own[EXIM_SMTP_tls_resumption_hosts], h);
	c->alpn_require = deliver_host_listed(env, &own[EXIM_SMTP_hosts_require_alpn], h);
	return (0);
}

/* ---- DANE (RFC 7672; 43.18) ---- */

static int
dane_error(const struct deliver_opts *o, struct deliver_error *e, const char *what, const char *how)
{
	if (o->event != NULL)
		(void)o->event(o->event_arg, NULL, "dane:fail",
		    strcmp(what, "tlsa") == 0 ? SV_LIT("dane-required") : SV_LIT("dnssec-invalid"), NULL);
	e->host = true;
	e->what = EXIM_RE_LOOKUP;
	return (err_set(&e->err, ERR_TEMP, "4.7.5", "DANE error: %s lookup %s", what, how));
}

static void
take_tlsa(struct deliver_opts *o, const struct exim_dns *dns, struct arena *a)
{
	struct tls_tlsa *v = arena_zalloc(a, (dns->n + 1) * sizeof(*v));

	o->tlsa = v;
	for (size_t i = 0; i < dns->n; i++) {
		struct sv r = dns->rdata[i];
		struct sv data = r.len <= 3 ? SV_NULL : arena_sv(a, sv_sub(r, 3, r.len));

		if (r.len > 3)
			v[o->ntlsa++] = (struct tls_tlsa){ (uint8_t)r.p[0], (uint8_t)r.p[1], (uint8_t)r.p[2],
			    (const uint8_t *)data.p, data.len };
	}
}

/* Are there validated records for <h>?  They are followed then, and nothing less will do. */
static int
fill_dane(struct deliver_opts *o, struct exim_env *env, const struct exim_value *own, const struct deliver_host *h, struct arena *a,
    struct deliver_error *e)
{
	bool must = deliver_host_listed(env, &own[EXIM_SMTP_hosts_require_dane], h);
	struct exim_dns dns;

	if (!must && !(h->dnssec && deliver_host_listed(env, &own[EXIM_SMTP_hosts_try_dane], h)))
		return (0);
	if (!h->dnssec)
		return (dane_error(o, e, h->name, "not DNSSEC"));
	memset(&dns, 0, sizeof(dns));
	dns.result = EXIM_DNS_TEMPFAIL;
	if (env->world->dns != NULL)
		(void)env->world->dns(env->world->arg, arena_fmt(env->arena, "_%u._tcp.%s", h->addr.port, h->name),
		    DNS_TLSA, env->arena, &dns);
	if (dns.result == EXIM_DNS_TEMPFAIL)
		return (dane_error(o, e, "tlsa", "DEFER"));
	if (dns.result == EXIM_DNS_FOUND && dns.secure)
		take_tlsa(o, &dns, a);
	if (o->ntlsa == 0)
		return (must ? dane_error(o, e, "tlsa", "FAIL") : 0);
	o->dane = o->tls_try = o->tls_require = true;
	o->tls_clear_after_fail = false;
	return (0);
}

/* ---- TLS ---- */

struct naming {
	struct exim_env	*env;
	const struct exim_value *v;
	struct sv	 host;
};

/* host_name_extract: by what name the host keeps its TLS sessions; $item is a line of its answer to EHLO. */
static const char *
session_name(void *arg, struct sv ehlo)
{
	struct naming *n = arg;
	struct err err = ERR_INIT;
	struct sv name = SV_NULL, old = n->env->item;

	n->env->item = sv_taint(ehlo);
	if (n->v->str != NULL && exim_expand(n->v->str, n->env, &name, &err) != EXIM_OK)
		name = SV_NULL;
	n->env->item = old;
	return (name.len == 0 ? NULL : arena_cstr(n->env->arena, name));
}

static int
fill_tls(struct deliver_opts *o, struct exim_env *env, const struct exim_value *own, const struct deliver_host *h,
    struct deliver_tls *tls, struct arena *a, struct deliver_error *e)
{
	struct tls_client_conf c;
	struct err err = ERR_INIT;

	o->tls_require = deliver_host_listed(env, &own[EXIM_SMTP_hosts_require_tls], h);
	o->tls_try = o->tls_require || !deliver_host_listed(env, &own[EXIM_SMTP_hosts_avoid_tls], h);
	o->tls_on_connect = sv_eqs(own[EXIM_SMTP_protocol].text, "smtps");
	o->tls_clear_after_fail = own[EXIM_SMTP_tls_tempfail_tryclear].num != 0;
	if (fill_dane(o, env, own, h, a, e) == -1)
		return (-1);
	if ((!o->tls_try && !o->tls_on_connect) || tls == NULL)
		return (0);
	if (tls_conf(&c, env, own, h, a, &e->err) == -1 ||
	    (o->dane ? 0 : cstr_of(env, &own[EXIM_SMTP_tls_sni], "tls_sni", a, &o->sni, &e->err)) == -1)
		return (-1);
	if (o->dane) {
		const char *ciphers;

		c.dane = true;
		c.verify = TLS_VERIFY_NO;
		if (cstr_of(env, &own[EXIM_SMTP_dane_require_tls_ciphers], "dane_require_tls_ciphers", a, &ciphers, &e->err) == -1)
			return (-1);
		if (ciphers != NULL)
			c.ciphers = ciphers;
	}
	if (c.resume) {
		struct naming *n = arena_zalloc(a, sizeof(*n));

		*n = (struct naming){ .env = env, .v = &own[EXIM_SMTP_host_name_extract] };
		o->session_name = session_name;
		o->session_arg = n;
	}
	if ((o->tls = deliver_tls_get(tls, &c, &err)) == NULL)
		o->tls_trouble = arena_str(a, err.text);
	return (0);
}

static void
fill_interface(struct deliver_opts *o, struct exim_env *env, const struct exim_value *v, const struct deliver_host *h, struct arena *a)
{
	struct err err = ERR_INIT;
	struct net_addr one;
	struct sv list, item;
	int sep = 0;

	if ((v->str == NULL && v->text.len == 0) || deliver_text(env, v, &list, &err) == -1)
		return;
	while (exim_list_next(&list, &sep, env->arena, &item))
		if (net_addr_parse(item, &one) && one.family == h->addr.family) {
			o->from = arena_dup(a, &one, sizeof(one));
			return;
		}
}

static int64_t
ms(const struct exim_value *v)
{
	return (v->num <= 0 ? NO_LIMIT_MS : v->num * 1000);
}

static int
fill_socket(struct deliver_opts *o, struct exim_env *env, const struct exim_value *own, const struct deliver_host *h, struct arena *a,
    struct err *err)
{
	struct sv text;

	fill_interface(o, env, &own[EXIM_SMTP_interface], h, a);
	o->keepalive = own[EXIM_SMTP_keepalive].num != 0;
	o->fastopen = deliver_host_listed(env, &own[EXIM_SMTP_hosts_try_fastopen], h);
	o->dscp = -1;
	if (deliver_text(env, &own[EXIM_SMTP_dscp], &text, err) == -1)
		return (-1);
	if (text.len > 0)
		o->dscp = net_dscp_parse(sv_trim(text));
	o->pipe_connect = deliver_host_listed(env, &own[EXIM_SMTP_hosts_pipe_connect], h);
	if (deliver_text(env, &own[EXIM_SMTP_socks_proxy], &text, err) == -1) {
		err_prefix(err, "failed to expand socks_proxy");
		return (-1);
	}
	if (text.len > 0 && deliver_socks_list(env, text, a, &o->proxies, &o->nproxies, err) == -1) {
		err->cls = ERR_TEMP;
		return (-1);
	}
	o->connect_ms = ms(&own[EXIM_SMTP_connect_timeout]);
	o->command_ms = ms(&own[EXIM_SMTP_command_timeout]);
	o->data_ms = ms(&own[EXIM_SMTP_data_timeout]);
	o->final_ms = ms(&own[EXIM_SMTP_final_timeout]);
	return (0);
}

static void
set_host(struct exim_env *env, const struct deliver_host *h)
{
	char text[NET_ADDR_TEXT_MAX];
	struct net_addr bare = h->addr;

	bare.port = 0;
	env->addr->host = sv_cstr(h->name);
	env->addr->host_address = sv_cstr(arena_str(env->arena, net_addr_text(&bare, text)));
	env->addr->host_port = h->addr.port;
}

/* ---- when the connection stands ---- */

struct late {
	struct exim_env	*env;
	const struct exim_value *helo;
	struct arena	*a;
	bool		 auth;		/* we may log in there */
};

/* $tls_out_... */
static void
fill_tls_out(struct exim_env *env, const struct stream *s, const struct deliver_opts *o, struct arena *a)
{
	struct exim_tls *t = &env->addr->tls_out;
	struct stream_tls_facts f;
	struct sv rest;

	memset(t, 0, sizeof(*t));
	if (!stream_is_tls(s))
		return;
	stream_tls_facts(s, &f);
	t->cipher = sv_cstr(arena_str(a, stream_tls_cipher(s)));
	t->cipher_std = sv_cstr(arena_str(a, f.standard));
	rest = t->cipher;
	(void)sv_next(&rest, ':', &t->ver);
	t->sni = sv_cstr(arena_str(a, stream_tls_sni(s)));
	t->peerdn = sv_taint(sv_cstr(arena_str(a, f.peer_dn)));
	t->bits = f.bits;
	t->verified = stream_tls_verified(s);
	t->dane = stream_tls_dane(s);
	t->resumption = stream_tls_resumed(s) ? 0x17 : 1;
	t->ocsp = f.ocsp;
	/* A bit for each kind of record that was found. */
	for (size_t i = 0; i < o->ntlsa; i++)
		t->tlsa_usage |= 1 << (o->tlsa[i].usage & 7);
	t->ourcert = f.own;
	t->peercert = f.peer;
}

static void
fill_local(struct exim_env *env, const struct deliver_conn *c, struct arena *a)
{
	char text[NET_ADDR_TEXT_MAX];
	struct net_addr bare = *deliver_local(c);

	bare.port = 0;
	env->addr->sending_ip_address = sv_cstr(arena_str(a, net_addr_text(&bare, text)));
	env->addr->sending_port = deliver_local(c)->port;
}

/* What we say of ourselves.  A forced failure counts: nothing could be said to the host. */
static int
fill_helo(const char **out, struct exim_env *env, const struct exim_value *v, struct arena *a, struct err *err)
{
	struct sv helo = v->text;

	if (v->str != NULL && exim_expand(v->str, env, &helo, err) != EXIM_OK) {
		err_prefix(err, "failed to expand helo_data");
		err->cls = ERR_TEMP;
		return (-1);
	}
	*out = arena_cstr(a, helo.len > 0 ? helo : env->g->primary_hostname);
	return (0);
}

static int
at_connection(void *arg, bool auth, const struct deliver_conn *c, struct deliver_opts *o, struct err *err)
{
	struct late *l = arg;

	if (auth) {
		fill_tls_out(l->env, deliver_stream(c), o, l->a);
		if (l->auth && o->auths == NULL)
			deliver_auths(o, l->env, l->a);
		return (0);
	}
	fill_local(l->env, c, l->a);
	return (l->helo->str == NULL ? 0 : fill_helo(&o->helo, l->env, l->helo, l->a, err));
}

/* What event_action of the transport says to something on the way to <to>, which lives as long as whoever wants the connection. */
struct notice {
	struct exim_env	*env;
	const struct exim_transport *t;
	const struct deliver_opts *o;
	struct arena	*a;
	const struct deliver_host *to;
};

static struct sv
told(struct notice *n, const struct deliver_conn *c, const char *name, struct sv data, void *cert)
{
	struct exim_tls *t = &n->env->addr->tls_out;
	void *peer = t->peercert;
	struct sv r;

	set_host(n->env, n->to);
	if (c != NULL)
		fill_local(n->env, c, n->a);
	/* The chain is looked at before the session counts. */
	if (cert != NULL)
		t->peercert = cert;
	else if (c != NULL && stream_is_tls(deliver_stream(c)))
		fill_tls_out(n->env, deliver_stream(c), n->o, n->a);
	r = deliver_event_of(n->t, n->env, name, data, 0);
	if (cert != NULL)
		t->peercert = peer;
	return (r);
}

static struct sv
notice(void *arg, const struct deliver_conn *c, const char *name, struct sv data, void *cert)
{
	struct notice *n = arg;
	struct exim_address nobody, *old = n->env->addr;
	struct sv r;

	/* A connection may end when no address is looked at any more. */
	if (old == NULL) {
		memset(&nobody, 0, sizeof(nobody));
		n->env->addr = &nobody;
	}
	r = told(n, c, name, data, cert);
	n->env->addr = old;
	return (r);
}

static void
fill_event(struct deliver_opts *o, struct exim_env *env, const struct exim_transport *t, const struct deliver_host *h, struct arena *a)
{
	struct notice *n;

	if (t->d.generic[EXIM_TRANSPORT_event_action].str == NULL)
		return;
	n = arena_alloc(a, sizeof(*n));
	*n = (struct notice){ .env = env, .t = t, .o = o, .a = a, .to = h };
	o->event = notice;
	o->event_arg = n;
}

static bool
may_log_in(struct deliver_opts *o, struct exim_env *env, const struct exim_value *own, const struct deliver_host *h)
{
	o->auth_require = deliver_host_listed(env, &own[EXIM_SMTP_hosts_require_auth], h);
	return (o->auth_require || deliver_host_listed(env, &own[EXIM_SMTP_hosts_try_auth], h));
}

static bool
same_login(const struct deliver_auth *x, const struct deliver_auth *y)
{
	if (strcmp(x->mechanism, y->mechanism) != 0 || x->nstrings != y->nstrings)
		return (false);
	for (size_t i = 0; i < x->nstrings; i++)
		if (!sv_eq(x->strings[i], y->strings[i]))
			return (false);
	return (true);
}

bool
deliver_still_fits(const struct deliver_conn *c, const struct deliver_opts *o, struct exim_env *env, const struct exim_transport *t,
    struct arena *a)
{
	const struct exim_value *own = t->d.own;
	const struct deliver_host *h = deliver_conn_host(c);
	struct deliver_opts now = { .helo = NULL };
	struct err err = ERR_INIT;
	bool yes;

	/* Where a TLS session shall not go on to another message, neither does its connection. */
	if (stream_is_tls(deliver_stream(c)) && (deliver_host_listed(env, &own[EXIM_SMTP_hosts_nopass_tls], h) ||
	    deliver_host_listed(env, &own[EXIM_SMTP_hosts_noproxy_tls], h)))
		return (false);
	set_host(env, h);
	fill_local(env, c, a);
	fill_tls_out(env, deliver_stream(c), o, a);
	if (fill_helo(&now.helo, env, &own[EXIM_SMTP_helo_data], a, &err) == -1)
		return (false);
	fill_interface(&now, env, &own[EXIM_SMTP_interface], h, a);
	if (may_log_in(&now, env, own, h))
		deliver_auths(&now, env, a);
	yes = strcmp(o->helo, now.helo) == 0 && (o->from == NULL) == (now.from == NULL) &&
	    (o->from == NULL || net_addr_eq(o->from, now.from)) && o->nauths == now.nauths;
	for (size_t i = 0; i < now.nauths && yes; i++)
		yes = same_login(&o->auths[i], &now.auths[i]);
	return (yes);
}

int
deliver_options(struct deliver_opts *o, struct exim_env *env, const struct exim_transport *t, const struct deliver_host *h,
    struct deliver_tls *tls, struct arena *a, struct deliver_error *e)
{
	const struct exim_value *own = t->d.own;
	struct late *l = arena_alloc(a, sizeof(*l));

	memset(o, 0, sizeof(*o));
	exim_env_at(env, "transport", &t->d);
	set_host(env, h);
	memset(&env->addr->tls_out, 0, sizeof(env->addr->tls_out));
	*l = (struct late){ .env = env, .helo = &own[EXIM_SMTP_helo_data], .a = a };
	o->late = at_connection;
	o->late_arg = l;
	if (own[EXIM_SMTP_helo_data].str == NULL)
		(void)fill_helo(&o->helo, env, &own[EXIM_SMTP_helo_data], a, &e->err);
	o->lmtp = sv_eqs(own[EXIM_SMTP_protocol].text, "lmtp");
	o->ignore_quota = o->lmtp && own[EXIM_SMTP_lmtp_ignore_quota].num != 0;
	o->size_addition = own[EXIM_SMTP_size_addition].num;
	o->esmtp = !deliver_host_listed(env, &own[EXIM_SMTP_hosts_avoid_esmtp], h);
	o->pipelining = !deliver_host_listed(env, &own[EXIM_SMTP_hosts_avoid_pipelining], h);
	o->chunking = deliver_host_listed(env, &own[EXIM_SMTP_hosts_try_chunking], h);
	o->prdr = deliver_host_listed(env, &own[EXIM_SMTP_hosts_try_prdr], h);
	l->auth = may_log_in(o, env, own, h);
	fill_event(o, env, t, h, a);
	if (fill_socket(o, env, own, h, a, &e->err) == -1 || fill_tls(o, env, own, h, tls, a, e) == -1) {
		if (e->err.cls == ERR_NONE)
			e->err.cls = ERR_TEMP;
		return (-1);
	}
	return (0);
}

void
deliver_options_free(struct deliver_opts *o)
{
	if (o->tls != NULL)
		tls_client_free(&o->tls);
}

/* ---- one message ---- */

static int
auth_of(struct deliver_message *m, struct exim_env *env, const struct exim_value *own, const struct deliver_conn *c, struct sv sender,
    struct err *err)
{
	struct sv text;

	m->auth_sender = SV_NULL;
	m->auth_force = own[EXIM_SMTP_authenticated_sender_force].num != 0;
	if (deliver_text(env, &own[EXIM_SMTP_authenticated_sender], &text, err) == -1) {
		err_prefix(err, "failed to expand authenticated_sender");
		return (-1);
	}
	if (text.len > 0)
		sender = arena_sv(env->arena, text);
	if (sender.len > 0 && (m->auth_force || deliver_auth_name(c) != NULL))
		m->auth_sender = sender;
	return (0);
}

int
deliver_message_options(struct deliver_message *m, struct exim_env *env, const struct exim_transport *t, const struct deliver_conn *c,
    struct sv auth_sender, struct err *err)
{
	const struct exim_value *v = &t->d.own[EXIM_SMTP_utf8_downconvert];
	struct sv text = SV_NULL;
	int64_t n = v->num;

	if (v->str != NULL && (deliver_text(env, v, &text, err) == -1 || !num_parse(sv_trim(text), INT32_MIN, INT32_MAX, &n))) {
		err_clear(err);
		n = 0;
	}
	if (v->str == NULL ? !v->set || v->text.len > 0 : sv_trim(text).len > 0)
		m->downconvert = n > 0 ? 1 : n < 0 ? -1 : 0;
	return (auth_of(m, env, t->d.own, c, auth_sender, err));
}

struct sv
deliver_rcpt_address(const struct route_delivery *rd, struct arena *a)
{
	struct sv addr = rd->addr->address;
	ptrdiff_t at = sv_rchr(addr, '@');
	size_t cut = rd->prefix.len + rd->suffix.len;

	if (cut == 0 || at < 0 || (size_t)at < cut || rd->transport == NULL ||
	    rd->transport->d.generic[EXIM_TRANSPORT_rcpt_include_affixes].num != 0)
		return (addr);
	return (sv_taint(sv_cstr(arena_fmt(a, SV_FMT SV_FMT, SV_ARG(sv_sub(addr, rd->prefix.len, (size_t)at - rd->suffix.len)),
	    SV_ARG(sv_sub(addr, (size_t)at, addr.len))))));
}
