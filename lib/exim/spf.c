/* SPDX-License-Identifier: BSD-2-Clause */
/* SPF as in RFC 7208; sections are those of that RFC. */
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/sb.h"
#include "exim/spf.h"

#define TYPE_A		1
#define TYPE_PTR	12
#define TYPE_MX		15
#define TYPE_TXT	16
#define TYPE_AAAA	28

#define LOOKUPS_MAX	10	/* 4.6.4 */
#define VOIDS_MAX	2
#define NAMES_MAX	10
#define NAME_MAX_	253
#define RECORD_MAX	4096
#define TERMS_MAX	200

struct spf {
	struct exim_env	*env;
	const struct exim_spf_query *q;
	struct sv	 local, sender_domain, sender;
	unsigned	 lookups, voids;
	struct sv	 explanation;
	/* The client's names are asked for once: "%{p}" may stand a thousand times in a record. */
	bool		 named;
	struct sv	 name[NAMES_MAX];
	enum { LEADS_UNKNOWN, LEADS_YES, LEADS_NO } leads[NAMES_MAX];
	size_t		 nnames;
};

/* A mechanism or modifier of a record. */
struct term {
	enum { T_ALL, T_INCLUDE, T_A, T_MX, T_PTR, T_IP4, T_IP6, T_EXISTS, T_REDIRECT, T_EXP, T_OTHER } kind;
	enum exim_spf	 result;
	struct sv	 domain;	/* domain-spec; p NULL: the current one */
	struct net_addr	 addr;
	unsigned	 cidr4, cidr6;
};

static enum exim_spf check_host(struct spf *p, struct sv domain, struct sv record, bool top);

const char *
exim_spf_name(enum exim_spf r)
{
	static const char *const names[EXIM_SPF_COUNT] = {
#define X(name, text)	text,
		EXIM_SPF_RESULTS(X)
#undef X
	};

	return (names[r]);
}

/* ---- DNS ---- */

/* An answer, counted (4.6.4); NULL: too many, or none can be had now, and *<r> says which. */
static const struct exim_dns *
ask(struct spf *p, struct sv name, int type, bool counted, enum exim_spf *r)
{
	const struct exim_world *w = p->env->world;
	struct exim_dns *d = arena_zalloc(p->env->arena, sizeof(*d));

	if (counted && ++p->lookups > LOOKUPS_MAX) {
		*r = EXIM_SPF_PERMERROR;
		return (NULL);
	}
	if (w->dns == NULL || w->dns(w->arg, arena_cstr(p->env->arena, name), type, p->env->arena, d) == -1 ||
	    d->result == EXIM_DNS_TEMPFAIL) {
		*r = EXIM_SPF_TEMPERROR;
		return (NULL);
	}
	if (d->result != EXIM_DNS_FOUND)
		d->n = 0;
	if (d->n == 0 && counted && ++p->voids > VOIDS_MAX) {
		*r = EXIM_SPF_PERMERROR;
		return (NULL);
	}
	return (d);
}

/* A name in wire format at the start of <v>, as text; "" when it is damaged. */
static struct sv
wire_name(struct spf *p, struct sv v)
{
	struct sb sb = SB_INIT(1024);
	struct sv out;

	while (v.len > 0 && v.p[0] != '\0') {
		size_t n = (unsigned char)v.p[0];

		if (n > 63 || n + 1 > v.len)
			break;
		if (sb.len > 0)
			sb_addc(&sb, '.');
		sb_add(&sb, sv_sub(v, 1, n + 1));
		v = sv_sub(v, n + 1, v.len);
	}
	out = v.len > 0 && v.p[0] == '\0' && sv_chr(sb_sv(&sb), '\0') < 0 ? sv_taint(arena_sv(p->env->arena, sb_sv(&sb))) : SV_LIT("");
	sb_free(&sb);
	return (out);
}

