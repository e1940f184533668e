/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scanner interface of ACLs: the message as scanners get it, connections to them, files made for them.  The
 * conditions themselves are in scan_malware.c, scan_spam.c, decode.c and spf.c.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fiber/fiber.h"
#include "net/sock.h"
#include "session/scan_int.h"

#define CHUNK		65536

/* ---- state ---- */

struct session_scan *
scan_state(struct session *s)
{
	struct txn *t = s->txn;

	if (t->scan == NULL)
		t->scan = arena_zalloc(t->arena, sizeof(*t->scan));
	return (t->scan);
}

void
session_scan_forget(struct session *s)
{
	struct session_scan *sc = s->txn == NULL ? NULL : s->txn->scan;

	if (sc == NULL)
		return;
	for (size_t i = 0; i < sc->files.len; i++)
		(void)unlink(sc->files.p[i]);
	vec_free(&sc->files);
	if (sc->dir != NULL)
		(void)rmdir(sc->dir);
	s->txn->scan = NULL;
}

const char *
scan_dir(struct session *s, struct err *err)
{
	struct session_scan *sc = scan_state(s);
	const char *top = s->sv->scandir;

	if (sc->dir != NULL)
		return (sc->dir);
	if (top == NULL) {
		(void)err_set(err, ERR_TEMP, "4.3.5", "there is no directory for content scanners");
		return (NULL);
	}
	sc->dir = arena_fmt(s->txn->arena, "%s/%s", top, s->txn->id);
	if (mkdir(sc->dir, 0750) == 0 || errno == EEXIST || (errno == ENOENT && mkdir(top, 0750) == 0 && mkdir(sc->dir, 0750) == 0))
		return (sc->dir);
	(void)err_sys(err, "mkdir %s", sc->dir);
	sc->dir = NULL;
	return (NULL);
}

const char *
scan_file(struct session *s, struct err *err)
{
	struct session_scan *sc = scan_state(s);
	const char *dir = scan_dir(s, err);
	struct scan_out o = { .fd = -1 };
	char *path;
	bool ok;

	if (dir == NULL)
		return (NULL);
	path = arena_fmt(s->txn->arena, "%s/%s.eml", dir, s->txn->id);
	for (size_t i = 0; i < sc->files.len; i++)
		if (strcmp(sc->files.p[i], path) == 0)
			return (path);
	o.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (o.fd == -1) {
		(void)err_sys(err, "open %s", path);
		return (NULL);
	}
	vec_push(&sc->files, path);
	ok = scan_message(s, &o);
	if (close(o.fd) == -1 || !ok) {
		(void)err_set(err, ERR_TEMP, "4.3.1", "cannot write %s", path);
		return (NULL);
	}
	return (path);
}

/* ---- the message as scanners see it ---- */

