/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The world that fuzz targets of the Exim language run in: constants only, the same answer for the same
 * question.  A DNS name with "temp" in it gives no answer, "nx" does not exist, "bad" has malformed records;
 * a path with "none" does not exist, with "dir" is a folder; a host or user with "temp" cannot be asked now.
 */
#ifndef VPOST_TESTS_FUZZ_WORLD_H
#define VPOST_TESTS_FUZZ_WORLD_H

#include <errno.h>
#include <openssl/pem.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "exim/env.h"
#include "mail/header.h"

static int64_t
w_now(void *arg, int64_t *usec)
{
	if (usec != NULL)
		*usec = 0;
	return (1795226400);
}

static uint32_t
w_random(void *arg)
{
	return (17);
}

static const char *
w_getenv(void *arg, const char *name)
{
	return (strcmp(name, "HOME") == 0 ? "/home/user" : NULL);
}

static int
w_stat(void *arg, const char *path, bool follow, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_mode = strcmp(path, "/d") == 0 || strstr(path, "dir") != NULL ? S_IFDIR | 0755 : S_IFREG | 0644;
	st->st_size = 4096;
	if (path[0] != '/' || strstr(path, "none") != NULL) {
		errno = ENOENT;
		return (-1);
	}
	return (0);
}

static int
w_readfile(void *arg, const char *path, size_t max, struct arena *a, struct sv *out, struct stat *st)
{
	static const char text[] = "key: value\n\"q k\": two\n  lines\n192.0.2.0/24: net\n*.x: wild\n^r(.): re\n*: star\n"
	    "a.test: value # x\n!b.test\n*.c.test\n192.0.2.0/24\n+named\n*: !x : y : >z\n";
	static const char json[] = "{ \"a\": [1, \"b\", { \"c\": true }], \"d\": \"e\\\"f\" }\n";
	static const char acl[] = "accept hosts = 192.0.2.1\n  message = from a file\ndeny\n";

	if (path[0] != '/' || strstr(path, "none") != NULL) {
		errno = ENOENT;
		return (-1);
	}
	if (st != NULL)
		(void)w_stat(arg, path, true, st);
	*out = arena_sv(a, sv_cstr(strstr(path, "json") != NULL ? json : strstr(path, "acl") != NULL ? acl : text));
	return (0);
}

#define RR(s)	{ s, sizeof(s) - 1, true }
static int
w_dns(void *arg, const char *name, int type, struct arena *a, struct exim_dns *out)
{
	static const struct sv bad[] = { RR("\77abc"), RR("\0\1"), RR("") };
	static const struct sv a4[] = { RR("\177\0\0\2"), RR("\177\0\0\4"), RR("\177\377\377\1"), RR("\300\0\2\1") };
	static const struct sv a6[] = { RR("\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1") };
	static const struct sv host[] = { RR("\4host\4test\0"), RR("\3two\4test\0") };
	static const struct sv soa[] = { RR("\2ns\4test\0\4root\4test\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5") };
	static const struct sv mx[] = { RR("\0\12\3mx1\4test\0"), RR("\0\24\3mx2\4test\0"), RR("\0\1\77abc") };
	static const struct sv txt[] = { RR("\5hello\3two"), RR("\6v=spf1\4 -\1ll") };
	static const struct sv srv[] = { RR("\0\1\0\2\0\31\4host\4test\0"), RR("\0\1\0\1\0\31\4host\4test\0") };
	static const struct sv tlsa[] = { RR("\3\1\1\1\2\3\4"), RR("\3\1") };
	static const struct {
		int		 type;
		const struct sv	*v;
		size_t		 n;
	} t[] = { { 1, a4, 4 }, { 28, a6, 1 }, { 2, host, 2 }, { 5, host, 1 }, { 12, host, 2 }, { 6, soa, 1 }, { 15, mx, 3 },
		{ 16, txt, 2 }, { 99, txt, 1 }, { 33, srv, 2 }, { 52, tlsa, 2 } };

	memset(out, 0, sizeof(*out));
	if (strstr(name, "temp") != NULL)
		out->result = EXIM_DNS_TEMPFAIL;
	else if (strstr(name, "nx") != NULL)
		out->result = strstr(name, "nodata") != NULL ? EXIM_DNS_NODATA : EXIM_DNS_NXDOMAIN;
	if (out->result != EXIM_DNS_FOUND)
		return (0);
	out->secure = strstr(name, "sec") != NULL;
	out->rdata = bad;
	out->n = 3;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]) && strstr(name, "bad") == NULL; i++)
		if (t[i].type == type) {
			out->rdata = t[i].v;
			out->n = t[i].n;
		}
	return (0);
}
#undef RR

static enum exim_found
w_addrs(void *arg, const char *name, struct arena *a, struct net_addr **addrs, size_t *n)
{
	*n = 0;
	if (strstr(name, "temp") != NULL || strstr(name, "nx") != NULL)
		return (strstr(name, "nx") != NULL ? EXIM_NOTFOUND : EXIM_TEMPFAIL);
	*addrs = arena_zalloc(a, 2 * sizeof(**addrs));
	(void)net_addr_parse(SV_LIT("192.0.2.1"), &(*addrs)[0]);
	(void)net_addr_parse(SV_LIT("2001:db8::1"), &(*addrs)[1]);
	*n = 2;
	return (EXIM_FOUND);
}

