/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside lib/map: the table of entries in memory, the readers that fill it from a
 * file's bytes, the writers that make a file of it, and the stamp of a file.
 */
#ifndef VPOST_MAP_MAP_INT_H
#define VPOST_MAP_MAP_INT_H

#include <sys/stat.h>

#include <stdint.h>

#include "base/arena.h"
#include "base/vec.h"
#include "map/map.h"

#define ENTRY_NONE	UINT32_MAX

struct entry {
	struct sv	 key;		/* without its trailing NUL */
	struct sv	 value;		/* without the trailing NUL where <nul> is set and it had one */
	uint32_t	 next;		/* next entry of the same key, or ENTRY_NONE */
	uint32_t	 last;		/* in a chain's first entry: its last one */
	bool		 nul;		/* key and value are stored with a NUL behind them */
	bool		 dead;
};

struct table {
	VEC(struct entry) e;
	uint32_t	*slot;		/* open addressing; ENTRY_NONE is empty */
	uint32_t	 mask;
	size_t		 live;
	struct arena	*arena;		/* what does not point into <image> */
	struct sb	 image;		/* the file's bytes */
	size_t		 built;		/* bytes in <arena> that a reader put together */
};

enum table_dup { TABLE_CHAIN, TABLE_REFUSE, TABLE_REPLACE };

void	 table_init(struct table *t);
void	 table_free(struct table *t);
/* Neither is copied.  False: TABLE_REFUSE, and the key is there. */
bool	 table_add(struct table *t, struct sv key, struct sv value, bool nul, enum table_dup dup);
/* The same for stored forms: a trailing NUL of the key is taken off, and then one of the value. */
bool	 table_add_raw(struct table *t, struct sv key, struct sv value, enum table_dup dup);
/* First entry of <key>, or ENTRY_NONE; flags MAP_NUL, MAP_NONUL as in map_get. */
uint32_t table_find(const struct table *t, struct sv key, unsigned flags);
bool	 table_del(struct table *t, struct sv key);
/* Make room for <n> entries. */
void	 table_reserve(struct table *t, size_t n);

/* Fill <t> from t->image.  -1: TEMP, with what is wrong, without the file's name. */
int	 read_bdb(struct table *t, struct err *err);
int	 read_cdb(struct table *t, struct err *err);
int	 read_text(struct table *t, struct err *err);

/* Write <t> to <path>, an existing empty file; not synced. */
int	 write_bdb(const struct table *t, const char *path, enum map_type type, bool dup, struct err *err);
int	 write_cdb(const struct table *t, const char *path, struct err *err);

struct stamp {
	dev_t		 dev;
	ino_t		 ino;
	off_t		 size;
	struct timespec	 mtime;
	struct timespec	 ctime;
	bool		 there;
};

void	 stamp_of(struct stamp *s, const struct stat *st);
bool	 stamp_eq(const struct stamp *a, const struct stamp *b);
/* Was the file written in place less than MAP_SETTLE_MS ago?  A file that was renamed after its last write was not. */
bool	 stamp_unsettled(const struct stamp *s);

enum load { LOAD_OK, LOAD_MISSING, LOAD_BUSY, LOAD_ERROR };

/*
 * Read <path> into <t> (fresh from table_init) and its stamp into *<s>.  LOAD_BUSY: somebody writes to it just now.
 * *<err> is filled for all but LOAD_OK.  <wait_ms> bounds the time to wait for a writer.
 */
enum load load_file(struct table *t, struct stamp *s, const char *path, enum map_type type, int wait_ms, struct err *err);

/* Write <t> beside <path> (mode and owner as of the present file, else <mode>); the temporary name in *<tmp>. */
int	 write_beside(const struct table *t, const char *path, enum map_type type, bool dup, mode_t mode, struct sb *tmp,
	     struct err *err);
/* Put <tmp> in the place of <path>, durably; on failure <tmp> is removed. */
int	 replace_file(const char *tmp, const char *path, struct err *err);

#endif
