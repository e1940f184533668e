/* SPDX-License-Identifier: BSD-2-Clause */
/* What the subcommands of vpost share. */
#ifndef VPOST_TOOLS_VPOST_INT_H
#define VPOST_TOOLS_VPOST_INT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/sv.h"
#include "box/box.h"

/* Exit codes: 0 done, 1 not (a daemon is down, a mistake was found), 2 wrong usage. */
int	 cmd_init(int argc, char **argv);
int	 cmd_run(int argc, char **argv);
int	 cmd_start(int argc, char **argv);
int	 cmd_stop(int argc, char **argv);
int	 cmd_status(int argc, char **argv);
int	 cmd_reload(int argc, char **argv);
int	 cmd_reopen(int argc, char **argv);
int	 cmd_check(int argc, char **argv);
int	 cmd_cert(int argc, char **argv);
int	 cmd_adduser(int argc, char **argv);
int	 cmd_explain(int argc, char **argv);
int	 cmd_trace(int argc, char **argv);

/* dryrun.c: what would become of <text>, from <sender> (NULL: as it says itself), for <who>; an exit code. */
int	 explain_user(const char *who, const char *sender, struct sv text);

/* check.c: exim.conf can be loaded; its mistakes, not its warnings, go to stderr. */
bool	 config_good(const struct box *b);
/* Names of RFC 5321 and RFC 2142 whose mail reaches nobody: tell() with file, line and what to do. */
void	 postmaster_check(const struct box *b, void (*tell)(void *arg, const char *text), void *arg);
/* Segments of the journal that were kept aside because they are damaged. */
void	 damaged_segments(const struct box *b, void (*tell)(void *arg, const char *text), void *arg);
/* For root: -1 where the user of the daemons is missing or does not own what they write; says what to type. */
int	 owner_check(const struct box *b, struct err *err);
/* Where etc/aliases has no postmaster yet: <name>, or the first account where it is NULL, becomes it, and the user is told. */
int	 postmaster_ensure(const struct box *b, const char *name, struct err *err);

/* The box that is meant: <arg> (may be NULL), else as box_find says.  NULL, and the error on stderr, otherwise. */
struct box *open_box(const char *arg);
/* Options [-b BOX] and at most one operand, which names the box too; returns -1 after printing <usage>. */
int	 box_arg(int argc, char **argv, const char *usage, const char **box);
/* Print "vpost COMMAND: text" to stderr; returns 1. */
int	 complain(const struct err *err);

/* A service of the setting `services` and its daemon, in the order in which they start. */
struct service {
	const char	*name;
	const char	*daemon;
};
extern const struct service services[];		/* name NULL ends */
bool	 service_on(const struct box *b, const char *name);
/* The process that owns var/run/NAME.pid (os_owner); 0: none runs. */
pid_t	 running_pid(const struct box *b, const char *name);

/* A self-made certificate for <host>, valid ten years, with its key: one PEM file, mode 0600. */
int	 selfsign(const char *path, const char *host, struct err *err);

/* Where the files of a new box and the daemons are found: beside this program. */
int	 find_share(const char *what, char *buf, size_t size, struct err *err);
int	 find_tool(const char *name, char *buf, size_t size, struct err *err);
int	 find_daemon(const char *name, char *buf, size_t size, struct err *err);

#endif
