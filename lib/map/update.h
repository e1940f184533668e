/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changing some entries of a map file: under FILE.lock the file is read, changed in
 * memory and written whole (map/rebuild.h).  Just before the rename the old file's stamp
 * is compared: where a foreign program wrote to it in place meanwhile, its content is read
 * again and the change applied again to that.
 */
#ifndef VPOST_MAP_UPDATE_H
#define VPOST_MAP_UPDATE_H

#include <sys/types.h>

#include "map/map.h"

struct map_edit;

/*
 * Take the lock of file <path>: an exclusive flock on <path>.lock, which is made with <mode> and stays.  Waits up to 30
 * seconds.  The descriptor, whose close gives the lock back, or -1.
 */
int	 map_lock(const char *path, mode_t mode, struct err *err);
/* Take the lock file away, where users should not find one beside their map; whoever waits for it makes another. */
void	 map_lock_remove(const char *path);

/* NULL value: not there.  Valid until the next change. */
struct sv map_edit_get(struct map_edit *e, struct sv key);
/* Copies both; the stored form (with or without NUL) of an existing key is kept. */
void	 map_edit_set(struct map_edit *e, struct sv key, struct sv value);
bool	 map_edit_del(struct map_edit *e, struct sv key);
/* Walk; *<pos> starts at 0.  The current entry may be deleted meanwhile. */
bool	 map_edit_next(struct map_edit *e, size_t *pos, struct sv *key, struct sv *value);
size_t	 map_edit_count(const struct map_edit *e);

/*
 * Let <change> edit the map.  It may be called more than once, each time with fresh content, so it must
 * begin anew each time; -1 from it gives up.  A missing file starts empty.  Returns 1 when a new file was
 * written, 0 when nothing had changed, -1 and *<err> otherwise (the old file is as it was).
 */
int	 map_update(const char *path, enum map_type type, mode_t mode,
	     int (*change)(void *arg, struct map_edit *e, struct err *err), void *arg, struct err *err);

#endif
