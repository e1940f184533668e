/* SPDX-License-Identifier: BSD-2-Clause */
/* Expansion variables that are computed (manual 11.9): times, hosts, senders, space. */
#include "exim/var_int.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"

static enum exim_result
text(struct xev *e, struct sv *out, const char *s)
{
	*out = sv_cstr(arena_str(e->env->arena, s));
	return (EXIM_OK);
}

XV(xv_acl_narg)
{
	*out = x_int(e, e->env->acl == NULL ? 0 : (int64_t)e->env->acl->nargs);
	return (EXIM_OK);
}

XV(xv_host_lookup_deferred)
{
	*out = e->env->session != NULL && e->env->session->host_lookup == EXIM_HOST_DEFERRED ? SV_LIT("1") : SV_LIT("0");
	return (EXIM_OK);
}

XV(xv_host_lookup_failed)
{
	*out = e->env->session != NULL && e->env->session->host_lookup == EXIM_HOST_FAILED ? SV_LIT("1") : SV_LIT("0");
	return (EXIM_OK);
}

XV(xv_load_average)
{
	const struct exim_world *w = e->env->world;

	*out = x_int(e, w->loadavg == NULL ? 0 : w->loadavg(w->arg));
	return (EXIM_OK);
}

XV(xv_localhost_number)
{
	int64_t n = e->env->g == NULL ? 0 : e->env->g->localhost_number;

	*out = x_int(e, n < 0 ? 0 : n);
	return (EXIM_OK);
}

XV(xv_pid)
{
	*out = x_int(e, e->env->g != NULL && e->env->g->pid != 0 ? e->env->g->pid : getpid());
	return (EXIM_OK);
}

static enum exim_result
space(struct xev *e, struct sv path, bool inodes, struct sv *out)
{
	const struct exim_world *w = e->env->world;
	int64_t kb = -1, in = -1;

	if (path.len > 0 && w->fsspace != NULL && w->fsspace(w->arg, x_cstr(e, path), &kb, &in) == -1)
		kb = in = -1;
	*out = x_int(e, inodes ? in : kb);
	return (EXIM_OK);
}

/* The first item of log_file_path that is a path, without its last component; else the spool's log. */
static struct sv
log_path(struct xev *e)
{
	struct sv list, item;
	int sep = 0;

	if (e->env->g == NULL)
		return (SV_NULL);
	list = e->env->g->log_file_path;
	while (exim_list_next(&list, &sep, e->env->arena, &item)) {
		ptrdiff_t slash = sv_rchr(item, '/');

		if (slash > 0)
			return (sv_sub(item, 0, (size_t)slash));
	}
	return (e->env->g->spool_directory);
}

XV(xv_log_inodes)
{
	return (space(e, log_path(e), true, out));
}

XV(xv_log_space)
{
	return (space(e, log_path(e), false, out));
}

XV(xv_spool_inodes)
{
	return (space(e, e->env->g == NULL ? SV_NULL : e->env->g->spool_directory, true, out));
}

XV(xv_spool_space)
{
	return (space(e, e->env->g == NULL ? SV_NULL : e->env->g->spool_directory, false, out));
}

XV(xv_lookup_dnssec)
{
	if (!e->env->lookup_dnssec_set)
		*out = SV_LIT("");
	else
		*out = e->env->lookup_dnssec ? SV_LIT("yes") : SV_LIT("no");
	return (EXIM_OK);
}

XV(xv_host_dnssec)
{
	*out = exim_host_secure(e->env) ? SV_LIT("yes") : SV_LIT("no");
	return (EXIM_OK);
}

XV(xv_queue_size)
{
	const struct exim_world *w = e->env->world;

	*out = w->queue_size == NULL ? SV_LIT("") : x_int(e, w->queue_size(w->arg));
	return (EXIM_OK);
}

XV(xv_message_age)
{
	int64_t at = e->env->msg == NULL ? 0 : e->env->msg->received_time;

	*out = x_int(e, at == 0 ? 0 : x_now(e, NULL) - at);
	return (EXIM_OK);
}

/* --- addresses --- */

static enum exim_result
recipients(struct xev *e, struct sv *out, bool list)
{
	const struct exim_message *m = e->env->msg;
	bool first = true;
	struct xb b;

	*out = SV_LIT("");
	/* Users' filters and routers may not see who else gets the message. */
	if (m == NULL || m->nrecipients == 0 || m->recipients == NULL || !m->recipients_shown)
		return (EXIM_OK);
	xb_init(&b, e->env->arena, m->nrecipients * 32);
	for (size_t i = 0; i < m->nrecipients; i++) {
		if (list) {
			xb_item(&b, m->recipients[i], ':', &first);
			continue;
		}
		if (i > 0)
			xb_adds(&b, ", ");
		xb_add(&b, m->recipients[i]);
	}
	*out = xb_sv(&b);
	return (EXIM_OK);
}

