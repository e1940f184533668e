/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reports to senders: bounces, delay warnings, successes that were asked for.  A report
 * is a message of its own with a null sender, made in queue/ with the id of what it is
 * about, so that a crash between making it and noting that makes no second one.
 *
 * Order: the report is durable; what it is about is noted durably; it is let go.
 */
#include <assert.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deliver/dsn.h"
#include "mail/date.h"
#include "mail/msgid.h"
#include "os/file.h"
#include "vqueued_int.h"

#define REPORT_MAX	(64 * 1024 * 1024)
#define NOTE_MAX	(1024 * 1024)	/* of one without an original */
#define TEXTS_MAX	(1024 * 1024)
#define COPIES_MAX	20
#define REPORT_RCPTS	2000		/* of one report: what it is about must fit into SPOOL_STR_MAX */
#define SYNC_TRIES	12
#define SYNC_PAUSE_MS	5000
#define FROZEN_RETRY_S	(365 * 86400)

/* Asked for once: whom we run as does not change. */
static struct sv
caller_name(struct arena *a)
{
	static char *name;
	struct passwd *pw;

	if (name == NULL)
		name = xstrdup((pw = getpwuid(geteuid())) == NULL ? arena_fmt(a, "%ld", (long)geteuid()) : pw->pw_name);
	return (sv_cstr(name));
}

static void
fill_dsn(struct dsn *n, struct msg *m, struct sv to)
{
	const struct exim_conf *c = m->vq->conf;
	int64_t line = exim_main_int(c, EXIM_MAIN_bounce_return_linesize_limit);
	bool body = exim_main_bool(c, EXIM_MAIN_bounce_return_body);

	*n = (struct dsn){ .hostname = m->vq->g.primary_hostname, .domain = m->vq->g.qualify_domain, .to = to, .sender = m->env.sender,
	    .envid = m->env.envid, .original_id = sv_from(m->env.id, SPOOL_ID_LEN), .arrival = m->env.received_ms / 1000,
	    .now = now_s(), .bare = !exim_main_bool(c, EXIM_MAIN_bounce_return_message), .full = body && m->env.ret != SPOOL_RET_HDRS,
	    .limit = (uint64_t)exim_main_int(c, EXIM_MAIN_bounce_return_size_limit), .off = m->off, .len = m->len,
	    .header_len = m->env.header_size, .utf8 = (m->env.flags & SPOOL_SMTPUTF8) != 0 };
	/* RET= of the sender counts more than the administrator's limit. */
	if (m->env.ret != SPOOL_RET_NONE)
		n->full = m->env.ret == SPOOL_RET_FULL;
	else if (n->full && line > 0 && m->env.longest_line > line) {
		n->full = false;
		n->limited = true;
	}
	if (n->domain.len == 0)
		n->domain = n->hostname;
	if (n->header_len > n->len)
		n->header_len = n->len;
}

/* ---- the administrator's words ---- */

/* An environment about the message, which is made when the first text really needs it. */
struct words {
	struct vq_env	 e;
	struct msg	*m;
	struct arena	*arena;		/* of the report */
	const struct dsn *n;
	bool		 warning, open;
};

static struct exim_env *
words_env(struct words *w)
{
	struct vq_env *e = &w->e;

	if (w->open)
		return (&e->env);
	w->open = true;
	env_open(e, w->m->vq, w->m);
	(void)env_headers(e, w->m);
	if (w->warning) {
		e->addr.warn_delay = sv_cstr(w->n->delay);
		e->addr.warn_recipients = w->m->env.sender;
	} else
		e->addr.bounce_recipient = w->n->to;
	return (&e->env);
}

static void
words_close(struct words *w)
{
	if (w->open)
		env_close(&w->e);
	arena_free(&w->e.arena);
}

static struct sv
words(struct words *w, enum exim_main_opt o)
{
	const struct exim_value *v = &w->m->vq->conf->main[o];
	struct err err = ERR_INIT;
	struct sv text = v->text;

	if (v->str != NULL && exim_expand(v->str, words_env(w), &text, &err) != EXIM_OK) {
		log_err(NULL, "report", &err);
		return (SV_NULL);
	}
	return (text.len == 0 ? SV_NULL : arena_sv(w->arena, text));
}

