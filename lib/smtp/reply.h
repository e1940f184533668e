/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SMTP replies (RFC 5321 section 4.2): read by the client, written by the server; the
 * answer to EHLO; enhanced status codes (RFC 2034, 3463).  Pure.
 */
#ifndef VPOST_SMTP_REPLY_H
#define VPOST_SMTP_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"

#define SMTP_REPLY_LINE_MAX	4096	/* RFC 5321 says 512; others send more */
#define SMTP_REPLY_LINES_MAX	256
#define SMTP_REPLY_TEXT_MAX	16384
#define SMTP_STATUS_MAX		12	/* "5.123.123" and NUL */

/* One reply as the client gathers it.  Zero it, or smtp_reply_reset, before the first line. */
struct smtp_reply {
	unsigned	 code;			/* 200 to 599 */
	unsigned	 lines;
	char		 status[SMTP_STATUS_MAX];	/* enhanced status of the first line, "" if none */
	struct sb	 text;			/* the lines without code (enhanced status kept), joined by LF, printable */
};

enum smtp_reply_state {
	SMTP_REPLY_MORE,	/* another line follows */
	SMTP_REPLY_DONE,
	SMTP_REPLY_BAD		/* not SMTP: *<err> (TEMP 4.5.0) quotes it */
};

void	 smtp_reply_init(struct smtp_reply *r);
void	 smtp_reply_reset(struct smtp_reply *r);
void	 smtp_reply_free(struct smtp_reply *r);
enum smtp_reply_state smtp_reply_line(struct smtp_reply *r, struct sv line, struct err *err);
/* The reply as error: class by the first digit (4 TEMP, everything else PERM), status given or made up. Returns -1. */
int	 smtp_reply_err(const struct smtp_reply *r, struct err *err);

/* What EHLO offered. */
#define SMTP_EXT_PIPELINING	0x0001
#define SMTP_EXT_SIZE		0x0002
#define SMTP_EXT_8BITMIME	0x0004
#define SMTP_EXT_CHUNKING	0x0008
#define SMTP_EXT_STARTTLS	0x0010
#define SMTP_EXT_SMTPUTF8	0x0020
#define SMTP_EXT_DSN		0x0040
#define SMTP_EXT_AUTH		0x0080
#define SMTP_EXT_STATUSCODES	0x0100
#define SMTP_EXT_BINARYMIME	0x0200
#define SMTP_EXT_ETRN		0x0400
#define SMTP_EXT_VRFY		0x0800
#define SMTP_EXT_REQUIRETLS	0x1000
#define SMTP_EXT_PRDR		0x2000
#define SMTP_EXT_IGNOREQUOTA	0x4000
#define SMTP_EXT_PIPECONNECT	0x10000
#define SMTP_EXT_GARBLED	0x8000	/* lines of X or *: a "fixup" firewall rewrites the dialogue */

struct smtp_ehlo {
	unsigned	 ext;
	int64_t		 size;		/* 0: no limit told */
	char		 auth[256];	/* mechanisms, blanks between, upper case */
	char		 name[256];	/* the server's own name, first word of the first line */
};
/* Read the text of a 250 reply to EHLO (or LHLO). */
void	 smtp_ehlo_parse(struct smtp_ehlo *e, const struct smtp_reply *r);

/*
 * An enhanced status code at the start of <text>: "5.1.1 rest".  True: *<status> has it, *<rest> is
 * what follows its blank.  With <class> ('2', '4', '5'; 0: any) only a code of that class counts.
 */
bool	 smtp_status_split(struct sv text, char class, char status[SMTP_STATUS_MAX], struct sv *rest);

/*
 * Server: write "CODE STATUS text" with CR LF to <out>, one line for each LF in <text> (a literal
 * "\n" does not count; CR is dropped, control bytes become '?'), long lines cut at blanks to at most
 * 510 bytes.  <status> "" or NULL: none.
 */
void	 smtp_reply_put(struct sb *out, unsigned code, const char *status, struct sv text);

/*
 * A text from the configuration that brings its own code, as Exim allows: "450 4.2.0 come back".
 * If <text> starts with three digits and a blank whose first digit is that of *<code>, they
 * replace *<code> and are cut off, and so is an enhanced status, which goes to <status>.
 */
void	 smtp_reply_override(struct sv *text, unsigned *code, char status[SMTP_STATUS_MAX]);

#endif
