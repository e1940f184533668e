/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options of Exim's language as tables: what the main section, routers,
 * transports and authenticators and each of their drivers know.  Parser, -bP, the
 * _OPT_* macros and vpost-exim.conf(5) come from them.  Names, types and defaults
 * stand in opt_*.h as X-macros; here they become indexes (EXIM_MAIN_qualify_domain,
 * EXIM_SMTP_hosts) into arrays of struct exim_value.
 */
#ifndef VPOST_EXIM_OPTION_H
#define VPOST_EXIM_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/sv.h"
#include "exim/lexer.h"
#include "exim/report.h"

#include "exim/opt_auth.h"
#include "exim/opt_main.h"
#include "exim/opt_router.h"
#include "exim/opt_transport.h"

struct exim_str;		/* exim/expand.h */
struct exim_list;		/* exim/match.h */
struct exim_rewrite_rule;	/* exim/conf.h */

enum exim_opt_type {
	EXIM_OPT_BOOL,		/* num 0 or 1 */
	EXIM_OPT_BOOL_SET,	/* BOOL; set tells that it was given (a tristate) */
	EXIM_OPT_BOOL_VERIFY,	/* sets verify_sender and verify_recipient */
	EXIM_OPT_EBOOL,		/* BOOL, or str: a string that expands to a boolean */
	EXIM_OPT_INT,		/* num; K M G accepted */
	EXIM_OPT_MKINT,		/* num bytes; K M G */
	EXIM_OPT_KINT,		/* num in KiB; K M G */
	EXIM_OPT_OCTAL,		/* num */
	EXIM_OPT_FIXED,		/* num in thousandths; -1 unset */
	EXIM_OPT_TIME,		/* num in seconds */
	EXIM_OPT_TIMELIST,	/* nums */
	EXIM_OPT_STRING,	/* text, never expanded */
	EXIM_OPT_ESTRING,	/* str */
	EXIM_OPT_MULTI,		/* strs: the items of all settings (headers_add, headers_remove), each expanded by itself */
	EXIM_OPT_COND,		/* strs: each is a condition, all must hold */
	EXIM_OPT_SETVAR,	/* vars: NAME = expanded value */
	EXIM_OPT_ETIME,		/* str that expands to a time */
	EXIM_OPT_EINT,		/* str that expands to an integer */
	EXIM_OPT_SLIST,		/* text: a list that is not expanded */
	EXIM_OPT_ESLIST,	/* str: expanded, then a list of strings */
	EXIM_OPT_DOMAINS,	/* list */
	EXIM_OPT_HOSTS,		/* list */
	EXIM_OPT_ADDRESSES,	/* list */
	EXIM_OPT_LOCALPARTS,	/* list */
	EXIM_OPT_UID,		/* num; a name or number, looked up at load */
	EXIM_OPT_GID,
	EXIM_OPT_EUID,		/* num when fixed, str when it has a $ */
	EXIM_OPT_EGID,
	EXIM_OPT_UIDLIST,	/* nums */
	EXIM_OPT_GIDLIST,
	EXIM_OPT_REWRITE,	/* rules (headers_rewrite) */
	EXIM_OPT_TYPES
};

#define EXIM_OPTF_KNOWN		0x01	/* read, typed, printed; without effect, warned about when set */
#define EXIM_OPTF_HIDDEN	0x02	/* value is a secret: -bP hides it */
#define EXIM_OPTF_VPOST		0x04	/* ours: Exim does not know it */
#define EXIM_OPTF_UNLISTED	0x08	/* no option of the usual builds: shown by -bP of a whole driver only where it is set */

struct exim_option {
	const char	*name;
	enum exim_opt_type type;
	const char	*dflt;		/* as written; NULL: unset */
	unsigned	 flags;
};

struct exim_opt_var {			/* of "set" */
	const char	*name;		/* without r_ */
	const struct exim_str *str;
};

struct exim_value {
	bool		 set;		/* given in the configuration, not by default */
	bool		 hide;		/* "hide" stood before it */
	int64_t		 num;
	const struct exim_str *str;	/* NULL: unset, or fixed (see num) */
	const struct exim_list *list;	/* NULL: unset */
	struct sv	 text;		/* as set or by default, quotes resolved; p NULL: unset */
	union {
		const int64_t	*nums;
		const struct exim_str *const *strs;
		const struct exim_opt_var *vars;
		const struct exim_rewrite_rule *rules;
	};
	size_t		 n;		/* of these */
	const char	*file;		/* NULL: default */
	unsigned	 line;
};

