/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an attempt leaves besides deliveries: the message of an autoreply, events, and recipients that stay.  With one_time of a redirect
 * router the addresses that it made stay in place of the recipient, which is done.
 */
#include <string.h>

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
		transport_run(j, fd, 0, m->arena, &note);
	}
	/* A reply to nobody is told in the logs, and that is all. */
	if (reply.nrcpts == 0)
		rc = 0;
	if (at->d->now)
		ddeliver_pending(at->d);
	denv_message(at->d, m);
	if (rc != 0) {
		(void)transport_fail(r, m->arena, TRANSPORT_DEFER, 0, "Failed to send message from %s transport (%d)", td->t->d.name, rc);
		return;
	}
	j->phase = TRANSPORT_REPLY_NOTE;
	if (j->once.len > 0 || j->log.len > 0)
		transport_run(j, fd, 0, m->arena, &note);
	memset(r, 0, sizeof(*r));
}

/* ---- events ---- */

void
dattempt_event(struct attempt *at, const struct route_delivery *rd, const char *name, struct sv data)
{
	const struct exim_transport *t = rd == NULL ? NULL : rd->transport;
	const struct exim_str *s = t != NULL ? t->d.generic[EXIM_TRANSPORT_event_action].str :
	    at->d->conf->main[EXIM_MAIN_event_action].str;
	struct exim_env *env = &at->d->t->env;
	struct exim_acl_state st, *acl = env->acl;
	struct exim_address a, *addr = env->addr;
	struct err err = ERR_INIT;
	struct sv out;

	if (s == NULL)
		return;
	memset(&st, 0, sizeof(st));
	if (acl != NULL)
		st = *acl;
	if (rd != NULL)
		denv_delivery(at->d, at->m, rd, &a);
	st.event_name = sv_cstr(name);
	st.event_data = data.p == NULL ? SV_LIT("") : data;
	env->acl = &st;
	if (exim_expand(s, env, &out, &err) == EXIM_FAIL)
		dlog(at->d, DLOG_MAIN | DLOG_PANIC, "%s failed to expand event_action %s: %s", at->m->id, name, err.text);
	env->acl = acl;
	if (rd != NULL)
		denv_message(at->d, at->m);
	env->addr = addr;
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