XV(xv_recipients)
{
	return (recipients(e, out, false));
}

XV(xv_recipients_list)
{
	return (recipients(e, out, true));
}

XV(xv_recipients_count)
{
	*out = x_int(e, e->env->msg == NULL ? 0 : (int64_t)e->env->msg->nrecipients);
	return (EXIM_OK);
}

XV(xv_sender_domain)
{
	struct sv v = e->env->msg == NULL ? SV_NULL : e->env->msg->sender;
	ptrdiff_t at = sv_rchr(v, '@');

	*out = at < 0 ? SV_LIT("") : sv_sub(v, (size_t)at + 1, v.len);
	return (EXIM_OK);
}

XV(xv_sender_local_part)
{
	struct sv v = e->env->msg == NULL ? SV_NULL : e->env->msg->sender;
	ptrdiff_t at = sv_rchr(v, '@');

	*out = at < 0 ? v : sv_sub(v, 0, (size_t)at);
	return (EXIM_OK);
}

XV(xv_reply_address)
{
	char *p;

	*out = sv_trim(x_header_get(e, SV_LIT("reply-to"), XH_RAW));
	if (out->len == 0)
		*out = sv_trim(x_header_get(e, SV_LIT("from"), XH_RAW));
	/* As it is written, on one line. */
	if (sv_chr(*out, '\n') >= 0) {
		p = arena_dup(e->env->arena, out->p, out->len + 1);
		for (size_t i = 0; i < out->len; i++)
			p[i] = p[i] == '\n' ? ' ' : p[i];
		out->p = p;
	}
	return (EXIM_OK);
}

/* --- the client --- */

XV(xv_active_hostname)
{
	*out = SV_NULL;
	if (e->env->session != NULL)
		*out = e->env->session->active_hostname;
	if (out->len == 0 && e->env->g != NULL)
		*out = e->env->g->primary_hostname;
	return (EXIM_OK);
}

XV(xv_sender_host_name)
{
	*out = SV_LIT("");
	if (e->env->session == NULL)
		return (EXIM_OK);
	exim_host_name(e->env);
	e->env->session->host_unshown = false;
	*out = e->env->session->host_name;
	return (EXIM_OK);
}

/* Is HELO's argument worth showing?  Not when it repeats the address or the name. */
static bool
show_helo(const struct exim_session *s)
{
	struct net_addr a;

	if (s->helo.len == 0)
		return (false);
	if (s->helo.p[0] == '[' && s->helo.p[s->helo.len - 1] == ']') {
		struct sv lit = sv_sub(s->helo, 1, s->helo.len - 1);

		if (sv_casestarts(lit, "IPv6:"))
			lit = sv_sub(lit, 5, lit.len);
		if (net_addr_parse(lit, &a) && net_addr_eq(&a, &s->addr))
			return (false);
	}
	return (s->host_name.len == 0 || s->host_unshown || !sv_caseeq(s->host_name, s->helo));
}

static bool
show_port(struct xev *e, const struct exim_session *s)
{
	return (e->env->g != NULL && e->env->g->log_incoming_port && s->host_port > 0);
}

XV(xv_sender_fullhost)
{
	const struct exim_session *s = e->env->session;
	struct xb b;

	*out = SV_LIT("");
	if (s == NULL || s->host_address.len == 0)
		return (EXIM_OK);
	xb_init(&b, e->env->arena, 128);
	if (s->host_name.len > 0 && !s->host_unshown) {
		xb_add(&b, s->host_name);
		xb_addc(&b, ' ');
	}
	if (show_helo(s)) {
		xb_addc(&b, '(');
		xb_add(&b, s->helo);
		xb_adds(&b, ") ");
	}
	xb_addc(&b, '[');
	xb_add(&b, s->host_address);
	xb_addc(&b, ']');
	if (show_port(e, s))
		xb_fmt(&b, ":%lld", (long long)s->host_port);
	*out = xb_sv(&b);
	return (EXIM_OK);
}