/* The one record of <domain> that begins "v=spf1" (4.5). */
static enum exim_spf
find_record(struct spf *p, struct sv domain, struct sv *record)
{
	enum exim_spf r = EXIM_SPF_NONE;
	const struct exim_dns *d = ask(p, domain, TYPE_TXT, false, &r);
	struct sb sb = SB_INIT(RECORD_MAX);
	unsigned found = 0;

	for (size_t i = 0; d != NULL && i < d->n; i++) {
		struct sv v = d->rdata[i];

		sb_clear(&sb);
		while (v.len > 0) {
			size_t n = (unsigned char)v.p[0];

			sb_add(&sb, sv_sub(v, 1, n + 1));
			v = sv_sub(v, n + 1, v.len);
		}
		if (sb.overflow || !sv_casestarts(sb_sv(&sb), "v=spf1") || (sb.len > 6 && sb.p[6] != ' '))
			continue;
		found++;
		*record = sv_taint(arena_sv(p->env->arena, sb_sv(&sb)));
	}
	sb_free(&sb);
	return (d == NULL ? r : found == 0 ? EXIM_SPF_NONE : found > 1 ? EXIM_SPF_PERMERROR : EXIM_SPF_PASS);
}

/* ---- macros (7) ---- */

static void
put_dotted(const struct net_addr *a, struct sb *out)
{
	char text[NET_ADDR_TEXT_MAX];

	if (a->family == 4) {
		sb_adds(out, net_addr_text(a, text));
		return;
	}
	for (size_t i = 0; i < 16; i++)
		sb_addf(out, "%s%x.%x", i == 0 ? "" : ".", a->ip[i] >> 4, a->ip[i] & 15u);
}

/* Does <name> lead back to the client? */
static bool
is_clients(struct spf *p, struct sv name)
{
	const struct net_addr *c = &p->q->client;
	enum exim_spf r;
	const struct exim_dns *d = ask(p, name, c->family == 4 ? TYPE_A : TYPE_AAAA, false, &r);

	for (size_t i = 0; d != NULL && i < d->n; i++)
		if (d->rdata[i].len == (c->family == 4 ? 4 : 16) && memcmp(d->rdata[i].p, c->ip, d->rdata[i].len) == 0)
			return (true);
	return (false);
}

static bool
below(struct sv name, struct sv domain)
{
	return (sv_caseeq(name, domain) || (name.len > domain.len && name.p[name.len - domain.len - 1] == '.' &&
	    sv_caseeq(sv_sub(name, name.len - domain.len, name.len), domain)));
}

static void
find_names(struct spf *p)
{
	const struct exim_dns *d;
	char reverse[300];
	enum exim_spf r;

	p->named = true;
	net_addr_reverse(&p->q->client, p->q->client.family == 4 ? "in-addr.arpa" : "ip6.arpa", reverse, sizeof(reverse));
	d = ask(p, sv_cstr(reverse), TYPE_PTR, false, &r);
	for (size_t i = 0; d != NULL && i < d->n && i < NAMES_MAX; i++) {
		struct sv name = wire_name(p, d->rdata[i]);

		if (name.len > 0)
			p->name[p->nnames++] = name;
	}
}

/* A verified name of the client, one below <domain> if there is one (5.5, "p"). */
static struct sv
client_name(struct spf *p, struct sv domain, bool only_below)
{
	struct sv best = SV_LIT("");

	if (!p->named)
		find_names(p);
	for (size_t i = 0; i < p->nnames; i++) {
		struct sv name = p->name[i];

		if (only_below && !below(name, domain))
			continue;
		if (p->leads[i] == LEADS_UNKNOWN)
			p->leads[i] = is_clients(p, name) ? LEADS_YES : LEADS_NO;
		if (p->leads[i] == LEADS_NO)
			continue;
		if (below(name, domain))
			return (name);
		if (best.len == 0)
			best = name;
	}
	return (best);
}

