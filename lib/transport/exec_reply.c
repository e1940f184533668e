/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * autoreply's part that needs the user's rights: who had a reply before (a Berkeley DB map as
 * Exim keeps it, or a small file of limited size), the file of its text, the log.  Whether one had a reply is asked
 * first and noted last, when the reply is safe in the queue: a crash between sends a second one, never none.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "map/map.h"
#include "map/update.h"
#include "os/file.h"
#include "transport/transport_int.h"

#define FILE_MAX	(768 * 1024)
#define SMALL_MAX	(8 * 1024 * 1024)

/* ---- a file of limited size: 8 bytes of time, the address, a NUL ---- */

static int
read_small(struct exec *x, const char *path, struct sb *out)
{
	struct err err = ERR_INIT;

	if (os_read_file(path, SMALL_MAX, out, &err) == 0 || errno == ENOENT)
		return (0);
	exec_fail(x, TRANSPORT_DEFER, errno, "Failed to open \"once\" file %s when sending message from %.*s transport", path,
	    SV_ARG(x->j->transport));
	return (-1);
}

/* The next entry at *<pos>; false at the end (or where it is torn). */
static bool
small_next(struct sv all, size_t *pos, struct sv *entry, int64_t *when, struct sv *who)
{
	const char *nul;

	if (all.len - *pos <= sizeof(*when) || (nul = memchr(all.p + *pos + sizeof(*when), '\0',
	    all.len - *pos - sizeof(*when))) == NULL)
		return (false);
	memcpy(when, all.p + *pos, sizeof(*when));
	*who = sv_from(all.p + *pos + sizeof(*when), (size_t)(nul - all.p) - *pos - sizeof(*when));
	*entry = sv_from(all.p + *pos, (size_t)(nul + 1 - all.p) - *pos);
	*pos += entry->len;
	return (true);
}

static int
small_get(struct exec *x, const char *path, struct sv key, int64_t *when)
{
	struct sb all = SB_INIT(SMALL_MAX + 1);
	struct sv entry, who;
	int64_t t;
	size_t pos = 0;
	int rc = read_small(x, path, &all);

	*when = 0;
	while (rc == 0 && small_next(sb_sv(&all), &pos, &entry, &t, &who))
		if (sv_eq(who, key))
			*when = t;
	sb_free(&all);
	return (rc);
}

static int
small_put(struct exec *x, const char *path, struct sv key)
{
	struct sb all = SB_INIT(SMALL_MAX + 1), out = SB_INIT(SMALL_MAX + 1);
	struct sv entry, who;
	struct err err = ERR_INIT;
	int64_t t, now = x->j->now;
	size_t pos = 0, add = sizeof(now) + key.len + 1;
	int rc = read_small(x, path, &all);

	/* The oldest stand first, and go first. */
	while (rc == 0 && small_next(sb_sv(&all), &pos, &entry, &t, &who))
		if (!sv_eq(who, key))
			sb_add(&out, entry);
	pos = 0;
	while (out.len - pos + add > (size_t)x->j->once_size && small_next(sb_sv(&out), &pos, &entry, &t, &who))
		continue;
	sb_drop(&out, pos);
	sb_addn(&out, &now, sizeof(now));
	sb_add(&out, key);
	sb_addc(&out, '\0');
	if (rc == 0 && os_write_atomic(path, sb_sv(&out), (mode_t)x->j->mode, &err) == -1) {
		exec_fail(x, TRANSPORT_DEFER, errno, "Failed to write \"once\" file %s: %s", path, err.text);
		rc = -1;
	}
	sb_free(&all);
	sb_free(&out);
	return (rc);
}

/* ---- a map: key the address, value the time ---- */

