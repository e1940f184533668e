/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps for look-ups: see map.h.  A map that could be read once goes on answering from
 * that while its file is being rewritten in place by another program; a file that is
 * broken for longer than that answers with the error.
 */
#include "map_int.h"

#include <assert.h>
#include <errno.h>

#include "os/time.h"

#define LOOK_EVERY_MS	1000
#define KEEP_OLD_MS	2000	/* at most so long the old content stands in for a file that does not settle */

struct map {
	char		*path;
	enum map_type	 type;
	unsigned	 flags;
	struct table	 t;
	struct stamp	 stamp;		/* of what is in <t>, or of what failed to load */
	bool		 loaded;
	struct err	 failed;	/* why the file of <stamp> could not be loaded */
	int64_t		 looked;	/* os_mono_ms of the last look at the file; 0: never */
	int64_t		 changed;	/* when a change was first seen that is not taken in yet; 0: none */
};

bool
map_type_parse(struct sv name, enum map_type *type)
{
	static const struct { const char *name; enum map_type type; } types[] = {
		{ "hash", MAP_HASH }, { "btree", MAP_BTREE }, { "cdb", MAP_CDB }, { "text", MAP_TEXT },
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (sv_eqs(name, types[i].name)) {
			*type = types[i].type;
			return (true);
		}
	return (false);
}

struct map *
map_open(const char *path, enum map_type type, unsigned flags)
{
	struct map *m = xcalloc(1, sizeof(*m));

	m->path = xstrdup(path);
	m->type = type;
	m->flags = flags;
	table_init(&m->t);
	return (m);
}

void
map_close(struct map **mp)
{
	struct map *m = *mp;

	if (m == NULL)
		return;
	*mp = NULL;
	table_free(&m->t);
	free(m->path);
	free(m);
}

const char *
map_path(const struct map *m)
{
	return (m->path);
}

static enum map_result
answer(struct map *m, struct err *err)
{
	if (m->loaded)
		return (MAP_FOUND);
	if (err != NULL)
		*err = m->failed;
	return (MAP_ERROR);
}

/* The file is as <now> says, unlike what we hold. */
static enum map_result
reload(struct map *m, const struct stamp *now, struct err *err)
{
	struct table t;
	struct stamp s;
	struct err why = ERR_INIT;
	enum load rc;

	if (m->changed == 0)
		m->changed = m->looked;
	if (m->loaded && m->type != MAP_TEXT && m->looked - m->changed < KEEP_OLD_MS && now->there &&
	    now->dev == m->stamp.dev && now->ino == m->stamp.ino && stamp_unsettled(now))
		return (MAP_FOUND);
	table_init(&t);
	rc = load_file(&t, &s, m->path, m->type, (m->flags & MAP_WAIT) != 0 ? 10000 : 0, &why);
	if (rc == LOAD_BUSY && m->loaded && m->looked - m->changed < KEEP_OLD_MS) {
		table_free(&t);
		return (MAP_FOUND);
	}
	m->changed = 0;
	m->stamp = s;
	table_free(&m->t);
	m->t = t;
	m->loaded = rc == LOAD_OK || (rc == LOAD_MISSING && (m->flags & MAP_OPTIONAL) != 0);
	m->failed = why;
	if (!m->loaded) {
		table_free(&m->t);
		/* A writer at work changes the file again; anything else is looked at anew as soon as it changed. */
		if (rc == LOAD_BUSY)
			m->stamp.size = -1;
	}
	return (answer(m, err));
}

enum map_result
map_refresh(struct map *m, unsigned flags, struct err *err)
{
	int64_t now = os_mono_ms();
	struct stat st;
	struct stamp s;

	if (m->looked != 0 && (flags & MAP_FRESH) == 0 && now - m->looked < LOOK_EVERY_MS)
		return (answer(m, err));
	if (stat(m->path, &st) == 0)
		stamp_of(&s, &st);
	else
		memset(&s, 0, sizeof(s));
	if (m->looked != 0 && stamp_eq(&s, &m->stamp) && m->changed == 0) {
		m->looked = now;
		return (answer(m, err));
	}
	m->looked = now;
	return (reload(m, &s, err));
}

/* A text map's keys are lower case in the table. */
static struct sv
fold(struct sv key, char *buf, size_t size)
{
	if (key.len > size)
		return (key);
	for (size_t i = 0; i < key.len; i++)
		buf[i] = sv_lower(key.p[i]);
	return (sv_from(buf, key.len));
}

static uint32_t
find(const struct map *m, struct sv key, unsigned flags)
{
	char buf[1024];

	return (table_find(&m->t, m->type == MAP_TEXT ? fold(key, buf, sizeof(buf)) : key, flags));
}

enum map_result
map_get(struct map *m, struct sv key, unsigned flags, struct sv *value, struct err *err)
{
	uint32_t i;

	if (map_refresh(m, flags, err) == MAP_ERROR)
		return (MAP_ERROR);
	i = find(m, key, flags);
	if (i == ENTRY_NONE)
		return (MAP_NOTFOUND);
	*value = m->t.e.p[i].value;
	return (MAP_FOUND);
}

bool
map_get_next(const struct map *m, struct sv key, unsigned flags, size_t *pos, struct sv *value)
{
	/* <pos>: 0 at the start, else index + 1 of the entry given last. */
	uint32_t i = *pos == 0 ? find(m, key, flags) : m->t.e.p[*pos - 1].next;

	if (i == ENTRY_NONE)
		return (false);
	*value = m->t.e.p[i].value;
	*pos = (size_t)i + 1;
	return (true);
}

bool
map_next(const struct map *m, size_t *pos, struct sv *key, struct sv *value, bool *nul)
{
	while (*pos < m->t.e.len) {
		const struct entry *e = &m->t.e.p[(*pos)++];

		if (e->dead)
			continue;
		*key = e->key;
		*value = e->value;
		if (nul != NULL)
			*nul = e->nul;
		return (true);
	}
	return (false);
}

size_t
map_count(const struct map *m)
{
	return (m->t.live);
}
