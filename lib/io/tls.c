/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLS contexts.  A server holds a list of certificates, each with its own SSL_CTX
 * and the stamps of the files it came from; the first is the default, and carries
 * the ticket keys and the session cache for all.  A changed file is loaded into a
 * new SSL_CTX that replaces the old one; connections keep the one they began with.
 */
#include <sys/stat.h>

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/arena.h"
#include "base/sv.h"
#include "base/vec.h"
#include "io/stream_int.h"
#include "io/tls.h"

#define SESSION_SECONDS	3600
#define SESSION_CACHE	1024
#define TICKET_KEY_LEN	80

struct stamp {
	struct timespec	 mtime;
	off_t		 size;
	ino_t		 ino;
};

struct cert {
	char		*name;		/* file name without .pem; "default" */
	char		*file;
	char		*keyfile;	/* equal to <file> where the key stands in it */
	struct stamp	 fstamp;
	struct stamp	 kstamp;
	SSL_CTX		*ctx;		/* NULL while it cannot be loaded */
	VEC(char *)	 names;		/* names it is valid for, lower case */
	bool		 seen;
};

struct tls_server {
	char		*dir;		/* NULL: one certificate by file names */
	char		*ciphers;
	VEC(struct cert *) certs;	/* [0] is the default */
	struct timespec	 dir_mtime;
	time_t		 looked;
	unsigned char	 ticket_key[TICKET_KEY_LEN];
	X509_STORE	*trust;		/* for certificates of clients; NULL: none was named */
	STACK_OF(X509_NAME) *names;	/* of those, to tell the client */
};

void
tls_error_text(char *buf, size_t size, const char *dflt)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = e == 0 ? NULL : ERR_reason_error_string(e);

	(void)snprintf(buf, size, "%s", reason != NULL ? reason : dflt);
	ERR_clear_error();
}

/* ---- one certificate ---- */

static void
cert_drop_names(struct cert *c)
{
	for (size_t i = 0; i < c->names.len; i++)
		free(c->names.p[i]);
	vec_clear(&c->names);
}

static void
cert_free(struct cert *c)
{
	cert_drop_names(c);
	vec_free(&c->names);
	SSL_CTX_free(c->ctx);
	free(c->name);
	free(c->file);
	free(c->keyfile);
	free(c);
}

static bool
stamp_of(const char *path, struct stamp *st)
{
	struct stat sb;

	memset(st, 0, sizeof(*st));
	if (stat(path, &sb) == -1)
		return (false);
	st->mtime = sb.st_mtim;
	st->size = sb.st_size;
	st->ino = sb.st_ino;
	return (true);
}

static bool
stamp_eq(const struct stamp *a, const struct stamp *b)
{
	return (a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec && a->size == b->size &&
	    a->ino == b->ino);
}

static int
check_key_mode(const char *path, struct err *err)
{
	struct stat sb;
	FILE *f;

	if (stat(path, &sb) == -1)
		return (err_set(err, ERR_CONFIG, "4.3.5", "%s: %s", path, strerror(errno)));
	if ((sb.st_mode & 07) != 0)
		return (err_set(err, ERR_CONFIG, "4.3.5", "%s: mode %04o opens the private key to everyone; "
		    "chmod 640 it", path, (unsigned)sb.st_mode & 07777));
	f = fopen(path, "re");
	if (f == NULL)
		return (err_set(err, ERR_CONFIG, "4.3.5", "%s: mode %04o, owner uid %u: uid %u may not read the private "
		    "key (%s)", path, (unsigned)sb.st_mode & 07777, (unsigned)sb.st_uid, (unsigned)geteuid(),
		    strerror(errno)));
	(void)fclose(f);
	return (0);
}

static void
cert_add_name(struct cert *c, const char *p, size_t len)
{
	char *name;

	if (len == 0 || memchr(p, '\0', len) != NULL)
		return;
	name = xstrndup(p, len);
	for (char *q = name; *q != '\0'; q++)
		*q = sv_lower(*q);
	vec_push(&c->names, name);
}

