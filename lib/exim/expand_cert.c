/* SPDX-License-Identifier: BSD-2-Clause */
/* Fields of certificates for ${certextract (manual 11.5): pure, over OpenSSL's parsed certificate. */
#include "exim/expand_int.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <stdlib.h>
#include <time.h>

#define PIECES_MAX	100

/* What stands behind the field's name: "int", a type, ">" and a separator. */
struct how {
	struct sv	 type;
	char		 sep;
	bool		 integer;
};

static enum exim_result
give(struct xev *e, const char *p, size_t len, struct sv *out)
{
	*out = sv_taint(arena_sv(e->env->arena, sv_from(p, len)));
	return (EXIM_OK);
}

/* Take what a memory BIO gathered. */
static enum exim_result
give_bio(struct xev *e, BIO *bio, struct sv *out)
{
	char *p = NULL;
	long n = BIO_get_mem_data(bio, &p);

	if (n > 0)
		(void)give(e, p, (size_t)n, out);
	(void)BIO_free(bio);
	return (EXIM_OK);
}

static void
add_piece(struct xb *b, const struct how *h, const char *tag, struct sv v)
{
	if (b->len > 0)
		xb_addc(b, h->sep);
	if (tag != NULL) {
		xb_adds(b, tag);
		xb_addc(b, '=');
	}
	for (size_t i = 0; i < v.len; i++) {
		xb_addc(b, v.p[i]);
		if (v.p[i] == h->sep)
			xb_addc(b, h->sep);
	}
	b->tainted = true;
}

static struct sv
asn1_text(const ASN1_STRING *s)
{
	return (sv_from((const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)));
}

/* A distinguished name as RFC 4514 writes it, or the elements of one type as a list. */
static enum exim_result
dn(struct xev *e, const X509_NAME *name, const struct how *h, struct sv *out)
{
	struct xb b;
	BIO *bio;

	if (h->type.len == 0) {
		bio = BIO_new(BIO_s_mem());
		if (bio == NULL || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) < 0)
			return (EXIM_OK);
		return (give_bio(e, bio, out));
	}
	xb_init(&b, e->env->arena, 64);
	for (int i = 0; i < X509_NAME_entry_count(name) && i < PIECES_MAX; i++) {
		X509_NAME_ENTRY *en = X509_NAME_get_entry(name, i);
		const char *sn = OBJ_nid2sn(OBJ_obj2nid(X509_NAME_ENTRY_get_object(en)));

		if (sn != NULL && sv_caseeqs(h->type, sn))
			add_piece(&b, h, NULL, asn1_text(X509_NAME_ENTRY_get_data(en)));
	}
	if (b.len > 0)
		*out = xb_sv(&b);
	return (EXIM_OK);
}

static enum exim_result
when(struct xev *e, const ASN1_TIME *t, const struct how *h, struct sv *out)
{
	char buf[64];
	struct tm tm;
	time_t at;

	memset(&tm, 0, sizeof(tm));
	if (t == NULL || ASN1_TIME_to_tm(t, &tm) != 1)
		return (EXIM_OK);
	at = timegm(&tm);
	if (h->integer) {
		*out = x_int(e, (int64_t)at);
		return (EXIM_OK);
	}
	if (e->env->g != NULL && e->env->g->timezone_utc)
		(void)gmtime_r(&at, &tm);
	else
		(void)localtime_r(&at, &tm);
	return (give(e, buf, strftime(buf, sizeof(buf), "%b %e %T %Y %z", &tm), out));
}

static enum exim_result
give_hex(struct xev *e, const unsigned char *p, size_t n, struct sv *out)
{
	char *text = arena_alloc(e->env->arena, 2 * n + 1);

	x_hex(p, n, false, text);
	*out = sv_taint(sv_from(text, 2 * n));
	return (EXIM_OK);
}

static enum exim_result
serial(struct xev *e, X509 *cert, struct sv *out)
{
	const ASN1_INTEGER *n = X509_get0_serialNumber(cert);

	return (give_hex(e, ASN1_STRING_get0_data(n), (size_t)ASN1_STRING_length(n), out));
}

static enum exim_result
signature(struct xev *e, X509 *cert, bool algorithm, struct sv *out)
{
	const ASN1_BIT_STRING *sig = NULL;
	const X509_ALGOR *alg = NULL;
	const char *name;

	X509_get0_signature(&sig, &alg, cert);
	if (!algorithm)
		return (sig == NULL ? EXIM_OK : give_hex(e, ASN1_STRING_get0_data(sig), (size_t)ASN1_STRING_length(sig), out));
	name = alg == NULL ? NULL : OBJ_nid2sn(OBJ_obj2nid(alg->algorithm));
	return (name == NULL ? EXIM_OK : give(e, name, strlen(name), out));
}

