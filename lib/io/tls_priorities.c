/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Priority strings of GnuTLS ("NORMAL:-VERS-ALL:+VERS-TLS1.2", "SECURE192", "PFS:%SERVER_PRECEDENCE"), since many
 * configurations were written for an Exim that uses that library.  Each word switches ciphers, key exchanges, MACs,
 * versions or groups on or off; what is left is handed to OpenSSL by names.  Signatures, compression and kinds of
 * certificates are passed over.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/obj_mac.h>

#include "base/sb.h"
#include "base/sv.h"
#include "io/stream_int.h"
#include "io/tls.h"

#define NAMES_MAX	16384
#define ALL		UINT32_MAX

enum field { CIPHER, KX, MAC, VERSION, GROUP, FIELDS };

struct priorities {
	uint32_t	 on[FIELDS];
	bool		 groups;	/* they were named */
	uint64_t	 options;	/* SSL_OP_... */
	int		 level;		/* of security; -1: the library's own */
};

static const struct { const char *name; int nid; } ciphers[] = {
	{ "AES-256-GCM", NID_aes_256_gcm }, { "AES-256-CCM", NID_aes_256_ccm },
	{ "AES-256-CBC", NID_aes_256_cbc }, { "CHACHA20-POLY1305", NID_chacha20_poly1305 },
	{ "AES-128-GCM", NID_aes_128_gcm },
	{ "AES-128-CCM", NID_aes_128_ccm }, { "AES-128-CBC", NID_aes_128_cbc },
	/* Not in NORMAL. */
	{ "CAMELLIA-256-CBC", NID_camellia_256_cbc }, { "CAMELLIA-128-CBC", NID_camellia_128_cbc },
};
#define NORMAL_CIPHERS	0x7fU
#define STRONG_CIPHERS	0x0fU

static const struct { const char *name; int kx, auth; } exchanges[] = {
	{ "ECDHE-ECDSA", NID_kx_ecdhe, NID_auth_ecdsa }, { "ECDHE-RSA", NID_kx_ecdhe, NID_auth_rsa },
	{ "DHE-RSA", NID_kx_dhe, NID_auth_rsa }, { "RSA", NID_kx_rsa, NID_auth_rsa },
};
#define SECRET_EXCHANGES 0x7U

static const struct { const char *name; int nid; } macs[] = {
	{ "AEAD", NID_undef }, { "SHA1", NID_sha1 },
	/* Not in NORMAL. */
	{ "SHA256", NID_sha256 }, { "SHA384", NID_sha384 },
};
#define NORMAL_MACS	0x3U
#define STRONG_MACS	0x1U

static const struct { const char *name; int version; } versions[] = {
	{ "VERS-TLS1.2", TLS1_2_VERSION }, { "VERS-TLS1.3", TLS1_3_VERSION },
};
static const struct { const char *name, *ours; } groups[] = {
	{ "X25519", "X25519" }, { "SECP256R1", "P-256" }, { "SECP384R1", "P-384" }, { "SECP521R1", "P-521" },
	{ "X448", "X448" }, { "FFDHE2048", "ffdhe2048" }, { "FFDHE3072", "ffdhe3072" }, { "FFDHE4096", "ffdhe4096" },
	{ "FFDHE6144", "ffdhe6144" },
	{ "FFDHE8192", "ffdhe8192" },
};
#define EC_GROUPS	0x1fU
#define STRONG_GROUPS	0x20cU
#define COUNT(t)	(sizeof(t) / sizeof((t)[0]))

/* ---- words ---- */