XV(xv_sender_rcvhost)
{
	const struct exim_session *s = e->env->session;
	bool named, port, sep;
	struct xb b;

	*out = SV_LIT("");
	if (s == NULL || s->host_address.len == 0)
		return (EXIM_OK);
	named = s->host_name.len > 0;
	port = show_port(e, s);
	xb_init(&b, e->env->arena, 128);
	if (named) {
		xb_add(&b, s->host_name);
		xb_adds(&b, " (");
	}
	xb_addc(&b, '[');
	xb_add(&b, s->host_address);
	xb_addc(&b, ']');
	if (named && port)
		xb_fmt(&b, ":%lld", (long long)s->host_port);
	if (!named && (s->ident.len > 0 || show_helo(s) || port))
		xb_adds(&b, " (");
	sep = named;
	if (!named && port) {
		xb_fmt(&b, "port=%lld", (long long)s->host_port);
		sep = true;
	}
	if (show_helo(s)) {
		xb_adds(&b, sep ? " helo=" : "helo=");
		xb_add(&b, s->helo);
		sep = true;
	}
	if (s->ident.len > 0) {
		xb_adds(&b, sep ? " ident=" : "ident=");
		xb_add(&b, s->ident);
	}
	if (named || s->ident.len > 0 || show_helo(s) || port)
		xb_addc(&b, ')');
	*out = xb_sv(&b);
	return (EXIM_OK);
}

/* --- times --- */

static void
local_time(struct xev *e, struct tm *tm, int64_t *usec)
{
	time_t t = (time_t)x_now(e, usec);

	if (e->env->g != NULL && e->env->g->timezone_utc)
		(void)gmtime_r(&t, tm);
	else
		(void)localtime_r(&t, tm);
}

#define TOD(name, fmt)				\
XV(name)					\
{						\
	char buf[64];				\
	struct tm tm;				\
						\
	local_time(e, &tm, NULL);		\
	if (strftime(buf, sizeof(buf), fmt, &tm) == 0)	\
		buf[0] = '\0';			\
	return (text(e, out, buf));		\
}

TOD(xv_tod_bsdinbox, "%a %b %d %H:%M:%S %Y")
TOD(xv_tod_full, "%a, %d %b %Y %H:%M:%S %z")
TOD(xv_tod_logfile, "%Y%m%d")
TOD(xv_tod_zone, "%z")
static TOD(tod_log, "%Y-%m-%d %H:%M:%S")
static TOD(tod_log_zone, "%Y-%m-%d %H:%M:%S %z")

XV(xv_tod_log)
{
	return (e->env->g != NULL && e->env->g->log_timezone ? tod_log_zone(e, out) : tod_log(e, out));
}

XV(xv_tod_zulu)
{
	time_t t = (time_t)x_now(e, NULL);
	char buf[32];
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	(void)strftime(buf, sizeof(buf), "%Y%m%d%H%M%SZ", &tm);
	return (text(e, out, buf));
}

XV(xv_tod_epoch)
{
	*out = x_int(e, x_now(e, NULL));
	return (EXIM_OK);
}

XV(xv_tod_epoch_l)
{
	int64_t usec, s = x_now(e, &usec);

	*out = x_int(e, s * 1000000 + usec);
	return (EXIM_OK);
}

/* --- the body --- */

static struct sv
body_part(struct xev *e, struct sv v)
{
	bool newlines = e->env->g != NULL && e->env->g->message_body_newlines;
	size_t n = 0;
	char *p;

	if (v.len == 0)
		return (SV_LIT(""));
	p = arena_alloc(e->env->arena, v.len + 1);
	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];

		if (c == '\r' && i + 1 < v.len && v.p[i + 1] == '\n')
			continue;
		p[n++] = c == '\0' || (c == '\n' && !newlines) ? ' ' : c;
	}
	return ((struct sv){ p, n, true });
}

static size_t
visible(struct xev *e)
{
	int64_t n = e->env->g == NULL ? 0 : e->env->g->message_body_visible;

	return (n <= 0 ? 500 : (size_t)n);
}

XV(xv_message_body)
{
	const struct exim_message *m = e->env->msg;

	/* CRLF counts once. */
	*out = m == NULL ? SV_LIT("") : body_part(e, sv_sub(m->body, 0, 2 * visible(e)));
	if (out->len > visible(e))
		out->len = visible(e);
	return (EXIM_OK);
}

XV(xv_message_body_end)
{
	const struct exim_message *m = e->env->msg;
	struct sv v;

	*out = SV_LIT("");
	if (m == NULL)
		return (EXIM_OK);
	v = m->body_whole ? m->body : m->body_end;
	*out = body_part(e, sv_sub(v, v.len > 2 * visible(e) ? v.len - 2 * visible(e) : 0, v.len));
	if (out->len > visible(e))
		*out = sv_sub(*out, out->len - visible(e), out->len);
	return (EXIM_OK);
}

const struct sv *
xv_router_var(const struct hash *h, struct sv name)
{
	return (hash_get(h, name));
}
