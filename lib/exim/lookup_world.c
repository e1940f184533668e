/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lookups that need a server or a library of their own: what they need is taken from the configuration
 * here, then the world is asked, which may do the work on another thread.
 */
#include "exim/conf.h"
#include "exim/lookup_sql.h"
#include "exim/spf.h"

#define SETTINGS_MAX	8192

struct ask_job {
	struct exim_env	*env;
	const char	*type;
	struct sv	 file, query, opts;
	struct sv	*out;
	struct err	*err;
	enum exim_found	 found;
};

static void
ask_job(void *arg)
{
	struct ask_job *j = arg;
	const struct exim_world *w = j->env->world;

	j->found = w->lookup(w->arg, j->type, j->file, j->query, j->opts, j->env->arena, j->out, j->err);
}

/* A library's text may have lines; they are kept beside *<err>, which has one. */
static void
tame(struct xev *e)
{
	struct err raw;

	if (e->err == NULL || strchr(e->err->text, '\n') == NULL)
		return;
	raw = *e->err;
	e->env->message = sv_cstr(arena_str(e->env->arena, raw.text));
	(void)err_set(e->err, raw.cls, raw.status, "%s", raw.text);
}

enum exim_result
x_world_ask(struct xev *e, const struct xlookup *l, struct sv file, struct sv query, struct sv opts, bool *found, struct sv *out)
{
	const struct exim_world *w = e->env->world;
	struct ask_job j = { e->env, l->type, file, query, opts, out, e->err, EXIM_TEMPFAIL };

	if (w->lookup == NULL)
		return (x_defer(e, "%s", x_lookup_missing(l->type)));
	if (w->offload != NULL)
		w->offload(w->arg, ask_job, &j);
	else
		ask_job(&j);
	*found = j.found == EXIM_FOUND;
	if (j.found != EXIM_TEMPFAIL)
		return (EXIM_OK);
	tame(e);
	/* As a file that is not there, what cannot be opened is a failure. */
	return (e->err != NULL && e->err->cls == ERR_PERM ? EXIM_FAIL : EXIM_DEFER);
}

X_LOOKUP(xl_world)
{
	struct sv opts = l->spec->opts;

	/* How long it waits for another's lock. */
	if (strcmp(l->type, "sqlite") == 0)
		opts = e->env->conf == NULL ? SV_LIT("") : sv_cstr(arena_fmt(e->env->arena, "%lld",
		    (long long)exim_main_int(e->env->conf, EXIM_MAIN_sqlite_lock_timeout)));
	return (x_world_ask(e, l, l->file, l->key, opts, found, out));
}

/* No library speaks NIS any more: its maps cannot be opened. */
X_LOOKUP(xl_nis)
{
	(void)found;
	(void)out;
	return (x_fail(e, "%s", x_lookup_missing(l->type)));
}

/* For trying configurations: the query itself, "fail" finds nothing, "defer" cannot tell now. */
X_LOOKUP(xl_testdb)
{
	if (sv_eqs(l->key, "defer"))
		return (x_defer(e, "testdb lookup forced DEFER"));
	*found = !sv_eqs(l->key, "fail");
	*out = l->key;
	return (EXIM_OK);
}

/* ${lookup{sender@domain}spf{address}}: what spf= would say (manual, section 58.3). */
X_LOOKUP(xl_spf)
{
	struct exim_spf_query q = { .sender = l->key, .helo = l->key };
	struct sv domain, sender, why;
	ptrdiff_t at = sv_rchr(l->key, '@');

	if (at >= 0)
		q.helo = sv_sub(l->key, (size_t)at + 1, l->key.len);
	if (!net_addr_parse(sv_trim(l->file), &q.client))
		return (EXIM_OK);
	*out = sv_cstr(exim_spf_name(exim_spf_check(e->env, &q, &domain, &sender, &why)));
	*found = true;
	return (EXIM_OK);
}

/* ---- database servers ---- */

static struct sv
main_text(struct xev *e, enum exim_main_opt opt)
{
	return (e->env->conf == NULL ? SV_NULL : exim_main_text(e->env->conf, opt));
}

/* A host without a slash stands for the item of <all> with that host. */
static struct sv
complete(struct xev *e, struct sv item, struct sv all)
{
	struct sv one;
	int sep = 0;

	if (sv_chr(item, '/') >= 0)
		return (item);
	while (exim_list_next(&all, &sep, e->env->arena, &one)) {
		ptrdiff_t slash = sv_chr(one, '/');

		if (slash >= 0 && sv_eq(sv_sub(one, 0, (size_t)slash), item))
			return (one);
	}
	return (SV_NULL);
}

static const char *
title(const char *type)
{
	return (strcmp(type, "mysql") == 0 ? "MySQL" : strcmp(type, "pgsql") == 0 ? "PostgreSQL" : "REDIS");
}

