/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The login role: connections until they are logged in.  It knows the grammar, TLS and
 * vauthd, and nothing of the store.  A client without TLS leaves this process with its
 * login; of one with TLS the byte pump stays.
 */
#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/codec.h"
#include "base/hash.h"
#include "fiber/fiber.h"
#include "imap/parse.h"
#include "imap/write.h"
#include "io/tls.h"
#include "log/log.h"
#include "net/sock.h"
#include "os/fd.h"
#include "os/sandbox.h"
#include "vimapd.h"

#define TEXT_MAX	(48 * 1024)	/* a command before login; SASL lines have their own limit */
#define SASL_LINE_MAX	(AUTH_DATA_MAX / 3 * 4 + 8)
#define TLS_MS		30000
#define FAILURES_MAX	5		/* wrong passwords on one connection */
#define LISTENERS_MAX	64

static struct {
	struct daemon	*d;
	const struct box *box;
	struct tls_server *tls;		/* NULL: no certificate */
	struct auth_client *auth;
	struct hash	*hosts;		/* address to number of connections */
	size_t		 connections;
	struct login	*logins;	/* all connections */
	struct fiber	*acceptor[LISTENERS_MAX];
	size_t		 acceptors;	/* running ones */
	unsigned	 next;		/* session process that gets the next client */
} role;

struct login {
	struct stream	*s;
	struct auth_conn conn;
	const char	*service;
	int64_t		 deadline;
	unsigned	 failures, bad;
	bool		 secure;	/* TLS, or from this machine, or the box does not care */
	bool		 gone;		/* handed over: <s> is not ours any more */
	struct login	*next, **prev;
	struct log_ctx	 log;
};

/* ---- answers ---- */

static const char *
capabilities(const struct login *l, char *buf, size_t size)
{
	const char *mechs = auth_mechanisms(&l->conn, role.box->plaintext_auth, role.box->cram_md5);
	struct sb out = SB_INIT(1024);
	struct sv list = sv_cstr(mechs), mech;

	sb_adds(&out, IMAP_CAP_ALWAYS);
	if (role.tls != NULL && !l->conn.tls)
		sb_adds(&out, " STARTTLS");
	if (!l->secure)
		sb_adds(&out, " LOGINDISABLED");
	while (sv_word(&list, &mech))
		sb_addf(&out, " AUTH=" SV_FMT, SV_ARG(mech));
	(void)snprintf(buf, size, "%s", sb_cstr(&out));
	sb_free(&out);
	return (buf);
}

static void
update_secure(struct login *l)
{
	l->secure = l->conn.tls || role.box->plaintext_auth || net_addr_is_loopback(&l->conn.peer);
}

/* One line for each login that failed, in words that fail2ban's dovecot filter knows. */
static void
log_failure(const struct login *l, struct sv user, const char *method, const char *why)
{
	char rip[NET_ADDR_TEXT_MAX], lip[NET_ADDR_TEXT_MAX];
	struct sb name = SB_INIT(512);

	imap_put_text(&name, sv_sub(user, 0, 128));
	log_info(&l->log, "imap-login: Aborted login (%s, %u attempts): user=<%s>, method=%s, rip=%s, lip=%s%s", why,
	    l->failures, sb_cstr(&name), method, net_addr_text(&l->conn.peer, rip), net_addr_text(&l->conn.local, lip),
	    l->conn.tls ? ", TLS" : "");
	sb_free(&name);
}

