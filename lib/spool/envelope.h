/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The envelope of one message and its form on disk.  The content (header and
 * body as they will be delivered: CRLF line ends, no dot-stuffing, changes by
 * ACLs already made) is never part of it.
 *
 * Strings are slices.  What spool_envelope_decode() fills points into the record;
 * spool_envelope_copy() makes one that owns its strings.
 */
#ifndef VPOST_SPOOL_ENVELOPE_H
#define VPOST_SPOOL_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"

/* ---- message ids ---- */

#define SPOOL_ID_LEN	16			/* XXXXXX-YYYYYY-ZZ, Exim 4.96's form */
#define SPOOL_ID_SIZE	(SPOOL_ID_LEN + 1)

/*
 * A new message id.  Unique over all processes of the host and over restarts,
 * without a file, a lock or a pause: seconds, then process id and a counter, then
 * the fraction of the second.  Belongs to one thread of a process (the loop's).
 */
void	 spool_id_new(char id[SPOOL_ID_SIZE]);
/* It has the form; says nothing of whether the message exists. */
bool	 spool_id_valid(struct sv v);
/* Seconds since 1970 that the id holds; 0 if it is malformed. */
int64_t	 spool_id_time(struct sv v);

/* ---- envelope ---- */

#define SPOOL_RCPT_MAX		65536		/* recipients of a message */
#define SPOOL_ADDR_MAX		2048		/* bytes of an address */
#define SPOOL_STR_MAX		(64 * 1024)	/* bytes of any other string */
#define SPOOL_VARS_MAX		4096
#define SPOOL_ENVELOPE_MAX	(32 * 1024 * 1024)

/* DSN, RFC 3461 4.1. */
enum spool_notify {
	SPOOL_NOTIFY_NEVER	= 1,
	SPOOL_NOTIFY_SUCCESS	= 2,
	SPOOL_NOTIFY_FAILURE	= 4,
	SPOOL_NOTIFY_DELAY	= 8
};						/* 0: NOTIFY was not given */

enum spool_ret { SPOOL_RET_NONE, SPOOL_RET_FULL, SPOOL_RET_HDRS };

enum spool_flag {
	SPOOL_8BITMIME	 = 1 << 0,		/* BODY=8BITMIME was given */
	SPOOL_SMTPUTF8	 = 1 << 1,		/* SMTPUTF8 was given */
	SPOOL_SUBMISSION = 1 << 2,		/* control = submission or a submission port */
	SPOOL_LOCAL	 = 1 << 3,		/* by sendmail(1), not by the network */
	SPOOL_FREEZE	 = 1 << 4,		/* control = freeze: hold from the start */
	SPOOL_QUEUE_ONLY = 1 << 5,		/* control = queue_only: no attempt at once */
	SPOOL_BOUNCE	 = 1 << 6,		/* we made it: a report about <parent> */
	SPOOL_NO_DSN	 = 1 << 7,		/* make no reports about it, whatever NOTIFY says */
	SPOOL_BINARYMIME = 1 << 8,		/* BODY=BINARYMIME was given */
	SPOOL_FIRST_PASS = 1 << 9,		/* control = queue/first_pass_route: the network has to wait the first time */
	SPOOL_ASCII	 = 1 << 10,		/* control = utf8_downconvert: addresses leave as A-labels */
	SPOOL_ASCII_MAYBE = 1 << 11		/* the same, where the other host does not know SMTPUTF8 */
};

struct spool_rcpt {
	struct sv	 addr;			/* local@domain, as accepted, domain in its own case */
	struct sv	 orcpt;			/* "rfc822;..." decoded from xtext, or empty */
	unsigned	 notify;		/* enum spool_notify bits */
};

/* An ACL variable: name without "acl_" ("m0", "c_foo"). */
struct spool_var {
	struct sv	 name;
	struct sv	 value;			/* its taint is kept */
};

/* Every field that one daemon writes and another reads; X(type of field, name): see envelope.c. */
struct spool_envelope {
	char		 id[SPOOL_ID_SIZE];
	uint32_t	 flags;			/* enum spool_flag bits */
	int64_t		 received_ms;		/* milliseconds since 1970 */
	struct sv	 sender;		/* reverse-path without brackets; empty: null */
	struct spool_rcpt *rcpts;
	size_t		 nrcpts;
	enum spool_ret	 ret;
	struct sv	 envid;			/* decoded from xtext */
	struct sv	 auth_id;		/* $authenticated_id */
	struct sv	 auth_sender;		/* AUTH= of MAIL, $authenticated_sender */
	struct sv	 auth_name;		/* $sender_host_authenticated: the mechanism's authenticator */
	struct sv	 helo;			/* $sender_helo_name */
	struct sv	 host_name;		/* $sender_host_name, verified; empty if unknown */
	struct sv	 host_addr;		/* $sender_host_address, canonical text; empty: local */
	struct sv	 iface_addr;		/* $received_ip_address */
	uint16_t	 host_port;
	uint16_t	 iface_port;
	struct sv	 protocol;		/* $received_protocol: "esmtpsa" */
	struct sv	 tls_cipher;		/* X= of the log line */
	struct sv	 tls_sni;
	struct sv	 ident;			/* $sender_ident: the caller's login of a local message */
	struct sv	 message_id;		/* Message-ID: without brackets */
	struct sv	 subject;		/* raw, first 1,024 bytes, for lists and logs */
	struct sv	 parent;		/* id of the message that this one reports on or was made from */
	struct sv	 parent_rcpts;		/* "0 3/ID origin/N": what of <parent> it settles, and its segment */
	struct spool_var *vars;			/* acl_m* and acl_c* */
	size_t		 nvars;
	uint64_t	 size;			/* bytes of the content */
	uint64_t	 header_size;		/* bytes of its header with the empty line */
	uint64_t	 body_lines;		/* $body_linecount */
	uint64_t	 body_zeros;		/* $body_zerocount */
	uint32_t	 received_count;
	uint32_t	 longest_line;		/* $max_received_linelength */
	uint64_t	 lines;			/* $message_linecount */
	uint32_t	 uid, gid;		/* $originator_uid: who submitted it here */
	uint16_t	 tls_verified;		/* 1: $tls_in_certificate_verified */
	uint16_t	 tls_bits;
	struct sv	 tls_peerdn, tls_ver;
	struct sv	 spam_bar, spam_score, spam_score_int;
	struct sv	 queue;			/* $queue_name: the named queue it is in; empty: the one of all */
};

/* Zero with the empty strings set, a new id, and the time now. */
void	 spool_envelope_init(struct spool_envelope *e);
/* Append the record's envelope bytes to <out>; -1 PERM 5.5.3 when a limit is passed. */
int	 spool_envelope_encode(const struct spool_envelope *e, struct sb *out, struct err *err);
/* Arrays come from <a>, strings point into <v>.  Unknown fields are skipped.  -1 PERM if malformed. */
int	 spool_envelope_decode(struct spool_envelope *e, struct sv v, struct arena *a, struct err *err);
/* As decode, but all strings are copied into <a>. */
int	 spool_envelope_decode_copy(struct spool_envelope *e, struct sv v, struct arena *a, struct err *err);
/* A variable's value; SV_NULL if it is not set. */
struct sv spool_envelope_var(const struct spool_envelope *e, const char *name);

#endif
