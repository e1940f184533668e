/* SPDX-License-Identifier: BSD-2-Clause */
/* Trace fields (RFC 5321 section 4.4): counted against loops. */
#ifndef VPOST_MAIL_RECEIVED_H
#define VPOST_MAIL_RECEIVED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/sv.h"
#include "mail/header.h"

/* Number of Received fields. */
size_t	 mail_received_count(const struct mail_headers *h);
/* True if a Delivered-To (or X-Loop) field names <address> (ASCII case ignored). */
bool	 mail_received_loops(const struct mail_headers *h, const char *field, struct sv address);

#endif
