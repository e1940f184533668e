/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Remote deliveries.  A destination is a transport and a list of hosts; it has a line of
 * jobs (one transaction each) and workers, each a fiber with at most one connection, over
 * which it sends job after job.  Connections to one destination are limited by the box's
 * remote_concurrency, all together by CONNECTIONS_MAX.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deliver/event.h"
#include "route/world.h"
#include "smtp/reply.h"
#include "vqueued_int.h"

#define CONNECTIONS_MAX	500
#define IDLE_MS		1000		/* a connection without work is kept so long */
#define JOBS_MAX	1000		/* waiting for one destination; more go to queue/ */
#define JOBS_ALL_MAX	4000		/* for all together, so that local mail always finds a place */
#define PROGRESS_MS	5000
#define DEFER_S		300
#define NO_MEANS_S	60

struct remote_job {
	struct remote_job *next;
	struct dest	*dest;		/* while it waits for others of its message */
	struct msg	*m;
	struct dlv	**v;
	size_t		 n;
};

struct dest {
	struct vq	*vq;
	char		*key;
	const struct exim_transport *tr;
	struct arena	*arena;
	struct deliver_hosts hosts;
	struct remote_job	*head, **last;
	size_t		 njobs;
	size_t		 held;		/* further jobs that wait for others of their messages */
	unsigned	 workers, idle;
	int64_t		 last_ok;	/* fiber_now() when it last took a message */
	struct fiber_waiters wait;
};

/* ---- one worker ---- */

struct worker {
	struct dest	*d;
	struct deliver_conn *conn;
	struct smtp_opts so;
	struct vq_env	 env;
	/* of the job at hand */
	const struct dlv *first;
	bool		 sent;		/* somebody has taken it over */
	struct deliver_error last;	/* of the last host that failed */
	const char	*last_tail;
	int64_t		 next_try;	/* earliest of the hosts that failed or were not due; INT64_MAX: none */
	bool		 expired;	/* all hosts that failed are past their last cutoff */
	bool		 late;		/* and some that were past it were not even asked (delay_after_cutoff) */
	struct gate	*host_gate;	/* serialize_hosts */
	bool		 busy;		/* <env> is at the job */
	FILE		*filtered;	/* what transport_filter made of the message at hand; NULL: nothing */
};

static void
disconnect(struct worker *w)
{
	if (w->conn != NULL) {
		bool bare = !w->busy && w->so.o.event != NULL;

		/* Its end may have to be told, but no message is at hand any more. */
		if (bare)
			env_bare(&w->env, w->d->vq);
		deliver_close(&w->conn);
		if (bare)
			env_close(&w->env);
		/* What expansions know of the connection ends with it. */
		memset(&w->env.addr.tls_out, 0, sizeof(w->env.addr.tls_out));
		w->env.addr.sending_ip_address = SV_NULL;
		smtp_opts_close(&w->so);
	}
	gate_leave(w->d->vq, &w->host_gate);
}

static struct sv
host_key(struct worker *w, const struct deliver_host *h)
{
	return (sv_cstr(deliver_host_key(&w->env.env, w->d->tr, h, w->env.arena)));
}

/* An event about <d> and the host at hand. */
static void
tell_event(struct worker *w, const struct dlv *d, const char *name, const char *text, int64_t number)
{
	struct exim_address *a = &w->env.addr, old = *a;
	struct sv path = w->env.msg.return_path;

	if (!events_wanted(d))
		return;
	env_delivery(&w->env, d);
	a->host = old.host;
	a->host_address = old.host_address;
	a->host_port = old.host_port;
	a->sending_ip_address = old.sending_ip_address;
	a->tls_out = old.tls_out;
	(void)deliver_event_of(w->d->tr, &w->env.env, name, sv_taint(sv_cstr(text)), number);
	*a = old;
	w->env.msg.return_path = path;
}

static const struct dlv *
first_left(const struct remote_job *j)
{
	for (size_t i = 0; i < j->n; i++)
		if (j->v[i] != NULL)
			return (j->v[i]);
	return (NULL);
}

