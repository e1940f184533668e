/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log of daemons and tools.  A line is built in a buffer and written with others
 * in one call; the text of the second is made once a second.
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

static struct logfile file = LOGFILE_INIT, debug_file = LOGFILE_INIT;
static bool files_on = true;
static char program[64] = "vpost";
static enum log_level min_level = LOG_L_INFO;
static bool also_stderr;
static long own_pid;		/* as of log_set_program: each process names itself */

static const char *const level_names[] = { "debug", "info", "warn", "error" };

int
log_open(const char *prog, const char *path, enum log_level min, struct err *err)
{
	log_set_program(prog);
	min_level = min;
	if (path == NULL) {
		logfile_close(&file);
		return (0);
	}
	return (logfile_open(&file, path, err));
}

int
log_open_debug(const char *path, struct err *err)
{
	if (path != NULL)
		return (logfile_open(&debug_file, path, err));
	logfile_close(&debug_file);
	return (0);
}

void
log_to_files(bool on)
{
	files_on = on;
}

bool
log_files_on(void)
{
	return (files_on);
}

void
log_set_program(const char *prog)
{
	(void)snprintf(program, sizeof(program), "%s", prog);
	own_pid = (long)getpid();
}

void
log_to_stderr(bool on)
{
	also_stderr = on;
}

void
log_set_level(enum log_level min)
{
	min_level = min;
}

bool
log_level_parse(const char *s, enum log_level *level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcasecmp(s, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return (true);
		}
	}
	return (false);
}

bool
log_enabled(enum log_level level)
{
	return (level >= min_level);
}

bool
log_level_of(const char *setting, const char *prog, enum log_level *level)
{
	struct sv rest = sv_cstr(setting), word;
	enum log_level l, all = LOG_L_INFO, own = LOG_L_INFO;
	bool has_own = false, ok = true;
	char name[64];

	while (sv_word(&rest, &word)) {
		ptrdiff_t eq = sv_chr(word, '=');

		(void)snprintf(name, sizeof(name), SV_FMT, SV_ARG(eq < 0 ? word : sv_sub(word, (size_t)eq + 1, word.len)));
		if (!log_level_parse(name, &l)) {
			ok = false;
		} else if (eq < 0) {
			all = l;
		} else if (sv_eqs(sv_sub(word, 0, (size_t)eq), prog)) {
			own = l;
			has_own = true;
		}
	}
	*level = has_own ? own : all;
	return (ok);
}

void
log_reopen(void)
{
	logfile_reopen(&file);
	logfile_reopen(&debug_file);
}

void
log_flush(void)
{
	logfile_flush(&file);
	logfile_flush(&debug_file);
}

void
log_ctx_set(struct log_ctx *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
}

/* One line stays one line, whatever a peer sent. */
static void
clean(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
}

/* <text> is what stands behind stamp and program. */
static void
to_syslog(enum log_level level, const char *text, size_t len)
{
	static const int severity[] = { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR };

	log_syslog_line(severity[level], program, own_pid, text, len);
}

static void vlog(enum log_level level, bool plain, const struct log_ctx *c, const char *fmt, va_list ap)
	__attribute__((format(printf, 4, 0)));

static void
vlog(enum log_level level, bool plain, const struct log_ctx *c, const char *fmt, va_list ap)
{
	struct logfile *f = level == LOG_L_DEBUG && debug_file.fd != -1 ? &debug_file : &file;
	char line[LOG_LINE_MAX];
	int n, max = (int)sizeof(line) - 1;

	if (level < min_level)
		return;
	n = snprintf(line, sizeof(line), "%s %s[%ld] %s%s%s%s", log_now()->stamp, program, own_pid, plain ? "" : level_names[level],
	    plain ? "" : ": ", c == NULL ? "" : c->text, c == NULL || c->text[0] == '\0' ? "" : " ");
	if (n < 0 || n > max)
		n = max;
	(void)vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	clean(line);
	n = (int)strlen(line);
	if (n == max)
		n--;
	if (log_syslog_on()) {
		const char *from = strstr(line, "] ");

		to_syslog(level, from == NULL ? line : from + 2, from == NULL ? (size_t)n : (size_t)(line + n - from - 2));
	}
	line[n] = '\n';
	if (f->fd != -1 && (files_on || !log_syslog_on()))
		logfile_add(f, line, (size_t)n + 1);
	if (file.fd == -1 || also_stderr)
		(void)!write(STDERR_FILENO, line, (size_t)n + 1);
	if (level >= LOG_L_WARN)
		log_flush();
}

#define LEVEL_FN(name, level)						\
void									\
name(const struct log_ctx *c, const char *fmt, ...)			\
{									\
	va_list ap;							\
									\
	va_start(ap, fmt);						\
	vlog(level, false, c, fmt, ap);					\
	va_end(ap);							\
}

LEVEL_FN(log_debug, LOG_L_DEBUG)
LEVEL_FN(log_info, LOG_L_INFO)
LEVEL_FN(log_warn, LOG_L_WARN)
LEVEL_FN(log_error, LOG_L_ERROR)

void
log_plain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog(LOG_L_INFO, true, NULL, fmt, ap);
	va_end(ap);
}

void
log_err(const struct log_ctx *c, const char *what, const struct err *err)
{
	switch (err->cls) {
	case ERR_PERM:
		log_info(c, "%s: %s", what, err->text);
		break;
	case ERR_CONFIG:
		log_error(c, "%s: %s", what, err->text);
		break;
	case ERR_NONE:
	case ERR_TEMP:
		log_warn(c, "%s: %s", what, err->text);
		break;
	}
}
