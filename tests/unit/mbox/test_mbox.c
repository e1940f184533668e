/* SPDX-License-Identifier: BSD-2-Clause */
/* Writers of mailbox files: formats, locks, quotas, what hostile files may not do, programs. */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sb.h"
#include "mbox/lock.h"
#include "mbox/maildir.h"
#include "mbox/mbox.h"
#include "mbox/run.h"
#include "os/file.h"

static char dir[64];

static const char *
at(const char *name)
{
	static char buf[8][256];
	static unsigned i;
	char *p = buf[i++ % 8];

	(void)snprintf(p, sizeof(buf[0]), "%s/%s", dir, name);
	return (p);
}

static void
is_text(const char *path, const char *want)
{
	struct sb text = SB_INIT(1024 * 1024);
	struct err err = ERR_INIT;

	assert_int_equal(os_read_file(path, 1024 * 1024, &text, &err), 0);
	assert_string_equal(sb_cstr(&text), want);
	sb_free(&text);
}

static int
entries(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *de;
	int n = 0;

	while (d != NULL && (de = readdir(d)) != NULL)
		n += de->d_name[0] != '.';
	if (d != NULL)
		(void)closedir(d);
	return (n);
}

/* ---- lines ---- */

static void
test_lines(void **state)
{
	static const struct {
		const char *in, *check, *escape;
		enum mbox_eol eol;
		bool header, end;
		const char *want;
	} t[] = {
		{ "A: b\r\n\r\nx\r\n", "", "", MBOX_EOL_LF, false, false, "A: b\n\nx\n" },
		{ "A: b\n\nx\n", "", "", MBOX_EOL_CRLF, false, false, "A: b\r\n\r\nx\r\n" },
		{ "A: b\r\n\nx\r", "", "", MBOX_EOL_RAW, false, false, "A: b\r\n\nx\r" },
		{ "From h: b\n\nFrom x\nFro\nFrom", "From ", ">From ", MBOX_EOL_LF, false, true, "From h: b\n\n>From x\nFro\nFrom\n" },
		{ "A: b\n\n.\n..\nx", ".", "..", MBOX_EOL_LF, true, true, "A: b\n\n..\n...\nx\n" },
		{ "A: b\n\na\rb\r\r\nc\n", "", "", MBOX_EOL_LF, false, false, "A: b\n\na\rb\r\nc\n" },
		{ "", "", "", MBOX_EOL_LF, false, true, "" },
		{ "A: b\n\nFrom From \n", "From ", ">From ", MBOX_EOL_CRLF, false, false, "A: b\r\n\r\n>From From \r\n" },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		size_t n = strlen(t[i].in);

		/* At each place the text may be cut in two. */
		for (size_t cut = 0; cut <= n; cut++) {
			char *a = memcpy(malloc(cut + 1), t[i].in, cut), *b = memcpy(malloc(n - cut + 1), t[i].in + cut, n - cut);
			const struct mbox_content c = { .head = sv_from(a, cut), .fd = -1, .tail = sv_from(b, n - cut) };
			const struct mbox_format f = { .eol = t[i].eol, .check = sv_cstr(t[i].check), .escape = sv_cstr(t[i].escape),
			    .check_header = t[i].header, .end_line = t[i].end };
			struct sb out = SB_INIT(4096);

			assert_int_equal(mbox_write_text(&out, &c, &f), 0);
			assert_string_equal(sb_cstr(&out), t[i].want);
			assert_int_equal(mbox_written_size(&c, &f), strlen(t[i].want));
			sb_free(&out);
			free(a);
			free(b);
		}
	}
}

static const struct mbox_format unix_format = { .eol = MBOX_EOL_LF, .prefix = { "From a\n", 7, false }, .suffix = { "\n", 1, false },
	.check = { "From ", 5, false }, .escape = { ">From ", 6, false }, .end_line = true };
static const struct mbox_format plain = { .eol = MBOX_EOL_LF, .end_line = true };

static struct mbox_file
file(const char *path, unsigned flags)
{
	struct mbox_file m = MBOX_FILE_INIT;

	m.path = path;
	m.flags = flags | MBOX_LOCK_FCNTL | MBOX_CHECK_OWNER | MBOX_CHECK_MODE;
	m.owner = geteuid();
	m.group = getegid();
	return (m);
}

/* ---- appending ---- */