static void
host_failed(struct worker *w, const struct remote_job *j, const struct deliver_host *h, const struct deliver_error *e)
{
	struct dest *d = w->d;
	struct retry_failure f = { .key = sv_cstr(h->name), .domain = w->first->rd->domain,
	    .local_part = w->first->rd->local_part, .sender = j->m->env.sender, .what = e->what, .code = e->code, .host = true,
	    .kind = d->hosts.mx ? 'M' : 'A' };
	int64_t next = retry_host_failed(d->vq, &w->env.env, host_key(w, h), &f);

	if (next != 0) {
		w->expired = false;
		if (next < w->next_try)
			w->next_try = next;
	}
	w->last = *e;
	w->last_tail = log_host_tail(d->vq, w->env.arena, h, NULL, NULL);
	vlog(d->vq, "%s%s%s %s", j->m->env.id, w->last_tail, deliver_is_bare(e) ? "" : ":", deliver_words(e));
	if (first_left(j) != NULL)
		tell_event(w, first_left(j), "msg:host:defer", e->err.text, deliver_event_number(e));
}

/* Descriptors or ports ran out: the job waits a little, and no host is blamed. */
static void
no_means(struct worker *w, const struct deliver_error *e)
{
	int64_t next = now_s() + NO_MEANS_S;

	w->last = *e;
	w->last_tail = NULL;
	w->expired = false;
	if (next < w->next_try)
		w->next_try = next;
}

/* Connect to <h>; 0, or -1 with the failure noted. */
static int
connect_to(struct worker *w, const struct remote_job *j, const struct deliver_host *h)
{
	struct dest *d = w->d;
	struct deliver_error e = DELIVER_ERROR_INIT;

	if (deliver_host_listed(&w->env.env, &d->tr->d.own[EXIM_SMTP_serialize_hosts], h)) {
		char ip[NET_ADDR_TEXT_MAX];

		/* Whoever waits here holds no other host. */
		w->host_gate = gate_enter(d->vq, arena_fmt(w->env.arena, "host %s", net_addr_text(&h->addr, ip)), 1);
		if (w->host_gate == NULL) {
			e.ours = true;
			(void)err_set(&e.err, ERR_TEMP, "4.3.2", "interrupted while the host was busy");
			no_means(w, &e);
			return (-1);
		}
	}
	if (smtp_opts_open(&w->so, d->vq, &w->env, d->tr, h, &e) == -1) {
		w->last = e;
		w->last_tail = NULL;
		w->expired = false;
		gate_leave(d->vq, &w->host_gate);
		return (-1);
	}
	if (deliver_open(&w->conn, h, &w->so.o, &e) == -1) {
		memset(&w->env.addr.tls_out, 0, sizeof(w->env.addr.tls_out));
		w->env.addr.sending_ip_address = SV_NULL;
		smtp_opts_close(&w->so);
		gate_leave(d->vq, &w->host_gate);
		if (e.ours)
			no_means(w, &e);
		else
			host_failed(w, j, h, &e);
		return (-1);
	}
	retry_host_ok(d->vq, host_key(w, h));
	if (deliver_in_clear(w->conn) != NULL)
		vlog(d->vq, "%s TLS session: %s: delivering unencrypted to%s (not in hosts_require_tls)", j->m->env.id,
		    deliver_in_clear(w->conn), log_host_tail(d->vq, w->env.arena, h, NULL, NULL));
	return (0);
}

static int
intent(void *arg, struct err *err)
{
	return (record_intent(arg, err));
}

/* A recipient is refused for now; <last>: no other host is there to take it. */
static void
rcpt_deferred(struct worker *w, const struct dlv *d, const struct deliver_rcpt *r, const char *tail, bool last)
{
	int64_t number = deliver_event_rcpt(r->error.code, w->d->hosts.mx);

	tell_event(w, d, "msg:rcpt:host:defer", r->error.err.text, number);
	if (last)
		tell_event(w, d, "msg:rcpt:defer", r->error.err.text, number);
	else
		vlog(w->d->vq, "%s%s: %s", d->m->env.id, tail, r->error.err.text);
}

/* The whole message is, once for all recipients. */
static void
message_deferred(struct worker *w, const struct dlv *d, const struct deliver_rcpt *r, const char *tail, bool last)
{
	vlog(w->d->vq, "%s%s: %s", d->m->env.id, tail, r->error.err.text);
	if (last)
		tell_event(w, d, "msg:defer", r->error.err.text, deliver_event_number(&r->error));
}

/* The address for the log, where another one was given to the host. */
static void
note_sent(struct worker *w, struct dlv *d, const struct deliver_message *dm)
{
	struct sb out = SB_INIT(4096);

	if (sv_is_ascii(d->rd->addr->address))
		return;
	deliver_address_sent(w->conn, dm, d->rd->addr->address, &out);
	if (!sv_eq(sb_sv(&out), d->rd->addr->address))
		d->as = arena_sv(d->m->arena, sb_sv(&out));
	sb_free(&out);
}

