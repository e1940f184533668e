/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of loading: authenticators that contradict each other, ACLs and named lists that are named and not there. */
#include <string.h>

#include "exim/acl.h"
#include "exim/conf_int.h"
#include "exim/rewrite_int.h"

struct exim_transport *
conf_transport(const struct loader *ld, struct sv name)
{
	for (size_t i = 0; i < ld->transports.len; i++)
		if (sv_eqs(name, ld->transports.p[i]->d.name))
			return (ld->transports.p[i]);
	return (NULL);
}

/* What makes an authenticator one of a side: its secret or condition, not any option of that side. */
static bool
plays(const struct exim_auth *au, bool server)
{
	const struct exim_value *g = au->d.generic, *o = au->d.own;

	switch (au->drv) {
	case EXIM_AUTH_DRV_PLAINTEXT:
		return (server ? g[EXIM_AUTH_server_condition].set : o[EXIM_PLAINTEXT_client_send].set);
	case EXIM_AUTH_DRV_EXTERNAL:
		return (server ? g[EXIM_AUTH_server_condition].set : o[EXIM_EXTERNAL_client_send].set);
	case EXIM_AUTH_DRV_CRAM_MD5:
		return (o[server ? EXIM_CRAM_MD5_server_secret : EXIM_CRAM_MD5_client_secret].set);
	case EXIM_AUTH_DRV_SPA:
		return (o[server ? EXIM_SPA_server_password : EXIM_SPA_client_password].set);
	case EXIM_AUTH_DRV_DOVECOT:
		return (server && o[EXIM_DOVECOT_server_socket].set);
	case EXIM_AUTH_DRV_VAUTH:
	case EXIM_AUTH_DRV_CYRUS_SASL:
		return (server);
	default:
		return (server ? au->server : au->client);
	}
}

/* What -bP shows of options that take their values from elsewhere, and what must stand together. */
static void
auth_defaults(struct loader *ld, struct exim_auth *au, struct sv name)
{
	struct exim_value *o = (struct exim_value *)(uintptr_t)au->d.own;

	if (au->drv == EXIM_AUTH_DRV_CYRUS_SASL) {
		if (!o[EXIM_CYRUS_SASL_server_hostname].set)
			o[EXIM_CYRUS_SASL_server_hostname].text = SV_LIT("$primary_hostname");
		if (!o[EXIM_CYRUS_SASL_server_mech].set)
			o[EXIM_CYRUS_SASL_server_mech].text = name;
	} else if (au->drv == EXIM_AUTH_DRV_CRAM_MD5 && o[EXIM_CRAM_MD5_client_secret].set && !o[EXIM_CRAM_MD5_client_name].set)
		o[EXIM_CRAM_MD5_client_name].text = ld->c->g.primary_hostname;
	else if (au->drv == EXIM_AUTH_DRV_SPA && o[EXIM_SPA_client_username].set != o[EXIM_SPA_client_password].set)
		(void)exim_report_driver(ld->rep, au->d.file, au->d.line, "authenticator", au->d.name,
		    "one of client_username and client_password cannot be set without the other");
}

static void
check_auth(struct loader *ld, struct exim_auth *au)
{
	const struct exim_opt_table *tab[2] = { au->d.generic_table, au->d.table };
	const struct exim_value *vals[2] = { au->d.generic, au->d.own };
	struct sv name = au->d.generic[EXIM_AUTH_public_name].text;
	char *up;

	if (name.p == NULL) {
		/* Most take the instance's name for want of another. */
		if (ld->rep->exact && au->drv == EXIM_AUTH_DRV_CRAM_MD5)
			(void)exim_report_bare(ld->rep, au->d.file, au->d.line, "no public name specified for the %s authenticator",
			    au->d.name);
		name = sv_cstr(au->d.name);
	}
	/* What -bP shows. */
	((struct exim_value *)(uintptr_t)au->d.generic)[EXIM_AUTH_public_name].text = name;
	auth_defaults(ld, au, name);
	up = arena_cstr(ld->a, name);
	for (char *p = up; *p != '\0'; p++)
		*p = sv_upper(*p);
	au->public_name = up;
	for (int k = 0; k < 2; k++)
		for (size_t i = 0; i < tab[k]->n; i++) {
			struct sv opt = sv_cstr(tab[k]->opts[i].name);

			if (!vals[k][i].set)
				continue;
			if (sv_starts(opt, "server_"))
				au->server = true;
			else if (sv_starts(opt, "client_"))
				au->client = true;
		}
	au->server = plays(au, true);
	au->client = plays(au, false);
}

static void
check_auth_pairs(struct loader *ld)
{
	for (size_t i = 0; i < ld->auths.len; i++)
		for (size_t k = i + 1; k < ld->auths.len; k++) {
			const struct exim_auth *a = ld->auths.p[i], *b = ld->auths.p[k];
			bool client = plays(a, false) && plays(b, false);

			if (strcmp(a->public_name, b->public_name) != 0 || !(client || (plays(a, true) && plays(b, true))))
				continue;
			(void)exim_report_bare(ld->rep, b->d.file, b->d.line,
			    "two %s authenticators (%s and %s) have the same public name (%s)", client ? "client" : "server",
			    a->d.name, b->d.name, a->d.generic[EXIM_AUTH_public_name].text.len > 0 ?
			    arena_cstr(ld->a, a->d.generic[EXIM_AUTH_public_name].text) : a->d.name);
		}
}

