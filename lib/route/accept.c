/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every router that takes an address does: errors_to, headers, transport, user,
 * home; and the accept and ipliteral routers, which do nothing else.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "os/user.h"
#include "route/route_int.h"

#define HEADERS_MAX	200

/* ---- errors ---- */

static enum route_yield yield_err(struct visit *v, enum err_class cls, enum route_yield y, const char *fmt, va_list ap)
	__attribute__((format(printf, 4, 0)));

static enum route_yield
yield_err(struct visit *v, enum err_class cls, enum route_yield y, const char *fmt, va_list ap)
{
	struct sb line = SB_INIT(ERR_TEXT_MAX);
	char text[ERR_TEXT_MAX];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	v->raw = strchr(text, '\n') == NULL ? NULL : arena_str(v->rt->a, text);
	/* A log shows ends of lines as escapes, but for the last. */
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\n' && p[1] == '\0')
			break;
		if (*p == '\n')
			sb_adds(&line, "\\n");
		else
			sb_addc(&line, *p);
	}
	(void)err_set(&v->err, cls, NULL, "%s", sb_cstr(&line));
	sb_free(&line);
	return (y);
}

const char *
route_why(struct visit *v)
{
	struct sv whole = v->rt->env->message;

	return (whole.len == strlen(v->err.text) ? arena_cstr(v->rt->a, whole) : arena_str(v->rt->a, v->err.text));
}

enum route_yield
route_defer(struct visit *v, const char *fmt, ...)
{
	enum route_yield y;
	va_list ap;

	va_start(ap, fmt);
	y = yield_err(v, ERR_TEMP, Y_DEFER, fmt, ap);
	va_end(ap);
	return (y);
}

enum route_yield
route_fail(struct visit *v, const char *fmt, ...)
{
	enum route_yield y;
	va_list ap;

	va_start(ap, fmt);
	y = yield_err(v, ERR_PERM, Y_FAIL, fmt, ap);
	va_end(ap);
	return (y);
}

enum route_yield
route_expansion(struct visit *v, enum exim_result res, const char *option)
{
	if (res == EXIM_OK)
		return (Y_ACCEPT);
	if (res == EXIM_FORCED)
		return (Y_DECLINE);
	err_prefix(&v->err, "failed to expand \"%s\" in %s router", option, v->r->d.name);
	if (v->err.cls == ERR_PERM)
		v->err.cls = ERR_TEMP;
	return (Y_DEFER);
}

enum route_yield
route_text_expansion(struct visit *v, enum exim_result res, const struct exim_value *o)
{
	if (res == EXIM_OK)
		return (Y_ACCEPT);
	if (res == EXIM_FORCED)
		return (Y_DECLINE);
	return (route_defer(v, "failed to expand \"" SV_FMT "\": %s", SV_ARG(o->text), route_why(v)));
}

/* ---- generic options ---- */

/* Does <address> verify as a sender, with an empty sender of its own? */
static bool
errors_address_ok(struct visit *v, struct sv address)
{
	struct route_request rq = *v->rt->rq;
	struct route_result res;
	bool ok;

	if (address.len == 0 || v->rt->depth > 0)
		return (true);
	if (rq.mode == ROUTE_VERIFY_SENDER || rq.mode == ROUTE_VERIFY_RECIPIENT || rq.mode == ROUTE_EXPN)
		return (true);
	if (rq.sender.p != NULL && sv_caseeq(address, rq.sender))
		return (true);
	if (sv_rchr(address, '@') < 0)
		return (false);
	rq.within = rq.mode == ROUTE_DELIVER;
	rq.mode = ROUTE_VERIFY_SENDER;
	rq.address = address;
	rq.sender = SV_LIT("");
	route_address(&rq, &res);
	ok = res.verdict == EXIM_OK;
	route_result_free(&res);
	return (ok);
}

