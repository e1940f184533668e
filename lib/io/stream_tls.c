/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLS on a stream: OpenSSL over a BIO of our own on the stream's descriptor, so that
 * the stream's knowledge of an empty socket saves reads here as well and a peer that
 * is gone raises no signal.  The engine reads ahead (one read(2) brings what is there)
 * and gives its buffers back when they are empty.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "base/arena.h"
#include "io/tls.h"
#include "io/stream_int.h"

/* ---- the BIO ---- */

static int
bio_result(BIO *b, enum stream_try t, size_t n)
{
	BIO_clear_retry_flags(b);
	switch (t) {
	case TRY_DONE:
		return ((int)n);
	case TRY_WANT_READ:
		BIO_set_retry_read(b);
		return (-1);
	case TRY_WANT_WRITE:
		BIO_set_retry_write(b);
		return (-1);
	case TRY_EOF:
		BIO_set_flags(b, BIO_FLAGS_IN_EOF);
		return (0);
	default:
		return (-1);
	}
}

static int
bio_read(BIO *b, char *p, int size)
{
	struct stream *s = BIO_get_data(b);
	struct stream_tls *st = s->tls;
	enum stream_try t;
	size_t n;

	if (st->early_off < st->early_len) {
		n = st->early_len - st->early_off < (size_t)size ? st->early_len - st->early_off : (size_t)size;
		memcpy(p, st->early + st->early_off, n);
		st->early_off += n;
		return (bio_result(b, TRY_DONE, n));
	}
	t = stream_raw_read(s, p, (size_t)size, &n);
	return (bio_result(b, t, n));
}

static int
bio_write(BIO *b, const char *p, int size)
{
	size_t n;
	enum stream_try t = stream_raw_write(BIO_get_data(b), p, (size_t)size, &n);

	return (bio_result(b, t, n));
}

static long
bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	if (cmd == BIO_CTRL_EOF)
		return (BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0);
	return (cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_PUSH || cmd == BIO_CTRL_POP);
}

static int
bio_create(BIO *b)
{
	BIO_set_init(b, 1);
	return (1);
}

static BIO *
bio_new(struct stream *s)
{
	static BIO_METHOD *method;
	BIO *b;

	if (method == NULL) {
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
		assert(method != NULL);
		BIO_meth_set_read(method, bio_read);
		BIO_meth_set_write(method, bio_write);
		BIO_meth_set_ctrl(method, bio_ctrl);
		BIO_meth_set_create(method, bio_create);
	}
	b = BIO_new(method);
	assert(b != NULL);
	BIO_set_data(b, s);
	return (b);
}

/* ---- the engine ---- */

