/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between vqueued and vstored: batches go on as they are, answers and barrier notices
 * come back as they are.  An answer is never made up: where vstored cannot be asked or
 * its answer is lost, the whole batch gets one temporary error, and the queue sends it
 * again; the delivery ids catch what was stored nevertheless.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "daemon/daemon.h"
#include "log/log.h"
#include "vlocald.h"

#define CALL_MS		50000
#define RECONNECT_MS	300

struct passing {
	struct vlocald	*v;
	struct ipc_peer	*peer;
	uint32_t	 serial;
	uint16_t	 type;
	struct sb	 frame;
};

/* ---- requests ---- */

static void
reply_err(struct ipc_peer *p, uint16_t type, uint32_t serial, const struct err *err)
{
	struct sb r = SB_INIT(4096);

	ipc_begin(&r, type);
	ipc_put_err(&r, err);
	(void)ipc_reply(p, serial, &r, -1);
	sb_free(&r);
}

static void
pass(void *arg)
{
	struct passing *p = arg;
	struct vlocald *v = p->v;
	struct err err = ERR_INIT;
	struct ipc_msg reply;

	if (ipc_call(v->store, &p->frame, -1, &reply, NULL, FIBER_NOW_PLUS(CALL_MS), &err) == -1)
		reply_err(p->peer, p->type, p->serial, &err);
	else {
		ipc_begin(&p->frame, p->type);
		sb_add(&p->frame, reply.body);
		(void)ipc_reply(p->peer, p->serial, &p->frame, -1);
		ipc_msg_free(&reply);
	}
	v->in_flight--;
	fiber_waiters_wake_one(&v->credit);
	ipc_peer_unref(&p->peer);
	sb_free(&p->frame);
	free(p);
}

static void
pass_on(struct vlocald *v, struct ipc_peer *peer, const struct ipc_msg *m)
{
	struct passing *p = xcalloc(1, sizeof(*p));

	p->v = v;
	p->peer = ipc_peer_ref(peer);
	p->serial = m->serial;
	p->type = m->type;
	sb_init(&p->frame, IPC_FRAME_MAX + 64);
	ipc_begin(&p->frame, m->type);
	sb_add(&p->frame, m->body);
	v->in_flight++;
	if (fiber_spawn("pass", pass, p) == NULL) {
		struct err err = ERR_INIT;

		(void)err_set(&err, ERR_TEMP, "4.3.2", "too many fibers");
		reply_err(p->peer, p->type, p->serial, &err);
		v->in_flight--;
		ipc_peer_unref(&p->peer);
		sb_free(&p->frame);
		free(p);
	}
}

static void
push_barrier(const struct vlocald *v, struct ipc_peer *p)
{
	struct sb m = SB_INIT(128);

	store_barrier_put(&m, v->commit, v->instance);
	(void)ipc_push(p, &m);
	sb_free(&m);
}

static void
hello(struct vlocald *v, struct ipc_peer *p)
{
	bool known = false;

	for (size_t i = 0; i < v->hello.len; i++)
		known = known || v->hello.p[i] == p;
	if (!known)
		vec_push(&v->hello, p);
	/* Before vstored has spoken there is nothing to say. */
	if (v->instance != 0)
		push_barrier(v, p);
}

static void
message(void *arg, struct ipc_peer *p, const struct ipc_msg *m, int fd)
{
	struct vlocald *v = arg;

	if (fd != -1)
		(void)close(fd);
	if (m->type == STORE_IPC_HELLO) {
		hello(v, p);
		return;
	}
	if ((m->type != STORE_IPC_DELIVER && m->type != STORE_IPC_FORGET) ||
	    (m->type == STORE_IPC_DELIVER && deliver_local(v, m) == LOCAL_MALFORMED)) {
		log_warn(NULL, "a malformed request; its sender is cut off");
		ipc_peer_close(p);
		return;
	}
	while (v->in_flight >= IN_FLIGHT_MAX)
		if (fiber_waiters_wait(&v->credit, FIBER_FOREVER) == FIBER_CANCELLED)
			return;
	pass_on(v, p, m);
}

static void
closed(void *arg, struct ipc_peer *p)
{
	struct vlocald *v = arg;

	for (size_t i = 0; i < v->hello.len; i++)
		if (v->hello.p[i] == p) {
			vec_remove(&v->hello, i);
			break;
		}
}

/* ---- the store's side ---- */

static void
on_notice(void *arg, const struct ipc_msg *m)
{
	struct vlocald *v = arg;

	if (!store_barrier_read(m, &v->commit, &v->instance))
		return;
	for (size_t i = 0; i < v->hello.len; i++)
		push_barrier(v, v->hello.p[i]);
}

static void
on_connect(void *arg, struct ipc_client *c)
{
	(void)arg;
	store_barrier_subscribe(c);
}

/* Barrier notices come only over a connection, so there has to be one, and again after vstored was away. */
static void
stay_connected(void *arg)
{
	struct vlocald *v = arg;
	bool told = false;

	while (!v->draining) {
		struct err err = ERR_INIT;

		if (!ipc_client_connected(v->store) && ipc_client_connect(v->store, &err) == -1) {
			if (!told)
				log_warn(NULL, "vstored does not answer, deliveries wait: %s", err.text);
			told = true;
		} else if (told) {
			log_info(NULL, "vstored answers again");
			told = false;
		}
		if (fiber_sleep(RECONNECT_MS) == FIBER_CANCELLED)
			break;
	}
}

int
relay_start(struct vlocald *v, struct err *err)
{
	const struct ipc_handler h = { .message = message, .closed = closed, .arg = v };
	int fd;

	v->store = ipc_client_new(box_path(v->box, BOX_SOCK_STORE));
	ipc_client_on_notice(v->store, on_notice, v);
	ipc_client_on_connect(v->store, on_connect, v);
	if (fiber_spawn("store", stay_connected, v) == NULL)
		return (err_set(err, ERR_TEMP, NULL, "too many fibers"));
	if ((fd = ipc_listen(box_path(v->box, BOX_SOCK_LOCAL), 0600, err)) == -1)
		return (-1);
	v->server = ipc_server_new(fd, &h, false, err);
	return (v->server == NULL ? -1 : 0);
}

void
relay_drain(struct vlocald *v)
{
	v->draining = true;
	while (v->in_flight > 0)
		if (fiber_sleep(10) == FIBER_CANCELLED)
			break;
	/* Replies are written at the end of this turn. */
	(void)fiber_sleep(20);
	daemon_worker_done(v->daemon);
}
