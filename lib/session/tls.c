/* SPDX-License-Identifier: BSD-2-Clause */
/* STARTTLS (RFC 3207), and TLS from the start. */
#include <string.h>

#include "io/tls.h"
#include "session/session_int.h"
#include "session/tls_conf.h"

bool
session_tls_available(struct session *s)
{
	/* A session that keeps nothing shows what would be offered. */
	return ((s->sv->tls != NULL || s->conn->host_checking) && s->kind != SESSION_LOCAL &&
	    session_client_in(s, EXIM_MAIN_tls_advertise_hosts));
}

static void
fill_tls(struct session *s)
{
	struct exim_tls *t = &s->x.tls_in;
	struct sv cipher = sv_cstr(arena_str(s->arena, stream_tls_cipher(s->io))), rest = cipher, part;
	struct stream_tls_facts f;

	memset(t, 0, sizeof(*t));
	t->cipher = cipher;
	t->sni = sv_taint(sv_cstr(arena_str(s->arena, stream_tls_sni(s->io))));
	if (sv_next(&rest, ':', &part))
		t->ver = part;
	stream_tls_facts(s->io, &f);
	t->cipher_std = sv_cstr(arena_str(s->arena, f.standard));
	t->bits = f.bits;
	t->peercert = f.peer;
	t->ourcert = f.own;
	t->verified = f.verified;
	t->ocsp = f.ocsp;
	t->peerdn = f.peer == NULL ? SV_NULL : sv_taint(sv_cstr(arena_str(s->arena, f.peer_dn)));
	/* Bits: can be, a ticket was wanted, a session offered, a ticket given, a session taken up. */
	t->resumption = stream_tls_resumed(s->io) ? 0x1f : session_client_in(s, EXIM_MAIN_tls_resumption_hosts) ? 0xb : 1;
}

static void
failed(struct session *s, const char *why)
{
	struct sb host = SB_INIT(2000);

	session_fullhost(s, &host);
	session_logf(s, SESSION_LOG_MAIN, "TLS error on connection from %s (SSL_accept): %s", sb_cstr(&host), why);
	sb_free(&host);
}

static void
note(struct session *s, const struct err *err)
{
	if (err->cls != ERR_NONE && s->sv->log != NULL && s->sv->log->note != NULL)
		s->sv->log->note(s->sv->log->arg, 2, err->text);
}

/* The client has told by what name it knows us: the options are looked at again. */
static struct tls_server *
for_name(void *arg, const char *name)
{
	struct session *s = arg;
	struct err err = ERR_INIT;

	s->x.tls_in.sni = sv_taint(sv_cstr(arena_str(s->arena, name)));
	tls_server_free(&s->tls);
	s->tls = session_tls_pick(s, &err);
	note(s, &err);
	return (s->tls);
}

/* s->tls is there; the handshake. */
static bool
handshake(struct session *s)
{
	struct tls_accept how = { .behind_header = s->x.proxy, .resume = session_client_in(s, EXIM_MAIN_tls_resumption_hosts),
	    .alpn_require = session_client_in(s, EXIM_MAIN_hosts_require_alpn), .arg = s };
	struct err err = ERR_INIT;
	enum stream_result r;

	if (session_client_in(s, EXIM_MAIN_tls_verify_hosts))
		how.ask = TLS_ASK_REQUIRE;
	else if (session_client_in(s, EXIM_MAIN_tls_try_verify_hosts))
		how.ask = TLS_ASK_TRY;
	if (session_tls_by_name(s->sv->tls))
		how.named = for_name;
	(void)tls_server_refresh(s->tls, &err);
	note(s, &err);
	r = stream_accepttls(s->io, s->tls, &how, SESSION_TLS_TIMEOUT);
	tls_server_free(&s->tls);
	if (r == STREAM_OK)
		return (true);
	memset(&s->x.tls_in, 0, sizeof(s->x.tls_in));
	failed(s, r == STREAM_TIMEOUT ? "timed out" : r == STREAM_EOF ? "TCP connection closed by peer" : stream_error(s->io));
	s->end = END_TLS;
	return (false);
}

/* The certificates and all else for this connection: false when there are none, which is logged. */
static bool
prepare(struct session *s)
{
	struct err err = ERR_INIT;

	if (s->sv->tls == NULL)
		return (false);
	s->tls = session_tls_pick(s, &err);
	if (s->tls == NULL)
		failed(s, err.text);
	note(s, &err);
	return (s->tls != NULL);
}

bool
session_tls_start(struct session *s)
{
	if (!prepare(s)) {
		s->end = END_TLS;
		return (false);
	}
	if (!handshake(s))
		return (false);
	fill_tls(s);
	return (true);
}

void
session_starttls(struct session *s)
{
	if (!s->tls_offered) {
		session_mistake(s, 503, "5.5.1", "STARTTLS command used when not advertised");
		return;
	}
	if (session_acl(s, EXIM_WHERE_STARTTLS, SV_NULL, NULL, NULL) != ACL_GO)
		return;
	/* Anything sent behind the command came in the clear, and may be a stranger's. */
	if (stream_has_input(s->io)) {
		session_reply(s, 554, "5.5.0", SV_LIT("commands were sent behind STARTTLS; closing connection"));
		s->end = END_SYNC;
		return;
	}
	if (!prepare(s)) {
		session_reply(s, 454, "4.7.0", SV_LIT("TLS currently unavailable"));
		return;
	}
	session_reply(s, 220, "2.0.0", SV_LIT("TLS go ahead"));
	if (!handshake(s))
		return;
	fill_tls(s);
	/* RFC 3207 section 4.2: what was said before is forgotten. */
	session_txn_end(s);
	s->pipelining = s->chunking = s->tls_offered = s->auth_offered = false;
	/* But for clients that do not know it, where they shall be borne with. */
	if (!exim_main_bool(s->conf, EXIM_MAIN_tls_remember_esmtp))
		s->helo_seen = s->esmtp = s->x.esmtp = false;
	s->x.helo = s->helo_shown = SV_NULL;
	s->x.helo_verified = s->xclient = false;
	s->authenticated = false;
	s->x.auth_mechanism = s->x.authenticated_id = SV_NULL;
	s->parse_flags = session_parse_flags(s) | (s->esmtp ?
	    SMTP_PARSE_ESMTP | SMTP_PARSE_SIZE | SMTP_PARSE_AUTH | SMTP_PARSE_8BIT : 0);
	s->free_helo = true;
	session_auth_tls(s);
}
