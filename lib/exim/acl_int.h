/* SPDX-License-Identifier: BSD-2-Clause */
/* The compiled form of ACLs and the parts of their interpreter. */
#ifndef VPOST_EXIM_ACL_INT_H
#define VPOST_EXIM_ACL_INT_H

#include "exim/acl.h"
#include "exim/conf.h"

#define ACL_DEPTH_MAX	20		/* nested ACLs */
#define ACL_ARGS_MAX	9

enum acl_verb { VERB_ACCEPT, VERB_DEFER, VERB_DENY, VERB_DISCARD, VERB_DROP, VERB_REQUIRE, VERB_WARN, VERB_COUNT };

/* What an outcome of conditions is; the order of the first three counts. */
enum acl_rc { RC_OK, RC_FAIL, RC_DROP, RC_DEFER, RC_DISCARD, RC_ERROR };

/* How an argument is made ready. */
enum acl_arg { ARG_NONE, ARG_EXPAND, ARG_LATER, ARG_DOMAINS, ARG_HOSTS, ARG_LOCALS, ARG_ADDRESSES, ARG_STRINGS, ARG_SET, ARG_WORDS };

#define W(name)		(1u << EXIM_WHERE_##name)
#define W_ALL		((1u << EXIM_WHERE_COUNT) - 1)
#define W_NOTSMTP	(W(NOTSMTP) | W(NOTSMTP_MIME) | W(NOTSMTP_START))
#define W_MESSAGE	(W(MAIL) | W(RCPT) | W(PREDATA) | W(DATA) | W(PRDR) | W(MIME) | W(DKIM) | W(WELLKNOWN) | W_NOTSMTP)
#define W_SCAN		(W(DATA) | W(PRDR) | W(MIME) | W(NOTSMTP) | W(NOTSMTP_MIME))
#define W_RCPT		(W(RCPT) | W(VRFY) | W(PRDR))
#define W_SENDER	(W_MESSAGE | W(NOTQUIT))
#define W_NO_SENDER	(W(CONNECT) | W(HELO) | W(STARTTLS) | W(AUTH) | W(MAILAUTH) | W(VRFY) | W(EXPN) | W(ETRN))

/* X(name, how, is a modifier, where it may stand) */
#define ACL_CONDS(X)								\
	X(acl, ARG_WORDS, 0, W_ALL)						\
	X(add_header, ARG_EXPAND, 1, W_MESSAGE)					\
	X(atrn_domains, ARG_DOMAINS, 0, W(ATRN))				\
	X(authenticated, ARG_STRINGS, 0, W_ALL & ~(W_NOTSMTP | W(CONNECT) | W(HELO))) \
	X(bmi_optin, ARG_EXPAND, 1, W_ALL)					\
	X(condition, ARG_EXPAND, 0, W_ALL)					\
	X(continue, ARG_EXPAND, 1, W_ALL)					\
	X(control, ARG_EXPAND, 1, W_ALL)					\
	X(dcc, ARG_EXPAND, 0, W_SCAN)						\
	X(decode, ARG_EXPAND, 0, W(MIME) | W(NOTSMTP_MIME))			\
	X(delay, ARG_EXPAND, 1, W_ALL & ~W(NOTQUIT))				\
	X(dkim_signers, ARG_STRINGS, 0, W(DKIM))				\
	X(dkim_status, ARG_STRINGS, 0, W(DKIM) | W(DATA) | W(PRDR))		\
	X(dmarc_status, ARG_STRINGS, 0, W(DATA) | W(PRDR))			\
	X(dnslists, ARG_EXPAND, 0, W_ALL & ~W(NOTSMTP_START))			\
	X(domains, ARG_DOMAINS, 0, W_RCPT)					\
	X(encrypted, ARG_STRINGS, 0, W_ALL & ~(W_NOTSMTP | W(HELO)))			\
	X(endpass, ARG_NONE, 1, W_ALL)						\
	X(hosts, ARG_HOSTS, 0, W_ALL & ~W_NOTSMTP)				\
	X(local_parts, ARG_LOCALS, 0, W_RCPT)					\
	X(log_message, ARG_LATER, 1, W_ALL)					\
	X(log_reject_target, ARG_EXPAND, 1, W_ALL)				\
	X(logwrite, ARG_EXPAND, 1, W_ALL)					\
	X(malware, ARG_EXPAND, 0, W_SCAN & ~(W(MIME) | W(NOTSMTP_MIME)))					\
	X(message, ARG_LATER, 1, W_ALL)						\
	X(mime_regex, ARG_EXPAND, 0, W(MIME) | W(NOTSMTP_MIME))			\
	X(queue, ARG_EXPAND, 1, W_ALL & ~(W(DATA) | W(PRDR) | W(NOTSMTP)))	\
	X(ratelimit, ARG_EXPAND, 0, W_ALL)					\
	X(recipients, ARG_ADDRESSES, 0, W_RCPT & ~W(VRFY))					\
	X(regex, ARG_EXPAND, 0, W_SCAN)						\
	X(remove_header, ARG_EXPAND, 1, W_MESSAGE & ~W(DKIM))				\
	X(seen, ARG_EXPAND, 0, W_ALL)						\
	X(sender_domains, ARG_DOMAINS, 0, W_SENDER)				\
	X(senders, ARG_ADDRESSES, 0, W_SENDER)					\
	X(set, ARG_SET, 1, W_ALL)						\
	X(spam, ARG_EXPAND, 0, W_SCAN & ~(W(MIME) | W(NOTSMTP_MIME)))						\
	X(spf, ARG_EXPAND, 0, W_ALL & ~(W_NO_SENDER | W_NOTSMTP))		\
	X(spf_guess, ARG_EXPAND, 0, W_ALL & ~(W_NO_SENDER | W_NOTSMTP))		\
	X(udpsend, ARG_EXPAND, 1, W_ALL)					\
	X(verify, ARG_EXPAND, 0, W_ALL)
