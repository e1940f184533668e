/* SPDX-License-Identifier: BSD-2-Clause */
/* The PROXY protocol: see proxy.h. */
#include "net/proxy.h"

#include <string.h>


#define FIXED		16		/* of version 2: signature, version and command, family, length */
#define LOCAL		0x20
#define PROXIED		0x21
#define TCP4		0x11
#define TCP6		0x21

static const char signature[12] = { '\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

/* ---- version 1: "PROXY TCP4 SOURCE DEST SPORT DPORT\r\n" ---- */

static bool
address(struct sv v, unsigned family, struct net_addr *a)
{
	/* No brackets, nothing mapped: only what the other side has to write. */
	return (v.len > 0 && v.p[0] != '[' && net_addr_parse(v, a) && (a->family == family || sv_chr(v, ':') >= 0) &&
	    (sv_chr(v, ':') >= 0) == (family == 6));
}

static bool
line(struct sv v, struct net_proxy *out)
{
	struct sv word[6];
	unsigned family;

	for (size_t i = 0; i < 6; i++) {
		bool more = sv_next(&v, ' ', &word[i]);

		if (i == 1 && more && sv_eqs(word[1], "UNKNOWN"))
			return (sv_eqs(word[0], "PROXY"));
		if (!more)
			return (false);
	}
	if (v.len > 0 || !sv_eqs(word[0], "PROXY"))
		return (false);
	family = sv_eqs(word[1], "TCP4") ? 4 : sv_eqs(word[1], "TCP6") ? 6 : 0;
	out->known = family != 0 && address(word[2], family, &out->source) && address(word[3], family, &out->dest) &&
	    net_port_parse(word[4], &out->source.port) && net_port_parse(word[5], &out->dest.port);
	return (out->known);
}

static enum net_proxy_result
version1(struct sv in, struct net_proxy *out, size_t *need)
{
	static const char word[] = "PROXY ";
	size_t n = in.len < 6 ? in.len : 6;

	if (memcmp(in.p, word, n) != 0)
		return (NET_PROXY_BAD);
	if (in.p[in.len - 1] != '\n') {
		*need = 1;
		return (in.len >= PROXY_V1_MAX ? NET_PROXY_BAD : NET_PROXY_MORE);
	}
	if (in.len < 8 || in.p[in.len - 2] != '\r')
		return (NET_PROXY_BAD);
	return (line(sv_sub(in, 0, in.len - 2), out) ? NET_PROXY_OK : NET_PROXY_BAD);
}

/* ---- version 2 ---- */

/* IPv4-mapped addresses are IPv4's, as everywhere. */
static void
take(struct net_addr *a, const uint8_t *ip, unsigned family, const uint8_t *p)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	memset(a, 0, sizeof(*a));
	if (family == 6 && memcmp(ip, mapped, sizeof(mapped)) == 0) {
		ip += 12;
		family = 4;
	}
	a->family = (uint8_t)family;
	memcpy(a->ip, ip, family == 4 ? 4 : 16);
	a->port = (uint16_t)(p[0] << 8 | p[1]);
}

static enum net_proxy_result
version2(struct sv in, struct net_proxy *out, size_t *need)
{
	const uint8_t *p = (const uint8_t *)in.p;
	size_t n = in.len < sizeof(signature) ? in.len : sizeof(signature), len, ip;

	if (memcmp(in.p, signature, n) != 0)
		return (NET_PROXY_BAD);
	*need = FIXED - in.len;
	if (in.len < FIXED)
		return (NET_PROXY_MORE);
	len = (size_t)p[14] << 8 | p[15];
	if ((p[12] != LOCAL && p[12] != PROXIED) || FIXED + len > PROXY_V2_MAX || in.len > FIXED + len)
		return (NET_PROXY_BAD);
	*need = FIXED + len - in.len;
	if (*need > 0)
		return (NET_PROXY_MORE);
	/* Its own connection (a look whether we live), or one of a kind that has no addresses. */
	if (p[12] == LOCAL || p[13] == 0)
		return (NET_PROXY_OK);
	ip = p[13] == TCP4 ? 4 : 16;
	if ((p[13] != TCP4 && p[13] != TCP6) || len < 2 * ip + 4)
		return (NET_PROXY_BAD);
	take(&out->source, p + FIXED, ip == 4 ? 4 : 6, p + FIXED + 2 * ip);
	take(&out->dest, p + FIXED + ip, ip == 4 ? 4 : 6, p + FIXED + 2 * ip + 2);
	out->known = true;
	return (NET_PROXY_OK);
}

enum net_proxy_result
net_proxy_parse(struct sv in, struct net_proxy *out, size_t *need)
{
	memset(out, 0, sizeof(*out));
	*need = 1;
	if (in.len == 0)
		return (NET_PROXY_MORE);
	return (in.p[0] == '\r' ? version2(in, out, need) : version1(in, out, need));
}
