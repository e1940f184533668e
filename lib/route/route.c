/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Routing of one recipient: a list of addresses still to be routed, each taken
 * through the routers in order until one accepts, fails or defers it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "route/route_int.h"

static void
trace(struct visit *v, const char *what)
{
	const struct route_ops *ops = v->rt->rq->ops;

	if (ops != NULL && ops->trace != NULL)
		ops->trace(ops->arg, arena_fmt(v->rt->a, "%s router %s for " SV_FMT "%s%s", v->r->d.name, what,
		    SV_ARG(v->p->addr->address), v->skipped != NULL ? ": " : "", v->skipped != NULL ? v->skipped : ""));
}

/* ---- one router ---- */

/* An ancestor of the same address went through this router already. */
static bool
loops(const struct visit *v)
{
	bool repeat = v->r->drv != EXIM_ROUTER_DRV_REDIRECT || v->r->d.own[EXIM_REDIRECT_repeat_use].num != 0;

	for (const struct route_addr *a = v->p->addr; a->parent != NULL; a = a->parent) {
		if (a->router != v->r)
			continue;
		if (!repeat || (v->r->caseful ? sv_eq(a->parent->address, v->p->addr->address) :
		    sv_caseeq(a->parent->address, v->p->addr->address)))
			return (true);
	}
	return (false);
}

/* "set r_x = ...": kept on the heap, shared by what comes of the address. */
static enum route_yield
set_vars(struct visit *v)
{
	const struct exim_value *val = &v->r->d.generic[EXIM_ROUTER_set];
	struct hash *h, *old = v->p->vars;

	if (val->n == 0)
		return (Y_ACCEPT);
	h = hash_new();
	vec_push(&v->rt->vars, h);
	if (old != NULL) {
		struct sv key;
		void *p;

		for (size_t pos = 0; hash_next(old, &pos, &key, &p);)
			(void)hash_set(h, key, p);
	}
	v->p->vars = v->ea.router_vars = h;
	for (size_t i = 0; i < val->n; i++) {
		struct sv text, *copy;
		enum exim_result res = exim_expand(val->vars[i].str, v->rt->env, &text, &v->err);

		if (res == EXIM_FORCED)
			continue;
		if (res != EXIM_OK)
			return (route_expansion(v, res, "set"));
		copy = arena_alloc(v->rt->a, sizeof(*copy));
		*copy = arena_sv(v->rt->a, text);
		(void)hash_set(h, sv_cstr(val->vars[i].name), copy);
	}
	return (Y_ACCEPT);
}

static enum route_yield
set_address_data(struct visit *v)
{
	const struct exim_str *s = v->r->d.generic[EXIM_ROUTER_address_data].str;
	enum exim_result res;
	struct sv text;

	v->data_before = v->ea.address_data;
	if (s == NULL)
		return (Y_ACCEPT);
	res = exim_expand(s, v->rt->env, &text, &v->err);
	if (res != EXIM_OK)
		return (res == EXIM_FORCED ? Y_DECLINE : route_defer(v, "expansion of \"" SV_FMT "\" failed in %s router: %s",
		    SV_ARG(exim_str_text(s)), v->r->d.name, route_why(v)));
	v->ea.address_data = v->p->address_data = arena_sv(v->rt->a, text);
	return (Y_ACCEPT);
}

static enum route_yield
drive(struct visit *v)
{
	switch (v->r->drv) {
	case EXIM_ROUTER_DRV_ACCEPT:		return (route_accept(v));
	case EXIM_ROUTER_DRV_DNSLOOKUP:		return (route_dnslookup(v));
	case EXIM_ROUTER_DRV_IPLITERAL:		return (route_ipliteral(v));
	case EXIM_ROUTER_DRV_MANUALROUTE:	return (route_manualroute(v));
	case EXIM_ROUTER_DRV_QUERYPROGRAM:	return (route_queryprogram(v));
	case EXIM_ROUTER_DRV_REDIRECT:		return (route_redirect(v));
	default:
		return (route_defer(v, "%s router: its driver %s is not built", v->r->d.name, v->r->d.driver));
	}
}

