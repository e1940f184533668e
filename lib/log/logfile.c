/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of lines, shared by the daemons' log and Exim's three. */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "log/log_int.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/time.h"

/* No link is followed, and nothing but a file written to. */
int
logfile_fd(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
	struct stat st;

	if (fd != -1 && (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))) {
		(void)close(fd);
		errno = EINVAL;
		return (-1);
	}
	return (fd);
}

int
logfile_open(struct logfile *f, const char *path, struct err *err)
{
	int fd = logfile_fd(path);

	if (fd == -1)
		return (err_sys(err, "open log %s", path));
	/* Local time is looked up now: a sandbox may hide the zone files later. */
	tzset();
	logfile_close(f);
	f->fd = fd;
	f->path = xstrdup(path);
	f->uid = geteuid();
	f->gid = getegid();
	return (0);
}

void
logfile_close(struct logfile *f)
{
	logfile_flush(f);
	if (f->fd != -1)
		(void)close(f->fd);
	free(f->path);
	f->fd = -1;
	f->path = NULL;
	sb_free(&f->buf);
}

#define LOOK_US		1000000

/* Another file, or none, stands under the log's name: it was rotated, and nobody told us.  Looked at once a second. */
static bool
moved(struct logfile *f)
{
	int64_t now = os_mono_us();
	struct stat st, ours;

	if (now - f->looked < LOOK_US)
		return (false);
	f->looked = now;
	if (fstat(f->fd, &ours) == -1)
		return (false);
	return (stat(f->path, &st) == -1 ? errno == ENOENT : st.st_ino != ours.st_ino || st.st_dev != ours.st_dev);
}

static void
open_again(struct logfile *f)
{
	int fd;

	if (os_act_as(f->uid, f->gid, NULL) == -1)
		return;
	fd = logfile_fd(f->path);
	os_act_back();
	/* Better the rotated file than none. */
	if (fd == -1)
		return;
	(void)close(f->fd);
	f->fd = fd;
}

void
logfile_reopen(struct logfile *f)
{
	if (f->fd == -1)
		return;
	logfile_flush(f);
	open_again(f);
}

void
logfile_add(struct logfile *f, const char *line, size_t len)
{
	if (f->fd == -1)
		return;
	if (f->buf.len + len > LOG_GATHER)
		logfile_flush(f);
	sb_addn(&f->buf, line, len);
	f->buf.overflow = false;
}

void
logfile_flush(struct logfile *f)
{
	if (f->fd == -1 || f->buf.len == 0)
		return;
	if (moved(f))
		open_again(f);
	/* A full disk must not stop the mail: what cannot be logged is counted and dropped. */
	if (os_write_full(f->fd, f->buf.p, f->buf.len) == -1)
		f->lost += f->buf.len;
	else
		f->lost = 0;
	sb_clear(&f->buf);
}

const struct log_now *
log_now(void)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static struct log_now n;
	static time_t made;
	time_t now = (time_t)(os_wall_us() / 1000000);
	struct tm tm;

	if (now != made || n.stamp[0] == '\0') {
		made = now;
		(void)localtime_r(&made, &tm);
		(void)strftime(n.stamp, sizeof(n.stamp), "%Y-%m-%d %H:%M:%S", &tm);
		(void)strftime(n.zone, sizeof(n.zone), "%z", &tm);
		(void)snprintf(n.syslog, sizeof(n.syslog), "%.3s %2d %02d:%02d:%02d", months + 3 * tm.tm_mon, tm.tm_mday, tm.tm_hour,
		    tm.tm_min, tm.tm_sec);
	}
	return (&n);
}