/* The names for SNI: the certificate's, and that of its file. */
static void
cert_take_names(struct cert *c)
{
	X509 *x = SSL_CTX_get0_certificate(c->ctx);
	GENERAL_NAMES *gens = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

	cert_drop_names(c);
	if (strcmp(c->name, "default") != 0)
		cert_add_name(c, c->name, strlen(c->name));
	for (int i = 0; i < sk_GENERAL_NAME_num(gens); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(gens, i);

		if (g->type == GEN_DNS)
			cert_add_name(c, (const char *)ASN1_STRING_get0_data(g->d.dNSName),
			    (size_t)ASN1_STRING_length(g->d.dNSName));
	}
	GENERAL_NAMES_free(gens);
}

static int choose_cert(SSL *ssl, int *alert, void *arg);

static void
use_trust(const struct tls_server *t, SSL_CTX *ctx)
{
	if (t->trust != NULL)
		(void)SSL_CTX_set1_verify_cert_store(ctx, t->trust);
	if (t->names != NULL)
		SSL_CTX_set_client_CA_list(ctx, SSL_dup_CA_list(t->names));
}

static SSL_CTX *
server_ctx(struct tls_server *t)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL)
		return (NULL);
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
	    SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_SINGLE_ECDH_USE);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
	(void)SSL_CTX_sess_set_cache_size(ctx, SESSION_CACHE);
	(void)SSL_CTX_set_timeout(ctx, SESSION_SECONDS);
	(void)SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"vpost", 5);
	(void)SSL_CTX_set_num_tickets(ctx, 1);
	(void)SSL_CTX_set_tlsext_ticket_keys(ctx, t->ticket_key, TICKET_KEY_LEN);
	(void)SSL_CTX_set_tlsext_servername_callback(ctx, choose_cert);
	(void)SSL_CTX_set_tlsext_servername_arg(ctx, t);
	use_trust(t, ctx);
	return (ctx);
}