static void
test_append(void **state)
{
	const struct mbox_content c = MBOX_CONTENT_TEXT(SV_LIT("A: b\n\nFrom x\n"));
	struct mbox_file m = file(at("new/deep/box"), MBOX_CREATE | MBOX_CREATE_DIR | MBOX_LOCK_DOT | MBOX_LOCK_FLOCK);
	struct mbox_result r;
	struct err err = ERR_INIT;
	struct stat st;

	assert_int_equal(mbox_append(&m, &c, &unix_format, &r, &err), 0);
	assert_int_equal(mbox_append(&m, &c, &unix_format, &r, &err), 0);
	assert_int_equal(r.left, MBOX_WHOLE);
	is_text(m.path, "From a\nA: b\n\n>From x\n\nFrom a\nA: b\n\n>From x\n\n");
	assert_int_equal(stat(m.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(access(at("new/deep/box.lock"), F_OK), -1);
	/* Wider than wanted: narrowed; narrower: refused. */
	assert_int_equal(chmod(m.path, 0644), 0);
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), 0);
	assert_int_equal(stat(m.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	m.mode = 0660;
	m.flags |= MBOX_FAIL_NARROWER;
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), -1);
	assert_int_equal(r.why, MBOX_WHY_MODE);
	assert_int_equal(r.left, MBOX_NOTHING);
	m = file("/dev/null", 0);
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), 0);
	m = file(at("absent"), 0);
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), -1);
	assert_int_equal(r.sys, ENOENT);
	assert_int_equal(err.cls, ERR_TEMP);
}

static void
test_hostile(void **state)
{
	const struct mbox_content c = MBOX_CONTENT_TEXT(SV_LIT("A: b\n\nx\n"));
	struct mbox_file m = file(at("link"), MBOX_CREATE);
	struct mbox_result r;
	struct err err = ERR_INIT;

	assert_int_equal(os_write_replace(at("target"), SV_LIT("mine"), 0600, &err), 0);
	assert_int_equal(symlink(at("target"), at("link")), 0);
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), -1);
	assert_int_equal(r.sys, ELOOP);
	is_text(at("target"), "mine");
	m.flags |= MBOX_ALLOW_SYMLINK;
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), 0);
	m = file(at("hard"), MBOX_CREATE);
	assert_int_equal(link(at("target"), at("hard")), 0);
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), -1);
	assert_int_equal(r.sys, EMLINK);
	m.flags |= MBOX_ALLOW_LINKS;
	m.owner = geteuid() + 1;
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), -1);
	assert_int_equal(r.why, MBOX_WHY_OWNER);
	assert_int_equal(mkdir(at("folder"), 0700), 0);
	m = file(at("folder"), MBOX_CREATE);
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), -1);
	assert_int_equal(r.why, MBOX_WHY_KIND);
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	m = file(at("fifo"), MBOX_CREATE | MBOX_ALLOW_FIFO);
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), -1);
	assert_int_equal(r.sys, ENXIO);
}

static void
test_room(void **state)
{
	const struct mbox_content c = MBOX_CONTENT_TEXT(SV_LIT("A: b\n\n0123456789\n"));
	struct mbox_file m = file(at("quota"), MBOX_CREATE);
	struct rlimit old, small;
	struct mbox_result r;
	struct err err = ERR_INIT;

	m.quota = 40;
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), 0);
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), 0);
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), -1);
	assert_true(r.quota);
	assert_int_equal(err.cls, ERR_TEMP);
	m.quota_exclusive = true;
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), 0);
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), -1);
	/* Half of it fits: it is taken back. */
	assert_int_equal(os_write_replace(at("small"), SV_LIT("old\n"), 0600, &err), 0);
	m = file(at("small"), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 10;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), -1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(r.sys, EFBIG);
	assert_int_equal(r.left, MBOX_NOTHING);
	is_text(at("small"), "old\n");
}

static void
test_locks(void **state)
{
	const struct mbox_content c = MBOX_CONTENT_TEXT(SV_LIT("A: b\n\nx\n"));
	struct mbox_file m = file(at("locked"), MBOX_CREATE | MBOX_LOCK_DOT);
	struct mbox_dotlock *l = NULL, *l2 = NULL;
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	struct mbox_result r;
	struct err err = ERR_INIT;
	bool broken;

	assert_int_equal(mbox_dotlock_try(&l, at("locked.lock"), 0600, 0, true, NULL, &err), MBOX_DOTLOCK_HELD);
	assert_int_equal(mbox_dotlock_try(&l2, at("locked.lock"), 0600, 60, true, &broken, &err), MBOX_DOTLOCK_BUSY);
	assert_false(broken);
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), -1);
	assert_int_equal(r.why, MBOX_WHY_LOCKED);
	/* An old one is broken; its owner does not remove the new one. */
	assert_int_equal(utimensat(AT_FDCWD, at("locked.lock"), old, 0), 0);
	assert_int_equal(mbox_dotlock_try(&l2, at("locked.lock"), 0600, 60, false, &broken, &err), MBOX_DOTLOCK_HELD);
	assert_true(broken);
	mbox_dotlock_free(&l);
	assert_int_equal(access(at("locked.lock"), F_OK), 0);
	mbox_dotlock_free(&l2);
	assert_int_equal(access(at("locked.lock"), F_OK), -1);
	assert_int_equal(mbox_dotlock_try(&l, at("nowhere/x.lock"), 0600, 0, false, NULL, &err), MBOX_DOTLOCK_ERROR);
	/* Another process holds the kernel's lock. */
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), 0);
	int p[2];
	assert_int_equal(pipe(p), 0);
	pid_t pid = fork();
	if (pid == 0) {
		int fd = open(at("locked"), O_RDWR);

		if (mbox_lock_fcntl(fd, 0) == 0)
			(void)!write(p[1], "x", 1);
		(void)sleep(10);
		_exit(0);
	}
	char b;
	assert_int_equal(read(p[0], &b, 1), 1);
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), -1);
	assert_int_equal(r.sys, EAGAIN);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	assert_int_equal(mbox_append(&m, &c, &plain, &r, &err), 0);
	(void)close(p[0]);
	(void)close(p[1]);
}

