/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of an smtp transport (chapter 30 of Exim's manual) as what one connection to one host needs. */
#ifndef VPOST_DELIVER_OPTIONS_H
#define VPOST_DELIVER_OPTIONS_H

#include "deliver/client.h"
#include "exim/env.h"

/*
 * Fill *<o> for a connection of <t> to <h>; texts live in <a>, which must outlive the connection.  env->addr gets $host and its
 * kin.  <tls> gives the client context, <verify> or not (NULL: no TLS).  -1 and *<err> (TEMP): an option cannot be expanded.
 */
int	 deliver_options(struct deliver_opts *o, struct exim_env *env, const struct exim_transport *t, const struct deliver_host *h,
	     struct tls_client *(*tls)(void *arg, bool verify), void *arg, struct arena *a, struct err *err);

/* Is <h> in the host list <v>? */
bool	 deliver_host_listed(struct exim_env *env, const struct exim_value *v, const struct deliver_host *h);

#endif
