/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of vqueued share.  A message (struct msg) is under way while an attempt
 * to deliver it lasts: read from a segment or a queue file, routed into deliveries
 * (struct dlv), each of which ends in delivery_ok/failed/deferred; when the last has
 * ended, attempt_done() settles what is left: reports, copying to queue/, or the end.
 */
#ifndef VQUEUED_INT_H
#define VQUEUED_INT_H

#include <stdio.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/order.h"
#include "base/vec.h"
#include "box/box.h"
#include "deliver/options.h"
#include "exim/conf.h"
#include "exim/env.h"
#include "exim/logsel.h"
#include "fiber/fiber.h"
#include "hints/hints.h"
#include "ipc/ipc.h"
#include "log/log.h"
#include "route/route.h"
#include "spool/client.h"
#include "spool/done.h"
#include "spool/queuefile.h"
#include "spool/reader.h"
#include "store/deliver.h"

#define ACTIVE_MAX	8192		/* messages under way, from segments */
#define ACTIVE_QUEUE_MAX 1000		/* and from queue files */
#define ROUTERS		32		/* fibers that route; more come while these wait for DNS */
#define ROUTERS_MAX	1000
#define FINISHERS	32		/* fibers that write reports and queue files */
#define EVENT_TELLERS	8		/* fibers that expand event_action: one slow expansion does not hold up the others */

struct daemon;
struct vq;
struct seg;
struct msg;
struct reported;
struct dest;
struct os_watch;
struct children;
struct jobs;
struct remote_job;
struct event;

/* ---- messages ---- */

struct follower {			/* another recipient that leads to the same address */
	struct follower	*next;
	uint32_t	 rcpt;
};

struct event_host {
	struct sv	 host, address, cipher, peerdn;
	int64_t		 port;
	struct sv	 said;		/* its answer to the content */
};

enum dlv_end { DLV_OPEN, DLV_OK, DLV_FAILED, DLV_DEFERRED };

struct dlv {				/* one final delivery */
	struct msg	*m;
	struct dlv	*next;		/* in the list of a batch or a barrier */
	const struct route_delivery *rd;
	uint64_t	 child;
	uint64_t	 commit;	/* local: the barrier it waits for */
	uint32_t	 rcpt;		/* index */
	enum dlv_end	 end;
	struct follower	*followers;
	struct failure	*failure;	/* where it failed */
	bool		 recorded;	/* by its child */
	bool		 keep;		/* is to be, even when nothing else of the recipient is left */
	size_t		 rank;		/* of its domain in remote_sort_domains */
	unsigned char	 lost;		/* how often the line to the store broke while it was on it */
	bool		 also;		/* not the first recipient of its transaction: "->" in the log */
	int64_t		 number;	/* Exim's, of what deferred it */
	const char	*words;		/* for the log, instead of the error's text; NULL: that */
	struct event_host *at;		/* who had it, where event_action wants to know; else NULL */
	/* local */
	enum store_action to;
	unsigned	 dflags;
	struct sv	 user, mailbox, prefix;
	struct sv	 as;		/* "=> AS <address>" of the log */
	struct sv	 sender;	/* the return path that was used; p NULL: the router's or the message's */
	/* an edited copy of the content (headers removed); empty: the message's own */
	struct sv	 path;
	uint64_t	 off, len;
};

struct failure {			/* a delivery that failed for good, for the report */
	struct failure	*next;
	uint32_t	 rcpt;
	uint64_t	 child;
	struct sv	 address;
	struct sv	 to;		/* who is told: the sender, or errors_to */
	struct sv	 text;
	struct sv	 diagnostic, remote_mta;
	char		 status[12];
	bool		 reported;
	bool		 quiet;		/* told with another */
	bool		 hidden;	/* what the recipient became is not named (hide_child_in_errmsg) */
};

struct success {			/* NOTIFY=SUCCESS was asked for, and we are the last who can tell */
	struct success	*next;
	uint32_t	 rcpt;
	struct sv	 address;
	bool		 relayed;
};