/* Tell those that are decided; returns how many are left open. */
static size_t
tell_results(struct worker *w, struct remote_job *j, struct deliver_message *dm, bool temp_too)
{
	struct vq *vq = w->d->vq;
	const struct deliver_host *h = deliver_conn_host(w->conn);
	const char *tail = log_host_tail(vq, w->env.arena, h, w->conn, NULL);
	const char *ok_tail = log_host_tail(vq, w->env.arena, h, w->conn, dm->confirmation);
	size_t left = 0;
	bool first = true, told = false;

	for (size_t i = 0; i < j->n; i++) {
		struct deliver_rcpt *r = &dm->rcpts[i];
		struct dlv *d = j->v[i];

		if (d == NULL)
			continue;
		if (r->status == DELIVER_TEMP && r->error.what == EXIM_RE_RCPT_4XX) {
			rcpt_deferred(w, d, r, tail, temp_too);
		} else if (r->status == DELIVER_TEMP && !told) {
			message_deferred(w, d, r, tail, temp_too);
			told = true;
		}
		/* What is refused for now may be taken by the next host. */
		if (r->status == DELIVER_OPEN || (r->status == DELIVER_TEMP && !temp_too)) {
			left++;
			continue;
		}
		j->v[i] = NULL;
		if (r->status != DELIVER_TEMP)
			events_host(d, &w->env.addr, r->status == DELIVER_OK ? dm->confirmation : "");
		if (r->status == DELIVER_OK) {
			d->also = !first;
			first = false;
			w->sent = true;
			w->d->last_ok = fiber_now();
			note_sent(w, d, dm);
			delivery_ok(d, SPOOL_ST_SENT, ok_tail, r->dsn_passed);
		} else if (r->status == DELIVER_PERM) {
			const char *text = strstr(r->error.err.text, ">: ");

			delivery_failed(d, &r->error.err, sv_cstr(h->name),
			    r->error.code != 0 ? sv_cstr(text == NULL ? r->error.err.text : text + 3) : SV_LIT(""), tail);
		} else {
			struct retry_failure f = { .domain = d->rd->domain, .local_part = d->rd->local_part,
			    .sender = d->m->env.sender, .what = r->error.what, .code = r->error.code };

			d->number = deliver_event_number(&r->error);
			delivery_deferred(d, &r->error.err,
			    retry_next(vq, &w->env.env, &f, d->m->rcpts[d->rcpt].first_failed, now_s()), tail);
		}
	}
	return (left);
}

static void
build_rcpts(struct worker *w, const struct remote_job *j, struct deliver_message *dm)
{
	dm->rcpts = arena_zalloc(w->env.arena, j->n * sizeof(*dm->rcpts));
	dm->nrcpts = j->n;
	dm->intent = intent;
	dm->arg = j->m;
	for (size_t i = 0; i < j->n; i++) {
		struct deliver_rcpt *r = &dm->rcpts[i];
		const struct dlv *d = j->v[i];
		const struct spool_rcpt *sr = &j->m->env.rcpts[d->rcpt];

		r->addr = d->rd->addr->address;
		r->notify = sr->notify;
		r->lasthop = d->rd->router != NULL && d->rd->router->d.generic[EXIM_ROUTER_dsn_lasthop].num != 0;
		r->orcpt = sr->orcpt;
		r->error = (struct deliver_error)DELIVER_ERROR_INIT;
	}
}

/* The header is made again, now that host and connection are known. */
static int
remake(struct worker *w, const struct dlv *d, struct deliver_message *dm, struct err *err)
{
	struct deliver_message new;

	if (w->filtered != NULL)
		(void)fclose(w->filtered);
	w->filtered = NULL;
	if (smtp_message(w->d->vq, &w->env, d, &new, err) == -1 || smtp_filter(w->d->vq, &w->env, d, &new, &w->filtered, err) == -1)
		return (-1);
	dm->sender = new.sender;
	dm->header = new.header;
	dm->fd = new.fd;
	dm->off = new.off;
	dm->len = new.len;
	dm->size = new.size;
	return (0);
}

/*
 * Send over the connection that stands.  True: nothing is left to do for the job; false: what is left may be
 * tried elsewhere.  <last_host>: a temporary refusal of the whole message is final for this attempt.
 */
