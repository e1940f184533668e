/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The session: greeting, the loop over commands, the end.  Which command is legal when,
 * and what it counts as, stands in one table.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "fiber/fiber.h"
#include "net/hosts_access.h"
#include "session/session_int.h"

/* Conditions and properties of a command. */
#define C_HELO		0x01	/* needs HELO where hosts_require_helo says so */
#define C_TXN		0x02	/* needs MAIL */
#define C_SYNC		0x04	/* must be the last of a group (RFC 2920 section 3.1) */
#define C_SYNC_PLAIN	0x08	/* the same unless PIPELINING was offered */
#define C_MAIL		0x10	/* not counted as a nonmail command */
#define C_DRAIN		0x20	/* refused while the daemon ends */
#define C_LMTP		0x40	/* LMTP only */
#define C_NOT_LMTP	0x80
#define C_NO_TXN	0x100	/* not behind MAIL */

#define SPARE_ARENAS	32
#define CLOSED_DOWN_MAX	100		/* commands that are still answered then */

static const struct command {
	enum smtp_verb	 verb;
	unsigned	 flags;
	void		(*run)(struct session *s);
} commands[] = {
	{ SMTP_HELO,	 C_SYNC | C_NOT_LMTP,			session_helo },
	{ SMTP_EHLO,	 C_SYNC | C_NOT_LMTP,			session_helo },
	{ SMTP_LHLO,	 C_SYNC | C_LMTP,			session_helo },
	{ SMTP_MAIL,	 C_HELO | C_SYNC_PLAIN | C_MAIL | C_DRAIN | C_NO_TXN, session_mail },
	{ SMTP_RCPT,	 C_TXN | C_SYNC_PLAIN | C_MAIL,		session_rcpt },
	{ SMTP_DATA,	 C_SYNC | C_MAIL,			session_data },
	{ SMTP_BDAT,	 C_MAIL,				session_bdat },
	{ SMTP_RSET,	 C_SYNC_PLAIN,				session_rset },
	{ SMTP_NOOP,	 C_SYNC,				session_noop },
	{ SMTP_QUIT,	 C_MAIL,				session_quit },
	{ SMTP_HELP,	 0,					session_help },
	{ SMTP_VRFY,	 C_SYNC,				session_vrfy },
	{ SMTP_EXPN,	 C_SYNC,				session_expn },
	{ SMTP_ETRN,	 C_SYNC,				session_etrn },
	{ SMTP_STARTTLS, C_SYNC,				session_starttls },
	{ SMTP_AUTH,	 C_SYNC_PLAIN,				session_auth },
	{ SMTP_XCLIENT,	 C_SYNC | C_NO_TXN,			session_xclient },
	{ SMTP_WELLKNOWN, C_SYNC,				session_wellknown },
	{ SMTP_XLOCAL,	 C_NO_TXN | C_MAIL,			session_xlocal },
};

static const struct command *
find_command(enum smtp_verb v)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].verb == v)
			return (&commands[i]);
	return (NULL);
}

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

static bool
sync_broken(struct session *s, const struct command *c)
{
	bool last = c != NULL && ((c->flags & C_SYNC) != 0 || ((c->flags & C_SYNC_PLAIN) != 0 && !s->pipelining));

	if (s->early_pipe && c != NULL && c->verb == SMTP_EHLO && !s->helo_seen) {
		s->talked_early = false;
		return (false);
	}
	/* EHLO may come before the greeting where that is offered; programs that mean another protocol begin otherwise. */
	return (s->talked_early || (last && !s->no_sync && s->kind != SESSION_LOCAL && !s->conn->host_checking &&
	    stream_has_input(s->io)));
}

