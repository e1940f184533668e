/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data of redirect routers and alias files: a list of addresses, files, pipes and
 * special items (chapter 22 of Exim's manual).  Pure: :include: files are read by the caller.
 */
#ifndef VPOST_ROUTE_REDIRECT_H
#define VPOST_ROUTE_REDIRECT_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/sv.h"

enum redirect_item_kind {
	REDIRECT_ADDRESS,	/* <text> is local@domain, or local without a domain; <verbatim>: \local */
	REDIRECT_PIPE,		/* command without the bar */
	REDIRECT_FILE,		/* path */
	REDIRECT_DIRECTORY,	/* path that ends in a slash */
	REDIRECT_INCLUDE,	/* :include:path */
	REDIRECT_BLACKHOLE,
	REDIRECT_FAIL,		/* :fail: text; everything behind it belongs to the text */
	REDIRECT_DEFER,
	REDIRECT_UNKNOWN,	/* :unknown: - nothing; alone it is as if the router had not run */
	REDIRECT_BAD		/* syntax error; <err_text> */
};

struct redirect_item {
	enum redirect_item_kind kind;
	struct sv	 text;
	bool		 verbatim;
	struct sv	 raw;		/* as it stands in the data */
	const char	*err_text;
};

enum redirect_data_kind { REDIRECT_LIST, REDIRECT_EXIM_FILTER, REDIRECT_SIEVE_FILTER };
/* Is the data a filter ("# Exim filter", "# Sieve filter" at its start)? */
enum redirect_data_kind redirect_data_kind(struct sv data);

/*
 * Cut the next item off *<data>: items are separated by commas and newlines, "#" begins comments at a line's start.
 * Texts live in <a> or point into the data.  False at the end.
 */
bool	 redirect_next(struct sv *data, struct arena *a, struct redirect_item *item);
/* What stands between the quotes at both ends of <v>, with its backslashes resolved; in <a>. */
struct sv redirect_unquote(struct arena *a, struct sv v);

#endif
