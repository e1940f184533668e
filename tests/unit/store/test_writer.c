/* SPDX-License-Identifier: BSD-2-Clause */
/* Delivering, reading, changing and removing messages. */
#include "testbox.h"

static void
test_deliver(void **state)
{
	struct testbox *t = *state;
	struct store_delivery d = tb_delivery("Ann.Lee", "m-1");
	struct store_answer a;
	struct store_status st;
	struct store_cached c;
	struct store_msg m;
	struct sb sb = SB_INIT(65536);
	struct err err = ERR_INIT;
	uint32_t uid = 1;
	uint64_t id;

	tb_source(t, "seg", MSG1);
	a = tb_deliver1(t, &d);
	assert_int_equal(a.result, STORE_INDEXED);
	assert_int_equal(a.commit, 1);
	id = tb_mbox(t, "user.ann^lee", &st);
	assert_int_equal(st.messages, 1);
	assert_int_equal(st.unseen, 1);
	assert_int_equal(st.recent, 1);
	assert_int_equal(st.first_unseen, 1);
	assert_int_equal(st.uidnext, 2);
	assert_string_equal(tb_body(t, id, 1, &sb), PREFIX MSG1);
	/* Again: the same id. */
	a = tb_deliver1(t, &d);
	assert_int_equal(a.result, STORE_DUPLICATE);
	assert_int_equal(a.commit, 1);
	(void)tb_mbox(t, "user.ann^lee", &st);
	assert_int_equal(st.messages, 1);
	tb_barrier(t);
	assert_int_equal(tb_deliver1(t, &d).commit, 0);
	/* Cache. */
	assert_int_equal(store_reader_msgs_at(t->r, id, &uid, 1, &m, &err), STORE_GET_OK);
	assert_int_equal(m.internaldate, 1000);
	assert_int_equal(store_reader_cached_row(t->r, &m, &c), STORE_GET_OK);
	assert_int_equal(c.header_len, strlen(PREFIX MSG1) - 7);
	assert_true(sv_find(c.envelope, SV_LIT("\"one\"")) >= 0);
	assert_true(c.bodystructure.len > 10);
	store_cached_free(&c);
	assert_int_equal(store_reader_cached(t->r, id, &m, &c, &err), STORE_GET_OK);
	store_cached_free(&c);
	sb_free(&sb);
}

static void
test_refusals(void **state)
{
	struct testbox *t = *state;
	struct store_delivery d;
	struct store_answer a;

	tb_source(t, "seg", MSG1);
	d = tb_delivery("bob", "lists");
	d.to = STORE_TO_MAILBOX;
	d.mailbox = SV_LIT("user.bob.Lists");
	d.dflags = 0;
	a = tb_deliver1(t, &d);
	assert_int_equal(a.result, STORE_PERM);
	assert_string_equal(a.status, "5.1.1");
	d.dflags = STORE_D_CREATE;
	assert_int_equal(tb_deliver1(t, &d).result, STORE_INDEXED);
	/* Another one's folder. */
	d = tb_delivery("ann", "m");
	d.to = STORE_TO_MAILBOX;
	d.mailbox = SV_LIT("user.bob.Lists");
	assert_int_equal(tb_deliver1(t, &d).result, STORE_PERM);
	d = tb_delivery("bob", "m");
	d.path = SV_LIT("var/spool/../../etc/passwd");
	assert_int_equal(tb_deliver1(t, &d).result, STORE_TEMP);
	d.path = SV_LIT("etc/passwd");
	assert_int_equal(tb_deliver1(t, &d).result, STORE_TEMP);
	d.path = SV_LIT("var/spool/none");
	assert_int_equal(tb_deliver1(t, &d).result, STORE_TEMP);
	d = tb_delivery("bob", "m");
	d.len = 1000;			/* shorter than said */
	assert_int_equal(tb_deliver1(t, &d).result, STORE_TEMP);
	d = tb_delivery("bob", "");
	assert_int_equal(tb_deliver1(t, &d).result, STORE_TEMP);
	d = tb_delivery("bo^b", "m");
	assert_int_equal(tb_deliver1(t, &d).result, STORE_PERM);
	/* A good one after all of that. */
	d = tb_delivery("bob", "good");
	assert_int_equal(tb_deliver1(t, &d).result, STORE_INDEXED);
}

