/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local deliveries that are not the store's: appendfile, pipe, autoreply and lmtp, done as users by
 * vlocald's children (children.c).  The options are expanded here (lib/transport), the job goes to a child with
 * the content's descriptor, or, for a user's rules, with a short message itself, and its answer settles the addresses of
 * the batch.  What is said to be done is on disk, or was given to a program: its entry in the done-log is written at
 * once, like that of mail sent to another host, so that files have one copy and pipes at least one.  A reply has an id
 * made of the message and the address that asked for it, and is made once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "mail/date.h"
#include "mail/header.h"
#include "os/file.h"
#include "transport/transport.h"
#include "vqueued_int.h"

#define JOB_FIBERS	256		/* at most */
#define JOBS_EACH	32		/* of one account at a time, so that it cannot keep all fibers */
#define ACCOUNTS	1024		/* what has the same number takes turns */
#define ALONG_MAX	(48 * 1024)	/* bytes of a body that goes along */
#define AWAY_MS		300
#define AWAY_TRIES	20
#define SPARE		65536		/* of a frame, for all but the header */
#define FIELDS_LIKELY	2048

struct job {
	struct job	*next;
	struct dlv	**v;
	size_t		 n;
	struct account	*of;
};

/* What waits for one account, oldest first. */
struct account {
	struct account	*next;		/* of those whose turn it may be */
	struct job	*head, **last;
	unsigned	 busy;		/* under way */
	bool		 listed;
};

struct jobs {
	struct account	 accounts[ACCOUNTS];
	struct account	*turn, **turn_last;
	struct fiber_waiters wait;
	struct job	*held, **held_last;	/* whose transport has as many under way as max_parallel allows */
	unsigned	 fibers, idle;
};

/* What one fiber works on. */
struct run {
	struct vq	*vq;
	struct vq_env	 e;
	struct msg	*m;
	struct dlv	**v;
	size_t		 n;
	struct transport_delivery td;
	struct transport_job j;
	struct sv	 header;	/* as the transport made it */
	struct transport_result r;
	struct ipc_msg	 reply;		/* what <r> points into */
	const struct route_delivery **rds;
	int		 fd;
};

/* ---- asking a child ---- */

/* A header that does not fit into a frame goes in front of the body in a file without a name. */
static int
big_header(struct run *x, int *made)
{
	char path[] = "/tmp/vpost.XXXXXX";
	uint64_t n = x->j.header.len;

	*made = mkstemp(path);
	if (*made == -1)
		return (-1);
	(void)unlink(path);
	if (os_write_full(*made, x->j.header.p, x->j.header.len) != (ssize_t)x->j.header.len ||
	    os_copy_range(x->fd, x->j.off, *made, (off_t)n, (size_t)x->j.len) == -1) {
		(void)close(*made);
		*made = -1;
		return (-1);
	}
	x->j.header = SV_NULL;
	x->j.off = 0;
	x->j.len += (int64_t)n;
	return (0);
}

/* A user's rules want the whole text: what is short goes into the frame, a descriptor costs more. */
static void
take_along(struct run *x)
{
	size_t head = x->j.header.len, n = (size_t)x->j.len, at = (size_t)x->j.off - (size_t)x->m->off;
	struct sv text = x->e.text;
	char *p;

	if (x->j.kind != TRANSPORT_PROCMAIL || n == 0 || n > ALONG_MAX || head > ALONG_MAX)
		return;
	p = arena_alloc(x->e.arena, head + n);
	memcpy(p, x->j.header.p, head);
	if ((uint64_t)x->j.off >= x->m->off && at <= text.len && n <= text.len - at)
		memcpy(p + head, text.p + at, n);
	else if (os_pread_full(x->fd, p + head, n, (off_t)x->j.off) != (ssize_t)n)
		return;
	x->j.header = sv_from(p, head + n);
	x->j.off = x->j.len = 0;
}

