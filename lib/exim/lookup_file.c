/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lookups in text files (lsearch and its kin), Berkeley DB and cdb maps, directories
 * and JSON files (manual 9.3).  Text files are read and taken apart once, and again
 * when they changed.
 */
#include "exim/lookup_int.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "map/lsearch.h"
#include "map/map.h"

/* An entry of a text file. */
struct entry {
	struct sv	 key, value;
	struct sv	 full;		/* the line, for ret=full */
	struct net_prefix prefix;	/* iplsearch; family 0: "*" or no address */
	struct exim_str	*str;		/* wildlsearch: the key as a string to expand */
	struct exim_list *pattern;	/* nwildlsearch, and wildlsearch where nothing expands */
};

struct text {
	struct entry	*v;
	size_t		 n;
	struct hash	*index;		/* lsearch: lower-case key to entry */
};

static void
text_free(void *data)
{
	struct text *t = data;

	hash_free(&t->index, NULL);
	free(t->v);
}

static bool
is_blank(char c)
{
	return (c == ' ' || c == '\t');
}

/* Where a quoted key ends in the first line of <text> that has a key. */
static const char *
quote_end(struct sv text)
{
	const char *p = text.p, *end = text.p + text.len;

	while (p < end && *p != '"') {
		const char *nl = memchr(p, '\n', (size_t)(end - p));

		p = nl == NULL ? end : nl + 1;
	}
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\')
			p++;
	return (p < end ? p + 1 : end);
}

/* Key, what stands between, and value, which may have been put together from several lines; a quoted key is without its quotes. */
static struct sv
full_line(struct arena *a, const struct lsearch_entry *e, struct sv text)
{
	const char *end = text.p + text.len, *gap, *p;

	if (!e->quoted && e->value.p != NULL && e->value.p >= e->key.p && e->value.p + e->value.len <= end)
		return (arena_sv(a, sv_from(e->key.p, (size_t)(e->value.p + e->value.len - e->key.p))));
	gap = e->quoted ? quote_end(text) : e->key.p + e->key.len;
	for (p = gap; p < end && is_blank(*p); p++)
		continue;
	if (p < end && *p == ':')
		p++;
	while (p < end && is_blank(*p))
		p++;
	return (sv_cstr(arena_fmt(a, SV_FMT SV_FMT SV_FMT, SV_ARG(e->key), SV_ARG(sv_from(gap, (size_t)(p - gap))), SV_ARG(e->value))));
}

static struct text *
text_load(struct arena *a, struct sv v)
{
	struct text *t = arena_zalloc(a, sizeof(*t));
	struct lsearch_entry le;
	VEC(struct entry) list = VEC_INIT;
	struct lsearch l;

	lsearch_init(&l, v);
	for (;;) {
		struct entry one;
		struct sv before = l.text;

		if (!lsearch_next(&l, &le))
			break;
		if (le.key.len == 0)
			continue;
		memset(&one, 0, sizeof(one));
		one.full = full_line(a, &le, before);
		one.key = arena_sv(a, le.key);
		one.value = arena_sv(a, le.value);
		vec_push(&list, one);
	}
	lsearch_free(&l);
	t->v = list.p;
	t->n = list.len;
	return (t);
}

static void *
load_lsearch(struct arena *a, struct sv v)
{
	struct text *t = text_load(a, v);

	t->index = hash_new();
	/* The first of a key counts. */
	for (size_t i = t->n; i-- > 0;)
		(void)hash_set(t->index, arena_lower(a, t->v[i].key), &t->v[i]);
	return (t);
}

static void *
load_iplsearch(struct arena *a, struct sv v)
{
	struct text *t = text_load(a, v);

	for (size_t i = 0; i < t->n; i++)
		if (!net_prefix_parse(t->v[i].key, &t->v[i].prefix))
			memset(&t->v[i].prefix, 0, sizeof(t->v[i].prefix));
	return (t);
}