/* acl_smtp_... that name a list outright. */
static void
resolve_acls(struct loader *ld)
{
	static const struct { enum exim_acl_where where; enum exim_main_opt opt; } at[] = {
#define X(name, option, log)	{ EXIM_WHERE_##name, EXIM_MAIN_##option },
		EXIM_ACL_WHERES(X)
#undef X
	};

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		const struct exim_value *v = &ld->main[at[i].opt];
		struct exim_report quiet = EXIM_REPORT_INIT;
		struct sv name;

		if (v->str == NULL || !exim_str_literal(v->str, &name) || name.len == 0)
			continue;
		ld->c->where_acl[at[i].where] = hash_get(ld->c->acls, name);
		if (ld->c->where_acl[at[i].where] != NULL || name.p[0] == '/')
			continue;
		if (sv_chr(name, ' ') >= 0 || exim_acl_is_verb(name)) {
			ld->c->where_acl[at[i].where] = exim_acl_compile_text(ld->a,
			    sv_cstr(exim_opt_tables[0].opts[at[i].opt].name), name, ld->rep->exact ? &quiet : ld->rep);
			/* Exim reads it when it comes to it, and tells each time. */
			if (quiet.errors > 0)
				ld->c->where_acl[at[i].where] = NULL;
		} else
			exim_report_soft(ld->rep, v->file, v->line, "%s: there is no ACL \"" SV_FMT "\" behind \"begin acl\": write it "
			    "there or correct the name",
			    exim_opt_tables[0].opts[at[i].opt].name, SV_ARG(name));
	}
}

/* "+name" items of lists that were never defined. */
void
conf_check_list(struct loader *ld, const struct exim_list *l, enum exim_list_kind kind, const char *file, unsigned line)
{
	static const char *const words[] = { [EXIM_LIST_DOMAIN] = "domainlist", [EXIM_LIST_HOST] = "hostlist",
	    [EXIM_LIST_ADDRESS] = "addresslist", [EXIM_LIST_LOCAL] = "localpartlist" };
	struct sv name;
	size_t pos = 0;

	while (l != NULL && exim_list_refers(l, &pos, &name)) {
		enum exim_list_kind k = kind;

		if (exim_names_get(ld->names, k, name) != NULL)
			continue;
		/* An address list may name domain and local part lists. */
		if (kind == EXIM_LIST_ADDRESS && (exim_names_get(ld->names, EXIM_LIST_DOMAIN, name) != NULL ||
		    exim_names_get(ld->names, EXIM_LIST_LOCAL, name) != NULL))
			continue;
		exim_report_soft(ld->rep, file, line, "unknown named list \"+" SV_FMT "\": write \"%s " SV_FMT " = ...\" in front of the "
		    "first \"begin\" or correct the name", SV_ARG(name), words[kind], SV_ARG(name));
	}
}

static void
check_values(struct loader *ld, const struct exim_opt_table *t, const struct exim_value *v)
{
	for (size_t i = 0; t != NULL && i < t->n; i++) {
		if (v[i].list == NULL || !v[i].set)
			continue;
		conf_check_list(ld, v[i].list, t->opts[i].type == EXIM_OPT_DOMAINS ? EXIM_LIST_DOMAIN :
		    t->opts[i].type == EXIM_OPT_HOSTS ? EXIM_LIST_HOST : t->opts[i].type == EXIM_OPT_ADDRESSES ?
		    EXIM_LIST_ADDRESS : EXIM_LIST_LOCAL, v[i].file, v[i].line);
	}
}

static void
check_lists(struct loader *ld)
{
	const struct exim_named *n;

	for (size_t i = 0; (n = exim_names_at(ld->names, i)) != NULL; i++)
		conf_check_list(ld, n->list, n->kind, n->file, n->line);
	check_values(ld, &exim_opt_tables[0], ld->main);
	for (size_t i = 0; i < ld->routers.len; i++) {
		check_values(ld, ld->routers.p[i]->d.generic_table, ld->routers.p[i]->d.generic);
		check_values(ld, ld->routers.p[i]->d.table, ld->routers.p[i]->d.own);
	}
	for (size_t i = 0; i < ld->transports.len; i++)
		check_values(ld, ld->transports.p[i]->d.table, ld->transports.p[i]->d.own);
}

void
conf_resolve(struct loader *ld)
{
	for (size_t i = 0; i < ld->transports.len; i++)
		conf_check_transport(ld, ld->transports.p[i]);
	conf_check_routers(ld);
	for (size_t i = 0; i < ld->auths.len; i++)
		check_auth(ld, ld->auths.p[i]);
	check_auth_pairs(ld);
	resolve_acls(ld);
	check_lists(ld);
	if (ld->rep->traps)
		conf_traps(ld);
}