static void
test_links(void **state)
{
	struct testbox *t = *state;
	struct store_delivery d;
	struct store_answer a;
	struct store_status st;
	struct stat sb1, sb2;
	char p[256];
	uint64_t ann, bob;

	tb_source(t, "seg", MSG1);
	tb_begin(t);
	d = tb_delivery("ann", "m");
	store_writer_deliver(t->w, &d, &a);
	assert_int_equal(a.result, STORE_INDEXED);
	d = tb_delivery("bob", "m");
	store_writer_deliver(t->w, &d, &a);
	assert_int_equal(a.result, STORE_INDEXED);
	d = tb_delivery("cid", "m");
	d.prefix = SV_NULL;
	store_writer_deliver(t->w, &d, &a);
	assert_int_equal(a.result, STORE_INDEXED);
	tb_commit(t);
	ann = tb_mbox(t, "user.ann", &st);
	bob = tb_mbox(t, "user.bob", &st);
	assert_int_equal(stat(tb_path(t, ann, 1, p, sizeof(p)), &sb1), 0);
	assert_int_equal(stat(tb_path(t, bob, 1, p, sizeof(p)), &sb2), 0);
	assert_int_equal(sb1.st_ino, sb2.st_ino);
	assert_int_equal(sb1.st_nlink, 2);
}

/* Deliver <n> messages to ann, ids m0... */
static uint64_t
fill(struct testbox *t, const char *user, unsigned n)
{
	char name[64], id[32];
	struct store_status st;

	tb_source(t, "seg", MSG1);
	tb_begin(t);
	for (unsigned i = 0; i < n; i++) {
		struct store_delivery d;
		struct store_answer a;

		snprintf(id, sizeof(id), "m%u", i);
		d = tb_delivery(user, id);
		store_writer_deliver(t->w, &d, &a);
		assert_int_equal(a.result, STORE_INDEXED);
	}
	tb_commit(t);
	snprintf(name, sizeof(name), "user.%s", user);
	return (tb_mbox(t, name, &st));
}

static uint64_t
set_flags(struct testbox *t, uint64_t id, uint32_t first, uint32_t last, enum store_flag_op op, unsigned sys,
    const char *kw, uint64_t since, store_ranges *failed)
{
	struct sv k = sv_cstr(kw);
	struct store_flags f = { .sys = sys, .keywords = &k, .nkeywords = kw != NULL };
	struct store_range r = { first, last };
	struct err err = ERR_INIT;
	uint64_t modseq;

	tb_begin(t);
	tb_ok(store_writer_flags(t->w, SV_NULL, id, &r, 1, op, &f, since, failed, &modseq, &err), &err);
	tb_commit(t);
	return (modseq);
}

static uint32_t
expunge(struct testbox *t, uint64_t id, uint32_t first, uint32_t last, bool deleted)
{
	struct store_range r = { first, last };
	struct err err = ERR_INIT;
	uint32_t n;

	tb_begin(t);
	tb_ok(store_writer_expunge(t->w, SV_NULL, id, &r, 1, deleted, &n, &err), &err);
	tb_commit(t);
	return (n);
}

static void
test_flags(void **state)
{
	struct testbox *t = *state;
	uint64_t id = fill(t, "ann", 10), modseq, m2;
	struct store_status st;
	struct store_msg m[10];
	struct store_keywords kw;
	store_ranges failed = VEC_INIT;
	struct err err = ERR_INIT;
	size_t n;

	modseq = set_flags(t, id, 2, 4, STORE_FLAGS_ADD, STORE_SEEN | STORE_DELETED, "$Work", UINT64_MAX, NULL);
	(void)tb_mbox(t, "user.ann", &st);
	assert_int_equal(st.unseen, 7);
	assert_int_equal(st.deleted, 3);
	assert_int_equal(st.highestmodseq, modseq);
	assert_int_equal(store_reader_msgs(t->r, id, 1, UINT32_MAX, m, 10, &n, &err), STORE_GET_OK);
	assert_int_equal(n, 10);
	assert_int_equal(m[1].flags, STORE_SEEN | STORE_DELETED);
	assert_int_equal(m[1].keywords, 1);
	assert_int_equal(m[1].modseq, modseq);
	assert_int_equal(m[4].flags, 0);
	assert_int_equal(store_reader_keywords(t->r, id, &kw, &err), STORE_GET_OK);
	assert_int_equal(kw.n, 1);
	assert_string_equal(kw.name[0], "$Work");
	store_keywords_free(&kw);
	/* No change, no modseq. */
	assert_int_equal(set_flags(t, id, 2, 4, STORE_FLAGS_ADD, STORE_SEEN, NULL, UINT64_MAX, NULL), 0);
	/* RFC 7162: those that changed since are left alone. */
	m2 = set_flags(t, id, 1, 4, STORE_FLAGS_SET, STORE_FLAGGED, NULL, modseq - 1, &failed);
	assert_true(m2 > modseq);
	assert_int_equal(failed.len, 1);
	assert_int_equal(failed.p[0].first, 2);
	assert_int_equal(failed.p[0].last, 4);
	vec_free(&failed);
	(void)set_flags(t, id, 1, 10, STORE_FLAGS_REMOVE, STORE_SEEN | STORE_DELETED, "$Work", UINT64_MAX, NULL);
	(void)tb_mbox(t, "user.ann", &st);
	assert_int_equal(st.unseen, 10);
	assert_int_equal(st.deleted, 0);
}

