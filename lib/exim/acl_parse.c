/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACLs from their lines: statements of a verb and conditions, each argument compiled
 * to a string or a list.
 */
#include <string.h>

#include "base/sb.h"
#include "base/vec.h"
#include "exim/acl_int.h"

#define STMTS_MAX	5000
#define ITEMS_MAX	1000		/* of one statement */

const struct acl_cond_def acl_conds[COND_COUNT] = {
#define X(name, how, mod, where)	{ #name, how, mod, where },
	ACL_CONDS(X)
#undef X
};

static const char *const verbs[VERB_COUNT] = { "accept", "defer", "deny", "discard", "drop", "require", "warn" };

static const char *const where_names[EXIM_WHERE_COUNT] = {
#define X(name, opt, log)	log,
	EXIM_ACL_WHERES(X)
#undef X
	"unknown"
};

const char *
exim_acl_where_name(enum exim_acl_where w)
{
	return (w < EXIM_WHERE_COUNT ? where_names[w] : "unknown");
}

struct builder {
	struct arena	*a;
	struct exim_report *rep;
	VEC(struct acl_stmt) stmts;
	VEC(struct acl_item) items;	/* of the statement under way */
	struct acl_stmt	 cur;
	bool		 open;
};

static int
verb_of(struct sv w)
{
	for (int i = 0; i < VERB_COUNT; i++)
		if (sv_eqs(w, verbs[i]))
			return (i);
	return (-1);
}

const char *
exim_acl_verb_name(enum acl_verb v)
{
	return (verbs[v]);
}

bool
exim_acl_is_verb(struct sv word)
{
	return (verb_of(word) >= 0);
}

static int
cond_of(struct sv w)
{
	for (int i = 0; i < COND_COUNT; i++)
		if (sv_eqs(w, acl_conds[i].name))
			return (i);
	return (-1);
}

static struct sv
skip_blanks(struct sv v)
{
	size_t i = 0;

	while (i < v.len && sv_isspace(v.p[i]))
		i++;
	return (sv_sub(v, i, v.len));
}

static struct sv
take_word(struct sv *v)
{
	struct sv w;
	size_t i = 0;

	while (i < v->len && (sv_isalnum(v->p[i]) || v->p[i] == '_'))
		i++;
	w = sv_sub(*v, 0, i);
	*v = skip_blanks(sv_sub(*v, i, v->len));
	return (w);
}

static void
close_stmt(struct builder *b)
{
	if (!b->open)
		return;
	b->cur.item = b->items.len == 0 ? NULL : arena_dup(b->a, b->items.p, b->items.len * sizeof(*b->items.p));
	b->cur.n = b->items.len;
	vec_push(&b->stmts, b->cur);
	b->items.len = 0;
	b->open = false;
}

static void
compile_str(struct builder *b, struct acl_item *it, struct sv text)
{
	struct err err = ERR_INIT;
	struct exim_str *s = NULL;

	if (exim_str_compile(b->a, text, it->file, it->line, &s, &err) == -1)
		exim_report_soft(b->rep, NULL, 0, "%s (ACL, %s)%s", err.text, acl_conds[it->id].name,
		    exim_opt_regex_hint(text));
	it->str = s;
	if (s == NULL || !exim_str_literal(s, &it->fixed))
		it->fixed = SV_NULL;
}

static void
compile_list(struct builder *b, struct acl_item *it, enum exim_list_kind kind)
{
	struct err err = ERR_INIT;
	struct exim_list *l = NULL;

	if (exim_list_compile(b->a, kind, it->text, it->file, it->line, &l, &err) == -1)
		exim_report_soft(b->rep, NULL, 0, "%s (ACL, %s)%s", err.text, acl_conds[it->id].name,
		    exim_opt_regex_hint(it->text));
	it->list = l;
}

