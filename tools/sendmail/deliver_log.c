/* SPDX-License-Identifier: BSD-2-Clause */
/* Logs as the configuration's log_file_path names them; what goes to the panic log is told on standard error too. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "daemon/eximlogs.h"
#include "deliver.h"
#include "log/log.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/time.h"
#include "os/user.h"

#define SYSLOG_SOCKET	"/dev/log"

int64_t
dnow(void)
{
	return ((int64_t)time(NULL));
}

bool
dlog_on(const struct deliver *d, enum exim_logsel sel)
{
	return ((d->conf->log_selector & EXIM_LOGSEL_BIT(sel)) != 0);
}

/* Does log_file_path name the system's log, and is it open? */
static bool
to_syslog(const struct deliver *d)
{
	static const struct exim_conf *asked;
	static bool yes;
	struct sv list = exim_main_text(d->conf, EXIM_MAIN_log_file_path), item;
	const char *socket = d->t->o->syslog_socket;
	struct err err = ERR_INIT;
	int sep = 0;

	if (asked == d->conf)
		return (yes);
	asked = d->conf;
	yes = false;
	while (list.len > 0 && exim_list_next(&list, &sep, d->t->facts, &item))
		yes = yes || sv_eqs(item, "syslog");
	if (yes && daemon_exim_logs(d->conf, socket == NULL ? SYSLOG_SOCKET : socket, &err) == -1) {
		(void)fprintf(stderr, "sendmail: %s\n", err.text);
		yes = false;
	}
	return (yes);
}

/* The file for "main": log_file_path with its %s, by default below the spool; NULL where only the system's log is named. */
static char *
make_log_path(const struct deliver *d, const char *name)
{
	struct sv path = exim_main_text(d->conf, EXIM_MAIN_log_file_path), item = SV_NULL, list = path;
	struct sb out = SB_INIT(8192);
	bool file = false;
	int sep = 0;
	ptrdiff_t at;

	while (list.len > 0 && exim_list_next(&list, &sep, d->t->facts, &item)) {
		if (item.len > 0 && item.p[0] == '/')
			break;
		file = file || item.len == 0;
	}
	if ((item.len == 0 || item.p[0] != '/') && !file && to_syslog(d))
		return (NULL);
	if (item.len == 0 || item.p[0] != '/')
		item = sv_cstr(arena_fmt(d->t->facts, SV_FMT "/log/%%slog", SV_ARG(d->spool)));
	at = sv_find(item, SV_LIT("%s"));
	if (at < 0)
		sb_add(&out, item);
	else
		sb_addf(&out, SV_FMT "%s" SV_FMT, SV_ARG(sv_sub(item, 0, (size_t)at)), name,
		    SV_ARG(sv_sub(item, (size_t)at + 2, item.len)));
	return (sb_steal(&out, NULL));
}

enum log_file { LOG_MAIN_FILE, LOG_REJECT_FILE, LOG_PANIC_FILE, LOG_FILES };

/* The same, made once for each configuration. */
static const char *
log_path(const struct deliver *d, enum log_file which)
{
	static const char *const names[LOG_FILES] = { "main", "reject", "panic" };
	static const struct exim_conf *of;
	static char *paths[LOG_FILES];

	if (of != d->conf)
		for (int i = 0; i < LOG_FILES; i++) {
			free(paths[i]);
			paths[i] = make_log_path(d, names[i]);
		}
	of = d->conf;
	return (paths[which]);
}

static int
open_log(const char *path)
{
	return (open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640));
}

static void
make_folder(const struct deliver *d, const char *path)
{
	char *dir = xstrndup(path, (size_t)(strrchr(path, '/') - path));

	(void)dspool_mkdir(d, dir, NULL);
	free(dir);
}

