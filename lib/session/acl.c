/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Access control lists at the commands: runs them, answers and logs a refusal as Exim
 * does, and reads the options that lists and expansions hold.
 */
#include <sys/socket.h>

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "fiber/fiber.h"
#include "net/sock.h"
#include "session/cutthrough.h"
#include "session/session_int.h"

/* What a refusal at each place answers unless the ACL says otherwise. */
static const struct place {
	unsigned	 code;
	const char	*status;
	const char	*log;		/* NULL: the place's name and the command's argument */
	enum exim_main_opt opt;
} places[EXIM_WHERE_COUNT] = {
	[EXIM_WHERE_CONNECT]	= { 550, "5.7.1", "connection in \"connect\" ACL", EXIM_MAIN_acl_smtp_connect },
	[EXIM_WHERE_HELO]	= { 550, "5.7.1", NULL, EXIM_MAIN_acl_smtp_helo },
	[EXIM_WHERE_STARTTLS]	= { 550, "5.7.1", NULL, EXIM_MAIN_acl_smtp_starttls },
	[EXIM_WHERE_AUTH]	= { 503, "5.7.1", NULL, EXIM_MAIN_acl_smtp_auth },
	[EXIM_WHERE_MAILAUTH]	= { 550, "5.7.1", NULL, EXIM_MAIN_acl_smtp_mailauth },
	[EXIM_WHERE_MAIL]	= { 550, "5.7.1", NULL, EXIM_MAIN_acl_smtp_mail },
	[EXIM_WHERE_RCPT]	= { 550, "5.7.1", NULL, EXIM_MAIN_acl_smtp_rcpt },
	[EXIM_WHERE_PREDATA]	= { 550, "5.7.1", "DATA", EXIM_MAIN_acl_smtp_predata },
	[EXIM_WHERE_MIME]	= { 550, "5.7.1", "during MIME ACL checks", EXIM_MAIN_acl_smtp_mime },
	[EXIM_WHERE_DKIM]	= { 550, "5.7.20", "DKIM ", EXIM_MAIN_acl_smtp_dkim },
	[EXIM_WHERE_DATA]	= { 550, "5.7.1", "after DATA", EXIM_MAIN_acl_smtp_data },
	[EXIM_WHERE_PRDR]	= { 550, "5.7.1", "after DATA PRDR", EXIM_MAIN_acl_smtp_data_prdr },
	[EXIM_WHERE_ETRN]	= { 458, "4.7.1", NULL, EXIM_MAIN_acl_smtp_etrn },
	[EXIM_WHERE_EXPN]	= { 550, "5.7.1", NULL, EXIM_MAIN_acl_smtp_expn },
	[EXIM_WHERE_VRFY]	= { 252, "2.5.2", NULL, EXIM_MAIN_acl_smtp_vrfy },
	[EXIM_WHERE_WELLKNOWN]	= { 550, "5.7.1", NULL, EXIM_MAIN_acl_smtp_wellknown },
	[EXIM_WHERE_QUIT]	= { 0, NULL, NULL, EXIM_MAIN_acl_smtp_quit },
	[EXIM_WHERE_NOTSMTP_START] = { 0, NULL, NULL, EXIM_MAIN_acl_not_smtp_start },
	[EXIM_WHERE_NOTSMTP_MIME] = { 550, "5.7.1", "by MIME ACL", EXIM_MAIN_acl_not_smtp_mime },
	[EXIM_WHERE_NOTSMTP]	= { 550, "5.7.1", "by non-SMTP ACL", EXIM_MAIN_acl_not_smtp },
	[EXIM_WHERE_NOTQUIT]	= { 0, NULL, NULL, EXIM_MAIN_acl_smtp_notquit },
};

static void
told(struct session *s, const char *option, const struct err *err)
{
	session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_PANIC, "%s: %s", option, err->text);
}

/* ---- options ---- */

bool
session_acl_set(const struct session *s, enum exim_acl_where where)
{
	return (session_acl_asked(s, where) && s->conf->main[places[where].opt].text.p != NULL &&
	    s->conf->main[places[where].opt].text.len > 0);
}

