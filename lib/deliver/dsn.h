/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delivery status notifications: multipart/report of RFC 3462 with the fields of RFC
 * 3464, and the text that Exim writes for people.  Pure but for reading the original.
 */
#ifndef VPOST_DELIVER_DSN_H
#define VPOST_DELIVER_DSN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED };

struct dsn_rcpt {
	enum dsn_action	 action;
	struct sv	 addr;		/* as the sender wrote it */
	struct sv	 final;		/* what it became; empty: the same */
	struct sv	 orcpt;		/* "rfc822;..." or empty */
	char		 status[12];	/* enhanced status code */
	struct sv	 remote_mta;	/* host name; empty: none */
	struct sv	 diagnostic;	/* text of the peer: "550 5.1.1 ..."; empty: none */
	struct sv	 text;		/* why, for people; may have several lines */
	int64_t		 last_attempt;	/* seconds; 0: left out */
	int64_t		 retry_until;	/* DELAYED; 0: left out */
};

struct dsn {
	const char	*id;		/* of the report, for Message-ID */
	struct sv	 hostname;	/* reporting MTA */
	struct sv	 domain;	/* of Mailer-Daemon's address */
	struct sv	 to;		/* sender of the original */
	struct sv	 envid;
	struct sv	 original_id;	/* queue id of the original */
	struct sv	 subject;	/* of the report; empty: by kind */
	int64_t		 arrival;	/* seconds */
	int64_t		 now;
	const struct dsn_rcpt *rcpts;
	size_t		 nrcpts;
	bool		 bare;		/* nothing of the original is returned */
	bool		 full;		/* return all of the original, not its header alone */
	uint64_t	 limit;		/* bytes of the original that are returned at most (0: all) */
	/* The original. */
	int		 fd;
	uint64_t	 off, len, header_len;
	/* The administrator's words; p NULL: ours. */
	struct sv	 from;		/* dsn_from */
	struct sv	 reply_to;	/* errors_reply_to */
	struct sv	 notice;	/* bounce_message_text */
	struct sv	 fields;	/* header lines with LF, instead of the subject */
	struct sv	 opening;	/* before the addresses, instead of all ours */
	struct sv	 closing;	/* behind them */
	bool		 limited;	/* the original was cut down to its header by a limit */
	bool		 utf8;		/* it was an SMTPUTF8 message: message/global (RFC 6533) */
};

/* Append the whole report (CRLF lines) to <out>, and its header's length to *<header_len> (may be NULL). */
int	 dsn_build(struct sb *out, const struct dsn *d, uint64_t *header_len, struct err *err);

#endif