static void
append(const struct deliver *d, enum log_file which, struct sv line)
{
	const char *path = log_path(d, which);
	int fd;

	if (path == NULL)
		return;
	dspool_act(d);
	fd = open_log(path);
	os_act_back();
	if (fd == -1 && errno == ENOENT) {
		make_folder(d, path);
		dspool_act(d);
		fd = open_log(path);
		os_act_back();
	}
	if (fd == -1)
		return;
	(void)os_write_full(fd, line.p, line.len);
	(void)close(fd);
}

/* "debuglog.x" stands where the main log does. */
int
dlog_file(struct deliver *d, const char *name, bool remove, struct err *err)
{
	struct sb path = SB_INIT(8192);
	char *base = make_log_path(d, "debug");
	int fd = -1;

	if (base == NULL)
		return (err_set(err, ERR_CONFIG, NULL, "%s: the logs are no files", name));
	sb_addf(&path, "%s%s", base, name + strlen("debuglog"));
	free(base);
	dspool_act(d);
	fd = remove ? unlink(sb_cstr(&path)) : open_log(sb_cstr(&path));
	os_act_back();
	if (fd == -1)
		(void)err_sys(err, "%s %s", remove ? "remove" : "open", sb_cstr(&path));
	sb_free(&path);
	return (fd);
}

