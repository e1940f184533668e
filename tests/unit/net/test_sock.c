/* SPDX-License-Identifier: BSD-2-Clause */
/* What accepted connections inherit of their listener: tcp_nodelay, smtp_accept_keepalive. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/sock.h"

static int
value(int fd, int level, int option)
{
	int v = -1;
	socklen_t len = sizeof(v);

	assert_int_equal(getsockopt(fd, level, option, &v, &len), 0);
	return (v);
}

static void
test_inherited(void **state)
{
	static const struct net_listen_opts rows[] = {
		{ .nodelay = true, .keepalive = true }, { .nodelay = false, .keepalive = true }, { .nodelay = true, .keepalive = false },
		{ .nodelay = false, .keepalive = false, .backlog = 5 }, { .nodelay = true, .keepalive = true },
	};
	struct net_addr any = { 0 }, at, peer;
	struct sockaddr_storage ss;
	struct err err = ERR_INIT;
	socklen_t len;
	int lfd;

	(void)state;
	assert_true(net_addr_parse(SV_LIT("127.0.0.1"), &any));
	lfd = net_listen(&any, &err);
	assert_true(lfd != -1);
	net_local(lfd, &at);
	len = net_addr_to_sockaddr(&at, &ss);
	/* The same listener, as after a reload with tcp_nodelay or smtp_accept_keepalive changed. */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), s;
		struct pollfd p = { .fd = lfd, .events = POLLIN };

		net_listen_opts(lfd, &rows[i]);
		assert_int_equal(net_listen_waiting(lfd), 0);
		assert_int_equal(connect(c, (struct sockaddr *)&ss, len), 0);
		assert_int_equal(poll(&p, 1, 3000), 1);
		assert_int_equal(net_listen_waiting(lfd), 1);
		s = net_accept(lfd, &peer, NULL);
		assert_true(s != -1);
		assert_int_equal(value(s, IPPROTO_TCP, TCP_NODELAY) != 0, rows[i].nodelay);
		assert_int_equal(value(s, SOL_SOCKET, SO_KEEPALIVE) != 0, rows[i].keepalive);
		(void)close(s);
		(void)close(c);
	}
	(void)close(lfd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_inherited) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
