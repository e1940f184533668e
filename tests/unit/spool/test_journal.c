/* SPDX-License-Identifier: BSD-2-Clause */
/* The journal: many fibers submit, all is read back; segments follow each other; errors are told. */
#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/vec.h"
#include "fiber/fiber.h"
#include "spool/reader.h"
#include "spool/writer.h"

struct world {
	char		 dir[64];
	struct spool_writer *w;
	unsigned	 fibers, left, ok, failed;
	unsigned	 each;		/* messages a fiber */
	size_t		 size;
	bool		 use_fd;
	struct hash	*ids;		/* answered */
	uint64_t	 told;		/* bytes told durable */
	unsigned	 sealed;
	char		 sealed_name[SPOOL_SEGMENT_NAME_MAX];
	struct err	 err;
};

static void
on_durable(void *arg, const char *segment, uint64_t from, uint64_t to)
{
	struct world *wd = arg;

	(void)segment;
	assert_true(to > from);
	wd->told += to - from;
}

static void
on_sealed(void *arg, const char *segment, uint64_t end)
{
	struct world *wd = arg;

	(void)end;
	wd->sealed++;
	(void)snprintf(wd->sealed_name, sizeof(wd->sealed_name), "%s", segment);
}

static void
submit_one(struct world *wd)
{
	struct spool_envelope e;
	struct spool_rcpt r = { SV_LIT("u@x.example"), SV_LIT(""), 0 };
	char *body = malloc(wd->size);
	struct iovec iov[2] = { { (void *)"Subject: x\r\n\r\n", 14 }, { body, wd->size } };
	struct spool_content c = { .iov = iov, .niov = 2, .fd = -1 };
	struct err err = ERR_INIT;
	FILE *f = NULL;

	spool_envelope_init(&e);
	memset(body, e.id[12], wd->size);
	e.sender = SV_LIT("s@y.example");
	e.rcpts = &r;
	e.nrcpts = 1;
	e.size = 14 + wd->size;
	if (wd->use_fd) {
		f = tmpfile();
		assert_int_equal(fwrite(body, 1, wd->size, f), wd->size);
		(void)fflush(f);
		c = (struct spool_content){ .iov = iov, .niov = 1, .fd = fileno(f), .off = 0, .len = (int64_t)wd->size };
	}
	if (spool_submit(wd->w, &e, &c, &err) == 0) {
		wd->ok++;
		(void)hash_set(wd->ids, sv_cstr(e.id), wd);
	} else {
		wd->failed++;
		wd->err = err;
	}
	if (f != NULL)
		(void)fclose(f);
	free(body);
}

static void
submitter(void *arg)
{
	struct world *wd = arg;

	for (unsigned i = 0; i < wd->each; i++)
		submit_one(wd);
	if (--wd->left == 0)
		spool_writer_close(&wd->w);
}

static void
start(void *arg)
{
	struct world *wd = arg;

	wd->left = wd->fibers;
	for (unsigned i = 0; i < wd->fibers; i++)
		assert_non_null(fiber_spawn("submit", submitter, wd));
}

static void
world_open(struct world *wd, int64_t segment, int64_t max)
{
	struct spool_writer_opts o = { .worker = 3, .generation = 1, .segment_size = segment, .journal_max = max,
	    .reserve_percent = 0, .reserve_min = 0, .durable = on_durable, .sealed = on_sealed, .arg = wd };
	struct err err = ERR_INIT;

	(void)snprintf(wd->dir, sizeof(wd->dir), "/tmp/test-journal.XXXXXX");
	assert_non_null(mkdtemp(wd->dir));
	wd->ids = hash_new();
	assert_int_equal(fiber_init(&err), 0);
	o.dir = wd->dir;
	assert_int_equal(spool_writer_open(&wd->w, &o, &err), 0);
}

static void
world_run(struct world *wd)
{
	start(wd);
	fiber_run();
	fiber_fini();
}