static enum route_yield
errors_to(struct visit *v, struct route_delivery *d)
{
	const struct exim_str *s = v->r->d.generic[EXIM_ROUTER_errors_to].str;
	enum exim_result res;
	struct sv text;

	d->errors_to_set = v->p->errors_to_set;
	d->errors_to = v->p->errors_to;
	if (s == NULL)
		return (Y_ACCEPT);
	res = exim_expand(s, v->rt->env, &text, &v->err);
	if (res == EXIM_FORCED)
		return (Y_ACCEPT);
	if (res != EXIM_OK)
		return (route_defer(v, "%s router failed to expand \"" SV_FMT "\": %s", v->r->d.name, SV_ARG(exim_str_text(s)),
		    route_why(v)));
	text = sv_trim(text);
	if (sv_eqs(text, "<>"))
		text = SV_LIT("");
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.p[i] < ' ' || text.p[i] == 127)
			return (Y_ACCEPT);
	if (text.len > 0 && sv_rchr(text, '@') < 0 && v->rt->env->g != NULL)
		text = sv_cstr(arena_fmt(v->rt->a, SV_FMT "@" SV_FMT, SV_ARG(text), SV_ARG(v->rt->env->g->qualify_recipient.len > 0 ?
		    v->rt->env->g->qualify_recipient : v->rt->env->g->qualify_domain)));
	if (!errors_address_ok(v, text))
		return (Y_ACCEPT);
	d->errors_to_set = true;
	d->errors_to = arena_sv(v->rt->a, text);
	return (Y_ACCEPT);
}

/* <before> and the expanded items of <val>. */
static enum route_yield
header_items(struct visit *v, const struct exim_value *val, const char *option, const struct sv *before, size_t nbefore,
    const struct sv **out, size_t *nout)
{
	struct sv *list;
	size_t n = 0;

	*out = before;
	*nout = nbefore;
	if (val->n == 0)
		return (Y_ACCEPT);
	list = arena_alloc(v->rt->a, (nbefore + val->n) * sizeof(*list));
	for (; n < nbefore; n++)
		list[n] = before[n];
	for (size_t i = 0; i < val->n && n < HEADERS_MAX + nbefore; i++) {
		struct sv text;
		enum exim_result res = exim_expand(val->strs[i], v->rt->env, &text, &v->err);

		if (res == EXIM_FORCED)
			continue;
		if (res != EXIM_OK)
			return (route_defer(v, "%s router failed to expand %s item \"" SV_FMT "\": %s", v->r->d.name, option,
			    SV_ARG(exim_str_text(val->strs[i])), route_why(v)));
		text = sv_trim(text);
		if (text.len > 0)
			list[n++] = arena_sv(v->rt->a, text);
	}
	*out = list;
	*nout = n;
	return (Y_ACCEPT);
}

static enum route_yield
headers(struct visit *v, struct route_delivery *d)
{
	enum route_mode m = v->rt->rq->mode;
	enum route_yield y;

	d->headers_add = v->p->headers_add;
	d->nheaders_add = v->p->nheaders_add;
	d->headers_remove = v->p->headers_remove;
	d->nheaders_remove = v->p->nheaders_remove;
	if (m != ROUTE_DELIVER && m != ROUTE_TEST && !v->rt->rq->headers)
		return (Y_ACCEPT);
	y = header_items(v, &v->r->d.generic[EXIM_ROUTER_headers_add], "add_headers", v->p->headers_add, v->p->nheaders_add,
	    &d->headers_add, &d->nheaders_add);
	if (y != Y_ACCEPT)
		return (y);
	return (header_items(v, &v->r->d.generic[EXIM_ROUTER_headers_remove], "remove_headers", v->p->headers_remove,
	    v->p->nheaders_remove, &d->headers_remove, &d->nheaders_remove));
}

