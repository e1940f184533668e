/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control = cutthrough_delivery (section 44.22 of Exim's manual): a message goes on to the one host of all its recipients while
 * it comes in, over the connection on which that host was asked about them.  What this cannot do the spool does: as
 * long as the host has not answered the content, nothing here has happened.
 */
#ifndef VPOST_SESSION_CUTTHROUGH_H
#define VPOST_SESSION_CUTTHROUGH_H

#include "deliver/client.h"
#include "exim/acl.h"
#include "route/route.h"

struct session;

/* The control, with what stands behind its name. */
void	 session_cut_order(struct session *s, struct sv opts);
/* Is the way of the recipient that is verified now to be kept, with all that leads there, in the transaction's arena? */
bool	 session_cut_routes(struct session *s);
/* Is the connection of this question about a recipient to be kept for the message?  Then it is made in the transaction's arena. */
bool	 session_cut_wants(const struct session *s, const struct exim_verify *v, const struct route_delivery *rd);
/* The host took the first recipient.  True: <conn> and <opts>, by which it was made, are ours now. */
bool	 session_cut_keep(struct session *s, struct deliver_conn **conn, struct deliver_opts *opts, const struct route_delivery *rd,
	     const char *address);
/*
 * Ask about a further recipient over the kept connection.  False: that is not possible, and nothing is known; else *<res> and
 * <out> as of exim_callout.
 */
bool	 session_cut_ask(struct session *s, const struct exim_verify *v, const struct route_delivery *rd, struct exim_verify_result *out,
	     enum exim_result *res);
/* Only the way over the kept connection counts, or no connection is open: ask nobody else. */
bool	 session_cut_only(const struct session *s);
/* The ACL took the recipient <addr>: the host has to as well.  False: it did not, which was answered. */
bool	 session_cut_rcpt(struct session *s, struct sv addr);
/* The ACL did not take it: what the host was told of it does not hold. */
void	 session_cut_rcpt_refused(struct session *s);
/* Before the content: DATA. */
void	 session_cut_data(struct session *s);
/* More of the content is there. */
void	 session_cut_header(struct session *s);
void	 session_cut_body(struct session *s, struct sv piece);
/* Nothing becomes of it. */
void	 session_cut_cancel(struct session *s);

enum cut_end {
	CUT_NONE,	/* the spool takes the message */
	CUT_WAITS,	/* the spool takes it, and it is tried later */
	CUT_TAKEN,	/* the host has it */
	CUT_ANSWERED	/* the host refused it, and the client knows */
};
/* The content is complete and all ACLs are content. */
enum cut_end session_cut_end(struct session *s);

#endif
