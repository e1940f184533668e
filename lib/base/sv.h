/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A string that is read: pointer, length, taint.  It owns nothing and may hold
 * NUL bytes.  <tainted> says that the bytes came from a peer, and travels with
 * every copy.  It is a set of bits, so that what is put together from several
 * strings has the bits of all: SV_PLAIN for bytes as they came, one of the
 * others for bytes that the quoting of a lookup made harmless to its queries.
 * A string with one of those and nothing else is quoted as a whole.
 */
#ifndef VPOST_BASE_SV_H
#define VPOST_BASE_SV_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct sv {
	const char	*p;
	size_t		 len;
	unsigned char	 tainted;
};

#define SV_PLAIN	1		/* also what "true" is */

#define SV_NULL		((struct sv){ NULL, 0, false })
#define SV_LIT(s)	((struct sv){ "" s, sizeof(s) - 1, false })
#define SV_FMT		"%.*s"
#define SV_ARG(v)	(int)(v).len, (v).p == NULL ? "" : (v).p

static inline struct sv
sv_from(const char *p, size_t len)
{
	return ((struct sv){ p, len, false });
}

/* <s> may be NULL: then the result is SV_NULL. */
static inline struct sv
sv_cstr(const char *s)
{
	return ((struct sv){ s, s == NULL ? 0 : strlen(s), false });
}

static inline struct sv
sv_taint(struct sv v)
{
	v.tainted = true;
	return (v);
}

/* Bytes [from, to) of <v>; both are cut to its length. */
struct sv	 sv_sub(struct sv v, size_t from, size_t to);
bool		 sv_eq(struct sv a, struct sv b);
bool		 sv_eqs(struct sv a, const char *s);
bool		 sv_caseeq(struct sv a, struct sv b);		/* ASCII case only */
bool		 sv_caseeqs(struct sv a, const char *s);
int		 sv_cmp(struct sv a, struct sv b);		/* memcmp order, then length */
bool		 sv_starts(struct sv v, const char *prefix);
bool		 sv_casestarts(struct sv v, const char *prefix);
bool		 sv_ends(struct sv v, const char *suffix);
bool		 sv_caseends(struct sv v, struct sv suffix);
/* Index of the first (last) <c>, or -1. */
ptrdiff_t	 sv_chr(struct sv v, char c);
ptrdiff_t	 sv_rchr(struct sv v, char c);
/* Index of the first <needle>, or -1. */
ptrdiff_t	 sv_find(struct sv v, struct sv needle);
ptrdiff_t	 sv_casefind(struct sv v, struct sv needle);
/* No byte above 127. */
bool		 sv_is_ascii(struct sv v);
/* Without white space (space, tab, CR, LF) at the ends, at the left, at the right. */
struct sv	 sv_trim(struct sv v);
struct sv	 sv_trim_left(struct sv v);
struct sv	 sv_trim_right(struct sv v);
/* Into <buf> as a string; false: it has not <size> bytes for that, and nothing was done. */
bool		 sv_cpy(char *buf, size_t size, struct sv v);
/*
 * Cut the next piece off *<v>: up to <sep>, which is eaten.  Returns false when
 * nothing is left; the last piece may be empty only if *<v> ended in <sep>.
 */
bool		 sv_next(struct sv *v, char sep, struct sv *piece);
/* The next word between runs of spaces and tabs; false when none is left. */
bool		 sv_word(struct sv *v, struct sv *word);
/* ASCII letters, digits; locale is never asked. */
static inline bool sv_isdigit(char c) { return (c >= '0' && c <= '9'); }
static inline bool sv_isalpha(char c) { return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')); }
static inline bool sv_isalnum(char c) { return (sv_isdigit(c) || sv_isalpha(c)); }
static inline bool sv_isspace(char c) { return (c == ' ' || c == '\t' || c == '\r' || c == '\n'); }
static inline char sv_lower(char c) { return (c >= 'A' && c <= 'Z' ? (char)(c + 32) : c); }
static inline char sv_upper(char c) { return (c >= 'a' && c <= 'z' ? (char)(c - 32) : c); }

#endif
