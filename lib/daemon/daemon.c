/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The skeleton's start: options, box, configuration, log, lock, sockets, privileges;
 * then the parent's loop.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon_int.h"
#include "log/log.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/proc.h"
#include "os/signal.h"
#include "os/user.h"

#define LOCK_WAIT_MS	5000
#define EX_USAGE	64
#define EX_CONFIG	78

static void
report(void *arg, const struct err *e)
{
	(void)arg;
	log_error(NULL, "%s", e->text);
}

int
daemon_load(struct daemon *d, const char *root, struct box **box, void **conf)
{
	struct err err = ERR_INIT;
	int rc;

	*conf = NULL;
	if (box_open(box, root, report, NULL, &err) == -1)
		return (-1);
	if (d->def->load == NULL)
		return (0);
	/* What a configuration includes and where it says that keys are must be files that the box's user may read. */
	if ((rc = box_act(*box, &err)) == 0) {
		rc = d->def->load(*box, conf, report, NULL, &err);
		os_act_back();
	}
	if (rc == 0) {
		d->patience = (struct daemon_patience){ 0, 0 };
		if (d->def->sockets != NULL)
			d->def->sockets(*box, *conf, &d->patience);
		return (0);
	}
	log_err(NULL, "configuration", &err);
	box_free(box);
	return (-1);
}

int
daemon_logs(const struct daemon *d, struct err *err)
{
	const struct box *b = d->box;
	bool debug;
	enum log_level level;

	if (!log_level_of(b->log_level, d->def->name, &level))
		log_warn(NULL, "log_level: \"%s\": levels are debug, info, warn and error", b->log_level);
	log_set_level(level);
	log_to_files(b->log_files);
	debug = level == LOG_L_DEBUG && b->log_debug_file;
	if (log_syslog(b->log_syslog, b->syslog_socket, err) == -1 ||
	    log_open_debug(debug ? box_path(b, BOX_LOG "/debug.log") : NULL, err) == -1 ||
	    eximlog_open_own(box_path(b, BOX_LOG), b->log_deliveries, b->log_scanner, err) == -1)
		return (-1);
	return (d->def->logs == NULL || d->conf == NULL ? 0 : d->def->logs(b, d->conf, err));
}

static int
open_logs(struct daemon *d, struct err *err)
{
	if (os_mkdir_p(box_path(d->box, BOX_RUN), 0755, err) == -1 ||
	    os_mkdir_p(box_path(d->box, BOX_LOG), 0750, err) == -1 ||
	    log_open(d->def->name, box_path(d->box, BOX_LOG "/vpost.log"), LOG_L_INFO, err) == -1 ||
	    eximlog_open(box_path(d->box, BOX_LOG), err) == -1 || daemon_logs(d, err) == -1)
		return (-1);
	log_to_stderr(d->verbose);
	return (0);
}

/*
 * One daemon of this name for the box.  The workers share the lock: after the parent was
 * killed, the next one waits for them, which takes no longer than their death.
 */
static int
take_lock(struct daemon *d, struct err *err)
{
	char rel[128], text[32];
	const char *path;
	pid_t holder;
	int n;

	(void)snprintf(rel, sizeof(rel), BOX_RUN "/%s.pid", d->def->name);
	path = box_path(d->box, rel);
	d->lockfd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (d->lockfd == -1)
		return (err_sys(err, "open %s", path));
	if (os_flock(d->lockfd, OS_LOCK_EXCLUSIVE, 0, err) == -1) {
		if ((holder = os_owner(d->lockfd)) > 0)
			return (err_set(err, ERR_TEMP, NULL, "%s runs already for this box, pid %ld", d->def->name,
			    (long)holder));
		err_clear(err);
		if (os_flock(d->lockfd, OS_LOCK_EXCLUSIVE, LOCK_WAIT_MS, err) == -1) {
			err_prefix(err, "%s", path);
			return (-1);
		}
	}
	if (os_own(d->lockfd, err) == -1) {
		err_prefix(err, "%s", path);
		return (-1);
	}
	(void)fchmod(d->lockfd, 0644);
	n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	if (ftruncate(d->lockfd, 0) == -1 || pwrite(d->lockfd, text, (size_t)n, 0) != n)
		return (err_sys(err, "write %s", path));
	return (0);
}

static int
prepare(struct daemon *d, struct err *err)
{
	int rc;

	if (box_act(d->box, err) == -1)
		return (-1);
	rc = open_logs(d, err) == -1 ? -1 : take_lock(d, err);
	os_act_back();
	if (rc == -1)
		return (-1);
	if (daemon_listen(d, d->box, err) == -1)
		return (-1);
	if (os_is_root() && !d->def->keep_root && os_drop_to(d->box->user, err) == -1)
		return (-1);
	if (os_pipe(d->life, false) == -1 || os_pipe(d->status, true) == -1)
		return (err_sys(err, "pipe"));
	return (0);
}

static int
usage(const struct daemon_def *def)
{
	(void)fprintf(stderr, "usage: %s [-nv] [-b box]\n", def->name);
	return (EX_USAGE);
}

int
daemon_main(const struct daemon_def *def, int argc, char **argv)
{
	static struct daemon d;		/* lives as long as the process; workers inherit it */
	struct err err = ERR_INIT;
	const char *opt = NULL;
	char *root;
	bool check = false;
	int c, rc;

	os_title_init(argc, argv);
	d.def = def;
	d.lockfd = -1;
	d.generation = 1;
	while ((c = getopt(argc, argv, "b:nv")) != -1) {
		switch (c) {
		case 'b':
			opt = optarg;
			break;
		case 'n':
			check = true;
			break;
		case 'v':
			d.verbose = true;
			break;
		default:
			return (usage(def));
		}
	}
	if (optind != argc)
		return (usage(def));
	log_set_program(def->name);
	if (box_find(opt, &root, &err) == -1) {
		log_err(NULL, "box", &err);
		return (EX_CONFIG);
	}
	rc = daemon_load(&d, root, &d.box, &d.conf);
	free(root);
	if (rc == -1)
		return (check ? 1 : EX_CONFIG);
	if (check)
		return (0);
	(void)umask(027);
	(void)os_raise_nofile();
	os_malloc_tune();
	os_signal_ignore_pipe();
	d.supervised = getenv("VPOST_SUPERVISED") != NULL;
	if (prepare(&d, &err) == -1) {
		log_to_stderr(true);
		log_error(NULL, "cannot start: %s", err.text);
		log_flush();
		return (1);
	}
	return (daemon_parent(&d));
}

/* ---- what workers ask ---- */

const struct box *
daemon_box(const struct daemon *d)
{
	return (d->box);
}

void *
daemon_conf(const struct daemon *d)
{
	return (d->conf);
}

const struct daemon_listener *
daemon_listeners(const struct daemon *d)
{
	return (d->listeners.p);
}

int
daemon_worker(const struct daemon *d)
{
	return (d->index);
}

int
daemon_generation(const struct daemon *d)
{
	return (d->generation);
}

int
daemon_pair(const struct daemon *d, int i)
{
	return (i >= 0 && (size_t)i < d->pairs.len ? d->pairs.p[i] : -1);
}

bool
daemon_draining(const struct daemon *d)
{
	return (d->draining);
}

bool
daemon_ending(const struct daemon *d)
{
	return (d->deadline_set);
}

void
daemon_set_data(struct daemon *d, void *data)
{
	d->data = data;
}

void *
daemon_data(const struct daemon *d)
{
	return (d->data);
}
