/* SPDX-License-Identifier: BSD-2-Clause */
/* The fields of a message that a local user submits: found, qualified, rewritten, and added where they are missing. */
#include <string.h>

#include "deliver.h"
#include "mail/address.h"
#include "mail/date.h"

/* ---- fields ---- */

char
dfield_type(struct sv name)
{
	static const struct {
		const char *name;
		char type;
	} t[] = { { "bcc", 'B' }, { "cc", 'C' }, { "from", 'F' }, { "message-id", 'I' }, { "received", 'P' }, { "reply-to", 'R' },
	    { "sender", 'S' }, { "to", 'T' } };

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (sv_caseeqs(name, t[i].name))
			return (t[i].type);
	return (' ');
}

/* Name and body of a field. */
struct sv
dfield_name(struct sv text)
{
	ptrdiff_t colon = sv_chr(text, ':');

	return (colon < 0 ? SV_LIT("") : sv_trim(sv_sub(text, 0, (size_t)colon)));
}

struct sv
dfield_body(struct sv text)
{
	ptrdiff_t colon = sv_chr(text, ':');
	struct sv b = colon < 0 ? SV_LIT("") : sv_sub(text, (size_t)colon + 1, text.len);

	if (b.len > 0 && b.p[b.len - 1] == '\n')
		b.len--;
	if (b.len > 0 && b.p[0] == ' ')
		b = sv_sub(b, 1, b.len);
	return (b);
}

struct dfield *
dfield_find(struct dmsg *m, const char *name)
{
	for (size_t i = 0; i < m->fields.len; i++)
		if (m->fields.p[i].type != '*' && sv_caseeqs(dfield_name(m->fields.p[i].text), name))
			return (&m->fields.p[i]);
	return (NULL);
}

void
dfield_add(struct dmsg *m, const char *name, struct sv body)
{
	struct dfield f;

	f.text = sv_cstr(arena_fmt(m->arena, "%s: " SV_FMT "\n", name, SV_ARG(body)));
	f.type = dfield_type(sv_cstr(name));
	vec_push(&m->fields, f);
}

void
dfield_drop(struct dmsg *m, const char *name)
{
	struct dfield *f;

	while ((f = dfield_find(m, name)) != NULL)
		vec_remove(&m->fields, (size_t)(f - m->fields.p));
}

static bool
starts_field(struct sv line)
{
	size_t i = 0;

	while (i < line.len && line.p[i] > ' ' && line.p[i] < 127 && line.p[i] != ':')
		i++;
	if (i == 0)
		return (false);
	while (i < line.len && (line.p[i] == ' ' || line.p[i] == '\t'))
		i++;
	return (i < line.len && line.p[i] == ':');
}

/* The spool's lines of the header hold none. */
static struct sv
without_nul(struct arena *a, struct sv text)
{
	char *p;

	if (memchr(text.p, '\0', text.len) == NULL)
		return (text);
	p = arena_dup(a, text.p, text.len);
	for (size_t i = 0; i < text.len; i++)
		if (p[i] == '\0')
			p[i] = '?';
	text.p = p;
	return (text);
}

void
dmsg_split(struct dmsg *m, struct sv text)
{
	struct sv rest = text, line;
	size_t at = 0;

	for (;;) {
		size_t start = at, n;
		const char *nl;

		if (at >= text.len)
			break;
		nl = memchr(text.p + at, '\n', text.len - at);
		n = nl == NULL ? text.len - at : (size_t)(nl - text.p) - at;
		line = sv_sub(text, at, at + n);
		if (n == 0) {
			at++;
			break;
		}
		if (m->fields.len > 0 && (line.p[0] == ' ' || line.p[0] == '\t')) {
			m->fields.p[m->fields.len - 1].text.len += n + 1;
		} else if (starts_field(line)) {
			struct dfield f = { .text = sv_sub(text, start, start + n + 1) };

			f.type = dfield_type(dfield_name(f.text));
			vec_push(&m->fields, f);
		} else
			break;
		at = start + n + 1;
	}
	m->body = sv_sub(text, at < text.len ? at : text.len, text.len);
	for (size_t i = 0; i < m->fields.len; i++)
		m->fields.p[i].text = without_nul(m->arena, m->fields.p[i].text);
	m->body_lines = m->body_zeros = 0;
	for (size_t i = 0; i < m->body.len; i++) {
		m->body_lines += m->body.p[i] == '\n';
		m->body_zeros += m->body.p[i] == '\0';
	}
	/* Of what an SMTP client sent, known already: fields have been added since. */
	rest = m->measured ? SV_NULL : text;
	while (sv_next(&rest, '\n', &line))
		if ((int64_t)line.len > m->max_line)
			m->max_line = (int64_t)line.len;
}

