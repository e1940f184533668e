/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLS contexts of clients: authorities, own certificate, ciphers, certificate status (RFC 6066
 * section 8), DANE (RFC 6698, 7672), sessions that are taken up again.  The smtp transport makes one for each
 * set of options that hosts need.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "base/arena.h"
#include "base/sv.h"
#include "io/stream_int.h"
#include "io/tls.h"

#define SESSIONS	64
#define HOST_MAX	256
#define OCSP_SKEW	300		/* seconds that clocks may differ */

struct session {
	char		 host[HOST_MAX];
	SSL_SESSION	*s;
};

struct tls_client {
	SSL_CTX		*ctx;
	unsigned	 refs;
	enum tls_verify	 verify;
	bool		 names;
	bool		 alpn_require;
	int		 dh_min_bits;
	int		(*usual)(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid, void *other, void *ex);
	bool		 ocsp_request, ocsp_require;
	bool		 resume, dane;
	struct session	 kept[SESSIONS];
	size_t		 next;		/* the place of the next one */
};

static int
bad_file(struct err *err, const char *what, const char *file)
{
	char why[200];

	tls_error_text(why, sizeof(why), "unreadable");
	return (err_set(err, ERR_CONFIG, "4.3.5", "%s: %s could be read (%s)", file, what, why));
}

/* ---- certificates ---- */

static int
load_authorities(struct tls_client *t, const char *ca, struct err *err)
{
	struct stat sb;
	bool named = ca != NULL && strcmp(ca, "system") != 0, dir;

	ERR_clear_error();
	/* What is named is added to the system's. */
	if (!named)
		return (SSL_CTX_set_default_verify_paths(t->ctx) == 1 ? 0 :
		    bad_file(err, "no certificates of authorities", "the system's store"));
	dir = stat(ca, &sb) == 0 && S_ISDIR(sb.st_mode);
	if (SSL_CTX_load_verify_locations(t->ctx, dir ? NULL : ca, dir ? ca : NULL) != 1)
		return (bad_file(err, "no certificates of authorities", ca));
	return (0);
}

static int
load_crl(struct tls_client *t, const char *file, struct err *err)
{
	X509_STORE *store = SSL_CTX_get_cert_store(t->ctx);
	X509_LOOKUP *l = X509_STORE_add_lookup(store, X509_LOOKUP_file());

	ERR_clear_error();
	if (l == NULL || X509_load_crl_file(l, file, X509_FILETYPE_PEM) < 1)
		return (bad_file(err, "no revocation list", file));
	(void)X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return (0);
}

static int
load_own(struct tls_client *t, const char *cert, const char *key, struct err *err)
{
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(t->ctx, cert) != 1)
		return (bad_file(err, "no certificate", cert));
	if (key == NULL || *key == '\0')
		key = cert;
	if (SSL_CTX_use_PrivateKey_file(t->ctx, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(t->ctx) != 1)
		return (bad_file(err, "no private key that fits the certificate", key));
	return (0);
}

/* ---- ciphers ---- */

/* tls_dh_min_bits; what else the library demands stays. */
static int
security(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid, void *other, void *ex)
{
	const struct tls_client *t = SSL_CTX_get_app_data(ssl != NULL ? SSL_get_SSL_CTX(ssl) : ctx);

	if (t != NULL && op == SSL_SECOP_TMP_DH && other != NULL)
		return (EVP_PKEY_get_bits(other) >= t->dh_min_bits);
	return (t == NULL ? 0 : t->usual(ssl, ctx, op, bits, nid, other, ex));
}

/* ---- the status of the server's certificate ---- */

static int
check_status(OCSP_BASICRESP *basic, SSL *ssl)
{
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl), *proved = SSL_get0_verified_chain(ssl);
	X509 *x = SSL_get0_peer_certificate(ssl), *issuer = sk_X509_num(proved) > 1 ? sk_X509_value(proved, 1) : NULL;
	X509_STORE *store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
	ASN1_GENERALIZEDTIME *this_update, *next_update;
	X509_STORE_CTX *sc = NULL;
	OCSP_CERTID *id;
	int status, ok = 0;

	if (OCSP_basic_verify(basic, chain, store, 0) != 1)
		return (0);
	/* Who issued it is what we found, never just what the server sent behind it. */
	if (issuer == NULL && (sc = X509_STORE_CTX_new()) != NULL && X509_STORE_CTX_init(sc, store, x, chain) == 1)
		(void)X509_STORE_CTX_get1_issuer(&issuer, sc, x);
	if (issuer != NULL && (id = OCSP_cert_to_id(NULL, x, issuer)) != NULL) {
		ok = OCSP_resp_find_status(basic, id, &status, NULL, NULL, &this_update, &next_update) == 1 &&
		    status == V_OCSP_CERTSTATUS_GOOD && OCSP_check_validity(this_update, next_update, OCSP_SKEW, -1) == 1;
		OCSP_CERTID_free(id);
	}
	if (sc != NULL)
		X509_free(issuer);
	X509_STORE_CTX_free(sc);
	return (ok);
}

