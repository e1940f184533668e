/* SPDX-License-Identifier: BSD-2-Clause */
/* The option tables as arrays, and looking things up in them. */
#include <string.h>

#include "exim/option.h"

#define X(name, type, dflt, flags)	{ #name, EXIM_OPT_##type, dflt, flags },
static const struct exim_option opts_main[] = { EXIM_MAIN_OPTIONS(X) };
static const struct exim_option opts_router[] = { EXIM_ROUTER_OPTIONS(X) };
static const struct exim_option opts_dnslookup[] = { EXIM_DNSLOOKUP_OPTIONS(X) };
static const struct exim_option opts_iplookup[] = { EXIM_IPLOOKUP_OPTIONS(X) };
static const struct exim_option opts_manualroute[] = { EXIM_MANUALROUTE_OPTIONS(X) };
static const struct exim_option opts_queryprogram[] = { EXIM_QUERYPROGRAM_OPTIONS(X) };
static const struct exim_option opts_redirect[] = { EXIM_REDIRECT_OPTIONS(X) };
static const struct exim_option opts_transport[] = { EXIM_TRANSPORT_OPTIONS(X) };
static const struct exim_option opts_appendfile[] = { EXIM_APPENDFILE_OPTIONS(X) };
static const struct exim_option opts_autoreply[] = { EXIM_AUTOREPLY_OPTIONS(X) };
static const struct exim_option opts_lmtp[] = { EXIM_LMTP_OPTIONS(X) };
static const struct exim_option opts_pipe[] = { EXIM_PIPE_OPTIONS(X) };
static const struct exim_option opts_queuefile[] = { EXIM_QUEUEFILE_OPTIONS(X) };
static const struct exim_option opts_smtp[] = { EXIM_SMTP_OPTIONS(X) };
static const struct exim_option opts_procmail[] = { EXIM_PROCMAIL_OPTIONS(X) };
static const struct exim_option opts_store[] = { EXIM_STORE_OPTIONS(X) };
static const struct exim_option opts_auth[] = { EXIM_AUTH_OPTIONS(X) };
static const struct exim_option opts_cram_md5[] = { EXIM_CRAM_MD5_OPTIONS(X) };
static const struct exim_option opts_cyrus_sasl[] = { EXIM_CYRUS_SASL_OPTIONS(X) };
static const struct exim_option opts_dovecot[] = { EXIM_DOVECOT_OPTIONS(X) };
static const struct exim_option opts_external[] = { EXIM_EXTERNAL_OPTIONS(X) };
static const struct exim_option opts_gsasl[] = { EXIM_GSASL_OPTIONS(X) };
static const struct exim_option opts_heimdal[] = { EXIM_HEIMDAL_GSSAPI_OPTIONS(X) };
static const struct exim_option opts_plaintext[] = { EXIM_PLAINTEXT_OPTIONS(X) };
static const struct exim_option opts_spa[] = { EXIM_SPA_OPTIONS(X) };
static const struct exim_option opts_tls[] = { EXIM_AUTHTLS_OPTIONS(X) };
static const struct exim_option opts_vauth[] = { EXIM_VAUTH_OPTIONS(X) };
#undef X