/* ---- addresses ---- */

struct sv
dqualify(struct deliver *d, struct arena *a, struct sv addr, bool recipient)
{
	struct sv domain = recipient && d->t->g.qualify_recipient.len > 0 ? d->t->g.qualify_recipient : d->t->g.qualify_domain;

	if (addr.len == 0 || sv_chr(addr, '@') >= 0)
		return (addr);
	return (sv_cstr(arena_fmt(a, SV_FMT "@" SV_FMT, SV_ARG(addr), SV_ARG(domain))));
}

struct sv
qualified_body(struct arena *a, struct sv body, struct sv domain)
{
	struct mail_addrlist l;
	struct sb out = SB_INIT(DTEXT_MAX);
	size_t done = 0;
	struct sv r = body;

	mail_addrlist_read(body, a, &l);
	for (size_t i = 0; i < l.n; i++) {
		const struct mail_address *x = &l.v[i];
		ptrdiff_t at = -1, angle;
		size_t off, end;

		if (x->item != MAIL_ITEM_ADDRESS || x->domain.len > 0 || x->local.len == 0 || x->raw.p < body.p ||
		    x->raw.p + x->raw.len > body.p + body.len)
			continue;
		off = (size_t)(x->raw.p - body.p);
		angle = sv_rchr(x->raw, '<');
		at = sv_find(sv_sub(x->raw, angle < 0 ? 0 : (size_t)angle, x->raw.len), x->local);
		if (at < 0)
			continue;
		end = off + (angle < 0 ? 0 : (size_t)angle) + (size_t)at + x->local.len;
		sb_add(&out, sv_sub(body, done, end));
		sb_addf(&out, "@" SV_FMT, SV_ARG(domain));
		done = end;
	}
	if (done > 0) {
		sb_add(&out, sv_sub(body, done, body.len));
		r = arena_sv(a, sb_sv(&out));
	}
	sb_free(&out);
	return (r);
}

static void
qualify_field(struct deliver *d, struct dmsg *m, struct dfield *f)
{
	struct sv name = dfield_name(f->text), domain = d->t->g.qualify_domain, before = dfield_body(f->text), body;
	char type = sv_casestarts(name, "resent-") ? dfield_type(sv_sub(name, strlen("resent-"), name.len)) : f->type;

	if (strchr("FTCBRS", type) == NULL || d->t->o->no_qualify)
		return;
	if (strchr("TCB", type) != NULL && d->t->g.qualify_recipient.len > 0)
		domain = d->t->g.qualify_recipient;
	body = qualified_body(m->arena, before, domain);
	if (body.p != before.p)
		f->text = sv_cstr(arena_fmt(m->arena, SV_FMT ": " SV_FMT "\n", SV_ARG(name), SV_ARG(body)));
}

static unsigned
rewrite_flag(char type)
{
	switch (type) {
	case 'F':
		return (EXIM_RW_f);
	case 'T':
		return (EXIM_RW_t);
	case 'C':
		return (EXIM_RW_c);
	case 'B':
		return (EXIM_RW_b);
	case 'R':
		return (EXIM_RW_r);
	case 'S':
		return (EXIM_RW_s);
	default:
		return (0);
	}
}

void
dfields_rewrite(struct deliver *d, struct dmsg *m)
{
	for (size_t i = 0; i < m->fields.len; i++) {
		struct dfield *f = &m->fields.p[i];
		unsigned flag = rewrite_flag(f->type);
		struct err err = ERR_INIT;
		bool changed = false;
		struct sv out;

		if (flag == 0 || (d->conf->rewrites.flags & flag) == 0)
			continue;
		if (exim_rewrite_header(&d->conf->rewrites, &d->t->env, flag, dfield_body(f->text), &out, &changed,
		    &err) == EXIM_OK && changed)
			f->text = sv_cstr(arena_fmt(m->arena, SV_FMT ": " SV_FMT "\n", SV_ARG(dfield_name(f->text)),
			    SV_ARG(sv_trim(out))));
	}
}

