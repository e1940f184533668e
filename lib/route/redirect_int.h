/* SPDX-License-Identifier: BSD-2-Clause */
/* The redirect router: its list part (redirect_drv.c) and its filter part (redirect_filter.c). */
#ifndef VPOST_ROUTE_REDIRECT_INT_H
#define VPOST_ROUTE_REDIRECT_INT_H

#include "route_int.h"

struct redirect {
	struct visit	*v;
	const struct exim_value *o;
	struct route_delivery base;	/* what all children and deliveries have in common */
	const char	*path;		/* of the file option; NULL: the data option */
	struct stat	 st;		/* of <path> */
	const char	*file;		/* whose items are read; NULL: those of the data option */
	struct sv	 text;		/* its text */
	unsigned	 included;	/* files so far */
	size_t		 found;		/* items that count */
	unsigned	 depth;
	struct sb	 errors;	/* mistakes that were skipped, for syntax_errors_to */
	bool		 blackhole;
	bool		 skipped;	/* there were mistakes, and skip_syntax_errors */
	bool		 keep;		/* what was set up stays though the address fails or waits */
};

static inline bool
redirect_flag(const struct redirect *rd, enum exim_redirect_opt o)
{
	return (rd->o[o].num != 0);
}

/* A mistake of the data: Y_ACCEPT if it is skipped, else Y_DEFER. */
enum route_yield redirect_mistake(struct redirect *rd, struct sv raw, const char *why);
/* A child address, qualified; <d>: what it takes over. */
enum route_yield redirect_child(struct redirect *rd, const struct route_delivery *d, struct sv address);
/* A delivery of <kind> to <text>; <d>: what it takes over. */
enum route_yield redirect_deliver(struct redirect *rd, const struct route_delivery *d, enum route_kind kind, struct sv text);
/* ":fail:" (or ":defer:") with <text>, that may begin with an SMTP code. */
enum route_yield redirect_refuse(struct redirect *rd, bool fail, struct sv text);

/* redirect_check.c: may the file be used?  Y_ACCEPT; Y_DEFER; with skip_bad_file Y_DECLINE and a note. */
enum route_yield redirect_check(struct redirect *rd, const char *path, const struct stat *st);
/* The same for one that is not there. */
enum route_yield redirect_missing(struct redirect *rd, const char *path);
/* The same for one of more than ROUTE_DATA_MAX bytes. */
enum route_yield redirect_too_long(struct redirect *rd, const char *path);
/*
 * The same for where it lies.  The user's id is known by then: with skip_bad_file what belongs to a user whose id is our own, as
 * do all files of such users, must lie below the home directory.
 */
enum route_yield redirect_check_place(struct redirect *rd);
/* May its list include the file <path>, which was opened as <st>?  NULL, or why not. */
const char *redirect_include_ban(struct redirect *rd, const char *path, const struct stat *st);

bool	 redirect_is_filter(struct redirect *rd, struct sv data);
enum route_yield redirect_filter(struct redirect *rd, struct sv data);

#endif