/* A boolean option that may expand; forced failure gives <dflt>. */
static enum route_yield
bool_option(struct visit *v, enum exim_router_opt o, const char *name, bool dflt, bool *out)
{
	const struct exim_value *val = &v->r->d.generic[o];
	enum exim_result res;

	*out = val->num != 0;
	if (val->str == NULL)
		return (Y_ACCEPT);
	res = exim_expand_bool(val->str, v->rt->env, true, out, &v->err);
	if (res == EXIM_FORCED) {
		*out = dflt;
		return (Y_ACCEPT);
	}
	return (route_expansion(v, res, name));
}

/* ---- results ---- */

static void
add_failure(struct visit *v, enum route_fate fate)
{
	struct route_failure f;

	memset(&f, 0, sizeof(f));
	f.addr = v->p->addr;
	f.seq = v->rt->seq++;
	f.fate = fate;
	f.router = v->r;
	f.err = v->err;
	f.user_msg = v->user_msg;
	f.own_words = v->r == NULL && v->message.p != NULL && v->user_message.p == NULL;
	f.code = v->code;
	f.number = v->number;
	f.raw = v->raw;
	f.hide_child = v->p->hide_child;
	f.ignore_error = v->p->ignore_error;
	f.retry_error = v->retry_error;
	f.errors_to_set = v->p->errors_to_set;
	f.errors_to = v->p->errors_to;
	if (fate == ROUTE_FAIL) {
		f.err.cls = ERR_PERM;
		if (f.err.status[0] != '5')
			(void)err_set(&f.err, ERR_PERM, "5.1.1", "%s", v->err.text);
	} else if (f.err.status[0] == '\0' || f.err.status[0] == '5')
		(void)err_set(&f.err, f.err.cls == ERR_CONFIG ? ERR_CONFIG : ERR_TEMP, "4.3.0", "%s", v->err.text);
	vec_push(&v->rt->failures, f);
	/* What a router that declined has set is there for the message of a refusal. */
	if (v->rt->res->address_data.p == NULL)
		v->rt->res->address_data = v->p->address_data;
}

/* No router took the address. */
static void
unrouteable(struct visit *v)
{
	struct sv text = SV_LIT("Unrouteable address");
	enum exim_result res;
	struct sv own;

	if (v->message.p != NULL)
		text = v->message;
	else if (v->r != NULL && v->r->d.generic[EXIM_ROUTER_cannot_route_message].str != NULL) {
		struct err err = ERR_INIT;

		res = exim_expand(v->r->d.generic[EXIM_ROUTER_cannot_route_message].str, v->rt->env, &own, &err);
		if (res == EXIM_OK && own.len > 0)
			text = arena_sv(v->rt->a, own);
	}
	v->user_msg = v->user_message.p != NULL ? v->user_message : text;
	(void)err_set(&v->err, ERR_PERM, "5.1.1", SV_FMT, SV_ARG(text));
	v->r = NULL;
	add_failure(v, ROUTE_FAIL);
}

/* self = reroute: the same local part at another domain, from the first router. */
static void
reroute(struct visit *v)
{
	struct route_delivery d;

	memset(&d, 0, sizeof(d));
	d.errors_to_set = v->p->errors_to_set;
	d.errors_to = v->p->errors_to;
	route_child(v, &d, sv_cstr(arena_fmt(v->rt->a, SV_FMT "@" SV_FMT, SV_ARG(v->local_full), SV_ARG(v->reroute_domain))), NULL);
	if (v->reroute_header) {
		struct route_addr *a = v->rt->generated.p[v->rt->generated.len - 1];

		a->short_domain = v->domain;
		a->full_domain = v->reroute_domain;
	}
}

/* ---- same_domain_copy_routing ---- */

