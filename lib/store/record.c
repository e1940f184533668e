/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records of the index and the cache, in fixed little-endian layouts.  All values
 * open with their version, so that a later form can be told from this one.
 */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/codec.h"
#include "base/num.h"
#include "store/record.h"

/* ---- a reader over bytes ---- */

struct cur {
	const uint8_t	*p;
	size_t		 left;
	bool		 bad;
};

static const uint8_t *
take(struct cur *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->bad || c->left < n) {
		c->bad = true;
		return (NULL);
	}
	c->p += n;
	c->left -= n;
	return (p);
}

static uint64_t
take_num(struct cur *c, unsigned n)
{
	const uint8_t *p = take(c, n);
	uint64_t v = 0;

	for (unsigned i = 0; p != NULL && i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return (v);
}

static struct sv
take_bytes(struct cur *c, size_t n)
{
	const uint8_t *p = take(c, n);

	return (p == NULL ? SV_NULL : sv_from((const char *)p, n));
}

static struct cur
cur_of(struct sv v)
{
	return ((struct cur){ (const uint8_t *)v.p, v.len, false });
}

static void
add_num(struct sb *out, uint64_t v, unsigned n)
{
	uint8_t b[8];

	put_le64(b, v);
	sb_addn(out, b, n);
}

/* ---- state ---- */

void
rec_state_put(uint8_t out[REC_STATE_SIZE], const struct rec_state *s)
{
	const uint64_t v[] = { s->version, s->next_mbox, s->next_oid, s->uidvalidity, s->commit, s->barrier,
	    s->cachegen };

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		put_le64(out + 8 * i, v[i]);
}

bool
rec_state_get(struct rec_state *s, struct sv v)
{
	const uint8_t *p = (const uint8_t *)v.p;

	if (v.len != REC_STATE_SIZE || get_le64(p) != REC_VERSION)
		return (false);
	*s = (struct rec_state){ .version = get_le64(p), .next_mbox = get_le64(p + 8), .next_oid = get_le64(p + 16),
	    .uidvalidity = get_le64(p + 24), .commit = get_le64(p + 32), .barrier = get_le64(p + 40),
	    .cachegen = get_le64(p + 48) };
	return (s->next_mbox != 0 && s->next_oid != 0);
}

/* ---- boxes ---- */

void
rec_box_put(uint8_t out[REC_BOX_SIZE], const struct rec_box *b)
{
	const uint32_t v[] = { REC_VERSION, b->uidvalidity, b->uidnext, b->uidreserved, b->messages, b->unseen,
	    b->deleted, b->first_recent, b->nkeywords, b->logrows };
	size_t n = sizeof(v) / sizeof(v[0]);

	for (size_t i = 0; i < n; i++)
		put_le32(out + 4 * i, v[i]);
	put_le64(out + 4 * n, b->size);
	put_le64(out + 4 * n + 8, b->highestmodseq);
	put_le64(out + 4 * n + 16, b->logfloor);
}

bool
rec_box_get(struct rec_box *b, struct sv v)
{
	const uint8_t *p = (const uint8_t *)v.p;

	if (v.len != REC_BOX_SIZE || get_le32(p) != REC_VERSION)
		return (false);
	*b = (struct rec_box){ .uidvalidity = get_le32(p + 4), .uidnext = get_le32(p + 8),
	    .uidreserved = get_le32(p + 12), .messages = get_le32(p + 16), .unseen = get_le32(p + 20),
	    .deleted = get_le32(p + 24), .first_recent = get_le32(p + 28), .nkeywords = get_le32(p + 32),
	    .logrows = get_le32(p + 36), .size = get_le64(p + 40), .highestmodseq = get_le64(p + 48),
	    .logfloor = get_le64(p + 56) };
	return (b->uidvalidity != 0 && b->uidnext != 0 && b->nkeywords <= STORE_KEYWORDS_MAX);
}

/* ---- infos ---- */

void
rec_info_put(struct sb *out, const struct rec_info *i)
{
	add_num(out, REC_VERSION, 1);
	add_num(out, i->name.len, 2);
	add_num(out, i->owner.len, 2);
	add_num(out, i->acl.len, 2);
	sb_add(out, i->name);
	sb_add(out, i->owner);
	sb_add(out, i->acl);
	sb_add(out, i->keywords);
}

bool
rec_info_get(struct rec_info *i, struct sv v)
{
	struct cur c = cur_of(v);
	size_t name, owner, acl;

	if (take_num(&c, 1) != REC_VERSION)
		return (false);
	name = (size_t)take_num(&c, 2);
	owner = (size_t)take_num(&c, 2);
	acl = (size_t)take_num(&c, 2);
	i->name = take_bytes(&c, name);
	i->owner = take_bytes(&c, owner);
	i->acl = take_bytes(&c, acl);
	i->keywords = take_bytes(&c, c.left);
	if (c.bad || !store_name_valid(i->name))
		return (false);
	return (i->keywords.len == 0 || i->keywords.p[i->keywords.len - 1] == '\0');
}

bool
rec_info_keyword(struct sv *rest, struct sv *name)
{
	return (rest->len > 0 && sv_next(rest, '\0', name) && name->len > 0);
}

/* ---- msgs ---- */

void
rec_msg_key(uint8_t out[REC_MSG_KEY], uint64_t mbox, uint32_t uid)
{
	rec_be64(out, mbox);
	rec_be32(out + 8, uid);
}

void
rec_msg_put(uint8_t out[REC_MSG_SIZE], const struct store_msg *m)
{
	int64_t saved = m->savedate < 0 ? 0 : m->savedate > UINT32_MAX ? UINT32_MAX : m->savedate;

	out[0] = REC_VERSION;
	out[1] = m->flags;
	put_le16(out + 2, 0);
	put_le32(out + 4, m->size);
	put_le64(out + 8, m->modseq);
	put_le64(out + 16, m->oid);
	put_le64(out + 24, m->hash);
	put_le64(out + 32, m->keywords);
	put_le64(out + 40, (uint64_t)m->internaldate);
	put_le32(out + 48, (uint32_t)saved);
}

bool
rec_msg_get(struct store_msg *m, uint32_t uid, struct sv v)
{
	const uint8_t *p = (const uint8_t *)v.p;

	if (v.len != REC_MSG_SIZE || p[0] != REC_VERSION)
		return (false);
	*m = (struct store_msg){ .uid = uid, .flags = p[1] & STORE_SYSFLAGS, .size = get_le32(p + 4),
	    .modseq = get_le64(p + 8), .oid = get_le64(p + 16), .hash = get_le64(p + 24),
	    .keywords = get_le64(p + 32), .internaldate = (int64_t)get_le64(p + 40), .savedate = get_le32(p + 48) };
	return (true);
}

/* ---- log ---- */

void
rec_log_key(uint8_t out[REC_LOG_KEY], uint64_t mbox, uint64_t modseq)
{
	rec_be64(out, mbox);
	rec_be64(out + 8, modseq);
}

void
rec_ranges_put(struct sb *out, const struct store_range *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		add_num(out, r[i].first, 4);
		add_num(out, r[i].last, 4);
	}
}

