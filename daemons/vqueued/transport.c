/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The smtp transport's options (chapter 30 of Exim's manual, and the generic ones of
 * chapter 24) as what lib/deliver needs: hosts, one connection, one message.
 */
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "deliver/options.h"
#include "mail/date.h"
#include "mail/header.h"
#include "vqueued_int.h"

#define HEADER_OUT_MAX	(8 * 1024 * 1024)

int64_t
smtp_int(struct vq_env *e, const struct exim_value *v, int64_t dflt)
{
	struct err err = ERR_INIT;
	int64_t n;

	if (v->str == NULL)
		return (v->text.p == NULL && !v->set ? dflt : v->num);
	return (exim_expand_int(v->str, &e->env, &n, &err) == EXIM_OK ? n : dflt);
}

static int
text_of(struct vq_env *e, const struct exim_value *v, struct sv *out, struct err *err)
{
	*out = v->text;
	if (v->str == NULL)
		return (0);
	switch (exim_expand(v->str, &e->env, out, err)) {
	case EXIM_OK:
		return (0);
	case EXIM_FORCED:
		*out = SV_NULL;
		return (0);
	default:
		err->cls = ERR_TEMP;
		return (-1);
	}
}

int
transport_multi(struct vq_env *e, const struct exim_value *v, char sep, struct sv *out, struct err *err)
{
	struct sb all = SB_INIT(HEADER_OUT_MAX);
	int rc = 0;

	for (size_t i = 0; i < v->n && rc == 0; i++) {
		struct sv one;
		enum exim_result r = exim_expand(v->strs[i], &e->env, &one, err);

		if (r == EXIM_FORCED || (r == EXIM_OK && sv_trim(one).len == 0))
			continue;
		if (r != EXIM_OK) {
			err->cls = ERR_TEMP;
			rc = -1;
			break;
		}
		if (all.len > 0)
			sb_addc(&all, sep);
		sb_add(&all, one);
	}
	*out = arena_sv(e->arena, sb_sv(&all));
	sb_free(&all);
	return (rc);
}

/* ---- hosts ---- */

static uint16_t
default_port(struct vq *vq, struct vq_env *e, const struct exim_transport *t)
{
	const struct exim_value *v = &t->d.own[EXIM_SMTP_port], *proto = &t->d.own[EXIM_SMTP_protocol];
	struct err err = ERR_INIT;
	struct servent *se;
	struct sv text;
	int64_t n;

	if (!v->set)
		return (sv_eqs(proto->text, "lmtp") ? 24 : sv_eqs(proto->text, "smtps") ? 465 : (uint16_t)vq->box->remote_port);
	if (text_of(e, v, &text, &err) == -1)
		return (25);
	if (num_parse(sv_trim(text), 1, 65535, &n))
		return ((uint16_t)n);
	se = getservbyname(arena_cstr(e->arena, sv_trim(text)), "tcp");
	return (se == NULL ? 25 : ntohs((uint16_t)se->s_port));
}

/* "name", "address", either with ":port" (for IPv6 "[address]:port"), "/MX" is taken for the name itself. */
static int
add_host(struct vq *vq, struct sv item, uint16_t port, struct arena *a, struct deliver_host *out, size_t max, size_t *n,
    struct err *err)
{
	struct net_addr one, *v = NULL;
	struct sv name = item;
	ptrdiff_t colon;
	size_t k = 0;
	int64_t p;

	if (sv_caseends(name, SV_LIT("/mx")))
		name.len -= 3;
	if (net_addr_parse_port(name, port, &one)) {
		char text[NET_ADDR_TEXT_MAX];

		if (*n < max)
			out[(*n)++] = (struct deliver_host){ arena_str(a, net_addr_text(&one, text)), one };
		return (0);
	}
	colon = sv_rchr(name, ':');
	if (colon > 0 && num_parse(sv_sub(name, (size_t)colon + 1, name.len), 1, 65535, &p)) {
		port = (uint16_t)p;
		name.len = (size_t)colon;
	}
	switch (vq->world.addrs(vq->world.arg, arena_cstr(a, name), a, &v, &k)) {
	case EXIM_FOUND:
		break;
	case EXIM_NOTFOUND:
		return (err_set(err, ERR_TEMP, "4.4.4", "host " SV_FMT " of the transport cannot be found", SV_ARG(name)));
	default:
		return (err_set(err, ERR_TEMP, "4.4.3", "no answer from DNS about host " SV_FMT, SV_ARG(name)));
	}
	for (size_t i = 0; i < k && *n < max; i++) {
		v[i].port = port;
		out[(*n)++] = (struct deliver_host){ arena_cstr(a, name), v[i] };
	}
	return (0);
}

static int
transport_hosts(struct vq *vq, struct vq_env *e, const struct exim_transport *t, uint16_t port, struct arena *a,
    struct deliver_host *out, size_t *n, struct err *err)
{
	struct sv list, item;
	int sep = 0, rc = -1;

