/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines to the system's log, beside or instead of our own files, in the form of RFC 3164: one datagram each to the
 * socket of the local syslog daemon.  The socket is opened before workers are made and shut in, and is connected again when
 * that daemon was started anew.  A daemon that does not read holds us up for a moment, and then for a while not at all: what it
 * does not take at once is lost meanwhile, and counted.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>
#include <unistd.h>

#include "log/log.h"
#include "log/log_int.h"
#include "os/time.h"

#define WAIT_MS		50
#define STUCK_MS	10000		/* no waiting for so long after it was in vain */

static struct {
	int		 fd;
	bool		 on;		/* all logs go there, with <facility> */
	int		 facility;
	struct sockaddr_un at;
	unsigned long	 lost;		/* lines that were not taken */
	int64_t		 stuck_until;	/* os_mono_ms() */
} sys = { .fd = -1 };

bool
log_syslog_facility(const char *name, int *facility)
{
	static const struct { const char *name; int code; } known[] = {
		{ "user", LOG_USER }, { "mail", LOG_MAIL }, { "daemon", LOG_DAEMON }, { "auth", LOG_AUTH }, { "syslog", LOG_SYSLOG },
		{ "authpriv", LOG_AUTHPRIV }, { "ftp", LOG_FTP },
		{ "lpr", LOG_LPR }, { "news", LOG_NEWS }, { "uucp", LOG_UUCP }, { "cron", LOG_CRON }, { "local0", LOG_LOCAL0 },
		{ "local1", LOG_LOCAL1 }, { "local2", LOG_LOCAL2 }, { "local3", LOG_LOCAL3 }, { "local4", LOG_LOCAL4 },
		{ "local5", LOG_LOCAL5 }, { "local6", LOG_LOCAL6 }, { "local7", LOG_LOCAL7 },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcasecmp(known[i].name, name) == 0) {
			*facility = known[i].code;
			return (true);
		}
	}
	return (false);
}

int
log_syslog_socket(const char *path, struct err *err)
{
	sys.at = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((size_t)snprintf(sys.at.sun_path, sizeof(sys.at.sun_path), "%s", path) >= sizeof(sys.at.sun_path))
		return (err_set(err, ERR_CONFIG, NULL, "syslog_socket: the path %s is too long for a socket", path));
	if (sys.fd == -1 && (sys.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) == -1)
		return (err_sys(err, "socket for syslog"));
	/* A syslog daemon that is not there yet is tried again with each line. */
	(void)connect(sys.fd, (struct sockaddr *)&sys.at, sizeof(sys.at));
	return (0);
}

int
log_syslog(const char *facility, const char *path, struct err *err)
{
	int code;

	sys.on = false;
	if (facility == NULL || facility[0] == '\0') {
		if (sys.fd != -1)
			(void)close(sys.fd);
		sys.fd = -1;
		return (0);
	}
	if (!log_syslog_facility(facility, &code))
		return (err_set(err, ERR_CONFIG, NULL, "log_syslog: \"%s\" is no facility: mail, daemon, user, local0 to local7 ...",
		    facility));
	sys.facility = code;
	if (log_syslog_socket(path, err) == -1)
		return (-1);
	sys.on = true;
	return (0);
}

bool
log_syslog_on(void)
{
	return (sys.on);
}

static bool
send_line(const char *line, size_t len)
{
	bool waited = false;

	for (int tries = 0; tries < 3; tries++) {
		struct pollfd pf = { .fd = sys.fd, .events = POLLOUT };

		if (send(sys.fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT) != -1)
			return (true);
		if (errno == EAGAIN || errno == ENOBUFS) {
			if (os_mono_ms() < sys.stuck_until)
				return (false);
			(void)poll(&pf, 1, WAIT_MS);
			waited = true;
		} else if (errno == EMSGSIZE)
			len = len > 1024 ? 1024 : len / 2;
		else if (errno != EINTR && connect(sys.fd, (struct sockaddr *)&sys.at, sizeof(sys.at)) == -1)
			return (false);
	}
	if (waited)
		sys.stuck_until = os_mono_ms() + STUCK_MS;
	return (false);
}

void
log_syslog_send(int priority, const char *ident, long pid, const char *text, size_t len)
{
	char buf[LOG_LINE_MAX + 256], tag[40] = "";
	int n;

	if (sys.fd == -1 || len == 0)
		return;
	if (pid > 0)
		(void)snprintf(tag, sizeof(tag), "[%ld]", pid);
	if (sys.lost > 0) {
		n = snprintf(buf, sizeof(buf), "<%d>%s %s%s: %lu lines before were not taken", (priority & LOG_FACMASK) | LOG_WARNING,
		    log_now()->syslog, ident, tag, sys.lost);
		if (send_line(buf, (size_t)n))
			sys.lost = 0;
	}
	n = snprintf(buf, sizeof(buf), "<%d>%s %s%s: %.*s", priority, log_now()->syslog, ident, tag,
	    (int)(len < LOG_LINE_MAX ? len : LOG_LINE_MAX), text);
	if (!send_line(buf, (size_t)n < sizeof(buf) ? (size_t)n : sizeof(buf) - 1))
		sys.lost++;
}

void
log_syslog_line(int severity, const char *ident, long pid, const char *text, size_t len)
{
	log_syslog_send(sys.facility | severity, ident, pid, text, len);
}