static enum exim_found
w_names(void *arg, const struct net_addr *addr, struct arena *a, const char *const **names, size_t *n)
{
	static const char *const two[] = { "host.test", "abc" };

	*names = two;
	*n = 2;
	return (addr->family != 4 ? EXIM_TEMPFAIL : addr->ip[3] == 0 ? EXIM_NOTFOUND : EXIM_FOUND);
}

static int
w_interfaces(void *arg, struct arena *a, struct net_addr **addrs, size_t *n)
{
	*addrs = arena_zalloc(a, sizeof(**addrs));
	(void)net_addr_parse(SV_LIT("192.0.2.2"), *addrs);
	*n = 1;
	return (0);
}

static enum exim_result
w_run(void *arg, const struct exim_run *r, struct arena *a, struct sv *out, int *rc, struct err *err)
{
	*out = sv_cstr(arena_str(a, r->argv[0]));
	*rc = out->len % 2 == 0 ? 0 : 1;
	return (EXIM_OK);
}

static enum exim_result
w_readsocket(void *arg, const struct exim_socket *s, struct arena *a, struct sv *out, struct err *err)
{
	*out = arena_sv(a, s->request);
	return (EXIM_OK);
}

static enum exim_found
w_passwd(void *arg, const char *name, struct arena *a, struct exim_passwd *pw)
{
	*pw = (struct exim_passwd){ .name = "user", .passwd = "*", .gecos = "A User", .home = "/home/user", .shell = "/bin/sh",
		.uid = 1000, .gid = 1000 };
	return (strstr(name, "temp") != NULL ? EXIM_TEMPFAIL : strstr(name, "user") != NULL ? EXIM_FOUND : EXIM_NOTFOUND);
}

static int
w_fsspace(void *arg, const char *path, int64_t *kbytes, int64_t *inodes)
{
	*kbytes = 1000;
	*inodes = 100;
	return (strstr(path, "none") != NULL ? -1 : 0);
}

static int64_t
w_loadavg(void *arg)
{
	return (1250);
}

static int64_t
w_queue_size(void *arg)
{
	return (7);
}

static enum exim_found
w_lookup(void *arg, const char *type, struct sv file, struct sv query, struct sv opts, struct arena *a, struct sv *out,
    struct err *err)
{
	*out = arena_sv(a, query);
	return (query.len % 2 == 0 ? EXIM_FOUND : EXIM_NOTFOUND);
}

static enum exim_found
w_auth(void *arg, const char *how, const struct sv *args, size_t n, struct arena *a, struct err *err)
{
	return (n == 0 ? EXIM_NOTFOUND : sv_eqs(args[0], "temp") ? EXIM_TEMPFAIL : args[0].len % 2 == 0 ? EXIM_FOUND : EXIM_NOTFOUND);
}

/* A hint is what was asked for last time: <arg> is a table or NULL. */
static enum exim_found
w_hint_get(void *arg, const char *db, struct sv key, struct arena *a, struct sv *out)
{
	const char *v = arg == NULL ? NULL : hash_get(arg, key);

	if (v == NULL)
		return (EXIM_NOTFOUND);
	*out = sv_cstr(arena_str(a, v));
	return (EXIM_FOUND);
}

static int
w_hint_put(void *arg, const char *db, struct sv key, struct sv value, int64_t ttl)
{
	if (arg != NULL && hash_count(arg) < 100)
		free(hash_set(arg, key, xstrndup(value.p == NULL ? "" : value.p, value.len)));
	return (0);
}

static int
w_hint_del(void *arg, const char *db, struct sv key)
{
	if (arg != NULL)
		free(hash_del(arg, key));
	return (0);
}

static const struct exim_world w_all = {
	.now = w_now, .random = w_random, .getenv = w_getenv, .stat = w_stat, .readfile = w_readfile, .dns = w_dns,
	.addrs = w_addrs, .names = w_names, .interfaces = w_interfaces, .run = w_run, .readsocket = w_readsocket,
	.passwd = w_passwd, .fsspace = w_fsspace, .loadavg = w_loadavg, .queue_size = w_queue_size, .lookup = w_lookup,
	.auth = w_auth, .hint_get = w_hint_get, .hint_put = w_hint_put, .hint_del = w_hint_del
};