static void *
load_nwild(struct arena *a, struct sv v)
{
	struct text *t = text_load(a, v);

	for (size_t i = 0; i < t->n; i++)
		t->v[i].pattern = xm_compile_item(a, EXIM_LIST_DOMAIN, t->v[i].key);
	return (t);
}

static void *
load_wild(struct arena *a, struct sv v)
{
	struct text *t = text_load(a, v);
	const char *mistake;
	struct sv lit;

	for (size_t i = 0; i < t->n; i++) {
		t->v[i].str = xp_compile(a, t->v[i].key, NULL, 0, true, &mistake);
		if (exim_str_literal(t->v[i].str, &lit))
			t->v[i].pattern = xm_compile_item(a, EXIM_LIST_DOMAIN, lit);
	}
	return (t);
}

static struct xfile *
open_text(struct xev *e, const struct xlookup *l, void *(*load)(struct arena *, struct sv), enum exim_result *r)
{
	bool irregular;
	struct xfile *f = x_file_get(e, l->type, l->path, load, text_free, &irregular);

	*r = EXIM_OK;
	if (f == NULL && irregular)
		*r = x_fail(e, "%s is not a regular file (lsearch lookup)", l->path);
	else if (f == NULL)
		*r = x_fail(e, "failed to open %s for linear search: %s", l->path, x_open_error(e));
	return (f);
}

static void
give(struct xev *e, const struct xlookup *l, const struct entry *t, bool *found, struct sv *out)
{
	bool full = sv_eqs(x_lookup_option(l->spec->opts, "ret"), "full");

	*found = true;
	*out = arena_sv(e->env->arena, full ? t->full : t->value);
}

X_LOOKUP(xl_lsearch)
{
	const struct entry *hit;
	enum exim_result r;
	struct xfile *f = open_text(e, l, load_lsearch, &r);

	if (f == NULL)
		return (r);
	hit = hash_get(((struct text *)f->data)->index, arena_lower(e->env->arena, l->key));
	if (hit != NULL)
		give(e, l, hit, found, out);
	x_file_put(e, f);
	return (EXIM_OK);
}

X_LOOKUP(xl_iplsearch)
{
	struct net_prefix key;
	enum exim_result r;
	struct xfile *f;
	struct text *t;
	bool star = sv_eqs(l->key, "*");

	if ((f = open_text(e, l, load_iplsearch, &r)) == NULL)
		return (r);
	/* An address with a zone is none of the file. */
	if (sv_chr(l->key, '%') > 0 && sv_chr(l->key, ':') >= 0) {
		x_file_put(e, f);
		return (EXIM_OK);
	}
	if (l->key.len > 0 && !star && (l->key.p[0] == '[' || sv_chr(l->key, '/') >= 0 || !net_prefix_parse(l->key, &key))) {
		x_file_put(e, f);
		return (x_defer(e, "\"" SV_FMT "\" is not a valid iplsearch key (an IP address, with optional CIDR mask, is "
		    "wanted): in a host list, use net-iplsearch as the search type", SV_ARG(l->key)));
	}
	if (l->key.len == 0) {
		x_file_put(e, f);
		return (EXIM_OK);
	}
	t = f->data;
	for (size_t i = 0; i < t->n; i++) {
		const struct entry *x = &t->v[i];

		/* "*" is asked for by lsearch's own "*" default; it is a key like others. */
		if (star ? sv_eqs(x->key, "*") : x->prefix.addr.family != 0 && net_prefix_match(&x->prefix, &key.addr)) {
			give(e, l, x, found, out);
			break;
		}
	}
	x_file_put(e, f);
	return (EXIM_OK);
}