static int
fill_ctx(struct tls_server *t, struct cert *c, SSL_CTX *ctx, struct err *err)
{
	char why[200];

	if (SSL_CTX_use_certificate_chain_file(ctx, c->file) != 1) {
		tls_error_text(why, sizeof(why), "unreadable");
		return (err_set(err, ERR_CONFIG, "4.3.5", "%s: no certificate could be read (%s)", c->file, why));
	}
	if (SSL_CTX_use_PrivateKey_file(ctx, c->keyfile, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
		tls_error_text(why, sizeof(why), "unreadable");
		return (err_set(err, ERR_CONFIG, "4.3.5", "%s: no private key that fits %s (%s)", c->keyfile, c->file,
		    why));
	}
	if (t->ciphers != NULL && SSL_CTX_set_cipher_list(ctx, t->ciphers) != 1) {
		tls_error_text(why, sizeof(why), "no cipher");
		return (err_set(err, ERR_CONFIG, "4.3.5", "TLS ciphers \"%s\": %s", t->ciphers, why));
	}
	return (0);
}

/* (Re)load.  On failure the old context stays; the stamps are taken, so that one fault is told once. */
static int
cert_load(struct tls_server *t, struct cert *c, struct err *err)
{
	SSL_CTX *ctx;

	if (t->dir != NULL) {
		char *key = xmalloc(strlen(c->file) + 1);

		(void)snprintf(key, strlen(c->file) + 1, "%.*s.key", (int)strlen(c->file) - 4, c->file);
		free(c->keyfile);
		if (access(key, F_OK) == 0) {
			c->keyfile = key;
		} else {
			free(key);
			c->keyfile = xstrdup(c->file);
		}
	}
	(void)stamp_of(c->file, &c->fstamp);
	(void)stamp_of(c->keyfile, &c->kstamp);
	if (check_key_mode(c->keyfile, err) == -1)
		return (-1);
	ERR_clear_error();
	ctx = server_ctx(t);
	if (ctx == NULL)
		return (err_set(err, ERR_TEMP, "4.3.0", "TLS: no context could be made"));
	if (fill_ctx(t, c, ctx, err) == -1) {
		SSL_CTX_free(ctx);
		return (-1);
	}
	SSL_CTX_free(c->ctx);
	c->ctx = ctx;
	cert_take_names(c);
	return (0);
}

static bool
cert_changed(const struct cert *c)
{
	struct stamp f, k;

	(void)stamp_of(c->file, &f);
	(void)stamp_of(c->keyfile, &k);
	return (!stamp_eq(&f, &c->fstamp) || !stamp_eq(&k, &c->kstamp));
}

/* ---- SNI ---- */

static bool
name_matches(const char *pattern, const char *host)
{
	const char *dot;

	if (strcmp(pattern, host) == 0)
		return (true);
	/* RFC 6125 section 6.4.3: the star stands for one whole label. */
	if (pattern[0] != '*' || pattern[1] != '.')
		return (false);
	dot = strchr(host, '.');
	return (dot != NULL && dot != host && strcmp(dot, pattern + 1) == 0);
}

static struct cert *
find_cert(const struct tls_server *t, const char *host, bool wildcard)
{
	for (size_t i = 0; i < t->certs.len; i++) {
		struct cert *c = t->certs.p[i];

		for (size_t j = 0; c->ctx != NULL && j < c->names.len; j++)
			if ((c->names.p[j][0] == '*') == wildcard && name_matches(c->names.p[j], host))
				return (c);
	}
	return (NULL);
}

static int
choose_cert(SSL *ssl, int *alert, void *arg)
{
	const struct tls_server *t = arg;
	const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	char host[256];
	struct cert *c;
	size_t n;

	if (sni == NULL || (n = strlen(sni)) == 0 || n >= sizeof(host))
		return (SSL_TLSEXT_ERR_NOACK);
	for (size_t i = 0; i <= n; i++)
		host[i] = sv_lower(sni[i]);
	if (host[n - 1] == '.')
		host[n - 1] = '\0';
	c = find_cert(t, host, false);
	if (c == NULL)
		c = find_cert(t, host, true);
	if (c != NULL)
		(void)SSL_set_SSL_CTX(ssl, c->ctx);
	return (SSL_TLSEXT_ERR_OK);
}

/* ---- a directory of certificates ---- */

static struct cert *
cert_by_name(const struct tls_server *t, const char *name)
{
	for (size_t i = 0; i < t->certs.len; i++)
		if (strcmp(t->certs.p[i]->name, name) == 0)
			return (t->certs.p[i]);
	return (NULL);
}

static int
is_pem(const struct dirent *d)
{
	return (d->d_name[0] != '.' && sv_ends(sv_cstr(d->d_name), ".pem") && strlen(d->d_name) > 4);
}

/* The first error is kept, so that one bad file does not hide behind another's success. */
static int
keep_first(int rc, int *all, const struct err *one, struct err *err)
{
	if (rc == -1 && *all == 0) {
		*all = -1;
		if (err != NULL)
			*err = *one;
	}
	return (rc);
}

static void
move_default_first(struct tls_server *t)
{
	for (size_t i = 0; i < t->certs.len; i++) {
		struct cert *c = t->certs.p[i];

		if (strcmp(c->name, "default") == 0 && c->ctx != NULL) {
			t->certs.p[i] = t->certs.p[0];
			t->certs.p[0] = c;
			return;
		}
	}
}

/* Load new and changed files, forget those that are gone; a broken file keeps what was loaded before. */
static int
scan_dir(struct tls_server *t, struct err *err)
{
	struct err one = ERR_INIT;
	struct dirent **list;
	struct stat sb;
	int n, all = 0;

	if (stat(t->dir, &sb) == -1 || (n = scandir(t->dir, &list, is_pem, alphasort)) == -1)
		return (err_set(err, ERR_CONFIG, "4.3.5", "%s: %s", t->dir, strerror(errno)));
	t->dir_mtime = sb.st_mtim;
	for (size_t i = 0; i < t->certs.len; i++)
		t->certs.p[i]->seen = false;
	for (int i = 0; i < n; i++) {
		char *name = xstrndup(list[i]->d_name, strlen(list[i]->d_name) - 4);
		struct cert *c = cert_by_name(t, name);

		if (c == NULL) {
			size_t len = strlen(t->dir) + strlen(list[i]->d_name) + 2;

			c = xcalloc(1, sizeof(*c));
			c->name = xstrdup(name);
			c->file = xmalloc(len);
			(void)snprintf(c->file, len, "%s/%s", t->dir, list[i]->d_name);
			vec_push(&t->certs, c);
		}
		c->seen = true;
		if (c->keyfile == NULL || cert_changed(c))
			(void)keep_first(cert_load(t, c, &one), &all, &one, err);
		free(name);
		free(list[i]);
	}
	free(list);
	for (size_t i = t->certs.len; i-- > 0;) {
		struct cert *c = t->certs.p[i];

		/* The last one that works stays: no files at all is more likely an accident than a wish. */
		if (!c->seen && t->certs.len > 1) {
			cert_free(c);
			vec_remove(&t->certs, i);
		}
	}
	move_default_first(t);
	return (all);
}

static bool
has_any(const struct tls_server *t)
{
	for (size_t i = 0; i < t->certs.len; i++)
		if (t->certs.p[i]->ctx != NULL)
			return (true);
	return (false);
}

struct tls_server *
tls_server_new(const char *dir, struct err *err)
{
	struct tls_server *t = xcalloc(1, sizeof(*t));
	struct err one = ERR_INIT;
	int rc;

	t->dir = xstrdup(dir);
	t->looked = time(NULL);
	if (RAND_bytes(t->ticket_key, TICKET_KEY_LEN) != 1) {
		(void)err_set(err, ERR_TEMP, "4.3.0", "TLS: no random numbers");
		tls_server_free(&t);
		return (NULL);
	}
	rc = scan_dir(t, &one);
	if (!has_any(t)) {
		if (rc == 0)
			(void)err_set(&one, ERR_CONFIG, "4.3.5", "%s: no certificate there; put default.pem (chain and key) "
			    "into it", dir);
		tls_server_free(&t);
	}
	if (one.cls != ERR_NONE && err != NULL)
		*err = one;
	return (t);
}

struct tls_server *
tls_server_new_files(const char *cert, const char *key, const char *ciphers, struct err *err)
{
	struct tls_server *t = xcalloc(1, sizeof(*t));
	struct cert *c = xcalloc(1, sizeof(*c));

	if (ciphers != NULL)
		t->ciphers = xstrdup(ciphers);
	t->looked = time(NULL);
	c->name = xstrdup("default");
	c->file = xstrdup(cert);
	c->keyfile = xstrdup(key == NULL ? cert : key);
	vec_push(&t->certs, c);
	if (RAND_bytes(t->ticket_key, TICKET_KEY_LEN) != 1) {
		(void)err_set(err, ERR_TEMP, "4.3.0", "TLS: no random numbers");
		tls_server_free(&t);
	} else if (cert_load(t, c, err) == -1) {
		tls_server_free(&t);
	}
	return (t);
}

static X509_STORE *
read_trust(const char *cas, const char *crl)
{
	X509_STORE *store = X509_STORE_new();
	struct stat sb;
	int ok;

	if (store == NULL)
		return (NULL);
	if (strcmp(cas, "system") == 0)
		ok = X509_STORE_set_default_paths(store);
	else if (stat(cas, &sb) == 0 && S_ISDIR(sb.st_mode))
		ok = X509_STORE_load_path(store, cas);
	else
		ok = X509_STORE_load_file(store, cas);
	if (ok == 1 && crl != NULL)
		ok = X509_STORE_load_file(store, crl) == 1 && X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK) == 1;
	if (ok == 1)
		return (store);
	X509_STORE_free(store);
	return (NULL);
}

