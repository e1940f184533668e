/* SPDX-License-Identifier: BSD-2-Clause */
/* What vqueued and the spawner say to each other about children: see child.h. */
#include "transport/child.h"

#define USER_MAX	255

enum { TAG_UID = 1, TAG_GID, TAG_USER, TAG_PID, TAG_ANYBODY, TAG_NOW };

void
transport_child_put(struct sb *frame, const struct transport_user *u)
{
	ipc_begin(frame, TRANSPORT_IPC_CHILD);
	ipc_put_u64(frame, TAG_UID, (uint64_t)u->uid);
	ipc_put_u64(frame, TAG_GID, (uint64_t)u->gid);
	ipc_put_bytes(frame, TAG_USER, u->name);
}

bool
transport_child_get(const struct ipc_msg *m, struct transport_user *u)
{
	*u = (struct transport_user){ .uid = (int64_t)ipc_get_u64(m, TAG_UID, UINT64_MAX),
	    .gid = (int64_t)ipc_get_u64(m, TAG_GID, UINT64_MAX), .name = ipc_get_bytes(m, TAG_USER) };
	return (m->type == TRANSPORT_IPC_CHILD && u->name.len <= USER_MAX && sv_chr(u->name, '\0') < 0);
}

void
transport_child_answer_put(struct sb *frame, int64_t pid, bool anybody)
{
	ipc_begin(frame, TRANSPORT_IPC_CHILD);
	ipc_put_u64(frame, TAG_PID, (uint64_t)pid);
	ipc_put_u64(frame, TAG_ANYBODY, anybody);
}

bool
transport_child_answer_get(const struct ipc_msg *m, int64_t *pid, bool *anybody)
{
	*pid = (int64_t)ipc_get_u64(m, TAG_PID, 0);
	*anybody = ipc_get_u64(m, TAG_ANYBODY, 0) != 0;
	return (m->type == TRANSPORT_IPC_CHILD && *pid > 0);
}

void
transport_child_end_put(struct sb *frame, int64_t pid, bool now)
{
	ipc_begin(frame, TRANSPORT_IPC_CHILD_END);
	ipc_put_u64(frame, TAG_PID, (uint64_t)pid);
	ipc_put_u64(frame, TAG_NOW, now);
}

bool
transport_child_end_get(const struct ipc_msg *m, int64_t *pid, bool *now)
{
	*pid = (int64_t)ipc_get_u64(m, TAG_PID, 0);
	*now = ipc_get_u64(m, TAG_NOW, 0) != 0;
	return (m->type == TRANSPORT_IPC_CHILD_END && *pid > 0);
}
