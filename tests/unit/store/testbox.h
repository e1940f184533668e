/* SPDX-License-Identifier: BSD-2-Clause */
/* A box in a temporary directory for tests of the store. */
#ifndef TESTBOX_H
#define TESTBOX_H

#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>

#include <cmocka.h>

#include "store/reader.h"
#include "store/record.h"
#include "store/writer.h"

struct testbox {
	char		 root[64];
	char		 mail[80];
	struct store_writer *w;
	struct store_reader *r;
	unsigned	 bad;		/* reports */
	unsigned	 good;
};

#define MAP_SIZE	((uint64_t)64 << 20)

static inline void
tb_report(void *arg, bool bad, const char *text)
{
	struct testbox *t = arg;

	if (getenv("VERBOSE") != NULL)
		fprintf(stderr, "%s: %s\n", bad ? "bad" : "good", text);
	if (bad)
		t->bad++;
	else
		t->good++;
}

static inline struct store_writer_opts
tb_opts(struct testbox *t)
{
	return ((struct store_writer_opts){ .box = t->root, .dir = t->mail, .map_size = MAP_SIZE, .reserve_percent = 0,
	    .reserve_min = 0, .report = tb_report, .arg = t });
}

static inline void
tb_ok(int rc, const struct err *err)
{
	if (rc != 0)
		fail_msg("%d %s %s", (int)err->cls, err->status, err->text);
}

static inline void
tb_writer(struct testbox *t)
{
	struct store_writer_opts o = tb_opts(t);
	struct err err = ERR_INIT;

	tb_ok(store_writer_open(&t->w, &o, &err), &err);
}

static inline void
tb_reader(struct testbox *t)
{
	struct err err = ERR_INIT;

	tb_ok(store_reader_open(&t->r, t->mail, MAP_SIZE, &err), &err);
}

static inline int
tb_setup(void **state)
{
	struct testbox *t = calloc(1, sizeof(*t));
	char path[128];

	snprintf(t->root, sizeof(t->root), "/tmp/vpost-store-XXXXXX");
	assert_non_null(mkdtemp(t->root));
	snprintf(t->mail, sizeof(t->mail), "%s/var/mail", t->root);
	snprintf(path, sizeof(path), "%s/var", t->root);
	mkdir(path, 0700);
	mkdir(t->mail, 0700);
	snprintf(path, sizeof(path), "%s/var/spool", t->root);
	mkdir(path, 0700);
	tb_writer(t);
	tb_reader(t);
	*state = t;
	return (0);
}

static inline int
tb_teardown(void **state)
{
	struct testbox *t = *state;
	char cmd[128];
	int rc;

	store_reader_close(&t->r);
	store_writer_close(&t->w);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", t->root);
	rc = system(cmd);
	free(t);
	return (rc);
}

static inline void
tb_begin(struct testbox *t)
{
	struct err err = ERR_INIT;

	tb_ok(store_writer_begin(t->w, &err), &err);
}

static inline void
tb_commit(struct testbox *t)
{
	struct err err = ERR_INIT;

	tb_ok(store_writer_commit(t->w, NULL, NULL, &err), &err);
	store_writer_fill_cache(t->w);
}

/* Put a source file into the spool. */
static inline void
tb_source(struct testbox *t, const char *name, const char *text)
{
	char path[192];
	FILE *f;

	snprintf(path, sizeof(path), "%s/var/spool/%s", t->root, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static inline void
tb_unsource(struct testbox *t, const char *name)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/var/spool/%s", t->root, name);
	unlink(path);
}

#define MSG1 "From: a@b.example\r\nSubject: one\r\n\r\nHello\r\n"
#define PREFIX "Return-Path: <a@b.example>\r\n"

static inline struct store_delivery
tb_delivery(const char *user, const char *msgid)
{
	return ((struct store_delivery){ .origin = 7, .message = sv_cstr(msgid), .rcpt = sv_cstr(user), .action = 0,
	    .to = STORE_TO_USER, .user = sv_cstr(user), .dflags = STORE_D_CREATE, .prefix = SV_LIT(PREFIX),
	    .path = SV_LIT("var/spool/seg"), .off = 0, .len = sizeof(MSG1) - 1, .sender = SV_LIT("a@b.example"),
	    .date = 1000 });
}

static inline struct store_answer
tb_deliver1(struct testbox *t, const struct store_delivery *d)
{
	struct store_answer a;

	tb_begin(t);
	store_writer_deliver(t->w, d, &a);
	tb_commit(t);
	return (a);
}

static inline uint64_t
tb_mbox(struct testbox *t, const char *name, struct store_status *st)
{
	struct err err = ERR_INIT;

	assert_int_equal(store_reader_status(t->r, sv_cstr(name), SV_NULL, true, st, NULL, &err), STORE_GET_OK);
	return (st->id);
}

/* Path of a message's file. */
static inline const char *
tb_path(struct testbox *t, uint64_t mbox, uint32_t uid, char *buf, size_t size)
{
	char rel[STORE_BODY_PATH_MAX];
	struct store_msg m;
	struct err err = ERR_INIT;

	assert_int_equal(store_reader_msgs_at(t->r, mbox, &uid, 1, &m, &err), STORE_GET_OK);
	assert_int_equal(m.uid, uid);
	snprintf(buf, size, "%s/%s", t->mail, store_path_body(mbox, uid, m.oid, rel));
	return (buf);
}

/* The body as text, or the status of the failure. */
static inline const char *
tb_body(struct testbox *t, uint64_t mbox, uint32_t uid, struct sb *sb)
{
	struct store_msg m;
	struct err err = ERR_INIT;

	sb_clear(sb);
	assert_int_equal(store_reader_msgs_at(t->r, mbox, &uid, 1, &m, &err), STORE_GET_OK);
	if (m.uid == 0)
		return ("gone");
	if (store_body_read(t->r, mbox, &m, 0, UINT32_MAX, sb, &err) != STORE_GET_OK)
		return (strcmp(err.status, STORE_E_BODY) == 0 ? "unavailable" : "error");
	return (sb_cstr(sb));
}

/* The writer dies without closing, as in a crash. */
static inline void
tb_barrier(struct testbox *t)
{
	struct err err = ERR_INIT;

	tb_ok(store_writer_barrier(t->w, &err), &err);
	tb_begin(t);
	(void)store_writer_tidy(t->w, 1000);
	tb_commit(t);
}

#endif
