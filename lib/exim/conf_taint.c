/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of files that are made of what a peer wrote.  They are refused when it comes to them (manual 9.4, "Tainted"),
 * which is too late for whoever changes over from a version before 4.94: so they are told at load, with the rest of what
 * conf_trap.c finds.  Looked at are the variables that stand in a name itself, not those of a lookup or condition
 * inside of it, whose result is another matter.
 */
#include <string.h>

#include "exim/conf_int.h"

/* What to write instead of a variable. */
static const struct {
	const char	*name;		/* with "*": what begins so */
	const char	*instead;
} tainted[] = {
	{ "local_part",		"$local_part_data, which check_local_user and local_parts with a list or lookup set" },
	{ "domain",		"$domain_data, which domains with a list or lookup sets" },
	{ "original_local_part", "$local_part_data, which check_local_user and local_parts with a list or lookup set" },
	{ "original_domain",	"$domain_data, which domains with a list or lookup sets" },
	{ "local_part_prefix",	"the prefix, or look it up" },
	{ "local_part_suffix",	"the suffix, or look it up" },
	{ "sender_address",	"what a lookup of it yields" },
	{ "sender_address_domain", "what a lookup of it yields" },
	{ "sender_address_local_part", "what a lookup of it yields" },
	{ "sender_helo_name",	"what a lookup of it yields" },
	{ "authenticated_id",	"what a lookup of it yields" },
	{ "h_*",		"what a lookup of it yields" },
	{ "header_*",		"what a lookup of it yields" }
};

/* Operators that leave a peer's word one. */
static const char *const passing[] = { "lc", "uc", "local_part", "domain", "address", "quote", "quote_local_part", "escape" };

static const char *
instead_of(struct sv name)
{
	for (size_t i = 0; i < sizeof(tainted) / sizeof(tainted[0]); i++) {
		size_t n = strlen(tainted[i].name) - 1;

		if (tainted[i].name[n] == '*' ? name.len > n && memcmp(name.p, tainted[i].name, n) == 0 : sv_eqs(name, tainted[i].name))
			return (tainted[i].instead);
	}
	return (NULL);
}

static struct sv
word_at(struct sv text, size_t i)
{
	size_t end = i;

	while (end < text.len && (sv_isalnum(text.p[end]) || text.p[end] == '_'))
		end++;
	return (sv_sub(text, i, end));
}

static bool
passes(struct sv op)
{
	for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
		if (sv_eqs(op, passing[i]))
			return (true);
	return (false);
}

/* Behind the item whose "{" is at <i>. */
static size_t
behind(struct sv text, size_t i)
{
	int depth = 0;

	for (; i < text.len; i++) {
		if (text.p[i] == '\\')
			i++;
		else if (text.p[i] == '{')
			depth++;
		else if (text.p[i] == '}' && --depth == 0)
			return (i + 1);
	}
	return (text.len);
}

/* The first variable of <path> that a peer fills; p NULL: there is none. */
static struct sv
culprit(struct sv path)
{
	for (size_t i = 0; i + 1 < path.len;) {
		struct sv name;

		if (path.p[i] == '\\') {
			i += 2;
			continue;
		}
		if (path.p[i] != '$') {
			i++;
			continue;
		}
		name = word_at(path, i + 1 + (path.p[i + 1] == '{'));
		if (path.p[i + 1] == '{') {
			size_t end = i + 2 + name.len;

			if (end < path.len && path.p[end] == ':' && passes(name))
				i = end + 1;
			else if (end < path.len && path.p[end] == '}' && instead_of(name) != NULL)
				return (name);
			else
				i = behind(path, i + 1);
			continue;
		}
		if (instead_of(name) != NULL)
			return (name);
		i += 1 + name.len;
	}
	return (SV_NULL);
}

void
conf_taint_path(struct loader *ld, const char *file, unsigned line, const char *what, struct sv path)
{
	struct sv name = culprit(path);
	const char *told;

	if (name.p == NULL)
		return;
	/* Once is enough. */
	told = arena_fmt(ld->a, "\001%s:%u:%s:" SV_FMT, file, line, what, SV_ARG(name));
	if (hash_set(ld->missing, sv_cstr(told), ld) != NULL)
		return;
	exim_report_warn(ld->rep, file, line, "%s: $" SV_FMT " is a peer's word, and a name of a file made of it is refused when it "
	    "comes to it: write %s", what, SV_ARG(name), instead_of(name));
}

/* "lsearch{/DIR/$domain}", "${readfile{/DIR/$domain}" and "lsearch;/DIR/$domain". */
void
conf_taint_text(struct loader *ld, const char *file, unsigned line, const char *what, struct sv text)
{
	for (size_t i = 1; i + 1 < text.len; i++) {
		size_t from, to = i, end, at = i + 1;
		struct sv word;

		if (text.p[i] != '{' && text.p[i] != ';')
			continue;
		while (at < text.len && sv_isspace(text.p[at]))
			at++;
		if (at == text.len || text.p[at] != '/')
			continue;
		while (to > 0 && sv_isspace(text.p[to - 1]))
			to--;
		for (from = to; from > 0 && !sv_isspace(text.p[from - 1]) && strchr("{}$:;!", text.p[from - 1]) == NULL; from--)
			;
		word = sv_sub(text, from, to);
		if (!conf_file_lookup(word) && (text.p[i] == ';' || !sv_eqs(word, "readfile")))
			continue;
		if (text.p[i] == '{')
			end = behind(text, i);
		else
			for (end = at; end < text.len && !sv_isspace(text.p[end]) && text.p[end] != ':'; end++)
				if (text.p[end] == '{')
					end = behind(text, end) - 1;
		conf_taint_path(ld, file, line, what, sv_sub(text, at, end > text.len ? text.len : end));
	}
}
