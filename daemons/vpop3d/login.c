/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The login role: the AUTHORIZATION state of RFC 1939.  It knows the grammar, TLS and
 * vauthd, and nothing of the store.  A client without TLS leaves this process with its
 * login; of one with TLS the byte pump stays.
 */
#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth/client.h"
#include "base/arena.h"
#include "base/codec.h"
#include "base/hash.h"
#include "daemon/handover.h"
#include "fiber/fiber.h"
#include "io/tls.h"
#include "log/log.h"
#include "net/sock.h"
#include "os/fd.h"
#include "os/proc.h"
#include "pop3/command.h"
#include "vpop3d.h"

#define SASL_LINE_MAX	(AUTH_DATA_MAX / 3 * 4 + 8)
#define TLS_MS		30000
#define FAILURES_MAX	5		/* wrong passwords on one connection */

struct login {
	struct stream	*s;
	struct auth_conn conn;
	const char	*service;
	int64_t		 deadline;
	unsigned	 failures, bad;
	bool		 secure;	/* TLS, or from this machine, or the box does not care */
	bool		 gone;		/* handed over: <s> is not ours any more */
	char		 user[AUTH_NAME_MAX * 2 + 1];	/* of USER */
	char		 banner[160];	/* APOP's time stamp; "" when it is not offered */
	struct log_ctx	 log;
	struct login	*next, **prev;	/* all connections before login */
};

static struct {
	struct daemon	*d;
	const struct box *box;
	struct tls_server *tls;		/* NULL: no certificate */
	struct auth_client *auth;
	struct hash	*hosts;		/* address to number of connections */
	struct login	*logins;
	char		 hostname[128];
	uint64_t	 serial;
	size_t		 connections;
	size_t		 acceptors;
} role;

/* ---- answers ---- */

static void
say_err(struct login *l, const char *why)
{
	(void)stream_printf(l->s, "-ERR %s\r\n", why);
}

static void
update_secure(struct login *l)
{
	l->secure = l->conn.tls || role.box->plaintext_auth || net_addr_is_loopback(&l->conn.peer);
}

static const char *
mechanisms(const struct login *l)
{
	return (auth_mechanisms(&l->conn, role.box->plaintext_auth, role.box->cram_md5));
}

static bool
do_capa(struct login *l)
{
	const char *mechs = mechanisms(l);

	(void)stream_printf(l->s, "+OK Capability list follows\r\n%s", l->secure ? "USER\r\n" : "");
	if (mechs[0] != '\0')
		(void)stream_printf(l->s, "SASL %s\r\n", mechs);
	if (role.tls != NULL && !l->conn.tls)
		(void)stream_printf(l->s, "STLS\r\n");
	(void)stream_printf(l->s, POP3_CAPA_ALWAYS ".\r\n");
	return (true);
}

/* One line for each login that failed, in words that fail2ban's dovecot filter knows. */
static void
log_failure(const struct login *l, struct sv user, const char *method, const char *why)
{
	char rip[NET_ADDR_TEXT_MAX], lip[NET_ADDR_TEXT_MAX], name[129];
	size_t n = 0;

	for (size_t i = 0; i < user.len && n < sizeof(name) - 1; i++)
		name[n++] = user.p[i] > ' ' && user.p[i] < 0x7f ? user.p[i] : '?';
	name[n] = '\0';
	log_info(&l->log, "pop3-login: Aborted login (%s, %u attempts): user=<%s>, method=%s, rip=%s, lip=%s%s", why,
	    l->failures, name, method, net_addr_text(&l->conn.peer, rip), net_addr_text(&l->conn.local, lip),
	    l->conn.tls ? ", TLS" : "");
}

/* Tell the client why it is not logged in; false: close. */
static bool
refused(struct login *l, enum auth_result r, struct sv user, const char *method, const struct err *err)
{
	/* RFC 3206. */
	(void)stream_printf(l->s, "-ERR [%s] %s\r\n", r == AUTH_TEMP ? "SYS/TEMP" : "AUTH", err->text);
	if (r == AUTH_TEMP) {
		log_err(&l->log, "login", err);
		return (true);
	}
	l->failures++;
	log_failure(l, user, method, r == AUTH_BANNED ? "auth failed, banned" : "auth failed");
	return (r != AUTH_BANNED && l->failures < FAILURES_MAX);
}

/* ---- handing over ---- */

static void
take_input(struct stream *s, struct sb *input)
{
	struct sv piece;

	while (stream_has_input(s) && stream_peek(s, &piece) == STREAM_OK) {
		sb_add(input, piece);
		stream_skip(s, piece.len);
	}
}

