/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * etc/relayers.db: addresses whose users have logged in by POP3 or IMAP and may relay.
 * Key: the address in canonical text; value: seconds since 1970.  These are the changes
 * that vauthd and vsmtprelay make, in order, within one map_update.
 */
#ifndef VPOST_AUTH_RELAY_H
#define VPOST_AUTH_RELAY_H

#include <stdint.h>

#include "map/update.h"
#include "net/addr.h"

#define RELAY_YOUNG	60		/* seconds for which a login does not rewrite an entry */
#define RELAY_MODE	0644

enum relay_kind {
	RELAY_LOGIN,			/* set to <ticks> unless the entry is young or stamped in the future */
	RELAY_ADD,			/* set to <ticks> */
	RELAY_DELETE,
	RELAY_EXPIRE			/* every entry with a stamp of <ticks> or before goes */
};

struct relay_op {
	enum relay_kind	 kind;
	char		 key[NET_ADDR_TEXT_MAX];	/* canonical; of login, add and delete */
	int64_t		 ticks;
	bool		 found;		/* out: delete found an entry */
};

struct relay_batch {
	struct relay_op	*ops;
	size_t		 n;
};

/* Canonical text of an address; false if <text> is none. */
bool	 relay_key(struct sv text, char key[NET_ADDR_TEXT_MAX]);
/* An entry's stamp; false if <value> is not a number of seconds. */
bool	 relay_ticks(struct sv value, int64_t *ticks);
/* Would a login at <now> leave the entry as it is? */
bool	 relay_is_young(struct sv value, int64_t now);
/* Apply all to the file; 1 written, 0 nothing to change, -1 *<err>. */
int	 relay_apply(const char *path, struct relay_batch *b, struct err *err);

#endif