static void
sync_error(struct session *s)
{
	struct sb host = SB_INIT(2000);
	struct sv next = SV_NULL;

	s->end = END_SYNC;
	session_not_quit(s);
	session_log_host(s, &host);
	if (stream_has_input(s->io))
		(void)stream_peek(s->io, &next);
	session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, "SMTP protocol synchronization error (next input sent too soon: "
	    "pipelining was%s advertised): rejected \"" SV_FMT "\" %s next input=\"" SV_FMT "\"", s->pipelining ? "" : " not",
	    SV_ARG(s->line), sb_cstr(&host), SV_ARG(sv_sub(next, 0, 128)));
	sb_free(&host);
	session_log_incomplete(s, "sync failure");
	session_reply(s, 554, "5.5.0", s->farewell.p != NULL ? s->farewell : SV_LIT("SMTP synchronization error"));
}

/* Too many commands that move no mail: a probe, or a client that hangs on. */
static bool
nonmail_passed(struct session *s, const struct command *c)
{
	struct sb host = SB_INIT(2000);

	if (c != NULL && (c->flags & C_MAIL) != 0)
		return (false);
	if (s->c.verb == SMTP_RSET && s->free_rset) {
		s->free_rset = false;
		return (false);
	}
	if ((s->c.verb == SMTP_HELO || s->c.verb == SMTP_EHLO || s->c.verb == SMTP_LHLO) && s->free_helo) {
		s->free_helo = false;
		return (false);
	}
	if (s->c.verb == SMTP_STARTTLS && s->free_tls) {
		s->free_tls = false;
		return (false);
	}
	if (s->c.verb == SMTP_AUTH && s->free_auth) {
		s->free_auth = false;
		return (false);
	}
	if ((int64_t)++s->nonmail <= exim_main_int(s->conf, EXIM_MAIN_smtp_accept_max_nonmail) ||
	    !session_client_in(s, EXIM_MAIN_smtp_accept_max_nonmail_hosts))
		return (false);
	session_log_incomplete(s, "too many non-mail commands");
	s->end = END_ERRORS;
	session_not_quit(s);
	session_caller(s, &host);
	session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, "SMTP call from %s dropped: too many nonmail commands (last was \""
	    SV_FMT "\")", sb_cstr(&host), SV_ARG(s->c.word));
	sb_free(&host);
	if (s->conn->exim_style)
		session_reply(s, 554, NULL, s->farewell.p != NULL ? s->farewell : SV_LIT("Too many nonmail commands"));
	else
		session_421(s, "4.7.0", END_ERRORS, "Too many nonmail commands; closing connection");
	return (true);
}

static void
unknown_command(struct session *s)
{
	struct sb host = SB_INIT(2000);

	if ((int64_t)s->unknown++ < exim_main_int(s->conf, EXIM_MAIN_smtp_max_unknown_commands)) {
		session_mistake(s, 500, "5.5.1", "unrecognized command");
		return;
	}
	session_log_mistake(s, true, "unrecognized command");
	session_log_incomplete(s, "unrecognized command");
	s->end = END_UNKNOWN;
	session_not_quit(s);
	session_caller(s, &host);
	session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, "SMTP call from %s dropped: too many unrecognized commands (last was \""
	    SV_FMT "\")", sb_cstr(&host), SV_ARG(s->line));
	sb_free(&host);
	if (s->conn->exim_style)
		session_reply(s, 500, NULL, s->farewell.p != NULL ? s->farewell : SV_LIT("Too many unrecognized commands"));
	else
		session_421(s, "4.7.0", END_UNKNOWN, "Too many unrecognized commands; closing connection");
}

