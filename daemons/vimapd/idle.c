/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IDLE (RFC 2177).  A session in IDLE waits for input only and holds no buffer; what
 * is new in its mailbox is told to its client by one of a few notifier fibers, which go through a
 * queue of sessions whose mailbox was announced as changed.  So a thousand sessions in IDLE cost
 * no fiber beside their own.
 */
#include <sys/socket.h>

#include "base/hash.h"
#include "session.h"

#define NOTIFIERS_MAX	16
#define NOTIFY_MS	10000		/* a client that does not take its news in this time loses its session */

static struct {
	struct session	*head, *tail;
	unsigned	 fibers;
} queue;

static struct sv
key_of(const uint64_t *mbox)
{
	return (sv_from((const char *)mbox, sizeof(*mbox)));
}

/* ---- who waits on which mailbox ---- */

static void
watch(struct session *ss)
{
	uint64_t mbox = ss->sel.view.mbox;
	struct session *first = hash_get(srole.watched, key_of(&mbox));

	if (first == NULL) {
		(void)hash_set(srole.watched, key_of(&mbox), ss);
		ss->watch_prev = NULL;
		ss->watch_next = NULL;
	} else {
		/* Behind the first, which the table points to. */
		ss->watch_next = first->watch_next;
		ss->watch_prev = &first->watch_next;
		if (ss->watch_next != NULL)
			ss->watch_next->watch_prev = &ss->watch_next;
		first->watch_next = ss;
	}
	store_client_watch(srole.client, mbox);
}

static void
unwatch(struct session *ss)
{
	uint64_t mbox = ss->sel.view.mbox;

	store_client_unwatch(srole.client, mbox);
	if (ss->watch_prev != NULL) {
		*ss->watch_prev = ss->watch_next;
		if (ss->watch_next != NULL)
			ss->watch_next->watch_prev = ss->watch_prev;
	} else if (ss->watch_next == NULL) {
		(void)hash_del(srole.watched, key_of(&mbox));
	} else {
		ss->watch_next->watch_prev = NULL;
		(void)hash_set(srole.watched, key_of(&mbox), ss->watch_next);
	}
	ss->watch_next = NULL;
	ss->watch_prev = NULL;
}

/* ---- telling them ---- */

static void
notify(struct session *ss)
{
	ss->notifying = true;
	stream_set_timeout(ss->s, NOTIFY_MS, NOTIFY_MS);
	do {
		if (!session_sync(ss, true))
			break;
	} while (ss->dirty);
	if (stream_flush(ss->s) != STREAM_OK)
		ss->closing = true;
	/* Its own fiber, which waits for input, sees the end of it and closes. */
	if (ss->closing)
		(void)shutdown(stream_fd(ss->s), SHUT_RD);
	ss->notifying = false;
	fiber_waiters_wake_all(&ss->notified);
}

static void
notifier(void *arg)
{
	struct session *ss;

	(void)arg;
	while ((ss = queue.head) != NULL) {
		queue.head = ss->queue_next;
		if (queue.head == NULL)
			queue.tail = NULL;
		ss->queue_next = NULL;
		ss->queued = false;
		if (ss->idle)
			notify(ss);
	}
	queue.fibers--;
}

static void
enqueue(struct session *ss)
{
	ss->dirty = true;
	if (ss->queued || ss->notifying || !ss->idle)
		return;
	ss->queued = true;
	if (queue.tail != NULL)
		queue.tail->queue_next = ss;
	else
		queue.head = ss;
	queue.tail = ss;
}

void
idle_changed(void *arg, uint64_t mbox)
{
	(void)arg;
	for (struct session *ss = hash_get(srole.watched, key_of(&mbox)); ss != NULL; ss = ss->watch_next)
		enqueue(ss);
	if (queue.head == NULL || queue.fibers >= NOTIFIERS_MAX)
		return;
	if (fiber_spawn("imap notify", notifier, NULL) != NULL)
		queue.fibers++;
}

/* Out of the queue, and no notifier writes to the client any more. */
static void
end_notices(struct session *ss)
{
	ss->idle = false;
	for (struct session **p = &queue.head, *prev = NULL; ss->queued && *p != NULL; prev = *p, p = &(*p)->queue_next) {
		if (*p != ss)
			continue;
		*p = ss->queue_next;
		if (queue.tail == ss)
			queue.tail = prev;
		ss->queued = false;
		break;
	}
	ss->queue_next = NULL;
	while (ss->notifying)
		(void)fiber_waiters_wait(&ss->notified, FIBER_FOREVER);
}

/* ---- the command ---- */

/* Wait for the line that ends IDLE.  False: the session is over. */
static bool
wait_done(struct session *ss)
{
	enum stream_result r = stream_wait_input(ss->s, FIBER_NOW_PLUS(srole.box->imap_idle_timeout * 1000));

	end_notices(ss);
	if (r == STREAM_TIMEOUT)
		reply_bye(ss, "Disconnected for inactivity.");
	if (r != STREAM_OK)
		ss->closing = true;
	return (!ss->closing);
}

static void
idle_wait(struct session *ss)
{
	struct sv line;

	if (!wait_done(ss))
		return;
	stream_set_timeout(ss->s, 60000, IMAP_WRITE_MS);
	if (stream_read_line(ss->s, 1024, &line) != STREAM_OK) {
		ss->closing = true;
		return;
	}
	if (!sv_caseeqs(sv_trim(line), "DONE")) {
		reply_bad(ss, "Expected DONE");
		ss->bad++;
		return;
	}
	if (session_sync(ss, true))
		reply_ok(ss, "Idle completed.");
}

void
cmd_idle(struct session *ss)
{
	bool selected = ss->sel.on;

	(void)stream_printf(ss->s, "+ idling\r\n");
	if (selected)
		watch(ss);
	/* What changed before the watch stood is told now; what comes after it is announced. */
	if (session_sync(ss, true)) {
		ss->idle = selected;
		idle_wait(ss);
	}
	if (selected)
		unwatch(ss);
}
