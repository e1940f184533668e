/* SPDX-License-Identifier: BSD-2-Clause */
/* The procmail engine: expansion, flags, blocks, failures, limits, and what leaves by the interface of actions. */
#include <sys/stat.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sb.h"
#include "filter/procmail.h"
#include "os/file.h"

#define MAIL	"From jo@x Mon Mar  2 10:11:12 1998\nFrom: jo@x\nSubject: one two\n\nbody\n"

static char home[64];
static struct procmail_files *files;

static void
write_rc(const char *text)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/rc", home);
	(void)unlink(path);
	assert_int_equal(os_write_replace(path, sv_cstr(text), 0600, NULL), 0);
}

/* What stands in a file of the home; "" if there is none. */
static const char *
content(const char *name)
{
	static struct sb sb = SB_INIT(1 << 20);
	char path[128];

	sb_clear(&sb);
	(void)snprintf(path, sizeof(path), "%s/%s", home, name);
	(void)os_read_file(path, 1 << 20, &sb, NULL);
	return (sb_cstr(&sb));
}

static struct procmail
plain(void)
{
	static const char *const words[] = { "LOGFILE=log", "LOCKSLEEP=0", "SUSPEND=0", "./rc", NULL };

	return ((struct procmail){ .user = "jo", .home = home, .shell = "/bin/sh", .uid = getuid(), .gid = getgid(), .invoker = "jo",
	    .argv0 = "procmail", .host = "h", .filter = true, .words = words, .out_fd = -1, .err_fd = -1 });
}

static struct procmail_end end;

/* Run <rc>; the exit status. */
static int
run_with(const struct procmail *p, const char *rc)
{
	char cmd[160];

	(void)snprintf(cmd, sizeof(cmd), "%s/log", home);
	(void)unlink(cmd);
	write_rc(rc);
	assert_int_equal(chdir(home), 0);
	assert_int_equal(procmail_run(files, p, SV_LIT(MAIL), &end, NULL), 0);
	return (end.status);
}

static int
run(const char *rc)
{
	struct procmail p = plain();

	return (run_with(&p, rc));
}

static void
check_log(const char *rc, const char *want)
{
	struct sb sb = SB_INIT(65536);

	sb_addf(&sb, "LOGABSTRACT=no\n%s\n:0\n/dev/null\n", rc);
	assert_int_equal(run(sb_cstr(&sb)), 0);
	assert_string_equal(content("log"), want);
	sb_free(&sb);
}

static void
test_words(void **state)
{
	static const struct {
		const char	*rc, *log;
	} cases[] = {
		{ "A=b\nLOG=\"$A ${A} ${A:-x} ${N:-x} ${N-$A} ${A:+y} ${N+z}|\"", "b b b x b y |" },
		{ "A='$x \"q\"'\nLOG=\"$A\"", "$x \"q\"" }, { "A=a\\ b\\$c\nLOG=$A", "a b$c" },
		{ "LOG=\"`echo x   y`|`printf 'a\\n\\n'`\"", "x y|a" }, { "A=a.b*\nLOG=\"$\\A\"", "()a\\.b\\*" },
		{ "A = b # no\nLOG=\"$A\"", "b" }, { "A=1 B=2\nLOG=$A$B", "12" }, { "A=1\nA\nLOG=\"${A-unset}\"", "unset" },
		{ "?junk\nLOG=x", "procmail: Skipped \"?junk\"\nx" }, { "}\nLOG=x", "procmail: Closing brace unexpected\nx" },
		{ "A=\"${!}\"\nLOG=x", "procmail: Bad substitution of \"\"\nx" },
		{ ":0\n* ^Subject: \\/[a-z]+\n{ LOG=\"$MATCH\" }", "one" },
		{ ":0\n* 3^1 o\n{ }\nLOG=$=", "21" },
		{ ":0\n* nothing\n{ LOG=1 }\n:0 E\n{ LOG=2 }\n:0 E\n{ LOG=3 }", "2" },
		{ ":0\n* ^From\n{ LOG=1 }\n:0 A\n{ LOG=2 }\n:0 A\n* nothing\n{ LOG=3 }", "12" },
		{ ":0\n* H ?? ^From: jo\n* B ?? ^^body\n* ! nothing\n* < 1000\n{ LOG=yes }", "yes" },
		{ ":0\nV=| head -1\nLOG=\"$V\"", "From jo@x Mon Mar  2 10:11:12 1998" },
		/* Where values end, comments, doubled quotes. */
		{ "X=1\nA=$X B=2\nC=`echo 3` D=4\nLOG=\"$A$B$C$D\"", "1234" }, { "E=$NONE F=6\nLOG=\"[$E][$F]\"", "[][6]" },
		{ ":0 c\nm#n\nLOG=$LASTFOLDER", "m" }, { ":0 c\n\"q#r\"\nLOG=$LASTFOLDER", "q#r" },
		{ ":0 c\na b#c\nLOG=$LASTFOLDER", "procmail: Skipped \"b#c\"\na" }, { ":-1c\n^Subject\nneg\nLOG=$LASTFOLDER", "neg" },
		{ "COMSAT=off\nLOG=$COMSAT", "no" }, { "X=^TO_x\n:0\n* X ?? \\^TO_x\n{ LOG=yes }\nLOG=no", "no" },
		{ ":0 f\n{ LOG=in }", "procmail: Extraneous filter-flag ignored\nin" },
		{ "SWITCHRC\nLOG=never", "" },
	};

	/* SWITCHRC ends the file, and with -m nothing follows. */
	for (size_t i = 0; i + 1 < sizeof(cases) / sizeof(cases[0]); i++)
		check_log(cases[i].rc, cases[i].log);
	assert_int_equal(run("SWITCHRC\n:0\n/dev/null\n"), 73);
}

