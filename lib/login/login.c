/* SPDX-License-Identifier: BSD-2-Clause */
/* Accepting, limits, TLS and the end of connections before login; see login.h. */
#include "login/login.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/hash.h"
#include "fiber/fiber.h"
#include "io/tls.h"
#include "login/login_int.h"
#include "net/sock.h"
#include "os/sandbox.h"

#define TLS_MS		30000
#define LISTENERS_MAX	64

struct login_role login_role;

static struct {
	struct hash	*hosts;		/* client to number of connections */
	size_t		 connections;
	struct login	*logins;	/* all connections but the pumps */
	struct fiber	*acceptor[LISTENERS_MAX];
	size_t		 acceptors;	/* running ones */
} role;

/* IPv6 clients are counted by /64: a host has as many addresses as it likes. */
static size_t
host_count(const struct net_addr *a, int delta)
{
	struct sv key = sv_from((const char *)a->ip, a->family == 4 ? 4 : 8);
	uintptr_t n = (uintptr_t)hash_get(role.hosts, key);

	n = delta < 0 ? n - 1 : n + 1;
	if (n == 0)
		(void)hash_del(role.hosts, key);
	else
		(void)hash_set(role.hosts, key, (void *)n);
	return ((size_t)n);
}

static void
maybe_done(void)
{
	if (daemon_draining(login_role.d) && role.connections == 0 && role.acceptors == 0)
		daemon_worker_done(login_role.d);
}

void
login_unlink(struct login *l)
{
	if (l->prev == NULL)
		return;
	*l->prev = l->next;
	if (l->next != NULL)
		l->next->prev = l->prev;
	l->prev = NULL;
}

/* ---- TLS ---- */

static void
update_secure(struct login *l)
{
	l->secure = l->conn.tls || login_role.box->plaintext_auth || net_addr_is_loopback(&l->conn.peer);
}

bool
login_starttls(struct login *l)
{
	struct err err = ERR_INIT;

	if (tls_server_refresh(login_role.tls, &err) == -1)
		log_err(&l->log, "certificates", &err);
	if (stream_starttls(l->s, login_role.tls, TLS_MS) != STREAM_OK) {
		log_info(&l->log, "TLS failed: %s", stream_error(l->s));
		return (false);
	}
	l->conn.tls = true;
	update_secure(l);
	return (true);
}

/* ---- a connection ---- */

static void
connection(void *arg)
{
	struct login *l = arg;
	bool on = true;

	fiber_set_local(&l->log);
	if (strcmp(l->service, login_role.proto->tls_service) == 0)
		on = login_starttls(l);
	update_secure(l);
	if (on)
		login_role.proto->greet(l);
	while (on)
		on = login_role.proto->command(l) && !l->gone;
	stream_close(&l->s);
	(void)host_count(&l->conn.peer, -1);
	role.connections--;
	login_unlink(l);
	free(l);
	maybe_done();
}

static void
accepted(int fd, const struct daemon_listener *from, const struct net_addr *peer, const struct net_addr *local)
{
	const struct login_proto *p = login_role.proto;
	size_t n = host_count(peer, 1);
	char buf[NET_ADDR_TEXT_MAX];
	struct login *l;

	if ((int64_t)role.connections >= login_role.box->max_sessions ||
	    (int64_t)n > login_role.box->max_sessions_per_host) {
		(void)host_count(peer, -1);
		/* Who waits for a handshake could not read it. */
		if (strcmp(from->service, p->tls_service) != 0)
			(void)send(fd, p->busy, strlen(p->busy), MSG_NOSIGNAL | MSG_DONTWAIT);
		(void)close(fd);
		log_info(NULL, "%s-login: too many connections: rip=%s", p->name, net_addr_text(peer, buf));
		return;
	}
	l = xcalloc(1, p->size);
	l->s = stream_new(fd);
	l->service = from->service;
	l->conn = (struct auth_conn){ .service = p->name, .peer = *peer, .local = *local };
	l->deadline = FIBER_NOW_PLUS(login_role.box->login_timeout * 1000);
	log_ctx_set(&l->log, "peer=%s:%u", net_addr_text(peer, buf), peer->port);
	if (fiber_spawn("login", connection, l) == NULL) {
		(void)host_count(peer, -1);
		stream_close(&l->s);
		free(l);
		return;
	}
	role.connections++;
	l->next = role.logins;
	l->prev = &role.logins;
	if (l->next != NULL)
		l->next->prev = &l->next;
	role.logins = l;
}

static void
acceptor(void *arg)
{
	const struct daemon_listener *from = arg;
	struct net_addr peer, local;
	int fd;

	while (fiber_wait_fd(from->fd, FIBER_READ, FIBER_FOREVER) == FIBER_READY) {
		while ((fd = net_accept(from->fd, &peer, &local)) != -1)
			accepted(fd, from, &peer, &local);
		/* Out of descriptors: a pause, or the loop would spin. */
		if (errno == EMFILE || errno == ENFILE)
			(void)fiber_sleep(100);
	}
	role.acceptors--;
	maybe_done();
}

/* ---- the process ---- */

int
login_start(struct daemon *d, const struct login_proto *p, struct err *err)
{
	struct err tls_err = ERR_INIT;

	login_role.proto = p;
	login_role.d = d;
	login_role.box = daemon_box(d);
	role.hosts = hash_new();
	login_role.auth = auth_client_new(box_path(login_role.box, BOX_SOCK_AUTH));
	login_role.tls = tls_server_new(box_path(login_role.box, login_role.box->tls_dir), &tls_err);
	if (login_role.tls == NULL)
		log_warn(NULL, "no TLS: %s", tls_err.text);
	for (const struct daemon_listener *l = daemon_listeners(d); l->fd != -1; l++) {
		struct fiber *f;

		if (strcmp(l->service, p->tls_service) == 0 && login_role.tls == NULL)
			continue;
		if (role.acceptors == LISTENERS_MAX || (f = fiber_spawn("accept", acceptor, (void *)(uintptr_t)l)) == NULL)
			return (err_set(err, ERR_TEMP, NULL, "too many listeners"));
		role.acceptor[role.acceptors++] = f;
	}
	return (0);
}

/* At the end of the daemon those who did not log in are not waited for; pumps end with their sessions. */
void
login_drain(struct daemon *d)
{
	for (size_t i = 0; i < LISTENERS_MAX && role.acceptor[i] != NULL; i++) {
		fiber_cancel(role.acceptor[i]);
		role.acceptor[i] = NULL;
	}
	for (struct login *l = role.logins; l != NULL && daemon_ending(d); l = l->next)
		if (!l->gone)
			(void)shutdown(stream_fd(l->s), SHUT_RD);
	maybe_done();
}

/* Nothing of the mail: certificates, the socket of vauthd, the log. */
int
login_sandbox(struct daemon *d, struct err *err)
{
	const struct box *b = daemon_box(d);
	const struct os_sandbox_path paths[] = {
		{ box_path(b, b->tls_dir), OS_ACCESS_READ },
		{ box_path(b, BOX_RUN), OS_ACCESS_READ | OS_ACCESS_WRITE },
		{ box_path(b, BOX_LOG), OS_ACCESS_READ | OS_ACCESS_WRITE },
		{ "/etc/localtime", OS_ACCESS_READ }, { "/usr/share/zoneinfo", OS_ACCESS_READ },
		{ NULL, 0 },
	};
	const struct os_sandbox s = { .paths = paths, .unix_sockets = true };

	return (os_sandbox_apply(&s, err));
}
