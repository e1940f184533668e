/* SPDX-License-Identifier: BSD-2-Clause */
/* TLS contexts of smtp transports: one for each set of options that was needed lately, read again when its files change. */
#include <sys/stat.h>

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/vec.h"
#include "deliver/options.h"

#define CONTEXTS_MAX	64

struct context {
	char		*key;
	struct tls_client *tls;
	uint64_t	 used;
};

struct deliver_tls {
	VEC(struct context) v;
	uint64_t	 now;
};

struct deliver_tls *
deliver_tls_new(void)
{
	return (xcalloc(1, sizeof(struct deliver_tls)));
}

static void
drop(struct deliver_tls *t, size_t i)
{
	tls_client_free(&t->v.p[i].tls);
	free(t->v.p[i].key);
	vec_remove(&t->v, i);
}

void
deliver_tls_free(struct deliver_tls **tp)
{
	struct deliver_tls *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	while (t->v.len > 0)
		drop(t, t->v.len - 1);
	vec_free(&t->v);
	free(t);
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
	struct sb key = SB_INIT(64 * 1024);
	struct tls_client *tls = NULL;
	size_t oldest = 0;

	make_key(&key, c);
	for (size_t i = 0; i < t->v.len; i++) {
		if (sv_eqs(sb_sv(&key), t->v.p[i].key)) {
			t->v.p[i].used = ++t->now;
			tls = t->v.p[i].tls;
		} else if (t->v.p[i].used < t->v.p[oldest].used)
			oldest = i;
	}
	if (tls == NULL && (tls = tls_client_new_conf(c, err)) != NULL) {
		if (t->v.len == CONTEXTS_MAX)
			drop(t, oldest);
		vec_push(&t->v, ((struct context){ .key = xstrdup(sb_cstr(&key)), .tls = tls, .used = ++t->now }));
	}
	sb_free(&key);
	return (tls == NULL ? NULL : tls_client_ref(tls));
}