static void
unlink_login(struct login *l)
{
	if (l->prev == NULL)
		return;
	*l->prev = l->next;
	if (l->next != NULL)
		l->next->prev = l->prev;
	l->prev = NULL;
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
	/* From now on it ends with its session. */
	unlink_login(l);
	daemon_pump(l->s, sv[0], POP3_WRITE_MS);
	l->s = NULL;
	return (true);
}

/* The client is who it says: the session role answers its login.  Always the end of the login's loop. */
static bool
logged_in(struct login *l, const struct auth_user *who, const char *method)
{
	struct daemon_handover h = { .peer = l->conn.peer, .local = l->conn.local };
	int64_t workers = role.box->pop3_workers > 0 ? role.box->pop3_workers : 1;
	struct err err = ERR_INIT;
	int pair;
	bool ok;

	(void)snprintf(h.user, sizeof(h.user), "%s", who->name);
	(void)snprintf(h.method, sizeof(h.method), "%s", method);
	pair = daemon_pair(role.d, (int)(hash_bytes(h.user, strlen(h.user)) % (uint64_t)workers));
	ok = l->conn.tls ? hand_over_tls(l, &h, pair, &err) : hand_over_plain(l, &h, pair, &err);
	if (!ok) {
		log_err(&l->log, "login", &err);
		say_err(l, "[SYS/TEMP] No session can be opened now");
	}
	return (false);
}

/* ---- USER, PASS, APOP, AUTH ---- */

static bool
insecure(struct login *l, struct sv user, const char *method)
{
	if (l->secure)
		return (false);
	say_err(l, role.tls != NULL ? "[AUTH] Say STLS first: passwords are not taken without TLS" :
	    "[AUTH] Passwords are not taken without TLS");
	log_failure(l, user, method, "tried to use disabled plaintext auth");
	return (true);
}

static bool
do_user(struct login *l, const struct pop3_command *c)
{
	if (insecure(l, c->arg, "PLAIN"))
		return (true);
	if (c->arg.len >= sizeof(l->user)) {
		say_err(l, "[AUTH] The name is too long");
		return (true);
	}
	memcpy(l->user, c->arg.p, c->arg.len);
	l->user[c->arg.len] = '\0';
	/* The same for names that do not exist. */
	(void)stream_printf(l->s, "+OK please send PASS command\r\n");
	return (true);
}

static bool
do_pass(struct login *l, const struct pop3_command *c)
{
	struct err err = ERR_INIT;
	struct sv user = sv_cstr(l->user);
	struct auth_user who;
	enum auth_result r;
	bool on;

	if (user.len == 0) {
		say_err(l, "Say USER first");
		return (true);
	}
	r = auth_login(role.auth, &l->conn, user, c->arg, &who, &err);
	on = r == AUTH_OK ? logged_in(l, &who, "PLAIN") : refused(l, r, user, "PLAIN", &err);
	l->user[0] = '\0';
	return (on);
}

static bool
do_apop(struct login *l, const struct pop3_command *c)
{
	struct err err = ERR_INIT;
	struct auth_user who;
	enum auth_result r;

	if (l->banner[0] == '\0') {
		say_err(l, "[AUTH] APOP is not offered");
		return (true);
	}
	r = auth_apop(role.auth, &l->conn, c->arg, sv_cstr(l->banner), c->arg2, &who, &err);
	return (r == AUTH_OK ? logged_in(l, &who, "APOP") : refused(l, r, c->arg, "APOP", &err));
}

/* Send a challenge and read the answer, decoded.  1: got it, 0: the client gave up (answered), -1: close. */
static int
challenge_client(struct login *l, struct sv challenge, struct sb *answer)
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
	if (sv_eqs(line, "*") || !base64_decode(answer, line)) {
		say_err(l, sv_eqs(line, "*") ? "Authentication cancelled" : "Malformed base64");
		return (0);
	}
	return (1);
}

/* Steps until there is a verdict; AUTH_CONTINUE: ended without one, *<rc> as challenge_client. */
static enum auth_result
exchange(struct login *l, struct sv mech, const struct sv *initial, struct auth_user *who, int *rc, struct err *err)
{
	struct sb challenge = SB_INIT(AUTH_DATA_MAX), answer = SB_INIT(AUTH_DATA_MAX);
	struct auth_exchange *x = NULL;
	enum auth_result r;

	r = auth_start(role.auth, &l->conn, mech, initial, &x, &challenge, who, err);
	while (r == AUTH_CONTINUE) {
		*rc = challenge_client(l, sb_sv(&challenge), &answer);
		if (*rc != 1) {
			auth_abort(&x);
			break;
		}
		sb_clear(&challenge);
		r = auth_step(&x, sb_sv(&answer), &challenge, who, err);
	}
	if (r == AUTH_OK && challenge.len > 0 && (*rc = challenge_client(l, sb_sv(&challenge), &answer)) != 1)
		r = AUTH_CONTINUE;
	if (answer.p != NULL)
		explicit_bzero(answer.p, answer.cap);
	sb_free(&challenge);
	sb_free(&answer);
	return (r);
}