void
dfields_rewrite_envelope(struct deliver *d, struct dmsg *m)
{
	struct err err = ERR_INIT;
	struct sv out;

	for (size_t i = 0; i < m->rcpts.len; i++)
		if (exim_rewrite_address(&d->conf->rewrites, &d->t->env, EXIM_RW_T, m->rcpts.p[i].addr, &out, NULL, &err) == EXIM_OK)
			m->rcpts.p[i].addr = arena_sv(m->arena, out);
	m->given_sender = m->sender;
	if (m->sender.len > 0 &&
	    exim_rewrite_address(&d->conf->rewrites, &d->t->env, EXIM_RW_F, m->sender, &out, NULL, &err) == EXIM_OK)
		m->sender = arena_sv(m->arena, out);
	d->t->msg.sender = d->t->msg.return_path = sv_taint(m->sender);
}

/* ---- what is missing ---- */

bool
dfields_resent(struct dmsg *m)
{
	for (size_t i = 0; i < m->fields.len; i++)
		if (m->fields.p[i].type != '*' && sv_casestarts(dfield_name(m->fields.p[i].text), "resent-"))
			return (true);
	return (false);
}

/* Fields from <had> on go to the top: those of the last one who sent it on stand first. */
static void
to_top(struct dmsg *m, size_t had)
{
	for (size_t i = 0; had < m->fields.len && i + had < m->fields.len; i++) {
		struct dfield f = m->fields.p[had + i];

		memmove(&m->fields.p[i + 1], &m->fields.p[i], had * sizeof(f));
		m->fields.p[i] = f;
	}
}

void
dfields_fix(struct deliver *d, struct dmsg *m)
{
	const struct exim_conf *c = d->conf;
	char date[MAIL_DATE_MAX];
	bool resent;
	size_t had;

	if (exim_main_bool(c, EXIM_MAIN_return_path_remove))
		dfield_drop(m, "return-path");
	if (exim_main_bool(c, EXIM_MAIN_envelope_to_remove))
		dfield_drop(m, "envelope-to");
	if (exim_main_bool(c, EXIM_MAIN_delivery_date_remove))
		dfield_drop(m, "delivery-date");
	for (size_t i = 0; i < m->fields.len; i++)
		qualify_field(d, m, &m->fields.p[i]);
	/* What a host brought is not ours to mend. */
	if (m->host_addr.len > 0 || m->no_fixups)
		return;
	resent = dfields_resent(m);
	had = m->fields.len;
	if (resent && dfield_find(m, "resent-date") == NULL)
		dfield_add(m, "Resent-Date", sv_cstr(mail_date_format_local(date, m->received_us / 1000000)));
	if (dfield_find(m, resent ? "resent-message-id" : "message-id") == NULL)
		dfield_add(m, resent ? "Resent-Message-Id" : "Message-Id", dsender_message_id(d, m));
	if (resent)
		to_top(m, had);
	/* Nobody has sent it: so says who may.  What we write ourselves has a sender. */
	if (dfield_find(m, resent ? "resent-from" : "from") == NULL && (m->given_sender.len > 0 || m->ref.len > 0 ||
	    !dsender_trusted(d)))
		dsender_add_from(d, m, resent);
	had = m->fields.len;
	dsender_fields(d, m, resent);
	if (resent)
		to_top(m, had);
	if (!resent && dfield_find(m, "date") == NULL)
		dfield_add(m, "Date", sv_cstr(mail_date_format_local(date, m->received_us / 1000000)));
}

int
dfields_received(struct deliver *d, struct dmsg *m, struct err *err)
{
	char date[MAIL_DATE_MAX];
	struct sv text;
	struct dfield f = { .type = 'P' };

	if (exim_expand(exim_main_str(d->conf, EXIM_MAIN_received_header_text), &d->t->env, &text, err) != EXIM_OK) {
		dlog(d, DLOG_MAIN | DLOG_PANIC, "%s Expansion of \"" SV_FMT "\" (received_header_text) failed: %s", m->id,
		    SV_ARG(exim_str_text(exim_main_str(d->conf, EXIM_MAIN_received_header_text))), err->text);
		err_clear(err);
		return (-1);
	}
	if (text.len == 0)
		return (0);
	f.text = sv_cstr(arena_fmt(m->arena, SV_FMT ";\n\t%s\n", SV_ARG(text), mail_date_format_local(date, m->received_us / 1000000)));
	vec_push(&m->fields, f);
	memmove(&m->fields.p[1], &m->fields.p[0], (m->fields.len - 1) * sizeof(f));
	m->fields.p[0] = f;
	return (0);
}
