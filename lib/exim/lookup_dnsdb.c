/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dnsdb lookup (manual 9.10 to 9.13): records of one or more names as text.  The
 * world gives records in wire format; their names are uncompressed.
 */
#include "exim/conf.h"
#include "exim/lookup_int.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"

#define CSA_SEARCH	5		/* domains above the one that is asked for */

enum pseudo { P_NONE, P_MXH, P_ZNS, P_CSA, P_APLUS };
enum { T_A = 1, T_NS = 2, T_CNAME = 5, T_SOA = 6, T_PTR = 12, T_MX = 15, T_TXT = 16, T_AAAA = 28, T_SRV = 33, T_TLSA = 52,
    T_SPF = 99 };
enum defer { DEFER_LAX, DEFER_STRICT, DEFER_NEVER };

static const struct dtype {
	const char	*name;
	int		 type;
	enum pseudo	 pseudo;
} dtypes[] = {
	{ "a", T_A, P_NONE }, { "a+", T_A, P_APLUS }, { "aaaa", T_AAAA, P_NONE }, { "cname", T_CNAME, P_NONE },
	{ "csa", T_SRV, P_CSA }, { "mx", T_MX, P_NONE }, { "mxh", T_MX, P_MXH }, { "ns", T_NS, P_NONE }, { "ptr", T_PTR, P_NONE },
	{ "soa", T_SOA, P_NONE }, { "spf", T_SPF, P_NONE }, { "srv", T_SRV, P_NONE }, { "tlsa", T_TLSA, P_NONE },
	{ "txt", T_TXT, P_NONE }, { "zns", T_NS, P_ZNS }
};

struct query {
	struct xb	 out;
	char		 sep;		/* between records */
	int		 sep2;		/* between fields: -1 default, 0 none (";"), else the character */
	enum defer	 defer;
	bool		 secure_only;
	const struct dtype *type;
	bool		 any;		/* something was found */
	bool		 failed;	/* a name gave no answer now */
	bool		 parent;	/* CSA: a domain above the asked one answered */
};

/* --- records as text --- */

/* A name in wire format; *<off> moves behind it.  False: malformed. */
static bool
wire_name(struct sv r, size_t *off, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	while (*off < r.len) {
		size_t len = (uint8_t)r.p[(*off)++];

		if (len == 0)
			return (true);
		if (len > 63 || *off + len > r.len || n + len + 2 > size)
			return (false);
		if (n > 0)
			buf[n++] = '.';
		memcpy(buf + n, r.p + *off, len);
		n += len;
		buf[n] = '\0';
		*off += len;
	}
	return (false);
}

static unsigned
be16(struct sv r, size_t off)
{
	return (off + 2 > r.len ? 0 : (unsigned)(uint8_t)r.p[off] << 8 | (uint8_t)r.p[off + 1]);
}

static unsigned long
be32(struct sv r, size_t off)
{
	return ((unsigned long)be16(r, off) << 16 | be16(r, off + 2));
}

/* TXT: the first string, or all with a separator or none between. */
static void
add_txt(struct query *q, struct sv r)
{
	bool all = q->sep2 >= 0 || q->type->type == T_SPF, first = true;
	size_t off = 0;

	while (off < r.len && (first || all)) {
		size_t len = (uint8_t)r.p[off++];

		if (off + len > r.len)
			len = r.len - off;
		if (!first && q->sep2 > 0)
			xb_addc(&q->out, (char)q->sep2);
		xb_add(&q->out, sv_from(r.p + off, len));
		first = false;
		off += len;
	}
}

static void
add_soa(struct query *q, struct sv r)
{
	char a[256], b[256];
	size_t off = 0;
	char s = q->sep2 > 0 ? (char)q->sep2 : ' ';

	if (!wire_name(r, &off, a, sizeof(a)))
		return;
	xb_adds(&q->out, a);
	if (q->sep2 < 0 || !wire_name(r, &off, b, sizeof(b)))
		return;
	xb_addc(&q->out, s);
	xb_adds(&q->out, b);
	for (int i = 0; i < 5; i++)
		xb_fmt(&q->out, "%c%lu", s, be32(r, off + 4 * (size_t)i));
}

static void
add_tlsa(struct query *q, struct sv r, char s)
{
	if (r.len < 3)
		return;
	xb_fmt(&q->out, "%u%c%u%c%u%c", (uint8_t)r.p[0], s, (uint8_t)r.p[1], s, (uint8_t)r.p[2], s);
	for (size_t i = 3; i < r.len; i++)
		xb_fmt(&q->out, "%02x", (uint8_t)r.p[i]);
}

