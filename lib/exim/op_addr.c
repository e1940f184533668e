/* SPDX-License-Identifier: BSD-2-Clause */
/* Operators on mail addresses and IP addresses: address(es), local_part, domain, mask, reverse_ip, ipv6norm ... (manual 11.6). */
#include "exim/expand_int.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * An address as Exim reads it: more lenient than RFC 5322 with dots and quotes, stricter with
 * domains, and both parts as they were written.
 */
struct addr {
	const char	*p;		/* NUL-terminated */
	struct xb	 local, domain;
	bool		 bad;
};

static void
skip_comment(struct addr *a)
{
	unsigned depth = 0;

	for (; *a->p != '\0'; a->p++) {
		if (depth == 0 && *a->p != '(' && !sv_isspace(*a->p))
			return;
		if (*a->p == '\\' && depth > 0 && a->p[1] != '\0')
			a->p++;
		else if (*a->p == '(')
			depth++;
		else if (*a->p == ')' && depth > 0)
			depth--;
	}
}

static bool
special(char c)
{
	return ((unsigned char)c <= 32 || c == 127 || strchr("()<>@,;:\\\".[]", c) != NULL);
}

static void
quoted_word(struct addr *a, struct xb *b)
{
	xb_addc(b, *a->p++);
	while (*a->p != '\0' && *a->p != '"') {
		if (*a->p == '\\' && a->p[1] != '\0')
			xb_addc(b, *a->p++);
		xb_addc(b, *a->p++);
	}
	if (*a->p != '"')
		a->bad = true;
	else
		xb_addc(b, *a->p++);
}

/* Words parted by dots; any number of dots. */
static void
read_local(struct addr *a, struct xb *b, bool may_be_empty)
{
	for (;;) {
		size_t before = b->len;

		skip_comment(a);
		if (*a->p == '"')
			quoted_word(a, b);
		else
			while (*a->p == '\\' || (*a->p != '\0' && !special(*a->p))) {
				if (*a->p == '\\' && a->p[1] != '\0')
					xb_addc(b, *a->p++);
				xb_addc(b, *a->p++);
			}
		skip_comment(a);
		if (b->len == before && *a->p != '.') {
			a->bad |= before > 0 || !may_be_empty;
			return;
		}
		if (*a->p != '.' || a->bad)
			return;
		while (*a->p == '.')
			xb_addc(b, *a->p++);
		skip_comment(a);
		/* Dots may end it, too. */
		if (*a->p == '@' || *a->p == '>' || *a->p == '<' || *a->p == '\0')
			return;
	}
}

static void
read_domain(struct addr *a, struct xb *b)
{
	skip_comment(a);
	if (*a->p == '[') {
		while (*a->p != ']' && *a->p != '\0' && !sv_isspace(*a->p))
			xb_addc(b, *a->p++);
		a->bad |= *a->p != ']';
		if (!a->bad)
			xb_addc(b, *a->p++);
		skip_comment(a);
		return;
	}
	for (;;) {
		if (!sv_isalnum(*a->p)) {
			a->bad = true;
			return;
		}
		while (sv_isalnum(*a->p) || *a->p == '-')
			xb_addc(b, *a->p++);
		skip_comment(a);
		if (*a->p != '.')
			return;
		xb_addc(b, *a->p++);
		skip_comment(a);
	}
}

/* "@a,@b:" is passed over. */
static void
read_route(struct addr *a, struct xb *scratch)
{
	while (!a->bad && *a->p == '@') {
		a->p++;
		scratch->len = 0;
		read_domain(a, scratch);
		if (*a->p == ',') {
			a->p++;
			skip_comment(a);
		}
	}
	if (*a->p == ':')
		a->p++;
	else
		a->bad = true;
}

static void
read_spec(struct addr *a)
{
	skip_comment(a);
	if (*a->p == '@')
		read_route(a, &a->domain);
	a->local.len = a->domain.len = 0;
	if (a->bad)
		return;
	read_local(a, &a->local, false);
	if (!a->bad && *a->p == '@') {
		a->p++;
		read_domain(a, &a->domain);
	}
}

/* Local part alone, local@domain, @route:local@domain, phrase <...>. */
static bool
parse(struct xev *e, struct sv v, struct addr *a)
{
	memset(a, 0, sizeof(*a));
	a->p = x_cstr(e, v);
	xb_init(&a->local, e->env->arena, 64);
	xb_init(&a->domain, e->env->arena, 64);
	a->local.tainted = v.tainted;
	a->domain.tainted = v.tainted;
	read_local(a, &a->local, true);
	/* More words: a phrase, which only "<" can end. */
	if (!a->bad && *a->p != '\0' && *a->p != '@')
		while (!a->bad && *a->p != '<')
			read_local(a, &a->local, false);
	if (a->bad)
		return (false);
	if (*a->p == '<') {
		a->p++;
		read_spec(a);
		a->bad |= *a->p != '>';
		if (!a->bad)
			a->p++;
	} else if (*a->p == '@' && a->local.len == 0)
		read_spec(a);
	else if (*a->p == '@') {
		a->p++;
		read_domain(a, &a->domain);
	}
	if (!a->bad)
		skip_comment(a);
	return (!a->bad && *a->p == '\0' && a->local.len > 0);
}

