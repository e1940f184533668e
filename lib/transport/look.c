/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A look at a file as its user: what stat(2) says of it, and its text.  For who routes by files that only the user may read (a
 * .forward in a home of mode 0700, or on a server that trusts no root).
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "os/file.h"
#include "os/shared.h"
#include "transport/transport_int.h"

#define ALONG_MAX	((size_t)256 * 1024)	/* of a text in the answer itself */

/* ---- in the user's process ---- */

static void
put_stat(struct exec *x, const struct stat *st)
{
	x->r->text = sv_cstr(arena_fmt(x->a, "%ju %ju %ju %ju %ju %ju %ju %ju", (uintmax_t)st->st_mode, (uintmax_t)st->st_uid,
	    (uintmax_t)st->st_gid, (uintmax_t)st->st_size, (uintmax_t)st->st_mtime, (uintmax_t)st->st_dev, (uintmax_t)st->st_ino,
	    (uintmax_t)st->st_nlink));
}

static int
put_text(struct exec *x, int fd, size_t max)
{
	struct sb text = SB_INIT(max + 1);
	char *room;
	ssize_t n = 1;

	while (n > 0 && (room = sb_room(&text, max - text.len + 1 < 65536 ? max - text.len + 1 : 65536)) != NULL) {
		n = read(fd, room, max - text.len + 1 < 65536 ? max - text.len + 1 : 65536);
		sb_took(&text, n > 0 ? (size_t)n : 0);
		if (text.len > max) {
			errno = EFBIG;
			n = -1;
		}
	}
	if (n == 0 && text.len > ALONG_MAX) {
		x->r->changed = os_sealed_new(text.p, text.len) + 1;
		n = x->r->changed > 0 ? 0 : -1;
	} else if (n == 0) {
		x->r->file_text = arena_sv(x->a, sb_sv(&text));
	}
	sb_free(&text);
	return (n == 0 ? 0 : -1);
}

static int
with_text(struct exec *x, const char *path, size_t max)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc;

	if (fd == -1)
		return (-1);
	rc = fstat(fd, &st);
	if (rc == 0)
		put_stat(x, &st);
	if (rc == 0 && !S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		rc = -1;
	} else if (rc == 0) {
		rc = put_text(x, fd, max);
	}
	(void)close(fd);
	return (rc);
}

void
exec_look(struct exec *x)
{
	const char *path = arena_cstr(x->a, x->j->path);
	int64_t max = x->j->message_size;
	struct stat st;
	int rc;

	errno = 0;
	if (max > 0) {
		rc = with_text(x, path, (size_t)max);
	} else if ((rc = max == 0 ? stat(path, &st) : lstat(path, &st)) == 0) {
		put_stat(x, &st);
	}
	x->r->sys = rc == 0 ? 0 : errno;
}

/* ---- who asks ---- */

void
transport_look_job(struct transport_job *j, int64_t uid, int64_t gid, struct sv path, int64_t max)
{
	*j = (struct transport_job){ .kind = TRANSPORT_LOOK, .uid = uid, .gid = gid, .path = path, .message_size = max };
}

int
transport_look_answer(const struct transport_result *r, int64_t max, struct arena *a, struct sv *out, struct stat *st)
{
	uint64_t v[8] = { 0 };
	struct sv rest = r->text, word;
	int64_t n;
	char *p;

	memset(st, 0, sizeof(*st));
	for (size_t i = 0; i < 8 && sv_word(&rest, &word); i++)
		(void)num_parse_u64(word, UINT64_MAX, &v[i]);
	st->st_mode = (mode_t)v[0];
	st->st_uid = (uid_t)v[1];
	st->st_gid = (gid_t)v[2];
	st->st_size = (off_t)(v[3] & INT64_MAX);
	st->st_mtime = (time_t)(v[4] & INT64_MAX);
	st->st_dev = (dev_t)v[5];
	st->st_ino = (ino_t)v[6];
	st->st_nlink = (nlink_t)v[7];
	if (r->sys != 0 || out == NULL) {
		errno = r->sys > 0 && r->sys < 4096 ? (int)r->sys : EIO;
		return (r->sys == 0 ? 0 : -1);
	}
	*out = arena_sv(a, r->file_text);
	errno = EIO;
	if (r->changed == 0)
		return (out->len <= (size_t)max ? 0 : -1);
	n = os_sealed_size(r->changed - 1);
	if (n < 0 || n > max)
		return (-1);
	p = arena_alloc(a, (size_t)n + 1);
	*out = sv_from(p, (size_t)n);
	return (os_pread_full(r->changed - 1, p, (size_t)n, 0) == (ssize_t)n ? 0 : -1);
}
