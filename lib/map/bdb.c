/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a Berkeley DB hash or btree file from memory.  libdb itself is not used for
 * reading: on a damaged file it may crash or loop, and a customer's map must not be able to
 * stop a daemon.  The format is that of src/dbinc/db_page.h of Berkeley DB 4 to 6: a
 * metadata page, then pages of one size; numbers in the writer's byte order, which the
 * magic number tells.  Every offset, length, chain and depth is checked.
 */
#include "map_int.h"

#define HASH_MAGIC	0x061561U
#define BTREE_MAGIC	0x053162U

enum page_type {
	P_HASH_UNSORTED = 2, P_IBTREE = 3, P_IRECNO = 4, P_LBTREE = 5, P_LRECNO = 6, P_OVERFLOW = 7,
	P_HASHMETA = 8, P_BTREEMETA = 9, P_LDUP = 12, P_HASH = 13
};
enum hash_item { H_KEYDATA = 1, H_DUPLICATE = 2, H_OFFPAGE = 3, H_OFFDUP = 4 };
enum bt_item { B_KEYDATA = 1, B_DUPLICATE = 2, B_OVERFLOW = 3, B_DELETED = 0x80 };

#define DEPTH_MAX	64

struct bdb {
	struct table	*t;
	const uint8_t	*p;
	size_t		 len;
	uint32_t	 pagesize;
	uint32_t	 npages;
	uint32_t	 overhead;	/* of a page, before its index */
	uint32_t	 steps;		/* pages looked at: bounds loops in chains */
	bool		 swapped;
	struct err	*err;
};

/* One item of a page. */
struct item {
	const uint8_t	*p;
	uint32_t	 len;
};

static int
broken(struct bdb *b, const char *what)
{
	return (err_set(b->err, ERR_TEMP, "4.3.0", "the file is damaged (%s): rebuild it with makemap", what));
}

static uint32_t
u32(const struct bdb *b, const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return (b->swapped ? __builtin_bswap32(v) : v);
}

static uint16_t
u16(const struct bdb *b, const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return (b->swapped ? __builtin_bswap16(v) : v);
}

static const uint8_t *
page(struct bdb *b, uint32_t pgno)
{
	/* A sound file has each page in one chain; the factor leaves room for shared overflow pages. */
	if (pgno >= b->npages || b->steps++ > 4 * (uint64_t)b->npages + 64)
		return (NULL);
	return (b->p + (size_t)pgno * b->pagesize);
}

static uint32_t next_pgno(const struct bdb *b, const uint8_t *pg) { return (u32(b, pg + 16)); }
static uint32_t entries(const struct bdb *b, const uint8_t *pg) { return (u16(b, pg + 20)); }
static int page_type(const uint8_t *pg) { return (pg[25]); }

/* Offset of item <i>, or 0 if it cannot be. */
static uint32_t
item_offset(const struct bdb *b, const uint8_t *pg, uint32_t i)
{
	uint32_t at = b->overhead + i * 2, off;

	if (at + 2 > b->pagesize)
		return (0);
	off = u16(b, pg + at);
	return (off < b->overhead || off >= b->pagesize ? 0 : off);
}

/* Put a chain of overflow pages together. */
static int
overflow(struct bdb *b, uint32_t pgno, uint32_t tlen, struct sv *out)
{
	size_t at = 0;
	char *buf;

	b->t->built += tlen;
	if (tlen > b->len || b->t->built > 2 * b->len + 4096)
		return (broken(b, "a long item has an impossible length"));
	if (b->t->arena == NULL)
		b->t->arena = arena_new(64 * 1024);
	buf = arena_alloc(b->t->arena, (size_t)tlen + 1);
	while (at < tlen) {
		const uint8_t *pg = pgno == 0 ? NULL : page(b, pgno);
		uint32_t n;

		if (pg == NULL || page_type(pg) != P_OVERFLOW)
			return (broken(b, "the chain of a long item ends early"));
		n = u16(b, pg + 22);
		if (n == 0 || n > b->pagesize - b->overhead || n > tlen - at)
			return (broken(b, "a page of a long item has an impossible length"));
		memcpy(buf + at, pg + b->overhead, n);
		at += n;
		pgno = next_pgno(b, pg);
	}
	*out = sv_from(buf, tlen);
	return (0);
}

static int
add(struct bdb *b, struct sv key, struct sv value)
{
	if (b->t->e.len > b->len)	/* more entries than bytes: pages came more than once */
		return (broken(b, "pages are linked in a circle"));
	(void)table_add_raw(b->t, key, value, TABLE_CHAIN);
	return (0);
}

