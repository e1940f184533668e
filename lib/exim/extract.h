/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One address out of a text, as Exim reads it where it tests, rewrites and redirects: more lenient than RFC 5322
 * with dots and quotes, stricter with domains, both parts kept as they were written.  lib/mail reads what comes by SMTP.
 */
#ifndef VPOST_EXIM_EXTRACT_H
#define VPOST_EXIM_EXTRACT_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/sv.h"

struct exim_extracted {
	struct sv	 address;	/* without comments and blanks; in the arena, taint of the text */
	size_t		 start, end;	/* where its working part stands in the text */
	size_t		 domain;	/* offset in <address>; 0: it has none */
	size_t		 stop;		/* -1: what stands from here on may not follow; 0: the mistake is another */
};

#define EXIM_ADDRESS_MAX	256	/* bytes of an address */

#define EXIM_EXTRACT_NULL	0x1	/* "<>" is an address */
#define EXIM_EXTRACT_LITERALS	0x2	/* domain literals are */
#define EXIM_EXTRACT_ASCII	0x4	/* domains are ASCII */

/* 0, or -1 and Exim's text in *<err>. */
int	 exim_extract(struct sv text, unsigned flags, struct arena *a, struct exim_extracted *out, struct err *err);

#endif
