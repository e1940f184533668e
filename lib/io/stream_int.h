/* SPDX-License-Identifier: BSD-2-Clause */
/* What stream.c and stream_tls.c share. */
#ifndef VPOST_IO_STREAM_INT_H
#define VPOST_IO_STREAM_INT_H

#include <openssl/ssl.h>

#include "fiber/fiber.h"
#include "io/stream.h"
#include "io/tls.h"

#define STREAM_READ_SIZE	16384		/* one read(2); also the least capacity of the input buffer */
#define STREAM_READ_WIDE	65536		/* one read(2) of a peer that sends much */
#define STREAM_WRITE_MAX	65536		/* output waits up to here */

/* TLS on a stream; absent while it is plain. */
struct stream_tls {
	SSL	*ssl;
	char	 cipher[96];
	char	*sni;
	char	*peerdn;
	bool	 verified, dane;
	enum tls_ocsp ocsp;
	char	*early;			/* input that was read before the handshake began and is the peer's part of it */
	size_t	 early_off, early_len;
	const struct tls_accept *accept;	/* during the handshake of a server */
};

struct stream {
	int		 fd;
	bool		 drained;	/* the last read was short: the socket is empty until the loop says otherwise */
	bool		 dead;		/* an error: nothing more is written */
	bool		 eof;
	bool		 wide;		/* the peer fills whole buffers: read more at once */
	char		*in;		/* NULL while nothing is buffered */
	size_t		 in_cap;
	size_t		 in_off;	/* bytes before it were handed out */
	size_t		 in_len;
	char		*out;
	size_t		 out_cap;
	size_t		 out_off;	/* bytes before it were written */
	size_t		 out_len;
	int64_t		 read_ms;
	int64_t		 write_ms;
	uint64_t	 bytes_in;
	uint64_t	 bytes_out;
	struct stream_tls *tls;
	struct fiber_io	*io;		/* made at the first wait */
	char		*error;		/* heap, NULL if none */
	void		(*trace)(void *arg, bool out, struct sv bytes);
	void		*trace_arg;
};

/* What one attempt on the descriptor or on the TLS engine led to. */
enum stream_try {
	TRY_DONE,		/* *<n> bytes went */
	TRY_WANT_READ,
	TRY_WANT_WRITE,
	TRY_EOF,
	TRY_ERROR		/* s->error is set */
};

/* One recv(2) or send(2), never waiting. */
enum stream_try	 stream_raw_read(struct stream *s, void *p, size_t size, size_t *n);
enum stream_try	 stream_raw_write(struct stream *s, const void *p, size_t size, size_t *n);
/* The same through TLS. */
enum stream_try	 stream_tls_read(struct stream *s, void *p, size_t size, size_t *n);
enum stream_try	 stream_tls_write(struct stream *s, const void *p, size_t size, size_t *n);
bool		 stream_tls_pending(const struct stream *s);
/* Close notify (one attempt), then free. */
void		 stream_tls_end(struct stream *s);

/* Park until the attempt can be repeated; STREAM_OK then. */
enum stream_result stream_await(struct stream *s, enum stream_try want, int64_t deadline);
enum stream_result stream_fail(struct stream *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* tls.c: the SSL object of a new connection, NULL on failure. */
SSL		*tls_server_ssl(struct tls_server *t, const struct tls_accept *a);
SSL		*tls_client_ssl(struct tls_client *t, const struct tls_peer *peer);
/* Certificates are looked at. */
bool		 tls_client_checks(SSL *ssl);
/* Why a handshake that went well will not do; NULL: it will. */
const char	*tls_client_complaint(SSL *ssl);
const char	*tls_server_complaint(SSL *ssl, const struct tls_accept *a);
/* The newest text of OpenSSL's error queue, which is emptied; <dflt> if there is none. */
void		 tls_error_text(char *buf, size_t size, const char *dflt);

/* tls_priorities.c: whether this is one of GnuTLS's strings, and whether <ctx> does what it says now. */
bool		 tls_priorities_are(struct sv list);
bool		 tls_priorities_use(SSL_CTX *ctx, struct sv list);
/* tls_params.c, tls_status.c: a context takes what the configuration says.  -1 CONFIG. */
int		 tls_params_ciphers(SSL_CTX *ctx, const char *list, struct err *err);
int		 tls_params_dh(SSL_CTX *ctx, const char *name, int max_bits, struct err *err);
int		 tls_params_curves(SSL_CTX *ctx, const char *list, struct err *err);
void		 tls_params_switches(SSL_CTX *ctx, const struct tls_switches *sw);
/* A fresh certificate and key for <name>, good for a week. */
int		 tls_params_self_signed(SSL_CTX *ctx, const char *name, struct err *err);
/* The status of the certificate that <ctx> took last. */
int		 tls_status_load(SSL_CTX *ctx, const char *file, bool pem, struct err *err);

#endif
