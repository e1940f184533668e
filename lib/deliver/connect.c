/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a connection to a mail server: greeting, EHLO, STARTTLS; and ending it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/hmac.h>

#include "base/arena.h"
#include "base/codec.h"
#include "deliver/client_int.h"
#include "deliver/socks.h"
#include "fiber/fiber.h"
#include "net/sock.h"

#define CONTENT_BUF	(64 * 1024 * 3)

/* ---- one command, one reply ---- */

int
deliver_lost(struct deliver_conn *c, enum stream_result r, const char *what, struct deliver_error *e)
{
	c->dead = true;
	e->host = true;
	e->code = 0;
	e->what = EXIM_RE_LOST_CONNECTION;
	switch (r) {
	case STREAM_TIMEOUT:
		e->what = EXIM_RE_TIMEOUT;
		if (c->written > 0)
			return (err_set(&e->err, ERR_TEMP, "4.4.2", "SMTP timeout after %s (%llu bytes written)", what,
			    (unsigned long long)c->written));
		return (err_set(&e->err, ERR_TEMP, "4.4.2", "SMTP timeout after %s", what));
	case STREAM_EOF:
		return (err_set(&e->err, ERR_TEMP, "4.4.2", "Remote host closed connection in response to %s", what));
	case STREAM_TOO_LONG:
		return (err_set(&e->err, ERR_TEMP, "4.5.0", "a line of the answer to %s is too long", what));
	case STREAM_CANCELLED:
		return (err_set(&e->err, ERR_TEMP, "4.3.2", "interrupted after %s", what));
	default:
		return (err_set(&e->err, ERR_TEMP, "4.4.2", "%s after %s", stream_error(c->s), what));
	}
}

void
deliver_reply_error(struct deliver_conn *c, const char *what, struct deliver_error *e)
{
	(void)smtp_reply_err(&c->reply, &e->err);
	err_prefix(&e->err, "SMTP error from remote mail server after %s", what);
	e->code = (int)c->reply.code;
	e->host = false;
}

/* <line> is no reply. */
static int
malformed(struct deliver_conn *c, struct sv line, const char *what, struct deliver_error *e)
{
	struct sb shown = SB_INIT(600);

	c->dead = true;
	e->host = true;
	e->code = DELIVER_MALFORMED;
	line = sv_trim(sv_sub(line, 0, 500));
	for (size_t i = 0; i < line.len; i++)
		sb_addc(&shown, (unsigned char)line.p[i] < ' ' || line.p[i] == 127 ? '?' : line.p[i]);
	if (line.len == 0)
		(void)err_set(&e->err, ERR_TEMP, "4.5.0", "Malformed SMTP reply (an empty line) in response to %s", what);
	else
		(void)err_set(&e->err, ERR_TEMP, "4.5.0", "Malformed SMTP reply in response to %s: %s", what, sb_cstr(&shown));
	sb_free(&shown);
	return (-1);
}

int
deliver_read_reply(struct deliver_conn *c, int64_t ms, const char *what, struct deliver_error *e)
{
	enum smtp_reply_state st = SMTP_REPLY_MORE;
	struct sv line;

	smtp_reply_reset(&c->reply);
	stream_set_timeout(c->s, ms, ms);
	while (st == SMTP_REPLY_MORE) {
		enum stream_result r = stream_read_line(c->s, SMTP_REPLY_LINE_MAX, &line);

		if (r != STREAM_OK && r != STREAM_TOO_LONG)
			return (deliver_lost(c, r, what, e));
		st = smtp_reply_line(&c->reply, line, &e->err);
	}
	if (st == SMTP_REPLY_BAD)
		return (malformed(c, line, what, e));
	/* 421: the host goes away, whatever was asked (RFC 5321 section 3.8). */
	if (c->reply.code == 421) {
		deliver_reply_error(c, what, e);
		c->dead = true;
		e->host = true;
		return (-1);
	}
	return (0);
}

int
deliver_command(struct deliver_conn *c, const char *what, struct deliver_error *e, const char *fmt, ...)
{
	struct sb line = SB_INIT(16 * 1024);
	enum stream_result r;
	va_list ap;

	va_start(ap, fmt);
	sb_addv(&line, fmt, ap);
	va_end(ap);
	sb_adds(&line, "\r\n");
	r = line.overflow ? STREAM_TOO_LONG : stream_write(c->s, sb_sv(&line));
	if (r == STREAM_OK)
		r = stream_flush(c->s);
	sb_free(&line);
	return (r == STREAM_OK ? 0 : deliver_lost(c, r, what, e));
}

