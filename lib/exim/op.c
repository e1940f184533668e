/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of expansion operators ${op:string} (manual 11.6) and the short ones.
 * Addresses, encodings, numbers and networks stand in op_*.c.
 */
#include "exim/expand_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"

static X_OP(op_escape);
static X_OP(op_escape8bit);
static X_OP(op_expand);
static X_OP(op_hash);
static X_OP(op_nhash);
static X_OP(op_substr);
static X_OP(op_length);
static X_OP(op_lc);
static X_OP(op_uc);
static X_OP(op_listcount);
static X_OP(op_listnamed);
static X_OP(op_quote);
static X_OP(op_quote_local_part);
static X_OP(op_quote_lookup);
static X_OP(op_randint);
static X_OP(op_rxquote);
static X_OP(op_stat);
static X_OP(op_strlen);
static X_OP(op_time_eval);
static X_OP(op_time_interval);

/* Sorted by name. */
const struct xop_row x_ops[] = {
	{ "address",		xo_address,		false, false },
	{ "addresses",		xo_addresses,		false, false },
	{ "base32",		xo_base32,		false, false },
	{ "base32d",		xo_base32d,		false, false },
	{ "base62",		xo_base62,		false, false },
	{ "base62d",		xo_base62d,		false, false },
	{ "base64",		xo_base64,		false, true },
	{ "base64d",		xo_base64d,		false, false },
	{ "domain",		xo_domain,		false, false },
	{ "escape",		op_escape,		false, false },
	{ "escape8bit",		op_escape8bit,		false, false },
	{ "eval",		xo_eval,		false, false },
	{ "eval10",		xo_eval10,		false, false },
	{ "expand",		op_expand,		false, false },
	{ "from_utf8",		xo_from_utf8,		true,  false },
	{ "h",			op_hash,		false, false },
	{ "hash",		op_hash,		false, false },
	{ "headerwrap",		xo_headerwrap,		false, false },
	{ "hex2b64",		xo_hex2b64,		false, false },
	{ "hexquote",		xo_hexquote,		false, false },
	{ "ipv6denorm",		xo_ipv6denorm,		false, false },
	{ "ipv6norm",		xo_ipv6norm,		false, false },
	{ "l",			op_length,		false, false },
	{ "lc",			op_lc,			false, false },
	{ "length",		op_length,		false, false },
	{ "listcount",		op_listcount,		false, false },
	{ "listnamed",		op_listnamed,		false, false },
	{ "local_part",		xo_local_part,		true,  false },
	{ "mask",		xo_mask,		false, false },
	{ "md5",		xo_md5,			false, true },
	{ "nh",			op_nhash,		false, false },
	{ "nhash",		op_nhash,		false, false },
	{ "quote",		op_quote,		false, false },
	{ "quote_local_part",	op_quote_local_part,	true,  false },
	{ "randint",		op_randint,		false, false },
	{ "reverse_ip",		xo_reverse_ip,		true,  false },
	{ "rfc2047",		xo_rfc2047,		false, false },
	{ "rfc2047d",		xo_rfc2047d,		false, false },
	{ "rxquote",		op_rxquote,		false, false },
	{ "s",			op_substr,		false, false },
	{ "sha1",		xo_sha1,		false, true },
	{ "sha2",		xo_sha2,		false, false },
	{ "sha256",		xo_sha256,		false, true },
	{ "sha3",		xo_sha3,		false, false },
	{ "stat",		op_stat,		false, false },
	{ "str2b64",		xo_base64,		false, true },
	{ "strlen",		op_strlen,		false, false },
	{ "substr",		op_substr,		false, false },
	{ "time_eval",		op_time_eval,		true,  false },
	{ "time_interval",	op_time_interval,	true,  false },
	{ "uc",			op_uc,			false, false },
	{ "utf8_domain_from_alabel", xo_domain_from_alabel, true, false },
	{ "utf8_domain_to_alabel", xo_domain_to_alabel, true,  false },
	{ "utf8_localpart_from_alabel", xo_local_from_alabel, true, false },
	{ "utf8_localpart_to_alabel", xo_local_to_alabel, true, false },
	{ "utf8clean",		xo_utf8clean,		false, false },
	{ "xtextd",		xo_xtextd,		false, false },
	{ NULL,			NULL,			false, false }
};
#define NOPS	(sizeof(x_ops) / sizeof(x_ops[0]) - 1)