void
rec_ranges_at(struct sv v, size_t i, struct store_range *r)
{
	const uint8_t *p = (const uint8_t *)v.p + 8 * i;

	r->first = get_le32(p);
	r->last = get_le32(p + 4);
}

ptrdiff_t
rec_ranges_count(struct sv v)
{
	size_t n = v.len / 8;
	uint32_t last = 0;

	if (v.len % 8 != 0)
		return (-1);
	for (size_t i = 0; i < n; i++) {
		struct store_range r;

		rec_ranges_at(v, i, &r);
		if (r.first <= last || r.last < r.first)
			return (-1);
		last = r.last;
	}
	return ((ptrdiff_t)n);
}

size_t
rec_ranges_add(struct store_range *r, size_t n, uint32_t uid)
{
	if (n > 0 && r[n - 1].last + 1 == uid) {
		r[n - 1].last = uid;
		return (n);
	}
	r[n] = (struct store_range){ uid, uid };
	return (n + 1);
}

/* ---- dids ---- */

size_t
rec_did_prefix(uint8_t out[REC_DID_MAX], uint64_t origin, struct sv message)
{
	if (message.len == 0 || message.len > REC_MESSAGE_MAX || sv_chr(message, '\0') >= 0)
		return (0);
	rec_be64(out, origin);
	memcpy(out + 8, message.p, message.len);
	out[8 + message.len] = 0;
	return (8 + message.len + 1);
}

size_t
rec_did_key(uint8_t out[REC_DID_MAX], uint64_t origin, struct sv message, struct sv rcpt, uint32_t action)
{
	size_t n = rec_did_prefix(out, origin, message);
	struct store_hash a, b;
	uint8_t num[4];

	if (n == 0)
		return (0);
	/* Two hashes of different openings: addresses are chosen by peers, 64 bits could be made to collide. */
	put_le32(num, action);
	store_hash_init(&a);
	store_hash_add(&a, num, 4);
	store_hash_add(&a, rcpt.p, rcpt.len);
	store_hash_init(&b);
	store_hash_add(&b, "second half:", 12);
	store_hash_add(&b, num, 4);
	store_hash_add(&b, rcpt.p, rcpt.len);
	rec_be64(out + n, store_hash_end(&a));
	rec_be64(out + n + 8, store_hash_end(&b));
	return (n + 16);
}

