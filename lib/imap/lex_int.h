/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the IMAP parser: a cursor over a command and its smallest pieces. */
#ifndef VPOST_IMAP_LEX_INT_H
#define VPOST_IMAP_LEX_INT_H

#include "base/vec.h"
#include "imap/parse.h"

struct imap_lex {
	struct arena	*a;
	struct sv	 v;
	size_t		 i;
	const char	*why;		/* the first mistake */
	unsigned	 depth;		/* of search keys */
};

static inline char
lex_peek(const struct imap_lex *l)
{
	return (l->i < l->v.len ? l->v.p[l->i] : '\0');
}

/* Note the mistake and return false. */
bool	 lex_bad(struct imap_lex *l, const char *why);
/* Take <c>, if it is there. */
bool	 lex_take(struct imap_lex *l, char c);
bool	 lex_space(struct imap_lex *l);
/* Is nothing but the line end left? */
bool	 lex_at_end(const struct imap_lex *l);
/* Take <word> if no atom character follows it; one that ends in "[" whatever follows. */
bool	 lex_word(struct imap_lex *l, const char *word);
bool	 lex_atom(struct imap_lex *l, struct sv *out);
bool	 lex_tag(struct imap_lex *l, struct sv *out);
bool	 lex_string(struct imap_lex *l, struct sv *out);
bool	 lex_astring(struct imap_lex *l, struct sv *out);
bool	 lex_nstring(struct imap_lex *l, struct sv *out);	/* out->p NULL: NIL */
/* Atom characters with wildcards, or a string. */
bool	 lex_list_mailbox(struct imap_lex *l, struct sv *out);
bool	 lex_number(struct imap_lex *l, uint32_t min, uint32_t *out);
bool	 lex_set(struct imap_lex *l, struct imap_set *out);
bool	 lex_flags(struct imap_lex *l, struct imap_flags *out);
/* "{n}" and its kin at the cursor, which moves behind the line end. */
bool	 lex_literal_head(struct imap_lex *l, uint64_t *n, bool *sync);

bool	 imap_parse_fetch(struct imap_lex *l, struct imap_command *out);
bool	 imap_parse_search(struct imap_lex *l, struct imap_command *out);

#endif
