/* SPDX-License-Identifier: BSD-2-Clause */
/* Giving privileges up: see priv.h. */
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "os/priv.h"
#include "os/user.h"

bool
os_is_root(void)
{
	return (geteuid() == 0);
}

int
os_drop_to_ids(const char *user, uid_t uid, gid_t gid, struct err *err)
{
	if (user != NULL ? initgroups(user, gid) == -1 : setgroups(1, &gid) == -1)
		return (err_sys(err, "set groups of uid %lu", (unsigned long)uid));
	if (setresgid(gid, gid, gid) == -1)
		return (err_sys(err, "set gid %lu", (unsigned long)gid));
	if (setresuid(uid, uid, uid) == -1)
		return (err_sys(err, "set uid %lu", (unsigned long)uid));
	if (uid != 0 && (setuid(0) != -1 || seteuid(0) != -1 || geteuid() != uid || getegid() != gid))
		return (err_set(err, ERR_TEMP, NULL, "uid %lu can become root again", (unsigned long)uid));
	return (0);
}

int
os_drop_to(const char *user, struct err *err)
{
	struct os_user u;

	switch (os_user_by_name(user, &u, err)) {
	case 1:
		return (os_drop_to_ids(user, u.uid, u.gid, err));
	case 0:
		return (err_set(err, ERR_CONFIG, NULL, "there is no user \"%s\": make it, or set `user` in vpost.conf",
		    user));
	default:
		return (-1);
	}
}

static struct {
	bool	 on;
	unsigned depth;		/* calls within */
	int	 ngroups;
	gid_t	 gid, groups[64];
} acting;

int
os_act_as(uid_t uid, gid_t gid, struct err *err)
{
	if (acting.on) {
		acting.depth++;
		return (0);
	}
	if (!os_is_root() || uid == 0)
		return (0);
	acting.gid = getegid();
	acting.ngroups = getgroups((int)(sizeof(acting.groups) / sizeof(acting.groups[0])), acting.groups);
	if (acting.ngroups == -1)
		acting.ngroups = 0;
	acting.on = true;
	if (setgroups(1, &gid) == 0 && setegid(gid) == 0 && seteuid(uid) == 0)
		return (0);
	(void)err_sys(err, "act as uid %lu", (unsigned long)uid);
	os_act_back();
	return (-1);
}

void
os_act_back(void)
{
	if (!acting.on)
		return;
	if (acting.depth > 0) {
		acting.depth--;
		return;
	}
	acting.on = false;
	/* Half root is worse than none. */
	if (seteuid(0) == -1 || setegid(acting.gid) == -1 || setgroups((size_t)acting.ngroups, acting.groups) == -1)
		abort();
}

bool
os_is_acting(void)
{
	return (acting.on);
}

int
os_drop_acting(struct err *err)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (!acting.on)
		return (0);
	acting.on = false;
	if (seteuid(0) == -1)
		return (err_sys(err, "become uid %lu for good", (unsigned long)uid));
	return (os_drop_to_ids(NULL, uid, gid, err));
}

void
os_no_new_privs(void)
{
#ifdef __linux__
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#endif
}