static enum route_yield
transport_of(struct visit *v, struct route_delivery *d, const struct exim_value *val)
{
	enum exim_result res;

	d->transport = val == &v->r->d.generic[EXIM_ROUTER_transport] ? v->r->transport : NULL;
	if (d->transport != NULL || val == NULL || val->str == NULL)
		return (Y_ACCEPT);
	res = exim_conf_transport_of(v->rt->rq->conf, val, v->rt->env, &d->transport, &v->err);
	if (res != EXIM_OK) {
		const char *why = route_why(v);

		v->number = ROUTE_NUMBER_TRANSPORT;
		if (strstr(why, "not found") != NULL)
			return (route_defer(v, "%s in %s router", why, v->r->d.name));
		if (strstr(why, "tainted value") != NULL) {
			ptrdiff_t quote = sv_find(sv_cstr(why), SV_LIT("'")), end = quote < 0 ? -1 :
			    sv_chr(sv_sub(sv_cstr(why), (size_t)quote + 1, strlen(why)), '\'');

			if (end >= 0)
				route_panic(v, arena_fmt(v->rt->a, "attempt to use tainted value '%.*s' from '" SV_FMT "' for transport", (int)end,
				    why + quote + 1, SV_ARG(val->text)));
			return (route_defer(v, "internal configuration error"));
		}
		return (route_defer(v, "failed to expand transport \"" SV_FMT "\" in %s router: %s", SV_ARG(val->text), v->r->d.name,
		    why));
	}
	if (d->transport == NULL) {
		v->number = ROUTE_NUMBER_TRANSPORT;
		return (route_defer(v, "transport \"\" not found in %s router", v->r->d.name));
	}
	return (Y_ACCEPT);
}

static enum route_yield
no_such_id(struct visit *v, const char *what, struct sv name, const struct exim_value *val)
{
	char *text = arena_fmt(v->rt->a, "Failed to find %s \"" SV_FMT "\" from expanded string \"" SV_FMT "\" for the %s router",
	    what, SV_ARG(name), SV_ARG(val->text), v->r->d.name);

	route_panic(v, text);
	return (route_defer(v, "%s", text));
}

enum route_yield
route_id_of(struct visit *v, const struct exim_value *val, const char *option, bool *set, int64_t *id, const char **name, int64_t *gid)
{
	const struct exim_world *w = v->rt->env->world;
	struct exim_passwd pw;
	enum exim_result res;
	struct sv text;

	if (val->str == NULL)
		return (Y_ACCEPT);
	res = exim_expand(val->str, v->rt->env, &text, &v->err);
	if (res == EXIM_FORCED)
		return (Y_ACCEPT);
	if (res != EXIM_OK) {
		char *why = arena_fmt(v->rt->a, "Failed to expand %s string \"" SV_FMT "\" for the %s router: %s",
		    name != NULL ? "user" : "group", SV_ARG(val->text), v->r->d.name, route_why(v));

		route_panic(v, why);
		return (route_defer(v, "%s", why));
	}
	text = sv_trim(text);
	*set = true;
	if (val->num >= 0)
		*id = val->num;
	else if (num_parse(text, 0, UINT32_MAX - 1, id))
		return (Y_ACCEPT);
	if (name != NULL)
		*name = arena_cstr(v->rt->a, text);
	if (name == NULL) {
		gid_t g;
		struct err err = ERR_INIT;

		if (val->num < 0 && os_group_by_name(arena_cstr(v->rt->a, text), &g, &err) != 1)
			return (no_such_id(v, "group", text, val));
		*id = val->num < 0 ? (int64_t)g : val->num;
		return (Y_ACCEPT);
	}
	if (w->passwd == NULL || route_passwd(v, *name, &pw) != EXIM_FOUND)
		return (val->num >= 0 ? Y_ACCEPT : no_such_id(v, "user", text, val));
	*id = (int64_t)pw.uid;
	*gid = (int64_t)pw.gid;
	return (Y_ACCEPT);
}

