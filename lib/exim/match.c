/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lists (manual 6.21 and chapter 10): cutting them, compiling them, walking them with
 * negation, named lists and files.  What single items match stands in match_item.c,
 * match_host.c and match_addr.c.
 */
#include "exim/acl.h"
#include "exim/conf.h"
#include "exim/logsel.h"
#include "exim/match_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"

#define LIST_FILE_MAX	(64 * 1024 * 1024)

#define LIST_WORK	4	/* what a byte of a list that is made while it is looked at counts */

/* --- cutting --- */

static bool
is_space(char c)
{
	return (c == ' ' || (c >= '\t' && c <= '\r'));
}

static void
skip_space(struct sv *v)
{
	while (v->len > 0 && is_space(v->p[0])) {
		v->p++;
		v->len--;
	}
}

/* An item with doubled separators in it, which mean one. */
static struct sv
undouble(struct arena *a, struct sv v, char sep)
{
	char *p = arena_alloc(a, v.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < v.len; i++) {
		p[n++] = v.p[i];
		if (v.p[i] == sep && i + 1 < v.len)
			i++;
	}
	p[n] = '\0';
	return ((struct sv){ p, n, v.tainted });
}

bool
exim_list_next(struct sv *list, int *sep, struct arena *a, struct sv *item)
{
	bool special, doubled = false;
	struct sv v = *list;
	size_t i;
	char c;

	if (v.p == NULL)
		return (false);
	if (*sep == 0) {
		skip_space(&v);
		*sep = ':';
		if (v.len > 1 && v.p[0] == '<' && !sv_isalnum(v.p[1]) && v.p[1] != ' ' && (unsigned char)v.p[1] <= 127) {
			*sep = (unsigned char)v.p[1];
			v = sv_sub(v, 2, v.len);
		} else if (sv_eqs(v, "<"))
			v.len = 0;
	}
	c = (char)*sep;
	special = (unsigned char)c < 32 || c == 127;
	while (v.len > 0 && is_space(v.p[0]) && (v.p[0] != c || !special)) {
		v.p++;
		v.len--;
	}
	if (v.len == 0) {
		*list = v;
		return (false);
	}
	for (i = 0; i < v.len; i++) {
		if (v.p[i] != c)
			continue;
		if (special || i + 1 >= v.len || v.p[i + 1] != c)
			break;
		doubled = true;
		i++;
	}
	if (i > v.len)
		i = v.len;
	*item = sv_sub(v, 0, i);
	*list = sv_sub(v, i + 1, v.len);
	while (item->len > 0 && is_space(item->p[item->len - 1]))
		item->len--;
	if (doubled)
		*item = undouble(a, *item, c);
	return (true);
}

/* --- compiling --- */

struct exim_list *
xm_compile_raw(struct arena *a, enum exim_list_kind kind, struct sv text)
{
	struct exim_list *l = arena_zalloc(a, sizeof(*l));
	struct sv rest, item;
	size_t cap = 0;
	int sep = 0;

	l->kind = kind;
	l->text = arena_sv(a, text);
	rest = l->text;
	while (exim_list_next(&rest, &sep, a, &item)) {
		if (l->n == cap) {
			struct mitem *v = arena_alloc(a, (cap == 0 ? 4 : cap * 2) * sizeof(*v));

			if (l->n > 0)
				memcpy(v, l->v, l->n * sizeof(*v));
			cap = cap == 0 ? 4 : cap * 2;
			l->v = v;
		}
		m_item_compile(a, kind, item, &l->v[l->n++]);
	}
	return (l);
}

struct exim_list *
xm_compile_item(struct arena *a, enum exim_list_kind kind, struct sv text)
{
	struct exim_list *l = arena_zalloc(a, sizeof(*l));

	l->kind = kind;
	l->text = text;
	l->v = arena_zalloc(a, sizeof(*l->v));
	l->n = 1;
	m_item_compile(a, kind, text, &l->v[0]);
	/* A key is no list: what would be a name or a file in one is text here. */
	if (l->v[0].type == M_NAMED || l->v[0].type == M_FILE || l->v[0].type == M_FLAG)
		l->v[0].type = M_LITERAL;
	return (l);
}

