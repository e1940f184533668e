/* SPDX-License-Identifier: BSD-2-Clause */
/* Jobs and results on their way between processes, and a job done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mbox/mbox.h"
#include "transport/child.h"
#include "transport/transport.h"

/* The frame without its length word, on the heap. */
static char *
wire(const struct sb *frame, size_t *n)
{
	*n = frame->len - 4;
	return (memcpy(malloc(*n), frame->p + 4, *n));
}

static void
test_there_and_back(void **state)
{
	struct sv rcpts[] = { SV_LIT("a@b.test"), SV_LIT(""), SV_LIT("c@d.test") };
	struct transport_job j = { .kind = TRANSPORT_PIPE, .uid = 1000, .gid = -1, .transport = SV_LIT("t"),
	    .header = SV_LIT("A: b\r\n\r\n"), .rcpts = { rcpts, 3 }, .timeout = INT64_MAX };
	struct arena *a = arena_new(0);
	struct sb frame = SB_INIT(IPC_FRAME_MAX);
	struct transport_job back;
	struct transport_result r;
	struct ipc_msg m;
	size_t n;
	char *p;

	ipc_begin(&frame, TRANSPORT_IPC_JOB);
	assert_true(transport_job_put(&frame, &j));
	p = wire(&frame, &n);
	assert_true(ipc_parse(&m, sv_from(p, n)));
	assert_true(transport_job_get(&m, a, &back));
	assert_int_equal(back.kind, TRANSPORT_PIPE);
	assert_int_equal(back.gid, -1);
	assert_int_equal(back.timeout, INT64_MAX);
	assert_true(sv_eq(back.header, j.header));
	assert_int_equal(back.rcpts.n, 3);
	assert_true(sv_eqs(back.rcpts.v[2], "c@d.test"));
	assert_int_equal(back.argv.n, 0);
	/* A number where a text should be. */
	ipc_begin(&frame, TRANSPORT_IPC_JOB);
	ipc_put_u64(&frame, 1, TRANSPORT_JOB_VERSION);
	ipc_put_u64(&frame, 3, 7);
	free(p);
	p = wire(&frame, &n);
	assert_true(ipc_parse(&m, sv_from(p, n)));
	assert_false(transport_job_get(&m, a, &back));
	/* Another version; a status that is none. */
	ipc_begin(&frame, TRANSPORT_IPC_JOB);
	ipc_put_u64(&frame, 1, TRANSPORT_JOB_VERSION + 1);
	free(p);
	p = wire(&frame, &n);
	assert_true(ipc_parse(&m, sv_from(p, n)));
	assert_false(transport_job_get(&m, a, &back));
	ipc_begin(&frame, TRANSPORT_IPC_JOB);
	r = (struct transport_result){ .status = 9 };
	assert_true(transport_result_put(&frame, &r));
	free(p);
	p = wire(&frame, &n);
	assert_true(ipc_parse(&m, sv_from(p, n)));
	assert_false(transport_result_get(&m, a, &r));
	free(p);
	sb_free(&frame);
	arena_free(&a);
}

static struct transport_job
pipe_job(struct transport_list argv)
{
	return ((struct transport_job){ .kind = TRANSPORT_PIPE, .transport = SV_LIT("t"), .uid = (int64_t)geteuid(),
	    .gid = (int64_t)getegid(), .argv = argv, .search = SV_LIT("/bin:/usr/bin"), .timeout = 10, .max_output = 2000, .umask = 022,
	    .header = SV_LIT("Subject: x\r\n\r\nbody\r\n") });
}

static void
test_pipe(void **state)
{
	static const struct {
		const char *script, *temp;
		bool ret, ignore;
		int64_t status;
		const char *text, *output;
	} t[] = {
		{ "cat >/dev/null", "75", false, false, TRANSPORT_OK, "", "" },
		{ "cat", "75", true, false, TRANSPORT_FAIL, "return message generated", "Subject: x\n\nbody\n" },
		{ "exit 1", "75", false, false, TRANSPORT_FAIL, "Child process of t transport returned 1 from command: /bin/sh", "" },
		{ "exit 75", "75:73", false, false, TRANSPORT_DEFER,
		    "Child process of t transport returned 75 (could mean temporary error) from command: /bin/sh", "" },
		{ "exit 9", "*", false, false, TRANSPORT_DEFER, "Child process of t transport returned 9 from command: /bin/sh", "" },
		{ "exit 9", "75", false, true, TRANSPORT_OK, "", "" },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct sv words[] = { SV_LIT("/bin/sh"), SV_LIT("-c"), sv_cstr(t[i].script) }, temp[] = { SV_LIT("73"), SV_LIT("75") };
		struct transport_job j = pipe_job((struct transport_list){ words, 3 });
		struct arena *a = arena_new(0);
		struct transport_result r;

		if (t[i].temp[0] == '*')
			temp[0] = SV_LIT("*");
		j.temp_errors = (struct transport_list){ temp, 2 };
		j.return_output = t[i].ret;
		j.ignore_status = t[i].ignore;
		transport_run(&j, -1, 30, a, &r);
		assert_int_equal(r.status, t[i].status);
		assert_true(sv_eqs(r.text, t[i].text));
		assert_true(sv_eqs(r.output, t[i].output));
		arena_free(&a);
	}
}