static bool
send_job(struct worker *w, struct remote_job *j, struct deliver_message *dm, bool last_host)
{
	struct deliver_error e = DELIVER_ERROR_INIT;
	struct deliver_host h = *deliver_conn_host(w->conn);
	bool reused = deliver_messages(w->conn) > 0;
	size_t left;
	int rc;

	h.name = arena_str(w->env.arena, h.name);
	if (smtp_names_connection(j->v[0]) && remake(w, j->v[0], dm, &e.err) == -1) {
		w->last = e;
		w->last_tail = NULL;
		w->expired = false;
		return (false);
	}
	if (deliver_message_options(dm, &w->env.env, w->d->tr, w->conn, j->m->env.auth_sender, &e.err) == -1) {
		w->last = e;
		w->last_tail = NULL;
		w->expired = false;
		return (false);
	}
	rc = deliver_send(w->conn, dm, &e);
	/* The host may have taken the message: recipients that were sent it are not tried elsewhere blindly. */
	left = tell_results(w, j, dm, last_host);
	if (rc == -1) {
		/* A connection that waited for work may have been closed meanwhile: no fault of the host. */
		if (!reused || e.what != EXIM_RE_LOST_CONNECTION || left < j->n)
			host_failed(w, j, &h, &e);
		disconnect(w);
		return (left == 0);
	}
	if (left > 0) {
		/* MAIL, DATA or the content was refused for now: the next host may take it. */
		for (size_t i = 0; i < j->n; i++)
			if (j->v[i] != NULL) {
				w->last = dm->rcpts[i].error;
				w->last_tail = log_host_tail(w->d->vq, w->env.arena, &h, w->conn, NULL);
				w->expired = false;
				dm->rcpts[i].status = DELIVER_OPEN;
			}
	}
	if (!deliver_usable(w->conn) ||
	    (w->so.max_messages > 0 && deliver_messages(w->conn) >= (unsigned)w->so.max_messages))
		disconnect(w);
	return (left == 0);
}

/* Refused recipients are left out of further tries: the arrays are packed. */
static void
pack(struct remote_job *j, struct deliver_message *dm)
{
	size_t n = 0;

	for (size_t i = 0; i < j->n; i++) {
		if (j->v[i] == NULL)
			continue;
		j->v[n] = j->v[i];
		dm->rcpts[n] = dm->rcpts[i];
		n++;
	}
	j->n = n;
	dm->nrcpts = n;
}

/* Is it not this host's time?  <late>: those past their last cutoff that were not tried since the message came are wanted. */
static bool
host_waits(struct worker *w, const struct remote_job *j, const struct deliver_host *h, bool late, struct host_hint *hint)
{
	int64_t now = now_s();

	hint->expired = false;
	if (j->m->force || !retry_host_get(w->d->vq, host_key(w, h), hint))
		return (late);
	if (late)
		return (!hint->expired || hint->last_try > j->m->env.received_ms / 1000);
	if (hint->next_try <= now)
		return (false);
	if (hint->next_try < w->next_try)
		w->next_try = hint->next_try;
	if (!hint->expired)
		w->expired = false;
	if (w->last.err.cls == ERR_NONE)
		err_set(&w->last.err, ERR_TEMP, "4.4.1", "retry time not reached for any host for '" SV_FMT "'",
		    SV_ARG(w->first->rd->domain));
	return (true);
}

/* True: nothing is left to do, or the others would fare no better. */
static bool
try_list(struct worker *w, struct remote_job *j, struct deliver_message *dm, bool late, size_t *tried)
{
	struct dest *d = w->d;
	struct deliver_walk walk;
	size_t i;

	deliver_walk_init(&walk, &d->hosts, d->tr);
	while (deliver_walk_next(&walk, &i)) {
		struct host_hint hint;
		struct deliver_walk ahead;
		size_t k;

		pack(j, dm);
		if (host_waits(w, j, &d->hosts.v[i], late, &hint))
			continue;
		deliver_walk_tries(&walk, i, hint.expired);
		++*tried;
		ahead = walk;
		disconnect(w);
		/* A temporary refusal of the whole message by the last host is final for this attempt. */
		if (connect_to(w, j, &d->hosts.v[i]) == 0 && send_job(w, j, dm, !deliver_walk_next(&ahead, &k)))
			return (true);
		if (w->conn == NULL && w->last.ours)
			return (true);
	}
	return (false);
}

