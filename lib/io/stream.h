/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A buffered byte stream on a socket, plain or TLS, for fibers: reads and writes
 * park the fiber until they can go on or the deadline passes.  Buffers are taken
 * when bytes arrive and given back when they are empty, so an idle stream is small.
 */
#ifndef VPOST_IO_STREAM_H
#define VPOST_IO_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"

struct stream;
struct tls_server;
struct tls_accept;
struct tls_client;
struct tls_peer;

enum stream_result {
	STREAM_OK,
	STREAM_EOF,		/* the peer closed; nothing more will come */
	STREAM_TIMEOUT,
	STREAM_TOO_LONG,	/* a line longer than the limit: the first <max> bytes are in *line, the rest up to LF was eaten */
	STREAM_ERROR,		/* stream_error() says what */
	STREAM_CANCELLED
};

/* Takes over <fd> (made non-blocking); stream_close ends it. */
struct stream	*stream_new(int fd);
/* The same for a socket that is non-blocking already, as net_accept gives it. */
struct stream	*stream_new_accepted(int fd);
/* Flush what can go within two seconds, close notify, close, free. */
void		 stream_close(struct stream **sp);
/* Give the descriptor back and free; only when nothing is buffered (assert) and no TLS is on. */
int		 stream_detach(struct stream **sp);
int		 stream_fd(const struct stream *s);
const char	*stream_error(const struct stream *s);

/* Milliseconds that each following read (write) may wait; default 300,000. */
void		 stream_set_timeout(struct stream *s, int64_t read_ms, int64_t write_ms);

/*
 * Read a line that ends in LF.  *<line> holds it with its LF (and CR), points into
 * the stream's buffer and is valid until the next call on the stream.
 */
enum stream_result stream_read_line(struct stream *s, size_t max, struct sv *line);
/* Read at least one byte; *<piece> points into the buffer, at most <max> bytes, valid until the next call. */
enum stream_result stream_read(struct stream *s, size_t max, struct sv *piece);
/* Look at what is there (reads once if nothing is); consume it by stream_skip. */
enum stream_result stream_peek(struct stream *s, struct sv *piece);
void		 stream_skip(struct stream *s, size_t n);
/* Exactly <n> bytes appended to <out>. */
enum stream_result stream_read_full(struct stream *s, size_t n, struct sb *out);
/* Bytes are in the buffer that were not read yet (never waits). */
bool		 stream_has_input(const struct stream *s);
/* The same, but asks the socket once (never waits): has the peer spoken before its turn? */
bool		 stream_input_ready(struct stream *s);
/* Put bytes in front of what will be read: input that another process had taken before it handed the socket over. */
void		 stream_unread(struct stream *s, struct sv v);
/* Wait until input can be read, without reading it: for IDLE and between commands.  Gives the read buffer back. */
enum stream_result stream_wait_input(struct stream *s, int64_t deadline);

/* Output is buffered up to 64 KiB, then written; stream_flush writes it all.  A read flushes first. */
enum stream_result stream_write(struct stream *s, struct sv v);
enum stream_result stream_printf(struct stream *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
enum stream_result stream_flush(struct stream *s);
/* Send <len> bytes of <fd> from <off>; sendfile(2) where the stream is plain. */
enum stream_result stream_send_file(struct stream *s, int fd, int64_t off, int64_t len);
size_t		 stream_pending(const struct stream *s);

/*
 * Turn TLS on, as server or client, within <deadline_ms> milliseconds.  Input that
 * was buffered before (sent in the clear) is refused: STREAM_ERROR.
 */
enum stream_result stream_starttls(struct stream *s, struct tls_server *ctx, int64_t deadline_ms);
/* The same as server, as <how> says. */
enum stream_result stream_accepttls(struct stream *s, struct tls_server *ctx, const struct tls_accept *how, int64_t deadline_ms);
enum stream_result stream_connecttls(struct stream *s, struct tls_client *ctx, const char *host, int64_t deadline_ms);
enum stream_result stream_connecttls_peer(struct stream *s, struct tls_client *ctx, const struct tls_peer *peer, int64_t deadline_ms);
bool		 stream_is_tls(const struct stream *s);
/* The peer's certificate was checked and is in order: for its chain, and its name where that was asked for. */
bool		 stream_tls_verified(const struct stream *s);
bool		 stream_tls_dane(const struct stream *s);	/* by a TLSA record */
/* The subject of the peer's certificate, "CN=mx.example,O=..." as Exim's DN=; "" without one. */
const char	*stream_tls_peerdn(const struct stream *s);
/* "TLS1.3:TLS_AES_256_GCM_SHA384:256" as Exim writes X=; "" when plain.  Valid as long as the stream. */
const char	*stream_tls_cipher(const struct stream *s);
const char	*stream_tls_sni(const struct stream *s);	/* "" if none */
/* What the handshake settled; the pointers live as long as the stream's TLS. */
struct stream_tls_facts {
	const char	*standard;	/* the cipher's name in RFCs */
	char		 peer_dn[512];	/* of the peer's certificate; "" if it has shown none */
	int		 bits;
	int		 ocsp;		/* enum tls_ocsp */
	bool		 verified;	/* it has shown one that leads to an authority we trust */
	void		*own, *peer;	/* X509 or NULL */
};
void		 stream_tls_facts(const struct stream *s, struct stream_tls_facts *f);
/* How many certificates the peer has shown (to a client: its own is number 0); *<cert> (may be NULL) is number <i>, an X509. */
size_t		 stream_tls_chain(const struct stream *s, size_t i, void **cert);
bool		 stream_tls_resumed(const struct stream *s);
/* <len> bytes that only both ends of this connection can know (RFC 5705, 9266); false when it is plain. */
bool		 stream_tls_export(const struct stream *s, const char *label, unsigned char *out, size_t len);
uint64_t	 stream_bytes_in(const struct stream *s);
uint64_t	 stream_bytes_out(const struct stream *s);
/* A copy of all that is read and written goes to <fn> (tests, -bh); NULL ends it. */
void		 stream_set_trace(struct stream *s, void (*fn)(void *arg, bool out, struct sv bytes), void *arg);

#endif
