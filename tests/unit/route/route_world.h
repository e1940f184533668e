/* SPDX-License-Identifier: BSD-2-Clause */
/* A world of tables for the tests of routing: accounts, files, DNS, programs; and -bt's answers in it. */
#ifndef VPOST_TESTS_ROUTE_WORLD_H
#define VPOST_TESTS_ROUTE_WORLD_H

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
	{ "/home/alice/fwd", "x@remote.test\n", 0600, 0 },
	{ "/home/bob/filter", "# Exim filter\ndeliver x@remote.test\n", 0600, 1000 },
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
	errno = strncmp(path, "/locked", 7) == 0 ? EACCES : strncmp(path, "/notdir", 7) == 0 ? ENOTDIR : ENOENT;
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

static struct exim_run w_last;		/* how the last program was run */

static enum exim_result
w_run(void *arg, const struct exim_run *r, struct arena *a, struct sv *out, int *rc, struct err *err)
{
	w_last = *r;
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
		{ "wide.remote.test", "mx1.remote.test", 5 }, { "both.test", "six.test", 5 }, { "short.own.test", "mx2.remote.test", 7 },
		{ "a.part.parent.test", "mx1.remote.test", 9 }, { "ip.test", "198.51.100.77", 10 },
	};

	*secure = false;
	*mx = arena_alloc(a, sizeof(z) / sizeof(z[0]) * sizeof(**mx));
	*n = 0;
	for (size_t i = 0; i < sizeof(z) / sizeof(z[0]); i++)
		if (strcmp(z[i].domain, domain) == 0)
			(*mx)[(*n)++] = (struct route_mx){ z[i].host, z[i].pref };
	if (strcmp(domain, "slow.test") == 0 || strcmp(domain, "mxslow.test") == 0)
		return (ROUTE_DNS_TEMPFAIL);
	if (strcmp(domain, "plain.own.test") == 0 || strcmp(domain, "srv.test") == 0 || strcmp(domain, "srvslow.test") == 0)
		return (ROUTE_DNS_NODATA);
	if (*n > 0)
		return (ROUTE_DNS_FOUND);
	return (strcmp(domain, "host.test") == 0 ? ROUTE_DNS_NODATA : ROUTE_DNS_NXDOMAIN);
}

static enum route_dns
d_addrs(void *arg, const char *host, unsigned families, struct arena *a, struct net_addr **addrs, size_t *n, bool *secure,
    const char **canon)
{
	static const struct { const char *host, *addr; } z[] = {
		{ "mx1.remote.test", "198.51.100.11" }, { "mx2.remote.test", "198.51.100.12" }, { "us.test", "192.0.2.1" },
		{ "host.test", "198.51.100.20" }, { "h1.test", "198.51.100.41" }, { "h2.test", "198.51.100.42" },
		{ "six.test", "2001:db8::6" }, { "six.test", "198.51.100.66" }, { "mxslow.test", "198.51.100.70" },
		{ "plain.own.test", "198.51.100.71" }, { "srvslow.test", "198.51.100.72" }, { "s1.test", "198.51.100.81" },
		{ "srv.test", "198.51.100.80" },
	};

	if (strcmp(host, "alias.test") == 0)
		*canon = host = "h1.test";

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

static enum route_dns
d_srv(void *arg, const char *name, struct arena *a, struct route_srv **srv, size_t *n, bool *secure)
{
	*secure = false;
	*n = 0;
	if (strcmp(name, "_smtp._tcp.srvslow.test") == 0)
		return (ROUTE_DNS_TEMPFAIL);
	if (strcmp(name, "_smtp._tcp.srv.test") != 0)
		return (ROUTE_DNS_NXDOMAIN);
	*srv = arena_alloc(a, sizeof(**srv));
	**srv = (struct route_srv){ .host = "s1.test", .pref = 3, .weight = 1, .port = 2525 };
	*n = 1;
	return (ROUTE_DNS_FOUND);
}

static const char *const *
d_search(void *arg, size_t *n)
{
	static const char *const list[] = { "own.test", "parent.test" };

	*n = 2;
	return (list);
}

static uint32_t
d_random(void *arg)
{
	return (0);
}

static bool
d_local(void *arg, const struct net_addr *a)
{
	char buf[NET_ADDR_TEXT_MAX];

	return (strcmp(net_addr_text(a, buf), "192.0.2.1") == 0);
}

static const struct route_ops dns_ops = { .mx = d_mx, .addrs = d_addrs, .srv = d_srv, .search = d_search, .is_local = d_local,
	.random = d_random };

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
	struct hash *seen = hash_new();
	int rc;

	f->rq.mode = mode;
	f->rq.address = sv_taint(sv_cstr(arena_str(f->a, address)));
	route_address(&f->rq, &f->res);
	rc = route_print(&f->rq, &f->res, true, seen, &out);
	hash_free(&seen, NULL);
	sb_addf(&out, "rc=%d", rc);
	assert_null(f->env.addr);
	return (sb_steal(&out, NULL));
}

#define T ROUTE_TEST
#define V ROUTE_VERIFY_RECIPIENT
#define VS ROUTE_VERIFY_SENDER
#define D ROUTE_DELIVER

#endif
