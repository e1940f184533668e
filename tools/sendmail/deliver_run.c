/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One attempt to deliver a message: routing, local deliveries in children that become users, remote ones
 * over lib/deliver, log lines as Exim writes them, reports, and what is left for later.
 *
 * The order is Exim's, for its logs are compared: recipients are routed from the last to the first, their
 * children after them; local deliveries are done in the reverse order of routing, then remote ones.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deliver.h"
#include "filter/forward.h"

#define LINE_MAX_LOG	(64 * 1024)
#define BATCH_LIMIT	1000

struct event {				/* a delivery or failure of routing */
	const struct route_delivery *rd;
	const struct route_failure *f;
	const struct route_addr *addr;
	struct sv	 top;
	unsigned	 depth, turn, seq;
	bool		 taken;
};

struct late {
	struct event	 e;
	struct sv	 report, host;
};

struct attempt {
	struct deliver	*d;
	struct dmsg	*m;
	VEC(struct event) ev;
	dfails		 failed;
	VEC(struct sv)	 open;		/* recipients of which something was deferred */
	VEC(struct late) late;		/* deferred, and no rule gives them more time */
	VEC(struct hash *) vars;
	struct event	**batch;	/* of the transport under way */
	size_t		 nbatch;
};

/* ---- log lines ---- */

static struct sv
top_of(const struct route_addr *a)
{
	while (a->parent != NULL)
		a = a->parent;
	return (a->address);
}

static bool
is_pfr(const struct route_delivery *rd)
{
	return (rd != NULL && (rd->kind == ROUTE_PIPE || rd->kind == ROUTE_FILE || rd->kind == ROUTE_DIRECTORY || rd->kind == ROUTE_REPLY));
}

static void
put_pfr(struct sb *out, const struct route_delivery *rd)
{
	if (rd->kind == ROUTE_PIPE && !sv_starts(rd->text, "|"))
		sb_addc(out, '|');
	if (rd->kind == ROUTE_REPLY)
		sb_addc(out, '>');
	sb_add(out, rd->text);
}

static bool
same_address(struct sv a, struct sv b)
{
	ptrdiff_t x = sv_rchr(a, '@'), y = sv_rchr(b, '@');

	return (sv_caseeq(a, b) && x == y && (x < 0 || sv_eq(sv_sub(a, 0, (size_t)x), sv_sub(b, 0, (size_t)y))));
}

static void
log_address(struct attempt *at, struct sb *out, const struct route_addr *addr, const struct route_delivery *rd, bool success)
{
	bool all = dlog_on(at->d, EXIM_LOGSEL_all_parents), add_top = true;
	const struct route_addr *top = addr;

	while (top->parent != NULL)
		top = top->parent;
	if (is_pfr(rd))
		put_pfr(out, rd);
	else if (success && rd != NULL && rd->transport != NULL && rd->transport->local && rd->router != NULL &&
	    rd->router->drv == EXIM_ROUTER_DRV_ACCEPT) {
		sb_add(out, rd->prefix);
		sb_add(out, rd->local_part);
		sb_add(out, rd->suffix);
	} else {
		struct sv shown = addr->address;

		/* Routers that took no care of the case lowered it. */
		if (rd == NULL && sv_rchr(shown, '@') > 0) {
			char *p = arena_cstr(at->m->arena, shown);

			for (ptrdiff_t i = 0; i < sv_rchr(shown, '@'); i++)
				p[i] = sv_lower(p[i]);
			shown.p = p;
		}
		sb_add(out, shown);
		if (same_address(shown, top->address) && (!all || addr->parent == NULL || addr->parent == top))
			add_top = false;
	}
	if ((all || is_pfr(rd)) && addr->parent != NULL && addr->parent != top) {
		const char *sep = " (";

		for (const struct route_addr *p = addr->parent; p != top && p != NULL; p = p->parent) {
			sb_addf(out, "%s" SV_FMT, sep, SV_ARG(p->address));
			sep = ", ";
			if (!all)
				break;
		}
		sb_addc(out, ')');
	}
	if (add_top)
		sb_addf(out, " <" SV_FMT ">", SV_ARG(top->address));
}