/* What is wrong with <it>, and what to write. */
static const char *
item_mistake(struct arena *a, const struct mitem *it)
{
	if (!sv_starts(it->arg, "malformed"))
		return (it->arg.p);
	return (arena_fmt(a, SV_FMT " \"" SV_FMT "\", at which the list ends: %s", SV_ARG(it->arg), SV_ARG(it->text),
	    sv_chr(it->text, ';') >= 0 ? "begin the list with \"<;\" where semicolons separate" :
	    "write all four numbers, as in 10.0.0.0/8"));
}

static const char *
first_mistake(struct arena *a, const struct exim_list *l)
{
	char why[256];

	for (size_t i = 0; i < l->n; i++) {
		const struct mitem *it = &l->v[i];

		if (it->type == M_ADDRESS)
			it = it->domain;
		if (it->type == M_ERROR)
			return (item_mistake(a, it));
		if (it->type == M_REGEX) {
			struct xregex *re = x_regex_new(it->text, XRE_CASELESS, why);

			if (re == NULL)
				return ("an item is no valid regular expression: protect it with \\N...\\N");
			x_regex_free(re);
		}
	}
	return (NULL);
}

int
exim_list_compile(struct arena *a, enum exim_list_kind kind, struct sv text, const char *file, unsigned line,
    struct exim_list **out, struct err *err)
{
	const char *mistake;
	struct exim_str *s = xp_compile(a, text, file, line, true, &mistake);
	struct exim_list *l;

	if (s->literal) {
		l = xm_compile_raw(a, kind, s->value);
		mistake = first_mistake(a, l);
	} else {
		l = arena_zalloc(a, sizeof(*l));
		l->kind = kind;
		l->str = s;
	}
	l->text = s->text;
	l->file = s->file;
	l->line = line;
	*out = l;
	if (mistake == NULL)
		return (0);
	if (file == NULL)
		return (err_set(err, ERR_CONFIG, "4.3.5", "%s", mistake));
	return (err_conf(err, file, line, "%s", mistake));
}

struct sv
exim_list_text(const struct exim_list *l)
{
	return (l == NULL ? SV_NULL : l->text);
}

bool
exim_list_refers(const struct exim_list *l, size_t *pos, struct sv *name)
{
	while (l != NULL && *pos < l->n) {
		const struct mitem *it = &l->v[(*pos)++];

		if (it->type == M_NAMED) {
			*name = it->arg;
			return (true);
		}
	}
	return (false);
}

/* --- named lists --- */

struct exim_names {
	struct arena	*a;
	struct exim_named **v;
	size_t		 n, cap;
};

struct exim_names *
exim_names_new(struct arena *a)
{
	struct exim_names *ns = arena_zalloc(a, sizeof(*ns));

	ns->a = a;
	return (ns);
}

const struct exim_named *
exim_names_get(const struct exim_names *ns, enum exim_list_kind kind, struct sv name)
{
	for (size_t i = 0; ns != NULL && i < ns->n; i++)
		if (ns->v[i]->kind == kind && sv_eq(ns->v[i]->name, name))
			return (ns->v[i]);
	return (NULL);
}

const struct exim_named *
exim_names_at(const struct exim_names *ns, size_t i)
{
	return (ns != NULL && i < ns->n ? ns->v[i] : NULL);
}

int
exim_names_add(struct exim_names *ns, const struct exim_named *n, struct err *err)
{
	struct exim_named *c;

	if (exim_names_get(ns, n->kind, n->name) != NULL)
		return (err_conf(err, n->file == NULL ? "" : n->file, n->line, "the named list \"" SV_FMT "\" is defined twice",
		    SV_ARG(n->name)));
	if (ns->n == ns->cap) {
		struct exim_named **v = arena_alloc(ns->a, (ns->cap == 0 ? 16 : ns->cap * 2) * sizeof(struct exim_named *));

		if (ns->n > 0)
			memcpy(v, ns->v, ns->n * sizeof(struct exim_named *));
		ns->cap = ns->cap == 0 ? 16 : ns->cap * 2;
		ns->v = v;
	}
	c = arena_dup(ns->a, n, sizeof(*n));
	c->name = arena_sv(ns->a, n->name);
	c->text = arena_sv(ns->a, n->text);
	c->file = n->file == NULL ? NULL : arena_str(ns->a, n->file);
	c->number = ns->n;
	ns->v[ns->n++] = c;
	return (exim_list_compile(ns->a, n->kind, n->text, n->file, n->line, &c->list, err));
}

