/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hot, disposable state of a box that all of its processes share: rates, callout
 * answers, greylists, retry hints.  Values have a time to live.  Nothing here is ever
 * truth: the file may be deleted at any time, a crash may lose the last seconds, and
 * a damaged file is thrown away and begun anew.
 *
 * One LMDB environment, unsynced.  Open it after fork, once per process.  No call parks.
 */
#ifndef VPOST_HINTS_HINTS_H
#define VPOST_HINTS_HINTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"

#define HINTS_VALUE_MAX	(64 * 1024)

struct hints;

/* <dir> is made if it is not there (mode 0700). */
int	 hints_open(struct hints **hp, const char *dir, struct err *err);
void	 hints_close(struct hints **hp);
/* Append the value of <key> in the table <db> to <out>; false if there is none or it has expired by <now> (seconds). */
bool	 hints_get(struct hints *h, const char *db, struct sv key, int64_t now, struct sb *out);
/* Set for <ttl> seconds.  When the file is full, expired values go; if that does not help, all go. */
int	 hints_put(struct hints *h, const char *db, struct sv key, struct sv value, int64_t now, int64_t ttl, struct err *err);
void	 hints_del(struct hints *h, const char *db, struct sv key);
/* Walk the values of <db> that have not expired; the callback must not call hints. */
void	 hints_walk(struct hints *h, const char *db, int64_t now, void (*fn)(void *arg, struct sv key, struct sv value),
	     void *arg);
/* Remove expired values, looking at up to <n> from where the last sweep ended.  Returns how many went. */
unsigned hints_sweep(struct hints *h, int64_t now, unsigned n);

#endif
