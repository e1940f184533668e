/* SPDX-License-Identifier: BSD-2-Clause */
/* Routing through the drivers, with accounts, files and DNS made of tables; answers as -bt writes them. */
#include "route_world.h"

/* ---- cases ---- */

#define TRANSPORTS "begin transports\nt1:\n  driver = appendfile\n  file = /x\nt2:\n  driver = smtp\ntp:\n  driver = pipe\n" \
	"tf:\n  driver = appendfile\n"

static const char aliases[] =
	"qualify_domain = a.test\ndomainlist local = a.test\nbegin routers\n"
	"aliases:\n  driver = redirect\n  domains = +local\n  data = ${lookup{$local_part}lsearch{/etc/aliases}}\n"
	"  allow_fail\n  allow_defer\n  pipe_transport = tp\n  file_transport = tf\n"
	"forward:\n  driver = redirect\n  domains = +local\n  check_local_user\n  file = $home/.forward\n  no_verify\n  check_ancestor\n"
	"users:\n  driver = accept\n  domains = +local\n  local_part_suffix = +*\n  local_part_suffix_optional\n"
	"  check_local_user\n  transport = t1\n"
	"nobody:\n  driver = redirect\n  domains = +local\n  data = :fail: no such user $local_part\n  allow_fail\n"
	"remote:\n  driver = dnslookup\n  domains = !+local\n  transport = t2\n  ignore_target_hosts = 127.0.0.0/8\n  no_more\n"
	TRANSPORTS;

static const char manual[] =
	"begin routers\n"
	"m:\n  driver = manualroute\n  transport = t2\n  route_list = one.test h1.test ; two.test h1.test:h2.test byname ; \\\n"
	"  three.test 198.51.100.99 ; four.test h1.test::2525 ; *.five.test \"h1.test : h2.test\" t1 ; \\\n"
	"  ^six(\\\\d+)\\\\.test\\$ h$1.test ; seven.test none.test ; eight.test slow.test ; nine.test remote.test/MX ; alias1.test alias.test ; \\\n"
	"  ten.test us.test ; lit.test [2001:db8::1]:26\n"
	"lit:\n  driver = ipliteral\n  transport = t2\n"
	"unseen:\n  driver = accept\n  domains = copy.test\n  unseen\n  transport = t1\n"
	"var:\n  driver = accept\n  domains = var.test\n  set = r_x = $local_part ; r_y = <$r_x>\n  address_data = $r_y\n"
	"  errors_to = owner@copy.test\n  headers_add = X-Y: $r_y\n  headers_remove = X-A : X-B\n  user = 77\n  group = 78\n"
	"  transport = t1\n"
	"case:\n  driver = accept\n  domains = case.test\n  caseful_local_part\n  local_parts = Joe\n  transport = t1\n"
	"prefix:\n  driver = accept\n  domains = pre.test\n  local_part_prefix = real- : *-x-\n  transport = t1\n"
	"files:\n  driver = accept\n  domains = file.test\n  require_files = /etc/list : !/etc/none\n  transport = t1\n"
	"files2:\n  driver = accept\n  domains = file2.test\n  require_files = /etc/none\n  transport = t1\n"
	"senders:\n  driver = accept\n  domains = from.test\n  senders = *@good.test\n  transport = t1\n"
	"q:\n  driver = queryprogram\n  domains = query.test\n  command = /bin/q \"${if eq{$local_part}{decline}{decline}}\" \"${if eq{$local_part}{taint}{$local_part}}\"\n  command_user = 0\n  command_group = 0\n  transport = t1\n"
	"nomore:\n  driver = redirect\n  domains = nomore.test\n  data =\n  no_more\n  cannot_route_message = not $local_part\n"
	"cond:\n  driver = accept\n  domains = cond.test\n  condition = ${if eq{$local_part}{yes}}\n  transport = t1\n"
	"copies:\n  driver = accept\n  domains = copy.test\n  transport = t2\n"
	"verifyonly:\n  driver = accept\n  domains = vo.test\n  verify_only\n"
	"failverify:\n  driver = accept\n  domains = fv.test\n  fail_verify_recipient\n  transport = t1\n"
	"sel:\n  driver = dnslookup\n  domains = self.test\n  self = pass\n  transport = t2\n"
	"sel2:\n  driver = accept\n  domains = self.test\n  transport = t1\n"
	"inc:\n  driver = redirect\n  domains = inc.test\n  data = :include:/etc/$local_part_data\n"
	"  local_parts = list : self : none : open\n  pipe_transport = tp\n"
	"skip:\n  driver = redirect\n  domains = skip.test\n  data = a b, x@cond.test\n  skip_syntax_errors\n"
	"own:\n  driver = redirect\n  domains = own.test\n  file = /etc/open\n"
	"user:\n  driver = redirect\n  domains = user.test\n  file = /f/$local_part_data\n  user = 4242\n  group = 4242\n"
	"  local_parts = list : loose : public : private : alice : bad\n  skip_bad_file\n"
	"list:\n  driver = redirect\n  domains = list.test\n  data = :include:/etc/$local_part_data\n  user = 4242\n  group = 4242\n"
	"  local_parts = list : private\n  pipe_transport = tp\n"
	TRANSPORTS;

