/* SPDX-License-Identifier: BSD-2-Clause */
/* A world of tables for the tests of expansions, lists and lookups: no clock, network, files or programs. */
#ifndef TESTS_EXIM_EXPAND_ENV_H
#define TESTS_EXIM_EXPAND_ENV_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "exim/expand.h"
#include "exim/match.h"
#include "mail/header.h"

/* Sat, 21 Nov 2026 02:00:00 +0000 */
#define TEST_NOW	1795226400

static const struct { const char *path, *text; } test_files[] = {
	{ "/t/aliases", "# comment\npostmaster: root\nroot: alice\nmulti: a@x,\n  b@x\n\"quoted key\": quoted value\n"
	    "dup: first\ndup: second\nUPPER: upper\nplain value\n*@example.test: domain default\n*: star\nempty:\n" },
	{ "/t/psl", "// what anybody may register under\ntest\ncorp.test  behind a blank nothing counts\n*.wild.test\n!not.wild.test\n"
	    "\n\xc3\xa9t\xc3\xa9.test\n" },
	{ "/t/values.json", "{ \"o\" : { \"a\":[1,\n 2 , \"x , \\\"y: z\"] ,\t\"b\" : {} },\n \"s\" : \"t , u\" }\n" },
	{ "/t/gaps", "\"a:b\" \t x\n  y\nplain   v\n  w\ncolon :  v\n\t\tw\n" },
	{ "/t/domains", "hosted1.test: key1\nhosted2.test: a=1 b=\"x y\"\n*.wild.test: wild\n.dot.test: dot\n" },
	{ "/t/wild", "exact.test: exact\n*.tail.test: tail\n^\\\\d+\\$: digits\n\\N^x(\\w)$\\N: one letter\n*: any\n" },
	{ "/t/nwild", "^v\\d+$: digits\n*.x: x\n" },
	{ "/t/ip", "192.0.2.1: host\n192.0.2.0/24: net\n\"2001:db8::/32\": six\n*: other\n" },
	{ "/t/net", "192.0.2.0/24: n24\n192.0.2.9: host9\n2001.0db8.0000.0000.0000.0000.0000.0001: six\n" },
	{ "/t/list", "listed.test # comment\n!not.suffix.test\n*.suffix.test\n^re\\d\\.test$\n" },
	{ "/t/many", "one.many.test\nTwo.Many.test\n!no.many.test\n*.before.test\nx.before.test\n!y.after.test\n*.after.test\nno.many.test\n!twice.many.test\ntwice.many.test\n^re\\d\\.many\\.test$\n+local\nfill0.many.test\nfill1.many.test\nfill2.many.test\nfill3.many.test\nfill4.many.test\nfill5.many.test\nfill6.many.test\nfill7.many.test\nfill8.many.test\nfill9.many.test\nx.after.test\nlast.many.test\n" },
	{ "/t/many-no", "n0.test\nn1.test\nn2.test\nn3.test\nn4.test\nn5.test\nn6.test\nn7.test\nn8.test\nn9.test\nn10.test\nn11.test\nn12.test\nn13.test\nn14.test\nn15.test\nn16.test\nn17.test\nn18.test\nn19.test\n!end.test\n" },
	{ "/t/addrs", "bad#one@x.test\nbad@y.test # comment\n*@z.test\n" },
	{ "/t/hosts", "10.1.0.0/16\n!10.2.0.1\n10.2.0.0/16\n" },
	{ "/t/split", "a.test: !postmaster : alice : >b.test\nb.test: bob : ^x\n" },
	{ "/t/json", "{ \"a\" : [ 1, {\"b\":\"two\"}, null ], \"s\" : \"str\" }\n" },
	{ "/t/text", "one\ntwo\n" },
};

static int64_t
tw_now(void *arg, int64_t *usec)
{
	if (usec != NULL)
		*usec = 250000;
	return (TEST_NOW);
}

static uint32_t
tw_random(void *arg)
{
	return (17);
}

static const char *
tw_getenv(void *arg, const char *name)
{
	return (strcmp(name, "HOME") == 0 ? "/root" : NULL);
}

static int
tw_stat(void *arg, const char *path, bool follow, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	if (strcmp(path, "/t") == 0 || strcmp(path, "/t/dir") == 0 || strcmp(path, "/t/dir/sub") == 0) {
		st->st_mode = S_IFDIR | 0755;
		return (0);
	}
	if (strcmp(path, "/t/dir/entry") == 0) {
		st->st_mode = S_IFREG | 0640;
		return (0);
	}
	for (size_t i = 0; i < sizeof(test_files) / sizeof(test_files[0]); i++)
		if (strcmp(path, test_files[i].path) == 0) {
			st->st_mode = S_IFREG | 0644;
			st->st_ino = i + 1;
			st->st_size = (off_t)strlen(test_files[i].text);
			return (0);
		}
	errno = ENOENT;
	return (-1);
}

