/* SPDX-License-Identifier: BSD-2-Clause */
/* Single commands over an open connection, for callouts: see deliver/client.h for opening and closing. */
#ifndef VPOST_DELIVER_ASK_H
#define VPOST_DELIVER_ASK_H

#include "base/sb.h"
#include "deliver/client.h"
#include "smtp/data.h"

/*
 * Send <line> (without its end) and read the answer within <ms> milliseconds.  Returns its code and appends the reply,
 * each line with the code in front, joined by '\n'; 0 and *<e> when the connection failed, which then is over.
 */
int	 deliver_ask(struct deliver_conn *c, const char *line, int64_t ms, struct sb *text, struct deliver_error *e);

/*
 * The content of a message, behind an answer of 354 to DATA: pieces as they come (CR LF, dots are stuffed here; *<st> starts as
 * SMTP_DATA_LINE_START), then its end, which is answered within <ms> as above.  -1, 0 and *<e> when the connection
 * failed.  deliver_data_drop: it ends in the middle, and nothing more is said.
 */
int	 deliver_data_put(struct deliver_conn *c, struct sv piece, enum smtp_data_state *st, int64_t ms, struct deliver_error *e);
int	 deliver_data_end(struct deliver_conn *c, enum smtp_data_state *st, int64_t ms, struct sb *text, struct deliver_error *e);
void	 deliver_data_drop(struct deliver_conn *c);

#endif
