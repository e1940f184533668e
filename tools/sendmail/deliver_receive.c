/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking a message in: its fields are found, what local submission lacks is added, addresses are
 * qualified and rewritten, the ACL is asked, the message is spooled, logged and delivered
 * (chapters 46 and 47 of Exim's manual).
 */
#include <sys/stat.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "deliver.h"
#include "exim/acl.h"
#include "exim/extract.h"
#include "mail/address.h"
#include "mail/date.h"
#include "os/time.h"
#include "os/user.h"
#include "session/session.h"

#define TEXT_MAX	((size_t)256 * 1024 * 1024)

/* ---- fields ---- */

static char
type_of(struct sv name)
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
static struct sv
field_name(struct sv text)
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
		if (m->fields.p[i].type != '*' && sv_caseeqs(field_name(m->fields.p[i].text), name))
			return (&m->fields.p[i]);
	return (NULL);
}

void
dfield_add(struct dmsg *m, const char *name, struct sv body)
{
	struct dfield f;

	f.text = sv_cstr(arena_fmt(m->arena, "%s: " SV_FMT "\n", name, SV_ARG(body)));
	f.type = type_of(sv_cstr(name));
	vec_push(&m->fields, f);
}

static void
drop_fields(struct dmsg *m, const char *name)
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

			f.type = type_of(field_name(f.text));
			vec_push(&m->fields, f);
		} else
			break;
		at = start + n + 1;
	}
	m->body = sv_sub(text, at < text.len ? at : text.len, text.len);
	m->body_lines = m->body_zeros = 0;
	for (size_t i = 0; i < m->body.len; i++) {
		m->body_lines += m->body.p[i] == '\n';
		m->body_zeros += m->body.p[i] == '\0';
	}
	rest = text;
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
	struct sb out = SB_INIT(TEXT_MAX);
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
	bool recipient = f->type == 'T' || f->type == 'C' || f->type == 'B';
	struct sv domain = recipient && d->t->g.qualify_recipient.len > 0 ? d->t->g.qualify_recipient : d->t->g.qualify_domain;
	struct sv before = dfield_body(f->text), body;

	if (strchr("FTCBRS", f->type) == NULL)
		return;
	body = qualified_body(m->arena, before, domain);
	if (body.p != before.p)
		f->text = sv_cstr(arena_fmt(m->arena, SV_FMT ": " SV_FMT "\n", SV_ARG(field_name(f->text)), SV_ARG(body)));
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

static void
rewrite_fields(struct deliver *d, struct dmsg *m)
{
	for (size_t i = 0; i < m->fields.len; i++) {
		struct dfield *f = &m->fields.p[i];
		unsigned flag = rewrite_flag(f->type);
		struct err err = ERR_INIT;
		bool changed = false;
		struct sv out;

		if (flag == 0 || (d->conf->rewrites.flags & flag) == 0)
			continue;
		if (exim_rewrite_header(&d->conf->rewrites, &d->t->env, flag, dfield_body(f->text), &out, &changed, &err) == EXIM_OK && changed)
			f->text = sv_cstr(arena_fmt(m->arena, SV_FMT ": " SV_FMT "\n", SV_ARG(field_name(f->text)), SV_ARG(sv_trim(out))));
	}
}

/* The rule that did it is the first whose pattern and flag fit; chains of rules are told as one. */
static void
log_rewrite(struct deliver *d, const struct dmsg *m, struct sv from, const char *where, struct sv to)
{
	if (!dlog_on(d, EXIM_LOGSEL_address_rewrite) || sv_eq(from, to))
		return;
	dlog(d, DLOG_MAIN, "%s \"" SV_FMT "\" from %s rewritten as \"" SV_FMT "\" by rule %u", m->id, SV_ARG(from), where, SV_ARG(to),
	    d->t->env.rewrite_rule);
}

static void
rewrite_envelope(struct deliver *d, struct dmsg *m)
{
	struct err err = ERR_INIT;
	struct sv out;

	for (size_t i = 0; i < m->rcpts.len; i++)
		if (exim_rewrite_address(&d->conf->rewrites, &d->t->env, EXIM_RW_T, m->rcpts.p[i].addr, &out, NULL, &err) == EXIM_OK) {
			log_rewrite(d, m, m->rcpts.p[i].addr, "env-to", out);
			m->rcpts.p[i].addr = arena_sv(m->arena, out);
		}
	if (m->sender.len > 0 && exim_rewrite_address(&d->conf->rewrites, &d->t->env, EXIM_RW_F, m->sender, &out, NULL, &err) == EXIM_OK) {
		log_rewrite(d, m, m->sender, "env-from", out);
		m->sender = arena_sv(m->arena, out);
	}
}

