/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options from their texts: each type has one function that checks a text and
 * stores it; what is expanded is compiled here, at load.
 */
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "base/num.h"
#include "base/sb.h"
#include "exim/conf.h"
#include "exim/expand.h"
#include "exim/match.h"
#include "exim/option.h"
#include "exim/rewrite_int.h"

#define NUMS_MAX	256	/* elements of a time, uid or gid list */

/* One setting on its way into its value. */
struct setting {
	const struct exim_opt_ctx *ctx;
	const struct exim_option *opt;
	struct exim_value *v;
	struct sv	 text;		/* quotes resolved */
	const char	*file;
	unsigned	 line;
};

#define WRONG(s, ...)	exim_report_error((s)->ctx->rep, (s)->file, (s)->line, __VA_ARGS__)

static bool
expands(struct sv text)
{
	return (sv_chr(text, '$') >= 0);
}

const char *
exim_opt_regex_hint(struct sv text)
{
	bool regex = sv_starts(text, "^") || sv_find(text, SV_LIT("match")) >= 0 || sv_find(text, SV_LIT("${sg")) >= 0 ||
	    sv_find(text, SV_LIT(": ^")) >= 0;

	return (regex && sv_find(text, SV_LIT("\\N")) < 0 ? "; the $, backslashes and braces of a regular expression need "
	    "protection: write \\N before and behind it" : "");
}

/* Compile <text>; a mistake is told as a warning, since Exim finds it only when it expands the string. */
static const struct exim_str *
compile(const struct setting *s, struct sv text)
{
	struct err err = ERR_INIT;
	struct exim_str *str = NULL;

	if (exim_str_compile(s->ctx->arena, text, s->file, s->line, &str, &err) == -1)
		exim_report_soft(s->ctx->rep, NULL, 0, "%s (option %s)%s", err.text, s->opt->name, exim_opt_regex_hint(text));
	return (str);
}

/* What Exim adds where the characters too many, at <i>, seem to be a comment. */
static const char *
comment(struct sv v, size_t i)
{
	v = sv_trim(sv_sub(v, i, v.len));
	return (sv_starts(v, "#") ? " (# is comment only at line start)" : "");
}

/* What is wrong with a number, in Exim's words. */
static int
number(const struct setting *s, bool ok)
{
	const char *kind = s->opt->type == EXIM_OPT_OCTAL ? "octal integer" : s->opt->type == EXIM_OPT_FIXED ?
	    "fixed-point" : "integer", *noun = s->opt->type == EXIM_OPT_FIXED ? " number" : "";
	struct sv v = s->text;
	size_t i = 0;

	if (ok)
		return (0);
	if (s->opt->type == EXIM_OPT_TIME || s->opt->type == EXIM_OPT_TIMELIST)
		return (WRONG(s, "invalid time value for %s" EXIM_HINT ": \"" SV_FMT "\" (like 2h or 1d12h)", s->opt->name,
		    SV_ARG(v)));
	if (v.len > 0 && (v.p[0] == '-' || v.p[0] == '+') && s->opt->type != EXIM_OPT_OCTAL)
		v = sv_sub(v, 1, v.len);
	while (i < v.len && (sv_isdigit(v.p[i]) || (v.p[i] == '.' && s->opt->type == EXIM_OPT_FIXED)) &&
	    (s->opt->type != EXIM_OPT_OCTAL || v.p[i] < '8'))
		i++;
	if (i == 0)
		return (WRONG(s, "%s%s expected for %s" EXIM_HINT ", not \"" SV_FMT "\"", kind, noun, s->opt->name,
		    SV_ARG(s->text)));
	if (s->opt->type == EXIM_OPT_FIXED && v.p[0] == '.')
		return (WRONG(s, "fixed-point number expected for %s" EXIM_HINT ", not \"" SV_FMT "\"", s->opt->name, SV_ARG(s->text)));
	if (s->opt->type == EXIM_OPT_FIXED && s->text.p[0] == '-')
		return (WRONG(s, "integer \"" SV_FMT "\" is too large (overflow)" EXIM_HINT " for %s: nothing below zero",
		    SV_ARG(s->text), s->opt->name));
	if (i == v.len || (s->opt->type != EXIM_OPT_FIXED && i + 1 == v.len && strchr("kmgtKMGT", v.p[i]) != NULL))
		return (WRONG(s, "absolute value of integer \"" SV_FMT "\" is too large (overflow)" EXIM_HINT " for %s",
		    SV_ARG(s->text), s->opt->name));
	return (WRONG(s, "extra characters follow %s value for %s%s" EXIM_HINT ": \"" SV_FMT "\"", kind, s->opt->name,
	    comment(v, i), SV_ARG(s->text)));
}

