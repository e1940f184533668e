/* SPDX-License-Identifier: BSD-2-Clause */
/* etc/vusers: parsing, reports, passwords, changes of the file. */
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/publish.h"
#include "auth/vusers.h"
#include "base/codec.h"
#include "map/map.h"
#include "os/file.h"

/* The keys of RFC 7677 section 3: password "pencil". */
#define PENCIL "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:" \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static struct sb reports;

static void
report(void *arg, const struct err *e)
{
	sb_addf(&reports, "%s\n", e->text);
}

static struct vusers *
parse(const char *text)
{
	size_t len = strlen(text);
	char *copy = malloc(len > 0 ? len : 1);
	struct vusers *v;

	memcpy(copy, text, len);
	sb_free(&reports);
	sb_init(&reports, 65536);
	v = vusers_parse(sv_from(copy, len), "etc/vusers", report, NULL);
	free(copy);
	return (v);
}

static void
test_parse(void **state)
{
	struct vusers *v = parse("# users\n\nalice:" PENCIL ":1:2:Alice A.:/home/alice:/bin/sh\r\nbob:{PLAIN}pw\n"
	    "Carol:$6$x$y::::home/carol\nnocolon\njohn.doe:{PLAIN}x\n:x\nbob:{PLAIN}again\ndave:secret\na b:x\n");
	const struct vuser *u;

	assert_int_equal(vusers_count(v), 4);
	u = vusers_get(v, SV_LIT("ALICE"));
	assert_non_null(u);
	assert_true(sv_eqs(u->password, PENCIL));
	assert_true(sv_eqs(u->uid, "1"));
	assert_true(sv_eqs(u->gid, "2"));
	assert_true(sv_eqs(u->gecos, "Alice A."));
	assert_true(sv_eqs(u->home, "/home/alice"));
	assert_true(sv_eqs(u->shell, "/bin/sh"));
	u = vusers_get(v, SV_LIT("bob"));
	assert_true(sv_eqs(u->password, "{PLAIN}pw"));
	assert_int_equal(u->home.len, 0);
	assert_true(sv_eqs(vusers_get(v, SV_LIT("carol"))->home, "home/carol"));
	assert_null(vusers_get(v, SV_LIT("")));
	assert_null(vusers_get(v, SV_LIT("john.doe")));
	assert_string_equal(sb_cstr(&reports),
	    "etc/vusers:6: no colon in the line: a user is name:password:uid:gid:gecos:home:shell\n"
	    "etc/vusers:7: user john.doe: a dot separates folder names and cannot be in a user name: choose a name without one\n"
	    "etc/vusers:8: the line has no user name\n"
	    "etc/vusers:9: user bob: this name was there before: the first line counts\n"
	    "etc/vusers:10: user dave: the password is in an unknown form, so nobody can log in: set it anew\n"
	    "etc/vusers:11: user a b: the name holds a blank or a character that folder names cannot have\n");
	vusers_free(&v);
	v = parse("");
	assert_int_equal(vusers_count(v), 0);
	vusers_free(&v);
}

