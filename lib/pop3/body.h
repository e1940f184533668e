/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages on their way to a POP3 client: pure.  Bytes are not copied: what to send comes
 * as pieces of the input with dots (RFC 1939 section 3) and missing CRs put between.
 */
#ifndef VPOST_POP3_BODY_H
#define VPOST_POP3_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sv.h"

struct pop3_body {
	bool		 begun;		/* private from here on */
	bool		 in_line;	/* the last byte was not LF */
	bool		 dotted;	/* the dot before the line's own dot was given */
	bool		 cr;		/* the last byte given was CR */
	/* TOP: */
	bool		 limited;
	bool		 in_body;
	bool		 blank;		/* nothing but CR in this line yet */
	uint32_t	 lines;		/* still to come */
	bool		 done;
};

/* All of the message. */
void	 pop3_body_init(struct pop3_body *b);
/* The header, the empty line and <lines> lines (TOP). */
void	 pop3_body_init_top(struct pop3_body *b, uint32_t lines);
/*
 * The next piece of *<in> to send; *<in> is shortened.  False when *<in> is used up: call again with the next
 * bytes of the message.
 */
bool	 pop3_body_next(struct pop3_body *b, struct sv *in, struct sv *piece);
/* Nothing more will come: the lines that TOP asked for are complete. */
bool	 pop3_body_done(const struct pop3_body *b);
/* What ends the answer: the last line's end if it has none, and ".\r\n". */
struct sv pop3_body_end(const struct pop3_body *b);

#endif
