/* SPDX-License-Identifier: BSD-2-Clause */
/* Whose a box is: see box.h. */
#include "box/box.h"
#include "os/priv.h"
#include "os/user.h"

int
box_user(const struct box *b, struct os_user *u, struct err *err)
{
	switch (os_user_by_name(b->user, u, err)) {
	case 1:
		break;
	case 0:
		return (err_set(err, ERR_CONFIG, NULL, "there is no user \"%s\" for the daemons: "
		    "useradd -r -M -s /usr/sbin/nologin %s && chown -R %s %s, or set `user` in etc/vpost.conf", b->user,
		    b->user, b->user, b->root));
	default:
		return (-1);
	}
	if (u->uid == 0)
		return (err_set(err, ERR_CONFIG, NULL, "etc/vpost.conf: the daemons do not run as root: set `user` to another"));
	return (0);
}

int
box_act(const struct box *b, struct err *err)
{
	struct os_user u;

	if (!os_is_root())
		return (0);
	return (box_user(b, &u, err) == -1 ? -1 : os_act_as(u.uid, u.gid, err));
}
