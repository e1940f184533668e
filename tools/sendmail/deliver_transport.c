/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The deliveries of an attempt: local ones in children that become users, remote ones over lib/deliver, those together
 * that may go together.
 */
#include <string.h>
#include <unistd.h>

#include "deliver_int.h"
#include "os/time.h"

#define BATCH_LIMIT	1000

/* What Exim puts in brackets. */
#define NUMBER_LOCAL_WAITS (-53)

/* ---- local transports ---- */

static void
run_by(struct attempt *at, const struct exim_transport *t, const struct route_delivery **rds,
    const struct transport_also *also, size_t n, struct transport_result *r)
{
	struct deliver *d = at->d;
	struct dmsg *m = at->m;
	int fd = fileno(m->content);
	struct transport_delivery td = { .env = &d->t->env, .t = t, .rd = rds, .n = n, .also = also, .id = sv_from(m->id, SPOOL_ID_LEN),
	    .return_path = rds[0]->errors_to_set ? rds[0]->errors_to : d->t->msg.sender,
	    .bounce = (rds[0]->errors_to_set ? rds[0]->errors_to.len : m->sender.len) == 0,
	    .size = (uint64_t)d->t->msg.size, .now = dnow(), .uid = d->conf->g.exim_uid, .gid = d->conf->g.exim_gid,
	    .hostname = arena_cstr(m->arena, d->t->g.primary_hostname), .arena = m->arena };
	struct exim_address *a = arena_alloc(m->arena, sizeof(*a));
	struct transport_job j;
	struct transport_reply warn;
	struct err err = ERR_INIT;
	off_t size = lseek(fd, 0, SEEK_END);

	denv_delivery(d, m, rds[0], a);
	a->transport_name = sv_cstr(t->d.name);
	td.body_off = m->block.len;
	td.body_len = size > (off_t)m->block.len ? (uint64_t)size - m->block.len : 0;
	if (transport_prepare(&td, &j, r) == -1)
		return;
	at->path = j.sender;
	/* A transport with a name of its own says where the file is. */
	if (j.kind == TRANSPORT_APPENDFILE && j.path.len > 0 && (rds[0]->kind == ROUTE_FILE || rds[0]->kind == ROUTE_DIRECTORY) &&
	    (t->d.own[EXIM_APPENDFILE_file].set || t->d.own[EXIM_APPENDFILE_directory].set))
		((struct route_delivery *)(uintptr_t)rds[0])->text = j.path;
	transport_run(&j, fd, 0, m->arena, r);
	if (j.kind == TRANSPORT_AUTOREPLY && r->status == TRANSPORT_OK && r->send)
		dattempt_reply(at, &td, &j, r, fd);
	if (r->status == TRANSPORT_OK && r->warn && transport_quota_warning(&td, &warn, &err) == 0 && warn.nrcpts > 0) {
		(void)dreceive_own(d, m, d->caller, d->caller_uid, warn.text, warn.rcpts, warn.nrcpts, true, false);
		if (d->now)
			ddeliver_pending(d);
	}
	denv_message(d, m);
}

/* ---- local deliveries ---- */

static struct sv
key_local(struct attempt *at, const struct event *e)
{
	struct sv addr = e->addr->unique.len > 0 ? e->addr->unique : e->addr->address;
	ptrdiff_t sign = sv_rchr(addr, '@');

	if (e->rd->transport != NULL && !e->rd->transport->retry_local_part && sign >= 0)
		addr = sv_sub(addr, (size_t)sign + 1, addr.len);
	return (sv_cstr(arena_fmt(at->m->arena, "T:" SV_FMT, SV_ARG(addr))));
}

static bool
local_may_retry(struct attempt *at, const struct event *e, const struct transport_result *r)
{
	struct exim_retry_what w = { .key = e->addr->address, .sender = at->m->sender,
	    .error = r->quota ? EXIM_RE_QUOTA : EXIM_RE_ANY };

	if (r->quota && r->last_read > 0)
		w.quota_age = dnow() - r->last_read;
	return (dretry_failed(at->d, at->m, key_local(at, e), &w));
}