static bool
copies_routing(const struct exim_router *r)
{
	return ((r->drv == EXIM_ROUTER_DRV_DNSLOOKUP && r->d.own[EXIM_DNSLOOKUP_same_domain_copy_routing].num != 0) ||
	    (r->drv == EXIM_ROUTER_DRV_MANUALROUTE && r->d.own[EXIM_MANUALROUTE_same_domain_copy_routing].num != 0));
}

/* A local part without its quotes. */
static struct sv
plain(struct arena *a, struct sv local)
{
	bool quoted = local.len >= 2 && local.p[0] == '"' && local.p[local.len - 1] == '"';

	return (quoted ? redirect_unquote(a, local) : local);
}

static void
split(struct routing *rt, const struct route_addr *a, struct sv *local, struct sv *domain)
{
	ptrdiff_t at = sv_rchr(a->address, '@');

	*local = plain(rt->a, at < 0 ? a->address : sv_sub(a->address, 0, (size_t)at));
	*domain = at < 0 ? SV_LIT("") : arena_lower(rt->a, sv_sub(a->address, (size_t)at + 1, a->address.len));
}

/* The way that another address of the domain took. */
static bool
take_copy(struct routing *rt, struct pending *p)
{
	struct route_delivery d;
	struct sv local, domain;

	if (rt->rq->copies == NULL || *rt->rq->copies == NULL || rt->rq->mode != ROUTE_DELIVER)
		return (false);
	split(rt, p->addr, &local, &domain);
	for (struct route_copy *c = *rt->rq->copies; c != NULL; c = c->next) {
		if (!sv_eq(c->domain, domain))
			continue;
		d = c->delivery;
		d.addr = p->addr;
		d.local_part = local;
		d.seq = rt->seq++;
		vec_push(&rt->deliveries, d);
		rt->accepted = true;
		return (true);
	}
	return (false);
}

/* What came of <p> alone, if its router wants that: no fields added or removed, the domain as it was. */
static void
keep_copy(struct routing *rt, const struct pending *p, size_t deliveries, size_t todo)
{
	const struct route_delivery *d = rt->deliveries.p + deliveries;
	struct route_copy *c;
	struct sv local, domain;

	if (rt->rq->copies == NULL || rt->rq->mode != ROUTE_DELIVER || rt->deliveries.len != deliveries + 1 || rt->todo.len != todo ||
	    d->addr != p->addr || d->kind != ROUTE_TO_TRANSPORT || d->transport == NULL || d->transport->local ||
	    !copies_routing(d->router) || d->nheaders_add > 0 || d->nheaders_remove > 0)
		return;
	split(rt, p->addr, &local, &domain);
	c = arena_zalloc(rt->a, sizeof(*c));
	c->domain = arena_sv(rt->a, domain);
	c->delivery = *d;
	c->next = *rt->rq->copies;
	*rt->rq->copies = c;
}

/*
 * unseen: the address becomes the parent of two of the same name, one for what this router did with
 * it, one that goes on.
 */
static void
clone(struct visit *v, const struct exim_router *next, size_t todo, size_t deliveries)
{
	struct routing *rt = v->rt;
	struct route_addr *mid = arena_zalloc(rt->a, sizeof(*mid)), *on = arena_zalloc(rt->a, sizeof(*on));
	struct pending p = *v->p;

	*mid = *v->p->addr;
	mid->parent = v->p->addr;
	mid->router = v->r;
	*on = *mid;
	mid->unseen = true;
	/* The copy must be told from the later delivery when only one of them is done. */
	mid->unique = sv_cstr(arena_fmt(rt->a, SV_FMT "/%s", SV_ARG(mid->unique), v->r->d.name));
	for (size_t i = deliveries; i < rt->deliveries.len; i++) {
		rt->deliveries.p[i].unseen_copy = true;
		if (rt->deliveries.p[i].addr == v->p->addr) {
			rt->deliveries.p[i].addr = mid;
			rt->deliveries.p[i].unseen_here = true;
		}
	}
	/* What a filter sends on besides is the address's own. */
	for (size_t i = todo; i < rt->todo.len && !v->unseen; i++)
		if (rt->todo.p[i].addr->parent == v->p->addr)
			rt->todo.p[i].addr->parent = mid;
	p.addr = on;
	p.start = next;
	p.headers_add = p.headers_remove = NULL;
	p.nheaders_add = p.nheaders_remove = 0;
	/* It goes on before the children are looked at. */
	vec_push(&rt->todo, p);
	memmove(&rt->todo.p[todo + 1], &rt->todo.p[todo], (rt->todo.len - 1 - todo) * sizeof(p));
	rt->todo.p[todo] = p;
}

