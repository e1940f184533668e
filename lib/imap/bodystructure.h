/* SPDX-License-Identifier: BSD-2-Clause */
/* BODY and BODYSTRUCTURE of FETCH (RFC 3501 section 7.4.2), formatted once, at delivery, for the cache. */
#ifndef VPOST_IMAP_BODYSTRUCTURE_H
#define VPOST_IMAP_BODYSTRUCTURE_H

#include <stdbool.h>

#include "base/sb.h"
#include "mail/mime.h"

/*
 * Append the parenthesised structure of <root>, without the word BODY or BODYSTRUCTURE;
 * <extended>: with the extension data of BODYSTRUCTURE.  Sizes are of the message with CRLF line ends.
 */
void	 imap_bodystructure(struct sb *out, const struct mime_part *root, bool extended);

#endif
