/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The done-log: entries of 32 bytes, appended.
 *
 *	0 CRC-32C of 4..31   4 recipient   8 record   16 child   24 state   25 zero
 */
#include "spool/done.h"

#include <sys/stat.h>

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "fiber/fiber.h"
#include "os/file.h"

#define ENTRY_SIZE	32
#define BEHIND		(1024 * 1024)	/* so much that cannot be written is a reason to begin nothing new */
#define UNLIMITED	(SIZE_MAX / 4)	/* nothing that was settled may be dropped: see spool_done_behind() */

struct spool_done {
	int		 fd;
	char		*path;
	uint64_t	 end;		/* of the good entries in the file */
	struct sb	 pending;
	struct sb	 keep;		/* entries whose loss does harm, since the last good sync: written or pending */
	bool		 broken;	/* a write failed half way: the tail is to be cut */
	bool		 named;		/* its directory is on disk */
	/* The shared sync. */
	uint64_t	 written;	/* bytes written, of whichever file */
	uint64_t	 synced;	/* of these, known to be on disk */
	bool		 syncing;
	bool		 suspect;	/* a sync failed: the file is not to be trusted, whatever the next one says */
	bool		 renewing;
	struct sb	 since;		/* written while the file is being made anew */
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

/* Walk what is there; a torn tail is cut off, a damaged entry before others passed over. */
static int
replay(struct spool_done *d, void (*fn)(void *arg, const struct spool_done_entry *e), void *arg, struct err *err)
{
	uint8_t buf[ENTRY_SIZE * 512];
	struct spool_done_entry e;
	uint64_t off = 0;
	struct stat st;
	ssize_t n;

	do {
		n = os_pread_full(d->fd, buf, sizeof(buf), (off_t)off);
		if (n == -1)
			return (err_sys(err, "read %s", d->path));
		for (size_t at = 0; at + ENTRY_SIZE <= (size_t)n; at += ENTRY_SIZE) {
			if (!entry_get(&e, buf + at))
				continue;
			if (fn != NULL)
				fn(arg, &e);
			d->end = off + at + ENTRY_SIZE;
		}
		off += (uint64_t)n;
	} while (n == (ssize_t)sizeof(buf));
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
	sb_init(&d->pending, UNLIMITED);
	sb_init(&d->keep, UNLIMITED);
	sb_init(&d->since, UNLIMITED);
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
	sb_free(&d->keep);
	sb_free(&d->since);
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
	/* A local delivery is found again by its delivery id; without its intent a message is sent again unremarked. */
	if (st != SPOOL_ST_LOCAL && st != SPOOL_ST_INTENT)
		sb_addn(&d->keep, b, sizeof(b));
	assert(!d->pending.overflow && !d->keep.overflow);
}

bool
spool_done_pending(const struct spool_done *d)
{
	return (d->pending.len > 0);
}

bool
spool_done_behind(const struct spool_done *d)
{
	return (d->pending.len > BEHIND || d->keep.len > BEHIND);
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
	d->written += d->pending.len;
	if (d->renewing)
		sb_add(&d->since, sb_sv(&d->pending));
	sb_clear(&d->pending);
	return (0);
}

/* ---- a file that is not to be trusted is made anew ---- */

struct renew_job {
	int		 fd;
	const char	*tmp;
	struct sb	 all;
	int		 rc;
	struct err	 err;
};

static void
write_new(void *arg)
{
	struct renew_job *j = arg;

	j->rc = -1;
	j->fd = open(j->tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (j->fd == -1)
		err_sys(&j->err, "create %s", j->tmp);
	else if (os_pwrite_full(j->fd, j->all.p, j->all.len, 0) != (ssize_t)j->all.len)
		err_sys(&j->err, "write %s", j->tmp);
	else if (fdatasync(j->fd) == -1)
		err_sys(&j->err, "fdatasync %s", j->tmp);
	else
		j->rc = 0;
}

/* What can be read of the old file, then from memory what it may have lost. */
static void
collect_all(const struct spool_done *d, struct sb *all)
{
	uint8_t buf[ENTRY_SIZE * 512];
	struct spool_done_entry e;
	ssize_t n;

	for (uint64_t off = 0; off < d->end; off += (size_t)n) {
		n = os_pread_full(d->fd, buf, sizeof(buf), (off_t)off);
		if (n < ENTRY_SIZE)
			break;
		n -= n % ENTRY_SIZE;
		for (ssize_t at = 0; at < n; at += ENTRY_SIZE)
			if (entry_get(&e, buf + at))
				sb_addn(all, buf + at, ENTRY_SIZE);
	}
	sb_add(all, sb_sv(&d->keep));
}

static char *
tmp_name(const char *path)
{
	const char *base = strrchr(path, '/');
	size_t n = strlen(path) + 32;
	char *p = xmalloc(n);

	base = base == NULL ? path : base + 1;
	(void)snprintf(p, n, "%.*stmp.%ld.%s", (int)(base - path), path, (long)getpid(), base);
	return (p);
}

/*
 * A new file takes the place of the one whose sync failed: what the system could not write it may have dropped, and a
 * later sync of the same file would not tell.  The old file gets entries until the new one has its name, for the
 * process may be killed meanwhile.
 */
static int
renew(struct spool_done *d, struct err *err)
{
	struct renew_job j = { .fd = -1, .all = SB_INIT(UNLIMITED), .err = ERR_INIT };
	char *tmp = tmp_name(d->path);
	size_t len;

	collect_all(d, &j.all);
	len = j.all.len;
	j.tmp = tmp;
	d->renewing = true;
	sb_clear(&d->since);
	fiber_offload(write_new, &j);
	d->renewing = false;
	if (j.rc == 0 && os_pwrite_full(j.fd, d->since.p, d->since.len, (off_t)len) != (ssize_t)d->since.len)
		j.rc = err_sys(&j.err, "write %s", tmp);
	if (j.rc == 0 && rename(tmp, d->path) == -1)
		j.rc = err_sys(&j.err, "rename %s", tmp);
	if (j.rc == 0) {
		(void)close(d->fd);
		d->fd = j.fd;
		d->end = len + d->since.len;
		d->suspect = d->broken = d->named = false;
	} else {
		if (j.fd != -1) {
			(void)close(j.fd);
			(void)unlink(tmp);
		}
		if (err != NULL)
			*err = j.err;
	}
	sb_free(&d->since);
	sb_free(&j.all);
	free(tmp);
	return (j.rc);
}

/* ---- the shared sync ---- */

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

/* Sync, of a file that can be trusted, all that is written when this begins. */
static int
lead(struct spool_done *d, struct err *err)
{
	struct sync_job j = { .err = ERR_INIT };
	uint64_t upto;
	size_t kept;

	if (d->suspect && renew(d, err) == -1)
		return (-1);
	/* Nothing that is kept below is still pending. */
	if (spool_done_write(d, err) == -1)
		return (-1);
	j.fd = d->fd;
	j.name = d->named ? NULL : d->path;
	upto = d->written;
	kept = d->keep.len;
	fiber_offload(sync_fd, &j);
	if (j.rc == -1) {
		d->suspect = true;
		if (err != NULL) {
			*err = j.err;
			err_prefix(err, "%s", d->path);
		}
		return (-1);
	}
	d->named = true;
	if (upto > d->synced)
		d->synced = upto;
	sb_drop(&d->keep, kept);
	return (0);
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
		if (d->syncing) {
			if (fiber_waiters_wait(&d->waiters, FIBER_FOREVER) == FIBER_CANCELLED)
				rc = err_set(err, ERR_TEMP, "4.3.2", "%s: cancelled before it was synced", d->path);
			continue;
		}
		d->syncing = true;
		rc = lead(d, err);
		d->syncing = false;
		fiber_waiters_wake_all(&d->waiters);
	}
	if (--d->users == 0 && d->closing)
		done_free(d);
	return (rc);
}
