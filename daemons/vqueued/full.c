/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is a mailbox full?  Workers of vsmtpd see no mailboxes; they name the address, it is routed here, and the process of its user
 * looks, as for a delivery.
 */
#include <stdlib.h>
#include <unistd.h>

#include "route/world.h"
#include "transport/transport.h"
#include "vqueued_int.h"

#define QUESTIONS_MAX	64		/* at the same time */
#define ADDRESS_MAX	1024

struct question {
	struct vq	*vq;
	struct ipc_peer	*peer;
	uint32_t	 serial;
	uint64_t	 size;
	struct vq_env	 e;
	struct sv	 address;	/* in e.arena */
};

static unsigned questions;

/* 1 or 0; -1: it cannot be told now. */
static int
look(struct question *q, const struct transport_job *j, struct err *err)
{
	struct sb frame = SB_INIT(IPC_FRAME_MAX);
	struct transport_job share = *j;
	struct transport_result r = { 0 };
	struct ipc_msg reply = { 0 };
	int rc;

	/* As looks at files have it: no delivery of the account's is waited for. */
	share.home = SV_NULL;
	share.local_part = sv_cstr(arena_fmt(q->e.arena, "look/%lld", (long long)j->uid));
	ipc_begin(&frame, TRANSPORT_IPC_JOB);
	if (!transport_job_put(&frame, j))
		rc = err_set(err, ERR_TEMP, "4.3.0", "its transport has too long names");
	else
		rc = children_do(q->vq, &share, &frame, -1, q->e.arena, &reply, &r, err);
	if (r.changed > 0)
		(void)close(r.changed - 1);
	ipc_msg_free(&reply);
	sb_free(&frame);
	return (rc != 0 ? -1 : r.quota != 0);
}

static int
delivery_full(struct question *q, const struct route_delivery *rd, struct err *err)
{
	struct vq_env *e = &q->e;
	struct transport_delivery td = { .env = &e->env, .t = rd->transport, .rd = &rd, .n = 1, .id = SV_LIT(""), .quota_only = true,
	    .size = q->size, .now = now_s(), .uid = (int64_t)geteuid(), .gid = (int64_t)getegid(),
	    .hostname = arena_cstr(e->arena, q->vq->g.primary_hostname), .arena = e->arena };
	struct transport_result r;
	struct transport_job j;

	route_world_delivery(&e->addr, rd, e->arena);
	e->addr.transport_name = sv_cstr(rd->transport->d.name);
	if (transport_prepare(&td, &j, &r) == -1)
		return (err_set(err, ERR_TEMP, "4.3.0", SV_FMT, SV_ARG(r.text)));
	return (look(q, &j, err));
}

static int
mailbox_full(struct question *q, struct err *err)
{
	struct route_ops ops = q->vq->route_ops;
	struct route_request rq = { .conf = q->vq->conf, .env = &q->e.env, .arena = q->e.arena, .ops = &ops,
	    .mode = ROUTE_VERIFY_RECIPIENT, .address = q->address, .id = SV_LIT("") };
	struct route_result res;
	int rc = 0;

	/* There is no message that a filter could look at, and nothing is told. */
	ops.filter = NULL;
	ops.note = ops.panic = NULL;
	ops.mail = NULL;
	route_address(&rq, &res);
	if (res.verdict == EXIM_OK && res.ndeliveries == 1 && res.delivery[0].transport != NULL &&
	    res.delivery[0].transport->drv == EXIM_TRANSPORT_DRV_APPENDFILE)
		rc = delivery_full(q, &res.delivery[0], err);
	route_result_free(&res);
	return (rc);
}

static void
forget(struct question *q)
{
	ipc_peer_unref(&q->peer);
	env_close(&q->e);
	arena_free(&q->e.arena);
	free(q);
	questions--;
}

static void
answer(void *arg)
{
	struct question *q = arg;
	struct sb reply = SB_INIT(IPC_FRAME_MAX);
	struct err err = ERR_INIT;
	int full;

	ipc_begin(&reply, SPOOL_IPC_FULL + 1);
	if ((full = mailbox_full(q, &err)) == -1)
		ipc_put_err(&reply, &err);
	else
		ipc_put_u64(&reply, SPOOL_T_COUNT, (uint64_t)full);
	(void)ipc_reply(q->peer, q->serial, &reply, -1);
	sb_free(&reply);
	forget(q);
}

int
full_ask(struct vq *vq, struct ipc_peer *p, const struct ipc_msg *m, struct err *err)
{
	struct sv address = ipc_get_bytes(m, SPOOL_T_ADDR);
	struct question *q;

	if (address.len == 0 || address.len > ADDRESS_MAX)
		return (err_set(err, ERR_PERM, "5.5.4", "that is no address"));
	if (questions >= QUESTIONS_MAX)
		return (err_set(err, ERR_TEMP, "4.3.2", "too many mailboxes are looked at"));
	questions++;
	q = xcalloc(1, sizeof(*q));
	q->vq = vq;
	q->peer = ipc_peer_ref(p);
	q->serial = m->serial;
	q->size = ipc_get_u64(m, SPOOL_T_LENGTH, 0);
	env_bare(&q->e, vq);
	q->address = arena_sv(q->e.arena, sv_taint(address));
	if (fiber_spawn("full", answer, q) != NULL)
		return (0);
	forget(q);
	return (err_set(err, ERR_TEMP, "4.3.2", "no fibers"));
}