/* ---- one address ---- */

static const struct exim_router *
next_router(const struct visit *v)
{
	const struct exim_conf *c = v->rt->rq->conf;

	return (v->r->index + 1 < c->nrouters ? c->routers[v->r->index + 1] : NULL);
}

static void
begin(struct visit *v, struct routing *rt, struct pending *p)
{
	struct sv addr = p->addr->address;
	ptrdiff_t at = sv_rchr(addr, '@');

	memset(v, 0, sizeof(*v));
	v->rt = rt;
	v->p = p;
	v->local_full = at < 0 ? addr : sv_sub(addr, 0, (size_t)at);
	v->local_plain = plain(rt->a, v->local_full);
	v->domain = at < 0 ? SV_LIT("") : arena_lower(rt->a, sv_sub(addr, (size_t)at + 1, addr.len));
	v->ea.address_data = p->address_data;
	v->ea.router_vars = p->vars;
	v->ea.self_hostname = p->self_hostname;
	v->ea.parent_local_part = p->parent_local;
	v->ea.parent_domain = p->parent_domain;
	v->ea.domain = v->domain;
	v->ea.local_user_uid = v->ea.local_user_gid = -1;
	rt->env->addr = &v->ea;
}

/* Before each router: what the last one left is taken back. */
static void
reset(struct visit *v)
{
	v->ea.local_part_data = v->ea.domain_data = v->ea.home = SV_NULL;
	v->ea.local_user_uid = v->ea.local_user_gid = -1;
	v->ea.router_name = sv_cstr(v->r->d.name);
	exim_env_at(v->rt->env, "router", &v->r->d);
	v->has_pw = false;
	err_clear(&v->err);
	v->user_msg = SV_NULL;
	v->code = v->number = 0;
	v->raw = NULL;
	v->retry_error = EXIM_RE_ANY;
}

static void
set_original(struct visit *v)
{
	if (v->p->original_domain.p != NULL) {
		v->ea.original_local_part = v->p->original_local;
		v->ea.original_domain = v->p->original_domain;
	} else {
		v->ea.original_local_part = v->local;
		v->ea.original_domain = v->domain;
	}
}

/* The router runs; Y_DECLINE also where it was skipped (*<skipped>). */
static enum route_yield
visit_router(struct visit *v, bool *skipped)
{
	enum route_yield y;
	bool yes = true;

	*skipped = true;
	reset(v);
	v->skipped = "it made this address";
	if (loops(v))
		return (Y_DECLINE);
	v->skipped = "local_part_prefix or local_part_suffix";
	if (!route_affixes(v))
		return (Y_DECLINE);
	set_original(v);
	if (route_precond(v, &yes) != EXIM_OK) {
		*skipped = false;
		return (Y_DEFER);
	}
	if (!yes)
		return (Y_DECLINE);
	*skipped = false;
	v->skipped = NULL;
	y = set_vars(v);
	if (y == Y_ACCEPT)
		y = set_address_data(v);
	if (y == Y_ACCEPT)
		y = drive(v);
	return (y);
}

/* fail_verify: to be taken by this router means to fail. */
static bool
fails_verify(const struct visit *v)
{
	return ((v->rt->rq->mode == ROUTE_VERIFY_RECIPIENT && v->r->fail_verify_recipient) ||
	    (v->rt->rq->mode == ROUTE_VERIFY_SENDER && v->r->fail_verify_sender));
}

