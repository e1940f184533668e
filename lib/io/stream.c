/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Buffered streams on sockets, for fibers.  Every server and client session reads
 * and writes through here.  A read is tried before the fiber parks, unless the last
 * one was short (then the socket is known to be empty); output is gathered until the
 * fiber would wait for input, so pipelined commands are answered by one send(2).
 */
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "io/stream_int.h"

#define DEFAULT_TIMEOUT	300000
#define CLOSE_TIMEOUT	2000
#define DISCARD_READS	64
#define OUT_FIRST	1024
#define FILE_COPY_MAX	32768		/* smaller files go through the buffer, together with what surrounds them */

struct stream *
stream_new(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags != -1 && (flags & O_NONBLOCK) == 0)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	return (stream_new_accepted(fd));
}

struct stream *
stream_new_accepted(int fd)
{
	struct stream *s = xcalloc(1, sizeof(*s));

	assert(fd >= 0);
	s->fd = fd;
	s->read_ms = DEFAULT_TIMEOUT;
	s->write_ms = DEFAULT_TIMEOUT;
	return (s);
}

static void
stream_free(struct stream **sp)
{
	struct stream *s = *sp;

	free(s->in);
	free(s->out);
	free(s->error);
	free(s);
	*sp = NULL;
}

/*
 * Throw away input that nobody read: with it in the socket, close(2) would send a reset, and the peer
 * could lose the last reply before it has read it.
 */
static void
discard_input(int fd)
{
	char junk[4096];

	for (int i = 0; i < DISCARD_READS && recv(fd, junk, sizeof(junk), MSG_DONTWAIT) > 0; i++)
		;
}

void
stream_close(struct stream **sp)
{
	struct stream *s = *sp;

	if (s == NULL)
		return;
	if (!s->dead && s->out_len > s->out_off) {
		if (s->write_ms > CLOSE_TIMEOUT)
			s->write_ms = CLOSE_TIMEOUT;
		(void)stream_flush(s);
	}
	stream_tls_end(s);
	fiber_io_close(&s->io);
	discard_input(s->fd);
	(void)close(s->fd);
	stream_free(sp);
}

int
stream_detach(struct stream **sp)
{
	struct stream *s = *sp;
	int fd = s->fd;

	assert(s->tls == NULL && s->in_len == s->in_off && s->out_len == s->out_off);
	fiber_io_close(&s->io);
	stream_free(sp);
	return (fd);
}

int
stream_fd(const struct stream *s)
{
	return (s->fd);
}

const char *
stream_error(const struct stream *s)
{
	return (s->error == NULL ? "" : s->error);
}

void
stream_set_timeout(struct stream *s, int64_t read_ms, int64_t write_ms)
{
	s->read_ms = read_ms;
	s->write_ms = write_ms;
}

void
stream_set_trace(struct stream *s, void (*fn)(void *arg, bool out, struct sv bytes), void *arg)
{
	s->trace = fn;
	s->trace_arg = arg;
}

uint64_t
stream_bytes_in(const struct stream *s)
{
	return (s->bytes_in);
}

uint64_t
stream_bytes_out(const struct stream *s)
{
	return (s->bytes_out);
}

/* The first error stays. */
enum stream_result
stream_fail(struct stream *s, const char *fmt, ...)
{
	va_list ap;
	char buf[256];

	s->dead = true;
	if (s->error == NULL) {
		va_start(ap, fmt);
		(void)vsnprintf(buf, sizeof(buf), fmt, ap);
		va_end(ap);
		s->error = xstrdup(buf);
	}
	return (STREAM_ERROR);
}

/* ---- the descriptor ---- */

enum stream_try
stream_raw_read(struct stream *s, void *p, size_t size, size_t *n)
{
	ssize_t r;

	*n = 0;
	if (s->drained)
		return (TRY_WANT_READ);
	do
		r = read(s->fd, p, size);
	while (r == -1 && errno == EINTR);
	if (r > 0) {
		s->drained = (size_t)r < size;
		*n = (size_t)r;
		return (TRY_DONE);
	}
	if (r == 0)
		return (TRY_EOF);
	if (errno == EAGAIN || errno == EWOULDBLOCK) {
		s->drained = true;
		return (TRY_WANT_READ);
	}
	if (errno == ECONNRESET)
		return (TRY_EOF);
	(void)stream_fail(s, "read: %s", strerror(errno));
	return (TRY_ERROR);
}

