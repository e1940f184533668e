/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What filters do: the one interface of actions and tracing for .forward, Exim
 * filters, procmail and Sieve.  An engine parses its file to a tree, runs the
 * tree, and hands each action to a table of callbacks.  Who supplies the table decides
 * what an action is: done at once, with an answer that the engine goes on by
 * (procmail), collected for the router and its transports (.forward, Exim filter), or
 * only written down (dry run).  Engines deliver nothing themselves.
 *
 * All texts are slices that live as long as the call; filter_plan copies what it keeps.
 */
#ifndef VPOST_FILTER_ACTION_H
#define VPOST_FILTER_ACTION_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/sv.h"
#include "base/vec.h"

struct sb;
struct exim_nums;		/* exim/env.h */

#define FILTER_ACTIONS_MAX	1000		/* of one run: a plan takes no more */

/* Where the rule stands that asked for it.  <file> NULL: no file did (a default). */
struct filter_pos {
	const char	*file;
	unsigned	 line;
};

enum filter_kind {
	FILTER_KEEP,		/* to where mail of this user goes without any filter: INBOX; procmail: DEFAULT */
	FILTER_STORE,		/* mailbox of the store: <user> (empty: the user himself), <folder> ("INBOX", "Work/Old") */
	FILTER_FORWARD,		/* to <to>: one address, or several with commas */
	FILTER_PIPE,		/* to the command <to> */
	FILTER_FILE,		/* append to the file <to> (mbox or what the transport makes of it) */
	FILTER_MAILDIR,		/* into the maildir <to> (ends in a slash); from an Exim filter or .forward: what directory_transport makes of it */
	FILTER_MH,		/* into the MH folder <to>, next number */
	FILTER_DIRECTORY,	/* a file of its own in the directory <to>, name <prefix> and something unique */
	FILTER_MAIL,		/* a new message: <mail> */
	FILTER_DISCARD,		/* gone, and that is a delivery (/dev/null, finish in an Exim filter, Sieve discard) */
	FILTER_FAIL,		/* refuse with <text> */
	FILTER_DEFER,		/* later, because of <text> */
	FILTER_FREEZE,		/* stays in the queue until an administrator looks: <text> */
	FILTER_HEADER_ADD,	/* <text>: "Name: body" */
	FILTER_HEADER_REMOVE,	/* all fields named <text> */
	FILTER_HEADER_CHARSET,	/* of $h_: <text> */
	FILTER_LOG,		/* <text> to the log file <to> (empty: the daemon's log) */
	FILTER_STOP		/* the filter ended here by its own word */
};

/* How an action ended. */
enum filter_answer {
	FILTER_OK,
	FILTER_TEMP,		/* not now; the engine may try something else or defer the message */
	FILTER_PERM		/* never */
};

/* mail and vacation of Exim's filter, vacation of Sieve: an autoreply. */
struct filter_mail {
	bool		 vacation;
	struct sv	 to, cc, bcc;		/* empty <to>: the sender (reply address) of the message */
	struct sv	 from, reply_to, subject;
	struct sv	 extra_headers;
	struct sv	 text;			/* body */
	struct sv	 file;			/* body from a file */
	bool		 expand;		/* the file's lines are expanded */
	bool		 return_message;	/* the message goes along */
	struct sv	 log;			/* file that notes what was sent */
	struct sv	 once;			/* database of those who had one; empty: always */
	bool		 once_repeat_set;
	int64_t		 once_repeat;		/* seconds after which one more may go */
	bool		 never_mail;		/* do all but send */
};

/* Flags of an action. */
#define FILTER_A_UNSEEN		0x001	/* a copy: the message is not thereby delivered (unseen; procmail c) */
#define FILTER_A_NOERROR	0x002	/* failure makes no bounce */
#define FILTER_A_MODE		0x004	/* <mode> is set */
#define FILTER_A_RETURN_PATH	0x008	/* <return_path> is set (errors_to) */
#define FILTER_A_RAW		0x010	/* write it as it is: no line end added (procmail r) */
#define FILTER_A_IGNORE_WRITE	0x020	/* a reader that closes early is no failure (procmail i) */
#define FILTER_A_WAIT		0x040	/* the exit status counts (procmail w, W) */
#define FILTER_A_QUIET		0x080	/* ... but is not complained of (procmail W) */
#define FILTER_A_SHELL		0x100	/* <to> is for <shell> <shell_flags>, else it is split into words */
#define FILTER_A_LOCK		0x200	/* hold the dot lock <lock> meanwhile; FILTER_FILE with <lock> empty: its own */
#define FILTER_A_HEAD		0x400	/* only the header (procmail h without b) */
#define FILTER_A_BODY		0x800	/* only the body */
#define FILTER_A_NO_FROM	0x1000	/* without the "From " line */
#define FILTER_A_EXPAND		0x2000	/* FILTER_PIPE of an Exim filter: each word is expanded when it runs, with <nums> */