/* Tell the client why it is not logged in; false: close. */
static bool
refused(struct login *l, const struct imap_command *c, enum auth_result r, struct sv user, const char *method,
    const struct err *err)
{
	struct sb text = SB_INIT(ERR_TEXT_MAX);

	imap_put_text(&text, sv_cstr(err->text));
	switch (r) {
	case AUTH_TEMP:
		(void)stream_printf(l->s, SV_FMT " NO [UNAVAILABLE] %s\r\n", SV_ARG(c->tag), sb_cstr(&text));
		log_err(&l->log, "login", err);
		break;
	case AUTH_BANNED:
		(void)stream_printf(l->s, "* BYE %s\r\n" SV_FMT " NO [AUTHENTICATIONFAILED] %s\r\n", sb_cstr(&text),
		    SV_ARG(c->tag), sb_cstr(&text));
		log_failure(l, user, method, "auth failed, banned");
		break;
	default:
		l->failures++;
		(void)stream_printf(l->s, SV_FMT " NO [AUTHENTICATIONFAILED] %s\r\n", SV_ARG(c->tag), sb_cstr(&text));
		log_failure(l, user, method, "auth failed");
	}
	sb_free(&text);
	if (r != AUTH_BANNED && l->failures < FAILURES_MAX)
		return (true);
	if (r != AUTH_BANNED)
		(void)stream_printf(l->s, "* BYE Too many wrong passwords.\r\n");
	return (false);
}

/* ---- handing over ---- */

static int
session_pair(struct sv user)
{
	int64_t workers = role.box->imap_workers;
	unsigned n = workers > 0 ? (unsigned)workers : 1, start;
	int fd = -1;

	/* The same user goes to the same process: sessions of one mailbox share their sequence map. */
	start = (unsigned)(hash_bytes(user.p, user.len) % n);
	for (unsigned i = 0; i < n && fd == -1; i++)
		fd = daemon_pair(role.d, (int)((start + i) % n));
	return (fd);
}

static void
take_input(struct stream *s, struct sb *input)
{
	struct sv piece;

	while (stream_has_input(s) && stream_peek(s, &piece) == STREAM_OK) {
		sb_add(input, piece);
		stream_skip(s, piece.len);
	}
}

static bool
hand_over_plain(struct login *l, struct daemon_handover *h, int pair, struct err *err)
{
	struct sb input = SB_INIT(DAEMON_INPUT_MAX);
	bool ok;

	if (stream_flush(l->s) != STREAM_OK) {
		l->gone = true;
		stream_close(&l->s);
		return (true);
	}
	take_input(l->s, &input);
	h->input = sb_sv(&input);
	/* Unread input stays with us when the handing over fails, so that only the descriptor is lent. */
	ok = !input.overflow && daemon_handover_send(pair, h, stream_fd(l->s), err) == 0;
	if (input.overflow)
		(void)err_set(err, ERR_PERM, NULL, "too much input behind the login");
	sb_free(&input);
	if (ok) {
		l->gone = true;
		(void)close(stream_detach(&l->s));
	}
	return (ok);
}

static bool
hand_over_tls(struct login *l, struct daemon_handover *h, int pair, struct err *err)
{
	int sv[2];

	if (os_socketpair(sv) == -1) {
		(void)err_sys(err, "make a socket pair");
		return (false);
	}
	h->pumped = true;
	(void)snprintf(h->cipher, sizeof(h->cipher), "%s", stream_tls_cipher(l->s));
	if (daemon_handover_send(pair, h, sv[1], err) == -1) {
		(void)close(sv[0]);
		(void)close(sv[1]);
		return (false);
	}
	(void)close(sv[1]);
	l->gone = true;
	daemon_pump(l->s, sv[0], IMAP_WRITE_MS);
	l->s = NULL;
	return (true);
}

/* The client is who it says: the session role answers its login. */
static bool
logged_in(struct login *l, const struct imap_command *c, const struct auth_user *who, const char *method)
{
	struct daemon_handover h = { .peer = l->conn.peer, .local = l->conn.local };
	struct err err = ERR_INIT;
	int pair = session_pair(sv_cstr(who->name));
	bool ok;

	(void)snprintf(h.user, sizeof(h.user), "%s", who->name);
	(void)snprintf(h.tag, sizeof(h.tag), SV_FMT, SV_ARG(c->tag));
	(void)snprintf(h.method, sizeof(h.method), "%s", method);
	ok = l->conn.tls ? hand_over_tls(l, &h, pair, &err) : hand_over_plain(l, &h, pair, &err);
	if (!ok) {
		log_err(&l->log, "login", &err);
		(void)stream_printf(l->s, SV_FMT " NO [UNAVAILABLE] No session can be opened now.\r\n", SV_ARG(c->tag));
	}
	return (false);
}