static void
drop_changed(struct run *x)
{
	if (x->r.changed > 0)
		(void)close(x->r.changed - 1);
	x->r.changed = 0;
}

/* Send the job; 0 with x->r.  Else as children_do(). */
static int
ask(struct run *x, struct err *err)
{
	struct sb frame = SB_INIT(IPC_FRAME_MAX);
	int made = -1, rc;

	if (x->j.header.len > IPC_FRAME_MAX - SPARE && big_header(x, &made) == -1)
		return (err_sys(err, "copy a message with a large header"));
	take_along(x);
	(void)sb_room(&frame, x->j.header.len + FIELDS_LIKELY);
	ipc_begin(&frame, TRANSPORT_IPC_JOB);
	if (!transport_job_put(&frame, &x->j)) {
		(void)transport_fail(&x->r, x->e.arena, TRANSPORT_FAIL, TRANSPORT_E_UNKNOWN, "the delivery has too long names");
		rc = 0;
	} else {
		ipc_msg_free(&x->reply);
		drop_changed(x);
		rc = children_do(x->vq, &x->j, &frame, made != -1 ? made : x->j.len == 0 ? -1 : x->fd, x->e.arena,
		    &x->reply, &x->r, err);
	}
	if (made != -1)
		(void)close(made);
	sb_free(&frame);
	return (rc);
}

/* ---- how it ended ---- */

static int64_t
next_try(struct run *x, const struct dlv *d)
{
	struct retry_failure rf = { .local_part = d->rd->local_part, .domain = d->rd->domain, .sender = d->m->env.sender,
	    .what = x->r.quota ? EXIM_RE_QUOTA : EXIM_RE_ANY };

	return (retry_next(x->vq, &x->e.env, &rf, d->m->rcpts[d->rcpt].first_failed, now_s()));
}

static void
end_one(struct run *x, struct dlv *d, enum transport_status st, struct sv text, const char *tail)
{
	struct err err = ERR_INIT;

	switch (st) {
	case TRANSPORT_OK:
		if (x->r.confirmation.len > 0)
			events_host(d, &x->e.addr, arena_cstr(x->e.arena, x->r.confirmation));
		delivery_ok(d, SPOOL_ST_SENT, tail, true);
		break;
	case TRANSPORT_FAIL:
		err_set(&err, ERR_PERM, x->r.quota ? "5.2.2" : "5.0.0", SV_FMT, SV_ARG(text));
		delivery_failed(d, &err, SV_NULL, SV_NULL, NULL);
		if (d->rd->ignore_error && d->failure != NULL)
			d->failure->quiet = true;
		break;
	default:
		err_set(&err, ERR_TEMP, x->r.quota ? "4.2.2" : "4.3.0", SV_FMT, SV_ARG(text));
		if (x->r.freeze)
			d->m->freeze = true;
		delivery_deferred(d, &err, next_try(x, d), NULL);
	}
}

/* The words for the log: Exim puts the system's reason in front of its own. */
static struct sv
full_text(struct run *x)
{
	struct sb out = SB_INIT(4096);
	struct sv r;

	if (x->r.sys > 0)
		sb_addf(&out, "%s: ", strerror((int)x->r.sys));
	sb_add(&out, x->r.text);
	if (x->r.output.len > 0) {
		struct sv line = x->r.output;

		/* The first of what the program said goes into the report. */
		line.len = line.len < 700 ? line.len : 700;
		sb_adds(&out, ": ");
		for (size_t i = 0; i < line.len; i++)
			sb_addc(&out, (unsigned char)line.p[i] < ' ' ? ' ' : line.p[i]);
	}
	r = arena_sv(x->e.arena, sb_sv(&out));
	sb_free(&out);
	return (r);
}

