/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One SMTP session, as the files of lib/session share it.
 *
 * Memory: <arena> lives as long as the connection, <cmd> as long as a command, the
 * transaction's own as long as its message.
 */
#ifndef VPOST_SESSION_SESSION_INT_H
#define VPOST_SESSION_SESSION_INT_H

#include "base/arena.h"
#include "base/vec.h"
#include "exim/acl.h"
#include "exim/logsel.h"
#include "exim/spf.h"
#include "io/stream.h"
#include "mail/header.h"
#include "session/session.h"
#include "smtp/command.h"
#include "smtp/data.h"
#include "smtp/reply.h"

#define SESSION_MEM_MAX		65536	/* of a message in memory; more goes to a file */
#define SESSION_MEM_WIDE	(512 * 1024)	/* the same while all messages of the process take less than ... */
#define SESSION_MEM_TOTAL	(16 * 1024 * 1024)	/* ... this */
#define SESSION_HISTORY		20
#define SESSION_KEPT		22	/* values of ACL conditions that outlive their command */
#define SESSION_TLS_TIMEOUT	60000	/* milliseconds for a handshake */

/* The content of a message while it is received. */
struct content {
	struct sb	 mem;		/* all of it while fd is -1 */
	int		 fd;		/* unlinked file, -1: none */
	int64_t		 len;
	int64_t		 max;		/* 0: no limit; what passes it is eaten, not kept */
	bool		 too_big;
	bool		 failed;	/* writing the file failed: <err> */
	struct err	*err;		/* heap, NULL while all is well */
	const char	*map;		/* whole file in memory, for looking at it */
	size_t		 skip;		/* lines above the header fields that are no part of the message */
};

/* A message under way: from MAIL to its end. */
struct txn {
	struct arena	*arena;
	struct exim_message msg;
	struct exim_address addr;
	struct exim_acl_effects fx;
	struct exim_acl_state st_conn;	/* what the session's was before */
	VEC(struct spool_rcpt) rcpts;
	VEC(struct sv)	 rcpt_addrs;	/* the same addresses, for $recipients */
	bool		 mail_given;
	bool		 discard;	/* accepted and thrown away */
	bool		 discarded_some; /* a recipient was */
	struct sv	 discard_why;	/* log_message of the ACL that threw the message away */
	bool		 taken;		/* it was accepted */
	bool		 prdr_run;	/* and they were given */
	bool		 prdr;		/* an answer for each recipient behind the content */
	bool		 too_many;
	bool		 fed;		/* BDAT: predata was asked, a chunk came */
	bool		 bdat_failed;	/* the rest of the chunks is refused with <bdat_code> */
	unsigned	 bdat_code;
	int64_t		 declared;	/* SIZE=, -1 none */
	enum smtp_body	 body;
	enum smtp_ret	 ret;
	bool		 smtputf8;
	struct sv	 envid;
	struct sv	 auth_sender;
	char		 id[SPOOL_ID_SIZE];
	struct smtp_data data;
	struct content	 content;
	struct mail_headers headers;
	bool		*gone;		/* fields that are removed */
	struct sv	*rewritten;	/* NULL, or each field that the rewrite section changed, whole; p NULL: not this one */
	struct sv	 sender_given, sender_done;	/* the sender before and after rewriting; p NULL: not yet */
	VEC(struct sv)	 rcpts_given;	/* recipients before it, for the log */
	bool		 rcpts_rewritten;
	bool		 sender_checked;	/* the sender was rewritten to be verified: refusals show the given one */
	VEC(struct exim_header_add) fixes;	/* fields that submission adds */
	VEC(struct exim_header_add) seen;	/* all added ones, as $h_ shows them to the ACL of DATA */
	bool		 hide_bcc;
	uint64_t	 header_lines;	/* of the content, the empty one with them */
	int64_t		 began;		/* MAIL, fiber_now() */
	bool		 spf_known;
	enum exim_spf	 spf;
	struct session_scan *scan;	/* what scanners said, and files made for them; scan.c */
	struct checked_sender *checked; /* what verify = sender found without asking hosts */
	bool		 cut_on, cut_pass;	/* control = cutthrough_delivery, with defer=pass */
	unsigned	 cut_routed;	/* recipients whose way was kept for that */
	bool		 cut_asks;	/* the recipient is asked about for that only */
	bool		 taken_there;	/* the next host has it: it does not go to the spool */
	bool		 waits;		/* no attempt at once */
	const char	*put_off;	/* why there is none, for the log; NULL: nothing to tell */
	struct session_cut *cut;	/* the connection to the next host; cutthrough.c */
};