/* --- walking --- */

enum mresult
m_die(struct mscan *s, const char *fmt, ...)
{
	char buf[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	if (s->e->env->world->die != NULL)
		s->e->env->world->die(s->e->env->world->arg, buf);
	(void)x_fail(s->e, "%s", buf);
	if (s->e->err != NULL)
		(void)err_set(s->e->err, ERR_CONFIG, EXIM_STATUS_DIE, "%s", buf);
	return (MR_FAIL);
}

static const char *
kind_name(enum exim_list_kind kind)
{
	static const char *const t[] = { "domain ", "host ", "address ", "local part ", "" };

	return (t[kind]);
}

/* What named host lists answered about this session's client: Exim asks each of them once. */
struct exim_host_answers {
	struct net_addr	 addr;		/* of the client then */
	size_t		 n;
	struct {
		enum { UNASKED, ANSWER_NO, ANSWER_YES } answer;
		struct sv	 value;
	} v[];
};

/* The place of <n>'s answer; NULL where none is kept. */
static struct exim_host_answers *
host_answers(const struct mscan *s)
{
	const struct exim_names *ns = s->e->env->names;
	struct exim_session *ses = s->e->env->session;
	struct exim_host_answers *h;

	if (s->kind != EXIM_LIST_HOST || s->host == NULL || !s->host->session || s->host->ip_only || ses == NULL || ses->arena == NULL)
		return (NULL);
	h = ses->host_answers;
	if (h == NULL || h->n < ns->n || !net_addr_eq(&h->addr, &s->host->addr)) {
		h = arena_zalloc(ses->arena, sizeof(*h) + ns->n * sizeof(h->v[0]));
		h->addr = s->host->addr;
		h->n = ns->n;
		ses->host_answers = h;
	}
	return (h);
}

/* All of the list, or what it answered before.  A list that expands, or names one that does, is asked again. */
static enum mresult
named_list(struct mscan *s, const struct exim_named *n)
{
	struct exim_host_answers *h = host_answers(s);
	bool outer = s->varies;
	enum mresult r;

	if (h != NULL && h->v[n->number].answer != UNASKED) {
		s->value = h->v[n->number].value;
		return (h->v[n->number].answer == ANSWER_YES ? MR_YES : MR_NO);
	}
	s->varies = false;
	r = m_list(s, n->list);
	if (h != NULL && (!s->varies || n->cache) && (r == MR_YES || r == MR_NO)) {
		h->v[n->number].answer = r == MR_YES ? ANSWER_YES : ANSWER_NO;
		h->v[n->number].value = r == MR_YES ? arena_sv(s->e->env->session->arena, s->value) : SV_NULL;
	}
	s->varies = outer || (s->varies && !n->cache);
	return (r);
}

static enum mresult
named(struct mscan *s, const struct mitem *it)
{
	const struct exim_named *n = exim_names_get(s->e->env->names, s->kind, it->arg);
	bool unknown[4] = { s->include_unknown, s->ignore_unknown, s->include_defer, s->ignore_defer };
	struct sv subject = s->subject;
	bool caseless = s->caseless;
	enum mresult r;

	if (n == NULL) {
		(void)x_defer(s->e, "unknown named %slist \"+" SV_FMT "\"", kind_name(s->kind), SV_ARG(it->arg));
		return (MR_DEFER);
	}
	if (s->depth >= MATCH_DEPTH)
		return (m_die(s, "named lists refer to each other more than %d deep: \"+" SV_FMT "\"", MATCH_DEPTH,
		    SV_ARG(it->arg)));
	s->depth++;
	r = named_list(s, n);
	s->depth--;
	s->include_unknown = unknown[0];
	s->ignore_unknown = unknown[1];
	s->include_defer = unknown[2];
	s->ignore_defer = unknown[3];
	s->caseless = caseless;
	s->subject = subject;
	return (r);
}

void
m_log(struct mscan *s, const char *fmt, ...)
{
	char buf[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	x_log(s->e, EXIM_LOG_MAIN, buf);
}

/* The text behind MR_DEFER or MR_UNKNOWN. */
static struct sv
reason(struct mscan *s, enum mresult r)
{
	if (r == MR_DEFER)
		return (sv_cstr(s->e->err == NULL ? "" : s->e->err->text));
	return (s->unknown);
}

/* What an item that could not be decided means: true ends the list with *<r>. */
static bool
undecided(struct mscan *s, const struct mitem *it, enum mresult *r)
{
	bool ignore = *r == MR_DEFER ? s->ignore_defer : s->ignore_unknown;
	bool include = *r == MR_DEFER ? s->include_defer : s->include_unknown;

	if (ignore)
		return (false);
	if (include) {
		m_log(s, SV_FMT ": accepted by +include_%s", SV_ARG(reason(s, *r)), *r == MR_DEFER ? "defer" : "unknown");
		*r = MR_YES;
	} else if (*r == MR_UNKNOWN) {
		if (s->e->env->conf != NULL && EXIM_LOGSEL_ON(s->e->env->conf->log_selector, unknown_in_list))
			m_log(s, "list matching forced to fail: " SV_FMT, SV_ARG(reason(s, *r)));
		*r = MR_END;
	} else if (s->e->err != NULL && s->e->err->cls == ERR_NONE)
		(void)x_defer(s->e, "DNS lookup of \"" SV_FMT "\" deferred", SV_ARG(s->subject));
	return (true);
}

struct file_items {
	struct mitem	*v;
	size_t		 n;
	/* Of a long list of domains: the first line of each plain name in lower case, and the places of all other lines. */
	struct hash	*plain;
	size_t		*others;
	size_t		 nothers;
};

#define INDEX_LEAST	20	/* lines that are worth an index */

static void
items_free(void *data)
{
	struct file_items *f = data;

	hash_free(&f->plain, NULL);
}

static void
index_items(struct arena *a, struct file_items *f)
{
	struct hash *h = hash_new();

	f->others = arena_alloc(a, f->n * sizeof(*f->others));
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].type != M_LITERAL)
			f->others[f->nothers++] = i;
	for (size_t i = f->n; i-- > 0;)
		if (f->v[i].type == M_LITERAL)
			(void)hash_set(h, arena_lower(a, f->v[i].arg), &f->v[i]);
	f->plain = h;
}

