/* SPDX-License-Identifier: BSD-2-Clause */
/* Operators that encode and digest: base32, base62, base64, hex, md5, sha1, sha2, sha3, xtext (manual 11.6). */
#include "exim/expand_int.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"

static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* As strtoul: a sign, digits, the largest number when it does not fit; false if something stands behind. */
static bool
unsigned_long(struct sv v, uint64_t *out)
{
	bool neg = v.len > 0 && v.p[0] == '-', over = false;
	uint64_t n = 0;

	for (size_t i = v.len > 0 && (v.p[0] == '-' || v.p[0] == '+') ? 1 : 0; i < v.len; i++) {
		if (!sv_isdigit(v.p[i]))
			return (false);
		over |= __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(v.p[i] - '0'), &n);
	}
	*out = over ? UINT64_MAX : neg ? 0 - n : n;
	/* Nothing at all is 0, a sign alone is not. */
	return (v.len != 1 || sv_isdigit(v.p[0]));
}

X_OP(xo_base32)
{
	char buf[16], *p = buf + sizeof(buf);
	uint64_t num;

	if (!unsigned_long(v, &num))
		return (x_fail(e, "argument for base32 operator is \"" SV_FMT "\", which is not a decimal number", SV_ARG(v)));
	for (; num > 0; num /= 32)
		*--p = x_base32[num % 32];
	*out = arena_sv(e->env->arena, sv_from(p, (size_t)(buf + sizeof(buf) - p)));
	return (EXIM_OK);
}

X_OP(xo_base32d)
{
	uint64_t num = 0;

	for (size_t i = 0; i < v.len; i++) {
		const char *at = v.p[i] == '\0' ? NULL : strchr(x_base32, v.p[i]);

		if (at == NULL)
			return (x_fail(e, "argument for base32d operator is \"" SV_FMT "\", which is not a base 32 number",
			    SV_ARG(v)));
		num = num * 32 + (uint64_t)(at - x_base32);
	}
	*out = x_int(e, (int64_t)num);		/* signed, as Exim prints it */
	return (EXIM_OK);
}

X_OP(xo_base62)
{
	uint64_t num;
	char buf[7];

	if (!unsigned_long(v, &num))
		return (x_fail(e, "argument for base62 operator is \"" SV_FMT "\", which is not a decimal number", SV_ARG(v)));
	for (int i = 5; i >= 0; i--) {
		buf[i] = base62[num % 62];
		num /= 62;
	}
	*out = arena_sv(e->env->arena, sv_from(buf, 6));
	return (EXIM_OK);
}

X_OP(xo_base62d)
{
	uint64_t num = 0;

	for (size_t i = 0; i < v.len; i++) {
		const char *at = v.p[i] == '\0' ? NULL : strchr(base62, v.p[i]);

		if (at == NULL)
			return (x_fail(e, "argument for base62d operator is \"" SV_FMT "\", which is not a base 62 number",
			    SV_ARG(v)));
		num = num * 62 + (uint64_t)(at - base62);
	}
	*out = x_int(e, (int64_t)num);		/* signed, as Exim prints it */
	return (EXIM_OK);
}

/* --- base64 and hex --- */

/* DER of a lone certificate variable; p NULL if it is none or unset. */
static struct sv
certificate(struct xev *e, const struct xnode *n)
{
	unsigned char *der = NULL;
	struct sv v = SV_NULL;
	X509 *cert = x_var_cert(e, &n->u.op.sub);
	int len;

	if (cert == NULL || (len = i2d_X509(cert, &der)) <= 0)
		return (v);
	v = sv_from(arena_dup(e->env->arena, der, (size_t)len), (size_t)len);
	OPENSSL_free(der);
	return (v);
}

static struct sv
encode64(struct xev *e, struct sv v)
{
	struct sb sb = SB_INIT(EXIM_EXPAND_MAX);
	struct sv r;

	base64_encode(&sb, v);
	r = arena_sv(e->env->arena, sb_sv(&sb));
	r.tainted = v.tainted;
	sb_free(&sb);
	return (r);
}

X_OP(xo_base64)
{
	struct sv der = certificate(e, n);

	*out = encode64(e, der.p == NULL ? v : der);
	return (EXIM_OK);
}

/* Blanks are passed over; a NUL ends the result, as everywhere in the language. */
X_OP(xo_base64d)
{
	struct sb sb = SB_INIT(EXIM_EXPAND_MAX);
	enum exim_result r = EXIM_OK;
	struct xb b;

	xb_init(&b, e->env->arena, v.len + 1);
	for (size_t i = 0; i < v.len; i++)
		if (!sv_isspace(v.p[i]))
			xb_addc(&b, v.p[i]);
	if (base64_decode(&sb, xb_sv(&b))) {
		struct sv d = sb_sv(&sb);
		ptrdiff_t nul = sv_chr(d, '\0');

		*out = arena_sv(e->env->arena, nul < 0 ? d : sv_sub(d, 0, (size_t)nul));
		out->tainted = v.tainted;
	} else
		r = x_fail(e, "string \"" SV_FMT "\" is not well-formed for \"" SV_FMT "\" operator", SV_ARG(v),
		    SV_ARG(n->u.op.name));
	sb_free(&sb);
	return (r);
}

