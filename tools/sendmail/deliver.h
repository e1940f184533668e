/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receiving and delivering in one process, under a configuration that -C names and without a box: the
 * libraries of the daemons, with the spool and the logs that the configuration names, in Exim's forms.
 */
#ifndef VPOST_TOOLS_SENDMAIL_DELIVER_H
#define VPOST_TOOLS_SENDMAIL_DELIVER_H

#include "base/vec.h"
#include "exim/acl.h"
#include "exim/logsel.h"
#include "filter/exim_filter.h"
#include "mail/header.h"
#include "spool/envelope.h"
#include "testing.h"
#include "transport/transport.h"

struct mail_address;		/* mail/address.h */

struct dfield {				/* a header field */
	char		 type;		/* Exim's letter: ' ' B C F I P R S T, '*' removed */
	struct sv	 text;		/* whole, LF line ends, the last too */
};

struct drcpt {
	struct sv	 addr;
	struct sv	 given;		/* without the domain that it got here; as it is arriving */
	struct sv	 errors_to;	/* one_time: of the list */
	int		 parent;	/* one_time: whose child; -1 */
	struct sv	 orcpt;
	unsigned	 notify;	/* enum spool_notify bits */
};

struct dvar {				/* an ACL variable */
	struct sv	 name;		/* "m0", "c_x" */
	struct sv	 value;
};

struct dmsg {
	struct arena	*arena;
	char		 id[SPOOL_ID_SIZE];
	struct sv	 login;
	int64_t		 uid, gid;
	struct sv	 sender;
	struct sv	 ident, protocol, helo, host_addr;
	struct sv	 ref;		/* R= of the log: what it is about */
	struct sv	 bad;		/* -t: recipients that are none, for the report */
	unsigned	 nbad;		/* so many */
	bool		 left_out;	/* -t: the arguments named some of them, who get nothing */
	bool		 no_fixups;	/* nothing is added or mended (-G, suppress_local_fixups) */
	struct sv	 given_sender;	/* before it was rewritten */
	bool		 from_line;	/* the sender is a "From " line's */
	bool		 local;		/* it is the caller's own, whatever he says of the sender */
	bool		 untrusted_sender;	/* he said it, and may (untrusted_set_sender) */
	int64_t		 received_us;	/* its reception began */
	int64_t		 complete_us;	/* and ended; 0: the same */
	int64_t		 body_lines, body_zeros, max_line;
	int		 warnings;
	bool		 no_deliver;	/* received with -N: nobody ever gets it */
	bool		 measured;	/* <max_line> is known */
	bool		 tried;		/* delivery was attempted */
	bool		 manual_thaw;
	bool		 arriving;	/* it is received just now */
	bool		 queue_only;	/* an ACL wants it queued */
	bool		 smtputf8;
	int		 downconvert;	/* control = utf8_downconvert */
	struct sv	 queue;		/* the named queue that it is in; empty: the one of all */
	bool		 frozen, bounce, giveup;
	struct sv	 frozen_note;	/* " by ACL": of this run */
	struct sv	 envid;
	bool		 ret_set, ret_hdrs;
	int64_t		 frozen_at;
	struct sv	 host_name, host_auth, interface;
	struct sv	 auth_id, auth_sender;
	int64_t		 host_port, interface_port;
	VEC(struct dvar) vars;
	VEC(struct sv)	 others;	/* of another program's spool file: lines that we only keep, "-NAME VALUE" */
	VEC(struct drcpt) rcpts;
	VEC(struct sv)	 done;		/* addresses that are settled */
	VEC(struct dfield) fields;
	struct sv	 body;		/* LF line ends */
	/* for expansions */
	struct sv	 block;		/* the header, CRLF, with its empty line */
	struct mail_headers headers;
	FILE		*content;	/* block and body, CRLF; NULL before denv_content */
	int		 journal;	/* dspool_journal_open(); -1: not open */
	struct route_copy *copies;	/* of one attempt: ways that others of the same domain go too */
};

/* A message that waits for its delivery: where it is. */
struct dpending {
	char		 id[SPOOL_ID_SIZE];
	char		*queue;
};