static void
try_hosts(struct worker *w, struct remote_job *j, struct deliver_message *dm)
{
	struct dest *d = w->d;
	size_t tried = 0;

	if (w->conn != NULL && !deliver_still_fits(w->conn, &w->so.o, &w->env.env, d->tr, w->env.arena))
		disconnect(w);
	if (w->conn != NULL && send_job(w, j, dm, d->hosts.n == 1))
		return;
	if (try_list(w, j, dm, false, &tried) || tried > 0 || !w->expired || d->hosts.n == 0)
		return;
	/* All are past their last cutoff, and it is not their time. */
	w->late = true;
	if (d->tr->d.own[EXIM_SMTP_delay_after_cutoff].num == 0)
		(void)try_list(w, j, dm, true, &tried);
	if (tried == 0)
		err_set(&w->last.err, ERR_TEMP, "4.4.1", "all hosts for '" SV_FMT "' have been failing for a long time "
		    "(and retry time not reached)", SV_ARG(w->first->rd->domain));
}

/* What no host decided is deferred, or fails when the rules say so. */
static void
give_up(struct worker *w, struct remote_job *j, const struct deliver_message *dm)
{
	const struct dlv *first = first_left(j);
	int64_t now = now_s();

	if (w->last.err.cls == ERR_NONE)
		err_set(&w->last.err, ERR_TEMP, "4.4.1", "no host could be tried");
	if (first != NULL && w->last.host)
		tell_event(w, first, "msg:defer", w->last.err.text, deliver_event_number(&w->last));
	for (size_t i = 0; i < j->n; i++) {
		/* Where the hosts behind were not asked, what was said to this recipient holds. */
		const struct deliver_error *e = !w->last.host && dm->rcpts[i].error.err.cls != ERR_NONE ?
		    &dm->rcpts[i].error : &w->last;
		struct dlv *d = j->v[i];
		int64_t next = w->expired && (w->last.host || w->late) ? 0 : w->next_try;

		if (d == NULL)
			continue;
		if (next == INT64_MAX) {
			struct retry_failure f = { .domain = d->rd->domain, .local_part = d->rd->local_part,
			    .sender = d->m->env.sender, .what = e->what, .code = e->code };

			next = retry_next(w->d->vq, &w->env.env, &f, d->m->rcpts[d->rcpt].first_failed, now);
		}
		d->number = e->code < 0 ? e->code : deliver_event_number(e);
		if (deliver_is_bare(e))
			d->words = deliver_words(e);
		delivery_deferred(d, &e->err, next, w->last_tail);
	}
}

static void
several(struct worker *w, const struct remote_job *j)
{
	const struct route_delivery **rd = arena_alloc(w->env.arena, j->n * sizeof(*rd));

	for (size_t i = 0; i < j->n; i++)
		rd[i] = j->v[i]->rd;
	route_world_several(&w->env.addr, rd, j->n);
}

static void
process(struct worker *w, struct remote_job *j)
{
	struct deliver_message dm;
	struct err err = ERR_INIT;

	w->last = (struct deliver_error)DELIVER_ERROR_INIT;
	w->last_tail = NULL;
	w->next_try = INT64_MAX;
	w->expired = true;
	w->late = false;
	w->first = j->v[0];
	w->sent = false;
	/* The end of the last delivery must not end the message yet: its strings are used until here. */
	msg_hold(j->m);
	env_open(&w->env, w->d->vq, j->m);
	env_delivery(&w->env, j->v[0]);
	w->busy = true;
	if (j->n > 1)
		several(w, j);
	if (smtp_message(w->d->vq, &w->env, j->v[0], &dm, &err) == -1 ||
	    (!smtp_names_connection(j->v[0]) && smtp_filter(w->d->vq, &w->env, j->v[0], &dm, &w->filtered, &err) == -1)) {
		for (size_t i = 0; i < j->n; i++) {
			if (err.cls == ERR_PERM)
				delivery_failed(j->v[i], &err, SV_NULL, SV_NULL, NULL);
			else
				delivery_deferred(j->v[i], &err, now_s() + DEFER_S, NULL);
		}
	} else {
		build_rcpts(w, j, &dm);
		try_hosts(w, j, &dm);
		give_up(w, j, &dm);
	}
	if (w->filtered != NULL)
		(void)fclose(w->filtered);
	w->filtered = NULL;
	w->busy = false;
	env_close(&w->env);
	/* What was sent is noted in the log; of a message that waits on, that is synced before anything else is done here. */
	if (w->sent && j->m->q != NULL && j->m->open > 0 && record_sync(j->m, &err) == -1)
		log_err(NULL, "queue", &err);
	msg_release(j->m);
}

