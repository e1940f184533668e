/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Expansion items that turn strings into strings: substr, length, hash, nhash, tr,
 * sg, hmac, prvs, prvscheck, srs_encode (manual 11.5, 44.53, 58.5), and the functions
 * behind them that operators share.
 */
#include "exim/expand_int.h"
#include "exim/extract.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

const char x_base32[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char hash_codes[] = "abcdefghijklmnopqrtsuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/* As strtol: blanks and a sign first; nothing behind.  The empty string is 0. */
static bool
parse_long(struct sv v, int64_t *out)
{
	bool neg = false;
	int64_t n = 0;
	size_t i = 0;

	*out = 0;
	if (v.len == 0)
		return (true);
	while (i < v.len && sv_isspace(v.p[i]))
		i++;
	if (i < v.len && (v.p[i] == '-' || v.p[i] == '+'))
		neg = v.p[i++] == '-';
	if (i == v.len)
		return (false);
	for (; i < v.len; i++) {
		if (!sv_isdigit(v.p[i]))
			return (false);
		if (n < INT32_MAX)
			n = n * 10 + v.p[i] - '0';
	}
	*out = neg ? -n : n;
	return (true);
}

bool
x_compute_substr(struct sv v, int64_t from, int64_t len, struct sv *out)
{
	int64_t size = (int64_t)v.len;

	if (from < 0) {
		from += size;
		/* A start before the string shortens the piece by what overshoots. */
		if (from < 0) {
			len += from;
			if (len < 0)
				len = 0;
			from = 0;
		} else if (len < 0) {
			len = from;
			from = 0;
		}
	} else if (from > size) {
		from = size;
		len = 0;
	} else if (len < 0)
		len = size;
	if (from + len > size)
		len = size - from;
	*out = sv_sub(v, (size_t)from, (size_t)(from + len));
	return (true);
}

bool
x_compute_hash(struct xev *e, struct sv v, int64_t n, int64_t m, struct sv *out)
{
	size_t len, i = 0;
	uint8_t *p;

	if (m < 0)
		m = 26;
	else if (m > (int64_t)sizeof(hash_codes) - 1) {
		(void)x_fail(e, "hash count \"%d\" too big", (int)m);
		return (false);
	}
	*out = v;
	if (n >= (int64_t)v.len)
		return (true);
	len = n < 0 ? 0 : (size_t)n;
	if (len == 0 || m == 0) {
		*out = sv_sub(v, 0, 0);
		return (true);
	}
	p = arena_dup(e->env->arena, v.p, v.len);
	for (size_t k = len; k < v.len; k++) {
		unsigned c = p[k];
		unsigned shift = (c + (unsigned)k) & 7;

		p[i] ^= (uint8_t)((c << shift) | (c >> (8 - shift)));
		if (++i >= len)
			i = 0;
	}
	for (i = 0; i < len; i++)
		p[i] = (uint8_t)hash_codes[p[i] % (unsigned)m];
	*out = (struct sv){ (char *)p, len, v.tainted };
	return (true);
}

bool
x_compute_nhash(struct xev *e, struct sv v, int64_t n, int64_t m, struct sv *out)
{
	static const unsigned prime[] = {
		2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101,
		103, 107, 109, 113
	};
	uint64_t total = 0, all;
	size_t i = 0;

	for (size_t k = 0; k < v.len; k++) {
		if (i == 0)
			i = sizeof(prime) / sizeof(prime[0]) - 1;
		total += prime[i--] * (unsigned)(uint8_t)v.p[k];
	}
	if (n == 0 || m == 0) {
		(void)x_fail(e, "nhash cannot divide by zero");
		return (false);
	}
	if (m < 0)
		*out = x_int(e, (int64_t)(total % (uint64_t)n));
	else {
		/* What does not fit is larger than any sum. */
		if (!__builtin_mul_overflow((uint64_t)n, (uint64_t)m, &all))
			total %= all;
		*out = sv_cstr(arena_fmt(e->env->arena, "%llu/%llu", (unsigned long long)(total / (uint64_t)m),
		    (unsigned long long)(total % (uint64_t)m)));
	}
	return (true);
}

/* The one or two numbers before the subject. */
static enum exim_result
numbers(struct xev *e, const struct xitem *it, struct sv *arg, unsigned n, int64_t val[2], struct sv *subject)
{
	bool is_length = it->row->name[0] == 'l';
	struct sv num[2] = { arg[0], n == 3 ? arg[1] : SV_NULL };

	*subject = arg[n - 1];
	if (n == 2 && is_length) {
		num[1] = arg[0];
		num[0] = SV_NULL;
	}
	val[0] = 0;
	val[1] = -1;
	for (int i = 0; i < 2; i++)
		if (num[i].p != NULL && (!parse_long(num[i], &val[i]) || (i == 1 && val[i] < 0)))
			return (x_fail(e, "\"" SV_FMT "\" is not a %snumber (in \"%s\" expansion)", SV_ARG(num[i]),
			    i == 1 ? "positive " : "", it->row->name));
	return (EXIM_OK);
}

/* Numbers that stand there literally are looked at even where the item is skipped. */
X_PARSE(xip_numbers)
{
	const struct xitem *it;
	struct sv v;
	int64_t num;

	if (!xp_simple(ps, row, n))
		return (false);
	it = n->u.item;
	for (unsigned i = 0; i + 1 < it->narg; i++) {
		bool second = i == 1 || row->name[0] == 'l';

		if (x_seq_literal(&it->arg[i], &v) && (!parse_long(v, &num) || (second && num < 0)))
			return (xp_error(ps, "\"" SV_FMT "\" is not a %snumber (in \"%s\" expansion)", SV_ARG(v),
			    second ? "positive " : "", row->name));
	}
	return (true);
}

X_FN(xi_substr)
{
	struct sv subject;
	int64_t val[2];

	if (numbers(e, it, arg, n, val, &subject) != EXIM_OK)
		return (EXIM_FAIL);
	return (x_compute_substr(subject, val[0], val[1], out) ? EXIM_OK : EXIM_FAIL);
}

X_FN(xi_length)
{
	return (xi_substr(e, it, arg, n, out));
}

X_FN(xi_hash)
{
	struct sv subject;
	int64_t val[2];

	if (numbers(e, it, arg, n, val, &subject) != EXIM_OK)
		return (EXIM_FAIL);
	return (x_compute_hash(e, subject, val[0], val[1], out) ? EXIM_OK : EXIM_FAIL);
}

X_FN(xi_nhash)
{
	struct sv subject;
	int64_t val[2];

	if (numbers(e, it, arg, n, val, &subject) != EXIM_OK)
		return (EXIM_FAIL);
	return (x_compute_nhash(e, subject, val[0], val[1], out) ? EXIM_OK : EXIM_FAIL);
}

X_FN(xi_tr)
{
	struct sv v = arg[0];
	char *p;

	*out = v;
	if (arg[2].len == 0 || arg[1].len == 0 || v.len == 0)
		return (EXIM_OK);
	p = arena_dup(e->env->arena, v.p, v.len);
	for (size_t i = 0; i < v.len; i++) {
		ptrdiff_t at = sv_rchr(arg[1], p[i]);

		if (at >= 0)
			p[i] = arg[2].p[(size_t)at < arg[2].len ? (size_t)at : arg[2].len - 1];
	}
	out->p = p;
	out->tainted |= arg[2].tainted;
	return (EXIM_OK);
}

/* --- ${sg --- */

static struct xregex *
sg_regex(struct xev *e, const struct xitem *it, struct sv pattern)
{
	struct xitem *w = (struct xitem *)(uintptr_t)it;
	struct xregex *re;
	char why[256];

	re = x_regex_get(e, pattern, 0, x_seq_literal(&it->arg[1], NULL) ? &w->regex : NULL, why);
	if (re == NULL)
		(void)x_fail(e, "regular expression error in \"" SV_FMT "\": %s", SV_ARG(pattern), why);
	return (re);
}

#define SG_STEP		16		/* what a match counts beside its bytes */

struct sg {
	struct xb	 b;
	size_t		 from;		/* copied so far */
	size_t		 extra;		/* one byte further for the next try */
	unsigned	 flags;
};

/* One turn of the loop: 1 go on, 0 done, -1 error in *<r>. */
static int
sg_step(struct xev *e, const struct xregex *re, struct sv subject, struct sv repl, struct sg *s, enum exim_result *r)
{
	struct exim_nums nums;
	struct sv insert;
	size_t span[2];
	int m;

	m = x_regex_match(e, re, subject, s->from + s->extra, s->flags, &nums, span);
	if (m < 0) {
		*r = EXIM_FAIL;
		return (-1);
	}
	if (m == 0) {
		/* After an empty match only a longer one at that place was wanted: go one byte on, as Perl does. */
		if (s->flags != 0) {
			s->extra = 1;
			s->flags = 0;
			return (1);
		}
		xb_add(&s->b, sv_sub(subject, s->from, subject.len));
		return (0);
	}
	if (!x_work(e, SG_STEP + span[1] - s->from)) {
		*r = x_fail(e, "the expansion is too much work");
		return (-1);
	}
	e->env->nums = &nums;
	*r = x_text(e, repl, &insert);
	if (*r != EXIM_OK)
		return (-1);
	xb_add(&s->b, sv_sub(subject, s->from, span[0]));
	xb_add(&s->b, insert);
	s->from = span[1];
	s->extra = 0;
	s->flags = 0;
	if (span[0] == span[1]) {
		if (span[0] == subject.len)
			return (0);
		s->flags = XRE_NOTEMPTY;
	}
	return (1);
}

X_FN(xi_sg)
{
	const struct exim_nums *nums = e->env->nums;
	struct sg s = { .from = 0 };
	enum exim_result r = EXIM_OK;
	struct xregex *re;
	int more;

	re = sg_regex(e, it, arg[1]);
	if (re == NULL)
		return (EXIM_FAIL);
	xb_init(&s.b, e->env->arena, arg[0].len + 16);
	do
		more = sg_step(e, re, arg[0], arg[2], &s, &r);
	while (more == 1 && !s.b.over);
	e->env->nums = nums;
	x_regex_put(e, re);
	if (s.b.over)
		return (x_fail(e, "the result of ${sg is too long"));
	*out = xb_sv(&s.b);
	return (more < 0 ? r : EXIM_OK);
}

/* --- hashes with a key --- */

bool
x_hmac(struct sv how, struct sv key, struct sv text, char hex[65])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	const EVP_MD *type;
	unsigned len = 0;

	if (sv_eqs(how, "md5"))
		type = EVP_md5();
	else if (sv_eqs(how, "sha1"))
		type = EVP_sha1();
	else
		return (false);
	if (HMAC(type, key.p == NULL ? "" : key.p, (int)key.len, (const unsigned char *)(text.p == NULL ? "" : text.p),
	    text.len, md, &len) == NULL)
		return (false);
	x_hex(md, len, false, hex);
	return (true);
}

