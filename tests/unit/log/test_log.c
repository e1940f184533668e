/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines, levels, gathering, rotation, Exim's format. */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sb.h"
#include "log/log.h"
#include "os/time.h"
#include "os/file.h"

static char dir[64];

static const char *
content(const char *name)
{
	static struct sb text = SB_INIT(1000000);
	struct err err = ERR_INIT;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	sb_clear(&text);
	(void)os_read_file(path, 1000000, &text, &err);
	return (sb_cstr(&text));
}

static bool
matches(const char *text, const char *pattern)
{
	regex_t re;
	bool ok;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	ok = regexec(&re, text, 0, NULL, 0) == 0;
	regfree(&re);
	return (ok);
}

#define STAMP	"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} "

static void
test_lines(void **state)
{
	struct log_ctx c;
	struct err err = ERR_INIT;
	enum log_level level;
	char path[128], old[160];

	(void)snprintf(path, sizeof(path), "%s/log", dir);
	assert_int_equal(log_open("test", path, LOG_L_INFO, &err), 0);
	log_ctx_set(&c, "sid=%d", 7);
	log_debug(&c, "not seen");
	log_info(&c, "hello %s", "world\nforged line");
	assert_string_equal(content("log"), "");
	log_flush();
	assert_true(matches(content("log"), STAMP "test\\[[0-9]+\\] info: sid=7 hello world\\?forged line\n$"));
	log_info(NULL, "gathered");
	log_warn(NULL, "at once");
	assert_true(matches(content("log"), "gathered\n.*warn: at once\n$"));

	(void)snprintf(old, sizeof(old), "%s.0", path);
	assert_int_equal(rename(path, old), 0);
	log_info(NULL, "old file");
	log_reopen();
	(void)err_set(&err, ERR_TEMP, NULL, "later");
	log_err(NULL, "op", &err);
	assert_true(matches(content("log.0"), "old file\n$"));
	assert_true(matches(content("log"), STAMP "test\\[[0-9]+\\] warn: op: later\n$"));

	/* Moved away and nobody said so: found within a second. */
	(void)snprintf(old, sizeof(old), "%s.1", path);
	assert_int_equal(rename(path, old), 0);
	(void)usleep(1100000);
	log_plain("pop3-login: Aborted login: rip=%s", "192.0.2.1");
	log_flush();
	assert_true(matches(content("log"), STAMP "test\\[[0-9]+\\] pop3-login: Aborted login: rip=192.0.2.1\n$"));

	for (int i = 0; i < 2000; i++)
		log_info(NULL, "%0100d", i);
	assert_true(strlen(content("log")) > 100000);
	assert_true(log_level_parse("WARN", &level));
	assert_int_equal(level, LOG_L_WARN);
	assert_false(log_level_parse("loud", &level));
	assert_int_equal(log_open("test", "/nonexistent/x", LOG_L_INFO, &err), -1);
	assert_int_equal(log_open("test", NULL, LOG_L_ERROR, &err), 0);
}

static void
test_long(void **state)
{
	struct err err = ERR_INIT;
	char path[128], *big = malloc(20001);

	(void)snprintf(path, sizeof(path), "%s/long", dir);
	memset(big, 'x', 20000);
	big[20000] = '\0';
	assert_int_equal(log_open("test", path, LOG_L_INFO, &err), 0);
	log_warn(NULL, "%s", big);
	log_warn(NULL, "next");
	assert_true(matches(content("long"), "xxx\n2.*next\n$"));
	assert_int_equal(log_open("test", NULL, LOG_L_ERROR, &err), 0);
	free(big);
}

static void
test_exim(void **state)
{
	struct err err = ERR_INIT;

	assert_int_equal(eximlog_open(dir, &err), 0);
	eximlog_write(EXIMLOG_MAIN, "1abcde-000001-1x <= a@b U=root P=local S=%d", 300);
	eximlog_write(EXIMLOG_MAIN | EXIMLOG_REJECT, "rejected\n  header");
	assert_string_equal(content("mainlog"), "");
	eximlog_flush();
	assert_true(matches(content("mainlog"), STAMP "1abcde-000001-1x <= a@b U=root P=local S=300\n2"));
	assert_true(matches(content("rejectlog"), STAMP "rejected\n  header\n$"));
	/* Nobody writes lines of his own. */
	eximlog_write(EXIMLOG_MAIN | EXIMLOG_REJECT, "|/bin/true x\n2026-11-21 00:00:00 x <= forged@bank.test\r\x1b[2J\x7f\ty");
	eximlog_flush();
	assert_true(matches(content("mainlog"), "S=300\n[^\n]*\n[-0-9]+ [:0-9]+ [|]/bin/true x\\\\n2026-11-21 00:00:00 x <= "
	    "forged@bank.test\\\\r\\\\033\\[2J\\\\177\ty\n$"));
	assert_true(matches(content("rejectlog"), "true x\n2026-11-21 00:00:00 x <= forged@bank.test\\\\r\\\\033\\[2J"));
	eximlog_write(EXIMLOG_PANIC, "panic");
	assert_true(matches(content("paniclog"), STAMP "panic\n$"));
	assert_int_equal(strlen(eximlog_stamp()), 19);
	eximlog_reopen();
}

