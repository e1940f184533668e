/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connection until its first command: whether there is room for it, whom it is from, the greeting.
 */
#include <stdio.h>

#include "base/num.h"
#include "net/hosts_access.h"
#include "session/session_int.h"

#define CLOSED_DOWN_MAX	100		/* commands that are still answered then */

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
		session_sync_error(s);
		return (false);
	}
	return (banner(s, text, code));
}

bool
session_greet(struct session *s)
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