X_FN(xi_hmac)
{
	char hex[65];

	if (!x_hmac(arg[0], arg[1], arg[2], hex))
		return (x_fail(e, "hmac algorithm \"" SV_FMT "\" is not recognised", SV_ARG(arg[0])));
	*out = sv_cstr(arena_str(e->env->arena, hex));
	return (EXIM_OK);
}

/* The day, as BATV counts: three digits. */
static unsigned
prvs_day(struct xev *e, int offset)
{
	return ((unsigned)((x_now(e, NULL) / 86400 + offset) % 1000));
}

/* Six hex digits over key number, day and address. */
static bool
prvs_hash(struct xev *e, struct sv address, struct sv key, char keynum, struct sv day, char out[7])
{
	char hex[65];
	struct xb b;

	if (key.len > 64)
		return (false);
	xb_init(&b, e->env->arena, address.len + 8);
	xb_addc(&b, keynum);
	xb_add(&b, day);
	xb_add(&b, address);
	if (!x_hmac(SV_LIT("sha1"), key, xb_sv(&b), hex))
		return (false);
	for (int i = 0; i < 6; i++)
		out[i] = hex[i];
	out[6] = '\0';
	return (true);
}

X_FN(xi_prvs)
{
	ptrdiff_t at = sv_rchr(arg[0], '@');
	char hash[7], day[8];
	char keynum = '0';
	struct xb b;

	if (at <= 0 || (size_t)at + 1 == arg[0].len)
		return (x_fail(e, "prvs first argument must be a qualified email address"));
	if (n == 3) {
		if (arg[2].len != 1 || !sv_isdigit(arg[2].p[0]))
			return (x_fail(e, "prvs third argument must be a single digit"));
		keynum = arg[2].p[0];
	}
	(void)snprintf(day, sizeof(day), "%03u", prvs_day(e, 7) % 1000);
	if (!prvs_hash(e, arg[0], arg[1], keynum, sv_cstr(day), hash))
		return (x_fail(e, "prvs hmac-sha1 conversion failed"));
	xb_init(&b, e->env->arena, arg[0].len + 24);
	xb_fmt(&b, "prvs=%c%s%s=", keynum, day, hash);
	xb_add(&b, arg[0]);
	*out = xb_sv(&b);
	return (EXIM_OK);
}

