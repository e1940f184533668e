/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SMTP command lines (RFC 5321 section 4.1, with the extensions that the server
 * offers): one line to a verb and its arguments.  Pure.  The server session uses it,
 * and so does the reader of batch SMTP.  Lenient as Exim is (blanks behind "FROM:",
 * missing angle brackets), with Exim's error texts.
 */
#ifndef VPOST_SMTP_COMMAND_H
#define VPOST_SMTP_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/sv.h"
#include "mail/address.h"

#define SMTP_COMMAND_MAX	16384	/* bytes of a command line; RFC 5321 4.5.3.1.4 asks for 512, AUTH for 12288 */

enum smtp_verb {
	SMTP_UNKNOWN,
	SMTP_HELO, SMTP_EHLO, SMTP_LHLO,
	SMTP_MAIL, SMTP_RCPT, SMTP_DATA, SMTP_BDAT,
	SMTP_RSET, SMTP_NOOP, SMTP_QUIT, SMTP_HELP,
	SMTP_VRFY, SMTP_EXPN, SMTP_ETRN,
	SMTP_STARTTLS, SMTP_AUTH, SMTP_XCLIENT, SMTP_WELLKNOWN, SMTP_XLOCAL,
	SMTP_NVERBS
};

enum smtp_body { SMTP_BODY_NONE, SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };
enum smtp_ret { SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS };

/* RFC 3461 section 4.1; 0: not given. */
#define SMTP_NOTIFY_NEVER	0x1
#define SMTP_NOTIFY_SUCCESS	0x2
#define SMTP_NOTIFY_FAILURE	0x4
#define SMTP_NOTIFY_DELAY	0x8

struct smtp_command {
	enum smtp_verb	 verb;
	struct sv	 word;		/* the verb as written */
	struct sv	 arg;		/* what follows it, without blanks and line end */
	/* MAIL, RCPT */
	struct mail_address path;	/* domain may be empty: an unqualified address */
	struct sv	 path_text;	/* as written, without the parameters; with its angle brackets */
	int64_t		 size;		/* -1: not given */
	enum smtp_body	 body;
	enum smtp_ret	 ret;
	bool		 smtputf8;
	bool		 has_auth;
	bool		 prdr;
	struct sv	 envid;		/* xtext decoded; p NULL if not given */
	struct sv	 auth;		/* AUTH= of MAIL, xtext decoded; "<>" is empty */
	unsigned	 notify;
	struct sv	 orcpt;		/* "rfc822;user@domain", xtext decoded; p NULL if not given */
	/* BDAT */
	uint64_t	 chunk;
	bool		 last;
	/* AUTH */
	struct sv	 mechanism;
	struct sv	 initial;	/* base64 as sent; p NULL if none, empty for "=" */
};

#define SMTP_PARSE_ESMTP	0x01	/* parameters behind the address are known: after EHLO */
#define SMTP_PARSE_DSN		0x02	/* RET ENVID NOTIFY ORCPT are known */
#define SMTP_PARSE_UTF8		0x04	/* SMTPUTF8 is known, addresses may use it */
#define SMTP_PARSE_8BIT		0x08	/* BODY is known */
#define SMTP_PARSE_SIZE		0x10
#define SMTP_PARSE_AUTH		0x20	/* AUTH= of MAIL is known */
#define SMTP_PARSE_BINARY	0x40	/* BODY=BINARYMIME is known */
#define SMTP_PARSE_PRDR		0x80	/* PRDR is known */
#define SMTP_PARSE_STRIP_ANGLES	0x100	/* "<<a@b>>" is taken for "<a@b>" */
#define SMTP_PARSE_STRIP_DOT	0x200	/* the root dot of a domain is dropped */
#define SMTP_PARSE_8BIT_DOMAIN	0x400	/* domains may hold UTF-8 without SMTPUTF8 */
#define SMTP_PARSE_LAX		0x800	/* a SIZE that is no number is passed over, as Exim does */

/*
 * Parse <line> (with or without its line end).  Returns 0, or the reply code to answer with
 * (500, 501, 504, 555) and *<err> with the enhanced status and the text.  An unknown verb is 0 with
 * SMTP_UNKNOWN.  Also on an error <verb>, <word> and <arg> are set.  Slices point into <line> or <a>.
 */
unsigned smtp_command_parse(struct sv line, unsigned flags, struct arena *a, struct smtp_command *out,
	     struct err *err);

const char *smtp_verb_name(enum smtp_verb v);	/* "MAIL"; "" for SMTP_UNKNOWN */

/*
 * The argument of HELO, EHLO, LHLO: a domain or an address literal.  As Exim: any
 * letters, digits, dots, hyphens and the characters of <allow>; a literal must be one.
 */
bool	 smtp_helo_ok(struct sv arg, const char *allow);

/* xtext of RFC 3461 section 4. */
bool	 smtp_xtext_decode(struct sb *out, struct sv in);	/* false if malformed */
void	 smtp_xtext_encode(struct sb *out, struct sv in);

#endif
