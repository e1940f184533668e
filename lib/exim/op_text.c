/* SPDX-License-Identifier: BSD-2-Clause */
/* Operators on characters and header text: rfc2047(d), utf8clean, from_utf8, headerwrap, alabels, and ${imapfolder (manual 11.6, 60). */
#include "exim/expand_int.h"

#include <idn2.h>
#include <stdlib.h>

#include "base/codec.h"
#include "exim/var_int.h"
#include "mail/charset.h"

/* --- RFC 2047 --- */

static struct sv
charset_of(const struct exim_env *env)
{
	if (env->g == NULL || env->g->headers_charset.len == 0)
		return (SV_LIT("UTF-8"));
	return (env->g->headers_charset);
}

static bool
needs_coding(char ch)
{
	unsigned char c = (unsigned char)ch;

	return ((c < 33 && c != ' ') || c > 126 || strchr("?=()<>@,;:\\\".[]_", c) != NULL);
}

/* Words are ended where Exim ends them: past 67 characters, never behind the first byte of a coded pair. */
struct sv
x_rfc2047_encode(struct exim_env *env, struct sv v)
{
	struct sv cs = charset_of(env);
	bool first = false;
	size_t start;
	struct xb b;

	xb_init(&b, env->arena, v.len * 3 + 32);
	b.tainted = v.tainted;
	xb_adds(&b, "=?");
	xb_add(&b, cs);
	xb_adds(&b, "?Q?");
	start = b.len;
	for (size_t i = 0; i < v.len; i++) {
		if (b.len - start > 67 && !first) {
			xb_adds(&b, "?= ");
			start = b.len;
			xb_adds(&b, "=?");
			xb_add(&b, cs);
			xb_adds(&b, "?Q?");
		}
		first = needs_coding(v.p[i]) && !first;
		if (needs_coding(v.p[i]))
			xb_fmt(&b, "=%02X", (unsigned char)v.p[i]);
		else
			xb_addc(&b, v.p[i] == ' ' ? '_' : v.p[i]);
	}
	xb_adds(&b, "?=");
	return (xb_sv(&b));
}

X_OP(xo_rfc2047)
{
	bool coded = false;

	for (size_t i = 0; i < v.len && !coded; i++)
		coded = needs_coding(v.p[i]);
	*out = coded ? x_rfc2047_encode(e->env, v) : v;
	return (EXIM_OK);
}

/* A charset of an encoded word that nobody knows is an error here, not in $h_. */
static bool
known_charsets(struct xev *e, struct sv v)
{
	for (;;) {
		ptrdiff_t at = sv_find(v, SV_LIT("=?")), q;
		struct sv cs;

		if (at < 0)
			return (true);
		v = sv_sub(v, (size_t)at + 2, v.len);
		q = sv_chr(v, '?');
		if (q <= 0 || (size_t)q + 2 >= v.len || v.p[q + 2] != '?' || strchr("bBqQ", v.p[q + 1]) == NULL)
			continue;
		cs = sv_sub(v, 0, (size_t)q);
		if (sv_chr(cs, '*') > 0)
			cs = sv_sub(cs, 0, (size_t)sv_chr(cs, '*'));
		if (!mail_charset_known(cs)) {
			(void)x_fail(e, "iconv_open(\"" SV_FMT "\", \"" SV_FMT "\") failed: Invalid argument (maybe unsupported "
			    "conversion)", SV_ARG(charset_of(e->env)), SV_ARG(cs));
			return (false);
		}
	}
}

X_OP(xo_rfc2047d)
{
	if (!known_charsets(e, v))
		return (EXIM_FAIL);
	*out = x_rfc2047_decode(e, v, e->env->g == NULL || e->env->g->check_rfc2047_length, charset_of(e->env));
	return (EXIM_OK);
}

/* Exim 4.98: lines of at most <col> characters, broken with newline and tab; <max> bounds the whole. */
X_OP(xo_headerwrap)
{
	int64_t num[2] = { 80, 998 };
	size_t line = 0, k = 0, i = 0;
	struct sv a = n->u.op.arg;
	struct xb b;

	while (a.len > 0 && k < 2) {
		ptrdiff_t us = sv_chr(a, '_');
		struct sv one = sv_sub(a, 0, us < 0 ? a.len : (size_t)us);

		if (!x_integer(e, one, &num[k++]))
			return (EXIM_FAIL);
		a = us < 0 ? SV_NULL : sv_sub(a, (size_t)us + 1, a.len);
	}
	if (num[0] < 2)
		num[0] = 2;
	xb_init(&b, e->env->arena, v.len + 64);
	b.tainted = v.tainted;
	for (; i < v.len && (int64_t)b.len < num[1]; i++) {
		if ((int64_t)line >= num[0]) {
			xb_adds(&b, "\n\t");
			line = 8;
		}
		xb_addc(&b, v.p[i]);
		line++;
	}
	*out = xb_sv(&b);
	return (EXIM_OK);
}

