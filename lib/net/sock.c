/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP sockets: see sock.h. */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

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
		(void)err_sys(err, "listen on %s port %u", net_addr_text(a, text), a->port);
		(void)close(fd);
		return (-1);
	}
	return (fd);
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

int
net_connect(const struct net_addr *to, const struct net_addr *from, int64_t deadline, struct err *err)
{
	struct sockaddr_storage ss;
	socklen_t len;
	char text[NET_ADDR_TEXT_MAX];
	int fd, e = 0, on = 1;

	fd = tcp_socket(to);
	if (fd == -1)
		return (err_sys(err, "socket"));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (from != NULL && from->family == to->family) {
		len = net_addr_to_sockaddr(from, &ss);
		if (bind(fd, (struct sockaddr *)&ss, len) == -1) {
			e = errno;
			(void)err_sys(err, "bind to %s", net_addr_text(from, text));
			goto fail;
		}
	}
	len = net_addr_to_sockaddr(to, &ss);
	if (connect(fd, (struct sockaddr *)&ss, len) == -1) {
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
