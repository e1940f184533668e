/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Routers at the end of loading: the names in their options become pointers, lists are cut into what is tried in turn; what
 * contradicts itself, names nothing or can never be reached is told.
 */
#include <string.h>

#include "exim/conf_int.h"
#include "exim/rewrite_int.h"

#define AFFIXES_MAX	64

static struct exim_router *
router(const struct loader *ld, struct sv name)
{
	for (size_t i = 0; i < ld->routers.len; i++)
		if (sv_eqs(name, ld->routers.p[i]->d.name))
			return (ld->routers.p[i]);
	return (NULL);
}

/* A transport option with a fixed name. */
static const struct exim_transport *
transport_opt(struct loader *ld, const struct exim_router *r, const struct exim_value *v)
{
	const struct exim_transport *t;
	struct sv name;

	if (v->str == NULL || !exim_str_literal(v->str, &name) || name.len == 0)
		return (NULL);
	t = conf_transport(ld, name);
	if (t == NULL)
		exim_report_soft(ld->rep, v->file, v->line, "router %s: transport \"" SV_FMT "\" not found: write it behind "
		    "\"begin transports\" or correct the name", r->d.name, SV_ARG(name));
	return (t);
}

static const struct exim_affix *
affixes(struct loader *ld, const struct exim_value *v, bool prefix, size_t *n)
{
	struct exim_affix *af;
	struct sv rest = v->text, item;
	int sep = 0;

	*n = 0;
	if (rest.len == 0)
		return (NULL);
	af = arena_zalloc(ld->a, AFFIXES_MAX * sizeof(*af));
	while (exim_list_next(&rest, &sep, ld->a, &item)) {
		if (*n == AFFIXES_MAX) {
			(void)exim_report_error(ld->rep, v->file, v->line, "more than %d affixes", AFFIXES_MAX);
			break;
		}
		af[*n].wild = item.len > 0 && item.p[prefix ? 0 : item.len - 1] == '*';
		if (af[*n].wild)
			item = prefix ? sv_sub(item, 1, item.len) : sv_sub(item, 0, item.len - 1);
		af[(*n)++].text = item;
	}
	return (af);
}

static const struct exim_router *
router_opt(struct loader *ld, const struct exim_router *r, const struct exim_value *v, bool later)
{
	const struct exim_router *to;

	if (v->text.p == NULL)
		return (NULL);
	to = router(ld, v->text);
	if (to == NULL)
		(void)exim_report_bare(ld->rep, v->file, v->line, "new_router \"" SV_FMT "\" not found for \"%s\" router",
		    SV_ARG(v->text), r->d.name);
	else if (later && to->index <= r->index)
		(void)exim_report_bare(ld->rep, v->file, v->line, "new_router \"" SV_FMT "\" does not follow \"%s\" router",
		    SV_ARG(v->text), r->d.name);
	return (to);
}

/* Rules of route_list: "pattern hosts options", by semicolons. */
static void
route_rules(struct loader *ld, struct exim_router *r)
{
	const struct exim_value *v = &r->d.own[EXIM_MANUALROUTE_route_list];
	VEC(struct exim_route_rule) rules = VEC_INIT;
	struct sv rest = v->text, item, word;
	int sep = sv_starts(rest, "<") ? 0 : ';';

	while (exim_list_next(&rest, &sep, ld->a, &item)) {
		struct exim_route_rule rule = { .hosts = NULL, .options = SV_LIT("") };
		struct exim_str *s = NULL;
		struct err err = ERR_INIT;

		if (!exim_rule_word(&item, ld->a, &word, &err))
			continue;
		rule.pattern = exim_single_list(ld->a, EXIM_LIST_DOMAIN, word, v->file, v->line, ld->rep);
		if (exim_rule_word(&item, ld->a, &word, &err)) {
			if (exim_str_compile(ld->a, word, v->file, v->line, &s, &err) == -1)
				exim_report_soft(ld->rep, NULL, 0, "%s (route_list)", err.text);
			rule.hosts = s;
		}
		rule.options = arena_sv(ld->a, item);
		vec_push(&rules, rule);
	}
	r->rules = rules.len == 0 ? NULL : arena_dup(ld->a, rules.p, rules.len * sizeof(*rules.p));
	r->nrules = rules.len;
	vec_free(&rules);
}