/* ---- LOGIN and AUTHENTICATE ---- */

static bool
do_login(struct login *l, const struct imap_command *c)
{
	struct err err = ERR_INIT;
	struct auth_user who;
	enum auth_result r;

	if (!l->secure) {
		(void)stream_printf(l->s, SV_FMT " NO [PRIVACYREQUIRED] Say STARTTLS first.\r\n", SV_ARG(c->tag));
		log_failure(l, c->user, "PLAIN", "tried to use disabled plaintext auth");
		return (true);
	}
	r = auth_login(role.auth, &l->conn, c->user, c->password, &who, &err);
	if (r != AUTH_OK)
		return (refused(l, c, r, c->user, "PLAIN", &err));
	return (logged_in(l, c, &who, "PLAIN"));
}

/* Send a challenge and read the answer, decoded.  1: got it, 0: the client gave up (answered), -1: close. */
static int
challenge_client(struct login *l, const struct imap_command *c, struct sv challenge, struct sb *answer)
{
	struct sb b64 = SB_INIT(SASL_LINE_MAX);
	struct sv line;

	base64_encode(&b64, challenge);
	(void)stream_printf(l->s, "+ %s\r\n", sb_cstr(&b64));
	sb_free(&b64);
	if (stream_read_line(l->s, SASL_LINE_MAX, &line) != STREAM_OK)
		return (-1);
	line = sv_trim(line);
	sb_clear(answer);
	if (sv_eqs(line, "*")) {
		imap_reply_bad(l->s, c->tag, "Authentication cancelled");
		return (0);
	}
	if (!base64_decode(answer, line)) {
		imap_reply_bad(l->s, c->tag, "Malformed base64");
		return (0);
	}
	return (1);
}

/* Steps of the exchange until there is a verdict; AUTH_CONTINUE: ended without one, *<rc> as challenge_client. */
static enum auth_result
exchange(struct login *l, const struct imap_command *c, const struct sv *initial, struct auth_user *who, int *rc,
    struct err *err)
{
	struct sb challenge = SB_INIT(AUTH_DATA_MAX), answer = SB_INIT(AUTH_DATA_MAX);
	struct auth_exchange *x = NULL;
	enum auth_result r;

	*rc = 1;
	r = auth_start(role.auth, &l->conn, c->mech, initial, &x, &challenge, who, err);
	while (r == AUTH_CONTINUE) {
		*rc = challenge_client(l, c, sb_sv(&challenge), &answer);
		if (*rc != 1) {
			auth_abort(&x);
			break;
		}
		sb_clear(&challenge);
		r = auth_step(&x, sb_sv(&answer), &challenge, who, err);
	}
	if (r == AUTH_OK && challenge.len > 0 && (*rc = challenge_client(l, c, sb_sv(&challenge), &answer)) != 1)
		r = AUTH_CONTINUE;
	sb_free(&challenge);
	sb_free(&answer);
	return (r);
}

static bool
do_authenticate(struct login *l, const struct imap_command *c)
{
	const char *mechs = auth_mechanisms(&l->conn, role.box->plaintext_auth, role.box->cram_md5);
	struct sb first = SB_INIT(AUTH_DATA_MAX);
	struct sv list = sv_cstr(mechs), mech, initial;
	struct err err = ERR_INIT;
	struct auth_user who;
	enum auth_result r;
	char method[32];
	bool offered = false;
	int rc = 1;

	while (sv_word(&list, &mech))
		offered = offered || sv_caseeq(mech, c->mech);
	if (!offered) {
		(void)stream_printf(l->s, SV_FMT " NO %s\r\n", SV_ARG(c->tag), l->secure ?
		    "[CANNOT] Mechanism not offered." : "[PRIVACYREQUIRED] Say STARTTLS first.");
		return (true);
	}
	(void)snprintf(method, sizeof(method), SV_FMT, SV_ARG(c->mech));
	if (c->initial.p != NULL && !sv_eqs(c->initial, "=") && !base64_decode(&first, c->initial)) {
		imap_reply_bad(l->s, c->tag, "Malformed base64");
		sb_free(&first);
		return (true);
	}
	initial = sb_sv(&first);
	stream_set_timeout(l->s, l->deadline - fiber_now() > 1 ? l->deadline - fiber_now() : 1, IMAP_WRITE_MS);
	r = exchange(l, c, c->initial.p == NULL ? NULL : &initial, &who, &rc, &err);
	sb_free(&first);
	if (r == AUTH_CONTINUE)
		return (rc == 0);
	if (r != AUTH_OK)
		return (refused(l, c, r, SV_LIT(""), method, &err));
	return (logged_in(l, c, &who, method));
}