static int
tw_readfile(void *arg, const char *path, size_t max, struct arena *a, struct sv *out, struct stat *st)
{
	struct stat own;

	if (tw_stat(arg, path, true, st == NULL ? &own : st) == -1)
		return (-1);
	for (size_t i = 0; i < sizeof(test_files) / sizeof(test_files[0]); i++)
		if (strcmp(path, test_files[i].path) == 0) {
			*out = arena_sv(a, sv_cstr(test_files[i].text));
			return (0);
		}
	errno = EISDIR;
	return (-1);
}

static enum exim_found
tw_passwd(void *arg, const char *name, struct arena *a, struct exim_passwd *pw)
{
	if (strcmp(name, "later") == 0)
		return (EXIM_TEMPFAIL);
	if (strcmp(name, "alice") != 0)
		return (EXIM_NOTFOUND);
	*pw = (struct exim_passwd){ "alice", "x", "Alice,,,", "/home/alice", "/bin/sh", 1001, 1002 };
	return (EXIM_FOUND);
}

static const struct { const char *name; int type; const char *data; size_t len; } test_zone[] = {
	{ "mx.test", 15, "\0\012\3mx1\4test\0", 12 }, { "mx.test", 15, "\0\024\3mx2\4test\0", 12 },
	{ "ours.test", 15, "\0\012\2us\4test\0", 11 }, { "second.test", 15, "\0\012\3mx1\4test\0", 12 },
	{ "second.test", 15, "\0\024\2us\4test\0", 11 }, { "null.test", 15, "\0\0\0", 3 },
	{ "mx1.test", 1, "\306\063\144\013", 4 }, { "mx2.test", 1, "\306\063\144\014", 4 },
	{ "mx1.test", 28, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16 },
	{ "txt.test", 16, "\5hello\6 world", 13 }, { "spf.test", 16, "\034v=spf1 ip4:192.0.2.0/24 -all", 29 }, { "1.2.0.192.in-addr.arpa", 12, "\6client\4test\0", 13 },
	{ "_s._tcp.test", 33, "\0\1\0\2\0\031\3mx1\4test\0", 16 },
	{ "soa.test", 6, "\2ns\4test\0\4root\4test\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5", 40 },
	{ "test", 2, "\2ns\4test\0", 9 }, { "tlsa.test", 52, "\3\1\1\253\315", 5 },
	{ "alias.test", 5, "\3mx1\4test\0", 10 },
};

static int
tw_dns(void *arg, const char *name, int type, struct arena *a, struct exim_dns *out)
{
	struct sv *rd = arena_alloc(a, 8 * sizeof(*rd));

	memset(out, 0, sizeof(*out));
	out->result = strstr(name, "later") != NULL ? EXIM_DNS_TEMPFAIL : EXIM_DNS_NXDOMAIN;
	out->rdata = rd;
	for (size_t i = 0; i < sizeof(test_zone) / sizeof(test_zone[0]); i++)
		if (strcmp(name, test_zone[i].name) == 0 && type == test_zone[i].type) {
			rd[out->n++] = sv_taint(sv_from(test_zone[i].data, test_zone[i].len));
			out->result = EXIM_DNS_FOUND;
			out->secure = strcmp(name, "mx1.test") == 0;
		}
	return (0);
}

static enum exim_found
tw_addrs(void *arg, const char *name, struct arena *a, struct net_addr **addrs, size_t *n)
{
	static const struct { const char *name, *addr; } t[] = {
		{ "client.test", "192.0.2.1" }, { "client2.test", "192.0.2.1" }, { "us.test", "198.51.100.1" },
		{ "mx1.test", "198.51.100.11" }, { "liar.test", "203.0.113.5" }, { "mail.example.test", "198.51.100.1" }
	};

	*n = 0;
	if (strstr(name, "later") != NULL)
		return (EXIM_TEMPFAIL);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (strcmp(name, t[i].name) == 0) {
			*addrs = arena_zalloc(a, sizeof(**addrs));
			assert_true(net_addr_parse(sv_cstr(t[i].addr), *addrs));
			*n = 1;
			return (EXIM_FOUND);
		}
	return (EXIM_NOTFOUND);
}

