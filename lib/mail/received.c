/* SPDX-License-Identifier: BSD-2-Clause */
/* Trace fields: how often a message was handed on, and whether it was here before. */
#include "mail/received.h"

size_t
mail_received_count(const struct mail_headers *h)
{
	return (mail_headers_count(h, "Received"));
}

bool
mail_received_loops(const struct mail_headers *h, const char *field, struct sv address)
{
	for (ptrdiff_t i = mail_headers_find(h, field, 0); i != -1; i = mail_headers_find(h, field, (size_t)i + 1))
		if (sv_caseeq(sv_trim(h->v[i].body), address))
			return (true);
	return (false);
}