/* The conditions of the table.  True: it may run. */
static bool
legal(struct session *s, const struct command *c)
{
	if (((c->flags & C_LMTP) != 0 && s->kind != SESSION_LMTP) || ((c->flags & C_NOT_LMTP) != 0 && s->kind == SESSION_LMTP)) {
		session_mistake(s, 500, "5.5.1", "%s is not known here; use %s", smtp_verb_name(c->verb),
		    s->kind == SESSION_LMTP ? "LHLO" : "EHLO");
		return (false);
	}
	if ((c->flags & C_DRAIN) != 0 && s->sv->draining != NULL && *s->sv->draining) {
		session_421(s, "4.3.2", END_SHUTDOWN, "is restarting; connect again");
		return (false);
	}
	/* A name that is to be verified has to be given. */
	if ((c->flags & C_HELO) != 0 && !s->helo_seen && (session_client_in(s, EXIM_MAIN_hosts_require_helo) ||
	    session_client_in(s, EXIM_MAIN_helo_verify_hosts))) {
		struct sb host = SB_INIT(2000);

		session_caller(s, &host);
		session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, "rejected %s from %s: no HELO/EHLO given",
		    smtp_verb_name(c->verb), sb_cstr(&host));
		sb_free(&host);
		session_reply(s, 503, "5.5.1", SV_LIT("HELO or EHLO required"));
		return (false);
	}
	/* Behind PIPELINING it is no mistake to go on after a sender that was refused: the client could not know. */
	if ((c->flags & C_TXN) != 0 && s->txn == NULL && c->verb == SMTP_RCPT && s->mail_refused && s->pipelining) {
		s->in_mistake = true;
		session_reply(s, 503, "5.5.1", SV_LIT("sender not yet given"));
		s->in_mistake = false;
		return (false);
	}
	if ((c->flags & C_TXN) != 0 && s->txn == NULL) {
		session_mistake(s, 503, "5.5.1", "sender not yet given");
		return (false);
	}
	if ((c->flags & C_NO_TXN) != 0 && s->txn != NULL) {
		session_mistake(s, 503, "5.5.1", "sender already given");
		return (false);
	}
	return (true);
}

/* $smtp_command_history */
static void
add_history(struct session *s)
{
	const char *name = s->c.verb == SMTP_UNKNOWN ? "?" : smtp_verb_name(s->c.verb);
	size_t len = s->x.smtp_history.len, n = strlen(name);

	if (++s->nhist > SESSION_HISTORY) {
		size_t first = (size_t)sv_chr(s->x.smtp_history, ',') + 1;

		len -= first;
		memmove(s->hist, s->hist + first, len);
	}
	if (len > 0)
		s->hist[len++] = ',';
	memcpy(s->hist + len, name, n);
	s->x.smtp_history = sv_from(s->hist, len + n);
}

/* The line to a command; rewriting rules with "S" see the path as it was sent, and what they make of it is parsed again. */
static unsigned
parse_command(struct session *s, struct err *err)
{
	unsigned code = smtp_command_parse(s->line, s->parse_flags, s->cmd, &s->c, err);
	struct err ignored = ERR_INIT;
	struct sv path = s->c.path_text, rest, out;

	if ((s->conf->rewrites.flags & EXIM_RW_S) == 0 || s->conn->handed || path.len == 0 ||
	    (s->c.verb != SMTP_MAIL && s->c.verb != SMTP_RCPT) ||
	    exim_rewrite_smtp(&s->conf->rewrites, &s->env, path, &out, &ignored) != EXIM_OK || sv_eq(out, path) ||
	    sv_chr(out, '\n') >= 0)
		return (code);
	rest = sv_sub(s->c.arg, (size_t)(path.p + path.len - s->c.arg.p), s->c.arg.len);
	err_clear(err);
	code = smtp_command_parse(sv_taint(sv_cstr(arena_fmt(s->cmd, "%s:<" SV_FMT ">" SV_FMT, s->c.verb == SMTP_MAIL ? "MAIL FROM" :
	    "RCPT TO", SV_ARG(out), SV_ARG(rest)))), s->parse_flags, s->cmd, &s->c, err);
	/* Logs show what was sent. */
	s->c.path_text = path;
	return (code);
}

