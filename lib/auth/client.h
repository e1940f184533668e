/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asking vauthd, on fibers: password logins and SASL exchanges of SMTP, POP3, IMAP
 * and ManageSieve.  Answers to a wrong password come late (vauthd delays them), so the
 * caller just waits.  When a POP3 or IMAP login answers AUTH_OK, the client's address
 * is already in etc/relayers.db.
 */
#ifndef VPOST_AUTH_CLIENT_H
#define VPOST_AUTH_CLIENT_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"
#include "net/addr.h"

struct auth_client;
struct auth_exchange;

#define AUTH_NAME_MAX	127
#define AUTH_HOME_MAX	511
#define AUTH_DATA_MAX	(16 * 1024)	/* one SASL message, decoded */

enum auth_result {
	AUTH_OK,
	AUTH_CONTINUE,		/* SASL: send the challenge, then auth_step */
	AUTH_FAIL,		/* wrong; *<err> is PERM 5.7.8 with a text for the client */
	AUTH_BANNED,		/* this address guessed too often: PERM 5.7.0; say so and close */
	AUTH_TEMP		/* cannot be checked now: TEMP 4.7.0 (SMTP 454, POP3 [SYS/TEMP], IMAP [UNAVAILABLE]) */
};

/* Who is at the other end. */
struct auth_conn {
	const char	*service;	/* "smtp", "imap", "pop3", "sieve" */
	struct net_addr	 peer;
	struct net_addr	 local;
	bool		 tls;
};

struct auth_user {
	char	 name[AUTH_NAME_MAX + 1];	/* canonical: the mailbox is user.NAME */
	char	 home[AUTH_HOME_MAX + 1];	/* "" if none */
	bool	 system;			/* of passwd, not of etc/vusers */
	uid_t	 uid;				/* of system users; else 0 */
	gid_t	 gid;
};

/* One per process: keeps a connection to vauthd at <path> (box_path(b, BOX_SOCK_AUTH)); connects at first use, again after a loss. */
struct auth_client *auth_client_new(const char *path);
void	 auth_client_free(struct auth_client **cp);

/*
 * The mechanisms to offer, separated by blanks ("" for none): nothing over a plain connection from elsewhere than
 * loopback unless <plaintext_auth> (the box's setting); CRAM-MD5 only with <cram_md5>.  Never asks vauthd.
 */
const char *auth_mechanisms(const struct auth_conn *c, bool plaintext_auth, bool cram_md5);

/*
 * Check a user name and password (POP3 USER/PASS, IMAP LOGIN).  Parks until the answer is there, at most 60 s.
 * AUTH_OK fills *<user>; any other answer but AUTH_CONTINUE (never given) fills *<err>.
 */
enum auth_result auth_login(struct auth_client *c, const struct auth_conn *conn, struct sv user, struct sv password,
	     struct auth_user *who, struct err *err);

/* POP3 APOP: <digest> is the hex MD5 of <banner> (with its angle brackets) and the password; only for passwords stored in clear. */
enum auth_result auth_apop(struct auth_client *c, const struct auth_conn *conn, struct sv user, struct sv banner,
	     struct sv digest, struct auth_user *who, struct err *err);

/*
 * SASL.  <initial> is the decoded initial response, or NULL when the client sent none (an empty one is an sv of
 * length 0).  AUTH_CONTINUE: send *<challenge> (decoded; may be empty) and give the client's decoded answer to auth_step.
 * AUTH_OK: if *<challenge> is not empty it is data that goes with the success: send it as a last challenge, expect
 * an empty answer, then say OK.  After any answer but AUTH_CONTINUE the exchange is over and *<xp> is NULL.
 */
enum auth_result auth_start(struct auth_client *c, const struct auth_conn *conn, struct sv mech, const struct sv *initial,
	     struct auth_exchange **xp, struct sb *challenge, struct auth_user *who, struct err *err);
enum auth_result auth_step(struct auth_exchange **xp, struct sv response, struct sb *challenge, struct auth_user *who,
	     struct err *err);
/* The client gave up ("*") or went away.  Accepts NULL in *<xp>. */
void	 auth_abort(struct auth_exchange **xp);

/* Is there such a user (recipient checks, EXPN)?  AUTH_OK, AUTH_FAIL (no) or AUTH_TEMP; no delay, no ban. */
enum auth_result auth_lookup(struct auth_client *c, struct sv user, struct auth_user *who, struct err *err);

#endif