/* ---- folders ---- */

static void
test_maildir(void **state)
{
	const struct mbox_content c = MBOX_CONTENT_TEXT(SV_LIT("A: b\r\n\r\n0123456789\r\n"));
	struct mbox_dir d = MBOX_DIR_INIT;
	struct mbox_result r;
	struct err err = ERR_INIT;

	d.path = at("md");
	d.tag = ",S=%s";
	d.host = "a/b:c";
	assert_int_equal(mbox_maildir(&d, &c, &plain, &r, &err), -1);
	assert_int_equal(r.sys, ENOENT);
	d.flags = MBOX_DIR_CREATE | MBOX_DIR_SIZE_FILE;
	d.quota = 40;
	d.quota_count = 10;
	assert_int_equal(mbox_maildir(&d, &c, &plain, &r, &err), 0);
	assert_non_null(strstr(r.path, "/new/"));
	assert_non_null(strstr(r.path, "a\\057b\\072c,S=17"));
	is_text(r.path, "A: b\n\n0123456789\n");
	assert_int_equal(mbox_maildir(&d, &c, &plain, &r, &err), 0);
	assert_int_equal(mbox_maildir(&d, &c, &plain, &r, &err), -1);
	assert_true(r.quota);
	assert_int_equal(entries(at("md/new")), 2);
	assert_int_equal(entries(at("md/tmp")), 0);
	/* Full says only who counted: others may have removed mail without telling. */
	is_text(at("md/maildirsize"), "40S,10C\n34 2\n");
	/* Other limits: counted anew. */
	d.quota = 400;
	d.quota_count = 2;
	assert_int_equal(mbox_maildir(&d, &c, &plain, &r, &err), -1);
	d.quota_count = 0;
	assert_int_equal(mbox_maildir(&d, &c, &plain, &r, &err), 0);
	is_text(at("md/maildirsize"), "400S,0C\n34 2\n17 1\n");
	/* A folder in the place of another's. */
	assert_int_equal(symlink("/tmp", at("md2")), 0);
	d = (struct mbox_dir)MBOX_DIR_INIT;
	d.path = at("md2");
	d.flags = MBOX_DIR_CREATE;
	assert_int_equal(mbox_maildir(&d, &c, &plain, &r, &err), -1);
	assert_int_equal(r.why, MBOX_WHY_KIND);
}

static int
name(void *arg, uint64_t inode, char *buf, size_t size, struct err *err)
{
	(void)inode;
	(void)err;
	(void)snprintf(buf, size, "%s", (const char *)arg);
	return (0);
}

static void
test_files(void **state)
{
	const struct mbox_content c = MBOX_CONTENT_TEXT(SV_LIT("A: b\n\nx\n"));
	struct mbox_dir d = MBOX_DIR_INIT;
	struct mbox_result r;
	struct err err = ERR_INIT;
	char bad[] = "../x", good[] = "good";

	d.path = at("mh");
	d.flags = MBOX_DIR_CREATE;
	assert_int_equal(mbox_mh(&d, &c, &plain, &r, &err), 0);
	assert_int_equal(os_write_replace(at("mh/7"), SV_LIT("x"), 0600, &err), 0);
	assert_int_equal(mbox_mh(&d, &c, &plain, &r, &err), 0);
	is_text(at("mh/8"), "A: b\n\nx\n");
	d.path = at("files");
	assert_int_equal(mbox_dirfile(&d, name, good, &c, &plain, &r, &err), 0);
	assert_int_equal(mbox_dirfile(&d, name, good, &c, &plain, &r, &err), -1);
	assert_int_equal(r.sys, EEXIST);
	assert_int_equal(mbox_dirfile(&d, name, bad, &c, &plain, &r, &err), -1);
	assert_int_equal(mbox_dirfile_prefix(&d, "msg.", &c, &plain, &r, &err), 0);
	assert_int_equal(mbox_mailstore(&d, name, bad, SV_LIT("e"), &c, &plain, &r, &err), -1);
	assert_int_equal(mbox_mailstore(&d, name, good, SV_LIT("a@b\n"), &c, &plain, &r, &err), 0);
	is_text(at("files/good.env"), "a@b\n");
	is_text(at("files/good.msg"), "A: b\n\nx\n");
	assert_int_equal(entries(at("files")), 4);
}

