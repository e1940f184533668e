/* SPDX-License-Identifier: BSD-2-Clause */
/* Destinations and their jobs, for remote.c, which makes them, and remote_send.c, which does them. */
#ifndef VPOST_VQUEUED_REMOTE_INT_H
#define VPOST_VQUEUED_REMOTE_INT_H

#include "vqueued_int.h"

/* One transaction for a message.  Whoever takes it out of its line frees it with <v>. */
struct remote_job {
	struct remote_job *next;
	struct dest	*dest;		/* while it waits for others of its message */
	struct msg	*m;
	struct dlv	**v;
	size_t		 n;
};

/* Lives while it has workers, jobs or holders; all of it belongs to the one thread of the process. */
struct dest {
	struct vq	*vq;
	char		*key;
	const struct exim_transport *tr;
	struct arena	*arena;
	struct deliver_hosts hosts;
	struct remote_job	*head, **last;
	size_t		 njobs;
	size_t		 held;		/* by jobs that are put together, or wait for others of their messages */
	unsigned	 workers, idle;
	int64_t		 last_ok;	/* fiber_now() when it last took a message */
	struct fiber_waiters wait;
};

/* A fiber: a worker of the destination <arg> (struct dest), from its first job until nothing has come for a while. */
void	 remote_worker(void *arg);

/* The recipients of <j> are deferred for a minute: the process ends, or has no room. */
void	 remote_put_off(struct remote_job *j);
/* A job of <m> is done: the next of those that waited for it (remote_max_parallel) gets into its line. */
void	 remote_next(struct msg *m);
/* One holder less; <d> is freed where it was the last that had anything to do with it. */
void	 remote_dest_release(struct dest *d);
/* The same where a worker ended. */
void	 remote_dest_unused(struct dest *d);

#endif