static void
put_when(const struct deliver *d, struct sb *line)
{
	int64_t us = os_wall_us();
	time_t now = (time_t)(us / 1000000);
	char when[40];
	struct tm tm;

	(void)localtime_r(&now, &tm);
	(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	sb_adds(line, when);
	if (dlog_on(d, EXIM_LOGSEL_millisec))
		sb_addf(line, ".%03d", (int)(us / 1000 % 1000));
	if (d->t->g.log_timezone) {
		(void)strftime(when, sizeof(when), " %z", &tm);
		sb_adds(line, when);
	}
	sb_addc(line, ' ');
}

/* <line> and, for the reject log, <more> (may be NULL), to the system's log alone. */
void
dlog_syslog(struct deliver *d, unsigned which, const char *line, const char *more)
{
	struct sb out = SB_INIT(256 * 1024);
	size_t stamp;

	if (!to_syslog(d))
		return;
	if (!exim_main_bool(d->conf, EXIM_MAIN_write_rejectlog))
		which &= ~(unsigned)DLOG_REJECT;
	put_when(d, &out);
	stamp = out.len;
	sb_addf(&out, "%s%s%s", line, more == NULL ? "" : "\n", more == NULL ? "" : more);
	eximlog_to_syslog(which, out.p, out.len, stamp);
	sb_free(&out);
}

bool
dloud(const struct deliver *d)
{
	return (d->t->o->verbose || d->t->o->no_deliver);
}

bool
dbypassed(const struct deliver *d, const struct dmsg *m)
{
	return (d->t->o->no_deliver || m->no_deliver);
}

/* -v: what goes to the logs is shown, without the message's id. */
static void
show(unsigned which, struct sv text)
{
	ptrdiff_t blank = sv_chr(text, ' ');

	if (blank > 0 && spool_id_valid(sv_sub(text, 0, (size_t)blank)))
		text = sv_sub(text, (size_t)blank + 1, text.len);
	(void)fprintf(stderr, "LOG:%s%s%s\n  " SV_FMT "\n", (which & DLOG_MAIN) != 0 ? " MAIN" : "",
	    (which & DLOG_PANIC) != 0 ? " PANIC" : "", (which & DLOG_REJECT) != 0 ? " REJECT" : "", SV_ARG(text));
}

void
dlog(struct deliver *d, unsigned which, const char *fmt, ...)
{
	struct sb line = SB_INIT(256 * 1024);
	size_t stamp;
	va_list ap;

	if (!exim_main_bool(d->conf, EXIM_MAIN_write_rejectlog))
		which &= ~(unsigned)DLOG_REJECT;
	put_when(d, &line);
	stamp = line.len;
	if (dlog_on(d, EXIM_LOGSEL_pid))
		sb_addf(&line, "[%ld] ", (long)getpid());
	va_start(ap, fmt);
	sb_addv(&line, fmt, ap);
	va_end(ap);
	if ((which & DLOG_FILES) == 0 && to_syslog(d))
		eximlog_to_syslog(which, line.p, line.len, stamp);
	if (dloud(d))
		show(which, sv_sub(sb_sv(&line), stamp, line.len));
	sb_addc(&line, '\n');
	if (which & DLOG_MAIN)
		append(d, LOG_MAIN_FILE, sb_sv(&line));
	if (which & DLOG_REJECT)
		append(d, LOG_REJECT_FILE, sb_sv(&line));
	if (which & DLOG_PANIC) {
		append(d, LOG_PANIC_FILE, sb_sv(&line));
		if (!dloud(d))
			(void)fwrite(line.p, 1, line.len, stderr);
	}
	sb_free(&line);
}

/* ---- the message's own ---- */

char *
dmsglog_path(const struct deliver *d, struct sv queue, const char *id, bool make)
{
	struct sb out = SB_INIT(8192);
	struct arena *a = arena_new(0);

	sb_addf(&out, SV_FMT "%s" SV_FMT "/msglog%s", SV_ARG(d->spool), queue.len > 0 ? "/" : "", SV_ARG(queue),
	    dspool_sub(d, a, queue, id));
	arena_free(&a);
	if (make && access(sb_cstr(&out), F_OK) == -1)
		(void)dspool_mkdir(d, sb_cstr(&out), NULL);
	sb_addf(&out, "/%s", id);
	return (sb_steal(&out, NULL));
}

void
dmsglog(struct deliver *d, const struct dmsg *m, const char *fmt, ...)
{
	struct sb line = SB_INIT(256 * 1024);
	char *path;
	va_list ap;
	int fd;

	if (!exim_main_bool(d->conf, EXIM_MAIN_message_logs))
		return;
	put_when(d, &line);
	va_start(ap, fmt);
	sb_addv(&line, fmt, ap);
	va_end(ap);
	sb_addc(&line, '\n');
	path = dmsglog_path(d, m->queue, m->id, true);
	dspool_act(d);
	fd = open_log(path);
	os_act_back();
	if (fd != -1) {
		(void)os_write_full(fd, line.p, line.len);
		(void)close(fd);
	}
	free(path);
	sb_free(&line);
}

void
dmsglog_remove(struct deliver *d, const struct dmsg *m)
{
	char *path = dmsglog_path(d, m->queue, m->id, false), *kept;

	dspool_act(d);
	if (exim_main_bool(d->conf, EXIM_MAIN_preserve_message_logs)) {
		struct sb to = SB_INIT(8192);

		sb_addf(&to, SV_FMT "%s" SV_FMT "/msglog.OLD", SV_ARG(d->spool), m->queue.len > 0 ? "/" : "", SV_ARG(m->queue));
		(void)os_mkdir_p(sb_cstr(&to), 0750, NULL);
		sb_addf(&to, "/%s", m->id);
		kept = sb_steal(&to, NULL);
		if (rename(path, kept) == -1)
			errno = 0;
		free(kept);
	} else
		(void)unlink(path);
	os_act_back();
	free(path);
}

int
dmsglog_show(struct deliver *d, const char *id)
{
	char *path = dmsglog_path(d, d->queue, id, false);
	struct sb text = SB_INIT(64 * 1024 * 1024);
	int rc;

	dspool_act(d);
	rc = os_read_file(path, 64 * 1024 * 1024, &text, NULL);
	os_act_back();
	free(path);
	if (rc == 0)
		(void)fwrite(text.p, 1, text.len, stdout);
	else {
		printf("Failed to open msglog file for %s: %s\n", id, strerror(errno));
		if (!exim_main_bool(d->conf, EXIM_MAIN_message_logs))
			printf("(No message logs are being created because the message_logs option is false.)\n");
	}
	sb_free(&text);
	return (rc == 0 ? 0 : 1);
}

/* ---- before there is a configuration ---- */

/* What a file that cannot be loaded says of its logs: the last setting of <name>, in <path> or what it includes. */
static void
find_setting(const char *path, const char *name, char *out, size_t size, unsigned depth)
{
	struct sb text = SB_INIT(1024 * 1024);
	struct sv rest, line;
	size_t n = strlen(name);

	if (depth < 10 && os_read_file(path, 1024 * 1024, &text, NULL) == 0) {
		rest = sb_sv(&text);
		while (sv_next(&rest, '\n', &line)) {
			char inc[1024];

			line = sv_trim(line);
			if (sv_starts(line, ".include ") && line.len - 9 < sizeof(inc)) {
				(void)snprintf(inc, sizeof(inc), SV_FMT, SV_ARG(sv_trim(sv_sub(line, 9, line.len))));
				find_setting(inc, name, out, size, depth + 1);
			} else if (sv_starts(line, name) && line.len > n && (line.p[n] == ' ' || line.p[n] == '=')) {
				struct sv v = sv_trim(sv_sub(line, n, line.len));

				if (v.len > 0 && v.p[0] == '=')
					(void)snprintf(out, size, SV_FMT, SV_ARG(sv_trim(sv_sub(v, 1, v.len))));
			}
		}
	}
	sb_free(&text);
}

/* Logs are written with the rights of exim_user.  False: it is set, and cannot be found out. */
static bool
act_by_setting(const char *conf)
{
	char user[256] = "", group[256] = "";
	struct os_user u = { 0 };
	int64_t uid, gid;
	gid_t g;

	find_setting(conf, "exim_user", user, sizeof(user), 0);
	find_setting(conf, "exim_group", group, sizeof(group), 0);
	if (!os_is_root() || user[0] == '\0')
		return (true);
	if (num_parse(sv_cstr(user), 0, INT32_MAX, &uid))
		(void)os_user_by_uid((uid_t)uid, &u, NULL);
	else if (os_user_by_name(user, &u, NULL) == 1)
		uid = u.uid;
	else
		return (false);
	gid = u.name[0] == '\0' ? uid : (int64_t)u.gid;
	if (group[0] != '\0' && !num_parse(sv_cstr(group), 0, INT32_MAX, &gid)) {
		if (os_group_by_name(group, &g, NULL) != 1)
			return (false);
		gid = g;
	}
	return (os_act_as((uid_t)uid, (gid_t)gid, NULL) == 0);
}

void
dlog_config_error(const char *conf, const char *text, bool main_too)
{
	char spool[1024] = "", path[1024] = "", when[40];
	struct sb file = SB_INIT(8192), line = SB_INIT(65536);
	time_t now = time(NULL);
	struct sv v;
	ptrdiff_t at;
	struct tm tm;
	int fd;

	find_setting(conf, "spool_directory", spool, sizeof(spool), 0);
	find_setting(conf, "log_file_path", path, sizeof(path), 0);
	if (path[0] != '/' && spool[0] == '/')
		(void)snprintf(path, sizeof(path), "%.900s/log/%%slog", spool);
	v = sv_cstr(path);
	if (path[0] != '/' || strchr(path, '$') != NULL || (at = sv_find(v, SV_LIT("%s"))) < 0)
		return;
	if (!act_by_setting(conf))
		return;
	(void)localtime_r(&now, &tm);
	(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	sb_addf(&line, "%s %s\n", when, text);
	for (size_t i = main_too ? 0 : 1; i < 2; i++) {
		static const char *const names[] = { "main", "panic" };

		sb_clear(&file);
		sb_addf(&file, SV_FMT "%s" SV_FMT, SV_ARG(sv_sub(v, 0, (size_t)at)), names[i],
		    SV_ARG(sv_sub(v, (size_t)at + 2, v.len)));
		fd = open(sb_cstr(&file), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
		if (fd != -1) {
			(void)os_write_full(fd, line.p, line.len);
			(void)close(fd);
		}
	}
	os_act_back();
	sb_free(&file);
	sb_free(&line);
}
