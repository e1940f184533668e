/* SPDX-License-Identifier: BSD-2-Clause */
/* How many connections each client address has, over all workers. */
#ifndef VPOST_VSMTPD_LIMITS_H
#define VPOST_VSMTPD_LIMITS_H

#include <stddef.h>

#include "base/err.h"
#include "net/addr.h"

struct limits;

/* In the parent, before the workers: they share it. */
struct limits	*limits_new(unsigned workers, struct err *err);
void		 limits_free(struct limits **lp);
/* Worker <w> begins with none: it may have died before. */
void		 limits_reset(struct limits *l, unsigned w);
void		 limits_add(struct limits *l, unsigned w, const struct net_addr *a);
void		 limits_sub(struct limits *l, unsigned w, const struct net_addr *a);
/* Those of <a>, or all where it is NULL. */
size_t		 limits_count(const struct limits *l, const struct net_addr *a);

#endif