/* ---- redo ---- */

#define SAME_PATH	0xffff

void
rec_redo_put(struct sb *out, const struct rec_redo *r, struct sv *last)
{
	add_num(out, (uint64_t)r->from, 1);
	add_num(out, r->mbox, 8);
	add_num(out, r->oid, 8);
	add_num(out, r->hash, 8);
	add_num(out, r->uid, 4);
	add_num(out, r->size, 4);
	if (r->from == REC_FROM_BODY) {
		add_num(out, r->src_mbox, 8);
		add_num(out, r->src_uid, 4);
	} else if (r->from == REC_FROM_RANGE) {
		bool same = last->p != NULL && sv_eq(*last, r->path);

		add_num(out, same ? SAME_PATH : r->path.len, 2);
		if (!same)
			sb_add(out, r->path);
		*last = r->path;
		add_num(out, r->off, 8);
		add_num(out, r->len, 8);
		add_num(out, r->prefix.len, 2);
		sb_add(out, r->prefix);
	}
}

int
rec_redo_next(struct sv *v, struct rec_redo *r, struct sv *last)
{
	struct cur c = cur_of(*v);
	size_t n;

	if (v->len == 0)
		return (0);
	memset(r, 0, sizeof(*r));
	r->from = (enum rec_source)take_num(&c, 1);
	r->mbox = take_num(&c, 8);
	r->oid = take_num(&c, 8);
	r->hash = take_num(&c, 8);
	r->uid = (uint32_t)take_num(&c, 4);
	r->size = (uint32_t)take_num(&c, 4);
	switch (r->from) {
	case REC_FROM_BODY:
		r->src_mbox = take_num(&c, 8);
		r->src_uid = (uint32_t)take_num(&c, 4);
		break;
	case REC_FROM_RANGE:
		n = (size_t)take_num(&c, 2);
		r->path = n == SAME_PATH ? *last : take_bytes(&c, n);
		r->off = take_num(&c, 8);
		r->len = take_num(&c, 8);
		r->prefix = take_bytes(&c, (size_t)take_num(&c, 2));
		if (r->path.p == NULL)
			return (-1);
		*last = r->path;
		break;
	default:
		return (-1);
	}
	if (c.bad)
		return (-1);
	*v = sv_from((const char *)c.p, c.left);
	return (1);
}

/* ---- work ---- */

void
rec_work_put(uint8_t out[REC_WORK_SIZE], const struct rec_work *w)
{
	out[0] = (uint8_t)w->what;
	put_le64(out + 1, w->mbox);
	put_le64(out + 9, w->oid);
	put_le32(out + 17, w->uid);
}

bool
rec_work_get(struct rec_work *w, struct sv v)
{
	const uint8_t *p = (const uint8_t *)v.p;

	if (v.len != REC_WORK_SIZE || p[0] < REC_DO_UNLINK || p[0] > REC_DO_WRITE)
		return (false);
	*w = (struct rec_work){ (enum rec_todo)p[0], get_le64(p + 1), get_le64(p + 9), get_le32(p + 17) };
	return (true);
}

/* ---- cache rows: checksum, version, lengths, pieces ---- */

#define CACHE_HEAD	24
#define CACHE_VERSION	1

void
rec_cache_put(struct sb *out, const struct rec_cache *c)
{
	size_t at = out->len;

	add_num(out, 0, 4);
	add_num(out, CACHE_VERSION, 4);
	add_num(out, c->size, 4);
	add_num(out, c->header_len, 4);
	add_num(out, c->envelope.len, 4);
	add_num(out, c->bodystructure.len, 4);
	sb_add(out, c->envelope);
	sb_add(out, c->bodystructure);
	sb_add(out, c->offsets);
	if (!out->overflow)
		put_le32((uint8_t *)out->p + at, crc32c(0, out->p + at + 4, out->len - at - 4));
}

bool
rec_cache_get(struct rec_cache *r, struct sv v)
{
	struct cur c = cur_of(v);
	uint32_t crc = (uint32_t)take_num(&c, 4), env, bs;

	if (v.len < CACHE_HEAD || crc != crc32c(0, v.p + 4, v.len - 4) || take_num(&c, 4) != CACHE_VERSION)
		return (false);
	r->size = (uint32_t)take_num(&c, 4);
	r->header_len = (uint32_t)take_num(&c, 4);
	env = (uint32_t)take_num(&c, 4);
	bs = (uint32_t)take_num(&c, 4);
	r->envelope = take_bytes(&c, env);
	r->bodystructure = take_bytes(&c, bs);
	r->offsets = take_bytes(&c, c.left);
	return (!c.bad && r->header_len <= r->size);
}
