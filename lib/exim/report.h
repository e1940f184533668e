/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mistakes of a configuration.  Reading goes on behind each, so that one run tells
 * all of them; the caller gives a function that takes them.
 */
#ifndef VPOST_EXIM_REPORT_H
#define VPOST_EXIM_REPORT_H

#include <stdbool.h>

#include "base/err.h"
#include "base/sv.h"

struct exim_report {
	/* Called for each mistake and warning; NULL: only counted.  The text begins with "FILE:LINE: ". */
	void		(*fn)(void *arg, const struct err *e, bool warning);
	void		*arg;
	bool		 strict;	/* what Exim would find only when it comes to it (`vpost check`) is a mistake too */
	bool		 exact;		/* what Exim refuses and we can live with is a mistake too (sendmail -bV -C FILE) */
	bool		 traps;		/* warn of what is hardly meant so and of files that are missing: costs time */
	void		(*replaced)(struct sv name, struct sv value);	/* told of each replacement of a macro, if set */
	const char	*where;		/* "router r: " or NULL: in front of our texts, not of Exim's words */
	bool		 mild;		/* Exim does not call the first mistake one to die of, though it ends */
	bool		 naked;		/* Exim does not say that the first mistake is one of the configuration */
	bool		 purges;	/* no mistake before the first section, and keep_environment is not set */
	unsigned	 errors;
	unsigned	 warnings;
	struct err	 first;		/* the first mistake, class CONFIG */
	unsigned	 at;		/* last line of what is being read, which is what Exim names; 0: the one told */
	/* The first mistake as Exim words it: "in line 3 of FILE" or "for r router" or "", and what it says of it. */
	char		 place[256];
	char		 words[ERR_TEXT_MAX];
};

#define EXIM_REPORT_INIT	{ .fn = NULL, .arg = NULL, .strict = false, .exact = false, .traps = false, .where = NULL, .mild = false, .naked = false, .purges = false, .errors = 0, .warnings = 0, .first = ERR_INIT }

/* Behind this byte of a text stands what we add to Exim's words: a remedy.  It is not shown itself. */
#define EXIM_HINT	"\001"
/* A new line in Exim's words, a blank in ours. */
#define EXIM_BREAK	"\v"

/* Tell a mistake; returns -1. */
int	 exim_report_error(struct exim_report *r, const char *file, unsigned line, const char *fmt, ...)
	     __attribute__((format(printf, 4, 5)));
/* Of instance <name> of a <kind> ("router") as a whole: Exim names it, not the line. */
int	 exim_report_driver(struct exim_report *r, const char *file, unsigned line, const char *kind, const char *name,
	     const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* Exim tells no place at all. */
int	 exim_report_bare(struct exim_report *r, const char *file, unsigned line, const char *fmt, ...)
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