static bool
offered(const struct login *l, struct sv mech)
{
	struct sv list = sv_cstr(mechanisms(l)), one;

	while (sv_word(&list, &one))
		if (sv_caseeq(one, mech))
			return (true);
	return (false);
}

/* AUTH alone lists the mechanisms, as servers did before CAPA. */
static bool
list_mechanisms(struct login *l)
{
	struct sv list = sv_cstr(mechanisms(l)), one;

	(void)stream_printf(l->s, "+OK Mechanisms follow\r\n");
	while (sv_word(&list, &one))
		(void)stream_printf(l->s, SV_FMT "\r\n", SV_ARG(one));
	(void)stream_printf(l->s, ".\r\n");
	return (true);
}

static bool
do_auth(struct login *l, const struct pop3_command *c)
{
	struct sb first = SB_INIT(AUTH_DATA_MAX);
	struct err err = ERR_INIT;
	struct auth_user who;
	struct sv initial;
	enum auth_result r;
	char method[32];
	int rc = 1;

	if (c->arg.p == NULL)
		return (list_mechanisms(l));
	(void)snprintf(method, sizeof(method), SV_FMT, SV_ARG(c->arg));
	if (!offered(l, c->arg)) {
		if (!insecure(l, SV_NULL, method))
			say_err(l, "[AUTH] This mechanism is not offered");
		return (true);
	}
	if (c->arg2.p != NULL && !sv_eqs(c->arg2, "=") && !base64_decode(&first, c->arg2)) {
		say_err(l, "Malformed base64");
		sb_free(&first);
		return (true);
	}
	initial = sb_sv(&first);
	r = exchange(l, sv_cstr(method), c->arg2.p == NULL ? NULL : &initial, &who, &rc, &err);
	if (first.p != NULL)
		explicit_bzero(first.p, first.cap);
	sb_free(&first);
	if (r == AUTH_CONTINUE)
		return (rc == 0);
	return (r == AUTH_OK ? logged_in(l, &who, method) : refused(l, r, SV_NULL, method, &err));
}

static bool
do_stls(struct login *l)
{
	struct err err = ERR_INIT;

	if (role.tls == NULL || l->conn.tls) {
		say_err(l, l->conn.tls ? "TLS is on already" : "TLS is not available");
		return (true);
	}
	if (tls_server_refresh(role.tls, &err) == -1)
		log_err(&l->log, "certificates", &err);
	(void)stream_printf(l->s, "+OK Begin TLS negotiation\r\n");
	if (stream_starttls(l->s, role.tls, TLS_MS) != STREAM_OK) {
		log_info(&l->log, "STLS failed: %s", stream_error(l->s));
		return (false);
	}
	l->conn.tls = true;
	l->user[0] = '\0';
	update_secure(l);
	return (true);
}

/* ---- the connection ---- */

/* False: close. */
static bool
run_command(struct login *l, const struct pop3_command *c)
{
	switch (c->verb) {
	case POP3_CAPA:
		return (do_capa(l));
	case POP3_USER:
		return (do_user(l, c));
	case POP3_PASS:
		return (do_pass(l, c));
	case POP3_APOP:
		return (do_apop(l, c));
	case POP3_AUTH:
		return (do_auth(l, c));
	case POP3_STLS:
		return (do_stls(l));
	case POP3_QUIT:
		(void)stream_printf(l->s, "+OK POP3 server signing off\r\n");
		return (false);
	default:
		say_err(l, "Log in first");
		return (++l->bad < POP3_BAD_MAX);
	}
}

static bool
one_command(struct login *l)
{
	int64_t left = l->deadline - fiber_now();
	struct sb copy = SB_INIT(SASL_LINE_MAX + 64);
	struct pop3_command c;
	const char *why;
	struct sv line;
	bool on;

	stream_set_timeout(l->s, left > 0 ? left : 1, POP3_WRITE_MS);
	switch (stream_read_line(l->s, SASL_LINE_MAX + 64, &line)) {
	case STREAM_OK:
		break;
	case STREAM_TOO_LONG:
		say_err(l, "The line is too long");
		return (++l->bad < POP3_BAD_MAX);
	case STREAM_TIMEOUT:
		say_err(l, "Too slow: closing");
		return (false);
	default:
		return (false);
	}
	/* The stream's buffer does not outlive the answers that a command writes. */
	sb_add(&copy, line);
	if (!pop3_command_parse(sb_sv(&copy), &c, &why)) {
		say_err(l, why);
		on = ++l->bad < POP3_BAD_MAX;
	} else if (c.verb != POP3_AUTH && copy.len > POP3_LINE_MAX) {
		say_err(l, "The line is too long");
		on = ++l->bad < POP3_BAD_MAX;
	} else
		on = run_command(l, &c);
	if (copy.p != NULL)
		explicit_bzero(copy.p, copy.cap);
	sb_free(&copy);
	return (on && !l->gone);
}

