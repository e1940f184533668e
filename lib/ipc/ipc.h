/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Framed messages of typed fields between our own processes, over UNIX stream
 * sockets, with descriptor passing.  A frame is
 *
 *	u32 length of what follows, u16 type, u16 flags, u32 serial,
 *	then fields: u8 tag, u8 kind, u32 length, bytes          (little-endian)
 *
 * Message bodies cross it only where they are short and a user's process wants them; else
 * descriptors and ranges do.  A malformed frame ends the connection.  Frames are limited to IPC_FRAME_MAX bytes and
 * IPC_FIELDS_MAX fields; a tag may repeat (lists).
 */
#ifndef VPOST_IPC_IPC_H
#define VPOST_IPC_IPC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"

#define IPC_FRAME_MAX	(1024 * 1024)
#define IPC_FIELDS_MAX	16384

enum ipc_kind { IPC_U64 = 1, IPC_BYTES = 2 };

/* ---- messages (pure) ---- */

/* Build: ipc_begin, ipc_put_*, then send; the builder may be used again after ipc_begin.  Free with sb_free. */
void	 ipc_begin(struct sb *m, uint16_t type);
void	 ipc_put_u64(struct sb *m, uint8_t tag, uint64_t v);
void	 ipc_put_bytes(struct sb *m, uint8_t tag, struct sv v);
void	 ipc_put_str(struct sb *m, uint8_t tag, const char *s);	/* NULL: not put */
/* The error as fields 250 (class), 251 (status), 252 (text), and back. */
void	 ipc_put_err(struct sb *m, const struct err *err);

struct ipc_field {
	uint8_t		 tag;
	enum ipc_kind	 kind;
	uint64_t	 u64;
	struct sv	 bytes;		/* points into the frame */
};

struct ipc_msg {
	uint16_t	 type;
	uint32_t	 serial;	/* pairs reply with request; 0: notice */
	struct sv	 body;		/* the fields, validated */
	struct sb	 own;		/* the memory, where the message owns it */
};

/* Check the frame <v> (without its length word) and fill *<m>, which points into <v>.  False if malformed. */
bool	 ipc_parse(struct ipc_msg *m, struct sv v);
/* Walk the fields: *<pos> starts at 0. */
bool	 ipc_next(const struct ipc_msg *m, size_t *pos, struct ipc_field *f);
/* First field of <tag>; the default if there is none or its kind differs. */
uint64_t ipc_get_u64(const struct ipc_msg *m, uint8_t tag, uint64_t dflt);
struct sv ipc_get_bytes(const struct ipc_msg *m, uint8_t tag);	/* SV_NULL if none */
/* True if the message carries an error; fills *<err>. */
bool	 ipc_get_err(const struct ipc_msg *m, struct err *err);
void	 ipc_msg_free(struct ipc_msg *m);
/* Does a descriptor come along with the frame <v> (without its length word)? */
bool	 ipc_frame_has_fd(struct sv v);
/* Finish a frame for sending it by oneself: its length word and serial. */
void	 ipc_frame_seal(struct sb *m, uint32_t serial);
void	 ipc_frame_with_fd(struct sb *m);	/* a descriptor comes along */

/* ---- clients on fibers ---- */

struct fiber;
struct ipc_client;

/* Connects at the first use, and again after the peer went away (at most once in 100 ms). */
struct ipc_client *ipc_client_new(const char *path);
/*
 * One for the connected stream socket <fd>, which it closes at its end; that is for good, and so is an answer that nobody
 * asked for.  <name> is for messages.  NULL: too many fibers.
 */
struct ipc_client *ipc_client_new_fd(int fd, const char *name);
void	 ipc_client_free(struct ipc_client **cp);
/*
 * Send <req> (with descriptor <fd>, or -1; stays the caller's) and park until its reply
 * arrived.  *<reply> owns its memory; *<reply_fd> (may be NULL) gets a descriptor that came
 * along, or -1.  Any number of fibers may call at once.  A reply with ipc_put_err fields
 * returns -1 with that error; a peer that cannot be reached, so that nothing was asked,
 * returns -1, TEMP IPC_E_AWAY; a connection that broke or a passed deadline -1, TEMP 4.3.0.
 */
