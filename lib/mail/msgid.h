/* SPDX-License-Identifier: BSD-2-Clause */
/* Message identifiers (RFC 5322 section 3.6.4). */
#ifndef VPOST_MAIL_MSGID_H
#define VPOST_MAIL_MSGID_H

#include <stdbool.h>

#include "base/sb.h"
#include "base/sv.h"

struct mail_headers;

/*
 * Cut the next "<id>" off *<v> (Message-ID, In-Reply-To, References); words, comments and
 * blanks around it are skipped.  *<id> has the angle brackets; false when none is left.
 */
bool	 mail_msgid_next(struct sv *v, struct sv *id);
/* The first one, or SV_NULL. */
struct sv mail_msgid_first(struct sv body);
/*
 * What names the message <h>: all that its Resent-Message-ID holds, else its Message-ID, as it is
 * written, without the blanks around it; SV_NULL where it has neither, or nothing stands there.
 */
struct sv mail_msgid_of(const struct mail_headers *h);

/*
 * Append the field References of what answers the message <h> (RFC 5322 section 3.6.4): "References: <a@b> <c@d>" and
 * <eol>; nothing where there is nothing to refer to.  In it stand the ids of its References, or where it has none those
 * of its In-Reply-To, and then mail_msgid_of it.  What is taken over ends at the first word that is no id; of more
 * than MAIL_REFERENCES_MAX the first stays, which says where the thread began, and the last.  A line is folded
 * before an id that would make it longer than 998 bytes (section 2.1.1).
 */
#define MAIL_REFERENCES_MAX	12
void	 mail_references(struct sb *out, const struct mail_headers *h, const char *eol);

#endif
