/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a process keeps between expansions: strings, lists and regexes compiled at
 * run time, files read and taken apart, open maps, results of queries.  Each table is
 * emptied when it has grown too large; what is in use at that moment stays until it is
 * given back.
 */
#include "exim/expand_int.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "map/map.h"

#define STR_MAX		2000		/* entries */
#define LIST_MAX	2000
#define REGEX_MAX	1000
#define FILES_MAX	200
#define RESULTS_MAX	5000
#define TEXT_MAX	8192		/* longer texts are compiled each time */
#define KINDS		5
#define RESULT_TTL	30		/* seconds */
#define FILE_MAX	(256 * 1024 * 1024)

struct result {
	bool		 found;
	int64_t		 expire;
	char		*value;
	size_t		 len;
};

struct exim_caches {
	struct hash	*str, *list[KINDS], *regex, *files, *maps, *results, *stats;
	uint64_t	 epoch;		/* of the latest command */
	uint64_t	 regex_gen;
	unsigned	 regex_users;
};

/* Unique over all caches of the process, so that a tree cannot take one's regex for another's. */
static uint64_t
next_gen(void)
{
	static uint64_t gen;

	return (++gen);
}

struct exim_caches *
exim_caches_new(void)
{
	struct exim_caches *c = xcalloc(1, sizeof(*c));

	c->str = hash_new();
	for (int i = 0; i < KINDS; i++)
		c->list[i] = hash_new();
	c->regex = hash_new();
	c->files = hash_new();
	c->maps = hash_new();
	c->results = hash_new();
	c->stats = hash_new();
	c->regex_gen = next_gen();
	return (c);
}

static void
free_cached(void *p)
{
	struct xcached *x = p;
	struct arena *a = x->a;

	/* A holder frees it. */
	if (--x->refs > 0)
		return;
	arena_free(&a);
}

static void
free_regex(void *p)
{
	x_regex_free(p);
}

static void
file_unref(struct xfile *f)
{
	struct arena *a = f->a;

	if (--f->refs > 0)
		return;
	if (f->free != NULL && f->data != NULL)
		f->free(f->data);
	arena_free(&a);
}

static void
free_file(void *p)
{
	file_unref(p);
}

static void
free_map(void *p)
{
	struct map *m = p;

	map_close(&m);
}

static void
free_result(void *p)
{
	struct result *r = p;

	free(r->value);
	free(r);
}

static void
clear(struct hash **h, void (*fn)(void *))
{
	hash_free(h, fn);
	*h = hash_new();
}

void
exim_caches_free(struct exim_caches **cp)
{
	struct exim_caches *c = *cp;

	if (c == NULL)
		return;
	hash_free(&c->str, free_cached);
	for (int i = 0; i < KINDS; i++)
		hash_free(&c->list[i], free_cached);
	hash_free(&c->regex, free_regex);
	hash_free(&c->files, free_file);
	hash_free(&c->maps, free_map);
	hash_free(&c->results, free_result);
	hash_free(&c->stats, free);
	free(c);
	*cp = NULL;
}

void
exim_caches_message(struct exim_caches *c)
{
	if (c != NULL && hash_count(c->results) > 0)
		clear(&c->results, free_result);
}

/* --- strings and lists --- */

static struct xcached *
cached_new(struct xev *e)
{
	struct arena *a = e->env->caches == NULL ? e->env->arena : arena_new(1024);
	struct xcached *x = arena_zalloc(a, sizeof(*x));

	x->a = e->env->caches == NULL ? NULL : a;
	x->refs = 1;
	return (x);
}

static struct arena *
cached_arena(struct xev *e, const struct xcached *x)
{
	return (x->a == NULL ? e->env->arena : x->a);
}

void
x_cache_put(struct xcached *c)
{
	if (c != NULL && c->a != NULL)
		free_cached(c);
}

