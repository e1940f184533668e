/* SPDX-License-Identifier: BSD-2-Clause */
/* SCRAM: see scram.h. */
#include "exim/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/codec.h"
#include "base/num.h"
#include "exim/env.h"

#define MESSAGE_MAX	8192

static const EVP_MD *
digest_of(const struct scram *x)
{
	return (x->hash == SCRAM_SHA1 ? EVP_sha1() : EVP_sha256());
}

size_t
scram_size(enum scram_hash h)
{
	return (h == SCRAM_SHA1 ? 20 : 32);
}

static bool
hmac(const struct scram *x, const unsigned char *key, struct sv text, unsigned char *out)
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	size_t n = scram_size(x->hash);
	unsigned len = 0;

	if (HMAC(digest_of(x), key, (int)n, (const unsigned char *)(text.len == 0 ? "" : text.p), text.len, raw, &len) == NULL ||
	    len != n)
		return (false);
	memcpy(out, raw, n);
	return (true);
}

static bool
hash(const struct scram *x, const unsigned char *in, unsigned char *out)
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	size_t n = scram_size(x->hash);
	unsigned len = 0;

	if (EVP_Digest(in, n, raw, &len, digest_of(x), NULL) != 1 || len != n)
		return (false);
	memcpy(out, raw, n);
	return (true);
}

bool
scram_keys_salted(struct scram *x)
{
	return (hmac(x, x->salted, SV_LIT("Client Key"), x->client_key) && hash(x, x->client_key, x->stored) &&
	    hmac(x, x->salted, SV_LIT("Server Key"), x->server_key));
}

bool
scram_keys(struct scram *x, struct sv password, struct sv salt, int64_t iter)
{
	if (iter < 1 || iter > SCRAM_ITER_MAX)
		return (false);
	return (PKCS5_PBKDF2_HMAC(password.len == 0 ? "" : password.p, (int)password.len, (const unsigned char *)(salt.len == 0 ? "" :
	    salt.p), (int)salt.len, (int)iter, digest_of(x), (int)scram_size(x->hash), x->salted) == 1 && scram_keys_salted(x));
}

struct keys_job {
	struct scram	*x;
	struct sv	 password, salt;
	int64_t		 iter;
	bool		 ok;
};

static void
keys_job(void *arg)
{
	struct keys_job *j = arg;

	j->ok = scram_keys(j->x, j->password, j->salt, j->iter);
}

bool
scram_keys_by(const struct exim_world *w, struct scram *x, struct sv password, struct sv salt, int64_t iter)
{
	struct keys_job j = { x, password, salt, iter, false };

	if (w->offload != NULL)
		w->offload(w->arg, keys_job, &j);
	else
		keys_job(&j);
	return (j.ok);
}

void
scram_forget(struct scram *x)
{
	OPENSSL_cleanse(x->salted, sizeof(x->salted));
	OPENSSL_cleanse(x->client_key, sizeof(x->client_key));
	OPENSSL_cleanse(x->stored, sizeof(x->stored));
	OPENSSL_cleanse(x->server_key, sizeof(x->server_key));
}

/* ---- texts ---- */

/* "X=VALUE," at the front; false when it is not attribute <name>. */
static bool
attribute(struct sv *rest, char name, struct sv *value)
{
	struct sv piece;

	if (!sv_next(rest, ',', &piece) || piece.len < 2 || piece.p[0] != name || piece.p[1] != '=')
		return (false);
	*value = sv_sub(piece, 2, piece.len);
	return (true);
}

/* "=2C" and "=3D" of names (RFC 5802 section 5.1). */
static bool
unescape(struct arena *a, struct sv v, struct sv *out)
{
	char *p = arena_alloc(a, v.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] != '=') {
			p[n++] = v.p[i];
			continue;
		}
		if (sv_starts(sv_sub(v, i, v.len), "=2C"))
			p[n++] = ',';
		else if (sv_starts(sv_sub(v, i, v.len), "=3D"))
			p[n++] = '=';
		else
			return (false);
		i += 2;
	}
	p[n] = '\0';
	*out = sv_taint(sv_from(p, n));
	return (n > 0);
}