bool
session_client_in(struct session *s, enum exim_main_opt opt)
{
	const struct exim_value *v = &s->conf->main[opt];
	struct err err = ERR_INIT;
	bool yes = false;

	if (v->list == NULL || v->text.len == 0)
		return (false);
	if (v->text.len == 1 && v->text.p[0] == '*')
		return (true);
	s->env.msg = session_msg(s);
	if (exim_match_client(v->list, &s->env, &yes, NULL, &err) == EXIM_OK)
		return (yes);
	if (err.text[0] != '\0')
		told(s, "host list", &err);
	return (false);
}

bool
session_expand(struct session *s, enum exim_main_opt opt, struct sv *out)
{
	struct err err = ERR_INIT;
	enum exim_result r;

	s->env.msg = session_msg(s);
	r = exim_expand(exim_main_str(s->conf, opt), &s->env, out, &err);
	if (r == EXIM_OK)
		return (true);
	*out = SV_NULL;
	if (r != EXIM_FORCED)
		told(s, "expansion failed", &err);
	return (r == EXIM_FORCED);
}

int64_t
session_int(struct session *s, enum exim_main_opt opt, int64_t dflt)
{
	const struct exim_value *v = &s->conf->main[opt];
	struct err err = ERR_INIT;
	int64_t n;

	if (v->str == NULL)
		return (v->text.p == NULL && v->num == 0 ? dflt : v->num);
	s->env.msg = session_msg(s);
	if (exim_expand_int(v->str, &s->env, &n, &err) == EXIM_OK)
		return (n);
	told(s, "expansion failed", &err);
	return (dflt);
}

int64_t
session_time(struct session *s, enum exim_main_opt opt, int64_t dflt)
{
	const struct exim_value *v = &s->conf->main[opt];
	struct sv text;
	int64_t n;

	if (v->str == NULL)
		return (v->num > 0 ? v->num : dflt);
	if (session_expand(s, opt, &text) && exim_parse_time(text, &n) && n > 0)
		return (n);
	return (dflt);
}

/* ---- what ACLs ask of the session ---- */

static void
op_delay(void *arg, struct exim_env *env, int64_t seconds)
{
	struct session *s = arg;

	if (s->conn->host_checking || seconds <= 0)
		return;
	if (!s->acl.fx->ctl[EXIM_CTL_NO_DELAY_FLUSH])
		(void)stream_flush(s->io);
	(void)fiber_sleep(seconds * 1000);
}

/* Line ends within show as "\n"; what a warn statement tells names the client. */
static void
op_log(void *arg, unsigned logs, struct sv line)
{
	struct session *s = arg;
	struct sb out = SB_INIT(16384);
	bool warning = sv_starts(line, "Warning: ");

	if (warning) {
		session_log_host(s, &out);
		sb_addc(&out, ' ');
	}
	for (size_t i = 0; i < line.len; i++)
		if (line.p[i] == '\n')
			sb_adds(&out, "\\n");
		else if (warning && ((unsigned char)line.p[i] >= 127))
			sb_addf(&out, "\\%03o", (unsigned char)line.p[i]);
		else
			sb_addc(&out, line.p[i]);
	session_log_line(s, logs, &out);
	sb_free(&out);
}