/* ---- users and groups ---- */

static bool
user_id(struct sv name, int64_t *id)
{
	char buf[4096], cname[256];
	struct passwd pw, *res;

	if (num_parse(name, 0, UINT32_MAX - 1, id))
		return (true);
	if (name.len == 0 || name.len >= sizeof(cname))
		return (false);
	memcpy(cname, name.p, name.len);
	cname[name.len] = '\0';
	if (getpwnam_r(cname, &pw, buf, sizeof(buf), &res) != 0 || res == NULL)
		return (false);
	*id = pw.pw_uid;
	return (true);
}

static bool
group_id(struct sv name, int64_t *id)
{
	char buf[16384], cname[256];
	struct group gr, *res;

	if (num_parse(name, 0, UINT32_MAX - 1, id))
		return (true);
	if (name.len == 0 || name.len >= sizeof(cname))
		return (false);
	memcpy(cname, name.p, name.len);
	cname[name.len] = '\0';
	if (getgrnam_r(cname, &gr, buf, sizeof(buf), &res) != 0 || res == NULL)
		return (false);
	*id = gr.gr_gid;
	return (true);
}

/*
 * A user or group that this host does not have: a configuration of another host still loads (it is checked where it
 * is used), so this is a warning, and the value stays unset with its text.
 */
static int
set_id(struct setting *s, bool group)
{
	int64_t id;

	if (group ? group_id(s->text, &id) : user_id(s->text, &id)) {
		s->v->num = id;
		return (0);
	}
	s->v->num = -1;
	if (s->ctx->rep != NULL && s->ctx->rep->exact)
		return (WRONG(s, "%s " SV_FMT " was not found", group ? "group" : "user", SV_ARG(s->text)));
	exim_report_warn(s->ctx->rep, s->file, s->line, "%s \"" SV_FMT "\" of option %s was not found",
	    group ? "group" : "user", SV_ARG(s->text), s->opt->name);
	return (0);
}

static int
set_eid(struct setting *s, bool group)
{
	s->v->num = -1;
	s->v->str = compile(s, s->text);
	if (expands(s->text))
		return (0);
	return (set_id(s, group));
}

static int
read_ids(struct setting *s, bool group)
{
	int64_t *nums, id;
	struct sv rest = s->text, item;
	size_t n = 0;
	int sep = 0;

	nums = arena_alloc(s->ctx->arena, NUMS_MAX * sizeof(*nums));
	while (exim_list_next(&rest, &sep, s->ctx->arena, &item) && n < NUMS_MAX) {
		if (group ? group_id(item, &id) : user_id(item, &id))
			nums[n++] = id;
		else if (s->ctx->rep != NULL && s->ctx->rep->exact)
			return (WRONG(s, "%s " SV_FMT " was not found", group ? "group" : "user", SV_ARG(item)));
		else
			exim_report_warn(s->ctx->rep, s->file, s->line, "%s \"" SV_FMT "\" of option %s was not found",
			    group ? "group" : "user", SV_ARG(item), s->opt->name);
	}
	s->v->nums = nums;
	s->v->n = n;
	return (0);
}

static int
set_ids(struct setting *s, bool group)
{
	s->v->str = compile(s, s->text);
	return (expands(s->text) ? 0 : read_ids(s, group));
}

int
exim_opt_reread_ids(const struct exim_opt_ctx *ctx, const struct exim_option *opt, struct exim_value *v)
{
	struct setting s = { .ctx = ctx, .opt = opt, .v = v, .text = v->text, .file = v->file, .line = v->line };

	return (read_ids(&s, opt->type == EXIM_OPT_GIDLIST));
}

/* ---- other lists ---- */

