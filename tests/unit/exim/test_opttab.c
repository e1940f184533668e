/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Our tables beside lists made from the manual (VPOST_EXIM): every option with its type and default, and every name of
 * the language's other families.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exim/acl.h"
#include "exim/expand.h"
#include "exim/logsel.h"
#include "exim/option.h"

static FILE *
list(const char *name)
{
	const char *dir = getenv("VPOST_EXIM");
	char path[1024];

	if (dir == NULL)
		return (NULL);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return (fopen(path, "r"));
}

/* Tables are searched by halving, so they are in order, and each name is there once. */
static void
sorted(void **state)
{
	(void)state;
	for (size_t t = 0; t < exim_nopt_tables; t++)
		for (size_t i = 1; i < exim_opt_tables[t].n; i++)
			assert_true(strcmp(exim_opt_tables[t].opts[i - 1].name, exim_opt_tables[t].opts[i].name) < 0);
}

static bool
type_fits(const char *type, enum exim_opt_type t)
{
	static const struct { const char *name; enum exim_opt_type a, b; } types[] = {
		{ "bool", EXIM_OPT_BOOL, EXIM_OPT_BOOL_SET }, { "bool_set", EXIM_OPT_BOOL_SET, EXIM_OPT_BOOL },
		{ "expand_bool", EXIM_OPT_EBOOL, EXIM_OPT_BOOL }, { "int", EXIM_OPT_INT, EXIM_OPT_INT },
		{ "mkint", EXIM_OPT_MKINT, EXIM_OPT_MKINT }, { "Kint", EXIM_OPT_KINT, EXIM_OPT_KINT },
		{ "octint", EXIM_OPT_OCTAL, EXIM_OPT_OCTAL }, { "fixed", EXIM_OPT_FIXED, EXIM_OPT_FIXED },
		{ "time", EXIM_OPT_TIME, EXIM_OPT_TIME }, { "timelist", EXIM_OPT_TIMELIST, EXIM_OPT_TIMELIST },
		{ "uid", EXIM_OPT_UID, EXIM_OPT_EUID }, { "gid", EXIM_OPT_GID, EXIM_OPT_EGID },
		{ "expand_uid", EXIM_OPT_EUID, EXIM_OPT_UID }, { "expand_gid", EXIM_OPT_EGID, EXIM_OPT_GID },
		{ "uidlist", EXIM_OPT_UIDLIST, EXIM_OPT_UIDLIST }, { "gidlist", EXIM_OPT_GIDLIST, EXIM_OPT_GIDLIST },
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(type, types[i].name) == 0)
			return (t == types[i].a || t == types[i].b);
	/* Texts of all kinds; what expands or is a list is ours to say. */
	return (strncmp(type, "stringptr", 9) != 0 || (t != EXIM_OPT_BOOL && t != EXIM_OPT_INT && t != EXIM_OPT_TIME &&
	    t != EXIM_OPT_MKINT && t != EXIM_OPT_OCTAL));
}

/* "7d" and "1w" are the same; what the manual only describes is not compared. */
static bool
default_fits(const struct exim_option *o, const char *dflt)
{
	int64_t a, b;

	if (o->type == EXIM_OPT_TIME && o->dflt != NULL && exim_parse_time(sv_cstr(dflt), &a))
		return (exim_parse_time(sv_cstr(o->dflt), &b) && a == b);
	if ((o->type == EXIM_OPT_BOOL || o->type == EXIM_OPT_BOOL_SET) && (strcmp(dflt, "true") == 0 || strcmp(dflt, "false") == 0))
		return (o->dflt == NULL ? strcmp(dflt, "false") == 0 : strcmp(o->dflt, dflt) == 0);
	if (o->type == EXIM_OPT_INT && exim_parse_int(sv_cstr(dflt), &a))
		return (o->dflt == NULL ? a == 0 : exim_parse_int(sv_cstr(o->dflt), &b) && a == b);
	return (true);
}

static const struct exim_opt_table *
table(const char *kind, const char *owner)
{
	enum exim_opt_kind k = strcmp(kind, "main") == 0 ? EXIM_KIND_MAIN : strcmp(kind, "router") == 0 ? EXIM_KIND_ROUTER :
	    strcmp(kind, "transport") == 0 ? EXIM_KIND_TRANSPORT : EXIM_KIND_AUTH;

	return (exim_opt_table(k, strcmp(owner, "main") == 0 || strcmp(owner, "generic") == 0 ? SV_NULL : sv_cstr(owner)));
}

