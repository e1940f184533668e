/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside of vstored. */
#ifndef VSTORED_H
#define VSTORED_H

#include "base/hash.h"
#include "base/vec.h"
#include "box/box.h"
#include "fiber/fiber.h"
#include "ipc/ipc.h"
#include "store/proto.h"
#include "store/writer.h"

struct daemon;

#define BATCH_DELIVERIES	512	/* deliveries of one transaction; one frame may pass it */
#define BATCH_JOBS		256
#define QUEUE_MAX		1024	/* jobs waiting, above which peers are not read */
#define QUEUE_BYTES	(16 * 1024 * 1024) /* and their frames */
#define BARRIER_BYTES		((uint64_t)64 << 20)
#define BARRIER_MS		1000
#define TIDY_PIECES		2000	/* deferred work done in one batch */

/* One request on its way through the writer.  The batch's thread owns it from take to answer. */
struct job {
	struct job	*next;
	struct ipc_peer	*peer;		/* a reference; NULL: nobody waits */
	uint32_t	 serial;
	uint16_t	 type;
	struct sb	 mem;		/* what msg points into */
	struct ipc_msg	 msg;
	int		 fd;		/* APPEND; -1 */
	unsigned	 deliveries;
	struct sb	 reply;
	bool		 failed;	/* reply carries an error: it stands even if the commit fails */
};

typedef VEC(struct ipc_peer *) peers;

struct vstored {
	const struct box *box;
	struct daemon	*daemon;
	struct store_writer *w;
	struct ipc_server *server;
	uint64_t	 instance;

	/* The queue to the writer. */
	struct job	*head, **last;
	unsigned	 queued;
	size_t		 queued_bytes;
	struct fiber	*engine;
	struct fiber	*barrier;
	struct fiber_waiters room;	/* readers that wait for the queue to shrink */
	bool		 want_tidy;	/* deferred work may be done */
	bool		 want_rewrite;	/* a barrier failed */
	bool		 draining;
	bool		 engine_done;

	/* The batch under way; the thread's while it runs. */
	struct job	*batch;
	VEC(uint64_t)	 changed;
	struct err	 batch_err;
	bool		 batch_ok;
	bool		 tidy_more;
	bool		 rewrite_ok;

	peers		 hello;		/* want barrier notices; not references: they leave in closed() */
	struct hash	*watchers;	/* mailbox -> struct watchers */
	struct hash	*locks;		/* mailbox -> struct ipc_peer */
};

/* ---- engine.c ---- */

/* Queue a request.  Parks the caller when too many wait. */
void	 engine_add(struct vstored *v, struct job *j);
struct job *job_new(struct ipc_peer *p, const struct ipc_msg *m, int fd);
void	 job_free(struct job *j);
void	 engine_main(void *arg);
void	 barrier_main(void *arg);

/* ---- exec.c ---- */

/* Carry out one request inside a batch, on the batch's thread: fills j->reply. */
void	 exec_job(struct store_writer *w, struct job *j);

/* ---- server.c ---- */

int	 server_start(struct vstored *v, struct err *err);
/* Tell those who watch that mailboxes changed. */
void	 server_announce(struct vstored *v);
void	 server_push_barrier(struct vstored *v);

#endif
