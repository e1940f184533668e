/* SPDX-License-Identifier: BSD-2-Clause */
/* Rules of hosts.allow and hosts.deny. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/hosts_access.h"
#include "os/file.h"

struct world {
	const char	*name;
	bool		 mismatch;
	int		 asked;
};

static const char *
name(void *arg, bool *mismatch)
{
	struct world *w = arg;

	w->asked++;
	*mismatch = w->mismatch;
	return (w->name);
}

static bool
file(void *arg, struct sv path, struct sv *text)
{
	(void)arg;
	*text = SV_LIT("# bad ones\n192.0.2.66\n.bad.example, 192.0.3.\n");
	return (sv_eqs(path, "/bad.hosts"));
}

static enum hosts_verdict
ask(const char *rules, bool allow, const char *addr, struct world *w)
{
	struct hosts_client c = { .daemon = "exim", .name = name, .arg = w, .file = file };
	size_t n = strlen(rules);
	char *block = malloc(n == 0 ? 1 : n);
	enum hosts_verdict v;

	assert_non_null(block);
	memcpy(block, rules, n);
	assert_true(net_addr_parse(sv_cstr(addr), &c.addr));
	assert_true(net_addr_parse(SV_LIT("198.51.100.1"), &c.server));
	v = hosts_access_text(sv_from(block, n), allow, &c);
	free(block);
	return (v);
}

static void
test_rules(void **state)
{
	static const struct {
		const char	*rules, *addr, *name;
		enum hosts_verdict want;	/* as hosts.allow */
	} t[] = {
		{ "", "192.0.2.1", "", HOSTS_SILENT },
		{ "exim: ALL", "192.0.2.1", "", HOSTS_ALLOW },
		{ "ALL: ALL\n", "192.0.2.1", "", HOSTS_ALLOW },
		{ "sshd: ALL", "192.0.2.1", "", HOSTS_SILENT },
		{ "sshd, exim : 192.0.2.1", "192.0.2.1", "", HOSTS_ALLOW },
		{ "ALL EXCEPT exim: ALL", "192.0.2.1", "", HOSTS_SILENT },
		{ "exim: 10.0.0.1: deny", "10.0.0.1", "", HOSTS_DENY },
		{ "exim: 10.0.0.1: deny", "10.0.0.2", "", HOSTS_SILENT },
		{ "exim: 10.0.0.1: DENY\nexim: ALL", "10.0.0.2", "", HOSTS_ALLOW },
		{ "exim: 192.0.2.", "192.0.2.200", "", HOSTS_ALLOW },
		{ "exim: 192.0.2.", "192.0.20.2", "", HOSTS_SILENT },
		{ "exim: 192.0.2.0/255.255.255.0", "192.0.2.9", "", HOSTS_ALLOW },
		{ "exim: 192.0.2.0/24 EXCEPT 192.0.2.8/29 EXCEPT 192.0.2.9", "192.0.2.9", "", HOSTS_ALLOW },
		{ "exim: 192.0.2.0/24 EXCEPT 192.0.2.8/29 EXCEPT 192.0.2.9", "192.0.2.10", "", HOSTS_SILENT },
		{ "exim: [2001:db8::]/32", "2001:db8:1::2", "", HOSTS_ALLOW },
		{ "exim: [2001:db8::1]", "2001:db8::1", "", HOSTS_ALLOW },
		{ "exim: [2001:db8::1] : deny", "2001:db8::1", "", HOSTS_DENY },
		{ "exim: [2001:db8::1]", "2001:db8::2", "", HOSTS_SILENT },
		{ "exim: .example.com", "192.0.2.1", "mail.Example.com", HOSTS_ALLOW },
		{ "exim: .example.com", "192.0.2.1", "example.com", HOSTS_SILENT },
		{ "exim: mail.example.com", "192.0.2.1", "mail.example.com", HOSTS_ALLOW },
		{ "exim: *.example.com", "192.0.2.1", "a.b.example.com", HOSTS_ALLOW },
		{ "exim: 192.0.?.1", "192.0.2.1", "", HOSTS_ALLOW },
		{ "exim: LOCAL", "192.0.2.1", "box", HOSTS_ALLOW },
		{ "exim: LOCAL", "192.0.2.1", "box.example", HOSTS_SILENT },
		{ "exim: KNOWN", "192.0.2.1", "box.example", HOSTS_ALLOW },
		{ "exim: UNKNOWN", "192.0.2.1", "", HOSTS_ALLOW },
		{ "exim: PARANOID", "192.0.2.1", "", HOSTS_SILENT },
		{ "exim: /bad.hosts : deny", "192.0.2.66", "", HOSTS_DENY },
		{ "exim: /bad.hosts : deny", "192.0.3.9", "", HOSTS_DENY },
		{ "exim: /bad.hosts : deny", "192.0.2.1", "x.bad.example", HOSTS_DENY },
		{ "exim: /no.hosts : deny", "192.0.2.66", "", HOSTS_SILENT },
		{ "exim: joe@192.0.2.1", "192.0.2.1", "", HOSTS_SILENT },
		{ "exim: ALL@192.0.2.1", "192.0.2.1", "", HOSTS_ALLOW },
		{ "exim@198.51.100.1: ALL", "192.0.2.1", "", HOSTS_ALLOW },
		{ "exim@198.51.100.2: ALL", "192.0.2.1", "", HOSTS_SILENT },
		{ "exim: ALL : spawn /bin/x %a", "192.0.2.1", "", HOSTS_ALLOW },
		{ "exim: ALL : spawn /bin/x a\\:b : deny", "192.0.2.1", "", HOSTS_DENY },
		{ "exim: ALL : twist /bin/echo no", "192.0.2.1", "", HOSTS_DENY },
		{ "exim: ALL : severity mail.info : keepalive", "192.0.2.1", "", HOSTS_ALLOW },
		{ "exim: 192.0.2.7 \\\n 192.0.2.1", "192.0.2.1", "", HOSTS_ALLOW },
		{ "# exim: ALL", "192.0.2.1", "", HOSTS_SILENT },
		{ "exim", "192.0.2.1", "", HOSTS_SILENT },
		{ "exim:\n:\n::\n", "192.0.2.1", "", HOSTS_SILENT },
		{ "exim: 192.0.2.1/33 1.2.3 @group / [ ]", "192.0.2.1", "", HOSTS_SILENT },
		{ "exim: 192.0.2.1\\", "192.0.2.1", "", HOSTS_ALLOW },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct world w = { .name = t[i].name };

		if (ask(t[i].rules, true, t[i].addr, &w) != t[i].want)
			fail_msg("%s for %s (%s)", t[i].rules, t[i].addr, t[i].name);
	}
}