static int
set_times(struct setting *s)
{
	int64_t *nums = arena_alloc(s->ctx->arena, NUMS_MAX * sizeof(*nums));
	struct sv rest = s->text, item;
	size_t n = 0;
	int sep = 0;

	if (sv_ends(sv_trim(rest), ":"))
		return (number(s, false));
	while (exim_list_next(&rest, &sep, s->ctx->arena, &item)) {
		if (n == NUMS_MAX)
			return (WRONG(s, "option \"%s\" has more than %d times", s->opt->name, NUMS_MAX));
		if (!exim_parse_time(item, &nums[n]))
			return (number(s, false));
		if (n > 0 && nums[n] <= nums[n - 1])
			return (WRONG(s, "time value out of order for %s" EXIM_HINT ": each is longer than the one before", s->opt->name));
		n++;
	}
	s->v->nums = nums;
	s->v->n = n == 1 && nums[0] == 0 ? 0 : n;	/* 0s alone: never */
	return (0);
}

static int
set_list(struct setting *s)
{
	static const enum exim_list_kind kind[] = {
		[EXIM_OPT_DOMAINS] = EXIM_LIST_DOMAIN, [EXIM_OPT_HOSTS] = EXIM_LIST_HOST,
		[EXIM_OPT_ADDRESSES] = EXIM_LIST_ADDRESS, [EXIM_OPT_LOCALPARTS] = EXIM_LIST_LOCAL,
	};
	struct err err = ERR_INIT;
	struct exim_list *l = NULL;

	if (exim_list_compile(s->ctx->arena, kind[s->opt->type], s->text, s->file, s->line, &l, &err) == -1)
		exim_report_soft(s->ctx->rep, NULL, 0, "%s (option %s)%s", err.text, s->opt->name, exim_opt_regex_hint(s->text));
	s->v->list = l;
	return (0);
}

/* ---- options that add up ---- */

static void
append_ptr(const struct setting *s, const void *elem, size_t size)
{
	char *p = arena_alloc(s->ctx->arena, (s->v->n + 1) * size);

	if (s->v->n > 0)
		memcpy(p, s->v->strs, s->v->n * size);
	memcpy(p + s->v->n * size, elem, size);
	s->v->strs = (const struct exim_str *const *)(void *)p;
	s->v->n++;
}

/* One element more for each item of a list. */
static void
append_items(struct setting *s, struct sv text, int sep)
{
	struct sv item;

	while (exim_list_next(&text, &sep, s->ctx->arena, &item)) {
		const struct exim_str *str = item.len == 0 ? NULL : compile(s, item);

		if (str != NULL)
			append_ptr(s, &str, sizeof(str));
	}
}

/* Header fields are separated by newlines that no blank follows. */
static void
append_headers(struct setting *s, struct sv text)
{
	size_t start = 0;

	if (sv_starts(text, "<")) {
		append_items(s, text, 0);
		return;
	}
	for (size_t i = 0; i <= text.len; i++) {
		struct sv item;
		const struct exim_str *str;

		if (i < text.len && (text.p[i] != '\n' || (i + 1 < text.len && (text.p[i + 1] == ' ' || text.p[i + 1] == '\t'))))
			continue;
		item = sv_trim(sv_sub(text, start, i));
		start = i + 1;
		str = item.len == 0 ? NULL : compile(s, item);
		if (str != NULL)
			append_ptr(s, &str, sizeof(str));
	}
}

/* The items of a list without the blanks around them. */
static struct sv
joined(const struct setting *s)
{
	struct sb out = SB_INIT(EXIM_LINE_MAX);
	struct sv rest = s->text, item, all;
	int sep = 0;

	while (exim_list_next(&rest, &sep, s->ctx->arena, &item)) {
		if (out.len > 0)
			sb_addc(&out, ':');
		for (size_t i = 0; i < item.len; i++) {
			sb_addc(&out, item.p[i]);
			if (item.p[i] == ':')
				sb_addc(&out, ':');
		}
	}
	all = arena_sv(s->ctx->arena, sb_sv(&out));
	sb_free(&out);
	return (all);
}