enum exim_opt_kind { EXIM_KIND_MAIN, EXIM_KIND_ROUTER, EXIM_KIND_TRANSPORT, EXIM_KIND_AUTH };

/* A set of options: "main", the generic ones of a kind, or those of one driver. */
struct exim_opt_table {
	enum exim_opt_kind kind;
	const char	*driver;	/* NULL: main or generic */
	const struct exim_option *opts;	/* sorted by name */
	size_t		 n;
	unsigned	 flags;		/* EXIM_OPTF_* of the driver as a whole */
	int		 id;		/* enum exim_router_driver and so on */
};

enum exim_router_driver {
	EXIM_ROUTER_DRV_ACCEPT, EXIM_ROUTER_DRV_DNSLOOKUP, EXIM_ROUTER_DRV_IPLITERAL, EXIM_ROUTER_DRV_IPLOOKUP,
	EXIM_ROUTER_DRV_MANUALROUTE, EXIM_ROUTER_DRV_QUERYPROGRAM, EXIM_ROUTER_DRV_REDIRECT
};
enum exim_transport_driver {
	EXIM_TRANSPORT_DRV_APPENDFILE, EXIM_TRANSPORT_DRV_AUTOREPLY, EXIM_TRANSPORT_DRV_LMTP, EXIM_TRANSPORT_DRV_PIPE,
	EXIM_TRANSPORT_DRV_PROCMAIL, EXIM_TRANSPORT_DRV_QUEUEFILE, EXIM_TRANSPORT_DRV_SMTP, EXIM_TRANSPORT_DRV_STORE
};
enum exim_auth_driver {
	EXIM_AUTH_DRV_CRAM_MD5, EXIM_AUTH_DRV_CYRUS_SASL, EXIM_AUTH_DRV_DOVECOT, EXIM_AUTH_DRV_EXTERNAL,
	EXIM_AUTH_DRV_GSASL, EXIM_AUTH_DRV_HEIMDAL_GSSAPI, EXIM_AUTH_DRV_PLAINTEXT, EXIM_AUTH_DRV_SPA, EXIM_AUTH_DRV_TLS,
	EXIM_AUTH_DRV_VAUTH
};