static int
compare_op(const void *key, const void *row)
{
	return (sv_cmp(*(const struct sv *)key, sv_cstr(((const struct xop_row *)row)->name)));
}

static const struct xop_row *
find(struct sv name)
{
	return (bsearch(&name, x_ops, NOPS, sizeof(x_ops[0]), compare_op));
}

/* An underscore belongs to the name or begins arguments: whole names are tried first. */
const struct xop_row *
x_op_find(struct sv name, struct sv *arg)
{
	static const struct xop_row quote_lookup = { "quote_", op_quote_lookup, false, false };
	const struct xop_row *row = find(name);
	ptrdiff_t us;

	*arg = SV_NULL;
	if (row != NULL)
		return (row);
	us = sv_chr(name, '_');
	if (us < 0)
		return (NULL);
	*arg = sv_sub(name, (size_t)us + 1, name.len);
	row = find(sv_sub(name, 0, (size_t)us));
	if (row != NULL && row->fn == op_quote)
		return (&quote_lookup);
	return (row);
}

X_EVAL(x_op)
{
	enum exim_result r;
	struct sv v;

	r = x_seq(e, &n->u.op.sub, &v);
	if (r != EXIM_OK)
		return (r);
	if (v.p == NULL)
		v = SV_LIT("");
	return (n->u.op.row->fn(e, n, v, out));
}

/* --- pieces and hashes with numbers in their name --- */

/* "3", "3_5", "-2_4" behind the underscore; <from> and <len> as for substr. */
static bool
op_numbers(struct xev *e, const struct xnode *n, int64_t *from, int64_t *len, bool one)
{
	struct sv a = n->u.op.arg;
	int64_t *at = one ? len : from, sign = 1;
	size_t i = 0;

	*from = 0;
	*len = one ? 0 : -1;
	if (a.p == NULL) {
		(void)x_fail(e, "missing values after " SV_FMT, SV_ARG(n->u.op.name));
		return (false);
	}
	if (!one && n->u.op.name.p[0] == 's' && a.len > 0 && a.p[0] == '-') {
		sign = -1;
		i = 1;
	}
	for (size_t start = i; i < a.len; i++) {
		if (i > start && a.p[i] == '_' && at == from && i + 1 < a.len) {
			at = len;
			*len = 0;
			continue;
		}
		if (!sv_isdigit(a.p[i])) {
			(void)x_fail(e, "non-digit after underscore in \"" SV_FMT "\"", SV_ARG(n->u.op.name));
			return (false);
		}
		if (*at < INT32_MAX)
			*at = *at * 10 + a.p[i] - '0';
	}
	*from *= sign;
	return (true);
}

static X_OP(op_substr)
{
	int64_t from, len;

	if (!op_numbers(e, n, &from, &len, false))
		return (EXIM_FAIL);
	return (x_compute_substr(v, from, len, out) ? EXIM_OK : EXIM_FAIL);
}

static X_OP(op_length)
{
	int64_t from, len;

	if (!op_numbers(e, n, &from, &len, true))
		return (EXIM_FAIL);
	return (x_compute_substr(v, from, len, out) ? EXIM_OK : EXIM_FAIL);
}

static X_OP(op_hash)
{
	int64_t a, b;

	if (!op_numbers(e, n, &a, &b, false))
		return (EXIM_FAIL);
	return (x_compute_hash(e, v, a, b, out) ? EXIM_OK : EXIM_FAIL);
}

static X_OP(op_nhash)
{
	int64_t a, b;

	if (!op_numbers(e, n, &a, &b, false))
		return (EXIM_FAIL);
	return (x_compute_nhash(e, v, a, b, out) ? EXIM_OK : EXIM_FAIL);
}

/* --- letters --- */

static enum exim_result
change_case(struct xev *e, struct sv v, struct sv *out, char (*fn)(char))
{
	size_t i = 0;
	char *p;

	*out = v;
	while (i < v.len && fn(v.p[i]) == v.p[i])
		i++;
	if (i == v.len)
		return (EXIM_OK);
	p = arena_alloc(e->env->arena, v.len);
	memcpy(p, v.p, i);
	for (; i < v.len; i++)
		p[i] = fn(v.p[i]);
	out->p = p;
	return (EXIM_OK);
}

static X_OP(op_lc)
{
	return (change_case(e, v, out, sv_lower));
}

