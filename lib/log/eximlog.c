/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exim's mainlog, rejectlog and paniclog, in its format, so that its users' tools
 * (exigrep, eximstats, exiqgrep) read them.
 */
#include <stdarg.h>
#include <stdio.h>

#include "log/log.h"
#include "log/log_int.h"

static struct logfile files[3] = { LOGFILE_INIT, LOGFILE_INIT, LOGFILE_INIT };
static const char *const names[3] = { "mainlog", "rejectlog", "paniclog" };

int
eximlog_open(const char *dir, struct err *err)
{
	char path[4096];

	for (int i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		if (logfile_open(&files[i], path, err) == -1)
			return (-1);
	}
	return (0);
}

const char *
eximlog_stamp(void)
{
	return (log_stamp());
}

void
eximlog_write(unsigned which, const char *fmt, ...)
{
	struct sb line = SB_INIT(65536);
	va_list ap;

	sb_adds(&line, log_stamp());
	sb_addc(&line, ' ');
	va_start(ap, fmt);
	sb_addv(&line, fmt, ap);
	va_end(ap);
	if (line.overflow) {
		sb_cut(&line, line.len < 65000 ? line.len : 65000);
		line.overflow = false;
	}
	sb_addc(&line, '\n');
	for (int i = 0; i < 3; i++)
		if ((which & (1U << i)) != 0)
			logfile_add(&files[i], line.p, line.len);
	sb_free(&line);
	if ((which & EXIMLOG_PANIC) != 0)
		eximlog_flush();
}

void
eximlog_flush(void)
{
	for (int i = 0; i < 3; i++)
		logfile_flush(&files[i]);
}

void
eximlog_reopen(void)
{
	for (int i = 0; i < 3; i++)
		logfile_reopen(&files[i]);
}