/* ---- greeting ---- */

/* The last reply as it came, with <end> behind each line. */
static void
put_reply(const struct deliver_conn *c, const char *end, struct sb *out)
{
	struct sv text = sb_sv(&c->reply.text), line;

	while (sv_next(&text, '\n', &line))
		sb_addf(out, "%u%c" SV_FMT "%s", c->reply.code, text.len > 0 ? '-' : ' ', SV_ARG(line), end);
}

/* The answer to EHLO, for whoever looks into it. */
static void
keep_ehlo(struct deliver_conn *c)
{
	sb_clear(&c->ehlo_text);
	if (c->o->session_name != NULL)
		put_reply(c, "\r\n", &c->ehlo_text);
}

/* ---- events ---- */

static struct sv
event(const struct deliver_conn *c, const char *name, struct sv data)
{
	return (c->o->event == NULL ? SV_NULL : c->o->event(c->o->event_arg, c, name, sv_taint(data), NULL));
}

/* The same with the last reply. */
static struct sv
event_reply(const struct deliver_conn *c, const char *name)
{
	struct sb text = SB_INIT(64 * 1024);
	struct sv answer;

	if (c->o->event == NULL)
		return (SV_NULL);
	put_reply(c, "\n", &text);
	answer = event(c, name, sv_sub(sb_sv(&text), 0, text.len > 0 ? text.len - 1 : 0));
	sb_free(&text);
	return (answer);
}

/* tls:cert for what the host has shown, the authority first.  False: it is not to be trusted. */
static bool
certs_welcome(const struct deliver_conn *c)
{
	bool yes = true;

	if (c->o->event == NULL)
		return (true);
	for (size_t i = stream_tls_chain(c->s, 0, NULL); yes && i-- > 0; ) {
		char depth[24];
		void *cert;

		(void)stream_tls_chain(c->s, i, &cert);
		(void)snprintf(depth, sizeof(depth), "%zu", i);
		yes = c->o->event(c->o->event_arg, c, "tls:cert", sv_cstr(depth), cert).len == 0;
	}
	return (yes);
}

/* ---- hosts that take EHLO before they have greeted ---- */

#define EARLY_MAX	256

/* Hashes of their addresses and ports; a wrong one costs a connection, which is then made in the usual order. */
static uint64_t early_hosts[EARLY_MAX];

static uint64_t *
early_slot(const struct net_addr *a, uint64_t *h)
{
	*h = UINT64_C(0xcbf29ce484222325) ^ a->port;
	for (size_t i = 0; i < sizeof(a->ip); i++)
		*h = (*h ^ a->ip[i]) * UINT64_C(0x100000001b3);
	*h |= 1;
	return (&early_hosts[*h / 2 % EARLY_MAX]);
}

static bool
is_early(const struct deliver_conn *c)
{
	uint64_t h;

	return (c->o->pipe_connect && !c->o->tls_on_connect && c->o->esmtp && *early_slot(&c->host.addr, &h) == h);
}

static void
note_early(const struct deliver_conn *c, bool yes)
{
	uint64_t h, *slot = early_slot(&c->host.addr, &h);

	if (yes)
		*slot = h;
	else if (*slot == h)
		*slot = 0;
}

/* EHLO, LHLO or HELO; 1: the peer does not know EHLO.  <sent>: it has been sent. */
static int
say_hello(struct deliver_conn *c, bool extended, bool sent, struct deliver_error *e)
{
	const char *verb = c->o->lmtp ? "LHLO" : extended ? "EHLO" : "HELO";
	char what[300];

	(void)snprintf(what, sizeof(what), "%s %s", verb, c->o->helo);
	if ((!sent && deliver_command(c, what, e, "%s", what) == -1) || deliver_read_reply(c, c->o->command_ms, what, e) == -1)
		return (-1);
	if (c->reply.code / 100 != 2) {
		if (extended && !c->o->lmtp && c->reply.code / 100 == 5)
			return (1);
		deliver_reply_error(c, what, e);
		e->host = true;
		return (-1);
	}
	memset(&c->ehlo, 0, sizeof(c->ehlo));
	if (extended || c->o->lmtp) {
		smtp_ehlo_parse(&c->ehlo, &c->reply);
		keep_ehlo(c);
	}
	(void)event_reply(c, "smtp:ehlo");
	return (0);
}

