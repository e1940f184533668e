/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lookups (manual chapter 9): the table of types, "partial-", "*" and "*@", options,
 * quoting.  Types that need a server or a library of their own go through
 * env->world->lookup.
 */
#include "exim/acl.h"
#include "exim/lookup_int.h"

#include <stdlib.h>

enum flags {
	L_QUERY = 1,			/* the whole query is given, no file */
	L_FILE = 2,			/* a query that names a file as well (sqlite) */
	L_CACHE = 4			/* results are worth keeping */
};
enum quote { Q_NONE, Q_MYSQL, Q_PGSQL, Q_SQLITE, Q_LDAP, Q_LDAP_DN, Q_NISPLUS, Q_REDIS };

struct xlookup_type {
	const char	*name;
	unsigned	 flags;
	xlookup_fn	 find;
	enum quote	 quote;
	const char	*missing;	/* what to say when the world does not know it */
};

/* Sorted by name. */
static const struct xlookup_type types[] = {
	{ "cdb",	0,			xl_cdb,		Q_NONE, NULL },
	{ "dbm",	0,			xl_dbm,		Q_NONE, NULL },
	{ "dbmjz",	0,			xl_dbm,		Q_NONE, NULL },
	{ "dbmnz",	0,			xl_dbm,		Q_NONE, NULL },
	{ "dnsdb",	L_QUERY,		xl_dnsdb,	Q_NONE, NULL },
	{ "dsearch",	0,			xl_dsearch,	Q_NONE, NULL },
	{ "ibase",	L_QUERY | L_CACHE,	xl_world,	Q_NONE, "no Interbase servers defined (ibase_servers option)" },
	{ "iplsearch",	0,			xl_iplsearch,	Q_NONE, NULL },
	{ "json",	0,			xl_json,	Q_NONE, NULL },
	{ "ldap",	L_QUERY | L_CACHE,	xl_ldap,	Q_LDAP, "LDAP is not available here" },
	{ "ldapauth",	L_QUERY,		xl_ldap,	Q_LDAP, "LDAP is not available here" },
	{ "ldapdn",	L_QUERY | L_CACHE,	xl_ldap,	Q_LDAP, "LDAP is not available here" },
	{ "ldapm",	L_QUERY | L_CACHE,	xl_ldap,	Q_LDAP, "LDAP is not available here" },
	{ "lmdb",	0,			xl_world,	Q_NONE, "lmdb files cannot be read here" },
	{ "lsearch",	0,			xl_lsearch,	Q_NONE, NULL },
	{ "mysql",	L_QUERY | L_CACHE,	xl_servers,	Q_MYSQL, "no MySQL servers defined (mysql_servers option)" },
	{ "nis",	0,			xl_nis,	Q_NONE, "failed to get default NIS domain" },
	{ "nis0",	0,			xl_nis,	Q_NONE, "failed to get default NIS domain" },
	{ "nisplus",	L_QUERY | L_CACHE,	xl_world,	Q_NISPLUS, "NIS+ is not available here" },
	{ "nmh",	0,			xl_world,	Q_NONE, "nmh lookups are not available here" },
	{ "nwildlsearch", 0,			xl_wildlsearch, Q_NONE, NULL },
	{ "oracle",	L_QUERY | L_CACHE,	xl_world,	Q_NONE, "no ORACLE servers defined (oracle_servers option)" },
	{ "passwd",	L_QUERY,		xl_passwd,	Q_NONE, NULL },
	{ "pgsql",	L_QUERY | L_CACHE,	xl_servers,	Q_PGSQL, "no PostgreSQL servers defined (pgsql_servers option)" },
	{ "psl",	0,			xl_psl,		Q_NONE, NULL },
	{ "readsock",	L_QUERY,		xl_world,	Q_NONE, "readsock lookups are not available: use ${readsocket" },
	{ "redis",	L_QUERY,		xl_servers,	Q_REDIS, "no REDIS servers defined (redis_servers option)" },
	{ "regdom",	0,			xl_psl,		Q_NONE, NULL },
	{ "spf",	0,			xl_spf,	Q_NONE, "SPF is not available here" },
	{ "sqlite",	L_QUERY | L_FILE,	xl_world,	Q_SQLITE, "SQLite is not available here" },
	{ "testdb",	L_QUERY,		xl_testdb,	Q_NONE, NULL },
	{ "testdb2",	L_QUERY,		xl_testdb,	Q_NONE, NULL },
	{ "testdb_nq",	L_QUERY,		xl_testdb,	Q_NONE, NULL },
	{ "whoson",	L_QUERY,		xl_world,	Q_NONE, "whoson is not available here" },
	{ "wildlsearch", 0,			xl_wildlsearch, Q_NONE, NULL },
};
#define NTYPES	(sizeof(types) / sizeof(types[0]))

