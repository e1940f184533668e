/* SPDX-License-Identifier: BSD-2-Clause */
/* A file of lines: gathered, written in one call, opened again for rotation. */
#ifndef VPOST_LOG_LOG_INT_H
#define VPOST_LOG_LOG_INT_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sb.h"

#define LOG_LINE_MAX	8192
#define LOG_GATHER	32768

struct logfile {
	int		 fd;
	char		*path;
	uid_t		 uid;		/* who opened it; root opens it again as him */
	gid_t		 gid;
	struct sb	 buf;
	unsigned long	 lost;		/* bytes that could not be written since the last success */
	int64_t		 looked;	/* when (us) it was last seen under its name */
};

#define LOGFILE_INIT	{ .fd = -1, .path = NULL, .buf = SB_INIT(LOG_GATHER + 65536), .lost = 0 }

/* The file itself; -1 and errno. */
int	 logfile_fd(const char *path);
int	 logfile_open(struct logfile *f, const char *path, struct err *err);
void	 logfile_close(struct logfile *f);
void	 logfile_reopen(struct logfile *f);
void	 logfile_add(struct logfile *f, const char *line, size_t len);
void	 logfile_flush(struct logfile *f);

/* syslog.c. */
bool	 log_syslog_on(void);
/* <severity> of syslog.h; <text> without stamp and newline. */
void	 log_syslog_line(int severity, const char *ident, long pid, const char *text, size_t len);
/* Open the socket for lines of either kind. */
int	 log_syslog_socket(const char *path, struct err *err);
/* The same with a facility of its own in <priority>; <pid> 0: none. */
void	 log_syslog_send(int priority, const char *ident, long pid, const char *text, size_t len);
/* Should files be written? */
bool	 log_files_on(void);

/* Now, in local time; made once a second. */
struct log_now {
	char		 stamp[32];	/* "2026-11-21 01:02:03" */
	char		 zone[16];	/* "+0100" */
	char		 syslog[32];	/* "Nov 21 01:02:03" */
};
const struct log_now *log_now(void);

#endif
