/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One command line.  Which command is legal when, and what it counts as, stands in one table.
 */
#include <string.h>

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

void
session_sync_error(struct session *s)
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

void
session_command(struct session *s, struct sv line)
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
		session_sync_error(s);
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