static bool
do_starttls(struct login *l, const struct imap_command *c)
{
	struct err err = ERR_INIT;

	if (role.tls == NULL || l->conn.tls) {
		imap_reply_bad(l->s, c->tag, "TLS is not available");
		return (true);
	}
	if (tls_server_refresh(role.tls, &err) == -1)
		log_err(&l->log, "certificates", &err);
	(void)stream_printf(l->s, SV_FMT " OK Begin TLS negotiation now.\r\n", SV_ARG(c->tag));
	if (stream_starttls(l->s, role.tls, TLS_MS) != STREAM_OK) {
		log_info(&l->log, "STARTTLS failed: %s", stream_error(l->s));
		return (false);
	}
	l->conn.tls = true;
	update_secure(l);
	return (true);
}

/* ---- the connection ---- */

/* False: close. */
static bool
run_command(struct login *l, const struct imap_command *c)
{
	char caps[512];

	switch (c->verb) {
	case IMAP_CAPABILITY:
		(void)stream_printf(l->s, "* CAPABILITY %s\r\n" SV_FMT " OK Capability completed.\r\n",
		    capabilities(l, caps, sizeof(caps)), SV_ARG(c->tag));
		return (true);
	case IMAP_NOOP:
		(void)stream_printf(l->s, SV_FMT " OK NOOP completed.\r\n", SV_ARG(c->tag));
		return (true);
	case IMAP_ID:
		imap_reply_id(l->s, c->tag);
		return (true);
	case IMAP_LOGOUT:
		(void)stream_printf(l->s, "* BYE Logging out\r\n" SV_FMT " OK Logout completed.\r\n", SV_ARG(c->tag));
		return (false);
	case IMAP_STARTTLS:
		return (do_starttls(l, c));
	case IMAP_LOGIN:
		return (do_login(l, c));
	case IMAP_AUTHENTICATE:
		return (do_authenticate(l, c));
	default:
		imap_reply_bad(l->s, c->tag, "Log in first");
		return (true);
	}
}

static bool
one_command(struct login *l)
{
	struct sb text = SB_INIT(TEXT_MAX);
	struct arena *a = NULL;
	struct imap_command c;
	const char *why = NULL;
	bool on = false;

	switch (imap_command_gather(l->s, &text, l->deadline)) {
	case IMAP_GOT:
		a = arena_new(1024);
		if (imap_command_parse(a, sb_sv(&text), &c, &why)) {
			l->bad = 0;
			on = run_command(l, &c);
			break;
		}
		imap_reply_bad(l->s, c.tag, why);
		on = ++l->bad < IMAP_BAD_MAX_LOGIN;
		break;
	case IMAP_GOT_APPEND:
		/* Its message would be read as commands. */
		(void)stream_printf(l->s, "* BYE Log in first.\r\n");
		break;
	case IMAP_GOT_BAD:
		on = ++l->bad < IMAP_BAD_MAX_LOGIN;
		break;
	case IMAP_GOT_CLOSE:
		break;
	}
	if (!on && l->bad >= IMAP_BAD_MAX_LOGIN && l->s != NULL)
		(void)stream_printf(l->s, "* BYE Too many invalid commands.\r\n");
	if (text.p != NULL)
		explicit_bzero(text.p, text.len);
	sb_free(&text);
	if (a != NULL)
		arena_free(&a);
	return (on && !l->gone);
}

