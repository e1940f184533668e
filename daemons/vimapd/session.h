/* SPDX-License-Identifier: BSD-2-Clause */
/* The session role: one fiber for each client, one struct session; what its files share. */
#ifndef VIMAPD_SESSION_H
#define VIMAPD_SESSION_H

#include "base/arena.h"
#include "box/box.h"
#include "fiber/fiber.h"
#include "imap/parse.h"
#include "log/log.h"
#include "store/client.h"
#include "store/reader.h"
#include "vimapd.h"

#define APPEND_MAX	(512U * 1024 * 1024)	/* bytes of a message */

/* What the role's sessions share. */
struct session_role {
	struct daemon	*d;
	const struct box *box;
	struct store_reader *reader;
	struct store_client *client;
	char		 sep;
	size_t		 sessions;
	bool		 receiver_gone;
	struct hash	*watched;	/* mailbox id to the first session in IDLE on it */
	struct hash	*hosts;		/* client address to number of sessions */
};
extern struct session_role srole;

/* The selected mailbox. */
struct selected {
	struct store_view view;
	struct store_keywords kw;
	bool		 on;
	bool		 readonly;	/* EXAMINE, or no right to change anything */
	unsigned	 rights;
	uint32_t	 first_recent;
	uint32_t	 claimed;	/* messages below this UID were claimed as recent by someone */
	uint32_t	 exists, recent;	/* as told to the client */
};

struct session {
	struct stream	*s;
	struct selected	 sel;
	struct arena	*arena;		/* of the running command; NULL between commands */
	enum imap_verb	 verb;
	char		 tag[IMAP_TAG_MAX + 1];
	uint64_t	 silent_modseq;	/* flag changes with this modseq are not told (STORE .SILENT) */
	unsigned	 bad;
	bool		 closing;	/* a BYE was sent */
	bool		 uid_updates;	/* untagged FETCH of this command carries UID */
	/* IDLE: */
	bool		 idle;		/* may be written to by the notifier */
	bool		 queued, notifying, dirty;
	struct session	*watch_next, **watch_prev;	/* others in IDLE on the same mailbox */
	struct session	*queue_next;
	struct fiber_waiters notified;
	struct session	*next, **prev;	/* all sessions */
	struct net_addr	 peer;
	char		 user[AUTH_NAME_MAX + 1];
	struct log_ctx	 log;
};

static inline struct sv
session_user(const struct session *ss)
{
	return (sv_cstr(ss->user));
}

/* ---- the loop (session.c) ---- */

/* Note whose answer follows. */
void	 session_command(struct session *ss, const struct imap_command *c);

/* ---- answers (reply.c) ---- */

void	 reply_ok(struct session *ss, const char *text);	/* "tag OK text" */
void	 reply_okf(struct session *ss, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void	 reply_no(struct session *ss, const char *text);
void	 reply_bad(struct session *ss, const char *why);
/* NO with the response code that fits the store's error; <create>: a missing mailbox answers TRYCREATE. */
void	 reply_err(struct session *ss, const struct err *err, bool create);
void	 reply_bye(struct session *ss, const char *text);
void	 reply_sb(struct session *ss, const struct sb *out);
/* "\Seen \Flagged Junk" of a record, \Recent included. */
void	 put_flags(struct sb *out, const struct session *ss, const struct store_msg *m);
/* UIDs as a set: "1:3,7". */
void	 put_ranges(struct sb *out, const struct store_range *v, size_t n);

/* ---- the selected mailbox (select.c, update.c) ---- */

void	 selected_close(struct session *ss);
/*
 * Take in what changed and tell the client: EXPUNGE (if <expunges>), FETCH FLAGS, EXISTS, RECENT.  False: the mailbox
 * is gone or cannot be read; a BYE was sent.
 */
bool	 session_sync(struct session *ss, bool expunges);
/* The flag list line of SELECT, and again when a keyword came. */
void	 tell_flags(struct session *ss);
bool	 selected_keywords(struct session *ss);

/* A mailbox name of the client as the store calls it; false: answered NO. */
bool	 store_name(struct session *ss, struct sv name, char buf[STORE_NAME_MAX + 1]);

/* UIDs of a command's set that are in the view, as ranges. */
void	 resolve_set(struct session *ss, const struct imap_set *set, bool uid, store_ranges *out);
/* False: a sequence number is beyond the mailbox's end (answered BAD). */
bool	 check_set(struct session *ss, const struct imap_command *c);

/* Flags of a command as the store wants them; false: answered.  <out> points into <mem> and the command. */
bool	 take_flags(struct session *ss, const struct imap_flags *f, struct store_flags *out);

/* ---- commands ---- */

void	 cmd_select(struct session *ss, const struct imap_command *c);
void	 cmd_close(struct session *ss, const struct imap_command *c);
void	 cmd_status(struct session *ss, const struct imap_command *c);
void	 cmd_list(struct session *ss, const struct imap_command *c);
void	 cmd_lsub(struct session *ss, const struct imap_command *c);
void	 cmd_create(struct session *ss, const struct imap_command *c);
void	 cmd_delete(struct session *ss, const struct imap_command *c);
void	 cmd_rename(struct session *ss, const struct imap_command *c);
void	 cmd_subscribe(struct session *ss, const struct imap_command *c);
void	 cmd_expunge(struct session *ss, const struct imap_command *c);
void	 cmd_store(struct session *ss, const struct imap_command *c);
void	 cmd_copy(struct session *ss, const struct imap_command *c);
void	 cmd_fetch(struct session *ss, const struct imap_command *c);
void	 cmd_search(struct session *ss, const struct imap_command *c);
/* <text>: the command up to its message, which still is to be read from the stream. */
void	 cmd_append(struct session *ss, struct sv text);

/* ---- IDLE (idle.c) ---- */

/* The command is free to go: its tag is in the session. */
void	 cmd_idle(struct session *ss);
/* Called by the store's client when a mailbox changed. */
void	 idle_changed(void *arg, uint64_t mbox);

#endif