static void job_put_off(struct remote_job *j);
static void next_of_message(struct msg *m);

/* One job, when the transport's max_parallel has room for it. */
static void
work(struct worker *w, struct remote_job *j)
{
	struct vq *vq = w->d->vq;
	struct msg *m = j->m;
	const struct exim_value *limit = &w->d->tr->d.generic[EXIM_TRANSPORT_max_parallel];
	struct gate *gate = NULL;
	int64_t max = 0;

	m->refs++;
	if (limit->set) {
		env_open(&w->env, vq, m);
		env_delivery(&w->env, j->v[0]);
		max = smtp_int(&w->env, limit, 0);
		env_close(&w->env);
	}
	if (max > 0 && gate_is_full(vq, w->d->tr->d.name, max))
		disconnect(w);
	if (max > 0)
		gate = gate_enter(vq, w->d->tr->d.name, max);
	if (max > 0 && gate == NULL)
		job_put_off(j);
	else
		process(w, j);
	/* No connection is kept up without work while others wait for its place. */
	if (gate_is_wanted(gate) || (w->d->head == NULL && gate_is_wanted(w->host_gate)))
		disconnect(w);
	gate_leave(vq, &gate);
	free(j->v);
	free(j);
	m->remote_jobs--;
	next_of_message(m);
	msg_unref(m);
}

static void
dest_free(struct dest **dp)
{
	struct dest *d = *dp;

	(void)hash_del(d->vq->dests, sv_cstr(d->key));
	free(d->key);
	arena_free(&d->arena);
	free(d);
	*dp = NULL;
}

static void
worker_fiber(void *arg)
{
	struct dest *d = arg;
	struct vq *vq = d->vq;
	struct worker w = { .d = d };
	bool timeout = false;

	while (!timeout || d->head != NULL) {
		struct remote_job *j = d->head;

		if (j == NULL) {
			enum fiber_wait r;

			if (w.conn == NULL)
				break;
			d->idle++;
			r = fiber_waiters_wait(&d->wait, FIBER_NOW_PLUS(IDLE_MS));
			d->idle--;
			if (r == FIBER_CANCELLED)
				break;
			timeout = r == FIBER_TIMEOUT;
			continue;
		}
		timeout = false;
		/* While the process ends, what waits stays for the next. */
		if (vq->draining)
			break;
		if ((d->head = j->next) == NULL)
			d->last = &d->head;
		d->njobs--;
		vq->jobs--;
		vq->sending++;
		work(&w, j);
		vq->sending--;
	}
	disconnect(&w);
	arena_free(&w.env.arena);
	vq->connections--;
	if (--d->workers == 0 && d->head == NULL && d->held == 0)
		dest_free(&d);
}

/* ---- jobs ---- */

static int
by_text(const void *a, const void *b)
{
	return (strcmp(*(char *const *)a, *(char *const *)b));
}

/* The same hosts in any order (equal preferences are shuffled) are one destination; fallback hosts are apart. */
static void
dest_key(struct sb *key, const struct exim_transport *tr, const struct deliver_hosts *hosts, struct arena *a)
{
	size_t n = hosts->n;
	char **v = arena_alloc(a, (n + 1) * sizeof(*v)), ip[NET_ADDR_TEXT_MAX];

	for (size_t i = 0; i < n; i++)
		v[i] = arena_fmt(a, "|%s%s %s %u%s%s", i < hosts->fallback ? "" : "~", hosts->v[i].name,
		    net_addr_text(&hosts->v[i].addr, ip), hosts->v[i].addr.port, hosts->v[i].dnssec ? "+" : "",
		    hosts->v[i].asked != NULL ? hosts->v[i].asked : "");
	qsort(v, n, sizeof(*v), by_text);
	sb_adds(key, tr->d.name);
	for (size_t i = 0; i < n; i++)
		sb_adds(key, v[i]);
}