/* The next piece of a file of texts, up to a line "****"; p NULL: there is none, or nothing but that line. */
static struct sv
next_piece(struct words *w, bool plain, struct sv *rest)
{
	struct sb out = SB_INIT(TEXTS_MAX);
	struct err err = ERR_INIT;
	struct sv line, v, r;

	if (rest->len == 0)
		return (SV_NULL);
	while (sv_next(rest, '\n', &line) && !sv_eqs(line, "****")) {
		if (plain)
			sb_add(&out, line);
		else if (exim_expand_text(line, words_env(w), &v, &err) == EXIM_OK)
			sb_add(&out, v);
		sb_addc(&out, '\n');
	}
	r = out.len == 0 ? SV_LIT("") : arena_sv(w->arena, sb_sv(&out));
	sb_free(&out);
	return (r);
}

/* bounce_message_file, warn_message_file: header lines, what stands before the addresses, what stands behind them. */
static void
own_texts(struct words *w, enum exim_main_opt o, struct dsn *n)
{
	struct sv path = words(w, o), rest;
	const struct kept_file *f = NULL;
	struct err err = ERR_INIT;

	if (path.len > 0 && (f = kept_open(w->m->vq, arena_cstr(w->arena, path), TEXTS_MAX, 0, &err)) == NULL)
		vlog(w->m->vq, "Failed to open " SV_FMT " for error message texts: %s", SV_ARG(path), err.text);
	if (f == NULL)
		return;
	rest = f->text;
	n->fields = next_piece(w, f->plain, &rest);
	n->opening = next_piece(w, f->plain, &rest);
	if (o == EXIM_MAIN_warn_message_file)
		n->closing = next_piece(w, f->plain, &rest);
	kept_close(&f);
}

static void
fill_words(struct msg *m, struct arena *a, struct dsn *n, bool warning)
{
	struct words w = { .m = m, .arena = a, .n = n, .warning = warning };

	if (!warning)
		n->notice = words(&w, EXIM_MAIN_bounce_message_text);
	n->from = words(&w, EXIM_MAIN_dsn_from);
	n->reply_to = words(&w, EXIM_MAIN_errors_reply_to);
	own_texts(&w, warning ? EXIM_MAIN_warn_message_file : EXIM_MAIN_bounce_message_file, n);
	words_close(&w);
}

/* Who else sees reports to <to>; p NULL: nobody. */
static struct sv
copies_to(struct msg *m, struct arena *a, struct sv to)
{
	struct vq_env e = { .arena = NULL };
	struct sv out;

	if (exim_main_text(m->vq->conf, EXIM_MAIN_errors_copy).len == 0)
		return (SV_NULL);
	env_open(&e, m->vq, m);
	out = dsn_copies(m->vq->conf, &e.env, a, to);
	env_close(&e);
	arena_free(&e.arena);
	return (out);
}

/* Who gets the report: <to>, and those addresses that errors_copy names (comma-separated). */
static void
fill_rcpts(struct spool_envelope *env, struct msg *m, struct arena *a, struct sv to)
{
	struct sv copy = m == NULL ? SV_NULL : copies_to(m, a, to), one;

	env->rcpts = arena_zalloc(a, (COPIES_MAX + 1) * sizeof(*env->rcpts));
	env->rcpts[env->nrcpts++] = (struct spool_rcpt){ .addr = to, .orcpt = SV_LIT("") };
	while (env->nrcpts <= COPIES_MAX && sv_next(&copy, ',', &one))
		if ((one = sv_trim(one)).len > 0 && sv_chr(one, '@') > 0)
			env->rcpts[env->nrcpts++] = (struct spool_rcpt){ .addr = one, .orcpt = SV_LIT("") };
}

