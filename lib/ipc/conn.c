/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection.  Frames queued in a turn of the loop go out together at its end,
 * with one system call; when the socket is full, a fiber waits for it and goes on.  A
 * frame with a descriptor begins a system call of its own kind: one descriptor per
 * sendmsg, and the receiver pairs descriptors with the frames that are flagged, in order.
 */
#include <sys/socket.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/codec.h"
#include "ipc/ipc_int.h"
#include "os/fd.h"

#define IN_BUF		16384
#define IN_BUF_BUSY	65536	/* where one read filled that */
#define OUT_KEEP	65536	/* capacity that an idle connection keeps */

static struct conn *dirty;

struct conn *
conn_new(int fd)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->fd = fd;
	c->refs = 1;
	c->io = fiber_io_new(fd);
	sb_init(&c->out, OUT_MAX);
	return (c);
}

struct conn *
conn_ref(struct conn *c)
{
	c->refs++;
	return (c);
}

void
conn_unref(struct conn **cp)
{
	struct conn *c = *cp;

	*cp = NULL;
	if (c == NULL || --c->refs > 0)
		return;
	assert(!c->dirty && c->writer == NULL);
	fiber_io_close(&c->io);
	(void)close(c->fd);
	for (size_t i = 0; i < c->ninfds; i++)
		(void)close(c->infds[i]);
	for (size_t i = 0; i < c->outfds.len; i++)
		(void)close(c->outfds.p[i].fd);
	vec_free(&c->outfds);
	sb_free(&c->out);
	free(c->buf);
	free(c);
}

/* ---- reading ---- */

/* A whole frame lies in the buffer: its length with the length word; 0: not yet; -1: it can never be right. */
static ssize_t
have_frame(const struct conn *c)
{
	uint32_t len;

	if (c->end - c->start < 4)
		return (0);
	len = get_le32((const uint8_t *)c->buf + c->start);
	if (len < FRAME_HEAD - 4 || len > IPC_FRAME_MAX)
		return (-1);
	return (c->end - c->start >= (size_t)len + 4 ? (ssize_t)len + 4 : 0);
}

static void
make_room(struct conn *c)
{
	size_t have = c->end - c->start, want = c->more ? IN_BUF_BUSY : IN_BUF;

	if (have >= 4)
		want = (size_t)get_le32((const uint8_t *)c->buf + c->start) + 4;
	if (want < IN_BUF)
		want = IN_BUF;
	if (c->start > 0 && have > 0)
		memmove(c->buf, c->buf + c->start, have);
	c->start = 0;
	c->end = have;
	if (c->cap < want || (have == 0 && c->cap > 4 * IN_BUF)) {
		c->buf = xrealloc(c->buf, want);
		c->cap = want;
	}
}

/* Read once; false at the end. */
static bool
fill(struct conn *c)
{
	ssize_t n;
	int fd;

	if (!c->more && fiber_io_wait(c->io, FIBER_READ, FIBER_FOREVER) != FIBER_READY)
		return (false);
	n = os_recvmsg(c->fd, c->buf + c->end, c->cap - c->end, &fd);
	if (n == -1 && errno == EAGAIN) {
		c->more = false;
		return (true);
	}
	if (n <= 0)
		return (false);
	c->more = (size_t)n == c->cap - c->end;
	c->end += (size_t)n;
	if (fd == -1)
		return (true);
	/* A read ends behind the bytes that brought a descriptor: there may be more. */
	c->more = true;
	if (c->ninfds == FDS_MAX) {
		(void)close(fd);
		return (false);
	}
	c->infds[c->ninfds++] = fd;
	return (true);
}

bool
conn_read(struct conn *c, struct sv *frame, int *fd)
{
	ssize_t n;

	*fd = -1;
	while ((n = have_frame(c)) == 0) {
		if (c->dead || fiber_cancelled())
			return (false);
		make_room(c);
		if (!fill(c))
			return (false);
	}
	if (n < 0)
		return (false);
	*frame = sv_from(c->buf + c->start + 4, (size_t)n - 4);
	c->start += (size_t)n;
	if ((get_le16((const uint8_t *)frame->p + 2) & FLAG_FD) == 0)
		return (true);
	if (c->ninfds == 0)
		return (false);
	*fd = c->infds[0];
	c->ninfds--;
	memmove(c->infds, c->infds + 1, c->ninfds * sizeof(c->infds[0]));
	return (true);
}

/* ---- writing ---- */

