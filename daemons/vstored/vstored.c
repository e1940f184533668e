/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vstored: the one writer of the message store.  One process: it recovers, then answers on
 * var/run/store.sock.  `vstored -R` builds the index anew and ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/arena.h"
#include "daemon/daemon.h"
#include "log/log.h"
#include "os/file.h"
#include "os/sandbox.h"
#include "os/time.h"
#include "vstored.h"

static void
report(void *arg, bool bad, const char *text)
{
	(void)arg;
	if (bad)
		log_error(NULL, "%s", text);
	else
		log_info(NULL, "%s", text);
}

static struct store_writer_opts
options(const struct box *b)
{
	return ((struct store_writer_opts){ .box = b->root, .dir = box_path(b, BOX_MAIL),
	    .map_size = (uint64_t)b->store_map_size, .reserve_percent = (int)b->spool_reserve_percent,
	    .reserve_min = b->spool_reserve_min, .report = report });
}

static int
start(struct daemon *d, struct err *err)
{
	struct vstored *v = xcalloc(1, sizeof(*v));
	struct store_writer_opts o;

	v->box = daemon_box(d);
	v->daemon = d;
	v->last = &v->head;
	v->instance = (uint64_t)os_wall_us();
	daemon_set_data(d, v);
	o = options(v->box);
	if (os_mkdir_p(o.dir, 0700, err) == -1 || store_writer_open(&v->w, &o, err) == -1)
		return (-1);
	v->engine = fiber_spawn("engine", engine_main, v);
	v->barrier = fiber_spawn("barrier", barrier_main, v);
	if (v->engine == NULL || v->barrier == NULL)
		return (err_set(err, ERR_TEMP, NULL, "too many fibers"));
	/* Recovery is over: now readers and deliveries may come. */
	return (server_start(v, err));
}

/* What is queued is done and answered, then a last barrier; barrier_main() ends the process. */
static void
drain(struct daemon *d)
{
	struct vstored *v = daemon_data(d);

	v->draining = true;
	fiber_waiters_wake_all(&v->room);
	fiber_wake(v->engine);
	fiber_wake(v->barrier);
}

static int
sandbox(struct daemon *d, struct err *err)
{
	const struct box *b = daemon_box(d);
	const struct os_sandbox_path paths[] = {
		{ box_path(b, BOX_MAIL), OS_ACCESS_READ | OS_ACCESS_WRITE },
		{ box_path(b, "var/spool"), OS_ACCESS_READ },
		{ box_path(b, BOX_RUN), OS_ACCESS_READ | OS_ACCESS_WRITE },
		{ box_path(b, BOX_LOG), OS_ACCESS_READ | OS_ACCESS_WRITE },
		{ NULL, 0 },
	};
	const struct os_sandbox s = { .paths = paths };

	return (os_sandbox_apply(&s, err));
}

static const struct daemon_role writer = {
	.name = "writer", .start = start, .drain = drain, .sandbox = sandbox, .exclusive = true
};
static const struct daemon_role *const roles[] = { &writer, NULL };
static const char *const listens[] = { NULL };
static const struct daemon_def def = { .name = "vstored", .listens = listens, .roles = roles };

/* ---- vstored -R ---- */

static void
say(void *arg, bool bad, const char *text)
{
	(void)arg;
	(void)fprintf(bad ? stderr : stdout, "vstored: %s\n", text);
}

static int
reconstruct(const char *opt)
{
	struct store_writer_opts o;
	struct err err = ERR_INIT, none = ERR_INIT;
	struct sb reply = SB_INIT(64);
	struct ipc_msg m;
	struct box *b = NULL;
	char *root;
	int rc = 1;

	if (box_find(opt, &root, &err) == -1 || box_open(&b, root, NULL, NULL, &err) == -1) {
		(void)fprintf(stderr, "vstored: %s\n", err.text);
		return (EX_CONFIG);
	}
	o = options(b);
	o.report = say;
	ipc_begin(&reply, STORE_IPC_LOCK);
	if (ipc_call_once(box_path(b, BOX_SOCK_STORE), &reply, -1, &m, 1000, &none) == 0) {
		ipc_msg_free(&m);
		(void)err_set(&err, ERR_TEMP, NULL, "the box is running; stop it first");
	} else if (store_reconstruct(&o, &err) == 0)
		rc = 0;
	if (rc != 0)
		(void)fprintf(stderr, "vstored: reconstruct: %s\n", err.text);
	sb_free(&reply);
	box_free(&b);
	free(root);
	return (rc);
}

int
main(int argc, char **argv)
{
	const char *box = NULL;
	bool rebuild = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-R") == 0)
			rebuild = true;
		else if (strcmp(argv[i], "-b") == 0 && i + 1 < argc)
			box = argv[++i];
	}
	if (rebuild)
		return (reconstruct(box));
	return (daemon_main(&def, argc, argv));
}