static struct dest *
dest_get(struct vq *vq, const struct exim_transport *tr, const struct deliver_hosts *hosts, struct arena *a)
{
	struct sb key = SB_INIT(1024 * 1024);
	struct dest *d;

	dest_key(&key, tr, hosts, a);
	d = hash_get(vq->dests, sb_sv(&key));
	if (d == NULL) {
		d = xcalloc(1, sizeof(*d));
		d->vq = vq;
		d->key = xstrdup(sb_cstr(&key));
		d->tr = tr;
		d->arena = arena_new(512);
		d->hosts = *hosts;
		d->hosts.v = arena_dup(d->arena, hosts->v, hosts->n * sizeof(*hosts->v));
		for (size_t i = 0; i < hosts->n; i++) {
			d->hosts.v[i].name = arena_str(d->arena, hosts->v[i].name);
			if (hosts->v[i].asked != NULL)
				d->hosts.v[i].asked = arena_str(d->arena, hosts->v[i].asked);
		}
		d->hosts.unknown = d->hosts.why = NULL;
		d->last_ok = fiber_now();
		d->last = &d->head;
		(void)hash_set(vq->dests, sv_cstr(d->key), d);
	}
	sb_free(&key);
	return (d);
}

/* The process ends, or has no room: later. */
static void
job_put_off(struct remote_job *j)
{
	struct err err = ERR_INIT;

	err_set(&err, ERR_TEMP, "4.3.2", "too many deliveries are under way");
	for (size_t i = 0; i < j->n; i++)
		delivery_deferred(j->v[i], &err, now_s() + 60, NULL);
}

/* Those of the same message that wait have no better chance. */
static void
put_off_later(struct msg *m)
{
	struct remote_job *j;

	while ((j = m->remote_later) != NULL) {
		m->remote_later = j->next;
		j->dest->held--;
		job_put_off(j);
		free(j->v);
		free(j);
	}
}

/* No fiber could be started, and none works for the destination: later. */
static void
jobs_dropped(struct dest *d)
{
	struct remote_job *j;

	while ((j = d->head) != NULL) {
		if ((d->head = j->next) == NULL)
			d->last = &d->head;
		d->njobs--;
		d->vq->jobs--;
		j->m->remote_jobs--;
		put_off_later(j->m);
		job_put_off(j);
		free(j->v);
		free(j);
	}
}

static void
job_add(struct dest *d, struct remote_job *j)
{
	struct vq *vq = d->vq;

	j->next = NULL;
	*d->last = j;
	d->last = &j->next;
	d->njobs++;
	vq->jobs++;
	if (d->idle > 0) {
		fiber_waiters_wake_one(&d->wait);
		if (d->njobs <= d->idle)
			return;
	}
	if (d->workers < (unsigned)vq->box->remote_concurrency && (vq->connections < CONNECTIONS_MAX || d->workers == 0) &&
	    fiber_spawn("remote", worker_fiber, d) != NULL) {
		d->workers++;
		vq->connections++;
	}
	if (d->workers == 0)
		jobs_dropped(d);
}

/* remote_max_parallel, where the configuration sets it: so many jobs of a message at a time. */
static void
job_ready(struct dest *d, struct remote_job *j)
{
	const struct exim_value *v = &d->vq->conf->main[EXIM_MAIN_remote_max_parallel];
	struct msg *m = j->m;

	if (v->set && m->remote_jobs >= (v->num < 1 ? 1 : v->num)) {
		j->next = NULL;
		j->dest = d;
		d->held++;
		if (m->remote_later == NULL)
			m->remote_last = &m->remote_later;
		*m->remote_last = j;
		m->remote_last = &j->next;
		return;
	}
	m->remote_jobs++;
	job_add(d, j);
}

static void
next_of_message(struct msg *m)
{
	struct remote_job *j = m->remote_later;

	if (j == NULL)
		return;
	m->remote_later = j->next;
	m->remote_jobs++;
	j->dest->held--;
	job_add(j->dest, j);
}

static bool
same_list(const struct sv *a, size_t n, const struct sv *b, size_t m)
{
	bool yes = n == m;

	for (size_t i = 0; i < n && yes; i++)
		yes = sv_eq(a[i], b[i]);
	return (yes);
}

/* May go in one transaction; <e> is at <b>. */
static bool
together(struct vq_env *e, const struct dlv *a, const struct dlv *b)
{
	const struct route_delivery *x = a->rd, *y = b->rd;

	return (x->transport == y->transport && x->router == y->router && x->errors_to_set == y->errors_to_set &&
	    sv_eq(x->errors_to, y->errors_to) && same_list(x->headers_add, x->nheaders_add, y->headers_add, y->nheaders_add) &&
	    same_list(x->headers_remove, x->nheaders_remove, y->headers_remove, y->nheaders_remove) &&
	    (sv_caseeq(x->domain, y->domain) || deliver_bool(&e->env, &x->transport->d.own[EXIM_SMTP_multi_domain])));
}

struct open_job {			/* a job that still takes recipients */
	struct dest	*dest;
	struct remote_job	*job;
	size_t		 max;
};