static enum exim_found
tw_names(void *arg, const struct net_addr *addr, struct arena *a, const char *const **names, size_t *n)
{
	static const char *const two[] = { "client.test", "client2.test", "liar.test" };
	static const char *const liar[] = { "liar.test" };
	char buf[NET_ADDR_TEXT_MAX];
	const char *text = net_addr_text(addr, buf);

	*n = 0;
	if (strcmp(text, "192.0.2.1") == 0) {
		*names = two;
		*n = 3;
	} else if (strcmp(text, "192.0.2.2") == 0) {
		*names = liar;
		*n = 1;
	} else if (strcmp(text, "192.0.2.3") == 0)
		return (EXIM_TEMPFAIL);
	return (*n > 0 ? EXIM_FOUND : EXIM_NOTFOUND);
}

static int
tw_interfaces(void *arg, struct arena *a, struct net_addr **addrs, size_t *n)
{
	*addrs = arena_zalloc(a, 2 * sizeof(**addrs));
	(void)net_addr_parse(SV_LIT("127.0.0.1"), &(*addrs)[0]);
	(void)net_addr_parse(SV_LIT("198.51.100.1"), &(*addrs)[1]);
	*n = 2;
	return (0);
}

/* Prints its arguments in brackets; "/bin/false" fails; "/bin/kill" dies. */
static enum exim_result
tw_run(void *arg, const struct exim_run *r, struct arena *a, struct sv *out, int *rc, struct err *err)
{
	char *p = arena_alloc(a, 1024);

	p[0] = '\0';
	for (int i = 1; r->argv[i] != NULL; i++)
		(void)snprintf(p + strlen(p), 1024 - strlen(p), "[%s]", r->argv[i]);
	*out = sv_cstr(p);
	*rc = strcmp(r->argv[0], "/bin/false") == 0 ? 1 : strcmp(r->argv[0], "/bin/kill") == 0 ? -9 : 0;
	return (strcmp(r->argv[0], "/bin/slow") == 0 ? EXIM_DEFER : EXIM_OK);
}

static enum exim_result
tw_readsocket(void *arg, const struct exim_socket *s, struct arena *a, struct sv *out, struct err *err)
{
	if (sv_eqs(s->where, "/no")) {
		(void)err_set(err, ERR_TEMP, NULL, "failed to connect to socket /no: No such file or directory");
		return (EXIM_FAIL);
	}
	*out = sv_cstr(arena_fmt(a, SV_FMT "\n%d%s\n", SV_ARG(s->request), (int)s->timeout, s->shutdown ? "" : " open"));
	return (EXIM_OK);
}

static enum exim_found
tw_lookup(void *arg, const char *type, struct sv file, struct sv query, struct sv opts, struct arena *a, struct sv *out,
    struct err *err)
{
	if (sv_eqs(query, "later")) {
		(void)err_set(err, ERR_TEMP, NULL, "server is away");
		return (EXIM_TEMPFAIL);
	}
	*out = sv_cstr(arena_fmt(a, "%s/" SV_FMT "/" SV_FMT, type, SV_ARG(file), SV_ARG(query)));
	return (sv_eqs(query, "none") ? EXIM_NOTFOUND : EXIM_FOUND);
}

static enum exim_found
tw_auth(void *arg, const char *how, const struct sv *args, size_t n, struct arena *a, struct err *err)
{
	return (n == 2 && sv_eqs(args[0], "u") && sv_eqs(args[1], "p") ? EXIM_FOUND : EXIM_NOTFOUND);
}

/* "yes" accepts with its first argument as message, "no" denies, "later" defers. */
static enum exim_result
tw_acl(struct exim_env *env, struct sv name, const struct sv *args, size_t n, struct sv *out, struct err *err)
{
	if (n > 0)
		*out = args[0];
	if (sv_eqs(name, "later"))
		return (EXIM_DEFER);
	if (sv_eqs(name, "yes") || sv_eqs(name, "no"))
		return (sv_eqs(name, "yes") ? EXIM_OK : EXIM_FORCED);
	(void)err_set(err, ERR_CONFIG, NULL, "ERROR from acl \"" SV_FMT "\"", SV_ARG(name));
	return (EXIM_FAIL);
}

static const struct exim_world test_world = {
	.now = tw_now, .random = tw_random, .getenv = tw_getenv, .dns = tw_dns, .addrs = tw_addrs, .names = tw_names,
	.interfaces = tw_interfaces, .run = tw_run, .readsocket = tw_readsocket, .readfile = tw_readfile, .stat = tw_stat,
	.passwd = tw_passwd, .lookup = tw_lookup, .auth = tw_auth, .acl = tw_acl
};