struct xcached *
x_cache_str(struct xev *e, struct sv text)
{
	struct exim_caches *c = e->env->caches;
	struct xcached *x = c == NULL ? NULL : hash_get(c->str, text);
	const char *mistake;

	if (x != NULL) {
		x->refs++;
		return (x);
	}
	x = cached_new(e);
	x->str = xp_compile(cached_arena(e, x), text, NULL, 0, true, &mistake);
	if (c == NULL || text.len > TEXT_MAX)
		return (x);
	if (hash_count(c->str) >= STR_MAX)
		clear(&c->str, free_cached);
	x->refs++;
	(void)hash_set(c->str, text, x);
	return (x);
}

struct xcached *
x_cache_list(struct xev *e, enum exim_list_kind kind, struct sv text)
{
	struct exim_caches *c = e->env->caches;
	struct xcached *old, *x = c == NULL ? NULL : hash_get(c->list[kind], text);

	/* The same bytes may come tainted and clean: what they match gives other data. */
	if (x != NULL && (exim_list_text(x->list).tainted != 0) == (text.tainted != 0)) {
		x->refs++;
		return (x);
	}
	x = cached_new(e);
	x->list = xm_compile_raw(cached_arena(e, x), kind, text);
	if (c == NULL || text.len > TEXT_MAX)
		return (x);
	if (hash_count(c->list[kind]) >= LIST_MAX)
		clear(&c->list[kind], free_cached);
	x->refs++;
	old = hash_set(c->list[kind], text, x);
	if (old != NULL)
		free_cached(old);
	return (x);
}

/* --- regexes --- */

uint64_t
x_cache_regex_gen(const struct exim_caches *c)
{
	return (c->regex_gen);
}

void
x_cache_regex_use(struct exim_caches *c, int n)
{
	c->regex_users += (unsigned)n;
}

struct xregex *
x_cache_regex(struct exim_caches *c, struct sv pattern, unsigned flags, char why[256])
{
	struct sb key = SB_INIT(TEXT_MAX * 16);
	struct xregex *r;

	sb_addc(&key, (flags & XRE_CASELESS) != 0 ? 'i' : 'c');
	sb_add(&key, pattern);
	r = hash_get(c->regex, sb_sv(&key));
	if (r == NULL && (r = x_regex_new(pattern, flags, why)) != NULL) {
		if (hash_count(c->regex) >= REGEX_MAX && c->regex_users == 0) {
			clear(&c->regex, free_regex);
			c->regex_gen = next_gen();
		}
		(void)hash_set(c->regex, sb_sv(&key), r);
	}
	sb_free(&key);
	return (r);
}

/* --- files --- */

static bool
same_file(const struct xfile *f, const struct stat *st)
{
	return (f->dev == st->st_dev && f->ino == st->st_ino && f->size == st->st_size &&
	    f->mtime.tv_sec == st->st_mtim.tv_sec && f->mtime.tv_nsec == st->st_mtim.tv_nsec &&
	    f->ctime.tv_sec == st->st_ctim.tv_sec && f->ctime.tv_nsec == st->st_ctim.tv_nsec);
}

static struct xfile *
file_load(struct xev *e, const char *path, void *(*load)(struct arena *, struct sv), void (*fn)(void *))
{
	const struct exim_world *w = e->env->world;
	struct arena *a = arena_new(4096);
	struct xfile *f = arena_zalloc(a, sizeof(*f));
	struct stat st;
	struct sv text;

	memset(&st, 0, sizeof(st));
	if (w->readfile(w->arg, path, FILE_MAX, a, &text, &st) == -1) {
		int saved = errno;

		arena_free(&a);
		errno = saved;
		return (NULL);
	}
	f->a = a;
	f->refs = 1;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->size = st.st_size;
	f->mtime = st.st_mtim;
	f->ctime = st.st_ctim;
	f->free = fn;
	f->data = load(a, text);
	return (f);
}

/* --- one state of each file per command --- */

struct looked {
	uint64_t	 epoch;		/* the latest command when it was looked at */
	uint64_t	 map_epoch;	/* the same, for the content of a map */
	int		 error;		/* errno, or 0 */
	bool		 dir_kept;	/* <st> is that of the directory in which the file is missing */
	struct stat	 st;
	struct stat	 map_st;	/* as it was when the map was read */
};