struct rcpt {
	enum spool_state state;		/* OPEN, LOCAL, SENT, BOUNCED, REMOVED */
	unsigned	 pending;	/* deliveries under way */
	unsigned	 failures;	/* not settled yet */
	bool		 tried;		/* in this attempt */
	bool		 deferred;
	bool		 failed;
	bool		 sent;		/* some of it went to another host */
	int64_t		 first_failed, last_try, next_try;
	struct sv	 text;		/* of the deferral */
	char		 status[12];
};

struct child {
	uint64_t	 child;
	struct dlv	*d;
};

struct childset {
	VEC(struct child) v;
	struct hash	*index;		/* when there are many */
};

struct msg {
	struct vq	*vq;
	struct msg	*next;		/* waiting to be routed */
	struct msg	*all_next, **all_prev;	/* in vq->msgs */
	struct arena	*arena;
	struct spool_envelope env;
	struct rcpt	*rcpts;
	struct childset	 settled;	/* deliveries of recipients that are not settled as a whole */
	struct childset	 taken;		/* in this attempt: an address is delivered to once */
	struct seg	*seg;		/* NULL: from a queue file */
	uint64_t	 record;	/* offset in the segment */
	struct spool_qfile *q;		/* of a queue file; owns the envelope's strings then */
	struct qent	*qe;
	struct sv	 path;		/* of the content, relative to the box */
	uint64_t	 off, len;
	uint64_t	 origin;
	int		 fd;		/* of the queue file, opened when needed; -1 */
	unsigned	 refs;		/* who parked and will look at it again, even if it is over */
	bool		 dead;
	unsigned	 busy;		/* deliveries and work under way */
	unsigned	 indexed;	/* of these: in the index, waiting for the barrier */
	bool		 retrying;	/* not its first attempt */
	bool		 force;		/* past retry times */
	bool		 run;		/* past the first wait of what was queued unseen */
	bool		 giveup;	/* an administrator ended it: whatever is not delivered fails */
	bool		 intent;	/* an intent without an end was found */
	bool		 removed;	/* by an administrator, before it had a queue file */
	bool		 freeze;	/* hold it until somebody looks */
	unsigned	 open;		/* recipients not settled */
	VEC(struct hash *) vars;	/* $r_... of its deliveries */
	struct remote_job *remote_later, **remote_last;	/* remote_max_parallel: they wait for one of those under way to end */
	unsigned	 remote_jobs;	/* under way */
	int64_t		 max_line;	/* the longest line of the content; -1: not known */
	struct route_copy *copies;	/* ways that others of the same domain go too */
	struct failure	*failures;
	struct success	*successes;
	struct sb	 log;		/* of a queue file: collected by record_add() */
	int64_t		 started_us;
};

/* msg.c */
struct msg *msg_new(struct vq *vq);
void	 msg_free(struct msg **mp);
/* After m->refs++: frees what ended meanwhile. */
void	 msg_unref(struct msg *m);
/* Its envelope is known: from now on msg_find() finds it. */
void	 msg_known(struct msg *m);
struct msg *msg_find(struct vq *vq, struct sv id);
void	 msg_start(struct msg *m);		/* give it to the routers */
void	 msg_finisher(void *arg);		/* fiber: ends attempts that are not simply over */
void	 msg_finish_later(void *arg);		/* fiber: takes up what the disk refused */
void	 msg_hold(struct msg *m);
void	 msg_release(struct msg *m);		/* the last release ends the attempt */
int	 msg_fd(struct msg *m, struct err *err);
/* How deliveries end.  Each may be called once. */
void	 delivery_ok(struct dlv *d, enum spool_state how, const char *log_tail, bool dsn_passed);
void	 delivery_failed(struct dlv *d, const struct err *err, struct sv remote_mta, struct sv diagnostic,
	     const char *log_tail);
