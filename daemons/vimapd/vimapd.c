/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vimapd: IMAP4rev1.  The login role talks to clients until they are logged in, and
 * keeps TLS; the session role reads the store.  See vimapd(8).
 */
#include "vimapd.h"

static const char *const listens[] = { "imap", "imaps", NULL };
static const struct daemon_role *const roles[] = { &imap_login_role, &imap_session_role, NULL };

static const struct daemon_def def = {
	.name = "vimapd",
	.listens = listens,
	.roles = roles,
	.pair_roles = true
};

int
main(int argc, char **argv)
{
	return (daemon_main(&def, argc, argv));
}
