/* SPDX-License-Identifier: BSD-2-Clause */
/* The manualroute router (chapter 20 of Exim's manual): hosts written by the administrator. */
#include <string.h>

#include "exim/lexer.h"
#include "route/route_int.h"

struct rule {
	struct sv	 hosts;		/* expanded list */
	const struct exim_transport *transport;
	bool		 byname, bydns, randomize, mx;
	enum ip_wish	 wish;
};

/* Words behind the hosts of a rule. */
static bool
take_options(struct visit *v, struct sv opts, struct rule *r)
{
	const char *end = opts.p + opts.len;
	struct sv w;

	while (sv_word(&opts, &w)) {
		const struct exim_transport *t;

		if (sv_eqs(w, "randomize"))
			r->randomize = true;
		else if (sv_eqs(w, "no_randomize"))
			r->randomize = false;
		else if (sv_eqs(w, "byname"))
			r->byname = true;
		else if (sv_eqs(w, "bydns"))
			r->bydns = true;
		else if (sv_eqs(w, "ipv4_prefer"))
			r->wish = IP_V4_FIRST;
		else if (sv_eqs(w, "ipv4_only"))
			r->wish = IP_V4_ONLY;
		else if ((t = exim_conf_transport(v->rt->rq->conf, w)) != NULL)
			r->transport = t;
		else {
			struct sv rest = sv_from(w.p, (size_t)(end - w.p));

			route_note(v, "Error in %s router: unknown routing option or transport name \"" SV_FMT "\"", v->r->d.name,
			    SV_ARG(rest));
			(void)route_defer(v, "error in router: unknown routing option or transport name \"" SV_FMT "\"", SV_ARG(rest));
			return (false);
		}
	}
	return (true);
}

/* The next word, quotes resolved. */
static bool
word(struct visit *v, struct sv *text, struct sv *out)
{
	size_t i = 0;

	*text = sv_trim(*text);
	if (text->len == 0)
		return (false);
	if (text->p[0] == '"') {
		struct err err = ERR_INIT;

		for (i = 1; i < text->len && text->p[i] != '"'; i++)
			if (text->p[i] == '\\' && i + 1 < text->len)
				i++;
		i += i < text->len;
		(void)exim_string_parse(sv_sub(*text, 0, i), v->rt->a, out, &err);
		out->tainted = text->tainted;
	} else {
		while (i < text->len && !sv_isspace(text->p[i]))
			i++;
		*out = sv_sub(*text, 0, i);
	}
	*text = sv_trim(sv_sub(*text, i, text->len));
	return (true);
}

/* route_data: its expansion is "hosts options"; the hosts are expanded once more. */
static enum route_yield
from_data(struct visit *v, struct rule *r)
{
	struct sv text, hosts;
	enum exim_result res = exim_expand(v->r->d.own[EXIM_MANUALROUTE_route_data].str, v->rt->env, &text, &v->err);

	if (res != EXIM_OK)
		return (route_text_expansion(v, res, &v->r->d.own[EXIM_MANUALROUTE_route_data]));
	if (!word(v, &text, &hosts))
		return (Y_DECLINE);
	r->hosts = hosts;
	if (sv_chr(hosts, '$') >= 0 && !hosts.tainted) {
		res = exim_expand_text(hosts, v->rt->env, &r->hosts, &v->err);
		if (res != EXIM_OK)
			return (route_expansion(v, res, "host list of route_data"));
	}
	return (take_options(v, text, r) ? Y_ACCEPT : Y_DEFER);
}

/* The first rule of route_list that fits the domain. */
static enum route_yield
from_list(struct visit *v, struct rule *r)
{
	struct exim_env *env = v->rt->env;
	const struct exim_nums *nums = env->nums;
	struct sv value = env->value, data;
	enum route_yield y = Y_DECLINE;

	for (size_t i = 0; i < v->r->nrules; i++) {
		const struct exim_route_rule *rule = &v->r->rules[i];
		enum exim_result res;
		bool yes = false;

		data = SV_NULL;
		res = exim_match_domain(rule->pattern, env, v->domain, &yes, &data, &v->err);
		if (res == EXIM_DEFER || res == EXIM_FAIL) {
			if (res == EXIM_FAIL || strncmp(v->err.text, "failed to expand", 16) == 0)
				route_panic(v, v->err.text);
			y = route_defer(v, "lookup defer in route_list");
			break;
		}
		if (res != EXIM_OK || !yes)
			continue;
		if (data.p != NULL)
			env->value = data;
		y = Y_ACCEPT;
		r->hosts = SV_LIT("");
		if (rule->hosts != NULL) {
			res = exim_expand(rule->hosts, env, &r->hosts, &v->err);
			if (res == EXIM_FORCED)
				y = Y_DECLINE;
			else if (res != EXIM_OK)
				y = route_defer(v, "%s router: failed to expand \"" SV_FMT "\": %s", v->r->d.name,
				    SV_ARG(exim_str_text(rule->hosts)), route_why(v));
		}
		if (y == Y_ACCEPT && !take_options(v, rule->options, r))
			y = Y_DEFER;
		break;
	}
	env->nums = nums;
	env->value = value;
	return (y);
}

