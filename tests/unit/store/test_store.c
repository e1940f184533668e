/* SPDX-License-Identifier: BSD-2-Clause */
/* Names, flags, rights, hash, records, frames: what is pure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/client.h"
#include "store/deliver.h"
#include "store/proto.h"
#include "store/record.h"

/* A copy on the heap of exactly that size, so that a read past the end is seen. */
static struct sv
exact(struct sv v)
{
	char *p = malloc(v.len > 0 ? v.len : 1);

	memcpy(p, v.p == NULL ? "" : v.p, v.len);
	return (sv_from(p, v.len));
}

static void
drop(struct sv v)
{
	free((void *)(uintptr_t)v.p);
}

static void
test_names(void **state)
{
	static const struct {
		const char	*client;
		char		 sep;
		const char	*user;
		const char	*name;		/* NULL: refused */
		const char	*back;		/* NULL: as it came */
	} t[] = {
		{ "INBOX", '.', "ann", "user.ann", NULL },
		{ "inbox", '.', "ann", "user.ann", "INBOX" },
		{ "INBOX.Work.Old", '.', "ann", "user.ann.Work.Old", NULL },
		{ "INBOX/Work/v1.2", '/', "ann", "user.ann.Work.v1^2", NULL },
		{ "INBOX", '.', "John.Doe", "user.john^doe", NULL },
		{ "user.bob.X", '.', "ann", "user.bob.X", NULL },
		{ "user/john.doe/X", '/', "ann", "user.john^doe.X", NULL },
		{ "shared", '.', "ann", "shared", NULL },
		{ "user.ann.X", '.', "ann", "user.ann.X", "INBOX.X" },
		{ "user.annabel.X", '.', "ann", "user.annabel.X", NULL },
		{ "INBOX.\xc3\xa4", '.', "ann", "user.ann.\xc3\xa4", NULL },
		{ "INBOX.\xc3", '.', "ann", NULL, NULL },
		{ "INBOX..x", '.', "ann", NULL, NULL },
		{ "INBOX.x.", '.', "ann", NULL, NULL },
		{ ".x", '.', "ann", NULL, NULL },
		{ "", '.', "ann", NULL, NULL },
		{ "INBOX/a^b", '/', "ann", NULL, NULL },
		{ "INBOX.a*", '.', "ann", NULL, NULL },
		{ "INBOX.a%", '.', "ann", NULL, NULL },
		{ "INBOX.a\nb", '.', "ann", NULL, NULL },
		{ "user", '.', "ann", NULL, NULL },
		{ "INBOX.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3", '.', "ann", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char buf[STORE_NAME_MAX + 1];
		struct sb sb = SB_INIT(1024);
		struct err err = ERR_INIT;
		struct sv in = exact(sv_cstr(t[i].client));
		int rc = store_name_from_client(in, t[i].sep, sv_cstr(t[i].user), buf, &err);

		drop(in);
		assert_int_equal(rc, t[i].name == NULL ? -1 : 0);
		if (rc == -1) {
			assert_string_equal(err.status, STORE_E_BADNAME);
			continue;
		}
		assert_string_equal(buf, t[i].name);
		store_name_to_client(sv_cstr(buf), t[i].sep, sv_cstr(t[i].user), &sb);
		assert_string_equal(sb_cstr(&sb), t[i].back != NULL ? t[i].back : t[i].client);
		sb_free(&sb);
	}
}

static void
test_owner(void **state)
{
	char buf[STORE_NAME_MAX + 1];

	(void)state;
	assert_true(sv_eqs(store_name_owner(SV_LIT("user.john^doe.x"), buf), "john.doe"));
	assert_true(sv_eqs(store_name_owner(SV_LIT("user.ann"), buf), "ann"));
	assert_int_equal(store_name_owner(SV_LIT("shared.user.ann"), buf).len, 0);
	assert_true(store_name_is_inbox(SV_LIT("user.ann")));
	assert_false(store_name_is_inbox(SV_LIT("user.ann.x")));
	assert_false(store_name_is_inbox(SV_LIT("user.")));
	assert_int_equal(store_name_inbox(SV_LIT(""), buf, NULL), -1);
}

static void
test_flags_rights(void **state)
{
	struct sb sb = SB_INIT(64);
	struct sv acl = SV_LIT("ann\tlrs\tanyone\tl\t-bob\tl\tcid\tlrswipkxtea");

	(void)state;
	assert_int_equal(store_flag_bit(SV_LIT("\\seen")), STORE_SEEN);
	assert_int_equal(store_flag_bit(SV_LIT("\\Recent")), 0);
	assert_string_equal(store_flag_name(STORE_DRAFT), "\\Draft");
	assert_true(store_keyword_valid(SV_LIT("$Forwarded")));
	assert_false(store_keyword_valid(SV_LIT("a b")));
	assert_false(store_keyword_valid(SV_LIT("\\x")));
	assert_false(store_keyword_valid(SV_LIT("")));
	assert_int_equal(store_rights_of(acl, SV_LIT("own"), SV_LIT("Own")), STORE_R_ALL);
	assert_int_equal(store_rights_of(acl, SV_LIT("own"), SV_LIT("ann")),
	    STORE_R_LOOKUP | STORE_R_READ | STORE_R_SEEN);
	assert_int_equal(store_rights_of(acl, SV_LIT("own"), SV_LIT("bob")), 0);
	assert_int_equal(store_rights_of(acl, SV_LIT("own"), SV_LIT("eve")), STORE_R_LOOKUP);
	assert_int_equal(store_rights_of(acl, SV_LIT("own"), SV_LIT("cid")), STORE_R_ALL);
	assert_int_equal(store_rights_of(acl, SV_NULL, SV_LIT("x")), STORE_R_LOOKUP);
	store_rights_text(store_rights_parse(SV_LIT("cdlq")), &sb);
	assert_string_equal(sb_cstr(&sb), "lkxte");
	sb_free(&sb);
}

/* The hash does not depend on how the bytes come; its values are for ever, since the index holds them. */
static void
test_hash(void **state)
{
	char buf[1000];
	struct store_hash h;
	uint64_t all;

	(void)state;
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (char)(i * 7);
	store_hash_init(&h);
	store_hash_add(&h, buf, sizeof(buf));
	all = store_hash_end(&h);
	for (size_t step = 1; step < 70; step++) {
		store_hash_init(&h);
		for (size_t at = 0; at < sizeof(buf); at += step)
			store_hash_add(&h, buf + at, sizeof(buf) - at < step ? sizeof(buf) - at : step);
		assert_true(store_hash_end(&h) == all);
	}
	store_hash_init(&h);
	store_hash_add(&h, "abc", 3);
	assert_int_equal(store_hash_end(&h), 0x5893d308a65ed740U);
	buf[999] ^= 1;
	store_hash_init(&h);
	store_hash_add(&h, buf, sizeof(buf));
	assert_true(store_hash_end(&h) != all);
}

static void
test_records(void **state)
{
	uint8_t b[REC_BOX_SIZE], again[REC_BOX_SIZE], m[REC_MSG_SIZE], mm[REC_MSG_SIZE];
	struct rec_box x = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 }, y;
	struct store_msg a = { .keywords = 5, .modseq = 6, .oid = 7, .hash = 8, .internaldate = -9, .savedate = 10,
	    .uid = 11, .size = 12, .flags = 0x1f }, c;
	struct sb sb = SB_INIT(4096);
	struct rec_info i = { SV_LIT("user.ann"), SV_LIT("ann"), SV_LIT("bob\tl"), { "k1\0k2\0", 6, false } }, j;
	struct rec_boxfile f = { 0xabc, 5, 6, SV_LIT("user.ann"), SV_LIT("ann"), SV_LIT("a\tl") }, g;
	struct sv v, rest, k;
	uint32_t uid;
	uint64_t oid;

	(void)state;
	rec_box_put(b, &x);
	assert_true(rec_box_get(&y, sv_from((char *)b, sizeof(b))));
	rec_box_put(again, &y);
	assert_memory_equal(b, again, sizeof(b));
	assert_int_equal(y.logfloor, 12);
	assert_false(rec_box_get(&y, sv_from((char *)b, sizeof(b) - 1)));
	rec_msg_put(m, &a);
	assert_true(rec_msg_get(&c, 11, sv_from((char *)m, sizeof(m))));
	rec_msg_put(mm, &c);
	assert_memory_equal(m, mm, sizeof(m));
	assert_int_equal(c.internaldate, -9);
	/* DESIGN: at most 100 bytes a message, the key and LMDB's node header counted. */
	assert_true(REC_MSG_KEY + REC_MSG_SIZE + 8 <= 100);
	rec_info_put(&sb, &i);
	v = exact(sb_sv(&sb));
	assert_true(rec_info_get(&j, v));
	assert_true(sv_eqs(j.acl, "bob\tl"));
	rest = j.keywords;
	assert_true(rec_info_keyword(&rest, &k) && sv_eqs(k, "k1"));
	assert_true(rec_info_keyword(&rest, &k) && sv_eqs(k, "k2"));
	assert_false(rec_info_keyword(&rest, &k));
	drop(v);
	sb_clear(&sb);
	rec_boxfile_put(&sb, &f);
	assert_true(rec_boxfile_get(&g, sb_sv(&sb)));
	assert_int_equal(g.mbox, 0xabc);
	assert_int_equal(g.uidnext, 6);
	assert_true(sv_eqs(g.acl, "a\tl"));
	/* Cut short it is no mailbox file. */
	assert_false(rec_boxfile_get(&g, sv_sub(sb_sv(&sb), 0, sb.len - 4)));
	assert_true(rec_body_name(SV_LIT("12.00000000000000ff"), &uid, &oid));
	assert_int_equal(uid, 12);
	assert_int_equal(oid, 255);
	assert_false(rec_body_name(SV_LIT("012.00000000000000ff"), &uid, &oid));
	assert_false(rec_body_name(SV_LIT("12.ff"), &uid, &oid));
	assert_false(rec_body_name(SV_LIT("mailbox"), &uid, &oid));
	assert_false(rec_body_name(SV_LIT("0.00000000000000ff"), &uid, &oid));
	sb_free(&sb);
}

