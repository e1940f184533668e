/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing a whole new map file: entries are collected, written to a temporary file
 * beside the old one, fsynced, renamed over it, and the directory fsynced, all under
 * the lock file FILE.lock.  A reader sees the old file or the new one.  Mode and owner
 * of an old file are kept.
 */
#ifndef VPOST_MAP_REBUILD_H
#define VPOST_MAP_REBUILD_H

#include <sys/types.h>

#include "map/map.h"

struct map_rebuild;

/* Flags. */
#define MAP_RB_NUL	0x01	/* write each key and value with a trailing NUL (makemap -N) */
#define MAP_RB_DUP	0x02	/* a key may come more than once (makemap -d) */
#define MAP_RB_REPLACE	0x04	/* a later entry replaces an earlier one of its key (makemap -r) */
#define MAP_RB_APPEND	0x08	/* start with the entries of the present file (makemap -o) */

enum map_put { MAP_PUT_OK, MAP_PUT_DUP };

/*
 * Take <path>.lock (waits; the lock is given back by commit or abort) and start.  <mode> is that of the file if
 * there is none yet.  NULL: *<err>.
 * <type> is MAP_HASH, MAP_BTREE or MAP_CDB.
 */
struct map_rebuild *map_rebuild_open(const char *path, enum map_type type, unsigned flags, mode_t mode, struct err *err);
/* Copies both.  MAP_PUT_DUP: the key was there, and neither MAP_RB_DUP nor MAP_RB_REPLACE is set; nothing changed. */
enum map_put map_rebuild_put(struct map_rebuild *r, struct sv key, struct sv value);
size_t	 map_rebuild_count(const struct map_rebuild *r);
/* Write and replace; frees *<rp> in any case.  On -1 the old file is as it was. */
int	 map_rebuild_commit(struct map_rebuild **rp, struct err *err);
void	 map_rebuild_abort(struct map_rebuild **rp);

#endif
