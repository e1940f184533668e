/* SPDX-License-Identifier: BSD-2-Clause */
/* IP addresses, prefixes and host:port texts: pure. */
#ifndef VPOST_NET_ADDR_H
#define VPOST_NET_ADDR_H

#include <sys/socket.h>

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sv.h"

#define NET_ADDR_TEXT_MAX	48

/* family 0: none.  IPv4-mapped IPv6 addresses are turned into IPv4 on the way in. */
struct net_addr {
	uint8_t		 family;	/* 0, 4 or 6 */
	uint8_t		 ip[16];	/* network order; 4 bytes used for IPv4 */
	uint16_t	 port;		/* host order, 0 if none */
};

struct net_prefix {
	struct net_addr	 addr;
	unsigned	 bits;
};

/* An address alone: "192.0.2.1", "2001:db8::1", "[2001:db8::1]". */
bool	 net_addr_parse(struct sv v, struct net_addr *a);
/* "ADDR", "ADDR:PORT", "[v6]:PORT", "*:PORT" (IPv6 any, dual stack); default <port>. */
bool	 net_addr_parse_port(struct sv v, uint16_t port, struct net_addr *a);
/* A port as a number. */
bool	 net_port_parse(struct sv v, uint16_t *port);
/* Canonical text (RFC 5952 for IPv6) without the port; returns <buf>. */
const char *net_addr_text(const struct net_addr *a, char buf[NET_ADDR_TEXT_MAX]);
bool	 net_addr_eq(const struct net_addr *a, const struct net_addr *b);	/* ports are not compared */
bool	 net_addr_is_loopback(const struct net_addr *a);
bool	 net_prefix_parse(struct sv v, struct net_prefix *p);			/* bare address: all bits */
bool	 net_prefix_match(const struct net_prefix *p, const struct net_addr *a);
void	 net_addr_from_sockaddr(struct net_addr *a, const struct sockaddr *sa);
socklen_t net_addr_to_sockaddr(const struct net_addr *a, struct sockaddr_storage *ss);
/* "1.2.0.192.in-addr.arpa" and the like; <suffix> e.g. "in-addr.arpa" is chosen by family when NULL (else a DNS list's zone). */
void	 net_addr_reverse(const struct net_addr *a, const char *suffix, char *buf, size_t size);

#endif
