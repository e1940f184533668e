/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the customer's maps: Berkeley DB hash and btree files (as makemap and
 * postmap write them), cdb, and text files.  A map is read whole under a shared
 * flock and looked up in memory, so that a foreign makemap that rewrites the file in
 * place disturbs nobody: until it has finished, the old content answers.  Berkeley DB
 * and cdb files are parsed by our own code, which checks every offset: a broken file
 * gives an error, never a crash (libdb 5.3 crashes on some).  sendmail's makemap takes no
 * lock and begins by writing an empty map, so a file that was changed in place (same inode)
 * counts only when it was left alone for MAP_SETTLE_MS; one that was renamed into place
 * counts at once.  Nothing here blocks for longer than a read of the file.
 */
#ifndef VPOST_MAP_MAP_H
#define VPOST_MAP_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"

enum map_type {
	MAP_HASH,		/* Berkeley DB hash or btree: the file says which */
	MAP_BTREE,		/* for readers the same; for writers a btree */
	MAP_CDB,
	MAP_TEXT		/* lines "key: value" or "key value", map/lsearch.h; keys without regard to case */
};

enum map_result {
	MAP_FOUND,
	MAP_NOTFOUND,
	MAP_ERROR		/* *<err> is filled, class TEMP */
};

/* Flags of map_open. */
#define MAP_OPTIONAL	0x01	/* a file that does not exist is an empty map, not an error */
#define MAP_WAIT	0x02	/* tools: wait up to ten seconds for a foreign writer, where a daemon goes on with the old content */
/* Flags of map_get. */
#define MAP_FRESH	0x10	/* compare the file's stamp now, not only when a second has passed */
#define MAP_NUL		0x20	/* only a key that is stored with a trailing NUL (Exim's dbm) */
#define MAP_NONUL	0x40	/* only a key stored without one (Exim's dbmnz) */

/* Files larger than this are refused: they are held in memory. */
#define MAP_FILE_MAX	(512L * 1024 * 1024)

#define MAP_SETTLE_MS	250

struct map;

/* "hash", "btree", "cdb", "text"; false if <name> is none of them. */
bool	 map_type_parse(struct sv name, enum map_type *type);

/*
 * Make a map of file <path>.  Nothing is opened yet: the first lookup reads the file, so this cannot
 * fail, and a map may be opened before its file exists.  map_close accepts NULL in *<mp>.
 */
struct map *map_open(const char *path, enum map_type type, unsigned flags);
void	 map_close(struct map **mp);
const char *map_path(const struct map *m);

/*
 * Look <key> up, first as it is, then with a trailing NUL (flags restrict that).  *<value> is set to the
 * value without the trailing NUL of a key that had one; it points into the map and is valid until the
 * next call with the same map.  The file's device, inode, size, mtime and ctime are compared at most once a
 * second, or each time with MAP_FRESH; a changed file is read anew.
 */
enum map_result map_get(struct map *m, struct sv key, unsigned flags, struct sv *value, struct err *err);

/* All values of a key that was stored more than once (makemap -d): start with *<pos> = 0.  Does not look at the file. */
bool	 map_get_next(const struct map *m, struct sv key, unsigned flags, size_t *pos, struct sv *value);

/* Make sure the content is current (as map_get with <flags>); MAP_FOUND when there is content to walk. */
enum map_result map_refresh(struct map *m, unsigned flags, struct err *err);

/*
 * Walk all entries in the order of the file: *<pos> starts at 0.  Keys and values are given without the
 * trailing NUL that both carry; *<nul> (may be NULL) says whether they did.  Valid until the next map_get or
 * map_refresh.
 */
bool	 map_next(const struct map *m, size_t *pos, struct sv *key, struct sv *value, bool *nul);
size_t	 map_count(const struct map *m);

#endif
