/* SPDX-License-Identifier: BSD-2-Clause */
/* IP addresses and prefixes: see addr.h. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "net/addr.h"

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static void
from_v6(struct net_addr *a, const uint8_t ip[16])
{
	if (memcmp(ip, mapped, sizeof(mapped)) == 0) {
		a->family = 4;
		memcpy(a->ip, ip + 12, 4);
		return;
	}
	a->family = 6;
	memcpy(a->ip, ip, 16);
}

bool
net_addr_parse(struct sv v, struct net_addr *a)
{
	char buf[NET_ADDR_TEXT_MAX];
	uint8_t ip[16];

	memset(a, 0, sizeof(*a));
	if (v.len >= 2 && v.p[0] == '[' && v.p[v.len - 1] == ']') {
		v = sv_sub(v, 1, v.len - 1);
		if (sv_chr(v, ':') == -1)
			return (false);
	}
	if (v.len == 0 || v.len >= sizeof(buf) || memchr(v.p, '\0', v.len) != NULL)
		return (false);
	memcpy(buf, v.p, v.len);
	buf[v.len] = '\0';
	if (inet_pton(AF_INET, buf, ip) == 1) {
		a->family = 4;
		memcpy(a->ip, ip, 4);
		return (true);
	}
	if (inet_pton(AF_INET6, buf, ip) == 1) {
		from_v6(a, ip);
		return (true);
	}
	return (false);
}

bool
net_port_parse(struct sv v, uint16_t *port)
{
	int64_t n;

	if (!num_parse(v, 0, 65535, &n))
		return (false);
	*port = (uint16_t)n;
	return (true);
}

bool
net_addr_parse_port(struct sv v, uint16_t port, struct net_addr *a)
{
	struct sv host = v;
	ptrdiff_t colon = sv_rchr(v, ':');

	if (v.len > 0 && v.p[0] == '[') {
		ptrdiff_t end = sv_chr(v, ']');

		if (end == -1 || ((size_t)end + 1 < v.len && colon != end + 1))
			return (false);
		colon = (size_t)end + 1 < v.len ? end + 1 : -1;
	} else if (colon != -1 && colon != sv_chr(v, ':')) {
		colon = -1;	/* a bare IPv6 address */
	}
	if (colon != -1) {
		host = sv_sub(v, 0, (size_t)colon);
		if (!net_port_parse(sv_sub(v, (size_t)colon + 1, v.len), &port))
			return (false);
	}
	if (sv_eqs(host, "*")) {
		memset(a, 0, sizeof(*a));
		a->family = 6;
	} else if (!net_addr_parse(host, a)) {
		return (false);
	}
	a->port = port;
	return (true);
}

const char *
net_addr_text(const struct net_addr *a, char buf[NET_ADDR_TEXT_MAX])
{
	/* glibc and the BSDs write IPv6 as RFC 5952 wants it. */
	if (a->family == 0 ||
	    inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->ip, buf, NET_ADDR_TEXT_MAX) == NULL)
		buf[0] = '\0';
	return (buf);
}

bool
net_addr_eq(const struct net_addr *a, const struct net_addr *b)
{
	return (a->family == b->family && memcmp(a->ip, b->ip, a->family == 4 ? 4 : 16) == 0);
}

bool
net_addr_is_loopback(const struct net_addr *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	return ((a->family == 4 && a->ip[0] == 127) || (a->family == 6 && memcmp(a->ip, one, 16) == 0));
}

bool
net_prefix_parse(struct sv v, struct net_prefix *p)
{
	ptrdiff_t slash = sv_rchr(v, '/');
	struct sv host = slash == -1 ? v : sv_sub(v, 0, (size_t)slash);
	bool v6;
	int64_t n;

	if (!net_addr_parse(host, &p->addr))
		return (false);
	v6 = sv_chr(host, ':') != -1;
	p->bits = p->addr.family == 4 ? 32 : 128;
	if (slash == -1)
		return (true);
	if (!num_parse(sv_sub(v, (size_t)slash + 1, v.len), 0, v6 ? 128 : 32, &n))
		return (false);
	/* ::ffff:192.0.2.0/120 is 192.0.2.0/24; a shorter mapped prefix names no IPv4 network. */
	if (v6 && p->addr.family == 4) {
		if (n < 96)
			return (false);
		n -= 96;
	}
	p->bits = (unsigned)n;
	return (true);
}

bool
net_prefix_match(const struct net_prefix *p, const struct net_addr *a)
{
	unsigned bytes = p->bits / 8, rest = p->bits % 8;

	if (a->family == 0 || p->addr.family != a->family)
		return (false);
	if (memcmp(p->addr.ip, a->ip, bytes) != 0)
		return (false);
	return (rest == 0 || ((p->addr.ip[bytes] ^ a->ip[bytes]) & (0xff00 >> rest) & 0xff) == 0);
}

void
net_addr_from_sockaddr(struct net_addr *a, const struct sockaddr *sa)
{
	memset(a, 0, sizeof(*a));
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		a->family = 4;
		memcpy(a->ip, &in->sin_addr, 4);
		a->port = ntohs(in->sin_port);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)sa;

		from_v6(a, in->sin6_addr.s6_addr);
		a->port = ntohs(in->sin6_port);
	}
}

socklen_t
net_addr_to_sockaddr(const struct net_addr *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (a->family == 4) {
		struct sockaddr_in *in = (void *)ss;

		in->sin_family = AF_INET;
		memcpy(&in->sin_addr, a->ip, 4);
		in->sin_port = htons(a->port);
		return (sizeof(*in));
	}
	struct sockaddr_in6 *in6 = (void *)ss;

	in6->sin6_family = AF_INET6;
	memcpy(&in6->sin6_addr, a->ip, 16);
	in6->sin6_port = htons(a->port);
	return (sizeof(*in6));
}

void
net_addr_reverse(const struct net_addr *a, const char *suffix, char *buf, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	char rev[64];
	size_t n = 0;

	if (a->family == 4) {
		(void)snprintf(rev, sizeof(rev), "%u.%u.%u.%u", a->ip[3], a->ip[2], a->ip[1], a->ip[0]);
	} else {
		for (int i = 15; i >= 0; i--) {
			rev[n++] = hex[a->ip[i] & 15];
			rev[n++] = '.';
			rev[n++] = hex[a->ip[i] >> 4];
			rev[n++] = '.';
		}
		rev[n - 1] = '\0';
	}
	if (suffix == NULL)
		suffix = a->family == 4 ? "in-addr.arpa" : "ip6.arpa";
	(void)snprintf(buf, size, "%s.%s", rev, suffix);
}
