/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hash table from byte strings to pointers.  Keys are copied.  The hash is
 * keyed per process, so that a peer cannot choose colliding keys.
 */
#ifndef VPOST_BASE_HASH_H
#define VPOST_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sv.h"

struct hash;

struct hash	*hash_new(void);
/* <fn> (may be NULL) is called for each value. */
void		 hash_free(struct hash **hp, void (*fn)(void *value));
/* NULL if it is not there. */
void		*hash_get(const struct hash *h, struct sv key);
/* Set; returns the value that stood there before, or NULL. */
void		*hash_set(struct hash *h, struct sv key, void *value);
/* Remove; returns the value, or NULL. */
void		*hash_del(struct hash *h, struct sv key);
size_t		 hash_count(const struct hash *h);
/* Walk: start with *<pos> = 0; false at the end.  The table must not change but by hash_del of the current key. */
bool		 hash_next(const struct hash *h, size_t *pos, struct sv *key, void **value);
uint64_t	 hash_bytes(const void *p, size_t len);

#endif
