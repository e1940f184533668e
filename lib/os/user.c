/* SPDX-License-Identifier: BSD-2-Clause */
/* Accounts of the system: see user.h. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "os/user.h"

#define NSS_BUF		16384
#define NSS_BUF_MAX	(1024 * 1024)

static void
fill(struct os_user *u, const struct passwd *pw)
{
	memset(u, 0, sizeof(*u));
	(void)snprintf(u->name, sizeof(u->name), "%s", pw->pw_name);
	(void)snprintf(u->gecos, sizeof(u->gecos), "%s", pw->pw_gecos == NULL ? "" : pw->pw_gecos);
	(void)snprintf(u->dir, sizeof(u->dir), "%s", pw->pw_dir);
	(void)snprintf(u->shell, sizeof(u->shell), "%s", pw->pw_shell);
	u->uid = pw->pw_uid;
	u->gid = pw->pw_gid;
}

/* These values mean "no such entry" on one system or another (getpwnam_r(3), NOTES). */
static bool
means_none(int rc)
{
	return (rc == 0 || rc == ENOENT || rc == ESRCH || rc == EBADF || rc == EPERM);
}

static int
look_up(const char *name, uid_t uid, struct os_user *u, struct err *err)
{
	struct passwd pw, *res = NULL;
	size_t size = NSS_BUF;
	char *buf = NULL;
	int rc;

	do {
		buf = xrealloc(buf, size);
		rc = name != NULL ? getpwnam_r(name, &pw, buf, size, &res) : getpwuid_r(uid, &pw, buf, size, &res);
		size *= 2;
	} while (rc == EINTR || (rc == ERANGE && size <= NSS_BUF_MAX));
	if (res != NULL) {
		fill(u, res);
		free(buf);
		return (1);
	}
	free(buf);
	if (means_none(rc))
		return (0);
	errno = rc;
	if (name != NULL)
		return (err_sys(err, "look up user %s", name));
	return (err_sys(err, "look up uid %lu", (unsigned long)uid));
}

int
os_user_by_name(const char *name, struct os_user *u, struct err *err)
{
	if (*name == '\0')
		return (0);
	return (look_up(name, 0, u, err));
}

int
os_user_by_uid(uid_t uid, struct os_user *u, struct err *err)
{
	return (look_up(NULL, uid, u, err));
}

int
os_group_by_name(const char *name, gid_t *gid, struct err *err)
{
	struct group gr, *res = NULL;
	size_t size = NSS_BUF;
	char *buf = NULL;
	int rc;

	do {
		buf = xrealloc(buf, size);
		rc = getgrnam_r(name, &gr, buf, size, &res);
		size *= 2;
	} while (rc == EINTR || (rc == ERANGE && size <= NSS_BUF_MAX));
	if (res != NULL)
		*gid = res->gr_gid;
	free(buf);
	if (res != NULL)
		return (1);
	if (means_none(rc))
		return (0);
	errno = rc;
	return (err_sys(err, "look up group %s", name));
}

int
os_user_in_group(const char *user, gid_t gid)
{
	struct os_user u;
	gid_t *list;
	int n = 64, found = 0;

	if (os_user_by_name(user, &u, NULL) != 1)
		return (0);
	list = xreallocarray(NULL, (size_t)n, sizeof(gid_t));
	if (getgrouplist(user, u.gid, list, &n) == -1) {
		list = xreallocarray(list, (size_t)n, sizeof(gid_t));
		if (getgrouplist(user, u.gid, list, &n) == -1)
			n = 0;
	}
	for (int i = 0; i < n; i++)
		found |= list[i] == gid;
	free(list);
	return (found);
}
