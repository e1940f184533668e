/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Verified logins, so that a mail program that logs in every minute does not cost a
 * key derivation each time.  What is kept is an HMAC under a key of this process; the
 * cache says "right" or nothing, and is emptied whenever the accounts change.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/hash.h"
#include "os/time.h"
#include "vauthd.h"

#define KEEP_MS		(5 * 60 * 1000)
#define LOGINS_MAX	20000
#define MAC_LEN		32

struct login {
	struct auth_user who;
	int64_t		 until;
};

struct logins {
	pthread_mutex_t	 lock;
	unsigned char	 key[MAC_LEN];
	struct hash	*h;
	unsigned	 generation;
};

struct logins *
logins_new(void)
{
	struct logins *l = xcalloc(1, sizeof(*l));

	(void)pthread_mutex_init(&l->lock, NULL);
	if (RAND_bytes(l->key, sizeof(l->key)) != 1)
		abort();
	l->h = hash_new();
	return (l);
}

static struct sv
mac(const struct logins *l, const char *service, struct sv user, struct sv password, unsigned char out[MAC_LEN])
{
	struct sb b = SB_INIT(4096);
	unsigned len = MAC_LEN;

	/* Lengths in front: no two triples give the same bytes. */
	sb_addf(&b, "%zu:%s%zu:", strlen(service), service, user.len);
	sb_add(&b, user);
	sb_add(&b, password);
	HMAC(EVP_sha256(), l->key, MAC_LEN, (const unsigned char *)b.p, b.len, out, &len);
	OPENSSL_cleanse(b.p, b.len);
	sb_free(&b);
	return (sv_from((const char *)out, MAC_LEN));
}

bool
logins_get(struct logins *l, const char *service, struct sv user, struct sv password, struct auth_user *who)
{
	unsigned char m[MAC_LEN];
	struct sv key = mac(l, service, user, password, m);
	struct login *e;
	bool found = false;

	(void)pthread_mutex_lock(&l->lock);
	e = hash_get(l->h, key);
	if (e != NULL && e->until < os_mono_ms()) {
		free(hash_del(l->h, key));
		e = NULL;
	}
	if (e != NULL) {
		*who = e->who;
		found = true;
	}
	(void)pthread_mutex_unlock(&l->lock);
	return (found);
}

static void
clear(struct logins *l)
{
	hash_free(&l->h, free);
	l->h = hash_new();
}

void
logins_put(struct logins *l, const char *service, struct sv user, struct sv password, const struct auth_user *who,
    unsigned generation)
{
	unsigned char m[MAC_LEN];
	struct sv key = mac(l, service, user, password, m);
	struct login *e = xcalloc(1, sizeof(*e));

	e->who = *who;
	e->until = os_mono_ms() + KEEP_MS;
	(void)pthread_mutex_lock(&l->lock);
	if (hash_count(l->h) >= LOGINS_MAX)
		clear(l);
	if (generation == l->generation)
		free(hash_set(l->h, key, e));
	else
		free(e);
	(void)pthread_mutex_unlock(&l->lock);
}

unsigned
logins_generation(struct logins *l)
{
	unsigned g;

	(void)pthread_mutex_lock(&l->lock);
	g = l->generation;
	(void)pthread_mutex_unlock(&l->lock);
	return (g);
}

void
logins_clear(struct logins *l)
{
	(void)pthread_mutex_lock(&l->lock);
	clear(l);
	l->generation++;
	(void)pthread_mutex_unlock(&l->lock);
}
