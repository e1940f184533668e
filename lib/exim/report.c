/* SPDX-License-Identifier: BSD-2-Clause */
/* Gathering of a configuration's mistakes; see report.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "exim/report.h"

/* How Exim tells where: by line, by instance, not at all. */
enum place { PLACE_LINE, PLACE_DRIVER, PLACE_NONE };

static void fill(const struct exim_report *r, struct err *e, const char *file, unsigned line, const char *fmt, va_list ap)
	__attribute__((format(printf, 5, 0)));

static void
strip_hint(char *text)
{
	char *hint = strchr(text, EXIM_HINT[0]), *brk = strchr(text, EXIM_BREAK[0]);

	if (brk != NULL)
		*brk = ' ';
	if (hint != NULL)
		memmove(hint, hint + 1, strlen(hint));
}

/* How much of <text> is "FILE:LINE: ". */
static size_t
placed(const char *text)
{
	const char *at = strstr(text, ": ");
	size_t n;

	if (at == NULL)
		return (0);
	for (n = (size_t)(at - text); n > 0 && text[n - 1] >= '0' && text[n - 1] <= '9'; n--)
		;
	return (n > 1 && at[-1] != ':' && text[n - 1] == ':' ? (size_t)(at - text) + 2 : 0);
}

static void
fill(const struct exim_report *r, struct err *e, const char *file, unsigned line, const char *fmt, va_list ap)
{
	char text[ERR_TEXT_MAX];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	strip_hint(text);
	err_clear(e);
	if (file == NULL) {
		size_t n = r->where == NULL ? 0 : placed(text);

		(void)err_set(e, ERR_CONFIG, "4.3.5", "%.*s%s%s", (int)n, text, r->where == NULL ? "" : r->where, text + n);
	}
	else
		(void)err_conf(e, file, line, "%s%s", r->where == NULL ? "" : r->where, text);
}

/* What the first mistake is in Exim's words. */
static void words(struct exim_report *r, enum place place, const char *file, unsigned line, const char *of, const char *fmt,
    va_list ap) __attribute__((format(printf, 6, 0)));

static void
words(struct exim_report *r, enum place place, const char *file, unsigned line, const char *of, const char *fmt, va_list ap)
{
	char text[ERR_TEXT_MAX - 8], *hint, *brk;

	if (r == NULL || r->errors > 0)
		return;
	r->place[0] = '\0';
	if (place == PLACE_DRIVER)
		(void)snprintf(r->place, sizeof(r->place), "for %s", of);
	else if (place == PLACE_LINE && file != NULL)
		(void)snprintf(r->place, sizeof(r->place), "in line %u of %s", r->at != 0 ? r->at : line, file);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	hint = strchr(text, EXIM_HINT[0]);
	if (hint != NULL)
		*hint = '\0';
	brk = strchr(text, EXIM_BREAK[0]);
	if (brk != NULL)
		*brk++ = '\0';
	(void)snprintf(r->words, sizeof(r->words), "%s%s%s", text, brk != NULL ? "\n  " : "", brk != NULL ? brk : "");
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
	words(r, PLACE_LINE, file, line, NULL, fmt, ap);
	va_end(ap);
	va_start(ap, fmt);
	fill(r, &e, file, line, fmt, ap);
	va_end(ap);
	deliver(r, &e, false);
	return (-1);
}

int
exim_report_bare(struct exim_report *r, const char *file, unsigned line, const char *fmt, ...)
{
	struct err e = ERR_INIT;
	va_list ap;

	if (r == NULL)
		return (-1);
	va_start(ap, fmt);
	words(r, PLACE_NONE, file, line, NULL, fmt, ap);
	va_end(ap);
	va_start(ap, fmt);
	fill(r, &e, file, line, fmt, ap);
	va_end(ap);
	deliver(r, &e, false);
	return (-1);
}

int
exim_report_driver(struct exim_report *r, const char *file, unsigned line, const char *kind, const char *name,
    const char *fmt, ...)
{
	char of[128], text[ERR_TEXT_MAX];
	struct err e = ERR_INIT;
	va_list ap;

	if (r == NULL)
		return (-1);
	(void)snprintf(of, sizeof(of), "%s %s", name, kind);
	va_start(ap, fmt);
	words(r, PLACE_DRIVER, file, line, of, fmt, ap);
	va_end(ap);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	strip_hint(text);
	if (file == NULL)
		(void)err_set(&e, ERR_CONFIG, "4.3.5", "%s %s: %s", kind, name, text);
	else
		(void)err_conf(&e, file, line, "%s %s: %s", kind, name, text);
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
	fill(r, &e, file, line, fmt, ap);
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
	fill(r, &e, file, line, fmt, ap);
	va_end(ap);
	deliver(r, &e, !r->strict);
}