struct try {
	enum route_mode	 mode;
	const char	*address, *text;
};

static void
run(const char *conf, const struct try *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct fix f;
		char *out;

		fix_init(&f, conf);
		out = answer(&f, t[i].mode, t[i].address);
		if (strcmp(out, t[i].text) != 0)
			print_message("%s:\n%s\nnot\n%s\n", t[i].address, out, t[i].text);
		assert_string_equal(out, t[i].text);
		free(out);
		route_result_free(&f.res);
		fix_fini(&f);
	}
}

static void
local(void **state)
{
	static const struct try t[] = {
		{ T, "bob@a.test", "bob@a.test\n  router = users, transport = t1\nrc=0" },
		{ T, "BOB@A.test", "BOB@A.test\n  router = users, transport = t1\nrc=0" },
		{ T, "bob+box@a.test", "bob+box@a.test\n  router = users, transport = t1\nrc=0" },
		{ T, "root@a.test", "alice@a.test\n    <-- alice@a.test\n    <-- root@a.test\n  router = users, transport = t1\n"
		    "other@remote.test\n    <-- alice@a.test\n    <-- root@a.test\n  router = remote, transport = t2\n"
		    "  host mx1.remote.test [198.51.100.11] MX=10\n  host mx2.remote.test [198.51.100.12] MX=20\nrc=0" },
		{ T, "zed@a.test", "zed@a.test is undeliverable: no such user zed\nrc=2" },
		{ T, "gone@a.test", "gone@a.test is undeliverable: 551 5.1.6 moved on\nrc=2" },
		{ T, "busy@a.test", "busy@a.test cannot be resolved at this time: later\nrc=1" },
		{ T, "hole@a.test", "mail to hole@a.test is discarded\nrc=0" },
		{ T, "pipe@a.test", "pipe@a.test -> |/bin/prog\n  transport = tp\nrc=0" },
		{ T, "file@a.test", "file@a.test -> /var/mail/f\n  transport = tf\nrc=0" },
		{ T, "unknown@a.test", "unknown@a.test is undeliverable: no such user unknown\nrc=2" },
		{ T, "loop@a.test", "loop@a.test is undeliverable: no such user loop\n    <-- loop@a.test\nrc=2" },
		{ T, "x@remote.test", "x@remote.test\n  router = remote, transport = t2\n"
		    "  host mx1.remote.test [198.51.100.11] MX=10\n  host mx2.remote.test [198.51.100.12] MX=20\nrc=0" },
		{ T, "x@host.test", "x@host.test\n  router = remote, transport = t2\n  host host.test [198.51.100.20]\nrc=0" },
		{ T, "x@none.test", "x@none.test is undeliverable: Unrouteable address\nrc=2" },
		{ T, "x@dead.test", "x@dead.test is undeliverable: all relevant MX records point to non-existent hosts\nrc=2" },
		{ T, "x@null.test", "x@null.test is undeliverable: an MX or SRV record indicated no SMTP service\nrc=2" },
		{ T, "x@slow.test", "x@slow.test cannot be resolved at this time: host lookup did not complete\nrc=1" },
		{ T, "x@self.test", "x@self.test cannot be resolved at this time: lowest numbered MX record points to local host\n"
		    "rc=1" },
		{ T, "x@second.test", "x@second.test\n  router = remote, transport = t2\n"
		    "  host mx1.remote.test [198.51.100.11] MX=10\nrc=0" },
		{ V, "bob@a.test", "bob@a.test verified\nrc=0" },
		{ V, "sales@a.test", "sales@a.test verified\nrc=0" },
		{ V, "chain1@a.test", "chain1@a.test verified\nrc=0" },
		{ V, "gone@a.test", "gone@a.test failed to verify: 551 5.1.6 moved on\nrc=2" },
		{ V, "zed@a.test", "zed@a.test failed to verify: no such user zed\nrc=2" },
		{ VS, "x@slow.test", "x@slow.test cannot be resolved at this time: host lookup did not complete\nrc=1" },
	};

	(void)state;
	run(aliases, t, sizeof(t) / sizeof(t[0]));
}

