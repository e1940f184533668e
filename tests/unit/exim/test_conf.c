/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading of configurations: options of all types, sections, references, retry and rewrite rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>

#include <cmocka.h>

#include "base/sb.h"
#include "exim/acl.h"
#include "exim/conf.h"
#include "exim/logsel.h"

static char told[16384];
static unsigned nwarn;

static void
tell(void *arg, const struct err *e, bool warning)
{
	size_t n = strlen(told);

	(void)arg;
	nwarn += warning;
	(void)snprintf(told + n, sizeof(told) - n, "%s%s\n", warning ? "warning: " : "", e->text);
}

static struct exim_conf *
load_strict(const char *text, bool strict)
{
	struct exim_report rep = EXIM_REPORT_INIT;
	struct exim_conf_source src = { .path = "t.conf", .text = sv_cstr(text), .hostname = "host.example" };
	struct exim_conf *c = NULL;
	struct err err = ERR_INIT;

	told[0] = '\0';
	nwarn = 0;
	rep.fn = tell;
	rep.strict = strict;
	if (exim_conf_load(&c, &src, &rep, &err) == -1) {
		assert_null(c);
		assert_int_equal(err.cls, ERR_CONFIG);
		assert_string_not_equal(err.text, "");
	}
	return (c);
}

/* What is warned about where somebody wants to see it all. */
static void
traps(void **state)
{
	static const struct { const char *text, *want; } t[] = {
		{ "DOM = x\ndomainlist my_DOMAINS = a.test\n", "t.conf:2: macro DOM is replaced inside of \"my_DOMAINS\": give it" },
		{ "DOM = x\n# DOMAINS\ndomainlist d = DOM : DOM.test\n", NULL },
		{ "hostlist h = 10.0.0.0/8 : 2001:db8::1\n", "t.conf:1: h: the list is cut at the colons of \"2001:db8::1\": write "
		    "\"2001::db8::::1\", or begin the list with \"<;\"" },
		{ "hostlist h = 10.0.0.0/8 : ::::1 : 2001::db8::::1\nlocal_interfaces = <; ::1 ; 127.0.0.1\n", NULL },
		{ "local_interfaces = 127.0.0.1 : ::1\n", "t.conf:1: local_interfaces: the list is cut at the colons of \"::1\"" },
		{ "hostlist h = 127.0.0.1 : 10/8\n", "mask \"10/8\", at which the list ends: write all four numbers, as in 10.0.0.0/8 (hostlist h)" },
		{ "hostlist h = 10.0.0.0/8 ; 10.1.2.3\n", "\"10.0.0.0/8 ; 10.1.2.3\", at which the list ends: begin the list with \"<;\" where" },
		{ "hostlist h = <; 10.0.0.0/8 ; 10.1.2.3\n", NULL },
		{ "begin routers\nr:\n  driver = redirect\n  file = /srv/$local_part/.forward\n", "t.conf:4: file: $local_part is a peer's "
		    "word, and a name of a file made of it is refused when it comes to it: write $local_part_data, which check_local_user" },
		{ "begin routers\nr:\n  driver = redirect\n  file = /srv/${lookup{$local_part}dsearch{/}}/$local_part_data/.forward\n", NULL },
		{ "begin routers\nr:\n  driver = redirect\n  data = ${lookup{$local_part}lsearch*{/srv/${lc:$domain}/aliases}}\n",
		    "t.conf:4: data: $domain is a peer's word, and a name of a file made of it is refused when it comes to it: write "
		    "$domain_data, which domains" },
		{ "begin routers\nr:\n  driver = accept\n  local_parts = a : lsearch;/srv/${domain}/users\n  verify_only\n",
		    "t.conf:4: local_parts: $domain is a peer's word" },
		{ "smtp_banner = ${readfile{/srv/\\$domain$domain_data${if eq{$domain}{a}{b}}}}\n", NULL },
		{ "begin transports\nt:\n  driver = appendfile\n  directory = /srv/$domain_data/$h_to:/\n", "t.conf:4: directory: $h_to is a "
		    "peer's word" },
		{ "domainlist d = ^a\\.test\\$\n", "t.conf:1: d: the backslash of \"\\.\" in \"^a\\.test\\$\" is taken away" },
		{ "domainlist d = \\N^a\\.test$\\N : ^[a.]+x\n", NULL },
		{ "domainlist d = ^a$\n", "protection: write \\N before and behind it" },
		{ "smtp_banner = ${if match{$host}{^a\\d+}{a}{b}}\n", "t.conf:1: smtp_banner: the backslash of \"\\d\"" },
		{ "smtp_banner = ${if match{$host}{\\N^a\\d{2,3}$\\N}{a}{b}}\n", NULL },
		{ "domainlist d = \\N^(a\\N\n", "t.conf:1: d: regular expression error in \"^(a\"" },
		{ "smtp_banner = ${sg{$host}{(}{}}\n", "t.conf:1: smtp_banner: regular expression error in \"(\"" },
		{ "domainlist d = lsearch;/no/such/file\n", "t.conf:1: d: /no/such/file is not there: the list defers" },
		{ "smtp_banner = ${lookup{a}lsearch{/no/such}}${readfile{/no/such}}\n", "t.conf:1: smtp_banner: /no/such is not there" },
		{ "smtp_banner = ${if exists{/no/such}{${readfile{/no/such}}}}\n", NULL },
		{ "tls_certificate = /no/such.pem\n", "t.conf:1: tls_certificate: /no/such.pem is not there: TLS will not work" },
		{ "begin acl\na:\n  accept\n  deny\n", "t.conf:4: ACL a: this statement is never reached: the accept of line 3" },
		{ "begin acl\na:\n  deny message = x\n       hosts = *\n  accept\n", NULL },
		{ "begin acl\na:\n  accept domains = a\n         endpass\n         verify = recipient\n         message = x\n",
		    "t.conf:6: message stands behind the conditions of accept" },
		{ "begin acl\na:\n  require verify = sender\n          message = x\n", "t.conf:4: \"message\" stands behind" },
		{ "begin acl\na:\n  require message = x\n          verify = sender\n  accept acl = b\n", "t.conf:5: acl = b: there is no ACL" },
		{ "begin acl\na:\n  accept domains = +nowhere\n", "t.conf:3: unknown named list \"+nowhere\"" },
		{ "begin transports\np:\n  driver = pipe\n  command = /no/prog -x\n", "t.conf:4: command: /no/prog is not there" },
		{ "begin transports\np:\n  driver = pipe\n  command = /bin/sh \"${sg{$local_part}{\\\\\\\\+}{}}\"\n", NULL },
		{ "mysql_servers = db.test:3306/d/u/p\n", "t.conf:1: mysql_servers: the list is cut at the colon of \"db.test:3306\": write "
		    "\"db.test::3306\"" },
		{ "mysql_servers = db.test::3306/d/u/p : other.test/d/u/p\n", NULL },
		{ "ldap_default_servers = <; a.test:389 ; b.test\n", NULL },
		{ "spamd_address = 127.0.0.1 783 : ::1 783\n", "t.conf:1: spamd_address: the list is cut at the colons of \"::1\"" },
		{ "local_interfaces = 127.0.0.1.25 : here.test\n", "t.conf:1: Malformed IP address \"here.test\" in local_interfaces" },
		{ "VER = x\nsmtp_banner = \"a\\nVER b\"\n", NULL },
		{ "begin acl\na:\n  deny condition = ${if match{$host}{^a$}{1}{0}}\n", "protection: write \\N before and behind it" },
		{ "begin acl\na:\n  deny\n  accept\n", "move it in front of that one or give that one a condition" },
		{ "begin routers\na:\n  driver = accept\n  verify_only\nb:\n  driver = dnslookup\n  self = pass\n  no_more\n  transport = t\n"
		    "c:\n  driver = accept\n  transport = t\nbegin transports\nt:\n  driver = smtp\n", NULL },
		{ "begin routers\na:\n  driver = redirect\n  data = $local_part@$domain\n  no_more\n"
		    "c:\n  driver = accept\n  transport = t\nbegin transports\nt:\n  driver = smtp\n", NULL },
		{ "begin routers\na:\n  driver = redirect\n  data = x@y.test\n  redirect_router = c\nb:\n  driver = accept\n  transport = t\n"
		    "c:\n  driver = accept\n  transport = t\nbegin transports\nt:\n  driver = smtp\n", NULL },
		{ "begin routers\nb:\n  driver = accept\n  transport = t\nc:\n  driver = accept\n  transport = t\nbegin transports\nt:\n"
		    "  driver = smtp\n", "t.conf:5: router c is never reached: router b takes every address: move it in front" },
		{ "message_size_limit = 25Q\n", "t.conf:1: message_size_limit: \"25Q\" is no number: write digits, with K, M or G" },
		{ "message_size_limit = 25M\nsmtp_accept_max_per_host = ${if eq{a}{b}{1}{2}}\n", NULL },
		{ "begin transports\nt:\n  driver = appendfile\n  maildir_format\n  directory = /x\n  quota = 1.5M/no_check\n  quota_filecount = 10 / no_check\n",
		    NULL },
		{ "begin transports\nt:\n  driver = appendfile\n  file = /x\n  quota = 10MB/no_check\n", "t.conf:5: quota: \"10MB\" is no" },
		{ "begin acl\na:\n  deny ratelimit = many / 1h\n", "t.conf:3: ratelimit: \"many\" is no number" },
		{ "begin acl\na:\n  deny ratelimit = 1.5k / 1 hour\n", "t.conf:3: ratelimit: \"1 hour\" is no time: write it like 5m" },
		{ "begin acl\na:\n  deny seen = -5 minutes / key=$sender_address\n", "t.conf:3: seen: \"5 minutes\" is no time" },
		{ "begin acl\na:\n  warn ratelimit = 0 / 1h / strict / $sender_address\n  warn ratelimit = ${if eq{a/b}{c}{1}{2}} / x\n  warn ratelimit = 10 / 1d12h / per_cmd\n"
		    "  warn seen = never\n  warn seen = -5m / key=$sender_address\n", NULL },
		{ "begin authenticators\np:\n  driver = plaintext\n  client_send = ${if\n", "t.conf:4: authenticator p: " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct exim_report rep = EXIM_REPORT_INIT;
		struct exim_conf_source src = { .path = "t.conf", .text = sv_cstr(t[i].text), .hostname = "host.example" };
		struct exim_conf *c = NULL;
		struct err err = ERR_INIT;

		told[0] = '\0';
		rep.fn = tell;
		rep.traps = true;
		/* Nothing that Exim takes is refused. */
		assert_int_equal(exim_conf_load(&c, &src, &rep, &err), 0);
		if (t[i].want == NULL ? told[0] != '\0' : strstr(told, t[i].want) == NULL)
			fail_msg("%s:\n%s\nnot\n%s", t[i].text, told, t[i].want == NULL ? "(nothing)" : t[i].want);
		exim_conf_unref(&c);
	}
}

static struct exim_conf *
load(const char *text)
{
	return (load_strict(text, false));
}

static void
typed(void **state)
{
	struct exim_conf *c = load(
	    "qualify_domain = a.example\n"
	    "no_message_logs\nprdr_enable = yes\n"
	    "smtp_accept_max = 0x10\ncheck_spool_space = 20M\nbounce_return_size_limit = 2K\n"
	    "queue_only_load = 1.5\ndelay_warning = 4h:8h:1d\ntimeout_frozen_after = 7d\n"
	    "domainlist local = a.example : *.b.example\n"
	    "host_lookup = *\nacl_smtp_rcpt = check\nacl_smtp_vrfy = accept\nlog_selector = +subject -tls_cipher\n"
	    "hide mysql_servers = a/b/c/d\nnever_users = 0\n"
	    "begin acl\ncheck:\n  accept domains = +local\n  deny\n");
	const struct exim_value *v;

	(void)state;
	assert_string_equal(told, "");
	assert_non_null(c);
	assert_true(sv_eqs(c->g.qualify_domain, "a.example"));
	assert_true(sv_eqs(c->g.qualify_recipient, "a.example"));
	assert_true(sv_eqs(c->g.primary_hostname, "host.example"));
	assert_false(exim_main_bool(c, EXIM_MAIN_message_logs));
	assert_true(exim_main_bool(c, EXIM_MAIN_prdr_enable));
	assert_true(exim_main_bool(c, EXIM_MAIN_accept_8bitmime));
	assert_int_equal(exim_main_int(c, EXIM_MAIN_smtp_accept_max), 16);
	assert_int_equal(exim_main_int(c, EXIM_MAIN_check_spool_space), 20 * 1024);
	assert_int_equal(exim_main_int(c, EXIM_MAIN_bounce_return_size_limit), 2048);
	assert_int_equal(exim_main_int(c, EXIM_MAIN_queue_only_load), 1500);
	assert_int_equal(exim_main_int(c, EXIM_MAIN_deliver_queue_load_max), -1);
	assert_int_equal(exim_main_int(c, EXIM_MAIN_timeout_frozen_after), 7 * 86400);
	assert_int_equal(exim_main_int(c, EXIM_MAIN_smtp_receive_timeout), 300);
	assert_int_equal(exim_main_int(c, EXIM_MAIN_recipients_max), 50000);
	v = &c->main[EXIM_MAIN_delay_warning];
	assert_int_equal(v->n, 3);
	assert_int_equal(v->nums[1], 8 * 3600);
	assert_true(c->main[EXIM_MAIN_mysql_servers].hide);
	assert_int_equal(c->main[EXIM_MAIN_never_users].nums[0], 0);
	assert_non_null(exim_main_list(c, EXIM_MAIN_host_lookup));
	assert_non_null(exim_main_list(c, EXIM_MAIN_tls_advertise_hosts));
	assert_non_null(c->where_acl[EXIM_WHERE_RCPT]);
	assert_ptr_equal(c->where_acl[EXIM_WHERE_RCPT], exim_conf_acl(c, sv_cstr("check")));
	assert_non_null(c->where_acl[EXIM_WHERE_VRFY]);
	assert_null(c->where_acl[EXIM_WHERE_MAIL]);
	assert_true(EXIM_LOGSEL_ON(c->log_selector, subject));
	assert_false(EXIM_LOGSEL_ON(c->log_selector, tls_cipher));
	assert_true(EXIM_LOGSEL_ON(c->log_selector, queue_run));
	exim_conf_unref(&c);
}

static void
drivers(void **state)
{
	struct exim_conf *c = load(
	    "begin routers\n"
	    "aliases:\n  driver = redirect\n  domains = a.example\n  data = x@b.example\n  allow_fail\n  no_more\n"
	    "  pipe_transport = pipe\n  headers_add = \"X-A: 1\\nX-B: 2\"\n  headers_add = X-C: 3\n"
	    "  condition = yes\n  condition = 1\n  set = r_a = 1 ; r_b = $local_part\n"
	    "route:\n  driver = manualroute\n  transport = out\n  route_list = *.x mx.x : b byname ; y 192.0.2.1::26\n"
	    "  no_verify\n"
	    "final:\n  # a comment\n  transport = out\n  driver = accept\n  local_part_suffix = +* : -*\n  local_part_suffix_optional\n"
	    "  local_part_prefix = real-\n"
	    "begin transports\n"
	    "out:\n  driver = smtp\n  hosts_require_tls = *\n"
	    "pipe:\n  driver = pipe\n  return_output\n  umask = 077\n"
	    "box:\n  driver = store\n  account = $local_part_data\n"
	    "begin authenticators\n"
	    "plain:\n  driver = plaintext\n  public_name = plain\n  server_condition = yes\n");
	const struct exim_router *r;
	const struct exim_transport *t;

	(void)state;
	assert_string_equal(told, "");
	assert_int_equal(c->nrouters, 3);
	assert_int_equal(c->ntransports, 3);
	r = exim_conf_router(c, sv_cstr("aliases"));
	assert_int_equal(r->drv, EXIM_ROUTER_DRV_REDIRECT);
	assert_true(r->d.own[EXIM_REDIRECT_allow_fail].num);
	assert_false(r->d.own[EXIM_REDIRECT_allow_defer].num);
	assert_false(r->d.generic[EXIM_ROUTER_more].num);
	assert_int_equal(r->d.generic[EXIM_ROUTER_headers_add].n, 3);
	assert_int_equal(r->d.generic[EXIM_ROUTER_condition].n, 2);
	assert_int_equal(r->d.generic[EXIM_ROUTER_set].n, 2);
	assert_string_equal(r->d.generic[EXIM_ROUTER_set].vars[1].name, "b");
	assert_string_equal(r->pipe_transport->d.name, "pipe");
	r = exim_conf_router(c, sv_cstr("route"));
	assert_int_equal(r->nrules, 2);
	assert_false(r->verify_sender);
	assert_false(r->verify_recipient);
	r = exim_conf_router(c, sv_cstr("final"));
	assert_string_equal(r->transport->d.name, "out");
	assert_int_equal(r->nsuffix, 2);
	assert_true(r->suffix[0].wild);
	assert_true(sv_eqs(r->suffix[0].text, "+"));
	assert_true(sv_eqs(r->prefix[0].text, "real-"));
	t = exim_conf_transport(c, sv_cstr("pipe"));
	assert_true(t->local);
	assert_int_equal(t->d.own[EXIM_PIPE_umask].num, 077);
	assert_int_equal(t->d.own[EXIM_PIPE_max_output].num, 20 * 1024);
	t = exim_conf_transport(c, sv_cstr("out"));
	assert_false(t->local);
	assert_int_equal(t->d.own[EXIM_SMTP_final_timeout].num, 600);
	assert_int_equal(exim_conf_transport(c, sv_cstr("box"))->drv, EXIM_TRANSPORT_DRV_STORE);
	assert_string_equal(exim_conf_auth(c, sv_cstr("plain"))->public_name, "PLAIN");
	assert_true(exim_conf_auth(c, sv_cstr("plain"))->server);
	exim_conf_unref(&c);
}

/* Each mistake is told with its line, and reading goes on behind it. */
static void
mistakes(void **state)
{
	static const struct { const char *text, *err; } t[] = {
		{ "split_spool_directory = maybe\n", "t.conf:1: \"maybe\" is not a valid value" },
		{ "smtp_accept_max = ten\n", "t.conf:1: integer expected for smtp_accept_max, not \"ten\"" },
		{ "qualify_domain foo.test\n", "t.conf:1: missing \"=\" after qualify_domain" },
		{ "qualify_domain = a\nqualify_domain = b\n", "t.conf:2: \"qualify_domain\" option set for the second time" },
		{ "qualfy_domain = a\n", "did you mean \"qualify_domain\"" },
		{ "no_qualify_domain\n", "negation prefix applied to a non-boolean option" },
		{ "qualify_domain\n", "(data missing) after qualify_domain: it needs \"= value\"" },
		{ "domainlist bad-name = x\n", "missing '=' after \"bad\"" },
		{ "domainlist a = x\ndomainlist a = y\n", "duplicate name \"a\" for a named domain list" },
		{ "log_selector = +nope\n", "unknown log_selector setting: +nope" },
		{ "begin nothing\n", "not a known configuration section" },
		{ "begin acl\nbegin acl\n", "section is repeated" },
		{ "begin routers\nr:\n  driver = nosuch\n", "t.conf:2: router r: cannot find router driver \"nosuch\"" },
		{ "begin routers\nr:\n  transport = t\n", "no driver defined for router \"r\"" },
		{ "begin routers\n  driver = accept\n", "router name missing" },
		{ "begin routers\nr:\n  driver = redirect\n  nosuchoption = 1\n  data = x\n", "option \"nosuchoption\" unknown" },
		{ "begin routers\nr:\n  driver = redirect\n", "one of \"file\" or \"data\" must be specified" },
		{ "begin routers\nr:\n  driver = redirect\n  data = a\n  file = /b\n", "only one of \"file\" or \"data\"" },
		{ "begin routers\nr:\n  driver = manualroute\n  transport = t\n", "route_list or route_data" },
		{ "begin routers\nr:\n  driver = accept\n", "t.conf:2: r router: a transport is required" },
		{ "begin routers\nr:\n  driver = redirect\n  data = x\n  pass_router = z\n", "new_router \"z\" not found for \"r\" router" },
		{ "begin routers\nr:\n  driver = redirect\n  data = x\n  self = what\n", "not valid for the self option" },
		{ "begin transports\nt:\n  driver = appendfile\n  file = /a\n  directory = /b\n", "only one of \"file\" or" },
		{ "begin acl\na:\n  accept nosuch = x\n", "unknown ACL condition/modifier in \"accept nosuch = x\"" },
		{ "begin acl\n  accept\n", "missing or malformed ACL name" },
		{ "begin acl\na:\n  hosts = *\n", "unknown ACL verb \"hosts\"" },
		{ "begin acl\na:\n  deny endpass\n", "\"endpass\" is not allowed with \"deny\"" },
		{ "begin acl\na:\n  deny !message = x\n", "negation is not allowed with \"message\"" },
		{ "begin acl\na:\n  warn set foo = x\n", "invalid variable name after \"set\" in ACL modifier \"set foo = x\"" },
		{ "begin acl\na:\n  warn domains\n", "\"=\" missing after ACL \"domains\" condition" },
		{ "begin retry\n*  *  X,1h,5m\n", "unknown retry rule letter: it must be F, G or H" },
		{ "begin retry\n*  nosucherror  F,1h,5m\n", "unknown or malformed retry error \"nosucherror\"" },
		{ "begin retry\n*  *  F,1h\n", "comma expected" },
		{ "begin rewrite\n*@x.test  $1@y.test  S\n", "has the S flag but is not a regular expression" },
		{ "begin rewrite\n*@x.test  $1@y.test  K\n", "unknown rewrite flag character 'K'" },
		{ "begin authenticators\na:\n  driver = plaintext\na:\n  driver = plaintext\n", "there are two authenticators" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct exim_conf *c = load(t[i].text);

		if (c != NULL || strstr(told, t[i].err) == NULL)
			print_message("%s -> %s\n", t[i].text, told);
		assert_null(c);
		assert_non_null(strstr(told, t[i].err));
	}
	assert_null(load("a_a = 1\nsmtp_accept_max = x\nbegin routers\nr:\n  driver = accept\nbegin retry\nq\n"));
	assert_non_null(strstr(told, "t.conf:1:"));
	assert_non_null(strstr(told, "t.conf:2:"));
	assert_non_null(strstr(told, "t.conf:4:"));
	assert_non_null(strstr(told, "t.conf:7:"));
}

/* What Exim finds only later is a warning, or a mistake for `vpost check`. */
static void
soft(void **state)
{
	static const struct { const char *text, *err; } t[] = {
		{ "begin routers\nr:\n  driver = accept\n  transport = none\n", "t.conf:4: router r: transport \"none\" not found" },
		{ "acl_smtp_rcpt = none\n", "there is no ACL \"none\"" },
		{ "hold_domains = +none\n", "unknown named list \"+none\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct exim_conf *c = load(t[i].text);

		assert_non_null(c);
		if (strstr(told, t[i].err) == NULL)
			print_message("%s -> %s\n", t[i].text, told);
		assert_non_null(strstr(told, t[i].err));
		exim_conf_unref(&c);
		assert_null(load_strict(t[i].text, true));
	}
}

static void
warnings(void **state)
{
	struct exim_conf *c = load("begin routers\na:\n  driver = accept\n  transport = t\nb:\n  driver = accept\n  transport = t\n"
	    "begin transports\nt:\n  driver = smtp\n");

	(void)state;
	assert_non_null(c);
	assert_non_null(strstr(told, "router b is never reached: router a takes every address"));
	exim_conf_unref(&c);
	c = load("bmi_config_file = /x\n");
	assert_non_null(strstr(told, "known but has no effect"));
	exim_conf_unref(&c);
	c = load("begin acl\na:\n  require domains = x\n    message = y\n");
	assert_non_null(strstr(told, "put it before"));
	exim_conf_unref(&c);
}

static void
retry(void **state)
{
	struct exim_conf *c = load("begin retry\n"
	    "lists.test          *  F,1h,10m\n"
	    "slow.test           timeout_connect  G,2h,1m,2\n"
	    "slow.test           *  F,30m,5m; G,12h,1h,1.5; F,2d,6h\n"
	    "alice@mail.test     *  F,1h,1h\n"
	    "*@mail.test         refused_A  F,1h,5m\n"
	    "q.test              quota_7d  F,1h,2m\n"
	    "neg.test            *  senders=:  F,1h,30m\n"
	    "*                   rcpt_45x  F,4h,10m\n"
	    "*                   *  F,2h,15m; G,16h,1h,1.5; F,4d,6h\n");
	static const struct { const char *key, *alt, *sender; enum exim_retry_error e; char host; int code; int64_t age; int rule; }
	t[] = {
		{ "lists.test", "", "x@y", EXIM_RE_REFUSED, 'A', 0, 0, 0 },
		{ "slow.test", "", "x@y", EXIM_RE_TIMEOUT_CONNECT, 'A', 0, 0, 1 },
		{ "slow.test", "", "x@y", EXIM_RE_REFUSED, 'A', 0, 0, 2 },
		{ "alice@mail.test", "", "x@y", EXIM_RE_ANY, 0, 0, 0, 3 },
		{ "bob@mail.test", "", "x@y", EXIM_RE_REFUSED, 'A', 0, 0, 4 },
		{ "bob@mail.test", "", "x@y", EXIM_RE_REFUSED, 'M', 0, 0, 8 },
		{ "a@q.test", "", "x@y", EXIM_RE_QUOTA, 0, 0, 8 * 86400, 5 },
		{ "a@q.test", "", "x@y", EXIM_RE_QUOTA, 0, 0, 3600, 8 },
		{ "neg.test", "", "", EXIM_RE_ANY, 0, 0, 0, 6 },
		{ "neg.test", "", "x@y", EXIM_RE_ANY, 0, 0, 0, 8 },
		{ "u@other.test", "", "x@y", EXIM_RE_RCPT_4XX, 0, 451, 0, 7 },
		{ "u@other.test", "", "x@y", EXIM_RE_RCPT_4XX, 0, 421, 0, 8 },
		{ "mx.elsewhere", "lists.test", "x@y", EXIM_RE_REFUSED, 'M', 0, 0, 0 },
	};
	struct exim_world w;
	struct exim_env env;

	(void)state;
	assert_string_equal(told, "");
	memset(&w, 0, sizeof(w));
	memset(&env, 0, sizeof(env));
	env.world = &w;
	env.arena = arena_new(0);
	exim_conf_env(c, &env);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct exim_retry_what what = { .key = sv_cstr(t[i].key), .alternate = sv_cstr(t[i].alt),
		    .sender = sv_cstr(t[i].sender), .error = t[i].e, .host = t[i].host, .code = t[i].code, .quota_age = t[i].age };
		const struct exim_retry_rule *r = exim_retry_find(c, &env, &what);

		assert_non_null(r);
		if (r - c->retry != t[i].rule)
			print_message("%s: rule %d\n", t[i].key, (int)(r - c->retry));
		assert_int_equal(r - c->retry, t[i].rule);
	}
	/* F,30m,5m; G,12h,1h,1.5; F,2d,6h */
	const struct exim_retry_rule *r = &c->retry[2];
	assert_int_equal(exim_retry_next(r, 1000, 1000, 1000, 0, 0), 1300);
	assert_int_equal(exim_retry_next(r, 0, 1700, 1800, 0, 0), 1800 + 3600);
	assert_int_equal(exim_retry_next(r, 0, 1800, 9000, 0, 0), 9000 + 10800);
	assert_int_equal(exim_retry_next(r, 0, 1800, 9000, 0, 7200), 9000 + 7200);
	assert_int_equal(exim_retry_next(r, 0, 0, 50000, 0, 0), 50000 + 21600);
	assert_int_equal(exim_retry_next(r, 0, 0, 2 * 86400, 0, 0), 0);
	assert_true(exim_retry_expired(r, 0, 2 * 86400));
	assert_false(exim_retry_expired(r, 0, 2 * 86400 - 1));
	assert_true(exim_retry_expired(NULL, 0, 0));
	arena_free(&env.arena);
	exim_conf_unref(&c);
}

static void
rewrite(void **state)
{
	struct exim_conf *c = load("qualify_recipient = q.test\nbegin rewrite\n"
	    "\\N^<([^!]+)!(.*)>$\\N  \"<$2@$1.test>\"  S\n"
	    "keep@old.test  *  \n"
	    "*@old.test     $1@new.test\n"
	    "*@from.test    hidden@new.test  Ff\n"
	    "bare@x.test    short  Q\n"
	    "*@bare.test    $1  Q\n"
	    "a@whole.test   \"Full Name <b@whole.test>\"  hw\n"
	    "last@q.test    \"${if eq{a}{b}{x}fail}\"  q\n"
	    "last@q.test    other@q.test\n"
	    "\\N^aa(.*)@rep\\.test$\\N   a$1@rep.test  R\n");
	static const struct { const char *in, *out; unsigned where; } t[] = {
		{ "x@old.test", "x@new.test", EXIM_RW_T }, { "keep@old.test", "keep@old.test", EXIM_RW_T },
		{ "u@from.test", "hidden@new.test", EXIM_RW_F }, { "u@from.test", "u@from.test", EXIM_RW_T },
		{ "bare@x.test", "short@q.test", EXIM_RW_t }, { "last@q.test", "last@q.test", EXIM_RW_T },
		{ "a@whole.test", "b@whole.test", EXIM_RW_f }, { "a@whole.test", "a@whole.test", EXIM_RW_F },
		{ "aaaab@rep.test", "ab@rep.test", EXIM_RW_T }, { "n@else.test", "n@else.test", EXIM_RW_T },
	};
	struct exim_world w;
	struct exim_env env;
	struct err err = ERR_INIT;
	struct sv out;
	bool changed;

	(void)state;
	assert_string_equal(told, "");
	memset(&w, 0, sizeof(w));
	memset(&env, 0, sizeof(env));
	env.world = &w;
	env.arena = arena_new(0);
	exim_conf_env(c, &env);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		if (exim_rewrite_address(&c->rewrites, &env, t[i].where, sv_cstr(t[i].in), &out, NULL, &err) != EXIM_OK)
			fail_msg("%s: %s", t[i].in, err.text);
		if (!sv_eqs(out, t[i].out))
			print_message("%s -> " SV_FMT "\n", t[i].in, SV_ARG(out));
		assert_true(sv_eqs(out, t[i].out));
	}
	/* What the peer wrote is his with our domain behind it. */
	assert_int_equal(exim_rewrite_address(&c->rewrites, &env, EXIM_RW_t, sv_taint(SV_LIT("u@bare.test")), &out, NULL, &err), EXIM_OK);
	assert_true(sv_eqs(out, "u@q.test") && out.tainted);
	assert_int_equal(exim_rewrite_smtp(&c->rewrites, &env, sv_cstr("<host!user>"), &out, &err), EXIM_OK);
	assert_true(sv_eqs(out, "user@host.test"));
	assert_int_equal(exim_rewrite_header(&c->rewrites, &env, EXIM_RW_f,
	    sv_cstr(" \"A B\" <x@old.test> (c), a@whole.test,\n z@else.test"), &out, &changed, &err), EXIM_OK);
	assert_true(changed);
	assert_true(sv_eqs(out, " \"A B\" <x@new.test> (c), Full Name <b@whole.test>,\n z@else.test"));
	arena_free(&env.arena);
	exim_conf_unref(&c);
}

/* Real files of other people, where their folder is named: they load without a crash. */
static void
real_files(void **state)
{
	const char *dir = getenv("VPOST_EXIM");
	char configs[2048];
	DIR *d;
	struct dirent *e;
	unsigned n = 0, clean = 0;

	(void)state;
	if (dir != NULL)
		(void)snprintf(configs, sizeof(configs), "%s/configs", dir);
	if (dir == NULL || (d = opendir(configs)) == NULL)
		skip();
	while ((e = readdir(d)) != NULL) {
		char path[4096];
		struct exim_report rep = EXIM_REPORT_INIT;
		struct exim_conf_source src = { .path = path };
		struct exim_conf *c = NULL;

		if (strstr(e->d_name, ".conf") == NULL && strstr(e->d_name, "configure") == NULL)
			continue;
		(void)snprintf(path, sizeof(path), "%.2000s/%.2000s", configs, e->d_name);
		told[0] = '\0';
		rep.fn = tell;
		n++;
		if (exim_conf_load(&c, &src, &rep, NULL) == 0) {
			clean++;
			print_message("%s: loads, %u warnings\n%s", e->d_name, rep.warnings, getenv("VPOST_VERBOSE") ? told : "");
		} else
			print_message("%s: %u mistakes, first: %s\n%s", e->d_name, rep.errors, rep.first.text,
			    getenv("VPOST_VERBOSE") ? told : "");
		exim_conf_unref(&c);
	}
	closedir(d);
	print_message("%u of %u load clean\n", clean, n);
}

/* As -bP writes options. */
static void
print(void **state)
{
	static const struct { enum exim_main_opt o; const char *text; } t[] = {
		{ EXIM_MAIN_accept_8bitmime, "accept_8bitmime" }, { EXIM_MAIN_prdr_enable, "no_prdr_enable" },
		{ EXIM_MAIN_smtp_accept_max, "smtp_accept_max = 20" }, { EXIM_MAIN_bounce_return_size_limit,
		    "bounce_return_size_limit = 100K" }, { EXIM_MAIN_check_spool_space, "check_spool_space = 10M" },
		{ EXIM_MAIN_delay_warning, "delay_warning = 4h:1d" }, { EXIM_MAIN_auto_thaw, "auto_thaw = 0s" },
		{ EXIM_MAIN_ignore_bounce_errors_after, "ignore_bounce_errors_after = 10w" },
		{ EXIM_MAIN_queue_only_load, "queue_only_load = 1.5" }, { EXIM_MAIN_smtp_banner, "smtp_banner = a\\nb" },
		{ EXIM_MAIN_mysql_servers, "mysql_servers = <value not displayable>" },
		{ EXIM_MAIN_deliver_queue_load_max, "deliver_queue_load_max =" }, { EXIM_MAIN_never_users, "never_users = root" },
	};
	struct exim_conf *c = load("delay_warning = 4h:1d\nqueue_only_load = 1.5\nsmtp_banner = \"a\\nb\"\nhide mysql_servers = x\n"
	    "never_users = 0\n");
	struct sb out = SB_INIT(1024);

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		sb_clear(&out);
		assert_true(exim_conf_print_option(&exim_opt_table(EXIM_KIND_MAIN, SV_NULL)->opts[t[i].o], &c->main[t[i].o], EXIM_PRINT_LABEL,
		    &out));
		assert_string_equal(sb_cstr(&out), t[i].text);
	}
	sb_free(&out);
	exim_conf_unref(&c);
}

static void
tables_sorted(void **state)
{
	(void)state;
	for (size_t i = 0; i < exim_nopt_tables; i++)
		for (size_t j = 1; j < exim_opt_tables[i].n; j++)
			assert_true(strcmp(exim_opt_tables[i].opts[j - 1].name, exim_opt_tables[i].opts[j].name) < 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_sorted), cmocka_unit_test(traps), cmocka_unit_test(typed), cmocka_unit_test(drivers), cmocka_unit_test(mistakes),
		cmocka_unit_test(soft), cmocka_unit_test(warnings), cmocka_unit_test(retry), cmocka_unit_test(rewrite),
		cmocka_unit_test(print), cmocka_unit_test(real_files),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
