/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The session from beginning to end: the greeting is in connect.c, what a line does in command.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fiber/fiber.h"
#include "session/session_int.h"

#define SPARE_ARENAS	32

/* ---- $received_protocol ---- */

void
session_protocol(struct session *s)
{
	const char *base = s->lmtp ? "lmtp" : s->esmtp ? "esmtp" : "smtp";
	bool extended = s->esmtp || s->lmtp;
	const struct { bool on; const char *text; } parts[] = {
		{ s->kind == SESSION_LOCAL, "local-" }, { s->txn != NULL && s->txn->smtputf8, "utf8" }, { true, base },
		/* RFC 3848 */
		{ extended && s->x.tls_in.cipher.len > 0, "s" }, { extended && s->authenticated, "a" },
	};
	struct exim_message *m = session_msg(s);
	size_t len = 0;

	if (s->conn->handed) {
		m->received_protocol = s->handed_protocol.len > 0 ? s->handed_protocol : SV_LIT("local");
		return;
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i].on) {
			size_t n = strlen(parts[i].text);

			memcpy(s->protocol + len, parts[i].text, n);
			len += n;
		}
	m->received_protocol = sv_from(s->protocol, len);
}

/* ---- the loop ---- */

/* acl_smtp_notquit: whatever ended the session but QUIT. */
void
session_not_quit(struct session *s)
{
	static const char *const reasons[] = {
		[END_LOST] = "connection-lost", [END_TIMEOUT] = "command-timeout", [END_DROP] = "acl-drop",
		[END_SYNC] = "synchronization-error", [END_UNKNOWN] = "bad-commands", [END_ERRORS] = "bad-commands",
		[END_TLS] = "tls-failed", [END_SHUTDOWN] = "signal-exit",
	};
	struct sv text = SV_NULL;

	if (s->notquit_done || s->end == END_QUIT || s->end == END_NONE || !session_acl_set(s, EXIM_WHERE_NOTQUIT))
		return;
	s->notquit_done = true;
	s->x.notquit_reason = sv_cstr(reasons[s->end]);
	if (s->x.smtp_command.p == NULL && s->last_command != NULL)
		s->x.smtp_command = sv_taint(sv_cstr(s->last_command));
	(void)session_acl(s, EXIM_WHERE_NOTQUIT, SV_NULL, &text, NULL);
	if (text.len > 0)
		s->farewell = arena_sv(s->arena, text);
}

static void
lost(struct session *s, enum stream_result r)
{
	struct sb host = SB_INIT(2000);
	const char *secs = session_duration(s, fiber_now() - s->started);

	session_caller(s, &host);
	if (r == STREAM_TIMEOUT) {
		session_421(s, "4.4.2", END_TIMEOUT, "SMTP command timeout - closing connection");
		(void)stream_flush(s->io);
		session_logf(s, SESSION_LOG_MAIN, "SMTP command timeout on%s connection from %s D=%s",
		    stream_is_tls(s->io) ? " TLS" : "", sb_cstr(&host), secs);
	} else if (r == STREAM_CANCELLED) {
		session_421(s, "4.3.2", END_SHUTDOWN, "is restarting; connect again");
	} else {
		session_log_incomplete(s, "connection lost");
		s->end = END_LOST;
		session_not_quit(s);
		if (r == STREAM_EOF) {
			session_421(s, "4.4.2", END_LOST, "lost input connection");
			(void)stream_flush(s->io);
		}
		if (s->txn == NULL)
			session_log_connection(s, arena_fmt(s->arena, " lost D=%s", secs));
		else if (!s->conn->handed && session_logs(s, EXIM_LOGSEL_lost_incoming_connection))
			session_logf(s, SESSION_LOG_MAIN, "unexpected %s while reading SMTP command from %s D=%s",
			    s->kind == SESSION_LOCAL && s->conn->exim_style ? "EOF" : "disconnection", sb_cstr(&host), secs);
	}
	sb_free(&host);
}

