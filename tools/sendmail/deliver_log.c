/* SPDX-License-Identifier: BSD-2-Clause */
/* Logs as the configuration's log_file_path names them; what goes to the panic log is told on standard error too. */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "deliver.h"
#include "os/file.h"

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

/* The file for "main": log_file_path with its %s, by default below the spool. */
static char *
log_path(const struct deliver *d, const char *name)
{
	struct sv path = exim_main_text(d->conf, EXIM_MAIN_log_file_path), item = SV_NULL, list = path;
	struct sb out = SB_INIT(8192);
	int sep = 0;
	ptrdiff_t at;

	while (list.len > 0 && exim_list_next(&list, &sep, d->t->facts, &item))
		if (item.len > 0 && item.p[0] == '/')
			break;
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

static void
append(const struct deliver *d, const char *name, struct sv line)
{
	char *path = log_path(d, name), *slash = strrchr(path, '/');
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);

	if (fd == -1 && errno == ENOENT && slash != NULL) {
		*slash = '\0';
		(void)os_mkdir_p(path, 0750, NULL);
		if (geteuid() == 0 && chown(path, (uid_t)d->conf->g.exim_uid, (gid_t)d->conf->g.exim_gid) == -1)
			errno = 0;
		*slash = '/';
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
	}
	if (fd != -1) {
		struct stat st;

		if (geteuid() == 0 && fstat(fd, &st) == 0 && st.st_size == 0 && st.st_uid == 0 &&
		    fchown(fd, (uid_t)d->conf->g.exim_uid, (gid_t)d->conf->g.exim_gid) == -1)
			errno = 0;
		(void)os_write_full(fd, line.p, line.len);
		(void)close(fd);
	}
	free(path);
}

void
dlog(struct deliver *d, unsigned which, const char *fmt, ...)
{
	struct sb line = SB_INIT(256 * 1024);
	time_t now = time(NULL);
	char when[40];
	struct tm tm;
	va_list ap;

	(void)localtime_r(&now, &tm);
	(void)strftime(when, sizeof(when), d->t->g.log_timezone ? "%Y-%m-%d %H:%M:%S %z " : "%Y-%m-%d %H:%M:%S ", &tm);
	sb_adds(&line, when);
	va_start(ap, fmt);
	sb_addv(&line, fmt, ap);
	va_end(ap);
	sb_addc(&line, '\n');
	if (which & DLOG_MAIN)
		append(d, "main", sb_sv(&line));
	if (which & DLOG_REJECT)
		append(d, "reject", sb_sv(&line));
	if (which & DLOG_PANIC) {
		append(d, "panic", sb_sv(&line));
		(void)fwrite(line.p, 1, line.len, stderr);
	}
	sb_free(&line);
}
