/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lookups psl and regdom: the part of a domain under which anybody may register, by a file of the Public Suffix List (rules
 * "a.b", "*.b" and "!x.b", one a line), and that part with one label more.  Names are compared as A-labels; an answer to a
 * name in UTF-8 is in UTF-8.
 */
#include <idn2.h>
#include <stdlib.h>

#include "base/hash.h"
#include "exim/lookup_int.h"

#define RULE_MAX	256

enum { RULE_PLAIN = 1, RULE_WILD = 2, RULE_EXCEPTION = 4 };

struct rules {
	struct hash	*names;		/* A-labels to the bits of their rules, which stand in the value's address */
};

static void
rules_free(void *data)
{
	struct rules *r = data;

	hash_free(&r->names, NULL);
}

/* Lower case and A-labels; p is NULL for what is no name. */
static struct sv
ascii_name(struct arena *a, struct sv v)
{
	char *ascii, *s;

	if (v.len == 0 || v.len > RULE_MAX)
		return (SV_NULL);
	if (idn2_to_ascii_8z(arena_cstr(a, v), &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return (SV_NULL);
	s = arena_str(a, ascii);
	idn2_free(ascii);
	for (char *p = s; *p != '\0'; p++)
		*p = sv_lower(*p);
	return (sv_cstr(s));
}

static void
add_rule(struct arena *a, struct hash *names, struct sv rule)
{
	uintptr_t kind = RULE_PLAIN;

	if (sv_starts(rule, "!"))
		kind = RULE_EXCEPTION;
	else if (sv_starts(rule, "*."))
		kind = RULE_WILD;
	rule = ascii_name(a, sv_sub(rule, kind == RULE_EXCEPTION ? 1 : kind == RULE_WILD ? 2 : 0, rule.len));
	if (rule.p != NULL)
		(void)hash_set(names, rule, (void *)(kind | (uintptr_t)hash_get(names, rule)));
}

static void *
load(struct arena *a, struct sv text)
{
	struct rules *r = arena_zalloc(a, sizeof(*r));
	struct sv line, word;

	r->names = hash_new();
	while (sv_next(&text, '\n', &line)) {
		if (sv_starts(line, "//") || !sv_word(&line, &word))
			continue;
		add_rule(a, r->names, word);
	}
	return (r);
}

static struct sv
parent(struct sv name)
{
	ptrdiff_t dot = sv_chr(name, '.');

	return (dot < 0 ? SV_NULL : sv_sub(name, (size_t)dot + 1, name.len));
}

static bool
has(const struct rules *r, struct sv name, uintptr_t kind)
{
	return (name.len > 0 && ((uintptr_t)hash_get(r->names, name) & kind) != 0);
}

/* The public suffix of <key>; an exception takes precedence over all, then the most labels win.  p is NULL where there is none. */
static struct sv
suffix(const struct rules *r, struct sv key, bool *exception)
{
	*exception = false;
	for (struct sv s = key; s.len > 0; s = parent(s))
		if (has(r, s, RULE_EXCEPTION)) {
			*exception = true;
			return (s);
		}
	for (struct sv s = key; s.len > 0; s = parent(s))
		if ((s.p != key.p && has(r, s, RULE_PLAIN)) || has(r, parent(s), RULE_WILD))
			return (s);
	return (SV_NULL);
}

X_LOOKUP(xl_psl)
{
	bool irregular, exception, regdom = strcmp(l->type, "regdom") == 0;
	struct sv key = ascii_name(e->env->arena, l->key), s;
	struct xfile *f = x_file_get(e, "psl", l->path, load, rules_free, &irregular);
	char *utf8;

	if (f == NULL)
		return (x_fail(e, "failed to open %s for psl lookup: %s", l->path, x_open_error(e)));
	s = suffix(f->data, key, &exception);
	x_file_put(e, f);
	if (exception && !regdom)
		s = parent(s);
	else if (!exception && regdom && s.p != NULL) {
		const char *p = s.p;

		/* One label more, if there is one. */
		if (p == key.p)
			return (EXIM_OK);
		for (p--; p > key.p && p[-1] != '.'; p--)
			continue;
		s = sv_from(p, (size_t)(s.p + s.len - p));
	}
	if (s.p == NULL)
		return (EXIM_OK);
	*found = true;
	*out = arena_sv(e->env->arena, s);
	if (!sv_is_ascii(l->key) && idn2_to_unicode_8z8z(arena_cstr(e->env->arena, s), &utf8, 0) == IDN2_OK) {
		*out = sv_cstr(arena_str(e->env->arena, utf8));
		idn2_free(utf8);
	}
	return (EXIM_OK);
}