/*
 * The arena of a command: sessions that only wait have none.  A few wait here for the next
 * command of any session; all belongs to the loop's thread.
 */
static struct arena *spare[SPARE_ARENAS];
static size_t nspare;

static void
take_arena(struct session *s)
{
	s->cmd = nspare > 0 ? spare[--nspare] : arena_new(0);
	s->env.arena = s->cmd;
}

static void
give_arena(struct session *s)
{
	/* What points into it is forgotten; but what ends the session may be asked for the last command. */
	if (s->x.smtp_command.len > 0 && s->x.smtp_command.p != s->last_command && session_acl_set(s, EXIM_WHERE_NOTQUIT)) {
		free(s->last_command);
		s->last_command = xstrndup(s->x.smtp_command.p, s->x.smtp_command.len);
	}
	s->x.smtp_command = s->x.smtp_argument = SV_NULL;
	exim_env_forget(&s->env);
	if (s->txn != NULL)
		memset(&s->txn->addr, 0, sizeof(s->txn->addr));
	else
		s->env.addr = NULL;
	if (nspare < SPARE_ARENAS) {
		arena_reset(s->cmd);
		spare[nspare++] = s->cmd;
	} else {
		arena_free(&s->cmd);
	}
	s->cmd = s->env.arena = NULL;
}

static void
command_loop(struct session *s)
{
	enum stream_result r;
	struct sv line;

	stream_set_timeout(s->io, s->timeout_ms, s->timeout_ms);
	while (s->end == END_NONE) {
		give_arena(s);
		s->conn->idle = s->txn == NULL;
		r = stream_read_line(s->io, SMTP_COMMAND_MAX, &line);
		s->conn->idle = false;
		take_arena(s);
		if (r == STREAM_TOO_LONG) {
			s->line = SV_LIT("(too long)");
			s->c.verb = SMTP_UNKNOWN;
			session_mistake(s, 500, "5.5.6", "line too long");
			continue;
		}
		if (r != STREAM_OK) {
			lost(s, r);
			return;
		}
		session_command(s, line);
	}
}

/* ---- beginning and end ---- */

/* Exim writes an IPv6 address behind -bh with all its groups and zeros; that of a connection is short. */
static const char *
long_address(const struct net_addr *a, char buf[NET_ADDR_TEXT_MAX])
{
	if (a->family != 6)
		return (net_addr_text(a, buf));
	for (size_t i = 0; i < 8; i++)
		(void)snprintf(buf + 5 * i, 6, "%02x%02x:", a->ip[2 * i], a->ip[2 * i + 1]);
	buf[39] = '\0';
	return (buf);
}


static void
fill_session(struct session *s)
{
	struct exim_session *x = &s->x;
	const struct session_conn *c = s->conn;

	/* A file or terminal cannot wait for answers. */
	s->no_sync = s->no_sync || c->lf_lines;
	x->addr = c->peer;
	x->interface = c->local;
	if (c->peer.family != 0) {
		x->host_address = sv_cstr(c->host_checking ? long_address(&c->peer, s->peer_text) :
		    net_addr_text(&c->peer, s->peer_text));
		x->host_port = c->peer.port;
		x->interface_address = sv_cstr(net_addr_text(&c->local, s->local_text));
		x->interface_port = c->local.port;
	} else {
		x->local = true;
		x->ident = sv_cstr(c->user);
		/* Of a caller who is not trusted, his login is as good as proved. */
		if (c->exim_style && !c->trusted)
			x->authenticated_id = x->ident;
	}
	if (c->facts != NULL) {
		x->host_name = c->facts->host_name;
		x->host_lookup = c->facts->host_lookup;
		x->ident = c->facts->ident;
		x->auth_mechanism = c->facts->auth_mechanism;
		x->authenticated_id = c->facts->authenticated_id;
		x->authenticated_sender = c->facts->authenticated_sender;
		s->authenticated = x->auth_mechanism.len > 0;
	}
	if (s->conf->main[EXIM_MAIN_smtp_active_hostname].str == NULL ||
	    !session_expand(s, EXIM_MAIN_smtp_active_hostname, &x->active_hostname) || x->active_hostname.len == 0)
		x->active_hostname = s->conf->g.primary_hostname;
	else
		x->active_hostname = arena_sv(s->arena, x->active_hostname);
	s->nomsg.originator_uid = s->nomsg.caller_uid = c->uid;
	s->st.mime_part_count = -1;
	session_protocol(s);
}

