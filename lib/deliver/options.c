/* SPDX-License-Identifier: BSD-2-Clause */
/* An smtp transport's options for one host: names, TLS, ways to log in, local address, times. */
#include <string.h>

#include "deliver/options.h"
#include "exim/expand.h"
#include "exim/match.h"
#include "io/stream.h"

#define AUTHS_MAX	8
#define STRINGS_MAX	16
#define NO_LIMIT_MS	INT64_C(3600000)

static int
text_of(struct exim_env *env, const struct exim_value *v, struct sv *out, struct err *err)
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

/* ---- logging in ---- */

/* client_send: "^user^pass", or "name : pass"; a circumflex is a NUL, two are one. */
static void
auth_strings(struct deliver_auth *da, struct sv list, struct arena *a)
{
	struct sv item, *v = arena_alloc(a, STRINGS_MAX * sizeof(*v));
	int sep = 0;

	da->strings = v;
	while (da->nstrings < STRINGS_MAX && exim_list_next(&list, &sep, a, &item)) {
		char *p = arena_alloc(a, item.len + 1);
		size_t n = 0;

		for (size_t i = 0; i < item.len; i++) {
			if (item.p[i] == '^' && i + 1 < item.len && item.p[i + 1] == '^')
				p[n++] = item.p[i++];
			else
				p[n++] = item.p[i] == '^' ? '\0' : item.p[i];
		}
		v[da->nstrings++] = sv_from(p, n);
	}
}

