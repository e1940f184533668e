/* SPDX-License-Identifier: BSD-2-Clause */
/* Operators on mail addresses and IP addresses: address(es), local_part, domain, mask, reverse_ip, ipv6norm ... (manual 11.6). */
#include "exim/expand_int.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "mail/address.h"

#define ADDR_FLAGS	(MAIL_ADDR_BARE | MAIL_ADDR_LITERAL | MAIL_ADDR_UTF8 | MAIL_ADDR_8BIT)

static bool
parse(struct xev *e, struct sv v, struct mail_address *m)
{
	struct err quiet = ERR_INIT;

	return (mail_address_parse(v, ADDR_FLAGS, e->env->arena, m, &quiet) == 0);
}

static struct sv
whole(struct xev *e, const struct mail_address *m)
{
	struct xb b;

	if (m->domain.len == 0)
		return (m->local);
	xb_init(&b, e->env->arena, m->local.len + m->domain.len + 2);
	xb_add(&b, m->local);
	xb_addc(&b, '@');
	xb_add(&b, m->domain);
	return (xb_sv(&b));
}

X_OP(xo_address)
{
	struct mail_address m;

	*out = parse(e, v, &m) ? whole(e, &m) : SV_LIT("");
	return (EXIM_OK);
}

X_OP(xo_local_part)
{
	struct mail_address m;

	*out = parse(e, v, &m) ? m.local : SV_LIT("");
	return (EXIM_OK);
}

X_OP(xo_domain)
{
	struct mail_address m;

	*out = parse(e, v, &m) ? m.domain : SV_LIT("");
	return (EXIM_OK);
}

/* The end of the next address of a header list: a comma outside quotes, comments and brackets, or a group's ends. */
static size_t
address_end(struct sv v, bool *group)
{
	unsigned comment = 0;
	bool quote = false, angle = false;
	size_t i;

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
		else if (c == ',' || (c == ';' && *group) || (c == ':' && !angle))
			break;
	}
	if (i >= v.len)
		return (v.len);
	if (v.p[i] == ':')
		*group = true;
	else if (v.p[i] == ';')
		*group = false;
	return (i);
}

X_OP(xo_addresses)
{
	bool first = true, group = false;
	struct mail_address m;
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
		size_t end = address_end(v, &group);
		bool name = end < v.len && v.p[end] == ':';
		struct sv one = sv_trim(sv_sub(v, 0, end));

		/* A group's name is no address. */
		if (!name && one.len > 0 && parse(e, one, &m))
			xb_item(&b, whole(e, &m), sep, &first);
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

static bool
ip_parse(struct xev *e, struct sv v, struct ip *ip)
{
	const char *s = x_cstr(e, v);

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
	struct ip ip;
	struct xb b;

	if (!ip_parse(e, v, &ip))
		return (x_fail(e, "reverse_ip() not given an IP address [" SV_FMT "]", SV_ARG(v)));
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
