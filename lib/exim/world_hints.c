/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hints of a process that has no database of them (-bh, -be, tests): kept until it ends.  A table that
 * grew too large is thrown away, as hints may be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/hash.h"
#include "exim/lookup_int.h"

#define HINTS_MAX	10000
#define KEY_MAX		1200

struct hint {
	time_t	 until;
	size_t	 len;
	char	 value[];
};

static struct hash *hints;
static size_t count;

static bool
full_key(const char *db, struct sv key, char out[KEY_MAX])
{
	return (snprintf(out, KEY_MAX, "%s\n" SV_FMT, db, SV_ARG(key)) < KEY_MAX);
}

enum exim_found
x_hint_get(void *arg, const char *db, struct sv key, struct arena *a, struct sv *out)
{
	char k[KEY_MAX];
	const struct hint *h;

	if (hints == NULL || !full_key(db, key, k) || (h = hash_get(hints, sv_cstr(k))) == NULL || h->until < time(NULL))
		return (EXIM_NOTFOUND);
	*out = arena_sv(a, sv_from(h->value, h->len));
	return (EXIM_FOUND);
}

int
x_hint_put(void *arg, const char *db, struct sv key, struct sv value, int64_t ttl)
{
	char k[KEY_MAX];
	struct hint *h, *old;

	if (!full_key(db, key, k))
		return (-1);
	if (hints != NULL && count >= HINTS_MAX) {
		hash_free(&hints, free);
		count = 0;
	}
	if (hints == NULL)
		hints = hash_new();
	h = xmalloc(sizeof(*h) + value.len);
	h->until = time(NULL) + ttl;
	h->len = value.len;
	if (value.len > 0)
		memcpy(h->value, value.p, value.len);
	old = hash_set(hints, sv_cstr(k), h);
	count += old == NULL;
	free(old);
	return (0);
}

int
x_hint_del(void *arg, const char *db, struct sv key)
{
	return (x_hint_put(arg, db, key, SV_LIT(""), -1));
}