/* The next word: in quotes, or up to a blank outside of braces. */
static bool
next_word(struct builder *b, struct sv *rest, struct sv *word)
{
	struct sv v = skip_blanks(*rest);
	struct sb sb = SB_INIT(EXIM_LINE_MAX);
	unsigned depth = 0;
	size_t i = 0;

	if (v.len == 0)
		return (false);
	if (v.p[0] == '"') {
		for (i = 1; i < v.len && v.p[i] != '"'; i++)
			sb_addc(&sb, v.p[v.p[i] == '\\' && i + 1 < v.len ? ++i : i]);
		*word = arena_sv(b->a, sb_sv(&sb));
		*rest = sv_sub(v, i + 1, v.len);
		sb_free(&sb);
		return (true);
	}
	for (; i < v.len && (depth > 0 || !sv_isspace(v.p[i])); i++) {
		if (v.p[i] == '\\' && i + 1 < v.len)
			i++;
		else if (v.p[i] == '{')
			depth++;
		else if (v.p[i] == '}' && depth > 0)
			depth--;
	}
	*word = sv_sub(v, 0, i);
	*rest = sv_sub(v, i, v.len);
	return (true);
}

/* The name of a nested ACL and its arguments: each is expanded by itself, so that no value makes two of one. */
static void
compile_words(struct builder *b, struct acl_item *it)
{
	const struct exim_str *words[ACL_ARGS_MAX + 1];
	struct err err = ERR_INIT;
	struct sv rest = it->text, word;

	while (it->nwords <= ACL_ARGS_MAX && next_word(b, &rest, &word)) {
		struct exim_str *s = NULL;

		if (exim_str_compile(b->a, word, it->file, it->line, &s, &err) == -1)
			exim_report_soft(b->rep, NULL, 0, "%s (ACL, acl)", err.text);
		words[it->nwords++] = s;
	}
	/* Checks at load look at a name that stands there as it is. */
	if (it->nwords != 1 || words[0] == NULL || !exim_str_literal(words[0], &it->fixed))
		it->fixed = SV_NULL;
	it->word = it->nwords == 0 ? NULL : arena_dup(b->a, words, it->nwords * sizeof(words[0]));
}

/* "acl_m0 = value": false, and told, when it is not of this form. */
static bool
parse_set(struct builder *b, struct acl_item *it, struct sv *rest)
{
	struct sv whole = *rest, name = take_word(rest), behind = sv_sub(whole, name.len, whole.len);
	bool known = sv_starts(name, "acl_c") || sv_starts(name, "acl_m");

	if (!known || name.len < 6 || !(sv_isdigit(name.p[5]) || name.p[5] == '_')) {
		(void)exim_report_error(b->rep, it->file, it->line, "error in ACL: invalid variable name after \"set\" in ACL modifier "
		    "\"set " SV_FMT "\" (%s)" EXIM_HINT ", then a digit or an underscore and a name", SV_ARG(whole), known ?
		    "digit or underscore must follow acl_c or acl_m" : "must start \"acl_c\" or \"acl_m\"");
		return (false);
	}
	if (behind.len > 0 && !sv_isspace(behind.p[0]) && behind.p[0] != '=') {
		(void)exim_report_error(b->rep, it->file, it->line, "error in ACL: invalid character \"%c\" in variable name in ACL "
		    "modifier \"set " SV_FMT "\"", behind.p[0], SV_ARG(whole));
		return (false);
	}
	it->var = arena_sv(b->a, sv_sub(name, 4, name.len));
	return (true);
}

static void
make_ready(struct builder *b, struct acl_item *it)
{
	switch (acl_conds[it->id].how) {
	case ARG_EXPAND:
	case ARG_LATER:
	case ARG_SET:
		compile_str(b, it, it->text);
		break;
	case ARG_DOMAINS:
		compile_list(b, it, EXIM_LIST_DOMAIN);
		break;
	case ARG_HOSTS:
		compile_list(b, it, EXIM_LIST_HOST);
		break;
	case ARG_LOCALS:
		compile_list(b, it, EXIM_LIST_LOCAL);
		break;
	case ARG_ADDRESSES:
		compile_list(b, it, EXIM_LIST_ADDRESS);
		break;
	case ARG_STRINGS:
		compile_list(b, it, EXIM_LIST_STRING);
		break;
	case ARG_WORDS:
		compile_words(b, it);
		break;
	case ARG_NONE:
		break;
	}
}

