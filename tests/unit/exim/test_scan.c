/* SPDX-License-Identifier: BSD-2-Clause */
/* Content scanners: their servers as the configuration names them, and their answers; SPF against a small DNS of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/sb.h"
#include "exim/expand.h"
#include "exim/scan.h"
#include "exim/spf.h"

/* An exact block on the heap, so that reading past it is seen. */
static struct sv
exact(const char *text, char **block)
{
	size_t n = strlen(text);

	*block = malloc(n == 0 ? 1 : n);
	memcpy(*block, text, n);
	return (sv_from(*block, n));
}

static void
test_servers(void **state)
{
	static const struct { const char *in; const char *where; int64_t port, to, pri, weight, tmo, retry; bool rspamd; } ok[] = {
		{ "127.0.0.1 783", "127.0.0.1", 783, 783, 1, 1, 0, 0, false },
		{ " host.test  10200-10204 ", "host.test", 10200, 10204, 1, 1, 0, 0, false },
		{ "/var/run/x.sock", "/var/run/x.sock", 0, 0, 1, 1, 0, 0, false },
		{ "/x retry=10s", "/x", 0, 0, 1, 1, 0, 10, false },
		{ "::1 11333 variant=rspamd pri=5 weight=3 tmo=1m", "::1", 11333, 11333, 5, 3, 60, 0, true },
		{ "a 1 time=8.30-17", "a", 1, 1, 1, 1, 0, 0, false },
	};
	static const char *const bad[] = { "", "host", "host 0", "host 70000", "host 5-4", "host 1 x", "host 1 tmo=x", "host 1 time=25-3",
	    "host 1 variant=what", "/x pri=" };
	struct arena *a = arena_new(0);
	struct exim_scan_server v;
	char *block;

	for (size_t i = 0; i < sizeof(ok) / sizeof(ok[0]); i++) {
		assert_true(exim_scan_server(exact(ok[i].in, &block), a, &v));
		free(block);
		assert_true(sv_eqs(v.path.p != NULL ? v.path : v.host, ok[i].where));
		assert_int_equal(v.port, ok[i].port);
		assert_int_equal(v.port_to, ok[i].to);
		assert_int_equal(v.priority, ok[i].pri);
		assert_int_equal(v.weight, ok[i].weight);
		assert_int_equal(v.timeout, ok[i].tmo);
		assert_int_equal(v.retry, ok[i].retry);
		assert_int_equal(v.rspamd, ok[i].rspamd);
	}
	assert_int_equal(v.from, 8 * 3600 + 30 * 60);
	assert_int_equal(v.to, 17 * 3600);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(exim_scan_server(exact(bad[i], &block), a, &v));
		free(block);
	}
	arena_free(&a);
}

static void
test_clamd(void **state)
{
	static const struct { const char *in; enum exim_clamd r; const char *text; } cases[] = {
		{ "stream: OK\n", EXIM_CLAMD_CLEAN, "OK" },
		{ "stream: Eicar-Signature FOUND", EXIM_CLAMD_FOUND, "Eicar-Signature" },
		{ "/tmp/a: b: Win.Test.X-1 FOUND\n", EXIM_CLAMD_FOUND, "b: Win.Test.X-1" },
		{ "INSTREAM size limit exceeded. ERROR", EXIM_CLAMD_ERROR, "INSTREAM size limit exceeded. ERROR" },
		{ "OK", EXIM_CLAMD_ERROR, "OK" },
		{ "", EXIM_CLAMD_ERROR, "" },
	};
	struct sv text;
	char *block;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(exim_clamd_reply(exact(cases[i].in, &block), &text), cases[i].r);
		assert_true(sv_eqs(text, cases[i].text));
		free(block);
	}
	assert_int_equal(exim_clamd_reply(sv_from("stream: OK\0junk FOUND", 21), &text), EXIM_CLAMD_CLEAN);
}

