/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The main options dns_*: what lib/dns is told of them.  The lists are matched in an environment of their own, without DNS:
 * a lookup in them must not ask what it is asked about.
 */
#include <stdlib.h>
#include <string.h>

#include "dns/dns.h"
#include "exim/conf.h"
#include "exim/expand.h"
#include "route/route.h"

#define RETRANS		5	/* seconds, and rounds, as the C library has them */
#define RETRY		2
#define TIMEOUT_MAX	(300 * 1000)

static const struct exim_conf *in_force;
static struct exim_world quiet;
static struct exim_caches *caches;	/* else each question would compile the patterns anew */

/* Of the configuration in force; its arena is the caller's to free. */
static void
make_env(struct exim_env *env)
{
	*env = (struct exim_env){ .world = &quiet, .caches = caches, .arena = arena_new(0) };
	exim_conf_env(in_force, env);
}

static bool
in_list(enum exim_main_opt o, const char *name, bool or_parent)
{
	const struct exim_list *l = exim_main_list(in_force, o);
	struct exim_env env;
	struct err err = ERR_INIT;
	bool yes = false;

	if (l == NULL)
		return (false);
	make_env(&env);
	for (const char *p = name; p != NULL && *p != '\0' && !yes; p = or_parent && strchr(p, '.') != NULL ? strchr(p, '.') + 1 : NULL)
		yes = exim_match_domain(l, &env, sv_taint(sv_cstr(p)), &yes, NULL, &err) == EXIM_OK && yes;
	arena_free(&env.arena);
	return (yes);
}

static bool
again_is_never(void *arg, const char *name)
{
	(void)arg;
	return (in_list(EXIM_MAIN_dns_again_means_nonexist, name, false));
}

/* The zone is not in the answer: a name counts by the domains that it is below. */
static bool
trusted(void *arg, const char *name)
{
	(void)arg;
	return (in_list(EXIM_MAIN_dns_trust_aa, name, true));
}

/* dns_check_names_pattern; the words in front of a service's domain may be what they like. */
static bool
asked(void *arg, const char *name, int type)
{
	struct exim_env env;
	char why[256];
	int rc;

	(void)arg;
	if (type == DNS_PTR || type == DNS_TXT)
		return (true);
	if (type == DNS_SRV || type == DNS_TLSA)
		for (int i = 0; i < 2 && strchr(name, '.') != NULL; i++)
			name = strchr(name, '.') + 1;
	make_env(&env);
	rc = exim_regex_match(&env, sv_cstr(name), exim_main_text(in_force, EXIM_MAIN_dns_check_names_pattern), false, NULL, why);
	arena_free(&env.arena);
	/* A pattern that is wrong asks for everything. */
	return (rc != 0);
}

/* The C library waits longer in each round. */
static int64_t
timeout(const struct exim_conf *c)
{
	int64_t retrans = exim_main_int(c, EXIM_MAIN_dns_retrans), retry = exim_main_int(c, EXIM_MAIN_dns_retry), all = 0;

	if (retrans <= 0 && retry <= 0)
		return (0);
	retrans = (retrans > 0 ? retrans : RETRANS) * 1000;
	for (int64_t i = 0; i < (retry > 0 ? retry : RETRY) && all < TIMEOUT_MAX; i++, retrans *= 2)
		all += retrans;
	return (all < TIMEOUT_MAX ? all : TIMEOUT_MAX);
}

void
route_dns_conf(const struct exim_conf *c, struct dns_conf *out)
{
	out->no_validation = exim_main_int(c, EXIM_MAIN_dns_dnssec_ok) == 0;
	out->small_packets = exim_main_int(c, EXIM_MAIN_dns_use_edns0) == 0;
}

void
route_dns_rules(const struct exim_conf *c, const struct exim_world *w)
{
	struct dns_rules r = { .timeout_ms = timeout(c) };
	const struct exim_value *pattern = &c->main[EXIM_MAIN_dns_check_names_pattern];

	in_force = c;
	/* What is in there does not depend on the configuration, and a question may be under way. */
	if (caches == NULL)
		caches = exim_caches_new();
	quiet = *w;
	quiet.dns = NULL;
	quiet.addrs = NULL;
	quiet.names = quiet.names_host = NULL;
	/* What the library resolves by itself needs no limit of ours. */
	if (c->main[EXIM_MAIN_dns_cname_loops].set)
		r.aliases = (int)exim_main_int(c, EXIM_MAIN_dns_cname_loops);
	if (c->main[EXIM_MAIN_dns_cname_loops].set && r.aliases <= 0)
		r.aliases = -1;
	if (pattern->set && pattern->text.len > 0)
		r.asked = asked;
	if (exim_main_list(c, EXIM_MAIN_dns_again_means_nonexist) != NULL)
		r.again_is_never = again_is_never;
	if (exim_main_list(c, EXIM_MAIN_dns_trust_aa) != NULL)
		r.trusted = trusted;
	dns_set_rules(&r);
}
