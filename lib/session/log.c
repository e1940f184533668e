/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines of Exim's main and reject logs (chapter 53 of its manual).  Programs that
 * read such logs read ours.
 */
#include <stdarg.h>
#include <stdio.h>

#include "fiber/fiber.h"
#include "session/session_int.h"

#define REJECT_HEADERS_MAX	32768

bool
session_logs(const struct session *s, enum exim_logsel sel)
{
	return ((s->conf->log_selector & EXIM_LOGSEL_BIT(sel)) != 0);
}

static void
put_address(const struct session *s, struct sb *out)
{
	sb_addc(out, '[');
	sb_adds(out, s->peer_text);
	sb_addc(out, ']');
	if (session_logs(s, EXIM_LOGSEL_incoming_port) && s->x.host_port > 0)
		sb_addf(out, ":%u", (unsigned)s->x.host_port);
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" of a client with that address tells nothing new beside its name. */
static bool
own_literal(const struct session *s)
{
	struct sv v = s->helo_shown;
	struct net_addr a;

	if (v.len < 3 || v.p[0] != '[' || v.p[v.len - 1] != ']')
		return (false);
	v = sv_sub(v, 1, v.len - 1);
	if (sv_casestarts(v, "IPv6:") || sv_casestarts(v, "IPv4:"))
		v = sv_sub(v, 5, v.len);
	return (net_addr_parse(v, &a) && net_addr_eq(&a, &s->x.addr));
}

void
session_fullhost(const struct session *s, struct sb *out)
{
	const struct exim_session *x = &s->x;

	if (s->kind == SESSION_LOCAL && x->local) {
		sb_addf(out, "%s%s", s->conn->exim_style ? "" : "local user ", s->conn->user == NULL ? "?" : s->conn->user);
		return;
	}
	bool named = x->host_name.len > 0 && !x->host_unshown;

	if (named) {
		sb_add(out, x->host_name);
		sb_addc(out, ' ');
	}
	if (s->helo_shown.len > 0 && !(named && (sv_caseeq(s->helo_shown, x->host_name) || own_literal(s)))) {
		sb_addc(out, '(');
		sb_add(out, s->helo_shown);
		sb_adds(out, ") ");
	}
	put_address(s, out);
}

void
session_caller(const struct session *s, struct sb *out)
{
	session_fullhost(s, out);
	if (s->kind == SESSION_LOCAL && s->x.local)
		return;
	if (session_logs(s, EXIM_LOGSEL_incoming_interface) && s->local_text[0] != '\0')
		sb_addf(out, " I=[%s]:%u", s->local_text, (unsigned)s->x.interface_port);
	if (s->x.ident.len > 0)
		sb_addf(out, " U=" SV_FMT, SV_ARG(s->x.ident));
}

void
session_log_host(const struct session *s, struct sb *out)
{
	if (s->kind == SESSION_LOCAL && s->x.local) {
		sb_addf(out, "U=" SV_FMT, SV_ARG(s->x.ident));
		return;
	}
	sb_adds(out, "H=");
	session_caller(s, out);
}

void
session_log_tls(const struct session *s, struct sb *out)
{
	if (s->x.tls_in.cipher.len == 0)
		return;
	if (session_logs(s, EXIM_LOGSEL_tls_cipher)) {
		sb_addf(out, " X=" SV_FMT, SV_ARG(s->x.tls_in.cipher));
		if (session_logs(s, EXIM_LOGSEL_tls_resumption) && stream_tls_resumed(s->io))
			sb_adds(out, "*");
	}
	if (session_logs(s, EXIM_LOGSEL_tls_on_connect) && s->tls_first)
		sb_adds(out, " tls_on_connect");
	if (session_logs(s, EXIM_LOGSEL_tls_certificate_verified))
		sb_adds(out, s->x.tls_in.verified ? " CV=yes" : " CV=no");
	if (session_logs(s, EXIM_LOGSEL_tls_peerdn) && s->x.tls_in.peerdn.len > 0)
		sb_addf(out, " DN=\"" SV_FMT "\"", SV_ARG(s->x.tls_in.peerdn));
	if (session_logs(s, EXIM_LOGSEL_tls_sni) && s->x.tls_in.sni.len > 0)
		sb_addf(out, " SNI=\"" SV_FMT "\"", SV_ARG(s->x.tls_in.sni));
}

void
session_log_auth(const struct session *s, struct sb *out)
{
	if (s->x.auth_mechanism.len == 0)
		return;
	sb_addf(out, " A=" SV_FMT, SV_ARG(s->x.auth_mechanism));
	if (s->x.authenticated_id.len > 0)
		sb_addf(out, ":" SV_FMT, SV_ARG(s->x.authenticated_id));
	if (session_logs(s, EXIM_LOGSEL_smtp_mailauth) && s->x.authenticated_sender.len > 0)
		sb_addf(out, ":" SV_FMT, SV_ARG(s->x.authenticated_sender));
}

void
session_log_id(const struct session *s, struct sb *out)
{
	if (session_logs(s, EXIM_LOGSEL_connection_id))
		sb_addf(out, " Ci=" SV_FMT, SV_ARG(s->x.connection_id));
}

/* What a peer sent must not forge a line of the log. */
static void
clean(struct sb *sb)
{
	for (size_t i = 0; i < sb->len; i++)
		if ((unsigned char)sb->p[i] < ' ' || sb->p[i] == 127)
			sb->p[i] = sb->p[i] == '\t' ? '\t' : sb->p[i] == '\n' ? ' ' : '?';
}

const char *
session_id(const struct session *s)
{
	if (s->txn != NULL && s->txn->id[0] != '\0')
		return (s->txn->id);
	return (s->conn->exim_style && s->kind != SESSION_LOCAL ? s->last_id : "");
}

/* The id in front, once there is a message. */
static void
put_id(const struct session *s, struct sb *out)
{
	const char *id = session_id(s);

	if (id[0] != '\0')
		sb_addf(out, "%s ", id);
}

static void
emit(struct session *s, unsigned which, const char *line, const char *more)
{
	if (s->debug != NULL)
		session_debug_log(s, which, line);
	s->sv->log->exim(s->sv->log->arg, which, line, more);
}

void
session_logf(struct session *s, unsigned which, const char *fmt, ...)
{
	struct sb line = SB_INIT(16384);
	va_list ap;

	if (s->sv->log == NULL)
		return;
	put_id(s, &line);
	va_start(ap, fmt);
	sb_addv(&line, fmt, ap);
	va_end(ap);
	clean(&line);
	emit(s, which, sb_cstr(&line), NULL);
	sb_free(&line);
}

/* Exim shows each field with two characters in front that tell what it is. */
static void
put_field(struct sb *out, struct sv name, struct sv field)
{
	static const struct { const char *name; char c; } kinds[] = {
		{ "Received", 'P' }, { "From", 'F' }, { "To", 'T' }, { "Cc", 'C' }, { "Bcc", 'B' }, { "Reply-To", 'R' },
		{ "Sender", 'S' }, { "Message-Id", 'I' },
	};
	char c = ' ';

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		if (sv_caseeqs(name, kinds[k].name))
			c = kinds[k].c;
	sb_addf(out, "%c ", c);
	for (size_t k = 0; k < field.len; k++)
		if (field.p[k] != '\r')
			sb_addc(out, (unsigned char)field.p[k] < ' ' && field.p[k] != '\n' && field.p[k] != '\t' ? '?' : field.p[k]);
	if (field.len == 0 || field.p[field.len - 1] != '\n')
		sb_addc(out, '\n');
}

/* What the client sent, and what ACLs and fixups added by now. */
static void
put_headers(struct txn *t, struct sb *out)
{
	if (t->msg.received.len > 0)
		sb_addf(out, "P " SV_FMT, SV_ARG(t->msg.received));
	for (size_t i = 0; i < t->headers.n && out->len < REJECT_HEADERS_MAX; i++) {
		const struct mail_header *h = &t->headers.v[i];

		put_field(out, h->name, sv_from(h->name.p, h->name.len == 0 ? 0 : (size_t)(h->body.p + h->body.len - h->name.p)));
	}
	for (size_t i = 0; i < t->seen.len && out->len < REJECT_HEADERS_MAX; i++) {
		struct sv text = t->seen.p[i].text;
		ptrdiff_t colon = sv_chr(text, ':');

		put_field(out, colon < 0 ? SV_LIT("") : sv_trim(sv_sub(text, 0, (size_t)colon)), text);
	}
}

void
session_log_line(struct session *s, unsigned which, struct sb *text)
{
	struct sb line = SB_INIT(16384);

	if (s->sv->log == NULL)
		return;
	put_id(s, &line);
	sb_add(&line, sb_sv(text));
	clean(&line);
	emit(s, which, sb_cstr(&line), NULL);
	sb_free(&line);
}

void
session_log_reject(struct session *s, unsigned which, const char *text)
{
	struct sb line = SB_INIT(16384), more = SB_INIT(2 * REJECT_HEADERS_MAX);
	struct txn *t = s->txn;

	if (s->sv->log == NULL || which == 0)
		return;
	put_id(s, &line);
	sb_adds(&line, text);
	clean(&line);
	if (t != NULL && (t->headers.n > 0 || t->fixes.len > 0) && session_logs(s, EXIM_LOGSEL_rejected_header)) {
		sb_addf(&more, "Envelope-from: <" SV_FMT ">\n", SV_ARG(t->msg.sender));
		for (size_t i = 0; i < t->rcpts.len && i < 10; i++)
			sb_addf(&more, "%s<" SV_FMT ">\n", i == 0 ? "Envelope-to: " : "    ", SV_ARG(t->rcpts.p[i].addr));
		if (t->rcpts.len > 10)
			sb_adds(&more, "    ...\n");
		put_headers(t, &more);
	}
	emit(s, which, sb_cstr(&line), more.len > 0 ? sb_cstr(&more) : NULL);
	sb_free(&line);
	sb_free(&more);
}

/* ---- the connection ---- */

/* "SMTP connection from ...", where the client's connections are logged at all. */
void
session_log_connection(struct session *s, const char *what)
{
	struct sb line = SB_INIT(4096);

	if (!s->logs_connection)
		return;
	sb_adds(&line, "SMTP connection from ");
	session_caller(s, &line);
	session_log_id(s, &line);
	sb_adds(&line, what);
	session_log_line(s, SESSION_LOG_MAIN, &line);
	sb_free(&line);
}

/* A message that was begun and given up. */
void
session_log_incomplete(struct session *s, const char *why)
{
	struct sb line = SB_INIT(16384);

	if (s->txn == NULL || !session_logs(s, EXIM_LOGSEL_smtp_incomplete_transaction))
		return;
	session_log_host(s, &line);
	sb_addf(&line, " incomplete transaction (%s) from <" SV_FMT ">", why, SV_ARG(s->txn->msg.sender));
	for (size_t i = 0; i < s->txn->rcpts.len && i < 100; i++)
		sb_addf(&line, "%s" SV_FMT, i == 0 ? " for " : " ", SV_ARG(s->txn->rcpts.p[i].addr));
	session_log_line(s, SESSION_LOG_MAIN, &line);
	sb_free(&line);
}

void
session_log_history(const struct session *s, struct sb *out)
{
	struct sv rest = s->x.smtp_history, name;
	const char *sep = " C=";

	while (sv_next(&rest, ',', &name)) {
		if (sv_eqs(name, "?"))
			continue;
		sb_adds(out, sep);
		sb_add(out, name);
		sep = ",";
	}
}

/* A connection that brought no message. */
const char *
session_duration(const struct session *s, int64_t ms)
{
	static const struct { int64_t secs; char unit; } t[] = { { 604800, 'w' }, { 86400, 'd' }, { 3600, 'h' },
	    { 60, 'm' }, { 1, 's' } };
	struct arena *a = s->arena;
	const char *text = "";
	int64_t left = ms / 1000;

	if (left < 5 && session_logs(s, EXIM_LOGSEL_millisec))
		return (arena_fmt(a, "%lld.%03llds", (long long)left, (long long)(ms % 1000)));
	if (left <= 0)
		return ("0s");
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); left %= t[i++].secs)
		if (left >= t[i].secs)
			text = arena_fmt(a, "%s%lld%c", text, (long long)(left / t[i].secs), t[i].unit);
	return (text);
}

void
session_log_no_mail(struct session *s)
{
	struct sb line = SB_INIT(4096);

	if (s->mail_came || !session_logs(s, EXIM_LOGSEL_smtp_no_mail))
		return;
	sb_addf(&line, "no MAIL in %sSMTP connection from ", stream_is_tls(s->io) ? "TLS " : "");
	session_caller(s, &line);
	sb_addf(&line, " D=%s", session_duration(s, fiber_now() - s->started));
	session_log_auth(s, &line);
	session_log_tls(s, &line);
	session_log_history(s, &line);
	session_log_line(s, SESSION_LOG_MAIN, &line);
	sb_free(&line);
}
