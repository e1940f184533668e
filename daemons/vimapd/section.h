/* SPDX-License-Identifier: BSD-2-Clause */
/* Sections of a message: BODY[1.2.HEADER] and its kin to a range of the file or to bytes made of it. */
#ifndef VIMAPD_SECTION_H
#define VIMAPD_SECTION_H

#include "session.h"

/* A message that is read: what was opened or loaded of it, as needed. */
struct source {
	const struct store_msg *m;
	uint64_t	 mbox;
	int		 fd;			/* -1: not opened */
	bool		 have_cached;
	struct store_cached cached;
	const struct mime_part *tree;		/* offsets; NULL: not read */
};

void	 source_init(struct source *src, uint64_t mbox, const struct store_msg *m);
void	 source_free(struct source *src);
/* Each makes sure of one thing; -1 with *<err> if it cannot be had. */
int	 source_open(struct source *src, struct err *err);
int	 source_cached(struct source *src, struct err *err);
int	 source_tree(struct source *src, struct arena *a, struct err *err);
/* Bytes [off, off + len) of the file, appended. */
int	 source_read(struct source *src, size_t off, size_t len, struct sb *out, struct err *err);

/* What a section is: nothing (NIL), a range of the file, or bytes in <mem>. */
struct section {
	bool		 nil;
	bool		 in_memory;
	size_t		 off, len;
	struct sb	 mem;
};
/* Does it need the cache row? */
bool	 section_needs_cached(const struct imap_fetch_item *it);
int	 section_find(struct source *src, const struct imap_fetch_item *it, struct arena *a, struct section *out,
	     struct err *err);
void	 section_free(struct section *sec);

#endif