static void
fill_auths(struct deliver_opts *o, struct exim_env *env, struct arena *a)
{
	const struct exim_conf *c = env->conf;
	struct deliver_auth *v = arena_zalloc(a, AUTHS_MAX * sizeof(*v));

	o->auths = v;
	for (size_t i = 0; i < c->nauths && o->nauths < AUTHS_MAX; i++) {
		const struct exim_auth *au = c->auths[i];
		const struct exim_value *cond = &au->d.generic[EXIM_AUTH_client_condition];
		struct err err = ERR_INIT;
		struct sv send;
		bool yes = true;

		if (!au->client || au->drv != EXIM_AUTH_DRV_PLAINTEXT)
			continue;
		if (cond->str != NULL && (exim_expand_bool(cond->str, env, false, &yes, &err) != EXIM_OK || !yes))
			continue;
		if (text_of(env, &au->d.own[EXIM_PLAINTEXT_client_send], &send, &err) == -1 || send.p == NULL)
			continue;
		v[o->nauths].mechanism = au->public_name;
		v[o->nauths].name = au->d.name;
		auth_strings(&v[o->nauths++], send, a);
	}
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
fill_tls_out(struct late *l, const struct stream *s)
{
	struct exim_tls *t = &l->env->addr->tls_out;
	struct stream_tls_facts f;
	struct sv rest;

	memset(t, 0, sizeof(*t));
	if (!stream_is_tls(s))
		return;
	stream_tls_facts(s, &f);
	t->cipher = sv_cstr(arena_str(l->a, stream_tls_cipher(s)));
	t->cipher_std = sv_cstr(arena_str(l->a, f.standard));
	rest = t->cipher;
	(void)sv_next(&rest, ':', &t->ver);
	t->sni = sv_cstr(arena_str(l->a, stream_tls_sni(s)));
	t->peerdn = sv_taint(sv_cstr(arena_str(l->a, f.peer_dn)));
	t->bits = f.bits;
	t->verified = f.verified;
	t->resumption = stream_tls_resumed(s) ? 0x10 | 0x2 : 0;
	t->ourcert = f.own;
	t->peercert = f.peer;
}

static int
at_connection(void *arg, bool auth, const struct deliver_conn *c, struct deliver_opts *o, struct err *err)
{
	struct late *l = arg;
	char text[NET_ADDR_TEXT_MAX];
	struct sv helo;

	if (l->env->addr == NULL)
		return (0);
	if (auth) {
		fill_tls_out(l, deliver_stream(c));
		if (l->auth && o->auths == NULL)
			fill_auths(o, l->env, l->a);
		return (0);
	}
	l->env->addr->sending_ip_address = sv_cstr(arena_str(l->a, net_addr_text(deliver_local(c), text)));
	l->env->addr->sending_port = deliver_local(c)->port;
	if (l->helo->str == NULL)
		return (0);
	/* A forced failure counts here: nothing could be said to the host. */
	if (exim_expand(l->helo->str, l->env, &helo, err) != EXIM_OK) {
		err_prefix(err, "failed to expand helo_data");
		err->cls = ERR_TEMP;
		return (-1);
	}
	o->helo = arena_cstr(l->a, helo.len > 0 ? helo : l->env->g->primary_hostname);
	return (0);
}

/* ---- TLS, addresses, times ---- */

static void
fill_tls(struct deliver_opts *o, struct exim_env *env, const struct exim_value *own, const struct deliver_host *h,
    struct tls_client *(*tls)(void *arg, bool verify), void *arg, struct arena *a)
{
	struct err err = ERR_INIT;
	bool verify = deliver_host_listed(env, &own[EXIM_SMTP_tls_verify_hosts], h);
	struct sv sni = SV_NULL;

	o->tls_require = deliver_host_listed(env, &own[EXIM_SMTP_hosts_require_tls], h);
	o->tls_try = o->tls_require || !deliver_host_listed(env, &own[EXIM_SMTP_hosts_avoid_tls], h);
	o->tls_on_connect = sv_eqs(own[EXIM_SMTP_protocol].text, "smtps");
	o->tls_clear_after_fail = own[EXIM_SMTP_tls_tempfail_tryclear].num != 0;
	o->tls_verified = verify;
	if ((o->tls_try || o->tls_on_connect) && tls != NULL)
		o->tls = tls(arg, verify);
	if (own[EXIM_SMTP_tls_sni].str != NULL && text_of(env, &own[EXIM_SMTP_tls_sni], &sni, &err) == 0 && sni.len > 0)
		o->sni = arena_cstr(a, sni);
}

static void
fill_interface(struct deliver_opts *o, struct exim_env *env, const struct exim_value *v, const struct deliver_host *h, struct arena *a)
{
	struct err err = ERR_INIT;
	struct net_addr one;
	struct sv list, item;
	int sep = 0;

	if (v->str == NULL || text_of(env, v, &list, &err) == -1)
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

int
deliver_options(struct deliver_opts *o, struct exim_env *env, const struct exim_transport *t, const struct deliver_host *h,
    struct tls_client *(*tls)(void *arg, bool verify), void *arg, struct arena *a, struct err *err)
{
	const struct exim_value *own = t->d.own;
	char text[NET_ADDR_TEXT_MAX];
	struct sv helo = own[EXIM_SMTP_helo_data].text;
	struct late *l;

	memset(o, 0, sizeof(*o));
	env->addr->host = sv_cstr(h->name);
	env->addr->host_address = sv_cstr(arena_str(env->arena, net_addr_text(&h->addr, text)));
	env->addr->host_port = h->addr.port;
	(void)err;
	if (own[EXIM_SMTP_helo_data].str == NULL)
		o->helo = arena_cstr(a, helo.len > 0 ? helo : env->g->primary_hostname);
	l = arena_alloc(a, sizeof(*l));
	*l = (struct late){ .env = env, .helo = &own[EXIM_SMTP_helo_data], .a = a };
	o->late = at_connection;
	o->late_arg = l;
	o->lmtp = sv_eqs(own[EXIM_SMTP_protocol].text, "lmtp");
	o->esmtp = !deliver_host_listed(env, &own[EXIM_SMTP_hosts_avoid_esmtp], h);
	o->pipelining = !deliver_host_listed(env, &own[EXIM_SMTP_hosts_avoid_pipelining], h);
	o->chunking = deliver_host_listed(env, &own[EXIM_SMTP_hosts_try_chunking], h);
	o->auth_require = deliver_host_listed(env, &own[EXIM_SMTP_hosts_require_auth], h);
	l->auth = o->auth_require || deliver_host_listed(env, &own[EXIM_SMTP_hosts_try_auth], h);
	fill_tls(o, env, own, h, tls, arg, a);
	fill_interface(o, env, &own[EXIM_SMTP_interface], h, a);
	o->connect_ms = ms(&own[EXIM_SMTP_connect_timeout]);
	o->command_ms = ms(&own[EXIM_SMTP_command_timeout]);
	o->data_ms = ms(&own[EXIM_SMTP_data_timeout]);
	o->final_ms = ms(&own[EXIM_SMTP_final_timeout]);
	return (0);
}
