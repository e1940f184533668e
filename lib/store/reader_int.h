/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside of the reader. */
#ifndef VPOST_STORE_READER_INT_H
#define VPOST_STORE_READER_INT_H

#include "base/hash.h"
#include "store/index_int.h"
#include "store/reader.h"

/*
 * What several views of one mailbox may share: the UIDs at one modseq.  Never changed once it stands.
 */
struct store_map {
	uint64_t	 mbox;
	uint64_t	 modseq;
	uint32_t	 uidnext;
	unsigned	 refs;
	bool		 shared;	/* it stands in the reader's table */
	size_t		 n;
	uint32_t	 uids[];
};

struct store_reader {
	char		*dir;
	int		 dirfd;
	struct index	 ix;
	MDB_txn		*txn;		/* reset between calls, renewed in each */
	struct cache	 cache;		/* opened at the first need */
	MDB_txn		*ctxn;
	struct cache_maker maker;
	struct hash	*maps;		/* mailbox -> the newest struct store_map */
	struct hash	*counts;	/* mailbox -> what reader_counts remembers of it */
};

/* Start and end a look at the index; r->txn is good in between. */
int	 reader_begin(struct store_reader *r, struct err *err);
void	 reader_end(struct store_reader *r);
/* 1, 0, -1 of the index as an answer; <what> is missing where it is 0. */
enum store_get reader_answer(int rc, const char *what, struct err *err);
/* Counters of the mailbox, inside a transaction. */
enum store_get reader_box(struct store_reader *r, uint64_t mbox, struct rec_box *b, struct err *err);

/* reader_counts.c: st->recent, and st->first_unseen where it is asked for, inside a transaction. */
int	 reader_counts(struct store_reader *r, uint64_t mbox, const struct rec_box *b, bool first_unseen,
	     struct store_status *st, struct err *err);

#endif
