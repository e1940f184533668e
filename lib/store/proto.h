/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What goes over var/run/store.sock besides deliveries: requests of store/client.h,
 * announcements.  A reply has its request's type; errors go as ipc_put_err() has them.
 */
#ifndef VPOST_STORE_PROTO_H
#define VPOST_STORE_PROTO_H

#include "ipc/ipc.h"
#include "store/client.h"

enum store_ipc {
	STORE_IPC_CREATE = 0x0410,	/* USER NAME -> MBOX */
	STORE_IPC_DELETE,		/* USER NAME */
	STORE_IPC_RENAME,		/* USER NAME TO */
	STORE_IPC_SUBSCRIBE,		/* USER NAME ON */
	STORE_IPC_SETACL,		/* USER NAME ID RIGHTS */
	STORE_IPC_INBOX,		/* USER -> MBOX */
	STORE_IPC_FLAGS,		/* USER MBOX SET OP FLAGS KEYWORD... [SINCE] -> MODSEQ FAILED */
	STORE_IPC_EXPUNGE,		/* USER MBOX SET ON -> COUNT */
	/* USER NAME OFF LEN FLAGS KEYWORD... DATE, descriptor -> MBOX UIDVALIDITY UID */
	STORE_IPC_APPEND,
	STORE_IPC_COPY,			/* USER MBOX SET TO ON -> UIDVALIDITY SET TOSET */
	STORE_IPC_RECENT,		/* MBOX -> UID */
	STORE_IPC_CACHE,		/* notice: MBOX SET */
	STORE_IPC_LOCK,			/* MBOX */
	STORE_IPC_UNLOCK,		/* notice: MBOX */
	STORE_IPC_WATCH,		/* notice: MBOX... */
	STORE_IPC_UNWATCH,		/* notice: MBOX... */
	STORE_IPC_CHANGED		/* notice of vstored: MBOX... */
};

enum store_tag {
	STORE_T_ITEM = 1, STORE_T_ANSWER, STORE_T_COMMIT, STORE_T_INSTANCE, STORE_T_ORIGIN, STORE_T_MESSAGE,
	    STORE_T_OTHERS,
	STORE_T_USER = 16, STORE_T_NAME, STORE_T_TO, STORE_T_MBOX, STORE_T_SET, STORE_T_TOSET, STORE_T_ON, STORE_T_ID,
	STORE_T_RIGHTS, STORE_T_OP, STORE_T_FLAGS, STORE_T_KEYWORD, STORE_T_SINCE, STORE_T_MODSEQ, STORE_T_FAILED,
	STORE_T_COUNT, STORE_T_OFF, STORE_T_LEN, STORE_T_DATE, STORE_T_UIDVALIDITY, STORE_T_UID
};

/* A UID set as a field; false where it passes STORE_RANGES_MAX or is not ascending. */
bool	 store_set_put(struct sb *m, uint8_t tag, const struct store_range *set, size_t n);
/* Append the set of a field to <out>; false if malformed. */
bool	 store_set_get(struct sv v, store_ranges *out);

#endif
