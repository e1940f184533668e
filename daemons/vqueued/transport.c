/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The smtp transport's options (chapter 30 of Exim's manual, and the generic ones of
 * chapter 24) as what lib/deliver needs: hosts, one connection, one message.
 */
#include <sys/stat.h>

#include <string.h>
#include <unistd.h>

#include "mail/header.h"
#include "os/file.h"
#include "transport/transport.h"
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

/* ---- hosts ---- */

int
smtp_hosts(struct vq *vq, struct vq_env *e, const struct dlv *d, struct arena *a, struct deliver_hosts *hosts, struct err *err)
{
	const char *t = d->rd->transport->d.name;

	if (deliver_find_hosts(hosts, &e->env, &vq->route_ops, d->rd, (uint16_t)vq->box->remote_port, a, err) == -1)
		return (-1);
	if (hosts->n > 0)
		return (0);
	if (hosts->local)
		return (err_set(err, ERR_TEMP, "4.4.6", "%s transport found host %s to be local", t, hosts->unknown));
	if (hosts->unknown != NULL)
		return (err_set(err, ERR_TEMP, "4.4.4", "%s: %s", hosts->unknown,
		    hosts->why == NULL ? "host cannot be found" : hosts->why));
	return (err_set(err, ERR_CONFIG, "4.3.5", "transport %s: neither router nor transport names a host", t));
}

/* ---- one connection ---- */

int
smtp_opts_open(struct smtp_opts *so, struct vq *vq, struct vq_env *e, const struct exim_transport *t,
    const struct deliver_host *h, struct deliver_error *err)
{
	memset(so, 0, sizeof(*so));
	so->arena = arena_new(1024);
	if (vq->tls == NULL)
		vq->tls = deliver_tls_new();
	if (deliver_options(&so->o, &e->env, t, h, vq->tls, so->arena, err) == -1) {
		smtp_opts_close(so);
		return (-1);
	}
	so->max_messages = t->d.own[EXIM_SMTP_connection_max_messages].num;
	return (0);
}

void
smtp_opts_close(struct smtp_opts *so)
{
	deliver_options_free(&so->o);
	arena_free(&so->arena);
}

/* ---- one message ---- */

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
	    g[EXIM_TRANSPORT_headers_remove].n > 0 || g[EXIM_TRANSPORT_headers_rewrite].n > 0 ||
	    g[EXIM_TRANSPORT_body_only].num != 0 || g[EXIM_TRANSPORT_headers_only].num != 0 ||
	    g[EXIM_TRANSPORT_return_path_add].num != 0 ||
	    g[EXIM_TRANSPORT_envelope_to_add].num != 0 || g[EXIM_TRANSPORT_delivery_date_add].num != 0);
}

static bool
names_connection(const struct exim_value *v)
{
	static const char *const words[] = { "tls_out", "host", "sending_" };

	for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
		for (size_t i = 0; i < v->n; i++)
			if (sv_find(exim_str_text(v->strs[i]), sv_cstr(words[k])) >= 0)
				return (true);
		if (v->str != NULL && sv_find(exim_str_text(v->str), sv_cstr(words[k])) >= 0)
			return (true);
	}
	return (false);
}

bool
smtp_names_connection(const struct dlv *d)
{
	const struct exim_value *g = d->rd->transport->d.generic;

	return (names_connection(&g[EXIM_TRANSPORT_headers_add]) || names_connection(&g[EXIM_TRANSPORT_headers_remove]) ||
	    names_connection(&g[EXIM_TRANSPORT_transport_filter]));
}

int
header_edit(struct vq_env *e, const struct dlv *d, struct sb *out, uint64_t *body_start, struct err *err)
{
	const struct route_delivery *rd = d->rd;
	struct transport_delivery td = { .env = &e->env, .t = rd->transport, .rd = &rd, .n = 1, .now = now_s(), .arena = e->arena };

	if (!env_headers(e, d->m))
		return (err_set(err, ERR_TEMP, "4.3.0", "cannot read the header of the message"));
	*body_start = e->msg.headers->body_start;
	return (transport_header(&td, out, err));
}

static int
use_edited(struct vq_env *e, const struct dlv *d, struct deliver_message *dm, struct err *err)
{
	struct sb out = SB_INIT(HEADER_OUT_MAX);
	uint64_t body = 0;
	int rc = header_edit(e, d, &out, &body, err);

	if (rc == 0) {
		const struct exim_value *g = d->rd->transport->d.generic;

		dm->header = g[EXIM_TRANSPORT_body_only].num != 0 ? SV_LIT("") : arena_sv(e->arena, sb_sv(&out));
		dm->off = d->off + body;
		dm->len = g[EXIM_TRANSPORT_headers_only].num != 0 ? 0 : d->len - body;
	}
	sb_free(&out);
	return (rc);
}