static void
drivers(void **state)
{
	static const struct try t[] = {
		{ T, "x@one.test", "x@one.test\n  router = m, transport = t2\n  host h1.test [198.51.100.41]\nrc=0" },
		{ T, "x@alias1.test", "x@alias1.test\n  router = m, transport = t2\n  host h1.test [198.51.100.41]\nrc=0" },
		{ T, "x@two.test", "x@two.test\n  router = m, transport = t2\n  host h1.test [198.51.100.41]\n"
		    "  host h2.test [198.51.100.42]\nrc=0" },
		{ T, "x@three.test", "x@three.test\n  router = m, transport = t2\n  host 198.51.100.99 [198.51.100.99]\nrc=0" },
		{ T, "x@four.test", "x@four.test\n  router = m, transport = t2\n  host h1.test [198.51.100.41] port=2525\nrc=0" },
		{ T, "x@a.five.test", "x@a.five.test\n  router = m, transport = t1\n  host h1.test : h2.test          \nrc=0" },
		{ T, "x@six2.test", "x@six2.test\n  router = m, transport = t2\n  host h2.test [198.51.100.42]\nrc=0" },
		{ T, "x@seven.test", "x@seven.test cannot be resolved at this time: lookup of host \"none.test\" failed in m router\n"
		    "rc=1" },
		{ T, "x@eight.test", "x@eight.test cannot be resolved at this time: host lookup for slow.test did not complete (DNS timeout?)\nrc=1" },
		{ T, "x@nine.test", "x@nine.test\n  router = m, transport = t2\n  host mx1.remote.test [198.51.100.11] MX=10\n"
		    "  host mx2.remote.test [198.51.100.12] MX=20\nrc=0" },
		{ T, "x@ten.test", "x@ten.test cannot be resolved at this time: remote host address is the local host\nrc=1" },
		{ T, "x@[198.51.100.9]", "x@[198.51.100.9]\n  router = lit, transport = t2\n  host [198.51.100.9] [198.51.100.9]\n"
		    "rc=0" },
		{ T, "x@copy.test", "x@copy.test\n    <-- x@copy.test\n  router = unseen, transport = t1\n"
		    "x@copy.test\n    <-- x@copy.test\n  router = copies, transport = t2\nrc=0" },
		{ T, "Joe@case.test", "Joe@case.test\n  router = case, transport = t1\nrc=0" },
		{ T, "joe@case.test", "joe@case.test is undeliverable: Unrouteable address\nrc=2" },
		{ T, "real-joe@pre.test", "real-joe@pre.test\n  router = prefix, transport = t1\nrc=0" },
		{ T, "any-x-joe@pre.test", "any-x-joe@pre.test\n  router = prefix, transport = t1\nrc=0" },
		{ T, "joe@pre.test", "joe@pre.test is undeliverable: Unrouteable address\nrc=2" },
		{ T, "a@file.test", "a@file.test\n  router = files, transport = t1\nrc=0" },
		{ T, "a@file2.test", "a@file2.test is undeliverable: Unrouteable address\nrc=2" },
		{ T, "a@from.test", "a@from.test\n  router = senders, transport = t1\nrc=0" },
		{ T, "a@nomore.test", "a@nomore.test is undeliverable: not a\nrc=2" },
		{ T, "yes@cond.test", "yes@cond.test\n  router = cond, transport = t1\nrc=0" },
		{ T, "no@cond.test", "no@cond.test is undeliverable: Unrouteable address\nrc=2" },
		{ T, "a@vo.test", "a@vo.test is undeliverable: Unrouteable address\nrc=2" },
		{ V, "a@vo.test", "a@vo.test verified\nrc=0" },
		{ V, "a@fv.test", "a@fv.test failed to verify: failverify router forced verify failure\nrc=2" },
		{ VS, "a@fv.test", "a@fv.test verified\nrc=0" },
		{ T, "a@self.test", "a@self.test\n  router = sel2, transport = t1\nrc=0" },
		{ T, "list@inc.test", "a@remote.test is undeliverable: Unrouteable address\n    <-- list@inc.test\n"
		    "b@remote.test is undeliverable: Unrouteable address\n    <-- list@inc.test\n"
		    "list@inc.test -> |/bin/cat x, y\n  transport = tp\nrc=2" },
		{ T, "self@inc.test", "self@inc.test cannot be resolved at this time: :include: files nested more than 10 deep\nrc=1" },
		{ T, "none@inc.test", "none@inc.test cannot be resolved at this time: error in redirect data: failed to open "
		    "included file /etc/none: No such file or directory\nrc=1" },
		{ T, "a@skip.test", "x@cond.test is undeliverable: Unrouteable address\n    <-- a@skip.test\nrc=2" },
		{ T, "a@own.test", "a@own.test cannot be resolved at this time: bad mode (0100666) for /etc/open: 022 bit(s) unexpected\n"
		    "rc=1" },
		{ T, "taint@query.test",
		    "taint@query.test cannot be resolved at this time: Tainted arg 2 for queryprogram router command: 'taint'\nrc=1" },
		/* What is included is read by us and has to be what the user may read. */
		{ T, "list@user.test", "list@user.test cannot be resolved at this time: error in redirect data: malformed address in "
		    "line 2 of /home/bob/list\nrc=1" },
		{ T, "public@user.test", "fine@one.test\n    <-- public@user.test\n  router = m, transport = t2\n"
		    "  host h1.test [198.51.100.41]\nrc=0" },
		{ T, "private@user.test", "private@user.test cannot be resolved at this time: error in redirect data: included file "
		    "/etc/private is not used: the user may not read it\nrc=1" },
		{ T, "loose@user.test", "loose@user.test cannot be resolved at this time: error in redirect data: included file "
		    "/home/bob/loose is not used: others may write it\nrc=1" },
		{ T, "alice@user.test", "alice@user.test cannot be resolved at this time: error in redirect data: included file "
		    "/home/alice/list is not used: it belongs neither to the user nor to root\nrc=1" },
		{ T, "bad@user.test", "bad@user.test cannot be resolved at this time: error in redirect data: malformed address in "
		    "line 3 of /f/bad\nrc=1" },
		{ T, "private@list.test", "private@list.test cannot be resolved at this time: error in redirect data: included file "
		    "/etc/private is not used: the user may not read it\nrc=1" },
		{ T, "decline@query.test", "decline@query.test is undeliverable: Unrouteable address\nrc=2" },
	};

	(void)state;
	run(manual, t, sizeof(t) / sizeof(t[0]));
}

