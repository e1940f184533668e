/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the MIME parser. */
#ifndef VPOST_MAIL_MIME_INT_H
#define VPOST_MAIL_MIME_INT_H

#include "mail/mime.h"

/* A token of RFC 2045 at the start of *<v>, which moves behind it; blanks and comments before it are skipped. */
bool	 mime_token(struct sv *v, struct sv *tok);
/* Skip white space and comments. */
void	 mime_skip(struct sv *v);
/* Unfolded body: a slice of it where it has no fold, else a copy in <a>. */
struct sv mime_flat(struct arena *a, struct sv body);
/* Read the fields of <p> that describe its content from p->headers. */
void	 mime_read_fields(struct arena *a, struct mime_part *p, bool digest);

#endif
