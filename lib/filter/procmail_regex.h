/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * procmail's own regular expressions (procmailrc(5), "Extended regular expressions"): ^ $ . [..] * + ? | ( ) \c,
 * ^^ at the edges of the text, \< \> for a byte that is no part of a word, \/ before what becomes MATCH.  ^ and $
 * match a newline, the one imagined before the text or the one imagined after it.
 *
 * The search is for the leftmost shortest match, with \/ for the longest text to its right, in the very
 * order in which procmail tries things.  Time is linear in the text: a set of states runs along it,
 * and an automaton that is built as needed, with bounded memory, stands for the sets.
 */
#ifndef VPOST_FILTER_PROCMAIL_REGEX_H
#define VPOST_FILTER_PROCMAIL_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sb.h"
#include "base/sv.h"

struct procmail_regex;

/*
 * Compile <expr>; with <fold> ASCII case is ignored.  Never NULL: an expression with unbalanced parentheses is used up to
 * the mistake, as procmail does, and *<invalid> (may be NULL) is set; one that is too large matches nothing and is invalid too.
 */
struct procmail_regex *procmail_regex_new(struct sv expr, bool fold, bool *invalid);
/* One more who will call procmail_regex_free. */
struct procmail_regex *procmail_regex_ref(struct procmail_regex *re);
void	 procmail_regex_free(struct procmail_regex **rp);

struct procmail_regex_match {
	ptrdiff_t	 end;		/* one past the match: from -1 (before the text) to its length + 1 */
	bool		 captured;	/* \/ was passed: [from, to) is what goes to MATCH */
	size_t		 from, to;
};

/*
 * Search <text> from <at> on, which is 0 or the end of the match before.  The expression keeps what it learned: not for two
 * threads at a time.
 */
bool	 procmail_regex_find(struct procmail_regex *re, struct sv text, size_t at, struct procmail_regex_match *m);

/* Where the newlines of a text are, and what stands behind each (0: nothing). */
struct procmail_lines {
	const uint32_t	*nl;
	const uint8_t	*first;
	size_t		 n;
	/* By procmail_lines_done: */
	uint64_t	 set[4];	/* bytes of <first>, but for an empty line at the end */
	bool		 empty_end;	/* there is one */
};
void	 procmail_lines_done(struct procmail_lines *l);

/* The same with an index of the text, which makes most searches that begin with ^ a look at a few bytes.  NULL: none. */
bool	 procmail_regex_find_lines(struct procmail_regex *re, struct sv text, const struct procmail_lines *lines, size_t at,
	     struct procmail_regex_match *m);

/* Append <expr> with ^TO_ ^TO ^FROM_DAEMON ^FROM_MAILER written out; true: case is to be ignored whatever the flags say. */
bool	 procmail_regex_words(struct sv expr, struct sb *out);

#endif
