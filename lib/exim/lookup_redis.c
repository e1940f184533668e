/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The redis lookup (manual 9.22 and 9.27): a client of the RESP protocol, version 2, for one command at a time.
 * What a server sends is bounded in size, depth and time.
 */
#include "exim/lookup_sql.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "base/sb.h"
#include "os/time.h"

#define ARGS_MAX	32
#define LINE_LIMIT	(64 * 1024)
#define VALUE_MAX	(8 * 1024 * 1024)
#define ITEMS_MAX	100000
#define DEPTH_MAX	4
#define PORT		"6379"

struct redis {
	int		 fd;
	struct sb	 in;		/* read, not yet taken */
	size_t		 taken;
	int64_t		 deadline;	/* ms, of the answer */
};

/* ---- bytes ---- */

static int
wait_for(const struct redis *r, short events)
{
	struct pollfd p = { .fd = r->fd, .events = events };
	int64_t left;
	int n;

	do {
		left = r->deadline - os_mono_ms();
		n = left <= 0 ? 0 : poll(&p, 1, (int)left);
	} while (n == -1 && errno == EINTR);
	if (n == 0)
		errno = ETIMEDOUT;
	return (n > 0 ? 0 : -1);
}

static int
send_all(struct redis *r, struct sv v)
{
	while (v.len > 0) {
		ssize_t n = send(r->fd, v.p, v.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			v = sv_sub(v, (size_t)n, v.len);
		else if ((errno != EAGAIN && errno != EINTR) || wait_for(r, POLLOUT) == -1)
			return (-1);
	}
	return (0);
}

static int
more(struct redis *r)
{
	char buf[16384];
	ssize_t n;

	if (r->taken > 0) {
		sb_drop(&r->in, r->taken);
		r->taken = 0;
	}
	do {
		if (wait_for(r, POLLIN) == -1)
			return (-1);
		n = recv(r->fd, buf, sizeof(buf), MSG_DONTWAIT);
	} while (n == -1 && (errno == EAGAIN || errno == EINTR));
	if (n == 0)
		errno = ECONNRESET;
	if (n <= 0)
		return (-1);
	sb_addn(&r->in, buf, (size_t)n);
	if (r->in.overflow)
		errno = EMSGSIZE;
	return (r->in.overflow ? -1 : 0);
}

static int
take_line(struct redis *r, struct sv *line)
{
	for (;;) {
		struct sv v = sv_sub(sb_sv(&r->in), r->taken, r->in.len);
		ptrdiff_t nl = sv_chr(v, '\n');

		if (nl >= 0) {
			r->taken += (size_t)nl + 1;
			*line = sv_sub(v, 0, nl > 0 && v.p[nl - 1] == '\r' ? (size_t)nl - 1 : (size_t)nl);
			return (0);
		}
		if (v.len > LINE_LIMIT) {
			errno = EMSGSIZE;
			return (-1);
		}
		if (more(r) == -1)
			return (-1);
	}
}

/* <n> bytes and the line end behind them. */
static int
take_bulk(struct redis *r, size_t n, struct sv *v)
{
	while (r->in.len - r->taken < n + 2)
		if (more(r) == -1)
			return (-1);
	*v = sv_sub(sb_sv(&r->in), r->taken, r->taken + n);
	r->taken += n + 2;
	return (0);
}

/* ---- replies ---- */

enum reply { REPLY_VALUE, REPLY_NIL, REPLY_ERROR, REPLY_BROKEN };

struct answer {
	struct xb	*out;
	struct err	*err;
	size_t		 items;
};

static enum reply read_reply(struct redis *r, struct answer *a, int depth);

static enum reply
read_array(struct redis *r, struct answer *a, int64_t n, int depth)
{
	enum reply one, all = REPLY_VALUE;

	for (int64_t i = 0; i < n; i++) {
		if (a->items++ > ITEMS_MAX) {
			errno = EMSGSIZE;
			return (REPLY_BROKEN);
		}
		if (i > 0)
			xb_addc(a->out, '\n');
		one = read_reply(r, a, depth + 1);
		if (one == REPLY_BROKEN)
			return (one);
		if (one == REPLY_ERROR)
			all = one;
	}
	return (n == 0 ? REPLY_NIL : all);
}

static enum reply
read_reply(struct redis *r, struct answer *a, int depth)
{
	struct sv line, v;
	int64_t n = 0;
	char kind;

	if (depth > DEPTH_MAX) {
		errno = EMSGSIZE;
		return (REPLY_BROKEN);
	}
	if (take_line(r, &line) == -1)
		return (REPLY_BROKEN);
	errno = EPROTO;
	if (line.len == 0)
		return (REPLY_BROKEN);
	kind = line.p[0];
	v = sv_sub(line, 1, line.len);
	if (kind != '+' && kind != '-' && !num_parse(v, INT64_MIN, INT64_MAX, &n))
		return (REPLY_BROKEN);
	switch (kind) {
	case '+':
		xb_add(a->out, v);
		return (REPLY_VALUE);
	case '-':
		(void)err_set(a->err, ERR_TEMP, "4.3.0", "REDIS: query failed: " SV_FMT, SV_ARG(v));
		return (REPLY_ERROR);
	case ':':
		/* Alone it is a truth; in a list it is a number. */
		if (depth == 0)
			xb_adds(a->out, n != 0 ? "true" : "false");
		else
			xb_add(a->out, v);
		return (REPLY_VALUE);
	case '$':
		if (n < 0)
			return (REPLY_NIL);
		if (n > VALUE_MAX || take_bulk(r, (size_t)n, &v) == -1)
			return (REPLY_BROKEN);
		xb_add(a->out, v);
		return (REPLY_VALUE);
	case '*':
		return (n < 0 ? REPLY_NIL : read_array(r, a, n, depth));
	default:
		return (REPLY_BROKEN);
	}
}

/* ---- commands ---- */

/* Words by blanks, a backslash takes the next byte as it is; the words lie in <room>. */
static size_t
words_of(const char *text, char *room, struct sv args[ARGS_MAX])
{
	size_t n = 0;

	for (;;) {
		char *begin = room;

		while (sv_isspace(*text))
			text++;
		if (*text == '\0')
			return (n);
		if (n == ARGS_MAX)
			return (ARGS_MAX + 1);
		for (; *text != '\0' && !sv_isspace(*text); text++) {
			if (*text == '\\' && text[1] != '\0')
				text++;
			*room++ = *text;
		}
		args[n++] = sv_from(begin, (size_t)(room - begin));
	}
}

static enum reply
command(struct redis *r, const struct sv *args, size_t n, struct answer *a)
{
	struct sb sb = SB_INIT(VALUE_MAX);
	enum reply rep = REPLY_BROKEN;

	sb_addf(&sb, "*%zu\r\n", n);
	for (size_t i = 0; i < n; i++) {
		sb_addf(&sb, "$%zu\r\n", args[i].len);
		sb_add(&sb, args[i]);
		sb_adds(&sb, "\r\n");
	}
	r->deadline = os_mono_ms() + X_SQL_ANSWER_S * 1000;
	if (!sb.overflow && send_all(r, sb_sv(&sb)) == 0)
		rep = read_reply(r, a, 0);
	if (rep == REPLY_BROKEN)
		(void)err_set(a->err, ERR_TEMP, "4.3.0", "REDIS: query failed: %s", strerror(sb.overflow ? EMSGSIZE : errno));
	sb_free(&sb);
	return (rep);
}

/* ---- connections ---- */

static int
connect_within(int fd, const struct sockaddr *sa, socklen_t len)
{
	const struct timeval tv = { .tv_sec = X_SQL_CONNECT_S };

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	return (connect(fd, sa, len));
}

static int
open_unix(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return (-1);
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd != -1 && connect_within(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1) {
		(void)close(fd);
		return (-1);
	}
	return (fd);
}

static int
open_inet(const char *host, unsigned port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *ai;
	char text[16] = PORT;
	int fd = -1, saved = 0;

	if (port != 0)
		(void)snprintf(text, sizeof(text), "%u", port);
	if (getaddrinfo(host, text, &hints, &ai) != 0) {
		errno = EHOSTUNREACH;
		return (-1);
	}
	for (struct addrinfo *p = ai; p != NULL && fd == -1; p = p->ai_next) {
		fd = socket(p->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd != -1 && connect_within(fd, p->ai_addr, p->ai_addrlen) == -1) {
			saved = errno;
			(void)close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(ai);
	errno = saved;
	return (fd);
}

static void
redis_close(void *conn)
{
	struct redis *r = conn;

	(void)close(r->fd);
	sb_free(&r->in);
	free(r);
}

static bool
prepared(struct redis *r, const char *verb, const char *value, struct err *err)
{
	struct sv args[2] = { sv_cstr(verb), sv_cstr(value) };
	struct arena *a = arena_new(0);
	struct xb out;
	struct answer ans = { .out = &out, .err = err };
	bool ok;

	xb_init(&out, a, 64);
	ok = value == NULL || command(r, args, 2, &ans) == REPLY_VALUE;
	arena_free(&a);
	return (ok);
}

static void *
redis_connect(const struct x_sql_server *s, struct err *err)
{
	int fd = s->socket != NULL ? open_unix(s->socket) : open_inet(s->host == NULL ? "127.0.0.1" : s->host, s->port);
	struct redis *r;

	if (fd == -1) {
		(void)err_set(err, ERR_TEMP, "4.3.0", "REDIS connection failed: %s", strerror(errno));
		return (NULL);
	}
	r = xcalloc(1, sizeof(*r));
	r->fd = fd;
	sb_init(&r->in, VALUE_MAX + LINE_LIMIT);
	if (prepared(r, "AUTH", s->password, err) && prepared(r, "SELECT", s->db, err))
		return (r);
	redis_close(r);
	return (NULL);
}

static enum exim_found
redis_query(void *conn, const char *query, struct xb *out, bool *lost, struct err *err)
{
	struct answer a = { .out = out, .err = err };
	struct sv args[ARGS_MAX];
	char *room = xmalloc(strlen(query) + 1);
	size_t n = words_of(query, room, args);
	enum reply rep = REPLY_ERROR;

	if (n == 0 || n > ARGS_MAX)
		(void)err_set(err, ERR_TEMP, "4.3.0", "REDIS: query failed: a command of 1 to %d words is expected", ARGS_MAX);
	else
		rep = command(conn, args, n, &a);
	free(room);
	*lost = rep == REPLY_BROKEN;
	return (rep == REPLY_VALUE ? EXIM_FOUND : rep == REPLY_NIL ? EXIM_NOTFOUND : EXIM_TEMPFAIL);
}

const struct x_sql_driver x_sql_redis = { "REDIS", "REDIS", "redis_servers", 3, redis_connect, redis_query, redis_close };
