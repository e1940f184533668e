/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of a daemon, shared by its parent (parent.c) and its workers (worker.c). */
#ifndef VPOST_DAEMON_DAEMON_INT_H
#define VPOST_DAEMON_DAEMON_INT_H

#include <sys/types.h>

#include <stdint.h>

#include "base/vec.h"
#include "daemon/daemon.h"

#define DRAIN_MS	10000		/* TERM: what is going on may go on for so long */
#define DEATHS_MAX	5		/* in DEATHS_MS; beyond, a pause before each start */
#define DEATHS_MS	10000
#define DEATHS_PAUSE_MS	2000

/* What the parent tells a worker. */
#define SIG_DRAIN	SIGHUP		/* end with the last session */
#define SIG_END		SIGTERM		/* end within DRAIN_MS */
#define SIG_REOPEN	SIGUSR1

struct worker {
	pid_t		 pid;		/* 0: not running */
	size_t		 role;
	int		 index;
	int		 generation;
	bool		 ready;
	bool		 ending;	/* was told to end */
	int64_t		 start_at;	/* when not running: not before */
};

struct daemon {
	const struct daemon_def *def;
	struct box	*box;
	void		*conf;
	struct daemon_patience patience;
	VEC(struct daemon_listener) listeners;	/* with the end mark */
	bool		 verbose;
	int		 lockfd;
	int		 life[2];	/* the parent keeps [1]; its end tells the workers */
	int		 status[2];	/* workers write struct status_msg */
	int		 generation;
	/* parent */
	VEC(struct worker) workers;
	int64_t		 deaths[DEATHS_MAX];
	size_t		 ndeaths;
	char		*pidfile;	/* heap, NULL: none but the lock's */
	bool		 ending;
	bool		 told_ready;
	bool		 supervised;
	/* worker */
	const struct daemon_role *role;
	int		 index;
	VEC(int)	 pairs;
	bool		 draining, deadline_set;
	void		*data;
};

struct status_msg {
	int32_t		 pid;
};

/* listen.c: open what the box asks for, keeping sockets of <old> (may be NULL) that are asked for still. */
int	 daemon_listen(struct daemon *d, const struct box *b, struct err *err);
void	 daemon_listen_close(struct daemon *d);

/* parent.c: runs until TERM; the exit status. */
int	 daemon_parent(struct daemon *d);

/* worker.c: runs a worker in the forked process; never returns. */
_Noreturn void daemon_worker_main(struct daemon *d, size_t role, int index);

/* Levels, syslog and further logs, as the box's settings say; at start and after a reload. */
int	 daemon_logs(const struct daemon *d, struct err *err);

/* Load box and configuration anew; the old ones stay where it fails. */
int	 daemon_load(struct daemon *d, const char *root, struct box **box, void **conf);

#endif