static bool
macro_value(struct spf *p, char letter, struct sv domain, bool exp, struct sb *out)
{
	const struct net_addr *c = &p->q->client;
	char text[NET_ADDR_TEXT_MAX];
	struct sv v;

	switch (sv_lower(letter)) {
	case 's': sb_add(out, p->sender); return (true);
	case 'l': sb_add(out, p->local); return (true);
	case 'o': sb_add(out, p->sender_domain); return (true);
	case 'd': sb_add(out, domain); return (true);
	case 'i': put_dotted(c, out); return (true);
	case 'p':
		v = client_name(p, domain, false);
		sb_add(out, v.len > 0 ? v : SV_LIT("unknown"));
		return (true);
	case 'v': sb_adds(out, c->family == 4 ? "in-addr" : "ip6"); return (true);
	case 'h': sb_add(out, p->q->helo); return (true);
	case 'c': if (exp) sb_adds(out, net_addr_text(c, text)); return (exp);
	case 'r': if (exp) sb_add(out, p->env->g == NULL ? SV_LIT("unknown") : p->env->g->primary_hostname); return (exp);
	case 't':
		if (exp)
			sb_addf(out, "%lld", (long long)(p->env->world->now == NULL ? 0 :
			    p->env->world->now(p->env->world->arg, NULL)));
		return (exp);
	default:
		return (false);
	}
}

/* Split at the delimiters, turned round, the right-hand <keep> parts (0: all), joined by dots, %-quoted for URLs. */
static void
put_parts(struct sv v, const char *delim, bool reverse, int64_t keep, bool url, struct sb *out)
{
	struct sv part[128];
	size_t n = 0, start = 0, first;

	for (size_t i = 0; i <= v.len && n < 128; i++)
		if (i == v.len || strchr(delim, v.p[i]) != NULL) {
			part[n++] = sv_sub(v, start, i);
			start = i + 1;
		}
	first = keep > 0 && (size_t)keep < n ? n - (size_t)keep : 0;
	for (size_t i = first; i < n; i++) {
		struct sv w = part[reverse ? n - 1 - i : i];

		if (i > first)
			sb_addc(out, '.');
		for (size_t k = 0; k < w.len; k++)
			if (url && !sv_isalnum(w.p[k]) && strchr("-._~", w.p[k]) == NULL)
				sb_addf(out, "%%%02X", (unsigned char)w.p[k]);
			else
				sb_addc(out, w.p[k]);
	}
}

/* "{" LETTER [digits] ["r"] [delimiters] "}" at <i>; the offset behind it, 0 when malformed. */
static size_t
one_macro(struct spf *p, struct sv spec, size_t i, struct sv domain, bool exp, struct sb *out)
{
	struct sb value = SB_INIT(1024);
	char delim[10] = "", letter;
	int64_t keep = 0;
	size_t n = 0, digits;
	bool reverse = false, ok;

	if (i + 2 >= spec.len || spec.p[i] != '{')
		return (0);
	letter = spec.p[++i];
	ok = macro_value(p, letter, domain, exp, &value);
	for (digits = ++i; i < spec.len && sv_isdigit(spec.p[i]); i++)
		;
	if (i > digits && (!num_parse(sv_sub(spec, digits, i), 1, 128, &keep)))
		ok = false;
	if (i < spec.len && sv_lower(spec.p[i]) == 'r') {
		reverse = true;
		i++;
	}
	while (i < spec.len && strchr(".-+,/_=", spec.p[i]) != NULL && n < sizeof(delim) - 1)
		delim[n++] = spec.p[i++];
	ok = ok && i < spec.len && spec.p[i] == '}';
	if (ok)
		put_parts(sb_sv(&value), n == 0 ? "." : delim, reverse, keep, sv_lower(letter) != letter, out);
	sb_free(&value);
	return (ok ? i + 1 : 0);
}

