/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filling and prefixing struct err; see err.h for the contract.  Texts are one
 * line: control characters become blanks, since they end up in logs and replies.
 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void
one_line(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = ' ';
}

static void
set_status(struct err *err, const char *status)
{
	(void)snprintf(err->status, sizeof(err->status), "%s", status);
}

int
err_set(struct err *err, enum err_class cls, const char *status, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return (-1);
	err->cls = cls;
	if (status == NULL)
		status = cls == ERR_PERM ? "5.0.0" : cls == ERR_CONFIG ? "4.3.5" : "4.0.0";
	set_status(err, status);
	va_start(ap, fmt);
	(void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	one_line(err->text);
	return (-1);
}

int
err_sys(struct err *err, const char *fmt, ...)
{
	int saved = errno;
	char what[ERR_TEXT_MAX];
	va_list ap;

	if (err == NULL)
		return (-1);
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	err->cls = ERR_TEMP;
	set_status(err, "4.3.0");
	(void)snprintf(err->text, sizeof(err->text), "%.900s: %s", what, strerror(saved));
	one_line(err->text);
	errno = saved;
	return (-1);
}

int
err_conf(struct err *err, const char *file, unsigned line, const char *fmt, ...)
{
	char what[ERR_TEXT_MAX];
	va_list ap;

	if (err == NULL)
		return (-1);
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	err->cls = ERR_CONFIG;
	set_status(err, "4.3.5");
	(void)snprintf(err->text, sizeof(err->text), "%.255s:%u: %.700s", file, line, what);
	one_line(err->text);
	return (-1);
}

void
err_prefix(struct err *err, const char *fmt, ...)
{
	char what[ERR_TEXT_MAX], old[ERR_TEXT_MAX];
	va_list ap;

	if (err == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	memcpy(old, err->text, sizeof(old));
	(void)snprintf(err->text, sizeof(err->text), "%.500s: %.500s", what, old);
	one_line(err->text);
}

void
err_clear(struct err *err)
{
	if (err != NULL) {
		err->cls = ERR_NONE;
		err->status[0] = '\0';
		err->text[0] = '\0';
	}
}
