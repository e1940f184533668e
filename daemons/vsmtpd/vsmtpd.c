/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vsmtpd: takes mail in by SMTP, submission and local submission.  The parent reads
 * exim.conf and the certificates; the workers hold the sessions.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "daemon/eximlogs.h"
#include "exim/expand.h"
#include "log/log.h"
#include "os/file.h"
#include "session/tls_conf.h"
#include "vsmtpd.h"

#define WORKERS_MAX	64

static int
count(const struct box *b)
{
	return (b->smtp_workers < 1 ? 1 : b->smtp_workers > WORKERS_MAX ? WORKERS_MAX : (int)b->smtp_workers);
}

struct reporter {
	void	(*fn)(void *arg, const struct err *e);
	void	*arg;
};

static void
report_one(void *arg, const struct err *e, bool warning)
{
	struct reporter *r = arg;

	if (!warning && r->fn != NULL)
		r->fn(r->arg, e);
}

static int
load_exim(const struct box *b, struct exim_conf **out, struct reporter *r, struct err *err)
{
	struct exim_report rep = EXIM_REPORT_INIT;
	struct exim_conf_source src;

	rep.fn = report_one;
	rep.arg = r;
	box_exim_source(b, &src);
	return (exim_conf_load(out, &src, &rep, err));
}

/*
 * The certificates: tls_certificate of exim.conf, else the box's directory.  Mail goes without them when the service starts, and
 * STARTTLS fails until they are there; but what runs with good ones does not go on to bad ones.
 */
static int
load_tls(const struct box *b, const struct exim_conf *c, struct session_tls **out, struct reporter *r, struct err *err)
{
	const char *dir = b->tls_dir[0] == '/' ? b->tls_dir : box_path(b, b->tls_dir);
	struct err e = ERR_INIT;
	static bool before;

	*out = session_tls_new(c, dir, !before, &e);
	if (e.cls != ERR_NONE && r->fn != NULL)
		r->fn(r->arg, &e);
	if (*out != NULL || e.cls == ERR_NONE) {
		before = e.cls == ERR_NONE || (*out != NULL && session_tls_fixed(*out) != NULL);
		return (0);
	}
	*err = e;
	return (-1);
}

static void
unload(void *conf)
{
	struct vsmtpd_conf *c = conf;

	if (c == NULL)
		return;
	session_tls_free(&c->tls);
	exim_conf_unref(&c->exim);
	limits_free(&c->limits);
	free(c);
}

static int
load(const struct box *b, void **conf, void (*report)(void *arg, const struct err *e), void *arg, struct err *err)
{
	struct vsmtpd_conf *c = xcalloc(1, sizeof(*c));
	struct reporter r = { report, arg };

	if (load_exim(b, &c->exim, &r, err) == -1 || load_tls(b, c->exim, &c->tls, &r, err) == -1 ||
	    (c->limits = limits_new((unsigned)count(b), err)) == NULL) {
		unload(c);
		return (-1);
	}
	*conf = c;
	return (0);
}

static int
logs(const struct box *b, const void *conf, struct err *err)
{
	const struct vsmtpd_conf *c = conf;

	return (daemon_exim_logs(c->exim, b->syslog_socket, err));
}

/* A path that is set, expanded; else false. */
static bool
path_of(const struct exim_conf *c, enum exim_main_opt opt, char *path, size_t size)
{
	const struct exim_value *v = &c->main[opt];
	struct arena *a = arena_new(0);
	struct exim_world world;
	struct exim_env env = { .arena = a, .world = &world };
	struct err err = ERR_INIT;
	struct sv out = v->text;

	exim_world_posix(&world);
	exim_conf_env(c, &env);
	if (!v->set || (v->str != NULL && exim_expand(v->str, &env, &out, &err) != EXIM_OK) || out.len >= size)
		out = SV_LIT("");
	(void)snprintf(path, size, SV_FMT, SV_ARG(out));
	arena_free(&a);
	if (err.cls != ERR_NONE)
		log_err(NULL, "exim.conf: a path", &err);
	return (path[0] == '/');
}

static bool
pid_file(const void *conf, char *path, size_t size)
{
	const struct vsmtpd_conf *c = conf;

	return (path_of(c->exim, EXIM_MAIN_pid_file_path, path, size));
}

void
vsmtpd_process_log(const struct vsmtpd_conf *c, struct sv lines)
{
	char path[4096];
	int fd;

	if (!path_of(c->exim, EXIM_MAIN_process_log_path, path, sizeof(path)))
		return;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd == -1 || os_write_full(fd, lines.p, lines.len) == -1)
		log_warn(NULL, "process log %s: %s", path, strerror(errno));
	if (fd != -1)
		(void)close(fd);
}

static void
told(const void *conf, size_t workers)
{
	char line[120];
	int n = snprintf(line, sizeof(line), "%5ld daemon: listening for SMTP, %zu processes\n", (long)getpid(), workers);

	vsmtpd_process_log(conf, sv_from(line, (size_t)n));
}

static struct daemon_role worker_role;
static const struct daemon_role *const roles[] = { &worker_role, NULL };
static const char *const listens[] = { "smtp", "submission", "smtps", NULL };

static const struct daemon_def def = {
	.name = "vsmtpd",
	.listens = listens,
	.roles = roles,
	.load = load,
	.unload = unload,
	.logs = logs,
	.pid_file = pid_file,
	.told = told,
	.sockets = vsmtpd_sockets,
};

int
main(int argc, char **argv)
{
	worker_role = vsmtpd_worker;
	worker_role.count = count;
	return (daemon_main(&def, argc, argv));
}