static void
log_where(struct attempt *at, struct sb *out, const struct route_delivery *rd, const struct exim_router *router)
{
	if (dlog_on(at->d, EXIM_LOGSEL_sender_on_delivery))
		sb_addf(out, " F=<" SV_FMT ">", SV_ARG(at->m->sender));
	if (rd != NULL && dlog_on(at->d, EXIM_LOGSEL_return_path_on_delivery))
		sb_addf(out, " P=<" SV_FMT ">", SV_ARG(rd->errors_to_set ? rd->errors_to : at->m->sender));
	if (router != NULL)
		sb_addf(out, " R=%s", router->d.name);
	if (rd != NULL && rd->transport != NULL)
		sb_addf(out, " T=%s", rd->transport->d.name);
}

static void
log_ok(struct attempt *at, const struct event *e, bool also, const char *tail)
{
	struct sb out = SB_INIT(LINE_MAX_LOG);

	sb_addf(&out, "%s %s ", at->m->id, also ? "->" : "=>");
	log_address(at, &out, e->addr, e->rd, true);
	log_where(at, &out, e->rd, e->rd->router);
	if (dlog_on(at->d, EXIM_LOGSEL_delivery_size))
		sb_addf(&out, " S=%lld", (long long)at->d->t->msg.size);
	if (tail != NULL)
		sb_adds(&out, tail);
	if (dlog_on(at->d, EXIM_LOGSEL_queue_time))
		sb_addf(&out, " QT=%llds", (long long)(dnow() - at->m->received_us / 1000000));
	if (dlog_on(at->d, EXIM_LOGSEL_deliver_time))
		sb_adds(&out, " DT=0s");
	dlog(at->d, DLOG_MAIN, SV_FMT, SV_ARG(sb_sv(&out)));
	sb_free(&out);
}

static void
log_bad(struct attempt *at, const struct event *e, const char *mark, const char *how, const char *tail, int64_t sys,
    struct sv text, bool panic)
{
	struct sb out = SB_INIT(LINE_MAX_LOG);
	const struct exim_router *router = e->rd != NULL ? e->rd->router : e->f != NULL ? e->f->router : NULL;

	sb_addf(&out, "%s %s ", at->m->id, mark);
	log_address(at, &out, e->addr, e->rd, false);
	log_where(at, &out, e->rd, router);
	if (how != NULL)
		sb_addf(&out, " defer (%lld)", (long long)sys);
	if (tail != NULL)
		sb_adds(&out, tail);
	if (sys > 0)
		sb_addf(&out, ": %s", strerror((int)sys));
	if (text.len > 0)
		sb_addf(&out, ": " SV_FMT, SV_ARG(text));
	dlog(at->d, DLOG_MAIN | (panic ? DLOG_PANIC : 0), SV_FMT, SV_ARG(sb_sv(&out)));
	sb_free(&out);
}

/* ---- how deliveries end ---- */

static void
settled(struct attempt *at, const struct event *e)
{
	dmsg_set_done(at->m, e->addr->unique.len > 0 ? e->addr->unique : e->addr->address);
}

static void
add_failure(struct attempt *at, const struct event *e, struct sv text, struct sv host, struct sv output)
{
	struct dfail f = { .rd = e->rd, .addr = e->addr, .top = e->top, .to = at->m->sender, .text = text, .host = host,
	    .output = output };

	if (e->rd != NULL && e->rd->errors_to_set)
		f.to = e->rd->errors_to;
	if (e->f != NULL && e->f->errors_to_set)
		f.to = e->f->errors_to;
	f.ignore = (e->rd != NULL && e->rd->ignore_error) || (e->f != NULL && e->f->ignore_error);
	vec_push(&at->failed, f);
	settled(at, e);
}

/* The rule for a failure, and whether its time is over: then the delivery fails. */
static bool
may_retry(struct attempt *at, const struct event *e, enum exim_retry_error what, struct sv host, int code)
{
	struct sv addr = e->addr->address;
	ptrdiff_t sign = sv_rchr(addr, '@');
	struct exim_retry_what w = { .key = addr, .sender = at->m->sender, .error = what, .code = code };
	const struct exim_retry_rule *r;
	int64_t now = dnow(), next;

	if (host.len > 0) {
		w.key = host;
		w.alternate = sign < 0 ? SV_NULL : sv_sub(addr, (size_t)sign + 1, addr.len);
	}
	r = exim_retry_find(at->d->conf, &at->d->t->env, &w);
	if (r == NULL)
		return (false);
	if (at->m->first_failed == 0)
		at->m->first_failed = now;
	if (exim_retry_expired(r, at->m->first_failed, now))
		return (false);
	next = exim_retry_next(r, at->m->first_failed, now, now, 0, 0);
	if (next == 0)
		return (false);
	if (at->m->next_try == 0 || next < at->m->next_try)
		at->m->next_try = next;
	return (true);
}

