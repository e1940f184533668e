/* SPDX-License-Identifier: BSD-2-Clause */
/* DIGEST-MD5: see digest.h. */
#include "exim/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stddef.h>
#include <string.h>

#include "base/codec.h"

#define MESSAGE_MAX	4096
#define HASH		16
#define HEX		32

struct sv
digest_challenge(struct arena *a, struct sv realm, struct sv nonce)
{
	return (sv_cstr(arena_fmt(a, "realm=\"" SV_FMT "\",nonce=\"" SV_FMT "\",qop=\"auth\",charset=utf-8,algorithm=md5-sess",
	    SV_ARG(realm), SV_ARG(nonce))));
}

static const struct { const char *name; size_t at; } fields[] = {
#define F(name, member)	{ name, offsetof(struct digest_answer, member) }
	F("username", user), F("realm", realm), F("nonce", nonce), F("cnonce", cnonce), F("nc", nc), F("qop", qop),
	F("digest-uri", uri), F("response", response), F("authzid", authz),
#undef F
};

/* The value at the front of <rest>: in quotes, or up to a comma. */
static bool
take_value(struct arena *a, struct sv *rest, struct sv *value)
{
	char *p = arena_alloc(a, rest->len + 1);
	size_t n = 0, i = 0;

	if (rest->len == 0 || rest->p[0] != '"') {
		for (; i < rest->len && rest->p[i] != ','; i++)
			p[n++] = rest->p[i];
	} else {
		for (i = 1; i < rest->len && rest->p[i] != '"'; i++) {
			if (rest->p[i] == '\\' && i + 1 < rest->len)
				i++;
			p[n++] = rest->p[i];
		}
		if (i++ >= rest->len)
			return (false);
	}
	p[n] = '\0';
	*value = sv_taint(sv_from(p, n));
	*rest = sv_trim(sv_sub(*rest, i, rest->len));
	if (rest->len > 0 && rest->p[0] != ',')
		return (false);
	*rest = sv_trim(sv_sub(*rest, 1, rest->len));
	return (true);
}

bool
digest_read(struct arena *a, struct sv msg, struct digest_answer *out)
{
	struct sv rest = sv_trim(msg), name, value;

	memset(out, 0, sizeof(*out));
	if (msg.len > MESSAGE_MAX)
		return (false);
	while (rest.len > 0) {
		ptrdiff_t eq = sv_chr(rest, '=');

		if (eq <= 0)
			return (false);
		name = sv_trim(sv_sub(rest, 0, (size_t)eq));
		rest = sv_trim(sv_sub(rest, (size_t)eq + 1, rest.len));
		if (!take_value(a, &rest, &value))
			return (false);
		for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
			struct sv *f = (struct sv *)(void *)((char *)out + fields[i].at);

			if (!sv_caseeqs(name, fields[i].name))
				continue;
			if (f->p != NULL)
				return (false);
			*f = value;
		}
	}
	if (out->realm.p == NULL)
		out->realm = SV_LIT("");
	if (out->authz.p == NULL)
		out->authz = SV_LIT("");
	return (out->user.len > 0 && out->nonce.len > 0 && out->cnonce.len > 0 && sv_eqs(out->nc, "00000001") &&
	    (out->qop.p == NULL || sv_eqs(out->qop, "auth")) && out->response.len == HEX && out->uri.len > 0);
}

bool
digest_uri_is(struct sv uri, struct sv service, struct sv host)
{
	struct sv rest = uri, piece;

	return (sv_next(&rest, '/', &piece) && sv_caseeq(piece, service) && sv_next(&rest, '/', &piece) && sv_caseeq(piece, host));
}

static bool
md5(struct sb *in, unsigned char out[EVP_MAX_MD_SIZE])
{
	unsigned n = 0;
	bool ok = EVP_Digest(in->p == NULL ? "" : in->p, in->len, out, &n, EVP_md5(), NULL) == 1 && n == HASH && !in->overflow;

	sb_clear(in);
	return (ok);
}

/* RFC 2831 section 2.1.2.1; <verb> is empty for the server's own proof. */
static bool
response(const struct digest_answer *x, struct sv password, const char *verb, struct sb *hex)
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	struct sb in = SB_INIT(8 * MESSAGE_MAX), a1 = SB_INIT(HEX), a2 = SB_INIT(HEX);
	bool ok;

	sb_addf(&in, SV_FMT ":" SV_FMT ":" SV_FMT, SV_ARG(x->user), SV_ARG(x->realm), SV_ARG(password));
	ok = md5(&in, raw);
	sb_addn(&in, raw, HASH);
	sb_addf(&in, ":" SV_FMT ":" SV_FMT, SV_ARG(x->nonce), SV_ARG(x->cnonce));
	if (x->authz.len > 0)
		sb_addf(&in, ":" SV_FMT, SV_ARG(x->authz));
	ok = ok && md5(&in, raw);
	hex_encode(&a1, sv_from((const char *)raw, HASH));
	sb_addf(&in, "%s:" SV_FMT, verb, SV_ARG(x->uri));
	ok = ok && md5(&in, raw);
	hex_encode(&a2, sv_from((const char *)raw, HASH));
	sb_addf(&in, "%s:" SV_FMT ":" SV_FMT ":" SV_FMT ":auth:%s", sb_cstr(&a1), SV_ARG(x->nonce), SV_ARG(x->nc), SV_ARG(x->cnonce),
	    sb_cstr(&a2));
	ok = ok && md5(&in, raw);
	hex_encode(hex, sv_from((const char *)raw, HASH));
	OPENSSL_cleanse(raw, sizeof(raw));
	sb_wipe(&in);
	sb_wipe(&a1);
	sb_free(&a2);
	return (ok && hex->len == HEX);
}

bool
digest_proves(struct arena *a, const struct digest_answer *x, struct sv password, struct sv *last)
{
	struct sb hex = SB_INIT(HEX);
	bool ok = response(x, password, "AUTHENTICATE", &hex) && CRYPTO_memcmp(hex.p, x->response.p, HEX) == 0;

	sb_clear(&hex);
	if (ok && (ok = response(x, password, "", &hex)))
		*last = sv_cstr(arena_fmt(a, "rspauth=%s", sb_cstr(&hex)));
	sb_free(&hex);
	return (ok);
}
