/* SPDX-License-Identifier: BSD-2-Clause */
/* Routing through the drivers, with accounts, files and DNS made of tables; answers as -bt writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include <cmocka.h>

#include "base/hash.h"
#include "dns/dns.h"
#include "route/route.h"

/* ---- a world ---- */

static enum exim_found
w_passwd(void *arg, const char *name, struct arena *a, struct exim_passwd *pw)
{
	if (strcmp(name, "alice") != 0 && strcmp(name, "bob") != 0)
		return (EXIM_NOTFOUND);
	*pw = (struct exim_passwd){ .name = arena_str(a, name), .home = arena_fmt(a, "/home/%s", name), .passwd = "x", .gecos = "",
	    .shell = "/bin/sh", .uid = 1000, .gid = 1001 };
	return (EXIM_FOUND);
}

static const struct { const char *path, *text; mode_t mode; uid_t uid; } disk[] = {
	{ "/home/alice/.forward", "\\alice, other@remote.test\n", 0600, 1000 },
	{ "/home/bob/.forward", "# nothing\n", 0600, 1000 },
	{ "/etc/list", "a@remote.test, b@remote.test\n# c@remote.test\n\"|/bin/cat x, y\"\n", 0644, 0 },
	{ "/etc/open", "x@y.test\n", 0666, 0 },
	{ "/home/bob/list", "fine@one.test\nnot an address\n", 0600, 4242 },
	{ "/home/bob/loose", "fine@one.test\n", 0622, 4242 },
	{ "/etc/public", "fine@one.test\n", 0644, 0 },
	{ "/etc/private", "secret: word\n", 0600, 0 },
	{ "/home/alice/list", "fine@one.test\n", 0644, 1000 },
	{ "/f/list", ":include:/home/bob/list\n", 0600, 4242 },
	{ "/f/loose", ":include:/home/bob/loose\n", 0600, 4242 },
	{ "/f/public", ":include:/etc/public\n", 0600, 4242 },
	{ "/f/private", ":include:/etc/private\n", 0600, 4242 },
	{ "/f/alice", ":include:/home/alice/list\n", 0600, 4242 },
	{ "/f/bad", "one@one.test\n\npass word\n", 0600, 4242 },
	{ "/etc/self", ":include:/etc/self\n", 0644, 0 },
	{ "/etc/aliases", "root: alice\nsales: alice, bob\nloop: loop\nout: x@remote.test\ngone: :fail: 551 5.1.6 moved on\n"
	    "busy: :defer: later\nhole: :blackhole:\npipe: |/bin/prog\nfile: /var/mail/f\nbad: a b c\ntwice: alice, alice\n"
	    "unknown: :unknown:\nchain1: chain2\nchain2: alice\n", 0644, 0 },
};

static int
w_readfile(void *arg, const char *path, size_t max, struct arena *a, struct sv *out, struct stat *st)
{
	for (size_t i = 0; i < sizeof(disk) / sizeof(disk[0]); i++)
		if (strcmp(path, disk[i].path) == 0) {
			if (st != NULL) {
				memset(st, 0, sizeof(*st));
				st->st_mode = S_IFREG | disk[i].mode;
				st->st_uid = disk[i].uid;
			}
			*out = sv_cstr(arena_str(a, disk[i].text));
			return (0);
		}
	errno = ENOENT;
	return (-1);
}

static int
w_stat(void *arg, const char *path, bool follow, struct stat *st)
{
	struct sv text;
	struct arena *a = arena_new(0);
	int rc = w_readfile(NULL, path, 1, a, &text, st);

	arena_free(&a);
	return (rc);
}

static enum exim_result
w_run(void *arg, const struct exim_run *r, struct arena *a, struct sv *out, int *rc, struct err *err)
{
	*rc = 0;
	*out = sv_taint(sv_cstr(arena_fmt(a, "%s\n", r->argv[1])));
	return (EXIM_OK);
}

static enum route_dns
d_mx(void *arg, const char *domain, struct arena *a, struct route_mx **mx, size_t *n, bool *secure)
{
	static const struct { const char *domain, *host; unsigned pref; } z[] = {
		{ "remote.test", "mx1.remote.test", 10 }, { "remote.test", "mx2.remote.test", 20 },
		{ "self.test", "us.test", 10 }, { "second.test", "mx1.remote.test", 10 }, { "second.test", "us.test", 20 },
		{ "second.test", "mx2.remote.test", 30 }, { "null.test", "", 0 }, { "dead.test", "none.test", 10 },
		{ "wide.remote.test", "mx1.remote.test", 5 },
	};

	*secure = false;
	*mx = arena_alloc(a, sizeof(z) / sizeof(z[0]) * sizeof(**mx));
	*n = 0;
	for (size_t i = 0; i < sizeof(z) / sizeof(z[0]); i++)
		if (strcmp(z[i].domain, domain) == 0)
			(*mx)[(*n)++] = (struct route_mx){ z[i].host, z[i].pref };
	if (strcmp(domain, "slow.test") == 0)
		return (ROUTE_DNS_TEMPFAIL);
	if (*n > 0)
		return (ROUTE_DNS_FOUND);
	return (strcmp(domain, "host.test") == 0 ? ROUTE_DNS_NODATA : ROUTE_DNS_NXDOMAIN);
}

