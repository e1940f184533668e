/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of a message, one by one, for ACLs. */
#ifndef VPOST_SESSION_MIME_H
#define VPOST_SESSION_MIME_H

#include "exim/env.h"
#include "mail/header.h"

/*
 * Set the $mime_ variables of <st> for each part of <content> (the whole message with its header <h>), and call <fn>, until
 * that says other than 0; its last word is returned.  A message without Content-Type has no parts, nor has one where <fn> is
 * NULL: $mime_part_count is -1 then.  Values live in <a> or <content>.
 */
int	 session_mime_each(struct exim_acl_state *st, struct arena *a, const struct mail_headers *h, struct sv content,
	     int (*fn)(void *arg), void *arg);

#endif
