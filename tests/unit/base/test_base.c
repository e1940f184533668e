/* SPDX-License-Identifier: BSD-2-Clause */
/* The base layer: slices, builder, arena, hash, numbers, codecs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/sb.h"
#include "base/sv.h"
#include "base/vec.h"

static void
test_err(void **state)
{
	struct err e = ERR_INIT;

	assert_int_equal(err_set(&e, ERR_PERM, "5.1.1", "no such user %s", "x\ny"), -1);
	assert_string_equal(e.text, "no such user x y");
	err_prefix(&e, "router %s", "local");
	assert_string_equal(e.text, "router local: no such user x y");
	assert_string_equal(e.status, "5.1.1");
	assert_int_equal(err_conf(&e, "exim.conf", 7, "bad"), -1);
	assert_string_equal(e.text, "exim.conf:7: bad");
	assert_int_equal(err_set(NULL, ERR_TEMP, NULL, "x"), -1);
}

static void
test_sv(void **state)
{
	struct sv v = SV_LIT("a:b::"), piece;
	char got[64] = "";
	int n = 0;

	while (sv_next(&v, ':', &piece)) {
		(void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "<" SV_FMT ">", SV_ARG(piece));
		n++;
	}
	assert_string_equal(got, "<a><b><><>");
	assert_int_equal(n, 4);
	assert_true(sv_caseeqs(SV_LIT("HeLo"), "helo"));
	assert_false(sv_eqs(SV_LIT("HeLo"), "helo"));
	assert_int_equal(sv_find(SV_LIT("xxabc"), SV_LIT("abc")), 2);
	assert_int_equal(sv_casefind(SV_LIT("xxAbC"), SV_LIT("aBc")), 2);
	assert_int_equal(sv_find(SV_LIT("ab"), SV_LIT("abc")), -1);
	assert_true(sv_eqs(sv_trim(SV_LIT(" \tx y\r\n")), "x y"));
	assert_true(sv_is_ascii(SV_LIT("a\x7f")) && sv_is_ascii(SV_NULL) && !sv_is_ascii(SV_LIT("a\x80")));
	assert_true(sv_caseends(SV_LIT("host.Example"), SV_LIT(".example")));
	assert_int_equal(sv_cmp(SV_LIT("a"), SV_LIT("ab")), -1);
	v = SV_LIT("  one two");
	assert_true(sv_word(&v, &piece) && sv_eqs(piece, "one"));
	assert_true(sv_word(&v, &piece) && sv_eqs(piece, "two"));
	assert_false(sv_word(&v, &piece));
}

static void
test_sb(void **state)
{
	struct sb sb = SB_INIT(10);
	char *p;
	size_t n;

	assert_string_equal(sb_cstr(&sb), "");
	sb_adds(&sb, "12345");
	sb_addf(&sb, "%d", 678);
	assert_false(sb.overflow);
	sb_adds(&sb, "9012");
	assert_true(sb.overflow);
	assert_string_equal(sb_cstr(&sb), "12345678");
	sb_clear(&sb);
	sb_add(&sb, sv_taint(SV_LIT("abcdef")));
	assert_true(sb_sv(&sb).tainted);
	sb_drop(&sb, 2);
	p = sb_steal(&sb, &n);
	assert_string_equal(p, "cdef");
	assert_int_equal(n, 4);
	free(p);
}

static void
test_arena(void **state)
{
	static const char low[] = "low";
	struct arena *a = arena_new(256);

	for (size_t n = 1; n < 1000; n += 37)
		memset(arena_alloc(a, n), 0xaa, n);
	assert_string_equal(arena_fmt(a, "%s-%d", "x", 5), "x-5");
	assert_true(arena_used(a) > 1000);
	assert_string_equal(arena_lower(a, sv_taint(SV_LIT("aB\303C"))).p, "ab\303c");
	assert_true(arena_lower(a, sv_taint(SV_LIT("B"))).tainted);
	assert_ptr_equal(arena_lower(a, sv_cstr(low)).p, low);
	arena_reset(a);
	assert_int_equal(arena_used(a), 0);
	assert_string_equal(arena_cstr(a, SV_LIT("again")), "again");
	arena_free(&a);
	assert_null(a);
}

static void
test_hash(void **state)
{
	struct hash *h = hash_new();
	static char seen[5000];
	size_t pos = 0, left = 0;
	struct sv key;
	void *value;
	char buf[16];

	for (intptr_t i = 0; i < 5000; i++) {
		(void)snprintf(buf, sizeof(buf), "k%d", (int)i);
		assert_null(hash_set(h, sv_cstr(buf), &seen[i]));
	}
	for (intptr_t i = 0; i < 5000; i += 2) {
		(void)snprintf(buf, sizeof(buf), "k%d", (int)i);
		assert_ptr_equal(hash_del(h, sv_cstr(buf)), &seen[i]);
		assert_null(hash_get(h, sv_cstr(buf)));
	}
	for (intptr_t i = 1; i < 5000; i += 2) {
		(void)snprintf(buf, sizeof(buf), "k%d", (int)i);
		assert_ptr_equal(hash_get(h, sv_cstr(buf)), &seen[i]);
	}
	while (hash_next(h, &pos, &key, &value))
		left++;
	assert_int_equal(left, 2500);
	assert_int_equal(hash_count(h), 2500);
	hash_free(&h, NULL);
}

static void
test_num(void **state)
{
	static const struct {
		const char	*in;
		int64_t		 want;		/* -1: refused */
	} times[] = { { "5", 5 }, { "1h30m", 5400 }, { "1w2d", 777600 }, { "30m1h", -1 }, { "5x", -1 }, { "", -1 },
		{ "1h1h", -1 }, { "99999999999", -1 } };
	int64_t n;

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		bool ok = num_parse_time(sv_cstr(times[i].in), &n);

		assert_int_equal(ok, times[i].want != -1);
		if (ok)
			assert_int_equal(n, times[i].want);
	}
	assert_true(num_parse(SV_LIT("-12"), -20, 20, &n) && n == -12);
	assert_false(num_parse(SV_LIT("9223372036854775808"), 0, INT64_MAX, &n));
	assert_false(num_parse(SV_LIT("1 "), 0, 9, &n));
	assert_true(num_parse_size(SV_LIT("20M"), INT64_MAX, &n) && n == 20971520);
	assert_false(num_parse_size(SV_LIT("20T"), INT64_MAX, &n));
}