/* headers_add, headers_remove and condition may be given several times. */
static int
set_multi(struct setting *s, struct sv before)
{
	struct sv text = before;

	if (strcmp(s->opt->name, "headers_add") == 0)
		append_headers(s, s->text);
	else if (strcmp(s->opt->name, "headers_remove") == 0) {
		append_items(s, s->text, 0);
	} else {
		const struct exim_str *str = compile(s, s->text);

		append_ptr(s, &str, sizeof(str));
	}
	if (strcmp(s->opt->name, "headers_remove") == 0)
		s->text = s->v->text = joined(s);
	if (before.p == NULL)
		return (0);
	/* As Exim joins them, which -bP shows. */
	if (strcmp(s->opt->name, "headers_add") == 0)
		text = sv_cstr(arena_fmt(s->ctx->arena, SV_FMT "\n" SV_FMT, SV_ARG(before), SV_ARG(s->text)));
	else if (strcmp(s->opt->name, "headers_remove") == 0)
		text = sv_cstr(arena_fmt(s->ctx->arena, SV_FMT ":" SV_FMT, SV_ARG(before), SV_ARG(s->text)));
	else if (s->opt->type == EXIM_OPT_COND)
		text = sv_cstr(arena_fmt(s->ctx->arena, "${if and{{bool_lax{" SV_FMT "}}{bool_lax{" SV_FMT "}}}}", SV_ARG(before),
		    SV_ARG(s->text)));
	s->v->text = text;
	return (0);
}

static void
set_one_var(struct setting *s, struct sv text)
{
	struct exim_opt_var var;
	ptrdiff_t eq = sv_chr(text, '=');
	struct sv name = eq < 0 ? text : sv_trim(sv_sub(text, 0, (size_t)eq));

	/* Exim finds these two when the router runs. */
	if (eq < 0)
		exim_report_soft(s->ctx->rep, s->file, s->line, "set needs \"r_NAME = value\", not \"" SV_FMT "\"", SV_ARG(text));
	else if (!sv_starts(name, "r_") || name.len == 2)
		exim_report_soft(s->ctx->rep, s->file, s->line, "the variable that is set must begin with \"r_\", not \"" SV_FMT
		    "\"", SV_ARG(name));
	else {
		var.name = arena_cstr(s->ctx->arena, sv_sub(name, 2, name.len));
		var.str = compile(s, sv_trim(sv_sub(text, (size_t)eq + 1, text.len)));
		append_ptr(s, &var, sizeof(var));
	}
}

/* "r_a = x ; r_b = y", perhaps several times. */
static int
set_var(struct setting *s, struct sv before)
{
	struct sv rest = s->text, item;
	int sep = sv_starts(rest, "<") ? 0 : ';';

	while (exim_list_next(&rest, &sep, s->ctx->arena, &item))
		if (item.len > 0)
			set_one_var(s, item);
	if (before.p != NULL)
		s->v->text = sv_cstr(arena_fmt(s->ctx->arena, SV_FMT ";" SV_FMT, SV_ARG(before), SV_ARG(s->text)));
	return (0);
}

static int
set_rewrites(struct setting *s)
{
	struct exim_rewrites rw = { NULL, 0, 0 };

	if (exim_rewrites_parse_list(s->ctx->arena, s->text, s->file, s->line, s->ctx->rep, &rw) == -1)
		return (-1);
	s->v->rules = rw.rule;
	s->v->n = rw.n;
	return (0);
}

/* ---- all types ---- */

/* Options that Exim 4.96 reads at once; later ones expand them. */
static bool
fixed_in_exim(const struct setting *s)
{
	static const char *const names[] = { "recipients_max", "smtp_receive_timeout", "max_rcpt" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && s->ctx->rep != NULL && s->ctx->rep->exact; i++)
		if (strcmp(s->opt->name, names[i]) == 0)
			return (!sv_starts(s->text, "$"));
	return (false);
}

