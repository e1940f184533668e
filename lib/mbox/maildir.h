/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One file per message: Maildir (tmp/, link to new/), MH (the next number), a plain
 * directory of files, and Exim's mailstore.  After success file and folder entry are on disk; after a
 * failure nothing is left in tmp/.  Folders are opened one below the other without following a symbolic
 * link in the last part unless it is allowed.
 */
#ifndef VPOST_MBOX_MAILDIR_H
#define VPOST_MBOX_MAILDIR_H

#include "mbox/content.h"

#define MBOX_DIR_CREATE		0x001	/* the folder (and those above it) are made when missing */
#define MBOX_DIR_SYMLINK	0x002	/* the folder itself may be reached by a symbolic link */
#define MBOX_DIR_SIZE_FILE	0x004	/* maildirsize is kept (Maildir++): for the quota, and made when missing */
#define MBOX_DIR_NO_SYNC	0x008
#define MBOX_DIR_FOLDER		0x010	/* the maildir is a folder of a Maildir++ ("maildirfolder" is made in a new one) */
#define MBOX_DIR_UMASK		0x020	/* new files and folders get <mode> less the process' umask */

struct mbox_dir {
	const char	*path;
	unsigned	 flags;
	mode_t		 mode;		/* of the file; 0: 0600 */
	mode_t		 dir_mode;	/* 0: 0700 */
	const char	*host;		/* in file names; NULL: the host's */
	const char	*tag;		/* appended to the name in new/ ("" or ",S=%s": %s is the size, "%%" a percent) */
	int		 retries;	/* tries for a free name; 0: 10 */
	/* Quota: 0 none. */
	int64_t		 quota, quota_count;
	bool		 quota_exclusive;
	const char	*quota_path;	/* root that is counted; NULL: <path> (a Maildir++ folder: its parent) */
	int64_t		 size_known, count_known;	/* mailbox_size, mailbox_filecount: -1 count them */
	int64_t		 counts_as;	/* what the message takes of the quota; 0: what is written */
	/* Which folders below the root count, and what size a file's name tells (-1: ask the file); NULL: cur, new, .* and all; S= is used. */
	bool		(*counts)(void *arg, const char *folder);
	int64_t		(*name_size)(void *arg, const char *name);
	void		*arg;
};
#define MBOX_DIR_INIT	{ .mode = 0600, .dir_mode = 0700, .size_known = -1, .count_known = -1 }

/* <path> is the maildir, with or without a slash at its end; made with cur, new, tmp where MBOX_DIR_CREATE. */
int	 mbox_maildir(const struct mbox_dir *d, const struct mbox_content *c, const struct mbox_format *f,
	     struct mbox_result *r, struct err *err);
/* The next free number; link(2) from a temporary name decides races. */
int	 mbox_mh(const struct mbox_dir *d, const struct mbox_content *c, const struct mbox_format *f, struct mbox_result *r,
	     struct err *err);
/*
 * A file whose name <name> chooses once its inode is known: it writes a base name to <buf>; -1 and *<err>: given up.
 * A name that is taken ends in EEXIST.
 */
int	 mbox_dirfile(const struct mbox_dir *d, int (*name)(void *arg, uint64_t inode, char *buf, size_t size, struct err *err),
	     void *arg, const struct mbox_content *c, const struct mbox_format *f, struct mbox_result *r, struct err *err);
/* procmail's manner: <prefix> and something unique by inode. */
int	 mbox_dirfile_prefix(const struct mbox_dir *d, const char *prefix, const struct mbox_content *c,
	     const struct mbox_format *f, struct mbox_result *r, struct err *err);
/* Exim's mailstore: BASE.env holds <envelope> as it is, BASE.msg the message; visible when BASE.env is. */
int	 mbox_mailstore(const struct mbox_dir *d, int (*name)(void *arg, uint64_t inode, char *buf, size_t size, struct err *err),
	     void *arg, struct sv envelope, const struct mbox_content *c, const struct mbox_format *f, struct mbox_result *r,
	     struct err *err);

/* Would a message of d->counts_as bytes be refused by the quotas?  False also where that cannot be looked at. */
bool	 mbox_dir_full(const struct mbox_dir *d);

/* Sizes and number of the files below <path> by the rules above; -1 with errno. */
int	 mbox_dir_usage(const struct mbox_dir *d, int64_t *size, int64_t *count);

#endif