static const struct { const char *name; uint32_t on[FIELDS]; } keywords[] = {
	{ "NORMAL",		{ NORMAL_CIPHERS, ALL, NORMAL_MACS, ALL, ALL } },
	{ "PERFORMANCE",	{ NORMAL_CIPHERS, ALL, NORMAL_MACS, ALL, ALL } },
	{ "LEGACY",		{ NORMAL_CIPHERS, ALL, NORMAL_MACS, ALL, ALL } },
	{ "SYSTEM",		{ NORMAL_CIPHERS, ALL, NORMAL_MACS, ALL, ALL } },
	{ "SECURE128",		{ NORMAL_CIPHERS, ALL, NORMAL_MACS, ALL, ALL } },
	{ "SECURE192",		{ STRONG_CIPHERS, ALL, STRONG_MACS, ALL, STRONG_GROUPS } },
	{ "SECURE256",		{ STRONG_CIPHERS, ALL, STRONG_MACS, ALL, STRONG_GROUPS } },
	{ "SECURE",		{ NORMAL_CIPHERS, ALL, NORMAL_MACS, ALL, ALL } },
	{ "PFS",		{ NORMAL_CIPHERS, SECRET_EXCHANGES, NORMAL_MACS, ALL, ALL } },
	{ "SUITEB128",		{ 0x11, 0x1, 0x1, 0x1, 0x6 } },
	{ "SUITEB192",		{ 0x01, 0x1, 0x1, 0x1, 0x4 } },
	{ "NONE",		{ 0, 0, 0, 0, 0 } },
};

/* What switches many things: on those that are usual, off all. */
static const struct { const char *name; enum field field; uint32_t on, off; } many[] = {
	{ "CIPHER-ALL", CIPHER, NORMAL_CIPHERS, ALL }, { "KX-ALL", KX, ALL, ALL }, { "MAC-ALL", MAC, NORMAL_MACS, ALL },
	{ "VERS-ALL", VERSION, ALL, ALL }, { "VERS-TLS-ALL", VERSION, ALL, ALL }, { "GROUP-ALL", GROUP, ALL, ALL },
	{ "CURVE-ALL", GROUP, ALL, ALL }, { "GROUP-EC-ALL", GROUP, EC_GROUPS, EC_GROUPS },
	{ "GROUP-DH-ALL", GROUP, ~EC_GROUPS, ~EC_GROUPS },
};

static const struct { const char *name; uint64_t options; int level; } switches[] = {
	{ "%SERVER_PRECEDENCE", SSL_OP_CIPHER_SERVER_PREFERENCE, -1 }, { "%NO_TICKETS", SSL_OP_NO_TICKET, -1 },
	{ "%NO_ETM", SSL_OP_NO_ENCRYPT_THEN_MAC, -1 }, { "%NO_SESSION_HASH", SSL_OP_NO_EXTENDED_MASTER_SECRET, -1 },
	{ "%PROFILE_LOW", 0, 1 }, { "%PROFILE_LEGACY", 0, 1 }, { "%PROFILE_MEDIUM", 0, 2 },
	{ "%PROFILE_HIGH", 0, 3 }, { "%PROFILE_ULTRA", 0, 4 },
};

/* Words of GnuTLS that change nothing here, by their beginnings. */
static const char *const idle[] = {
	"SIGN-", "COMP-", "CTYPE-", "VERS-DTLS", "%COMPAT", "%NO_EXTENSIONS", "%SAFE_RENEGOTIATION",
	"%DISABLE_SAFE_RENEGOTIATION", "%PARTIAL_RENEGOTIATION", "%LATEST_RECORD_VERSION",
	"%SSL3_RECORD_VERSION", "%STATELESS_COMPRESSION", "%VERIFY_ALLOW_",
	"%DISABLE_WILDCARDS", "%ALLOW_SMALL_RECORDS", "%DUMBFW", "%FALLBACK_SCSV",
	"%FORCE_ETM", "%FORCE_SESSION_HASH", "%KEYID_",
	"%NO_AUTO_REKEY", "%NO_TICKETS_TLS12", "%NO_SHUFFLE_EXTENSIONS", "%DISABLE_TLS13_COMPAT_MODE", "%NO_STATUS_REQUEST",
};

/* What it knows and we do not offer. */
static const char *const absent[] = {
	"VERS-SSL3.0", "VERS-TLS1.0", "VERS-TLS1.1", "3DES-CBC", "ARCFOUR-128", "ARCFOUR-40", "NULL",
	"AES-192-CBC", "AES-192-GCM", "AES-128-CCM-8", "AES-256-CCM-8", "CAMELLIA-128-GCM", "CAMELLIA-192-CBC",
	"CAMELLIA-192-GCM", "CAMELLIA-256-GCM", "GOST", "DHE-DSS", "PSK", "DHE-PSK", "ECDHE-PSK", "RSA-PSK", "SRP", "ANON-",
	"RSA-EXPORT", "MD5", "SHA512", "UMAC", "CURVE-", "GROUP-", "%UNSAFE_RENEGOTIATION",
};

