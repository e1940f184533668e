/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading segments.  A segment of a process that lives is read up to the offset
 * that it declared durable; of a dead one the prefix of records that are whole (the
 * checksums say so).  A segment's writer holds a flock on it while it lives.
 *
 * Segments are named WW-GGGG-NNNNNNNNNNNN.seg (worker, generation, id in base 32 of
 * 60 bits that are never used twice); queue/ID files hold one record in the same form.
 */
#ifndef VPOST_SPOOL_READER_H
#define VPOST_SPOOL_READER_H

#include "spool/envelope.h"

#define SPOOL_SEGMENT_NAME_MAX	48

struct spool_reader;
struct spool_record_head;

/* One message of a segment. */
struct spool_record {
	uint64_t	 offset;		/* of the record in the file */
	uint64_t	 next;			/* of the record behind it */
	uint64_t	 content_off;		/* of the content in the file */
	uint64_t	 content_len;
	struct sv	 envelope;		/* valid until the next call on the reader */
};

enum spool_read {
	SPOOL_READ_OK,
	SPOOL_READ_END,			/* no whole record there: zeros, torn, or the limit is reached */
	SPOOL_READ_ERROR		/* the file cannot be read; *err says why */
};

/*
 * Opens read-only and checks the segment's header.  <path> of a segment: where the header is damaged, its name
 * says what it was called, and spool_reader_whole() is false.
 */
int	 spool_reader_open(struct spool_reader **rp, const char *path, struct err *err);
void	 spool_reader_close(struct spool_reader **rp);
int	 spool_reader_fd(const struct spool_reader *r);
uint64_t spool_reader_id(const struct spool_reader *r);
uint64_t spool_reader_size(const struct spool_reader *r);
/* Offset of the first record. */
uint64_t spool_reader_start(const struct spool_reader *r);
/*
 * Read the record at <offset>; it must end at or before <limit>.  <whole>: verify the
 * content's checksum too (segments of dead writers); else header and envelope alone.
 */
enum spool_read spool_reader_next(struct spool_reader *r, uint64_t offset, uint64_t limit, bool whole,
	     struct spool_record *rec, struct err *err);

/* The segment's own header is in order. */
bool	 spool_reader_whole(const struct spool_reader *r);
/*
 * Where reading met something else than a record: the next header of a record of this segment at or behind <from>, below
 * <limit>.  Stretches that cannot be read are passed over.  False: there is none.
 */
bool	 spool_reader_seek(const struct spool_reader *r, uint64_t from, uint64_t limit, struct spool_record_head *h,
	     uint64_t *at);
/*
 * Up to where the segment was surely declared durable, by what its writer left from <from> on: each record names the
 * durable offset at its writing, and a segment that was finished is cut there.  What is unreadable below that was lost; what is
 * unreadable above it was perhaps never written whole.
 */
uint64_t spool_reader_declared(const struct spool_reader *r, uint64_t from);

/* True when the process that wrote the segment is gone (its lock is free). */
bool	 spool_reader_orphan(const struct spool_reader *r);

/* <name> is a segment's name; fills worker, generation, id where not NULL. */
bool	 spool_segment_name_valid(const char *name, unsigned *worker, unsigned *generation, uint64_t *id);

/* ---- the record, pure: what reader, writer and queue files share (fuzzed) ---- */

#define SPOOL_RECORD_HEADER	64		/* bytes; records start at multiples of 64 */
#define SPOOL_SEGMENT_HEADER	64

struct spool_record_head {
	uint64_t	 segment_id;
	uint32_t	 envelope_len;
	uint64_t	 content_len;
	uint32_t	 envelope_crc;
	uint32_t	 content_crc;
	uint64_t	 durable;	/* of the segment, when the record was written */
	uint64_t	 nonce;		/* the segment's: content cannot be taken for a record */
};
void	 spool_record_head_put(uint8_t out[SPOOL_RECORD_HEADER], const struct spool_record_head *h);
/* False: not a record's header (magic, version, checksum or lengths are wrong). */
bool	 spool_record_head_get(struct spool_record_head *h, struct sv v);
/* Offset behind the record that starts at <offset>. */
uint64_t spool_record_end(const struct spool_record_head *h, uint64_t offset);

#endif