static void
test_view(void **state)
{
	struct testbox *t = *state;
	uint64_t id = fill(t, "ann", 10), old;
	struct store_view v, w;
	struct store_changes ch;
	store_ranges gone = VEC_INIT;
	struct err err = ERR_INIT;

	assert_int_equal(store_view_open(t->r, id, &v, &err), STORE_GET_OK);
	assert_int_equal(store_view_open(t->r, id, &w, &err), STORE_GET_OK);
	assert_int_equal(v.messages, 10);
	assert_ptr_equal(v.uids, w.uids);
	old = v.modseq;
	assert_int_equal(store_view_seq(&v, 3), 3);
	(void)set_flags(t, id, 5, 6, STORE_FLAGS_ADD, STORE_DELETED, NULL, UINT64_MAX, NULL);
	(void)set_flags(t, id, 9, 9, STORE_FLAGS_ADD, STORE_SEEN, NULL, UINT64_MAX, NULL);
	assert_int_equal(expunge(t, id, 1, UINT32_MAX, true), 2);
	struct store_delivery d = tb_delivery("ann", "new");

	assert_int_equal(tb_deliver1(t, &d).result, STORE_INDEXED);
	/* Expunges have to wait. */
	assert_int_equal(store_view_sync(t->r, &v, false, &ch, &err), STORE_GET_OK);
	assert_int_equal(v.messages, 11);
	assert_int_equal(ch.expunged_seq.len, 0);
	assert_int_equal(ch.added, 1);
	assert_int_equal(ch.changed.len, 1);
	assert_int_equal(ch.changed.p[0], 9);
	store_changes_free(&ch);
	/* Now they are told, the last first. */
	assert_int_equal(store_view_sync(t->r, &v, true, &ch, &err), STORE_GET_OK);
	assert_int_equal(v.messages, 9);
	assert_int_equal(ch.expunged_seq.len, 2);
	assert_int_equal(ch.expunged_seq.p[0], 6);
	assert_int_equal(ch.expunged_seq.p[1], 5);
	assert_int_equal(ch.expunged_uid.p[0], 5);
	assert_int_equal(ch.added, 0);
	assert_int_equal(ch.changed.len, 0);
	store_changes_free(&ch);
	/* The other session meets all at once, and shares the result. */
	assert_int_equal(store_view_sync(t->r, &w, true, &ch, &err), STORE_GET_OK);
	assert_int_equal(ch.expunged_seq.len, 2);
	assert_int_equal(ch.added, 1);
	assert_ptr_equal(v.uids, w.uids);
	assert_int_equal(store_view_seq(&w, 5), 0);
	assert_int_equal(store_view_seq(&w, 7), 5);
	assert_int_equal(store_view_below(&w, 5), 4);
	store_changes_free(&ch);
	assert_int_equal(store_reader_changes(t->r, id, old, NULL, NULL, &gone, &err), STORE_GET_OK);
	assert_int_equal(gone.len, 1);
	assert_int_equal(gone.p[0].first, 5);
	assert_int_equal(gone.p[0].last, 6);
	vec_clear(&gone);
	/* Further back than the log reaches: whatever is not there. */
	assert_int_equal(store_reader_changes(t->r, id, 0, NULL, NULL, &gone, &err), STORE_GET_OK);
	assert_int_equal(gone.len, 1);
	vec_free(&gone);
	store_view_close(t->r, &v);
	store_view_close(t->r, &w);
}