#define N(a)	(sizeof(a) / sizeof((a)[0]))
#define R(drv, a, fl)	{ EXIM_KIND_ROUTER, drv, a, N(a), fl, 0 }
const struct exim_opt_table exim_opt_tables[] = {
	{ EXIM_KIND_MAIN, NULL, opts_main, N(opts_main), 0, 0 },
	{ EXIM_KIND_ROUTER, NULL, opts_router, N(opts_router), 0, 0 },
	{ EXIM_KIND_ROUTER, "accept", NULL, 0, 0, EXIM_ROUTER_DRV_ACCEPT },
	{ EXIM_KIND_ROUTER, "dnslookup", opts_dnslookup, N(opts_dnslookup), 0, EXIM_ROUTER_DRV_DNSLOOKUP },
	{ EXIM_KIND_ROUTER, "ipliteral", NULL, 0, 0, EXIM_ROUTER_DRV_IPLITERAL },
	{ EXIM_KIND_ROUTER, "iplookup", opts_iplookup, N(opts_iplookup), EXIM_OPTF_KNOWN, EXIM_ROUTER_DRV_IPLOOKUP },
	{ EXIM_KIND_ROUTER, "manualroute", opts_manualroute, N(opts_manualroute), 0, EXIM_ROUTER_DRV_MANUALROUTE },
	{ EXIM_KIND_ROUTER, "queryprogram", opts_queryprogram, N(opts_queryprogram), 0, EXIM_ROUTER_DRV_QUERYPROGRAM },
	{ EXIM_KIND_ROUTER, "redirect", opts_redirect, N(opts_redirect), 0, EXIM_ROUTER_DRV_REDIRECT },
	{ EXIM_KIND_TRANSPORT, NULL, opts_transport, N(opts_transport), 0, 0 },
	{ EXIM_KIND_TRANSPORT, "appendfile", opts_appendfile, N(opts_appendfile), 0, EXIM_TRANSPORT_DRV_APPENDFILE },
	{ EXIM_KIND_TRANSPORT, "autoreply", opts_autoreply, N(opts_autoreply), 0, EXIM_TRANSPORT_DRV_AUTOREPLY },
	{ EXIM_KIND_TRANSPORT, "lmtp", opts_lmtp, N(opts_lmtp), 0, EXIM_TRANSPORT_DRV_LMTP },
	{ EXIM_KIND_TRANSPORT, "pipe", opts_pipe, N(opts_pipe), 0, EXIM_TRANSPORT_DRV_PIPE },
	{ EXIM_KIND_TRANSPORT, "procmail", opts_procmail, N(opts_procmail), EXIM_OPTF_VPOST, EXIM_TRANSPORT_DRV_PROCMAIL },
	{ EXIM_KIND_TRANSPORT, "queuefile", opts_queuefile, N(opts_queuefile), EXIM_OPTF_KNOWN, EXIM_TRANSPORT_DRV_QUEUEFILE },
	{ EXIM_KIND_TRANSPORT, "smtp", opts_smtp, N(opts_smtp), 0, EXIM_TRANSPORT_DRV_SMTP },
	{ EXIM_KIND_TRANSPORT, "store", opts_store, N(opts_store), EXIM_OPTF_VPOST, EXIM_TRANSPORT_DRV_STORE },
	{ EXIM_KIND_AUTH, NULL, opts_auth, N(opts_auth), 0, 0 },
	{ EXIM_KIND_AUTH, "cram_md5", opts_cram_md5, N(opts_cram_md5), 0, EXIM_AUTH_DRV_CRAM_MD5 },
	{ EXIM_KIND_AUTH, "cyrus_sasl", opts_cyrus_sasl, N(opts_cyrus_sasl), 0, EXIM_AUTH_DRV_CYRUS_SASL },
	{ EXIM_KIND_AUTH, "dovecot", opts_dovecot, N(opts_dovecot), 0, EXIM_AUTH_DRV_DOVECOT },
	{ EXIM_KIND_AUTH, "external", opts_external, N(opts_external), 0, EXIM_AUTH_DRV_EXTERNAL },
	{ EXIM_KIND_AUTH, "gsasl", opts_gsasl, N(opts_gsasl), 0, EXIM_AUTH_DRV_GSASL },
	{ EXIM_KIND_AUTH, "heimdal_gssapi", opts_heimdal, N(opts_heimdal), EXIM_OPTF_KNOWN, EXIM_AUTH_DRV_HEIMDAL_GSSAPI },
	{ EXIM_KIND_AUTH, "plaintext", opts_plaintext, N(opts_plaintext), 0, EXIM_AUTH_DRV_PLAINTEXT },
	{ EXIM_KIND_AUTH, "spa", opts_spa, N(opts_spa), 0, EXIM_AUTH_DRV_SPA },
	{ EXIM_KIND_AUTH, "tls", opts_tls, N(opts_tls), 0, EXIM_AUTH_DRV_TLS },
	{ EXIM_KIND_AUTH, "vauth", opts_vauth, N(opts_vauth), EXIM_OPTF_VPOST, EXIM_AUTH_DRV_VAUTH },
};
const size_t exim_nopt_tables = N(exim_opt_tables);

