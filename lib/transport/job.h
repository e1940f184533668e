/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A local delivery as a plain record: everything that the options of its transport said, already
 * expanded, for a child that runs as the user and needs no configuration. And how it ended,
 * on its way back.  Both go between processes as fields of an IPC message.
 */
#ifndef VPOST_TRANSPORT_JOB_H
#define VPOST_TRANSPORT_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"
#include "ipc/ipc.h"

#define TRANSPORT_JOB_VERSION	1
#define TRANSPORT_LIST_MAX	8192		/* items of a list */

/* Kinds of local delivery: rows of the table in exec.c. */
enum transport_kind {
	TRANSPORT_APPENDFILE = 1,
	TRANSPORT_PIPE,
	TRANSPORT_AUTOREPLY,
	TRANSPORT_LMTP,
	TRANSPORT_PROCMAIL,		/* a user's .procmailrc, lib/filter */
	TRANSPORT_LOOK			/* no delivery: see transport_look_job() */
};

enum transport_file { TRANSPORT_TO_FILE, TRANSPORT_TO_DIRECTORY, TRANSPORT_TO_MAILDIR, TRANSPORT_TO_MAILSTORE };

struct transport_list {
	struct sv	*v;
	size_t		 n;
};

/* N: number, S: string, L: list.  New fields go to the end; numbers on the wire are places in this list. */
#define TRANSPORT_JOB_FIELDS(N, S, L)						\
	N(kind) S(transport) S(id) S(hostname) N(now)				\
	N(uid) N(gid) N(initgroups) S(user) S(home) S(cwd)			\
	S(sender) L(rcpts)	/* return path, and whom it is for */		\
	S(header) N(off) N(len)	/* the content: text, then a range of the descriptor */	\
	N(message_size)								\
	S(prefix) S(suffix) S(check) S(escape) N(crlf) N(bsmtp)			\
	L(filter) N(filter_timeout) N(timeout_defer)	/* transport_filter */	\
	/* appendfile */							\
	S(path) N(to_file) N(box_flags) N(dir_flags) N(mode) N(dir_mode)	\
	N(lock_retries) N(lock_interval) N(fcntl_timeout) N(flock_timeout) N(lockfile_timeout) N(lockfile_mode)	\
	N(quota) N(quota_count) N(quota_exclusive) N(quota_no_check) N(size_known) N(count_known)	\
	S(quota_directory) S(quota_regex) S(quota_folders) N(warn_at)		\
	S(tag) S(file_name) S(store_prefix) S(store_suffix) N(retries)		\
	L(formats) N(comsat) S(local_part) S(create_below) S(folder_regex)	\
	/* pipe, and lmtp's command */						\
	L(argv) S(command) L(env) S(search) N(umask) N(timeout) N(max_output) N(core)	\
	N(ignore_status) L(temp_errors) N(return_output) N(return_fail_output)	\
	N(log_output) N(log_fail_output) N(log_defer_output) N(freeze_exec) N(freeze_signal)	\
	/* lmtp */								\
	S(socket) N(ignore_quota)						\
	/* autoreply */								\
	N(phase) S(reply_to_whom) S(file) N(file_optional) S(log) S(once) N(once_size) N(once_repeat)	\
	S(log_text)								\
	/* limits of programs, 0: none */					\
	N(cpu) N(memory) N(processes) N(file_bytes)				\
	N(quota_only)		/* appendfile: nothing is written, only looked whether <message_size> more would fit */

struct transport_job {
#define N(f)	int64_t f;
#define S(f)	struct sv f;
#define L(f)	struct transport_list f;
	TRANSPORT_JOB_FIELDS(N, S, L)
#undef N
#undef S
#undef L
	bool	 shared_uid;		/* not a field: programs of other accounts have the same uid, see os_process_limit() */
};

/* Phases of an autoreply: whether to send and the text of its file; then, when it is sent, note it. */
enum { TRANSPORT_REPLY_ASK, TRANSPORT_REPLY_NOTE };

enum transport_status { TRANSPORT_OK, TRANSPORT_DEFER, TRANSPORT_FAIL };

/*
 * How it ended.  <sys> is what Exim's log shows in brackets: an errno, 0, or one of the negative numbers below.
 */
#define TRANSPORT_RESULT_FIELDS(N, S, L)					\
	N(status) N(sys) S(text)	/* for the log */			\
	S(user_text)			/* for the report; empty: none */	\
	N(freeze) N(panic)							\
	S(log_line)			/* the first line of a program's output, to be logged */	\
	S(output)			/* to be returned to the sender */	\
	N(quota) N(last_read) N(warn)						\
	S(switch_to)			/* file_format: another transport shall do it */	\
	L(rcpt_results)			/* lmtp: for each recipient "0", "1", "2" (status), then text */	\
	S(confirmation)								\
	N(send) S(file_text)		/* autoreply */				\
	N(host)				/* the other side failed, not the message */	\
	L(actions)			/* procmail: what is left to be done, see exec_procmail.c */

struct transport_result {
#define N(f)	int64_t f;
#define S(f)	struct sv f;
#define L(f)	struct transport_list f;
	TRANSPORT_RESULT_FIELDS(N, S, L)
#undef N
#undef S
#undef L
	int	 changed;		/* not a field: descriptor of long contents of <actions> (os/shared.h), plus 1; the caller's to close */
};

/* What Exim puts in brackets for failures that have no errno. */
#define TRANSPORT_E_UNKNOWN	(-1)
#define TRANSPORT_E_NOTREGULAR	(-4)
#define TRANSPORT_E_BADUGID	(-6)
#define TRANSPORT_E_BADMODE	(-7)
#define TRANSPORT_E_CHANGED	(-8)
#define TRANSPORT_E_LOCK	(-9)
#define TRANSPORT_E_NOTABS	(-21)
#define TRANSPORT_E_QUOTA	(-22)
#define TRANSPORT_E_FILTER	(-24)
#define TRANSPORT_E_EXPAND	(-27)
#define TRANSPORT_E_GID		(-28)
#define TRANSPORT_E_UID		(-29)
#define TRANSPORT_E_TRANSPORT	(-30)
#define TRANSPORT_E_FORMAT	(-33)
#define TRANSPORT_E_CREATE	(-34)

/* IPC types: request and reply; the request comes with the descriptor of the content. */
enum { TRANSPORT_IPC_JOB = 0x0501 };

/* Add the record to a frame that ipc_begin began; false if it passes the frame's limit. */
bool	 transport_job_put(struct sb *frame, const struct transport_job *j);
bool	 transport_result_put(struct sb *frame, const struct transport_result *r);
/* Read one; strings point into the message, lists are made in <a>.  False if malformed or of another version. */
bool	 transport_job_get(const struct ipc_msg *m, struct arena *a, struct transport_job *j);
bool	 transport_result_get(const struct ipc_msg *m, struct arena *a, struct transport_result *r);

/* Fill <r> and return -1; the text lives in <a>. */
int	 transport_fail(struct transport_result *r, struct arena *a, enum transport_status st, int64_t sys, const char *fmt, ...)
	     __attribute__((format(printf, 5, 6)));

#endif