/* The log is pruned: a view that lags behind looks at all records. */
static void
test_long_log(void **state)
{
	struct testbox *t = *state;
	uint64_t id = fill(t, "ann", 5);
	struct store_view v;
	struct store_changes ch;
	struct store_range r = { 2, 2 }, x = { 4, 4 };
	struct store_flags f = { .sys = STORE_FLAGGED };
	struct err err = ERR_INIT;
	uint64_t modseq;
	uint32_t n;

	assert_int_equal(store_view_open(t->r, id, &v, &err), STORE_GET_OK);
	tb_begin(t);
	tb_ok(store_writer_expunge(t->w, SV_NULL, id, &x, 1, false, &n, &err), &err);
	for (int i = 0; i < 5000; i++)
		tb_ok(store_writer_flags(t->w, SV_NULL, id, &r, 1, i % 2 == 0 ? STORE_FLAGS_ADD : STORE_FLAGS_REMOVE,
		    &f, UINT64_MAX, NULL, &modseq, &err), &err);
	tb_commit(t);
	assert_int_equal(store_view_sync(t->r, &v, true, &ch, &err), STORE_GET_OK);
	assert_int_equal(ch.changed.len, 1);
	assert_int_equal(ch.expunged_uid.len, 1);
	assert_int_equal(ch.expunged_uid.p[0], 4);
	store_changes_free(&ch);
	store_view_close(t->r, &v);
}

static void
test_expunge_files(void **state)
{
	struct testbox *t = *state;
	uint64_t id = fill(t, "ann", 3);
	struct store_delivery d = tb_delivery("ann", "m1");
	struct store_status st;
	struct stat s;
	char p[256];
	struct err err = ERR_INIT;

	(void)tb_path(t, id, 2, p, sizeof(p));
	assert_int_equal(expunge(t, id, 2, 2, false), 1);
	/* The file stays until the barrier, the message is gone at once. */
	assert_int_equal(stat(p, &s), 0);
	(void)tb_mbox(t, "user.ann", &st);
	assert_int_equal(st.messages, 2);
	tb_barrier(t);
	assert_int_equal(stat(p, &s), -1);
	assert_false(store_writer_untidy(t->w));
	/* What was deleted does not come back: its id is known. */
	assert_int_equal(tb_deliver1(t, &d).result, STORE_DUPLICATE);
	tb_begin(t);
	tb_ok(store_writer_forget(t->w, 7, NULL, 0, &err), &err);
	tb_commit(t);
	assert_int_equal(tb_deliver1(t, &d).result, STORE_INDEXED);
}

static void
test_forget(void **state)
{
	struct testbox *t = *state;
	struct store_delivery d = tb_delivery("ann", "m1");
	const struct sv keep[] = { SV_LIT("m12"), SV_LIT("x"), SV_LIT("m1") };
	const uint64_t live[] = { 7, 8 };
	struct sv *many = calloc(100000, sizeof(*many));
	struct err err = ERR_INIT;

	/* More than a frame holds: nothing is asked for, and nobody waits for ever. */
	for (size_t i = 0; i < 100000; i++)
		many[i] = SV_LIT("1abcde-000001-AA");
	tb_ok(store_forget(NULL, 7, many, 100000, &err), &err);
	free(many);

	(void)fill(t, "ann", 3);
	tb_begin(t);
	tb_ok(store_writer_forget(t->w, 7, keep, 3, &err), &err);
	tb_commit(t);
	assert_int_equal(tb_deliver1(t, &d).result, STORE_DUPLICATE);
	tb_begin(t);
	tb_ok(store_writer_forget_others(t->w, live, 2, &err), &err);
	tb_commit(t);
	assert_int_equal(tb_deliver1(t, &d).result, STORE_DUPLICATE);
	d.message = SV_LIT("m0");
	assert_int_equal(tb_deliver1(t, &d).result, STORE_INDEXED);
	tb_begin(t);
	tb_ok(store_writer_forget_message(t->w, 7, SV_LIT("m1"), &err), &err);
	tb_commit(t);
	assert_int_equal(tb_deliver1(t, &d).result, STORE_DUPLICATE);
	d.message = SV_LIT("m1");
	assert_int_equal(tb_deliver1(t, &d).result, STORE_INDEXED);
	tb_begin(t);
	tb_ok(store_writer_forget_others(t->w, live + 1, 1, &err), &err);
	tb_commit(t);
	assert_int_equal(tb_deliver1(t, &d).result, STORE_INDEXED);
}

