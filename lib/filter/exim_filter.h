/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exim filters (the language of the manual "Exim's interfaces to mail filtering"): a file is
 * parsed once to a tree, its strings compiled; running the tree hands actions to a
 * table (action.h) and changes nothing outside.  The same for users' and system filters.
 */
#ifndef VPOST_FILTER_EXIM_FILTER_H
#define VPOST_FILTER_EXIM_FILTER_H

#include <stdbool.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/sv.h"
#include "exim/env.h"
#include "filter/action.h"

#define EXIM_FILTER_TEXT_MAX	(1024 * 1024)	/* of a file */
#define EXIM_FILTER_WORD	1024		/* an unexpanded word or string, with its end (filter manual 3.2) */
#define EXIM_FILTER_DEPTH	100		/* nested ifs and brackets */
#define EXIM_FILTER_STEPS	200000		/* commands and conditions of one run */
/*
 * Of a user's filter, which runs among others: processor time, ten times as much where it may look things up, since then other
 * work of the thread may count; how long it runs before others get a turn; backtracking of one match.
 */
#define EXIM_FILTER_CPU_US	1000000
#define EXIM_FILTER_TURN_US	5000
#define EXIM_FILTER_MATCH	100000

/* What a file may say and do. */
#define EXIM_FILTER_SYSTEM	0x01	/* a system filter: headers add and remove, any errors_to, $recipients */
#define EXIM_FILTER_DEFER	0x02	/* defer, fail, freeze are allowed */
#define EXIM_FILTER_FAIL	0x04
#define EXIM_FILTER_FREEZE	0x08
#define EXIM_FILTER_NO_LOGWRITE	0x10	/* logwrite is an error */
#define EXIM_FILTER_VERIFY	0x20	/* an address is only verified: logwrite does nothing */
#define EXIM_FILTER_NO_HOME	0x40	/* save: relative names stay so (no_filter_prepend_home) */
#define EXIM_FILTER_REWRITE	0x80	/* addresses of deliver go through the rewriting rules */
#define EXIM_FILTER_ALL		(EXIM_FILTER_SYSTEM | EXIM_FILTER_DEFER | EXIM_FILTER_FAIL | EXIM_FILTER_FREEZE)

struct exim_filter;

/*
 * Parse <text> (copied), which is <file>'s (for traces).  <flags> decide what is allowed.  NULL and *<why> (in <a>), Exim's text,
 * at the first mistake.
 */
struct exim_filter *exim_filter_parse(struct arena *a, struct sv text, const char *file, unsigned flags, const char **why);

enum exim_filter_end {
	EXIM_FILTER_DELIVERED,		/* a significant action was set up: the address is taken care of */
	EXIM_FILTER_NOT_DELIVERED,	/* what was set up comes in addition to normal delivery */
	EXIM_FILTER_END_DEFER,		/* defer, fail, freeze were obeyed; <text> */
	EXIM_FILTER_END_FAIL,
	EXIM_FILTER_END_FREEZE,
	EXIM_FILTER_ERROR		/* <text> says why */
};

struct exim_filter_run {
	struct exim_env	*env;		/* msg must be set; n0.. and, in a system filter, header changes are left in it */
	const struct filter_ops *ops;
	unsigned	 flags;
	const char	*home;		/* for relative names of save; NULL: none */
	/* Show instead of do, as sendmail -bf: Exim's lines go to <test>, with <verbose> conditions to <verbose>. */
	FILE		*test, *verbose;
	const char	*text;		/* result, in env->arena; NULL: none was given */
};

/* Run <f>.  Conditions, variables and expansions see <r->env>; numeric variables and filter_running are put back. */
enum exim_filter_end exim_filter_run(const struct exim_filter *f, struct exim_filter_run *r);

/* Is there a command in it that may do anything (not only comments)? */
bool	 exim_filter_empty(const struct exim_filter *f);

#endif