static bool
expand(struct spf *p, struct sv spec, struct sv domain, bool exp, struct sv *result)
{
	struct sb out = SB_INIT(RECORD_MAX);
	bool ok = true;

	for (size_t i = 0; i < spec.len && ok;) {
		char c = spec.p[i], next = i + 1 < spec.len ? spec.p[i + 1] : '\0';

		if (c != '%') {
			sb_addc(&out, c);
			i++;
		} else if (next == '%' || next == '_' || next == '-') {
			sb_adds(&out, next == '%' ? "%" : next == '_' ? " " : "%20");
			i += 2;
		} else {
			i = one_macro(p, spec, i + 1, domain, exp, &out);
			ok = i > 0;
		}
	}
	ok = ok && !out.overflow;
	if (ok)
		*result = sv_taint(arena_sv(p->env->arena, sb_sv(&out)));
	/* A name that is too long loses labels on the left (7.3). */
	while (ok && !exp && result->len > NAME_MAX_ && sv_chr(*result, '.') >= 0)
		*result = sv_sub(*result, (size_t)sv_chr(*result, '.') + 1, result->len);
	sb_free(&out);
	return (ok);
}

/* ---- the grammar of records (4.6.1) ---- */

/* "/24", "//64", "/24//64" at the end of <v>; false when malformed. */
static bool
take_cidr(struct sv *v, struct term *t)
{
	ptrdiff_t slash = -1, two = sv_find(*v, SV_LIT("//"));
	int64_t n;

	/* A slash within a macro is none. */
	for (size_t i = v->len; i > 0 && (sv_isdigit(v->p[i - 1]) || v->p[i - 1] == '/'); i--)
		if (v->p[i - 1] == '/')
			slash = (ptrdiff_t)i - 1;
	t->cidr4 = 32;
	t->cidr6 = 128;
	if (slash < 0)
		return (two < 0);
	if (two >= slash) {
		if (!num_parse(sv_sub(*v, (size_t)two + 2, v->len), 0, 128, &n))
			return (false);
		t->cidr6 = (unsigned)n;
	} else {
		two = (ptrdiff_t)v->len;
	}
	if (slash < two) {
		if (!num_parse(sv_sub(*v, (size_t)slash + 1, (size_t)two), 0, 32, &n))
			return (false);
		t->cidr4 = (unsigned)n;
	}
	*v = sv_sub(*v, 0, (size_t)slash);
	return (true);
}

static bool
take_ip(struct sv v, struct term *t, int family)
{
	ptrdiff_t slash = sv_chr(v, '/');
	unsigned max = family == 4 ? 32 : 128;
	int64_t n = max;

	if (slash >= 0 && !num_parse(sv_sub(v, (size_t)slash + 1, v.len), 0, max, &n))
		return (false);
	t->cidr4 = t->cidr6 = (unsigned)n;
	return (net_addr_parse(slash < 0 ? v : sv_sub(v, 0, (size_t)slash), &t->addr) && t->addr.family == family);
}

/* Macros are well formed when they expand. */
static bool
spec_ok(struct spf *p, struct sv spec)
{
	struct sv ignored;

	for (size_t i = 0; i < spec.len; i++)
		if ((unsigned char)spec.p[i] <= ' ' || (unsigned char)spec.p[i] >= 127)
			return (false);
	/* "p" costs questions: its letter alone is looked at. */
	return (spec.len > 0 && (sv_find(spec, SV_LIT("%{p")) >= 0 || sv_find(spec, SV_LIT("%{P")) >= 0 ||
	    expand(p, spec, SV_LIT("x"), false, &ignored)));
}

static bool
take_modifier(struct spf *p, struct sv name, struct sv value, struct term *t)
{
	t->kind = sv_caseeqs(name, "redirect") ? T_REDIRECT : sv_caseeqs(name, "exp") ? T_EXP : T_OTHER;
	t->domain = value;
	if (!sv_isalpha(name.p[0]))
		return (false);
	for (size_t i = 0; i < name.len; i++)
		if (!sv_isalnum(name.p[i]) && strchr("-_.", name.p[i]) == NULL)
			return (false);
	return (t->kind == T_OTHER || spec_ok(p, value));
}