static void
one_command(struct session *s, struct sv line)
{
	struct err err = ERR_INIT;
	const struct command *c;
	unsigned code;

	s->line = arena_sv(s->cmd, sv_taint(line));
	while (s->line.len > 0 && sv_isspace(s->line.p[s->line.len - 1]))
		s->line.len--;
	if (!s->conn->exim_style)
		s->line = sv_trim(s->line);
	if (s->debug != NULL)
		session_debug_command(s, s->line);
	code = parse_command(s, &err);
	/* Commands that are there for some only. */
	if ((s->c.verb == SMTP_XCLIENT && !s->xclient) || (s->c.verb == SMTP_WELLKNOWN && !s->wellknown) ||
	    (s->c.verb == SMTP_XLOCAL && !s->conn->handed) ||
	    (s->c.verb == SMTP_LHLO && s->conn->exim_style && s->kind != SESSION_LMTP))
		s->c.verb = SMTP_UNKNOWN;
	if (!s->conn->handed) {
		s->x.smtp_command = s->line;
		s->x.smtp_argument = s->c.arg;
	}
	/* A command with an argument that it cannot have is none that was given; nor is one that nobody knows. */
	if (code != 500 && s->c.verb != SMTP_UNKNOWN && (code == 0 || !sv_starts(sv_cstr(err.text), "unexpected argument")))
		add_history(s);
	c = find_command(s->c.verb);
	if (s->c.verb == SMTP_RCPT && s->txn != NULL)
		s->x.rcpt_count++;
	if (sync_broken(s, c)) {
		sync_error(s);
		return;
	}
	if (stream_has_input(s->io) && !s->conn->host_checking)
		s->pipelined = true;
	/* What is no command counts as that alone. */
	if ((c != NULL || code != 0) && nonmail_passed(s, c))
		return;
	if (s->proxy_failed && s->c.verb != SMTP_QUIT) {
		session_reply(s, 503, "5.5.1", SV_LIT("Command refused, required Proxy negotiation failed"));
		return;
	}
	/* For Exim "MAIL" alone is no command, nor is what it does not offer. */
	if ((c == NULL && code == 0) || (code == 500 && s->conn->exim_style)) {
		unknown_command(s);
		return;
	}
	s->mail_came = s->mail_came || s->c.verb == SMTP_MAIL;
	/* Order comes before the grammar of arguments, as Exim has it. */
	if (c != NULL && !legal(s, c))
		return;
	s->mail_refused = false;
	/* Whether AUTH is for this client at all comes before its grammar. */
	if (code != 0 && s->c.verb == SMTP_AUTH && !s->auth_offered)
		code = 0;
	if (code != 0 && s->c.verb == SMTP_BDAT && !s->chunking)
		code = 0;
	if (code == 555 && s->conn->exim_style)
		code = 501;
	if (code != 0 && s->c.verb == SMTP_RCPT && s->txn != NULL)
		s->x.rcpt_fail_count++;
	if (code != 0) {
		session_mistake(s, code, err.status, "%s", err.text);
		s->mail_refused = s->c.verb == SMTP_MAIL;
		return;
	}
	c->run(s);
	s->mail_refused = s->c.verb == SMTP_MAIL && s->txn == NULL;
}

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
		one_command(s, line);
	}
}

/* ---- connecting ---- */

/* Does the client begin with a handshake? */
static bool
tls_first(struct session *s)
{
	struct sv list = exim_main_text(s->conf, EXIM_MAIN_tls_on_connect_ports), item;
	int64_t port;
	int sep = 0;

	if (s->kind == SESSION_SMTPS || s->conn->tls_on_connect)
		return (true);
	while (list.len > 0 && s->x.interface_port > 0 && exim_list_next(&list, &sep, s->cmd, &item))
		if (num_parse(sv_trim(item), 1, 65535, &port) && port == s->x.interface_port)
			return (true);
	return (false);
}

static bool
refused_connection(struct session *s, unsigned code, const char *status, const char *text, const char *why)
{
	struct sb host = SB_INIT(2000);

	session_caller(s, &host);
	session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, "refused connection from %s (%s)", sb_cstr(&host), why);
	/* A client that waits for a handshake could not read it. */
	if (!tls_first(s) || stream_is_tls(s->io))
		session_reply(s, code, status, sv_cstr(text));
	sb_free(&host);
	s->end = END_DROP;
	return (false);
}

