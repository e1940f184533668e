/* SPDX-License-Identifier: BSD-2-Clause */
/* TLS contexts of smtp transports: one for each set of options that was needed lately, read again when its files change. */
#include <sys/stat.h>

#include <stdlib.h>

#include "base/arena.h"
#include "base/lru.h"
#include "deliver/options.h"

#define CONTEXTS_MAX	64
#define KEY_MAX		(64 * 1024)

struct deliver_tls {
	struct lru	*contexts;	/* struct tls_client, by all that it is made of */
};

static void
drop(void *value)
{
	struct tls_client *tls = value;

	tls_client_free(&tls);
}

struct deliver_tls *
deliver_tls_new(void)
{
	struct deliver_tls *t = xcalloc(1, sizeof(*t));

	t->contexts = lru_new(CONTEXTS_MAX, drop);
	return (t);
}

void
deliver_tls_free(struct deliver_tls **tp)
{
	if (*tp != NULL)
		lru_free(&(*tp)->contexts);
	free(*tp);
	*tp = NULL;
}

/* A file by its name and what changes when somebody replaces it. */
static void
key_file(struct sb *key, const char *path)
{
	struct stat st;

	sb_addc(key, '\n');
	if (path == NULL || *path == '\0')
		return;
	sb_adds(key, path);
	if (stat(path, &st) == 0)
		sb_addf(key, " %lld.%ld %lld %llu", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (long long)st.st_size,
		    (unsigned long long)st.st_ino);
}

static void
make_key(struct sb *key, const struct tls_client_conf *c)
{
	sb_addf(key, "%llu %llu %d ", (unsigned long long)c->switches.set, (unsigned long long)c->switches.clear, c->switches.compat);
	sb_addf(key, "%d %d %d %d %d %d %d %d\n%s\n%s", (int)c->verify, c->names, c->alpn_require, c->dh_min_bits, c->ocsp_request,
	    c->ocsp_require, c->resume, c->dane, c->ciphers == NULL ? "" : c->ciphers, c->alpn == NULL ? "" : c->alpn);
	key_file(key, c->ca);
	key_file(key, c->crl);
	key_file(key, c->cert);
	key_file(key, c->key);
}

struct tls_client *
deliver_tls_get(struct deliver_tls *t, const struct tls_client_conf *c, struct err *err)
{
	struct sb key = SB_INIT(KEY_MAX);
	struct tls_client *tls = NULL;

	make_key(&key, c);
	if (key.overflow)
		(void)err_set(err, ERR_TEMP, "4.3.5", "the options tls_* expand to more than %d bytes", KEY_MAX);
	else if ((tls = lru_get(t->contexts, sb_sv(&key))) == NULL && (tls = tls_client_new_conf(c, err)) != NULL)
		lru_put(t->contexts, sb_sv(&key), tls);
	sb_free(&key);
	return (tls == NULL ? NULL : tls_client_ref(tls));
}
