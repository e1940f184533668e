/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Read, change, write under the lock file; see update.h.  Other programs know nothing of
 * the lock: if one of them wrote to the file between our read and our rename, our
 * new file is thrown away and the change is made again on what is there now.
 */
#include "map/update.h"

#include <unistd.h>

#include "map_int.h"

#define TRIES		20
#define WRITER_WAIT_MS	3000

struct map_edit {
	struct table	 t;
	bool		 changed;
	bool		 chains;	/* some key has several values: write them so again */
};

struct sv
map_edit_get(struct map_edit *e, struct sv key)
{
	uint32_t i = table_find(&e->t, key, 0);

	return (i == ENTRY_NONE ? SV_NULL : e->t.e.p[i].value);
}

void
map_edit_set(struct map_edit *e, struct sv key, struct sv value)
{
	uint32_t i = table_find(&e->t, key, 0);
	bool nul = i != ENTRY_NONE && e->t.e.p[i].nul;

	if (i != ENTRY_NONE && e->t.e.p[i].next == ENTRY_NONE && sv_eq(e->t.e.p[i].value, value))
		return;
	(void)table_add(&e->t, arena_sv(e->t.arena, key), arena_sv(e->t.arena, value), nul, TABLE_REPLACE);
	e->changed = true;
}

bool
map_edit_del(struct map_edit *e, struct sv key)
{
	bool any = table_del(&e->t, key);

	e->changed |= any;
	return (any);
}

bool
map_edit_next(struct map_edit *e, size_t *pos, struct sv *key, struct sv *value)
{
	while (*pos < e->t.e.len) {
		const struct entry *x = &e->t.e.p[(*pos)++];

		if (x->dead)
			continue;
		*key = x->key;
		*value = x->value;
		return (true);
	}
	return (false);
}

size_t
map_edit_count(const struct map_edit *e)
{
	return (e->t.live);
}

static bool
has_chains(const struct table *t)
{
	for (size_t i = 0; i < t->e.len; i++)
		if (t->e.p[i].next != ENTRY_NONE)
			return (true);
	return (false);
}

/* Is the file still what was read? */
static bool
same_file(const char *path, const struct stamp *was)
{
	struct stat st;
	struct stamp now;

	if (stat(path, &st) == -1)
		return (!was->there);
	stamp_of(&now, &st);
	return (stamp_eq(&now, was));
}

/* 1 written, 0 nothing to write, -1 failed, 2 again. */
static int
update_once(const char *path, enum map_type type, mode_t mode, struct map_edit *e,
    int (*change)(void *arg, struct map_edit *e, struct err *err), void *arg, struct err *err)
{
	struct sb tmp = SB_INIT(4096);
	struct stamp was;
	int rc;

	switch (load_file(&e->t, &was, path, type, WRITER_WAIT_MS, err)) {
	case LOAD_OK:
		break;
	case LOAD_MISSING:
		err_clear(err);
		table_free(&e->t);
		memset(&was, 0, sizeof(was));
		e->changed = true;
		break;
	case LOAD_BUSY:
	case LOAD_ERROR:
		return (-1);
	}
	if (e->t.arena == NULL)
		e->t.arena = arena_new(16 * 1024);
	e->chains = has_chains(&e->t);
	if (change(arg, e, err) == -1)
		return (-1);
	if (!e->changed)
		return (0);
	rc = write_beside(&e->t, path, type, e->chains, mode, &tmp, err);
	if (rc == 0 && !same_file(path, &was)) {
		(void)unlink(sb_cstr(&tmp));
		rc = 2;
	} else if (rc == 0)
		rc = replace_file(sb_cstr(&tmp), path, err) == 0 ? 1 : -1;
	sb_free(&tmp);
	return (rc);
}

int
map_update(const char *path, enum map_type type, mode_t mode,
    int (*change)(void *arg, struct map_edit *e, struct err *err), void *arg, struct err *err)
{
	int lock, rc = 2;

	lock = map_lock(path, 0644, err);
	if (lock == -1)
		return (-1);
	for (int i = 0; i < TRIES && rc == 2; i++) {
		struct map_edit e = { .changed = false };

		table_init(&e.t);
		rc = update_once(path, type, mode, &e, change, arg, err);
		table_free(&e.t);
	}
	(void)close(lock);
	if (rc == 2)
		return (err_set(err, ERR_TEMP, "4.3.0", "map %s: another program keeps writing to it: try again", path));
	return (rc);
}
