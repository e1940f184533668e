/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What processes say to vqueued on var/run/queue.sock: a worker that its journal has
 * grown, and tools what they want of the queue.
 */
#ifndef VPOST_SPOOL_CLIENT_H
#define VPOST_SPOOL_CLIENT_H

#include "ipc/ipc.h"
#include "spool/writer.h"

/* Message types; fields by tag below.  A request is answered by its type + 1. */
enum spool_ipc {
	/* notices of a worker */
	SPOOL_IPC_HELLO		= 100,	/* PID, WORKER: after connecting, then one RANGE for each segment */
	SPOOL_IPC_RANGE		= 102,	/* SEGMENT, TO [, FROM]: durable up to TO */
	SPOOL_IPC_SEALED	= 104,	/* SEGMENT, TO */
	/* requests */
	SPOOL_IPC_INJECT	= 110,	/* ENVELOPE, OFFSET, LENGTH and a descriptor: take the message, answer its ID when durable */
	SPOOL_IPC_LIST		= 112,	/* [DOMAIN] [QUEUE] [AFTER]: answers ENTRY ...; MORE set if the list goes on behind the last id */
	SPOOL_IPC_FLUSH		= 114,	/* [DOMAIN] [QUEUE] [FORCE] [ID ...]: try now; FORCE 1: past retry times, 2: frozen ones too; answers COUNT */
	SPOOL_IPC_REMOVE	= 116,	/* ID ...: remove; answers COUNT */
	SPOOL_IPC_FREEZE	= 118,	/* ID ...: answers COUNT */
	SPOOL_IPC_THAW		= 120,	/* ID ...: answers COUNT */
	SPOOL_IPC_GIVEUP	= 122,	/* ID ...: fail the rest of the recipients with a report; answers COUNT */
	SPOOL_IPC_MARK		= 124,	/* ID, ADDR [ADDR ...]: mark recipients delivered (no ADDR: all); answers COUNT */
	SPOOL_IPC_SHOW		= 126,	/* ID: answers ENVELOPE, OFFSET, LENGTH and a descriptor of the content */
	SPOOL_IPC_COUNT		= 128,	/* answers COUNT, the number of messages on the queue */
	SPOOL_IPC_MOVE		= 132,	/* ID ..., QUEUE: into that queue (empty: the one of all); answers COUNT */
	SPOOL_IPC_STATS		= 130,	/* answers lines of "name value" as ENTRY */
	SPOOL_IPC_FULL		= 134	/* ADDR, LENGTH: has its mailbox no room for so many bytes?  Answers COUNT, 1 or 0 */
};

enum spool_ipc_tag {
	SPOOL_T_PID = 1, SPOOL_T_WORKER, SPOOL_T_SEGMENT, SPOOL_T_FROM, SPOOL_T_TO, SPOOL_T_ENVELOPE, SPOOL_T_OFFSET,
	SPOOL_T_LENGTH, SPOOL_T_ID, SPOOL_T_DOMAIN, SPOOL_T_AFTER, SPOOL_T_ENTRY, SPOOL_T_MORE, SPOOL_T_FORCE,
	SPOOL_T_COUNT, SPOOL_T_ADDR, SPOOL_T_QUEUE
};

/* ---- for workers ---- */

struct spool_client;

/* Follows <path> (the queue's socket) for as long as it lives; reconnects by itself. */
struct spool_client *spool_client_new(const char *path);
void	 spool_client_free(struct spool_client **cp);
/*
 * The writer whose ranges are told: give spool_client_durable and spool_client_sealed with the client
 * as <arg> to spool_writer_open(), then attach the writer.
 */
void	 spool_client_attach(struct spool_client *c, struct spool_writer *w, unsigned worker);
void	 spool_client_durable(void *client, const char *segment, uint64_t from, uint64_t to);
void	 spool_client_sealed(void *client, const char *segment, uint64_t end);
/* For ETRN (RFC 1985): ask for an attempt for <domain>; *<count> messages wait for it. */
int	 spool_client_flush(struct spool_client *c, const char *domain, unsigned *count, int64_t deadline, struct err *err);
/* For verify = recipient/quota: is the mailbox of <address> too full for a message of <size> bytes?  1 or 0; -1. */
int	 spool_client_full(struct spool_client *c, struct sv address, uint64_t size, int64_t deadline, struct err *err);

/* ---- for tools, without a loop ---- */

/* One message of the queue as LIST tells it. */
struct spool_listed {
	struct sv	 id;
	uint64_t	 size;
	int64_t		 received;	/* seconds since 1970 */
	struct sv	 sender;
	bool		 frozen;
	bool		 active;	/* an attempt is under way */
	int64_t		 next_try;	/* earliest of the recipients waiting; 0: now */
	struct sv	 reason;	/* the last failure, or empty */
	struct {
		struct sv	 addr;
		bool		 done;
	}		*rcpts;
	size_t		 nrcpts;
};
void	 spool_listed_encode(struct sb *out, const struct spool_listed *l);
/* Strings point into <v>, arrays come from <a>; false if malformed. */
bool	 spool_listed_decode(struct spool_listed *l, struct sv v, struct arena *a);
#define SPOOL_QUEUE_NAME_MAX 256
#define SPOOL_QUEUES_ALL	"*"	/* as name of a queue: whatever queue they are in */
/* Ask vqueued at <path> for all of the queue <queue> (NULL: the one without a name; <domain> NULL: all); calls <fn> for each. */
int	 spool_queue_list(const char *path, const char *queue, const char *domain,
	     void (*fn)(void *arg, const struct spool_listed *l), void *arg, struct err *err);
/*
 * REMOVE, FREEZE, THAW, GIVEUP, MOVE (to <queue>), FLUSH for <ids> (none: FLUSH of all of <queue>, as above); *<count> gets how
 * many it met.
 */
int	 spool_queue_command(const char *path, enum spool_ipc what, const char *const *ids, size_t nids, const char *queue, const char *domain,
	     unsigned force, unsigned *count, struct err *err);
/* Hand a whole message to vqueued (bounces of tools, sendmail without SMTP): durable when 0 is returned. */
int	 spool_queue_inject(const char *path, const struct spool_envelope *env, int fd, int64_t off, struct err *err);

#endif
