/* SPDX-License-Identifier: BSD-2-Clause */
/* How single deliveries end, and those whose time is over: what is kept of them for reports, warnings and the next attempt. */
#include "deliver_int.h"

/* Keys stand in lines, of the journal and of the spool file. */
static struct sv
one_line(const struct attempt *at, struct sv key)
{
	char *p;
	size_t n = 0;

	if (sv_chr(key, '\n') < 0)
		return (key);
	p = arena_alloc(at->m->arena, 2 * key.len);
	for (size_t i = 0; i < key.len; i++) {
		if (key.p[i] == '\n')
			p[n++] = '\\';
		p[n++] = key.p[i] == '\n' ? 'n' : key.p[i];
	}
	return (sv_from(p, n));
}

struct sv
dattempt_key(const struct attempt *at, const struct route_delivery *rd, const struct route_addr *addr)
{
	struct sv key = one_line(at, addr->unique.len > 0 ? addr->unique : addr->address);

	for (const struct route_addr *a = addr->parent; a != NULL; a = a->parent)
		if (dmsg_same(a->address, key))
			return (sv_cstr(arena_fmt(at->m->arena, SV_FMT "/%s", SV_ARG(key), rd == NULL || rd->transport == NULL ? "" :
			    rd->transport->d.name)));
	return (key);
}

static void
settled(struct attempt *at, const struct event *e)
{
	dmsg_set_done(at->m, dattempt_key(at, e->rd, e->addr));
}

void
dattempt_unsettle(struct attempt *at, const struct dfail *f)
{
	struct sv addr = dattempt_key(at, f->rd, f->addr);

	for (size_t i = 0; i < at->m->done.len; i++)
		if (dmsg_same(at->m->done.p[i], addr)) {
			vec_remove(&at->m->done, i);
			break;
		}
	vec_push(&at->open, f->top);
}

void
dattempt_freeze(struct attempt *at, const char *by)
{
	at->m->frozen = true;
	at->m->frozen_at = dnow();
	if (at->frozen_by == NULL)
		at->frozen_by = by;
}

static const struct drcpt *
rcpt_of(const struct attempt *at, struct sv top)
{
	for (size_t i = 0; i < at->m->rcpts.len; i++)
		if (sv_eq(at->m->rcpts.p[i].addr, top))
			return (&at->m->rcpts.p[i]);
	return (NULL);
}

/* Fill what is the same for failures and successes. */
static struct dfail
about(struct attempt *at, const struct event *e)
{
	const struct drcpt *rc = rcpt_of(at, e->top);
	struct dfail f = { .rd = e->rd, .addr = e->addr, .top = e->top, .to = at->m->sender };

	if (e->rd != NULL && e->rd->errors_to_set)
		f.to = e->rd->errors_to;
	if (e->f != NULL && e->f->errors_to_set)
		f.to = e->f->errors_to;
	f.ignore = (e->rd != NULL && e->rd->ignore_error) || (e->f != NULL && e->f->ignore_error);
	f.hidden = (e->rd != NULL && e->rd->hide_child) || (e->f != NULL && e->f->hide_child);
	if (rc != NULL) {
		f.orcpt = rc->orcpt;
		f.notify = rc->notify;
	}
	return (f);
}

void
dattempt_fail(struct attempt *at, const struct event *e, const struct dfail *more)
{
	struct dfail f = about(at, e);

	f.text = more->text;
	f.host = more->host;
	f.diagnostic = more->diagnostic;
	f.output = more->output;
	f.ignore = f.ignore || more->ignore || (f.to.len == 0 && at->m->sender.len > 0);
	/* Nobody is left to be told: it stays until somebody looks, unless it is old enough to be forgotten. */
	if (f.to.len == 0 && !f.ignore) {
		if (dnow() - at->m->received_us / 1000000 < exim_main_int(at->d->conf, EXIM_MAIN_ignore_bounce_errors_after)) {
			dattempt_freeze(at, " (delivery error message)");
			dattempt_open(at, e);
			vec_push(&at->deferred, ((struct deferral){ .e = *e, .text = f.text }));
			return;
		}
		f.ignore = true;
	}
	vec_push(&at->failed, f);
	settled(at, e);
}

void
dattempt_succeed(struct attempt *at, const struct event *e, bool passed)
{
	struct dfail f = about(at, e);
	bool told = false;

	f.passed = passed;
	for (size_t i = 0; i < at->done.len; i++)
		told = told || sv_eq(at->done.p[i].top, f.top);
	if ((f.notify & SPOOL_NOTIFY_SUCCESS) != 0 && at->m->sender.len > 0 && !passed && !told)
		vec_push(&at->done, f);
	settled(at, e);
	dspool_journal(at->d, at->m, dattempt_key(at, e->rd, e->addr));
}

/* <retry>: it stays; else it fails when everything was tried. */
void
dattempt_defer(struct attempt *at, const struct event *e, const struct dfail *f, bool retry)
{
	if (retry) {
		dattempt_open(at, e);
		vec_push(&at->deferred, ((struct deferral){ .e = *e, .text = f->text }));
		return;
	}
	vec_push(&at->late, ((struct late){ .e = *e, .report = f->text, .host = f->host, .diagnostic = f->diagnostic }));
}

/* Its parent is named even where that is called the same. */
static void
tell_over(struct attempt *at, const struct event *e, struct sv text)
{
	dattempt_event_fail(at, e, text, NULL);
	if (e->rd == NULL && e->addr->parent != NULL && sv_eq(e->addr->address, dline_top(e->addr)))
		dlog(at->d, DLOG_MAIN, "%s ** " SV_FMT " <" SV_FMT ">: " SV_FMT, at->m->id, SV_ARG(e->addr->address),
		    SV_ARG(dline_top(e->addr)), SV_ARG(text));
	else
		dline_bad(at, e, "**", false, NULL, 0, text, false);
}

/* Those whose time is over fail when everything was tried, the last one first. */
void
dattempt_time_over(struct attempt *at)
{
	for (size_t i = at->late.len; i-- > 0;) {
		const struct late *l = &at->late.p[i];
		struct sv text = SV_LIT("retry timeout exceeded");
		struct event bare = { .addr = l->e.addr, .rd = dline_pfr(l->e.rd) ? l->e.rd : NULL, .top = l->e.top };
		struct dfail f = { .host = l->host, .text = text, .diagnostic = l->diagnostic };
		struct route_delivery pfr;

		if (bare.rd != NULL) {
			pfr = *bare.rd;
			pfr.transport = NULL;
			pfr.router = NULL;
			bare.rd = &pfr;
		}
		tell_over(at, &bare, text);
		if (l->report.len > 0)
			f.text = sv_cstr(arena_fmt(at->m->arena, SV_FMT ": " SV_FMT, SV_ARG(l->report), SV_ARG(text)));
		if (l->diagnostic.len > 0)
			f.diagnostic = sv_cstr(arena_fmt(at->m->arena, SV_FMT ": " SV_FMT, SV_ARG(l->diagnostic), SV_ARG(text)));
		/* Whoever made it cannot be told. */
		f.ignore = at->m->sender.len == 0 && !(l->e.rd != NULL && l->e.rd->errors_to_set);
		dattempt_fail(at, &l->e, &f);
	}
}