static int
hello(struct deliver_conn *c, bool sent, struct deliver_error *e)
{
	int rc = say_hello(c, c->o->esmtp, sent, e);

	if (!stream_is_tls(c->s))
		note_early(c, rc == 0 && (c->ehlo.ext & SMTP_EXT_PIPECONNECT) != 0);
	return (rc == 1 ? say_hello(c, false, false, e) : rc);
}

static void
keep_cipher(struct deliver_conn *c)
{
	free(c->cipher);
	c->cipher = xstrdup(stream_tls_cipher(c->s));
}

static int
tls_failed(struct deliver_conn *c, const char *why, struct deliver_error *e)
{
	c->dead = true;
	e->host = true;
	e->what = EXIM_RE_TLS_REQUIRED;
	return (err_set(&e->err, ERR_TEMP, "4.7.0", "a TLS session is required, but %s", why));
}

static enum stream_result
start_tls(struct deliver_conn *c)
{
	const struct deliver_opts *o = c->o;
	struct tls_peer peer = { .host = c->host.asked != NULL ? c->host.asked : c->host.name, .sni = o->sni,
	    .tlsa = o->tlsa, .ntlsa = o->ntlsa };
	enum stream_result r;

	if (o->session_name != NULL && c->reply.code == 220 && c->ehlo_text.len > 0)
		peer.session = o->session_name(o->session_arg, sb_sv(&c->ehlo_text));
	r = stream_connecttls_peer(c->s, o->tls, &peer, o->command_ms);
	if (r != STREAM_OK && o->dane)
		(void)event(c, "dane:fail", SV_LIT("validation-failure"));
	return (r);
}

/* Why there is no TLS; NULL: there is. */
static const char *
tls_trouble(struct deliver_conn *c)
{
	if (start_tls(c) != STREAM_OK)
		return (stream_error(c->s));
	return (certs_welcome(c) ? NULL : "the certificate was refused by event_action");
}

/* 0 done or not wanted; 1: the negotiation failed, a plain connection may be tried; -1. */
static int
starttls(struct deliver_conn *c, struct deliver_error *e)
{
	const struct deliver_opts *o = c->o;
	const char *trouble;

	if (o->tls_on_connect || (!o->tls_try && !o->tls_require))
		return (0);
	if (o->tls == NULL) {
		if (o->tls_require || (o->tls_trouble != NULL && !o->tls_clear_after_fail))
			return (tls_failed(c, o->tls_trouble != NULL ? o->tls_trouble : "there is no TLS here", e));
		if (o->tls_trouble != NULL && (c->ehlo.ext & SMTP_EXT_STARTTLS) != 0)
			c->in_clear = xstrdup(o->tls_trouble);
		return (0);
	}
	if ((c->ehlo.ext & SMTP_EXT_STARTTLS) == 0 && o->tls_require) {
		if (o->dane)
			(void)event(c, "dane:fail", SV_LIT("starttls-not-supported"));
		(void)tls_failed(c, "the server did not offer TLS support", e);
		c->dead = false;
		return (-1);
	}
	if ((c->ehlo.ext & SMTP_EXT_STARTTLS) == 0)
		return (0);
	if (deliver_command(c, "STARTTLS", e, "STARTTLS") == -1 ||
	    deliver_read_reply(c, o->command_ms, "STARTTLS", e) == -1)
		return (-1);
	if (c->reply.code != 220 && o->tls_require)
		return (tls_failed(c, "an attempt to start TLS failed", e));
	if (c->reply.code != 220 && c->reply.code / 100 == 4 && !o->tls_clear_after_fail) {
		deliver_reply_error(c, "STARTTLS", e);
		e->host = true;
		return (-1);
	}
	if (c->reply.code != 220)
		return (0);
	trouble = tls_trouble(c);
	if (trouble != NULL) {
		char why[300];

		(void)snprintf(why, sizeof(why), "the negotiation failed: %s", trouble);
		(void)tls_failed(c, why, e);
		return (o->tls_require || !o->tls_clear_after_fail ? -1 : 1);
	}
	keep_cipher(c);
	/* RFC 3207 section 4.2: what was learnt before is forgotten. */
	return (hello(c, false, e));
}

/* ---- open, close ---- */