/* The next line that may match: of an index, those before <plain> that are not plain names, then that itself. */
static const struct mitem *
candidate(const struct file_items *f, const struct mitem **plain, size_t *k)
{
	const struct mitem *it = *plain;

	if (f->plain == NULL)
		return (*k < f->n ? &f->v[(*k)++] : NULL);
	if (*k < f->nothers && (it == NULL || &f->v[f->others[*k]] < it))
		return (&f->v[f->others[(*k)++]]);
	*plain = NULL;
	*k = f->nothers;
	return (it);
}

/* A comment: anywhere in domain and host lists, behind a blank in the others (manual 10.3). */
static struct sv
strip_comment(enum exim_list_kind kind, struct sv line)
{
	bool anywhere = kind == EXIM_LIST_DOMAIN || kind == EXIM_LIST_HOST;

	for (size_t i = 0; i < line.len; i++)
		if (line.p[i] == '#' && (anywhere || i == 0 || is_space(line.p[i - 1])))
			return (sv_sub(line, 0, i));
	return (line);
}

static void *
load_items(struct arena *a, struct sv text, enum exim_list_kind kind)
{
	struct file_items *f = arena_zalloc(a, sizeof(*f));
	VEC(struct mitem) v = VEC_INIT;
	struct sv line;

	while (sv_next(&text, '\n', &line)) {
		struct mitem it;

		line = sv_trim(strip_comment(kind, line));
		if (line.len == 0)
			continue;
		m_item_compile(a, kind, line, &it);
		/* No files in files; a flag means nothing there. */
		if (it.type == M_FILE || it.type == M_FLAG)
			it.type = M_LITERAL;
		vec_push(&v, it);
	}
	f->v = arena_dup(a, v.p, v.len * sizeof(*v.p));
	f->n = v.len;
	vec_free(&v);
	if (kind == EXIM_LIST_DOMAIN && f->n >= INDEX_LEAST)
		index_items(a, f);
	return (f);
}

