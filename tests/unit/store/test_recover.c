/* SPDX-License-Identifier: BSD-2-Clause */
/* What a start finds after a crash, and the index rebuilt from files. */
#include <sys/wait.h>

#include <errno.h>

#include "testbox.h"

static bool full;

/* renameat(2) within a directory, on a disk that may be full. */
int
renameat(int from, const char *a, int to, const char *b)
{
	int here = open(".", O_RDONLY | O_DIRECTORY), rc = -1;

	if (!full && from == to && fchdir(from) == 0)
		rc = rename(a, b);
	if (fchdir(here) == -1)
		abort();
	close(here);
	if (full)
		errno = ENOSPC;
	return (rc);
}

/*
 * A crash of the writer: a child makes the changes and ends without closing; what it did not sync is
 * then damaged as a power cut would.  LMDB's environment may be open once per process.
 */
static void
in_child(struct testbox *t, void (*fn)(struct testbox *t))
{
	int status;
	pid_t pid;

	store_reader_close(&t->r);
	store_writer_close(&t->w);
	fflush(NULL);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		tb_writer(t);
		fn(t);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
reopen(struct testbox *t)
{
	t->bad = t->good = 0;
	tb_writer(t);
	tb_reader(t);
}

static void
deliver(struct testbox *t, const char *user, const char *id)
{
	struct store_delivery d = tb_delivery(user, id);
	struct store_answer a;

	store_writer_deliver(t->w, &d, &a);
	if (a.result != STORE_INDEXED)
		_exit(3);
}

static void
three_messages(struct testbox *t)
{
	tb_source(t, "seg", MSG1);
	tb_begin(t);
	deliver(t, "ann", "m1");
	deliver(t, "ann", "m2");
	deliver(t, "bob", "m2");
	tb_commit(t);
}

static void
body_path(struct testbox *t, uint64_t mbox, uint32_t uid, uint64_t oid, char *buf, size_t size)
{
	char rel[STORE_BODY_PATH_MAX];

	snprintf(buf, size, "%s/%s", t->mail, store_path_body(mbox, uid, oid, rel));
}

static void
damage(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void
test_repair(void **state)
{
	struct testbox *t = *state;
	struct store_status st;
	struct sb sb = SB_INIT(65536);
	char p[256];
	uint64_t ann, bob;

	in_child(t, three_messages);
	/* Object ids count from 1: mailbox 1 is ann's, 2 is bob's. */
	body_path(t, 1, 1, 1, p, sizeof(p));
	assert_int_equal(unlink(p), 0);
	body_path(t, 1, 2, 1, p, sizeof(p));
	assert_int_equal(truncate(p, 10), 0);
	body_path(t, 2, 1, 1, p, sizeof(p));
	assert_int_equal(unlink(p), 0);
	reopen(t);
	assert_int_equal(t->bad, 0);
	assert_int_equal(t->good, 1);
	ann = tb_mbox(t, "user.ann", &st);
	bob = tb_mbox(t, "user.bob", &st);
	assert_string_equal(tb_body(t, ann, 1, &sb), PREFIX MSG1);
	assert_string_equal(tb_body(t, ann, 2, &sb), PREFIX MSG1);
	assert_string_equal(tb_body(t, bob, 1, &sb), PREFIX MSG1);
	/* Everything is covered now: nothing to verify at the next start. */
	assert_int_equal(store_writer_barrier_done(t->w), store_writer_commits(t->w));
	tb_unsource(t, "seg");
	store_reader_close(&t->r);
	store_writer_close(&t->w);
	reopen(t);
	assert_int_equal(t->bad + t->good, 0);
	sb_free(&sb);
}

/* What cannot be repaired now is not lost: a store that opened would let the queue drop the journal's copy. */
static void
test_full_disk(void **state)
{
	struct testbox *t = *state;
	struct store_writer_opts o = tb_opts(t);
	struct store_status st;
	struct sb sb = SB_INIT(65536);
	struct err err = ERR_INIT;
	char p[256];

	in_child(t, three_messages);
	body_path(t, 1, 1, 1, p, sizeof(p));
	assert_int_equal(unlink(p), 0);
	body_path(t, 1, 2, 1, p, sizeof(p));
	assert_int_equal(unlink(p), 0);
	body_path(t, 2, 1, 1, p, sizeof(p));
	assert_int_equal(unlink(p), 0);
	full = true;
	assert_int_equal(store_writer_open(&t->w, &o, &err), -1);
	full = false;
	assert_null(t->w);
	reopen(t);
	assert_int_equal(t->bad, 0);
	assert_string_equal(tb_body(t, tb_mbox(t, "user.ann", &st), 1, &sb), PREFIX MSG1);
	sb_free(&sb);
}

/* The source is gone, or holds something else: the message stays and is UNAVAILABLE, told at each start. */
static void
test_lost(void **state)
{
	struct testbox *t = *state;
	struct store_status st;
	struct store_range r = { 1, 1 };
	struct sb sb = SB_INIT(65536);
	struct err err = ERR_INIT;
	char p[256];
	uint64_t ann;
	uint32_t n;

	in_child(t, three_messages);
	body_path(t, 1, 1, 1, p, sizeof(p));
	assert_int_equal(unlink(p), 0);
	body_path(t, 2, 1, 1, p, sizeof(p));
	assert_int_equal(unlink(p), 0);
	tb_source(t, "seg", "From: somebody else entirely, of the same length\r\n\r\n");
	reopen(t);
	assert_int_equal(t->bad, 2);
	ann = tb_mbox(t, "user.ann", &st);
	assert_int_equal(st.messages, 2);
	assert_string_equal(tb_body(t, ann, 1, &sb), "unavailable");
	assert_string_equal(tb_body(t, ann, 2, &sb), PREFIX MSG1);
	store_reader_close(&t->r);
	store_writer_close(&t->w);
	/* Once it is expunged nobody misses it; the other can be had again. */
	tb_source(t, "seg", MSG1);
	reopen(t);
	assert_int_equal(t->bad, 0);
	assert_string_equal(tb_body(t, ann, 1, &sb), PREFIX MSG1);
	tb_begin(t);
	tb_ok(store_writer_expunge(t->w, SV_NULL, ann, &r, 1, false, &n, &err), &err);
	tb_commit(t);
	sb_free(&sb);
}

static void
copy_and_expunge(struct testbox *t)
{
	struct store_range all = { 1, UINT32_MAX };
	struct store_copied c;
	struct err err = ERR_INIT;
	uint64_t id;

	tb_source(t, "seg", MSG1);
	tb_begin(t);
	deliver(t, "ann", "m1");
	tb_commit(t);
	tb_begin(t);
	memset(&c, 0, sizeof(c));
	if (store_writer_create(t->w, SV_LIT("ann"), SV_LIT("user.ann.Old"), &id, &err) == -1 ||
	    store_writer_copy(t->w, SV_LIT("ann"), 1, &all, 1, SV_LIT("user.ann.Old"), true, &c, &err) == -1)
		_exit(4);
	tb_commit(t);
}

/* A copy of a message that was itself not on disk yet, and moved away meanwhile. */
static void
test_copy_lost(void **state)
{
	struct testbox *t = *state;
	struct store_status st;
	struct sb sb = SB_INIT(65536);
	char p[256];

	in_child(t, copy_and_expunge);
	body_path(t, 1, 1, 1, p, sizeof(p));
	assert_int_equal(unlink(p), 0);
	body_path(t, 2, 1, 1, p, sizeof(p));
	assert_int_equal(unlink(p), 0);
	reopen(t);
	assert_int_equal(t->bad, 0);
	assert_string_equal(tb_body(t, tb_mbox(t, "user.ann.Old", &st), 1, &sb), PREFIX MSG1);
	(void)tb_mbox(t, "user.ann", &st);
	assert_int_equal(st.messages, 0);
	sb_free(&sb);
}

static void
uncommitted(struct testbox *t)
{
	tb_source(t, "seg", MSG1);
	tb_begin(t);
	deliver(t, "ann", "m1");
	tb_commit(t);
	/* Written, not committed: the batch dies with us. */
	tb_begin(t);
	deliver(t, "ann", "m2");
	deliver(t, "carl", "m2");
}

static void
test_uncommitted(void **state)
{
	struct testbox *t = *state;
	struct store_delivery d;
	struct store_status st;
	struct sb sb = SB_INIT(65536);
	char p[256];
	struct stat s;

	in_child(t, uncommitted);
	body_path(t, 1, 2, 2, p, sizeof(p));
	assert_int_equal(stat(p, &s), 0);
	damage(p, "what a crash left there");
	reopen(t);
	(void)tb_mbox(t, "user.ann", &st);
	assert_int_equal(st.messages, 1);
	/* The same UID is given out again, and the file is replaced. */
	d = tb_delivery("ann", "m2");
	assert_int_equal(tb_deliver1(t, &d).result, STORE_INDEXED);
	assert_string_equal(tb_body(t, tb_mbox(t, "user.ann", &st), 2, &sb), PREFIX MSG1);
	d = tb_delivery("dora", "m2");
	assert_int_equal(tb_deliver1(t, &d).result, STORE_INDEXED);
	assert_string_equal(tb_body(t, tb_mbox(t, "user.dora", &st), 1, &sb), PREFIX MSG1);
	sb_free(&sb);
}

static void
expunged(struct testbox *t)
{
	struct store_range r = { 1, 1 };
	struct err err = ERR_INIT;
	uint32_t n;

	three_messages(t);
	tb_begin(t);
	if (store_writer_expunge(t->w, SV_NULL, 1, &r, 1, false, &n, &err) == -1)
		_exit(5);
	tb_commit(t);
}

/* A deletion stays one; the file goes after the start. */
static void
test_expunged(void **state)
{
	struct testbox *t = *state;
	struct store_status st;
	struct stat s;
	char p[256];

	in_child(t, expunged);
	reopen(t);
	(void)tb_mbox(t, "user.ann", &st);
	assert_int_equal(st.messages, 1);
	struct store_delivery d = tb_delivery("ann", "m1");

	assert_int_equal(tb_deliver1(t, &d).result, STORE_DUPLICATE);
	tb_barrier(t);
	body_path(t, 1, 1, 1, p, sizeof(p));
	assert_int_equal(stat(p, &s), -1);
}

/* After a failed barrier all bodies since the last good one are new files. */
static void
test_reconstruct(void **state)
{
	struct testbox *t = *state;
	struct store_writer_opts o = tb_opts(t);
	struct store_flags f = { .sys = STORE_FLAGGED };
	struct store_range r = { 2, 2 }, one = { 1, 1 };
	struct store_status st, before;
	struct store_msg m[3];
	struct sb sb = SB_INIT(65536);
	struct err err = ERR_INIT;
	char cmd[256];
	uint64_t modseq, ann;
	uint32_t n;
	size_t got;

	three_messages(t);
	tb_begin(t);
	deliver(t, "ann", "m3");
	tb_ok(store_writer_flags(t->w, SV_NULL, 1, &r, 1, STORE_FLAGS_ADD, &f, UINT64_MAX, NULL, &modseq, &err), &err);
	tb_ok(store_writer_expunge(t->w, SV_NULL, 1, &one, 1, false, &n, &err), &err);
	tb_ok(store_writer_subscribe(t->w, SV_LIT("ann"), SV_LIT("user.ann"), true, &err), &err);
	tb_commit(t);
	(void)tb_mbox(t, "user.ann", &before);
	store_reader_close(&t->r);
	store_writer_close(&t->w);
	/* With the old index: flags stay, the expunged message does not come back. */
	tb_ok(store_reconstruct(&o, &err), &err);
	reopen(t);
	ann = tb_mbox(t, "user.ann", &st);
	assert_int_equal(st.messages, 2);
	assert_int_equal(st.uidvalidity, before.uidvalidity);
	assert_int_equal(st.uidnext, before.uidnext);
	assert_int_equal(store_reader_msgs(t->r, ann, 1, 99, m, 3, &got, &err), STORE_GET_OK);
	assert_int_equal(m[0].flags, STORE_FLAGGED);
	struct store_delivery d = tb_delivery("ann", "m1");

	assert_int_equal(tb_deliver1(t, &d).result, STORE_DUPLICATE);
	tb_barrier(t);
	store_reader_close(&t->r);
	store_writer_close(&t->w);
	/* Without it: names, UIDs and bodies are there, and UIDs go on above the reserve. */
	snprintf(cmd, sizeof(cmd), "rm -rf '%s/index' '%s/index.old'", t->mail, t->mail);
	assert_int_equal(system(cmd), 0);
	tb_ok(store_reconstruct(&o, &err), &err);
	reopen(t);
	ann = tb_mbox(t, "user.ann", &st);
	assert_int_equal(st.messages, 2);
	assert_int_equal(st.uidvalidity, before.uidvalidity);
	assert_true(st.uidnext >= 1000);
	assert_string_equal(tb_body(t, ann, 2, &sb), PREFIX MSG1);
	(void)tb_mbox(t, "user.bob", &st);
	d.message = SV_LIT("m9");
	assert_int_equal(tb_deliver1(t, &d).result, STORE_INDEXED);
	sb_free(&sb);
}

/* A barrier that fails cannot be made to here; writing again is the same as after one. */
static void
test_cache_after_crash(void **state)
{
	struct testbox *t = *state;
	struct store_cached c;
	struct store_msg m;
	struct store_status st;
	struct err err = ERR_INIT;
	uint64_t ann;
	uint32_t uid = 1;

	in_child(t, three_messages);
	reopen(t);
	ann = tb_mbox(t, "user.ann", &st);
	assert_int_equal(store_reader_msgs_at(t->r, ann, &uid, 1, &m, &err), STORE_GET_OK);
	/* The cache was not closed: a new one, empty; the row is made on demand. */
	assert_int_equal(store_reader_cached_row(t->r, &m, &c), STORE_GET_NONE);
	assert_int_equal(store_reader_cached(t->r, ann, &m, &c, &err), STORE_GET_OK);
	assert_true(c.envelope.len > 0);
	store_cached_free(&c);
	struct store_range all = { 1, 9 };

	store_writer_cache(t->w, ann, &all, 1);
	assert_int_equal(store_reader_cached_row(t->r, &m, &c), STORE_GET_OK);
	store_cached_free(&c);
	/* Closed cleanly it is kept. */
	store_reader_close(&t->r);
	store_writer_close(&t->w);
	reopen(t);
	assert_int_equal(store_reader_cached_row(t->r, &m, &c), STORE_GET_OK);
	store_cached_free(&c);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, tb_setup, tb_teardown)
	const struct CMUnitTest tests[] = {
		T(test_repair), T(test_full_disk), T(test_lost), T(test_copy_lost), T(test_uncommitted), T(test_expunged),
		T(test_cache_after_crash), T(test_reconstruct),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
