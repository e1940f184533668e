/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -bP: options, drivers, named lists and macros of the configuration.  What "hide" stood before is
 * shown to an administrator only, macros too, since passwords stand in them.
 */
#include <stdlib.h>
#include <string.h>

#include "testing.h"

#define HIDDEN		"<value not displayable>"
#define OUT_MAX		((size_t)64 * 1024 * 1024)

extern char **environ;

struct printing {
	struct testing	*t;
	struct sb	 out;
	bool		 labels;	/* names are shown: no -n */
	int		 indent;	/* of the lines of a section */
};

static bool
secrets(const struct printing *p)
{
	return (p->t->admin);
}

static void
put_option(struct printing *p, const struct exim_option *o, const struct exim_value *v)
{
	unsigned how = (secrets(p) ? EXIM_PRINT_SECRETS : 0) | (p->labels ? EXIM_PRINT_LABEL : 0) |
	    (p->t->conf->g.print_topbitchars ? EXIM_PRINT_TOP : 0);

	if (exim_conf_print_option(o, v, how, &p->out))
		sb_addc(&p->out, '\n');
}

/* The part of this option that expands. */
static void
put_size_file(struct printing *p, const struct exim_value *v)
{
	sb_adds(&p->out, p->labels ? "*expand_maildir_use_size_file = " : "");
	if (v->str != NULL)
		sb_add(&p->out, v->text);
	sb_addc(&p->out, '\n');
}

static void
put_table(struct printing *p, const struct exim_opt_table *t, const struct exim_value *v)
{
	/* Exim has two options for it. */
	if (t->driver != NULL && strcmp(t->driver, "appendfile") == 0)
		put_size_file(p, &v[EXIM_APPENDFILE_maildir_use_size_file]);
	for (size_t i = 0; i < t->n; i++)
		if ((t->opts[i].flags & (EXIM_OPTF_VPOST | EXIM_OPTF_UNLISTED)) == 0 || v[i].set || p->t->o->verbose)
			put_option(p, &t->opts[i], &v[i]);
}

/* ---- drivers ---- */

static const struct { const char *one, *many, *list; enum exim_opt_kind kind; } kinds[] = {
	{ "router", "routers", "router_list", EXIM_KIND_ROUTER },
	{ "transport", "transports", "transport_list", EXIM_KIND_TRANSPORT },
	{ "authenticator", "authenticators", "authenticator_list", EXIM_KIND_AUTH }
};
#define NKINDS	(sizeof(kinds) / sizeof(kinds[0]))

static const struct exim_driver *
driver_at(const struct exim_conf *c, enum exim_opt_kind kind, size_t i)
{
	switch (kind) {
	case EXIM_KIND_ROUTER:
		return (i < c->nrouters ? &c->routers[i]->d : NULL);
	case EXIM_KIND_TRANSPORT:
		return (i < c->ntransports ? &c->transports[i]->d : NULL);
	default:
		return (i < c->nauths ? &c->auths[i]->d : NULL);
	}
}

static void
put_driver(struct printing *p, const struct exim_driver *d)
{
	put_table(p, d->generic_table, d->generic);
	put_table(p, d->table, d->own);
}

static int
put_named_driver(struct printing *p, size_t k, const char *name)
{
	const struct exim_driver *d;

	for (size_t i = 0; (d = driver_at(p->t->conf, kinds[k].kind, i)) != NULL; i++)
		if (strcmp(d->name, name) == 0) {
			put_driver(p, d);
			return (0);
		}
	sb_addf(&p->out, "%s %s not found\n", kinds[k].one, name);
	return (1);
}

static void
put_drivers(struct printing *p, size_t k, bool names)
{
	const struct exim_driver *d;

	for (size_t i = 0; (d = driver_at(p->t->conf, kinds[k].kind, i)) != NULL; i++) {
		if (names)
			sb_addf(&p->out, "%s\n", d->name);
		else {
			sb_addf(&p->out, "\n%s %s:\n", d->name, kinds[k].one);
			put_driver(p, d);
		}
	}
}

/* ---- macros, named lists ---- */

static void
put_macro(struct printing *p, struct sv name, struct sv value, bool only_name)
{
	if (only_name || p->labels)
		sb_add(&p->out, name);
	if (!only_name && p->labels)
		sb_addc(&p->out, '=');
	if (!only_name)
		sb_add(&p->out, value);
	sb_addc(&p->out, '\n');
}