/* control = dscp/NAME: RFC 2474, 2597, 3246 names, or a number of six bits. */
static void
set_dscp(struct session *s, struct sv name)
{
	int tos, value = net_dscp_parse(sv_trim(name));

	if (value < 0) {
		session_logf(s, SESSION_LOG_MAIN, "ACL dscp set failed: \"" SV_FMT "\"", SV_ARG(name));
		return;
	}
	tos = value << 2;
	if (s->x.addr.family == 6)
		(void)setsockopt(stream_fd(s->io), IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	else if (s->x.addr.family == 4)
		(void)setsockopt(stream_fd(s->io), IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
}

static void
op_control(void *arg, struct exim_env *env, enum exim_acl_control ctl, struct sv param)
{
	struct session *s = arg;

	switch (ctl) {
	case EXIM_CTL_ENFORCE_SYNC:
		s->no_sync = false;
		break;
	case EXIM_CTL_NO_ENFORCE_SYNC:
		s->no_sync = true;
		break;
	case EXIM_CTL_NO_PIPELINING:
		s->no_pipelining = true;
		s->pipelining = false;
		break;
	case EXIM_CTL_NO_MULTILINE_RESPONSES:
		s->no_multiline = true;
		break;
	case EXIM_CTL_ALLOW_AUTH_UNADVERTISED:
		s->auth_unadvertised_ok = true;
		break;
	case EXIM_CTL_CUTTHROUGH_DELIVERY:
		session_cut_order(s, param);
		break;
	case EXIM_CTL_DEBUG:
		session_debug_control(s, param);
		break;
	case EXIM_CTL_DSCP:
		if (!s->conn->host_checking)
			set_dscp(s, param);
		break;
	default:
		break;
	}
}

static void
op_trace(void *arg, struct sv line)
{
	struct session *s = arg;

	if (s->debug != NULL)
		session_debug_acl(s, line);
	if (s->sv->log != NULL && s->sv->log->trace != NULL)
		s->sv->log->trace(s->sv->log->arg, s->peer_text, arena_cstr(s->cmd, line));
}

static int
op_udpsend(void *arg, struct sv host, int port, struct sv text)
{
	struct session *s = arg;
	const struct exim_world *w = s->env.world;
	struct sockaddr_storage ss;
	struct net_addr *addrs;
	socklen_t len;
	size_t n = 0;
	int fd, rc = -1;

	if (w->addrs == NULL || w->addrs(w->arg, arena_cstr(s->cmd, host), s->cmd, &addrs, &n) != EXIM_FOUND || n == 0)
		return (-1);
	addrs[0].port = (uint16_t)port;
	len = net_addr_to_sockaddr(&addrs[0], &ss);
	fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd != -1) {
		rc = sendto(fd, text.p, text.len, 0, (struct sockaddr *)&ss, len) == (ssize_t)text.len ? 0 : -1;
		(void)close(fd);
	}
	return (rc);
}

const struct exim_acl_ops session_acl_ops = {
	.trace = op_trace,
	.verify = session_verify,
	.scan = session_scan,
	.scan_head = session_scan_head,
	.udpsend = op_udpsend,
	.delay = op_delay,
	.log = op_log,
	.control = op_control,
};

/*
 * What conditions leave for later commands lies in the command's arena: move it to the
 * transaction's, or the connection's outside of one.
 */
static const struct {
	bool	 in_msg;
	size_t	 offset;
} kept[SESSION_KEPT] = {
#define ST(f)	{ false, offsetof(struct exim_acl_state, f) }
#define MSG(f)	{ true, offsetof(struct exim_message, f) }
	ST(dnslist_domain), ST(dnslist_matched), ST(dnslist_text), ST(dnslist_value), ST(sender_rate), ST(sender_rate_limit),
	ST(sender_rate_period), ST(sender_verify_failure), ST(recipient_verify_failure), ST(malware_name), ST(spam_action),
	ST(spam_bar), ST(spam_report), ST(spam_score), ST(spam_score_int), ST(spf_result), ST(spf_received),
	ST(spf_header_comment), ST(spf_smtp_comment), ST(callout_address), MSG(sender_data), MSG(sender_address_data),
#undef ST
#undef MSG
};

/* $host_data is the connection's, whoever asked. */
static void
keep_host_data(struct session *s)
{
	struct sv *v = &s->st.host_data;
	char *old = s->host_data;

	if (v->p == old)
		return;
	s->host_data = v->len == 0 ? NULL : xstrndup(v->p, v->len);
	v->p = s->host_data;
	free(old);
}

static void
keep(struct session *s)
{
	struct arena *a = s->txn != NULL ? s->txn->arena : s->arena;

	keep_host_data(s);
	for (size_t i = 0; i < SESSION_KEPT; i++) {
		struct sv *v = (struct sv *)(void *)((char *)(kept[i].in_msg ? (void *)session_msg(s) : (void *)&s->st) +
		    kept[i].offset);

		if (v->p == s->kept[i].p)
			continue;
		/* What stays the same from recipient to recipient takes no memory anew. */
		if (v->len > 0 && sv_eq(*v, s->kept[i]) && v->tainted == s->kept[i].tainted)
			*v = s->kept[i];
		else if (v->len > 0)
			*v = arena_sv(a, *v);
		s->kept[i] = *v;
	}
	if (s->x.host_name.p != s->kept_host) {
		if (s->x.host_name.len > 0)
			s->x.host_name = arena_sv(s->arena, s->x.host_name);
		s->kept_host = s->x.host_name.p;
		if (s->x.nhost_aliases > 0) {
			const char **names = arena_alloc(s->arena, s->x.nhost_aliases * sizeof(char *));

			for (size_t i = 0; i < s->x.nhost_aliases; i++)
				names[i] = arena_str(s->arena, s->x.host_aliases[i]);
			s->x.host_aliases = names;
		}
	}
}

/* ---- running ---- */

static void
log_refusal(struct session *s, enum exim_acl_where where, struct sv what, const struct exim_acl_result *res)
{
	struct sb line = SB_INIT(16384);
	struct sv msg = res->log_msg.len > 0 ? res->log_msg : res->user_msg;
	bool temp = res->verdict == EXIM_ACL_DEFER || res->verdict == EXIM_ACL_ERROR;
	unsigned targets = res->log_targets;
	ptrdiff_t nl = sv_chr(msg, '\n');

	if (targets == 0 || (where == EXIM_WHERE_CONNECT && !session_logs(s, EXIM_LOGSEL_connection_reject)))
		goto out;
	session_log_host(s, &line);
	session_log_tls(s, &line);
	if (where == EXIM_WHERE_RCPT || where == EXIM_WHERE_DATA || where == EXIM_WHERE_MIME || where == EXIM_WHERE_PRDR ||
	    where == EXIM_WHERE_NOTSMTP || where == EXIM_WHERE_NOTSMTP_MIME) {
		sb_addf(&line, " F=<" SV_FMT ">", SV_ARG(session_shown_sender(s)));
		session_log_auth(s, &line);
	}
	sb_addf(&line, " %srejected ", temp ? "temporarily " : "");
	if (places[where].log != NULL)
		sb_adds(&line, places[where].log);
	else
		sb_addf(&line, "%s " SV_FMT, exim_acl_where_name(where), SV_ARG(what));
	/* Only the first line of what was said. */
	if (nl >= 0)
		msg = sv_sub(msg, 0, (size_t)nl);
	if (msg.len > 0 || nl >= 0)
		sb_addf(&line, ": " SV_FMT, SV_ARG(msg));
	session_log_reject(s, targets, sb_cstr(&line));
out:
	sb_free(&line);
}

static void
refuse(struct session *s, enum exim_acl_where where, const struct exim_acl_result *res)
{
	bool temp = res->verdict == EXIM_ACL_DEFER || res->verdict == EXIM_ACL_ERROR;
	unsigned code = temp ? 451 : places[where].code;
	const char *status = temp ? "4.7.1" : places[where].status;
	char own[SMTP_STATUS_MAX];
	struct sv text = res->user_msg;

	if (res->code != 0) {
		code = (unsigned)res->code;
		status = code / 100 == 4 ? "4.7.1" : code / 100 == 2 ? "2.5.0" : "5.7.1";
	}
	if (res->status.len > 0 && res->status.len < sizeof(own)) {
		memcpy(own, res->status.p, res->status.len);
		own[res->status.len] = '\0';
		status = own;
		s->own_status = true;
	}
	if (text.len == 0 || (temp && !res->details)) {
		if (temp) {
			text = SV_LIT("Temporary local problem - please try later");
			if (res->status.len == 0)
				status = "4.3.0";
		} else if (res->unset && where == EXIM_WHERE_RCPT && !s->conn->exim_style) {
			text = SV_LIT("relay not permitted");
		} else {
			text = SV_LIT("Administrative prohibition");
		}
	}
	s->rcpt_text = text;
	/* Exim tells why the sender did not stand, in front of what the ACL says. */
	if (s->sender_failed.p != NULL && !temp)
		text = sv_cstr(arena_fmt(s->cmd, SV_FMT "\n" SV_FMT, SV_ARG(s->sender_failed), SV_ARG(text)));
	if (s->no_multiline && sv_chr(text, '\n') >= 0)
		text = sv_sub(text, 0, (size_t)sv_chr(text, '\n'));
	session_reply(s, code, status, text);
	s->own_status = false;
	s->rcpt_text = SV_NULL;
}

void
session_acl_refuse(struct session *s, enum exim_acl_where where, struct sv what, const struct exim_acl_result *res)
{
	s->sender_failed = SV_NULL;
	log_refusal(s, where, what, res);
	refuse(s, where, res);
}

/* Further lines lose their indentation, and empty ones vanish, as they were wanted for the configuration only. */
static struct sv
unindent(struct session *s, struct sv v)
{
	struct sv out = v;
	size_t n = 0;
	char *p;

	if (sv_chr(v, '\n') < 0)
		return (v);
	p = arena_alloc(s->cmd, v.len);
	for (size_t i = 0; i < v.len; i++)
		if ((v.p[i] != ' ' && v.p[i] != '\t' && v.p[i] != '\n') || n == 0 || p[n - 1] != '\n')
			p[n++] = v.p[i];
	out.p = p;
	out.len = n;
	return (out);
}

/* Exim says so for recipients and for whole messages. */
void
session_log_discard(struct session *s, enum exim_acl_where where, struct sv why)
{
	struct sb line = SB_INIT(8192);

	session_log_host(s, &line);
	sb_addf(&line, " F=<" SV_FMT "> RCPT " SV_FMT ": discarded by %s ACL", SV_ARG(session_msg(s)->sender),
	    SV_ARG(s->c.path_text), exim_acl_where_name(where));
	if (why.len > 0)
		sb_addf(&line, ": " SV_FMT, SV_ARG(why));
	session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, "%s", sb_cstr(&line));
	sb_free(&line);
}