/* Make the report <n> about <m> durable; the entry is not started.  NULL: *<err>. */
static struct qent *
make(struct msg *m, struct dsn *n, struct sv about, struct err *err)
{
	struct vq *vq = m->vq;
	struct spool_qfile *q = spool_qfile_new();
	struct sb text = SB_INIT(REPORT_MAX);
	struct iovec iov;
	struct spool_content c = { .iov = &iov, .niov = 1, .fd = -1 };
	struct qent *e = NULL;

	spool_envelope_init(&q->env);
	q->env.queue = m->env.queue;
	n->id = q->env.id;
	n->fd = msg_fd(m, err);
	q->env.flags = SPOOL_BOUNCE | SPOOL_LOCAL | (n->utf8 ? SPOOL_SMTPUTF8 | SPOOL_8BITMIME : 0U);
	fill_rcpts(&q->env, n->nrcpts > 0 && n->rcpts[0].action == DSN_FAILED ? m : NULL, q->arena, n->to);
	q->env.auth_sender = exim_main_text(vq->conf, EXIM_MAIN_bounce_sender_authentication);
	if (q->env.auth_sender.p == NULL)
		q->env.auth_sender = SV_LIT("");
	fill_words(m, q->arena, n, n->nrcpts > 0 && n->rcpts[0].action == DSN_DELAYED);
	q->env.protocol = SV_LIT("local");
	q->env.ident = caller_name(q->arena);
	q->env.parent = sv_from(m->env.id, SPOOL_ID_LEN);
	q->env.parent_rcpts = about;
	q->env.message_id = sv_cstr(arena_fmt(q->arena, "E%s@" SV_FMT, q->env.id, SV_ARG(n->hostname)));
	if (n->fd != -1 && dsn_build(&text, n, &q->env.header_size, err) == 0) {
		iov = (struct iovec){ text.p, text.len };
		q->env.size = text.len;
		if (queue_inject(vq, q, &c, false, err) == 0) {
			e = queue_find(vq, sv_cstr(q->env.id));
			log_injected(vq, &q->env);
			vq->n_bounced++;
		}
	}
	sb_free(&text);
	spool_qfile_free(&q);
	return (e);
}

/* ---- failures ---- */

static void
fill_failure(struct dsn_rcpt *r, const struct msg *m, const struct failure *f)
{
	const struct spool_rcpt *sr = &m->env.rcpts[f->rcpt];

	memset(r, 0, sizeof(*r));
	r->action = DSN_FAILED;
	r->addr = sr->addr;
	r->final = f->address;
	r->hidden = f->hidden && !sv_eq(f->address, sr->addr);
	r->orcpt = sr->orcpt;
	memcpy(r->status, f->status, sizeof(r->status));
	r->remote_mta = f->remote_mta;
	r->diagnostic = f->diagnostic;
	r->text = f->text;
	r->last_attempt = now_s();
}

/* The failure is told, or need not be: write that down. */
static void
failure_done(struct msg *m, struct failure *f)
{
	struct rcpt *r = &m->rcpts[f->rcpt];

	f->reported = true;
	r->failures--;
	(void)childset_add(&m->settled, f->child, NULL);
	/* Others of the recipient may still have to be told, or tried. */
	if (r->deferred || r->failures > 0) {
		record_add(m, f->rcpt, f->child, SPOOL_ST_BOUNCED);
	} else if (r->state == SPOOL_ST_OPEN) {
		msg_settle(m, f->rcpt, SPOOL_ST_BOUNCED);
		record_add(m, f->rcpt, 0, SPOOL_ST_BOUNCED);
	}
}

static bool
wanted(const struct msg *m, const struct failure *f)
{
	unsigned notify = m->env.rcpts[f->rcpt].notify;

	return (f->to.len > 0 && !f->quiet && (m->env.flags & SPOOL_NO_DSN) == 0 &&
	    (notify == 0 || (notify & SPOOL_NOTIFY_FAILURE) != 0));
}

/*
 * A report that cannot be delivered is never reported: it is frozen for the postmaster to see, until
 * ignore_bounce_errors_after has passed.
 */
