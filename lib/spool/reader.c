/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the records of a segment.  Small messages are read many at a time into one
 * buffer; the content of large ones is passed over.
 */
#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "os/file.h"
#include "spool/spool_int.h"

#define READ_AHEAD	(128 * 1024)
#define SEEK_BLOCK	4096		/* around a bad block this much is passed over */

struct spool_reader {
	int		 fd;
	char		*path;
	struct segment_head head;
	bool		 head_bad;	/* <head> is what the name says; the nonce is taken from the first record */
	uint64_t	 size;		/* of the file as last seen */
	char		*buf;
	size_t		 cap;
	uint64_t	 buf_off;	/* of the file, where the buffer starts */
	size_t		 buf_len;
};

static bool
head_of_name(struct segment_head *h, const char *path)
{
	const char *base = strrchr(path, '/');

	memset(h, 0, sizeof(*h));
	return (spool_segment_name_valid(base == NULL ? path : base + 1, &h->worker, &h->generation, &h->id));
}

int
spool_reader_open(struct spool_reader **rp, const char *path, struct err *err)
{
	struct spool_reader *r = xcalloc(1, sizeof(*r));
	uint8_t head[SPOOL_SEGMENT_HEADER];
	struct stat st;

	*rp = r;
	r->path = xstrdup(path);
	r->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (r->fd == -1 || fstat(r->fd, &st) == -1) {
		err_sys(err, "open %s", path);
		spool_reader_close(rp);
		return (-1);
	}
	if (os_pread_full(r->fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    !spool_segment_head_get(&r->head, sv_from((char *)head, sizeof(head))))
		r->head_bad = true;
	if (!r->head_bad || head_of_name(&r->head, path)) {
		r->size = (uint64_t)st.st_size;
		return (0);
	}
	err_set(err, ERR_PERM, "5.3.0", "%s is not a segment of the intake journal", path);
	spool_reader_close(rp);
	return (-1);
}

void
spool_reader_close(struct spool_reader **rp)
{
	struct spool_reader *r = *rp;

	if (r == NULL)
		return;
	if (r->fd != -1)
		(void)close(r->fd);
	free(r->buf);
	free(r->path);
	free(r);
	*rp = NULL;
}

int
spool_reader_fd(const struct spool_reader *r)
{
	return (r->fd);
}

uint64_t
spool_reader_id(const struct spool_reader *r)
{
	return (r->head.id);
}

uint64_t
spool_reader_size(const struct spool_reader *r)
{
	return (r->size);
}

uint64_t
spool_reader_start(const struct spool_reader *r)
{
	(void)r;
	return (SPOOL_SEGMENT_HEADER);
}

/*
 * Make <n> bytes at <off> lie in the buffer and return them; fewer where the file (or <limit>) ends.
 * What was read once is not read again: bytes below a durable offset do not change.
 */
static int
fill(struct spool_reader *r, uint64_t off, size_t n, uint64_t limit, struct sv *out, struct err *err)
{
	size_t want = n < READ_AHEAD ? READ_AHEAD : n;
	ssize_t got;

	if (off < r->buf_off || off + n > r->buf_off + r->buf_len) {
		if (off + want > limit)
			want = limit > off ? (size_t)(limit - off) : 0;
		if (want > r->cap) {
			r->buf = xrealloc(r->buf, want);
			r->cap = want;
		}
		got = want == 0 ? 0 : os_pread_full(r->fd, r->buf, want, (off_t)off);
		/* A bad block further on is no reason not to read this. */
		if (got == -1 && want > n)
			got = os_pread_full(r->fd, r->buf, n, (off_t)off);
		if (got == -1)
			return (err_sys(err, "read %s", r->path));
		r->buf_off = off;
		r->buf_len = (size_t)got;
	}
	*out = sv_from(r->buf + (off - r->buf_off), r->buf_len - (size_t)(off - r->buf_off));
	if (out->len > n)
		out->len = n;
	return (0);
}

/* The content's checksum is right. */
static enum spool_read
check_content(struct spool_reader *r, const struct spool_record *rec, uint32_t want, struct err *err)
{
	char *buf = xmalloc(READ_AHEAD);
	uint64_t off = rec->content_off, left = rec->content_len;
	uint32_t crc = 0;
	ssize_t got = 0;

	while (left > 0) {
		size_t n = left < READ_AHEAD ? (size_t)left : READ_AHEAD;

		got = os_pread_full(r->fd, buf, n, (off_t)off);
		if (got != (ssize_t)n)
			break;
		crc = crc32c(crc, buf, n);
		off += n;
		left -= n;
	}
	free(buf);
	if (got == -1) {
		err_sys(err, "read %s", r->path);
		return (SPOOL_READ_ERROR);
	}
	return (left == 0 && crc == want ? SPOOL_READ_OK : SPOOL_READ_END);
}

/* The header is of a record of this segment. */
static bool
ours(const struct spool_reader *r, const struct spool_record_head *h)
{
	return (h->segment_id == r->head.id && (h->nonce == r->head.nonce || (r->head_bad && r->head.nonce == 0)));
}

enum spool_read
spool_reader_next(struct spool_reader *r, uint64_t offset, uint64_t limit, bool whole, struct spool_record *rec,
    struct err *err)
{
	struct spool_record_head h;
	struct sv v;
	struct stat st;

	/* A segment ends where its file ends; what is declared durable lies before that, and is not asked for. */
	if (limit > r->size) {
		if (fstat(r->fd, &st) == 0)
			r->size = (uint64_t)st.st_size;
		if (limit > r->size)
			limit = r->size;
	}
	if (offset % SPOOL_ALIGN != 0 || offset + SPOOL_RECORD_HEADER > limit)
		return (SPOOL_READ_END);
	if (fill(r, offset, SPOOL_RECORD_HEADER, limit, &v, err) == -1)
		return (SPOOL_READ_ERROR);
	if (!spool_record_head_get(&h, v) || !ours(r, &h))
		return (SPOOL_READ_END);
	if (r->head_bad)
		r->head.nonce = h.nonce;
	rec->offset = offset;
	rec->next = spool_record_end(&h, offset);
	rec->content_off = offset + SPOOL_RECORD_HEADER + h.envelope_len;
	rec->content_len = h.content_len;
	/* The zeros that fill the last record up may lie behind the end of a file that was cut. */
	if (rec->content_off + h.content_len > limit)
		return (SPOOL_READ_END);
	if (fill(r, offset + SPOOL_RECORD_HEADER, h.envelope_len, limit, &rec->envelope, err) == -1)
		return (SPOOL_READ_ERROR);
	if (rec->envelope.len != h.envelope_len ||
	    crc32c(0, rec->envelope.p, rec->envelope.len) != h.envelope_crc)
		return (SPOOL_READ_END);
	return (whole ? check_content(r, rec, h.content_crc, err) : SPOOL_READ_OK);
}

/* ---- over what cannot be read ---- */

bool
spool_reader_whole(const struct spool_reader *r)
{
	return (!r->head_bad);
}

/* <n> bytes at <off>, less at the end of the file; what cannot be read is zero. */
static size_t
read_round(const struct spool_reader *r, char *buf, size_t n, uint64_t off)
{
	ssize_t got = os_pread_full(r->fd, buf, n, (off_t)off);
	size_t at = 0;

	if (got != -1)
		return ((size_t)got);
	while (at < n) {
		size_t part = n - at < SEEK_BLOCK ? n - at : SEEK_BLOCK;

		got = os_pread_full(r->fd, buf + at, part, (off_t)(off + at));
		if (got == -1)
			memset(buf + at, 0, part);
		else if ((size_t)got < part)
			return (at + (size_t)got);
		at += part;
	}
	return (n);
}

bool
spool_reader_seek(const struct spool_reader *r, uint64_t from, uint64_t limit, struct spool_record_head *h, uint64_t *at)
{
	char *buf = xmalloc(READ_AHEAD);
	bool found = false;

	from = (from + SPOOL_ALIGN - 1) / SPOOL_ALIGN * SPOOL_ALIGN;
	while (!found && from < limit) {
		size_t n = read_round(r, buf, READ_AHEAD, from), i;

		for (i = 0; i + SPOOL_RECORD_HEADER <= n && from + i < limit; i += SPOOL_ALIGN)
			if (spool_record_head_get(h, sv_from(buf + i, SPOOL_RECORD_HEADER)) && ours(r, h)) {
				*at = from + i;
				found = true;
				break;
			}
		if (n < READ_AHEAD)
			break;
		from += READ_AHEAD;
	}
	free(buf);
	return (found);
}

uint64_t
spool_reader_declared(const struct spool_reader *r, uint64_t from)
{
	struct spool_record_head h;
	uint64_t top = 0, at;
	struct stat st;

	if (r->head.size != 0 && fstat(r->fd, &st) == 0 && (uint64_t)st.st_size < r->head.size)
		return ((uint64_t)st.st_size);
	for (; spool_reader_seek(r, from, UINT64_MAX, &h, &at); from = spool_record_end(&h, at))
		if (h.durable > top)
			top = h.durable;
	return (top);
}

bool
spool_reader_orphan(const struct spool_reader *r)
{
	if (flock(r->fd, LOCK_SH | LOCK_NB) == -1)
		return (false);
	(void)flock(r->fd, LOCK_UN);
	return (true);
}