static int
compare_type(const void *key, const void *row)
{
	return (sv_cmp(*(const struct sv *)key, sv_cstr(((const struct xlookup_type *)row)->name)));
}

static const struct xlookup_type *
find_type(struct sv name)
{
	return (bsearch(&name, types, NTYPES, sizeof(types[0]), compare_type));
}

const char *
x_lookup_type_name(size_t i)
{
	return (i < NTYPES ? types[i].name : NULL);
}

const char *
x_lookup_missing(const char *type)
{
	const struct xlookup_type *t = find_type(sv_cstr(type));

	return (t == NULL || t->missing == NULL ? "this type is not available here" : t->missing);
}

const char *
x_lookup_name(const struct xlookup_type *t)
{
	return (t->name);
}

bool
x_lookup_is_query(const struct xlookup_type *t)
{
	return ((t->flags & L_QUERY) != 0);
}

static bool
is_punct(char c)
{
	return (c > 32 && c < 127 && !sv_isalnum(c));
}

/* "partial[N]-" or "partial[N](affix)"; false: malformed. */
static bool
parse_partial(struct sv *text, struct xlookup_spec *out)
{
	struct sv v = sv_sub(*text, 7, text->len);
	size_t i = 0;

	out->partial = 2;
	if (v.len > 0 && sv_isdigit(v.p[0]))
		for (out->partial = 0; i < v.len && sv_isdigit(v.p[i]); i++)
			out->partial = out->partial < 1000 ? out->partial * 10 + v.p[i] - '0' : out->partial;
	if (i < v.len && v.p[i] == '(') {
		size_t start = ++i;

		while (i < v.len && v.p[i] != ')' && is_punct(v.p[i]))
			i++;
		if (i >= v.len || v.p[i] != ')')
			return (false);
		out->affix = sv_sub(v, start, i);
	} else if (i < v.len && v.p[i] == '-')
		out->affix = SV_LIT("*.");
	else
		return (false);
	*text = sv_sub(v, i + 1, v.len);
	return (true);
}

bool
x_lookup_parse(struct arena *a, struct sv text, struct xlookup_spec *out, const char **why)
{
	struct sv rest = text, name;
	ptrdiff_t star, comma;

	memset(out, 0, sizeof(*out));
	out->name = arena_sv(a, text);
	out->partial = -1;
	rest = out->name;
	if (sv_starts(rest, "partial") && !parse_partial(&rest, out)) {
		*why = arena_fmt(a, "format error in lookup type \"" SV_FMT "\"", SV_ARG(text));
		return (false);
	}
	name = rest;
	star = sv_chr(rest, '*');
	if (star >= 0) {
		name = sv_sub(rest, 0, (size_t)star);
		out->starat = (size_t)star + 1 < rest.len && rest.p[star + 1] == '@';
		out->star = !out->starat;
	}
	comma = sv_chr(rest, ',');
	if (comma >= 0) {
		if ((size_t)comma < name.len)
			name = sv_sub(rest, 0, (size_t)comma);
		out->opts = sv_sub(rest, (size_t)comma + 1, rest.len);
	}
	out->type = find_type(name);
	*why = NULL;
	if (out->type == NULL)
		*why = arena_fmt(a, "unknown lookup type \"" SV_FMT "\"", SV_ARG(name));
	else if (x_lookup_is_query(out->type) && out->partial >= 0)
		*why = arena_fmt(a, "\"partial\" is not permitted for lookup type \"" SV_FMT "\"", SV_ARG(rest));
	else if (x_lookup_is_query(out->type) && (out->star || out->starat))
		*why = arena_fmt(a, "defaults using \"*\" or \"*@\" are not permitted for lookup type \"" SV_FMT "\"",
		    SV_ARG(rest));
	return (*why == NULL);
}

