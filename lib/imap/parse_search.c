/* SPDX-License-Identifier: BSD-2-Clause */
/* SEARCH: keys as a tree (RFC 3501 6.4.4). */
#include "imap/lex_int.h"

enum arg { A_NONE, A_TEXT, A_DATE, A_SIZE, A_KEYWORD, A_HEADER, A_SET };

/* A key and, for those that are another key in disguise, what they stand for. */
static const struct {
	const char	*name;
	enum arg	 arg;
	enum imap_key	 key;
	bool		 negated;
	const char	*what;		/* flag, or field of a header */
} keys[] = {
	{ "ALL", A_NONE, IMAP_K_ALL, false, NULL },
	{ "ANSWERED", A_NONE, IMAP_K_FLAG, false, "\\Answered" },
	{ "BCC", A_TEXT, IMAP_K_HEADER, false, "Bcc" },
	{ "BEFORE", A_DATE, IMAP_K_BEFORE, false, NULL },
	{ "BODY", A_TEXT, IMAP_K_BODY, false, NULL },
	{ "CC", A_TEXT, IMAP_K_HEADER, false, "Cc" },
	{ "DELETED", A_NONE, IMAP_K_FLAG, false, "\\Deleted" },
	{ "DRAFT", A_NONE, IMAP_K_FLAG, false, "\\Draft" },
	{ "FLAGGED", A_NONE, IMAP_K_FLAG, false, "\\Flagged" },
	{ "FROM", A_TEXT, IMAP_K_HEADER, false, "From" },
	{ "HEADER", A_HEADER, IMAP_K_HEADER, false, NULL },
	{ "KEYWORD", A_KEYWORD, IMAP_K_KEYWORD, false, NULL },
	{ "LARGER", A_SIZE, IMAP_K_LARGER, false, NULL },
	{ "NEW", A_NONE, IMAP_K_NEW, false, NULL },
	{ "OLD", A_NONE, IMAP_K_OLD, false, NULL },
	{ "ON", A_DATE, IMAP_K_ON, false, NULL },
	{ "RECENT", A_NONE, IMAP_K_RECENT, false, NULL },
	{ "SEEN", A_NONE, IMAP_K_FLAG, false, "\\Seen" },
	{ "SENTBEFORE", A_DATE, IMAP_K_SENTBEFORE, false, NULL },
	{ "SENTON", A_DATE, IMAP_K_SENTON, false, NULL },
	{ "SENTSINCE", A_DATE, IMAP_K_SENTSINCE, false, NULL },
	{ "SINCE", A_DATE, IMAP_K_SINCE, false, NULL },
	{ "SMALLER", A_SIZE, IMAP_K_SMALLER, false, NULL },
	{ "SUBJECT", A_TEXT, IMAP_K_HEADER, false, "Subject" },
	{ "TEXT", A_TEXT, IMAP_K_TEXT, false, NULL },
	{ "TO", A_TEXT, IMAP_K_HEADER, false, "To" },
	{ "UID", A_SET, IMAP_K_UID, false, NULL },
	{ "UNANSWERED", A_NONE, IMAP_K_FLAG, true, "\\Answered" },
	{ "UNDELETED", A_NONE, IMAP_K_FLAG, true, "\\Deleted" },
	{ "UNDRAFT", A_NONE, IMAP_K_FLAG, true, "\\Draft" },
	{ "UNFLAGGED", A_NONE, IMAP_K_FLAG, true, "\\Flagged" },
	{ "UNKEYWORD", A_KEYWORD, IMAP_K_KEYWORD, true, NULL },
	{ "UNSEEN", A_NONE, IMAP_K_FLAG, true, "\\Seen" },
};

static struct imap_search *
new_key(struct imap_lex *l, enum imap_key key)
{
	struct imap_search *s = arena_zalloc(l->a, sizeof(*s));

	s->key = key;
	return (s);
}

static bool
argument(struct imap_lex *l, enum arg arg, struct imap_search *s)
{
	uint32_t n;
	struct sv v;

	if (arg == A_NONE)
		return (true);
	if (!lex_space(l))
		return (false);
	switch (arg) {
	case A_NONE:
		break;
	case A_TEXT:
		return (lex_astring(l, &s->text));
	case A_HEADER:
		return (lex_astring(l, &s->field) && lex_space(l) && lex_astring(l, &s->text));
	case A_KEYWORD:
		return (lex_atom(l, &s->text));
	case A_SET:
		return (lex_set(l, &s->set));
	case A_DATE:
		if (!lex_astring(l, &v))
			return (false);
		return (mail_day_parse(v, &s->number) || lex_bad(l, "Malformed date"));
	case A_SIZE:
		if (!lex_number(l, 0, &n))
			return (false);
		s->number = n;
		break;
	}
	return (true);
}

static bool one_key(struct imap_lex *, struct imap_search **);

/* One or more keys by blanks, as an AND. */
static bool
key_list(struct imap_lex *l, struct imap_search **out)
{
	struct imap_search *and = new_key(l, IMAP_K_AND), **end = &and->a;

	for (;;) {
		if (!one_key(l, end))
			return (false);
		end = &(*end)->next;
		if (lex_at_end(l) || lex_peek(l) == ')')
			break;
		if (!lex_space(l))
			return (false);
	}
	*out = and->a->next == NULL ? and->a : and;
	return (true);
}

static bool
named_key(struct imap_lex *l, struct imap_search **out)
{
	struct imap_search *s, *not;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (!lex_word(l, keys[i].name))
			continue;
		s = new_key(l, keys[i].key);
		if (keys[i].key == IMAP_K_FLAG)
			s->text = sv_cstr(keys[i].what);
		else
			s->field = sv_cstr(keys[i].what);
		if (!argument(l, keys[i].arg, s))
			return (false);
		*out = s;
		if (keys[i].negated) {
			not = new_key(l, IMAP_K_NOT);
			not->a = s;
			*out = not;
		}
		return (true);
	}
	return (lex_bad(l, "Unknown search key"));
}

static bool
compound(struct imap_lex *l, struct imap_search **out)
{
	if (lex_take(l, '('))
		return (key_list(l, out) && (lex_take(l, ')') || lex_bad(l, "Missing ')'")));
	if (lex_word(l, "NOT")) {
		*out = new_key(l, IMAP_K_NOT);
		return (lex_space(l) && one_key(l, &(*out)->a));
	}
	if (lex_word(l, "OR")) {
		*out = new_key(l, IMAP_K_OR);
		return (lex_space(l) && one_key(l, &(*out)->a) && lex_space(l) && one_key(l, &(*out)->a->next));
	}
	if (sv_isdigit(lex_peek(l)) || lex_peek(l) == '*') {
		*out = new_key(l, IMAP_K_SEQ);
		return (lex_set(l, &(*out)->set));
	}
	return (named_key(l, out));
}

static bool
one_key(struct imap_lex *l, struct imap_search **out)
{
	bool ok;

	if (l->depth == IMAP_SEARCH_DEPTH)
		return (lex_bad(l, "Search too deep"));
	l->depth++;
	ok = compound(l, out);
	l->depth--;
	return (ok);
}

bool
imap_parse_search(struct imap_lex *l, struct imap_command *out)
{
	struct imap_search *s = NULL;

	if (!lex_space(l))
		return (false);
	if (lex_word(l, "CHARSET") && (!lex_space(l) || !lex_astring(l, &out->charset) || !lex_space(l)))
		return (false);
	if (!key_list(l, &s))
		return (false);
	out->search = s;
	return (true);
}
