/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The grammar of IMAP commands (RFC 3501 section 9 with RFC 2177, 2342, 2971, 3348, 3691,
 * 4315, 4959, 6851, 7888): pure.  A command is first gathered, lines and literals, then
 * parsed as a whole.
 */
#ifndef VPOST_IMAP_PARSE_H
#define VPOST_IMAP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/sv.h"
#include "mail/date.h"

#define IMAP_LINE_MAX		(64 * 1024)	/* a command without APPEND's message */
#define IMAP_TAG_MAX		64
#define IMAP_SEARCH_DEPTH	64		/* NOT, OR and parentheses within each other */
#define IMAP_PATH_MAX		50		/* numbers of a section */

/* ---- commands ---- */

#define IMAP_S_NONAUTH	0x1
#define IMAP_S_AUTH	0x2
#define IMAP_S_SELECTED	0x4
#define IMAP_S_ANY	0x7
#define IMAP_S_LOGGED	0x6

/* verb, name, states in which it is allowed, whether "UID verb" exists */
#define IMAP_COMMANDS(X)							\
	X(CAPABILITY, "CAPABILITY", IMAP_S_ANY, false)				\
	X(NOOP, "NOOP", IMAP_S_ANY, false)					\
	X(LOGOUT, "LOGOUT", IMAP_S_ANY, false)					\
	X(ID, "ID", IMAP_S_ANY, false)						\
	X(STARTTLS, "STARTTLS", IMAP_S_NONAUTH, false)				\
	X(AUTHENTICATE, "AUTHENTICATE", IMAP_S_NONAUTH, false)			\
	X(LOGIN, "LOGIN", IMAP_S_NONAUTH, false)				\
	X(SELECT, "SELECT", IMAP_S_LOGGED, false)				\
	X(EXAMINE, "EXAMINE", IMAP_S_LOGGED, false)				\
	X(CREATE, "CREATE", IMAP_S_LOGGED, false)				\
	X(DELETE, "DELETE", IMAP_S_LOGGED, false)				\
	X(RENAME, "RENAME", IMAP_S_LOGGED, false)				\
	X(SUBSCRIBE, "SUBSCRIBE", IMAP_S_LOGGED, false)				\
	X(UNSUBSCRIBE, "UNSUBSCRIBE", IMAP_S_LOGGED, false)			\
	X(LIST, "LIST", IMAP_S_LOGGED, false)					\
	X(LSUB, "LSUB", IMAP_S_LOGGED, false)					\
	X(STATUS, "STATUS", IMAP_S_LOGGED, false)				\
	X(APPEND, "APPEND", IMAP_S_LOGGED, false)				\
	X(NAMESPACE, "NAMESPACE", IMAP_S_LOGGED, false)				\
	X(IDLE, "IDLE", IMAP_S_LOGGED, false)					\
	X(CHECK, "CHECK", IMAP_S_SELECTED, false)				\
	X(CLOSE, "CLOSE", IMAP_S_SELECTED, false)				\
	X(UNSELECT, "UNSELECT", IMAP_S_SELECTED, false)				\
	X(EXPUNGE, "EXPUNGE", IMAP_S_SELECTED, true)				\
	X(SEARCH, "SEARCH", IMAP_S_SELECTED, true)				\
	X(FETCH, "FETCH", IMAP_S_SELECTED, true)				\
	X(STORE, "STORE", IMAP_S_SELECTED, true)				\
	X(COPY, "COPY", IMAP_S_SELECTED, true)					\
	X(MOVE, "MOVE", IMAP_S_SELECTED, true)

enum imap_verb {
	IMAP_NO_VERB,
#define X(verb, name, states, uid)	IMAP_##verb,
	IMAP_COMMANDS(X)
#undef X
};
const char *imap_verb_name(enum imap_verb v);
unsigned imap_verb_states(enum imap_verb v);

/* ---- pieces ---- */

struct imap_range {
	uint32_t	 first, last;	/* as written, in any order; 0 is "*" */
};

struct imap_set {
	const struct imap_range *v;
	size_t		 n;
};

/* The range with "*" as <max> and the smaller number first; false if it is empty because <max> is 0. */
bool	 imap_range_resolve(const struct imap_range *r, uint32_t max, uint32_t *first, uint32_t *last);
/* True if <n> is in the set, "*" being <max>. */
bool	 imap_set_has(const struct imap_set *s, uint32_t max, uint32_t n);

struct imap_flags {
	const struct sv	*v;		/* as written: "\Seen", "Junk" */
	size_t		 n;
};

enum imap_fetch {
	IMAP_F_FLAGS, IMAP_F_INTERNALDATE, IMAP_F_SIZE, IMAP_F_ENVELOPE, IMAP_F_BODY, IMAP_F_BODYSTRUCTURE, IMAP_F_UID,
	IMAP_F_SECTION
};

