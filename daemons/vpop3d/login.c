/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The login role: the AUTHORIZATION state of RFC 1939.  It knows the grammar, TLS and
 * vauthd, and nothing of the store.  A client without TLS leaves this process with its
 * login; of one with TLS the byte pump stays.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/codec.h"
#include "fiber/fiber.h"
#include "login/login.h"
#include "os/proc.h"
#include "pop3/command.h"
#include "vpop3d.h"

struct pop3_login {
	struct login	 l;
	char		 user[AUTH_NAME_MAX * 2 + 1];	/* of USER */
	char		 banner[160];	/* APOP's time stamp; "" when it is not offered */
};

static struct {
	char		 hostname[128];
	uint64_t	 serial;
} role;

static struct pop3_login *
own(struct login *l)
{
	return ((struct pop3_login *)(void *)l);
}

/* ---- answers ---- */

static void
say_err(struct login *l, const char *why)
{
	(void)stream_printf(l->s, "-ERR %s\r\n", why);
}

static bool
do_capa(struct login *l)
{
	const char *mechs = login_mechanisms(l);

	(void)stream_printf(l->s, "+OK Capability list follows\r\n%s", l->secure ? "USER\r\n" : "");
	if (mechs[0] != '\0')
		(void)stream_printf(l->s, "SASL %s\r\n", mechs);
	if (login_role.tls != NULL && !l->conn.tls)
		(void)stream_printf(l->s, "STLS\r\n");
	(void)stream_printf(l->s, POP3_CAPA_ALWAYS ".\r\n");
	return (true);
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
	login_log_failure(l, user, method, r == AUTH_BANNED ? "auth failed, banned" : "auth failed");
	return (r != AUTH_BANNED && l->failures < LOGIN_FAILURES_MAX);
}

/* The client is who it says: the session role answers its login.  Always the end of the login's loop. */
static bool
logged_in(struct login *l, const struct auth_user *who, const char *method)
{
	struct err err = ERR_INIT;

	if (!login_hand_over(l, who, SV_LIT(""), method, &err))
		say_err(l, "[SYS/TEMP] No session can be opened now");
	return (false);
}

/* ---- USER, PASS, APOP, AUTH ---- */

static bool
insecure(struct login *l, struct sv user, const char *method)
{
	if (l->secure)
		return (false);
	say_err(l, login_role.tls != NULL ? "[AUTH] Say STLS first: passwords are not taken without TLS" :
	    "[AUTH] Passwords are not taken without TLS");
	login_log_failure(l, user, method, "tried to use disabled plaintext auth");
	return (true);
}

static bool
do_user(struct login *l, const struct pop3_command *c)
{
	if (insecure(l, c->arg, "PLAIN"))
		return (true);
	if (c->arg.len >= sizeof(own(l)->user)) {
		say_err(l, "[AUTH] The name is too long");
		return (true);
	}
	memcpy(own(l)->user, c->arg.p, c->arg.len);
	own(l)->user[c->arg.len] = '\0';
	/* The same for names that do not exist. */
	(void)stream_printf(l->s, "+OK please send PASS command\r\n");
	return (true);
}

static bool
do_pass(struct login *l, const struct pop3_command *c)
{
	struct err err = ERR_INIT;
	struct sv user = sv_cstr(own(l)->user);
	struct auth_user who;
	enum auth_result r;
	bool on;

	if (user.len == 0) {
		say_err(l, "Say USER first");
		return (true);
	}
	r = auth_login(login_role.auth, &l->conn, user, c->arg, &who, &err);
	on = r == AUTH_OK ? logged_in(l, &who, "PLAIN") : refused(l, r, user, "PLAIN", &err);
	own(l)->user[0] = '\0';
	return (on);
}

static bool
do_apop(struct login *l, const struct pop3_command *c)
{
	struct err err = ERR_INIT;
	struct auth_user who;
	enum auth_result r;

	if (own(l)->banner[0] == '\0') {
		say_err(l, "[AUTH] APOP is not offered");
		return (true);
	}
	r = auth_apop(login_role.auth, &l->conn, c->arg, sv_cstr(own(l)->banner), c->arg2, &who, &err);
	return (r == AUTH_OK ? logged_in(l, &who, "APOP") : refused(l, r, c->arg, "APOP", &err));
}

static int
challenge_client(struct login *l, void *arg, struct sv challenge, struct sb *answer)
{
	struct sb b64 = SB_INIT(LOGIN_SASL_LINE_MAX);
	const char *why;
	int rc;

	(void)arg;
	base64_encode(&b64, challenge);
	(void)stream_printf(l->s, "+ %s\r\n", sb_cstr(&b64));
	sb_free(&b64);
	if ((rc = login_read_answer(l, answer, &why)) == 0)
		say_err(l, why);
	return (rc);
}

/* AUTH alone lists the mechanisms, as servers did before CAPA. */
static bool
list_mechanisms(struct login *l)
{
	struct sv list = sv_cstr(login_mechanisms(l)), one;

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
	if (!login_offers(l, c->arg)) {
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
	r = login_exchange(l, sv_cstr(method), c->arg2.p == NULL ? NULL : &initial, challenge_client, NULL, &who, &rc, &err);
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
	if (login_role.tls == NULL || l->conn.tls) {
		say_err(l, l->conn.tls ? "TLS is on already" : "TLS is not available");
		return (true);
	}
	(void)stream_printf(l->s, "+OK Begin TLS negotiation\r\n");
	own(l)->user[0] = '\0';
	return (login_starttls(l));
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
	struct sb copy = SB_INIT(LOGIN_SASL_LINE_MAX + 64);
	struct pop3_command c;
	const char *why;
	struct sv line;
	bool on;

	stream_set_timeout(l->s, left > 0 ? left : 1, POP3_WRITE_MS);
	switch (stream_read_line(l->s, LOGIN_SASL_LINE_MAX + 64, &line)) {
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
	return (on);
}

static void
greet(struct login *l)
{
	/* APOP needs passwords that are stored in clear, as CRAM-MD5 does; clients that see a time stamp try it first. */
	if (login_role.box->cram_md5)
		(void)snprintf(own(l)->banner, sizeof(own(l)->banner), "<%ld.%llu.%lld@%s>", (long)getpid(),
		    (unsigned long long)++role.serial, (long long)time(NULL), role.hostname);
	(void)stream_printf(l->s, "+OK %s POP3 server ready%s%s\r\n", role.hostname, own(l)->banner[0] != '\0' ? " " : "",
	    own(l)->banner);
}

static int64_t
workers(const struct box *b)
{
	return (b->pop3_workers);
}

static const struct login_proto proto = {
	.name = "pop3", .tls_service = "pop3s", .busy = "-ERR [SYS/TEMP] Too many connections\r\n",
	.size = sizeof(struct pop3_login), .write_ms = POP3_WRITE_MS, .workers = workers, .greet = greet, .command = one_command,
};

static int
start(struct daemon *d, struct err *err)
{
	const struct box *b = daemon_box(d);

	if (b->hostname[0] != '\0')
		(void)snprintf(role.hostname, sizeof(role.hostname), "%s", b->hostname);
	else
		os_hostname(role.hostname, sizeof(role.hostname));
	return (login_start(d, &proto, err));
}

const struct daemon_role pop3_login_role = { .name = "login", .start = start, .drain = login_drain, .sandbox = login_sandbox };
