/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside of the writer: the batch under way and the pieces that its files share. */
#ifndef VPOST_STORE_WRITER_INT_H
#define VPOST_STORE_WRITER_INT_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/vec.h"
#include "os/file.h"
#include "store/index_int.h"
#include "store/writer.h"

#define BODY_BUF	(256 * 1024)	/* messages up to this are read once and parsed for the cache */
#define DIRS_MAX	256		/* directories kept open */
#define SOURCES_MAX	8		/* source files kept open */
#define UID_RESERVE	1000
#define LOG_ROWS_MAX	4096		/* rows of a mailbox's log; the older half goes when there are more */

/* A mailbox that the batch has read. */
struct wbox {
	uint64_t	 id;
	struct rec_box	 b;
	struct rec_info	 info;		/* in the batch's arena */
	bool		 dirty;		/* b */
	bool		 info_dirty;
	bool		 file_dirty;	/* the mailbox file does not say what info says */
	bool		 gone;
};

struct wdir {
	uint64_t	 mbox;		/* 0: free */
	int		 fd;
};

struct wsync {
	uint64_t	 mbox;
	uint32_t	 range;		/* of UIDs */
};

struct wsource {
	char		*path;		/* NULL: free */
	int		 fd;
	uint64_t	 used;
};

/* The body written last: the next recipient of the same content gets a link. */
struct wbody {
	uint64_t	 mbox;		/* 0: none */
	uint64_t	 oid;
	uint64_t	 hash;
	uint32_t	 uid;
	uint32_t	 size;
	struct sv	 path, prefix;	/* in the batch's arena */
	uint64_t	 off, len;
};

struct store_writer {
	char		*box;
	char		*dir;
	int		 boxfd;		/* directories */
	int		 dirfd;
	struct store_writer_opts o;
	struct index	 ix;
	struct cache	 cache;
	struct os_barrier *barrier;

	/* The batch. */
	MDB_txn		*txn;
	struct arena	*a;
	struct rec_state st;
	struct hash	*boxes;		/* id (8 bytes) -> struct wbox, in <a> */
	struct sb	 redo;		/* the row to be written */
	struct sv	 redo_last;
	uint32_t	 nwork;
	bool		 state_dirty;
	bool		 numbered;	/* the batch has bodies or work: it takes a commit number */
	bool		 broken;	/* the index failed: nothing of this batch will be */
	struct err	 why;
	struct wbody	 last;
	struct sb	 rows;		/* cache rows: le64 oid, le32 length, row */
	uint64_t	 bytes;		/* of bodies, in this batch */
	VEC(struct wsync) sync_dirs;	/* directories that are to be synced before the commit */

	/* Across batches. */
	struct wdir	 dirs[DIRS_MAX];
	struct wsource	 sources[SOURCES_MAX];
	uint64_t	 tick;
	char		*buf;		/* BODY_BUF */
	struct cache_maker maker;
	int64_t		 space_at;	/* when free space was looked at, ms; 0: never */
	int64_t		 space;		/* bytes above the reserve then, less what was written since */
	bool		 dead;		/* store_writer_dead() */

	atomic_ullong	 commits;
	atomic_ullong	 unsynced;
	atomic_ullong	 done;
	atomic_bool	 untidy;	/* rows of redo or work wait for a barrier */
	atomic_bool	 suspect;	/* a barrier failed */
	atomic_bool	 rewrite;	/* and the bodies since the good one have not been written again */
};

/* ---- writer.c ---- */

/* The index failed: mark the batch broken, fill *<err>, -1. */
int	 w_broken(struct store_writer *w, struct err *err, const char *what, int rc);
int	 w_put(struct store_writer *w, MDB_dbi dbi, const void *key, size_t klen, const void *p, size_t n,
	     unsigned flags, struct err *err);
int	 w_del(struct store_writer *w, MDB_dbi dbi, const void *key, size_t klen, struct err *err);
/* Delete all rows of <dbi> whose key begins with <prefix> (and that <keep>, may be NULL, does not want). */
int	 w_del_prefix(struct store_writer *w, MDB_dbi dbi, const void *prefix, size_t n,
	     bool (*keep)(void *arg, struct sv key), void *arg, struct err *err);