static int
set_typed(struct setting *s, struct sv before)
{
	int64_t n = 0;
	bool ok;

	switch (s->opt->type) {
	case EXIM_OPT_INT:
	case EXIM_OPT_MKINT:
		/* Sizes past 2 GB are good for us, not for Exim. */
		ok = exim_parse_int(s->text, &n) && n >= INT32_MIN && (n <= INT32_MAX || (s->opt->type == EXIM_OPT_MKINT &&
		    (s->ctx->rep == NULL || !s->ctx->rep->exact)));
		s->v->num = n;
		return (number(s, ok));
	case EXIM_OPT_KINT:	/* without a letter it is in K */
		ok = exim_parse_int(s->text, &n);
		s->v->num = s->text.len > 0 && sv_isdigit(s->text.p[s->text.len - 1]) ? n : n / 1024;
		return (number(s, ok));
	case EXIM_OPT_OCTAL:
		return (number(s, exim_parse_octal(s->text, &s->v->num)));
	case EXIM_OPT_FIXED:
		return (number(s, exim_parse_fixed(s->text, &s->v->num)));
	case EXIM_OPT_TIME:
		return (number(s, exim_parse_time(s->text, &s->v->num)));
	case EXIM_OPT_TIMELIST:
		return (set_times(s));
	case EXIM_OPT_STRING:
	case EXIM_OPT_SLIST:
		return (0);
	case EXIM_OPT_ESTRING:
	case EXIM_OPT_ESLIST:
	case EXIM_OPT_ETIME:
	case EXIM_OPT_EINT:
		s->v->str = compile(s, s->text);
		/* Fixed texts give a number at once, and Exim before 4.98 has only those for some. */
		if (s->opt->type == EXIM_OPT_ETIME && fixed_in_exim(s) && !exim_parse_time(s->text, &s->v->num))
			return (WRONG(s, "invalid time value for %s", s->opt->name));
		if (s->opt->type == EXIM_OPT_EINT && fixed_in_exim(s))
			return (number(s, exim_parse_int(s->text, &s->v->num)));
		if (s->opt->type == EXIM_OPT_ETIME && !expands(s->text) && !exim_parse_time(s->text, &s->v->num))
			exim_report_soft(s->ctx->rep, s->file, s->line, "invalid time value for %s: \"" SV_FMT "\"",
			    s->opt->name, SV_ARG(s->text));
		if (s->opt->type == EXIM_OPT_EINT && s->text.len > 0 && !expands(s->text) && !exim_parse_int(s->text, &s->v->num))
			exim_report_soft(s->ctx->rep, s->file, s->line, "integer expected for %s, not \"" SV_FMT "\"",
			    s->opt->name, SV_ARG(s->text));
		return (0);
	case EXIM_OPT_MULTI:
	case EXIM_OPT_COND:
		return (set_multi(s, before));
	case EXIM_OPT_SETVAR:
		return (set_var(s, before));
	case EXIM_OPT_DOMAINS:
	case EXIM_OPT_HOSTS:
	case EXIM_OPT_ADDRESSES:
	case EXIM_OPT_LOCALPARTS:
		return (set_list(s));
	case EXIM_OPT_UID:
	case EXIM_OPT_GID:
		return (set_id(s, s->opt->type == EXIM_OPT_GID));
	case EXIM_OPT_EUID:
	case EXIM_OPT_EGID:
		return (set_eid(s, s->opt->type == EXIM_OPT_EGID));
	case EXIM_OPT_UIDLIST:
	case EXIM_OPT_GIDLIST:
		return (set_ids(s, s->opt->type == EXIM_OPT_GIDLIST));
	case EXIM_OPT_REWRITE:
		return (set_rewrites(s));
	default:
		return (0);
	}
}

/* "yes", "no", "true", "false" and nothing behind it; an empty text is true. */
static int
read_bool(struct setting *s, bool *b)
{
	struct sv word = s->text, rest;
	size_t i = 0;

	*b = true;
	if (word.len == 0 || exim_parse_bool(word, b))
		return (0);
	while (i < word.len && ((i > 0 && sv_isdigit(word.p[i])) || sv_isalpha(word.p[i]) || word.p[i] == '_'))
		i++;
	rest = sv_trim(sv_sub(word, i, word.len));
	word = sv_sub(word, 0, i);
	if (rest.len > 0 && exim_parse_bool(word, b))
		return (WRONG(s, "extra characters follow \"" SV_FMT "\" for boolean option %s%s" EXIM_HINT ": \"" SV_FMT "\"",
		    SV_ARG(word), s->opt->name, comment(rest, 0), SV_ARG(rest)));
	return (WRONG(s, "\"" SV_FMT "\" is not a valid value for the \"%s\" option" EXIM_HINT " (true, false, yes or no)",
	    SV_ARG(word), s->opt->name));
}

