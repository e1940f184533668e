/* SPDX-License-Identifier: BSD-2-Clause */
/* What mailq and sendmail say to vqueued, without a loop; and one message of the queue as bytes. */
#include <sys/stat.h>

#include <string.h>

#include "base/codec.h"
#include "spool/client.h"

#define CALL_MS		60000
#define ENTRY_FIXED	32

/*
 * An entry: 0 size  8 received  16 next try  24 flags  25 id length 26 sender length 28 reason length
 * 30 recipients (65,535 at most are listed), then the strings, then for each recipient done, length, address.
 */
void
spool_listed_encode(struct sb *out, const struct spool_listed *l)
{
	uint8_t h[ENTRY_FIXED] = { 0 };
	struct sv reason = sv_sub(l->reason, 0, 1024), sender = sv_sub(l->sender, 0, SPOOL_ADDR_MAX);
	size_t n = l->nrcpts > 65535 ? 65535 : l->nrcpts;

	put_le64(h, l->size);
	put_le64(h + 8, (uint64_t)l->received);
	put_le64(h + 16, (uint64_t)l->next_try);
	h[24] = (uint8_t)((l->frozen ? 1 : 0) | (l->active ? 2 : 0));
	h[25] = (uint8_t)l->id.len;
	put_le16(h + 26, (uint16_t)sender.len);
	put_le16(h + 28, (uint16_t)reason.len);
	put_le16(h + 30, (uint16_t)n);
	sb_addn(out, h, sizeof(h));
	sb_add(out, l->id);
	sb_add(out, sender);
	sb_add(out, reason);
	for (size_t i = 0; i < n; i++) {
		uint8_t r[3] = { l->rcpts[i].done ? 1 : 0 };
		struct sv a = sv_sub(l->rcpts[i].addr, 0, SPOOL_ADDR_MAX);

		put_le16(r + 1, (uint16_t)a.len);
		sb_addn(out, r, sizeof(r));
		sb_add(out, a);
	}
}

/* Cut <n> bytes off *<v>; false if they are not there. */
static bool
take(struct sv *v, size_t n, struct sv *out)
{
	if (v->len < n)
		return (false);
	*out = sv_taint(sv_from(v->p, n));
	*v = sv_from(v->p + n, v->len - n);
	return (true);
}

bool
spool_listed_decode(struct spool_listed *l, struct sv v, struct arena *a)
{
	struct sv h, r;
	const uint8_t *p;

	if (!take(&v, ENTRY_FIXED, &h))
		return (false);
	p = (const uint8_t *)h.p;
	l->size = get_le64(p);
	l->received = (int64_t)get_le64(p + 8);
	l->next_try = (int64_t)get_le64(p + 16);
	l->frozen = (p[24] & 1) != 0;
	l->active = (p[24] & 2) != 0;
	l->nrcpts = get_le16(p + 30);
	l->rcpts = arena_zalloc(a, (l->nrcpts + 1) * sizeof(*l->rcpts));
	if (!take(&v, p[25], &l->id) || !take(&v, get_le16(p + 26), &l->sender) || !take(&v, get_le16(p + 28), &l->reason))
		return (false);
	for (size_t i = 0; i < l->nrcpts; i++) {
		if (!take(&v, 3, &r))
			return (false);
		l->rcpts[i].done = r.p[0] != 0;
		if (!take(&v, get_le16((const uint8_t *)r.p + 1), &l->rcpts[i].addr))
			return (false);
	}
	return (true);
}

/* One page of the list; <after> gets the id to go on behind, or "" at the end. */
static int
list_page(const char *path, const char *queue, const char *domain, char after[SPOOL_ID_SIZE],
    void (*fn)(void *arg, const struct spool_listed *l), void *arg, struct err *err)
{
	struct sb m = SB_INIT(8192);
	struct arena *a = arena_new(0);
	struct ipc_msg reply;
	struct ipc_field f;
	struct spool_listed l;
	size_t pos = 0;
	bool more;
	int rc;

	ipc_begin(&m, SPOOL_IPC_LIST);
	ipc_put_str(&m, SPOOL_T_QUEUE, queue);
	ipc_put_str(&m, SPOOL_T_DOMAIN, domain);
	if (after[0] != '\0')
		ipc_put_str(&m, SPOOL_T_AFTER, after);
	rc = ipc_call_once(path, &m, -1, &reply, CALL_MS, err);
	sb_free(&m);
	if (rc == 0) {
		more = ipc_get_u64(&reply, SPOOL_T_MORE, 0) != 0;
		after[0] = '\0';
		while (ipc_next(&reply, &pos, &f)) {
			if (f.tag != SPOOL_T_ENTRY || f.kind != IPC_BYTES || !spool_listed_decode(&l, f.bytes, a))
				continue;
			fn(arg, &l);
			if (more && l.id.len == SPOOL_ID_LEN) {
				memcpy(after, l.id.p, SPOOL_ID_LEN);
				after[SPOOL_ID_LEN] = '\0';
			}
			arena_reset(a);
		}
		ipc_msg_free(&reply);
	}
	arena_free(&a);
	return (rc);
}

int
spool_queue_list(const char *path, const char *queue, const char *domain, void (*fn)(void *arg, const struct spool_listed *l),
    void *arg, struct err *err)
{
	char after[SPOOL_ID_SIZE] = "";

	do {
		if (list_page(path, queue, domain, after, fn, arg, err) == -1)
			return (-1);
	} while (after[0] != '\0');
	return (0);
}

int
spool_queue_command(const char *path, enum spool_ipc what, const char *const *ids, size_t nids, const char *queue,
    const char *domain, unsigned force, unsigned *count, struct err *err)
{
	struct sb m = SB_INIT(IPC_FRAME_MAX);
	struct ipc_msg reply;
	int rc;

	ipc_begin(&m, (uint16_t)what);
	for (size_t i = 0; i < nids; i++)
		ipc_put_str(&m, SPOOL_T_ID, ids[i]);
	ipc_put_str(&m, SPOOL_T_QUEUE, queue);
	ipc_put_str(&m, SPOOL_T_DOMAIN, domain);
	ipc_put_u64(&m, SPOOL_T_FORCE, force);
	if (m.overflow) {
		sb_free(&m);
		return (err_set(err, ERR_PERM, "5.5.3", "too many message ids in one command"));
	}
	rc = ipc_call_once(path, &m, -1, &reply, CALL_MS, err);
	sb_free(&m);
	if (rc == -1)
		return (-1);
	if (count != NULL)
		*count = (unsigned)ipc_get_u64(&reply, SPOOL_T_COUNT, 0);
	ipc_msg_free(&reply);
	return (0);
}

int
spool_queue_inject(const char *path, const struct spool_envelope *env, int fd, int64_t off, struct err *err)
{
	struct sb m = SB_INIT(IPC_FRAME_MAX), e = SB_INIT(IPC_FRAME_MAX - 4096);
	struct ipc_msg reply;
	int rc = -1;

	if (spool_envelope_encode(env, &e, err) == 0) {
		ipc_begin(&m, SPOOL_IPC_INJECT);
		ipc_put_bytes(&m, SPOOL_T_ENVELOPE, sb_sv(&e));
		ipc_put_u64(&m, SPOOL_T_OFFSET, (uint64_t)off);
		ipc_put_u64(&m, SPOOL_T_LENGTH, env->size);
		rc = ipc_call_once(path, &m, fd, &reply, CALL_MS, err);
		if (rc == 0)
			ipc_msg_free(&reply);
	}
	sb_free(&m);
	sb_free(&e);
	return (rc);
}