static void
deferred(struct attempt *at, const struct event *e, struct sv report, struct sv host, bool retry)
{
	if (retry) {
		vec_push(&at->open, e->top);
		return;
	}
	vec_push(&at->late, ((struct late){ .e = *e, .report = report, .host = host }));
}

/* Those whose time is over fail when everything was tried. */
static void
time_over(struct attempt *at)
{
	for (size_t i = 0; i < at->late.len; i++) {
		const struct late *l = &at->late.p[i];
		struct sv text = SV_LIT("retry timeout exceeded");
		struct event bare = { .addr = l->e.addr, .rd = is_pfr(l->e.rd) ? l->e.rd : NULL, .top = l->e.top };
		struct route_delivery pfr;

		if (bare.rd != NULL) {
			pfr = *bare.rd;
			pfr.transport = NULL;
			pfr.router = NULL;
			bare.rd = &pfr;
		}
		log_bad(at, &bare, "**", NULL, NULL, 0, text, false);
		add_failure(at, &l->e, l->report.len > 0 ? sv_cstr(arena_fmt(at->m->arena, SV_FMT ": " SV_FMT, SV_ARG(l->report),
		    SV_ARG(text))) : text, l->host, SV_NULL);
	}
}

/* ---- local transports ---- */

static void
own_reply(struct attempt *at, const struct transport_delivery *td, struct transport_job *j, struct transport_result *r, int fd)
{
	struct transport_reply reply;
	struct transport_result note;
	struct err err = ERR_INIT;
	struct dmsg *m = at->m;
	int rc;

	if (transport_reply_compose(td, j, r, fd, &reply, &err) == -1) {
		(void)transport_fail(r, m->arena, TRANSPORT_DEFER, 0, "%s", err.text);
		return;
	}
	rc = reply.nrcpts == 0 ? 0 : dreceive_own(at->d, m, duser_name(m->arena, j->uid), j->uid, reply.text, reply.rcpts, reply.nrcpts, true, false);
	denv_message(at->d, m);
	if (rc != 0) {
		(void)transport_fail(r, m->arena, TRANSPORT_DEFER, 0, "Failed to send message from %s transport (%d)", td->t->d.name, rc);
		return;
	}
	j->phase = TRANSPORT_REPLY_NOTE;
	if (j->once.len > 0 || j->log.len > 0)
		transport_run(j, fd, 0, m->arena, &note);
	memset(r, 0, sizeof(*r));
}

static void
run_by(struct attempt *at, const struct exim_transport *t, const struct route_delivery **rds, size_t n, struct transport_result *r)
{
	struct deliver *d = at->d;
	struct dmsg *m = at->m;
	int fd = m->content == NULL ? -1 : fileno(m->content);
	struct transport_delivery td = { .env = &d->t->env, .t = t, .rd = rds, .n = n, .id = sv_from(m->id, SPOOL_ID_LEN),
	    .return_path = rds[0]->errors_to_set ? rds[0]->errors_to : d->t->msg.sender, .bounce = m->sender.len == 0,
	    .size = (uint64_t)d->t->msg.size, .now = dnow(), .uid = d->conf->g.exim_uid, .gid = d->conf->g.exim_gid,
	    .hostname = arena_cstr(m->arena, d->t->g.primary_hostname), .arena = m->arena };
	struct exim_address a;
	struct transport_job j;
	struct transport_reply warn;
	struct err err = ERR_INIT;
	off_t size = fd == -1 ? 0 : lseek(fd, 0, SEEK_END);

	denv_delivery(d, m, rds[0], &a);
	a.transport_name = sv_cstr(t->d.name);
	td.body_off = m->block.len;
	td.body_len = size > (off_t)m->block.len ? (uint64_t)size - m->block.len : 0;
	if (transport_prepare(&td, &j, r) == -1)
		return;
	transport_run(&j, fd, 0, m->arena, r);
	if (j.kind == TRANSPORT_AUTOREPLY && r->status == TRANSPORT_OK && r->send)
		own_reply(at, &td, &j, r, fd);
	if (r->status == TRANSPORT_OK && r->warn && transport_quota_warning(&td, &warn, &err) == 0 && warn.nrcpts > 0)
		(void)dreceive_own(d, m, duser_name(m->arena, j.uid), j.uid, warn.text, warn.rcpts, warn.nrcpts, true, false);
	denv_message(d, m);
}

static struct sv
report_text(const struct transport_result *r)
{
	if (r->user_text.len > 0)
		return (r->user_text);
	return (SV_NULL);
}

