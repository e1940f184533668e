/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The skeleton of every daemon: options, box, log, listening sockets, worker
 * processes, privileges, signals.  A daemon is a table and one call:
 *
 *	int main(int argc, char **argv) { return (daemon_main(&def, argc, argv)); }
 *
 * Options of all: -b BOX (or as box_find says), -n (check the configuration and
 * exit), -v (log to stderr too).  The log is var/log/vpost.log, Exim's logs are
 * var/log/mainlog, rejectlog and paniclog; all are open when a role starts, and
 * flushed at the end of each turn.  A daemon stays in the foreground; `vpost run`
 * supervises.  It writes var/run/NAME.pid, keeps an exclusive lock on it, and
 * refuses to start twice.
 *
 * The parent opens the sockets, forks the workers of each role, and starts a worker
 * anew that died (at most five times in ten seconds, then every two seconds).  It
 * runs no session itself.  A worker whose parent died ends at once.  HUP: the parent reads the configuration anew; if it is
 * good, starts new workers and tells the old ones to take no new sessions and to end
 * with their last one.  TERM: workers stop taking sessions, finish what they do within
 * ten seconds, and end.  USR1: logs are opened again.
 */
#ifndef VPOST_DAEMON_DAEMON_H
#define VPOST_DAEMON_DAEMON_H

#include <stdbool.h>

#include "base/err.h"
#include "box/box.h"

struct daemon;

struct daemon_listener {
	int		 fd;
	const char	*service;	/* name of the setting without _listen: "smtp", "imaps" */
	const char	*text;		/* "127.0.0.1:2525" */
};

struct daemon_role {
	const char	*name;		/* in process titles and logs: "worker", "login" */
	/* How many processes; NULL: one. */
	int		(*count)(const struct box *b);
	/*
	 * In the worker, after fork, privilege drop and fiber_init(): set everything up (spawn fibers).
	 * Then the skeleton runs the loop.  -1: the worker ends with the error logged.
	 */
	int		(*start)(struct daemon *d, struct err *err);
	/* Called in a fiber.  No new sessions from now on; end by daemon_worker_done() when the last is over.  NULL: the loop is stopped at once. */
	void		(*drain)(struct daemon *d);
	/*
	 * At most one process of this role at a time (the single writer of something): at HUP the old one
	 * is told to end within ten seconds, and is gone before the new one starts.
	 */
	bool		 exclusive;
	/* USR1 came; the logs are open anew.  NULL: that was all. */
	void		(*told)(struct daemon *d);
	/* Optional sandbox promise applied after start (os/sandbox.h); NULL: none. */
	int		(*sandbox)(struct daemon *d, struct err *err);
};

/* How often, and after how many seconds each time, a port is asked for again that another process still has. */
struct daemon_patience {
	int64_t		 times, seconds;
};

struct daemon_def {
	const char	*name;			/* "vsmtpd" */
	const char *const *listens;		/* settings whose sockets are opened: "smtp", ...; NULL ends */
	const struct daemon_role *const *roles;	/* NULL ends */
	/* Read the daemon's own configuration (exim.conf ...) in the parent; called at start and at HUP.  The value is daemon_conf(). */
	int		(*load)(const struct box *b, void **conf, void (*report)(void *arg, const struct err *e), void *arg,
			    struct err *err);
	void		(*unload)(void *conf);
	/* What that configuration says of the logs; called when they are open, and at HUP.  May be NULL. */
	int		(*logs)(const struct box *b, const void *conf, struct err *err);
	/* A further file for the parent's pid, which goes when it ends; into <path>.  False: none is wanted.  May be NULL. */
	bool		(*pid_file)(const void *conf, char *path, size_t size);
	/* USR1 came to the parent; <workers> processes run.  May be NULL. */
	void		(*told)(const void *conf, size_t workers);
	/* What that configuration says of the sockets: the listen settings of <b> may change; *<p> is zero.  NULL: nothing. */
	void		(*sockets)(struct box *b, const void *conf, struct daemon_patience *p);
	/* Keeps root (vauthd for PAM, vlocald as spawner): the role drops by itself. */
	bool		 keep_root;
	/*
	 * A UNIX socketpair between each worker of role [0] and each of role [1], made before fork,
	 * when both roles are present and this is set (login to session).
	 */
	bool		 pair_roles;
};

int	 daemon_main(const struct daemon_def *def, int argc, char **argv);

const struct box *daemon_box(const struct daemon *d);
void	*daemon_conf(const struct daemon *d);
/* The listeners of this daemon; at their end fd is -1. */
const struct daemon_listener *daemon_listeners(const struct daemon *d);
/* Index of this worker within its role, and the generation (1, then +1 at each HUP). */
int	 daemon_worker(const struct daemon *d);
int	 daemon_generation(const struct daemon *d);
/* With pair_roles: our end of the pair to worker <i> of the other role, or -1. */
int	 daemon_pair(const struct daemon *d, int i);
bool	 daemon_draining(const struct daemon *d);
/* The whole daemon ends (TERM), not only this generation: sessions are to be closed, not waited for. */
bool	 daemon_ending(const struct daemon *d);
/*
 * First thing in a child that a worker forks for longer than an exec: lets go of the listeners and of
 * the daemon's lock, and has the child killed when the worker dies.  Then fiber_reinit, if it uses fibers.
 */
void	 daemon_in_child(struct daemon *d);
void	 daemon_worker_done(struct daemon *d);
/* A data pointer of the worker. */
void	 daemon_set_data(struct daemon *d, void *data);
void	*daemon_data(const struct daemon *d);

#endif
