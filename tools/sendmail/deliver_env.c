/* SPDX-License-Identifier: BSD-2-Clause */
/* What expansions see of a message that is received or delivered. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "deliver.h"
#include "os/file.h"
#include "os/user.h"
#include "route/world.h"

#define CONTENT_MAX	((size_t)1024 * 1024 * 1024)

const char *
duser_name(struct arena *a, int64_t uid)
{
	struct os_user u;

	return (os_user_by_uid((uid_t)uid, &u, NULL) == 1 ? arena_str(a, u.name) : arena_fmt(a, "uid%lld", (long long)uid));
}

/* LF to CRLF. */
static void
add_crlf(struct sb *out, struct sv text)
{
	size_t run = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] != '\n' || (i > 0 && text.p[i - 1] == '\r'))
			continue;
		sb_addn(out, text.p + run, i - run);
		sb_adds(out, "\r\n");
		run = i + 1;
	}
	sb_addn(out, text.p + run, text.len - run);
}

void
denv_index(struct dmsg *m)
{
	struct sb out = SB_INIT(CONTENT_MAX);

	for (size_t i = 0; i < m->fields.len; i++)
		if (m->fields.p[i].type != '*')
			add_crlf(&out, m->fields.p[i].text);
	sb_adds(&out, "\r\n");
	m->block = sv_taint(arena_sv(m->arena, sb_sv(&out)));
	mail_headers_parse(&m->headers, m->arena, m->block, 0);
	sb_free(&out);
	if (m->content != NULL)
		(void)fclose(m->content);
	m->content = NULL;
}

int
denv_content(struct dmsg *m, struct err *err)
{
	struct sb out = SB_INIT(CONTENT_MAX);
	int rc = 0;

	if (m->content != NULL)
		return (0);
	sb_add(&out, m->block);
	add_crlf(&out, m->body);
	m->content = tmpfile();
	/* What is delivered must be all of it. */
	if (m->content == NULL || os_write_full(fileno(m->content), out.p, out.len) == -1)
		rc = err_sys(err, "make a temporary file of the message");
	else if (out.overflow)
		rc = err_set(err, ERR_TEMP, "4.3.1", "the message is too large to be delivered");
	sb_free(&out);
	if (rc == -1 && m->content != NULL) {
		(void)fclose(m->content);
		m->content = NULL;
	}
	return (rc);
}

/* What the spool has printable: "\\ooo" and "\\n" are bytes; a backslash at the end is one. */
static struct sv
unprinted(struct arena *a, struct sv v)
{
	static const char kinds[] = "nrtbf", bytes[] = "\n\r\t\b\f";
	char *to = arena_alloc(a, v.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < v.len; i++) {
		const char *kind;

		if (v.p[i] != '\\' || i + 1 == v.len) {
			to[n++] = v.p[i];
			continue;
		}
		i++;
		if (v.p[i] >= '0' && v.p[i] <= '7') {
			unsigned byte = 0;

			for (size_t k = 0; k < 3 && i < v.len && v.p[i] >= '0' && v.p[i] <= '7'; k++)
				byte = byte * 8 + (unsigned)(v.p[i++] - '0');
			i--;
			to[n++] = (char)(byte & 0xff);
		} else if (v.p[i] != '\0' && (kind = strchr(kinds, v.p[i])) != NULL)
			to[n++] = bytes[kind - kinds];
		else
			to[n++] = v.p[i];
	}
	return (sv_from(to, n));
}

/* The connection's TLS, as the spool file of another program tells of it. */
static void
fill_tls(struct exim_tls *tls, const struct dmsg *m)
{
	const struct { const char *name; struct sv *to; } texts[] = { { "tls_cipher", &tls->cipher }, { "tls_peerdn", &tls->peerdn },
		{ "tls_sni", &tls->sni }, { "tls_ver", &tls->ver } };

	for (size_t i = 0; i < m->others.len; i++) {
		bool tainted = sv_starts(m->others.p[i], "--");
		struct sv name, line = sv_sub(m->others.p[i], tainted ? 2 : 1, m->others.p[i].len);

		if (!sv_word(&line, &name))
			continue;
		line = sv_sub(line, line.len > 0 && line.p[0] == ' ', line.len);
		for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++)
			if (sv_eqs(name, texts[k].name))
				*texts[k].to = tainted ? sv_taint(unprinted(m->arena, line)) : unprinted(m->arena, line);
		if (sv_eqs(name, "tls_certificate_verified"))
			tls->verified = true;
	}
}

/* A host that sent it, as -oMa and its kin say, or the spool. */
static void
fill_session(struct exim_session *s, const struct dmsg *m)
{
	fill_tls(&s->tls_in, m);
	s->authenticated_id = m->auth_id;
	s->authenticated_sender = m->auth_sender;
	if (m->host_addr.len == 0 || !net_addr_parse(m->host_addr, &s->addr))
		return;
	s->local = false;
	s->host_address = m->host_addr;
	s->host_port = m->host_port;
	s->interface_address = m->interface;
	s->interface_port = m->interface_port;
	s->host_name = m->host_name;
	if (m->host_name.len > 0)
		s->host_lookup = EXIM_HOST_FOUND;
	s->auth_mechanism = m->host_auth;
}

