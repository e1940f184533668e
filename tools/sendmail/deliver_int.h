/* SPDX-License-Identifier: BSD-2-Clause */
/* One attempt to deliver a message, as deliver_run.c and its helpers share it. */
#ifndef VPOST_TOOLS_SENDMAIL_DELIVER_INT_H
#define VPOST_TOOLS_SENDMAIL_DELIVER_INT_H

#include "base/hash.h"
#include "deliver.h"

struct event {				/* a delivery or failure of routing */
	const struct route_delivery *rd;
	const struct route_failure *f;
	const struct route_addr *addr;
	struct sv	 top;
	unsigned	 depth, turn, seq;
	const struct sv	*also;		/* other recipients it is made for */
	size_t		 nalso;
	size_t		 rank;		/* of its domain in remote_sort_domains */
	bool		 taken;
};

struct late {
	struct event	 e;
	struct sv	 report, host, diagnostic;
	bool		 hidden;
};

struct once {				/* one_time: an address that becomes a recipient */
	struct sv	 addr, top, errors_to;
};

struct deferral {			/* for warnings */
	struct event	 e;
	struct sv	 text;		/* why, for people */
};

struct attempt {
	struct deliver	*d;
	struct dmsg	*m;
	VEC(struct event) ev;
	dfails		 failed;
	dfails		 done;		/* whose success is to be told */
	VEC(struct sv)	 open;		/* recipients of which something was deferred */
	VEC(struct once) once;		/* in place of whom they came from */
	VEC(struct late) late;		/* deferred, and no rule gives them more time */
	VEC(struct deferral) deferred;
	VEC(struct hash *) vars;
	struct event	**batch;	/* of the transport under way */
	size_t		 nbatch;
	int64_t		 began_us;	/* of the delivery under way */
	struct sv	 as;		/* the address that it was given to, where that is another one */
	struct sv	 path;		/* the return path that was used; p NULL: the router's or the sender */
	const char	*frozen_by;	/* " (delivery error message)"; NULL: not frozen now */
	bool		 filtered;	/* the system filter took the recipients' place */
};

/* deliver_wait.c */
/* True: told, and it stays. */
bool	 dwait_put_off(struct attempt *at, const struct drcpt *rc);
/* Deliveries over the network wait for a queue run: -odqs, queue_smtp_domains, control = queue, -qq; -ql for its time. */
void	 dwait_remote(struct attempt *at);
/*
 * Fill <order> (as <room>, for as many as there are events) with what is to be delivered, <local> or over the network: from the
 * last routed to the first, the latter by the place of their domain in remote_sort_domains.
 */
size_t	 dwait_order(struct attempt *at, bool local, struct event **order, struct event **room);

/* deliver_line.c */
bool	 dline_pfr(const struct route_delivery *rd);
/* How it is called: "|program", a file, ">address". */
void	 dline_put_pfr(struct sb *out, const struct route_delivery *rd);
struct sv dline_top(const struct route_addr *a);
void	 dline_address(struct attempt *at, struct sb *out, const struct route_addr *addr, const struct route_delivery *rd,
	     bool success);
void	 dline_where(struct attempt *at, struct sb *out, const struct route_delivery *rd, const struct exim_router *router);
void	 dline_ok(struct attempt *at, const struct event *e, bool also, const char *tail);
/* <mark> "**" or "=="; <defer>: with the number <sys> in brackets. */
void	 dline_bad(struct attempt *at, const struct event *e, const char *mark, bool defer, const char *tail, int64_t sys, struct sv text,
	     bool panic);

/* deliver_system.c: false: the message goes no further by itself. */
bool	 dsystem_filter(struct attempt *at);

/* deliver_run.c */
void	 dattempt_route(struct attempt *at, const struct drcpt *rc, unsigned turn);

/* deliver_end.c */
/* <f>: what is known of it besides the event. */
void	 dattempt_fail(struct attempt *at, const struct event *e, const struct dfail *f);
/*
 * What a delivery is noted by when it is done.  A child that is called as an address it came from has its transport's name behind
 * it: others that came of that may still wait.
 */
struct sv dattempt_key(const struct attempt *at, const struct route_delivery *rd, const struct route_addr *addr);
/* Nobody could be told of this failure: it is tried again. */
void	 dattempt_unsettle(struct attempt *at, const struct dfail *f);
/* <passed>: a host that tells of successes itself has it. */
void	 dattempt_succeed(struct attempt *at, const struct event *e, bool passed);
/* <retry>: it stays; else it fails when everything was tried. */
void	 dattempt_defer(struct attempt *at, const struct event *e, const struct dfail *f, bool retry);
/* Those whose time is over fail when everything was tried. */
void	 dattempt_time_over(struct attempt *at);
void	 dattempt_freeze(struct attempt *at, const char *by);

/* deliver_transport.c: all that was routed; <local>: those that stay here, which go first. */
void	 dattempt_deliver(struct attempt *at, bool local);

/* deliver_after.c */
void	 dattempt_reply(struct attempt *at, const struct transport_delivery *td, struct transport_job *j, struct transport_result *r,
	     int fd);
/* Something of <e>'s recipient was deferred: he stays, or what a list with one_time made of him. */
void	 dattempt_open(struct attempt *at, const struct event *e);
/* The latter become recipients: at the end of the attempt. */
void	 dattempt_once(struct attempt *at);
/*
 * event_action of <e>'s transport, or without one that of the configuration (<e> NULL: it is about the message).  <data>: what a server
 * said, or why; <h> (may be NULL): which.
 */
void	 dattempt_event(struct attempt *at, const struct event *e, const char *name, struct sv data, const struct deliver_host *h);
/* msg:fail:delivery, or msg:fail:internal of what no transport has seen; before the log tells it. */
void	 dattempt_event_fail(struct attempt *at, const struct event *e, struct sv text, const struct deliver_host *h);

/* deliver_tell.c: reports, warnings, what is left of the message. */
void	 dtell_failures(struct attempt *at);
void	 dtell_success(struct attempt *at);
void	 dtell_frozen(struct attempt *at);
void	 dtell_delay(struct attempt *at);

#endif
