/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mistakes of a configuration.  Reading goes on behind each, so that one run tells
 * all of them; the caller gives a function that takes them.
 */
#ifndef VPOST_EXIM_REPORT_H
#define VPOST_EXIM_REPORT_H

#include <stdbool.h>

#include "base/err.h"

struct exim_report {
	/* Called for each mistake and warning; NULL: only counted.  The text begins with "FILE:LINE: ". */
	void		(*fn)(void *arg, const struct err *e, bool warning);
	void		*arg;
	bool		 strict;	/* what Exim would find only when it comes to it (`vpost check`) is a mistake too */
	unsigned	 errors;
	unsigned	 warnings;
	struct err	 first;		/* the first mistake, class CONFIG */
};

#define EXIM_REPORT_INIT	{ .fn = NULL, .arg = NULL, .strict = false, .errors = 0, .warnings = 0, .first = ERR_INIT }

/* Tell a mistake; returns -1. */
int	 exim_report_error(struct exim_report *r, const char *file, unsigned line, const char *fmt, ...)
	     __attribute__((format(printf, 4, 5)));
/* The same for what is read and ignored. */
void	 exim_report_warn(struct exim_report *r, const char *file, unsigned line, const char *fmt, ...)
	     __attribute__((format(printf, 4, 5)));

/*
 * A mistake that Exim finds only at run time (an expansion that does not parse, a transport that does not
 * exist): a warning, or with r->strict a mistake.
 */
void	 exim_report_soft(struct exim_report *r, const char *file, unsigned line, const char *fmt, ...)
	     __attribute__((format(printf, 4, 5)));

#endif