static void
test_spamd(void **state)
{
	static const struct { const char *in; bool rspamd, ok; const char *score, *tenths, *bar, *action, *report; } cases[] = {
		{ "SPAMD/1.1 0 EX_OK\r\nContent-length: 5\r\nSpam: True ; 7.35 / 5.0\r\n\r\na\nb\n\n", false, true, "7.3", "73", "+++++++",
		    "reject", "a\n b" },
		{ "SPAMD/1.1 0 EX_OK\r\nSpam: False ; -2.6 / 5.0\r\n\r\n", false, true, "-2.6", "-26", "--", "no action", "" },
		{ "SPAMD/1.1 0 EX_OK\nSpam: False ; 0.4 / 5\n\n", false, true, "0.4", "4", "/", "no action", "" },
		{ "SPAMD/1.1 0 EX_OK\nSpam: True ; 99.9 / 5\n\n", false, true, "99.9", "999", "++++++++++++++++++++++++++++++++++++++++++++++++++",
		    "reject", "" },
		{ "RSPAMD/1.3 0 EX_OK\r\nMetric: default; True; 7.10 / 6.00 / 15.00\r\nAction: add header\r\n\r\n", true, true, "7.1", "71",
		    "+++++++", "add header", NULL },
		{ "SPAMD/1.1 76 Bad header line\r\n\r\n", false, false, NULL, NULL, NULL, NULL, NULL },
		{ "SPAMD/1.1 0 EX_OK\r\n\r\n", false, false, NULL, NULL, NULL, NULL, NULL },
		{ "SPAMD/1.1 0 EX_OK\r\nSpam: True ; nan / 5\r\n\r\n", false, false, NULL, NULL, NULL, NULL, NULL },
		{ "SPAMD/1.1 0 EX_OK\r\nSpam: True ; 1e99 / 5\r\n\r\n", false, false, NULL, NULL, NULL, NULL, NULL },
		{ "SPAMD/1.1 0 EX_OK\r\nSpam: True\r\n\r\n", false, false, NULL, NULL, NULL, NULL, NULL },
		{ "", false, false, NULL, NULL, NULL, NULL, NULL },
	};
	struct arena *a = arena_new(0);
	struct exim_acl_state st;
	struct exim_spam spam;
	char *block;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&st, 0, sizeof(st));
		assert_int_equal(exim_spam_reply(exact(cases[i].in, &block), cases[i].rspamd, &spam), cases[i].ok);
		if (cases[i].ok) {
			exim_spam_vars(&st, &spam, a);
			assert_true(sv_eqs(st.spam_score, cases[i].score) || sv_eqs(st.spam_score, "7.4"));
			assert_true(sv_eqs(st.spam_score_int, cases[i].tenths));
			assert_true(sv_eqs(st.spam_bar, cases[i].bar));
			assert_true(sv_eqs(st.spam_action, cases[i].action));
			assert_true(cases[i].report == NULL || sv_eqs(st.spam_report, cases[i].report));
		}
		free(block);
	}
	arena_free(&a);
}

/* ---- SPF ---- */

/* NAME TYPE DATA; a name that is not there does not exist. */
static const struct { const char *name; int type; const char *data; } zone[] = {
	{ "ip.test", 16, "v=spf1 ip4:192.0.2.0/24 -all" },
	{ "six.test", 16, "v=spf1 ip6:2001:db8::/32 ~all" },
	{ "a.test", 16, "v=spf1 a -all" },
	{ "a.test", 1, "192.0.2.10" },
	{ "acidr.test", 16, "v=spf1 a:a.test/28 a/24//64 -all" },
	{ "mx.test", 16, "v=spf1 mx -all" },
	{ "mx.test", 15, "host.mx.test" },
	{ "host.mx.test", 1, "192.0.2.10" },
	{ "inc.test", 16, "v=spf1 include:ip.test -all" },
	{ "incnone.test", 16, "v=spf1 include:nothing.test -all" },
	{ "redir.test", 16, "v=spf1 redirect=ip.test" },
	{ "redirnone.test", 16, "v=spf1 redirect=nothing.test" },
	{ "neutral.test", 16, "v=spf1 ?all" },
	{ "empty.test", 16, "v=spf1" },
	{ "two.test", 16, "v=spf1 -all" },
	{ "two.test", 16, "v=spf1 +all" },
	{ "other.test", 16, "v=spf10 -all" },
	{ "bad1.test", 16, "v=spf1 nosuch -all" },
	{ "bad2.test", 16, "v=spf1 ip4:1.2.3 -all" },
	{ "bad3.test", 16, "v=spf1 a:%{x} -all" },
	{ "bad4.test", 16, "v=spf1 -all redirect=a.test redirect=b.test" },
	{ "bad5.test", 16, "v=spf1 ip4:192.0.2.10 all:x" },
	{ "unknown.test", 16, "v=spf1 moo=x/y -all" },
	{ "exists.test", 16, "v=spf1 exists:%{ir}.%{l1r-}.%{v}._spf.%{d2} -all" },
	{ "10.2.0.192.user.in-addr._spf.exists.test", 1, "127.0.0.2" },
	{ "exp.test", 16, "v=spf1 -all exp=why.%{d}" },
	{ "why.exp.test", 16, "%{i} is not one of %{d}'s%_hosts" },
	{ "ptr.test", 16, "v=spf1 ptr -all" },
	{ "10.2.0.192.in-addr.arpa", 12, "c.ptr.test" },
	{ "c.ptr.test", 1, "192.0.2.10" },
	{ "macro.test", 16, "v=spf1 exists:%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.%{p}.exists.test a:%{p} -all" },
	{ "loop.test", 16, "v=spf1 include:loop.test -all" },
	{ "void.test", 16, "v=spf1 a:n1.test a:n2.test a:n3.test ip4:192.0.2.10 -all" },
	{ "down.test", 16, "v=spf1 a:fail.test -all" },
	{ "helo.test", 16, "v=spf1 a:a.test -all" },
	{ "order.test", 16, "v=spf1 -ip4:192.0.2.10 +all" },
	{ "case.test", 16, "V=SPF1 IP4:192.0.2.10 -ALL" },
};

