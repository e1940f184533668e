/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local transports: appendfile, pipe, autoreply and lmtp (chapters 23 to 29 of Exim's
 * manual).  Two halves: transport_prepare expands the options of a transport for one delivery
 * (or a batch) into a struct transport_job, with the configuration at hand and the daemon's rights;
 * transport_execute does the job, with nothing but the job and the content's descriptor, as the user.  Between them
 * lies a process boundary, or in a program of one process a fork.
 */
#ifndef VPOST_TRANSPORT_TRANSPORT_H
#define VPOST_TRANSPORT_TRANSPORT_H

#include <stdio.h>

#include "base/arena.h"
#include "exim/conf.h"
#include "exim/env.h"
#include "filter/action.h"
#include "route/route.h"
#include "transport/job.h"

/* Further recipients of one delivery. */
struct transport_also {
	const struct sv	*v;
	size_t		 n;
};

/* What is delivered.  <env> has the message (headers too, with their block's end known) and the address of rd[0] set. */
struct transport_delivery {
	struct exim_env	*env;
	const struct exim_transport *t;
	const struct route_delivery *const *rd;
	size_t		 n;		/* more than one: a batch */
	const struct transport_also *also;	/* by delivery: recipients it is made for besides; NULL: none */
	const struct filter_mail *mail;	/* autoreply: what a filter asked for; NULL: the transport's options */
	struct sv	 id;
	struct sv	 return_path;	/* before the transport's own return_path option */
	bool		 bounce;	/* the message has the null sender */
	bool		 quota_only;	/* appendfile: there is no message, the job asks whether <size> more would fit */
	uint64_t	 size, body_off, body_len;	/* of the content; the body's place in its descriptor */
	int64_t		 now;
	int64_t		 uid, gid;	/* where neither transport nor router names a user; -1: none */
	const char	*hostname;
	struct arena	*arena;		/* results */
};

/* transport_result.panic: the text is also a line of its own in both logs. */
#define TRANSPORT_PANIC_LINE	2
/* The same, and retry rules count: without one the delivery fails. */
#define TRANSPORT_PANIC_FAILS	3
/* No line of its own, and it stays whatever the retry rules say. */
#define TRANSPORT_PANIC_STAYS	4

/* May <b> go in one batch with <a>?  <t> is their transport; batch_max is the caller's to count. */
bool	 transport_same_batch(const struct exim_transport *t, struct exim_env *env_a, const struct route_delivery *a,
	     struct exim_env *env_b, const struct route_delivery *b);
int64_t	 transport_batch_max(const struct exim_transport *t);

/* 0 and *<j>; -1 and *<r>: what became of it already. */
int	 transport_prepare(const struct transport_delivery *d, struct transport_job *j, struct transport_result *r);

/* All settings of headers_add or headers_remove, expanded, with <sep> between them.  -1: TEMP. */
int	 transport_multi(struct exim_env *env, const struct exim_value *v, char sep, struct sv *out, struct err *err);
/*
 * The header as a transport sends it, with its empty line (CRLF): fields removed, rewritten and added by
 * router and transport, Return-path, Envelope-to and Delivery-date on top.  Appended to <out>; -1 and *<err> (TEMP).
 */
int	 transport_header(const struct transport_delivery *d, struct sb *out, struct err *err);

/* The autoreply's message (CRLF), its recipients and whether there are any, from <r> of the first phase. */
struct transport_reply {
	struct sv	*rcpts;
	size_t		 nrcpts;
	struct sv	 text;		/* header, empty line, body */
	bool		 dropped;	/* there would be recipients, but for never_mail */
	struct sv	 bad;		/* a recipient that is none, and why; empty: there is none such */
};
int	 transport_reply_compose(const struct transport_delivery *d, const struct transport_job *j,
	     const struct transport_result *r, int content_fd, struct transport_reply *reply, struct err *err);
/* The text of quota_warn_message, the same way. */
int	 transport_quota_warning(const struct transport_delivery *d, struct transport_reply *reply, struct err *err);

/* Command lines as pipe, transport_filter and queryprogram split them (29.3).  <expand>: each word by itself. */
int	 transport_argv(const struct transport_delivery *d, struct sv command, bool expand, struct sv address_pipe, bool force,
	     const char *what, struct transport_list *out, struct transport_result *r);

/*
 * Do it, as whoever the process is; the current directory, umask and signals are changed.  <fd>: the content's, or -1.
 * *<r>'s texts live in <a>.
 */
void	 transport_execute(const struct transport_job *j, int fd, struct arena *a, struct transport_result *r);

/* <fn> is called when a job that otherwise only computes is about to wait for something. */
void	 transport_on_wait(void (*fn)(void));

/*
 * The same in a child of its own that becomes j->uid and j->gid first (where the caller may); waits for it, kills it after
 * <timeout_s> (0: never).
 */
void	 transport_run(const struct transport_job *j, int fd, int timeout_s, struct arena *a, struct transport_result *r);

/*
 * The message (job's header, then its range of <fd>) through job's filter into <out>, in a child that becomes job's user; for
 * transports that send by themselves.  -1 and *<r>.
 */
int	 transport_filter(const struct transport_job *j, int fd, FILE *out, struct arena *a, struct transport_result *r);

/*
 * Not a delivery: what stat(2) says of <path>, as user <uid>; with <max> > 0 also its text of at most so many bytes, with -1 of
 * what lstat(2) says.  The answer is 0, or -1 with errno; then <st> is all 0 where it could not be opened.
 */
struct stat;
void	 transport_look_job(struct transport_job *j, int64_t uid, int64_t gid, struct sv path, int64_t max);
int	 transport_look_answer(const struct transport_result *r, int64_t max, struct arena *a, struct sv *out, struct stat *st);

/* Become the job's user for good. */
int	 transport_become(const struct transport_job *j, struct err *err);

#endif