static bool
within_limits(struct session *s)
{
	const struct session_ops *ops = s->sv->ops;
	int64_t all, host;

	if (ops->connections == NULL || s->kind == SESSION_LOCAL)
		return (true);
	all = exim_main_int(s->conf, EXIM_MAIN_smtp_accept_max);
	if (s->sv->max_sessions > 0 && (all <= 0 || s->sv->max_sessions < all))
		all = s->sv->max_sessions;
	if (all > 0 && (int64_t)ops->connections(ops->arg, NULL) > all)
		return (refused_connection(s, 421, "4.3.2", "Too many concurrent SMTP connections; please try again later",
		    "too many connections"));
	if (!session_within_reserve(s, all, (int64_t)ops->connections(ops->arg, NULL)))
		return (false);
	host = s->conf->main[EXIM_MAIN_smtp_accept_max_per_host].str == NULL ? 0 :
	    session_int(s, EXIM_MAIN_smtp_accept_max_per_host, 0);
	if (s->sv->max_per_host > 0 && host <= 0 && !net_addr_is_loopback(&s->conn->peer))
		host = s->sv->max_per_host;
	if (host > 0 && (int64_t)ops->connections(ops->arg, &s->conn->peer) > host)
		return (refused_connection(s, 421, "4.7.0",
		    "Too many concurrent SMTP connections from this IP address; please try again later",
		    "too many connections from that host"));
	return (true);
}

static bool
banner(struct session *s, struct sv text, unsigned code)
{
	struct sv banner_text;

	if (text.len == 0) {
		if (!session_expand(s, EXIM_MAIN_smtp_banner, &banner_text)) {
			session_421(s, "4.3.5", END_DROP, "Temporary local problem - please try later");
			return (false);
		}
		text = banner_text;
	}
	session_reply(s, code, NULL, text);
	return (true);
}

static bool
early_input(struct session *s)
{
	return (!s->no_sync && s->kind != SESSION_LOCAL && !s->conn->host_checking && !stream_is_tls(s->io) &&
	    stream_input_ready(s->io));
}

/* With the number of connections of the service. */
static void
log_begin(struct session *s)
{
	const struct session_ops *ops = s->sv->ops;
	char count[60] = "";

	if (ops->connections != NULL && s->kind != SESSION_LOCAL)
		(void)snprintf(count, sizeof(count), " (TCP/IP connection count = %zu)", ops->connections(ops->arg, NULL));
	session_log_connection(s, count);
}

/* For rules that name names: may park. */
static const char *
wrapped_name(void *arg, bool *mismatch)
{
	struct session *s = arg;

	exim_host_name(&s->env);
	/* A name that does not lead back to the address is kept as none. */
	*mismatch = s->x.host_name.len == 0 && s->x.host_lookup_msg.len > 0 &&
	    sv_find(s->x.host_lookup_msg, SV_LIT("match")) >= 0;
	return (arena_cstr(s->arena, s->x.host_name));
}

static bool
admitted(struct session *s)
{
	const struct session_ops *ops = s->sv->ops;
	struct sv name = exim_main_text(s->conf, EXIM_MAIN_tcp_wrappers_daemon_name);
	struct hosts_client c = { .addr = s->x.addr, .server = s->x.interface, .name = wrapped_name, .arg = s };

	if (ops->admit == NULL || s->x.addr.family == 0)
		return (true);
	c.daemon = name.len > 0 ? arena_cstr(s->arena, name) : "exim";
	return (ops->admit(ops->arg, &c));
}

