/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client that logged in goes from the login role to the session role: see
 * handover.h.  The record is a frame of ipc/ipc.h behind a length of four bytes; the
 * descriptor travels with that length.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "daemon/handover.h"
#include "fiber/fiber.h"
#include "ipc/ipc.h"
#include "os/fd.h"

#define WAIT_MS		30000
#define RECORD_TYPE	1

enum { F_USER = 1, F_TAG, F_METHOD, F_CIPHER, F_PEER, F_PEER_PORT, F_LOCAL, F_LOCAL_PORT, F_PUMPED, F_INPUT };

/* One record at a time: two fibers must not mix their bytes. */
static bool sending;
static struct fiber_waiters senders;

static void
put_addr(struct sb *m, uint8_t tag, const struct net_addr *a)
{
	char buf[NET_ADDR_TEXT_MAX];

	ipc_put_str(m, tag, net_addr_text(a, buf));
	ipc_put_u64(m, (uint8_t)(tag + 1), a->port);
}

static void
encode(struct sb *m, const struct daemon_handover *h)
{
	ipc_begin(m, RECORD_TYPE);
	ipc_put_str(m, F_USER, h->user);
	ipc_put_str(m, F_TAG, h->tag);
	ipc_put_str(m, F_METHOD, h->method);
	ipc_put_str(m, F_CIPHER, h->cipher);
	put_addr(m, F_PEER, &h->peer);
	put_addr(m, F_LOCAL, &h->local);
	ipc_put_u64(m, F_PUMPED, h->pumped);
	ipc_put_bytes(m, F_INPUT, h->input);
}

static int
send_all(int pair, struct sv v, int fd, struct err *err)
{
	while (v.len > 0) {
		struct iovec iov = { (void *)(uintptr_t)v.p, v.len };
		ssize_t n = os_sendmsg(pair, &iov, 1, fd);

		if (n > 0) {
			v = sv_sub(v, (size_t)n, v.len);
			fd = -1;
		} else if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			if (fiber_wait_fd(pair, FIBER_WRITE, FIBER_NOW_PLUS(WAIT_MS)) != FIBER_READY)
				return (err_set(err, ERR_TEMP, NULL, "the session process does not take sessions"));
		} else if (n == -1 && errno != EINTR) {
			return (err_sys(err, "hand a session over"));
		}
	}
	return (0);
}

int
daemon_handover_send(int pair, const struct daemon_handover *h, int fd, struct err *err)
{
	struct sb m = SB_INIT(IPC_FRAME_MAX), out = SB_INIT(IPC_FRAME_MAX + 4);
	uint8_t len[4];
	int rc = -1;

	if (pair == -1)
		return (err_set(err, ERR_TEMP, NULL, "there is no session process"));
	while (sending)
		if (fiber_waiters_wait(&senders, FIBER_NOW_PLUS(WAIT_MS)) != FIBER_READY)
			return (err_set(err, ERR_TEMP, NULL, "the session process does not take sessions"));
	sending = true;
	encode(&m, h);
	put_le32(len, (uint32_t)m.len);
	sb_addn(&out, len, sizeof(len));
	sb_add(&out, sb_sv(&m));
	rc = send_all(pair, sb_sv(&out), fd, err);
	sending = false;
	fiber_waiters_wake_one(&senders);
	sb_free(&m);
	sb_free(&out);
	return (rc);
}

/* Exactly <n> bytes; a descriptor that comes along goes to *<fd>.  1: end of input before the first byte. */
static int
receive_all(int pair, void *p, size_t n, int *fd, struct err *err)
{
	char *q = p;
	size_t have = 0;

	while (have < n) {
		int got;
		ssize_t r = os_recvmsg(pair, q + have, n - have, &got);

		if (r > 0) {
			if (got != -1)
				*fd = got;
			have += (size_t)r;
		} else if (r == 0) {
			return (have == 0 ? 1 : err_set(err, ERR_TEMP, NULL, "a handed over session was cut short"));
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			if (fiber_wait_fd(pair, FIBER_READ, FIBER_FOREVER) != FIBER_READY)
				return (1);
		} else if (errno != EINTR) {
			return (err_sys(err, "take a session over"));
		}
	}
	return (0);
}

static void
get_str(const struct ipc_msg *m, uint8_t tag, char *buf, size_t size)
{
	struct sv v = sv_sub(ipc_get_bytes(m, tag), 0, size - 1);

	if (v.len > 0)
		memcpy(buf, v.p, v.len);
	buf[v.len] = '\0';
}

static void
get_addr(const struct ipc_msg *m, uint8_t tag, struct net_addr *a)
{
	memset(a, 0, sizeof(*a));
	(void)net_addr_parse(ipc_get_bytes(m, tag), a);
	a->port = (uint16_t)ipc_get_u64(m, (uint8_t)(tag + 1), 0);
}

static void
decode(const struct ipc_msg *m, struct daemon_handover *h)
{
	memset(h, 0, sizeof(*h));
	get_str(m, F_USER, h->user, sizeof(h->user));
	get_str(m, F_TAG, h->tag, sizeof(h->tag));
	get_str(m, F_METHOD, h->method, sizeof(h->method));
	get_str(m, F_CIPHER, h->cipher, sizeof(h->cipher));
	get_addr(m, F_PEER, &h->peer);
	get_addr(m, F_LOCAL, &h->local);
	h->pumped = ipc_get_u64(m, F_PUMPED, 0) != 0;
	h->input = ipc_get_bytes(m, F_INPUT);
}

int
daemon_handover_receive(int pair, struct daemon_handover *h, struct sb *mem, int *fd, struct err *err)
{
	struct ipc_msg m = { .type = 0 };
	uint8_t len[4];
	uint32_t n;
	int rc;

	*fd = -1;
	sb_clear(mem);
	rc = receive_all(pair, len, sizeof(len), fd, err);
	if (rc != 0)
		return (rc);
	n = get_le32(len);
	if (*fd == -1 || n < 4 || n > IPC_FRAME_MAX || sb_room(mem, n) == NULL)
		return (err_set(err, ERR_PERM, NULL, "a handed over session is malformed"));
	rc = receive_all(pair, mem->p, n, fd, err);
	if (rc != 0)
		return (rc == 1 ? -1 : rc);
	sb_took(mem, n);
	/* The frame starts with its own length. */
	if (!ipc_parse(&m, sv_sub(sb_sv(mem), 4, mem->len)))
		return (err_set(err, ERR_PERM, NULL, "a handed over session is malformed"));
	decode(&m, h);
	return (0);
}