static bool
take_mechanism(struct spf *p, struct sv name, struct sv value, bool has_value, struct term *t)
{
	static const struct { const char *name; int kind; bool needs, cidr; } m[] = {
		{ "all", T_ALL, false, false }, { "include", T_INCLUDE, true, false }, { "a", T_A, false, true },
		{ "mx", T_MX, false, true }, { "ptr", T_PTR, false, false }, { "ip4", T_IP4, true, false },
		{ "ip6", T_IP6, true, false }, { "exists", T_EXISTS, true, false },
	};

	for (size_t i = 0; i < sizeof(m) / sizeof(m[0]); i++) {
		if (!sv_caseeqs(name, m[i].name))
			continue;
		t->kind = m[i].kind;
		if (m[i].kind == T_IP4 || m[i].kind == T_IP6)
			return (has_value && take_ip(value, t, m[i].kind == T_IP4 ? 4 : 6));
		if (m[i].cidr && !take_cidr(&value, t))
			return (false);
		if (has_value)
			t->domain = value;
		return (has_value ? m[i].kind != T_ALL && spec_ok(p, value) : !m[i].needs);
	}
	return (false);
}

static bool
take_term(struct spf *p, struct sv word, struct term *t)
{
	static const char quals[] = "+-~?";
	static const enum exim_spf results[] = { EXIM_SPF_PASS, EXIM_SPF_FAIL, EXIM_SPF_SOFTFAIL, EXIM_SPF_NEUTRAL };
	const char *q = word.len > 0 ? strchr(quals, word.p[0]) : NULL;
	size_t i = 0;

	*t = (struct term){ .result = EXIM_SPF_PASS, .domain = SV_NULL, .cidr4 = 32, .cidr6 = 128 };
	if (q != NULL && *q != '\0') {
		t->result = results[q - quals];
		word = sv_sub(word, 1, word.len);
	}
	while (i < word.len && word.p[i] != ':' && word.p[i] != '=' && word.p[i] != '/')
		i++;
	if (i < word.len && word.p[i] == '=')
		return ((q == NULL || *q == '\0') && i > 0 && take_modifier(p, sv_sub(word, 0, i), sv_sub(word, i + 1, word.len), t));
	/* "a/24": the length alone. */
	if (i < word.len && word.p[i] == '/') {
		struct sv cidr = sv_sub(word, i, word.len);

		return ((sv_caseeqs(sv_sub(word, 0, i), "a") || sv_caseeqs(sv_sub(word, 0, i), "mx")) &&
		    take_mechanism(p, sv_sub(word, 0, i), SV_LIT(""), false, t) && take_cidr(&cidr, t) && cidr.len == 0);
	}
	return (take_mechanism(p, sv_sub(word, 0, i), sv_sub(word, i + 1, word.len), i < word.len, t));
}

/* ---- mechanisms (5) ---- */

static bool
in_net(const struct net_addr *client, const void *ip, int family, unsigned bits)
{
	const uint8_t *b = ip;

	if (client->family != family)
		return (false);
	for (unsigned i = 0; i < bits; i++)
		if (((client->ip[i / 8] ^ b[i / 8]) & 0x80u >> i % 8) != 0)
			return (false);
	return (true);
}

/* Addresses of <name> against the client's; false with *<r> set when it could not be found out. */
static bool
has_address(struct spf *p, struct sv name, const struct term *t, bool counted, bool *yes, enum exim_spf *r)
{
	const struct net_addr *c = &p->q->client;
	const struct exim_dns *d = ask(p, name, c->family == 4 ? TYPE_A : TYPE_AAAA, counted, r);

	if (d == NULL)
		return (false);
	for (size_t i = 0; i < d->n && !*yes; i++)
		*yes = d->rdata[i].len == (c->family == 4 ? 4 : 16) &&
		    in_net(c, d->rdata[i].p, c->family, c->family == 4 ? t->cidr4 : t->cidr6);
	return (true);
}

