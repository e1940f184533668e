/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Routers, transports and authenticators: "name:", then options.  The lines of one
 * instance are gathered first, so that "driver" may stand anywhere among them.
 */
#include <string.h>

#include "exim/conf_int.h"

#define LINES_MAX	1000		/* options of one instance */
#define ITEM_NAME_MAX	64		/* bytes of its name, as Exim counts them */

typedef VEC(struct exim_line) lines;

bool
conf_is_label(struct sv v, struct sv *name, struct sv *rest)
{
	size_t i = 0;

	while (i < v.len && exim_name_char(v.p[i]))
		i++;
	if (i > 0 && !sv_isalpha(v.p[0]))
		return (false);
	*name = sv_sub(v, 0, i);
	while (i < v.len && sv_isspace(v.p[i]))
		i++;
	if (i == v.len || v.p[i] != ':' || name->len == 0)
		return (false);
	*rest = sv_trim(sv_sub(v, i + 1, v.len));
	return (true);
}

void
conf_name_length(struct loader *ld, const struct exim_line *line, struct sv name)
{
	if (name.len >= ITEM_NAME_MAX)
		(void)exim_report_error(ld->rep, line->file, line->line, "exim item name too long (>%d), unable to use \"" SV_FMT
		    "\" (truncated)", ITEM_NAME_MAX, SV_ARG(sv_sub(name, 0, ITEM_NAME_MAX - 1)));
}

/* The text of "driver = x" among the lines, p NULL if there is none. */
static struct sv
find_driver(const lines *ls, struct arena *a)
{
	struct exim_report quiet = EXIM_REPORT_INIT;
	struct err err = ERR_INIT;
	struct exim_assign as;
	struct sv name;

	for (size_t i = 0; i < ls->len; i++)
		if (exim_assign_parse(&ls->p[i], &as, &quiet) == 0 && sv_eqs(as.full_name, "driver") && as.value.p != NULL)
			return (exim_string_parse(as.value, a, &name, &err) == 0 ? name : SV_NULL);
	return (SV_NULL);
}

static void
set_option(struct loader *ld, const struct exim_opt_ctx *ctx, struct exim_driver *d, const struct exim_line *line)
{
	const struct exim_opt_table *t[2] = { d->generic_table, d->table };
	struct exim_value *values[2] = { (struct exim_value *)(uintptr_t)d->generic, (struct exim_value *)(uintptr_t)d->own };
	struct exim_assign as;
	const char *near;

	if (exim_assign_parse(line, &as, ld->rep) == -1)
		return;
	for (int k = 0; k < 2; k++) {
		int i = t[k] == NULL ? -1 : exim_opt_find(t[k], as.full_name);

		if (i >= 0)
			as.negated = false;
		else if (t[k] != NULL && as.negated)
			i = exim_opt_find(t[k], as.name);
		if (i >= 0) {
			(void)exim_opt_set(ctx, t[k], i, line, &as, values[k]);
			return;
		}
	}
	/* Without a known driver its own options cannot be told from typing mistakes. */
	if (t[1] == NULL)
		return;
	near = exim_opt_nearest(t, 2, as.name);
	(void)exim_report_error(ld->rep, line->file, line->line, "option \"" SV_FMT "\" unknown" EXIM_HINT "%s%s%s",
	    SV_ARG(as.full_name), near == NULL ? "" : ", did you mean \"", near == NULL ? "" : near, near == NULL ? "" : "\"?");
}

static bool
is_driver(const struct exim_line *line)
{
	struct exim_report quiet = EXIM_REPORT_INIT;
	struct exim_assign as;

	return (exim_assign_parse(line, &as, &quiet) == 0 && sv_eqs(as.full_name, "driver"));
}

/* Exim wants the driver named before the first option of its own; to us that is the same. */
static void
early_private(struct loader *ld, const struct exim_driver *d, const struct exim_line *line)
{
	struct exim_report quiet = EXIM_REPORT_INIT;
	struct exim_assign as;

	if (!ld->rep->exact || exim_assign_parse(line, &as, &quiet) == -1 || exim_opt_find(d->generic_table, as.full_name) >= 0 ||
	    (as.negated && exim_opt_find(d->generic_table, as.name) >= 0))
		return;
	(void)exim_report_error(ld->rep, line->file, line->line,
	    "option \"" SV_FMT "\" unknown (\"driver\" must be specified before any private options)", SV_ARG(as.full_name));
}

