/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * formail(1): force text into mailbox form, change and extract header fields, make the header of a reply,
 * find duplicates, split a mailbox and feed a program with each message.  Reads as it goes, so a
 * mailbox may be larger than memory; one header field may not.
 */
#ifndef VPOST_FILTER_FORMAIL_H
#define VPOST_FILTER_FORMAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/sv.h"
#include "base/vec.h"

/* A header field, or what an option says of one. */
struct formail_field {
	char		*text;		/* with its newline; a NUL behind it; heap */
	size_t		 len;		/* of it */
	size_t		 id;		/* length of the name, with its colon; of a part of a name: of it */
	ptrdiff_t	 kept;		/* -u, -U: number of the field that is kept, -1 */
};
struct formail_list {
	VEC(struct formail_field) v;
};

struct formail {
	/* Options. */
	bool		 bogus;		/* escape lines that look like postmarks (not -b) */
	bool		 concatenate, zap, force, reply, keep, trust, resent, every, digest, babyl, berkeley;
	bool		 quiet;		/* the default */
	const char	*prefix;	/* ">" */
	const char	*folder;	/* -l */
	const char	*cache;		/* -D */
	long		 cache_size;
	struct formail_list x, X, a, A, i, I, u, U, R;
	/* Splitting. */
	bool		 split, nowait;
	const char	*const *argv;	/* program; NULL or empty: to <out> */
	long		 max_procs, skip, total;	/* total -1: all */
	long		 min_fields;
	const char	*const *environ;
	/* Input and output. */
	FILE		*in, *out;
	const char	*host;
};

/* The length of the field name that <line> begins with, its colon included; "From " is one; <= 0: that many bytes could begin one. */
ptrdiff_t formail_name(const char *line, size_t len);
/* Add <text>, which ends in a newline; with <header> an invalid name has the length 0. */
void	 formail_add(struct formail_list *l, const char *text, size_t len, bool header);
void	 formail_list_free(struct formail_list *l);

/* The exit status. */
int	 formail_run(struct formail *f);

#endif
