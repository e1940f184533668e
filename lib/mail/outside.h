/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading along a list of addresses byte by byte (RFC 5322 section 3.2): what stands in quotes or comments separates
 * nothing.  For those who must find where an address ends before they know whether it is one.
 */
#ifndef VPOST_MAIL_OUTSIDE_H
#define VPOST_MAIL_OUTSIDE_H

#include <stdbool.h>

/* All zero at the start of a list. */
struct mail_outside {
	bool		 quoted;
	unsigned	 depth;		/* of comments */
};

/*
 * Is <c>, the next byte, outside of quotes and comments?  Quotes and the parentheses of comments are not.  A backslash
 * and the byte behind it are passed over by the caller, where they mean that.
 */
bool	 mail_outside(struct mail_outside *o, char c);

#endif