/* Fill *<d>; false when it has no usable driver. */
static bool
build(struct loader *ld, enum exim_opt_kind kind, struct exim_driver *d, const lines *ls)
{
	const char *kn = exim_kind_name(kind);
	struct exim_opt_ctx ctx = { .arena = ld->a, .rep = ld->rep };
	struct sv drv = find_driver(ls, ld->a);
	unsigned at = ld->rep->at;
	bool driver_seen = false;

	d->generic_table = exim_opt_table(kind, SV_NULL);
	d->table = drv.p == NULL ? NULL : exim_opt_table(kind, drv);
	d->generic = arena_zalloc(ld->a, d->generic_table->n * sizeof(struct exim_value));
	d->own = arena_zalloc(ld->a, (d->table == NULL ? 1 : d->table->n + 1) * sizeof(struct exim_value));
	if (drv.p != NULL && d->table == NULL) {
		for (size_t i = 0; i < ls->len; i++)
			if (is_driver(&ls->p[i]))
				ld->rep->at = ls->p[i].last_line;
		(void)exim_report_error(ld->rep, d->file, d->line, "%s %s: cannot find %s driver \"" SV_FMT "\"", kn, d->name, kn,
		    SV_ARG(drv));
	} else if (d->table != NULL) {
		d->driver = d->table->driver;
		if (d->table->flags & EXIM_OPTF_KNOWN)
			exim_report_warn(ld->rep, d->file, d->line, "%s %s: driver \"%s\" is known but not built: what comes to it "
			    "is deferred", kn, d->name, d->driver);
	}
	ld->rep->where = arena_fmt(ld->a, "%s %s: ", kn, d->name);
	for (size_t i = 0; i < ls->len; i++) {
		ld->rep->at = ls->p[i].last_line;
		driver_seen = driver_seen || is_driver(&ls->p[i]);
		if (!driver_seen)
			early_private(ld, d, &ls->p[i]);
		set_option(ld, &ctx, d, &ls->p[i]);
	}
	ld->rep->where = NULL;
	ld->rep->at = at;
	if (drv.p == NULL)
		(void)exim_report_bare(ld->rep, d->file, d->line, "no driver defined for %s \"%s\"", kn, d->name);
	exim_opt_defaults(&ctx, d->generic_table, (struct exim_value *)(uintptr_t)d->generic);
	if (d->table != NULL)
		exim_opt_defaults(&ctx, d->table, (struct exim_value *)(uintptr_t)d->own);
	return (d->table != NULL);
}

static bool
taken(const struct loader *ld, enum exim_opt_kind kind, const char *name)
{
	if (kind == EXIM_KIND_ROUTER) {
		for (size_t i = 0; i < ld->routers.len; i++)
			if (strcmp(ld->routers.p[i]->d.name, name) == 0)
				return (true);
	} else if (kind == EXIM_KIND_TRANSPORT) {
		for (size_t i = 0; i < ld->transports.len; i++)
			if (strcmp(ld->transports.p[i]->d.name, name) == 0)
				return (true);
	} else
		for (size_t i = 0; i < ld->auths.len; i++)
			if (strcmp(ld->auths.p[i]->d.name, name) == 0)
				return (true);
	return (false);
}

static void
add(struct loader *ld, enum exim_opt_kind kind, const struct exim_driver *head, const lines *ls)
{
	struct exim_driver d = *head;

	if (taken(ld, kind, d.name)) {
		(void)exim_report_bare(ld->rep, d.file, d.line, "there are two %ss called \"%s\"", exim_kind_name(kind), d.name);
		return;
	}
	if (!build(ld, kind, &d, ls))
		return;
	if (kind == EXIM_KIND_ROUTER) {
		struct exim_router *r = arena_zalloc(ld->a, sizeof(*r));

		r->d = d;
		r->drv = (enum exim_router_driver)d.table->id;
		vec_push(&ld->routers, r);
	} else if (kind == EXIM_KIND_TRANSPORT) {
		struct exim_transport *t = arena_zalloc(ld->a, sizeof(*t));

		t->d = d;
		t->drv = (enum exim_transport_driver)d.table->id;
		vec_push(&ld->transports, t);
	} else {
		struct exim_auth *au = arena_zalloc(ld->a, sizeof(*au));

		au->d = d;
		au->drv = (enum exim_auth_driver)d.table->id;
		vec_push(&ld->auths, au);
	}
}

void
conf_drivers(struct loader *ld, enum exim_opt_kind kind)
{
	lines ls = VEC_INIT;
	struct exim_driver head;
	struct exim_line line;
	struct sv name, rest, section;
	size_t defined = exim_lexer_defined(ld->lx);
	bool open = false;

	memset(&head, 0, sizeof(head));
	while (exim_lexer_next(ld->lx, &line)) {
		/* A macro's definition ends the instance before it. */
		if (open && exim_lexer_defined(ld->lx) != defined) {
			add(ld, kind, &head, &ls);
			open = false;
		}
		defined = exim_lexer_defined(ld->lx);
		if (exim_line_is_begin(&line, &section)) {
			exim_lexer_unget(ld->lx, &line);
			break;
		}
		if (!conf_is_label(line.text, &name, &rest)) {
			if (!open)
				(void)exim_report_error(ld->rep, line.file, line.line, "%s name missing", exim_kind_name(kind));
			else if (ls.len < LINES_MAX)
				vec_push(&ls, line);
			else
				(void)exim_report_error(ld->rep, line.file, line.line, "more than %d options in one %s", LINES_MAX,
				    exim_kind_name(kind));
			continue;
		}
		if (open)
			add(ld, kind, &head, &ls);
		if (rest.len > 0)
			(void)exim_report_error(ld->rep, line.file, line.line, "extra characters follow driver name " SV_FMT "%s",
			    SV_ARG(name), rest.p[0] == '#' ? " (# is comment only at line start)" : "");
		conf_name_length(ld, &line, name);
		ls.len = 0;
		open = true;
		head.name = arena_cstr(ld->a, name);
		head.file = line.file;
		head.line = line.line;
	}
	if (open)
		add(ld, kind, &head, &ls);
	vec_free(&ls);
}