static void
host_count(const struct net_addr *a, int delta, size_t *now)
{
	char buf[NET_ADDR_TEXT_MAX];
	struct sv key = sv_cstr(net_addr_text(a, buf));
	uintptr_t n = (uintptr_t)hash_get(role.hosts, key);

	n = delta < 0 ? n - 1 : n + 1;
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
greet(struct login *l)
{
	/* APOP needs passwords that are stored in clear, as CRAM-MD5 does; clients that see a time stamp try it first. */
	if (role.box->cram_md5)
		(void)snprintf(l->banner, sizeof(l->banner), "<%ld.%llu.%lld@%s>", (long)getpid(),
		    (unsigned long long)++role.serial, (long long)time(NULL), role.hostname);
	(void)stream_printf(l->s, "+OK %s POP3 server ready%s%s\r\n", role.hostname, l->banner[0] != '\0' ? " " : "",
	    l->banner);
}

static void
connection(void *arg)
{
	struct login *l = arg;
	bool on = true;
	size_t n;

	fiber_set_local(&l->log);
	if (strcmp(l->service, "pop3s") == 0) {
		on = stream_starttls(l->s, role.tls, TLS_MS) == STREAM_OK;
		l->conn.tls = on;
		if (!on)
			log_info(&l->log, "TLS failed: %s", stream_error(l->s));
	}
	update_secure(l);
	if (on)
		greet(l);
	while (on)
		on = one_command(l);
	stream_close(&l->s);
	unlink_login(l);
	host_count(&l->conn.peer, -1, &n);
	role.connections--;
	free(l);
	maybe_done();
}

/* ---- accepting ---- */

static void
accepted(int fd, const struct daemon_listener *from, const struct net_addr *peer, const struct net_addr *local)
{
	static const char busy[] = "-ERR [SYS/TEMP] Too many connections\r\n";
	char buf[NET_ADDR_TEXT_MAX];
	struct login *l;
	size_t n;

	host_count(peer, 1, &n);
	if ((int64_t)role.connections >= role.box->max_sessions || (int64_t)n > role.box->max_sessions_per_host) {
		host_count(peer, -1, &n);
		(void)send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		(void)close(fd);
		log_info(NULL, "pop3-login: too many connections: rip=%s", net_addr_text(peer, buf));
		return;
	}
	l = xcalloc(1, sizeof(*l));
	l->s = stream_new(fd);
	l->service = from->service;
	l->conn = (struct auth_conn){ .service = "pop3", .peer = *peer, .local = *local };
	l->deadline = FIBER_NOW_PLUS(role.box->login_timeout * 1000);
	log_ctx_set(&l->log, "peer=%s:%u", net_addr_text(peer, buf), peer->port);
	role.connections++;
	if (fiber_spawn("pop3 login", connection, l) == NULL) {
		role.connections--;
		host_count(peer, -1, &n);
		stream_close(&l->s);
		free(l);
		return;
	}
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

	while (!daemon_draining(role.d)) {
		if (fiber_wait_fd(from->fd, FIBER_READ, FIBER_NOW_PLUS(1000)) == FIBER_CANCELLED || daemon_draining(role.d))
			break;
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
	if (role.box->hostname[0] != '\0')
		(void)snprintf(role.hostname, sizeof(role.hostname), "%s", role.box->hostname);
	else
		os_hostname(role.hostname, sizeof(role.hostname));
	role.auth = auth_client_new(box_path(role.box, BOX_SOCK_AUTH));
	role.tls = tls_server_new(box_path(role.box, role.box->tls_dir), &tls_err);
	if (role.tls == NULL)
		log_warn(NULL, "no TLS: %s", tls_err.text);
	for (const struct daemon_listener *l = daemon_listeners(d); l->fd != -1; l++) {
		if (strcmp(l->service, "pop3s") == 0 && role.tls == NULL)
			continue;
		if (fiber_spawn("pop3 accept", acceptor, (void *)(uintptr_t)l) == NULL)
			return (err_set(err, ERR_TEMP, NULL, "no fiber for a listener"));
		role.acceptors++;
	}
	return (0);
}

/* Clients that have not logged in have nothing to lose. */
static void
drain(struct daemon *d)
{
	for (struct login *l = role.logins; l != NULL; l = l->next)
		if (l->s != NULL && !l->gone)
			(void)shutdown(stream_fd(l->s), SHUT_RD);
	maybe_done();
}

const struct daemon_role pop3_login_role = { .name = "login", .start = start, .drain = drain };