static bool
match_mx(struct spf *p, struct sv name, const struct term *t, bool *yes, enum exim_spf *r)
{
	const struct exim_dns *d = ask(p, name, TYPE_MX, true, r);

	if (d == NULL)
		return (false);
	if (d->n > NAMES_MAX) {
		*r = EXIM_SPF_PERMERROR;
		return (false);
	}
	for (size_t i = 0; i < d->n && !*yes; i++) {
		struct sv host = d->rdata[i].len > 2 ? wire_name(p, sv_sub(d->rdata[i], 2, d->rdata[i].len)) : SV_LIT("");

		if (host.len > 0 && !has_address(p, host, t, false, yes, r))
			return (false);
	}
	return (true);
}

static bool
match_exists(struct spf *p, struct sv name, bool *yes, enum exim_spf *r)
{
	const struct exim_dns *d = ask(p, name, TYPE_A, true, r);

	*yes = d != NULL && d->n > 0;
	return (d != NULL);
}

/* include: what its own record says decides (5.2). */
static bool
match_include(struct spf *p, struct sv name, bool *yes, enum exim_spf *r)
{
	enum exim_spf inner;

	if (++p->lookups > LOOKUPS_MAX) {
		*r = EXIM_SPF_PERMERROR;
		return (false);
	}
	inner = check_host(p, name, SV_NULL, false);
	*yes = inner == EXIM_SPF_PASS;
	if (inner == EXIM_SPF_TEMPERROR || inner == EXIM_SPF_PERMERROR || inner == EXIM_SPF_NONE) {
		*r = inner == EXIM_SPF_NONE ? EXIM_SPF_PERMERROR : inner;
		return (false);
	}
	return (true);
}

static bool
match_term(struct spf *p, const struct term *t, struct sv domain, bool *yes, enum exim_spf *r)
{
	struct sv name = domain;

	*yes = false;
	if (t->domain.p != NULL && !expand(p, t->domain, domain, false, &name)) {
		*r = EXIM_SPF_PERMERROR;
		return (false);
	}
	switch (t->kind) {
	case T_ALL:
		*yes = true;
		return (true);
	case T_INCLUDE:
		return (match_include(p, name, yes, r));
	case T_A:
		return (has_address(p, name, t, true, yes, r));
	case T_MX:
		return (match_mx(p, name, t, yes, r));
	case T_PTR:
		if (++p->lookups > LOOKUPS_MAX) {
			*r = EXIM_SPF_PERMERROR;
			return (false);
		}
		*yes = client_name(p, name, true).len > 0;
		return (true);
	case T_IP4:
	case T_IP6:
		*yes = in_net(&p->q->client, t->addr.ip, t->kind == T_IP4 ? 4 : 6, t->cidr4);
		return (true);
	case T_EXISTS:
		return (match_exists(p, name, yes, r));
	default:
		return (true);
	}
}

/* exp= (6.2): one TXT record, expanded; whatever goes wrong, there is none. */
static void
explain(struct spf *p, const struct term *exp, struct sv domain)
{
	struct sb sb = SB_INIT(RECORD_MAX);
	const struct exim_dns *d;
	enum exim_spf r;
	struct sv name, v, out;

	if (exp == NULL || !expand(p, exp->domain, domain, false, &name) ||
	    (d = ask(p, name, TYPE_TXT, false, &r)) == NULL || d->n != 1)
		return;
	for (v = d->rdata[0]; v.len > 0; v = sv_sub(v, (size_t)(unsigned char)v.p[0] + 1, v.len))
		sb_add(&sb, sv_sub(v, 1, (size_t)(unsigned char)v.p[0] + 1));
	for (size_t i = 0; i < sb.len; i++)
		if ((unsigned char)sb.p[i] < ' ' || (unsigned char)sb.p[i] >= 127)
			sb.p[i] = '?';
	if (!sb.overflow && expand(p, sb_sv(&sb), domain, true, &out))
		p->explanation = out;
	sb_free(&sb);
}

