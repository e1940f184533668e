/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The login role: connections until they are logged in.  It knows the grammar, TLS and
 * vauthd, and nothing of the store.  A client without TLS leaves this process with its
 * login; of one with TLS the byte pump stays.
 */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/codec.h"
#include "fiber/fiber.h"
#include "imap/parse.h"
#include "imap/write.h"
#include "login/login.h"
#include "vimapd.h"

#define TEXT_MAX	(48 * 1024)	/* a command before login; SASL lines have their own limit */
/* ---- answers ---- */

static const char *
capabilities(const struct login *l, char *buf, size_t size)
{
	struct sb out = SB_INIT(1024);
	struct sv list = sv_cstr(login_mechanisms(l)), mech;

	sb_adds(&out, IMAP_CAP_ALWAYS);
	if (login_role.tls != NULL && !l->conn.tls)
		sb_adds(&out, " STARTTLS");
	if (!l->secure)
		sb_adds(&out, " LOGINDISABLED");
	while (sv_word(&list, &mech))
		sb_addf(&out, " AUTH=" SV_FMT, SV_ARG(mech));
	(void)snprintf(buf, size, "%s", sb_cstr(&out));
	sb_free(&out);
	return (buf);
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
		login_log_failure(l, user, method, "auth failed, banned");
		break;
	default:
		l->failures++;
		(void)stream_printf(l->s, SV_FMT " NO [AUTHENTICATIONFAILED] %s\r\n", SV_ARG(c->tag), sb_cstr(&text));
		login_log_failure(l, user, method, "auth failed");
	}
	sb_free(&text);
	if (r != AUTH_BANNED && l->failures < LOGIN_FAILURES_MAX)
		return (true);
	if (r != AUTH_BANNED)
		(void)stream_printf(l->s, "* BYE Too many wrong passwords.\r\n");
	return (false);
}

/* The client is who it says: the session role answers its login. */
static bool
logged_in(struct login *l, const struct imap_command *c, const struct auth_user *who, const char *method)
{
	struct err err = ERR_INIT;

	if (!login_hand_over(l, who, c->tag, method, &err))
		(void)stream_printf(l->s, SV_FMT " NO [UNAVAILABLE] No session can be opened now.\r\n", SV_ARG(c->tag));
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
		login_log_failure(l, c->user, "PLAIN", "tried to use disabled plaintext auth");
		return (true);
	}
	r = auth_login(login_role.auth, &l->conn, c->user, c->password, &who, &err);
	if (r != AUTH_OK)
		return (refused(l, c, r, c->user, "PLAIN", &err));
	return (logged_in(l, c, &who, "PLAIN"));
}

static int
challenge_client(struct login *l, void *arg, struct sv challenge, struct sb *answer)
{
	const struct imap_command *c = arg;
	struct sb b64 = SB_INIT(LOGIN_SASL_LINE_MAX);
	const char *why;
	int rc;

	base64_encode(&b64, challenge);
	(void)stream_printf(l->s, "+ %s\r\n", sb_cstr(&b64));
	sb_free(&b64);
	if ((rc = login_read_answer(l, answer, &why)) == 0)
		imap_reply_bad(l->s, c->tag, why);
	return (rc);
}

static bool
do_authenticate(struct login *l, const struct imap_command *c)
{
	struct sb first = SB_INIT(AUTH_DATA_MAX);
	struct sv initial;
	struct err err = ERR_INIT;
	struct auth_user who;
	enum auth_result r;
	char method[32];
	int rc = 1;

	if (!login_offers(l, c->mech)) {
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
	r = login_exchange(l, c->mech, c->initial.p == NULL ? NULL : &initial, challenge_client, (void *)(uintptr_t)c, &who, &rc, &err);
	if (first.p != NULL)
		explicit_bzero(first.p, first.cap);
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
	if (login_role.tls == NULL || l->conn.tls) {
		imap_reply_bad(l->s, c->tag, "TLS is not available");
		return (true);
	}
	(void)stream_printf(l->s, SV_FMT " OK Begin TLS negotiation now.\r\n", SV_ARG(c->tag));
	return (login_starttls(l));
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
	return (on);
}

static void
greet(struct login *l)
{
	char caps[512];

	(void)stream_printf(l->s, "* OK [CAPABILITY %s] vpost ready.\r\n", capabilities(l, caps, sizeof(caps)));
}

static int64_t
workers(const struct box *b)
{
	return (b->imap_workers);
}

static const struct login_proto proto = {
	.name = "imap", .tls_service = "imaps", .busy = "* BYE Too many connections.\r\n", .size = sizeof(struct login),
	.write_ms = IMAP_WRITE_MS, .workers = workers, .greet = greet, .command = one_command,
};

static int
start(struct daemon *d, struct err *err)
{
	return (login_start(d, &proto, err));
}

const struct daemon_role imap_login_role = { .name = "login", .start = start, .drain = login_drain, .sandbox = login_sandbox };