static void
end_all(struct run *x, const char *tail)
{
	const struct transport_list *each = &x->r.rcpt_results;
	struct sv text = full_text(x);

	for (size_t i = 0; i < x->n; i++) {
		enum transport_status st = (enum transport_status)x->r.status;
		struct sv t = text;

		x->v[i]->also = i > 0;
		if (each->n == x->n && each->v[i].len > 0) {
			st = each->v[i].p[0] == '0' ? TRANSPORT_OK : each->v[i].p[0] == '2' ? TRANSPORT_FAIL : TRANSPORT_DEFER;
			t = sv_sub(each->v[i], 1, each->v[i].len);
		}
		end_one(x, x->v[i], st, t, tail);
	}
}

/* ---- replies and warnings ---- */

/* A new message of ours: <reply> to its recipients, with an empty return path; made once, though a crash may bring us here again. */
static int
inject(struct run *x, const char *what, const struct transport_reply *reply, struct err *err)
{
	uint64_t id = spool_child(what, x->v[0]->rd->addr->unique);
	struct spool_qfile *q = spool_qfile_new();
	struct arena *a = q->arena;
	char date[MAIL_DATE_MAX];
	struct iovec iov[2];
	struct spool_content c = { .iov = iov, .niov = 2, .fd = -1 };
	struct sv body = SV_LIT("\r\n\r\n");
	ptrdiff_t end = sv_find(reply->text, body);
	struct sb head = SB_INIT(8192);
	struct sv host = x->vq->g.primary_hostname;
	int rc = 0;

	if (childset_has(&x->m->settled, id))
		goto out;
	spool_envelope_init(&q->env);
	q->env.queue = x->m->env.queue;
	q->env.flags = SPOOL_LOCAL | SPOOL_NO_DSN;
	q->env.protocol = SV_LIT("local");
	q->env.ident = SV_LIT("vpost");
	q->env.parent = sv_from(x->m->env.id, SPOOL_ID_LEN);
	q->env.parent_rcpts = reported_about(x->m, a, x->v[0]->rcpt, id);
	q->env.rcpts = arena_zalloc(a, reply->nrcpts * sizeof(*q->env.rcpts));
	for (size_t i = 0; i < reply->nrcpts; i++) {
		struct sv addr = reply->rcpts[i];

		if (sv_chr(addr, '@') < 0)
			addr = sv_cstr(arena_fmt(a, SV_FMT "@" SV_FMT, SV_ARG(addr), SV_ARG(x->vq->g.qualify_domain)));
		q->env.rcpts[q->env.nrcpts++].addr = arena_sv(a, addr);
		q->env.rcpts[q->env.nrcpts - 1].orcpt = SV_LIT("");
	}
	q->env.message_id = sv_cstr(arena_fmt(a, "E%s@" SV_FMT, q->env.id, SV_ARG(host)));
	sb_addf(&head, "Received: from vpost by " SV_FMT " with local\r\n\tid %s;\r\n\t%s\r\n", SV_ARG(host), q->env.id,
	    mail_date_format_local(date, now_s()));
	sb_addf(&head, "Message-Id: <" SV_FMT ">\r\nDate: %s\r\n", SV_ARG(q->env.message_id), date);
	if (!sv_casestarts(reply->text, "from:") && sv_casefind(sv_sub(reply->text, 0, end < 0 ? 0 : (size_t)end),
	    SV_LIT("\r\nfrom:")) < 0)
		sb_addf(&head, "From: " SV_FMT "@" SV_FMT "\r\n", SV_ARG(x->v[0]->rd->local_part), SV_ARG(x->v[0]->rd->domain));
	iov[0] = (struct iovec){ head.p, head.len };
	iov[1] = (struct iovec){ (void *)(uintptr_t)reply->text.p, reply->text.len };
	q->env.size = head.len + reply->text.len;
	q->env.header_size = end < 0 ? q->env.size : head.len + (size_t)end + body.len;
	rc = queue_inject(x->vq, q, &c, false, err);
	if (rc == 0) {
		log_injected(x->vq, &q->env);
		record_made(x->m, x->v[0]->rcpt, id, q->env.id);
	}
out:
	sb_free(&head);
	spool_qfile_free(&q);
	return (rc);
}