/* The longest line of the content, without its end. */
static int
longest_line(struct msg *m, int fd, int64_t *max, struct err *err)
{
	char buf[32 * 1024];
	uint64_t at = 0;
	int64_t here = 0;

	/* Whoever received it counted. */
	if (m->env.longest_line > 0)
		m->max_line = m->env.longest_line;
	if (m->max_line < 0)
		m->max_line = 0;
	else
		at = m->len;
	while (at < m->len) {
		size_t n = m->len - at < sizeof(buf) ? (size_t)(m->len - at) : sizeof(buf);
		const char *p = buf, *end = buf + n, *lf;

		if (os_pread_full(fd, buf, n, (off_t)(m->off + at)) != (ssize_t)n) {
			m->max_line = -1;
			return (err_set(err, ERR_TEMP, "4.3.0", "cannot read the message"));
		}
		for (; p < end && (lf = memchr(p, '\n', (size_t)(end - p))) != NULL; p = lf + 1) {
			here += lf - p;
			m->max_line = here - 1 > m->max_line ? here - 1 : m->max_line;
			here = 0;
		}
		here += end - p;
		at += n;
	}
	m->max_line = here > m->max_line ? here : m->max_line;
	*max = m->max_line;
	return (0);
}

struct filtering {
	const struct transport_job *j;
	int		 fd;
	FILE		*out;
	struct arena	*a;
	struct transport_result *r;
	int		 rc;
};

static void
filter_job(void *arg)
{
	struct filtering *f = arg;

	f->rc = transport_filter(f->j, f->fd, f->out, f->a, f->r);
}

int
smtp_filter(struct vq *vq, struct vq_env *e, const struct dlv *d, struct deliver_message *dm, FILE **out, struct err *err)
{
	const struct exim_value *g = d->rd->transport->d.generic;
	const struct route_delivery *rd = d->rd;
	struct transport_delivery td = { .env = &e->env, .t = rd->transport, .rd = &rd, .n = 1, .now = now_s(), .arena = e->arena };
	struct transport_job j = { .off = (int64_t)dm->off, .len = (int64_t)dm->len, .header = dm->header,
	    .uid = geteuid(), .gid = getegid() };
	struct transport_result r;
	struct filtering f = { &j, dm->fd, NULL, e->arena, &r, -1 };
	struct stat st;

	if (g[EXIM_TRANSPORT_transport_filter].str == NULL)
		return (0);
	memset(&r, 0, sizeof(r));
	if (transport_argv(&td, exim_str_text(g[EXIM_TRANSPORT_transport_filter].str), true, SV_NULL, false,
	    "transport filter", &j.filter, &r) == -1)
		return (err_set(err, ERR_TEMP, "4.3.0", SV_FMT, SV_ARG(r.text)));
	j.filter_timeout = g[EXIM_TRANSPORT_transport_filter_timeout].num;
	if ((f.out = *out = tmpfile()) == NULL)
		return (err_sys(err, "make a temporary file"));
	slow_run(vq, filter_job, &f);
	if (f.rc == -1 || fflush(*out) != 0 || fstat(fileno(*out), &st) == -1)
		return (err_set(err, ERR_TEMP, "4.3.0", SV_FMT, SV_ARG(r.text)));
	dm->header = SV_LIT("");
	dm->fd = fileno(*out);
	dm->off = 0;
	dm->len = dm->size = (uint64_t)st.st_size;
	return (0);
}

int
smtp_message(struct vq *vq, struct vq_env *e, const struct dlv *d, struct deliver_message *dm, struct err *err)
{
	const struct exim_value *g = d->rd->transport->d.generic;
	const struct spool_envelope *env = &d->m->env;
	int64_t limit = smtp_int(e, &g[EXIM_TRANSPORT_message_size_limit], 0);
	int64_t lines = d->rd->transport->d.own[EXIM_SMTP_message_linelength_limit].num, longest = 0;
	struct sv path = SV_NULL;

	(void)vq;
	memset(dm, 0, sizeof(*dm));
	dm->sender = d->rd->errors_to_set ? d->rd->errors_to : env->sender;
	if (deliver_text(&e->env, &g[EXIM_TRANSPORT_return_path], &path, err) == -1)
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
	if (lines > 0 && longest_line(d->m, dm->fd, &longest, err) == -1)
		return (-1);
	if (lines > 0 && longest > lines)
		return (err_set(err, ERR_PERM, "5.6.0", "message has lines too long for transport"));
	if (limit > 0 && dm->size > (uint64_t)limit)
		return (err_set(err, ERR_PERM, "5.3.4", "message is too big (transport limit = %lld)", (long long)limit));
	dm->eightbit = (env->flags & SPOOL_8BITMIME) != 0;
	dm->smtputf8 = (env->flags & SPOOL_SMTPUTF8) != 0;
	if (dm->smtputf8 && env_headers(e, d->m))
		for (size_t i = 0; i < e->msg.headers->block.len && !dm->header_8bit; i++)
			dm->header_8bit = (unsigned char)e->msg.headers->block.p[i] > 127;
	dm->downconvert = (env->flags & SPOOL_ASCII) != 0 ? 1 : (env->flags & SPOOL_ASCII_MAYBE) != 0 ? -1 : 0;
	dm->ret_set = env->ret != SPOOL_RET_NONE;
	dm->ret_hdrs = env->ret == SPOOL_RET_HDRS;
	dm->envid = env->envid;
	return (0);
}