static struct sv
whole(struct xev *e, struct addr *a)
{
	if (a->domain.len > 0) {
		xb_addc(&a->local, '@');
		xb_add(&a->local, xb_sv(&a->domain));
	}
	return (xb_sv(&a->local));
}

bool
x_address_split(struct xev *e, struct sv v, struct sv *local, struct sv *domain)
{
	struct addr a;

	if (!parse(e, v, &a))
		return (false);
	*local = xb_sv(&a.local);
	*domain = xb_sv(&a.domain);
	return (true);
}

X_OP(xo_address)
{
	struct addr a;

	*out = parse(e, v, &a) ? whole(e, &a) : SV_LIT("");
	return (EXIM_OK);
}

X_OP(xo_local_part)
{
	struct sv domain;

	if (!x_address_split(e, v, out, &domain))
		*out = SV_LIT("");
	return (EXIM_OK);
}

X_OP(xo_domain)
{
	struct sv local;

	if (!x_address_split(e, v, &local, out))
		*out = SV_LIT("");
	return (EXIM_OK);
}

/*
 * Where the next address of a header list ends: at a comma outside quotes, comments and brackets, in a <group> also at a
 * semicolon.  *<colon>: behind the first colon on the way, 0 if there is none.
 */
static size_t
address_end(struct sv v, bool group, size_t *colon)
{
	unsigned comment = 0;
	bool quote = false, angle = false, route = sv_starts(sv_trim(v), "@");
	size_t i;

	*colon = 0;
	for (i = 0; i < v.len; i++) {
		char c = v.p[i];

		if (c == '\\') {
			i++;
			continue;
		}
		if (comment > 0) {
			comment += c == '(' ? 1 : c == ')' ? -1u : 0;
			continue;
		}
		if (c == '"')
			quote = !quote;
		else if (quote)
			continue;
		else if (c == '(')
			comment++;
		else if (c == '<' || c == '[')
			angle = true;
		else if (c == '>' || c == ']')
			angle = false;
		else if (c == ':' && !angle && *colon == 0)
			*colon = i + 1;
		else if ((c == ',' && !angle && (!route || *colon > 0)) || (c == ';' && group))
			break;
	}
	return (i < v.len ? i : v.len);
}

/* A group's name before a colon is no address: cut it off. */
static struct sv
behind_group(struct sv one, size_t colon, bool *allow, bool *group)
{
	if (!*allow || colon == 0 || sv_chr(sv_sub(one, 0, colon), '@') >= 0)
		return (one);
	*allow = false;
	*group = true;
	return (sv_sub(one, colon, one.len));
}

X_OP(xo_addresses)
{
	bool first = true, group = false, allow = true;
	struct addr a;
	char sep = ':';
	struct xb b;

	if (v.len > 0 && v.p[0] == '>') {
		if (v.len < 2)
			return (x_fail(e, "output separator missing in expanding ${addresses:" SV_FMT "}", SV_ARG(v)));
		sep = v.p[1];
		v = sv_sub(v, 2, v.len);
	}
	xb_init(&b, e->env->arena, v.len + 16);
	while (v.len > 0 && !b.over) {
		bool was_group = group;
		size_t colon, end = address_end(v, group, &colon);
		struct sv one = behind_group(sv_sub(v, 0, end), colon, &allow, &group);

		/* The first of a group may be its last, too. */
		if (group && !was_group) {
			v = sv_sub(v, (size_t)(one.p - v.p), v.len);
			end = address_end(v, true, &colon);
			one = sv_sub(v, 0, end);
		}
		one = sv_trim(one);
		if (one.len > 0 && parse(e, one, &a))
			xb_item(&b, whole(e, &a), sep, &first);
		if (end < v.len && v.p[end] == ';') {
			group = false;
			allow = true;
		}
		v = sv_sub(v, end + 1, v.len);
	}
	*out = xb_sv(&b);
	return (EXIM_OK);
}

/* --- IP addresses --- */

struct ip {
	int	 bytes;			/* 4 or 16 */
	uint8_t	 a[16];
};

/* A zone ("%eth0") is passed over. */
static bool
ip_parse(struct xev *e, struct sv v, struct ip *ip)
{
	ptrdiff_t zone = sv_chr(v, '%');
	const char *s = x_cstr(e, zone > 0 && sv_chr(v, ':') >= 0 ? sv_sub(v, 0, (size_t)zone) : v);

	memset(ip, 0, sizeof(*ip));
	if (inet_pton(AF_INET, s, ip->a) == 1)
		ip->bytes = 4;
	else if (inet_pton(AF_INET6, s, ip->a) == 1)
		ip->bytes = 16;
	return (ip->bytes > 0);
}

/* All groups, by <sep>, with leading zeroes. */
static void
ip_full(const struct ip *ip, char sep, char *buf, size_t size)
{
	size_t n = 0;

	for (int i = 0; i < 16 && n + 6 < size; i += 2) {
		n += (size_t)snprintf(buf + n, size - n, "%02x%02x", ip->a[i], ip->a[i + 1]);
		if (i < 14)
			buf[n++] = sep;
	}
}

