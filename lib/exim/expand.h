/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Strings of Exim's language (chapter 11 of its manual): compiled once into a
 * tree, evaluated often.  A string without expansions is known as such and costs nothing.
 *
 * Mistakes that Exim reports only when it expands a string are reported twice
 * here: at compile time to the caller, who may make a warning of it, and again by each
 * exim_expand of that string, with Exim's text.  So a compiled string exists even after a mistake.
 */
#ifndef VPOST_EXIM_EXPAND_H
#define VPOST_EXIM_EXPAND_H

#include <stdio.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/sv.h"
#include "exim/env.h"

#define EXIM_EXPAND_DEPTH	50		/* nested expansions at run time and nested items */
#define EXIM_EXPAND_MAX		(16 * 1024 * 1024)	/* bytes of a result */

/* Enhanced status of a mistake so bad that Exim would end the process (a list's file that is missing, say). */
#define EXIM_STATUS_DIE		"5.3.5"

struct exim_str;

/*
 * Compile <text>.  <file> and <line> (NULL and 0 if there is none) are kept for error texts.  Everything lives in
 * <a>; <text> is copied.  -1 and *<err> (ERR_CONFIG with FILE:LINE) on a mistake; *<out> is set all the same.
 */
int	 exim_str_compile(struct arena *a, struct sv text, const char *file, unsigned line, struct exim_str **out,
	     struct err *err);
/* No expansion in it: *<v> (may be NULL) is its value. */
bool	 exim_str_literal(const struct exim_str *s, struct sv *v);
struct sv exim_str_text(const struct exim_str *s);		/* as it was written */
const char *exim_str_file(const struct exim_str *s, unsigned *line);

/*
 * Expand <s> (NULL: the empty string).  *<out> points into <env->arena>, the configuration or what <env> points to;
 * it is valid until one of those changes.  Not NUL-terminated.  On other results than EXIM_OK *<err> holds Exim's text.
 */
enum exim_result exim_expand(const struct exim_str *s, struct exim_env *env, struct sv *out, struct err *err);
/* The same as a C string of env->arena; NUL bytes cut it. */
enum exim_result exim_expand_cstr(const struct exim_str *s, struct exim_env *env, char **out, struct err *err);
/*
 * Options of type "expanded boolean" and the condition option (manual 15, "condition"; 11.7 bool_lax):
 * empty, "0", "no", "false" are false, and with <strict> everything but those and "1", "yes", "true" or a number is an error.
 */
enum exim_result exim_expand_bool(const struct exim_str *s, struct exim_env *env, bool strict, bool *out, struct err *err);
/* Integers of options: decimal, hexadecimal, octal, K M G. */
enum exim_result exim_expand_int(const struct exim_str *s, struct exim_env *env, int64_t *out, struct err *err);
/* The same of what an option expanded to; false: *<err> is filled. */
bool	 exim_text_int(struct sv text, struct exim_env *env, int64_t *out, struct err *err);
/* Text that is known only at run time; compiled through env->caches if that is set. */
enum exim_result exim_expand_text(struct sv text, struct exim_env *env, struct sv *out, struct err *err);
/* An Exim condition alone, without ${if: for filters and tests ("eq{a}{b}"). */
struct exim_cond;
int	 exim_cond_compile(struct arena *a, struct sv text, const char *file, unsigned line, struct exim_cond **out,
	     struct err *err);
enum exim_result exim_cond_test(const struct exim_cond *c, struct exim_env *env, bool *out, struct err *err);

/*
 * A regular expression that is known only at run time, through env->caches.  1: it matches, <nums> points into <subject>; 0; -1:
 * it cannot be compiled, *<why> in PCRE2's words ("TEXT at offset N"), or its limits were reached ("EXIM_REGEX_FAILED: TEXT").
 */
#define EXIM_REGEX_FAILED	"regular expression match failed"
int	 exim_regex_match(struct exim_env *env, struct sv subject, struct sv pattern, bool caseless, struct exim_nums *nums,
	     char why[256]);

/* A variable by name without "$" ("sender_address", "h_subject"); false if there is no such variable. */
bool	 exim_var_get(struct exim_env *env, struct sv name, struct sv *out);
/* Is that a known variable of the language (for checks of macros and filters)? */
bool	 exim_var_known(struct sv name);

/*
 * What the process keeps between expansions: maps and files that were read (looked at again when their stamp
 * changes), regexes, strings compiled at run time.  Bounded.
 */
struct exim_caches *exim_caches_new(void);
void	 exim_caches_free(struct exim_caches **cp);
/* Between messages: what must not outlive one (negative lookups, results of queries). */
void	 exim_caches_message(struct exim_caches *c);

/*
 * A command (an ACL's run, the routing of an address) sees one state of each file: what was looked at since it
 * began is not looked at again by stat(2).  exim_epoch_begin at its start, outermost only, gives what exim_epoch_end
 * puts back.  Outside commands every look is fresh.
 */
uint64_t exim_epoch_begin(struct exim_env *env);
void	 exim_epoch_end(struct exim_env *env, uint64_t saved);
/* world->stat, following links, through that; -1 and errno. */
int	 exim_stat(struct exim_env *env, const char *path, struct stat *st);

/* Truth of Exim's condition strings: 1 true, 0 false, -1 neither. */
int	 exim_bool_text(struct sv v);

/* Names of the language, for checks and the manual: item, operator, condition, variable, lookup; NULL ends the walk. */
enum exim_family { EXIM_ITEMS, EXIM_OPERATORS, EXIM_CONDITIONS, EXIM_VARIABLES, EXIM_LOOKUPS };
const char *exim_family_name(enum exim_family f, size_t i);

/*
 * sendmail -be: expand each line of <in> (until its end) and write the result, or "Failed: TEXT", to <out>; a line that ends
 * in a backslash goes on.  <prompt>: write "> " before each.  Returns 0, or -1
 * as exim_be_line.
 */
int	 exim_be(struct exim_env *env, FILE *in, FILE *out, bool prompt, struct err *err);
/* sendmail -be TEXT: one line.  -1 where Exim would end here with status 1: nothing was written, *<err> says why. */
int	 exim_be_line(struct exim_env *env, struct sv line, FILE *out, struct err *err);

#endif