static void
test_redo(void **state)
{
	struct rec_redo a = { .from = REC_FROM_RANGE, .mbox = 1, .oid = 2, .hash = 3, .uid = 4, .size = 5,
	    .path = SV_LIT("var/spool/x"), .off = 6, .len = 7, .prefix = SV_LIT("P: q\r\n") }, r;
	struct rec_redo b = { .from = REC_FROM_BODY, .mbox = 8, .uid = 9, .src_mbox = 10, .src_uid = 11 };
	struct sb sb = SB_INIT(4096);
	struct sv last = SV_NULL, v, whole;
	size_t first;

	(void)state;
	rec_redo_put(&sb, &a, &last);
	first = sb.len;
	rec_redo_put(&sb, &b, &last);
	rec_redo_put(&sb, &a, &last);
	assert_true(sb.len < 3 * first);
	whole = exact(sb_sv(&sb));
	v = whole;
	last = SV_NULL;
	assert_int_equal(rec_redo_next(&v, &r, &last), 1);
	assert_true(sv_eqs(r.path, "var/spool/x"));
	assert_int_equal(rec_redo_next(&v, &r, &last), 1);
	assert_int_equal(r.src_uid, 11);
	assert_int_equal(rec_redo_next(&v, &r, &last), 1);
	assert_true(sv_eqs(r.path, "var/spool/x"));
	assert_true(sv_eqs(r.prefix, "P: q\r\n"));
	assert_int_equal(rec_redo_next(&v, &r, &last), 0);
	/* Cut anywhere it is noticed. */
	for (size_t n = 1; n < first; n++) {
		struct sv cut = exact(sv_sub(whole, 0, n));

		v = cut;
		last = SV_NULL;
		assert_int_equal(rec_redo_next(&v, &r, &last), -1);
		drop(cut);
	}
	drop(whole);
	sb_free(&sb);
}

