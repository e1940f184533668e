/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Run a program of a user's: a message on its standard input, its output captured up to a
 * limit, the whole process group killed when its time is over.  Blocking; for children and programs.
 * SIGPIPE must be ignored by the caller.
 */
#ifndef VPOST_MBOX_RUN_H
#define VPOST_MBOX_RUN_H

#include "mbox/content.h"

struct mbox_run {
	const char	*const *argv;	/* argv[0]: absolute path (mbox_run_find); NULL ends */
	const char	*const *env;	/* NULL: PATH only */
	const char	*cwd;		/* NULL: where we are */
	mode_t		 umask;		/* 0: 022 */
	const struct mbox_content *input;	/* NULL: nothing (/dev/null) */
	const struct mbox_format *format;	/* NULL: byte for byte */
	int		 timeout_s;	/* of the whole run; 0: none */
	int		 kill_grace_ms;	/* between TERM and KILL of the group; 0: KILL at once */
	size_t		 max_output;	/* bytes kept; 0: standard output goes to <out_fd> */
	bool		 stop_at_max;	/* more output than <max_output>: the group is killed; else the rest is read and dropped */
	bool		 merge_stderr;	/* captured too; else it goes to <err_fd> */
	int		 out_fd, err_fd;	/* -1: /dev/null */
	/* Limits, 0: as they are. */
	long		 cpu_seconds, file_bytes, memory_bytes, processes;
	bool		 core;		/* a core dump is allowed */
	bool		 keep_group;	/* leave what it started in the background alive */
};
#define MBOX_RUN_INIT	{ .umask = 022, .out_fd = -1, .err_fd = -1 }

struct mbox_ran {
	int		 exit;		/* exit status; -1: ended by <sig> */
	int		 sig;
	bool		 core;
	bool		 timed_out;	/* its group was killed */
	bool		 too_much;	/* ... or it wrote more than max_output */
	bool		 write_failed;	/* it closed its input early; <sys> (EPIPE) */
	int		 sys;
	char		*output;	/* heap, free() it; NULL: none; NUL behind it */
	size_t		 output_len;
};

/*
 * 0: it ran and ended, *<out> says how.  -1: it could not be started (*<err>, errno: ENOENT EACCES ENOEXEC EAGAIN ENOMEM E2BIG),
 * or its input could not be read (EIO).  Whatever is left of the process group is killed unless <keep_group>.
 */
int	 mbox_run(const struct mbox_run *r, struct mbox_ran *out, struct err *err);

/* Find <name> in the colon list <path> (names with a slash are taken as they are); heap, or NULL with errno. */
char	*mbox_run_find(const char *name, const char *path);

#endif
