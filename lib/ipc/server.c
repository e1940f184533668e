/* SPDX-License-Identifier: BSD-2-Clause */
/* Servers: a fiber accepts, and one for each peer reads. */
#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fiber/fiber.h"
#include "ipc/ipc_int.h"
#include "os/fd.h"

struct ipc_server {
	struct ipc_handler h;
	int		 fd;
	bool		 any_uid;
	bool		 closing;
	unsigned	 refs;		/* the owner, the acceptor, each peer */
	struct fiber	*acceptor;
	struct ipc_peer	*peers;
};

struct ipc_peer {
	struct ipc_server *server;
	struct conn	*conn;
	unsigned	 refs;
	uid_t		 uid;
	void		*data;
	struct ipc_peer	*prev, *next;
};

static void
server_unref(struct ipc_server *s)
{
	if (--s->refs == 0)
		free(s);
}

struct ipc_peer *
ipc_peer_ref(struct ipc_peer *p)
{
	p->refs++;
	return (p);
}

void
ipc_peer_unref(struct ipc_peer **pp)
{
	struct ipc_peer *p = *pp;

	*pp = NULL;
	if (p == NULL || --p->refs > 0)
		return;
	conn_unref(&p->conn);
	server_unref(p->server);
	free(p);
}

static void
peer_main(void *arg)
{
	struct ipc_peer *p = arg;
	struct ipc_server *s = p->server;
	struct ipc_msg m;
	struct sv frame;
	int fd;

	if (s->h.connected != NULL && !s->closing)
		s->h.connected(s->h.arg, p);
	while (!s->closing && conn_read(p->conn, &frame, &fd)) {
		if (!ipc_parse(&m, frame)) {
			if (fd != -1)
				(void)close(fd);
			break;
		}
		s->h.message(s->h.arg, p, &m, fd);
	}
	conn_kill(p->conn);
	if (s->h.closed != NULL)
		s->h.closed(s->h.arg, p);
	*(p->prev != NULL ? &p->prev->next : &s->peers) = p->next;
	if (p->next != NULL)
		p->next->prev = p->prev;
	ipc_peer_unref(&p);
}

static void
add_peer(struct ipc_server *s, int fd)
{
	struct ipc_peer *p;
	uid_t uid;
	gid_t gid;
	pid_t pid;

	if (os_peer_id(fd, &uid, &gid, &pid) == -1 || (!s->any_uid && uid != 0 && uid != geteuid())) {
		(void)close(fd);
		return;
	}
	p = xcalloc(1, sizeof(*p));
	p->server = s;
	p->refs = 1;
	p->uid = uid;
	p->conn = conn_new(fd);
	s->refs++;
	if (fiber_spawn("ipc-peer", peer_main, p) == NULL) {
		ipc_peer_unref(&p);
		return;
	}
	p->next = s->peers;
	if (p->next != NULL)
		p->next->prev = p;
	s->peers = p;
}

static void
accept_main(void *arg)
{
	struct ipc_server *s = arg;
	struct fiber_io *io = fiber_io_new(s->fd);
	int fd;

	while (!s->closing && fiber_io_wait(io, FIBER_READ, FIBER_FOREVER) == FIBER_READY) {
		fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd != -1)
			add_peer(s, fd);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			(void)fiber_sleep(100);
	}
	fiber_io_close(&io);
	(void)close(s->fd);
	s->acceptor = NULL;
	server_unref(s);
}

struct ipc_server *
ipc_server_new(int listen_fd, const struct ipc_handler *h, bool any_uid, struct err *err)
{
	struct ipc_server *s = xcalloc(1, sizeof(*s));

	s->h = *h;
	s->fd = listen_fd;
	s->any_uid = any_uid;
	s->refs = 2;
	s->acceptor = fiber_spawn("ipc-accept", accept_main, s);
	if (s->acceptor == NULL) {
		(void)err_set(err, ERR_TEMP, NULL, "too many fibers");
		free(s);
		return (NULL);
	}
	return (s);
}

void
ipc_server_free(struct ipc_server **sp)
{
	struct ipc_server *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	s->closing = true;
	for (struct ipc_peer *p = s->peers; p != NULL; p = p->next)
		conn_kill(p->conn);
	if (s->acceptor != NULL)
		fiber_cancel(s->acceptor);
	server_unref(s);
}

int
ipc_listen(const char *path, mode_t mode, struct err *err)
{
	int fd = os_unix_listen(path, mode);

	return (fd == -1 ? err_sys(err, "listen on %s", path) : fd);
}

bool
ipc_reply(struct ipc_peer *p, uint32_t serial, const struct sb *msg, int fd)
{
	return (conn_send(p->conn, msg, serial, fd));
}

bool
ipc_push(struct ipc_peer *p, const struct sb *msg)
{
	return (conn_send(p->conn, msg, 0, -1));
}

size_t
ipc_peer_backlog(const struct ipc_peer *p)
{
	return (conn_backlog(p->conn));
}

uid_t
ipc_peer_uid(const struct ipc_peer *p)
{
	return (p->uid);
}

void
ipc_peer_set_data(struct ipc_peer *p, void *data)
{
	p->data = data;
}

void *
ipc_peer_data(const struct ipc_peer *p)
{
	return (p->data);
}

void
ipc_peer_close(struct ipc_peer *p)
{
	conn_kill(p->conn);
}