enum stream_try
stream_raw_write(struct stream *s, const void *p, size_t size, size_t *n)
{
	ssize_t r;

	*n = 0;
	do
		r = send(s->fd, p, size, MSG_NOSIGNAL);
	while (r == -1 && errno == EINTR);
	if (r >= 0) {
		*n = (size_t)r;
		return (TRY_DONE);
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return (TRY_WANT_WRITE);
	(void)stream_fail(s, "write: %s", strerror(errno));
	return (TRY_ERROR);
}

enum stream_result
stream_await(struct stream *s, enum stream_try want, int64_t deadline)
{
	int what = want == TRY_WANT_WRITE ? FIBER_WRITE : FIBER_READ;

	if (s->io == NULL)
		s->io = fiber_io_new(s->fd);
	switch (fiber_io_wait(s->io, what, deadline)) {
	case FIBER_READY:
		if (what == FIBER_READ)
			s->drained = false;
		return (STREAM_OK);
	case FIBER_TIMEOUT:
		return (STREAM_TIMEOUT);
	default:
		return (STREAM_CANCELLED);
	}
}

static enum stream_result
try_failed(struct stream *s, enum stream_try t)
{
	if (t == TRY_EOF) {
		s->eof = true;
		return (STREAM_EOF);
	}
	return (STREAM_ERROR);
}

/* ---- input ---- */

static void
in_release(struct stream *s)
{
	free(s->in);
	s->in = NULL;
	s->in_cap = s->in_off = s->in_len = 0;
}

/* Make room behind the buffered bytes; the bytes before <in_off> may go. */
static void
in_room(struct stream *s)
{
	size_t have = s->in_len - s->in_off;

	if (s->in != NULL && have == 0 && s->wide && s->in_cap < STREAM_READ_WIDE)
		in_release(s);
	if (s->in == NULL) {
		s->in_cap = s->wide ? STREAM_READ_WIDE : STREAM_READ_SIZE;
		s->in = xmalloc(s->in_cap);
		s->in_off = s->in_len = 0;
		return;
	}
	if (s->in_off > 0) {
		if (have > 0)
			memmove(s->in, s->in + s->in_off, have);
		s->in_off = 0;
		s->in_len = have;
	}
	if (s->in_cap - s->in_len < STREAM_READ_SIZE / 4) {
		s->in_cap *= 2;
		s->in = xrealloc(s->in, s->in_cap);
	}
}

/* Add what the peer sends next, at least one byte.  Waiting with nothing buffered costs no buffer. */
static enum stream_result
in_fill(struct stream *s, int64_t deadline)
{
	enum stream_result r;
	enum stream_try t;
	size_t n;

	if (s->out_len > s->out_off && (r = stream_flush(s)) != STREAM_OK)
		return (r);
	if (s->eof)
		return (STREAM_EOF);
	for (;;) {
		if (s->drained && !stream_tls_pending(s)) {
			t = TRY_WANT_READ;
		} else {
			in_room(s);
			if (s->tls != NULL)
				t = stream_tls_read(s, s->in + s->in_len, s->in_cap - s->in_len, &n);
			else
				t = stream_raw_read(s, s->in + s->in_len, s->in_cap - s->in_len, &n);
			if (t == TRY_DONE)
				break;
			if (t == TRY_EOF || t == TRY_ERROR)
				return (try_failed(s, t));
		}
		if (s->in_len == s->in_off)
			in_release(s);
		if ((r = stream_await(s, t, deadline)) != STREAM_OK)
			return (r);
	}
	if (n == s->in_cap - s->in_len)
		s->wide = true;
	else if (n < STREAM_READ_SIZE / 4)
		s->wide = false;
	if (s->trace != NULL)
		s->trace(s->trace_arg, false, sv_from(s->in + s->in_len, n));
	s->in_len += n;
	s->bytes_in += n;
	return (STREAM_OK);
}

/* The line has passed <max>: keep its head and eat up to its LF. */
static enum stream_result
eat_line(struct stream *s, size_t max, int64_t deadline, struct sv *line)
{
	enum stream_result r;
	char *lf;

	for (;;) {
		s->in_len = s->in_off + max;
		if ((r = in_fill(s, deadline)) != STREAM_OK)
			return (r);
		lf = memchr(s->in + s->in_off + max, '\n', s->in_len - s->in_off - max);
		if (lf != NULL)
			break;
	}
	*line = sv_from(s->in + s->in_off, max);
	s->in_off = (size_t)(lf + 1 - s->in);
	return (STREAM_TOO_LONG);
}

enum stream_result
stream_read_line(struct stream *s, size_t max, struct sv *line)
{
	int64_t deadline = 0;
	enum stream_result r;
	size_t seen = 0, have, len;
	char *lf;

	assert(max > 0);
	for (;;) {
		have = s->in_len - s->in_off;
		if (have > seen) {
			lf = memchr(s->in + s->in_off + seen, '\n', have - seen);
			if (lf != NULL) {
				len = (size_t)(lf + 1 - (s->in + s->in_off));
				*line = sv_from(s->in + s->in_off, len < max ? len : max);
				s->in_off += len;
				return (len > max ? STREAM_TOO_LONG : STREAM_OK);
			}
			seen = have;
		}
		if (deadline == 0)
			deadline = FIBER_NOW_PLUS(s->read_ms);
		if (have > max)
			return (eat_line(s, max, deadline, line));
		if ((r = in_fill(s, deadline)) != STREAM_OK)
			return (r);
	}
}

enum stream_result
stream_peek(struct stream *s, struct sv *piece)
{
	enum stream_result r;

	if (s->in_len == s->in_off && (r = in_fill(s, FIBER_NOW_PLUS(s->read_ms))) != STREAM_OK)
		return (r);
	*piece = sv_from(s->in + s->in_off, s->in_len - s->in_off);
	return (STREAM_OK);
}

void
stream_skip(struct stream *s, size_t n)
{
	assert(n <= s->in_len - s->in_off);
	s->in_off += n;
}

enum stream_result
stream_read(struct stream *s, size_t max, struct sv *piece)
{
	enum stream_result r = stream_peek(s, piece);

	if (r == STREAM_OK) {
		if (piece->len > max)
			piece->len = max;
		s->in_off += piece->len;
	}
	return (r);
}

enum stream_result
stream_read_full(struct stream *s, size_t n, struct sb *out)
{
	enum stream_result r;
	struct sv piece;

	while (n > 0) {
		if ((r = stream_read(s, n, &piece)) != STREAM_OK)
			return (r);
		sb_add(out, piece);
		n -= piece.len;
	}
	return (STREAM_OK);
}

void
stream_unread(struct stream *s, struct sv v)
{
	size_t have = s->in_len - s->in_off, cap = v.len + have;
	char *p;

	if (v.len == 0)
		return;
	if (cap < STREAM_READ_SIZE)
		cap = STREAM_READ_SIZE;
	p = xmalloc(cap);
	memcpy(p, v.p, v.len);
	if (have > 0)
		memcpy(p + v.len, s->in + s->in_off, have);
	free(s->in);
	s->in = p;
	s->in_cap = cap;
	s->in_off = 0;
	s->in_len = v.len + have;
}

bool
stream_has_input(const struct stream *s)
{
	return (s->in_len > s->in_off || stream_tls_pending(s));
}

bool
stream_input_ready(struct stream *s)
{
	enum stream_try t;
	size_t n;

	if (s->in_len > s->in_off)
		return (true);
	s->drained = false;
	in_room(s);
	if (s->tls != NULL)
		t = stream_tls_read(s, s->in, s->in_cap, &n);
	else
		t = stream_raw_read(s, s->in, s->in_cap, &n);
	if (t != TRY_DONE) {
		if (t == TRY_EOF)
			s->eof = true;
		in_release(s);
		return (false);
	}
	if (s->trace != NULL)
		s->trace(s->trace_arg, false, sv_from(s->in, n));
	s->in_len = n;
	s->bytes_in += n;
	return (true);
}

enum stream_result
stream_wait_input(struct stream *s, int64_t deadline)
{
	enum stream_result r;

	if ((r = stream_flush(s)) != STREAM_OK)
		return (r);
	if (stream_has_input(s))
		return (STREAM_OK);
	if (s->eof)
		return (STREAM_EOF);
	in_release(s);
	return (stream_await(s, TRY_WANT_READ, deadline));
}

/* ---- output ---- */

size_t
stream_pending(const struct stream *s)
{
	return (s->out_len - s->out_off);
}

/* Write <size> bytes at <p>, waiting as needed. */
static enum stream_result
write_all(struct stream *s, const char *p, size_t size)
{
	int64_t deadline = 0;
	enum stream_result r;
	enum stream_try t;
	size_t n;

	while (size > 0) {
		if (s->dead)
			return (STREAM_ERROR);
		t = s->tls != NULL ? stream_tls_write(s, p, size, &n) : stream_raw_write(s, p, size, &n);
		if (t == TRY_DONE) {
			if (s->trace != NULL)
				s->trace(s->trace_arg, true, sv_from(p, n));
			s->bytes_out += n;
			p += n;
			size -= n;
			continue;
		}
		if (t == TRY_EOF)
			return (stream_fail(s, "write: the peer closed the connection"));
		if (t == TRY_ERROR)
			return (STREAM_ERROR);
		if (deadline == 0)
			deadline = FIBER_NOW_PLUS(s->write_ms);
		if ((r = stream_await(s, t, deadline)) != STREAM_OK) {
			s->dead = true;
			return (r);
		}
	}
	return (STREAM_OK);
}

enum stream_result
stream_flush(struct stream *s)
{
	enum stream_result r;
	char *p = s->out;
	size_t off = s->out_off, len = s->out_len;

	if (len == off)
		return (STREAM_OK);
	/* What is written now is nobody else's: another write may come while this one waits. */
	s->out = NULL;
	s->out_cap = s->out_off = s->out_len = 0;
	r = write_all(s, p + off, len - off);
	free(p);
	return (r);
}

enum stream_result
stream_write(struct stream *s, struct sv v)
{
	enum stream_result r;
	size_t need = s->out_len + v.len;

	if (v.len == 0)
		return (STREAM_OK);
	if (s->dead)
		return (STREAM_ERROR);
	if (need > STREAM_WRITE_MAX) {
		if ((r = stream_flush(s)) != STREAM_OK)
			return (r);
		if (v.len >= STREAM_WRITE_MAX)
			return (write_all(s, v.p, v.len));
		need = s->out_len + v.len;
	}
	if (need > s->out_cap) {
		size_t cap = s->out_cap == 0 ? OUT_FIRST : s->out_cap;

		while (cap < need)
			cap *= 2;
		s->out = xrealloc(s->out, cap);
		s->out_cap = cap;
	}
	memcpy(s->out + s->out_len, v.p, v.len);
	s->out_len = need;
	return (STREAM_OK);
}

enum stream_result
stream_printf(struct stream *s, const char *fmt, ...)
{
	enum stream_result r;
	va_list ap;
	char buf[1024], *big;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	assert(n >= 0);
	if ((size_t)n < sizeof(buf))
		return (stream_write(s, sv_from(buf, (size_t)n)));
	big = xmalloc((size_t)n + 1);
	va_start(ap, fmt);
	(void)vsnprintf(big, (size_t)n + 1, fmt, ap);
	va_end(ap);
	r = stream_write(s, sv_from(big, (size_t)n));
	free(big);
	return (r);
}

/* ---- files ---- */

static enum stream_result
file_by_copy(struct stream *s, int fd, int64_t off, int64_t len)
{
	enum stream_result r;
	size_t size = len < STREAM_READ_SIZE ? (size_t)len : STREAM_READ_SIZE;
	char *buf = xmalloc(size);
	ssize_t n;

	for (r = STREAM_OK; len > 0 && r == STREAM_OK; len -= n, off += n) {
		n = pread(fd, buf, (size_t)len < size ? (size_t)len : size, off);
		if (n <= 0) {
			r = stream_fail(s, "reading a file to send: %s", n == 0 ? "it is shorter than it was" :
			    strerror(errno));
			break;
		}
		r = stream_write(s, sv_from(buf, (size_t)n));
	}
	free(buf);
	return (r);
}

static enum stream_result
file_by_kernel(struct stream *s, int fd, int64_t off, int64_t len)
{
	enum stream_result r;
	off_t at = off;
	ssize_t n;

	while (len > 0) {
		n = sendfile(s->fd, fd, &at, len > INT32_MAX / 2 ? INT32_MAX / 2 : (size_t)len);
		if (n > 0) {
			len -= n;
			s->bytes_out += (uint64_t)n;
			continue;
		}
		if (n == 0)
			return (stream_fail(s, "sendfile: the file is shorter than it was"));
		if (errno == EINTR)
			continue;
		if (errno == EINVAL || errno == ENOSYS)
			return (file_by_copy(s, fd, at, len));
		if (errno != EAGAIN)
			return (stream_fail(s, "sendfile: %s", strerror(errno)));
		if ((r = stream_await(s, TRY_WANT_WRITE, FIBER_NOW_PLUS(s->write_ms))) != STREAM_OK) {
			s->dead = true;
			return (r);
		}
	}
	return (STREAM_OK);
}

enum stream_result
stream_send_file(struct stream *s, int fd, int64_t off, int64_t len)
{
	enum stream_result r;

	if (s->dead)
		return (STREAM_ERROR);
	if (s->tls != NULL || s->trace != NULL || len <= FILE_COPY_MAX)
		return (file_by_copy(s, fd, off, len));
	if ((r = stream_flush(s)) != STREAM_OK)
		return (r);
	return (file_by_kernel(s, fd, off, len));
}
