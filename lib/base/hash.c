/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open addressing with linear probing and back-shift deletion; SipHash-1-3 with a
 * key drawn once per process.
 */
#include "base/hash.h"

#include <sys/random.h>

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/codec.h"

struct slot {
	char		*key;		/* NULL: empty */
	size_t		 len;
	uint64_t	 h;
	void		*value;
};

struct hash {
	struct slot	*slots;
	size_t		 size;		/* power of two, or 0 */
	size_t		 count;
};

static uint64_t sip_key[2];

__attribute__((constructor)) static void
draw_key(void)
{
	if (getrandom(sip_key, sizeof(sip_key), GRND_NONBLOCK) != (ssize_t)sizeof(sip_key))
		sip_key[0] = (uint64_t)(uintptr_t)&sip_key ^ 0x9e3779b97f4a7c15ULL;
}

#define ROTL(x, b)	(((x) << (b)) | ((x) >> (64 - (b))))

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = ROTL(v[1], 13) ^ v[0];
	v[0] = ROTL(v[0], 32);
	v[2] += v[3];
	v[3] = ROTL(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = ROTL(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTL(v[1], 17) ^ v[2];
	v[2] = ROTL(v[2], 32);
}

uint64_t
hash_bytes(const void *p, size_t len)
{
	const uint8_t *d = p;
	uint64_t v[4] = { sip_key[0] ^ 0x736f6d6570736575ULL, sip_key[1] ^ 0x646f72616e646f6dULL,
	    sip_key[0] ^ 0x6c7967656e657261ULL, sip_key[1] ^ 0x7465646279746573ULL };
	uint64_t m, last = (uint64_t)len << 56;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		m = get_le64(d + i);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	for (size_t j = 0; i + j < len; j++)
		last |= (uint64_t)d[i + j] << (8 * j);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return (v[0] ^ v[1] ^ v[2] ^ v[3]);
}

struct hash *
hash_new(void)
{
	return (xcalloc(1, sizeof(struct hash)));
}

void
hash_free(struct hash **hp, void (*fn)(void *value))
{
	struct hash *h = *hp;

	if (h == NULL)
		return;
	for (size_t i = 0; i < h->size; i++) {
		if (h->slots[i].key == NULL)
			continue;
		if (fn != NULL)
			fn(h->slots[i].value);
		free(h->slots[i].key);
	}
	free(h->slots);
	free(h);
	*hp = NULL;
}

/* The slot of <key>, or the empty one where it would go.  The table is never full. */
static struct slot *
find(const struct hash *h, struct sv key, uint64_t hv)
{
	size_t i = hv & (h->size - 1);

	for (;; i = (i + 1) & (h->size - 1)) {
		struct slot *s = &h->slots[i];

		if (s->key == NULL || (s->h == hv && s->len == key.len && memcmp(s->key, key.p, key.len) == 0))
			return (s);
	}
}

void *
hash_get(const struct hash *h, struct sv key)
{
	struct slot *s;

	if (h->count == 0)
		return (NULL);
	if (key.p == NULL)
		key.p = "";
	s = find(h, key, hash_bytes(key.p, key.len));
	return (s->key == NULL ? NULL : s->value);
}

static void
grow(struct hash *h)
{
	struct slot *old = h->slots;
	size_t n = h->size;

	h->size = n == 0 ? 16 : n * 2;
	h->slots = xcalloc(h->size, sizeof(*h->slots));
	for (size_t i = 0; i < n; i++)
		if (old[i].key != NULL)
			*find(h, sv_from(old[i].key, old[i].len), old[i].h) = old[i];
	free(old);
}

void *
hash_set(struct hash *h, struct sv key, void *value)
{
	struct slot *s;
	uint64_t hv;
	void *old;

	if (key.p == NULL)
		key.p = "";
	if ((h->count + 1) * 4 > h->size * 3)
		grow(h);
	hv = hash_bytes(key.p, key.len);
	s = find(h, key, hv);
	if (s->key != NULL) {
		old = s->value;
		s->value = value;
		return (old);
	}
	s->key = xstrndup(key.p, key.len);
	s->len = key.len;
	s->h = hv;
	s->value = value;
	h->count++;
	return (NULL);
}

void *
hash_del(struct hash *h, struct sv key)
{
	struct slot *s;
	size_t i, j;
	void *value;

	if (h->count == 0)
		return (NULL);
	if (key.p == NULL)
		key.p = "";
	s = find(h, key, hash_bytes(key.p, key.len));
	if (s->key == NULL)
		return (NULL);
	value = s->value;
	free(s->key);
	h->count--;
	/* Move later members of the run back, so that no probe meets a hole. */
	i = (size_t)(s - h->slots);
	for (j = (i + 1) & (h->size - 1); h->slots[j].key != NULL; j = (j + 1) & (h->size - 1)) {
		size_t home = h->slots[j].h & (h->size - 1);

		if (((j - home) & (h->size - 1)) >= ((j - i) & (h->size - 1))) {
			h->slots[i] = h->slots[j];
			i = j;
		}
	}
	h->slots[i].key = NULL;
	return (value);
}

size_t
hash_count(const struct hash *h)
{
	return (h->count);
}

/*
 * Walks downwards, so that the back-shift of hash_del on the current key moves only
 * members that come later in a run, which were visited; a run that wraps round the end
 * may show a member twice then.
 */
bool
hash_next(const struct hash *h, size_t *pos, struct sv *key, void **value)
{
	while (*pos < h->size) {
		struct slot *s = &h->slots[h->size - 1 - (*pos)++];

		if (s->key != NULL) {
			*key = sv_from(s->key, s->len);
			*value = s->value;
			return (true);
		}
	}
	return (false);
}
