/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records of the index: any bytes decode or are refused, and what decodes is written back
 * to the same bytes.  The first byte says which kind.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
same(const struct sb *sb, struct sv v)
{
	assert(sb->len == v.len && (v.len == 0 || memcmp(sb->p, v.p, v.len) == 0));
}

static void
fixed(unsigned kind, struct sv v)
{
	uint8_t out[REC_BOX_SIZE > REC_STATE_SIZE ? REC_BOX_SIZE : REC_STATE_SIZE];
	struct rec_state st;
	struct rec_box b;
	struct store_msg m;
	struct rec_work w;

	if (kind == 0 && rec_state_get(&st, v)) {
		rec_state_put(out, &st);
		assert(memcmp(out, v.p, REC_STATE_SIZE) == 0);
	} else if (kind == 1 && rec_box_get(&b, v)) {
		rec_box_put(out, &b);
		assert(memcmp(out, v.p, REC_BOX_SIZE) == 0);
	} else if (kind == 2 && rec_msg_get(&m, 1, v)) {
		rec_msg_put(out, &m);
		/* Bits that mean nothing are dropped. */
		assert(memcmp(out + 4, v.p + 4, REC_MSG_SIZE - 4) == 0);
		rec_msg_key(out, 1, m.uid);
		rec_log_key(out, 1, m.modseq);
	} else if (kind == 3 && rec_work_get(&w, v)) {
		rec_work_put(out, &w);
		assert(memcmp(out, v.p, REC_WORK_SIZE) == 0);
	}
}

static void
info(struct sv v)
{
	struct sb out = SB_INIT(1 << 20);
	struct rec_info i;
	struct sv rest, kw;
	unsigned n = 0;

	if (rec_info_get(&i, v)) {
		for (rest = i.keywords; rec_info_keyword(&rest, &kw);)
			n += (unsigned)kw.len;
		(void)store_rights_of(i.acl, i.owner, i.name);
		rec_info_put(&out, &i);
		same(&out, v);
	}
	sb_free(&out);
}

static void
redo(struct sv v)
{
	struct sv last = SV_NULL, put = SV_NULL, got = SV_NULL, rest;
	struct sb out = SB_INIT(1 << 20);
	struct rec_redo r, again;
	unsigned n = 0;

	while (rec_redo_next(&v, &r, &last) == 1) {
		assert(r.from != REC_FROM_RANGE || r.path.p != NULL);
		rec_redo_put(&out, &r, &put);
		n++;
	}
	for (rest = sb_sv(&out); rec_redo_next(&rest, &again, &got) == 1;)
		n--;
	assert(n == 0 && rest.len == 0);
	sb_free(&out);
}

static void
cache(struct sv v)
{
	struct sb out = SB_INIT(1 << 20);
	struct rec_cache c;

	if (rec_cache_get(&c, v)) {
		rec_cache_put(&out, &c);
		same(&out, v);
	}
	sb_free(&out);
}

static void
boxfile(struct sv v)
{
	struct sb out = SB_INIT(1 << 20);
	struct rec_boxfile f, g;

	if (rec_boxfile_get(&f, v)) {
		rec_boxfile_put(&out, &f);
		/* Keys that are not known are not written back; the rest comes out as it went in. */
		if (out.len <= REC_BOXFILE_MAX) {
			assert(rec_boxfile_get(&g, sb_sv(&out)));
			assert(f.mbox == g.mbox && f.uidnext == g.uidnext && sv_eq(f.name, g.name));
		}
	}
	sb_free(&out);
}

static void
ranges(struct sv v)
{
	ptrdiff_t n = rec_ranges_count(v);
	struct store_range r;
	uint32_t last = 0;

	for (ptrdiff_t i = 0; i < n; i++) {
		rec_ranges_at(v, (size_t)i, &r);
		assert(r.first > last && r.first <= r.last);
		last = r.last;
	}
	if (n > 0 && n < 1000) {
		struct store_range many[1001];
		struct sb out = SB_INIT(1 << 20);
		size_t k;

		for (ptrdiff_t i = 0; i < n; i++)
			rec_ranges_at(v, (size_t)i, &many[i]);
		rec_ranges_put(&out, many, (size_t)n);
		same(&out, v);
		k = rec_ranges_add(many, (size_t)n, last);
		assert(last == UINT32_MAX || k == (size_t)n + 1);
		sb_free(&out);
	}
}

/* Keys of delivery ids: what is another recipient has another key behind the same prefix. */
static void
did(struct sv v)
{
	uint8_t a[REC_DID_MAX], b[REC_DID_MAX];
	struct sv message = v, rcpt = v;
	size_t n;

	(void)sv_next(&rcpt, ' ', &message);
	if ((n = rec_did_key(a, 7, message, rcpt, 1)) == 0)
		return;
	assert(rec_did_prefix(b, 7, message) == n - 16 && memcmp(a, b, n - 16) == 0);
	assert(rec_did_key(b, 7, message, rcpt, 2) == n && memcmp(a, b, n) != 0);
}

static void
name(struct sv v)
{
	char buf[STORE_NAME_MAX + 1], owner[STORE_NAME_MAX + 1];
	struct sb sb = SB_INIT(4096);
	uint64_t oid;
	uint32_t uid;

	(void)rec_body_name(v, &uid, &oid);
	if (store_name_from_client(v, '/', SV_LIT("ann"), buf, NULL) == 0) {
		assert(store_name_valid(sv_cstr(buf)));
		(void)store_name_owner(sv_cstr(buf), owner);
		store_name_to_client(sv_cstr(buf), '/', SV_LIT("ann"), &sb);
	}
	sb_free(&sb);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv v;
	unsigned kind;

	if (size == 0)
		return (0);
	kind = data[0] - 'a';
	v = sv_from((const char *)data + 1, size - 1);
	switch (kind) {
	case 4:
		info(v);
		break;
	case 5:
		redo(v);
		break;
	case 6:
		cache(v);
		break;
	case 7:
		boxfile(v);
		break;
	case 8:
		ranges(v);
		break;
	case 9:
		name(v);
		break;
	case 10:
		did(v);
		break;
	default:
		fixed(kind, v);
	}
	return (0);
}