/* The list that "servers=" gives, its items made whole by the main option. */
static enum exim_result
given_servers(struct xev *e, const struct xlookup *l, struct sv given, struct sv all, struct sv *out)
{
	struct sv item;
	struct xb b;
	bool first = true;
	int sep = 0;

	if (given.tainted)
		return (x_defer(e, "%s server \"" SV_FMT "\" is tainted", title(l->type), SV_ARG(given)));
	xb_init(&b, e->env->arena, given.len + 16);
	while (exim_list_next(&given, &sep, e->env->arena, &item)) {
		struct sv one = complete(e, item, all);

		if (one.p == NULL)
			return (x_defer(e, "%s server \"" SV_FMT "\" not found in %s_servers", title(l->type), SV_ARG(item), l->type));
		xb_item(&b, one, ':', &first);
	}
	*out = xb_sv(&b);
	return (EXIM_OK);
}

X_LOOKUP(xl_servers)
{
	enum exim_main_opt opt = strcmp(l->type, "mysql") == 0 ? EXIM_MAIN_mysql_servers :
	    strcmp(l->type, "pgsql") == 0 ? EXIM_MAIN_pgsql_servers : EXIM_MAIN_redis_servers;
	struct sv all = main_text(e, opt), servers = all, query = l->key, given = x_lookup_option(l->spec->opts, "servers");
	enum exim_result r;
	ptrdiff_t end;

	/* The old form: servers=LIST; QUERY */
	if (given.p == NULL && sv_starts(query, "servers=") && (end = sv_chr(query, ';')) > 0) {
		given = sv_sub(query, 8, (size_t)end);
		query = sv_sub(query, (size_t)end + 1, query.len);
		while (query.len > 0 && sv_isspace(query.p[0]))
			query = sv_sub(query, 1, query.len);
	}
	if (given.p != NULL && (r = given_servers(e, l, given, all, &servers)) != EXIM_OK)
		return (r);
	if (servers.len == 0)
		return (x_defer(e, "%s", x_lookup_missing(l->type)));
	return (x_world_ask(e, l, servers, query, l->spec->opts, found, out));
}

/* ---- LDAP ---- */

struct sv
x_ldap_settings(struct exim_env *env)
{
	static const struct { const char *name; enum exim_main_opt opt; } o[] = {
		{ "ca_cert_dir", EXIM_MAIN_ldap_ca_cert_dir }, { "ca_cert_file", EXIM_MAIN_ldap_ca_cert_file },
		{ "cert_file", EXIM_MAIN_ldap_cert_file }, { "cert_key", EXIM_MAIN_ldap_cert_key },
		{ "cipher_suite", EXIM_MAIN_ldap_cipher_suite }, { "require_cert", EXIM_MAIN_ldap_require_cert },
	};
	struct sb sb = SB_INIT(SETTINGS_MAX);
	struct sv out;

	if (env->conf == NULL)
		return (SV_LIT(""));
	for (size_t i = 0; i < sizeof(o) / sizeof(o[0]); i++) {
		struct sv v = exim_main_text(env->conf, o[i].opt);

		if (v.len > 0)
			sb_addf(&sb, "%s=" SV_FMT "\n", o[i].name, SV_ARG(v));
	}
	if (exim_main_bool(env->conf, EXIM_MAIN_ldap_start_tls))
		sb_adds(&sb, "start_tls=1\n");
	if (exim_main_int(env->conf, EXIM_MAIN_ldap_version) > 0)
		sb_addf(&sb, "version=%d\n", (int)exim_main_int(env->conf, EXIM_MAIN_ldap_version));
	out = arena_sv(env->arena, sb_sv(&sb));
	sb_free(&sb);
	return (out);
}

X_LOOKUP(xl_ldap)
{
	enum exim_result r = x_world_ask(e, l, main_text(e, EXIM_MAIN_ldap_default_servers), l->key,
	    x_ldap_settings(e->env), found, out);

	/* The first line is the DN of the last entry. */
	if (r == EXIM_OK && *found && out->len > 0 && strcmp(l->type, "ldapauth") != 0)
		(void)sv_next(out, '\n', &e->env->ldap_dn);
	return (r);
}

/* ---- the work itself, where blocking does no harm ---- */

enum exim_found
x_lookup_blocking(void *arg, const char *type, struct sv file, struct sv query, struct sv opts, struct arena *a, struct sv *out,
    struct err *err)
{
	const struct x_sql_driver *d = NULL;

	if (strcmp(type, "sqlite") == 0)
		return (x_sqlite(file, query, opts, a, out, err));
	if (strcmp(type, "lmdb") == 0)
		return (x_lmdb(arena_cstr(a, file), query, a, out, err));
	if (strncmp(type, "ldap", 4) == 0)
		return (x_ldap(type, file, query, opts, a, out, err));
	if (strcmp(type, "redis") == 0)
		d = &x_sql_redis;
	else if (strcmp(type, "mysql") == 0)
		d = x_sql_mysql(err);
	else if (strcmp(type, "pgsql") == 0)
		d = x_sql_pgsql(err);
	else
		(void)err_set(err, ERR_TEMP, "4.3.0", "%s", x_lookup_missing(type));
	return (d == NULL ? EXIM_TEMPFAIL : x_sql(d, file, query, a, out, err));
}
