/* SPDX-License-Identifier: BSD-2-Clause */
/* Done-logs and queue files: written, replayed, torn. */
#include <sys/stat.h>

#include <errno.h>
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

/* A disk that refuses. */
static bool sync_fails, write_fails;
static char lose[256];			/* the file whose last entry goes with a failed sync, as the system drops its pages */

int
fdatasync(int fd)
{
	struct stat st;

	(void)fd;
	if (!sync_fails)
		return (0);
	if (lose[0] != '\0') {
		int f = open(lose, O_WRONLY);

		assert_int_equal(fstat(f, &st), 0);
		assert_int_equal(ftruncate(f, st.st_size - 32), 0);
		assert_int_equal(ftruncate(f, st.st_size), 0);
		(void)close(f);
	}
	errno = EIO;
	return (-1);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t off)
{
	if (write_fails) {
		errno = ENOSPC;
		return (-1);
	}
	return (lseek(fd, off, SEEK_SET) == -1 ? -1 : write(fd, p, n));
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
	/* One damaged entry takes no other with it. */
	fd = open(path, O_WRONLY);
	assert_int_equal(lseek(fd, 32 + 9, SEEK_SET), 32 + 9);
	assert_int_equal(write(fd, "\xff", 1), 1);
	(void)close(fd);
	s.n = 0;
	assert_int_equal(spool_done_open(&d, path, see, &s, &err), 0);
	assert_int_equal(s.n, 3);
	assert_int_equal(s.e[2].state, SPOOL_ST_INTENT);
	spool_done_close(&d);
	fiber_fini();
	(void)unlink(path);
}

static void
failing_sync(void *arg)
{
	struct spool_done *d = arg;
	struct err err = ERR_INIT;

	sync_fails = true;
	assert_int_equal(spool_done_sync(d, &err), -1);
	/* A new file cannot be synced either: not yet. */
	assert_int_equal(spool_done_sync(d, &err), -1);
	sync_fails = false;
	spool_done_add(d, 128, 0, 0, SPOOL_ST_BOUNCED);
	assert_int_equal(spool_done_sync(d, &err), 0);
}

/* A sync that failed may have lost what it was to write: a later good one alone proves nothing. */
static void
done_sync_fails(void **state)
{
	struct spool_done *d;
	struct seen s = { .n = 0 };
	struct err err = ERR_INIT;
	bool sent = false, bounced = false;
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/x.done", dir);
	assert_int_equal(fiber_init(&err), 0);
	assert_int_equal(spool_done_open(&d, path, NULL, NULL, &err), 0);
	spool_done_add(d, 64, 0, 0, SPOOL_ST_LOCAL);
	spool_done_add(d, 64, 1, 0, SPOOL_ST_SENT);
	(void)snprintf(lose, sizeof(lose), "%s", path);
	(void)fiber_spawn("sync", failing_sync, d);
	fiber_run();
	lose[0] = '\0';
	spool_done_close(&d);
	assert_int_equal(spool_done_open(&d, path, see, &s, &err), 0);
	for (unsigned i = 0; i < s.n; i++) {
		sent |= s.e[i].record == 64 && s.e[i].rcpt == 1 && s.e[i].state == SPOOL_ST_SENT;
		bounced |= s.e[i].record == 128 && s.e[i].state == SPOOL_ST_BOUNCED;
	}
	assert_true(sent && bounced);
	spool_done_close(&d);
	fiber_fini();
	(void)unlink(path);
}

static void
count_entry(void *arg, const struct spool_done_entry *e)
{
	unsigned *n = arg;

	assert_int_equal(e->record, 64 * (uint64_t)++*n);
}

/* Whatever gathers while the disk is full is written when it is not; that it gathers can be seen. */
static void
done_write_fails(void **state)
{
	enum { N = 300000 };
	struct spool_done *d;
	struct err err = ERR_INIT;
	char path[128];
	unsigned n = 0;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/x.done", dir);
	assert_int_equal(spool_done_open(&d, path, NULL, NULL, &err), 0);
	write_fails = true;
	for (uint64_t i = 1; i <= N; i++) {
		spool_done_add(d, i * 64, 0, 0, SPOOL_ST_LOCAL);
		if (i % 1000 == 0)
			assert_int_equal(spool_done_write(d, &err), -1);
	}
	assert_true(spool_done_behind(d));
	write_fails = false;
	assert_int_equal(spool_done_write(d, &err), 0);
	assert_false(spool_done_behind(d));
	spool_done_close(&d);
	assert_int_equal(spool_done_open(&d, path, count_entry, &n, &err), 0);
	assert_int_equal(n, N);
	spool_done_close(&d);
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
	spool_qlog_queue(&log, SV_LIT("bulk"));
	assert_int_equal(spool_qfile_append(dir, l, sb_sv(&log), true, &err), 0);
	spool_qfile_free(&l);
	assert_int_equal(spool_qfile_load(&l, dir, id, &err), 0);
	assert_true(sv_eqs(l->env.queue, "bulk"));
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

/* What the disk refused once is written with what comes next, in its order. */
static void
queue_file_refused(void **state)
{
	struct iovec iov = { (void *)"x\r\n", 3 };
	struct spool_content c = { .iov = &iov, .niov = 1, .fd = -1 };
	struct spool_qfile *q = make(2, "x"), *l;
	struct spool_qrcpt sent = { .state = SPOOL_ST_SENT }, wait = { .state = SPOOL_ST_RETRY, .next_try = 9 };
	struct sb one = SB_INIT(4096), two = SB_INIT(4096);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(spool_qfile_create(dir, q, &c, &err), 0);
	spool_qlog_rcpt(&one, 1, &sent);
	spool_qlog_rcpt(&two, 0, &wait);
	write_fails = true;
	assert_int_equal(spool_qfile_append(dir, q, sb_sv(&one), false, &err), -1);
	spool_qfile_keep(q, sb_sv(&one));
	assert_int_equal(spool_qfile_append(dir, q, sb_sv(&two), true, &err), -1);
	write_fails = false;
	sync_fails = true;
	assert_int_equal(spool_qfile_append(dir, q, sb_sv(&two), true, &err), -1);
	sync_fails = false;
	/* The system has dropped what it could not write. */
	(void)snprintf(lose, sizeof(lose), "%s/%s", dir, q->env.id);
	assert_int_equal(truncate(lose, (off_t)(q->log_end - one.len - two.len)), 0);
	lose[0] = '\0';
	assert_int_equal(spool_qfile_append(dir, q, SV_LIT(""), true, &err), 0);
	assert_int_equal(spool_qfile_load(&l, dir, q->env.id, &err), 0);
	assert_int_equal(l->rcpts[1].state, SPOOL_ST_SENT);
	assert_true(l->rcpts[0].state == SPOOL_ST_RETRY && l->rcpts[0].next_try == 9);
	assert_int_equal(spool_qfile_remove(dir, q->env.id, true, &err), 0);
	spool_qfile_free(&l);
	spool_qfile_free(&q);
	sb_free(&one);
	sb_free(&two);
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
		cmocka_unit_test_setup_teardown(done_log, setup, teardown),
		cmocka_unit_test_setup_teardown(done_sync_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(done_write_fails, setup, teardown), cmocka_unit_test(child_hash),
		cmocka_unit_test_setup_teardown(queue_file, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_queue_file, setup, teardown), cmocka_unit_test(many_children),
		cmocka_unit_test_setup_teardown(queue_file_refused, setup, teardown),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
