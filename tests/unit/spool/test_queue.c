/* SPDX-License-Identifier: BSD-2-Clause */
/* Done-logs and queue files: written, replayed, torn. */
#include <sys/stat.h>

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

#include "fiber/fiber.h"
#include "spool/queuefile.h"

static char dir[64];

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/test-queue.XXXXXX");
	return (mkdtemp(dir) == NULL ? -1 : 0);
}

static int
teardown(void **state)
{
	(void)state;
	return (rmdir(dir));
}

/* Of directories only: files are synced by fdatasync(2). */
static unsigned fsyncs;

int
fsync(int fd)
{
	(void)fd;
	fsyncs++;
	return (0);
}

struct seen {
	struct spool_done_entry e[16];
	unsigned n;
};

static void
see(void *arg, const struct spool_done_entry *e)
{
	struct seen *s = arg;

	s->e[s->n++] = *e;
}

static void
sync_fiber(void *arg)
{
	struct err err = ERR_INIT;

	assert_int_equal(spool_done_sync(arg, &err), 0);
}

static void
done_log(void **state)
{
	struct spool_done *d;
	struct seen s = { .n = 0 };
	struct err err = ERR_INIT;
	char path[128];
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/x.done", dir);
	assert_int_equal(fiber_init(&err), 0);
	assert_int_equal(spool_done_open(&d, path, see, &s, &err), 0);
	assert_int_equal(s.n, 0);
	spool_done_add(d, 64, 0, 0, SPOOL_ST_LOCAL);
	spool_done_add(d, 4096, 7, 99, SPOOL_ST_SENT);
	assert_true(spool_done_pending(d));
	assert_int_equal(spool_done_write(d, &err), 0);
	assert_false(spool_done_pending(d));
	spool_done_add(d, 8192, SPOOL_ALL, 0, SPOOL_ST_COPIED);
	fsyncs = 0;
	(void)fiber_spawn("sync", sync_fiber, d);
	(void)fiber_spawn("sync", sync_fiber, d);
	fiber_run();
	/* Its name as well: without it a power cut takes the whole log. */
	assert_int_equal(fsyncs, 1);
	spool_done_close(&d);
	/* A torn tail is cut, and what is written behind it is found. */
	fd = open(path, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, "0123456789", 10), 10);
	(void)close(fd);
	assert_int_equal(spool_done_open(&d, path, see, &s, &err), 0);
	assert_int_equal(s.n, 3);
	assert_true(s.e[1].record == 4096 && s.e[1].rcpt == 7 && s.e[1].child == 99 && s.e[1].state == SPOOL_ST_SENT);
	assert_true(s.e[2].rcpt == SPOOL_ALL && s.e[2].state == SPOOL_ST_COPIED);
	spool_done_add(d, 12288, 1, 0, SPOOL_ST_INTENT);
	assert_int_equal(spool_done_write(d, &err), 0);
	spool_done_close(&d);
	s.n = 0;
	assert_int_equal(spool_done_open(&d, path, see, &s, &err), 0);
	assert_int_equal(s.n, 4);
	assert_int_equal(s.e[3].state, SPOOL_ST_INTENT);
	spool_done_close(&d);
	fiber_fini();
	(void)unlink(path);
}

static void
child_hash(void **state)
{
	(void)state;
	assert_true(spool_child("smtp", SV_LIT("a@X.example")) == spool_child("smtp", SV_LIT("a@x.EXAMPLE")));
	assert_false(spool_child("smtp", SV_LIT("A@x.example")) == spool_child("smtp", SV_LIT("a@x.example")));
	assert_false(spool_child("smtp", SV_LIT("a@x.example")) == spool_child("store", SV_LIT("a@x.example")));
}

static struct spool_qfile *
make(unsigned nrcpts, const char *text)
{
	struct spool_qfile *q = spool_qfile_new();

	spool_envelope_init(&q->env);
	q->env.sender = SV_LIT("s@y.example");
	q->env.nrcpts = nrcpts;
	q->env.rcpts = arena_zalloc(q->arena, nrcpts * sizeof(*q->env.rcpts));
	q->rcpts = arena_zalloc(q->arena, nrcpts * sizeof(*q->rcpts));
	for (unsigned i = 0; i < nrcpts; i++)
		q->env.rcpts[i] = (struct spool_rcpt){ sv_cstr(arena_fmt(q->arena, "u%u@x.example", i)), SV_LIT(""), 0 };
	q->rcpts[0].state = SPOOL_ST_RETRY;
	q->rcpts[0].text = sv_cstr(text);
	q->rcpts[0].next_try = 77;
	q->origin = 4711;
	return (q);
}

static void
count_id(void *arg, const char *id)
{
	unsigned *n = arg;

	assert_int_equal(strlen(id), SPOOL_ID_LEN);
	(*n)++;
}