#define SETTLED		3		/* seconds: a file that changed later may change again unseen */

uint64_t
exim_epoch_begin(struct exim_env *env)
{
	uint64_t saved = env->epoch;

	if (saved == 0 && env->caches != NULL)
		env->epoch = ++env->caches->epoch;
	if (saved == 0 && env->world != NULL && env->world->begins != NULL)
		env->world->begins(env->world->arg);
	return (saved);
}

void
exim_epoch_end(struct exim_env *env, uint64_t saved)
{
	env->epoch = saved;
}

/* NULL outside commands. */
static struct looked *
looked_at(struct exim_env *env, const char *path)
{
	struct exim_caches *c = env->caches;
	struct looked *l;

	if (c == NULL || env->epoch == 0)
		return (NULL);
	l = hash_get(c->stats, sv_cstr(path));
	if (l == NULL) {
		if (hash_count(c->stats) >= FILES_MAX)
			clear(&c->stats, free);
		l = xcalloc(1, sizeof(*l));
		(void)hash_set(c->stats, sv_cstr(path), l);
	}
	return (l);
}

static bool
unchanged(const struct stat *a, const struct stat *b)
{
	return (a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	    a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec);
}

/* The directory that <path> would stand in; false: not simply told. */
static bool
dir_of(struct exim_env *env, const char *path, struct stat *dir)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL || slash == path || slash[1] == '\0')
		return (false);
	return (exim_stat(env, arena_cstr(env->arena, sv_from(path, (size_t)(slash - path))), dir) == 0);
}

/*
 * A file that is missing appears by a change of its directory, whose time then changes.  So of many that are missing in one
 * directory, which conditions with "exists" often ask for, only that is looked at.  A directory that changed just now may
 * change again at the same tick of the clock: it does not count.
 */
static bool
dir_settled(struct exim_env *env, const char *path, struct stat *dir)
{
	const struct exim_world *w = env->world;
	struct stat link;
	int64_t now;

	/* What a link points to may appear elsewhere. */
	if (w->now == NULL || w->stat(w->arg, path, false, &link) == 0 || !dir_of(env, path, dir))
		return (false);
	now = w->now(w->arg, NULL);
	return (dir->st_mtim.tv_sec < now - 1 && dir->st_ctim.tv_sec < now - 1);
}

static bool
still_missing(struct exim_env *env, const char *path, const struct stat *then)
{
	struct stat known = *then, dir;

	return (dir_of(env, path, &dir) && unchanged(&dir, &known));
}

int
exim_stat(struct exim_env *env, const char *path, struct stat *st)
{
	const struct exim_world *w = env->world;
	struct looked *l;

	if (w->stat == NULL) {
		errno = ENOSYS;
		return (-1);
	}
	l = looked_at(env, path);
	if (l == NULL)
		return (w->stat(w->arg, path, true, st));
	if (l->epoch < env->epoch && l->error == ENOENT && l->dir_kept && still_missing(env, path, &l->st))
		(l = looked_at(env, path))->epoch = env->caches->epoch;
	if (l->epoch < env->epoch) {
		uint64_t epoch = env->caches->epoch;
		struct stat dir, now;
		bool kept = false;
		int error = w->stat(w->arg, path, true, &now) == -1 ? errno : 0;

		if (error == ENOENT)
			kept = dir_settled(env, path, &dir);
		/* The world may park: the entry may be gone. */
		l = looked_at(env, path);
		l->epoch = epoch;
		l->error = error;
		l->dir_kept = kept;
		if (error == 0 || kept)
			l->st = error == 0 ? now : dir;
	}
	errno = l->error;
	if (l->error != 0)
		return (-1);
	*st = l->st;
	return (0);
}

