/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vpop3d: POP3.  The login role talks to clients until they are logged in, and keeps
 * TLS; the session role reads the store.  See vpop3d(8).
 */
#include "vpop3d.h"

static const char *const listens[] = { "pop3", "pop3s", NULL };
static const struct daemon_role *const roles[] = { &pop3_login_role, &pop3_session_role, NULL };

static const struct daemon_def def = {
	.name = "vpop3d",
	.listens = listens,
	.roles = roles,
	.pair_roles = true
};

int
main(int argc, char **argv)
{
	return (daemon_main(&def, argc, argv));
}