static void
test_verify(void **state)
{
	static const struct { const char *stored, *password; bool ok; } cases[] = {
		{ PENCIL, "pencil", true }, { PENCIL, "Pencil", false }, { PENCIL, "", false },
		{ "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
		  "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", "pencil", true },
		{ "{PLAIN}pw", "pw", true }, { "{plain}pw", "pw", true }, { "{PLAIN}pw", "pw2", false }, { "{PLAIN}", "", false },
		{ "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz",
		  "Hello world!", false },
		{ "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!", true },
		{ "{CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!", true },
		{ "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
		  "Hello world!", true },
		{ "*", "*", false }, { "", "", false }, { "!x", "!x", false }, { "x", "x", false }, { "SCRAM-SHA-256$", "x", false },
		{ "SCRAM-SHA-256$0:AAAA$AAAA:AAAA", "x", false }, { "unknown", "unknown", false }, { "{MD5}x", "x", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (vusers_verify(sv_cstr(cases[i].stored), sv_cstr(cases[i].password)) != cases[i].ok)
			fail_msg("%s with %s", cases[i].stored, cases[i].password);
}

static void
test_hash(void **state)
{
	struct sb a = SB_INIT(1024), b = SB_INIT(1024), salt = SB_INIT(64);
	struct err err = ERR_INIT;

	assert_true(base64_decode(&salt, SV_LIT("W22ZaJ0SNY7soEsUEjb6gQ==")));
	assert_int_equal(vusers_scram_key(SV_LIT("pencil"), sb_sv(&salt), 4096, &a, &err), 0);
	assert_string_equal(sb_cstr(&a), PENCIL);
	sb_clear(&a);
	assert_int_equal(vusers_hash(SV_LIT("secret"), &a, &err), 0);
	assert_int_equal(vusers_hash(SV_LIT("secret"), &b, &err), 0);
	assert_false(sv_eq(sb_sv(&a), sb_sv(&b)));
	assert_true(vusers_verify(sb_sv(&a), SV_LIT("secret")));
	assert_false(vusers_verify(sb_sv(&a), SV_LIT("Secret")));
	assert_int_equal(vusers_hash(SV_NULL, &a, &err), -1);
	sb_free(&a);
	sb_free(&b);
	sb_free(&salt);
}

static void
test_names(void **state)
{
	static const struct { const char *name, *want; } cases[] = {
		{ "alice", NULL }, { "a-b_c9", NULL }, { "sixteen-letters1", NULL }, { "seventeen-letters", "longer than 16" },
		{ "john.doe", "dot" }, { "", "needed" }, { "a b", "blank" }, { "-x", "letters" }, { "a+b", "letters" },
		{ "a/b", "folder" }, { "a@b", "letters" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = ERR_INIT;
		int rc = vusers_name_check(sv_cstr(cases[i].name), &err);

		assert_int_equal(rc, cases[i].want == NULL ? 0 : -1);
		if (cases[i].want != NULL && strstr(err.text, cases[i].want) == NULL)
			fail_msg("%s: %s", cases[i].name, err.text);
	}
}

static void
check_file(const char *path, const char *want)
{
	struct sb b = SB_INIT(65536);
	struct err err = ERR_INIT;

	assert_int_equal(os_read_file(path, 65536, &b, &err), 0);
	assert_string_equal(sb_cstr(&b), want);
	sb_free(&b);
}

static void
test_file(void **state)
{
	char dir[] = "/tmp/vpost-vusers.XXXXXX", path[64], cmd[128];
	struct err err = ERR_INIT;
	struct map *m;
	struct stat st;
	struct sv v;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/vusers", dir);
	assert_int_equal(vusers_file_set(path, SV_LIT("alice"), "{PLAIN}a", "Alice", "/h/a", &err), 1);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	check_file(path, "alice:{PLAIN}a:::Alice:/h/a:\n");
	assert_int_equal(os_write_replace(path, SV_LIT("# c\nalice:{PLAIN}a:1:2:Alice:/h/a:/sh\n\nbad line\nbob:" PENCIL), 0640,
	    &err), 0);
	assert_int_equal(vusers_file_set(path, SV_LIT("ALICE"), "*", NULL, NULL, &err), 0);
	assert_int_equal(vusers_file_set(path, SV_LIT("carol"), NULL, NULL, NULL, &err), 1);
	check_file(path, "# c\nalice:*:1:2:Alice:/h/a:/sh\n\nbad line\nbob:" PENCIL "\ncarol:*:::::\n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(vusers_file_set(path, SV_LIT("bob"), NULL, "B", NULL, &err), 0);
	assert_int_equal(vusers_file_del(path, SV_LIT("alice"), &err), 0);
	assert_int_equal(vusers_file_del(path, SV_LIT("alice"), &err), -1);
	assert_int_equal(err.cls, ERR_PERM);
	check_file(path, "# c\n\nbad line\nbob:" PENCIL ":::B::\ncarol:*:::::\n");
	assert_int_equal(vusers_file_set(path, SV_LIT("x"), "a:b", NULL, NULL, &err), -1);
	assert_int_equal(vusers_file_set(path, SV_LIT("x"), "a\nb", NULL, NULL, &err), -1);
	assert_int_equal(vusers_file_set(path, SV_LIT("x"), "a", "g:h", NULL, &err), -1);
	assert_false(vusers_published(path));
	assert_int_equal(vusers_publish(path, NULL, NULL, &err), 0);
	assert_true(vusers_published(path));
	(void)snprintf(cmd, sizeof(cmd), "%s.db", path);
	m = map_open(cmd, MAP_HASH, 0);
	assert_int_equal(map_get(m, SV_LIT("bob"), 0, &v, &err), MAP_FOUND);
	assert_true(sv_eqs(v, "::B::"));
	map_close(&m);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	assert_int_equal(system(cmd), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_file),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