bool
x_map_fresh(struct xev *e, const char *path)
{
	const struct exim_world *w = e->env->world;
	struct looked *l = looked_at(e->env, path);

	if (l == NULL)
		return (true);
	if (l->map_epoch >= e->env->epoch)
		return (false);
	l->map_epoch = e->env->caches->epoch;
	/* The look at the file that this command has had serves the map too. */
	if (l->epoch >= e->env->epoch && l->error == 0 && w->now != NULL && unchanged(&l->st, &l->map_st) &&
	    l->st.st_ctim.tv_sec + SETTLED < w->now(w->arg, NULL))
		return (false);
	l->map_st = l->st;
	return (true);
}

/* "KIND PATH"; printf would cost more than the look-up. */
static struct sv
cache_key(struct xev *e, const char *kind, const char *path)
{
	size_t k = strlen(kind), n = strlen(path);
	char *p = arena_alloc(e->env->arena, k + 1 + n + 1);

	memcpy(p, kind, k);
	p[k] = ' ';
	memcpy(p + k + 1, path, n + 1);
	return (sv_from(p, k + 1 + n));
}

struct xfile *
x_file_get(struct xev *e, const char *kind, const char *path, void *(*load)(struct arena *a, struct sv text),
    void (*fn)(void *data), bool *not_regular)
{
	const struct exim_world *w = e->env->world;
	struct exim_caches *c = e->env->caches;
	struct xfile *f, *old;
	struct stat st;
	struct sv key;

	*not_regular = false;
	if (w->readfile == NULL || w->stat == NULL) {
		errno = ENOSYS;
		return (NULL);
	}
	if (exim_stat(e->env, path, &st) == -1)
		return (NULL);
	if (!S_ISREG(st.st_mode)) {
		*not_regular = true;
		errno = EINVAL;
		return (NULL);
	}
	key = cache_key(e, kind, path);
	f = c == NULL ? NULL : hash_get(c->files, key);
	if (f != NULL && same_file(f, &st)) {
		f->refs++;
		return (f);
	}
	f = file_load(e, path, load, fn);
	if (f == NULL || c == NULL)
		return (f);
	if (hash_count(c->files) >= FILES_MAX)
		clear(&c->files, free_file);
	f->refs++;
	old = hash_set(c->files, key, f);
	if (old != NULL)
		file_unref(old);
	return (f);
}

void
x_file_put(struct xev *e, struct xfile *f)
{
	if (f != NULL)
		file_unref(f);
}

struct map *
x_cache_map(struct xev *e, const char *path, int type, bool *own)
{
	struct exim_caches *c = e->env->caches;
	struct map *m;
	struct sv key;

	*own = c == NULL;
	if (c == NULL)
		return (map_open(path, (enum map_type)type, 0));
	key = cache_key(e, type == MAP_HASH ? "hash" : type == MAP_BTREE ? "btree" : type == MAP_CDB ? "cdb" : "text", path);
	m = hash_get(c->maps, key);
	if (m != NULL)
		return (m);
	if (hash_count(c->maps) >= FILES_MAX)
		clear(&c->maps, free_map);
	m = map_open(path, (enum map_type)type, 0);
	(void)hash_set(c->maps, key, m);
	return (m);
}

/* --- results --- */

bool
x_cache_result(struct xev *e, struct sv key, bool *found, struct sv *value)
{
	struct exim_caches *c = e->env->caches;
	struct result *r = c == NULL ? NULL : hash_get(c->results, key);

	if (r == NULL || x_now(e, NULL) >= r->expire)
		return (false);
	*found = r->found;
	*value = arena_sv(e->env->arena, sv_from(r->value, r->len));
	return (true);
}

void
x_cache_result_set(struct xev *e, struct sv key, bool found, struct sv value)
{
	struct exim_caches *c = e->env->caches;
	struct result *r, *old;

	if (c == NULL || value.len > TEXT_MAX)
		return;
	if (hash_count(c->results) >= RESULTS_MAX)
		clear(&c->results, free_result);
	r = xcalloc(1, sizeof(*r));
	r->found = found;
	r->expire = x_now(e, NULL) + RESULT_TTL;
	r->value = xstrndup(value.p == NULL ? "" : value.p, value.len);
	r->len = value.len;
	old = hash_set(c->results, key, r);
	if (old != NULL)
		free_result(old);
}