struct deliver {
	struct testing	*t;
	const struct exim_conf *conf;
	struct sv	 spool;		/* spool_directory */
	const char	*caller;	/* who runs us: in logs of -M */
	int64_t		 caller_uid, caller_gid;
	struct sv	 queue;		/* the queue that is worked on (-qGNAME); empty: the one of all */
	VEC(struct dpending) pending;	/* what was received on the way and waits for its delivery */
	bool		 now;		/* deliver those at once (-odi) */
	bool		 queue_run;
	bool		 forced;	/* -M, -qf: times and held domains do not matter */
	bool		 local_only;	/* -ql */
	bool		 first_stage;	/* -qq: nothing goes to the network yet, and nothing is said of it */
	bool		 abandoned;	/* the queue run, for there is too much load */
	bool		 routing_only;	/* -qq's first round, -odqs */
	char		 looked_at[SPOOL_ID_SIZE];	/* the message that the environment was last made for; "": none */
	const char	*about;		/* the message that the ACL under way looks at */
	struct sv	*refused;	/* who submits waits for a reply: why there is none but this; NULL: he does not */
	bool		 too_big;	/* the message was, so refused */
	int		 depth;
	unsigned	 odmode;
};

/* deliver_log.c */
#define DLOG_MAIN	1
#define DLOG_REJECT	2
#define DLOG_PANIC	4
#define DLOG_FILES	8	/* not to the system's log, which has it already */
void	 dlog(struct deliver *d, unsigned which, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A file of its own (control = debug), called as the logs are; -1: *<err>. */
int	 dlog_file(struct deliver *d, const char *name, bool remove, struct err *err);
void	 dlog_syslog(struct deliver *d, unsigned which, const char *line, const char *more);
bool	 dlog_on(const struct deliver *d, enum exim_logsel sel);
/* A span of time as log lines have it. */
void	 dlog_time(struct deliver *d, struct sb *out, int64_t us);
/* -v or -N: what is logged is shown on standard error. */
bool	 dloud(const struct deliver *d);
/* -N, now or when <m> came: whatever is done is done as if. */
bool	 dbypassed(const struct deliver *d, const struct dmsg *m);
int64_t	 dnow(void);
/* A line of the message's own log (message_logs). */
void	 dmsglog(struct deliver *d, const struct dmsg *m, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void	 dmsglog_remove(struct deliver *d, const struct dmsg *m);
/* Where it is, or (<make>) its folder made first; the caller's to free. */
char	*dmsglog_path(const struct deliver *d, struct sv queue, const char *id, bool make);
/* -Mvl; an exit code. */
int	 dmsglog_show(struct deliver *d, const char *id);

/* deliver_retry.c */
struct hints;
struct dhint {
	int64_t		 first, last, next;
	bool		 expired;	/* past the last cutoff */
};
bool	 dretry_get(struct deliver *d, struct sv key, struct dhint *out);
void	 dretry_forget(struct deliver *d, struct sv key);
/* It failed before and its time has not come (and nobody forces it). */
bool	 dretry_waits(struct deliver *d, struct sv key, struct dhint *out);
/* It failed again: false where no rule gives it more time. */
bool	 dretry_failed(struct deliver *d, const struct dmsg *m, struct sv key, const struct exim_retry_what *w);
struct sv dretry_key_routing(struct deliver *d, struct arena *a, struct sv addr, bool whole);
struct sv dretry_key_rcpt(struct arena *a, struct sv addr, struct sv sender);
bool	 dretry_routing_waits(struct deliver *d, struct dmsg *m, struct sv addr);

/* deliver_spool.c */
struct dmsg *dmsg_new(void);
void	 dmsg_free(struct dmsg **mp);
int	 dspool_write(struct deliver *d, struct dmsg *m, bool body, struct err *err);
/*
 * Only one process at a time works on a message of the queue that is worked on: the descriptor that holds it, to be closed when
 * that is done; -1 with errno: EAGAIN where another has it, ENOENT where there is none.  It is read only then.
 */
int	 dspool_lock(struct deliver *d, const char *id);
/* Log why dspool_lock failed, by errno. */
void	 dspool_tell_held(struct deliver *d, const char *id);
/* deliver_spool_read.c: the text of a header file, whose strings stay where they are; -1 and ERR_CONFIG: it is none. */
int	 dspool_parse(struct dmsg *m, struct sv text, struct err *err);
/* Of the queue that is worked on. */
int	 dspool_read(struct deliver *d, const char *id, struct dmsg **mp, struct err *err);
void	 dspool_remove(struct deliver *d, const struct dmsg *m);
/*
 * What is done during an attempt is noted at once, in a file ID-J, which counts until the header is written at its end: whoever is
 * stopped between, or finds no room for the header, does not do it again.  -1 and *<err>: nothing may be delivered.
 */
int	 dspool_journal_open(struct deliver *d, struct dmsg *m, struct err *err);
void	 dspool_journal(struct deliver *d, struct dmsg *m, struct sv key);
/* Put it into the queue <to>, where its lock goes on; stopped on the way it is whole in one of the two. */
int	 dspool_move(struct deliver *d, struct dmsg *m, struct sv to, struct err *err);
/* Root goes to spool and logs with the rights of the mail system's user, so that no link there leads it elsewhere; until os_act_back(). */
void	 dspool_act(const struct deliver *d);
/* Make the folder <path>, the mail system's. */
int	 dspool_mkdir(const struct deliver *d, const char *path, struct err *err);
/* The folder of <id> below input/ and msglog/: "", or "/X" where split_spool_directory wants it or wanted it. */
const char *dspool_sub(const struct deliver *d, struct arena *a, struct sv queue, const char *id);
/* A message of the queue that is worked on cannot be read: told, and removed when keep_malformed is over. */
void	 dspool_print_malformed(struct deliver *d, const char *id);
void	 dspool_malformed(struct deliver *d, const char *id);
/* Ids of the queue that is worked on, oldest first. */
void	 dspool_ids(struct deliver *d, void (*fn)(void *arg, const char *id), void *arg);
/* The same address: the case of its domain alone means nothing. */
bool	 dmsg_same(struct sv a, struct sv b);
bool	 dmsg_is_done(const struct dmsg *m, struct sv addr);
void	 dmsg_set_done(struct dmsg *m, struct sv addr);
/* deliver_tree.c: who has it already, as the header file of the spool tells it. */
void	 dspool_put_done(const struct dmsg *m, struct sb *out);
/* The header as text for -Mvh. */
void	 dspool_header_text(const struct dmsg *m, struct sb *out);

/* deliver_queue.c: -bp, -M..., -q */
int	 dqueue_list(struct deliver *d);
int	 dqueue_count(struct deliver *d);
int	 dqueue_actions(struct deliver *d);
int	 dqueue_run(struct deliver *d);
/* What is left fails, and the sender is told; it has been logged why.  -1: he cannot be told, and the message stays. */
int	 dgive_up(struct deliver *d, struct dmsg *m);

/* deliver_mime.c */
/* acl_not_smtp_mime for each part, until it says other than accept; *<res> is its last word. */
enum exim_acl_verdict dmime_ask(struct deliver *d, struct dmsg *m, struct exim_acl_run *run, struct exim_acl_result *res);

/* deliver_stdin.c: a message from standard input with the options' envelope; an exit code. */
int	 dreceive_stdin(struct deliver *d);

/* deliver_receive.c */
/* Give <m> (fields and body set) its missing fields and the Received line, spool and log it, and have it delivered. */
int	 dreceive(struct deliver *d, struct dmsg *m, bool local_fixups, struct err *err);
/* A message of our own by <login>; <text> with CRLF or LF lines, "" sender. */
int	 dreceive_own(struct deliver *d, const struct dmsg *about, const char *login, int64_t uid, struct sv text,
	     const struct sv *rcpts, size_t n, bool fixups, bool bounce);
/* The same for <uid>, who must be able to write to the spool himself: this program has no rights that he lacks. */
int	 dreceive_as(struct deliver *d, const struct dmsg *about, int64_t uid, struct sv text, const struct sv *rcpts, size_t n);
#define DTEXT_MAX	((size_t)256 * 1024 * 1024)	/* of a message */
#define DADDR_FLAGS	(MAIL_ADDR_UTF8 | MAIL_ADDR_BARE | MAIL_ADDR_LITERAL | MAIL_ADDR_8BIT | MAIL_ADDR_EMPTY)
/* A new id, the time, whose it is. */
void	 dmsg_start(struct dmsg *m, const char *login, int64_t uid);

/* deliver_fields.c */
/* Fields and body of <text> (LF line ends, lives as long as <m>). */
void	 dmsg_split(struct dmsg *m, struct sv text);
/* The first field <name>, NULL; its body; one more at the end. */
struct dfield *dfield_find(struct dmsg *m, const char *name);
struct sv dfield_body(struct sv text);
void	 dfield_add(struct dmsg *m, const char *name, struct sv body);
/* <addr> with a domain; an address as text. */
struct sv dqualify(struct deliver *d, struct arena *a, struct sv addr, bool recipient);
struct sv daddress_text(struct arena *a, const struct mail_address *x);
/* Exim's letter for a field <name>; the name in front of <text>. */
char	 dfield_type(struct sv name);
struct sv dfield_name(struct sv text);
void	 dfield_drop(struct dmsg *m, const char *name);
bool	 dfields_resent(struct dmsg *m);
/* What local submission lacks, or has and may not have. */
void	 dfields_fix(struct deliver *d, struct dmsg *m);
int	 dfields_received(struct deliver *d, struct dmsg *m, struct err *err);
void	 dfields_rewrite(struct deliver *d, struct dmsg *m);
void	 dfields_rewrite_envelope(struct deliver *d, struct dmsg *m);

/* deliver_sender.c */
/* May the caller say whom a message comes from? */
bool	 dsender_trusted(const struct deliver *d);
/* The caller's name, "" if he has none. */
struct sv dsender_name(struct deliver *d, struct arena *a);
/* The envelope's sender: <addr> of -f where he may, else himself. */
void	 dsender_set(struct deliver *d, struct dmsg *m, struct sv addr);
/* The same for what he said by MAIL. */
void	 dsender_smtp(struct deliver *d, struct dmsg *m);
/* Length of the line on top of <text> that uucp_from_pattern takes; it may name the sender. */
size_t	 dsender_from_line(struct deliver *d, struct dmsg *m, struct sv text);
/* A From field for a message without; the Sender field of one that is not in the caller's name; an id. */
void	 dsender_add_from(struct deliver *d, struct dmsg *m, bool resent);
void	 dsender_fields(struct deliver *d, struct dmsg *m, bool resent);
struct sv dsender_message_id(struct deliver *d, struct dmsg *m);
/* <m> was frozen and stands in the queue's folder of frozen messages from now on. */
void	 dspool_set_aside(struct deliver *d, const struct dmsg *m);
/* deliver_error.c: the submitter is told, by -oe; an exit code. */
enum derror { DERROR_ADDRESS, DERROR_FIELDS, DERROR_NOBODY, DERROR_TOO_MANY, DERROR_TOO_BIG, DERROR_LONG_HEADER, DERROR_LONG_FIELD, DERROR_ACL };
/* <detail>: what it is about; <others>: there are recipients left. */
int	 derror_tell(struct deliver *d, struct dmsg *m, enum derror kind, struct sv detail, bool others);
/* deliver_smtp.c: -bs, -bS */
int	 dreceive_smtp(struct deliver *d, bool batch);

/* deliver_env.c */
/* The login of <uid>. */
const char *duser_name(struct arena *a, int64_t uid);
void	 denv_message(struct deliver *d, struct dmsg *m);
void	 denv_delivery(struct deliver *d, struct dmsg *m, const struct route_delivery *rd, struct exim_address *a);
void	 denv_index(struct dmsg *m);	/* block and headers from the fields; what content there was is gone */
/* Make m->content of block and body, where it is not there yet; -1 and *<err>: it cannot be, and nothing may be delivered. */
int	 denv_content(struct dmsg *m, struct err *err);

/* deliver_run.c */
void	 ddeliver(struct deliver *d, const char *id);
/* <m> is to be delivered when this process comes to it. */
void	 ddeliver_later(struct deliver *d, const struct dmsg *m);
void	 ddeliver_pending(struct deliver *d);

/* deliver_filter.c: what the system filter wants; its header changes are made. */
enum exim_filter_end dfilter_system(struct deliver *d, struct dmsg *m, struct filter_plan *plan, const char **text);

/* One address on its way. */
struct dfail {
	const struct route_delivery *rd;	/* NULL: not routed */
	const struct route_addr *addr;
	struct sv	 top;		/* the recipient */
	struct sv	 to;		/* who is told */
	struct sv	 text;		/* for the report; may be empty */
	struct sv	 host;		/* remote: "host NAME [ADDRESS]" */
	struct sv	 diagnostic;	/* what the host said, for Diagnostic-Code */
	struct sv	 output;	/* what a program said */
	struct sv	 orcpt;
	unsigned	 notify;
	bool		 ignore;
	bool		 hidden;	/* hide_child_in_errmsg: its name is not told */
	bool		 passed;	/* the host makes the report of success */
};
typedef VEC(struct dfail) dfails;

/* deliver_bounce.c: -1: the report could not be kept, so that nobody was told. */
int	 dbounce(struct deliver *d, struct dmsg *m, const struct dfail *v, size_t n, struct sv to);

/* How a remote delivery to one address ended. */
struct dend {
	int		 st;		/* TRANSPORT_* */
	int64_t		 sys;
	const char	*tail;		/* " H=..." for the log */
	struct sv	 text;		/* for the log */
	bool		 pass;		/* people may read it too */
	struct sv	 host;		/* "host NAME [ADDRESS]" */
	struct sv	 diagnostic;
	struct sv	 as;		/* the address as it was sent, where that is another one */
	struct sv	 path;		/* the return path that was used */
	const struct deliver_host *at;	/* NULL: no host is to be named */
	bool		 also;		/* another of the same transaction was logged */
	bool		 late;		/* no rule gives it more time */
	bool		 silent, panic;
	bool		 dsn_passed;
};

/* deliver_remote.c: settles every address of the group through <end>. */
struct dremote {
	struct deliver	*d;
	struct dmsg	*m;
	const struct route_delivery **rd;
	size_t		 n;
	void		(*end)(void *arg, size_t i, const struct dend *e);
	void		*arg;
};
void	 ddeliver_remote(struct dremote *r);

#endif