static enum route_yield
ids(struct visit *v, struct route_delivery *d)
{
	const struct exim_value *g = v->r->d.generic;
	int64_t gid = -1;
	enum route_yield y;

	d->uid = d->gid = -1;
	if (v->has_pw) {
		d->user_set = d->group_set = true;
		d->uid = (int64_t)v->pw.uid;
		d->gid = (int64_t)v->pw.gid;
		d->user = v->pw.name;
		d->initgroups = true;
	}
	y = route_id_of(v, &g[EXIM_ROUTER_user], "user", &d->user_set, &d->uid, &d->user, &gid);
	if (y != Y_ACCEPT)
		return (y);
	if (gid >= 0) {
		d->group_set = true;
		d->gid = gid;
	}
	y = route_id_of(v, &g[EXIM_ROUTER_group], "group", &d->group_set, &d->gid, NULL, NULL);
	if (g[EXIM_ROUTER_initgroups].num != 0)
		d->initgroups = true;
	if (y == Y_ACCEPT && d->user_set && !d->group_set)
		return (route_defer(v, "user set without group for %s router", v->r->d.name));
	return (y);
}

static enum route_yield
dirs(struct visit *v, struct route_delivery *d)
{
	const struct exim_value *g = v->r->d.generic;
	enum exim_result res;
	char *p;

	if (v->has_pw)
		d->home = v->pw.home;
	else if (g[EXIM_ROUTER_router_home_directory].str != NULL && v->ea.home.len > 0)
		d->home = arena_cstr(v->rt->a, v->ea.home);
	if (g[EXIM_ROUTER_transport_home_directory].str != NULL) {
		res = exim_expand_cstr(g[EXIM_ROUTER_transport_home_directory].str, v->rt->env, &p, &v->err);
		if (res != EXIM_OK)
			return (route_expansion(v, res == EXIM_FORCED ? EXIM_FAIL : res, "transport_home_directory"));
		d->home = arena_str(v->rt->a, p);
	}
	if (g[EXIM_ROUTER_transport_current_directory].str != NULL) {
		res = exim_expand_cstr(g[EXIM_ROUTER_transport_current_directory].str, v->rt->env, &p, &v->err);
		if (res != EXIM_OK)
			return (route_expansion(v, res == EXIM_FORCED ? EXIM_FAIL : res, "transport_current_directory"));
		d->current_dir = arena_str(v->rt->a, p);
	}
	return (Y_ACCEPT);
}

static struct sv
keep(struct visit *v, struct sv s)
{
	return (s.p == NULL || v->rt->env->arena == v->rt->a ? s : arena_sv(v->rt->a, s));
}

enum route_yield
route_fill(struct visit *v, struct route_delivery *d, const struct exim_value *transport)
{
	enum route_yield y;

	memset(d, 0, sizeof(*d));
	d->addr = v->p->addr;
	d->router = v->r;
	d->local_part = keep(v, v->local);
	d->domain = v->domain;
	d->original_local = keep(v, v->ea.original_local_part);
	d->original_domain = v->ea.original_domain;
	d->prefix = keep(v, v->ea.local_part_prefix);
	d->suffix = keep(v, v->ea.local_part_suffix);
	d->prefix_v = keep(v, v->ea.local_part_prefix_v);
	d->suffix_v = keep(v, v->ea.local_part_suffix_v);
	d->local_part_data = keep(v, v->ea.local_part_data);
	d->domain_data = keep(v, v->ea.domain_data);
	d->address_data = keep(v, v->ea.address_data);
	d->self_hostname = v->p->self_hostname;
	d->vars = v->p->vars;
	d->one_time = v->p->one_time;
	d->hide_child = v->p->hide_child;
	y = errors_to(v, d);
	if (y == Y_ACCEPT)
		y = headers(v, d);
	if (y == Y_ACCEPT)
		y = transport_of(v, d, transport);
	/* What goes to other hosts runs as nobody. */
	if (y == Y_ACCEPT && (d->transport == NULL || d->transport->local))
		y = ids(v, d);
	else
		d->uid = d->gid = -1;
	if (y == Y_ACCEPT)
		y = dirs(v, d);
	return (y == Y_DECLINE ? Y_DEFER : y);
}

