/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an attempt leaves besides deliveries: the message of an autoreply, events, and recipients that stay.  With one_time of a redirect
 * router the addresses that it made stay in place of the recipient, which is done.
 */
#include <string.h>

#include "deliver/client.h"
#include "deliver/event.h"
#include "deliver_int.h"
#include "spool/envelope.h"

void
dattempt_reply(struct attempt *at, const struct transport_delivery *td, struct transport_job *j, struct transport_result *r, int fd)
{
	struct transport_reply reply;
	struct transport_result note;
	struct err err = ERR_INIT;
	struct dmsg *m = at->m;
	int rc;

	if (transport_reply_compose(td, j, r, fd, &reply, &err) == -1) {
		(void)transport_fail(r, m->arena, TRANSPORT_DEFER, 0, "%s", err.text);
		return;
	}
	if (reply.bad.len > 0) {
		char id[SPOOL_ID_SIZE];

		spool_id_new(id);
		dlog(at->d, DLOG_MAIN | DLOG_PANIC, "%s %s bad addresses found in headers", id, id);
		dlog(at->d, DLOG_MAIN, "%s Error while reading message with no usable sender address (R=%s): at least one malformed recipient "
		    "address: " SV_FMT, id, m->id, SV_ARG(reply.bad));
		(void)transport_fail(r, m->arena, TRANSPORT_DEFER, 0, "Failed to send message from %s transport (1)", td->t->d.name);
		return;
	}
	if (reply.nrcpts == 0 && reply.dropped) {
		memset(r, 0, sizeof(*r));
		return;
	}
	rc = dreceive_as(at->d, m, j->uid, reply.text, reply.rcpts, reply.nrcpts);
	/* That he cannot send will be the same next time: he counts as answered. */
	if (rc == 1 && j->once.len > 0) {
		j->phase = TRANSPORT_REPLY_NOTE;
		j->log = SV_NULL;
		transport_run(j, fd, 0, m->arena, &note);
	}
	if (at->d->now)
		ddeliver_pending(at->d);
	denv_message(at->d, m);
	if (rc != 0) {
		(void)transport_fail(r, m->arena, TRANSPORT_DEFER, 0, "Failed to send message from %s transport (%d)",
		    td->t->d.name, rc);
		return;
	}
	j->phase = TRANSPORT_REPLY_NOTE;
	if (j->once.len > 0 || j->log.len > 0)
		transport_run(j, fd, 0, m->arena, &note);
	memset(r, 0, sizeof(*r));
}

/* ---- events ---- */

/* The variables of <e>: of its delivery with the host that had it, or of an address that went nowhere. */
static void
fill_address(struct attempt *at, const struct event *e, const struct deliver_host *h, struct exim_address *a)
{
	const struct exim_address *now = at->d->t->env.addr;
	struct exim_tls tls;
	struct net_addr bare;
	char text[NET_ADDR_TEXT_MAX];

	memset(&tls, 0, sizeof(tls));
	if (h != NULL && now != NULL)
		tls = now->tls_out;
	if (e->rd != NULL) {
		denv_delivery(at->d, at->m, e->rd, a);
	} else {
		ptrdiff_t sign = sv_rchr(e->addr->address, '@');

		memset(a, 0, sizeof(*a));
		a->local_part = sv_sub(e->addr->address, 0, sign < 0 ? e->addr->address.len : (size_t)sign);
		a->domain = sign < 0 ? SV_LIT("") : sv_sub(e->addr->address, (size_t)sign + 1, e->addr->address.len);
		if (e->f != NULL && e->f->router != NULL)
			a->router_name = sv_cstr(e->f->router->d.name);
	}
	a->tls_out = tls;
	a->host = a->host_address = SV_NULL;
	a->host_port = 0;
	if (h == NULL)
		return;
	bare = h->addr;
	bare.port = 0;
	a->host = sv_cstr(h->name);
	a->host_address = sv_cstr(arena_str(at->m->arena, net_addr_text(&bare, text)));
	a->host_port = h->addr.port;
}

void
dattempt_event(struct attempt *at, const struct event *e, const char *name, struct sv data, const struct deliver_host *h)
{
	const struct exim_transport *t = e == NULL || e->rd == NULL ? NULL : e->rd->transport;
	const struct exim_str *action = t != NULL ? t->d.generic[EXIM_TRANSPORT_event_action].str :
	    at->d->conf->main[EXIM_MAIN_event_action].str;
	struct exim_env *env = &at->d->t->env;
	struct exim_address a, *addr = env->addr;
	struct sv path = at->d->t->msg.return_path;

	if (action == NULL)
		return;
	memset(&a, 0, sizeof(a));
	if (e != NULL)
		fill_address(at, e, h, &a);
	env->addr = &a;
	(void)deliver_event(action, env, t == NULL ? NULL : t->d.name, name, data.p == NULL ? data : sv_taint(data), 0);
	env->addr = addr;
	at->d->t->msg.return_path = path;
}

void
dattempt_event_fail(struct attempt *at, const struct event *e, struct sv text, const struct deliver_host *h)
{
	const struct exim_transport *t = e->rd == NULL ? NULL : e->rd->transport;

	/* What a program or a file says is nobody's answer. */
	if (t != NULL && t->local && t->drv != EXIM_TRANSPORT_DRV_LMTP && t->drv != EXIM_TRANSPORT_DRV_AUTOREPLY)
		text = SV_NULL;
	dattempt_event(at, e, t == NULL ? "msg:fail:internal" : "msg:fail:delivery", text, h);
}

/* ---- what stays ---- */

/* The address nearest to the recipient that a list made once and for all; NULL: none did. */
static const struct route_addr *
made_once(const struct event *e)
{
	const struct route_addr *one = NULL;

	for (const struct route_addr *a = e->addr; a->parent != NULL; a = a->parent)
		if (a->router != NULL && a->router->drv == EXIM_ROUTER_DRV_REDIRECT &&
		    a->router->d.own[EXIM_REDIRECT_one_time].num != 0)
			one = a;
	return (one);
}

void
dattempt_open(struct attempt *at, const struct event *e)
{
	const struct route_addr *one = dline_pfr(e->rd) ? NULL : made_once(e);
	struct once o = { .top = e->top };

	if (one == NULL) {
		vec_push(&at->open, e->top);
		return;
	}
	o.addr = one->address;
	if (e->rd != NULL && e->rd->errors_to_set)
		o.errors_to = e->rd->errors_to;
	else if (e->f != NULL && e->f->errors_to_set)
		o.errors_to = e->f->errors_to;
	vec_push(&at->open, one->address);
	vec_push(&at->once, o);
}

static ptrdiff_t
recipient(const struct dmsg *m, struct sv addr)
{
	for (size_t i = 0; i < m->rcpts.len; i++)
		if (sv_eq(m->rcpts.p[i].addr, addr))
			return ((ptrdiff_t)i);
	return (-1);
}

void
dattempt_once(struct attempt *at)
{
	struct dmsg *m = at->m;

	for (size_t i = 0; i < at->once.len; i++) {
		const struct once *o = &at->once.p[i];
		ptrdiff_t top = recipient(m, o->top);
		struct drcpt r = { .addr = o->addr, .errors_to = o->errors_to, .parent = (int)top };

		if (top >= 0 && recipient(m, o->addr) < 0) {
			r.notify = m->rcpts.p[top].notify;
			vec_push(&m->rcpts, r);
		}
	}
}