enum session_end { END_NONE, END_QUIT, END_LOST, END_TIMEOUT, END_DROP, END_SYNC, END_UNKNOWN, END_ERRORS, END_TLS, END_SHUTDOWN };

struct session {
	const struct session_service *sv;
	struct session_conn *conn;
	const struct exim_conf *conf;
	struct stream	*io;
	enum session_kind kind;
	struct arena	*arena;
	struct arena	*cmd;
	struct tls_server *tls;		/* while a handshake runs */
	struct exim_env	 env;
	struct exim_session x;
	struct exim_acl_run acl;
	struct exim_acl_state st;
	struct sv	 kept[SESSION_KEPT];	/* as they were copied last */
	const char	*kept_host;
	char		*host_data;	/* the text of st.host_data; NULL: none */
	struct sv	 acl_error;	/* what is wrong with the ACL that ran last, in <cmd>; p NULL: nothing */
	struct sv	 sender_failed;	/* why the sender did not verify in the ACL under way; p NULL: it did, or was not asked */
	struct sv	 sender_log;	/* the same for the log, at the refusal; p NULL: nothing to tell */
	struct checked_sender *sender_checked;	/* whom both are about; NULL: nobody, or outside of a message */
	struct exim_acl_effects fx;	/* of ACLs outside a transaction */
	struct exim_message nomsg;	/* outside a transaction */
	struct txn	*txn;
	struct smtp_command c;
	struct sv	 line;		/* the command, in <cmd> */
	struct sv	 line_seen;	/* the line as read, for the synchronization error */
	enum session_end end;
	bool		 esmtp, lmtp, helo_seen;
	bool		 authenticated;
	const struct exim_auth *auth_by;	/* the authenticator, NULL: vauthd without one */
	bool		 no_sync, no_pipelining, no_multiline;	/* controls */
	bool		 tls_first;	/* the handshake came before all else */
	bool		 xclient;	/* XCLIENT was offered */
	struct net_addr	 behind;	/* whom the proxy protocol named: he speaks; family 0: nobody */
	bool		 queue_only;	/* -odq */
	struct sv	 handed_protocol;	/* -oMr; p NULL: the usual one */
	bool		 proxy_failed;	/* a proxy did not say whose connection it is: nothing but QUIT */
	bool		 tls_offered, auth_offered, pipelining, chunking, dsn, utf8, prdr, wellknown;
	bool		 auth_unadvertised_ok;
	unsigned	 parse_flags;
	char		*auth_list;	/* mechanisms offered, heap */
	int64_t		 timeout_ms;
	int64_t		 size_limit;	/* message_size_limit, 0: none */
	unsigned	 unknown, synprot, nonmail, mails;
	bool		 mail_came;	/* MAIL, whatever became of it */
	bool		 load_queues;		/* the load was above queue_only_load once */
	bool		 free_rset, free_helo;	/* do not count as nonmail commands, once per message */
	bool		 free_tls, free_auth;	/* the same, once per connection */
	char		 hist[SESSION_HISTORY * 9 + 1];	/* the last commands, commas between */
	unsigned	 nhist;
	int64_t		 started;	/* fiber_now() */
	char		 protocol[24];	/* $received_protocol */
	struct sv	 rcpt_text;	/* what the reply under way says beyond what is told of the sender; p NULL: all of it */
	char		*rcpt_reply;	/* what refused recipients were told, heap; NULL: none was refused */
	uint64_t	 replies;	/* so far */
	uint64_t	 deferrals;	/* replies of 4xx to RCPT so far */
	bool		 rcpt_same;	/* all of them the same */
	bool		 mail_refused;	/* the last one, and only RCPT came since */
	const char	*mistake_shown;	/* what the log says of the mistake at hand: "" nothing more, NULL what the client hears */
	bool		 in_mistake;	/* the reply under way is about one of the client */
	bool		 notquit_done;
	struct sv	 farewell;	/* what acl_smtp_notquit says instead of the usual text; p NULL: nothing */
	char		*last_command;	/* for acl_smtp_notquit, heap */
	struct sv	 helo_shown;	/* the name of HELO as logs show it: also of one that was refused */
	double		 delay_mail, delay_rcpt;	/* seconds that the last one waited */
	bool		 pipelined;	/* commands came in groups */
	bool		 early_pipe;	/* this client may do so before it was greeted */
	bool		 talked_early;	/* he did so, and has not said EHLO yet */
	bool		 own_status;	/* the reply under way has a status that the configuration gave: shown in any style */
	struct session_debug *debug;	/* control = debug; NULL: nobody wants to know */
	bool		 logs_connection;
	char		 last_id[SPOOL_ID_SIZE];	/* of the message before, as Exim goes on to log it */
	size_t		 answers;	/* LMTP, behind the content: so many recipients, so many replies; else 0 */
	char		 peer_text[NET_ADDR_TEXT_MAX];
	char		 local_text[NET_ADDR_TEXT_MAX];
};

