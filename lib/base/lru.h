/* SPDX-License-Identifier: BSD-2-Clause */
/* A small store of what is dear to make: values by byte strings, of which the one that was not asked for longest goes first. */
#ifndef VPOST_BASE_LRU_H
#define VPOST_BASE_LRU_H

#include <stddef.h>

#include "base/sv.h"

struct lru;

/* At most <max> values (at least 1; a look-up compares with each); <fn> frees one that has to go. */
struct lru *lru_new(size_t max, void (*fn)(void *value));
void	 lru_free(struct lru **lp);
/* NULL: it is not there.  The value stays the store's, until the next lru_put. */
void	*lru_get(struct lru *l, struct sv key);
/* <key>, which is copied, must not be there. */
void	 lru_put(struct lru *l, struct sv key, void *value);

#endif