/* The expanded key of an entry as a pattern. */
static enum exim_result
wild_match(struct xev *e, const struct entry *x, struct sv key, bool *yes)
{
	struct exim_list *pattern = x->pattern;
	enum exim_result r;
	struct sv v;

	if (pattern == NULL) {
		struct err quiet = ERR_INIT;
		struct xev q = { .env = e->env, .err = &quiet };

		r = x_str(&q, x->str, &v);
		if (r == EXIM_FORCED)
			return (EXIM_OK);
		if (r != EXIM_OK)
			return (x_defer(e, "%s", ""));
		pattern = xm_compile_item(e->env->arena, EXIM_LIST_DOMAIN, v);
	}
	return (exim_match_domain(pattern, e->env, key, yes, NULL, e->err));
}

X_LOOKUP(xl_wildlsearch)
{
	const struct exim_nums *nums = e->env->nums;
	enum exim_result r;
	struct xfile *f = open_text(e, l, l->type[0] == 'n' ? load_nwild : load_wild, &r);
	struct text *t;

	if (f == NULL)
		return (r);
	t = f->data;
	for (size_t i = 0; i < t->n && r == EXIM_OK && !*found && l->key.len > 0; i++) {
		bool yes = false;

		r = wild_match(e, &t->v[i], l->key, &yes);
		if (r == EXIM_OK && yes)
			give(e, l, &t->v[i], found, out);
	}
	/* What a regex captured does not outlive the lookup. */
	e->env->nums = nums;
	x_file_put(e, f);
	return (r);
}

/* --- maps --- */

static enum exim_result
map_result(struct xev *e, enum map_result m, struct sv value, bool *found, struct sv *out)
{
	if (m == MAP_FOUND) {
		*found = true;
		*out = arena_sv(e->env->arena, value);
	}
	return (EXIM_OK);
}

/* Elements of a list joined by NUL. */
static struct sv
join_nul(struct xev *e, struct sv list)
{
	bool first = true;
	struct sv item;
	int sep = 0;
	struct xb b;

	xb_init(&b, e->env->arena, list.len + 1);
	while (exim_list_next(&list, &sep, e->env->arena, &item)) {
		if (!first)
			xb_addc(&b, '\0');
		first = false;
		xb_add(&b, item);
	}
	return (xb_sv(&b));
}

struct dbm_job {
	const char	*path;
	struct sv	 key;
	struct arena	*a;
	struct sv	 value;
	enum exim_found	 found;
};

static void
dbm_job(void *arg)
{
	struct dbm_job *j = arg;

	j->found = x_sqlite_dbm(j->path, j->key, j->a, &j->value);
}

/* A file that is no Berkeley DB: SQLite's, perhaps. */
static enum exim_found
other_dbm(struct xev *e, const struct xlookup *l, struct sv key, struct sv *out)
{
	const struct exim_world *w = e->env->world;
	struct dbm_job j = { .path = l->path, .key = key, .a = e->env->arena };

	/* Exim's dbm has the NUL of the C string in the key. */
	if (l->type[3] == '\0')
		j.key = sv_from(x_cstr(e, key), key.len + 1);
	if (w->offload != NULL)
		w->offload(w->arg, dbm_job, &j);
	else
		dbm_job(&j);
	*out = j.value;
	return (j.found);
}

X_LOOKUP(xl_dbm)
{
	const struct exim_world *w = e->env->world;
	struct err why = ERR_INIT;
	struct sv value = SV_NULL, key = l->key;
	enum map_result m;
	struct stat st;
	struct map *map;
	bool own;

	if (w->stat != NULL && exim_stat(e->env, l->path, &st) == -1)
		return (x_fail(e, "failed to open %s as a db (v4.1+) file: %s", l->path, x_open_error(e)));
	if (sv_eqs(sv_cstr(l->type), "dbmjz"))
		key = join_nul(e, l->key);
	map = x_cache_map(e, l->path, MAP_HASH, &own);
	m = map_get(map, key, (x_map_fresh(e, l->path) ? MAP_FRESH : 0) | (l->type[3] == 'n' ? MAP_NONUL :
	    l->type[3] == 'j' ? 0 : MAP_NUL), &value, &why);
	(void)map_result(e, m, value, found, out);
	if (own)
		map_close(&map);
	if (m == MAP_ERROR) {
		enum exim_found f = other_dbm(e, l, key, &value);

		*found = f == EXIM_FOUND;
		if (*found)
			*out = value;
		if (f != EXIM_TEMPFAIL)
			return (EXIM_OK);
	}
	return (m == MAP_ERROR ? x_fail(e, "failed to open %s as a db (v4.1+) file: %s", l->path, why.text) : EXIM_OK);
}