/* Options that are expanded only now. */
static int
late(struct deliver_conn *c, bool auth, struct deliver_error *e)
{
	if (c->o->late == NULL || c->o->late(c->o->late_arg, auth, c, c->o, &e->err) == 0)
		return (0);
	e->host = true;
	e->what = EXIM_RE_ANY;
	e->code = DELIVER_EXPANSION;
	return (-1);
}

static int
greet(struct deliver_conn *c, struct deliver_error *e)
{
	bool early = is_early(c);
	struct sv no;
	int rc;

	if (c->o->tls_on_connect) {
		const char *trouble = c->o->tls == NULL ? c->o->tls_trouble : tls_trouble(c);

		if (trouble != NULL || c->o->tls == NULL)
			return (tls_failed(c, trouble, e));
		keep_cipher(c);
	}
	if (early && (late(c, false, e) == -1 || deliver_command(c, "EHLO", e, "EHLO %s", c->o->helo) == -1))
		return (-1);
	if (deliver_read_reply(c, c->o->command_ms, "initial connection", e) == -1) {
		note_early(c, false);
		return (-1);
	}
	if (c->reply.code != 220) {
		note_early(c, false);
		deliver_reply_error(c, "initial connection", e);
		/* RFC 5321 section 3.1: 554 says that no mail is taken here; other hosts may take it. */
		e->host = true;
		return (-1);
	}
	no = event_reply(c, "smtp:connect");
	if (no.len > 0) {
		e->host = true;
		e->code = DELIVER_EXPANSION;
		return (err_set(&e->err, ERR_TEMP, "4.3.0", "deferred by smtp:connect event expansion: " SV_FMT, SV_ARG(no)));
	}
	if ((!early && late(c, false, e) == -1) || hello(c, early, e) == -1)
		return (-1);
	rc = starttls(c, e);
	if (rc != 0)
		return (rc);
	return (late(c, true, e) == -1 ? -1 : deliver_login(c, e));
}

const struct net_addr *
deliver_local(const struct deliver_conn *c)
{
	return (&c->local);
}

const struct net_addr *
deliver_proxy(const struct deliver_conn *c)
{
	return (c->proxy == NULL ? NULL : &c->proxy->addr);
}

const struct stream *
deliver_stream(const struct deliver_conn *c)
{
	return (c->s);
}

static void
conn_free(struct deliver_conn **cp)
{
	struct deliver_conn *c = *cp;

	(void)event(c, "tcp:close", SV_LIT(""));
	stream_close(&c->s);
	smtp_reply_free(&c->reply);
	sb_free(&c->buf);
	sb_free(&c->ehlo_text);
	free(c->host_name);
	free(c->host_asked);
	free(c->cipher);
	free(c->in_clear);
	free(c);
	*cp = NULL;
}

static bool
is_ours(int error)
{
	static const int v[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL, EADDRINUSE };

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		if (v[i] == error)
			return (true);
	return (false);
}

/* Directly, or through the first proxy that does it. */
static struct stream *
dial(const struct deliver_host *host, const struct deliver_opts *o, int64_t deadline, struct net_addr *local,
    const struct deliver_proxy **proxy, struct err *err)
{
	const struct net_connect_opts how = { .from = o->from, .keepalive = o->keepalive, .fastopen = o->fastopen, .dscp = o->dscp };
	struct stream *s = NULL;
	int fd;

	if (o->nproxies == 0) {
		fd = net_connect_opts(&host->addr, &how, deadline, err);
		if (fd == -1)
			return (NULL);
		net_local(fd, local);
		return (stream_new(fd));
	}
	for (size_t i = 0; s == NULL && i < o->nproxies && (i == 0 || fiber_now() < deadline); i++) {
		err_clear(err);
		s = deliver_socks_connect(&o->proxies[i], &host->addr, o, deadline, local, err);
		*proxy = &o->proxies[i];
	}
	return (s);
}