/* As Exim: whoever came is told so again and again until he goes. */
static void
closed_down(struct session *s, const char *text)
{
	struct sv line, word;

	session_reply(s, 421, "4.3.5", sv_cstr(text));
	s->end = END_DROP;
	for (int i = 0; s->conn->exim_style && i < CLOSED_DOWN_MAX && stream_read_line(s->io, SMTP_COMMAND_MAX, &line) == STREAM_OK; i++) {
		line = sv_trim(line);
		if (sv_word(&line, &word) && sv_caseeqs(word, "QUIT")) {
			session_replyf(s, 221, NULL, SV_FMT " closing connection", SV_ARG(s->x.active_hostname));
			s->end = END_QUIT;
			break;
		}
		session_reply(s, sv_caseeqs(word, "RSET") ? 250 : 421, NULL, sv_caseeqs(word, "RSET") ? SV_LIT("Reset OK") :
		    sv_cstr(text));
	}
}

/* message_size_limit is that of the whole connection, by what is known of the client when he comes. */
static bool
size_limit_known(struct session *s)
{
	const struct exim_value *v = &s->conf->main[EXIM_MAIN_message_size_limit];
	struct err err = ERR_INIT;
	struct sv text;
	bool expands;

	s->size_limit = v->num;
	if (v->str == NULL)
		return (true);
	s->env.msg = session_msg(s);
	expands = exim_expand(v->str, &s->env, &text, &err) == EXIM_OK;
	if (expands && exim_text_int(text, &s->env, &s->size_limit, &err) && s->size_limit >= 0)
		return (true);
	if (expands && err.text[0] == '\0')
		(void)err_set(&err, ERR_CONFIG, "4.3.5", "non-negative integer expected but \"" SV_FMT "\" found", SV_ARG(text));
	session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_PANIC, "%s message_size_limit: %s", expands ? "invalid" : "unable to expand",
	    err.text);
	s->size_limit = 0;
	closed_down(s, "Temporary local problem - please try later");
	return (false);
}

bool
session_welcome(struct session *s)
{
	unsigned code = 220;
	struct sv text;

	if (!size_limit_known(s))
		return (false);
	if (session_client_in(s, EXIM_MAIN_host_lookup))
		exim_host_name(&s->env);
	if (session_client_in(s, EXIM_MAIN_host_reject_connection))
		return (refused_connection(s, 554, "5.7.1", "SMTP service not available", "host_reject_connection"));
	if (!admitted(s))
		return (refused_connection(s, 554, "5.7.1", "SMTP service not available", "tcp wrappers"));
	/* Exim asks now, which the log may tell of. */
	if (s->conn->exim_style && s->kind != SESSION_LOCAL) {
		(void)session_client_in(s, EXIM_MAIN_sender_unqualified_hosts);
		(void)session_client_in(s, EXIM_MAIN_recipient_unqualified_hosts);
	}
	if (session_acl(s, EXIM_WHERE_CONNECT, SV_NULL, &text, &code) != ACL_GO) {
		s->end = END_DROP;
		return (false);
	}
	exim_acl_run_reset(&s->acl);
	if (code / 100 != 2)
		code = 220;
	s->early_pipe = s->kind != SESSION_LOCAL &&
	    session_client_in(s, EXIM_MAIN_pipelining_connect_advertise_hosts);
	s->talked_early = early_input(s);
	if (s->talked_early && !s->early_pipe) {
		s->line = SV_LIT("");
		sync_error(s);
		return (false);
	}
	return (banner(s, text, code));
}

static bool
greet(struct session *s)
{
	/* Before anything that costs: the handshake, a look at the DNS. */
	if (!within_limits(s))
		return (false);
	s->logs_connection = !s->conn->handed && session_logs(s, EXIM_LOGSEL_smtp_connection) &&
	    !session_client_in(s, EXIM_MAIN_hosts_connection_nolog);
	session_proxy(s);
	log_begin(s);
	if (tls_first(s)) {
		if (!session_tls_start(s))
			return (false);
		s->tls_first = true;
		session_auth_tls(s);
	}
	session_ident(s);
	return (session_welcome(s));
}

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

/* ---- beginning and end ---- */

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
	if (greet(s))
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
	give_arena(s);
	free(s->last_command);
	arena_free(&s->arena);
	free(s);
}
