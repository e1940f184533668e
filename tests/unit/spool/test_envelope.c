/* SPDX-License-Identifier: BSD-2-Clause */
/* Envelopes and message ids: what is encoded comes back, what is damaged is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/hash.h"
#include "spool/client.h"
#include "spool/envelope.h"

static void
ids_are_unique(void **state)
{
	struct hash *h = hash_new();
	char id[SPOOL_ID_SIZE], last[SPOOL_ID_SIZE] = "";

	(void)state;
	for (int i = 0; i < 100000; i++) {
		spool_id_new(id);
		assert_true(spool_id_valid(sv_cstr(id)));
		assert_string_not_equal(id, last);
		assert_null(hash_set(h, sv_cstr(id), h));
		memcpy(last, id, sizeof(id));
	}
	assert_in_range((uint64_t)spool_id_time(sv_cstr(id)), (uint64_t)time(NULL) - 5, (uint64_t)time(NULL) + 30);
	hash_free(&h, NULL);
}

static void
ids_have_a_form(void **state)
{
	static const struct { const char *id; bool ok; } t[] = {
		{ "1rAbCd-000123-Zz", true }, { "1rAbCd-000123-Z", false }, { "1rAbCd_000123-Zz", false },
		{ "1rAbCd-000123_Zz", false }, { "1rAbCd-00/123-Zz", false }, { "", false }, { "1rAbCd-000123-Zzz", false },
		{ "tmp.1.AAAAAAAAAA", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(spool_id_valid(sv_cstr(t[i].id)), t[i].ok);
	assert_int_equal(spool_id_time(sv_cstr("bad")), 0);
}

static void
fill(struct spool_envelope *e, struct spool_rcpt r[3], struct spool_var v[2])
{
	spool_envelope_init(e);
	r[0] = (struct spool_rcpt){ SV_LIT("a@x.example"), SV_LIT("rfc822;A@x.example"), SPOOL_NOTIFY_DELAY };
	r[1] = (struct spool_rcpt){ SV_LIT("b@x.example"), SV_LIT(""), 0 };
	r[2] = (struct spool_rcpt){ SV_LIT("\"c c\"@[1.2.3.4]"), SV_LIT(""), SPOOL_NOTIFY_NEVER };
	v[0] = (struct spool_var){ SV_LIT("m0"), sv_taint(SV_LIT("tainted\0value")) };
	v[1] = (struct spool_var){ SV_LIT("c_name"), SV_LIT("clean") };
	e->sender = SV_LIT("s@y.example");
	e->rcpts = r;
	e->nrcpts = 3;
	e->vars = v;
	e->nvars = 2;
	e->flags = SPOOL_8BITMIME | SPOOL_LOCAL;
	e->ret = SPOOL_RET_HDRS;
	e->host_port = 65535;
	e->size = UINT64_C(1) << 33;
	e->helo = SV_LIT("client.example");
	e->parent_rcpts = SV_LIT("0 2");
}

static void
round_trip(void **state)
{
	struct arena *a = arena_new(0);
	struct sb out = SB_INIT(SPOOL_ENVELOPE_MAX);
	struct spool_envelope e, d;
	struct spool_rcpt r[3];
	struct spool_var v[2];
	struct err err = ERR_INIT;

	(void)state;
	fill(&e, r, v);
	assert_int_equal(spool_envelope_encode(&e, &out, &err), 0);
	assert_int_equal(spool_envelope_decode(&d, sb_sv(&out), a, &err), 0);
	assert_string_equal(d.id, e.id);
	assert_int_equal(d.nrcpts, 3);
	for (int i = 0; i < 3; i++) {
		assert_true(sv_eq(d.rcpts[i].addr, r[i].addr));
		assert_true(sv_eq(d.rcpts[i].orcpt, r[i].orcpt));
		assert_int_equal(d.rcpts[i].notify, r[i].notify);
		assert_true(d.rcpts[i].addr.tainted);
	}
	assert_true(sv_eq(spool_envelope_var(&d, "m0"), v[0].value));
	assert_true(spool_envelope_var(&d, "m0").tainted);
	assert_false(spool_envelope_var(&d, "c_name").tainted);
	assert_null(spool_envelope_var(&d, "m1").p);
	assert_true(d.flags == e.flags && d.ret == e.ret && d.host_port == e.host_port && d.size == e.size);
	assert_true(d.received_ms == e.received_ms);
	assert_true(sv_eqs(d.helo, "client.example") && sv_eqs(d.parent_rcpts, "0 2") && sv_eqs(d.sender, "s@y.example"));
	/* The copy does not look at the record any more. */
	assert_int_equal(spool_envelope_decode_copy(&d, sb_sv(&out), a, &err), 0);
	sb_free(&out);
	assert_true(sv_eqs(d.rcpts[2].addr, "\"c c\"@[1.2.3.4]") && sv_eqs(d.helo, "client.example"));
	arena_free(&a);
}

