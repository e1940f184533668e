/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exim's mainlog, rejectlog and paniclog, in its format, so that its users' tools
 * (exigrep, eximstats, exiqgrep) read them; in the same form deliveries and a scanner's words in logs of their own.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>
#include <unistd.h>

#include "base/sv.h"
#include "log/log.h"
#include "log/log_int.h"
#include "os/time.h"

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

/* ---- the system's log ---- */

#define CHUNK_MAX	870		/* so much of a line goes into one of the system's log */
#define NAME_MAX_LEN	33

static struct eximlog_form form = { .files = true, .syslog_pid = true, .syslog_timestamp = true, .syslog_duplication = true };
static int form_facility = LOG_MAIL;
static char form_name[NAME_MAX_LEN] = "exim";

int
eximlog_set_form(const struct eximlog_form *f, const char *socket, struct err *err)
{
	const char *facility = strncasecmp(f->facility, "log_", 4) == 0 ? f->facility + 4 : f->facility;

	form = *f;
	form.facility = form.name = NULL;
	form_facility = LOG_MAIL;
	if (strcasecmp(facility, "kern") == 0)
		form_facility = LOG_KERN;
	else if (facility[0] != '\0' && !log_syslog_facility(facility, &form_facility))
		return (err_set(err, ERR_CONFIG, NULL, "failed to interpret syslog_facility \"%s\"", f->facility));
	(void)snprintf(form_name, sizeof(form_name), "%s", f->name[0] == '\0' ? "exim" : f->name);
	return (form.syslog ? log_syslog_socket(socket, err) : 0);
}

/* In pieces that every syslog daemon takes: "[1/3] ", with a backslash where a line of the entry ends. */
static void
send_pieces(int severity, const char *text, size_t len)
{
	for (int pass = 0, pieces = 0; pass < 2; pass++) {
		const char *p = text, *end = text + len;

		for (int i = 1; p < end; i++) {
			const char *nl = memchr(p, '\n', (size_t)(end - p));
			size_t n = (size_t)((nl == NULL ? end : nl) - p);
			char buf[CHUNK_MAX + 40];
			int k;

			if (n > CHUNK_MAX)
				n = CHUNK_MAX;
			if (pass == 0)
				pieces++;
			else if (pieces == 1)
				log_syslog_send(form_facility | severity, form_name, form.syslog_pid ? (long)getpid() : 0, p, n);
			else {
				k = snprintf(buf, sizeof(buf), "[%d%c%d] %.*s", i,
				    p + n < end && p[n] == '\n' ? '\\' : '/', pieces, (int)n, p);
				log_syslog_send(form_facility | severity, form_name,
				    form.syslog_pid ? (long)getpid() : 0, buf, (size_t)k);
			}
			p += n;
			if (p < end && *p == '\n')
				p++;
		}
	}
}

/*
 * An entry of several logs goes there once for each, with another severity; with syslog_duplication off once in all, with
 * that of the log that tells most of it.
 */
void
eximlog_to_syslog(unsigned which, const char *line, size_t len, size_t stamp_len)
{
	static const struct { unsigned log; int severity; } grades[] = {
		{ EXIMLOG_PANIC, LOG_ALERT }, { EXIMLOG_REJECT, LOG_NOTICE }, { EXIMLOG_MAIN, LOG_INFO },
	};
	const char *nl = memchr(line, '\n', len);

	if (!form.syslog)
		return;
	if (!form.syslog_timestamp) {
		line += stamp_len;
		len -= stamp_len;
	}
	for (size_t i = 0; i < sizeof(grades) / sizeof(grades[0]); i++) {
		if ((which & grades[i].log) == 0)
			continue;
		/* Header fields are for the reject log alone. */
		send_pieces(grades[i].severity, line, grades[i].log != EXIMLOG_REJECT && nl != NULL ? (size_t)(nl - line) : len);
		if (!form.syslog_duplication)
			return;
	}
}

/* All logs of a box by its own setting, beside what exim.conf says; each line of an entry is one there. */
static void
to_box_syslog(unsigned which, const char *text, size_t len)
{
	int severity = (which & EXIMLOG_PANIC) != 0 ? LOG_ALERT : (which & EXIMLOG_MAIN) != 0 ? LOG_INFO : LOG_NOTICE;
	struct sv rest = sv_from(text, len), line;

	while (sv_next(&rest, '\n', &line))
		log_syslog_line(severity, "vpost", (long)getpid(), line.p, line.len);
}

/* ---- files ---- */

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
	return (log_now()->stamp);
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
		to_box_syslog(which, line->p + text, line->len - text);
	sb_addc(line, '\n');
	for (int i = 0; i < NFILES && form.files && (log_files_on() || !log_syslog_on()); i++)
		if ((which & (1U << i)) != 0)
			logfile_add(&files[i], line->p, line->len);
	sb_cut(line, line->len - 1);
}

/* What stands in front of each line; how much of it is the time. */
static size_t
put_stamp(struct sb *line)
{
	size_t at;

	sb_adds(line, log_now()->stamp);
	if (form.millisec)
		sb_addf(line, ".%03d", (int)(os_wall_us() / 1000 % 1000));
	if (form.timezone) {
		sb_addc(line, ' ');
		sb_adds(line, log_now()->zone);
	}
	sb_addc(line, ' ');
	at = line->len;
	if (form.pid)
		sb_addf(line, "[%ld] ", (long)getpid());
	return (at);
}

static void
cut(struct sb *line)
{
	if (!line->overflow)
		return;
	sb_cut(line, line->len < LINE_CUT ? line->len : LINE_CUT);
	line->overflow = false;
}

void
eximlog_write(unsigned which, const char *fmt, ...)
{
	struct sb line = SB_INIT(LINE_MAX_LOG);
	size_t text;
	va_list ap;

	text = put_stamp(&line);
	va_start(ap, fmt);
	sb_addv(&line, fmt, ap);
	va_end(ap);
	cut(&line);
	/* Only the reject log has headers behind its lines. */
	make_plain(&line, (which & EXIMLOG_REJECT) != 0);
	eximlog_to_syslog(which, line.p, line.len, text);
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
eximlog_entry(unsigned which, const char *line, const char *more)
{
	struct sb whole = SB_INIT(LINE_MAX_LOG);
	size_t text;

	if (more == NULL || (which & EXIMLOG_REJECT) == 0) {
		eximlog_write(which, "%s", line);
		return;
	}
	text = put_stamp(&whole);
	sb_adds(&whole, line);
	make_plain(&whole, false);
	if ((which & ~(unsigned)EXIMLOG_REJECT) != 0)
		put(which & ~(unsigned)EXIMLOG_REJECT, &whole, text);
	sb_addf(&whole, "\n%s-----", more);
	cut(&whole);
	make_plain(&whole, true);
	eximlog_to_syslog(which, whole.p, whole.len, text);
	put(EXIMLOG_REJECT, &whole, text);
	sb_free(&whole);
	if ((which & EXIMLOG_PANIC) != 0)
		eximlog_flush();
}

int
eximlog_file(const char *name, bool remove, struct err *err)
{
	const char *slash = files[0].path == NULL ? NULL : strrchr(files[0].path, '/');
	char path[4096];
	int fd;

	if (slash == NULL || strchr(name, '/') != NULL)
		return (err_set(err, ERR_CONFIG, NULL, "%s: there is no folder for it", name));
	(void)snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - files[0].path), files[0].path, name);
	fd = remove ? unlink(path) : logfile_fd(path);
	return (fd == -1 ? err_sys(err, "%s %s", remove ? "remove" : "open", path) : fd);
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