static void
test_copy_move(void **state)
{
	struct testbox *t = *state;
	uint64_t id = fill(t, "ann", 5), to;
	struct store_range r[] = { { 1, 2 }, { 4, 9 } };
	struct store_copied c;
	struct store_status st;
	struct store_keywords kw;
	struct sb sb = SB_INIT(65536);
	struct err err = ERR_INIT;

	(void)set_flags(t, id, 1, 1, STORE_FLAGS_ADD, STORE_SEEN, "first", UINT64_MAX, NULL);
	(void)set_flags(t, id, 2, 2, STORE_FLAGS_ADD, 0, "second", UINT64_MAX, NULL);
	tb_begin(t);
	memset(&c, 0, sizeof(c));
	assert_int_equal(store_writer_copy(t->w, SV_LIT("ann"), id, r, 2, SV_LIT("user.ann.Work"), false, &c, &err),
	    -1);
	assert_string_equal(err.status, STORE_E_NONE);
	tb_ok(store_writer_create(t->w, SV_LIT("ann"), SV_LIT("user.ann.Work"), &to, &err), &err);
	tb_ok(store_writer_copy(t->w, SV_LIT("ann"), id, r, 2, SV_LIT("user.ann.Work"), false, &c, &err), &err);
	tb_commit(t);
	assert_int_equal(c.from.len, 2);
	assert_int_equal(c.to.len, 1);
	assert_int_equal(c.to.p[0].last, 4);
	store_copied_free(&c);
	assert_int_equal(tb_mbox(t, "user.ann.Work", &st), to);
	assert_int_equal(st.messages, 4);
	assert_int_equal(st.unseen, 3);
	assert_string_equal(tb_body(t, to, 3, &sb), PREFIX MSG1);
	assert_int_equal(store_reader_keywords(t->r, to, &kw, &err), STORE_GET_OK);
	assert_int_equal(kw.n, 2);
	store_keywords_free(&kw);
	tb_begin(t);
	tb_ok(store_writer_copy(t->w, SV_LIT("ann"), id, r, 1, SV_LIT("user.ann.Work"), true, &c, &err), &err);
	tb_commit(t);
	store_copied_free(&c);
	(void)tb_mbox(t, "user.ann", &st);
	assert_int_equal(st.messages, 3);
	tb_barrier(t);
	assert_string_equal(tb_body(t, to, 5, &sb), PREFIX MSG1);
	sb_free(&sb);
}

static void
test_append(void **state)
{
	struct testbox *t = *state;
	struct sv kws[] = { SV_LIT("$Junk") };
	struct store_flags f = { .sys = STORE_SEEN | STORE_DRAFT, .keywords = kws, .nkeywords = 1 };
	struct store_appended a;
	struct sb sb = SB_INIT(65536);
	struct err err = ERR_INIT;
	char path[192];
	uint64_t id;
	int fd;

	tb_source(t, "up", "xx" MSG1);
	snprintf(path, sizeof(path), "%s/var/spool/up", t->root);
	fd = open(path, O_RDONLY);
	tb_begin(t);
	tb_ok(store_writer_ensure_inbox(t->w, SV_LIT("ann"), &id, &err), &err);
	tb_ok(store_writer_append(t->w, SV_LIT("ann"), SV_LIT("user.ann"), fd, 2, strlen(MSG1), &f, 5, &a, &err), &err);
	assert_int_equal(store_writer_append(t->w, SV_LIT("bob"), SV_LIT("user.ann"), fd, 2, strlen(MSG1), &f, 5, &a,
	    &err), -1);
	assert_string_equal(err.status, STORE_E_NONE);
	tb_commit(t);
	close(fd);
	assert_int_equal(a.uid, 1);
	assert_string_equal(tb_body(t, id, 1, &sb), MSG1);
	sb_free(&sb);
}