/* ---- deliveries ---- */

/* What makes two deliveries the same: the address, for pipes and files what and from whom. */
static struct sv
unique_of(struct visit *v, const struct route_delivery *d)
{
	struct sv addr = d->addr->unique;

	/*
	 * Each command of a filter that sends mail counts, though two of them write to the same (filter manual 3.14).  Those that
	 * were sent in an earlier attempt count too, so that each has the same number again.
	 */
	if (d->kind == ROUTE_REPLY)
		return (sv_cstr(arena_fmt(v->rt->a, ">%u:" SV_FMT ":" SV_FMT, v->rt->replies++, SV_ARG(d->text), SV_ARG(addr))));
	if (d->kind == ROUTE_TO_TRANSPORT || d->kind == ROUTE_DISCARD)
		return (addr);
	/* Pipes and files belong to the address that named them: another one that names the same has its own copy. */
	if (d->kind == ROUTE_FILTER)
		return (sv_cstr(arena_fmt(v->rt->a, "filter::" SV_FMT, SV_ARG(addr))));
	return (sv_cstr(arena_fmt(v->rt->a, "%s" SV_FMT ":" SV_FMT, d->kind == ROUTE_PIPE ? "|" : "", SV_ARG(d->text), SV_ARG(addr))));
}

void
route_deliver(struct visit *v, const struct route_delivery *d)
{
	struct routing *rt = v->rt;
	struct route_delivery copy = *d;

	if (d->kind != ROUTE_TO_TRANSPORT) {
		/* Its own unique text, so that it is known again after a deferral. */
		struct route_addr *a = arena_zalloc(rt->a, sizeof(*a));

		*a = *d->addr;
		a->unique = unique_of(v, d);
		copy.addr = a;
	}
	rt->accepted = true;
	if (rt->rq->done != NULL && rt->rq->done(rt->rq->done_arg, copy.addr->unique))
		return;
	if (rt->in_turn && d->kind != ROUTE_TO_TRANSPORT && d->kind != ROUTE_DISCARD && d->kind != ROUTE_FILTER) {
		struct pending p = *v->p;

		/* Where all is shown, it comes between the addresses that stand around it. */
		p.addr = (struct route_addr *)(uintptr_t)copy.addr;
		p.ready = arena_dup(rt->a, &copy, sizeof(copy));
		vec_push(&rt->todo, p);
		return;
	}
	copy.seq = rt->seq++;
	vec_push(&rt->deliveries, copy);
}

void
route_child(struct visit *v, const struct route_delivery *d, struct sv address, const struct exim_router *start)
{
	struct routing *rt = v->rt;
	struct route_addr *a = arena_zalloc(rt->a, sizeof(*a));
	struct pending p = *v->p;
	ptrdiff_t at = sv_rchr(address, '@');

	a->address = arena_sv(rt->a, address);
	a->parent = v->p->addr;
	a->router = v->r;
	a->unique = a->address;
	if (at >= 0) {
		char *u = arena_dup(rt->a, a->address.p, a->address.len + 1);

		for (size_t i = (size_t)at + 1; i < a->address.len; i++)
			u[i] = sv_lower(u[i]);
		a->unique.p = u;
	}
	rt->accepted = true;
	vec_push(&rt->generated, a);
	p.addr = a;
	p.start = start;
	p.errors_to_set = d->errors_to_set;
	p.errors_to = d->errors_to;
	p.headers_add = d->headers_add;
	p.nheaders_add = d->nheaders_add;
	p.headers_remove = d->headers_remove;
	p.nheaders_remove = d->nheaders_remove;
	p.one_time = d->one_time;
	p.ignore_error = p.ignore_error || d->ignore_error;
	p.address_data = keep(v, v->ea.address_data);
	p.parent_local = v->local;
	p.parent_domain = v->domain;
	p.original_local = v->ea.original_local_part;
	p.original_domain = v->ea.original_domain;
	vec_push(&rt->todo, p);
}