X_LOOKUP(xl_cdb)
{
	const struct exim_world *w = e->env->world;
	struct err why = ERR_INIT;
	struct sv value = SV_NULL;
	enum map_result m;
	struct stat st;
	struct map *map;
	bool own;

	if (w->stat != NULL && exim_stat(e->env, l->path, &st) == -1)
		return (x_fail(e, "failed to open %s for cdb lookup: %s", l->path, x_open_error(e)));
	if (w->stat != NULL && st.st_size < 2048)
		return (x_fail(e, "failed to open %s too short for cdb lookup: Success", l->path));
	map = x_cache_map(e, l->path, MAP_CDB, &own);
	m = map_get(map, l->key, (x_map_fresh(e, l->path) ? MAP_FRESH : 0) | MAP_NONUL, &value, &why);
	(void)map_result(e, m, value, found, out);
	if (own)
		map_close(&map);
	return (m == MAP_ERROR ? x_fail(e, "failed to open %s for cdb lookup: %s", l->path, why.text) : EXIM_OK);
}

/* --- directories --- */

/* One component, or with key=path several, none of them "..". */
static bool
dsearch_key_ok(const struct xlookup *l)
{
	struct sv rest = l->key, part;

	if (sv_chr(l->key, '/') < 0)
		return (true);
	if (!sv_eqs(x_lookup_option(l->spec->opts, "key"), "path") || l->key.p[0] == '/')
		return (false);
	while (sv_next(&rest, '/', &part))
		if (sv_eqs(part, ".."))
			return (false);
	return (true);
}

X_LOOKUP(xl_dsearch)
{
	const struct exim_world *w = e->env->world;
	struct sv filter = x_lookup_option(l->spec->opts, "filter");
	char *path;
	struct stat st;
	bool dots;

	if (w->stat == NULL)
		return (x_defer(e, "directories cannot be searched here"));
	if (l->path[0] != '/')
		return (x_fail(e, "dirname '%s' for dsearch is not absolute", l->path));
	if (w->stat(w->arg, l->path, true, &st) == -1)
		return (x_fail(e, "failed to open %s for directory search: %s", l->path, x_open_error(e)));
	if (!S_ISDIR(st.st_mode))
		return (x_fail(e, "failed to open %s for directory search: %s", l->path, strerror(ENOTDIR)));
	if (l->key.len == 0)
		return (EXIM_OK);
	if (!dsearch_key_ok(l))
		return (x_defer(e, "key for dsearch lookup contains a slash: " SV_FMT, SV_ARG(l->key)));
	path = arena_fmt(e->env->arena, "%s/" SV_FMT, l->path, SV_ARG(l->key));
	if (w->stat(w->arg, path, false, &st) == -1) {
		if (errno == ENOENT || errno == ENAMETOOLONG)
			return (EXIM_OK);
		return (x_defer(e, "%s: lstat: %s", path, strerror(errno)));
	}
	dots = sv_eqs(l->key, ".") || sv_eqs(l->key, "..");
	if ((sv_eqs(filter, "file") && !S_ISREG(st.st_mode)) || (sv_eqs(filter, "dir") && !S_ISDIR(st.st_mode)) ||
	    (sv_eqs(filter, "subdir") && (!S_ISDIR(st.st_mode) || dots)))
		return (EXIM_OK);
	*found = true;
	*out = sv_eqs(x_lookup_option(l->spec->opts, "ret"), "full") ? sv_cstr(path) : arena_sv(e->env->arena, l->key);
	return (EXIM_OK);
}