enum imap_part { IMAP_P_ALL, IMAP_P_HEADER, IMAP_P_FIELDS, IMAP_P_FIELDS_NOT, IMAP_P_TEXT, IMAP_P_MIME };

struct imap_fetch_item {
	enum imap_fetch	 what;
	/* IMAP_F_SECTION: */
	bool		 peek;		/* does not set \Seen */
	bool		 partial;	/* <offset.length> was given */
	enum imap_part	 part;
	uint32_t	 offset, length;
	const uint32_t	*path;		/* "1.2" */
	size_t		 npath;
	const struct sv	*fields;	/* HEADER.FIELDS */
	size_t		 nfields;
	struct sv	 label;		/* what the answer calls it: "BODY[1.HEADER]<0>", "RFC822" */
};

enum imap_key {
	IMAP_K_ALL, IMAP_K_AND, IMAP_K_OR, IMAP_K_NOT,
	IMAP_K_SEQ, IMAP_K_UID,
	IMAP_K_FLAG,			/* <text>: "\Seen" */
	IMAP_K_KEYWORD,			/* <text>: the keyword */
	IMAP_K_NEW, IMAP_K_OLD, IMAP_K_RECENT,
	IMAP_K_BEFORE, IMAP_K_ON, IMAP_K_SINCE, IMAP_K_SENTBEFORE, IMAP_K_SENTON, IMAP_K_SENTSINCE,
	IMAP_K_LARGER, IMAP_K_SMALLER,
	IMAP_K_HEADER,			/* <field> holds <text> (empty: is there) */
	IMAP_K_BODY, IMAP_K_TEXT
};

struct imap_search {
	enum imap_key	 key;
	struct imap_search *a;		/* AND, OR, NOT: first of the operands, linked by <next> */
	struct imap_search *next;
	struct imap_set	 set;
	struct sv	 field;
	struct sv	 text;		/* as sent, in the search's charset */
	int64_t		 number;	/* day since 1970, or bytes */
};

#define IMAP_STATUS_MESSAGES	0x01
#define IMAP_STATUS_RECENT	0x02
#define IMAP_STATUS_UIDNEXT	0x04
#define IMAP_STATUS_UIDVALIDITY	0x08
#define IMAP_STATUS_UNSEEN	0x10

enum imap_store { IMAP_STORE_SET, IMAP_STORE_ADD, IMAP_STORE_REMOVE };

/* A parsed command.  Everything points into the command's text or into the arena. */
struct imap_command {
	struct sv	 tag;		/* set whenever a tag could be read, even if the rest is wrong */
	enum imap_verb	 verb;		/* IMAP_NO_VERB: unknown command */
	bool		 uid;
	/* Mailbox names in UTF-8; p NULL: what was sent is no modified UTF-7. */
	struct sv	 mailbox;
	struct sv	 mailbox2;	/* RENAME's second, LIST's pattern */
	struct sv	 user, password;
	struct sv	 mech;		/* upper case */
	struct sv	 initial;	/* SASL-IR, base64 as sent; p NULL: none */
	struct imap_set	 set;
	bool		 all;		/* EXPUNGE without a set */
	struct imap_flags flags;
	const struct imap_fetch_item *fetch;
	size_t		 nfetch;
	enum imap_store	 store;
	bool		 silent;
	const struct imap_search *search;
	struct sv	 charset;	/* p NULL: none given */
	unsigned	 status;	/* IMAP_STATUS_* */
	bool		 status_size;
	bool		 has_date;
	struct mail_date date;		/* APPEND */
	uint64_t	 literal;	/* APPEND: size of the message that follows */
	bool		 literal_sync;	/* and whether the client waits for "+" */
	const struct sv	*id;		/* ID: field, value, field, value; value.p NULL: NIL */
	size_t		 nid;
};

/* ---- gathering ---- */

/*
 * <line> (with its line end) ends in a literal "{n}", "{n+}" or "~{n}": *<n> bytes follow it; *<sync>: the
 * client waits for a continuation.
 */
bool	 imap_literal_follows(struct sv line, uint64_t *n, bool *sync);
/*
 * <text>, gathered so far, ends in a literal.  True if that is the message of an APPEND: parse <text> as it is,
 * without the message.
 */
bool	 imap_is_append(struct sv text);

/*
 * Parse the whole command <text> (with literals and the final line end).  False: BAD, and *<why> says why (a
 * constant).  out->tag and out->verb tell what could be read.
 */
bool	 imap_command_parse(struct arena *a, struct sv text, struct imap_command *out, const char **why);

/* LIST patterns: does <name> match?  "*" matches all, "%" all but <sep>. */
bool	 imap_pattern_match(struct sv pattern, struct sv name, char sep);

#endif