static void *
w_cert(void)
{
	static const char pem[] =
	    "-----BEGIN CERTIFICATE-----\n"
	    "MIICSjCCAfCgAwIBAgIUcu/g8yoH2ab6dyKJVa0y3swGClcwCgYIKoZIzj0EAwIw\n"
	    "PjELMAkGA1UEBhMCQVQxDDAKBgNVBAoMA0JveDENMAsGA1UECwwETWFpbDESMBAG\n"
	    "A1UEAwwJaG9zdC50ZXN0MCAXDTI2MTEyMTA1NDExMFoYDzIwODEwODI0MDU0MTEw\n"
	    "WjA+MQswCQYDVQQGEwJBVDEMMAoGA1UECgwDQm94MQ0wCwYDVQQLDARNYWlsMRIw\n"
	    "EAYDVQQDDAlob3N0LnRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAScyjF1\n"
	    "5F1A171EhPDyh/gxTFUbJ4VfNXiqdtY4uMoUdbY7570gEJTnyImDZI03ck8hMlka\n"
	    "vkYSg2K0zzM9SD20o4HJMIHGMEsGA1UdEQREMEKCCWhvc3QudGVzdIILKi5ob3N0\n"
	    "LnRlc3SBDnBvc3RAaG9zdC50ZXN0hhJodHRwczovL2hvc3QudGVzdC+HBMAAAgEw\n"
	    "JQYDVR0fBB4wHDAaoBigFoYUaHR0cDovL2hvc3QudGVzdC9jcmwwMQYIKwYBBQUH\n"
	    "AQEEJTAjMCEGCCsGAQUFBzABhhVodHRwOi8vaG9zdC50ZXN0L29jc3AwHQYDVR0O\n"
	    "BBYEFGNVL4cdcCTTqxB6VA4JC2VeZIWRMAoGCCqGSM49BAMCA0gAMEUCIQDr8/U2\n"
	    "fyz6hs5gtIbvuGB1jGgNo/qqgVS2oJ6Wznq9tQIgAnRV+Ey6Ec6Tz4/B0HiBkPIV\n"
	    "eDq5l6AC3TEVM2vXDHg=\n"
	    "-----END CERTIFICATE-----\n";
	static X509 *cert;
	BIO *b;

	if (cert != NULL)
		return (cert);
	b = BIO_new_mem_buf(pem, sizeof(pem) - 1);
	cert = PEM_read_bio_X509(b, NULL, NULL, NULL);
	(void)BIO_free(b);
	return (cert);
}

/* Session, message and address with something in each part, in <a>. */
static inline void
w_fill(struct exim_env *env, struct arena *a)
{
	static const char head[] = "Received: from x by y; Sat, 21 Nov 2026 05:00:00 +0000\nFrom: \"A B\" <a@x.test>\n"
	    "Sender: s@x.test\nTo: b@y.test,\n c@host.test\nCc: (note) d@x.test; e@x.test\nReply-To: a@\n"
	    "Subject: =?utf-8?q?x=C3=A9?= =?iso-8859-1?b?6Q==?= y\nX-Bad\x80: 8\nX-Long: one\n\ttwo\n\n";
	static const struct sv rcpts[] = { { "b@y.test", 8, true }, { "user@host.test", 14, true } };
	static const char *const aliases[] = { "abc" };
	struct mail_headers *h = arena_zalloc(a, sizeof(*h));
	struct exim_session *s = arena_zalloc(a, sizeof(*s));
	struct exim_message *m = arena_zalloc(a, sizeof(*m));
	struct exim_address *ad = arena_zalloc(a, sizeof(*ad));
	struct exim_header_add *add = arena_zalloc(a, 2 * sizeof(*add));

	mail_headers_parse(h, a, sv_cstr(head), 0);
	s->host_address = SV_LIT("192.0.2.1");
	(void)net_addr_parse(s->host_address, &s->addr);
	s->interface_address = SV_LIT("192.0.2.2");
	(void)net_addr_parse(s->interface_address, &s->interface);
	s->host_port = 40000;
	s->interface_port = 25;
	s->arena = a;
	s->helo = sv_taint(SV_LIT("[192.0.2.9]"));
	s->host_aliases = aliases;
	s->nhost_aliases = 1;
	s->esmtp = true;
	s->ident = sv_taint(SV_LIT("ident"));
	s->authenticated_id = sv_taint(SV_LIT("joe"));
	s->auth_mechanism = SV_LIT("PLAIN");
	s->tls_in.cipher = SV_LIT("TLS1.3:TLS_AES_256_GCM_SHA384:256");
	s->tls_in.ourcert = s->tls_in.peercert = w_cert();
	s->smtp_history = SV_LIT("EHLO,MAIL,RCPT");
	s->rcpt_count = 2;
	add[0].text = SV_LIT("X-Added: yes\n");
	add[1].text = SV_LIT("no field");
	m->id = SV_LIT("1xyzAB-000000001Ab-0abc");
	m->has_sender = true;
	m->sender = sv_taint(SV_LIT("joe@host.test"));
	m->headers = h;
	m->added = add;
	m->nadded = 2;
	m->body = SV_LIT("body\nwith <marker> and \xc3\xa9\n");
	m->body_whole = true;
	m->size = 1000;
	m->received_time = 1795226000;
	m->recipients = rcpts;
	m->nrecipients = 2;
	ad->local_part = sv_taint(SV_LIT("user"));
	ad->domain = sv_taint(SV_LIT("host.test"));
	ad->home = SV_LIT("/home/user");
	env->session = s;
	env->msg = m;
	env->addr = ad;
}

#endif
