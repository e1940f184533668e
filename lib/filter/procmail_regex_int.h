/* SPDX-License-Identifier: BSD-2-Clause */
/* The program that an expression becomes, between its compiler and the matcher. */
#ifndef VPOST_FILTER_PROCMAIL_REGEX_INT_H
#define VPOST_FILTER_PROCMAIL_REGEX_INT_H

#include <stdint.h>

#include "base/vec.h"
#include "filter/procmail_regex.h"

#define REGEX_STEPS_MAX		100000		/* of one program */
#define REGEX_DEPTH_MAX		500		/* parentheses in parentheses */
#define REGEX_STATES_MAX	200		/* of the automaton; then it starts afresh */
#define REGEX_MEMORY_MAX	(512 * 1024)

enum regex_op {
	REGEX_CHAR,		/* <c>, then <next> */
	REGEX_CLASS,		/* class number <arg> */
	REGEX_ANY,		/* any but newline */
	REGEX_BOT,		/* the newline imagined before the text */
	REGEX_EOT,		/* nothing follows the text; elsewhere as BOT */
	REGEX_EPS,		/* try the step behind, later <next> */
	REGEX_JUMP,
	REGEX_SPLIT,		/* \/: MATCH begins; go on with the step behind */
	REGEX_FIN
};

struct regex_step {
	uint8_t		 op;
	uint8_t		 c;
	uint32_t	 arg;
	uint32_t	 next;
};

struct regex_class {
	uint32_t	 bits[8];
};

struct regex_auto;

struct procmail_regex {
	struct regex_step *prog;
	size_t		 n;
	VEC(struct regex_class) classes;
	bool		 fold;
	bool		 hopeless;	/* too large: matches nothing */
	struct regex_auto *automaton;	/* NULL until the first search */
	unsigned	 refs;		/* beyond the first */
};

static inline bool
regex_class_has(const struct regex_class *k, uint8_t c)
{
	return ((k->bits[c >> 5] >> (c & 31) & 1) != 0);
}

/* Does a consuming step take <c>? */
static inline bool
regex_takes(const struct procmail_regex *re, const struct regex_step *s, uint8_t c)
{
	switch (s->op) {
	case REGEX_CHAR:
		return (s->c == c);
	case REGEX_CLASS:
		return (regex_class_has(&re->classes.p[s->arg], c));
	case REGEX_ANY:
		return (c != '\n');
	default:
		return (false);
	}
}

void	 regex_auto_free(struct regex_auto **ap);

#endif