void	 delivery_deferred(struct dlv *d, const struct err *err, int64_t next_try, const char *log_tail);
/* The same for addresses that did not get as far as a delivery. */
void	 address_failed(struct msg *m, uint32_t rcpt, struct sv address, struct sv to, const struct err *err, struct sv text,
	     const char *router);
void	 address_deferred(struct msg *m, uint32_t rcpt, struct sv address, const struct err *err, int64_t next_try,
	     const char *router);
/* <rcpt> leads to the address of <d> as well: it gets the same end. */
void	 delivery_share(struct dlv *d, uint32_t rcpt);
void	 msg_settle(struct msg *m, uint32_t rcpt, enum spool_state st);
void	 note_deferral(struct msg *m, uint32_t rcpt, const struct err *err, int64_t next_try);

/* Its last event was told: it is over. */
void	 msg_told(struct msg *m);

/* ---- event_action (events.c) ---- */

bool	 events_wanted(const struct dlv *d);
void	 events_delivered(const struct dlv *d);
void	 events_failed(const struct dlv *d, const struct err *err);
void	 events_address_failed(struct msg *m, struct sv address, const char *router, const struct err *err);
/* True: the message goes on to msg_told(). */
bool	 events_completed(struct msg *m);
/* Which host had <d>, and its answer to the content (may be NULL), where somebody wants to know. */
void	 events_host(struct dlv *d, const struct exim_address *a, const char *said);
void	 events_fiber(void *arg);		/* fiber */

/* ---- what is settled (settled.c) ---- */

/* Add (<d> NULL: of an earlier attempt); false if it was there. */
bool	 childset_add(struct childset *c, uint64_t child, struct dlv *d);
bool	 childset_has(const struct childset *c, uint64_t child);
struct dlv *childset_get(const struct childset *c, uint64_t child);
void	 childset_free(struct childset *c);
/*
 * Collect that the delivery <child> of recipient <rcpt> is settled (0: the whole recipient is); record_write() writes
 * all that was collected at once, <st> says how much its loss would matter.
 */
void	 record_add(struct msg *m, uint32_t rcpt, uint64_t child, enum spool_state st);
void	 record_write(struct msg *m, enum spool_state st);
int	 record_intent(struct msg *m, struct err *err);
/* Everything that was recorded is on disk. */
int	 record_sync(struct msg *m, struct err *err);
/*
 * A message that recipient <rcpt> of <m> gave rise to, a copy or a reply, is in queue/ as <queue_id> and may go once it is on disk
 * that <id> was made.  Its envelope names <m> and <id>, so that it is known whichever of the two a crash leaves.
 */
void	 record_made(struct msg *m, uint32_t rcpt, uint64_t id, const char *queue_id);

/* ---- segments (segment.c) ---- */

struct replay {
	struct spool_done_entry e;
	size_t		 seq;
};

struct seg {
	struct seg	*next;
	struct vq	*vq;
	char		 name[SPOOL_SEGMENT_NAME_MAX];
	char		*path;
	struct spool_reader *reader;
	struct spool_done *done;
	VEC(struct replay) replay;	/* of earlier lives, by record, then in order */
	size_t		 replay_pos;
	uint64_t	 id;
	uint64_t	 parsed, durable;
	bool		 sealed;		/* <durable> is the end */
	bool		 orphan;		/* its writer is dead: records are verified whole */
	bool		 sync_wanted, syncing;
	bool		 dirty;			/* in the list of those with entries to write */
	bool		 removing;
	bool		 damaged;		/* part of it could not be read: it is kept aside at its end */
	bool		 surveyed;
	uint64_t	 declared;		/* an orphan's bytes that were surely declared durable */
	unsigned	 errors;		/* of the disk, one after the other */
	int64_t		 read_again;		/* fiber_now() before which it is not read */
	unsigned	 live;			/* messages under way */
	VEC(char *)	 copied;		/* ids that live on in queue/ */
};