static void
put_predefined(void *arg, struct sv name, struct sv value)
{
	put_macro(arg, name, value, false);
}

static void
put_predefined_name(void *arg, struct sv name, struct sv value)
{
	put_macro(arg, name, value, true);
}

static void
put_macros(struct printing *p, bool only_names)
{
	struct sv name, value;

	exim_macro_predefined_all(p->t->arena, only_names ? put_predefined_name : put_predefined, p);
	for (size_t pos = 0; exim_lexer_macro_next(p->t->conf->lexer, &pos, &name, &value);)
		put_macro(p, name, value, only_names);
}

static int
put_named_macro(struct printing *p, const char *name)
{
	struct sv value = exim_lexer_macro(p->t->conf->lexer, sv_cstr(name));

	if (value.p == NULL) {
		sb_addf(&p->out, "macro %s not found\n", name);
		return (1);
	}
	put_macro(p, sv_cstr(name), value, false);
	return (0);
}

/* A list of this name of each kind. */
static int
put_list(struct printing *p, const char *name)
{
	static const struct { const char *word; enum exim_list_kind kind; } words[] = {
		{ "address", EXIM_LIST_ADDRESS }, { "domain", EXIM_LIST_DOMAIN }, { "host", EXIM_LIST_HOST },
		{ "localpart", EXIM_LIST_LOCAL }
	};
	bool found = false;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const struct exim_named *n = exim_names_get(p->t->conf->names, words[i].kind, sv_cstr(name));

		if (n == NULL)
			continue;
		found = true;
		if (p->labels)
			sb_addf(&p->out, "%slist %s = ", words[i].word, name);
		if (n->hide)	/* from everybody */
			sb_adds(&p->out, HIDDEN "\n");
		else
			sb_addf(&p->out, SV_FMT "\n", SV_ARG(n->text));
	}
	if (!found)
		sb_addf(&p->out, "no address, domain, host, or local part list called \"%s\" exists\n", name);
	return (found ? 0 : 1);
}

/* ---- the file as it was read ---- */

/* Runs of blanks become one, up to where quotes or a dollar sign speak for careful writing. */
static struct sv
squeeze(struct printing *p, struct sv v)
{
	char *out = arena_alloc(p->t->arena, v.len + 1);
	size_t n = 0, i = 0, run, look;

	while (i < v.len) {
		if (!sv_isspace(v.p[i])) {
			out[n++] = v.p[i++];
			continue;
		}
		for (run = 0; i < v.len && sv_isspace(v.p[i]); run++)
			i++;
		out[n++] = ' ';
		/* Exim looks where the next byte stood before the run was closed. */
		look = i + run - 1 <= v.len ? i + run - 1 : i;
		if (look < v.len && strchr("\"'$", v.p[look]) != NULL && v.p[look] != '\0')
			break;
	}
	while (i < v.len)
		out[n++] = v.p[i++];
	return (sv_from(out, n));
}

/* A line that only administrators may see: macros, and what "hide" stands before. */
static bool
is_secret(struct sv v)
{
	return ((v.p[0] >= 'A' && v.p[0] <= 'Z') || sv_starts(v, "hide "));
}

static void
put_line(struct printing *p, struct sv text)
{
	struct sv v = squeeze(p, text);
	const char *empty = p->labels ? "\n" : "";
	int unit = p->labels ? 2 : 0;
	ptrdiff_t eq = sv_chr(v, '=');

	if (sv_starts(v, "begin ")) {
		p->indent = unit;
		sb_addf(&p->out, "%s" SV_FMT "\n", empty, SV_ARG(v));
	} else if (v.p[v.len - 1] == ':' && eq < 0) {
		p->indent = 2 * unit;
		sb_addf(&p->out, "%s%*s" SV_FMT "\n", empty, unit, "", SV_ARG(v));
	} else if (secrets(p) || !is_secret(v))
		sb_addf(&p->out, "%*s" SV_FMT "\n", p->indent, "", SV_ARG(v));
	else if (eq >= 0)
		sb_addf(&p->out, "%*s" SV_FMT "= %s\n", p->indent, "", SV_ARG(sv_sub(v, 0, (size_t)eq)), HIDDEN);
	else
		sb_addf(&p->out, "%*s%s\n", p->indent, "", HIDDEN);
}

