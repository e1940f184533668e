/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing vusers.db; see publish.h. */
#include "auth/publish.h"

#include <sys/stat.h>

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "auth/vusers.h"
#include "base/sb.h"
#include "map/rebuild.h"

static void
db_path(char *buf, size_t size, const char *vusers)
{
	(void)snprintf(buf, size, "%s.db", vusers);
}

bool
vusers_published(const char *vusers)
{
	char path[PATH_MAX];
	struct stat from, to;

	db_path(path, sizeof(path), vusers);
	if (stat(path, &to) == -1)
		return (false);
	if (stat(vusers, &from) == -1)
		return (true);
	/* The time of the rename: a map's mtime is set a little earlier on purpose (lib/map/write.c). */
	return (to.st_ctim.tv_sec > from.st_mtim.tv_sec ||
	    (to.st_ctim.tv_sec == from.st_mtim.tv_sec && to.st_ctim.tv_nsec >= from.st_mtim.tv_nsec));
}

static void
put_user(struct map_rebuild *r, const struct vuser *u)
{
	struct sb key = SB_INIT(VUSERS_NAME_MAX + 1), value = SB_INIT(64 * 1024);
	const struct sv *fields[] = { &u->uid, &u->gid, &u->gecos, &u->home, &u->shell };

	for (size_t i = 0; i < u->name.len; i++)
		sb_addc(&key, sv_lower(u->name.p[i]));
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (i > 0)
			sb_addc(&value, ':');
		sb_add(&value, *fields[i]);
	}
	(void)map_rebuild_put(r, sb_sv(&key), sb_sv(&value));
	sb_free(&key);
	sb_free(&value);
}

int
vusers_publish(const char *vusers, void (*report)(void *arg, const struct err *e), void *arg, struct err *err)
{
	struct vusers *v = NULL;
	struct map_rebuild *r;
	char path[PATH_MAX];
	int rc = -1;

	db_path(path, sizeof(path), vusers);
	/* The lock first: who writes last has read last. */
	r = map_rebuild_open(path, MAP_HASH, 0, 0644, err);
	if (r == NULL)
		return (-1);
	if (access(vusers, F_OK) == 0 && vusers_read(&v, vusers, report, arg, err) == -1) {
		map_rebuild_abort(&r);
		goto out;
	}
	for (size_t i = 0; v != NULL && i < vusers_count(v); i++)
		put_user(r, vusers_at(v, i));
	rc = map_rebuild_commit(&r, err);
out:
	vusers_free(&v);
	return (rc);
}
