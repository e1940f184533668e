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

struct arena;
struct exim_conf;
struct exim_env;

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED };

struct dsn_rcpt {
	enum dsn_action	 action;
	struct sv	 addr;		/* as the sender wrote it */
	struct sv	 final;		/* what it became; empty: the same */
	bool		 hidden;	/* it is not named, nor what was said of it (hide_child_in_errmsg) */
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
	struct sv	 to;		/* who is told: the sender, or another by errors_to */
	struct sv	 sender;	/* of the original */
	struct sv	 envid;
	struct sv	 original_id;	/* queue id of the original */
	const char	*delay;		/* DELAYED: since when, dsn_delay_text */
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

/* ---- words ---- */

#define DSN_DELAY_MAX	32

struct dsn_words {
	enum dsn_action	 action;
	struct sv	 to, sender;	/* who is told, and who sent the original */
	struct sv	 notice;	/* failures: bounce_message_text, whole lines */
	/* Delays. */
	struct sv	 id, hostname;	/* of the original, and where it waits */
	const char	*delay;		/* "24 hours" */
	struct sv	 subject, date;	/* of the original; p NULL: it has none */
	bool		 many;		/* addresses */
};

/* Append the text of Subject; the lines (with LF) before the addresses; those behind them. */
void	 dsn_words_subject(struct sb *out, const struct dsn_words *w);
void	 dsn_words_opening(struct sb *out, const struct dsn_words *w);
void	 dsn_words_closing(struct sb *out, const struct dsn_words *w);

/*
 * How many warnings are due for a message that is <age> seconds old, by the <n> times of delay_warning: the last
 * interval repeats, and a time alone is one.  *<passed>: the time for which the last of them is.
 */
unsigned dsn_warnings_due(const int64_t *times, size_t n, int64_t age, int64_t *passed);
/* That time in the words of Exim, which counts in hours from two hours of age on. */
void	 dsn_delay_text(char buf[DSN_DELAY_MAX], int64_t age, int64_t passed);

/*
 * Who else sees the reports to <to>, by errors_copy ("pattern  addresses: ..."): a slice in <a> with addresses between
 * commas, or p NULL.  From then on <env>->addr has <to>'s local part and domain.
 */
struct sv dsn_copies(const struct exim_conf *conf, struct exim_env *env, struct arena *a, struct sv to);

/* ---- the report ---- */

/* Append the whole report (CRLF lines) to <out>, and its header's length to *<header_len> (may be NULL). */
int	 dsn_build(struct sb *out, const struct dsn *d, uint64_t *header_len, struct err *err);

#endif
