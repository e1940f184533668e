/* SPDX-License-Identifier: BSD-2-Clause */
/* The PROXY protocol: headers whole, byte by byte, and broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/proxy.h"

#define SIG	"\r\n\r\n\0\r\nQUIT\n"
#define L(s)	s, sizeof(s) - 1
#define LONG	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static const struct {
	const char	*text;
	size_t		 len;
	enum net_proxy_result want;
	const char	*source;	/* "ADDR PORT"; "": not told */
	const char	*dest;
} cases[] = {
	{ L("PROXY TCP4 192.0.2.7 192.0.2.9 4711 25\r\n"), NET_PROXY_OK, "192.0.2.7 4711", "192.0.2.9 25" },
	{ L("PROXY TCP6 2001:db8::7 ::1 65535 0\r\n"), NET_PROXY_OK, "2001:db8::7 65535", "::1 0" },
	{ L("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.9 1 2\r\n"), NET_PROXY_OK, "192.0.2.7 1", "192.0.2.9 2" },
	{ L("PROXY UNKNOWN\r\n"), NET_PROXY_OK, "", "" },
	{ L("PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\n"), NET_PROXY_OK, "", "" },
	{ L("PROXY TCP4 192.0.2.7 192.0.2.9 4711 25\n"), NET_PROXY_BAD, "", "" },
	{ L("PROXY TCP4 192.0.2.7 192.0.2.9 4711\r\n"), NET_PROXY_BAD, "", "" },
	{ L("PROXY TCP4 192.0.2.7 192.0.2.9 4711 25 26\r\n"), NET_PROXY_BAD, "", "" },
	{ L("PROXY TCP4 192.0.2.7 192.0.2.9 4711 65536\r\n"), NET_PROXY_BAD, "", "" },
	{ L("PROXY TCP4 2001:db8::7 192.0.2.9 4711 25\r\n"), NET_PROXY_BAD, "", "" },
	{ L("PROXY TCP6 192.0.2.7 192.0.2.9 4711 25\r\n"), NET_PROXY_BAD, "", "" },
	{ L("PROXY TCP6 [::1] ::1 4711 25\r\n"), NET_PROXY_BAD, "", "" },
	{ L("PROXY UDP4 192.0.2.7 192.0.2.9 4711 25\r\n"), NET_PROXY_BAD, "", "" },
	{ L("PROXY  TCP4 192.0.2.7 192.0.2.9 4711 25\r\n"), NET_PROXY_BAD, "", "" },
	{ L("PROXX"), NET_PROXY_BAD, "", "" },
	{ L("EHLO there\r\n"), NET_PROXY_BAD, "", "" },
	{ L("\r\n"), NET_PROXY_MORE, "", "" },
	{ L("PROXY"), NET_PROXY_MORE, "", "" },
	{ L("PROXY UNKNOWN " LONG LONG "\r\n"), NET_PROXY_BAD, "", "" },
	{ L(SIG "\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x09\x12\x67\0\x19"), NET_PROXY_OK, "192.0.2.7 4711", "192.0.2.9 25" },
	{ L(SIG "\x21\x11\0\x10\xc0\0\x02\x07\xc0\0\x02\x09\x12\x67\0\x19\x04\0\x01\0"), NET_PROXY_OK, "192.0.2.7 4711", "192.0.2.9 25" },
	{ L(SIG "\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x09\x12\x67\0\x19"), NET_PROXY_OK,
	    "2001:db8::7 4711", "192.0.2.9 25" },
	{ L(SIG "\x20\0\0\0"), NET_PROXY_OK, "", "" },
	{ L(SIG "\x20\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x09\x12\x67\0\x19"), NET_PROXY_OK, "", "" },
	{ L(SIG "\x21\0\0\0"), NET_PROXY_OK, "", "" },
	{ L(SIG "\x21\x11\0\x0b\xc0\0\x02\x07\xc0\0\x02\x09\x12\x67\0"), NET_PROXY_BAD, "", "" },
	{ L(SIG "\x21\x31\0\x00"), NET_PROXY_BAD, "", "" },
	{ L(SIG "\x22\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x09\x12\x67\0\x19"), NET_PROXY_BAD, "", "" },
	{ L(SIG "\x11\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x09\x12\x67\0\x19"), NET_PROXY_BAD, "", "" },
	{ L(SIG "\x21\x11\xff\xff"), NET_PROXY_BAD, "", "" },
	{ L(SIG "\x21\x11\0\x0c\xc0"), NET_PROXY_MORE, "", "" },
	{ L("\r\n\r\nQABCDEFGHIJKLMNOP"), NET_PROXY_BAD, "", "" },
};

static const char *
show(const struct net_addr *a, char buf[80])
{
	char text[NET_ADDR_TEXT_MAX];

	(void)snprintf(buf, 80, "%s %u", net_addr_text(a, text), a->port);
	return (buf);
}

/* What is there already never changes what is asked for: piece by piece comes the same. */
static enum net_proxy_result
in_pieces(const char *text, size_t len, struct net_proxy *p)
{
	enum net_proxy_result r;
	size_t have = 0, need;

	for (;;) {
		char *copy = malloc(have + 1);

		assert_non_null(copy);
		memcpy(copy, text, have);
		r = net_proxy_parse(sv_from(copy, have), p, &need);
		free(copy);
		if (r != NET_PROXY_MORE)
			return (r);
		assert_true(need > 0);
		if (have + need > len)
			return (r);
		have += need;
	}
}

static void
test_parse(void **state)
{
	char buf[80];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct net_proxy p;

		if (in_pieces(cases[i].text, cases[i].len, &p) != cases[i].want)
			fail_msg("case %zu", i);
		if (cases[i].want != NET_PROXY_OK)
			continue;
		assert_int_equal(p.known, cases[i].source[0] != '\0');
		if (p.known) {
			assert_string_equal(show(&p.source, buf), cases[i].source);
			assert_string_equal(show(&p.dest, buf), cases[i].dest);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_parse) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