/* Read all segments; every answered id is there once.  Returns how many records there are. */
static unsigned
read_back(struct world *wd, bool whole)
{
	DIR *d = opendir(wd->dir);
	struct dirent *de;
	struct arena *a = arena_new(0);
	unsigned n = 0;

	while ((de = readdir(d)) != NULL) {
		struct spool_reader *r;
		struct spool_record rec;
		struct spool_envelope e;
		struct err err = ERR_INIT;
		char path[512];
		uint64_t off;
		unsigned worker;

		if (!spool_segment_name_valid(de->d_name, &worker, NULL, NULL))
			continue;
		assert_int_equal(worker, 3);
		(void)snprintf(path, sizeof(path), "%s/%s", wd->dir, de->d_name);
		assert_int_equal(spool_reader_open(&r, path, &err), 0);
		assert_true(spool_reader_orphan(r));
		off = spool_reader_start(r);
		while (spool_reader_next(r, off, UINT64_MAX, whole, &rec, &err) == SPOOL_READ_OK) {
			assert_int_equal(spool_envelope_decode(&e, rec.envelope, a, &err), 0);
			assert_int_equal(rec.content_len, 14 + wd->size);
			assert_ptr_equal(hash_del(wd->ids, sv_cstr(e.id)), wd);
			off = rec.next;
			n++;
			arena_reset(a);
		}
		assert_int_equal(err.cls, ERR_NONE);
		spool_reader_close(&r);
		(void)unlink(path);
	}
	(void)closedir(d);
	assert_int_equal(hash_count(wd->ids), 0);
	hash_free(&wd->ids, NULL);
	arena_free(&a);
	assert_int_equal(rmdir(wd->dir), 0);
	return (n);
}

static void
group_commit(void **state)
{
	struct world wd = { .fibers = 50, .each = 20, .size = 4000 };

	(void)state;
	world_open(&wd, 1024 * 1024, 0);
	world_run(&wd);
	assert_int_equal(wd.ok, 1000);
	assert_int_equal(wd.failed, 0);
	assert_true(wd.sealed >= 4);
	assert_true(wd.told >= 1000 * 4096);
	assert_int_equal(read_back(&wd, true), 1000);
}

static void
large_from_descriptor(void **state)
{
	struct world wd = { .fibers = 6, .each = 3, .size = 200000, .use_fd = true };

	(void)state;
	world_open(&wd, 1024 * 1024, 0);
	world_run(&wd);
	assert_int_equal(wd.ok, 18);
	assert_int_equal(read_back(&wd, true), 18);
}

static void
larger_than_a_segment(void **state)
{
	struct world wd = { .fibers = 3, .each = 1, .size = 3000000 };

	(void)state;
	world_open(&wd, 1024 * 1024, 0);
	world_run(&wd);
	assert_int_equal(wd.ok, 3);
	assert_int_equal(wd.sealed, 3);
	assert_int_equal(read_back(&wd, true), 3);
}

static void
journal_max(void **state)
{
	struct world wd = { .fibers = 4, .each = 100, .size = 10000 };

	(void)state;
	world_open(&wd, 256 * 1024, 1024 * 1024);
	world_run(&wd);
	assert_true(wd.ok > 60 && wd.failed > 0);
	assert_int_equal(wd.ok + wd.failed, 400);
	assert_int_equal(wd.err.cls, ERR_TEMP);
	assert_string_equal(wd.err.status, "4.3.1");
	assert_int_equal(read_back(&wd, true), wd.ok);
}

static void
no_room(void **state)
{
	struct world wd = { .fibers = 1, .each = 1, .size = 100 };
	struct spool_writer_opts o = { .reserve_percent = 0, .reserve_min = INT64_MAX / 4 };
	struct err err = ERR_INIT;

	(void)state;
	world_open(&wd, 1024 * 1024, 0);
	spool_writer_close(&wd.w);
	o.dir = wd.dir;
	assert_int_equal(spool_writer_open(&wd.w, &o, &err), 0);
	assert_int_equal(spool_writer_room(wd.w, 10, &err), -1);
	assert_string_equal(err.status, "4.3.1");
	world_run(&wd);
	assert_int_equal(wd.failed, 1);
	assert_int_equal(wd.err.cls, ERR_TEMP);
	assert_int_equal(read_back(&wd, true), 0);
}