/* One condition or modifier, <v> behind its name <name>. */
static void
add_item(struct builder *b, const struct exim_line *line, struct sv name, struct sv v, bool negated)
{
	struct acl_item it = { .negated = negated, .file = line->file, .line = line->line, .fixed = SV_NULL };
	int id = cond_of(name);

	if (id < 0) {
		(void)exim_report_error(b->rep, line->file, line->line, "error in ACL: unknown ACL condition/modifier in \"" SV_FMT
		    "\"", SV_ARG(line->text));
		return;
	}
	it.id = (enum acl_cond_id)id;
	if (negated && acl_conds[id].modifier) {
		(void)exim_report_error(b->rep, line->file, line->line, "error in ACL: ACL error: negation is not allowed with \"%s\"",
		    acl_conds[id].name);
		return;
	}
	if (it.id == COND_endpass && b->cur.verb != VERB_ACCEPT && b->cur.verb != VERB_DISCARD) {
		(void)exim_report_error(b->rep, line->file, line->line,
		    "error in ACL: ACL error: \"endpass\" is not allowed with \"%s\"", verbs[b->cur.verb]);
		return;
	}
	if (it.id == COND_set && !parse_set(b, &it, &v))
		return;
	if (it.id != COND_endpass) {
		if (v.len == 0 || v.p[0] != '=') {
			(void)exim_report_error(b->rep, line->file, line->line, "error in ACL: \"=\" missing after ACL \"%s\" %s",
			    acl_conds[id].name, acl_conds[id].modifier ? "modifier" : "condition");
			return;
		}
		it.text = arena_sv(b->a, skip_blanks(sv_sub(v, 1, v.len)));
		exim_line_where(line, (size_t)(v.p - line->text.p), &it.file, &it.line);
		make_ready(b, &it);
	}
	if (b->items.len < ITEMS_MAX)
		vec_push(&b->items, it);
	else
		(void)exim_report_error(b->rep, line->file, line->line, "an ACL statement has more than %d conditions", ITEMS_MAX);
}

static void
warn_late_message(struct builder *b)
{
	/* "require" and "accept ... endpass" use a message only when it stands before the condition that fails. */
	size_t last = b->items.len;

	if (!b->open || b->cur.verb != VERB_REQUIRE || last < 2)
		return;
	if ((b->items.p[last - 1].id == COND_message || b->items.p[last - 1].id == COND_log_message)) {
		for (size_t i = 0; i + 1 < last; i++)
			if (b->items.p[i].id == b->items.p[last - 1].id)
				return;
		exim_report_warn(b->rep, b->items.p[last - 1].file, b->items.p[last - 1].line,
		    "\"%s\" stands behind the conditions of \"require\", so it is never used: put it before them",
		    acl_conds[b->items.p[last - 1].id].name);
	}
}

static void
add_line(struct builder *b, const struct exim_line *line)
{
	struct sv v = line->text, word;
	bool negated = false;
	int verb;

	if (v.len > 0 && v.p[0] == '!') {
		negated = true;
		v = skip_blanks(sv_sub(v, 1, v.len));
	}
	word = take_word(&v);
	verb = verb_of(word);
	if (verb >= 0) {
		warn_late_message(b);
		close_stmt(b);
		if (negated)
			(void)exim_report_error(b->rep, line->file, line->line, "error in ACL: malformed ACL line \"" SV_FMT "\"",
			    SV_ARG(line->text));
		if (b->stmts.len >= STMTS_MAX) {
			(void)exim_report_error(b->rep, line->file, line->line, "an ACL has more than %d statements", STMTS_MAX);
			return;
		}
		b->cur = (struct acl_stmt){ .verb = (enum acl_verb)verb, .file = line->file, .line = line->line };
		b->open = true;
		if (v.len == 0)
			return;
		negated = v.p[0] == '!';
		if (negated)
			v = skip_blanks(sv_sub(v, 1, v.len));
		word = take_word(&v);
	} else if (!b->open) {
		if (word.len > 0 && !sv_isalpha(word.p[0]))
			word.len = 0;
		(void)exim_report_error(b->rep, line->file, line->line, "error in ACL: unknown ACL verb \"" SV_FMT "\" in \"" SV_FMT
		    "\"", SV_ARG(word), SV_ARG(line->text));
		return;
	}
	add_item(b, line, word, v, negated);
}

