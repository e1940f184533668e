/* SPDX-License-Identifier: BSD-2-Clause */
/* What expansions see while vqueued routes and delivers: a message's envelope as Exim's variables. */
#include <string.h>
#include <unistd.h>

#include "mail/header.h"
#include "os/file.h"
#include "route/world.h"
#include "vqueued_int.h"

#define HEADER_MAX	(1024 * 1024)

static void
fill_session(struct exim_session *s, const struct spool_envelope *e)
{
	(void)net_addr_parse(e->host_addr, &s->addr);
	s->host_address = e->host_addr;
	s->host_port = e->host_port;
	(void)net_addr_parse(e->iface_addr, &s->interface);
	s->interface_address = e->iface_addr;
	s->interface_port = e->iface_port;
	s->host_lookup = e->host_name.len > 0 ? EXIM_HOST_FOUND : EXIM_HOST_UNTRIED;
	s->host_name = e->host_name;
	s->helo = e->helo;
	s->ident = e->ident;
	s->local = (e->flags & SPOOL_LOCAL) != 0;
	s->auth_mechanism = e->auth_name;
	s->authenticated_id = e->auth_id;
	s->authenticated_sender = e->auth_sender;
	s->tls_in.cipher = e->tls_cipher;
	s->tls_in.sni = e->tls_sni;
	s->tls_in.ver = e->tls_ver;
	s->tls_in.peerdn = sv_taint(e->tls_peerdn);
	s->tls_in.bits = e->tls_bits;
	s->tls_in.verified = e->tls_verified != 0;
}

static void
fill_message(struct exim_message *msg, const struct msg *m)
{
	const struct spool_envelope *e = &m->env;

	msg->id = sv_from(e->id, SPOOL_ID_LEN);
	msg->has_sender = true;
	msg->sender = e->sender;
	msg->return_path = e->sender;
	msg->received_protocol = e->protocol;
	msg->body_size = (int64_t)(e->size - e->header_size);
	msg->body_linecount = (int64_t)e->body_lines;
	msg->body_zerocount = (int64_t)e->body_zeros;
	msg->size = (int64_t)e->size;
	msg->received_count = e->received_count;
	msg->received_time = e->received_ms / 1000;
	msg->nrecipients = e->nrcpts;
	msg->max_linelength = e->longest_line;
	msg->linecount = (int64_t)e->lines;
	msg->originator_uid = msg->caller_uid = e->uid;
	msg->originator_gid = msg->caller_gid = e->gid;
	msg->smtputf8 = (e->flags & SPOOL_SMTPUTF8) != 0;
	msg->dsn_ret_set = e->ret != SPOOL_RET_NONE;
	msg->queue_name = sv_from(e->queue.p, e->queue.len);	/* the configuration's word */
	msg->first_delivery = !m->retrying;
	msg->manually_thawed = m->force;
}

static void
fill_vars(struct vq_env *e, const struct msg *m)
{
	for (size_t i = 0; i < m->env.nvars; i++) {
		const struct spool_var *v = &m->env.vars[i];
		struct exim_vars **set = sv_starts(v->name, "c") ? &e->acl_c : &e->acl_m;

		if (*set == NULL)
			*set = exim_vars_new();
		exim_vars_set(*set, v->name, v->value);
	}
	e->env.acl_c = e->acl_c;
	e->env.acl_m = e->acl_m;
}

void
env_bare(struct vq_env *e, struct vq *vq)
{
	struct arena *keep = e->arena;

	memset(e, 0, sizeof(*e));
	e->arena = keep != NULL ? keep : arena_new(4096);
	exim_conf_env(vq->conf, &e->env);
	e->env.caches = vq->caches;
	e->env.arena = e->arena;
	e->env.world = &vq->world;
	e->env.g = &vq->g;
	e->env.session = &e->session;
	e->env.msg = &e->msg;
	e->env.addr = &e->addr;
	e->env.acl = &e->acl;
	e->acl.mime_part_count = -1;
}

void
env_open(struct vq_env *e, struct vq *vq, struct msg *m)
{
	struct sv *rcpts;

	env_bare(e, vq);
	e->of = m;
	fill_session(&e->session, &m->env);
	fill_message(&e->msg, m);
	fill_vars(e, m);
	e->acl.spam_bar = m->env.spam_bar;
	e->acl.spam_score = m->env.spam_score;
	e->acl.spam_score_int = m->env.spam_score_int;
	rcpts = arena_alloc(e->arena, (m->env.nrcpts + 1) * sizeof(*rcpts));
	for (size_t i = 0; i < m->env.nrcpts; i++)
		rcpts[i] = m->env.rcpts[i].addr;
	e->msg.recipients = rcpts;
	if (vq->uses_headers)
		(void)env_headers(e, m);
}

/* For $message_body_end, where the body goes on behind what $message_body has of it. */
static bool
read_body_end(struct vq_env *e, const struct msg *m, int fd, size_t visible, size_t body)
{
	size_t len = body < visible ? body : visible;
	char *p = arena_alloc(e->arena, len + 1);

	if (os_pread_full(fd, p, len, (off_t)(m->off + m->len - len)) != (ssize_t)len)
		return (false);
	e->msg.body_end = sv_taint(sv_from(p, len));
	return (true);
}

bool
env_headers(struct vq_env *e, struct msg *m)
{
	size_t n = m->env.header_size < HEADER_MAX ? (size_t)m->env.header_size : HEADER_MAX;
	int64_t shown = e->env.g->message_body_visible;
	/* A line end counts once there and has two bytes here. */
	size_t visible = shown > 0 ? 2 * (size_t)shown : 0, want = visible > e->want_body ? visible : e->want_body;
	size_t body = m->len - n < want ? (size_t)(m->len - n) : want;
	struct mail_headers *h = arena_zalloc(e->arena, sizeof(*h));
	char *p = arena_alloc(e->arena, n + body + 1);
	int fd = msg_fd(m, NULL);

	if (e->msg.headers != NULL)
		return (true);
	if (fd == -1 || os_pread_full(fd, p, n + body, (off_t)m->off) != (ssize_t)(n + body))
		return (false);
	mail_headers_parse(h, e->arena, sv_taint(sv_from(p, n)), 0);
	e->msg.headers = h;
	e->text = sv_from(p, n + body);
	e->msg.body = sv_taint(sv_from(p + n, body < visible ? body : visible));
	e->msg.body_whole = n + e->msg.body.len == m->len;
	if (!e->msg.body_whole && !read_body_end(e, m, fd, visible, (size_t)(m->len - n)))
		return (false);
	e->env.message_loaded = true;
	return (true);
}

void
env_delivery(struct vq_env *e, const struct dlv *d)
{
	const struct route_delivery *rd = d->rd;

	route_world_delivery(&e->addr, rd, e->arena);
	e->msg.return_path = rd->errors_to_set ? rd->errors_to : e->msg.sender;
}

void
env_close(struct vq_env *e)
{
	exim_vars_free(&e->acl_c);
	exim_vars_free(&e->acl_m);
	arena_reset(e->arena);
}