/* A torn last record, and garbage behind the end, are not read. */
static void
torn_tail(void **state)
{
	struct world wd = { .fibers = 1, .each = 3, .size = 1000 };
	struct spool_reader *r;
	struct spool_record rec;
	struct err err = ERR_INIT;
	char path[256];
	uint64_t off, last = 0, content = 0;
	int fd, n = 0;

	(void)state;
	world_open(&wd, 1024 * 1024, 0);
	world_run(&wd);
	(void)snprintf(path, sizeof(path), "%s/%s", wd.dir, wd.sealed_name);
	assert_int_equal(spool_reader_open(&r, path, &err), 0);
	for (off = spool_reader_start(r); spool_reader_next(r, off, UINT64_MAX, true, &rec, &err) == SPOOL_READ_OK;
	    off = rec.next) {
		last = off;
		content = rec.content_off;
	}
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "X", 1, (off_t)content + 500), 1);
	(void)close(fd);
	spool_reader_close(&r);
	assert_int_equal(spool_reader_open(&r, path, &err), 0);
	for (off = spool_reader_start(r); spool_reader_next(r, off, UINT64_MAX, true, &rec, &err) == SPOOL_READ_OK;
	    off = rec.next)
		n++;
	assert_int_equal(n, 2);
	assert_int_equal(off, last);
	/* The header alone is still right: what a live reader with a durable offset would see. */
	assert_int_equal(spool_reader_next(r, off, UINT64_MAX, false, &rec, &err), SPOOL_READ_OK);
	/* A limit inside the record ends before it. */
	assert_int_equal(spool_reader_next(r, off, rec.next - 1000, false, &rec, &err), SPOOL_READ_END);
	spool_reader_close(&r);
	(void)unlink(path);
	assert_int_equal(rmdir(wd.dir), 0);
	hash_free(&wd.ids, NULL);
}

/* Overwrite <n> bytes. */
static void
spoil(const char *path, uint64_t off, size_t n)
{
	int fd = open(path, O_WRONLY);

	while (n-- > 0)
		assert_int_equal(pwrite(fd, "\xa5", 1, (off_t)off++), 1);
	(void)close(fd);
}