static void
wrote(struct conn *c, size_t n)
{
	c->outoff += n;
	c->outpos += n;
	if (c->outoff < c->out.len)
		return;
	c->outoff = 0;
	if (c->out.cap > OUT_KEEP)
		sb_free(&c->out);
	else
		sb_clear(&c->out);
}

/* Write what the socket takes, with <fd> if the first byte is its frame's (else the queued one); false: it is full or dead. */
static bool
write_some(struct conn *c)
{
	while (c->outoff < c->out.len) {
		struct iovec iov = { .iov_base = c->out.p + c->outoff, .iov_len = c->out.len - c->outoff };
		int fd = -1;
		ssize_t n;

		/* Up to the next descriptor's frame, or from there up to the one after. */
		if (c->outfds.len > 0 && c->outfds.p[0].at == c->outpos)
			fd = c->outfds.p[0].fd;
		for (size_t i = fd != -1; i < c->outfds.len && i < 2; i++) {
			uint64_t upto = c->outfds.p[i].at - c->outpos;

			if (upto < iov.iov_len)
				iov.iov_len = (size_t)upto;
		}
		n = os_sendmsg(c->fd, &iov, 1, fd);
		if (n == -1) {
			if (errno != EAGAIN && errno != ENOBUFS)
				c->dead = true;
			return (false);
		}
		if (fd != -1) {
			(void)close(fd);
			vec_remove(&c->outfds, 0);
		}
		wrote(c, (size_t)n);
	}
	return (true);
}

static void
writer_main(void *arg)
{
	struct conn *c = arg;

	while (!c->dead && c->outoff < c->out.len) {
		if (fiber_wait_fd(c->fd, FIBER_WRITE, FIBER_FOREVER) != FIBER_READY)
			break;
		(void)write_some(c);
	}
	c->writer = NULL;
	if (c->dead)
		(void)shutdown(c->fd, SHUT_RDWR);
	conn_unref(&c);
}

static void
flush(struct conn *c)
{
	if (c->writer != NULL || c->dead || write_some(c))
		return;
	if (c->dead || (c->writer = fiber_spawn("ipc-write", writer_main, conn_ref(c))) == NULL) {
		if (!c->dead)
			c->refs--;
		c->dead = true;
		(void)shutdown(c->fd, SHUT_RDWR);
	}
}

static void
flush_all(void *arg)
{
	struct conn *c;

	(void)arg;
	while ((c = dirty) != NULL) {
		dirty = c->next_dirty;
		c->dirty = false;
		flush(c);
		conn_unref(&c);
	}
}

static void
mark_dirty(struct conn *c)
{
	if (c->dirty)
		return;
	if (dirty == NULL)
		fiber_on_turn_end(flush_all, NULL);
	c->dirty = true;
	c->next_dirty = dirty;
	dirty = conn_ref(c);
}

bool
conn_send(struct conn *c, const struct sb *msg, uint32_t serial, int fd)
{
	uint8_t *head;
	uint64_t at = c->outpos + (c->out.len - c->outoff);
	size_t start;
	int own;

	if (c->dead || msg->overflow || msg->len < FRAME_HEAD)
		return (false);
	/* What is written already makes room first. */
	if (c->outoff > 0 && c->outoff >= c->out.len / 2) {
		sb_drop(&c->out, c->outoff);
		c->outoff = 0;
	}
	start = c->out.len;
	sb_addn(&c->out, msg->p, msg->len);
	if (c->out.overflow) {
		/* The peer does not read: better a broken connection than endless memory. */
		conn_kill(c);
		return (false);
	}
	head = (uint8_t *)c->out.p + start;
	put_le32(head, (uint32_t)msg->len - 4);
	put_le16(head + 6, fd != -1 ? FLAG_FD : 0);
	put_le32(head + 8, serial);
	if (fd != -1) {
		if ((own = fcntl(fd, F_DUPFD_CLOEXEC, 3)) == -1) {
			sb_cut(&c->out, start);
			return (false);
		}
		vec_push(&c->outfds, ((struct conn_fd){ at, own }));
	}
	mark_dirty(c);
	return (true);
}

size_t
conn_backlog(const struct conn *c)
{
	return (c->out.len - c->outoff);
}

void
conn_kill(struct conn *c)
{
	if (c->dead)
		return;
	if (c->writer == NULL)
		(void)write_some(c);
	c->dead = true;
	if (c->writer != NULL)
		fiber_cancel(c->writer);
	(void)shutdown(c->fd, SHUT_RDWR);
}
