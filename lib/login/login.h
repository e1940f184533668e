/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the login roles of vimapd and vpop3d share: connections until they are logged in.  It
 * accepts within the box's limits, speaks TLS and with vauthd, and hands a client that is who
 * it says to the session role; of one with TLS the byte pump stays here.  The protocol's own
 * words come from struct login_proto.
 */
#ifndef VPOST_LOGIN_LOGIN_H
#define VPOST_LOGIN_LOGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/client.h"
#include "base/sb.h"
#include "base/sv.h"
#include "daemon/daemon.h"
#include "io/stream.h"
#include "log/log.h"

struct tls_server;

#define LOGIN_SASL_LINE_MAX	(AUTH_DATA_MAX / 3 * 4 + 8)
#define LOGIN_FAILURES_MAX	5	/* wrong passwords on one connection */

/* A connection.  A protocol's own struct begins with it. */
struct login {
	struct stream	*s;		/* NULL once it was handed over */
	struct auth_conn conn;
	const char	*service;	/* of the listener */
	int64_t		 deadline;	/* when it must be logged in; fiber_now() */
	unsigned	 failures, bad;
	bool		 secure;	/* TLS, or from this machine, or the box does not care */
	bool		 gone;		/* handed over: <s> is not ours any more */
	struct log_ctx	 log;
	struct login	*next, **prev;	/* private */
};

struct login_proto {
	const char	*name;		/* "imap": for vauthd, the log, and the plain service */
	const char	*tls_service;	/* "imaps": TLS from the start */
	const char	*busy;		/* sent to who is one too many */
	size_t		 size;		/* of the protocol's struct */
	int64_t		 write_ms;
	int64_t		(*workers)(const struct box *b);	/* session processes */
	void		(*greet)(struct login *l);
	bool		(*command)(struct login *l);		/* read and do one; false: close */
};

/* The process: one protocol each. */
struct login_role {
	const struct login_proto *proto;
	struct daemon	*d;
	const struct box *box;
	struct tls_server *tls;		/* NULL: no certificate */
	struct auth_client *auth;
};
extern struct login_role login_role;

/* For struct daemon_role. */
int	 login_start(struct daemon *d, const struct login_proto *p, struct err *err);
void	 login_drain(struct daemon *d);
int	 login_sandbox(struct daemon *d, struct err *err);

/* What the client may use now: auth_mechanisms() of its connection. */
const char *login_mechanisms(const struct login *l);
bool	 login_offers(const struct login *l, struct sv mech);
/* The handshake of STARTTLS or STLS, after the answer; false (logged): close. */
bool	 login_starttls(struct login *l);

/*
 * A SASL exchange.  <ask> sends the challenge and decodes the answer: 1, 0 when the client gave up (which it has answered), -1
 * to close.  AUTH_CONTINUE: it ended without a verdict, *<rc> as from <ask>.
 */
enum auth_result login_exchange(struct login *l, struct sv mech, const struct sv *initial,
	     int (*ask)(struct login *l, void *arg, struct sv challenge, struct sb *answer), void *arg, struct auth_user *who, int *rc,
	     struct err *err);
/* Read the answer to a challenge that was sent.  1; 0: *<why> is to be told ("Authentication cancelled"); -1. */
int	 login_read_answer(struct login *l, struct sb *answer, const char **why);

/* The client is who it says; the session role answers, to <tag>.  False: it could not be reached, and the client is still ours. */
bool	 login_hand_over(struct login *l, const struct auth_user *who, struct sv tag, const char *method, struct err *err);
/* One line for a login that failed, in words that fail2ban's dovecot filter knows. */
void	 login_log_failure(const struct login *l, struct sv user, const char *method, const char *why);

/* ---- the session role ---- */

struct daemon_handover;
/* From now on <take> gets each client that is handed over, with its descriptor; <gone> is called when no more will come. */
int	 login_receive(struct daemon *d, void (*take)(const struct daemon_handover *h, int fd), void (*gone)(void), struct err *err);
/* For struct daemon_role: the store, and nothing of keys, passwords and network. */
int	 login_session_sandbox(struct daemon *d, struct err *err);

#endif