/* How addresses are read, by the configuration. */
unsigned
session_parse_flags(const struct session *s)
{
	unsigned f = s->conn->exim_style ? SMTP_PARSE_LAX : 0;

	if (exim_main_bool(s->conf, EXIM_MAIN_strip_excess_angle_brackets))
		f |= SMTP_PARSE_STRIP_ANGLES;
	if (exim_main_bool(s->conf, EXIM_MAIN_strip_trailing_dot))
		f |= SMTP_PARSE_STRIP_DOT;
	if (exim_main_bool(s->conf, EXIM_MAIN_allow_utf8_domains))
		f |= SMTP_PARSE_8BIT_DOMAIN;
	return (f);
}

/* Of this process, for $connection_id. */
static unsigned connections;

static void
session_init(struct session *s, const struct session_service *sv, struct session_conn *c)
{
	memset(s, 0, sizeof(*s));
	s->sv = sv;
	s->conn = c;
	s->conf = sv->conf;
	s->io = c->stream;
	s->kind = c->kind;
	s->lmtp = c->kind == SESSION_LMTP;
	s->arena = arena_new(1024);
	s->parse_flags = session_parse_flags(s);
	s->no_sync = !exim_main_bool(s->conf, EXIM_MAIN_smtp_enforce_sync);
	s->free_rset = s->free_helo = s->free_tls = s->free_auth = s->rcpt_same = true;
	s->started = fiber_now();
	exim_conf_env(s->conf, &s->env);
	take_arena(s);
	s->env.caches = sv->caches;
	s->env.world = sv->world;
	s->env.session = &s->x;
	s->env.acl = &s->st;
	s->env.acl_c = exim_vars_new();
	s->env.acl_m = exim_vars_new();
	s->env.acl_run = &s->acl;
	exim_acl_effects_init(&s->fx, s->arena);
	s->acl.ops = &session_acl_ops;
	s->acl.arg = s;
	s->acl.host_checking = c->host_checking && !c->callouts;
	s->acl.trace = sv->log != NULL && sv->log->trace != NULL;
	s->acl.log_warn_skipped = session_logs(s, EXIM_LOGSEL_acl_warn_skipped);
	session_env_reset(s);
	fill_session(s);
	s->x.arena = s->arena;
	s->x.connection_id = sv_cstr(arena_fmt(s->arena, "%x%06x", (unsigned)getpid(), ++connections & 0xffffff));
	s->timeout_ms = session_time(s, EXIM_MAIN_smtp_receive_timeout, 300) * 1000;
}

void
session_run(const struct session_service *sv, struct session_conn *c)
{
	struct session *s = xmalloc(sizeof(*s));

	session_init(s, sv, c);
	if (session_greet(s))
		command_loop(s);
	if (s->end == END_QUIT || s->end == END_DROP)
		session_log_connection(s, s->end == END_QUIT ? " closed by QUIT" : " closed by DROP in ACL");
	session_not_quit(s);
	session_log_no_mail(s);
	session_txn_end(s);
	session_debug_end(s);
	/* Unknown commands alone are no failure for Exim. */
	c->lost = s->end == END_LOST || s->end == END_ERRORS;
	exim_acl_run_fini(&s->acl);
	exim_acl_effects_free(&s->fx);
	exim_vars_free(&s->env.acl_c);
	exim_vars_free(&s->env.acl_m);
	stream_close(&s->io);
	free(s->auth_list);
	free(s->rcpt_reply);
	free(s->host_data);
	give_arena(s);
	free(s->last_command);
	arena_free(&s->arena);
	free(s);
}