/* As deliver_open; 1: TLS failed, try without. */
static int
open_once(struct deliver_conn **cp, const struct deliver_host *host, struct deliver_opts *o, struct deliver_error *e)
{
	int64_t deadline = FIBER_NOW_PLUS(o->connect_ms);
	const struct deliver_proxy *proxy = NULL;
	struct net_addr local;
	struct deliver_conn *c;
	struct stream *io;
	int rc;

	if (o->event != NULL && o->event(o->event_arg, NULL, "tcp:connect", SV_LIT(""), NULL).len > 0) {
		e->host = true;
		e->code = DELIVER_EVENT;
		return (err_set(&e->err, ERR_TEMP, "4.3.0", "Event requests alternate response"));
	}
	io = dial(host, o, deadline, &local, &proxy, &e->err);
	if (io == NULL) {
		e->sys = errno;
		e->ours = is_ours(errno);
		e->host = !e->ours;
		e->what = fiber_now() >= deadline ? EXIM_RE_TIMEOUT_CONNECT : e->sys == 0 ? EXIM_RE_ANY : EXIM_RE_REFUSED;
		return (-1);
	}
	c = xcalloc(1, sizeof(*c));
	c->host_name = xstrdup(host->name);
	c->host = *host;
	c->host.name = c->host_name;
	c->host.asked = c->host_asked = host->asked == NULL ? NULL : xstrdup(host->asked);
	c->o = o;
	c->local = local;
	c->proxy = proxy;
	c->s = io;
	smtp_reply_init(&c->reply);
	sb_init(&c->buf, CONTENT_BUF);
	sb_init(&c->ehlo_text, 64 * 1024);
	rc = greet(c, e);
	if (rc != 0) {
		if (!c->dead && stream_write(c->s, SV_LIT("QUIT\r\n")) == STREAM_OK)
			(void)stream_flush(c->s);
		conn_free(&c);
	}
	*cp = c;
	return (rc);
}

int
deliver_open(struct deliver_conn **cp, const struct deliver_host *host, struct deliver_opts *o,
    struct deliver_error *e)
{
	int rc = open_once(cp, host, o, e);
	char *why;

	if (rc == 1) {
		struct deliver_opts plain = *o;

		plain.tls = NULL;
		plain.tls_try = false;
		why = xstrdup(e->err.text);
		*e = (struct deliver_error)DELIVER_ERROR_INIT;
		rc = open_once(cp, host, &plain, e);
		if (rc == 0) {
			(*cp)->o = o;
			(*cp)->in_clear = why;
			why = NULL;
		}
		free(why);
	}
	return (rc == 0 ? 0 : -1);
}

void
deliver_close(struct deliver_conn **cp)
{
	struct deliver_conn *c = *cp;

	if (c == NULL)
		return;
	if (!c->dead) {
		stream_set_timeout(c->s, 2000, 2000);
		if (stream_write(c->s, SV_LIT("QUIT\r\n")) == STREAM_OK)
			(void)stream_flush(c->s);
	}
	conn_free(cp);
}

const char *
deliver_cipher(const struct deliver_conn *c)
{
	return (c->cipher == NULL ? "" : c->cipher);
}

const char *
deliver_auth_name(const struct deliver_conn *c)
{
	return (c->auth_name);
}

struct sv
deliver_auth_id(const struct deliver_conn *c)
{
	return (c->auth_id);
}

const char *
deliver_verified(const struct deliver_conn *c)
{
	return (!stream_is_tls(c->s) ? NULL : stream_tls_dane(c->s) ? "dane" : stream_tls_verified(c->s) ? "yes" : "no");
}

const char *
deliver_in_clear(const struct deliver_conn *c)
{
	return (c->in_clear);
}

const char *
deliver_peerdn(const struct deliver_conn *c)
{
	return (stream_tls_peerdn(c->s));
}

bool
deliver_piped(const struct deliver_conn *c)
{
	return (c->o->pipelining && (c->ehlo.ext & SMTP_EXT_PIPELINING) != 0);
}

bool
deliver_each(const struct deliver_conn *c)
{
	return (c->prdr);
}

bool
deliver_chunked(const struct deliver_conn *c)
{
	return (c->o->chunking && (c->ehlo.ext & SMTP_EXT_CHUNKING) != 0);
}

bool
deliver_tls_resumed(const struct deliver_conn *c)
{
	return (stream_tls_resumed(c->s));
}

const struct deliver_host *
deliver_conn_host(const struct deliver_conn *c)
{
	return (&c->host);
}

unsigned
deliver_extensions(const struct deliver_conn *c)
{
	return (c->ehlo.ext);
}

int64_t
deliver_size_limit(const struct deliver_conn *c)
{
	return (c->ehlo.size);
}

unsigned
deliver_messages(const struct deliver_conn *c)
{
	return (c->messages);
}

bool
deliver_usable(const struct deliver_conn *c)
{
	return (!c->dead);
}
