/* SPDX-License-Identifier: BSD-2-Clause */
/* What maildir.c, dirfile.c and quota.c share. */
#ifndef VPOST_MBOX_MAILDIR_INT_H
#define VPOST_MBOX_MAILDIR_INT_H

#include "mbox/maildir.h"
#include "mbox/mbox_int.h"

mode_t	 mbox_dir_mode(const struct mbox_dir *d);
/* The folder, made where that is allowed; -1 with <r> and <err>. */
int	 mbox_dir_open(const struct mbox_dir *d, struct mbox_result *r, struct err *err);
/*
 * Write a new file <name> in the folder <at> and sync it.  Its descriptor; -1 with errno alone if it could not be made; -2 with
 * <r> and <err>, and nothing is left, if it could not be written.
 */
int	 mbox_dir_write(const struct mbox_dir *d, int at, const char *name, const struct mbox_content *c,
	     const struct mbox_format *f, struct mbox_result *r, struct err *err);

struct mbox_quota {
	const struct mbox_dir *d;
	char		*root;		/* what is counted; heap */
	bool		 counted;
	int64_t		 size, count;
	bool		 doubt;		/* maildirsize is a sum of changes, or old: where it says full the files are counted */
	int		 size_fd;	/* maildirsize, open for appending; -1 */
	char		 file[320];	/* what would be written; "": the folder is named */
	bool		 below;		/* <file> is told with the folder's path */
};
int	 mbox_quota_open(struct mbox_quota *q, const struct mbox_dir *d, int dirfd, struct mbox_result *r, struct err *err);
/* Would the message pass it? */
int	 mbox_quota_check(struct mbox_quota *q, const struct mbox_content *c, const struct mbox_format *f,
	     struct mbox_result *r, struct err *err);
/* r->size bytes were added. */
void	 mbox_quota_add(struct mbox_quota *q, struct mbox_result *r);
void	 mbox_quota_close(struct mbox_quota *q);

#endif
