/* SPDX-License-Identifier: BSD-2-Clause */
/* A worker process: its loop, its end. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/daemon_int.h"
#include "fiber/fiber.h"
#include "log/log.h"
#include "os/proc.h"
#include "os/signal.h"

static void
flush_logs(void *arg)
{
	(void)arg;
	log_flush();
	eximlog_flush();
}

/* The parent's end of the pipe closes with its death, however it died. */
static void
watch_parent(void *arg)
{
	struct daemon *d = arg;
	char c;

	while (fiber_wait_fd(d->life[0], FIBER_READ, FIBER_FOREVER) == FIBER_READY)
		if (read(d->life[0], &c, 1) <= 0)
			_exit(1);
}

static void
drain_main(void *arg)
{
	struct daemon *d = arg;

	d->role->drain(d);
}

static void
drain_timeout(void *arg)
{
	(void)fiber_sleep(DRAIN_MS);
	log_info(NULL, "sessions did not end within %d seconds", DRAIN_MS / 1000);
	fiber_stop();
}

static void
on_signal(void *arg, int sig)
{
	struct daemon *d = arg;

	if (sig == SIG_REOPEN) {
		log_reopen();
		eximlog_reopen();
		if (d->role->told != NULL)
			d->role->told(d);
		return;
	}
	if (!d->draining) {
		d->draining = true;
		if (d->role->drain == NULL || fiber_spawn("drain", drain_main, d) == NULL) {
			fiber_stop();
			return;
		}
	}
	if (sig == SIG_END && !d->deadline_set) {
		d->deadline_set = true;
		(void)fiber_spawn("drain-timeout", drain_timeout, d);
	}
}

void
daemon_worker_done(struct daemon *d)
{
	(void)d;
	fiber_stop();
}

void
daemon_in_child(struct daemon *d)
{
	pid_t parent = getppid();

	os_die_with_parent(SIGKILL);
	if (getppid() != parent)
		_exit(1);
	for (size_t i = 0; i < d->listeners.len; i++)
		if (d->listeners.p[i].fd != -1)
			(void)close(d->listeners.p[i].fd);
	vec_clear(&d->listeners);
	for (size_t i = 0; i < d->pairs.len; i++)
		(void)close(d->pairs.p[i]);
	vec_clear(&d->pairs);
	if (d->lockfd != -1)
		(void)close(d->lockfd);
	d->lockfd = -1;
	(void)close(d->status[1]);
}

static int
set_up(struct daemon *d, struct err *err)
{
	static const int sigs[] = { SIG_DRAIN, SIG_END, SIG_REOPEN };

	if (fiber_init(err) == -1)
		return (-1);
	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		if (fiber_signal(sigs[i], on_signal, d, err) == -1)
			return (-1);
	fiber_on_turn_end(flush_logs, NULL);
	if (fiber_spawn("parent", watch_parent, d) == NULL)
		return (err_set(err, ERR_TEMP, NULL, "too many fibers"));
	if (d->role->start(d, err) == -1)
		return (-1);
	return (d->role->sandbox != NULL ? d->role->sandbox(d, err) : 0);
}

void
daemon_worker_main(struct daemon *d, size_t role, int index)
{
	struct status_msg m = { .pid = (int32_t)getpid() };
	struct err err = ERR_INIT;
	char program[64];

	d->role = d->def->roles[role];
	d->index = index;
	os_signal_forget();
	/* A terminal's interrupt is the parent's business. */
	(void)signal(SIGINT, SIG_IGN);
	(void)close(d->life[1]);
	(void)close(d->status[0]);
	os_die_with_parent(SIGKILL);
	os_title("%s: %s %d for %s", d->def->name, d->role->name, index, d->box->root);
	(void)snprintf(program, sizeof(program), "%s/%s", d->def->name, d->role->name);
	log_set_program(program);
	if (set_up(d, &err) == -1) {
		log_error(NULL, "cannot start: %s", err.text);
		exit(1);
	}
	(void)!write(d->status[1], &m, sizeof(m));
	fiber_run();
	flush_logs(NULL);
	exit(0);
}
