/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlocald: final delivery.  The relay takes batches from vqueued on var/run/local.sock and passes
 * what goes to mailboxes on to vstored.  The spawner starts, as vqueued asks on
 * var/run/spawn.sock, the children that deliver as users.
 * Neither opens store, index or keys.
 */
#include "vlocald.h"

#include "base/arena.h"
#include "daemon/daemon.h"
#include "os/priv.h"
#include "os/sandbox.h"

static int
start(struct daemon *d, struct err *err)
{
	struct vlocald *v = xcalloc(1, sizeof(*v));

	v->box = daemon_box(d);
	if (os_is_root() && os_drop_to(v->box->user, err) == -1)
		return (-1);
	v->daemon = d;
	daemon_set_data(d, v);
	return (relay_start(v, err));
}

static void
drain(struct daemon *d)
{
	relay_drain(daemon_data(d));
}

static int
sandbox(struct daemon *d, struct err *err)
{
	const struct box *b = daemon_box(d);
	const struct os_sandbox_path paths[] = {
		{ box_path(b, BOX_RUN), OS_ACCESS_READ | OS_ACCESS_WRITE },
		{ box_path(b, BOX_LOG), OS_ACCESS_READ | OS_ACCESS_WRITE },
		{ NULL, 0 },
	};
	const struct os_sandbox s = { .paths = paths, .unix_sockets = true };

	return (os_sandbox_apply(&s, err));
}

static const struct daemon_role relay = {
	.name = "relay", .start = start, .drain = drain, .sandbox = sandbox, .exclusive = true
};
static const struct daemon_role *const roles[] = { &relay, &vlocald_spawner, NULL };
static const char *const listens[] = { NULL };
static const struct daemon_def def = { .name = "vlocald", .listens = listens, .roles = roles, .keep_root = true };

int
main(int argc, char **argv)
{
	return (daemon_main(&def, argc, argv));
}