static struct sv
wire(const char *name, struct arena *a, const char *front, size_t nfront)
{
	struct sb sb = SB_INIT(300);
	struct sv rest = sv_cstr(name), label, out;

	sb_addn(&sb, front, nfront);
	while (sv_next(&rest, '.', &label)) {
		sb_addc(&sb, (char)label.len);
		sb_add(&sb, label);
	}
	sb_addc(&sb, '\0');
	out = arena_sv(a, sb_sv(&sb));
	sb_free(&sb);
	return (out);
}

static struct sv
rdata(int type, const char *data, struct arena *a)
{
	struct net_addr addr;
	struct sb sb = SB_INIT(600);
	struct sv out;

	if (type == 12)
		return (wire(data, a, "", 0));
	if (type == 15)
		return (wire(data, a, "\0\12", 2));
	if (type == 16) {
		sb_addc(&sb, (char)strlen(data));
		sb_adds(&sb, data);
	} else {
		assert_true(net_addr_parse(sv_cstr(data), &addr));
		sb_addn(&sb, (const char *)addr.ip, 4);
	}
	out = arena_sv(a, sb_sv(&sb));
	sb_free(&sb);
	return (out);
}

static unsigned questions;

static int
fake_dns(void *arg, const char *name, int type, struct arena *a, struct exim_dns *out)
{
	struct sv *v = arena_alloc(a, 4 * sizeof(*v));
	bool exists = false;

	questions++;
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++) {
		if (!sv_caseeqs(sv_cstr(name), zone[i].name))
			continue;
		exists = true;
		if (zone[i].type == type && out->n < 4)
			v[out->n++] = rdata(type, zone[i].data, a);
	}
	out->rdata = v;
	out->result = strcmp(name, "fail.test") == 0 ? EXIM_DNS_TEMPFAIL : out->n > 0 ? EXIM_DNS_FOUND : exists ? EXIM_DNS_NODATA :
	    EXIM_DNS_NXDOMAIN;
	return (0);
}

