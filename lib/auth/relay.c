/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes of relayers.db; see relay.h. */
#include "auth/relay.h"

#include <string.h>

#include "base/num.h"

bool
relay_key(struct sv text, char key[NET_ADDR_TEXT_MAX])
{
	struct net_addr a;

	if (!net_addr_parse(text, &a))
		return (false);
	(void)net_addr_text(&a, key);
	return (true);
}

bool
relay_ticks(struct sv value, int64_t *ticks)
{
	return (num_parse(sv_trim(value), 0, INT64_C(253402300799), ticks));	/* the end of the year 9999 */
}

bool
relay_is_young(struct sv value, int64_t now)
{
	int64_t t;

	return (relay_ticks(value, &t) && t > now - RELAY_YOUNG);
}

/* Keys that other programs wrote may be in another form of the same address. */
static bool
delete_key(struct map_edit *e, const char *key)
{
	bool found = map_edit_del(e, sv_cstr(key));
	char canon[NET_ADDR_TEXT_MAX];
	struct sv k, v;
	size_t pos = 0;

	while (map_edit_next(e, &pos, &k, &v))
		if (relay_key(k, canon) && strcmp(canon, key) == 0)
			found |= map_edit_del(e, k);
	return (found);
}

static void
expire(struct map_edit *e, int64_t until)
{
	struct sv k, v;
	size_t pos = 0;
	int64_t t;

	while (map_edit_next(e, &pos, &k, &v))
		/* An entry without a stamp has no age: it goes with the oldest. */
		if (!relay_ticks(v, &t) || t <= until)
			(void)map_edit_del(e, k);
}

static void
set(struct map_edit *e, const struct relay_op *op)
{
	char num[24];
	struct sb b = SB_INIT(sizeof(num));

	sb_addf(&b, "%lld", (long long)op->ticks);
	map_edit_set(e, sv_cstr(op->key), sb_sv(&b));
	sb_free(&b);
}

static int
apply(void *arg, struct map_edit *e, struct err *err)
{
	struct relay_batch *b = arg;

	for (size_t i = 0; i < b->n; i++) {
		struct relay_op *op = &b->ops[i];

		switch (op->kind) {
		case RELAY_LOGIN: {
			struct sv old = map_edit_get(e, sv_cstr(op->key));

			if (old.p == NULL || !relay_is_young(old, op->ticks))
				set(e, op);
			break;
		}
		case RELAY_ADD:
			set(e, op);
			break;
		case RELAY_DELETE:
			op->found = delete_key(e, op->key);
			break;
		case RELAY_EXPIRE:
			expire(e, op->ticks);
			break;
		}
	}
	return (0);
}

int
relay_apply(const char *path, struct relay_batch *b, struct err *err)
{
	return (map_update(path, MAP_HASH, RELAY_MODE, apply, b, err));
}
