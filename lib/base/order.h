/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entries in the order of their keys (a skip list): added, removed and found in logarithmic time, walked from any key on.  For
 * what is listed page by page while it changes.  Single-threaded.
 */
#ifndef VPOST_BASE_ORDER_H
#define VPOST_BASE_ORDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/sv.h"

struct order;

/* One entry.  The key's bytes are the caller's and must stay as long as the entry does. */
struct order_entry {
	struct sv	 key;
	void		*value;
	struct order_entry *next;	/* NULL: the last */
};

struct order *order_new(void);
/* The values are the caller's. */
void	 order_free(struct order **op);
/* False: <key> is there already, and nothing changes. */
bool	 order_add(struct order *o, struct sv key, void *value);
/* False: it was not there. */
bool	 order_del(struct order *o, struct sv key);
size_t	 order_count(const struct order *o);
/* The first entry whose key is greater than <key> (empty: the first of all); NULL: there is none. */
const struct order_entry *order_after(const struct order *o, struct sv key);

#endif