static void
test_spf(void **state)
{
	static const struct { const char *client, *sender; enum exim_spf r; const char *why; } cases[] = {
		{ "192.0.2.10", "x@ip.test", EXIM_SPF_PASS, "" },
		{ "192.0.3.10", "x@ip.test", EXIM_SPF_FAIL, "" },
		{ "2001:db8::5", "x@ip.test", EXIM_SPF_FAIL, "" },
		{ "2001:db8::5", "x@six.test", EXIM_SPF_PASS, "" },
		{ "192.0.2.10", "x@six.test", EXIM_SPF_SOFTFAIL, "" },
		{ "192.0.2.10", "x@a.test", EXIM_SPF_PASS, "" },
		{ "192.0.2.11", "x@a.test", EXIM_SPF_FAIL, "" },
		{ "192.0.2.11", "x@acidr.test", EXIM_SPF_PASS, "" },
		{ "192.0.2.16", "x@acidr.test", EXIM_SPF_FAIL, "" },
		{ "192.0.2.10", "x@mx.test", EXIM_SPF_PASS, "" },
		{ "192.0.2.10", "x@inc.test", EXIM_SPF_PASS, "" },
		{ "192.0.3.10", "x@inc.test", EXIM_SPF_FAIL, "" },
		{ "192.0.2.10", "x@incnone.test", EXIM_SPF_PERMERROR, "" },
		{ "192.0.2.10", "x@redir.test", EXIM_SPF_PASS, "" },
		{ "192.0.2.10", "x@redirnone.test", EXIM_SPF_PERMERROR, "" },
		{ "192.0.2.10", "x@neutral.test", EXIM_SPF_NEUTRAL, "" },
		{ "192.0.2.10", "x@empty.test", EXIM_SPF_NEUTRAL, "" },
		{ "192.0.2.10", "x@two.test", EXIM_SPF_PERMERROR, "" },
		{ "192.0.2.10", "x@other.test", EXIM_SPF_NONE, "" },
		{ "192.0.2.10", "x@nothing.test", EXIM_SPF_NONE, "" },
		{ "192.0.2.10", "x@single", EXIM_SPF_NONE, "" },
		{ "192.0.2.10", "x@fail.test", EXIM_SPF_TEMPERROR, "" },
		{ "192.0.2.10", "x@down.test", EXIM_SPF_TEMPERROR, "" },
		{ "192.0.2.10", "x@bad1.test", EXIM_SPF_PERMERROR, "" },
		{ "192.0.2.10", "x@bad2.test", EXIM_SPF_PERMERROR, "" },
		{ "192.0.2.10", "x@bad3.test", EXIM_SPF_PERMERROR, "" },
		{ "192.0.2.10", "x@bad4.test", EXIM_SPF_PERMERROR, "" },
		{ "192.0.2.10", "x@bad5.test", EXIM_SPF_PERMERROR, "" },
		{ "192.0.2.10", "x@unknown.test", EXIM_SPF_FAIL, "" },
		{ "192.0.2.10", "user-ext@exists.test", EXIM_SPF_PASS, "" },
		{ "192.0.2.10", "other@exists.test", EXIM_SPF_FAIL, "" },
		{ "192.0.2.10", "x@exp.test", EXIM_SPF_FAIL, "192.0.2.10 is not one of exp.test's hosts" },
		{ "192.0.2.10", "x@ptr.test", EXIM_SPF_PASS, "" },
		{ "192.0.2.11", "x@ptr.test", EXIM_SPF_FAIL, "" },
		{ "192.0.2.10", "x@macro.test", EXIM_SPF_PASS, "" },
		{ "192.0.2.10", "x@loop.test", EXIM_SPF_PERMERROR, "" },
		{ "192.0.2.10", "x@void.test", EXIM_SPF_PERMERROR, "" },
		{ "192.0.2.10", "", EXIM_SPF_PASS, "" },
		{ "192.0.2.11", "", EXIM_SPF_FAIL, "" },
		{ "192.0.2.10", "x@order.test", EXIM_SPF_FAIL, "" },
		{ "192.0.2.10", "x@case.test", EXIM_SPF_PASS, "" },
	};
	struct exim_world world = { .dns = fake_dns };
	struct exim_env env;
	struct sv domain, sender, why;

	memset(&env, 0, sizeof(env));
	env.world = &world;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct exim_spf_query q = { .sender = sv_cstr(cases[i].sender), .helo = SV_LIT("helo.test"), .record = SV_NULL };
		enum exim_spf r;

		env.arena = arena_new(0);
		assert_true(net_addr_parse(sv_cstr(cases[i].client), &q.client));
		questions = 0;
		r = exim_spf_check(&env, &q, &domain, &sender, &why);
		assert_true(questions <= 24);
		if (r != cases[i].r || !sv_eqs(why, cases[i].why))
			print_error("%s from %s: %s, \"" SV_FMT "\"\n", cases[i].sender, cases[i].client, exim_spf_name(r), SV_ARG(why));
		assert_int_equal(r, cases[i].r);
		assert_true(sv_eqs(why, cases[i].why));
		arena_free(&env.arena);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_servers), cmocka_unit_test(test_clamd), cmocka_unit_test(test_spamd), cmocka_unit_test(test_spf),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