/* ---- a record ---- */

static bool
name_ok(struct sv d)
{
	struct sv label;

	if (d.len == 0 || d.len > NAME_MAX_ || sv_chr(d, '.') < 0)
		return (false);
	if (d.p[d.len - 1] == '.')
		d.len--;
	while (sv_next(&d, '.', &label))
		if (label.len == 0 || label.len > 63)
			return (false);
	return (true);
}

static enum exim_spf
evaluate(struct spf *p, struct sv domain, const struct term *t, size_t n, bool top)
{
	const struct term *exp = NULL, *redirect = NULL;
	enum exim_spf r = EXIM_SPF_PERMERROR;
	struct sv target;
	bool yes;

	for (size_t i = 0; i < n; i++) {
		if ((t[i].kind == T_EXP && exp != NULL) || (t[i].kind == T_REDIRECT && redirect != NULL))
			return (EXIM_SPF_PERMERROR);
		exp = t[i].kind == T_EXP ? &t[i] : exp;
		redirect = t[i].kind == T_REDIRECT ? &t[i] : redirect;
	}
	for (size_t i = 0; i < n; i++) {
		if (t[i].kind >= T_REDIRECT)
			continue;
		if (!match_term(p, &t[i], domain, &yes, &r))
			return (r);
		if (!yes)
			continue;
		if (t[i].result == EXIM_SPF_FAIL && top)
			explain(p, exp, domain);
		return (t[i].result);
	}
	if (redirect == NULL)
		return (EXIM_SPF_NEUTRAL);
	if (++p->lookups > LOOKUPS_MAX || !expand(p, redirect->domain, domain, false, &target))
		return (EXIM_SPF_PERMERROR);
	r = check_host(p, target, SV_NULL, top);
	return (r == EXIM_SPF_NONE ? EXIM_SPF_PERMERROR : r);
}

static enum exim_spf
check_host(struct spf *p, struct sv domain, struct sv record, bool top)
{
	struct term *t = arena_alloc(p->env->arena, TERMS_MAX * sizeof(*t));
	enum exim_spf r;
	struct sv word;
	size_t n = 0;

	if (!name_ok(domain))
		return (EXIM_SPF_NONE);
	if (record.p == NULL && (r = find_record(p, domain, &record)) != EXIM_SPF_PASS)
		return (r);
	/* A mistake anywhere spoils all of it (4.6). */
	(void)sv_word(&record, &word);
	while (sv_word(&record, &word))
		if (n == TERMS_MAX || !take_term(p, word, &t[n++]))
			return (EXIM_SPF_PERMERROR);
	return (evaluate(p, domain, t, n, top));
}

enum exim_spf
exim_spf_check(struct exim_env *env, const struct exim_spf_query *q, struct sv *domain, struct sv *sender, struct sv *why)
{
	struct spf p = { .env = env, .q = q, .explanation = SV_LIT("") };
	ptrdiff_t at = sv_rchr(q->sender, '@');
	enum exim_spf r;

	/* 2.4: without a sender it is the HELO name's; without a local part it is "postmaster". */
	p.local = at > 0 ? sv_sub(q->sender, 0, (size_t)at) : SV_LIT("postmaster");
	p.sender_domain = at >= 0 ? sv_sub(q->sender, (size_t)at + 1, q->sender.len) : q->helo;
	p.sender = sv_taint(sv_cstr(arena_fmt(env->arena, SV_FMT "@" SV_FMT, SV_ARG(p.local), SV_ARG(p.sender_domain))));
	r = check_host(&p, p.sender_domain, q->record, true);
	*domain = p.sender_domain;
	*sender = p.sender;
	*why = p.explanation;
	return (r);
}
