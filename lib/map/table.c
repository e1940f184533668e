/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The entries of a map in memory: an array in the file's order with a hash index over
 * it.  Entries of one key are chained.  Keys are kept without the trailing NUL that some
 * programs store, which is a mark of the entry, so that a look-up in both forms costs
 * one probe and no copy.
 */
#include "map_int.h"

#include <assert.h>

#include "base/hash.h"

void
table_init(struct table *t)
{
	memset(t, 0, sizeof(*t));
	sb_init(&t->image, MAP_FILE_MAX + 1);
}

void
table_free(struct table *t)
{
	vec_free(&t->e);
	free(t->slot);
	arena_free(&t->arena);
	sb_free(&t->image);
	table_init(t);
}

/* The slot where the chain of <key> (in the form <nul>) hangs or would hang. */
static uint32_t
find_slot(const struct table *t, struct sv key, bool nul)
{
	uint32_t i = (uint32_t)hash_bytes(key.p, key.len) & t->mask;

	for (; t->slot[i] != ENTRY_NONE; i = (i + 1) & t->mask) {
		const struct entry *e = &t->e.p[t->slot[i]];

		if (e->nul == nul && sv_eq(e->key, key))
			break;
	}
	return (i);
}

static void
grow(struct table *t, size_t want)
{
	size_t n = 64;

	while (n < want * 2)
		n *= 2;
	free(t->slot);
	t->slot = xmalloc(n * sizeof(*t->slot));
	memset(t->slot, 0xff, n * sizeof(*t->slot));
	t->mask = (uint32_t)(n - 1);
	/* Only the first of a chain hangs in a slot: the others are met behind it, in order. */
	for (size_t i = 0; i < t->e.len; i++) {
		uint32_t s = find_slot(t, t->e.p[i].key, t->e.p[i].nul);

		if (t->slot[s] == ENTRY_NONE)
			t->slot[s] = (uint32_t)i;
	}
}

void
table_reserve(struct table *t, size_t n)
{
	vec_reserve(&t->e, n);
	if (t->slot == NULL || n * 2 > (size_t)t->mask + 1)
		grow(t, n);
}

bool
table_add(struct table *t, struct sv key, struct sv value, bool nul, enum table_dup dup)
{
	struct entry e = { .key = key, .value = value, .next = ENTRY_NONE, .last = ENTRY_NONE, .nul = nul };
	struct entry *head;
	uint32_t s, me;

	assert(t->e.len < UINT32_MAX / 4);
	if (t->slot == NULL || (t->e.len + 1) * 2 > (size_t)t->mask + 1)
		grow(t, (t->e.len + 1) * 2);
	s = find_slot(t, key, nul);
	me = (uint32_t)t->e.len;
	if (t->slot[s] == ENTRY_NONE) {
		t->slot[s] = e.last = me;
		vec_push(&t->e, e);
		t->live++;
		return (true);
	}
	head = &t->e.p[t->slot[s]];
	if (head->dead || dup == TABLE_REPLACE) {
		/* Its place in the order stays; further values of the key go. */
		for (uint32_t i = head->next; i != ENTRY_NONE; i = t->e.p[i].next) {
			t->live -= t->e.p[i].dead ? 0 : 1;
			t->e.p[i].dead = true;
		}
		t->live += head->dead ? 1 : 0;
		head->value = value;
		head->dead = false;
		head->next = ENTRY_NONE;
		head->last = t->slot[s];
		return (true);
	}
	if (dup == TABLE_REFUSE)
		return (false);
	t->e.p[head->last].next = me;
	head->last = me;
	vec_push(&t->e, e);
	t->live++;
	return (true);
}

bool
table_add_raw(struct table *t, struct sv key, struct sv value, enum table_dup dup)
{
	bool nul = key.len > 0 && key.p[key.len - 1] == '\0';

	if (nul) {
		key.len--;
		if (value.len > 0 && value.p[value.len - 1] == '\0')
			value.len--;
	}
	return (table_add(t, key, value, nul, dup));
}

static uint32_t
find_form(const struct table *t, struct sv key, bool nul)
{
	uint32_t i = t->slot[find_slot(t, key, nul)];

	return (i == ENTRY_NONE || t->e.p[i].dead ? ENTRY_NONE : i);
}

uint32_t
table_find(const struct table *t, struct sv key, unsigned flags)
{
	uint32_t i = ENTRY_NONE;

	if (t->live == 0)
		return (ENTRY_NONE);
	if ((flags & MAP_NUL) == 0)
		i = find_form(t, key, false);
	if (i == ENTRY_NONE && (flags & MAP_NONUL) == 0)
		i = find_form(t, key, true);
	return (i);
}

bool
table_del(struct table *t, struct sv key)
{
	uint32_t i;
	bool any = false;

	/* Both forms, and all values. */
	while ((i = table_find(t, key, 0)) != ENTRY_NONE) {
		for (uint32_t j = i; j != ENTRY_NONE; j = t->e.p[j].next) {
			t->live -= t->e.p[j].dead ? 0 : 1;
			t->e.p[j].dead = true;
		}
		any = true;
	}
	return (any);
}
