/* SPDX-License-Identifier: BSD-2-Clause */
/* Output of IMAP's data types (RFC 3501 section 4). */
#ifndef VPOST_IMAP_WRITE_H
#define VPOST_IMAP_WRITE_H

#include <stdbool.h>

#include "base/sb.h"
#include "base/sv.h"

/* Quoted if it may be (no CR, LF, NUL, 8-bit; at most 1,000 bytes), otherwise a literal; NULs are dropped. */
void	 imap_put_string(struct sb *out, struct sv v);
/* NIL where v.p is NULL. */
void	 imap_put_nstring(struct sb *out, struct sv v);
/* An atom where it may be, otherwise a string. */
void	 imap_put_astring(struct sb *out, struct sv v);
/* A mailbox name in UTF-8, put as astring in modified UTF-7. */
void	 imap_put_mailbox(struct sb *out, struct sv utf8);
/* Text for a human behind OK/NO/BAD: control and 8-bit bytes become '?'. */
void	 imap_put_text(struct sb *out, struct sv v);

/* Modified UTF-7 (RFC 3501 5.1.3).  False if the input is not valid: then <out> is as before. */
bool	 imap_utf7_encode(struct sb *out, struct sv utf8);
bool	 imap_utf7_decode(struct sb *out, struct sv utf7);

#endif
