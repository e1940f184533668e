/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP sockets: see sock.h. */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "fiber/fiber.h"
#include "net/sock.h"
#include "os/fd.h"

#define BACKLOG	1024

static int
tcp_socket(const struct net_addr *a)
{
	return (socket(a->family == 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

static bool
is_any(const struct net_addr *a)
{
	static const uint8_t zero[16];

	return (memcmp(a->ip, zero, 16) == 0);
}

int
net_listen(const struct net_addr *a, struct err *err)
{
	struct sockaddr_storage ss;
	socklen_t len = net_addr_to_sockaddr(a, &ss);
	char text[NET_ADDR_TEXT_MAX];
	int fd = tcp_socket(a), on = 1, v6only = !is_any(a);

	if (fd == -1)
		return (err_sys(err, "socket for %s port %u", net_addr_text(a, text), a->port));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->family == 6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
	/* Accepted sockets inherit it, which saves a call for each. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&ss, len) == -1 || listen(fd, BACKLOG) == -1) {
		int why = errno;

		(void)err_sys(err, "listen on %s port %u", net_addr_text(a, text), a->port);
		(void)close(fd);
		errno = why;
		return (-1);
	}
	return (fd);
}

void
net_listen_opts(int fd, const struct net_listen_opts *o)
{
	int nodelay = o->nodelay, keepalive = o->keepalive;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, sizeof(nodelay));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &keepalive, sizeof(keepalive));
	if (o->backlog > 0)
		(void)listen(fd, o->backlog);
}

int
net_listen_waiting(int fd)
{
	struct tcp_info ti;
	socklen_t len = sizeof(ti);

	memset(&ti, 0, sizeof(ti));
	/* Of a listening socket: how many connections wait to be accepted. */
	return (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len) == -1 ? -1 : (int)ti.tcpi_unacked);
}

void
net_local(int fd, struct net_addr *out)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	memset(out, 0, sizeof(*out));
	if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
		net_addr_from_sockaddr(out, (struct sockaddr *)&ss);
}

int
net_accept(int lfd, struct net_addr *peer, struct net_addr *local)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int fd;

	do {
		len = sizeof(ss);
		fd = os_accept_tcp(lfd, (struct sockaddr *)&ss, &len);
	} while (fd == -1 && (errno == EINTR || errno == ECONNABORTED));
	if (fd == -1)
		return (-1);
	net_addr_from_sockaddr(peer, (struct sockaddr *)&ss);
	if (local != NULL)
		net_local(fd, local);
	return (fd);
}

/* Wait for the connection under way on <fd>; 0, or an errno. */
static int
wait_connected(int fd, int64_t deadline)
{
	int e = 0;
	socklen_t len = sizeof(e);

	switch (fiber_wait_fd(fd, FIBER_WRITE, deadline)) {
	case FIBER_TIMEOUT:
		return (ETIMEDOUT);
	case FIBER_CANCELLED:
		return (ECANCELED);
	case FIBER_READY:
		break;
	}
	return (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) == -1 ? errno : e);
}

static int
hex_value(struct sv v)
{
	int n = 0;

	if (v.len == 0 || v.len > 2)
		return (-1);
	for (size_t i = 0; i < v.len; i++) {
		char c = sv_lower(v.p[i]);

		if (!sv_isdigit(c) && (c < 'a' || c > 'f'))
			return (-1);
		n = n * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return (n);
}

/* RFC 2474, 2597, 3246 and the bits of the old type-of-service byte. */
int
net_dscp_parse(struct sv v)
{
	static const struct { const char *name; int value; } t[] = {
		{ "default", 0 }, { "cs0", 0 }, { "cs1", 8 }, { "cs2", 16 }, { "cs3", 24 }, { "cs4", 32 }, { "cs5", 40 }, { "cs6", 48 },
		{ "cs7", 56 }, { "af11", 10 }, { "af12", 12 }, { "af13", 14 }, { "af21", 18 }, { "af22", 20 }, { "af23", 22 }, { "af31", 26 },
		{ "af32", 28 }, { "af33", 30 }, { "af41", 34 }, { "af42", 36 }, { "af43", 38 }, { "ef", 46 }, { "lowdelay", 0x10 >> 2 },
		{ "throughput", 0x08 >> 2 }, { "reliability", 0x04 >> 2 }, { "mincost", 0x02 >> 2 }, { "lowcost", 0x02 >> 2 },
	};
	int64_t n;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (sv_caseeqs(v, t[i].name))
			return (t[i].value);
	if (sv_casestarts(v, "0x"))
		n = hex_value(sv_sub(v, 2, v.len));
	else if (!num_parse(v, 0, 63, &n))
		n = -1;
	return (n < 0 || n > 63 ? -1 : (int)n);
}

static void
set_opts(int fd, const struct net_addr *to, const struct net_connect_opts *o)
{
	int on = 1, tos = o->dscp < 0 ? 0 : o->dscp << 2;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (o->keepalive)
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (o->dscp >= 0 && to->family == 4)
		(void)setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	if (o->dscp >= 0 && to->family != 4)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
}

int
net_connect_opts(const struct net_addr *to, const struct net_connect_opts *o, int64_t deadline, struct err *err)
{
	struct sockaddr_storage ss;
	socklen_t len;
	char text[NET_ADDR_TEXT_MAX];
	int fd, e = 0;

	fd = tcp_socket(to);
	if (fd == -1)
		return (err_sys(err, "socket"));
	set_opts(fd, to, o);
	if (o->from != NULL && o->from->family == to->family) {
		len = net_addr_to_sockaddr(o->from, &ss);
		if (bind(fd, (struct sockaddr *)&ss, len) == -1) {
			e = errno;
			(void)err_sys(err, "bind to %s", net_addr_text(o->from, text));
			goto fail;
		}
	}
	len = net_addr_to_sockaddr(to, &ss);
	if ((o->fastopen ? os_connect_fast(fd, (struct sockaddr *)&ss, len) : connect(fd, (struct sockaddr *)&ss, len)) == -1) {
		e = errno;
		if (e == EINPROGRESS || e == EINTR)
			e = wait_connected(fd, deadline);
	}
	if (e == 0)
		return (fd);
	(void)err_set(err, ERR_TEMP, "4.4.1", "connect to %s port %u: %s", net_addr_text(to, text), to->port,
	    strerror(e));
fail:
	(void)close(fd);
	errno = e;
	return (-1);
}

int
net_connect(const struct net_addr *to, const struct net_addr *from, int64_t deadline, struct err *err)
{
	const struct net_connect_opts o = { .from = from, .dscp = -1 };

	return (net_connect_opts(to, &o, deadline, err));
}
