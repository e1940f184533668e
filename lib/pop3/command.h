/* SPDX-License-Identifier: BSD-2-Clause */
/* POP3 command lines (RFC 1939, 2449, 2595, 5034): pure. */
#ifndef VPOST_POP3_COMMAND_H
#define VPOST_POP3_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sv.h"

#define POP3_LINE_MAX	1024		/* RFC 2449 section 4 says 255; passwords may be longer */

enum pop3_verb {
	POP3_CAPA, POP3_USER, POP3_PASS, POP3_APOP, POP3_AUTH, POP3_STLS, POP3_STAT, POP3_LIST, POP3_UIDL, POP3_RETR,
	POP3_TOP, POP3_DELE, POP3_RSET, POP3_NOOP, POP3_QUIT
};

/* States in which a command is allowed. */
#define POP3_S_LOGIN	0x1		/* AUTHORIZATION */
#define POP3_S_SESSION	0x2		/* TRANSACTION */

struct pop3_command {
	enum pop3_verb	 verb;
	unsigned	 states;
	struct sv	 arg;		/* name, password, mechanism; SV_NULL if none */
	struct sv	 arg2;		/* APOP: digest; AUTH: initial response (SV_NULL: none, "=": empty) */
	uint32_t	 number;	/* message number, 0: none given (only where it may be left out) */
	uint32_t	 lines;		/* of TOP */
};

/*
 * Parse a line (with or without its CRLF).  The arguments point into it.  False: *<why> is what to answer behind
 * "-ERR ".
 */
bool	 pop3_command_parse(struct sv line, struct pop3_command *c, const char **why);
const char *pop3_verb_name(enum pop3_verb v);

#endif
