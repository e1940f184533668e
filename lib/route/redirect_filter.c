/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Redirect data that are a filter: the interpreter stands above this module and is called
 * through route_ops.  What it asks for becomes child addresses and deliveries as with a list.
 */
#include <string.h>

#include "redirect_int.h"

/* Is it one, and is that allowed? */
bool
redirect_is_filter(struct redirect *rd, struct sv data)
{
	switch (redirect_data_kind(data)) {
	case REDIRECT_EXIM_FILTER:
		return (redirect_flag(rd, EXIM_REDIRECT_allow_filter) && !redirect_flag(rd, EXIM_REDIRECT_forbid_exim_filter));
	case REDIRECT_SIEVE_FILTER:
		return (redirect_flag(rd, EXIM_REDIRECT_allow_filter) && !redirect_flag(rd, EXIM_REDIRECT_forbid_sieve_filter));
	default:
		return (false);
	}
}

static unsigned
allowed(const struct redirect *rd)
{
	static const struct { enum exim_redirect_opt opt; unsigned flag; } t[] = {
		{ EXIM_REDIRECT_allow_defer, ROUTE_FILTER_DEFER }, { EXIM_REDIRECT_allow_fail, ROUTE_FILTER_FAIL },
		{ EXIM_REDIRECT_allow_freeze, ROUTE_FILTER_FREEZE }, { EXIM_REDIRECT_rewrite, ROUTE_FILTER_REWRITE },
		{ EXIM_REDIRECT_forbid_filter_logwrite, ROUTE_FILTER_NO_LOGWRITE },
		{ EXIM_REDIRECT_filter_prepend_home, ROUTE_FILTER_HOME },
	};
	unsigned flags = 0;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (redirect_flag(rd, t[i].opt))
			flags |= t[i].flag;
	return (flags);
}

static unsigned
forbidden(const struct redirect *rd)
{
	static const struct { enum exim_redirect_opt opt; unsigned flag; } t[] = {
		{ EXIM_REDIRECT_forbid_filter_dlfunc, EXIM_NO_DLFUNC }, { EXIM_REDIRECT_forbid_filter_existstest, EXIM_NO_EXISTS },
		{ EXIM_REDIRECT_forbid_filter_lookup, EXIM_NO_LOOKUP }, { EXIM_REDIRECT_forbid_filter_perl, EXIM_NO_PERL },
		{ EXIM_REDIRECT_forbid_filter_readfile, EXIM_NO_READFILE },
		{ EXIM_REDIRECT_forbid_filter_readsocket, EXIM_NO_READSOCKET }, { EXIM_REDIRECT_forbid_filter_run, EXIM_NO_RUN },
	};
	unsigned flags = 0;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (redirect_flag(rd, t[i].opt))
			flags |= t[i].flag;
	return (flags);
}

static enum route_yield
take_item(struct redirect *rd, const struct route_filter_item *it)
{
	struct route_delivery d = rd->base;

	if (it->errors_to_set) {
		d.errors_to_set = true;
		d.errors_to = it->errors_to;
	}
	d.ignore_error = d.ignore_error || it->ignore_error;
	if (it->kind == ROUTE_TO_TRANSPORT)
		return (redirect_child(rd, &d, it->text));
	d.item = it;
	return (redirect_deliver(rd, &d, it->kind, it->text));
}

static bool
rq_delivers(const struct visit *v)
{
	return (v->rt->rq->mode == ROUTE_DELIVER);
}

/* The filter could not be run to its end. */
static enum route_yield
broken(struct redirect *rd, const struct route_filter *f)
{
	struct visit *v = rd->v;

	if (f->syntax && redirect_flag(rd, EXIM_REDIRECT_skip_syntax_errors)) {
		route_note(v, "%s router: error in filter %s skipped: " SV_FMT, v->r->d.name,
		    rd->path != NULL ? rd->path : "data", SV_ARG(f->why));
		v->message = SV_LIT("syntax error in redirection data");
		return (Y_DECLINE);
	}
	v->number = ROUTE_NUMBER_REDIRECT;
	if (rd->path != NULL && rq_delivers(v))
		route_note(v, "%s router: %s: " SV_FMT, v->r->d.name, rd->path, SV_ARG(f->why));
	return (route_defer(v, "error in filter %s: " SV_FMT, rd->path != NULL ? "file" : "data", SV_ARG(f->why)));
}

static enum route_yield
take_end(struct redirect *rd, const struct route_filter *f)
{
	struct route_delivery d = rd->base;
	enum route_yield y;

	switch (f->end) {
	case ROUTE_FILTER_DONE:
		if (f->n == 0) {
			d.kind = ROUTE_DISCARD;
			d.text = SV_LIT("discarded");
			route_deliver(rd->v, &d);
			return (Y_DISCARD);
		}
		rd->v->rt->res->redirected = true;
		return (Y_ACCEPT);
	case ROUTE_FILTER_MORE:
		if (f->n == 0)
			return (Y_DECLINE);
		rd->v->unseen = true;
		return (Y_ACCEPT);
	case ROUTE_FILTER_REFUSED:
		return (redirect_refuse(rd, true, f->why));
	case ROUTE_FILTER_DEFERRED:
		return (redirect_refuse(rd, false, f->why));
	case ROUTE_FILTER_FROZEN:
		y = route_defer(rd->v, SV_FMT, SV_ARG(f->why.len > 0 ? f->why : SV_LIT("frozen by a filter")));
		return (y == Y_DEFER ? Y_FREEZE : y);
	default:
		return (broken(rd, f));
	}
}

enum route_yield
redirect_filter(struct redirect *rd, struct sv data)
{
	struct visit *v = rd->v;
	const struct route_request *rq = v->rt->rq;
	struct route_filter f = {
		.text = data, .file = rd->path, .sieve = redirect_data_kind(data) == REDIRECT_SIEVE_FILTER, .env = v->rt->env,
		.arena = v->rt->a, .flags = allowed(rd), .forbid = forbidden(rd), .home = rd->base.home,
		.verify = rq->mode != ROUTE_DELIVER, .user_set = rd->base.user_set, .uid = rd->base.uid, .gid = rd->base.gid,
		.group_set = rd->base.group_set, .user = rd->base.user,
	};
	enum route_yield y = Y_ACCEPT;

	if (rq->ops == NULL || rq->ops->filter == NULL) {
		/* Somebody is there who has a filter: that verifies the address. */
		if (rq->mode != ROUTE_DELIVER && rq->mode != ROUTE_TEST) {
			rd->base.kind = ROUTE_FILTER;
			route_deliver(v, &rd->base);
			return (Y_ACCEPT);
		}
		return (route_defer(v, "filters cannot be run here"));
	}
	rq->ops->filter(rq->ops->arg, &f);
	if (f.note != NULL)
		route_note(v, "%s router: %s: %s", v->r->d.name, rd->path != NULL ? rd->path : "data", f.note);
	/* fail, defer and freeze keep what the filter set up before (Exim's manual 22.7). */
	for (size_t i = 0; y == Y_ACCEPT && f.end != ROUTE_FILTER_BROKEN && i < f.n; i++)
		y = take_item(rd, &f.v[i]);
	if (y != Y_ACCEPT)
		return (y);
	rd->keep = true;
	return (take_end(rd, &f));
}
