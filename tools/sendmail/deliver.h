/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receiving and delivering in one process, under a configuration that -C names and without a box: the
 * libraries of the daemons, with the spool and the logs that the configuration names, in Exim's forms.
 */
#ifndef VPOST_TOOLS_SENDMAIL_DELIVER_H
#define VPOST_TOOLS_SENDMAIL_DELIVER_H

#include "base/vec.h"
#include "exim/logsel.h"
#include "filter/exim_filter.h"
#include "mail/header.h"
#include "spool/envelope.h"
#include "testing.h"
#include "transport/transport.h"

struct dfield {				/* a header field */
	char		 type;		/* Exim's letter: ' ' B C F I P R S T, '*' removed */
	struct sv	 text;		/* whole, LF line ends, the last too */
};

struct drcpt {
	struct sv	 addr;
	struct sv	 errors_to;	/* one_time: of the list */
	int		 parent;	/* one_time: whose child; -1 */
};

struct dmsg {
	struct arena	*arena;
	char		 id[SPOOL_ID_SIZE];
	struct sv	 login;
	int64_t		 uid, gid;
	struct sv	 sender;
	struct sv	 ident, protocol, helo, host_addr;
	struct sv	 ref;		/* R= of the log: what it is about */
	int64_t		 received_us;
	int64_t		 body_lines, max_line;
	int64_t		 first_failed, next_try;	/* of the whole: hints kept with it */
	int		 warnings;
	bool		 frozen, bounce, forced, giveup;
	int64_t		 frozen_at;
	VEC(struct drcpt) rcpts;
	VEC(struct sv)	 done;		/* addresses that are settled */
	VEC(struct dfield) fields;
	struct sv	 body;		/* LF line ends */
	/* for expansions */
	struct sv	 block;		/* the header, CRLF, with its empty line */
	struct mail_headers headers;
	FILE		*content;	/* block and body, CRLF */
};

struct deliver {
	struct testing	*t;
	const struct exim_conf *conf;
	struct sv	 spool;		/* spool_directory */
	const char	*caller;	/* who runs us: in logs of -M */
	int64_t		 caller_uid, caller_gid;
	VEC(char *)	 pending;	/* ids that were received on the way and wait for their delivery */
	bool		 now;		/* deliver those at once (-odi) */
	bool		 queue_run;
	int		 depth;
	unsigned	 odmode;
};

/* deliver_log.c */
#define DLOG_MAIN	1
#define DLOG_REJECT	2
#define DLOG_PANIC	4
void	 dlog(struct deliver *d, unsigned which, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool	 dlog_on(const struct deliver *d, enum exim_logsel sel);
int64_t	 dnow(void);

/* deliver_spool.c */
struct dmsg *dmsg_new(void);
void	 dmsg_free(struct dmsg **mp);
int	 dspool_write(struct deliver *d, struct dmsg *m, bool body, struct err *err);
int	 dspool_read(struct deliver *d, const char *id, struct dmsg **mp, struct err *err);
void	 dspool_remove(struct deliver *d, const char *id);
/* Ids, oldest first. */
void	 dspool_ids(struct deliver *d, void (*fn)(void *arg, const char *id), void *arg);
bool	 dmsg_is_done(const struct dmsg *m, struct sv addr);
void	 dmsg_set_done(struct dmsg *m, struct sv addr);
/* The header as text for -Mvh. */
void	 dspool_header_text(const struct dmsg *m, struct sb *out);

/* deliver_queue.c: -bp, -M..., -q */
int	 dqueue_list(struct deliver *d);
int	 dqueue_count(struct deliver *d);
int	 dqueue_actions(struct deliver *d);
int	 dqueue_run(struct deliver *d);

/* deliver_receive.c */
/* A message from standard input with the options' envelope; an exit code. */
int	 dreceive_stdin(struct deliver *d);
/* Give <m> (fields and body set) its missing fields and the Received line, spool and log it, and have it delivered. */
int	 dreceive(struct deliver *d, struct dmsg *m, bool local_fixups, struct err *err);
/* A message of our own by <login>; <text> with CRLF or LF lines, "" sender. */
int	 dreceive_own(struct deliver *d, const struct dmsg *about, const char *login, int64_t uid, struct sv text,
	     const struct sv *rcpts, size_t n, bool fixups, bool bounce);
/* A new id, the time, whose it is. */
void	 dmsg_start(struct dmsg *m, const char *login, int64_t uid);
/* Fields and body of <text> (LF line ends, lives as long as <m>). */
void	 dmsg_split(struct dmsg *m, struct sv text);
/* deliver_smtp.c: -bs, -bS */
int	 dreceive_smtp(struct deliver *d, bool batch);

/* deliver_env.c */
/* The login of <uid>. */
const char *duser_name(struct arena *a, int64_t uid);
void	 denv_message(struct deliver *d, struct dmsg *m);
void	 denv_delivery(struct deliver *d, struct dmsg *m, const struct route_delivery *rd, struct exim_address *a);
void	 denv_index(struct dmsg *m);	/* block, headers, content from fields and body */

/* deliver_run.c */
void	 ddeliver(struct deliver *d, const char *id, bool force);
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
	struct sv	 output;	/* what a program said */
	bool		 ignore;
};
typedef VEC(struct dfail) dfails;

/* deliver_bounce.c */
void	 dbounce(struct deliver *d, struct dmsg *m, const struct dfail *v, size_t n, struct sv to);
void	 dname_pfr(const struct dfail *f, struct sb *out);

/* deliver_remote.c: settles every address of the group through <end>. */
struct dremote {
	struct deliver	*d;
	struct dmsg	*m;
	const struct route_delivery **rd;
	size_t		 n;
	/* st: TRANSPORT_*; <tail>: " H=..." for the log; <text>: words. */
	void		(*end)(void *arg, size_t i, int st, int64_t sys, const char *tail, struct sv text, struct sv host, bool also);
	void		*arg;
};
void	 ddeliver_remote(struct dremote *r);

#endif