/* What stands before the name: preference, priority ... */
static void
add_named(struct query *q, int type, struct sv r, char s)
{
	char name[256];
	size_t off = type == T_MX ? 2 : type == T_SRV ? 6 : 0;

	if (!wire_name(r, &off, name, sizeof(name)))
		return;
	if (type == T_MX && q->type->pseudo != P_MXH)
		xb_fmt(&q->out, "%u%c", be16(r, 0), s);
	else if (type == T_SRV && q->type->pseudo == P_CSA) {
		/* Weight 1: not authorised, 2: authorised.  Bit 0 of the port is about what stands below: who has no record is not. */
		unsigned weight = be16(r, 2);
		char code = weight == 2 ? 'Y' : weight == 1 ? 'N' : '?';

		if (q->parent)
			code = be16(r, 4) & 1 ? 'X' : '?';
		xb_fmt(&q->out, "%c%c", code, s);
	} else if (type == T_SRV)
		xb_fmt(&q->out, "%u%c%u%c%u%c", be16(r, 0), s, be16(r, 2), s, be16(r, 4), s);
	xb_adds(&q->out, name);
}

static void
add_record(struct query *q, int type, struct sv r)
{
	char buf[INET6_ADDRSTRLEN], s = q->sep2 > 0 ? (char)q->sep2 : ' ';

	if (q->any)
		xb_addc(&q->out, q->sep);
	q->any = true;
	switch (type) {
	case T_A:
		if (r.len == 4)
			xb_adds(&q->out, inet_ntop(AF_INET, r.p, buf, sizeof(buf)));
		break;
	case T_AAAA:
		if (r.len == 16)
			xb_adds(&q->out, inet_ntop(AF_INET6, r.p, buf, sizeof(buf)));
		break;
	case T_TXT:
	case T_SPF:
		add_txt(q, r);
		break;
	case T_SOA:
		add_soa(q, r);
		break;
	case T_TLSA:
		add_tlsa(q, r, s);
		break;
	default:
		add_named(q, type, r, s);
		break;
	}
}

/* --- asking --- */

static bool
ask(struct xev *e, const char *name, int type, struct exim_dns *a)
{
	const struct exim_world *w = e->env->world;

	memset(a, 0, sizeof(*a));
	if (w->dns == NULL || w->dns(w->arg, name, type, e->env->arena, a) == -1)
		a->result = EXIM_DNS_TEMPFAIL;
	return (a->result == EXIM_DNS_FOUND && a->n > 0);
}

/* Client SMTP authorization (44.52): the name itself, else what a domain above it says of all below, but no top level domain. */
static void
ask_csa(struct xev *e, struct query *q, const char *name, struct exim_dns *a)
{
	const struct exim_conf *c = e->env->conf;
	int64_t limit = c == NULL ? CSA_SEARCH : exim_main_int(c, EXIM_MAIN_dns_csa_search_limit);

	for (int64_t i = 0;; i++) {
		const char *dot = strchr(name, '.');

		q->parent = i > 0;
		if (ask(e, arena_fmt(e->env->arena, "_client._smtp.%s", name), T_SRV, a) || a->result == EXIM_DNS_TEMPFAIL)
			return;
		if (i >= limit || dot == NULL || strchr(dot + 1, '.') == NULL)
			return;
		name = dot + 1;
	}
}

/* ZNS and SOA go up the tree while nothing is found; CSA has its own way. */
static void
ask_special(struct xev *e, struct query *q, const char *name, int type, struct exim_dns *a)
{
	if (q->type->pseudo == P_CSA) {
		ask_csa(e, q, name, a);
		return;
	}
	for (;;) {
		const char *dot = strchr(name, '.');

		if (ask(e, name, type, a) || (q->type->pseudo != P_ZNS && type != T_SOA))
			return;
		if (a->result == EXIM_DNS_TEMPFAIL || dot == NULL)
			return;
		name = dot + 1;
	}
}

static enum exim_result
one_type(struct xev *e, struct query *q, const char *name, int type)
{
	struct exim_dns a;

	ask_special(e, q, name, type, &a);
	e->env->lookup_dnssec_set = true;
	e->env->lookup_dnssec = a.secure;
	if (a.result == EXIM_DNS_NODATA || a.result == EXIM_DNS_NXDOMAIN || (a.result == EXIM_DNS_FOUND && a.n == 0))
		return (EXIM_OK);
	if (a.result == EXIM_DNS_TEMPFAIL || (q->secure_only && !a.secure)) {
		if (q->defer == DEFER_STRICT)
			return (x_defer(e, "%s", ""));
		q->failed |= q->defer == DEFER_LAX;
		return (EXIM_OK);
	}
	for (size_t i = 0; i < a.n && i < 1000; i++)
		add_record(q, type, a.rdata[i]);
	return (EXIM_OK);
}

static bool
csa_reverse(struct xev *e)
{
	return (e->env->conf == NULL || exim_main_bool(e->env->conf, EXIM_MAIN_dns_csa_use_reverse));
}