/* A message of more than one buffer. */
static void
test_large(void **state)
{
	struct testbox *t = *state;
	struct store_delivery d = tb_delivery("ann", "big");
	struct store_range all = { 1, UINT32_MAX };
	struct store_status st;
	struct store_cached c;
	struct store_msg m;
	struct err err = ERR_INIT;
	size_t n = 1000003, got;
	char *text = malloc(n + 1);
	struct sb sb = SB_INIT(2000000);
	uint64_t id;

	memset(text, 'x', n);
	memcpy(text, MSG1, strlen(MSG1));
	text[n] = '\0';
	tb_source(t, "seg", text);
	d.len = n;
	assert_int_equal(tb_deliver1(t, &d).result, STORE_INDEXED);
	id = tb_mbox(t, "user.ann", &st);
	assert_int_equal(st.size, n + strlen(PREFIX));
	assert_true(strcmp(tb_body(t, id, 1, &sb) + strlen(PREFIX), text) == 0);
	assert_int_equal(store_reader_msgs(t->r, id, 1, 9, &m, 1, &got, &err), STORE_GET_OK);
	assert_int_equal(store_reader_cached_row(t->r, &m, &c), STORE_GET_NONE);
	assert_int_equal(store_reader_cached(t->r, id, &m, &c, &err), STORE_GET_OK);
	store_cached_free(&c);
	store_writer_cache(t->w, id, &all, 1);
	assert_int_equal(store_reader_cached_row(t->r, &m, &c), STORE_GET_OK);
	store_cached_free(&c);
	sb_free(&sb);
	free(text);
}

static bool
collect_name(void *arg, struct sv name, uint64_t mbox, unsigned rights)
{
	struct sb *sb = arg;

	(void)mbox;
	(void)rights;
	sb_add(sb, name);
	sb_addc(sb, ' ');
	return (true);
}

static bool
collect_sub(void *arg, struct sv name)
{
	return (collect_name(arg, name, 0, 0));
}

static void
test_mailboxes(void **state)
{
	struct testbox *t = *state;
	const struct sv ann = SV_LIT("ann");
	struct sb sb = SB_INIT(4096);
	struct err err = ERR_INIT;
	struct store_status st;
	uint64_t id, id2;
	uint32_t validity;

	tb_begin(t);
	tb_ok(store_writer_ensure_inbox(t->w, ann, &id, &err), &err);
	tb_ok(store_writer_ensure_inbox(t->w, SV_LIT("ann2"), &id, &err), &err);
	tb_ok(store_writer_create(t->w, ann, SV_LIT("user.ann.A"), &id, &err), &err);
	tb_ok(store_writer_create(t->w, ann, SV_LIT("user.ann.A.B"), &id2, &err), &err);
	assert_int_equal(store_writer_create(t->w, ann, SV_LIT("user.ann.A"), &id, &err), -1);
	assert_string_equal(err.status, STORE_E_EXISTS);
	assert_int_equal(store_writer_create(t->w, ann, SV_LIT("user.bob.A"), &id, &err), -1);
	assert_int_equal(store_writer_create(t->w, ann, SV_LIT("shared.A"), &id, &err), -1);
	assert_int_equal(store_writer_create(t->w, ann, SV_LIT("user.ann..x"), &id, &err), -1);
	tb_ok(store_writer_create(t->w, SV_NULL, SV_LIT("shared"), &id, &err), &err);
	tb_ok(store_writer_set_acl(t->w, SV_NULL, SV_LIT("shared"), ann, SV_LIT("lrk"), &err), &err);
	tb_ok(store_writer_create(t->w, ann, SV_LIT("shared.A"), &id, &err), &err);
	tb_ok(store_writer_subscribe(t->w, ann, SV_LIT("user.ann.A"), true, &err), &err);
	tb_ok(store_writer_subscribe(t->w, ann, SV_LIT("user.ann.Z"), true, &err), &err);
	tb_ok(store_writer_subscribe(t->w, ann, SV_LIT("user.ann.Z"), false, &err), &err);
	tb_commit(t);
	tb_ok(store_reader_list(t->r, SV_LIT("user.ann"), ann, collect_name, &sb, &err), &err);
	assert_string_equal(sb_cstr(&sb), "user.ann user.ann.A user.ann.A.B ");
	sb_clear(&sb);
	tb_ok(store_reader_list(t->r, SV_NULL, ann, collect_name, &sb, &err), &err);
	assert_string_equal(sb_cstr(&sb), "shared shared.A user.ann user.ann.A user.ann.A.B ");
	sb_clear(&sb);
	tb_ok(store_reader_subscriptions(t->r, ann, collect_sub, &sb, &err), &err);
	assert_string_equal(sb_cstr(&sb), "user.ann.A ");
	assert_true(store_reader_has_children(t->r, SV_LIT("user.ann.A")));
	assert_false(store_reader_has_children(t->r, SV_LIT("user.ann.A.B")));
	(void)tb_mbox(t, "user.ann.A", &st);
	validity = st.uidvalidity;
	id = st.id;
	/* Rename takes what is below along; ids stay. */
	tb_begin(t);
	assert_int_equal(store_writer_rename(t->w, ann, SV_LIT("user.ann.A"), SV_LIT("user.ann.A.C"), &err), -1);
	assert_int_equal(store_writer_rename(t->w, ann, SV_LIT("user.ann"), SV_LIT("user.ann.X"), &err), -1);
	assert_int_equal(store_writer_rename(t->w, SV_LIT("bob"), SV_LIT("user.ann.A"), SV_LIT("user.bob.A"), &err),
	    -1);
	tb_ok(store_writer_rename(t->w, ann, SV_LIT("user.ann.A"), SV_LIT("user.ann.X"), &err), &err);
	tb_commit(t);
	assert_int_equal(tb_mbox(t, "user.ann.X", &st), id);
	assert_int_equal(st.uidvalidity, validity);
	assert_int_equal(tb_mbox(t, "user.ann.X.B", &st), id2);
	/* Deleted and made again: another mailbox. */
	tb_begin(t);
	tb_ok(store_writer_delete(t->w, ann, SV_LIT("user.ann.X"), &err), &err);
	assert_int_equal(store_writer_delete(t->w, ann, SV_LIT("user.ann"), &err), -1);
	tb_ok(store_writer_create(t->w, ann, SV_LIT("user.ann.X"), &id2, &err), &err);
	tb_commit(t);
	assert_true(id2 != id);
	assert_int_equal(store_reader_status_id(t->r, id, false, &st, &err), STORE_GET_NONE);
	(void)tb_mbox(t, "user.ann.X", &st);
	assert_true(st.uidvalidity != validity);
	tb_barrier(t);
	sb_free(&sb);
}