/* ---- programs ---- */

static void
test_run(void **state)
{
	static const struct {
		const char *script;
		int timeout;
		int exit;
		bool timed_out, too_much, write_failed;
		const char *output;
	} t[] = {
		{ "cat", 10, 0, false, false, false, "A: b\n\nx\n" },
		{ "cat >/dev/null; echo e >&2; exit 3", 10, 3, false, false, false, "e\n" },
		{ "exit 0", 10, 0, false, false, false, NULL },
		{ "sleep 20 & sleep 20", 1, -1, true, false, false, NULL },
		{ "cat >/dev/null; kill -9 $$", 10, -1, false, false, false, NULL },
		{ "while :; do echo 0123456789012345678901234567890123456789; done", 10, -1, false, true, false, NULL },
		{ "cat >/dev/null; sleep 20 & echo x", 10, 0, false, false, false, "x\n" },
	};
	const struct mbox_content c = MBOX_CONTENT_TEXT(SV_LIT("A: b\r\n\r\nx\r\n"));

	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const char *const argv[] = { "/bin/sh", "-c", t[i].script, NULL };
		struct mbox_run run = MBOX_RUN_INIT;
		struct mbox_ran ran;
		struct err err = ERR_INIT;

		run.argv = argv;
		run.input = &c;
		run.format = &plain;
		run.timeout_s = t[i].timeout;
		run.max_output = 1000;
		run.stop_at_max = true;
		run.merge_stderr = true;
		assert_int_equal(mbox_run(&run, &ran, &err), 0);
		assert_int_equal(ran.exit, t[i].exit);
		assert_int_equal(ran.timed_out, t[i].timed_out);
		assert_int_equal(ran.too_much, t[i].too_much);
		if (t[i].output != NULL)
			assert_string_equal(ran.output, t[i].output);
		free(ran.output);
	}
	const char *const absent[] = { "/nonexistent/x", NULL };
	struct mbox_run run = MBOX_RUN_INIT;
	struct mbox_ran ran;
	struct err err = ERR_INIT;

	run.argv = absent;
	assert_int_equal(mbox_run(&run, &ran, &err), -1);
	assert_int_equal(errno, ENOENT);
	assert_null(mbox_run_find("no-such-program-here", "/bin:/usr/bin"));
	char *sh = mbox_run_find("sh", "/nonexistent:/bin");
	assert_string_equal(sh, "/bin/sh");
	free(sh);
}

/* A large message goes by a file, and a reader that stops early is no hang. */
static void
test_run_large(void **state)
{
	size_t n = 3 * 1024 * 1024;
	char *big = memset(malloc(n), 'x', n);
	const struct mbox_content c = MBOX_CONTENT_TEXT(sv_from(big, n));
	const char *const count[] = { "/bin/sh", "-c", "wc -c", NULL }, *const first[] = { "/bin/sh", "-c", "exec true", NULL };
	struct mbox_run run = MBOX_RUN_INIT;
	struct mbox_ran ran;
	struct err err = ERR_INIT;

	run.argv = count;
	run.input = &c;
	run.max_output = 100;
	assert_int_equal(mbox_run(&run, &ran, &err), 0);
	assert_int_equal(atol(ran.output), (long)n);
	free(ran.output);
	run.argv = first;
	assert_int_equal(mbox_run(&run, &ran, &err), 0);
	assert_true(ran.write_failed);
	free(ran.output);
	free(big);
}

static int
set_up(void **state)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/vpost-mbox.XXXXXX");
	return (mkdtemp(dir) == NULL ? -1 : 0);
}

static int
tear_down(void **state)
{
	char cmd[128];

	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return (system(cmd));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines), cmocka_unit_test(test_append), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_room), cmocka_unit_test(test_locks), cmocka_unit_test(test_maildir),
		cmocka_unit_test(test_files), cmocka_unit_test(test_run), cmocka_unit_test(test_run_large),
	};

	return (cmocka_run_group_tests(tests, set_up, tear_down));
}
