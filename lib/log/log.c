/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log of daemons and tools.  A line is built in a buffer and written with others
 * in one call; the text of the second is made once a second.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/sv.h"
#include "log/log.h"
#include "log/log_int.h"

static struct logfile file = LOGFILE_INIT;
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

void
log_reopen(void)
{
	logfile_reopen(&file);
}

void
log_flush(void)
{
	logfile_flush(&file);
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

static void
vlog(enum log_level level, const struct log_ctx *c, const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX];
	int n, max = (int)sizeof(line) - 1;

	if (level < min_level)
		return;
	n = snprintf(line, sizeof(line), "%s %s[%ld] %s: %s%s", log_stamp(), program, own_pid, level_names[level],
	    c == NULL ? "" : c->text, c == NULL || c->text[0] == '\0' ? "" : " ");
	if (n < 0 || n > max)
		n = max;
	(void)vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	clean(line);
	n = (int)strlen(line);
	if (n == max)
		n--;
	line[n] = '\n';
	if (file.fd != -1)
		logfile_add(&file, line, (size_t)n + 1);
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
	vlog(level, c, fmt, ap);					\
	va_end(ap);							\
}

LEVEL_FN(log_debug, LOG_L_DEBUG)
LEVEL_FN(log_info, LOG_L_INFO)
LEVEL_FN(log_warn, LOG_L_WARN)
LEVEL_FN(log_error, LOG_L_ERROR)

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