int	 w_cursor(struct store_writer *w, MDB_dbi dbi, MDB_cursor **c, struct err *err);
/* Note work for after the barrier. */
int	 w_todo(struct store_writer *w, const struct rec_work *k, struct err *err);
/* One row of the mailbox's log at its present highestmodseq. */
int	 w_log(struct store_writer *w, struct wbox *x, enum rec_log what, const struct store_range *r, size_t n,
	     struct err *err);
void	 w_report(const struct store_writer *w, bool bad, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Refuse a body of <len> bytes at the reserve: TEMP 4.3.1. */
int	 w_space(struct store_writer *w, uint64_t len, struct err *err);

/* ---- writer_box.c ---- */

/* The mailbox, read once per batch; NULL and *<err> (PERM 5.1.1 where there is none). */
struct wbox *w_box(struct store_writer *w, uint64_t id, struct err *err);
struct wbox *w_box_name(struct store_writer *w, struct sv name, struct err *err);
/* The INBOX <name>, made where it is missing. */
struct wbox *w_inbox(struct store_writer *w, struct sv name, struct err *err);
unsigned w_rights(const struct wbox *x, struct sv user);
/* Refuse (PERM 5.7.1) where <user> has not all of <rights>; without the lookup right the mailbox does not exist. */
int	 w_need(const struct wbox *x, struct sv user, unsigned rights, struct err *err);
/* The next UID of the mailbox (reserved in its file first). 0 and *<err> otherwise. */
uint32_t w_next_uid(struct store_writer *w, struct wbox *x, struct err *err);
/* Write the mailbox file, durably. */
int	 w_write_boxfile(struct store_writer *w, const struct wbox *x, uint32_t uidnext, struct err *err);
/* Bits of <flags>' keywords in the mailbox's table, which grows if <add>. */
int	 w_keywords(struct store_writer *w, struct wbox *x, const struct sv *names, size_t n, bool add, uint64_t *bits,
	     struct err *err);
/* Write what the batch changed in its mailboxes. */
int	 w_flush_boxes(struct store_writer *w, struct err *err);

/* ---- writer_body.c ---- */

/* Descriptor of the mailbox's directory, kept by the writer; -1 and *<err>. */
int	 w_dir(struct store_writer *w, uint64_t mbox, struct err *err);
void	 w_dir_forget(struct store_writer *w, uint64_t mbox);
int	 w_source(struct store_writer *w, struct sv path, struct err *err);
/* Below the mailbox's directory: "RANGE/UID.OID". */
void	 w_body_name(char buf[48], uint32_t uid, uint64_t oid);
/* Make the directory of <name>'s range where it is not there. */
int	 w_body_range(int dir, const char *name, struct err *err);

/*
 * Write <prefix> and <len> bytes at <off> of <fd> as a new body; size and hash go to *<m>; small ones get a
 * cache row.
 */
int	 w_body_write(struct store_writer *w, uint64_t mbox, struct store_msg *m, struct sv prefix, int fd,
	     uint64_t off, uint64_t len, bool sync, struct err *err);
/* The same under another name in <dir>. */
int	 w_body_write_as(struct store_writer *w, int dir, const char *name, struct store_msg *m, struct sv prefix,
	     int fd, uint64_t off, uint64_t len, bool sync, struct err *err);
int	 w_body_copy(int from, const char *fname, int to, const char *tname, struct err *err);
/* The content <oid> has no link left: drop its cache row with the next store_writer_fill_cache(). */
void	 w_row_drop(struct store_writer *w, uint64_t oid);
/* Link (EMLINK, EXDEV: copy) another body under the name of (mbox, uid, oid). */
int	 w_body_link(struct store_writer *w, uint64_t from_mbox, uint32_t from_uid, uint64_t mbox, uint32_t uid,
	     uint64_t oid, struct err *err);
/* True when the body is there with this size and hash. */
bool	 w_body_check(struct store_writer *w, uint64_t mbox, uint32_t uid, uint64_t oid, uint32_t size, uint64_t hash);
/* Note a body in the batch's redo row. */
void	 w_body_redo(struct store_writer *w, const struct rec_redo *r);

/* ---- writer_msg.c ---- */

/* Put a new record into the mailbox and count it. */
int	 w_add(struct store_writer *w, struct wbox *x, struct store_msg *m, struct err *err);

/* ---- recover.c ---- */

/* Verify and repair all bodies since the last barrier, then a barrier. */
int	 w_recover(struct store_writer *w, struct err *err);

#endif
