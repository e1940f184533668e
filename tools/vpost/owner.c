/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether the user that root's daemons become is there, and can write what it must. */
#include <sys/stat.h>

#include "os/priv.h"
#include "os/user.h"
#include "vpost_int.h"

static const char *const owned[] = { "etc", BOX_VUSERS, BOX_VUSERS_DB, BOX_RELAYERS_DB, "etc/tls", "etc/tls/default.pem", "var/spool",
	BOX_INTAKE, BOX_QUEUE, BOX_MAIL };

int
owner_check(const struct box *b, struct err *err)
{
	struct os_user u;
	struct stat st;

	if (!os_is_root())
		return (0);
	if (box_user(b, &u, err) == -1)
		return (-1);
	for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++) {
		if (lstat(box_path(b, owned[i]), &st) == 0 && st.st_uid != u.uid)
			return (err_set(err, ERR_CONFIG, NULL, "%s is not %s's, as whom the daemons run: chown -R %s %s",
			    box_path(b, owned[i]), b->user, b->user, b->root));
	}
	return (0);
}