static const char *const type_names[EXIM_OPT_TYPES] = {
	[EXIM_OPT_BOOL] = "boolean", [EXIM_OPT_BOOL_SET] = "boolean", [EXIM_OPT_BOOL_VERIFY] = "boolean",
	[EXIM_OPT_EBOOL] = "boolean, expanded", [EXIM_OPT_INT] = "integer", [EXIM_OPT_MKINT] = "size",
	[EXIM_OPT_KINT] = "size", [EXIM_OPT_OCTAL] = "octal integer", [EXIM_OPT_FIXED] = "fixed-point number",
	[EXIM_OPT_TIME] = "time", [EXIM_OPT_TIMELIST] = "time list", [EXIM_OPT_STRING] = "string",
	[EXIM_OPT_ESTRING] = "string, expanded", [EXIM_OPT_MULTI] = "list, expanded",
	[EXIM_OPT_COND] = "string, expanded", [EXIM_OPT_SETVAR] = "variable, expanded", [EXIM_OPT_ETIME] = "time, expanded",
	[EXIM_OPT_EINT] = "integer, expanded", [EXIM_OPT_SLIST] = "string list", [EXIM_OPT_ESLIST] = "string list, expanded",
	[EXIM_OPT_DOMAINS] = "domain list", [EXIM_OPT_HOSTS] = "host list", [EXIM_OPT_ADDRESSES] = "address list",
	[EXIM_OPT_LOCALPARTS] = "local part list", [EXIM_OPT_UID] = "user", [EXIM_OPT_GID] = "group",
	[EXIM_OPT_EUID] = "user, expanded", [EXIM_OPT_EGID] = "group, expanded", [EXIM_OPT_UIDLIST] = "user list",
	[EXIM_OPT_GIDLIST] = "group list", [EXIM_OPT_REWRITE] = "rewrite rules",
};

const char *
exim_opt_type_name(enum exim_opt_type t)
{
	return (type_names[t]);
}

const char *
exim_kind_name(enum exim_opt_kind k)
{
	static const char *const names[] = { "main", "router", "transport", "authenticator" };

	return (names[k]);
}

const struct exim_opt_table *
exim_opt_table(enum exim_opt_kind kind, struct sv driver)
{
	for (size_t i = 0; i < exim_nopt_tables; i++) {
		const struct exim_opt_table *t = &exim_opt_tables[i];

		if (t->kind != kind)
			continue;
		if (driver.p == NULL ? t->driver == NULL : t->driver != NULL && sv_eqs(driver, t->driver))
			return (t);
	}
	return (NULL);
}

int
exim_opt_find(const struct exim_opt_table *t, struct sv name)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = sv_cmp(name, sv_cstr(t->opts[mid].name));

		if (c == 0)
			return ((int)mid);
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return (-1);
}

#define NEAR_MAX	48

/* Levenshtein's distance, up to names of NEAR_MAX bytes. */
static unsigned
distance(struct sv a, struct sv b)
{
	unsigned row[NEAR_MAX + 1];

	if (a.len > NEAR_MAX || b.len > NEAR_MAX)
		return (1000);
	for (unsigned j = 0; j <= b.len; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a.len; i++) {
		unsigned diag = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= b.len; j++) {
			unsigned sub = diag + (sv_lower(a.p[i - 1]) != sv_lower(b.p[j - 1]));

			diag = row[j];
			row[j] = row[j] + 1 < sub ? row[j] + 1 : sub;
			if (row[j - 1] + 1 < row[j])
				row[j] = row[j - 1] + 1;
		}
	}
	return (row[b.len]);
}

const char *
exim_opt_nearest(const struct exim_opt_table *const *tables, size_t n, struct sv name)
{
	const char *best = NULL;
	unsigned best_d = name.len < 6 ? 2 : 4;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; tables[i] != NULL && j < tables[i]->n; j++) {
			unsigned d = distance(name, sv_cstr(tables[i]->opts[j].name));

			if (d < best_d) {
				best_d = d;
				best = tables[i]->opts[j].name;
			}
		}
	return (best);
}