void	 segs_range(struct vq *vq, const char *name, uint64_t to);
void	 segs_sealed(struct vq *vq, const char *name, uint64_t to);
void	 segs_scan(struct vq *vq);		/* look for dead writers' segments; on a fiber */
void	 segs_pump(void *arg);			/* fiber: reads records while there is room */
void	 segs_wake(struct vq *vq);
void	 seg_dirty(struct seg *s);
void	 segs_flush(void *arg);			/* fiber: writes done-logs at the end of the turn */
void	 seg_want_sync(struct seg *s);
void	 seg_check_end(struct seg *s);
/* How many segments were kept aside because part of them could not be read. */
uint64_t segs_damaged(struct vq *vq);
/* Numbers of the segments that are there, for store_forget_others; *<v> is the caller's to free.  -1: not known. */
bool	 segs_has(struct vq *vq, uint64_t id);	/* one of these numbers? */
int	 segs_origins(struct vq *vq, uint64_t **v, size_t *n, struct err *err);

/* ---- the deferred queue (queue.c) ---- */

struct named_queue {			/* messages of one name ($queue_name); "": the one of all */
	char		*name;
	size_t		 messages;	/* in it: without one it is forgotten */
	unsigned	 active;	/* attempts under way */
	int64_t		 max;		/* of these: queue_run_max, as last expanded; 0: no limit */
};

#define QUEUE_DOMAINS_MAX 64		/* of a message that are remembered; one with more is looked at for any domain */

struct qent {				/* one message of queue/ */
	char		 id[SPOOL_ID_SIZE];
	struct named_queue *of;
	bool		 run;		/* somebody asked for a run of its queue, or it has just come */
	bool		 untried;	/* some recipient was never tried: the next run takes it */
	bool		 any_domain;
	uint64_t	*domains;	/* hashes of its recipients' */
	size_t		 ndomains;
	bool		 frozen;
	bool		 active;	/* an attempt is under way */
	bool		 force;		/* the next attempt ignores retry times */
	bool		 giveup;
	bool		 gone;		/* to be removed when its attempt is over */
	bool		 bounce;	/* null sender */
	bool		 local;		/* there may be delivery ids of it in the store */
	bool		 unread;	/* the file could not be read yet: only its id is known */
	int64_t		 received, next_try, frozen_at;
	uint64_t	 origin;
	uint64_t	 size;
	struct reported	*report;	/* found at the start: whose child it is */
};

int	 queue_load(struct vq *vq, struct err *err);	/* at the start */
/* The load of the machine is above deliver_queue_load_max: queue runs have to wait; told in the log once. */
bool	 queue_overloaded(struct vq *vq);
/* index.c */
struct qent *queue_find(struct vq *vq, struct sv id);
/* One that is not there yet; in the queue without a name. */
struct qent *queue_enter(struct vq *vq, const char *id);
void	 queue_leave(struct vq *vq, struct qent *e);
/* The first whose id is greater ("": the first of all); NULL: there is none. */
struct qent *queue_after(struct vq *vq, const char *id);
/* It is in the queue <name> from now on. */
void	 queue_into(struct vq *vq, struct qent *e, struct sv name);
/* Is it in the queue <name> (SPOOL_QUEUES_ALL: in any)? */
bool	 queue_in(const struct qent *e, struct sv name);
void	 queue_note_domains(struct qent *e, const struct spool_envelope *env);
/* False: no recipient of it is at <domain> ("": any). */
bool	 queue_may_be_for(const struct qent *e, struct sv domain);
struct qent *queue_add(struct vq *vq, const struct spool_qfile *q);
/* Not active any more: the administrator's removal is done, or it waits for its next attempt. */
void	 queue_let_go(struct vq *vq, struct qent *e);
void	 queue_remove(struct vq *vq, struct qent *e);	/* from memory and disk; ids are forgotten */
void	 queue_run(void *arg);				/* fiber: starts what is due */
void	 queue_wake(struct vq *vq);
/* Make queue/ID of what is left of <m>, or log its changes.  0, or -1. */
int	 queue_defer(struct msg *m, struct err *err);
/* A new message of our own or of a tool. */
int	 queue_inject(struct vq *vq, struct spool_qfile *q, const struct spool_content *c, bool start, struct err *err);
/* The earliest next_try of the open recipients. */
int64_t	 queue_next_try(const struct msg *m);
/* Drops delivery ids of what is gone, once that is on disk (fiber). */
void	 queue_forgetter(void *arg);