static enum exim_result
altnames(struct xev *e, X509 *cert, const struct how *h, struct sv *out)
{
	static const struct { int type; const char *tag, *word; } t[] = {
		{ GEN_DNS, "DNS", "dns" }, { GEN_URI, "URI", "uri" }, { GEN_EMAIL, "MAIL", "mail" }
	};
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	struct xb b;

	xb_init(&b, e->env->arena, 64);
	for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names) && i < PIECES_MAX; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);

		for (size_t k = 0; k < 3; k++)
			if (g->type == t[k].type && (h->type.len == 0 || sv_caseeqs(h->type, t[k].word)))
				add_piece(&b, h, h->type.len == 0 ? t[k].tag : NULL, asn1_text(g->d.ia5));
	}
	GENERAL_NAMES_free(names);
	if (b.len > 0)
		*out = xb_sv(&b);
	return (EXIM_OK);
}

static enum exim_result
ocsp_uris(struct xev *e, X509 *cert, const struct how *h, struct sv *out)
{
	AUTHORITY_INFO_ACCESS *aia = X509_get_ext_d2i(cert, NID_info_access, NULL, NULL);
	struct xb b;

	xb_init(&b, e->env->arena, 64);
	for (int i = 0; aia != NULL && i < sk_ACCESS_DESCRIPTION_num(aia) && i < PIECES_MAX; i++) {
		const ACCESS_DESCRIPTION *d = sk_ACCESS_DESCRIPTION_value(aia, i);

		if (OBJ_obj2nid(d->method) == NID_ad_OCSP && d->location->type == GEN_URI)
			add_piece(&b, h, NULL, asn1_text(d->location->d.ia5));
	}
	AUTHORITY_INFO_ACCESS_free(aia);
	if (b.len > 0)
		*out = xb_sv(&b);
	return (EXIM_OK);
}

static enum exim_result
crl_uris(struct xev *e, X509 *cert, const struct how *h, struct sv *out)
{
	CRL_DIST_POINTS *pts = X509_get_ext_d2i(cert, NID_crl_distribution_points, NULL, NULL);
	struct xb b;

	xb_init(&b, e->env->arena, 64);
	for (int i = 0; pts != NULL && i < sk_DIST_POINT_num(pts) && i < PIECES_MAX; i++) {
		const DIST_POINT *p = sk_DIST_POINT_value(pts, i);

		if (p->distpoint == NULL || p->distpoint->type != 0)
			continue;
		for (int k = 0; k < sk_GENERAL_NAME_num(p->distpoint->name.fullname); k++) {
			const GENERAL_NAME *g = sk_GENERAL_NAME_value(p->distpoint->name.fullname, k);

			if (g->type == GEN_URI)
				add_piece(&b, h, NULL, asn1_text(g->d.ia5));
		}
	}
	CRL_DIST_POINTS_free(pts);
	if (b.len > 0)
		*out = xb_sv(&b);
	return (EXIM_OK);
}

/* <field> with its modifiers; *<out> keeps p NULL for what is not there. */
enum exim_result
x_cert_field(struct xev *e, void *x509, struct sv field, struct sv *out)
{
	struct how h = { .sep = '\n' };
	struct sv name = SV_NULL, piece;
	X509 *cert = x509;

	(void)sv_next(&field, ',', &name);
	while (sv_next(&field, ',', &piece)) {
		if (piece.len > 1 && piece.p[0] == '>')
			h.sep = piece.p[1];
		else if (sv_eqs(piece, "int"))
			h.integer = true;
		else
			h.type = piece;
	}
	name = sv_trim(name);
	if (sv_eqs(name, "version"))
		*out = x_int(e, X509_get_version(cert) + 1);
	else if (sv_eqs(name, "serial_number"))
		return (serial(e, cert, out));
	else if (sv_eqs(name, "subject"))
		return (dn(e, X509_get_subject_name(cert), &h, out));
	else if (sv_eqs(name, "issuer"))
		return (dn(e, X509_get_issuer_name(cert), &h, out));
	else if (sv_eqs(name, "notbefore"))
		return (when(e, X509_get0_notBefore(cert), &h, out));
	else if (sv_eqs(name, "notafter"))
		return (when(e, X509_get0_notAfter(cert), &h, out));
	else if (sv_eqs(name, "sig_algorithm") || sv_eqs(name, "signature"))
		return (signature(e, cert, name.len > 9, out));
	else if (sv_eqs(name, "subj_altname"))
		return (altnames(e, cert, &h, out));
	else if (sv_eqs(name, "ocsp_uri"))
		return (ocsp_uris(e, cert, &h, out));
	else if (sv_eqs(name, "crl_uri"))
		return (crl_uris(e, cert, &h, out));
	else
		return (x_fail(e, "bad field selector \"" SV_FMT "\" for certextract", SV_ARG(name)));
	return (EXIM_OK);
}
