/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP sockets: listen, accept, connect. */
#ifndef VPOST_NET_SOCK_H
#define VPOST_NET_SOCK_H

#include <stdbool.h>

#include "base/err.h"
#include "base/sv.h"
#include "net/addr.h"

/* A listening, non-blocking, close-on-exec TCP socket (backlog 1024); -1 and *<err> otherwise. */
int	 net_listen(const struct net_addr *a, struct err *err);
/* The local address of a connected socket; family 0 if there is none. */
void	 net_local(int fd, struct net_addr *out);
/* What connections of this listener inherit, and (0: as it is) how many may wait to be accepted. */
struct net_listen_opts {
	bool	 nodelay;
	bool	 keepalive;
	int	 backlog;
};
void	 net_listen_opts(int fd, const struct net_listen_opts *o);
/* Connections that wait at the listener now; -1: not known. */
int	 net_listen_waiting(int fd);
/* Accept one connection (non-blocking, close-on-exec, TCP_NODELAY); -1 with errno EAGAIN when there is none. */
int	 net_accept(int lfd, struct net_addr *peer, struct net_addr *local);
struct net_connect_opts {
	const struct net_addr *from;	/* local address; NULL: the system's choice */
	bool		 keepalive;	/* SO_KEEPALIVE */
	bool		 fastopen;	/* TCP Fast Open, where the system can */
	int		 dscp;		/* 0 to 63; -1: as it is */
};
/* As net_connect. */
int	 net_connect_opts(const struct net_addr *to, const struct net_connect_opts *o, int64_t deadline, struct err *err);
/* "af41", "ef", "throughput", "0x2e", "46" as a DSCP value; -1: unknown. */
int	 net_dscp_parse(struct sv v);
/* On a fiber: connect to <to> (from <from>, may be NULL) before <deadline> of fiber_now(); -1 and TEMP 4.4.1 otherwise. */
int	 net_connect(const struct net_addr *to, const struct net_addr *from, int64_t deadline, struct err *err);

#endif
