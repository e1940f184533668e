/* SPDX-License-Identifier: BSD-2-Clause */
/* One option of routers a row: what it makes of an address, as -bt and -bv tell it. */
#include "route_world.h"

#define TAIL "\nbegin transports\nt:\n  driver = smtp\nl:\n  driver = appendfile\n  file = /x\np:\n  driver = pipe\n" \
	"r:\n  driver = autoreply\n"
#define LAST "\nz:\n  driver = accept\n  transport = l\n"

struct row {
	const char	*option;
	enum route_mode	 mode;
	const char	*conf;		/* of the routers; "main options\n\n" may go before "begin routers" */
	const char	*address, *text;
};

#define DNS(opts) "begin routers\nd:\n  driver = dnslookup\n  transport = t\n  " opts LAST TAIL
#define ONLY_DNS(opts) "begin routers\nd:\n  driver = dnslookup\n  transport = t\n  " opts TAIL
#define MAN(opts) "begin routers\nm:\n  driver = manualroute\n  transport = t\n  " opts LAST TAIL
#define ACC(opts) "begin routers\na:\n  driver = accept\n  transport = l\n  " opts "\nz:\n  driver = accept\n  transport = t\n" TAIL
#define RED(opts) "begin routers\nr:\n  driver = redirect\n  domains = a.test\n  " opts LAST TAIL
#define FIL(text, opts) RED("user = 1000\n  group = 1000\n  allow_filter\n  data = \"# Exim filter\\n" text "\"\n  " opts)

static const struct row rows[] = {
#include "options.inc"
};

static void
options(void **state)
{
	bool bad = false;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		struct fix f;
		char *out;

		fix_init(&f, r->conf);
		out = answer(&f, r->mode, r->address);
		if (strcmp(out, r->text) != 0) {
			print_message("%s, %s:\n%s\nnot\n%s\n", r->option, r->address, out, r->text);
			bad = true;
		}
		free(out);
		route_result_free(&f.res);
		fix_fini(&f);
	}
	assert_false(bad);
}

/* ---- what is not to be seen in that answer ---- */

static void
route(struct fix *f, const char *conf, const char *address)
{
	fix_init(f, conf);
	f->rq.mode = ROUTE_DELIVER;
	f->rq.address = sv_taint(sv_cstr(arena_str(f->a, address)));
	route_address(&f->rq, &f->res);
}

static void
done(struct fix *f)
{
	route_result_free(&f->res);
	fix_fini(f);
}

