/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the store, in session processes: the index is opened read-only, once per
 * process and after fork.  Calls never park and hold no transaction when they return;
 * what they give out is copied.  Each call sees one state of the index; two calls may
 * see two, which is why a session works on its view.
 *
 * A process first connects to vstored (store_client_connect): vstored listens only
 * when its recovery is over.  After that it goes on reading while vstored restarts.
 */
#ifndef VPOST_STORE_READER_H
#define VPOST_STORE_READER_H

#include "base/vec.h"
#include "store/store.h"

struct store_reader;

/* Three-way answers of readers. */
enum store_get {
	STORE_GET_OK,
	STORE_GET_NONE,		/* no such mailbox, message or row; err says which */
	STORE_GET_FAIL		/* TEMP: the index cannot be read, or the body is UNAVAILABLE */
};

/* <dir> is BOX/var/mail; <map_size> the box's store_map_size. */
int	 store_reader_open(struct store_reader **rp, const char *dir, uint64_t map_size, struct err *err);
void	 store_reader_close(struct store_reader **rp);

/* ---- mailboxes ---- */

/*
 * Counters of the mailbox; first_unseen is only filled if <first_unseen>. <user>'s rights go to *<rights>
 * (may be NULL).
 */
enum store_get store_reader_status(struct store_reader *r, struct sv name, struct sv user, bool first_unseen,
	     struct store_status *st, unsigned *rights, struct err *err);
/* The same by object id: STORE_GET_NONE once the mailbox was deleted; a rename does not matter. */
enum store_get store_reader_status_id(struct store_reader *r, uint64_t mbox, bool first_unseen,
	     struct store_status *st, struct err *err);
/* Name, owner and ACL text as they stand now, NUL-terminated in <out> ("name\0owner\0acl\0"); any may be NULL. */
enum store_get store_reader_info(struct store_reader *r, uint64_t mbox, struct sb *name, struct sb *owner,
	     struct sb *acl, struct err *err);

/*
 * Call <fn> for each mailbox whose name is <prefix> or begins with "<prefix>." (empty prefix: all)
 * and on which <user> has the lookup right, in byte order of names.  <fn> must not call the reader;
 * false ends the walk.  <rights> are the user's.
 */
int	 store_reader_list(struct store_reader *r, struct sv prefix, struct sv user,
	     bool (*fn)(void *arg, struct sv name, uint64_t mbox, unsigned rights), void *arg, struct err *err);
/*
 * The same in parts, each a look at the index of its own: at most <max> names are looked at from *<at> on, which is empty
 * at first.  1: there are more, *<at> is the name to go on with; 0: that was all; -1.
 */
int	 store_reader_list_part(struct store_reader *r, struct sv prefix, struct sb *at, unsigned max, struct sv user,
	     bool (*fn)(void *arg, struct sv name, uint64_t mbox, unsigned rights), void *arg, struct err *err);
/* <user>'s subscriptions, in byte order; the mailbox may not exist. */
int	 store_reader_subscriptions(struct store_reader *r, struct sv user, bool (*fn)(void *arg, struct sv name),
	     void *arg, struct err *err);
/* True if a mailbox below <name> exists (\HasChildren). */
bool	 store_reader_has_children(struct store_reader *r, struct sv name);

/* Keywords of a mailbox: a table that only grows; bit i of store_msg.keywords is name[i]. */
struct store_keywords {
	unsigned	 n;
	char		*name[STORE_KEYWORDS_MAX];	/* in one piece of memory with name[0] */
};
enum store_get store_reader_keywords(struct store_reader *r, uint64_t mbox, struct store_keywords *kw, struct err *err);
void	 store_keywords_free(struct store_keywords *kw);

/* ---- records ---- */

/*
 * Copy the records with <first> <= uid <= <last> in order, at most <max>; *<n> of them. Ask again from the
 * last one's uid + 1.
 */
enum store_get store_reader_msgs(struct store_reader *r, uint64_t mbox, uint32_t first, uint32_t last,
	     struct store_msg *out, size_t max, size_t *n, struct err *err);
/* The record of each of <uids> (ascending); out[i].uid is 0 where it is gone. */
enum store_get store_reader_msgs_at(struct store_reader *r, uint64_t mbox, const uint32_t *uids, size_t n,
	     struct store_msg *out, struct err *err);

/* ---- views: sequence numbers of a session ---- */