int
tls_server_trust(struct tls_server *t, const char *cas, const char *crl, struct err *err)
{
	X509_STORE *store = read_trust(cas, crl);
	char text[200];

	if (store == NULL) {
		tls_error_text(text, sizeof(text), "it cannot be read");
		return (err_set(err, ERR_CONFIG, "4.3.5", "%s%s%s: %s", cas, crl == NULL ? "" : ", ", crl == NULL ? "" : crl, text));
	}
	X509_STORE_free(t->trust);
	sk_X509_NAME_pop_free(t->names, X509_NAME_free);
	t->trust = store;
	t->names = strcmp(cas, "system") == 0 ? NULL : SSL_load_client_CA_file(cas);
	ERR_clear_error();
	for (size_t i = 0; i < t->certs.len; i++)
		if (t->certs.p[i]->ctx != NULL)
			use_trust(t, t->certs.p[i]->ctx);
	return (0);
}

void
tls_server_free(struct tls_server **tp)
{
	struct tls_server *t = *tp;

	if (t == NULL)
		return;
	for (size_t i = 0; i < t->certs.len; i++)
		cert_free(t->certs.p[i]);
	vec_free(&t->certs);
	free(t->dir);
	free(t->ciphers);
	X509_STORE_free(t->trust);
	sk_X509_NAME_pop_free(t->names, X509_NAME_free);
	OPENSSL_cleanse(t->ticket_key, TICKET_KEY_LEN);
	free(t);
	*tp = NULL;
}