/* --- JSON --- */

static void *
load_json(struct arena *a, struct sv v)
{
	struct sv *t = arena_alloc(a, sizeof(*t));

	*t = v;
	return (t);
}

static struct sv
json_skip(struct sv v)
{
	while (v.len > 0 && sv_isspace(v.p[0]))
		v = sv_sub(v, 1, v.len);
	return (v);
}

/* One step: an element by number from an array, by name from an object; p NULL if there is none. */
static struct sv
json_step(struct sv v, struct sv key)
{
	struct sv list, item, name, rest;
	int64_t num = -1;

	v = json_skip(v);
	if (key.len > 0 && key.len < 10) {
		num = 0;
		for (size_t i = 0; i < key.len; i++)
			num = num < 0 || !sv_isdigit(key.p[i]) ? -1 : num * 10 + key.p[i] - '0';
	}
	if (num >= 0 && x_json_dewrap(v, '[', ']', &list, NULL)) {
		while (x_json_next(&list, &item))
			if (num-- == 0)
				return (item);
		return (SV_NULL);
	}
	if (!x_json_dewrap(v, '{', '}', &list, NULL))
		return (SV_NULL);
	while (x_json_next(&list, &item)) {
		if (!x_json_dewrap(item, '"', '"', &name, &rest) || !sv_eq(name, key))
			continue;
		rest = json_skip(rest);
		return (rest.len > 0 && rest.p[0] == ':' ? json_skip(sv_sub(rest, 1, rest.len)) : SV_NULL);
	}
	return (SV_NULL);
}

/* An array or object as it is usually written: a blank behind each comma and colon, no other. */
static struct sv
json_written(struct xev *e, struct sv v)
{
	bool quoted = false;
	struct xb b;

	xb_init(&b, e->env->arena, v.len + 16);
	b.tainted = v.tainted;
	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];

		if (!quoted && sv_isspace(c))
			continue;
		xb_addc(&b, c);
		if (quoted && c == '\\' && i + 1 < v.len)
			xb_addc(&b, v.p[++i]);
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == ',' || c == ':'))
			xb_addc(&b, ' ');
	}
	return (xb_sv(&b));
}

X_LOOKUP(xl_json)
{
	struct sv keys = l->key, key, v, inside;
	bool irregular;
	struct xfile *f = x_file_get(e, l->type, l->path, load_json, NULL, &irregular);
	int sep = 0;

	if (f == NULL)
		return (x_fail(e, "failed to open %s for json search: %s", l->path, x_open_error(e)));
	v = *(struct sv *)f->data;
	while (v.p != NULL && exim_list_next(&keys, &sep, e->env->arena, &key))
		v = json_step(v, key);
	if (v.p != NULL) {
		*found = true;
		*out = x_json_dewrap(v, '"', '"', &inside, NULL) ? arena_sv(e->env->arena, inside) : json_written(e, sv_trim(v));
	}
	x_file_put(e, f);
	return (EXIM_OK);
}

X_LOOKUP(xl_passwd)
{
	const struct exim_world *w = e->env->world;
	struct exim_passwd pw;
	enum exim_found f;

	if (w->passwd == NULL || l->key.len == 0)
		return (EXIM_OK);
	f = w->passwd(w->arg, x_cstr(e, l->key), e->env->arena, &pw);
	if (f == EXIM_TEMPFAIL)
		return (x_defer(e, "the password file cannot be read now"));
	if (f != EXIM_FOUND)
		return (EXIM_OK);
	*found = true;
	*out = sv_cstr(arena_fmt(e->env->arena, "*:%ld:%ld:%s:%s:%s", (long)pw.uid, (long)pw.gid, pw.gecos, pw.home,
	    pw.shell));
	return (EXIM_OK);
}