/* require_files is cut into items before they are expanded. */
static void
required_files(struct loader *ld, struct exim_router *r)
{
	const struct exim_value *v = &r->d.generic[EXIM_ROUTER_require_files];
	VEC(const struct exim_str *) items = VEC_INIT;
	struct sv rest = v->text, item;
	int sep = 0;

	while (exim_list_next(&rest, &sep, ld->a, &item)) {
		struct exim_str *s = NULL;
		struct err err = ERR_INIT;

		if (item.len == 0)
			continue;
		if (exim_str_compile(ld->a, item, v->file, v->line, &s, &err) == -1)
			exim_report_soft(ld->rep, NULL, 0, "%s (require_files)", err.text);
		if (s != NULL)
			vec_push(&items, s);
	}
	r->require_files = items.len == 0 ? NULL : arena_dup(ld->a, items.p, items.len * sizeof(*items.p));
	r->nrequire_files = items.len;
	vec_free(&items);
}

/* Exim names the router in its text here. */
#define ROUTER_WRONG(ld, r, text) \
	(void)exim_report_bare((ld)->rep, (r)->d.file, (r)->d.line, "%s router:" EXIM_BREAK text, (r)->d.name)

static const char *
redirect_wrong(const struct exim_value *o, const struct exim_value *g)
{
	if (o[EXIM_REDIRECT_data].set && o[EXIM_REDIRECT_file].set)
		return ("only one of \"file\" or \"data\" must be specified");
	if (!o[EXIM_REDIRECT_data].set && !o[EXIM_REDIRECT_file].set)
		return ("one of \"file\" or \"data\" must be specified");
	if (o[EXIM_REDIRECT_one_time].num != 0 && (g[EXIM_ROUTER_unseen].num != 0 || g[EXIM_ROUTER_unseen].str != NULL))
		return ("\"unseen\" may not be used with \"one_time\"");
	if (o[EXIM_REDIRECT_one_time].num != 0 && (g[EXIM_ROUTER_headers_add].set || g[EXIM_ROUTER_headers_remove].set))
		return ("\"headers_add\" and \"headers_remove\" are not permitted with \"one_time\"");
	if (o[EXIM_REDIRECT_qualify_domain].set && o[EXIM_REDIRECT_qualify_preserve_domain].num != 0)
		return ("only one of \"qualify_domain\" or \"qualify_preserve_domain\" must be set");
	if (o[EXIM_REDIRECT_allow_filter].num != 0 && g[EXIM_ROUTER_check_local_user].num == 0 && !g[EXIM_ROUTER_user].set)
		return ("\"user\" or \"check_local_user\" must be set with \"allow_filter\"");
	return (NULL);
}

static bool
one_of(struct sv v, const char *const *words)
{
	for (; *words != NULL; words++)
		if (sv_eqs(v, *words))
			return (true);
	return (false);
}

static const char *
manualroute_wrong(const struct exim_value *o)
{
	static const char *const found[] = { "decline", "defer", "fail", "freeze", "ignore", "pass", NULL };
	static const char *const ignored[] = { "decline", "defer", "fail", "freeze", "pass", NULL };

	if (!one_of(o[EXIM_MANUALROUTE_host_find_failed].text, found))
		return ("unrecognized setting for host_find_failed option");
	if (!one_of(o[EXIM_MANUALROUTE_host_all_ignored].text, ignored))
		return ("unrecognized setting for host_all_ignored option");
	if (o[EXIM_MANUALROUTE_route_list].set == o[EXIM_MANUALROUTE_route_data].set)
		return ("route_list or route_data (but not both) must be specified");
	return (NULL);
}

