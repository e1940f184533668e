/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A loaded configuration: options, named lists, ACLs, routers, transports, retry and
 * rewrite rules, authenticators.  It never changes after exim_conf_load() and lives while
 * somebody holds a reference, so that sessions under way keep the one they began with.
 */
#ifndef VPOST_EXIM_CONF_H
#define VPOST_EXIM_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/sv.h"
#include "exim/env.h"
#include "exim/expand.h"
#include "exim/match.h"
#include "exim/option.h"
#include "exim/report.h"

struct exim_acl;

struct exim_driver {			/* what router, transport and authenticator share */
	const char	*name;
	const char	*driver;
	const char	*file;
	unsigned	 line;
	const struct exim_opt_table *generic_table;
	const struct exim_opt_table *table;
	const struct exim_value *generic;	/* by EXIM_ROUTER_*, EXIM_TRANSPORT_*, EXIM_AUTH_* */
	const struct exim_value *own;		/* by EXIM_REDIRECT_*, EXIM_SMTP_* ... */
};

struct exim_transport {
	struct exim_driver d;
	enum exim_transport_driver drv;
	bool		 local;			/* appendfile, pipe, autoreply, lmtp, store: no hosts */
	bool		 retry_local_part;	/* retry_use_local_part, by default <local> */
};

struct exim_affix {			/* one item of local_part_prefix or _suffix */
	struct sv	 text;			/* without the star */
	bool		 wild;			/* "*-" (prefix) or "-*" (suffix) */
};

/* A rule of manualroute's route_list. */
struct exim_route_rule {
	const struct exim_list *pattern;	/* a domain list of one item */
	const struct exim_str *hosts;		/* NULL: none given */
	struct sv	 options;
};

struct exim_router {
	struct exim_driver d;
	enum exim_router_driver drv;
	size_t		 index;			/* in conf->routers */
	const struct exim_transport *transport;	/* NULL: none, or by an expansion (see generic) */
	const struct exim_router *pass_router;	/* NULL: the next */
	const struct exim_router *redirect_router;
	const struct exim_affix *prefix, *suffix;
	size_t		 nprefix, nsuffix;
	bool		 verify_sender, verify_recipient, verify_only, address_test, expn;
	bool		 fail_verify_sender, fail_verify_recipient;
	bool		 retry_local_part;	/* retry_use_local_part, by default as preconditions look at the local part */
	bool		 caseful, prefix_optional, suffix_optional, check_local_user;
	const struct exim_str *const *require_files;	/* its items, each expanded by itself */
	size_t		 nrequire_files;
	const struct exim_route_rule *rules;	/* manualroute */
	size_t		 nrules;
	/* redirect's *_transport, where they are fixed names */
	const struct exim_transport *pipe_transport, *file_transport, *directory_transport, *reply_transport;
};

struct exim_auth {
	struct exim_driver d;
	enum exim_auth_driver drv;
	const char	*public_name;		/* upper case */
	bool		 server, client;	/* has options for that side */
};

/* ---- retry rules (chapter 32) ---- */
enum exim_retry_kind { EXIM_RETRY_F, EXIM_RETRY_G, EXIM_RETRY_H };
struct exim_retry_step {
	enum exim_retry_kind kind;
	int64_t		 cutoff;	/* seconds since the first failure */
	int64_t		 interval;	/* seconds */
	int64_t		 factor;	/* thousandths (G and H) */
};
enum exim_retry_error {
	EXIM_RE_ANY, EXIM_RE_AUTH_FAILED, EXIM_RE_DATA_4XX, EXIM_RE_MAIL_4XX, EXIM_RE_RCPT_4XX, EXIM_RE_LOST_CONNECTION,
	EXIM_RE_LOOKUP, EXIM_RE_REFUSED, EXIM_RE_TIMEOUT, EXIM_RE_TIMEOUT_CONNECT, EXIM_RE_TIMEOUT_DNS, EXIM_RE_TLS_REQUIRED,
	EXIM_RE_QUOTA
};
struct exim_retry_rule {
	struct sv	 pattern;
	const struct exim_list *list;		/* the pattern as an address list of one item */
	enum exim_retry_error error;
	char		 host;			/* 'A', 'M' (of _A and _MX), or 0 */
	int		 code;			/* of *_4xx: 400 + n; -1 any; tens: -10 - ten digit ("45x") */
	int64_t		 quota_age;		/* of quota_TIME: the mailbox was not read for so long; 0 any */
	const struct exim_list *senders;	/* NULL: any */
	const struct exim_retry_step *step;
	size_t		 nsteps;
	const char	*file;
	unsigned	 line;
};
/* What failed, for finding the rule. */
struct exim_retry_what {
	struct sv	 key;		/* domain, or local@domain, or host name */
	struct sv	 alternate;	/* the address' domain when key is a host; may be empty */
	struct sv	 sender;
	enum exim_retry_error error;
	char		 host;		/* 'A': address record, 'M': MX, 0 unknown */
	int		 code;		/* SMTP reply code of *_4xx, else 0 */
	int64_t		 quota_age;
};
/* Fill error, host and code of *<w> from the name of an error in rules; false if it is none. */
bool	 exim_retry_error_parse(struct sv name, struct exim_retry_what *w);
/* The first rule that fits; NULL: none (such an address fails at the first temporary error). */
const struct exim_retry_rule *exim_retry_find(const struct exim_conf *c, struct exim_env *env,
	     const struct exim_retry_what *w);