static void
seen_line(void *arg, const char *file, unsigned line, struct sv text)
{
	struct printing *p = arg;

	if (text.p == NULL)
		sb_addf(&p->out, "# %u \"%s\"\n", line, file);
	else
		put_line(p, text);
}

static int
put_config(struct printing *p)
{
	struct exim_report quiet = EXIM_REPORT_INIT;
	struct exim_lexer *lx;
	struct exim_line l;

	sb_addf(&p->out, "# Exim Configuration (" SV_FMT ")\n", SV_ARG(p->t->conf->g.exim_version));
	lx = exim_lexer_open(p->t->path, p->t->o->defines.p, p->t->o->defines.len, p->t->arena, &quiet);
	if (lx != NULL)
		exim_lexer_watch(lx, seen_line, p);
	while (lx != NULL && exim_lexer_next(lx, &l))
		;
	exim_lexer_close(&lx);
	return (0);
}

/* ---- one argument, or two ---- */

static int
by_text(const void *a, const void *b)
{
	return (strcmp(*(char *const *)a, *(char *const *)b));
}

static void
put_environment(struct printing *p)
{
	size_t n = 0;
	char **v;

	while (environ[n] != NULL)
		n++;
	v = arena_dup(p->t->facts, environ, (n + 1) * sizeof(*v));
	qsort(v, n, sizeof(*v), by_text);
	for (size_t i = 0; i < n; i++)
		sb_addf(&p->out, "%.*s\n", p->labels ? (int)strlen(v[i]) : (int)strcspn(v[i], "="), v[i]);
}

static int
put_main(struct printing *p, const char *name)
{
	int i = exim_opt_find(&exim_opt_tables[0], sv_cstr(name));

	if (i < 0) {
		sb_addf(&p->out, "%s is not a known option\n", name);
		return (1);
	}
	put_option(p, &exim_opt_tables[0].opts[i], &p->t->conf->main[i]);
	return (0);
}

static int
put_one(struct printing *p, const char *name)
{
	if (name[0] == '+')
		return (put_list(p, name + 1));
	if (strcmp(name, "all") == 0)
		put_table(p, &exim_opt_tables[0], p->t->conf->main);
	else if (strcmp(name, "configure_file") == 0 || strcmp(name, "config_file") == 0)
		sb_addf(&p->out, "%s\n", p->t->path);
	else if (strcmp(name, "config") == 0)
		return (put_config(p));
	else if (strcmp(name, "environment") == 0)
		put_environment(p);
	else if (strcmp(name, "macros") == 0 || strcmp(name, "macro_list") == 0) {
		if (!secrets(p))
			return (1);
		put_macros(p, strcmp(name, "macro_list") == 0);
	} else {
		for (size_t k = 0; k < NKINDS; k++)
			if (strcmp(name, kinds[k].many) == 0 || strcmp(name, kinds[k].list) == 0) {
				put_drivers(p, k, strcmp(name, kinds[k].list) == 0);
				return (0);
			}
		return (put_main(p, name));
	}
	return (0);
}

/* "router NAME" and its like: 0 or 1 as the exit code, -1 when it is none. */
static int
put_pair(struct printing *p, const char *kind, const char *name)
{
	for (size_t k = 0; k < NKINDS; k++)
		if (strcmp(kind, kinds[k].one) == 0)
			return (put_named_driver(p, k, name));
	if (strcmp(kind, "macro") == 0)
		return (secrets(p) ? put_named_macro(p, name) : 1);
	return (-1);
}

int
print_conf(struct testing *t)
{
	struct printing p = { .t = t, .labels = !t->o->names_off };
	size_t n = t->o->args.len;
	int rc = 0, one;

	sb_init(&p.out, OUT_MAX);
	if (n == 0)
		(void)put_one(&p, "all");
	for (size_t i = 0; i < n; i++) {
		const char *arg = t->o->args.p[i];

		one = i + 1 < n ? put_pair(&p, arg, t->o->args.p[i + 1]) : -1;
		if (one >= 0)
			i++;
		else
			one = put_one(&p, arg);
		rc = one;	/* the last one's */
	}
	if (p.out.len > 0)
		(void)fwrite(p.out.p, 1, p.out.len, stdout);
	sb_free(&p.out);
	return (rc);
}