/* The first phase said that a reply shall go: make it, then have it noted. */
static void
send_reply(struct run *x)
{
	struct transport_reply reply;
	struct err err = ERR_INIT;

	if (transport_reply_compose(&x->td, &x->j, &x->r, x->fd, &reply, &err) == -1 ||
	    (reply.nrcpts > 0 && inject(x, "reply", &reply, &err) == -1)) {
		(void)transport_fail(&x->r, x->e.arena, err.cls == ERR_PERM ? TRANSPORT_FAIL : TRANSPORT_DEFER, 0, "%s", err.text);
		return;
	}
	x->j.phase = TRANSPORT_REPLY_NOTE;
	if (reply.nrcpts > 0 && (x->j.once.len > 0 || x->j.log.len > 0) && ask(x, &err) != 0)
		log_warn(NULL, "qid=%s the reply is sent, but not noted: %s", x->m->env.id, err.text);
	/* Whatever became of the note, there is a reply. */
	memset(&x->r, 0, sizeof(x->r));
}

static void
quota_warning(struct run *x)
{
	struct transport_reply reply;
	struct err err = ERR_INIT;

	if (transport_quota_warning(&x->td, &reply, &err) == -1 || (reply.nrcpts > 0 && inject(x, "warning", &reply, &err) == -1))
		log_warn(NULL, "qid=%s quota warning: %s", x->m->env.id, err.text);
}

/* ---- what a user's rules left to be done ---- */

/* A delivery of the store that came of <first>. */
static void
add_store(struct run *x, struct dlv *first, struct dlv *d, bool more)
{
	struct msg *m = x->m;

	if (!more) {
		*first = *d;
		d = first;
	} else {
		if (childset_has(&m->settled, d->child) || childset_get(&m->taken, d->child) != NULL)
			return;
		(void)childset_add(&m->taken, d->child, d);
		m->rcpts[d->rcpt].pending++;
		msg_hold(m);
	}
	local_add(x->vq, d);
}

/* True: deliveries into the store go on in place of this one. */
static bool
hand_on(struct run *x)
{
	struct dlv *stores = NULL, *next, *first = x->v[0];
	struct err err = ERR_INIT;
	struct handing h = { .vq = x->vq, .d = first, .account = x->j.local_part, .body_off = x->td.body_off,
	    .body_len = x->td.body_len, .fd = x->fd, .changed = x->r.changed - 1, .header = x->header,
	    .original = sv_sub(x->e.msg.headers->block, 0, x->e.msg.headers->body_start) };
	int rc = procmail_wishes(&h, &x->r.actions, &stores, &err);
	if (rc == -1)
		(void)transport_fail(&x->r, x->e.arena, err.cls == ERR_PERM ? TRANSPORT_FAIL : TRANSPORT_DEFER, 0, "%s", err.text);
	for (struct dlv *d = rc == 0 ? stores : NULL; d != NULL; d = next) {
		next = d->next;
		add_store(x, first, d, d != stores);
	}
	return (rc == 0 && stores != NULL);
}

/* ---- one job ---- */

static void
fill(struct run *x, const struct exim_transport *t)
{
	struct msg *m = x->m;
	const struct route_delivery *rd = x->v[0]->rd;
	struct sv path = rd->errors_to_set ? rd->errors_to : m->env.sender;

	x->td = (struct transport_delivery){ .env = &x->e.env, .t = t, .rd = x->rds, .n = x->n,
	    .id = sv_from(m->env.id, SPOOL_ID_LEN), .return_path = path, .bounce = path.len == 0, .size = m->len, .now = now_s(),
	    .uid = (int64_t)geteuid(), .gid = (int64_t)getegid(),
	    .hostname = arena_cstr(x->e.arena, x->vq->g.primary_hostname), .arena = x->e.arena };
	x->td.body_off = x->v[0]->off + x->e.msg.headers->body_start;
	x->td.body_len = x->v[0]->len - x->e.msg.headers->body_start;
}