void
route_note(struct visit *v, const char *fmt, ...)
{
	const struct route_ops *ops = v->rt->rq->ops;
	struct sb sb = SB_INIT(4096);
	va_list ap;

	if (ops == NULL || (ops->note == NULL && ops->trace == NULL))
		return;
	va_start(ap, fmt);
	sb_addv(&sb, fmt, ap);
	va_end(ap);
	(ops->note != NULL ? ops->note : ops->trace)(ops->arg, sb_cstr(&sb));
	sb_free(&sb);
}

void
route_panic(struct visit *v, const char *text)
{
	const struct route_ops *ops = v->rt->rq->ops;

	if (ops != NULL && ops->panic != NULL)
		ops->panic(ops->arg, text);
	else
		route_note(v, "%s", text);
}

void
route_debug_print(struct visit *v)
{
	const struct exim_str *s = v->r->d.generic[EXIM_ROUTER_debug_print].str;
	const struct route_ops *ops = v->rt->rq->ops;
	struct err err = ERR_INIT;
	struct sv text;

	if (s == NULL || ops == NULL || ops->debug == NULL)
		return;
	if (exim_expand(s, v->rt->env, &text, &err) == EXIM_OK)
		ops->debug(ops->arg, text);
	else
		ops->debug(ops->arg, sv_cstr(arena_fmt(v->rt->a, "failed to expand debug_output \"" SV_FMT "\": %s",
		    SV_ARG(v->r->d.generic[EXIM_ROUTER_debug_print].text), err.text)));
}

/* ---- drivers ---- */

enum route_yield
route_accept(struct visit *v)
{
	struct route_delivery d;
	enum route_yield y = route_fill(v, &d, &v->r->d.generic[EXIM_ROUTER_transport]);

	if (y != Y_ACCEPT)
		return (y);
	if (d.transport == NULL && !v->r->verify_only && v->rt->rq->mode == ROUTE_DELIVER)
		return (route_defer(v, "%s router: no transport is set", v->r->d.name));
	if (d.transport != NULL && d.transport->local) {
		d.hosts = v->p->left;
		d.nhosts = v->p->nleft;
	}
	route_deliver(v, &d);
	return (Y_ACCEPT);
}

enum route_yield
route_ipliteral(struct visit *v)
{
	struct route_delivery d;
	struct hostlist hl = { .v = VEC_INIT };
	struct net_addr addr;
	struct sv dom = v->domain, text;
	char buf[NET_ADDR_TEXT_MAX];
	enum route_yield y;

	if (dom.len < 3 || dom.p[0] != '[' || dom.p[dom.len - 1] != ']')
		return (Y_DECLINE);
	text = sv_sub(dom, 1, dom.len - 1);
	if (sv_casestarts(text, "ipv6:"))
		text = sv_sub(text, 5, text.len);
	if (!net_addr_parse(text, &addr) || (addr.family == 6 && exim_main_bool(v->rt->rq->conf, EXIM_MAIN_disable_ipv6)))
		return (Y_DECLINE);
	y = route_fill(v, &d, &v->r->d.generic[EXIM_ROUTER_transport]);
	if (y != Y_ACCEPT)
		return (y);
	switch (route_find_addrs(v, net_addr_text(&addr, buf), 0, -1, false, false, &hl)) {
	case FIND_OK:
		break;
	case FIND_IGNORED:
		v->message = SV_LIT("IP literal host explicitly ignored");
		/* FALLTHROUGH */
	default:
		vec_free(&hl.v);
		return (Y_DECLINE);
	}
	/* The host is called as the domain is written. */
	hl.v.p[0].name = arena_cstr(v->rt->a, dom);
	if (route_is_ours(v, &addr)) {
		y = route_self(v, &hl.v.p[0]);
		if (y != Y_ACCEPT) {
			vec_free(&hl.v);
			return (y);
		}
	}
	route_hosts_seal(v, &hl, &d);
	route_deliver(v, &d);
	return (Y_ACCEPT);
}