/* --- UTF-8 --- */

/* State of the cleaner: the sequence under way. */
struct utf8 {
	uint32_t	 point;
	unsigned	 left, n;
	char		 buf[4];
};

/* One byte behind the start of a sequence: 1 and -1 end it with "?", 1 gives an ASCII byte back. */
static int
utf8_continue(struct utf8 *u, unsigned char c, struct xb *b)
{
	if ((c & 0xc0) != 0x80)
		return (1);
	u->point = u->point << 6 | (c & 0x3f);
	u->buf[u->n++] = (char)c;
	if (--u->left > 0)
		return (0);
	if (u->point > 0x10ffff || (u->point & 0x1ff800) == 0xd800)
		return (-1);
	xb_add(b, sv_from(u->buf, u->n));
	u->n = 0;
	return (0);
}

static int
utf8_start(struct utf8 *u, unsigned char c)
{
	u->n = 0;
	u->buf[u->n++] = (char)c;
	if ((c & 0xe0) == 0xc0 && c > 0xc1) {
		u->left = 1;
		u->point = c & 0x1f;
	} else if ((c & 0xf0) == 0xe0) {
		u->left = 2;
		u->point = c & 0x0f;
	} else if ((c & 0xf8) == 0xf0) {
		u->left = 3;
		u->point = c & 0x07;
	} else
		return (-1);
	return (0);
}

X_OP(xo_utf8clean)
{
	struct utf8 u = { .left = 0 };
	struct xb b;

	*out = v;
	if (utf8_valid(v))
		return (EXIM_OK);
	xb_init(&b, e->env->arena, v.len + 1);
	b.tainted = v.tainted;
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];
		int end;

		if (u.left == 0 && c < 128) {
			xb_addc(&b, (char)c);
			continue;
		}
		end = u.left > 0 ? utf8_continue(&u, c, &b) : utf8_start(&u, c);
		if (end == 0)
			continue;
		u.left = u.n = 0;
		xb_addc(&b, '?');
		if (end == 1 && c < 128)
			xb_addc(&b, (char)c);
	}
	if (u.left > 0)
		xb_addc(&b, '?');
	*out = xb_sv(&b);
	return (EXIM_OK);
}

/* UTF-8 to ISO 8859-1; what does not fit becomes "_". */
X_OP(xo_from_utf8)
{
	struct xb b;

	xb_init(&b, e->env->arena, v.len + 1);
	b.tainted = v.tainted;
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];
		unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
		uint32_t point = c < 0x80 ? c : c & (0x3fu >> more);

		for (; more > 0 && i + 1 < v.len; more--)
			point = point << 6 | ((unsigned char)v.p[++i] & 0x3f);
		/* What continues nothing stands for itself. */
		if (c >= 0x80 && c < 0xc0)
			point = c;
		if (more > 0)
			point = 256;
		xb_addc(&b, point < 256 ? (char)point : '_');
	}
	*out = xb_sv(&b);
	return (EXIM_OK);
}

/* --- A-labels --- */

struct sv
x_printing(struct xev *e, struct sv v)
{
	struct xb b;

	if (sv_chr(v, '\t') < 0 && sv_chr(v, '\n') < 0)
		return (v);
	xb_init(&b, e->env->arena, v.len + 16);
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] == '\t' || v.p[i] == '\n')
			xb_adds(&b, v.p[i] == '\t' ? "\\t" : "\\n");
		else
			xb_addc(&b, v.p[i]);
	return (xb_sv(&b));
}

static const char *
printing(struct xev *e, struct sv v)
{
	struct xb b;

	xb_init(&b, e->env->arena, v.len + 16);
	for (size_t i = 0; i < v.len; i++)
		if ((v.p[i] >= 32 && v.p[i] < 127) || v.p[i] == '\t')
			xb_addc(&b, v.p[i]);
		else
			xb_fmt(&b, "\\%03o", (unsigned char)v.p[i]);
	return (xb_sv(&b).p);
}

