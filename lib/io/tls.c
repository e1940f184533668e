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
#include "base/sb.h"
#include "base/sv.h"
#include "base/vec.h"
#include "io/stream_int.h"
#include "io/tls.h"

#define SESSION_SECONDS	3600
#define TICKET_KEY_LEN	80

/* One chain with its key. */
struct part {
	char		*file;
	char		*keyfile;	/* equal to <file> where the key stands in it; NULL: look for it */
	char		*status;	/* a file, behind "PEM " where it is no DER; NULL: none */
};

struct cert {
	char		*name;		/* file name without .pem; "default" */
	struct part	*parts;
	size_t		 n;		/* of different kinds of keys */
	uint64_t	 stamp;		/* of all files */
	SSL_CTX		*ctx;		/* NULL while it cannot be loaded */
	VEC(char *)	 names;		/* names it is valid for, lower case */
	bool		 seen;
};

struct tls_server {
	char		*dir;		/* NULL: one certificate by file names */
	struct tls_server_conf conf;	/* texts in <arena> */
	struct arena	*arena;
	unsigned	 refs;
	VEC(struct cert *) certs;	/* [0] is the default */
	struct timespec	 dir_mtime;
	time_t		 looked;
	unsigned char	 ticket_key[TICKET_KEY_LEN];
	unsigned char	*alpn;		/* as it is sent: each name behind its length */
	size_t		 nalpn;
	uint64_t	 trust_stamp;
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
	for (size_t i = 0; i < c->n; i++) {
		free(c->parts[i].file);
		free(c->parts[i].keyfile);
		free(c->parts[i].status);
	}
	free(c->parts);
	free(c->name);
	free(c);
}

/* What changes when somebody replaces <path>, mixed into <h>. */
static uint64_t
mix_stamp(uint64_t h, const char *path)
{
	struct stat sb;
	uint64_t v[4] = { 0 };

	if (path != NULL && stat(path, &sb) == 0) {
		v[0] = (uint64_t)sb.st_mtim.tv_sec;
		v[1] = (uint64_t)sb.st_mtim.tv_nsec;
		v[2] = (uint64_t)sb.st_size;
		v[3] = (uint64_t)sb.st_ino;
	}
	for (size_t i = 0; i < 4; i++)
		h = (h ^ v[i]) * UINT64_C(0x100000001b3) + 1;
	return (h);
}

/* "PEM FILE", "DER FILE", "FILE" */
static const char *
status_file(const char *text, bool *pem)
{
	*pem = strncmp(text, "PEM ", 4) == 0;
	return (*pem || strncmp(text, "DER ", 4) == 0 ? text + 4 : text);
}

static uint64_t
cert_stamp(const struct cert *c)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	bool pem;

	for (size_t i = 0; i < c->n; i++) {
		h = mix_stamp(h, c->parts[i].file);
		h = mix_stamp(h, c->parts[i].keyfile);
		if (c->parts[i].status != NULL)
			h = mix_stamp(h, status_file(c->parts[i].status, &pem));
	}
	return (h);
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

static int bind_to_name(SSL *ssl, int *alert, void *arg);
static int choose_cert(SSL *ssl, int *alert, void *arg);
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
    unsigned inlen, void *arg);

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
	/* Tickets alone: a connection can be kept from them, and nothing stays here. */
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_timeout(ctx, SESSION_SECONDS);
	(void)SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"vpost", 5);
	(void)SSL_CTX_set_num_tickets(ctx, 1);
	(void)SSL_CTX_set_tlsext_ticket_keys(ctx, t->ticket_key, TICKET_KEY_LEN);
	SSL_CTX_set_client_hello_cb(ctx, bind_to_name, NULL);
	(void)SSL_CTX_set_tlsext_servername_callback(ctx, choose_cert);
	(void)SSL_CTX_set_tlsext_servername_arg(ctx, t);
	if (t->nalpn > 0)
		SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, t);
	use_trust(t, ctx);
	return (ctx);
}

