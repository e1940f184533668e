/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the modes share that only look: -be, -bt, -bv, -brw, -brt, -bP, -bV, -bh.  A configuration is loaded
 * as the caller's own rights allow (sendmail has no others), and expansions see the real world
 * through calls that may block, for there is nobody else in the process.
 */
#ifndef VPOST_TOOLS_SENDMAIL_TESTING_H
#define VPOST_TOOLS_SENDMAIL_TESTING_H

#include <stdio.h>

#include "exim/conf.h"
#include "exim/env.h"
#include "route/route.h"
#include "sendmail_int.h"

struct transport_delivery;

struct testing {
	const struct options *o;
	const struct box *box;		/* NULL: none, -C names the configuration */
	const char	*path;		/* of the configuration */
	struct exim_conf *conf;
	struct arena	*arena;		/* of one question */
	struct arena	*facts;		/* of what holds for all of them */
	struct sv	 last_dn;	/* $ldap_dn of the expansions before */
	const char	*login;		/* the caller */
	bool		 nobody;	/* who is in no password file, and unknown_login is unset */
	bool		 admin;		/* may see what "hide" hides, and work on the queue */
	struct exim_world world;
	struct route_ops ops;
	struct exim_globals g;
	struct exim_session session;
	struct exim_message msg;
	struct exim_acl_state acl;
	struct exim_env	 env;
};

/* The next line of standard input behind a prompt, continued ones joined; false at its end. */
bool	 testing_ask(struct testing *t, struct sb *line);
/* <text> with the time in front, to standard error, as a log that is a terminal. */
void	 testing_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "[PID] " where log lines have it. */
void	 testing_mark(FILE *out);
/* Is it a box's own configuration, which is its user's? */
bool	 testing_of_box(const struct testing *t);
/* "cwd=DIRECTORY N args: ...", as the log has it of how we were called. */
void	 testing_arguments(const struct testing *t, struct sb *out);
/* Forget what the last question left. */
void	 testing_reset(struct testing *t);

/* world.c */
void	 testing_world(struct testing *t);
/* session_ops.full: this process looks at the mailbox itself. */
bool	 testing_full(void *arg, struct sv address, const struct transport_delivery *td);

/* hints.c: the process's hints on disk, opened when first asked for; NULL where there are none.  The world's ask them. */
struct hints;
struct hints *testing_hints(struct testing *t);
void	 testing_hints_of(struct testing *t);
void	 testing_hints_close(void);

/* deliver_env.c: -Mset: a message of the queue is what expansions see; 1 if there is none. */
int	 deliver_load(struct testing *t, const char *id);
/* test_expand.c: -be, -bem */
int	 test_expand(struct testing *t);
/* test_address.c: -bt, -bv, -bvs */
int	 test_address(struct testing *t);
/* test_rewrite.c: -brw; test_retry.c: -brt */
int	 test_rewrite(struct testing *t);
int	 test_retry(struct testing *t);
/* test_filter.c: -bf, -bF */
int	 test_filter(struct testing *t);
/* test_smtp.c: -bh, -bhc */
int	 test_smtp(struct testing *t);
/* print_conf.c: -bP */
int	 print_conf(struct testing *t);
/* deliver_sender.c: is the real group of this process, or one of its others, in <v>? */
bool	 caller_in_group(int64_t gid);
bool	 caller_in_groups(const struct exim_value *v);
/* deliver_queue.c: messages and queue in this one process */
int	 deliver_main(struct testing *t);
/* deliver_log.c: a configuration that cannot be loaded: <text> to the panic log that its text names, or to the main log too. */
void	 dlog_config_error(const char *conf, const char *text, bool main_too);
/* version.c: the banner of -bV */
void	 version_print(FILE *out);

/* <body> of a field of addresses, with <domain> behind each bare local part; itself where there is none. */
struct sv qualified_body(struct arena *a, struct sv body, struct sv domain);

#endif
