/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The done-log: entries of 32 bytes, appended.
 *
 *	0 CRC-32C of 4..31   4 recipient   8 record   16 child   24 state   25 zero
 */
#include "spool/done.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "fiber/fiber.h"
#include "os/file.h"

#define ENTRY_SIZE	32
#define PENDING_MAX	(8 * 1024 * 1024)

struct spool_done {
	int		 fd;
	char		*path;
	uint64_t	 end;		/* of the good entries in the file */
	struct sb	 pending;
	bool		 broken;	/* a write failed half way: the tail is to be cut */
	bool		 named;		/* its directory is on disk */
	/* The shared sync. */
	uint64_t	 written;	/* bytes written */
	uint64_t	 synced;	/* bytes known to be on disk */
	bool		 syncing;
	struct fiber_waiters waiters;
	unsigned	 users;
	bool		 closing;
};

uint64_t
spool_child(const char *what, struct sv addr)
{
	ptrdiff_t at = sv_rchr(addr, '@');
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	/* FNV-1a: the same in every process and for all time, unlike hash_bytes(). */
	for (const char *p = what; *p != '\0'; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	h = (h ^ '|') * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < addr.len; i++) {
		char c = at >= 0 && i > (size_t)at ? sv_lower(addr.p[i]) : addr.p[i];

		h = (h ^ (uint8_t)c) * UINT64_C(0x100000001b3);
	}
	return (h == 0 ? 1 : h);
}

static bool
entry_get(struct spool_done_entry *e, const uint8_t *p)
{
	if (get_le32(p) != crc32c(0, p + 4, ENTRY_SIZE - 4) || p[24] > SPOOL_ST_RETRY)
		return (false);
	e->rcpt = get_le32(p + 4);
	e->record = get_le64(p + 8);
	e->child = get_le64(p + 16);
	e->state = (enum spool_state)p[24];
	return (true);
}

/* Walk what is there; a torn tail is cut off. */
static int
replay(struct spool_done *d, void (*fn)(void *arg, const struct spool_done_entry *e), void *arg, struct err *err)
{
	uint8_t buf[ENTRY_SIZE * 512];
	struct spool_done_entry e;
	struct stat st;
	ssize_t n;

	for (;;) {
		n = os_pread_full(d->fd, buf, sizeof(buf), (off_t)d->end);
		if (n == -1)
			return (err_sys(err, "read %s", d->path));
		for (size_t at = 0; at + ENTRY_SIZE <= (size_t)n; at += ENTRY_SIZE) {
			if (!entry_get(&e, buf + at)) {
				n = 0;
				break;
			}
			if (fn != NULL)
				fn(arg, &e);
			d->end += ENTRY_SIZE;
		}
		if (n < (ssize_t)sizeof(buf))
			break;
	}
	if (fstat(d->fd, &st) == -1)
		return (err_sys(err, "stat %s", d->path));
	if ((uint64_t)st.st_size > d->end && ftruncate(d->fd, (off_t)d->end) == -1)
		return (err_sys(err, "cut %s", d->path));
	return (0);
}

int
spool_done_open(struct spool_done **dp, const char *path, void (*fn)(void *arg, const struct spool_done_entry *e),
    void *arg, struct err *err)
{
	struct spool_done *d = xcalloc(1, sizeof(*d));

	*dp = NULL;
	d->path = xstrdup(path);
	sb_init(&d->pending, PENDING_MAX);
	d->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (d->fd == -1)
		err_sys(err, "open %s", path);
	if (d->fd == -1 || replay(d, fn, arg, err) == -1) {
		spool_done_close(&d);
		return (-1);
	}
	d->written = d->end;
	*dp = d;
	return (0);
}

static void
done_free(struct spool_done *d)
{
	if (d->fd != -1)
		(void)close(d->fd);
	sb_free(&d->pending);
	free(d->path);
	free(d);
}

void
spool_done_close(struct spool_done **dp)
{
	struct spool_done *d = *dp;

	if (d == NULL)
		return;
	*dp = NULL;
	d->closing = true;
	if (d->users == 0)
		done_free(d);
}

void
spool_done_add(struct spool_done *d, uint64_t record, uint32_t rcpt, uint64_t child, enum spool_state st)
{
	uint8_t b[ENTRY_SIZE] = { 0 };

	put_le32(b + 4, rcpt);
	put_le64(b + 8, record);
	put_le64(b + 16, child);
	b[24] = (uint8_t)st;
	put_le32(b, crc32c(0, b + 4, ENTRY_SIZE - 4));
	sb_addn(&d->pending, b, sizeof(b));
}

bool
spool_done_pending(const struct spool_done *d)
{
	return (d->pending.len > 0);
}

int
spool_done_write(struct spool_done *d, struct err *err)
{
	if (d->pending.len == 0)
		return (0);
	if (d->broken && ftruncate(d->fd, (off_t)d->end) == -1)
		return (err_sys(err, "cut %s", d->path));
	d->broken = false;
	if (os_pwrite_full(d->fd, d->pending.p, d->pending.len, (off_t)d->end) != (ssize_t)d->pending.len) {
		d->broken = true;	/* what was collected stays, and is written by the next call */
		return (err_sys(err, "write %s", d->path));
	}
	d->end += d->pending.len;
	d->written = d->end;
	sb_clear(&d->pending);
	return (0);
}

struct sync_job {
	int		 fd;
	const char	*name;		/* its directory is to be synced too; or NULL */
	int		 rc;
	struct err	 err;
};

static void
sync_fd(void *arg)
{
	struct sync_job *j = arg;

	j->rc = fdatasync(j->fd) == -1 ? err_sys(&j->err, "fdatasync the done-log") : 0;
	if (j->rc == 0 && j->name != NULL)
		j->rc = os_fsync_parent(j->name, &j->err);
}

int
spool_done_sync(struct spool_done *d, struct err *err)
{
	uint64_t want;
	int rc = 0;

	if (spool_done_write(d, err) == -1)
		return (-1);
	want = d->written;
	d->users++;
	while (d->synced < want && rc == 0) {
		struct sync_job j = { .fd = d->fd, .name = d->named ? NULL : d->path, .err = ERR_INIT };
		uint64_t upto;

		if (d->syncing) {
			(void)fiber_waiters_wait(&d->waiters, FIBER_FOREVER);
			if (!fiber_cancelled())
				continue;
		}
		d->syncing = true;
		upto = d->written;
		fiber_offload(sync_fd, &j);
		d->syncing = false;
		if (j.rc == 0 && upto > d->synced)
			d->synced = upto;
		d->named = d->named || j.rc == 0;
		rc = j.rc;
		if (rc == -1 && err != NULL) {
			*err = j.err;
			err_prefix(err, "%s", d->path);
		}
		fiber_waiters_wake_all(&d->waiters);
	}
	if (--d->users == 0 && d->closing)
		done_free(d);
	return (rc);
}