static void
add_escaped(struct sb *out, struct sv v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] == ',')
			sb_adds(out, "=2C");
		else if (v.p[i] == '=')
			sb_adds(out, "=3D");
		else
			sb_addc(out, v.p[i]);
}

static struct sv
keep(struct scram *x, struct sb *sb)
{
	struct sv v = arena_sv(x->arena, sb_sv(sb));

	sb_free(sb);
	return (v);
}

/* What all proofs are made over. */
static struct sv
auth_message(struct scram *x, struct sv without_proof)
{
	struct sb sb = SB_INIT(4 * MESSAGE_MAX);

	sb_add(&sb, x->first);
	sb_addc(&sb, ',');
	sb_add(&sb, x->server_first);
	sb_addc(&sb, ',');
	sb_add(&sb, without_proof);
	return (keep(x, &sb));
}

/* c=: the header of the first message and what binds to the channel, in base64. */
static struct sv
channel(struct scram *x)
{
	struct sb raw = SB_INIT(MESSAGE_MAX), b64 = SB_INIT(2 * MESSAGE_MAX);

	sb_add(&raw, x->gs2);
	if (x->gs2.len > 0 && x->gs2.p[0] == 'p')
		sb_add(&raw, x->binding);
	base64_encode(&b64, sb_sv(&raw));
	sb_free(&raw);
	return (keep(x, &b64));
}

/* ---- server ---- */

bool
scram_read_first(struct scram *x, struct sv msg, bool plus)
{
	struct sv rest, head, authz, user, nonce;

	if (msg.len > MESSAGE_MAX)
		return (false);
	msg = arena_sv(x->arena, msg);
	rest = msg;
	if (!sv_next(&rest, ',', &head) || !sv_next(&rest, ',', &authz))
		return (false);
	/* "y": the client would bind and thinks that we cannot; where we can, somebody took our offer out of the way. */
	if (sv_starts(head, "p=")) {
		if (!plus || x->binding_name == NULL || !sv_eqs(sv_sub(head, 2, head.len), x->binding_name))
			return (false);
	} else if (plus || (!sv_eqs(head, "n") && !sv_eqs(head, "y")) || (sv_eqs(head, "y") && x->binding.len > 0))
		return (false);
	x->authz = SV_LIT("");
	if (authz.len > 0 && (!sv_starts(authz, "a=") || !unescape(x->arena, sv_sub(authz, 2, authz.len), &x->authz)))
		return (false);
	x->gs2 = sv_sub(msg, 0, msg.len - rest.len);
	x->first = rest;
	if (!attribute(&rest, 'n', &user) || !unescape(x->arena, user, &x->user) || !attribute(&rest, 'r', &nonce) || nonce.len == 0)
		return (false);
	x->nonce = nonce;
	return (true);
}

struct sv
scram_challenge(struct scram *x, struct sv nonce, struct sv salt, int64_t iter)
{
	struct sb sb = SB_INIT(2 * MESSAGE_MAX), both = SB_INIT(2 * MESSAGE_MAX);

	sb_add(&both, x->nonce);
	sb_add(&both, nonce);
	x->nonce = keep(x, &both);
	sb_addf(&sb, "r=" SV_FMT ",s=", SV_ARG(x->nonce));
	base64_encode(&sb, salt);
	sb_addf(&sb, ",i=%lld", (long long)iter);
	x->server_first = keep(x, &sb);
	return (x->server_first);
}