static X_OP(op_uc)
{
	return (change_case(e, v, out, sv_upper));
}

static X_OP(op_strlen)
{
	*out = x_int(e, (int64_t)v.len);
	return (EXIM_OK);
}

static X_OP(op_escape)
{
	bool top = e->env->g != NULL && e->env->g->print_topbitchars;
	struct xb b;

	xb_init(&b, e->env->arena, v.len + 32);
	b.tainted = v.tainted;
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];
		static const char from[] = "\n\r\b\v\f", to[] = "nrbvf";
		const char *at = c == '\0' ? NULL : strchr(from, c);

		if (at != NULL) {
			xb_addc(&b, '\\');
			xb_addc(&b, to[at - from]);
		} else if (c == '\t' || (c >= 32 && c < 127) || (c > 127 && top))
			xb_addc(&b, (char)c);
		else
			xb_fmt(&b, "\\%03o", c);
	}
	*out = xb_sv(&b);
	return (EXIM_OK);
}

static X_OP(op_escape8bit)
{
	struct xb b;

	xb_init(&b, e->env->arena, v.len + 32);
	b.tainted = v.tainted;
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c < 127 && c != '\\')
			xb_addc(&b, (char)c);
		else
			xb_fmt(&b, "\\%03o", c);
	}
	*out = xb_sv(&b);
	return (EXIM_OK);
}

static X_OP(op_expand)
{
	bool taint_off = e->env->g != NULL && e->env->g->taint_off;
	enum exim_result r;
	const char *why;

	if (v.tainted && v.len > 0 && !taint_off)
		r = x_fail(e, "attempt to expand tainted string '" SV_FMT "'", SV_ARG(v));
	else
		r = x_text(e, v, out);
	if (r != EXIM_FAIL || e->err == NULL)
		return (r);
	why = x_message(e);
	return (x_fail(e, "internal expansion of \"" SV_FMT "\" failed: %s", SV_ARG(v), why));
}

/* --- quoting --- */

static X_OP(op_quote)
{
	bool need = v.len == 0;
	struct xb b;

	for (size_t i = 0; i < v.len && !need; i++)
		need = !sv_isalnum(v.p[i]) && strchr("_-.", v.p[i]) == NULL;
	*out = v;
	if (!need)
		return (EXIM_OK);
	xb_init(&b, e->env->arena, v.len + 8);
	b.tainted = v.tainted;
	xb_addc(&b, '"');
	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];

		if (c == '\n' || c == '\r')
			xb_adds(&b, c == '\n' ? "\\n" : "\\r");
		else {
			if (c == '"' || c == '\\')
				xb_addc(&b, '\\');
			xb_addc(&b, c);
		}
	}
	xb_addc(&b, '"');
	*out = xb_sv(&b);
	return (EXIM_OK);
}

static X_OP(op_quote_local_part)
{
	bool need = v.len == 0;
	struct xb b;

	for (size_t i = 0; i < v.len && !need; i++) {
		char c = v.p[i];

		need = !sv_isalnum(c) && (c == '\0' || strchr("!#$%&'*+-/=?^_`{|}~", c) == NULL) &&
		    (c != '.' || i == 0 || i + 1 == v.len);
	}
	*out = v;
	if (!need)
		return (EXIM_OK);
	xb_init(&b, e->env->arena, v.len + 8);
	b.tainted = v.tainted;
	xb_addc(&b, '"');
	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];

		if (c == '"' || c == '\\' || c == '\n' || c == '\r')
			xb_addc(&b, '\\');
		xb_addc(&b, c == '\n' ? 'n' : c == '\r' ? 'r' : c);
	}
	xb_addc(&b, '"');
	*out = xb_sv(&b);
	return (EXIM_OK);
}

static X_OP(op_quote_lookup)
{
	return (x_quote_lookup(e, n->u.op.arg, v, out));
}

static X_OP(op_rxquote)
{
	struct xb b;

	xb_init(&b, e->env->arena, v.len + 16);
	b.tainted = v.tainted;
	for (size_t i = 0; i < v.len; i++) {
		if (!sv_isalnum(v.p[i]))
			xb_addc(&b, '\\');
		xb_addc(&b, v.p[i]);
	}
	*out = xb_sv(&b);
	return (EXIM_OK);
}

/* --- lists --- */

