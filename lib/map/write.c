/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a table to a file: libdb and tinycdb write it under a temporary name beside the
 * old file, which it then replaces.  The lock file FILE.lock stays: removing it would let
 * two writers hold locks on different files of that name.
 */
#include "map_int.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <cdb.h>
#include <db.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/sb.h"
#include "map/update.h"
#include "os/file.h"

#define LOCK_TRIES	100
#define LOCK_WAIT_MS	30000

/* Where root works in somebody's directory, what it makes there is theirs; 0 when that needs nothing or is done. */
static int
give_to_owner(int fd, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct sb dir = SB_INIT(4096);
	struct stat st;
	int rc = 0;

	if (geteuid() != 0)
		return (0);
	sb_addn(&dir, path, slash == NULL ? 0 : (size_t)(slash - path));
	if (stat(slash == NULL ? "." : slash == path ? "/" : sb_cstr(&dir), &st) == 0)
		rc = fchown(fd, st.st_uid, st.st_gid);
	sb_free(&dir);
	return (rc);
}

/* One try; -2: the file that was locked is no longer the one of that name. */
static int
lock_once(const char *path, const char *name, mode_t mode, struct err *err)
{
	struct stat held, now;
	int fd;

	/* The lock is on the open file, so that reading is enough where another user made it. */
	fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd != -1)
		(void)!give_to_owner(fd, path);
	else if (errno == EEXIST) {
		fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd == -1 && errno == ENOENT)
			return (-2);
	}
	if (fd == -1)
		return (err_sys(err, "make the lock file %s", name));
	if (os_flock(fd, OS_LOCK_EXCLUSIVE, LOCK_WAIT_MS, err) == -1) {
		err_prefix(err, "lock %s", name);
		(void)close(fd);
		return (-1);
	}
	if (fstat(fd, &held) == 0 && stat(name, &now) == 0 && held.st_ino == now.st_ino && held.st_dev == now.st_dev)
		return (fd);
	(void)close(fd);
	return (-2);
}

int
map_lock(const char *path, mode_t mode, struct err *err)
{
	struct sb name = SB_INIT(4096);
	int fd = -2;

	sb_addf(&name, "%s.lock", path);
	for (int i = 0; i < LOCK_TRIES && fd == -2; i++)
		fd = lock_once(path, sb_cstr(&name), mode, err);
	if (fd == -2)
		fd = err_set(err, ERR_TEMP, "4.3.0", "lock %s: it is taken away again and again", sb_cstr(&name));
	sb_free(&name);
	return (fd);
}

void
map_lock_remove(const char *path)
{
	struct sb name = SB_INIT(4096);
	int fd = map_lock(path, 0644, NULL);

	sb_addf(&name, "%s.lock", path);
	if (fd != -1) {
		(void)unlink(sb_cstr(&name));
		(void)close(fd);
	}
	sb_free(&name);
}

static int
db_fail(struct err *err, const char *what, int rc)
{
	return (err_set(err, ERR_TEMP, "4.3.0", "%s: %s", what, db_strerror(rc)));
}

/* libdb prints to stderr unless told where to. */
static void
quiet(const DB_ENV *env, const char *prefix, const char *msg)
{
}

/* libdb would sync three times on the way; write_beside does it once, at the end. */
static int
no_sync(int fd)
{
	return (0);
}

/* The bytes of <v>, with a NUL behind where the entry is stored so; *<own> keeps such a copy. */
static DBT
stored(struct sv v, bool nul, struct sb *own)
{
	DBT d;

	memset(&d, 0, sizeof(d));
	if (nul) {
		sb_clear(own);
		sb_add(own, v);
		sb_addc(own, '\0');
		v = sb_sv(own);
	}
	d.data = (void *)(uintptr_t)v.p;
	d.size = (u_int32_t)v.len;
	return (d);
}

static int
bdb_fill(DB *db, const struct table *t, bool dup, struct err *err)
{
	struct sb kbuf, vbuf;
	int rc = 0;

	sb_init(&kbuf, MAP_FILE_MAX);
	sb_init(&vbuf, MAP_FILE_MAX);
	for (size_t i = 0; i < t->e.len && rc == 0; i++) {
		const struct entry *e = &t->e.p[i];
		DBT k, v;

		if (e->dead)
			continue;
		k = stored(e->key, e->nul, &kbuf);
		v = stored(e->value, e->nul, &vbuf);
		rc = db->put(db, NULL, &k, &v, dup ? 0 : DB_NOOVERWRITE);
		/* Without duplicates the first entry of a key counts. */
		if (rc == DB_KEYEXIST && !dup)
			rc = 0;
	}
	sb_free(&kbuf);
	sb_free(&vbuf);
	return (rc == 0 ? 0 : db_fail(err, "write an entry", rc));
}