struct exim_acl *
exim_acl_compile(struct arena *a, struct sv name, bool (*next)(void *arg, struct exim_line *line), void *arg,
    struct exim_report *rep)
{
	struct builder b = { .a = a, .rep = rep, .stmts = VEC_INIT, .items = VEC_INIT };
	struct exim_acl *acl = arena_zalloc(a, sizeof(*acl));
	struct exim_line line;

	while (next(arg, &line))
		add_line(&b, &line);
	warn_late_message(&b);
	close_stmt(&b);
	acl->name = arena_sv(a, name);
	acl->stmt = b.stmts.len == 0 ? NULL : arena_dup(a, b.stmts.p, b.stmts.len * sizeof(*b.stmts.p));
	acl->n = b.stmts.len;
	vec_free(&b.stmts);
	vec_free(&b.items);
	return (acl);
}

/* Text of an option or a file: there are no macros and no directives in it. */
struct text_lines {
	struct arena	*a;
	struct exim_report *rep;
	const char	*file;
	struct sv	 rest;
	unsigned	 line;
	struct exim_piece piece;
};

/* The next line as it stands, blanks around it gone; false at the end. */
static bool
physical_line(struct text_lines *t, struct sv *out)
{
	if (!sv_next(&t->rest, '\n', out))
		return (false);
	t->line++;
	*out = sv_trim(*out);
	return (true);
}

/* "name:": another ACL would begin here, and this one ends. */
static bool
begins_another(struct sv text)
{
	struct sv v = text;

	(void)take_word(&v);
	return (v.len > 0 && v.len < text.len && v.p[0] == ':');
}

static bool
next_of_text(void *arg, struct exim_line *out)
{
	struct text_lines *t = arg;
	struct sv line = SV_LIT(""), more;
	struct sb whole = SB_INIT(EXIM_LINE_MAX);

	while (line.len == 0 || line.p[0] == '#')
		if (!physical_line(t, &line))
			return (false);
	t->piece = (struct exim_piece){ .file = t->file, .line = t->line };
	sb_add(&whole, line);
	while (whole.len > 0 && whole.p[whole.len - 1] == '\\') {
		whole.len--;
		do {
			if (!physical_line(t, &more))
				more = SV_LIT("");
		} while (more.len > 0 && more.p[0] == '#');
		sb_add(&whole, more);
	}
	if (whole.overflow)
		(void)exim_report_error(t->rep, t->file, t->line, "a continued line is longer than %d bytes", EXIM_LINE_MAX);
	*out = (struct exim_line){ .text = arena_sv(t->a, sb_sv(&whole)), .file = t->file, .line = t->line,
	    .last_line = t->line, .piece = &t->piece, .npieces = 1 };
	sb_free(&whole);
	return (!begins_another(out->text));
}

struct exim_acl *
exim_acl_compile_text(struct arena *a, struct sv name, struct sv text, struct exim_report *rep)
{
	struct text_lines t = { .a = a, .rep = rep, .file = arena_cstr(a, name), .rest = text };

	return (exim_acl_compile(a, name, next_of_text, &t, rep));
}

struct sv
exim_acl_name(const struct exim_acl *acl)
{
	return (acl->name);
}
