/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exim's mainlog, rejectlog and paniclog, in its format, so that its users' tools
 * (exigrep, eximstats, exiqgrep) read them; in the same form deliveries and a scanner's words in logs of their own.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/sv.h"
#include "log/log.h"
#include "log/log_int.h"

#define NFILES	5
#define NALWAYS	3
#define LINE_MAX_LOG	65536
#define LINE_CUT	65000

static struct logfile files[NFILES] = { LOGFILE_INIT, LOGFILE_INIT, LOGFILE_INIT, LOGFILE_INIT, LOGFILE_INIT };
static const char *const names[NFILES] = { "mainlog", "rejectlog", "paniclog", "deliverylog", "scanlog" };

static int
open_one(int i, const char *dir, struct err *err)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
	return (logfile_open(&files[i], path, err));
}

/* As Exim grades its logs; each line of an entry is one of the system's log. */
static void
to_syslog(unsigned which, const char *text, size_t len)
{
	int severity = (which & EXIMLOG_PANIC) != 0 ? LOG_ALERT : (which & EXIMLOG_MAIN) != 0 ? LOG_INFO : LOG_NOTICE;
	struct sv rest = sv_from(text, len), line;

	while (sv_next(&rest, '\n', &line))
		log_syslog_line(severity, "vpost", (long)getpid(), line.p, line.len);
}

int
eximlog_open(const char *dir, struct err *err)
{
	for (int i = 0; i < NALWAYS; i++)
		if (open_one(i, dir, err) == -1)
			return (-1);
	return (0);
}

int
eximlog_open_own(const char *dir, bool deliveries, bool scanner, struct err *err)
{
	const bool on[NFILES] = { [3] = deliveries, [4] = scanner };

	for (int i = NALWAYS; i < NFILES; i++) {
		if (!on[i])
			logfile_close(&files[i]);
		else if (open_one(i, dir, err) == -1)
			return (-1);
	}
	return (0);
}

const char *
eximlog_stamp(void)
{
	return (log_stamp());
}

/*
 * Texts of users, their programs and other hosts must not make lines of their own, nor steer a terminal.  What is not printed
 * is written as Exim does.  <lines>: newlines stay.
 */
static bool
is_plain(char c, bool lines)
{
	return (((unsigned char)c >= ' ' && c != 0x7f) || c == '\t' || (c == '\n' && lines));
}

static void
make_plain(struct sb *line, bool lines)
{
	struct sb out = SB_INIT(5 * LINE_MAX_LOG);
	size_t i = 0;

	while (i < line->len && is_plain(line->p[i], lines))
		i++;
	if (i == line->len)
		return;
	sb_addn(&out, line->p, i);
	for (; i < line->len; i++) {
		char c = line->p[i];

		if (is_plain(c, lines))
			sb_addc(&out, c);
		else if (c == '\n' || c == '\r')
			sb_adds(&out, c == '\n' ? "\\n" : "\\r");
		else
			sb_addf(&out, "\\%03o", (unsigned char)c);
	}
	sb_free(line);
	*line = out;
}

static void
put(unsigned which, struct sb *line, size_t text)
{
	if (log_syslog_on())
		to_syslog(which, line->p + text, line->len - text);
	sb_addc(line, '\n');
	for (int i = 0; i < NFILES && (log_files_on() || !log_syslog_on()); i++)
		if ((which & (1U << i)) != 0)
			logfile_add(&files[i], line->p, line->len);
	sb_cut(line, line->len - 1);
}

void
eximlog_write(unsigned which, const char *fmt, ...)
{
	struct sb line = SB_INIT(LINE_MAX_LOG);
	size_t text;
	va_list ap;

	sb_adds(&line, log_stamp());
	sb_addc(&line, ' ');
	text = line.len;
	va_start(ap, fmt);
	sb_addv(&line, fmt, ap);
	va_end(ap);
	if (line.overflow) {
		sb_cut(&line, line.len < LINE_CUT ? line.len : LINE_CUT);
		line.overflow = false;
	}
	/* Only the reject log has headers behind its lines. */
	make_plain(&line, (which & EXIMLOG_REJECT) != 0);
	if (which != EXIMLOG_REJECT && memchr(line.p, '\n', line.len) != NULL) {
		put(EXIMLOG_REJECT, &line, text);
		make_plain(&line, false);
		which &= ~(unsigned)EXIMLOG_REJECT;
	}
	put(which, &line, text);
	sb_free(&line);
	if ((which & EXIMLOG_PANIC) != 0)
		eximlog_flush();
}

void
eximlog_flush(void)
{
	for (int i = 0; i < NFILES; i++)
		logfile_flush(&files[i]);
}

void
eximlog_reopen(void)
{
	for (int i = 0; i < NFILES; i++)
		logfile_reopen(&files[i]);
}
