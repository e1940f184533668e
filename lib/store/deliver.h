/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deliveries on their way from vqueued through vlocald to vstored: one frame
 * carries a batch, one reply its answers.  The same frame goes both hops; vlocald
 * does not look into items that only go to the store.
 *
 * The queue side (vqueued):
 *
 *	struct sb frame = SB_INIT(IPC_FRAME_MAX);
 *	store_deliver_begin(&frame);
 *	store_deliver_add(&frame, &d);		(up to STORE_DELIVER_MAX, false: frame is full)
 *	store_deliver_call(client, &frame, n, answers, deadline, &err);
 *
 * An answer STORE_INDEXED means: the index knows the delivery and the journal must
 * be kept until a barrier with a number >= answer.commit was announced (or the number
 * was already announced).  A failed call (-1) means nothing: send the same deliveries
 * again, vstored knows those that it has.
 */
#ifndef VPOST_STORE_DELIVER_H
#define VPOST_STORE_DELIVER_H

#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"
#include "ipc/ipc.h"

#define STORE_DELIVER_MAX	512		/* deliveries of one frame */
#define STORE_PREFIX_MAX	8192		/* bytes of prefix headers */

/* Frame types; requests of store/client.h have numbers of their own. */
enum {
	STORE_IPC_DELIVER = 0x0401,	/* request: batch; reply of the same type */
	STORE_IPC_BARRIER = 0x0402,	/* notice */
	STORE_IPC_FORGET = 0x0403,	/* request; empty reply */
	STORE_IPC_HELLO = 0x0404	/* notice: send me BARRIER notices from now on, and the present one at once */
};

enum store_action {
	STORE_TO_MAILBOX = 1,		/* put it into <mailbox> */
	STORE_TO_USER = 2		/* local delivery of user <user>: dotfiles are asked first, INBOX else */
};

#define STORE_D_CREATE	0x01		/* a folder that does not exist is made (the user's INBOX always is) */

struct store_delivery {
	/*
	 * The delivery's id.  <origin> is the number of the intake segment that the message came in by and stays
	 * with it when it is copied to queue/; <message> is its id, <rcpt> the final address, <action> the number of
	 * the action.  Delivering the same id twice stores once, even if the message was deleted meanwhile,
	 * until store_forget.
	 */
	uint64_t	 origin;
	struct sv	 message;
	struct sv	 rcpt;
	uint32_t	 action;

	enum store_action to;
	struct sv	 user;		/* whose delivery it is, verified to exist; empty for shared mailboxes */
	struct sv	 mailbox;	/* name, store/store.h (STORE_TO_MAILBOX) */
	unsigned	 dflags;	/* STORE_D_* */

	/*
	 * The content: <prefix>, then <len> bytes at <off> of the file <path> (relative to the box:
	 * "var/spool/...").
	 */
	struct sv	 prefix;	/* whole header lines with CRLF: Return-Path, Delivered-To, Envelope-To */
	struct sv	 path;
	uint64_t	 off;
	uint64_t	 len;		/* bytes with CRLF line ends, as they go to the file */

	struct sv	 sender;	/* envelope sender, without <> */
	int64_t		 date;		/* INTERNALDATE, seconds since 1970 */
	unsigned	 flags;		/* STORE_SEEN ... */
};

enum store_result {
	STORE_INDEXED,		/* in the index; keep the source until the barrier */
	STORE_DUPLICATE,	/* was delivered before; as INDEXED */
	STORE_TEMP,		/* try again later */
	STORE_PERM		/* bounce */
};

struct store_answer {
	enum store_result result;
	uint64_t	 commit;	/* INDEXED, DUPLICATE: durable with this barrier; 0: already is */
	char		 status[12];	/* TEMP, PERM: enhanced status, text */
	char		 text[160];
};

/* ---- building and reading frames (pure) ---- */

void	 store_deliver_begin(struct sb *frame);
/*
 * Append one; false (frame unchanged) when the frame is full: send it first. On an empty frame: a string is
 * too long.
 */
bool	 store_deliver_add(struct sb *frame, const struct store_delivery *d);
/* Walk a batch: *<pos> starts at 0.  1: *<d> was filled (points into the frame), 0: end, -1: malformed. */
int	 store_deliver_next(const struct ipc_msg *m, size_t *pos, struct store_delivery *d);
/* The item unread, and what it asks for, for who only passes it on; 1, 0, -1 as above. */
int	 store_deliver_next_raw(const struct ipc_msg *m, size_t *pos, struct sv *item, enum store_action *to);
bool	 store_deliver_decode(struct sv item, struct store_delivery *d);
void	 store_deliver_add_raw(struct sb *frame, struct sv item);

void	 store_answers_begin(struct sb *frame);
void	 store_answers_add(struct sb *frame, const struct store_answer *a);
/* Exactly <n> answers into <a>; false if malformed. */
bool	 store_answers_read(const struct ipc_msg *m, struct store_answer *a, size_t n);

/* ---- the queue side ---- */

/* Send a batch of <n> and wait for its answers.  -1: nothing is known about any of them. */
int	 store_deliver_call(struct ipc_client *c, const struct sb *frame, size_t n, struct store_answer *answers,
	     int64_t deadline, struct err *err);

/* A notice that barrier <commit> is done: all deliveries whose answer said commit <= this are on disk. */
bool	 store_barrier_read(const struct ipc_msg *m, uint64_t *commit, uint64_t *instance);
void	 store_barrier_put(struct sb *frame, uint64_t commit, uint64_t instance);
/*
 * In ipc_client_on_connect: ask for barrier notices on this connection. Does not park; the present one comes
 * at once.
 */
void	 store_barrier_subscribe(struct ipc_client *c);

/*
 * Drop delivery ids.  Segment <origin> is gone: all of its ids but those of the messages <keep>, which live on in
 * queue/.  Their ids go by store_forget_message when the queue file is gone.  At its start vqueued names the origins
 * that still have messages; the ids of all others are dropped.  Where <keep> does not fit in a frame nothing is
 * dropped: those ids stay until a start finds nothing of the origin.
 */
int	 store_forget(struct ipc_client *c, uint64_t origin, const struct sv *keep, size_t nkeep, struct err *err);
int	 store_forget_message(struct ipc_client *c, uint64_t origin, struct sv message, struct err *err);
int	 store_forget_others(struct ipc_client *c, const uint64_t *origins, size_t n, struct err *err);

#endif
