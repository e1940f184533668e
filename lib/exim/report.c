/* SPDX-License-Identifier: BSD-2-Clause */
/* Gathering of a configuration's mistakes; see report.h. */
#include <stdarg.h>
#include <stdio.h>

#include "exim/report.h"

static void fill(struct err *e, const char *file, unsigned line, const char *fmt, va_list ap)
	__attribute__((format(printf, 4, 0)));

static void
fill(struct err *e, const char *file, unsigned line, const char *fmt, va_list ap)
{
	char text[ERR_TEXT_MAX];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	err_clear(e);
	if (file == NULL)
		(void)err_set(e, ERR_CONFIG, "4.3.5", "%s", text);
	else
		(void)err_conf(e, file, line, "%s", text);
}

static void
deliver(struct exim_report *r, const struct err *e, bool warning)
{
	if (warning)
		r->warnings++;
	else if (r->errors++ == 0)
		r->first = *e;
	if (r->fn != NULL)
		r->fn(r->arg, e, warning);
}

int
exim_report_error(struct exim_report *r, const char *file, unsigned line, const char *fmt, ...)
{
	struct err e = ERR_INIT;
	va_list ap;

	if (r == NULL)
		return (-1);
	va_start(ap, fmt);
	fill(&e, file, line, fmt, ap);
	va_end(ap);
	deliver(r, &e, false);
	return (-1);
}

void
exim_report_warn(struct exim_report *r, const char *file, unsigned line, const char *fmt, ...)
{
	struct err e = ERR_INIT;
	va_list ap;

	if (r == NULL)
		return;
	va_start(ap, fmt);
	fill(&e, file, line, fmt, ap);
	va_end(ap);
	deliver(r, &e, true);
}

void
exim_report_soft(struct exim_report *r, const char *file, unsigned line, const char *fmt, ...)
{
	struct err e = ERR_INIT;
	va_list ap;

	if (r == NULL)
		return;
	va_start(ap, fmt);
	fill(&e, file, line, fmt, ap);
	va_end(ap);
	deliver(r, &e, !r->strict);
}