static void *load_domains(struct arena *a, struct sv t) { return (load_items(a, t, EXIM_LIST_DOMAIN)); }
static void *load_hosts(struct arena *a, struct sv t) { return (load_items(a, t, EXIM_LIST_HOST)); }
static void *load_addresses(struct arena *a, struct sv t) { return (load_items(a, t, EXIM_LIST_ADDRESS)); }
static void *load_locals(struct arena *a, struct sv t) { return (load_items(a, t, EXIM_LIST_LOCAL)); }

static struct xfile *
open_items(struct mscan *s, const struct mitem *it, bool *empty)
{
	static void *(*const load[])(struct arena *, struct sv) = { load_domains, load_hosts, load_addresses, load_locals,
	    load_locals };
	static const char *const kind[] = { "list-d", "list-h", "list-a", "list-l", "list-s" };
	const char *path = x_cstr(s->e, it->arg);
	struct xfile *x;
	bool irregular;

	if (it->arg.tainted && !x_path_ok(s->e, it->arg, "file of a list"))
		return (NULL);
	x = x_file_get(s->e, kind[s->kind], path, load[s->kind], items_free, &irregular);
	/* What can be opened but holds no lines matches nothing. */
	if (x == NULL && irregular) {
		*empty = true;
		return (NULL);
	}
	if (x == NULL)
		(void)m_die(s, "failed to open %s when checking \"" SV_FMT "\": %s", path, SV_ARG(it->text), x_open_error(s->e));
	return (x);
}

/* The values may be text of what is given back. */
static void
keep_values(struct mscan *s)
{
	if (s->value.p != NULL)
		s->value = arena_sv(s->e->env->arena, s->value);
	if (s->refused.p != NULL)
		s->refused = arena_sv(s->e->env->arena, s->refused);
}

/* MR_YES: a line matched, *<sign> is what that means.  Else *<sign> is that of the last line, which counts at the list's end. */
static enum mresult
file(struct mscan *s, const struct mitem *it, bool *sign)
{
	bool empty = false;
	struct xfile *x = open_items(s, it, &empty);
	const struct mitem *line, *plain = NULL;
	enum mresult r = MR_NO;
	struct file_items all;
	size_t k = 0;

	if (x == NULL)
		return (empty ? MR_NO : MR_FAIL);
	all = *(struct file_items *)x->data;
	if (!s->caseless)
		all.plain = NULL;
	if (all.plain != NULL)
		plain = hash_get(all.plain, arena_lower(s->e->env->arena, s->subject));
	if (all.n > 0)
		*sign = all.v[all.n - 1].negate == it->negate;
	while (r == MR_NO && (line = candidate(&all, &plain, &k)) != NULL) {
		bool last = *sign;

		*sign = line->negate == it->negate;
		r = line->type == M_NAMED ? named(s, line) : m_item(s, line);
		if ((r == MR_DEFER || r == MR_UNKNOWN) && !undecided(s, line, &r))
			r = MR_NO;
		if (r == MR_NO)
			*sign = last;
	}
	if (r == MR_YES || s->refused.p != NULL)
		keep_values(s);
	x_file_put(s->e, x);
	return (r);
}

static void
flag(struct mscan *s, int which)
{
	switch (which) {
	case MF_CASEFUL:
		s->caseless = false;
		s->subject = s->original;
		break;
	case MF_INCLUDE_UNKNOWN:
		s->include_unknown = true;
		s->ignore_unknown = false;
		break;
	case MF_IGNORE_UNKNOWN:
		s->ignore_unknown = true;
		s->include_unknown = false;
		break;
	case MF_INCLUDE_DEFER:
		s->include_defer = true;
		s->ignore_defer = false;
		break;
	default:
		s->ignore_defer = true;
		s->include_defer = false;
		break;
	}
}

