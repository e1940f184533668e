/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of sendmail share. */
#ifndef VPOST_TOOLS_SENDMAIL_INT_H
#define VPOST_TOOLS_SENDMAIL_INT_H

#include <sys/types.h>

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/sb.h"
#include "base/vec.h"
#include "box/box.h"

/* Exit codes of sysexits.h, which callers look at. */
#define EX_OK		0
#define EX_USAGE	64
#define EX_DATAERR	65
#define EX_NOUSER	67
#define EX_UNAVAILABLE	69
#define EX_SOFTWARE	70
#define EX_IOERR	74
#define EX_TEMPFAIL	75
#define EX_CONFIG	78

#define MESSAGE_MAX	((size_t)512 * 1024 * 1024)
#define SOCK_SMTP	"var/run/smtp.sock"
#define SOCK_HANDED	"var/run/submit.sock"

enum mode {
	MODE_MESSAGE,		/* -bm: a message from standard input */
	MODE_SMTP,		/* -bs: SMTP on standard input and output */
	MODE_BATCH,		/* -bS: the same without replies */
	MODE_HOST_CHECK,	/* -bh, -bhc: a session that keeps nothing */
	MODE_EXPAND,		/* -be, -bem */
	MODE_FILTER,		/* -bf, -bF */
	MODE_PRINT,		/* -bP */
	MODE_ROUTE,		/* -bt */
	MODE_VERIFY,		/* -bv, -bvs */
	MODE_RETRY,		/* -brt */
	MODE_REWRITE,		/* -brw */
	MODE_INFO,		/* -bI:... */
	MODE_LIST,		/* -bp, mailq */
	MODE_COUNT,		/* -bpc */
	MODE_VERSION,		/* -bV */
	MODE_QUEUE,		/* -q */
	MODE_IDS,		/* -M and its kin */
	MODE_ALIASES		/* -bi, newaliases */
};

/* Options that were there, for those that exclude each other. */
enum {
	SEEN_SMTP = 1, SEEN_T = 2, SEEN_RUN = 4, SEEN_BI = 8, SEEN_RETRY = 16, SEEN_REWRITE = 32, SEEN_FILTER = 64, SEEN_MANY_IDS = 128,
	SEEN_ONE_ID = 256, SEEN_PRINT = 512, SEEN_LIST = 1024, SEEN_ROUTE = 2048, SEEN_VERIFY = 4096, SEEN_EXPAND = 8192,
	SEEN_HOST = 16384, SEEN_SENDER = 32768
};

/* What Postfix has as queues are states of ours. */
enum { QUEUE_ACTIVE = 1, QUEUE_DEFERRED = 2, QUEUE_HOLD = 4, QUEUE_OTHER = 8 };

struct options {
	enum mode	 mode;
	const char	*name;		/* how we were called */
	const char	*conf;		/* -C */
	const char	*syslog_socket;	/* VPOST_SYSLOG_SOCKET of the environment, NULL: the usual one */
	VEC(const char *) defines;	/* -D */
	const char	*alias_file;	/* -oA: for bi_command */
	char *const	*argv;		/* all of them, NULL at the end */
	const char	*sender;	/* -f; NULL: the caller */
	const char	*fullname;	/* -F */
	bool		 dots;		/* a line with a single dot ends the message */
	bool		 from_header;	/* -t */
	bool		 rmail;		/* called by that name */
	bool		 tls_on_connect;	/* -tls-on-connect: -bs begins with a handshake */
	bool		 verbose;
	bool		 debug;		/* -d */
	const char	*notify, *ret, *envid;
	VEC(const char *) args;		/* recipients, or message ids */
	bool		 names_off;	/* -n */
	char		 perl;		/* -ps, -pd: s, d */
	bool		 no_deliver;	/* -N */
	bool		 no_fixups;	/* -G */
	bool		 no_qualify;	/* -bnq */
	/* modes that only look */
	const char	*message;	/* -bem FILE */
	const char	*peer;		/* -bh ADDRESS */
	bool		 callouts;	/* -bhc */
	bool		 as_sender;	/* -bvs */
	const char	*info;		/* behind -bI: */
	const char	*filter, *system_filter;	/* -bf, -bF */
	const char	*filter_domain, *filter_local, *filter_prefix, *filter_suffix;	/* -bfd -bfl -bfp -bfs */
	/* -oM: facts that a message or session would have */
	const char	*host_address;	/* -oMa */
	const char	*auth_mechanism;	/* -oMaa */
	const char	*auth_id;	/* -oMai */
	const char	*auth_sender;	/* -oMas */
	const char	*interface;	/* -oMi */
	const char	*message_ref;	/* -oMm */
	const char	*protocol;	/* -oMr, -p */
	char		 protocol_text[64];	/* -pPROTOCOL:HOST: the first part */
	const char	*host_name;	/* -oMs */
	const char	*ident;		/* -oMt */
	/* queue */
	unsigned	 force;		/* -qf: 1, -qff: 2 */
	const char	*domain;	/* -R: recipients */
	const char	*of_sender;	/* -S: senders */
	const char	*select_flags;	/* behind -R or -S: 'r' a regex, 'f', 'ff' */
	const char	*queue;		/* -qGNAME; NULL: the one of all */
	bool		 run;		/* -q was there */
	const char	*to_queue;	/* -MG */
	bool		 two_stage, first_only, local_only;	/* -qq, -qi, -ql */
	const char	*message_id;	/* -Mset */
	char		 errors;	/* behind -oe: 'm', 'e', 'p', 'q', 'w' */
	bool		 unsorted, all, undelivered;	/* -bpr, -bpa, -bpu */
	bool		 all_ids;	/* postsuper ... ALL */
	unsigned	 queues;	/* QUEUE_* of those; 0: every queue */
	bool		 postfix;	/* the queue in the form of postqueue -p */
	unsigned	 what;		/* enum spool_ipc of -M... */
	char		 show;		/* -Mvh: 'h', -Mvb: 'b', -Mvc: 'c' */
	const char	*m_what;	/* behind -M */
	char		 odmode;	/* behind -od: 'b', 'f', 'i', 'q' */
	unsigned	 seen;		/* SEEN_* */
};