/* The longest run of zero groups as "::", a single group too, as Exim has it. */
static void
ip_short(const struct ip *ip, char *buf, size_t size)
{
	int best = -1, len = 0;
	size_t n = 0;

	for (int i = 0; i < 8; i++) {
		int k = i;

		while (k < 8 && ip->a[2 * k] == 0 && ip->a[2 * k + 1] == 0)
			k++;
		if (k - i > len) {
			best = i;
			len = k - i;
		}
		if (k > i)
			i = k;
	}
	for (int i = 0; i < 8 && n < size; i++) {
		if (i == best) {
			n += (size_t)snprintf(buf + n, size - n, "%s", i == 0 ? "::" : ":");
			i += len - 1;
			continue;
		}
		n += (size_t)snprintf(buf + n, size - n, "%x%s", (unsigned)(ip->a[2 * i] << 8 | ip->a[2 * i + 1]),
		    i < 7 ? ":" : "");
	}
}

static void
to_mapped(struct ip *ip)
{
	uint8_t v4[4];

	if (ip->bytes != 4)
		return;
	memcpy(v4, ip->a, 4);
	memset(ip->a, 0, 16);
	ip->a[10] = ip->a[11] = 0xff;
	memcpy(ip->a + 12, v4, 4);
	ip->bytes = 16;
}

static enum exim_result
norm(struct xev *e, struct sv v, bool full, struct sv *out)
{
	char buf[64] = "";
	struct ip ip;

	if (!ip_parse(e, v, &ip))
		return (x_fail(e, "\"" SV_FMT "\" is not an IP address", SV_ARG(v)));
	to_mapped(&ip);
	if (full)
		ip_full(&ip, ':', buf, sizeof(buf));
	else
		ip_short(&ip, buf, sizeof(buf));
	*out = sv_cstr(arena_str(e->env->arena, buf));
	return (EXIM_OK);
}

X_OP(xo_ipv6norm)
{
	return (norm(e, v, false, out));
}

X_OP(xo_ipv6denorm)
{
	return (norm(e, v, true, out));
}

X_OP(xo_reverse_ip)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	ptrdiff_t slash = sv_chr(v, '/');
	struct ip ip;
	struct xb b;

	/* A mask behind it is passed over. */
	if (!ip_parse(e, slash > 0 ? sv_sub(v, 0, (size_t)slash) : v, &ip))
		return (x_fail(e, "reverse_ip() not given an IP address [" SV_FMT "]", SV_ARG(v)));
	if (ip.bytes == 16 && memcmp(ip.a, mapped, sizeof(mapped)) == 0) {
		memmove(ip.a, ip.a + 12, 4);
		ip.bytes = 4;
	}
	xb_init(&b, e->env->arena, 64);
	for (int i = ip.bytes - 1; i >= 0; i--) {
		if (ip.bytes == 4)
			xb_fmt(&b, "%u%s", ip.a[i], i > 0 ? "." : "");
		else
			xb_fmt(&b, "%x.%x%s", ip.a[i] & 15u, ip.a[i] >> 4u, i > 0 ? "." : "");
	}
	*out = xb_sv(&b);
	return (EXIM_OK);
}

X_OP(xo_mask)
{
	ptrdiff_t slash = sv_rchr(v, '/');
	struct sv addr = slash < 0 ? v : sv_sub(v, 0, (size_t)slash), bits;
	bool is_norm = sv_eqs(n->u.op.arg, "n");
	char buf[64] = "";
	unsigned mask = 0;
	struct ip ip;

	if (!ip_parse(e, addr, &ip))
		return (x_fail(e, "\"" SV_FMT "\" is not an IP address", SV_ARG(v)));
	if (slash < 0)
		return (x_fail(e, "missing mask value in \"" SV_FMT "\"", SV_ARG(v)));
	bits = sv_sub(v, (size_t)slash + 1, v.len);
	for (size_t i = 0; i < bits.len; i++) {
		if (!sv_isdigit(bits.p[i]))
			return (x_fail(e, "\"" SV_FMT "\" is not an IP address", SV_ARG(v)));
		mask = mask < 1000 ? mask * 10 + (unsigned)(bits.p[i] - '0') : mask;
	}
	if (mask > (unsigned)ip.bytes * 8)
		return (x_fail(e, "mask value too big in \"" SV_FMT "\"", SV_ARG(v)));
	for (unsigned i = mask; i < (unsigned)ip.bytes * 8; i++)
		ip.a[i / 8] &= (uint8_t)~(0x80u >> (i % 8));
	if (ip.bytes == 4)
		(void)snprintf(buf, sizeof(buf), "%u.%u.%u.%u", ip.a[0], ip.a[1], ip.a[2], ip.a[3]);
	else if (is_norm)
		ip_short(&ip, buf, sizeof(buf));
	else
		ip_full(&ip, '.', buf, sizeof(buf));
	*out = sv_cstr(arena_fmt(e->env->arena, "%s/%u", buf, mask));
	return (EXIM_OK);
}