static int
set_bool(struct setting *s, const struct exim_assign *as)
{
	bool b = true;

	if (as->value.p != NULL) {
		if (as->negated)
			return (WRONG(s, "extra characters follow boolean option " SV_FMT EXIM_HINT ": it takes no value",
			    SV_ARG(as->full_name)));
		/* Not all of them before 4.98. */
		if (s->opt->type == EXIM_OPT_EBOOL && expands(s->text) && !(s->ctx->rep != NULL && s->ctx->rep->exact &&
		    strcmp(s->opt->name, "hosts_randomize") == 0)) {
			s->v->str = compile(s, s->text);
			return (0);
		}
		if (read_bool(s, &b) == -1)
			return (-1);
	}
	s->v->num = b != as->negated;
	s->v->text = s->v->num != 0 ? SV_LIT("true") : SV_LIT("false");
	return (0);
}

static bool
is_bool(enum exim_opt_type t)
{
	return (t == EXIM_OPT_BOOL || t == EXIM_OPT_BOOL_SET || t == EXIM_OPT_BOOL_VERIFY || t == EXIM_OPT_EBOOL);
}

/* Values that may stand in quotes: strings, and what is read like them. */
static bool
quotes(enum exim_opt_type t)
{
	static const enum exim_opt_type plain[] = {
		EXIM_OPT_BOOL, EXIM_OPT_BOOL_SET, EXIM_OPT_BOOL_VERIFY, EXIM_OPT_INT, EXIM_OPT_MKINT, EXIM_OPT_KINT,
		EXIM_OPT_OCTAL, EXIM_OPT_FIXED, EXIM_OPT_TIME, EXIM_OPT_TIMELIST
	};

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (t == plain[i])
			return (false);
	return (true);
}

static bool
adds_up(enum exim_opt_type t)
{
	return (t == EXIM_OPT_MULTI || t == EXIM_OPT_COND || t == EXIM_OPT_SETVAR);
}

/* verify and fail_verify stand for the pair of their _sender and _recipient. */
static void
set_verify_pair(const struct exim_opt_table *t, const struct setting *s, struct exim_value *values)
{
	static const char *const suffix[] = { "_sender", "_recipient" };

	for (size_t i = 0; i < 2; i++) {
		char name[64];
		int k;

		(void)snprintf(name, sizeof(name), "%s%s", s->opt->name, suffix[i]);
		k = exim_opt_find(t, sv_cstr(name));
		values[k].num = s->v->num;
		values[k].set = true;
		values[k].text = s->v->text;
		values[k].file = s->file;
		values[k].line = s->line;
	}
}

/* Was the value set by verify or fail_verify, behind which it may be set for itself? */
static bool
by_pair(const struct exim_opt_table *t, const struct setting *s, const struct exim_value *values)
{
	struct sv name = sv_cstr(s->opt->name);
	size_t tail = sv_ends(name, "_sender") ? 7 : sv_ends(name, "_recipient") ? 10 : 0;
	int k = tail == 0 ? -1 : exim_opt_find(t, sv_sub(name, 0, name.len - tail));

	return (k >= 0 && t->opts[k].type == EXIM_OPT_BOOL_VERIFY && values[k].set && values[k].line == s->v->line);
}