/* Do it with transport <t>.  0: x->r; -1: it could not be done now. */
static int
deliver_by(struct run *x, const struct exim_transport *t, struct err *err)
{
	int i = 0, rc;

	env_delivery(&x->e, x->v[0]);
	x->e.addr.transport_name = sv_cstr(t->d.name);
	fill(x, t);
	if (transport_prepare(&x->td, &x->j, &x->r) == -1)
		return (0);
	x->header = x->j.header;
	while ((rc = ask(x, err)) == CHILDREN_AWAY && i++ < AWAY_TRIES && fiber_sleep(AWAY_MS) != FIBER_CANCELLED)
		err_clear(err);
	if (rc != 0)
		return (-1);
	if (x->j.kind == TRANSPORT_AUTOREPLY && x->r.status == TRANSPORT_OK && x->r.send)
		send_reply(x);
	if (x->r.status == TRANSPORT_OK && x->r.warn)
		quota_warning(x);
	return (0);
}

/* shadow_transport: the same again, for its effects only; what it says goes behind ST=. */
static const char *
shadow(struct run *x, const struct exim_transport *t)
{
	const struct exim_value *g = t->d.generic;
	const struct exim_transport *s = g[EXIM_TRANSPORT_shadow_transport].text.p == NULL ? NULL :
	    exim_conf_transport(x->vq->conf, g[EXIM_TRANSPORT_shadow_transport].text);
	struct transport_result kept = x->r;
	struct ipc_msg reply = x->reply;
	struct err err = ERR_INIT;
	const char *text = NULL;
	bool yes = true;

	if (s == NULL || !s->local || s->drv == EXIM_TRANSPORT_DRV_STORE || x->r.status != TRANSPORT_OK)
		return (NULL);
	if (g[EXIM_TRANSPORT_shadow_condition].str != NULL &&
	    (exim_expand_bool(g[EXIM_TRANSPORT_shadow_condition].str, &x->e.env, false, &yes, &err) != EXIM_OK || !yes))
		return (NULL);
	memset(&x->reply, 0, sizeof(x->reply));
	x->r.changed = 0;
	if (deliver_by(x, s, &err) == -1)
		text = arena_fmt(x->e.arena, " ST=%s (%s)", s->d.name, err.text);
	else if (x->r.status == TRANSPORT_OK)
		text = arena_fmt(x->e.arena, " ST=%s", s->d.name);
	else
		text = arena_fmt(x->e.arena, " ST=%s (" SV_FMT ")", s->d.name, SV_ARG(x->r.text));
	ipc_msg_free(&x->reply);
	drop_changed(x);
	x->reply = reply;
	x->r = kept;
	return (text);
}

static const char *
log_tail(struct run *x, const struct exim_transport *t)
{
	const char *st = shadow(x, t), *c = "";

	if (x->r.confirmation.len > 0 && EXIM_LOGSEL_ON(x->vq->conf->log_selector, smtp_confirmation))
		c = arena_fmt(x->e.arena, " C=\"" SV_FMT "\"", SV_ARG(x->r.confirmation));
	return (arena_fmt(x->e.arena, "%s%s", st == NULL ? "" : st, c));
}