static enum exim_result
one_name(struct xev *e, struct query *q, struct sv domain)
{
	const char *name = x_cstr(e, domain);
	struct net_addr addr;
	char rev[128];
	enum exim_result r;

	if ((q->type->type == T_PTR || (q->type->pseudo == P_CSA && csa_reverse(e))) && net_addr_parse(domain, &addr)) {
		net_addr_reverse(&addr, NULL, rev, sizeof(rev));
		name = arena_str(e->env->arena, rev);
	}
	if (*name == '\0' || strlen(name) > 253)
		return (EXIM_OK);
	/* No name server can be asked for an empty label. */
	if (strstr(name, "..") != NULL) {
		if (q->defer == DEFER_STRICT)
			return (x_defer(e, "%s", ""));
		q->failed |= q->defer == DEFER_LAX;
		return (EXIM_OK);
	}
	if (q->type->pseudo == P_APLUS && (r = one_type(e, q, name, T_AAAA)) != EXIM_OK)
		return (r);
	return (one_type(e, q, name, q->type->type));
}

/* --- the query's text --- */

static struct sv
skip_space(struct sv v)
{
	while (v.len > 0 && sv_isspace(v.p[0]))
		v = sv_sub(v, 1, v.len);
	return (v);
}

static void
separators(struct query *q, struct sv *v)
{
	q->sep = '\n';
	q->sep2 = -1;
	*v = skip_space(*v);
	if (v->len < 2 || v->p[0] != '>')
		return;
	q->sep = v->p[1];
	*v = sv_sub(*v, 2, v->len);
	if (v->len > 1 && v->p[0] == ',') {
		q->sep2 = (uint8_t)v->p[1];
		*v = sv_sub(*v, 2, v->len);
	} else if (v->len > 0 && v->p[0] == ';') {
		q->sep2 = 0;
		*v = sv_sub(*v, 1, v->len);
	}
	*v = skip_space(*v);
}

/* One "word," before the type; NULL, or what is wrong with it. */
static const char *
modifier(struct query *q, struct sv w)
{
	int64_t n;

	if (sv_casestarts(w, "defer_")) {
		w = sv_sub(w, 6, w.len);
		if (sv_caseeqs(w, "strict"))
			q->defer = DEFER_STRICT;
		else if (sv_caseeqs(w, "lax"))
			q->defer = DEFER_LAX;
		else if (sv_caseeqs(w, "never"))
			q->defer = DEFER_NEVER;
		else
			return ("unsupported dnsdb defer behaviour");
	} else if (sv_casestarts(w, "dnssec_")) {
		w = sv_sub(w, 7, w.len);
		if (!sv_caseeqs(w, "strict") && !sv_caseeqs(w, "lax") && !sv_caseeqs(w, "never"))
			return ("unsupported dnsdb dnssec behaviour");
		q->secure_only = sv_caseeqs(w, "strict");
	} else if (sv_casestarts(w, "retrans_")) {
		if (!num_parse_time(sv_sub(w, 8, w.len), &n))
			return ("unsupported dnsdb timeout value");
	} else if (sv_casestarts(w, "retry_") && !num_parse(sv_sub(w, 6, w.len), 0, 1000, &n))
		return ("unsupported dnsdb retry count");
	return (NULL);
}

static bool
is_modifier(struct sv v)
{
	return (sv_casestarts(v, "defer_") || sv_casestarts(v, "dnssec_") || sv_casestarts(v, "retrans_") ||
	    sv_casestarts(v, "retry_"));
}

static const char *
parse_type(struct query *q, struct sv *v)
{
	ptrdiff_t eq = sv_chr(*v, '=');
	struct sv name;

	q->type = &dtypes[13];
	if (eq < 0)
		return (NULL);
	name = sv_trim(sv_sub(*v, 0, (size_t)eq));
	for (size_t i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++)
		if (sv_caseeqs(name, dtypes[i].name)) {
			q->type = &dtypes[i];
			*v = skip_space(sv_sub(*v, (size_t)eq + 1, v->len));
			return (NULL);
		}
	return ("unsupported DNS record type");
}

X_LOOKUP(xl_dnsdb)
{
	struct query q = { .defer = DEFER_LAX };
	struct sv v = l->key, domain;
	enum exim_result r = EXIM_OK;
	struct net_addr addr;
	const char *wrong;
	int sep = 0;

	separators(&q, &v);
	while (is_modifier(v)) {
		ptrdiff_t comma = sv_chr(v, ',');

		wrong = modifier(&q, sv_sub(v, 0, comma < 0 ? v.len : (size_t)comma));
		if (wrong != NULL)
			return (x_defer(e, "%s", wrong));
		v = comma < 0 ? SV_NULL : skip_space(sv_sub(v, (size_t)comma + 1, v.len));
	}
	if ((wrong = parse_type(&q, &v)) != NULL)
		return (x_defer(e, "%s", wrong));
	xb_init(&q.out, e->env->arena, 128);
	/* A lone IPv6 address needs no doubled colons. */
	if (q.type->type == T_PTR && v.len > 0 && v.p[0] != '<' && net_addr_parse(v, &addr))
		r = one_name(e, &q, v);
	else
		while (r == EXIM_OK && exim_list_next(&v, &sep, e->env->arena, &domain))
			r = one_name(e, &q, domain);
	if (r != EXIM_OK)
		return (r);
	if (!q.any && q.failed)
		return (x_defer(e, "%s", ""));
	*found = q.any;
	*out = xb_sv(&q.out);
	return (EXIM_OK);
}