int
exim_opt_set(const struct exim_opt_ctx *ctx, const struct exim_opt_table *t, int i, const struct exim_line *line,
    const struct exim_assign *as, struct exim_value *values)
{
	struct setting s = { .ctx = ctx, .opt = &t->opts[i], .v = &values[i], .text = as->value };
	struct sv before = SV_NULL;
	struct err err = ERR_INIT;
	int rc;

	exim_line_where(line, as->value_off, &s.file, &s.line);
	if (s.v->set && !adds_up(s.opt->type) && !by_pair(t, &s, values))
		return (WRONG(&s, "\"" SV_FMT "\" option set for the second time" EXIM_HINT " (first in %s:%u)",
		    SV_ARG(as->full_name), s.v->file, s.v->line));
	if (as->negated && !is_bool(s.opt->type))
		return (WRONG(&s, "negation prefix applied to a non-boolean option" EXIM_HINT ": \"" SV_FMT "\"",
		    SV_ARG(as->full_name)));
	if (as->junk.len > 0)
		return (is_bool(s.opt->type) ? WRONG(&s, "extra characters follow boolean option " SV_FMT, SV_ARG(as->full_name)) :
		    WRONG(&s, "missing \"=\" after " SV_FMT, SV_ARG(as->full_name)));
	if (!is_bool(s.opt->type) && as->value.p == NULL)
		return (WRONG(&s, "unexpected end of line (data missing) after %s" EXIM_HINT ": it needs \"= value\" (%s)",
		    s.opt->name, exim_opt_type_name(s.opt->type)));
	if (as->value.p != NULL && quotes(s.opt->type) && exim_string_parse(as->value, ctx->arena, &s.text, &err) == -1)
		return (WRONG(&s, "%s for %s", err.text, s.opt->name));
	if (!quotes(s.opt->type) && as->value.p != NULL)
		s.text = sv_trim(as->value);
	if (s.opt->flags & EXIM_OPTF_KNOWN || t->flags & EXIM_OPTF_KNOWN)
		exim_report_warn(ctx->rep, s.file, s.line, "option \"%s\" is known but has no effect here", 
		    s.opt->name);
	if (adds_up(s.opt->type) && s.v->set)
		before = s.v->text;
	if (!is_bool(s.opt->type))
		s.v->text = s.text;
	else
		s.v->text = s.text.p == NULL ? SV_LIT("true") : s.text;
	rc = is_bool(s.opt->type) ? set_bool(&s, as) : set_typed(&s, before);
	s.v->set = true;
	s.v->hide = s.v->hide || as->hide;
	s.v->file = s.file;
	s.v->line = s.line;
	if (s.opt->type == EXIM_OPT_BOOL_VERIFY && rc == 0)
		set_verify_pair(t, &s, values);
	return (rc);
}

/* A user that stands there by name brings his group along for the option beside it that is not set. */
static void
group_of_user(const struct exim_opt_ctx *ctx, const struct exim_opt_table *t, size_t i, struct exim_value *values)
{
	struct sv name = sv_cstr(t->opts[i].name);
	char buf[4096], partner[64], *user;
	struct passwd pw, *res = NULL;
	int k, n;

	if ((t->opts[i].type != EXIM_OPT_UID && t->opts[i].type != EXIM_OPT_EUID) || !values[i].set || values[i].num < 0 ||
	    !sv_ends(name, "user") || values[i].text.len == 0 || values[i].text.len >= sizeof(buf) / 2)
		return;
	n = snprintf(partner, sizeof(partner), "%.*sgroup", (int)name.len - 4, name.p);
	if (n < 0 || (size_t)n >= sizeof(partner) || (k = exim_opt_find(t, sv_cstr(partner))) < 0 || values[k].set ||
	    num_parse(values[i].text, 0, UINT32_MAX, &(int64_t){ 0 }))
		return;
	user = arena_cstr(ctx->arena, values[i].text);
	if (getpwnam_r(user, &pw, buf, sizeof(buf), &res) == 0 && res != NULL)
		values[k].num = (int64_t)pw.pw_gid;
}

void
exim_opt_defaults(const struct exim_opt_ctx *ctx, const struct exim_opt_table *t, struct exim_value *values)
{
	for (size_t i = 0; i < t->n; i++) {
		struct setting s = { .ctx = ctx, .opt = &t->opts[i], .v = &values[i] };
		struct err err = ERR_INIT;
		bool b;

		if (values[i].set)
			continue;
		if (s.opt->type == EXIM_OPT_UID || s.opt->type == EXIM_OPT_GID || s.opt->type == EXIM_OPT_EUID ||
		    s.opt->type == EXIM_OPT_EGID || s.opt->type == EXIM_OPT_FIXED)
			values[i].num = -1;
		if (s.opt->dflt == NULL)
			continue;
		(void)exim_string_parse(sv_cstr(s.opt->dflt), ctx->arena, &s.text, &err);
		s.v->text = s.text;
		if (is_bool(s.opt->type))
			s.v->num = exim_parse_bool(s.text, &b) && b;
		else
			(void)set_typed(&s, SV_NULL);
	}
	for (size_t i = 0; i < t->n; i++)
		group_of_user(ctx, t, i, values);
}