/* A damaged record in the middle is told from the end, and what is behind it is found. */
static void
damaged_middle(void **state)
{
	struct world wd = { .fibers = 1, .each = 4, .size = 5000 };
	struct spool_record_head h;
	struct spool_reader *r;
	struct spool_record rec;
	struct err err = ERR_INIT;
	uint64_t at[5], found;
	char path[256];
	int n = 0;

	(void)state;
	world_open(&wd, 1024 * 1024, 0);
	world_run(&wd);
	(void)snprintf(path, sizeof(path), "%s/%s", wd.dir, wd.sealed_name);
	assert_int_equal(spool_reader_open(&r, path, &err), 0);
	for (at[0] = spool_reader_start(r); spool_reader_next(r, at[n], UINT64_MAX, true, &rec, &err) == SPOOL_READ_OK;)
		at[++n] = rec.next;
	assert_int_equal(n, 4);
	/* It was finished and cut there: all of it was declared durable. */
	assert_int_equal(spool_reader_declared(r, at[0]), at[4]);
	spool_reader_close(&r);
	/* As a killed writer leaves it: the last record's own end is not certain. */
	assert_int_equal(truncate(path, 1024 * 1024), 0);
	spoil(path, at[1] + 8, 40);
	assert_int_equal(spool_reader_open(&r, path, &err), 0);
	assert_true(spool_reader_whole(r));
	assert_int_equal(spool_reader_next(r, at[1], UINT64_MAX, true, &rec, &err), SPOOL_READ_END);
	assert_int_equal(spool_reader_declared(r, at[1] + 64), at[3]);
	assert_true(spool_reader_seek(r, at[1] + 64, at[3], &h, &found));
	assert_int_equal(found, at[2]);
	assert_int_equal(spool_reader_next(r, found, UINT64_MAX, true, &rec, &err), SPOOL_READ_OK);
	assert_false(spool_reader_seek(r, at[3] + 64, UINT64_MAX, &h, &found));
	spool_reader_close(&r);
	/* The last one torn: nothing says that it was ever whole. */
	spoil(path, at[3] + 100, 40);
	assert_int_equal(spool_reader_open(&r, path, &err), 0);
	assert_int_equal(spool_reader_next(r, at[3], UINT64_MAX, true, &rec, &err), SPOOL_READ_END);
	assert_true(spool_reader_declared(r, at[3] + 64) <= at[3]);
	spool_reader_close(&r);
	/* Without its header the segment is what its name says. */
	spoil(path, 0, 64);
	assert_int_equal(spool_reader_open(&r, path, &err), 0);
	assert_false(spool_reader_whole(r));
	assert_int_equal(spool_reader_next(r, at[0], UINT64_MAX, true, &rec, &err), SPOOL_READ_OK);
	assert_int_equal(spool_reader_next(r, at[2], UINT64_MAX, true, &rec, &err), SPOOL_READ_OK);
	spool_reader_close(&r);
	(void)unlink(path);
	assert_int_equal(rmdir(wd.dir), 0);
	hash_free(&wd.ids, NULL);
}

/* A message whose text looks like a record is none. */
static void
forged_record(void **state)
{
	struct world wd = { .fibers = 1, .each = 1, .size = 5000 };
	struct spool_record_head h = { .envelope_len = 0, .content_len = 0 }, found;
	uint8_t head[SPOOL_RECORD_HEADER];
	struct spool_reader *r;
	struct err err = ERR_INIT;
	char path[256];
	uint64_t at;
	int fd;

	(void)state;
	world_open(&wd, 1024 * 1024, 0);
	world_run(&wd);
	(void)snprintf(path, sizeof(path), "%s/%s", wd.dir, wd.sealed_name);
	assert_int_equal(spool_reader_open(&r, path, &err), 0);
	h.segment_id = spool_reader_id(r);
	spool_record_head_put(head, &h);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, head, sizeof(head), 1024), sizeof(head));
	(void)close(fd);
	assert_false(spool_reader_seek(r, 128, UINT64_MAX, &found, &at));
	spool_reader_close(&r);
	(void)unlink(path);
	assert_int_equal(rmdir(wd.dir), 0);
	hash_free(&wd.ids, NULL);
}

static void
names(void **state)
{
	unsigned w, g;
	uint64_t id;

	(void)state;
	assert_true(spool_segment_name_valid("03-0012-00000000000v.seg", &w, &g, &id));
	assert_true(w == 3 && g == 12 && id == 31);
	assert_false(spool_segment_name_valid("03-0012-00000000000v.done", NULL, NULL, NULL));
	assert_false(spool_segment_name_valid("03-0012-00000000000V.seg", NULL, NULL, NULL));
	assert_false(spool_segment_name_valid("tmp.1.03-0012-00000000000v.seg", NULL, NULL, NULL));
	assert_false(spool_segment_name_valid("03-0012-0000000000v.seg", NULL, NULL, NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(group_commit), cmocka_unit_test(large_from_descriptor),
		cmocka_unit_test(larger_than_a_segment), cmocka_unit_test(journal_max), cmocka_unit_test(no_room),
		cmocka_unit_test(torn_tail), cmocka_unit_test(damaged_middle), cmocka_unit_test(forged_record),
		cmocka_unit_test(names),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