enum acl_cond_id {
#define X(name, how, mod, where)	COND_##name,
	ACL_CONDS(X)
#undef X
	COND_COUNT
};

struct acl_cond_def {
	const char	*name;
	enum acl_arg	 how;
	bool		 modifier;
	unsigned	 where;
};
extern const struct acl_cond_def acl_conds[COND_COUNT];

struct acl_item {
	enum acl_cond_id id;
	bool		 negated;
	const struct exim_str *str;	/* ARG_EXPAND, _LATER, _SET */
	const struct exim_list *list;	/* the kinds of lists */
	const struct exim_str *const *word;	/* acl: its name and arguments, each expanded by itself */
	size_t		 nwords;
	struct sv	 text;		/* as written */
	struct sv	 var;		/* set: "c0", "m_foo" */
	struct sv	 fixed;		/* value of an argument without expansions; p NULL: it has some */
	const char	*file;
	unsigned	 line;
};

struct acl_stmt {
	enum acl_verb	 verb;
	const struct acl_item *item;
	size_t		 n;
	const char	*file;
	unsigned	 line;
};

struct exim_acl {
	struct sv	 name;
	const struct acl_stmt *stmt;
	size_t		 n;
};

/* What the interpreter carries through one ACL. */
struct acl_state {
	struct exim_env	*env;
	struct exim_acl_run *run;
	struct sv	 user_msg;	/* so far; p NULL: none */
	struct sv	 log_msg;
	struct sv	 sender_why;	/* what is wrong with the sender that failed */
	struct err	*err;		/* acl_err() */
	bool		 temp_details;
	bool		 callout_defer;
};

/*
 * For the mistake of one expansion or match: in the arena, made once for each ACL, since a kilobyte of stack for each condition of
 * ACLs in each other is much for a fiber.  What is in it is not cleared, and lasts until the next use.
 */
struct err *acl_err(struct acl_state *st);

const char *exim_acl_verb_name(enum acl_verb v);

/* All return RC_*; texts of failures go to st->user_msg and log_msg. */
enum acl_rc acl_run_list(const struct exim_acl *acl, struct acl_state *st);
enum acl_rc acl_run_what(struct sv what, struct acl_state *st);
enum acl_rc acl_condition(struct acl_state *st, const struct acl_item *it, enum acl_verb verb, struct sv arg);
enum acl_rc acl_modifier(struct acl_state *st, const struct acl_item *it, struct sv arg);
enum acl_rc acl_verify(struct acl_state *st, struct sv arg);
enum acl_rc acl_dnslists(struct acl_state *st, struct sv arg);
enum acl_rc acl_ratelimit(struct acl_state *st, struct sv arg);
/* <decoded>: mime_regex. */
enum acl_rc acl_regex(struct acl_state *st, struct sv arg, bool decoded);
enum acl_rc acl_seen(struct acl_state *st, struct sv arg);
enum acl_rc acl_control(struct acl_state *st, struct sv arg);
void	 acl_add_header(struct acl_state *st, struct sv text);
/* RC_ERROR or RC_DEFER with a text for the log. */
enum acl_rc acl_wrong(struct acl_state *st, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
enum acl_rc acl_defer(struct acl_state *st, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void	 acl_log(struct acl_state *st, unsigned logs, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
struct sv acl_fmt(struct acl_state *st, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Fold a text for the peer as Exim does. */
struct sv acl_wrap(struct arena *a, struct sv msg);
/* Copy into the arena of the run's effects. */
struct sv acl_keep(struct acl_state *st, struct sv v);

/* acl_trace.c: where run->trace is set. */
void	 acl_trace_list(struct acl_state *st, const struct exim_acl *acl);
void	 acl_trace_statement(struct acl_state *st, const struct acl_stmt *s);
void	 acl_trace_item(struct acl_state *st, const struct acl_item *it);
void	 acl_trace_outcome(struct acl_state *st, const struct exim_acl *acl, const struct acl_stmt *s, enum acl_rc rc);
void	 acl_trace_end(struct acl_state *st, const struct exim_acl *acl, enum acl_rc rc);

#endif