static X_OP(op_listcount)
{
	int64_t count = 0;
	struct sv item;
	int sep = 0;

	while (exim_list_next(&v, &sep, e->env->arena, &item))
		count++;
	*out = x_int(e, count);
	return (EXIM_OK);
}

/* The items of a named list, those of lists in it in their place, joined by " : ". */
static bool
add_named(struct xev *e, enum exim_list_kind kind, struct sv text, struct xb *b, unsigned depth)
{
	const struct exim_named *sub;
	struct sv item;
	int sep = 0;

	if (depth > 20 || b->over)
		return (false);
	while (exim_list_next(&text, &sep, e->env->arena, &item)) {
		sub = item.len > 1 && item.p[0] == '+' ?
		    exim_names_get(e->env->names, kind, sv_sub(item, 1, item.len)) : NULL;
		if (sub != NULL) {
			if (!add_named(e, kind, sub->text, b, depth + 1))
				return (false);
			continue;
		}
		if (b->len > 0)
			xb_adds(b, " : ");
		/* Exim doubles colons only where the list had another separator. */
		for (size_t i = 0; i < item.len; i++) {
			xb_addc(b, item.p[i]);
			if (item.p[i] == ':' && sep != ':')
				xb_addc(b, ':');
		}
	}
	return (true);
}

static X_OP(op_listnamed)
{
	static const struct { char c; enum exim_list_kind kind; const char *what; } t[] = {
		{ 'a', EXIM_LIST_ADDRESS, "address" }, { 'd', EXIM_LIST_DOMAIN, "domain" },
		{ 'h', EXIM_LIST_HOST, "host" }, { 'l', EXIM_LIST_LOCAL, "local part" }
	};
	const struct exim_named *named = NULL;
	const char *what = "";
	size_t i, first = 0, last = 4;
	struct xb b;

	v = v.len > 0 && v.p[0] == '+' ? sv_sub(v, 1, v.len) : v;
	if (n->u.op.arg.p != NULL) {
		for (first = 0; first < 4 && n->u.op.arg.p[0] != t[first].c; first++)
			continue;
		if (first == 4)
			return (x_fail(e, "bad suffix on \"list\" operator"));
		last = first + 1;
		/* Exim's word. */
		what = first == 3 ? "localpart" : t[first].what;
	}
	for (i = first; i < last && named == NULL && e->env->names != NULL; i++)
		named = exim_names_get(e->env->names, t[i].kind, v);
	if (named == NULL)
		return (x_fail(e, "\"" SV_FMT "\" is not a %s%snamed list", SV_ARG(v), what, *what == '\0' ? "" : " "));
	xb_init(&b, e->env->arena, named->text.len + 16);
	if (!add_named(e, named->kind, named->text, &b, 0))
		return (x_fail(e, "named list \"" SV_FMT "\" refers to itself", SV_ARG(v)));
	*out = xb_sv(&b);
	return (EXIM_OK);
}

/* --- numbers and times --- */

static X_OP(op_randint)
{
	const struct exim_world *w = e->env->world;
	int64_t max = sv_starts(sv_trim(v), "-") ? -1 : 0;

	if (v.len == 0)
		return (x_fail(e, "integer expected but \"\" found"));
	if (max == 0 && !x_integer(e, v, &max))
		return (EXIM_FAIL);
	if (max < 0)
		return (x_fail(e, "non-negative integer expected but \"" SV_FMT "\" found", SV_ARG(v)));
	max = (int32_t)max;			/* as Exim, which counts in int */
	*out = x_int(e, max <= 0 || w->random == NULL ? 0 : (int64_t)(w->random(w->arg) % (uint64_t)max));
	return (EXIM_OK);
}

/* Any order, any number of parts, each with its unit. */
static X_OP(op_time_eval)
{
	int64_t total = 0, num;
	size_t i = 0;

	while (i < v.len) {
		static const struct { char c; uint64_t mul; } t[] = {
			{ 'w', 604800 }, { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 }
		};
		size_t k = 0, start = i;

		for (num = 0; i < v.len && sv_isdigit(v.p[i]); i++)
			if (num < INT32_MAX)
				num = num * 10 + v.p[i] - '0';
		while (k < 5 && i < v.len && i > start && v.p[i] != t[k].c)
			k++;
		if (i == start || i >= v.len || k == 5) {
			total = -1;
			break;
		}
		total += num * t[k].mul;
		i++;
	}
	if (total < 0 || v.len == 0)
		return (x_fail(e, "string \"" SV_FMT "\" is not an Exim time interval in \"" SV_FMT "\" operator", SV_ARG(v),
		    SV_ARG(n->u.op.name)));
	*out = x_int(e, total);
	return (EXIM_OK);
}

