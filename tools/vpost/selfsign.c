/* SPDX-License-Identifier: BSD-2-Clause */
/* A certificate that its own key signed, so that a new box speaks TLS from its first minute. */
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vpost_int.h"

#define TEN_YEARS	(3650L * 86400)

static int
add_names(X509 *x, const char *host)
{
	char alt[300];
	X509_EXTENSION *ext;
	int ok;

	(void)snprintf(alt, sizeof(alt), "DNS:%.250s", host);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt);
	if (ext == NULL)
		return (0);
	ok = X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	return (ok);
}

static X509 *
make_cert(EVP_PKEY *key, const char *host)
{
	X509 *x = X509_new();
	unsigned char serial[8];
	BIGNUM *bn = NULL;
	X509_NAME *name;
	int ok;

	if (x == NULL || RAND_bytes(serial, sizeof(serial)) != 1)
		goto fail;
	serial[0] &= 0x7f;
	bn = BN_bin2bn(serial, sizeof(serial), NULL);
	name = X509_get_subject_name(x);
	ok = bn != NULL && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)) != NULL && X509_set_version(x, 2) == 1 &&
	    X509_gmtime_adj(X509_getm_notBefore(x), -3600) != NULL &&
	    X509_gmtime_adj(X509_getm_notAfter(x), TEN_YEARS) != NULL && X509_set_pubkey(x, key) == 1 &&
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)host, -1, -1, 0) == 1 &&
	    X509_set_issuer_name(x, name) == 1 && add_names(x, host) == 1 && X509_sign(x, key, EVP_sha256()) != 0;
	BN_free(bn);
	if (ok)
		return (x);
fail:
	X509_free(x);
	return (NULL);
}

int
selfsign(const char *path, const char *host, struct err *err)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = key == NULL ? NULL : make_cert(key, host);
	FILE *f = NULL;
	int fd = -1, rc = -1;

	if (x == NULL) {
		err_set(err, ERR_TEMP, NULL, "cannot make a certificate for %s", host);
		goto out;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1 || (f = fdopen(fd, "w")) == NULL) {
		err_sys(err, "create %s", path);
		goto out;
	}
	if (PEM_write_X509(f, x) == 1 && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1 && fflush(f) == 0 &&
	    fsync(fd) == 0)
		rc = 0;
	else
		err_sys(err, "write %s", path);
out:
	if (f != NULL)
		(void)fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
	return (rc);
}