static void
end_local(struct attempt *at, const struct event *e, const struct transport_result *r, int st, struct sv text, bool also,
    const char *tail)
{
	switch (st) {
	case TRANSPORT_OK:
		log_ok(at, e, also, tail);
		settled(at, e);
		break;
	case TRANSPORT_FAIL: {
		struct sv report = report_text(r);

		log_bad(at, e, "**", NULL, NULL, r->sys, text, r->panic);
		if (report.len == 0 && !sv_eqs(text, "return message generated"))
			report = SV_LIT("local delivery failed");
		add_failure(at, e, report, SV_NULL, r->output);
		break;
	}
	default:
		log_bad(at, e, "==", "defer", NULL, r->sys, text, r->panic);
		if (r->freeze) {
			at->m->frozen = true;
			at->m->frozen_at = dnow();
		}
		deferred(at, e, report_text(r), SV_NULL, r->freeze || r->panic ||
		    may_retry(at, e, r->quota ? EXIM_RE_QUOTA : EXIM_RE_ANY, SV_NULL, 0));
	}
}

static const char *
shadow(struct attempt *at, const struct exim_transport *t, const struct route_delivery **rds, size_t n)
{
	const struct exim_value *g = t->d.generic;
	const struct exim_transport *s = g[EXIM_TRANSPORT_shadow_transport].text.p == NULL ? NULL :
	    exim_conf_transport(at->d->conf, g[EXIM_TRANSPORT_shadow_transport].text);
	struct transport_result r;
	struct err err = ERR_INIT;
	bool yes = true;

	if (s == NULL || !s->local || (g[EXIM_TRANSPORT_shadow_condition].str != NULL &&
	    (exim_expand_bool(g[EXIM_TRANSPORT_shadow_condition].str, &at->d->t->env, false, &yes, &err) != EXIM_OK || !yes)))
		return (NULL);
	run_by(at, s, rds, n, &r);
	if (r.status == TRANSPORT_OK)
		return (arena_fmt(at->m->arena, " ST=%s", s->d.name));
	return (arena_fmt(at->m->arena, " ST=%s (" SV_FMT ")", s->d.name, SV_ARG(r.text)));
}

static void
deliver_local(struct attempt *at, struct event **v, size_t n)
{
	const struct exim_transport *t = v[0]->rd->transport, *other;
	const struct route_delivery **rds = arena_alloc(at->m->arena, n * sizeof(*rds));
	struct transport_result r;
	const char *tail = NULL;

	for (size_t i = 0; i < n; i++)
		rds[i] = v[i]->rd;
	run_by(at, t, rds, n, &r);
	if (r.switch_to.len > 0 && (other = exim_conf_transport(at->d->conf, r.switch_to)) != NULL)
		run_by(at, other, rds, n, &r);
	if (r.log_line.len > 0)
		dlog(at->d, DLOG_MAIN, "%s <" SV_FMT ">: %s transport output: " SV_FMT, at->m->id, SV_ARG(v[0]->addr->address), t->d.name,
		    SV_ARG(r.log_line));
	if (r.status == TRANSPORT_OK) {
		tail = shadow(at, t, rds, n);
		if (r.confirmation.len > 0 && dlog_on(at->d, EXIM_LOGSEL_smtp_confirmation))
			tail = arena_fmt(at->m->arena, "%s C=\"" SV_FMT "\"", tail == NULL ? "" : tail, SV_ARG(r.confirmation));
	}
	for (size_t i = 0, ok = 0; i < n; i++) {
		int st = (int)r.status;
		struct sv text = r.text;

		if (r.rcpt_results.n == n && r.rcpt_results.v[i].len > 0) {
			st = r.rcpt_results.v[i].p[0] - '0';
			text = sv_sub(r.rcpt_results.v[i], 1, r.rcpt_results.v[i].len);
		}
		end_local(at, v[i], &r, st, text, ok > 0, tail);
		ok += st == TRANSPORT_OK;
	}
}

/* ---- remote ---- */

static void
end_remote(void *arg, size_t i, int st, int64_t sys, const char *tail, struct sv text, struct sv host, bool also)
{
	struct attempt *at = arg;
	struct event *e = at->batch[i];

	if (st == TRANSPORT_OK) {
		log_ok(at, e, also, tail);
		settled(at, e);
	} else if (st == TRANSPORT_FAIL) {
		log_bad(at, e, "**", NULL, tail, 0, text, false);
		add_failure(at, e, text, host, SV_NULL);
	} else {
		log_bad(at, e, "==", "defer", tail, sys, text, false);
		deferred(at, e, text, host, may_retry(at, e, EXIM_RE_ANY, SV_NULL, 0));
	}
}