static void
test_dids(void **state)
{
	uint8_t a[REC_DID_MAX], b[REC_DID_MAX];
	char longid[REC_MESSAGE_MAX + 2];

	(void)state;
	assert_int_equal(rec_did_key(a, 1, SV_LIT("m"), SV_LIT("r"), 0), 8 + 2 + 16);
	assert_int_equal(rec_did_key(b, 1, SV_LIT("m"), SV_LIT("r"), 1), 26);
	assert_memory_not_equal(a, b, 26);
	assert_int_equal(rec_did_key(b, 1, SV_LIT("m"), SV_LIT("s"), 0), 26);
	assert_memory_not_equal(a, b, 26);
	assert_int_equal(rec_did_key(b, 1, SV_NULL, SV_LIT("s"), 0), 0);
	assert_int_equal(rec_did_key(b, 1, sv_from("a\0b", 3), SV_LIT("s"), 0), 0);
	memset(longid, 'a', sizeof(longid));
	assert_int_equal(rec_did_key(b, 1, sv_from(longid, REC_MESSAGE_MAX), SV_NULL, 0), REC_DID_MAX);
	assert_int_equal(rec_did_key(b, 1, sv_from(longid, REC_MESSAGE_MAX + 1), SV_NULL, 0), 0);
}

static void
test_sets(void **state)
{
	static const struct {
		uint32_t	 r[4][2];
		size_t		 n;
		bool		 ok;
	} t[] = {
		{ { { 1, 1 } }, 1, true }, { { { 1, 5 }, { 7, 9 } }, 2, true }, { { { 0, 0 } }, 0, true },
		{ { { 0, 5 } }, 1, false }, { { { 5, 4 } }, 1, false }, { { { 1, 5 }, { 5, 9 } }, 2, false },
		{ { { 7, 9 }, { 1, 2 } }, 2, false }, { { { 1, UINT32_MAX } }, 1, true },
	};
	struct sb m = SB_INIT(IPC_FRAME_MAX);

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct store_range r[4];
		store_ranges back = VEC_INIT;
		struct ipc_msg msg;

		for (size_t k = 0; k < t[i].n; k++)
			r[k] = (struct store_range){ t[i].r[k][0], t[i].r[k][1] };
		ipc_begin(&m, 1);
		assert_int_equal(store_set_put(&m, STORE_T_SET, r, t[i].n), t[i].ok);
		if (!t[i].ok)
			continue;
		assert_true(ipc_parse(&msg, sv_sub(sb_sv(&m), 4, m.len)));
		assert_true(store_set_get(ipc_get_bytes(&msg, STORE_T_SET), &back));
		assert_int_equal(back.len, t[i].n);
		vec_free(&back);
	}
	sb_free(&m);
}

