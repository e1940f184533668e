/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients: one connection, shared by all fibers of the process.  A fiber of its own
 * reads it and hands replies to those that wait.  A client that listens for notices
 * keeps that fiber and connects again by itself when the server went away.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/ipc_int.h"
#include "os/fd.h"

#define BUCKETS		64
#define RETRY_MS	100
#define RETRY_MAX_MS	1000

struct call {
	uint32_t	 serial;
	bool		 done, failed;
	struct fiber	*fiber;
	struct ipc_msg	*reply;
	int		 fd;
	struct call	*next;
};

struct ipc_client {
	char		*path;
	struct conn	*conn;		/* NULL: not connected */
	bool		 given;		/* its one connection came ready made: <path> only names it */
	bool		 greeting;	/* on_connect is under way */
	bool		 freed;
	struct fiber	*greeter;
	struct fiber	*reader;	/* reads, or tries to connect */
	struct fiber_waiters greeted;
	struct call	*calls[BUCKETS];
	uint32_t	 serial;
	unsigned	 abandoned;	/* answers that will come and nobody waits for */
	int64_t		 tried;		/* last failed attempt; 0: none */
	int		 tried_errno;
	void		(*notice)(void *, const struct ipc_msg *);
	void		*notice_arg;
	void		(*connect)(void *, struct ipc_client *);
	void		*connect_arg;
};

struct ipc_client *
ipc_client_new(const char *path)
{
	struct ipc_client *c = xcalloc(1, sizeof(*c));

	c->path = xstrdup(path);
	return (c);
}

static void reader_main(void *arg);

struct ipc_client *
ipc_client_new_fd(int fd, const char *name)
{
	struct ipc_client *c = ipc_client_new(name);

	c->given = true;
	c->conn = conn_new(fd);
	if ((c->reader = fiber_spawn("ipc-client", reader_main, c)) != NULL)
		return (c);
	conn_unref(&c->conn);
	ipc_client_free(&c);
	return (NULL);
}

static void
release(struct ipc_client *c)
{
	free(c->path);
	free(c);
}

static void
fail_calls(struct ipc_client *c)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct call *k; (k = c->calls[i]) != NULL;) {
			c->calls[i] = k->next;
			k->failed = true;
			fiber_wake(k->fiber);
		}
	}
}

void
ipc_client_free(struct ipc_client **cp)
{
	struct ipc_client *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	c->freed = true;
	fail_calls(c);
	if (c->conn != NULL)
		conn_kill(c->conn);
	/* The reader lets go of the memory; a client of before a fork has none here. */
	if (c->reader == NULL) {
		conn_unref(&c->conn);
		release(c);
	} else {
		fiber_cancel(c->reader);
	}
}

void
ipc_client_on_notice(struct ipc_client *c, void (*fn)(void *arg, const struct ipc_msg *m), void *arg)
{
	c->notice = fn;
	c->notice_arg = arg;
}

void
ipc_client_on_connect(struct ipc_client *c, void (*fn)(void *arg, struct ipc_client *c), void *arg)
{
	c->connect = fn;
	c->connect_arg = arg;
}

bool
ipc_client_connected(const struct ipc_client *c)
{
	return (c->conn != NULL && !c->conn->dead);
}

static struct call *
take_call(struct ipc_client *c, uint32_t serial)
{
	struct call **kp = &c->calls[serial % BUCKETS], *k;

	while ((k = *kp) != NULL && k->serial != serial)
		kp = &k->next;
	if (k != NULL)
		*kp = k->next;
	return (k);
}

/* One frame from the server; false if it is malformed, or uncalled for. */
static bool
dispatch(struct ipc_client *c, struct sv frame, int fd)
{
	struct ipc_msg m;
	struct call *k;

	if (!ipc_parse(&m, frame)) {
		if (fd != -1)
			(void)close(fd);
		return (false);
	}
	if (m.serial == 0) {
		if (fd != -1)
			(void)close(fd);
		if (c->notice != NULL)
			c->notice(c->notice_arg, &m);
		return (true);
	}
	if ((k = take_call(c, m.serial)) == NULL) {	/* its caller waits no longer */
		if (fd != -1)
			(void)close(fd);
		return (!c->given || c->abandoned-- > 0);
	}
	sb_init(&m.own, IPC_FRAME_MAX);
	sb_add(&m.own, frame);
	(void)ipc_parse(k->reply, sb_sv(&m.own));
	k->reply->own = m.own;
	k->fd = fd;
	k->done = true;
	fiber_wake(k->fiber);
	return (true);
}

static void
read_all(struct ipc_client *c)
{
	struct conn *conn = conn_ref(c->conn);
	struct sv frame;
	int fd;

	while (!c->freed && conn_read(conn, &frame, &fd))
		if (!dispatch(c, frame, fd))
			break;
	conn_kill(conn);
	if (c->conn == conn)
		conn_unref(&c->conn);
	conn_unref(&conn);
	fail_calls(c);
}

/* Connect; 0, or -1 with errno.  Runs on_connect before anybody else can send. */
static int
open_conn(struct ipc_client *c)
{
	int fd = os_unix_connect(c->path);

	if (fd == -1) {
		c->tried = fiber_now();
		c->tried_errno = errno;
		return (-1);
	}
	c->tried = 0;
	c->conn = conn_new(fd);
	return (0);
}