/* What was said of MAIL and of the content holds, though nobody is there to hear QUIT. */
static void
test_lmtp(void **state)
{
	static const struct {
		const char *script;
		int64_t status;
		const char *text;
	} t[] = {
		{ "echo 220 hi; read x; echo 250 ok; read x; exec 0<&-; echo 550 no", TRANSPORT_FAIL,
		    "LMTP error after MAIL FROM:<s@t.test>: 550 no" },
		{ "echo 220 hi; read x; echo 250 ok; read x; exec 0<&-; echo 450 no", TRANSPORT_DEFER,
		    "LMTP error after MAIL FROM:<s@t.test>: 450 no" },
		{ "echo 220 hi; read x; echo 250 ok; read x; echo 250 ok; read x; exec 0<&-; echo 550 no", TRANSPORT_OK, "" },
		{ "echo 220 hi; read x; echo 250 ok; read x; echo 250 ok; read x; echo 250 ok; read x; echo 354 go; "
		    "while read x && [ \"${x#.}\" = \"$x\" ]; do :; done; exec 0<&-; echo 250 taken", TRANSPORT_OK, "" },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct sv words[] = { SV_LIT("/bin/sh"), SV_LIT("-c"), sv_cstr(t[i].script) }, rcpts[] = { SV_LIT("a@b.test") };
		struct transport_job j = pipe_job((struct transport_list){ words, 3 });
		struct arena *a = arena_new(0);
		struct transport_result r;

		j.kind = TRANSPORT_LMTP;
		j.sender = SV_LIT("s@t.test");
		j.hostname = SV_LIT("t.test");
		j.rcpts = (struct transport_list){ rcpts, 1 };
		transport_run(&j, -1, 30, a, &r);
		assert_int_equal(r.status, t[i].status);
		assert_true(sv_eqs(r.text, t[i].text));
		assert_false(r.host);
		arena_free(&a);
	}
}

static void
test_file(void **state)
{
	char path[] = "/tmp/vpost-job.XXXXXX";
	struct transport_job j = { .kind = TRANSPORT_APPENDFILE, .transport = SV_LIT("t"), .uid = (int64_t)geteuid(),
	    .gid = (int64_t)getegid(), .header = SV_LIT("A: b\r\n\r\n.x\r\n"), .bsmtp = 1, .sender = SV_LIT("s@t.test"),
	    .box_flags = MBOX_CHECK_OWNER | MBOX_LOCK_FCNTL, .size_known = -1 };
	struct sv rcpts[] = { SV_LIT("a@b.test") };
	struct arena *a = arena_new(0);
	struct transport_result r;
	char got[256];
	int fd = mkstemp(path);
	ssize_t n;

	j.path = sv_cstr(path);
	j.rcpts = (struct transport_list){ rcpts, 1 };
	transport_run(&j, -1, 30, a, &r);
	assert_int_equal(r.status, TRANSPORT_OK);
	n = read(fd, got, sizeof(got) - 1);
	assert_true(n > 0);
	got[n] = '\0';
	assert_string_equal(got, "MAIL FROM:<s@t.test>\nRCPT TO:<a@b.test>\nDATA\nA: b\n\n..x\n.\n");
	(void)close(fd);
	(void)unlink(path);
	j.kind = 77;
	transport_run(&j, -1, 30, a, &r);
	assert_int_equal(r.status, TRANSPORT_DEFER);
	arena_free(&a);
}

/* What vqueued and the spawner say about children; and what neither may take for it. */
static void
test_children(void **state)
{
	struct transport_user u = { .uid = 1001, .gid = 100, .name = SV_LIT("ann") }, back;
	struct sb frame = SB_INIT(IPC_FRAME_MAX);
	struct ipc_msg m;
	int64_t pid;
	bool yes;
	size_t n;
	char *p;

	transport_child_put(&frame, &u);
	p = wire(&frame, &n);
	assert_true(ipc_parse(&m, sv_from(p, n)));
	assert_true(transport_child_get(&m, &back));
	assert_true(back.uid == 1001 && back.gid == 100 && sv_eqs(back.name, "ann"));
	assert_false(transport_child_answer_get(&m, &pid, &yes));
	assert_false(transport_child_end_get(&m, &pid, &yes));
	free(p);
	u.name = SV_LIT("a\0n");
	transport_child_put(&frame, &u);
	p = wire(&frame, &n);
	assert_true(ipc_parse(&m, sv_from(p, n)));
	assert_false(transport_child_get(&m, &back));
	free(p);
	transport_child_answer_put(&frame, 4711, true);
	p = wire(&frame, &n);
	assert_true(ipc_parse(&m, sv_from(p, n)));
	assert_true(transport_child_answer_get(&m, &pid, &yes));
	assert_true(pid == 4711 && yes);
	free(p);
	transport_child_end_put(&frame, 4711, false);
	p = wire(&frame, &n);
	assert_true(ipc_parse(&m, sv_from(p, n)));
	assert_true(transport_child_end_get(&m, &pid, &yes));
	assert_true(pid == 4711 && !yes);
	free(p);
	sb_free(&frame);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_children),
	    cmocka_unit_test(test_pipe), cmocka_unit_test(test_lmtp), cmocka_unit_test(test_file) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
