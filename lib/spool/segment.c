/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a segment and writing a record: the blocking parts of the writer, run on a
 * thread of the pool (or on the loop where a record is small).
 *
 * A segment is made under a temporary name, filled with zeros, synced, linked to its
 * name, and the directory synced; only then is it used.  So the fdatasync behind a
 * message writes its pages and nothing else.
 */
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "os/file.h"
#include "os/time.h"
#include "spool/spool_int.h"

#define COPY_CHUNK	(256 * 1024)
#define IOV_BATCH	256

/* ---- room ---- */

int64_t
spool_reserve_left(const char *dir, int percent, int64_t min)
{
	int64_t total = 0, left = os_free_space(dir, &total), keep;

	if (left < 0)
		return (INT64_MIN);
	keep = total / 100 * percent;
	return (left - (keep > min ? keep : min));
}

/* Bytes of all segments in <dir>; -1 with errno. */
static int64_t
journal_bytes(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *de;
	struct stat st;
	int64_t sum = 0;

	if (d == NULL)
		return (-1);
	while ((de = readdir(d)) != NULL)
		if (spool_segment_name_valid(de->d_name, NULL, NULL, NULL) &&
		    fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			sum += st.st_size;
	(void)closedir(d);
	return (sum);
}

static int
check_room(const struct segment_plan *p, struct err *err)
{
	int64_t have = journal_bytes(p->dir), left;

	if (have == -1)
		return (err_sys(err, "read %s", p->dir));
	if (have + (int64_t)p->size > p->journal_max)
		return (err_set(err, ERR_TEMP, "4.3.1", "the intake journal has reached journal_max (%lld bytes)",
		    (long long)p->journal_max));
	left = spool_reserve_left(p->dir, p->reserve_percent, p->reserve_min);
	if (left < (int64_t)p->size)
		return (err_set(err, ERR_TEMP, "4.3.1", "not enough free disk space for %s", p->dir));
	return (0);
}

/* ---- a new segment ---- */

/* 60 bits: microseconds, then the worker's number. */
static uint64_t
new_id(unsigned worker)
{
	return (((uint64_t)os_wall_us() << 9 | (worker & 511)) & ((UINT64_C(1) << 60) - 1));
}

static int
write_zeros(int fd, uint64_t size)
{
	static const char zeros[COPY_CHUNK];

	for (uint64_t off = 0; off < size;) {
		size_t n = size - off < sizeof(zeros) ? (size_t)(size - off) : sizeof(zeros);

		if (os_pwrite_full(fd, zeros, n, (off_t)off) != (ssize_t)n)
			return (-1);
		off += n;
	}
	return (0);
}

static int
fill_segment(const struct segment *s, const struct segment_plan *p, const char *tmp, struct err *err)
{
	struct segment_head h = { p->worker, p->generation, s->id, os_wall_us() / 1000000, s->size, s->nonce };
	uint8_t head[SPOOL_SEGMENT_HEADER];

	if (os_flock(s->fd, OS_LOCK_EXCLUSIVE, 0, err) == -1)
		return (-1);
	if (os_preallocate(s->fd, (off_t)s->size) == -1 || (p->zero && write_zeros(s->fd, s->size) == -1))
		return (err_sys(err, "preallocate %s/%s", p->dir, tmp));
	spool_segment_head_put(head, &h);
	if (os_pwrite_full(s->fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) || fsync(s->fd) == -1)
		return (err_sys(err, "write %s/%s", p->dir, tmp));
	return (0);
}

int
segment_make(struct segment *s, const struct segment_plan *p, struct err *err)
{
	char tmp[64];
	int dfd, rc = -1;

	s->fd = -1;
	if (check_room(p, err) == -1)
		return (-1);
	dfd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dfd == -1)
		return (err_sys(err, "open %s", p->dir));
	s->id = new_id(p->worker);
	s->size = p->size;
	if (getentropy(&s->nonce, sizeof(s->nonce)) == -1) {
		err_sys(err, "random bytes");
		goto out;
	}
	spool_segment_name(s->name, p->worker, p->generation, s->id);
	(void)snprintf(tmp, sizeof(tmp), "tmp.%ld.%s", (long)getpid(), s->name);
	s->fd = openat(dfd, tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (s->fd == -1) {
		err_sys(err, "create %s/%s", p->dir, tmp);
		goto out;
	}
	if (fill_segment(s, p, tmp, err) == -1)
		goto out;
	/* link(2), not rename(2): a name that is taken must be seen. */
	if (linkat(dfd, tmp, dfd, s->name, 0) == -1) {
		err_sys(err, "link %s/%s", p->dir, s->name);
		goto out;
	}
	(void)unlinkat(dfd, tmp, 0);
	if (fsync(dfd) == -1) {
		err_sys(err, "fsync %s", p->dir);
		(void)unlinkat(dfd, s->name, 0);
		goto out;
	}
	rc = 0;
out:
	if (rc == -1 && s->fd != -1) {
		(void)unlinkat(dfd, tmp, 0);
		(void)close(s->fd);
		s->fd = -1;
	}
	(void)close(dfd);
	return (rc);
}

/* ---- a record ---- */

uint64_t
spool_content_length(const struct spool_content *c)
{
	uint64_t n = c->fd == -1 ? 0 : (uint64_t)c->len;

	for (unsigned i = 0; i < c->niov; i++)
		n += c->iov[i].iov_len;
	return (n);
}

/* pwritev over any number of pieces and short counts. */
static int
write_iov(int fd, uint64_t off, const struct iovec *iov, unsigned n)
{
	for (unsigned i = 0; i < n;) {
		unsigned k = n - i < IOV_BATCH ? n - i : IOV_BATCH;
		size_t want = 0;
		ssize_t got;

		for (unsigned j = 0; j < k; j++)
			want += iov[i + j].iov_len;
		got = pwritev(fd, iov + i, (int)k, (off_t)off);
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return (-1);
		off += (size_t)got;
		if ((size_t)got == want) {
			i += k;
			continue;
		}
		for (; (size_t)got >= iov[i].iov_len; i++)
			got -= (ssize_t)iov[i].iov_len;
		want = iov[i].iov_len - (size_t)got;
		if (os_pwrite_full(fd, (char *)iov[i].iov_base + got, want, (off_t)off) != (ssize_t)want)
			return (-1);
		off += want;
		i++;
	}
	return (0);
}

/* Copy the descriptor's part behind the rest, chaining the checksum. */
static int
copy_fd(int fd, uint64_t off, const struct spool_content *c, uint32_t *crc)
{
	char *buf = malloc(COPY_CHUNK);
	int64_t from = c->off, left = c->len;

	if (buf == NULL)
		return (-1);
	while (left > 0) {
		size_t n = left < COPY_CHUNK ? (size_t)left : COPY_CHUNK;
		ssize_t got = os_pread_full(c->fd, buf, n, (off_t)from);

		if (got != (ssize_t)n) {
			if (got != -1)
				errno = EIO;
			break;
		}
		*crc = crc32c(*crc, buf, n);
		if (os_pwrite_full(fd, buf, n, (off_t)off) != (ssize_t)n)
			break;
		off += n;
		from += (int64_t)n;
		left -= (int64_t)n;
	}
	free(buf);
	return (left == 0 ? 0 : -1);
}

int
spool_record_write(int fd, uint64_t off, const struct spool_record_tag *tag, struct sv env, const struct spool_content *c)
{
	struct iovec few[18], *iov = few;
	uint8_t head[SPOOL_RECORD_HEADER];
	struct spool_record_head h = { .segment_id = tag->segment_id, .durable = tag->durable, .nonce = tag->nonce,
	    .envelope_len = (uint32_t)env.len, .content_len = spool_content_length(c), .envelope_crc = crc32c(0, env.p, env.len) };
	uint64_t at = off + SPOOL_RECORD_HEADER + env.len;
	int rc = -1;

	if (c->niov + 2 > sizeof(few) / sizeof(few[0]) && (iov = calloc(c->niov + 2, sizeof(*iov))) == NULL)
		return (-1);
	for (unsigned i = 0; i < c->niov; i++) {
		h.content_crc = crc32c(h.content_crc, c->iov[i].iov_base, c->iov[i].iov_len);
		iov[i + 2] = c->iov[i];
		at += c->iov[i].iov_len;
	}
	iov[0] = (struct iovec){ head, sizeof(head) };
	iov[1] = (struct iovec){ (void *)(uintptr_t)env.p, env.len };
	if (c->fd == -1 || c->len == 0) {
		spool_record_head_put(head, &h);
		rc = write_iov(fd, off, iov, c->niov + 2);
	} else if (write_iov(fd, off + SPOOL_RECORD_HEADER, iov + 1, c->niov + 1) == 0 &&
	    copy_fd(fd, at, c, &h.content_crc) == 0) {
		spool_record_head_put(head, &h);
		rc = os_pwrite_full(fd, head, sizeof(head), (off_t)off) == (ssize_t)sizeof(head) ? 0 : -1;
	}
	if (iov != few)
		free(iov);
	return (rc);
}