struct sv
x_lookup_option(struct sv opts, const char *name)
{
	struct sv piece;

	while (sv_next(&opts, ',', &piece)) {
		piece = sv_trim(piece);
		if (sv_starts(piece, name) && piece.len > strlen(name) && piece.p[strlen(name)] == '=')
			return (sv_sub(piece, strlen(name) + 1, piece.len));
	}
	return (SV_NULL);
}

/* --- single keys --- */

struct search {
	struct xlookup	 l;
	bool		*found;
	struct sv	*out;
};

enum { CACHE_READ = 1, CACHE_WRITE = 2 };

/* What cache= allows: nothing with "no", one of both with "no_rd" and "no_wr". */
static unsigned
cache_use(struct sv opts)
{
	struct sv how = x_lookup_option(opts, "cache");

	return (sv_eqs(how, "no") ? 0 : sv_eqs(how, "no_rd") ? CACHE_WRITE : sv_eqs(how, "no_wr") ? CACHE_READ :
	    CACHE_READ | CACHE_WRITE);
}

/* Under which name a result is kept: all of the lookup but cache=. */
static struct sv
kept_name(struct xev *e, const struct xlookup *l)
{
	struct sv opts = l->spec->opts, item;
	struct xb b;

	xb_init(&b, e->env->arena, l->file.len + l->key.len + 32);
	xb_adds(&b, l->type);
	while (sv_next(&opts, ',', &item))
		if (!sv_starts(item, "cache=")) {
			xb_addc(&b, ',');
			xb_add(&b, item);
		}
	xb_addc(&b, '\n');
	xb_add(&b, l->file);
	xb_addc(&b, '\n');
	xb_add(&b, l->key);
	return (xb_sv(&b));
}

static enum exim_result
one(struct xev *e, struct search *s, struct sv key)
{
	unsigned use = e->env->keeps_lookups ? cache_use(s->l.spec->opts) : 0;
	enum exim_result r;

	*s->found = false;
	s->l.key = key;
	if ((use & CACHE_READ) != 0 && x_cache_result(e, kept_name(e, &s->l), s->found, s->out))
		return (EXIM_OK);
	r = s->l.spec->type->find(e, &s->l, s->found, s->out);
	if ((use & CACHE_WRITE) != 0 && r == EXIM_OK)
		x_cache_result_set(e, kept_name(e, &s->l), *s->found && key.len > 0, *s->out);
	/* The file was opened, and may be missing; but nothing has an empty key. */
	if (key.len == 0)
		*s->found = false;
	return (r);
}

static void
set_parts(struct xev *e, const struct exim_nums **nums, struct sv wild, struct sv fixed)
{
	struct exim_nums *n = arena_zalloc(e->env->arena, sizeof(*n));

	n->v[1] = wild;
	n->v[2] = fixed;
	n->n = 3;
	*nums = n;
}

static struct sv
affixed(struct xev *e, struct sv affix, struct sv key)
{
	struct xb b;

	xb_init(&b, e->env->arena, affix.len + key.len + 1);
	xb_add(&b, affix);
	xb_add(&b, key);
	return (xb_sv(&b));
}

