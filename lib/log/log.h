/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logging of daemons and tools: one line per event, context as key=value, then a
 * sentence.  Libraries of layers 0 to 4 do not call it; they fill struct err.
 * Lines are collected and written at the end of a turn of the loop (log_flush) or
 * when 32 KiB wait; warnings and errors are written at once.
 */
#ifndef VPOST_LOG_LOG_H
#define VPOST_LOG_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum log_level { LOG_L_DEBUG, LOG_L_INFO, LOG_L_WARN, LOG_L_ERROR };

/* <path> NULL: stderr.  The file is opened for append, mode 0640, and again after log_reopen(). */
int	 log_open(const char *program, const char *path, enum log_level min, struct err *err);
/* Lines of the level debug go to this file from now on; NULL: with the others. */
int	 log_open_debug(const char *path, struct err *err);
/* <on> false: the system's log only, where log_syslog was called. */
void	 log_to_files(bool on);
void	 log_reopen(void);
/* Everything goes to stderr as well. */
void	 log_to_stderr(bool on);
void	 log_set_level(enum log_level min);
/* Would a line of this level be written? */
bool	 log_enabled(enum log_level level);
/* "debug", "info", "warn", "error"; false if it is none of them. */
bool	 log_level_parse(const char *s, enum log_level *level);
/*
 * The level of <program> in a setting "info vsmtpd=debug vauthd=warn": a level for all, and those of single
 * programs.  False, *<level> info, where it is written wrong.
 */
bool	 log_level_of(const char *setting, const char *program, enum log_level *level);
/* Change what log_open was told without closing the file: each role names itself. */
void	 log_set_program(const char *program);
void	 log_flush(void);

/* Context of a session: "sid=... peer=...", put in front of each line.  NULL context is allowed everywhere. */
struct log_ctx {
	char	 text[256];
};
void	 log_ctx_set(struct log_ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void	 log_debug(const struct log_ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void	 log_info(const struct log_ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void	 log_warn(const struct log_ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void	 log_error(const struct log_ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Level info, with neither level nor context in front: lines that other programs look for by their beginning. */
void	 log_plain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "<what>: <err->text>" at a level by class: TEMP warn, PERM info, CONFIG error. */
void	 log_err(const struct log_ctx *c, const char *what, const struct err *err);

/*
 * The system's log: all lines of both kinds go there too, with <facility> ("mail", "local0" ...), by the socket at <path>.
 * Facility "": no more.  -1: no such facility, or the path is too long.
 */
int	 log_syslog(const char *facility, const char *path, struct err *err);
bool	 log_syslog_facility(const char *name, int *facility);

/*
 * Exim's logs in <dir>: mainlog, rejectlog, paniclog; the time stamp is put in front.  A line for EXIMLOG_DELIVERY goes
 * into deliverylog where eximlog_open_own() opened it, else nowhere; such lines name EXIMLOG_MAIN as well.
 */
enum eximlog { EXIMLOG_MAIN = 1, EXIMLOG_REJECT = 2, EXIMLOG_PANIC = 4, EXIMLOG_DELIVERY = 8, EXIMLOG_SCAN = 16 };
int	 eximlog_open(const char *dir, struct err *err);
/*
 * How they look and where they go, as Exim's options say: log_file_path (may it be a file, the system's log, or both),
 * log_timezone, the selectors millisec and pid, syslog_*.  <facility> as Exim writes it, with or without "log_".
 */
struct eximlog_form {
	bool		 files, syslog;
	bool		 timezone, millisec, pid;
	const char	*facility;		/* "": mail */
	const char	*name;			/* of the program; "": exim */
	bool		 syslog_pid, syslog_timestamp, syslog_duplication;
};
/* The system's log listens at <socket>.  -1: no such facility. */
int	 eximlog_set_form(const struct eximlog_form *f, const char *socket, struct err *err);
/* A line that was written to a file elsewhere, for the system's log: <stamp> bytes of it are its stamp, then the text. */
void	 eximlog_to_syslog(unsigned which, const char *line, size_t len, size_t stamp);
/* The same for what is one entry of the main log and, with <more> (may be NULL) behind it, of the reject log. */
void	 eximlog_entry(unsigned which, const char *line, const char *more);
/* And logs of their own for deliveries (deliverylog) and for what scanners found (scanlog). */
int	 eximlog_open_own(const char *dir, bool deliveries, bool scanner, struct err *err);
/* Exim's time stamp of now, local time: "2026-11-21 01:02:03"; valid until the next call. */
const char *eximlog_stamp(void);
/* One line, control bytes as escapes; the reject log keeps newlines, as it has headers too. */
void	 eximlog_write(unsigned which, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A file <name> beside them, for appending (a descriptor) or, with <remove>, to be removed (0).  -1: *<err>. */
int	 eximlog_file(const char *name, bool remove, struct err *err);
void	 eximlog_flush(void);
void	 eximlog_reopen(void);

#endif