static void
accepted(struct visit *v, size_t todo, size_t deliveries)
{
	bool unseen = false;

	if (fails_verify(v)) {
		v->rt->todo.len = todo;
		v->rt->deliveries.len = deliveries;
		(void)route_fail(v, "%s router forced verify failure", v->r->d.name);
		add_failure(v, ROUTE_FAIL);
		return;
	}
	if (bool_option(v, EXIM_ROUTER_unseen, "unseen", false, &unseen) != Y_ACCEPT) {
		add_failure(v, ROUTE_DEFER);
		return;
	}
	v->rt->res->address_data = v->ea.address_data;
	v->rt->res->local_part_data = v->ea.local_part_data;
	v->rt->res->domain_data = v->ea.domain_data;
	if ((unseen || v->unseen) && next_router(v) != NULL)
		clone(v, next_router(v), todo, deliveries);
}

/* Again and again while the domain is in the list. */
enum exim_result
route_percent_hack(const struct exim_conf *c, struct exim_env *env, struct sv *local, struct sv *domain, struct err *err)
{
	const struct exim_list *list = c->main[EXIM_MAIN_percent_hack_domains].list;
	enum exim_result res;
	bool yes = false;
	struct sv data;
	ptrdiff_t at;

	while (list != NULL && (at = sv_rchr(*local, '%')) >= 0) {
		res = exim_match_domain(list, env, *domain, &yes, &data, err);
		if (res == EXIM_DEFER)
			return (EXIM_DEFER);
		if (res != EXIM_OK || !yes)
			break;
		*domain = sv_sub(*local, (size_t)at + 1, local->len);
		*local = sv_sub(*local, 0, (size_t)at);
	}
	return (EXIM_OK);
}

/* False where that changes nothing. */
static bool
percent_hack(struct visit *v)
{
	struct sv local = v->local_full, domain = v->domain;
	struct route_delivery d;

	if (route_percent_hack(v->rt->rq->conf, v->rt->env, &local, &domain, &v->err) == EXIM_DEFER) {
		(void)err_set(&v->err, ERR_TEMP, "4.3.0", "percent_hack_domains lookup deferred");
		add_failure(v, ROUTE_DEFER);
		return (true);
	}
	if (local.len == v->local_full.len)
		return (false);
	memset(&d, 0, sizeof(d));
	d.errors_to_set = v->p->errors_to_set;
	d.errors_to = v->p->errors_to;
	v->local = v->local_plain;
	set_original(v);
	route_child(v, &d, sv_cstr(arena_fmt(v->rt->a, SV_FMT "@" SV_FMT, SV_ARG(local), SV_ARG(domain))), NULL);
	return (true);
}

/* Take <p> through the routers. */
static void
route_one(struct routing *rt, struct pending *p)
{
	const struct exim_conf *c = rt->rq->conf;
	struct visit v;

	begin(&v, rt, p);
	if (p->start == NULL && percent_hack(&v))
		return;
	v.r = p->start != NULL ? p->start : c->nrouters > 0 ? c->routers[0] : NULL;
	while (v.r != NULL) {
		size_t todo = rt->todo.len, deliveries = rt->deliveries.len;
		bool skipped, more = true;
		enum route_yield y = visit_router(&v, &skipped);
		const struct exim_router *next = next_router(&v);

		switch (y) {
		case Y_ACCEPT:
		case Y_DISCARD:
			trace(&v, "accepted");
			accepted(&v, todo, deliveries);
			return;
		case Y_REROUTED:
			reroute(&v);
			return;
		case Y_FAIL:
			add_failure(&v, ROUTE_FAIL);
			return;
		case Y_DEFER:
		case Y_FREEZE:
			add_failure(&v, y == Y_FREEZE ? ROUTE_FREEZE : ROUTE_DEFER);
			return;
		case Y_PASS:
			trace(&v, "passed");
			if (v.r->pass_router != NULL)
				next = v.r->pass_router;
			v.ea.self_hostname = p->self_hostname;
			break;
		case Y_DECLINE:
			trace(&v, skipped ? "skipped" : "declined");
			if (!skipped && bool_option(&v, EXIM_ROUTER_more, "more", true, &more) != Y_ACCEPT) {
				add_failure(&v, ROUTE_DEFER);
				return;
			}
			break;
		}
		if (!more || next == NULL)
			break;
		v.r = next;
	}
	unrouteable(&v);
}