static int
fill_part(SSL_CTX *ctx, const struct part *p, struct err *err)
{
	char why[200];

	if (check_key_mode(p->keyfile, err) == -1)
		return (-1);
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(ctx, p->file) != 1) {
		tls_error_text(why, sizeof(why), "unreadable");
		return (err_set(err, ERR_CONFIG, "4.3.5", "%s: no certificate could be read (%s)", p->file, why));
	}
	if (SSL_CTX_use_PrivateKey_file(ctx, p->keyfile, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
		tls_error_text(why, sizeof(why), "unreadable");
		return (err_set(err, ERR_CONFIG, "4.3.5", "%s: no private key that fits %s (%s)", p->keyfile, p->file, why));
	}
	return (0);
}

/* A status that is no good is told of, and not shown. */
static int
fill_ctx(struct tls_server *t, const struct cert *c, SSL_CTX *ctx, struct err *err)
{
	const struct tls_server_conf *conf = &t->conf;
	bool pem;

	tls_params_switches(ctx, &conf->switches);
	if (c->n == 0 && tls_params_self_signed(ctx, conf->self_signed == NULL ? "localhost" : conf->self_signed, err) == -1)
		return (-1);
	for (size_t i = 0; i < c->n; i++) {
		if (fill_part(ctx, &c->parts[i], err) == -1)
			return (-1);
		if (c->parts[i].status != NULL) {
			const char *file = status_file(c->parts[i].status, &pem);

			(void)tls_status_load(ctx, file, pem, err);
		}
	}
	if ((conf->ciphers != NULL && tls_params_ciphers(ctx, conf->ciphers, err) == -1) ||
	    (conf->dhparam != NULL && tls_params_dh(ctx, conf->dhparam, conf->dh_max_bits, err) == -1) ||
	    (conf->curves != NULL && tls_params_curves(ctx, conf->curves, err) == -1))
		return (-1);
	return (0);
}

/* FILE.pem has its key in FILE.key, or in itself. */
static void
find_key(struct part *p)
{
	size_t len = strlen(p->file);
	char *key = xmalloc(len + 1);

	(void)snprintf(key, len + 1, "%.*s.key", (int)len - 4, p->file);
	free(p->keyfile);
	if (access(key, F_OK) == 0) {
		p->keyfile = key;
	} else {
		free(key);
		p->keyfile = xstrdup(p->file);
	}
}

/* (Re)load.  On failure the old context stays; the stamp is taken, so that one fault is told once. */
static int
cert_load(struct tls_server *t, struct cert *c, struct err *err)
{
	SSL_CTX *ctx;

	if (t->dir != NULL)
		find_key(&c->parts[0]);
	c->stamp = cert_stamp(c);
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
	return (cert_stamp(c) != c->stamp);
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

static struct cert *
first_cert(const struct tls_server *t)
{
	for (size_t i = 0; i < t->certs.len; i++)
		if (t->certs.p[i]->ctx != NULL)
			return (t->certs.p[i]);
	return (NULL);
}

/* What stands behind the lengths in the extension server_name (RFC 6066 section 3); 0: nothing that can be read. */
static size_t
asked_name(SSL *ssl, const unsigned char **name)
{
	const unsigned char *p;
	size_t n;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1 || n < 5 || p[2] != TLSEXT_NAMETYPE_host_name)
		return (0);
	*name = p + 5;
	return (n - 5);
}

/*
 * Before a session is looked for.  Where the configuration looks at the name, what clients must show may hang on it, but tickets are
 * those of the context that the connection began with: so a session is for one name only.
 */