/* A filter that fails leaves the mail as it was; a program that fails leaves it to the next recipe. */
static void
test_failures(void **state)
{
	(void)unlink("box");
	assert_int_equal(run(":0 fw\n| cat; exit 3\n:0 w\n| exit 1\n:0\nnodir/x\n:0\nbox\n"), 0);
	assert_string_equal(content("box"), MAIL "\n");
	assert_non_null(strstr(content("log"), "Rescue of unfiltered data succeeded"));
	assert_int_equal(run(":0\nnodir/x\n"), 73);
	assert_non_null(strstr(content("log"), "**Bounced**"));
	assert_int_equal(run("EXITCODE=5\n:0\n/dev/null\n"), 5);
	assert_int_equal(run("TIMEOUT=1\n:0 w\n| sleep 20\n:0\n/dev/null\n"), 0);
	assert_non_null(strstr(content("log"), "Timeout, terminating \"sleep\""));
	assert_int_equal(run(":0\n* unclosed(\n\n"), 73);
	assert_non_null(strstr(content("log"), "Incomplete recipe"));
}

static void
test_copies(void **state)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/sub", home);
	(void)mkdir(path, 0700);
	(void)unlink("c1");
	(void)unlink("p1");
	assert_int_equal(run("A=p\n:0 c\n{ A=c\nMAILDIR=sub\nUMASK=0 }\n:0\n${A}1\n"), 0);
	assert_string_equal(content("p1"), MAIL "\n");
	assert_string_equal(content("sub/c1"), MAIL "\n");
}

/* What a captured text means is done: other files, the end. */
static void
test_captures(void **state)
{
	assert_int_equal(os_write_replace("inc", SV_LIT("LOG=\"in \"\n"), 0600, NULL), 0);
	check_log(":0\nINCLUDERC=| echo inc\nLOG=out", "in out");
	check_log(":0\nLINEBUF=| echo 300\nLOG=$LINEBUF", "300");
	assert_int_equal(run("LOGABSTRACT=no\n:0\nSWITCHRC=| echo inc\nLOG=no\n:0\n/dev/null\n"), 73);
	assert_string_equal(content("log"), "in ");
	assert_int_equal(run("LOGABSTRACT=no\n:0\nHOST=| echo other\nLOG=no\n:0\nbox\n"), 0);
	assert_string_equal(content("log"), "");
	/* Nobody has the mail then. */
	assert_false(end.delivered);
	assert_int_equal(run("EXITCODE=75\nHOST\n"), 75);
	assert_false(end.delivered);
	assert_int_equal(run("EXITCODE=75\n:0\n/dev/null\n"), 75);
	assert_true(end.delivered);
}