static bool
flush_out(struct scan_out *o)
{
	size_t at = 0;

	if (o->buf.len == 0 || o->failed)
		goto out;
	if (o->io != NULL) {
		if (o->framed) {
			uint32_t n = (uint32_t)o->buf.len;
			char len[4] = { (char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n };

			o->failed = stream_write(o->io, sv_from(len, 4)) != STREAM_OK;
		}
		o->failed = o->failed || stream_write(o->io, sb_sv(&o->buf)) != STREAM_OK;
	}
	while (o->io == NULL && !o->failed && at < o->buf.len) {
		ssize_t w = write(o->fd, o->buf.p + at, o->buf.len - at);

		if (w == -1 && errno != EINTR)
			o->failed = true;
		at += w > 0 ? (size_t)w : 0;
	}
out:
	sb_clear(&o->buf);
	return (!o->failed);
}

bool
scan_put(struct scan_out *o, struct sv v)
{
	o->n += (int64_t)v.len;
	if (o->io == NULL && o->fd == -1)
		return (true);
	while (v.len > 0 && !o->failed) {
		size_t room = CHUNK - o->buf.len, n = v.len < room ? v.len : room;

		sb_add(&o->buf, sv_sub(v, 0, n));
		v = sv_sub(v, n, v.len);
		if (o->buf.len == CHUNK)
			(void)flush_out(o);
	}
	return (!o->failed);
}

bool
scan_end(struct scan_out *o)
{
	bool ok = flush_out(o);

	sb_free(&o->buf);
	return (ok);
}

/* Without the CR of line ends. */
static void
put_lf(struct scan_out *o, struct sv v)
{
	const char *p = v.p, *end = v.p + v.len, *cr;

	while (p < end && (cr = memchr(p, '\r', (size_t)(end - p))) != NULL) {
		bool line_end = cr + 1 < end && cr[1] == '\n';

		(void)scan_put(o, sv_from(p, (size_t)(cr - p) + (line_end ? 0 : 1)));
		p = cr + 1;
	}
	if (p < end)
		(void)scan_put(o, sv_from(p, (size_t)(end - p)));
}

/* An mbox From_ line and the envelope, as Exim has them. */
void
session_scan_head(void *arg)
{
	struct session *s = arg;
	struct txn *t = s->txn;
	struct sb sb = SB_INIT(1 << 24);
	time_t now = (time_t)t->msg.received_time;
	struct tm tm;
	char date[40] = "";

	if (t == NULL || t->msg.scan_head.p != NULL)
		return;
	if (localtime_r(&now, &tm) != NULL)
		(void)strftime(date, sizeof(date), "%a %b %d %H:%M:%S %Y", &tm);
	sb_adds(&sb, "From ");
	sb_add(&sb, t->msg.return_path.len > 0 ? t->msg.return_path : SV_LIT("MAILER-DAEMON"));
	sb_addf(&sb, " %s\n", date);
	if (t->msg.sender.len > 0)
		sb_addf(&sb, "X-Envelope-From: <" SV_FMT ">\n", SV_ARG(t->msg.sender));
	for (size_t i = 0; i < t->rcpt_addrs.len; i++)
		sb_addf(&sb, "%s" SV_FMT, i == 0 ? "X-Envelope-To: " : ", ", SV_ARG(t->rcpt_addrs.p[i]));
	if (t->rcpt_addrs.len > 0)
		sb_addc(&sb, '\n');
	sb_add(&sb, t->msg.received);
	t->msg.scan_head = sv_taint(arena_sv(t->arena, sb_sv(&sb)));
	sb_free(&sb);
}

bool
scan_message(struct session *s, struct scan_out *o)
{
	struct txn *t = s->txn;
	struct err err = ERR_INIT;
	struct sv content;

	sb_init(&o->buf, CHUNK);
	if (content_view(&t->content, &content, &err) == -1)
		return (false);
	session_scan_head(s);
	(void)scan_put(o, t->msg.scan_head);
	for (size_t i = 0; i < t->headers.n; i++)
		if (!t->gone[i] && t->rewritten != NULL && t->rewritten[i].p != NULL)
			put_lf(o, t->rewritten[i]);
		else if (!t->gone[i])
			put_lf(o, sv_from(content.p + t->headers.v[i].offset, t->headers.v[i].length));
	for (size_t i = 0; i < t->seen.len; i++)
		put_lf(o, t->seen.p[i].text);
	(void)scan_put(o, SV_LIT("\n"));
	put_lf(o, sv_sub(content, t->headers.body_start, content.len));
	return (scan_end(o));
}

/* ---- connections ---- */

static int
connect_unix(const char *path, int64_t deadline)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, e;

	if ((size_t)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path) >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return (-1);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return (-1);
	/* EAGAIN: its queue is full. */
	while (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == -1) {
		e = errno;
		if (e != EAGAIN || fiber_now() >= deadline || fiber_sleep(50) != FIBER_READY) {
			(void)close(fd);
			errno = e;
			return (-1);
		}
	}
	return (fd);
}

static int
connect_tcp(struct session *s, const struct exim_scan_server *v, int64_t deadline, struct sb *why)
{
	const struct exim_world *w = s->env.world;
	struct net_addr *addrs = NULL;
	struct err err = ERR_INIT;
	char text[NET_ADDR_TEXT_MAX];
	size_t n = 0;
	int fd;

	if (w->addrs == NULL || w->addrs(w->arg, arena_cstr(s->cmd, v->host), s->cmd, &addrs, &n) != EXIM_FOUND || n == 0) {
		sb_addf(why, "no IP address found for host " SV_FMT, SV_ARG(v->host));
		return (-1);
	}
	for (size_t i = 0; i < n; i++)
		for (int64_t port = v->port; port <= v->port_to; port++) {
			addrs[i].port = (uint16_t)port;
			fd = net_connect(&addrs[i], NULL, deadline, &err);
			if (fd != -1) {
				s->st.callout_address = sv_cstr(arena_fmt(s->cmd, "[%s]:%u", net_addr_text(&addrs[i], text),
				    (unsigned)port));
				return (fd);
			}
		}
	sb_addf(why, "failed to connect to any address for " SV_FMT ": %s", SV_ARG(v->host), strerror(errno));
	return (-1);
}

