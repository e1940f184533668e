/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of this folder share. */
#ifndef VPOST_SPOOL_SPOOL_INT_H
#define VPOST_SPOOL_SPOOL_INT_H

#include "spool/reader.h"
#include "spool/writer.h"

#define SPOOL_ALIGN		64
#define SPOOL_CONTENT_MAX	(UINT64_C(1) << 40)

struct segment_head {
	uint32_t	 worker;
	uint32_t	 generation;
	uint64_t	 id;
	int64_t		 made;
	uint64_t	 size;		/* as it was made; a shorter file was cut at its durable end.  0: not known */
	uint64_t	 nonce;
};

/* What a record says of its segment; of a queue file only the first. */
struct spool_record_tag {
	uint64_t	 segment_id;
	uint64_t	 durable;
	uint64_t	 nonce;
};
void	 spool_segment_head_put(uint8_t out[SPOOL_SEGMENT_HEADER], const struct segment_head *h);
bool	 spool_segment_head_get(struct segment_head *h, struct sv v);
void	 spool_segment_name(char out[SPOOL_SEGMENT_NAME_MAX], unsigned worker, unsigned generation, uint64_t id);

/* Bytes of the content as <c> describes it. */
uint64_t spool_content_length(const struct spool_content *c);
/*
 * Write one record at <off> of <fd>: header, envelope <env>, content <c>.  The header goes
 * last where content comes from a descriptor, so a torn record never looks whole.
 * Blocks.  -1 with errno.
 */
int	 spool_record_write(int fd, uint64_t off, const struct spool_record_tag *tag, struct sv env,
	     const struct spool_content *c);

/* A segment that a writer made; see segment.c. */
struct segment {
	char		 name[SPOOL_SEGMENT_NAME_MAX];
	int		 fd;		/* holds the flock */
	uint64_t	 id;
	uint64_t	 size;
	uint64_t	 nonce;
};

struct segment_plan {
	const char	*dir;
	unsigned	 worker;
	unsigned	 generation;
	uint64_t	 size;		/* with the header */
	bool		 zero;		/* write zeros: later syncs then change no metadata */
	int64_t		 journal_max;
	int		 reserve_percent;
	int64_t		 reserve_min;
};
/* Make a segment that is named, locked, preallocated and known to its directory.  Blocks. */
int	 segment_make(struct segment *s, const struct segment_plan *p, struct err *err);

#endif