static void
router_driver(struct loader *ld, struct exim_router *r)
{
	const struct exim_value *o = r->d.own, *g = r->d.generic;
	const char *wrong = NULL;

	switch (r->drv) {
	case EXIM_ROUTER_DRV_REDIRECT:
		wrong = redirect_wrong(o, g);
		r->pipe_transport = transport_opt(ld, r, &o[EXIM_REDIRECT_pipe_transport]);
		r->file_transport = transport_opt(ld, r, &o[EXIM_REDIRECT_file_transport]);
		r->directory_transport = transport_opt(ld, r, &o[EXIM_REDIRECT_directory_transport]);
		r->reply_transport = transport_opt(ld, r, &o[EXIM_REDIRECT_reply_transport]);
		if (g[EXIM_ROUTER_transport].set)
			ROUTER_WRONG(ld, r, "a transport must not be defined for this router");
		break;
	case EXIM_ROUTER_DRV_MANUALROUTE:
		wrong = manualroute_wrong(o);
		route_rules(ld, r);
		break;
	case EXIM_ROUTER_DRV_QUERYPROGRAM:
		if (!o[EXIM_QUERYPROGRAM_command].set)
			wrong = "a command specification is required";
		else if (!o[EXIM_QUERYPROGRAM_command_user].set)
			wrong = "command_user must be specified";
		break;
	case EXIM_ROUTER_DRV_IPLOOKUP:
		if (o[EXIM_IPLOOKUP_port].num <= 0)
			wrong = "a port must be specified";
		else if (!o[EXIM_IPLOOKUP_hosts].set)
			wrong = "a host list must be specified";
		else if (!sv_eqs(o[EXIM_IPLOOKUP_protocol].text, "udp") && !sv_eqs(o[EXIM_IPLOOKUP_protocol].text, "tcp"))
			wrong = "protocol not specified as udp or tcp";
		break;
	case EXIM_ROUTER_DRV_ACCEPT:
	case EXIM_ROUTER_DRV_DNSLOOKUP:
	case EXIM_ROUTER_DRV_IPLITERAL:
		if (!g[EXIM_ROUTER_transport].set && !r->verify_only)
			ROUTER_WRONG(ld, r, "a transport is required for this router");
		break;
	default:
		break;
	}
	if (wrong != NULL)
		(void)exim_report_driver(ld->rep, r->d.file, r->d.line, "router", r->d.name, "%s", wrong);
}

/* What -bP shows of options whose default depends on others, and of conditions that add up. */
static void
computed(struct exim_router *r)
{
	struct exim_value *g = (struct exim_value *)(uintptr_t)r->d.generic, *o = (struct exim_value *)(uintptr_t)r->d.own;

	if (r->drv == EXIM_ROUTER_DRV_REDIRECT) {
		if (o[EXIM_REDIRECT_one_time].num != 0)		/* only addresses can replace a recipient */
			o[EXIM_REDIRECT_forbid_file].num = o[EXIM_REDIRECT_forbid_pipe].num =
			    o[EXIM_REDIRECT_forbid_filter_reply].num = 1;
		if (!o[EXIM_REDIRECT_check_owner].set)
			o[EXIM_REDIRECT_check_owner].num = r->check_local_user || o[EXIM_REDIRECT_owners].n > 0;
		if (!o[EXIM_REDIRECT_check_group].set)
			o[EXIM_REDIRECT_check_group].num = (r->check_local_user && (o[EXIM_REDIRECT_modemask].num & 020) == 0) ||
			    o[EXIM_REDIRECT_owngroups].n > 0;
	}

	g[EXIM_ROUTER_retry_use_local_part].num = r->retry_local_part;
	if (!g[EXIM_ROUTER_log_as_local].set)
		g[EXIM_ROUTER_log_as_local].num = r->drv == EXIM_ROUTER_DRV_ACCEPT;
}

static void
resolve_router(struct loader *ld, struct exim_router *r)
{
	static const char *const selfs[] = { "defer", "fail", "freeze", "pass", "send" };
	const struct exim_value *g = r->d.generic;
	struct sv self = g[EXIM_ROUTER_self].text;
	bool known = sv_starts(self, "reroute:");

	r->verify_sender = g[EXIM_ROUTER_verify_sender].num != 0;
	r->verify_recipient = g[EXIM_ROUTER_verify_recipient].num != 0;
	r->verify_only = g[EXIM_ROUTER_verify_only].num != 0;
	r->address_test = g[EXIM_ROUTER_address_test].num != 0;
	r->expn = g[EXIM_ROUTER_expn].num != 0;
	r->fail_verify_sender = g[EXIM_ROUTER_fail_verify_sender].num != 0;
	r->fail_verify_recipient = g[EXIM_ROUTER_fail_verify_recipient].num != 0;
	r->caseful = g[EXIM_ROUTER_caseful_local_part].num != 0;
	r->prefix_optional = g[EXIM_ROUTER_local_part_prefix_optional].num != 0;
	r->suffix_optional = g[EXIM_ROUTER_local_part_suffix_optional].num != 0;
	r->check_local_user = g[EXIM_ROUTER_check_local_user].num != 0;
	r->retry_local_part = g[EXIM_ROUTER_retry_use_local_part].set ? g[EXIM_ROUTER_retry_use_local_part].num != 0 :
	    r->check_local_user || g[EXIM_ROUTER_local_parts].set || g[EXIM_ROUTER_condition].set ||
	    g[EXIM_ROUTER_local_part_prefix].set || g[EXIM_ROUTER_local_part_suffix].set || g[EXIM_ROUTER_senders].set ||
	    g[EXIM_ROUTER_require_files].set;
	computed(r);
	required_files(ld, r);
	/* The driver looks at its options before any name in them is looked for. */
	router_driver(ld, r);
	r->transport = transport_opt(ld, r, &g[EXIM_ROUTER_transport]);
	r->redirect_router = router_opt(ld, r, &g[EXIM_ROUTER_redirect_router], false);
	r->pass_router = router_opt(ld, r, &g[EXIM_ROUTER_pass_router], true);
	r->prefix = affixes(ld, &g[EXIM_ROUTER_local_part_prefix], true, &r->nprefix);
	r->suffix = affixes(ld, &g[EXIM_ROUTER_local_part_suffix], false, &r->nsuffix);
	for (size_t i = 0; i < sizeof(selfs) / sizeof(selfs[0]); i++)
		known = known || sv_eqs(self, selfs[i]);
	if (!known)
		(void)exim_report_driver(ld->rep, g[EXIM_ROUTER_self].file, g[EXIM_ROUTER_self].line, "router", r->d.name, SV_FMT
		    " is not valid for the self option" EXIM_HINT " (defer, fail, freeze, pass, reroute:, send)", SV_ARG(self));
}