/*
 * When to try again, in seconds like <now>: an address that failed first at <first_failed> and last was tried at
 * <last_try>.  Pure.  0: the last cutoff has passed, so that it fails for good.  <random> (0..2^32-1) is for H rules;
 * <max> is retry_interval_max (0: no limit).
 */
int64_t	 exim_retry_next(const struct exim_retry_rule *r, int64_t first_failed, int64_t last_try, int64_t now,
	     uint32_t random, int64_t max);
/* The rule's last cutoff has passed: a further failure is final. */
bool	 exim_retry_expired(const struct exim_retry_rule *r, int64_t first_failed, int64_t now);

/* ---- rewriting (chapter 31) ---- */
#define EXIM_RW_E		0x0001	/* all envelope fields */
#define EXIM_RW_F		0x0002	/* envelope From */
#define EXIM_RW_T		0x0004	/* envelope To */
#define EXIM_RW_b		0x0008	/* Bcc: */
#define EXIM_RW_c		0x0010	/* Cc: */
#define EXIM_RW_f		0x0020	/* From: */
#define EXIM_RW_r		0x0040	/* Reply-To: */
#define EXIM_RW_s		0x0080	/* Sender: */
#define EXIM_RW_t		0x0100	/* To: */
#define EXIM_RW_S		0x0200	/* at SMTP time */
#define EXIM_RW_w		0x0400	/* rewrite the whole field */
#define EXIM_RW_q		0x0800	/* stop after this rule */
#define EXIM_RW_Q		0x1000	/* unqualified results get the local domain */
#define EXIM_RW_R		0x2000	/* apply again, up to ten times */
#define EXIM_RW_X		0x4000	/* on headers when a transport adds or strips (X) */
#define EXIM_RW_ENVELOPE	(EXIM_RW_F | EXIM_RW_T)
#define EXIM_RW_HEADERS		(EXIM_RW_b | EXIM_RW_c | EXIM_RW_f | EXIM_RW_r | EXIM_RW_s | EXIM_RW_t)

struct exim_rewrite_rule {
	struct sv	 pattern;
	const struct exim_list *list;	/* address list of the one item; NULL with EXIM_RW_S (a regex) */
	const struct exim_str *smtp;	/* with EXIM_RW_S: the regex */
	const struct exim_str *repl;	/* NULL: "*", rewriting stops without a change */
	unsigned	 flags;
	const char	*file;
	unsigned	 line;
};
struct exim_rewrites {
	const struct exim_rewrite_rule *rule;
	size_t		 n;
	unsigned	 flags;		/* of all rules, to skip quickly */
};
/*
 * Apply the rules for <where> (one EXIM_RW_* letter of EXIM_RW_ENVELOPE or EXIM_RW_HEADERS) to <address>, qualified.
 * EXIM_OK: *<out> is the result (<address> itself if nothing changed), in env->arena.  <is_header> with a whole
 * field's phrase: *<whole> (may be NULL) gets the field text when a w rule matched.  Other results: the text in *<err>, and
 * *<out> is what the rules made that could be used.
 */
enum exim_result exim_rewrite_address(const struct exim_rewrites *rw, struct exim_env *env, unsigned where, struct sv address,
	     struct sv *out, struct sv *whole, struct err *err);
/* The S rules, on the raw argument of MAIL or RCPT; the result is an address without brackets, unless it is <text> itself. */
enum exim_result exim_rewrite_smtp(const struct exim_rewrites *rw, struct exim_env *env, struct sv text, struct sv *out,
	     struct err *err);