static bool
begins(struct sv v, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (sv_casestarts(v, names[i]))
			return (true);
	return (false);
}

static void
turn(struct priorities *p, enum field f, uint32_t bits, bool on)
{
	if (on)
		p->on[f] |= bits;
	else
		p->on[f] &= ~bits;
	p->groups = p->groups || f == GROUP;
}

/* One of the things that have a name each. */
static bool
single(struct priorities *p, struct sv v, bool on)
{
	struct sv group = sv_casestarts(v, "GROUP-") || sv_casestarts(v, "CURVE-") ? sv_sub(v, 6, v.len) : SV_NULL;

#define LOOK(table, field, what)					\
	for (size_t i = 0; i < COUNT(table); i++)			\
		if (sv_caseeqs(what, (table)[i].name)) {		\
			turn(p, field, 1u << i, on);			\
			return (true);					\
		}
	LOOK(ciphers, CIPHER, v)
	LOOK(exchanges, KX, v)
	LOOK(macs, MAC, v)
	LOOK(versions, VERSION, v)
	LOOK(groups, GROUP, group)
#undef LOOK
	for (size_t i = 0; i < COUNT(many); i++)
		if (sv_caseeqs(v, many[i].name)) {
			turn(p, many[i].field, on ? many[i].on : many[i].off, on);
			return (true);
		}
	return (false);
}

static bool
keyword(struct priorities *p, struct sv v, bool on)
{
	for (size_t i = 0; i < COUNT(keywords); i++)
		if (sv_caseeqs(v, keywords[i].name)) {
			for (int f = 0; f < FIELDS; f++)
				p->on[f] = on ? p->on[f] | keywords[i].on[f] : p->on[f] & ~keywords[i].on[f];
			p->groups = p->groups || (keywords[i].on[GROUP] != ALL && keywords[i].on[GROUP] != 0);
			return (true);
		}
	return (false);
}

/* 0 understood, 1 known but not here, -1 unknown. */
static int
word(struct priorities *p, struct sv v)
{
	bool off = v.p[0] == '-' || v.p[0] == '!', on = v.p[0] == '+';
	struct sv name = off || on ? sv_sub(v, 1, v.len) : v;

	if (name.len > 0 && name.p[0] == '@')
		name = SV_LIT("SYSTEM");
	for (size_t i = 0; i < COUNT(switches); i++)
		if (sv_caseeqs(name, switches[i].name)) {
			p->options |= switches[i].options;
			p->level = switches[i].level >= 0 ? switches[i].level : p->level;
			return (0);
		}
	if (keyword(p, name, !off) || single(p, name, !off) || begins(name, idle, COUNT(idle)))
		return (0);
	/* What is taken away is not there anyhow. */
	return (begins(name, absent, COUNT(absent)) ? !off : -1);
}

static int
read_words(struct priorities *p, struct sv list, void (*told)(void *arg, struct sv word, bool known), void *arg)
{
	struct sv one;
	int bad = 0, r;

	*p = (struct priorities){ .level = -1 };
	while (sv_next(&list, ':', &one)) {
		one = sv_trim(one);
		if (one.len == 0 || (r = word(p, one)) == 0)
			continue;
		if (told != NULL)
			told(arg, one, r == 1);
		bad |= r == -1;
	}
	return (bad ? -1 : 0);
}

/* ---- for OpenSSL ---- */

static bool
has(const struct priorities *p, enum field f, size_t i)
{
	return ((p->on[f] & 1u << i) != 0);
}