	if (text_of(e, &t->d.own[EXIM_SMTP_hosts], &list, err) == -1)
		return (-1);
	err_set(err, ERR_CONFIG, "4.3.5", "transport %s: neither router nor transport names a host", t->d.name);
	while (exim_list_next(&list, &sep, a, &item))
		if (add_host(vq, item, port, a, out, ROUTE_HOSTS_MAX, n, err) == 0)
			rc = 0;
	return (rc);
}

int
smtp_hosts(struct vq *vq, struct vq_env *e, const struct dlv *d, struct arena *a, struct deliver_host **hosts, size_t *n,
    bool *mx, struct err *err)
{
	const struct exim_transport *t = d->rd->transport;
	const struct route_delivery *rd = d->rd;
	uint16_t port = default_port(vq, e, t);

	*hosts = arena_alloc(a, ROUTE_HOSTS_MAX * sizeof(**hosts));
	*n = 0;
	*mx = rd->nhosts > 0 && rd->hosts[0].mx >= 0;
	if (rd->nhosts == 0 || t->d.own[EXIM_SMTP_hosts_override].num != 0)
		return (transport_hosts(vq, e, t, port, a, *hosts, n, err));
	for (size_t i = 0; i < rd->nhosts && *n < ROUTE_HOSTS_MAX; i++) {
		struct deliver_host *h = &(*hosts)[*n];

		if (rd->hosts[i].unknown) {
			err_set(err, ERR_TEMP, "4.4.4", "%s: %s", rd->hosts[i].name,
			    rd->hosts[i].why == NULL ? "host cannot be found" : rd->hosts[i].why);
			continue;
		}
		*h = (struct deliver_host){ arena_str(a, rd->hosts[i].name), rd->hosts[i].addr };
		if (h->addr.port == 0)
			h->addr.port = port;
		(*n)++;
	}
	for (size_t i = 0; i < rd->nfallback && *n < ROUTE_HOSTS_MAX; i++) {
		struct deliver_host *h = &(*hosts)[*n];

		if (rd->fallback[i].unknown)
			continue;
		*h = (struct deliver_host){ arena_str(a, rd->fallback[i].name), rd->fallback[i].addr };
		if (h->addr.port == 0)
			h->addr.port = port;
		(*n)++;
	}
	if (*n == 0 && err->cls == ERR_NONE)
		err_set(err, ERR_TEMP, "4.4.4", "no host to deliver to");
	return (*n == 0 ? -1 : 0);
}

/* ---- one connection ---- */

static struct tls_client *
tls_context(void *arg, bool verify)
{
	struct vq *vq = arg;
	struct tls_client **t = verify ? &vq->tls_verify : &vq->tls_any;
	struct err err = ERR_INIT;

	if (*t == NULL && (*t = tls_client_new(NULL, verify, &err)) == NULL)
		log_err(NULL, "TLS", &err);
	return (*t);
}

int
smtp_opts_open(struct smtp_opts *so, struct vq *vq, struct vq_env *e, const struct exim_transport *t,
    const struct deliver_host *h, struct err *err)
{
	memset(so, 0, sizeof(*so));
	so->arena = arena_new(1024);
	if (deliver_options(&so->o, &e->env, t, h, tls_context, vq, so->arena, err) == -1) {
		smtp_opts_close(so);
		return (-1);
	}
	so->max_messages = t->d.own[EXIM_SMTP_connection_max_messages].num;
	return (0);
}

void
smtp_opts_close(struct smtp_opts *so)
{
	arena_free(&so->arena);
}

/* ---- one message ---- */

/* "Name: body\n" lines as CRLF lines. */
static struct sv
crlf_lines(struct arena *a, struct sv text)
{
	struct sb out = SB_INIT(HEADER_OUT_MAX);
	struct sv line, r;

	while (sv_next(&text, '\n', &line)) {
		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		if (line.len == 0)
			continue;
		sb_add(&out, line);
		sb_adds(&out, "\r\n");
	}
	r = arena_sv(a, sb_sv(&out));
	sb_free(&out);
	return (r);
}

static void
remove_names(struct mail_edit *ed, struct arena *a, struct sv list)
{
	struct sv name;
	int sep = 0;

	while (exim_list_next(&list, &sep, a, &name))
		(void)mail_edit_remove_name(ed, arena_cstr(a, name));
}

bool
header_wants_removal(const struct dlv *d)
{
	return (d->rd->nheaders_remove > 0 || d->rd->transport->d.generic[EXIM_TRANSPORT_headers_remove].n > 0);
}

static bool
wants_edit(const struct dlv *d)
{
	const struct exim_value *g = d->rd->transport->d.generic;

	return (d->rd->nheaders_add > 0 || d->rd->nheaders_remove > 0 || g[EXIM_TRANSPORT_headers_add].n > 0 ||
	    g[EXIM_TRANSPORT_headers_remove].n > 0 || g[EXIM_TRANSPORT_return_path_add].num != 0 ||
	    g[EXIM_TRANSPORT_envelope_to_add].num != 0 || g[EXIM_TRANSPORT_delivery_date_add].num != 0);
}

