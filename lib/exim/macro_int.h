/* SPDX-License-Identifier: BSD-2-Clause */
/* The lexer's macros: definition and replacement. */
#ifndef VPOST_EXIM_MACRO_INT_H
#define VPOST_EXIM_MACRO_INT_H

#include <stdint.h>

#include "base/arena.h"
#include "base/sb.h"
#include "base/sv.h"
#include "base/vec.h"

struct exim_macro {
	struct sv	 name;
	struct sv	 value;
	bool		 command_line;	/* of -D: definitions in the file are ignored */
	bool		 told;		/* that it stands inside of words */
};

struct exim_macros {
	struct arena	*arena;
	VEC(struct exim_macro) own;	/* predefined ones of this reading; names begin with an underscore */
	VEC(struct exim_macro) v;	/* in order of definition, which is the order of replacement */
	void		(*replaced)(struct sv name, struct sv value);	/* of the report */
	uint64_t	 first[4];	/* bits of the first bytes of all names */
};

enum macro_set { MACRO_OK, MACRO_TWICE, MACRO_NONE, MACRO_HIDDEN, MACRO_LIMIT };

struct exim_macro *macro_get(const struct exim_macros *m, struct sv name);
/* MACRO_TWICE: defined already and not <redefine>; MACRO_NONE: <redefine> and not defined; MACRO_HIDDEN: it holds the name *<other> of an earlier macro. */
enum macro_set macro_set(struct exim_macros *m, struct sv name, struct sv value, bool redefine, bool command_line,
		    struct sv *other);
/*
 * Replace macros in <line> from offset <from> on, into *<out> (which is cleared).  True if any was replaced.
 * *<out> overflows when the result passes its limit.
 */
bool	 macro_expand(const struct exim_macros *m, struct sv line, size_t from, struct sb *out);

#endif
