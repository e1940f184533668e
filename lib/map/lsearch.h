/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text form of maps: aliases, lsearch files, "key: value" lines.  Pure.
 *
 *	# comment
 *	key: value that goes on
 *		in lines that begin with a blank
 *	"quoted key\"": value
 *	key value
 *
 * As Exim's lsearch: a key ends at a colon or blank outside quotes; blank and comment lines
 * are skipped, also between the lines of one entry; a continuation line's leading blanks count as one
 * space; trailing blanks of each line are dropped.
 */
#ifndef VPOST_MAP_LSEARCH_H
#define VPOST_MAP_LSEARCH_H

#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"

struct lsearch {
	struct sv	 text;		/* what is left */
	unsigned	 line;		/* number of the next line, 1 first */
	struct sb	 key_buf;
	struct sb	 value_buf;
};

struct lsearch_entry {
	struct sv	 key;		/* unquoted; points into the text or the parser */
	struct sv	 value;
	unsigned	 line;		/* where it begins */
	bool		 colon;		/* the key was followed by a colon */
	bool		 quoted;
	const char	*wrong;		/* NULL, or what is wrong with this entry ("quote not closed") */
};

void	 lsearch_init(struct lsearch *l, struct sv text);
void	 lsearch_free(struct lsearch *l);
/* The next entry; valid until the next call.  False at the end. */
bool	 lsearch_next(struct lsearch *l, struct lsearch_entry *e);

#endif