/* ---- children of other messages (reported.c) ---- */

/* For the envelope of one that recipient <rcpt> of <m> gives rise to: what is settled once it is in queue/ (<id> 0: all of the recipient). */
struct sv reported_about(const struct msg *m, struct arena *a, uint32_t rcpt, uint64_t id);
/* One was found in queue/; NULL: it is nobody's child. */
struct reported *reported_found(struct vq *vq, const struct spool_envelope *env);
/* All of queue/ is known: parents there are told. */
void	 reported_loaded(struct vq *vq);
/* <m> was read: what was found settles what it is about, and that is noted. */
void	 reported_apply(struct msg *m);
/* The parent is still to be read: the file must stay. */
bool	 reported_waits(struct vq *vq, const struct reported *r);

/* ---- the world of expansions (world.c) ---- */

void	 world_init(struct vq *vq);
/* Run <fn>(<job>), which may take long, on a thread; few at a time, so that the queue's files are written meanwhile. */
void	 slow_run(struct vq *vq, void (*fn)(void *job), void *job);

/* ---- routing (routing.c) ---- */

void	 routing_fiber(void *arg);
int	 routing_init(struct vq *vq, struct err *err);
/* A message while its recipients are routed. */
struct sysfilter;
struct route_ops;
struct work {
	struct msg	*m;
	struct vq_env	*e;
	const struct route_ops *ops;
	const struct kept_file *filter_file;	/* headers it added point into it */
	const struct sysfilter *filter;	/* what the system filter did; NULL: there is none */
	struct dlv	*local, *remote, **remote_last, *jobs, **jobs_last;
};
/* A recipient is due; on a retry those whose time has not come are left. */
bool	 rcpt_due(const struct msg *m, uint32_t i, int64_t now);
/* A delivery or a failure for recipient <rcpt>; <keep>: it is written down by itself when it is done. */
void	 routing_take(struct work *w, uint32_t rcpt, const struct route_delivery *rd, bool keep);
void	 routing_failed(struct work *w, uint32_t rcpt, const struct route_failure *f);
void	 routing_address(struct work *w, struct sv address, struct route_result *res);

/* sysfilter.c: true: the recipients are to be routed. */
bool	 sysfilter_run(struct work *w);
/* <rd> with what the system filter did to the header. */
const struct route_delivery *sysfilter_headers(struct work *w, const struct route_delivery *rd);

/* Messages wait although no router is idle: all wait for DNS. */
void	 routing_more(struct vq *vq);
/* An environment for expansions about <m> (and <d>, may be NULL); lives in <a>. */
struct vq_env {
	struct exim_env	 env;
	struct exim_globals g;
	struct exim_session session;
	struct exim_message msg;
	struct exim_address addr;
	struct exim_acl_state acl;
	struct exim_vars *acl_c, *acl_m;
	struct arena	*arena;
	struct msg	*of;
	size_t		 want_body;	/* bytes of the body that are read together with the header */
	struct sv	 text;		/* what was read of the content, from its start */
};
/* One about no message: what the configuration and the machine say.  Close it, and free its arena. */
void	 env_bare(struct vq_env *e, struct vq *vq);
void	 env_open(struct vq_env *e, struct vq *vq, struct msg *m);
void	 env_delivery(struct vq_env *e, const struct dlv *d);
void	 env_close(struct vq_env *e);
/* The message's header block in <e>'s arena and indexed; false if it cannot be read. */
bool	 env_headers(struct vq_env *e, struct msg *m);