/* ---- what is missing ---- */

static bool
is_resent(struct dmsg *m)
{
	for (size_t i = 0; i < m->fields.len; i++)
		if (m->fields.p[i].type != '*' && sv_casestarts(field_name(m->fields.p[i].text), "resent-"))
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

static void
fix_fields(struct deliver *d, struct dmsg *m)
{
	const struct exim_conf *c = d->conf;
	char date[MAIL_DATE_MAX];
	bool resent;
	size_t had;

	if (exim_main_bool(c, EXIM_MAIN_return_path_remove))
		drop_fields(m, "return-path");
	if (exim_main_bool(c, EXIM_MAIN_envelope_to_remove))
		drop_fields(m, "envelope-to");
	if (exim_main_bool(c, EXIM_MAIN_delivery_date_remove))
		drop_fields(m, "delivery-date");
	for (size_t i = 0; i < m->fields.len; i++)
		qualify_field(d, m, &m->fields.p[i]);
	/* What a host brought is not ours to mend. */
	if (m->host_addr.len > 0)
		return;
	resent = is_resent(m);
	had = m->fields.len;
	if (resent && dfield_find(m, "resent-date") == NULL)
		dfield_add(m, "Resent-Date", sv_cstr(mail_date_format_local(date, m->received_us / 1000000)));
	if (dfield_find(m, resent ? "resent-message-id" : "message-id") == NULL)
		dfield_add(m, resent ? "Resent-Message-Id" : "Message-Id", dsender_message_id(d, m));
	if (dfield_find(m, resent ? "resent-from" : "from") == NULL)
		dsender_add_from(d, m, resent);
	dsender_fields(d, m, resent);
	if (resent)
		to_top(m, had);
	if (!resent && dfield_find(m, "date") == NULL)
		dfield_add(m, "Date", sv_cstr(mail_date_format_local(date, m->received_us / 1000000)));
}

static int
put_received(struct deliver *d, struct dmsg *m, struct err *err)
{
	char date[MAIL_DATE_MAX];
	struct sv text;
	struct dfield f = { .type = 'P' };

	if (exim_expand(exim_main_str(d->conf, EXIM_MAIN_received_header_text), &d->t->env, &text, err) != EXIM_OK)
		return (-1);
	if (text.len == 0)
		return (0);
	f.text = sv_cstr(arena_fmt(m->arena, SV_FMT ";\n\t%s\n", SV_ARG(text), mail_date_format_local(date, m->received_us / 1000000)));
	vec_push(&m->fields, f);
	memmove(&m->fields.p[1], &m->fields.p[0], (m->fields.len - 1) * sizeof(f));
	m->fields.p[0] = f;
	return (0);
}

/* ---- the ACL ---- */

static void
acl_log(void *arg, unsigned logs, struct sv line)
{
	struct deliver *d = arg;

	unsigned which = logs & (EXIM_LOG_MAIN | EXIM_LOG_REJECT | EXIM_LOG_PANIC);

	if (d->about != NULL)
		dlog(d, which, "%s " SV_FMT, d->about, SV_ARG(line));
	else
		dlog(d, which, SV_FMT, SV_ARG(line));
}

static void
log_rejection(struct deliver *d, const struct dmsg *m, const char *by, struct sv why)
{
	struct sb more = SB_INIT(TEXT_MAX);

	dlog(d, DLOG_MAIN, "%s F=<" SV_FMT "> rejected by %s: " SV_FMT, m->id, SV_ARG(m->sender), by, SV_ARG(why));
	sb_addf(&more, "\nEnvelope-from: <" SV_FMT ">\nEnvelope-to: ", SV_ARG(m->sender));
	for (size_t i = 0; i < m->rcpts.len; i++)
		sb_addf(&more, "%s<" SV_FMT ">", i > 0 ? "\n             " : "", SV_ARG(m->rcpts.p[i].addr));
	for (size_t i = 0; i < m->fields.len; i++)
		sb_addf(&more, "\n%c " SV_FMT, m->fields.p[i].type, (int)m->fields.p[i].text.len - 1, m->fields.p[i].text.p);
	if (!dlog_on(d, EXIM_LOGSEL_rejected_header))
		sb_clear(&more);
	dlog(d, DLOG_REJECT, "%s F=<" SV_FMT "> rejected by %s: " SV_FMT SV_FMT, m->id, SV_ARG(m->sender), by, SV_ARG(why),
	    SV_ARG(sb_sv(&more)));
	sb_free(&more);
}

enum acl_says { ACL_TAKEN, ACL_REFUSED, ACL_DISCARDED };

/* ACL variables go with the message. */
static void
keep_vars(struct deliver *d, struct dmsg *m)
{
	const struct exim_vars *sets[] = { d->t->env.acl_c, d->t->env.acl_m };

	vec_clear(&m->vars);
	for (size_t i = 0; i < 2; i++) {
		size_t pos = 0;
		struct sv name, value;

		while (sets[i] != NULL && exim_vars_next(sets[i], &pos, &name, &value))
			vec_push(&m->vars, ((struct dvar){ arena_sv(m->arena, name), arena_sv(m->arena, value) }));
	}
}

/* A refusal is told in the logs; *<why> has the words. */
/* acl_not_smtp_start runs before the message is read. */
static void
envelope_only(struct exim_message *msg)
{
	msg->id = msg->body = msg->body_end = msg->received_for = SV_NULL;
	msg->headers = NULL;
	msg->body_size = msg->body_linecount = msg->body_zerocount = msg->linecount = msg->size = 0;
	msg->max_linelength = msg->received_count = 0;
}

static enum acl_says
ask_acl(struct deliver *d, struct dmsg *m, struct sv *why, const char **by)
{
	static const struct exim_acl_ops ops = { .log = acl_log };
	struct exim_acl_effects fx;
	struct exim_acl_result res;
	struct exim_acl_run run;
	struct exim_message whole;
	enum acl_says verdict = ACL_TAKEN;
	enum exim_acl_verdict a;

	memset(&run, 0, sizeof(run));
	memset(&res, 0, sizeof(res));
	exim_acl_effects_init(&fx, m->arena);
	run.ops = &ops;
	run.arg = d;
	run.fx = &fx;
	run.where = EXIM_WHERE_NOTSMTP_START;
	d->t->msg.recipients_shown = true;
	whole = d->t->msg;
	envelope_only(&d->t->msg);
	/* What this one says counts for nothing: it is there for its effects.  The message has no name yet. */
	(void)exim_acl_check(&d->t->env, &run, &res);
	d->about = m->id;
	d->t->msg = whole;
	memset(&res, 0, sizeof(res));
	a = dmime_ask(d, m, &run, &res);
	if (a == EXIM_ACL_ACCEPT) {
		run.where = EXIM_WHERE_NOTSMTP;
		memset(&res, 0, sizeof(res));
		a = exim_acl_check(&d->t->env, &run, &res);
	}
	if (!res.unset && a != EXIM_ACL_ACCEPT)
		verdict = a == EXIM_ACL_DISCARD ? ACL_DISCARDED : ACL_REFUSED;
	*by = run.where == EXIM_WHERE_NOTSMTP ? "non-SMTP ACL" : "MIME ACL";
	if (verdict != ACL_TAKEN) {
		*why = arena_sv(m->arena, res.log_msg.len > 0 ? res.log_msg : res.user_msg);
		if (verdict == ACL_REFUSED)
			log_rejection(d, m, *by, *why);
		if (verdict == ACL_REFUSED && res.user_msg.len > 0)
			*why = arena_sv(m->arena, res.user_msg);
	}
	for (size_t i = 0; i < fx.remove.len; i++)
		drop_fields(m, arena_cstr(m->arena, fx.remove.p[i]));
	for (size_t i = 0; i < fx.headers.len; i++) {
		struct dfield f = { .type = ' ', .text = arena_sv(m->arena, fx.headers.p[i].text) };

		f.type = type_of(field_name(f.text));
		vec_push(&m->fields, f);
	}
	if (fx.ctl[EXIM_CTL_FREEZE]) {
		m->frozen = true;
		m->frozen_at = dnow();
	}
	m->queue_only = fx.ctl[EXIM_CTL_QUEUE_ONLY] != 0 || fx.ctl[EXIM_CTL_QUEUE] != 0;
	if (fx.queue_name.p != NULL)
		m->queue = arena_sv(m->arena, fx.queue_name);
	keep_vars(d, m);
	exim_acl_run_fini(&run);
	exim_acl_effects_free(&fx);
	return (verdict);
}

/* ---- the log line ---- */

static void
log_arrival(struct deliver *d, struct dmsg *m, bool had_id)
{
	struct sb out = SB_INIT(256 * 1024);
	const struct dfield *id = dfield_find(m, "message-id"), *subject = dfield_find(m, "subject");

	sb_addf(&out, "%s <= ", m->id);
	if (m->sender.len == 0)
		sb_adds(&out, "<>");
	else
		sb_add(&out, m->sender);
	if (m->ref.len > 0)
		sb_addf(&out, " R=" SV_FMT, SV_ARG(m->ref));
	if (m->host_addr.len > 0)
		sb_addf(&out, " H=" SV_FMT "%s[" SV_FMT "]", SV_ARG(m->host_name), m->host_name.len > 0 ? " " : "", SV_ARG(m->host_addr));
	if (m->ident.len > 0)
		sb_addf(&out, " U=" SV_FMT, SV_ARG(m->ident));
	sb_addf(&out, " P=" SV_FMT, SV_ARG(m->protocol));
	if (m->host_auth.len > 0)
		sb_addf(&out, " A=" SV_FMT, SV_ARG(m->host_auth));
	sb_addf(&out, " S=%lld", (long long)d->t->msg.size);
	if (m->queue.len > 0)
		sb_addf(&out, " Q=" SV_FMT, SV_ARG(m->queue));
	if (dlog_on(d, EXIM_LOGSEL_8bitmime))
		sb_adds(&out, " M8S=0");
	if (dlog_on(d, EXIM_LOGSEL_receive_time))
		sb_adds(&out, " RT=0s");
	/* One that was made here only where that is asked for, too. */
	if (id != NULL && dlog_on(d, EXIM_LOGSEL_msg_id) && (had_id || dlog_on(d, EXIM_LOGSEL_msg_id_created))) {
		struct sv v = sv_trim(dfield_body(id->text));

		if (v.len > 2 && v.p[0] == '<')
			v = sv_sub(v, 1, v.len - 1);
		sb_addf(&out, " id%s=" SV_FMT, had_id ? "" : "*", SV_ARG(v));
	}
	if (subject != NULL && dlog_on(d, EXIM_LOGSEL_subject))
		sb_addf(&out, " T=\"" SV_FMT "\"", SV_ARG(sv_trim(dfield_body(subject->text))));
	if (dlog_on(d, EXIM_LOGSEL_received_sender))
		sb_addf(&out, " from <" SV_FMT ">", SV_ARG(m->sender));
	if (dlog_on(d, EXIM_LOGSEL_received_recipients)) {
		sb_adds(&out, " for");
		for (size_t i = 0; i < m->rcpts.len; i++)
			sb_addf(&out, " " SV_FMT, SV_ARG(m->rcpts.p[i].addr));
	}
	dlog(d, DLOG_MAIN, SV_FMT, SV_ARG(sb_sv(&out)));
	dmsglog(d, m, "Received from " SV_FMT, SV_ARG(sv_sub(sb_sv(&out), strlen(m->id) + 4, out.len)));
	sb_free(&out);
}

/* ---- the whole ---- */

/* Those of a message that came by itself: too long, nobody to send it to. */
static int
check_limits(struct deliver *d, struct dmsg *m)
{
	int64_t size = (int64_t)m->body.len, limit = 0;
	const struct exim_value *v = &d->conf->main[EXIM_MAIN_message_size_limit];
	struct err err = ERR_INIT;
	struct sb more = SB_INIT(TEXT_MAX);

	for (size_t i = 0; i < m->fields.len; i++)
		size += (int64_t)m->fields.p[i].text.len;
	if (v->str == NULL || exim_expand_int(v->str, &d->t->env, &limit, &err) != EXIM_OK || limit <= 0 || size <= limit) {
		sb_free(&more);
		return (0);
	}
	sb_addf(&more, "%s rejected from <" SV_FMT ">%s" SV_FMT ": message too big: read=%lld max=%lld", m->id, SV_ARG(m->sender),
	    m->ident.len > 0 ? " U=" : "", SV_ARG(m->ident), (long long)size, (long long)limit);
	dlog(d, DLOG_MAIN | DLOG_REJECT, SV_FMT, SV_ARG(sb_sv(&more)));
	sb_free(&more);
	return (derror_tell(d, m, DERROR_TOO_BIG, sv_cstr(arena_fmt(m->arena, "message too big (limit set to %lld)", (long long)limit)),
	    false));
}

int
dreceive(struct deliver *d, struct dmsg *m, bool fixups, struct err *err)
{
	bool had_id = dfield_find(m, "message-id") != NULL;
	struct sv why = SV_NULL;
	const char *by = "";
	enum acl_says says;
	int rc;

	for (size_t i = 0; i < m->rcpts.len; i++)
		m->rcpts.p[i].addr = dqualify(d, m->arena, m->rcpts.p[i].addr, true);
	m->sender = dqualify(d, m->arena, m->sender, false);
	m->arriving = true;
	denv_message(d, m);
	rewrite_envelope(d, m);
	if (fixups && (rc = check_limits(d, m)) != 0)
		return (rc);
	if (fixups)
		fix_fields(d, m);
	if (m->bad.len > 0 || m->rcpts.len == 0) {
		const char *what = m->bad.len > 0 ? "bad addresses found in headers" : "no recipients found in headers";

		dlog(d, DLOG_MAIN | DLOG_PANIC, "%s %s %s", m->id, m->id, what);
		rc = derror_tell(d, m, m->bad.len > 0 ? DERROR_FIELDS : DERROR_NOBODY, m->bad, m->rcpts.len > 0);
		if (m->rcpts.len == 0)
			return (rc);
		denv_message(d, m);
	}
	rewrite_fields(d, m);
	denv_message(d, m);
	if (fixups && put_received(d, m, err) == -1)
		return (-1);
	m->arriving = false;
	denv_index(m);
	denv_message(d, m);
	says = fixups ? ask_acl(d, m, &why, &by) : ACL_TAKEN;
	d->about = NULL;
	if (says == ACL_REFUSED)
		return (derror_tell(d, m, DERROR_ACL, m->ref.len > 0 || m->sender.len == 0 ?
		    sv_cstr(arena_fmt(m->arena, "rejected by %s: " SV_FMT, by, SV_ARG(why))) : why, false));
	denv_index(m);
	denv_message(d, m);
	m->complete_us = os_wall_us();
	if (says == ACL_TAKEN && dspool_write(d, m, true, err) == -1)
		return (-1);
	log_arrival(d, m, had_id);
	if (says == ACL_DISCARDED) {
		dlog(d, DLOG_MAIN, "%s => blackhole (%s discarded recipients)%s" SV_FMT, m->id, by, why.len > 0 ? ": " : "", SV_ARG(why));
		dlog(d, DLOG_MAIN, "%s Completed", m->id);
		dmsglog_remove(d, m);
		return (1);
	}
	if (m->frozen)
		dlog(d, DLOG_MAIN, "%s frozen by ACL", m->id);
	else if (m->queue_only)
		dlog(d, DLOG_MAIN, "%s no immediate delivery: queued%s" SV_FMT " by ACL", m->id, m->queue.len > 0 ? " in " : "",
		    SV_ARG(m->queue));
	else if (d->odmode != 'q')
		ddeliver_later(d, m);
	return (0);
}

void
dmsg_start(struct dmsg *m, const char *login, int64_t uid)
{
	struct os_user u;

	spool_id_new(m->id);
	m->received_us = os_wall_us();
	m->login = m->ident = sv_cstr(arena_str(m->arena, login));
	m->uid = uid;
	m->gid = os_user_by_uid((uid_t)uid, &u, NULL) == 1 ? u.gid : uid;
	m->protocol = SV_LIT("local");
}

int
dreceive_own(struct deliver *d, const struct dmsg *about, const char *login, int64_t uid, struct sv text, const struct sv *rcpts,
    size_t n, bool fixups, bool bounce)
{
	struct dmsg *m = dmsg_new();
	struct sb lf = SB_INIT(TEXT_MAX);
	struct err err = ERR_INIT;
	unsigned od = d->odmode;
	int rc;

	dmsg_start(m, login, uid);
	m->sender = SV_LIT("");
	m->bounce = bounce;
	if (bounce)
		m->auth_sender = exim_main_text(d->conf, EXIM_MAIN_bounce_sender_authentication);
	if (about != NULL)
		m->queue = arena_sv(m->arena, about->queue);
	if (about != NULL)
		m->ref = sv_cstr(arena_str(m->arena, about->id));
	for (size_t i = 0; i < n; i++) {
		struct drcpt r = { .addr = arena_sv(m->arena, rcpts[i]), .parent = -1 };

		vec_push(&m->rcpts, r);
	}
	for (size_t i = 0; i < text.len; i++)
		if (text.p[i] != '\r' || i + 1 == text.len || text.p[i + 1] != '\n')
			sb_addc(&lf, text.p[i]);
	dmsg_split(m, arena_sv(m->arena, sb_sv(&lf)));
	sb_free(&lf);
	if (d->odmode == 'q')
		d->odmode = 'b';
	rc = dreceive(d, m, fixups, &err);
	d->odmode = od;
	if (rc == -1)
		dlog(d, DLOG_MAIN | DLOG_PANIC, "%s %s", m->id, err.text);
	else if (rc == 1 && bounce)
		dlog(d, DLOG_MAIN, "%s Child mail process returned status 1", about == NULL ? m->id : about->id);
	dmsg_free(&m);
	return (rc);
}

int
dreceive_as(struct deliver *d, const struct dmsg *about, int64_t uid, struct sv text, const struct sv *rcpts, size_t n)
{
	const char *dir = arena_fmt(about->arena, SV_FMT "/input", SV_ARG(d->spool));
	struct stat st;
	char id[SPOOL_ID_SIZE];

	if (uid != 0 && uid != d->conf->g.exim_uid && stat(dir, &st) == 0 && (int64_t)st.st_uid != uid && (st.st_mode & 02) == 0) {
		spool_id_new(id);
		testing_log("Failed to create spool file " SV_FMT "//input//%s-D: Permission denied", SV_ARG(d->spool), id);
		return (1);
	}
	return (dreceive_own(d, about, duser_name(about->arena, uid), uid, text, rcpts, n, true, false));
}

/* ---- standard input ---- */

static int64_t
main_number(struct deliver *d, enum exim_main_opt o)
{
	const struct exim_value *v = &d->conf->main[o];
	struct err err = ERR_INIT;
	int64_t n = v->num;

	if (v->str != NULL && exim_expand_int(v->str, &d->t->env, &n, &err) != EXIM_OK)
		n = 0;
	return (n);
}

static volatile sig_atomic_t time_is_over;

static void
on_alarm(int sig)
{
	(void)sig;
	time_is_over = 1;
}

/* False: it did not end within receive_timeout. */
static bool
read_input(const struct deliver *d, const struct options *o, struct sb *text)
{
	const struct sigaction ring = { .sa_handler = on_alarm };
	int64_t most = exim_main_int(d->conf, EXIM_MAIN_receive_timeout);
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (most > 0) {
		(void)sigaction(SIGALRM, &ring, NULL);
		(void)alarm(most > UINT32_MAX ? UINT32_MAX : (unsigned)most);
	}
	while (time_is_over == 0 && (n = getline(&line, &cap, stdin)) > 0) {
		struct sv v = sv_from(line, (size_t)n);

		if (v.p[v.len - 1] == '\n')
			v.len--;
		if (v.len > 0 && v.p[v.len - 1] == '\r')
			v.len--;
		if (o->dots && v.len == 1 && v.p[0] == '.')
			break;
		sb_add(text, v);
		sb_addc(text, '\n');
	}
	free(line);
	if (most > 0)
		(void)alarm(0);
	return (time_is_over == 0);
}

static void
add_rcpt(struct dmsg *m, struct sv addr)
{
	struct drcpt r = { .addr = addr, .parent = -1 };

	for (size_t i = 0; i < m->rcpts.len; i++)
		if (sv_eq(m->rcpts.p[i].addr, addr))
			return;
	vec_push(&m->rcpts, r);
}

struct sv
daddress_text(struct arena *a, const struct mail_address *x)
{
	struct sb one = SB_INIT(4096);
	struct sv r;

	mail_address_put(&one, x);
	r = arena_sv(a, sb_sv(&one));
	sb_free(&one);
	return (r);
}

/* To, Cc, Bcc; of a message that is sent again its Resent- fields. */
static bool
names_recipients(const struct dfield *f, bool resent)
{
	struct sv name = field_name(f->text);

	if (!resent)
		return (strchr("TCB", f->type) != NULL);
	return (sv_caseeqs(name, "resent-to") || sv_caseeqs(name, "resent-cc") || sv_caseeqs(name, "resent-bcc"));
}

/* -t: recipients of the fields; Bcc goes; those that the arguments name are left out. */
static void
recipients_from_fields(struct deliver *d, struct dmsg *m)
{
	VEC(struct sv) out = VEC_INIT;
	bool remove = exim_main_bool(d->conf, EXIM_MAIN_extract_addresses_remove_arguments), resent = is_resent(m);

	for (size_t i = 0; i < m->rcpts.len && remove; i++)
		vec_push(&out, dqualify(d, m->arena, m->rcpts.p[i].addr, true));
	if (remove)
		vec_clear(&m->rcpts);
	for (size_t i = 0; i < m->fields.len; i++) {
		struct mail_addrlist l;

		if (!names_recipients(&m->fields.p[i], resent))
			continue;
		mail_addrlist_read(dfield_body(m->fields.p[i].text), m->arena, &l);
		if (l.bad > 0)
			m->bad = sv_cstr(arena_fmt(m->arena, SV_FMT "  " SV_FMT ": missing or malformed local part\n", SV_ARG(m->bad),
			    SV_ARG(sv_trim(dfield_body(m->fields.p[i].text)))));
		for (size_t k = 0; k < l.n; k++) {
			struct sv addr;
			bool left_out = false;

			if (l.v[k].item != MAIL_ITEM_ADDRESS)
				continue;
			addr = dqualify(d, m->arena, daddress_text(m->arena, &l.v[k]), true);
			for (size_t x = 0; x < out.len; x++)
				left_out = left_out || sv_caseeq(out.p[x], addr);
			if (!left_out && addr.len > 0)
				add_rcpt(m, addr);
		}
	}
	drop_fields(m, resent ? "resent-bcc" : "bcc");
	vec_free(&out);
}

/* The next of a list by commas; quotes, comments and angle brackets hold theirs. */
static bool
next_address(struct sv *rest, struct sv *item)
{
	bool quoted = false, angle = false;
	int depth = 0;
	size_t i;

	for (;;) {
		for (i = 0; i < rest->len; i++) {
			char c = rest->p[i];

			if (c == '\\' && i + 1 < rest->len)
				i++;
			else if (c == '"' && depth == 0)
				quoted = !quoted;
			else if (!quoted && c == '(')
				depth++;
			else if (!quoted && c == ')' && depth > 0)
				depth--;
			else if (!quoted && depth == 0 && (c == '<' || c == '>'))
				angle = c == '<';
			else if (!quoted && depth == 0 && !angle && c == ',')
				break;
		}
		if (rest->len == 0)
			return (false);
		*item = sv_trim(sv_sub(*rest, 0, i));
		*rest = sv_sub(*rest, i < rest->len ? i + 1 : i, rest->len);
		if (item->len > 0)
			return (true);
	}
}

static int
arguments(struct deliver *d, struct dmsg *m, struct sv *bad)
{
	const struct options *o = d->t->o;
	struct sv sender = SV_LIT("");
	struct mail_address x;
	struct err err = ERR_INIT;

	if (o->sender != NULL && strcmp(o->sender, "<>") != 0 && *o->sender != '\0') {
		if (mail_address_parse(sv_cstr(o->sender), DADDR_FLAGS, m->arena, &x, &err) == -1) {
			(void)fprintf(stderr, "exim: bad -f address \"%s\": %s\n", o->sender, err.text);
			return (1);
		}
		sender = dqualify(d, m->arena, daddress_text(m->arena, &x), false);
	}
	dsender_set(d, m, sender);
	for (size_t i = 0; i < o->args.len && bad->len == 0; i++) {
		struct sv rest = sv_cstr(o->args.p[i]), item;

		while (bad->len == 0 && next_address(&rest, &item)) {
			struct exim_extracted e;

			if (exim_extract(item, EXIM_EXTRACT_LITERALS, m->arena, &e, &err) == 0)
				add_rcpt(m, e.address);
			else
				*bad = sv_cstr(o->errors == 'p' ? arena_fmt(m->arena, "\"" SV_FMT "\": %s", SV_ARG(item), err.text) :
				    arena_fmt(m->arena, SV_FMT "  %s", SV_ARG(item), err.text));
		}
	}
	return (0);
}

/* -oMa and its kin: whom the message came from, as trusted callers may say. */
static void
take_facts(struct deliver *d, struct dmsg *m)
{
	const struct options *o = d->t->o;
	const struct { const char *text; struct sv *to; } t[] = {
		{ o->host_address, &m->host_addr }, { o->host_name, &m->host_name }, { o->auth_mechanism, &m->host_auth },
		{ o->auth_id, &m->auth_id }, { o->auth_sender, &m->auth_sender }, { o->interface, &m->interface },
		{ o->protocol, &m->protocol }
	};
	struct net_addr a;
	char buf[NET_ADDR_TEXT_MAX];

	if (!dsender_trusted(d))
		return;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (t[i].text != NULL)
			*t[i].to = sv_cstr(arena_str(m->arena, t[i].text));
	if (o->ident != NULL)
		m->ident = sv_cstr(arena_str(m->arena, o->ident));
	/* "192.0.2.1.25": the port may stand behind it. */
	if (m->host_addr.len > 0 && !net_addr_parse(m->host_addr, &a)) {
		ptrdiff_t dot = sv_rchr(m->host_addr, '.');

		if (net_addr_parse_port(m->host_addr, 0, &a)) {
			m->host_port = a.port;
			a.port = 0;
			m->host_addr = sv_cstr(arena_str(m->arena, net_addr_text(&a, buf)));
		} else if (dot > 0)
			(void)num_parse(sv_sub(m->host_addr, (size_t)dot + 1, m->host_addr.len), 0, 65535, &m->host_port);
		if (!net_addr_parse(m->host_addr, &a))
			m->host_addr = dot > 0 ? sv_sub(m->host_addr, 0, (size_t)dot) : SV_NULL;
	}
}

/* queue_only, queue_only_file; -od says otherwise unless queue_only_override is off. */
static void
queue_policy(struct deliver *d)
{
	struct sv list = exim_main_text(d->conf, EXIM_MAIN_queue_only_file), item;
	bool given = d->t->o->odmode != 0, only = exim_main_bool(d->conf, EXIM_MAIN_queue_only), smtp = false, file = false;
	struct arena *a = d->t->facts;
	int sep = 0;

	while (list.len > 0 && exim_list_next(&list, &sep, a, &item)) {
		bool is_smtp = sv_casestarts(item, "smtp");
		struct sv path = is_smtp ? sv_sub(item, 4, item.len) : item;

		if (path.len > 0 && path.p[0] == '/' && access(arena_cstr(a, path), F_OK) == 0) {
			file = file || !is_smtp;
			smtp = smtp || is_smtp;
		}
	}
	/* -od says nothing against the file. */
	if (file || (only && !(given && exim_main_bool(d->conf, EXIM_MAIN_queue_only_override))))
		d->odmode = 'q';
	else if (smtp)
		d->routing_only = true;
}

int
dreceive_stdin(struct deliver *d)
{
	struct dmsg *m = dmsg_new();
	struct sb text = SB_INIT(MESSAGE_MAX);
	struct err err = ERR_INIT;
	struct sv bad = SV_NULL;
	const char *why;
	int rc;

	if (d->t->o->args.len == 0 && !d->t->o->from_header) {
		(void)fprintf(stderr, "Exim is a Mail Transfer Agent. It is normally called by Mail User Agents,\nnot directly from a shell "
		    "command line. Options and/or arguments control\nwhat it does when called. For a list of options, see the Exim documentation.\n");
		dmsg_free(&m);
		return (1);
	}
	queue_policy(d);
	if (!session_has_room(d->conf, &d->t->world, m->arena, 0, &why)) {
		dlog(d, DLOG_MAIN, "%s", why);
		(void)fprintf(stderr, "exim: insufficient disk space\n");
		dmsg_free(&m);
		return (1);
	}
	dmsg_start(m, d->caller, d->caller_uid);
	take_facts(d, m);
	if ((rc = arguments(d, m, &bad)) == 0) {
		int64_t max = main_number(d, EXIM_MAIN_recipients_max);
		struct sv whole;

		if (!read_input(d, d->t->o, &text)) {
			(void)fprintf(stderr, "exim: timed out while reading - message abandoned\n");
			if (dlog_on(d, EXIM_LOGSEL_lost_incoming_connection))
				dlog(d, DLOG_MAIN, "timed out while reading local message");
			sb_free(&text);
			dmsg_free(&m);
			return (1);
		}
		whole = arena_sv(m->arena, sb_sv(&text));
		dmsg_split(m, sv_sub(whole, dsender_from_line(d, m, whole), whole.len));
		if (d->t->o->from_header)
			recipients_from_fields(d, m);
		if (bad.len > 0)
			rc = derror_tell(d, m, DERROR_ADDRESS, bad, false);
		else if (max > 0 && (int64_t)m->rcpts.len > max && !d->t->o->from_header)
			rc = derror_tell(d, m, DERROR_TOO_MANY, SV_LIT("too many recipients"), false);
		else
			rc = dreceive(d, m, true, &err);
	}
	if (rc == -1) {
		testing_log("%s%s", err.text, strncmp(err.text, "Failed to create", 16) == 0 ? "\n" : "");
		rc = 1;
	}
	sb_free(&text);
	dmsg_free(&m);
	return (rc);
}
