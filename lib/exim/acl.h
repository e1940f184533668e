/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Access control lists (chapter 44 of Exim's manual), compiled at load and evaluated
 * per command.  The interpreter sees the world through struct exim_env; what only the SMTP
 * session can do (verify an address, wait, log, scan) it asks struct exim_acl_ops.
 *
 * A session keeps one struct exim_acl_run per connection and points env->acl_run to it;
 * what its ACLs ordered for the message gathers in run->fx, which the session empties at each
 * new message.  env->acl must not be NULL.
 */
#ifndef VPOST_EXIM_ACL_H
#define VPOST_EXIM_ACL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/sv.h"
#include "base/vec.h"
#include "exim/env.h"
#include "exim/lexer.h"

struct exim_conf;
struct exim_str;

/* Where an ACL runs; EXIM_ACL_WHERES(X): X(name, main option, what Exim's log calls it). */
#define EXIM_ACL_WHERES(X)						\
	X(CONNECT, acl_smtp_connect, "connection")			\
	X(HELO, acl_smtp_helo, "EHLO or HELO")				\
	X(STARTTLS, acl_smtp_starttls, "STARTTLS")			\
	X(AUTH, acl_smtp_auth, "AUTH")					\
	X(MAILAUTH, acl_smtp_mailauth, "MAILAUTH")			\
	X(MAIL, acl_smtp_mail, "MAIL")					\
	X(RCPT, acl_smtp_rcpt, "RCPT")					\
	X(PREDATA, acl_smtp_predata, "PREDATA")				\
	X(MIME, acl_smtp_mime, "MIME")				\
	X(DKIM, acl_smtp_dkim, "DKIM")				\
	X(DATA, acl_smtp_data, "DATA")					\
	X(PRDR, acl_smtp_data_prdr, "PRDR")				\
	X(ETRN, acl_smtp_etrn, "ETRN")					\
	X(EXPN, acl_smtp_expn, "EXPN")					\
	X(VRFY, acl_smtp_vrfy, "VRFY")					\
	X(QUIT, acl_smtp_quit, "QUIT")					\
	X(NOTQUIT, acl_smtp_notquit, "NOTQUIT")				\
	X(WELLKNOWN, acl_smtp_wellknown, "WELLKNOWN")			\
	X(ATRN, acl_smtp_atrn, "ATRN")					\
	X(NOTSMTP, acl_not_smtp, "non-SMTP")			\
	X(NOTSMTP_MIME, acl_not_smtp_mime, "non-SMTP MIME")	\
	X(NOTSMTP_START, acl_not_smtp_start, "non-SMTP start")
enum exim_acl_where {
#define X(name, opt, log)	EXIM_WHERE_##name,
	EXIM_ACL_WHERES(X)
#undef X
	EXIM_WHERE_UNKNOWN,		/* ${acl in an expansion elsewhere */
	EXIM_WHERE_COUNT
};
const char *exim_acl_where_name(enum exim_acl_where w);

enum exim_acl_verdict {
	EXIM_ACL_ACCEPT,
	EXIM_ACL_DENY,			/* 550 unless the message brings a code */
	EXIM_ACL_DROP,			/* the same, then the connection is closed */
	EXIM_ACL_DEFER,			/* 451 */
	EXIM_ACL_DISCARD,		/* accepted, thrown away: the recipient, or the message */
	EXIM_ACL_ERROR			/* the configuration is wrong: 451, <log_msg> to the panic log */
};

/* Where ratelimit and the like say which logs; bits. */
#define EXIM_LOG_MAIN		0x01
#define EXIM_LOG_REJECT		0x02
#define EXIM_LOG_PANIC		0x04
#define EXIM_LOG_HOST		0x08	/* with the others: the caller puts "H=name [address]" in front */

struct exim_acl_result {
	enum exim_acl_verdict verdict;
	bool		 unset;		/* the option is unset: verdict is that of the place (RCPT denies, most accept) */
	int		 code;		/* of "message = 452 4.2.2 text"; 0: none given */
	struct sv	 status;	/* "4.2.2", or empty */
	struct sv	 user_msg;	/* for the peer, without code and status; empty: the place's default text */
	struct sv	 log_msg;	/* for the log; empty: none (then <user_msg> is logged) */
	unsigned	 log_targets;	/* EXIM_LOG_* by log_reject_target; 0: no log of the rejection */
	bool		 details;	/* DEFER: the peer is told <user_msg>, not only "temporary local problem" */
};

/* Where an added header goes (add_header = :at_start: ...). */
enum exim_acl_place { EXIM_HDR_AT_END, EXIM_HDR_AT_START, EXIM_HDR_AFTER_RECEIVED, EXIM_HDR_AT_START_RFC };
struct exim_acl_header {
	enum exim_acl_place place;
	struct sv	 text;		/* "Name: body\n", folded as given */
};

/* control = ...: X(name in upper case, text, takes an argument after "/" or "="). */
#define EXIM_ACL_CONTROLS(X)						\
	X(ALLOW_AUTH_UNADVERTISED, "allow_auth_unadvertised")		\
	X(BMI_RUN, "bmi_run")						\
	X(CASEFUL_LOCAL_PART, "caseful_local_part")			\
	X(CASELOWER_LOCAL_PART, "caselower_local_part")			\
	X(CUTTHROUGH_DELIVERY, "cutthrough_delivery")			\
	X(DEBUG, "debug")						\
	X(DKIM_DISABLE_VERIFY, "dkim_disable_verify")			\
	X(DMARC_DISABLE_VERIFY, "dmarc_disable_verify")			\
	X(DMARC_ENABLE_FORENSIC, "dmarc_enable_forensic")		\
	X(DSCP, "dscp")							\
	X(ENFORCE_SYNC, "enforce_sync")					\
	X(ERROR, "error")						\
	X(FAKEDEFER, "fakedefer")					\
	X(FAKEREJECT, "fakereject")					\
	X(FREEZE, "freeze")						\
	X(NO_CALLOUT_FLUSH, "no_callout_flush")				\
	X(NO_DELAY_FLUSH, "no_delay_flush")				\
	X(NO_ENFORCE_SYNC, "no_enforce_sync")				\
	X(NO_MBOX_UNSPOOL, "no_mbox_unspool")				\
	X(NO_MULTILINE_RESPONSES, "no_multiline_responses")		\
	X(NO_PIPELINING, "no_pipelining")				\
	X(QUEUE, "queue")						\
	X(QUEUE_ONLY, "queue_only")					\
	X(SUBMISSION, "submission")					\
	X(SUPPRESS_LOCAL_FIXUPS, "suppress_local_fixups")		\
	X(UTF8_DOWNCONVERT, "utf8_downconvert")				\
	X(WELLKNOWN, "wellknown")
enum exim_acl_control {
#define X(name, text)	EXIM_CTL_##name,
	EXIM_ACL_CONTROLS(X)
#undef X
	EXIM_CTL_COUNT
};

/* What ACLs ordered for the message and the session. */
struct exim_acl_effects {
	struct arena	*arena;		/* of what is kept here: lives as long as this */
	VEC(struct exim_acl_header) headers;
	VEC(struct sv)	 remove;	/* header names, or patterns "X-Foo*" or "^regex" */
	struct sv	 headers_added;	/* all as text, for $headers_added: point env->msg at it */
	size_t		 headers_room;	/* bytes behind its p */
	bool		 ctl[EXIM_CTL_COUNT];
	struct sv	 ctl_arg[EXIM_CTL_COUNT];	/* behind "control = name/" or "name=" ; "" if none */
	bool		 sender_retain;	/* control = submission/sender_retain */
	struct sv	 submission_domain;	/* p NULL: not given; "" with submission/domain= */
	struct sv	 submission_name;
	bool		 freeze_no_tell;
	bool		 queue_first_pass;
	struct sv	 queue_name;	/* of the queue modifier */
	int		 fake_code;	/* 550 or 451 with fakereject, fakedefer; else 0 */
	struct sv	 fake_msg;
	bool		 caseful;	/* local parts are compared with case from here on */
};
void	 exim_acl_effects_init(struct exim_acl_effects *fx, struct arena *a);
void	 exim_acl_effects_free(struct exim_acl_effects *fx);	/* the vectors, not the arena */

/* verify = sender, recipient, header_sender: an address is routed, perhaps called out to. */
enum exim_verify_what { EXIM_VERIFY_SENDER, EXIM_VERIFY_RECIPIENT, EXIM_VERIFY_HEADER_SENDER, EXIM_VERIFY_CSA };
struct exim_verify {
	enum exim_verify_what what;
	struct sv	 address;
	bool		 explicit_address;	/* sender=ADDRESS */
	bool		 defer_ok;
	bool		 no_details;
	bool		 success_on_redirect;
	bool		 quota;
	int64_t		 quota_positive, quota_negative;	/* seconds that an answer is kept */
	bool		 callout;
	bool		 callout_skipped;	/* it was asked for, and hosts are not asked here (-bh) */
	bool		 callout_defer_ok;
	bool		 callout_no_cache;
	bool		 callout_random;
	bool		 callout_fullpostmaster;
	bool		 callout_postmaster;
	bool		 callout_use_sender;
	bool		 callout_use_postmaster;
	bool		 callout_hold;
	int64_t		 callout_timeout, callout_connect, callout_maxwait;	/* seconds */
	struct sv	 callout_mailfrom;	/* p NULL: the empty sender */
	struct sv	 callout_postmaster_mailfrom;
};
struct exim_verify_result {
	struct sv	 user_msg;	/* "Unrouteable address" */
	struct sv	 log_msg;
	struct sv	 failure;	/* $sender_verify_failure: qualify route mail recipient postmaster */
	struct sv	 address_data;	/* of the routed address: $address_data or $sender_address_data */
	struct sv	 why;		/* of a sender that failed just now: for the log behind "Sender verify failed" */
	bool		 details;	/* Exim prints "Verification failed for <...>" in front */
	bool		 told;		/* <user_msg> was written for the peer: it hears it of a defer too */
	bool		 asked;		/* a callout took place, or its cached answer stood for one */
};

enum exim_scan { EXIM_SCAN_MALWARE, EXIM_SCAN_SPAM, EXIM_SCAN_DECODE,
	EXIM_SCAN_SPF, EXIM_SCAN_SPF_GUESS, EXIM_SCAN_DKIM_SIGNERS, EXIM_SCAN_DKIM_STATUS, EXIM_SCAN_DMARC_STATUS,
	EXIM_SCAN_BMI, EXIM_SCAN_DCC };

/* What only the caller can do.  Each may be NULL: then the condition defers (verify, scan) or nothing happens. */
struct exim_acl_ops {
	/* EXIM_OK: it stands; EXIM_FAIL: it does not; EXIM_DEFER. May park. */
	enum exim_result (*verify)(void *arg, struct exim_env *env, const struct exim_verify *v, struct exim_verify_result *out);
	/* <param> is expanded, options after "/" with it; sets variables in env->acl.  EXIM_OK: *<yes> is the answer. May park. */
	enum exim_result (*scan)(void *arg, struct exim_env *env, enum exim_scan what, struct sv param, bool *yes, struct sv *msg);
	/* env->msg->scan_head is wanted. */
	void		(*scan_head)(void *arg);
	void		(*delay)(void *arg, struct exim_env *env, int64_t seconds);
	void		(*log)(void *arg, unsigned logs, struct sv line);
	/* Told of each control at once, also those that fx keeps. */
	void		(*control)(void *arg, struct exim_env *env, enum exim_acl_control ctl, struct sv param);
	int		(*udpsend)(void *arg, struct sv host, int port, struct sv text);
	/* What is done, line by line; only asked when run->trace is set. */
	void		(*trace)(void *arg, struct sv line);
};

struct exim_acl_run {
	enum exim_acl_where where;
	const struct exim_acl_ops *ops;
	void		*arg;
	struct exim_acl_effects *fx;
	bool		 host_checking;	/* -bh: no delays, no callouts; tell the log about skipped ones */
	bool		 trace;		/* tell ops->trace what is done */
	/*
	 * RCPT: the local part as it was given; p NULL: env->addr is left alone.  The ACL sees it in lower case
	 * until control = caseful_local_part.
	 */
	struct sv	 rcpt_local;
	/* The interpreter's own; zero at first. */
	bool		 log_warn_skipped;
	unsigned	 log_targets;
	struct hash	*warned;	/* lines logged by warn for this message; free with exim_acl_run_fini */
	struct hash	*counted;	/* ratelimit keys that were counted for this message: to double, the rate */
	struct hash	*counted_conn;	/* and for this connection */
};
/* Between messages: what is remembered for one message. */
void	 exim_acl_run_reset(struct exim_acl_run *run);
void	 exim_acl_run_fini(struct exim_acl_run *run);

/* ---- compiled lists ---- */
struct exim_acl;

/*
 * Compile lines of an ACL (of `begin acl`, behind its "name:" line; of a file; of a string).  All mistakes are told to <rep>;
 * NULL only when nothing could be compiled.  Lives in <a>.  <next> gives lines until it returns false.
 */
struct exim_acl *exim_acl_compile(struct arena *a, struct sv name, bool (*next)(void *arg, struct exim_line *line),
		    void *arg, struct exim_report *rep);
/* Text in memory, statements by newline; <name> for messages. */
struct exim_acl *exim_acl_compile_text(struct arena *a, struct sv name, struct sv text, struct exim_report *rep);
struct sv exim_acl_name(const struct exim_acl *acl);
/* Is <word> one of the seven verbs? */
bool	 exim_acl_is_verb(struct sv word);

/*
 * Run the ACL that the main option of run->where names (unset: the place's default).  Texts of *<res> live in
 * env->arena.  Sets env->acl_run for the time it runs.
 */
enum exim_acl_verdict exim_acl_check(struct exim_env *env, struct exim_acl_run *run, struct exim_acl_result *res);
/* Run <acl> itself. */
enum exim_acl_verdict exim_acl_run(const struct exim_acl *acl, struct exim_env *env, struct exim_acl_run *run,
		    struct exim_acl_result *res);
/* Run what the expanded text <what> is: a name, an absolute file, or statements. */
enum exim_acl_verdict exim_acl_run_text(struct sv what, struct exim_env *env, struct exim_acl_run *run,
		    struct exim_acl_result *res);
/* For exim_world.acl: ${acl{name}{arg}...} and the acl condition. */
enum exim_result exim_acl_expand(struct exim_env *env, struct sv name, const struct sv *args, size_t n, struct sv *out,
		    struct err *err);

#endif