/* The text of <l>.  In a list of domains $domain is the one that is looked for where no address is at hand. */
static enum exim_result
list_text(struct mscan *s, const struct exim_list *l, struct sv *text)
{
	struct exim_env *env = s->e->env;
	struct exim_address *addr = env->addr, none;
	struct sv domain = SV_NULL;
	enum exim_result res;

	if (s->kind != EXIM_LIST_DOMAIN || (addr != NULL && addr->domain.p != NULL))
		return (x_str(s->e, l->str, text));
	if (addr == NULL) {
		memset(&none, 0, sizeof(none));
		env->addr = &none;
	} else
		domain = addr->domain;
	env->addr->domain = s->subject;
	res = x_str(s->e, l->str, text);
	env->addr->domain = domain;
	env->addr = addr;
	return (res);
}

static enum mresult
dynamic(struct mscan *s, const struct exim_list *l)
{
	struct xcached *c;
	enum mresult r;
	struct sv text;
	const char *why;
	enum exim_result res = list_text(s, l, &text);

	s->varies = true;
	switch (res) {
	case EXIM_OK:
		break;
	case EXIM_FORCED:
		return (MR_NO);
	default:
		why = x_message(s->e);
		/* A single item (exim_single_list) has a separator in front that nobody wrote. */
		text = sv_starts(l->text, "<\n ") ? sv_sub(l->text, 3, l->text.len) : l->text;
		if (s->e->env->acl_run == NULL)
			(void)x_defer(s->e, "failed to expand \"" SV_FMT "\" while checking a list: %s", SV_ARG(text), why);
		else {
			/* ACLs tell it by itself; the statement's own text is what a lookup said. */
			m_log(s, "failed to expand \"" SV_FMT "\" while checking a list: %s", SV_ARG(text), why);
			if (res != EXIM_DEFER)
				(void)x_defer(s->e, "%s", "");
		}
		return (MR_DEFER);
	}
	if (!x_work(s->e, LIST_WORK * text.len)) {
		(void)x_defer(s->e, "the expansion is too much work");
		return (MR_DEFER);
	}
	c = x_cache_list(s->e, l->kind, text);
	r = m_list(s, c->list);
	if (r == MR_YES || s->refused.p != NULL)
		keep_values(s);
	x_cache_put(c);
	return (r);
}

enum mresult
m_list(struct mscan *s, const struct exim_list *l)
{
	bool sign = true;

	if (l->str != NULL)
		return (dynamic(s, l));
	for (size_t i = 0; i < l->n; i++) {
		const struct mitem *it = &l->v[i];
		enum mresult r;

		if (it->type == M_FLAG) {
			flag(s, it->num);
			continue;
		}
		sign = !it->negate;
		if (it->type == M_NAMED)
			r = named(s, it);
		else
			r = it->type == M_FILE ? file(s, it, &sign) : m_item(s, it);
		if (r == MR_NO)
			continue;
		s->hit = i;
		if (r == MR_YES && !sign)
			s->refused = s->value;
		if (r == MR_YES)
			return (sign ? MR_YES : MR_NO);
		if (r == MR_FAIL || r == MR_END || undecided(s, it, &r))
			return (r == MR_END ? MR_NO : r);
	}
	/* A list that ends in a negated item matches everything else. */
	s->value = SV_NULL;
	s->hit = l->n;
	return (sign ? MR_NO : MR_YES);
}

/* --- the public entries --- */

static enum exim_result
finish(struct mscan *s, const struct exim_list *l, bool *yes, struct sv *data)
{
	enum mresult r;

	*yes = false;
	if (data != NULL)
		*data = SV_NULL;
	err_clear(s->e->err);
	if (l == NULL)
		return (EXIM_OK);
	x_begin(s->e->env);
	r = m_list(s, l);
	*yes = r == MR_YES;
	/* Also what an item with "!" matched by. */
	if (data != NULL && (r == MR_YES || r == MR_NO))
		*data = r == MR_YES ? s->value : s->refused;
	return (r == MR_FAIL ? EXIM_FAIL : r == MR_DEFER ? EXIM_DEFER : EXIM_OK);
}

enum exim_result
exim_match_domain(const struct exim_list *l, struct exim_env *env, struct sv domain, bool *yes, struct sv *data, struct err *err)
{
	struct xev e = { .env = env, .err = err };
	struct mscan s = { .e = &e, .kind = EXIM_LIST_DOMAIN, .caseless = true, .nums = true };

	s.original = domain;
	s.subject = arena_lower(env->arena, domain);
	return (finish(&s, l, yes, data));
}