static bool
same_group(const struct route_delivery *a, const struct route_delivery *b)
{
	if (a->transport != b->transport || a->nhosts != b->nhosts || a->errors_to_set != b->errors_to_set ||
	    !sv_eq(a->errors_to, b->errors_to) || a->nheaders_add != b->nheaders_add || a->nheaders_remove != b->nheaders_remove)
		return (false);
	for (size_t i = 0; i < a->nhosts; i++)
		if (strcmp(a->hosts[i].name, b->hosts[i].name) != 0 || !net_addr_eq(&a->hosts[i].addr, &b->hosts[i].addr))
			return (false);
	return (true);
}

static void
deliver_remote(struct attempt *at, struct event **v, size_t n)
{
	struct dremote r = { .d = at->d, .m = at->m, .n = n, .end = end_remote, .arg = at };

	r.rd = arena_alloc(at->m->arena, n * sizeof(*r.rd));
	for (size_t i = 0; i < n; i++)
		r.rd[i] = v[i]->rd;
	at->batch = v;
	at->nbatch = n;
	ddeliver_remote(&r);
}

/* ---- all of a message ---- */

static bool
together(struct attempt *at, struct event *a, struct event *b)
{
	struct exim_address x, y;
	struct exim_env ea, eb;
	bool yes;

	if (!a->rd->transport->local)
		return (same_group(a->rd, b->rd));
	if (a->rd->transport != b->rd->transport || transport_batch_max(a->rd->transport) <= 1)
		return (false);
	denv_delivery(at->d, at->m, b->rd, &y);
	eb = at->d->t->env;
	eb.addr = &y;
	denv_delivery(at->d, at->m, a->rd, &x);
	ea = at->d->t->env;
	ea.addr = &x;
	yes = transport_same_batch(a->rd->transport, &ea, a->rd, &eb, b->rd);
	return (yes);
}

/* From the last routed to the first; <local>: those first. */
static void
deliver_all(struct attempt *at, bool local)
{
	for (size_t i = at->ev.len; i-- > 0;) {
		struct event *e = &at->ev.p[i], **v;
		size_t n = 0, max;

		if (e->rd == NULL || e->taken || e->rd->transport == NULL || e->rd->transport->local != local)
			continue;
		max = local ? (size_t)transport_batch_max(e->rd->transport) : BATCH_LIMIT;
		max = max < 1 ? 1 : max > BATCH_LIMIT ? BATCH_LIMIT : max;
		v = arena_alloc(at->m->arena, max * sizeof(struct event *));
		v[n++] = e;
		e->taken = true;
		for (size_t k = i; k-- > 0 && n < max;) {
			struct event *o = &at->ev.p[k];

			if (o->rd == NULL || o->taken || o->rd->transport == NULL || o->rd->transport->local != local || !together(at, e, o))
				continue;
			o->taken = true;
			v[n++] = o;
		}
		if (local)
			deliver_local(at, v, n);
		else
			deliver_remote(at, v, n);
	}
}

static unsigned
depth_of(const struct route_addr *a)
{
	unsigned n = 0;

	for (; a->parent != NULL; a = a->parent)
		n++;
	return (n);
}

static int
by_order(const void *x, const void *y)
{
	const struct event *a = x, *b = y;

	if (a->depth != b->depth)
		return (a->depth < b->depth ? -1 : 1);
	if (a->turn != b->turn)
		return (a->turn < b->turn ? -1 : 1);
	/* Children come in front of those that came before them. */
	return (a->seq == b->seq ? 0 : (a->seq < b->seq) == (a->depth == 0) ? -1 : 1);
}

