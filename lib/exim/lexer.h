/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines of a configuration in Exim's syntax: comments, continuation lines, macros,
 * .include, .ifdef.  Used for exim.conf and for vpost.conf.  Everything handed out lives
 * in the arena of exim_lexer_open().
 *
 *	lx = exim_lexer_open(path, NULL, 0, arena, &report);
 *	while (exim_lexer_next(lx, &line)) {
 *		if (exim_assign_parse(&line, &as, &report) == 0)
 *			... as.name, as.value, line.file, line.line ...
 *	}
 *	exim_lexer_close(&lx);		(report.errors tells whether all was well)
 */
#ifndef VPOST_EXIM_LEXER_H
#define VPOST_EXIM_LEXER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/sv.h"
#include "exim/report.h"

#define EXIM_LINE_MAX		(256 * 1024)	/* bytes of a logical line, macros replaced */
#define EXIM_INCLUDE_MAX	20		/* files inside each other */
#define EXIM_IFDEF_MAX		64		/* conditions inside each other */
#define EXIM_MACRO_MAX		10000		/* macros of the user */
#define EXIM_MACRO_NAME_MAX	63		/* characters of a name */
#define EXIM_FILE_MAX		(16 * 1024 * 1024)

/* Names of macros, options, lists, ACLs and instances consist of these. */
static inline bool
exim_name_char(char c)
{
	return (sv_isalnum(c) || c == '_');
}

/* Where a byte of a logical line was written: piece i holds from its <off> up to the next piece's. */
struct exim_piece {
	size_t		 off;
	const char	*file;
	unsigned	 line;
};

struct exim_line {
	struct sv	 text;		/* no leading or trailing white space, never empty, NUL behind it */
	const char	*file;		/* of its first piece */
	unsigned	 line;
	unsigned	 last_line;	/* of its last piece, which is what Exim names in its messages */
	const struct exim_piece *piece;
	size_t		 npieces;
};

struct exim_lexer;

/*
 * Read file <path>.  <defines> are <n> macros "NAME=value" or "NAME" from the command line, which
 * win over definitions in the file.  The predefined macros (_VPOST, _HAVE_*, _OPT_*, _DRIVER_* ...) are there.
 * NULL, and told to <rep>, when the file cannot be read.
 */
struct exim_lexer *exim_lexer_open(const char *path, const char *const *defines, size_t n, struct arena *a,
		     struct exim_report *rep);
/* The same for text in memory; <name> stands for the file in messages (and is where relative .include starts). */
struct exim_lexer *exim_lexer_open_mem(const char *name, struct sv text, const char *const *defines, size_t n,
		     struct arena *a, struct exim_report *rep);
void	 exim_lexer_close(struct exim_lexer **lx);
/*
 * The next logical line with macros replaced; macro definitions, directives and comments are
 * digested.  False at the end.  Mistakes are told to the report and skipped.
 */
bool	 exim_lexer_next(struct exim_lexer *lx, struct exim_line *line);
/*
 * Have <fn> called with each logical line as it is read, definitions of macros too, and with text.p NULL for each place
 * where reading goes on in another file: the first line, around .include, and at the end of an included file.
 */
typedef void exim_lexer_seen(void *arg, const char *file, unsigned line, struct sv text);
void	 exim_lexer_watch(struct exim_lexer *lx, exim_lexer_seen *fn, void *arg);
/* How many macros were defined so far: a definition ends what stands before it. */
size_t	 exim_lexer_defined(const struct exim_lexer *lx);
/* Give the last line back: the next call returns it again. */
void	 exim_lexer_unget(struct exim_lexer *lx, const struct exim_line *line);
/* "begin acl" and the like: true, and the section's name. */
bool	 exim_line_is_begin(const struct exim_line *line, struct sv *section);
/* File and line of byte <off> of the line. */
void	 exim_line_where(const struct exim_line *line, size_t off, const char **file, unsigned *no);

/* A macro's value; p is NULL if there is none of this name. */
struct sv exim_lexer_macro(const struct exim_lexer *lx, struct sv name);
/*
 * A line of text outside of a file (-be).  0: *<out> (in <a>) is it with its macros replaced.  1: it defined a macro,
 * and *<out> is the name of the last one there is.  -1: it is a definition that cannot be, which is told to <rep>.
 */
int	 exim_lexer_text(struct exim_lexer *lx, struct sv line, struct arena *a, struct sv *out, struct exim_report *rep);
/* Walk the user's macros in the order of their definition (-bP macros). */
bool	 exim_lexer_macro_next(const struct exim_lexer *lx, size_t *pos, struct sv *name, struct sv *value);
/* Each of the predefined ones, in the order of -bP macros; names are made in <a>. */
typedef void	 exim_macro_fn(void *arg, struct sv name, struct sv value);
void	 exim_macro_predefined_all(struct arena *a, exim_macro_fn *fn, void *arg);
/* Did the predefined macro <name> ("_HAVE_TLS") stand in the tables. */
bool	 exim_macro_predefined(struct sv name, struct sv *value);

/* "name = value", "name", "no_name", "not_name", each with "hide" in front. */
struct exim_assign {
	struct sv	 name;		/* without no_ and not_ where <negated> */
	struct sv	 full_name;	/* as written */
	struct sv	 value;		/* as written, trimmed; p NULL when there is no '=' */
	struct sv	 junk;		/* what follows the name instead of "=" */
	bool		 negated;	/* has no_ or not_ in front */
	bool		 hide;
	size_t		 value_off;	/* offset of the value in the line, for exim_line_where() */
};

/* -1, and told to <rep>, when the line does not begin with a name. */
int	 exim_assign_parse(const struct exim_line *line, struct exim_assign *out, struct exim_report *rep);

/*
 * The value of a string option: raw text up to the end of the line, or, where it begins with
 * a double quote, the quoted string with its escapes (\n \r \t \\ \" \octal \xhex) resolved.  -1 and *<err> text when the
 * quotes do not close or something follows them.
 */
int	 exim_string_parse(struct sv value, struct arena *a, struct sv *out, struct err *err);

#endif
