/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking a message in: what local submission lacks is added, addresses are qualified and rewritten (deliver_fields.c), the ACL
 * is asked, the message is spooled, logged and delivered (chapters 46 and 47 of Exim's manual).
 */
#include <sys/stat.h>

#include <string.h>

#include "deliver.h"
#include "exim/acl.h"
#include "exim/extract.h"
#include "os/time.h"
#include "os/user.h"

#define SUBJECT_MAX	100

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
put_envelope(const struct dmsg *m, struct sb *out)
{
	sb_addf(out, "\nEnvelope-from: <" SV_FMT ">\nEnvelope-to: ", SV_ARG(m->sender));
	for (size_t i = 0; i < m->rcpts.len && i < 10; i++)
		sb_addf(out, "%s<" SV_FMT ">", i > 0 ? "\n    " : "", SV_ARG(m->rcpts.p[i].addr));
	if (m->rcpts.len > 10)
		sb_adds(out, "\n    ...");
}

static void
put_header(const struct dmsg *m, struct sb *out)
{
	for (size_t i = 0; i < m->fields.len; i++)
		sb_addf(out, "\n%c " SV_FMT, m->fields.p[i].type, (int)m->fields.p[i].text.len - 1, m->fields.p[i].text.p);
}

static void
log_rejection(struct deliver *d, const struct dmsg *m, const char *by, struct sv why)
{
	struct sb more = SB_INIT(DTEXT_MAX);

	dlog(d, DLOG_MAIN, "%s F=<" SV_FMT "> rejected by %s: " SV_FMT, m->id, SV_ARG(m->sender), by, SV_ARG(why));
	put_envelope(m, &more);
	put_header(m, &more);
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

/* acl_not_smtp_start runs before the message is read. */
static void
envelope_only(struct exim_message *msg)
{
	msg->id = msg->body = msg->body_end = msg->received_for = SV_NULL;
	msg->headers = NULL;
	msg->body_size = msg->body_linecount = msg->body_zerocount = msg->linecount = msg->size = 0;
	msg->max_linelength = msg->received_count = 0;
}

/* The ACLs of one message share what they set. */
struct asked {
	struct exim_acl_effects fx;
	struct exim_acl_run run;
};

static void
acl_begin(struct deliver *d, struct dmsg *m, struct asked *as)
{
	static const struct exim_acl_ops ops = { .log = acl_log };
	struct exim_acl_result res;
	struct exim_message whole;

	memset(&as->run, 0, sizeof(as->run));
	memset(&res, 0, sizeof(res));
	exim_acl_effects_init(&as->fx, m->arena);
	as->run.ops = &ops;
	as->run.arg = d;
	as->run.fx = &as->fx;
	as->run.where = EXIM_WHERE_NOTSMTP_START;
	d->t->msg.recipients_shown = true;
	whole = d->t->msg;
	envelope_only(&d->t->msg);
	/* What this one says counts for nothing: it is there for its effects.  The message has no name yet. */
	(void)exim_acl_check(&d->t->env, &as->run, &res);
	d->t->msg = whole;
	keep_vars(d, m);
	m->no_fixups = d->t->o->no_fixups || as->fx.ctl[EXIM_CTL_SUPPRESS_LOCAL_FIXUPS] != 0;
}

static void
acl_end(struct asked *as)
{
	exim_acl_run_fini(&as->run);
	exim_acl_effects_free(&as->fx);
}

/* A refusal is told in the logs; *<why> has the words. */
static enum acl_says
ask_acl(struct deliver *d, struct dmsg *m, struct asked *as, struct sv *why, const char **by)
{
	struct exim_acl_effects *fx = &as->fx;
	struct exim_acl_run *run = &as->run;
	struct exim_acl_result res;
	enum acl_says verdict = ACL_TAKEN;
	enum exim_acl_verdict a;

	d->t->msg.recipients_shown = true;
	d->about = m->id;
	/* $message_size is of what came, without what was put in front of it. */
	if (m->fields.len > 0 && m->fields.p[0].type == 'P')
		d->t->msg.size -= (int64_t)m->fields.p[0].text.len;
	memset(&res, 0, sizeof(res));
	a = dmime_ask(d, m, run, &res);
	if (a == EXIM_ACL_ACCEPT) {
		run->where = EXIM_WHERE_NOTSMTP;
		memset(&res, 0, sizeof(res));
		a = exim_acl_check(&d->t->env, run, &res);
	}
	if (!res.unset && a != EXIM_ACL_ACCEPT)
		verdict = a == EXIM_ACL_DISCARD ? ACL_DISCARDED : ACL_REFUSED;
	*by = run->where == EXIM_WHERE_NOTSMTP ? "non-SMTP ACL" : "MIME ACL";
	if (verdict != ACL_TAKEN) {
		*why = arena_sv(m->arena, res.log_msg.len > 0 ? res.log_msg : res.user_msg);
		if (verdict == ACL_REFUSED) {
			log_rejection(d, m, *by, why->len > 0 ? *why : SV_LIT("NULL"));
			*why = res.user_msg.len > 0 ? arena_sv(m->arena, res.user_msg) : SV_LIT("local configuration problem");
		}
	}
	for (size_t i = 0; i < fx->remove.len; i++)
		dfield_drop(m, arena_cstr(m->arena, fx->remove.p[i]));
	for (size_t i = 0; i < fx->headers.len; i++) {
		struct dfield f = { .type = ' ', .text = arena_sv(m->arena, fx->headers.p[i].text) };

		f.type = dfield_type(dfield_name(f.text));
		vec_push(&m->fields, f);
	}
	if (fx->ctl[EXIM_CTL_FREEZE]) {
		m->frozen = true;
		m->frozen_at = dnow();
	}
	m->queue_only = fx->ctl[EXIM_CTL_QUEUE_ONLY] != 0 || fx->ctl[EXIM_CTL_QUEUE] != 0;
	if (fx->queue_name.p != NULL)
		m->queue = arena_sv(m->arena, fx->queue_name);
	keep_vars(d, m);
	return (verdict);
}

/* ---- the log line ---- */

/* Its first 100 characters, decoded; nothing of it may look like another line of the log. */
static void
put_subject(struct deliver *d, struct sb *out)
{
	struct err err = ERR_INIT;
	struct sv v;

	if (d->t->msg.headers == NULL || mail_headers_get(d->t->msg.headers, "Subject").p == NULL ||
	    exim_expand_text(SV_LIT("$h_subject:"), &d->t->env, &v, &err) != EXIM_OK)
		return;
	sb_adds(out, " T=\"");
	for (size_t i = 0; i < v.len && i < SUBJECT_MAX; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c == '"' || c == '\\')
			sb_addf(out, "\\%c", c);
		else if (c == '\n')
			sb_adds(out, "\\n");
		else
			sb_addf(out, (c < ' ' && c != '\t') || c >= 127 ? "\\%03o" : "%c", c);
	}
	sb_addc(out, '"');
}

static void
log_arrival(struct deliver *d, struct dmsg *m, bool had_id)
{
	struct sb out = SB_INIT(256 * 1024);
	const struct dfield *id = dfield_find(m, "message-id");

	sb_addf(&out, "%s <= ", m->id);
	if (m->sender.len == 0)
		sb_adds(&out, "<>");
	else
		sb_add(&out, m->sender);
	if (m->ref.len > 0)
		sb_addf(&out, " R=" SV_FMT, SV_ARG(m->ref));
	if (m->host_addr.len > 0)
		sb_addf(&out, " H=" SV_FMT "%s[" SV_FMT "]", SV_ARG(m->host_name), m->host_name.len > 0 ? " " : "",
		    SV_ARG(m->host_addr));
	if (m->ident.len > 0)
		sb_addf(&out, " U=" SV_FMT, SV_ARG(m->ident));
	sb_addf(&out, " P=" SV_FMT, SV_ARG(m->protocol));
	if (m->host_auth.len > 0)
		sb_addf(&out, " A=" SV_FMT "%s" SV_FMT, SV_ARG(m->host_auth), m->auth_id.len > 0 ? ":" : "", SV_ARG(m->auth_id));
	sb_addf(&out, " S=%lld", (long long)d->t->msg.size);
	if (m->queue.len > 0)
		sb_addf(&out, " Q=" SV_FMT, SV_ARG(m->queue));
	if (dlog_on(d, EXIM_LOGSEL_8bitmime))
		sb_adds(&out, " M8S=0");
	if (dlog_on(d, EXIM_LOGSEL_receive_time)) {
		sb_adds(&out, " RT=");
		dlog_time(d, &out, m->complete_us - m->received_us);
	}
	/* One that was made here only where that is asked for, too. */
	if (id != NULL && dlog_on(d, EXIM_LOGSEL_msg_id) && (had_id || dlog_on(d, EXIM_LOGSEL_msg_id_created))) {
		struct exim_extracted x;
		struct err err = ERR_INIT;

		/* As an address is read: comments are no part of it, and what is none is not named. */
		if (exim_extract(dfield_body(id->text), EXIM_EXTRACT_LITERALS, m->arena, &x, &err) == 0)
			sb_addf(&out, " id%s=" SV_FMT, had_id ? "" : "*", SV_ARG(x.address));
	}
	if (dlog_on(d, EXIM_LOGSEL_subject))
		put_subject(d, &out);
	if (dlog_on(d, EXIM_LOGSEL_received_sender))
		sb_addf(&out, " from <" SV_FMT ">", SV_ARG(m->sender));
	if (dlog_on(d, EXIM_LOGSEL_received_recipients)) {
		sb_adds(&out, " for");
		for (size_t i = 0; i < m->rcpts.len; i++)
			sb_addf(&out, " " SV_FMT, SV_ARG(m->rcpts.p[i].given.len > 0 ? m->rcpts.p[i].given : m->rcpts.p[i].addr));
	}
	dlog(d, DLOG_MAIN, SV_FMT, SV_ARG(sb_sv(&out)));
	dmsglog(d, m, "Received from " SV_FMT, SV_ARG(sv_sub(sb_sv(&out), strlen(m->id) + 4, out.len)));
	sb_free(&out);
}

/* ---- the whole ---- */

/* Fields from <k> on go. */
static void
cut_fields(struct dmsg *m, size_t k)
{
	while (m->fields.len > k)
		vec_remove(&m->fields, m->fields.len - 1);
}

/* header_maxsize, header_line_maxsize: true, and *<rc>, where one is passed.  Such a message has no name yet. */
static bool
header_too_long(struct deliver *d, struct dmsg *m, int *rc)
{
	int64_t most = exim_main_int(d->conf, EXIM_MAIN_header_maxsize), line = exim_main_int(d->conf, EXIM_MAIN_header_line_maxsize);
	int64_t size = 0, before = 0;
	size_t k = 0;

	for (; k < m->fields.len; k++) {
		size_t n = m->fields.p[k].text.len;

		before = size;
		size += (int64_t)n;
		if ((most > 0 && size > most) || (line > 0 && (int64_t)n > line))
			break;
	}
	if (k == m->fields.len)
		return (false);
	cut_fields(m, k + 1);
	m->body = SV_LIT("");
	if (most > 0 && size > most) {
		dlog(d, DLOG_MAIN, "ridiculously long message header received from " SV_FMT " (more than %lld characters): message abandoned",
		    SV_ARG(m->ident), (long long)most);
		m->fields.p[k].text = sv_cstr(arena_fmt(m->arena, SV_FMT "\n",
		    SV_ARG(sv_sub(m->fields.p[k].text, 0, (size_t)(most - before)))));
		*rc = derror_tell(d, m, DERROR_LONG_HEADER, sv_cstr(arena_fmt(m->arena, "%lld", (long long)most)), false);
		return (true);
	}
	dlog(d, DLOG_MAIN, "overlong message header line received from " SV_FMT " (more than %lld characters): message abandoned",
	    SV_ARG(m->ident), (long long)line);
	*rc = derror_tell(d, m, DERROR_LONG_FIELD, sv_cstr(arena_fmt(m->arena, "%lld", (long long)line)), false);
	return (true);
}

/*
 * message_size_limit.  Reading ends where it is passed: behind the field that does so, which counts as body then, or with the
 * first byte of the body that is too much.  0: it is not; else *<read> bytes were read.
 */
static int64_t
too_big(struct deliver *d, struct dmsg *m, int64_t *read)
{
	const struct exim_value *v = &d->conf->main[EXIM_MAIN_message_size_limit];
	struct err err = ERR_INIT;
	int64_t limit = 0, size = 0;

	if (v->str == NULL || exim_expand_int(v->str, &d->t->env, &limit, &err) != EXIM_OK || limit <= 0)
		return (0);
	for (size_t i = 0; i < m->fields.len; i++) {
		size += (int64_t)m->fields.p[i].text.len;
		if (size > limit) {
			*read = size + 1;
			m->body = m->fields.p[i].text;
			cut_fields(m, i);
			return (limit);
		}
	}
	*read = limit + 1;
	return (size + (int64_t)m->body.len > limit ? limit : 0);
}

static int
tell_too_big(struct deliver *d, struct dmsg *m, int64_t read, int64_t limit)
{
	struct sb more = SB_INIT(DTEXT_MAX);
	const char *line = arena_fmt(m->arena, "%s rejected from <" SV_FMT ">%s" SV_FMT ": message too big: read=%lld max=%lld", m->id,
	    SV_ARG(m->sender), m->ident.len > 0 ? " U=" : "", SV_ARG(m->ident), (long long)read, (long long)limit);

	dlog(d, DLOG_MAIN, "%s", line);
	/* Who gets one of our own stands in its header. */
	if (m->ref.len == 0 || dfield_find(m, "to") != NULL)
		put_envelope(m, &more);
	put_header(m, &more);
	if (!dlog_on(d, EXIM_LOGSEL_rejected_header))
		sb_clear(&more);
	dlog(d, DLOG_REJECT, "%s" SV_FMT, line, SV_ARG(sb_sv(&more)));
	sb_free(&more);
	if ((int64_t)m->body.len > limit)
		m->body.len = (size_t)limit;
	return (derror_tell(d, m, DERROR_TOO_BIG, sv_cstr(arena_fmt(m->arena, "message too big (limit set to %lld)", (long long)limit)),
	    false));
}

/* queue_only_load: the message waits for a run of the queue. */
static bool
load_queues(struct deliver *d, const struct dmsg *m)
{
	const struct exim_value *limit = &d->conf->main[EXIM_MAIN_queue_only_load];
	const struct exim_world *w = &d->t->world;
	int64_t load;

	if (!limit->set || limit->num < 0 || w->loadavg == NULL || (load = w->loadavg(w->arg)) <= limit->num)
		return (false);
	if (dlog_on(d, EXIM_LOGSEL_delay_delivery))
		dlog(d, DLOG_MAIN, "%s no immediate delivery: load average %.2f", m->id, (double)load / 1000);
	return (true);
}

/* It is taken: to its delivery, or to where it waits. */
static void
send_on(struct deliver *d, const struct dmsg *m)
{
	if (m->frozen)
		dlog(d, DLOG_MAIN, "%s frozen by ACL", m->id);
	else if (m->queue_only)
		dlog(d, DLOG_MAIN, "%s no immediate delivery: queued%s" SV_FMT " by ACL", m->id, m->queue.len > 0 ? " in " : "",
		    SV_ARG(m->queue));
	else if (d->odmode != 'q' && !load_queues(d, m))
		ddeliver_later(d, m);
}

int
dreceive(struct deliver *d, struct dmsg *m, bool fixups, struct err *err)
{
	bool had_id = dfield_find(m, "message-id") != NULL;
	struct sv why = SV_NULL;
	const char *by = "";
	int64_t read = 0, limit = 0;
	enum acl_says says;
	struct asked as;
	int rc;

	for (size_t i = 0; i < m->rcpts.len; i++) {
		m->rcpts.p[i].given = m->rcpts.p[i].addr;
		m->rcpts.p[i].addr = dqualify(d, m->arena, m->rcpts.p[i].addr, true);
	}
	m->sender = dqualify(d, m->arena, m->sender, false);
	m->arriving = true;
	denv_message(d, m);
	dfields_rewrite_envelope(d, m);
	if (fixups && header_too_long(d, m, &rc))
		return (rc);
	if (fixups) {
		limit = too_big(d, m, &read);
		acl_begin(d, m, &as);
		dfields_fix(d, m);
	}
	if (limit > 0) {
		acl_end(&as);
		return (tell_too_big(d, m, read, limit));
	}
	if (m->bad.len > 0 || m->rcpts.len == 0) {
		const char *what = m->bad.len > 0 ? "bad addresses found in headers" : "no recipients found in headers";

		dlog(d, DLOG_MAIN | DLOG_PANIC, "%s %s %s", m->id, m->id, what);
		rc = derror_tell(d, m, m->bad.len > 0 ? DERROR_FIELDS : DERROR_NOBODY, m->bad, m->rcpts.len > 0);
		if (m->rcpts.len == 0) {
			if (fixups)
				acl_end(&as);
			return (rc);
		}
		denv_message(d, m);
	}
	dfields_rewrite(d, m);
	denv_message(d, m);
	if (fixups && dfields_received(d, m, err) == -1) {
		acl_end(&as);
		return (-1);
	}
	m->arriving = false;
	denv_index(m);
	denv_message(d, m);
	says = fixups ? ask_acl(d, m, &as, &why, &by) : ACL_TAKEN;
	if (fixups)
		acl_end(&as);
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
		dlog(d, DLOG_MAIN, "%s => blackhole (%s discarded recipients)%s" SV_FMT, m->id, by,
		    why.len > 0 ? ": " : "", SV_ARG(why));
		dlog(d, DLOG_MAIN, "%s Completed", m->id);
		dmsglog_remove(d, m);
		return (1);
	}
	send_on(d, m);
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
	struct sb lf = SB_INIT(DTEXT_MAX);
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
		dlog(d, DLOG_MAIN, "%s%sChild mail process returned status 1", about == NULL ? "" : about->id,
		    about == NULL ? "" : " ");
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