/* host_find_failed and host_all_ignored. */
static enum route_yield
on_failure(struct visit *v, struct sv what, const char *host)
{
	if (sv_eqs(what, "decline"))
		return (Y_DECLINE);
	if (sv_eqs(what, "pass"))
		return (Y_PASS);
	if (sv_eqs(what, "fail"))
		return (route_fail(v, "lookup of host \"%s\" failed in %s router", host, v->r->d.name));
	v->retry_error = EXIM_RE_LOOKUP;
	v->number = ROUTE_NUMBER_HOST;
	(void)route_defer(v, "lookup of host \"%s\" failed in %s router", host, v->r->d.name);
	return (sv_eqs(what, "freeze") ? Y_FREEZE : Y_DEFER);
}

static enum route_yield
all_ignored(struct visit *v, struct sv what)
{
	enum route_yield y = on_failure(v, what, "");
	const char *text = arena_fmt(v->rt->a, "lookup failed for all hosts in %s router: host_find_failed=ignore host_all_ignored=" SV_FMT,
	    v->r->d.name, SV_ARG(what));

	v->number = 0;
	if (y == Y_FAIL)
		return (route_fail(v, "%s", text));
	if (y == Y_DEFER || y == Y_FREEZE)
		(void)route_defer(v, "%s", text);
	return (y);
}

/* One item of the list, "+" aside; Y_ACCEPT also when it is ignored. */
static enum route_yield
add_host(struct visit *v, const struct rule *r, struct sv item, struct sv failed, struct hostlist *hl)
{
	uint16_t port;
	const char *name;
	bool mx = false, null;
	enum find f;

	if (sv_caseends(item, SV_LIT("/mx"))) {
		mx = true;
		item = sv_sub(item, 0, item.len - 3);
	}
	name = arena_cstr(v->rt->a, route_host_port(item, &port));
	hl->wish = r->byname ? IP_ANY : r->wish;
	if (mx)
		f = route_find_mx(v, name, true, port, hl, &null);
	else
		f = route_find_addrs(v, name, port, -1, !r->byname, r->bydns, hl);
	switch (f) {
	case FIND_OK:
		return (Y_ACCEPT);
	case FIND_IGNORED:
		return (sv_eqs(failed, "ignore") ? Y_ACCEPT : on_failure(v, failed, name));
	case FIND_DEFER:
		v->retry_error = EXIM_RE_TIMEOUT_DNS;
		v->number = ROUTE_NUMBER_DNS;
		if (v->r->d.generic[EXIM_ROUTER_pass_on_timeout].num != 0)
			return (Y_PASS);
		return (route_defer(v, "host lookup for %s did not complete (DNS timeout?)", name));
	default:
		if (f == FIND_DEAD && hl->dead_name != NULL)
			name = hl->dead_name;
		return (sv_eqs(failed, "ignore") ? Y_ACCEPT : on_failure(v, failed, name));
	}
}

/*
 * The hosts of a list in its order; in groups of chance where <r> wants it, of which those that an item of /MX gives keep
 * theirs.  Where one is this host it ends the list, or is what "self" is about if it is the first.
 */
static enum route_yield
add_items(struct visit *v, const struct rule *r, struct sv failed, struct hostlist *hl)
{
	bool sends = false, secondary;
	VEC(struct sv) items = VEC_INIT;
	enum route_yield y = Y_ACCEPT;
	struct sv rest = r->hosts, item;
	size_t group = 0;
	int sep = 0;

	while (exim_list_next(&rest, &sep, v->rt->a, &item) && items.len < ROUTE_HOSTS_MAX) {
		if (sv_eqs(item, "+")) {
			if (r->randomize)
				route_shuffle(v, items.p + group, items.len - group);
			group = items.len;
		} else if (item.len > 0)
			vec_push(&items, item);
	}
	if (r->randomize && items.len > group)
		route_shuffle(v, items.p + group, items.len - group);
	for (size_t i = 0; i < items.len && y == Y_ACCEPT && hl->v.len < ROUTE_HOSTS_MAX; i++) {
		size_t at = hl->v.len;

		hl->dead = 0;
		y = add_host(v, r, items.p[i], failed, hl);
		if (y != Y_ACCEPT || hl->v.len == at || (sends && hl->v.p[at].mx < 0) ||
		    !route_drop_self(v, hl, at, &secondary) || sends)
			continue;
		if (at > 0) {
			hl->v.len = at;
			break;
		}
		y = route_self(v, &hl->v.p[0]);
		sends = true;
	}
	vec_free(&items);
	return (y);
}