static void
test_codec(void **state)
{
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
		{ "foobar", "Zm9vYmFy" } };
	struct sb sb = SB_INIT(1000);

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		sb_clear(&sb);
		base64_encode(&sb, sv_cstr(pairs[i][0]));
		assert_string_equal(sb_cstr(&sb), pairs[i][1]);
		sb_clear(&sb);
		assert_true(base64_decode(&sb, sv_cstr(pairs[i][1])));
		assert_string_equal(sb_cstr(&sb), pairs[i][0]);
	}
	sb_clear(&sb);
	assert_false(base64_decode(&sb, SV_LIT("Zg=")));
	assert_false(base64_decode(&sb, SV_LIT("Z===")));
	assert_false(base64_decode(&sb, SV_LIT("Zm9v Zg=")));
	hex_encode(&sb, SV_LIT("\x01\xff"));
	assert_string_equal(sb_cstr(&sb), "01ff");
	sb_clear(&sb);
	assert_true(hex_decode(&sb, SV_LIT("4A4b")));
	assert_string_equal(sb_cstr(&sb), "JK");
	/* RFC 3720 B.4. */
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
	assert_true(utf8_valid(SV_LIT("gr\xc3\xbc\xc3\x9f")));
	assert_false(utf8_valid(SV_LIT("\xc0\xaf")));
	assert_false(utf8_valid(SV_LIT("\xed\xa0\x80")));
	assert_int_equal(utf8_cut(SV_LIT("a\xc3\xbc"), 2), 1);
	sb_free(&sb);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err),
		cmocka_unit_test(test_sv),
		cmocka_unit_test(test_sb),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_num),
		cmocka_unit_test(test_codec),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