struct message {
	struct arena	*arena;
	const struct box *box;
	const char	*login;
	const char	*gecos;
	const char	*domain;	/* for addresses without one */
	const char	*sender;	/* "": the null one */
	const char	*helo;		/* of a batch; NULL: none was given */
	VEC(const char *) rcpts;
	struct hash	*seen;		/* those, to have each once */
	struct sb	 text;		/* CRLF line ends, Bcc gone */
	bool		 eightbit;	/* some byte above 127 */
	bool		 utf8;		/* an address needs SMTPUTF8 */
};

/* batch.c: -bS.  A message of it; all but <helo> is gone with the next. */
struct batch_message {
	struct arena	*arena;
	struct sv	 helo;		/* of the batch; empty: none was given */
	struct sv	 sender;	/* empty: the null one */
	VEC(struct sv)	 rcpts;
	struct sv	 text;		/* LF line ends */
};
struct batch_ops {
	void		*arg;
	int		(*take)(void *arg, const struct batch_message *m, struct err *err);	/* -1: it is not taken (PERM, or later) */
	void		(*lost)(void *arg, const char *where);	/* the input ended within a message, as the log says it; may be NULL */
};
/* The exit code: 1 where some messages were taken before a mistake, 2 where none was. */
int	 batch_run(const struct batch_ops *ops);

/* message.c: read standard input, find the recipients; an exit code. */
int	 message_read(struct message *m, const struct options *o, struct err *err);
/* The same of a batch. */
int	 message_of_batch(struct message *m, const struct options *o, const struct batch_message *in, struct err *err);
void	 message_free(struct message *m);

/* submit.c: an exit code; with EX_OK the message is on disk. */
int	 submit(struct message *m, const struct options *o, struct err *err);
int	 smtp_pipe(const struct box *b, struct err *err);

/* spoolit.c: past vsmtpd, to vqueued or into its queue directory. */
int	 submit_to_queue(struct message *m, const struct options *o, struct err *err);

/* options_check.c: 0, or an exit code when options were told to exclude each other. */
int	 options_check(const struct options *o);
/* options.c: 0, or an exit code when the command line was told to be wrong. */
int	 options_parse(struct options *o, int argc, char **argv);
/* names.c: the same for whatever name we were called by. */
int	 names_parse(struct options *o, const char *name, int argc, char **argv);
/* All ids of the queue become arguments; an exit code. */
int	 names_all_ids(const struct box *b, struct options *o, struct err *err);
/* Tell that, and return EX_USAGE. */
int	 usage(const char *why, const char *what);
/* The same of an address behind an option, in the words that callers of Exim know where <o> names a configuration. */
int	 usage_ip(const struct options *o, const char *option, const char *what);
/* The caller's -D names macro <name>. */
bool	 options_define(const struct options *o, const char *name);

/* testing.c: the modes that only look; <b> may be NULL. */
int	 testing_run(const struct box *b, const struct options *o);
int	 info_print(const char *what);

/* queue.c */
int	 queue_list(const struct box *b, const struct options *o, struct err *err);
int	 queue_command(const struct box *b, const struct options *o, struct err *err);

#endif