static X_OP(op_time_interval)
{
	static const struct { char c; uint64_t mul; } t[] = {
		{ 'w', 604800 }, { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 }
	};
	uint64_t num = 0;
	struct xb b;

	for (size_t i = 0; i < v.len; i++) {
		if (!sv_isdigit(v.p[i]))
			return (x_fail(e, "string \"" SV_FMT "\" is not a positive number in \"" SV_FMT "\" operator",
			    SV_ARG(v), SV_ARG(n->u.op.name)));
		num = num * 10 + (uint64_t)(v.p[i] - '0');
	}
	num = (uint32_t)num;
	xb_init(&b, e->env->arena, 32);
	for (size_t k = 0; k < 5; k++) {
		if (num >= t[k].mul)
			xb_fmt(&b, "%llu%c", (unsigned long long)(num / t[k].mul), t[k].c);
		num %= t[k].mul;
	}
	*out = b.len == 0 ? SV_LIT("0s") : xb_sv(&b);
	return (EXIM_OK);
}

/* --- ${stat: --- */

static void
symbolic(mode_t mode, char out[11])
{
	static const char rwx[] = "rwxrwxrwx";

	out[0] = S_ISDIR(mode) ? 'd' : S_ISLNK(mode) ? 'l' : S_ISSOCK(mode) ? 's' : S_ISFIFO(mode) ? 'p' :
	    S_ISCHR(mode) ? 'c' : S_ISBLK(mode) ? 'b' : '-';
	for (int i = 0; i < 9; i++)
		out[i + 1] = (mode & (0400u >> i)) != 0 ? rwx[i] : '-';
	if ((mode & S_ISUID) != 0)
		out[3] = out[3] == 'x' ? 's' : 'S';
	if ((mode & S_ISGID) != 0)
		out[6] = out[6] == 'x' ? 's' : 'S';
	if ((mode & S_ISVTX) != 0)
		out[9] = out[9] == 'x' ? 't' : 'T';
	out[10] = '\0';
}

/* "NAME=N"; this is asked for each local delivery, and printf would cost more than the rest. */
static void
put_field(struct xb *b, const char *name, uint64_t n)
{
	char digits[20];
	size_t i = sizeof(digits);

	do
		digits[--i] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	xb_adds(b, name);
	xb_add(b, sv_from(digits + i, sizeof(digits) - i));
}

static void
put_time(struct xb *b, const char *name, time_t t)
{
	put_field(b, name, t < 0 ? 0 : (uint64_t)t);
}

static X_OP(op_stat)
{
	const struct exim_world *w = e->env->world;
	char smode[11];
	struct stat st;
	struct xb b;

	if ((e->env->forbid & EXIM_NO_EXISTS) != 0)
		return (x_fail(e, "Use of the stat() expansion is not permitted"));
	if (w->stat == NULL || w->stat(w->arg, x_cstr(e, v), true, &st) == -1)
		return (x_fail(e, "stat(" SV_FMT ") failed: %s", SV_ARG(v), strerror(w->stat == NULL ? ENOSYS : errno)));
	symbolic(st.st_mode, smode);
	xb_init(&b, e->env->arena, 256);
	xb_adds(&b, "mode=");
	for (int shift = (st.st_mode & 070000) != 0 ? 12 : 9; shift >= 0; shift -= 3)
		xb_addc(&b, (char)('0' + ((st.st_mode >> shift) & 7)));
	xb_adds(&b, " smode=");
	xb_adds(&b, smode);
	put_field(&b, " inode=", st.st_ino);
	put_field(&b, " device=", st.st_dev);
	put_field(&b, " links=", st.st_nlink);
	put_field(&b, " uid=", st.st_uid);
	put_field(&b, " gid=", st.st_gid);
	put_field(&b, " size=", (uint64_t)st.st_size);
	put_time(&b, " atime=", st.st_atime);
	put_time(&b, " mtime=", st.st_mtime);
	put_time(&b, " ctime=", st.st_ctime);
	*out = xb_sv(&b);
	return (EXIM_OK);
}
