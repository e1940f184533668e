/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Callouts (sections 44.46 to 44.48 of Exim's manual): whether the hosts of an address take
 * mail for it, asked in an SMTP dialogue that ends before DATA, with the answers kept among the
 * hints.  The dialogue's connection is the caller's: this module sees no network.
 */
#ifndef VPOST_EXIM_CALLOUT_H
#define VPOST_EXIM_CALLOUT_H

#include "exim/acl.h"

/* What a host said, or why there was no word from it. */
struct exim_callout_reply {
	int		 code;		/* of SMTP; 0: no contact, or it was lost: <text> says why */
	struct sv	 text;		/* the reply with its code, lines by '\n'; in env->arena, tainted */
	const char	*what;		/* open: what was answered: "initial connection", "EHLO name" */
};

/*
 * The line to one host at a time.  open connects to number <host> and greets: true when commands may follow, else *<r>
 * has the refusal or the mishap.  command sends one line (without its end) and gives the answer.  close says QUIT and
 * hangs up, after open in any case.  All may park.
 */
struct exim_callout_peer {
	void		*arg;
	size_t		 nhosts;
	struct sv	 rcpt;		/* how RCPT names the address; p NULL: as it is */
	const char	*(*name)(void *arg, size_t host);	/* "host.name [address]" */
	const char	*(*address)(void *arg, size_t host);
	bool		(*open)(void *arg, size_t host, struct exim_callout_reply *r);
	void		(*command)(void *arg, const char *line, struct exim_callout_reply *r);
	void		(*close)(void *arg);
};

/* Seconds for one answer, for a connection, and for it all. */
int64_t	 exim_callout_timeout(const struct exim_verify *v);
int64_t	 exim_callout_connect(const struct exim_verify *v);

/*
 * Ask about <address> (local@domain, as routed) what <v> wants to know.  EXIM_OK, EXIM_FAIL, EXIM_DEFER; *<out> gets the
 * messages and <failure>: "mail", "recipient", "postmaster", or with EXIM_OK "random".  <v->callout_defer_ok> is the caller's.
 * Sets $callout_address.
 */
enum exim_result exim_callout(struct exim_env *env, const struct exim_verify *v, struct sv address,
		    const struct exim_callout_peer *peer, struct exim_verify_result *out);

#endif