static void
test_frames(void **state)
{
	struct store_delivery d = { .origin = 1, .message = SV_LIT("m"), .rcpt = SV_LIT("a@b.example"), .action = 3,
	    .to = STORE_TO_USER, .user = SV_LIT("ann"), .dflags = STORE_D_CREATE, .prefix = SV_LIT("P: x\r\n"),
	    .path = SV_LIT("var/spool/intake/x"), .off = 9, .len = 10, .sender = SV_LIT("s@t.example"), .date = -1,
	    .flags = STORE_SEEN }, e;
	struct store_answer a[2] = { { .result = STORE_INDEXED, .commit = 77 },
	    { .result = STORE_PERM, .status = "5.1.1", .text = "no" } }, b[2];
	struct sb m = SB_INIT(IPC_FRAME_MAX);
	struct ipc_msg msg;
	size_t pos = 0;
	char big[STORE_PREFIX_MAX + 1];

	(void)state;
	store_deliver_begin(&m);
	assert_true(store_deliver_add(&m, &d));
	assert_true(store_deliver_add(&m, &d));
	memset(big, 'x', sizeof(big));
	e = d;
	e.prefix = sv_from(big, sizeof(big));
	assert_false(store_deliver_add(&m, &e));
	struct sv v = exact(sv_sub(sb_sv(&m), 4, m.len));

	assert_true(ipc_parse(&msg, v));
	assert_int_equal(store_deliver_next(&msg, &pos, &e), 1);
	assert_true(sv_eq(e.rcpt, d.rcpt) && sv_eq(e.path, d.path) && sv_eq(e.prefix, d.prefix) && sv_eq(e.user,
	    d.user));
	assert_int_equal(e.date, -1);
	assert_int_equal(e.off, 9);
	assert_int_equal(e.flags, STORE_SEEN);
	assert_int_equal(store_deliver_next(&msg, &pos, &e), 1);
	assert_int_equal(store_deliver_next(&msg, &pos, &e), 0);
	drop(v);
	/* The frame is full at some point, and says so. */
	size_t n = 0;

	store_deliver_begin(&m);
	e = d;
	e.prefix = sv_from(big, STORE_PREFIX_MAX);
	while (store_deliver_add(&m, &e))
		n++;
	assert_true(n > 100);
	assert_false(m.overflow);
	assert_true(ipc_parse(&msg, sv_sub(sb_sv(&m), 4, m.len)));
	store_answers_begin(&m);
	store_answers_add(&m, &a[0]);
	store_answers_add(&m, &a[1]);
	assert_true(ipc_parse(&msg, sv_sub(sb_sv(&m), 4, m.len)));
	assert_true(store_answers_read(&msg, b, 2));
	assert_int_equal(b[0].commit, 77);
	assert_string_equal(b[1].status, "5.1.1");
	assert_string_equal(b[1].text, "no");
	assert_false(store_answers_read(&msg, b, 1));
	sb_free(&m);
}

static void
test_cache_row(void **state)
{
	struct rec_cache c = { 100, 50, SV_LIT("(env)"), SV_LIT("(bs)"), SV_LIT("off") }, d;
	struct sb sb = SB_INIT(4096);

	(void)state;
	rec_cache_put(&sb, &c);
	for (size_t i = 0; i < sb.len; i++) {
		struct sv v = exact(sb_sv(&sb));

		assert_true(rec_cache_get(&d, v));
		assert_true(sv_eqs(d.envelope, "(env)") && sv_eqs(d.bodystructure, "(bs)") && sv_eqs(d.offsets, "off"));
		((char *)(uintptr_t)v.p)[i] ^= 1;
		assert_false(rec_cache_get(&d, v));
		assert_false(rec_cache_get(&d, sv_sub(v, 0, i)));
		drop(v);
	}
	sb_free(&sb);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names), cmocka_unit_test(test_owner), cmocka_unit_test(test_flags_rights),
		cmocka_unit_test(test_hash), cmocka_unit_test(test_records), cmocka_unit_test(test_redo),
		cmocka_unit_test(test_dids), cmocka_unit_test(test_sets), cmocka_unit_test(test_frames),
		cmocka_unit_test(test_cache_row),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