static void
do_job(struct vq *vq, struct job *job)
{
	struct run x = { .vq = vq, .m = job->v[0]->m, .v = job->v, .n = job->n };
	const struct exim_transport *t = job->v[0]->rd->transport, *other;
	struct err err = ERR_INIT;
	int rc = -1;

	env_open(&x.e, vq, x.m);
	x.rds = arena_alloc(x.e.arena, x.n * sizeof(*x.rds));
	for (size_t i = 0; i < x.n; i++)
		x.rds[i] = x.v[i]->rd;
	x.fd = msg_fd(x.m, &err);
	if (t->drv == EXIM_TRANSPORT_DRV_PROCMAIL && x.m->len <= ALONG_MAX)
		x.e.want_body = ALONG_MAX;
	if (x.fd != -1 && !env_headers(&x.e, x.m))
		err_set(&err, ERR_TEMP, "4.3.0", "cannot read the header of the message");
	else if (x.fd != -1)
		rc = deliver_by(&x, t, &err);
	if (rc == 0 && x.r.switch_to.len > 0 && (other = exim_conf_transport(vq->conf, x.r.switch_to)) != NULL)
		rc = deliver_by(&x, other, &err);
	if (rc == -1)
		(void)transport_fail(&x.r, x.e.arena, TRANSPORT_DEFER, 0, "%s", err.text);
	if (x.r.log_line.len > 0)
		vlog(vq, "%s <" SV_FMT ">: %s transport output: " SV_FMT, x.m->env.id, SV_ARG(x.v[0]->rd->addr->address), t->d.name,
		    SV_ARG(x.r.log_line));
	if (x.r.status != TRANSPORT_OK || x.r.actions.n == 0 || !hand_on(&x))
		end_all(&x, x.r.status == TRANSPORT_OK ? log_tail(&x, t) : NULL);
	drop_changed(&x);
	ipc_msg_free(&x.reply);
	env_close(&x.e);
	arena_free(&x.e.arena);
}

/* ---- the list ---- */

static void
take_turn(struct jobs *l, struct account *k)
{
	if (k->listed || k->head == NULL || k->busy >= JOBS_EACH)
		return;
	k->listed = true;
	k->next = NULL;
	*l->turn_last = k;
	l->turn_last = &k->next;
}

/* Accounts take turns, as long as they have not as many under way as they may. */
static struct job *
next_job(struct jobs *l)
{
	struct account *k = l->turn;
	struct job *job;

	if (k == NULL)
		return (NULL);
	if ((l->turn = k->next) == NULL)
		l->turn_last = &l->turn;
	k->listed = false;
	job = k->head;
	if ((k->head = job->next) == NULL)
		k->last = &k->head;
	k->busy++;
	take_turn(l, k);
	return (job);
}

/* max_parallel of its transport; 0: no limit. */
static int64_t
parallel_max(struct vq *vq, const struct job *job)
{
	const struct dlv *d = job->v[0];
	const struct exim_value *v = &d->rd->transport->d.generic[EXIM_TRANSPORT_max_parallel];
	struct vq_env e = { .arena = NULL };
	int64_t max = v->num;

	if (!v->set || v->str == NULL)
		return (v->set ? max : 0);
	env_open(&e, vq, d->m);
	env_delivery(&e, d);
	max = smtp_int(&e, v, 0);
	env_close(&e);
	arena_free(&e.arena);
	return (max);
}

static void job_wake(struct vq *vq);

static void
append(struct account *k, struct job *job)
{
	job->next = NULL;
	*k->last = job;
	k->last = &job->next;
}

/* Something of a limited transport has ended: those that wait for that may try again. */
static void
release_held(struct vq *vq, struct jobs *l)
{
	struct job *job = l->held, *next;

	l->held = NULL;
	l->held_last = &l->held;
	for (; job != NULL; job = next) {
		next = job->next;
		append(job->of, job);
		take_turn(l, job->of);
		job_wake(vq);
	}
}

/* Do <job>, or hold it until there is room; true: it is over. */
static bool
try_job(struct vq *vq, struct jobs *l, struct job *job)
{
	int64_t max = parallel_max(vq, job);
	const char *name = job->v[0]->rd->transport->d.name;
	struct gate *gate = NULL;

	if (max > 0 && gate_is_full(vq, name, max)) {
		job->next = NULL;
		*l->held_last = job;
		l->held_last = &job->next;
		return (false);
	}
	if (max > 0)
		gate = gate_enter(vq, name, max);
	do_job(vq, job);
	gate_leave(vq, &gate);
	if (max > 0)
		release_held(vq, l);
	return (true);
}

