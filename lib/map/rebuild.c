/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole new map files; see rebuild.h. */
#include "map/rebuild.h"

#include <unistd.h>

#include "map_int.h"
#include "map/update.h"

struct map_rebuild {
	char		*path;
	enum map_type	 type;
	unsigned	 flags;
	mode_t		 mode;
	int		 lock;
	struct table	 t;
};

static int
append_old(struct map_rebuild *r, struct err *err)
{
	struct stamp s;
	enum load rc = load_file(&r->t, &s, r->path, r->type, 10000, err);

	if (rc == LOAD_MISSING) {
		err_clear(err);
		table_free(&r->t);
		return (0);
	}
	return (rc == LOAD_OK ? 0 : -1);
}

struct map_rebuild *
map_rebuild_open(const char *path, enum map_type type, unsigned flags, mode_t mode, struct err *err)
{
	struct map_rebuild *r;
	int lock = map_lock(path, 0644, err);

	if (lock == -1)
		return (NULL);
	r = xcalloc(1, sizeof(*r));
	r->path = xstrdup(path);
	r->type = type;
	r->flags = flags;
	r->mode = mode;
	r->lock = lock;
	table_init(&r->t);
	if ((flags & MAP_RB_APPEND) != 0 && append_old(r, err) == -1)
		map_rebuild_abort(&r);
	else if (r->t.arena == NULL)
		r->t.arena = arena_new(64 * 1024);
	return (r);
}

enum map_put
map_rebuild_put(struct map_rebuild *r, struct sv key, struct sv value)
{
	bool nul = (r->flags & MAP_RB_NUL) != 0;
	enum table_dup dup = (r->flags & MAP_RB_DUP) != 0 ? TABLE_CHAIN :
	    (r->flags & MAP_RB_REPLACE) != 0 ? TABLE_REPLACE : TABLE_REFUSE;

	if (dup == TABLE_REFUSE && table_find(&r->t, key, nul ? MAP_NUL : MAP_NONUL) != ENTRY_NONE)
		return (MAP_PUT_DUP);
	(void)table_add(&r->t, arena_sv(r->t.arena, key), arena_sv(r->t.arena, value), nul, dup);
	return (MAP_PUT_OK);
}

size_t
map_rebuild_count(const struct map_rebuild *r)
{
	return (r->t.live);
}

int
map_rebuild_commit(struct map_rebuild **rp, struct err *err)
{
	struct map_rebuild *r = *rp;
	struct sb tmp = SB_INIT(4096);
	int rc;

	rc = write_beside(&r->t, r->path, r->type, (r->flags & MAP_RB_DUP) != 0, r->mode, &tmp, err);
	if (rc == 0)
		rc = replace_file(sb_cstr(&tmp), r->path, err);
	sb_free(&tmp);
	map_rebuild_abort(rp);
	return (rc);
}

void
map_rebuild_abort(struct map_rebuild **rp)
{
	struct map_rebuild *r = *rp;

	if (r == NULL)
		return;
	*rp = NULL;
	(void)close(r->lock);
	table_free(&r->t);
	free(r->path);
	free(r);
}
