/* SPDX-License-Identifier: BSD-2-Clause */
/* Quotes and comments in lists of addresses; see outside.h. */
#include "mail/outside.h"

bool
mail_outside(struct mail_outside *o, char c)
{
	if (c == '"' && o->depth == 0) {
		o->quoted = !o->quoted;
		return (false);
	}
	if (o->quoted)
		return (false);
	if (c == '(') {
		o->depth++;
		return (false);
	}
	if (c == ')' && o->depth > 0) {
		o->depth--;
		return (false);
	}
	return (o->depth == 0);
}