/* prvs=KDDDHHHHHH=local@domain */
static bool
prvs_split(struct sv v, char *keynum, struct sv *day, struct sv *hash, struct sv *address)
{
	if (!sv_starts(v, "prvs=") || v.len < 17 || v.p[15] != '=')
		return (false);
	for (size_t i = 5; i < 9; i++)
		if (!sv_isdigit(v.p[i]))
			return (false);
	for (size_t i = 9; i < 15; i++)
		if (!sv_isdigit(v.p[i]) && !(sv_lower(v.p[i]) >= 'a' && sv_lower(v.p[i]) <= 'f'))
			return (false);
	*keynum = v.p[5];
	*day = sv_sub(v, 6, 9);
	*hash = sv_sub(v, 9, 15);
	*address = sv_sub(v, 16, v.len);
	return (sv_rchr(*address, '@') > 0 && (size_t)sv_rchr(*address, '@') + 1 < address->len);
}

/* Exim reads the arguments one by one, and more when the first is such an address. */
X_PARSE(xip_prvscheck)
{
	struct xitem *it = arena_zalloc(ps->a, sizeof(*it));
	unsigned max = 1;
	struct sv v, day, hash, address;
	char keynum;

	it->row = row;
	it->arg = arena_zalloc(ps->a, 3 * sizeof(*it->arg));
	n->eval = row->eval;
	n->u.item = it;
	while (it->narg < 3 && (it->narg < 2 || xp_skip(ps) == '{')) {
		if (xp_skip(ps) != '{')
			return (xp_error(ps, "Not enough arguments for 'prvscheck' (min is 1)"));
		ps->p++;
		if (!xp_seq(ps, true, true, &it->arg[it->narg]))
			return (false);
		ps->p++;
		it->narg++;
	}
	if (x_seq_literal(&it->arg[0], &v) && !prvs_split(v, &keynum, &day, &hash, &address))
		max = 2;
	if (xp_skip(ps) == '{')
		return (xp_error(ps, "Too many arguments for 'prvscheck' (max is %u)", max));
	if (*ps->p != '}')
		return (xp_curly(ps, "missing '}' after 'prvscheck'"));
	ps->p++;
	return (true);
}

