/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of vsmtpd share. */
#ifndef VPOST_VSMTPD_VSMTPD_H
#define VPOST_VSMTPD_VSMTPD_H

#include "daemon/daemon.h"
#include "exim/conf.h"
#include "limits.h"

/* Made by the parent at start and at each HUP. */
struct vsmtpd_conf {
	struct exim_conf *exim;
	struct session_tls *tls;	/* NULL: no certificate, no TLS */
	struct limits	*limits;
};

extern const struct daemon_role vsmtpd_worker;

/* vsmtpd.c: <lines> go behind what process_log_path holds, where it is set. */
void	 vsmtpd_process_log(const struct vsmtpd_conf *c, struct sv lines);

/* sockets.c */
void	 vsmtpd_sockets(struct box *b, const void *conf, struct daemon_patience *p);

/* sandbox.c */
int	 vsmtpd_sandbox(struct daemon *d, struct err *err);

#endif
