/* SPDX-License-Identifier: BSD-2-Clause */
/* Exim's logs as exim.conf wants them, for daemons and tools. */
#ifndef VPOST_DAEMON_EXIMLOGS_H
#define VPOST_DAEMON_EXIMLOGS_H

#include "base/err.h"

struct exim_conf;

/* log_file_path (only whether files or the system's log), log_timezone, syslog_*, the selectors millisec and pid; the system's log is at <socket>. */
int	 daemon_exim_logs(const struct exim_conf *c, const char *socket, struct err *err);

/* slow_lookup_log: look-ups of the DNS that take long stand in the main log from now on. */
void	 daemon_watch_lookups(const struct exim_conf *c);

#endif
