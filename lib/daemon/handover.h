/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the login role to the session role of a daemon (daemon_def.pair_roles): the
 * login role knows TLS and passwords and nothing of the store, the session role the
 * store and no keys.  A client without TLS goes over with its descriptor; for one
 * with TLS the login role stays a byte pump.
 */
#ifndef VPOST_DAEMON_HANDOVER_H
#define VPOST_DAEMON_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"
#include "net/addr.h"

struct stream;

struct daemon_handover {
	char		 user[128];
	char		 tag[65];	/* what the session role answers to (IMAP) */
	char		 method[32];	/* how the client logged in, for the log */
	char		 cipher[96];	/* "" without TLS */
	struct net_addr	 peer, local;
	bool		 pumped;	/* the descriptor is not the client's but a byte pump's */
	struct sv	 input;		/* what the client sent behind its login, already; at most DAEMON_INPUT_MAX bytes */
};

#define DAEMON_INPUT_MAX	(128 * 1024)

/* Send <fd> (which stays the caller's) with <h>; parks.  -1: the session role is gone. */
int	 daemon_handover_send(int pair, const struct daemon_handover *h, int fd, struct err *err);
/* Receive one; <mem> holds h->input.  0: got one, 1: the other end closed, -1: error. */
int	 daemon_handover_receive(int pair, struct daemon_handover *h, struct sb *mem, int *fd, struct err *err);

/*
 * Carry bytes between <client> and descriptor <fd> until one of them ends; takes both over; parks until then.  A write
 * that waits <write_ms> milliseconds ends it.
 */
void	 daemon_pump(struct stream *client, int fd, int64_t write_ms);

#endif