/* The status belongs to the text where none is shown by itself. */
static struct sv
accepted_text(struct session *s, const struct exim_acl_result *res)
{
	if (res->status.len == 0 || !s->conn->exim_style)
		return (res->user_msg);
	return (sv_cstr(arena_fmt(s->cmd, SV_FMT " " SV_FMT, SV_ARG(res->status), SV_ARG(res->user_msg))));
}

enum acl_answer
session_acl(struct session *s, enum exim_acl_where where, struct sv what, struct sv *text, unsigned *code)
{
	struct exim_acl_result res = { .verdict = EXIM_ACL_ACCEPT };
	enum exim_acl_verdict v;

	if (text != NULL)
		*text = SV_NULL;
	if (!session_acl_asked(s, where))
		return (ACL_GO);
	s->env.msg = session_msg(s);
	if (s->txn != NULL)
		s->env.addr = &s->txn->addr;
	s->acl.fx = s->txn != NULL ? &s->txn->fx : &s->fx;
	s->acl.where = where;
	s->sender_failed = s->sender_log = SV_NULL;
	s->sender_checked = NULL;
	v = exim_acl_check(&s->env, &s->acl, &res);
	s->acl_error = v == EXIM_ACL_ERROR ? res.log_msg : SV_NULL;
	s->env.msg->headers_added = s->acl.fx->headers_added;
	res.user_msg = unindent(s, res.user_msg);
	keep(s);
	switch (v) {
	case EXIM_ACL_ACCEPT:
		if (text != NULL)
			*text = accepted_text(s, &res);
		if (code != NULL && res.code != 0)
			*code = (unsigned)res.code;
		return (ACL_GO);
	case EXIM_ACL_DISCARD:
		if (text != NULL)
			*text = accepted_text(s, &res);
		if (code != NULL && res.code != 0)
			*code = (unsigned)res.code;
		if (where == EXIM_WHERE_RCPT)
			session_log_discard(s, where, res.log_msg);
		else if (s->txn != NULL)
			s->txn->discard_why = arena_sv(s->txn->arena, res.log_msg);
		return (ACL_DISCARD);
	default:
		break;
	}
	if (places[where].code == 0 && v == EXIM_ACL_ERROR) {
		session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_PANIC, "ACL for %s returned ERROR: " SV_FMT,
		    where == EXIM_WHERE_QUIT ? "QUIT" : where == EXIM_WHERE_NOTQUIT ? "not-QUIT" :
		    exim_acl_where_name(where), SV_ARG(res.log_msg));
		if (text != NULL)
			*text = res.user_msg;
	}
	if ((where == EXIM_WHERE_MAILAUTH && v == EXIM_ACL_DENY) || (where == EXIM_WHERE_PRDR && v != EXIM_ACL_DROP)) {
		/* Both go on, and the callers tell of it. */
		if (text != NULL)
			*text = res.user_msg;
		return (v == EXIM_ACL_DENY || v == EXIM_ACL_ERROR ? ACL_NO : ACL_LATER);
	}
	if (places[where].code != 0) {
		if (s->sender_log.p != NULL)
			session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, SV_FMT, SV_ARG(s->sender_log));
		if (s->txn != NULL && (s->sender_log.p != NULL || s->sender_failed.p != NULL))
			session_sender_told(s);
		log_refusal(s, where, what, &res);
		refuse(s, where, &res);
	}
	if (v == EXIM_ACL_DROP) {
		s->end = END_DROP;
		return (ACL_GONE);
	}
	return (ACL_NO);
}
