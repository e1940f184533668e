/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of vimapd share: both roles. */
#ifndef VIMAPD_H
#define VIMAPD_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/client.h"
#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"
#include "daemon/daemon.h"
#include "io/stream.h"
#include "net/addr.h"

#define IMAP_CAP_ALWAYS		"IMAP4rev1 SASL-IR LITERAL+ ID"
#define IMAP_CAP_LOGGED		"IMAP4rev1 LITERAL+ ID IDLE NAMESPACE CHILDREN UIDPLUS UNSELECT MOVE"

#define IMAP_BAD_MAX		20	/* wrong commands in a row that end a session */
#define IMAP_BAD_MAX_LOGIN	5	/* and before login */
#define IMAP_WRITE_MS		(3 * 60 * 1000)

extern const struct daemon_role imap_login_role, imap_session_role;

/* ---- gathering commands (command.c) ---- */

enum imap_got {
	IMAP_GOT,		/* a whole command is in <text> */
	IMAP_GOT_APPEND,	/* an APPEND up to its message, which has not been read */
	IMAP_GOT_BAD,		/* refused and answered; go on with the next */
	IMAP_GOT_CLOSE		/* end of input, timeout, or a BYE was sent: close */
};

/*
 * Read the next command with its literals into <text> (its limit is the command's).  Waits until <deadline> for
 * its first byte, then at most a minute for each piece.
 */
enum imap_got imap_command_gather(struct stream *s, struct sb *text, int64_t deadline);
/* "tag OK|NO|BAD ..." for a command whose tag may be missing. */
void	 imap_reply_bad(struct stream *s, struct sv tag, const char *why);
void	 imap_reply_id(struct stream *s, struct sv tag);

/* ---- from the login role to the session role (handover.c) ---- */

struct imap_handover {
	char		 user[AUTH_NAME_MAX + 1];
	char		 tag[65];
	char		 method[32];
	char		 cipher[96];	/* "" without TLS */
	struct net_addr	 peer, local;
	bool		 pumped;	/* the descriptor is not the client's but a byte pump's */
	struct sv	 input;		/* what the client sent behind its login, already */
};

#define IMAP_INPUT_MAX	(128 * 1024)

/* Send <fd> (which stays the caller's) with <h>; parks.  -1: the session role is gone. */
int	 imap_handover_send(int pair, const struct imap_handover *h, int fd, struct err *err);
/* Receive one; <mem> holds h->input.  0: got one, 1: the other end closed, -1: error. */
int	 imap_handover_receive(int pair, struct imap_handover *h, struct sb *mem, int *fd, struct err *err);

/* ---- TLS clients (pump.c) ---- */

/* Carry bytes between <client> and descriptor <fd> until one of them ends; takes both over; parks until then. */
void	 imap_pump(struct stream *client, int fd);

#endif
