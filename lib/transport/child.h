/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How deliveries reach the processes that do them as users.  vqueued asks vlocald's spawner, on its socket, for a child that is a
 * certain user, and gets the child's own socket; over that go the jobs (transport/job.h) and their answers, in order.  The end
 * of that socket is the child's.  The spawner sees no job.
 */
#ifndef VPOST_TRANSPORT_CHILD_H
#define VPOST_TRANSPORT_CHILD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/sb.h"
#include "base/sv.h"
#include "ipc/ipc.h"

/*
 * Jobs of a child, numbered by their order in its socket, modulo the number of slots: WAITS is set before one is sent,
 * the child makes it BEGUN, or vqueued takes it back; the child passes over one taken back with an empty answer.
 */
#define TRANSPORT_SLOTS		64
#define TRANSPORT_SLOTS_SIZE	(TRANSPORT_SLOTS * sizeof(_Atomic uint32_t))
enum { TRANSPORT_SLOT_WAITS, TRANSPORT_SLOT_BEGUN, TRANSPORT_SLOT_TAKEN_BACK };

/*
 * IPC types.  CHILD: a request with the descriptor of the slots (os/shared.h); the answer has the child's pid and comes with its socket.
 * CHILD_END: a notice that a child is not wanted any more.
 */
enum { TRANSPORT_IPC_CHILD = 0x0502, TRANSPORT_IPC_CHILD_END = 0x0503 };

/* As whom. */
struct transport_user {
	int64_t		 uid, gid;
	struct sv	 name;		/* whose supplementary groups; empty: none */
};

void	 transport_child_put(struct sb *frame, const struct transport_user *u);
bool	 transport_child_get(const struct ipc_msg *m, struct transport_user *u);

/* <anybody>: the box has but one uid, and any child does for any user. */
void	 transport_child_answer_put(struct sb *frame, int64_t pid, bool anybody);
bool	 transport_child_answer_get(const struct ipc_msg *m, int64_t *pid, bool *anybody);

/* <now>: it is to be killed; else it leaves by itself. */
void	 transport_child_end_put(struct sb *frame, int64_t pid, bool now);
bool	 transport_child_end_get(const struct ipc_msg *m, int64_t *pid, bool *now);

#endif
