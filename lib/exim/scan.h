/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the conditions malware and spam read: the servers of av_scanner and spamd_address, and what scanners answer
 * (chapter 45 of Exim's manual).  Pure; lib/session does the talking.
 */
#ifndef VPOST_EXIM_SCAN_H
#define VPOST_EXIM_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/sv.h"
#include "exim/env.h"

struct exim_scan_server {
	struct sv	 path;		/* of a UNIX socket; p NULL: by TCP */
	struct sv	 host;		/* name or address */
	int64_t		 port, port_to;
	int64_t		 priority, weight;
	int64_t		 retry, timeout;	/* seconds; 0: not given */
	int64_t		 from, to;	/* seconds of the day, [from, to); to 0: always */
	bool		 rspamd;
};

/* "ADDRESS PORT[-PORT] OPTION..." or "/PATH OPTION..."; false when it is neither. */
bool	 exim_scan_server(struct sv text, struct arena *a, struct exim_scan_server *out);

enum exim_clamd { EXIM_CLAMD_CLEAN, EXIM_CLAMD_FOUND, EXIM_CLAMD_ERROR };
/* One answer of clamd, with or without its line end; *<text> is the name of what was found, or the error. */
enum exim_clamd exim_clamd_reply(struct sv reply, struct sv *text);

struct exim_spam {
	double		 score, threshold;
	struct sv	 action;
	struct sv	 report;
};
/* All that spamd or Rspamd answered; false when it is malformed. */
bool	 exim_spam_reply(struct sv reply, bool rspamd, struct exim_spam *out);
/* $spam_score and the others; texts in <a>. */
void	 exim_spam_vars(struct exim_acl_state *st, const struct exim_spam *spam, struct arena *a);

/* Does the regular expression match in <text>?  -1: it is broken, <why> says how.  *<group> is its first group, "" if none. */
int	 exim_scan_match(struct exim_env *env, struct sv pattern, struct sv text, struct sv *group, char why[256]);

#endif
