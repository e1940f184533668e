/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside of vlocald. */
#ifndef VLOCALD_H
#define VLOCALD_H

#include "base/vec.h"
#include "box/box.h"
#include "fiber/fiber.h"
#include "ipc/ipc.h"
#include "store/deliver.h"

struct daemon;

#define IN_FLIGHT_MAX	16		/* batches on their way to the store; further ones are not read */

struct vlocald {
	const struct box *box;
	struct daemon	*daemon;
	struct ipc_server *server;
	struct ipc_client *store;
	unsigned	 in_flight;
	struct fiber_waiters credit;
	VEC(struct ipc_peer *) hello;	/* want barrier notices; not references: they leave in closed() */
	uint64_t	 commit;	/* the last barrier that vstored announced */
	uint64_t	 instance;	/* 0: none yet */
	bool		 draining;
};

/* ---- local.c ---- */

enum local_route {
	LOCAL_MALFORMED,
	LOCAL_STORE		/* all items go to the store as they are */
};

/* Where the items of a batch go. */
enum local_route deliver_local(const struct vlocald *v, const struct ipc_msg *batch);

/* ---- spawner.c, child.c ---- */

struct daemon_role;
struct transport_user;
extern const struct daemon_role vlocald_spawner;

/* The life of a user's child: becomes <who>, does the jobs that come over <sock>; <slots> is a descriptor (transport/child.h). */
_Noreturn void child_main(int sock, int slots, const struct box *b, const struct transport_user *who);

/* ---- relay.c ---- */

int	 relay_start(struct vlocald *v, struct err *err);
void	 relay_drain(struct vlocald *v);

#endif