static void
route(struct attempt *at, const struct drcpt *rc, unsigned turn)
{
	struct deliver *d = at->d;
	struct exim_address a;
	struct route_request rq = { .conf = d->conf, .env = &d->t->env, .arena = at->m->arena, .ops = &d->t->ops,
	    .mode = ROUTE_DELIVER, .address = sv_taint(rc->addr), .sender = sv_taint(at->m->sender) };
	struct route_result res;

	memset(&res, 0, sizeof(res));
	memset(&a, 0, sizeof(a));
	d->t->env.addr = &a;
	route_address(&rq, &res);
	d->t->env.addr = NULL;
	for (size_t i = 0; i < res.ndeliveries; i++) {
		const struct route_delivery *rd = &res.delivery[i];
		struct event e = { .rd = rd, .addr = rd->addr, .top = rc->addr, .depth = depth_of(rd->addr), .turn = turn, .seq = rd->seq };

		if (dmsg_is_done(at->m, rd->addr->unique.len > 0 ? rd->addr->unique : rd->addr->address) && rd->addr->parent != NULL)
			continue;
		vec_push(&at->ev, e);
	}
	for (size_t i = 0; i < res.nfailures; i++) {
		const struct route_failure *f = &res.failure[i];
		struct event e = { .f = f, .addr = f->addr, .top = rc->addr, .depth = depth_of(f->addr), .turn = turn, .seq = f->seq };

		vec_push(&at->ev, e);
	}
	for (size_t i = 0; i < res.nvars; i++)
		vec_push(&at->vars, res.vars[i]);
	res.nvars = 0;
	route_result_free(&res);
}

/* ---- the system filter ---- */

static void
cancelled(struct attempt *at, const char *text)
{
	struct dmsg *m = at->m;
	struct sv log = sv_cstr(text), user = log;
	ptrdiff_t close = sv_find(log, SV_LIT(">>"));

	/* "<<for the log>>for the sender" */
	if (sv_starts(log, "<<") && close > 0) {
		user = sv_sub(log, (size_t)close + 2, log.len);
		log = sv_sub(log, 2, (size_t)close);
	}
	dlog(at->d, DLOG_MAIN, "%s cancelled by system filter%s" SV_FMT, m->id, log.len > 0 ? ": " : "", SV_ARG(log));
	for (size_t i = 0; i < m->rcpts.len; i++) {
		struct route_addr *a = arena_zalloc(m->arena, sizeof(*a));
		struct event e = { .addr = a, .top = m->rcpts.p[i].addr };

		a->address = a->unique = m->rcpts.p[i].addr;
		if (!dmsg_is_done(m, a->address))
			add_failure(at, &e, arena_sv(m->arena, user), SV_NULL, SV_NULL);
	}
}

static void
filter_file(struct attempt *at, const struct filter_action *x, const struct route_addr *from)
{
	const struct exim_value *main = at->d->conf->main;
	const struct exim_value *t = x->kind == FILTER_PIPE ? &main[EXIM_MAIN_system_filter_pipe_transport] :
	    x->kind == FILTER_MAIL ? &main[EXIM_MAIN_system_filter_reply_transport] : &main[EXIM_MAIN_system_filter_file_transport];
	struct route_delivery *rd = arena_zalloc(at->m->arena, sizeof(*rd));
	struct route_addr *a = arena_zalloc(at->m->arena, sizeof(*a));
	struct exim_passwd pw;
	struct err err = ERR_INIT;

	a->address = a->unique = x->to;
	a->parent = from;
	rd->addr = a;
	rd->kind = x->kind == FILTER_PIPE ? ROUTE_PIPE : x->kind == FILTER_MAIL ? ROUTE_REPLY : ROUTE_FILE;
	rd->text = x->to;
	rd->text.tainted = false;
	rd->local_part = from->address;
	(void)exim_conf_transport_of(at->d->conf, t, &at->d->t->env, &rd->transport, &err);
	rd->uid = rd->gid = -1;
	if (main[EXIM_MAIN_system_filter_user].set) {
		rd->user_set = true;
		rd->uid = main[EXIM_MAIN_system_filter_user].num;
		if (at->d->t->world.passwd != NULL && at->d->t->world.passwd(at->d->t->world.arg, duser_name(at->m->arena, rd->uid),
		    at->m->arena, &pw) == EXIM_FOUND) {
			rd->group_set = true;
			rd->gid = (int64_t)pw.gid;
		}
	}
	vec_push(&at->ev, ((struct event){ .rd = rd, .addr = a, .top = from->address }));
}

static void route(struct attempt *at, const struct drcpt *rc, unsigned turn);

static void
filter_forward(struct attempt *at, struct sv to, const struct route_addr *from)
{
	const struct drcpt rc = { .addr = to, .parent = -1 };
	size_t n = at->ev.len;

	route(at, &rc, 0);
	for (; n < at->ev.len; n++) {
		struct event *e = &at->ev.p[n];
		struct route_addr *a = (struct route_addr *)(uintptr_t)e->addr;

		while (a->parent != NULL)
			a = (struct route_addr *)(uintptr_t)a->parent;
		a->parent = from;
		e->top = from->address;
		e->depth++;
	}
}

