/* SPDX-License-Identifier: BSD-2-Clause */
/* Message identifiers (RFC 5322 section 3.6.4). */
#ifndef VPOST_MAIL_MSGID_H
#define VPOST_MAIL_MSGID_H

#include <stdbool.h>

#include "base/sv.h"

/*
 * Cut the next "<id>" off *<v> (Message-ID, In-Reply-To, References); words, comments and
 * blanks around it are skipped.  *<id> has the angle brackets; false when none is left.
 */
bool	 mail_msgid_next(struct sv *v, struct sv *id);
/* The first one, or SV_NULL. */
struct sv mail_msgid_first(struct sv body);

#endif