/* Names as long as LINEBUF: the rules end there. */
static void
test_long_names(void **state)
{
	struct sb sb = SB_INIT(65536);

	sb_addf(&sb, "LOGABSTRACT=no\nLINEBUF=128\n%0126d=1\nLOG=\"$PROCMAIL_OVERFLOW \"\n%0127d=1\nLOG=no\n:0\n/dev/null\n", 0, 0);
	for (size_t i = 0; i < sb.len; i++)
		if (sb.p[i] == '0' && i > 20)
			sb.p[i] = 'a';
	sb.p[sb.len - strlen("a\n/dev/null\n")] = '0';
	assert_int_equal(run(sb_cstr(&sb)), 73);
	assert_string_equal(content("log"), " procmail: Exceeded LINEBUF\n");
	sb_clear(&sb);
	sb_addf(&sb, "LOGABSTRACT=no\nLINEBUF=128\n:0 c\n%0122d\n:0 c\n%0123d\n:0\n/dev/null\n", 0, 0);
	for (size_t i = 0; i < sb.len; i++)
		if (sb.p[i] == '0' && i > 20 && sb.p[i - 1] != ':')
			sb.p[i] = 'a';
	assert_int_equal(run(sb_cstr(&sb)), 0);
	assert_string_equal(content("log"), "procmail: Exceeded LINEBUF\n");
	sb_free(&sb);
}

/* How programs are found, how long they are waited for, and that none of them stays as a zombie. */
static void
test_programs(void **state)
{
	int status;

	(void)mkdir("bin", 0700);
	(void)mkdir("bin/cat", 0700);
	check_log("PATH=bin:/usr/bin:/bin\n:0 fw\n| cat\n:0 e\n{ LOG=failed }", "");
	check_log("TIMEOUT=99999999999999999999\n:0 fw\n| cat\n:0 e\n{ LOG=failed }", "");
	for (int i = 0; i < 5; i++)
		assert_int_equal(run(":0 c\n| true\n:0\n/dev/null\n"), 0);
	(void)usleep(100000);
	assert_int_equal(run(":0\n/dev/null\n"), 0);
	assert_int_equal(run("A=`true`\n:0\n/dev/null\n"), 0);
	assert_int_equal(waitpid(-1, &status, WNOHANG), -1);
}

static void
test_folders(void **state)
{
	(void)mkdir("mh", 0700);
	assert_int_equal(os_write_replace("mh/9223372036854775807", SV_LIT(""), 0600, NULL), 0);
	assert_int_equal(run(":0\nmh/.\n"), 0);
	assert_string_equal(content("mh/9223372036854775808"), MAIL "\n");
}

/* --- signals ----------------------------------------------------------------------- */

static volatile sig_atomic_t signalled;

static void
on_alarm(int sig)
{
	(void)sig;
	signalled = SIGTERM;
}

/* Run <rc>, with SIGTERM after a while. */
static int
run_until_term(const char *rc)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct procmail p = plain();

	p.signalled = &signalled;
	p.tempfail = true;
	signalled = 0;
	assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
	(void)ualarm(200000, 0);
	return (run_with(&p, rc));
}

/* A mail that was not written is given back, though write errors are to be ignored; what runs beside it ends, too. */
static void
test_signals(void **state)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open("locked", O_WRONLY | O_CREAT | O_TRUNC, 0600), up[2], status;
	char c;
	pid_t pid;

	assert_int_equal(pipe(up), 0);
	if ((pid = fork()) == 0) {
		_exit(fcntl(fd, F_SETLK, &lock) == 0 && write(up[1], "x", 1) == 1 && pause() == -1 ? 0 : 1);
	}
	assert_int_equal(read(up[0], &c, 1), 1);
	assert_int_equal(run_until_term(":0 i\nlocked\n"), 75);
	assert_string_equal(content("locked"), "");
	assert_int_equal(run_until_term(":0 ic\nlocked\n:0\nbehind\n"), 75);
	assert_string_equal(content("behind"), "");
	assert_int_equal(run_until_term(":0 c\n{\n:0\nlocked\n}\n:0\nbehind\n"), 75);
	assert_string_equal(content("behind"), "");
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)close(fd);
	(void)close(up[0]);
	(void)close(up[1]);
}