#define IPC_E_AWAY	"4.3.2"
int	 ipc_call(struct ipc_client *c, const struct sb *req, int fd, struct ipc_msg *reply, int *reply_fd,
	     int64_t deadline, struct err *err);
/* Whoever waits in ipc_call() as fiber <f> waits no longer: it returns -1. */
void	 ipc_call_abandon(struct ipc_client *c, const struct fiber *f);
/* Send a notice; written at the end of this turn of the loop together with others.  -1 when the peer is not connected. */
int	 ipc_notify(struct ipc_client *c, const struct sb *msg);
/* Called on the loop (in a reader fiber, in order) for each notice the server pushes. */
void	 ipc_client_on_notice(struct ipc_client *c, void (*fn)(void *arg, const struct ipc_msg *m), void *arg);
/* Called in the reader fiber after each (re)connection, before anything else is sent. */
void	 ipc_client_on_connect(struct ipc_client *c, void (*fn)(void *arg, struct ipc_client *c), void *arg);
bool	 ipc_client_connected(const struct ipc_client *c);
/* Connect now if that is not so; -1 with TEMP if it fails. */
int	 ipc_client_connect(struct ipc_client *c, struct err *err);

/* ---- servers on fibers ---- */

struct ipc_server;
struct ipc_peer;

struct ipc_handler {
	/*
	 * One message; called in the connection's reader fiber, in order.  <fd> is a passed
	 * descriptor or -1; the handler closes it.  It may park, but the next message of this
	 * peer waits for it: long work goes to a fiber of its own and answers later.
	 */
	void	(*message)(void *arg, struct ipc_peer *p, const struct ipc_msg *m, int fd);
	void	(*connected)(void *arg, struct ipc_peer *p);		/* may be NULL */
	void	(*closed)(void *arg, struct ipc_peer *p);		/* may be NULL */
	void	*arg;
};

/* Serve on a listening UNIX socket (ipc_listen).  Peers with another uid than ours or root are turned away unless <any_uid>. */
struct ipc_server *ipc_server_new(int listen_fd, const struct ipc_handler *h, bool any_uid, struct err *err);
void	 ipc_server_free(struct ipc_server **sp);
/* Make the socket (mode <mode>, replaces a dead one) and listen. */
int	 ipc_listen(const char *path, mode_t mode, struct err *err);

/* Answer request <serial>, or push a notice (serial 0).  Written at the end of this turn.  False if the peer is gone. */
bool	 ipc_reply(struct ipc_peer *p, uint32_t serial, const struct sb *msg, int fd);
bool	 ipc_push(struct ipc_peer *p, const struct sb *msg);
/* Bytes waiting to be written to the peer: the credit that limits notices. */
size_t	 ipc_peer_backlog(const struct ipc_peer *p);
/* Keep the handle valid past the connection's end (sends then return false). */
struct ipc_peer *ipc_peer_ref(struct ipc_peer *p);
void	 ipc_peer_unref(struct ipc_peer **pp);
uid_t	 ipc_peer_uid(const struct ipc_peer *p);
void	 ipc_peer_set_data(struct ipc_peer *p, void *data);
void	*ipc_peer_data(const struct ipc_peer *p);
void	 ipc_peer_close(struct ipc_peer *p);

/* ---- tools without a loop ---- */

/* Connect, send, wait for the one reply, at most <timeout_ms>. */
int	 ipc_call_once(const char *path, const struct sb *req, int fd, struct ipc_msg *reply, int timeout_ms,
	     struct err *err);
/* The same, and *<reply_fd> (may be NULL) gets a descriptor that came along, or -1. */
int	 ipc_call_once_fd(const char *path, const struct sb *req, int fd, struct ipc_msg *reply, int *reply_fd,
	     int timeout_ms, struct err *err);

#endif