struct test_env {
	struct arena	*conf, *arena;
	struct exim_globals g;
	struct exim_session session;
	struct exim_message msg;
	struct exim_address addr;
	struct exim_acl_state acl;
	struct mail_headers headers;
	struct exim_names *names;
	struct exim_env	 env;
};

static inline void
test_name(struct test_env *t, enum exim_list_kind kind, const char *name, const char *text)
{
	struct exim_named n = { .kind = kind, .name = sv_cstr(name), .text = sv_cstr(text), .file = "f", .line = 1 };
	struct err err = ERR_INIT;

	assert_int_equal(exim_names_add(t->names, &n, &err), 0);
}

static inline void
test_env_init(struct test_env *t, bool caches)
{
	static const char head[] = "From: \"A, B\" <a@x.test>\r\nTo: b@y.test\r\nTo: c@y.test\r\n"
	    "Subject: =?utf-8?Q?Caf=C3=A9?= x\r\n folded\r\nX-Sp:   v  \r\nX-Empty:\r\nX-L: a:b\r\n\r\n";
	static const struct sv rcpts[] = { { "b@y.test", 8, true }, { "c@y.test", 8, true } };

	memset(t, 0, sizeof(*t));
	t->conf = arena_new(0);
	t->arena = arena_new(0);
	t->names = exim_names_new(t->conf);
	t->g.primary_hostname = SV_LIT("mail.example.test");
	t->g.qualify_domain = SV_LIT("example.test");
	t->g.timezone_utc = true;
	t->g.check_rfc2047_length = true;
	t->g.exim_uid = 99;
	assert_true(net_addr_parse(SV_LIT("192.0.2.1"), &t->session.addr));
	t->session.host_address = SV_LIT("192.0.2.1");
	t->session.arena = t->conf;
	t->session.host_port = 4711;
	t->session.helo = sv_taint(SV_LIT("helo.test"));
	t->msg.sender = sv_taint(SV_LIT("joe@sender.test"));
	t->msg.size = 12345;
	t->msg.received_time = TEST_NOW - 60;
	t->msg.body = SV_LIT("first\r\nsecond\n");
	t->msg.body_whole = true;
	t->msg.recipients = rcpts;
	t->msg.nrecipients = 2;
	t->msg.recipients_shown = true;
	mail_headers_parse(&t->headers, t->conf, sv_cstr(head), 0);
	t->msg.headers = &t->headers;
	t->addr.local_part = sv_taint(SV_LIT("Local"));
	t->addr.domain = sv_taint(SV_LIT("dom.test"));
	t->env = (struct exim_env){ .names = t->names, .arena = t->arena, .world = &test_world, .g = &t->g,
	    .session = &t->session, .msg = &t->msg, .addr = &t->addr, .acl = &t->acl };
	t->env.caches = caches ? exim_caches_new() : NULL;
	t->env.acl_c = exim_vars_new();
	t->env.acl_m = exim_vars_new();
	exim_vars_set(t->env.acl_m, SV_LIT("m_x"), SV_LIT("value of x"));
	exim_vars_set(t->env.acl_m, SV_LIT("m_hex"), sv_taint(SV_LIT("6162")));
}

static inline void
test_env_fini(struct test_env *t)
{
	exim_vars_free(&t->env.acl_c);
	exim_vars_free(&t->env.acl_m);
	exim_caches_free(&t->env.caches);
	arena_free(&t->arena);
	arena_free(&t->conf);
}

/* <text> from a block of exactly its size, expanded; "!..." of the mistake, "!!..." when it was forced, "?..." when deferred. */
static inline const char *
test_expand(struct test_env *t, const char *text)
{
	size_t len = strlen(text);
	char *exact = malloc(len == 0 ? 1 : len);
	struct err err = ERR_INIT;
	struct exim_str *s;
	enum exim_result r;
	struct sv v;

	assert_non_null(exact);
	memcpy(exact, text, len);
	arena_reset(t->arena);
	exim_env_forget(&t->env);
	(void)exim_str_compile(t->arena, sv_from(exact, len), NULL, 0, &s, &err);
	free(exact);
	err_clear(&err);
	r = exim_expand(s, &t->env, &v, &err);
	assert_int_equal(t->env.depth, 0);
	if (r == EXIM_OK)
		return (arena_cstr(t->arena, v));
	return (arena_fmt(t->arena, "%s%s", r == EXIM_FAIL ? "!" : r == EXIM_FORCED ? "!!" : "?", err.text));
}

#endif
