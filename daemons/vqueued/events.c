/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * event_action for what becomes of messages.  Whoever ends a delivery may not park, and an expansion may: events wait in a
 * line for a few fibers of their own, and their message is under way until they were told, so that its completion comes
 * last.  Where no event_action is set, nothing is done at all.  Events that may forbid something are raised where it is
 * done (lib/deliver), on the fiber that does it.
 */
#include <stdlib.h>
#include <string.h>

#include "deliver/event.h"
#include "vqueued_int.h"

struct event {
	struct event	*next;
	struct msg	*m;
	const char	*name;
	const struct exim_transport *t;	/* NULL: the configuration's own */
	const struct dlv *d;		/* NULL: about an address, or the message */
	struct sv	 address, data;
	const char	*router;
	const struct event_host *at;
	bool		 last;		/* its message is over then */
};

static bool
is_wanted(const struct vq *vq, const struct exim_transport *t)
{
	return ((t != NULL ? t->d.generic[EXIM_TRANSPORT_event_action].str : vq->conf->main[EXIM_MAIN_event_action].str) != NULL);
}

bool
events_wanted(const struct dlv *d)
{
	return (is_wanted(d->m->vq, d->rd->transport));
}

static void
add(struct msg *m, const struct event *like)
{
	struct vq *vq = m->vq;
	struct event *e = arena_dup(m->arena, like, sizeof(*like));

	e->m = m;
	e->next = NULL;
	*vq->event_last = e;
	vq->event_last = &e->next;
	if (!e->last)
		msg_hold(m);
	fiber_waiters_wake_one(&vq->event_wait);
}

/* What a program or a file says is nobody's answer. */
static bool
has_data(const struct exim_transport *t)
{
	return (!t->local || t->drv == EXIM_TRANSPORT_DRV_LMTP || t->drv == EXIM_TRANSPORT_DRV_AUTOREPLY);
}

void
events_delivered(const struct dlv *d)
{
	struct event e = { .name = "msg:delivery", .t = d->rd->transport, .d = d, .at = d->at };

	if (e.t == NULL || !events_wanted(d))
		return;
	e.data = d->at == NULL || !has_data(e.t) ? SV_NULL : d->at->said;
	add(d->m, &e);
}

void
events_failed(const struct dlv *d, const struct err *err)
{
	struct msg *m = d->m;
	struct event e = { .name = d->rd->transport != NULL ? "msg:fail:delivery" : "msg:fail:internal", .t = d->rd->transport, .d = d,
	    .at = d->at };

	if (!events_wanted(d))
		return;
	if (e.t == NULL || has_data(e.t))
		e.data = arena_sv(m->arena, sv_cstr(err->text));
	add(m, &e);
}

void
events_address_failed(struct msg *m, struct sv address, const char *router, const struct err *err)
{
	struct event e = { .name = "msg:fail:internal" };

	if (!is_wanted(m->vq, NULL))
		return;
	e.address = arena_sv(m->arena, address);
	e.router = router;
	e.data = arena_sv(m->arena, sv_cstr(err->text));
	add(m, &e);
}

bool
events_completed(struct msg *m)
{
	const struct event e = { .name = "msg:complete", .last = true };

	if (!is_wanted(m->vq, NULL))
		return (false);
	add(m, &e);
	return (true);
}

void
events_host(struct dlv *d, const struct exim_address *a, const char *said)
{
	struct arena *arena = d->m->arena;
	struct event_host *h;

	if (!events_wanted(d))
		return;
	d->at = h = arena_zalloc(arena, sizeof(*h));
	h->host = arena_sv(arena, a->host);
	h->address = arena_sv(arena, a->host_address);
	h->port = a->host_port;
	h->cipher = arena_sv(arena, a->tls_out.cipher);
	h->peerdn = arena_sv(arena, a->tls_out.peerdn);
	h->peerdn.tainted = true;
	h->said = sv_taint(arena_sv(arena, sv_cstr(said)));
}

/* ---- telling them ---- */

static void
fill_address(struct vq_env *e, const struct event *ev)
{
	ptrdiff_t at;

	if (ev->d != NULL) {
		env_delivery(e, ev->d);
	} else if (ev->address.p != NULL) {
		at = sv_rchr(ev->address, '@');
		e->addr.local_part = sv_sub(ev->address, 0, at < 0 ? ev->address.len : (size_t)at);
		e->addr.domain = at < 0 ? SV_LIT("") : sv_sub(ev->address, (size_t)at + 1, ev->address.len);
		e->addr.router_name = sv_cstr(ev->router);
	}
	if (ev->at == NULL)
		return;
	e->addr.host = ev->at->host;
	e->addr.host_address = ev->at->address;
	e->addr.host_port = ev->at->port;
	e->addr.tls_out.cipher = ev->at->cipher;
	e->addr.tls_out.peerdn = ev->at->peerdn;
}

static void
tell(struct vq *vq, struct vq_env *e, const struct event *ev)
{
	struct msg *m = ev->m;

	env_open(e, vq, m);
	fill_address(e, ev);
	if (ev->t != NULL)
		(void)deliver_event_of(ev->t, &e->env, ev->name, ev->data.p == NULL ? ev->data : sv_taint(ev->data), 0);
	else
		(void)deliver_event(vq->conf->main[EXIM_MAIN_event_action].str, &e->env, NULL, ev->name,
		    ev->data.p == NULL ? ev->data : sv_taint(ev->data), 0);
	env_close(e);
}

void
events_fiber(void *arg)
{
	struct vq *vq = arg;
	struct vq_env env = { .arena = NULL };
	struct event *e;

	for (;;) {
		while ((e = vq->event_head) != NULL) {
			struct msg *m = e->m;

			if ((vq->event_head = e->next) == NULL)
				vq->event_last = &vq->event_head;
			tell(vq, &env, e);
			if (e->last)
				msg_told(m);
			else
				msg_release(m);
		}
		if (fiber_waiters_wait(&vq->event_wait, FIBER_FOREVER) == FIBER_CANCELLED)
			break;
	}
	arena_free(&env.arena);
}