/* Components taken from the front one by one, the affix before what remains (manual 9.7). */
static enum exim_result
partial(struct xev *e, struct search *s, struct sv key, const struct exim_nums **nums)
{
	const struct xlookup_spec *spec = s->l.spec;
	struct sv affix = spec->affix, rest = key;
	enum exim_result r;
	int dots = 0;

	if (affix.len > 0 && ((r = one(e, s, affixed(e, affix, key))) != EXIM_OK || *s->found)) {
		if (r == EXIM_OK)
			set_parts(e, nums, sv_sub(key, 0, 0), key);
		return (r);
	}
	for (size_t i = 0; i < key.len; i++)
		dots += key.p[i] == '.';
	for (; dots >= spec->partial; dots--) {
		ptrdiff_t dot = sv_chr(rest, '.');
		struct sv try;

		if (dot < 0) {
			/* Nothing is left: the affix alone. */
			if (affix.len == 0)
				break;
			if (affix.len > 1 && affix.p[affix.len - 1] == '.')
				affix.len--;
			rest = sv_sub(key, key.len, key.len);
			try = affix;
		} else {
			rest = sv_sub(rest, (size_t)dot + 1, rest.len);
			try = affixed(e, affix, rest);
		}
		if (!x_work(e, X_WORK_STEP + try.len))
			return (x_fail(e, "the key has too many components for a partial lookup"));
		if ((r = one(e, s, try)) != EXIM_OK)
			return (r);
		if (*s->found) {
			size_t wild = key.len - rest.len;

			set_parts(e, nums, sv_sub(key, 0, wild > 0 ? wild - 1 : 0), rest);
			return (EXIM_OK);
		}
		if (dot < 0)
			break;
	}
	return (EXIM_OK);
}

static enum exim_result
defaults(struct xev *e, struct search *s, struct sv key, const struct exim_nums **nums)
{
	const struct xlookup_spec *spec = s->l.spec;
	ptrdiff_t at = sv_rchr(key, '@');
	enum exim_result r = EXIM_OK;

	if (spec->starat && at > 0) {
		r = one(e, s, affixed(e, SV_LIT("*"), sv_sub(key, (size_t)at, key.len)));
		if (r == EXIM_OK && *s->found)
			set_parts(e, nums, sv_sub(key, 0, (size_t)at), SV_NULL);
	}
	if (r == EXIM_OK && !*s->found && (spec->star || spec->starat)) {
		r = one(e, s, SV_LIT("*"));
		if (r == EXIM_OK && *s->found)
			set_parts(e, nums, key, SV_NULL);
	}
	return (r);
}

static const char no_reason[] = "NULL";

/*
 * Exim tells the log by itself of a file that a peer named, and has no reason left for what failed by it: an empty text
 * where it has looked something up before in this router or condition.
 */
static enum exim_result
untrusted(struct xev *e, struct sv file)
{
	x_log(e, EXIM_LOG_MAIN | EXIM_LOG_PANIC, arena_fmt(e->env->arena, "Tainted filename for search: '" SV_FMT "'", SV_ARG(file)));
	return (x_fail(e, "%s", e->env->searched ? "" : no_reason));
}

static enum exim_result
single(struct xev *e, const struct xlookup_spec *spec, struct sv file, struct sv key, bool *found, struct sv *out,
    const struct exim_nums **nums)
{
	struct search s = { .l = { .spec = spec, .type = spec->type->name, .file = file }, .found = found, .out = out };
	enum exim_result r;

	if (file.tainted && !x_path_ok(e, file, spec->type->name))
		return (untrusted(e, file));
	s.l.path = x_cstr(e, file);
	r = one(e, &s, key);
	if (r == EXIM_OK && *found && spec->partial >= 0)
		set_parts(e, nums, sv_sub(key, 0, 0), key);
	if (r == EXIM_OK && !*found && spec->partial >= 0)
		r = partial(e, &s, key, nums);
	if (r == EXIM_OK && !*found)
		r = defaults(e, &s, key, nums);
	if (r == EXIM_OK && *found && sv_eqs(x_lookup_option(spec->opts, "ret"), "key"))
		*out = arena_sv(e->env->arena, key);
	return (r);
}