static void
place(struct vq *vq, struct vq_env *e, struct dlv *d, struct open_job *oj, size_t *noj, size_t maxoj)
{
	struct deliver_hosts hosts;
	struct err err = ERR_INIT;
	struct dest *dest;
	size_t i;

	env_delivery(e, d);
	if (smtp_hosts(vq, e, d, e->arena, &hosts, &err) == -1) {
		delivery_deferred(d, &err, now_s() + DEFER_S, NULL);
		return;
	}
	dest = dest_get(vq, d->rd->transport, &hosts, e->arena);
	/* Behind a host that takes mail the line may grow as long as it likes: it is what is under way that is limited. */
	if ((dest->njobs >= JOBS_MAX || vq->jobs >= JOBS_ALL_MAX) && fiber_now() > dest->last_ok + PROGRESS_MS) {
		err_set(&err, ERR_TEMP, "4.4.5", "too many messages wait for this host already");
		delivery_deferred(d, &err, now_s() + 60, NULL);
		return;
	}
	for (i = 0; i < *noj; i++)
		if (oj[i].dest == dest && oj[i].job->n < oj[i].max && together(e, oj[i].job->v[0], d))
			break;
	if (i == *noj) {
		int64_t max = smtp_int(e, &d->rd->transport->d.own[EXIM_SMTP_max_rcpt], 100);

		if (*noj == maxoj) {
			/* The oldest is closed; what comes for it later gets a transaction of its own. */
			job_ready(oj[0].dest, oj[0].job);
			memmove(oj, oj + 1, (maxoj - 1) * sizeof(*oj));
			i = --*noj;
		}
		oj[i] = (struct open_job){ .dest = dest, .job = xcalloc(1, sizeof(struct remote_job)),
		    .max = max <= 0 || max > 1000 ? 1000 : (size_t)max };
		oj[i].job->m = d->m;
		(*noj)++;
	}
	/* Grows by doubling: at 1, 2, 4 ... */
	if ((oj[i].job->n & (oj[i].job->n - 1)) == 0)
		oj[i].job->v = xreallocarray(oj[i].job->v, oj[i].job->n == 0 ? 1 : oj[i].job->n * 2, sizeof(struct dlv *));
	oj[i].job->v[oj[i].job->n++] = d;
}

/* Merge two lists by rank; of equals those of <a> come first. */
static struct dlv *
merge(struct dlv *a, struct dlv *b)
{
	struct dlv *first = NULL, **last = &first;

	while (a != NULL && b != NULL) {
		struct dlv **from = b->rank < a->rank ? &b : &a;

		*last = *from;
		last = &(*last)->next;
		*from = *last;
	}
	*last = a != NULL ? a : b;
	return (first);
}

static struct dlv *
sorted(struct dlv *list, size_t n)
{
	struct dlv *second, **half = &list;

	if (n < 2)
		return (list);
	for (size_t i = 0; i < n / 2; i++)
		half = &(*half)->next;
	second = *half;
	*half = NULL;
	return (merge(sorted(list, n / 2), sorted(second, n - n / 2)));
}

/* remote_sort_domains: in the order of the list's items, then those that are in none. */
static struct dlv *
by_domain(struct vq_env *e, const struct exim_list *order, struct dlv *list)
{
	struct err err = ERR_INIT;
	size_t n = 0;

	for (struct dlv *d = list; d != NULL; d = d->next, n++)
		(void)exim_match_domain_rank(order, &e->env, d->rd->domain, &d->rank, &err);
	return (sorted(list, n));
}

void
remote_add(struct vq *vq, struct msg *m, struct dlv *list)
{
	const struct exim_list *order = exim_main_list(vq->conf, EXIM_MAIN_remote_sort_domains);
	struct vq_env e = { .arena = NULL };
	struct open_job oj[64];
	size_t noj = 0;

	env_open(&e, vq, m);
	if (order != NULL)
		list = by_domain(&e, order, list);
	for (struct dlv *d = list, *next; d != NULL; d = next) {
		next = d->next;
		place(vq, &e, d, oj, &noj, sizeof(oj) / sizeof(oj[0]));
	}
	for (size_t i = 0; i < noj; i++)
		job_ready(oj[i].dest, oj[i].job);
	env_close(&e);
	arena_free(&e.arena);
}

int
remote_init(struct vq *vq, struct err *err)
{
	(void)err;
	vq->dests = hash_new();
	return (0);
}
