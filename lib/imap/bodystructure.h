/* SPDX-License-Identifier: BSD-2-Clause */
/* BODY and BODYSTRUCTURE of FETCH (RFC 3501 section 7.4.2), formatted once, at delivery, for the cache. */
#ifndef VPOST_IMAP_BODYSTRUCTURE_H
#define VPOST_IMAP_BODYSTRUCTURE_H

#include <stdbool.h>

#include "base/sb.h"
#include "mail/mime.h"

/*
 * Append the parenthesised structure of <root>, without the word BODY or BODYSTRUCTURE;
 * <extended>: with the extension data of BODYSTRUCTURE.  Sizes are those of the bytes that were parsed.
 */
void	 imap_bodystructure(struct sb *out, const struct mime_part *root, bool extended);

/*
 * Append BODY made of the BODYSTRUCTURE <in> (as above, extended) by leaving the extension data
 * out.  False if <in> is not such a text: then <out> is as before.
 */
bool	 imap_body_from_structure(struct sb *out, struct sv in);

#endif