enum exim_result
exim_match_domain_rank(const struct exim_list *l, struct exim_env *env, struct sv domain, size_t *rank, struct err *err)
{
	struct xev e = { .env = env, .err = err };
	struct mscan s = { .e = &e, .kind = EXIM_LIST_DOMAIN, .caseless = true, .nums = true };
	enum exim_result r;
	bool yes;

	s.original = domain;
	s.subject = arena_lower(env->arena, domain);
	r = finish(&s, l, &yes, NULL);
	*rank = r == EXIM_OK && yes ? s.hit : SIZE_MAX;
	return (r);
}

enum exim_result
exim_match_local(const struct exim_list *l, struct exim_env *env, struct sv local, bool caseful, bool *yes, struct sv *data,
    struct err *err)
{
	struct xev e = { .env = env, .err = err };
	struct mscan s = { .e = &e, .kind = EXIM_LIST_LOCAL, .caseless = !caseful, .nums = true };

	s.original = local;
	s.subject = caseful ? local : arena_lower(env->arena, local);
	return (finish(&s, l, yes, data));
}

enum exim_result
exim_match_address(const struct exim_list *l, struct exim_env *env, struct sv address, bool caseful, bool *yes, struct sv *data,
    struct err *err)
{
	struct xev e = { .env = env, .err = err };
	struct mscan s = { .e = &e, .kind = EXIM_LIST_ADDRESS, .caseless = !caseful };
	ptrdiff_t at = sv_rchr(address, '@');

	s.subject = arena_lower(env->arena, address);
	s.original = address;
	/* The domain is lower case in any case. */
	if (at >= 0 && s.subject.p != address.p) {
		struct xb b;

		xb_init(&b, env->arena, address.len + 1);
		xb_add(&b, sv_sub(address, 0, (size_t)at));
		xb_add(&b, sv_sub(s.subject, (size_t)at, s.subject.len));
		s.original = xb_sv(&b);
	}
	if (caseful)
		s.subject = s.original;
	return (finish(&s, l, yes, data));
}

enum exim_result
exim_match_string(const struct exim_list *l, struct exim_env *env, struct sv text, bool caseful, bool *yes, struct err *err)
{
	struct xev e = { .env = env, .err = err };
	struct mscan s = { .e = &e, .kind = EXIM_LIST_STRING, .caseless = !caseful };

	s.subject = s.original = text;
	return (finish(&s, l, yes, NULL));
}

enum exim_result
exim_match_rewrite(const struct exim_list *l, struct exim_env *env, struct sv subject, bool *yes, struct err *err)
{
	struct xev e = { .env = env, .err = err };
	struct mscan s = { .e = &e, .kind = l->kind, .caseless = l->kind == EXIM_LIST_STRING, .nums = true };
	ptrdiff_t at = sv_rchr(subject, '@');

	if (l->kind == EXIM_LIST_ADDRESS && at >= 0) {
		struct sv low = arena_lower(env->arena, sv_sub(subject, (size_t)at, subject.len));
		struct xb b;

		xb_init(&b, env->arena, subject.len + 1);
		xb_add(&b, sv_sub(subject, 0, (size_t)at));
		xb_add(&b, low);
		subject = xb_sv(&b);
	}
	s.subject = s.original = subject;
	return (finish(&s, l, yes, NULL));
}

enum exim_result
exim_match_host(const struct exim_list *l, struct exim_env *env, const struct exim_host *h, bool *yes, struct sv *data,
    struct err *err)
{
	struct xev e = { .env = env, .err = err };
	struct mscan s = { .e = &e, .kind = EXIM_LIST_HOST, .caseless = true, .host = h };

	s.subject = s.original = h->address;
	return (finish(&s, l, yes, data));
}

enum exim_result
exim_match_client(const struct exim_list *l, struct exim_env *env, bool *yes, struct sv *data, struct err *err)
{
	struct exim_host h = { .session = true };

	if (env->session != NULL) {
		h.address = env->session->host_address;
		h.addr = env->session->addr;
	}
	return (exim_match_host(l, env, &h, yes, data, err));
}