static enum route_dns
d_addrs(void *arg, const char *host, unsigned families, struct arena *a, struct net_addr **addrs, size_t *n, bool *secure)
{
	static const struct { const char *host, *addr; } z[] = {
		{ "mx1.remote.test", "198.51.100.11" }, { "mx2.remote.test", "198.51.100.12" }, { "us.test", "192.0.2.1" },
		{ "host.test", "198.51.100.20" }, { "h1.test", "198.51.100.41" }, { "h2.test", "198.51.100.42" },
		{ "six.test", "2001:db8::6" }, { "six.test", "198.51.100.66" },
	};

	*addrs = arena_alloc(a, sizeof(z) / sizeof(z[0]) * sizeof(**addrs));
	*n = 0;
	*secure = false;
	if (strcmp(host, "slow.test") == 0)
		return (ROUTE_DNS_TEMPFAIL);
	for (size_t i = 0; i < sizeof(z) / sizeof(z[0]); i++)
		if (strcmp(z[i].host, host) == 0 && net_addr_parse(sv_cstr(z[i].addr), &(*addrs)[*n]) &&
		    ((*addrs)[*n].family == 4 || (families & DNS_V6)))
			(*n)++;
	return (*n > 0 ? ROUTE_DNS_FOUND : ROUTE_DNS_NXDOMAIN);
}

static bool
d_local(void *arg, const struct net_addr *a)
{
	char buf[NET_ADDR_TEXT_MAX];

	return (strcmp(net_addr_text(a, buf), "192.0.2.1") == 0);
}

static const struct route_ops dns_ops = { .mx = d_mx, .addrs = d_addrs, .is_local = d_local };

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
	"  ^six(\\\\d+)\\\\.test\\$ h$1.test ; seven.test none.test ; eight.test slow.test ; nine.test remote.test/MX ; \\\n"
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
	"q:\n  driver = queryprogram\n  domains = query.test\n  command = /bin/q \"${if eq{$local_part}{decline}{decline}}\" \"${if eq{$local_part}{taint}{$local_part}}\"\n  command_user = 0\n  transport = t1\n"
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

static struct exim_conf *
load(const char *text)
{
	struct exim_report rep = EXIM_REPORT_INIT;
	struct exim_conf_source src = { .path = "t", .text = sv_cstr(text), .hostname = "us.test" };
	struct exim_conf *c = NULL;
	struct err err = ERR_INIT;

	if (exim_conf_load(&c, &src, &rep, &err) == -1)
		fail_msg("%s", err.text);
	return (c);
}

struct fix {
	struct exim_conf *c;
	struct arena	*a;
	struct exim_world w;
	struct exim_env	 env;
	struct exim_session session;
	struct exim_message msg;
	struct route_request rq;
	struct route_result res;
};

static void
fix_init(struct fix *f, const char *conf)
{
	memset(f, 0, sizeof(*f));
	f->c = load(conf);
	f->a = arena_new(0);
	f->w.passwd = w_passwd;
	f->w.readfile = w_readfile;
	f->w.stat = w_stat;
	f->w.run = w_run;
	exim_conf_env(f->c, &f->env);
	f->env.arena = f->a;
	f->env.world = &f->w;
	f->env.session = &f->session;
	f->env.msg = &f->msg;
	f->rq = (struct route_request){ .conf = f->c, .env = &f->env, .arena = f->a, .ops = &dns_ops, .mode = ROUTE_TEST,
	    .sender = SV_LIT("me@good.test") };
}

static void
fix_fini(struct fix *f)
{
	exim_conf_unref(&f->c);
	arena_free(&f->a);
}

static char *
answer(struct fix *f, enum route_mode mode, const char *address)
{
	struct sb out = SB_INIT(1 << 16);
	int rc;

	f->rq.mode = mode;
	f->rq.address = sv_taint(sv_cstr(arena_str(f->a, address)));
	route_address(&f->rq, &f->res);
	rc = route_print(&f->rq, &f->res, true, &out);
	sb_addf(&out, "rc=%d", rc);
	assert_null(f->env.addr);
	return (sb_steal(&out, NULL));
}

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

#define T ROUTE_TEST
#define V ROUTE_VERIFY_RECIPIENT
#define VS ROUTE_VERIFY_SENDER

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(local), cmocka_unit_test(drivers), cmocka_unit_test(details), cmocka_unit_test(restart),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