static int
bind_to_name(SSL *ssl, int *alert, void *arg)
{
	const struct stream_tls *st = SSL_get_app_data(ssl);
	const unsigned char *name;
	unsigned char sum[EVP_MAX_MD_SIZE];
	struct sb text = SB_INIT(70000);
	unsigned len = 0;
	size_t n;
	int ok;

	(void)arg;
	if (st == NULL || st->accept == NULL || st->accept->named == NULL)
		return (SSL_CLIENT_HELLO_SUCCESS);
	n = asked_name(ssl, &name);
	sb_addf(&text, "%d ", (int)st->accept->ask);
	if (n > 0)
		sb_addn(&text, name, n);
	ok = !text.overflow && EVP_Digest(text.p, text.len, sum, &len, EVP_sha256(), NULL) == 1 &&
	    SSL_set_session_id_context(ssl, sum, len) == 1;
	sb_free(&text);
	if (ok)
		return (SSL_CLIENT_HELLO_SUCCESS);
	*alert = SSL_AD_INTERNAL_ERROR;
	return (SSL_CLIENT_HELLO_ERROR);
}

static int
choose_cert(SSL *ssl, int *alert, void *arg)
{
	const struct tls_server *t = arg;
	const struct stream_tls *st = SSL_get_app_data(ssl);
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
	/* The configuration may have something else for that name. */
	if (st != NULL && st->accept != NULL && st->accept->named != NULL) {
		t = st->accept->named(st->accept->arg, sni);
		if (t == NULL) {
			*alert = SSL_AD_INTERNAL_ERROR;
			return (SSL_TLSEXT_ERR_ALERT_FATAL);
		}
	}
	c = find_cert(t, host, false);
	if (c == NULL)
		c = find_cert(t, host, true);
	if (c == NULL && t != arg)
		c = first_cert(t);
	if (c != NULL)
		(void)SSL_set_SSL_CTX(ssl, c->ctx);
	return (SSL_TLSEXT_ERR_OK);
}

/* ---- ALPN (RFC 7301) ---- */

/* As Exim: one name, and one of ours.  Who offers several may be speaking to another service than he thinks. */
static int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in, unsigned inlen, void *arg)
{
	const struct tls_server *t = arg;

	(void)ssl;
	for (size_t i = 0; inlen > 1 && in[0] + 1U == inlen && i < t->nalpn; i += t->alpn[i] + 1U)
		if (t->alpn[i] == in[0] && memcmp(t->alpn + i + 1, in + 1, in[0]) == 0) {
			*out = in + 1;
			*outlen = in[0];
			return (SSL_TLSEXT_ERR_OK);
		}
	return (SSL_TLSEXT_ERR_ALERT_FATAL);
}

