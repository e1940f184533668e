/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of vpop3d share: both roles. */
#ifndef VPOP3D_H
#define VPOP3D_H

#include "daemon/daemon.h"
#include "io/stream.h"

#define POP3_BAD_MAX		20	/* wrong commands in a row that end a connection */
#define POP3_WRITE_MS		(3 * 60 * 1000)
#define POP3_CAPA_ALWAYS	"TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nIMPLEMENTATION vpost\r\n"

extern const struct daemon_role pop3_login_role, pop3_session_role;

#endif
