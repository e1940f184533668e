/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker of a destination: it takes job after job from the line, finds a host that takes it, sends over the connection
 * that stands, and tells of each recipient what became of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deliver/event.h"
#include "remote_int.h"
#include "route/world.h"
#include "smtp/reply.h"

#define IDLE_MS		1000		/* a connection without work is kept so long */
#define DEFER_S		300
#define NO_MEANS_S	60

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
	const char *sys = deliver_is_bare(e) ? "" : deliver_sys_words(deliver_event_number(e));

	if (next != 0) {
		w->expired = false;
		if (next < w->next_try)
			w->next_try = next;
	}
	w->last = *e;
	w->last_tail = log_host_tail(d->vq, w->env.arena, h, NULL, NULL);
	vlog(d->vq, "%s%s%s %s%s%s", j->m->env.id, w->last_tail, deliver_is_bare(e) ? "" : ":", deliver_words(e),
	    *sys == '\0' ? "" : ": ", sys);
	if (!deliver_at_host(e))
		w->last_tail = NULL;
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

		r->addr = deliver_rcpt_address(d->rd, w->env.arena);
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
		struct sv path = arena_sv(j->m->arena, dm.sender);

		for (size_t i = 0; i < j->n; i++)
			j->v[i]->sender = path;
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
		remote_put_off(j);
	else
		process(w, j);
	/* No connection is kept up without work while others wait for its place. */
	if (gate_is_wanted(gate) || (w->d->head == NULL && gate_is_wanted(w->host_gate)))
		disconnect(w);
	gate_leave(vq, &gate);
	free(j->v);
	free(j);
	m->remote_jobs--;
	remote_next(m);
	msg_unref(m);
}

void
remote_worker(void *arg)
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
	d->workers--;
	remote_dest_unused(d);
}
