/* SPDX-License-Identifier: BSD-2-Clause */
/* CRAM-MD5 (RFC 2195), for both sides of AUTH. */
#ifndef VPOST_EXIM_CRAM_H
#define VPOST_EXIM_CRAM_H

#include <stdbool.h>

#include "base/sv.h"

#define CRAM_HEX	32	/* letters of a digest */

/* The digest of <challenge> with <secret>, in lower case; false when the library has none. */
bool	 cram_digest(struct sv secret, struct sv challenge, char hex[CRAM_HEX + 1]);
/* "USER DIGEST", as a client answers, in two; false when it is not of that form. */
bool	 cram_split(struct sv answer, struct sv *user, struct sv *digest);
/* Are both the same?  In constant time. */
bool	 cram_equal(const char hex[CRAM_HEX + 1], struct sv digest);

#endif
