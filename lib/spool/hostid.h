/* SPDX-License-Identifier: BSD-2-Clause */
/* Message ids of several hosts that share what tells them apart (localhost_number). */
#ifndef VPOST_SPOOL_HOSTID_H
#define VPOST_SPOOL_HOSTID_H

#include <stdint.h>

#define SPOOL_HOST_MAX	16

/* From now on ids of this process hold <number>, at most SPOOL_HOST_MAX; less than 0: none. */
void	 spool_id_host(int64_t number);

#endif
