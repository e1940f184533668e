/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The message store: what readers and the writer agree on.
 *
 * vstored is the only writer; vimapd and vpop3d read the index themselves
 * (store/reader.h) and send changes to vstored (store/client.h); deliveries come
 * through vlocald (store/deliver.h).  The store lives in var/mail:
 *
 *	index/			LMDB, durable: all truth but the bodies
 *	cache.N/		LMDB, unsynced and disposable: what is derived from bodies
 *	u/XX/MMMMMMMMMMMMMMMM/	a mailbox by its object id (16 hex digits; XX the last two)
 *		mailbox		name, UIDVALIDITY, owner, ACL, UIDNEXT reserved 1,000 ahead; fsynced
 *		UID.OOOOOOOOOOOOOOOO	a message: plain RFC 5322 bytes with CRLF, never changed; UID in
 *				decimal, then the object id of the content (16 hex digits)
 *
 * A file counts only if the index has a record for it.  vpost-store(5) has the formats.
 */
#ifndef VPOST_STORE_STORE_H
#define VPOST_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"

/* ---- limits ---- */

#define STORE_NAME_MAX		480		/* bytes of a mailbox name */
#define STORE_USER_MAX		128		/* bytes of a user's name */
#define STORE_DEPTH_MAX		32		/* components of a name */
#define STORE_KEYWORDS_MAX	64		/* keywords of one mailbox */
#define STORE_KEYWORD_MAX	64		/* bytes of a keyword */
#define STORE_ACL_MAX		4096		/* bytes of a mailbox's ACL as text */
#define STORE_FOLDERS_MAX	10000		/* mailboxes of one user */
#define STORE_MSG_MAX		0xfffffff0U	/* bytes of a message */
#define STORE_RANGES_MAX	65536		/* ranges of a UID set in one request */

/* ---- flags ---- */

#define STORE_SEEN		0x01
#define STORE_ANSWERED		0x02
#define STORE_FLAGGED		0x04
#define STORE_DELETED		0x08
#define STORE_DRAFT		0x10
#define STORE_SYSFLAGS		0x1f
/* \Recent is not kept: uid >= first_recent of store_client_claim_recent(). */

/* The flag bit of "\Seen" and the others (case does not matter); 0 if it is none of them. */
unsigned	 store_flag_bit(struct sv name);
const char	*store_flag_name(unsigned bit);		/* "\\Seen" for one bit */

/* A valid keyword: IMAP atom characters, no backslash, at most STORE_KEYWORD_MAX bytes. */
bool		 store_keyword_valid(struct sv name);

/* ---- rights (RFC 4314) ---- */

#define STORE_R_LOOKUP		0x0001		/* l */
#define STORE_R_READ		0x0002		/* r */
#define STORE_R_SEEN		0x0004		/* s */
#define STORE_R_WRITE		0x0008		/* w: flags but \Seen and \Deleted */
#define STORE_R_INSERT		0x0010		/* i: APPEND, COPY into */
#define STORE_R_POST		0x0020		/* p */
#define STORE_R_CREATE		0x0040		/* k */
#define STORE_R_DELMBOX		0x0080		/* x */
#define STORE_R_DELMSG		0x0100		/* t: \Deleted */
#define STORE_R_EXPUNGE		0x0200		/* e */
#define STORE_R_ADMIN		0x0400		/* a */
#define STORE_R_ALL		0x07ff

/* Letters to bits and back; letters that are not known are left out.  c and d of RFC 2086 are accepted. */
unsigned	 store_rights_parse(struct sv letters);
void		 store_rights_text(unsigned rights, struct sb *out);
/*
 * Rights of <user> by <acl> ("ID<TAB>rights<TAB>ID<TAB>rights..."); "anyone" counts for all; the owner has
 * all. Case does not matter.
 */
unsigned	 store_rights_of(struct sv acl, struct sv owner, struct sv user);