int
write_bdb(const struct table *t, const char *path, enum map_type type, bool dup, struct err *err)
{
	size_t bytes = 1024 * 1024;
	DB *db = NULL;
	int rc, ret = -1;

	/* A cache that holds it all: each page is written once, at the end. */
	for (size_t i = 0; i < t->e.len; i++)
		bytes += 2 * (t->e.p[i].key.len + t->e.p[i].value.len + 32);
	(void)db_env_set_func_fsync(no_sync);
	if ((rc = db_create(&db, NULL, 0)) != 0)
		return (db_fail(err, "make a database", rc));
	db->set_errcall(db, quiet);
	if ((rc = db->set_cachesize(db, 0, (u_int32_t)(bytes < 256 * 1024 * 1024 ? bytes : 256 * 1024 * 1024), 1)) != 0 ||
	    (type == MAP_HASH && t->live > 0 && (rc = db->set_h_nelem(db, (u_int32_t)t->live)) != 0) ||
	    (dup && (rc = db->set_flags(db, DB_DUP)) != 0) ||
	    (rc = db->set_pagesize(db, 4096)) != 0 ||
	    (rc = db->open(db, NULL, path, NULL, type == MAP_BTREE ? DB_BTREE : DB_HASH, DB_CREATE | DB_TRUNCATE, 0600)) != 0)
		(void)db_fail(err, "begin the file", rc);
	else
		ret = bdb_fill(db, t, dup, err);
	rc = db->close(db, ret == 0 ? 0 : DB_NOSYNC);
	if (rc != 0 && ret == 0)
		ret = db_fail(err, "write the file", rc);
	return (ret);
}

int
write_cdb(const struct table *t, const char *path, struct err *err)
{
	struct cdb_make c;
	struct sb kbuf, vbuf;
	int fd, rc = -1;

	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		return (err_sys(err, "open %s", path));
	sb_init(&kbuf, MAP_FILE_MAX);
	sb_init(&vbuf, MAP_FILE_MAX);
	if (cdb_make_start(&c, fd) == -1) {
		err_sys(err, "begin the file");
		goto out;
	}
	for (size_t i = 0; i < t->e.len; i++) {
		const struct entry *e = &t->e.p[i];
		DBT k, v;

		if (e->dead)
			continue;
		k = stored(e->key, e->nul, &kbuf);
		v = stored(e->value, e->nul, &vbuf);
		if (cdb_make_add(&c, k.data, k.size, v.data, v.size) == -1) {
			err_sys(err, "write an entry");
			(void)cdb_make_finish(&c);
			goto out;
		}
	}
	if (cdb_make_finish(&c) == -1)
		err_sys(err, "write the file");
	else
		rc = 0;
out:
	sb_free(&kbuf);
	sb_free(&vbuf);
	(void)close(fd);
	return (rc);
}

/* The temporary file takes mode and owner of the one that it will replace. */
static int
same_owner(int fd, const char *path, mode_t mode, struct err *err)
{
	struct stat st;

	if (stat(path, &st) == 0) {
		mode = st.st_mode & 07777;
		/* Only root can give a file away; for others it stays their own. */
		if ((st.st_uid != geteuid() || st.st_gid != getegid()) && fchown(fd, st.st_uid, st.st_gid) == -1 &&
		    fchown(fd, (uid_t)-1, st.st_gid) == -1 && geteuid() == 0)
			return (err_sys(err, "give the new file its owner"));
	} else if (give_to_owner(fd, path) == -1)
		return (err_sys(err, "give the new file its owner"));
	return (fchmod(fd, mode) == -1 ? err_sys(err, "set the mode of the new file") : 0);
}

/*
 * A modification time a little before the change time tells stamp_unsettled() that the file was put
 * in place whole.  The rename alone does not: both times may fall into one tick of the clock.
 */
static int
mark_settled(int fd, struct err *err)
{
	struct timespec ts[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 0 } };

	(void)clock_gettime(CLOCK_REALTIME, &ts[1]);
	ts[1].tv_nsec -= 20 * 1000 * 1000;
	if (ts[1].tv_nsec < 0) {
		ts[1].tv_nsec += 1000 * 1000 * 1000;
		ts[1].tv_sec--;
	}
	return (futimens(fd, ts) == -1 ? err_sys(err, "set the time of the new file") : 0);
}

int
write_beside(const struct table *t, const char *path, enum map_type type, bool dup, mode_t mode, struct sb *tmp,
    struct err *err)
{
	int fd, rc;

	sb_clear(tmp);
	sb_addf(tmp, "%s.XXXXXX", path);
	fd = mkostemp(tmp->p, O_CLOEXEC);
	if (fd == -1) {
		sb_clear(tmp);
		return (err_sys(err, "make a file beside %s", path));
	}
	rc = same_owner(fd, path, mode, err);
	if (rc == 0)
		rc = type == MAP_CDB ? write_cdb(t, tmp->p, err) : write_bdb(t, tmp->p, type, dup, err);
	if (rc == 0)
		rc = mark_settled(fd, err);
	if (rc == 0 && fsync(fd) == -1)
		rc = err_sys(err, "fsync the new file");
	(void)close(fd);
	if (rc == -1) {
		(void)unlink(tmp->p);
		err_prefix(err, "map %s", path);
	}
	return (rc);
}

int
replace_file(const char *tmp, const char *path, struct err *err)
{
	if (rename(tmp, path) == -1) {
		err_sys(err, "rename %s to %s", tmp, path);
		(void)unlink(tmp);
		return (-1);
	}
	return (os_fsync_parent(path, err));
}