static void
greet(struct ipc_client *c)
{
	if (c->connect == NULL)
		return;
	c->greeting = true;
	c->greeter = fiber_self();
	c->connect(c->connect_arg, c);
	c->greeter = NULL;
	c->greeting = false;
	fiber_waiters_wake_all(&c->greeted);
}

static void
reader_main(void *arg)
{
	struct ipc_client *c = arg;
	int64_t pause = RETRY_MS;

	for (;;) {
		if (c->conn != NULL) {
			pause = RETRY_MS;
			read_all(c);
		}
		if (c->freed || (c->notice == NULL && c->connect == NULL))
			break;
		if (c->conn == NULL && (fiber_sleep(pause) != FIBER_READY || c->freed))
			break;
		if (c->conn == NULL && open_conn(c) == 0)
			greet(c);
		else
			pause = pause * 2 < RETRY_MAX_MS ? pause * 2 : RETRY_MAX_MS;
	}
	if (c->freed) {
		conn_unref(&c->conn);
		release(c);
		return;
	}
	c->reader = NULL;
}

static int
unreachable(struct ipc_client *c, int e, struct err *err)
{
	return (err_set(err, ERR_TEMP, IPC_E_AWAY, "%s: %s", c->path, strerror(e)));
}

int
ipc_client_connect(struct ipc_client *c, struct err *err)
{
	/* While the first words are said, others wait; their speaker goes on. */
	while (c->greeting && c->greeter != fiber_self())
		if (fiber_self() == NULL || fiber_waiters_wait(&c->greeted, FIBER_NOW_PLUS(5000)) != FIBER_READY)
			return (unreachable(c, EAGAIN, err));
	if (ipc_client_connected(c))
		return (0);
	if (c->conn != NULL || c->given)	/* broken; its reader will see it in this turn */
		return (unreachable(c, ECONNRESET, err));
	if (c->tried != 0 && fiber_now() - c->tried < RETRY_MS)
		return (unreachable(c, c->tried_errno, err));
	if (open_conn(c) == -1 && c->notice == NULL && c->connect == NULL)
		return (unreachable(c, c->tried_errno, err));
	if (c->reader == NULL && (c->reader = fiber_spawn("ipc-client", reader_main, c)) == NULL) {
		conn_unref(&c->conn);
		return (err_set(err, ERR_TEMP, IPC_E_AWAY, "too many fibers"));
	}
	if (c->conn == NULL)
		return (unreachable(c, c->tried_errno, err));
	greet(c);
	return (ipc_client_connected(c) ? 0 : unreachable(c, ECONNRESET, err));
}

static void
add_call(struct ipc_client *c, struct call *k)
{
	if (++c->serial == 0)
		c->serial = 1;
	k->serial = c->serial;
	k->next = c->calls[k->serial % BUCKETS];
	c->calls[k->serial % BUCKETS] = k;
}

int
ipc_call(struct ipc_client *c, const struct sb *req, int fd, struct ipc_msg *reply, int *reply_fd, int64_t deadline,
    struct err *err)
{
	struct call k = { .fiber = fiber_self(), .reply = reply, .fd = -1 };
	enum fiber_wait r = FIBER_READY;

	assert(k.fiber != NULL);
	memset(reply, 0, sizeof(*reply));
	if (reply_fd != NULL)
		*reply_fd = -1;
	if (req->overflow)
		return (err_set(err, ERR_PERM, "5.3.4", "message to %s is too large", c->path));
	if (ipc_client_connect(c, err) == -1)
		return (-1);
	add_call(c, &k);
	if (!conn_send(c->conn, req, k.serial, fd)) {
		(void)take_call(c, k.serial);
		return (unreachable(c, EPIPE, err));
	}
	while (!k.done && !k.failed && r == FIBER_READY)
		r = fiber_park(deadline);
	if (!k.done) {
		/* After a free the client may be gone already; it failed its calls then. */
		if (k.failed)
			return (err_set(err, ERR_TEMP, "4.3.0", "the other process went away"));
		(void)take_call(c, k.serial);
		c->abandoned++;
		return (err_set(err, ERR_TEMP, "4.3.0", "%s: %s", c->path,
		    r == FIBER_TIMEOUT ? "no answer in time" : "cancelled"));
	}
	if (reply_fd != NULL)
		*reply_fd = k.fd;
	else if (k.fd != -1)
		(void)close(k.fd);
	if (!ipc_get_err(reply, err))
		return (0);
	if (reply_fd != NULL && *reply_fd != -1) {
		(void)close(*reply_fd);
		*reply_fd = -1;
	}
	ipc_msg_free(reply);
	return (-1);
}

void
ipc_call_abandon(struct ipc_client *c, const struct fiber *f)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct call **kp = &c->calls[i], *k; (k = *kp) != NULL; kp = &k->next)
			if (k->fiber == f) {
				*kp = k->next;
				c->abandoned++;
				k->failed = true;
				fiber_wake(k->fiber);
				return;
			}
}

int
ipc_notify(struct ipc_client *c, const struct sb *msg)
{
	if (!ipc_client_connected(c) && (fiber_self() == NULL || ipc_client_connect(c, NULL) == -1))
		return (-1);
	if (c->greeting && c->greeter != fiber_self() && ipc_client_connect(c, NULL) == -1)
		return (-1);
	return (conn_send(c->conn, msg, 0, -1) ? 0 : -1);
}
