/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses, prefixes, and connections on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fiber/fiber.h"
#include "net/sock.h"

/* A copy of exactly its length, so that a read past the end is seen. */
static struct sv
exact(const char *s, char **mem)
{
	size_t n = strlen(s);

	*mem = malloc(n == 0 ? 1 : n);
	memcpy(*mem, s, n);
	return (sv_from(*mem, n));
}

static void
test_parse(void **state)
{
	static const struct { const char *in, *out; } t[] = {
		{ "192.0.2.1", "192.0.2.1" }, { "2001:DB8:0:0::1", "2001:db8::1" }, { "[2001:db8::1]", "2001:db8::1" },
		{ "::ffff:192.0.2.1", "192.0.2.1" }, { "::1", "::1" }, { "::", "::" }, { "[192.0.2.1]", NULL },
		{ "1:0:0:2:0:0:0:3", "1:0:0:2::3" },
		{ "", NULL }, { "192.0.2", NULL }, { "192.0.2.256", NULL }, { "192.0.2.1 ", NULL }, { "[", NULL }, { "[]", NULL },
		{ "host", NULL }, { "1:2:3:4:5:6:7:8:9", NULL }, { "fe80::1%eth0", NULL }, { "01.2.3.4", NULL },
		{ "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", NULL },
	};
	char buf[NET_ADDR_TEXT_MAX], *mem;
	struct net_addr a;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		bool ok = net_addr_parse(exact(t[i].in, &mem), &a);

		if (ok != (t[i].out != NULL))
			fail_msg("%s", t[i].in);
		if (ok)
			assert_string_equal(net_addr_text(&a, buf), t[i].out);
		free(mem);
	}
	assert_false(net_addr_parse(sv_from("1.2.3.4\0", 8), &a));
}

static void
test_ports(void **state)
{
	static const struct { const char *in, *out; int port; } t[] = {
		{ "192.0.2.1", "192.0.2.1", 25 }, { "192.0.2.1:587", "192.0.2.1", 587 }, { "[::1]:99", "::1", 99 },
		{ "[::1]", "::1", 25 }, { "::1", "::1", 25 }, { "*:80", "::", 80 }, { "*", "::", 25 }, { "0.0.0.0:0", "0.0.0.0", 0 },
		{ "192.0.2.1:", NULL, 0 }, { "192.0.2.1:65536", NULL, 0 }, { "[::1]x", NULL, 0 }, { "[::1", NULL, 0 },
		{ "[::1]:", NULL, 0 }, { ":25", NULL, 0 },
	};
	char buf[NET_ADDR_TEXT_MAX], *mem;
	struct net_addr a;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		bool ok = net_addr_parse_port(exact(t[i].in, &mem), 25, &a);

		if (ok != (t[i].out != NULL))
			fail_msg("%s", t[i].in);
		if (ok) {
			assert_string_equal(net_addr_text(&a, buf), t[i].out);
			assert_int_equal(a.port, t[i].port);
		}
		free(mem);
	}
}

static void
test_prefixes(void **state)
{
	static const struct { const char *prefix, *addr; bool ok, match; } t[] = {
		{ "192.0.2.0/24", "192.0.2.255", true, true }, { "192.0.2.0/24", "192.0.3.0", true, false },
		{ "192.0.2.128/25", "192.0.2.127", true, false }, { "192.0.2.1", "192.0.2.1", true, true },
		{ "0.0.0.0/0", "1.2.3.4", true, true }, { "0.0.0.0/0", "::1", true, false }, { "::/0", "::1", true, true },
		{ "2001:db8::/32", "2001:db8:ffff::1", true, true }, { "2001:db8::/33", "2001:db8:ffff::1", true, false },
		{ "::ffff:192.0.2.0/120", "192.0.2.9", true, true }, { "192.0.2.0/33", "1.1.1.1", false, false },
		{ "::ffff:192.0.2.0/95", "192.0.2.9", false, false }, { "192.0.2.0/", "1.1.1.1", false, false },
		{ "::/129", "::1", false, false }, { "192.0.2.0/-1", "1.1.1.1", false, false },
	};
	char *mem;
	struct net_prefix p;
	struct net_addr a;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		bool ok = net_prefix_parse(exact(t[i].prefix, &mem), &p);

		free(mem);
		if (ok != t[i].ok)
			fail_msg("%s", t[i].prefix);
		assert_true(net_addr_parse(sv_cstr(t[i].addr), &a));
		if (ok && net_prefix_match(&p, &a) != t[i].match)
			fail_msg("%s %s", t[i].prefix, t[i].addr);
	}
}

static void
test_reverse(void **state)
{
	char buf[128];
	struct net_addr a;

	assert_true(net_addr_parse(SV_LIT("192.0.2.1"), &a));
	net_addr_reverse(&a, NULL, buf, sizeof(buf));
	assert_string_equal(buf, "1.2.0.192.in-addr.arpa");
	net_addr_reverse(&a, "zen.example.org", buf, sizeof(buf));
	assert_string_equal(buf, "1.2.0.192.zen.example.org");
	assert_true(net_addr_parse(SV_LIT("2001:db8::567:89ab"), &a));
	net_addr_reverse(&a, NULL, buf, sizeof(buf));
	assert_string_equal(buf, "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
	assert_true(net_addr_parse(SV_LIT("127.9.9.9"), &a));
	assert_true(net_addr_is_loopback(&a));
	assert_true(net_addr_parse(SV_LIT("::1"), &a));
	assert_true(net_addr_is_loopback(&a));
	assert_true(net_addr_parse(SV_LIT("::2"), &a));
	assert_false(net_addr_is_loopback(&a));
}

static void
connections(void *arg)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct net_addr a, b, peer, local;
	struct err err = ERR_INIT;
	int l, c, s;

	assert_true(net_addr_parse(SV_LIT("127.0.0.1"), &a));
	l = net_listen(&a, &err);
	assert_true(l != -1);
	assert_int_equal(net_accept(l, &peer, &local), -1);
	assert_int_equal(getsockname(l, (struct sockaddr *)&ss, &len), 0);
	net_addr_from_sockaddr(&b, (struct sockaddr *)&ss);
	assert_true(net_addr_eq(&a, &b));
	c = net_connect(&b, &a, FIBER_NOW_PLUS(30000), &err);
	assert_true(c != -1);
	assert_int_equal(fiber_wait_fd(l, FIBER_READ, FIBER_NOW_PLUS(30000)), FIBER_READY);
	s = net_accept(l, &peer, &local);
	assert_true(s != -1);
	assert_true(net_addr_is_loopback(&peer));
	assert_int_equal(local.port, b.port);
	(void)close(s);
	(void)close(c);
	(void)close(l);
	assert_int_equal(net_connect(&b, NULL, FIBER_NOW_PLUS(1000), &err), -1);
	assert_int_equal(err.cls, ERR_TEMP);
	assert_string_equal(err.status, "4.4.1");
	assert_non_null(strstr(err.text, "refused"));
	*(bool *)arg = true;
}

static void
test_connections(void **state)
{
	struct err err = ERR_INIT;
	bool done = false;

	assert_int_equal(fiber_init(&err), 0);
	(void)fiber_spawn("c", connections, &done);
	fiber_run();
	assert_true(done);
	fiber_fini();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_reverse),
		cmocka_unit_test(test_connections),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