#define X(name, type, dflt, flags)	EXIM_MAIN_##name,
enum exim_main_opt { EXIM_MAIN_OPTIONS(X) EXIM_MAIN_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_ROUTER_##name,
enum exim_router_opt { EXIM_ROUTER_OPTIONS(X) EXIM_ROUTER_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_REDIRECT_##name,
enum exim_redirect_opt { EXIM_REDIRECT_OPTIONS(X) EXIM_REDIRECT_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_DNSLOOKUP_##name,
enum exim_dnslookup_opt { EXIM_DNSLOOKUP_OPTIONS(X) EXIM_DNSLOOKUP_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_MANUALROUTE_##name,
enum exim_manualroute_opt { EXIM_MANUALROUTE_OPTIONS(X) EXIM_MANUALROUTE_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_QUERYPROGRAM_##name,
enum exim_queryprogram_opt { EXIM_QUERYPROGRAM_OPTIONS(X) EXIM_QUERYPROGRAM_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_IPLOOKUP_##name,
enum exim_iplookup_opt { EXIM_IPLOOKUP_OPTIONS(X) EXIM_IPLOOKUP_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_TRANSPORT_##name,
enum exim_transport_opt { EXIM_TRANSPORT_OPTIONS(X) EXIM_TRANSPORT_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_APPENDFILE_##name,
enum exim_appendfile_opt { EXIM_APPENDFILE_OPTIONS(X) EXIM_APPENDFILE_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_AUTOREPLY_##name,
enum exim_autoreply_opt { EXIM_AUTOREPLY_OPTIONS(X) EXIM_AUTOREPLY_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_LMTP_##name,
enum exim_lmtp_opt { EXIM_LMTP_OPTIONS(X) EXIM_LMTP_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_PIPE_##name,
enum exim_pipe_opt { EXIM_PIPE_OPTIONS(X) EXIM_PIPE_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_SMTP_##name,
enum exim_smtp_opt { EXIM_SMTP_OPTIONS(X) EXIM_SMTP_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_PROCMAIL_##name,
enum exim_procmail_opt { EXIM_PROCMAIL_OPTIONS(X) EXIM_PROCMAIL_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_STORE_##name,
enum exim_store_opt { EXIM_STORE_OPTIONS(X) EXIM_STORE_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_AUTH_##name,
enum exim_auth_opt { EXIM_AUTH_OPTIONS(X) EXIM_AUTH_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_PLAINTEXT_##name,
enum exim_plaintext_opt { EXIM_PLAINTEXT_OPTIONS(X) EXIM_PLAINTEXT_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_CRAM_MD5_##name,
enum exim_cram_md5_opt { EXIM_CRAM_MD5_OPTIONS(X) EXIM_CRAM_MD5_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_EXTERNAL_##name,
enum exim_external_opt { EXIM_EXTERNAL_OPTIONS(X) EXIM_EXTERNAL_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_VAUTH_##name,
enum exim_vauth_opt { EXIM_VAUTH_OPTIONS(X) EXIM_VAUTH_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_CYRUS_SASL_##name,
enum exim_cyrus_sasl_opt { EXIM_CYRUS_SASL_OPTIONS(X) EXIM_CYRUS_SASL_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_DOVECOT_##name,
enum exim_dovecot_opt { EXIM_DOVECOT_OPTIONS(X) EXIM_DOVECOT_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_GSASL_##name,
enum exim_gsasl_opt { EXIM_GSASL_OPTIONS(X) EXIM_GSASL_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_SPA_##name,
enum exim_spa_opt { EXIM_SPA_OPTIONS(X) EXIM_SPA_COUNT };
#undef X
#define X(name, type, dflt, flags)	EXIM_AUTHTLS_##name,
enum exim_authtls_opt { EXIM_AUTHTLS_OPTIONS(X) EXIM_AUTHTLS_COUNT };
#undef X

/* Every table; main first, then by kind the generic one and the drivers. */
extern const struct exim_opt_table exim_opt_tables[];
extern const size_t exim_nopt_tables;

/* The generic table of a kind (<driver> p NULL) or of one of its drivers; NULL if there is none. */
const struct exim_opt_table *exim_opt_table(enum exim_opt_kind kind, struct sv driver);
/* Index of option <name> in <t>, -1 if unknown. */
int	 exim_opt_find(const struct exim_opt_table *t, struct sv name);
/* The known name that is nearest to <name>, for "did you mean"; NULL if none is near. */
const char *exim_opt_nearest(const struct exim_opt_table *const *tables, size_t n, struct sv name);
/* What to add to a mistake in an expansion that holds an unprotected regular expression; else "". */
const char *exim_opt_regex_hint(struct sv text);
const char *exim_opt_type_name(enum exim_opt_type t);
/* "router", "transport" ... */
const char *exim_kind_name(enum exim_opt_kind k);

/* What parsing a value needs besides the text. */
struct exim_opt_ctx {
	struct arena	*arena;		/* of the configuration */
	struct exim_report *rep;
};

/* Read the users or groups of <v> again from v->text, which was expanded meanwhile.  -1: told to the report. */
int	 exim_opt_reread_ids(const struct exim_opt_ctx *ctx, const struct exim_option *opt, struct exim_value *v);

/*
 * Set values[i] of <t> from line <line> = "name [= value]", already split into <as>.  Unknown names, second
 * settings and wrong values are told to the report: then -1.  <values> has t->n elements.
 */
int	 exim_opt_set(const struct exim_opt_ctx *ctx, const struct exim_opt_table *t, int i, const struct exim_line *line,
	     const struct exim_assign *as, struct exim_value *values);
/* Fill what was not set from the defaults. */
void	 exim_opt_defaults(const struct exim_opt_ctx *ctx, const struct exim_opt_table *t, struct exim_value *values);

/*
 * Single values, for users with tables of their own (vpost.conf): false when <v> is not of the type.
 * Numbers take K, M, G, 0x and leading 0 as Exim does.
 */
bool	 exim_parse_bool(struct sv v, bool *out);
bool	 exim_parse_int(struct sv v, int64_t *out);
bool	 exim_parse_octal(struct sv v, int64_t *out);
bool	 exim_parse_fixed(struct sv v, int64_t *out);	/* thousandths */
bool	 exim_parse_time(struct sv v, int64_t *out);

#endif