/* ---- local.c, remote.c ---- */

int	 local_init(struct vq *vq, struct err *err);
/* Fill what the store needs of <d>; 0, or -1 with what became of it told. */
int	 local_prepare(struct vq *vq, struct vq_env *e, struct dlv *d, struct err *err);
void	 local_add(struct vq *vq, struct dlv *d);
void	 forget_segment(struct vq *vq, struct seg *s);	/* takes <s>->copied over */

/* job.c: deliveries that vlocald's children do as users. */
int	 jobs_init(struct vq *vq, struct err *err);
/* How many are under way. */
unsigned jobs_busy(const struct vq *vq);
/* Takes all such deliveries of a message (a list) and makes batches of them. */
void	 jobs_add(struct vq *vq, struct dlv *list);

/* children.c: the processes that do them. */
struct transport_job;
struct transport_result;
int	 children_init(struct vq *vq, struct err *err);
/*
 * Have the job <j> done, of which <frame> is the request and <fd> the content (-1: none).  0: *<r>, which points into *<reply>
 * and <a>; free that.  -1 and *<err>: it failed.  CHILDREN_AWAY and *<err>: nothing was done, vlocald cannot be asked.
 */
#define CHILDREN_AWAY	(-2)
int	 children_do(struct vq *vq, const struct transport_job *j, const struct sb *frame, int fd, struct arena *a,
	     struct ipc_msg *reply, struct transport_result *r, struct err *err);

/* look.c: stat and readfile of exim/env.h, for files that are closed to us, too. */
int	 look_stat(void *arg, const char *path, bool follow, struct stat *st);
int	 look_readfile(void *arg, const char *path, size_t max, struct arena *a, struct sv *out, struct stat *st);

/* full.c: SPOOL_IPC_FULL.  0: it will be answered; -1 and *<err>. */
int	 full_ask(struct vq *vq, struct ipc_peer *p, const struct ipc_msg *m, struct err *err);

/* procmail.c: what a user's rules asked for besides what they did. */
struct transport_list;
struct handing {
	struct vq	*vq;
	struct dlv	*d;
	struct sv	 account;
	struct sv	 header;	/* as the transport made it, CRLF, with its empty line */
	struct sv	 original;	/* as it came */
	uint64_t	 body_off, body_len;	/* in the content */
	int		 fd;
	int		 changed;	/* what the rules made of it, where that is long; or -1 */
};
/* New messages are in queue/; *<stores> is a list of deliveries into the store that are still to be done, often one. */
int	 procmail_wishes(struct handing *h, const struct transport_list *actions, struct dlv **stores, struct err *err);

/* gate.c: how many may do something at once. */
struct gate;
/* Wait until fewer than <limit> are inside <name>; NULL: the process ends.  gate_is_full: it would have to wait. */
struct gate *gate_enter(struct vq *vq, const char *name, int64_t limit);
bool	 gate_is_full(struct vq *vq, const char *name, int64_t limit);
bool	 gate_is_wanted(const struct gate *g);	/* somebody waits for it */
void	 gate_leave(struct vq *vq, struct gate **gp);

int	 remote_init(struct vq *vq, struct err *err);
/* Takes all remote deliveries of <m> (a list) and groups them by destination. */
void	 remote_add(struct vq *vq, struct msg *m, struct dlv *list);

/* transport.c: the options of an smtp transport, for one host or one message. */
struct smtp_opts {
	struct arena	*arena;
	struct deliver_opts o;
	int64_t		 max_messages;
	int64_t		 max_rcpt;
};
int	 smtp_opts_open(struct smtp_opts *so, struct vq *vq, struct vq_env *e, const struct exim_transport *t,
	     const struct deliver_host *host, struct deliver_error *err);
void	 smtp_opts_close(struct smtp_opts *so);
/* The hosts of a delivery, from the router or the transport, with their ports; <a> holds them.  -1: there are none now. */
int	 smtp_hosts(struct vq *vq, struct vq_env *e, const struct dlv *d, struct arena *a, struct deliver_hosts *hosts,
	     struct err *err);
