/* SPDX-License-Identifier: BSD-2-Clause */
/* Lookups against zone data of our own, and malformed packets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sb.h"
#include "dns/dns.h"
#include "dns/dns_int.h"
#include "fiber/fiber.h"
#include "os/file.h"
#include "os/time.h"

static char path[64];
static struct arena *a;

static const char zone[] =
	"; a test\n"
	"example.org. 600 IN SOA ns.example.org. root.example.org. 1 2 3 4 300\n"
	"example.org MX 10 mx1.example.org\n"
	"example.org 60 MX 20 mx2.example.org   # comment\n"
	"\tIN MX 10 mx3.example.org.\n"
	"example.org TXT \"v=spf1 \" \"a ; -all\"\n"
	"mx1.example.org A 192.0.2.1\n"
	"MX1.example.org AAAA 2001:db8::1\n"
	"mx2.example.org A 192.0.2.2\n"
	"www.example.org CNAME mx1.example.org.\n"
	"out.example.org CNAME target.other.net\n"
	"dangling.example.org CNAME nowhere.example.org\n"
	"loop1.example.org CNAME loop2.example.org\n"
	"loop2.example.org CNAME loop1.example.org\n"
	"target.other.net A 198.51.100.7\n"
	"nomail.test MX 0 .\n"
	"xn--bcher-kva.test A 192.0.2.9\n"
	"_25._tcp.mx1.example.org TLSA 3 1 1 AABBCC\n"
	"_imap._tcp.example.org SRV 1 2 143 mx1.example.org\n"
	"1.2.0.192.in-addr.arpa PTR mx1.example.org\n"
	"1.2.0.192.in-addr.arpa PTR forged.example.org\n"
	"3.2.0.192.in-addr.arpa PTR forged.example.org\n"
	"forged.example.org A 203.0.113.1\n"
	"fail broken.test\n"
	"$ORIGIN sub.test.\n"
	"@ A 192.0.2.50\n"
	"a A 192.0.2.51\n";

static enum dns_result
look(const char *name, int type, struct dns_answer *out)
{
	return (dns_lookup(name, type, FIBER_NOW_PLUS(30000), a, out));
}

static void
check_answers(void)
{
	static const struct {
		const char	*name;
		int		 type;
		enum dns_result	 want;
		const char	*text;		/* of the first record */
		const char	*canon;
	} t[] = {
		{ "mx1.example.org", DNS_A, DNS_FOUND, "192.0.2.1", NULL },
		{ "MX1.Example.ORG.", DNS_A, DNS_FOUND, "192.0.2.1", NULL },
		{ "mx1.example.org", DNS_AAAA, DNS_FOUND, "2001:db8::1", NULL },
		{ "mx2.example.org", DNS_AAAA, DNS_NODATA, NULL, NULL },
		{ "nothing.example.org", DNS_A, DNS_NXDOMAIN, NULL, NULL },
		{ "example.org", DNS_A, DNS_NODATA, NULL, NULL },
		{ "www.example.org", DNS_A, DNS_FOUND, "192.0.2.1", "mx1.example.org" },
		{ "www.example.org", DNS_CNAME, DNS_FOUND, "mx1.example.org", NULL },
		{ "www.example.org", DNS_MX, DNS_NODATA, NULL, "mx1.example.org" },
		{ "out.example.org", DNS_A, DNS_FOUND, "198.51.100.7", "target.other.net" },
		{ "dangling.example.org", DNS_A, DNS_NXDOMAIN, NULL, NULL },
		{ "loop1.example.org", DNS_A, DNS_TEMPFAIL, NULL, NULL },
		{ "example.org", DNS_TXT, DNS_FOUND, "v=spf1 a ; -all", NULL },
		{ "example.org", DNS_SOA, DNS_FOUND, "ns.example.org root.example.org 1 2 3 4 300", NULL },
		{ "_25._tcp.mx1.example.org", DNS_TLSA, DNS_FOUND, "3 1 1 aabbcc", NULL },
		{ "_imap._tcp.example.org", DNS_SRV, DNS_FOUND, "1 2 143 mx1.example.org", NULL },
		{ "nomail.test", DNS_MX, DNS_FOUND, "0 ", NULL },
		{ "nomail.test", DNS_A, DNS_NODATA, NULL, NULL },
		{ "b\303\274cher.test", DNS_A, DNS_FOUND, "192.0.2.9", "xn--bcher-kva.test" },
		{ "x.broken.test", DNS_A, DNS_TEMPFAIL, NULL, NULL },
		{ "sub.test", DNS_A, DNS_FOUND, "192.0.2.50", NULL },
		{ "a.sub.test", DNS_A, DNS_FOUND, "192.0.2.51", NULL },
		{ "b.sub.test", DNS_A, DNS_NXDOMAIN, NULL, NULL },
		{ "elsewhere.com", DNS_MX, DNS_TEMPFAIL, NULL, NULL },
		{ "bad name", DNS_A, DNS_NXDOMAIN, NULL, NULL },
		{ "a..b", DNS_A, DNS_NXDOMAIN, NULL, NULL },
		{ "", DNS_A, DNS_NXDOMAIN, NULL, NULL },
		{ ".", DNS_A, DNS_NXDOMAIN, NULL, NULL },
		{ "localhost", DNS_A, DNS_FOUND, "127.0.0.1", NULL },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct dns_answer ans;
		enum dns_result r = look(t[i].name, t[i].type, &ans);

		if (r != t[i].want)
			fail_msg("%s %d: %s, not %s", t[i].name, t[i].type, dns_result_text(r),
			    dns_result_text(t[i].want));
		assert_int_equal(ans.result, r);
		assert_false(ans.secure);
		if (t[i].text != NULL)
			assert_string_equal(dns_rdata_text(t[i].type, ans.rdata[0], a), t[i].text);
		if (t[i].canon != NULL)
			assert_string_equal(ans.canon, t[i].canon);
		if (r == DNS_TEMPFAIL)
			assert_non_null(ans.why);
	}
}