/* The original recipient, for Envelope-to. */
static struct sv
top_address(const struct dlv *d)
{
	const struct route_addr *top = d->rd->addr;

	while (top->parent != NULL)
		top = top->parent;
	return (top->address);
}

int
header_edit(struct vq_env *e, const struct dlv *d, struct sb *out, uint64_t *body_start, struct err *err)
{
	const struct exim_value *g = d->rd->transport->d.generic;
	struct arena *a = e->arena;
	struct mail_edit *ed;
	char date[MAIL_DATE_MAX];
	struct sv remove, add;

	if (!env_headers(e, d->m))
		return (err_set(err, ERR_TEMP, "4.3.0", "cannot read the header of the message"));
	if (transport_multi(e, &g[EXIM_TRANSPORT_headers_remove], ':', &remove, err) == -1 ||
	    transport_multi(e, &g[EXIM_TRANSPORT_headers_add], '\n', &add, err) == -1)
		return (-1);
	ed = mail_edit_new(a, e->msg.headers);
	for (size_t i = 0; i < d->rd->nheaders_remove; i++)
		(void)mail_edit_remove_name(ed, arena_cstr(a, d->rd->headers_remove[i]));
	remove_names(ed, a, remove);
	for (size_t i = 0; i < d->rd->nheaders_add; i++)
		mail_edit_append(ed, crlf_lines(a, d->rd->headers_add[i]));
	if (add.len > 0)
		mail_edit_append(ed, crlf_lines(a, add));
	if (g[EXIM_TRANSPORT_delivery_date_add].num != 0)
		mail_edit_prepend(ed, sv_cstr(arena_fmt(a, "Delivery-date: %s\r\n", mail_date_format_local(date, now_s()))));
	if (g[EXIM_TRANSPORT_envelope_to_add].num != 0)
		mail_edit_prepend(ed, sv_cstr(arena_fmt(a, "Envelope-to: " SV_FMT "\r\n", SV_ARG(top_address(d)))));
	if (g[EXIM_TRANSPORT_return_path_add].num != 0)
		mail_edit_prepend(ed, sv_cstr(arena_fmt(a, "Return-path: <" SV_FMT ">\r\n", SV_ARG(e->msg.return_path))));
	mail_edit_write(ed, out);
	sb_adds(out, "\r\n");
	*body_start = e->msg.headers->body_start;
	return (0);
}

static int
use_edited(struct vq_env *e, const struct dlv *d, struct deliver_message *dm, struct err *err)
{
	struct sb out = SB_INIT(HEADER_OUT_MAX);
	uint64_t body = 0;
	int rc = header_edit(e, d, &out, &body, err);

	if (rc == 0) {
		dm->header = arena_sv(e->arena, sb_sv(&out));
		dm->off = d->off + body;
		dm->len = d->len - body;
	}
	sb_free(&out);
	return (rc);
}

int
smtp_message(struct vq *vq, struct vq_env *e, const struct dlv *d, struct deliver_message *dm, struct err *err)
{
	const struct exim_value *g = d->rd->transport->d.generic;
	const struct spool_envelope *env = &d->m->env;
	int64_t limit = smtp_int(e, &g[EXIM_TRANSPORT_message_size_limit], 0);
	struct sv path = SV_NULL;

	(void)vq;
	memset(dm, 0, sizeof(*dm));
	dm->sender = d->rd->errors_to_set ? d->rd->errors_to : env->sender;
	if (text_of(e, &g[EXIM_TRANSPORT_return_path], &path, err) == -1)
		return (-1);
	if (g[EXIM_TRANSPORT_return_path].str != NULL && path.p != NULL && env->sender.len > 0)
		dm->sender = path;
	dm->fd = msg_fd(d->m, err);
	if (dm->fd == -1)
		return (-1);
	dm->off = d->off;
	dm->len = d->len;
	dm->header = SV_LIT("");
	if (wants_edit(d) && use_edited(e, d, dm, err) == -1)
		return (-1);
	dm->size = dm->header.len + dm->len;
	if (limit > 0 && dm->size > (uint64_t)limit)
		return (err_set(err, ERR_PERM, "5.3.4", "message is too big (transport limit = %lld)", (long long)limit));
	dm->eightbit = (env->flags & SPOOL_8BITMIME) != 0;
	dm->smtputf8 = (env->flags & SPOOL_SMTPUTF8) != 0;
	if (dm->smtputf8 && env_headers(e, d->m))
		for (size_t i = 0; i < e->msg.headers->block.len && !dm->header_8bit; i++)
			dm->header_8bit = (unsigned char)e->msg.headers->block.p[i] > 127;
	dm->ret_set = env->ret != SPOOL_RET_NONE;
	dm->ret_hdrs = env->ret == SPOOL_RET_HDRS;
	dm->envid = env->envid;
	return (0);
}