static bool
prvs_valid(struct xev *e, struct sv address, struct sv key, char keynum, struct sv day, struct sv hash)
{
	unsigned expire, now = prvs_day(e, 0);
	char want[7];

	if (!prvs_hash(e, address, key, keynum, day, want) || !sv_caseeqs(hash, want))
		return (false);
	expire = (unsigned)((day.p[0] - '0') * 100 + (day.p[1] - '0') * 10 + day.p[2] - '0');
	/* The count of days went round at 1000. */
	if (expire < 7 && now >= 993)
		now = 0;
	return (expire >= now);
}

X_EVAL(xi_prvscheck)
{
	const struct xitem *it = n->u.item;
	struct exim_env *env = e->env;
	struct sv v, key, day, hash, address;
	enum exim_result r;
	char keynum;

	r = x_seq(e, &it->arg[0], &v);
	if (r != EXIM_OK)
		return (r);
	*out = SV_LIT("");
	env->prvscheck_result = SV_NULL;
	if (!prvs_split(v, &keynum, &day, &hash, &address)) {
		/* The others are expanded for nothing. */
		for (unsigned i = 1; i < it->narg && r == EXIM_OK; i++)
			r = x_seq(e, &it->arg[i], &key);
		return (r);
	}
	env->prvscheck_address = address;
	env->prvscheck_keynum = arena_sv(env->arena, sv_from(&keynum, 1));
	r = x_seq(e, &it->arg[1], &key);
	if (r == EXIM_OK && key.len > 64)
		r = x_fail(e, "hmac-sha1 conversion failed");
	if (r == EXIM_OK) {
		if (prvs_valid(e, address, key, keynum, day, hash))
			env->prvscheck_result = SV_LIT("1");
		if (it->narg == 3)
			r = x_seq(e, &it->arg[2], out);
	}
	if (r == EXIM_OK && out->len == 0)
		*out = address;
	env->prvscheck_address = SV_NULL;
	env->prvscheck_keynum = SV_NULL;
	return (r);
}

