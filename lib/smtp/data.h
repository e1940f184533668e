/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The content of DATA (RFC 5321 section 4.5.2): takes the bytes as they come, removes
 * the stuffed dots, finds the end.  Only CR LF . CR LF ends a message, whatever else
 * looks like it: a server that takes less for an end can be made to accept a second,
 * forged message.  Pure.
 */
#ifndef VPOST_SMTP_DATA_H
#define VPOST_SMTP_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sv.h"

enum smtp_data_state { SMTP_DATA_LINE_START, SMTP_DATA_DOT, SMTP_DATA_DOT_CR, SMTP_DATA_LINE, SMTP_DATA_CR,
	SMTP_DATA_DONE };

#define SMTP_DATA_FIX_LF	0x1	/* a bare LF is written as CR LF; without, it is kept (and counted) */
#define SMTP_DATA_LF_LINES	0x2	/* LF ends a line like CR LF, so LF . LF ends the message: only for local standard input */
#define SMTP_DATA_NO_DOTS	0x4	/* BDAT: no dots, no end (the caller counts) */
#define SMTP_DATA_FIX_CR	0x8	/* a bare CR is written as a blank; without, it is kept (and counted) */
/*
 * For trying out what Exim would do (sendmail -bh), never for mail that is kept: the first line decides whether LF alone
 * ends lines; if not, a bare LF goes on with the header field, and a bare CR ends a line of the body.
 */
#define SMTP_DATA_AS_EXIM	0x10

struct smtp_data {
	enum smtp_data_state state;
	unsigned	 flags;
	bool		 after_bare;	/* the line before ended in a bare LF */
	bool		 in_header;	/* no empty line yet */
	bool		 lf_mode;	/* AS_EXIM: LF alone ends lines */
	char		 first;		/* first byte of the line at hand */
	uint64_t	 size;		/* bytes given to the sink */
	uint64_t	 lines;
	uint64_t	 line;		/* length of the line at hand */
	uint64_t	 longest;	/* line, without its end */
	uint64_t	 bare_lf;	/* how many */
	uint64_t	 header_bare_lf, body_bare_lf;
	uint64_t	 bare_cr;
	uint64_t	 fake_ends;	/* lines of one dot with a bare LF before or behind it */
	uint64_t	 nuls;
	uint64_t	 high;		/* bytes above 127 were there (not counted exactly: pieces with such bytes) */
};

void	 smtp_data_init(struct smtp_data *d, unsigned flags);

/*
 * Take <in>.  <sink> gets what belongs to the message, in order, in pieces that point into <in>
 * or to constants.  Returns how many bytes were taken: all, or up to and with the end of the
 * message; then smtp_data_done() is true and the rest belongs to the next command.
 */
size_t	 smtp_data_feed(struct smtp_data *d, struct sv in, void (*sink)(void *arg, struct sv piece), void *arg);
bool	 smtp_data_done(const struct smtp_data *d);
/* BDAT: the last chunk is over; a CR that still waits is written. */
void	 smtp_data_finish(struct smtp_data *d, void (*sink)(void *arg, struct sv piece), void *arg);

/*
 * The other way: <in> with dots stuffed and bare CR and LF made harmless (each becomes CR LF), for DATA
 * to another server.  *<state> starts as SMTP_DATA_LINE_START and lives from piece to piece.
 * smtp_data_stuff_end writes CR LF if the last line lacks it, and the final dot.
 */
struct sb;
void	 smtp_data_stuff(struct sb *out, struct sv in, enum smtp_data_state *state);
void	 smtp_data_stuff_end(struct sb *out, enum smtp_data_state *state);

#endif