/* At the reserve nothing comes in, and expunging goes on. */
static void
test_reserve(void **state)
{
	struct testbox *t = *state;
	struct store_writer_opts o = tb_opts(t);
	struct store_delivery d = tb_delivery("ann", "late");
	struct store_answer a;
	struct err err = ERR_INIT;
	uint64_t id = fill(t, "ann", 3);

	store_writer_close(&t->w);
	o.reserve_min = INT64_MAX / 2;
	tb_ok(store_writer_open(&t->w, &o, &err), &err);
	a = tb_deliver1(t, &d);
	assert_int_equal(a.result, STORE_TEMP);
	assert_string_equal(a.status, STORE_E_FULL);
	assert_int_equal(expunge(t, id, 1, 2, false), 2);
	tb_barrier(t);
}

static bool
has_range(struct testbox *t, uint64_t id, unsigned range)
{
	char rel[STORE_BODY_PATH_MAX], path[192];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s/%x", t->mail, store_path_mailbox(id, rel), range);
	return (stat(path, &st) == 0);
}

/* Each 1,024 UIDs have a directory, which goes with the last of them; an index is made anew from all. */
static void
ranges(struct testbox *t, uint64_t id)
{
	struct store_writer_opts o = tb_opts(t);
	struct store_status st;
	struct err err = ERR_INIT;
	char cmd[256];

	assert_true(has_range(t, id, 0) && has_range(t, id, 1));
	assert_int_equal(expunge(t, id, 1, 1022, false), 1022);
	tb_barrier(t);
	tb_barrier(t);
	assert_true(has_range(t, id, 0));
	assert_int_equal(expunge(t, id, 1023, 1023, false), 1);
	tb_barrier(t);
	assert_true(!has_range(t, id, 0) && has_range(t, id, 1));
	store_reader_close(&t->r);
	store_writer_close(&t->w);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s/index'", t->mail);
	assert_int_equal(system(cmd), 0);
	tb_ok(store_reconstruct(&o, &err), &err);
	tb_writer(t);
	tb_reader(t);
	id = tb_mbox(t, "user.ann", &st);
	assert_int_equal(st.messages, 1500 - 1023);
}

