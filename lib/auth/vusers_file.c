/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changing etc/vusers: one line is set or removed, all others stay byte for byte.  The
 * file is written anew under FILE.lock and renamed; an editor that saved it
 * meanwhile is noticed by the file's stamp, and the change is made again.
 */
#include "auth/vusers.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "map/update.h"
#include "os/file.h"

#define TRIES		10

struct change {
	struct sv	 name;
	const char	*stored;	/* NULL with <del> unset: keep */
	const char	*gecos;
	const char	*home;
	bool		 del;
	bool		 found;
};

static void
put_field(struct sb *out, const char *new, struct sv old)
{
	if (new != NULL)
		sb_adds(out, new);
	else
		sb_add(out, old);
}

static void
put_line(struct sb *out, const struct change *c, const struct vuser *old)
{
	struct vuser none = { .line = 0 };

	if (old == NULL)
		old = &none;
	sb_add(out, old->name.len > 0 ? old->name : c->name);
	sb_addc(out, ':');
	put_field(out, c->stored, old->password.len > 0 ? old->password : SV_LIT("*"));
	sb_addc(out, ':');
	sb_add(out, old->uid);
	sb_addc(out, ':');
	sb_add(out, old->gid);
	sb_addc(out, ':');
	put_field(out, c->gecos, old->gecos);
	sb_addc(out, ':');
	put_field(out, c->home, old->home);
	sb_addc(out, ':');
	sb_add(out, old->shell);
	sb_addc(out, '\n');
}

/* The changed text; c->found says whether the user was there. */
static void
rewrite(struct sv text, struct change *c, struct sb *out)
{
	struct vusers *v = vusers_parse(text, "", NULL, NULL);
	const struct vuser *u = vusers_get(v, c->name);
	struct sv line;
	unsigned no = 0;

	c->found = u != NULL;
	/* The last line's end is not the begin of another line. */
	if (sv_ends(text, "\n"))
		text.len--;
	if (text.len == 0)
		text = SV_NULL;
	while (sv_next(&text, '\n', &line)) {
		if (u == NULL || ++no != u->line) {
			sb_add(out, line);
			sb_addc(out, '\n');
		} else if (!c->del)
			put_line(out, c, u);
	}
	if (u == NULL && !c->del)
		put_line(out, c, NULL);
	vusers_free(&v);
}

static int
write_new(const char *path, struct sv text, const struct stat *old, struct sb *tmp, struct err *err)
{
	int fd, rc = 0;

	sb_addf(tmp, "%s.XXXXXX", path);
	fd = mkostemp(tmp->p, O_CLOEXEC);
	if (fd == -1) {
		sb_clear(tmp);
		return (err_sys(err, "make a file beside %s", path));
	}
	if (fchmod(fd, old != NULL ? old->st_mode & 0777 : 0600) == -1 ||
	    (old != NULL && (old->st_uid != geteuid() || old->st_gid != getegid()) &&
	    fchown(fd, old->st_uid, old->st_gid) == -1 && geteuid() == 0) ||
	    os_write_full(fd, text.p, text.len) == -1 || fsync(fd) == -1)
		rc = err_sys(err, "write %s", sb_cstr(tmp));
	(void)close(fd);
	if (rc == -1)
		(void)unlink(sb_cstr(tmp));
	return (rc);
}

static bool
same(const char *path, const struct stat *was)
{
	struct stat now;

	if (stat(path, &now) == -1)
		return (was == NULL);
	return (was != NULL && now.st_ino == was->st_ino && now.st_size == was->st_size &&
	    now.st_mtim.tv_sec == was->st_mtim.tv_sec && now.st_mtim.tv_nsec == was->st_mtim.tv_nsec);
}

/* 0 done, 1 try again, -1 failed. */
static int
change_once(const char *path, struct change *c, struct err *err)
{
	struct sb text = SB_INIT(VUSERS_FILE_MAX + 1), new = SB_INIT(VUSERS_FILE_MAX + 65536), tmp = SB_INIT(4096);
	struct stat st, *old = &st;
	int rc = -1;

	if (stat(path, &st) == -1)
		old = NULL;
	if (old != NULL && os_read_file(path, VUSERS_FILE_MAX, &text, err) == -1)
		goto out;
	rewrite(sb_sv(&text), c, &new);
	if (c->del && !c->found) {
		err_set(err, ERR_PERM, "5.1.1", "there is no user " SV_FMT " in %s", SV_ARG(c->name), path);
		goto out;
	}
	if (new.overflow) {
		err_set(err, ERR_PERM, "5.3.4", "%s would be larger than 64 MB", path);
		goto out;
	}
	if (write_new(path, sb_sv(&new), old, &tmp, err) == -1)
		goto out;
	if (!same(path, old)) {
		(void)unlink(sb_cstr(&tmp));
		rc = 1;
	} else if (rename(sb_cstr(&tmp), path) == -1) {
		err_sys(err, "rename to %s", path);
		(void)unlink(sb_cstr(&tmp));
	} else
		rc = os_fsync_parent(path, err);
out:
	sb_free(&text);
	sb_free(&new);
	sb_free(&tmp);
	return (rc);
}

static int
change(const char *path, struct change *c, struct err *err)
{
	int lock = map_lock(path, 0600, err), rc = 1;

	if (lock == -1)
		return (-1);
	for (int i = 0; i < TRIES && rc == 1; i++)
		rc = change_once(path, c, err);
	(void)close(lock);
	return (rc == 1 ? err_set(err, ERR_TEMP, "4.3.0", "%s: another program keeps writing to it: try again", path) : rc);
}

static bool
good_field(const char *s)
{
	return (s == NULL || strpbrk(s, ":\n\r") == NULL);
}

int
vusers_file_set(const char *path, struct sv name, const char *stored, const char *gecos, const char *home,
    struct err *err)
{
	struct change c = { .name = name, .stored = stored, .gecos = gecos, .home = home };

	if (!good_field(gecos) || !good_field(home) || name.len == 0 || sv_chr(name, ':') != -1 || sv_chr(name, '\n') != -1 ||
	    (stored != NULL && strpbrk(stored, "\n\r") != NULL))
		return (err_set(err, ERR_PERM, "5.1.3", "a colon or line end cannot be in a field of %s", path));
	if (stored != NULL && strchr(stored, ':') != NULL && strncmp(stored, "SCRAM-SHA-256$", 14) != 0)
		return (err_set(err, ERR_PERM, "5.1.3", "a colon cannot be in a password of %s", path));
	if (change(path, &c, err) == -1)
		return (-1);
	return (c.found ? 0 : 1);
}

int
vusers_file_del(const char *path, struct sv name, struct err *err)
{
	struct change c = { .name = name, .del = true };

	return (change(path, &c, err));
}