/* The bit of what <q> quoted; the two of LDAP stand for each other. */
static unsigned char
quoted_by(enum quote q)
{
	return ((unsigned char)(1u << (q == Q_LDAP_DN ? Q_LDAP : q)));
}

/* As in Exim 4.96 a query with bytes of others that were not quoted for it is done, and the log says so. */
static void
warn_of_query(struct xev *e, const struct xlookup_type *t, struct sv query)
{
	const struct exim_place *at = &e->env->at;
	struct arena *a = e->env->arena;

	if (t->quote == Q_NONE || query.tainted == 0 || query.tainted == quoted_by(t->quote) ||
	    (e->env->g != NULL && e->env->g->taint_off))
		return;
	x_log(e, EXIM_LOG_MAIN | EXIM_LOG_PANIC, arena_fmt(a, "tainted search query is not properly quoted%s: " SV_FMT,
	    at->kind == NULL ? "" : arena_fmt(a, " (%s %s, %s %u)", at->kind, at->name, at->file, at->line), SV_ARG(query)));
}

static enum exim_result
any(struct xev *e, const struct xlookup_spec *spec, struct sv file, struct sv key, bool *found, struct sv *out,
    const struct exim_nums **nums)
{
	struct xlookup l = { .spec = spec, .type = spec->type->name, .key = key };
	enum exim_result r;
	struct xb ck;

	*found = false;
	*out = SV_NULL;
	*nums = NULL;
	if (x_lookup_is_query(spec->type)) {
		while (key.len > 0 && sv_isspace(key.p[0]))
			key = sv_sub(key, 1, key.len);
		l.key = key;
	} else {
		r = single(e, spec, file, key, found, out, nums);
		out->tainted = false;
		return (r);
	}
	if ((spec->type->flags & L_FILE) != 0) {
		l.file = x_lookup_option(spec->opts, "file");
		if (l.file.p == NULL && key.len > 0 && key.p[0] == '/') {
			/* The old form: file name, blank, query. */
			ptrdiff_t end = sv_chr(key, ' ');

			l.file = sv_sub(key, 0, end < 0 ? key.len : (size_t)end);
			l.key = sv_trim(sv_sub(key, l.file.len, key.len));
		}
		if (l.file.p == NULL && e->env->g != NULL)
			l.file = e->env->g->sqlite_dbfile;
		if (l.file.len == 0 || l.file.p[0] != '/')
			return (x_fail(e, "absolute file name expected for \"%s\" lookup", l.type));
		/* In the old form the whole query is, when anything in it is: the option file= keeps them apart. */
		if (l.file.tainted && !x_path_ok(e, l.file, l.type))
			return (untrusted(e, l.file));
	}
	xb_init(&ck, e->env->arena, spec->name.len + key.len + 1);
	xb_add(&ck, spec->name);
	xb_addc(&ck, '\n');
	xb_add(&ck, key);
	if ((spec->type->flags & L_CACHE) != 0 && (cache_use(spec->opts) & CACHE_READ) != 0 &&
	    x_cache_result(e, xb_sv(&ck), found, out))
		return (EXIM_OK);
	if (x_lookup_option(spec->opts, "file").p == NULL)
		warn_of_query(e, spec->type, l.key);
	r = spec->type->find(e, &l, found, out);
	if (r == EXIM_OK && *found && sv_eqs(x_lookup_option(spec->opts, "ret"), "key"))
		*out = arena_sv(e->env->arena, key);
	out->tainted = false;
	if (r == EXIM_OK && (spec->type->flags & L_CACHE) != 0 && (cache_use(spec->opts) & CACHE_WRITE) != 0)
		x_cache_result_set(e, xb_sv(&ck), *found, *out);
	return (r);
}