/* ---- all addresses ---- */

static bool
verifying(const struct route_request *rq)
{
	return (rq->mode == ROUTE_VERIFY_RECIPIENT || rq->mode == ROUTE_VERIFY_SENDER);
}

static unsigned
ancestors(const struct route_addr *a)
{
	unsigned n = 0;

	for (; a->parent != NULL; a = a->parent)
		n++;
	return (n);
}

/* Was this address on the list before?  The way through unseen and redirect_router does not count. */
static bool
duplicate(struct routing *rt, const struct pending *p)
{
	if (rt->seen == NULL)
		rt->seen = hash_new();
	/*
	 * One that equals an ancestor goes on behind the router that made that, or fails: passed over here, a circle
	 * of aliases would swallow the message.
	 */
	for (const struct route_addr *a = p->addr->parent; a != NULL; a = a->parent)
		if (sv_caseeq(a->address, p->addr->address))
			return (false);
	return (hash_set(rt->seen, p->addr->unique, rt) != NULL);
}

/* What was added from <len> on comes next, so that an address is finished before its neighbour. */
static void
to_front(struct routing *rt, size_t at, size_t len)
{
	size_t n = rt->todo.len - len;
	struct pending *tmp;

	if (n == 0 || at == len)
		return;
	tmp = xmalloc(n * sizeof(*tmp));
	memcpy(tmp, rt->todo.p + len, n * sizeof(*tmp));
	memmove(rt->todo.p + at + n, rt->todo.p + at, (len - at) * sizeof(*tmp));
	memcpy(rt->todo.p + at, tmp, n * sizeof(*tmp));
	free(tmp);
}

static void
walk(struct routing *rt)
{
	for (size_t i = 0; i < rt->todo.len; i++) {
		struct pending p = rt->todo.p[i];
		size_t len = rt->todo.len;

		if (p.ready != NULL) {
			struct route_delivery d = *p.ready;

			d.seq = rt->seq++;
			vec_push(&rt->deliveries, d);
			continue;
		}
		if (i > 0 && !rt->in_turn && duplicate(rt, &p))
			continue;
		if (rt->rq->done != NULL && p.start == NULL && rt->rq->done(rt->rq->done_arg, p.addr->unique)) {
			rt->accepted = true;
			continue;
		}
		if (ancestors(p.addr) >= ROUTE_DEPTH_MAX) {
			struct visit v;
			const char *text;

			begin(&v, rt, &p);
			text = arena_fmt(rt->a, "routing loop for " SV_FMT, SV_ARG(p.addr->address));
			route_panic(&v, text);
			(void)route_defer(&v, "%s", text);
			add_failure(&v, ROUTE_DEFER);
			continue;
		}
		if (!take_copy(rt, &p)) {
			size_t deliveries = rt->deliveries.len;

			route_one(rt, &p);
			keep_copy(rt, &p, deliveries, len);
		}
		to_front(rt, i + 1, len);
		/* Of several children none is verified: the redirection itself was good. */
		if (verifying(rt->rq) && !rt->rq->everything &&
		    (rt->todo.len - i - 1 > 1 || (rt->rq->success_on_redirect && rt->res->redirected)))
			break;
		if (rt->rq->mode == ROUTE_EXPN)
			break;
	}
}

