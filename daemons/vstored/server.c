/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The socket: requests become jobs; watches, locks and barrier notices are kept here.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "log/log.h"
#include "vstored.h"

#define WATCHES_MAX	200000		/* of one peer */
#define BACKLOG_MAX	(4 * 1024 * 1024) /* unread announcements, past which a peer is told to look at all */

/* Who watches a mailbox. */
struct watchers {
	peers		 v;
};

/* What a peer holds, to be let go with it. */
struct holder {
	VEC(uint64_t)	 watches;
	VEC(uint64_t)	 locks;
	bool		 behind;	/* announcements were left out */
};

static struct sv
key_of(const uint64_t *mbox)
{
	return (sv_from((const char *)mbox, sizeof(*mbox)));
}

static void
drop_peer(peers *v, const struct ipc_peer *p)
{
	for (size_t i = 0; i < v->len; i++)
		if (v->p[i] == p) {
			v->p[i] = v->p[--v->len];
			return;
		}
}

static bool
has_peer(const peers *v, const struct ipc_peer *p)
{
	for (size_t i = 0; i < v->len; i++)
		if (v->p[i] == p)
			return (true);
	return (false);
}

/* ---- watches ---- */

static void
push_changed(struct ipc_peer *p, const uint64_t *mbox, size_t n)
{
	struct sb m = SB_INIT(IPC_FRAME_MAX);

	ipc_begin(&m, STORE_IPC_CHANGED);
	for (size_t i = 0; i < n; i++)
		ipc_put_u64(&m, STORE_T_MBOX, mbox[i]);
	(void)ipc_push(p, &m);
	sb_free(&m);
}

static void
watch(struct vstored *v, struct ipc_peer *p, uint64_t mbox)
{
	struct holder *h = ipc_peer_data(p);
	struct watchers *w = hash_get(v->watchers, key_of(&mbox));

	if (h->watches.len >= WATCHES_MAX)
		return;
	if (w == NULL) {
		w = xcalloc(1, sizeof(*w));
		(void)hash_set(v->watchers, key_of(&mbox), w);
	}
	if (!has_peer(&w->v, p)) {
		vec_push(&w->v, p);
		vec_push(&h->watches, mbox);
	}
}

static void
unwatch(struct vstored *v, struct ipc_peer *p, uint64_t mbox)
{
	struct watchers *w = hash_get(v->watchers, key_of(&mbox));

	if (w == NULL)
		return;
	drop_peer(&w->v, p);
	if (w->v.len > 0)
		return;
	vec_free(&w->v);
	free(hash_del(v->watchers, key_of(&mbox)));
}

/* Notices WATCH and UNWATCH.  What is newly watched is announced once: it may have changed before. */
static void
watch_all(struct vstored *v, struct ipc_peer *p, const struct ipc_msg *m)
{
	struct holder *h = ipc_peer_data(p);
	VEC(uint64_t) ids = VEC_INIT;
	struct ipc_field f;
	size_t pos = 0;

	while (ipc_next(m, &pos, &f)) {
		if (f.tag != STORE_T_MBOX || f.kind != IPC_U64)
			continue;
		if (m->type == STORE_IPC_WATCH) {
			watch(v, p, f.u64);
			vec_push(&ids, f.u64);
			continue;
		}
		unwatch(v, p, f.u64);
		for (size_t i = 0; i < h->watches.len; i++)
			if (h->watches.p[i] == f.u64) {
				h->watches.p[i] = h->watches.p[--h->watches.len];
				break;
			}
	}
	for (size_t i = 0; i < ids.len; i += 4096)
		push_changed(p, ids.p + i, ids.len - i < 4096 ? ids.len - i : 4096);
	vec_free(&ids);
}

/* A slow peer gets no more than it can hold; once it has caught up, all it watches is announced. */
static void
announce_to(struct ipc_peer *p, uint64_t mbox)
{
	struct holder *h = ipc_peer_data(p);

	if (ipc_peer_backlog(p) > BACKLOG_MAX) {
		h->behind = true;
		return;
	}
	if (h->behind) {
		h->behind = false;
		for (size_t i = 0; i < h->watches.len; i += 4096)
			push_changed(p, h->watches.p + i, h->watches.len - i < 4096 ? h->watches.len - i : 4096);
	}
	push_changed(p, &mbox, 1);
}

void
server_announce(struct vstored *v)
{
	for (size_t i = 0; i < v->changed.len; i++) {
		struct watchers *w = hash_get(v->watchers, key_of(&v->changed.p[i]));

		for (size_t j = 0; w != NULL && j < w->v.len; j++)
			announce_to(w->v.p[j], v->changed.p[i]);
	}
	vec_clear(&v->changed);
}

/* ---- locks ---- */

static void
reply_err(struct ipc_peer *p, const struct ipc_msg *m, const struct err *err)
{
	struct sb r = SB_INIT(4096);

	ipc_begin(&r, m->type);
	if (err != NULL)
		ipc_put_err(&r, err);
	(void)ipc_reply(p, m->serial, &r, -1);
	sb_free(&r);
}

