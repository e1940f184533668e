/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside lib/auth. */
#ifndef VPOST_AUTH_AUTH_INT_H
#define VPOST_AUTH_AUTH_INT_H

#include <stdbool.h>

#include "base/sb.h"
#include "base/sv.h"

/* The RFC 5803 form of stored SCRAM keys, however they are written; false for other schemes. */
bool	 auth_scram_text(struct sv stored, struct sb *out);

#endif