/* ---- reply.c ---- */
/* One reply, its text by lines; <status> "" or NULL for none. */
void	 session_reply(struct session *s, unsigned code, const char *status, struct sv text);
void	 session_replyf(struct session *s, unsigned code, const char *status, const char *fmt, ...)
	     __attribute__((format(printf, 4, 5)));
/* The line for the main log about a mistake of syntax, or else of order, where log_selector wants it. */
void	 session_log_mistake(struct session *s, bool syntax, const char *text);
/* A mistake of syntax or order: counts, and ends the session when there were too many. */
void	 session_mistake(struct session *s, unsigned code, const char *status, const char *fmt, ...)
	     __attribute__((format(printf, 4, 5)));
/* 421 and the end. */
void	 session_421(struct session *s, const char *status, enum session_end end, const char *fmt, ...)
	     __attribute__((format(printf, 4, 5)));

/* No recipient was refused yet. */
void	 session_rcpt_forget(struct session *s);

/* ---- log.c ---- */
/* "H=name (helo) [ip]:port I=[ip]:port U=ident", with a leading blank when <lead>. */
void	 session_log_host(const struct session *s, struct sb *out);
/* Of the message that log lines are about: this one, in Exim's manner also the last one; "": none. */
const char *session_id(const struct session *s);
/* "name (helo) [ip]" as in "connection from". */
void	 session_fullhost(const struct session *s, struct sb *out);
/* The same with interface and ident, as in "SMTP call from". */
void	 session_caller(const struct session *s, struct sb *out);
/* " X=... CV=no", as log_selector wants it. */
void	 session_log_tls(const struct session *s, struct sb *out);
/* " Ci=ID" of the connection, where it is wanted. */
void	 session_log_id(const struct session *s, struct sb *out);
void	 session_log_auth(const struct session *s, struct sb *out);
/* "SMTP connection from ..." and <what>, by log_selector and hosts_connection_nolog. */
void	 session_log_connection(struct session *s, const char *what);
/* The transaction under way ends without its message. */
void	 session_log_incomplete(struct session *s, const char *why);
/* " C=EHLO,MAIL": known commands so far. */
void	 session_log_history(const struct session *s, struct sb *out);
/* <ms> as logs have it: "0s", "1m5s"; to a thousandth below five seconds with selector millisec. */
const char *session_duration(const struct session *s, int64_t ms);
void	 session_log_no_mail(struct session *s);
void	 session_logf(struct session *s, unsigned which, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same for a line that is built already. */
void	 session_log_line(struct session *s, unsigned which, struct sb *text);
/* A refusal in the main and reject logs, there with the message's envelope and header. */
void	 session_log_reject(struct session *s, unsigned which, const char *line);
bool	 session_logs(const struct session *s, enum exim_logsel sel);

/* ---- acl.c ---- */
enum acl_answer {
	ACL_GO,
	ACL_DISCARD,
	ACL_NO,			/* refused, answered, logged (MAILAUTH, PRDR: by the caller) */
	ACL_LATER,		/* the same, for now: only of MAILAUTH and PRDR */
	ACL_GONE		/* the same, and the session ends */
};
/*
 * Run the ACL of <where>; a refusal is answered and logged, <what> names the command's argument there.
 * *<text> (may be NULL) gets an accepting ACL's message, in <cmd>, or is empty.
 */
enum acl_answer session_acl(struct session *s, enum exim_acl_where where, struct sv what, struct sv *text, unsigned *code);
/* Answer and log that <where>'s argument <what> is refused, as after an ACL. */
void	 session_acl_refuse(struct session *s, enum exim_acl_where where, struct sv what, const struct exim_acl_result *res);
/* A recipient that is thrown away by the ACL of <where>, for the log. */
void	 session_log_discard(struct session *s, enum exim_acl_where where, struct sv why);
/* Is the option set?  Some places are skipped or refused without. */
bool	 session_acl_set(const struct session *s, enum exim_acl_where where);
/* Is the client in the host list <opt>? */
bool	 session_client_in(struct session *s, enum exim_main_opt opt);
/* Expanded integer and time options; <dflt> where they cannot be read (told to the panic log). */
int64_t	 session_int(struct session *s, enum exim_main_opt opt, int64_t dflt);
int64_t	 session_time(struct session *s, enum exim_main_opt opt, int64_t dflt);
/* Expanded string; false (told) when it fails. */
bool	 session_expand(struct session *s, enum exim_main_opt opt, struct sv *out);
extern const struct exim_acl_ops session_acl_ops;

/* ---- verify.c ---- */
/* The failing sender was told of; not again for this message. */
void	 session_sender_told(struct session *s);
enum exim_result session_verify(void *arg, struct exim_env *env, const struct exim_verify *v, struct exim_verify_result *out);

/* ---- limits.c ---- */
/* Connections <now> of <max>, and the load: false when refused, answered and logged. */
bool	 session_within_reserve(struct session *s, int64_t max, int64_t now);
/* Wait, where smtp_ratelimit_mail and _rcpt have this client wait. */
void	 session_pace_mail(struct session *s);
void	 session_pace_rcpt(struct session *s);
/* session_has_room; false is logged. */
bool	 session_spool_room(struct session *s, int64_t size);
/* Is no first attempt made for the message? */
bool	 session_queues_only(struct session *s);

/* ---- prdr.c ---- */
/* A verdict for each recipient, where the client asked for it; *<text> is the end's then. */
enum acl_answer session_prdr(struct session *s, struct sv *text);
/* acl_smtp_dkim, for the domains of dkim_verify_signers. */
enum acl_answer session_acl_dkim(struct session *s);

/* ---- scan.c, scan_malware.c, scan_spam.c, decode.c: malware, spam, decode, spf ---- */
enum exim_result session_scan(void *arg, struct exim_env *env, enum exim_scan what, struct sv param, bool *yes, struct sv *msg);
/* What Exim puts in front of a message for scanners, into txn->msg. */
void	 session_scan_head(void *arg);
/* Files that were made for scanners go. */
void	 session_scan_forget(struct session *s);

/* ---- mime.c ---- */
/* acl_smtp_mime or acl_not_smtp_mime, by <where>. */
enum acl_answer session_acl_mime(struct session *s, enum exim_acl_where where, struct sv content);

/* ---- debug.c: control = debug; the middle four only where s->debug is there ---- */
void	 session_debug_control(struct session *s, struct sv param);
void	 session_debug_acl(struct session *s, struct sv text);
void	 session_debug_command(struct session *s, struct sv text);
void	 session_debug_reply(struct session *s, struct sv text);	/* with its line ends */
void	 session_debug_log(struct session *s, unsigned which, const char *text);
void	 session_debug_end(struct session *s);

/* ---- commands: one per verb ---- */
void	 session_helo(struct session *s);
void	 session_mail(struct session *s);
void	 session_rcpt(struct session *s);
void	 session_data(struct session *s);
void	 session_bdat(struct session *s);
void	 session_rset(struct session *s);
void	 session_noop(struct session *s);
void	 session_quit(struct session *s);
void	 session_help(struct session *s);
void	 session_vrfy(struct session *s);
void	 session_expn(struct session *s);
void	 session_wellknown(struct session *s);
void	 session_etrn(struct session *s);
void	 session_starttls(struct session *s);
void	 session_auth(struct session *s);
/* acl_smtp_notquit, once, by s->end; its message goes to s->farewell. */
void	 session_not_quit(struct session *s);
/* SMTP_PARSE_* that hold from the start. */
unsigned session_parse_flags(const struct session *s);

/* ---- proxy.c ---- */
/* Where hosts_proxy says so: read whose connection it is. */
void	 session_proxy(struct session *s);
bool	 session_xclient_offer(struct session *s);
void	 session_xclient(struct session *s);

/* ---- handed.c ---- */

/* Is the ACL of <where> one for this kind of session at all? */
bool	 session_acl_asked(const struct session *s, enum exim_acl_where where);
void	 session_xlocal(struct session *s);

/* ---- connect.c ---- */
/* All until the first command; false when the connection is refused. */
bool	 session_greet(struct session *s);
/* Of that, what is looked at when it is known whose connection it is, and the greeting. */
bool	 session_welcome(struct session *s);

/* ---- command.c ---- */
/* <line> without its end; what it points to need not stay. */
void	 session_command(struct session *s, struct sv line);
/* Input came that had to wait for our reply: 554 and the end. */
void	 session_sync_error(struct session *s);

/* ---- txn.c ---- */
struct txn *session_txn_new(struct session *s);
/* Forget the message under way; acl_m variables go too. */
void	 session_txn_end(struct session *s);
void	 session_env_reset(struct session *s);
void	 content_init(struct content *c, int64_t max);
void	 content_free(struct content *c);
/* Sink of smtp_data_feed; <arg> is the session. */
void	 content_sink(void *arg, struct sv piece);
/* All of it as one slice; -1 and *<err>. */
int	 content_view(struct content *c, struct sv *out, struct err *err);

/* ---- message.c ---- */
/* The content is complete: check it, take it, answer. */
void	 session_message(struct session *s, const char *prefix);

/* ---- fromline.c ---- */
/* The sender is the caller himself, unless he may say who it is. */
void	 session_own_sender(struct session *s);
/* Length of the lines "From ..." on top that this client is forgiven; they may name the sender. */
size_t	 session_from_lines(struct session *s, struct sv content);

/* ---- ident.c ---- */
/* $sender_ident, from the client's host by RFC 1413, where rfc1413_hosts wants it. */
void	 session_ident(struct session *s);

/* ---- headers.c ---- */
/* What is put around the received header fields. */
struct header_parts {
	struct sb	 top;		/* Received and what stands above the fields */
	struct sb	 fields;	/* edited fields; used when <edited> */
	struct sb	 bottom;	/* added fields and the empty line where it is missing */
	bool		 edited;
};
/* Our Received field into txn->msg, once; -1 when received_header_text cannot be expanded. */
int	 session_received(struct session *s, struct err *err);
/* The fixes of submission, before the ACL of DATA; they go to txn->fx. */
void	 session_fixups(struct session *s);
/* What belongs around the fields, each part only where it is needed; -1 and *<err> as session_received. */
int	 session_headers(struct session *s, struct header_parts *h, struct err *err);
void	 session_headers_free(struct header_parts *h);

/* ---- the rewrite section (rewriting.c) ---- */

/* What the rules of senders or recipients make of <addr>: in the command's arena, or <addr> itself. */
struct sv session_rewritten(struct session *s, struct sv addr, bool sender);
/* The sender of the message, rewritten from now on. */
struct sv session_sender_rewritten(struct session *s);
/* The same, because it is verified now. */
struct sv session_verified_sender(struct session *s);
/* The sender as refusals show it: the given one where it was verified.  As arrivals show it: the given one. */
struct sv session_shown_sender(const struct session *s);
struct sv session_given_sender(const struct session *s);
/* All of the envelope; recipients once.  Then the fields of the header, and those that fixes added. */
void	 session_rewrite_envelope(struct session *s);
void	 session_rewrite_fields(struct session *s);

/* ---- tls.c, auth.c ---- */
/* Handshake; false when the session is over. */
bool	 session_tls_start(struct session *s);
bool	 session_tls_available(struct session *s);
/* What AUTH offers now ("" none); remembered in s->auth_list. */
const char *session_auth_offer(struct session *s);
/* exim_auth.c: an authenticator of the configuration. */
enum session_auth_result {
	SAUTH_OK, SAUTH_FAIL, SAUTH_TEMP, SAUTH_CANCEL, SAUTH_BAD64,
	SAUTH_UNEXPECTED,	/* an initial response where the mechanism has none */
	SAUTH_LOST
};
const struct exim_auth *session_exim_auth(struct session *s, struct sv mech);
/* *<tell>: what <err> says is for the client too. */
enum session_auth_result session_exim_auth_run(struct session *s, const struct exim_auth *a, struct sv initial, struct sv *id,
	     struct err *err, bool *tell);
/* Through vauthd. */
enum session_auth_result session_vauth(struct session *s, struct sv mech, const struct sv *initial, struct sv *id, struct err *err);
/* The authenticator tls, when a handshake is done. */
void	 session_auth_tls(struct session *s);
/* server_mail_auth_condition of the one that the client logged in by: may AUTH= of MAIL count? */
bool	 session_mail_auth(struct session *s);
/* Send 334 and read the answer, decoded into <out>. */
enum session_auth_result session_auth_ask(struct session *s, struct sv challenge, struct sb *out);
/* The same, <text> as it is. */
enum session_auth_result session_auth_ask_raw(struct session *s, struct sv text, struct sb *out);
void	 session_protocol(struct session *s);

/* The transaction's message and address, or the empty ones. */
static inline struct exim_message *
session_msg(struct session *s)
{
	return (s->txn != NULL ? &s->txn->msg : &s->nomsg);
}

#endif