static void
test_deny_and_names(void **state)
{
	struct world w = { .name = "", .mismatch = true };

	(void)state;
	assert_int_equal(ask("exim: ALL", false, "192.0.2.1", &w), HOSTS_DENY);
	assert_int_equal(ask("exim: ALL: allow", false, "192.0.2.1", &w), HOSTS_ALLOW);
	assert_int_equal(w.asked, 0);
	assert_int_equal(ask("exim: .a.example .b.example PARANOID", false, "192.0.2.1", &w), HOSTS_DENY);
	assert_int_equal(w.asked, 1);
}

static void
test_long_rule(void **state)
{
	struct world w = { .name = "" };
	char *rules = malloc(20001);

	(void)state;
	assert_non_null(rules);
	memset(rules, ' ', 20000);
	memcpy(rules, "exim: ALL", 9);
	rules[9000] = '\\';
	rules[9001] = '\n';
	rules[20000] = '\0';
	/* What is too long is no rule, nor is its end. */
	assert_int_equal(ask(rules, true, "192.0.2.1", &w), HOSTS_SILENT);
	free(rules);
}

static void
put(const char *dir, const char *file_name, const char *text)
{
	struct err err = ERR_INIT;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, file_name);
	assert_int_equal(os_write_replace(path, sv_cstr(text), 0644, &err), 0);
}

static void
test_files(void **state)
{
	char a[] = "/tmp/hosts-a.XXXXXX", b[] = "/tmp/hosts-b.XXXXXX", path[128];
	static const char *const names[] = { "hosts.allow", "hosts.deny" };
	struct world w = { .name = "" };
	struct hosts_client c = { .daemon = "exim", .name = name, .arg = &w };
	struct hosts_access *h;
	const char *dirs[3] = { a, b, NULL };

	(void)state;
	assert_non_null(mkdtemp(a));
	assert_non_null(mkdtemp(b));
	assert_true(net_addr_parse(SV_LIT("192.0.2.1"), &c.addr));
	h = hosts_access_new(dirs);
	assert_true(hosts_access_ok(h, &c, 0));
	put(b, "hosts.deny", "ALL: ALL\n");
	assert_true(hosts_access_ok(h, &c, 999));	/* not looked at yet */
	assert_false(hosts_access_ok(h, &c, 1000));
	put(a, "hosts.allow", "exim: UNKNOWN\n");
	assert_true(hosts_access_ok(h, &c, 2000));
	put(a, "hosts.allow", "exim: 192.0.2.1: deny\n");
	put(b, "hosts.allow", "ALL: ALL\n");
	assert_false(hosts_access_ok(h, &c, 3000));
	hosts_access_free(&h);
	for (int i = 0; i < 4; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", i < 2 ? a : b, names[i % 2]);
		(void)unlink(path);
	}
	(void)rmdir(a);
	(void)rmdir(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rules), cmocka_unit_test(test_deny_and_names),
		cmocka_unit_test(test_long_rule), cmocka_unit_test(test_files) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