static bool
allowed(const struct priorities *p, const SSL_CIPHER *c)
{
	int nid = SSL_CIPHER_get_cipher_nid(c), kx = SSL_CIPHER_get_kx_nid(c), auth = SSL_CIPHER_get_auth_nid(c);
	int mac = SSL_CIPHER_is_aead(c) ? NID_undef : SSL_CIPHER_get_digest_nid(c);
	bool cipher_ok = false, kx_ok = kx == NID_kx_any, mac_ok = false;

	/* Those with a tag of eight bytes have the same numbers as the others. */
	if (strstr(SSL_CIPHER_get_name(c), "CCM8") != NULL)
		return (false);
	for (size_t i = 0; i < COUNT(ciphers); i++)
		cipher_ok = cipher_ok || (ciphers[i].nid == nid && has(p, CIPHER, i));
	for (size_t i = 0; i < COUNT(exchanges); i++)
		kx_ok = kx_ok || (exchanges[i].kx == kx && exchanges[i].auth == auth && has(p, KX, i));
	for (size_t i = 0; i < COUNT(macs); i++)
		mac_ok = mac_ok || (macs[i].nid == mac && has(p, MAC, i));
	return (cipher_ok && kx_ok && mac_ok);
}

static void
put(struct sb *to, const char *name)
{
	if (to->len > 0)
		sb_addc(to, ':');
	sb_adds(to, name);
}

/* The names of what is allowed, those of TLS 1.3 apart. */
static int
collect(const struct priorities *p, struct sb *old, struct sb *suites)
{
	SSL_CTX *all = SSL_CTX_new(TLS_method());
	STACK_OF(SSL_CIPHER) *v;

	if (all == NULL)
		return (-1);
	(void)SSL_CTX_set_ciphersuites(all, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:"
	    "TLS_AES_128_CCM_SHA256");
	(void)SSL_CTX_set_cipher_list(all, "ALL:!aNULL:!eNULL:!PSK:!SRP");
	v = SSL_CTX_get_ciphers(all);
	for (int i = 0; i < sk_SSL_CIPHER_num(v); i++) {
		const SSL_CIPHER *c = sk_SSL_CIPHER_value(v, i);

		if (allowed(p, c))
			put(SSL_CIPHER_get_kx_nid(c) == NID_kx_any ? suites : old, SSL_CIPHER_get_name(c));
	}
	SSL_CTX_free(all);
	return (0);
}

static bool
apply(SSL_CTX *ctx, const struct priorities *p, const char *old, const char *suites)
{
	bool v12 = has(p, VERSION, 0) && old[0] != '\0', v13 = has(p, VERSION, 1) && suites[0] != '\0';
	struct sb curves = SB_INIT(1000);
	bool ok = v12 || v13;

	for (size_t i = 0; i < COUNT(groups); i++)
		if (has(p, GROUP, i))
			put(&curves, groups[i].ours);
	if (p->level >= 0)
		SSL_CTX_set_security_level(ctx, p->level);
	(void)SSL_CTX_set_options(ctx, p->options);
	if (v12 != v13)
		ok = SSL_CTX_set_min_proto_version(ctx, v12 ? TLS1_2_VERSION : TLS1_3_VERSION) == 1 &&
		    SSL_CTX_set_max_proto_version(ctx, v12 ? TLS1_2_VERSION : TLS1_3_VERSION) == 1;
	ok = ok && (!v12 || SSL_CTX_set_cipher_list(ctx, old) == 1) &&
	    (!v13 || SSL_CTX_set_ciphersuites(ctx, suites) == 1) &&
	    (!p->groups || SSL_CTX_set1_groups_list(ctx, sb_cstr(&curves)) == 1);
	sb_free(&curves);
	return (ok);
}

bool
tls_priorities_are(struct sv list)
{
	struct sv first;

	if (list.len > 0 && list.p[0] == '@')
		return (true);
	if (!sv_next(&list, ':', &first))
		return (false);
	for (size_t i = 0; i < COUNT(keywords); i++)
		if (sv_caseeqs(first, keywords[i].name))
			return (true);
	return (false);
}

bool
tls_priorities_use(SSL_CTX *ctx, struct sv list)
{
	struct sb old = SB_INIT(NAMES_MAX), suites = SB_INIT(NAMES_MAX);
	struct priorities p;
	bool ok;

	ok = read_words(&p, list, NULL, NULL) == 0 && collect(&p, &old, &suites) == 0 &&
	    apply(ctx, &p, sb_cstr(&old), sb_cstr(&suites));
	sb_free(&old);
	sb_free(&suites);
	return (ok);
}

void
tls_priorities_check(struct sv list, void (*told)(void *arg, struct sv word, bool known), void *arg)
{
	struct priorities p;

	if (tls_priorities_are(list))
		(void)read_words(&p, list, told, arg);
}
