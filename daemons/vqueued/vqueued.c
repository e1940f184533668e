/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vqueued: follows the intake journals, routes what comes in, hands local deliveries to
 * vlocald, sends the rest by SMTP, retries, reports, and keeps the queue.  One process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/eximlogs.h"
#include "dns/dns.h"
#include "io/tls.h"
#include "os/time.h"
#include "spool/hostid.h"
#include "vqueued_int.h"

#define DRAIN_STEP_MS	50
#define DRAIN_MAX_MS	5000

/* ---- configuration ---- */

struct reporter {
	void		(*fn)(void *arg, const struct err *e);
	void		*arg;
};

static void
report_mistake(void *arg, const struct err *e, bool warning)
{
	struct reporter *r = arg;

	if (!warning && r->fn != NULL)
		r->fn(r->arg, e);
}

static int
load(const struct box *b, void **conf, void (*report)(void *arg, const struct err *e), void *arg, struct err *err)
{
	struct exim_report rep = EXIM_REPORT_INIT;
	struct exim_conf_source src;
	struct reporter r = { report, arg };
	struct exim_conf *c = NULL;

	box_exim_source(b, &src);
	rep.fn = report_mistake;
	rep.arg = &r;
	if (exim_conf_load(&c, &src, &rep, err) == -1) {
		if (rep.errors == 0 && report != NULL)
			report(arg, err);
		return (-1);
	}
	*conf = c;
	return (0);
}

static void
unload(void *conf)
{
	struct exim_conf *c = conf;

	exim_conf_unref(&c);
}

/* ---- the process ---- */

static void
on_message(void *arg, struct ipc_peer *p, const struct ipc_msg *m, int fd)
{
	control_message(arg, p, m, fd);
}

/* A worker that is gone leaves a segment behind: look soon. */
static void
on_closed(void *arg, struct ipc_peer *p)
{
	struct vq *vq = arg;

	(void)p;
	if (vq->loaded)
		segs_scan(vq);
}

static void
list_init(struct vq *vq)
{
	vq->route_last = &vq->route_head;
	vq->finish_last = &vq->finish_head;
	vq->event_last = &vq->event_head;
	vq->local_last = &vq->local_head;
	vq->barrier_last = &vq->barrier_head;
	vq->hosts = hash_new();
	vq->reports = hash_new();
	vq->qents = hash_new();
	vq->queues = hash_new();
	vq->order = order_new();
	vq->by_id = hash_new();
	vq->gates = hash_new();
	/* Like a segment's id: never used before or after. */
	vq->own_origin = ((uint64_t)os_wall_us() << 9 | 511) & ((UINT64_C(1) << 60) - 1);
}

/* The queue first: a queue file beats the journal's copy of its message. */
static void
loader_fiber(void *arg)
{
	struct vq *vq = arg;
	struct err err = ERR_INIT;

	if (queue_load(vq, &err) == -1) {
		log_err(NULL, "queue", &err);
		daemon_worker_done(vq->d);
		return;
	}
	segs_scan(vq);
	vq->loaded = true;
	if (hash_count(vq->qents) > 0)
		log_info(NULL, "messages=%zu on the queue", hash_count(vq->qents));
	queue_wake(vq);
	segs_pump(vq);
}

static int
serve(struct vq *vq, struct err *err)
{
	static struct ipc_handler h = { .message = on_message, .closed = on_closed };
	int fd = ipc_listen(box_path(vq->box, BOX_SOCK_QUEUE), 0660, err);

	if (fd == -1)
		return (-1);
	h.arg = vq;
	vq->server = ipc_server_new(fd, &h, false, err);
	return (vq->server == NULL ? -1 : 0);
}

static int
spawn_fibers(struct vq *vq, struct err *err)
{
	static const struct { const char *name; void (*fn)(void *); unsigned n; } t[] = {
		{ "finisher", msg_finisher, FINISHERS }, { "finish-later", msg_finish_later, 1 }, { "done-flush", segs_flush, 1 },
		{ "queue-run", queue_run, 1 }, { "forget", queue_forgetter, 1 }, { "journal", loader_fiber, 1 },
		{ "events", events_fiber, EVENT_TELLERS },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		for (unsigned k = 0; k < t[i].n; k++)
			if (fiber_spawn(t[i].name, t[i].fn, vq) == NULL)
				return (err_set(err, ERR_TEMP, "4.3.2", "no fibers"));
	return (0);
}

static int
start(struct daemon *d, struct err *err)
{
	const struct box *b = daemon_box(d);
	struct vq *vq = xcalloc(1, sizeof(*vq));
	struct dns_conf dns = { .servers = b->dns_servers, .zone_file = b->dns_zone_file };

	vq->d = d;
	vq->box = b;
	vq->conf = exim_conf_ref(daemon_conf(d));
	vq->intake = xstrdup(box_path(b, BOX_INTAKE));
	vq->queue_dir = xstrdup(box_path(b, BOX_QUEUE));
	list_init(vq);
	daemon_set_data(d, vq);
	if (dns.zone_file != NULL && dns.zone_file[0] != '\0' && dns.zone_file[0] != '/')
		dns.zone_file = box_path(b, dns.zone_file);
	route_dns_conf(vq->conf, &dns);
	if (dns_init(&dns, err) == -1)
		return (-1);
	daemon_watch_lookups(vq->conf);
	spool_id_host(vq->conf->g.localhost_number);
	/* Hints are disposable: without them hosts that fail are only forgotten at the next start. */
	if (hints_open(&vq->hints, box_path(b, "var/spool/hints"), err) == -1) {
		log_err(NULL, "hints", err);
		err_clear(err);
		vq->hints = NULL;
	}
	if (remote_init(vq, err) == -1 || routing_init(vq, err) == -1 || local_init(vq, err) == -1 || serve(vq, err) == -1)
		return (-1);
	return (spawn_fibers(vq, err));
}

/*
 * Nothing is lost by ending at any moment.  Transactions with other hosts and deliveries as users get some seconds
 * to end, so that nothing is done twice for a reload.
 */
static void
drain(struct daemon *d)
{
	struct vq *vq = daemon_data(d);
	int64_t until = FIBER_NOW_PLUS(DRAIN_MAX_MS);

	vq->draining = true;
	while ((vq->sending > 0 || jobs_busy(vq) > 0) && fiber_now() < until)
		if (fiber_sleep(DRAIN_STEP_MS) == FIBER_CANCELLED)
			break;
	for (struct seg *s = vq->segs; s != NULL; s = s->next)
		(void)spool_done_write(s->done, NULL);
	eximlog_flush();
	log_flush();
	daemon_worker_done(d);
}

static int
logs(const struct box *b, const void *conf, struct err *err)
{
	return (daemon_exim_logs(conf, b->syslog_socket, err));
}

static const struct daemon_role queue_role = { .name = "queue", .start = start, .drain = drain, .exclusive = true };
static const struct daemon_role *const roles[] = { &queue_role, NULL };
static const char *const listens[] = { NULL };

static const struct daemon_def def = { .name = "vqueued", .listens = listens, .roles = roles, .load = load, .unload = unload,
    .logs = logs };

int
main(int argc, char **argv)
{
	return (daemon_main(&def, argc, argv));
}