/* ---- names ---- */

/*
 * A mailbox name is UTF-8, components between dots: "user.NAME" is NAME's INBOX,
 * "user.NAME.Folder.Sub" a folder, all others are shared.  A dot inside a component is
 * written '^' (john.doe has "user.john^doe"), so '^' itself cannot stand in one.  No
 * component is empty; control characters, '*' and '%' are refused.
 */
bool	 store_name_valid(struct sv name);
/* Name of the INBOX of <user> (ASCII letters become lower case).  -1, PERM, if there can be none. */
int	 store_name_inbox(struct sv user, char buf[STORE_NAME_MAX + 1], struct err *err);
/* The user whose mailbox <name> is ("john.doe" for "user.john^doe.x") in <buf>; SV_NULL for shared mailboxes. */
struct sv store_name_owner(struct sv name, char buf[STORE_NAME_MAX + 1]);
bool	 store_name_is_inbox(struct sv name);
/*
 * What a client calls a mailbox, in UTF-8, with separator <sep>: INBOX (any case) and INBOX<sep>x
 * are <user>'s, user<sep>OTHER<sep>x another user's, anything else is shared.
 */
int	 store_name_from_client(struct sv name, char sep, struct sv user, char buf[STORE_NAME_MAX + 1],
	     struct err *err);
void	 store_name_to_client(struct sv name, char sep, struct sv user, struct sb *out);

/* ---- what the index tells ---- */

struct store_msg {
	uint64_t	 keywords;	/* bit i: keyword i of the mailbox's table */
	uint64_t	 modseq;
	uint64_t	 oid;		/* object id of the content (RFC 8474 EMAILID) */
	uint64_t	 hash;		/* of the content, store_hash() */
	int64_t		 internaldate;	/* seconds since 1970 */
	int64_t		 savedate;	/* when it came into this mailbox (RFC 8514) */
	uint32_t	 uid;
	uint32_t	 size;		/* bytes */
	uint8_t		 flags;		/* STORE_SEEN ... */
};

struct store_status {
	uint64_t	 id;		/* object id of the mailbox, never used again (RFC 8474 MAILBOXID) */
	uint64_t	 highestmodseq;
	uint64_t	 size;		/* bytes of all messages */
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;
	uint32_t	 messages;
	uint32_t	 unseen;
	uint32_t	 deleted;	/* messages with \Deleted */
	uint32_t	 recent;
	uint32_t	 first_recent;	/* least UID that no session has been told of as \Recent */
	uint32_t	 first_unseen;	/* least UID without \Seen; 0: none, or not asked for */
};

/* A set of UIDs: inclusive ranges. */
struct store_range {
	uint32_t	 first;
	uint32_t	 last;
};

/* ---- hash of a body ---- */

struct store_hash {
	uint64_t	 h, len;
	uint8_t		 rest[16];
	unsigned	 nrest;
};
void	 store_hash_init(struct store_hash *s);
void	 store_hash_add(struct store_hash *s, const void *p, size_t len);
uint64_t store_hash_end(const struct store_hash *s);

/* ---- places ---- */

#define STORE_INDEX_DIR		"index"
#define STORE_BODY_PATH_MAX	64
/*
 * Below var/mail: "u/XX/MMMMMMMMMMMMMMMM" and "u/XX/MMMMMMMMMMMMMMMM/RANGE/UID.OOOOOOOOOOOOOOOO"; return <buf>.  A
 * RANGE, in hex, holds 1,024 UIDs: no directory grows without end, and new mail does not go where old mail was
 * just deleted, which is slow on ext4.
 */
#define STORE_RANGE_SHIFT	10
const char *store_path_mailbox(uint64_t mbox, char buf[STORE_BODY_PATH_MAX]);
const char *store_path_body(uint64_t mbox, uint32_t uid, uint64_t oid, char buf[STORE_BODY_PATH_MAX]);

#endif