static void
bounce_failed(struct msg *m, struct failure *f)
{
	int64_t ignore = exim_main_int(m->vq->conf, EXIM_MAIN_ignore_bounce_errors_after);
	struct err err = ERR_INIT;

	if (m->giveup || now_s() >= m->env.received_ms / 1000 + ignore) {
		vlog(m->vq, "%s " SV_FMT ": error ignored", m->env.id, SV_ARG(f->address));
		failure_done(m, f);
		return;
	}
	m->freeze = true;
	f->reported = true;
	m->rcpts[f->rcpt].failed = false;
	err_set(&err, ERR_TEMP, NULL, SV_FMT, SV_ARG(f->text));
	note_deferral(m, f->rcpt, &err, now_s() + FROZEN_RETRY_S);
}

/* Failures that go to the same address, as many as one report takes; in the order in which they happened. */
static struct failure **
pick_group(struct msg *m, struct sv to, struct arena *a, size_t *n)
{
	struct failure **v;
	size_t count = 0, k = 0;

	for (struct failure *f = m->failures; f != NULL; f = f->next)
		count += !f->reported && sv_eq(f->to, to) && wanted(m, f);
	if (count > REPORT_RCPTS)
		count = REPORT_RCPTS;
	v = arena_zalloc(a, (count + 1) * sizeof(struct failure *));
	/* The list has the last failure first. */
	for (struct failure *f = m->failures; f != NULL && k < count; f = f->next)
		if (!f->reported && sv_eq(f->to, to) && wanted(m, f))
			v[count - ++k] = f;
	*n = count;
	return (v);
}

/* The note must be on disk before the report can be gone; a disk that fails for long must not hold it up for ever. */
static void
sync_note(struct msg *m)
{
	struct err err = ERR_INIT;

	for (int i = 0; i < SYNC_TRIES && record_sync(m, &err) == -1; i++) {
		log_err(NULL, "report", &err);
		err_clear(&err);
		if (fiber_sleep(SYNC_PAUSE_MS) == FIBER_CANCELLED)
			break;
	}
}

static int
report_group(struct msg *m, struct sv to, struct err *err)
{
	struct arena *a = arena_new(0);
	struct sb about = SB_INIT(SPOOL_STR_MAX);
	struct dsn_rcpt *v;
	struct failure **group;
	struct qent *e;
	struct dsn n;
	size_t count;

	sb_addf(&about, "origin/%llu ", (unsigned long long)m->origin);
	group = pick_group(m, to, a, &count);
	v = arena_zalloc(a, count * sizeof(*v));
	for (size_t i = 0; i < count; i++) {
		const struct failure *f = group[i];
		const struct rcpt *r = &m->rcpts[f->rcpt];

		fill_failure(&v[i], m, f);
		if (r->deferred || r->failures > 1)
			sb_addf(&about, "%u/%llu ", f->rcpt, (unsigned long long)f->child);
		else
			sb_addf(&about, "%u ", f->rcpt);
	}
	assert(!about.overflow);
	fill_dsn(&n, m, to);
	n.rcpts = v;
	n.nrcpts = count;
	e = make(m, &n, sb_sv(&about), err);
	for (size_t i = 0; i < count && e != NULL; i++)
		failure_done(m, group[i]);
	sb_free(&about);
	arena_free(&a);
	if (e == NULL)
		return (-1);
	record_write(m, SPOOL_ST_BOUNCED);
	sync_note(m);
	queue_let_go(m->vq, e);
	return (0);
}

int
report_failures(struct msg *m, struct err *err)
{
	for (struct failure *f = m->failures; f != NULL; f = f->next) {
		if (f->reported)
			continue;
		if (f->to.len == 0)
			bounce_failed(m, f);
		else if (!wanted(m, f))
			failure_done(m, f);
		else if (report_group(m, f->to, err) == -1)
			return (-1);
	}
	record_write(m, SPOOL_ST_BOUNCED);
	return (0);
}

/* ---- successes ---- */