/* Endless inclusion, switching and copying end. */
static void
test_limits(void **state)
{
	struct procmail p = plain();

	p.max_clones = 20;
	p.max_message = 100000;
	assert_int_equal(run_with(&p, "INCLUDERC=rc\n:0\n/dev/null\n"), 0);
	assert_non_null(strstr(content("log"), "Couldn't read \"rc\""));
	assert_int_equal(run_with(&p, ":0\n{ SWITCHRC=rc }\n"), 73);
	/* Two of itself at each of 64 levels. */
	assert_int_equal(run_with(&p, "INCLUDERC=rc\nINCLUDERC=rc\n"), 73);
	assert_int_equal(run_with(&p, ":0 c\n{ INCLUDERC=rc }\n:0\n/dev/null\n"), 0);
	assert_int_equal(run_with(&p, ":0 fw\n| yes\n:0\nout\n"), 0);
	assert_string_equal(content("out"), MAIL "\n");
	assert_int_equal(run_with(&p, "LINEBUF=128\nA=`yes`\nLOG=\"$PROCMAIL_OVERFLOW\"\n:0\n/dev/null\n"), 0);
	assert_non_null(strstr(content("log"), "Excessive output quenched"));
}

/* --- in a box ------------------------------------------------------------------------ */

static struct sb done = SB_INIT(65536);
static enum filter_answer answer;

static enum filter_answer
act(void *arg, const struct filter_action *a, struct err *err)
{
	filter_action_text(a, &done);
	sb_addf(&done, "%s%s\n", a->flags & FILTER_A_UNSEEN ? " (copy)" : "", a->content.p != NULL ? " (changed)" : "");
	if (answer != FILTER_OK)
		err_set(err, ERR_TEMP, NULL, "not now");
	return (answer);
}

static void
test_box(void **state)
{
	struct filter_ops ops = { .act = act };
	struct procmail p = plain();
	static const char *const words[] = { "LOGFILE=log", "./rc", NULL };

	p.filter = false;
	p.orgmail = "jo.INBOX";
	p.ops = &ops;
	p.local = true;
	p.words = words;
	answer = FILTER_OK;
	sb_clear(&done);
	assert_int_equal(run_with(&p, ":0 c\n! jo.Spam\n:0 c\njo.Work\n:0 c\n! a@b, c@d\n:0 c\n/var/mail/jo\n:0 c\nfile1\n:0 fhw\n"
	    "| sed s/one/1/\n"), 0);
	assert_non_null(strstr(sb_cstr(&done), "Spam"));
	assert_non_null(strstr(sb_cstr(&done), "Work"));
	assert_non_null(strstr(sb_cstr(&done), "a@b, c@d"));
	assert_non_null(strstr(sb_cstr(&done), "keep"));
	assert_string_equal(content("file1"), MAIL "\n");
	/* The last, to INBOX, has what the filter made. */
	assert_non_null(strstr(sb_cstr(&done), "(changed)\n"));
	/* Another user's name is a file. */
	sb_clear(&done);
	assert_int_equal(run_with(&p, ":0\nann.Spam\n"), 0);
	assert_string_equal(sb_cstr(&done), "");
	assert_string_equal(content("ann.Spam"), MAIL "\n");
	/* What the store refuses goes to the next recipe. */
	answer = FILTER_TEMP;
	assert_int_equal(run_with(&p, ":0\njo.Spam\n:0\nfile2\n"), 0);
	assert_string_equal(content("file2"), MAIL "\n");
	assert_int_equal(run_with(&p, ":0\njo.Spam\n"), 73);
}

/* A file that changed is read again. */
static void
test_kept(void **state)
{
	check_log("LOG=1", "1");
	check_log("LOG=1", "1");
	check_log("LOG=22", "22");
}

static int
set_up(void **state)
{
	(void)snprintf(home, sizeof(home), "/tmp/vpost-pm.XXXXXX");
	files = procmail_files_new();
	return (mkdtemp(home) == NULL || chdir(home) == -1 ? -1 : 0);
}

static int
tear_down(void **state)
{
	char cmd[96];

	procmail_files_free(&files);
	sb_free(&done);
	assert_int_equal(chdir("/"), 0);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", home);
	pid_t pid = fork();
	if (pid == 0) {
		(void)execl("/bin/sh", "sh", "-c", cmd, (char *)NULL);
		_exit(127);
	}
	return (0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words), cmocka_unit_test(test_failures), cmocka_unit_test(test_copies),
		cmocka_unit_test(test_captures), cmocka_unit_test(test_long_names), cmocka_unit_test(test_programs),
		cmocka_unit_test(test_folders), cmocka_unit_test(test_signals), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_box), cmocka_unit_test(test_kept),
	};

	return (cmocka_run_group_tests(tests, set_up, tear_down));
}