/* A key or data item of a btree leaf; <dup> (may be NULL) gets the root of a tree of further values. */
static int
leaf_item(struct bdb *b, const uint8_t *pg, uint32_t i, struct sv *out, uint32_t *dup, bool *deleted)
{
	uint32_t off = item_offset(b, pg, i), len;
	int type;

	if (off == 0 || off + 3 > b->pagesize)
		return (broken(b, "an item lies outside its page"));
	type = pg[off + 2];
	*deleted = (type & B_DELETED) != 0;
	type &= ~B_DELETED;
	if (type == B_KEYDATA) {
		len = u16(b, pg + off);
		if (off + 3 + len > b->pagesize)
			return (broken(b, "an item lies outside its page"));
		*out = sv_from((const char *)pg + off + 3, len);
		return (0);
	}
	if (off + 12 > b->pagesize || (type != B_OVERFLOW && (type != B_DUPLICATE || dup == NULL)))
		return (broken(b, "an item of an unknown kind"));
	if (type == B_OVERFLOW)
		return (*deleted ? 0 : overflow(b, u32(b, pg + off + 4), u32(b, pg + off + 8), out));
	*dup = u32(b, pg + off + 4);
	return (0);
}

/* The leftmost leaf below page <pgno>, or NULL. */
static const uint8_t *
leftmost(struct bdb *b, uint32_t pgno)
{
	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		const uint8_t *pg = page(b, pgno);
		uint32_t off;

		if (pg == NULL)
			return (NULL);
		if (page_type(pg) == P_LBTREE || page_type(pg) == P_LDUP || page_type(pg) == P_LRECNO)
			return (pg);
		off = entries(b, pg) == 0 ? 0 : item_offset(b, pg, 0);
		if (off == 0 || off + 8 > b->pagesize)
			return (NULL);
		if (page_type(pg) == P_IBTREE)
			pgno = u32(b, pg + off + 4);
		else if (page_type(pg) == P_IRECNO)
			pgno = u32(b, pg + off);
		else
			return (NULL);
	}
	return (NULL);
}

/* All values of a tree of duplicates. */
static int
duplicates(struct bdb *b, uint32_t root, struct sv key)
{
	const uint8_t *pg = leftmost(b, root);

	while (pg != NULL) {
		for (uint32_t i = 0, n = entries(b, pg); i < n; i++) {
			struct sv v = SV_NULL;
			bool deleted;

			if (leaf_item(b, pg, i, &v, NULL, &deleted) == -1)
				return (-1);
			if (!deleted && add(b, key, v) == -1)
				return (-1);
		}
		if (next_pgno(b, pg) == 0)
			return (0);
		pg = page(b, next_pgno(b, pg));
	}
	return (broken(b, "the values of a repeated key cannot be reached"));
}

static int
btree_leaf(struct bdb *b, const uint8_t *pg)
{
	uint32_t n = entries(b, pg);

	if (n % 2 != 0 || page_type(pg) != P_LBTREE)
		return (broken(b, "a leaf holds a key without data"));
	for (uint32_t i = 0; i < n; i += 2) {
		struct sv key = SV_NULL, value = SV_NULL;
		bool kdel, vdel;
		uint32_t dup = 0;

		if (leaf_item(b, pg, i, &key, NULL, &kdel) == -1 || leaf_item(b, pg, i + 1, &value, &dup, &vdel) == -1)
			return (-1);
		if (kdel || vdel)
			continue;
		if ((dup != 0 ? duplicates(b, dup, key) : add(b, key, value)) == -1)
			return (-1);
	}
	return (0);
}

static int
btree_read(struct bdb *b)
{
	const uint8_t *pg;
	uint32_t flags = u32(b, b->p + 48);

	if ((flags & (0x02 | 0x20 | 0x80)) != 0)
		return (err_set(b->err, ERR_TEMP, "4.3.0", "not a map: a recno, compressed or multiple database"));
	pg = leftmost(b, u32(b, b->p + 88));
	if (pg == NULL)
		return (broken(b, "the first leaf cannot be reached"));
	for (;;) {
		if (btree_leaf(b, pg) == -1)
			return (-1);
		if (next_pgno(b, pg) == 0)
			return (0);
		if ((pg = page(b, next_pgno(b, pg))) == NULL)
			return (broken(b, "a leaf's successor does not exist"));
	}
}

/* Item <i> of a hash page: from its offset to that of the one before. */
static int
hash_item(struct bdb *b, const uint8_t *pg, uint32_t i, struct item *it)
{
	uint32_t off = item_offset(b, pg, i), end = i == 0 ? b->pagesize : item_offset(b, pg, i - 1);

	if (off == 0 || end <= off)
		return (broken(b, "an item lies outside its page"));
	it->p = pg + off;
	it->len = end - off;
	return (0);
}

static int
hash_value(struct bdb *b, const struct item *it, struct sv *out)
{
	if (it->p[0] == H_KEYDATA) {
		*out = sv_from((const char *)it->p + 1, it->len - 1);
		return (0);
	}
	if (it->p[0] == H_OFFPAGE && it->len >= 12)
		return (overflow(b, u32(b, it->p + 4), u32(b, it->p + 8), out));
	return (broken(b, "an item of an unknown kind"));
}

/* Values of one key that stand in one item: length, bytes, length, ... */
static int
hash_duplicates(struct bdb *b, const struct item *it, struct sv key)
{
	uint32_t at = 1;

	while (at < it->len) {
		uint32_t n;

		if (at + 2 > it->len || (n = u16(b, it->p + at)) > it->len - at - 2 || at + 4 + n > it->len)
			return (broken(b, "a list of values has an impossible length"));
		if (add(b, key, sv_from((const char *)it->p + at + 2, n)) == -1)
			return (-1);
		at += n + 4;
	}
	return (0);
}