/* UIDs never come twice, and the mailbox file stays ahead of them. */
static void
test_many(void **state)
{
	struct testbox *t = *state;
	struct store_status st;
	uint64_t id = 0;

	for (unsigned i = 0; i < 3; i++) {
		char mid[32];

		tb_begin(t);
		for (unsigned j = 0; j < 500; j++) {
			struct store_delivery d;
			struct store_answer a;

			tb_source(t, "seg", MSG1);
			snprintf(mid, sizeof(mid), "%u-%u", i, j);
			d = tb_delivery("ann", mid);
			store_writer_deliver(t->w, &d, &a);
			assert_int_equal(a.result, STORE_INDEXED);
		}
		tb_commit(t);
	}
	id = tb_mbox(t, "user.ann", &st);
	assert_int_equal(st.messages, 1500);
	struct store_msg *m = calloc(1500, sizeof(*m));
	uint32_t uids[] = { 1, 2, 700, 701, 1499, 1500, 1501 };
	struct err err = ERR_INIT;
	size_t n;

	assert_int_equal(store_reader_msgs(t->r, id, 1, UINT32_MAX, m, 1500, &n, &err), STORE_GET_OK);
	assert_int_equal(n, 1500);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(m[i].uid, i + 1);
	assert_int_equal(store_reader_msgs_at(t->r, id, uids, 7, m, &err), STORE_GET_OK);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(m[i].uid, uids[i]);
	assert_int_equal(m[6].uid, 0);
	free(m);
	ranges(t, id);
}

/* What a reader remembers of a mailbox is what the records say, whatever happened since it looked. */
static void
test_counts(void **state)
{
	struct testbox *t = *state;
	uint64_t id = fill(t, "ann", 20);
	unsigned seed = 7, next = 100;
	struct err err = ERR_INIT;

	for (unsigned step = 0; step < 600; step++) {
		struct store_msg m[400];
		struct store_status st;
		struct store_delivery d;
		uint32_t recent = 0, unseen = 0, first, at;
		char mid[32];
		size_t n;

		seed = seed * 1103515245 + 12345;
		at = 1 + (seed >> 8) % 60;
		switch ((seed >> 20) % 8) {
		case 0: case 1:
			snprintf(mid, sizeof(mid), "c%u", next++);
			d = tb_delivery("ann", mid);
			tb_source(t, "seg", MSG1);
			(void)tb_deliver1(t, &d);
			break;
		case 2: case 3: case 4:
			(void)set_flags(t, id, at, at + 8, STORE_FLAGS_ADD, STORE_SEEN, NULL, UINT64_MAX, NULL);
			break;
		case 5:
			(void)set_flags(t, id, at, at, STORE_FLAGS_REMOVE, STORE_SEEN, NULL, UINT64_MAX, NULL);
			break;
		case 6:
			(void)expunge(t, id, at, at, false);
			break;
		default:
			tb_begin(t);
			tb_ok(store_writer_claim_recent(t->w, id, &first, &err), &err);
			tb_commit(t);
		}
		if ((seed >> 4) % 3 == 0)
			continue;
		(void)tb_mbox(t, "user.ann", &st);
		assert_int_equal(store_reader_msgs(t->r, id, 1, UINT32_MAX, m, 400, &n, &err), STORE_GET_OK);
		for (size_t i = 0; i < n; i++) {
			recent += m[i].uid >= st.first_recent;
			if (unseen == 0 && (m[i].flags & STORE_SEEN) == 0)
				unseen = m[i].uid;
		}
		assert_int_equal(st.recent, recent);
		assert_int_equal(st.first_unseen, unseen);
	}
}

static bool
count_name(void *arg, struct sv name, uint64_t mbox, unsigned rights)
{
	(*(unsigned *)arg)++;
	return (true);
}

/* A list in parts has each name once. */
static void
test_list_parts(void **state)
{
	struct testbox *t = *state;
	static const unsigned sizes[] = { 1, 2, 3, 7, 100 };
	struct err err = ERR_INIT;

	for (unsigned i = 0; i < 7; i++) {
		char user[16];

		snprintf(user, sizeof(user), "user%u", i);
		(void)fill(t, user, 1);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct sb at = SB_INIT(1000);
		unsigned names = 0, parts = 1;
		int rc;

		while ((rc = store_reader_list_part(t->r, SV_LIT(""), &at, sizes[i], SV_LIT("user3"), count_name, &names, &err)) == 1)
			parts++;
		assert_int_equal(rc, 0);
		assert_int_equal(names, 1);
		assert_in_range(parts, sizes[i] < 7 ? 2 : 1, 8);
		sb_free(&at);
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, tb_setup, tb_teardown)
	const struct CMUnitTest tests[] = {
		T(test_deliver), T(test_refusals), T(test_links), T(test_flags), T(test_view), T(test_long_log),
		T(test_expunge_files), T(test_forget), T(test_copy_move), T(test_append), T(test_large),
		T(test_mailboxes), T(test_many), T(test_reserve), T(test_counts), T(test_list_parts),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