enum exim_result
x_lookup(struct xev *e, const struct xlookup_spec *spec, struct sv file, struct sv key, bool *found, struct sv *out,
    const struct exim_nums **nums)
{
	enum exim_result r = any(e, spec, file, key, found, out, nums);

	e->env->lookup_error = r == EXIM_OK || r == EXIM_FORCED ? SV_NULL : sv_cstr(x_message(e));
	if (r == EXIM_OK)
		e->env->searched = true;
	if (sv_eqs(e->env->lookup_error, no_reason))
		e->env->lookup_error = SV_NULL;
	return (r);
}

/* --- quoting (manual 9.9, 9.16, 9.22) --- */

static void
quote_sql(struct xb *b, struct sv v, bool mysql)
{
	static const char from[] = "\n\t\r\b", to[] = "ntrb";

	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];
		const char *at = c == '\0' ? NULL : strchr(from, c);

		if (at != NULL) {
			xb_addc(b, '\\');
			c = to[at - from];
		} else if (c == '\'' && !mysql)
			xb_addc(b, '\'');
		else if (c == '\'' || c == '"' || c == '\\')
			xb_addc(b, '\\');
		xb_addc(b, c);
	}
}

static void
url(struct xb *b, char c)
{
	if (sv_isalnum(c) || (c != '\0' && strchr("!$'-._()*+", c) != NULL))
		xb_addc(b, c);
	else
		xb_fmt(b, "%%%02X", (unsigned char)c);
}

static void
quote_ldap(struct xb *b, struct sv v, bool dn)
{
	size_t lead = 0, tail = v.len;

	while (dn && lead < v.len && (v.p[lead] == ' ' || v.p[lead] == '#'))
		lead++;
	while (dn && tail > lead && v.p[tail - 1] == ' ')
		tail--;
	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];

		if (!dn && c != '\0' && strchr("*()\\", c) != NULL) {
			xb_fmt(b, "%%5C%02X", (unsigned char)c);
			continue;
		}
		if (dn && (i < lead || i >= tail || (c != '\0' && strchr(",+\"\\<>;", c) != NULL)))
			xb_adds(b, "%5C");
		url(b, c);
	}
}

enum exim_result
x_quote_lookup(struct xev *e, struct sv type, struct sv v, struct sv *out)
{
	ptrdiff_t us = sv_chr(type, '_');
	struct sv more = us < 0 ? SV_NULL : sv_sub(type, (size_t)us + 1, type.len);
	bool dn = sv_eqs(type, "ldap_dn");
	const struct xlookup_type *t = find_type(us < 0 ? type : sv_sub(type, 0, (size_t)us));
	enum quote q;
	struct xb b;

	if (t == NULL)
		return (x_fail(e, "unknown lookup type \"" SV_FMT "\"", SV_ARG(us < 0 ? type : sv_sub(type, 0, (size_t)us))));
	if (us >= 0 && !dn)
		return (x_fail(e, "\"" SV_FMT "\" unrecognized after \"${quote_%s\"", SV_ARG(more), t->name));
	*out = v;
	q = dn ? Q_LDAP_DN : t->quote;
	if (q == Q_NONE)
		return (EXIM_OK);
	xb_init(&b, e->env->arena, v.len + 32);
	b.tainted = v.tainted ? quoted_by(q) : 0;
	if (q == Q_MYSQL || q == Q_PGSQL)
		quote_sql(&b, v, q == Q_MYSQL);
	else if (q == Q_LDAP || q == Q_LDAP_DN)
		quote_ldap(&b, v, dn);
	else
		for (size_t i = 0; i < v.len; i++) {
			char c = v.p[i];

			if ((q == Q_SQLITE && c == '\'') || (q == Q_NISPLUS && c == '"'))
				xb_addc(&b, c);
			else if (q == Q_REDIS && (sv_isspace(c) || c == '\\'))
				xb_addc(&b, '\\');
			xb_addc(&b, c);
		}
	*out = xb_sv(&b);
	return (EXIM_OK);
}