static int
set_up(void **state)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/vpost-log-%ld", (long)getpid());
	return (mkdir(dir, 0700));
}

static int
tear_down(void **state)
{
	char cmd[128];

	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return (system(cmd));
}

static void
test_levels_of_programs(void **state)
{
	static const struct { const char *setting, *program; enum log_level want; bool ok; } t[] = {
		{ "info", "vsmtpd", LOG_L_INFO, true }, { "", "vsmtpd", LOG_L_INFO, true },
		{ "warn vsmtpd=debug", "vsmtpd", LOG_L_DEBUG, true }, { "warn vsmtpd=debug", "vqueued", LOG_L_WARN, true },
		{ "vsmtpd=debug error", "vsmtpd", LOG_L_DEBUG, true }, { "vsmtpd=debug error", "vauthd", LOG_L_ERROR, true },
		{ "loud", "vsmtpd", LOG_L_INFO, false }, { "warn vsmtpd=loud", "vsmtpd", LOG_L_WARN, false },
	};
	enum log_level l;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(log_level_of(t[i].setting, t[i].program, &l), t[i].ok);
		assert_int_equal(l, t[i].want);
	}
}

/* Somebody listens and does not read: that is waited for once, and what was lost is counted. */
static void
test_syslog_stuck(int fd)
{
	int64_t began = os_mono_ms();
	char buf[2000], want[80];
	unsigned got = 0;
	ssize_t n;

	for (int i = 0; i < 500; i++)
		log_info(NULL, "line %d", i);
	/* At 150 ms each it would be a minute. */
	assert_true(os_mono_ms() - began < 5000);
	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		got++;
	assert_true(got > 0 && got < 500);
	log_info(NULL, "again");
	n = recv(fd, buf, sizeof(buf) - 1, 0);
	buf[n < 0 ? 0 : n] = '\0';
	(void)snprintf(want, sizeof(want), ": %u lines before were not taken$", 500 - got);
	assert_true(matches(buf, want));
	n = recv(fd, buf, sizeof(buf) - 1, 0);
	buf[n < 0 ? 0 : n] = '\0';
	assert_true(matches(buf, "again$"));
}

static void
test_syslog(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct err err = ERR_INIT;
	char path[160], buf[2000];
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0), facility;
	ssize_t n;

	(void)state;
	assert_true(log_syslog_facility("LOCAL7", &facility));
	assert_false(log_syslog_facility("kern", &facility));
	assert_int_equal(log_syslog("nosuch", "/dev/log", &err), -1);
	err_clear(&err);
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/sock", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	(void)snprintf(path, sizeof(path), "%s/log", dir);
	assert_int_equal(log_open("test", path, LOG_L_INFO, &err), 0);
	assert_int_equal(log_syslog("mail", sa.sun_path, &err), 0);
	log_to_files(false);
	log_info(NULL, "one %d", 1);
	n = recv(fd, buf, sizeof(buf) - 1, 0);
	buf[n < 0 ? 0 : n] = '\0';
	assert_true(matches(buf, "^<22>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} test\\[[0-9]+\\]: info: one 1$"));
	eximlog_write(EXIMLOG_REJECT, "two\nthree");
	for (int i = 0; i < 2; i++) {
		n = recv(fd, buf, sizeof(buf) - 1, 0);
		buf[n < 0 ? 0 : n] = '\0';
		assert_true(matches(buf, i == 0 ? "^<21>.*: two$" : "^<21>.*: three$"));
	}
	test_syslog_stuck(fd);
	/* Nobody listens: lines are lost, nothing else. */
	(void)close(fd);
	log_info(NULL, "three");
	assert_int_equal(log_syslog("", "", &err), 0);
	log_to_files(true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_levels_of_programs),
		cmocka_unit_test(test_syslog),
		cmocka_unit_test(test_exim),
	};

	return (cmocka_run_group_tests(tests, set_up, tear_down));
}
