/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The language of procmail (procmailrc(5), procmailsc(5)): rc files are parsed to a tree, kept, and run
 * for one message at a time under the recipient's uid.
 *
 * Nothing is forked unless a recipe starts a program.  A run changes the working directory and the umask of the
 * process, so it belongs into a child of the user or a program, not into a daemon with other work;
 * between runs in one process nothing but the parsed files is kept.
 */
#ifndef VPOST_FILTER_PROCMAIL_H
#define VPOST_FILTER_PROCMAIL_H

#include <sys/types.h>

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/sv.h"
#include "filter/action.h"

#define PROCMAIL_VERSION_TEXT	"3.23pre"	/* of the language: what $PROCMAIL_VERSION says */

/*
 * What a process keeps between its runs, one at a time: rc files (one that changed in device, inode, size or times is parsed
 * again), the buffers of the last message, programs that still run.  Freed after the last run, by whoever made it.
 */
struct procmail_files;
struct procmail_files *procmail_files_new(void);
void	 procmail_files_free(struct procmail_files **fp);

/* How a run is started; what is not said is NULL, 0 or false. */
struct procmail {
	/* The recipient: whose defaults, whose rc file. */
	const char	*user, *home, *shell;
	uid_t		 uid;
	gid_t		 gid;
	const char	*invoker;	/* name in "From " lines that are made */
	const char	*argv0;
	const char	*host;		/* NULL: the machine's name */

	/* The command line. */
	bool		 filter;	/* -m */
	bool		 preserve;	/* -p: <environ> counts */
	bool		 deliver;	/* -d */
	bool		 tempfail;	/* -t */
	bool		 berkeley;	/* -Y */
	const char	*from;		/* -f */
	const char	*const *args;	/* -a: $1 and on */
	const char	*const *words;	/* assignments and rc files; with -m also the arguments behind the rc file */
	const char	*const *environ;	/* of the process that called; NULL: none */
	bool		 etc_rc;	/* /etc/procmailrc comes first */

	/* Where things go. */
	int		 out_fd;	/* of a single "|"; -1: refused */
	int		 err_fd;	/* of messages until LOGFILE is set; -1: ops->log */
	const char	*orgmail;	/* value of ORGMAIL and DEFAULT; NULL: /var/mail/USER, which is checked and made */

	/*
	 * The outside world.  NULL: all is done here, as the procmail program does it.  Else mail that goes to other people or
	 * to a mailbox of the store ("! user.Folder", folder "user.Folder", DEFAULT) goes through ops->act; with <local> the
	 * rest (files, folders, programs, locks) is still done here, without it ops does that too.
	 */
	const struct filter_ops *ops;
	bool		 local;
	/*
	 * <message> ends with the empty line behind its header, and this gives the rest when the rules first ask for it; NULL: there is
	 * no more.  It has at most <body_max> bytes and at least half of them.  A p of NULL: it cannot be read, try again later.
	 */
	struct sv	(*body)(void *arg);
	void		*body_arg;
	size_t		 body_max;
	/* The process has no other work: its directory, umask and SIGPIPE need not be as they were afterwards, and SIGPIPE is ignored. */
	bool		 own_process;
	/* Called when the run is about to wait for a program or a lock; NULL: nobody wants to know. */
	void		(*waits)(void);

	/*
	 * The process is root's, for a recipient who is not: makes it his, for good.  Called when his mailbox was seen to and /etc/procmailrc
	 * was run, before any file of his is read, and where DROPPRIVS asks for it.  NULL: it is his already.
	 */
	int		(*become)(const struct procmail *p, struct err *err);

	/* A signal that came (TERM: give back, HUP INT: bounce, QUIT: lose, USR1 USR2: VERBOSE off, on); NULL: none is looked for. */
	volatile sig_atomic_t *signalled;

	/* Limits of programs that are started; 0: none. */
	long		 cpu_seconds, file_bytes, memory_bytes, processes;
	bool		 shared_uid;	/* with other accounts: see os_process_limit() */
	/* Limits; 0: the defaults in brackets. */
	unsigned	 max_includes;	/* INCLUDERC inside INCLUDERC [64] */
	unsigned	 max_switches;	/* SWITCHRC in one run [1000] */
	size_t		 max_linebuf;	/* LINEBUF is cut to it [1 MiB] */
	size_t		 max_message;	/* what a filter may make of the message [1 GiB] */
	unsigned	 max_clones;	/* "c" on blocks [100] */
};

struct procmail_end {
	int		 status;	/* as the program's exit status (sysexits.h) */
	bool		 delivered;	/* a recipe or DEFAULT took it; not by HOST, which ends a run with nothing done */
	char		 folder[256];	/* the last one written to, for logs */
};

/*
 * Run the rc files over <message>, which is copied (with or without a "From " line; lines end in LF).  0 and *<end>; -1 (TEMP) if nothing could be
 * begun: then nothing was done.  Whatever fails inside is the language's business and ends in end->status.
 */
int	 procmail_run(struct procmail_files *files, const struct procmail *p, struct sv message, struct procmail_end *end,
	     struct err *err);

/* A decimal number after blanks, with a sign, cut to what fits; *<end> (may be NULL): behind it, <s> if there is none. */
long	 procmail_long(const char *s, char **end);

#endif