static void
host_count(const struct net_addr *a, int delta, size_t *now)
{
	char buf[NET_ADDR_TEXT_MAX];
	struct sv key = sv_cstr(net_addr_text(a, buf));
	uintptr_t n = (uintptr_t)hash_get(role.hosts, key);

	n = delta < 0 ? n - 1 : n + (uintptr_t)delta;
	if (n == 0)
		(void)hash_del(role.hosts, key);
	else
		(void)hash_set(role.hosts, key, (void *)n);
	*now = (size_t)n;
}

static void
maybe_done(void)
{
	if (daemon_draining(role.d) && role.connections == 0 && role.acceptors == 0)
		daemon_worker_done(role.d);
}

static void
connection(void *arg)
{
	struct login *l = arg;
	char caps[512];
	size_t n;
	bool on = true;

	if (strcmp(l->service, "imaps") == 0) {
		on = stream_starttls(l->s, role.tls, TLS_MS) == STREAM_OK;
		l->conn.tls = on;
		if (!on)
			log_info(&l->log, "TLS failed: %s", stream_error(l->s));
	}
	update_secure(l);
	if (on)
		(void)stream_printf(l->s, "* OK [CAPABILITY %s] vpost ready.\r\n", capabilities(l, caps, sizeof(caps)));
	while (on)
		on = one_command(l);
	stream_close(&l->s);
	host_count(&l->conn.peer, -1, &n);
	role.connections--;
	*l->prev = l->next;
	if (l->next != NULL)
		l->next->prev = l->prev;
	free(l);
	maybe_done();
}

/* ---- accepting ---- */

static void
turn_away(int fd, const char *text)
{
	(void)send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)close(fd);
}

static void
accepted(int fd, const struct daemon_listener *from, const struct net_addr *peer, const struct net_addr *local)
{
	char buf[NET_ADDR_TEXT_MAX];
	struct login *l;
	size_t n;

	host_count(peer, 1, &n);
	if ((int64_t)role.connections >= role.box->max_sessions || (int64_t)n > role.box->max_sessions_per_host) {
		host_count(peer, -1, &n);
		turn_away(fd, "* BYE Too many connections.\r\n");
		log_info(NULL, "imap-login: too many connections: rip=%s", net_addr_text(peer, buf));
		return;
	}
	l = xcalloc(1, sizeof(*l));
	l->s = stream_new(fd);
	l->service = from->service;
	l->conn = (struct auth_conn){ .service = "imap", .peer = *peer, .local = *local };
	l->deadline = FIBER_NOW_PLUS(role.box->login_timeout * 1000);
	log_ctx_set(&l->log, "peer=%s:%u", net_addr_text(peer, buf), peer->port);
	if (fiber_spawn("imap login", connection, l) == NULL) {
		host_count(peer, -1, &n);
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

static int
start(struct daemon *d, struct err *err)
{
	struct err tls_err = ERR_INIT;

	role.d = d;
	role.box = daemon_box(d);
	role.hosts = hash_new();
	role.auth = auth_client_new(box_path(role.box, BOX_SOCK_AUTH));
	role.tls = tls_server_new(box_path(role.box, role.box->tls_dir), &tls_err);
	if (role.tls == NULL)
		log_warn(NULL, "no TLS: %s", tls_err.text);
	for (const struct daemon_listener *l = daemon_listeners(d); l->fd != -1; l++) {
		struct fiber *f;

		if (strcmp(l->service, "imaps") == 0 && role.tls == NULL)
			continue;
		if (role.acceptors == LISTENERS_MAX || (f = fiber_spawn("imap accept", acceptor, (void *)(uintptr_t)l)) == NULL)
			return (err_set(err, ERR_TEMP, NULL, "too many listeners"));
		role.acceptor[role.acceptors++] = f;
	}
	return (0);
}

/* At the end of the daemon those who did not log in are not waited for; pumps end with their sessions. */
static void
drain(struct daemon *d)
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
static int
sandbox(struct daemon *d, struct err *err)
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

const struct daemon_role imap_login_role = { .name = "login", .start = start, .drain = drain, .sandbox = sandbox };