struct filter_action {
	enum filter_kind kind;
	struct filter_pos pos;
	unsigned	 flags;		/* FILTER_A_... */
	struct sv	 to;
	struct sv	 user, folder;
	struct sv	 text;
	struct sv	 prefix;	/* FILTER_DIRECTORY: MSGPREFIX */
	struct sv	 return_path;	/* "" is <> */
	struct sv	 lock;
	mode_t		 mode;
	const struct filter_mail *mail;
	/* The message as the filter changed it, "From " line first if it has one; p NULL: as received. */
	struct sv	 content;
	const char	*shell, *shell_flags;
	const char	*const *env;	/* of programs: "NAME=value", NULL at the end; NULL: the supplier's */
	const char	*const *argv;	/* FILTER_PIPE without a shell: words already split; NULL: split <to> */
	const char	*cwd;		/* of programs and relative paths; NULL: the home */
	mode_t		 umask;		/* of files it makes; 0: the supplier's */
	int64_t		 timeout;	/* seconds; 0: the supplier's */
	const struct exim_nums *nums;	/* FILTER_A_EXPAND: $1 ... as they were; may be NULL */
	struct sv	 thisaddress;	/* and $thisaddress */
};

/* A program whose output or exit status the filter itself needs (conditions, back quotes, procmail f). */
struct filter_run {
	struct filter_pos pos;
	const char	*const *argv;	/* NULL: <command> by <shell> <shell_flags> */
	struct sv	 command;
	const char	*shell, *shell_flags;
	const char	*const *env;
	const char	*cwd;
	struct sv	 input;
	int64_t		 timeout;	/* seconds; 0: the supplier's limit */
	size_t		 max;		/* bytes of output kept */
	bool		 want_output;	/* else it goes to the log */
	mode_t		 umask;
};

struct filter_ran {
	int		 status;	/* exit status; -signal; 127: could not be started */
	bool		 timed_out;
	bool		 truncated;	/* more output than <max> */
	bool		 write_failed;	/* it did not read all of the input */
	struct sv	 output;	/* in the arena given */
};

/* The table.  NULL members: act refuses (PERM), run answers TEMP, lock is granted, trace and log are silent. */
struct filter_ops {
	void		*arg;
	enum filter_answer (*act)(void *arg, const struct filter_action *a, struct err *err);
	enum filter_answer (*run)(void *arg, const struct filter_run *r, struct arena *a, struct filter_ran *out,
			    struct err *err);
	/* Take (<on>) or give up a dot lock that spans several steps (procmail's local and global lock files). */
	enum filter_answer (*lock)(void *arg, const char *path, bool on, const struct filter_pos *pos, struct err *err);
	/* A decision: "condition ^Subject:.*x: no match".  One line, no newline. */
	void		(*trace)(void *arg, const struct filter_pos *pos, const char *text);
	/* Text for the user's log (LOGFILE, LOG=), as it is. */
	void		(*log)(void *arg, const struct filter_pos *pos, struct sv text);
	bool		 dry;		/* nothing may change outside: no locks, no files, no programs with effects */
};

/* Calls through the table that know its NULLs. */
enum filter_answer filter_act(const struct filter_ops *ops, const struct filter_action *a, struct err *err);
enum filter_answer filter_run(const struct filter_ops *ops, const struct filter_run *r, struct arena *a,
	     struct filter_ran *out, struct err *err);
enum filter_answer filter_lock(const struct filter_ops *ops, const char *path, bool on, const struct filter_pos *pos,
	     struct err *err);
bool	 filter_tracing(const struct filter_ops *ops);		/* is it worth making a text? */
void	 filter_trace(const struct filter_ops *ops, const struct filter_pos *pos, const char *fmt, ...)
	     __attribute__((format(printf, 3, 4)));
void	 filter_log(const struct filter_ops *ops, const struct filter_pos *pos, struct sv text);

/* "store in mailbox", "pipe" ...: for logs and tools. */
const char *filter_kind_name(enum filter_kind k);
/* Does an action of that kind deliver (so that, without FILTER_A_UNSEEN, the message is taken care of)? */
bool	 filter_delivers(enum filter_kind k);
/* One line that says what an action does, without the rule's place. */
void	 filter_action_text(const struct filter_action *a, struct sb *out);

/* Actions collected, in order: what a router's filter gives to the transports. */
struct filter_plan {
	struct arena	*arena;
	VEC(struct filter_action) v;
	bool		 delivered;	/* one delivered and was not marked unseen */
};
void	 filter_plan_init(struct filter_plan *p, struct arena *a);
void	 filter_plan_free(struct filter_plan *p);		/* the array; texts go with the arena */
/* Fill <ops> so that actions are copied into <p>; programs are not run.  Set trace and log afterwards if wanted. */
void	 filter_plan_ops(struct filter_plan *p, struct filter_ops *ops);

/* Fill <ops> so that actions and decisions are written to <out>, a line each ("FILE:LINE: what"); programs answer status 0. */
void	 filter_dry_ops(FILE *out, struct filter_ops *ops);

#endif
