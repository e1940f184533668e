/* SPDX-License-Identifier: BSD-2-Clause */
/* The main options dns_*: what becomes of questions and answers, with zone data of our own and with a server that is silent. */
#include <sys/socket.h>

#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dns/dns.h"
#include "exim/conf.h"
#include "fiber/fiber.h"
#include "os/file.h"
#include "os/time.h"
#include "route/route.h"

static char path[64];

static const char zone[] =
	"only\n"
	"fail again.test\n"
	"fail 9.2.0.192.in-addr.arpa\n"
	"zone a.test\n"
	"fail _25._tcp.again.test\n"
	"mx.a.test A 192.0.2.1\n"
	"-odd-.a.test A 192.0.2.2\n"
	"_x.a.test A 192.0.2.2\n"
	"_smtp._tcp.a.test SRV 1 2 25 mx.a.test\n"
	"-odd-.a.test TXT \"text\"\n"
	"c1.a.test CNAME mx.a.test\n"
	"c2.a.test CNAME c1.a.test\n"
	"c3.a.test CNAME c2.a.test\n";

struct look {
	const char	*option, *name;
	int		 type;
	enum dns_result	 want;
	bool		 secure;
};

static const struct look looks[] = {
	{ "", "x.again.test", DNS_A, DNS_TEMPFAIL, false },
	{ "dns_again_means_nonexist = *.again.test", "x.again.test", DNS_A, DNS_NXDOMAIN, false },
	{ "dns_again_means_nonexist = *.again.test", "again.test", DNS_A, DNS_TEMPFAIL, false },
	{ "dns_again_means_nonexist = *.in-addr.arpa", "9.2.0.192.in-addr.arpa", DNS_PTR, DNS_NXDOMAIN, false },
	{ "dns_again_means_nonexist = *", "_25._tcp.again.test", DNS_TLSA, DNS_TEMPFAIL, false },
	/* A list that would have to ask says nothing. */
	{ "dns_again_means_nonexist = ${lookup dnsdb{a=y.again.test}{*}{*}}", "x.again.test", DNS_A, DNS_TEMPFAIL, false },
	{ "", "-odd-.a.test", DNS_A, DNS_FOUND, false },
	{ "dns_check_names_pattern = (?i)^(?>(?(1)\\.|())[^\\W](?>[a-z0-9/_-]*[^\\W])?)+(\\.?)$", "mx.a.test", DNS_A, DNS_FOUND, false },
	{ "dns_check_names_pattern = ^[a-z.]+$", "-odd-.a.test", DNS_A, DNS_NXDOMAIN, false },
	{ "dns_check_names_pattern = ^[a-z.]+$", "-odd-.a.test", DNS_TXT, DNS_FOUND, false },
	{ "dns_check_names_pattern = ^[a-z.]+$", "_x.a.test", DNS_A, DNS_NXDOMAIN, false },
	{ "dns_check_names_pattern = ^[a-z.]+$", "_smtp._tcp.a.test", DNS_SRV, DNS_FOUND, false },
	{ "dns_check_names_pattern =", "-odd-.a.test", DNS_A, DNS_FOUND, false },
	{ "", "c3.a.test", DNS_A, DNS_FOUND, false },
	{ "dns_cname_loops = 1", "c1.a.test", DNS_A, DNS_FOUND, false },
	{ "dns_cname_loops = 1", "c2.a.test", DNS_A, DNS_TEMPFAIL, false },
	{ "dns_cname_loops = 2", "c2.a.test", DNS_A, DNS_FOUND, false },
	{ "dns_cname_loops = 0", "mx.a.test", DNS_A, DNS_FOUND, false },
	{ "dns_cname_loops = 0", "c1.a.test", DNS_A, DNS_TEMPFAIL, false },
	{ "", "mx.a.test", DNS_A, DNS_FOUND, false },
	{ "dns_trust_aa = a.test", "mx.a.test", DNS_A, DNS_FOUND, true },
	{ "dns_trust_aa = b.test", "mx.a.test", DNS_A, DNS_FOUND, false },
	{ "dns_trust_aa = *", "c1.a.test", DNS_A, DNS_FOUND, true },
};

