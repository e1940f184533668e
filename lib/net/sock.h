/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP sockets: listen, accept, connect. */
#ifndef VPOST_NET_SOCK_H
#define VPOST_NET_SOCK_H

#include "base/err.h"
#include "net/addr.h"

/* A listening, non-blocking, close-on-exec TCP socket (backlog 1024); -1 and *<err> otherwise. */
int	 net_listen(const struct net_addr *a, struct err *err);
/* The local address of a connected socket; family 0 if there is none. */
void	 net_local(int fd, struct net_addr *out);
/* Accept one connection (non-blocking, close-on-exec, TCP_NODELAY); -1 with errno EAGAIN when there is none. */
int	 net_accept(int lfd, struct net_addr *peer, struct net_addr *local);
/* On a fiber: connect to <to> (from <from>, may be NULL) before <deadline> of fiber_now(); -1 and TEMP 4.4.1 otherwise. */
int	 net_connect(const struct net_addr *to, const struct net_addr *from, int64_t deadline, struct err *err);

#endif