static void
details(void **state)
{
	struct fix f;
	char *out;
	const struct route_delivery *d;

	(void)state;
	fix_init(&f, manual);
	out = answer(&f, ROUTE_DELIVER, "Joe@Var.test");
	if (f.res.ndeliveries != 1)
		print_message("%s\n", out);
	free(out);
	assert_int_equal(f.res.ndeliveries, 1);
	d = &f.res.delivery[0];
	assert_true(sv_eqs(d->address_data, "<joe>"));
	assert_true(sv_eqs(d->local_part, "joe"));
	assert_true(sv_eqs(d->domain, "var.test"));
	assert_true(sv_eqs(d->domain_data, "var.test"));
	assert_false(d->domain_data.tainted);
	assert_true(d->errors_to_set);
	assert_true(sv_eqs(d->errors_to, "owner@copy.test"));
	assert_int_equal(d->nheaders_add, 1);
	assert_true(sv_eqs(d->headers_add[0], "X-Y: <joe>"));
	assert_int_equal(d->nheaders_remove, 2);
	assert_int_equal(d->uid, 77);
	assert_int_equal(d->gid, 78);
	assert_non_null(d->vars);
	assert_true(sv_eqs(*(struct sv *)hash_get(d->vars, SV_LIT("x")), "joe"));
	assert_int_equal(f.res.verdict, EXIM_OK);
	route_result_free(&f.res);
	fix_fini(&f);

	fix_init(&f, aliases);
	out = answer(&f, ROUTE_DELIVER, "bob+Folder@a.test");
	free(out);
	d = &f.res.delivery[0];
	assert_true(sv_eqs(d->suffix, "+folder"));
	assert_true(sv_eqs(d->suffix_v, "folder"));
	assert_true(sv_eqs(d->local_part_data, "bob"));
	assert_string_equal(d->home, "/home/bob");
	assert_string_equal(d->user, "bob");
	assert_int_equal(d->uid, 1000);
	out = answer(&f, ROUTE_DELIVER, "gone@a.test");
	free(out);
	assert_int_equal(f.res.failure[0].code, 551);
	assert_int_equal(f.res.failure[0].err.cls, ERR_PERM);
	out = answer(&f, ROUTE_DELIVER, "twice@a.test");
	free(out);
	assert_int_equal(f.res.ndeliveries, 2);		/* alice, and what her file adds */
	out = answer(&f, ROUTE_EXPN, "sales@a.test");
	free(out);
	assert_int_equal(f.res.ngenerated, 2);
	fix_fini(&f);
}