static struct exim_conf *
load(const char *option)
{
	struct exim_conf_source src = { .path = "exim.conf", .text = SV_NULL };
	struct exim_conf *c = NULL;
	struct err err = ERR_INIT;
	char text[1000];

	(void)snprintf(text, sizeof(text), "primary_hostname = mail.test\n%s\n", option);
	src.text = sv_cstr(text);
	if (exim_conf_load(&c, &src, NULL, &err) == -1)
		fail_msg("%s: %s", option, err.text);
	return (c);
}

static void
ask_all(void *arg)
{
	struct exim_world w;

	exim_world_posix(&w);
	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
		struct exim_conf *c = load(looks[i].option);
		struct arena *a = arena_new(0);
		struct dns_answer ans;
		enum dns_result r;

		route_dns_rules(c, &w);
		r = dns_lookup(looks[i].name, looks[i].type, FIBER_NOW_PLUS(30000), a, &ans);
		if (r != looks[i].want || ans.secure != looks[i].secure)
			fail_msg("%s: %s is %s%s", looks[i].option, looks[i].name, dns_result_text(r), ans.secure ? ", secure" : "");
		dns_set_rules(NULL);
		arena_free(&a);
		exim_conf_unref(&c);
	}
	*(bool *)arg = true;
}

static void
test_rules(void **state)
{
	struct dns_conf conf = { .zone_file = path };
	struct err err = ERR_INIT;
	bool done = false;

	(void)state;
	assert_int_equal(os_write_replace(path, sv_cstr(zone), 0600, &err), 0);
	assert_int_equal(fiber_init(&err), 0);
	if (dns_init(&conf, &err) == -1)
		fail_msg("%s", err.text);
	(void)fiber_spawn("t", ask_all, &done);
	fiber_run();
	assert_true(done);
	dns_fini();
	fiber_fini();
	(void)unlink(path);
}

/* ---- a server that hears and says nothing ---- */

struct silent {
	const char	*option;
	int64_t		 from, to;	/* milliseconds until the answer "no answer" */
	unsigned	 size;		/* of EDNS */
};

static const struct silent silents[] = {
	{ "dns_retrans = 1s\ndns_retry = 1", 900, 2500, 1232 },
	{ "dns_retrans = 1s\ndns_retry = 2\ndns_use_edns0 = 1", 2900, 4500, 1232 },
	{ "dns_retrans = 1s\ndns_retry = 1\ndns_use_edns0 = 0", 900, 2500, 512 },
};

/* A socket on a port of its own, and its name for dns_conf. */
static int
server(char name[64])
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(sin);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	(void)snprintf(name, 64, "127.0.0.1@%u", ntohs(sin.sin_port));
	return (fd);
}

static void
ask_silent(void *arg)
{
	struct arena *a = arena_new(0);
	struct dns_answer ans;

	assert_int_equal(dns_lookup("x.example", DNS_A, FIBER_FOREVER, a, &ans), DNS_TEMPFAIL);
	*(bool *)arg = true;
	arena_free(&a);
	fiber_stop();
}

/* The OPT record is the last of the question's packet: root name, type 41, the size, the flags. */
static void
check_question(int fd, const struct silent *s)
{
	unsigned char p[2048];
	ssize_t n = recv(fd, p, sizeof(p), MSG_DONTWAIT);
	const unsigned char *opt = p + n - 11;

	assert_true(n > 12 + 11);
	assert_true(opt[0] == 0 && opt[1] == 0 && opt[2] == 41);
	assert_int_equal(opt[3] << 8 | opt[4], s->size);
}

