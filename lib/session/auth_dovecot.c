/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The authenticator dovecot (chapter 37 of Exim's manual): Dovecot's auth-client protocol, version 1, on a connection of
 * its own for each AUTH command.
 */
#include <string.h>

#include "base/codec.h"
#include "exim/scan.h"
#include "fiber/fiber.h"
#include "io/tls.h"
#include "session/auth_int.h"
#include "session/scan_int.h"

#define LINE_SIZE	(3 * AUTH_DATA_SIZE)
#define AUTH_DATA_SIZE	8192
#define WAIT_MS		30000
#define LINES_MAX	100

static enum session_auth_result
broken(struct auth_try *t, const char *what)
{
	(void)err_set(t->err, ERR_TEMP, "4.7.0", "authentication socket protocol error: %s", what);
	return (SAUTH_TEMP);
}

static bool
read_line(struct stream *io, struct sv *line)
{
	if (stream_read_line(io, LINE_SIZE, line) != STREAM_OK)
		return (false);
	while (line->len > 0 && (line->p[line->len - 1] == '\n' || line->p[line->len - 1] == '\r'))
		line->len--;
	return (true);
}

/* What the server says of itself, up to DONE: version 1, and our mechanism among its own. */
static enum session_auth_result
greet(struct auth_try *t, struct stream *io)
{
	bool version = false, mech = false;
	struct sv line, word;
	uint32_t client;

	for (unsigned i = 0; i < LINES_MAX; i++) {
		if (!read_line(io, &line))
			return (broken(t, "no greeting"));
		if (!sv_next(&line, '\t', &word))
			continue;
		if (sv_eqs(word, "VERSION"))
			version = sv_next(&line, '\t', &word) && sv_eqs(word, "1");
		else if (sv_eqs(word, "MECH"))
			mech = mech || (sv_next(&line, '\t', &word) && sv_caseeqs(word, t->a->public_name));
		else if (sv_eqs(word, "DONE"))
			break;
	}
	if (!version)
		return (broken(t, "incompatible version"));
	if (!mech)
		return (broken(t, "the mechanism is not offered there"));
	/* It takes this for a process, of which it knows one connection. */
	auth_random((unsigned char *)&client, sizeof(client));
	(void)stream_printf(io, "VERSION\t1\t0\nCPID\t%u\n", client % 0x7fffffff + 1);
	return (SAUTH_OK);
}

/* A value must not end the parameter or the line. */
static bool
is_plain(struct sv v)
{
	return (sv_chr(v, '\t') < 0 && sv_chr(v, '\n') < 0 && sv_chr(v, '\0') < 0);
}

static void
ask(struct auth_try *t, struct stream *io)
{
	struct sb line = SB_INIT(LINE_SIZE);
	struct session *s = t->s;
	bool local = s->x.addr.family != 0 && net_addr_eq(&s->x.addr, &s->x.interface);

	sb_addf(&line, "AUTH\t1\t%s\tservice=smtp", t->a->public_name);
	if (stream_is_tls(s->io) || local)
		sb_adds(&line, "\tsecured");
	if (s->x.tls_in.verified)
		sb_adds(&line, "\tvalid-client-cert");
	if (s->x.host_address.len > 0 && is_plain(s->x.host_address))
		sb_addf(&line, "\trip=" SV_FMT, SV_ARG(s->x.host_address));
	if (s->x.interface_address.len > 0)
		sb_addf(&line, "\tlip=" SV_FMT, SV_ARG(s->x.interface_address));
	sb_adds(&line, "\tnologin");
	if (t->initial.p != NULL) {
		sb_adds(&line, "\tresp=");
		base64_encode(&line, t->initial);
	}
	sb_addc(&line, '\n');
	(void)stream_write(io, sb_sv(&line));
	sb_wipe(&line);
}

/* Parameter NAME=VALUE, or NAME alone. */
static bool
parameter(struct sv rest, const char *name, struct sv *value)
{
	struct sv piece;

	while (sv_next(&rest, '\t', &piece)) {
		ptrdiff_t eq = sv_chr(piece, '=');

		*value = eq < 0 ? SV_LIT("") : sv_sub(piece, (size_t)eq + 1, piece.len);
		if (sv_eqs(eq < 0 ? piece : sv_sub(piece, 0, (size_t)eq), name))
			return (true);
	}
	return (false);
}

static enum session_auth_result
go_on(struct auth_try *t, struct stream *io, struct sv b64)
{
	struct sb challenge = SB_INIT(AUTH_DATA_SIZE), answer = SB_INIT(AUTH_DATA_SIZE), line = SB_INIT(LINE_SIZE);
	enum session_auth_result r;

	if (!base64_decode(&challenge, b64))
		r = broken(t, "a challenge that is no base64");
	else if ((r = session_auth_ask(t->s, sb_sv(&challenge), &answer)) == SAUTH_OK) {
		sb_adds(&line, "CONT\t1\t");
		base64_encode(&line, sb_sv(&answer));
		sb_addc(&line, '\n');
		(void)stream_write(io, sb_sv(&line));
	}
	sb_free(&challenge);
	sb_wipe(&answer);
	sb_wipe(&line);
	return (r);
}

static enum session_auth_result
converse(struct auth_try *t, struct stream *io)
{
	enum session_auth_result r;
	struct sv line, word, id, user, unused;

	for (unsigned i = 0; i < LINES_MAX; i++) {
		if (!read_line(io, &line) || !sv_next(&line, '\t', &word) || !sv_next(&line, '\t', &id) || !sv_eqs(id, "1"))
			return (broken(t, "no sensible answer"));
		if (sv_eqs(word, "CONT")) {
			if ((r = go_on(t, io, sv_next(&line, '\t', &word) ? word : SV_LIT(""))) != SAUTH_OK)
				return (r);
			continue;
		}
		if (parameter(line, "user", &user))
			auth_part(t, user);
		if (sv_eqs(word, "OK"))
			return (t->n > 0 ? auth_judge(t, SAUTH_OK) : broken(t, "authenticated user name missing"));
		if (!sv_eqs(word, "FAIL"))
			return (broken(t, "an unknown answer"));
		if (!parameter(line, "temp", &unused))
			return (SAUTH_FAIL);
		(void)err_set(t->err, ERR_TEMP, "4.7.0", "authentication server has a temporary failure");
		return (SAUTH_TEMP);
	}
	return (broken(t, "too many answers"));
}

static enum session_auth_result
secure(struct auth_try *t, struct stream *io)
{
	struct tls_client *ctx = tls_client_new(NULL, false, t->err);
	enum stream_result r = ctx == NULL ? STREAM_ERROR : stream_connecttls(io, ctx, "localhost", WAIT_MS);

	tls_client_free(&ctx);
	if (r == STREAM_OK)
		return (SAUTH_OK);
	(void)err_set(t->err, ERR_TEMP, "4.7.0", "TLS to the authentication socket failed");
	return (SAUTH_TEMP);
}

enum session_auth_result
auth_run_dovecot(struct auth_try *t)
{
	struct sv where = t->a->d.own[EXIM_DOVECOT_server_socket].text;
	struct exim_scan_server server;
	struct sb why = SB_INIT(1000);
	enum session_auth_result r;
	struct stream *io = NULL;

	if (where.len > 0 && exim_scan_server(where, t->s->cmd, &server))
		io = scan_connect(t->s, &server, FIBER_NOW_PLUS(WAIT_MS), &why);
	if (io == NULL) {
		(void)err_set(t->err, ERR_TEMP, "4.7.0", "%s", why.len > 0 ? sb_cstr(&why) :
		    "server_socket is not usable");
		sb_free(&why);
		return (SAUTH_TEMP);
	}
	stream_set_timeout(io, WAIT_MS, WAIT_MS);
	r = t->a->d.own[EXIM_DOVECOT_server_tls].num != 0 ? secure(t, io) : SAUTH_OK;
	if (r == SAUTH_OK)
		r = greet(t, io);
	if (r == SAUTH_OK) {
		ask(t, io);
		r = converse(t, io);
	}
	stream_close(&io);
	sb_free(&why);
	return (r);
}