bool
scram_read_last(struct scram *x, struct sv msg, struct sv *out)
{
	unsigned char key[SCRAM_HASH_MAX], client[SCRAM_HASH_MAX], again[SCRAM_HASH_MAX], sign[SCRAM_HASH_MAX];
	struct sb proof = SB_INIT(2 * SCRAM_HASH_MAX), answer = SB_INIT(200);
	struct sv rest = msg, c, r, whole;
	size_t n = scram_size(x->hash);
	ptrdiff_t p = sv_find(msg, SV_LIT(",p="));
	bool ok;

	if (msg.len > MESSAGE_MAX || p < 0 || !attribute(&rest, 'c', &c) || !attribute(&rest, 'r', &r) ||
	    !sv_eq(c, channel(x)) || !sv_eq(r, x->nonce))
		return (false);
	ok = base64_decode(&proof, sv_sub(msg, (size_t)p + 3, msg.len)) && proof.len == n;
	whole = auth_message(x, sv_sub(msg, 0, (size_t)p));
	ok = ok && hmac(x, x->stored, whole, sign);
	for (size_t i = 0; ok && i < n; i++)
		client[i] = (unsigned char)proof.p[i] ^ sign[i];
	ok = ok && hash(x, client, again) && CRYPTO_memcmp(again, x->stored, n) == 0 && hmac(x, x->server_key, whole, key);
	if (ok) {
		sb_adds(&answer, "v=");
		base64_encode(&answer, sv_from((const char *)key, n));
		*out = arena_sv(x->arena, sb_sv(&answer));
	}
	sb_free(&proof);
	sb_free(&answer);
	return (ok);
}

/* ---- client ---- */

struct sv
scram_first(struct scram *x, struct sv user, struct sv authz, struct sv nonce)
{
	struct sb sb = SB_INIT(2 * MESSAGE_MAX);
	struct sv msg;

	if (x->binding.len > 0)
		sb_addf(&sb, "p=%s,", x->binding_name);
	else
		sb_adds(&sb, "n,");
	if (authz.len > 0) {
		sb_adds(&sb, "a=");
		add_escaped(&sb, authz);
	}
	sb_addc(&sb, ',');
	x->gs2.len = sb.len;
	sb_adds(&sb, "n=");
	add_escaped(&sb, user);
	sb_addf(&sb, ",r=" SV_FMT, SV_ARG(nonce));
	msg = keep(x, &sb);
	x->first = sv_sub(msg, x->gs2.len, msg.len);
	x->gs2 = sv_sub(msg, 0, x->gs2.len);
	x->nonce = arena_sv(x->arena, nonce);
	return (msg);
}

bool
scram_read_challenge(struct scram *x, struct sv msg, struct sv *salt, int64_t *iter)
{
	struct sb raw = SB_INIT(MESSAGE_MAX);
	struct sv rest, r, s, i;

	if (msg.len > MESSAGE_MAX)
		return (false);
	x->server_first = rest = arena_sv(x->arena, msg);
	if (!attribute(&rest, 'r', &r) || !attribute(&rest, 's', &s) || !attribute(&rest, 'i', &i) ||
	    r.len <= x->nonce.len || !sv_eq(sv_sub(r, 0, x->nonce.len), x->nonce) || !num_parse(i, 1, SCRAM_ITER_MAX, iter) ||
	    !base64_decode(&raw, s)) {
		sb_free(&raw);
		return (false);
	}
	x->nonce = r;
	*salt = keep(x, &raw);
	return (true);
}

bool
scram_last(struct scram *x, struct sv *out)
{
	unsigned char sign[SCRAM_HASH_MAX], proof[SCRAM_HASH_MAX];
	struct sb sb = SB_INIT(2 * MESSAGE_MAX);
	struct sv whole;

	sb_addf(&sb, "c=" SV_FMT ",r=" SV_FMT, SV_ARG(channel(x)), SV_ARG(x->nonce));
	whole = auth_message(x, sb_sv(&sb));
	if (!hmac(x, x->stored, whole, sign) || !hmac(x, x->server_key, whole, x->signature)) {
		sb_free(&sb);
		return (false);
	}
	for (size_t i = 0; i < scram_size(x->hash); i++)
		proof[i] = x->client_key[i] ^ sign[i];
	sb_adds(&sb, ",p=");
	base64_encode(&sb, sv_from((const char *)proof, scram_size(x->hash)));
	*out = keep(x, &sb);
	return (true);
}

bool
scram_server_proved(const struct scram *x, struct sv msg)
{
	struct sb raw = SB_INIT(2 * SCRAM_HASH_MAX);
	size_t n = scram_size(x->hash);
	bool ok = sv_starts(msg, "v=") && base64_decode(&raw, sv_trim(sv_sub(msg, 2, msg.len))) && raw.len == n &&
	    CRYPTO_memcmp(raw.p, x->signature, n) == 0;

	sb_free(&raw);
	return (ok);
}