static void
queue_file(void **state)
{
	struct iovec iov = { (void *)"Subject: x\r\n\r\nbody\r\n", 20 };
	struct spool_content c = { .iov = &iov, .niov = 1, .fd = -1 };
	struct spool_qfile *q = make(3, "451 not now"), *l;
	struct spool_qrcpt st = { .state = SPOOL_ST_SENT, .last_try = 5 };
	struct sb log = SB_INIT(65536);
	struct err err = ERR_INIT;
	char path[128], buf[20], id[SPOOL_ID_SIZE];
	unsigned n = 0;
	int fd;

	(void)state;
	vec_push(&q->children, ((struct spool_qchild){ 42, 1, SPOOL_ST_LOCAL }));
	assert_int_equal(spool_qfile_create(dir, q, &c, &err), 0);
	memcpy(id, q->env.id, sizeof(id));
	spool_qlog_rcpt(&log, 2, &st);
	spool_qlog_frozen(&log, true, 1234);
	assert_int_equal(spool_qfile_append(dir, q, sb_sv(&log), true, &err), 0);
	spool_qfile_free(&q);
	/* Torn: half an entry of a log that was being written. */
	(void)snprintf(path, sizeof(path), "%s/%s", dir, id);
	fd = open(path, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, log.p, 17), 17);
	(void)close(fd);
	assert_int_equal(spool_qfile_load(&l, dir, id, &err), 0);
	assert_int_equal(l->env.nrcpts, 3);
	assert_true(l->origin == 4711 && l->frozen && l->frozen_at == 1234);
	assert_true(l->rcpts[0].state == SPOOL_ST_RETRY && l->rcpts[0].next_try == 77 && sv_eqs(l->rcpts[0].text, "451 not now"));
	assert_true(l->rcpts[1].state == SPOOL_ST_OPEN && l->rcpts[2].state == SPOOL_ST_SENT);
	assert_true(l->children.len == 1 && l->children.p[0].child == 42);
	fd = open(path, O_RDONLY);
	assert_int_equal(pread(fd, buf, 20, (off_t)l->content_off), 20);
	assert_memory_equal(buf, "Subject: x\r\n\r\nbody\r\n", 20);
	(void)close(fd);
	/* What is appended behind the torn entry counts. */
	sb_clear(&log);
	spool_qlog_frozen(&log, false, 0);
	spool_qlog_warned(&log, 2, 99);
	assert_int_equal(spool_qfile_append(dir, l, sb_sv(&log), true, &err), 0);
	spool_qfile_free(&l);
	assert_int_equal(spool_qfile_load(&l, dir, id, &err), 0);
	assert_true(!l->frozen && l->warnings == 2 && l->warned_at == 99 && l->rcpts[2].state == SPOOL_ST_SENT);
	spool_qfile_free(&l);
	/* A scan sees it and removes what a dead process left. */
	(void)snprintf(path, sizeof(path), "%s/tmp.2147483000.x", dir);
	(void)close(open(path, O_WRONLY | O_CREAT, 0600));
	assert_int_equal(spool_qfile_scan(dir, true, count_id, &n, &err), 0);
	assert_int_equal(n, 1);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(spool_qfile_remove(dir, id, true, &err), 0);
	assert_int_equal(spool_qfile_load(&l, dir, id, &err), -1);
	sb_free(&log);
}

/* As many children as a list has members: each is found by its last entry. */
static void
many_children(void **state)
{
	enum { N = 65000 };
	struct spool_qfile *q = make(1, "x");
	struct sb log = SB_INIT(64 * 1024 * 1024);

	(void)state;
	for (unsigned round = 0; round < 2; round++)
		for (uint32_t i = 0; i < N; i++) {
			struct spool_qchild c = { .child = (uint64_t)i * 977 + 1, .rcpt = 0,
			    .state = round == 0 ? SPOOL_ST_INTENT : SPOOL_ST_SENT };

			spool_qlog_child(&log, &c);
		}
	assert_int_equal(spool_qlog_apply(q, sb_sv(&log)), log.len);
	assert_int_equal(q->children.len, N);
	for (uint32_t i = 0; i < N; i++)
		assert_true(q->children.p[i].child == (uint64_t)i * 977 + 1 && q->children.p[i].state == SPOOL_ST_SENT);
	sb_free(&log);
	spool_qfile_free(&q);
}

static void
damaged_queue_file(void **state)
{
	struct iovec iov = { (void *)"x\r\n", 3 };
	struct spool_content c = { .iov = &iov, .niov = 1, .fd = -1 };
	struct spool_qfile *q = make(1, "x"), *l;
	struct err err = ERR_INIT;
	char path[128];
	int fd;

	(void)state;
	assert_int_equal(spool_qfile_create(dir, q, &c, &err), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, q->env.id);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "\xff", 1, 80), 1);
	(void)close(fd);
	assert_int_equal(spool_qfile_load(&l, dir, q->env.id, &err), -1);
	assert_null(l);
	assert_int_equal(err.cls, ERR_PERM);
	(void)unlink(path);
	spool_qfile_free(&q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(done_log, setup, teardown), cmocka_unit_test(child_hash),
		cmocka_unit_test_setup_teardown(queue_file, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_queue_file, setup, teardown), cmocka_unit_test(many_children),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