/* Deliveries that are the same are made once. */
static void
unify(struct routing *rt)
{
	struct hash *h;
	size_t n = 0;

	if (rt->deliveries.len < 2)
		return;
	h = hash_new();
	for (size_t i = 0; i < rt->deliveries.len; i++) {
		struct route_delivery *d = &rt->deliveries.p[i];

		/* unseen copies go to another transport on purpose */
		if (hash_set(h, sv_cstr(arena_fmt(rt->a, SV_FMT "\n%s", SV_ARG(d->addr->unique),
		    d->transport == NULL ? "" : d->transport->d.name)), rt) == NULL)
			rt->deliveries.p[n++] = *d;
	}
	rt->deliveries.len = n;
	hash_free(&h, NULL);
}

static void
seal(struct routing *rt)
{
	struct route_result *res = rt->res;

	if (!rt->in_turn)
		unify(rt);
	res->verdict = EXIM_OK;
	for (size_t i = 0; i < rt->failures.len; i++) {
		if (rt->failures.p[i].fate != ROUTE_FAIL)
			res->verdict = EXIM_DEFER;
		else if (res->verdict == EXIM_OK)
			res->verdict = EXIM_FAIL;
	}
	res->ndeliveries = rt->deliveries.len;
	res->nfailures = rt->failures.len;
	res->ngenerated = rt->generated.len;
	res->delivery = arena_dup(rt->a, rt->deliveries.p, rt->deliveries.len * sizeof(*rt->deliveries.p));
	res->failure = arena_dup(rt->a, rt->failures.p, rt->failures.len * sizeof(*rt->failures.p));
	res->generated = arena_alloc(rt->a, rt->generated.len * sizeof(*res->generated));
	for (size_t i = 0; i < rt->generated.len; i++)
		res->generated[i] = *rt->generated.p[i];
	res->vars = rt->vars.p;
	res->nvars = rt->vars.len;
	vec_free(&rt->deliveries);
	vec_free(&rt->failures);
	vec_free(&rt->generated);
	vec_free(&rt->todo);
	if (rt->seen != NULL)
		hash_free(&rt->seen, NULL);
}

void
route_address(const struct route_request *rq, struct route_result *res)
{
	struct exim_address *addr = rq->env->addr;
	struct exim_acl_state *acl = rq->env->acl, mode_state;
	const struct exim_place outside = rq->env->at;
	struct routing rt = { .rq = rq, .res = res, .a = rq->arena, .env = rq->env };
	struct route_addr *a = arena_zalloc(rq->arena, sizeof(*a));
	struct pending p = { .addr = a, .address_data = SV_NULL, .errors_to_set = rq->errors_to.len > 0, .errors_to = rq->errors_to };
	uint64_t epoch;
	ptrdiff_t at = sv_rchr(rq->address, '@');

	rt.in_turn = rq->mode == ROUTE_TEST || rq->everything;
	epoch = exim_epoch_begin(rq->env);
	memset(res, 0, sizeof(*res));
	a->address = rq->address;
	a->unique = rq->address;
	for (size_t i = at < 0 ? rq->address.len : (size_t)at; i < rq->address.len; i++)
		if (sv_lower(rq->address.p[i]) != rq->address.p[i]) {
			char *u = arena_dup(rq->arena, rq->address.p, rq->address.len);

			for (; i < rq->address.len; i++)
				u[i] = sv_lower(u[i]);
			a->unique.p = u;
		}
	if (verifying(rq)) {
		/* $verify_mode */
		if (acl != NULL)
			mode_state = *acl;
		else
			memset(&mode_state, 0, sizeof(mode_state));
		mode_state.verify_mode = rq->mode == ROUTE_VERIFY_SENDER ? SV_LIT("S") : SV_LIT("R");
		rq->env->acl = &mode_state;
	}
	vec_push(&rt.todo, p);
	walk(&rt);
	seal(&rt);
	exim_epoch_end(rq->env, epoch);
	rq->env->addr = addr;
	rq->env->acl = acl;
	rq->env->at = outside;
}

void
route_result_free(struct route_result *res)
{
	for (size_t i = 0; i < res->nvars; i++)
		hash_free(&res->vars[i], NULL);
	free(res->vars);
	res->vars = NULL;
	res->nvars = 0;
}
