/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys and values of the index and of the cache: pure encoders and decoders.  Decoders
 * accept any bytes and say false where a value is damaged.  vpost-store(5) describes
 * the same tables.
 *
 *	state	""				counters of the whole store
 *	names	mailbox name			object id (le64)
 *	boxes	mailbox (be64)			counters of the mailbox
 *	infos	mailbox (be64)			name, owner, ACL, keywords
 *	msgs	mailbox (be64), uid (be32)	record of the message
 *	log	mailbox (be64), modseq (be64)	UIDs whose flags changed, or that were expunged
 *	subs	user, NUL, mailbox name		nothing
 *	dids	origin, message, recipient	commit number (le64) of the delivery
 *	redo	commit (be64)			bodies written by the commit and where they came from
 *	work	commit (be64), n (be32)		what is to be done after the commit's barrier
 */
#ifndef VPOST_STORE_RECORD_H
#define VPOST_STORE_RECORD_H

#include "store/store.h"

#define REC_VERSION	1

/* Numbers in keys sort as they count. */
static inline void rec_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24); p[1] = (uint8_t)(v >> 16); p[2] = (uint8_t)(v >> 8); p[3] = (uint8_t)v;
}
static inline void rec_be64(uint8_t *p, uint64_t v) { rec_be32(p, (uint32_t)(v >> 32)); rec_be32(p + 4, (uint32_t)v); }
static inline uint32_t rec_get32(const uint8_t *p)
{
	return ((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
}
static inline uint64_t rec_get64(const uint8_t *p) { return ((uint64_t)rec_get32(p) << 32 | rec_get32(p + 4)); }

/* ---- state ---- */

struct rec_state {
	uint64_t	 version;	/* REC_VERSION */
	uint64_t	 next_mbox;
	uint64_t	 next_oid;
	uint64_t	 uidvalidity;	/* greatest ever given out */
	uint64_t	 commit;	/* number of the last commit with bodies or work */
	uint64_t	 barrier;	/* commits up to here are on disk with their bodies */
	uint64_t	 cachegen;	/* the cache is cache.N */
};
#define REC_STATE_SIZE	(7 * 8)
void	 rec_state_put(uint8_t out[REC_STATE_SIZE], const struct rec_state *s);
bool	 rec_state_get(struct rec_state *s, struct sv v);

/* ---- boxes ---- */

struct rec_box {
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;
	uint32_t	 uidreserved;	/* UIDs below this may be given out: the mailbox file says so */
	uint32_t	 messages;
	uint32_t	 unseen;
	uint32_t	 deleted;
	uint32_t	 first_recent;
	uint32_t	 nkeywords;
	uint32_t	 logrows;
	uint64_t	 size;
	uint64_t	 highestmodseq;
	uint64_t	 logfloor;	/* the log is whole for changes with a greater modseq */
};
#define REC_BOX_SIZE	(4 + 9 * 4 + 3 * 8)
void	 rec_box_put(uint8_t out[REC_BOX_SIZE], const struct rec_box *b);
bool	 rec_box_get(struct rec_box *b, struct sv v);

/* ---- infos ---- */

struct rec_info {
	struct sv	 name;
	struct sv	 owner;		/* empty: shared */
	struct sv	 acl;		/* store_rights_of() */
	struct sv	 keywords;	/* each followed by a NUL */
};
void	 rec_info_put(struct sb *out, const struct rec_info *i);
bool	 rec_info_get(struct rec_info *i, struct sv v);
/* Next keyword of i->keywords; *<rest> starts as that. */
bool	 rec_info_keyword(struct sv *rest, struct sv *name);

/* ---- msgs ---- */

#define REC_MSG_KEY	12
#define REC_MSG_SIZE	52
void	 rec_msg_key(uint8_t out[REC_MSG_KEY], uint64_t mbox, uint32_t uid);
void	 rec_msg_put(uint8_t out[REC_MSG_SIZE], const struct store_msg *m);
/* <uid> comes from the key. */
bool	 rec_msg_get(struct store_msg *m, uint32_t uid, struct sv v);

/* ---- log, and UID sets on the wire ---- */

enum rec_log { REC_LOG_FLAGS = 1, REC_LOG_EXPUNGE = 2 };
#define REC_LOG_KEY	16
void	 rec_log_key(uint8_t out[REC_LOG_KEY], uint64_t mbox, uint64_t modseq);
void	 rec_ranges_put(struct sb *out, const struct store_range *r, size_t n);
/* Number of ranges in <v>, or -1 where it is malformed (first > last, 0, or not ascending and apart). */
ptrdiff_t rec_ranges_count(struct sv v);
void	 rec_ranges_at(struct sv v, size_t i, struct store_range *r);
/* Add <uid> behind the last of <n> ranges at <r>, or extend that; returns the new number.  Room for n + 1. */
size_t	 rec_ranges_add(struct store_range *r, size_t n, uint32_t uid);

/* ---- dids ---- */

#define REC_MESSAGE_MAX	64		/* bytes of a message id in a delivery id */
#define REC_DID_MAX	(8 + REC_MESSAGE_MAX + 1 + 16)
/* 0 where <message> is empty, too long or holds a NUL. */
size_t	 rec_did_key(uint8_t out[REC_DID_MAX], uint64_t origin, struct sv message, struct sv rcpt, uint32_t action);
/* What all keys of a message begin with. */
size_t	 rec_did_prefix(uint8_t out[REC_DID_MAX], uint64_t origin, struct sv message);

/* ---- redo ---- */

enum rec_source {
	REC_FROM_RANGE = 1,	/* prefix, then a range of a file of the spool */
	REC_FROM_BODY = 2	/* a link to another body */
};

struct rec_redo {
	enum rec_source	 from;
	uint64_t	 mbox;
	uint64_t	 oid;
	uint64_t	 hash;
	uint32_t	 uid;
	uint32_t	 size;
	/* REC_FROM_BODY */
	uint64_t	 src_mbox;
	uint32_t	 src_uid;
	/* REC_FROM_RANGE */
	struct sv	 path;		/* relative to the box */
	uint64_t	 off;
	uint64_t	 len;
	struct sv	 prefix;
};
/* <last> is the path of the item before, which is not written again; updated. */
void	 rec_redo_put(struct sb *out, const struct rec_redo *r, struct sv *last);
/* Walk: *<v> is cut, *<last> starts as SV_NULL.  1: *<r> is filled, 0: end, -1: damaged. */
int	 rec_redo_next(struct sv *v, struct rec_redo *r, struct sv *last);

/* ---- work ---- */

enum rec_todo {
	REC_DO_UNLINK = 1,	/* the body <mbox>, <uid>, <oid> */
	REC_DO_RMDIR = 2,	/* the mailbox directory with all in it */
	REC_DO_WRITE = 3	/* the mailbox file is to be written anew */
};
struct rec_work {
	enum rec_todo	 what;
	uint64_t	 mbox;
	uint64_t	 oid;
	uint32_t	 uid;
};
#define REC_WORK_SIZE	21
void	 rec_work_put(uint8_t out[REC_WORK_SIZE], const struct rec_work *w);
bool	 rec_work_get(struct rec_work *w, struct sv v);

/* ---- cache rows ---- */

struct rec_cache {
	uint32_t	 size;		/* of the message that it was made from */
	uint32_t	 header_len;
	struct sv	 envelope;
	struct sv	 bodystructure;
	struct sv	 offsets;
};
void	 rec_cache_put(struct sb *out, const struct rec_cache *c);
bool	 rec_cache_get(struct rec_cache *c, struct sv v);

/* ---- the mailbox file ---- */

struct rec_boxfile {
	uint64_t	 mbox;
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;	/* reserved: no message has this UID or a greater one */
	struct sv	 name;
	struct sv	 owner;
	struct sv	 acl;
};
#define REC_BOXFILE_MAX	8192
void	 rec_boxfile_put(struct sb *out, const struct rec_boxfile *f);
bool	 rec_boxfile_get(struct rec_boxfile *f, struct sv text);
/* 16 lower-case hexadecimal digits, as in the names of directories. */
bool	 rec_hex64(struct sv v, uint64_t *out);
/* The directory of a range of UIDs: up to 6 lower-case hexadecimal digits. */
bool	 rec_body_range(struct sv name);
/* "UID.OOOOOOOOOOOOOOOO". */
bool	 rec_body_name(struct sv name, uint32_t *uid, uint64_t *oid);

#endif
