/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections through SOCKS 5 (RFC 1928, with names and passwords of RFC 1929): socks_proxy of an smtp transport
 * (chapter 59.2 of Exim's manual), and what is said to the proxy.
 */
#ifndef VPOST_DELIVER_SOCKS_H
#define VPOST_DELIVER_SOCKS_H

#include "base/sb.h"
#include "deliver/client.h"

struct exim_env;
struct stream;

#define SOCKS_MESSAGE_MAX	(4 + 1 + 255 + 2)

/* One proxy. */
struct deliver_proxy {
	struct net_addr	 addr;		/* with its port */
	bool		 login;
	struct sv	 name, pass;
	int64_t		 connect_ms;
};

/*
 * The expanded option as proxies in <a>, in the order in which they are tried: by priority, among equals at random by weight.
 * -1 CONFIG: *<err> names the part that is wrong.
 */
int	 deliver_socks_list(struct exim_env *env, struct sv text, struct arena *a, const struct deliver_proxy **v, size_t *n, struct err *err);

/*
 * The answer to our wish for a connection, as far as it came.  1: <in> is the whole of it, *<bound> is the proxy's end; 0: *<need> more
 * bytes are wanted; -1: the proxy refuses, or this is no SOCKS: *<err>, TEMP.
 */
int	 deliver_socks_answer(struct sv in, struct net_addr *bound, size_t *need, struct err *err);

/* On a fiber: a connection to <to> through <p> before <deadline>; NULL: *<err>, with errno where the proxy could not be reached. */
struct stream *deliver_socks_connect(const struct deliver_proxy *p, const struct net_addr *to, const struct deliver_opts *o, int64_t deadline,
	     struct net_addr *local, struct err *err);

#endif
