/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known in memory of the messages of queue/: found by id, listed in the order of their ids, and by the named queue and
 * the domains of their recipients, so that nothing has to be read for a list's next page or a run for one domain.
 */
#include <stdlib.h>
#include <string.h>

#include "vqueued_int.h"

struct qent *
queue_find(struct vq *vq, struct sv id)
{
	return (hash_get(vq->qents, id));
}

/* ---- named queues: each is known while a message is in it ---- */

static struct named_queue *
queue_named(struct vq *vq, struct sv name)
{
	struct named_queue *n = hash_get(vq->queues, name);

	if (n == NULL) {
		n = xcalloc(1, sizeof(*n));
		n->name = xstrndup(name.p, name.len);
		(void)hash_set(vq->queues, name, n);
	}
	return (n);
}

static void
take_out(struct vq *vq, struct named_queue *n)
{
	if (--n->messages > 0)
		return;
	(void)hash_del(vq->queues, sv_cstr(n->name));
	free(n->name);
	free(n);
}

void
queue_into(struct vq *vq, struct qent *e, struct sv name)
{
	struct named_queue *to = queue_named(vq, name), *from = e->of;

	to->messages++;
	if (e->active) {
		from->active--;
		to->active++;
	}
	e->of = to;
	if (from != NULL)
		take_out(vq, from);
}

bool
queue_in(const struct qent *e, struct sv name)
{
	return (sv_eqs(name, SPOOL_QUEUES_ALL) || sv_eqs(name, e->of->name));
}

/* ---- entries ---- */

struct qent *
queue_enter(struct vq *vq, const char *id)
{
	struct qent *e = xcalloc(1, sizeof(*e));

	memcpy(e->id, id, SPOOL_ID_LEN);	/* its form was looked at */
	queue_into(vq, e, SV_LIT(""));
	(void)hash_set(vq->qents, sv_cstr(e->id), e);
	(void)order_add(vq->order, sv_cstr(e->id), e);
	return (e);
}

void
queue_leave(struct vq *vq, struct qent *e)
{
	take_out(vq, e->of);
	(void)order_del(vq->order, sv_cstr(e->id));
	(void)hash_del(vq->qents, sv_cstr(e->id));
	free(e->domains);
	free(e);
}

struct qent *
queue_after(struct vq *vq, const char *id)
{
	const struct order_entry *e = order_after(vq->order, sv_cstr(id));

	return (e == NULL ? NULL : e->value);
}

/* ---- domains ---- */

static uint64_t
domain_key(struct sv domain)
{
	char lower[256];
	size_t n = domain.len < sizeof(lower) ? domain.len : sizeof(lower);

	for (size_t i = 0; i < n; i++)
		lower[i] = sv_lower(domain.p[i]);
	return (hash_bytes(lower, n));
}

static bool
has_key(const struct qent *e, uint64_t key)
{
	for (size_t i = 0; i < e->ndomains; i++)
		if (e->domains[i] == key)
			return (true);
	return (false);
}

void
queue_note_domains(struct qent *e, const struct spool_envelope *env)
{
	size_t room = 0;

	free(e->domains);
	e->domains = NULL;
	e->ndomains = 0;
	e->any_domain = false;
	for (size_t i = 0; i < env->nrcpts; i++) {
		struct sv addr = env->rcpts[i].addr;
		ptrdiff_t at = sv_rchr(addr, '@');
		uint64_t key = domain_key(at < 0 ? SV_LIT("") : sv_sub(addr, (size_t)at + 1, addr.len));

		if (has_key(e, key))
			continue;
		if (e->ndomains == QUEUE_DOMAINS_MAX) {
			e->any_domain = true;
			return;
		}
		if (e->ndomains == room) {
			room = room == 0 ? 1 : room * 2;
			e->domains = xreallocarray(e->domains, room, sizeof(*e->domains));
		}
		e->domains[e->ndomains++] = key;
	}
}

bool
queue_may_be_for(const struct qent *e, struct sv domain)
{
	return (domain.len == 0 || e->unread || e->any_domain || has_key(e, domain_key(domain)));
}
