/* SPDX-License-Identifier: BSD-2-Clause */
/* ENVELOPE of FETCH (RFC 3501 section 7.4.2), formatted once, at delivery, for the cache. */
#ifndef VPOST_IMAP_ENVELOPE_H
#define VPOST_IMAP_ENVELOPE_H

#include "base/sb.h"
#include "mail/header.h"

/*
 * Append "(date subject from ... message-id)", without the word ENVELOPE.  Strings are quoted
 * where they may be, literals otherwise; bytes above 127 go out as a literal; NULs are dropped.
 */
void	 imap_envelope(struct sb *out, const struct mail_headers *h);

#endif