static int
map_when(struct exec *x, const char *path, struct sv key, int64_t *when)
{
	struct map *m = map_open(path, MAP_HASH, MAP_OPTIONAL | MAP_WAIT);
	struct err err = ERR_INIT;
	struct sv value;
	int rc = 0;

	*when = 0;
	switch (map_get(m, key, MAP_FRESH, &value, &err)) {
	case MAP_FOUND:
		*when = x->j->now;
		if (value.len >= sizeof(*when))
			memcpy(when, value.p, sizeof(*when));
		break;
	case MAP_NOTFOUND:
		break;
	default:
		exec_fail(x, TRANSPORT_DEFER, TRANSPORT_E_UNKNOWN,
		    "Failed to open dbm file %s when sending message from %.*s transport: "
		    "%s", path, SV_ARG(x->j->transport), err.text);
		rc = -1;
	}
	map_close(&m);
	return (rc);
}

struct note {
	struct sv	 key;
	int64_t		 now;
};

static int
change(void *arg, struct map_edit *e, struct err *err)
{
	const struct note *n = arg;

	(void)err;
	map_edit_set(e, n->key, sv_from((const char *)&n->now, sizeof(n->now)));
	return (0);
}

static int
map_put(struct exec *x, const char *path, struct sv key)
{
	struct note n = { .key = key, .now = x->j->now };
	struct err err = ERR_INIT;

	if (map_update(path, MAP_HASH, (mode_t)x->j->mode, change, &n, &err) >= 0) {
		map_lock_remove(path);
		return (0);
	}
	exec_fail(x, TRANSPORT_DEFER, TRANSPORT_E_UNKNOWN, "%s", err.text);
	return (-1);
}

/* ---- the two phases ---- */

static void
write_log(struct exec *x, struct sv text)
{
	const char *path = arena_cstr(x->a, x->j->log);
	int fd;

	if (x->j->log.len == 0)
		return;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, (mode_t)x->j->mode);
	if (fd == -1)
		return;
	(void)os_write_full(fd, text.p, text.len);
	(void)close(fd);
}

/* One who had a reply gets no other, or not so soon. */
static int
had_one(struct exec *x, bool *yes)
{
	const struct transport_job *j = x->j;
	const char *path = arena_cstr(x->a, j->once);
	int64_t when = 0;

	*yes = false;
	if (j->once.len == 0 || j->reply_to_whom.len == 0)
		return (0);
	if ((j->once_size > 0 ? small_get(x, path, j->reply_to_whom, &when) : map_when(x, path, j->reply_to_whom, &when)) == -1)
		return (-1);
	*yes = when != 0 && (j->once_repeat <= 0 || j->now - when < j->once_repeat);
	return (0);
}

static int
read_text(struct exec *x)
{
	const struct transport_job *j = x->j;
	const char *path = arena_cstr(x->a, j->file);
	struct sb text = SB_INIT(FILE_MAX + 1);
	struct err err = ERR_INIT;
	int rc = 0;

	if (j->file.len == 0)
		return (0);
	if (os_read_file(path, FILE_MAX, &text, &err) == 0)
		x->r->file_text = arena_sv(x->a, sb_sv(&text));
	else if (!j->file_optional) {
		exec_fail(x, TRANSPORT_DEFER, errno, "Failed to open file %s when sending message from %.*s transport: %s", path,
		    SV_ARG(j->transport), strerror(errno));
		rc = -1;
	}
	sb_free(&text);
	return (rc);
}

void
exec_reply(struct exec *x)
{
	const struct transport_job *j = x->j;
	const char *nl = memchr(j->log_text.p == NULL ? "" : j->log_text.p, '\n', j->log_text.len);
	bool already;

	if (j->phase == TRANSPORT_REPLY_NOTE) {
		if (j->once.len > 0 && j->reply_to_whom.len > 0 && (j->once_size > 0 ?
		    small_put(x, arena_cstr(x->a, j->once), j->reply_to_whom) :
		    map_put(x, arena_cstr(x->a, j->once), j->reply_to_whom)) == -1)
			return;
		write_log(x, j->log_text);
		return;
	}
	if (had_one(x, &already) == -1 || read_text(x) == -1)
		return;
	x->r->send = !already;
	if (already && nl != NULL)
		write_log(x, sv_cstr(arena_fmt(x->a, "%.*s\n  previously sent to %.200s\n", (int)(nl - j->log_text.p), j->log_text.p,
		    arena_cstr(x->a, j->reply_to_whom))));
}
