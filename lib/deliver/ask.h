/* SPDX-License-Identifier: BSD-2-Clause */
/* Single commands over an open connection, for callouts: see deliver/client.h for opening and closing. */
#ifndef VPOST_DELIVER_ASK_H
#define VPOST_DELIVER_ASK_H

#include "base/sb.h"
#include "deliver/client.h"

/*
 * Send <line> (without its end) and read the answer within <ms> milliseconds.  Returns its code and appends the reply,
 * each line with the code in front, joined by '\n'; 0 and *<e> when the connection failed, which then is over.
 */
int	 deliver_ask(struct deliver_conn *c, const char *line, int64_t ms, struct sb *text, struct deliver_error *e);

#endif