/*
 * All addresses of a header field body (without its name).  *<changed> tells whether *<out> differs.
 */
enum exim_result exim_rewrite_header(const struct exim_rewrites *rw, struct exim_env *env, unsigned where, struct sv body,
	     struct sv *out, bool *changed, struct err *err);

/* ---- the configuration ---- */
struct exim_conf {
	struct arena	*arena;
	_Atomic unsigned refs;
	const char	*file;			/* main file */
	const struct exim_value *main;		/* by EXIM_MAIN_* */
	const struct exim_names *names;		/* named lists */
	struct exim_globals g;			/* for env->g (copy the pointer; the process sets its pid in its own copy) */
	const struct exim_router *const *routers;
	size_t		 nrouters;
	const struct exim_transport *const *transports;
	size_t		 ntransports;
	const struct exim_auth *const *auths;
	size_t		 nauths;
	const struct exim_retry_rule *retry;
	size_t		 nretry;
	struct exim_rewrites rewrites;
	struct hash	*acls;			/* name to struct exim_acl */
	const struct exim_acl *where_acl[32];	/* by enum exim_acl_where: where the option is a fixed name */
	struct exim_lexer *lexer;		/* for its macros, -bP macros; holds no file open */
	uint64_t	 log_selector;		/* EXIM_LOGSEL_* bits, exim/logsel.h */
};

struct exim_conf_source {
	const char	*path;			/* the file; with <text>: the name to show */
	struct sv	 text;			/* p not NULL: the content */
	const char	*const *defines;	/* "NAME=value" */
	size_t		 ndefines;
	const char	*hostname;		/* primary_hostname where the file sets none; NULL: the host's */
	bool		 main_only;		/* what stands behind the first "begin" is not read */
};

/*
 * Load.  Every mistake and warning goes to <rep> (may be NULL).  0 with a reference in *<out> when there was no mistake;
 * -1, *<out> NULL and the first mistake in *<err> otherwise.
 */
int	 exim_conf_load(struct exim_conf **out, const struct exim_conf_source *src, struct exim_report *rep, struct err *err);
struct exim_conf *exim_conf_ref(struct exim_conf *c);
void	 exim_conf_unref(struct exim_conf **cp);

/* Typed access to the main section. */
static inline bool exim_main_bool(const struct exim_conf *c, enum exim_main_opt o) { return (c->main[o].num != 0); }
static inline int64_t exim_main_int(const struct exim_conf *c, enum exim_main_opt o) { return (c->main[o].num); }
static inline const struct exim_str *exim_main_str(const struct exim_conf *c, enum exim_main_opt o) { return (c->main[o].str); }
static inline const struct exim_list *exim_main_list(const struct exim_conf *c, enum exim_main_opt o) { return (c->main[o].list); }
static inline struct sv exim_main_text(const struct exim_conf *c, enum exim_main_opt o) { return (c->main[o].text); }

const struct exim_router *exim_conf_router(const struct exim_conf *c, struct sv name);
const struct exim_transport *exim_conf_transport(const struct exim_conf *c, struct sv name);
const struct exim_auth *exim_conf_auth(const struct exim_conf *c, struct sv name);
const struct exim_acl *exim_conf_acl(const struct exim_conf *c, struct sv name);
/* The next word of a rule, or of an item of errors_copy: up to white space, or a quoted string.  False at the end. */
bool	 exim_rule_word(struct sv *v, struct arena *a, struct sv *out, struct err *err);
/*
 * The transport that <v> (a "transport"-like option) names now: fixed, or by expansion.  EXIM_OK with NULL: none set or
 * expanded to nothing.
 */
enum exim_result exim_conf_transport_of(const struct exim_conf *c, const struct exim_value *v, struct exim_env *env,
	     const struct exim_transport **out, struct err *err);
/* Point an env's conf, names and g at <c>. */
void	 exim_conf_env(const struct exim_conf *c, struct exim_env *env);

/*
 * Printing (-bP): one option as Exim writes it, without a newline; false and nothing written for pairs (verify).
 * Without EXIM_PRINT_LABEL only the value (-n); without EXIM_PRINT_TOP bytes beyond ASCII are escapes.
 */
#define EXIM_PRINT_LABEL	1u
#define EXIM_PRINT_SECRETS	2u
#define EXIM_PRINT_TOP		4u		/* print_topbitchars */
struct sb;
bool	 exim_conf_print_option(const struct exim_option *o, const struct exim_value *v, unsigned how, struct sb *out);

#endif