static bool
done(void *arg, struct sv unique)
{
	return (sv_eqs(unique, arg));
}

/* After a deferral what was done is not done again. */
static void
restart(void **state)
{
	struct fix f;
	char *out;

	(void)state;
	fix_init(&f, aliases);
	f.rq.done = done;
	f.rq.done_arg = (void *)(uintptr_t)"bob@a.test";
	out = answer(&f, ROUTE_DELIVER, "sales@a.test");
	free(out);
	for (size_t i = 0; i < f.res.ndeliveries; i++)
		assert_false(sv_eqs(f.res.delivery[i].addr->address, "bob@a.test"));
	assert_int_equal(f.res.ndeliveries, 2);
	assert_int_equal(f.res.verdict, EXIM_OK);
	fix_fini(&f);
}

/* A server of accounts that answers at the second question only. */
static unsigned asked;

static enum exim_found
w_passwd_slow(void *arg, const char *name, struct arena *a, struct exim_passwd *pw)
{
	return (asked++ == 0 ? EXIM_NOTFOUND : w_passwd(arg, name, a, pw));
}

static void
test_finduser_retries(void **state)
{
	static const char users[] = "begin routers\nr:\n  driver = accept\n  check_local_user\n  transport = t1\n" TRANSPORTS;
	static const struct { const char *option; bool found; unsigned asked; } t[] = {
		{ "", false, 1 }, { "finduser_retries = 1\n", true, 2 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char conf[1000];
		struct fix f;
		char *out;

		(void)snprintf(conf, sizeof(conf), "%s%s", t[i].option, users);
		fix_init(&f, conf);
		f.w.passwd = w_passwd_slow;
		asked = 0;
		out = answer(&f, ROUTE_TEST, "alice@a.test");
		assert_int_equal(strstr(out, "router = r") != NULL, t[i].found);
		assert_int_equal(asked, t[i].asked);
		free(out);
		fix_fini(&f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finduser_retries),
		cmocka_unit_test(local), cmocka_unit_test(drivers), cmocka_unit_test(details), cmocka_unit_test(restart),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
