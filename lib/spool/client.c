/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's line to vqueued.  Ranges are told as they become durable; after each
 * (re)connection vqueued gets a HELLO and the state of every open segment, so a notice
 * that was lost with a connection does no harm.
 */
#include "spool/client.h"

#include <stdlib.h>
#include <unistd.h>

#include "fiber/fiber.h"

#define NOTICE_MAX	4096
#define RETRY_MS	500

struct spool_client {
	struct ipc_client *ipc;
	struct spool_writer *writer;
	unsigned	 worker;
	struct fiber	*keeper;	/* keeps the connection up */
	bool		 closing;
};

static void
put_range(struct spool_client *c, enum spool_ipc type, const char *segment, uint64_t to)
{
	struct sb m = SB_INIT(NOTICE_MAX);

	ipc_begin(&m, (uint16_t)type);
	ipc_put_str(&m, SPOOL_T_SEGMENT, segment);
	ipc_put_u64(&m, SPOOL_T_TO, to);
	/* Not connected: the HELLO to come tells it. */
	(void)ipc_notify(c->ipc, &m);
	sb_free(&m);
}

static void
tell_segment(void *arg, const char *segment, uint64_t durable, bool sealed)
{
	put_range(arg, SPOOL_IPC_RANGE, segment, durable);
	if (sealed)
		put_range(arg, SPOOL_IPC_SEALED, segment, durable);
}

static void
on_connect(void *arg, struct ipc_client *ipc)
{
	struct spool_client *c = arg;
	struct sb m = SB_INIT(NOTICE_MAX);

	ipc_begin(&m, SPOOL_IPC_HELLO);
	ipc_put_u64(&m, SPOOL_T_PID, (uint64_t)getpid());
	ipc_put_u64(&m, SPOOL_T_WORKER, c->worker);
	(void)ipc_notify(ipc, &m);
	sb_free(&m);
	if (c->writer != NULL)
		spool_writer_segments(c->writer, tell_segment, c);
}

static void
keeper(void *arg)
{
	struct spool_client *c = arg;

	while (!c->closing) {
		if (!ipc_client_connected(c->ipc))
			(void)ipc_client_connect(c->ipc, NULL);
		if (fiber_sleep(RETRY_MS) == FIBER_CANCELLED)
			break;
	}
	ipc_client_free(&c->ipc);
	free(c);
}

struct spool_client *
spool_client_new(const char *path)
{
	struct spool_client *c = xcalloc(1, sizeof(*c));

	c->ipc = ipc_client_new(path);
	ipc_client_on_connect(c->ipc, on_connect, c);
	c->keeper = fiber_spawn("spool-client", keeper, c);
	return (c);
}

void
spool_client_free(struct spool_client **cp)
{
	struct spool_client *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	c->closing = true;
	c->writer = NULL;
	if (c->keeper != NULL) {
		fiber_cancel(c->keeper);	/* frees it */
		return;
	}
	ipc_client_free(&c->ipc);
	free(c);
}

void
spool_client_attach(struct spool_client *c, struct spool_writer *w, unsigned worker)
{
	c->writer = w;
	c->worker = worker;
	if (w != NULL && ipc_client_connected(c->ipc))
		on_connect(c, c->ipc);
}

void
spool_client_durable(void *client, const char *segment, uint64_t from, uint64_t to)
{
	(void)from;
	put_range(client, SPOOL_IPC_RANGE, segment, to);
}

void
spool_client_sealed(void *client, const char *segment, uint64_t end)
{
	put_range(client, SPOOL_IPC_SEALED, segment, end);
}

/* Ask, and free <m>.  The answer's COUNT; -1 and *<err>. */
static int64_t
count_of(struct spool_client *c, struct sb *m, int64_t deadline, struct err *err)
{
	struct ipc_msg reply;
	int64_t n;
	int rc = ipc_call(c->ipc, m, -1, &reply, NULL, deadline, err);

	sb_free(m);
	if (rc == -1)
		return (-1);
	n = (int64_t)ipc_get_u64(&reply, SPOOL_T_COUNT, 0);
	ipc_msg_free(&reply);
	return (n);
}

int
spool_client_flush(struct spool_client *c, const char *domain, unsigned *count, int64_t deadline, struct err *err)
{
	struct sb m = SB_INIT(NOTICE_MAX);
	int64_t n;

	ipc_begin(&m, SPOOL_IPC_FLUSH);
	ipc_put_str(&m, SPOOL_T_DOMAIN, domain);
	ipc_put_u64(&m, SPOOL_T_FORCE, 1);
	n = count_of(c, &m, deadline, err);
	*count = (unsigned)n;
	return (n < 0 ? -1 : 0);
}

int
spool_client_full(struct spool_client *c, struct sv address, uint64_t size, int64_t deadline, struct err *err)
{
	struct sb m = SB_INIT(NOTICE_MAX);

	ipc_begin(&m, SPOOL_IPC_FULL);
	ipc_put_bytes(&m, SPOOL_T_ADDR, address);
	ipc_put_u64(&m, SPOOL_T_LENGTH, size);
	return ((int)count_of(c, &m, deadline, err));
}