static int
status_cb(SSL *ssl, void *arg)
{
	const struct tls_client *t = arg;
	OCSP_RESPONSE *r = NULL;
	OCSP_BASICRESP *basic = NULL;
	const unsigned char *p;
	struct stream_tls *st = SSL_get_app_data(ssl);
	long n = SSL_get_tlsext_status_ocsp_resp(ssl, &p);
	int ok = 0;

	if (p == NULL || n <= 0) {
		if (st != NULL)
			st->ocsp = TLS_OCSP_NO_ANSWER;
		return (t->ocsp_require ? 0 : 1);
	}
	if ((r = d2i_OCSP_RESPONSE(NULL, &p, n)) != NULL && OCSP_response_status(r) == OCSP_RESPONSE_STATUS_SUCCESSFUL &&
	    (basic = OCSP_response_get1_basic(r)) != NULL)
		ok = check_status(basic, ssl);
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(r);
	ERR_clear_error();
	if (st != NULL)
		st->ocsp = ok ? TLS_OCSP_GOOD : TLS_OCSP_BAD;
	/* A status that says nothing good counts where it was not demanded, too, if the certificate has to be in order. */
	return (ok || (!t->ocsp_require && t->verify != TLS_VERIFY_REQUIRE));
}

/* ---- sessions ---- */

static void
free_name(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	free(ptr);
}

/* Where an SSL keeps the name of the host, by which its session is found again. */
static int
host_index(void)
{
	static int index = -1;

	if (index == -1)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_name);
	return (index);
}

static int
keep_session(SSL *ssl, SSL_SESSION *s)
{
	struct tls_client *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const char *host = SSL_get_ex_data(ssl, host_index());
	struct session *k;

	if (t == NULL || host == NULL)
		return (0);
	k = &t->kept[t->next++ % SESSIONS];
	SSL_SESSION_free(k->s);
	(void)snprintf(k->host, sizeof(k->host), "%s", host);
	k->s = s;
	return (1);
}

static void
take_up(struct tls_client *t, SSL *ssl, const char *host)
{
	for (size_t i = 0; i < SESSIONS; i++) {
		struct session *k = &t->kept[(t->next + SESSIONS - 1 - i) % SESSIONS];

		if (k->s == NULL || strcmp(k->host, host) != 0)
			continue;
		(void)SSL_set_session(ssl, k->s);
		/* A ticket of TLS 1.3 is for one use (RFC 8446 section 4.6.1). */
		SSL_SESSION_free(k->s);
		k->s = NULL;
		return;
	}
}

/* ---- contexts ---- */

static int
set_alpn(struct tls_client *t, const char *name, struct err *err)
{
	unsigned char wire[256];
	size_t n = strlen(name);

	if (n == 0 || n > 255)
		return (err_set(err, ERR_CONFIG, "4.3.5", "tls_alpn: \"%s\" is no name of a protocol", name));
	wire[0] = (unsigned char)n;
	memcpy(wire + 1, name, n);
	return (SSL_CTX_set_alpn_protos(t->ctx, wire, (unsigned)n + 1) == 0 ? 0 :
	    err_set(err, ERR_TEMP, "4.3.0", "TLS: out of memory"));
}

static int
fill(struct tls_client *t, const struct tls_client_conf *c, struct err *err)
{
	if ((c->verify != TLS_VERIFY_NO || c->ocsp_require) && load_authorities(t, c->ca, err) == -1)
		return (-1);
	tls_params_switches(t->ctx, &c->switches);
	if (c->crl != NULL && *c->crl != '\0' && load_crl(t, c->crl, err) == -1)
		return (-1);
	if (c->cert != NULL && *c->cert != '\0' && load_own(t, c->cert, c->key, err) == -1)
		return (-1);
	if (c->ciphers != NULL && *c->ciphers != '\0' && tls_params_ciphers(t->ctx, c->ciphers, err) == -1)
		return (-1);
	if (c->alpn != NULL && *c->alpn != '\0' && set_alpn(t, c->alpn, err) == -1)
		return (-1);
	if (c->dane && SSL_CTX_dane_enable(t->ctx) != 1)
		return (err_set(err, ERR_TEMP, "4.3.0", "TLS: no DANE"));
	if (c->dh_min_bits > 0) {
		t->usual = SSL_CTX_get_security_callback(t->ctx);
		SSL_CTX_set_security_callback(t->ctx, security);
	}
	if (c->ocsp_request || c->ocsp_require) {
		(void)SSL_CTX_set_tlsext_status_cb(t->ctx, status_cb);
		(void)SSL_CTX_set_tlsext_status_arg(t->ctx, t);
	}
	if (c->resume) {
		(void)SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(t->ctx, keep_session);
	}
	return (0);
}

