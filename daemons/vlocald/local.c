/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one place that decides what becomes of a local delivery.  A user's dotfiles are
 * asked here; who has none gets INBOX, by the store itself.
 */
#include "vlocald.h"

static const struct {
	enum store_action to;
	enum local_route route;
} routes[] = {
	{ STORE_TO_MAILBOX, LOCAL_STORE },	/* the transport named the folder: no dotfile is asked */
	{ STORE_TO_USER, LOCAL_STORE },		/* vstored puts it into the user's INBOX */
};

static enum local_route
route_of(enum store_action to)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (routes[i].to == to)
			return (routes[i].route);
	return (LOCAL_MALFORMED);
}

enum local_route
deliver_local(const struct vlocald *v, const struct ipc_msg *batch)
{
	enum store_action to;
	struct sv item;
	size_t pos = 0;
	int rc;

	(void)v;
	while ((rc = store_deliver_next_raw(batch, &pos, &item, &to)) == 1)
		if (route_of(to) != LOCAL_STORE)
			return (LOCAL_MALFORMED);
	return (rc == 0 ? LOCAL_STORE : LOCAL_MALFORMED);
}