static void
options(void **state)
{
	FILE *f = list("options.tsv");
	char line[4096];
	unsigned n = 0, bad = 0;

	(void)state;
	if (f == NULL)
		skip();
	while (fgets(line, sizeof(line), f) != NULL) {
		const struct exim_opt_table *t;
		struct sv rest = sv_cstr(line), field;
		char col[6][512];
		size_t k;
		int i;

		for (k = 0; k < 6 && sv_next(&rest, '\t', &field); k++)
			(void)snprintf(col[k], sizeof(col[k]), SV_FMT, SV_ARG(field));
		if (n++ == 0 || k < 6)
			continue;
		t = table(col[0], col[1]);
		i = t == NULL ? -1 : exim_opt_find(t, sv_cstr(col[2]));
		/* queue_fast_ramp depends on how Exim is built. */
		if (i >= 0 && type_fits(col[3], t->opts[i].type) &&
		    (default_fits(&t->opts[i], col[5]) || strcmp(col[2], "queue_fast_ramp") == 0))
			continue;
		print_message("%s %s %s: %s, %s\n", col[0], col[1], col[2], i < 0 ? "unknown" : "another type or default", col[3]);
		bad++;
	}
	(void)fclose(f);
	assert_true(n > 600);
	assert_int_equal(bad, 0);
}

static bool
known(const char *family, struct sv name)
{
	static const struct { const char *head; enum exim_family f; } families[] = {
		{ "Expansion items", EXIM_ITEMS }, { "Expansion operators", EXIM_OPERATORS },
		{ "Expansion conditions", EXIM_CONDITIONS }, { "Variables", EXIM_VARIABLES }, { "Lookup types", EXIM_LOOKUPS },
	};
	const char *s;

	if (strncmp(family, "Log selectors", 13) == 0)
		return (sv_eqs(name, "all") || exim_logsel_known(name));
	if (strncmp(family, "ACL verbs", 9) == 0)
		return (exim_acl_is_verb(name));
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		if (strncmp(family, families[i].head, strlen(families[i].head)) != 0)
			continue;
		if (families[i].f == EXIM_VARIABLES)
			return (exim_var_known(name));
		for (size_t k = 0; (s = exim_family_name(families[i].f, k)) != NULL; k++)
			if (sv_eqs(name, s))
				return (true);
		return (false);
	}
	return (true);
}

/* "- must (25): acl(5) authresults(1) env(1) [new 4.98] ..." below "**Expansion items ...** (29)". */
static void
names(void **state)
{
	FILE *f = list("language.md");
	char family[256] = "";
	char *line = NULL;
	size_t cap = 0;
	unsigned bad = 0, n = 0;

	(void)state;
	if (f == NULL)
		skip();
	while (getline(&line, &cap, f) > 0) {
		struct sv rest, word;
		const char *colon;

		if (strncmp(line, "**", 2) == 0)
			(void)snprintf(family, sizeof(family), "%s", line + 2);
		if (family[0] == '\0' || (strncmp(line, "- must", 6) != 0 && strncmp(line, "- should", 8) != 0 &&
		    strncmp(line, "- rare", 6) != 0) || (colon = strstr(line, "): ")) == NULL)
			continue;
		rest = sv_trim(sv_cstr(colon + 3));
		while (sv_next(&rest, ' ', &word)) {
			ptrdiff_t end = sv_chr(word, '(') > 0 ? sv_chr(word, '(') : sv_chr(word, '[');

			if (word.len == 0 || word.p[0] == '[' || sv_isdigit(word.p[0]) || word.p[word.len - 1] == ']')
				end = sv_chr(word, '[') > 0 ? sv_chr(word, '[') : 0;
			if (end >= 0)
				word = sv_sub(word, 0, (size_t)end);
			if (word.len == 0)
				continue;
			n++;
			if (!known(family, word)) {
				print_message("%.24s: " SV_FMT " is unknown\n", family, SV_ARG(word));
				bad++;
			}
		}
	}
	free(line);
	(void)fclose(f);
	assert_true(n > 1000);
	assert_int_equal(bad, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorted), cmocka_unit_test(options), cmocka_unit_test(names),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