static int
hash_page(struct bdb *b, const uint8_t *pg)
{
	uint32_t n = entries(b, pg);

	if (n % 2 != 0)
		return (broken(b, "a page holds a key without data"));
	for (uint32_t i = 0; i < n; i += 2) {
		struct sv key = SV_NULL, value = SV_NULL;
		struct item k, v;
		int rc;

		if (hash_item(b, pg, i, &k) == -1 || hash_item(b, pg, i + 1, &v) == -1 || hash_value(b, &k, &key) == -1)
			return (-1);
		if (v.p[0] == H_DUPLICATE)
			rc = hash_duplicates(b, &v, key);
		else if (v.p[0] == H_OFFDUP && v.len >= 8)
			rc = duplicates(b, u32(b, v.p + 4), key);
		else if ((rc = hash_value(b, &v, &value)) == 0)
			rc = add(b, key, value);
		if (rc == -1)
			return (-1);
	}
	return (0);
}

/* The bucket's first page: bucket number plus the pages allocated before its doubling. */
static uint32_t
bucket_page(const struct bdb *b, uint32_t bucket)
{
	uint32_t log2 = 0;

	while (log2 < 31 && (1U << log2) < bucket + 1)
		log2++;
	return (bucket + u32(b, b->p + 96 + 4 * log2));
}

static int
hash_read(struct bdb *b)
{
	uint32_t max_bucket = u32(b, b->p + 72), nelem = u32(b, b->p + 88);

	if ((u32(b, b->p + 48) & 0x02) != 0)
		return (err_set(b->err, ERR_TEMP, "4.3.0", "not a map: several databases in one file"));
	if (max_bucket >= b->npages)
		return (broken(b, "more buckets than pages"));
	table_reserve(b->t, nelem < b->len / 8 ? nelem : b->len / 64);
	for (uint32_t i = 0; i <= max_bucket; i++) {
		uint32_t pgno = bucket_page(b, i);

		/* A bucket that was never written is a hole or zeroes. */
		while (pgno != 0) {
			const uint8_t *pg = page(b, pgno);

			if (pg == NULL)
				return (broken(b, "a bucket's page does not exist"));
			if (page_type(pg) == 0 && entries(b, pg) == 0)
				break;
			if (page_type(pg) != P_HASH && page_type(pg) != P_HASH_UNSORTED)
				return (broken(b, "a bucket's page is of another kind"));
			if (hash_page(b, pg) == -1)
				return (-1);
			pgno = next_pgno(b, pg);
		}
	}
	return (0);
}

/* Berkeley DB 1.85 has its magic number at the very front. */
static bool
is_185(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return (v == HASH_MAGIC || v == BTREE_MAGIC || v == __builtin_bswap32(HASH_MAGIC) ||
	    v == __builtin_bswap32(BTREE_MAGIC));
}

int
read_bdb(struct table *t, struct err *err)
{
	struct bdb b = { .t = t, .p = (const uint8_t *)t->image.p, .len = t->image.len, .overhead = 26, .err = err };
	uint32_t magic, version;

	if (b.len == 0)
		return (err_set(err, ERR_TEMP, "4.3.0", "the file is empty, not a map: rebuild it with makemap"));
	if (b.len >= 4 && is_185(b.p))
		return (err_set(err, ERR_TEMP, "4.3.0", "Berkeley DB 1.85 file: rebuild with makemap"));
	if (b.len < 512)
		return (broken(&b, "shorter than a page"));
	magic = u32(&b, b.p + 12);
	if (magic == __builtin_bswap32(HASH_MAGIC) || magic == __builtin_bswap32(BTREE_MAGIC)) {
		b.swapped = true;
		magic = u32(&b, b.p + 12);
	}
	if (magic != HASH_MAGIC && magic != BTREE_MAGIC)
		return (err_set(err, ERR_TEMP, "4.3.0", "not a Berkeley DB hash or btree file: rebuild it with makemap"));
	version = u32(&b, b.p + 16);
	b.pagesize = u32(&b, b.p + 20);
	if (version < 6 || version > 10)
		return (err_set(err, ERR_TEMP, "4.3.0", "Berkeley DB format version %u is not known: rebuild with makemap",
		    version));
	if (b.pagesize < 512 || b.pagesize > 65536 || (b.pagesize & (b.pagesize - 1)) != 0)
		return (broken(&b, "the page size is impossible"));
	if (b.p[24] != 0 || u32(&b, b.p + 36) != 0)
		return (err_set(err, ERR_TEMP, "4.3.0", "encrypted or partitioned Berkeley DB files are not read"));
	if ((b.p[26] & 1) != 0)
		b.overhead = 32;	/* pages carry a checksum */
	b.npages = (uint32_t)(b.len / b.pagesize);
	if (u32(&b, b.p + 32) >= b.npages)
		return (broken(&b, "its end is missing"));
	return (magic == HASH_MAGIC ? hash_read(&b) : btree_read(&b));
}
