/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What expansions ask of DNS (exim/env.h), answered by lib/dns, and what is remembered for them by lib/hints: the same for whoever
 * routes, receives or only looks.
 */
#ifndef VPOST_ROUTE_WORLD_H
#define VPOST_ROUTE_WORLD_H

#include "dns/dns.h"
#include "exim/env.h"

struct hints;
struct route_delivery;

/* Set dns, addrs and, unless <hints> is NULL, hint_get, hint_put and hint_del; <hints> is the process's only one and stays. */
void	 route_world(struct exim_world *w, struct hints *hints);
/*
 * What may take long goes through <offload>, which does the job elsewhere while its caller waits: programs and sockets here,
 * databases and perl in lib/exim.  One for all of a process.
 */
void	 route_world_offload(struct exim_world *w, void (*offload)(void *arg, void (*fn)(void *job), void *job));
int	 route_world_dns(void *arg, const char *name, int type, struct arena *a, struct exim_dns *out);
/* For those with names of their own: what an answer of DNS means to an expansion. */
enum exim_found route_world_found(enum dns_result r);
/* The variables of an address ($local_part, $domain, $home ...) as the delivery <rd> has them; strings are <rd>'s or in <arena>. */
void	 route_world_delivery(struct exim_address *a, const struct route_delivery *rd, struct arena *arena);
/* The same <a> for a transaction of <n> > 1: what belongs to one recipient goes, the domain stays where all have it. */
void	 route_world_several(struct exim_address *a, const struct route_delivery *const *rd, size_t n);

#endif