/* An option whose text is not known before it is expanded: it may force a failure, and the router declines. */
static bool
varies(const struct exim_value *v)
{
	struct sv text;

	return (v->str != NULL && !exim_str_literal(v->str, &text));
}

/* May hand an address on that it would take: a redirection that leads back to the same address goes to the next router. */
static bool
passes(const struct exim_router *r)
{
	const struct exim_value *g = r->d.generic, *o = r->d.own;

	if (r->drv == EXIM_ROUTER_DRV_REDIRECT || sv_eqs(g[EXIM_ROUTER_self].text, "pass") || g[EXIM_ROUTER_pass_on_timeout].num != 0)
		return (true);
	return (r->drv == EXIM_ROUTER_DRV_MANUALROUTE && (sv_eqs(o[EXIM_MANUALROUTE_host_find_failed].text, "pass") ||
	    sv_eqs(o[EXIM_MANUALROUTE_host_all_ignored].text, "pass")));
}

/* No address comes past this router. */
static bool
takes_all(const struct exim_router *r)
{
	static const enum exim_router_opt conds[] = {
		EXIM_ROUTER_condition, EXIM_ROUTER_domains, EXIM_ROUTER_local_parts, EXIM_ROUTER_senders,
		EXIM_ROUTER_require_files,
	};
	const struct exim_value *g = r->d.generic;
	bool no_more = g[EXIM_ROUTER_more].str == NULL && g[EXIM_ROUTER_more].num == 0;

	for (size_t i = 0; i < sizeof(conds) / sizeof(conds[0]); i++)
		if (g[conds[i]].set)
			return (false);
	if ((r->nprefix > 0 && !r->prefix_optional) || (r->nsuffix > 0 && !r->suffix_optional) || r->check_local_user ||
	    r->verify_only || !r->address_test || !r->verify_sender || !r->verify_recipient || !r->expn)
		return (false);
	if (g[EXIM_ROUTER_unseen].str != NULL || g[EXIM_ROUTER_unseen].num != 0)
		return (false);
	if (passes(r))
		return (false);
	return (no_more || (r->drv == EXIM_ROUTER_DRV_ACCEPT && !varies(&g[EXIM_ROUTER_address_data]) &&
	    !varies(&g[EXIM_ROUTER_set])));
}

/* Some router hands addresses on to this one by its name. */
static bool
named_by_another(const struct loader *ld, const struct exim_router *r)
{
	for (size_t i = 0; i < ld->routers.len; i++)
		if (ld->routers.p[i]->pass_router == r || ld->routers.p[i]->redirect_router == r)
			return (true);
	return (false);
}

/* The first router behind one that takes every address. */
static void
unreached(struct loader *ld)
{
	const struct exim_router *wall = NULL;

	for (size_t i = 0; i < ld->routers.len; i++) {
		const struct exim_router *r = ld->routers.p[i];

		if (wall != NULL && !named_by_another(ld, r)) {
			exim_report_warn(ld->rep, r->d.file, r->d.line,
			    "router %s is never reached: router %s takes every address: move it in "
			    "front of that one or give that one a condition", r->d.name, wall->d.name);
			return;
		}
		wall = takes_all(r) ? r : NULL;
	}
}

void
conf_check_routers(struct loader *ld)
{
	for (size_t i = 0; i < ld->routers.len; i++)
		ld->routers.p[i]->index = i;
	for (size_t i = 0; i < ld->routers.len; i++)
		resolve_router(ld, ld->routers.p[i]);
	unreached(ld);
}