/* Every prefix and every single damaged byte is either refused or decodes without harm. */
static void
damage(void **state)
{
	struct sb out = SB_INIT(SPOOL_ENVELOPE_MAX);
	struct arena *a = arena_new(0);
	struct spool_envelope e, d;
	struct spool_rcpt r[3];
	struct spool_var v[2];
	struct err err = ERR_INIT;

	(void)state;
	fill(&e, r, v);
	assert_int_equal(spool_envelope_encode(&e, &out, &err), 0);
	for (size_t n = 0; n <= out.len; n++) {
		char *p = malloc(n + 1);

		memcpy(p, out.p, n);
		p = realloc(p, n == 0 ? 1 : n);
		(void)spool_envelope_decode(&d, sv_from(p, n), a, &err);
		if (n > 0) {
			p[n - 1] = (char)(p[n - 1] ^ 0xff);
			(void)spool_envelope_decode(&d, sv_from(p, n), a, &err);
		}
		free(p);
		arena_reset(a);
	}
	assert_int_equal(spool_envelope_decode(&d, SV_LIT(""), a, &err), -1);
	assert_int_equal(err.cls, ERR_PERM);
	sb_free(&out);
	arena_free(&a);
}

static void
limits(void **state)
{
	static char big[SPOOL_STR_MAX + 1];
	struct sb out = SB_INIT(SPOOL_ENVELOPE_MAX);
	struct spool_envelope e;
	struct spool_rcpt r[3];
	struct spool_var v[2];
	struct err err = ERR_INIT;

	(void)state;
	fill(&e, r, v);
	e.helo = sv_from(big, sizeof(big));
	assert_int_equal(spool_envelope_encode(&e, &out, &err), -1);
	assert_int_equal(err.cls, ERR_PERM);
	fill(&e, r, v);
	r[1].addr = sv_from(big, SPOOL_ADDR_MAX + 1);
	assert_int_equal(spool_envelope_encode(&e, &out, &err), -1);
	fill(&e, r, v);
	v[1].value = sv_from(big, sizeof(big));
	assert_int_equal(spool_envelope_encode(&e, &out, &err), -1);
	fill(&e, r, v);
	e.nrcpts = SPOOL_RCPT_MAX + 1;
	assert_int_equal(spool_envelope_encode(&e, &out, &err), -1);
	sb_free(&out);
}

static void
listing(void **state)
{
	struct arena *a = arena_new(0);
	struct sb out = SB_INIT(65536);
	struct spool_listed l = { .id = SV_LIT("1rAbCd-000123-Zz"), .size = 77, .received = 5, .sender = SV_LIT("s@x"),
	    .frozen = true, .next_try = 9, .reason = SV_LIT("no"), .nrcpts = 2 }, d;

	(void)state;
	l.rcpts = arena_zalloc(a, 2 * sizeof(*l.rcpts));
	l.rcpts[0].addr = SV_LIT("a@b");
	l.rcpts[1].addr = SV_LIT("c@d");
	l.rcpts[1].done = true;
	spool_listed_encode(&out, &l);
	assert_true(spool_listed_decode(&d, sb_sv(&out), a));
	assert_true(sv_eq(d.id, l.id) && sv_eq(d.sender, l.sender) && sv_eq(d.reason, l.reason));
	assert_true(d.frozen && !d.active && d.size == 77 && d.received == 5 && d.next_try == 9 && d.nrcpts == 2);
	assert_true(sv_eqs(d.rcpts[1].addr, "c@d") && d.rcpts[1].done && !d.rcpts[0].done);
	for (size_t n = 0; n < out.len; n++)
		assert_false(spool_listed_decode(&d, sv_from(out.p, n), a));
	sb_free(&out);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_unique), cmocka_unit_test(ids_have_a_form), cmocka_unit_test(round_trip),
		cmocka_unit_test(damage), cmocka_unit_test(limits), cmocka_unit_test(listing),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