/* What transport_filter makes of <dm>, if there is one, in *<out> (caller closes it), and <dm> changed to that. */
int	 smtp_filter(struct vq *vq, struct vq_env *e, const struct dlv *d, struct deliver_message *dm, FILE **out, struct err *err);
/* Do options about the message look at the connection?  Then smtp_message() and smtp_filter() are to be done again on it. */
bool	 smtp_names_connection(const struct dlv *d);
/* Fill <dm> (source, header, flags, sender) for <d>; what it needs lives in <e>'s arena.  -1: PERM (too big) or TEMP. */
int	 smtp_message(struct vq *vq, struct vq_env *e, const struct dlv *d, struct deliver_message *dm, struct err *err);
int64_t	 smtp_int(struct vq_env *e, const struct exim_value *v, int64_t dflt);
/* Do router or transport of <d> remove fields? */
bool	 header_wants_removal(const struct dlv *d);
/* The header as <d> gets it, with its empty line; *<body_start> is where the body begins in the content. */
int	 header_edit(struct vq_env *e, const struct dlv *d, struct sb *out, uint64_t *body_start, struct err *err);

/* ---- retry.c: when to try again ---- */

struct retry_failure {
	struct sv	 key;		/* host name, or empty */
	struct sv	 domain, local_part;
	struct sv	 sender;
	enum exim_retry_error what;
	int		 code;
	bool		 host;
	char		 kind;		/* 'A', 'M' */
};
/* Next try of recipient <r>, or 0 when the rules say that it fails for good now. */
int64_t	 retry_next(struct vq *vq, struct exim_env *env, const struct retry_failure *f, int64_t first_failed, int64_t now);
/* Hints of hosts. */
struct host_hint {
	int64_t		 first_failed, last_try, next_try;
	bool		 expired;	/* past its last cutoff */
};
bool	 retry_host_get(struct vq *vq, struct sv key, struct host_hint *h);
/* Returns the host's next try, or 0 when its last cutoff has passed. */
int64_t	 retry_host_failed(struct vq *vq, struct exim_env *env, struct sv key, const struct retry_failure *f);
void	 retry_host_ok(struct vq *vq, struct sv key);

/* ---- report.c ---- */

/* Reports about the failures (successes) of <m>; those told (or not to be told) are marked reported.  -1: try again later. */
int	 report_failures(struct msg *m, struct err *err);
void	 report_successes(struct msg *m);
void	 report_delays(struct msg *m);
/* A message of our own about <m> to <to>: what a router has to say to somebody. */
void	 report_mail(struct msg *m, struct sv to, struct sv subject, struct sv body);
/* freeze_tell: somebody learns that <m> was frozen just now. */
void	 report_frozen(struct msg *m);

/* ---- keep.c: files that are read again only when they changed ---- */

struct exim_filter;
struct kept_file {
	struct sv	 text;
	bool		 plain;		/* nothing in it is to be expanded */
	struct exim_filter *filter;	/* of a filter; NULL: it is wrong, and <why> */
	const char	*why;
};
/* <filter>: flags of exim_filter_parse(), 0: it is no filter; <max> bytes.  NULL: *<err>.  Close it; until then it stays as it is. */
const struct kept_file *kept_open(struct vq *vq, const char *path, size_t max, unsigned filter, struct err *err);
void	 kept_close(const struct kept_file **fp);

/* ---- control.c ---- */
void	 control_message(struct vq *vq, struct ipc_peer *p, const struct ipc_msg *m, int fd);