static enum stream_try
engine_result(struct stream *s, int rc, const char *what)
{
	char text[200];

	switch (SSL_get_error(s->tls->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return (TRY_WANT_READ);
	case SSL_ERROR_WANT_WRITE:
		return (TRY_WANT_WRITE);
	case SSL_ERROR_ZERO_RETURN:
		return (TRY_EOF);
	case SSL_ERROR_SYSCALL:
		if (s->error == NULL && ERR_peek_error() == 0)
			return (TRY_EOF);
		break;
	default:
		break;
	}
	tls_error_text(text, sizeof(text), "the connection broke");
	(void)stream_fail(s, "TLS %s: %s", what, text);
	return (TRY_ERROR);
}

enum stream_try
stream_tls_read(struct stream *s, void *p, size_t size, size_t *n)
{
	int rc;

	*n = 0;
	ERR_clear_error();
	rc = SSL_read_ex(s->tls->ssl, p, size, n);
	if (rc == 1)
		return (TRY_DONE);
	return (engine_result(s, rc, "read"));
}

enum stream_try
stream_tls_write(struct stream *s, const void *p, size_t size, size_t *n)
{
	int rc;

	*n = 0;
	ERR_clear_error();
	rc = SSL_write_ex(s->tls->ssl, p, size, n);
	if (rc == 1)
		return (TRY_DONE);
	return (engine_result(s, rc, "write"));
}

bool
stream_tls_pending(const struct stream *s)
{
	return (s->tls != NULL && SSL_has_pending(s->tls->ssl) == 1);
}

void
stream_tls_end(struct stream *s)
{
	if (s->tls == NULL)
		return;
	if (!s->dead && SSL_is_init_finished(s->tls->ssl)) {
		ERR_clear_error();
		(void)SSL_shutdown(s->tls->ssl);
	}
	SSL_free(s->tls->ssl);
	free(s->tls->sni);
	free(s->tls->early);
	free(s->tls->peerdn);
	free(s->tls);
	s->tls = NULL;
	ERR_clear_error();
}

/* ---- the handshake ---- */

static void
describe(struct stream_tls *t)
{
	const char *sni = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
	const char *version = SSL_get_version(t->ssl);

	/* Exim writes TLS1.3 for OpenSSL's TLSv1.3. */
	(void)snprintf(t->cipher, sizeof(t->cipher), "TLS%s:%s:%d", strncmp(version, "TLSv", 4) == 0 ? version + 4 :
	    version, SSL_get_cipher_name(t->ssl), SSL_get_cipher_bits(t->ssl, NULL));
	if (sni != NULL)
		t->sni = xstrdup(sni);
}

static void
describe_peer(struct stream_tls *t)
{
	X509 *x = SSL_get0_peer_certificate(t->ssl);
	BIO *b;
	char *p;
	long n;

	if (x == NULL)
		return;
	t->verified = tls_client_checks(t->ssl) && SSL_get_verify_result(t->ssl) == X509_V_OK;
	t->dane = SSL_get0_dane_authority(t->ssl, NULL, NULL) >= 0;
	if (t->dane)
		t->verified = true;
	if ((b = BIO_new(BIO_s_mem())) == NULL)
		return;
	(void)X509_NAME_print_ex(b, X509_get_subject_name(x), 0, XN_FLAG_RFC2253);
	n = BIO_get_mem_data(b, &p);
	t->peerdn = xstrndup(p, n > 0 && n < 1024 ? (size_t)n : 0);
	(void)BIO_free(b);
}

/* The handshake is done; is all there that was asked for? */
static enum stream_result
judge(struct stream *s, SSL *ssl, const struct tls_accept *server)
{
	const char *why = server != NULL ? tls_server_complaint(ssl, server) : tls_client_complaint(ssl);

	s->tls->accept = NULL;
	describe(s->tls);
	if (server == NULL)
		describe_peer(s->tls);
	return (why == NULL ? STREAM_OK : stream_fail(s, "TLS: %s", why));
}

static enum stream_result
handshake(struct stream *s, SSL *ssl, const struct tls_accept *server, int64_t deadline_ms)
{
	int64_t deadline = FIBER_NOW_PLUS(deadline_ms);
	enum stream_result r = STREAM_OK;
	enum stream_try t;
	int rc;

	if (ssl == NULL) {
		char text[200];

		tls_error_text(text, sizeof(text), "out of memory");
		return (stream_fail(s, "TLS: %s", text));
	}
	s->tls = xcalloc(1, sizeof(*s->tls));
	s->tls->ssl = ssl;
	s->tls->accept = server;
	if (s->in_len > s->in_off) {
		s->tls->early = xmalloc(s->in_len - s->in_off);
		memcpy(s->tls->early, s->in + s->in_off, s->in_len - s->in_off);
		s->tls->early_len = s->in_len - s->in_off;
	}
	free(s->in);
	s->in = NULL;
	s->in_cap = s->in_off = s->in_len = 0;
	SSL_set_app_data(ssl, s->tls);
	BIO *b = bio_new(s);
	SSL_set_bio(ssl, b, b);
	for (;;) {
		ERR_clear_error();
		rc = server != NULL ? SSL_accept(ssl) : SSL_connect(ssl);
		if (rc == 1)
			break;
		t = engine_result(s, rc, "handshake");
		if (t == TRY_ERROR)
			return (STREAM_ERROR);
		if (t == TRY_EOF) {
			s->dead = true;
			return (STREAM_EOF);
		}
		if ((r = stream_await(s, t, deadline)) != STREAM_OK) {
			s->dead = true;
			return (r);
		}
	}
	return (judge(s, ssl, server));
}

static enum stream_result
prepare(struct stream *s, bool keep)
{
	enum stream_result r;

	assert(s->tls == NULL);
	/* RFC 3207 section 4.2: what came in the clear may not count as protected. */
	if (!keep && stream_has_input(s))
		return (stream_fail(s, "input was sent in the clear before TLS started"));
	if ((r = stream_flush(s)) != STREAM_OK)
		return (r);
	if (keep && stream_has_input(s))
		return (STREAM_OK);
	free(s->in);
	s->in = NULL;
	s->in_cap = s->in_off = s->in_len = 0;
	return (STREAM_OK);
}

enum stream_result
stream_accepttls(struct stream *s, struct tls_server *ctx, const struct tls_accept *how, int64_t deadline_ms)
{
	enum stream_result r = prepare(s, how->behind_header);

	if (r != STREAM_OK)
		return (r);
	/* A certificate that was replaced holds for the next session; a broken one keeps the old. */
	(void)tls_server_refresh(ctx, NULL);
	ctx = tls_server_ref(ctx);
	r = handshake(s, tls_server_ssl(ctx, how), how, deadline_ms);
	tls_server_free(&ctx);
	return (r);
}

enum stream_result
stream_starttls(struct stream *s, struct tls_server *ctx, int64_t deadline_ms)
{
	const struct tls_accept how = { .resume = true };

	return (stream_accepttls(s, ctx, &how, deadline_ms));
}

enum stream_result
stream_connecttls_peer(struct stream *s, struct tls_client *ctx, const struct tls_peer *peer, int64_t deadline_ms)
{
	enum stream_result r = prepare(s, false);

	return (r != STREAM_OK ? r : handshake(s, tls_client_ssl(ctx, peer), NULL, deadline_ms));
}

enum stream_result
stream_connecttls(struct stream *s, struct tls_client *ctx, const char *host, int64_t deadline_ms)
{
	const struct tls_peer peer = { .host = host };

	return (stream_connecttls_peer(s, ctx, &peer, deadline_ms));
}

bool
stream_tls_verified(const struct stream *s)
{
	return (s->tls != NULL && s->tls->verified);
}

bool
stream_tls_dane(const struct stream *s)
{
	return (s->tls != NULL && s->tls->dane);
}

const char *
stream_tls_peerdn(const struct stream *s)
{
	return (s->tls == NULL || s->tls->peerdn == NULL ? "" : s->tls->peerdn);
}

bool
stream_is_tls(const struct stream *s)
{
	return (s->tls != NULL);
}

const char *
stream_tls_cipher(const struct stream *s)
{
	return (s->tls == NULL ? "" : s->tls->cipher);
}

const char *
stream_tls_sni(const struct stream *s)
{
	return (s->tls == NULL || s->tls->sni == NULL ? "" : s->tls->sni);
}

/* The subject, as RFC 2253 writes it: most special part first. */
static void
put_dn(X509 *cert, char *out, size_t size)
{
	BIO *b = BIO_new(BIO_s_mem());
	int n = 0;

	if (b != NULL && X509_NAME_print_ex(b, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0)
		n = BIO_read(b, out, (int)size - 1);
	out[n > 0 ? n : 0] = '\0';
	BIO_free(b);
}

void
stream_tls_facts(const struct stream *s, struct stream_tls_facts *f)
{
	SSL *ssl = s->tls == NULL ? NULL : s->tls->ssl;

	memset(f, 0, sizeof(*f));
	f->standard = "";
	if (ssl == NULL)
		return;
	if (SSL_get_current_cipher(ssl) != NULL)
		f->standard = SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl));
	f->bits = SSL_get_cipher_bits(ssl, NULL);
	f->ocsp = s->tls->ocsp;
	f->own = SSL_get_certificate(ssl);
	f->peer = SSL_get0_peer_certificate(ssl);
	if (f->peer != NULL)
		put_dn(f->peer, f->peer_dn, sizeof(f->peer_dn));
	f->verified = f->peer != NULL && SSL_get_verify_result(ssl) == X509_V_OK;
}

size_t
stream_tls_chain(const struct stream *s, size_t i, void **cert)
{
	STACK_OF(X509) *chain = s->tls == NULL ? NULL : SSL_get_peer_cert_chain(s->tls->ssl);
	int n = chain == NULL ? 0 : sk_X509_num(chain);

	if (cert != NULL)
		*cert = i < (size_t)(n < 0 ? 0 : n) ? sk_X509_value(chain, (int)i) : NULL;
	return (n < 0 ? 0 : (size_t)n);
}

bool
stream_tls_resumed(const struct stream *s)
{
	return (s->tls != NULL && SSL_session_reused(s->tls->ssl) == 1);
}

bool
stream_tls_export(const struct stream *s, const char *label, unsigned char *out, size_t len)
{
	return (s->tls != NULL && SSL_export_keying_material(s->tls->ssl, out, len, label, strlen(label), NULL, 0, 0) == 1);
}