int
tls_server_refresh(struct tls_server *t, struct err *err)
{
	struct err one = ERR_INIT;
	time_t now = time(NULL);
	struct stat sb;
	int all = 0;

	if (now == t->looked)
		return (0);
	t->looked = now;
	if (t->dir != NULL && stat(t->dir, &sb) == 0 && (sb.st_mtim.tv_sec != t->dir_mtime.tv_sec ||
	    sb.st_mtim.tv_nsec != t->dir_mtime.tv_nsec))
		return (scan_dir(t, err));
	for (size_t i = 0; i < t->certs.len; i++)
		if (cert_changed(t->certs.p[i]))
			(void)keep_first(cert_load(t, t->certs.p[i], &one), &all, &one, err);
	return (all);
}

SSL *
tls_server_ssl(struct tls_server *t)
{
	for (size_t i = 0; i < t->certs.len; i++)
		if (t->certs.p[i]->ctx != NULL)
			return (SSL_new(t->certs.p[i]->ctx));
	return (NULL);
}

/* ---- what the certificates say ---- */

static time_t
asn1_time(const ASN1_TIME *a)
{
	struct tm tm;

	if (a == NULL || ASN1_TIME_to_tm(a, &tm) != 1)
		return (0);
	return (timegm(&tm));
}

bool
tls_server_cert(const struct tls_server *t, unsigned i, struct tls_cert_info *info)
{
	struct sb names = SB_INIT(sizeof(info->names) - 1);
	const struct cert *c;
	unsigned have = 0;
	BIGNUM *bn;
	X509 *x;
	char *hex;
	size_t k;

	for (k = 0; k < t->certs.len; k++)
		if (t->certs.p[k]->ctx != NULL && have++ == i)
			break;
	if (k == t->certs.len)
		return (false);
	c = t->certs.p[k];
	memset(info, 0, sizeof(*info));
	x = SSL_CTX_get0_certificate(c->ctx);
	for (size_t j = 0; j < c->names.len; j++)
		sb_addf(&names, "%s%s", j > 0 ? " " : "", c->names.p[j]);
	(void)snprintf(info->names, sizeof(info->names), "%s", sb_cstr(&names));
	sb_free(&names);
	(void)X509_NAME_oneline(X509_get_subject_name(x), info->subject, sizeof(info->subject));
	(void)snprintf(info->file, sizeof(info->file), "%s", c->file);
	info->not_after = asn1_time(X509_get0_notAfter(x));
	bn = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
	hex = bn == NULL ? NULL : BN_bn2hex(bn);
	(void)snprintf(info->serial, sizeof(info->serial), "%s", hex == NULL ? "" : hex);
	OPENSSL_free(hex);
	BN_free(bn);
	return (true);
}
