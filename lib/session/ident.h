/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer of a client's identification server (RFC 1413), for ident.c. */
#ifndef VPOST_SESSION_IDENT_H
#define VPOST_SESSION_IDENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sb.h"

#define SESSION_IDENT_MAX	(4 * 127)	/* bytes of a name: 127 of the server's, each an escape */

/*
 * Section 3: read "6193, 23 : USERID : UNIX : stjohns" of <line>, with or without its line end, for the connection from the
 * client's port <theirs> to our port <ours>.  True: the name stands in *<out>, which was empty, printable and not empty itself.
 */
bool	 session_ident_answer(struct sv line, int64_t theirs, int64_t ours, struct sb *out);

#endif