/*
 * The messages of a mailbox as one session knows them.  Sequence number i is uids[i - 1].
 * Sessions of one process that know the same share the array.
 */
struct store_view {
	uint64_t	 mbox;
	uint64_t	 modseq;	/* all changes up to here have been taken in */
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;
	uint32_t	 messages;
	const uint32_t	*uids;		/* ascending; valid until the next store_view_* call on this view */
	uint32_t	 nkeywords;	/* private: keywords at the last sync */
	struct store_map *map;		/* private */
	struct store_map *gone;		/* private: expunges not yet taken in */
};

/* What a sync found.  The arrays belong to the caller (vec_free). */
struct store_changes {
	VEC(uint32_t)	 expunged_seq;	/* sequence numbers in the order to send EXPUNGE: descending */
	VEC(uint32_t)	 expunged_uid;	/* the same messages' UIDs, ascending: VANISHED */
	VEC(uint32_t)	 changed;	/* UIDs of known messages whose flags changed, ascending */
	uint32_t	 added;		/* messages that came: the last <added> of the view */
	bool		 keywords;	/* the keyword table grew */
};

enum store_get store_view_open(struct store_reader *r, uint64_t mbox, struct store_view *v, struct err *err);
void	 store_view_close(struct store_reader *r, struct store_view *v);
/*
 * Bring the view up to date.  With <expunges> false (RFC 3501 5.5: during FETCH, STORE, SEARCH) expunged
 * messages stay in the view until a later sync.  <ch> may be NULL.  STORE_GET_NONE: the mailbox is gone.
 */
enum store_get store_view_sync(struct store_reader *r, struct store_view *v, bool expunges, struct store_changes *ch,
	     struct err *err);
void	 store_changes_free(struct store_changes *ch);
/* Sequence number of <uid>; 0 if it is not in the view. */
uint32_t store_view_seq(const struct store_view *v, uint32_t uid);
/* Number of messages with a UID below <uid>: where a UID range starts. */
uint32_t store_view_below(const struct store_view *v, uint32_t uid);

/*
 * For CONDSTORE and QRESYNC: records whose modseq is greater than <since> go to <fn> in UID order; UIDs that
 * were expunged after <since> and are below <uidnext> go to <gone> (ranges, ascending; more than the exact ones
 * when the log does not reach back so far, RFC 7162 3.2.10).  Any of the two may be NULL.
 */
typedef VEC(struct store_range) store_ranges;
enum store_get store_reader_changes(struct store_reader *r, uint64_t mbox, uint64_t since,
	     bool (*fn)(void *arg, const struct store_msg *m), void *arg, store_ranges *gone, struct err *err);

/* ---- bodies ---- */

/*
 * Open the message's file.  The descriptor is the caller's; its size is m->size.  STORE_GET_FAIL with
 * status 4.2.0 "UNAVAILABLE": the body is missing or has another size; the message stays.
 */
enum store_get store_body_open(struct store_reader *r, uint64_t mbox, const struct store_msg *m, int *fd,
	     struct err *err);
/* The first <len> bytes at <off>, appended to <out>: open, read, close. */
enum store_get store_body_read(struct store_reader *r, uint64_t mbox, const struct store_msg *m, uint32_t off,
	     uint32_t len, struct sb *out, struct err *err);

/* ---- cache ---- */

/* What is derived from a message.  The pieces point into <mem>. */
struct store_cached {
	uint32_t	 header_len;	/* bytes of the header with the empty line */
	struct sv	 envelope;	/* IMAP ENVELOPE, RFC 3501 7.4.2: "(...)" */
	struct sv	 bodystructure;	/* IMAP BODYSTRUCTURE, with extension data */
	struct sv	 offsets;	/* mime_offsets_read() gives the tree of offsets back */
	struct sb	 mem;
};
/*
 * The cached row of <m>, or one made from the body now (and not stored: ask vstored for that by
 * store_client_cache()).  NONE cannot happen; FAIL as store_body_open.
 */
enum store_get store_reader_cached(struct store_reader *r, uint64_t mbox, const struct store_msg *m,
	     struct store_cached *c, struct err *err);
/* Only the stored row: STORE_GET_NONE if there is none or its checksum is wrong. */
enum store_get store_reader_cached_row(struct store_reader *r, const struct store_msg *m, struct store_cached *c);
void	 store_cached_free(struct store_cached *c);

#endif
