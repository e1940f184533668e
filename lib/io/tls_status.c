/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The status of its own certificate that a server shows (OCSP stapling, RFC 6066 section 8): read from a file beside the
 * certificate, checked once when it is loaded, shown while it is fresh.  It lives with its SSL_CTX.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>

#include "base/arena.h"
#include "base/vec.h"
#include "io/stream_int.h"

#define SKEW		300		/* seconds that clocks may differ */

struct status {
	X509		*cert;
	OCSP_RESPONSE	*response;
	OCSP_BASICRESP	*basic;
	OCSP_SINGLERESP	*single;
};

struct statuses {
	VEC(struct status) v;
};

static void
free_statuses(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	struct statuses *l = ptr;

	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->v.len; i++) {
		X509_free(l->v.p[i].cert);
		OCSP_RESPONSE_free(l->v.p[i].response);
		OCSP_BASICRESP_free(l->v.p[i].basic);
	}
	vec_free(&l->v);
	free(l);
}

static int
list_index(void)
{
	static int index = -1;

	if (index == -1)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_statuses);
	return (index);
}

static bool
fresh(const struct status *s)
{
	ASN1_GENERALIZEDTIME *from, *until;
	int status = OCSP_single_get0_status(s->single, NULL, NULL, &from, &until);
	bool ok = status == V_OCSP_CERTSTATUS_GOOD && OCSP_check_validity(from, until, SKEW, -1) == 1;

	ERR_clear_error();
	return (ok);
}

static int
show(SSL *ssl, void *arg)
{
	const struct statuses *l = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), list_index());
	struct stream_tls *st = SSL_get_app_data(ssl);
	X509 *own = SSL_get_certificate(ssl);

	(void)arg;
	if (st != NULL)
		st->ocsp = TLS_OCSP_NO_ANSWER;
	for (size_t i = 0; l != NULL && i < l->v.len; i++) {
		const struct status *s = &l->v.p[i];
		unsigned char *der = NULL;
		int n;

		if (own == NULL || X509_cmp(own, s->cert) != 0 || !fresh(s) || (n = i2d_OCSP_RESPONSE(s->response, &der)) <= 0)
			continue;
		/* It is freed with the connection. */
		(void)SSL_set_tlsext_status_ocsp_resp(ssl, der, n);
		if (st != NULL)
			st->ocsp = TLS_OCSP_GOOD;
		return (SSL_TLSEXT_ERR_OK);
	}
	return (SSL_TLSEXT_ERR_NOACK);
}

static OCSP_RESPONSE *
read_response(const char *file, bool pem)
{
	BIO *b = BIO_new_file(file, "r");
	OCSP_RESPONSE *r = NULL;

	if (b == NULL)
		return (NULL);
	r = pem ? PEM_ASN1_read_bio((d2i_of_void *)d2i_OCSP_RESPONSE, PEM_STRING_OCSP_RESPONSE, b, NULL, NULL, NULL) :
	    d2i_OCSP_RESPONSE_bio(b, NULL);
	BIO_free(b);
	return (r);
}

/* The answer about <cert>; who signed it must be known by the chain or stand in it. */
static bool
take(struct status *s, X509 *cert, STACK_OF(X509) *chain)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
	ASN1_INTEGER *about;

	if (OCSP_response_status(s->response) != OCSP_RESPONSE_STATUS_SUCCESSFUL ||
	    (s->basic = OCSP_response_get1_basic(s->response)) == NULL ||
	    OCSP_basic_verify(s->basic, chain, NULL, OCSP_NOVERIFY) != 1)
		return (false);
	for (int i = 0; i < OCSP_resp_count(s->basic); i++) {
		OCSP_SINGLERESP *one = OCSP_resp_get0(s->basic, i);

		if (OCSP_id_get0_info(NULL, NULL, NULL, &about, (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(one)) == 1 &&
		    ASN1_INTEGER_cmp(about, serial) == 0)
			s->single = one;
	}
	return (s->single != NULL && fresh(s));
}

int
tls_status_load(SSL_CTX *ctx, const char *file, bool pem, struct err *err)
{
	struct statuses *l = SSL_CTX_get_ex_data(ctx, list_index());
	X509 *cert = SSL_CTX_get0_certificate(ctx);
	STACK_OF(X509) *chain = NULL;
	struct status s = { .response = read_response(file, pem) };

	(void)SSL_CTX_get0_chain_certs(ctx, &chain);
	if (s.response == NULL || cert == NULL || !take(&s, cert, chain)) {
		OCSP_RESPONSE_free(s.response);
		OCSP_BASICRESP_free(s.basic);
		ERR_clear_error();
		return (err_set(err, ERR_CONFIG, "4.3.5", "%s: no status that says now that the certificate is good", file));
	}
	if (l == NULL) {
		l = xcalloc(1, sizeof(*l));
		(void)SSL_CTX_set_ex_data(ctx, list_index(), l);
		(void)SSL_CTX_set_tlsext_status_cb(ctx, show);
	}
	(void)X509_up_ref(cert);
	s.cert = cert;
	vec_push(&l->v, s);
	return (0);
}
