/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header that a load balancer puts in front of a connection (PROXY protocol, versions 1 and 2): whose it is.
 * Pure: bytes to addresses.
 */
#ifndef VPOST_NET_PROXY_H
#define VPOST_NET_PROXY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/sv.h"
#include "net/addr.h"

#define PROXY_V1_MAX	107		/* bytes of a whole line */
#define PROXY_V2_MAX	(16 + 4096)	/* with what stands behind the addresses, which is not looked at */

struct net_proxy {
	bool		 known;		/* <source>, <dest> were told; else the connection is the proxy's own */
	struct net_addr	 source, dest;	/* the client, and where it connected to; with ports */
};

enum net_proxy_result {
	NET_PROXY_MORE,		/* *<need> more bytes, of which none can stand behind the header */
	NET_PROXY_OK,		/* <in> is the whole header */
	NET_PROXY_BAD
};

/* Start with <in> empty, and with what was asked for behind it. */
enum net_proxy_result net_proxy_parse(struct sv in, struct net_proxy *out, size_t *need);

#endif