static void
take_alpn(struct tls_server *t)
{
	struct sb sb = SB_INIT(4096);
	size_t n;

	for (size_t i = 0; i < t->conf.nalpn; i++)
		if ((n = strlen(t->conf.alpn[i])) > 0 && n < 256) {
			sb_addc(&sb, (char)n);
			sb_adds(&sb, t->conf.alpn[i]);
		}
	t->alpn = (unsigned char *)sb_steal(&sb, &t->nalpn);
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

static struct cert *
cert_new(const char *name, size_t n)
{
	struct cert *c = xcalloc(1, sizeof(*c));

	c->name = xstrdup(name);
	c->parts = xcalloc(n, sizeof(*c->parts));
	c->n = n;
	return (c);
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

			c = cert_new(name, 1);
			c->parts[0].file = xmalloc(len);
			(void)snprintf(c->parts[0].file, len, "%s/%s", t->dir, list[i]->d_name);
			vec_push(&t->certs, c);
		}
		c->seen = true;
		if (c->parts[0].keyfile == NULL || cert_changed(c))
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

static const char *
keep(struct tls_server *t, const char *text)
{
	return (text == NULL ? NULL : arena_str(t->arena, text));
}

static const char *const *
keep_all(struct tls_server *t, const char *const *v, size_t n)
{
	const char **copy = arena_zalloc(t->arena, (n + 1) * sizeof(*copy));

	for (size_t i = 0; v != NULL && i < n; i++)
		copy[i] = keep(t, v[i]);
	return (copy);
}

static struct tls_server *
server_new(const struct tls_server_conf *conf)
{
	struct tls_server *t = xcalloc(1, sizeof(*t));
	struct tls_server_conf *c = &t->conf;

	t->refs = 1;
	t->arena = arena_new(1024);
	t->looked = time(NULL);
	*c = *conf;
	c->dir = keep(t, c->dir);
	c->certs = keep_all(t, c->certs, c->ncerts);
	c->keys = keep_all(t, c->keys, c->ncerts);
	c->statuses = keep_all(t, c->statuses, c->ncerts);
	c->self_signed = keep(t, c->self_signed);
	c->ciphers = keep(t, c->ciphers);
	c->dhparam = keep(t, c->dhparam);
	c->curves = keep(t, c->curves);
	c->alpn = keep_all(t, c->alpn, c->nalpn);
	c->cas = keep(t, c->cas);
	c->crl = keep(t, c->crl);
	take_alpn(t);
	return (t);
}

/* All of a directory. */
static int
load_dir(struct tls_server *t, struct err *err)
{
	struct err one = ERR_INIT;
	int rc;

	t->dir = xstrdup(t->conf.dir);
	rc = scan_dir(t, &one);
	if (first_cert(t) == NULL && rc == 0)
		(void)err_set(&one, ERR_CONFIG, "4.3.5", "%s: no certificate there; put default.pem (chain and key) into it", t->dir);
	if (one.cls != ERR_NONE && err != NULL)
		*err = one;
	return (first_cert(t) == NULL ? -1 : 0);
}

static int
load_files(struct tls_server *t, struct err *err)
{
	const struct tls_server_conf *f = &t->conf;
	struct cert *c = cert_new("default", f->ncerts);

	for (size_t i = 0; i < f->ncerts; i++) {
		c->parts[i].file = xstrdup(f->certs[i]);
		c->parts[i].keyfile = xstrdup(f->keys[i] == NULL ? f->certs[i] : f->keys[i]);
		c->parts[i].status = f->statuses[i] == NULL ? NULL : xstrdup(f->statuses[i]);
	}
	vec_push(&t->certs, c);
	return (cert_load(t, c, err));
}

/* A certificate that nobody but us vouches for. */
static int
load_own(struct tls_server *t, struct err *err)
{
	struct cert *c = cert_new("default", 0);

	vec_push(&t->certs, c);
	return (cert_load(t, c, err));
}

struct tls_server *
tls_server_new_conf(const struct tls_server_conf *conf, const struct tls_server *like, struct err *err)
{
	struct tls_server *t = server_new(conf);
	int rc;

	if (like != NULL) {
		memcpy(t->ticket_key, like->ticket_key, TICKET_KEY_LEN);
	} else if (RAND_bytes(t->ticket_key, TICKET_KEY_LEN) != 1) {
		(void)err_set(err, ERR_TEMP, "4.3.0", "TLS: no random numbers");
		tls_server_free(&t);
		return (NULL);
	}
	if (conf->cas != NULL && tls_server_trust(t, conf->cas, conf->crl, err) == -1) {
		tls_server_free(&t);
		return (NULL);
	}
	rc = conf->ncerts > 0 ? load_files(t, err) : conf->dir != NULL ? load_dir(t, err) : load_own(t, err);
	if (rc == -1)
		tls_server_free(&t);
	return (t);
}

struct tls_server *
tls_server_new(const char *dir, struct err *err)
{
	const struct tls_server_conf conf = { .dir = dir };

	return (tls_server_new_conf(&conf, NULL, err));
}

struct tls_server *
tls_server_new_files(const char *cert, const char *key, const char *ciphers, struct err *err)
{
	const struct tls_server_conf conf = { .certs = &cert, .keys = &key, .ncerts = 1, .ciphers = ciphers };

	return (tls_server_new_conf(&conf, NULL, err));
}

struct tls_server *
tls_server_ref(struct tls_server *t)
{
	t->refs++;
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

	t->trust_stamp = mix_stamp(mix_stamp(1, cas), crl);
	if (store == NULL) {
		tls_error_text(text, sizeof(text), "it cannot be read");
		return (err_set(err, ERR_CONFIG, "4.3.5", "%s%s%s: %s", cas, crl == NULL ? "" : ", ", crl == NULL ? "" : crl, text));
	}
	if (t->conf.cas == NULL) {
		t->conf.cas = keep(t, cas);
		t->conf.crl = keep(t, crl);
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

	*tp = NULL;
	if (t == NULL || --t->refs > 0)
		return;
	for (size_t i = 0; i < t->certs.len; i++)
		cert_free(t->certs.p[i]);
	vec_free(&t->certs);
	free(t->dir);
	free(t->alpn);
	arena_free(&t->arena);
	X509_STORE_free(t->trust);
	sk_X509_NAME_pop_free(t->names, X509_NAME_free);
	OPENSSL_cleanse(t->ticket_key, TICKET_KEY_LEN);
	free(t);
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
	if (t->conf.cas != NULL && mix_stamp(mix_stamp(1, t->conf.cas), t->conf.crl) != t->trust_stamp)
		(void)keep_first(tls_server_trust(t, t->conf.cas, t->conf.crl, &one), &all, &one, err);
	if (t->dir != NULL && stat(t->dir, &sb) == 0 && (sb.st_mtim.tv_sec != t->dir_mtime.tv_sec ||
	    sb.st_mtim.tv_nsec != t->dir_mtime.tv_nsec))
		return (scan_dir(t, err));
	for (size_t i = 0; i < t->certs.len; i++)
		if (cert_changed(t->certs.p[i]))
			(void)keep_first(cert_load(t, t->certs.p[i], &one), &all, &one, err);
	return (all);
}

/* Any certificate will do: what became of it is looked at afterwards. */
static int
take_any(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return (1);
}

SSL *
tls_server_ssl(struct tls_server *t, const struct tls_accept *a)
{
	static const char *const ids[] = { [TLS_ASK_NO] = "vpost", [TLS_ASK_TRY] = "vpost?", [TLS_ASK_REQUIRE] = "vpost!" };
	const struct cert *c = first_cert(t);
	SSL *ssl = c == NULL ? NULL : SSL_new(c->ctx);

	if (ssl == NULL)
		return (NULL);
	if (!a->resume) {
		(void)SSL_set_options(ssl, SSL_OP_NO_TICKET);
		(void)SSL_set_num_tickets(ssl, 0);
	}
	/* A session that was made without asking, or with any certificate, is none that may be taken up where one is demanded. */
	(void)SSL_set_session_id_context(ssl, (const unsigned char *)ids[a->ask], (unsigned)strlen(ids[a->ask]));
	if (a->ask == TLS_ASK_REQUIRE)
		SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	else if (a->ask == TLS_ASK_TRY)
		SSL_set_verify(ssl, SSL_VERIFY_PEER, take_any);
	return (ssl);
}

const char *
tls_server_complaint(SSL *ssl, const struct tls_accept *a)
{
	const unsigned char *p;
	unsigned n = 0;

	SSL_get0_alpn_selected(ssl, &p, &n);
	return (a->alpn_require && n == 0 ? "ALPN required but not negotiated" : NULL);
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
	(void)snprintf(info->file, sizeof(info->file), "%s", c->n == 0 ? "" : c->parts[0].file);
	info->not_after = asn1_time(X509_get0_notAfter(x));
	bn = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
	hex = bn == NULL ? NULL : BN_bn2hex(bn);
	(void)snprintf(info->serial, sizeof(info->serial), "%s", hex == NULL ? "" : hex);
	OPENSSL_free(hex);
	BN_free(bn);
	return (true);
}
