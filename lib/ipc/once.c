/* SPDX-License-Identifier: BSD-2-Clause */
/* One question without a loop, for tools. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "ipc/ipc_int.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/time.h"

/* Wait for <events>; false when the time is over. */
static bool
wait_for(int fd, short events, int64_t end)
{
	struct pollfd pf = { .fd = fd, .events = events };
	int64_t left = end - os_mono_ms();

	return (left > 0 && poll(&pf, 1, (int)left) != 0);
}

static int
send_request(int s, const struct sb *req, int fd, int64_t end)
{
	uint8_t head[FRAME_HEAD];
	struct iovec iov[2];
	size_t done = 0;
	ssize_t n;

	memcpy(head, req->p, sizeof(head));
	put_le32(head, (uint32_t)req->len - 4);
	put_le16(head + 6, fd != -1 ? FLAG_FD : 0);
	put_le32(head + 8, 1);
	while (done < req->len) {
		if (done < sizeof(head)) {
			iov[0] = (struct iovec){ head + done, sizeof(head) - done };
			iov[1] = (struct iovec){ req->p + sizeof(head), req->len - sizeof(head) };
		} else {
			iov[0] = (struct iovec){ req->p + done, req->len - done };
		}
		n = os_sendmsg(s, iov, done < sizeof(head) ? 2 : 1, done == 0 ? fd : -1);
		if (n == -1 && (errno != EAGAIN || !wait_for(s, POLLOUT, end)))
			return (-1);
		if (n > 0)
			done += (size_t)n;
	}
	return (0);
}

/* Read <n> bytes to <out>; -1 with errno.  A descriptor that comes along goes to *<passed>. */
static int
receive(int s, struct sb *out, size_t n, int *passed, int64_t end)
{
	while (n > 0) {
		char *room = sb_room(out, n);
		ssize_t k;
		int fd;

		if (room == NULL) {
			errno = EMSGSIZE;
			return (-1);
		}
		k = os_recvmsg(s, room, n, &fd);
		if (fd != -1) {
			if (*passed != -1)
				(void)close(*passed);
			*passed = fd;
		}
		if (k > 0) {
			sb_took(out, (size_t)k);
			n -= (size_t)k;
		} else if (k == 0) {
			errno = ECONNRESET;
			return (-1);
		} else if (errno != EAGAIN) {
			return (-1);
		} else if (!wait_for(s, POLLIN, end)) {
			errno = ETIMEDOUT;
			return (-1);
		}
	}
	return (0);
}

static int
read_reply(int s, struct ipc_msg *reply, int *passed, int64_t end)
{
	struct sb in = SB_INIT(IPC_FRAME_MAX + 4);
	uint32_t len;

	for (;;) {
		sb_clear(&in);
		if (receive(s, &in, 4, passed, end) == -1)
			break;
		len = get_le32((const uint8_t *)in.p);
		sb_clear(&in);
		if (len > IPC_FRAME_MAX || receive(s, &in, len, passed, end) == -1)
			break;
		if (!ipc_parse(reply, sb_sv(&in))) {
			errno = EPROTO;
			break;
		}
		if (reply->serial == 1) {	/* not a notice */
			reply->own = in;
			return (0);
		}
	}
	sb_free(&in);
	return (-1);
}

int
ipc_call_once_fd(const char *path, const struct sb *req, int fd, struct ipc_msg *reply, int *reply_fd, int timeout_ms,
    struct err *err)
{
	int64_t end = os_mono_ms() + timeout_ms;
	int s = os_unix_connect(path), rc = 0, passed = -1;

	memset(reply, 0, sizeof(*reply));
	if (reply_fd != NULL)
		*reply_fd = -1;
	if (s == -1)
		return (err_set(err, ERR_TEMP, "4.3.0", "%s: %s", path, strerror(errno)));
	if (req->overflow || send_request(s, req, fd, end) == -1 || read_reply(s, reply, &passed, end) == -1) {
		rc = err_set(err, ERR_TEMP, "4.3.0", "%s: %s", path, strerror(errno));
	} else if (ipc_get_err(reply, err)) {
		ipc_msg_free(reply);
		rc = -1;
	}
	if (rc == 0 && reply_fd != NULL)
		*reply_fd = passed;
	else if (passed != -1)
		(void)close(passed);
	(void)close(s);
	return (rc);
}

int
ipc_call_once(const char *path, const struct sb *req, int fd, struct ipc_msg *reply, int timeout_ms, struct err *err)
{
	return (ipc_call_once_fd(path, req, fd, reply, NULL, timeout_ms, err));
}