/* False: the message goes no further by itself. */
static bool
system_filter(struct attempt *at)
{
	struct route_addr *from = arena_zalloc(at->m->arena, sizeof(*from));
	struct filter_plan plan;
	enum exim_filter_end end;
	const char *text;

	if (at->d->conf->main[EXIM_MAIN_system_filter].str == NULL)
		return (true);
	filter_plan_init(&plan, at->m->arena);
	from->address = from->unique = SV_LIT("system-filter");
	end = dfilter_system(at->d, at->m, &plan, &text);
	for (size_t i = 0; i < plan.v.len && end <= EXIM_FILTER_NOT_DELIVERED; i++) {
		const struct filter_action *x = &plan.v.p[i];

		if (x->kind == FILTER_FORWARD)
			filter_forward(at, x->to, from);
		else if (x->kind == FILTER_FILE || x->kind == FILTER_PIPE || x->kind == FILTER_MAIL)
			filter_file(at, x, from);
	}
	filter_plan_free(&plan);
	switch (end) {
	case EXIM_FILTER_END_FAIL:
		cancelled(at, text);
		return (false);
	case EXIM_FILTER_END_FREEZE:
		dlog(at->d, DLOG_MAIN, "%s frozen by system filter%s%s", at->m->id, *text != '\0' ? ": " : "", text);
		at->m->frozen = true;
		at->m->frozen_at = dnow();
		break;
	case EXIM_FILTER_END_DEFER:
	case EXIM_FILTER_ERROR:
		dlog(at->d, DLOG_MAIN | DLOG_PANIC, "%s Error in system filter: %s", at->m->id, text);
		break;
	case EXIM_FILTER_DELIVERED:
		return (false);
	default:
		return (true);
	}
	for (size_t i = 0; i < at->m->rcpts.len; i++)
		vec_push(&at->open, at->m->rcpts.p[i].addr);
	return (false);
}

/* What routing itself decided is told at once. */
static void
tell_routing(struct attempt *at)
{
	for (size_t i = 0; i < at->ev.len; i++) {
		struct event *e = &at->ev.p[i];
		struct sv text, report;

		for (size_t k = 0; e->rd != NULL && k < i; k++)
			if (at->ev.p[k].rd != NULL && at->ev.p[k].rd->kind == e->rd->kind && at->ev.p[k].rd->transport == e->rd->transport &&
			    sv_eq(at->ev.p[k].addr->unique, e->addr->unique) && e->addr->unique.len > 0 && sv_eq(at->ev.p[k].rd->text, e->rd->text))
				e->taken = true;
		if (e->rd != NULL && e->rd->kind == ROUTE_DISCARD && !e->taken) {
			struct sb out = SB_INIT(LINE_MAX_LOG);

			sb_addf(&out, "%s => :blackhole: <" SV_FMT ">", at->m->id, SV_ARG(top_of(e->addr)));
			log_where(at, &out, e->rd, e->rd->router);
			dlog(at->d, DLOG_MAIN, SV_FMT, SV_ARG(sb_sv(&out)));
			sb_free(&out);
			e->taken = true;
		}
		if (e->rd != NULL && e->rd->kind != ROUTE_DISCARD && e->rd->transport == NULL && !e->taken) {
			e->taken = true;
			log_bad(at, e, "==", "defer", NULL, -1, SV_LIT("no transport is set for this kind of delivery"), true);
			vec_push(&at->open, e->top);
		}
		if (e->f == NULL)
			continue;
		text = sv_cstr(arena_str(at->m->arena, e->f->err.text));
		report = e->f->user_msg.len > 0 ? e->f->user_msg : text;
		if (e->f->fate == ROUTE_FAIL) {
			log_bad(at, e, "**", NULL, NULL, 0, text, false);
			add_failure(at, e, report, SV_NULL, SV_NULL);
		} else {
			log_bad(at, e, "==", "defer", NULL, -1, text, false);
			if (e->f->fate == ROUTE_FREEZE) {
				at->m->frozen = true;
				at->m->frozen_at = dnow();
			}
			deferred(at, e, report, SV_NULL, e->f->fate == ROUTE_FREEZE || may_retry(at, e, e->f->retry_error, SV_NULL, 0));
		}
	}
}