static void
job_fiber(void *arg)
{
	struct vq *vq = arg;
	struct jobs *l = vq->jobs_of_users;
	struct job *job;

	for (;;) {
		while (!vq->draining && (job = next_job(l)) != NULL) {
			struct account *of = job->of;

			if (try_job(vq, l, job)) {
				free(job->v);
				free(job);
			}
			of->busy--;
			take_turn(l, of);
		}
		l->idle++;
		if (fiber_waiters_wait(&l->wait, FIBER_FOREVER) == FIBER_CANCELLED)
			return;
	}
}

/* There is a new job. */
static void
job_wake(struct vq *vq)
{
	struct jobs *l = vq->jobs_of_users;

	if (l->idle > 0) {
		l->idle--;
		fiber_waiters_wake_one(&l->wait);
	} else if (l->fibers < JOB_FIBERS && fiber_spawn("job", job_fiber, vq) != NULL)
		l->fibers++;
}

unsigned
jobs_busy(const struct vq *vq)
{
	return (vq->jobs_of_users->fibers - vq->jobs_of_users->idle);
}

static struct account *
account_of(struct vq *vq, const struct route_delivery *rd)
{
	struct sv who = rd->home != NULL ? sv_cstr(rd->home) : rd->local_part;

	return (&vq->jobs_of_users->accounts[hash_bytes(who.p, who.len) % ACCOUNTS]);
}

/* Does <d> go with <first>?  Each has the variables of its own address. */
static bool
together(struct vq *vq, const struct dlv *first, const struct dlv *d)
{
	struct vq_env a = { .arena = NULL }, b = { .arena = NULL };
	const struct exim_transport *t = first->rd->transport;
	bool yes;

	if (d->rd->transport != t || transport_batch_max(t) <= 1)
		return (false);
	env_open(&a, vq, first->m);
	env_delivery(&a, first);
	env_open(&b, vq, d->m);
	env_delivery(&b, d);
	yes = transport_same_batch(t, &a.env, first->rd, &b.env, d->rd);
	env_close(&a);
	env_close(&b);
	arena_free(&a.arena);
	arena_free(&b.arena);
	return (yes);
}

void
jobs_add(struct vq *vq, struct dlv *list)
{
	while (list != NULL) {
		struct job *job = xcalloc(1, sizeof(*job));
		struct dlv *first = list, **p;
		size_t max = (size_t)transport_batch_max(first->rd->transport);

		if (max < 1)
			max = 1;
		list = first->next;
		job->v = xcalloc(max < 1000 ? max : 1000, sizeof(struct dlv *));
		job->v[job->n++] = first;
		job->of = account_of(vq, first->rd);
		for (p = &list; *p != NULL && job->n < max && job->n < 1000;) {
			struct dlv *d = *p;

			if (!together(vq, first, d)) {
				p = &d->next;
				continue;
			}
			*p = d->next;
			job->v[job->n++] = d;
		}
		append(job->of, job);
		take_turn(vq->jobs_of_users, job->of);
		job_wake(vq);
	}
}

int
jobs_init(struct vq *vq, struct err *err)
{
	struct jobs *l = xcalloc(1, sizeof(*l));

	vq->jobs_of_users = l;
	l->turn_last = &l->turn;
	l->held_last = &l->held;
	for (size_t i = 0; i < ACCOUNTS; i++)
		l->accounts[i].last = &l->accounts[i].head;
	if (fiber_spawn("job", job_fiber, vq) == NULL)
		return (err_set(err, ERR_TEMP, "4.3.2", "no fibers for local deliveries"));
	l->fibers = 1;
	return (children_init(vq, err));
}