void
report_successes(struct msg *m)
{
	struct arena *a = arena_new(0);
	struct dsn_rcpt *v;
	struct qent *e;
	struct dsn n;
	struct err err = ERR_INIT;
	size_t count = 0;

	for (struct success *s = m->successes; s != NULL; s = s->next)
		count++;
	v = arena_zalloc(a, count * sizeof(*v));
	fill_dsn(&n, m, m->env.sender);
	n.full = false;
	n.rcpts = v;
	for (struct success *s = m->successes; s != NULL; s = s->next) {
		struct dsn_rcpt *r = &v[n.nrcpts++];

		r->action = s->relayed ? DSN_RELAYED : DSN_DELIVERED;
		r->addr = m->env.rcpts[s->rcpt].addr;
		r->final = s->address;
		r->orcpt = m->env.rcpts[s->rcpt].orcpt;
		r->last_attempt = n.now;
		memcpy(r->status, "2.0.0", sizeof("2.0.0"));
		r->text = s->relayed ? SV_LIT("relayed to a host that makes no delivery reports") : SV_LIT("delivered");
	}
	e = make(m, &n, SV_LIT(""), &err);
	if (e != NULL)
		queue_let_go(m->vq, e);
	else
		log_err(NULL, "report", &err);
	m->successes = NULL;
	arena_free(&a);
}

/* ---- frozen messages ---- */

void
report_mail(struct msg *m, struct sv to, struct sv subject, struct sv body)
{
	struct vq *vq = m->vq;
	struct spool_qfile *q = spool_qfile_new();
	struct sb text = SB_INIT(3 * NOTE_MAX);
	struct iovec iov;
	struct spool_content c = { .iov = &iov, .niov = 1, .fd = -1 };
	struct dsn n = { .to = to };
	struct words w = { .m = m, .arena = q->arena, .n = &n };
	struct err err = ERR_INIT;
	struct sv line, from = words(&w, EXIM_MAIN_dsn_from);
	struct qent *e;
	char date[MAIL_DATE_MAX];

	spool_envelope_init(&q->env);
	q->env.queue = m->env.queue;
	q->env.flags = SPOOL_BOUNCE | SPOOL_LOCAL;
	fill_rcpts(&q->env, NULL, q->arena, to);
	q->env.protocol = SV_LIT("local");
	q->env.ident = caller_name(q->arena);
	if (from.len == 0)
		from = sv_cstr(arena_fmt(q->arena, "Mail Delivery System <Mailer-Daemon@" SV_FMT ">", SV_ARG(vq->g.qualify_domain)));
	sb_addf(&text, "Date: %s\r\nFrom: " SV_FMT "\r\nTo: " SV_FMT "\r\nSubject: " SV_FMT "\r\n"
	    "Message-Id: <E%s@" SV_FMT ">\r\nAuto-Submitted: auto-replied\r\n", mail_date_format_local(date, now_s()),
	    SV_ARG(from), SV_ARG(to), SV_ARG(subject), q->env.id, SV_ARG(vq->g.primary_hostname));
	if (words_env(&w)->msg->headers != NULL)
		mail_references(&text, w.e.msg.headers, "\r\n");
	words_close(&w);
	sb_adds(&text, "\r\n");
	q->env.header_size = text.len;
	while (text.len < NOTE_MAX && sv_next(&body, '\n', &line))
		sb_addf(&text, SV_FMT "\r\n", SV_ARG(sv_sub(line, 0, NOTE_MAX)));
	if (body.len > 0)
		sb_adds(&text, "(More of it is left out.)\r\n");
	iov = (struct iovec){ text.p, text.len };
	q->env.size = text.len;
	if (queue_inject(vq, q, &c, false, &err) == 0 && (e = queue_find(vq, sv_cstr(q->env.id))) != NULL) {
		log_injected(vq, &q->env);
		queue_let_go(vq, e);
	} else
		log_err(NULL, "report", &err);
	sb_free(&text);
	spool_qfile_free(&q);
}