static enum route_yield
find_hosts(struct visit *v, const struct rule *r, struct hostlist *hl)
{
	enum route_yield y = add_items(v, r, v->r->d.own[EXIM_MANUALROUTE_host_find_failed].text, hl);

	if (y != Y_ACCEPT)
		return (y);
	if (hl->v.len == 0) {
		struct sv all = v->r->d.own[EXIM_MANUALROUTE_host_all_ignored].text;

		if (sv_trim(r->hosts).len == 0) {
			route_note(v, "error in %s router: no host(s) specified for domain " SV_FMT, v->r->d.name, SV_ARG(v->domain));
			return (route_defer(v, "error in %s router: no host(s) specified for domain " SV_FMT, v->r->d.name,
			    SV_ARG(v->domain)));
		}
		return (all_ignored(v, all));
	}
	return (Y_ACCEPT);
}

enum route_yield
route_host_list(struct visit *v, struct sv hosts, bool byname, bool bydns, struct hostlist *hl)
{
	struct rule r = { .hosts = hosts, .byname = byname, .bydns = bydns };

	return (add_items(v, &r, SV_LIT("defer"), hl));
}

/* For a local transport nothing is looked up or cut: the text is what it gets to know. */
static void
only_name(struct visit *v, struct sv text, struct hostlist *hl)
{
	struct route_host h;

	memset(&h, 0, sizeof(h));
	h.name = arena_cstr(v->rt->a, text);
	h.mx = -1;
	h.unknown = true;
	if (text.len > 0)
		vec_push(&hl->v, h);
}

/* What had been found, and the names that had not: a later router's local transport sees them. */
static void
leave_hosts(struct visit *v, const struct rule *r, struct hostlist *hl)
{
	struct sv rest = r->hosts, item;
	size_t n = hl->v.len;
	uint16_t port;
	int sep = 0;

	while (exim_list_next(&rest, &sep, v->rt->a, &item) && hl->v.len < ROUTE_HOSTS_MAX) {
		struct route_host h = { .mx = -1, .unknown = true };
		bool found = item.len == 0 || sv_eqs(item, "+");

		h.name = arena_cstr(v->rt->a, route_host_port(item, &port));
		for (size_t i = 0; i < n && !found; i++)
			found = strcmp(hl->v.p[i].name, h.name) == 0;
		if (!found)
			vec_push(&hl->v, h);
	}
	v->p->left = arena_dup(v->rt->a, hl->v.p, hl->v.len * sizeof(*hl->v.p));
	v->p->nleft = hl->v.len;
}

enum route_yield
route_manualroute(struct visit *v)
{
	struct hostlist hl = { .v = VEC_INIT };
	struct rule r;
	struct route_delivery d;
	bool verifying = v->rt->rq->mode == ROUTE_VERIFY_RECIPIENT || v->rt->rq->mode == ROUTE_VERIFY_SENDER;
	enum route_yield y;

	memset(&r, 0, sizeof(r));
	r.randomize = v->r->d.own[EXIM_MANUALROUTE_hosts_randomize].num != 0;
	y = v->r->d.own[EXIM_MANUALROUTE_route_data].str != NULL ? from_data(v, &r) : from_list(v, &r);
	if (y != Y_ACCEPT)
		return (y);
	y = route_fill(v, &d, &v->r->d.generic[EXIM_ROUTER_transport]);
	if (y != Y_ACCEPT)
		return (y);
	if (r.transport != NULL)
		d.transport = r.transport;
	d.randomize = r.randomize;
	if (d.transport != NULL && d.transport->local) {
		d.text = r.hosts;
		only_name(v, r.hosts, &hl);
		route_hosts_seal(v, &hl, &d);
		route_deliver(v, &d);
		return (Y_ACCEPT);
	}
	if (r.hosts.len > 0 || !verifying) {
		y = find_hosts(v, &r, &hl);
		if ((y == Y_PASS || y == Y_DECLINE) && v->message.p == NULL &&
		    !sv_eqs(v->r->d.own[EXIM_MANUALROUTE_host_find_failed].text, "ignore"))
			leave_hosts(v, &r, &hl);
	}
	if (y == Y_ACCEPT && d.transport == NULL && !verifying) {
		route_note(v, "Error in %s router: no transport defined", v->r->d.name);
		y = route_defer(v, "error in router: transport missing");
	}
	if (y != Y_ACCEPT) {
		vec_free(&hl.v);
		return (y);
	}
	route_hosts_seal(v, &hl, &d);
	route_deliver(v, &d);
	return (Y_ACCEPT);
}