X_OP(xo_hex2b64)
{
	struct sb sb = SB_INIT(EXIM_EXPAND_MAX);

	for (size_t i = 0; i < v.len; i++)
		if (!sv_isdigit(v.p[i]) && !(sv_lower(v.p[i]) >= 'a' && sv_lower(v.p[i]) <= 'f'))
			return (x_fail(e, "\"" SV_FMT "\" is not a hex string", SV_ARG(v)));
	if (v.len % 2 != 0)
		return (x_fail(e, "\"" SV_FMT "\" contains an odd number of characters", SV_ARG(v)));
	(void)hex_decode(&sb, v);
	*out = encode64(e, sb_sv(&sb));
	sb_free(&sb);
	return (EXIM_OK);
}

X_OP(xo_hexquote)
{
	struct xb b;

	xb_init(&b, e->env->arena, v.len + 32);
	b.tainted = v.tainted;
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c >= 33 && c <= 126)
			xb_addc(&b, (char)c);
		else
			xb_fmt(&b, "\\x%02x", c);
	}
	*out = xb_sv(&b);
	return (EXIM_OK);
}

static int
hex_value(char c)
{
	if (sv_isdigit(c))
		return (c - '0');
	c = sv_lower(c);
	return (c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1);
}

/* RFC 3461 section 4; what is no xtext stays as it is. */
X_OP(xo_xtextd)
{
	struct xb b;

	xb_init(&b, e->env->arena, v.len + 1);
	b.tainted = v.tainted;
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] == '+' && i + 2 < v.len && hex_value(v.p[i + 1]) >= 0 && hex_value(v.p[i + 2]) >= 0) {
			xb_addc(&b, (char)(hex_value(v.p[i + 1]) * 16 + hex_value(v.p[i + 2])));
			i += 2;
		} else
			xb_addc(&b, v.p[i]);
	}
	*out = xb_sv(&b);
	return (EXIM_OK);
}

/* --- digests --- */

/* Fetching a digest costs more than a short text's digest: each is fetched once per process. */
static const EVP_MD *
fetch(const char *how)
{
	static struct { const char *how; const EVP_MD *md; } t[16];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		if (t[i].md == NULL) {
			t[i].how = how;
			t[i].md = EVP_MD_fetch(NULL, how, NULL);
			return (t[i].md);
		}
		if (strcmp(t[i].how, how) == 0)
			return (t[i].md);
	}
	return (NULL);
}

void
x_hex(const unsigned char *p, size_t n, bool upper, char *out)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
}

/* <how> is a string constant: OpenSSL's name. */
bool
x_digest(const char *how, struct sv v, char *hex, size_t size, bool upper, size_t *len)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	const EVP_MD *type = fetch(how);
	unsigned n = 0;

	if (type == NULL || EVP_Digest(v.p == NULL ? "" : v.p, v.len, md, &n, type, NULL) != 1 || size <= 2 * (size_t)n)
		return (false);
	x_hex(md, n, upper, hex);
	*len = n;
	return (true);
}

static enum exim_result
digest(struct xev *e, const struct xnode *n, const char *how, struct sv v, bool upper, struct sv *out)
{
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	struct sv der = n->u.op.row->cert ? certificate(e, n) : SV_NULL;
	size_t len;

	/* Fingerprints of certificates are upper case whatever the digest. */
	if (!x_digest(how, der.p == NULL ? v : der, hex, sizeof(hex), upper || der.p != NULL, &len))
		return (x_fail(e, "digest %s is not available", how));
	*out = sv_cstr(arena_str(e->env->arena, hex));
	return (EXIM_OK);
}

X_OP(xo_md5)
{
	return (digest(e, n, "MD5", v, false, out));
}

X_OP(xo_sha1)
{
	return (digest(e, n, "SHA1", v, true, out));
}

static enum exim_result
sha(struct xev *e, const struct xnode *n, struct sv v, bool three, struct sv *out)
{
	static const struct { const char *arg, *two, *three; } t[] = {
		{ "224", NULL, "SHA3-224" }, { "256", "SHA256", "SHA3-256" }, { "384", "SHA384", "SHA3-384" },
		{ "512", "SHA512", "SHA3-512" }
	};
	struct sv arg = n->u.op.arg;

	if (arg.p == NULL)
		arg = SV_LIT("256");
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const char *how = three ? t[i].three : t[i].two;

		if (how != NULL && sv_eqs(arg, t[i].arg))
			return (digest(e, n, how, v, true, out));
	}
	return (x_fail(e, "unrecognised sha%c variant", three ? '3' : '2'));
}

X_OP(xo_sha256)
{
	return (sha(e, n, v, false, out));
}

X_OP(xo_sha2)
{
	return (sha(e, n, v, false, out));
}

X_OP(xo_sha3)
{
	return (sha(e, n, v, true, out));
}
