/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one error object.  Whoever first sees a cause fills it; callers may
 * prefix, never replace.  A struct err that was not filled has class ERR_NONE;
 * ERR_INIT starts one.
 */
#ifndef VPOST_BASE_ERR_H
#define VPOST_BASE_ERR_H

#include <stdbool.h>

enum err_class {
	ERR_NONE,
	ERR_TEMP,		/* may work later: 4xx, defer */
	ERR_PERM,		/* will not work: 5xx, bounce */
	ERR_CONFIG		/* a mistake of the configuration: told to the admin, 4xx to peers */
};

#define ERR_TEXT_MAX	1024

struct err {
	enum err_class	 cls;
	char		 status[12];		/* enhanced status code, RFC 3463: "4.3.0" */
	char		 text[ERR_TEXT_MAX];	/* one line, says what to do; cut at the limit */
};

#define ERR_INIT	{ .cls = ERR_NONE, .status = "", .text = "" }

/* Fill *<err> (NULL is accepted and ignored) and return -1.  <status> NULL means 4.0.0 or 5.0.0 by class. */
int	 err_set(struct err *err, enum err_class cls, const char *status, const char *fmt, ...)
	     __attribute__((format(printf, 4, 5)));

/* ERR_TEMP with status 4.3.0 and ": strerror(errno)" behind the text; returns -1; keeps errno. */
int	 err_sys(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ERR_CONFIG 4.3.5 with "FILE:LINE: " in front; returns -1. */
int	 err_conf(struct err *err, const char *file, unsigned line, const char *fmt, ...)
	     __attribute__((format(printf, 4, 5)));

/* Put the text and ": " in front of what *<err> says. */
void	 err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void	 err_clear(struct err *err);

#endif