static enum exim_result
idn_result(struct xev *e, char *p, struct sv v, struct sv *out)
{
	*out = sv_cstr(arena_str(e->env->arena, p));
	out->tainted = v.tainted;
	idn2_free(p);
	return (EXIM_OK);
}

X_OP(xo_domain_to_alabel)
{
	char *p = NULL;
	int rc;

	*out = v;
	if (sv_is_ascii(v))
		return (EXIM_OK);
	rc = idn2_to_ascii_8z(x_cstr(e, v), &p, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (rc != IDN2_OK)
		return (x_fail(e, "error converting utf8 (%s) to alabel: %s", printing(e, v), idn2_strerror(rc)));
	return (idn_result(e, p, v, out));
}

X_OP(xo_domain_from_alabel)
{
	char *p = NULL;
	int rc;

	*out = v;
	if (sv_casefind(v, SV_LIT("xn--")) < 0)
		return (EXIM_OK);
	rc = sv_is_ascii(v) ? idn2_to_unicode_8z8z(x_cstr(e, v), &p, 0) : IDN2_ENCODING_ERROR;
	if (rc != IDN2_OK)
		return (x_fail(e, "error converting alabel (%s) to utf8: %s", printing(e, v),
		    rc == IDN2_ENCODING_ERROR ? "Invalid input" : idn2_strerror(rc)));
	return (idn_result(e, p, v, out));
}

/* Punycode, RFC 3492. */
enum { PUNY_BASE = 36, PUNY_TMIN = 1, PUNY_TMAX = 26, PUNY_SKEW = 38, PUNY_DAMP = 700, PUNY_BIAS = 72, PUNY_N = 128 };
#define PUNY_MAX	1024

static uint32_t
puny_adapt(uint32_t delta, uint32_t n, bool first)
{
	uint32_t k = 0;

	delta = first ? delta / PUNY_DAMP : delta / 2;
	delta += delta / n;
	for (; delta > (PUNY_BASE - PUNY_TMIN) * PUNY_TMAX / 2; k += PUNY_BASE)
		delta /= PUNY_BASE - PUNY_TMIN;
	return (k + (PUNY_BASE - PUNY_TMIN + 1) * delta / (delta + PUNY_SKEW));
}

static uint32_t
puny_threshold(uint32_t k, uint32_t bias)
{
	return (k <= bias ? PUNY_TMIN : k >= bias + PUNY_TMAX ? PUNY_TMAX : k - bias);
}

static char
puny_digit(uint32_t d)
{
	return ((char)(d < 26 ? 'a' + d : '0' + d - 26));
}

static size_t
utf8_points(struct sv v, uint32_t *point)
{
	size_t n = 0;

	for (size_t i = 0; i < v.len && n < PUNY_MAX; n++) {
		unsigned char c = (unsigned char)v.p[i++];
		unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;

		point[n] = c < 0x80 ? c : c & (0x3fu >> more);
		for (; more > 0 && i < v.len; more--)
			point[n] = point[n] << 6 | ((unsigned char)v.p[i++] & 0x3f);
	}
	return (n);
}

static void
puny_number(struct xb *b, uint32_t delta, uint32_t bias)
{
	uint32_t q = delta;

	for (uint32_t k = PUNY_BASE;; k += PUNY_BASE) {
		uint32_t t = puny_threshold(k, bias);

		if (q < t)
			break;
		xb_addc(b, puny_digit(t + (q - t) % (PUNY_BASE - t)));
		q = (q - t) / (PUNY_BASE - t);
	}
	xb_addc(b, puny_digit(q));
}

X_OP(xo_local_to_alabel)
{
	uint32_t point[PUNY_MAX], n_ = PUNY_N, delta = 0, bias = PUNY_BIAS, done = 0, basic;
	size_t count;
	struct xb b;

	*out = v;
	if (sv_is_ascii(v))
		return (EXIM_OK);
	if (!utf8_valid(v) || v.len > PUNY_MAX)
		return (x_fail(e, "error converting utf8 (%s) to alabel: l_u2a: bad UTF-8 input", printing(e, v)));
	count = utf8_points(v, point);
	xb_init(&b, e->env->arena, v.len * 2 + 16);
	b.tainted = v.tainted;
	xb_adds(&b, "xn--");
	for (size_t i = 0; i < count; i++)
		if (point[i] < 128) {
			xb_addc(&b, (char)point[i]);
			done++;
		}
	basic = done;
	if (basic > 0)
		xb_addc(&b, '-');
	while (done < count) {
		uint32_t m = UINT32_MAX;

		for (size_t i = 0; i < count; i++)
			if (point[i] >= n_ && point[i] < m)
				m = point[i];
		delta += (m - n_) * (done + 1);
		n_ = m;
		for (size_t i = 0; i < count; i++) {
			if (point[i] < n_)
				delta++;
			if (point[i] != n_)
				continue;
			puny_number(&b, delta, bias);
			bias = puny_adapt(delta, done + 1, done == basic);
			delta = 0;
			done++;
		}
		delta++;
		n_++;
	}
	*out = xb_sv(&b);
	return (EXIM_OK);
}

static void
add_utf8(struct xb *b, uint32_t c)
{
	if (c < 0x80)
		xb_addc(b, (char)c);
	else if (c < 0x800) {
		xb_addc(b, (char)(0xc0 | c >> 6));
		xb_addc(b, (char)(0x80 | (c & 63)));
	} else if (c < 0x10000) {
		xb_addc(b, (char)(0xe0 | c >> 12));
		xb_addc(b, (char)(0x80 | (c >> 6 & 63)));
		xb_addc(b, (char)(0x80 | (c & 63)));
	} else {
		xb_addc(b, (char)(0xf0 | c >> 18));
		xb_addc(b, (char)(0x80 | (c >> 12 & 63)));
		xb_addc(b, (char)(0x80 | (c >> 6 & 63)));
		xb_addc(b, (char)(0x80 | (c & 63)));
	}
}

/* The points of a punycode text, or 0 and false. */
static bool
puny_decode(struct sv v, uint32_t *point, size_t *count)
{
	uint32_t n = PUNY_N, i = 0, bias = PUNY_BIAS;
	ptrdiff_t dash = sv_rchr(v, '-');
	size_t len = 0, in = dash < 0 ? 0 : (size_t)dash + 1;

	for (ptrdiff_t k = 0; k < dash; k++)
		point[len++] = (unsigned char)v.p[k];
	while (in < v.len) {
		uint32_t old = i, w = 1;

		for (uint32_t k = PUNY_BASE;; k += PUNY_BASE) {
			uint32_t d, t = puny_threshold(k, bias);
			char c;

			if (in >= v.len || len >= PUNY_MAX - 1)
				return (false);
			c = sv_lower(v.p[in++]);
			if (!sv_isalnum(c))
				return (false);
			d = sv_isdigit(c) ? (uint32_t)(c - '0') + 26 : (uint32_t)(c - 'a');
			if (d > (UINT32_MAX - i) / w)
				return (false);
			i += d * w;
			if (d < t)
				break;
			if (w > UINT32_MAX / (PUNY_BASE - t))
				return (false);
			w *= PUNY_BASE - t;
		}
		bias = puny_adapt(i - old, (uint32_t)len + 1, old == 0);
		n += i / ((uint32_t)len + 1);
		i %= (uint32_t)len + 1;
		if (n > 0x10ffff)
			return (false);
		memmove(&point[i + 1], &point[i], (len - i) * sizeof(*point));
		point[i++] = n;
		len++;
	}
	*count = len;
	return (true);
}

X_OP(xo_local_from_alabel)
{
	uint32_t point[PUNY_MAX];
	size_t count = 0;
	struct xb b;

	if (!sv_casestarts(v, "xn--"))
		return (x_fail(e, "error converting alabel (%s) to utf8: bad alabel prefix", printing(e, v)));
	if (!sv_is_ascii(v) || v.len > PUNY_MAX || !puny_decode(sv_sub(v, 4, v.len), point, &count))
		return (x_fail(e, "error converting alabel (%s) to utf8: Invalid input", printing(e, v)));
	xb_init(&b, e->env->arena, count * 4 + 1);
	b.tainted = v.tainted;
	for (size_t i = 0; i < count; i++)
		add_utf8(&b, point[i]);
	*out = xb_sv(&b);
	return (EXIM_OK);
}

/* --- ${imapfolder: modified UTF-7 as Courier writes Maildir names (manual 60.2) --- */

static void
utf7_flush(struct xb *b, uint8_t *u16, size_t *n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";
	uint32_t bits = 0;
	int have = 0;

	if (*n == 0)
		return;
	xb_addc(b, '&');
	for (size_t i = 0; i < *n; i++) {
		bits = bits << 8 | u16[i];
		for (have += 8; have >= 6; have -= 6)
			xb_addc(b, digits[bits >> (have - 6) & 63]);
	}
	if (have > 0)
		xb_addc(b, digits[bits << (6 - have) & 63]);
	xb_addc(b, '-');
	*n = 0;
}

static void
utf7_point(uint8_t *u16, size_t *n, uint32_t c)
{
	if (c >= 0x10000) {
		utf7_point(u16, n, 0xd800 + ((c - 0x10000) >> 10));
		c = 0xdc00 + ((c - 0x10000) & 0x3ff);
	}
	u16[(*n)++] = (uint8_t)(c >> 8);
	u16[(*n)++] = (uint8_t)c;
}

/* A separator that stands there literally is looked at even where the item is skipped. */
X_PARSE(xip_imapfolder)
{
	struct sv sep;

	if (!xp_simple(ps, row, n))
		return (false);
	if (n->u.item->narg >= 2 && x_seq_literal(&n->u.item->arg[1], &sep) && sep.len != 1)
		return (xp_error(ps, "IMAP folder separator must be one character, found \"" SV_FMT "\"", SV_ARG(sep)));
	return (true);
}

/* The last character of <v> is not all there, and nothing else is wrong with it. */
static bool
ends_early(struct sv v)
{
	size_t n = 0, want;
	unsigned char first;

	while (n < v.len && n < 3 && ((unsigned char)v.p[v.len - 1 - n] & 0xc0) == 0x80)
		n++;
	if (n == v.len)
		return (false);
	first = (unsigned char)v.p[v.len - 1 - n];
	want = first >= 0xfe ? 0 : first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : 0;
	return (want > n && utf8_valid(sv_sub(v, 0, v.len - 1 - n)));
}

X_FN(xi_imapfolder)
{
	struct sb utf8 = SB_INIT(65536);
	uint8_t u16[2 * 2 * 64 + 8];
	uint32_t point[PUNY_MAX];
	size_t count, held = 0;
	bool pending = false;
	struct sv sep = n >= 2 ? arg[1] : SV_LIT("/"), special = n >= 3 ? arg[2] : SV_NULL, v = arg[0];
	struct xb b;

	if (sep.len != 1)
		return (x_fail(e, "IMAP folder separator must be one character, found \"" SV_FMT "\"", SV_ARG(sep)));
	if (!sv_caseeqs(charset_of(e->env), "utf-8") && mail_charset_to_utf8(&utf8, charset_of(e->env), v))
		v = arena_sv(e->env->arena, sb_sv(&utf8));
	v.tainted = arg[0].tainted;
	sb_free(&utf8);
	if (!utf8_valid(v) || v.len > PUNY_MAX)
		return (x_fail(e, "imapfolder: iconv() failed to convert from " SV_FMT ": %s", SV_ARG(charset_of(e->env)),
		    ends_early(v) ? "Invalid argument" : "Invalid or incomplete multibyte or wide character"));
	count = utf8_points(v, point);
	xb_init(&b, e->env->arena, v.len * 3 + 16);
	b.tainted = v.tainted;
	for (size_t i = 0; i < count; i++) {
		uint32_t c = point[i];
		bool is_special = c < 128 && c != 0 && sv_chr(special, (char)c) >= 0;

		if (c == (uint8_t)sep.p[0]) {
			/* Only between names: none in front, behind, or twice. */
			pending = held > 0 || b.len > 0;
			continue;
		}
		if (pending) {
			utf7_flush(&b, u16, &held);
			xb_addc(&b, '.');
			pending = false;
		}
		if ((c == '.' || c == '/') && !is_special)
			return (x_fail(e, "imapfolder: illegal character '%c'", (char)c));
		else if (c < 32 || c > 126 || is_special) {
			if (held > sizeof(u16) - 8)
				utf7_flush(&b, u16, &held);
			utf7_point(u16, &held, c);
			continue;
		}
		utf7_flush(&b, u16, &held);
		xb_addc(&b, (char)c);
		if (c == '&')
			xb_addc(&b, '-');
	}
	utf7_flush(&b, u16, &held);
	*out = xb_sv(&b);
	return (EXIM_OK);
}
