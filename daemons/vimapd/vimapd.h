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
#include "daemon/handover.h"
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

#endif