static int64_t
lines_of(struct sv v)
{
	int64_t n = 0;

	for (size_t i = 0; i < v.len; i++)
		n += v.p[i] == '\n';
	return (n);
}

void
denv_message(struct deliver *d, struct dmsg *m)
{
	struct exim_message *msg = &d->t->msg;
	struct exim_session *s = &d->t->session;
	struct sv *rcpts = arena_alloc(m->arena, (m->rcpts.len + 1) * sizeof(*rcpts));
	int64_t sn[10];
	bool same = strcmp(d->looked_at, m->id) == 0;

	/* What the system filter counted holds as long as the message is looked at. */
	memcpy(sn, msg->sn, sizeof(sn));
	memset(msg, 0, sizeof(*msg));
	if (same)
		memcpy(msg->sn, sn, sizeof(sn));
	(void)snprintf(d->looked_at, sizeof(d->looked_at), "%s", m->id);
	msg->id = sv_from(m->id, SPOOL_ID_LEN);
	msg->queue_name = m->queue;
	msg->has_sender = true;
	msg->sender = msg->return_path = sv_taint(m->sender);
	if (m->sender.len == 0)
		msg->sender = msg->return_path = SV_LIT("");
	msg->received_protocol = m->protocol;
	msg->body_linecount = m->body_lines;
	msg->body_size = (int64_t)m->body.len;
	msg->max_linelength = m->max_line;
	msg->received_time = m->received_us / 1000000;
	msg->body = sv_sub(sv_taint(m->body), 0, (size_t)d->t->g.message_body_visible);
	if (m->body.len > (size_t)d->t->g.message_body_visible)
		msg->body_end = sv_taint(sv_sub(m->body, m->body.len - (size_t)d->t->g.message_body_visible, m->body.len));
	msg->body_whole = m->body.len <= (size_t)d->t->g.message_body_visible;
	msg->headers = m->headers.n > 0 || m->block.len > 0 ? &m->headers : NULL;
	msg->size = (int64_t)m->body.len + 1;
	msg->linecount = m->body_lines;
	msg->body_zerocount = m->body_zeros;
	for (size_t i = 0; i < m->fields.len; i++)
		if (m->fields.p[i].type != '*') {
			msg->size += (int64_t)m->fields.p[i].text.len;
			msg->linecount += lines_of(m->fields.p[i].text);
		}
	msg->received_count = (int64_t)mail_headers_count(&m->headers, "Received");
	for (size_t i = 0; i < m->rcpts.len; i++)
		rcpts[i] = m->rcpts.p[i].addr;
	msg->recipients = rcpts;
	msg->nrecipients = m->rcpts.len;
	msg->received_for = m->arriving && m->rcpts.len == 1 ? m->rcpts.p[0].addr : SV_NULL;
	msg->originator_uid = m->uid;
	msg->originator_gid = m->gid;
	msg->caller_uid = d->caller_uid;
	msg->caller_gid = d->caller_gid;
	msg->deliver_freeze = m->frozen;
	msg->smtputf8 = m->smtputf8;
	msg->first_delivery = !m->tried;
	memset(s, 0, sizeof(*s));
	s->local = true;
	s->ident = m->ident;
	s->helo = m->helo;
	fill_session(s, m);
	if (d->t->env.acl_m == NULL)
		d->t->env.acl_m = exim_vars_new();
	if (d->t->env.acl_c == NULL)
		d->t->env.acl_c = exim_vars_new();
	exim_vars_clear(d->t->env.acl_m);
	exim_vars_clear(d->t->env.acl_c);
	for (size_t i = 0; i < m->vars.len; i++)
		exim_vars_set(m->vars.p[i].name.p[0] == 'c' ? d->t->env.acl_c : d->t->env.acl_m, m->vars.p[i].name, m->vars.p[i].value);
	d->t->env.message_loaded = true;
}

void
denv_delivery(struct deliver *d, struct dmsg *m, const struct route_delivery *rd, struct exim_address *a)
{
	route_world_delivery(a, rd, m->arena);
	if (rd->nhosts > 0) {
		char buf[NET_ADDR_TEXT_MAX];

		a->host = sv_cstr(rd->hosts[0].name);
		a->host_address = sv_cstr(arena_str(m->arena, net_addr_text(&rd->hosts[0].addr, buf)));
	}
	d->t->msg.return_path = rd->errors_to_set ? rd->errors_to : d->t->msg.sender;
	d->t->env.addr = a;
}

int
deliver_load(struct testing *t, const char *id)
{
	static struct deliver d;
	static struct dmsg *m;
	struct err err = ERR_INIT;

	d = (struct deliver){ .t = t, .conf = t->conf, .spool = t->g.spool_directory, .caller = t->login,
	    .caller_uid = (int64_t)getuid(), .caller_gid = (int64_t)getgid() };
	if (dspool_read(&d, id, &m, &err) == -1) {
		(void)fprintf(stderr, "exim: spool read error or message %s not found\n", id);
		return (1);
	}
	denv_index(m);
	denv_message(&d, m);
	return (0);
}
