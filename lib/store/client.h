/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changing the store: requests to vstored, for fibers.  Each call parks until the
 * change is durable (or refused) and may be made by any number of fibers.  <user> is
 * on whose behalf: vstored checks the rights again; an empty user is the box itself
 * and may do all.  Mailboxes are named by object id where one is open, by name else.
 *
 * When vstored is away, calls fail with TEMP 4.3.0 after at most 30 seconds; the
 * connection comes back by itself, watches are set again and each watched mailbox is
 * announced once.  A failed call may have taken effect all the same.
 */
#ifndef VPOST_STORE_CLIENT_H
#define VPOST_STORE_CLIENT_H

#include "store/reader.h"
#include "store/store.h"

struct store_client;

/* Enhanced status codes of refusals, for IMAP's response codes. */
#define STORE_E_NOPERM		"5.7.1"		/* NOPERM */
#define STORE_E_NONE		"5.1.1"		/* NONEXISTENT, TRYCREATE: no such mailbox */
#define STORE_E_EXISTS		"5.2.5"		/* ALREADYEXISTS */
#define STORE_E_BADNAME		"5.1.3"		/* CANNOT: no valid name */
#define STORE_E_LIMIT		"5.2.3"		/* LIMIT: too many folders, keywords, too large */
#define STORE_E_FULL		"4.3.1"		/* the disk's reserve is touched */
#define STORE_E_BODY		"4.2.0"		/* UNAVAILABLE: a body is missing or damaged; also: locked */

/* <path> is BOX/var/run/store.sock.  Connects at the first call. */
struct store_client *store_client_new(const char *path);
void	 store_client_free(struct store_client **cp);
int	 store_client_connect(struct store_client *c, struct err *err);

/* ---- mailboxes ---- */

int	 store_client_create(struct store_client *c, struct sv user, struct sv name, uint64_t *mbox, struct err *err);
int	 store_client_delete(struct store_client *c, struct sv user, struct sv name, struct err *err);
/* With all that is below it.  An INBOX cannot be renamed here: create the new mailbox and move the messages. */
int	 store_client_rename(struct store_client *c, struct sv user, struct sv from, struct sv to, struct err *err);
/* The mailbox need not exist. */
int	 store_client_subscribe(struct store_client *c, struct sv user, struct sv name, bool on, struct err *err);
int	 store_client_set_acl(struct store_client *c, struct sv user, struct sv name, struct sv id, struct sv rights,
	     struct err *err);
/* Make the INBOX of <user> if there is none (at login, at adduser). */
int	 store_client_ensure_inbox(struct store_client *c, struct sv user, uint64_t *mbox, struct err *err);

/* ---- messages ---- */

enum store_flag_op { STORE_FLAGS_SET, STORE_FLAGS_ADD, STORE_FLAGS_REMOVE };

struct store_flags {
	unsigned	 sys;		/* STORE_SEEN ... */
	const struct sv	*keywords;
	size_t		 nkeywords;
};

/*
 * Change flags of the messages of <set>.  <unchangedsince> UINT64_MAX: no condition; messages with a greater
 * modseq are left alone and go to <failed> (may be NULL).  *<modseq> is that of the change, 0 if nothing
 * changed.  Flags that the user has no right to change are left as they are (RFC 4314 section 4).
 */
int	 store_client_flags(struct store_client *c, struct sv user, uint64_t mbox, const struct store_range *set,
	     size_t nset, enum store_flag_op op, const struct store_flags *flags, uint64_t unchangedsince,
	     store_ranges *failed, uint64_t *modseq, struct err *err);
/* Remove the messages of <set>; with <only_deleted> those of them that have \Deleted.  *<n> (may be NULL): how many. */
int	 store_client_expunge(struct store_client *c, struct sv user, uint64_t mbox, const struct store_range *set,
	     size_t nset, bool only_deleted, uint32_t *n, struct err *err);

struct store_appended {
	uint64_t	 mbox;
	uint32_t	 uidvalidity;
	uint32_t	 uid;
};
/* Append <len> bytes at <off> of descriptor <fd> (CRLF line ends).  <date> 0: now.  Durable on return. */
int	 store_client_append(struct store_client *c, struct sv user, struct sv name, int fd, uint64_t off, uint64_t len,
	     const struct store_flags *flags, int64_t date, struct store_appended *out, struct err *err);

struct store_copied {
	uint32_t	 uidvalidity;	/* of the target */
	store_ranges	 from;		/* COPYUID: the source's UIDs, ascending */
	store_ranges	 to;		/* and theirs in the target, in the same order */
};
/* Copy (with <move>: move) the messages of <set> into the mailbox <to>: all or none. */
int	 store_client_copy(struct store_client *c, struct sv user, uint64_t mbox, const struct store_range *set,
	     size_t nset, struct sv to, bool move, struct store_copied *out, struct err *err);
void	 store_copied_free(struct store_copied *out);

/*
 * A session selected the mailbox read-write: messages from *<first_recent> on are \Recent to it, and to no
 * later one.
 */
int	 store_client_claim_recent(struct store_client *c, uint64_t mbox, uint32_t *first_recent, struct err *err);
/* Ask that cache rows be made for these messages; no answer is waited for. */
void	 store_client_cache(struct store_client *c, uint64_t mbox, const struct store_range *set, size_t nset);

/*
 * The exclusive lock of POP3 (RFC 1939 section 4) on a mailbox, one holder at a time over all processes; it ends with
 * store_client_unlock or with the process.  -1, TEMP 4.2.0 if it is held.
 */
int	 store_client_lock(struct store_client *c, uint64_t mbox, struct err *err);
void	 store_client_unlock(struct store_client *c, uint64_t mbox);

/* ---- announcements ---- */

/*
 * <fn> is called (in a fiber of the client; it must not park) when something changed in a watched mailbox: look at
 * it by store_view_sync.  It may be called without a change.  Watches count: each needs its unwatch.
 */
void	 store_client_on_change(struct store_client *c, void (*fn)(void *arg, uint64_t mbox), void *arg);
void	 store_client_watch(struct store_client *c, uint64_t mbox);
void	 store_client_unwatch(struct store_client *c, uint64_t mbox);

#endif
