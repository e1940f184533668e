/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vauthd: the only process that sees passwords, and the writer of etc/relayers.db.
 * One process, which answers the other daemons on var/run/auth.sock; started as root with
 * system_users on, a second one that keeps root to ask PAM.
 */
#include "vauthd.h"

#include "base/arena.h"
#include "daemon/daemon.h"
#include "map/map.h"
#include "os/priv.h"
#include "os/sandbox.h"

static int
start(struct daemon *d, struct err *err)
{
	const struct box *b = daemon_box(d);
	struct vauthd *a = xcalloc(1, sizeof(*a));

	a->box = b;
	a->system_fd = -1;
	(void)pthread_mutex_init(&a->lock, NULL);
	if (os_is_root()) {
		/* Before any thread is there: fork of a threaded process may inherit locks. */
		if (b->system_users && (a->system_fd = system_start(d, err)) == -1)
			return (-1);
		if (os_drop_to(b->user, err) == -1)
			return (-1);
	}
	os_no_new_privs();
	a->vusers_path = xstrdup(box_path(b, BOX_VUSERS));
	a->domains = map_open(box_path(b, BOX_DOMAINS), MAP_TEXT, MAP_OPTIONAL);
	a->logins = logins_new();
	a->guard = guard_new(b);
	a->relays = relays_new(box_path(b, BOX_RELAYERS_DB));
	daemon_set_data(d, a);
	return (server_start(a, err));
}

/* What was promised is written before the end. */
static void
drain(struct daemon *d)
{
	struct vauthd *a = daemon_data(d);

	relays_finish(a->relays);
	daemon_worker_done(d);
}

static int
sandbox(struct daemon *d, struct err *err)
{
	const struct box *b = daemon_box(d);
	struct os_sandbox_path paths[] = {
		{ box_path(b, BOX_ETC), OS_ACCESS_READ | OS_ACCESS_WRITE },
		{ box_path(b, BOX_RUN), OS_ACCESS_READ | OS_ACCESS_WRITE },
		{ box_path(b, BOX_LOG), OS_ACCESS_READ | OS_ACCESS_WRITE },
		/* The account databases and what reads them. */
		{ "/etc", OS_ACCESS_READ }, { "/usr", OS_ACCESS_READ }, { "/lib", OS_ACCESS_READ }, { "/lib64", OS_ACCESS_READ },
		{ "/var/db", OS_ACCESS_READ }, { "/var/lib", OS_ACCESS_READ }, { "/run", OS_ACCESS_READ }, { "/dev", OS_ACCESS_READ },
		{ "/sys/devices/system/cpu", OS_ACCESS_READ }, { "/proc", OS_ACCESS_READ },
		{ NULL, 0 },
	};
	/* Directory services of the system are asked over the network by NSS where that is configured. */
	struct os_sandbox s = { .paths = paths, .network = b->system_users, .unix_sockets = true };

	return (os_sandbox_apply(&s, err));
}

static const struct daemon_role server = {
	.name = "server", .start = start, .drain = drain, .sandbox = sandbox, .exclusive = true
};
static const struct daemon_role *const roles[] = { &server, NULL };
static const char *const listens[] = { NULL };

static const struct daemon_def def = { .name = "vauthd", .listens = listens, .roles = roles, .keep_root = true };

int
main(int argc, char **argv)
{
	return (daemon_main(&def, argc, argv));
}