/* rewrite_headers: what a domain was made of goes with the address. */
static void
whole_domains(void **state)
{
	static const struct { const char *conf, *address; bool told; } t[] = {
		{ ONLY_DNS("qualify_single"), "x@short", true },
		{ ONLY_DNS("widen_domains = remote.test"), "x@wide", true },
		{ ONLY_DNS("widen_domains = remote.test\n  no_rewrite_headers"), "x@wide", false },
		{ "begin routers\nm:\n  driver = manualroute\n  domains = a.test\n  transport = t\n  route_list = * us.test\n"
		    "  self = reroute:rewrite:short.own.test\n" LAST TAIL, "x@a.test", true },
		{ "begin routers\nm:\n  driver = manualroute\n  domains = a.test\n  transport = t\n  route_list = * us.test\n"
		    "  self = reroute:short.own.test\n" LAST TAIL, "x@a.test", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct fix f;
		const struct route_addr *a;

		route(&f, t[i].conf, t[i].address);
		assert_int_equal(f.res.ndeliveries, 1);
		a = f.res.delivery[0].addr;
		assert_non_null(a->parent);
		if (t[i].told) {
			assert_true(sv_eqs(a->short_domain, strchr(t[i].address, '@') + 1));
			assert_true(sv_ends(a->address, arena_cstr(f.a, a->full_domain)));
		} else
			assert_int_equal(a->short_domain.len, 0);
		done(&f);
	}
}

/* same_domain_copy_routing: the second address of a domain goes where the first went, whatever the router would say. */
static void
copied_routing(void **state)
{
#define BY_LOCAL "route_list = * \"${if eq{$local_part}{x}{h1.test}{h2.test}}\"\n  "
	static const struct { const char *conf; const char *second; size_t n; } t[] = {
		{ MAN(BY_LOCAL "same_domain_copy_routing"), "h1.test", 1 },
		{ MAN(BY_LOCAL), "h2.test", 1 },
		{ MAN(BY_LOCAL "same_domain_copy_routing\n  headers_add = X: y"), "h2.test", 1 },
		{ ONLY_DNS("condition = ${if eq{$local_part}{x}}\n  same_domain_copy_routing"), "mx1.remote.test", 2 },
		{ ONLY_DNS("condition = ${if eq{$local_part}{x}}"), NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct route_copy *copies = NULL;
		struct fix f;

		fix_init(&f, t[i].conf);
		f.rq.mode = ROUTE_DELIVER;
		f.rq.copies = &copies;
		f.rq.address = SV_LIT("x@remote.test");
		route_address(&f.rq, &f.res);
		assert_int_equal(f.res.ndeliveries, 1);
		route_result_free(&f.res);
		f.rq.address = SV_LIT("y@remote.test");
		route_address(&f.rq, &f.res);
		assert_int_equal(f.res.ndeliveries, t[i].second != NULL);
		if (t[i].second != NULL) {
			assert_int_equal(f.res.delivery[0].nhosts, t[i].n);
			assert_string_equal(f.res.delivery[0].hosts[0].name, t[i].second);
			assert_true(sv_eqs(f.res.delivery[0].local_part, "y"));
			assert_true(sv_eqs(f.res.delivery[0].addr->address, "y@remote.test"));
		}
		done(&f);
	}
}

static void
deliveries(void **state)
{
	struct fix f;
	const struct route_delivery *d;

	(void)state;
	route(&f, ONLY_DNS("dnssec_request_domains = remote.test\n  dnssec_require_domains = !remote.test"), "x@remote.test");
	assert_true(f.res.delivery[0].dnssec_request);
	assert_false(f.res.delivery[0].dnssec_require);
	done(&f);
	route(&f, ONLY_DNS("dnssec_request_domains = !remote.test\n  dnssec_require_domains = remote.test"), "x@remote.test");
	assert_false(f.res.delivery[0].dnssec_request);
	assert_true(f.res.delivery[0].dnssec_require);
	done(&f);
	route(&f, MAN("route_list = * h1.test\n  fallback_hosts = h2.test::26 : none.test"), "x@a.test");
	d = &f.res.delivery[0];
	assert_int_equal(d->nhosts, 1);
	assert_int_equal(d->nfallback, 1);
	assert_string_equal(d->fallback[0].name, "h2.test");
	assert_int_equal(d->fallback[0].addr.port, 26);
	done(&f);
	route(&f, ACC("user = 77\n  group = 78\n  initgroups"), "x@a.test");
	assert_true(f.res.delivery[0].initgroups);
	assert_int_equal(f.res.delivery[0].uid, 77);
	assert_int_equal(f.res.delivery[0].gid, 78);
	done(&f);
	route(&f, ACC("user = 77\n  group = 78"), "x@a.test");
	assert_false(f.res.delivery[0].initgroups);
	done(&f);
	/* The account's groups count by themselves. */
	route(&f, ACC("check_local_user"), "alice@a.test");
	assert_true(f.res.delivery[0].initgroups);
	assert_int_equal(f.res.delivery[0].uid, 1000);
	assert_string_equal(f.res.delivery[0].home, "/home/alice");
	done(&f);
	route(&f, ACC("caseful_local_part"), "JoE@a.test");
	assert_true(sv_eqs(f.res.delivery[0].local_part, "JoE"));
	done(&f);
	route(&f, ACC("errors_to = \"a\\nb@a.test\""), "x@a.test");
	assert_false(f.res.delivery[0].errors_to_set);
	done(&f);
}

/* queryprogram: as whom, where and how long. */
static void
programs(void **state)
{
	struct fix f;

	(void)state;
	route(&f, "begin routers\nq:\n  driver = queryprogram\n  command = /bin/q DECLINE\n  command_user = 77\n"
	    "  command_group = ${if eq{$local_part}{x}{78}{79}}\n  current_directory = /tmp\n  timeout = 5s\n" TAIL, "x@a.test");
	assert_int_equal(w_last.uid, 77);
	assert_int_equal(w_last.gid, 78);
	assert_int_equal(w_last.timeout, 5);
	assert_string_equal(w_last.cwd, "/tmp");
	done(&f);
	route(&f, "begin routers\nq:\n  driver = queryprogram\n  command = /bin/q DECLINE\n  command_user = ${if eq{1}{1}{alice}}\n" TAIL,
	    "x@a.test");
	assert_int_equal(w_last.uid, 1000);
	assert_int_equal(w_last.gid, 1001);
	assert_int_equal(w_last.timeout, 3600);
	assert_string_equal(w_last.cwd, "/");
	done(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options), cmocka_unit_test(whole_domains), cmocka_unit_test(copied_routing), cmocka_unit_test(deliveries),
		cmocka_unit_test(programs),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