/* One report to each who is to be told. */
static void
report(struct attempt *at)
{
	struct deliver *d = at->d;
	struct dmsg *m = at->m;

	for (size_t i = 0; i < at->failed.len; i++) {
		VEC(struct dfail) v = VEC_INIT;
		struct sv to = at->failed.p[i].to;
		bool first = true;

		for (size_t k = 0; k < i; k++)
			first = first && (at->failed.p[k].ignore || !sv_eq(at->failed.p[k].to, to));
		if (at->failed.p[i].ignore || !first)
			continue;
		/* What failed last stands first. */
		for (size_t k = at->failed.len; k-- > i;)
			if (!at->failed.p[k].ignore && sv_eq(at->failed.p[k].to, to))
				vec_push(&v, at->failed.p[k]);
		if (to.len == 0) {
			/* Nobody is left to be told: it stays until somebody looks. */
			if (!m->frozen)
				dlog(d, DLOG_MAIN, "%s Frozen (delivery error message)", m->id);
			m->frozen = true;
			m->frozen_at = dnow();
			for (size_t k = 0; k < v.len; k++)
				vec_push(&at->open, v.p[k].top);
		} else
			dbounce(d, m, v.p, v.len, to);
		vec_free(&v);
	}
}

static bool
is_open(const struct attempt *at, struct sv top)
{
	for (size_t i = 0; i < at->open.len; i++)
		if (sv_eq(at->open.p[i], top))
			return (true);
	return (false);
}

static void
finish(struct attempt *at)
{
	struct dmsg *m = at->m;
	struct err err = ERR_INIT;
	bool left = false;

	for (size_t i = 0; i < m->rcpts.len; i++) {
		if (is_open(at, m->rcpts.p[i].addr)) {
			left = true;
			/* Only what its children did is kept. */
			for (size_t k = 0; k < m->done.len; k++)
				if (sv_caseeq(m->done.p[k], m->rcpts.p[i].addr)) {
					vec_remove(&m->done, k);
					break;
				}
		} else
			dmsg_set_done(m, m->rcpts.p[i].addr);
	}
	if (!left) {
		dspool_remove(at->d, m->id);
		dlog(at->d, DLOG_MAIN, "%s Completed", m->id);
	} else if (dspool_write(at->d, m, false, &err) == -1)
		dlog(at->d, DLOG_MAIN | DLOG_PANIC, "%s %s", m->id, err.text);
}

/* What routers want to be known: lib/route's table has no place for more than the words. */
static const char *now_about;
static struct deliver *now_for;

static void
note(void *arg, const char *text)
{
	(void)arg;
	if (now_for != NULL)
		dlog(now_for, DLOG_MAIN, "%s %s", now_about, text);
}

void
ddeliver(struct deliver *d, const char *id, bool force)
{
	struct attempt at = { .d = d };
	struct err err = ERR_INIT;
	bool go_on;

	if (dspool_read(d, id, &at.m, &err) == -1) {
		dlog(d, DLOG_MAIN, "%s %s", id, err.text);
		return;
	}
	if (at.m->frozen && !force) {
		if (dlog_on(d, EXIM_LOGSEL_skip_delivery))
			dlog(d, DLOG_MAIN, "%s Message is frozen", id);
		dmsg_free(&at.m);
		return;
	}
	at.m->frozen = false;
	denv_index(at.m);
	denv_message(d, at.m);
	now_about = at.m->id;
	now_for = d;
	d->t->ops.note = note;
	go_on = system_filter(&at);
	for (size_t i = at.m->rcpts.len; go_on && i-- > 0;)
		if (!dmsg_is_done(at.m, at.m->rcpts.p[i].addr))
			route(&at, &at.m->rcpts.p[i], (unsigned)(at.m->rcpts.len - i));
	if (at.ev.len > 1)
		qsort(at.ev.p, at.ev.len, sizeof(*at.ev.p), by_order);
	tell_routing(&at);
	deliver_all(&at, true);
	deliver_all(&at, false);
	time_over(&at);
	report(&at);
	finish(&at);
	now_for = NULL;
	d->t->env.addr = NULL;
	vec_free(&at.ev);
	vec_free(&at.failed);
	vec_free(&at.open);
	vec_free(&at.late);
	for (size_t i = 0; i < at.vars.len; i++)
		hash_free(&at.vars.p[i], NULL);
	vec_free(&at.vars);
	dmsg_free(&at.m);
}

void
ddeliver_pending(struct deliver *d)
{
	while (d->pending.len > 0) {
		char *id = d->pending.p[0];

		vec_remove(&d->pending, 0);
		d->depth++;
		if (d->depth < 100)
			ddeliver(d, id, false);
		d->depth--;
		free(id);
	}
}