static void
check_mail(void)
{
	struct dns_mx *mx;
	struct net_addr *addrs, addr;
	const char **names;
	struct sv *txt;
	size_t n;
	bool secure, first[2] = { false, false };

	for (int i = 0; i < 64; i++) {
		assert_int_equal(dns_mx("example.org", FIBER_FOREVER, a, &mx, &n, &secure), DNS_FOUND);
		assert_int_equal(n, 3);
		assert_int_equal(mx[0].pref, 10);
		assert_int_equal(mx[2].pref, 20);
		assert_string_equal(mx[2].host, "mx2.example.org");
		first[strcmp(mx[0].host, "mx1.example.org") == 0] = true;
	}
	assert_true(first[0] && first[1]);
	assert_int_equal(dns_mx("nomail.test", FIBER_FOREVER, a, &mx, &n, NULL), DNS_FOUND);
	assert_string_equal(mx[0].host, "");
	assert_int_equal(dns_mx("mx1.example.org", FIBER_FOREVER, a, &mx, &n, NULL), DNS_NODATA);
	assert_int_equal(n, 0);

	assert_int_equal(dns_addrs("mx1.example.org", DNS_V4 | DNS_V6, FIBER_FOREVER, a, &addrs, &n, NULL, NULL), DNS_FOUND);
	assert_int_equal(n, 2);
	assert_int_equal(addrs[0].family, 6);
	assert_int_equal(addrs[1].family, 4);
	assert_int_equal(dns_addrs("mx2.example.org", DNS_V6, FIBER_FOREVER, a, &addrs, &n, NULL, NULL), DNS_NODATA);
	assert_int_equal(dns_addrs("no.example.org", DNS_V4 | DNS_V6, FIBER_FOREVER, a, &addrs, &n, NULL, NULL), DNS_NXDOMAIN);
	assert_int_equal(dns_addrs("x.broken.test", DNS_V4 | DNS_V6, FIBER_FOREVER, a, &addrs, &n, NULL, NULL), DNS_TEMPFAIL);

	assert_true(net_addr_parse(SV_LIT("192.0.2.1"), &addr));
	assert_int_equal(dns_ptr(&addr, FIBER_FOREVER, a, &names, &n), DNS_FOUND);
	assert_int_equal(n, 2);
	assert_int_equal(dns_ptr_verified(&addr, FIBER_FOREVER, a, &names, &n), DNS_FOUND);
	assert_int_equal(n, 1);
	assert_string_equal(names[0], "mx1.example.org");
	assert_true(net_addr_parse(SV_LIT("192.0.2.3"), &addr));
	assert_int_equal(dns_ptr_verified(&addr, FIBER_FOREVER, a, &names, &n), DNS_NXDOMAIN);

	assert_int_equal(dns_txt("example.org", FIBER_FOREVER, a, &txt, &n), DNS_FOUND);
	assert_true(sv_eqs(txt[0], "v=spf1 a ; -all"));
	assert_true(txt[0].tainted);
}