struct tls_client *
tls_client_new_conf(const struct tls_client_conf *c, struct err *err)
{
	struct tls_client *t = xcalloc(1, sizeof(*t));

	t->refs = 1;
	t->verify = c->verify;
	t->names = c->names;
	t->alpn_require = c->alpn_require && c->alpn != NULL && *c->alpn != '\0';
	t->dh_min_bits = c->dh_min_bits;
	t->ocsp_request = c->ocsp_request || c->ocsp_require;
	t->ocsp_require = c->ocsp_require;
	t->resume = c->resume;
	t->dane = c->dane;
	t->ctx = SSL_CTX_new(TLS_client_method());
	if (t->ctx == NULL) {
		(void)err_set(err, ERR_TEMP, "4.3.0", "TLS: no context could be made");
		tls_client_free(&t);
		return (NULL);
	}
	SSL_CTX_set_app_data(t->ctx, t);
	(void)SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
	(void)SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	(void)SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(t->ctx, 1);
	if (fill(t, c, err) == -1) {
		tls_client_free(&t);
		return (NULL);
	}
	return (t);
}

struct tls_client *
tls_client_new(const char *cafile, bool verify, struct err *err)
{
	struct tls_client_conf c = { .verify = verify ? TLS_VERIFY_REQUIRE : TLS_VERIFY_NO, .names = verify, .ca = cafile };

	return (tls_client_new_conf(&c, err));
}

struct tls_client *
tls_client_ref(struct tls_client *t)
{
	t->refs++;
	return (t);
}

void
tls_client_free(struct tls_client **tp)
{
	struct tls_client *t = *tp;

	*tp = NULL;
	if (t == NULL || --t->refs > 0)
		return;
	for (size_t i = 0; i < SESSIONS; i++)
		SSL_SESSION_free(t->kept[i].s);
	SSL_CTX_free(t->ctx);
	free(t);
}

bool
tls_client_checks(SSL *ssl)
{
	const struct tls_client *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	return (t != NULL && t->verify != TLS_VERIFY_NO);
}

/* ---- one connection ---- */

static bool
is_literal(const char *host)
{
	ASN1_OCTET_STRING *ip = host == NULL ? NULL : a2i_IPADDRESS(host);
	bool yes = host == NULL || ip != NULL;

	ASN1_OCTET_STRING_free(ip);
	ERR_clear_error();
	return (yes);
}

/* The certificate must be <host>'s. */
static bool
demand_name(SSL *ssl, const char *host, bool literal)
{
	if (!literal)
		return (SSL_set1_host(ssl, host) == 1);
	return (host != NULL && X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1);
}

/* RFC 7672 section 2.1.1 and 3.1: records that cannot be used are passed over; none left means that TLS will do. */
static bool
add_tlsa(SSL *ssl, const char *host, const struct tls_tlsa *v, size_t n)
{
	size_t good = 0;

	if (SSL_dane_enable(ssl, host) != 1)
		return (false);
	(void)SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	for (size_t i = 0; i < n; i++)
		if (v[i].usage >= 2)
			good += SSL_dane_tlsa_add(ssl, v[i].usage, v[i].selector, v[i].matching, v[i].data, v[i].len) > 0;
	SSL_set_verify(ssl, good > 0 ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	return (true);
}

static bool
set_up(struct tls_client *t, SSL *ssl, const struct tls_peer *peer)
{
	const char *sni = peer->sni != NULL && *peer->sni != '\0' ? peer->sni : peer->host;

	/* RFC 6066 section 3: no addresses in SNI. */
	if (!is_literal(sni))
		(void)SSL_set_tlsext_host_name(ssl, sni);
	if (t->ocsp_request)
		(void)SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
	/* A session that is taken up has no certificate to look at: where TLSA records say which one it has to be, none is. */
	if (t->resume && peer->host != NULL && peer->ntlsa == 0) {
		const char *name = peer->session != NULL && *peer->session != '\0' ? peer->session : peer->host;

		(void)SSL_set_ex_data(ssl, host_index(), xstrdup(name));
		take_up(t, ssl, name);
	}
	if (peer->ntlsa > 0)
		return (add_tlsa(ssl, peer->host, peer->tlsa, peer->ntlsa));
	if (t->verify == TLS_VERIFY_REQUIRE)
		SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	return (t->verify == TLS_VERIFY_NO || !t->names || demand_name(ssl, peer->host, is_literal(peer->host)));
}

SSL *
tls_client_ssl(struct tls_client *t, const struct tls_peer *peer)
{
	SSL *ssl = SSL_new(t->ctx);

	if (ssl != NULL && !set_up(t, ssl, peer)) {
		SSL_free(ssl);
		return (NULL);
	}
	return (ssl);
}

/* What must be true of a finished handshake besides the certificate. */
const char *
tls_client_complaint(SSL *ssl)
{
	const struct tls_client *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct stream_tls *st = SSL_get_app_data(ssl);
	const unsigned char *p;
	unsigned n = 0;

	if (t == NULL)
		return (NULL);
	if (t->ocsp_request && st != NULL && st->ocsp == TLS_OCSP_NOT_ASKED)
		st->ocsp = TLS_OCSP_NO_ANSWER;
	SSL_get0_alpn_selected(ssl, &p, &n);
	if (t->alpn_require && n == 0)
		return ("the server chose no protocol by ALPN");
	/* A server that sends no status does not call us. */
	if (t->ocsp_require && !SSL_session_reused(ssl) && SSL_get_tlsext_status_ocsp_resp(ssl, &p) <= 0)
		return ("the server sent no status of its certificate");
	return (NULL);
}