static void
end_local(struct attempt *at, const struct event *e, const struct transport_result *r, int st, struct sv text, bool also,
    const char *tail)
{
	bool lmtp = e->rd->transport->drv == EXIM_TRANSPORT_DRV_LMTP;
	struct dfail f = { .text = lmtp && r->rcpt_results.n > 0 && text.len > 0 ? text : r->user_text, .output = r->output };
	int64_t sys = r->sys;

	/* LMTP's answers name where they were given. */
	if (lmtp && st == TRANSPORT_DEFER && sys == 0)
		sys = sv_starts(text, "LMTP error after RCPT") ? -44 : sv_starts(text, "LMTP error after end of data") ? -46 : -1;
	switch (st) {
	case TRANSPORT_OK:
		dretry_forget(at->d, key_local(at, e));
		dline_ok(at, e, also, tail);
		dattempt_event(at, e, "msg:delivery", lmtp ? r->confirmation : SV_NULL, NULL);
		dattempt_succeed(at, e, false);
		break;
	case TRANSPORT_FAIL:
		dattempt_event_fail(at, e, text, NULL);
		dline_bad(at, e, "**", false, NULL, sys, text, r->panic);
		dattempt_fail(at, e, &f);
		break;
	default:
		if (r->panic == TRANSPORT_PANIC_LINE || r->panic == TRANSPORT_PANIC_FAILS)
			dlog(at->d, DLOG_MAIN | DLOG_PANIC, "%s " SV_FMT, at->m->id, SV_ARG(text));
		dline_bad(at, e, "==", true, NULL, sys, text, r->panic == true);
		if (r->freeze)
			dattempt_freeze(at, "");
		dattempt_defer(at, e, &f, local_may_retry(at, e, r) || r->freeze || (r->panic && r->panic != TRANSPORT_PANIC_FAILS));
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
	run_by(at, s, rds, NULL, n, &r);
	if (r.status == TRANSPORT_OK)
		return (arena_fmt(at->m->arena, " ST=%s", s->d.name));
	return (arena_fmt(at->m->arena, " ST=%s (%s%s" SV_FMT ")", s->d.name, r.sys > 0 ? strerror((int)r.sys) : "",
	    r.sys > 0 ? ": " : "", SV_ARG(r.text)));
}

/* Those of the batch whose time has not come are told so and taken out. */
static size_t
drop_waiting(struct attempt *at, struct event **v, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct dhint hint;

		if (at->d->queue_run && dretry_waits(at->d, key_local(at, v[i]), &hint)) {
			if (dlog_on(at->d, EXIM_LOGSEL_retry_defer))
				dline_bad(at, v[i], "==", true, NULL, NUMBER_LOCAL_WAITS, SV_LIT("Retry time not yet reached"), false);
			dattempt_open(at, v[i]);
		} else
			v[kept++] = v[i];
	}
	return (kept);
}

static void
deliver_local(struct attempt *at, struct event **v, size_t n)
{
	const struct exim_transport *t = v[0]->rd->transport, *other;
	const struct route_delivery **rds = arena_alloc(at->m->arena, n * sizeof(*rds));
	struct transport_also *also;
	struct transport_result r;
	const char *tail = NULL;

	if ((n = drop_waiting(at, v, n)) == 0)
		return;
	also = arena_alloc(at->m->arena, n * sizeof(*also));
	for (size_t i = 0; i < n; i++) {
		rds[i] = v[i]->rd;
		also[i] = (struct transport_also){ v[i]->also, v[i]->nalso };
	}
	at->began_us = os_wall_us();
	memset(&r, 0, sizeof(r));
	/* -N: as if it were done. */
	if (!dbypassed(at->d, at->m))
		run_by(at, t, rds, also, n, &r);
	if (r.switch_to.len > 0 && (other = exim_conf_transport(at->d->conf, r.switch_to)) != NULL) {
		run_by(at, other, rds, also, n, &r);
		for (size_t i = 0; i < n; i++) {
			struct route_delivery *rd = arena_dup(at->m->arena, v[i]->rd, sizeof(*rd));

			rd->transport = other;
			v[i]->rd = rd;
		}
	}
	if (r.log_line.len > 0)
		dlog(at->d, DLOG_MAIN, "%s <" SV_FMT ">: %s transport output: " SV_FMT, at->m->id,
		    SV_ARG(v[0]->addr->address), t->d.name, SV_ARG(r.log_line));
	if (r.status == TRANSPORT_OK && !dbypassed(at->d, at->m))
		tail = shadow(at, t, rds, n);
	for (size_t i = 0, ok = 0; i < n; i++) {
		int st = (int)r.status;
		struct sv text = r.text;
		const char *how = tail;

		if (r.rcpt_results.n == n && r.rcpt_results.v[i].len > 0) {
			st = r.rcpt_results.v[i].p[0] - '0';
			text = sv_sub(r.rcpt_results.v[i], 1, r.rcpt_results.v[i].len);
		}
		if (st == TRANSPORT_OK && r.confirmation.len > 0 && dlog_on(at->d, EXIM_LOGSEL_smtp_confirmation))
			how = arena_fmt(at->m->arena, "%s C=\"" SV_FMT "\"", tail == NULL ? "" : tail,
			    SV_ARG(text.len > 0 ? text : r.confirmation));
		end_local(at, v[i], &r, st, text, ok > 0, how);
		ok += st == TRANSPORT_OK;
	}
	at->path = SV_NULL;
	at->began_us = 0;
}

/* ---- remote ---- */