static void
lock(struct vstored *v, struct ipc_peer *p, const struct ipc_msg *m)
{
	uint64_t mbox = ipc_get_u64(m, STORE_T_MBOX, 0);
	struct holder *h = ipc_peer_data(p);
	struct err err = ERR_INIT;

	if (hash_get(v->locks, key_of(&mbox)) != NULL) {
		(void)err_set(&err, ERR_TEMP, STORE_E_BODY, "the mailbox is in use by another session");
		reply_err(p, m, &err);
		return;
	}
	(void)hash_set(v->locks, key_of(&mbox), p);
	vec_push(&h->locks, mbox);
	reply_err(p, m, NULL);
}

static void
unlock(struct vstored *v, struct ipc_peer *p, uint64_t mbox)
{
	struct holder *h = ipc_peer_data(p);

	if (hash_get(v->locks, key_of(&mbox)) != p)
		return;
	(void)hash_del(v->locks, key_of(&mbox));
	for (size_t i = 0; i < h->locks.len; i++)
		if (h->locks.p[i] == mbox) {
			h->locks.p[i] = h->locks.p[--h->locks.len];
			break;
		}
}

/* ---- barriers ---- */

static void
push_barrier(struct vstored *v, struct ipc_peer *p)
{
	struct sb m = SB_INIT(128);

	store_barrier_put(&m, store_writer_barrier_done(v->w), v->instance);
	(void)ipc_push(p, &m);
	sb_free(&m);
}

void
server_push_barrier(struct vstored *v)
{
	for (size_t i = 0; i < v->hello.len; i++)
		push_barrier(v, v->hello.p[i]);
}

/* ---- requests ---- */

/* Number of deliveries in the frame, or -1 where it is malformed. */
static int
count_deliveries(const struct ipc_msg *m)
{
	struct store_delivery d;
	size_t pos = 0;
	int rc, n = 0;

	while ((rc = store_deliver_next(m, &pos, &d)) == 1)
		n++;
	return (rc == -1 || n > STORE_DELIVER_MAX ? -1 : n);
}

static void
queue_job(struct vstored *v, struct ipc_peer *p, const struct ipc_msg *m, int fd)
{
	struct job *j;
	int n = 0;

	if (m->type == STORE_IPC_DELIVER && (n = count_deliveries(m)) == -1) {
		log_warn(NULL, "a malformed batch of deliveries; its sender is cut off");
		ipc_peer_close(p);
		if (fd != -1)
			(void)close(fd);
		return;
	}
	j = job_new(p, m, fd);
	j->deliveries = (unsigned)n;
	engine_add(v, j);
}

static void
message(void *arg, struct ipc_peer *p, const struct ipc_msg *m, int fd)
{
	struct vstored *v = arg;

	/* At the end nothing new is begun; the connection breaks when we are gone. */
	if (v->draining) {
		if (fd != -1)
			(void)close(fd);
		return;
	}
	switch (m->type) {
	case STORE_IPC_HELLO:
		if (!has_peer(&v->hello, p))
			vec_push(&v->hello, p);
		push_barrier(v, p);
		break;
	case STORE_IPC_WATCH:
	case STORE_IPC_UNWATCH:
		watch_all(v, p, m);
		break;
	case STORE_IPC_LOCK:
		lock(v, p, m);
		break;
	case STORE_IPC_UNLOCK:
		unlock(v, p, ipc_get_u64(m, STORE_T_MBOX, 0));
		break;
	default:
		queue_job(v, p, m, fd);
		return;
	}
	if (fd != -1)
		(void)close(fd);
}

static void
connected(void *arg, struct ipc_peer *p)
{
	(void)arg;
	ipc_peer_set_data(p, xcalloc(1, sizeof(struct holder)));
}

static void
closed(void *arg, struct ipc_peer *p)
{
	struct vstored *v = arg;
	struct holder *h = ipc_peer_data(p);

	if (h == NULL)
		return;
	for (size_t i = 0; i < h->watches.len; i++)
		unwatch(v, p, h->watches.p[i]);
	while (h->locks.len > 0)
		unlock(v, p, h->locks.p[0]);
	drop_peer(&v->hello, p);
	vec_free(&h->watches);
	vec_free(&h->locks);
	free(h);
	ipc_peer_set_data(p, NULL);
	/* Its process may be dead, with a reader's slot in the index. */
	if (v->w != NULL)
		store_writer_check_readers(v->w);
}

int
server_start(struct vstored *v, struct err *err)
{
	const struct ipc_handler h = { .message = message, .connected = connected, .closed = closed, .arg = v };
	int fd = ipc_listen(box_path(v->box, BOX_SOCK_STORE), 0600, err);

	if (fd == -1)
		return (-1);
	v->watchers = hash_new();
	v->locks = hash_new();
	v->server = ipc_server_new(fd, &h, false, err);
	return (v->server == NULL ? -1 : 0);
}
