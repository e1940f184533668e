/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of the machine as expansions and routers read them: whole ones, none without an end, none that block. */
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

#include "exim/conf.h"
#include "exim/env.h"
#include "exim/perl.h"

#define MAX	1000

static char dir[64];

static const char *
file(struct arena *a, const char *name)
{
	return (name[0] == '/' ? name : arena_fmt(a, "%s/%s", dir, name));
}

static void
make(const char *name, size_t len, off_t size)
{
	struct arena *a = arena_new(0);
	int fd = open(file(a, name), O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_true(fd != -1);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(ftruncate(fd, size), 0);
	(void)close(fd);
	arena_free(&a);
}

static void
readfile(void **state)
{
	static const struct { const char *name; int error; size_t len; } t[] = {
		{ "empty", 0, 0 }, { "short", 0, 17 }, { "full", 0, MAX }, { "over", EFBIG, 0 }, { "sparse", EFBIG, 0 },
		{ "none", ENOENT, 0 }, { "fifo", EINVAL, 0 }, { "link", EINVAL, 0 }, { "/dev/zero", EINVAL, 0 }, { "/", EISDIR, 0 },
		{ "/dev/null", 0, 0 },
	};
	struct arena *a = arena_new(0);
	struct exim_world w;

	(void)state;
	exim_world_posix(&w);
	make("empty", 0, 0);
	make("short", 17, 17);
	make("full", MAX, MAX);
	make("over", MAX + 1, MAX + 1);
	make("sparse", 0, (off_t)1 << 40);
	assert_int_equal(mkfifo(file(a, "fifo"), 0600), 0);
	assert_int_equal(symlink("/dev/zero", file(a, "link")), 0);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct sv text = SV_NULL;
		struct stat st;
		int rc = w.readfile(NULL, file(a, t[i].name), MAX, a, &text, &st);
		int error = rc == 0 ? 0 : errno;

		if (error != t[i].error)
			fail_msg("%s: %s", t[i].name, strerror(error));
		assert_int_equal(text.len, t[i].len);
		assert_true((st.st_mode == 0) == (t[i].error == ENOENT));
		assert_int_equal(w.readfile(NULL, file(a, t[i].name), MAX, a, &text, NULL), rc);
	}
	arena_free(&a);
}

/* What says nothing of its length is given up as well. */
static void
endless(void **state)
{
	struct arena *a = arena_new(0);
	struct exim_world w;
	struct sv text = SV_NULL;

	(void)state;
	exim_world_posix(&w);
	if (access("/proc/self/status", R_OK) == 0) {
		assert_int_equal(w.readfile(NULL, "/proc/self/status", 65536, a, &text, NULL), 0);
		assert_true(text.len > 100);
		assert_int_equal(w.readfile(NULL, "/proc/self/status", 100, a, &text, NULL), -1);
		assert_int_equal(errno, EFBIG);
	}
	arena_free(&a);
}

/* A program that closes its output and goes on is ended when its time is over. */
static void
quiet_program(void **state)
{
	static const char *const argv[] = { "/bin/sh", "-c", "echo x; exec >&- 2>&-; sleep 20", NULL };
	static const char *const good[] = { "/bin/sh", "-c", "echo x; exit 3", NULL };
	struct exim_run r = { .argv = argv, .timeout = 1, .max = 100, .merge_stderr = true };
	struct arena *a = arena_new(0);
	struct err err = ERR_INIT;
	struct exim_world w;
	struct sv out;
	int rc;

	(void)state;
	exim_world_posix(&w);
	assert_int_equal(w.run(NULL, &r, a, &out, &rc, &err), EXIM_DEFER);
	r.argv = good;
	r.timeout = 20;
	assert_int_equal(w.run(NULL, &r, a, &out, &rc, &err), EXIM_OK);
	assert_int_equal(rc, 3);
	assert_true(sv_eqs(out, "x\n"));
	arena_free(&a);
}

/* A process that reads its configuration anew, more often than there may be interpreters, gets one with the new code. */
static void
perls(void **state)
{
	struct exim_world w;

	(void)state;
	if (system("perl -e 1 >/dev/null 2>&1") != 0)
		skip();
	exim_world_posix(&w);
	for (int i = 0; i < 12; i++) {
		struct exim_report rep = EXIM_REPORT_INIT;
		struct exim_conf_source src = { .path = "t", .hostname = "host.test" };
		struct exim_conf *c = NULL;
		struct exim_env env;
		struct sv out;
		char text[128], want[16];

		(void)snprintf(text, sizeof(text), "perl_startup = sub f { return \"%d-$_[0]\" }\n", i);
		src.text = sv_cstr(text);
		assert_int_equal(exim_conf_load(&c, &src, &rep, NULL), 0);
		exim_conf_env(c, &env);
		env.arena = arena_new(0);
		env.world = &w;
		(void)snprintf(want, sizeof(want), "%d-x", i);
		for (int again = 0; again < 2; again++) {
			enum exim_result r = x_perl(&env, SV_LIT("f"), &SV_LIT("x"), 1, &out);

			if (r != EXIM_OK || !sv_eqs(out, want))
				fail_msg("%d: %d " SV_FMT, i, r, SV_ARG(out));
		}
		arena_free(&env.arena);
		exim_conf_unref(&c);
	}
}

static int
set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/vpost-world-XXXXXX");
	return (mkdtemp(dir) == NULL ? -1 : 0);
}

static int
tear_down(void **state)
{
	static const char *const names[] = { "empty", "short", "full", "over", "sparse", "fifo", "link" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	return (rmdir(dir));
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(readfile), cmocka_unit_test(endless), cmocka_unit_test(perls), cmocka_unit_test(quiet_program) };

	return (cmocka_run_group_tests(tests, set_up, tear_down));
}
