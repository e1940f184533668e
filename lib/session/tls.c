/* SPDX-License-Identifier: BSD-2-Clause */
/* STARTTLS (RFC 3207), and TLS from the start. */
#include <string.h>

#include "io/tls.h"
#include "session/session_int.h"

bool
session_tls_available(struct session *s)
{
	return (s->sv->tls != NULL && s->kind != SESSION_LOCAL && session_client_in(s, EXIM_MAIN_tls_advertise_hosts));
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
	t->peerdn = f.peer == NULL ? SV_NULL : sv_taint(sv_cstr(arena_str(s->arena, f.peer_dn)));
	t->resumption = stream_tls_resumed(s->io) ? 0x10 | 0x2 : 0;
}

bool
session_tls_start(struct session *s)
{
	struct err err = ERR_INIT;
	enum stream_result r;

	if (s->sv->tls == NULL) {
		s->end = END_TLS;
		return (false);
	}
	if (tls_server_refresh(s->sv->tls, &err) == -1 && s->sv->log != NULL && s->sv->log->note != NULL)
		s->sv->log->note(s->sv->log->arg, 2, err.text);
	if (session_client_in(s, EXIM_MAIN_tls_verify_hosts))
		r = stream_starttls_asking(s->io, s->sv->tls, true, SESSION_TLS_TIMEOUT);
	else if (session_client_in(s, EXIM_MAIN_tls_try_verify_hosts))
		r = stream_starttls_asking(s->io, s->sv->tls, false, SESSION_TLS_TIMEOUT);
	else
		r = stream_starttls(s->io, s->sv->tls, SESSION_TLS_TIMEOUT);
	if (r != STREAM_OK) {
		struct sb host = SB_INIT(2000);

		session_fullhost(s, &host);
		session_logf(s, SESSION_LOG_MAIN, "TLS error on connection from %s (SSL_accept): %s", sb_cstr(&host),
		    r == STREAM_TIMEOUT ? "timed out" : r == STREAM_EOF ? "TCP connection closed by peer" : stream_error(s->io));
		sb_free(&host);
		s->end = END_TLS;
		return (false);
	}
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
	session_reply(s, 220, "2.0.0", SV_LIT("TLS go ahead"));
	if (!session_tls_start(s))
		return;
	/* RFC 3207 section 4.2: what was said before is forgotten. */
	session_txn_end(s);
	s->helo_seen = s->esmtp = s->x.esmtp = s->pipelining = s->chunking = s->tls_offered = s->auth_offered = false;
	s->x.helo = s->helo_shown = SV_NULL;
	s->x.helo_verified = false;
	s->authenticated = false;
	s->x.auth_mechanism = s->x.authenticated_id = SV_NULL;
	s->parse_flags = session_parse_flags(s);
	s->free_helo = true;
	session_auth_tls(s);
}