/* ---- mainlog.c ---- */
void	 vlog(struct vq *vq, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void	 log_delivered(const struct dlv *d, const char *tail);
void	 log_not_delivered(const struct dlv *d, const char *mark, const struct err *err, const char *tail);
void	 log_address(const struct msg *m, const char *mark, struct sv address, uint32_t rcpt, const char *router,
	     const struct err *err, const char *how);
/* " H=NAME [ADDRESS]" and what more is known of a connection (may be NULL), in <a>. */
const char *log_host_tail(struct vq *vq, struct arena *a, const struct deliver_host *h, const struct deliver_conn *c, const char *confirmation);
void	 log_completed(const struct msg *m);
void	 log_injected(const struct vq *vq, const struct spool_envelope *e);

/* ---- the process ---- */

struct forget {				/* a queue file or segment that is gone */
	uint64_t	 origin;
	bool		 local;			/* there may be delivery ids */
	char		 id[SPOOL_ID_SIZE];	/* "": the whole segment but <keep> */
	struct sv	*keep;
	size_t		 nkeep;
};

struct vq {
	struct daemon	*d;
	const struct box *box;
	struct exim_conf *conf;
	char		*intake, *queue_dir;
	struct ipc_server *server;
	struct ipc_client *local;	/* vlocald's relay */
	struct children	*children;
	struct exim_caches *caches;
	int		(*readfile)(void *arg, const char *path, size_t max, struct arena *a, struct sv *out, struct stat *st);
	struct exim_world world;
	struct os_watch	*watch;		/* of etc/ */
	struct exim_globals g;
	struct route_ops route_ops;
	struct hints	*hints;
	struct hash	*hosts;		/* struct host_hint by key */
	struct hash	*dests;		/* struct dest by key */
	struct hash	*reports;	/* parent id to list of what was reported */
	struct hash	*qents;
	struct order	*order;		/* the same by id, to be walked */
	struct hash	*by_id;		/* struct msg under way */
	struct hash	*queues;	/* struct named_queue by name */
	char		 run_from[SPOOL_ID_SIZE];	/* where the walk for what is due goes on */
	bool		 overloaded;
	uint64_t	 own_origin;	/* of messages made here */
	struct msg	*msgs;		/* all under way */
	struct seg	*segs;
	struct seg	*dirty;
	struct msg	*route_head, **route_last;
	struct msg	*finish_head, **finish_last;	/* attempts that end in reports or in queue/ */
	struct event	*event_head, **event_last;
	struct msg	*later;		/* of these: the disk refused them just now */
	struct fiber_waiters route_wait, finish_wait, pump_wait, queue_wait, flush_wait, local_wait, forget_wait, event_wait;
	unsigned	 unread;	/* queue files that could not be read yet */
	unsigned	 making;	/* queue files being made */
	int64_t		 looked;	/* fiber_now() of the last look for files of others in queue/ */
	bool		 uses_headers;	/* routers or transports look at them */
	bool		 loaded;	/* queue and segments were read */
	bool		 draining;
	bool		 flush_needed;
	bool		 queue_starved;	/* more was due than may be under way */
	bool		 queue_limited;	/* for queue_run_max */
	unsigned	 active, active_queue;
	unsigned	 connections;	/* of remote deliveries */
	unsigned	 sending;	/* transactions under way with other hosts */
	unsigned	 jobs;		/* transactions that wait */
	unsigned	 routers;
	struct deliver_tls *tls;
	/* local batches */
	struct dlv	*local_head, **local_last;
	size_t		 local_n;
	struct jobs	*jobs_of_users;
	struct fiber_waiters slow_wait;
	unsigned	 slow;		/* of slow_run, under way */
	struct hash	*kept;		/* files, by path */
	struct hash	*gates;		/* struct gate by what it limits */
	struct dlv	*barrier_head, **barrier_last;
	uint64_t	 barrier_done, barrier_instance;
	bool		 local_greeted;	/* store_forget_others was said */
	VEC(struct forget) forgets;	/* delivery ids to be dropped */
	/* figures */
	uint64_t	 n_read, n_local, n_sent, n_failed, n_deferred, n_bounced, n_kept_read;
};

int64_t	 now_s(void);			/* seconds since 1970 */

#endif