struct stream *
scan_connect(struct session *s, const struct exim_scan_server *v, int64_t deadline, struct sb *why)
{
	int fd = -1;

	for (int again = v->retry > 0 ? 1 : 0; again >= 0 && fd == -1; again--) {
		sb_clear(why);
		if (v->path.p == NULL) {
			fd = connect_tcp(s, v, deadline, why);
		} else {
			fd = connect_unix(v->path.p, deadline);
			s->st.callout_address = v->path;
			if (fd == -1)
				sb_addf(why, "unable to connect to UNIX socket (" SV_FMT "): %s", SV_ARG(v->path), strerror(errno));
		}
		if (fd == -1 && again > 0 && fiber_sleep(v->retry * 1000) != FIBER_READY)
			break;
	}
	return (fd == -1 ? NULL : stream_new(fd));
}

bool
scan_read(struct stream *io, int64_t deadline, bool to_nul, struct sb *out)
{
	enum stream_result r;
	struct sv piece;

	while (out->len < SCAN_REPLY_MAX) {
		int64_t left = deadline - fiber_now();

		if (left <= 0)
			return (false);
		stream_set_timeout(io, left, left);
		r = stream_read(io, SCAN_REPLY_MAX - out->len, &piece);
		if (r == STREAM_EOF)
			return (true);
		if (r != STREAM_OK)
			return (false);
		sb_add(out, piece);
		if (to_nul && (sv_chr(piece, '\0') >= 0 || sv_chr(piece, '\n') >= 0))
			return (true);
	}
	return (true);
}

bool
scan_option(struct session *s, struct exim_env *env, enum exim_main_opt opt, struct sv *out, bool *expanded)
{
	struct err err = ERR_INIT;

	*out = s->conf->main[opt].text;
	*expanded = out->len > 0 && out->p[0] == '$';
	if (!*expanded || exim_expand_text(*out, env, out, &err) == EXIM_OK)
		return (true);
	session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_PANIC, "%s starts with $, but expansion failed: %s",
	    opt == EXIM_MAIN_av_scanner ? "av_scanner" : "spamd_address", err.text);
	return (false);
}

/* ---- the interface ---- */

/* For the log of scanners: each verdict, and that none was to be had. */
static void
tell_verdict(struct session *s, const struct exim_env *env, enum exim_scan what, enum exim_result r, bool yes)
{
	struct sb line = SB_INIT(8192);
	const struct exim_acl_state *a = env->acl;

	if (s->sv->log == NULL || s->sv->log->scanner == NULL)
		return;
	sb_addf(&line, "%s ", s->txn->id);
	session_log_host(s, &line);
	sb_addf(&line, " F=<" SV_FMT "> %s: ", SV_ARG(s->txn->msg.sender), what == EXIM_SCAN_MALWARE ? "malware" : "spam");
	if (r != EXIM_OK)
		sb_adds(&line, "no verdict");
	else if (what == EXIM_SCAN_MALWARE)
		sb_addf(&line, SV_FMT, SV_ARG(yes ? a->malware_name : SV_LIT("clean")));
	else
		sb_addf(&line, "%s score=" SV_FMT, yes ? "spam" : "not spam", SV_ARG(a->spam_score));
	for (size_t i = 0; i < line.len; i++)
		if ((unsigned char)line.p[i] < ' ' || line.p[i] == 127)
			line.p[i] = '?';
	s->sv->log->scanner(s->sv->log->arg, sb_cstr(&line));
	sb_free(&line);
}

enum exim_result
session_scan(void *arg, struct exim_env *env, enum exim_scan what, struct sv param, bool *yes, struct sv *msg)
{
	struct session *s = arg;
	enum exim_result r;
	bool message = s->txn != NULL && s->txn->id[0] != '\0' && s->txn->msg.raw.p != NULL;

	*msg = SV_NULL;
	switch (what) {
	case EXIM_SCAN_SPF:
	case EXIM_SCAN_SPF_GUESS:
		return (scan_spf(s, env, param, what == EXIM_SCAN_SPF_GUESS, yes));
	case EXIM_SCAN_MALWARE:
	case EXIM_SCAN_SPAM:
	case EXIM_SCAN_DECODE:
		break;
	default:
		*msg = SV_LIT("this scanner is not built in");
		return (EXIM_DEFER);
	}
	if (!message) {
		*msg = SV_LIT("the message is not at hand");
		return (EXIM_DEFER);
	}
	if (what == EXIM_SCAN_DECODE)
		return (scan_decode(s, env, param, yes, msg));
	r = what == EXIM_SCAN_MALWARE ? scan_malware(s, env, param, yes) : scan_spam(s, env, param, yes);
	tell_verdict(s, env, what, r, *yes);
	return (r);
}