/* --- SRS --- */

/* The local part as SRS carries it: without quotes. */
static bool
srs_local(struct xev *e, struct sv local, struct xb *b)
{
	bool quoted = sv_chr(local, '"') >= 0;
	bool in = false;

	for (size_t i = 0; i < local.len; i++) {
		if (local.p[i] == '"') {
			in = !in;
			continue;
		}
		if (in && local.p[i] == '\\' && i + 1 < local.len)
			i++;
		xb_addc(b, local.p[i]);
	}
	return (quoted);
}

X_FN(xi_srs_encode)
{
	struct sv local, domain;
	struct xb lower, b, full;
	char hex[65], stamp[4];
	unsigned day;
	bool quoted;
	size_t k = 0;

	*out = SV_LIT("");
	if (arg[1].len == 0)
		return (EXIM_OK);
	if (!x_address_split(e, arg[1], &local, &domain)) {
		struct exim_extracted x;
		struct err why;

		if (exim_extract(arg[1], EXIM_EXTRACT_LITERALS, e->env->arena, &x, &why) == -1)
			return (x_fail(e, "%s", why.text));
		return (x_fail(e, "domain missing or malformed"));
	}
	xb_init(&lower, e->env->arena, arg[1].len);
	for (size_t i = 0; i < arg[1].len; i++)
		xb_addc(&lower, sv_lower(arg[1].p[i]));
	(void)x_hmac(SV_LIT("md5"), arg[0], xb_sv(&lower), hex);
	day = (unsigned)((x_now(e, NULL) / 86400) & 0x3ff);
	if (day >= 32)
		stamp[k++] = x_base32[day >> 5];
	if (day > 0)
		stamp[k++] = x_base32[day & 31];
	stamp[k] = '\0';
	xb_init(&b, e->env->arena, arg[1].len + arg[2].len + 24);
	xb_fmt(&b, "SRS0=%.4s=%s=", hex, stamp);
	xb_add(&b, domain);
	xb_addc(&b, '=');
	quoted = srs_local(e, local, &b);
	xb_init(&full, e->env->arena, b.len + arg[2].len + 4);
	if (quoted)
		xb_addc(&full, '"');
	xb_add(&full, xb_sv(&b));
	xb_adds(&full, quoted ? "\"@" : "@");
	xb_add(&full, arg[2]);
	full.tainted |= arg[1].tainted;
	*out = xb_sv(&full);
	return (EXIM_OK);
}