static void
lookups(void *arg)
{
	int64_t t0 = os_mono_ms();

	check_answers();
	check_mail();
	assert_true(os_mono_ms() - t0 < 20000);
	*(bool *)arg = true;
}

static void
test_lookups(void **state)
{
	struct dns_conf conf = { .zone_file = path };
	struct err err = ERR_INIT;
	bool done = false;

	assert_int_equal(os_write_replace(path, sv_cstr(zone), 0600, &err), 0);
	assert_int_equal(fiber_init(&err), 0);
	if (dns_init(&conf, &err) == -1)
		fail_msg("%s", err.text);
	dns_set_limit(1);
	a = arena_new(0);
	(void)fiber_spawn("t", lookups, &done);
	fiber_run();
	assert_true(done);
	arena_free(&a);
	dns_fini();
	fiber_fini();
	(void)unlink(path);
}

static void
test_bad_zone(void **state)
{
	static const struct { const char *text, *want; } t[] = {
		{ "a.test A 1.2.3.4\nb.test A nonsense\n", ":2: record" },
		{ " A 1.2.3.4\n", ":1: the first record" },
		{ "x.test\n", ":1: a record needs" },
		{ "x.test FOO bar\n", ":1: unknown record type" },
		{ "zone\n", ":1: zone needs a name" },
	};
	struct dns_conf conf = { .zone_file = path };

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(os_write_replace(path, sv_cstr(t[i].text), 0600, &err), 0);
		assert_int_equal(fiber_init(&err), 0);
		assert_int_equal(dns_init(&conf, &err), -1);
		if (strstr(err.text, t[i].want) == NULL)
			fail_msg("%s", err.text);
		fiber_fini();
	}
	(void)unlink(path);
}

/* Every prefix of a good packet, and every byte changed: never a read past the end. */
static void
test_packets(void **state)
{
	static const char good[] = "\0\1\205\200\0\1\0\2\0\0\0\0\7example\3org\0\0\17\0\1"
		"\300\14\0\17\0\1\0\0\0\74\0\10\0\12\3mx1\300\14" "\300\14\0\17\0\1\0\0\0\74\0\10\0\24\3mx2\300\14";
	struct dns_answer ans;
	const char *next;
	size_t len = sizeof(good) - 1;

	a = arena_new(0);
	for (size_t n = 0; n <= len; n++) {
		char *p = malloc(n == 0 ? 1 : n);
		int rc;

		memcpy(p, good, n);
		memset(&ans, 0, sizeof(ans));
		rc = dns_packet_parse(sv_from(p, n), "example.org", DNS_MX, a, &ans, &next);
		assert_int_equal(rc, n == len ? 1 : -1);
		free(p);
	}
	for (size_t i = 0; i < len * 256; i++) {
		char *p = malloc(len);

		memcpy(p, good, len);
		p[i / 256] = (char)(i % 256);
		memset(&ans, 0, sizeof(ans));
		if (dns_packet_parse(sv_from(p, len), "example.org", DNS_MX, a, &ans, &next) == 1)
			(void)dns_rdata_text(DNS_MX, ans.rdata[0], a);
		free(p);
		arena_reset(a);
	}
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets),
		cmocka_unit_test(test_bad_zone),
		cmocka_unit_test(test_lookups),
	};

	(void)snprintf(path, sizeof(path), "/tmp/vpost-dns-%ld", (long)getpid());
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