static void
end_remote(void *arg, size_t i, const struct dend *r)
{
	struct attempt *at = arg;
	struct event *e = at->batch[i];
	struct dfail f = { .text = r->pass ? r->text : SV_NULL, .host = r->host, .diagnostic = r->diagnostic };

	at->path = r->path;
	if (r->st == TRANSPORT_OK) {
		at->as = r->as;
		dline_ok(at, e, r->also, r->tail);
		at->as = SV_NULL;
		dattempt_event(at, e, "msg:delivery", r->text, r->at);
		dattempt_succeed(at, e, r->dsn_passed);
		return;
	}
	if (r->st == TRANSPORT_FAIL) {
		dattempt_event_fail(at, e, r->text, r->at);
		dline_bad(at, e, "**", false, r->tail, 0, r->text, r->panic);
		dattempt_fail(at, e, &f);
		return;
	}
	if (!r->silent || dlog_on(at->d, EXIM_LOGSEL_retry_defer))
		dline_bad(at, e, "==", true, r->tail, r->sys, r->text, r->panic);
	dattempt_defer(at, e, &f, !r->late);
}

static bool
same_list(const struct sv *a, size_t n, const struct sv *b, size_t m)
{
	if (n != m)
		return (false);
	for (size_t i = 0; i < n; i++)
		if (!sv_eq(a[i], b[i]))
			return (false);
	return (true);
}

/* Do two addresses go in one transaction? */
static bool
same_group(struct attempt *at, const struct route_delivery *a, const struct route_delivery *b)
{
	const struct exim_value *multi = &a->transport->d.own[EXIM_SMTP_multi_domain];
	struct err err = ERR_INIT;
	bool many = multi->num != 0;

	if (a->transport != b->transport || a->nhosts != b->nhosts || a->errors_to_set != b->errors_to_set ||
	    !sv_eq(a->errors_to, b->errors_to) || !same_list(a->headers_add, a->nheaders_add, b->headers_add, b->nheaders_add) ||
	    !same_list(a->headers_remove, a->nheaders_remove, b->headers_remove, b->nheaders_remove))
		return (false);
	if (multi->str != NULL)
		(void)exim_expand_bool(multi->str, &at->d->t->env, false, &many, &err);
	if (!many && !sv_caseeq(a->domain, b->domain))
		return (false);
	for (size_t i = 0; i < a->nhosts; i++)
		if (strcmp(a->hosts[i].name, b->hosts[i].name) != 0 || !net_addr_eq(&a->hosts[i].addr, &b->hosts[i].addr) ||
		    a->hosts[i].addr.port != b->hosts[i].addr.port)
			return (false);
	return (true);
}

static size_t
max_rcpt(struct attempt *at, const struct event *e)
{
	const struct exim_value *v = &e->rd->transport->d.own[EXIM_SMTP_max_rcpt];
	struct err err = ERR_INIT;
	int64_t n = v->num;

	if (e->rd->transport->drv != EXIM_TRANSPORT_DRV_SMTP)
		return (BATCH_LIMIT);
	if (v->str != NULL && exim_expand_int(v->str, &at->d->t->env, &n, &err) != EXIM_OK)
		n = 100;
	return (n <= 0 || n > BATCH_LIMIT ? BATCH_LIMIT : (size_t)n);
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
	at->began_us = os_wall_us();
	ddeliver_remote(&r);
	at->path = SV_NULL;
	at->began_us = 0;
}

/* ---- all of a message ---- */

static bool
together(struct attempt *at, struct event *a, struct event *b)
{
	struct exim_address x, y;
	struct exim_env ea, eb;
	bool yes;

	if (!a->rd->transport->local)
		return (same_group(at, a->rd, b->rd));
	if (a->rd->transport != b->rd->transport || transport_batch_max(a->rd->transport) <= 1)
		return (false);
	denv_delivery(at->d, at->m, b->rd, &y);
	eb = at->d->t->env;
	eb.addr = &y;
	denv_delivery(at->d, at->m, a->rd, &x);
	ea = at->d->t->env;
	ea.addr = &x;
	yes = transport_same_batch(a->rd->transport, &ea, a->rd, &eb, b->rd);
	at->d->t->env.addr = NULL;
	return (yes);
}

/* None of them can be tried: they wait for the next attempt. */
static void
defer_all(struct attempt *at, struct event **v, size_t n, const struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		v[i]->taken = true;
		dline_bad(at, v[i], "==", true, NULL, -1, sv_cstr(err->text), true);
		dattempt_open(at, v[i]);
	}
}

void
dattempt_deliver(struct attempt *at, bool local)
{
	struct event **order = arena_alloc(at->m->arena, (at->ev.len + 1) * 2 * sizeof(struct event *));
	size_t count = dwait_order(at, local, order, order + at->ev.len + 1);
	struct err err = ERR_INIT;

	if (count > 0 && (denv_content(at->m, &err) == -1 || dspool_journal_open(at->d, at->m, &err) == -1)) {
		defer_all(at, order, count, &err);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct event *e = order[i], **v;
		size_t n = 0, max;

		if (e->taken)
			continue;
		max = local ? (size_t)transport_batch_max(e->rd->transport) : max_rcpt(at, e);
		max = max < 1 ? 1 : max > BATCH_LIMIT ? BATCH_LIMIT : max;
		v = arena_alloc(at->m->arena, max * sizeof(struct event *));
		v[n++] = e;
		e->taken = true;
		for (size_t k = i + 1; k < count && n < max; k++) {
			struct event *o = order[k];

			if (o->taken || !together(at, e, o))
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
