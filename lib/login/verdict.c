/* SPDX-License-Identifier: BSD-2-Clause */
/* Passwords and what follows from them: SASL exchanges, handing over, the log of failures. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/hash.h"
#include "daemon/handover.h"
#include "login/login.h"
#include "login/login_int.h"
#include "os/fd.h"

/* ---- SASL ---- */

const char *
login_mechanisms(const struct login *l)
{
	return (auth_mechanisms(&l->conn, login_role.box->plaintext_auth, login_role.box->cram_md5));
}

bool
login_offers(const struct login *l, struct sv mech)
{
	struct sv list = sv_cstr(login_mechanisms(l)), one;

	while (sv_word(&list, &one))
		if (sv_caseeq(one, mech))
			return (true);
	return (false);
}

int
login_read_answer(struct login *l, struct sb *answer, const char **why)
{
	struct sv line;

	if (stream_read_line(l->s, LOGIN_SASL_LINE_MAX, &line) != STREAM_OK)
		return (-1);
	line = sv_trim(line);
	sb_clear(answer);
	if (sv_eqs(line, "*") || !base64_decode(answer, line)) {
		*why = sv_eqs(line, "*") ? "Authentication cancelled" : "Malformed base64";
		return (0);
	}
	return (1);
}

enum auth_result
login_exchange(struct login *l, struct sv mech, const struct sv *initial,
    int (*ask)(struct login *l, void *arg, struct sv challenge, struct sb *answer), void *arg, struct auth_user *who, int *rc,
    struct err *err)
{
	struct sb challenge = SB_INIT(AUTH_DATA_MAX), answer = SB_INIT(AUTH_DATA_MAX);
	struct auth_exchange *x = NULL;
	enum auth_result r;

	*rc = 1;
	r = auth_start(login_role.auth, &l->conn, mech, initial, &x, &challenge, who, err);
	while (r == AUTH_CONTINUE) {
		*rc = ask(l, arg, sb_sv(&challenge), &answer);
		if (*rc != 1) {
			auth_abort(&x);
			break;
		}
		sb_clear(&challenge);
		r = auth_step(&x, sb_sv(&answer), &challenge, who, err);
	}
	/* Data that goes with the success is sent as a last challenge. */
	if (r == AUTH_OK && challenge.len > 0 && (*rc = ask(l, arg, sb_sv(&challenge), &answer)) != 1)
		r = AUTH_CONTINUE;
	if (answer.p != NULL)
		explicit_bzero(answer.p, answer.cap);
	sb_free(&challenge);
	sb_free(&answer);
	return (r);
}

void
login_log_failure(const struct login *l, struct sv user, const char *method, const char *why)
{
	char rip[NET_ADDR_TEXT_MAX], lip[NET_ADDR_TEXT_MAX], name[129];
	size_t n = 0;

	for (size_t i = 0; i < user.len && n < sizeof(name) - 1; i++)
		name[n++] = user.p[i] > ' ' && user.p[i] < 0x7f ? user.p[i] : '?';
	name[n] = '\0';
	/* fail2ban's filters know this line by what stands at its beginning. */
	log_plain("%s-login: Aborted login (%s, %u attempts): user=<%s>, method=%s, rip=%s, lip=%s%s",
	    login_role.proto->name, why, l->failures, name, method, net_addr_text(&l->conn.peer, rip),
	    net_addr_text(&l->conn.local, lip), l->conn.tls ? ", TLS" : "");
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
	/* From now on it ends with its session. */
	login_unlink(l);
	daemon_pump(l->s, sv[0], login_role.proto->write_ms);
	l->s = NULL;
	return (true);
}

/* The same user goes to the same process: sessions of one mailbox share their sequence map.  Another one where that is gone. */
static int
session_pair(struct sv user)
{
	int64_t workers = login_role.proto->workers(login_role.box);
	unsigned n = workers > 0 ? (unsigned)workers : 1, start = (unsigned)(hash_bytes(user.p, user.len) % n);
	int fd = -1;

	for (unsigned i = 0; i < n && fd == -1; i++)
		fd = daemon_pair(login_role.d, (int)((start + i) % n));
	return (fd);
}

bool
login_hand_over(struct login *l, const struct auth_user *who, struct sv tag, const char *method, struct err *err)
{
	struct daemon_handover h = { .peer = l->conn.peer, .local = l->conn.local };
	int pair = session_pair(sv_cstr(who->name));
	bool ok;

	(void)snprintf(h.user, sizeof(h.user), "%s", who->name);
	(void)snprintf(h.tag, sizeof(h.tag), SV_FMT, SV_ARG(tag));
	(void)snprintf(h.method, sizeof(h.method), "%s", method);
	ok = l->conn.tls ? hand_over_tls(l, &h, pair, err) : hand_over_plain(l, &h, pair, err);
	if (!ok)
		log_err(&l->log, "login", err);
	return (ok);
}