static void
test_silent(void **state)
{
	struct exim_world w;

	(void)state;
	exim_world_posix(&w);
	for (size_t i = 0; i < sizeof(silents) / sizeof(silents[0]); i++) {
		const struct silent *s = &silents[i];
		struct exim_conf *c = load(s->option);
		char servers[64];
		int fd = server(servers);
		struct dns_conf conf = { .servers = servers };
		struct err err = ERR_INIT;
		bool done = false;
		int64_t t0;

		route_dns_conf(c, &conf);
		route_dns_rules(c, &w);
		assert_int_equal(fiber_init(&err), 0);
		if (dns_init(&conf, &err) == -1)
			fail_msg("%s", err.text);
		t0 = os_mono_ms();
		(void)fiber_spawn("t", ask_silent, &done);
		fiber_run();
		assert_true(done);
		t0 = os_mono_ms() - t0;
		if (t0 < s->from || t0 > s->to)
			fail_msg("%s: %lld ms", s->option, (long long)t0);
		check_question(fd, s);
		dns_fini();
		fiber_fini();
		(void)close(fd);
		dns_set_rules(NULL);
		exim_conf_unref(&c);
	}
}

/* ---- a server that signs nothing, for a domain whose answers have to be signed ---- */

static void *
answer(void *arg)
{
	static const char a[] = "\300\014\0\1\0\1\0\0\0\74\0\4\300\0\2\1";
	int fd = *(int *)arg;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char p[2048];
	ssize_t n;

	while ((n = recvfrom(fd, p, 512, 0, (struct sockaddr *)&from, &len)) > 12) {
		size_t end = 12;

		while (p[end] != 0)
			end += (size_t)p[end] + 1;
		end += 5;
		p[2] = (char)0x81;
		p[3] = (char)0x80;
		memset(p + 6, 0, 6);
		if (p[end - 3] == DNS_A) {
			memcpy(p + end, a, sizeof(a) - 1);
			end += sizeof(a) - 1;
			p[7] = 1;
		}
		(void)sendto(fd, p, end, 0, (struct sockaddr *)&from, len);
		len = sizeof(from);
	}
	return (NULL);
}

struct unsigned_ask {
	enum dns_result	 got;
};

static void
ask_unsigned(void *arg)
{
	struct unsigned_ask *u = arg;
	struct arena *a = arena_new(0);
	struct dns_answer ans;

	u->got = dns_lookup("x.example", DNS_A, FIBER_NOW_PLUS(30000), a, &ans);
	arena_free(&a);
	fiber_stop();
}

static void
test_validation(void **state)
{
	static const struct { const char *option; bool found; } t[] = {
		{ "", false }, { "dns_dnssec_ok = 1", false }, { "dns_dnssec_ok = 0", true },
	};

	(void)state;
	assert_int_equal(os_write_replace(path, SV_LIT("example. IN DS 12345 8 2 "
	    "49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC0102\n"), 0600, NULL), 0);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char servers[64];
		int fd = server(servers);
		struct exim_conf *c = load(t[i].option);
		struct dns_conf conf = { .servers = servers, .trust_anchor = path };
		struct unsigned_ask u = { DNS_NODATA };
		struct sockaddr_in self;
		socklen_t len = sizeof(self);
		struct err err = ERR_INIT;
		pthread_t th;

		assert_int_equal(getsockname(fd, (struct sockaddr *)&self, &len), 0);
		assert_int_equal(pthread_create(&th, NULL, answer, &fd), 0);
		route_dns_conf(c, &conf);
		assert_int_equal(fiber_init(&err), 0);
		if (dns_init(&conf, &err) == -1)
			fail_msg("%s", err.text);
		(void)fiber_spawn("t", ask_unsigned, &u);
		fiber_run();
		if (t[i].found ? u.got != DNS_FOUND : u.got != DNS_BOGUS && u.got != DNS_TEMPFAIL)
			fail_msg("%s: %s", t[i].option, dns_result_text(u.got));
		dns_fini();
		fiber_fini();
		/* A packet that is no question ends the server. */
		(void)sendto(fd, "x", 1, 0, (struct sockaddr *)&self, len);
		assert_int_equal(pthread_join(th, NULL), 0);
		(void)close(fd);
		exim_conf_unref(&c);
	}
	(void)unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rules), cmocka_unit_test(test_silent), cmocka_unit_test(test_validation) };

	(void)snprintf(path, sizeof(path), "/tmp/vpost-dnsrules-%ld", (long)getpid());
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