void
report_frozen(struct msg *m)
{
	struct sv to = exim_main_text(m->vq->conf, EXIM_MAIN_freeze_tell);
	struct sb body = SB_INIT(2 * NOTE_MAX);

	/* What we made ourselves is told of nowhere: that could go round. */
	if (to.len == 0 || (m->env.flags & SPOOL_BOUNCE) != 0)
		return;
	sb_addf(&body, "Message %s has been frozen.\nThe sender is <" SV_FMT ">.\n\n"
	    "The following address(es) have yet to be delivered:\n", m->env.id, SV_ARG(m->env.sender));
	for (uint32_t i = 0; i < m->env.nrcpts; i++)
		if (m->rcpts[i].state == SPOOL_ST_OPEN)
			sb_addf(&body, "  " SV_FMT ": " SV_FMT "\n", SV_ARG(m->env.rcpts[i].addr), SV_ARG(m->rcpts[i].text));
	report_mail(m, to, SV_LIT("Message frozen"), sb_sv(&body));
	sb_free(&body);
}

/* ---- delays ---- */

static bool
delay_condition(struct msg *m)
{
	const struct exim_value *v = &m->vq->conf->main[EXIM_MAIN_delay_warning_condition];
	struct vq_env e = { .arena = NULL };
	struct err err = ERR_INIT;
	bool yes = true;

	if (v->str == NULL)
		return (true);
	env_open(&e, m->vq, m);
	(void)env_headers(&e, m);
	if (exim_expand_bool(v->str, &e.env, false, &yes, &err) != EXIM_OK)
		yes = true;
	env_close(&e);
	arena_free(&e.arena);
	return (yes);
}

void
report_delays(struct msg *m)
{
	const struct exim_value *conf = &m->vq->conf->main[EXIM_MAIN_delay_warning];
	int64_t box = m->vq->box->delay_warning, age = now_s() - m->env.received_ms / 1000;
	int64_t passed = box;
	struct arena *a;
	struct dsn_rcpt *v;
	struct err err = ERR_INIT;
	struct sb log = SB_INIT(256);
	struct qent *e;
	struct dsn n;
	char delay[DSN_DELAY_MAX];
	unsigned due = conf->set ? dsn_warnings_due(conf->nums, conf->n, age, &passed) : box > 0 && age >= box;

	if (due <= m->q->warnings || m->env.sender.len == 0 || (m->env.flags & (SPOOL_BOUNCE | SPOOL_NO_DSN)) != 0 ||
	    m->freeze || !delay_condition(m))
		return;
	a = arena_new(0);
	v = arena_zalloc(a, m->env.nrcpts * sizeof(*v));
	fill_dsn(&n, m, m->env.sender);
	dsn_delay_text(delay, age, passed);
	n.delay = delay;
	n.full = false;
	n.rcpts = v;
	for (uint32_t i = 0; i < m->env.nrcpts; i++) {
		unsigned notify = m->env.rcpts[i].notify;
		struct dsn_rcpt *r = &v[n.nrcpts];

		if (m->rcpts[i].state != SPOOL_ST_OPEN || (notify != 0 && (notify & SPOOL_NOTIFY_DELAY) == 0))
			continue;
		*r = (struct dsn_rcpt){ .action = DSN_DELAYED, .addr = m->env.rcpts[i].addr, .orcpt = m->env.rcpts[i].orcpt,
		    .text = m->rcpts[i].text, .last_attempt = m->rcpts[i].last_try };
		if (m->rcpts[i].status[0] == '4')
			memcpy(r->status, m->rcpts[i].status, sizeof(r->status));
		n.nrcpts++;
	}
	e = n.nrcpts == 0 ? NULL : make(m, &n, SV_LIT(""), &err);
	arena_free(&a);
	if (e == NULL) {
		if (err.cls != ERR_NONE)
			log_err(NULL, "report", &err);
		return;
	}
	m->q->warnings = due;
	spool_qlog_warned(&log, due, now_s());
	if (spool_qfile_append(m->vq->queue_dir, m->q, sb_sv(&log), true, &err) == -1)
		log_err(NULL, "queue", &err);
	sb_free(&log);
	queue_let_go(m->vq, e);
}
